/* SPDX-License-Identifier: Apache-2.0 */
/* Images: what slides a window over them, and BatchNormalization. */
#include "operator_checks.h"
#include "program.h"
#include "tiles.h"

#define GROUP 64u
#define WINDOW_WORDS 16u /* of kernels/window.h */
#define TILES_LEAST_M 4  /* channels of y in a group, */
#define TILES_LEAST_K 16 /* and elements that make one, for which tiles are worth it */

/* kernels/window_pool.kernel */
enum { POOL_MAXIMUM, POOL_MEAN_INSIDE, POOL_MEAN };

/* numbers of a launch: 1 to 15 are the words of the same number */
#define NUMBER_GROUP 0u
typedef struct window_numbers {
    int64_t m_per_group, c_per_group, n_groups;
    const kit_window *window;
} window_numbers;

static void numbers_fill(gpu_launch *launch, uint32_t group, const window_numbers *from) {
    const kit_window *w = from->window;
    launch->numbers[0] = group;
    launch->numbers[1] = from->m_per_group;
    launch->numbers[2] = from->c_per_group;
    launch->numbers[3] = from->n_groups;
    for (uint32_t i = 0; i < 2; i++) {
        launch->numbers[4 + i] = w->kernel[i];
        launch->numbers[6 + i] = w->in[i];
        launch->numbers[8 + i] = w->out[i];
        launch->numbers[10 + i] = w->stride[i];
        launch->numbers[12 + i] = w->dilation[i];
        launch->numbers[14 + i] = w->before[i];
    }
}

/* An invocation makes an element of the last operand. */
static sy_status elements_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                               uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, launch->n_operands - 1)->n_elements;
    out_words[0] = (uint32_t)n;
    for (uint32_t i = 1; i < launch->n_words; i++) {
        out_words[i] = (uint32_t)launch->numbers[i];
    }
    gpu_groups_for(job, n, (uint64_t)launch->numbers[NUMBER_GROUP], out_groups);
    return SY_OK;
}

/* ---- Conv, ConvTranspose ---- */
static bool conv_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                       kit_answer *answer) {
    kit_conv conv;
    (void)device;
    (void)op;
    return kit_check_conv(node, &conv, answer);
}

static bool conv_transpose_check(const sy_device *device, const kit_node *node,
                                 const gpu_operator *op, kit_answer *answer) {
    kit_conv conv;
    (void)device;
    (void)op;
    return kit_check_conv_transpose(node, &conv, answer);
}

static void conv_operands(const gpu_build *build, gpu_launch *launch) {
    for (uint32_t i = 0; i < 3; i++) {
        gpu_launch_value(launch, build->in[i]);
    }
    gpu_launch_value(launch, build->out[0]);
}

static uint32_t bias_constant(const gpu_build *build, const kit_conv *conv) {
    return conv->has_bias ? 1 + (uint32_t)build->node->in[2].type : 0;
}

static sy_status direct_build(gpu_build *build, const kit_conv *conv, bool is_transposed) {
    const kit_node *node = build->node;
    gpu_launch launch;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP), node->in[0].type,
                                  node->in[1].type, bias_constant(build, conv), is_transposed};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_CONV, constants, 5, elements_size,
                                        WINDOW_WORDS, &launch);
    if (status != SY_OK) {
        return status;
    }
    numbers_fill(&launch, constants[0],
                 &(window_numbers){conv->out_channels / conv->n_groups,
                                   conv->in_channels / conv->n_groups, conv->n_groups,
                                   &conv->window});
    conv_operands(build, &launch);
    return gpu_launch_end(build, &launch);
}

/* numbers[0]: rows of a tile, and from bit 32 on its columns. */
static sy_status tiles_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    const int64_t *numbers = launch->numbers;
    int64_t rows = numbers[0] & INT32_MAX, columns = numbers[0] >> 32;
    int64_t places = numbers[8] * numbers[9];
    int64_t tiles = gpu_job_shape(job, launch, 0)->dims[0] * numbers[3];
    tiles *= (numbers[1] + rows - 1) / rows * ((places + columns - 1) / columns);
    out_words[0] = (uint32_t)tiles;
    for (uint32_t i = 1; i < WINDOW_WORDS; i++) {
        out_words[i] = (uint32_t)numbers[i];
    }
    gpu_groups_for(job, (uint64_t)tiles, 1, out_groups);
    return SY_OK;
}

static sy_status tiles_build(gpu_build *build, const kit_conv *conv) {
    const kit_node *node = build->node;
    gpu_tile t = gpu_tile_choose(gpu_build_device(build));
    gpu_launch launch;
    const uint32_t constants[] = {t.group,
                                  node->in[0].type,
                                  node->in[1].type,
                                  bias_constant(build, conv),
                                  t.rows,
                                  t.columns,
                                  t.own_rows,
                                  t.own_columns,
                                  0,
                                  0,
                                  t.depth};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_CONV_TILES, constants, 11, tiles_size,
                                        WINDOW_WORDS, &launch);
    if (status != SY_OK) {
        return status;
    }
    numbers_fill(&launch, 0,
                 &(window_numbers){conv->out_channels / conv->n_groups,
                                   conv->in_channels / conv->n_groups, conv->n_groups,
                                   &conv->window});
    launch.numbers[0] = (int64_t)t.columns << 32 | (int64_t)t.rows;
    conv_operands(build, &launch);
    return gpu_launch_end(build, &launch);
}

static sy_status conv_build(gpu_build *build) {
    kit_conv conv;
    kit_answer answer;
    (void)kit_check_conv(build->node, &conv, &answer);
    int64_t m = conv.out_channels / conv.n_groups;
    int64_t k = conv.in_channels / conv.n_groups * conv.window.kernel[0] * conv.window.kernel[1];
    return m >= TILES_LEAST_M && k >= TILES_LEAST_K ? tiles_build(build, &conv)
                                                    : direct_build(build, &conv, false);
}

static sy_status conv_transpose_build(gpu_build *build) {
    kit_conv conv;
    kit_answer answer;
    (void)kit_check_conv_transpose(build->node, &conv, &answer);
    return direct_build(build, &conv, true);
}

/* ---- pools ---- */
static bool pool_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                       kit_answer *answer) {
    kit_window_pool pool;
    (void)device;
    (void)op;
    return kit_check_window_pool(node, &pool, answer);
}

static sy_status pool_build(gpu_build *build) {
    kit_window_pool pool;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_window_pool(build->node, &pool, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->in[0].type,
                                  pool.is_max        ? POOL_MAXIMUM
                                  : pool.counts_pads ? POOL_MEAN
                                                     : POOL_MEAN_INSIDE};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_WINDOW_POOL, constants, 3, elements_size,
                                        WINDOW_WORDS, &launch);
    if (status != SY_OK) {
        return status;
    }
    numbers_fill(&launch, constants[0], &(window_numbers){1, 1, pool.n_channels, &pool.window});
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

/* ---- BatchNormalization ---- */
static bool batch_norm_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                             kit_answer *answer) {
    kit_batch_norm norm;
    (void)device;
    (void)op;
    return kit_check_batch_norm(node, &norm, answer);
}

static sy_status batch_norm_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                 uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t inner = 1;
    for (uint32_t d = 2; d < x->rank; d++) {
        inner *= (uint64_t)x->dims[d];
    }
    out_words[0] = (uint32_t)x->n_elements;
    out_words[1] = x->rank > 1 ? (uint32_t)x->dims[1] : 1;
    out_words[2] = (uint32_t)inner;
    out_words[3] = (uint32_t)launch->numbers[1];
    gpu_groups_for(job, x->n_elements, (uint64_t)launch->numbers[NUMBER_GROUP], out_groups);
    return SY_OK;
}

static sy_status batch_norm_build(gpu_build *build) {
    kit_batch_norm norm;
    kit_answer answer;
    gpu_launch launch;
    const sy_value_view *in = build->node->in;
    (void)kit_check_batch_norm(build->node, &norm, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  in[0].type,
                                  in[1].type,
                                  in[2].type,
                                  in[3].type,
                                  in[4].type};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_BATCH_NORM, constants, 6, batch_norm_size, 4, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_GROUP] = constants[0];
    launch.numbers[1] = gpu_float_bits(norm.epsilon);
    for (uint32_t i = 0; i < 5; i++) {
        gpu_launch_value(&launch, build->in[i]);
    }
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_image[] = {
    {"", "Conv", 0, false, conv_check, conv_build},
    {"", "ConvTranspose", 0, false, conv_transpose_check, conv_transpose_build},
    {"", "MaxPool", 0, false, pool_check, pool_build},
    {"", "AveragePool", 0, false, pool_check, pool_build},
    {"", "BatchNormalization", 0, false, batch_norm_check, batch_norm_build},
    {.name = NULL},
};
