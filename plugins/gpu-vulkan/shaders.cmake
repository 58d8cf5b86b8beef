# SPDX-License-Identifier: Apache-2.0
# Kernels of plugins/gpu as SPIR-V in C arrays, made when this is built. One that has a use for
# subgroup arithmetic is compiled twice; one with cooperative matrices becomes Khronos's extension.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
include(${CMAKE_CURRENT_LIST_DIR}/../gpu/kernels.cmake)
set(VK_SHADER_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/embed.cmake")
set(VK_MATRIX_SCRIPT "${CMAKE_CURRENT_LIST_DIR}/matrix_khr.py")
set(VK_SHADER_TEMPLATE "${CMAKE_CURRENT_LIST_DIR}/src/kernel_code.c.in")

# Adds the rules for one build of a kernel, and its array to the variables of the caller.
function(vk_add_shader file name definitions table)
    set(stem "${CMAKE_CURRENT_BINARY_DIR}/shaders/${name}_${table}")
    set(commands COMMAND "${GLSLC}" -std=450core -fshader-stage=compute --target-env=vulkan1.1
        -x glsl -O -Werror -DDIALECT_GLSL ${definitions} -I "${GPU_KERNEL_FOLDER}" "${file}"
        -o "${stem}.spv")
    if(SPIRV_OPT)
        list(APPEND commands COMMAND "${SPIRV_OPT}" -O --strip-debug "${stem}.spv" -o "${stem}.spv")
    endif()
    if(SPIRV_VAL)
        list(APPEND commands COMMAND "${SPIRV_VAL}" --target-env vulkan1.1 "${stem}.spv")
    endif()
    file(STRINGS "${file}" matrices REGEX "^#define MATRICES$")
    if(matrices)
        list(APPEND commands COMMAND "${Python3_EXECUTABLE}" -B "${VK_MATRIX_SCRIPT}" "${stem}.spv"
            "${stem}.spv")
    endif()
    add_custom_command(OUTPUT "${stem}.inc" BYPRODUCTS "${stem}.spv" ${commands}
        COMMAND "${CMAKE_COMMAND}" -D "IN=${stem}.spv" -D "OUT=${stem}.inc" -P "${VK_SHADER_SCRIPT}"
        DEPENDS "${file}" ${GPU_KERNEL_HEADERS} "${VK_SHADER_SCRIPT}" "${VK_MATRIX_SCRIPT}"
        COMMENT "SPIR-V of ${name} (${table})" VERBATIM)
    string(TOUPPER "${name}" upper)
    set(arrays "${arrays}static const uint32_t ${name}_${table}[] = {\n#include \"${stem}.inc\"\n};\n"
        PARENT_SCOPE)
    set(${table} "${${table}}    [GPU_KERNEL_${upper}] = {${name}_${table}, sizeof(${name}_${table})},\n"
        PARENT_SCOPE)
    set(outputs ${outputs} "${stem}.inc" PARENT_SCOPE)
endfunction()

# Sets out_sources to the generated files that a target compiles.
function(vk_add_shaders out_sources)
    set(arrays "")
    set(plain "")
    set(subgroups "")
    set(outputs "")
    file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/shaders")
    foreach(file ${GPU_KERNEL_FILES})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
        get_filename_component(name "${file}" NAME_WE)
        file(STRINGS "${file}" matrices REGEX "^#define MATRICES$")
        file(STRINGS "${file}" uses REGEX "SUBGROUP|GROUP_ADD|GROUP_MAX")
        if(NOT matrices)
            vk_add_shader("${file}" ${name} "" plain)
        endif()
        if(uses)
            vk_add_shader("${file}" ${name} -DSUBGROUPS subgroups)
        endif()
    endforeach()
    if(subgroups STREQUAL "")
        set(subgroups "    {0},\n")
    endif()
    set(code "${CMAKE_CURRENT_BINARY_DIR}/kernel_code.c")
    configure_file("${VK_SHADER_TEMPLATE}" "${code}" @ONLY)
    set_property(SOURCE "${code}" APPEND PROPERTY OBJECT_DEPENDS "${outputs}")
    set(${out_sources} "${code}" ${outputs} PARENT_SCOPE)
endfunction()
