/* SPDX-License-Identifier: Apache-2.0 */
/* Operators of mixtures of experts against the reference, at every ISA level: every block type,
 * rows that crowd one expert and experts without rows. */
#include "block_samples.h"
#include "op_compare.h"

#define TOKENS(bound) sy_test_symbol(SY_SYMBOL_TOKENS, bound)
#define FIXED(n) sy_test_fixed(n)

static const sy_element_type floats[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
static const double float_tolerance[3] = {3e-6, 1e-3, 8e-3};

/* The rows go to experts 0 and 3 of 6, `crowd` of them to expert 3. */
static uint32_t choices(compare *c, int64_t n_rows, int32_t n_used, int64_t crowd) {
    static int32_t ids[1024];
    const sy_dimension dims[2] = {TOKENS(n_rows), FIXED(n_used)};
    for (int64_t i = 0; i < n_rows * n_used; i++) {
        ids[i] = i < crowd ? 3 : (int32_t)(i % 3 == 0 ? 0 : i % 6);
    }
    uint32_t value = compare_input(c, SY_TYPE_I32, 2, dims);
    void *bytes = NULL;
    memcpy(&bytes, &c->inputs[c->n_inputs - 1], sizeof(bytes));
    memcpy(bytes, ids, (size_t)(n_rows * n_used) * sizeof(ids[0]));
    return value;
}

typedef struct product {
    sy_element_type weight, type;
    int64_t k, n, n_rows, n_used;
    bool per_choice, has_bias;
    const char *options;
    double tolerance;
} product;

static void product_case(const product *p) {
    compare c;
    char what[96];
    compare_init(&c, p->tolerance);
    c.tolerance_bf16 = p->weight == SY_TYPE_BF16 ? COMPARE_BF16_ROWS : 0.0;
    const sy_dimension t = TOKENS(p->n_rows), used = FIXED(p->n_used);
    const sy_dimension x[3] = {t, p->per_choice ? used : FIXED(p->k), FIXED(p->k)};
    const sy_dimension y_dims[3] = {t, used, FIXED(p->n)};
    uint32_t in[4] = {compare_input(&c, p->type, p->per_choice ? 3 : 2, x),
                      compare_weight(&c, p->weight, 3, (int64_t[]){6, p->n, p->k}),
                      choices(&c, p->n_rows, (int32_t)p->n_used, p->n_rows), SY_NO_VALUE};
    if (p->has_bias) {
        in[3] = compare_weight(&c, SY_TYPE_F32, 2, (int64_t[]){6, p->n});
    }
    uint32_t y = compare_output(&c, p->type, 3, y_dims);
    sy_test_graph_node(&c.graph, "switchyard", "ExpertLinear", 1, p->has_bias ? 4 : 3, in, 1, &y);
    c.options = p->options;
    snprintf(what, sizeof(what), "ExpertLinear type %u x type %u, %d rows", p->type, p->weight,
             (int)p->n_rows);
    compare_run(&c, what);
    compare_deinit(&c);
}

static void products_of_blocks_match(void) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        const block_type *b = &block_types[i];
        const int64_t k = (int64_t)b->n_elements;
        product_case(
            &(product){b->type, SY_TYPE_F32, 2 * k, 7, 1, 2, false, false, "activations=16", 1e-4});
        product_case(
            &(product){b->type, SY_TYPE_F32, k, 131, 90, 3, true, true, "activations=16", 1e-4});
        product_case(
            &(product){b->type, SY_TYPE_F32, k, 33, 5, 2, false, true, "activations=8", 1.5e-2});
        product_case(&(product){b->type, SY_TYPE_F16, k, 5, 3, 2, true, false, NULL, 1e-3});
    }
}

static void products_of_floats_match(void) {
    for (int w = 0; w < 3; w++) {
        for (int x = 0; x < 3; x++) {
            double tolerance = x == 0 ? 5e-6 : float_tolerance[x];
            product_case(
                &(product){floats[w], floats[x], 37, 131, 1, 1, false, false, NULL, tolerance});
            product_case(
                &(product){floats[w], floats[x], 65, 64, 69, 4, true, true, NULL, tolerance});
        }
    }
}

static void wild_experts_are_refused(void) {
    static const int32_t wild[3] = {2, -1, 2147483647};
    for (int i = 0; i < 3; i++) {
        compare c;
        compare_init(&c, 0.0);
        const sy_dimension x[2] = {TOKENS(1), FIXED(32)}, one[2] = {TOKENS(1), FIXED(1)};
        const sy_dimension y_dims[3] = {TOKENS(1), FIXED(1), FIXED(4)};
        uint32_t in[3] = {compare_input(&c, SY_TYPE_F32, 2, x),
                          compare_weight(&c, SY_TYPE_Q8_0, 3, (int64_t[]){2, 4, 32}),
                          compare_input(&c, SY_TYPE_I32, 2, one)};
        void *bytes = NULL;
        memcpy(&bytes, &c.inputs[c.n_inputs - 1], sizeof(bytes));
        memcpy(bytes, &wild[i], sizeof(wild[i]));
        uint32_t y = compare_output(&c, SY_TYPE_F32, 3, y_dims);
        sy_test_graph_node(&c.graph, "switchyard", "ExpertLinear", 1, 3, in, 1, &y);
        c.expect = SY_OUT_OF_RANGE;
        compare_run(&c, "ExpertLinear with a wild expert");
        compare_deinit(&c);
    }
}

static void routers_match(void) {
    static const char *const gatings[3] = {"softmax", "softmax_chosen", "sigmoid"};
    for (int i = 0; i < 36; i++) {
        const int64_t n = i % 2 == 0 ? 61 : 8;
        compare c;
        compare_init(&c, 2e-6);
        const sy_dimension x[2] = {TOKENS(19), FIXED(n)}, y_dims[2] = {TOKENS(19), FIXED(4)};
        uint32_t in[2] = {compare_input(&c, floats[i % 3], 2, x), SY_NO_VALUE};
        bool has_bias = i / 18 == 1;
        in[1] = has_bias ? compare_weight(&c, SY_TYPE_F32, 1, &n) : SY_NO_VALUE;
        uint32_t out[2] = {compare_output(&c, SY_TYPE_I32, 2, y_dims),
                           compare_output(&c, SY_TYPE_F32, 2, y_dims)};
        uint32_t node = sy_test_graph_node(&c.graph, "switchyard", "ExpertRouter", 1,
                                           has_bias ? 2 : 1, in, 2, out);
        sy_test_graph_string(&c.graph, node, "gating", gatings[i / 6 % 3]);
        sy_test_graph_int(&c.graph, node, "num_used", 4);
        sy_test_graph_int(&c.graph, node, "normalize", i / 3 % 2);
        sy_test_graph_float(&c.graph, node, "scale", 2.5);
        compare_run(&c, "ExpertRouter");
        compare_deinit(&c);
    }
}

static void sums_match(void) {
    for (int f = 0; f < 3; f++) {
        compare c;
        compare_init(&c, float_tolerance[f]);
        const sy_dimension x[3] = {TOKENS(13), FIXED(5), FIXED(2051)};
        const sy_dimension y_dims[2] = {TOKENS(13), FIXED(2051)};
        uint32_t in[2] = {compare_input(&c, floats[f], 3, x), compare_input(&c, SY_TYPE_F32, 2, x)};
        uint32_t y = compare_output(&c, floats[f], 2, y_dims);
        sy_test_graph_node(&c.graph, "switchyard", "ExpertSum", 1, 2, in, 1, &y);
        compare_run(&c, "ExpertSum");
        compare_deinit(&c);
    }
}

static void clamped_activations_match(void) {
    for (int f = 0; f < 3; f++) {
        compare c;
        compare_init(&c, float_tolerance[f]);
        const sy_dimension dims[2] = {TOKENS(5), FIXED(1201)};
        uint32_t in[2] = {compare_input(&c, floats[f], 2, dims),
                          compare_input(&c, floats[f], 2, dims)};
        uint32_t y = compare_output(&c, floats[f], 2, dims);
        uint32_t node =
            sy_test_graph_node(&c.graph, "switchyard", "ClampedSwiGLU", 1, 2, in, 1, &y);
        sy_test_graph_float(&c.graph, node, "alpha", 1.702);
        sy_test_graph_float(&c.graph, node, "limit", 0.6);
        compare_run(&c, "ClampedSwiGLU");
        compare_deinit(&c);
    }
}

static const sy_test_case cases[] = {
    {"products_of_blocks_match", products_of_blocks_match},
    {"products_of_floats_match", products_of_floats_match},
    {"wild_experts_are_refused", wild_experts_are_refused},
    {"routers_match", routers_match},
    {"sums_match", sums_match},
    {"clamped_activations_match", clamped_activations_match},
};
SY_TEST_MAIN(cases)
