/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the handles of the ABI. */
#ifndef CPU_PLUGIN_H
#define CPU_PLUGIN_H

#include "host.h"
#include "kernels.h"
#include "state.h"
#include "types.h"

#include <stdatomic.h>

struct sy_device {
    const cpu_kernels *kernels;
    bool use_xnnpack;
    cpu_planes planes; /* of quantised activations; 0: chosen by the size of the weights */
    uint32_t n_workers;
    float read_gb_per_s, int8_gops, f32_gflops; /* of all workers together */
    atomic_ullong live_handles, live_jobs;
    kit_states states;
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

extern const kit_storage cpu_state_storage;
sy_status cpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state);
sy_status cpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage);
sy_status cpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep);

sy_status cpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights);
sy_status cpu_adapter_destroy(sy_adapter_weights *weights);

#endif
