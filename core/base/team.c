/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a call meets its helpers: the caller publishes the number of tasks left in one word together
 * with the number of the call and keeps the first task for itself. Whoever lowers that word owns a
 * task. The caller ends when the word is at zero and the helpers have reported the tasks they took,
 * so a helper that comes late, or not at all, never holds a call up.
 */
#include "base/team.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/team_internal.h"
#include "switchyard/limits.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 200000u /* a caller waits awake this long for tasks that others took */
#define LOOK_NS 3000000u

/* The team whose task this thread is inside of: a call from there runs in place. */
static _Thread_local const sy__team *current_team;
static _Thread_local uint32_t current_worker;

void sy__futex_wait(atomic_uint *word, unsigned expected) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void sy__futex_wake(atomic_uint *word, uint32_t n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

void sy__team_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

static void run_here(sy_task task, void *argument, uint32_t n_tasks, uint32_t i_worker) {
    for (uint32_t i = 0; i < n_tasks; i++) {
        task(argument, i, i_worker);
    }
}

/* The fields of the call stand still while a task of it is not reported as done. */
uint32_t sy__team_take(sy__team *team, uint64_t work, uint32_t i_worker) {
    uint32_t n_taken = 0;
    current_team = team;
    current_worker = i_worker;
    while (sy__work_left(work) != 0) {
        if (atomic_compare_exchange_weak_explicit(&team->work, &work, work - 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            team->task(team->argument, team->n_tasks - sy__work_left(work), i_worker);
            n_taken++;
            work = atomic_load_explicit(&team->work, memory_order_acquire);
        }
    }
    current_team = NULL;
    return n_taken;
}

/* One is woken by the caller and wakes others in turn: the caller pays for one. */
static void wake_sleepers(sy__team *team) {
    atomic_store(&team->caller_cpu, sched_getcpu());
    atomic_store(&team->someone_sleeps, 0);
    atomic_fetch_add(&team->signal, 1);
    sy__futex_wake(&team->signal, 1);
}

void sy__team_wake_all(sy__team *team) {
    atomic_fetch_add(&team->signal, 1);
    sy__futex_wake(&team->signal, SY_LIMIT_WORKERS);
}

static void wait_for_helpers(sy__team *team, uint32_t n_tasks) {
    uint64_t start_ns = 0;
    for (uint32_t n = 1;; n++) {
        if (atomic_load_explicit(&team->n_done, memory_order_acquire) == n_tasks) {
            return;
        }
        sy__team_relax();
        if (n % SY__N_PAUSES == 0) {
            uint64_t now_ns = sy__clock_now_ns();
            start_ns = start_ns != 0 ? start_ns : now_ns;
            if (now_ns - start_ns > PATIENCE_NS) {
                break;
            }
        }
    }
    atomic_store(&team->caller_sleeps, 1);
    for (unsigned n_done = atomic_load(&team->n_done); n_done != n_tasks;
         n_done = atomic_load(&team->n_done)) {
        sy__futex_wait(&team->n_done, n_done);
    }
    atomic_store(&team->caller_sleeps, 0);
}

static void share(sy__team *team, sy_task task, void *argument, uint32_t n_tasks) {
    team->task = task;
    team->argument = argument;
    team->n_tasks = n_tasks;
    atomic_store_explicit(&team->n_done, 0, memory_order_relaxed);
    uint64_t work = (uint64_t)++team->n_calls << 32 | (n_tasks - 1);
    atomic_exchange(&team->work, work);
    if (atomic_load(&team->someone_sleeps) != 0) {
        wake_sleepers(team);
    }
    current_team = team;
    current_worker = 0;
    task(argument, 0, 0);
    uint32_t n_mine = 1 + sy__team_take(team, atomic_load(&team->work), 0);
    if (n_mine != n_tasks) {
        wait_for_helpers(team, n_tasks - n_mine);
    }
}

static bool take_helpers(sy__team *team) {
    return !atomic_load_explicit(&team->busy, memory_order_relaxed) &&
           !atomic_exchange_explicit(&team->busy, true, memory_order_acquire);
}

static bool is_time_to_look(sy__team *team) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (now_ns - atomic_load_explicit(&team->look_ns, memory_order_relaxed) < LOOK_NS) {
        return false;
    }
    atomic_store_explicit(&team->look_ns, now_ns, memory_order_relaxed);
    return true;
}

void sy__team_run(sy__team *team, sy_task task, void *argument, uint32_t n_tasks) {
    if (team == NULL || team->n_workers == 1) {
        run_here(task, argument, n_tasks, 0);
        return;
    }
    if (current_team == team) {
        run_here(task, argument, n_tasks, current_worker);
        return;
    }
    const sy__team *outer_team = current_team;
    uint32_t outer_worker = current_worker;
    bool has_helpers = n_tasks > 1 &&
                       atomic_load_explicit(&team->n_helping, memory_order_relaxed) > 0 &&
                       take_helpers(team);
    if (has_helpers) {
        share(team, task, argument, n_tasks);
    } else {
        current_team = team;
        current_worker = 0;
        run_here(task, argument, n_tasks, 0);
    }
    current_team = outer_team;
    current_worker = outer_worker;
    if (is_time_to_look(team) && (has_helpers || take_helpers(team))) {
        has_helpers = true;
        sy__team_look(team, &current_team);
    }
    if (has_helpers) {
        atomic_store_explicit(&team->busy, false, memory_order_release);
    }
}

/* Signals belong to the application's threads. */
static int start_thread(sy__worker *self, const sy__cpus *cpus) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&self->thread, NULL, sy__worker_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0 && cpus != NULL) {
        sy__cpus_apply(cpus, self->thread);
    }
    return result;
}

static sy_status start_threads(sy__team *team, const sy__cpus *cpus, sy_error *error) {
    team->bench.n_helping = team->n_workers - 1;
    atomic_store(&team->n_helping, team->n_workers - 1);
    for (uint32_t i = 1; i < team->n_workers; i++) {
        team->workers[i].team = team;
        team->workers[i].i_worker = i;
        int result = start_thread(&team->workers[i], cpus);
        if (result != 0) {
            sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                         "Cannot start worker thread %u of %u (system error %d).", i,
                         team->n_workers - 1, result);
            sy_error_hint(error, "Ask for fewer workers or raise the thread limit (ulimit -u).");
            return SY_RESOURCE_EXHAUSTED;
        }
        team->n_started++;
    }
    return SY_OK;
}

sy_status sy__team_create_with(const sy_allocator *allocator, const sy__team_options *options,
                               sy__team **out_team, sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    uint32_t n_workers =
        options->n_workers != 0 ? options->n_workers : sy__cpus_n_workers(options->cpus);
    if (n_workers > SY_LIMIT_WORKERS) {
        sy_error_set(error, SY_OUT_OF_RANGE, "%u workers are more than the limit of %u.", n_workers,
                     SY_LIMIT_WORKERS);
        sy_error_hint(error, "Give 0 for one worker per CPU.");
        return SY_OUT_OF_RANGE;
    }
    sy__team *team = SY__NEW(allocator, sy__team);
    sy__worker *workers = sy__alloc_array(allocator, n_workers, sizeof(*workers));
    if (team == NULL || workers == NULL) {
        sy__free_array(allocator, workers, n_workers, sizeof(*workers));
        SY__DELETE(allocator, team);
        return sy__no_memory(error, sizeof(*team) + n_workers * sizeof(*workers), "a thread team");
    }
    team->allocator = allocator;
    team->n_workers = n_workers;
    team->spin_ns = options->spin_us * (uint64_t)1000;
    team->workers = workers;
    atomic_store(&team->caller_cpu, -1);
    sy_status status = start_threads(team, options->cpus, error);
    if (status != SY_OK) {
        sy__team_destroy(team);
        return status;
    }
    *out_team = team;
    return SY_OK;
}

sy_status sy__team_create(const sy_allocator *allocator, uint32_t n_workers, sy__team **out_team,
                          sy_error *error) {
    sy__team_options options = {.n_workers = n_workers, .spin_us = SY__TEAM_SPIN_US};
    return sy__team_create_with(allocator, &options, out_team, error);
}

void sy__team_destroy(sy__team *team) {
    if (team == NULL) {
        return;
    }
    for (uint32_t i = 1; i <= team->n_started; i++) {
        atomic_store(&team->workers[i].role, SY__QUITS);
        sy__futex_wake(&team->workers[i].role, 1);
    }
    sy__team_wake_all(team);
    for (uint32_t i = 1; i <= team->n_started; i++) {
        pthread_join(team->workers[i].thread, NULL);
    }
    sy__free_array(team->allocator, team->workers, team->n_workers, sizeof(*team->workers));
    SY__DELETE(team->allocator, team);
}

uint32_t sy__team_n_workers(const sy__team *team) {
    return team != NULL ? team->n_workers : 1;
}

uint32_t sy__team_n_active(const sy__team *team) {
    return team != NULL ? 1 + atomic_load_explicit(&team->n_helping, memory_order_relaxed) : 1;
}
