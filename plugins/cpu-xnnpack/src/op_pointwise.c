/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that work element by element: activation functions, gating, binary arithmetic. */
#include "operators.h"

#include <string.h>

#define PIECE 4096u /* elements of one task */

/* ---- one input ---- */
static bool unary_parameter(const cpu_node *node, const cpu_operator *op, cpu_params *p,
                            cpu_answer *answer) {
    static const char *const alpha[] = {"alpha", NULL}, *const cap[] = {"cap", NULL};
    static const char *const approximate[] = {"approximate", NULL};
    const char *text = NULL;
    p->unary = (cpu_unary)op->variant;
    p->parameter = 1.0;
    if (strcmp(op->name, "Swish") == 0) {
        return cpu_attributes_known(node, alpha, answer) &&
               cpu_attribute_float(node, "alpha", 1.0, &p->parameter, answer);
    }
    if (p->unary == CPU_UNARY_SOFTCAP) {
        return cpu_attributes_known(node, cap, answer) &&
               cpu_attribute_float(node, "cap", 0.0, &p->parameter, answer) &&
               (p->parameter > 0.0 || cpu_no(answer, SY_REASON_ATTRIBUTE, "cap must be above 0"));
    }
    if (p->unary == CPU_UNARY_GELU) {
        if (!cpu_attributes_known(node, approximate, answer) ||
            !cpu_attribute_string(node, "approximate", "none", &text, answer)) {
            return false;
        }
        p->unary = strcmp(text, "tanh") == 0 ? CPU_UNARY_GELU_TANH : CPU_UNARY_GELU;
        return strcmp(text, "tanh") == 0 || strcmp(text, "none") == 0 ||
               cpu_no(answer, SY_REASON_ATTRIBUTE, "approximate is neither none nor tanh");
    }
    return cpu_attributes_known(node, NULL, answer);
}

static bool unary_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                        cpu_params *out_params, cpu_answer *answer) {
    (void)device;
    if (!unary_parameter(node, op, out_params, answer) ||
        !cpu_require_same_float(&node->in[0], &node->out[0], answer)) {
        return false;
    }
    if (!cpu_shape_same(&node->in[0], &node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "y has another shape than x");
    }
    double n = cpu_typical_count(node->graph, &node->in[0]);
    answer->activation_bytes = 8.0 * n;
    answer->f32_ops = 20.0 * n;
    return true;
}

static bool gated_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                        cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"activation", NULL};
    static const struct {
        const char *name;
        cpu_unary unary;
    } known[] = {{"silu", CPU_UNARY_SILU},
                 {"gelu_tanh", CPU_UNARY_GELU_TANH},
                 {"gelu", CPU_UNARY_GELU},
                 {"relu", CPU_UNARY_RELU},
                 {"sigmoid", CPU_UNARY_SIGMOID}};
    const char *text = NULL;
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_string(node, "activation", "", &text, answer) ||
        !cpu_require_same_float(&node->in[0], &node->out[0], answer) ||
        !cpu_require_float(&node->in[1], "up", answer)) {
        return false;
    }
    out_params->unary = CPU_UNARY_COUNT;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, text) == 0) {
            out_params->unary = known[i].unary;
        }
    }
    if (out_params->unary == CPU_UNARY_COUNT) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "activation '%.24s' is unknown", text);
    }
    if (!cpu_shape_same(&node->in[0], &node->out[0]) ||
        !cpu_shape_same(&node->in[1], &node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "gate, up and y differ in shape");
    }
    double n = cpu_typical_count(node->graph, &node->in[0]);
    answer->activation_bytes = 12.0 * n;
    answer->f32_ops = 22.0 * n;
    return true;
}

static bool clamped_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                          cpu_params *out_params, cpu_answer *answer) {
    static const char *const names[] = {"alpha", "limit", NULL};
    (void)device;
    (void)op;
    if (!cpu_attributes_known(node, names, answer) ||
        !cpu_attribute_float(node, "alpha", 1.0, &out_params->parameter, answer) ||
        !cpu_attribute_float(node, "limit", 0.0, &out_params->softcap, answer) ||
        !cpu_require_same_float(&node->in[0], &node->out[0], answer) ||
        !cpu_require_float(&node->in[1], "up", answer)) {
        return false;
    }
    if (!(out_params->softcap > 0.0)) {
        return cpu_no(answer, SY_REASON_ATTRIBUTE, "limit must be above 0");
    }
    if (!cpu_shape_same(&node->in[0], &node->out[0]) ||
        !cpu_shape_same(&node->in[1], &node->out[0])) {
        return cpu_no(answer, SY_REASON_SHAPE, "gate, up and y differ in shape");
    }
    double n = cpu_typical_count(node->graph, &node->in[0]);
    answer->activation_bytes = 12.0 * n;
    answer->f32_ops = 26.0 * n;
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

static uint64_t piece_bytes(const cpu_node *node, const cpu_params *params) {
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
static bool broadcasts(const sy_value_view *from, const sy_value_view *to) {
    if (from->rank > to->rank) {
        return false;
    }
    for (uint32_t i = 0; i < from->rank; i++) {
        const sy_dimension *a = &from->dims[i], *b = &to->dims[i + to->rank - from->rank];
        bool one = a->symbol == 0 && a->bound == 1;
        if (!one && !cpu_dimension_same(a, b)) {
            return false;
        }
    }
    return true;
}

/* True when dimension i of y is one of x. */
static bool reaches(const sy_value_view *x, const sy_value_view *y, uint32_t i) {
    uint32_t skipped = y->rank - x->rank;
    return i >= skipped && cpu_dimension_same(&x->dims[i - skipped], &y->dims[i]);
}

static bool binary_check(const sy_device *device, const cpu_node *node, const cpu_operator *op,
                         cpu_params *out_params, cpu_answer *answer) {
    const sy_value_view *a = &node->in[0], *b = &node->in[1], *y = &node->out[0];
    (void)device;
    if (!cpu_attributes_known(node, NULL, answer) || !cpu_require_same_float(a, y, answer) ||
        !cpu_require_float(b, "b", answer)) {
        return false;
    }
    if (y->rank == 0 || !broadcasts(a, y) || !broadcasts(b, y)) {
        return cpu_no(answer, SY_REASON_SHAPE, "a and b do not broadcast to y");
    }
    for (uint32_t i = 0; i < y->rank; i++) {
        if (!reaches(a, y, i) && !reaches(b, y, i)) {
            return cpu_no(answer, SY_REASON_SHAPE, "dimension %u of y is neither a's nor b's", i);
        }
    }
    out_params->binary = (cpu_binary)op->variant;
    double n = cpu_typical_count(node->graph, y);
    answer->activation_bytes = 12.0 * n;
    answer->f32_ops = n;
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

#define UNARY(DOMAIN, NAME, VERSION, VARIANT)                                                \
    {                                                                                        \
        .domain = DOMAIN, .name = NAME, .version = VERSION, .n_in_least = 1, .n_in_most = 1, \
        .n_out = 1, .variant = VARIANT, .check = unary_check, .worker_bytes = piece_bytes,   \
        .run = unary_run                                                                     \
    }
#define BINARY(NAME, VARIANT)                                                                     \
    {                                                                                             \
        .domain = "", .name = NAME, .version = 14, .n_in_least = 2, .n_in_most = 2, .n_out = 1,   \
        .variant = VARIANT, .check = binary_check, .worker_bytes = piece_bytes, .run = binary_run \
    }

const cpu_operator cpu_operators_pointwise[] = {
    UNARY("", "Relu", 14, CPU_UNARY_RELU),
    UNARY("", "Sigmoid", 13, CPU_UNARY_SIGMOID),
    UNARY("", "Tanh", 13, CPU_UNARY_TANH),
    UNARY("", "Exp", 13, CPU_UNARY_EXP),
    UNARY("", "Erf", 13, CPU_UNARY_ERF),
    UNARY("", "Sqrt", 13, CPU_UNARY_SQRT),
    UNARY("", "Abs", 13, CPU_UNARY_ABS),
    UNARY("", "Neg", 13, CPU_UNARY_NEG),
    UNARY("", "Reciprocal", 13, CPU_UNARY_RECIPROCAL),
    UNARY("", "Gelu", 20, CPU_UNARY_GELU),
    UNARY("", "Swish", 24, CPU_UNARY_SILU),
    UNARY("switchyard", "Softcap", 1, CPU_UNARY_SOFTCAP),
    {.domain = "switchyard",
     .name = "GatedActivation",
     .version = 1,
     .n_in_least = 2,
     .n_in_most = 2,
     .n_out = 1,
     .check = gated_check,
     .worker_bytes = piece_bytes,
     .run = unary_run},
    {.domain = "switchyard",
     .name = "ClampedSwiGLU",
     .version = 1,
     .n_in_least = 2,
     .n_in_most = 2,
     .n_out = 1,
     .check = clamped_check,
     .worker_bytes = piece_bytes,
     .run = clamped_run},
    BINARY("Add", CPU_BINARY_ADD),
    BINARY("Sub", CPU_BINARY_SUB),
    BINARY("Mul", CPU_BINARY_MUL),
    BINARY("Div", CPU_BINARY_DIV),
    {.name = NULL},
};
