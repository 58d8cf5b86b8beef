/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded segment is a list of launches: kernels with operands, and a function that says at each
 * job how large they are. Operators make them when a segment is loaded (build functions below);
 * record.c turns them into a recording of the driver, submit.c fills the parameters of each job.
 *
 * Parameters of a job are 32-bit words, W(i) in a kernel. They begin with
 *   W(0)  status: 0, or the class that a kernel failed with
 *   W(1)  n_tokens, W(2) n_sequences
 *   W(3)  first word of the sequences, GPU_SEQUENCE_WORDS each: first_row, n_tokens, n_past, and 0
 *         without adapters, else 1 + the number of its first use
 *   W(4)  first word of the rows: the sequence of each row of the step
 *   W(5)  first word of the states: of sequence s and state i of the unit two words at
 *         2 * (s * n_states + i): first word of its table of blocks in the tables memory, and the
 *         number of the block that the table begins with
 *   W(6)  first word of the uses of adapters, GPU_USE_WORDS each: number of the slab that the
 *         adapter lies in, its first word there, scale, and twice its pairs plus 1 where the next
 *         use works on the same rows, too
 *   W(7)  first word of the runs, GPU_RUN_WORDS each, of at most GPU_RUN_ROWS rows of a sequence
 *         with adapters: first row, rows, 1 + the number of the first use
 * and each launch has words of its own, P(i).
 */
#ifndef GPU_PROGRAM_H
#define GPU_PROGRAM_H

#include "device.h"
#include "graph.h"
#include "values.h"
#include "weights.h"

enum {
    GPU_WORD_STATUS = 0,
    GPU_WORD_TOKENS = 1,
    GPU_WORD_SEQUENCES = 2,
    GPU_WORD_SEQUENCE_TABLE = 3,
    GPU_WORD_ROW_TABLE = 4,
    GPU_WORD_STATE_TABLE = 5,
    GPU_WORD_USE_TABLE = 6,
    GPU_WORD_RUN_TABLE = 7,
    GPU_WORDS_FIXED = 8
};
#define GPU_SEQUENCE_WORDS 4u
#define GPU_USE_WORDS 4u
#define GPU_RUN_WORDS 3u
#define GPU_RUN_ROWS 4u
#define GPU_LAUNCH_NUMBERS 16u
#define GPU_LAUNCH_WORDS_MOST 64u
#define GPU_LAUNCH_PARTS 2u

typedef struct gpu_launch gpu_launch;

/* The shape of a unit value in a job. */
typedef struct gpu_shape {
    int64_t dims[SY_MAX_RANK];
    uint32_t rank;
    uint64_t n_elements;
} gpu_shape;

/* A job while its parameters are made. */
typedef struct gpu_job {
    sy_unit *unit;
    const sy_job *job;
    const gpu_shape *shapes; /* one per unit value */
    uint64_t n_tokens;
    /* The sequences whose states lie in the slabs that this dispatch binds; without state operands
     * all of them. */
    const uint32_t *sequences;
    uint32_t n_sequences;
    /* Of a job that uses adapters: its runs, the most uses of a row, and the number of the slab
     * that this dispatch binds. */
    uint32_t n_runs, n_uses_most, i_slab;
    struct gpu_words *words;
} gpu_job;

/* What a launch binds. */
typedef enum gpu_operand_kind {
    GPU_OPERAND_NONE, /* not given: the kernel does not touch it; binds anything */
    GPU_OPERAND_VALUE,
    GPU_OPERAND_WEIGHT,  /* a piece of a weight */
    GPU_OPERAND_STATE,   /* slab of a state: i_value is the unit value of the STATE */
    GPU_OPERAND_TABLES,  /* tables of blocks of all states */
    GPU_OPERAND_ADAPTERS /* slab of adapters */
} gpu_operand_kind;

typedef struct gpu_operand {
    gpu_operand_kind kind;
    uint32_t i_value;
    const gpu_weight *weight;
    uint32_t i_piece;
} gpu_operand;

/* Fills the words of a launch (all zero before), and the groups, 0 where there is nothing to do.
 * May take more words behind all launches by gpu_job_words. */
typedef sy_status (*gpu_size_function)(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                       uint32_t out_groups[3]);

struct gpu_launch {
    gpu_kernel kernel;
    gpu_pipeline *pipeline;                 /* NULL in a dry build */
    gpu_operand operands[GPU_BINDINGS_MAX]; /* first those that the kernel only reads */
    uint32_t n_operands;
    /* STATE values: sequences whose states lie in other slabs get a dispatch of their own. */
    uint32_t parts[GPU_LAUNCH_PARTS];
    uint32_t n_parts;
    bool has_adapters; /* it runs once for each slab with adapters of the job, in their turn */
    bool writes_apart; /* launches of its node with this never write the same words in one job */
    gpu_size_function size;
    uint32_t n_words;                    /* of its own parameters */
    int64_t numbers[GPU_LAUNCH_NUMBERS]; /* for `size`: whatever the build function knows */
    uint32_t i_node;
};

/* ---- for size functions (submit.c) ---- */
const gpu_shape *gpu_job_shape(const gpu_job *job, const gpu_launch *launch, uint32_t i_operand);
/* n words behind those of the launches; valid until the next call. */
sy_status gpu_job_words(gpu_job *job, uint32_t n, uint32_t *out_first, uint32_t **out_words);
/* Groups of `per_group` items for n items, in one or two dimensions: a kernel's item numbers begin
 * at (GROUP_Y * GROUPS_X + GROUP_X) * per_group, some past the end. */
void gpu_groups_for(const gpu_job *job, uint64_t n, uint64_t per_group, uint32_t out_groups[3]);

/* For launches with a row of groups for each sequence of the job (op_attention.c): words that list
 * them, and the most rows that one has in this step. */
sy_status gpu_job_sequences(gpu_job *job, uint32_t *out_first);
uint32_t gpu_job_rows_most(const gpu_job *job);

/* ---- operators (operators.c, op_*.c) ---- */
typedef struct gpu_builder gpu_builder;
typedef struct gpu_operator gpu_operator;

/* A node while it is built: its unit values, SY_NO_VALUE where absent. */
typedef struct gpu_build {
    gpu_builder *builder;
    const kit_node *node;
    const gpu_operator *op;
    uint32_t i_node;
    uint32_t in[KIT_INPUTS_MAX], out[KIT_OUTPUTS_MAX];
} gpu_build;

struct gpu_operator {
    const char *domain, *name; /* in the one version of docs/operators.md */
    uint32_t variant;          /* which of a family that shares its functions */
    bool takes_pieces;         /* of a weight; others bind a constant as a whole */
    /* Says whether the node runs here, exactly as docs/operators.md has it, and counts its work. */
    bool (*check)(const sy_device *device, const kit_node *node, const gpu_operator *op,
                  kit_answer *answer);
    /* Adds the launches. The node passed its check. NULL: the output is the bytes of input 0, or a
     * copy of them. */
    sy_status (*build)(gpu_build *build);
};

/* Families; each ends with an entry without a name. */
extern const gpu_operator gpu_operators_linear[], gpu_operators_norm[], gpu_operators_attention[],
    gpu_operators_rotary[], gpu_operators_pointwise[], gpu_operators_move[], gpu_operators_reduce[],
    gpu_operators_image[], gpu_operators_quantize[], gpu_operators_experts[],
    gpu_operators_causal_conv[], gpu_operators_adapter[], gpu_operators_choose[],
    gpu_operators_matmul[], gpu_operators_spatial[];

/* Looks a node's operator up and checks it; answer->support tells. */
const gpu_operator *gpu_operator_check(const sy_device *device, const kit_node *node,
                                       kit_answer *answer);

/* ---- for build functions (program.c) ---- */
/* Begins a launch. Its operands are added in the order of the kernel's bindings. constants[0], the
 * size of a group, comes from the caller, too (gpu_group_size below). */
sy_status gpu_launch_begin(gpu_build *build, gpu_kernel kernel, const uint32_t *constants,
                           uint32_t n_constants, gpu_size_function size, uint32_t n_words,
                           gpu_launch *out_launch);
void gpu_launch_value(gpu_launch *launch, uint32_t i_value); /* SY_NO_VALUE: not given */
void gpu_launch_weight(gpu_launch *launch, const gpu_weight *weight, uint32_t i_piece);
void gpu_launch_state(gpu_launch *launch, uint32_t i_value);
/* Parts the sequences as the launches that bind this state do, without binding it. */
void gpu_launch_part(gpu_launch *launch, uint32_t i_value);
void gpu_launch_tables(gpu_launch *launch);
void gpu_launch_adapters(gpu_launch *launch);
/* Keeps a copy. */
sy_status gpu_launch_end(gpu_build *build, const gpu_launch *launch);

/* A constant of the graph on the device; counted in the unit's weight bytes, dropped with it. In a
 * dry build it has pieces without memory. */
sy_status gpu_build_weight(gpu_build *build, uint32_t i_value, gpu_weight_form form,
                           const gpu_weight **out_weight);
/* Plain elements made here (a table, factors of another precision), rows of `columns`; copied. */
sy_status gpu_build_made(gpu_build *build, const void *bytes, sy_element_type type, uint64_t rows,
                         uint64_t columns, const gpu_weight **out_weight);
/* Scratch of this node, type and dimensions as given (a symbol where it depends on the step). */
sy_status gpu_build_space(gpu_build *build, sy_element_type type, uint32_t rank,
                          const sy_dimension *dims, uint32_t *out_value);
/* Lets an input that nobody reads after this node lie where an output of the same shape and type
 * does, so that launches change it in place. False where it cannot be. */
bool gpu_build_share(gpu_build *build, uint32_t i_in, uint32_t i_out);
/* Adds a launch that copies a plain value (op_move.c). */
sy_status gpu_build_copy(gpu_build *build, uint32_t i_from, uint32_t i_to);
/* Adds a launch that writes the rows of a step into a STATE value (op_attention.c). */
sy_status gpu_build_state_write(gpu_build *build, uint32_t i_rows, uint32_t i_state);
const sy_device *gpu_build_device(const gpu_build *build);
const kit_value *gpu_build_value(const gpu_build *build, uint32_t i_value);
/* Constant content of a value in host memory, or NULL. */
const uint8_t *gpu_build_constant(const gpu_build *build, uint32_t i_value);

/* The bits of a number as f32, for parameters. */
uint32_t gpu_float_bits(double number);
/* A power of two near `wanted` that the device can run. */
uint32_t gpu_group_size(const sy_device *device, uint32_t wanted);

/* ---- units ---- */
struct sy_unit {
    sy_device *device;
    kit_values values;
    gpu_launch *launches;
    size_t n_launches, launches_capacity;
    gpu_weight **weights; /* each taken once */
    size_t n_weights, weights_capacity;
    uint32_t n_inputs, n_outputs, n_states;
    bool has_states, has_adapters;
    uint64_t scratch_bytes, weight_bytes;
    gpu_shape *shapes;           /* of the running job */
    struct gpu_replay *replay;   /* record.c: recordings and their parameters */
    atomic_ullong cancelled_run; /* run + 1, 0 none */
};

typedef enum gpu_build_mode {
    GPU_BUILD_PRICE, /* makes nothing on the device */
    GPU_BUILD_CODE,  /* makes pipelines, uploads nothing: for a blob */
    GPU_BUILD_RUN
} gpu_build_mode;

/* Builds the launches of a segment. Frees itself on failure. */
sy_status gpu_unit_build(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                         gpu_build_mode mode, sy_unit **out_unit);
void gpu_unit_free(sy_unit *unit);

#endif
