/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices. Options of open:
 *   software=on          a device that computes on the CPU may be used; else it is left out
 *   subgroups=off|on     kernels without subgroup arithmetic, or with it on software devices, too
 *   matrices=off|on      no cooperative matrices; also on devices that compute on the CPU
 *   fp16=off|on          OpenCL: numbers of 16 bits by integers; by the device though it says
 *                        that it loses subnormal ones
 *   images=off|on        OpenCL: weights never read as images; also where that gains nothing
 *   memory_limit_mib=N   device memory that may be taken, less than the device has
 *   binding_limit_mib=N  pretends that a binding spans no more, for tests
 */
#include "adapters.h"
#include "faults.h"
#include "plugin.h"
#include "queue.h"
#include "retired.h"
#include "states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES_MOST 16u

sy_status gpu_seen(sy_device *device, sy_status status) {
    if (SY_STATUS_CLASS(status) == SY_UNAVAILABLE &&
        SY_STATUS_DETAIL(status) == SY_DETAIL_DEVICE_LOST) {
        atomic_store(&device->is_lost, true);
    }
    return status;
}

void gpu_pipeline_keep(sy_device *device, gpu_pipeline *pipeline) {
    bool is_kept = pipeline == NULL;
    for (uint32_t i = 0; i < GPU_KEPT_PIPELINES && !is_kept; i++) {
        is_kept = device->kept[i] == pipeline;
    }
    if (is_kept) {
        gpu_pipeline_destroy(pipeline);
        return;
    }
    gpu_pipeline_destroy(device->kept[device->i_oldest_kept]);
    device->kept[device->i_oldest_kept] = pipeline;
    device->i_oldest_kept = (device->i_oldest_kept + 1) % GPU_KEPT_PIPELINES;
}

sy_status gpu_lost(const sy_device *device) {
    return kit_report(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST), SY_NO_VALUE,
                      "the device %s was lost: close it and open it again", device->limits->id);
}

static void info_fill(const gpu_limits *limits, sy_device_info *info) {
    memcpy(info->id, limits->id, sizeof(info->id));
    memcpy(info->soc, limits->id, sizeof(info->soc));
    memcpy(info->driver, limits->driver, sizeof(info->driver));
    info->device_class = SY_DEVICE_GPU;
    info->memory_in = SY_MEMORY_BIT(SY_MEMORY_OPAQUE);
    info->alignment_bytes =
        limits->binding_alignment_bytes > 64 ? limits->binding_alignment_bytes : 64;
    if (limits->imports_host && limits->is_unified && limits->import_alignment_bytes <= 4096) {
        info->memory_in |= SY_MEMORY_BIT(SY_MEMORY_HOST);
        if (info->alignment_bytes < limits->import_alignment_bytes) {
            info->alignment_bytes = (uint32_t)limits->import_alignment_bytes;
        }
    }
    if (limits->imports_dmabuf) {
        info->memory_in |= SY_MEMORY_BIT(SY_MEMORY_DMABUF);
    }
    info->memory_own = SY_MEMORY_BIT(SY_MEMORY_OPAQUE);
    info->blobs = SY_BLOBS_WITHOUT_WEIGHTS;
    info->n_queues = 1;
    info->memory_total_bytes = limits->memory_total_bytes;
    info->memory_free_bytes = limits->memory_total_bytes;
}

sy_status gpu_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                        uint32_t *inout_count) {
    gpu_limits limits[DEVICES_MOST];
    uint32_t n = DEVICES_MOST;
    (void)context;
    sy_status status = gpu_driver_enumerate(limits, &n);
    if (status != SY_OK) {
        return status;
    }
    n = n < DEVICES_MOST ? n : DEVICES_MOST;
    for (uint32_t i = 0; out_infos != NULL && i < n && i < *inout_count; i++) {
        sy_device_info info = {.header = SY_HEADER_INIT(sy_device_info)};
        info_fill(&limits[i], &info);
        memcpy((char *)out_infos + i * stride, &info,
               stride < sizeof(info) ? stride : sizeof(info));
    }
    *inout_count = n;
    return SY_OK;
}

/* ---- options ---- */
static sy_status option_switch(const char *options, const char *key, bool *inout_on) {
    char value[16];
    if (!kit_option(options, key, value, sizeof(value))) {
        return SY_OK;
    }
    bool is_on = strcmp(value, "on") == 0;
    if (!is_on && strcmp(value, "off") != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%s=%s: use on or off", key, value);
    }
    *inout_on = is_on;
    return SY_OK;
}

static sy_status option_choice(const char *options, const char *key, gpu_choice *out_choice) {
    char given[16];
    bool is_on = true;
    sy_status status = option_switch(options, key, &is_on);
    if (kit_option(options, key, given, sizeof(given))) {
        *out_choice = is_on ? GPU_WHERE_OFFERED : GPU_NEVER;
    }
    return status;
}

static sy_status option_mib(const char *options, const char *key, uint64_t *out_bytes) {
    char value[32], *end = NULL;
    if (!kit_option(options, key, value, sizeof(value))) {
        return SY_OK;
    }
    unsigned long long mib = strtoull(value, &end, 10);
    if (end == value || *end != '\0' || value[0] == '-' || mib == 0 || mib > UINT64_MAX >> 20) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%s=%s is no number of MiB above 0",
                          key, value);
    }
    *out_bytes = (uint64_t)mib << 20;
    return SY_OK;
}

typedef struct device_options {
    gpu_open_options driver;
    bool software;
} device_options;

static sy_status options_read(const char *options, device_options *out) {
    *out = (device_options){.software = false};
    const struct {
        const char *key;
        gpu_choice *choice;
    } choices[] = {{"subgroups", &out->driver.subgroups},
                   {"matrices", &out->driver.matrices},
                   {"fp16", &out->driver.float16},
                   {"images", &out->driver.images}};
    sy_status status = option_switch(options, "software", &out->software);
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]) && status == SY_OK; i++) {
        status = option_choice(options, choices[i].key, choices[i].choice);
    }
    if (status == SY_OK) {
        status = option_mib(options, "memory_limit_mib", &out->driver.memory_limit_bytes);
    }
    if (status == SY_OK) {
        status = option_mib(options, "binding_limit_mib", &out->driver.binding_most_bytes);
    }
    return status;
}

/* ---- open and close ---- */
static void device_stop(sy_device *device) {
    if (device->queue != NULL) {
        gpu_queue_destroy(device->queue);
    }
    if (device->states != NULL) {
        gpu_states_destroy(device->states);
    }
    if (device->adapters != NULL) {
        gpu_adapters_destroy(device->adapters);
    }
    gpu_retired_free(device);
    for (uint32_t i = 0; i < GPU_KEPT_PIPELINES; i++) {
        gpu_pipeline_destroy(device->kept[i]);
    }
    gpu_driver_close(device->driver);
}

static sy_status device_start(sy_device *device, uint32_t i_device, const device_options *options) {
    sy_status status = gpu_driver_open(i_device, &options->driver, &device->driver);
    if (status != SY_OK) {
        return status;
    }
    device->limits = gpu_driver_limits(device->driver);
    if (device->limits->is_software && !options->software) {
        kit_remark(SY_SEVERITY_INFO,
                   "%s computes on the CPU, which other delegates do faster: set software = on in "
                   "[delegate %s] to use it",
                   device->limits->id, gpu_plugin_name);
        status = SY_FAILED_PRECONDITION;
    }
    status = status == SY_OK ? gpu_states_create(device, &device->states) : status;
    status = status == SY_OK ? gpu_adapters_create(device, &device->adapters) : status;
    status = status == SY_OK ? gpu_queue_create(device, &device->queue) : status;
    if (status != SY_OK) {
        device_stop(device);
    }
    return status;
}

sy_status gpu_open(sy_context *context, uint32_t i_device, const char *options,
                   sy_device **out_device) {
    device_options read;
    (void)context;
    sy_status status = options_read(options, &read);
    if (status != SY_OK) {
        return status;
    }
    sy_device *device = kit_alloc(sizeof(*device));
    if (device == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a device");
    }
    device->epoch = 1;
    status = gpu_faults_read(device, options);
    status = status == SY_OK ? device_start(device, i_device, &read) : status;
    if (status != SY_OK) {
        gpu_faults_free(device);
        kit_release(device, sizeof(*device));
        return status;
    }
    *out_device = device;
    return SY_OK;
}

sy_status gpu_close(sy_device *device) {
    if (atomic_load(&device->live_handles) != 0) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "the device still has %llu units, buffers, states or adapters",
                          (unsigned long long)atomic_load(&device->live_handles));
    }
    device_stop(device);
    gpu_faults_free(device);
    kit_release(device, sizeof(*device));
    return SY_OK;
}

sy_status gpu_health(sy_device *device, sy_health *out_health) {
    bool is_lost = atomic_load(&device->is_lost) || gpu_driver_is_lost(device->driver);
    out_health->epoch = device->epoch + (is_lost ? 1u : 0u);
    out_health->state = is_lost ? SY_HEALTH_LOST : SY_HEALTH_OK;
    out_health->throttle_pct = 0;
    out_health->memory_free_bytes = gpu_driver_free_bytes(device->driver);
    out_health->live_handles = atomic_load(&device->live_handles);
    out_health->live_jobs = atomic_load(&device->live_jobs);
    return SY_OK;
}
