/* SPDX-License-Identifier: Apache-2.0 */
/* Whole units: ragged steps, threads, scratch, failures, cancel, deadlines, waits. */
#include "base/clock.h"
#include "harness.h"
#include "reference/decoder_graph.h"
#include "reference/reference.h"

#define MAX_SEQUENCES 4
#define LOGITS_MAX (DECODER_MAX_TOKENS * DECODER_VOCABULARY)

/* A reference delegate with a loaded decoder and a state pair for each sequence. */
typedef struct fixture {
    sy_test_host host;
    sy_op_runner runner;
    decoder_graph decoder;
    sy_op_unit unit;
    sy_state *states[MAX_SEQUENCES * DECODER_STATES];
} fixture;

static void setup(fixture *f, uint32_t n_workers, sy_element_type state_type, bool expose) {
    sy_error error = {0};
    memset(f, 0, sizeof(*f));
    CHECK_OK_ERROR(sy_test_host_init(&f->host, n_workers, &error), error);
    const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION, &f->host.services);
    CHECK_OK_ERROR(sy_op_runner_open(&f->runner, table, &f->host, 0, NULL, &error), error);
    decoder_graph_init(&f->decoder, state_type, expose);
    CHECK_OK_ERROR(sy_op_load(&f->runner, &f->decoder.graph, &f->unit, &error), error);
    for (int i = 0; i < MAX_SEQUENCES * DECODER_STATES; i++) {
        f->states[i] = decoder_state(&f->runner, state_type);
    }
}

static void teardown(fixture *f) {
    for (int i = 0; i < MAX_SEQUENCES * DECODER_STATES; i++) {
        CHECK_OK(f->runner.plugin->state_destroy(f->states[i]));
    }
    sy_op_unload(&f->unit);
    decoder_graph_deinit(&f->decoder);
    CHECK_OK(sy_op_runner_close(&f->runner));
    CHECK_TEXT(f->host.n_live == 0, "%zu allocations are live", f->host.n_live);
    CHECK_TEXT(f->host.n_misuses == 0, "%s", f->host.misuse);
    sy_test_host_deinit(&f->host);
}

/* Token i of sequence s in every test. */
static int32_t token_of(uint32_t s, uint32_t i) {
    return (int32_t)((i * 7 + s * 13 + 3) % DECODER_VOCABULARY);
}

/* Runs sequences that use state pairs first_state, first_state + 1, ... Logits go to `logits`. */
static sy_status step(fixture *f, uint32_t n_sequences, const sy_sequence *sequences,
                      uint32_t first_state, int32_t spoil, float *logits, sy_error *error) {
    int32_t ids[DECODER_MAX_TOKENS + 8], positions[DECODER_MAX_TOKENS + 8];
    int64_t symbols[2] = {0, 0};
    for (uint32_t s = 0; s < n_sequences; s++) {
        for (uint32_t i = 0; i < sequences[s].n_tokens; i++) {
            uint32_t row = sequences[s].first_row + i;
            CHECK(row < DECODER_MAX_TOKENS + 8);
            ids[row] = token_of(first_state + s, sequences[s].n_past + i) + spoil;
            positions[row] = (int32_t)(sequences[s].n_past + i);
        }
        symbols[SY_SYMBOL_TOKENS] += sequences[s].n_tokens;
    }
    enum { OUTPUTS_MAX = 32 };
    static float others[OUTPUTS_MAX][DECODER_MAX_TOKENS * DECODER_HIDDEN];
    void *outputs[OUTPUTS_MAX];
    uint32_t n_outputs = f->decoder.graph.segment.n_outputs;
    CHECK(n_outputs <= OUTPUTS_MAX);
    for (uint32_t i = 0; i < n_outputs; i++) {
        outputs[i] = i + 1 < n_outputs ? others[i] : logits;
    }
    sy_op_step s = {.inputs = (const void *[]){ids, positions}, .outputs = outputs};
    s.symbols = symbols;
    s.n_symbols = 2;
    s.n_sequences = n_sequences;
    s.sequences = sequences;
    s.states = f->states + first_state * DECODER_STATES;
    return sy_op_submit(&f->unit, &s, error);
}

static void step_ok(fixture *f, uint32_t n_sequences, const sy_sequence *sequences,
                    uint32_t first_state, float *logits) {
    sy_error error = {0};
    CHECK_OK_ERROR(step(f, n_sequences, sequences, first_state, 0, logits, &error), error);
}

static const sy_element_type state_types[] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16, SY_TYPE_Q8_0,
                                              SY_TYPE_Q4_0};
#define N_STATE_TYPES (sizeof(state_types) / sizeof(state_types[0]))

static bool same_rows(const float *a, const float *b, uint32_t n_rows) {
    return memcmp(a, b, n_rows * DECODER_VOCABULARY * sizeof(float)) == 0;
}

static void ragged_step_equals_separate_steps(void) {
    static fixture f;
    static float together[LOGITS_MAX], alone[LOGITS_MAX], next[LOGITS_MAX];
    for (size_t t = 0; t < N_STATE_TYPES; t++) {
        setup(&f, 1, state_types[t], false);
        static const sy_sequence first[3] = {{0, 9, 0, 0}, {9, 1, 0, 0}, {10, 17, 0, 0}};
        static const sy_sequence second[3] = {{0, 1, 9, 0}, {1, 3, 1, 0}, {4, 12, 17, 0}};
        step_ok(&f, 3, first, 0, together);
        step_ok(&f, 3, second, 0, next);
        for (uint32_t s = 0; s < 3; s++) { /* the states are written again with the same rows */
            sy_sequence one = first[s];
            one.first_row = 0;
            step_ok(&f, 1, &one, s, alone);
            CHECK(
                same_rows(alone, together + first[s].first_row * DECODER_VOCABULARY, one.n_tokens));
            one = second[s];
            one.first_row = 0;
            step_ok(&f, 1, &one, s, alone);
            CHECK(same_rows(alone, next + second[s].first_row * DECODER_VOCABULARY, one.n_tokens));
        }
        teardown(&f);
    }
}

static void prefill_equals_token_by_token(void) {
    static fixture f;
    static float all[LOGITS_MAX], one[LOGITS_MAX];
    for (size_t t = 0; t < N_STATE_TYPES; t++) {
        setup(&f, 1, state_types[t], false);
        step_ok(&f, 1, &(sy_sequence){0, 21, 0, 0}, 0, all);
        for (uint32_t i = 0; i < 21; i++) {
            step_ok(&f, 1, &(sy_sequence){0, 1, i, 0}, 0, one);
            CHECK(same_rows(one, all + i * DECODER_VOCABULARY, 1));
        }
        teardown(&f);
    }
}

static void thread_counts_give_identical_bits(void) {
    static fixture f;
    static float first[LOGITS_MAX], other[LOGITS_MAX];
    static const sy_sequence sequences[2] = {{0, 30, 0, 0}, {30, 11, 0, 0}};
    for (uint32_t n_workers = 1; n_workers <= 7; n_workers += 2) {
        setup(&f, n_workers, SY_TYPE_F16, false);
        for (int repeat = 0; repeat < 3; repeat++) {
            float *logits = n_workers == 1 && repeat == 0 ? first : other;
            step_ok(&f, 2, sequences, 0, logits);
            CHECK(same_rows(first, logits, 41));
        }
        CHECK(f.host.n_parallel > 0);
        teardown(&f);
    }
}

static void scratch_is_reused_without_harm(void) {
    static fixture f;
    static float scratched[LOGITS_MAX], exposed[LOGITS_MAX];
    static const sy_sequence sequences[1] = {{0, 40, 0, 0}};
    setup(&f, 1, SY_TYPE_F32, false);
    step_ok(&f, 1, sequences, 0, scratched);
    uint64_t sum = 0, n_bytes = 0;
    for (size_t i = 0; i < f.decoder.graph.n_values; i++) {
        const sy_value_view *value = &f.decoder.graph.values[i];
        if (value->kind == SY_VALUE_ACTIVATION) {
            CHECK(sy_test_value_bytes(value, NULL, 0, &n_bytes));
            sum += n_bytes;
        }
    }
    CHECK_TEXT(f.unit.info.scratch_bytes < sum / 2, "%lu of %lu",
               (unsigned long)f.unit.info.scratch_bytes, (unsigned long)sum);
    teardown(&f);
    setup(&f, 1, SY_TYPE_F32, true); /* nothing in scratch, nothing shared */
    step_ok(&f, 1, sequences, 0, exposed);
    CHECK(same_rows(scratched, exposed, 40));
    teardown(&f);
}

static void failed_step_names_the_node_and_can_be_repeated(void) {
    static fixture f;
    static float want[LOGITS_MAX], got[LOGITS_MAX];
    static const sy_sequence past = {0, 5, 0, 0}, next = {0, 3, 5, 0};
    setup(&f, 1, SY_TYPE_F16, false);
    step_ok(&f, 1, &past, 0, want);
    step_ok(&f, 1, &next, 0, want);
    sy_error error = {0};
    uint64_t n_signals = f.host.fences[0].n_signals;
    CHECK(step(&f, 1, &next, 0, DECODER_VOCABULARY, got, &error) == SY_OUT_OF_RANGE);
    CHECK(f.host.fences[0].n_signals == n_signals + 1);
    CHECK_TEXT(strstr(error.message, "Embedding") != NULL, "%s", error.message);
    CHECK(error.i_node == 0);
    step_ok(&f, 1, &next, 0, got);
    CHECK(same_rows(want, got, 3));
    teardown(&f);
}

static void steps_allocate_nothing(void) {
    static fixture f;
    static float logits[LOGITS_MAX];
    setup(&f, 2, SY_TYPE_Q8_0, false);
    uint64_t n_allocs = f.host.n_allocs;
    step_ok(&f, 1, &(sy_sequence){0, 30, 0, 0}, 0, logits);
    step_ok(&f, 1, &(sy_sequence){0, 1, 30, 0}, 0, logits);
    CHECK(f.host.n_allocs == n_allocs);
    teardown(&f);
}

static void refused_memory_at_load_is_clean(void) {
    static fixture f;
    static float want[LOGITS_MAX], got[LOGITS_MAX];
    static const sy_sequence sequence = {0, 4, 0, 0};
    setup(&f, 1, SY_TYPE_F32, false);
    step_ok(&f, 1, &sequence, 0, want);
    sy_op_unload(&f.unit);
    size_t n_live = f.host.n_live;
    uint64_t n_ok = 0;
    sy_status status = SY_RESOURCE_EXHAUSTED;
    for (; status != SY_OK; n_ok++) {
        sy_error error = {0};
        sy_test_host_fail_alloc(&f.host, n_ok, UINT32_MAX);
        status = sy_op_load(&f.runner, &f.decoder.graph, &f.unit, &error);
        CHECK(status == SY_OK || status == SY_RESOURCE_EXHAUSTED);
        CHECK(status == SY_OK || (f.host.n_live == n_live && error.message[0] != '\0'));
        CHECK(n_ok < 1000);
    }
    CHECK(n_ok > 5);
    sy_test_host_never_fail(&f.host);
    step_ok(&f, 1, &sequence, 0, got);
    CHECK(same_rows(want, got, 4));
    teardown(&f);
}

/* A job over the fixture's buffers, to be broken by a test. */
typedef struct loose_job {
    sy_job job;
    sy_binding bindings[8];
    int64_t symbols[2];
    sy_sequence sequence;
    sy_point signal;
} loose_job;

static void make_job(fixture *f, loose_job *j) {
    const sy_segment *segment = &f->decoder.graph.segment;
    static const uint64_t row_bytes[3] = {4, 4, DECODER_VOCABULARY * 4};
    memset(j, 0, sizeof(*j));
    j->job.header = (sy_header)SY_HEADER_INIT(sy_job);
    j->symbols[SY_SYMBOL_TOKENS] = 3;
    j->sequence = (sy_sequence){0, 3, 0, 0};
    j->signal = sy_test_host_next_point(&f->host, 1);
    for (int i = 0; i < 3; i++) {
        j->bindings[i] = (sy_binding){f->unit.buffers[i], 0, 3 * row_bytes[i]};
    }
    void *mapped = NULL; /* ids and positions 0 */
    for (int i = 0; i < 2; i++) {
        CHECK_OK(f->runner.plugin->buffer_map(f->unit.buffers[i], 0, 12, SY_ACCESS_WRITE, &mapped));
        memset(mapped, 0, 12);
    }
    j->job.symbols = j->symbols;
    j->job.n_symbols = 2;
    j->job.n_inputs = segment->n_inputs;
    j->job.n_outputs = segment->n_outputs;
    j->job.inputs = j->bindings;
    j->job.outputs = j->bindings + 2;
    j->job.n_sequences = 1;
    j->job.sequences = &j->sequence;
    j->job.n_states = DECODER_STATES;
    j->job.states = f->states;
    j->job.n_signals = 1;
    j->job.signals = &j->signal;
    j->job.scratch = (sy_binding){f->unit.buffers[3], 0, f->unit.info.scratch_bytes};
    j->job.run = 77;
}

/* An error answer means that nothing was started and no signal comes. */
static void expect_refused(fixture *f, const loose_job *j, sy_status want, const char *what) {
    uint64_t n_signals = f->host.fences[1].n_signals;
    sy_test_host_clear_report(&f->host);
    sy_status status = f->runner.plugin->submit(f->unit.unit, &j->job);
    CHECK_TEXT(status == want, "%s: status %u, wanted %u", what, status, want);
    CHECK_TEXT(f->host.fences[1].n_signals == n_signals, "%s was signalled", what);
    CHECK_TEXT(f->host.report[0] != '\0', "%s was not reported", what);
}

static void jobs_that_do_not_fit_are_refused(void) {
    static fixture f, other;
    loose_job j;
    setup(&f, 1, SY_TYPE_F32, false);
    setup(&other, 1, SY_TYPE_F32, false);
    make_job(&f, &j);
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].n_signals == 1 && f.host.fences[1].status == SY_OK);
#define REFUSED(want, change)                    \
    do {                                         \
        make_job(&f, &j);                        \
        change;                                  \
        expect_refused(&f, &j, (want), #change); \
    } while (0)
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[0].length_bytes--);
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[2].length_bytes = 1u << 30);
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[1].offset_bytes = UINT64_MAX - 63);
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[1].offset_bytes = 4);
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[0].buffer = NULL);
    REFUSED(SY_INVALID_ARGUMENT, j.bindings[0].buffer = other.unit.buffers[0]);
    REFUSED(SY_INVALID_ARGUMENT, j.job.scratch.length_bytes--);
    REFUSED(SY_INVALID_ARGUMENT, j.job.scratch.buffer = NULL);
    REFUSED(SY_INVALID_ARGUMENT, j.job.n_inputs = 1);
    REFUSED(SY_INVALID_ARGUMENT, j.job.outputs = NULL);
    REFUSED(SY_INVALID_ARGUMENT, j.job.n_symbols = 1);
    REFUSED(SY_INVALID_ARGUMENT, j.symbols[SY_SYMBOL_TOKENS] = DECODER_MAX_TOKENS + 1);
    REFUSED(SY_INVALID_ARGUMENT, j.symbols[SY_SYMBOL_TOKENS] = -1);
    REFUSED(SY_INVALID_ARGUMENT, j.symbols[SY_SYMBOL_TOKENS] = INT64_MAX);
    REFUSED(SY_INVALID_ARGUMENT, j.symbols[SY_SYMBOL_TOKENS] = 2);
    REFUSED(SY_INVALID_ARGUMENT, j.sequence.n_tokens = 4);
    REFUSED(SY_INVALID_ARGUMENT, j.sequence.first_row = 1);
    REFUSED(SY_OUT_OF_RANGE, j.sequence.n_past = DECODER_MAX_TOKENS - 2);
    REFUSED(SY_OUT_OF_RANGE, j.sequence.n_past = UINT32_MAX);
    REFUSED(SY_INVALID_ARGUMENT, j.sequence.adapter = 1);
    REFUSED(SY_INVALID_ARGUMENT, j.job.n_states = 1);
    REFUSED(SY_INVALID_ARGUMENT, j.job.states = NULL);
    REFUSED(SY_INVALID_ARGUMENT, j.job.states = other.states);
    sy_state *const missing[DECODER_STATES] = {f.states[0], NULL};
    REFUSED(SY_INVALID_ARGUMENT, j.job.states = missing);
    teardown(&other);
    teardown(&f);
}

static void a_job_can_be_stopped(void) {
    static fixture f;
    loose_job j;
    setup(&f, 1, SY_TYPE_F32, false);
    make_job(&f, &j);
    j.job.deadline_ns = sy__clock_now_ns() - 1;
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_DEADLINE_EXCEEDED);
    make_job(&f, &j);
    CHECK_OK(f.runner.plugin->cancel(f.unit.unit, 76)); /* another run */
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_OK);
    make_job(&f, &j);
    CHECK_OK(f.runner.plugin->cancel(f.unit.unit, 77));
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_CANCELLED);
    make_job(&f, &j);
    j.job.run = 78;
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_OK);
    teardown(&f);
}

static void a_failed_wait_poisons_the_job(void) {
    static fixture f;
    loose_job j;
    setup(&f, 1, SY_TYPE_F32, false);
    sy_context *context = f.host.services.context;
    sy_point wait = sy_test_host_next_point(&f.host, 5);
    f.host.services.fence_signal(context, wait, SY_OK);
    make_job(&f, &j);
    j.job.waits = &wait;
    j.job.n_waits = 1;
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_OK);
    wait = sy_test_host_next_point(&f.host, 5);
    f.host.services.fence_signal(context, wait, SY_UNAVAILABLE);
    make_job(&f, &j);
    j.job.waits = &wait;
    j.job.n_waits = 1;
    CHECK_OK(f.runner.plugin->submit(f.unit.unit, &j.job));
    CHECK(f.host.fences[1].status == SY_STATUS(SY_ABORTED, SY_DETAIL_POISONED));
    /* Without a signal the status comes back directly. */
    make_job(&f, &j);
    j.job.waits = &wait;
    j.job.n_waits = 1;
    j.job.n_signals = 0;
    CHECK(f.runner.plugin->submit(f.unit.unit, &j.job) ==
          SY_STATUS(SY_ABORTED, SY_DETAIL_POISONED));
    teardown(&f);
}

static void segments_that_do_not_hang_together_are_refused(void) {
    static fixture f;
    setup(&f, 1, SY_TYPE_F32, false);
    sy_load_request request = {.header = SY_HEADER_INIT(sy_load_request)};
    sy_segment segment = f.decoder.graph.segment;
    request.view = &f.decoder.graph.view;
    request.segment = &segment;
    sy_unit *unit = NULL;
    size_t n_live = f.host.n_live;
#define LOAD_REFUSED(change)                                                              \
    do {                                                                                  \
        segment = f.decoder.graph.segment;                                                \
        change;                                                                           \
        sy_test_host_clear_report(&f.host);                                               \
        sy_status status = f.runner.plugin->load(f.runner.device, &request, NULL, &unit); \
        CHECK_TEXT(status == SY_INVALID_ARGUMENT, "%s: status %u", #change, status);      \
        CHECK(f.host.report[0] != '\0' && f.host.n_live == n_live && unit == NULL);       \
    } while (0)
    static const uint32_t far[] = {0, 1, 999}, twice[] = {0, 0};
    uint32_t input = f.decoder.graph.segment.inputs[0];
    const uint32_t backwards[] = {1, 0};
    LOAD_REFUSED((segment.nodes = far, segment.n_nodes = 3));
    LOAD_REFUSED((segment.nodes = twice, segment.n_nodes = 2, segment.n_outputs = 0));
    LOAD_REFUSED((segment.nodes = backwards, segment.n_nodes = 2, segment.n_outputs = 0));
    LOAD_REFUSED(segment.n_inputs = 1);
    LOAD_REFUSED(segment.n_states = 1);
    LOAD_REFUSED(segment.n_nodes--);
    LOAD_REFUSED(segment.outputs = &input);
    LOAD_REFUSED(segment.options = "fast=1\n");
    teardown(&f);
}

static const sy_test_case cases[] = {
    {"ragged_step_equals_separate_steps", ragged_step_equals_separate_steps},
    {"prefill_equals_token_by_token", prefill_equals_token_by_token},
    {"thread_counts_give_identical_bits", thread_counts_give_identical_bits},
    {"scratch_is_reused_without_harm", scratch_is_reused_without_harm},
    {"failed_step_names_the_node_and_can_be_repeated",
     failed_step_names_the_node_and_can_be_repeated},
    {"steps_allocate_nothing", steps_allocate_nothing},
    {"refused_memory_at_load_is_clean", refused_memory_at_load_is_clean},
    {"jobs_that_do_not_fit_are_refused", jobs_that_do_not_fit_are_refused},
    {"a_job_can_be_stopped", a_job_can_be_stopped},
    {"a_failed_wait_poisons_the_job", a_failed_wait_poisons_the_job},
    {"segments_that_do_not_hang_together_are_refused",
     segments_that_do_not_hang_together_are_refused},
};
SY_TEST_MAIN(cases)
