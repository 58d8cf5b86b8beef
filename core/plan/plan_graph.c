/* SPDX-License-Identifier: Apache-2.0 */
/* What the planner must know of the graph: readers of each value, nodes bound by states. */
#include "plan/plan_internal.h"

static bool reads_before(const sy_node_view *node, uint32_t i_input) {
    for (uint32_t k = 0; k < i_input; k++) {
        if (node->inputs[k] == node->inputs[i_input]) {
            return true;
        }
    }
    return false;
}

static sy_status list_consumers(sy_plan *plan, sy_error *error) {
    uint32_t *first = sy__arena_alloc(&plan->arena, (size_t)plan->n_values + 2u, sizeof(*first));
    if (first == NULL) {
        return sy__plan_no_memory(error);
    }
    for (int fill = 0; fill < 2; fill++) {
        for (uint32_t i = 0; i < plan->n_nodes; i++) {
            sy_node_view node;
            if (sy_graph_node(plan->graph, i, &node) != SY_OK) {
                return sy_error_set(error, SY_INTERNAL, "The graph does not answer for node %u.",
                                    i);
            }
            for (uint32_t k = 0; k < node.n_inputs; k++) {
                if (node.inputs[k] == SY_NO_VALUE || reads_before(&node, k)) {
                    continue;
                }
                if (fill) {
                    plan->consumers[first[node.inputs[k] + 1u]++] = i;
                } else {
                    first[node.inputs[k] + 2u]++;
                }
            }
        }
        for (uint32_t v = 0; !fill && v <= plan->n_values; v++) {
            first[v + 1u] += first[v];
        }
        if (!fill) {
            plan->consumers = sy__arena_alloc(&plan->arena, (size_t)first[plan->n_values + 1u] + 1u,
                                              sizeof(uint32_t));
        }
        if (plan->consumers == NULL) {
            return sy__plan_no_memory(error);
        }
    }
    plan->consumer_first = first;
    return SY_OK;
}

static uint32_t find_root(uint32_t *parent, uint32_t i) {
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* Nodes that touch one STATE value share a delegate; a node with two states joins them. */
static sy_status find_groups(sy_plan *plan, sy_error *error) {
    uint32_t *parent = sy__arena_alloc(&plan->arena, (size_t)plan->n_nodes + 1u, sizeof(*parent));
    plan->node_group = sy__arena_alloc(&plan->arena, (size_t)plan->n_nodes + 1u, sizeof(uint32_t));
    plan->state_group =
        sy__arena_alloc(&plan->arena, (size_t)plan->n_values + 1u, sizeof(uint32_t));
    if (parent == NULL || plan->node_group == NULL || plan->state_group == NULL) {
        return sy__plan_no_memory(error);
    }
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        parent[i] = i;
        plan->node_group[i] = SY__NONE;
    }
    for (uint32_t v = 0; v < plan->n_values; v++) {
        sy_value_view value;
        plan->state_group[v] = SY__NONE;
        if (sy_graph_value(plan->graph, v, &value) != SY_OK || value.kind != SY_VALUE_STATE) {
            continue;
        }
        for (uint32_t c = plan->consumer_first[v]; c < plan->consumer_first[v + 1u]; c++) {
            uint32_t root = find_root(parent, plan->consumers[plan->consumer_first[v]]);
            parent[find_root(parent, plan->consumers[c])] = root;
            plan->node_group[plan->consumers[c]] = 0;
        }
        if (plan->consumer_first[v] < plan->consumer_first[v + 1u]) {
            plan->state_group[v] = plan->consumers[plan->consumer_first[v]];
        }
    }
    /* Roots get numbers in node order; state_group held a node until here. */
    uint32_t *number = sy__arena_alloc(&plan->arena, (size_t)plan->n_nodes + 1u, sizeof(*number));
    if (number == NULL) {
        return sy__plan_no_memory(error);
    }
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        if (plan->node_group[i] != SY__NONE) {
            uint32_t root = find_root(parent, i);
            if (number[root] == 0) {
                number[root] = ++plan->n_groups;
            }
            plan->node_group[i] = number[root] - 1u;
        }
    }
    for (uint32_t v = 0; v < plan->n_values; v++) {
        if (plan->state_group[v] != SY__NONE) {
            plan->state_group[v] = plan->node_group[plan->state_group[v]];
        }
    }
    return SY_OK;
}

sy_status sy__plan_read_graph(sy_plan *plan, sy_error *error) {
    sy_status status = list_consumers(plan, error);
    return status == SY_OK ? find_groups(plan, error) : status;
}

sy_node_view sy__plan_node_view(const sy_plan *plan, uint32_t i_node) {
    sy_node_view view;
    if (sy_graph_node(plan->graph, i_node, &view) != SY_OK) {
        view = (sy_node_view){.domain = "", .op = "?", .name = "?"};
    }
    return view;
}

const char *sy__phase_name(sy_phase phase) {
    return phase == SY_PHASE_PREFILL ? "prefill" : phase == SY_PHASE_DECODE ? "decode" : "any";
}
