/* SPDX-License-Identifier: Apache-2.0 */
/* A step of the scheduler: who is over, the step, commits, callbacks. */
#include "base/clock.h"
#include "schedule/schedule_internal.h"

#include <string.h>

/* Rows [0, n_rows) of the step were computed: they are the session's now. */
static void commit(sy__request *request, const float *logits) {
    sy_session *session = request->options.session;
    sy_speculator *speculator = request->options.speculator;
    bool decodes = sy__request_n_prompt(request) == 0;
    uint32_t n_new = decodes ? 0 : request->n_rows - sy__request_n_behind(request);
    if (n_new > 0) {
        memcpy(&session->tokens[session->n_tokens], &request->options.tokens[request->n_done],
               n_new * sizeof(int32_t));
        session->n_tokens += n_new;
        request->n_done += n_new;
        sy__session_count_prefilled(session, n_new);
    }
    session->is_behind = false;
    session->has_logits = true;
    memcpy(session->logits, logits, session->engine->info.n_vocabulary * sizeof(float));
    request->has_guessed = false;
    if (decodes && speculator != NULL) {
        sy__speculator_keep(speculator, session, request->n_rows - 1, logits);
    }
}

/* Does every member want the greedy token after its newest one, and nothing else? */
static bool can_choose(const sy_engine *engine, sy__request *const *members, uint32_t n) {
    bool can = engine->chooses;
    for (uint32_t i = 0; can && i < n; i++) {
        const sy__request *r = members[i];
        can = sy__request_n_prompt(r) == 0 && r->options.session->is_behind && r->n_rows == 1 &&
              r->options.speculator == NULL && sy__sampler_is_greedy(r->options.sampler);
    }
    return can;
}

/* Their tokens are chosen by the step; sessions stay as they are until these are taken. */
static sy_status choose(sy_scheduler *scheduler, const sy__ragged_step *ragged,
                        sy__request *const *members, bool *out_chosen, sy_error *error) {
    int32_t tokens[SY_LIMIT_SEQUENCES];
    sy_status status = sy__engine_choose(scheduler->engine, ragged, tokens, out_chosen, error);
    for (uint32_t i = 0; status == SY_OK && *out_chosen && i < ragged->n_sequences; i++) {
        members[i]->generation.has_choice = true;
        members[i]->generation.choice = tokens[i];
    }
    return status;
}

static sy_status run_members(sy_scheduler *scheduler, sy__request *const *members, uint32_t n,
                             sy_error *error) {
    const float *logits = NULL;
    bool is_chosen = false;
    const sy__ragged_step ragged = {.sequences = scheduler->sequences,
                                    .tokens = scheduler->tokens,
                                    .output_rows = scheduler->output_rows,
                                    .n_sequences = n,
                                    .n_output_rows = sy__schedule_fill(scheduler, members, n)};
    if (can_choose(scheduler->engine, members, n)) {
        sy_status status = choose(scheduler, &ragged, members, &is_chosen, error);
        if (status != SY_OK || is_chosen) {
            return status;
        }
    }
    sy_status status = sy__engine_step_rows(scheduler->engine, &ragged, &logits, error);
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        uint32_t n_rows = members[i]->n_outputs;
        commit(members[i], logits);
        logits += (size_t)n_rows * scheduler->engine->info.n_vocabulary;
    }
    return status;
}

/* When a shared step fails, each member runs alone, so that only those fail whose own step does. */
static void run_alone(sy_scheduler *scheduler) {
    for (uint32_t i = 0; i < scheduler->n_members; i++) {
        sy__request *request = scheduler->members[i];
        request->status = run_members(scheduler, &scheduler->members[i], 1, &request->error);
    }
}

static void count(sy_scheduler *scheduler) {
    sy_scheduler_stats *stats = &scheduler->stats;
    uint32_t n = scheduler->n_members;
    stats->n_steps++;
    stats->n_sequences_most = n > stats->n_sequences_most ? n : stats->n_sequences_most;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_rows = scheduler->members[i]->n_rows;
        bool decodes = sy__request_n_prompt(scheduler->members[i]) == 0;
        *(decodes ? &stats->n_decoded_tokens : &stats->n_prompt_tokens) += n_rows;
    }
}

void sy__schedule_take_engine(sy_scheduler *scheduler) {
    while (scheduler->is_stepping || scheduler->is_entered || scheduler->n_entering > 0) {
        pthread_cond_wait(&scheduler->changed, &scheduler->lock);
    }
    scheduler->is_stepping = true;
    pthread_mutex_unlock(&scheduler->lock);
}

void sy__schedule_give_engine(sy_scheduler *scheduler) {
    pthread_mutex_lock(&scheduler->lock);
    scheduler->is_stepping = false;
    pthread_cond_broadcast(&scheduler->changed);
}

/* Runs the packed step with the lock open; its members are busy meanwhile. */
static void step(sy_scheduler *scheduler) {
    sy_error error;
    count(scheduler);
    for (uint32_t i = 0; i < scheduler->n_members; i++) {
        sy__request *request = scheduler->members[i];
        scheduler->member_ids[i] = request->id;
        request->is_busy = true;
        sy__request_leave(request);
        sy__request_join(request);
    }
    sy__schedule_take_engine(scheduler);
    uint64_t start = sy__clock_now_ns();
    sy_status status = run_members(scheduler, scheduler->members, scheduler->n_members, &error);
    if (status != SY_OK && scheduler->n_members > 1) {
        run_alone(scheduler);
    } else if (status != SY_OK) {
        scheduler->members[0]->status = status;
        scheduler->members[0]->error = error;
    }
    scheduler->step_ns = sy__clock_now_ns() - start;
    sy__schedule_give_engine(scheduler);
    for (uint32_t i = 0; i < scheduler->n_members; i++) {
        scheduler->members[i]->is_busy = false;
    }
}

/* A full session whose limit acts: that may take steps. */
static sy_status make_room(sy__request *request) {
    sy_session *session = request->options.session;
    if (session->n_tokens < session->max_tokens || session->limit.at_limit == SY_AT_LIMIT_STOP) {
        return SY_OK;
    }
    request->is_busy = true;
    sy__schedule_take_engine(request->scheduler);
    sy_status status = sy__session_make_room(session, 1, &request->error);
    sy__schedule_give_engine(request->scheduler);
    request->is_busy = false;
    return status;
}

/* Draws and calls back. */
static sy_status draw(sy__request *request) {
    sy__generation *generation = &request->generation;
    sy_speculator *speculator = request->options.speculator;
    uint32_t n_before = generation->result.n_tokens;
    if (speculator == NULL || speculator->n_written == 0) {
        return sy__generation_advance(generation, &request->error);
    }
    sy_status status = sy__speculator_take(generation, &request->error);
    sy__speculator_learn(speculator, request->scheduler->step_ns,
                         generation->result.n_tokens - n_before);
    return status;
}

/* What prefill computed, for other sessions. */
static void store_prefix(sy__request *request) {
    if (request->scheduler->engine->prefixes == NULL || request->options.n_tokens == 0) {
        return;
    }
    request->is_busy = true;
    sy__schedule_take_engine(request->scheduler);
    sy__session_store(request->options.session);
    sy__schedule_give_engine(request->scheduler);
    request->is_busy = false;
}

/* The prompt is in and the logits are there: a token, or the end. */
static void advance(sy__request *request) {
    sy__generation *generation = &request->generation;
    if (request->ready_ns == 0) {
        request->ready_ns = sy__clock_now_ns();
        store_prefix(request);
    }
    if (request->options.prefill_only != 0) {
        sy__request_end(request, SY_FINISH_LENGTH);
        return;
    }
    request->status = make_room(request);
    if (SY_STATUS_CLASS(request->status) == SY_OUT_OF_RANGE) {
        request->status = SY_OK;
        sy__request_end(request, SY_FINISH_LENGTH);
        return;
    }
    if (request->status == SY_OK) {
        sy__request_take(request);
        request->status = draw(request);
        sy__request_give(request);
        sy__request_settle(request);
    }
    if (request->status != SY_OK) {
        sy__request_end(request, SY_FINISH_FAILED);
    } else if (request->is_cancelled) {
        sy__request_end(request, SY_FINISH_CANCELLED);
    } else if (sy__generation_is_over(generation)) {
        sy__request_end(request, generation->result.finish);
    }
}

static bool is_late(const sy__request *request, uint64_t now_ns) {
    return request->deadline_ns > 0 && now_ns >= request->deadline_ns;
}

/* Ends a request that is over, or goes on with one whose logits are there. */
static void look_after(sy__request *request) {
    if (request->is_busy) {
        return; /* another thread ends it */
    }
    if (request->status != SY_OK) {
        sy__request_end(request, SY_FINISH_FAILED);
    } else if (request->is_cancelled || sy__session_is_cancelled(request->options.session)) {
        sy__request_end(request, SY_FINISH_CANCELLED);
    } else if (is_late(request, sy__clock_now_ns())) {
        sy__request_end_late(request);
    } else if (sy__request_n_prompt(request) == 0 && sy__request_n_behind(request) == 0) {
        advance(request);
    }
}

/* Requests come and go while callbacks run: whoever was seen is found again by its id. */
static void look_after_members(sy_scheduler *scheduler) {
    for (uint32_t i = 0; i < scheduler->n_members; i++) {
        sy__request *request = sy__request_find(scheduler, scheduler->member_ids[i]);
        if (request != NULL) {
            look_after(request);
        }
    }
}

static void look_after_all(sy_scheduler *scheduler) {
    for (uint32_t i = 0; i < scheduler->options.n_requests_max; i++) {
        sy__request *request = &scheduler->requests[i];
        if (request->id != 0 && !request->is_ending) {
            look_after(request);
        }
    }
}

/* Gives new requests over empty sessions what is stored of their prompts. */
static void reuse_prefixes(sy_scheduler *scheduler) {
    for (uint32_t i = 0; i < scheduler->options.n_requests_max; i++) {
        sy__request *request = &scheduler->requests[i];
        if (request->id == 0 || request->is_ending || request->is_busy || request->has_started) {
            continue;
        }
        request->has_started = true;
        if (scheduler->engine->prefixes != NULL) {
            request->is_busy = true;
            sy__schedule_take_engine(scheduler);
            request->n_reused = sy__session_reuse(request->options.session, request->options.tokens,
                                                  request->options.n_tokens);
            sy__schedule_give_engine(scheduler);
            request->is_busy = false;
            request->n_done = request->n_reused;
        }
    }
}

/* Asks speculators for the sessions that decode next; a draft model runs its steps here. */
static void guess(sy_scheduler *scheduler) {
    for (uint32_t i = 0; i < scheduler->options.n_requests_max; i++) {
        sy__request *request = &scheduler->requests[i];
        const sy__generation *generation = &request->generation;
        if (request->id == 0 || request->is_ending || request->is_busy || request->has_guessed ||
            request->options.speculator == NULL || sy__request_n_prompt(request) > 0 ||
            sy__request_n_behind(request) == 0) {
            continue;
        }
        request->is_busy = true;
        sy__schedule_take_engine(scheduler);
        sy__speculator_guess(request->options.speculator, request->options.session,
                             request->options.sampler, sy__speculator_room(generation));
        sy__schedule_give_engine(scheduler);
        request->is_busy = false;
        request->has_guessed = true;
    }
}

sy_status sy_scheduler_run_step(sy_scheduler *scheduler, uint32_t *out_n_left, sy_error *error) {
    pthread_mutex_lock(&scheduler->lock);
    if (scheduler->is_running) {
        pthread_mutex_unlock(&scheduler->lock);
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The scheduler is being run by another call.");
    }
    scheduler->is_running = true;
    look_after_all(scheduler);
    reuse_prefixes(scheduler);
    guess(scheduler);
    sy__schedule_pack(scheduler);
    if (scheduler->n_members > 0) {
        step(scheduler);
        look_after_members(scheduler);
    }
    scheduler->is_running = false;
    *out_n_left = scheduler->stats.n_requests;
    pthread_mutex_unlock(&scheduler->lock);
    return SY_OK;
}

sy_status sy_scheduler_run(sy_scheduler *scheduler, sy_error *error) {
    uint32_t n_left = 1;
    sy_status status = SY_OK;
    while (status == SY_OK && n_left > 0) {
        status = sy_scheduler_run_step(scheduler, &n_left, error);
    }
    return status;
}
