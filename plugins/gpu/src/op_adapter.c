/* SPDX-License-Identifier: Apache-2.0 */
/* AdapterLinear: x A' of the rows that have adapters goes into a narrow matrix, then that times B'
 * is added to y where it lies. */
#include "adapters.h"
#include "operator_checks.h"
#include "program.h"

#include <string.h>

#define GROUP_NARROW 64u
#define COLUMNS_NARROW 2u /* of narrow that a group makes */
/* A CPU has no invocations that wait for each other's loads. */
#define GROUP_NARROW_OF_SOFTWARE 8u
#define COLUMNS_NARROW_OF_SOFTWARE 4u
#define GROUP_WIDEN 64u

/* numbers of a launch; words 0 to 5 of both kernels are the first of them */
enum {
    NUMBER_ROWS,
    NUMBER_SLAB,
    NUMBER_SLOT,
    NUMBER_RANKS,
    NUMBER_USES,
    NUMBER_COLUMNS,
    N_WORDS,
    NUMBER_K = N_WORDS,
    NUMBER_N,
    NUMBER_MAX_RANK,
    NUMBER_HAS_ROWS,
    NUMBER_PER_GROUP /* columns */
};

/* Elements between neighbouring uses of a row. */
static int64_t narrow_width(const kit_adapter_linear *adapter) {
    return (adapter->max_rank + GPU_RANK_UNIT - 1) / GPU_RANK_UNIT * GPU_RANK_UNIT;
}

static bool adapter_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                          kit_answer *answer) {
    const gpu_limits *limits = device->limits;
    kit_adapter_linear adapter;
    (void)op;
    if (!kit_check_adapter_linear(node, &adapter, answer)) {
        return false;
    }
    int64_t n_rows = node->in[1].dims[0].bound;
    uint64_t row_bytes = (uint64_t)narrow_width(&adapter) * KIT_ADAPTER_USES_MOST * sizeof(float);
    if (n_rows > (int64_t)limits->groups_most[1] ||
        (uint64_t)n_rows > limits->binding_most_bytes / row_bytes) {
        return kit_no(answer, SY_REASON_MEMORY,
                      "%lld rows times rank %lld are more than a binding spans", (long long)n_rows,
                      (long long)adapter.max_rank);
    }
    answer->score = 85; /* nothing at all in most steps: those without adapters */
    return true;
}

/* ---- sizes ---- */
/* The largest rank among the pairs of this job's adapters that lie in the slab. */
static sy_status rank_find(const gpu_job *job, const gpu_launch *launch, uint32_t *out_rank) {
    uint32_t most = 0, slab = 0, first = 0;
    for (uint32_t i = 0; i < job->job->n_adapters; i++) {
        const sy_adapter_weights *weights = job->job->adapters[i].weights;
        const sy_adapter_pair *pair = kit_adapter_pair(weights, launch->numbers[NUMBER_SLOT]);
        if (pair == NULL || !gpu_adapter_place(weights, &slab, &first) || slab != job->i_slab) {
            continue;
        }
        sy_status status = kit_adapter_fits(pair, (uint64_t)launch->numbers[NUMBER_K],
                                            (uint64_t)launch->numbers[NUMBER_N],
                                            launch->numbers[NUMBER_MAX_RANK], launch->i_node);
        if (status != SY_OK) {
            return status;
        }
        most = pair->rank > most ? pair->rank : most;
    }
    *out_rank = most;
    return SY_OK;
}

/* columns: those that the groups of a run share. */
static void groups_fill(const gpu_job *job, const gpu_launch *launch, uint64_t columns,
                        uint32_t *out_words, uint32_t out_groups[3]) {
    uint64_t per_group = (uint64_t)launch->numbers[NUMBER_PER_GROUP];
    uint32_t n_rows = (uint32_t)gpu_job_shape(job, launch, 0)->dims[0];
    for (uint32_t i = 0; i < N_WORDS; i++) {
        out_words[i] = (uint32_t)launch->numbers[i];
    }
    out_words[NUMBER_SLAB] = job->i_slab;
    out_words[NUMBER_ROWS] = n_rows;
    out_groups[0] = (uint32_t)((columns + per_group - 1) / per_group);
    out_groups[1] = launch->numbers[NUMBER_HAS_ROWS] != 0 ? n_rows : job->n_runs;
    out_groups[2] = 1;
}

static sy_status narrow_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    uint32_t rank = 0;
    sy_status status = rank_find(job, launch, &rank);
    if (status == SY_OK) {
        uint64_t whole = (rank + GPU_RANK_UNIT - 1) / GPU_RANK_UNIT * GPU_RANK_UNIT;
        groups_fill(job, launch, whole, out_words, out_groups);
        out_groups[2] = job->n_uses_most;
    }
    return status;
}

static sy_status widen_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    uint32_t rank = 0;
    sy_status status = rank_find(job, launch, &rank);
    if (status == SY_OK) {
        uint64_t n = rank > 0 ? (uint64_t)launch->numbers[NUMBER_N] : 0;
        groups_fill(job, launch, n, out_words, out_groups);
    }
    return status;
}

/* ---- launches ---- */
typedef struct half {
    gpu_kernel kernel;
    gpu_size_function size;
    uint32_t group, columns; /* of a group */
    uint32_t from, to;
    int64_t n_columns; /* P(5) */
} half;

static sy_status half_build(gpu_build *build, const kit_adapter_linear *adapter, const half *h) {
    gpu_launch launch;
    const uint32_t constants[] = {
        h->group,         0, 0, adapter->k % GPU_RANK_UNIT != 0, h->columns, GPU_RUN_ROWS,
        adapter->has_rows};
    sy_status status = gpu_launch_begin(build, h->kernel, constants, 7, h->size, N_WORDS, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[NUMBER_SLOT] = adapter->slot;
    launch.numbers[NUMBER_RANKS] = narrow_width(adapter);
    launch.numbers[NUMBER_USES] = KIT_ADAPTER_USES_MOST;
    launch.numbers[NUMBER_COLUMNS] = h->n_columns;
    launch.numbers[NUMBER_K] = adapter->k;
    launch.numbers[NUMBER_N] = adapter->n;
    launch.numbers[NUMBER_MAX_RANK] = adapter->max_rank;
    launch.numbers[NUMBER_HAS_ROWS] = adapter->has_rows;
    launch.numbers[NUMBER_PER_GROUP] = h->columns;
    gpu_launch_value(&launch, h->from);
    gpu_launch_adapters(&launch);
    gpu_launch_value(&launch, build->in[2]);
    gpu_launch_value(&launch, h->to);
    return gpu_launch_end(build, &launch);
}

static sy_status adapter_build(gpu_build *build) {
    const sy_device *device = gpu_build_device(build);
    bool is_software = device->limits->is_software;
    kit_adapter_linear adapter;
    kit_answer answer;
    uint32_t narrow = SY_NO_VALUE;
    (void)kit_check_adapter_linear(build->node, &adapter, &answer);
    sy_status status = SY_OK;
    if (!gpu_build_share(build, build->in[0], build->out[0])) {
        status = gpu_build_copy(build, build->in[0], build->out[0]);
    }
    const sy_dimension dims[2] = {
        build->node->in[1].dims[0],
        {.bound = (int64_t)KIT_ADAPTER_USES_MOST * narrow_width(&adapter)}};
    status = status == SY_OK ? gpu_build_space(build, SY_TYPE_F32, 2, dims, &narrow) : status;
    const half narrows = {
        .kernel = GPU_KERNEL_ADAPTER_NARROW,
        .size = narrow_size,
        .group = gpu_group_size(device, is_software ? GROUP_NARROW_OF_SOFTWARE : GROUP_NARROW),
        .columns = is_software ? COLUMNS_NARROW_OF_SOFTWARE : COLUMNS_NARROW,
        .from = build->in[1],
        .to = narrow,
        .n_columns = adapter.k};
    uint32_t group = gpu_group_size(device, GROUP_WIDEN);
    const half widens = {.kernel = GPU_KERNEL_ADAPTER_WIDEN,
                         .size = widen_size,
                         .group = group,
                         .columns = group,
                         .from = narrow,
                         .to = build->out[0],
                         .n_columns = adapter.n};
    status = status == SY_OK ? half_build(build, &adapter, &narrows) : status;
    return status == SY_OK ? half_build(build, &adapter, &widens) : status;
}

const gpu_operator gpu_operators_adapter[] = {
    {"switchyard", "AdapterLinear", 0, false, adapter_check, adapter_build},
    {.name = NULL},
};
