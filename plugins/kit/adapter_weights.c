/* SPDX-License-Identifier: Apache-2.0 */
#include "adapter_weights.h"
#include "operator_checks.h"

#include <math.h>
#include <string.h>

#define PAIRS_MOST 65536u

/* ---- descriptions ---- */
static bool matrix_fits(const sy_memory *matrix, sy_element_type type, uint64_t n_rows,
                        uint64_t n_columns) {
    uint64_t row_bytes = 0, n_bytes = 0;
    return kit_type_is_float(type) && matrix->kind == SY_MEMORY_HOST && matrix->pointer != NULL &&
           kit_type_row_bytes(type, n_columns, &row_bytes) &&
           !__builtin_mul_overflow(n_rows, row_bytes, &n_bytes) && matrix->length_bytes >= n_bytes;
}

static bool pair_fits(const sy_adapter_pair *pair) {
    return pair->rank == 0 || (pair->rank <= KIT_ADAPTER_RANK_MOST && pair->n_inputs > 0 &&
                               pair->n_outputs > 0 && isfinite(pair->scale) &&
                               matrix_fits(&pair->a, pair->a_type, pair->rank, pair->n_inputs) &&
                               matrix_fits(&pair->b, pair->b_type, pair->n_outputs, pair->rank));
}

sy_status kit_adapter_check(const sy_adapter_description *description) {
    sy_status status = kit_extensions_check(&description->header);
    if (status != SY_OK) {
        return status;
    }
    if (description->n_pairs > PAIRS_MOST ||
        (description->n_pairs > 0 && description->pairs == NULL)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "an adapter of %u pairs cannot be",
                          description->n_pairs);
    }
    for (uint32_t i = 0; i < description->n_pairs; i++) {
        if (!pair_fits(&description->pairs[i])) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "the shapes, types or memory of the adapter's pair %u cannot be", i);
        }
    }
    return SY_OK;
}

/* ---- adapters ---- */
static size_t struct_bytes(uint32_t n_pairs) {
    return sizeof(sy_adapter_weights) + n_pairs * sizeof(sy_adapter_pair);
}

sy_adapter_weights *kit_adapter_make(sy_device *device, const sy_adapter_description *description,
                                     size_t n_own_bytes) {
    uint32_t n = description->n_pairs;
    sy_adapter_weights *weights = kit_alloc(struct_bytes(n));
    void *own = weights != NULL ? kit_alloc(n_own_bytes) : NULL;
    if (own == NULL) {
        kit_release(weights, struct_bytes(n));
        return NULL;
    }
    weights->device = device;
    weights->own = own;
    weights->n_pairs = n;
    if (n > 0) {
        memcpy(weights->pairs, description->pairs, n * sizeof(sy_adapter_pair));
    }
    return weights;
}

void kit_adapter_free(sy_adapter_weights *weights, size_t n_own_bytes) {
    if (weights != NULL) {
        kit_release(weights->own, n_own_bytes);
        kit_release(weights, struct_bytes(weights->n_pairs));
    }
}

size_t kit_adapter_bytes(const sy_adapter_weights *weights, size_t n_own_bytes) {
    return struct_bytes(weights->n_pairs) + n_own_bytes;
}

/* ---- jobs ---- */
static uint32_t count_uses(const sy_adapter_use *use) {
    uint32_t n = 1;
    while (use->more != 0) {
        use++;
        n++;
    }
    return n;
}

sy_status kit_adapters_check(const sy_device *device, const sy_job *job) {
    for (uint32_t i = 0; i < job->n_adapters; i++) {
        const sy_adapter_use *use = &job->adapters[i];
        if (use->weights == NULL || use->weights->device != device || !isfinite(use->scale) ||
            (use->more != 0 && i + 1 == job->n_adapters)) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "adapter %u of the job is missing, of another device or has no end",
                              i);
        }
    }
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        if (job->sequences[s].adapter > job->n_adapters) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "sequence %u asks for adapter %u of %u", s, job->sequences[s].adapter,
                              job->n_adapters);
        }
        if (job->sequences[s].adapter > 0 &&
            count_uses(&job->adapters[job->sequences[s].adapter - 1]) > KIT_ADAPTER_USES_MOST) {
            return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "sequence %u has more than %u adapters",
                              s, KIT_ADAPTER_USES_MOST);
        }
    }
    return SY_OK;
}

bool kit_adapters_used(const sy_job *job) {
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        if (job->sequences[s].adapter != 0) {
            return true;
        }
    }
    return false;
}

const sy_adapter_pair *kit_adapter_pair(const sy_adapter_weights *weights, int64_t slot) {
    bool is_there = slot >= 0 && (uint64_t)slot < weights->n_pairs;
    const sy_adapter_pair *pair = is_there ? &weights->pairs[slot] : NULL;
    return pair != NULL && pair->rank > 0 ? pair : NULL;
}

sy_status kit_adapter_fits(const sy_adapter_pair *pair, uint64_t k, uint64_t n, int64_t max_rank,
                           uint32_t i_node) {
    bool fits = pair->n_inputs == k && pair->n_outputs == n && (int64_t)pair->rank <= max_rank;
    return fits ? SY_OK
                : kit_report(SY_INVALID_ARGUMENT, i_node,
                             "an adapter's pair of %llu x %llu and rank %u does not fit node %u",
                             (unsigned long long)pair->n_outputs,
                             (unsigned long long)pair->n_inputs, pair->rank, i_node);
}
