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
 *   lose_at      number of the job at which the device is lost, for good
 *
 * Built twice: with memory of its own that the CPU reaches only by buffer_map (fake-npu), and with
 * host memory (fake-npu-host).
 */
#ifndef SY_TESTS_FAKE_NPU_H
#define SY_TESTS_FAKE_NPU_H

#include "sy_plugin.h"

#ifndef FAKE_MEMORY_KIND
#define FAKE_MEMORY_KIND SY_MEMORY_OPAQUE
#endif
#ifndef FAKE_NAME
#define FAKE_NAME "fake-npu"
#endif

#define FAKE_LIST_MAX 16u

typedef enum fake_op {
    FAKE_LINEAR = 0,
    FAKE_ADD,
    FAKE_MUL,
    FAKE_RMS_NORM,
    FAKE_ADD_RMS_NORM,
    FAKE_GATED,
    FAKE_ROTARY,
    FAKE_ATTENTION,
    FAKE_OP_COUNT
} fake_op;

struct sy_device {
    const sy_host *host;
    uint32_t takes; /* set of 1 << fake_op */
    float us[FAKE_OP_COUNT];
    float launch_us, link_us, link_us_per_mib;
    uint32_t n_only_tokens, only_tokens[SY_STATIC_SIZES_MAX];
    uint32_t score;
    uint64_t fail_load, fail_submit, lose_at;
    uint64_t n_loads, n_jobs;
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

typedef struct fake_node {
    fake_op op;
    uint32_t in[6], out[2]; /* into unit->values, SY_NO_VALUE absent */
    uint32_t states[2];     /* into the job's states of a sequence, SY_NO_VALUE absent */
    uint32_t n_heads, n_kv_heads, window;
    int causal, interleaved;
    float epsilon, scale, softcap, magnitude;
    char activation[16];
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

/* unit.c */
sy_status fake_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                    sy_unit **out_unit);
sy_status fake_unload(sy_unit *unit);
sy_status fake_submit(sy_unit *unit, const sy_job *job);
uint8_t *fake_bytes(const sy_unit *unit, const sy_job *job, uint32_t i_value);
/* Length of dimension i at the job's sizes; rows = product of all but the last one. */
int64_t fake_length(const fake_value *value, const sy_job *job, uint32_t i);
int64_t fake_rows(const fake_value *value, const sy_job *job);

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
