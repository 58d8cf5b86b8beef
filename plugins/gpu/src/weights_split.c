/* SPDX-License-Identifier: Apache-2.0 */
#include "weights_split.h"
#include "host.h"

#include <string.h>

#define HALF_BYTES 2u

/* Also IQ4_NL: scale, 16 bytes of nibbles. */
static void split_q4_0(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    memcpy(planes[0], block + HALF_BYTES, 16);
    memcpy(planes[1], block, HALF_BYTES);
}

static void split_q5_0(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    memcpy(planes[0], block + HALF_BYTES + 4, 16);
    memcpy(planes[1], block + HALF_BYTES, 4);
    memcpy(planes[2], block, HALF_BYTES);
}

static void split_q8_0(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    memcpy(planes[0], block + HALF_BYTES, 32);
    memcpy(planes[1], block, HALF_BYTES);
}

static void split_mxfp4(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    memcpy(planes[0], block + 1, 16);
    planes[1][0] = block[0];
}

static void split_q3_k(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    memcpy(planes[0], block + 32, 64);
    memcpy(planes[1], block, 32);
    memcpy(planes[2], block + 96, 12);
    memcpy(planes[3], block + 108, HALF_BYTES);
}

/* 32 elements of a block lie in one nibble of 32 bytes, and in two bits of 32 others. */
static void split_q6_k(const uint8_t *block, uint8_t *const planes[GPU_PLANES_MAX]) {
    for (uint32_t i = 0; i < 8; i++) {
        const uint8_t *low = block + i / 4 * 64 + i % 2 * 32, *high = block + 128 + i / 4 * 32;
        uint32_t shift = i / 2 % 2 * 4, high_shift = i % 4 * 2;
        for (uint32_t j = 0; j < 16; j++) {
            uint32_t first = (uint32_t)low[j] >> shift & 15u;
            planes[0][16 * i + j] = (uint8_t)(first | ((uint32_t)low[j + 16] >> shift & 15u) << 4);
        }
        for (uint32_t j = 0; j < 8; j++) { /* of the elements j % 4 + 16 (j / 4), and 4, 8, 12 on */
            const uint8_t *from = high + j % 4 + j / 4 * 16;
            uint32_t four = 0;
            for (uint32_t k = 0; k < 4; k++) {
                four |= ((uint32_t)from[4 * k] >> high_shift & 3u) << (2 * k);
            }
            planes[1][8 * i + j] = (uint8_t)four;
        }
    }
    memcpy(planes[2], block + 192, 16);
    memcpy(planes[3], block + 208, HALF_BYTES);
}

static const gpu_planes planes_table[] = {
    [SY_TYPE_Q4_0] = {2, {16, HALF_BYTES}, split_q4_0},
    [SY_TYPE_Q5_0] = {3, {16, 4, HALF_BYTES}, split_q5_0},
    [SY_TYPE_Q8_0] = {2, {32, HALF_BYTES}, split_q8_0},
    [SY_TYPE_Q3_K] = {4, {64, 32, 12, HALF_BYTES}, split_q3_k},
    [SY_TYPE_Q6_K] = {4, {128, 64, 16, HALF_BYTES}, split_q6_k},
    [SY_TYPE_IQ4_NL] = {2, {16, HALF_BYTES}, split_q4_0},
    [SY_TYPE_MXFP4] = {2, {16, 1}, split_mxfp4},
};

const gpu_planes *gpu_planes_of(sy_element_type type) {
    bool is_known = type < sizeof(planes_table) / sizeof(planes_table[0]);
    return is_known && planes_table[type].n != 0 ? &planes_table[type] : NULL;
}

#define BLOCKS_PER_TASK 16384u

typedef struct split_work {
    const gpu_planes *planes;
    const uint8_t *blocks;
    uint64_t n_blocks, block_bytes;
    uint8_t *const *targets;
} split_work;

static void split_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const split_work *work = argument;
    uint64_t first = (uint64_t)i_task * BLOCKS_PER_TASK, end = first + BLOCKS_PER_TASK;
    uint8_t *at[GPU_PLANES_MAX] = {NULL};
    (void)i_worker;
    for (uint64_t b = first; b < end && b < work->n_blocks; b++) {
        for (uint32_t i = 0; i < work->planes->n; i++) {
            at[i] = work->targets[i] + b * work->planes->plane_bytes[i];
        }
        work->planes->split(work->blocks + b * work->block_bytes, at);
    }
}

sy_status gpu_planes_split(const gpu_planes *planes, const uint8_t *blocks, uint64_t n_blocks,
                           uint8_t *const targets[GPU_PLANES_MAX]) {
    split_work work = {.planes = planes, .blocks = blocks, .n_blocks = n_blocks};
    work.targets = targets;
    for (uint32_t i = 0; i < planes->n; i++) {
        work.block_bytes += planes->plane_bytes[i];
    }
    uint64_t n_tasks = (n_blocks + BLOCKS_PER_TASK - 1) / BLOCKS_PER_TASK;
    if (n_tasks > UINT32_MAX) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE, "a weight has too many blocks");
    }
    if (n_tasks <= 1) {
        split_task(&work, 0, 0);
        return SY_OK;
    }
    return kit_parallel(split_task, &work, (uint32_t)n_tasks);
}
