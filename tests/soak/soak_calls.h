/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the soak: each is made on the engine and on the model, and both must agree. */
#ifndef SY_TESTS_SOAK_CALLS_H
#define SY_TESTS_SOAK_CALLS_H

#include "soak/soak_world.h"
#include "switchyard/scheduler.h"

/* Every other seed is greedy. */
static inline sy_sampler *make_sampler(soak *k, uint32_t seed) {
    sy_sampler_options options;
    sy_sampler *sampler = NULL;
    sy_sampler_options_default(&options);
    options.temperature = seed % 2 == 0 ? 0.0f : 1.0f;
    options.seed = seed;
    CHECK_OK(sy_sampler_create(&k->heap.allocator, TINY_VOCAB, &options, &sampler, NULL));
    return sampler;
}

static inline void close_place(place *p) {
    sy_session_close(p->session);
    p->session = NULL;
}

/* An empty place, or one whose session is closed for it. */
static inline place *take_place(soak *k, const place *but) {
    place *p = &k->places[below(k, PLACES)];
    p = p == but ? &k->places[((size_t)(p - k->places) + 1) % PLACES] : p;
    close_place(p);
    return p;
}

static inline void now_at(soak *k, place *p, const soak_model *model, uint32_t max_tokens) {
    p->soak = k;
    p->model = *model;
    p->model.max_tokens = max_tokens;
    p->n_recomputed = 0;
    p->limit = (sy_limit_options){0};
}

static inline void open_session(soak *k, place *p) {
    sy_engine_memory memory;
    static const soak_model empty;
    uint32_t max_tokens = 24 + below(k, SOAK_TOKENS - 24 + 1);
    bool is_long = below(k, 30) == 0;
    max_tokens = is_long ? SOAK_TOKENS + max_tokens : max_tokens;
    tell(k, "open %u", max_tokens);
    sy_engine_get_memory(k->kit.engine, max_tokens, &memory);
    uint64_t heap_before = k->heap.used_bytes;
    sy_status status = sy_session_open(k->kit.engine, max_tokens, &p->session, &k->kit.error);
    if (is_long || is_over_budget(status)) {
        CHECK(!is_long || status == SY_OUT_OF_RANGE);
        CHECK(p->session == NULL && k->heap.used_bytes <= heap_before);
        sy_engine_get_memory(k->kit.engine, max_tokens, &memory);
        CHECK(is_long || memory.load_bytes + memory.reserved_bytes + memory.session_bytes >
                             memory.budget_bytes);
        k->n_over_budget += !is_long;
        return;
    }
    CHECK_OK_ERROR(status, k->kit.error);
    now_at(k, p, &empty, max_tokens);
    if (k->has_adapters && below(k, 3) == 0) {
        p->model.adapters = below(k, 1u << SOAK_ADAPTERS);
        soak_adapt(p->session, k->adapters, p->model.adapters, &k->kit.error);
    }
    if (below(k, 2) == 0) {
        set_limit(k, p, (sy_at_limit)below(k, 3));
    }
}

/* Few beginnings, so that stored prefixes are found again. */
static inline uint32_t draw_tokens(soak *k, uint32_t n_before, int32_t *out, uint32_t n_most) {
    uint32_t n = 1 + below(k, n_most), begin = below(k, 2);
    for (uint32_t i = 0; i < n; i++) {
        bool is_common = n_before == 0 && below(k, 20) != 0;
        out[i] = (int32_t)(is_common ? (i * 7 + begin) % TINY_VOCAB : below(k, TINY_VOCAB));
    }
    return n;
}

static inline void prefill(soak *k, place *p) {
    int32_t tokens[2 * MOST_NEW];
    soak_model *m = &p->model;
    uint32_t n_most = below(k, 4) == 0 ? 2 * MOST_NEW : MOST_NEW, n_held = 0;
    uint32_t n = draw_tokens(k, m->n_tokens, tokens, n_most);
    tell(k, "prefill %u after %u of %u, limit %u", n, m->n_tokens, m->max_tokens,
         (unsigned)p->limit.at_limit);
    p->coming = tokens;
    p->n_coming = n;
    sy_status status = sy_session_prefill(p->session, tokens, n, &k->kit.error);
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        CHECK(is_over_budget(status)); /* shared rows that a slide writes */
        close_place(p);
        return;
    }
    if (status != SY_OK) {
        bool stops = p->limit.at_limit == SY_AT_LIMIT_STOP;
        CHECK(p->limit.at_limit != SY_AT_LIMIT_SLIDE && n > m->max_tokens - m->n_tokens);
        CHECK(stops || m->n_tokens == m->max_tokens); /* the callback named nothing */
        sy_session_tokens(p->session, &n_held);
        if (n_held == 0) {
            soak_back(m, 0); /* as empty as before */
        }
        settle(p);
        return;
    }
    while (p->n_coming > 0) {
        uint32_t n_free = m->max_tokens - m->n_tokens;
        n_free = n_free < p->n_coming ? n_free : p->n_coming;
        if (n_free == 0) {
            slide(p);
        }
        soak_append(m, p->coming, n_free);
        p->coming += n_free;
        p->n_coming -= n_free;
    }
    settle(p);
}

/* The tokens that a session made again would generate: prompt first, then n_new with a sampler. */
static inline void foresee(soak *k, const soak_model *model, const int32_t *prompt,
                           uint32_t n_prompt, uint32_t n_new, uint32_t seed, int32_t *out_tokens) {
    sy_sampler *sampler = make_sampler(k, seed);
    sy_session *fresh = soak_make_again(&k->naive, model);
    CHECK_OK_ERROR(sy_session_prefill(fresh, prompt, n_prompt, &k->naive.kit.error),
                   k->naive.kit.error);
    for (uint32_t i = 0; i < n_new; i++) {
        CHECK_OK_ERROR(sy_session_decode(fresh, sampler, &out_tokens[i], &k->naive.kit.error),
                       k->naive.kit.error);
    }
    sy_session_close(fresh);
    sy_sampler_destroy(sampler);
}

/* Is it worth a look, and can it be made again with n more tokens? */
static inline bool may_foresee(soak *k, const soak_model *m, uint32_t n) {
    return !m->is_unsure && m->n_tokens + n > 0 && m->n_tokens + n <= SOAK_TOKENS &&
           below(k, 4) == 0;
}

/* One token after the other, over the limit where there is one. */
static inline void decode(soak *k, place *p) {
    soak_model *m = &p->model;
    uint32_t n = 1 + below(k, 4), seed = below(k, 1000);
    int32_t token = 0, wanted = -1;
    sy_sampler *sampler = make_sampler(k, seed);
    tell(k, "decode %u after %u of %u, limit %u", n, m->n_tokens, m->max_tokens,
         (unsigned)p->limit.at_limit);
    if (m->n_tokens > 0 && may_foresee(k, m, 1)) {
        foresee(k, m, NULL, 0, 1, seed, &wanted);
    }
    for (uint32_t i = 0; i < n && m->n_tokens > 0; i++) {
        bool is_full = m->n_tokens == m->max_tokens;
        p->n_coming = 0;
        sy_status status = sy_session_decode(p->session, sampler, &token, &k->kit.error);
        if (is_over_budget(status)) {
            close_place(p);
            break;
        }
        if (status != SY_OK) {
            CHECK(status == SY_OUT_OF_RANGE && is_full && m->n_tokens == m->max_tokens &&
                  p->limit.at_limit != SY_AT_LIMIT_SLIDE);
            settle(p);
            break;
        }
        CHECK_TEXT(wanted < 0 || token == wanted, "token %d, not %d", token, wanted);
        wanted = -1;
        if (is_full && p->limit.at_limit == SY_AT_LIMIT_SLIDE) {
            slide(p);
        }
        soak_append(m, &token, 1);
        settle(p);
    }
    sy_sampler_destroy(sampler);
}

/* Takes what a session generated, whose tokens were not told one by one. */
static inline void take_generated(place *p) {
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(p->session, &n);
    CHECK(n >= p->model.n_tokens);
    soak_append(&p->model, tokens + p->model.n_tokens, n - p->model.n_tokens);
    settle(p);
}

static inline void generate(soak *k, place *p) {
    soak_model *m = &p->model;
    uint32_t n_free = m->max_tokens - m->n_tokens, n = 1 + below(k, 6), seed = below(k, 1000);
    int32_t wanted[8];
    n = n < n_free ? n : n_free;
    if (m->n_tokens == 0 || n == 0) {
        return;
    }
    tell(k, "generate %u after %u", n, m->n_tokens);
    bool is_foreseen = may_foresee(k, m, n);
    if (is_foreseen) {
        foresee(k, m, NULL, 0, n, seed, wanted);
    }
    sy_generate_result result;
    sy_sampler *sampler = make_sampler(k, seed);
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = n, .ignore_end = 1};
    CHECK_OK_ERROR(sy_session_generate(p->session, sampler, &options, &result, &k->kit.error),
                   k->kit.error);
    CHECK(result.n_tokens == n && result.finish == SY_FINISH_LENGTH);
    sy_sampler_destroy(sampler);
    take_generated(p);
    CHECK(!is_foreseen || memcmp(m->tokens + m->n_tokens - n, wanted, n * sizeof(int32_t)) == 0);
}

/* Up to MOST_AT_ONCE sessions with room for n_room more. */
static inline uint32_t choose(soak *k, place **out, uint32_t n_room, bool with_tokens) {
    uint32_t n = 0, at = below(k, PLACES);
    for (uint32_t i = 0; i < PLACES && n < MOST_AT_ONCE; i++) {
        place *p = &k->places[(at + i) % PLACES];
        if (p->session != NULL && p->model.max_tokens - p->model.n_tokens >= n_room &&
            (!with_tokens || p->model.n_tokens > 0)) {
            out[n++] = p;
        }
    }
    return n;
}

static inline void decode_together(soak *k) {
    place *chosen[MOST_AT_ONCE];
    sy_session *sessions[MOST_AT_ONCE];
    sy_sampler *samplers[MOST_AT_ONCE] = {NULL};
    int32_t tokens[MOST_AT_ONCE];
    uint32_t n = choose(k, chosen, 1, true);
    tell(k, "decode %u together", n);
    for (uint32_t i = 0; i < n; i++) {
        sessions[i] = chosen[i]->session;
        samplers[i] = make_sampler(k, below(k, 1000));
    }
    if (n > 0) {
        CHECK_OK_ERROR(sy_session_decode_together(sessions, n, samplers, tokens, &k->kit.error),
                       k->kit.error);
    }
    for (uint32_t i = 0; i < n; i++) {
        soak_append(&chosen[i]->model, &tokens[i], 1);
        settle(chosen[i]);
        sy_sampler_destroy(samplers[i]);
    }
}

/* ---- requests ---- */
typedef struct request {
    place *place;
    sy_sampler *sampler;
    int32_t prompt[MOST_NEW], wanted[8];
    uint32_t n_prompt, n_new, n_finishes;
    uint64_t id;
    bool is_foreseen, is_cancelled;
    sy_finish finish;
} request;

static inline int on_event(void *user, const sy_request_event *event) {
    request *r = user;
    if (event->finish != SY_FINISH_NONE) {
        r->n_finishes++;
        r->finish = event->finish;
    }
    return 0;
}

static inline void submit(soak *k, sy_scheduler *scheduler, request *r) {
    soak_model *m = &r->place->model;
    uint32_t seed = below(k, 1000), n_free = m->max_tokens - m->n_tokens;
    r->n_new = 1 + below(k, 6);
    r->n_new = r->n_new < n_free ? r->n_new : n_free;
    uint32_t n_most = n_free - r->n_new < MOST_NEW ? n_free - r->n_new : MOST_NEW;
    r->n_prompt = n_most > 0 ? draw_tokens(k, m->n_tokens, r->prompt, n_most) : 0;
    r->is_foreseen = may_foresee(k, m, r->n_prompt + r->n_new);
    if (r->is_foreseen) {
        foresee(k, m, r->prompt, r->n_prompt, r->n_new, seed, r->wanted);
    }
    r->sampler = make_sampler(k, seed);
    tell(k, "; %u + %u in place %u after %u", r->n_prompt, r->n_new,
         (unsigned)(r->place - k->places), m->n_tokens);
    const sy_request_options options = {.struct_bytes = sizeof(options),
                                        .priority = (sy_priority)below(k, 2),
                                        .session = r->place->session,
                                        .tokens = r->prompt,
                                        .n_tokens = r->n_prompt,
                                        .sampler = r->sampler,
                                        .n_tokens_max = r->n_new,
                                        .ignore_end = 1,
                                        .callback = on_event,
                                        .user = r};
    CHECK_OK_ERROR(sy_scheduler_submit(scheduler, &options, &r->id, &k->kit.error), k->kit.error);
}

/* A cancelled request has some of its tokens, from the first one on. */
static inline void take_request(request *r) {
    soak_model *m = &r->place->model;
    uint32_t n_before = m->n_tokens;
    CHECK(r->n_finishes == 1 || (r->is_cancelled && r->n_finishes == 0));
    take_generated(r->place);
    uint32_t n = m->n_tokens - n_before, n_prompt = n < r->n_prompt ? n : r->n_prompt;
    CHECK(memcmp(m->tokens + n_before, r->prompt, n_prompt * sizeof(int32_t)) == 0);
    CHECK(r->is_cancelled || (n == r->n_prompt + r->n_new && r->finish == SY_FINISH_LENGTH));
    if (r->is_foreseen && n > n_prompt) {
        CHECK(memcmp(m->tokens + n_before + n_prompt, r->wanted,
                     (n - n_prompt) * sizeof(int32_t)) == 0);
    }
    sy_sampler_destroy(r->sampler);
}

static inline void schedule(soak *k) {
    static request requests[MOST_AT_ONCE];
    place *chosen[MOST_AT_ONCE];
    sy_scheduler *scheduler = NULL;
    uint32_t n = choose(k, chosen, 2, false), n_left = 0;
    memset(requests, 0, sizeof(requests));
    tell(k, "schedule %u", n);
    CHECK_OK_ERROR(sy_scheduler_create(k->kit.engine, NULL, &scheduler, &k->kit.error),
                   k->kit.error);
    for (uint32_t i = 0; i < n; i++) {
        requests[i].place = chosen[i];
        submit(k, scheduler, &requests[i]);
    }
    for (uint32_t i = below(k, 6); i > 0; i--) {
        CHECK_OK_ERROR(sy_scheduler_run_step(scheduler, &n_left, &k->kit.error), k->kit.error);
    }
    if (n > 0 && below(k, 2) == 0) {
        request *r = &requests[below(k, n)];
        r->is_cancelled = r->n_finishes == 0;
        sy_scheduler_cancel(scheduler, r->id);
        tell(k, "; cancel that of place %u", (unsigned)(r->place - k->places));
    }
    CHECK_OK_ERROR(sy_scheduler_run(scheduler, &k->kit.error), k->kit.error);
    for (uint32_t i = 0; i < n; i++) {
        take_request(&requests[i]);
    }
    sy_scheduler_destroy(scheduler);
}

/* ---- branches ---- */
static inline void fork_session(soak *k, place *p) {
    soak_model model = p->model;
    uint32_t max_tokens = below(k, 2) == 0 ? model.max_tokens : 24 + below(k, SOAK_TOKENS - 24 + 1);
    sy_session *forks[2] = {NULL, NULL};
    uint32_t n = 1 + below(k, 2);
    place *to[2] = {take_place(k, p), NULL};
    for (uint32_t i = 0; n == 2 && i < PLACES; i++) {
        to[1] = &k->places[i] != p && &k->places[i] != to[0] ? &k->places[i] : to[1];
    }
    close_place(to[n - 1]);
    tell(k, "fork at %u of %u, with %u, to place %u", model.n_tokens, model.max_tokens, max_tokens,
         (unsigned)(to[0] - k->places));
    if (n == 2) {
        tell(k, " and %u", (unsigned)(to[1] - k->places));
    }
    sy_status status = sy_session_fork(p->session, max_tokens, n, forks, &k->kit.error);
    if (status != SY_OK) {
        bool keeps_sinks =
            p->limit.at_limit != SY_AT_LIMIT_SLIDE || p->limit.n_sink_tokens + 2 <= max_tokens;
        CHECK(is_over_budget(status) ||
              (status == SY_INVALID_ARGUMENT && (max_tokens < model.n_tokens || !keeps_sinks)));
        CHECK(forks[0] == NULL);
        k->n_over_budget += is_over_budget(status);
        check_tokens(p);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        sy_session_stats stats;
        to[i]->session = forks[i];
        now_at(k, to[i], &model, max_tokens);
        sy_session_get_stats(forks[i], &stats);
        to[i]->n_recomputed = stats.n_recomputed_tokens;
        to[i]->limit = p->limit;
        if (p->limit.at_limit == SY_AT_LIMIT_PRUNE) {
            set_limit(k, to[i], SY_AT_LIMIT_PRUNE); /* its callback is to know its own place */
        }
        settle(to[i]);
    }
    settle(p);
}

static inline void save_and_load(soak *k, place *p) {
    soak_model model = p->model;
    uint32_t max_tokens = 24 + below(k, SOAK_TOKENS - 24 + 1);
    place *to = take_place(k, p);
    tell(k, "save %u, load with %u in place %u", model.n_tokens, max_tokens,
         (unsigned)(to - k->places));
    CHECK_OK_ERROR(sy_session_save(p->session, k->path, &k->kit.error), k->kit.error);
    settle(p);
    sy_status status =
        sy_session_load(k->kit.engine, k->path, max_tokens, &to->session, &k->kit.error);
    if (status != SY_OK) {
        CHECK(to->session == NULL);
        CHECK(is_over_budget(status) || (status == SY_OUT_OF_RANGE && max_tokens < model.n_tokens));
        return;
    }
    soak_newest_again(&model); /* logits are not saved */
    now_at(k, to, &model, max_tokens);
    settle(to);
}

static inline void rewind_session(soak *k, place *p) {
    uint32_t n = below(k, p->model.n_tokens + 1);
    tell(k, "rewind %u to %u", p->model.n_tokens, n);
    sy_status status = sy_session_rewind(p->session, n, &k->kit.error);
    if (is_over_budget(status)) {
        check_tokens(p);
        return;
    }
    CHECK_OK_ERROR(status, k->kit.error);
    soak_back(&p->model, n);
    settle(p);
}

static inline void drop(soak *k, place *p) {
    sy_token_range ranges[SOAK_RANGES];
    uint32_t n = draw_ranges(k, p->model.n_tokens, ranges);
    tell(k, "drop out of %u:", p->model.n_tokens);
    for (uint32_t i = 0; i < n; i++) {
        tell(k, " %u+%u", ranges[i].first, ranges[i].n_tokens);
    }
    if (n == 0) {
        return;
    }
    sy_status status = sy_session_drop(p->session, ranges, n, &k->kit.error);
    tell(k, status == SY_OK ? "" : " %s", k->kit.error.message);
    if (is_over_budget(status)) {
        check_tokens(p);
        return;
    }
    CHECK_OK_ERROR(status, k->kit.error);
    soak_drop(&p->model, ranges, n);
    settle(p);
}

static inline void score(soak *k, place *p) {
    double found = 1, wanted = 1;
    soak_model *m = &p->model;
    int32_t tokens[4];
    for (int i = 0; i < 4; i++) {
        tokens[i] = (int32_t)below(k, TINY_VOCAB);
    }
    uint32_t n = 1 + below(k, 4);
    tell(k, "score %u after %u of %u", n, m->n_tokens, m->max_tokens);
    sy_status status = sy_session_score(p->session, tokens, n, NULL, &found, &k->kit.error);
    if (m->n_tokens == 0 || n > m->max_tokens - m->n_tokens) {
        CHECK(status == (m->n_tokens == 0 ? SY_FAILED_PRECONDITION : SY_OUT_OF_RANGE));
        settle(p);
        return;
    }
    CHECK_OK_ERROR(status, k->kit.error);
    settle(p);
    if (!m->is_unsure && m->n_tokens + n <= SOAK_TOKENS) {
        sy_session *fresh = soak_make_again(&k->naive, m);
        CHECK_OK(sy_session_score(fresh, tokens, n, NULL, &wanted, &k->kit.error));
        CHECK_TEXT(memcmp(&found, &wanted, sizeof(found)) == 0, "%.17g, not %.17g", found, wanted);
        sy_session_close(fresh);
    }
}

/* What must be refused, and change nothing. */
static inline void refuse(soak *k, place *p) {
    soak_model *m = &p->model;
    sy_error *error = &k->kit.error;
    const int32_t bad[2] = {1, (int32_t)TINY_VOCAB};
    const sy_token_range all = {0, m->n_tokens}, twice[2] = {{0, 2}, {1, 1}};
    sy_session *none = NULL;
    uint64_t heap_before = k->heap.used_bytes;
    tell(k, "what is refused at %u", m->n_tokens);
    CHECK(sy_session_prefill(p->session, bad, 2, error) == SY_OUT_OF_RANGE);
    CHECK(sy_session_rewind(p->session, m->n_tokens + 1, error) == SY_OUT_OF_RANGE);
    if (m->n_tokens > 0) {
        CHECK(sy_session_drop(p->session, &all, 1, error) == SY_INVALID_ARGUMENT);
        CHECK(sy_session_set_adapter(p->session, NULL, 1.0f, error) == SY_FAILED_PRECONDITION);
    }
    CHECK(SY_STATUS_CLASS(sy_session_drop(p->session, twice, 2, error)) == SY_INVALID_ARGUMENT);
    CHECK(sy_session_fork(p->session, SOAK_TOKENS + 1, 1, &none, error) == SY_OUT_OF_RANGE);
    if (m->n_tokens > 1) {
        CHECK(sy_session_fork(p->session, m->n_tokens - 1, 1, &none, error) == SY_INVALID_ARGUMENT);
    }
    CHECK(sy_session_load(k->kit.engine, "/nowhere/session", 0, &none, error) != SY_OK);
    CHECK(none == NULL && k->heap.used_bytes == heap_before);
    settle(p);
}

#endif
