/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegates that were lost and may come back. A trial comes first: the newest tokens of the session
 * that is about to step go through the plan in use and through one with the delegate, from an empty
 * state, as a prompt and as a step; both must agree. Then sessions move, and probation begins.
 */
#include "base/clock.h"
#include "engine/engine_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TRIAL_TOKENS 16u

typedef struct trial {
    sy_engine *engine;
    const int32_t *tokens;
    uint32_t n_tokens;
    float *results; /* of the prompt, of the step; from the plan in use */
    uint64_t n_bytes[2];
    bool is_other; /* now runs the plan with the delegate */
    bool differs;
} trial;

static bool is_close(const float *a, const float *b, uint64_t n, float tolerance) {
    float largest = 0.0f, apart = 0.0f;
    for (uint64_t i = 0; i < n; i++) {
        float difference = fabsf(a[i] - b[i]);
        largest = fabsf(a[i]) > largest ? fabsf(a[i]) : largest;
        apart = difference <= apart ? apart : difference; /* no number is taken, too */
    }
    return isfinite(apart) && apart <= tolerance * largest;
}

/* Keeps the results of the plan in use; compares those of the other. */
static sy_status take(trial *t, uint32_t i_step, const float *result, uint64_t n_bytes,
                      sy_error *error) {
    float *place = t->results;
    if (t->is_other) {
        place += i_step > 0 ? t->n_bytes[0] / sizeof(float) : 0;
        t->differs = t->differs || n_bytes != t->n_bytes[i_step] ||
                     !is_close(place, result, n_bytes / sizeof(float),
                               t->engine->options.failover.trial_tolerance);
        return SY_OK;
    }
    uint64_t n_before = i_step > 0 ? t->n_bytes[0] : 0;
    void *grown = t->engine->allocator->reallocate(t->engine->allocator->self, t->results, n_before,
                                                   n_before + n_bytes, SY__ALIGNMENT);
    if (grown == NULL) {
        return sy__no_memory(error, n_bytes, "the trial of a delegate");
    }
    t->results = grown;
    t->n_bytes[i_step] = n_bytes;
    memcpy((uint8_t *)t->results + n_before, result, n_bytes);
    return SY_OK;
}

/* The next n tokens on an executor, behind those before. */
static sy_status run_part(trial *t, sy_executor *executor, const sy_step_sequence *sequence,
                          uint32_t i_step, sy_error *error) {
    const int32_t last = (int32_t)sequence->n_tokens - 1;
    const sy__ragged_step ragged = {.sequences = sequence,
                                    .tokens = t->tokens + sequence->n_past,
                                    .output_rows = &last,
                                    .n_sequences = 1,
                                    .n_output_rows = 1};
    const float *result = NULL;
    uint64_t n_bytes = 0;
    sy_status status = sy__executor_run(t->engine, executor, &ragged, &result, &n_bytes, error);
    return status == SY_OK ? take(t, i_step, result, n_bytes, error) : status;
}

static sy_status run(trial *t, sy_executor *executor, sy_error *error) {
    bool has_states = !t->engine->info.is_encoder;
    uint32_t n_prompt = has_states ? t->n_tokens - 1 : t->n_tokens;
    sy_state_set *states = NULL;
    sy_status status =
        has_states ? sy_state_set_create(executor, t->n_tokens, &states, error) : SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < 2; i++) {
        const sy_step_sequence sequence = {.states = states,
                                           .n_tokens = i == 0 ? n_prompt : t->n_tokens - n_prompt,
                                           .n_past = i == 0 ? 0 : n_prompt};
        if (sequence.n_tokens > 0) {
            status = run_part(t, executor, &sequence, i, error);
        }
    }
    sy_state_set_destroy(states);
    return status;
}

/* Runs both; false with the failure when the other plan fails or differs. */
static bool passes(trial *t, sy_executor *other, sy_failure *out_failure, sy_error *error) {
    uint32_t i_failed = 0;
    *out_failure = SY_FAILURE_NONE;
    if (run(t, t->engine->executor, error) != SY_OK) {
        return false; /* the plan in use fails: the step will say so */
    }
    t->is_other = true;
    if (run(t, other, error) != SY_OK) {
        *out_failure = sy_executor_failure(other, &i_failed);
        *out_failure = *out_failure != SY_FAILURE_NONE ? *out_failure : SY_FAILURE_ERROR;
        return false;
    }
    *out_failure = t->differs ? SY_FAILURE_GARBAGE : SY_FAILURE_NONE;
    return !t->differs;
}

static void retire(sy_engine *engine, sy__planned *planned) {
    if (sy_executor_is_idle(planned->executor) != 0) {
        sy_executor_destroy(planned->executor);
        sy_plan_destroy(planned->plan);
        return;
    }
    sy__retired *retired = SY__NEW(engine->allocator, sy__retired);
    if (retired != NULL) { /* else it stays for good, as its job may */
        *retired = (sy__retired){.next = engine->failover.retired,
                                 .executor = planned->executor,
                                 .plan = planned->plan,
                                 .n_bytes = planned->n_bytes};
        engine->failover.retired = retired;
        engine->load_bytes += planned->n_bytes;
    }
}

static void come_back(sy_engine *engine, uint32_t i_delegate, sy__planned *planned,
                      uint64_t started_ns, uint32_t n_tokens) {
    const sy_delegate *delegate = sy_runtime_delegate(engine->runtime, i_delegate);
    sy_failover_event event = {.failure = SY_FAILURE_NONE, .n_tokens = n_tokens};
    sy_error error;
    snprintf(event.delegate, sizeof(event.delegate), "%s", delegate->name);
    snprintf(event.device, sizeof(event.device), "%s", delegate->info.id);
    engine->failover.away &= ~(1u << i_delegate);
    if (sy__engine_move(engine, planned, &event, &error) == SY_OK) {
        event.total_ns = sy__clock_now_ns() - started_ns;
        sy__engine_add_event(engine, &event);
    } else {
        sy_log_write(sy_runtime_log(engine->runtime), SY_SEVERITY_WARNING, "engine.return.failed",
                     "delegate=%s reason=%s", delegate->name, error.message);
    }
}

/* One delegate that is back on probation. */
static void try_one(sy_engine *engine, uint32_t i_delegate, const int32_t *tokens,
                    uint32_t n_tokens, uint32_t n_committed) {
    uint64_t start = sy__clock_now_ns();
    sy_failure failure = SY_FAILURE_ERROR;
    sy__planned planned;
    sy_error error;
    sy_error_clear(&error);
    if (sy__engine_make_planned(engine, NULL, &planned, &error) != SY_OK) {
        sy_runtime_quarantine(engine->runtime, i_delegate, failure);
        return;
    }
    if (!sy__plan_uses(planned.plan, i_delegate)) {
        engine->failover.away &= ~(1u << i_delegate); /* nothing is better with it */
        retire(engine, &planned);
        return;
    }
    trial t = {.engine = engine, .tokens = tokens, .n_tokens = n_tokens};
    bool is_good = passes(&t, planned.executor, &failure, &error);
    engine->allocator->reallocate(engine->allocator->self, t.results, t.n_bytes[0] + t.n_bytes[1],
                                  0, SY__ALIGNMENT);
    if (is_good) {
        come_back(engine, i_delegate, &planned, start, n_committed);
        return;
    }
    sy_log_write(sy_runtime_log(engine->runtime), SY_SEVERITY_WARNING, "engine.trial.failed",
                 "delegate=%s failure=%s reason=%s",
                 sy_runtime_delegate(engine->runtime, i_delegate)->name, sy_failure_name(failure),
                 t.differs ? "its results differ" : error.message);
    retire(engine, &planned);
    sy_runtime_quarantine(engine->runtime, i_delegate, failure);
}

/* May it be tried now? Forgets one that is out for good. */
static bool is_due(sy_engine *engine, uint32_t i_delegate) {
    sy_delegate_record record;
    sy_runtime_get_record(engine->runtime, i_delegate, &record);
    if (record.condition == SY_CONDITION_OUT) {
        engine->failover.away &= ~(1u << i_delegate);
        return false;
    }
    return record.condition != SY_CONDITION_QUARANTINED ||
           (record.retry_ns == 0 && sy_runtime_readmit(engine->runtime, i_delegate, NULL) == SY_OK);
}

void sy__engine_try_returns(sy_engine *engine, const sy_step_sequence *sequences,
                            const int32_t *tokens) {
    const sy_session *session = sy__engine_session_of(engine, sequences[0].states);
    uint32_t n_tokens = sequences[0].n_tokens, n_committed = 0;
    if (session != NULL && session->n_tokens > n_tokens) {
        n_committed = n_tokens = session->n_tokens;
        tokens = session->tokens;
    }
    uint32_t n = sy__smaller(sy__smaller(n_tokens, TRIAL_TOKENS), engine->options.n_batch_tokens);
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        bool is_away = (engine->failover.away >> d & 1u) != 0;
        if (!is_away || engine->failover.retired != NULL) {
            continue;
        }
        sy_runtime_begin_replan(engine->runtime);
        if (is_due(engine, d)) {
            try_one(engine, d, tokens + n_tokens - n, n, n_committed);
        }
        sy_runtime_end_replan(engine->runtime);
    }
}
