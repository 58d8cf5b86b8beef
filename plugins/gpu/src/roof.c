/* SPDX-License-Identifier: Apache-2.0 */
/* What a device does, measured once: reading and writing memory, products, starting kernels and
 * recordings, moving bytes. A few milliseconds each; the best of a few tries counts. A device that
 * is opened again, as after a loss, is what it was: its numbers stay while the process runs. */
#include "device.h"

#include <string.h>
#include <time.h>

#define TRIES 4u
#define GROUP 64u
#define MOVED_BYTES_MOST ((uint64_t)64 << 20) /* past the caches of large GPUs */
#define MOVED_BYTES_OF_SOFTWARE ((uint64_t)8 << 20)
#define SENT_BYTES_MOST ((uint64_t)4 << 20)
#define MOVED_BYTES_LEAST ((uint64_t)64 << 10)
#define CHAIN 32u
#define FMA_GROUPS_PER_UNIT 16u
#define FMA_ROUNDS 64u
#define KEPT_MOST 16u

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

/* What is measured with; freed together. */
typedef struct bench {
    gpu_driver *driver;
    gpu_memory *from, *to, *parameters;
    uint64_t n_bytes; /* of from and to: little where little is left of the budget */
    gpu_pipeline *copy, *fma;
    uint32_t group;
} bench;

static void bench_free(bench *b) {
    gpu_pipeline_destroy(b->copy);
    gpu_pipeline_destroy(b->fma);
    gpu_memory_destroy(b->from);
    gpu_memory_destroy(b->to);
    gpu_memory_destroy(b->parameters);
}

static sy_status bench_make(sy_device *device, bench *b) {
    *b = (bench){.driver = device->driver};
    b->group = device->limits->group_most < GROUP ? device->limits->group_most : GROUP;
    b->n_bytes = device->limits->is_software ? MOVED_BYTES_OF_SOFTWARE : MOVED_BYTES_MOST;
    while (b->n_bytes > MOVED_BYTES_LEAST && 4 * b->n_bytes > gpu_driver_free_bytes(b->driver)) {
        b->n_bytes /= 2;
    }
    sy_status status = gpu_memory_create(b->driver, b->n_bytes, GPU_MEMORY_DEVICE, &b->from);
    if (status == SY_OK) {
        status = gpu_memory_create(b->driver, b->n_bytes, GPU_MEMORY_DEVICE, &b->to);
    }
    if (status == SY_OK) {
        status = gpu_memory_create(b->driver, 256, GPU_MEMORY_SHARED, &b->parameters);
    }
    if (status == SY_OK) {
        status = gpu_pipeline_create(b->driver, GPU_KERNEL_COPY_WORDS, &b->group, 1, &b->copy);
    }
    if (status == SY_OK) {
        status = gpu_pipeline_create(b->driver, GPU_KERNEL_ROOF_FMA, &b->group, 1, &b->fma);
    }
    return status;
}

/* Best time of n equal dispatches behind each other in one recording. */
static sy_status time_run(const bench *b, const gpu_dispatch *dispatch, uint32_t n,
                          const uint32_t groups[3], double *out_us) {
    gpu_dispatch dispatches[CHAIN];
    uint32_t all_groups[CHAIN][3];
    gpu_recording *recording = NULL;
    for (uint32_t i = 0; i < n; i++) {
        dispatches[i] = *dispatch;
        dispatches[i].waits = true;
        for (uint32_t k = 0; k < 3; k++) {
            all_groups[i][k] = groups[k];
        }
    }
    sy_status status = gpu_recording_create(b->driver, dispatches, n, b->parameters, &recording);
    double best = 1e12;
    for (uint32_t i = 0; status == SY_OK && i < TRIES; i++) {
        uint64_t ticket = 0;
        double start = now_us();
        status = gpu_recording_run(recording, (const uint32_t(*)[3])all_groups, &ticket);
        status = status == SY_OK ? gpu_driver_wait(b->driver, ticket, 0) : status;
        double us = now_us() - start;
        best = us < best ? us : best;
    }
    gpu_recording_destroy(recording);
    *out_us = best > 0.01 ? best : 0.01;
    return status;
}

static sy_status measure(sy_device *device, bench *b) {
    gpu_roof *roof = &device->roof;
    uint32_t *words = gpu_memory_pointer(b->parameters);
    uint64_t n_units = device->limits->n_units > 0 ? device->limits->n_units : 8;
    uint64_t n_bytes = device->limits->binding_most_bytes;
    n_bytes = n_bytes < b->n_bytes ? n_bytes : b->n_bytes;
    uint64_t n_groups = n_bytes / 4 / b->group, most = device->limits->groups_most[0];
    uint32_t n_wide = (uint32_t)(n_groups < most ? n_groups : most);
    uint32_t n_high = (uint32_t)((n_groups + n_wide - 1) / n_wide);
    uint64_t n_busy = n_units * FMA_GROUPS_PER_UNIT;
    uint32_t n_fma = n_busy < n_wide ? (uint32_t)n_busy : n_wide;
    double one = 0, chain = 0, move = 0, fma = 0;
    gpu_dispatch dispatch = {.pipeline = b->copy,
                             .bindings = {{b->from, 0, n_bytes}, {b->to, 0, n_bytes}},
                             .n_bindings = 2,
                             .first_word = 8};
    words[8] = b->group;
    words[9] = 0;
    sy_status status = time_run(b, &dispatch, 1, (const uint32_t[3]){1, 1, 1}, &one);
    status = status == SY_OK ? time_run(b, &dispatch, CHAIN, (const uint32_t[3]){1, 1, 1}, &chain)
                             : status;
    words[8] = (uint32_t)(n_groups * b->group);
    status = status == SY_OK
                 ? time_run(b, &dispatch, 1, (const uint32_t[3]){n_wide, n_high, 1}, &move)
                 : status;
    words[8] = FMA_ROUNDS;
    dispatch = (gpu_dispatch){.pipeline = b->fma,
                              .bindings = {{b->to, 0, (uint64_t)n_fma * b->group * 4}},
                              .n_bindings = 1,
                              .first_word = 8};
    status = status == SY_OK ? time_run(b, &dispatch, 1, (const uint32_t[3]){n_fma, 1, 1}, &fma)
                             : status;
    if (status != SY_OK) {
        return status;
    }
    roof->launch_us = chain > one ? (chain - one) / (CHAIN - 1) : one / CHAIN;
    roof->job_us = one;
    move = move > one ? move - one + roof->launch_us : move;
    fma = fma > one ? fma - one + roof->launch_us : fma;
    roof->read_gb_per_s = (double)n_groups * b->group * 8.0 / move * 1e-3;
    roof->f32_gflops = (double)n_fma * b->group * FMA_ROUNDS * 64.0 / fma * 1e-3;
    return SY_OK;
}

static sy_status measure_copies(sy_device *device, bench *b) {
    uint64_t n_bytes = b->n_bytes / 2 < SENT_BYTES_MOST ? b->n_bytes / 2 : SENT_BYTES_MOST;
    uint8_t *bytes = kit_alloc(n_bytes);
    double best[2] = {1e12, 1e12};
    sy_status status = bytes != NULL ? SY_OK
                                     : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                                                  "no memory to measure transfers with");
    for (uint32_t i = 0; status == SY_OK && i < 2 * TRIES; i++) {
        uint64_t n = i % 2 == 0 ? 64 : n_bytes;
        double start = now_us();
        status = gpu_memory_write(b->from, 0, bytes, n);
        double us = now_us() - start;
        best[i % 2] = us < best[i % 2] ? us : best[i % 2];
    }
    kit_release(bytes, n_bytes);
    device->roof.copy_us = best[0];
    double rest = best[1] > best[0] + 1.0 ? best[1] - best[0] : 1.0;
    device->roof.copy_gb_per_s = (double)n_bytes / rest * 1e-3;
    return status;
}

/* ---- what stays ---- */
typedef struct kept_roof {
    char id[sizeof(((gpu_limits *)0)->id)], driver[sizeof(((gpu_limits *)0)->driver)];
    uint64_t binding_most_bytes;
    gpu_roof roof;
} kept_roof;

static struct {
    pthread_mutex_t lock;
    kept_roof roofs[KEPT_MOST];
    uint32_t n; /* ever kept; the oldest make room */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void find_kept(sy_device *device) {
    const gpu_limits *limits = device->limits;
    pthread_mutex_lock(&kept.lock);
    for (uint32_t i = 0; i < kept.n && i < KEPT_MOST; i++) {
        const kept_roof *k = &kept.roofs[i];
        if (memcmp(k->id, limits->id, sizeof(k->id)) == 0 &&
            memcmp(k->driver, limits->driver, sizeof(k->driver)) == 0 &&
            k->binding_most_bytes == limits->binding_most_bytes) {
            device->roof = k->roof;
        }
    }
    pthread_mutex_unlock(&kept.lock);
}

static void keep(const sy_device *device) {
    const gpu_limits *limits = device->limits;
    pthread_mutex_lock(&kept.lock);
    kept_roof *k = &kept.roofs[kept.n++ % KEPT_MOST];
    memcpy(k->id, limits->id, sizeof(k->id));
    memcpy(k->driver, limits->driver, sizeof(k->driver));
    k->binding_most_bytes = limits->binding_most_bytes;
    k->roof = device->roof;
    pthread_mutex_unlock(&kept.lock);
}

sy_status gpu_roof_measure(sy_device *device) {
    bench b;
    if (!device->roof.is_measured) {
        find_kept(device);
    }
    if (device->roof.is_measured) {
        return SY_OK;
    }
    sy_status status = bench_make(device, &b);
    status = status == SY_OK ? measure(device, &b) : status;
    status = status == SY_OK ? measure_copies(device, &b) : status;
    bench_free(&b);
    device->roof.is_measured = status == SY_OK;
    if (status == SY_OK) {
        keep(device);
    }
    return gpu_seen(device, status);
}
