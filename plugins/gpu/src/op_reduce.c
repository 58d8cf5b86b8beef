/* SPDX-License-Identifier: Apache-2.0 */
/* Means, sums and maxima over any axes, those of a global pool too. */
#include "operator_checks.h"
#include "program.h"

#define GROUP 64u
#define ALONE_MOST 64 /* elements that an invocation reduces alone */

/* numbers of a launch */
enum { NUMBER_GROUP, NUMBER_AXES, NUMBER_ALONE };

static bool reduce_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_reduce reduce;
    (void)device;
    (void)op;
    return kit_check_reduce(node, &reduce, answer) &&
           (node->in[0].type != SY_TYPE_I64 ||
            kit_no(answer, SY_REASON_TYPE, "there is no arithmetic with i64 here"));
}

static bool pool_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                       kit_answer *answer) {
    kit_global_pool pool;
    (void)device;
    (void)op;
    return kit_check_global_pool(node, &pool, answer);
}

/* The axes of a set or all others: their sizes, and behind them their strides in x. */
static uint64_t axes_write(const gpu_shape *x, uint32_t axes, uint32_t *out_words) {
    uint64_t n = 1, stride = 1;
    uint32_t n_axes = (uint32_t)__builtin_popcount(axes), at = n_axes;
    for (uint32_t d = x->rank; d-- > 0;) {
        if ((axes >> d & 1u) != 0) {
            at--;
            out_words[at] = (uint32_t)x->dims[d];
            out_words[n_axes + at] = (uint32_t)stride;
            n *= (uint64_t)x->dims[d];
        }
        stride *= (uint64_t)x->dims[d];
    }
    return n;
}

static sy_status reduce_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint32_t all = (1u << x->rank) - 1u, axes = (uint32_t)launch->numbers[NUMBER_AXES];
    uint32_t n_kept = x->rank - (uint32_t)__builtin_popcount(axes);
    uint64_t n_y = axes_write(x, all & ~axes, out_words + 2);
    out_words[0] = (uint32_t)n_y;
    out_words[1] = (uint32_t)axes_write(x, axes, out_words + 2 + 2 * n_kept);
    gpu_groups_for(job, n_y,
                   launch->numbers[NUMBER_ALONE] != 0 ? (uint64_t)launch->numbers[NUMBER_GROUP] : 1,
                   out_groups);
    return SY_OK;
}

/* Reduces input 0 to output 0. */
static sy_status axes_build(gpu_build *build, kit_reduce_kind kind, uint32_t axes) {
    const sy_value_view *x = &build->node->in[0];
    uint32_t n_axes = (uint32_t)__builtin_popcount(axes);
    int64_t n = 1;
    gpu_launch launch;
    for (uint32_t d = 0; d < x->rank; d++) {
        bool is_small = n <= ALONE_MOST && x->dims[d].bound <= ALONE_MOST;
        n = (axes >> d & 1u) == 0 ? n : is_small ? n * x->dims[d].bound : INT64_MAX;
    }
    bool alone = n <= ALONE_MOST || x->type == SY_TYPE_I32;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  x->type,
                                  kind,
                                  x->rank - n_axes,
                                  n_axes,
                                  alone};
    sy_status status = gpu_launch_begin(build, GPU_KERNEL_REDUCE, constants, 6, reduce_size,
                                        2 + 2 * x->rank, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_GROUP] = constants[0];
    launch.numbers[NUMBER_AXES] = axes;
    launch.numbers[NUMBER_ALONE] = alone;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

static sy_status reduce_build(gpu_build *build) {
    kit_reduce reduce;
    kit_answer answer;
    (void)kit_check_reduce(build->node, &reduce, &answer);
    return axes_build(build, reduce.kind, reduce.axes);
}

static sy_status pool_build(gpu_build *build) {
    kit_global_pool pool;
    kit_answer answer;
    (void)kit_check_global_pool(build->node, &pool, &answer);
    uint32_t axes = ((1u << build->node->in[0].rank) - 1u) & ~3u;
    return axes_build(build, pool.is_max ? KIT_REDUCE_MAX : KIT_REDUCE_MEAN, axes);
}

const gpu_operator gpu_operators_reduce[] = {
    {"", "ReduceMean", 0, false, reduce_check, reduce_build},
    {"", "ReduceSum", 0, false, reduce_check, reduce_build},
    {"", "ReduceMax", 0, false, reduce_check, reduce_build},
    {"", "GlobalMaxPool", 0, false, pool_check, pool_build},
    {"", "GlobalAveragePool", 0, false, pool_check, pool_build},
    {.name = NULL},
};
