/* SPDX-License-Identifier: Apache-2.0 */
#include "tiles.h"

#include "program.h"

gpu_tile gpu_tile_choose(const sy_device *device) {
    static const gpu_tile sizes[] = {{256, 64, 64, 4, 4, 16},
                                     {64, 32, 32, 4, 4, 16},
                                     {16, 16, 16, 4, 4, 16},
                                     {1, 4, 4, 4, 4, 8}};
    /* Computing on a CPU, a group is one vector. */
    static const gpu_tile of_software = {8, 8, 32, 8, 4, 32};
    const gpu_limits *limits = device->limits;
    uint32_t i = 0;
    if (limits->is_software && limits->group_most >= 8) {
        return of_software;
    }
    while (i < 3 && (sizes[i].group > gpu_group_size(device, sizes[i].group) ||
                     4 * sizes[i].depth * (sizes[i].rows + sizes[i].columns + 2) >
                         limits->shared_most_bytes)) {
        i++;
    }
    return sizes[i];
}

bool gpu_tile_of_matrices(const sy_device *device, gpu_tile *out_tile) {
    const gpu_limits *limits = device->limits;
    const gpu_matrices *matrices = &limits->matrices;
    if (matrices->m == 0) {
        return false;
    }
    gpu_tile tile = {4 * limits->subgroup_size, 64, 64, 32 / matrices->m, 32 / matrices->n, 32};
    uint32_t row_words = tile.depth / 2 + 4;
    uint32_t shared_words = (tile.rows + tile.columns) * row_words + tile.rows * tile.columns;
    if (tile.group > limits->group_most || 4 * shared_words > limits->shared_most_bytes) {
        return false;
    }
    *out_tile = tile;
    return true;
}
