/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake NPU: a delegate for tests that computes correctly in plain loops of its own, and whose
 * support, costs, shapes, memory and failures are set by the options of its INI section:
 *
 *   ops          list of operators it takes ("Linear,Add"), default all it knows
 *   us           estimated time of one node, default 1; us.OP for one operator
 *   launch_us    price of starting a segment, default 1
 *   link_us      price of any transfer, default 1; link_us_per_mib, default 10
 *   only_tokens  list of n_tokens it takes (static shapes), default any
 *   score        capability score, default 90
 *   fail_load    number of the load call that fails (1 the first), default 0: none
 *   fail_submit  number of the job that fails with INTERNAL
 *   lose_at      number of the job at which the device is lost, until it is opened again
 *   lose_at_state  the same by the number of a call on states (fork, truncate, save, load, ...)
 *   lose_times   so many losses in the life of the process, default 0: any number
 *   shut_times   so many openings fail after a loss, default 0
 *   exhaust_at   number of the job that finds no memory
 *   garbage_value  what garbage@N gives, default nan
 *   async        1: jobs run on a thread of the device, in the order in which they came
 *   jitter_us    with async: jobs take up to so much longer, each its own time
 *   late_at      number of the job that begins late_ms (default 500) too late and then writes its
 *                results, whatever the deadline was; makes the device async
 *   fault        lose@N, hang@N, memory@N, garbage@N, as plugin-api/RULES.md describes them
 *   blobs        off: compile answers UNIMPLEMENTED; default on
 *   stale        what probe says of a blob of another driver: usable, recompile (default), reject
 *
 * The environment variable FAKE_NPU_DRIVER is the driver's version, default 1.0; FAKE_NPU_BLOBS set
 * to weights says that blobs hold weights, to none that they are not to be kept.
 *
 * Built twice: with memory of its own that the CPU reaches only by buffer_map (fake-npu), and with
 * host memory and without compile (fake-npu-host).
 */
#ifndef SY_TESTS_FAKE_NPU_H
#define SY_TESTS_FAKE_NPU_H

#include "sy_plugin.h"

#include <pthread.h>

/* What it asks of bound offsets: more than the host gives unasked. Jobs with others fail. */
#define FAKE_ALIGNMENT 1024u

#ifndef FAKE_NAME
#define FAKE_NAME "fake-npu"
#endif
#ifndef FAKE_MEMORY_KIND
#define FAKE_MEMORY_KIND SY_MEMORY_OPAQUE
#define FAKE_BLOBS SY_BLOBS_WITHOUT_WEIGHTS
#define FAKE_COMPILE fake_compile
#define FAKE_PROBE fake_probe
#else
#define FAKE_BLOBS SY_BLOBS_NOT_KEPT
#define FAKE_COMPILE NULL
#define FAKE_PROBE NULL
#endif
#ifndef FAKE_ENTRY
#define FAKE_ENTRY sy_plugin_entry
#else /* the honest part of another delegate */
const sy_plugin *FAKE_ENTRY(uint32_t host_abi, const sy_host *host);
#endif

#define FAKE_SIGNALS_MAX 4u

typedef enum fake_op {
    FAKE_LINEAR = 0,
    FAKE_ADD,
    FAKE_MUL,
    FAKE_RMS_NORM,
    FAKE_ADD_RMS_NORM,
    FAKE_GATED,
    FAKE_ROTARY,
    FAKE_ATTENTION,
    FAKE_TOP_K, /* only k = 1 along the last axis */
    FAKE_OP_COUNT
} fake_op;

/* A job that does not end by itself. */
typedef struct fake_hang {
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int is_started, cancelled;
    uint32_t n_signals; /* 0: none hangs */
    sy_point signals[FAKE_SIGNALS_MAX];
    uint64_t run, deadline_ns;
} fake_hang;

struct sy_device {
    const sy_host *host;
    uint32_t takes; /* set of 1 << fake_op */
    float us[FAKE_OP_COUNT];
    float launch_us, link_us, link_us_per_mib;
    uint32_t n_only_tokens, only_tokens[SY_STATIC_SIZES_MAX];
    uint32_t score;
    uint64_t fail_load, fail_submit, lose_at, hang_at, memory_at, garbage_at;
    uint64_t lose_at_state, lose_times, shut_times, exhaust_at, async, late_at, late_ms, jitter_us;
    float garbage_value;
    uint64_t n_loads, n_jobs, n_creations, n_state_calls;
    struct fake_queue *queue; /* jobs.c; NULL: jobs run where they are submitted */
    int no_blobs;
    sy_grade stale_grade;
    fake_hang hang;
    _Atomic uint64_t live; /* health() may come from any thread */
    _Atomic int lost;
};

struct sy_buffer {
    sy_device *device;
    uint8_t *bytes;
    uint64_t n_bytes;
    int owned;
};

struct sy_state {
    sy_device *device;
    sy_element_type type; /* of the canonical rows: f32 or f16 */
    uint64_t n_rows, width;
    float *rows;
};

/* Where a value lies while a job runs. */
typedef enum fake_place { FAKE_INPUT, FAKE_OUTPUT, FAKE_WEIGHT, FAKE_SCRATCH } fake_place;

typedef struct fake_value {
    uint32_t i_value;
    fake_place place;
    uint32_t slot; /* FAKE_INPUT, FAKE_OUTPUT: index of the binding */
    uint64_t scratch_offset;
    sy_value_view view;
} fake_value;

/* What a node's attributes say; this is what compile writes. */
typedef struct fake_settings {
    uint32_t op; /* fake_op */
    uint32_t n_heads, n_kv_heads, window;
    int32_t causal, interleaved;
    float epsilon, scale, softcap, magnitude;
    char activation[16];
} fake_settings;

typedef struct fake_node {
    fake_settings set;
    uint32_t in[6], out[2]; /* into unit->values, SY_NO_VALUE absent */
    uint32_t states[2];     /* into the job's states of a sequence, SY_NO_VALUE absent */
} fake_node;

struct sy_unit {
    sy_device *device;
    uint64_t size_bytes;
    uint32_t n_nodes, n_values;
    fake_node *nodes;
    fake_value *values;
};

/* ops.c: what is known of an operator, and running one node. */
fake_op fake_find_op(const char *domain, const char *op); /* FAKE_OP_COUNT when unknown */
const char *fake_op_name(fake_op op);
/* NULL when the node can run, else why not. */
const char *fake_refusal(const sy_device *device, const sy_graph_view *view,
                         const sy_node_view *node, sy_reason *out_reason);
sy_status fake_run_node(const sy_unit *unit, const fake_node *node, const sy_job *job);
/* attention.c */
sy_status fake_run_attention(const sy_unit *unit, const fake_node *node, const sy_job *job);

/* entry.c: UNIMPLEMENTED after a report when an extension must be known. */
sy_status fake_check_extensions(const sy_header *header);

/* blob.c */
const char *fake_driver(void);
uint32_t fake_blobs(void); /* of sy_device_info */
sy_status fake_compile(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                       sy_blob *out_blob);
sy_status fake_probe(sy_device *device, const sy_blob *blob, sy_compatibility *out);
/* Fills nodes[i].set, or says what is wrong with the blob. */
sy_status fake_open_blob(const sy_device *device, const sy_blob *blob, const sy_segment *segment,
                         fake_node *nodes);

/* fault.c */
int fake_read_faults(sy_device *device, const char *text, const char *end);
/* UNAVAILABLE after a report once the device is lost. */
sy_status fake_check_alive(const sy_device *device);
/* The same for a call on states, which counts. */
sy_status fake_check_states(sy_device *device);
/* The same, and RESOURCE_EXHAUSTED when this creation is the one that fails. */
sy_status fake_check_memory(sy_device *device);
int fake_hang_init(fake_hang *hang);
void fake_hang_end(fake_hang *hang);
/* The device is gone, unless it was as often as it may be; losses of the process so far. */
void fake_lose(sy_device *device);
uint64_t fake_n_losses(void);
/* Takes a job on that will not end. */
sy_status fake_hang_start(sy_device *device, const sy_job *job);
sy_status fake_cancel(sy_unit *unit, uint64_t run);
/* Spoils the outputs of a job that is done. */
void fake_spoil(const sy_unit *unit, const sy_job *job);

/* unit.c */
void fake_read_settings(const sy_node_view *node, fake_settings *out_settings);
sy_status fake_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                    sy_unit **out_unit);
sy_status fake_unload(sy_unit *unit);
sy_status fake_run(const sy_unit *unit, const sy_job *job);
uint8_t *fake_bytes(const sy_unit *unit, const sy_job *job, uint32_t i_value);
/* Length of dimension i at the job's sizes; rows = product of all but the last one. */
int64_t fake_length(const fake_value *value, const sy_job *job, uint32_t i);
int64_t fake_rows(const fake_value *value, const sy_job *job);

/* jobs.c: where they run. */
sy_status fake_submit(sy_unit *unit, const sy_job *job);
sy_status fake_jobs_begin(sy_device *device);
void fake_jobs_end(sy_device *device);

/* state.c */
sy_status fake_state_create(sy_device *device, const sy_state_description *description,
                            sy_state **out_state);
sy_status fake_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state);
sy_status fake_state_truncate(sy_state *state, uint64_t n_rows);
sy_status fake_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
sy_status fake_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                          uint64_t n_bytes);
sy_status fake_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                          uint64_t n_bytes);
sy_status fake_state_destroy(sy_state *state);
float fake_from_half(uint16_t half);
uint16_t fake_to_half(float number);

#endif
