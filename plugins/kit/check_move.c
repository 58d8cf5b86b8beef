/* SPDX-License-Identifier: Apache-2.0 */
/* Gather, Transpose, Concat, Slice, Split, Expand. */
#include "check_shared.h"

#include <string.h>

/* The elements of input i_input are those of every output, in whole bytes. */
static bool type_check(const kit_node *node, uint32_t i_input, const char *what,
                       uint32_t *out_bytes, kit_answer *answer) {
    const sy_value_view *x = &node->in[i_input];
    bool fits = kit_is_movable(x);
    for (uint32_t i = 0; fits && i < node->n_out; i++) {
        fits = node->out[i].type == x->type;
    }
    *out_bytes = kit_type_block_bytes(x->type);
    return fits || kit_no(answer, SY_REASON_TYPE, "%s and y must have one plain type", what);
}

static bool axis_read(const kit_node *node, uint32_t rank, uint32_t *out, kit_answer *answer) {
    static const char *const names[] = {"axis", NULL};
    int64_t axis = 0;
    return kit_attributes_known(node, names, answer) &&
           kit_attribute_int(node, "axis", 0, &axis, answer) &&
           (kit_axis(axis, rank, out) ||
            kit_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape"));
}

bool kit_check_gather(const kit_node *node, kit_gather *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *ids = &node->in[1], *y = &node->out[0];
    *out = (kit_gather){0};
    if (!axis_read(node, x->rank, &out->axis, answer) ||
        !type_check(node, 0, "data", &out->element_bytes, answer)) {
        return false;
    }
    if (ids->type != SY_TYPE_I32 && ids->type != SY_TYPE_I64) {
        return kit_no(answer, SY_REASON_TYPE, "indices are neither i32 nor i64");
    }
    bool fits = y->rank == ids->rank + x->rank - 1;
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        uint32_t at = i < out->axis ? i : i + ids->rank - 1;
        fits = i == out->axis || kit_dimension_same(&y->dims[at], &x->dims[i]);
    }
    for (uint32_t i = 0; fits && i < ids->rank; i++) {
        fits = kit_dimension_same(&y->dims[out->axis + i], &ids->dims[i]);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "data, indices and y do not fit");
}

/* The attribute, or the axes in reverse; false for what is no permutation. */
static bool permutation_read(const kit_node *node, uint32_t rank, uint32_t *out) {
    const sy_attribute *perm = kit_attribute_find(node, "perm");
    uint32_t seen = 0;
    if (perm != NULL && (perm->type != SY_ATTRIBUTE_INTS || perm->count != rank)) {
        return false;
    }
    for (uint32_t i = 0; i < rank; i++) {
        int64_t from = perm != NULL ? perm->value.ints[i] : (int64_t)(rank - 1 - i);
        if (from < 0 || from >= (int64_t)rank || (seen >> from & 1u) != 0) {
            return false;
        }
        seen |= 1u << from;
        out[i] = (uint32_t)from;
    }
    return true;
}

bool kit_check_transpose(const kit_node *node, kit_transpose *out, kit_answer *answer) {
    static const char *const names[] = {"perm", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    *out = (kit_transpose){.element_bytes = 0};
    if (!kit_attributes_known(node, names, answer) ||
        !type_check(node, 0, "x", &out->element_bytes, answer)) {
        return false;
    }
    if (!permutation_read(node, x->rank, out->from)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "perm is no permutation of the axes");
    }
    bool fits = x->rank == y->rank;
    for (uint32_t i = 0; fits && i < y->rank; i++) {
        fits = kit_dimension_same(&y->dims[i], &x->dims[out->from[i]]);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "y is not x with its axes in that order");
}

/* A sum of dimensions: scale * symbol + number. */
typedef struct sum {
    uint32_t symbol;
    int64_t scale, number;
} sum;

static bool sum_take(sum *s, const sy_dimension *d) {
    if (d->symbol == 0) {
        return !__builtin_add_overflow(s->number, d->bound, &s->number);
    }
    bool same = s->symbol == 0 || s->symbol == d->symbol;
    s->symbol = d->symbol;
    return same && !__builtin_add_overflow(s->scale, (int64_t)d->scale, &s->scale) &&
           !__builtin_add_overflow(s->number, d->offset, &s->number);
}

static bool sum_is(const sum *s, const sy_dimension *d) {
    sum one = {0};
    return sum_take(&one, d) && one.symbol == s->symbol && one.scale == s->scale &&
           one.number == s->number;
}

bool kit_check_concat(const kit_node *node, kit_concat *out, kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    sum total = {0};
    *out = (kit_concat){0};
    if (!axis_read(node, y->rank, &out->axis, answer)) {
        return false;
    }
    if (kit_attribute_find(node, "axis") == NULL) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "axis is missing");
    }
    bool fits = true;
    for (uint32_t i = 0; fits && i < node->n_in; i++) {
        if (!node->has_in[i]) {
            return kit_no(answer, SY_REASON_OTHER, "input %u is missing", i);
        }
        if (!type_check(node, i, "the inputs", &out->element_bytes, answer)) {
            return false;
        }
        fits = kit_same_but(&node->in[i], y, out->axis) &&
               sum_take(&total, &node->in[i].dims[out->axis]);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return (fits && sum_is(&total, &y->dims[out->axis])) ||
           kit_no(answer, SY_REASON_SHAPE, "the inputs do not make y together");
}

/* ---- Slice ---- */
/* What is asked for along one axis. */
typedef struct range {
    int64_t start, end, step;
} range;

/* Negative places count from the end; then kept within [low, high]. */
static int64_t place(int64_t at, int64_t n, int64_t low, int64_t high) {
    if (at < 0) {
        at = at < -n ? -1 : at + n;
    }
    return at < low ? low : at > high ? high : at;
}

/* First place and number of elements along an axis of n elements. */
static int64_t range_count(const range *r, int64_t n, int64_t *out_first) {
    int64_t span = 0, step = r->step;
    if (step > 0) {
        *out_first = place(r->start, n, 0, n);
        span = place(r->end, n, 0, n) - *out_first;
    } else { /* going down, the end may be in front of the first element, the start may not */
        *out_first = place(r->start, n, 0, n - 1);
        span = *out_first - place(r->end, n, -1, n - 1);
        step = -step;
    }
    return span > 0 && n > 0 ? (span - 1) / step + 1 : 0;
}

static bool ranges_read(const kit_node *node, range *out, uint32_t *out_named, kit_answer *answer) {
    int64_t starts[SY_MAX_RANK], ends[SY_MAX_RANK], axes[SY_MAX_RANK], steps[SY_MAX_RANK];
    uint32_t n = 0, n_ends = 0, n_axes = 0, n_steps = 0, rank = node->in[0].rank;
    bool has_axes = kit_node_has(node, 3), has_steps = kit_node_has(node, 4);
    if (!kit_constant_ints(node, 1, SY_MAX_RANK, starts, &n, answer) ||
        !kit_constant_ints(node, 2, SY_MAX_RANK, ends, &n_ends, answer) ||
        !kit_constant_ints(node, 3, SY_MAX_RANK, axes, &n_axes, answer) ||
        !kit_constant_ints(node, 4, SY_MAX_RANK, steps, &n_steps, answer)) {
        return false;
    }
    if (n_ends != n || (has_axes && n_axes != n) || (has_steps && n_steps != n)) {
        return kit_no(answer, SY_REASON_SHAPE, "starts, ends, axes, steps differ in length");
    }
    *out_named = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = 0;
        int64_t step = has_steps ? steps[i] : 1;
        if (!kit_axis(has_axes ? axes[i] : (int64_t)i, rank, &axis) ||
            (*out_named >> axis & 1u) != 0 || step == 0 || step == INT64_MIN) {
            return kit_no(answer, SY_REASON_ATTRIBUTE,
                          "an axis is outside the shape or twice, or a step is 0");
        }
        *out_named |= 1u << axis;
        out[axis] = (range){.start = starts[i], .end = ends[i], .step = step};
    }
    return true;
}

/* One axis of x, y and what is asked for along it. */
static bool axis_slice(const sy_dimension *x, const sy_dimension *y, const range *r, uint32_t axis,
                       kit_slice *out) {
    int64_t first = 0, n = range_count(r, x->bound, &first);
    if (first == 0 && r->step == 1 && n == x->bound) { /* all of it */
        return kit_dimension_same(x, y) && (x->symbol == 0 || r->start == 0);
    }
    out->cut_axes |= 1u << axis;
    out->first[axis] = first;
    out->step[axis] = r->step;
    return x->symbol == 0 && kit_dimension_is(y, n);
}

bool kit_check_slice(const kit_node *node, kit_slice *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    range ranges[SY_MAX_RANK];
    uint32_t named = 0;
    *out = (kit_slice){.cut_axes = 0};
    if (!kit_attributes_known(node, NULL, answer) ||
        !type_check(node, 0, "data", &out->element_bytes, answer) ||
        !ranges_read(node, ranges, &named, answer)) {
        return false;
    }
    bool fits = x->rank == y->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        out->step[i] = 1;
        fits = (named >> i & 1u) != 0 ? axis_slice(&x->dims[i], &y->dims[i], &ranges[i], i, out)
                                      : kit_dimension_same(&x->dims[i], &y->dims[i]);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "y has not the size of the slice");
}

/* ---- Split ---- */
/* The sizes that are given, or equal ones of which the last may be smaller. */
static bool sizes_read(const kit_node *node, int64_t n_elements, int64_t *out, kit_answer *answer) {
    int64_t n_outputs = 0, n_parts = node->n_out;
    int64_t equal = n_elements / n_parts + (n_elements % n_parts != 0 ? 1 : 0);
    uint32_t n_sizes = 0;
    if (!kit_attribute_int(node, "num_outputs", node->n_out, &n_outputs, answer) ||
        !kit_constant_ints(node, 1, KIT_OUTPUTS_MAX, out, &n_sizes, answer)) {
        return false;
    }
    bool has_sizes = kit_node_has(node, 1);
    if (n_outputs != node->n_out || (has_sizes && n_sizes != node->n_out)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "more or fewer sizes than outputs");
    }
    for (uint32_t i = 0; i < node->n_out && !has_sizes; i++) {
        out[i] = equal < n_elements ? equal : n_elements;
        n_elements -= out[i];
    }
    return true;
}

bool kit_check_split(const kit_node *node, kit_split *out, kit_answer *answer) {
    static const char *const names[] = {"axis", "num_outputs", NULL};
    const sy_value_view *x = &node->in[0];
    int64_t axis = 0;
    *out = (kit_split){.axis = 0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "axis", 0, &axis, answer) ||
        !type_check(node, 0, "x", &out->element_bytes, answer)) {
        return false;
    }
    if (!kit_axis(axis, x->rank, &out->axis)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "axis is outside the shape");
    }
    int64_t rest = x->dims[out->axis].bound;
    if (!sizes_read(node, rest, out->sizes, answer)) {
        return false;
    }
    bool fits = x->dims[out->axis].symbol == 0;
    for (uint32_t i = 0; fits && i < node->n_out; i++) {
        fits = out->sizes[i] >= 0 && out->sizes[i] <= rest &&
               kit_same_but(x, &node->out[i], out->axis) &&
               kit_dimension_is(&node->out[i].dims[out->axis], out->sizes[i]);
        rest -= fits ? out->sizes[i] : 0;
    }
    kit_count_elements(node, 8.0 * (double)node->n_out, 0.0, answer);
    return (fits && rest == 0) ||
           kit_no(answer, SY_REASON_SHAPE, "the outputs do not make x together");
}

bool kit_check_expand(const kit_node *node, kit_expand *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t shape[SY_MAX_RANK];
    uint32_t n = 0;
    *out = (kit_expand){0};
    if (!kit_attributes_known(node, NULL, answer) ||
        !type_check(node, 0, "x", &out->element_bytes, answer) ||
        !kit_constant_ints(node, 1, SY_MAX_RANK, shape, &n, answer)) {
        return false;
    }
    bool fits = y->rank == (n > x->rank ? n : x->rank);
    for (uint32_t i = 1; fits && i <= y->rank; i++) { /* from the last dimension outwards */
        const sy_dimension *d = i <= x->rank ? &x->dims[x->rank - i] : NULL;
        const sy_dimension *to = &y->dims[y->rank - i];
        int64_t wanted = i <= n ? shape[n - i] : 1;
        bool is_one = d == NULL || kit_dimension_is(d, 1);
        fits = is_one ? kit_dimension_is(to, wanted)
                      : (wanted == 1 || kit_dimension_is(d, wanted)) && kit_dimension_same(d, to);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "y is not x broadcast to the shape");
}
