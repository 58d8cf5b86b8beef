/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a stack out of the pieces that a folder has: as they are, across, or block by block. */
#include "base/file_map.h"
#include "internal.h"

#include <string.h>

#define BLOCK_ELEMENTS 32u
#define BLOCK_BYTES 17u /* of MXFP4: a scale, then element i beside element i + 16 */
#define TILE_ROWS 32u   /* rows that go across a piece together: a line of the cache and more */

static void copy_rows(const sy__hf_stack *s, const uint8_t *piece, uint64_t row, uint64_t n,
                      uint8_t *out) {
    size_t row_bytes = (size_t)s->n_columns * s->element_bytes;
    for (uint64_t i = 0; i < n; i++) {
        size_t at = (size_t)(s->first + (row + i) * s->step) * row_bytes;
        memcpy(out + (size_t)i * row_bytes, piece + at, row_bytes);
    }
}

static void turn_rows(const sy__hf_stack *s, const uint8_t *piece, uint64_t row, uint64_t n,
                      uint8_t *out) {
    size_t size = s->element_bytes, row_bytes = (size_t)s->n_columns * size;
    for (uint64_t tile = 0; tile < n; tile += TILE_ROWS) {
        uint64_t end = tile + TILE_ROWS < n ? tile + TILE_ROWS : n;
        for (uint64_t c = 0; c < s->n_columns; c++) {
            const uint8_t *line = piece + (size_t)(c * s->n_piece_rows) * size;
            for (uint64_t i = tile; i < end; i++) {
                size_t from = (size_t)(s->first + (row + i) * s->step) * size;
                memcpy(out + (size_t)i * row_bytes + (size_t)c * size, line + from, size);
            }
        }
    }
}

/* A folder has elements 2 i and 2 i + 1 in a byte, GGUF i and i + 16. */
static void repack_rows(const sy__hf_stack *s, const uint8_t *piece, const uint8_t *scales,
                        uint64_t row, uint64_t n, uint8_t *out) {
    size_t n_blocks = (size_t)(s->n_columns / BLOCK_ELEMENTS);
    for (uint64_t i = 0; i < n; i++) {
        size_t first = (size_t)(s->first + (row + i) * s->step) * n_blocks;
        for (size_t block = first; block < first + n_blocks; block++, out += BLOCK_BYTES) {
            const uint8_t *from = piece + block * BLOCK_ELEMENTS / 2;
            out[0] = scales[block];
            for (uint32_t k = 0; k < BLOCK_ELEMENTS / 2; k++) {
                uint32_t pair = from[k / 2], later = from[8 + k / 2], shift = 4 * (k % 2);
                out[1 + k] = (uint8_t)((pair >> shift & 15u) | (later >> shift & 15u) << 4);
            }
        }
    }
}

void sy__hf_stack_rows(const void *stack, uint64_t first_row, uint64_t n_rows, void *out_rows) {
    const sy__hf_stack *s = stack;
    uint8_t *out = out_rows;
    uint64_t row_bytes = s->layout == SY__HF_MXFP4 ? s->n_columns / BLOCK_ELEMENTS * BLOCK_BYTES
                                                   : s->n_columns * s->element_bytes;
    while (n_rows > 0) {
        uint64_t i = first_row / s->n_rows, row = first_row % s->n_rows;
        uint64_t n = s->n_rows - row < n_rows ? s->n_rows - row : n_rows;
        if (s->layout == SY__HF_ROWS) {
            copy_rows(s, s->pieces[i], row, n, out);
        } else if (s->layout == SY__HF_COLUMNS) {
            turn_rows(s, s->pieces[i], row, n, out);
        } else {
            repack_rows(s, s->pieces[i], s->scales[i], row, n, out);
        }
        if (row + n == s->n_rows) { /* read to its end: there need not be two copies of it */
            sy__file_map_forget(s->pieces[i], s->piece_bytes);
        }
        out += n * row_bytes;
        first_row += n;
        n_rows -= n;
    }
}
