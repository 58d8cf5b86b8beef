/* SPDX-License-Identifier: Apache-2.0 */
/* Which tiles products get on devices of all sizes. */
#include "harness.h"
#include "program.h"
#include "plugins/gpu/src/tiles.h"

uint32_t gpu_group_size(const sy_device *device, uint32_t wanted) {
    uint32_t size = 1;
    while (2 * size <= wanted && 2 * size <= device->limits->group_most) {
        size *= 2;
    }
    return size;
}

static bool has_matrices(const gpu_limits *limits, gpu_tile *out_tile) {
    const sy_device device = {.limits = limits};
    return gpu_tile_of_matrices(&device, out_tile);
}

/* Tiles are whole matrices, whole subgroups make whole tiles, and elements come in units of 8. */
static void matrices_fill_tiles(void) {
    static const gpu_matrices sizes[] = {{16, 16, 16}, {8, 8, 8},   {8, 16, 16},
                                         {8, 32, 16},  {32, 8, 16}, {16, 16, 32}};
    static const uint32_t subgroups[] = {8, 16, 32, 64};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < 4; j++) {
            gpu_limits limits = {.group_most = 1024,
                                 .shared_most_bytes = 32768,
                                 .subgroup_size = subgroups[j],
                                 .matrices = sizes[i]};
            gpu_tile tile;
            CHECK(has_matrices(&limits, &tile));
            uint32_t down = tile.own_rows * sizes[i].m, across = tile.own_columns * sizes[i].n;
            CHECK(down > 0 && across > 0);
            CHECK(tile.rows % down == 0 && tile.columns % across == 0);
            CHECK(tile.rows / down * (tile.columns / across) * subgroups[j] == tile.group);
            CHECK(tile.depth % sizes[i].k == 0 && tile.depth % 8 == 0);
        }
    }
}

static void matrices_need_room(void) {
    gpu_tile tile;
    const gpu_limits enough = {.group_most = 128,
                               .shared_most_bytes = 32768,
                               .subgroup_size = 32,
                               .matrices = {16, 16, 16}};
    gpu_limits limits = enough;
    CHECK(has_matrices(&limits, &tile));
    limits.shared_most_bytes = 16384;
    CHECK(!has_matrices(&limits, &tile));
    limits = enough;
    limits.group_most = 64;
    CHECK(!has_matrices(&limits, &tile));
    limits = enough;
    limits.matrices.m = 0;
    CHECK(!has_matrices(&limits, &tile));
}

/* Without them: the group fits, its invocations make the whole tile, and shared memory holds it. */
static void tiles_fit(void) {
    for (uint32_t group = 1; group <= 1024; group *= 2) {
        for (uint32_t kib = 1; kib <= 64; kib *= 2) {
            gpu_limits limits = {.group_most = group, .shared_most_bytes = kib * 1024};
            const sy_device device = {.limits = &limits};
            gpu_tile t = gpu_tile_choose(&device);
            CHECK(t.group <= group && t.rows / t.own_rows * (t.columns / t.own_columns) == t.group);
            CHECK(4 * t.depth * (t.rows + t.columns + 2) <= limits.shared_most_bytes);
        }
    }
}

int main(int argc, char **argv) {
    static const sy_test_case cases[] = {
        {"matrices_fill_tiles", matrices_fill_tiles},
        {"matrices_need_room", matrices_need_room},
        {"tiles_fit", tiles_fit},
    };
    return sy_test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
