/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator that the CPU delegate claims, through the ABI, against the reference: types, odd
 * shapes, ragged sequences, states. */
#include "block_samples.h"
#include "op_compare.h"

#define TOKENS(bound) sy_test_symbol(SY_SYMBOL_TOKENS, bound)
#define FIXED(n) sy_test_fixed(n)

static const sy_element_type floats[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
static const double float_tolerance[3] = {3e-6, 1e-3, 8e-3};

static void linear_case(sy_element_type weight, sy_element_type type, int64_t k, int64_t n,
                        int64_t t, bool has_bias, const char *options, double tolerance) {
    compare c;
    char what[80];
    compare_init(&c, tolerance);
    sy_dimension x_dims[2] = {TOKENS(t), FIXED(k)}, y_dims[2] = {TOKENS(t), FIXED(n)};
    uint32_t inputs[3] = {compare_input(&c, type, 2, x_dims),
                          compare_weight(&c, weight, 2, (int64_t[]){n, k}),
                          has_bias ? compare_weight(&c, type, 1, &n) : SY_NO_VALUE};
    uint32_t y = compare_output(&c, type, 2, y_dims);
    sy_test_graph_node(&c.graph, "switchyard", "Linear", 1, has_bias ? 3 : 2, inputs, 1, &y);
    c.options = options;
    c.tolerance_bf16 = weight == SY_TYPE_BF16 ? COMPARE_BF16_ROWS : 0.0;
    snprintf(what, sizeof(what), "Linear type %u x type %u [%d, %d] x [%d]", type, weight, (int)t,
             (int)k, (int)n);
    compare_run(&c, what);
    compare_deinit(&c);
}

static void linear_blocks_match(void) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        const block_type *b = &block_types[i];
        linear_case(b->type, SY_TYPE_F32, 2 * b->n_elements, 7, 1, false, "activations=16", 1e-4);
        linear_case(b->type, SY_TYPE_F32, 3 * b->n_elements, 150, 6, true, "activations=16", 1e-4);
        linear_case(b->type, SY_TYPE_F32, b->n_elements, 67, 3, true, "activations=8", 1.5e-2);
        linear_case(b->type, SY_TYPE_F16, b->n_elements, 5, 2, true, NULL, 1e-3);
    }
}

static void linear_plain_matches(void) {
    static const char *const xnnpack[2] = {"xnnpack=on", "xnnpack=off"};
    for (int w = 0; w < 3; w++) {
        for (int x = 0; x < 3; x++) {
            for (int o = 0; o < 2; o++) {
                double tolerance = x == 0 ? 5e-6 : float_tolerance[x];
                linear_case(floats[w], floats[x], 37, 131, 1, false, xnnpack[o], tolerance);
                linear_case(floats[w], floats[x], 65, 64, 69, true, xnnpack[o], tolerance);
                linear_case(floats[w], floats[x], 1, 1, 5, true, xnnpack[o], tolerance);
                linear_case(floats[w], floats[x], 257, 261, 5, true, xnnpack[o], 4 * tolerance);
            }
        }
    }
}

static void embedding_matches(void) {
    const int32_t ids[4] = {0, 9, 3, 9};
    for (size_t i = 0; i < N_BLOCK_TYPES + 3; i++) {
        sy_element_type type = i < N_BLOCK_TYPES ? block_types[i].type : floats[i - N_BLOCK_TYPES];
        int64_t k = i < N_BLOCK_TYPES ? 2 * (int64_t)block_types[i].n_elements : 35;
        compare c;
        compare_init(&c, 1e-6);
        sy_dimension dims[2] = {TOKENS(4), FIXED(k)};
        uint32_t inputs[2] = {compare_input_i32(&c, dims[0], ids, 4),
                              compare_weight(&c, type, 2, (int64_t[]){10, k})};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
        uint32_t node =
            sy_test_graph_node(&c.graph, "switchyard", "Embedding", 1, 2, inputs, 1, &y);
        if (i % 2 == 0) {
            sy_test_graph_float(&c.graph, node, "scale", 25.25);
        }
        compare_run(&c, "Embedding");
        compare_deinit(&c);
    }
}

static void embedding_refuses_wild_ids(void) {
    const int32_t wild[3] = {10, -1, 2147483647};
    for (int i = 0; i < 3; i++) {
        compare c;
        compare_init(&c, 0.0);
        sy_dimension dims[2] = {TOKENS(1), FIXED(32)};
        uint32_t inputs[2] = {compare_input_i32(&c, dims[0], &wild[i], 1),
                              compare_weight(&c, SY_TYPE_Q8_0, 2, (int64_t[]){10, 32})};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
        sy_test_graph_node(&c.graph, "switchyard", "Embedding", 1, 2, inputs, 1, &y);
        c.expect = SY_OUT_OF_RANGE;
        compare_run(&c, "Embedding with a wild id");
        compare_deinit(&c);
    }
}

static void norm_case(const char *op, uint32_t version, sy_element_type type, double tolerance,
                      int64_t k, bool has_bias) {
    compare c;
    compare_init(&c, tolerance);
    sy_dimension dims[2] = {TOKENS(11), FIXED(k)};
    bool is_add = strcmp(op, "AddRMSNormalization") == 0;
    uint32_t inputs[3] = {SY_NO_VALUE, SY_NO_VALUE, SY_NO_VALUE}, outputs[2] = {0, 0}, n = 0;
    inputs[n++] = compare_input(&c, type, 2, dims);
    if (is_add) {
        inputs[n++] = compare_input(&c, type, 2, dims);
    }
    inputs[n++] = compare_weight(&c, SY_TYPE_F32, 1, &k);
    if (has_bias) {
        inputs[n++] = compare_weight(&c, SY_TYPE_F32, 1, &k);
    }
    for (uint32_t i = 0; i < (is_add ? 2u : 1u); i++) {
        outputs[i] = compare_output(&c, type, 2, dims);
    }
    uint32_t node = sy_test_graph_node(&c.graph, is_add ? "switchyard" : "", op, version, n, inputs,
                                       is_add ? 2 : 1, outputs);
    sy_test_graph_float(&c.graph, node, "epsilon", 1e-5);
    compare_run(&c, op);
    compare_deinit(&c);
}

static void norms_match(void) {
    static const int64_t widths[] = {1, 7, 64, 129};
    for (int f = 0; f < 3; f++) {
        for (size_t i = 0; i < 4; i++) {
            double tolerance = float_tolerance[f];
            norm_case("RMSNormalization", 23, floats[f], tolerance, widths[i], false);
            norm_case("LayerNormalization", 17, floats[f], 2 * tolerance, widths[i] + 1, true);
            norm_case("LayerNormalization", 17, floats[f], 2 * tolerance, widths[i] + 2, false);
            norm_case("AddRMSNormalization", 1, floats[f], 2 * tolerance, widths[i], false);
        }
    }
}

static void unary_case(const char *domain, const char *op, uint32_t version, sy_element_type type,
                       double tolerance, const char *attribute, double number, const char *text) {
    compare c;
    compare_init(&c, tolerance);
    sy_dimension dims[2] = {TOKENS(13), FIXED(337)};
    uint32_t x = compare_input(&c, type, 2, dims), y = compare_output(&c, type, 2, dims);
    uint32_t node = sy_test_graph_node(&c.graph, domain, op, version, 1, &x, 1, &y);
    if (text != NULL) {
        sy_test_graph_string(&c.graph, node, attribute, text);
    } else if (attribute != NULL) {
        sy_test_graph_float(&c.graph, node, attribute, number);
    }
    compare_run(&c, op);
    compare_deinit(&c);
}

static void activations_match(void) {
    static const struct {
        const char *op;
        uint32_t version;
    } plain[] = {{"Relu", 14}, {"Sigmoid", 13}, {"Tanh", 13}, {"Exp", 13},     {"Erf", 13},
                 {"Abs", 13},  {"Neg", 13},     {"Gelu", 20}, {"Softmax", 13}, {"Identity", 13}};
    for (int f = 0; f < 3; f++) {
        double tolerance = float_tolerance[f];
        for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
            unary_case("", plain[i].op, plain[i].version, floats[f], tolerance, NULL, 0.0, NULL);
        }
        unary_case("", "Gelu", 20, floats[f], tolerance, "approximate", 0.0, "tanh");
        unary_case("", "Swish", 24, floats[f], tolerance, "alpha", 1.7, NULL);
        unary_case("switchyard", "Softcap", 1, floats[f], tolerance, "cap", 0.7, NULL);
    }
}

static void gated_activations_match(void) {
    static const char *const names[] = {"silu", "gelu_tanh", "gelu", "relu", "sigmoid"};
    for (size_t i = 0; i < 5; i++) {
        for (int f = 0; f < 3; f++) {
            compare c;
            compare_init(&c, float_tolerance[f]);
            sy_dimension dims[2] = {TOKENS(9), FIXED(1001)};
            uint32_t in[2] = {compare_input(&c, floats[f], 2, dims),
                              compare_input(&c, floats[f], 2, dims)};
            uint32_t y = compare_output(&c, floats[f], 2, dims);
            uint32_t node =
                sy_test_graph_node(&c.graph, "switchyard", "GatedActivation", 1, 2, in, 1, &y);
            sy_test_graph_string(&c.graph, node, "activation", names[i]);
            compare_run(&c, names[i]);
            compare_deinit(&c);
        }
    }
}

static void binary_case(const char *op, sy_element_type type, double tolerance, uint32_t a_rank,
                        const sy_dimension *a_dims, uint32_t b_rank, const sy_dimension *b_dims,
                        bool a_is_larger) {
    compare c;
    compare_init(&c, tolerance);
    uint32_t in[2] = {compare_input(&c, type, a_rank, a_dims),
                      compare_input(&c, type, b_rank, b_dims)};
    uint32_t y =
        compare_output(&c, type, a_is_larger ? a_rank : b_rank, a_is_larger ? a_dims : b_dims);
    sy_test_graph_node(&c.graph, "", op, 14, 2, in, 1, &y);
    compare_run(&c, op);
    compare_deinit(&c);
}

static void arithmetic_matches(void) {
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
    for (int f = 0; f < 3; f++) {
        for (int i = 0; i < 4; i++) {
            const sy_dimension whole[3] = {TOKENS(5), FIXED(3), FIXED(1201)};
            const sy_dimension row[1] = {FIXED(1201)}, one[1] = {FIXED(1)};
            const sy_dimension middle[3] = {TOKENS(5), FIXED(1), FIXED(1201)};
            const sy_dimension column[2] = {FIXED(3), FIXED(1)};
            double t = float_tolerance[f];
            binary_case(ops[i], floats[f], t, 3, whole, 3, whole, true);
            binary_case(ops[i], floats[f], t, 3, whole, 1, row, true);
            binary_case(ops[i], floats[f], t, 1, one, 3, whole, false);
            binary_case(ops[i], floats[f], t, 3, whole, 3, middle, true);
            binary_case(ops[i], floats[f], t, 2, column, 3, whole, false);
        }
    }
}

/* Neither side has the shape of the result. */
static void outer_sum_matches(void) {
    compare c;
    compare_init(&c, 1e-6);
    sy_dimension a[3] = {TOKENS(5), FIXED(1), FIXED(7)}, b[2] = {FIXED(3), FIXED(1)};
    sy_dimension y_dims[3] = {TOKENS(5), FIXED(3), FIXED(7)};
    uint32_t in[2] = {compare_input(&c, SY_TYPE_F32, 3, a), compare_input(&c, SY_TYPE_F32, 2, b)};
    uint32_t y = compare_output(&c, SY_TYPE_F32, 3, y_dims);
    sy_test_graph_node(&c.graph, "", "Add", 14, 2, in, 1, &y);
    compare_run(&c, "outer Add");
    compare_deinit(&c);
}

static void matmul_case(uint32_t a_rank, const sy_dimension *a, uint32_t b_rank,
                        const sy_dimension *b, uint32_t y_rank, const sy_dimension *y_dims) {
    compare c;
    compare_init(&c, 3e-6);
    uint32_t in[2] = {compare_input(&c, SY_TYPE_F32, a_rank, a),
                      compare_input(&c, SY_TYPE_F32, b_rank, b)};
    uint32_t y = compare_output(&c, SY_TYPE_F32, y_rank, y_dims);
    sy_test_graph_node(&c.graph, "", "MatMul", 13, 2, in, 1, &y);
    compare_run(&c, "MatMul");
    compare_deinit(&c);
}

static void matmul_matches(void) {
    const sy_dimension t = TOKENS(13);
    matmul_case(2, (sy_dimension[]){t, FIXED(33)}, 2, (sy_dimension[]){FIXED(33), FIXED(70)}, 2,
                (sy_dimension[]){t, FIXED(70)});
    matmul_case(3, (sy_dimension[]){FIXED(3), t, FIXED(5)}, 3,
                (sy_dimension[]){FIXED(3), FIXED(5), t}, 3, (sy_dimension[]){FIXED(3), t, t});
    matmul_case(4, (sy_dimension[]){FIXED(2), FIXED(1), t, FIXED(5)}, 3,
                (sy_dimension[]){FIXED(3), FIXED(5), FIXED(4)}, 4,
                (sy_dimension[]){FIXED(2), FIXED(3), t, FIXED(4)});
}

static void gemm_matches(void) {
    const sy_dimension t = TOKENS(11);
    const sy_dimension addends[4][2] = {
        {FIXED(1), FIXED(37)}, {t, FIXED(37)}, {t, FIXED(1)}, {FIXED(1), FIXED(1)}};
    for (int i = 0; i < 8; i++) {
        compare c;
        compare_init(&c, 3e-6);
        bool trans_b = i % 2 == 1;
        sy_dimension a[2] = {t, FIXED(50)}, y_dims[2] = {t, FIXED(37)};
        int64_t b_dims[2] = {trans_b ? 37 : 50, trans_b ? 50 : 37};
        uint32_t in[3] = {compare_input(&c, SY_TYPE_F32, 2, a),
                          compare_weight(&c, SY_TYPE_F32, 2, b_dims),
                          compare_input(&c, SY_TYPE_F32, 2, addends[i / 2])};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, y_dims);
        uint32_t node = sy_test_graph_node(&c.graph, "", "Gemm", 13, 3, in, 1, &y);
        sy_test_graph_float(&c.graph, node, "alpha", i < 4 ? 1.0 : 0.5);
        sy_test_graph_float(&c.graph, node, "beta", i < 4 ? 1.0 : -2.0);
        sy_test_graph_int(&c.graph, node, "transB", trans_b ? 1 : 0);
        compare_run(&c, "Gemm");
        compare_deinit(&c);
    }
}

static void rotary_matches(void) {
    const int32_t positions[5] = {0, 1, 100000, 17, 4095};
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        for (int64_t pairs = 3; pairs <= 16; pairs += 13) {
            for (int f = 0; f < 3; f++) {
                compare c;
                compare_init(&c, f == 0 ? 2e-6 : float_tolerance[f]);
                sy_dimension dims[2] = {TOKENS(5), FIXED(3 * 32)};
                uint32_t in[3] = {compare_input(&c, floats[f], 2, dims),
                                  compare_input_i32(&c, dims[0], positions, 5),
                                  compare_weight(&c, SY_TYPE_F32, 1, &pairs)};
                uint32_t y = compare_output(&c, floats[f], 2, dims);
                uint32_t node =
                    sy_test_graph_node(&c.graph, "switchyard", "RotaryEmbedding", 1, 3, in, 1, &y);
                sy_test_graph_int(&c.graph, node, "num_heads", 3);
                sy_test_graph_int(&c.graph, node, "interleaved", interleaved);
                sy_test_graph_float(&c.graph, node, "magnitude", 1.25);
                compare_run(&c, "RotaryEmbedding");
                compare_deinit(&c);
            }
        }
    }
}

typedef struct attention_shape {
    int64_t n_heads, n_groups, d, dv, window;
    sy_element_type type, state; /* state SY_TYPE_INVALID: without */
    double softcap;
    bool has_sinks, not_causal, only_reads;
    double tolerance;
} attention_shape;

static void attention_case(const attention_shape *a, uint32_t n_past) {
    compare c;
    char what[120];
    compare_init(&c, a->tolerance);
    sy_dimension q[2] = {TOKENS(23), FIXED(a->n_heads * a->d)};
    sy_dimension k[2] = {TOKENS(23), FIXED(a->n_groups * a->d)};
    sy_dimension v[2] = {TOKENS(23), FIXED(a->n_groups * a->dv)};
    sy_dimension o[2] = {TOKENS(23), FIXED(a->n_heads * a->dv)};
    bool has_states = a->state != SY_TYPE_INVALID;
    uint32_t in[6];
    memset(in, 0xff, sizeof(in));
    in[0] = compare_input(&c, a->type, 2, q);
    if (!a->only_reads) {
        in[1] = compare_input(&c, a->type, 2, k);
        in[2] = compare_input(&c, a->type, 2, v);
    }
    if (has_states) {
        in[3] = compare_state(&c, a->state, SY_STATE_KEY, (uint32_t)(a->n_groups * a->d), 300);
        in[4] = compare_state(&c, a->state, SY_STATE_VALUE, (uint32_t)(a->n_groups * a->dv), 300);
    }
    in[5] = a->has_sinks ? compare_weight(&c, SY_TYPE_F32, 1, &a->n_heads) : SY_NO_VALUE;
    uint32_t y = compare_output(&c, a->type, 2, o);
    uint32_t node = sy_test_graph_node(&c.graph, "switchyard", "Attention", 1, 6, in, 1, &y);
    sy_test_graph_int(&c.graph, node, "num_heads", a->n_heads);
    sy_test_graph_int(&c.graph, node, "num_kv_heads", a->n_groups);
    sy_test_graph_float(&c.graph, node, "softcap", a->softcap);
    sy_test_graph_int(&c.graph, node, "window", a->window);
    sy_test_graph_int(&c.graph, node, "causal", a->not_causal ? 0 : 1);
    uint32_t past = has_states ? n_past : 0;
    c.n_past_rows = past;
    c.n_sequences = 3; /* 11 + 1 + 11 rows */
    c.sequences[0] = (sy_sequence){0, 11, past, 0};
    c.sequences[1] = (sy_sequence){11, 1, past > 2 ? past - 2 : past, 0};
    c.sequences[2] = (sy_sequence){12, 11, past > 1 ? past - 1 : past, 0};
    if (a->only_reads) {
        c.n_past_rows = past + 23;
    }
    snprintf(what, sizeof(what),
             "Attention H %d G %d D %d Dv %d window %d type %u state %u past %u", (int)a->n_heads,
             (int)a->n_groups, (int)a->d, (int)a->dv, (int)a->window, a->type, a->state, past);
    compare_run(&c, what);
    compare_deinit(&c);
}

static void attention_matches(void) {
    const sy_element_type none = SY_TYPE_INVALID, f32 = SY_TYPE_F32, f16 = SY_TYPE_F16;
    const attention_shape shapes[] = {
        {4, 4, 16, 16, 0, f32, f32, 0.0, false, false, false, 3e-6},
        {4, 2, 64, 64, 0, f32, f16, 0.0, false, false, false, 3e-6},
        {6, 2, 20, 12, 0, f32, SY_TYPE_BF16, 0.0, true, false, false, 3e-6},
        {8, 4, 8, 8, 0, f32, SY_TYPE_Q8_0, 0.0, false, false, false, 3e-6},
        {8, 4, 8, 8, 0, f32, SY_TYPE_Q4_0, 2.0, false, false, false, 3e-6},
        {4, 2, 32, 64, 5, f32, f16, 0.0, true, false, false, 3e-6},
        {2, 1, 128, 128, 70, f32, f32, 1.5, true, false, false, 3e-6},
        {3, 3, 33, 7, 1, f32, f32, 0.0, false, false, false, 3e-6},
        {4, 2, 64, 64, 0, f32, f16, 0.0, false, false, true, 3e-6},
        {4, 2, 24, 24, 0, f32, none, 0.0, false, false, false, 3e-6},
        {4, 2, 24, 24, 3, f32, none, 0.0, true, true, false, 3e-6},
        {4, 4, 24, 24, 0, f32, none, 0.0, false, true, false, 3e-6},
        {4, 2, 32, 32, 0, f16, f16, 0.0, false, false, false, 1e-3},
        {4, 2, 32, 32, 0, SY_TYPE_BF16, SY_TYPE_BF16, 0.0, false, false, false, 8e-3},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        attention_case(&shapes[i], 0);
        if (shapes[i].state != none) {
            attention_case(&shapes[i], 3);
            attention_case(&shapes[i], 131);
        }
    }
}

static void attention_refuses_a_full_state(void) {
    compare c;
    compare_init(&c, 0.0);
    sy_dimension q[2] = {TOKENS(4), FIXED(8)};
    uint32_t in[5];
    for (int i = 0; i < 3; i++) {
        in[i] = compare_input(&c, SY_TYPE_F32, 2, q);
    }
    in[3] = compare_state(&c, SY_TYPE_F32, SY_STATE_KEY, 8, 6);
    in[4] = compare_state(&c, SY_TYPE_F32, SY_STATE_VALUE, 8, 6);
    uint32_t y = compare_output(&c, SY_TYPE_F32, 2, q);
    uint32_t node = sy_test_graph_node(&c.graph, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(&c.graph, node, "num_heads", 1);
    sy_test_graph_int(&c.graph, node, "num_kv_heads", 1);
    c.n_sequences = 1;
    c.sequences[0] = (sy_sequence){0, 4, 3, 0};
    c.n_past_rows = 3;
    c.expect = SY_OUT_OF_RANGE;
    compare_run(&c, "Attention past the end of its state");
    compare_deinit(&c);
}

/* Sequences with less and more behind them than the kernel reads, and a step longer than a task. */
static void causal_convolution_matches(void) {
    for (int64_t length = 1; length <= 4; length += 3) {
        compare c;
        compare_init(&c, 3e-6);
        sy_dimension dims[2] = {TOKENS(23), FIXED(48)};
        const int64_t w[2] = {48, length};
        uint32_t in[3] = {compare_input(&c, SY_TYPE_F32, 2, dims),
                          compare_weight(&c, SY_TYPE_F32, 2, w),
                          compare_state(&c, SY_TYPE_F32, SY_STATE_RECURRENT, 48, 60)};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
        sy_test_graph_node(&c.graph, "switchyard", "CausalConvolution", 1, 3, in, 1, &y);
        c.n_sequences = 3;
        c.sequences[0] = (sy_sequence){3, 19, 2, 0};
        c.sequences[1] = (sy_sequence){0, 3, 0, 0};
        c.sequences[2] = (sy_sequence){22, 1, 17, 0};
        c.n_past_rows = 17;
        compare_run(&c, "CausalConvolution");
        compare_deinit(&c);
    }
}

static void gather_and_reshape_match(void) {
    const int32_t ids[3] = {4, 0, -1};
    for (int f = 0; f < 3; f++) {
        compare c;
        compare_init(&c, 0.0);
        sy_dimension x_dims[2] = {TOKENS(5), FIXED(12)};
        sy_dimension r = sy_test_symbol(SY_SYMBOL_OUTPUTS, 3);
        sy_dimension y_dims[2] = {r, FIXED(12)}, z_dims[3] = {r, FIXED(3), FIXED(4)};
        uint32_t in[2] = {compare_input(&c, floats[f], 2, x_dims),
                          compare_input_i32(&c, r, ids, 3)};
        uint32_t y = compare_inner(&c, floats[f], 2, y_dims);
        uint32_t node = sy_test_graph_node(&c.graph, "", "Gather", 13, 2, in, 1, &y);
        sy_test_graph_int(&c.graph, node, "axis", 0);
        uint32_t shape[2] = {y, compare_weight_i64(&c, (const int64_t[]){-1, 3, 4}, 3)};
        uint32_t z = compare_output(&c, floats[f], 3, z_dims);
        sy_test_graph_node(&c.graph, "", "Reshape", 14, 2, shape, 1, &z);
        sy_dimension folded_dims[2] = {sy_test_symbol(SY_SYMBOL_OUTPUTS, 9), FIXED(4)};
        folded_dims[0].scale = 3;
        uint32_t folded = compare_output(&c, floats[f], 2, folded_dims);
        shape[1] = compare_weight_i64(&c, (const int64_t[]){-1, 4}, 2);
        sy_test_graph_node(&c.graph, "", "Reshape", 14, 2, shape, 1, &folded);
        compare_run(&c, "Gather and Reshape");
        compare_deinit(&c);
    }
}

static const sy_test_case cases[] = {
    {"linear_blocks_match", linear_blocks_match},
    {"linear_plain_matches", linear_plain_matches},
    {"embedding_matches", embedding_matches},
    {"embedding_refuses_wild_ids", embedding_refuses_wild_ids},
    {"norms_match", norms_match},
    {"activations_match", activations_match},
    {"gated_activations_match", gated_activations_match},
    {"arithmetic_matches", arithmetic_matches},
    {"outer_sum_matches", outer_sum_matches},
    {"matmul_matches", matmul_matches},
    {"gemm_matches", gemm_matches},
    {"rotary_matches", rotary_matches},
    {"attention_matches", attention_matches},
    {"attention_refuses_a_full_state", attention_refuses_a_full_state},
    {"causal_convolution_matches", causal_convolution_matches},
    {"gather_and_reshape_match", gather_and_reshape_match},
};
SY_TEST_MAIN(cases)
