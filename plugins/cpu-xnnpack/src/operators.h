/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators. One entry of the table serves judging and running: `check` says whether a node runs
 * here exactly as docs/operators.md has it and parses its parameters; `prepare` (load time) asks
 * for shared intermediate values and makes objects; `run` computes.
 */
#ifndef CPU_OPERATORS_H
#define CPU_OPERATORS_H

#include "operator_checks.h"
#include "plugin.h"

typedef struct cpu_operator cpu_operator;
typedef struct cpu_builder cpu_builder;
typedef struct cpu_run cpu_run;
typedef struct cpu_linear_group cpu_linear_group;

/* A value during a job. */
typedef struct cpu_tensor {
    sy_element_type type;
    uint32_t rank;
    int64_t dims[SY_MAX_RANK];
    uint64_t n_elements, n_bytes; /* bytes: of all but states */
    uint8_t *data;                /* const for weights and inputs by convention */
} cpu_tensor;

/* What attention does to each head of q or k as it reads it; values of the unit or SY_NO_VALUE. */
typedef struct cpu_head_steps {
    uint32_t norm, table; /* scale of an RMS norm, rotation table */
    double epsilon;
    uint64_t n_pairs;
    bool interleaved;
} cpu_head_steps;

typedef struct cpu_params {
    uint64_t k, n;     /* Linear, Embedding, Gather: width and rows of the weight */
    cpu_planes planes; /* of quantised activations */
    uint32_t derived;  /* unit value: shared quantised or widened rows, or the rotation table */
    float *bias;       /* owned f32 copy when the file's is not f32 */
    void *object;      /* owned, of the XNNPACK adapter */
    cpu_linear_group *group; /* of products; owned by its head */
    double epsilon, scale, softcap, parameter;
    int64_t n_heads, n_kv_heads, window, axis;
    int64_t slot, max_rank; /* AdapterLinear */
    uint32_t adapter;       /* Linear: the AdapterLinear whose work it does as well; index + 1 */
    bool reads_x;           /* Linear: somebody of its group has one, which reads x in f32 */
    uint64_t inner;         /* elements that a norm or softmax takes together */
    uint32_t rounding;      /* norms, Attention: step that rounds the result; index + 1 (fuse.h) */
    uint64_t n_experts;
    int64_t n_used; /* experts of a row */
    kit_gating gating;
    bool causal, interleaved, has_states, normalize;
    cpu_unary unary;
    cpu_binary binary;
    cpu_head_steps heads[2]; /* Attention: of q and k */
} cpu_params;

/* One node, or one derived value, of a loaded unit. Inputs and outputs are unit values. */
typedef struct cpu_step {
    const cpu_operator *operator;
    uint32_t i_node;
    uint32_t in[KIT_INPUTS_MAX], out[KIT_OUTPUTS_MAX]; /* SY_NO_VALUE when absent */
    cpu_params params;
} cpu_step;

struct cpu_operator {
    const char *domain, *name;
    uint32_t variant; /* which of a family that shares its functions */
    bool (*check)(const sy_device *device, const kit_node *node, const cpu_operator *op,
                  cpu_params *out_params, kit_answer *answer);
    /* NULL: nothing to prepare. */
    sy_status (*prepare)(cpu_builder *builder, const kit_node *node, cpu_step *step);
    /* Bytes each worker needs; NULL none. */
    uint64_t (*worker_bytes)(const kit_node *node, const cpu_params *params);
    sy_status (*run)(cpu_run *run, const cpu_step *step);
    bool is_view; /* the output may be the bytes of input 0 */
};

/* The f32 arithmetic that was counted is in int8, once for each plane. */
void cpu_count_int8(cpu_planes planes, kit_answer *answer);

/* Looks a node's operator up and checks it; answer->support tells. */
const cpu_operator *cpu_operator_check(const sy_device *device, const kit_node *node,
                                       cpu_params *out_params, kit_answer *answer);

/* ---- for prepare (program.c) ---- */
/* The unit value of an input of the node being prepared, SY_NO_VALUE when absent. */
typedef enum cpu_derivation {
    CPU_DERIVE_QUANTISED,   /* int8 activations of a float value */
    CPU_DERIVE_F32,         /* f32 copy of an f16 or bf16 value */
    CPU_DERIVE_ROTATION,    /* cos and sin per row, from positions and frequencies */
    CPU_DERIVE_EXPERT_ORDER /* rows sorted by expert, from the choice of each row */
} cpu_derivation;
/* Adds a step that makes the derived value, or finds the one that an earlier node asked for. */
sy_status cpu_builder_derive(cpu_builder *builder, cpu_derivation kind, const cpu_step *step,
                             const cpu_params *params, uint32_t *out_value);
/* f32 scratch of the step being prepared: as many rows as `like`, of another width. */
sy_status cpu_builder_space(cpu_builder *builder, const sy_value_view *like, int64_t width,
                            uint32_t *out_value);
bool cpu_builder_is_dry(const cpu_builder *builder);
const sy_device *cpu_builder_device(const cpu_builder *builder);
/* Counts memory that the unit holds beside the mapped weights. */
void cpu_builder_owns(cpu_builder *builder, uint64_t n_bytes);

/* ---- for run (submit.c) ---- */
struct cpu_run {
    sy_unit *unit;
    const sy_device *device;
    const cpu_kernels *kernels;
    const sy_job *job;
    const cpu_tensor *tensors;
    uint8_t *worker_memory;
    uint64_t worker_bytes;
    atomic_uint failure; /* status of a task that failed */
};
const cpu_tensor *cpu_run_in(const cpu_run *run, const cpu_step *step, uint32_t i);
const cpu_tensor *cpu_run_out(const cpu_run *run, const cpu_step *step, uint32_t i);
sy_state *cpu_run_state(const cpu_run *run, const cpu_step *step, uint32_t i_in,
                        uint32_t i_sequence);
/* Runs tasks on the host's team, or here when the cost (about elements touched) is small. */
sy_status cpu_run_tasks(cpu_run *run, sy_task task, void *argument, uint64_t n_tasks,
                        uint64_t cost);
uint8_t *cpu_run_worker(const cpu_run *run, uint32_t i_worker);

/* Row-wise helpers (tensor.c). */
static inline uint64_t cpu_tensor_width(const cpu_tensor *t) {
    return t->rank > 0 ? (uint64_t)t->dims[t->rank - 1] : 1;
}
static inline uint64_t cpu_tensor_rows(const cpu_tensor *t) {
    uint64_t width = cpu_tensor_width(t);
    return width > 0 ? t->n_elements / width : 0;
}
uint64_t cpu_element_bytes(sy_element_type type); /* plain types */
/* n float elements from element `first` on as f32: in place for f32, else decoded to `space`. */
const float *cpu_floats_read(const cpu_run *run, const cpu_tensor *t, uint64_t first, uint64_t n,
                             float *space);
/* Where to compute n f32 results: in place for f32, else `space`, then cpu_floats_write. */
float *cpu_floats_target(const cpu_tensor *t, uint64_t first, float *space);
void cpu_floats_write(const cpu_run *run, const cpu_tensor *t, uint64_t first, uint64_t n,
                      const float *values);

/* The derived steps' operators. */
extern const cpu_operator cpu_operator_quantise, cpu_operator_widen, cpu_operator_rotation,
    cpu_operator_expert_order;

/* Families, each a list that ends with a NULL name. */
extern const cpu_operator cpu_operators_linear[], cpu_operators_norm[], cpu_operators_attention[],
    cpu_operators_pointwise[], cpu_operators_move[], cpu_operators_matmul[],
    cpu_operators_experts[], cpu_operators_slice[], cpu_operators_causal_conv[],
    cpu_operators_adapter[];

#endif
