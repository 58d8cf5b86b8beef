/* SPDX-License-Identifier: Apache-2.0 */
/* Template: unpacking of any block type through its scales and weights functions, a column and
 * chunk at a time. Levels have faster ways for the common types (panel_fast_*.h). */

/* PANEL_COLUMNS columns, k elements of each from `first` on; missing columns repeat the last. */
typedef struct unpack_source {
    const uint8_t *weights;
    size_t row_bytes, n_columns, k;
    const uint8_t *ahead; /* bytes that will be wanted next, as many as these; or NULL */
} unpack_source;

ALWAYS_INLINE void unpack_any(const unpack_source *source, const panel *p, block_kind kind) {
    const unsigned per_chunk = (kind.traits & TRAIT_HALVES) != 0 ? 2 : 1;
    const bool minimum = (kind.traits & TRAIT_MINIMUM) != 0;
    for (size_t b = 0; b < source->k / 32 / kind.n_chunks; b++) {
        const uint8_t *blocks[PANEL_COLUMNS];
        size_t first = b * kind.n_chunks;
        for (unsigned j = 0; j < PANEL_COLUMNS; j++) {
            size_t column = j < source->n_columns ? j : source->n_columns - 1;
            blocks[j] = source->weights + column * source->row_bytes + b * kind.block_bytes;
            factors f;
            kind.scales(blocks[j], &f);
            for (unsigned i = 0; i < kind.n_chunks * per_chunk; i++) {
                p->scale[(first * per_chunk + i) * PANEL_COLUMNS + j] = f.scale[i];
                if (minimum) {
                    p->minimum[(first * per_chunk + i) * PANEL_COLUMNS + j] = -f.minimum[i];
                }
            }
        }
        for (unsigned i = 0; i < kind.n_chunks * (PANEL_COLUMNS / PANEL_LANES); i++) {
            unsigned i_chunk = i / (PANEL_COLUMNS / PANEL_LANES);
            unsigned lane = i % (PANEL_COLUMNS / PANEL_LANES) * PANEL_LANES;
            chunk chunks[PANEL_LANES];
#pragma GCC unroll 16
            for (unsigned j = 0; j < PANEL_LANES; j++) {
                chunks[j] = kind.weights(blocks[lane + j], i_chunk);
                if ((kind.traits & TRAIT_UNSIGNED) == 0) {
                    chunks[j] = chunk_minus(chunks[j], (int8_t)-PANEL_ZERO(kind.traits));
                }
            }
            panel_transpose(chunks,
                            p->values + ((first + i_chunk) * 32 * PANEL_COLUMNS + lane * 4));
        }
    }
}
