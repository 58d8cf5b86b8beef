/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/team.h"
#include "base/team_internal.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define N_MOST_TASKS 1000

typedef struct tally {
    sy__team *team;
    uint32_t n_workers;
    int n_runs[N_MOST_TASKS]; /* plain on purpose: each task writes its own, TSan looks */
    int n_by_worker[64];
} tally;

static sy__team *new_team(uint32_t n_workers) {
    sy__team *team = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy__team_create(NULL, n_workers, &team, &error), error);
    return team;
}

static void count_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    tally *counts = argument;
    CHECK(i_worker < counts->n_workers);
    counts->n_runs[i_task]++;
    counts->n_by_worker[i_worker]++; /* an index belongs to one thread at a time */
}

static void run_and_check(tally *counts, uint32_t n_tasks) {
    memset(counts->n_runs, 0, sizeof(counts->n_runs));
    sy__team_run(counts->team, count_task, counts, n_tasks);
    for (uint32_t i = 0; i < N_MOST_TASKS; i++) {
        CHECK_TEXT(counts->n_runs[i] == (i < n_tasks), "task %u ran %d times", i,
                   counts->n_runs[i]);
    }
}

static void every_task_runs_once(void) {
    for (uint32_t n_workers = 1; n_workers <= 5; n_workers++) {
        tally counts = {.team = new_team(n_workers), .n_workers = n_workers};
        CHECK(sy__team_n_workers(counts.team) == n_workers);
        for (uint32_t round = 0; round < 300; round++) {
            run_and_check(&counts, round * 37 % 101);
        }
        run_and_check(&counts, N_MOST_TASKS);
        sy__team_destroy(counts.team);
    }
}

static void null_team_runs_here(void) {
    tally counts = {.team = NULL, .n_workers = 1};
    CHECK(sy__team_n_workers(NULL) == 1);
    run_and_check(&counts, 17);
    sy__team_destroy(NULL);
}

static void calls_after_a_sleep_are_served(void) {
    tally counts = {.team = new_team(3), .n_workers = 3};
    for (int round = 0; round < 20; round++) {
        usleep(3000); /* long past the spinning */
        run_and_check(&counts, 50);
    }
    sy__team_destroy(counts.team);
}

/* Tasks that see each other run at the same time; they give up, since a helper may be left out. */
typedef struct meeting {
    atomic_uint n_here, n_met;
} meeting;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void meet_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    (void)i_task;
    (void)i_worker;
    meeting *m = argument;
    double end = seconds_now() + 0.02;
    atomic_fetch_add(&m->n_here, 1);
    while (atomic_load(&m->n_here) < 3 && seconds_now() < end) {
        usleep(10);
    }
    atomic_fetch_add(&m->n_met, atomic_load(&m->n_here) == 3);
}

static void workers_really_run_beside_the_caller(void) {
    sy__team *team = new_team(3);
    alarm(120);
    for (uint32_t n_rounds = 0; n_rounds < 20;) {
        meeting m = {0, 0};
        sy__team_run(team, meet_task, &m, 3);
        n_rounds += atomic_load(&m.n_met) == 3;
    }
    sy__team_destroy(team);
}

/* Spins for a while, so that others have time to come. */
static void spin_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    count_task(argument, i_task, i_worker);
    double end = seconds_now() + 20e-6;
    while (seconds_now() < end) {}
}

static void dawdle_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    spin_task(argument, i_task, i_worker);
    if (i_worker != 0) {
        usleep(20000);
    }
}

static void run_once_each(tally *counts, sy_task task, uint32_t n_tasks) {
    memset(counts->n_runs, 0, sizeof(counts->n_runs));
    sy__team_run(counts->team, task, counts, n_tasks);
    for (uint32_t i = 0; i < n_tasks; i++) {
        CHECK(counts->n_runs[i] == 1);
    }
}

static void stragglers_are_left_out_and_come_back(void) {
    tally counts = {.team = new_team(3), .n_workers = 3};
    CHECK(sy__team_n_active(NULL) == 1 && sy__team_n_active(counts.team) <= 3);
    alarm(120);
    while (sy__team_n_active(counts.team) > 1) {
        run_once_each(&counts, dawdle_task, 6);
    }
    CHECK(sy__team_n_workers(counts.team) == 3);
    double load = 0, end = seconds_now() + 30;
    while (sy__team_n_active(counts.team) == 1) {
        run_once_each(&counts, spin_task, 6);
        if (seconds_now() > end && getloadavg(&load, 1) == 1 && load > 1) {
            SKIP("others keep all CPUs busy (load %.1f)", load);
        }
    }
    sy__team_destroy(counts.team);
}

static double cpu_seconds(pthread_t thread) {
    clockid_t clock;
    struct timespec used = {0};
    CHECK(pthread_getcpuclockid(thread, &clock) == 0 && clock_gettime(clock, &used) == 0);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

/* A caller that was kept from running for long benches a helper that has fallen asleep meanwhile:
 * the trial has to wake it where it sleeps. */
static void helper_benched_in_its_sleep_stands_its_trial(void) {
    tally counts = {.team = new_team(2), .n_workers = 2};
    sy__worker *helper = &counts.team->workers[1];
    alarm(120);
    run_once_each(&counts, spin_task, 6);
    usleep(50000);
    unsigned role = SY__HELPS;
    bool is_benched_now = atomic_compare_exchange_strong(&helper->role, &role, SY__BENCHED);
    atomic_fetch_sub(&counts.team->n_helping, is_benched_now);
    double before = cpu_seconds(helper->thread), end = seconds_now() + 60;
    while (cpu_seconds(helper->thread) < before + 1e-3 && seconds_now() < end) {
        run_once_each(&counts, spin_task, 6);
    }
    CHECK(seconds_now() < end);
    sy__team_destroy(counts.team);
}

static void helper_leaves_the_callers_cpu(void) {
    cpu_set_t allowed, one, after;
    CHECK(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    int cpu = sched_getcpu(), n_moves = 0;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    sy__team team = {.n_workers = 2};
    for (int round = 0; round < 100; round++) { /* the system may move it as well */
        CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
        CHECK(sched_setaffinity(0, sizeof(allowed), &allowed) == 0);
        atomic_store(&team.caller_cpu, cpu);
        bool was_there = sched_getcpu() == cpu;
        sy__team_part(&team);
        n_moves += was_there && sched_getcpu() != cpu;
        CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
        CHECK(CPU_EQUAL(&after, &allowed));
    }
    CHECK(CPU_COUNT(&allowed) == 1 || n_moves > 0);

    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0); /* nowhere to go: it stays */
    sy__team_part(&team);
    CHECK(sched_getaffinity(0, sizeof(after), &after) == 0);
    CHECK(CPU_EQUAL(&after, &one));
    CHECK(sched_setaffinity(0, sizeof(allowed), &allowed) == 0);
}

/* Ends teams in every state: awake, asleep, with helpers left out or on trial. */
static void teams_end_in_every_state(void) {
    for (int round = 0; round < 60; round++) {
        tally counts = {.team = new_team(2 + (uint32_t)round % 3), .n_workers = 4};
        for (int i = 0; i < round % 4; i++) {
            run_once_each(&counts, round % 8 == 7 ? dawdle_task : spin_task, 5);
        }
        for (int i = 0; round % 8 == 7 && i < 500; i++) {
            run_once_each(&counts, spin_task, 3);
        }
        if (round % 5 == 0) {
            usleep(3000);
        }
        sy__team_destroy(counts.team);
    }
}

static void *own_team(void *argument) {
    (void)argument;
    tally counts = {.team = new_team(3), .n_workers = 3};
    for (int round = 0; round < 200; round++) {
        run_and_check(&counts, 1 + (uint32_t)round % 60);
    }
    sy__team_destroy(counts.team);
    return NULL;
}

static void teams_live_side_by_side(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, own_team, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void inner_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    (void)i_task;
    int *counts = argument;
    counts[i_worker]++;
}

typedef struct nest {
    sy__team *team;
    int counts[8];
} nest;

static void outer_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    (void)i_task;
    (void)i_worker;
    nest *outer = argument;
    sy__team_run(outer->team, inner_task, outer->counts, 10);
}

static void call_inside_a_task_keeps_its_worker(void) {
    nest outer = {.team = new_team(4)};
    alarm(60);
    for (int round = 0; round < 20; round++) {
        sy__team_run(outer.team, outer_task, &outer, 8);
    }
    int sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += outer.counts[i];
    }
    CHECK(sum == 20 * 8 * 10);
    sy__team_destroy(outer.team);
}

static void *call_many_times(void *argument) {
    tally counts = {.team = argument, .n_workers = 4};
    for (int round = 0; round < 100; round++) {
        run_and_check(&counts, 40);
    }
    return NULL;
}

static void callers_do_not_wait_for_each_other(void) {
    sy__team *team = new_team(4);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, call_many_times, team) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    sy__team_destroy(team);
}

static void idle_team_uses_no_cpu(void) {
    tally counts = {.team = new_team(4), .n_workers = 4};
    run_and_check(&counts, 100);
    usleep(50000);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    usleep(200000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    long used_us =
        (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    CHECK_TEXT(used_us < 5000, "%ld us of CPU in 200 ms", used_us);
    sy__team_destroy(counts.team);
}

static void too_many_workers_are_refused(void) {
    sy__team *team = NULL;
    sy_error error;
    CHECK(sy__team_create(NULL, 257, &team, &error) == SY_OUT_OF_RANGE && team == NULL);
    CHECK(error.hint[0] != '\0');
    team = new_team(0);
    CHECK(sy__team_n_workers(team) >= 1);
    sy__team_destroy(team);
}

static void refused_memory_is_a_status(void) {
    sy_budget budget;
    for (uint64_t limit = 1; limit < 4096; limit *= 2) {
        sy_budget_init(&budget, NULL, limit);
        sy__team *team = NULL;
        sy_status status = sy__team_create(&budget.allocator, 2, &team, NULL);
        CHECK((status == SY_OK) == (team != NULL));
        CHECK(status == SY_OK || status == SY_RESOURCE_EXHAUSTED);
        sy__team_destroy(team);
        CHECK(budget.used_bytes == 0);
    }
}

/* Threads take an address space for their stacks; a tight limit makes the creation fail. */
static void refused_threads_are_a_status(void) {
#if defined(SY_SANITIZED)
    SKIP("the sanitizer reserves more address space than the limit allows");
#endif
    struct rlimit limit = {256u << 20, 256u << 20};
    void *probe = MAP_FAILED;
    if (setrlimit(RLIMIT_AS, &limit) == 0) {
        probe = mmap(NULL, 512u << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (probe != MAP_FAILED) {
        SKIP("address space limits are not enforced here (emulator)");
    }
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    sy__team *team = NULL;
    sy_error error;
    sy_status status = sy__team_create(&budget.allocator, 256, &team, &error);
    CHECK_TEXT(status == SY_RESOURCE_EXHAUSTED, "status %u", status);
    CHECK(team == NULL && budget.used_bytes == 0);
    CHECK(strstr(error.message, "worker thread") != NULL);
    CHECK(sy__team_create(&budget.allocator, 2, &team, &error) == SY_OK);
    sy__team_destroy(team);
}

static const sy_test_case cases[] = {
    {"every_task_runs_once", every_task_runs_once},
    {"null_team_runs_here", null_team_runs_here},
    {"calls_after_a_sleep_are_served", calls_after_a_sleep_are_served},
    {"workers_really_run_beside_the_caller", workers_really_run_beside_the_caller},
    {"call_inside_a_task_keeps_its_worker", call_inside_a_task_keeps_its_worker},
    {"stragglers_are_left_out_and_come_back", stragglers_are_left_out_and_come_back},
    {"helper_benched_in_its_sleep_stands_its_trial", helper_benched_in_its_sleep_stands_its_trial},
    {"helper_leaves_the_callers_cpu", helper_leaves_the_callers_cpu},
    {"teams_end_in_every_state", teams_end_in_every_state},
    {"teams_live_side_by_side", teams_live_side_by_side},
    {"callers_do_not_wait_for_each_other", callers_do_not_wait_for_each_other},
    {"idle_team_uses_no_cpu", idle_team_uses_no_cpu},
    {"too_many_workers_are_refused", too_many_workers_are_refused},
    {"refused_memory_is_a_status", refused_memory_is_a_status},
    {"refused_threads_are_a_status", refused_threads_are_a_status},
};
SY_TEST_MAIN(cases)
