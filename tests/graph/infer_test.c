/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes that the rules of core/graph find, and what they refuse, for nodes with several outputs,
 * constants and attributes. */
#include "graph/graph_sample.h"

#include <stdbool.h>

#define TEXT(key, word) \
    { .name = (key), .type = SY_ATTRIBUTE_STRING, .count = sizeof(word) - 1, .value.s = (word) }
#define INTS(key, ...)                                                                 \
    {                                                                                  \
        .name = (key), .type = SY_ATTRIBUTE_INTS,                                      \
        .count = (uint32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
        .value.ints = (const int64_t[]) {                                              \
            __VA_ARGS__                                                                \
        }                                                                              \
    }
#define INT(key, number) \
    { .name = (key), .type = SY_ATTRIBUTE_INT, .count = 1, .value.i = (number) }

/* INPUT f32; a dimension of 0 is the step's tokens. */
static uint32_t input(sample *s, uint32_t rank, const int64_t *dims) {
    uint32_t value = 0;
    sy_value_view view = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        view.dims[i] = dims[i] != 0 ? (sy_dimension){.bound = dims[i]}
                                    : (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    }
    CHECK_OK_ERROR(sy_graph_add_value(s->graph, &view, &value, &s->error), s->error);
    return value;
}

/* WEIGHT i64 [n]. */
static uint32_t numbers(sample *s, const int64_t *list, int64_t n) {
    uint32_t value = 0;
    sy_value_view view = {.name = "n", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_I64, .rank = 1};
    view.dims[0].bound = n;
    view.data.length_bytes = (size_t)n * sizeof(list[0]);
    memcpy(&view.data.pointer, &list, sizeof(list)); /* weights are read-only by contract */
    CHECK_OK_ERROR(sy_graph_add_value(s->graph, &view, &value, &s->error), s->error);
    return value;
}

/* WEIGHT f32. */
static uint32_t floats(sample *s, const float *list, uint32_t rank, const int64_t *dims) {
    uint32_t value = 0;
    sy_value_view view = {.name = "w", .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_F32, .rank = rank};
    view.data.length_bytes = sizeof(list[0]);
    for (uint32_t i = 0; i < rank; i++) {
        view.dims[i].bound = dims[i];
        view.data.length_bytes *= (size_t)dims[i];
    }
    memcpy(&view.data.pointer, &list, sizeof(list)); /* weights are read-only by contract */
    CHECK_OK_ERROR(sy_graph_add_value(s->graph, &view, &value, &s->error), s->error);
    return value;
}

#define LIST(...)       \
    (const int64_t[]) { \
        __VA_ARGS__     \
    }
#define ATTRIBUTES(...)      \
    (const sy_attribute[]) { \
        __VA_ARGS__          \
    }

typedef struct node {
    const char *op;
    uint32_t n_inputs, inputs[4], n_outputs, n_attributes;
    const sy_attribute *attributes;
} node;

static sy_status add(sample *s, const node *n, uint32_t *out_values) {
    sy_node_view view = {.domain = "",
                         .op = n->op,
                         .version = 1,
                         .n_inputs = n->n_inputs,
                         .n_outputs = n->n_outputs,
                         .n_attributes = n->n_attributes,
                         .inputs = n->inputs,
                         .attributes = n->attributes,
                         .name = "node"};
    return sy_graph_add_node(s->graph, &view, out_values, &s->error);
}

/* A value has this type and these dimensions, 0 being the tokens. */
static bool is_of(const sample *s, uint32_t value, sy_element_type type, uint32_t rank,
                  const int64_t *dims) {
    sy_value_view view;
    CHECK_OK(sy_graph_value(s->graph, value, &view));
    bool same = view.type == type && view.rank == rank;
    for (uint32_t i = 0; same && i < rank; i++) {
        same = dims[i] == 0 ? view.dims[i].symbol == SY_SYMBOL_TOKENS
                            : view.dims[i].symbol == 0 && view.dims[i].bound == dims[i];
    }
    return same;
}

static void arg_max_keeps_the_rows(void) {
    sample s = sample_new(16);
    uint32_t x = input(&s, 2, LIST(0, 40)), y = 0;
    node arg_max = {"ArgMax", 1, {x}, 1, 2, ATTRIBUTES(INT("axis", -1), INT("keepdims", 0))};
    CHECK_OK_ERROR(add(&s, &arg_max, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_I64, 1, LIST(0)));
    arg_max.n_attributes = 1;
    CHECK_OK_ERROR(add(&s, &arg_max, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_I64, 2, LIST(0, 1)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    arg_max.n_attributes = 0; /* then it is axis 0, which has as many elements as the step */
    CHECK(add(&s, &arg_max, &y) == SY_INVALID_ARGUMENT);
    CHECK(strstr(s.error.message, "fixed size") != NULL);
    sy_graph_destroy(s.graph);
}

static void top_k_has_values_and_indices(void) {
    sample s = sample_new(16);
    uint32_t x = input(&s, 3, LIST(0, 40, 5)), y[2] = {0};
    node top_k = {"TopK", 2, {x, numbers(&s, LIST(7), 1)}, 2, 1, ATTRIBUTES(INT("axis", 1))};
    CHECK_OK_ERROR(add(&s, &top_k, y), s.error);
    CHECK(is_of(&s, y[0], SY_TYPE_F32, 3, LIST(0, 7, 5)));
    CHECK(is_of(&s, y[1], SY_TYPE_I64, 3, LIST(0, 7, 5)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    top_k.n_outputs = 1;
    CHECK(add(&s, &top_k, y) == SY_INVALID_ARGUMENT);
    top_k.n_outputs = 2;
    top_k.n_attributes = 0; /* then it is the last axis, which has 5 */
    CHECK(add(&s, &top_k, y) == SY_INVALID_ARGUMENT && strstr(s.error.message, "1 to 5") != NULL);
    top_k.inputs[1] = numbers(&s, LIST(0), 1);
    CHECK(add(&s, &top_k, y) == SY_INVALID_ARGUMENT);
    top_k.inputs[1] = x;
    CHECK(add(&s, &top_k, y) == SY_INVALID_ARGUMENT);
    sy_graph_destroy(s.graph);
}

static const float zeros[256];

static void conv_transpose_spreads(void) {
    sample s = sample_new(16);
    uint32_t x = input(&s, 4, LIST(0, 4, 5, 6)), y = 0;
    uint32_t w = floats(&s, zeros, 4, LIST(4, 3, 3, 3));
    sy_attribute attributes[] = {INT("group", 2), INTS("strides", 2, 3), INTS("pads", 1, 0, 0, 1),
                                 INTS("output_padding", 1, 2)};
    node spread = {"ConvTranspose", 2, {x, w}, 1, 4, attributes};
    CHECK_OK_ERROR(add(&s, &spread, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 6, 11, 19))); /* 2 * 4 + 3 + 1 - 1, 3 * 5 + 3 + 1 */
    attributes[2] = (sy_attribute)INTS("output_shape", 9, 20);
    CHECK_OK_ERROR(add(&s, &spread, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 6, 9, 20)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    attributes[2] = (sy_attribute)TEXT("auto_pad", "SAME_LOWER");
    CHECK(add(&s, &spread, &y) == SY_INVALID_ARGUMENT && strstr(s.error.message, "auto_pad"));
    attributes[2] = (sy_attribute)INTS("pads", 6, 6, 6, 6);
    CHECK(add(&s, &spread, &y) == SY_INVALID_ARGUMENT);
    attributes[2] = (sy_attribute)INTS("pads", 0, 0, 0, 0);
    attributes[3] = (sy_attribute)INTS("output_padding", 2, 0);
    CHECK(add(&s, &spread, &y) == SY_INVALID_ARGUMENT);
    spread.n_attributes = 1;
    spread.inputs[1] = floats(&s, zeros, 4, LIST(3, 4, 3, 3));
    CHECK(add(&s, &spread, &y) == SY_INVALID_ARGUMENT);
    sy_graph_destroy(s.graph);
}

static void resize_scales_planes(void) {
    static const float scales[4] = {1, 1, 0.6f, 3}, channels[4] = {1, 2, 1, 1};
    sample s = sample_new(16);
    uint32_t x = input(&s, 4, LIST(0, 2, 5, 4)), y = 0, none = SY_NO_VALUE;
    node resize = {"Resize", 3, {x, none, floats(&s, scales, 1, LIST(4))}, 1, 0, NULL};
    CHECK_OK_ERROR(add(&s, &resize, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 2, 3, 12)));
    resize.inputs[2] = floats(&s, channels, 1, LIST(4));
    CHECK(add(&s, &resize, &y) == SY_INVALID_ARGUMENT);
    node sized = {"Resize", 4, {x, none, none, numbers(&s, LIST(9, 7), 2)},
                  1,        1, ATTRIBUTES(INTS("axes", -1, 2))};
    CHECK_OK_ERROR(add(&s, &sized, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 2, 7, 9)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    sized.n_attributes = 0; /* then a size is missing for the rows of the step */
    CHECK(add(&s, &sized, &y) == SY_INVALID_ARGUMENT);
    const sy_attribute refused[] = {TEXT("mode", "area"),
                                    INT("antialias", 1),
                                    INT("exclude_outside", 1),
                                    TEXT("nearest_mode", "up"),
                                    TEXT("keep_aspect_ratio_policy", "not_larger"),
                                    TEXT("coordinate_transformation_mode", "tf_crop_and_resize")};
    resize.inputs[2] = floats(&s, scales, 1, LIST(4));
    resize.n_attributes = 1;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        resize.attributes = &refused[i];
        CHECK(add(&s, &resize, &y) == SY_INVALID_ARGUMENT);
    }
    resize.n_attributes = 0;
    resize.n_inputs = 2;
    CHECK(add(&s, &resize, &y) == SY_INVALID_ARGUMENT);
    sy_graph_destroy(s.graph);
}

static void pad_adds_to_fixed_axes(void) {
    sample s = sample_new(16);
    uint32_t x = input(&s, 3, LIST(0, 4, 5)), y = 0, none = SY_NO_VALUE;
    uint32_t both = numbers(&s, LIST(0, 1, 2, 0, 3, 0), 6), last = numbers(&s, LIST(-1), 1);
    node pad = {"Pad", 2, {x, both, none, last}, 1, 1, ATTRIBUTES(TEXT("mode", "reflect"))};
    CHECK_OK_ERROR(add(&s, &pad, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 3, LIST(0, 8, 7)));
    pad.inputs[1] = numbers(&s, LIST(4, 4), 2);
    pad.n_inputs = 4;
    CHECK_OK_ERROR(add(&s, &pad, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 3, LIST(0, 4, 13)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    pad.inputs[1] = numbers(&s, LIST(5, 0), 2); /* nothing is left to mirror */
    CHECK(add(&s, &pad, &y) == SY_INVALID_ARGUMENT);
    pad.inputs[1] = numbers(&s, LIST(-1, 0), 2);
    CHECK(add(&s, &pad, &y) == SY_INVALID_ARGUMENT);
    pad.inputs[1] = numbers(&s, LIST(1, 0), 2);
    pad.inputs[3] = numbers(&s, LIST(0), 1); /* the rows of the step */
    CHECK(add(&s, &pad, &y) == SY_INVALID_ARGUMENT);
    pad.attributes = ATTRIBUTES(TEXT("mode", "wrap"));
    CHECK(add(&s, &pad, &y) == SY_INVALID_ARGUMENT && strstr(s.error.message, "wrap"));
    sy_graph_destroy(s.graph);
}

static void depth_and_space_trade(void) {
    sample s = sample_new(16);
    uint32_t x = input(&s, 4, LIST(0, 12, 4, 6)), y = 0;
    node grow = {"DepthToSpace", 1, {x}, 1, 1, ATTRIBUTES(INT("blocksize", 2))};
    CHECK_OK_ERROR(add(&s, &grow, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 3, 8, 12)));
    node shrink = {"SpaceToDepth", 1, {y}, 1, 1, ATTRIBUTES(INT("blocksize", 4))};
    CHECK_OK_ERROR(add(&s, &shrink, &y), s.error);
    CHECK(is_of(&s, y, SY_TYPE_F32, 4, LIST(0, 48, 2, 3)));
    CHECK_OK_ERROR(sy_graph_verify(s.graph, &s.error), s.error);
    shrink.attributes = ATTRIBUTES(INT("blocksize", 5));
    CHECK(add(&s, &shrink, &y) == SY_INVALID_ARGUMENT);
    grow.n_attributes = 0;
    CHECK(add(&s, &grow, &y) == SY_INVALID_ARGUMENT);
    sy_graph_destroy(s.graph);
}

static const sy_test_case cases[] = {
    {"conv_transpose_spreads", conv_transpose_spreads},
    {"resize_scales_planes", resize_scales_planes},
    {"pad_adds_to_fixed_axes", pad_adds_to_fixed_axes},
    {"depth_and_space_trade", depth_and_space_trade},
    {"arg_max_keeps_the_rows", arg_max_keeps_the_rows},
    {"top_k_has_values_and_indices", top_k_has_values_and_indices},
};
SY_TEST_MAIN(cases)
