/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropping rows out of the middle of states. A row that moves from position p to p - d keeps its
 * meaning when nothing in it depends on p (values), or when what depends on p is the rotation of a
 * key: then the key is turned back by d times the frequencies of its layer. All rows move by the
 * same distance, so one table of cosines serves all of them.
 */
#include "exec/executor_internal.h"
#include "graph/graph_internal.h"
#include "reference/blocks.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE 16u
/* Inputs of operator Attention, docs/operators.md. */
enum { ATTENTION_KEY = 1, ATTENTION_KEY_STATE = 3, ATTENTION_VALUE_STATE = 4 };

static bool is_rotation(const sy_node_view *node) {
    return sy__node_is(node, "switchyard", "RotaryEmbedding");
}

/* The node that makes a value; false for inputs and weights. */
static bool maker_of(const sy_graph *graph, uint32_t i_value, sy_node_view *out_node) {
    uint32_t i_node = i_value != SY_NO_VALUE ? sy_graph_producer(graph, i_value) : SY_NO_VALUE;
    return i_node != SY_NO_VALUE && sy_graph_node(graph, i_node, out_node) == SY_OK;
}

/* Is a rotation hidden behind operators that it does not commute with? */
static bool is_rotated_further_back(const sy_graph *graph, sy_node_view node) {
    do {
        if (is_rotation(&node)) {
            return true;
        }
    } while (!sy__node_is(&node, "switchyard", "Linear") && !sy__node_is(&node, "", "MatMul") &&
             node.n_inputs > 0 && maker_of(graph, node.inputs[0], &node));
    return false;
}

static void read_rotation(sy__dropping *dropping, const sy_graph *graph, const sy_node_view *rotary,
                          sy__turn *turn) {
    sy_value_view x, frequency;
    int64_t n_heads = sy__attribute_int(rotary, "num_heads", 0);
    if (sy_graph_value(graph, rotary->inputs[0], &x) != SY_OK ||
        sy_graph_value(graph, rotary->inputs[2], &frequency) != SY_OK || n_heads <= 0 ||
        frequency.kind != SY_VALUE_WEIGHT || frequency.type != SY_TYPE_F32) {
        dropping->refusal = "the frequencies of its keys are not constant";
        return;
    }
    turn->frequency = frequency.data.pointer;
    turn->n_pairs = (uint32_t)frequency.dims[0].bound;
    turn->head_length = (uint32_t)(x.dims[1].bound / n_heads);
    turn->interleaved = sy__attribute_int(rotary, "interleaved", 0) != 0;
}

/* What a node that uses a state says of its rows. */
static void read_user(sy__dropping *dropping, const sy_graph *graph, const sy_node_view *node,
                      uint32_t i_input, sy__turn *turn) {
    sy_node_view maker;
    if (!sy__node_is(node, "switchyard", "Attention") ||
        (i_input != ATTENTION_KEY_STATE && i_input != ATTENTION_VALUE_STATE)) {
        dropping->refusal = "it keeps a state that is not made of one row for each token";
        return;
    }
    if (i_input != ATTENTION_KEY_STATE || !maker_of(graph, node->inputs[ATTENTION_KEY], &maker)) {
        return;
    }
    if (is_rotation(&maker)) {
        read_rotation(dropping, graph, &maker, turn);
    } else if (is_rotated_further_back(graph, maker)) {
        dropping->refusal = "its keys are changed after their rotation";
    }
}

static void read_state(sy_executor *executor, uint32_t slot) {
    const sy_graph *graph = executor->graph;
    uint32_t n_nodes = sy_graph_n_nodes(graph);
    for (uint32_t i = 0; i < n_nodes; i++) {
        sy_node_view node;
        if (sy_graph_node(graph, i, &node) != SY_OK) {
            continue;
        }
        for (uint32_t k = 0; k < node.n_inputs; k++) {
            if (node.inputs[k] == executor->state_values[slot]) {
                read_user(&executor->dropping, graph, &node, k, &executor->dropping.turns[slot]);
            }
        }
    }
}

sy_status sy__dropping_prepare(sy_executor *executor, sy_error *error) {
    sy__dropping *dropping = &executor->dropping;
    uint64_t row_bytes = 0, n_widest = 0;
    dropping->turns = sy__arena_alloc(&executor->arena, executor->n_states + 1u, sizeof(sy__turn));
    for (uint32_t slot = 0; dropping->turns != NULL && slot < executor->n_states; slot++) {
        uint64_t width = executor->state_descriptions[slot].width;
        uint64_t n_bytes = sy__state_row_bytes(executor, slot);
        read_state(executor, slot);
        n_widest = width > n_widest ? width : n_widest;
        row_bytes = n_bytes > row_bytes ? n_bytes : row_bytes;
    }
    dropping->rows = sy__arena_alloc(&executor->arena, ROWS_AT_ONCE, row_bytes + 1);
    dropping->row = sy__arena_alloc(&executor->arena, 3, (n_widest + 1) * sizeof(float));
    if (dropping->turns == NULL || dropping->rows == NULL || dropping->row == NULL) {
        return sy__no_memory(error, ROWS_AT_ONCE * row_bytes, "moving rows of states");
    }
    dropping->cosines = dropping->row + n_widest;
    dropping->sines = dropping->cosines + n_widest;
    return SY_OK;
}

static void turn_row(const sy__dropping *dropping, const sy__turn *turn, uint64_t width) {
    const float *cosines = dropping->cosines, *sines = dropping->sines;
    uint32_t stride = turn->interleaved ? 2 : 1, apart = turn->interleaved ? 1 : turn->n_pairs;
    for (uint64_t head = 0; head < width; head += turn->head_length) {
        for (uint32_t i = 0; i < turn->n_pairs; i++) {
            float *first = &dropping->row[head + (uint64_t)i * stride], *second = first + apart;
            float a = *first, b = *second;
            *first = a * cosines[i] + b * sines[i];
            *second = b * cosines[i] - a * sines[i];
        }
    }
}

/* Turns n canonical rows that lie in dropping->rows. */
static sy_status turn_rows(sy_executor *executor, uint32_t slot, uint64_t n, uint64_t row_bytes) {
    const sy__dropping *dropping = &executor->dropping;
    const sy_state_description *description = &executor->state_descriptions[slot];
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < n; i++) {
        uint8_t *row = dropping->rows + i * row_bytes;
        status = sy__row_decode(description->type, row, description->width, dropping->row);
        if (status == SY_OK) {
            turn_row(dropping, &dropping->turns[slot], description->width);
            status = sy__row_encode(description->type, dropping->row, description->width, row);
        }
    }
    return status;
}

/* Turns rows [first, end) back by a distance, where they lie. */
static sy_status turn_state(sy_state_set *set, uint32_t slot, uint64_t first, uint64_t end,
                            uint64_t distance, sy_error *error) {
    sy_executor *executor = set->executor;
    const sy__turn *turn = &executor->dropping.turns[slot];
    const sy_delegate *delegate = sy__state_owner(executor, slot);
    uint8_t *rows = executor->dropping.rows;
    uint64_t row_bytes = sy__state_row_bytes(executor, slot);
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < turn->n_pairs; i++) {
        double angle = (double)distance * (double)turn->frequency[i];
        executor->dropping.cosines[i] = (float)cos(angle);
        executor->dropping.sines[i] = (float)sin(angle);
    }
    sy__delegate_listen(executor->runtime, delegate);
    for (uint64_t at = first; status == SY_OK && at < end; at += ROWS_AT_ONCE) {
        uint64_t n = end - at < ROWS_AT_ONCE ? end - at : ROWS_AT_ONCE, n_bytes = n * row_bytes;
        status = delegate->plugin->state_save(set->states[slot], at, n, rows, n_bytes);
        if (status == SY_OK) {
            status = turn_rows(executor, slot, n, row_bytes);
        }
        if (status == SY_OK) {
            status = delegate->plugin->state_load(set->states[slot], at, n, rows, n_bytes);
        }
    }
    return status == SY_OK
               ? SY_OK
               : sy__failure(executor, delegate, status, false, "turn the rows of a state", error);
}

/* Everything that can be refused before a row is moved. */
static sy_status check_drop(const sy_state_set *set, uint64_t n_rows, uint64_t first,
                            uint64_t count, sy_error *error) {
    const sy__dropping *dropping = &set->executor->dropping;
    if (n_rows > set->max_tokens || first > n_rows || count > n_rows - first) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "Rows %" PRIu64 " + %" PRIu64 " cannot be dropped out of %" PRIu64 ".",
                            first, count, n_rows);
    }
    if (dropping->refusal != NULL) {
        return sy_error_set(error, SY_UNIMPLEMENTED,
                            "Rows of this model's states cannot be moved: %s.", dropping->refusal);
    }
    for (uint32_t slot = 0; slot < set->executor->n_states; slot++) {
        uint64_t window = set->executor->state_descriptions[slot].window;
        if (window > 0 && n_rows > window && n_rows - count < first + window) {
            return sy_error_set(error, SY_FAILED_PRECONDITION,
                                "The first %" PRIu64 " rows have left a window of %" PRIu64
                                " and would come into it again.",
                                first, window);
        }
    }
    return SY_OK;
}

sy_status sy_state_set_drop(sy_state_set *set, uint64_t n_rows, uint64_t first, uint64_t count,
                            sy_error *error) {
    sy_status status = check_drop(set, n_rows, first, count, error);
    uint64_t n_left = status == SY_OK ? n_rows - count : 0;
    if (status == SY_OK && count > 0 && n_left > first) {
        status = sy__states_shift(set, first + count, n_left - first, first, error);
    }
    for (uint32_t slot = 0; status == SY_OK && count > 0 && slot < set->executor->n_states;
         slot++) {
        if (set->executor->dropping.turns[slot].frequency != NULL) {
            uint64_t kept = sy__state_first_row(set->executor, slot, n_left);
            status = turn_state(set, slot, kept > first ? kept : first, n_left, count, error);
        }
    }
    if (status == SY_OK) {
        status = sy_state_set_truncate(set, n_left, error);
    }
    if (status == SY_OK && count > 0 && n_left > first) { /* until here the copy had the old rows */
        sy__state_copy_cut(set, first);
    }
    if (status == SY_OK && set->copy.every_tokens > 0) {
        status = sy__state_copy_add(set, n_left, error);
    }
    return status;
}
