/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/decoder_graph.h"

#include "harness.h"

#define WEIGHTS_MAX 65536

typedef struct builder {
    decoder_graph *decoder;
    uint32_t random;
    bool expose;
} builder;

static float next_weight(builder *b) {
    b->random = b->random * 1664525u + 1013904223u;
    return ((float)(b->random >> 8) / 8388608.0f - 1.0f) * 0.3f;
}

static uint32_t weight(builder *b, const char *name, int64_t rows, int64_t columns) {
    decoder_graph *d = b->decoder;
    int64_t dims[2] = {rows, columns};
    size_t n = (size_t)(rows * columns);
    float *values = d->weights + d->n_weights;
    CHECK(d->n_weights + n <= WEIGHTS_MAX);
    d->n_weights += n;
    for (size_t i = 0; i < n; i++) {
        values[i] = next_weight(b);
    }
    uint32_t rank = rows == 1 ? 1 : 2;
    return sy_test_graph_weight(&d->graph, name, SY_TYPE_F32, rank, rank == 1 ? &columns : dims,
                                values, n * sizeof(float));
}

/* A value of n_tokens rows. */
static uint32_t rows(builder *b, const char *name, sy_value_kind kind, int64_t width) {
    sy_dimension dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, DECODER_MAX_TOKENS),
                            sy_test_fixed(width)};
    sy_element_type type = width == 0 ? SY_TYPE_I32 : SY_TYPE_F32;
    return sy_test_graph_value(&b->decoder->graph, name, kind, type, width == 0 ? 1 : 2, dims);
}

static uint32_t node(builder *b, const char *op, uint32_t n_inputs, const uint32_t *inputs,
                     int64_t width) {
    sy_test_graph *graph = &b->decoder->graph;
    uint32_t y = rows(b, op, b->expose ? SY_VALUE_OUTPUT : SY_VALUE_ACTIVATION, width);
    sy_test_graph_node(graph, "switchyard", op, 1, n_inputs, inputs, 1, &y);
    return y;
}

static uint32_t last_node(const builder *b) {
    return (uint32_t)b->decoder->graph.n_nodes - 1;
}

static uint32_t linear(builder *b, uint32_t x, const char *name, int64_t n, int64_t k) {
    uint32_t w = weight(b, name, n, k);
    return node(b, "Linear", 2, (uint32_t[]){x, w}, n);
}

static uint32_t rotary(builder *b, uint32_t x, uint32_t positions, uint32_t frequency,
                       int64_t n_heads) {
    uint32_t y = node(b, "RotaryEmbedding", 3, (uint32_t[]){x, positions, frequency},
                      n_heads * DECODER_HEAD);
    sy_test_graph_int(&b->decoder->graph, last_node(b), "num_heads", n_heads);
    return y;
}

static uint32_t norm(builder *b, uint32_t x, const char *name) {
    sy_test_graph *graph = &b->decoder->graph;
    uint32_t scale = weight(b, name, 1, DECODER_WIDTH);
    sy_value_kind kind = b->expose ? SY_VALUE_OUTPUT : SY_VALUE_ACTIVATION;
    uint32_t y = rows(b, name, kind, DECODER_WIDTH);
    sy_test_graph_node(graph, "", "RMSNormalization", 23, 2, (uint32_t[]){x, scale}, 1, &y);
    sy_test_graph_float(graph, last_node(b), "epsilon", 1e-6);
    return y;
}

/* x [T, W] seen as [T, heads, head] and back: two views of the same bytes. */
static uint32_t reshape_twice(builder *b, uint32_t x) {
    static const int64_t up[3] = {0, DECODER_HEADS, DECODER_HEAD}, down[2] = {0, -1};
    static const int64_t three = 3, two = 2;
    sy_test_graph *graph = &b->decoder->graph;
    sy_value_kind kind = b->expose ? SY_VALUE_OUTPUT : SY_VALUE_ACTIVATION;
    uint32_t to_up = sy_test_graph_weight(graph, "up", SY_TYPE_I64, 1, &three, up, sizeof(up));
    uint32_t to_down =
        sy_test_graph_weight(graph, "down", SY_TYPE_I64, 1, &two, down, sizeof(down));
    sy_dimension dims[3] = {sy_test_symbol(SY_SYMBOL_TOKENS, DECODER_MAX_TOKENS),
                            sy_test_fixed(DECODER_HEADS), sy_test_fixed(DECODER_HEAD)};
    uint32_t y = sy_test_graph_value(graph, "heads", kind, SY_TYPE_F32, 3, dims);
    sy_test_graph_node(graph, "", "Reshape", 14, 2, (uint32_t[]){x, to_up}, 1, &y);
    uint32_t z = rows(b, "flat", kind, DECODER_WIDTH);
    sy_test_graph_node(graph, "", "Reshape", 14, 2, (uint32_t[]){y, to_down}, 1, &z);
    return z;
}

static uint32_t attention(builder *b, uint32_t x, uint32_t positions, uint32_t frequency,
                          sy_element_type state_type) {
    sy_test_graph *graph = &b->decoder->graph;
    sy_dimension dims[2] = {sy_test_fixed(DECODER_MAX_TOKENS), sy_test_fixed(DECODER_KV_WIDTH)};
    uint32_t keys = sy_test_graph_value(graph, "keys", SY_VALUE_STATE, state_type, 2, dims);
    uint32_t values = sy_test_graph_value(graph, "values", SY_VALUE_STATE, state_type, 2, dims);
    uint32_t q = linear(b, x, "wq", DECODER_WIDTH, DECODER_WIDTH);
    uint32_t k = linear(b, x, "wk", DECODER_KV_WIDTH, DECODER_WIDTH);
    uint32_t v = linear(b, x, "wv", DECODER_KV_WIDTH, DECODER_WIDTH);
    q = rotary(b, q, positions, frequency, DECODER_HEADS);
    k = rotary(b, k, positions, frequency, DECODER_GROUPS);
    uint32_t y = node(b, "Attention", 5, (uint32_t[]){q, k, v, keys, values}, DECODER_WIDTH);
    sy_test_graph_int(graph, last_node(b), "num_heads", DECODER_HEADS);
    sy_test_graph_int(graph, last_node(b), "num_kv_heads", DECODER_GROUPS);
    y = reshape_twice(b, y);
    return linear(b, y, "wo", DECODER_WIDTH, DECODER_WIDTH);
}

void decoder_graph_init(decoder_graph *decoder, sy_element_type state_type, bool expose) {
    memset(decoder, 0, sizeof(*decoder));
    decoder->weights = calloc(WEIGHTS_MAX, sizeof(float));
    CHECK(decoder->weights != NULL);
    sy_test_graph_init(&decoder->graph);
    sy_test_graph *graph = &decoder->graph;
    builder b = {.decoder = decoder, .random = 1, .expose = expose};
    uint32_t ids = rows(&b, "ids", SY_VALUE_INPUT, 0);
    uint32_t positions = rows(&b, "positions", SY_VALUE_INPUT, 0);
    uint32_t table = weight(&b, "table", DECODER_VOCABULARY, DECODER_WIDTH);
    uint32_t frequency = weight(&b, "frequency", 1, DECODER_HEAD / 2);
    uint32_t x = node(&b, "Embedding", 2, (uint32_t[]){ids, table}, DECODER_WIDTH);
    uint32_t y = attention(&b, norm(&b, x, "norm1"), positions, frequency, state_type);

    sy_value_kind kind = expose ? SY_VALUE_OUTPUT : SY_VALUE_ACTIVATION;
    uint32_t sums[2] = {rows(&b, "sum", kind, DECODER_WIDTH),
                        rows(&b, "normed", kind, DECODER_WIDTH)};
    uint32_t scale = weight(&b, "norm2", 1, DECODER_WIDTH);
    sy_test_graph_node(graph, "switchyard", "AddRMSNormalization", 1, 3, (uint32_t[]){x, y, scale},
                       2, sums);
    uint32_t gate = linear(&b, sums[1], "wg", DECODER_HIDDEN, DECODER_WIDTH);
    uint32_t up = linear(&b, sums[1], "wu", DECODER_HIDDEN, DECODER_WIDTH);
    uint32_t act = node(&b, "GatedActivation", 2, (uint32_t[]){gate, up}, DECODER_HIDDEN);
    sy_test_graph_string(graph, last_node(&b), "activation", "silu");
    uint32_t down = linear(&b, act, "wd", DECODER_WIDTH, DECODER_HIDDEN);
    uint32_t total = rows(&b, "total", kind, DECODER_WIDTH);
    sy_test_graph_node(graph, "", "Add", 14, 2, (uint32_t[]){sums[0], down}, 1, &total);
    uint32_t logits = rows(&b, "logits", SY_VALUE_OUTPUT, DECODER_VOCABULARY);
    sy_test_graph_node(graph, "switchyard", "Linear", 1, 2, (uint32_t[]){total, table}, 1, &logits);
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_graph_finish(graph, &error), error);
}

void decoder_graph_deinit(decoder_graph *decoder) {
    sy_test_graph_deinit(&decoder->graph);
    free(decoder->weights);
}

sy_state *decoder_state(sy_op_runner *runner, sy_element_type type) {
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description)};
    description.type = type;
    description.width = DECODER_KV_WIDTH;
    description.max_tokens = DECODER_MAX_TOKENS;
    sy_state *state = NULL;
    CHECK_OK(runner->plugin->state_create(runner->device, &description, &state));
    return state;
}
