/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the reference delegate. The life of a node: facts.c reads it from a view, the
 * operator's `prepare` checks types and parses attributes, `infer` computes output shapes - at the
 * bounds in judge and load, at the job's sizes in submit - and `run` computes.
 */
#ifndef SY_REFERENCE_INTERNAL_H
#define SY_REFERENCE_INTERNAL_H

#include "base/memory.h"
#include "reference/state_pool.h"
#include "switchyard/limits.h"

#include <stdatomic.h>

#define SY__MAX_INPUTS SY_LIMIT_NODE_INPUTS
#define SY__MAX_OUTPUTS SY_LIMIT_NODE_OUTPUTS
#define SY__MAX_LIST 16u

/* Sizes as numbers, no symbols. */
typedef struct sy__shape {
    uint32_t rank;
    int64_t dims[SY_MAX_RANK];
} sy__shape;

/* One value while it is judged (data only of weights) or computed with. */
typedef struct sy__tensor {
    sy_element_type type;
    sy_value_kind kind;
    sy__shape shape;
    uint32_t dynamic; /* set of the dimensions that follow a symbol */
    void *data;
    uint32_t i_slot; /* STATE: its place in sy_segment.states */
} sy__tensor;

/* Of a convolution or pooling: height, then width. */
typedef struct sy__stencil {
    int64_t kernel[2], stride[2], dilation[2], before[2], after[2];
    int64_t extra[2]; /* output_padding of a transposed convolution */
} sy__stencil;

/* Of Resize: height, then width. A size of 0 stays what it is. */
typedef struct sy__resampling {
    uint32_t mode, rounding, place; /* numbers of resize.c */
    float scale[2], length[2];      /* length: of the output, before it is cut to a whole number */
    int64_t size[2];
} sy__resampling;

/* Attributes and constant inputs, parsed. A field has a meaning for the operators that set it. */
typedef struct sy__params {
    double alpha, beta, epsilon, scale, softcap;
    int64_t axis, window;
    int64_t n_heads, n_kv_heads, n_used;
    bool causal, interleaved, keepdims, trans_a, trans_b, all_axes, allow_zero, normalize;
    bool takes_last, takes_largest; /* ArgMax, TopK */
    int64_t slot, max_rank;         /* AdapterLinear */
    uint32_t activation;
    uint32_t n_list;
    int64_t list[SY__MAX_LIST]; /* axes, permutation, shape or split sizes */
    int64_t starts[SY_MAX_RANK], ends[SY_MAX_RANK], steps[SY_MAX_RANK]; /* Slice, Pad, by axis */
    sy__stencil stencil;
    sy__resampling resampling;
} sy__params;

typedef struct sy__operator sy__operator;
typedef struct sy__call sy__call;

/* One node as judge and load see it. Inputs not given are NULL. */
typedef struct sy__facts {
    const sy__operator *op;
    sy_node_view node;
    const sy__tensor *inputs[SY__MAX_INPUTS], *outputs[SY__MAX_OUTPUTS];
    sy__tensor tensors[SY__MAX_INPUTS + SY__MAX_OUTPUTS];
    uint64_t used_attributes; /* set of attribute indexes that prepare asked for */
    sy__params params;
    sy_reason reason;
    char why[SY_REASON_TEXT_BYTES];
} sy__facts;

struct sy__operator {
    const char *domain, *name;
    uint32_t version;
    uint32_t min_inputs, max_inputs, min_outputs, max_outputs;
    uint32_t variant;     /* which one of a family that shares its functions */
    bool is_view;         /* the output holds the bytes of input 0 */
    bool needs_sequences; /* works on the sequences of the step, and on states */
    bool uses_adapters;   /* looks at the sequences' adapters */
    bool is_lookup;       /* reads no more of its inputs than it writes */
    /* Checks types and attributes and fills facts->params; false after sy__refuse. */
    bool (*prepare)(sy__facts *facts);
    /* Output shapes from input shapes (data is not there); false when they do not fit together. */
    bool (*infer)(const sy__params *params, const sy__tensor *const *inputs, uint32_t n_inputs,
                  sy__shape *out_shapes, uint32_t n_outputs);
    sy_status (*run)(const sy__call *call);
    /* Scratch of the node at the bounds; NULL none; UINT64_MAX when it cannot be counted. */
    uint64_t (*work_bytes)(const sy__facts *facts, uint32_t n_workers);
    /* Multiply-adds, for estimates only; NULL: four for each output element. */
    double (*n_macs)(const sy__facts *facts);
};

/* One node of a loaded unit. */
typedef struct sy__node {
    const sy__operator *op;
    uint32_t i_node; /* in the view, for reports */
    const char *name;
    uint32_t n_inputs, n_outputs;
    uint32_t *inputs, *outputs; /* into sy_unit.values, SY_NO_VALUE when not given */
    sy__params params;
} sy__node;

/* One run of one node. */
struct sy__call {
    const sy__node *node;
    const sy__params *params;
    const sy__tensor *inputs[SY__MAX_INPUTS], *outputs[SY__MAX_OUTPUTS];
    sy_device *device;
    const sy_job *job;
    uint8_t *work; /* 64-byte aligned */
};

struct sy_device {
    const sy_host *host;
    sy_context *context;
    sy_allocator allocator; /* over the host's alloc and release */
    uint32_t n_workers;
    atomic_ullong live_handles, live_jobs;
    sy__block_pool pool; /* of the states */
};

struct sy_buffer {
    sy_device *device;
    uint8_t *bytes;
    uint64_t n_bytes;
    bool owned;
};

/* Where a value of a unit lies during a job. */
typedef enum sy__storage {
    SY__STORAGE_WEIGHT,
    SY__STORAGE_INPUT,   /* i_slot: of sy_job.inputs */
    SY__STORAGE_OUTPUT,  /* i_slot: of sy_job.outputs */
    SY__STORAGE_STATE,   /* i_slot: of sy_segment.states */
    SY__STORAGE_SCRATCH, /* offset_bytes */
    SY__STORAGE_ALIAS    /* i_slot: the value whose bytes it shares */
} sy__storage;

typedef struct sy__value {
    sy_element_type type;
    sy_value_kind kind;
    uint32_t rank;
    sy_dimension dims[SY_MAX_RANK];
    sy__storage storage;
    uint32_t i_slot;
    uint32_t i_last_use; /* position of the last node that touches its bytes */
    uint64_t n_bytes;    /* at the bounds */
    uint64_t offset_bytes;
    void *weight;
} sy__value;

struct sy_unit {
    sy_device *device;
    sy__arena arena;
    sy__value *values;
    sy__tensor *tensors; /* of the running job, index as values */
    sy__node *nodes;
    uint32_t n_values, n_nodes, n_inputs, n_outputs, n_states;
    uint64_t work_offset_bytes, scratch_bytes;
    bool uses_sequences;
    atomic_ullong cancelled_run;
    atomic_bool cancelled;
};

/* open structs (open_struct.c): a copy with zeros where the writer knew less, and writing back no
 * more than the reader has room for. `own_bytes` is our size. */
void sy__ref_open_read(void *out_own, size_t own_bytes, const void *theirs);
void sy__ref_open_write(void *theirs, const void *own, size_t own_bytes);
/* UNIMPLEMENTED when an extension must be known: this delegate knows none. */
sy_status sy__ref_open_check(const sy_header *header);

/* reports (entry.c) */
sy_status sy__ref_report(const sy_device *device, sy_status status, uint32_t i_node,
                         const char *format, ...) SY_PRINTF(4, 5);
/* Says which node failed and answers status. */
sy_status sy__ref_fail(const sy__call *call, sy_status status, const char *format, ...)
    SY_PRINTF(3, 4);

/* facts (facts.c) */
const sy__operator *sy__ref_operator_find(const char *domain, const char *name, uint32_t version,
                                          uint32_t *out_known_version);
/* Reads and checks node i_node. Not OK only for a broken view; support is facts->reason == NONE. */
sy_status sy__ref_facts_read(sy__facts *facts, const sy_graph_view *view, uint32_t i_node);
bool sy__ref_refuse(sy__facts *facts, sy_reason reason, const char *format, ...) SY_PRINTF(3, 4);
/* Set of the dimensions that follow a symbol. */
uint32_t sy__ref_dynamic_set(const sy_dimension *dims, uint32_t rank);
/* Value of a dimension at symbol values; -1 past its bound or when the symbol is missing. */
int64_t sy__ref_dimension_at(const sy_dimension *dimension, const int64_t *symbols,
                             uint32_t n_symbols);

/* attributes and constants, for prepare; false after a refusal */
bool sy__ref_attribute_int(sy__facts *facts, const char *name, int64_t fallback, int64_t *out);
bool sy__ref_attribute_bool(sy__facts *facts, const char *name, bool fallback, bool *out);
bool sy__ref_attribute_float(sy__facts *facts, const char *name, double fallback, double *out);
bool sy__ref_attribute_string(sy__facts *facts, const char *name, const char *fallback,
                              const char **out);
/* n_max entries; *out_n is UINT32_MAX when the attribute is absent. */
bool sy__ref_attribute_ints(sy__facts *facts, const char *name, uint32_t n_max, int64_t *out,
                            uint32_t *out_n);
/* A constant i32 or i64 input of rank <= 1; *out_n is UINT32_MAX when the input is absent. */
bool sy__ref_constant_ints(sy__facts *facts, uint32_t i_input, uint32_t n_max, int64_t *out,
                           uint32_t *out_n);

bool sy__ref_is_float(sy_element_type type);       /* f32, f16, bf16 */
bool sy__ref_is_decodable(sy_element_type type);   /* "any": floats and GGUF block types */
bool sy__ref_is_addressable(sy_element_type type); /* whole bytes per element */
/* Refuse when the type of an input or output is not of the wanted sort. */
bool sy__ref_require_float_in(sy__facts *facts, uint32_t i_input);
bool sy__ref_require_float_out(sy__facts *facts, uint32_t i_output);
bool sy__ref_require_all_float(sy__facts *facts);
bool sy__ref_require_type_in(sy__facts *facts, uint32_t i_input, sy_element_type type);
bool sy__ref_require_same(sy__facts *facts, uint32_t i_input); /* type of output 0 */

/* shapes (shape.c) */
int64_t sy__ref_shape_count(const sy__shape *shape);
/* Product of dims [first, last). */
int64_t sy__ref_shape_product(const sy__shape *shape, uint32_t first, uint32_t last);
bool sy__ref_shape_equal(const sy__shape *a, const sy__shape *b);
bool sy__ref_shape_broadcast(const sy__shape *a, const sy__shape *b, sy__shape *out);
/* Negative axes count from the end. */
bool sy__ref_axis(int64_t axis, uint32_t rank, uint32_t *out_axis);
/* Bytes of a dense tensor; false on overflow or a broken block. */
bool sy__ref_tensor_bytes(sy_element_type type, const sy__shape *shape, uint64_t *out_bytes);
bool sy__ref_infer_same(const sy__params *params, const sy__tensor *const *inputs,
                        uint32_t n_inputs, sy__shape *out_shapes, uint32_t n_outputs);

/* Runs tasks on the host's team, one alone on the caller. The split into tasks must not depend on
 * the number of workers. */
sy_status sy__ref_parallel(const sy__call *call, sy_task task, void *argument, uint64_t n_tasks);

/* objects */
sy_status sy__ref_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                                sy_buffer **out_buffer);
sy_status sy__ref_buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer);
sy_status sy__ref_buffer_export(sy_buffer *buffer, sy_memory_kind kind, sy_memory *out_memory);
sy_status sy__ref_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                             uint32_t access, void **out_pointer);
sy_status sy__ref_buffer_unmap(sy_buffer *buffer);
sy_status sy__ref_buffer_destroy(sy_buffer *buffer);
sy_status sy__ref_state_create(sy_device *device, const sy_state_description *description,
                               sy_state **out_state);
sy_status sy__ref_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state);
sy_status sy__ref_state_truncate(sy_state *state, uint64_t n_rows);
sy_status sy__ref_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
sy_status sy__ref_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                             uint64_t n_bytes);
sy_status sy__ref_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                             uint64_t n_bytes);
sy_status sy__ref_state_destroy(sy_state *state);
sy_status sy__ref_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                             sy_state **out_state);
sy_status sy__ref_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                             uint32_t n_requests, sy_state_usage *out_usage);
sy_status sy__ref_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                                uint32_t n_requests, uint32_t keep);
sy_status sy__ref_adapter_create(sy_device *device, const sy_adapter_description *description,
                                 uint64_t *out_bytes, sy_adapter_weights **out_weights);
sy_status sy__ref_adapter_destroy(sy_adapter_weights *weights);
/* The adapters of a job are there and of this device. */
sy_status sy__ref_adapter_check(const sy_device *device, const sy_job *job);
sy_status sy__ref_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                        size_t stride);
sy_status sy__ref_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                       sy_cost *out_cost);
sy_status sy__ref_unit_load(sy_device *device, const sy_load_request *request,
                            sy_unit_info *out_info, sy_unit **out_unit);
sy_status sy__ref_unit_unload(sy_unit *unit);
bool sy__ref_unit_plan_scratch(sy_unit *unit); /* offsets of scratch values; false: out of memory */
sy_status sy__ref_unit_submit(sy_unit *unit, const sy_job *job);
sy_status sy__ref_unit_cancel(sy_unit *unit, uint64_t run);

#endif
