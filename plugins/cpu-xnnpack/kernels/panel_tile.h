/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template: the tile of linear_panel.h for layers whose vectors are those of the vector layer: VF
 * columns in the lanes of a vint, PANEL_VECTORS of them in a panel. The layer gives panel_sums,
 * which adds the integer products of n_sixteens times 16 elements.
 */
#ifndef CPU_PANEL_TILE_H
#define CPU_PANEL_TILE_H

/* Rows of activations at one chunk; three rows to a base, so that none needs a multiplication. */
typedef struct panel_rows {
    const uint8_t *base[(PANEL_ROWS + 2) / 3];
    size_t row_bytes;
} panel_rows;

ALWAYS_INLINE const uint8_t *panel_row(const panel_rows *rows, unsigned r) {
    const uint8_t *base = rows->base[r / 3];
    return r % 3 == 0 ? base : r % 3 == 1 ? base + rows->row_bytes : base + 2 * rows->row_bytes;
}

/* Adds elements 16 * i_sixteen ... of a chunk (`values` are those of the chunk) to sum[n_r]. The
 * activations are `offset` bytes behind the start of a record. */
ALWAYS_INLINE void panel_sums(const uint8_t *values, unsigned i_sixteen, unsigned n_sixteens,
                              const panel_rows *rows, unsigned offset, unsigned n_r,
                              unsigned traits, vint sum[PANEL_ROWS][PANEL_VECTORS]);

/* 254 * high + low */
ALWAYS_INLINE vint panel_join(vint high, vint low) {
#ifdef __aarch64__
    return high * CPU_PLANE_STEP + low;
#else
    return (high << 8) - (high << 1) + low; /* 32-bit products are slow on x86 */
#endif
}

/* Field by field, so that each can be a broadcast from memory and unused ones are not read. */
ALWAYS_INLINE cpu_record_end record_end(const uint8_t *record, cpu_planes planes) {
    const uint8_t *at = record + 32 * (unsigned)planes;
    cpu_record_end end;
    memcpy(&end.scale, at, 4);
    memcpy(&end.sum, at + offsetof(cpu_record_end, sum), 4);
    memcpy(&end.offset, at + offsetof(cpu_record_end, offset), 4);
    memcpy(&end.offset_16, at + offsetof(cpu_record_end, offset_16), 4);
    return end;
}
ALWAYS_INLINE cpu_record_end panel_end(const panel_rows *rows, unsigned r, cpu_planes planes) {
    return record_end(panel_row(rows, r), planes);
}

/* -128 times the sum of the activations that a part covers, in every lane: a broadcast from memory
 * costs less than one from a scalar register. */
ALWAYS_INLINE vint panel_offset(cpu_record_end end, unsigned i_sixteen, unsigned n_sixteens) {
    const vint zero = {0};
    vint all = zero + end.offset, first = zero + end.offset_16;
    return n_sixteens == 2 ? all : i_sixteen == 0 ? first : all - first;
}

/* The start of a sum: takes out what weights are too large by. zero: a power of two, or 0. */
ALWAYS_INLINE vint panel_start(vint offset, unsigned zero) {
    const vint none = {0};
    return zero == 0 ? none : offset >> (__builtin_ctz(CPU_WEIGHT_ZERO) - __builtin_ctz(zero));
}

/* The sum of the activations that a minimum is multiplied by. */
ALWAYS_INLINE vfloat panel_total(cpu_record_end end, unsigned i_sixteen, unsigned n_sixteens) {
    if (n_sixteens == 2) {
        return vf_set1(end.sum);
    }
    vfloat unit = vf_set1(end.scale) * (-1.0f / CPU_WEIGHT_ZERO);
    return __builtin_convertvector(panel_offset(end, i_sixteen, n_sixteens), vfloat) * unit;
}

/* Adds what one scale covers: the whole chunk c or one half of it. */
ALWAYS_INLINE void panel_part(const panel *p, size_t c, unsigned i_sixteen, unsigned n_sixteens,
                              const panel_rows *rows, unsigned n_r, unsigned traits,
                              cpu_planes planes, vfloat acc[PANEL_ROWS][PANEL_VECTORS]) {
    const uint8_t *values = p->values + c * 32 * PANEL_COLUMNS;
    const vint zero = {0};
    vint high[PANEL_ROWS][PANEL_VECTORS], low[PANEL_ROWS][PANEL_VECTORS];
#pragma GCC unroll 16
    for (unsigned r = 0; r < n_r; r++) {
        vint start = zero;
        if ((traits & TRAIT_UNSIGNED) == 0) {
            vint offset = panel_offset(panel_end(rows, r, planes), i_sixteen, n_sixteens);
            start = panel_start(offset, PANEL_ZERO(traits));
        }
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            high[r][v] = planes == CPU_PLANES_16 ? zero : start;
            low[r][v] = start;
        }
    }
    panel_sums(values, i_sixteen, n_sixteens, rows, 0, n_r, traits, high);
    if (planes == CPU_PLANES_16) {
        panel_sums(values, i_sixteen, n_sixteens, rows, 32, n_r, traits, low);
    }
    size_t at = (n_sixteens == 2 ? c : 2 * c + i_sixteen) * PANEL_COLUMNS;
#pragma GCC unroll 16
    for (unsigned r = 0; r < n_r; r++) {
        cpu_record_end end = panel_end(rows, r, planes);
        vfloat scale = vf_set1(end.scale), total = panel_total(end, i_sixteen, n_sixteens);
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            vint sum = planes == CPU_PLANES_16 ? panel_join(high[r][v], low[r][v]) : high[r][v];
            vfloat both = vf_load(p->scale + at + v * VF) * scale;
            acc[r][v] = vf_fma(__builtin_convertvector(sum, vfloat), both, acc[r][v]);
            if ((traits & TRAIT_MINIMUM) != 0) {
                acc[r][v] = vf_fma(vf_load(p->minimum + at + v * VF), total, acc[r][v]);
            }
        }
    }
}

ALWAYS_INLINE void panel_tile(const panel *p, size_t n_chunks, const uint8_t *first_row,
                              size_t row_bytes, unsigned n_r, unsigned traits, cpu_planes planes,
                              const panel_target *target) {
    vfloat acc[PANEL_ROWS][PANEL_VECTORS];
    panel_rows rows = {.row_bytes = row_bytes};
#pragma GCC unroll 16
    for (unsigned i = 0; i < n_r * PANEL_VECTORS; i++) {
        const float *sum = target->sums + i / PANEL_VECTORS * target->stride;
        acc[i / PANEL_VECTORS][i % PANEL_VECTORS] =
            target->is_first ? vf_set1(0.0f) : vf_load(sum + i % PANEL_VECTORS * VF);
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < (n_r + 2) / 3; i++) {
        rows.base[i] = first_row + 3 * i * row_bytes;
    }
    for (size_t c = 0; c < n_chunks; c++) {
        if ((traits & TRAIT_HALVES) != 0) {
            panel_part(p, c, 0, 1, &rows, n_r, traits, planes, acc);
            panel_part(p, c, 1, 1, &rows, n_r, traits, planes, acc);
        } else {
            panel_part(p, c, 0, 2, &rows, n_r, traits, planes, acc);
        }
#pragma GCC unroll 4
        for (unsigned i = 0; i < (n_r + 2) / 3; i++) {
            rows.base[i] += cpu_record_bytes(planes);
        }
    }
    if (target->bias != NULL) {
#pragma GCC unroll 16
        for (unsigned i = 0; i < n_r * PANEL_VECTORS; i++) {
            acc[i / PANEL_VECTORS][i % PANEL_VECTORS] +=
                vf_load(target->bias + i % PANEL_VECTORS * VF);
        }
    }
#pragma GCC unroll 16
    for (unsigned i = 0; i < n_r * PANEL_VECTORS; i++) {
        float *sum = target->sums + i / PANEL_VECTORS * target->stride;
        vf_store(sum + i % PANEL_VECTORS * VF, acc[i / PANEL_VECTORS][i % PANEL_VECTORS]);
    }
}

/* For layers with a product per vector of columns: values lie [k / 4][PANEL_COLUMNS][4], and
 * panel_dot adds PANEL_STEPS times 4 elements. */
#ifdef PANEL_STEPS
#ifdef PANEL_PAIRS
/* Sixteen or 32 small integers: their pairs stay 16 bits until the end. */
ALWAYS_INLINE void panel_small_sums(const uint8_t *values, unsigned i_sixteen, unsigned n_sixteens,
                                    const panel_rows *rows, unsigned offset, unsigned n_r,
                                    vint sum[PANEL_ROWS][PANEL_VECTORS]) {
    const unsigned stride = 4 * PANEL_COLUMNS, first = 4 * i_sixteen;
    vshorts pairs[PANEL_ROWS];
#pragma GCC unroll 4
    for (unsigned i = first; i < first + 4 * n_sixteens; i += PANEL_STEPS) {
        panel_weights w = panel_weights_at(values + i * stride, stride, TRAIT_SMALL);
#pragma GCC unroll 16
        for (unsigned r = 0; r < n_r; r++) {
            vshorts two = panel_two(w, panel_row(rows, r) + offset + 4 * i);
            pairs[r] = i == first ? two : panel_add(pairs[r], two);
        }
    }
#pragma GCC unroll 16
    for (unsigned r = 0; r < n_r; r++) {
        sum[r][0] += panel_widen(pairs[r]);
    }
}
#endif
ALWAYS_INLINE void panel_sums(const uint8_t *values, unsigned i_sixteen, unsigned n_sixteens,
                              const panel_rows *rows, unsigned offset, unsigned n_r,
                              unsigned traits, vint sum[PANEL_ROWS][PANEL_VECTORS]) {
    const unsigned stride = 4 * PANEL_COLUMNS;
#ifdef PANEL_PAIRS
    if ((traits & TRAIT_SMALL) != 0) {
        panel_small_sums(values, i_sixteen, n_sixteens, rows, offset, n_r, sum);
        return;
    }
#endif
#pragma GCC unroll 8
    for (unsigned i = 4 * i_sixteen; i < 4 * (i_sixteen + n_sixteens); i += PANEL_STEPS) {
        panel_weights w[PANEL_VECTORS];
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            w[v] = panel_weights_at(values + i * stride + v * 4 * VF, stride, traits);
        }
#pragma GCC unroll 16
        for (unsigned r = 0; r < n_r; r++) {
            const uint8_t *a = panel_row(rows, r) + offset + 4 * i;
#pragma GCC unroll 2
            for (unsigned v = 0; v < PANEL_VECTORS; v++) {
                sum[r][v] = panel_dot(sum[r][v], w[v], a, traits);
            }
        }
    }
}
#endif

#endif
