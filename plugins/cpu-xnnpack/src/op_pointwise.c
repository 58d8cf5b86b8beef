/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that work element by element: activation functions, gating, binary arithmetic. */
#include "operators.h"

#include <string.h>

#define PIECE 4096u /* elements of one task */

/* ---- one input, or a gate and what it opens ---- */
/* The kernel of a kind of the table below. */
static cpu_unary unary_of(kit_unary_kind kind) {
    static const cpu_unary kernels[KIT_UNARY_COUNT] = {
        [KIT_UNARY_NEG] = CPU_UNARY_NEG,
        [KIT_UNARY_ABS] = CPU_UNARY_ABS,
        [KIT_UNARY_SQRT] = CPU_UNARY_SQRT,
        [KIT_UNARY_EXP] = CPU_UNARY_EXP,
        [KIT_UNARY_ERF] = CPU_UNARY_ERF,
        [KIT_UNARY_TANH] = CPU_UNARY_TANH,
        [KIT_UNARY_SIGMOID] = CPU_UNARY_SIGMOID,
        [KIT_UNARY_RECIPROCAL] = CPU_UNARY_RECIPROCAL,
        [KIT_UNARY_RELU] = CPU_UNARY_RELU,
        [KIT_UNARY_GELU] = CPU_UNARY_GELU,
        [KIT_UNARY_GELU_TANH] = CPU_UNARY_GELU_TANH,
        [KIT_UNARY_SWISH] = CPU_UNARY_SILU,
        [KIT_UNARY_SOFTCAP] = CPU_UNARY_SOFTCAP,
    };
    return kernels[kind];
}

static bool unary_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                        cpu_params *out_params, kit_answer *answer) {
    kit_unary unary;
    (void)device;
    (void)op;
    if (!kit_check_unary(node, &unary, answer)) {
        return false;
    }
    out_params->unary = unary_of(unary.kind);
    out_params->parameter = unary.alpha;
    return true;
}

static bool gated_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                        cpu_params *out_params, kit_answer *answer) {
    kit_gated gated;
    (void)device;
    (void)op;
    if (!kit_check_gated(node, &gated, answer)) {
        return false;
    }
    out_params->unary = unary_of(gated.activation);
    return true;
}

static bool clamped_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                          cpu_params *out_params, kit_answer *answer) {
    kit_clamped clamped;
    (void)device;
    (void)op;
    if (!kit_check_clamped(node, &clamped, answer)) {
        return false;
    }
    out_params->parameter = clamped.alpha;
    out_params->softcap = clamped.limit;
    return true;
}

typedef struct pieces {
    cpu_run *run;
    const cpu_step *step;
} pieces;

static void unary_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pieces *work = argument;
    const cpu_step *step = work->step;
    const cpu_run *run = work->run;
    const cpu_tensor *x = cpu_run_in(run, step, 0), *y = cpu_run_out(run, step, 0);
    uint64_t first = (uint64_t)i_task * PIECE, n = y->n_elements - first;
    n = n < PIECE ? n : PIECE;
    float *space = (float *)(void *)cpu_run_worker(run, i_worker);
    const float *values = cpu_floats_read(run, x, first, n, space);
    float *out = cpu_floats_target(y, first, space + 2 * PIECE);
    if (step->in[1] != SY_NO_VALUE) {
        const float *up = cpu_floats_read(run, cpu_run_in(run, step, 1), first, n, space + PIECE);
        run->kernels->rows->gated(step->params.unary, values, up, n, out);
    } else {
        run->kernels->rows->unary(step->params.unary, values, n, (float)step->params.parameter,
                                  out);
    }
    cpu_floats_write(run, y, first, n, out);
}

/* silu(min(gate, limit)) * (1 + up within the limit); a NaN stays one. */
static void clamped_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pieces *work = argument;
    const cpu_step *step = work->step;
    const cpu_run *run = work->run;
    const cpu_tensor *y = cpu_run_out(run, step, 0);
    uint64_t first = (uint64_t)i_task * PIECE, n = y->n_elements - first;
    n = n < PIECE ? n : PIECE;
    float limit = (float)step->params.softcap;
    float *gate = (float *)(void *)cpu_run_worker(run, i_worker), *up = gate + PIECE;
    const float *gates = cpu_floats_read(run, cpu_run_in(run, step, 0), first, n, gate);
    const float *ups = cpu_floats_read(run, cpu_run_in(run, step, 1), first, n, up);
    for (uint64_t i = 0; i < n; i++) {
        float u = ups[i] > limit ? limit : ups[i];
        gate[i] = gates[i] > limit ? limit : gates[i];
        up[i] = (u < -limit ? -limit : u) + 1.0f;
    }
    float *out = cpu_floats_target(y, first, gate + 2 * PIECE);
    run->kernels->rows->unary(CPU_UNARY_SILU, gate, n, (float)step->params.parameter, gate);
    run->kernels->rows->binary(CPU_BINARY_MUL, gate, up, n, out);
    cpu_floats_write(run, y, first, n, out);
}

static sy_status clamped_run(cpu_run *run, const cpu_step *step) {
    pieces work = {run, step};
    uint64_t n = cpu_run_out(run, step, 0)->n_elements;
    return cpu_run_tasks(run, clamped_task, &work, (n + PIECE - 1) / PIECE, n * 4);
}

static uint64_t piece_bytes(const kit_node *node, const cpu_params *params) {
    (void)node;
    (void)params;
    return 3 * PIECE * sizeof(float);
}

static sy_status unary_run(cpu_run *run, const cpu_step *step) {
    pieces work = {run, step};
    uint64_t n = cpu_run_out(run, step, 0)->n_elements;
    return cpu_run_tasks(run, unary_task, &work, (n + PIECE - 1) / PIECE, n * 4);
}

/* ---- two inputs, numpy broadcasting ---- */
static cpu_binary binary_of(kit_binary_kind kind) {
    static const cpu_binary kernels[] = {[KIT_BINARY_ADD] = CPU_BINARY_ADD,
                                         [KIT_BINARY_SUB] = CPU_BINARY_SUB,
                                         [KIT_BINARY_MUL] = CPU_BINARY_MUL,
                                         [KIT_BINARY_DIV] = CPU_BINARY_DIV};
    return kernels[kind];
}

static bool binary_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                         cpu_params *out_params, kit_answer *answer) {
    kit_binary binary;
    (void)device;
    (void)op;
    if (!kit_check_binary(node, &binary, answer) ||
        !kit_require_float(&node->in[0], "the first input", answer)) {
        return false;
    }
    if (node->out[0].rank == 0) {
        return kit_no(answer, SY_REASON_SHAPE, "a and b do not broadcast to y");
    }
    out_params->binary = binary_of(binary.kind);
    return true;
}

/* Element of `from` that belongs to the start of row `row` of y; *out_step is 0 when its last
 * dimension is one element for the whole row. */
static uint64_t row_start(const cpu_tensor *from, const cpu_tensor *y, uint64_t row,
                          uint64_t *out_step) {
    uint64_t at = 0, stride = cpu_tensor_width(from);
    *out_step = from->rank > 0 && (stride == cpu_tensor_width(y)) ? 1 : 0;
    for (uint32_t i = 1; i < y->rank; i++) { /* from the second last dimension outwards */
        uint64_t size = (uint64_t)y->dims[y->rank - 1 - i], index = row % size;
        row /= size;
        if (i < from->rank) {
            uint64_t own = (uint64_t)from->dims[from->rank - 1 - i];
            at += own == 1 ? 0 : index * stride;
            stride *= own;
        }
    }
    return at;
}

/* n floats of one operand from element `first` of row `row` on */
static const float *operand(const cpu_run *run, const cpu_tensor *from, const cpu_tensor *y,
                            uint64_t row, uint64_t first, uint64_t n, float *space) {
    uint64_t step = 0, at = row_start(from, y, row, &step);
    if (step == 1) {
        return cpu_floats_read(run, from, at + first, n, space);
    }
    float value = *cpu_floats_read(run, from, at, 1, space);
    for (uint64_t i = 0; i < n; i++) {
        space[i] = value;
    }
    return space;
}

/* Two values of one shape are one long row. */
static bool is_flat(const cpu_tensor *t, const cpu_tensor *y) {
    return t->n_elements == y->n_elements;
}

static void binary_piece(const pieces *work, uint64_t row, uint64_t first, uint64_t n,
                         float *space) {
    const cpu_run *run = work->run;
    const cpu_step *step = work->step;
    const cpu_tensor *a = cpu_run_in(run, step, 0), *b = cpu_run_in(run, step, 1);
    const cpu_tensor *y = cpu_run_out(run, step, 0);
    uint64_t at = row * cpu_tensor_width(y) + first;
    const float *left = is_flat(a, y) ? cpu_floats_read(run, a, at, n, space)
                                      : operand(run, a, y, row, first, n, space);
    const float *right = is_flat(b, y) ? cpu_floats_read(run, b, at, n, space + PIECE)
                                       : operand(run, b, y, row, first, n, space + PIECE);
    float *out = cpu_floats_target(y, at, space + 2 * PIECE);
    run->kernels->rows->binary(step->params.binary, left, right, n, out);
    cpu_floats_write(run, y, at, n, out);
}

static void binary_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const pieces *work = argument;
    const cpu_tensor *y = cpu_run_out(work->run, work->step, 0);
    float *space = (float *)(void *)cpu_run_worker(work->run, i_worker);
    uint64_t at = (uint64_t)i_task * PIECE, end = at + PIECE, width = cpu_tensor_width(y);
    end = end < y->n_elements ? end : y->n_elements;
    while (at < end) { /* pieces of rows */
        uint64_t first = at % width, n = width - first;
        n = n < end - at ? n : end - at;
        binary_piece(work, at / width, first, n, space);
        at += n;
    }
}

static sy_status binary_run(cpu_run *run, const cpu_step *step) {
    pieces work = {run, step};
    uint64_t n = cpu_run_out(run, step, 0)->n_elements;
    return cpu_run_tasks(run, binary_task, &work, (n + PIECE - 1) / PIECE, n);
}

#define UNARY(DOMAIN, NAME)                                                                \
    {                                                                                      \
        .domain = DOMAIN, .name = NAME, .check = unary_check, .worker_bytes = piece_bytes, \
        .run = unary_run                                                                   \
    }
#define BINARY(NAME)                                                                    \
    {                                                                                   \
        .domain = "", .name = NAME, .check = binary_check, .worker_bytes = piece_bytes, \
        .run = binary_run                                                               \
    }

const cpu_operator cpu_operators_pointwise[] = {
    UNARY("", "Relu"),
    UNARY("", "Sigmoid"),
    UNARY("", "Tanh"),
    UNARY("", "Exp"),
    UNARY("", "Erf"),
    UNARY("", "Sqrt"),
    UNARY("", "Abs"),
    UNARY("", "Neg"),
    UNARY("", "Reciprocal"),
    UNARY("", "Gelu"),
    UNARY("", "Swish"),
    UNARY("switchyard", "Softcap"),
    {.domain = "switchyard",
     .name = "GatedActivation",
     .check = gated_check,
     .worker_bytes = piece_bytes,
     .run = unary_run},
    {.domain = "switchyard",
     .name = "ClampedSwiGLU",
     .check = clamped_check,
     .worker_bytes = piece_bytes,
     .run = clamped_run},
    BINARY("Add"),
    BINARY("Sub"),
    BINARY("Mul"),
    BINARY("Div"),
    {.name = NULL},
};
