/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of the products that kernels/tiles.h computes. */
#ifndef GPU_TILES_H
#define GPU_TILES_H

#include "device.h"

typedef struct gpu_tile {
    uint32_t group;                 /* invocations */
    uint32_t rows, columns;         /* of a tile */
    uint32_t own_rows, own_columns; /* of an invocation */
    uint32_t depth;                 /* elements of each row and column that are shared at once */
} gpu_tile;

/* The largest one that the device has room for. */
gpu_tile gpu_tile_choose(const sy_device *device);
/* One for four subgroups of cooperative matrices (kernels/linear_matrices.kernel), whose own rows
 * and columns are counted in matrices. false: the device has none, or no room. */
bool gpu_tile_of_matrices(const sy_device *device, gpu_tile *out_tile);

#endif
