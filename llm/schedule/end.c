/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: their queue, their callbacks, their end. */
#include "base/clock.h"
#include "schedule/schedule_internal.h"

#include <inttypes.h>

sy__request *sy__request_find(const sy_scheduler *scheduler, uint64_t id) {
    sy__request *request = &scheduler->requests[id % scheduler->options.n_requests_max];
    return id != 0 && request->id == id ? request : NULL;
}

void sy__request_join(sy__request *request) {
    sy_scheduler *scheduler = request->scheduler;
    request->before = scheduler->last;
    request->after = NULL;
    *(scheduler->last != NULL ? &scheduler->last->after : &scheduler->first) = request;
    scheduler->last = request;
}

void sy__request_leave(sy__request *request) {
    sy_scheduler *scheduler = request->scheduler;
    *(request->before != NULL ? &request->before->after : &scheduler->first) = request->after;
    *(request->after != NULL ? &request->after->before : &scheduler->last) = request->before;
}

void sy__request_take(sy__request *request) {
    request->is_busy = request->is_called = true;
    request->thread = pthread_self();
    pthread_mutex_unlock(&request->scheduler->lock);
}

void sy__request_give(sy__request *request) {
    pthread_mutex_lock(&request->scheduler->lock);
    request->is_busy = request->is_called = false;
    pthread_cond_broadcast(&request->scheduler->changed);
}

void sy__request_settle(sy__request *request) {
    sy_speculator *speculator = request->options.speculator;
    bool has_guesses = speculator != NULL && speculator->n_written > 0;
    bool is_bare = request->n_reused > 0 && request->n_done == request->n_reused;
    if (!has_guesses && !is_bare) {
        return;
    }
    sy_error error;
    request->is_busy = true;
    sy__schedule_take_engine(request->scheduler);
    sy_status status = has_guesses ? sy__speculator_settle(&request->generation, &error)
                                   : sy__session_recompute(request->options.session, 0, 0, &error);
    sy__schedule_give_engine(request->scheduler);
    request->is_busy = false;
    request->n_reused = 0;
    if (request->status == SY_OK && status != SY_OK) {
        request->status = status;
        request->error = error;
    }
}

void sy__request_end(sy__request *request, sy_finish finish) {
    sy_scheduler *scheduler = request->scheduler;
    sy_generate_result *result = &request->generation.result;
    sy__request_settle(request);
    result->finish = request->status != SY_OK ? SY_FINISH_FAILED : finish;
    result->decode_ns = request->ready_ns > 0 ? sy__clock_now_ns() - request->ready_ns : 0;
    request->is_ending = true;
    sy__request_leave(request);
    sy__session_end(request->options.session);
    sy__request_take(request);
    sy__generation_finish(&request->generation);
    sy__request_give(request);
    request->id = 0;
    scheduler->stats.n_requests--;
}

void sy__request_end_late(sy__request *request) {
    request->status = sy_error_set(&request->error, SY_DEADLINE_EXCEEDED,
                                   "The time of the request was over after %" PRIu32 " of %" PRIu32
                                   " tokens of its prompt and %" PRIu32 " more.",
                                   request->n_done, request->options.n_tokens,
                                   request->generation.result.n_tokens);
    sy__request_end(request, SY_FINISH_FAILED);
}

void sy_scheduler_cancel(sy_scheduler *scheduler, uint64_t id) {
    pthread_mutex_lock(&scheduler->lock);
    sy__request *request = sy__request_find(scheduler, id);
    if (request != NULL) {
        request->is_cancelled = true;
        bool is_inside = request->is_called && pthread_equal(request->thread, pthread_self());
        while (!is_inside && request->id == id && request->is_busy) {
            pthread_cond_wait(&scheduler->changed, &scheduler->lock);
        }
        if (!is_inside && request->id == id) {
            sy__request_end(request, SY_FINISH_CANCELLED);
        }
    }
    pthread_mutex_unlock(&scheduler->lock);
}
