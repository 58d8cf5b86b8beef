/* SPDX-License-Identifier: Apache-2.0 */
/* L6: the device is lost at a job. What came before is right, what comes after is refused, all that
 * was made can be destroyed, and a device that is opened anew is sound. */
#include "conform/faults.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define LOSE_MOST 3u

/* What was made before the device was lost. */
typedef struct belongings {
    sy_op_unit unit;
    sy_buffer *buffer;
    sy_state *state;
} belongings;

static sy_status make_buffer(const sy__fault_check *f, sy_buffer **out_buffer) {
    uint32_t own = f->s->runner.info.memory_own;
    sy_memory_kind kind = 0;
    while ((own & SY_MEMORY_BIT(kind)) == 0 && kind + 1 < SY_MEMORY_KIND_COUNT) {
        kind++;
    }
    return f->s->table.buffer_create(f->s->runner.device, kind, 64, out_buffer);
}

static sy_status make_belongings(sy__fault_check *f, belongings *out, sy_error *error) {
    memset(out, 0, sizeof(*out));
    sy_status status = sy_op_load(&f->s->runner, &f->made->graph, &out->unit, error);
    if (status == SY_OK) {
        status = make_buffer(f, &out->buffer);
    }
    if (status == SY_OK && f->made->n_states > 0) {
        status = f->s->table.state_create(f->s->runner.device, &f->made->states[0], &out->state);
    }
    return status;
}

/* A lost device: every way in is closed. */
static void check_dead(sy__fault_check *f, belongings *early) {
    const sy_plugin *t = &f->s->table;
    sy_error error;
    sy_op_unit other = {.runner = NULL};
    sy_buffer *buffer = NULL;
    sy_state *state = NULL;
    sy__outcome outcome;
    const char *names[] = {"submit", "load", "buffer_create", "state_create", "state_truncate"};
    sy_status answers[5] = {SY_UNAVAILABLE, SY_UNAVAILABLE, SY_UNAVAILABLE, SY_UNAVAILABLE,
                            SY_UNAVAILABLE};
    sy__conform_doing(f->c, "%.120s: using a device that is lost", f->made->name);
    if (early->state == NULL) {
        answers[0] = sy__case_run(f->made, &early->unit, f->made->n_tokens, &outcome, &error);
        sy__outcome_deinit(&outcome);
    } else {
        answers[3] = t->state_create(f->s->runner.device, &f->made->states[0], &state);
        answers[4] = t->state_truncate(early->state, 0);
    }
    answers[1] = sy_op_load(&f->s->runner, &f->made->graph, &other, &error);
    answers[2] = make_buffer(f, &buffer);
    for (size_t i = 0; i < 5; i++) {
        sy__conform_check(f->c, sy__fault_is_lost(answers[i]), "L6.dead",
                          "%s, fault=%s: then %s answers %s.", f->made->name, f->fault, names[i],
                          sy_status_name(answers[i]));
    }
    sy_op_unload(&other);
    if (buffer != NULL) {
        t->buffer_destroy(buffer);
    }
    if (state != NULL) {
        t->state_destroy(state);
    }
}

/* Every way out is open. */
static void release(sy__fault_check *f, belongings *early) {
    sy_status buffer = SY_OK, state = SY_OK;
    if (early->buffer != NULL) {
        buffer = f->s->table.buffer_destroy(early->buffer);
    }
    if (early->state != NULL) {
        state = f->s->table.state_destroy(early->state);
    }
    sy_op_unload(&early->unit);
    sy__conform_check(f->c, buffer == SY_OK && state == SY_OK, "L6.release",
                      "%s, fault=%s: buffer_destroy answers %s, state_destroy %s.", f->made->name,
                      f->fault, sy_status_name(buffer), sy_status_name(state));
}

/* Jobs before the Nth are right, the Nth is lost, and so is everything after it. */
static void check_lose(sy__fault_check *f, uint32_t n) {
    sy__session s;
    sy_error error;
    char fault[32];
    sy__outcome saved;
    bool is_saved = false;
    snprintf(fault, sizeof(fault), "lose@%u", n);
    if (!sy__fault_open(f, fault, &s)) {
        return;
    }
    sy_health before = sy__fault_health(f);
    belongings early;
    sy_status status = make_belongings(f, &early, &error);
    for (uint32_t i = 1; i < n && status == SY_OK; i++) {
        sy__outcome outcome;
        status = sy__fault_run(f, &outcome, &error);
        sy__conform_check(f->c, status == SY_OK, "L6.lose", "%s, %s: job %u already fails: %.150s.",
                          f->made->name, fault, i, status == SY_OK ? "" : error.message);
        if (status == SY_OK && is_saved) {
            sy__outcome_deinit(&outcome);
        } else if (status == SY_OK) {
            saved = outcome;
            is_saved = true;
        }
    }
    sy__conform_doing(f->c, "%.120s: losing the device at job %u", f->made->name, n);
    if (status == SY_OK) {
        sy__outcome outcome;
        status = sy__case_run(f->made, &early.unit, f->made->n_tokens, &outcome, &error);
        sy__outcome_deinit(&outcome);
    }
    sy__conform_check(
        f->c, sy__fault_is_lost(status) && SY_STATUS_DETAIL(status) == SY_DETAIL_DEVICE_LOST,
        "L6.lose", "%s, %s: the job ends as %s, not UNAVAILABLE with DEVICE_LOST.", f->made->name,
        fault, sy_status_name(status));
    sy_health after = sy__fault_health(f);
    sy__conform_check(f->c, after.state == SY_HEALTH_LOST && after.epoch > before.epoch,
                      "L6.health_lost", "%s, %s: health says state %u, epoch %u after %u.",
                      f->made->name, fault, after.state, after.epoch, before.epoch);
    check_dead(f, &early);
    release(f, &early);
    sy__session_close(f->c, &s);
    sy__fault_reopened(f, is_saved ? &saved : NULL, fault);
    if (is_saved) {
        sy__outcome_deinit(&saved);
    }
}

/* One of several jobs that are under way when the device is lost. */
typedef struct flying {
    sy_op_unit unit;
    sy__outcome outcome;
    sy_op_step step;
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
    sy_op_flight flight;
    sy_status started;
} flying;

static bool fly(sy__fault_check *f, flying *job, uint32_t i_job) {
    sy_error error;
    memset(job, 0, sizeof(*job));
    sy__arena_init(&job->outcome.arena, NULL, 1 << 16);
    if (sy_op_load(&f->s->runner, &f->made->graph, &job->unit, &error) != SY_OK ||
        !sy__case_step(f->made, f->made->n_tokens, job->symbols, &job->outcome, &job->step) ||
        sy_op_prepare(&job->unit, &job->step, &error) != SY_OK) {
        return false;
    }
    job->step.run = i_job + 1;
    job->flight.n_signals = 2;
    job->flight.signals[0] = sy_test_host_next_point(&f->s->host, SY__FAULT_FENCE + 1 + 2 * i_job);
    job->flight.signals[1] = sy_test_host_next_point(&f->s->host, SY__FAULT_FENCE + 2 + 2 * i_job);
    return true;
}

/* Every signal of a job that submit accepted comes, and says what became of the job. */
static void check_landed(sy__fault_check *f, const flying *job, uint32_t i_job) {
    const sy_host *host = &f->s->host.services;
    for (uint32_t i = 0; job->started == SY_OK && i < 2; i++) {
        sy_point point = job->flight.signals[i];
        sy_status status =
            host->fence_wait(host->context, point, sy__clock_now_ns() + SY__PATIENCE_NS);
        pthread_mutex_lock(&f->s->host.lock);
        bool is_reached = f->s->host.fences[point.fence].value >= point.value;
        pthread_mutex_unlock(&f->s->host.lock);
        bool is_fit = sy__fault_is_lost(status) || SY_STATUS_CLASS(status) == SY_ABORTED ||
                      (status == SY_OK && i_job == 0);
        sy__conform_check(f->c, is_reached && is_fit, "L6.signals",
                          "%s, lose@2 with three jobs: signal %u of job %u %s %s.", f->made->name,
                          i, i_job + 1, is_reached ? "comes as" : "never comes,",
                          is_reached ? sy_status_name(status) : "not even as failed");
    }
    sy__conform_check(f->c, job->started == SY_OK || sy__fault_is_lost(job->started), "L6.signals",
                      "%s, lose@2 with three jobs: submit of job %u answers %s.", f->made->name,
                      i_job + 1, sy_status_name(job->started));
}

static void check_lose_in_flight(sy__fault_check *f) {
    sy__session s;
    sy_error error;
    flying jobs[3];
    uint32_t n = 0;
    if (!sy__fault_open(f, "lose@2", &s)) {
        return;
    }
    sy__conform_doing(f->c, "%.120s: losing the device with three jobs under way", f->made->name);
    bool ok = true;
    while (ok && n < 3) {
        ok = fly(f, &jobs[n], n);
        n++;
    }
    for (uint32_t i = 0; ok && i < n; i++) {
        jobs[i].started = sy_op_start(&jobs[i].unit, &jobs[i].step, &jobs[i].flight, &error);
    }
    for (uint32_t i = 0; ok && i < n; i++) {
        check_landed(f, &jobs[i], i);
    }
    for (uint32_t i = 0; i < n; i++) {
        sy_op_unload(&jobs[i].unit);
        sy__outcome_deinit(&jobs[i].outcome);
    }
    sy__session_close(f->c, &s);
}

void sy__faults_lost(sy__fault_check *f) {
    for (uint32_t n = 1; n <= LOSE_MOST; n++) {
        check_lose(f, n);
    }
    if (f->made->n_states == 0) {
        check_lose_in_flight(f);
    }
}
