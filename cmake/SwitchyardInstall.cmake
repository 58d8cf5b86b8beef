# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` lays down. Parts that this build does not have are left out.
#   lib/libswitchyard.a, include/switchyard/*.h, include/sy_plugin.h     one archive, one -l
#   lib/pkgconfig/switchyard.pc, lib/cmake/switchyard/                   both ways to find it
#   bin/switchyard, lib/switchyard/plugins/NAME/, share/switchyard/      the program and what it reads
include(CMakePackageConfigHelpers)

set(SY_INSTALL_PLUGIN_DIR "lib/switchyard/plugins")
set(SY_INSTALL_DATA_DIR "${CMAKE_INSTALL_DATADIR}/switchyard")

# Adds to out_names what `target` links outside of this project, as names for -l.
function(sy_collect_foreign out_names target)
    set(names ${${out_names}})
    get_target_property(links ${target} INTERFACE_LINK_LIBRARIES)
    foreach(link IN LISTS links)
        string(REGEX REPLACE "^\\$<LINK_ONLY:(.*)>$" "\\1" link "${link}")
        if(link MATCHES "^\\$<|^-Wl|NOTFOUND$" OR link STREQUAL "")
            continue()
        elseif(link STREQUAL "Threads::Threads")
            list(APPEND names pthread)
        elseif(TARGET ${link})
            sy_collect_foreign(names ${link})
        elseif(link MATCHES "/lib([^/]*)\\.(so|a)$")
            list(APPEND names ${CMAKE_MATCH_1})
        else()
            string(REGEX REPLACE "^-l" "" link "${link}")
            list(APPEND names ${link})
        endif()
    endforeach()
    set(${out_names} ${names} PARENT_SCOPE)
endfunction()

# Every static library made by sy_add_library goes into the one archive.
get_property(parts GLOBAL PROPERTY SY_LIBRARIES)
set(objects)
set(foreign)
foreach(part IN LISTS parts)
    list(APPEND objects $<TARGET_OBJECTS:${part}>)
    sy_collect_foreign(foreign ${part})
endforeach()
list(APPEND foreign m)
list(REMOVE_DUPLICATES foreign)
# Symbols of glibc 2.34 and later live in libc; older C libraries need these last.
foreach(last pthread dl m)
    if(last IN_LIST foreign)
        list(REMOVE_ITEM foreign ${last})
        list(APPEND foreign ${last})
    endif()
endforeach()

add_library(sy_archive STATIC ${objects})
set_target_properties(sy_archive PROPERTIES OUTPUT_NAME switchyard LINKER_LANGUAGE C
    EXPORT_NAME switchyard)
target_include_directories(sy_archive INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(sy_archive INTERFACE ${foreign})
install(TARGETS sy_archive EXPORT switchyard-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

foreach(folder core conf registry formats llm)
    if(EXISTS "${PROJECT_SOURCE_DIR}/${folder}/include/switchyard")
        install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}/include/switchyard"
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
    endif()
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/plugin-api/sy_plugin.h"
    "${PROJECT_SOURCE_DIR}/plugin-api/sy_profile.h"
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# CMake package
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/switchyard")
install(EXPORT switchyard-targets NAMESPACE switchyard:: DESTINATION ${package_dir})
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/switchyard-config.cmake.in"
    "${PROJECT_BINARY_DIR}/switchyard-config.cmake" INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/switchyard-config-version.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/switchyard-config.cmake"
    "${PROJECT_BINARY_DIR}/switchyard-config-version.cmake" DESTINATION ${package_dir})

# pkg-config file; the prefix is found from the place of the file, so the tree can be moved
list(TRANSFORM foreign PREPEND "-l" OUTPUT_VARIABLE SY_PC_LIBS)
list(JOIN SY_PC_LIBS " " SY_PC_LIBS)
file(RELATIVE_PATH SY_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" SY_PC_PREFIX "${SY_PC_PREFIX}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/switchyard.pc.in"
    "${PROJECT_BINARY_DIR}/switchyard.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/switchyard.pc"
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The program and what it reads
if(TARGET switchyard)
    install(TARGETS switchyard RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# As files, not as targets: a manifest holds the hash of the bytes as built.
get_property(plugins GLOBAL PROPERTY SY_PLUGINS)
foreach(plugin IN LISTS plugins)
    install(PROGRAMS $<TARGET_FILE:${plugin}> DESTINATION ${SY_INSTALL_PLUGIN_DIR}/${plugin})
    install(FILES $<TARGET_FILE_DIR:${plugin}>/plugin.ini OPTIONAL
        DESTINATION ${SY_INSTALL_PLUGIN_DIR}/${plugin})
endforeach()
if(EXISTS "${PROJECT_SOURCE_DIR}/conf/default.ini")
    install(FILES "${PROJECT_SOURCE_DIR}/conf/default.ini" DESTINATION ${SY_INSTALL_DATA_DIR})
endif()
if(EXISTS "${PROJECT_SOURCE_DIR}/conf/samples")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/conf/samples" DESTINATION ${SY_INSTALL_DATA_DIR}
        FILES_MATCHING PATTERN "*.ini")
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/models" DESTINATION ${SY_INSTALL_DATA_DIR}
    FILES_MATCHING PATTERN "*.gguf")
