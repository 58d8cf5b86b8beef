/* SPDX-License-Identifier: Apache-2.0 */
/* L6: a job does not end by itself. Its deadline ends it, and so does cancel. */
#include "conform/faults.h"

#include "base/clock.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define DEADLINE_NS (150 * SY__MILLISECOND)

/* Cancels a run a little later, from another thread. */
typedef struct canceller {
    sy_op_unit *unit;
    uint64_t run;
    sy_status status;
} canceller;

static void *cancel_later(void *argument) {
    canceller *c = argument;
    const struct timespec pause = {.tv_nsec = 40 * SY__MILLISECOND};
    nanosleep(&pause, NULL);
    c->status = c->unit->runner->plugin->cancel(c->unit->unit, c->run);
    return NULL;
}

/* Starts the job that hangs and waits for its end; *out_status as the signal or submit has it. */
static bool await_hung(sy__fault_check *f, sy_op_unit *unit, sy_op_step *step, bool is_cancelled,
                       sy_status *out_status) {
    sy_error error;
    pthread_t thread;
    sy_test_host *host = &f->s->host;
    sy_op_flight flight = {.signals = {sy_test_host_next_point(host, SY__FAULT_FENCE)}};
    canceller later = {.unit = unit, .run = step->run};
    *out_status = sy_op_prepare(unit, step, &error);
    if (*out_status != SY_OK ||
        (is_cancelled && pthread_create(&thread, NULL, cancel_later, &later) != 0)) {
        return false;
    }
    *out_status = sy_op_start(unit, step, &flight, &error);
    bool is_reached = *out_status != SY_OK;
    if (!is_reached) {
        (void)sy__fault_health(f);
        *out_status = host->services.fence_wait(host->services.context, flight.signals[0],
                                                sy__clock_now_ns() + SY__PATIENCE_NS);
        pthread_mutex_lock(&host->lock);
        is_reached = host->fences[SY__FAULT_FENCE].value >= flight.signals[0].value;
        pthread_mutex_unlock(&host->lock);
    }
    if (is_cancelled) {
        pthread_join(thread, NULL);
        sy__conform_check(f->c, later.status == SY_OK || sy__fault_is_lost(later.status), "L6.hang",
                          "%s: cancel of a job that hangs answers %s.", f->made->name,
                          sy_status_name(later.status));
    }
    return is_reached;
}

static void check_hang(sy__fault_check *f, bool is_cancelled) {
    sy__session s;
    sy_error error;
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
    sy__outcome outcome;
    sy_op_step step;
    sy_op_unit unit = {.runner = NULL};
    sy_status status = SY_OK;
    if (!sy__fault_open(f, "hang@1", &s)) {
        return;
    }
    memset(&outcome, 0, sizeof(outcome));
    sy__arena_init(&outcome.arena, NULL, 1 << 16);
    sy__conform_doing(f->c, "%.120s: a job that hangs until %s", f->made->name,
                      is_cancelled ? "it is cancelled" : "its deadline");
    if (sy_op_load(&s.runner, &f->made->graph, &unit, &error) == SY_OK &&
        sy__case_step(f->made, f->made->n_tokens, symbols, &outcome, &step)) {
        step.run = 1;
        step.deadline_ns = is_cancelled ? 0 : sy__clock_now_ns() + DEADLINE_NS;
        bool is_reached = await_hung(f, &unit, &step, is_cancelled, &status);
        uint32_t kind = SY_STATUS_CLASS(status);
        bool is_fit = kind == SY_UNAVAILABLE || kind == SY_DEADLINE_EXCEEDED ||
                      (kind == SY_CANCELLED && is_cancelled);
        sy__conform_check(
            f->c, is_reached && is_fit, "L6.hang", "%s, hang@1: the job %s %s, with %s.",
            f->made->name, is_reached ? "ends as" : "never ends, not even",
            is_reached ? sy_status_name(status) : "failed", is_cancelled ? "cancel" : "a deadline");
    }
    bool is_dead = sy__fault_health(f).state == SY_HEALTH_LOST;
    status = sy__fault_run(f, NULL, &error);
    sy__conform_check(f->c, is_dead ? sy__fault_is_lost(status) : status == SY_OK, "L6.after_hang",
                      "%s: after a job that hung, health says %s and the next job %s.",
                      f->made->name, is_dead ? "lost" : "sound", sy_status_name(status));
    sy_op_unload(&unit);
    sy__outcome_deinit(&outcome);
    sy__session_close(f->c, &s);
    sy__fault_reopened(f, NULL, "a job that hung");
}

void sy__faults_hung(sy__fault_check *f) {
    if (f->made->n_states == 0) {
        check_hang(f, false);
        if (f->has_cancel) {
            check_hang(f, true);
        }
    }
}
