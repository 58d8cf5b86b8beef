/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shared half of the GPU delegates asks of a compute interface. Each delegate has one
 * driver (plugins/gpu-vulkan, plugins/gpu-opencl), linked in: these functions are not a table.
 *
 * A kernel gets: its parameters, 32-bit words of one memory from `first_word` on, and up to
 * GPU_BINDINGS_MAX bindings. Constants are fixed when a pipeline is made; constant 0 is the number
 * of invocations of a group, always in one dimension.
 *
 * Threads: gpu_recording_run and gpu_driver_wait come from the thread of the device's queue, all
 * else from one other thread at a time; both at once is allowed.
 * Errors: a status after kit_report has said why. A lost device is UNAVAILABLE with DEVICE_LOST,
 * from then on for every call but the destroying ones.
 */
#ifndef GPU_DRIVER_H
#define GPU_DRIVER_H

#include "host.h"
#include "kernel_list.h"

#define GPU_BINDINGS_MAX 8u
#define GPU_CONSTANTS_MAX 16u

typedef struct gpu_driver gpu_driver;       /* one opened device */
typedef struct gpu_memory gpu_memory;       /* memory that kernels can bind */
typedef struct gpu_pipeline gpu_pipeline;   /* a kernel with its constants, compiled */
typedef struct gpu_recording gpu_recording; /* dispatches that run together, many times */

/* Sizes of the matrices that a subgroup multiplies together: m x k by k x n; all 0: it cannot. */
typedef struct gpu_matrices {
    uint32_t m, n, k;
} gpu_matrices;

/* What a device is and can do, asked of it and never assumed. */
typedef struct gpu_limits {
    char id[64];      /* its name, made unique among equals by a number behind it */
    char driver[64];  /* name and version of the driver, read now */
    bool is_software; /* computes on the CPU */
    bool is_unified;  /* one memory for host and device: GPU_MEMORY_DEVICE can be mapped, too */
    bool imports_host;
    bool imports_dmabuf;
    uint64_t import_alignment_bytes;  /* of pointer and size of host memory to import */
    uint64_t memory_total_bytes;      /* of the device */
    uint64_t memory_most_bytes;       /* of one gpu_memory */
    uint64_t binding_most_bytes;      /* that one binding spans */
    uint32_t binding_alignment_bytes; /* of offsets, a power of two, at least 4 */
    uint32_t bindings_most;           /* of a kernel, beside the parameters */
    uint32_t group_most;              /* invocations of a group */
    uint32_t shared_most_bytes;       /* memory that a group shares */
    uint32_t groups_most[3];
    uint32_t subgroup_size; /* 0: kernels have no subgroup arithmetic */
    uint32_t n_units;       /* compute units; 0 unknown */
    bool has_float16;       /* arithmetic in 16 bits */
    uint64_t texels_most;   /* of four words, that weights are read by; 0: by words */
    gpu_matrices matrices;  /* cooperative matrices, f16 in and f32 out */
} gpu_limits;

/* How many devices there are; fills at most *inout_count. No loader, no driver: zero devices, with
 * a report that says so, and SY_OK. */
sy_status gpu_driver_enumerate(gpu_limits *out_limits, uint32_t *inout_count);

/* Of what a device may offer. */
typedef enum gpu_choice { GPU_BY_DEFAULT, GPU_NEVER, GPU_WHERE_OFFERED } gpu_choice;

typedef struct gpu_open_options {
    uint64_t binding_most_bytes; /* pretends a smaller limit; 0 none. For tests. */
    uint64_t memory_limit_bytes; /* of all gpu_memory together; 0: what the device has */
    gpu_choice subgroups, float16;
    gpu_choice matrices, images; /* by default where they gain something */
} gpu_open_options;

sy_status gpu_driver_open(uint32_t i_device, const gpu_open_options *options,
                          gpu_driver **out_driver);
/* Everything made from it is gone. */
void gpu_driver_close(gpu_driver *driver);
const gpu_limits *gpu_driver_limits(const gpu_driver *driver);
/* Bytes that can still be taken, as the driver tells now. Any thread, does not block. */
uint64_t gpu_driver_free_bytes(gpu_driver *driver);
bool gpu_driver_is_lost(const gpu_driver *driver); /* any thread */

/* ---- memory ---- */
typedef enum gpu_memory_use {
    GPU_MEMORY_DEVICE, /* fast for kernels */
    GPU_MEMORY_SHARED  /* mapped and coherent: the host writes, kernels read, and the reverse */
} gpu_memory_use;

/* RESOURCE_EXHAUSTED names the bytes that are missing. Not cleared. */
sy_status gpu_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                            gpu_memory **out_memory);
/* The same memory, no copy. */
sy_status gpu_memory_import(gpu_driver *driver, void *pointer, uint64_t n_bytes,
                            gpu_memory **out_memory);
sy_status gpu_memory_import_dmabuf(gpu_driver *driver, int fd, uint64_t n_bytes,
                                   gpu_memory **out_memory);
/* Behind all that runs: a job that was given up at its deadline may still use it. NULL is fine. */
void gpu_memory_destroy(gpu_memory *memory);
/* What a gpu_memory takes of host->alloc. */
size_t gpu_memory_host_bytes(void);
/* Where the host sees it; NULL where it cannot. */
void *gpu_memory_pointer(gpu_memory *memory);
uint64_t gpu_memory_bytes(const gpu_memory *memory);
/* A number that no other memory of the driver ever has, unlike its address; 0 of NULL. */
uint64_t gpu_memory_serial(const gpu_memory *memory);

/* Blocking, after all that runs or was run before. Any offset and size. */
sy_status gpu_memory_write(gpu_memory *memory, uint64_t offset_bytes, const void *bytes,
                           uint64_t n_bytes);
sy_status gpu_memory_read(gpu_memory *memory, uint64_t offset_bytes, void *out_bytes,
                          uint64_t n_bytes);

/* Offsets and sizes are multiples of 4. */
typedef struct gpu_copy {
    gpu_memory *from, *to;
    uint64_t from_offset_bytes, to_offset_bytes, n_bytes;
} gpu_copy;
/* Blocking. Copies of one call do not overlap and come in any order. */
sy_status gpu_memory_copy(gpu_driver *driver, const gpu_copy *copies, uint32_t n_copies);

/* ---- pipelines ---- */
#define GPU_TEXELS 15u
#define GPU_TEXELS_ON 2u
/* constants[0] is the size of a group; those that are not given are 1. Where limits.texels_most is
 * not 0, constants[GPU_TEXELS] may be GPU_TEXELS_ON: binding 1 is read by texels (BINDING_1_4 of
 * the kernels) and ends before that many of its memory. A pipeline that was made before is made
 * again for nothing: the driver keeps them, counted. */
sy_status gpu_pipeline_create(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants,
                              uint32_t n_constants, gpu_pipeline **out_pipeline);
void gpu_pipeline_destroy(gpu_pipeline *pipeline); /* NULL is fine */

/* Blobs. stamp: device and driver as they are now. write: compiled code of these pipelines, through
 * host->blob_write from offset_bytes on; answers where it ended. read: code for pipelines that are
 * made later; DATA_LOSS for bytes that are not what write wrote. n_compiled counts the pipelines
 * that were compiled from source since open. */
void gpu_driver_stamp(const gpu_driver *driver, char out_stamp[128]);
sy_status gpu_driver_code_write(gpu_driver *driver, gpu_pipeline *const *pipelines,
                                uint32_t n_pipelines, uint64_t offset_bytes, uint64_t *out_end);
sy_status gpu_driver_code_read(gpu_driver *driver, const void *bytes, uint64_t n_bytes);
/* What was read and no pipeline took. */
void gpu_driver_code_forget(gpu_driver *driver);
uint64_t gpu_driver_n_compiled(const gpu_driver *driver);

/* ---- running ---- */
typedef struct gpu_binding {
    gpu_memory *memory;
    uint64_t offset_bytes; /* a multiple of limits.binding_alignment_bytes */
    uint64_t n_bytes;      /* at most limits.binding_most_bytes */
} gpu_binding;

typedef struct gpu_dispatch {
    gpu_pipeline *pipeline;
    gpu_binding bindings[GPU_BINDINGS_MAX];
    uint32_t n_bindings;
    uint32_t first_word; /* of its parameters */
    bool waits;          /* for all dispatches before it, since they write what it touches */
} gpu_dispatch;

/* parameters: GPU_MEMORY_SHARED. The list is copied. */
sy_status gpu_recording_create(gpu_driver *driver, const gpu_dispatch *dispatches,
                               uint32_t n_dispatches, gpu_memory *parameters,
                               gpu_recording **out_recording);
/* It does not run any more. NULL is fine. */
void gpu_recording_destroy(gpu_recording *recording);
/* Starts it; groups[i] of dispatch i, any 0: that one does nothing. Does not wait, not even for the
 * recordings before, but runs behind them. The parameters were written before. */
sy_status gpu_recording_run(gpu_recording *recording, const uint32_t (*groups)[3],
                            uint64_t *out_ticket);
/* Bytes that the newest run moved between host and device beside what kernels and callers touch. */
void gpu_recording_moved(const gpu_recording *recording, uint64_t *out_written, uint64_t *out_read);
/* Until a ticket is done; CLOCK_MONOTONIC, 0: no deadline. DEADLINE_EXCEEDED: still running. */
sy_status gpu_driver_wait(gpu_driver *driver, uint64_t ticket, uint64_t deadline_ns);

#endif
