/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the handles of the ABI. */
#ifndef GPU_DEVICE_H
#define GPU_DEVICE_H

#include "driver.h"

#include <pthread.h>
#include <stdatomic.h>

/* What a device does, measured once when somebody asks for prices. */
typedef struct gpu_roof {
    bool is_measured;
    double read_gb_per_s, f32_gflops; /* of kernels */
    double launch_us, job_us;         /* one dispatch of a recording; one recording */
    double copy_gb_per_s, copy_us;    /* between host and device */
} gpu_roof;

#define GPU_KEPT_PIPELINES 64u

struct sy_device {
    gpu_driver *driver;
    const gpu_limits *limits;
    gpu_roof roof;
    /* Of units that are gone: compiling takes long, and the next is often of the same kind. */
    gpu_pipeline *kept[GPU_KEPT_PIPELINES];
    uint32_t i_oldest_kept;
    struct gpu_weights *weights;   /* weights.c: constants; NULL while there are none */
    struct gpu_queue *queue;       /* queue.c: the thread that runs jobs */
    struct gpu_states *states;     /* states.c: pools and tables */
    struct gpu_adapters *adapters; /* adapters.c: slabs of adapters */
    struct gpu_retirable *retired; /* retired.h */
    atomic_ullong live_handles, live_jobs;
    atomic_bool is_lost;
    uint32_t epoch;
    struct gpu_faults *faults; /* faults.h */
};

struct sy_buffer {
    sy_device *device;
    gpu_memory *memory;
    uint64_t n_bytes;
    uint8_t *shadow; /* for ranges that the host cannot see: the longest that was mapped */
    uint64_t shadow_bytes;
    uint64_t mapped_at, mapped_bytes;
    uint32_t access; /* 0: not mapped */
};

/* device.c. Remembers that a status was the loss of the device; answers the status. */
sy_status gpu_seen(sy_device *device, sy_status status);
/* Says that the device is lost. */
sy_status gpu_lost(const sy_device *device);
/* Ends the use of a pipeline; the newest of them stay made. NULL is fine. */
void gpu_pipeline_keep(sy_device *device, gpu_pipeline *pipeline);
/* Measures device->roof where that was not done yet. */
sy_status gpu_roof_measure(sy_device *device);

#endif
