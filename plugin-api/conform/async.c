/* SPDX-License-Identifier: Apache-2.0 */
/* L4: jobs that wait for others, several in flight, cancelled and late ones, health from another
 * thread. Every signal comes exactly once, whatever happens. */
#include "conform/conform_internal.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MILLISECOND 1000000ull
#define WAIT_FENCE 1u
#define DONE_FENCE 2u
#define OTHER_FENCE 3u
#define FLIGHTS 6u
#define PATIENCE_NS (20000 * MILLISECOND)

/* A loaded case with its step and what the reference makes of it. */
typedef struct flight {
    const sy__case *made;
    sy_op_unit unit;
    sy__outcome outcome;
    sy_op_step step;
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
} flight;

typedef struct async {
    sy__conform *c;
    sy__session *s;
    const sy__case *made;
    const sy__outcome *expected;
    uint64_t run;
} async;

static void nap(uint64_t nanoseconds) {
    const struct timespec pause = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                                   .tv_nsec = (long)(nanoseconds % 1000000000u)};
    nanosleep(&pause, NULL);
}

static bool flight_open(async *a, flight *f) {
    sy_error error;
    memset(f, 0, sizeof(*f));
    f->made = a->made;
    sy__arena_init(&f->outcome.arena, NULL, 1 << 16);
    sy_status status = sy_op_load(&a->s->runner, &a->made->graph, &f->unit, &error);
    f->unit.is_guarded = true;
    bool ok = status == SY_OK &&
              sy__case_step(a->made, a->made->n_tokens, f->symbols, &f->outcome, &f->step);
    if (ok) {
        f->step.run = ++a->run;
        status = sy_op_prepare(&f->unit, &f->step, &error);
    }
    return sy__conform_check(a->c, ok && status == SY_OK, "L4.load", "%s: %.200s.", a->made->name,
                             error.message);
}

static void flight_close(flight *f) {
    sy_op_unload(&f->unit);
    sy__outcome_deinit(&f->outcome);
}

static void check_result(async *a, flight *f, const char *what) {
    sy_error error;
    char text[200];
    sy_status status = sy_op_collect(&f->unit, &f->step, &error);
    const char *difference =
        status == SY_OK ? sy__outcome_differs(a->made, a->expected, &f->outcome, text, sizeof(text))
                        : error.message;
    sy__conform_check(a->c, difference == NULL, "L4.values", "%s, %s: %s.", a->made->name, what,
                      difference);
}

/* Waits with patience; a signal that never comes is a failure. */
static sy_status await_point(async *a, sy_point point, const char *what) {
    sy_status status = a->s->host.services.fence_wait(a->s->host.services.context, point,
                                                      sy__clock_now_ns() + PATIENCE_NS);
    bool is_reached = a->s->host.fences[point.fence].value >= point.value;
    sy__conform_check(a->c, is_reached, "L4.signals", "%s: the signal never comes.", what);
    return is_reached ? status : (sy_status)SY_DEADLINE_EXCEEDED;
}

static void check_misuse(async *a, const char *what) {
    nap(2 * MILLISECOND); /* a second signal would come late */
    pthread_mutex_lock(&a->s->host.lock);
    uint32_t n = a->s->host.n_misuses;
    a->s->host.n_misuses = 0;
    pthread_mutex_unlock(&a->s->host.lock);
    sy__conform_check(a->c, n == 0, "L4.signals", "%s: %.200s.", what, a->s->host.misuse);
}

/* Another thread that reaches a fence later, and looks whether the job was too early. */
typedef struct starter {
    sy_test_host *host;
    sy_point wait, done;
    sy_status status;
    uint64_t delay_ns;
    sy_op_unit *cancels; /* its run is cancelled first */
    uint64_t run;
    bool was_early;
    sy_status cancel_status;
} starter;

static void *start_later(void *argument) {
    starter *s = argument;
    nap(s->delay_ns);
    if (s->cancels != NULL) {
        s->cancel_status = s->cancels->runner->plugin->cancel(s->cancels->unit, s->run);
    }
    pthread_mutex_lock(&s->host->lock);
    s->was_early = s->cancels == NULL && s->host->fences[s->done.fence].value >= s->done.value;
    pthread_mutex_unlock(&s->host->lock);
    s->host->services.fence_signal(s->host->services.context, s->wait, s->status);
    return NULL;
}

/* One job behind a wait that another thread ends with wait_status; cancelled when asked. */
static void check_wait(async *a, sy_status wait_status, bool is_cancelled, const char *what) {
    flight f;
    sy_error error;
    pthread_t thread;
    sy__conform_doing(a->c, "%s: %s", a->made->name, what);
    if (flight_open(a, &f)) {
        starter later = {.host = &a->s->host,
                         .wait = sy_test_host_next_point(&a->s->host, WAIT_FENCE),
                         .done = sy_test_host_next_point(&a->s->host, DONE_FENCE),
                         .status = wait_status,
                         .delay_ns = 20 * MILLISECOND,
                         .cancels = is_cancelled ? &f.unit : NULL,
                         .run = f.step.run};
        sy_op_flight flown = {.signals = {later.done}, .waits = &later.wait, .n_waits = 1};
        if (pthread_create(&thread, NULL, start_later, &later) == 0) {
            sy_status status = sy_op_start(&f.unit, &f.step, &flown, &error);
            if (status == SY_OK) {
                status = await_point(a, later.done, what);
            }
            pthread_join(thread, NULL);
            sy__conform_check(a->c, !later.was_early, "L4.waits",
                              "%s, %s: the job was done before what it waits for.", a->made->name,
                              what);
            bool may_fail = is_cancelled && SY_STATUS_CLASS(status) == SY_CANCELLED;
            bool must_fail = wait_status != SY_OK;
            sy__conform_check(a->c, must_fail ? status != SY_OK : status == SY_OK || may_fail,
                              "L4.status", "%s, %s: the job ends as %s.", a->made->name, what,
                              sy_status_name(status));
            sy__conform_check(a->c, later.cancel_status == SY_OK, "L4.cancel",
                              "%s: cancel answers %s.", a->made->name,
                              sy_status_name(later.cancel_status));
            if (status == SY_OK) {
                check_result(a, &f, what);
            }
        }
    }
    flight_close(&f);
    check_misuse(a, what);
}

/* Jobs of several units in flight at once, each behind the one before, several signals each. */
static void check_chain(async *a) {
    flight flights[FLIGHTS];
    sy_op_flight flown[FLIGHTS];
    sy_point waits[FLIGHTS];
    sy_error error;
    uint32_t n = 0;
    sy_test_host *host = &a->s->host;
    sy__conform_doing(a->c, "%s: %u jobs in flight", a->made->name, FLIGHTS);
    uint64_t done = host->fences[DONE_FENCE].value, other = host->fences[OTHER_FENCE].value;
    uint64_t n_signals = host->fences[DONE_FENCE].n_signals;
    bool ok = true;
    while (ok && n < FLIGHTS) {
        ok = flight_open(a, &flights[n]);
        waits[n] = (sy_point){DONE_FENCE, done + n};
        flown[n] = (sy_op_flight){.n_signals = 2, .waits = &waits[n], .n_waits = n > 0 ? 1 : 0};
        flown[n].signals[0] = (sy_point){DONE_FENCE, done + n + 1};
        flown[n].signals[1] = (sy_point){OTHER_FENCE, other + n + 1};
        n++;
    }
    for (uint32_t i = 0; ok && i < FLIGHTS; i++) {
        sy_status status = sy_op_start(&flights[i].unit, &flights[i].step, &flown[i], &error);
        ok = sy__conform_check(a->c, status == SY_OK, "L4.chain", "%s: job %u of %u: %.200s.",
                               a->made->name, i, FLIGHTS, error.message);
    }
    if (ok) {
        sy_status status = await_point(a, flown[FLIGHTS - 1].signals[0], "jobs in a chain");
        sy_status second = await_point(a, flown[FLIGHTS - 1].signals[1], "jobs in a chain");
        sy__conform_check(a->c, status == SY_OK && second == SY_OK, "L4.chain",
                          "%s: the last of %u jobs in a chain ends as %s.", a->made->name, FLIGHTS,
                          sy_status_name(status != SY_OK ? status : second));
        for (uint32_t i = 0; i < FLIGHTS; i++) {
            check_result(a, &flights[i], "in a chain");
        }
        uint64_t now = host->fences[DONE_FENCE].n_signals;
        sy__conform_check(a->c, now - n_signals == FLIGHTS, "L4.signals",
                          "%u jobs made %llu signals.", FLIGHTS,
                          (unsigned long long)(now - n_signals));
    }
    for (uint32_t i = 0; i < n; i++) {
        flight_close(&flights[i]);
    }
    check_misuse(a, "jobs in a chain");
}

/* One job, alone, with a deadline; another without must work afterwards. */
static void check_deadline(async *a, bool has_wait, const char *what) {
    flight f;
    sy_error error;
    sy__conform_doing(a->c, "%s: %s", a->made->name, what);
    sy_point never = sy_test_host_next_point(&a->s->host, WAIT_FENCE);
    sy_op_flight flown = {.waits = &never, .n_waits = has_wait ? 1 : 0};
    if (flight_open(a, &f)) {
        flown.signals[0] = sy_test_host_next_point(&a->s->host, DONE_FENCE);
        f.step.deadline_ns = has_wait ? sy__clock_now_ns() + 30 * MILLISECOND : 1;
        sy_status status = sy_op_start(&f.unit, &f.step, &flown, &error);
        if (status == SY_OK) {
            status = await_point(a, flown.signals[0], what);
        }
        uint32_t ended = SY_STATUS_CLASS(status);
        sy__conform_check(a->c,
                          ended == SY_DEADLINE_EXCEEDED || (ended == SY_OK && !has_wait) ||
                              (ended == SY_ABORTED && has_wait),
                          "L4.deadline", "%s, %s: the job ends as %s.", a->made->name, what,
                          sy_status_name(status));
    }
    flight_close(&f);
    if (has_wait) { /* so that the fence is as it was for others */
        a->s->host.services.fence_signal(a->s->host.services.context, never, SY_OK);
    }
    check_misuse(a, what);
}

static void check_job_structs(async *a) {
    sy_extension must = {.id = 0x80c0ffeeu, .size = sizeof(sy_extension), .must = 1};
    sy_extension may = {.id = 0x80c0ffedu, .size = sizeof(sy_extension)};
    const struct {
        const char *what;
        const sy_extension *extensions;
        uint32_t extra_bytes;
        bool is_refused;
    } jobs[] = {{"a larger job", NULL, 64, false},
                {"an unknown extension", &may, 0, false},
                {"an unknown extension marked `must`", &must, 0, true}};
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        flight f;
        sy_error error;
        sy__conform_doing(a->c, "submitting %s", jobs[i].what);
        if (flight_open(a, &f)) {
            sy_op_flight flown = {.extensions = jobs[i].extensions,
                                  .extra_bytes = jobs[i].extra_bytes};
            flown.signals[0] = sy_test_host_next_point(&a->s->host, DONE_FENCE);
            sy_status status = sy_op_start(&f.unit, &f.step, &flown, &error);
            if (status == SY_OK) {
                status = await_point(a, flown.signals[0], jobs[i].what);
            }
            sy__conform_check(a->c, jobs[i].is_refused == (status != SY_OK), "L4.job_struct",
                              "submit answers %s to %s.", sy_status_name(status), jobs[i].what);
        }
        flight_close(&f);
        check_misuse(a, jobs[i].what);
    }
}

/* health() without a pause from another thread while jobs run. */
typedef struct watcher {
    sy__session *s;
    pthread_mutex_t lock;
    bool stops;
    uint32_t n_calls, n_bad;
} watcher;

static void *watch(void *argument) {
    watcher *w = argument;
    for (bool stops = false; !stops;) {
        sy_health health = {.header = SY_HEADER_INIT(sy_health)};
        sy_status status = w->s->table.health(w->s->runner.device, &health);
        pthread_mutex_lock(&w->lock);
        w->n_calls++;
        w->n_bad += status != SY_OK;
        stops = w->stops;
        pthread_mutex_unlock(&w->lock);
        nap(MILLISECOND / 10);
    }
    return NULL;
}

static void check_health(async *a) {
    watcher w = {.s = a->s, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    sy__conform_doing(a->c, "asking health from another thread");
    if (pthread_create(&thread, NULL, watch, &w) != 0) {
        return;
    }
    for (int i = 0; i < 10; i++) {
        flight f;
        sy_error error;
        sy_status status =
            flight_open(a, &f) ? sy_op_submit(&f.unit, &f.step, &error) : (sy_status)SY_INTERNAL;
        sy__conform_check(a->c, status == SY_OK, "L4.health",
                          "%s: a job under questions about health fails: %.150s.", a->made->name,
                          error.message);
        flight_close(&f);
    }
    pthread_mutex_lock(&w.lock);
    w.stops = true;
    pthread_mutex_unlock(&w.lock);
    pthread_join(thread, NULL);
    sy__conform_check(a->c, w.n_bad == 0 && w.n_calls > 0, "L4.health",
                      "health fails %u of %u times while jobs run.", w.n_bad, w.n_calls);
}

static void check_all(async *a) {
    check_wait(a, SY_OK, false, "a wait that another thread ends");
    check_wait(a, SY_STATUS(SY_ABORTED, SY_DETAIL_POISONED), false, "a wait that fails");
    check_chain(a);
    check_deadline(a, false, "a deadline that has passed");
    check_deadline(a, true, "a wait past its deadline");
    check_job_structs(a);
    if (a->s->table.cancel != NULL) {
        check_wait(a, SY_OK, true, "a job that is cancelled");
        flight f;
        if (flight_open(a, &f)) {
            sy_error error;
            sy_status status = sy_op_submit(&f.unit, &f.step, &error);
            sy__conform_check(a->c, status == SY_OK, "L4.cancel",
                              "%s: the run after a cancelled one fails: %.150s.", a->made->name,
                              status == SY_OK ? "" : error.message);
        }
        flight_close(&f);
    }
    check_health(a);
}

void sy__conform_async(sy__conform *c) {
    sy__session plugin, oracle;
    sy__pick pick;
    sy__case made;
    sy_error error;
    if (!sy__session_open(c, 2, &plugin)) {
        return;
    }
    if (sy__oracle_open(c, &oracle)) {
        if (sy__pick_case(&plugin, false, &pick) &&
            sy__case_init(&made, pick.i_row, pick.i_type, pick.i_shape, pick.n_tokens)) {
            sy_op_unit unit = {.runner = NULL};
            sy__outcome expected;
            sy_status status = sy_op_load(&oracle.runner, &made.graph, &unit, &error);
            if (status == SY_OK) {
                status = sy__case_run(&made, &unit, made.n_tokens, &expected, &error);
                async a = {.c = c, .s = &plugin, .made = &made, .expected = &expected};
                if (status == SY_OK) {
                    check_all(&a);
                }
                sy__outcome_deinit(&expected);
            }
            sy__conform_check(c, status == SY_OK, "L2.oracle", "%s: the reference fails: %.150s.",
                              made.name, error.message);
            sy_op_unload(&unit);
            sy__case_deinit(&made);
        }
        sy__session_close(c, &oracle);
    }
    sy__session_close(c, &plugin);
}
