/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory THREADS MIB PASSES: what this machine gives at this moment, for the engines measured
 * beside it. Prints one line of JSON: the best read bandwidth of a fresh buffer over all threads,
 * and, where the compiler's target has it, the peak rate of 512-bit integer dot products.
 * bench/llm_cpu.py compiles it for the machine it runs on.
 */
#ifndef _GNU_SOURCE /* the house's build sets it, the script's does not */
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS_MAX 256
#define PEAK_ROUNDS 2000000u
#define PEAK_CHAINS 16u

typedef struct team {
    pthread_barrier_t gate;
    unsigned n_threads, n_passes;
    const unsigned char *bytes;
    size_t n_bytes_each;
    double best_read_s, best_peak_s;
} team;

typedef struct worker {
    team *team;
    unsigned index;
    uint64_t sum; /* kept, so that the reads are not optimised away */
} worker;

typedef uint64_t wide __attribute__((vector_size(64)));

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t read_all(const unsigned char *bytes, size_t n_bytes) {
    const wide *words = (const wide *)(const void *)bytes;
    wide sums[8] = {{0}};
    for (size_t i = 0; i + 8 <= n_bytes / sizeof(wide); i += 8) {
        __builtin_prefetch(words + i + 64, 0, 0);
        __builtin_prefetch(words + i + 68, 0, 0);
        for (size_t k = 0; k < 8; k++) {
            sums[k] ^= words[i + k];
        }
    }
    uint64_t sum = 0;
    for (size_t k = 0; k < 8; k++) {
        for (size_t lane = 0; lane < 8; lane++) {
            sum ^= sums[k][lane];
        }
    }
    return sum;
}

#if defined(__AVX512VNNI__)
/* Independent chains in registers; one block, or compilers move them to memory and back. */
static void dot_products(void) {
    for (unsigned i = 0; i < PEAK_ROUNDS; i++) {
        __asm__ volatile("vpdpbusd %%zmm16, %%zmm17, %%zmm0\n vpdpbusd %%zmm16, %%zmm17, %%zmm1\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm2\n vpdpbusd %%zmm16, %%zmm17, %%zmm3\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm4\n vpdpbusd %%zmm16, %%zmm17, %%zmm5\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm6\n vpdpbusd %%zmm16, %%zmm17, %%zmm7\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm8\n vpdpbusd %%zmm16, %%zmm17, %%zmm9\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm10\n vpdpbusd %%zmm16, %%zmm17, %%zmm11\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm12\n vpdpbusd %%zmm16, %%zmm17, %%zmm13\n"
                         "vpdpbusd %%zmm16, %%zmm17, %%zmm14\n vpdpbusd %%zmm16, %%zmm17, %%zmm15\n"
                         :
                         :
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    }
}
#define MACS_EACH ((double)PEAK_ROUNDS * PEAK_CHAINS * 64)
#else
static void dot_products(void) {}
#define MACS_EACH 0.0
#endif

static void timed(worker *self, double *best_s, int peak) {
    pthread_barrier_wait(&self->team->gate);
    double start_s = now_s();
    if (peak) {
        dot_products();
    } else {
        self->sum ^= read_all(self->team->bytes + self->index * self->team->n_bytes_each,
                              self->team->n_bytes_each);
    }
    pthread_barrier_wait(&self->team->gate);
    double took_s = now_s() - start_s;
    if (self->index == 0 && took_s < *best_s) {
        *best_s = took_s;
    }
}

static void *work(void *argument) {
    worker *self = argument;
    for (unsigned pass = 0; pass < self->team->n_passes; pass++) {
        timed(self, &self->team->best_read_s, 0);
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        timed(self, &self->team->best_peak_s, 1);
    }
    return NULL;
}

static unsigned char *fresh_buffer(size_t n_bytes) {
    void *bytes = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        return NULL;
    }
    madvise(bytes, n_bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n_bytes; i += 4096) {
        ((volatile unsigned char *)bytes)[i] = 1;
    }
    return bytes;
}

int main(int argc, char **argv) {
    static worker workers[THREADS_MAX];
    static pthread_t handles[THREADS_MAX];
    team all = {.n_threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1,
                .n_passes = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5,
                .best_read_s = 1e9,
                .best_peak_s = 1e9};
    size_t n_bytes = (argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 512) << 20;
    if (all.n_threads < 1 || all.n_threads > THREADS_MAX || n_bytes == 0) {
        fprintf(stderr, "usage: memory THREADS MIB PASSES\n");
        return 2;
    }
    all.n_bytes_each = n_bytes / all.n_threads / 4096 * 4096;
    all.bytes = fresh_buffer(n_bytes);
    if (all.bytes == NULL || pthread_barrier_init(&all.gate, NULL, all.n_threads) != 0) {
        fprintf(stderr, "memory: no memory\n");
        return 1;
    }
    for (unsigned i = 0; i < all.n_threads; i++) {
        workers[i] = (worker){.team = &all, .index = i};
        if (i > 0 && pthread_create(&handles[i], NULL, work, &workers[i]) != 0) {
            fprintf(stderr, "memory: no thread\n");
            return 1;
        }
    }
    work(&workers[0]);
    uint64_t sum = workers[0].sum;
    for (unsigned i = 1; i < all.n_threads; i++) {
        pthread_join(handles[i], NULL);
        sum ^= workers[i].sum;
    }
    printf("{\"threads\": %u, \"read_gbs\": %.2f, \"int8_gmacs\": %.1f, \"check\": %u}\n",
           all.n_threads, (double)(all.n_bytes_each * all.n_threads) / all.best_read_s / 1e9,
           MACS_EACH * all.n_threads / all.best_peak_s / 1e9, (unsigned)(sum & 1));
    return 0;
}
