/* SPDX-License-Identifier: Apache-2.0 */
/* The table, its devices and the hosts it was given to. */
#include "reference/reference.h"

#include "reference/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_HOSTS 64u

/* The table is static and `open` gets a context only, so the hosts that asked for the table are
 * remembered here, by context. The oldest slot without an open device is reused. */
typedef struct host_slot {
    sy_context *context;
    const sy_host *host;
    uint64_t given; /* order of entry calls */
    uint32_t n_open;
} host_slot;

static pthread_mutex_t hosts_lock = PTHREAD_MUTEX_INITIALIZER;
static host_slot hosts[MAX_HOSTS];
static uint64_t n_given;

/* Call with the lock held. */
static host_slot *find_host(const sy_context *context) {
    for (uint32_t i = 0; i < MAX_HOSTS; i++) {
        if (hosts[i].host != NULL && hosts[i].context == context) {
            return &hosts[i];
        }
    }
    return NULL;
}

static bool remember_host(const sy_host *host) {
    pthread_mutex_lock(&hosts_lock);
    host_slot *slot = find_host(host->context);
    for (uint32_t i = 0; i < MAX_HOSTS && (slot == NULL || slot->context != host->context); i++) {
        if (hosts[i].n_open == 0 && (slot == NULL || hosts[i].given < slot->given)) {
            slot = &hosts[i];
        }
    }
    if (slot != NULL) {
        uint32_t n_open = slot->context == host->context ? slot->n_open : 0;
        *slot = (host_slot){host->context, host, ++n_given, n_open};
    }
    pthread_mutex_unlock(&hosts_lock);
    return slot != NULL;
}

/* The host behind a context; `opens` changes the number of its open devices. */
static const sy_host *host_of(const sy_context *context, int opens) {
    pthread_mutex_lock(&hosts_lock);
    host_slot *slot = find_host(context);
    const sy_host *host = slot != NULL ? slot->host : NULL;
    if (slot != NULL) {
        slot->n_open = (uint32_t)((int64_t)slot->n_open + opens);
    }
    pthread_mutex_unlock(&hosts_lock);
    return host;
}

sy_status sy__ref_report(const sy_device *device, sy_status status, uint32_t i_node,
                         const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    device->host->report(device->context, SY_SEVERITY_ERROR, status, i_node, text);
    return status;
}

static void fill_info(sy_device_info *info) {
    snprintf(info->id, sizeof(info->id), "cpu0");
    snprintf(info->driver, sizeof(info->driver), "portable C");
    info->device_class = SY_DEVICE_CPU;
    info->memory_in = SY_MEMORY_BIT(SY_MEMORY_HOST);
    info->memory_own = SY_MEMORY_BIT(SY_MEMORY_HOST);
    info->n_queues = 1;
    info->alignment_bytes = SY__ALIGNMENT;
    long n_pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (n_pages > 0 && page_bytes > 0) {
        info->memory_total_bytes = (uint64_t)n_pages * (uint64_t)page_bytes;
    }
}

static sy_status enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                           uint32_t *inout_count) {
    (void)context;
    if (inout_count == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (out_infos != NULL && *inout_count > 0) {
        sy_device_info info = {.header = SY_HEADER_INIT(sy_device_info)};
        fill_info(&info);
        if (out_infos->header.size == 0) {
            out_infos->header.size = (uint32_t)stride;
        }
        sy__ref_open_write(out_infos, &info, sizeof(info) < stride ? sizeof(info) : stride);
    }
    *inout_count = 1;
    return SY_OK;
}

static void *device_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                               size_t alignment_bytes) {
    const sy_device *device = self;
    void *moved = NULL;
    if (new_bytes > 0) {
        moved = device->host->alloc(device->context, new_bytes, alignment_bytes);
        if (moved == NULL) {
            return NULL;
        }
        if (pointer != NULL) {
            memcpy(moved, pointer, old_bytes < new_bytes ? old_bytes : new_bytes);
        }
    }
    if (pointer != NULL) {
        device->host->release(device->context, pointer, old_bytes);
    }
    return moved;
}

static sy_status open_device(sy_context *context, uint32_t i_device, const char *options,
                             sy_device **out_device) {
    const sy_host *host = host_of(context, 0);
    if (host == NULL || out_device == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    if (i_device != 0) {
        host->report(context, SY_SEVERITY_ERROR, SY_NOT_FOUND, SY_NO_VALUE,
                     "the reference delegate has one device, 0");
        return SY_NOT_FOUND;
    }
    if (options != NULL && options[0] != '\0') {
        host->report(context, SY_SEVERITY_ERROR, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                     "the reference delegate has no options; remove the keys of its section");
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = host->alloc(context, sizeof(*device), SY__ALIGNMENT);
    if (device == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(device, 0, sizeof(*device));
    device->host = host;
    device->context = context;
    device->allocator = (sy_allocator){.reallocate = device_reallocate, .self = device};
    device->pool.allocator = &device->allocator;
    device->n_workers = host->n_workers(context);
    device->n_workers = device->n_workers != 0 ? device->n_workers : 1;
    host_of(context, 1);
    *out_device = device;
    return SY_OK;
}

static sy_status close_device(sy_device *device) {
    if (device == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    uint64_t n_live = atomic_load(&device->live_handles);
    if (n_live != 0) {
        return sy__ref_report(device, SY_FAILED_PRECONDITION, SY_NO_VALUE,
                              "close with %llu live units, buffers or states",
                              (unsigned long long)n_live);
    }
    sy__pool_trim(&device->pool, true);
    host_of(device->context, -1);
    device->host->release(device->context, device, sizeof(*device));
    return SY_OK;
}

static sy_status device_health(sy_device *device, sy_health *out_health) {
    if (device == NULL || out_health == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_health health = {.header = SY_HEADER_INIT(sy_health), .state = SY_HEALTH_OK};
    health.live_handles = atomic_load(&device->live_handles);
    health.live_jobs = atomic_load(&device->live_jobs);
    sy__ref_open_write(out_health, &health, sizeof(health));
    return SY_OK;
}

static const sy_plugin table = {
    .header = SY_HEADER_INIT(sy_plugin),
    .name = "reference",
    .vendor = "Switchyard",
    .version = "0.1",
    .build_id = "switchyard reference delegate",
    .enumerate = enumerate,
    .open = open_device,
    .close = close_device,
    .health = device_health,
    .judge = sy__ref_judge,
    .link = sy__ref_link,
    .load = sy__ref_unit_load,
    .unload = sy__ref_unit_unload,
    .buffer_create = sy__ref_buffer_create,
    .buffer_import = sy__ref_buffer_import,
    .buffer_export = sy__ref_buffer_export,
    .buffer_map = sy__ref_buffer_map,
    .buffer_unmap = sy__ref_buffer_unmap,
    .buffer_destroy = sy__ref_buffer_destroy,
    .submit = sy__ref_unit_submit,
    .cancel = sy__ref_unit_cancel,
    .state_create = sy__ref_state_create,
    .state_clone = sy__ref_state_clone,
    .state_truncate = sy__ref_state_truncate,
    .state_shift = sy__ref_state_shift,
    .state_save = sy__ref_state_save,
    .state_load = sy__ref_state_load,
    .state_destroy = sy__ref_state_destroy,
    .state_fork = sy__ref_state_fork,
    .state_need = sy__ref_state_need,
    .state_reserve = sy__ref_state_reserve,
    .adapter_create = sy__ref_adapter_create,
    .adapter_destroy = sy__ref_adapter_destroy,
};

static bool host_is_complete(const sy_host *host) {
    return SY_HAS_FIELD(host, sy_host, fence_wait) && host->alloc != NULL &&
           host->release != NULL && host->parallel != NULL && host->n_workers != NULL &&
           host->fence_signal != NULL && host->fence_wait != NULL;
}

const sy_plugin *sy__reference_entry(uint32_t host_abi, const sy_host *host) {
    if (host == NULL || !SY_HAS_FIELD(host, sy_host, report) || host->report == NULL) {
        return NULL; /* nobody to tell why */
    }
    const char *why = NULL;
    if (host_abi >> 16 != SY_ABI_MAJOR || host_abi < SY_ABI_VERSION) {
        why = "the reference delegate needs ABI 0.11 or a later minor of major 0";
    } else if (!host_is_complete(host)) {
        why = "the host lacks a service the reference delegate needs";
    } else if (!remember_host(host)) {
        why = "64 hosts have devices open in the reference delegate";
    }
    if (why != NULL) {
        host->report(host->context, SY_SEVERITY_ERROR,
                     SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION), SY_NO_VALUE, why);
        return NULL;
    }
    return &table;
}
