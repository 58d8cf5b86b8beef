/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (LoRA) of a device: A stays where the host has mapped it; B, whose rows are too short
 * for the kernels of Linear, is kept in tiles of columns. */
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

static size_t element_bytes(sy_element_type type) {
    return type == SY_TYPE_F32 ? 4 : 2;
}

/* Bytes of a B in tiles; the shape was checked to fit its own bytes. */
static size_t wide_bytes(const sy_adapter_pair *pair) {
    size_t n_tiles = (pair->n_outputs + CPU_EXPAND_COLUMNS - 1) / CPU_EXPAND_COLUMNS;
    return n_tiles * CPU_EXPAND_COLUMNS * pair->rank * element_bytes(pair->b_type);
}

/* Of all pairs; false when they cannot be counted. */
static bool count_bytes(const sy_adapter_description *description, size_t *out_n) {
    size_t n = 0;
    for (uint32_t i = 0; i < description->n_pairs; i++) {
        const sy_adapter_pair *pair = &description->pairs[i];
        if (pair->n_outputs > SIZE_MAX / 16 / CPU_ADAPTER_RANK_MOST ||
            __builtin_add_overflow(n, wide_bytes(pair), &n)) {
            return false;
        }
    }
    *out_n = n;
    return true;
}

/* B [outputs, rank] into tiles whose memory is zero. */
static inline void cut(const sy_adapter_pair *pair, size_t size, uint8_t *out_wide) {
    const uint8_t *b = pair->b.pointer;
    for (uint64_t i = 0; i < pair->n_outputs; i++) {
        uint64_t column = i % CPU_EXPAND_COLUMNS;
        uint8_t *to = out_wide + ((i - column) * pair->rank + column) * size;
        for (uint32_t r = 0; r < pair->rank; r++) {
            memcpy(to + r * CPU_EXPAND_COLUMNS * size, b + (i * pair->rank + r) * size, size);
        }
    }
}

static void cut_all(sy_adapter_weights *weights) {
    uint8_t *wide = weights->wide;
    for (uint32_t i = 0; i < weights->n_pairs; i++) {
        sy_adapter_pair *pair = &weights->pairs[i];
        if (pair->rank == 0) {
            continue;
        }
        if (pair->b_type == SY_TYPE_F32) { /* sizes that the compiler knows */
            cut(pair, 4, wide);
        } else {
            cut(pair, 2, wide);
        }
        pair->b.pointer = wide;
        wide += wide_bytes(pair);
    }
}

sy_status cpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights) {
    sy_status status = description_check(description);
    if (status != SY_OK) {
        return status;
    }
    uint32_t n = description->n_pairs;
    size_t n_wide_bytes = 0;
    sy_adapter_weights *weights = cpu_alloc(weights_bytes(n));
    uint8_t *wide =
        weights != NULL && count_bytes(description, &n_wide_bytes) ? cpu_alloc(n_wide_bytes) : NULL;
    if (wide == NULL) {
        cpu_release(weights, weights_bytes(n));
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an adapter");
    }
    weights->device = device;
    weights->n_pairs = n;
    weights->wide = wide;
    weights->n_wide_bytes = n_wide_bytes;
    if (n > 0) {
        memcpy(weights->pairs, description->pairs, n * sizeof(sy_adapter_pair));
    }
    cut_all(weights);
    atomic_fetch_add(&device->live_handles, 1);
    *out_bytes = weights_bytes(n) + n_wide_bytes;
    *out_weights = weights;
    return SY_OK;
}

sy_status cpu_adapter_destroy(sy_adapter_weights *weights) {
    if (weights != NULL) {
        atomic_fetch_sub(&weights->device->live_handles, 1);
        cpu_release(weights->wide, weights->n_wide_bytes);
        cpu_release(weights, weights_bytes(weights->n_pairs));
    }
    return SY_OK;
}

static uint32_t count_uses(const sy_adapter_use *use) {
    uint32_t n = 1;
    while (use->more != 0) {
        use++;
        n++;
    }
    return n;
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
        if (job->sequences[s].adapter > 0 &&
            count_uses(&job->adapters[job->sequences[s].adapter - 1]) > CPU_ADAPTER_USES_MOST) {
            return cpu_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "sequence %u has more than %u adapters",
                              s, CPU_ADAPTER_USES_MOST);
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
