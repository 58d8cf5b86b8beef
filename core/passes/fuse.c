/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fusions a transformer needs: each pattern of plain operators becomes one operator of the domain
 * "switchyard", so that a delegate sees what it can run in one launch. A fused node keeps the value
 * that leaves the pattern, so names and outputs stay.
 */
#include "passes/passes.h"
#include "switchyard/limits.h"

#include <math.h>
#include <string.h>

typedef struct fusion {
    sy_graph *graph;
    uint32_t *n_uses;   /* per value; outputs of the graph count as one more use */
    uint32_t *consumer; /* per value: a node that reads it */
    sy_error *error;
} fusion;

/* Tries to rewrite the pattern that ends or begins at node i; SY_OK also when nothing matched. */
typedef sy_status (*pattern)(fusion *f, uint32_t i_node);

static const sy_node_view *node_at(const fusion *f, uint32_t i_node) {
    return &f->graph->nodes[i_node].view;
}

static const sy_value_view *value_at(const fusion *f, uint32_t i_value) {
    return &f->graph->values[i_value].view;
}

/* Node that makes input k and is read by nobody else, or SY_NO_VALUE. */
static uint32_t only_producer(const fusion *f, const sy_node_view *node, uint32_t k) {
    if (k >= node->n_inputs || node->inputs[k] == SY_NO_VALUE || f->n_uses[node->inputs[k]] != 1) {
        return SY_NO_VALUE;
    }
    return f->graph->values[node->inputs[k]].producer;
}

/* The number a constant of one element holds. */
static bool scalar_constant(const fusion *f, uint32_t i_value, double *out_number) {
    const sy_value_view *value = value_at(f, i_value);
    float number = 0;
    if (value->kind != SY_VALUE_WEIGHT || value->type != SY_TYPE_F32 ||
        value->data.length_bytes != sizeof(number)) {
        return false;
    }
    memcpy(&number, value->data.pointer, sizeof(number));
    *out_number = (double)number;
    return isfinite(number) != 0;
}

/* Finds which of two inputs is a scalar constant. */
static bool scalar_input(const fusion *f, const sy_node_view *node, uint32_t *out_other,
                         double *out_number) {
    for (uint32_t k = 0; k < 2; k++) {
        if (scalar_constant(f, node->inputs[k], out_number)) {
            *out_other = 1 - k;
            return true;
        }
    }
    return false;
}

/* Puts a new node where i_node was; `outputs` are existing values. */
static sy_status rewrite(fusion *f, uint32_t i_node, const sy_node_view *description,
                         const uint32_t *outputs) {
    sy_node_view fresh;
    sy_status status = sy__graph_copy_node(f->graph, description, outputs, &fresh, f->error);
    if (status != SY_OK) {
        return status;
    }
    f->graph->nodes[i_node].view = fresh;
    for (uint32_t k = 0; k < fresh.n_outputs; k++) {
        f->graph->values[fresh.outputs[k]].producer = i_node;
    }
    return SY_OK;
}

static void kill(fusion *f, uint32_t i_node) {
    f->graph->nodes[i_node].dead = true;
}

/* Add(Linear(x, w), b) with a constant row b -> Linear(x, w, b). */
static sy_status fuse_bias(fusion *f, uint32_t i_node) {
    const sy_node_view *add = node_at(f, i_node);
    if (!sy__node_is(add, "", "Add")) {
        return SY_OK;
    }
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t i_linear = only_producer(f, add, k);
        const sy_value_view *bias = value_at(f, add->inputs[1 - k]);
        if (i_linear == SY_NO_VALUE || bias->kind != SY_VALUE_WEIGHT || bias->rank != 1) {
            continue;
        }
        const sy_node_view *linear = node_at(f, i_linear);
        const sy_value_view *result = value_at(f, linear->outputs[0]);
        if (!sy__node_is(linear, "switchyard", "Linear") ||
            sy__input(f->graph, linear, 2) != NULL ||
            !sy__dimension_equal(&bias->dims[0], &result->dims[result->rank - 1])) {
            continue;
        }
        uint32_t inputs[3] = {linear->inputs[0], linear->inputs[1], add->inputs[1 - k]};
        sy_node_view fused = *linear;
        fused.inputs = inputs;
        fused.n_inputs = 3;
        uint32_t output = add->outputs[0];
        sy_status status = rewrite(f, i_linear, &fused, &output);
        if (status == SY_OK) {
            kill(f, i_node);
        }
        return status;
    }
    return SY_OK;
}

/* Mul(Embedding(ids, table), c) -> Embedding{scale = c}. */
static sy_status fuse_embedding_scale(fusion *f, uint32_t i_node) {
    const sy_node_view *mul = node_at(f, i_node);
    uint32_t other = 0;
    double number = 0;
    if (!sy__node_is(mul, "", "Mul") || !scalar_input(f, mul, &other, &number)) {
        return SY_OK;
    }
    uint32_t i_embedding = only_producer(f, mul, other);
    if (i_embedding == SY_NO_VALUE ||
        !sy__node_is(node_at(f, i_embedding), "switchyard", "Embedding") ||
        node_at(f, i_embedding)->n_attributes != 0) {
        return SY_OK;
    }
    sy_attribute scale = {.name = "scale", .type = SY_ATTRIBUTE_FLOAT, .count = 1};
    scale.value.f = number;
    sy_node_view fused = *node_at(f, i_embedding);
    fused.attributes = &scale;
    fused.n_attributes = 1;
    uint32_t output = mul->outputs[0];
    sy_status status = rewrite(f, i_embedding, &fused, &output);
    if (status == SY_OK) {
        kill(f, i_node);
    }
    return status;
}

/* Name of the activation a node computes, as GatedActivation spells it, or NULL. */
static const char *activation_name(const sy_node_view *node) {
    if (node->domain[0] != '\0') {
        return NULL;
    }
    if (strcmp(node->op, "Swish") == 0) {
        return sy__attribute_float(node, "alpha", 1.0) == 1.0 ? "silu" : NULL;
    }
    if (strcmp(node->op, "Gelu") == 0) {
        const char *approximate = sy__attribute_string(node, "approximate", "none");
        return strcmp(approximate, "tanh") == 0 ? "gelu_tanh" : "gelu";
    }
    if (strcmp(node->op, "Relu") == 0) {
        return "relu";
    }
    return strcmp(node->op, "Sigmoid") == 0 ? "sigmoid" : NULL;
}

/* Mul(act(gate), up) -> GatedActivation(gate, up). */
static sy_status fuse_gate(fusion *f, uint32_t i_node) {
    const sy_node_view *mul = node_at(f, i_node);
    if (!sy__node_is(mul, "", "Mul") ||
        !sy__same_shape(value_at(f, mul->inputs[0]), value_at(f, mul->inputs[1]))) {
        return SY_OK;
    }
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t i_activation = only_producer(f, mul, k);
        const char *name =
            i_activation != SY_NO_VALUE ? activation_name(node_at(f, i_activation)) : NULL;
        if (name == NULL || mul->inputs[0] == mul->inputs[1]) {
            continue;
        }
        sy_attribute activation = {
            .name = "activation", .type = SY_ATTRIBUTE_STRING, .count = (uint32_t)strlen(name)};
        activation.value.s = name;
        uint32_t inputs[2] = {node_at(f, i_activation)->inputs[0], mul->inputs[1 - k]};
        sy_node_view fused = {.domain = "switchyard",
                              .op = "GatedActivation",
                              .version = 1,
                              .n_inputs = 2,
                              .n_outputs = 1,
                              .n_attributes = 1,
                              .inputs = inputs,
                              .attributes = &activation,
                              .name = mul->name};
        uint32_t output = mul->outputs[0];
        sy_status status = rewrite(f, i_node, &fused, &output);
        if (status == SY_OK) {
            kill(f, i_activation);
        }
        return status;
    }
    return SY_OK;
}

/* The RMSNormalization over the last axis that reads a sum, or SY_NO_VALUE. */
static uint32_t norm_of(const fusion *f, uint32_t i_sum) {
    uint32_t i_node = f->consumer[i_sum];
    if (i_node == SY_NO_VALUE || f->graph->nodes[i_node].dead) {
        return SY_NO_VALUE;
    }
    const sy_node_view *node = node_at(f, i_node);
    int64_t axis = sy__attribute_int(node, "axis", -1);
    bool last = axis == -1 || axis == (int64_t)value_at(f, i_sum)->rank - 1;
    bool match = sy__node_is(node, "", "RMSNormalization") && last && node->inputs[0] == i_sum &&
                 value_at(f, node->inputs[1])->kind == SY_VALUE_WEIGHT;
    return match ? i_node : SY_NO_VALUE;
}

/* sum = Add(x, residual), RMSNormalization(sum) -> AddRMSNormalization; the sum stays readable. */
static sy_status fuse_add_norm(fusion *f, uint32_t i_node) {
    const sy_node_view *add = node_at(f, i_node);
    if (!sy__node_is(add, "", "Add") ||
        !sy__same_shape(value_at(f, add->inputs[0]), value_at(f, add->inputs[1])) ||
        value_at(f, add->outputs[0])->rank < 1) {
        return SY_OK;
    }
    uint32_t i_norm = norm_of(f, add->outputs[0]);
    if (i_norm == SY_NO_VALUE) {
        return SY_OK;
    }
    const sy_node_view *norm = node_at(f, i_norm);
    sy_attribute epsilon = {.name = "epsilon", .type = SY_ATTRIBUTE_FLOAT, .count = 1};
    epsilon.value.f = sy__attribute_float(norm, "epsilon", 1e-5);
    uint32_t inputs[3] = {add->inputs[0], add->inputs[1], norm->inputs[1]};
    uint32_t outputs[2] = {add->outputs[0], norm->outputs[0]};
    sy_node_view fused = {.domain = "switchyard",
                          .op = "AddRMSNormalization",
                          .version = 1,
                          .n_inputs = 3,
                          .n_outputs = 2,
                          .n_attributes = 1,
                          .inputs = inputs,
                          .attributes = &epsilon,
                          .name = norm->name};
    sy_status status = rewrite(f, i_node, &fused, outputs);
    if (status == SY_OK) {
        kill(f, i_norm);
    }
    return status;
}

/* Mul(Tanh(Div(x, c)), c) -> Softcap{cap = c}; Mul(x, 1 / c) counts as the division. */
static sy_status fuse_softcap(fusion *f, uint32_t i_node) {
    const sy_node_view *mul = node_at(f, i_node);
    uint32_t other = 0, inner_other = 0;
    double cap = 0, divisor = 0;
    if (!sy__node_is(mul, "", "Mul") || !scalar_input(f, mul, &other, &cap) || !(cap > 0)) {
        return SY_OK;
    }
    uint32_t i_tanh = only_producer(f, mul, other);
    if (i_tanh == SY_NO_VALUE || !sy__node_is(node_at(f, i_tanh), "", "Tanh")) {
        return SY_OK;
    }
    uint32_t i_div = only_producer(f, node_at(f, i_tanh), 0);
    if (i_div == SY_NO_VALUE || !sy__node_is(node_at(f, i_div), "", "Div") ||
        !scalar_input(f, node_at(f, i_div), &inner_other, &divisor) || inner_other != 0 ||
        divisor != cap) {
        return SY_OK;
    }
    sy_attribute attribute = {.name = "cap", .type = SY_ATTRIBUTE_FLOAT, .count = 1};
    attribute.value.f = cap;
    uint32_t input = node_at(f, i_div)->inputs[0], output = mul->outputs[0];
    sy_node_view fused = {.domain = "switchyard",
                          .op = "Softcap",
                          .version = 1,
                          .n_inputs = 1,
                          .n_outputs = 1,
                          .n_attributes = 1,
                          .inputs = &input,
                          .attributes = &attribute,
                          .name = mul->name};
    sy_status status = rewrite(f, i_node, &fused, &output);
    if (status == SY_OK) {
        kill(f, i_tanh);
        kill(f, i_div);
    }
    return status;
}

/* Counts readers; for a value with several, the consumer is a normalization when one reads it. */
static void count_uses(fusion *f) {
    const sy_graph *graph = f->graph;
    for (size_t v = 0; v < graph->n_values; v++) {
        f->n_uses[v] = graph->values[v].view.kind == SY_VALUE_OUTPUT;
        f->consumer[v] = SY_NO_VALUE;
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const sy_node_view *node = &graph->nodes[i].view;
        if (graph->nodes[i].dead) {
            continue;
        }
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            uint32_t v = node->inputs[k];
            if (v == SY_NO_VALUE) {
                continue;
            }
            f->n_uses[v]++;
            if (f->consumer[v] == SY_NO_VALUE || sy__node_is(node, "", "RMSNormalization")) {
                f->consumer[v] = i;
            }
        }
    }
}

static sy_status run_patterns(fusion *f) {
    static const pattern patterns[] = {fuse_bias, fuse_embedding_scale, fuse_gate, fuse_softcap,
                                       fuse_add_norm};
    for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
        count_uses(f);
        for (uint32_t i = 0; i < f->graph->n_nodes; i++) {
            sy_status status = f->graph->nodes[i].dead ? SY_OK : patterns[p](f, i);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

sy_status sy__pass_fuse(sy_graph *graph, sy_error *error) {
    size_t n = graph->n_values;
    fusion f = {.graph = graph, .error = error};
    f.n_uses = sy__alloc_array(graph->allocator, n, sizeof(uint32_t));
    f.consumer = sy__alloc_array(graph->allocator, n, sizeof(uint32_t));
    sy_status status = f.n_uses != NULL && f.consumer != NULL ? run_patterns(&f)
                                                              : sy__graph_no_memory(error, graph);
    sy__free_array(graph->allocator, f.consumer, n, sizeof(uint32_t));
    sy__free_array(graph->allocator, f.n_uses, n, sizeof(uint32_t));
    return status;
}
