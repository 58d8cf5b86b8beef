/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_machine.h"

#include "bench_loops.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BUFFER_BYTES ((uint64_t)512 << 20)
#define PASS_BYTES ((uint64_t)64 << 20) /* a pass reads at least so much */
#define PASSES 4u
#define PEAK_NS 1000000u /* one timing of a loop: short, so that some are undisturbed */
#define PEAK_PASSES 40u

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
           sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {}
    if (file != NULL) {
        fclose(file);
    }
    uint64_t quarter = (uint64_t)kib * 1024u / 4u;
    return quarter == 0 || quarter > BUFFER_BYTES ? BUFFER_BYTES : quarter;
}

typedef struct crew {
    const sy_machine_job *job;
    pthread_mutex_t gate; /* held until every thread is made, or one could not be */
    int is_off;           /* a thread could not be made */
    pthread_barrier_t start, end;
} crew;

typedef struct member {
    crew *crew;
    uint32_t i_thread;
    uint64_t best_ns;
} member;

static void *member_run(void *argument) {
    member *self = argument;
    const sy_machine_job *job = self->crew->job;
    pthread_mutex_lock(&self->crew->gate);
    int is_off = self->crew->is_off;
    pthread_mutex_unlock(&self->crew->gate);
    if (is_off) {
        return NULL;
    }
    if (job->prepare != NULL) {
        job->prepare(job->user, self->i_thread);
    }
    for (uint32_t pass = 0; pass < job->n_passes; pass++) {
        pthread_barrier_wait(&self->crew->start);
        uint64_t start_ns = sy_machine_now_ns();
        job->work(job->user, self->i_thread, pass);
        pthread_barrier_wait(&self->crew->end);
        uint64_t ns = sy_machine_now_ns() - start_ns;
        self->best_ns = pass == 0 || ns < self->best_ns ? ns : self->best_ns;
    }
    return NULL;
}

uint64_t sy_machine_run(const sy_machine_job *job) {
    member members[SY_MACHINE_THREADS_MAX];
    pthread_t threads[SY_MACHINE_THREADS_MAX];
    uint32_t n = job->n_threads, n_made = 1;
    crew all = {.job = job};
    if (n == 0 || n > SY_MACHINE_THREADS_MAX) {
        return 0;
    }
    pthread_barrier_init(&all.start, NULL, n);
    pthread_barrier_init(&all.end, NULL, n);
    pthread_mutex_init(&all.gate, NULL);
    pthread_mutex_lock(&all.gate);
    for (uint32_t i = 0; i < n; i++) {
        members[i] = (member){.crew = &all, .i_thread = i};
    }
    while (n_made < n &&
           pthread_create(&threads[n_made], NULL, member_run, &members[n_made]) == 0) {
        n_made++;
    }
    all.is_off = n_made < n;
    pthread_mutex_unlock(&all.gate);
    member_run(&members[0]);
    for (uint32_t i = 1; i < n_made; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&all.gate);
    pthread_barrier_destroy(&all.end);
    pthread_barrier_destroy(&all.start);
    return n_made == n ? members[0].best_ns : 0;
}

typedef struct loop_work {
    const sy_machine_loop *loop;
    uint64_t turns;
} loop_work;

static void run_loop(void *user, uint32_t i_thread, uint32_t i_pass) {
    const loop_work *work = user;
    (void)i_thread, (void)i_pass;
    work->loop->run(work->turns);
}

static double loop_peak(uint32_t n_threads, const sy_machine_loop *loop) {
    loop_work work = {.loop = loop, .turns = 100000};
    sy_machine_job job = {.n_threads = 1, .n_passes = 2, .work = run_loop, .user = &work};
    uint64_t ns = sy_machine_run(&job);
    if (ns == 0) {
        return 0;
    }
    work.turns = work.turns * PEAK_NS / ns + 1;
    job.n_threads = n_threads;
    job.n_passes = PEAK_PASSES;
    ns = sy_machine_run(&job);
    return ns > 0 ? (double)work.turns * loop->macs_per_turn * n_threads / (double)ns : 0;
}

void sy_machine_measure_peaks(uint32_t n_threads, sy_machine_peaks *out_peaks) {
    const sy_machine_loop *int8 = sy_machine_loop_int8(), *f32 = sy_machine_loop_f32();
    *out_peaks = (sy_machine_peaks){.n_threads = n_threads,
                                    .int8_gmac_per_s = loop_peak(n_threads, int8),
                                    .f32_gmac_per_s = loop_peak(n_threads, f32),
                                    .int8_by = int8->name,
                                    .f32_by = f32->name};
}

typedef struct read_work {
    uint8_t *bytes;
    uint64_t bytes_each, turns;
} read_work;

static void touch(void *user, uint32_t i_thread) {
    const read_work *work = user;
    memset(work->bytes + i_thread * work->bytes_each, (int)i_thread + 1, work->bytes_each);
}

static void read_part(void *user, uint32_t i_thread, uint32_t i_pass) {
    const read_work *work = user;
    (void)i_pass;
    for (uint64_t i = 0; i < work->turns; i++) {
        sy_machine_read_bytes(work->bytes + i_thread * work->bytes_each, work->bytes_each);
    }
}

double sy_machine_read_passes(uint32_t n_threads, uint64_t n_bytes, uint32_t n_passes) {
    if (n_threads == 0 || n_passes == 0 || n_bytes < (uint64_t)n_threads << 12) {
        return 0;
    }
    read_work work = {.bytes_each = n_bytes / n_threads & ~(uint64_t)4095};
    size_t n_mapped = (size_t)(work.bytes_each * n_threads);
    work.turns = n_mapped >= PASS_BYTES ? 1 : PASS_BYTES / n_mapped;
    void *mapped = mmap(NULL, n_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return 0;
    }
    madvise(mapped, n_mapped, MADV_HUGEPAGE); /* it may not: then page walks count along */
    work.bytes = mapped;
    uint64_t ns = sy_machine_run(&(sy_machine_job){.n_threads = n_threads,
                                                   .n_passes = n_passes,
                                                   .prepare = touch,
                                                   .work = read_part,
                                                   .user = &work});
    munmap(mapped, n_mapped);
    return ns > 0 ? (double)n_mapped * (double)work.turns / (double)ns : 0;
}

double sy_machine_measure_read(uint32_t n_threads, uint64_t n_bytes) {
    return sy_machine_read_passes(n_threads, n_bytes, PASSES);
}
