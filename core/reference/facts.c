/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one node from a view and decides whether the reference runs it. */
#include "base/checked.h"
#include "reference/internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool sy__ref_refuse(sy__facts *facts, sy_reason reason, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(facts->why, sizeof(facts->why), format, arguments);
    va_end(arguments);
    facts->reason = reason;
    return false;
}

int64_t sy__ref_dimension_at(const sy_dimension *dimension, const int64_t *symbols,
                             uint32_t n_symbols) {
    if (dimension->symbol == SY_SYMBOL_NONE) {
        return dimension->bound;
    }
    int64_t value = 0;
    if (dimension->symbol >= n_symbols ||
        !sy__mul_i64(dimension->scale, symbols[dimension->symbol], &value) ||
        !sy__add_i64(value, dimension->offset, &value) || value < 0 || value > dimension->bound) {
        return -1;
    }
    return value;
}

uint32_t sy__ref_dynamic_set(const sy_dimension *dims, uint32_t rank) {
    uint32_t set = 0;
    for (uint32_t i = 0; i < rank; i++) {
        set |= dims[i].symbol != SY_SYMBOL_NONE ? 1u << i : 0;
    }
    return set;
}

/* A weight must lie in memory that this process can read, all of it. */
static bool check_weight(sy__facts *facts, const sy_value_view *view, const sy__tensor *tensor) {
    uint64_t n_bytes = 0;
    if (!sy__ref_tensor_bytes(tensor->type, &tensor->shape, &n_bytes)) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "weight %.40s: impossible size", view->name);
    }
    if (view->data.kind != SY_MEMORY_HOST || view->data.offset_bytes != 0 ||
        (view->data.pointer == NULL && n_bytes > 0)) {
        return sy__ref_refuse(facts, SY_REASON_MEMORY, "weight %.40s is not in host memory",
                              view->name);
    }
    if (view->data.length_bytes < n_bytes) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE,
                              "weight %.30s: %" PRIu64 " bytes, its shape needs %" PRIu64,
                              view->name, view->data.length_bytes, n_bytes);
    }
    return true;
}

/* Reads value i_value into *tensor; sets facts->reason when it cannot be used. */
static sy_status read_tensor(sy__facts *facts, const sy_graph_view *view, uint32_t i_value,
                             sy__tensor *tensor) {
    sy_value_view value;
    memset(&value, 0, sizeof(value));
    sy_status status = view->value(view->graph, i_value, &value);
    if (status != SY_OK) {
        return status;
    }
    if (value.name == NULL) {
        value.name = "?";
    }
    if (value.rank > SY_MAX_RANK || sy_type_get(value.type) == NULL) {
        sy__ref_refuse(facts, SY_REASON_TYPE,
                       "value %.40s: unknown type %" PRIu32 " or rank %" PRIu32, value.name,
                       value.type, value.rank);
        return SY_OK;
    }
    *tensor = (sy__tensor){.type = value.type, .kind = value.kind};
    tensor->shape.rank = value.rank;
    tensor->dynamic = sy__ref_dynamic_set(value.dims, value.rank);
    for (uint32_t i = 0; i < value.rank; i++) {
        tensor->shape.dims[i] = value.dims[i].bound;
    }
    uint64_t n_bytes = 0;
    if (!sy__ref_tensor_bytes(value.type, &tensor->shape, &n_bytes)) {
        sy__ref_refuse(facts, SY_REASON_SHAPE, "value %.40s: impossible size", value.name);
    } else if (value.kind == SY_VALUE_WEIGHT && check_weight(facts, &value, tensor)) {
        tensor->data = value.data.pointer;
    }
    return SY_OK;
}

static sy_status read_operands(sy__facts *facts, const sy_graph_view *view) {
    const sy_node_view *node = &facts->node;
    sy__tensor *tensor = facts->tensors;
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        bool is_input = i < node->n_inputs;
        uint32_t i_value = is_input ? node->inputs[i] : node->outputs[i - node->n_inputs];
        if (i_value == SY_NO_VALUE) {
            bool wanted = !is_input || i < facts->op->min_inputs;
            if (wanted) {
                sy__ref_refuse(facts, SY_REASON_OTHER, "%s %" PRIu32 " is missing",
                               is_input ? "input" : "output", is_input ? i : i - node->n_inputs);
                return SY_OK;
            }
            continue;
        }
        sy_status status = read_tensor(facts, view, i_value, tensor);
        if (status != SY_OK || facts->reason != SY_REASON_NONE) {
            return status;
        }
        if (is_input && tensor->kind == SY_VALUE_STATE && !facts->op->needs_sequences) {
            sy__ref_refuse(facts, SY_REASON_OTHER, "input %" PRIu32 " is a STATE", i);
            return SY_OK;
        }
        if (is_input) {
            facts->inputs[i] = tensor++;
        } else {
            facts->outputs[i - node->n_inputs] = tensor++;
        }
    }
    return SY_OK;
}

static bool check_counts(sy__facts *facts) {
    const sy_node_view *node = &facts->node;
    const sy__operator *op = facts->op;
    if (node->n_inputs < op->min_inputs || node->n_inputs > op->max_inputs) {
        return sy__ref_refuse(facts, SY_REASON_OTHER,
                              "%" PRIu32 " inputs, %s takes %" PRIu32 " to %" PRIu32,
                              node->n_inputs, op->name, op->min_inputs, op->max_inputs);
    }
    if (node->n_outputs < op->min_outputs || node->n_outputs > op->max_outputs) {
        return sy__ref_refuse(facts, SY_REASON_OTHER,
                              "%" PRIu32 " outputs, %s gives %" PRIu32 " to %" PRIu32,
                              node->n_outputs, op->name, op->min_outputs, op->max_outputs);
    }
    if (node->n_attributes > 64) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "more than 64 attributes");
    }
    return true;
}

/* An attribute nobody asked for may change the meaning of the node. */
static bool check_attributes_used(sy__facts *facts) {
    for (uint32_t i = 0; i < facts->node.n_attributes; i++) {
        if ((facts->used_attributes >> i & 1) == 0) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "unknown attribute %.40s",
                                  facts->node.attributes[i].name);
        }
    }
    return true;
}

static bool check_shapes(sy__facts *facts) {
    sy__shape shapes[SY__MAX_OUTPUTS];
    uint32_t n_outputs = facts->node.n_outputs;
    if (!facts->op->infer(&facts->params, facts->inputs, facts->node.n_inputs, shapes, n_outputs)) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "input shapes do not fit together");
    }
    for (uint32_t i = 0; i < n_outputs; i++) {
        if (!sy__ref_shape_equal(&shapes[i], &facts->outputs[i]->shape)) {
            return sy__ref_refuse(facts, SY_REASON_SHAPE,
                                  "shape of output %" PRIu32 " is not what the operator gives", i);
        }
    }
    return true;
}

static bool find_operator(sy__facts *facts) {
    const sy_node_view *node = &facts->node;
    if (node->domain == NULL || node->op == NULL) {
        return sy__ref_refuse(facts, SY_REASON_OPERATOR, "node without an operator name");
    }
    uint32_t known = 0;
    facts->op = sy__ref_operator_find(node->domain, node->op, node->version, &known);
    if (facts->op != NULL) {
        return true;
    }
    if (known != 0) {
        return sy__ref_refuse(facts, SY_REASON_OPERATOR,
                              "%.40s: opset %" PRIu32 ", known is %" PRIu32, node->op,
                              node->version, known);
    }
    return sy__ref_refuse(facts, SY_REASON_OPERATOR, "operator %.30s.%.30s is unknown",
                          node->domain, node->op);
}

sy_status sy__ref_facts_read(sy__facts *facts, const sy_graph_view *view, uint32_t i_node) {
    memset(facts, 0, sizeof(*facts));
    sy_status status = view->node(view->graph, i_node, &facts->node);
    if (status != SY_OK || !find_operator(facts) || !check_counts(facts)) {
        return status;
    }
    status = read_operands(facts, view);
    if (status == SY_OK && facts->reason == SY_REASON_NONE && facts->op->prepare(facts) &&
        check_attributes_used(facts)) {
        check_shapes(facts);
    }
    return status;
}
