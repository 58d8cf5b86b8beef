/* SPDX-License-Identifier: Apache-2.0 */
/* Panel layer for AVX-512 VNNI: 16 columns in the lanes of a zmm. */
#ifndef CPU_PANEL_H
#define CPU_PANEL_H

#define PANEL_COLUMNS 32
#define PANEL_LANES 16
#define PANEL_ZERO(traits) CPU_WEIGHT_ZERO
#define PANEL_VECTORS 2
#define PANEL_ROWS 6        /* of a tile: as many as the registers hold sums of */
#define PANEL_ROWS_PLANES 4 /* with two planes */

ALWAYS_INLINE __m512i panel_all(const uint8_t *p) {
    int32_t value = 0;
    memcpy(&value, p, 4);
    return _mm512_set1_epi32(value);
}

ALWAYS_INLINE __m512 panel_all_float(const uint8_t *p) {
    float value = 0.0f;
    memcpy(&value, p, 4);
    return _mm512_set1_ps(value);
}

/* Row r without a multiplication: three rows to a base. */
ALWAYS_INLINE const uint8_t *panel_row(const uint8_t *const base[2], size_t row_bytes, unsigned r) {
    return r % 3 == 0   ? base[r / 3]
           : r % 3 == 1 ? base[r / 3] + row_bytes
                        : base[r / 3] + 2 * row_bytes;
}

/* 254 * high + low */
ALWAYS_INLINE __m512i panel_join(__m512i high, __m512i low) {
    __m512i step = _mm512_sub_epi32(_mm512_slli_epi32(high, 8), _mm512_slli_epi32(high, 1));
    return _mm512_add_epi32(step, low);
}

/* The start of a sum: takes the zero of the weights back out. */
ALWAYS_INLINE __m512i panel_start(const uint8_t *end, bool second_half, unsigned traits) {
    __m512i first = panel_all(end + offsetof(cpu_record_end, offset_16));
    __m512i all = panel_all(end + offsetof(cpu_record_end, offset));
    return (traits & TRAIT_HALVES) == 0 ? all : second_half ? _mm512_sub_epi32(all, first) : first;
}

/* The sum of the activations that a minimum is multiplied by. */
ALWAYS_INLINE __m512 panel_total(const uint8_t *end, bool second_half, unsigned traits) {
    if ((traits & TRAIT_HALVES) == 0) {
        return panel_all_float(end + offsetof(cpu_record_end, sum));
    }
    __m512 unit = _mm512_mul_ps(panel_all_float(end), _mm512_set1_ps(-1.0f / CPU_WEIGHT_ZERO));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(panel_start(end, second_half, traits)), unit);
}

typedef struct panel_sums {
    __m512 of[PANEL_ROWS][PANEL_VECTORS];
} panel_sums;

/* Adds what shares one scale: n_fours steps of four elements of chunk c, from step `first` on. */
ALWAYS_INLINE void panel_part(const panel *p, size_t c, unsigned first, unsigned n_fours,
                              const uint8_t *const base[2], size_t row_bytes, unsigned n_r,
                              unsigned traits, cpu_planes planes, panel_sums *sums) {
    const unsigned end = 32 * (unsigned)planes;
    __m512i high[PANEL_ROWS][PANEL_VECTORS], low[PANEL_ROWS][PANEL_VECTORS];
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
        const uint8_t *row = panel_row(base, row_bytes, r);
        __m512i start = (traits & TRAIT_UNSIGNED) != 0 ? _mm512_setzero_si512()
                                                       : panel_start(row + end, first != 0, traits);
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            low[r][v] = start;
            high[r][v] = planes == CPU_PLANES_16 ? _mm512_setzero_si512() : start;
        }
    }
    const uint8_t *values = p->values + c * 32 * PANEL_COLUMNS;
#pragma GCC unroll 8
    for (unsigned i = first; i < first + n_fours; i++) {
        __m512i w[PANEL_VECTORS];
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            w[v] = _mm512_load_si512((const void *)(values + i * 4 * PANEL_COLUMNS + v * 64));
        }
#pragma GCC unroll 8
        for (unsigned r = 0; r < n_r; r++) {
            const uint8_t *row = panel_row(base, row_bytes, r);
            __m512i a = panel_all(row + 4 * i);
#pragma GCC unroll 2
            for (unsigned v = 0; v < PANEL_VECTORS; v++) {
                high[r][v] = _mm512_dpbusd_epi32(high[r][v], w[v], a);
            }
            if (planes == CPU_PLANES_16) {
                a = panel_all(row + 32 + 4 * i);
#pragma GCC unroll 2
                for (unsigned v = 0; v < PANEL_VECTORS; v++) {
                    low[r][v] = _mm512_dpbusd_epi32(low[r][v], w[v], a);
                }
            }
        }
    }
    size_t at = ((traits & TRAIT_HALVES) != 0 ? 2 * c + (first != 0) : c) * PANEL_COLUMNS;
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
        const uint8_t *row = panel_row(base, row_bytes, r) + end;
        __m512 factor = panel_all_float(row);
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            __m512i sum = planes == CPU_PLANES_16 ? panel_join(high[r][v], low[r][v]) : high[r][v];
            __m512 scale = _mm512_mul_ps(_mm512_load_ps(p->scale + at + 16 * v), factor);
            sums->of[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, sums->of[r][v]);
            if ((traits & TRAIT_MINIMUM) != 0) {
                sums->of[r][v] =
                    _mm512_fmadd_ps(_mm512_load_ps(p->minimum + at + 16 * v),
                                    panel_total(row, first != 0, traits), sums->of[r][v]);
            }
        }
    }
}

ALWAYS_INLINE void panel_tile(const panel *p, size_t n_chunks, const uint8_t *rows,
                              size_t row_bytes, unsigned n_r, unsigned traits, cpu_planes planes,
                              float (*sums)[PANEL_COLUMNS]) {
    panel_sums acc;
    const uint8_t *base[2] = {rows, rows + (n_r > 3 ? 3 : 0) * row_bytes};
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            acc.of[r][v] = _mm512_loadu_ps(sums[r] + 16 * v);
        }
    }
    for (size_t c = 0; c < n_chunks; c++) {
        if ((traits & TRAIT_HALVES) != 0) {
            panel_part(p, c, 0, 4, base, row_bytes, n_r, traits, planes, &acc);
            panel_part(p, c, 4, 4, base, row_bytes, n_r, traits, planes, &acc);
        } else {
            panel_part(p, c, 0, 8, base, row_bytes, n_r, traits, planes, &acc);
        }
        base[0] += cpu_record_bytes(planes);
        base[1] += cpu_record_bytes(planes);
    }
#pragma GCC unroll 8
    for (unsigned r = 0; r < n_r; r++) {
#pragma GCC unroll 2
        for (unsigned v = 0; v < PANEL_VECTORS; v++) {
            _mm512_storeu_ps(sums[r] + 16 * v, acc.of[r][v]);
        }
    }
}

/* 16 chunks of 32 bytes become eight vectors of four bytes per column. */
ALWAYS_INLINE void panel_transpose(const __m256i chunks[16], uint8_t *values) {
    __m512i z[8], t[8];
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        unsigned column = i < 4 ? i : i + 4;
        z[i] = _mm512_inserti64x4(_mm512_castsi256_si512(chunks[column]), chunks[column + 4], 1);
    }
#pragma GCC unroll 2
    for (unsigned h = 0; h < 8; h += 4) {
        __m512i a = _mm512_unpacklo_epi32(z[h], z[h + 1]),
                b = _mm512_unpackhi_epi32(z[h], z[h + 1]);
        __m512i c = _mm512_unpacklo_epi32(z[h + 2], z[h + 3]);
        __m512i d = _mm512_unpackhi_epi32(z[h + 2], z[h + 3]);
        t[h] = _mm512_unpacklo_epi64(a, c);
        t[h + 1] = _mm512_unpackhi_epi64(a, c);
        t[h + 2] = _mm512_unpacklo_epi64(b, d);
        t[h + 3] = _mm512_unpackhi_epi64(b, d);
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        _mm512_store_si512((void *)(values + 4 * PANEL_COLUMNS * i),
                           _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88));
        _mm512_store_si512((void *)(values + 4 * PANEL_COLUMNS * (i + 4)),
                           _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd));
    }
}

#endif
