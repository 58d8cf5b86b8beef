/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegates that lie: the reference delegate with one thing done wrong. LIE is which; each is a
 * shared object of its own, and liars_test.c asks that the kit finds every one of them.
 */
#include "reference/reference.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HONEST,
    GARBAGE,         /* claims, runs, answers noise */
    STALE_OUTPUT,    /* claims, signals, writes nothing */
    SILENT_NO,       /* "no" without a reason */
    MUTE_NO,         /* "no" with a reason and no text */
    FAILS_LOAD,      /* accepts, then does not load */
    FAILS_JOB,       /* accepts, then the job fails */
    WRONG_TAIL,      /* right for even sizes only */
    TWO_SIGNALS,     /* signals twice */
    NO_SIGNAL,       /* forgets the second signal of a job */
    NEVER_WAITS,     /* starts before what it should wait for */
    PAST_END,        /* writes one float past an output */
    STOMPS_INPUT,    /* writes to an input */
    REJECTS_LARGER,  /* refuses structs that are larger than it knows */
    IGNORES_MUST,    /* goes on with an extension that it must know */
    REFUSES_MAY,     /* refuses an extension that it may ignore */
    LEAKS,           /* host memory */
    LEAKS_HEAP,      /* memory of its own */
    LEAKS_FILE,      /* a descriptor at every open */
    NEWER_TABLE,     /* a table above the host's minor */
    SILENT_DECLINE,  /* no table for an old host, and no word */
    PRINTS,          /* to stdout */
    HANDLES_SIGNALS, /* installs a handler */
    SETS_ENVIRONMENT,
    CRASHES,       /* on one operator */
    HANGS,         /* in load */
    WRONG_ROW,     /* saves rows from one further */
    SHALLOW_CLONE, /* a clone that is the same state */
    NO_SHIFT,      /* a shift that does nothing */
    HALF_TABLE,    /* state functions, some of them */
    MAPS_ANYTHING, /* past the end too */
    WRITES_WEIGHTS,
    HOARDS,         /* takes more memory for weights than it says */
    UNCHECKED,      /* uses memory that was refused */
    ANY_VERSION,    /* takes every version of an operator */
    LEAKY_TRUNCATE, /* rows rewritten after it are those of the clone too */
    WRONG_REFUSAL,  /* a truncation that was refused changed rows */
    SAME_FORK,      /* a fork with the max_tokens of what it came from */
    WRONG_NEED,     /* foretells half of the bytes */
    FORGETS         /* rows within the window */
};

#define HOARD_BYTES (1u << 20)
#define IS(number) (LIE == (number))

static const sy_plugin *honest;
static const sy_host *host;
static sy_plugin table;
static void *hoard;

static sy_status lie_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                               uint32_t *inout_count) {
    if (IS(PRINTS)) {
        printf("hello from the driver\n");
    }
    if (IS(HANDLES_SIGNALS)) {
        signal(SIGSEGV, SIG_IGN);
    }
    if (IS(SETS_ENVIRONMENT)) {
        setenv("CONFORM_LIAR", "1", 1);
    }
    return honest->enumerate(context, out_infos, stride, inout_count);
}

static sy_status lie_open(sy_context *context, uint32_t i_device, const char *options,
                          sy_device **out_device) {
    static void *volatile leaked;
    if (IS(LEAKS)) {
        leaked = host->alloc(context, 100, 64);
    } else if (IS(LEAKS_HEAP)) {
        leaked = malloc(4000);
        memset(leaked, 1, 4000);
    } else if (IS(LEAKS_FILE)) {
        (void)!dup(2);
    }
    return honest->open(context, i_device, options, out_device);
}

static sy_status look(const sy_header *header, uint32_t known_bytes) {
    if (IS(REJECTS_LARGER) && header->size > known_bytes) {
        return SY_INVALID_ARGUMENT;
    }
    return IS(REFUSES_MAY) && header->extensions != NULL ? SY_UNIMPLEMENTED : SY_OK;
}

/* A view whose nodes have the version that the honest delegate knows. */
static const sy_graph_view *behind;
static sy_status tamed_node(sy_graph_handle *graph, uint32_t i_node, sy_node_view *out_node) {
    sy_status status = behind->node(graph, i_node, out_node);
    out_node->version = out_node->version > 50 ? out_node->version - 50 : out_node->version;
    return status;
}

static sy_status lie_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                           size_t stride) {
    sy_graph_view tamed = *view;
    sy_status status = look(&view->header, sizeof(*view));
    if (status != SY_OK) {
        return status;
    }
    if (IS(IGNORES_MUST)) {
        tamed.header.extensions = NULL;
    }
    if (IS(ANY_VERSION)) {
        behind = view;
        tamed.node = tamed_node;
    }
    tamed.header.size = sizeof(tamed);
    status = honest->judge(device, &tamed, out_verdicts, stride);
    for (uint32_t i = 0; i < view->n_nodes && status == SY_OK; i++) {
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        sy_node_view node;
        bool is_target = view->node(view->graph, i, &node) == SY_OK && strcmp(node.op, "Exp") == 0;
        if ((IS(SILENT_NO) || IS(MUTE_NO)) && is_target) {
            memset(verdict->why, 0, sizeof(verdict->why));
            verdict->support = SY_SUPPORT_NO;
            verdict->reason = IS(MUTE_NO) ? SY_REASON_OPERATOR : SY_REASON_NONE;
        }
    }
    return status;
}

static bool is_exp(const sy_load_request *request) {
    sy_node_view node;
    return request->view->node(request->view->graph, request->segment->nodes[0], &node) == SY_OK &&
           strcmp(node.op, "Exp") == 0;
}

static sy_status lie_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                          sy_unit **out_unit) {
    if (IS(UNCHECKED)) {
        char *memory = host->alloc(host->context, 100, 64);
        memory[0] = 1; /* there is always memory */
        host->release(host->context, memory, 100);
    }
    if (is_exp(request)) {
        if (IS(FAILS_LOAD)) {
            return SY_UNIMPLEMENTED;
        }
        if (IS(CRASHES)) {
            abort();
        }
        while (IS(HANGS)) {
            sleep(1);
        }
    }
    sy_value_view w;
    for (uint32_t i = 0; IS(WRITES_WEIGHTS) && i < request->view->n_values; i++) {
        if (request->view->value(request->view->graph, i, &w) == SY_OK &&
            w.kind == SY_VALUE_WEIGHT) {
            *(uint8_t *)w.data.pointer ^= 1;
        }
    }
    if (IS(HOARDS)) {
        hoard = host->alloc(host->context, HOARD_BYTES, 64);
    }
    return honest->load(device, request, out_info, out_unit);
}

static sy_status lie_unload(sy_unit *unit) {
    host->release(host->context, hoard, hoard != NULL ? HOARD_BYTES : 0);
    hoard = NULL;
    return honest->unload(unit);
}

static float *bytes_of(sy_buffer *buffer, uint64_t offset, uint64_t n_bytes) {
    void *bytes = NULL;
    return honest->buffer_map(buffer, offset, n_bytes, SY_ACCESS_WRITE, &bytes) == SY_OK ? bytes
                                                                                         : NULL;
}

/* The honest job without its signals, or nothing at all. */
static sy_status run(sy_unit *unit, const sy_job *job) {
    sy_job quiet = *job;
    quiet.header.size = sizeof(quiet);
    quiet.n_signals = 0;
    if (IS(NEVER_WAITS)) {
        quiet.n_waits = 0;
    }
    if (IS(IGNORES_MUST)) {
        quiet.header.extensions = NULL;
    }
    return IS(STALE_OUTPUT) ? SY_OK : honest->submit(unit, &quiet);
}

static void spoil(const sy_job *job) {
    const sy_binding *y = &job->outputs[0];
    if (IS(GARBAGE)) {
        memset(bytes_of(y->buffer, y->offset_bytes, y->length_bytes), 0x3f,
               (size_t)y->length_bytes);
    } else if (IS(WRONG_TAIL) && y->length_bytes % 8 == 4) {
        bytes_of(y->buffer, y->offset_bytes, y->length_bytes)[y->length_bytes / 4 - 1] = 77.0f;
    } else if (IS(PAST_END)) {
        *(uint8_t *)bytes_of(y->buffer, y->offset_bytes + y->length_bytes, 1) = 1;
    } else if (IS(STOMPS_INPUT) && job->n_inputs > 0 && job->inputs[0].length_bytes >= 4) {
        bytes_of(job->inputs[0].buffer, job->inputs[0].offset_bytes, 4)[0] += 1.0f;
    }
}

static sy_status lie_submit(sy_unit *unit, const sy_job *job) {
    sy_status status = look(&job->header, sizeof(*job));
    if (status != SY_OK) {
        return status;
    }
    for (const sy_extension *e = job->header.extensions; e != NULL && !IS(IGNORES_MUST);
         e = e->next) {
        if (e->must != 0) {
            return SY_UNIMPLEMENTED;
        }
    }
    status = run(unit, job);
    if (IS(FAILS_JOB) && job->outputs[0].length_bytes > 4096) {
        status = SY_INTERNAL;
    }
    if (status == SY_OK) {
        spoil(job);
    }
    for (uint32_t i = 0; i < job->n_signals && !(IS(NO_SIGNAL) && i > 0); i++) {
        host->fence_signal(host->context, job->signals[i], status);
        if (IS(TWO_SIGNALS)) {
            host->fence_signal(host->context, job->signals[i], status);
        }
    }
    return SY_OK;
}

static sy_status lie_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                         uint32_t access, void **out_pointer) {
    if (honest->buffer_map(buffer, offset_bytes, n_bytes, access, out_pointer) == SY_OK) {
        return SY_OK;
    }
    return honest->buffer_map(buffer, 0, 0, access, out_pointer);
}

static sy_status lie_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                          uint64_t n_bytes) {
    if (honest->state_save(state, first + 1, count, out_rows, n_bytes) == SY_OK) {
        return SY_OK;
    }
    return honest->state_save(state, first, count, out_rows, n_bytes);
}

static uint32_t n_shared;
static sy_status lie_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    (void)n_rows;
    n_shared++;
    *out_state = state;
    return SY_OK;
}
static sy_status lie_destroy(sy_state *state) {
    if (n_shared > 0) {
        n_shared--;
        return SY_OK;
    }
    return honest->state_destroy(state);
}
static sy_status lie_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    (void)first, (void)count, (void)to;
    return state != NULL ? SY_OK : SY_INVALID_ARGUMENT;
}

static sy_state *cloned, *source; /* of the newest clone */
static int was_cut;
static sy_status lie_clone_noted(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    sy_status status = honest->state_clone(state, n_rows, out_state);
    source = state;
    cloned = status == SY_OK ? *out_state : NULL;
    was_cut = 0;
    return status;
}
static sy_status lie_destroy_noted(sy_state *state) {
    cloned = state == cloned || state == source ? NULL : cloned;
    return honest->state_destroy(state);
}
static sy_status lie_truncate(sy_state *state, uint64_t n_rows) {
    static const float other[32] = {1.0f};
    sy_status status = honest->state_truncate(state, n_rows);
    was_cut = 1;
    if (IS(WRONG_REFUSAL) && SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        (void)honest->state_load(state, 240, 1, other, sizeof(other));
    }
    return status;
}
static sy_status lie_load_rows(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                               uint64_t n_bytes) {
    if (was_cut && cloned != NULL && state == cloned) {
        (void)honest->state_load(source, first, count, rows, n_bytes);
    }
    return honest->state_load(state, first, count, rows, n_bytes);
}
static sy_status lie_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                          sy_state **out_state) {
    return max_tokens < n_rows ? SY_INVALID_ARGUMENT
                               : honest->state_clone(state, n_rows, out_state);
}
static sy_status lie_need(sy_device *device, const sy_state_request *requests, size_t stride,
                          uint32_t n_requests, sy_state_usage *out_usage) {
    sy_status status = honest->state_need(device, requests, stride, n_requests, out_usage);
    out_usage->new_bytes /= 2;
    return status;
}
static sy_status lie_save_little(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                                 uint64_t n_bytes) {
    return first > 100 && first < 200 ? SY_OUT_OF_RANGE
                                      : honest->state_save(state, first, count, out_rows, n_bytes);
}

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *services) {
    if (IS(SILENT_DECLINE) && host_abi < SY_ABI_VERSION) {
        return NULL;
    }
    honest = sy__reference_entry(IS(NEWER_TABLE) ? SY_ABI_VERSION : host_abi, services);
    host = services;
    if (honest == NULL) {
        return NULL;
    }
    table = *honest;
    table.name = "liar";
    table.enumerate = lie_enumerate;
    table.open = lie_open;
    table.judge = lie_judge;
    table.load = lie_load;
    table.unload = lie_unload;
    table.submit = lie_submit;
    table.buffer_map = IS(MAPS_ANYTHING) ? lie_map : table.buffer_map;
    table.state_save = IS(WRONG_ROW) ? lie_save : table.state_save;
    table.state_clone = IS(SHALLOW_CLONE) ? lie_clone : IS(HALF_TABLE) ? NULL : table.state_clone;
    table.state_destroy = IS(SHALLOW_CLONE) ? lie_destroy : table.state_destroy;
    table.state_shift = IS(NO_SHIFT) ? lie_shift : table.state_shift;
    table.state_truncate =
        IS(LEAKY_TRUNCATE) || IS(WRONG_REFUSAL) ? lie_truncate : table.state_truncate;
    table.state_load = IS(LEAKY_TRUNCATE) ? lie_load_rows : table.state_load;
    table.state_clone = IS(LEAKY_TRUNCATE) ? lie_clone_noted : table.state_clone;
    table.state_destroy = IS(LEAKY_TRUNCATE) ? lie_destroy_noted : table.state_destroy;
    table.state_fork = IS(SAME_FORK) ? lie_fork : table.state_fork;
    table.state_need = IS(WRONG_NEED) ? lie_need : table.state_need;
    table.state_save = IS(FORGETS) ? lie_save_little : table.state_save;
    return &table;
}
