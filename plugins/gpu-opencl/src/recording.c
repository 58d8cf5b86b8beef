/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording holds a kernel object per dispatch with its arguments set; running it puts them into
 * the queue, which is in order, so that nothing has to say what waits for what. A binding of a part
 * of a memory is a sub-buffer, made once per recording and part.
 */
#include "ocl.h"

#include <inttypes.h>
#include <string.h>

#define CHAINS 256u /* of the parts, while a recording is made; a power of two */

typedef struct launch {
    cl_kernel kernel;
    size_t group;
} launch;

/* Part of a memory that dispatches bind. */
typedef struct part {
    const gpu_memory *memory;
    uint64_t offset_bytes, n_bytes;
    cl_mem buffer;
    cl_mem texels; /* an image that ends with the part; NULL while nobody reads it so */
    uint32_t next; /* in its chain, + 1 */
} part;

/* What recordings move for memory that has a shadow. */
typedef struct moved {
    gpu_memory *memory;
    uint64_t offset_bytes, n_bytes; /* to the device */
    uint64_t back_bytes;            /* from there, of the same offset; 0: nothing */
} moved;

struct gpu_recording {
    gpu_driver *driver;
    launch *launches;
    part *parts;
    moved *moves;
    uint32_t n_launches, n_parts, n_moves;
    uint32_t launches_capacity, parts_capacity, moves_capacity;
};

/* ---- making ---- */
static sy_status check_binding(const gpu_driver *driver, const gpu_binding *binding) {
    const gpu_limits *limits = &driver->device.limits;
    uint64_t n_all = binding->memory->n_bytes;
    if (binding->n_bytes > limits->binding_most_bytes || binding->n_bytes == 0 ||
        binding->offset_bytes % limits->binding_alignment_bytes != 0 ||
        binding->offset_bytes > n_all || binding->n_bytes > n_all - binding->offset_bytes) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a binding of %" PRIu64 " bytes at %" PRIu64 " of a memory of %" PRIu64
                          " (alignment %" PRIu32 ", at most %" PRIu64 ")",
                          binding->n_bytes, binding->offset_bytes, n_all,
                          limits->binding_alignment_bytes, limits->binding_most_bytes);
    }
    return SY_OK;
}

/* A buffer over the part: the memory's own where it is all of it. */
static sy_status open_part(gpu_driver *driver, part *at) {
    const ocl_api *api = driver->api;
    cl_int code;
    const gpu_memory *memory = at->memory;
    uint64_t left = memory->size_bytes - at->offset_bytes;
    uint64_t size = (at->n_bytes + 15u) & ~UINT64_C(15); /* four words at its end */
    size = size < left ? size : left;
    if (at->n_bytes == memory->n_bytes) {
        at->buffer = memory->buffer;
        code = api->clRetainMemObject(at->buffer);
    } else {
        cl_buffer_region region = {(size_t)at->offset_bytes, (size_t)size};
        at->buffer =
            api->clCreateSubBuffer(memory->buffer, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    }
    return code == CL_SUCCESS ? SY_OK : ocl_failed(driver, code, "binding a part of a memory");
}

cl_mem ocl_texels_of(gpu_driver *driver, cl_mem buffer, uint64_t n_bytes, cl_int *out_code) {
    const cl_image_format format = {CL_RGBA, CL_UNSIGNED_INT32};
    cl_image_desc description = {.image_type = CL_MEM_OBJECT_IMAGE1D_BUFFER,
                                 .image_width = (size_t)(n_bytes / 16u)};
    description.buffer = buffer;
    return driver->api->clCreateImage(driver->context, CL_MEM_READ_ONLY, &format, &description,
                                      NULL, out_code);
}

/* An image over the memory up to the end of the part: PoCL makes none of a sub-buffer. */
static sy_status open_texels(gpu_driver *driver, part *at) {
    uint64_t end = (at->offset_bytes + at->n_bytes + 15u) & ~UINT64_C(15);
    end = end < at->memory->size_bytes ? end : at->memory->size_bytes;
    if (at->texels != NULL) {
        return SY_OK;
    }
    if (end / 16u > driver->device.limits.texels_most) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "an image of %s shows %" PRIu64 " texels, not %" PRIu64,
                          driver->device.limits.id, driver->device.limits.texels_most, end / 16u);
    }
    cl_int code;
    at->texels = ocl_texels_of(driver, at->memory->buffer, end, &code);
    return at->texels != NULL ? SY_OK : ocl_failed(driver, code, "reading memory as an image");
}

/* Behind the bindings: the image, and where the part begins in it. */
static cl_int set_texels(const gpu_driver *driver, cl_kernel kernel, cl_uint i_argument,
                         const part *at) {
    cl_uint first = (cl_uint)(at->offset_bytes / 16u);
    cl_int code = driver->api->clSetKernelArg(kernel, i_argument, sizeof(cl_mem), &at->texels);
    return code == CL_SUCCESS
               ? driver->api->clSetKernelArg(kernel, i_argument + 1, sizeof(first), &first)
               : code;
}

static sy_status find_part(gpu_recording *recording, const gpu_binding *binding,
                           uint32_t chains[CHAINS], part **out_part) {
    uintptr_t mixed = (uintptr_t)binding->memory / 64u + (uintptr_t)binding->offset_bytes / 64u;
    uint32_t *chain = &chains[(mixed ^ mixed >> 8) % CHAINS];
    for (uint32_t i = *chain; i != 0; i = recording->parts[i - 1].next) {
        part *at = &recording->parts[i - 1];
        if (at->memory == binding->memory && at->offset_bytes == binding->offset_bytes &&
            at->n_bytes == binding->n_bytes) {
            *out_part = at;
            return SY_OK;
        }
    }
    part *at = &recording->parts[recording->n_parts];
    *at = (part){.memory = binding->memory,
                 .offset_bytes = binding->offset_bytes,
                 .n_bytes = binding->n_bytes,
                 .next = *chain};
    sy_status status = open_part(recording->driver, at);
    if (status == SY_OK) {
        *chain = ++recording->n_parts;
        *out_part = at;
    }
    return status;
}

/* Widens what is moved for a memory; nothing to do for one without shadow. */
static void add_move(gpu_recording *recording, gpu_memory *memory, uint64_t offset_bytes,
                     uint64_t n_bytes, uint64_t back_bytes) {
    if (memory->shadow == NULL) {
        return;
    }
    uint32_t i = 0;
    while (i < recording->n_moves && recording->moves[i].memory != memory) {
        i++;
    }
    moved *move = &recording->moves[i];
    if (i == recording->n_moves) {
        *move = (moved){memory, offset_bytes, n_bytes, back_bytes};
        recording->n_moves++;
        return;
    }
    uint64_t first = offset_bytes < move->offset_bytes ? offset_bytes : move->offset_bytes;
    uint64_t end = offset_bytes + n_bytes, move_end = move->offset_bytes + move->n_bytes;
    if (back_bytes == 0 && first == move->offset_bytes && end <= move_end) {
        return; /* it goes there already, and what comes back stays as it is */
    }
    end = end > move_end ? end : move_end;
    /* What goes back is all that went there: a part would have to be kept apart. */
    uint64_t back = back_bytes > 0 || move->back_bytes > 0 ? end - first : 0;
    *move = (moved){memory, first, end - first, back};
}

static sy_status set_arguments(gpu_recording *recording, const gpu_dispatch *dispatch,
                               gpu_memory *parameters, uint32_t chains[CHAINS]) {
    gpu_driver *driver = recording->driver;
    const ocl_api *api = driver->api;
    cl_kernel kernel = recording->launches[recording->n_launches - 1].kernel;
    cl_uint first = dispatch->first_word;
    cl_int code = api->clSetKernelArg(kernel, 0, sizeof(cl_mem), &parameters->buffer);
    if (code == CL_SUCCESS) {
        code = api->clSetKernelArg(kernel, 1, sizeof(first), &first);
    }
    uint32_t n_in = gpu_kernels[dispatch->pipeline->kernel].n_in;
    for (uint32_t i = 0; i < dispatch->n_bindings && code == CL_SUCCESS; i++) {
        const gpu_binding *binding = &dispatch->bindings[i];
        part *at = NULL;
        bool is_texels = i == OCL_TEXELS_BINDING && ocl_reads_texels(dispatch->pipeline);
        sy_status status = check_binding(driver, binding);
        if (status == SY_OK) {
            status = find_part(recording, binding, chains, &at);
        }
        if (status == SY_OK && is_texels) {
            status = open_texels(driver, at);
        }
        if (status != SY_OK) {
            return status;
        }
        add_move(recording, binding->memory, binding->offset_bytes, binding->n_bytes,
                 i >= n_in ? binding->n_bytes : 0);
        code = api->clSetKernelArg(kernel, i + 2, sizeof(cl_mem), &at->buffer);
        if (is_texels && code == CL_SUCCESS) {
            code = set_texels(driver, kernel, dispatch->n_bindings + 2, at);
        }
    }
    return code == CL_SUCCESS ? SY_OK
                              : ocl_failed(driver, code, "setting the arguments of a kernel");
}

static sy_status add_dispatch(gpu_recording *recording, const gpu_dispatch *dispatch,
                              gpu_memory *parameters, uint32_t chains[CHAINS]) {
    gpu_driver *driver = recording->driver;
    const gpu_pipeline *pipeline = dispatch->pipeline;
    const gpu_kernel_facts *facts = &gpu_kernels[pipeline->kernel];
    if (dispatch->n_bindings != facts->n_in + facts->n_out) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "%s has %" PRIu32 " bindings, not %" PRIu32, facts->name,
                          facts->n_in + facts->n_out, dispatch->n_bindings);
    }
    cl_int code;
    cl_kernel kernel = driver->api->clCreateKernel(pipeline->program, "run", &code);
    if (kernel == NULL) {
        return ocl_failed(driver, code, "making a kernel ready");
    }
    recording->launches[recording->n_launches++] = (launch){kernel, pipeline->constants[0]};
    return set_arguments(recording, dispatch, parameters, chains);
}

static sy_status allocate(gpu_recording *recording, const gpu_dispatch *dispatches,
                          uint32_t n_dispatches) {
    uint64_t n_bindings = 1;
    for (uint32_t i = 0; i < n_dispatches; i++) {
        if (dispatches[i].n_bindings > GPU_BINDINGS_MAX) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "a kernel has at most %u bindings",
                              GPU_BINDINGS_MAX);
        }
        n_bindings += dispatches[i].n_bindings;
    }
    if (n_bindings > UINT32_MAX / 2) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "too many dispatches to record");
    }
    recording->launches_capacity = n_dispatches;
    recording->parts_capacity = recording->moves_capacity = (uint32_t)n_bindings;
    recording->launches = kit_alloc(n_dispatches * sizeof(launch));
    recording->parts = kit_alloc((size_t)n_bindings * sizeof(part));
    recording->moves = kit_alloc((size_t)n_bindings * sizeof(moved));
    if (recording->launches == NULL || recording->parts == NULL || recording->moves == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a recording");
    }
    return SY_OK;
}

sy_status gpu_recording_create(gpu_driver *driver, const gpu_dispatch *dispatches,
                               uint32_t n_dispatches, gpu_memory *parameters,
                               gpu_recording **out_recording) {
    sy_status status = ocl_check(driver);
    if (status != SY_OK) {
        return status;
    }
    gpu_recording *recording = kit_alloc(sizeof(*recording));
    if (recording == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a recording");
    }
    recording->driver = driver;
    uint32_t chains[CHAINS] = {0};
    status = allocate(recording, dispatches, n_dispatches);
    if (status == SY_OK) { /* back comes the status word, first of all */
        add_move(recording, parameters, 0, parameters->n_bytes, sizeof(uint32_t));
    }
    for (uint32_t i = 0; i < n_dispatches && status == SY_OK; i++) {
        status = add_dispatch(recording, &dispatches[i], parameters, chains);
    }
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
    const ocl_api *api = recording->driver->api;
    for (uint32_t i = 0; i < recording->n_launches; i++) {
        api->clReleaseKernel(recording->launches[i].kernel);
    }
    for (uint32_t i = 0; i < recording->n_parts; i++) {
        if (recording->parts[i].texels != NULL) {
            api->clReleaseMemObject(recording->parts[i].texels);
        }
        api->clReleaseMemObject(recording->parts[i].buffer);
    }
    kit_release(recording->launches, recording->launches_capacity * sizeof(launch));
    kit_release(recording->parts, recording->parts_capacity * sizeof(part));
    kit_release(recording->moves, recording->moves_capacity * sizeof(moved));
    kit_release(recording, sizeof(*recording));
}

/* ---- running ---- */
/* A shadow that an earlier run still writes is not yet what this run has to read. */
static cl_int settle_shadows(const gpu_recording *recording) {
    gpu_driver *driver = recording->driver;
    for (uint32_t i = 0; i < recording->n_moves; i++) {
        if (!ocl_tickets_is_over(&driver->tickets, recording->moves[i].memory->back_ticket)) {
            return driver->api->clFinish(driver->queue);
        }
    }
    return CL_SUCCESS;
}

static cl_int move_there(const gpu_recording *recording) {
    const gpu_driver *driver = recording->driver;
    cl_int code = settle_shadows(recording);
    for (uint32_t i = 0; i < recording->n_moves && code == CL_SUCCESS; i++) {
        const moved *move = &recording->moves[i];
        code = driver->api->clEnqueueWriteBuffer(
            driver->queue, move->memory->buffer, CL_FALSE, (size_t)move->offset_bytes,
            (size_t)move->n_bytes, move->memory->shadow + move->offset_bytes, 0, NULL, NULL);
    }
    return code;
}

static cl_int move_back(const gpu_recording *recording) {
    const gpu_driver *driver = recording->driver;
    cl_int code = CL_SUCCESS;
    for (uint32_t i = 0; i < recording->n_moves && code == CL_SUCCESS; i++) {
        const moved *move = &recording->moves[i];
        if (move->back_bytes > 0) {
            code = driver->api->clEnqueueReadBuffer(
                driver->queue, move->memory->buffer, CL_FALSE, (size_t)move->offset_bytes,
                (size_t)move->back_bytes, move->memory->shadow + move->offset_bytes, 0, NULL, NULL);
        }
    }
    return code;
}

static cl_int enqueue(const gpu_recording *recording, const uint32_t (*groups)[3],
                      cl_event *out_event) {
    const gpu_driver *driver = recording->driver;
    const ocl_api *api = driver->api;
    cl_int code = move_there(recording);
    for (uint32_t i = 0; i < recording->n_launches && code == CL_SUCCESS; i++) {
        const launch *at = &recording->launches[i];
        size_t local[3] = {at->group, 1, 1};
        size_t global[3] = {groups[i][0] * at->group, groups[i][1], groups[i][2]};
        if (global[0] != 0 && global[1] != 0 && global[2] != 0) {
            code = api->clEnqueueNDRangeKernel(driver->queue, at->kernel, 3, NULL, global, local, 0,
                                               NULL, NULL);
        }
    }
    if (code == CL_SUCCESS) {
        code = move_back(recording);
    }
    if (code == CL_SUCCESS) {
        code = api->clEnqueueMarkerWithWaitList(driver->queue, 0, NULL, out_event);
    }
    return code == CL_SUCCESS ? api->clFlush(driver->queue) : code;
}

static sy_status check_groups(const gpu_recording *recording, const uint32_t (*groups)[3]) {
    const uint32_t *most = recording->driver->device.limits.groups_most;
    for (uint32_t i = 0; i < recording->n_launches; i++) {
        if (groups[i][0] > most[0] || groups[i][1] > most[1] || groups[i][2] > most[2]) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "dispatch %" PRIu32 " has more groups than %s takes", i,
                              recording->driver->device.limits.id);
        }
    }
    return SY_OK;
}

sy_status gpu_recording_run(gpu_recording *recording, const uint32_t (*groups)[3],
                            uint64_t *out_ticket) {
    gpu_driver *driver = recording->driver;
    sy_status status = ocl_check(driver);
    if (status == SY_OK) {
        status = check_groups(recording, groups);
    }
    if (status != SY_OK) {
        return status;
    }
    if (!ocl_tickets_has_room(&driver->tickets)) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "%u runs are under way on %s: wait for one", OCL_TICKETS_MOST,
                          driver->device.limits.id);
    }
    cl_event event = NULL;
    cl_int code = enqueue(recording, groups, &event);
    if (code != CL_SUCCESS) {
        if (event != NULL) {
            driver->api->clReleaseEvent(event);
        }
        driver->api->clFinish(driver->queue); /* nothing of it is left when this answers */
        return ocl_failed(driver, code, "starting a run");
    }
    uint64_t ticket = ocl_tickets_add(&driver->tickets, event);
    for (uint32_t i = 0; i < recording->n_moves; i++) {
        recording->moves[i].memory->back_ticket = ticket;
    }
    *out_ticket = ticket;
    return SY_OK;
}

void gpu_recording_moved(const gpu_recording *recording, uint64_t *out_written,
                         uint64_t *out_read) {
    *out_written = *out_read = 0;
    for (uint32_t i = 0; i < recording->n_moves; i++) {
        *out_written += recording->moves[i].n_bytes;
        *out_read += recording->moves[i].back_bytes;
    }
}
