/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/graph_internal.h"

#include <string.h>

const sy_attribute *sy__attribute(const sy_node_view *node, const char *name,
                                  sy_attribute_type type) {
    for (uint32_t i = 0; i < node->n_attributes; i++) {
        if (strcmp(node->attributes[i].name, name) == 0) {
            return node->attributes[i].type == type ? &node->attributes[i] : NULL;
        }
    }
    return NULL;
}

int64_t sy__attribute_int(const sy_node_view *node, const char *name, int64_t otherwise) {
    const sy_attribute *attribute = sy__attribute(node, name, SY_ATTRIBUTE_INT);
    return attribute != NULL ? attribute->value.i : otherwise;
}

double sy__attribute_float(const sy_node_view *node, const char *name, double otherwise) {
    const sy_attribute *attribute = sy__attribute(node, name, SY_ATTRIBUTE_FLOAT);
    return attribute != NULL ? attribute->value.f : otherwise;
}

const char *sy__attribute_string(const sy_node_view *node, const char *name,
                                 const char *otherwise) {
    const sy_attribute *attribute = sy__attribute(node, name, SY_ATTRIBUTE_STRING);
    return attribute != NULL ? attribute->value.s : otherwise;
}
