/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mixtures of experts. Few rows take their experts one by one; many are put in the order of their
 * experts first, so that the weights of one serve all of its rows.
 */
#include "linear.h"
#include "operator_checks.h"

#define ROUTER_GROUP 64u
#define ORDER_GROUP 128u
#define SUM_GROUP 64u

/* ---- ExpertRouter ---- */
static uint32_t router_group(const sy_device *device) {
    return gpu_group_size(device, device->limits->is_software ? 8 : ROUTER_GROUP);
}

static bool router_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_expert_router router;
    (void)op;
    if (!kit_check_expert_router(node, &router, answer)) {
        return false;
    }
    int64_t n_words = 3 * (int64_t)router_group(device) + 2 * router.n_experts + router.n_used;
    if (n_words * 4 > (int64_t)device->limits->shared_most_bytes) {
        return kit_no(answer, SY_REASON_SHAPE, "%lld experts; a group shares %u bytes",
                      (long long)router.n_experts, device->limits->shared_most_bytes);
    }
    return true;
}

static sy_status router_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, 2)->n_elements / (uint64_t)launch->numbers[0];
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)launch->numbers[1];
    gpu_groups_for(job, n, 1, out_groups);
    return SY_OK;
}

static sy_status router_build(gpu_build *build) {
    kit_expert_router router;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_expert_router(build->node, &router, &answer);
    const uint32_t constants[] = {router_group(gpu_build_device(build)),
                                  build->node->in[0].type,
                                  router.gating,
                                  router.has_bias,
                                  router.normalize,
                                  (uint32_t)router.n_experts,
                                  (uint32_t)router.n_used};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_EXPERT_ROUTER, constants, 7, router_size, 2, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = router.n_used;
    launch.numbers[1] = gpu_float_bits(router.scale);
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, build->out[0]);
    gpu_launch_value(&launch, build->out[1]);
    return gpu_launch_end(build, &launch);
}

/* ---- ExpertLinear ---- */
static bool expert_linear_check(const sy_device *device, const kit_node *node,
                                const gpu_operator *op, kit_answer *answer) {
    kit_expert_linear linear;
    const gpu_limits *limits = device->limits;
    (void)op;
    if (!kit_check_expert_linear(node, &linear, answer) ||
        !gpu_product_check(device, &node->in[1], "w", answer) ||
        (linear.has_bias && !kit_require_weight(&node->in[3], "bias", answer))) {
        return false;
    }
    if (linear.n_experts * 4 > (int64_t)limits->shared_most_bytes ||
        gpu_product_most_unordered(device, linear.n_experts) > (int64_t)limits->groups_most[2]) {
        return kit_no(answer, SY_REASON_SHAPE, "%lld experts are too many for a group",
                      (long long)linear.n_experts);
    }
    answer->score = 75;
    return true;
}

static sy_status order_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, 0)->n_elements;
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)launch->numbers[0];
    out_groups[0] = n > (uint64_t)launch->numbers[1];
    out_groups[1] = 1;
    out_groups[2] = 1;
    return SY_OK;
}

/* Where the rows of each expert begin and the last's end, and the rows. */
static sy_dimension order_dimension(const kit_node *node, const kit_expert_linear *linear) {
    sy_dimension d = node->in[2].dims[0];
    d.bound = d.bound * linear->n_used + linear->n_experts + 1;
    d.scale *= (int32_t)linear->n_used;
    d.offset = d.offset * linear->n_used + linear->n_experts + 1;
    return d;
}

static sy_status order_build(gpu_build *build, const kit_expert_linear *linear,
                             gpu_product *product) {
    gpu_launch launch;
    int64_t most_unordered = gpu_product_most_unordered(gpu_build_device(build), linear->n_experts);
    if (product->most_rows <= most_unordered) {
        return SY_OK;
    }
    const sy_dimension dim = order_dimension(build->node, linear);
    sy_status status = gpu_build_space(build, SY_TYPE_I32, 1, &dim, &product->order);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), ORDER_GROUP),
                                  (uint32_t)linear->n_experts};
    status = status == SY_OK ? gpu_launch_begin(build, GPU_KERNEL_EXPERT_ORDER, constants, 2,
                                                order_size, 2, &launch)
                             : status;
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = linear->n_experts;
    launch.numbers[1] = most_unordered;
    gpu_launch_value(&launch, product->experts);
    gpu_launch_value(&launch, product->order);
    return gpu_launch_end(build, &launch);
}

static sy_status expert_linear_build(gpu_build *build) {
    kit_expert_linear linear;
    kit_answer answer;
    (void)kit_check_expert_linear(build->node, &linear, &answer);
    gpu_product product = {.x = build->in[0],
                           .w = build->in[1],
                           .bias = build->in[3],
                           .y = build->out[0],
                           .k = linear.k,
                           .n = linear.n,
                           .most_rows = kit_bound_count(&build->node->in[2]),
                           .n_experts = linear.n_experts,
                           .n_per_x = linear.has_row_each ? 1 : linear.n_used,
                           .experts = build->in[2],
                           .order = SY_NO_VALUE};
    sy_status status = order_build(build, &linear, &product);
    return status == SY_OK ? gpu_product_build(build, &product) : status;
}

/* ---- ExpertSum ---- */
static bool expert_sum_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                             kit_answer *answer) {
    kit_expert_sum sum;
    (void)device;
    (void)op;
    return kit_check_expert_sum(node, &sum, answer);
}

static sy_status expert_sum_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                 uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, 2)->n_elements;
    uint64_t per_word = 4 / (uint64_t)launch->numbers[2];
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)launch->numbers[0];
    out_words[2] = (uint32_t)launch->numbers[1];
    gpu_groups_for(job, (n + per_word - 1) / per_word, (uint64_t)launch->numbers[3], out_groups);
    return SY_OK;
}

static sy_status expert_sum_build(gpu_build *build) {
    kit_expert_sum sum;
    kit_answer answer;
    gpu_launch launch;
    sy_element_type type = build->node->in[0].type;
    (void)kit_check_expert_sum(build->node, &sum, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), SUM_GROUP), type};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_EXPERT_SUM, constants, 2, expert_sum_size, 3, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = sum.n;
    launch.numbers[1] = sum.n_used;
    launch.numbers[2] = kit_type_block_bytes(type);
    launch.numbers[3] = constants[0];
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_experts[] = {
    {.domain = "switchyard", .name = "ExpertRouter", .check = router_check, .build = router_build},
    {.domain = "switchyard",
     .name = "ExpertLinear",
     .takes_pieces = true,
     .check = expert_linear_check,
     .build = expert_linear_build},
    {.domain = "switchyard",
     .name = "ExpertSum",
     .check = expert_sum_check,
     .build = expert_sum_build},
    {.name = NULL},
};
