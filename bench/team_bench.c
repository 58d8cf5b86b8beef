/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the thread team through the table that plugins get: what a parallel call costs, and what
 * is left of two threads when other programs want the CPUs.
 *
 *   team_bench [--threads N] [--ms N] [--only WORDS]     e.g. --only "cost,idle,hog on cpu 1"
 *
 * A region is one parallel call whose 8 tasks take 10, 50 or 500 us on one thread alone. Numbers
 * are regions per second against one thread without neighbours, over three rounds of --ms
 * milliseconds for the team and half of that for one thread, from the first call on.
 */
#include "measuring.h"
#include "switchyard/runtime.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_TASKS 8u
#define N_SIZES 3u
#define N_NEIGHBOURS 2u

static const double region_us[N_SIZES] = {10, 50, 500};

typedef struct scenario {
    const char *name;
    uint32_t n_threads;              /* 0: as asked for */
    int on_cpu[N_NEIGHBOURS];        /* of each neighbour; -1 anywhere, -2 none */
    uint32_t on_us, off_us, nice_by; /* off_us 0: always busy */
} scenario;

static const scenario scenarios[] = {
    {"idle", 0, {-2, -2}, 0, 0, 0},
    {"hog on cpu 0", 0, {0, -2}, 0, 0, 0},
    {"hog on cpu 1", 0, {1, -2}, 0, 0, 0},
    {"hog anywhere", 0, {-1, -2}, 0, 0, 0},
    {"hog at nice 19", 0, {-1, -2}, 0, 0, 19},
    {"2 ms on and off", 0, {-1, -2}, 2000, 2000, 0},
    {"0.3 ms of 20 ms", 0, {-1, -2}, 300, 20000, 0},
    {"two hogs", 0, {-1, -1}, 0, 0, 0},
    {"4 threads", 4, {-2, -2}, 0, 0, 0},
    {"4 threads and a hog", 4, {-1, -2}, 0, 0, 0},
};

static uint32_t work(uint32_t n) {
    uint32_t x = n;
    for (uint32_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

typedef struct load {
    uint32_t n_rounds; /* of work() per task */
    _Alignas(64) atomic_uint n_elsewhere;
} load;

static void work_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    load *l = argument;
    (void)i_task;
    if (l->n_rounds > 0) {
        work(l->n_rounds);
    }
    if (i_worker != 0) {
        atomic_fetch_add_explicit(&l->n_elsewhere, 1, memory_order_relaxed);
    }
}

static void empty_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    (void)argument;
    (void)i_task;
    (void)i_worker;
}

/* Waits in task 0, on the caller, until somebody else has run task 1: a full round trip. */
static void meet_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    atomic_uint *has_met = argument;
    double give_up_us = 0;
    if (i_task == 1 || i_worker != 0) {
        atomic_store_explicit(has_met, 1, memory_order_release);
        return;
    }
    for (uint32_t n = 1; atomic_load_explicit(has_met, memory_order_acquire) == 0; n++) {
        if (n % 4096 == 0) {
            give_up_us = give_up_us == 0 ? now_us() + 1000 : give_up_us;
            if (now_us() > give_up_us) {
                return; /* left out for now: the caller runs task 1 itself */
            }
        }
    }
}

typedef struct host {
    sy_runtime *runtime;
    const sy_host *services;
} host;

static host host_open(uint32_t n_threads) {
    host h = {NULL, NULL};
    sy_runtime_options options;
    sy_runtime_options_default(&options);
    options.n_threads = n_threads;
    sy_error error;
    if (sy_runtime_create(&options, &h.runtime, &error) != SY_OK ||
        sy_runtime_attach(h.runtime, "bench", &h.services, &error) != SY_OK) {
        fprintf(stderr, "team_bench: %s %s\n", error.message, error.hint);
        exit(1);
    }
    return h;
}

static void host_close(host *h) {
    sy_runtime_detach(h->runtime, h->services);
    sy_runtime_destroy(h->runtime);
}

static void run(const host *h, sy_task task, void *argument, uint32_t n_tasks) {
    (void)h->services->parallel(h->services->context, task, argument, n_tasks);
}

/* Rounds of work() in one microsecond. */
static double calibrate(void) {
    double best_us = 1e9;
    for (int i = 0; i < 200; i++) {
        double start_us = now_us();
        work(20000);
        double us = now_us() - start_us;
        best_us = us < best_us ? us : best_us;
    }
    return 20000 / best_us;
}

/* Least time of one call over many batches, for at most half a second. */
static double call_ns(const host *h, sy_task task, void *argument, uint32_t n_tasks) {
    double best_us = 1e9, end_us = now_us() + 5e5;
    for (int batch = 0; batch < 2000 && now_us() < end_us; batch++) {
        double start_us = now_us();
        for (int i = 0; i < 20; i++) {
            if (task == meet_task) {
                atomic_store_explicit((atomic_uint *)argument, 0, memory_order_relaxed);
            }
            run(h, task, argument, n_tasks);
        }
        double us = (now_us() - start_us) / 20;
        best_us = us < best_us ? us : best_us;
    }
    return best_us * 1e3;
}

static void measure_costs(uint32_t n_threads, double rounds_per_us) {
    host alone = host_open(1), team = host_open(n_threads);
    _Alignas(64) atomic_uint has_met;
    printf("%-44s %8.1f ns\n", "call of 2 empty tasks, 1 thread",
           call_ns(&alone, empty_task, NULL, 2));
    printf("%-44s %8.1f ns\n", "call of 1 empty task, team", call_ns(&team, empty_task, NULL, 1));
    printf("%-44s %8.1f ns\n", "call of 2 empty tasks, team", call_ns(&team, empty_task, NULL, 2));
    printf("%-44s %8.1f ns\n", "call of 64 empty tasks, team",
           call_ns(&team, empty_task, NULL, 64));
    printf("%-44s %8.1f ns\n", "round trip: task 0 waits for task 1 elsewhere",
           call_ns(&team, meet_task, &has_met, 2));
    for (uint32_t us = 5; us <= 50; us *= 10) {
        load l = {.n_rounds = (uint32_t)(us * rounds_per_us)};
        printf("one task of %2u us for each of %u threads: %10.1f ns\n", us, n_threads,
               call_ns(&team, work_task, &l, n_threads));
    }
    for (int us = 100; us <= 3200; us *= 2) { /* how long after a call is a helper still awake? */
        load l = {.n_rounds = (uint32_t)(50 * rounds_per_us)};
        double sum_us = 0;
        for (int i = 0; i < 20; i++) {
            run(&team, work_task, &l, n_threads);
            double start_us = now_us();
            while (now_us() - start_us < us) {}
            start_us = now_us();
            run(&team, work_task, &l, n_threads);
            sum_us += now_us() - start_us;
        }
        printf("50 us for each thread after a gap of %4d us: %6.1f us\n", us, sum_us / 20);
    }
    host_close(&alone);
    host_close(&team);
}

static void neighbour(const scenario *s, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET((size_t)cpu, &set);
        (void)sched_setaffinity(0, sizeof(set), &set);
    }
    if (s->nice_by > 0 && nice((int)s->nice_by) < 0) {
        _exit(1);
    }
    for (;;) {
        double start_us = now_us();
        while (s->off_us == 0 || now_us() - start_us < s->on_us) {
            work(1000);
        }
        usleep(s->off_us);
    }
}

static void neighbours_start(const scenario *s, pid_t out_children[N_NEIGHBOURS]) {
    for (uint32_t i = 0; i < N_NEIGHBOURS; i++) {
        out_children[i] = 0;
        if (s->on_cpu[i] > -2) {
            out_children[i] = fork();
            if (out_children[i] == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                neighbour(s, s->on_cpu[i]);
            }
        }
    }
    usleep(20000);
}

static void neighbours_end(const pid_t children[N_NEIGHBOURS]) {
    for (uint32_t i = 0; i < N_NEIGHBOURS; i++) {
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    }
}

/* CPU seconds that all programs used so far, and this one with its children. */
static double cpu_seconds(int of_all) {
    double sum = 0, ticks[8] = {0};
    if (!of_all) {
        struct timespec used;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
    }
    FILE *file = fopen("/proc/stat", "re");
    if (file != NULL &&
        fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &ticks[0], &ticks[1], &ticks[2],
               &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) == 8) {
        sum = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / (double)sysconf(_SC_CLK_TCK);
    }
    if (file != NULL) {
        fclose(file);
    }
    return sum;
}

/* Regions per second. */
static double throughput(const host *h, load *l, double run_us, double *out_n_tasks) {
    double start_us = now_us(), end_us = start_us;
    uint32_t n = 0;
    for (; end_us - start_us < run_us; end_us = now_us()) {
        run(h, work_task, l, N_TASKS);
        n++;
    }
    *out_n_tasks += n * (double)N_TASKS;
    return n / (end_us - start_us) * 1e6;
}

/* Sums over the rounds in which no foreign program took more than a tenth of a CPU. */
typedef struct sums {
    double one, team, n_tasks, n_elsewhere;
    uint32_t n_rounds;
} sums;

static void add_round(const host *alone, const host *team, const scenario *s, load *l,
                      double run_us, sums *inout) {
    double n_tasks = 0, ignored = 0, start_us = now_us();
    double foreign = cpu_seconds(1) - cpu_seconds(0);
    double one = throughput(alone, l, run_us / 2, &ignored);
    atomic_store(&l->n_elsewhere, 0);
    double both = throughput(team, l, run_us, &n_tasks);
    foreign = cpu_seconds(1) - cpu_seconds(0) - foreign;
    double seconds = (now_us() - start_us) * 1e-6;
    int has_neighbours = s->on_cpu[0] > -2; /* their share is not known */
    if (has_neighbours || foreign < 0.1 * seconds) {
        inout->one += one;
        inout->team += both;
        inout->n_tasks += n_tasks;
        inout->n_elsewhere += atomic_load(&l->n_elsewhere);
        inout->n_rounds++;
    }
}

static int is_wanted(const char *only, const char *name) {
    for (const char *item = only; item != NULL && *item != '\0';) {
        size_t n = strcspn(item, ",");
        if (strlen(name) == n && memcmp(item, name, n) == 0) {
            return 1;
        }
        item += n + (item[n] == ',');
    }
    return only == NULL;
}

static void measure_scenario(const scenario *s, uint32_t n_threads, double rounds_per_us,
                             double run_us) {
    n_threads = s->n_threads != 0 ? s->n_threads : n_threads;
    printf("%-24s", s->name);
    for (uint32_t i = 0; i < N_SIZES; i++) {
        load l = {.n_rounds = (uint32_t)(region_us[i] * rounds_per_us / N_TASKS)};
        pid_t children[N_NEIGHBOURS];
        sums sum = {0};
        host alone = host_open(1), team = host_open(n_threads);
        neighbours_start(s, children);
        for (int round = 0; round < 6 && sum.n_rounds < 3; round++) {
            add_round(&alone, &team, s, &l, run_us, &sum);
        }
        neighbours_end(children);
        host_close(&alone);
        host_close(&team);
        if (sum.n_rounds == 0) {
            printf(" | %-20s", "others were busy");
            continue;
        }
        double ideal = 1e6 / region_us[i] * sum.n_rounds;
        printf(" | %4.2f %4.2f %4.2f %3.0f%%", sum.one / ideal, sum.team / ideal,
               sum.team / sum.one, 100 * sum.n_elsewhere / sum.n_tasks);
        fflush(stdout);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    uint32_t n_threads = 2;
    double run_us = 300e3;
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--threads") == 0) {
            n_threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--ms") == 0) {
            run_us = strtod(argv[i + 1], NULL) * 1e3;
        } else if (strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        } else {
            fprintf(stderr, "team_bench: unknown flag %s\n", argv[i]);
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    double rounds_per_us = calibrate();
    if (is_wanted(only, "cost")) {
        measure_costs(n_threads, rounds_per_us);
    }
    printf("%-24s | per region of 10, 50, 500 us: one thread, team, team / one, tasks of helpers\n",
           "neighbours");
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (is_wanted(only, scenarios[i].name)) {
            measure_scenario(&scenarios[i], n_threads, rounds_per_us, run_us);
        }
    }
    return 0;
}
