# SPDX-License-Identifier: Apache-2.0
include(GNUInstallDirs)
include(CheckPIESupported)
check_pie_supported()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # GNU builtins where gcc and clang both have them
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

option(SY_WERROR "Warnings are errors" ON)
set(SY_SANITIZE "" CACHE STRING "Sanitizers for everything: address,undefined | thread | empty")
option(SY_FUZZ "Build the fuzz targets (clang only)" OFF)
set(SY_SHARED_DIR "${CMAKE_CURRENT_SOURCE_DIR}/../shared" CACHE PATH
    "Large test data; tests that need it skip when it is absent")

add_library(sy_build_flags INTERFACE)
target_compile_options(sy_build_flags INTERFACE
    -Wall -Wextra -fno-math-errno
    $<$<COMPILE_LANGUAGE:C>:-Wconversion -Wshadow -Wcast-qual -Wwrite-strings -Wvla
      -Wstrict-prototypes -Wmissing-prototypes>
    $<$<BOOL:${SY_WERROR}>:-Werror>
    -fstack-protector-strong
    $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE$<SEMICOLON>-D_FORTIFY_SOURCE=3>)
target_compile_definitions(sy_build_flags INTERFACE _GNU_SOURCE)
# tests/tidy/artefacts_test.py reads these out of what was linked
target_link_options(sy_build_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(SY_SANITIZE)
    target_compile_options(sy_build_flags INTERFACE -fsanitize=${SY_SANITIZE}
        -fno-omit-frame-pointer -fno-sanitize-recover=all -U_FORTIFY_SOURCE)
    target_link_options(sy_build_flags INTERFACE -fsanitize=${SY_SANITIZE})
    target_compile_definitions(sy_build_flags INTERFACE SY_SANITIZED=1) # gcc and clang name it differently
endif()
if(SY_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "SY_FUZZ needs clang: use the preset `fuzz` or -DCMAKE_C_COMPILER=clang")
    endif()
    target_compile_options(sy_build_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
