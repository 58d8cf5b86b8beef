/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Going on without a delegate that failed: quarantine, another plan over the same weights and
 * graph, the states and adapters moved into it, and the failed call repeated. Tokens, samplers and
 * streams are never touched: they change after a step has ended well.
 */
#include "base/clock.h"
#include "engine/engine_internal.h"
#include "lora/adapter_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define END_WAITS 100u /* at the engine's end, for jobs that hang */
#define END_WAIT_NS 10000000

uint64_t sy_engine_n_failovers(const sy_engine *engine) {
    return engine->failover.n_events;
}

sy_status sy_engine_get_failover(const sy_engine *engine, uint64_t i_event,
                                 sy_failover_event *out_event, sy_error *error) {
    uint64_t n = engine->failover.n_events;
    if (i_event >= n || n - i_event > SY__EVENTS_KEPT) {
        return sy_error_set(error, SY_NOT_FOUND,
                            "Event %" PRIu64 " of %" PRIu64 " is not kept (any more).", i_event, n);
    }
    *out_event = engine->failover.events[i_event % SY__EVENTS_KEPT];
    return SY_OK;
}

void sy__engine_add_event(sy_engine *engine, const sy_failover_event *event) {
    static const char *const restores[] = {"none", "moved", "copied", "recomputed"};
    sy__failover *failover = &engine->failover;
    bool is_return = event->failure == SY_FAILURE_NONE;
    failover->events[failover->n_events++ % SY__EVENTS_KEPT] = *event;
    sy_log_write(sy_runtime_log(engine->runtime),
                 is_return ? SY_SEVERITY_INFO : SY_SEVERITY_WARNING,
                 is_return ? "engine.return" : "engine.failover",
                 "delegate=%s device=%s failure=%s tokens=%" PRIu32 " sessions=%" PRIu32
                 " restore=%s recomputed=%" PRIu32 " plan_us=%" PRIu64 " load_us=%" PRIu64
                 " restore_us=%" PRIu64 " total_us=%" PRIu64 " margin=%.3g",
                 event->delegate, event->device, sy_failure_name(event->failure), event->n_tokens,
                 event->n_sessions, restores[event->restore], event->n_recomputed_tokens,
                 event->plan_ns / 1000u, event->load_ns / 1000u, event->restore_ns / 1000u,
                 event->total_ns / 1000u, (double)event->margin);
    if (engine->options.on_failover != NULL) {
        engine->options.on_failover(engine->options.failover_user, event);
    }
}

bool sy__engine_free_retired(sy_engine *engine) {
    for (sy__retired **link = &engine->failover.retired; *link != NULL;) {
        sy__retired *retired = *link;
        if (sy_executor_is_idle(retired->executor) == 0) {
            link = &retired->next;
            continue;
        }
        *link = retired->next;
        sy_executor_destroy(retired->executor);
        sy_plan_destroy(retired->plan);
        engine->load_bytes -= retired->n_bytes;
        SY__DELETE(engine->allocator, retired);
    }
    return engine->failover.retired == NULL;
}

bool sy__engine_end_retired(sy_engine *engine) {
    const struct timespec rest = {.tv_nsec = END_WAIT_NS};
    for (uint32_t i = 0; i < END_WAITS && !sy__engine_free_retired(engine); i++) {
        (void)nanosleep(&rest, NULL);
    }
    if (engine->failover.retired != NULL) {
        sy_log_write(sy_runtime_log(engine->runtime), SY_SEVERITY_WARNING, "engine.left",
                     "reason=a job still hangs, and may read the weights");
    }
    return engine->failover.retired == NULL;
}

/* Did the delegate that failed keep states under the plan that was replaced, and are they gone? */
static bool lost_states(const sy_engine *engine, sy_failure failure) {
    const sy_plan *plan = engine->failover.retired->plan;
    uint32_t n_values = sy_graph_n_values(engine->model.graph);
    bool answers =
        failure == SY_FAILURE_NONE || failure == SY_FAILURE_ERROR || failure == SY_FAILURE_MEMORY;
    for (uint32_t v = 0; !answers && v < n_values; v++) {
        if (sy_plan_state_delegate(plan, v) == engine->failover.i_failed) {
            return true;
        }
    }
    return false;
}

static sy_restore kind_of_restore(const sy_session *session, uint64_t n_rows, uint64_t n_left,
                                  sy_failure failure) {
    if (n_rows == 0) {
        return SY_RESTORE_NONE;
    }
    if (n_left == 0) {
        return SY_RESTORE_RECOMPUTED;
    }
    return lost_states(session->engine, failure) ? SY_RESTORE_COPIED : SY_RESTORE_MOVED;
}

static sy_status move_session(sy_session *session, sy_failover_event *event, sy_error *error) {
    sy_engine *engine = session->engine;
    uint32_t n_rows = session->is_short ? session->n_rows_left : sy__session_n_rows(session);
    uint64_t n_left = 0;
    sy_status status = SY_OK;
    if (session->states == NULL) {
        return SY_OK;
    }
    status = sy_state_set_move(session->states, engine->executor, n_rows, &n_left, error);
    if (status != SY_OK) {
        return status;
    }
    sy_restore restore = kind_of_restore(session, n_rows, n_left, event->failure);
    event->restore = restore > event->restore ? restore : event->restore;
    event->n_sessions++;
    if (n_left < n_rows) {
        session->is_short = engine->failover.has_short = true;
        session->n_rows_left = (uint32_t)n_left;
    }
    session->n_loaded_rows = engine->has_windows ? (uint32_t)n_left : session->n_loaded_rows;
    if (n_left > 0 || session->n_loaded_rows > n_left) {
        session->n_prefilled_rows = 0; /* another plan made them */
    }
    return SY_OK;
}

/* What is shared is not known any more: every session counts with all it has. */
static void count_again(sy_engine *engine) {
    engine->reserved_bytes = 0;
    for (const sy_session *s = engine->sessions; s != NULL; s = s->after) {
        engine->reserved_bytes += s->reserved_bytes;
        engine->reserved_bytes += s->states != NULL ? sy__states_own_bytes(s->states) : 0;
    }
}

static sy_status move_all(sy_engine *engine, sy_failover_event *event, sy_error *error) {
    engine->failover.is_unfinished = true;
    if (engine->prefixes != NULL) {
        sy__prefix_shrink(engine->prefixes, 0);
    }
    sy_status status = sy__adapters_move(engine, error);
    for (sy_session *s = engine->sessions; status == SY_OK && s != NULL; s = s->after) {
        status = move_session(s, event, error);
    }
    count_again(engine);
    engine->failover.is_unfinished = status != SY_OK;
    return status;
}

static void drop_planned(sy__planned *planned) {
    sy_executor_destroy(planned->executor);
    sy_plan_destroy(planned->plan);
}

sy_status sy__engine_move(sy_engine *engine, sy__planned *planned, sy_failover_event *event,
                          sy_error *error) {
    uint64_t start = sy__clock_now_ns(), budget = engine->options.budget_bytes;
    uint64_t n_after = engine->load_bytes - engine->executor_bytes + planned->n_bytes;
    sy__retired *retired = SY__NEW(engine->allocator, sy__retired);
    sy_status status = SY_OK;
    if (retired == NULL) {
        status = sy__no_memory(error, sizeof(*retired), "another plan");
    } else if (budget > 0 && n_after + engine->reserved_bytes > budget) {
        status = sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                              "The other plan takes %" PRIu64 " bytes, %" PRIu64
                              " more than the budget leaves.",
                              planned->n_bytes, n_after + engine->reserved_bytes - budget);
    }
    if (status != SY_OK) {
        if (retired != NULL) {
            SY__DELETE(engine->allocator, retired);
        }
        drop_planned(planned);
        return status;
    }
    *retired = (sy__retired){.next = engine->failover.retired,
                             .executor = engine->executor,
                             .plan = engine->plan,
                             .n_bytes = engine->executor_bytes};
    engine->failover.retired = retired;
    engine->failover.n_moves++;
    engine->executor = planned->executor;
    engine->plan = planned->plan;
    sy__engine_find_choice(engine);
    engine->executor_bytes = planned->n_bytes;
    engine->load_bytes += planned->n_bytes;
    event->plan_ns += planned->plan_ns;
    event->load_ns += planned->load_ns;
    status = move_all(engine, event, error);
    event->restore_ns += sy__clock_now_ns() - start;
    return status;
}

/* A plan that was kept for this case and uses no other delegate that is lost. */
static sy_plan *take_shadow(sy_engine *engine, uint32_t i_delegate) {
    sy_plan *plan = engine->failover.shadows[i_delegate];
    engine->failover.shadows[i_delegate] = NULL;
    for (uint32_t d = 0; plan != NULL && d < SY_LIMIT_DELEGATES; d++) {
        if (sy__plan_uses(plan, d) && sy_runtime_is_usable(engine->runtime, d) == 0) {
            sy_plan_destroy(plan);
            plan = NULL;
        }
    }
    return plan;
}

/* The delegate that an error speaks of; SY_NO_VALUE: none that could be left out. */
uint32_t sy__engine_culprit(const sy_engine *engine, const sy_error *error) {
    uint32_t n = sy_runtime_n_delegates(engine->runtime);
    for (uint32_t d = 0; d + 1 < n; d++) {
        if (strcmp(sy_runtime_delegate(engine->runtime, d)->name, error->origin) == 0 &&
            sy_runtime_is_usable(engine->runtime, d) != 0) {
            return d;
        }
    }
    return SY_NO_VALUE;
}

/* Leaves a delegate out, and whatever fails while the others are made ready. */
static sy_status replace(sy_engine *engine, uint32_t i_delegate, sy_failure failure,
                         sy_failover_event *event, sy_error *error) {
    sy__planned planned;
    sy_status status = SY_ABORTED;
    while (status != SY_OK && i_delegate != SY_NO_VALUE) {
        sy_error_clear(error);
        engine->failover.i_failed = i_delegate;
        if (sy_runtime_is_usable(engine->runtime, i_delegate) != 0) { /* else it is known */
            sy_runtime_quarantine(engine->runtime, i_delegate, failure);
        }
        engine->failover.away |= 1u << i_delegate;
        sy_plan *shadow = take_shadow(engine, i_delegate);
        event->used_shadow = shadow != NULL;
        status = sy__engine_make_planned(engine, shadow, &planned, error);
        uint32_t i_failed = 0;
        if (status != SY_OK) {
            i_delegate = sy__engine_culprit(engine, error);
            failure = SY_FAILURE_ERROR;
            continue;
        }
        status = sy__engine_move(engine, &planned, event, error);
        failure = status != SY_OK && engine->executor == planned.executor
                      ? sy_executor_failure(engine->executor, &i_failed)
                      : SY_FAILURE_NONE;
        i_delegate = failure != SY_FAILURE_NONE ? i_failed : SY_NO_VALUE;
    }
    return status;
}

/* Rows beyond the committed tokens are nobody's to make again. */
static sy_status check_rows(const sy_engine *engine, const sy_step_sequence *sequences,
                            uint32_t n_sequences, sy_error *error) {
    for (uint32_t i = 0; i < n_sequences; i++) {
        const sy_session *session = sy__engine_session_of(engine, sequences[i].states);
        if (session != NULL && sequences[i].n_past > sy__session_n_rows(session)) {
            return sy_error_set(error, SY_ABORTED,
                                "A delegate failed, and with it went rows of tokens that are not "
                                "committed; they must be computed from their beginning.");
        }
    }
    if (error != NULL) {
        sy_error_clear(error);
    }
    return SY_OK;
}

static void begin_event(const sy_engine *engine, uint32_t i_delegate, sy_failure failure,
                        const sy_step_sequence *sequences, uint32_t n_sequences,
                        const sy_error *error, sy_failover_event *out_event) {
    const sy_delegate *delegate = sy_runtime_delegate(engine->runtime, i_delegate);
    const sy_session *session =
        n_sequences > 0 ? sy__engine_session_of(engine, sequences[0].states) : NULL;
    *out_event = (sy_failover_event){.failure = failure,
                                     .n_tokens = session != NULL ? session->n_tokens : 0};
    snprintf(out_event->delegate, sizeof(out_event->delegate), "%s", delegate->name);
    snprintf(out_event->device, sizeof(out_event->device), "%s", delegate->info.id);
    snprintf(out_event->reason, sizeof(out_event->reason), "%s",
             error != NULL ? error->message : "");
}

/* A delegate failed, and without it nobody can go on. */
static bool give_up(const sy_failover_event *event, sy_status *inout_status, const sy_error *why,
                    sy_error *error) {
    *inout_status = sy_error_set(error, why->status,
                                 "Delegate '%s' failed (%s), and nobody goes on without it: %s",
                                 event->delegate, sy_failure_name(event->failure), why->message);
    return false;
}

bool sy__engine_goes_on(sy_engine *engine, sy_status *inout_status,
                        const sy_step_sequence *sequences, uint32_t n_sequences, sy_error *error) {
    sy__failover *failover = &engine->failover;
    sy_error own;
    uint32_t i_delegate = 0;
    sy_failure failure = *inout_status != SY_OK && engine->options.failover.is_off == 0
                             ? sy_executor_failure(engine->executor, &i_delegate)
                             : SY_FAILURE_NONE;
    if (failure == SY_FAILURE_NONE) {
        return false;
    }
    if (failover->has_event) { /* the repeated step met the next failure */
        sy__engine_went_on(engine, NULL);
    }
    failover->started_ns = sy__clock_now_ns();
    begin_event(engine, i_delegate, failure, sequences, n_sequences, error, &failover->event);
    sy_error_clear(&own);
    sy_runtime_begin_replan(engine->runtime);
    sy_status status = replace(engine, i_delegate, failure, &failover->event, &own);
    sy_runtime_end_replan(engine->runtime);
    if (status != SY_OK) {
        return give_up(&failover->event, inout_status, &own, error);
    }
    failover->has_event = true;
    if (!failover->is_in_step) {
        sy__engine_went_on(engine, NULL);
    }
    *inout_status = check_rows(engine, sequences, n_sequences, error);
    return *inout_status == SY_OK;
}

/* How far the likeliest token is ahead of the next one. */
static float margin_of(const float *logits, uint32_t n) {
    float first = logits[0], second = -INFINITY;
    for (uint32_t i = 1; i < n; i++) {
        if (logits[i] > first) {
            second = first;
            first = logits[i];
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    return n > 1 ? first - second : 0.0f;
}

void sy__engine_went_on(sy_engine *engine, const float *logits) {
    sy__failover *failover = &engine->failover;
    if (!failover->has_event) {
        return;
    }
    failover->has_event = false;
    failover->event.total_ns = sy__clock_now_ns() - failover->started_ns;
    if (logits != NULL && !engine->info.is_encoder) {
        failover->event.margin = margin_of(logits, engine->info.n_vocabulary);
    }
    sy__engine_add_event(engine, &failover->event);
}

sy_status sy__engine_finish_move(sy_engine *engine, sy_error *error) {
    sy_failover_event unused = {.failure = SY_FAILURE_NONE};
    return engine->failover.is_unfinished ? move_all(engine, &unused, error) : SY_OK;
}
