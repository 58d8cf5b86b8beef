/* SPDX-License-Identifier: Apache-2.0 */
/* The one device: this process's CPU. Options of open: isa= (a level, or best), xnnpack= (on, off),
 * activations= (auto, 8, 16), read_gb_per_s= (what the memory gives, where it was measured). */
#include "plugin.h"
#include "xnnpack_adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

/* A middling memory system; measured numbers replace it. */
#if defined(__x86_64__)
#define PRIOR_READ_GB_PER_S 30.0f
#else
#define PRIOR_READ_GB_PER_S 20.0f
#endif

static void model_name(char *out_name, size_t n_bytes) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    snprintf(out_name, n_bytes, "CPU");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            value[strcspn(value, "\n")] = '\0';
            snprintf(out_name, n_bytes, "%.60s", value + 2);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void memory_sizes(uint64_t *out_total, uint64_t *out_free) {
    struct sysinfo info;
    *out_total = *out_free = 0;
    if (sysinfo(&info) == 0) {
        *out_total = (uint64_t)info.totalram * info.mem_unit;
        *out_free = (uint64_t)(info.freeram + info.bufferram) * info.mem_unit;
    }
}

sy_status cpu_enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                        uint32_t *inout_count) {
    (void)context;
    if (out_infos != NULL && *inout_count > 0) {
        const cpu_kernels *kernels = cpu_kernels_select(NULL);
        float n_workers = (float)kit_worker_count();
        sy_device_info info = {.header = SY_HEADER_INIT(sy_device_info)};
        snprintf(info.id, sizeof(info.id), "cpu0");
        model_name(info.soc, sizeof(info.soc));
        snprintf(info.driver, sizeof(info.driver), "%s%s", kernels->name,
                 cpu_xnnpack_present() ? " + XNNPACK" : "");
        info.device_class = SY_DEVICE_CPU;
        info.memory_in = SY_MEMORY_BIT(SY_MEMORY_HOST) | SY_MEMORY_BIT(SY_MEMORY_MEMFD);
        info.memory_own = info.memory_in;
        info.n_queues = 1;
        memory_sizes(&info.memory_total_bytes, &info.memory_free_bytes);
        info.tops_int8 = kernels->int8_gops * n_workers / 2000.0f; /* multiply-adds */
        info.tflops_f32 = kernels->f32_gflops * n_workers / 1000.0f;
        info.alignment_bytes = 64;
        memcpy(out_infos, &info, stride < sizeof(info) ? stride : sizeof(info));
    }
    *inout_count = 1;
    return SY_OK;
}

static sy_status options_apply(sy_device *device, const char *options) {
    char value[32];
    if (kit_option(options, "isa", value, sizeof(value))) {
        device->kernels = cpu_kernels_select(value);
        if (device->kernels == NULL) {
            return kit_report(
                SY_INVALID_ARGUMENT, SY_NO_VALUE,
                "isa=%s is not a level of this machine and build: use one of best, %s "
                "... portable",
                value, cpu_kernels_select(NULL)->name);
        }
    }
    if (kit_option(options, "xnnpack", value, sizeof(value))) {
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "xnnpack=%s: use on or off", value);
        }
        device->use_xnnpack = device->use_xnnpack && strcmp(value, "on") == 0;
    }
    if (kit_option(options, "activations", value, sizeof(value)) && strcmp(value, "auto") != 0) {
        if (strcmp(value, "8") != 0 && strcmp(value, "16") != 0) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "activations=%s: use auto, 8 or 16",
                              value);
        }
        device->planes = value[0] == '8' ? CPU_PLANES_8 : CPU_PLANES_16;
    }
    if (kit_option(options, "read_gb_per_s", value, sizeof(value))) {
        char *end = NULL;
        float speed = strtof(value, &end);
        if (end == value || *end != '\0' || !(speed > 0.0f)) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "read_gb_per_s=%s is not a number above 0", value);
        }
        device->read_gb_per_s = speed;
    }
    return SY_OK;
}

sy_status cpu_open(sy_context *context, uint32_t i_device, const char *options,
                   sy_device **out_device) {
    (void)context;
    if (i_device != 0) {
        return kit_report(SY_NOT_FOUND, SY_NO_VALUE, "there is one device, number 0, not %u",
                          i_device);
    }
    sy_device *device = kit_alloc(sizeof(*device));
    if (device == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a device");
    }
    device->kernels = cpu_kernels_select(NULL);
    device->use_xnnpack = cpu_xnnpack_present();
    device->states =
        (kit_states){.storage = &cpu_state_storage, .live_handles = &device->live_handles};
    device->n_workers = kit_worker_count();
    device->read_gb_per_s = PRIOR_READ_GB_PER_S;
    sy_status status = options_apply(device, options);
    if (status == SY_OK && device->use_xnnpack && !cpu_xnnpack_start()) {
        status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "XNNPACK could not be initialised");
    }
    if (status == SY_OK && device->use_xnnpack) {
        device->products = cpu_xnnpack_products_create();
        if (device->products == NULL) {
            cpu_xnnpack_stop();
            status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a device");
        }
    }
    if (status != SY_OK) {
        kit_release(device, sizeof(*device));
        return status;
    }
    device->int8_gops = device->kernels->int8_gops * (float)device->n_workers;
    device->f32_gflops = device->kernels->f32_gflops * (float)device->n_workers;
    *out_device = device;
    return SY_OK;
}

sy_status cpu_close(sy_device *device) {
    if (atomic_load(&device->live_handles) != 0) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "the device still has %llu units, buffers or states",
                          (unsigned long long)atomic_load(&device->live_handles));
    }
    if (device->use_xnnpack) {
        cpu_xnnpack_products_destroy(device->products);
        cpu_xnnpack_stop();
    }
    kit_states_deinit(&device->states);
    kit_release(device, sizeof(*device));
    return SY_OK;
}

sy_status cpu_health(sy_device *device, sy_health *out_health) {
    uint64_t total = 0;
    out_health->epoch = 1;
    out_health->state = SY_HEALTH_OK;
    out_health->throttle_pct = 0;
    memory_sizes(&total, &out_health->memory_free_bytes);
    out_health->live_handles = atomic_load(&device->live_handles);
    out_health->live_jobs = atomic_load(&device->live_jobs);
    return SY_OK;
}
