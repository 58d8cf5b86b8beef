/* SPDX-License-Identifier: Apache-2.0 */
/* Requests over one engine: equal to lone runs, fair, and with exactly one end each. */
#include "e2e/engine_model.h"
#include "engine/engine_internal.h"
#include "switchyard/scheduler.h"
#include "switchyard/speculate.h"

#include <pthread.h>
#include <time.h>

#define N_REQUESTS 12u
#define N_PROMPT_MOST 40u
#define N_NEW 25u

/* A random number from a seed, for arrivals and prompts. */
static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill_prompt(uint32_t i, int32_t *out_tokens, uint32_t *out_n) {
    uint32_t random = 77 * i + 5;
    *out_n = 1 + next_random(&random) % N_PROMPT_MOST;
    for (uint32_t k = 0; k < *out_n; k++) {
        out_tokens[k] = (int32_t)(next_random(&random) % TINY_VOCAB);
    }
}

static sy_sampler *new_sampler(uint32_t i) {
    sy_sampler *sampler = NULL;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = i % 3 == 0 ? 0.0f : 1.2f;
    options.top_k = i % 2 == 0 ? 0 : 9;
    options.seed = 1000 + i;
    CHECK_OK(sy_sampler_create(NULL, TINY_VOCAB, &options, &sampler, NULL));
    return sampler;
}

static void open_kit(engine_kit *kit, uint32_t n_threads, uint32_t n_batch, uint32_t n_sequences) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_batch_tokens = n_batch;
    options.n_sequences = n_sequences;
    options.n_output_rows = n_batch < 16 ? n_batch : 16;
    CHECK_OK_ERROR(engine_kit_open(kit, NULL, n_threads, built_plugins(), &options), kit->error);
}

static sy_session *open_session(engine_kit *kit) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, 100, &session, &kit->error), kit->error);
    return session;
}

static sy_scheduler *new_scheduler(engine_kit *kit, const sy_scheduler_options *options) {
    sy_scheduler *scheduler = NULL;
    sy_status status = sy_scheduler_create(kit->engine, options, &scheduler, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    return scheduler;
}

/* What a request left behind. */
typedef struct trace {
    uint32_t n_tokens;
    int32_t tokens[100];
    float logits[TINY_VOCAB];
    uint32_t n_events, n_ends;
    sy_finish finish;
    sy_status status;
    uint32_t end_order;
} trace;

static uint32_t n_ended;

static int on_event(void *user, const sy_request_event *event) {
    trace *seen = user;
    CHECK(seen->n_ends == 0); /* nothing follows the last event */
    seen->n_events++;
    if (event->finish != SY_FINISH_NONE) {
        CHECK(event->result != NULL && event->result->finish == event->finish);
        CHECK((event->status == SY_OK) == (event->finish != SY_FINISH_FAILED));
        CHECK((event->error != NULL) == (event->finish == SY_FINISH_FAILED));
        seen->n_ends++;
        seen->finish = event->finish;
        seen->status = event->status;
        seen->end_order = __atomic_add_fetch(&n_ended, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

static void keep(sy_session *session, trace *out_trace) {
    sy_error error;
    const float *logits = NULL;
    const int32_t *tokens = sy_session_tokens(session, &out_trace->n_tokens);
    memcpy(out_trace->tokens, tokens, out_trace->n_tokens * sizeof(int32_t));
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &error), error);
    memcpy(out_trace->logits, logits, sizeof(out_trace->logits));
}

static void run_alone(trace *out_traces) {
    engine_kit kit;
    open_kit(&kit, 1, 64, 1);
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        int32_t prompt[N_PROMPT_MOST];
        uint32_t n = 0;
        const sy_generate_options options = {
            .struct_bytes = sizeof(options), .n_tokens_max = N_NEW, .ignore_end = 1};
        sy_session *session = open_session(&kit);
        sy_sampler *sampler = new_sampler(i);
        fill_prompt(i, prompt, &n);
        CHECK_OK_ERROR(sy_session_prefill(session, prompt, n, &kit.error), kit.error);
        CHECK_OK_ERROR(sy_session_generate(session, sampler, &options, NULL, &kit.error),
                       kit.error);
        keep(session, &out_traces[i]);
        sy_session_close(session);
        sy_sampler_destroy(sampler);
    }
    engine_kit_close(&kit);
}

/* The same requests, which arrive at random steps with mixed priorities. */
static void run_in_company(uint32_t n_threads, uint32_t n_batch, uint32_t n_sequences,
                           const trace *wanted) {
    engine_kit kit;
    static trace seen[N_REQUESTS];
    static int32_t prompts[N_REQUESTS][N_PROMPT_MOST];
    sy_session *sessions[N_REQUESTS];
    sy_sampler *samplers[N_REQUESTS];
    uint32_t random = n_threads * 31 + n_batch, n_left = 1, n_submitted = 0;
    memset(seen, 0, sizeof(seen));
    open_kit(&kit, n_threads, n_batch, n_sequences);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    while (n_left > 0 || n_submitted < N_REQUESTS) {
        while (n_submitted < N_REQUESTS && next_random(&random) % 4 == 0) {
            uint32_t i = n_submitted++;
            uint64_t id = 0;
            sessions[i] = open_session(&kit);
            samplers[i] = new_sampler(i);
            sy_request_options request = {.struct_bytes = sizeof(request),
                                          .priority = i % 2 == 0 ? SY_PRIORITY_FOREGROUND
                                                                 : SY_PRIORITY_BACKGROUND,
                                          .session = sessions[i],
                                          .tokens = prompts[i],
                                          .sampler = samplers[i],
                                          .n_tokens_max = N_NEW,
                                          .ignore_end = 1,
                                          .callback = on_event,
                                          .user = &seen[i]};
            fill_prompt(i, prompts[i], &request.n_tokens);
            CHECK_OK_ERROR(sy_scheduler_submit(scheduler, &request, &id, &kit.error), kit.error);
        }
        CHECK_OK_ERROR(sy_scheduler_run_step(scheduler, &n_left, &kit.error), kit.error);
    }
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        keep(sessions[i], &seen[i]);
        CHECK(seen[i].n_ends == 1 && seen[i].finish == SY_FINISH_LENGTH);
        CHECK_TEXT(
            seen[i].n_tokens == wanted[i].n_tokens &&
                memcmp(seen[i].tokens, wanted[i].tokens, wanted[i].n_tokens * sizeof(int32_t)) == 0,
            "request %u at %u threads, %u rows, %u sequences", i, n_threads, n_batch, n_sequences);
        CHECK(memcmp(seen[i].logits, wanted[i].logits, sizeof(wanted[i].logits)) == 0);
        sy_session_close(sessions[i]);
        sy_sampler_destroy(samplers[i]);
    }
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

static void same_tokens_in_any_company(void) {
    static trace wanted[N_REQUESTS];
    run_alone(wanted);
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        run_in_company(n_threads, 64, 8, wanted);
        run_in_company(n_threads, 7, 3, wanted); /* prompts in many chunks, not all at once */
    }
    run_in_company(2, 5, 1, wanted);
    run_in_company(2, 1, 4, wanted); /* one row a step */
    bool varied = false;
    for (uint32_t i = 1; i < wanted[1].n_tokens; i++) {
        varied = varied || wanted[1].tokens[i] != wanted[1].tokens[0];
    }
    CHECK(varied);
}

/* A request over a session with a prompt of n tokens. */
typedef struct sample {
    sy_session *session;
    sy_request_options options;
    trace seen;
    uint64_t id;
} sample;

static const int32_t text[100] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};

static void submit(engine_kit *kit, sy_scheduler *scheduler, sample *s, uint32_t n_prompt,
                   uint32_t n_new) {
    if (s->session == NULL) {
        s->session = open_session(kit);
    }
    memset(&s->seen, 0, sizeof(s->seen));
    s->options.struct_bytes = sizeof(s->options);
    s->options.session = s->session;
    s->options.tokens = text;
    s->options.n_tokens = n_prompt;
    s->options.n_tokens_max = n_new;
    s->options.ignore_end = 1;
    s->options.callback = s->options.callback != NULL ? s->options.callback : on_event;
    s->options.user = s->options.user != NULL ? s->options.user : &s->seen;
    sy_status status = sy_scheduler_submit(scheduler, &s->options, &s->id, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
}

static uint32_t run_steps(engine_kit *kit, sy_scheduler *scheduler, uint32_t n) {
    uint32_t n_left = 0;
    for (uint32_t i = 0; i < n; i++) {
        CHECK_OK_ERROR(sy_scheduler_run_step(scheduler, &n_left, &kit->error), kit->error);
    }
    return n_left;
}

static uint32_t tokens_of(const sample *s) {
    uint32_t n = 0;
    sy_session_tokens(s->session, &n);
    return n;
}

static void a_long_prompt_does_not_hold_up_decoding(void) {
    engine_kit kit;
    sample fast = {.session = NULL}, slow = {.session = NULL};
    sy_scheduler_stats stats;
    open_kit(&kit, 1, 16, 4);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL); /* 5 tokens beside decoding */
    submit(&kit, scheduler, &fast, 4, 30);
    run_steps(&kit, scheduler, 1);
    submit(&kit, scheduler, &slow, 60, 2);
    for (uint32_t i = 0; i < 12; i++) { /* 60 tokens by 5 */
        uint32_t before = tokens_of(&fast);
        run_steps(&kit, scheduler, 1);
        CHECK(tokens_of(&fast) == before + 1 && tokens_of(&slow) >= 5 * (i + 1));
    }
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(tokens_of(&fast) == 34 && tokens_of(&slow) == 62);
    sy_scheduler_get_stats(scheduler, &stats);
    CHECK(stats.n_requests == 0 && stats.n_sequences_most == 2 && stats.n_prompt_tokens == 64);
    CHECK(stats.n_decoded_tokens == 29 + 1); /* the last token of each needs no row */
    sy_session_close(fast.session);
    sy_session_close(slow.session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* With one place a step the foreground goes first, but the background moves on now and then. */
static void priorities_are_kept_and_nobody_starves(void) {
    engine_kit kit;
    sample slow = {.session = NULL}, fast[2] = {{.session = NULL}};
    sy_scheduler_options options;
    open_kit(&kit, 1, 16, 1);
    sy_scheduler_options_default(&options);
    options.n_patience_steps = 10;
    sy_scheduler *scheduler = new_scheduler(&kit, &options);
    slow.options.priority = SY_PRIORITY_BACKGROUND;
    submit(&kit, scheduler, &slow, 5, 12);
    submit(&kit, scheduler, &fast[0], 5, 30);
    submit(&kit, scheduler, &fast[1], 5, 30);
    run_steps(&kit, scheduler, 45);
    CHECK_TEXT(tokens_of(&slow) > 5 && tokens_of(&slow) < 12, "%u", tokens_of(&slow));
    uint32_t n[2] = {tokens_of(&fast[0]), tokens_of(&fast[1])};
    CHECK_TEXT(n[0] <= n[1] + 2 && n[1] <= n[0] + 2, "%u %u", n[0], n[1]);
    sy_scheduler_cancel(scheduler, fast[0].id);
    fast[0].seen.n_ends = 0;
    submit(&kit, scheduler, &fast[0], 40, 3); /* a new prompt goes before background decoding */
    uint32_t before = tokens_of(&slow);
    run_steps(&kit, scheduler, 8);
    CHECK(tokens_of(&slow) <= before + 1);
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(slow.seen.end_order > fast[0].seen.end_order && slow.seen.n_ends == 1);
    CHECK(slow.seen.end_order > fast[1].seen.end_order);
    sy_session_close(slow.session);
    sy_session_close(fast[0].session);
    sy_session_close(fast[1].session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

static void more_sessions_than_places_take_turns(void) {
    engine_kit kit;
    sample samples[7] = {{.session = NULL}};
    open_kit(&kit, 2, 16, 3);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    for (uint32_t i = 0; i < 7; i++) {
        submit(&kit, scheduler, &samples[i], 3, 40);
    }
    run_steps(&kit, scheduler, 60);
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t n = tokens_of(&samples[i]);
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    CHECK_TEXT(least > 20 && most - least <= 4, "%u to %u", least, most);
    for (uint32_t i = 0; i < 7; i++) {
        sy_scheduler_cancel(scheduler, samples[i].id);
        CHECK(samples[i].seen.finish == SY_FINISH_CANCELLED && samples[i].seen.n_ends == 1);
        sy_session_close(samples[i].session);
    }
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

static void a_deadline_ends_a_request_and_spares_its_session(void) {
    engine_kit kit;
    sample late = {.session = NULL}, other = {.session = NULL};
    const float *logits = NULL;
    open_kit(&kit, 1, 16, 2);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    late.options.timeout_ns = 1;
    submit(&kit, scheduler, &late, 20, 5);
    submit(&kit, scheduler, &other, 3, 5);
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(late.seen.finish == SY_FINISH_FAILED && late.seen.status == SY_DEADLINE_EXCEEDED);
    CHECK(other.seen.finish == SY_FINISH_LENGTH && tokens_of(&late) == 0);
    late.options.timeout_ns = 20000000; /* runs out while it decodes */
    submit(&kit, scheduler, &late, 20, 0);
    run_steps(&kit, scheduler, 4);
    nanosleep(&(struct timespec){.tv_nsec = 25000000}, NULL);
    CHECK(run_steps(&kit, scheduler, 1) == 0);
    CHECK(late.seen.status == SY_DEADLINE_EXCEEDED && late.seen.n_ends == 1);
    CHECK(tokens_of(&late) <= 24); /* what four steps gave, on a slow machine less */
    if (tokens_of(&late) == 0) {
        CHECK_OK_ERROR(sy_session_prefill(late.session, text, 20, &kit.error), kit.error);
    }
    CHECK_OK_ERROR(sy_session_logits(late.session, &logits, &kit.error), kit.error);
    late.options.timeout_ns = 0;
    submit(&kit, scheduler, &late, 0, 5); /* goes on where it stands */
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(late.seen.finish == SY_FINISH_LENGTH);
    sy_session_close(late.session);
    sy_session_close(other.session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* A session whose state is smaller than it says makes every step that carries it fail. */
static void a_failure_hurts_nobody_else(void) {
    engine_kit kit;
    sample bad = {.session = NULL}, good[2] = {{.session = NULL}};
    open_kit(&kit, 1, 32, 4);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    CHECK_OK(sy_session_open(kit.engine, 8, &bad.session, &kit.error));
    submit(&kit, scheduler, &good[0], 6, 20);
    submit(&kit, scheduler, &bad, 8, 20);
    submit(&kit, scheduler, &good[1], 6, 20);
    int32_t *tokens = bad.session->tokens;
    int32_t longer[64] = {0};
    bad.session->tokens = longer;
    bad.session->max_tokens = 64;
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(bad.seen.finish == SY_FINISH_FAILED && bad.seen.n_ends == 1);
    CHECK(SY_STATUS_CLASS(bad.seen.status) == SY_OUT_OF_RANGE);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(good[i].seen.finish == SY_FINISH_LENGTH && tokens_of(&good[i]) == 26);
    }
    CHECK(memcmp(good[0].session->tokens, good[1].session->tokens, 26 * sizeof(int32_t)) == 0);
    bad.session->tokens = tokens;
    bad.session->max_tokens = 8;
    sy_session_close(bad.session);
    sy_session_close(good[0].session);
    sy_session_close(good[1].session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

static void what_cannot_run_is_refused_with_a_sentence(void) {
    engine_kit kit;
    sample s = {.session = NULL};
    uint64_t id = 0;
    sy_scheduler_options options;
    sy_scheduler_options_default(&options);
    options.n_requests_max = 2;
    open_kit(&kit, 1, 16, 2);
    sy_scheduler *scheduler = new_scheduler(&kit, &options);
    sy_request_options request = {.struct_bytes = sizeof(request)};
    CHECK(sy_scheduler_submit(scheduler, &request, &id, &kit.error) == SY_INVALID_ARGUMENT);
    request.session = open_session(&kit);
    CHECK(sy_scheduler_submit(scheduler, &request, &id, &kit.error) == SY_FAILED_PRECONDITION);
    request.tokens = text;
    request.n_tokens = 101;
    CHECK(sy_scheduler_submit(scheduler, &request, &id, &kit.error) == SY_OUT_OF_RANGE);
    submit(&kit, scheduler, &s, 4, 5);
    CHECK(sy_scheduler_submit(scheduler, &s.options, &id, &kit.error) == SY_FAILED_PRECONDITION);
    request.n_tokens = 4;
    CHECK_OK(sy_scheduler_submit(scheduler, &request, &id, &kit.error));
    sy_session *third = open_session(&kit), *first = request.session;
    request.session = third;
    CHECK(sy_scheduler_submit(scheduler, &request, &id, &kit.error) == SY_RESOURCE_EXHAUSTED);
    CHECK(strstr(kit.error.message, "2 places") != NULL);
    sy_scheduler_destroy(scheduler); /* ends both */
    CHECK(s.seen.finish == SY_FINISH_CANCELLED);
    options.n_requests_max = 0;
    CHECK(sy_scheduler_create(kit.engine, &options, &scheduler, &kit.error) == SY_INVALID_ARGUMENT);
    sy_session_close(first);
    sy_session_close(third);
    sy_session_close(s.session);
    engine_kit_close(&kit);
}

/* A session that slides behind sinks goes on past its end, as it does alone. */
static void limits_of_sessions_act_while_they_decode(void) {
    engine_kit kit;
    sample s = {.session = NULL}, beside = {.session = NULL};
    uint32_t n_alone = 0;
    const sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = 4};
    open_kit(&kit, 2, 32, 2);
    sy_session *alone = open_session(&kit);
    s.session = open_session(&kit);
    CHECK_OK_ERROR(sy_session_set_limit(alone, &limit, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_set_limit(s.session, &limit, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_prefill(alone, text, 10, &kit.error), kit.error);
    const sy_generate_options generate = {
        .struct_bytes = sizeof(generate), .n_tokens_max = 250, .ignore_end = 1};
    CHECK_OK_ERROR(sy_session_generate(alone, NULL, &generate, NULL, &kit.error), kit.error);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    submit(&kit, scheduler, &s, 10, 250);
    submit(&kit, scheduler, &beside, 20, 0); /* stops when it is full */
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(s.seen.finish == SY_FINISH_LENGTH && beside.seen.finish == SY_FINISH_LENGTH);
    const int32_t *wanted = sy_session_tokens(alone, &n_alone);
    CHECK(tokens_of(&s) == n_alone && tokens_of(&beside) == 100);
    CHECK(memcmp(wanted, s.session->tokens, n_alone * sizeof(int32_t)) == 0);
    sy_session_close(alone);
    sy_session_close(s.session);
    sy_session_close(beside.session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* The second request of a prompt takes what the first one computed; one that is cancelled before it
 * added anything leaves its session empty. */
static void stored_prefixes_serve_requests(void) {
    engine_kit kit;
    sample samples[3] = {{.session = NULL}};
    sy_session_stats stats;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_sequences = 1;
    options.n_batch_tokens = 24;
    options.prefix_bytes = 1 << 20;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, 2, built_plugins(), &options), kit.error);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        submit(&kit, scheduler, &samples[i], 70, 10);
        CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
        CHECK(samples[i].seen.finish == SY_FINISH_LENGTH && tokens_of(&samples[i]) == 80);
        sy_session_get_stats(samples[i].session, &stats);
        CHECK((stats.n_reused_tokens > 0) == (i == 1));
    }
    CHECK(memcmp(samples[0].session->tokens, samples[1].session->tokens, 80 * 4) == 0);
    sample busy = {.session = NULL};
    submit(&kit, scheduler, &busy, 5, 50); /* takes the one place */
    samples[2].options.priority = SY_PRIORITY_BACKGROUND;
    submit(&kit, scheduler, &samples[2], 70, 10);
    run_steps(&kit, scheduler, 3);
    CHECK(tokens_of(&samples[2]) > 0 && tokens_of(&samples[2]) < 70); /* what was stored */
    sy_scheduler_cancel(scheduler, samples[2].id);
    CHECK(tokens_of(&samples[2]) == 0);
    sy_scheduler_cancel(scheduler, busy.id);
    submit(&kit, scheduler, &samples[2], 70, 10);
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(memcmp(samples[0].session->tokens, samples[2].session->tokens, 80 * 4) == 0);
    sy_session_close(busy.session);
    for (uint32_t i = 0; i < 3; i++) {
        sy_session_close(samples[i].session);
    }
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* A callback that ends another request and starts a third one, on the session of its own. */
typedef struct plot {
    sy_scheduler *scheduler;
    sample *victim, *heir;
    engine_kit *kit;
    uint32_t n_ends;
} plot;

static int scheme(void *user, const sy_request_event *event) {
    plot *p = user;
    if (event->finish == SY_FINISH_NONE) {
        return 0;
    }
    p->n_ends++;
    sy_scheduler_cancel(p->scheduler, p->victim->id);
    CHECK(p->victim->seen.finish == SY_FINISH_CANCELLED);
    submit(p->kit, p->scheduler, p->heir, 0, 4);
    return 0;
}

static void callbacks_may_submit_and_cancel(void) {
    engine_kit kit;
    sample plotter = {.session = NULL}, victim = {.session = NULL}, heir = {.session = NULL};
    open_kit(&kit, 1, 32, 4);
    sy_scheduler *scheduler = new_scheduler(&kit, NULL);
    plot p = {.scheduler = scheduler, .victim = &victim, .heir = &heir, .kit = &kit};
    plotter.options.callback = scheme;
    plotter.options.user = &p;
    submit(&kit, scheduler, &plotter, 3, 3);
    heir.session = plotter.session;
    submit(&kit, scheduler, &victim, 5, 0);
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &kit.error), kit.error);
    CHECK(p.n_ends == 1 && victim.seen.n_ends == 1 && heir.seen.finish == SY_FINISH_LENGTH);
    CHECK(tokens_of(&heir) == 10 && tokens_of(&victim) < 100);
    sy_session_close(plotter.session);
    sy_session_close(victim.session);
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* ---- threads ---- */
typedef struct service {
    sy_scheduler *scheduler;
    uint32_t quit;
} service;

static void *serve(void *argument) {
    service *s = argument;
    sy_error error;
    uint32_t n_left = 0;
    while (!__atomic_load_n(&s->quit, __ATOMIC_ACQUIRE)) {
        if (sy_scheduler_wait(s->scheduler, UINT64_MAX) > 0) {
            CHECK_OK_ERROR(sy_scheduler_run_step(s->scheduler, &n_left, &error), error);
        }
    }
    return NULL;
}

typedef struct client {
    sy_scheduler *scheduler;
    sy_engine *engine;
    uint32_t seed;
} client;

static void *submit_and_cancel(void *argument) {
    client *c = argument;
    sy_error error;
    sy_speculator *speculator = NULL;
    sy_speculator_options guessing;
    sy_speculator_options_default(&guessing);
    guessing.always = 1;
    sy_scheduler_enter(c->scheduler);
    CHECK_OK_ERROR(sy_speculator_create(c->engine, &guessing, &speculator, &error), error);
    sy_scheduler_leave(c->scheduler);
    for (uint32_t round = 0; round < 40; round++) {
        trace seen = {.n_tokens = 0};
        sy_session *session = NULL;
        uint64_t id = 0;
        sy_scheduler_enter(c->scheduler);
        CHECK_OK_ERROR(sy_session_open(c->engine, 100, &session, &error), error);
        sy_scheduler_leave(c->scheduler);
        sy_request_options request = {.struct_bytes = sizeof(request),
                                      .session = session,
                                      .tokens = text,
                                      .n_tokens = 1 + next_random(&c->seed) % 30,
                                      .speculator = round % 3 != 0 ? speculator : NULL,
                                      .callback = on_event,
                                      .user = &seen};
        CHECK_OK_ERROR(sy_scheduler_submit(c->scheduler, &request, &id, &error), error);
        nanosleep(&(struct timespec){.tv_nsec = next_random(&c->seed) % 2000000}, NULL);
        sy_scheduler_cancel(c->scheduler, id);
        CHECK(seen.n_ends == 1); /* and on_event refuses any later one */
        memset(&seen, 0xff, sizeof(seen));
        sy_scheduler_enter(c->scheduler);
        sy_session_close(session);
        sy_scheduler_leave(c->scheduler);
        CHECK(seen.n_ends == UINT32_MAX);
    }
    sy_scheduler_enter(c->scheduler);
    sy_speculator_destroy(speculator);
    sy_scheduler_leave(c->scheduler);
    return NULL;
}

static void requests_come_and_go_on_many_threads(void) {
    engine_kit kit;
    open_kit(&kit, 1, 16, 4);
    service s = {.scheduler = new_scheduler(&kit, NULL)};
    client clients[3];
    pthread_t server, threads[3];
    CHECK(pthread_create(&server, NULL, serve, &s) == 0);
    for (uint32_t i = 0; i < 3; i++) {
        clients[i] = (client){.scheduler = s.scheduler, .engine = kit.engine, .seed = i + 1};
        CHECK(pthread_create(&threads[i], NULL, submit_and_cancel, &clients[i]) == 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    __atomic_store_n(&s.quit, 1, __ATOMIC_RELEASE);
    sy_scheduler_wake(s.scheduler);
    pthread_join(server, NULL);
    sy_scheduler_stats stats;
    sy_scheduler_get_stats(s.scheduler, &stats);
    CHECK(stats.n_requests == 0 && stats.n_steps > 0);
    sy_scheduler_destroy(s.scheduler);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"same_tokens_in_any_company", same_tokens_in_any_company},
    {"a_long_prompt_does_not_hold_up_decoding", a_long_prompt_does_not_hold_up_decoding},
    {"priorities_are_kept_and_nobody_starves", priorities_are_kept_and_nobody_starves},
    {"more_sessions_than_places_take_turns", more_sessions_than_places_take_turns},
    {"a_deadline_ends_a_request_and_spares_its_session",
     a_deadline_ends_a_request_and_spares_its_session},
    {"a_failure_hurts_nobody_else", a_failure_hurts_nobody_else},
    {"what_cannot_run_is_refused_with_a_sentence", what_cannot_run_is_refused_with_a_sentence},
    {"limits_of_sessions_act_while_they_decode", limits_of_sessions_act_while_they_decode},
    {"stored_prefixes_serve_requests", stored_prefixes_serve_requests},
    {"callbacks_may_submit_and_cancel", callbacks_may_submit_and_cancel},
    {"requests_come_and_go_on_many_threads", requests_come_and_go_on_many_threads},
};
SY_TEST_MAIN(cases)
