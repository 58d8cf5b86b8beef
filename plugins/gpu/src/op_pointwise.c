/* SPDX-License-Identifier: Apache-2.0 */
/* Element by element: one operand, or two that broadcast. */
#include "operator_checks.h"
#include "program.h"

#include "../kernels/kinds.h"

#define GROUP 64u
#define WORDS_EACH 4u /* of an invocation */

_Static_assert(UNARY_NEG == KIT_UNARY_NEG && UNARY_RELU == KIT_UNARY_RELU &&
                   UNARY_SWISH == KIT_UNARY_SWISH && UNARY_CLIP == KIT_UNARY_CLIP &&
                   UNARY_HARD_SWISH == KIT_UNARY_HARD_SWISH && KIT_UNARY_COUNT == 19,
               "kinds.h has the numbers of kit_unary_kind");
_Static_assert(BINARY_ADD == KIT_BINARY_ADD && BINARY_DIV == KIT_BINARY_DIV &&
                   BINARY_PRELU == KIT_BINARY_PRELU && BINARY_PRELU < BINARY_GATED,
               "kinds.h has the numbers of kit_binary_kind");

/* Words of y, S0 times WORDS_EACH a group. */
static void groups_of_y(gpu_job *job, const gpu_launch *launch, uint32_t i_operand,
                        uint32_t out_groups[3]) {
    const gpu_shape *y = gpu_job_shape(job, launch, i_operand);
    uint64_t per_word = (uint64_t)launch->numbers[0];
    gpu_groups_for(job, (y->n_elements + per_word - 1) / per_word,
                   (uint64_t)launch->numbers[1] * WORDS_EACH, out_groups);
}

static void numbers_fill(gpu_launch *launch, sy_element_type y, uint32_t group, double alpha,
                         double beta) {
    launch->numbers[0] = 4 / kit_type_block_bytes(y);
    launch->numbers[1] = group;
    launch->numbers[2] = gpu_float_bits(alpha);
    launch->numbers[3] = gpu_float_bits(beta);
}

/* ---- one operand ---- */
static bool unary_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                        kit_answer *answer) {
    kit_unary unary;
    (void)device;
    (void)op;
    return kit_check_unary(node, &unary, answer);
}

static sy_status unary_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    out_words[0] = (uint32_t)gpu_job_shape(job, launch, 1)->n_elements;
    out_words[1] = (uint32_t)launch->numbers[2];
    out_words[2] = (uint32_t)launch->numbers[3];
    groups_of_y(job, launch, 1, out_groups);
    return SY_OK;
}

static sy_status unary_build(gpu_build *build) {
    kit_unary unary;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_unary(build->node, &unary, &answer);
    sy_element_type type = build->node->out[0].type;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP), type, unary.kind,
                                  WORDS_EACH};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_UNARY, constants, 4, unary_size, 3, &launch);
    if (status != SY_OK) {
        return status;
    }
    numbers_fill(&launch, type, constants[0], unary.alpha, unary.beta);
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

/* ---- two operands ---- */
static sy_status binary_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *y = gpu_job_shape(job, launch, 2);
    uint32_t rank = (uint32_t)launch->numbers[4];
    out_words[0] = (uint32_t)y->n_elements;
    out_words[1] = (uint32_t)launch->numbers[2];
    out_words[2] = (uint32_t)launch->numbers[3];
    for (uint32_t k = 0; rank > 0 && k < 2; k++) {
        const gpu_shape *x = gpu_job_shape(job, launch, k);
        int64_t strides[SY_MAX_RANK];
        kit_broadcast_strides(x->rank, x->dims, rank, strides);
        for (uint32_t d = 0; d < rank; d++) {
            out_words[3 + d] = (uint32_t)y->dims[d];
            out_words[3 + (k + 1) * rank + d] = (uint32_t)strides[d];
        }
    }
    groups_of_y(job, launch, 2, out_groups);
    return SY_OK;
}

typedef struct two_operands {
    uint32_t kind;
    double alpha, beta;
} two_operands;

static sy_status two_build(gpu_build *build, const two_operands *two) {
    const kit_node *node = build->node;
    gpu_launch launch;
    bool same =
        kit_shape_same(&node->in[0], &node->out[0]) && kit_shape_same(&node->in[1], &node->out[0]);
    uint32_t rank = same ? 0 : node->out[0].rank;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  node->in[0].type,
                                  node->in[1].type,
                                  node->out[0].type,
                                  two->kind,
                                  rank,
                                  WORDS_EACH};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_BINARY, constants, 7, binary_size,
                                        3 + 3 * rank, &launch);
    if (status != SY_OK) {
        return status;
    }
    numbers_fill(&launch, node->out[0].type, constants[0], two->alpha, two->beta);
    launch.numbers[4] = rank;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

static bool binary_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_binary binary;
    (void)device;
    (void)op;
    if (!kit_check_binary(node, &binary, answer)) {
        return false;
    }
    return node->out[0].type != SY_TYPE_I64 ||
           kit_no(answer, SY_REASON_TYPE, "there is no arithmetic with i64 here");
}

static sy_status binary_build(gpu_build *build) {
    kit_binary binary;
    kit_answer answer;
    (void)kit_check_binary(build->node, &binary, &answer);
    return two_build(build, &(two_operands){.kind = binary.kind});
}

static bool gated_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                        kit_answer *answer) {
    kit_gated gated;
    (void)device;
    (void)op;
    return kit_check_gated(node, &gated, answer);
}

static sy_status gated_build(gpu_build *build) {
    kit_gated gated;
    kit_answer answer;
    (void)kit_check_gated(build->node, &gated, &answer);
    return two_build(build, &(two_operands){.kind = BINARY_GATED + gated.activation, .alpha = 1.0});
}

static bool clamped_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                          kit_answer *answer) {
    kit_clamped clamped;
    (void)device;
    (void)op;
    return kit_check_clamped(node, &clamped, answer);
}

static sy_status clamped_build(gpu_build *build) {
    kit_clamped clamped;
    kit_answer answer;
    (void)kit_check_clamped(build->node, &clamped, &answer);
    return two_build(build, &(two_operands){.kind = BINARY_CLAMPED_SWIGLU,
                                            .alpha = clamped.alpha,
                                            .beta = clamped.limit});
}

#define UNARY(domain_, name_) \
    { domain_, name_, 0, false, unary_check, unary_build }
#define BINARY(name_) \
    { "", name_, 0, false, binary_check, binary_build }

const gpu_operator gpu_operators_pointwise[] = {
    UNARY("", "Neg"),
    UNARY("", "Abs"),
    UNARY("", "Sqrt"),
    UNARY("", "Exp"),
    UNARY("", "Log"),
    UNARY("", "Erf"),
    UNARY("", "Tanh"),
    UNARY("", "Sigmoid"),
    UNARY("", "Reciprocal"),
    UNARY("", "Relu"),
    UNARY("", "Gelu"),
    UNARY("", "Swish"),
    UNARY("", "Clip"),
    UNARY("", "LeakyRelu"),
    UNARY("", "Elu"),
    UNARY("", "HardSigmoid"),
    UNARY("", "HardSwish"),
    UNARY("switchyard", "Softcap"),
    BINARY("Add"),
    BINARY("Sub"),
    BINARY("Mul"),
    BINARY("Div"),
    BINARY("Pow"),
    BINARY("PRelu"),
    {"switchyard", "GatedActivation", 0, false, gated_check, gated_build},
    {"switchyard", "ClampedSwiGLU", 0, false, clamped_check, clamped_build},
    {.name = NULL},
};
