/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"
#include "graph/graph_internal.h"
#include "switchyard/limits.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>

sy_dimension sy__dimension_fixed(int64_t n) {
    sy_dimension dimension = {.bound = n, .symbol = SY_SYMBOL_NONE, .scale = 0, .offset = 0};
    return dimension;
}

bool sy__dimension_equal(const sy_dimension *a, const sy_dimension *b) {
    if (a->symbol != b->symbol) {
        return false;
    }
    if (a->symbol == SY_SYMBOL_NONE) {
        return a->bound == b->bound;
    }
    return a->scale == b->scale && a->offset == b->offset;
}

bool sy__dimension_is(const sy_dimension *dimension, int64_t n) {
    return dimension->symbol == SY_SYMBOL_NONE && dimension->bound == n;
}

bool sy__dimension_multiply(const sy_dimension *a, const sy_dimension *b, sy_dimension *out) {
    if (a->symbol != SY_SYMBOL_NONE && b->symbol != SY_SYMBOL_NONE) {
        return false;
    }
    const sy_dimension *dynamic = a->symbol != SY_SYMBOL_NONE ? a : b;
    const sy_dimension *fixed = dynamic == a ? b : a;
    sy_dimension result = *dynamic;
    int64_t scale = 0;
    if (!sy__mul_i64(a->bound, b->bound, &result.bound) ||
        !sy__mul_i64(dynamic->offset, fixed->bound, &result.offset) ||
        !sy__mul_i64(dynamic->scale, fixed->bound, &scale) || scale > INT32_MAX) {
        return false;
    }
    result.scale = (int32_t)scale;
    *out = result;
    return true;
}

bool sy__dimension_add(const sy_dimension *a, const sy_dimension *b, sy_dimension *out) {
    bool both = a->symbol != SY_SYMBOL_NONE && b->symbol != SY_SYMBOL_NONE;
    if (both && a->symbol != b->symbol) {
        return false;
    }
    int64_t scale = (int64_t)(a->symbol ? a->scale : 0) + (b->symbol ? b->scale : 0);
    sy_dimension result = {.symbol = a->symbol ? a->symbol : b->symbol, .scale = 0};
    int64_t offset_a = a->symbol ? a->offset : a->bound;
    int64_t offset_b = b->symbol ? b->offset : b->bound;
    if (!sy__add_i64(a->bound, b->bound, &result.bound) || scale > INT32_MAX ||
        !sy__add_i64(offset_a, offset_b, &result.offset)) {
        return false;
    }
    result.scale = (int32_t)scale;
    if (result.symbol == SY_SYMBOL_NONE) {
        result.offset = 0;
    }
    *out = result;
    return true;
}

bool sy__dimension_divide(const sy_dimension *a, const sy_dimension *b, sy_dimension *out) {
    if (b->symbol != SY_SYMBOL_NONE) {
        if (!sy__dimension_equal(a, b)) {
            return false;
        }
        *out = sy__dimension_fixed(1);
        return true;
    }
    if (b->bound <= 0 || a->bound % b->bound != 0 || a->scale % b->bound != 0 ||
        a->offset % b->bound != 0) {
        return false;
    }
    *out = *a;
    out->bound = a->bound / b->bound;
    out->scale = (int32_t)(a->scale / b->bound);
    out->offset = a->offset / b->bound;
    return true;
}

bool sy__same_shape(const sy_value_view *a, const sy_value_view *b) {
    if (a->rank != b->rank || a->type != b->type) {
        return false;
    }
    for (uint32_t i = 0; i < a->rank; i++) {
        if (!sy__dimension_equal(&a->dims[i], &b->dims[i])) {
            return false;
        }
    }
    return true;
}

bool sy__shape_bytes(sy_element_type type, uint32_t rank, const sy_dimension *dims,
                     uint64_t *out_bytes) {
    const sy_type_facts *facts = sy_type_get(type);
    if (facts == NULL || rank > SY_MAX_RANK) {
        return false;
    }
    uint64_t n_rows = 1, n_elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i].bound < 0 || !sy__mul_u64(n_elements, (uint64_t)dims[i].bound, &n_elements) ||
            n_elements > SY_LIMIT_TENSOR_ELEMENTS) {
            return false;
        }
        if (i + 1 < rank) {
            n_rows *= (uint64_t)dims[i].bound;
        }
    }
    uint64_t row_bytes = 0;
    uint64_t row_elements = rank == 0 ? 1 : (uint64_t)dims[rank - 1].bound;
    return sy_type_row_bytes(type, row_elements, &row_bytes) == SY_OK &&
           sy__mul_u64(n_rows, row_bytes, out_bytes);
}

int64_t sy_dimension_value(const sy_dimension *dimension, const int64_t *symbols) {
    if (dimension->symbol == SY_SYMBOL_NONE || symbols == NULL) {
        return dimension->bound;
    }
    return dimension->scale * symbols[dimension->symbol] + dimension->offset;
}

uint64_t sy_value_bytes(const sy_value_view *value, const int64_t *symbols) {
    if (value->kind == SY_VALUE_WEIGHT || symbols == NULL) {
        return value->data.length_bytes;
    }
    const sy_type_facts *facts = sy_type_get(value->type);
    uint64_t n_elements = 1;
    for (uint32_t i = 0; i < value->rank; i++) {
        n_elements *= (uint64_t)sy_dimension_value(&value->dims[i], symbols);
    }
    return n_elements / facts->n_block_elements * facts->n_block_bytes;
}

static const char *symbol_name(uint32_t symbol, char *buffer, size_t n_bytes) {
    switch (symbol) {
    case SY_SYMBOL_TOKENS:
        return "T";
    case SY_SYMBOL_OUTPUTS:
        return "R";
    case SY_SYMBOL_SEQUENCES:
        return "S";
    default:
        snprintf(buffer, n_bytes, "s%" PRIu32, symbol);
        return buffer;
    }
}

void sy__shape_text(const sy_value_view *value, char *out_text, size_t n_bytes) {
    size_t used = (size_t)snprintf(out_text, n_bytes, "[");
    for (uint32_t i = 0; i < value->rank && used < n_bytes; i++) {
        const sy_dimension *d = &value->dims[i];
        char one[96], name[16];
        if (d->symbol == SY_SYMBOL_NONE) {
            snprintf(one, sizeof(one), "%" PRId64, d->bound);
        } else {
            char scale[16] = "", offset[32] = "";
            if (d->scale != 1) {
                snprintf(scale, sizeof(scale), "%" PRId32, d->scale);
            }
            if (d->offset != 0) {
                snprintf(offset, sizeof(offset), "%+" PRId64, d->offset);
            }
            snprintf(one, sizeof(one), "%s%s%s", scale, symbol_name(d->symbol, name, sizeof(name)),
                     offset);
        }
        used += (size_t)snprintf(out_text + used, n_bytes - used, "%s%s", i > 0 ? ", " : "", one);
    }
    if (used < n_bytes) {
        snprintf(out_text + used, n_bytes - used, "]");
    }
}
