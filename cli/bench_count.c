/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes and multiply-adds that a step needs at least, from the graph's own meanings. */
#include "bench.h"

#include "switchyard/types.h"

#include <string.h>

static int is_block_type(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return facts != NULL && facts->is_block;
}

static int64_t attribute_int(const sy_node_view *node, const char *name, int64_t otherwise) {
    for (uint32_t i = 0; i < node->n_attributes; i++) {
        if (strcmp(node->attributes[i].name, name) == 0 &&
            node->attributes[i].type == SY_ATTRIBUTE_INT) {
            return node->attributes[i].value.i;
        }
    }
    return otherwise;
}

/* An input of a node; 0 when it is absent. */
static int input_view(const sy_graph *graph, const sy_node_view *node, uint32_t i,
                      sy_value_view *out_value) {
    return i < node->n_inputs && node->inputs[i] != SY_NO_VALUE &&
           sy_graph_value(graph, node->inputs[i], out_value) == SY_OK;
}

static double rows_of(const sy_value_view *value, const int64_t *symbols) {
    double rows = 1;
    for (uint32_t d = 0; d + 1 < value->rank; d++) {
        rows *= (double)sy_dimension_value(&value->dims[d], symbols);
    }
    return rows;
}

static double width_of(const sy_value_view *value) {
    return value->rank > 0 ? (double)value->dims[value->rank - 1].bound : 1;
}

/* Products of x with a weight: every row meets every element. */
static void count_product(const sy_graph *graph, const sy_node_view *node, const int64_t *symbols,
                          sy_bench_work *work) {
    sy_value_view x, w;
    if (!input_view(graph, node, 0, &x) || !input_view(graph, node, 1, &w)) {
        return;
    }
    double macs = rows_of(&x, symbols) * rows_of(&w, symbols) * width_of(&w);
    if (w.kind == SY_VALUE_WEIGHT && is_block_type(w.type)) {
        work->int8_macs += macs;
    } else {
        work->f32_macs += macs;
    }
}

/* Rows of a table: only those that are looked up. */
static void count_lookup(const sy_graph *graph, const sy_node_view *node, const int64_t *symbols,
                         uint32_t i_table, sy_bench_work *work) {
    sy_value_view table, out;
    if (!input_view(graph, node, i_table, &table) || table.kind != SY_VALUE_WEIGHT ||
        sy_graph_value(graph, node->outputs[0], &out) != SY_OK) {
        return;
    }
    double n_rows = rows_of(&table, symbols), n_taken = rows_of(&out, symbols);
    work->weight_bytes +=
        (double)table.data.length_bytes / n_rows * (n_taken < n_rows ? n_taken : n_rows);
}

/* Sum over the step's rows of how many rows of the state each sees, and how many are read. */
static void rows_seen(const sy_bench_step *step, double window, double *out_seen,
                      double *out_read) {
    double tokens = step->n_tokens / (double)step->n_sequences, seen = 0;
    for (uint32_t i = 0; i < (uint32_t)tokens; i++) {
        double n = (double)step->n_past + i + 1;
        seen += window > 0 && n > window ? window : n;
    }
    double all = (double)step->n_past + tokens, most = window + tokens - 1;
    *out_seen = seen * step->n_sequences;
    *out_read = (window > 0 && all > most ? most : all) * step->n_sequences;
}

static void count_attention(const sy_graph *graph, const sy_node_view *node,
                            const sy_bench_step *step, sy_bench_work *work) {
    double seen = 0, read = 0;
    sy_value_view q, out;
    if (!input_view(graph, node, 0, &q) || sy_graph_value(graph, node->outputs[0], &out) != SY_OK) {
        return;
    }
    rows_seen(step, (double)attribute_int(node, "window", 0), &seen, &read);
    work->f32_macs += seen * (width_of(&q) + width_of(&out));
    for (uint32_t i = 3; i <= 4; i++) {
        sy_value_view state;
        uint64_t row_bytes = 0;
        if (input_view(graph, node, i, &state) && state.kind == SY_VALUE_STATE &&
            sy_type_row_bytes(state.type, (uint64_t)width_of(&state), &row_bytes) == SY_OK) {
            work->state_bytes += read * (double)row_bytes;
        }
    }
}

void sy_bench_count_node(const sy_graph *graph, uint32_t i_node, const sy_bench_step *step,
                         sy_bench_work *inout_work) {
    const int64_t symbols[SY_SYMBOL_COUNT_MAX] = {[SY_SYMBOL_TOKENS] = step->n_tokens,
                                                  [SY_SYMBOL_OUTPUTS] = step->n_outputs,
                                                  [SY_SYMBOL_SEQUENCES] = step->n_sequences};
    sy_node_view node;
    if (sy_graph_node(graph, i_node, &node) != SY_OK || node.n_outputs == 0) {
        return;
    }
    if (strcmp(node.op, "Embedding") == 0) { /* ids, table */
        count_lookup(graph, &node, symbols, 1, inout_work);
        return;
    }
    if (strcmp(node.op, "Gather") == 0) {
        count_lookup(graph, &node, symbols, 0, inout_work);
        return;
    }
    if (strcmp(node.op, "Linear") == 0 || strcmp(node.op, "MatMul") == 0 ||
        strcmp(node.op, "Gemm") == 0) {
        count_product(graph, &node, symbols, inout_work);
    } else if (strcmp(node.op, "Attention") == 0) {
        count_attention(graph, &node, step, inout_work);
    }
    for (uint32_t i = 0; i < node.n_inputs; i++) {
        sy_value_view value;
        if (input_view(graph, &node, i, &value) && value.kind == SY_VALUE_WEIGHT) {
            inout_work->weight_bytes += (double)value.data.length_bytes;
        }
    }
}
