/* SPDX-License-Identifier: Apache-2.0 */
/* Reshape, Squeeze, Unsqueeze, Identity. */
#include "check_shared.h"

#include <string.h>

/* A product of dimensions: number * (scale * symbol + offset). */
typedef struct product {
    int64_t number;
    const sy_dimension *symbolic; /* NULL: the number alone */
} product;

/* False where it has two symbols, or overflows. */
static bool product_take(product *p, const sy_dimension *d) {
    if (d->symbol == 0) {
        return !__builtin_mul_overflow(p->number, d->bound, &p->number);
    }
    bool first = p->symbolic == NULL;
    p->symbolic = d;
    return first;
}

static bool product_same(const product *a, const product *b) {
    const sy_dimension *x = a->symbolic, *y = b->symbolic;
    int64_t scales[2], offsets[2];
    if (x == NULL || y == NULL) {
        return x == y && a->number == b->number;
    }
    return x->symbol == y->symbol &&
           !__builtin_mul_overflow(a->number, (int64_t)x->scale, &scales[0]) &&
           !__builtin_mul_overflow(b->number, (int64_t)y->scale, &scales[1]) &&
           !__builtin_mul_overflow(a->number, x->offset, &offsets[0]) &&
           !__builtin_mul_overflow(b->number, y->offset, &offsets[1]) && scales[0] == scales[1] &&
           offsets[0] == offsets[1];
}

/* Place in x of a symbolic dimension of y that no other one has taken; SY_MAX_RANK: none. */
static uint32_t twin_of(const sy_dimension *d, const sy_value_view *x, uint32_t taken) {
    for (uint32_t i = 0; d->symbol != 0 && i < x->rank; i++) {
        if ((taken >> i & 1u) == 0 && kit_dimension_same(d, &x->dims[i])) {
            return i;
        }
    }
    return SY_MAX_RANK;
}

/* Whether both have as many elements in every job, without the dimensions `copied`, a set of places
 * in both. Equal symbolic dimensions cancel out. */
static bool elements_same(const sy_value_view *x, const sy_value_view *y, uint32_t copied) {
    product in = {.number = 1}, out = {.number = 1};
    uint32_t taken = copied;
    bool fits = true;
    for (uint32_t i = 0; fits && i < y->rank; i++) {
        uint32_t twin = twin_of(&y->dims[i], x, taken);
        if ((copied >> i & 1u) == 0 && twin < SY_MAX_RANK) {
            taken |= 1u << twin;
        } else if ((copied >> i & 1u) == 0) {
            fits = product_take(&out, &y->dims[i]);
        }
    }
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        fits = (taken >> i & 1u) != 0 || product_take(&in, &x->dims[i]);
    }
    return fits && product_same(&in, &out);
}

static bool reshape_check(const kit_node *node, kit_answer *answer) {
    static const char *const names[] = {"allowzero", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    int64_t shape[SY_MAX_RANK], allow_zero = 0;
    uint32_t n = 0, n_free = 0, copied = 0;
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "allowzero", 0, &allow_zero, answer) ||
        !kit_constant_ints(node, 1, SY_MAX_RANK, shape, &n, answer)) {
        return false;
    }
    bool fits = n == y->rank;
    for (uint32_t i = 0; fits && i < n; i++) {
        if (shape[i] == 0 && allow_zero == 0) {
            fits = i < x->rank && kit_dimension_same(&x->dims[i], &y->dims[i]);
            copied |= 1u << i;
        } else if (shape[i] == -1) {
            n_free++;
        } else {
            fits = kit_dimension_is(&y->dims[i], shape[i]);
        }
    }
    return (fits && n_free <= 1 && elements_same(x, y, copied)) ||
           kit_no(answer, SY_REASON_SHAPE, "y is not x in the shape that is given");
}

/* Whether `longer` is `shorter` with ones at the places of a set. */
static bool has_ones(const sy_value_view *longer, const sy_value_view *shorter, uint32_t ones) {
    uint32_t at = 0;
    bool fits = true;
    for (uint32_t i = 0; fits && i < longer->rank; i++) {
        if ((ones >> i & 1u) != 0) {
            fits = kit_dimension_is(&longer->dims[i], 1);
        } else {
            fits = at < shorter->rank && kit_dimension_same(&longer->dims[i], &shorter->dims[at++]);
        }
    }
    return fits && at == shorter->rank;
}

/* Without axes all fixed dimensions of 1 are dropped. */
static bool squeeze_check(const kit_node *node, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    uint32_t ones = 0;
    if (!kit_attributes_known(node, NULL, answer) ||
        !kit_constant_axes(node, 1, x->rank, &ones, answer)) {
        return false;
    }
    for (uint32_t i = 0; i < x->rank && !kit_node_has(node, 1); i++) {
        ones |= kit_dimension_is(&x->dims[i], 1) ? 1u << i : 0;
    }
    return has_ones(x, &node->out[0], ones) ||
           kit_no(answer, SY_REASON_SHAPE, "y is not x without the axes, each of size 1");
}

static bool unsqueeze_check(const kit_node *node, kit_answer *answer) {
    const sy_value_view *y = &node->out[0];
    uint32_t ones = 0;
    return kit_attributes_known(node, NULL, answer) &&
           kit_constant_axes(node, 1, y->rank, &ones, answer) &&
           (has_ones(y, &node->in[0], ones) ||
            kit_no(answer, SY_REASON_SHAPE, "y is not x with ones at the axes"));
}

static bool identity_check(const kit_node *node, kit_answer *answer) {
    return kit_attributes_known(node, NULL, answer) &&
           (kit_shape_same(&node->in[0], &node->out[0]) ||
            kit_no(answer, SY_REASON_SHAPE, "y has another shape than x"));
}

bool kit_check_view(const kit_node *node, kit_view *out, kit_answer *answer) {
    static const struct {
        const char *name;
        bool (*check)(const kit_node *node, kit_answer *answer);
    } known[] = {{"Reshape", reshape_check},
                 {"Squeeze", squeeze_check},
                 {"Unsqueeze", unsqueeze_check},
                 {"Identity", identity_check}};
    const sy_value_view *x = &node->in[0];
    *out = (kit_view){.element_bytes = kit_type_block_bytes(x->type)};
    if (x->type != node->out[0].type || !kit_is_movable(x)) {
        return kit_no(answer, SY_REASON_TYPE, "x and y must have one plain type");
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, node->view.op) == 0) {
            return known[i].check(node, answer);
        }
    }
    return kit_no_kernel(node, answer);
}
