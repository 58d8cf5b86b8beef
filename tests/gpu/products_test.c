/* SPDX-License-Identifier: Apache-2.0 */
/* Products with weights on a GPU delegate against the reference: every type that the kernels read,
 * one row, few and many, odd sizes, weights that come in pieces. */
#include "kernels/block_samples.h"
#include "kernels/op_compare.h"
#include "switchyard/types.h"

#define TOKENS(bound) sy_test_symbol(SY_SYMBOL_TOKENS, bound)
#define FIXED(n) sy_test_fixed(n)

static const sy_element_type floats[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
static const double float_tolerance[3] = {1e-5, 1e-3, 8e-3};

typedef struct linear {
    sy_element_type weight, type, bias;
    int64_t k, n, n_rows, n_now; /* rows at the bound and in the step */
    bool has_bias;
} linear;

static void linear_case(const linear *l) {
    compare c;
    char what[96];
    int type = l->type == SY_TYPE_F32 ? 0 : l->type == SY_TYPE_F16 ? 1 : 2;
    compare_init(&c, float_tolerance[type]);
    const sy_dimension x_dims[2] = {TOKENS(l->n_rows), FIXED(l->k)};
    const sy_dimension y_dims[2] = {TOKENS(l->n_rows), FIXED(l->n)};
    uint32_t in[3] = {compare_input(&c, l->type, 2, x_dims),
                      compare_weight(&c, l->weight, 2, (int64_t[]){l->n, l->k}), SY_NO_VALUE};
    if (l->has_bias) {
        in[2] = compare_weight(&c, l->bias, 1, &l->n);
    }
    uint32_t y = compare_output(&c, l->type, 2, y_dims);
    sy_test_graph_node(&c.graph, "switchyard", "Linear", 1, l->has_bias ? 3 : 2, in, 1, &y);
    if (l->n_now != l->n_rows) {
        c.symbols[SY_SYMBOL_TOKENS] = l->n_now;
    }
    snprintf(what, sizeof(what), "Linear %u x %u, [%d, %d] x [%d]", l->type, l->weight,
             (int)l->n_now, (int)l->k, (int)l->n);
    CHECK(compare_run(&c, what) != c.may_refuse);
    compare_deinit(&c);
}

/* What the kernels do not read is refused, once. */
static void linear_of_blocks_matches(void) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        const block_type *b = &block_types[i];
        const int64_t k = (int64_t)b->n_elements;
        linear_case(&(linear){b->type, SY_TYPE_F32, SY_TYPE_F32, 3 * k, 67, 1, 1, true});
        linear_case(&(linear){b->type, SY_TYPE_F32, SY_TYPE_F32, 768, 3, 1, 1, true});
        if (!compare_lacks(b->type)) {
            linear_case(&(linear){b->type, floats[i % 3], SY_TYPE_F16, 3 * k, 67, 270, 270, true});
        }
    }
}

static void linear_of_floats_matches(void) {
    static const int64_t row_counts[] = {3, 270}, widths[] = {1, 37, 64, 65, 264};
    for (size_t w = 0; w < 3; w++) {
        for (size_t x = 0; x < 3; x++) {
            for (size_t r = 0; r < 2; r++) {
                int64_t n = row_counts[r], k = widths[(r + w + x) % 5];
                linear_case(&(linear){floats[w], floats[x], floats[r % 3], k, 67, n, n, r == 0});
            }
        }
    }
}

/* Rows at the bound, and in the step: each kernel takes the steps that are its own. */
static void any_step_finds_its_kernel(void) {
    static const int64_t steps[] = {1, 4, 9, 300};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        linear_case(&(linear){SY_TYPE_Q8_0, SY_TYPE_F32, SY_TYPE_F32, 96, 35, 300, steps[i], true});
    }
    linear_case(&(linear){SY_TYPE_Q8_0, SY_TYPE_F32, SY_TYPE_F32, 2048, 3, 1, 1, true});
    linear_case(&(linear){SY_TYPE_Q8_0, SY_TYPE_F32, SY_TYPE_F32, 32, 1, 100, 100, true});
}

static void embedding_matches(void) {
    const int32_t ids[4] = {0, 9, 3, 9};
    for (size_t i = 0; i < N_BLOCK_TYPES + 3; i++) {
        sy_element_type type = i < N_BLOCK_TYPES ? block_types[i].type : floats[i - N_BLOCK_TYPES];
        int64_t k =
            i < N_BLOCK_TYPES ? 2 * (int64_t)block_types[i].n_elements : 35 + (int64_t)i % 2 * 5;
        compare c;
        compare_init(&c, 1e-6);
        const sy_dimension dims[2] = {TOKENS(4), FIXED(k)};
        uint32_t in[2] = {compare_input_i32(&c, dims[0], ids, 4),
                          compare_weight(&c, type, 2, (int64_t[]){10, k})};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
        uint32_t node = sy_test_graph_node(&c.graph, "switchyard", "Embedding", 1, 2, in, 1, &y);
        if (i % 2 == 0) {
            sy_test_graph_float(&c.graph, node, "scale", 25.25);
        }
        CHECK(compare_run(&c, "Embedding") != c.may_refuse);
        compare_deinit(&c);
    }
}

static void wild_ids_are_refused(void) {
    const int32_t wild[3] = {10, -1, 2147483647};
    for (int i = 0; i < 3; i++) {
        compare c;
        compare_init(&c, 0.0);
        const sy_dimension dims[2] = {TOKENS(1), FIXED(32)};
        uint32_t in[2] = {compare_input_i32(&c, dims[0], &wild[i], 1),
                          compare_weight(&c, SY_TYPE_Q8_0, 2, (int64_t[]){10, 32})};
        uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
        sy_test_graph_node(&c.graph, "switchyard", "Embedding", 1, 2, in, 1, &y);
        c.expect = SY_OUT_OF_RANGE;
        compare_run(&c, "Embedding with a wild id");
        compare_deinit(&c);
    }
}

/* More bytes than a binding spans where the delegate is told a limit of 1 MiB. */
static void pieces_match(void) {
    static const sy_element_type types[] = {SY_TYPE_Q4_0, SY_TYPE_Q6_K, SY_TYPE_Q4_K, SY_TYPE_F16};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        linear_case(&(linear){types[i], SY_TYPE_F32, SY_TYPE_F32, 1024, 4099, 1, 1, true});
    }
    linear_case(&(linear){SY_TYPE_Q8_0, SY_TYPE_F32, SY_TYPE_F32, 992, 1000, 257, 257, false});
    linear_case(&(linear){SY_TYPE_F16, SY_TYPE_F16, SY_TYPE_F16, 1021, 1201, 3, 3, true});
    compare c;
    compare_init(&c, 1e-6);
    const int32_t ids[4] = {0, 5999, 3000, 1};
    const sy_dimension dims[2] = {TOKENS(4), FIXED(512)};
    uint32_t in[2] = {compare_input_i32(&c, dims[0], ids, 4),
                      compare_weight(&c, SY_TYPE_Q8_0, 2, (int64_t[]){6000, 512})};
    uint32_t y = compare_output(&c, SY_TYPE_F32, 2, dims);
    sy_test_graph_node(&c.graph, "switchyard", "Embedding", 1, 2, in, 1, &y);
    compare_run(&c, "Embedding in pieces");
    compare_deinit(&c);
}

/* ---- mixtures of experts ---- */
typedef struct experts {
    sy_element_type weight, type;
    int64_t k, n, n_rows, n_used;
    bool per_choice, has_bias;
} experts;

#define N_EXPERTS 6

/* Most rows go to experts 0 and 3 of 6, and none to expert 1. */
static uint32_t choices(compare *c, int64_t n_rows, int64_t n_used) {
    const sy_dimension dims[2] = {TOKENS(n_rows), FIXED(n_used)};
    uint32_t value = compare_input(c, SY_TYPE_I32, 2, dims);
    void *bytes = NULL;
    memcpy(&bytes, &c->inputs[c->n_inputs - 1], sizeof(bytes));
    int32_t *ids = bytes;
    for (int64_t i = 0; i < n_rows * n_used; i++) {
        ids[i] = i < n_rows ? 3 : i % 6 == 1 ? 0 : (int32_t)(i % 6);
    }
    return value;
}

static void experts_case(const experts *e) {
    compare c;
    char what[96];
    int type = e->type == SY_TYPE_F32 ? 0 : e->type == SY_TYPE_F16 ? 1 : 2;
    compare_init(&c, float_tolerance[type]);
    const sy_dimension t = TOKENS(e->n_rows), used = FIXED(e->n_used);
    const sy_dimension x[3] = {t, e->per_choice ? used : FIXED(e->k), FIXED(e->k)};
    const sy_dimension y_dims[3] = {t, used, FIXED(e->n)};
    uint32_t in[4] = {compare_input(&c, e->type, e->per_choice ? 3 : 2, x),
                      compare_weight(&c, e->weight, 3, (int64_t[]){N_EXPERTS, e->n, e->k}),
                      choices(&c, e->n_rows, e->n_used), SY_NO_VALUE};
    if (e->has_bias) {
        in[3] = compare_weight(&c, SY_TYPE_F32, 2, (int64_t[]){N_EXPERTS, e->n});
    }
    uint32_t y = compare_output(&c, e->type, 3, y_dims);
    sy_test_graph_node(&c.graph, "switchyard", "ExpertLinear", 1, e->has_bias ? 4 : 3, in, 1, &y);
    snprintf(what, sizeof(what), "ExpertLinear %u x %u, %d rows", e->type, e->weight,
             (int)e->n_rows);
    CHECK(compare_run(&c, what) != c.may_refuse);
    compare_deinit(&c);
}

static void experts_match(void) {
    static const sy_element_type types[] = {SY_TYPE_Q5_0, SY_TYPE_Q4_1, SY_TYPE_Q4_K,
                                            SY_TYPE_MXFP4};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        int64_t k = sy_type_get(types[i])->n_block_elements;
        experts_case(&(experts){types[i], SY_TYPE_F32, 2 * k, 7, 1, 2, false, false});
        experts_case(&(experts){types[i], SY_TYPE_F32, k, 67, 90, 3, true, true});
        experts_case(&(experts){types[i], SY_TYPE_F16, k, 33, 131, 2, false, true});
    }
    experts_case(&(experts){SY_TYPE_IQ2_S, SY_TYPE_F32, 256, 7, 1, 2, false, false});
    for (int w = 0; w < 3; w++) {
        for (int x = 0; x < 3; x++) {
            bool is_one = (w + x) % 2 == 0;
            experts_case(&(experts){floats[w], floats[x], 37, 131, 1, 1, false, is_one});
            if (w == x) {
                experts_case(&(experts){floats[w], floats[x], 65, 64, 70, 4, true, true});
            }
        }
    }
    experts_case(&(experts){SY_TYPE_Q4_0, SY_TYPE_F32, 2048, 601, 2, 2, false, true});
    experts_case(&(experts){SY_TYPE_Q4_0, SY_TYPE_F32, 2048, 601, 90, 3, false, true});
}

static const sy_test_case cases[] = {
    {"linear_of_blocks_matches", linear_of_blocks_matches},
    {"linear_of_floats_matches", linear_of_floats_matches},
    {"any_step_finds_its_kernel", any_step_finds_its_kernel},
    {"embedding_matches", embedding_matches},
    {"wild_ids_are_refused", wild_ids_are_refused},
    {"pieces_match", pieces_match},
    {"experts_match", experts_match},
};
SY_TEST_MAIN(cases)
