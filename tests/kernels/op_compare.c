/* SPDX-License-Identifier: Apache-2.0 */
#include "op_compare.h"

#include "block_samples.h"
#include "blocks.h"
#include "reference.h"
#include "switchyard/types.h"

const sy_plugin *compare_entry_of(sy_test_host *host, const char *file) {
    char path[512];
    const char *folder = getenv("SY_BUILD_DIR");
    snprintf(path, sizeof(path), "%s/%s", folder != NULL ? folder : ".", file);
    void *library = NULL; /* stays until the process ends */
    sy_plugin_entry_function entry = NULL;
    sy_error error = {0};
    CHECK_OK_ERROR(sy_op_entry_load(path, &library, &entry, &error), error);
    return entry(SY_ABI_VERSION, &host->services);
}

void compare_init(compare *c, double tolerance) {
    memset(c, 0, sizeof(*c));
    sy_test_graph_init(&c->graph);
    c->tolerance = tolerance;
}

void compare_deinit(compare *c) {
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        void *bytes = NULL;
        memcpy(&bytes, &c->inputs[i], sizeof(bytes));
        free(bytes);
    }
    for (uint32_t i = 0; i < c->n_weights; i++) {
        free(c->weights[i]);
    }
    sy_test_graph_deinit(&c->graph);
}

static const block_type *block_type_of(sy_element_type type) {
    for (size_t i = 0; i < N_BLOCK_TYPES; i++) {
        if (block_types[i].type == type) {
            return &block_types[i];
        }
    }
    return NULL;
}

/* Random content for n elements. */
static void *content(sy_element_type type, uint64_t n, uint64_t *out_bytes) {
    const block_type *block = block_type_of(type);
    const sy_type_facts *facts = sy_type_get(type);
    *out_bytes = n / facts->n_block_elements * facts->n_block_bytes;
    uint8_t *bytes = calloc(*out_bytes + 64, 1);
    CHECK(bytes != NULL);
    for (uint64_t i = 0; block != NULL && i < n / block->n_elements; i++) {
        block_fill(block, PATTERN_RANDOM, bytes + i * block->n_bytes);
    }
    for (uint64_t i = 0; block == NULL && i < n; i++) {
        float x = random_float() * 2.0f;
        if (type == SY_TYPE_I8 || type == SY_TYPE_U8) {
            bytes[i] = (uint8_t)random_u32();
        } else if (type == SY_TYPE_I32 || type == SY_TYPE_I64) {
            bytes[i * facts->n_block_bytes] = (uint8_t)(random_u32() % 3);
        } else {
            CHECK_OK(sy__row_encode(type, &x, 1, bytes + i * facts->n_block_bytes));
        }
    }
    return bytes;
}

static uint64_t count(uint32_t rank, const sy_dimension *dims) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) {
        n *= (uint64_t)dims[i].bound;
    }
    return n;
}

uint32_t compare_input(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims) {
    uint64_t n_bytes = 0;
    c->inputs[c->n_inputs++] = content(type, count(rank, dims), &n_bytes);
    return sy_test_graph_value(&c->graph, "input", SY_VALUE_INPUT, type, rank, dims);
}

uint32_t compare_input_i32(compare *c, sy_dimension dim, const int32_t *elements, uint32_t n) {
    uint32_t value = compare_input(c, SY_TYPE_I32, 1, &dim);
    void *bytes = NULL;
    memcpy(&bytes, &c->inputs[c->n_inputs - 1], sizeof(bytes));
    memcpy(bytes, elements, n * sizeof(elements[0]));
    return value;
}

uint32_t compare_weight(compare *c, sy_element_type type, uint32_t rank, const int64_t *dims) {
    uint64_t n = 1, n_bytes = 0;
    for (uint32_t i = 0; i < rank; i++) {
        n *= (uint64_t)dims[i];
    }
    void *bytes = content(type, n, &n_bytes);
    c->may_refuse = c->may_refuse || compare_lacks(type);
    c->weights[c->n_weights++] = bytes;
    return sy_test_graph_weight(&c->graph, "weight", type, rank, dims, bytes, n_bytes);
}

uint32_t compare_weight_i64(compare *c, const int64_t *elements, int64_t n) {
    uint32_t value = compare_weight(c, SY_TYPE_I64, 1, &n);
    memcpy(c->weights[c->n_weights - 1], elements, (size_t)n * sizeof(elements[0]));
    return value;
}

uint32_t compare_state(compare *c, sy_element_type type, uint32_t role, uint32_t width,
                       uint32_t max_tokens) {
    sy_dimension dims[2] = {sy_test_fixed(max_tokens), sy_test_fixed(width)};
    c->states[c->n_states++] =
        (sy_state_description){.header = SY_HEADER_INIT(sy_state_description),
                               .type = type,
                               .role = role,
                               .width = width,
                               .max_tokens = max_tokens};
    return sy_test_graph_value(&c->graph, "state", SY_VALUE_STATE, type, 2, dims);
}

uint32_t compare_output(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims) {
    return sy_test_graph_value(&c->graph, "output", SY_VALUE_OUTPUT, type, rank, dims);
}

uint32_t compare_inner(compare *c, sy_element_type type, uint32_t rank, const sy_dimension *dims) {
    return sy_test_graph_value(&c->graph, "inner", SY_VALUE_ACTIVATION, type, rank, dims);
}

/* What one run leaves: outputs and states as bytes. */
typedef struct result {
    void *outputs[4];
    uint64_t output_bytes[4];
    uint8_t *rows[4][COMPARE_STATES];
    uint64_t row_bytes[COMPARE_STATES];
    sy_status status;
    bool refused;
    char why[SY_REASON_TEXT_BYTES];
} result;

static void result_free(result *r) {
    for (int i = 0; i < 4; i++) {
        free(r->outputs[i]);
        for (uint32_t s = 0; s < COMPARE_STATES; s++) {
            free(r->rows[i][s]);
        }
    }
}

static const int64_t *symbols_of(const compare *c) {
    bool given = false;
    for (uint32_t i = 0; i < COMPARE_SYMBOLS; i++) {
        given = given || c->symbols[i] != 0;
    }
    return given ? c->symbols : NULL;
}

static void states_make(const compare *c, sy_op_runner *runner, sy_state **states) {
    for (uint32_t i = 0; i < c->n_sequences * c->n_states; i++) {
        const sy_state_description *d = &c->states[i % c->n_states];
        const sy_type_facts *facts = sy_type_get(d->type);
        uint64_t row_bytes = d->width / facts->n_block_elements * facts->n_block_bytes;
        CHECK_OK(runner->plugin->state_create(runner->device, d, &states[i]));
        uint64_t n_bytes = row_bytes * c->n_past_rows;
        uint8_t *rows = calloc(n_bytes + 1, 1);
        float row[1024];
        random_state = 1000 + i; /* the same rows for every run */
        for (uint32_t r = 0; r < c->n_past_rows; r++) {
            random_floats(row, d->width, 1.5f);
            CHECK_OK(sy__row_encode(d->type, row, d->width, rows + r * row_bytes));
        }
        CHECK_OK(runner->plugin->state_load(states[i], 0, c->n_past_rows, rows, n_bytes));
        free(rows);
    }
}

static void states_read(const compare *c, sy_op_runner *runner, sy_state **states, result *out) {
    for (uint32_t i = 0; i < c->n_sequences * c->n_states; i++) {
        const sy_state_description *d = &c->states[i % c->n_states];
        const sy_type_facts *facts = sy_type_get(d->type);
        const sy_sequence *q = &c->sequences[i / c->n_states];
        uint64_t row_bytes = d->width / facts->n_block_elements * facts->n_block_bytes;
        uint64_t n_rows = q->n_past + q->n_tokens;
        uint8_t *rows = calloc(n_rows * row_bytes + 1, 1);
        if (out->status == SY_OK) {
            CHECK_OK(runner->plugin->state_save(states[i], 0, n_rows, rows, n_rows * row_bytes));
        }
        out->rows[i / c->n_states][i % c->n_states] = rows;
        out->row_bytes[i % c->n_states] = row_bytes;
        CHECK_OK(runner->plugin->state_destroy(states[i]));
    }
}

static void run_on(const compare *c, const sy_plugin *(*entry)(sy_test_host *), uint32_t n_workers,
                   const char *options, result *out) {
    sy_test_host host;
    sy_op_runner runner;
    sy_error error = {0};
    sy_state *states[4 * COMPARE_STATES] = {NULL};
    memset(out, 0, sizeof(*out));
    CHECK_OK_ERROR(sy_test_host_init(&host, n_workers, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(&runner, entry(&host), &host, 0, options, &error), error);
    sy_verdict verdicts[COMPARE_NODES];
    CHECK(c->graph.n_nodes <= COMPARE_NODES);
    for (uint32_t i = 0; i < COMPARE_NODES; i++) {
        verdicts[i] = (sy_verdict){.header = SY_HEADER_INIT(sy_verdict)};
    }
    CHECK_OK_ERROR(sy_op_judge(&runner, &c->graph, verdicts, &error), error);
    for (size_t i = 0; i < c->graph.n_nodes; i++) {
        if (verdicts[i].support == SY_SUPPORT_NO) {
            CHECK_TEXT(verdicts[i].reason != SY_REASON_NONE && verdicts[i].why[0] != '\0', "%s",
                       "a no without words");
            out->refused = true;
            memcpy(out->why, verdicts[i].why, sizeof(out->why));
        } else {
            CHECK(verdicts[i].time_us >= 0.0f && verdicts[i].score <= 100);
        }
    }
    if (!out->refused) {
        states_make(c, &runner, states);
        for (uint32_t i = 0; i < c->graph.segment.n_outputs; i++) {
            const sy_value_view *value = &c->graph.values[c->graph.segment.outputs[i]];
            CHECK(
                sy_test_value_bytes(value, symbols_of(c), COMPARE_SYMBOLS, &out->output_bytes[i]));
            out->outputs[i] = calloc(out->output_bytes[i] + 1, 1);
        }
        sy_op_step step = {.inputs = c->inputs,
                           .outputs = out->outputs,
                           .symbols = symbols_of(c),
                           .n_symbols = symbols_of(c) != NULL ? COMPARE_SYMBOLS : 0,
                           .n_sequences = c->n_sequences,
                           .sequences = c->sequences,
                           .states = states};
        out->status = sy_op_run(&runner, &c->graph, &step, &error);
        CHECK_TEXT(out->status == c->expect, "status %u: %s", out->status, error.message);
        states_read(c, &runner, states, out);
    }
    CHECK_OK(sy_op_runner_close(&runner));
    CHECK_TEXT(host.n_live == 0, "%zu allocations left", host.n_live);
    CHECK_TEXT(host.n_misuses == 0, "%s", host.misuse);
    sy_test_host_deinit(&host);
}

const sy_plugin *compare_reference_entry(sy_test_host *host) {
    return sy__reference_entry(SY_ABI_VERSION, &host->services);
}

static void check_close(const compare *c, const result *expected, const result *got,
                        double tolerance, const char *what) {
    for (uint32_t i = 0; i < c->graph.segment.n_outputs; i++) {
        const sy_value_view *value = &c->graph.values[c->graph.segment.outputs[i]];
        const sy_type_facts *facts = sy_type_get(value->type);
        uint64_t n = expected->output_bytes[i] / facts->n_block_bytes;
        float *a = calloc(n + 1, sizeof(float)), *b = calloc(n + 1, sizeof(float)), largest = 0.0f;
        CHECK_OK(sy__row_decode(value->type, expected->outputs[i], n, a));
        CHECK_OK(sy__row_decode(value->type, got->outputs[i], n, b));
        for (uint64_t j = 0; j < n; j++) {
            largest = fmaxf(largest, fabsf(a[j]));
        }
        for (uint64_t j = 0; j < n; j++) {
            double error = fabs((double)a[j] - (double)b[j]);
            CHECK_TEXT(error <= tolerance * (double)largest, "%s: output %u [%llu] is %g, not %g",
                       what, i, (unsigned long long)j, (double)b[j], (double)a[j]);
        }
        free(a);
        free(b);
    }
    for (uint32_t s = 0; s < c->n_sequences; s++) {
        uint64_t n_rows = c->sequences[s].n_past + c->sequences[s].n_tokens;
        for (uint32_t i = 0; i < c->n_states; i++) {
            CHECK_TEXT(
                memcmp(expected->rows[s][i], got->rows[s][i], n_rows * expected->row_bytes[i]) == 0,
                "%s: state %u of sequence %u differs", what, i, s);
        }
    }
}

static void check_same_bits(const compare *c, const result *a, const result *b, const char *what) {
    for (uint32_t i = 0; i < c->graph.segment.n_outputs; i++) {
        CHECK_TEXT(memcmp(a->outputs[i], b->outputs[i], a->output_bytes[i]) == 0,
                   "%s: output %u differs with the number of workers", what, i);
    }
}

/* False when it refuses. */
static bool variant_run(const compare *c, const compare_variant *v, const result *expected,
                        const char *what) {
    char options[192], text[160];
    result one, other;
    snprintf(options, sizeof(options), "%s\n%s", v->options, c->options != NULL ? c->options : "");
    snprintf(text, sizeof(text), "%.80s on %s", what, v->name);
    run_on(c, compare_delegate_entry, 1, options, &one);
    CHECK_TEXT(!one.refused || c->may_refuse, "%s: refused: %s", text, one.why);
    if (!one.refused && one.status == SY_OK) {
        bool rounds = c->tolerance_bf16 > 0 && v->rounds_bf16;
        check_close(c, expected, &one, rounds ? c->tolerance_bf16 : c->tolerance, text);
        if (v->n_other_workers > 0) {
            run_on(c, compare_delegate_entry, v->n_other_workers, options, &other);
            check_same_bits(c, &one, &other, text);
            result_free(&other);
        }
    }
    bool refused = one.refused;
    result_free(&one);
    return !refused;
}

bool compare_run(compare *c, const char *what) {
    sy_error error = {0};
    result expected;
    compare_variant variants[COMPARE_VARIANTS];
    bool runs = true;
    CHECK_OK_ERROR(sy_test_graph_finish(&c->graph, &error), error);
    run_on(c, compare_reference_entry, 1, NULL, &expected);
    CHECK_TEXT(!expected.refused, "%s: the reference refuses: %s", what, expected.why);
    uint32_t n_variants = compare_variants(variants);
    for (uint32_t i = 0; i < n_variants && runs; i++) {
        runs = variant_run(c, &variants[i], &expected, what);
    }
    result_free(&expected);
    return runs;
}
