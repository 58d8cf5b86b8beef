/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Gemm. */
#include "check_shared.h"

static const sy_dimension one = {.bound = 1};

static void count_work(const kit_node *node, const sy_dimension *k, kit_answer *answer) {
    const sy_graph_view *graph = node->graph;
    double n_out = kit_typical_count(graph, &node->out[0]);
    int64_t depth = kit_dimension_at(k, graph->typical, graph->n_symbols);
    answer->f32_ops = 2.0 * n_out * (double)(depth > 0 ? depth : k->bound);
    answer->activation_bytes = 4.0 * (n_out + kit_typical_count(graph, &node->in[0]) +
                                      kit_typical_count(graph, &node->in[1]));
}

/* What is in front of the matrices of an operand. */
static sy_value_view batch_of(const sy_value_view *x) {
    sy_value_view batch = *x;
    batch.rank = x->rank > 2 ? x->rank - 2 : 0;
    return batch;
}

/* y behind its batch: the rows of a and the columns of b, as far as they are no vectors. */
static bool matrix_fits(const sy_value_view *a, const sy_value_view *b, const sy_value_view *y,
                        const kit_matmul *p) {
    uint32_t at = p->n_batch;
    return kit_dimension_same(&p->k, &b->dims[b->rank > 1 ? b->rank - 2 : 0]) &&
           (a->rank == 1 || kit_dimension_same(&y->dims[at++], &p->m)) &&
           (b->rank == 1 || kit_dimension_same(&y->dims[at++], &p->n));
}

bool kit_check_matmul(const kit_node *node, kit_matmul *out, kit_answer *answer) {
    const sy_value_view *a = &node->in[0], *b = &node->in[1], *y = &node->out[0];
    if (!kit_attributes_known(node, NULL, answer) || !kit_require_same_float(a, y, answer) ||
        !kit_require_float(b, "b", answer)) {
        return false;
    }
    sy_value_view batch_a = batch_of(a), batch_b = batch_of(b), batch_y = *y;
    const sy_value_view *const batches[] = {&batch_a, &batch_b};
    uint32_t n_own = (a->rank > 1 ? 1u : 0u) + (b->rank > 1 ? 1u : 0u);
    bool fits = a->rank > 0 && b->rank > 0 && y->rank >= n_own;
    if (fits) {
        batch_y.rank = y->rank - n_own;
        *out = (kit_matmul){.m = a->rank > 1 ? a->dims[a->rank - 2] : one,
                            .k = a->dims[a->rank - 1],
                            .n = b->rank > 1 ? b->dims[b->rank - 1] : one,
                            .n_batch = batch_y.rank};
        fits = matrix_fits(a, b, y, out) && kit_broadcasts(batches, 2, &batch_y);
    }
    for (uint32_t i = 0; fits && i < batch_y.rank; i++) {
        fits = kit_broadcasts_reach(batches, 2, &batch_y, i);
    }
    if (!fits) {
        return kit_no(answer, SY_REASON_SHAPE, "a, b and y do not fit together");
    }
    count_work(node, &out->k, answer);
    return kit_require_filled(a, "a", answer) && kit_require_filled(b, "b", answer);
}

bool kit_check_gemm(const kit_node *node, kit_gemm *out, kit_answer *answer) {
    static const char *const names[] = {"alpha", "beta", "transA", "transB", NULL};
    const sy_value_view *a = &node->in[0], *b = &node->in[1], *c = &node->in[2];
    const sy_value_view *y = &node->out[0];
    int64_t trans_a = 0, trans_b = 0;
    *out = (kit_gemm){.has_c = kit_node_has(node, 2)};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_float(node, "alpha", 1.0, &out->alpha, answer) ||
        !kit_attribute_float(node, "beta", 1.0, &out->beta, answer) ||
        !kit_attribute_int(node, "transA", 0, &trans_a, answer) ||
        !kit_attribute_int(node, "transB", 0, &trans_b, answer) ||
        !kit_require_same_float(a, y, answer) || !kit_require_float(b, "b", answer) ||
        (out->has_c && !kit_require_float(c, "c", answer))) {
        return false;
    }
    out->trans_a = trans_a != 0;
    out->trans_b = trans_b != 0;
    out->m = a->dims[out->trans_a ? 1 : 0];
    out->k = a->dims[out->trans_a ? 0 : 1];
    out->n = b->dims[out->trans_b ? 0 : 1];
    if (a->rank != 2 || b->rank != 2 || y->rank != 2 ||
        !kit_dimension_same(&out->k, &b->dims[out->trans_b ? 1 : 0]) ||
        !kit_dimension_same(&y->dims[0], &out->m) || !kit_dimension_same(&y->dims[1], &out->n)) {
        return kit_no(answer, SY_REASON_SHAPE, "a, b and y do not fit together");
    }
    if (out->has_c && !kit_broadcasts((const sy_value_view *const[]){c}, 1, y)) {
        return kit_no(answer, SY_REASON_SHAPE, "c does not broadcast to y");
    }
    count_work(node, &out->k, answer);
    return true;
}
