# SPDX-License-Identifier: Apache-2.0
# What is Vulkan's own: under the validation layer, and with a fake libvulkan in front of the real.
find_file(VULKAN_LAYER VkLayer_khronos_validation.json PATHS /usr/share /usr/local/share /etc
    PATH_SUFFIXES vulkan/explicit_layer.d)
find_file(VULKAN_LOADER libvulkan.so.1 PATHS /usr/lib /usr/local/lib
    PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE} NO_CMAKE_FIND_ROOT_PATH)

if(CMAKE_CROSSCOMPILING OR SY_SANITIZE)
    set(VULKAN_LAYER "") # it leaks by itself
endif()

# gpu_again(NAME TEST [LAYER] [HEARD words] VARIABLES...): a test once more, with other variables.
# LAYER: a word of the validation layer is a failure. HEARD: these have to come.
function(gpu_again name test)
    cmake_parse_arguments(ARG "LAYER" "HEARD" "" ${ARGN})
    set(variables ${ARG_UNPARSED_ARGUMENTS})
    if(ARG_LAYER)
        list(APPEND variables VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation
            "VK_LAYER_SETTINGS_PATH=${CMAKE_CURRENT_SOURCE_DIR}/vk_layer_settings.txt"
            GPU_TEST_LIBRARY=VkLayer_khronos_validation)
    endif()
    get_test_property(${test} ENVIRONMENT environment)
    add_test(NAME ${name} COMMAND ${test})
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS gpu
        ENVIRONMENT "${environment};${variables}")
    if(ARG_HEARD)
        set_tests_properties(${name} PROPERTIES PASS_REGULAR_EXPRESSION "${ARG_HEARD}")
    elseif(ARG_LAYER)
        set_tests_properties(${name} PROPERTIES
            FAIL_REGULAR_EXPRESSION "Validation (Error|Warning|Performance)|VUID-|SYNC-HAZARD")
    endif()
endfunction()

if(VULKAN_LAYER)
    gpu_again(gpu_driver_vulkan_layer gpu_driver_vulkan LAYER)
endif()

if(VULKAN_LOADER AND NOT CMAKE_CROSSCOMPILING)
    set(fake "${CMAKE_CURRENT_BINARY_DIR}/fake-vulkan")
    add_library(fake_vulkan MODULE fake_vulkan.c fake_dmabuf.c spirv_shared.c)
    target_include_directories(fake_vulkan PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    target_include_directories(fake_vulkan SYSTEM PRIVATE
        $<TARGET_PROPERTY:vulkan_driver,INTERFACE_SYSTEM_INCLUDE_DIRECTORIES>)
    target_compile_definitions(fake_vulkan PRIVATE "REAL_VULKAN=\"${VULKAN_LOADER}\"")
    target_link_libraries(fake_vulkan PRIVATE sy_build_flags ${CMAKE_DL_LIBS})
    # It stays loaded, as the real one does, whose name is the same.
    target_link_options(fake_vulkan PRIVATE -Wl,-z,nodelete)
    set_target_properties(fake_vulkan PROPERTIES PREFIX "" OUTPUT_NAME libvulkan SUFFIX .so.1
        LIBRARY_OUTPUT_DIRECTORY "${fake}")
    sy_add_test(gpu_vulkan SOURCES vulkan_test.c "${GPU_KERNEL_INCLUDE}/kernel_list.c"
        LINK vulkan_driver plugin_kit sy_test_tools ${CMAKE_DL_LIBS} LABELS gpu)
    get_test_property(gpu_vulkan ENVIRONMENT environment)
    set_tests_properties(gpu_vulkan PROPERTIES ENVIRONMENT "${environment};LD_LIBRARY_PATH=${fake}")
    add_dependencies(gpu_vulkan fake_vulkan)
    if(TARGET sy_llm)
        sy_add_test(gpu_failover_driver SOURCES failover_driver_test.c
            LINK sy_llm sy_registry ${CMAKE_DL_LIBS} INCLUDE "${PROJECT_SOURCE_DIR}/llm" LABELS gpu)
        target_compile_definitions(gpu_failover_driver PRIVATE GPU_PLUGIN="gpu-vulkan")
        set_tests_properties(gpu_failover_driver PROPERTIES
            ENVIRONMENT "${environment};LD_LIBRARY_PATH=${fake}")
        add_dependencies(gpu_failover_driver fake_vulkan gpu-vulkan)
    endif()
    foreach(kind oldest discrete)
        gpu_again(gpu_driver_vulkan_${kind} gpu_driver_vulkan FAKE_VULKAN=${kind}
            GPU_TEST_LIBRARY=fake-vulkan "LD_LIBRARY_PATH=${fake}")
    endforeach()
    # Devices with as little of everything as there are.
    foreach(name driver operators experts sequences)
        gpu_again(gpu_${name}_vulkan_small gpu_${name}_vulkan "FAKE_VULKAN=small subgroup0"
            "LD_LIBRARY_PATH=${fake}")
    endforeach()
    foreach(name operators experts) # the same code as without it, by other sizes
        set_tests_properties(gpu_${name}_vulkan_small PROPERTIES LABELS "gpu;slow")
    endforeach()
    foreach(size 4 64)
        gpu_again(gpu_sequences_vulkan_subgroup${size} gpu_sequences_vulkan
            "FAKE_VULKAN=small subgroup${size}" "LD_LIBRARY_PATH=${fake}")
    endforeach()
    # A card, whose memory is mapped through a shadow.
    foreach(name sequences attention_state)
        gpu_again(gpu_${name}_vulkan_discrete gpu_${name}_vulkan FAKE_VULKAN=discrete
            "LD_LIBRARY_PATH=${fake}")
    endforeach()
    if(VULKAN_LAYER)
        gpu_again(gpu_vulkan_layer gpu_vulkan LAYER)
        gpu_again(gpu_vulkan_mistake gpu_vulkan LAYER HEARD "access out of bounds" GPU_TEST_MISTAKE=1)
    endif()

    # A libvulkan that cannot be loaded.
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/no-vulkan/libvulkan.so.1" "not a library\n")
    add_test(NAME gpu_vulkan_absent COMMAND gpu_driver_vulkan devices_are_listed)
    set_tests_properties(gpu_vulkan_absent PROPERTIES LABELS gpu
        PASS_REGULAR_EXPRESSION "skipped: no Vulkan device: libvulkan.so.1 cannot be loaded"
        ENVIRONMENT "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/no-vulkan")
endif()
