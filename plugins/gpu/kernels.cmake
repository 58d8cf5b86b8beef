# SPDX-License-Identifier: Apache-2.0
# The kernels of kernels/*.kernel, listed for both delegates: kernel_list.h with their numbers and facts.
# A delegate then asks for their code in its language.

set(GPU_KERNEL_FOLDER "${CMAKE_CURRENT_LIST_DIR}/kernels")
file(GLOB GPU_KERNEL_FILES CONFIGURE_DEPENDS "${GPU_KERNEL_FOLDER}/*.kernel")
list(SORT GPU_KERNEL_FILES)
file(GLOB GPU_KERNEL_HEADERS CONFIGURE_DEPENDS "${GPU_KERNEL_FOLDER}/*.h")
set(GPU_KERNEL_INCLUDE "${CMAKE_BINARY_DIR}/plugins/gpu")

# Writes kernel_list.h; called once, by plugins/gpu.
function(gpu_write_kernel_list)
    set(numbers "")
    set(facts "")
    foreach(file ${GPU_KERNEL_FILES})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
        get_filename_component(name "${file}" NAME_WE)
        string(TOUPPER "${name}" upper)
        file(STRINGS "${file}" lines REGEX "^#define BINDINGS_(IN|OUT) [0-9]+$")
        set(IN 0)
        set(OUT 0)
        foreach(line ${lines})
            string(REGEX MATCH "BINDINGS_(IN|OUT) ([0-9]+)" ignored "${line}")
            set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
        endforeach()
        string(APPEND numbers "    GPU_KERNEL_${upper},\n")
        string(APPEND facts "    [GPU_KERNEL_${upper}] = {\"${name}\", ${IN}u, ${OUT}u},\n")
    endforeach()
    configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/src/kernel_list.h.in"
        "${GPU_KERNEL_INCLUDE}/kernel_list.h" @ONLY)
    configure_file("${CMAKE_CURRENT_FUNCTION_LIST_DIR}/src/kernel_list.c.in"
        "${GPU_KERNEL_INCLUDE}/kernel_list.c" @ONLY)
endfunction()
