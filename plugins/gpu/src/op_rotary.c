/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding. Frequencies go to the device as fractions of a turn, so that the angle of any
 * position is exact there. */
#include "operator_checks.h"
#include "program.h"

#include <string.h>

#define GROUP 64u

/* frequency / (2 pi) modulo 1, in 2^-64. The factor 1 / (2 pi) has 96 bits behind the point. */
static uint64_t turns_of(float frequency) {
    const unsigned __int128 inverse_two_pi =
        (unsigned __int128)0x28be60dbull << 64 | 0x9391054a7f09d5f4ull;
    uint32_t bits = 0;
    memcpy(&bits, &frequency, sizeof(bits));
    uint32_t exponent = (bits >> 23) & 0xffu, mantissa = bits & 0x7fffffu;
    mantissa |= exponent > 0 ? 0x800000u : 0;
    exponent = exponent > 0 ? exponent : 1;
    int shift = 32 - ((int)exponent - 150); /* of a product with 96 bits to one with 64 */
    unsigned __int128 product = inverse_two_pi * mantissa;
    uint64_t turns = shift >= 128  ? 0
                     : shift >= 0  ? (uint64_t)(product >> shift)
                     : shift > -64 ? (uint64_t)(product << -shift)
                                   : 0;
    return bits >> 31 != 0 ? 0 - turns : turns;
}

static bool rotary_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_rotary rotary;
    (void)device;
    (void)op;
    return kit_check_rotary(node, &rotary, answer) &&
           kit_require_weight(&node->in[2], "inverse_frequency", answer);
}

static sy_status rotary_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t rows = (uint64_t)x->dims[0];
    out_words[0] = (uint32_t)rows;
    for (uint32_t i = 0; i < 4; i++) {
        out_words[1 + i] = (uint32_t)launch->numbers[i];
    }
    uint64_t per_row = (uint64_t)(launch->numbers[0] * (launch->numbers[1] - launch->numbers[2]));
    gpu_groups_for(job, rows * per_row, (uint64_t)launch->numbers[4], out_groups);
    return SY_OK;
}

static sy_status turns_make(gpu_build *build, int64_t n_pairs, const gpu_weight **out_weight) {
    const uint8_t *from = gpu_build_constant(build, build->in[2]);
    size_t n_bytes = (size_t)n_pairs * sizeof(uint64_t);
    uint64_t *turns = kit_alloc(n_bytes);
    if (turns == NULL) {
        return kit_no_tables();
    }
    for (int64_t i = 0; i < n_pairs; i++) {
        float frequency = 0;
        memcpy(&frequency, from + (size_t)i * sizeof(frequency), sizeof(frequency));
        turns[i] = turns_of(frequency);
    }
    sy_status status = gpu_build_made(build, turns, SY_TYPE_I64, 1, (uint64_t)n_pairs, out_weight);
    kit_release(turns, n_bytes);
    return status;
}

static sy_status rotary_build(gpu_build *build) {
    kit_rotary rotary;
    kit_answer answer;
    gpu_launch launch;
    const gpu_weight *turns = NULL;
    (void)kit_check_rotary(build->node, &rotary, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->in[0].type, rotary.interleaved ? 1 : 0};
    sy_status status = turns_make(build, rotary.n_pairs, &turns);
    if (status == SY_OK) {
        status = gpu_launch_begin(build, GPU_KERNEL_ROTARY, constants, 3, rotary_size, 5, &launch);
    }
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = rotary.n_heads;
    launch.numbers[1] = rotary.head_size;
    launch.numbers[2] = rotary.n_pairs;
    launch.numbers[3] = gpu_float_bits(rotary.magnitude);
    launch.numbers[4] = constants[0];
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_weight(&launch, turns, 0);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_rotary[] = {
    {"switchyard", "RotaryEmbedding", 0, false, rotary_check, rotary_build},
    {.name = NULL},
};
