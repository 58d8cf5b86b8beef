/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/builder.h"

#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ONNX_FLOAT 1 /* TensorProto.DataType, what Cast's attribute `to` counts in */

void sy__builder_fail(sy__builder *b, sy_status status, const char *what) {
    if (b->status == SY_OK) {
        b->status = sy_error_set(b->error, status, "The model's graph cannot be built: %s.", what);
    }
}

uint32_t sy__emit_value(sy__builder *b, const sy_value_view *description) {
    uint32_t value = 0;
    if (b->status == SY_OK) {
        b->status = sy_graph_add_value(b->model->graph, description, &value, b->error);
    }
    return value;
}

static uint32_t constant(sy__builder *b, const char *name, sy_element_type type, const void *data,
                         uint32_t n, size_t size_bytes) {
    void *copy = sy__arena_alloc(&b->model->constants, (size_t)n + 1, size_bytes);
    if (copy == NULL) {
        if (b->status == SY_OK) {
            b->status = sy__no_memory(b->error, n * size_bytes, "constants of the graph");
        }
        return 0;
    }
    memcpy(copy, data, n * size_bytes);
    sy_value_view view = {.name = name, .kind = SY_VALUE_WEIGHT, .type = type, .rank = 1};
    view.dims[0].bound = n;
    view.data = (sy_memory){
        .kind = SY_MEMORY_HOST, .fd = -1, .pointer = copy, .length_bytes = n * size_bytes};
    return sy__emit_value(b, &view);
}

uint32_t sy__emit_floats(sy__builder *b, const char *name, const float *numbers, uint32_t n) {
    return constant(b, name, SY_TYPE_F32, numbers, n, sizeof(float));
}

uint32_t sy__emit_ints(sy__builder *b, const char *name, const int64_t *numbers, uint32_t n) {
    return constant(b, name, SY_TYPE_I64, numbers, n, sizeof(int64_t));
}

/* The tensor of a role with its name as a string; fails the builder when it is absent. */
static bool find_tensor(sy__builder *b, sy__role role, uint32_t i_layer, sy__part part,
                        sy_gguf_tensor *out_tensor, char out_name[160]) {
    if (b->status != SY_OK) {
        return false;
    }
    if (!sy__architecture_tensor(b->architecture, role, i_layer, part, out_tensor)) {
        sy__builder_fail(b, SY_NOT_FOUND, "a tensor that the description names is absent");
        return false;
    }
    snprintf(out_name, 160, "%.*s", (int)out_tensor->name.n_bytes, out_tensor->name.bytes);
    return true;
}

/* Bytes [offset, offset + n) of a tensor as a WEIGHT; they stay in the file's mapping. */
static uint32_t mapped(sy__builder *b, const sy_gguf_tensor *tensor, sy_value_view *view,
                       uint64_t offset, uint64_t n_bytes) {
    uintptr_t address = (uintptr_t)tensor->data + (uintptr_t)offset;
    view->kind = SY_VALUE_WEIGHT;
    view->type = tensor->type;
    view->data = (sy_memory){.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = n_bytes};
    /* Weights are read-only; the ABI's sy_memory has one pointer type for all memory. */
    memcpy(&view->data.pointer, &address, sizeof(address));
    return sy__emit_value(b, view);
}

/* Rows [first, first + n) of a tensor. */
static uint32_t slice(sy__builder *b, const sy_gguf_tensor *tensor, const char *name,
                      uint64_t first, uint64_t n) {
    uint64_t row_bytes = 0, n_all = tensor->rank >= 2 ? tensor->dims[1] : tensor->dims[0];
    bool is_matrix = tensor->rank >= 2;
    sy_status status = sy_type_row_bytes(tensor->type, is_matrix ? tensor->dims[0] : 1, &row_bytes);
    if (n == 0) {
        n = n_all;
    }
    if (status != SY_OK || first > n_all || n > n_all - first || tensor->rank > 2) {
        sy__builder_fail(b, SY_DATA_LOSS, "a tensor has another shape than its description");
        return 0;
    }
    char part_name[192];
    snprintf(part_name, sizeof(part_name), n == n_all ? "%s" : "%s[%" PRIu64 "]", name, first);
    sy_value_view view = {.name = part_name};
    view.dims[view.rank++].bound = (int64_t)n;
    if (is_matrix) {
        view.dims[view.rank++].bound = (int64_t)tensor->dims[0];
    }
    return mapped(b, tensor, &view, first * row_bytes, n * row_bytes);
}

uint32_t sy__emit_stack(sy__builder *b, sy__role role, uint32_t i_layer, sy__part part) {
    sy_gguf_tensor tensor;
    char name[160];
    if (!find_tensor(b, role, i_layer, part, &tensor, name)) {
        return 0;
    }
    sy_value_view view = {.name = name, .rank = tensor.rank};
    for (uint32_t i = 0; i < tensor.rank; i++) {
        view.dims[i].bound = (int64_t)tensor.dims[tensor.rank - 1 - i];
    }
    return mapped(b, &tensor, &view, 0, tensor.n_bytes);
}

/* Matrix i of a stack, or all of them one below the other. */
static uint32_t stacked_rows(sy__builder *b, sy__role role, uint64_t i, bool all) {
    sy_gguf_tensor tensor;
    char name[160];
    if (!find_tensor(b, role, 0, SY__PART_WEIGHT, &tensor, name)) {
        return 0;
    }
    uint64_t n_rows = tensor.dims[1];
    tensor.dims[1] *= tensor.dims[2];
    tensor.rank = 2;
    return slice(b, &tensor, name, all ? 0 : i * n_rows, all ? 0 : n_rows);
}

uint32_t sy__emit_flat_stack(sy__builder *b, sy__role role) {
    return stacked_rows(b, role, 0, true);
}

uint32_t sy__emit_matrix_of_stack(sy__builder *b, sy__role role, uint32_t i) {
    return stacked_rows(b, role, i, false);
}

uint32_t sy__emit_matrix(sy__builder *b, sy__role role, uint32_t i_layer, uint64_t first,
                         uint64_t n_rows) {
    sy_gguf_tensor tensor;
    char name[160];
    if (!find_tensor(b, role, i_layer, SY__PART_WEIGHT, &tensor, name)) {
        return 0;
    }
    tensor.rank = tensor.rank < 2 ? 2 : tensor.rank; /* a matrix of one row */
    return slice(b, &tensor, name, first, n_rows);
}

uint32_t sy__emit_vector(sy__builder *b, sy__role role, uint32_t i_layer, sy__part part,
                         uint64_t first, uint64_t n) {
    sy_gguf_tensor tensor;
    char name[160];
    if (!find_tensor(b, role, i_layer, part, &tensor, name)) {
        return 0;
    }
    if (tensor.rank >= 2) { /* e.g. row 0 of the token types: its columns are the vector */
        tensor.rank = 1;
        tensor.n_elements = tensor.dims[0];
    }
    uint32_t value = slice(b, &tensor, name, first, n);
    if (tensor.type == SY_TYPE_F32 || b->status != SY_OK) {
        return value;
    }
    char saved[sizeof(b->prefix)];
    memcpy(saved, b->prefix, sizeof(saved));
    b->prefix[0] = '\0'; /* the tensor's name already has it */
    strncat(name, ".f32", sizeof(name) - strlen(name) - 1);
    value = sy__emit_node(b, name,
                          &(sy__operation){.op = "Cast",
                                           .version = 13,
                                           .n_inputs = 1,
                                           .inputs = {value},
                                           .n_attributes = 1,
                                           .attributes = {sy__int_attribute("to", ONNX_FLOAT)}});
    memcpy(b->prefix, saved, sizeof(saved));
    return value;
}

uint32_t sy__emit_node(sy__builder *b, const char *name, const sy__operation *operation) {
    uint32_t result = 0;
    sy__emit_nodes(b, name, operation, 1, &result);
    return result;
}

void sy__emit_nodes(sy__builder *b, const char *name, const sy__operation *operation,
                    uint32_t n_outputs, uint32_t *out_results) {
    char full_name[192];
    if (b->status != SY_OK) {
        return;
    }
    snprintf(full_name, sizeof(full_name), "%s%s", b->prefix, name);
    sy_node_view node = {.domain = operation->version == 0 ? "switchyard" : "",
                         .op = operation->op,
                         .version = operation->version == 0 ? 1 : operation->version,
                         .n_inputs = operation->n_inputs,
                         .n_outputs = n_outputs,
                         .n_attributes = operation->n_attributes,
                         .inputs = operation->inputs,
                         .attributes = operation->attributes,
                         .name = full_name};
    b->status = sy_graph_add_node(b->model->graph, &node, out_results, b->error);
}

uint32_t sy__emit_scale(sy__builder *b, const char *name, uint32_t x, sy__role role,
                        uint32_t i_layer) {
    uint32_t scale = sy__emit_vector(b, role, i_layer, SY__PART_SCALE, 0, 0);
    return sy__emit_node(
        b, name, &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {x, scale}});
}

uint32_t sy__emit_scalar(sy__builder *b, const char *op, const char *name, uint32_t x,
                         float number) {
    uint32_t constant = sy__emit_floats(b, "scalar", &number, 1);
    return sy__emit_node(
        b, name, &(sy__operation){.op = op, .version = 14, .n_inputs = 2, .inputs = {x, constant}});
}

uint32_t sy__emit_reshape(sy__builder *b, const char *name, uint32_t x, const int64_t *shape,
                          uint32_t n) {
    uint32_t to = sy__emit_ints(b, "shape", shape, n);
    return sy__emit_node(
        b, name,
        &(sy__operation){.op = "Reshape", .version = 14, .n_inputs = 2, .inputs = {x, to}});
}

uint32_t sy__emit_slice(sy__builder *b, const char *name, uint32_t x, int64_t first, int64_t n) {
    const int64_t end = first + n, axis = 1;
    sy__operation slice = {.op = "Slice", .version = 13, .n_inputs = 4, .inputs = {x}};
    slice.inputs[1] = sy__emit_ints(b, "start", &first, 1);
    slice.inputs[2] = sy__emit_ints(b, "end", &end, 1);
    slice.inputs[3] = sy__emit_ints(b, "axis", &axis, 1);
    return sy__emit_node(b, name, &slice);
}

uint32_t sy__emit_add(sy__builder *b, const char *name, uint32_t x, uint32_t y) {
    return sy__emit_node(
        b, name, &(sy__operation){.op = "Add", .version = 14, .n_inputs = 2, .inputs = {x, y}});
}

sy_attribute sy__int_attribute(const char *name, int64_t number) {
    sy_attribute attribute = {.name = name, .type = SY_ATTRIBUTE_INT, .count = 1};
    attribute.value.i = number;
    return attribute;
}

sy_attribute sy__float_attribute(const char *name, double number) {
    sy_attribute attribute = {.name = name, .type = SY_ATTRIBUTE_FLOAT, .count = 1};
    attribute.value.f = number;
    return attribute;
}

sy_attribute sy__string_attribute(const char *name, const char *text) {
    sy_attribute attribute = {
        .name = name, .type = SY_ATTRIBUTE_STRING, .count = (uint32_t)strlen(text)};
    attribute.value.s = text;
    return attribute;
}
