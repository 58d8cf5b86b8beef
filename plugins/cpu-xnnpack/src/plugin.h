/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the handles of the ABI, and the calls to the host. */
#ifndef CPU_PLUGIN_H
#define CPU_PLUGIN_H

#include "block_pool.h"
#include "kernels.h"
#include "state_layout.h"

#include <stdatomic.h>

struct sy_device {
    const cpu_kernels *kernels;
    bool use_xnnpack;
    cpu_planes planes; /* of quantised activations; 0: chosen by the size of the weights */
    uint32_t n_workers;
    float read_gb_per_s, int8_gops, f32_gflops; /* of all workers together */
    atomic_ullong live_handles, live_jobs;
    cpu_pool *pools;                       /* of the blocks of states */
    struct cpu_xnnpack_products *products; /* NULL without XNNPACK */
};

struct sy_buffer {
    sy_device *device;
    uint8_t *bytes;
    uint64_t n_bytes;
    enum { BUFFER_OWN, BUFFER_BORROWED, BUFFER_MAPPED } memory;
    int fd; /* BUFFER_MAPPED */
    void *mapping;
    size_t n_mapped;
};

/* entry.c */
void cpu_host_set(const sy_host *host);

/* host.c: the host's services, NULL or an error where it refuses. */
void *cpu_alloc(size_t n_bytes);     /* zeroed, 64-byte aligned */
void *cpu_alloc_raw(size_t n_bytes); /* the same, not zeroed */
void cpu_release(void *pointer, size_t n_bytes);
sy_status cpu_report(sy_status status, uint32_t i_node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
sy_status cpu_parallel(sy_task task, void *argument, uint32_t n_tasks);
uint32_t cpu_worker_count(void);
bool cpu_cancelled(void);
sy_status cpu_fence_wait(sy_point point, uint64_t deadline_ns);
void cpu_fence_signal(sy_point point, sy_status status);
/* UNIMPLEMENTED when an extension must be understood: this delegate knows none. */
sy_status cpu_extensions_check(const sy_header *header);

/* types.c */
/* False for types without a row layout here. */
bool cpu_type_row_bytes(sy_element_type type, uint64_t n_elements, uint64_t *out_bytes);
uint32_t cpu_type_block(sy_element_type type); /* elements per block, 1 for plain, 0 unknown */
bool cpu_type_is_block(sy_element_type type);  /* quantised in blocks */
bool cpu_type_is_float(sy_element_type type);  /* f32, f16, bf16 */
bool cpu_type_is_byte(sy_element_type type);   /* i8, u8 */
const char *cpu_type_name(sy_element_type type);

/* types.c: value of `key` in "key=value\n..." text. */
bool cpu_option(const char *options, const char *key, char *out_value, size_t n_bytes);

/* The functions of the table, by file. */
sy_status cpu_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                        uint32_t *inout_count);
sy_status cpu_open(sy_context *context, uint32_t i_device, const char *options,
                   sy_device **out_device);
sy_status cpu_close(sy_device *device);
sy_status cpu_health(sy_device *device, sy_health *out_health);

sy_status cpu_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                    size_t stride);
sy_status cpu_price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                    sy_cost *out_cost);
sy_status cpu_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                   sy_cost *out_cost);

sy_status cpu_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                   sy_unit **out_unit);
sy_status cpu_unload(sy_unit *unit);
sy_status cpu_submit(sy_unit *unit, const sy_job *job);
sy_status cpu_cancel(sy_unit *unit, uint64_t run);

sy_status cpu_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                            sy_buffer **out_buffer);
sy_status cpu_buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer);
sy_status cpu_buffer_export(sy_buffer *buffer, sy_memory_kind kind, sy_memory *out_memory);
sy_status cpu_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                         uint32_t access, void **out_pointer);
sy_status cpu_buffer_unmap(sy_buffer *buffer);
sy_status cpu_buffer_destroy(sy_buffer *buffer);

sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state);
sy_status cpu_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state);
sy_status cpu_state_truncate(sy_state *state, uint64_t n_rows);
sy_status cpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
sy_status cpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes);
sy_status cpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes);
sy_status cpu_state_destroy(sy_state *state);
sy_status cpu_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state);
sy_status cpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage);
sy_status cpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep);

sy_status cpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights);
sy_status cpu_adapter_destroy(sy_adapter_weights *weights);

#endif
