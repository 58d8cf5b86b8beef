/* SPDX-License-Identifier: Apache-2.0 */
/* CausalConvolution: the rows of the step go into the state, then every row reads those in front of
 * it there. */
#include "operator_checks.h"
#include "program.h"
#include "state_layout.h"

#define GROUP 64u

/* numbers of a launch */
enum { NUMBER_GROUP, NUMBER_WIDTH, NUMBER_STRIDE, NUMBER_STATE };

static bool causal_conv_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                              kit_answer *answer) {
    kit_causal_convolution conv;
    (void)device;
    (void)op;
    return kit_check_causal_convolution(node, &conv, answer);
}

static sy_status causal_conv_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                  uint32_t out_groups[3]) {
    uint64_t group = (uint64_t)launch->numbers[NUMBER_GROUP];
    uint64_t items = (uint64_t)gpu_job_rows_most(job) * (uint64_t)launch->numbers[NUMBER_WIDTH];
    out_words[1] = (uint32_t)launch->numbers[NUMBER_WIDTH];
    out_words[2] = (uint32_t)launch->numbers[NUMBER_STRIDE];
    out_words[3] = job->job->n_states;
    out_words[4] = (uint32_t)launch->numbers[NUMBER_STATE];
    out_groups[0] = (uint32_t)((items + group - 1) / group);
    out_groups[1] = job->n_sequences;
    out_groups[2] = 1;
    return gpu_job_sequences(job, &out_words[0]);
}

static sy_status causal_conv_build(gpu_build *build) {
    kit_causal_convolution conv;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_causal_convolution(build->node, &conv, &answer);
    const kit_value *state = gpu_build_value(build, build->in[2]);
    sy_state_description description = {.type = state->type, .width = (uint32_t)conv.n_channels};
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  build->node->out[0].type, state->type, (uint32_t)conv.length};
    sy_status status = gpu_build_state_write(build, build->in[0], build->in[2]);
    status = status == SY_OK ? gpu_launch_begin(build, GPU_KERNEL_CAUSAL_CONV, constants, 4,
                                                causal_conv_size, 5, &launch)
                             : status;
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_GROUP] = constants[0];
    launch.numbers[NUMBER_WIDTH] = conv.n_channels;
    launch.numbers[NUMBER_STRIDE] = gpu_state_row_stride(&description);
    launch.numbers[NUMBER_STATE] = state->index;
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_state(&launch, build->in[2]);
    gpu_launch_tables(&launch);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_causal_conv[] = {
    {"switchyard", "CausalConvolution", 0, false, causal_conv_check, causal_conv_build},
    {.name = NULL},
};
