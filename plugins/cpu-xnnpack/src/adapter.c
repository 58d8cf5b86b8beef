/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (LoRA) of a device: their pairs, whose matrices stay where the host has mapped them. */
#include "adapter.h"

#include <math.h>
#include <string.h>

#define PAIRS_MOST 65536u

static bool matrix_fits(const sy_memory *matrix, sy_element_type type, uint64_t n_rows,
                        uint64_t n_columns) {
    uint64_t row_bytes = 0, n_bytes = 0;
    return cpu_type_is_float(type) && matrix->kind == SY_MEMORY_HOST && matrix->pointer != NULL &&
           cpu_type_row_bytes(type, n_columns, &row_bytes) &&
           !__builtin_mul_overflow(n_rows, row_bytes, &n_bytes) && matrix->length_bytes >= n_bytes;
}

static bool pair_fits(const sy_adapter_pair *pair) {
    return pair->rank == 0 || (pair->rank <= CPU_ADAPTER_RANK_MOST && pair->n_inputs > 0 &&
                               pair->n_outputs > 0 && isfinite(pair->scale) &&
                               matrix_fits(&pair->a, pair->a_type, pair->rank, pair->n_inputs) &&
                               matrix_fits(&pair->b, pair->b_type, pair->n_outputs, pair->rank));
}

static sy_status description_check(const sy_adapter_description *description) {
    sy_status status = cpu_extensions_check(&description->header);
    if (status != SY_OK) {
        return status;
    }
    if (description->n_pairs > PAIRS_MOST ||
        (description->n_pairs > 0 && description->pairs == NULL)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "an adapter of %u pairs cannot be",
                          description->n_pairs);
    }
    for (uint32_t i = 0; i < description->n_pairs; i++) {
        if (!pair_fits(&description->pairs[i])) {
            return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "the shapes, types or memory of the adapter's pair %u cannot be", i);
        }
    }
    return SY_OK;
}

static size_t weights_bytes(uint32_t n_pairs) {
    return sizeof(sy_adapter_weights) + n_pairs * sizeof(sy_adapter_pair);
}

sy_status cpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights) {
    sy_status status = description_check(description);
    if (status != SY_OK) {
        return status;
    }
    uint32_t n = description->n_pairs;
    sy_adapter_weights *weights = cpu_alloc(weights_bytes(n));
    if (weights == NULL) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an adapter");
    }
    weights->device = device;
    weights->n_pairs = n;
    if (n > 0) {
        memcpy(weights->pairs, description->pairs, n * sizeof(sy_adapter_pair));
    }
    atomic_fetch_add(&device->live_handles, 1);
    *out_bytes = weights_bytes(n);
    *out_weights = weights;
    return SY_OK;
}

sy_status cpu_adapter_destroy(sy_adapter_weights *weights) {
    if (weights != NULL) {
        atomic_fetch_sub(&weights->device->live_handles, 1);
        cpu_release(weights, weights_bytes(weights->n_pairs));
    }
    return SY_OK;
}

sy_status cpu_adapters_check(const sy_device *device, const sy_job *job) {
    for (uint32_t i = 0; i < job->n_adapters; i++) {
        const sy_adapter_use *use = &job->adapters[i];
        if (use->weights == NULL || use->weights->device != device || !isfinite(use->scale) ||
            (use->more != 0 && i + 1 == job->n_adapters)) {
            return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "adapter %u of the job is missing, of another device or has no end",
                              i);
        }
    }
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        if (job->sequences[s].adapter > job->n_adapters) {
            return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "sequence %u asks for adapter %u of %u", s, job->sequences[s].adapter,
                              job->n_adapters);
        }
    }
    return SY_OK;
}

bool cpu_adapters_used(const sy_job *job) {
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        if (job->sequences[s].adapter != 0) {
            return true;
        }
    }
    return false;
}
