/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a helper: it serves calls while it gets its CPU, sleeps when there are none, stands
 * aside when it is kept from running and comes back after a trial. */
#include "base/clock.h"
#include "base/team_internal.h"

#define CHECK_NS 1000000u
#define PROBATION_NS 4000000u /* of debt to begin with: who loses a slice soon goes again */

static bool has_role(sy__worker *self, sy__role role) {
    return atomic_load_explicit(&self->role, memory_order_relaxed) == role;
}

static uint64_t help(sy__worker *self, uint64_t work) {
    sy__team *team = self->team;
    uint32_t n_taken = sy__team_take(team, work, self->i_worker);
    bool was_late = false;
    if (n_taken > 0) {
        atomic_fetch_add(&team->n_done, n_taken);
        if (atomic_load(&team->caller_sleeps) != 0) {
            was_late = true;
            sy__futex_wake(&team->n_done, 1);
        }
    }
    uint64_t now_ns = sy__clock_now_ns();
    if (was_late || now_ns - self->watch.wall_ns > CHECK_NS) {
        sy__team_ask(team, self->i_worker, was_late);
    }
    return now_ns;
}

static void sleep_until_call(sy__worker *self, uint32_t seen) {
    sy__team *team = self->team;
    unsigned signal = atomic_load(&team->signal);
    atomic_store(&team->someone_sleeps, 1);
    if (sy__work_call(atomic_load(&team->work)) != seen || atomic_load(&self->role) != SY__HELPS) {
        return;
    }
    sy__futex_wait(&team->signal, signal);
    if (team->n_workers > 2) {
        sy__futex_wake(&team->signal, 2); /* the caller woke one only */
    }
    sy__team_part(team);
    sy__watch_start(&self->watch);
}

/* Awake: takes tasks as they come; asleep after spin_ns without a call. */
static void serve(sy__worker *self) {
    sy__team *team = self->team;
    uint32_t seen = sy__work_call(atomic_load(&team->work));
    uint64_t active_ns = sy__clock_now_ns();
    for (uint32_t n = 1; has_role(self, SY__HELPS); n++) {
        uint64_t work = atomic_load_explicit(&team->work, memory_order_acquire);
        if (sy__work_left(work) != 0) {
            seen = sy__work_call(work);
            active_ns = help(self, work);
            continue;
        }
        sy__team_relax();
        if (n % SY__N_PAUSES != 0) {
            continue;
        }
        uint64_t now_ns = sy__clock_now_ns();
        if (sy__work_call(work) != seen) {
            seen = sy__work_call(work);
            active_ns = now_ns;
        }
        if (now_ns - active_ns > team->spin_ns) {
            sleep_until_call(self, seen);
            active_ns = sy__clock_now_ns();
        } else if (now_ns - self->watch.wall_ns > CHECK_NS) {
            sy__team_ask(team, self->i_worker, false);
        }
    }
}

static void end_trial(sy__worker *self, sy__role role) {
    unsigned expected = SY__ON_TRIAL; /* unless the caller ended it first */
    if (role == SY__HELPS) {
        atomic_fetch_add(&self->team->n_helping, 1);
    }
    if (!atomic_compare_exchange_strong(&self->role, &expected, role) && role == SY__HELPS) {
        atomic_fetch_sub(&self->team->n_helping, 1);
    }
}

/* Wants a CPU for some milliseconds without taking part: nobody waits for a helper on trial, so one
 * that fails costs the caller nothing. A program of the lowest priority takes one time slice soon
 * after the helper comes and the next one much later, so a single loss proves nothing. */
static void stand_trial(sy__worker *self) {
    sy__team_part(self->team);
    uint64_t start_ns = sy__clock_now_ns();
    sy__watch_start(&self->watch);
    for (uint32_t n = 1; has_role(self, SY__ON_TRIAL); n++) {
        sy__team_relax();
        if (n % SY__N_PAUSES != 0) {
            continue;
        }
        uint64_t now_ns = sy__clock_now_ns();
        bool ends = now_ns - start_ns > SY__TRIAL_NS;
        if (!ends && now_ns - self->watch.wall_ns <= CHECK_NS) {
            continue;
        }
        if (sy__trial_loses(self->team, sy__watch_lost(&self->watch, false))) {
            end_trial(self, SY__BENCHED);
        } else if (ends) {
            self->watch.debt_ns = PROBATION_NS;
            end_trial(self, SY__HELPS);
        }
    }
}

void *sy__worker_main(void *argument) {
    sy__worker *self = argument;
    sy__watch_start(&self->watch);
    for (;;) {
        switch (atomic_load(&self->role)) {
        case SY__HELPS:
            serve(self);
            break;
        case SY__ON_TRIAL:
            stand_trial(self);
            break;
        case SY__BENCHED:
            sy__futex_wait(&self->role, SY__BENCHED);
            break;
        default:
            return NULL;
        }
    }
}
