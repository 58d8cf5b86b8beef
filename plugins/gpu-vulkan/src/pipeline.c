/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels with their constants, compiled; each is made once and kept while somebody uses it. */
#include "vk.h"

#include "kernel_code.h"
#include "values.h"

#include <inttypes.h>
#include <string.h>

/* ---- layouts ---- */
/* Binding 0 are the parameters; the kernels of n operands share the layout of n. */
sy_status vk_layouts_create(gpu_driver *driver) {
    VkDescriptorSetLayoutBinding bindings[VK_BINDINGS_MOST];
    for (uint32_t i = 0; i < VK_BINDINGS_MOST; i++) {
        bindings[i] =
            (VkDescriptorSetLayoutBinding){.binding = i,
                                           .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                           .descriptorCount = 1,
                                           .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    }
    for (uint32_t i = 0; i <= driver->limits.bindings_most; i++) {
        VkDescriptorSetLayoutCreateInfo set = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
            .bindingCount = i + 1,
            .pBindings = bindings};
        VkResult result = driver->call.CreateDescriptorSetLayout(driver->device, &set, NULL,
                                                                 &driver->set_layouts[i]);
        if (result != VK_SUCCESS) {
            return vk_fail(driver, result, "make a layout of bindings");
        }
        VkPushConstantRange first_word = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(uint32_t)};
        VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .setLayoutCount = 1,
                                             .pSetLayouts = &driver->set_layouts[i],
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &first_word};
        result =
            driver->call.CreatePipelineLayout(driver->device, &layout, NULL, &driver->layouts[i]);
        if (result != VK_SUCCESS) {
            return vk_fail(driver, result, "make a layout of a pipeline");
        }
    }
    return SY_OK;
}

/* ---- compiling ---- */
typedef struct pipeline_recipe {
    VkComputePipelineCreateInfo info;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroups;
    VkSpecializationMapEntry entries[GPU_CONSTANTS_MAX];
    VkSpecializationInfo constants;
} pipeline_recipe;

static const vk_kernel_code *code_of(const gpu_driver *driver, gpu_kernel kernel) {
    bool has_second = vk_kernel_codes_subgroups[kernel].words != NULL;
    return driver->has_subgroups && has_second ? &vk_kernel_codes_subgroups[kernel]
                                               : &vk_kernel_codes[kernel];
}

/* The size that the limits promise, not one of the driver's choice. */
static void fix_subgroups(const gpu_pipeline *pipeline, pipeline_recipe *recipe) {
    const gpu_driver *driver = pipeline->driver;
    uint32_t size = driver->limits.subgroup_size, group = pipeline->constants[0];
    if (!driver->has_subgroups || driver->physical.subgroups_most == 0 ||
        group > size * driver->physical.subgroups_most) {
        return;
    }
    recipe->subgroups = (VkPipelineShaderStageRequiredSubgroupSizeCreateInfo){
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = size};
    recipe->info.stage.pNext = &recipe->subgroups;
    if (group % size == 0) {
        recipe->info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
}

static void fill_recipe(const gpu_pipeline *pipeline, VkShaderModule module,
                        pipeline_recipe *recipe) {
    const gpu_kernel_facts *facts = &gpu_kernels[pipeline->kernel];
    for (uint32_t i = 0; i < pipeline->n_constants; i++) {
        recipe->entries[i] =
            (VkSpecializationMapEntry){i, i * (uint32_t)sizeof(uint32_t), sizeof(uint32_t)};
    }
    recipe->constants =
        (VkSpecializationInfo){pipeline->n_constants, recipe->entries,
                               pipeline->n_constants * sizeof(uint32_t), pipeline->constants};
    recipe->info = (VkComputePipelineCreateInfo){
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &recipe->constants},
        .layout = pipeline->driver->layouts[facts->n_in + facts->n_out]};
    fix_subgroups(pipeline, recipe);
}

/* Whether the driver keeps compiled code in pipeline caches at all. */
static bool cache_holds_code(const vk_known *known) {
    return known->n_bytes > sizeof(VkPipelineCacheHeaderVersionOne);
}

/* From the code that a blob brought where that is possible, else from source, which is counted. */
static sy_status compile(gpu_pipeline *pipeline, pipeline_recipe *recipe) {
    gpu_driver *driver = pipeline->driver;
    const vk_known *known = vk_known_find(driver, pipeline);
    VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                       .initialDataSize = known != NULL ? known->n_bytes : 0,
                                       .pInitialData = known != NULL ? known->bytes : NULL};
    VkResult result =
        driver->call.CreatePipelineCache(driver->device, &cache, NULL, &pipeline->cache);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "make a pipeline cache");
    }
    bool is_from_source = known == NULL;
    result = VK_PIPELINE_COMPILE_REQUIRED;
    if (known != NULL && driver->physical.has_cache_control && cache_holds_code(known)) {
        recipe->info.flags = VK_PIPELINE_CREATE_FAIL_ON_PIPELINE_COMPILE_REQUIRED_BIT;
        result = driver->call.CreateComputePipelines(driver->device, pipeline->cache, 1,
                                                     &recipe->info, NULL, &pipeline->handle);
        recipe->info.flags = 0;
        is_from_source = result == VK_PIPELINE_COMPILE_REQUIRED;
    }
    if (result == VK_PIPELINE_COMPILE_REQUIRED) {
        result = driver->call.CreateComputePipelines(driver->device, pipeline->cache, 1,
                                                     &recipe->info, NULL, &pipeline->handle);
    }
    if (result != VK_SUCCESS) {
        pipeline->handle = VK_NULL_HANDLE;
        return vk_fail(driver, result, "compile a kernel");
    }
    atomic_fetch_add(&driver->n_compiled, is_from_source ? 1u : 0u);
    return SY_OK;
}

static sy_status make(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    const vk_kernel_code *code = code_of(driver, pipeline->kernel);
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = code->n_bytes,
                                     .pCode = code->words};
    VkShaderModule module;
    pipeline_recipe recipe = {0};
    pipeline->identity = vk_digest(VK_DIGEST_BEGIN, code->words, code->n_bytes);
    VkResult result = driver->call.CreateShaderModule(driver->device, &info, NULL, &module);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "take the code of a kernel");
    }
    fill_recipe(pipeline, module, &recipe);
    sy_status status = compile(pipeline, &recipe);
    driver->call.DestroyShaderModule(driver->device, module, NULL);
    return status;
}

/* ---- driver.h ---- */
static sy_status check_arguments(const gpu_driver *driver, gpu_kernel kernel,
                                 const uint32_t *constants, uint32_t n_constants) {
    if (kernel >= GPU_KERNEL_COUNT || n_constants == 0 || n_constants > GPU_CONSTANTS_MAX) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "no kernel %u, or not 1 to %u constants but %u", (unsigned)kernel,
                          GPU_CONSTANTS_MAX, n_constants);
    }
    const gpu_kernel_facts *facts = &gpu_kernels[kernel];
    const gpu_limits *limits = &driver->limits;
    if (code_of(driver, kernel)->words == NULL) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "kernel %s needs subgroups, %s has none",
                          facts->name, limits->id);
    }
    if (facts->n_in + facts->n_out > limits->bindings_most || constants[0] == 0 ||
        constants[0] > limits->group_most) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "%s: kernel %s wants %u bindings and groups of %u, there are %u and %u",
                          limits->id, facts->name, facts->n_in + facts->n_out, constants[0],
                          limits->bindings_most, limits->group_most);
    }
    return SY_OK;
}

static gpu_pipeline *find(const gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants,
                          uint32_t n_constants) {
    for (gpu_pipeline *pipeline = driver->pipelines; pipeline != NULL; pipeline = pipeline->next) {
        if (pipeline->kernel == kernel && pipeline->n_constants == n_constants &&
            memcmp(pipeline->constants, constants, sizeof(*constants) * n_constants) == 0) {
            return pipeline;
        }
    }
    return NULL;
}

static void free_pipeline(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    driver->call.DestroyPipeline(driver->device, pipeline->handle, NULL);
    driver->call.DestroyPipelineCache(driver->device, pipeline->cache, NULL);
    kit_release(pipeline, sizeof(gpu_pipeline));
}

sy_status gpu_pipeline_create(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants,
                              uint32_t n_constants, gpu_pipeline **out_pipeline) {
    sy_status status = vk_check(driver);
    status = status == SY_OK ? check_arguments(driver, kernel, constants, n_constants) : status;
    if (status != SY_OK) {
        return status;
    }
    gpu_pipeline *pipeline = find(driver, kernel, constants, n_constants);
    if (pipeline != NULL) {
        pipeline->n_users++;
        *out_pipeline = pipeline;
        return SY_OK;
    }
    pipeline = kit_alloc(sizeof(gpu_pipeline));
    if (pipeline == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for a pipeline");
    }
    pipeline->driver = driver;
    pipeline->kernel = kernel;
    pipeline->n_constants = n_constants;
    memcpy(pipeline->constants, constants, sizeof(*constants) * n_constants);
    status = make(pipeline);
    status = status == SY_OK ? vk_first_run(pipeline) : status;
    if (status != SY_OK) {
        free_pipeline(pipeline);
        return status;
    }
    pipeline->n_users = 1;
    pipeline->next = driver->pipelines;
    driver->pipelines = pipeline;
    *out_pipeline = pipeline;
    return SY_OK;
}

void gpu_pipeline_destroy(gpu_pipeline *pipeline) {
    if (pipeline == NULL || --pipeline->n_users > 0) {
        return;
    }
    gpu_pipeline **link = &pipeline->driver->pipelines;
    while (*link != pipeline) {
        link = &(*link)->next;
    }
    *link = pipeline->next;
    free_pipeline(pipeline);
}

void vk_pipelines_destroy(gpu_driver *driver) {
    while (driver->pipelines != NULL) {
        gpu_pipeline *pipeline = driver->pipelines;
        driver->pipelines = pipeline->next;
        free_pipeline(pipeline);
    }
    for (uint32_t i = 0; i < VK_BINDINGS_MOST; i++) {
        driver->call.DestroyPipelineLayout(driver->device, driver->layouts[i], NULL);
        driver->call.DestroyDescriptorSetLayout(driver->device, driver->set_layouts[i], NULL);
    }
}

uint64_t gpu_driver_n_compiled(const gpu_driver *driver) {
    return atomic_load(&driver->n_compiled);
}
