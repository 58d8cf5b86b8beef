# SPDX-License-Identifier: Apache-2.0

# sy_add_library(NAME SOURCES... [PUBLIC_INCLUDE dirs...] [LINK libs...])
# A static library of the house. Every folder that other folders may include from is PUBLIC_INCLUDE.
function(sy_add_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC_INCLUDE;LINK" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC ${ARG_PUBLIC_INCLUDE})
    target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:sy_build_flags>)
    if(NOT CMAKE_CURRENT_SOURCE_DIR MATCHES "^${PROJECT_SOURCE_DIR}/tests")
        set_property(GLOBAL APPEND PROPERTY SY_LIBRARIES ${name}) # installed as one archive
    endif()
endfunction()

# sy_add_plugin(NAME SOURCES... [MANIFEST file] [LINK libs...] [INCLUDE dirs...])
# A delegate: lib into <build>/plugins/NAME/NAME.so with plugin.ini beside it; sees plugin-api only.
function(sy_add_plugin name)
    cmake_parse_arguments(ARG "" "MANIFEST;DIRECTORY" "SOURCES;LINK;INCLUDE" ${ARGN})
    if(NOT ARG_DIRECTORY)
        set(ARG_DIRECTORY "${CMAKE_BINARY_DIR}/plugins")
    endif()
    add_library(${name} MODULE ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/plugin-api" ${ARG_INCLUDE})
    target_link_libraries(${name} PRIVATE sy_build_flags ${ARG_LINK})
    set_target_properties(${name} PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
        LIBRARY_OUTPUT_DIRECTORY "${ARG_DIRECTORY}/${name}")
    if(NOT SY_SANITIZE)
        target_link_options(${name} PRIVATE -Wl,-z,defs)
    endif()
    if(CMAKE_CURRENT_SOURCE_DIR MATCHES "^${PROJECT_SOURCE_DIR}/plugins/")
        set_property(GLOBAL APPEND PROPERTY SY_PLUGINS ${name}) # installed
    endif()
    if(ARG_MANIFEST)
        add_custom_command(TARGET ${name} POST_BUILD COMMAND ${CMAKE_COMMAND} -E copy_if_different
            "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_MANIFEST}" "${ARG_DIRECTORY}/${name}/plugin.ini")
    endif()
endfunction()

# Cross builds only: sets out_missing to those of our libraries that this build leaves out.
function(sy_find_missing out_missing)
    set(missing)
    foreach(library IN LISTS ARGN)
        if(CMAKE_CROSSCOMPILING AND library MATCHES "^sy_" AND NOT TARGET ${library}
                AND NOT library STREQUAL "sy_test_tools")
            list(APPEND missing ${library})
        endif()
    endforeach()
    set(${out_missing} ${missing} PARENT_SCOPE)
endfunction()

# sy_add_test(NAME SOURCES... [LINK libs...] [INCLUDE dirs...] [ARGS args...] [LABELS l...])
# One test program = one ctest case; exit status 77 is a skip and the program prints why.
function(sy_add_test name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;INCLUDE;ARGS;LABELS" ${ARGN})
    sy_find_missing(missing ${ARG_LINK})
    if(missing)
        message(STATUS "left out: ${name} (needs ${missing})")
        return()
    endif()
    add_executable(${name} ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests" ${ARG_INCLUDE})
    target_link_libraries(${name} PRIVATE ${ARG_LINK} sy_build_flags)
    add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS "${ARG_LABELS}"
        ENVIRONMENT "SY_SHARED_DIR=${SY_SHARED_DIR};SY_SOURCE_DIR=${PROJECT_SOURCE_DIR};SY_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# sy_add_example(NAME LINK libs... [ARGS args...])
# NAME.c: a program for readers; it is a test as well and has to end with exit status 0.
function(sy_add_example name)
    cmake_parse_arguments(ARG "" "" "LINK;ARGS" ${ARGN})
    sy_find_missing(missing ${ARG_LINK})
    if(missing)
        message(STATUS "left out: ${name} (needs ${missing})")
        return()
    endif()
    add_executable(example_${name} ${name}.c)
    target_link_libraries(example_${name} PRIVATE ${ARG_LINK} sy_build_flags)
    add_test(NAME example_${name} COMMAND example_${name} ${ARG_ARGS}
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(example_${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120
        ENVIRONMENT "SY_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# sy_add_fuzz(NAME SOURCES... [LINK libs...] [INCLUDE dirs...] [ARGS args...])
# A libFuzzer target (LLVMFuzzerTestOneInput); exists in builds with SY_FUZZ only. ctest gives it a
# few seconds; run the program by hand for longer.
function(sy_add_fuzz name)
    if(NOT SY_FUZZ)
        return()
    endif()
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK;INCLUDE;ARGS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests" ${ARG_INCLUDE})
    target_link_libraries(${name} PRIVATE ${ARG_LINK} sy_build_flags)
    target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=10 -timeout=10 -rss_limit_mb=2048 ${ARG_ARGS})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
endfunction()
