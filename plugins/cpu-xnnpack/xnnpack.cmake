# SPDX-License-Identifier: Apache-2.0
# XNNPACK, from 2022 (Debian's) to current. -DXNNPACK_ROOT=DIR names a build or install folder to be
# searched first. Sets xnnpack_found, XNNPACK_LIBRARIES, XNNPACK_INCLUDES, XNNPACK_DEFINITIONS.
include(CheckCSourceCompiles)
option(SY_XNNPACK "Let the CPU delegate use XNNPACK where it is installed" ON)
set(xnnpack_found OFF)
set(XNNPACK_LIBRARIES "")
set(XNNPACK_INCLUDES "")
set(XNNPACK_DEFINITIONS "")
set(suffixes include lib pthreadpool cpuinfo)
find_path(XNNPACK_INCLUDE_DIR xnnpack.h HINTS ${XNNPACK_ROOT} PATH_SUFFIXES ${suffixes})
find_path(PTHREADPOOL_INCLUDE_DIR pthreadpool.h HINTS ${XNNPACK_ROOT} PATH_SUFFIXES ${suffixes})
find_library(XNNPACK_LIBRARY XNNPACK HINTS ${XNNPACK_ROOT} PATH_SUFFIXES ${suffixes})
find_library(PTHREADPOOL_LIBRARY pthreadpool HINTS ${XNNPACK_ROOT} PATH_SUFFIXES ${suffixes})

# Whether a call compiles and links with what was found.
function(xnnpack_offers name text)
    set(CMAKE_REQUIRED_INCLUDES ${XNNPACK_INCLUDES})
    set(CMAKE_REQUIRED_LIBRARIES ${XNNPACK_LIBRARIES})
    check_c_source_compiles("#include <stddef.h>
        #include <xnnpack.h>
        #include <pthreadpool.h>
        int main(void) { ${text} }" SY_XNNPACK_${name})
endfunction()

if(SY_XNNPACK AND XNNPACK_INCLUDE_DIR AND PTHREADPOOL_INCLUDE_DIR AND XNNPACK_LIBRARY)
    set(XNNPACK_INCLUDES ${XNNPACK_INCLUDE_DIR} ${PTHREADPOOL_INCLUDE_DIR})
    set(XNNPACK_LIBRARIES ${XNNPACK_LIBRARY})
    if(XNNPACK_LIBRARY MATCHES "\\.a$") # a static one does not say what it needs
        get_filename_component(folder ${XNNPACK_LIBRARY} DIRECTORY)
        foreach(part xnnpack-microkernels-prod pthreadpool cpuinfo kleidiai)
            find_library(XNNPACK_PART_${part} ${part} HINTS ${folder} ${XNNPACK_ROOT}
                PATH_SUFFIXES ${suffixes} NO_DEFAULT_PATH)
            if(XNNPACK_PART_${part})
                list(APPEND XNNPACK_LIBRARIES ${XNNPACK_PART_${part}})
            endif()
        endforeach()
        # Parts of it are C++; the archive, so that the plugin needs no library of that language.
        execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libstdc++.a
            OUTPUT_VARIABLE cxx_archive OUTPUT_STRIP_TRAILING_WHITESPACE)
        find_package(Threads REQUIRED)
        list(APPEND XNNPACK_LIBRARIES ${cxx_archive} Threads::Threads m)
    endif()
    xnnpack_offers(RUNTIME "return (int)xnn_create_runtime_v2(NULL, NULL, 0, NULL);")
    xnnpack_offers(OLD_SETUP
        "(void)xnn_create_fully_connected_nc_f32(1, 1, 1, 1, NULL, NULL, 0, 0, 0, NULL);
        (void)xnn_create_convolution2d_nhwc_qc8(0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1,
            NULL, NULL, NULL, 0, 1, 0, 1, 0, NULL);
        return (int)xnn_setup_fully_connected_nc_f32(NULL, 0, NULL, NULL, NULL);")
    xnnpack_offers(RESHAPES "(void)xnn_setup_runtime_v2(NULL, 0, NULL);
        (void)xnn_create_fully_connected_nc_f32(1, 1, 1, 1, NULL, NULL, 0, 0, 0, NULL, NULL);
        return (int)xnn_reshape_fully_connected_nc_f32(NULL, 0, NULL);")
    xnnpack_offers(GENERIC "(void)xnn_define_static_reduce(NULL, xnn_reduce_mean, 2, NULL, 0, 0, 0);
        (void)xnn_define_binary(NULL, xnn_binary_prelu, NULL, 0, 0, 0, 0);
        (void)xnn_define_concatenate(NULL, 0, 1, NULL, 0, 0);
        return (int)xnn_define_unary(NULL, xnn_unary_convert, NULL, 0, 0, 0);")
    xnnpack_offers(PAD_V2
        "return (int)xnn_define_static_constant_pad_v2(NULL, 4, NULL, NULL, 0.0f, 0, 0, 0);")
    # A pool that borrows threads: the library must have been linked with the same one.
    if(NOT XNNPACK_LIBRARY MATCHES "\\.a$" AND PTHREADPOOL_LIBRARY)
        list(APPEND XNNPACK_LIBRARIES ${PTHREADPOOL_LIBRARY})
    endif()
    xnnpack_offers(EXECUTOR "return pthreadpool_create_v2(NULL, NULL, 0) != NULL;")
    if(NOT SY_XNNPACK_EXECUTOR)
        list(REMOVE_ITEM XNNPACK_LIBRARIES ${PTHREADPOOL_LIBRARY})
    endif()
    # In between (2023 to 2024) signatures moved several times; those versions are left out.
    if(SY_XNNPACK_RUNTIME AND (SY_XNNPACK_OLD_SETUP OR (SY_XNNPACK_RESHAPES AND
            SY_XNNPACK_GENERIC)))
        set(xnnpack_found ON)
        list(APPEND XNNPACK_DEFINITIONS CPU_HAVE_XNNPACK)
    endif()
    foreach(feature RESHAPES GENERIC EXECUTOR)
        if(SY_XNNPACK_${feature})
            list(APPEND XNNPACK_DEFINITIONS CPU_XNNPACK_${feature})
        endif()
    endforeach()
    if(SY_XNNPACK_PAD_V2)
        list(APPEND XNNPACK_DEFINITIONS CPU_XNNPACK_PAD_V2)
    endif()
endif()

if(xnnpack_found)
    message(STATUS "cpu-xnnpack: with XNNPACK (${XNNPACK_LIBRARY}; ${XNNPACK_DEFINITIONS})")
else()
    message(STATUS "cpu-xnnpack: without XNNPACK (Debian package libxnnpack-dev)")
    set(XNNPACK_LIBRARIES "")
    set(XNNPACK_INCLUDES "")
    set(XNNPACK_DEFINITIONS "")
endif()
