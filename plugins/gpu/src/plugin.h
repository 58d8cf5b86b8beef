/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the table, by file. */
#ifndef GPU_PLUGIN_H
#define GPU_PLUGIN_H

#include "device.h"

/* Of the delegate that this is linked into. */
extern const char gpu_plugin_name[], gpu_plugin_version[];

/* table.c: what sy_plugin_entry answers. */
const sy_plugin *gpu_plugin_entry(uint32_t host_abi, const sy_host *host);

/* device.c */
sy_status gpu_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                        uint32_t *inout_count);
sy_status gpu_open(sy_context *context, uint32_t i_device, const char *options,
                   sy_device **out_device);
sy_status gpu_close(sy_device *device);
sy_status gpu_health(sy_device *device, sy_health *out_health);

/* judge.c */
sy_status gpu_judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                    size_t stride);
sy_status gpu_price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                    sy_cost *out_cost);
sy_status gpu_link(sy_device *device, sy_memory_kind from, sy_memory_kind to, uint64_t n_bytes,
                   sy_cost *out_cost);

/* blob.c */
sy_status gpu_compile(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                      sy_blob *out_blob);
sy_status gpu_probe(sy_device *device, const sy_blob *blob, sy_compatibility *out_compatibility);
/* Takes the code of a blob, so that pipelines that are made next are not compiled. */
sy_status gpu_blob_read(sy_device *device, const sy_blob *blob);

/* load.c */
sy_status gpu_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                   sy_unit **out_unit);
sy_status gpu_unload(sy_unit *unit);

/* buffer.c */
sy_status gpu_buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                            sy_buffer **out_buffer);
sy_status gpu_buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer);
sy_status gpu_buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                         uint32_t access, void **out_pointer);
sy_status gpu_buffer_unmap(sy_buffer *buffer);
sy_status gpu_buffer_destroy(sy_buffer *buffer);

/* queue.c */
sy_status gpu_submit(sy_unit *unit, const sy_job *job);
sy_status gpu_cancel(sy_unit *unit, uint64_t run);

/* states.c */
sy_status gpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state);
sy_status gpu_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state);
sy_status gpu_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state);
sy_status gpu_state_truncate(sy_state *state, uint64_t n_rows);
sy_status gpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to);
sy_status gpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes);
sy_status gpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes);
sy_status gpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage);
sy_status gpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep);

/* adapters.c */
sy_status gpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights);
sy_status gpu_adapter_destroy(sy_adapter_weights *weights);

#endif
