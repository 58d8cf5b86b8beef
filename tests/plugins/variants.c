/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One small delegate that runs a f32 Linear, and many ways to get it wrong: each VARIANT_* macro
 * builds another shared object from this source. VARIANT is its number, PLUGIN_NAME its name.
 */
#include "sy_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GOOD,
    NULL_TABLE,      /* reports, then answers NULL */
    SILENT_NULL,     /* answers NULL without a word */
    FUTURE_MAJOR,    /* ABI 1.0 */
    FUTURE_MINOR,    /* a minor above the host's */
    OLDER_MINOR,     /* a minor that is not spoken any more */
    SHORT_HEADER,    /* a table that ends before the mandatory functions */
    LONG_HEADER,     /* a longer table: fine */
    NO_SUBMIT,       /* lacks a mandatory function */
    HALF_STATES,     /* some state functions without the others */
    SECOND_EXPORT,   /* a second exported symbol */
    ENUMERATE_FAILS, /* with a report */
    CHANGING_COUNT,  /* promises two devices, delivers one */
    ZERO_DEVICES,    /* with a report */
    WRONG_NAME,      /* the table's name is not the manifest's */
    MUST_EXTENSION,  /* requires an extension nobody knows */
    MAY_EXTENSION,   /* offers one: fine */
    TWIN_IDS,        /* two devices with one id */
    OPEN_FAILS,      /* with a report */
    WRONG_CLASS,     /* says gpu where the name says cpu */
    LIVE_HANDLES,    /* says that handles live when it is closed */
    CLOSE_FAILS,
    JUDGE_FAILS,
    ODD_ALIGNMENT /* device info that makes no sense */
};

#define IS(number) (VARIANT == (number))

struct sy_device {
    uint32_t i_device;
};
struct sy_buffer {
    void *bytes;
    uint64_t n_bytes;
    int is_owned;
};
struct sy_unit {
    const float *weight;
    uint64_t n_in, n_out;
};

static const sy_host *host;
static struct sy_device devices[2] = {{0}, {1}};

/* Proof that code of this file ran: a test sets the variable and looks for the file. */
__attribute__((constructor)) static void leave_marker(void) {
    const char *path = getenv("SY_TEST_MARKER");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fclose(file);
    }
}

static void report(sy_status status, const char *text) {
    host->report(host->context, SY_SEVERITY_ERROR, status, SY_NO_VALUE, text);
}

static sy_status plugin_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                                  uint32_t *inout_count) {
    (void)context;
    uint32_t n = IS(ZERO_DEVICES) ? 0 : IS(TWIN_IDS) || IS(CHANGING_COUNT) ? 2 : 1;
    if (IS(ENUMERATE_FAILS)) {
        report(SY_UNAVAILABLE, "the driver does not answer");
        return SY_UNAVAILABLE;
    }
    if (IS(ZERO_DEVICES)) {
        report(SY_NOT_FOUND, "no accelerator on this board");
    }
    for (uint32_t i = 0; out_infos != NULL && i < n && i < *inout_count; i++) {
        sy_device_info *info = (sy_device_info *)((char *)out_infos + i * stride);
        snprintf(info->id, sizeof(info->id), "dev%u", IS(TWIN_IDS) ? 0 : i);
        snprintf(info->driver, sizeof(info->driver), "test-1");
        info->device_class = IS(WRONG_CLASS) ? SY_DEVICE_GPU : SY_DEVICE_CPU;
        info->memory_in = info->memory_own = SY_MEMORY_BIT(SY_MEMORY_HOST);
        info->alignment_bytes = IS(ODD_ALIGNMENT) ? 48 : 64;
    }
    *inout_count = IS(CHANGING_COUNT) && out_infos != NULL ? 1 : n;
    return SY_OK;
}

static sy_status plugin_open(sy_context *context, uint32_t i_device, const char *options,
                             sy_device **out_device) {
    (void)context;
    if (IS(OPEN_FAILS)) {
        report(SY_UNAVAILABLE, "the device is locked by another process");
        return SY_UNAVAILABLE;
    }
    if (options != NULL && strcmp(options, "speed=fast\n") != 0) {
        report(SY_INVALID_ARGUMENT, "only speed=fast is known");
        return SY_INVALID_ARGUMENT;
    }
    *out_device = &devices[i_device];
    return SY_OK;
}

static sy_status plugin_close(sy_device *device) {
    (void)device;
    return IS(CLOSE_FAILS) ? SY_INTERNAL : SY_OK;
}

static sy_status plugin_health(sy_device *device, sy_health *out_health) {
    (void)device;
    out_health->live_handles = IS(LIVE_HANDLES);
    return SY_OK;
}

static int runs(const sy_graph_view *view, uint32_t i_node) {
    sy_node_view node;
    sy_value_view x, w;
    return view->node(view->graph, i_node, &node) == SY_OK &&
           strcmp(node.domain, "switchyard") == 0 && strcmp(node.op, "Linear") == 0 &&
           node.n_inputs == 2 && view->value(view->graph, node.inputs[0], &x) == SY_OK &&
           view->value(view->graph, node.inputs[1], &w) == SY_OK && x.type == SY_TYPE_F32 &&
           w.type == SY_TYPE_F32 && w.kind == SY_VALUE_WEIGHT;
}

static sy_status plugin_judge(sy_device *device, const sy_graph_view *view,
                              sy_verdict *out_verdicts, size_t stride) {
    (void)device;
    for (uint32_t i = 0; i < view->n_nodes; i++) {
        sy_verdict *verdict = (sy_verdict *)((char *)out_verdicts + i * stride);
        verdict->support = runs(view, i) ? SY_SUPPORT_NATIVE : SY_SUPPORT_NO;
        verdict->score = 50;
        verdict->time_us = 1;
        if (verdict->support == SY_SUPPORT_NO) {
            verdict->reason = SY_REASON_OPERATOR;
            snprintf(verdict->why, sizeof(verdict->why), "only Linear in f32");
        }
    }
    return IS(JUDGE_FAILS) ? SY_INTERNAL : SY_OK;
}

static sy_status plugin_load(sy_device *device, const sy_load_request *request,
                             sy_unit_info *out_info, sy_unit **out_unit) {
    (void)device;
    (void)out_info;
    sy_node_view node;
    sy_value_view w;
    const sy_graph_view *view = request->view;
    if (request->segment->n_nodes != 1 || !runs(view, request->segment->nodes[0]) ||
        view->node(view->graph, request->segment->nodes[0], &node) != SY_OK ||
        view->value(view->graph, node.inputs[1], &w) != SY_OK) {
        report(SY_UNIMPLEMENTED, "one Linear at a time");
        return SY_UNIMPLEMENTED;
    }
    sy_unit *unit = host->alloc(host->context, sizeof(*unit), 64);
    if (unit == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *unit = (sy_unit){w.data.pointer, (uint64_t)w.dims[1].bound, (uint64_t)w.dims[0].bound};
    *out_unit = unit;
    return SY_OK;
}

static sy_status plugin_unload(sy_unit *unit) {
    host->release(host->context, unit, sizeof(*unit));
    return SY_OK;
}

static sy_status make_buffer(void *bytes, uint64_t n_bytes, int is_owned, sy_buffer **out_buffer) {
    sy_buffer *buffer = host->alloc(host->context, sizeof(*buffer), 64);
    if (buffer == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *buffer = (sy_buffer){bytes, n_bytes, is_owned};
    *out_buffer = buffer;
    return SY_OK;
}

static sy_status plugin_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                                      sy_buffer **out_buffer) {
    (void)device;
    if (kind != SY_MEMORY_HOST) {
        return SY_UNIMPLEMENTED;
    }
    void *bytes = host->alloc(host->context, (size_t)n_bytes, 64);
    sy_status status = bytes != NULL ? make_buffer(bytes, n_bytes, 1, out_buffer)
                                     : (sy_status)SY_RESOURCE_EXHAUSTED;
    if (status != SY_OK && bytes != NULL) {
        host->release(host->context, bytes, (size_t)n_bytes);
    }
    return status;
}

static sy_status plugin_buffer_import(sy_device *device, const sy_memory *memory,
                                      sy_buffer **out_buffer) {
    (void)device;
    return memory->kind == SY_MEMORY_HOST
               ? make_buffer(memory->pointer, memory->length_bytes, 0, out_buffer)
               : (sy_status)SY_UNIMPLEMENTED;
}

static sy_status plugin_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                                   uint32_t access, void **out_pointer) {
    (void)access;
    if (offset_bytes > buffer->n_bytes || n_bytes > buffer->n_bytes - offset_bytes) {
        return SY_OUT_OF_RANGE;
    }
    *out_pointer = (char *)buffer->bytes + offset_bytes;
    return SY_OK;
}

static sy_status plugin_buffer_unmap(sy_buffer *buffer) {
    (void)buffer;
    return SY_OK;
}

static sy_status plugin_buffer_destroy(sy_buffer *buffer) {
    if (buffer->is_owned) {
        host->release(host->context, buffer->bytes, (size_t)buffer->n_bytes);
    }
    host->release(host->context, buffer, sizeof(*buffer));
    return SY_OK;
}

static sy_status plugin_submit(sy_unit *unit, const sy_job *job) {
    const float *x =
        (const float *)((char *)job->inputs[0].buffer->bytes + job->inputs[0].offset_bytes);
    float *y = (float *)((char *)job->outputs[0].buffer->bytes + job->outputs[0].offset_bytes);
    uint64_t n_rows = job->inputs[0].length_bytes / (unit->n_in * sizeof(float));
    for (uint64_t i = 0; i < n_rows; i++) {
        for (uint64_t j = 0; j < unit->n_out; j++) {
            float sum = 0;
            for (uint64_t k = 0; k < unit->n_in; k++) {
                sum += x[i * unit->n_in + k] * unit->weight[j * unit->n_in + k];
            }
            y[i * unit->n_out + j] = sum;
        }
    }
    for (uint32_t i = 0; i < job->n_signals; i++) {
        host->fence_signal(host->context, job->signals[i], SY_OK);
    }
    return SY_OK;
}

static sy_status plugin_state_create(sy_device *device, const sy_state_description *description,
                                     sy_state **out_state) {
    (void)device;
    (void)description;
    (void)out_state;
    return SY_UNIMPLEMENTED;
}

static const sy_extension extension = {NULL, 0x80001234u, sizeof(sy_extension), IS(MUST_EXTENSION),
                                       0};

static struct {
    sy_plugin table;
    char beyond[64];
} answer;

static void fill_table(void) {
    answer.table = (sy_plugin){.header = SY_HEADER_INIT(sy_plugin),
                               .name = IS(WRONG_NAME) ? "somebody-else" : PLUGIN_NAME,
                               .vendor = "test",
                               .version = "1",
                               .enumerate = plugin_enumerate,
                               .open = plugin_open,
                               .close = plugin_close,
                               .health = plugin_health,
                               .judge = plugin_judge,
                               .load = plugin_load,
                               .unload = plugin_unload,
                               .buffer_create = plugin_buffer_create,
                               .buffer_import = plugin_buffer_import,
                               .buffer_map = plugin_buffer_map,
                               .buffer_unmap = plugin_buffer_unmap,
                               .buffer_destroy = plugin_buffer_destroy,
                               .submit = IS(NO_SUBMIT) ? NULL : plugin_submit,
                               .state_create = IS(HALF_STATES) ? plugin_state_create : NULL};
    sy_header *header = &answer.table.header;
    header->abi = IS(FUTURE_MAJOR)   ? 1u << 16
                  : IS(FUTURE_MINOR) ? SY_ABI_VERSION + 1
                  : IS(OLDER_MINOR)  ? (SY_ABI_MAJOR << 16 | 8) /* a draft */
                                     : SY_ABI_VERSION;
    header->size = IS(SHORT_HEADER)  ? (uint32_t)offsetof(sy_plugin, submit)
                   : IS(LONG_HEADER) ? (uint32_t)sizeof(answer)
                                     : header->size;
    header->extensions = IS(MUST_EXTENSION) || IS(MAY_EXTENSION) ? &extension : NULL;
}

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *services) {
    (void)host_abi;
    host = services;
    if (IS(NULL_TABLE)) {
        report(SY_UNAVAILABLE, "the licence of this driver has run out");
    }
    if (IS(NULL_TABLE) || IS(SILENT_NULL)) {
        return NULL;
    }
    fill_table();
    return &answer.table;
}

#if VARIANT_EXPORTS_TWO
SY_PLUGIN_EXPORT int somebody_elses_business(void);
int somebody_elses_business(void) {
    return 1;
}
#endif
