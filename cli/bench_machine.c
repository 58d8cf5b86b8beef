/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_machine.h"

#include "bench_loops.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BUFFER_BYTES ((uint64_t)512 << 20)
#define PASSES 4u
#define PEAK_NS 8000000u /* one timing of a loop */

uint64_t sy_machine_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sy_machine_buffer_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL &&
           sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {
    }
    if (file != NULL) {
        fclose(file);
    }
    uint64_t quarter = (uint64_t)kib * 1024u / 4u;
    return quarter == 0 || quarter > BUFFER_BYTES ? BUFFER_BYTES : quarter;
}

/* A piece of work that all threads do at once, some times, each time from a common start. */
typedef struct bench_crew {
    uint32_t n_threads, n_passes;
    void (*prepare)(const struct bench_crew *crew, uint32_t i_thread); /* may be NULL */
    void (*work)(const struct bench_crew *crew, uint32_t i_thread);
    uint8_t *bytes;
    uint64_t bytes_each, turns;
    const sy_machine_loop *loop;
    pthread_mutex_t gate; /* held until every thread is made, or one could not be */
    int is_off;           /* a thread could not be made */
    pthread_barrier_t start, end;
} bench_crew;

typedef struct member {
    bench_crew *crew;
    uint32_t i_thread;
    uint64_t best_ns; /* of thread 0: the best pass */
} member;

static void *member_run(void *argument) {
    member *self = argument;
    bench_crew *crew = self->crew;
    pthread_mutex_lock(&crew->gate);
    int is_off = crew->is_off;
    pthread_mutex_unlock(&crew->gate);
    if (is_off) {
        return NULL;
    }
    if (crew->prepare != NULL) {
        crew->prepare(crew, self->i_thread);
    }
    for (uint32_t pass = 0; pass < crew->n_passes; pass++) {
        pthread_barrier_wait(&crew->start);
        uint64_t start_ns = sy_machine_now_ns();
        crew->work(crew, self->i_thread);
        pthread_barrier_wait(&crew->end);
        uint64_t ns = sy_machine_now_ns() - start_ns;
        self->best_ns = pass == 0 || ns < self->best_ns ? ns : self->best_ns;
    }
    return NULL;
}

/* Nanoseconds of the best pass, 0 when threads cannot be made. The caller is thread 0. */
static uint64_t crew_run(bench_crew *crew) {
    static member members[SY_MACHINE_THREADS_MAX];
    pthread_t threads[SY_MACHINE_THREADS_MAX];
    uint32_t n = crew->n_threads, n_made = 1;
    if (n == 0 || n > SY_MACHINE_THREADS_MAX) {
        return 0;
    }
    pthread_barrier_init(&crew->start, NULL, n);
    pthread_barrier_init(&crew->end, NULL, n);
    pthread_mutex_init(&crew->gate, NULL);
    pthread_mutex_lock(&crew->gate);
    for (uint32_t i = 0; i < n; i++) {
        members[i] = (member){.crew = crew, .i_thread = i};
    }
    while (n_made < n &&
           pthread_create(&threads[n_made], NULL, member_run, &members[n_made]) == 0) {
        n_made++;
    }
    crew->is_off = n_made < n;
    pthread_mutex_unlock(&crew->gate);
    member_run(&members[0]);
    for (uint32_t i = 1; i < n_made; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&crew->gate);
    pthread_barrier_destroy(&crew->end);
    pthread_barrier_destroy(&crew->start);
    return n_made == n ? members[0].best_ns : 0;
}

static void run_loop(const bench_crew *crew, uint32_t i_thread) {
    (void)i_thread;
    crew->loop->run(crew->turns);
}

static double loop_peak(uint32_t n_threads, const sy_machine_loop *loop) {
    bench_crew crew = {.n_threads = 1, .n_passes = 2, .work = run_loop, .loop = loop, .turns = 100000};
    uint64_t ns = crew_run(&crew);
    if (ns == 0) {
        return 0;
    }
    crew.turns = crew.turns * PEAK_NS / ns + 1;
    crew.n_threads = n_threads;
    crew.n_passes = PASSES;
    ns = crew_run(&crew);
    return ns > 0 ? (double)crew.turns * loop->macs_per_turn * n_threads / (double)ns : 0;
}

void sy_machine_measure_peaks(uint32_t n_threads, sy_machine_peaks *out_peaks) {
    const sy_machine_loop *int8 = sy_machine_loop_int8(), *f32 = sy_machine_loop_f32();
    *out_peaks = (sy_machine_peaks){.n_threads = n_threads,
                                    .int8_gmac_per_s = loop_peak(n_threads, int8),
                                    .f32_gmac_per_s = loop_peak(n_threads, f32),
                                    .int8_by = int8->name,
                                    .f32_by = f32->name};
}

static void touch(const bench_crew *crew, uint32_t i_thread) {
    memset(crew->bytes + i_thread * crew->bytes_each, (int)i_thread + 1, crew->bytes_each);
}

static void read_part(const bench_crew *crew, uint32_t i_thread) {
    sy_machine_read_bytes(crew->bytes + i_thread * crew->bytes_each, crew->bytes_each);
}

double sy_machine_measure_read(uint32_t n_threads, uint64_t n_bytes) {
    if (n_threads == 0 || n_bytes < (uint64_t)n_threads << 20) {
        return 0;
    }
    bench_crew crew = {.n_threads = n_threads,
                 .n_passes = PASSES,
                 .prepare = touch,
                 .work = read_part,
                 .bytes_each = n_bytes / n_threads & ~(uint64_t)4095};
    size_t n_mapped = (size_t)(crew.bytes_each * n_threads);
    void *mapped =
        mmap(NULL, n_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return 0;
    }
    crew.bytes = mapped;
    uint64_t ns = crew_run(&crew);
    munmap(mapped, n_mapped);
    return ns > 0 ? (double)n_mapped / (double)ns : 0;
}
