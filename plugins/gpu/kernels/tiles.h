/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of matrices by tiles of S4 rows and S5 columns. S10 elements of each row and each column
 * lie in shared memory at once, TILE_FLOATS of them; an invocation makes S6 rows of S7 columns: S0
 * is S4 / S6 * (S5 / S7). The kernel fills X_AT and W_AT between two TILE_MULTIPLY.
 */

/* Shared memory holds element k of all rows of a tile side by side. One float is left over behind
 * them, so that the invocations that write the units of a row meet different banks. */
#define X_AT(k, m) shared_f[(k) * (S4 + 1u) + (m)]
#define W_AT(k, n) shared_f[S10 * (S4 + 1u) + (k) * (S5 + 1u) + (n)]

/* Sums of this invocation. Arrays of arrays, since compilers keep an array in registers where its
 * size is that of the loop over it. */
#define TILE_BEGIN                       \
    float acc[S6][S7];                   \
    for (uint i = 0u; i < S6; i++) {     \
        for (uint j = 0u; j < S7; j++) { \
            acc[i][j] = 0.0f;            \
        }                                \
    }                                    \
    uint lane_n = LOCAL % (S5 / S7), lane_m = LOCAL / (S5 / S7) * S6
/* Row and column in the tile of sum (i, j). */
#define TILE_ROW(i) (lane_m + (i))
#define TILE_COLUMN(j) (lane_n + (j) * (S5 / S7))
#define TILE_SUM(i, j) acc[i][j]

/* Adds the products of what lies in shared memory; every invocation of the group comes here. */
#define TILE_MULTIPLY                                \
    do {                                             \
        BARRIER;                                     \
        for (uint k = 0u; k < S10; k++) {            \
            float x_k[S6];                           \
            for (uint i = 0u; i < S6; i++) {         \
                x_k[i] = X_AT(k, TILE_ROW(i));       \
            }                                        \
            for (uint j = 0u; j < S7; j++) {         \
                float w_k = W_AT(k, TILE_COLUMN(j)); \
                for (uint i = 0u; i < S6; i++) {     \
                    TILE_SUM(i, j) += x_k[i] * w_k;  \
                }                                    \
            }                                        \
        }                                            \
        BARRIER;                                     \
    } while (false)
