/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings: commands made once and submitted many times. The groups of each run lie in memory
 * that indirect dispatches read them from; the parameters lie where the caller writes them.
 */
#include "vk.h"

#include <inttypes.h>
#include <string.h>

#define PARAMETER_BYTES 64u /* of a run without groups */

struct gpu_recording {
    gpu_driver *driver;
    vk_commands commands;
    VkDescriptorPool pool;
    gpu_memory *indirect; /* VkDispatchIndirectCommand of each dispatch */
    uint32_t (*sent)[3];  /* what it holds: reading mapped memory may be slow */
    uint32_t n_dispatches;
    uint64_t moved_bytes; /* by the newest run */
    uint64_t ticket;      /* of the newest run */
};

/* ---- checks ---- */
static sy_status check_binding(const gpu_driver *driver, const gpu_binding *binding,
                               uint32_t i_dispatch) {
    const gpu_limits *limits = &driver->limits;
    if (binding->memory == NULL) {
        return SY_OK;
    }
    uint64_t n_memory = binding->memory->n_bytes;
    if (binding->offset_bytes % limits->binding_alignment_bytes == 0 && binding->n_bytes != 0 &&
        binding->n_bytes <= limits->binding_most_bytes && binding->offset_bytes <= n_memory &&
        binding->n_bytes <= n_memory - binding->offset_bytes) {
        return SY_OK;
    }
    return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                      "dispatch %u binds %" PRIu64 " bytes at %" PRIu64 " of a memory of %" PRIu64
                      "; offsets are multiples of %u, sizes at most %" PRIu64,
                      i_dispatch, binding->n_bytes, binding->offset_bytes, n_memory,
                      limits->binding_alignment_bytes, limits->binding_most_bytes);
}

static sy_status check_dispatches(const gpu_driver *driver, const gpu_dispatch *dispatches,
                                  uint32_t n_dispatches, const gpu_memory *parameters) {
    sy_status status = vk_check(driver);
    if (status != SY_OK) {
        return status;
    }
    if (parameters->n_bytes > driver->physical.limits.binding_most_bytes) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "%" PRIu64 " bytes of parameters",
                          parameters->n_bytes);
    }
    for (uint32_t i = 0; i < n_dispatches; i++) {
        const gpu_dispatch *dispatch = &dispatches[i];
        const gpu_kernel_facts *facts = &gpu_kernels[dispatch->pipeline->kernel];
        if (dispatch->n_bindings != facts->n_in + facts->n_out) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "dispatch %u: kernel %s has %u bindings, not %u", i, facts->name,
                              facts->n_in + facts->n_out, dispatch->n_bindings);
        }
        for (uint32_t j = 0; j < dispatch->n_bindings; j++) {
            status = check_binding(driver, &dispatch->bindings[j], i);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

/* ---- bindings ---- */
static sy_status create_pool(gpu_recording *recording, const gpu_dispatch *dispatches) {
    gpu_driver *driver = recording->driver;
    uint32_t n_descriptors = 0;
    for (uint32_t i = 0; i < recording->n_dispatches; i++) {
        n_descriptors += dispatches[i].n_bindings + 1;
    }
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, n_descriptors};
    VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = recording->n_dispatches,
                                       .poolSizeCount = 1,
                                       .pPoolSizes = &size};
    VkResult result =
        driver->call.CreateDescriptorPool(driver->device, &info, NULL, &recording->pool);
    if (result != VK_SUCCESS) {
        recording->pool = VK_NULL_HANDLE;
        return vk_fail(driver, result, "make a pool of bindings");
    }
    return SY_OK;
}

/* Up to the next 16 bytes, which the buffer always has: kernels read whole words. */
static VkDescriptorBufferInfo buffer_info(const gpu_binding *binding) {
    uint64_t left = binding->memory->buffer_bytes - binding->offset_bytes;
    uint64_t filled = (binding->n_bytes + 15u) & ~15ull;
    return (VkDescriptorBufferInfo){binding->memory->buffer, binding->offset_bytes,
                                    filled < left ? filled : left};
}

static sy_status make_set(gpu_recording *recording, const gpu_dispatch *dispatch,
                          gpu_memory *parameters, VkDescriptorSet *out_set) {
    gpu_driver *driver = recording->driver;
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = recording->pool,
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &driver->set_layouts[dispatch->n_bindings]};
    VkResult result = driver->call.AllocateDescriptorSets(driver->device, &info, out_set);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "make a set of bindings");
    }
    VkDescriptorBufferInfo buffers[VK_BINDINGS_MOST];
    const gpu_binding words = {parameters, 0, parameters->n_bytes};
    buffers[0] = buffer_info(&words);
    for (uint32_t i = 0; i < dispatch->n_bindings; i++) {
        const gpu_binding *binding = &dispatch->bindings[i];
        buffers[i + 1] = buffer_info(binding->memory != NULL ? binding : &words);
    }
    VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                  .dstSet = *out_set,
                                  .descriptorCount = dispatch->n_bindings + 1,
                                  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                  .pBufferInfo = buffers};
    driver->call.UpdateDescriptorSets(driver->device, 1, &write, 0, NULL);
    return SY_OK;
}

/* ---- commands ---- */
static sy_status record_dispatch(gpu_recording *recording, uint32_t i_dispatch,
                                 const gpu_dispatch *dispatch, VkPipeline bound,
                                 gpu_memory *parameters) {
    gpu_driver *driver = recording->driver;
    VkCommandBuffer commands = recording->commands.buffer;
    VkPipelineLayout layout = driver->layouts[dispatch->n_bindings];
    VkDescriptorSet set;
    sy_status status = make_set(recording, dispatch, parameters, &set);
    if (status != SY_OK) {
        return status;
    }
    if (dispatch->waits) {
        vk_barrier(driver, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                   VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    }
    if (dispatch->pipeline->handle != bound) {
        driver->call.CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE,
                                     dispatch->pipeline->handle);
    }
    driver->call.CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set,
                                       0, NULL);
    driver->call.CmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                  sizeof(dispatch->first_word), &dispatch->first_word);
    driver->call.CmdDispatchIndirect(commands, recording->indirect->buffer,
                                     i_dispatch * sizeof(VkDispatchIndirectCommand));
    return SY_OK;
}

static sy_status record(gpu_recording *recording, const gpu_dispatch *dispatches,
                        gpu_memory *parameters) {
    gpu_driver *driver = recording->driver;
    VkCommandBuffer commands = recording->commands.buffer;
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    VkResult result = driver->call.BeginCommandBuffer(commands, &info);
    if (result != VK_SUCCESS) {
        return vk_fail(driver, result, "begin a recording");
    }
    sy_status status = SY_OK;
    VkPipeline bound = VK_NULL_HANDLE;
    vk_barrier(driver, commands, VK_STAGES_ALL, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT);
    for (uint32_t i = 0; status == SY_OK && i < recording->n_dispatches; i++) {
        status = record_dispatch(recording, i, &dispatches[i], bound, parameters);
        bound = dispatches[i].pipeline->handle;
    }
    vk_barrier(driver, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT);
    result = driver->call.EndCommandBuffer(commands);
    return status == SY_OK && result != VK_SUCCESS ? vk_fail(driver, result, "end a recording")
                                                   : status;
}

static sy_status fill_recording(gpu_recording *recording, const gpu_dispatch *dispatches,
                                gpu_memory *parameters) {
    gpu_driver *driver = recording->driver;
    sy_status status = vk_commands_create(driver, &recording->commands);
    if (status == SY_OK && recording->n_dispatches > 0) {
        status = create_pool(recording, dispatches);
        status = status == SY_OK
                     ? vk_memory_create(driver,
                                        sizeof(VkDispatchIndirectCommand) * recording->n_dispatches,
                                        GPU_MEMORY_SHARED, VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT,
                                        &recording->indirect)
                     : status;
        if (status == SY_OK) {
            memset(recording->indirect->pointer, 0, recording->indirect->n_bytes);
        }
    }
    return status == SY_OK ? record(recording, dispatches, parameters) : status;
}

/* ---- driver.h ---- */
sy_status gpu_recording_create(gpu_driver *driver, const gpu_dispatch *dispatches,
                               uint32_t n_dispatches, gpu_memory *parameters,
                               gpu_recording **out_recording) {
    sy_status status = check_dispatches(driver, dispatches, n_dispatches, parameters);
    if (status != SY_OK) {
        return status;
    }
    gpu_recording *recording = kit_alloc(sizeof(gpu_recording));
    if (recording == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for a recording");
    }
    recording->driver = driver;
    recording->n_dispatches = n_dispatches;
    recording->sent = kit_alloc((size_t)n_dispatches * sizeof(*recording->sent) + 1);
    status = recording->sent != NULL
                 ? fill_recording(recording, dispatches, parameters)
                 : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no host memory for a recording");
    if (status != SY_OK) {
        gpu_recording_destroy(recording);
        return status;
    }
    *out_recording = recording;
    return SY_OK;
}

void gpu_recording_destroy(gpu_recording *recording) {
    if (recording == NULL) {
        return;
    }
    gpu_driver *driver = recording->driver;
    vk_commands_destroy(driver, &recording->commands);
    if (recording->pool != VK_NULL_HANDLE) {
        driver->call.DestroyDescriptorPool(driver->device, recording->pool, NULL);
    }
    gpu_memory_destroy(recording->indirect);
    kit_release(recording->sent, (size_t)recording->n_dispatches * sizeof(*recording->sent) + 1);
    kit_release(recording, sizeof(gpu_recording));
}

static sy_status check_groups(const gpu_recording *recording, const uint32_t (*groups)[3]) {
    const uint32_t *most = recording->driver->limits.groups_most;
    for (uint32_t i = 0; i < recording->n_dispatches; i++) {
        if (groups[i][0] > most[0] || groups[i][1] > most[1] || groups[i][2] > most[2]) {
            return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                              "dispatch %u of %u x %u x %u groups; at most %u x %u x %u", i,
                              groups[i][0], groups[i][1], groups[i][2], most[0], most[1], most[2]);
        }
    }
    return SY_OK;
}

/* Most dispatches have as many groups as in the step before. */
static void send_groups(gpu_recording *recording, const uint32_t (*groups)[3]) {
    recording->moved_bytes = 0;
    for (uint32_t i = 0; i < recording->n_dispatches; i++) {
        if (memcmp(recording->sent[i], groups[i], sizeof(groups[i])) != 0) {
            VkDispatchIndirectCommand *commands = (void *)recording->indirect->pointer;
            commands[i] = (VkDispatchIndirectCommand){groups[i][0], groups[i][1], groups[i][2]};
            memcpy(recording->sent[i], groups[i], sizeof(groups[i]));
            recording->moved_bytes += sizeof(groups[i]);
        }
    }
}

sy_status gpu_recording_run(gpu_recording *recording, const uint32_t (*groups)[3],
                            uint64_t *out_ticket) {
    gpu_driver *driver = recording->driver;
    bool is_done = false;
    sy_status status = vk_check(driver);
    status = status == SY_OK ? check_groups(recording, groups) : status;
    status = status == SY_OK ? vk_is_done(driver, recording->ticket, &is_done) : status;
    if (status != SY_OK) {
        return status;
    }
    if (!is_done) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "a recording runs again before ticket %" PRIu64 " is done",
                          recording->ticket);
    }
    send_groups(recording, groups);
    status = vk_submit(driver, recording->commands.buffer, &recording->ticket);
    if (status == SY_OK) {
        *out_ticket = recording->ticket;
    }
    return status;
}

void gpu_recording_moved(const gpu_recording *recording, uint64_t *out_written,
                         uint64_t *out_read) {
    *out_written = recording->moved_bytes;
    *out_read = 0;
}

sy_status vk_first_run(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    const gpu_kernel_facts *facts = &gpu_kernels[pipeline->kernel];
    const gpu_dispatch dispatch = {.pipeline = pipeline, .n_bindings = facts->n_in + facts->n_out};
    const uint32_t none[1][3] = {{0, 0, 0}};
    gpu_memory *parameters = NULL;
    gpu_recording *recording = NULL;
    uint64_t ticket = 0;
    if (!driver->limits.is_software) {
        return SY_OK;
    }
    sy_status status = gpu_memory_create(driver, PARAMETER_BYTES, GPU_MEMORY_SHARED, &parameters);
    if (status != SY_OK) {
        return status;
    }
    status = gpu_recording_create(driver, &dispatch, 1, parameters, &recording);
    status = status == SY_OK ? gpu_recording_run(recording, none, &ticket) : status;
    status = status == SY_OK ? gpu_driver_wait(driver, ticket, 0) : status;
    gpu_recording_destroy(recording);
    gpu_memory_destroy(parameters);
    return status;
}
