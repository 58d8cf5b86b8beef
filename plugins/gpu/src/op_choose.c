/* SPDX-License-Identifier: Apache-2.0 */
/* ArgMax and TopK: the first is the second with k 1 and without values. Long axes are shared out to
 * several groups, whose best elements a second launch compares. */
#include "operator_checks.h"
#include "program.h"

#define GROUP 128u
#define SHARE_LEAST 4096 /* elements of a share */
#define SHARES_MOST 64
#define K_MOST 256 /* every one costs a look at the elements of an invocation */

/* S3 of top_k.kernel */
enum {
    FLAG_SMALLEST = 1,
    FLAG_LAST_OF_EQUALS = 2,
    FLAG_FROM_CANDIDATES = 4,
    FLAG_TO_CANDIDATES = 8,
    FLAG_VALUES = 16
};

/* numbers of a launch */
enum { NUMBER_AXIS, NUMBER_SHARE, NUMBER_SHARES, NUMBER_CANDIDATES };

static bool type_check(const kit_node *node, kit_answer *answer) {
    return node->in[0].type != SY_TYPE_I64 ||
           kit_no(answer, SY_REASON_TYPE, "i64 is not compared here");
}

static bool arg_max_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                          kit_answer *answer) {
    kit_arg_max arg_max;
    (void)device;
    (void)op;
    return kit_check_arg_max(node, &arg_max, answer) && type_check(node, answer);
}

static bool top_k_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                        kit_answer *answer) {
    kit_top_k top_k;
    (void)device;
    (void)op;
    if (!kit_check_top_k(node, &top_k, answer) || !type_check(node, answer)) {
        return false;
    }
    return top_k.k <= K_MOST || kit_no(answer, SY_REASON_SHAPE, "k is %lld, at most %d run here",
                                       (long long)top_k.k, K_MOST);
}

static sy_status choose_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t stride = 1;
    for (uint32_t d = (uint32_t)launch->numbers[NUMBER_AXIS] + 1; d < x->rank; d++) {
        stride *= (uint64_t)x->dims[d];
    }
    uint64_t n = (uint64_t)x->dims[launch->numbers[NUMBER_AXIS]], sets = x->n_elements / n;
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)stride;
    out_words[2] = (uint32_t)sets;
    out_words[3] = (uint32_t)launch->numbers[NUMBER_SHARE];
    out_words[4] = (uint32_t)launch->numbers[NUMBER_SHARES];
    out_words[5] = (uint32_t)launch->numbers[NUMBER_CANDIDATES];
    gpu_groups_for(job, sets * out_words[4], 1, out_groups);
    return SY_OK;
}

/* What is chosen of input 0; values SY_NO_VALUE where they are not wanted. */
typedef struct choice {
    uint32_t axis, k, flags;
    uint32_t values, indices, candidates;
    int64_t share, n_shares, n_candidates; /* elements of a share; of a set */
} choice;

static sy_status choose_launch(gpu_build *build, const choice *c) {
    const sy_device *device = gpu_build_device(build);
    gpu_launch launch;
    const uint32_t constants[] = {gpu_group_size(device, device->limits->is_software ? 8 : GROUP),
                                  build->node->in[0].type, c->k, c->flags};
    bool reads = (c->flags & FLAG_FROM_CANDIDATES) != 0;
    bool writes = (c->flags & FLAG_TO_CANDIDATES) != 0;
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_TOP_K, constants, 4, choose_size, 6, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_AXIS] = c->axis;
    launch.numbers[NUMBER_SHARE] = c->share;
    launch.numbers[NUMBER_SHARES] = reads ? 1 : c->n_shares;
    launch.numbers[NUMBER_CANDIDATES] = c->n_candidates;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, reads ? c->candidates : SY_NO_VALUE);
    gpu_launch_value(&launch, writes ? SY_NO_VALUE : c->values);
    gpu_launch_value(&launch, writes ? SY_NO_VALUE : c->indices);
    gpu_launch_value(&launch, writes ? c->candidates : SY_NO_VALUE);
    return gpu_launch_end(build, &launch);
}

static sy_status choose_build(gpu_build *build, choice *c) {
    const sy_value_view *x = &build->node->in[0];
    int64_t n = x->dims[c->axis].bound;
    sy_dimension dims[SY_MAX_RANK];
    c->n_shares = (n + SHARE_LEAST - 1) / SHARE_LEAST;
    c->n_shares = c->n_shares < SHARES_MOST ? c->n_shares : SHARES_MOST;
    c->share = (n + c->n_shares - 1) / c->n_shares;
    c->flags |= c->values != SY_NO_VALUE ? FLAG_VALUES : 0;
    if (c->n_shares == 1) {
        return choose_launch(build, c);
    }
    c->n_candidates = c->n_shares * c->k;
    for (uint32_t d = 0; d < x->rank; d++) {
        dims[d] = x->dims[d];
    }
    dims[c->axis].bound = 2 * c->n_candidates;
    sy_status status = gpu_build_space(build, SY_TYPE_I32, x->rank, dims, &c->candidates);
    uint32_t flags = c->flags;
    if (status == SY_OK) {
        c->flags = flags | FLAG_TO_CANDIDATES;
        status = choose_launch(build, c);
    }
    c->flags = flags | FLAG_FROM_CANDIDATES;
    return status == SY_OK ? choose_launch(build, c) : status;
}

static sy_status arg_max_build(gpu_build *build) {
    kit_arg_max arg_max;
    kit_answer answer;
    (void)kit_check_arg_max(build->node, &arg_max, &answer);
    choice c = {.axis = arg_max.axis,
                .k = 1,
                .flags = arg_max.takes_last ? FLAG_LAST_OF_EQUALS : 0,
                .values = SY_NO_VALUE,
                .indices = build->out[0]};
    return choose_build(build, &c);
}

static sy_status top_k_build(gpu_build *build) {
    kit_top_k top_k;
    kit_answer answer;
    (void)kit_check_top_k(build->node, &top_k, &answer);
    choice c = {.axis = top_k.axis,
                .k = (uint32_t)top_k.k,
                .flags = top_k.is_largest ? 0 : FLAG_SMALLEST,
                .values = build->out[0],
                .indices = build->out[1]};
    return choose_build(build, &c);
}

const gpu_operator gpu_operators_choose[] = {
    {"", "ArgMax", 0, false, arg_max_check, arg_max_build},
    {"", "TopK", 0, false, top_k_check, top_k_build},
    {.name = NULL},
};
