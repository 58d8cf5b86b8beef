/* SPDX-License-Identifier: Apache-2.0 */
/* Where an item's keys and values of a span lie, and what is asked for while they are read. */
#include "attend.h"
#include "unit.h"

#include <string.h>

/* Whether a group's columns begin with a cell, so that they are read where they are. */
static bool keys_in_place(const cpu_params *p, sy_element_type type) {
    return p->has_states && p->k % kit_type_block(type) == 0;
}
static bool values_in_place(const cpu_params *p, sy_element_type type) {
    uint64_t cell = kit_type_is_float(type) ? CPU_CELL : kit_type_block(type);
    return p->has_states && (p->n % cell == 0 || (p->n_kv_heads == 1 && cell == CPU_CELL));
}

/* ---- copies ---- */
uint64_t cpu_attention_packed_floats(const cpu_params *p) {
    return CPU_SPAN * (p->k + cpu_attention_stride(p->n));
}

/* Row `position` of keys or values of the group as floats. */
static const float *source_row(const cpu_attention_item *it, bool is_key, uint64_t position) {
    const cpu_run *run = it->run;
    uint64_t d = is_key ? it->p->k : it->p->n, first = it->group * d;
    if (!it->p->has_states) {
        const cpu_tensor *t = cpu_run_in(run, it->work->step, is_key ? CPU_IN_K : CPU_IN_V);
        uint64_t row = it->sequence->first_row + position;
        return cpu_floats_read(run, t, row * cpu_tensor_width(t) + first, d, it->row);
    }
    const sy_state *state =
        cpu_run_state(run, it->work->step, is_key ? CPU_IN_KEY_STATE : CPU_IN_VALUE_STATE, it->s);
    const cpu_state_layout *layout = cpu_layout_of(state);
    uint64_t block = kit_type_block(layout->type), skipped = first % block;
    uint64_t n = (skipped + d + block - 1) / block * block;
    uint8_t *bytes = (uint8_t *)(it->row + d + 64);
    cpu_state_get(layout, cpu_state_block_of(state, position), position % CPU_BLOCK,
                  first - skipped, n, bytes);
    cpu_kernels_of(run->kernels, layout->type)->decode(bytes, n, it->row);
    return it->row + skipped;
}

/* Copies what the item sees of a span into f32 blocks of its own. */
static void pack(const cpu_attention_item *it, bool is_key, uint64_t span, cpu_positions seen,
                 cpu_cells *out) {
    uint64_t d = is_key ? it->p->k : it->p->n;
    uint8_t *to = (uint8_t *)(is_key ? it->packed : it->packed + CPU_SPAN * it->p->k);
    cpu_state_layout layout;
    cpu_state_layout_of(SY_TYPE_F32, is_key ? SY_STATE_KEY : SY_STATE_VALUE, (uint32_t)d, &layout);
    layout.block_bytes = CPU_BLOCK * (is_key ? d : cpu_attention_stride(d)) * sizeof(float);
    for (uint64_t i = seen.low; i < seen.high; i++) {
        const float *row = source_row(it, is_key, span * CPU_SPAN + i);
        cpu_state_put(&layout, to + i / CPU_BLOCK * layout.block_bytes, i % CPU_BLOCK, 0, d,
                      (const uint8_t *)row);
    }
    *out = (cpu_cells){.type = SY_TYPE_F32};
    for (uint64_t i = 0; i < CPU_SPAN_BLOCKS; i++) {
        out->blocks[i] = to + i * layout.block_bytes;
    }
}

/* ---- where they are ---- */
/* Where the cells of heads of d columns lie in a block of a state. */
static uint64_t cells_at(const cpu_state_layout *layout, uint64_t group, uint64_t d) {
    uint64_t column_bytes = CPU_BLOCK * layout->cell_row_bytes / layout->cell_columns;
    return group * d * column_bytes;
}

/* A group's part of a block; of blocks outside the table nothing is seen. */
static const uint8_t *part_of(const sy_state *state, uint64_t number, uint64_t at) {
    uint64_t last = state->base + state->n_blocks - 1;
    number = number < state->base ? state->base : number < last ? number : last;
    return cpu_state_block(state, number) + at;
}

/* The group's cells from a span on, in the state. */
static void in_place(const cpu_attention_item *it, const sy_state *state, uint64_t d, uint64_t span,
                     cpu_cells *out) {
    const cpu_state_layout *layout = cpu_layout_of(state);
    uint64_t at = cells_at(layout, it->group, d);
    *out = (cpu_cells){.type = layout->type};
    if (layout->factors_at != 0) {
        out->factors_at = layout->factors_at + it->group * d / 32 * CPU_BLOCK * 2 - at;
    }
    for (uint64_t i = 0; i < CPU_SPAN_BLOCKS; i++) {
        out->blocks[i] = part_of(state, span * CPU_SPAN_BLOCKS + i, at);
    }
}

/* The state whose cells are read where they are, or NULL. */
static const sy_state *state_in_place(const cpu_attention_item *it, bool is_key) {
    const cpu_params *p = it->p;
    if (!p->has_states) {
        return NULL;
    }
    const sy_state *state = cpu_run_state(it->run, it->work->step,
                                          is_key ? CPU_IN_KEY_STATE : CPU_IN_VALUE_STATE, it->s);
    const cpu_state_layout *layout = cpu_layout_of(state);
    bool fits = is_key ? keys_in_place(p, layout->type) : values_in_place(p, layout->type);
    return fits && layout->by_position == is_key ? state : NULL;
}

/* What is read some 8 KB after a block is asked for meanwhile: blocks of keys, then of values, then
 * the keys of what this worker is likely to come to next. */
typedef struct reading {
    const uint8_t *parts[3 * CPU_SPAN_BLOCKS];
    uint64_t n;
} reading;

static void ahead_set(const reading *all, uint64_t i, const sy_state *state, uint64_t d,
                      cpu_positions blocks, cpu_cells *cells) {
    const uint64_t distance = 8192;
    uint64_t part_bytes = cells_at(cpu_layout_of(state), 1, d);
    uint64_t n = part_bytes < distance ? (distance + part_bytes - 1) / part_bytes : 1;
    for (uint32_t b = blocks.low; b < blocks.high; b++, i++) {
        cells->ahead[b] = i + n < all->n ? all->parts[i + n] : cells->blocks[b];
    }
}

void cpu_attention_cells(const cpu_attention_item *it, uint64_t span, cpu_positions seen,
                         cpu_cells *keys, cpu_cells *values) {
    const cpu_params *p = it->p;
    const sy_state *key_state = state_in_place(it, true), *value_state = state_in_place(it, false);
    if (key_state != NULL) {
        in_place(it, key_state, p->k, span, keys);
    } else {
        pack(it, true, span, seen, keys);
    }
    if (value_state != NULL) {
        in_place(it, value_state, p->n, span, values);
    } else {
        pack(it, false, span, seen, values);
    }
    memcpy(keys->ahead, keys->blocks, sizeof(keys->ahead));
    memcpy(values->ahead, values->blocks, sizeof(values->ahead));
    if (key_state == NULL || value_state == NULL || seen.low >= seen.high) {
        return;
    }
    cpu_positions blocks = {seen.low / CPU_BLOCK, (seen.high + CPU_BLOCK - 1) / CPU_BLOCK};
    uint64_t n = blocks.high - blocks.low;
    reading all = {.n = 2 * n};
    memcpy(all.parts, keys->blocks + blocks.low, n * sizeof(all.parts[0]));
    memcpy(all.parts + n, values->blocks + blocks.low, n * sizeof(all.parts[0]));
    for (uint64_t i = 0; it->next_group < it->work->n_groups && i < CPU_SPAN_BLOCKS; i++) {
        all.parts[all.n++] = part_of(key_state, it->next_block + i,
                                     cells_at(cpu_layout_of(key_state), it->next_group, p->k));
    }
    ahead_set(&all, 0, key_state, p->k, blocks, keys);
    ahead_set(&all, n, value_state, p->n, blocks, values);
}
