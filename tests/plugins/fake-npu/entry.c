/* SPDX-License-Identifier: Apache-2.0 */
/* Entry, options, questions and buffers of the fake NPU. */
#include "fake_npu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sy_host *the_host;

static sy_status enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                           uint32_t *inout_count) {
    (void)context;
    (void)stride;
    if (out_infos != NULL && *inout_count > 0) {
        memcpy(out_infos->id, "npu0", sizeof("npu0"));
        snprintf(out_infos->driver, sizeof(out_infos->driver), "%s", fake_driver());
        out_infos->blobs = fake_blobs();
        out_infos->device_class = SY_DEVICE_NPU;
        out_infos->memory_in = SY_MEMORY_BIT(FAKE_MEMORY_KIND);
        out_infos->memory_own = SY_MEMORY_BIT(FAKE_MEMORY_KIND);
        out_infos->n_queues = 1;
        out_infos->alignment_bytes = FAKE_ALIGNMENT;
        out_infos->memory_total_bytes = (uint64_t)1 << 30;
        out_infos->memory_free_bytes = (uint64_t)1 << 30;
    }
    *inout_count = 1;
    return SY_OK;
}

static int is_key(const char *line, size_t n, const char *key) {
    return strlen(key) == n && memcmp(line, key, n) == 0;
}

static void read_ops(sy_device *device, const char *text, const char *end) {
    device->takes = 0;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t n = (size_t)((comma != NULL ? comma : end) - text);
        for (int op = 0; op < FAKE_OP_COUNT; op++) {
            if (is_key(text, n, fake_op_name((fake_op)op))) {
                device->takes |= 1u << op;
            }
        }
        text += n + 1;
    }
}

static void read_sizes(sy_device *device, const char *text, const char *end) {
    while (text < end && device->n_only_tokens < SY_STATIC_SIZES_MAX) {
        char *next = NULL;
        device->only_tokens[device->n_only_tokens++] = (uint32_t)strtoul(text, &next, 10);
        text = next + 1;
    }
}

static int read_one(sy_device *device, const char *key, size_t n, const char *text,
                    const char *end) {
    float number = strtof(text, NULL);
    const struct {
        const char *name;
        uint64_t *count;
    } counts[] = {{"fail_load", &device->fail_load},
                  {"fail_submit", &device->fail_submit},
                  {"exhaust_at", &device->exhaust_at},
                  {"lose_at", &device->lose_at},
                  {"lose_at_state", &device->lose_at_state},
                  {"lose_times", &device->lose_times},
                  {"shut_times", &device->shut_times},
                  {"late_at", &device->late_at},
                  {"late_ms", &device->late_ms},
                  {"jitter_us", &device->jitter_us},
                  {"async", &device->async}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (is_key(key, n, counts[i].name)) {
            *counts[i].count = (uint64_t)number;
            return 1;
        }
    }
    if (is_key(key, n, "ops")) {
        read_ops(device, text, end);
    } else if (is_key(key, n, "only_tokens")) {
        read_sizes(device, text, end);
    } else if (is_key(key, n, "launch_us")) {
        device->launch_us = number;
    } else if (is_key(key, n, "link_us")) {
        device->link_us = number;
    } else if (is_key(key, n, "link_us_per_mib")) {
        device->link_us_per_mib = number;
    } else if (is_key(key, n, "score")) {
        device->score = (uint32_t)number;
    } else if (is_key(key, n, "garbage_value")) {
        device->garbage_value = number;
    } else if (is_key(key, n, "fault")) {
        return fake_read_faults(device, text, end);
    } else if (is_key(key, n, "blobs")) {
        device->no_blobs = is_key(text, (size_t)(end - text), "off");
    } else if (is_key(key, n, "stale")) {
        device->stale_grade = *text == 'u'                     ? SY_GRADE_USABLE
                              : *text == 'r' && text[2] == 'j' ? SY_GRADE_REJECT
                                                               : SY_GRADE_RECOMPILE;
    } else if (n >= 2 && memcmp(key, "us", 2) == 0) {
        for (int op = 0; op < FAKE_OP_COUNT; op++) {
            if (n == 2 || is_key(key + 3, n - 3, fake_op_name((fake_op)op))) {
                device->us[op] = number;
            }
        }
    } else {
        return 0;
    }
    return 1;
}

static int read_options(sy_device *device, const char *options) {
    while (options != NULL && *options != '\0') {
        const char *end = strchr(options, '\n');
        end = end != NULL ? end : options + strlen(options);
        const char *equals = memchr(options, '=', (size_t)(end - options));
        if (equals == NULL ||
            !read_one(device, options, (size_t)(equals - options), equals + 1, end)) {
            return 0;
        }
        options = *end == '\n' ? end + 1 : end;
    }
    return 1;
}

static sy_status open_device(sy_context *context, uint32_t i_device, const char *options,
                             sy_device **out_device) {
    if (i_device != 0) {
        return SY_NOT_FOUND;
    }
    sy_device *device = the_host->alloc(context, sizeof(*device), 64);
    if (device == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    *device = (sy_device){.host = the_host,
                          .takes = (1u << FAKE_OP_COUNT) - 1,
                          .launch_us = 1,
                          .link_us = 1,
                          .link_us_per_mib = 10,
                          .late_ms = 500,
                          .garbage_value = NAN,
                          .score = 90,
                          .stale_grade = SY_GRADE_RECOMPILE};
    for (int op = 0; op < FAKE_OP_COUNT; op++) {
        device->us[op] = 1;
    }
    if (!fake_hang_init(&device->hang)) {
        the_host->release(context, device, sizeof(*device));
        return SY_UNAVAILABLE;
    }
    if (!read_options(device, options)) {
        fake_hang_end(&device->hang);
        the_host->report(context, SY_SEVERITY_ERROR, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                         "an option is unknown; fake_npu.h lists them");
        the_host->release(context, device, sizeof(*device));
        return SY_INVALID_ARGUMENT;
    }
    static uint64_t n_shut; /* openings that failed since the newest loss */
    n_shut = fake_n_losses() > 0 ? n_shut + 1 : 0;
    sy_status status = n_shut > 0 && n_shut <= device->shut_times ? SY_UNAVAILABLE : SY_OK;
    status = status == SY_OK ? fake_jobs_begin(device) : status;
    if (status != SY_OK) {
        fake_hang_end(&device->hang);
        the_host->release(context, device, sizeof(*device));
        return status;
    }
    *out_device = device;
    return SY_OK;
}

static sy_status close_device(sy_device *device) {
    if (device->live != 0) {
        return SY_FAILED_PRECONDITION;
    }
    fake_jobs_end(device);
    fake_hang_end(&device->hang);
    device->host->release(device->host->context, device, sizeof(*device));
    return SY_OK;
}

static sy_status health(sy_device *device, sy_health *out_health) {
    out_health->live_handles = device->live;
    out_health->state = device->lost ? SY_HEALTH_LOST : SY_HEALTH_OK;
    out_health->epoch = (uint32_t)fake_n_losses();
    return SY_OK;
}

static void judge_node(const sy_device *device, const sy_graph_view *view, const sy_node_view *node,
                       sy_verdict *verdict) {
    const char *why = fake_refusal(device, view, node, &verdict->reason);
    if (why != NULL) {
        strncpy(verdict->why, why, sizeof(verdict->why) - 1);
        return;
    }
    verdict->support = SY_SUPPORT_NATIVE;
    verdict->reason = SY_REASON_NONE;
    verdict->score = device->score;
    verdict->time_us = device->us[fake_find_op(node->domain, node->op)];
    verdict->confidence = 0.9f;
    verdict->n_only_tokens = device->n_only_tokens;
    memcpy(verdict->only_tokens, device->only_tokens, sizeof(verdict->only_tokens));
}

sy_status fake_check_extensions(const sy_header *header) {
    for (const sy_extension *e = header->extensions; e != NULL; e = e->next) {
        if (e->must != 0) {
            the_host->report(the_host->context, SY_SEVERITY_ERROR, SY_UNIMPLEMENTED, SY_NO_VALUE,
                             "an extension that must be known is not");
            return SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION);
        }
    }
    return SY_OK;
}

static sy_status judge(sy_device *device, const sy_graph_view *view, sy_verdict *out_verdicts,
                       size_t stride) {
    sy_status known = fake_check_extensions(&view->header);
    if (known != SY_OK) {
        return known;
    }
    for (uint32_t i = 0; i < view->n_nodes; i++) {
        sy_node_view node;
        sy_status status = view->node(view->graph, i, &node);
        if (status != SY_OK) {
            return status;
        }
        judge_node(device, view, &node, (sy_verdict *)(void *)((char *)out_verdicts + i * stride));
    }
    return SY_OK;
}

static sy_status price(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                       sy_cost *out_cost) {
    out_cost->launch_us = device->launch_us;
    out_cost->time_us = device->launch_us;
    out_cost->confidence = 0.9f;
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        sy_node_view node;
        sy_status status = view->node(view->graph, segment->nodes[i], &node);
        fake_op op = status == SY_OK ? fake_find_op(node.domain, node.op) : FAKE_OP_COUNT;
        if (op == FAKE_OP_COUNT) {
            return SY_INVALID_ARGUMENT;
        }
        out_cost->time_us += device->us[op];
    }
    return SY_OK;
}

static sy_status link_cost(sy_device *device, sy_memory_kind from, sy_memory_kind to,
                           uint64_t n_bytes, sy_cost *out_cost) {
    int same = from == to && from == FAKE_MEMORY_KIND;
    out_cost->time_us =
        same ? 0 : device->link_us + device->link_us_per_mib * (float)n_bytes / 1048576.0f;
    out_cost->confidence = 0.9f;
    return SY_OK;
}

static sy_status make_buffer(sy_device *device, uint8_t *bytes, uint64_t n_bytes,
                             sy_buffer **out_buffer) {
    const sy_host *host = device->host;
    int owned = bytes == NULL;
    sy_status status = fake_check_memory(device);
    if (status != SY_OK) {
        return status;
    }
    sy_buffer *buffer = host->alloc(host->context, sizeof(*buffer), 64);
    if (buffer != NULL && owned) {
        bytes = host->alloc(host->context, n_bytes, 64);
    }
    if (buffer == NULL || bytes == NULL) {
        host->release(host->context, buffer, sizeof(*buffer));
        return SY_RESOURCE_EXHAUSTED;
    }
    *buffer = (sy_buffer){.device = device, .bytes = bytes, .n_bytes = n_bytes, .owned = owned};
    device->live++;
    *out_buffer = buffer;
    return SY_OK;
}

static sy_status buffer_create(sy_device *device, sy_memory_kind kind, uint64_t n_bytes,
                               sy_buffer **out_buffer) {
    return kind == FAKE_MEMORY_KIND ? make_buffer(device, NULL, n_bytes, out_buffer)
                                    : SY_UNIMPLEMENTED;
}

static sy_status buffer_import(sy_device *device, const sy_memory *memory, sy_buffer **out_buffer) {
    if (FAKE_MEMORY_KIND != SY_MEMORY_HOST || memory->kind != SY_MEMORY_HOST ||
        memory->pointer == NULL) {
        return SY_UNIMPLEMENTED;
    }
    return make_buffer(device, (uint8_t *)memory->pointer + memory->offset_bytes,
                       memory->length_bytes, out_buffer);
}

static sy_status buffer_map(sy_buffer *buffer, uint64_t offset_bytes, uint64_t n_bytes,
                            uint32_t access, void **out_pointer) {
    (void)access;
    if (offset_bytes > buffer->n_bytes || n_bytes > buffer->n_bytes - offset_bytes) {
        return SY_OUT_OF_RANGE;
    }
    sy_status status = fake_check_alive(buffer->device);
    if (status == SY_OK) {
        *out_pointer = buffer->bytes + offset_bytes;
    }
    return status;
}

static sy_status buffer_unmap(sy_buffer *buffer) {
    (void)buffer;
    return SY_OK;
}

static sy_status buffer_destroy(sy_buffer *buffer) {
    const sy_host *host = buffer->device->host;
    buffer->device->live--;
    if (buffer->owned) {
        host->release(host->context, buffer->bytes, buffer->n_bytes);
    }
    host->release(host->context, buffer, sizeof(*buffer));
    return SY_OK;
}

static const sy_plugin table = {
    .header = SY_HEADER_INIT(sy_plugin),
    .name = FAKE_NAME,
    .vendor = "Switchyard",
    .version = "1.0",
    .enumerate = enumerate,
    .open = open_device,
    .close = close_device,
    .health = health,
    .judge = judge,
    .price = price,
    .link = link_cost,
    .compile = FAKE_COMPILE,
    .probe = FAKE_PROBE,
    .load = fake_load,
    .unload = fake_unload,
    .buffer_create = buffer_create,
    .buffer_import = buffer_import,
    .buffer_map = buffer_map,
    .buffer_unmap = buffer_unmap,
    .buffer_destroy = buffer_destroy,
    .submit = fake_submit,
    .cancel = fake_cancel,
    .state_create = fake_state_create,
    .state_clone = fake_state_clone,
    .state_truncate = fake_state_truncate,
    .state_shift = fake_state_shift,
    .state_save = fake_state_save,
    .state_load = fake_state_load,
    .state_destroy = fake_state_destroy,
};

const sy_plugin *FAKE_ENTRY(uint32_t host_abi, const sy_host *host) {
    if (host_abi >> 16 != SY_ABI_MAJOR || host_abi < table.header.abi) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_UNIMPLEMENTED, SY_NO_VALUE,
                     "needs a host of delegate ABI 0.11 or newer");
        return NULL;
    }
    the_host = host;
    return &table;
}
