/* SPDX-License-Identifier: Apache-2.0 */
/* Common subexpressions: a node equal to an earlier one over the same inputs takes its results.
 * Nodes that touch a state are never merged: each writes rows. */
#include "base/digest.h"
#include "passes/passes.h"

#include <string.h>

static uint64_t hash_attribute(uint64_t hash, const sy_attribute *attribute) {
    hash = sy__fnv1a(hash, attribute->name, strlen(attribute->name));
    hash = sy__fnv1a(hash, &attribute->type, sizeof(attribute->type));
    switch (attribute->type) {
    case SY_ATTRIBUTE_STRING:
        return sy__fnv1a(hash, attribute->value.s, attribute->count);
    case SY_ATTRIBUTE_INTS:
        return sy__fnv1a(hash, attribute->value.ints, attribute->count * sizeof(int64_t));
    case SY_ATTRIBUTE_FLOATS:
        return sy__fnv1a(hash, attribute->value.floats, attribute->count * sizeof(double));
    default:
        return sy__fnv1a(hash, &attribute->value, sizeof(int64_t));
    }
}

static uint64_t hash_node(const sy_node_view *node) {
    uint64_t hash = sy__fnv1a(SY__FNV_START, node->op, strlen(node->op));
    hash = sy__fnv1a(hash, node->domain, strlen(node->domain));
    hash = sy__fnv1a(hash, node->inputs, node->n_inputs * sizeof(uint32_t));
    for (uint32_t k = 0; k < node->n_attributes; k++) {
        hash = hash_attribute(hash, &node->attributes[k]);
    }
    return hash;
}

static bool equal_attribute(const sy_attribute *a, const sy_attribute *b) {
    if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->count != b->count) {
        return false;
    }
    switch (a->type) {
    case SY_ATTRIBUTE_STRING:
        return memcmp(a->value.s, b->value.s, a->count) == 0;
    case SY_ATTRIBUTE_INTS:
        return memcmp(a->value.ints, b->value.ints, a->count * sizeof(int64_t)) == 0;
    case SY_ATTRIBUTE_FLOATS:
        return memcmp(a->value.floats, b->value.floats, a->count * sizeof(double)) == 0;
    default:
        return a->value.i == b->value.i; /* floats by their bits */
    }
}

static bool equal_nodes(const sy_node_view *a, const sy_node_view *b) {
    if (strcmp(a->op, b->op) != 0 || strcmp(a->domain, b->domain) != 0 ||
        a->version != b->version || a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs ||
        a->n_attributes != b->n_attributes ||
        memcmp(a->inputs, b->inputs, a->n_inputs * sizeof(uint32_t)) != 0) {
        return false;
    }
    for (uint32_t k = 0; k < a->n_attributes; k++) {
        if (!equal_attribute(&a->attributes[k], &b->attributes[k])) {
            return false;
        }
    }
    return true;
}

/* A result of the graph keeps its own value, so that its name and meaning stay. */
static bool gives_output(const sy_graph *graph, const sy_node_view *node) {
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        if (graph->values[node->outputs[k]].view.kind == SY_VALUE_OUTPUT) {
            return true;
        }
    }
    return false;
}

/* Open addressing over node indexes + 1; the table is at most half full. */
static void merge_nodes(sy_graph *graph, uint32_t *table, size_t mask) {
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        if (graph->nodes[i].dead || sy__touches_state(graph, node)) {
            continue;
        }
        size_t slot = (size_t)hash_node(node) & mask;
        while (table[slot] != 0 && !equal_nodes(&graph->nodes[table[slot] - 1].view, node)) {
            slot = (slot + 1) & mask;
        }
        if (table[slot] == 0) {
            table[slot] = i + 1;
        } else if (!gives_output(graph, node)) {
            const sy_node_view *first = &graph->nodes[table[slot] - 1].view;
            for (uint32_t k = 0; k < node->n_outputs; k++) {
                sy__replace_value(graph, node->outputs[k], first->outputs[k]);
            }
            graph->nodes[i].dead = true;
        }
    }
}

sy_status sy__pass_common(sy_graph *graph, sy_error *error) {
    size_t n_slots = 16;
    while (n_slots < 2 * graph->n_nodes) {
        n_slots *= 2;
    }
    uint32_t *table = sy__alloc_array(graph->allocator, n_slots, sizeof(uint32_t));
    if (table == NULL) {
        return sy__graph_no_memory(error, graph);
    }
    merge_nodes(graph, table, n_slots - 1);
    sy__free_array(graph->allocator, table, n_slots, sizeof(uint32_t));
    return SY_OK;
}
