/* SPDX-License-Identifier: Apache-2.0 */
/* Linear, Embedding, AdapterLinear. */
#include "check_shared.h"

static bool weight_check(const sy_value_view *w, const char *what, kit_answer *answer) {
    if (w->rank != 2) {
        return kit_no(answer, SY_REASON_SHAPE, "%s has rank %u, not 2", what, w->rank);
    }
    return kit_require_decodable(w, what, answer) && kit_require_filled(w, what, answer);
}

static double weight_bytes(sy_element_type type, int64_t k, int64_t n_rows) {
    uint64_t row_bytes = 0;
    kit_type_row_bytes(type, (uint64_t)k, &row_bytes);
    return (double)row_bytes * (double)n_rows;
}

bool kit_check_linear(const kit_node *node, kit_linear *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *bias = &node->in[2];
    const sy_value_view *y = &node->out[0];
    if (!kit_attributes_known(node, NULL, answer) || !kit_require_same_float(x, y, answer) ||
        !weight_check(w, "w", answer)) {
        return false;
    }
    *out =
        (kit_linear){.k = kit_width(w), .n = w->dims[0].bound, .has_bias = kit_node_has(node, 2)};
    if (out->k <= 0 || w->dims[0].symbol != 0 || kit_width(x) != out->k || kit_width(y) != out->n ||
        !kit_rows_same(x, y)) {
        return kit_no(answer, SY_REASON_SHAPE, "the last dimensions of x, w and y do not fit");
    }
    if (out->has_bias) {
        if (!kit_require_float(bias, "bias", answer) || !kit_require_filled(bias, "bias", answer)) {
            return false;
        }
        if (bias->rank != 1 || !kit_dimension_same(&bias->dims[0], &w->dims[0])) {
            return kit_no(answer, SY_REASON_SHAPE, "bias does not have one element per row of w");
        }
    }
    double n_rows = kit_typical_count(node->graph, x) / (double)out->k;
    answer->weight_bytes = weight_bytes(w->type, out->k, out->n);
    answer->activation_bytes = 4.0 * n_rows * (double)(out->k + out->n);
    answer->f32_ops = 2.0 * n_rows * (double)out->k * (double)out->n;
    return true;
}

bool kit_check_embedding(const kit_node *node, kit_embedding *out, kit_answer *answer) {
    static const char *const names[] = {"scale", NULL};
    const sy_value_view *ids = &node->in[0], *table = &node->in[1], *y = &node->out[0];
    *out = (kit_embedding){.scale = 1.0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_float(node, "scale", 1.0, &out->scale, answer) ||
        !kit_require_type(ids, SY_TYPE_I32, "ids", answer) ||
        !kit_require_type(y, SY_TYPE_F32, "y", answer) || !weight_check(table, "table", answer)) {
        return false;
    }
    out->k = kit_width(table);
    out->n = table->dims[0].bound;
    if (ids->rank != 1 || y->rank != 2 || !kit_dimension_same(&ids->dims[0], &y->dims[0]) ||
        out->k <= 0 || kit_width(y) != out->k || table->dims[0].symbol != 0) {
        return kit_no(answer, SY_REASON_SHAPE, "ids, table and y do not fit together");
    }
    answer->activation_bytes = 8.0 * kit_typical_count(node->graph, y);
    return true;
}

bool kit_check_adapter_linear(const kit_node *node, kit_adapter_linear *out, kit_answer *answer) {
    static const char *const names[] = {"slot", "max_rank", NULL};
    const sy_value_view *y = &node->in[0], *x = &node->in[1], *rows = &node->in[2];
    *out = (kit_adapter_linear){.k = kit_width(x), .n = kit_width(y)};
    out->has_rows = kit_node_has(node, 2);
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_int(node, "slot", -1, &out->slot, answer) ||
        !kit_attribute_int(node, "max_rank", 0, &out->max_rank, answer) ||
        !kit_require_type(y, SY_TYPE_F32, "y", answer) ||
        !kit_require_type(x, SY_TYPE_F32, "x", answer) ||
        !kit_require_type(&node->out[0], SY_TYPE_F32, "the result", answer)) {
        return false;
    }
    if (out->slot < 0 || out->max_rank < 1 || out->max_rank > KIT_ADAPTER_RANK_MOST) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "slot %lld or max_rank %lld is out of range",
                      (long long)out->slot, (long long)out->max_rank);
    }
    if (y->rank != 2 || x->rank != 2 || !kit_rows_same(x, y) || out->k == 0 || out->n == 0 ||
        !kit_shape_same(y, &node->out[0])) {
        return kit_no(answer, SY_REASON_SHAPE, "y, x and the result do not fit together");
    }
    if (!out->has_rows) {
        return true;
    }
    return kit_require_type(rows, SY_TYPE_I32, "rows", answer) &&
           ((rows->rank == 1 && kit_dimension_same(&rows->dims[0], &y->dims[0])) ||
            kit_no(answer, SY_REASON_SHAPE, "rows does not have one element per row"));
}
