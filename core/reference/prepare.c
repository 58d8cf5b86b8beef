/* SPDX-License-Identifier: Apache-2.0 */
/* What `prepare` functions ask a node for: attributes, constant inputs, types. */
#include "reference/element.h"
#include "reference/internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

/* The attribute, marked as used; NULL when absent. */
static const sy_attribute *find(sy__facts *facts, const char *name) {
    for (uint32_t i = 0; i < facts->node.n_attributes; i++) {
        if (strcmp(facts->node.attributes[i].name, name) == 0) {
            facts->used_attributes |= 1ull << i;
            return &facts->node.attributes[i];
        }
    }
    return NULL;
}

static bool wrong_type(sy__facts *facts, const char *name) {
    return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "attribute %s has another type", name);
}

bool sy__ref_attribute_int(sy__facts *facts, const char *name, int64_t fallback, int64_t *out) {
    const sy_attribute *attribute = find(facts, name);
    if (attribute != NULL && attribute->type != SY_ATTRIBUTE_INT) {
        return wrong_type(facts, name);
    }
    *out = attribute != NULL ? attribute->value.i : fallback;
    return true;
}

bool sy__ref_attribute_bool(sy__facts *facts, const char *name, bool fallback, bool *out) {
    int64_t value = 0;
    if (!sy__ref_attribute_int(facts, name, fallback ? 1 : 0, &value)) {
        return false;
    }
    if (value != 0 && value != 1) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "attribute %s is neither 0 nor 1", name);
    }
    *out = value == 1;
    return true;
}

bool sy__ref_attribute_float(sy__facts *facts, const char *name, double fallback, double *out) {
    const sy_attribute *attribute = find(facts, name);
    if (attribute != NULL && attribute->type != SY_ATTRIBUTE_FLOAT) {
        return wrong_type(facts, name);
    }
    *out = attribute != NULL ? attribute->value.f : fallback;
    return true;
}

bool sy__ref_attribute_string(sy__facts *facts, const char *name, const char *fallback,
                              const char **out) {
    const sy_attribute *attribute = find(facts, name);
    if (attribute != NULL && (attribute->type != SY_ATTRIBUTE_STRING || !attribute->value.s)) {
        return wrong_type(facts, name);
    }
    *out = attribute != NULL ? attribute->value.s : fallback;
    return true;
}

bool sy__ref_attribute_ints(sy__facts *facts, const char *name, uint32_t n_max, int64_t *out,
                            uint32_t *out_n) {
    const sy_attribute *attribute = find(facts, name);
    *out_n = UINT32_MAX;
    if (attribute == NULL) {
        return true;
    }
    if (attribute->type != SY_ATTRIBUTE_INTS) {
        return wrong_type(facts, name);
    }
    if (attribute->count > n_max) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "attribute %s has %" PRIu32 " entries",
                              name, attribute->count);
    }
    for (uint32_t i = 0; i < attribute->count; i++) {
        out[i] = attribute->value.ints[i];
    }
    *out_n = attribute->count;
    return true;
}

bool sy__ref_constant_ints(sy__facts *facts, uint32_t i_input, uint32_t n_max, int64_t *out,
                           uint32_t *out_n) {
    *out_n = UINT32_MAX;
    const sy__tensor *tensor = i_input < SY__MAX_INPUTS ? facts->inputs[i_input] : NULL;
    if (tensor == NULL) {
        return true;
    }
    if (tensor->kind != SY_VALUE_WEIGHT) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "input %" PRIu32 " is not constant", i_input);
    }
    if (tensor->type != SY_TYPE_I64 && tensor->type != SY_TYPE_I32) {
        return sy__ref_refuse(facts, SY_REASON_TYPE, "input %" PRIu32 " is neither i64 nor i32",
                              i_input);
    }
    int64_t n = sy__ref_shape_count(&tensor->shape);
    if (tensor->shape.rank > 1 || n > (int64_t)n_max) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "input %" PRIu32 " has too many entries",
                              i_input);
    }
    sy__ref_get_i64(tensor, 0, 1, n, out);
    *out_n = (uint32_t)n;
    return true;
}

bool sy__ref_is_float(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

bool sy__ref_is_decodable(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return sy__ref_is_float(type) || (facts != NULL && facts->is_block);
}

bool sy__ref_is_addressable(sy_element_type type) {
    const sy_type_facts *facts = sy_type_get(type);
    return facts != NULL && facts->n_block_elements == 1;
}

static bool refuse_type(sy__facts *facts, const char *what, uint32_t index, sy_element_type type) {
    const sy_type_facts *type_facts = sy_type_get(type);
    return sy__ref_refuse(facts, SY_REASON_TYPE, "%s %" PRIu32 " has type %s", what, index,
                          type_facts != NULL ? type_facts->name : "unknown");
}

bool sy__ref_require_float_in(sy__facts *facts, uint32_t i_input) {
    const sy__tensor *tensor = facts->inputs[i_input];
    return tensor == NULL || sy__ref_is_float(tensor->type) ||
           refuse_type(facts, "input", i_input, tensor->type);
}

bool sy__ref_require_float_out(sy__facts *facts, uint32_t i_output) {
    const sy__tensor *tensor = facts->outputs[i_output];
    return tensor == NULL || sy__ref_is_float(tensor->type) ||
           refuse_type(facts, "output", i_output, tensor->type);
}

bool sy__ref_require_all_float(sy__facts *facts) {
    for (uint32_t i = 0; i < facts->node.n_inputs; i++) {
        if (!sy__ref_require_float_in(facts, i)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < facts->node.n_outputs; i++) {
        if (!sy__ref_require_float_out(facts, i)) {
            return false;
        }
    }
    return true;
}

bool sy__ref_require_type_in(sy__facts *facts, uint32_t i_input, sy_element_type type) {
    const sy__tensor *tensor = facts->inputs[i_input];
    return tensor == NULL || tensor->type == type ||
           refuse_type(facts, "input", i_input, tensor->type);
}

bool sy__ref_require_same(sy__facts *facts, uint32_t i_input) {
    return sy__ref_require_type_in(facts, i_input, facts->outputs[0]->type);
}
