/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#ifdef GPU_FAULTS

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EACH_MOST 64u
enum { FAULT_LOSE, FAULT_HANG, FAULT_MEMORY, FAULT_GARBAGE, FAULT_KINDS };

struct gpu_faults {
    uint64_t at[FAULT_KINDS][EACH_MOST];
    uint32_t n[FAULT_KINDS];
    atomic_ullong n_jobs, n_creations;
};

/* "lose@3,hang@5" */
sy_status gpu_faults_read(sy_device *device, const char *options) {
    static const char *const names[FAULT_KINDS] = {"lose@", "hang@", "memory@", "garbage@"};
    char value[256], *at = value;
    if (!kit_option(options, "fault", value, sizeof(value))) {
        return SY_OK;
    }
    device->faults = kit_alloc(sizeof(*device->faults));
    if (device->faults == NULL) {
        return kit_no_tables();
    }
    while (*at != '\0') {
        uint32_t kind = 0;
        while (kind < FAULT_KINDS && strncmp(at, names[kind], strlen(names[kind])) != 0) {
            kind++;
        }
        char *end = at;
        uint64_t number = kind < FAULT_KINDS ? strtoull(at + strlen(names[kind]), &end, 10) : 0;
        if (number == 0 || (*end != '\0' && *end != ',') || device->faults->n[kind] == EACH_MOST) {
            gpu_faults_free(device);
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "fault=%s: use lose@N, hang@N, memory@N, garbage@N, with commas",
                              value);
        }
        device->faults->at[kind][device->faults->n[kind]++] = number;
        at = *end == ',' ? end + 1 : end;
    }
    return SY_OK;
}

void gpu_faults_free(sy_device *device) {
    kit_release(device->faults, sizeof(*device->faults));
    device->faults = NULL;
}

static bool is_due(const struct gpu_faults *faults, uint32_t kind, uint64_t number) {
    bool due = false;
    for (uint32_t i = 0; i < faults->n[kind]; i++) {
        due = due || faults->at[kind][i] == number;
    }
    return due;
}

sy_status gpu_fault_of_creation(sy_device *device) {
    struct gpu_faults *faults = device->faults;
    if (faults == NULL || !is_due(faults, FAULT_MEMORY, ++faults->n_creations)) {
        return SY_OK;
    }
    return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory, by option fault");
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static sy_status hang(const sy_unit *unit, const sy_job *job) {
    const struct timespec moment = {.tv_nsec = 500000};
    for (;;) {
        if (atomic_load(&unit->cancelled_run) == job->run + 1) {
            return SY_CANCELLED;
        }
        if (job->deadline_ns != 0 && now_ns() >= job->deadline_ns) {
            return kit_report(SY_DEADLINE_EXCEEDED, SY_NO_VALUE, "the job hangs, by option fault");
        }
        nanosleep(&moment, NULL);
    }
}

sy_status gpu_fault_of_job(sy_unit *unit, const sy_job *job, bool *out_garbage) {
    struct gpu_faults *faults = unit->device->faults;
    *out_garbage = false;
    if (faults == NULL) {
        return SY_OK;
    }
    uint64_t number = ++faults->n_jobs;
    if (is_due(faults, FAULT_LOSE, number)) {
        atomic_store(&unit->device->is_lost, true);
    }
    if (atomic_load(&unit->device->is_lost)) {
        return gpu_lost(unit->device);
    }
    *out_garbage = is_due(faults, FAULT_GARBAGE, number);
    return is_due(faults, FAULT_HANG, number) ? hang(unit, job) : SY_OK;
}

sy_status gpu_fault_garbage(sy_unit *unit, const sy_job *job) {
    sy_status status = SY_OK;
    for (size_t i = 0; status == SY_OK && i < unit->values.n; i++) {
        const kit_value *value = &unit->values.items[i];
        if (value->place != KIT_PLACE_OUTPUT || !kit_type_is_float(value->type)) {
            continue;
        }
        uint64_t n_bytes = unit->shapes[i].n_elements * kit_type_block_bytes(value->type);
        const sy_binding *binding = &job->outputs[value->index];
        uint8_t *bytes = n_bytes > 0 ? kit_alloc_raw(n_bytes) : NULL;
        if (bytes != NULL) {
            memset(bytes, 0xff, n_bytes);
            status =
                gpu_memory_write(binding->buffer->memory, binding->offset_bytes, bytes, n_bytes);
            kit_release(bytes, n_bytes);
        }
    }
    return status;
}
#endif
