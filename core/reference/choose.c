/* SPDX-License-Identifier: Apache-2.0 */
/* ArgMax and TopK: where along an axis the largest elements are. A NaN is larger than any number,
 * 0 and -0 are equal, and of equal elements the first one counts as the larger. */
#include "base/checked.h"
#include "reference/element.h"
#include "reference/operators.h"

#include <math.h>
#include <string.h>

#define CHUNK SY__RUN_ELEMENTS

static bool require_axis(sy__facts *facts, int64_t fallback) {
    sy__params *p = &facts->params;
    const sy__tensor *x = facts->inputs[0];
    uint32_t axis = 0;
    bool is_integer = x->type == SY_TYPE_I32 || x->type == SY_TYPE_I64;
    if ((!is_integer && !sy__ref_require_float_in(facts, 0)) ||
        !sy__ref_attribute_int(facts, "axis", fallback, &p->axis)) {
        return false;
    }
    if (!sy__ref_axis(p->axis, x->shape.rank, &axis)) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "the axis is outside of the rank");
    }
    p->axis = axis;
    return ((x->dynamic >> axis & 1) == 0 && x->shape.dims[axis] > 0) ||
           sy__ref_refuse(facts, SY_REASON_SHAPE, "the axis has no fixed size above 0");
}

static bool require_indices(sy__facts *facts, uint32_t i_output) {
    return facts->outputs[i_output]->type == SY_TYPE_I64 ||
           sy__ref_refuse(facts, SY_REASON_TYPE, "the indices are not i64");
}

SY__PREPARE(arg_max) {
    sy__params *p = &facts->params;
    return require_axis(facts, 0) && require_indices(facts, 0) &&
           sy__ref_attribute_bool(facts, "keepdims", true, &p->keepdims) &&
           sy__ref_attribute_bool(facts, "select_last_index", false, &p->takes_last);
}

SY__INFER(arg_max) {
    const sy__shape *x = &inputs[0]->shape;
    sy__shape out = {.rank = 0};
    (void)n_inputs;
    (void)n_outputs;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (i != (uint32_t)params->axis) {
            out.dims[out.rank++] = x->dims[i];
        } else if (params->keepdims) {
            out.dims[out.rank++] = 1;
        }
    }
    out_shapes[0] = out;
    return true;
}

SY__MACS(choose) {
    return (double)sy__ref_shape_count(&facts->inputs[0]->shape);
}

SY__PREPARE(top_k) {
    sy__params *p = &facts->params;
    bool is_sorted = true;
    if (!require_axis(facts, -1) || !require_indices(facts, 1) || !sy__ref_require_same(facts, 0) ||
        !sy__ref_attribute_bool(facts, "largest", true, &p->takes_largest) ||
        !sy__ref_attribute_bool(facts, "sorted", true, &is_sorted) ||
        !sy__ref_constant_ints(facts, 1, 1, p->list, &p->n_list)) {
        return false;
    }
    return (p->n_list == 1 && p->list[0] >= 1 &&
            p->list[0] <= facts->inputs[0]->shape.dims[p->axis]) ||
           sy__ref_refuse(facts, SY_REASON_SHAPE, "k is not from 1 to the size of the axis");
}

SY__INFER(top_k) {
    (void)n_inputs;
    for (uint32_t i = 0; i < n_outputs; i++) {
        out_shapes[i] = inputs[0]->shape;
        out_shapes[i].dims[params->axis] = params->list[0];
    }
    return true;
}

/* A number that orders elements of every type as they are ordered here. */
static int64_t key_of_float(double value) {
    int64_t bits = 0;
    if (isnan(value)) {
        return INT64_MAX;
    }
    value += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof(bits));
    return bits >= 0 ? bits : bits ^ INT64_MAX;
}

/* Keys of n <= CHUNK elements. */
static void read_keys(const sy__tensor *x, int64_t first, int64_t stride, int64_t n,
                      int64_t *out_keys) {
    double values[CHUNK];
    if (!sy__ref_is_float(x->type)) {
        sy__ref_get_i64(x, first, stride, n, out_keys);
        return;
    }
    sy__ref_get_f64(x, first, stride, n, values);
    for (int64_t i = 0; i < n; i++) {
        out_keys[i] = key_of_float(values[i]);
    }
}

/* One line of elements along the axis. */
typedef struct line {
    int64_t n, stride, first;
} line;

static line line_at(const sy__call *call, int64_t i_line) {
    const sy__shape *x = &call->inputs[0]->shape;
    uint32_t axis = (uint32_t)call->params->axis;
    line l = {.n = x->dims[axis], .stride = sy__ref_shape_product(x, axis + 1, x->rank)};
    l.first = i_line / l.stride * l.n * l.stride + i_line % l.stride;
    return l;
}

static uint64_t count_lines(const sy__call *call) {
    const sy__shape *x = &call->inputs[0]->shape;
    return (uint64_t)(sy__ref_shape_count(x) / x->dims[call->params->axis]);
}

static void arg_max_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    line l = line_at(call, i_task);
    int64_t keys[CHUNK], best_key = 0, best = 0;
    (void)i_worker;
    for (int64_t at = 0; at < l.n; at += CHUNK) {
        int64_t n = l.n - at < CHUNK ? l.n - at : CHUNK;
        read_keys(call->inputs[0], l.first + at * l.stride, l.stride, n, keys);
        for (int64_t i = 0; i < n; i++) {
            bool is_first = at + i == 0;
            if (is_first || keys[i] > best_key ||
                (keys[i] == best_key && call->params->takes_last)) {
                best_key = keys[i];
                best = at + i;
            }
        }
    }
    sy__ref_put_i64(call->outputs[0], i_task, 1, &best);
}

SY__RUN(arg_max) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, arg_max_task, &copy, count_lines(call));
}

/* ---- TopK ---- */
typedef struct candidate {
    int64_t key, index;
} candidate;

static bool is_better(const candidate *a, const candidate *b) {
    return a->key != b->key ? a->key > b->key : a->index < b->index;
}

/* Lets entry i of a heap with the worst on top sink to its place. */
static void sink(candidate *heap, int64_t n, int64_t i) {
    for (;;) {
        int64_t worst = i;
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            worst = is_better(&heap[worst], &heap[child]) ? child : worst;
        }
        if (worst == i) {
            return;
        }
        candidate moved = heap[i];
        heap[i] = heap[worst];
        heap[worst] = moved;
        i = worst;
    }
}

/* The best k of a line, the best one first. */
static void choose_best(const sy__call *call, const line *l, candidate *heap) {
    int64_t keys[CHUNK], k = call->params->list[0];
    for (int64_t at = 0; at < l->n; at += CHUNK) {
        int64_t n = l->n - at < CHUNK ? l->n - at : CHUNK;
        read_keys(call->inputs[0], l->first + at * l->stride, l->stride, n, keys);
        for (int64_t i = 0; i < n; i++) {
            /* ~ turns the order around, and a NaN becomes the last of all */
            candidate c = {call->params->takes_largest ? keys[i] : ~keys[i], at + i};
            if (c.index < k) {
                heap[k - 1 - c.index] = c; /* filled from the end, so that entries only sink */
                sink(heap, k, k - 1 - c.index);
            } else if (is_better(&c, &heap[0])) {
                heap[0] = c;
                sink(heap, k, 0);
            }
        }
    }
    for (int64_t n = k - 1; n > 0; n--) { /* the worst that is left goes to the end */
        candidate worst = heap[0];
        heap[0] = heap[n];
        heap[n] = worst;
        sink(heap, n, 0);
    }
}

/* For each worker: the candidates of a line. */
SY__WORK(top_k) {
    uint64_t n_bytes = 0;
    uint64_t n = (uint64_t)facts->params.list[0] * n_workers;
    return sy__mul_u64(n, sizeof(candidate), &n_bytes) ? n_bytes : UINT64_MAX;
}

static void top_k_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__tensor *x = call->inputs[0], *y = call->outputs[0];
    int64_t k = call->params->list[0];
    line l = line_at(call, i_task);
    size_t n_bytes = sy__ref_element_bytes(x->type);
    candidate *best = (candidate *)(void *)call->work + (int64_t)i_worker * k;
    choose_best(call, &l, best);
    int64_t first_out = i_task / l.stride * k * l.stride + i_task % l.stride;
    for (int64_t j = 0; j < k; j++) {
        int64_t from = l.first + best[j].index * l.stride;
        int64_t to = first_out + j * l.stride;
        memcpy((uint8_t *)y->data + (size_t)to * n_bytes,
               (const uint8_t *)x->data + (size_t)from * n_bytes, n_bytes);
        sy__ref_put_i64(call->outputs[1], to, 1, &best[j].index);
    }
}

SY__RUN(top_k) {
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, top_k_task, &copy, count_lines(call));
}
