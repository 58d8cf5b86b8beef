/* SPDX-License-Identifier: Apache-2.0 */
/* Dead nodes: whatever no output of the graph needs. Nodes that write a state count as needed: a
 * later step reads what they wrote. */
#include "passes/passes.h"

sy_status sy__pass_dead(sy_graph *graph, sy_error *error) {
    bool *needed = sy__alloc_array(graph->allocator, graph->n_values, sizeof(bool));
    if (needed == NULL) {
        return sy__graph_no_memory(error, graph);
    }
    for (size_t i = graph->n_nodes; i-- > 0;) {
        const sy_node_view *node = &graph->nodes[i].view;
        bool alive = sy__touches_state(graph, node);
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            uint32_t i_value = node->outputs[k];
            alive = alive || needed[i_value] || graph->values[i_value].view.kind == SY_VALUE_OUTPUT;
        }
        graph->nodes[i].dead = graph->nodes[i].dead || !alive;
        for (uint32_t k = 0; alive && k < node->n_inputs; k++) {
            if (node->inputs[k] != SY_NO_VALUE) {
                needed[node->inputs[k]] = true;
            }
        }
    }
    sy__free_array(graph->allocator, needed, graph->n_values, sizeof(bool));
    return SY_OK;
}
