/* SPDX-License-Identifier: Apache-2.0 */
/* Norms over the last dimensions, and Softmax: one group of the device for each set of elements. */
#include "operator_checks.h"
#include "program.h"

#define GROUP 64u

/* S2 of norm.kernel */
enum { NORM_RMS = 0, NORM_LAYER = 1, NORM_ADD_RMS = 2 };

/* ---- norms ---- */
static bool norm_parse(const kit_node *node, const gpu_operator *op, kit_norm *out,
                       kit_answer *answer) {
    return op->variant == NORM_ADD_RMS ? kit_check_add_norm(node, out, answer)
                                       : kit_check_norm(node, out, answer);
}

static bool norm_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                       kit_answer *answer) {
    kit_norm norm;
    (void)device;
    return norm_parse(node, op, &norm, answer);
}

static sy_status norm_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                           uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t n = (uint64_t)launch->numbers[0], rows = n > 0 ? x->n_elements / n : 0;
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)rows;
    out_words[2] = (uint32_t)launch->numbers[1];
    gpu_groups_for(job, rows, 1, out_groups);
    return SY_OK;
}

static sy_status norm_build(gpu_build *build) {
    kit_norm norm;
    kit_answer answer;
    gpu_launch launch;
    bool adds = build->op->variant == NORM_ADD_RMS;
    (void)norm_parse(build->node, build->op, &norm, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->in[0].type, build->op->variant,
                                  norm.has_bias ? 1 : 0};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_NORM, constants, 4, norm_size, 3, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = norm.inner;
    launch.numbers[1] = gpu_float_bits(norm.epsilon);
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[adds ? 2 : 1]);
    gpu_launch_value(&launch, adds ? build->in[1] : build->in[2]);
    gpu_launch_value(&launch, build->out[adds ? 1 : 0]);
    gpu_launch_value(&launch, adds ? build->out[0] : SY_NO_VALUE);
    return gpu_launch_end(build, &launch);
}

/* ---- Softmax ---- */
static bool softmax_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                          kit_answer *answer) {
    kit_softmax softmax;
    (void)device;
    (void)op;
    return kit_check_softmax(node, &softmax, answer);
}

static sy_status softmax_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                              uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t stride = 1;
    for (uint32_t d = (uint32_t)launch->numbers[0] + 1; d < x->rank; d++) {
        stride *= (uint64_t)x->dims[d];
    }
    uint64_t n = (uint64_t)x->dims[launch->numbers[0]], sets = n > 0 ? x->n_elements / n : 0;
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)stride;
    out_words[2] = (uint32_t)sets;
    gpu_groups_for(job, sets, 1, out_groups);
    return SY_OK;
}

static sy_status softmax_build(gpu_build *build) {
    kit_softmax softmax;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_softmax(build->node, &softmax, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->in[0].type};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_SOFTMAX, constants, 2, softmax_size, 3, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = softmax.axis;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_norm[] = {
    {"", "RMSNormalization", NORM_RMS, false, norm_check, norm_build},
    {"", "LayerNormalization", NORM_LAYER, false, norm_check, norm_build},
    {"switchyard", "AddRMSNormalization", NORM_ADD_RMS, false, norm_check, norm_build},
    {"", "Softmax", 0, false, softmax_check, softmax_build},
    {.name = NULL},
};
