/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets of the intermediates: first fit over a list of gaps, each value from the node that makes
 * it to the last node that touches its bytes. */
#include "base/checked.h"
#include "reference/internal.h"

#include <string.h>

typedef struct gap {
    uint64_t offset, n_bytes;
} gap;

typedef struct layout {
    gap *gaps; /* by offset, never touching each other */
    uint32_t n_gaps;
    uint64_t top; /* everything from here on is free */
} layout;

static void remove_gap(layout *l, uint32_t i) {
    memmove(&l->gaps[i], &l->gaps[i + 1], (l->n_gaps - i - 1) * sizeof(gap));
    l->n_gaps--;
}

static bool take(layout *l, uint64_t n_bytes, uint64_t *out_offset) {
    for (uint32_t i = 0; i < l->n_gaps; i++) {
        if (l->gaps[i].n_bytes >= n_bytes) {
            *out_offset = l->gaps[i].offset;
            l->gaps[i].offset += n_bytes;
            l->gaps[i].n_bytes -= n_bytes;
            if (l->gaps[i].n_bytes == 0) {
                remove_gap(l, i);
            }
            return true;
        }
    }
    *out_offset = l->top;
    return sy__add_u64(l->top, n_bytes, &l->top);
}

static void give_back(layout *l, uint64_t offset, uint64_t n_bytes) {
    uint32_t i = 0;
    while (i < l->n_gaps && l->gaps[i].offset < offset) {
        i++;
    }
    memmove(&l->gaps[i + 1], &l->gaps[i], (l->n_gaps - i) * sizeof(gap));
    l->gaps[i] = (gap){offset, n_bytes};
    l->n_gaps++;
    if (i + 1 < l->n_gaps && offset + n_bytes == l->gaps[i + 1].offset) {
        l->gaps[i].n_bytes += l->gaps[i + 1].n_bytes;
        remove_gap(l, i + 1);
    }
    if (i > 0 && l->gaps[i - 1].offset + l->gaps[i - 1].n_bytes == offset) {
        l->gaps[i - 1].n_bytes += l->gaps[i].n_bytes;
        remove_gap(l, i);
    }
}

/* Bytes a value takes in scratch. */
static bool room_of(const sy__value *value, uint64_t *out_bytes) {
    return sy__align_u64(value->n_bytes != 0 ? value->n_bytes : 1, SY__ALIGNMENT, out_bytes);
}

/* Gives back what node `position` touched last. A value may appear in a node twice. */
static void give_back_after(sy_unit *unit, layout *l, uint32_t position) {
    const sy__node *node = &unit->nodes[position];
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        uint32_t index = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        while (index != SY_NO_VALUE && unit->values[index].storage == SY__STORAGE_ALIAS) {
            index = unit->values[index].i_slot;
        }
        if (index == SY_NO_VALUE) {
            continue;
        }
        sy__value *value = &unit->values[index];
        uint64_t n_bytes = 0;
        if (value->storage == SY__STORAGE_SCRATCH && value->i_last_use == position &&
            room_of(value, &n_bytes)) {
            give_back(l, value->offset_bytes, n_bytes);
            value->i_last_use = UINT32_MAX; /* once */
        }
    }
}

bool sy__ref_unit_plan_scratch(sy_unit *unit) {
    layout l = {.gaps = sy__arena_alloc(&unit->arena, unit->n_values + 1u, sizeof(gap))};
    if (l.gaps == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < unit->n_nodes; i++) {
        const sy__node *node = &unit->nodes[i];
        for (uint32_t j = 0; j < node->n_outputs; j++) {
            sy__value *value = &unit->values[node->outputs[j]];
            uint64_t n_bytes = 0;
            if (value->storage == SY__STORAGE_SCRATCH &&
                (!room_of(value, &n_bytes) || !take(&l, n_bytes, &value->offset_bytes))) {
                return false;
            }
        }
        give_back_after(unit, &l, i);
    }
    unit->scratch_bytes = l.top;
    return true;
}
