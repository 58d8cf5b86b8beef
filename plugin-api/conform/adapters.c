/* SPDX-License-Identifier: Apache-2.0 */
/* L3: adapters of a delegate that offers them, on one node AdapterLinear, against the formula. */
#include "conform/conform_internal.h"

#include <math.h>
#include <string.h>

#define TOKENS 9u
#define WIDTH 72u   /* of x */
#define OUTPUTS 40u /* of y */
#define RANK 5u     /* of the larger adapter; the node takes 8 */
#define SLOT 3u

/* Deterministic numbers in +-1. */
static float number(uint32_t seed, uint32_t i) {
    return sinf((float)(seed * 131u + i * 7u) * 0.37f);
}

typedef struct adapter_case {
    sy__conform *c;
    sy__session *session;
    sy_test_graph graph;
    float x[TOKENS][WIDTH], y[TOKENS][OUTPUTS];
    float a[2][RANK][WIDTH], b[2][OUTPUTS][RANK];
    sy_adapter_weights *weights[2];
} adapter_case;

static void fill(adapter_case *t) {
    for (uint32_t i = 0; i < TOKENS * WIDTH; i++) {
        t->x[i / WIDTH][i % WIDTH] = number(1, i);
    }
    for (uint32_t i = 0; i < TOKENS * OUTPUTS; i++) {
        t->y[i / OUTPUTS][i % OUTPUTS] = number(2, i);
    }
    for (uint32_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < RANK * WIDTH; i++) {
            t->a[k][i / WIDTH][i % WIDTH] = number(3 + k, i) * 0.2f;
        }
        for (uint32_t i = 0; i < RANK * OUTPUTS; i++) {
            t->b[k][i / RANK][i % RANK] = number(5 + k, i);
        }
    }
}

/* Both adapters have rank RANK: the matrices are row-major without gaps. */
static sy_adapter_pair pair_of(adapter_case *t, uint32_t k) {
    sy_adapter_pair pair = {.rank = RANK,
                            .scale = k == 0 ? 1.5f : -0.5f,
                            .n_inputs = WIDTH,
                            .n_outputs = OUTPUTS,
                            .a_type = SY_TYPE_F32,
                            .b_type = SY_TYPE_F32};
    pair.a = (sy_memory){
        .kind = SY_MEMORY_HOST, .fd = -1, .pointer = t->a[k], .length_bytes = sizeof(t->a[k])};
    pair.b = (sy_memory){
        .kind = SY_MEMORY_HOST, .fd = -1, .pointer = t->b[k], .length_bytes = sizeof(t->b[k])};
    return pair;
}

static sy_status create(adapter_case *t, sy_adapter_pair pair, sy_adapter_weights **out_weights) {
    sy_adapter_pair pairs[SLOT + 1] = {{0}};
    uint64_t n_bytes = 0;
    pairs[SLOT] = pair;
    sy_adapter_description description = {
        .header = SY_HEADER_INIT(sy_adapter_description), .n_pairs = SLOT + 1, .pairs = pairs};
    return t->session->table.adapter_create(t->session->runner.device, &description, &n_bytes,
                                            out_weights);
}

static void check_refused(adapter_case *t) {
    static const char *const what[] = {"a rank past every limit", "a type in blocks",
                                       "too little memory", "no memory", "a scale that is NaN"};
    for (uint32_t i = 0; i < 5; i++) {
        sy_adapter_weights *weights = NULL;
        sy_adapter_pair pair = pair_of(t, 0);
        pair.rank = i == 0 ? 1u << 20 : pair.rank;
        pair.a_type = i == 1 ? SY_TYPE_Q8_0 : pair.a_type;
        pair.b.length_bytes -= i == 2;
        pair.a.pointer = i == 3 ? NULL : pair.a.pointer;
        pair.scale = i == 4 ? NAN : pair.scale;
        sy_status status = create(t, pair, &weights);
        sy__conform_check(t->c, status != SY_OK && weights == NULL, "L3.adapter_refused",
                          "An adapter with %s is taken.", what[i]);
        if (status == SY_OK) {
            t->session->table.adapter_destroy(weights);
        }
    }
}

/* y + scale * (x A^T) B^T of one row. */
static void add_expected(adapter_case *t, uint32_t k, uint32_t row, double use_scale,
                         double *inout_row) {
    double narrow[RANK] = {0};
    for (uint32_t r = 0; r < RANK; r++) {
        for (uint32_t i = 0; i < WIDTH; i++) {
            narrow[r] += (double)t->x[row][i] * (double)t->a[k][r][i];
        }
    }
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        for (uint32_t r = 0; r < RANK; r++) {
            inout_row[i] +=
                use_scale * (double)pair_of(t, k).scale * narrow[r] * (double)t->b[k][i][r];
        }
    }
}

/* Rows 0-3 use adapter 0, rows 4-5 none, rows 6-8 both. */
static const sy_sequence sequences[3] = {{0, 4, 0, 1}, {4, 2, 0, 0}, {6, 3, 0, 2}};

static sy_status run(adapter_case *t, sy_op_unit *unit, bool alone, float out[][OUTPUTS],
                     sy_error *error) {
    const sy_adapter_use uses[3] = {
        {t->weights[0], 2.0f, 0}, {t->weights[0], 0.25f, 1}, {t->weights[1], 1.0f, 0}};
    const sy_sequence last = {0, sequences[2].n_tokens, 0, 2};
    uint32_t first = alone ? sequences[2].first_row : 0;
    int64_t symbols[SY_SYMBOL_COUNT_MAX] = {[SY_SYMBOL_TOKENS] =
                                                alone ? (int64_t)last.n_tokens : TOKENS};
    const void *inputs[2] = {t->y[first], t->x[first]};
    void *outputs[1] = {out};
    sy_op_step step = {.inputs = inputs,
                       .outputs = outputs,
                       .symbols = symbols,
                       .n_symbols = SY_SYMBOL_COUNT_MAX,
                       .n_sequences = alone ? 1 : 3,
                       .sequences = alone ? &last : sequences,
                       .n_adapters = 3,
                       .adapters = uses,
                       .run = 1};
    return sy_op_submit(unit, &step, error);
}

static void check_rows(adapter_case *t, float out[][OUTPUTS]) {
    for (uint32_t row = 0; row < TOKENS; row++) {
        double expected[OUTPUTS], largest = 1;
        for (uint32_t i = 0; i < OUTPUTS; i++) {
            expected[i] = (double)t->y[row][i];
        }
        if (row < 4) {
            add_expected(t, 0, row, 2.0, expected);
        } else if (row >= 6) {
            add_expected(t, 0, row, 0.25, expected);
            add_expected(t, 1, row, 1.0, expected);
        }
        for (uint32_t i = 0; i < OUTPUTS; i++) {
            largest = fabs(expected[i]) > largest ? fabs(expected[i]) : largest;
        }
        bool is_near = true; /* never with NaN */
        for (uint32_t i = 0; i < OUTPUTS; i++) {
            is_near = is_near && fabs(expected[i] - (double)out[row][i]) <= 2e-5 * largest;
        }
        if (!sy__conform_check(t->c, is_near, "L3.adapter_rows",
                               "Row %u of AdapterLinear is farther than 2e-5 from y + B A x.",
                               row)) {
            return;
        }
    }
    sy__conform_check(t->c, memcmp(out[4], t->y[4], 2 * sizeof(t->y[0])) == 0, "L3.adapter_plain",
                      "Rows without an adapter do not pass bit by bit.");
}

static void check_runs(adapter_case *t) {
    float all[TOKENS][OUTPUTS], alone[3][OUTPUTS];
    sy_op_unit unit;
    sy_error error;
    sy_error_clear(&error);
    sy_status status = sy_op_load(&t->session->runner, &t->graph, &unit, &error);
    if (status == SY_OK) {
        status = run(t, &unit, false, all, &error);
        if (status == SY_OK) {
            check_rows(t, all);
            status = run(t, &unit, true, alone, &error);
        }
        sy_op_unload(&unit);
    }
    if (sy__conform_check(t->c, status == SY_OK, "L3.adapter_rows",
                          "AdapterLinear was accepted and fails: %s", error.message)) {
        sy__conform_check(t->c, memcmp(alone, all[6], sizeof(alone)) == 0, "L3.adapter_alone",
                          "A sequence with adapters gives other bits alone than in company.");
    }
}

static void build(adapter_case *t) {
    sy_test_graph *g = &t->graph;
    const sy_dimension y_dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, TOKENS),
                                    sy_test_fixed(OUTPUTS)};
    const sy_dimension x_dims[2] = {y_dims[0], sy_test_fixed(WIDTH)};
    sy_test_graph_init(g);
    const uint32_t inputs[2] = {
        sy_test_graph_value(g, "y", SY_VALUE_INPUT, SY_TYPE_F32, 2, y_dims),
        sy_test_graph_value(g, "x", SY_VALUE_INPUT, SY_TYPE_F32, 2, x_dims)};
    const uint32_t output = sy_test_graph_value(g, "sum", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, y_dims);
    uint32_t node = sy_test_graph_node(g, "switchyard", "AdapterLinear", 1, 2, inputs, 1, &output);
    sy_test_graph_int(g, node, "slot", SLOT);
    sy_test_graph_int(g, node, "max_rank", 8);
}

/* False when the delegate has nothing to do with adapters. */
static bool is_offered(adapter_case *t) {
    sy_verdict verdict;
    sy_error error;
    memset(&verdict, 0, sizeof(verdict));
    bool has_table = t->session->table.adapter_create != NULL;
    bool accepts = sy_op_judge(&t->session->runner, &t->graph, &verdict, &error) == SY_OK &&
                   verdict.support != SY_SUPPORT_NO;
    sy__conform_check(t->c, has_table == accepts, "L1.adapters_whole",
                      accepts ? "AdapterLinear is accepted without adapter_create."
                              : "It has adapter_create and says no to AdapterLinear: %s",
                      verdict.why);
    return has_table && accepts;
}

static void check_adapters(adapter_case *t) {
    bool is_made = true;
    check_refused(t);
    for (uint32_t k = 0; k < 2; k++) {
        sy_status status = create(t, pair_of(t, k), &t->weights[k]);
        is_made = sy__conform_check(t->c, status == SY_OK && t->weights[k] != NULL,
                                    "L3.adapter_rows", "A fitting adapter is refused.") &&
                  is_made;
    }
    if (is_made) {
        check_runs(t);
    }
    for (uint32_t k = 0; k < 2; k++) {
        sy__conform_check(t->c,
                          t->weights[k] == NULL ||
                              t->session->table.adapter_destroy(t->weights[k]) == SY_OK,
                          "L3.adapter_destroy", "adapter_destroy does not answer OK.");
    }
}

void sy__conform_adapters(sy__conform *c, sy__session *session) {
    sy_error error;
    adapter_case *t = sy__alloc_array(NULL, 1, sizeof(*t));
    if (t == NULL) {
        return;
    }
    *t = (adapter_case){.c = c, .session = session};
    sy__conform_doing(c, "using adapters");
    fill(t);
    build(t);
    if (sy_test_graph_finish(&t->graph, &error) == SY_OK && is_offered(t)) {
        check_adapters(t);
    }
    sy_test_graph_deinit(&t->graph);
    sy__free_array(NULL, t, 1, sizeof(*t));
}
