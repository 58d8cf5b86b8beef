/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of several sequences, whose states may lie in slabs of their own: what is bound is another
 * one for each of them. With bindings of 1 MiB two of the states here never share a slab. */
#include "kernels/op_compare.h"

#define MAX_TOKENS 2600u
#define PAST_ROWS 2500u
#define HEAD_SIZE 64
#define N_HEADS 2

typedef struct attention {
    sy_sequence sequences[3];
    uint32_t n_sequences;
} attention;

/* An attention over states, for steps of up to n_tokens. */
static void attention_graph(compare *c, int64_t n_tokens) {
    const sy_dimension tokens = sy_test_symbol(SY_SYMBOL_TOKENS, n_tokens);
    const sy_dimension q[2] = {tokens, sy_test_fixed(N_HEADS * HEAD_SIZE)};
    const sy_dimension k[2] = {tokens, sy_test_fixed(HEAD_SIZE)};
    uint32_t in[5] = {compare_input(c, SY_TYPE_F32, 2, q), compare_input(c, SY_TYPE_F32, 2, k),
                      compare_input(c, SY_TYPE_F32, 2, k),
                      compare_state(c, SY_TYPE_F32, SY_STATE_KEY, HEAD_SIZE, MAX_TOKENS),
                      compare_state(c, SY_TYPE_F32, SY_STATE_VALUE, HEAD_SIZE, MAX_TOKENS)};
    uint32_t y = compare_output(c, SY_TYPE_F32, 2, q);
    uint32_t node = sy_test_graph_node(&c->graph, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(&c->graph, node, "num_heads", N_HEADS);
    sy_test_graph_int(&c->graph, node, "num_kv_heads", 1);
}

static void attention_case(const attention *a, const char *what) {
    compare c;
    compare_init(&c, 2e-5);
    int64_t n_tokens = 0;
    for (uint32_t i = 0; i < a->n_sequences; i++) {
        c.sequences[i] = a->sequences[i];
        c.sequences[i].first_row = (uint32_t)n_tokens;
        n_tokens += a->sequences[i].n_tokens;
    }
    c.n_sequences = a->n_sequences;
    c.n_past_rows = PAST_ROWS;
    attention_graph(&c, n_tokens);
    compare_run(&c, what);
    compare_deinit(&c);
}

/* Long rows of keys are shared out to groups: those of every slab are put together. */
static void sequences_of_any_slab_decode(void) {
    attention_case(&(attention){.sequences = {{.n_past = 2400, .n_tokens = 1},
                                              {.n_past = 2500, .n_tokens = 1}},
                                .n_sequences = 2},
                   "two long ones");
    attention_case(&(attention){.sequences = {{.n_past = 3, .n_tokens = 1},
                                              {.n_past = 2500, .n_tokens = 2},
                                              {.n_past = 700, .n_tokens = 1}},
                                .n_sequences = 3},
                   "a short one, a long one, one between");
}

/* One is decoded, the other reads its prompt. */
static void prompts_and_decoding_mix(void) {
    attention_case(
        &(attention){.sequences = {{.n_past = 2400, .n_tokens = 1}, {.n_past = 11, .n_tokens = 8}},
                     .n_sequences = 2},
        "a long one and a prompt");
}

/* ---- what a step takes ---- */
#define N_SESSIONS 2u

typedef struct sessions {
    compare c;
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
    sy_state *states[2 * N_SESSIONS];
    uint32_t n_past[N_SESSIONS];
} sessions;

static void sessions_open(sessions *s, const char *options) {
    sy_error error = {0};
    memset(s, 0, sizeof(*s));
    compare_init(&s->c, 0.0);
    attention_graph(&s->c, N_SESSIONS);
    CHECK_OK_ERROR(sy_test_graph_finish(&s->c.graph, &error), error);
    CHECK_OK_ERROR(sy_test_host_init(&s->host, 1, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(&s->runner, compare_delegate_entry(&s->host), &s->host, 0,
                                     options, &error),
                   error);
    CHECK_OK_ERROR(sy_op_load(&s->runner, &s->c.graph, &s->unit, &error), error);
    for (uint32_t i = 0; i < 2 * N_SESSIONS; i++) {
        CHECK_OK(
            s->runner.plugin->state_create(s->runner.device, &s->c.states[i % 2], &s->states[i]));
    }
}

static void sessions_close(sessions *s) {
    for (uint32_t i = 0; i < 2 * N_SESSIONS; i++) {
        CHECK_OK(s->runner.plugin->state_destroy(s->states[i]));
    }
    sy_op_unload(&s->unit);
    CHECK_OK(sy_op_runner_close(&s->runner));
    CHECK_TEXT(s->host.n_live == 0 && s->host.n_misuses == 0, "%s", s->host.misuse);
    sy_test_host_deinit(&s->host);
    compare_deinit(&s->c);
}

/* One more token of sessions [first, end). */
static void sessions_step(sessions *s, uint32_t first, uint32_t end) {
    float y[N_SESSIONS * N_HEADS * HEAD_SIZE];
    sy_sequence sequences[N_SESSIONS] = {{0}};
    int64_t symbols[COMPARE_SYMBOLS] = {0};
    sy_error error = {0};
    symbols[SY_SYMBOL_TOKENS] = end - first;
    for (uint32_t i = first; i < end; i++) {
        sequences[i - first] =
            (sy_sequence){.first_row = i - first, .n_tokens = 1, .n_past = s->n_past[i]++};
    }
    const sy_op_step step = {.inputs = s->c.inputs,
                             .outputs = (void *[]){y},
                             .symbols = symbols,
                             .n_symbols = COMPARE_SYMBOLS,
                             .n_sequences = end - first,
                             .sequences = sequences,
                             .states = s->states + 2 * (size_t)first};
    CHECK_OK_ERROR(sy_op_submit(&s->unit, &step, &error), error);
}

/* One alone, the other alone, both: what each needs was made when it came first. */
static void steps_take_no_memory(void) {
    static const char *const options[] = {"software=on", "software=on\nbinding_limit_mib=1"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        sessions s;
        uint64_t n_allocs = 0;
        sessions_open(&s, options[i]);
        for (uint32_t round = 0; round < 4; round++) {
            sessions_step(&s, 0, 1);
            sessions_step(&s, 1, 2);
            sessions_step(&s, 0, 2);
            CHECK_TEXT(round == 0 || s.host.n_allocs == n_allocs, "%d times memory",
                       (int)(s.host.n_allocs - n_allocs));
            n_allocs = s.host.n_allocs;
        }
        sessions_close(&s);
    }
}

/* ---- what a reserve promises ---- */
#define MANY 40u     /* states: more tables than there is room for at first */
#define WIDE 400000u /* elements of a row: longer than what rows pass through at first */

static void what_is_reserved_cannot_fail(void) {
    static const sy_state_description kinds[] = {
        {.type = SY_TYPE_F16, .width = 64, .max_tokens = 6000},
        {.type = SY_TYPE_F32, .role = SY_STATE_RECURRENT, .width = WIDE, .max_tokens = 2}};
    sy_test_host host;
    sy_op_runner runner;
    sy_error error = {0};
    sy_state *states[MANY] = {NULL};
    uint8_t *rows = calloc(2 * (size_t)WIDE, 4);
    CHECK(rows != NULL);
    CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(&runner, compare_delegate_entry(&host), &host, 0,
                                     compare_options(), &error),
                   error);
    for (uint32_t kind = 0; kind < 2; kind++) {
        sy_state_description description = kinds[kind];
        description.header = (sy_header)SY_HEADER_INIT(sy_state_description);
        const uint32_t n = kind == 0 ? MANY : 2;
        const uint64_t n_bytes = 2 * (uint64_t)description.width * (kind == 0 ? 2 : 4);
        const sy_state_request request = {.header = SY_HEADER_INIT(sy_state_request),
                                          .call = SY_STATE_CALL_CREATE,
                                          .count = n,
                                          .description = &description};
        CHECK_OK(runner.plugin->state_reserve(runner.device, &request, sizeof(request), 1, 0));
        sy_test_host_fail_alloc(&host, 0, UINT32_MAX);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_OK(runner.plugin->state_create(runner.device, &description, &states[i]));
            CHECK_OK(runner.plugin->state_load(states[i], 0, 2, rows, n_bytes));
            CHECK_OK(runner.plugin->state_shift(states[i], 1, 1, 0));
            CHECK_OK(runner.plugin->state_save(states[i], 0, 2, rows, n_bytes));
        }
        sy_test_host_never_fail(&host);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_OK(runner.plugin->state_destroy(states[i]));
        }
    }
    free(rows);
    CHECK_OK(sy_op_runner_close(&runner));
    CHECK_TEXT(host.n_live == 0 && host.n_misuses == 0, "%s", host.misuse);
    sy_test_host_deinit(&host);
}

static const sy_test_case cases[] = {
    {"sequences_of_any_slab_decode", sequences_of_any_slab_decode},
    {"prompts_and_decoding_mix", prompts_and_decoding_mix},
    {"steps_take_no_memory", steps_take_no_memory},
    {"what_is_reserved_cannot_fail", what_is_reserved_cannot_fail},
};
SY_TEST_MAIN(cases)
