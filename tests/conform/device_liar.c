/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegates that lie about blobs and faults: the fake NPU with one thing done wrong. LIE is which;
 * each is a shared object of its own, and device_liars_test.c asks that the kit finds every one.
 */
#include "fake_npu.h"

#include <stdlib.h>
#include <string.h>

enum {
    HONEST_DEVICE,
    OWN_BYTES,        /* compile points out_blob to memory of its own */
    COMPILES_ONCE,    /* the second compile of a device fails */
    FOR_ITSELF,       /* a blob loads on the device that compiled it alone */
    LOST_WRITES,      /* compile succeeds whatever blob_write answers */
    ANY_STAMP,        /* every blob is exact */
    SILENT_GRADE,     /* a grade without a reason */
    NO_GRADE,         /* a grade that does not exist */
    PATCHES_UP,       /* loads what is not whole, and computes something */
    WRONG_CLASS,      /* refuses a blob as if it was a bug */
    LEAKS_REFUSED,    /* memory of a blob that it refuses */
    TIRES,            /* no compile works after one that had no memory */
    HOLDS_WEIGHTS,    /* computes with the weights of the graph that was compiled */
    TRUSTS_LENGTH,    /* crashes on a blob that was cut */
    FAULTLESS,        /* makes no fault */
    FORGETS_SIGNALS,  /* a job that is lost signals once, not twice */
    HEALTHY,          /* health knows of no loss */
    BORN_LOST,        /* health says lost from the start */
    COUNTS_NOTHING,   /* no live handles, ever */
    UNDEAD,           /* a lost device answers as if it had a bug */
    HOLDS_ON,         /* what a lost device made cannot be destroyed */
    BROKEN_FOR_GOOD,  /* computes wrong after a loss, on every device */
    OTHER_ROWS,       /* rows that are loaded change, unless a unit is there */
    OFF_ONCE_CLOSED,  /* computes wrong once a device was closed */
    HANGS_ON,         /* no deadline ends a job that hangs */
    SOUND_AFTER_HANG, /* says that it is sound after a job that hung, and is not */
    WRONG_MEMORY,     /* no memory is reported as a bug */
    LEAKS_MEMORY,     /* something stays when there was no memory */
    NEVER_AGAIN,      /* nothing loads once there was no memory */
    NO_GARBAGE        /* fault=garbage@N does nothing */
};

#define IS(number) (LIE == (number))
#define WEIGHT_BYTES_MAX (1u << 20)

static const sy_plugin *honest;
static const sy_host *host;
static sy_plugin table;
static uint32_t n_opened, n_closed, n_compiled, opened_when_compiled;
static int was_lost, was_short, is_patched;
static void *volatile leaked;

static sy_status lie_open(sy_context *context, uint32_t i_device, const char *options,
                          sy_device **out_device) {
    int is_faultless =
        IS(FAULTLESS) || (IS(NO_GARBAGE) && options != NULL && strstr(options, "garbage@") != NULL);
    n_opened++;
    n_compiled = 0;
    was_short = 0;
    return honest->open(context, i_device, is_faultless ? NULL : options, out_device);
}

static sy_status lie_close(sy_device *device) {
    n_closed++;
    return honest->close(device);
}

static sy_status lie_health(sy_device *device, sy_health *out_health) {
    sy_status status = honest->health(device, out_health);
    if (IS(HEALTHY) || (IS(SOUND_AFTER_HANG) && device->hang.is_started)) {
        out_health->state = SY_HEALTH_OK;
    }
    out_health->state = IS(BORN_LOST) ? SY_HEALTH_LOST : out_health->state;
    out_health->live_handles = IS(COUNTS_NOTHING) ? 0 : out_health->live_handles;
    return status;
}

/* Contents of the weights that compile saw. */
static uint8_t compiled_weights[WEIGHT_BYTES_MAX];
static const sy_graph_view *behind;

static sy_status weights_of_compile(sy_graph_handle *graph, uint32_t i_value,
                                    sy_value_view *out_value) {
    sy_status status = behind->value(graph, i_value, out_value);
    if (status == SY_OK && out_value->kind == SY_VALUE_WEIGHT &&
        out_value->data.length_bytes <= WEIGHT_BYTES_MAX) {
        out_value->data.pointer = compiled_weights;
    }
    return status;
}

static void note_weights(const sy_graph_view *view) {
    for (uint32_t v = 0; v < view->n_values; v++) {
        sy_value_view value;
        if (view->value(view->graph, v, &value) == SY_OK && value.kind == SY_VALUE_WEIGHT &&
            value.data.length_bytes <= WEIGHT_BYTES_MAX) {
            memcpy(compiled_weights, value.data.pointer, value.data.length_bytes);
        }
    }
}

static sy_status lie_compile(sy_device *device, const sy_graph_view *view,
                             const sy_segment *segment, sy_blob *out_blob) {
    if (IS(HOLDS_WEIGHTS)) {
        note_weights(view);
    }
    opened_when_compiled = n_opened;
    if ((IS(COMPILES_ONCE) && n_compiled++ > 0) || (IS(TIRES) && was_short)) {
        return SY_INTERNAL;
    }
    sy_status status = honest->compile(device, view, segment, out_blob);
    was_short |= SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED;
    was_lost |= SY_STATUS_CLASS(status) == SY_UNAVAILABLE;
    if (IS(OWN_BYTES)) {
        out_blob->bytes.pointer = &table;
    }
    if (IS(UNDEAD) && SY_STATUS_CLASS(status) == SY_UNAVAILABLE) {
        return SY_INTERNAL;
    }
    return IS(LOST_WRITES) ? SY_OK : status;
}

static sy_status lie_probe(sy_device *device, const sy_blob *blob, sy_compatibility *out) {
    sy_status status = honest->probe(device, blob, out);
    out->grade = IS(ANY_STAMP) ? SY_GRADE_EXACT : IS(NO_GRADE) ? 77u : out->grade;
    if (IS(SILENT_GRADE)) {
        memset(out->why, 0, sizeof(out->why));
    }
    return status;
}

static sy_status refused(sy_device *device, const sy_load_request *request, sy_status status,
                         sy_unit_info *out_info, sy_unit **out_unit) {
    uint32_t kind = SY_STATUS_CLASS(status);
    sy_load_request plain = *request;
    if (IS(LEAKS_REFUSED) && kind == SY_DATA_LOSS) {
        leaked = host->alloc(host->context, 100, 64);
    } else if (IS(PATCHES_UP) && kind == SY_DATA_LOSS) {
        plain.blob = NULL;
        is_patched = 1;
        return honest->load(device, &plain, out_info, out_unit);
    } else if (IS(LEAKS_MEMORY) && kind == SY_RESOURCE_EXHAUSTED) {
        leaked = host->alloc(host->context, 100, 64);
    }
    was_short |= kind == SY_RESOURCE_EXHAUSTED;
    return (IS(WRONG_CLASS) && (kind == SY_DATA_LOSS || kind == SY_FAILED_PRECONDITION)) ||
                   (IS(WRONG_MEMORY) && kind == SY_RESOURCE_EXHAUSTED)
               ? (sy_status)SY_INTERNAL
               : status;
}

static sy_status lie_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                          sy_unit **out_unit) {
    sy_load_request changed = *request;
    sy_graph_view view = *request->view;
    is_patched = 0;
    if (IS(TRUSTS_LENGTH) && request->blob != NULL && request->blob->bytes.length_bytes % 8 != 0) {
        abort();
    }
    if (IS(FOR_ITSELF) && opened_when_compiled != n_opened) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_FAILED_PRECONDITION, SY_NO_VALUE,
                     "compiled by another device");
        return SY_FAILED_PRECONDITION;
    }
    if (IS(NEVER_AGAIN) && was_short) {
        return SY_RESOURCE_EXHAUSTED;
    }
    if (IS(HOLDS_WEIGHTS)) {
        behind = request->view;
        view.value = weights_of_compile;
        changed.view = &view;
    }
    sy_status status = honest->load(device, &changed, out_info, out_unit);
    return status == SY_OK ? SY_OK : refused(device, request, status, out_info, out_unit);
}

static sy_status lie_submit(sy_unit *unit, const sy_job *job) {
    sy_job changed = *job;
    changed.header.size = sizeof(changed);
    if (IS(HANGS_ON) && unit->device->hang_at != 0) {
        changed.deadline_ns = 0;
    }
    int is_wrong =
        is_patched || (IS(BROKEN_FOR_GOOD) && was_lost) || (IS(OFF_ONCE_CLOSED) && n_closed > 0);
    if (is_wrong) { /* before it is signalled: a Linear of other numbers */
        for (uint32_t i = 0; i < job->n_inputs; i++) {
            memset(job->inputs[i].buffer->bytes + job->inputs[i].offset_bytes, 0x3f,
                   job->inputs[i].length_bytes);
        }
    }
    sy_status status = honest->submit(unit, &changed);
    if (IS(FORGETS_SIGNALS) && SY_STATUS_CLASS(status) == SY_UNAVAILABLE) {
        host->fence_signal(host->context, job->signals[0], status);
        return SY_OK;
    }
    return status;
}

static sy_status lie_cancel(sy_unit *unit, uint64_t run) {
    return IS(HANGS_ON) ? SY_OK : honest->cancel(unit, run);
}

static sy_status lie_buffer_destroy(sy_buffer *buffer) {
    int is_kept = IS(HOLDS_ON) && buffer->device->lost;
    sy_status status = honest->buffer_destroy(buffer);
    return is_kept ? (sy_status)SY_UNAVAILABLE : status;
}

static sy_status lie_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                                uint64_t n_bytes) {
    sy_status status = honest->state_load(state, first, count, rows, n_bytes);
    if (IS(OTHER_ROWS) && status == SY_OK && state->device->live == 1) {
        state->rows[first * state->width] += 1.0f;
    }
    return status;
}

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *services) {
    honest = FAKE_ENTRY(host_abi, services);
    host = services;
    if (honest == NULL) {
        return NULL;
    }
    table = *honest;
    table.open = lie_open;
    table.close = lie_close;
    table.health = lie_health;
    table.compile = lie_compile;
    table.probe = lie_probe;
    table.load = lie_load;
    table.submit = lie_submit;
    table.cancel = lie_cancel;
    table.buffer_destroy = lie_buffer_destroy;
    table.state_load = lie_state_load;
    return &table;
}
