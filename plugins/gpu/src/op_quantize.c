/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear and DequantizeLinear; an int8 network computes in floats between them. */
#include "operator_checks.h"
#include "program.h"

#define GROUP 64u

/* numbers of a launch */
enum { NUMBER_GROUP, NUMBER_AXIS, NUMBER_IS_SINGLE };

static bool quantize_parse(const kit_node *node, const gpu_operator *op, kit_quantize *out,
                           kit_answer *answer) {
    return op->variant != 0 ? kit_check_dequantize(node, out, answer)
                            : kit_check_quantize(node, out, answer);
}

static bool quantize_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                           kit_answer *answer) {
    kit_quantize quantize;
    (void)device;
    return quantize_parse(node, op, &quantize, answer);
}

static sy_status quantize_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                               uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint32_t axis = (uint32_t)launch->numbers[NUMBER_AXIS];
    bool is_single = launch->numbers[NUMBER_IS_SINGLE] != 0;
    uint64_t inner = 1;
    for (uint32_t d = axis + 1; d < x->rank; d++) {
        inner *= (uint64_t)x->dims[d];
    }
    out_words[0] = (uint32_t)x->n_elements;
    out_words[1] = is_single ? 1 : (uint32_t)x->dims[axis];
    out_words[2] = (uint32_t)inner;
    gpu_groups_for(job, x->n_elements, (uint64_t)launch->numbers[NUMBER_GROUP], out_groups);
    return SY_OK;
}

static sy_status quantize_build(gpu_build *build) {
    kit_quantize quantize;
    kit_answer answer;
    gpu_launch launch;
    (void)quantize_parse(build->node, build->op, &quantize, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->in[0].type, build->node->out[0].type,
                                  quantize.has_zero, build->op->variant};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_QUANTIZE, constants, 5, quantize_size, 3, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_GROUP] = constants[0];
    launch.numbers[NUMBER_AXIS] = quantize.axis;
    launch.numbers[NUMBER_IS_SINGLE] = quantize.is_single;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, quantize.has_zero ? build->in[2] : SY_NO_VALUE);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_quantize[] = {
    {"", "QuantizeLinear", 0, false, quantize_check, quantize_build},
    {"", "DequantizeLinear", 1, false, quantize_check, quantize_build},
    {.name = NULL},
};
