/* SPDX-License-Identifier: Apache-2.0 */
/* The passes, one function each. Every pass leaves a graph that verifies; dead nodes are marked and
 * taken out by sy__graph_compact. */
#ifndef SY_PASSES_PASSES_H
#define SY_PASSES_PASSES_H

#include "graph/graph_internal.h"

sy_status sy__pass_fold(sy_graph *graph, const sy_pass_options *options, sy_error *error);
sy_status sy__pass_common(sy_graph *graph, sy_error *error);
sy_status sy__pass_fuse(sy_graph *graph, sy_error *error);
sy_status sy__pass_dead(sy_graph *graph, sy_error *error);

/* True for nodes that read or write a state: they have an effect beside their outputs. */
bool sy__touches_state(const sy_graph *graph, const sy_node_view *node);

/* Makes every live node that reads `from` read `to` instead. Lists are rewritten in
 * place: they lie in the graph's arena and belong to one node each. */
void sy__replace_value(sy_graph *graph, uint32_t from, uint32_t to);

#endif
