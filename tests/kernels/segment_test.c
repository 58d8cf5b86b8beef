/* SPDX-License-Identifier: Apache-2.0 */
/* A whole transformer layer as one segment: against the reference, and equal bits however a prompt
 * is cut into steps, batched with another sequence, or spread over workers. */
#include "kernels.h"
#include "op_compare.h"

#define WIDTH 64
#define HEADS 4
#define GROUPS 2
#define HIDDEN 96
#define VOCABULARY 101
#define ROWS 16u
#define MAX_TOKENS 40u

typedef struct model {
    compare c;                     /* graph and weights only */
    uint32_t ids, positions, rows; /* inputs */
} model;

static uint32_t tokens_by(model *m, int64_t width) {
    sy_dimension dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, ROWS), sy_test_fixed(width)};
    return compare_inner(&m->c, SY_TYPE_F32, 2, dims);
}
static uint32_t linear(model *m, uint32_t x, sy_element_type type, int64_t n, int64_t k) {
    uint32_t in[2] = {x, compare_weight(&m->c, type, 2, (int64_t[]){n, k})}, y = tokens_by(m, n);
    sy_test_graph_node(&m->c.graph, "switchyard", "Linear", 1, 2, in, 1, &y);
    return y;
}
static uint32_t rotary(model *m, uint32_t x, uint32_t frequency, int64_t n_heads, int64_t width) {
    uint32_t in[3] = {x, m->positions, frequency}, y = tokens_by(m, width);
    uint32_t node =
        sy_test_graph_node(&m->c.graph, "switchyard", "RotaryEmbedding", 1, 3, in, 1, &y);
    sy_test_graph_int(&m->c.graph, node, "num_heads", n_heads);
    return y;
}

static uint32_t attention(model *m, uint32_t x, sy_element_type weight, sy_element_type state) {
    const int64_t key_width = WIDTH / HEADS * GROUPS, pairs = WIDTH / HEADS / 2;
    uint32_t q = linear(m, x, weight, WIDTH, WIDTH), k = linear(m, x, weight, key_width, WIDTH);
    uint32_t v = linear(m, x, weight, key_width, WIDTH), y = tokens_by(m, WIDTH);
    uint32_t frequency = compare_weight(&m->c, SY_TYPE_F32, 1, &pairs);
    uint32_t in[5] = {rotary(m, q, frequency, HEADS, WIDTH),
                      rotary(m, k, frequency, GROUPS, key_width), v,
                      compare_state(&m->c, state, SY_STATE_KEY, (uint32_t)key_width, MAX_TOKENS),
                      compare_state(&m->c, state, SY_STATE_VALUE, (uint32_t)key_width, MAX_TOKENS)};
    uint32_t node = sy_test_graph_node(&m->c.graph, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(&m->c.graph, node, "num_heads", HEADS);
    sy_test_graph_int(&m->c.graph, node, "num_kv_heads", GROUPS);
    return linear(m, y, weight, WIDTH, WIDTH);
}

static uint32_t feed_forward(model *m, uint32_t x, sy_element_type weight) {
    uint32_t in[2] = {linear(m, x, weight, HIDDEN, WIDTH), linear(m, x, weight, HIDDEN, WIDTH)};
    uint32_t y = tokens_by(m, HIDDEN);
    uint32_t node =
        sy_test_graph_node(&m->c.graph, "switchyard", "GatedActivation", 1, 2, in, 1, &y);
    sy_test_graph_string(&m->c.graph, node, "activation", "silu");
    return linear(m, y, weight, WIDTH, HIDDEN);
}

/* ids -> logits of the rows in `rows` */
static void model_build(model *m, sy_element_type weight, sy_element_type state) {
    const int64_t width = WIDTH;
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, ROWS),
                 r = sy_test_symbol(SY_SYMBOL_OUTPUTS, ROWS);
    random_state = 77;
    compare_init(&m->c, 0.0);
    m->ids = sy_test_graph_value(&m->c.graph, "ids", SY_VALUE_INPUT, SY_TYPE_I32, 1, &t);
    m->positions =
        sy_test_graph_value(&m->c.graph, "positions", SY_VALUE_INPUT, SY_TYPE_I32, 1, &t);
    m->rows = sy_test_graph_value(&m->c.graph, "rows", SY_VALUE_INPUT, SY_TYPE_I32, 1, &r);
    uint32_t x = tokens_by(m, WIDTH), h = tokens_by(m, WIDTH);
    uint32_t table = compare_weight(&m->c, weight, 2, (int64_t[]){VOCABULARY, WIDTH});
    uint32_t scale = compare_weight(&m->c, SY_TYPE_F32, 1, &width);
    float *factors = m->c.weights[m->c.n_weights - 1];
    random_floats(factors, WIDTH, 0.02f); /* keeps scores small, so that softmax is no argmax */
    sy_test_graph_node(&m->c.graph, "switchyard", "Embedding", 1, 2, (uint32_t[]){m->ids, table}, 1,
                       &x);
    uint32_t node = sy_test_graph_node(&m->c.graph, "", "RMSNormalization", 23, 2,
                                       (uint32_t[]){x, scale}, 1, &h);
    sy_test_graph_float(&m->c.graph, node, "epsilon", 1e-5);
    uint32_t a = attention(m, h, weight, state),
             sums[2] = {tokens_by(m, WIDTH), tokens_by(m, WIDTH)};
    node = sy_test_graph_node(&m->c.graph, "switchyard", "AddRMSNormalization", 1, 3,
                              (uint32_t[]){a, x, scale}, 2, sums);
    sy_test_graph_float(&m->c.graph, node, "epsilon", 1e-5);
    uint32_t f = feed_forward(m, sums[1], weight), last = tokens_by(m, WIDTH);
    sy_test_graph_node(&m->c.graph, "", "Add", 14, 2, (uint32_t[]){f, sums[0]}, 1, &last);
    sy_dimension picked_dims[2] = {r, sy_test_fixed(WIDTH)};
    sy_dimension logits_dims[2] = {r, sy_test_fixed(VOCABULARY)};
    uint32_t picked = compare_inner(&m->c, SY_TYPE_F32, 2, picked_dims);
    node = sy_test_graph_node(&m->c.graph, "", "Gather", 13, 2, (uint32_t[]){last, m->rows}, 1,
                              &picked);
    sy_test_graph_int(&m->c.graph, node, "axis", 0);
    uint32_t logits = compare_output(&m->c, SY_TYPE_F32, 2, logits_dims);
    sy_test_graph_node(&m->c.graph, "switchyard", "Linear", 1, 2, (uint32_t[]){picked, table}, 1,
                       &logits);
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_graph_finish(&m->c.graph, &error), error);
}

/* The model loaded on one side, with states for two sequences. */
typedef struct loaded {
    const model *m;
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
    sy_state *states[4];
} loaded;

static void loaded_open(loaded *l, const model *m, const sy_plugin *(*entry)(sy_test_host *),
                        uint32_t n_workers, const char *options) {
    sy_error error = {0};
    memset(l, 0, sizeof(*l));
    l->m = m;
    CHECK_OK_ERROR(sy_test_host_init(&l->host, n_workers, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(&l->runner, entry(&l->host), &l->host, 0, options, &error),
                   error);
    CHECK_OK_ERROR(sy_op_load(&l->runner, &m->c.graph, &l->unit, &error), error);
    for (int i = 0; i < 4; i++) {
        CHECK_OK(
            l->runner.plugin->state_create(l->runner.device, &m->c.states[i % 2], &l->states[i]));
    }
}

static void loaded_close(loaded *l) {
    for (int i = 0; i < 4; i++) {
        CHECK_OK(l->runner.plugin->state_destroy(l->states[i]));
    }
    sy_op_unload(&l->unit);
    CHECK_OK(sy_op_runner_close(&l->runner));
    CHECK_TEXT(l->host.n_live == 0 && l->host.n_misuses == 0, "%s", l->host.misuse);
    sy_test_host_deinit(&l->host);
}

/* Runs tokens [first, first + n) of each sequence; logits of every row. */
static void step(loaded *l, uint32_t n_sequences, const uint32_t *first, const uint32_t *n,
                 float *out_logits) {
    int32_t ids[ROWS], positions[ROWS], rows[ROWS];
    sy_sequence sequences[2];
    sy_error error = {0};
    uint32_t n_rows = 0;
    for (uint32_t s = 0; s < n_sequences; s++) {
        sequences[s] = (sy_sequence){n_rows, n[s], first[s], 0};
        for (uint32_t i = 0; i < n[s]; i++, n_rows++) {
            positions[n_rows] = (int32_t)(first[s] + i);
            ids[n_rows] = (int32_t)((7 + 31 * s + 13 * (first[s] + i)) % VOCABULARY);
            rows[n_rows] = (int32_t)n_rows;
        }
    }
    int64_t symbols[4] = {0, n_rows, n_rows, n_sequences};
    sy_op_step job = {.inputs = (const void *[]){ids, positions, rows},
                      .outputs = (void *[]){out_logits},
                      .symbols = symbols,
                      .n_symbols = 4,
                      .n_sequences = n_sequences,
                      .sequences = sequences,
                      .states = l->states};
    CHECK_OK_ERROR(sy_op_submit(&l->unit, &job, &error), error);
}

#define N_TOKENS 13u
typedef float logits[ROWS][VOCABULARY];

/* The prompt in pieces of `piece` tokens. */
static void run_in_pieces(const model *m, const char *options, uint32_t n_workers, uint32_t piece,
                          logits out) {
    loaded l;
    loaded_open(&l, m, compare_delegate_entry, n_workers, options);
    for (uint32_t at = 0; at < N_TOKENS; at += piece) {
        uint32_t n = N_TOKENS - at < piece ? N_TOKENS - at : piece;
        step(&l, 1, &at, &n, out[at]);
    }
    loaded_close(&l);
}

/* The prompt in the second place of a step, behind another sequence. */
static void run_beside_another(const model *m, const char *options, logits out) {
    loaded l;
    logits both;
    uint32_t first[2] = {0, 0}, n[2] = {3, N_TOKENS};
    loaded_open(&l, m, compare_delegate_entry, 2, options);
    sy_state *swapped[4] = {l.states[2], l.states[3], l.states[0], l.states[1]};
    memcpy(l.states, swapped, sizeof(swapped));
    step(&l, 2, first, n, both[0]);
    memcpy(out, both[3], N_TOKENS * sizeof(both[0]));
    loaded_close(&l);
}

/* Largest difference, and the largest magnitude of a. */
static double difference(const logits a, const logits b, double *out_largest) {
    double error = 0.0;
    for (uint32_t i = 0; i < N_TOKENS * VOCABULARY; i++) {
        double x = (double)a[i / VOCABULARY][i % VOCABULARY];
        double y = (double)b[i / VOCABULARY][i % VOCABULARY];
        *out_largest = fabs(x) > *out_largest ? fabs(x) : *out_largest;
        error = fabs(x - y) > error ? fabs(x - y) : error;
        CHECK(isfinite(x) && isfinite(y));
    }
    return error;
}

static void check_model(sy_element_type weight, sy_element_type state, const char *extra,
                        double tolerance) {
    model m;
    loaded l;
    static logits expected, whole, other;
    uint32_t zero = 0, n = N_TOKENS;
    model_build(&m, weight, state);
    loaded_open(&l, &m, compare_reference_entry, 1, NULL);
    step(&l, 1, &zero, &n, expected[0]);
    loaded_close(&l);
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        char options[96];
        snprintf(options, sizeof(options), "isa=%s\n%s", levels[i]->name, extra);
        run_in_pieces(&m, options, 1, N_TOKENS, whole);
        bool rounds = weight == SY_TYPE_BF16 && strcmp(levels[i]->name, "avx512bf16") == 0;
        double largest = 0.0, error = difference(expected, whole, &largest);
        CHECK_TEXT(error <= (rounds ? 1e-2 : tolerance) * largest,
                   "%s type %u state %u: error %g of %g", options, weight, state, error, largest);
        for (uint32_t piece = 1; piece <= 6; piece += piece == 1 ? 3 : 2) {
            run_in_pieces(&m, options, piece, piece, other);
            CHECK_TEXT(memcmp(whole, other, N_TOKENS * sizeof(whole[0])) == 0,
                       "%s type %u: other bits in pieces of %u", options, weight, piece);
        }
    }
    compare_deinit(&m.c);
}

static void layers_match(void) {
    check_model(SY_TYPE_Q8_0, SY_TYPE_F32, "activations=16", 2e-4);
    check_model(SY_TYPE_Q4_0, SY_TYPE_F16, "activations=16", 2e-3);
    check_model(SY_TYPE_IQ4_NL, SY_TYPE_Q8_0, "activations=8", 5e-2);
    check_model(SY_TYPE_F16, SY_TYPE_F16, "", 2e-3);
    check_model(SY_TYPE_BF16, SY_TYPE_F32, "", 1e-4);
    check_model(SY_TYPE_F32, SY_TYPE_F32, "xnnpack=on", 1e-4);
    check_model(SY_TYPE_F32, SY_TYPE_F32, "xnnpack=off", 1e-4);
}

/* The same prompt beside another sequence: the ids depend on the sequence's number, so both sides
 * run it as number 1. */
static void batching_keeps_the_bits(void) {
    model m;
    loaded l;
    static logits alone, beside;
    uint32_t first[2] = {0, 0}, n[2] = {0, N_TOKENS};
    model_build(&m, SY_TYPE_Q4_1, SY_TYPE_F16);
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        char options[64];
        snprintf(options, sizeof(options), "isa=%s", levels[i]->name);
        loaded_open(&l, &m, compare_delegate_entry, 1, options);
        step(&l, 2, first, n, alone[0]);
        loaded_close(&l);
        run_beside_another(&m, options, beside);
        CHECK_TEXT(memcmp(alone, beside, N_TOKENS * sizeof(alone[0])) == 0, "%s", options);
    }
    compare_deinit(&m.c);
}

#define LARGE_K 384
#define LARGE_N 300

/* A product large enough for XNNPACK, with a bias or without. */
static void large_product_build(compare *c, bool has_bias) {
    sy_error error = {0};
    sy_dimension x_dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, ROWS), sy_test_fixed(LARGE_K)};
    sy_dimension y_dims[2] = {x_dims[0], sy_test_fixed(LARGE_N)};
    compare_init(c, 0.0);
    uint32_t in[3] = {compare_input(c, SY_TYPE_F32, 2, x_dims),
                      compare_weight(c, SY_TYPE_F32, 2, (int64_t[]){LARGE_N, LARGE_K})};
    if (has_bias) {
        in[2] = compare_weight(c, SY_TYPE_F16, 1, (int64_t[]){LARGE_N});
    }
    uint32_t y = compare_output(c, SY_TYPE_F32, 2, y_dims);
    sy_test_graph_node(&c->graph, "switchyard", "Linear", 1, has_bias ? 3 : 2, in, 1, &y);
    CHECK_OK_ERROR(sy_test_graph_finish(&c->graph, &error), error);
}

/* A row alone has the bits it has in the whole. */
static void xnnpack_keeps_the_bits(void) {
    static float whole[ROWS][LARGE_N], alone[LARGE_N];
    sy_error error = {0};
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
    compare c;
    large_product_build(&c, false);
    CHECK_OK_ERROR(sy_test_host_init(&host, 2, &error), error);
    CHECK_OK_ERROR(
        sy_op_runner_open(&runner, compare_delegate_entry(&host), &host, 0, NULL, &error), error);
    CHECK_OK_ERROR(sy_op_load(&runner, &c.graph, &unit, &error), error);
    if (unit.info.weight_bytes == 0) {
        SKIP("built without XNNPACK");
    }
    int64_t symbols[2] = {0, ROWS};
    sy_op_step job = {
        .inputs = c.inputs, .outputs = (void *[]){whole}, .symbols = symbols, .n_symbols = 2};
    CHECK_OK_ERROR(sy_op_submit(&unit, &job, &error), error);
    symbols[1] = 1;
    for (uint32_t r = 0; r < ROWS; r++) {
        const float *row = (const float *)c.inputs[0] + (size_t)r * LARGE_K;
        job.inputs = (const void *[]){row};
        job.outputs = (void *[]){alone};
        CHECK_OK_ERROR(sy_op_submit(&unit, &job, &error), error);
        CHECK_TEXT(memcmp(alone, whole[r], sizeof(alone)) == 0, "row %u", r);
    }
    sy_op_unload(&unit);
    CHECK_OK(sy_op_runner_close(&runner));
    sy_test_host_deinit(&host);
    compare_deinit(&c);
}

static void large_product_run(const compare *c, sy_op_unit *unit, float out[ROWS][LARGE_N]) {
    sy_error error = {0};
    int64_t symbols[2] = {0, ROWS};
    sy_op_step job = {
        .inputs = c->inputs, .outputs = (void *[]){out}, .symbols = symbols, .n_symbols = 2};
    CHECK_OK_ERROR(sy_op_submit(unit, &job, &error), error);
}

/* Weights are packed by the first unit that has them, and kept until the last one goes. */
static void units_share_what_xnnpack_packed(void) {
    enum { PACKED = LARGE_K * LARGE_N * 4, BIAS = LARGE_N * 4 };
    static float first[ROWS][LARGE_N], again[ROWS][LARGE_N];
    for (int has_bias = 0; has_bias < 2; has_bias++) {
        const uint64_t own = has_bias ? BIAS : 0;
        sy_error error = {0};
        sy_test_host host;
        sy_op_runner runner;
        sy_op_unit a, b;
        compare c, other;
        large_product_build(&c, has_bias != 0);
        large_product_build(&other, has_bias != 0); /* the same numbers, but not the same weights */
        CHECK_OK_ERROR(sy_test_host_init(&host, 2, &error), error);
        CHECK_OK_ERROR(
            sy_op_runner_open(&runner, compare_delegate_entry(&host), &host, 0, NULL, &error),
            error);
        CHECK_OK_ERROR(sy_op_load(&runner, &c.graph, &a, &error), error);
        if (a.info.weight_bytes <= BIAS) {
            SKIP("built without XNNPACK");
        }
        CHECK(a.info.weight_bytes == PACKED + own);
        CHECK_OK_ERROR(sy_op_load(&runner, &other.graph, &b, &error), error);
        CHECK(b.info.weight_bytes == PACKED + own);
        sy_op_unload(&b);
        CHECK_OK_ERROR(sy_op_load(&runner, &c.graph, &b, &error), error);
        CHECK(b.info.weight_bytes == own);
        large_product_run(&c, &a, first);
        large_product_run(&c, &b, again);
        CHECK(memcmp(first, again, sizeof(first)) == 0);
        sy_op_unload(&a);
        memset(again, 0, sizeof(again));
        large_product_run(&c, &b, again);
        CHECK(memcmp(first, again, sizeof(first)) == 0);
        sy_op_unload(&b);
        CHECK_OK_ERROR(sy_op_load(&runner, &c.graph, &a, &error), error);
        CHECK(a.info.weight_bytes == PACKED + own);
        sy_op_unload(&a);
        CHECK_OK(sy_op_runner_close(&runner));
        CHECK(host.n_live == 0);
        sy_test_host_deinit(&host);
        compare_deinit(&other);
        compare_deinit(&c);
    }
}

/* After a step was given up, the same step again gives what it would have given. */
static void a_repeated_step_is_the_same(void) {
    model m;
    loaded l;
    static logits once, again;
    uint32_t zero = 0, four = 4, n = 9;
    model_build(&m, SY_TYPE_Q5_1, SY_TYPE_F32);
    loaded_open(&l, &m, compare_delegate_entry, 2, NULL);
    step(&l, 1, &zero, &four, once[0]);
    step(&l, 1, &four, &n, once[0]);
    step(&l, 1, &four, &n, again[0]);
    CHECK(memcmp(once, again, n * sizeof(once[0])) == 0);
    loaded_close(&l);
    compare_deinit(&m.c);
}

/* Every allocation of load refused in turn: a clean status, nothing left, then success. */
static void load_survives_refused_memory(void) {
    model m;
    model_build(&m, SY_TYPE_F32, SY_TYPE_F32);
    for (uint64_t n_ok = 0;; n_ok++) {
        sy_test_host host;
        sy_op_runner runner;
        sy_op_unit unit = {0};
        sy_error error = {0};
        CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
        CHECK_OK_ERROR(
            sy_op_runner_open(&runner, compare_delegate_entry(&host), &host, 0, NULL, &error),
            error);
        size_t n_before = host.n_live;
        sy_test_host_fail_alloc(&host, n_ok, UINT64_MAX / 2);
        sy_status status = sy_op_load(&runner, &m.c.graph, &unit, &error);
        sy_test_host_never_fail(&host);
        if (status != SY_OK) {
            CHECK_TEXT(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED, "status %u", status);
            CHECK_TEXT(host.n_live == n_before, "%zu allocations left after %llu", host.n_live,
                       (unsigned long long)n_ok);
        }
        sy_op_unload(&unit);
        CHECK_OK(sy_op_runner_close(&runner));
        CHECK(host.n_live == 0);
        sy_test_host_deinit(&host);
        if (status == SY_OK) {
            CHECK(n_ok > 4);
            break;
        }
    }
    compare_deinit(&m.c);
}

static void steps_allocate_nothing(void) {
    model m;
    loaded l;
    static logits out;
    uint32_t at = 0, one = 1;
    model_build(&m, SY_TYPE_F32, SY_TYPE_F16);
    loaded_open(&l, &m, compare_delegate_entry, 2, NULL);
    uint64_t n_before = l.host.n_allocs;
    for (; at < 5; at++) {
        step(&l, 1, &at, &one, out[0]);
    }
    CHECK(l.host.n_allocs == n_before);
    loaded_close(&l);
    compare_deinit(&m.c);
}

static const sy_test_case cases[] = {
    {"layers_match", layers_match},
    {"batching_keeps_the_bits", batching_keeps_the_bits},
    {"xnnpack_keeps_the_bits", xnnpack_keeps_the_bits},
    {"units_share_what_xnnpack_packed", units_share_what_xnnpack_packed},
    {"a_repeated_step_is_the_same", a_repeated_step_is_the_same},
    {"load_survives_refused_memory", load_survives_refused_memory},
    {"steps_allocate_nothing", steps_allocate_nothing},
};
SY_TEST_MAIN(cases)
