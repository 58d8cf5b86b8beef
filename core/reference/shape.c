/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"
#include "reference/internal.h"
#include "switchyard/types.h"

int64_t sy__ref_shape_product(const sy__shape *shape, uint32_t first, uint32_t last) {
    int64_t product = 1;
    for (uint32_t i = first; i < last; i++) {
        product *= shape->dims[i];
    }
    return product;
}

int64_t sy__ref_shape_count(const sy__shape *shape) {
    return sy__ref_shape_product(shape, 0, shape->rank);
}

bool sy__ref_shape_equal(const sy__shape *a, const sy__shape *b) {
    if (a->rank != b->rank) {
        return false;
    }
    for (uint32_t i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i]) {
            return false;
        }
    }
    return true;
}

bool sy__ref_shape_broadcast(const sy__shape *a, const sy__shape *b, sy__shape *out) {
    sy__shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
    for (uint32_t i = 0; i < result.rank; i++) { /* i counts from the innermost dimension */
        int64_t da = i < a->rank ? a->dims[a->rank - 1 - i] : 1;
        int64_t db = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
        if (da != db && da != 1 && db != 1) {
            return false;
        }
        result.dims[result.rank - 1 - i] = da == 1 ? db : da;
    }
    *out = result;
    return true;
}

bool sy__ref_axis(int64_t axis, uint32_t rank, uint32_t *out_axis) {
    int64_t n = rank;
    if (axis < -n || axis >= n) {
        return false;
    }
    *out_axis = (uint32_t)(axis < 0 ? axis + n : axis);
    return true;
}

bool sy__ref_tensor_bytes(sy_element_type type, const sy__shape *shape, uint64_t *out_bytes) {
    uint64_t n_cells = 1; /* zeros counted as ones, so that no partial product overflows either */
    uint64_t n_rows = 1, row_bytes = 0;
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint64_t n = (uint64_t)shape->dims[i];
        if (shape->dims[i] < 0 || !sy__mul_u64(n_cells, n != 0 ? n : 1, &n_cells) ||
            n_cells > SY_LIMIT_TENSOR_ELEMENTS) {
            return false;
        }
        n_rows *= i + 1 < shape->rank ? n : 1;
    }
    uint64_t row = shape->rank == 0 ? 1 : (uint64_t)shape->dims[shape->rank - 1];
    return sy_type_row_bytes(type, row, &row_bytes) == SY_OK &&
           sy__mul_u64(n_rows, row_bytes, out_bytes);
}

bool sy__ref_infer_same(const sy__params *params, const sy__tensor *const *inputs,
                        uint32_t n_inputs, sy__shape *out_shapes, uint32_t n_outputs) {
    (void)params;
    (void)n_inputs;
    for (uint32_t i = 0; i < n_outputs; i++) {
        out_shapes[i] = inputs[0]->shape;
    }
    return true;
}
