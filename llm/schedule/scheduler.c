/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "schedule/schedule_internal.h"

#include <inttypes.h>
#include <time.h>

#define DEFAULT_REQUESTS 256u
#define DEFAULT_PATIENCE_STEPS 16u
#define REQUESTS_MOST 65536u

void sy_scheduler_options_default(sy_scheduler_options *out_options) {
    *out_options = (sy_scheduler_options){.struct_bytes = sizeof(*out_options),
                                          .n_requests_max = DEFAULT_REQUESTS,
                                          .n_patience_steps = DEFAULT_PATIENCE_STEPS};
}

static sy_status reserve(sy_scheduler *scheduler, sy_error *error) {
    const sy_allocator *allocator = scheduler->allocator;
    const sy_engine_options *engine = &scheduler->engine->options;
    const uint32_t n_members = scheduler->n_members_max;
    scheduler->requests =
        sy__alloc_array(allocator, scheduler->options.n_requests_max, sizeof(sy__request));
    scheduler->members = sy__alloc_array(allocator, n_members, sizeof(sy__request *));
    scheduler->member_ids = sy__alloc_array(allocator, n_members, sizeof(uint64_t));
    scheduler->sequences = sy__alloc_array(allocator, n_members, sizeof(sy_step_sequence));
    scheduler->tokens = sy__alloc_array(allocator, engine->n_batch_tokens, sizeof(int32_t));
    scheduler->output_rows = sy__alloc_array(allocator, engine->n_output_rows, sizeof(int32_t));
    if (scheduler->requests == NULL || scheduler->members == NULL ||
        scheduler->member_ids == NULL || scheduler->sequences == NULL ||
        scheduler->tokens == NULL || scheduler->output_rows == NULL) {
        return sy__no_memory(error, scheduler->options.n_requests_max * sizeof(sy__request),
                             "a scheduler");
    }
    return SY_OK;
}

static void release(sy_scheduler *scheduler) {
    const sy_allocator *allocator = scheduler->allocator;
    const sy_engine_options *engine = &scheduler->engine->options;
    const uint32_t n_members = scheduler->n_members_max;
    sy__free_array(allocator, scheduler->requests, scheduler->options.n_requests_max,
                   sizeof(sy__request));
    sy__free_array(allocator, scheduler->members, n_members, sizeof(sy__request *));
    sy__free_array(allocator, scheduler->member_ids, n_members, sizeof(uint64_t));
    sy__free_array(allocator, scheduler->sequences, n_members, sizeof(sy_step_sequence));
    sy__free_array(allocator, scheduler->tokens, engine->n_batch_tokens, sizeof(int32_t));
    sy__free_array(allocator, scheduler->output_rows, engine->n_output_rows, sizeof(int32_t));
    SY__DELETE(allocator, scheduler);
}

/* Lock and condition, whose waits follow the clock of deadlines. */
static bool init_lock(sy_scheduler *scheduler) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&scheduler->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && pthread_mutex_init(&scheduler->lock, NULL) != 0) {
        pthread_cond_destroy(&scheduler->changed);
        made = false;
    }
    return made;
}

static sy_status check_create(const sy_engine *engine, const sy_scheduler_options *options,
                              sy_error *error) {
    if (engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is an encoder: it generates nothing that could be scheduled.",
                            engine->info.architecture);
    }
    if (options->n_requests_max == 0 || options->n_requests_max > REQUESTS_MOST ||
        options->n_prefill_tokens > engine->options.n_batch_tokens) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A scheduler has 1 to %u requests and prompt chunks of at most the "
                            "engine's %" PRIu32 " tokens.",
                            REQUESTS_MOST, engine->options.n_batch_tokens);
    }
    return SY_OK;
}

sy_status sy_scheduler_create(sy_engine *engine, const sy_scheduler_options *options,
                              sy_scheduler **out_scheduler, sy_error *error) {
    sy_scheduler_options defaults;
    sy_scheduler_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    sy_status status = check_create(engine, options, error);
    if (status != SY_OK) {
        return status;
    }
    sy_scheduler *scheduler = SY__NEW(engine->allocator, sy_scheduler);
    if (scheduler == NULL) {
        return sy__no_memory(error, sizeof(*scheduler), "a scheduler");
    }
    scheduler->allocator = engine->allocator;
    scheduler->engine = engine;
    scheduler->options = *options;
    if (options->n_prefill_tokens == 0) {
        scheduler->options.n_prefill_tokens = engine->options.n_batch_tokens / 4 + 1;
    }
    scheduler->n_members_max =
        sy__smaller(sy__smaller(engine->options.n_sequences, options->n_requests_max),
                    sy__smaller(engine->options.n_batch_tokens, engine->options.n_output_rows));
    status = reserve(scheduler, error);
    if (status == SY_OK && !init_lock(scheduler)) {
        status = sy_error_set(error, SY_RESOURCE_EXHAUSTED, "The system gives no further lock.");
    }
    if (status != SY_OK) {
        release(scheduler);
        return status;
    }
    *out_scheduler = scheduler;
    return SY_OK;
}

void sy_scheduler_destroy(sy_scheduler *scheduler) {
    if (scheduler == NULL) {
        return;
    }
    while (scheduler->first != NULL) {
        sy_scheduler_cancel(scheduler, scheduler->first->id);
    }
    pthread_mutex_destroy(&scheduler->lock);
    pthread_cond_destroy(&scheduler->changed);
    release(scheduler);
}

/* The generation's text becomes events of the request. */
static int on_text(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    sy__request *request = user;
    bool is_last = finish != SY_FINISH_NONE;
    const sy_request_event event = {.request = request->id,
                                    .text = text,
                                    .n_bytes = n_bytes,
                                    .finish = finish,
                                    .status = is_last ? request->status : SY_OK,
                                    .error = request->status != SY_OK ? &request->error : NULL,
                                    .result = is_last ? &request->generation.result : NULL};
    return request->options.callback(request->options.user, &event);
}

static sy_status check_request(const sy_scheduler *scheduler, const sy_request_options *options,
                               sy_error *error) {
    if (options->session == NULL || options->session->engine != scheduler->engine ||
        (options->n_tokens > 0 && options->tokens == NULL)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A request needs a session of the scheduler's engine and the tokens "
                            "that it counts.");
    }
    return SY_OK;
}

/* A place for a request; a session is in one request at a time. */
static sy_status find_place(sy_scheduler *scheduler, const sy_session *session,
                            sy__request **out_place, sy_error *error) {
    *out_place = NULL;
    for (uint32_t i = scheduler->options.n_requests_max; i-- > 0;) {
        sy__request *request = &scheduler->requests[i];
        if (request->id == 0) {
            *out_place = request;
        } else if (!request->is_ending && request->options.session == session) {
            return sy_error_set(error, SY_FAILED_PRECONDITION,
                                "The session is in another request that has not ended.");
        }
    }
    if (*out_place == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                            "All %" PRIu32 " places for requests are taken.",
                            scheduler->options.n_requests_max);
    }
    return SY_OK;
}

static sy_status check_prompt(const sy_request_options *options, sy_error *error) {
    if (options->session->n_tokens == 0 && options->n_tokens == 0) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The session has no tokens and the request brings no prompt.");
    }
    sy_status status = sy__session_check_room(options->session, options->n_tokens, error);
    if (status == SY_OK) {
        status =
            sy__session_check_tokens(options->session, options->tokens, options->n_tokens, error);
    }
    return status;
}

static sy_status start(sy_scheduler *scheduler, sy__request *place,
                       const sy_request_options *options, sy_error *error) {
    uint64_t id = ++scheduler->next_serial * scheduler->options.n_requests_max +
                  (uint64_t)(place - scheduler->requests);
    const sy_generate_options generate = {.struct_bytes = sizeof(generate),
                                          .n_tokens_max = options->n_tokens_max,
                                          .n_stops = options->n_stops,
                                          .ignore_end = options->ignore_end,
                                          .stops = options->stops,
                                          .speculator = options->speculator,
                                          .stream = options->callback != NULL ? on_text : NULL,
                                          .user = place};
    *place = (sy__request){.scheduler = scheduler, .options = *options};
    sy_status status = sy__generation_begin(&place->generation, options->session, options->sampler,
                                            &generate, error);
    if (status != SY_OK) {
        return status;
    }
    if (options->timeout_ns > 0) {
        uint64_t now = sy__clock_now_ns();
        place->deadline_ns =
            options->timeout_ns < UINT64_MAX - now ? now + options->timeout_ns : UINT64_MAX;
    }
    place->id = id;
    sy__request_join(place);
    scheduler->stats.n_requests++;
    pthread_cond_broadcast(&scheduler->changed);
    return SY_OK;
}

sy_status sy_scheduler_submit(sy_scheduler *scheduler, const sy_request_options *options,
                              uint64_t *out_request, sy_error *error) {
    sy_status status = check_request(scheduler, options, error);
    if (status != SY_OK) {
        return status;
    }
    pthread_mutex_lock(&scheduler->lock);
    sy__request *place = NULL;
    status = find_place(scheduler, options->session, &place, error);
    if (status == SY_OK) {
        status = check_prompt(options, error);
    }
    if (status == SY_OK) {
        status = start(scheduler, place, options, error);
    }
    if (status == SY_OK) {
        *out_request = place->id;
    }
    pthread_mutex_unlock(&scheduler->lock);
    return status;
}

/* The end of a wait, on the condition's clock. */
static struct timespec end_of(uint64_t timeout_ns) {
    uint64_t now = sy__clock_now_ns();
    uint64_t end = timeout_ns < (uint64_t)INT64_MAX - now ? now + timeout_ns : (uint64_t)INT64_MAX;
    return (struct timespec){.tv_sec = (time_t)(end / 1000000000u),
                             .tv_nsec = (long)(end % 1000000000u)};
}

uint32_t sy_scheduler_wait(sy_scheduler *scheduler, uint64_t timeout_ns) {
    const struct timespec end = end_of(timeout_ns);
    int result = 0;
    pthread_mutex_lock(&scheduler->lock);
    while (result == 0 && scheduler->stats.n_requests == 0 && !scheduler->is_woken) {
        result = pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, &end);
    }
    scheduler->is_woken = false;
    uint32_t n_requests = scheduler->stats.n_requests;
    pthread_mutex_unlock(&scheduler->lock);
    return n_requests;
}

void sy_scheduler_wake(sy_scheduler *scheduler) {
    pthread_mutex_lock(&scheduler->lock);
    scheduler->is_woken = true;
    pthread_cond_broadcast(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

void sy_scheduler_enter(sy_scheduler *scheduler) {
    pthread_mutex_lock(&scheduler->lock);
    scheduler->n_entering++;
    while (scheduler->is_stepping || scheduler->is_entered) {
        pthread_cond_wait(&scheduler->changed, &scheduler->lock);
    }
    scheduler->n_entering--;
    scheduler->is_entered = true;
    pthread_mutex_unlock(&scheduler->lock);
}

void sy_scheduler_leave(sy_scheduler *scheduler) {
    pthread_mutex_lock(&scheduler->lock);
    scheduler->is_entered = false;
    pthread_cond_broadcast(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

void sy_scheduler_get_stats(sy_scheduler *scheduler, sy_scheduler_stats *out_stats) {
    pthread_mutex_lock(&scheduler->lock);
    *out_stats = scheduler->stats;
    pthread_mutex_unlock(&scheduler->lock);
}
