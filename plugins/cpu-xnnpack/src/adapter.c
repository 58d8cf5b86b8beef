/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (LoRA) of a device: A stays where the host has mapped it; B, whose rows are too short
 * for the kernels of Linear, is kept in tiles of columns. */
#include "adapter.h"

#include <string.h>

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
        if (pair->n_outputs > SIZE_MAX / 16 / KIT_ADAPTER_RANK_MOST ||
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
    const cpu_adapter *own = weights->own;
    uint8_t *wide = own->wide;
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

static void adapter_free(sy_adapter_weights *weights) {
    const cpu_adapter *own = weights->own;
    kit_release(own->wide, own->n_wide_bytes);
    kit_adapter_free(weights, sizeof(*own));
}

sy_status cpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights) {
    sy_status status = kit_adapter_check(description);
    if (status != SY_OK) {
        return status;
    }
    size_t n_wide_bytes = 0;
    bool is_counted = count_bytes(description, &n_wide_bytes);
    sy_adapter_weights *weights =
        is_counted ? kit_adapter_make(device, description, sizeof(cpu_adapter)) : NULL;
    cpu_adapter *own = weights != NULL ? weights->own : NULL;
    if (own != NULL) {
        *own = (cpu_adapter){kit_alloc(n_wide_bytes), n_wide_bytes};
    }
    if (own == NULL || own->wide == NULL) {
        kit_adapter_free(weights, sizeof(*own));
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an adapter");
    }
    cut_all(weights);
    atomic_fetch_add(&device->live_handles, 1);
    *out_bytes = kit_adapter_bytes(weights, sizeof(*own)) + n_wide_bytes;
    *out_weights = weights;
    return SY_OK;
}

sy_status cpu_adapter_destroy(sy_adapter_weights *weights) {
    if (weights != NULL) {
        atomic_fetch_sub(&weights->device->live_handles, 1);
        adapter_free(weights);
    }
    return SY_OK;
}
