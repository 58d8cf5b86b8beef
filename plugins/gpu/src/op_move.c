/* SPDX-License-Identifier: Apache-2.0 */
/* Elements in other places, whatever they mean. Most operators here are strides: of where elements
 * come from, and of where they go to. */
#include "operator_checks.h"
#include "program.h"

#define GROUP 64u

/* ---- copies ---- */
static sy_status copy_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                           uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0);
    uint64_t n_bytes = x->n_elements * (uint64_t)launch->numbers[0];
    out_words[0] = (uint32_t)(n_bytes / 4);
    out_words[1] = (uint32_t)(n_bytes % 4);
    gpu_groups_for(job, (n_bytes + 3) / 4, (uint64_t)launch->numbers[1], out_groups);
    return SY_OK;
}

sy_status gpu_build_copy(gpu_build *build, uint32_t i_from, uint32_t i_to) {
    gpu_launch launch;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP)};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_COPY_WORDS, constants, 1, copy_size, 2, &launch);
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = kit_type_block_bytes(gpu_build_value(build, i_from)->type);
    launch.numbers[1] = constants[0];
    gpu_launch_value(&launch, i_from);
    gpu_launch_value(&launch, i_to);
    return gpu_launch_end(build, &launch);
}

/* ---- strides ---- */
/* What moves: a box of elements, from places in x to places in y. */
typedef struct box {
    uint32_t rank;
    int64_t dims[SY_MAX_RANK], from[SY_MAX_RANK], to[SY_MAX_RANK];
    int64_t first_from, first_to;
} box;
typedef void (*box_function)(const gpu_job *job, const gpu_launch *launch, box *out);

static void strides_of(const gpu_shape *shape, int64_t *out) {
    int64_t stride = 1;
    for (uint32_t d = shape->rank; d-- > 0;) {
        out[d] = stride;
        stride *= shape->dims[d];
    }
}

static void box_write(gpu_job *job, const gpu_launch *launch, const box *b, uint32_t *out_words,
                      uint32_t out_groups[3]) {
    uint64_t n = 1;
    for (uint32_t d = 0; d < b->rank; d++) {
        n *= (uint64_t)b->dims[d];
        out_words[3 + d] = (uint32_t)b->dims[d];
        out_words[3 + b->rank + d] = (uint32_t)b->from[d];
        out_words[3 + 2 * b->rank + d] = (uint32_t)b->to[d];
    }
    out_words[0] = (uint32_t)n;
    out_words[1] = (uint32_t)b->first_from;
    out_words[2] = (uint32_t)b->first_to;
    gpu_groups_for(job, n, (uint64_t)launch->numbers[0], out_groups);
}

/* numbers[0] group, [1] which box, then what the box needs. */
enum { BOX_TRANSPOSE, BOX_PIECE_OF_X, BOX_PIECE_OF_Y, BOX_SLICE, BOX_EXPAND, BOX_BLOCKS };

static void transpose_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    int64_t strides[SY_MAX_RANK];
    strides_of(x, strides);
    strides_of(y, out->to);
    for (uint32_t d = 0; d < y->rank; d++) {
        out->dims[d] = y->dims[d];
        out->from[d] = strides[launch->numbers[2 + d]];
    }
}

/* A piece along axis numbers[2]: of x from index numbers[3] on. */
static void piece_of_x_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    strides_of(x, out->from);
    strides_of(y, out->to);
    for (uint32_t d = 0; d < y->rank; d++) {
        out->dims[d] = y->dims[d];
    }
    out->first_from = launch->numbers[3] * out->from[launch->numbers[2]];
}

/* Of y, behind the pieces of numbers[3] other values, whose indexes follow. */
static void piece_of_y_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    int64_t first = 0;
    for (int64_t i = 0; i < launch->numbers[3]; i++) {
        first += job->shapes[launch->numbers[4 + i]].dims[launch->numbers[2]];
    }
    strides_of(x, out->from);
    strides_of(y, out->to);
    for (uint32_t d = 0; d < x->rank; d++) {
        out->dims[d] = x->dims[d];
    }
    out->first_to = first * out->to[launch->numbers[2]];
}

/* numbers[2] and on: of each axis the step, and below it in 32 bits the first index. */
static void slice_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    int64_t strides[SY_MAX_RANK];
    const int64_t *steps = launch->numbers + 2;
    strides_of(x, strides);
    strides_of(y, out->to);
    out->first_from = 0;
    for (uint32_t d = 0; d < y->rank; d++) {
        int64_t step = steps[d] >> 32, first = (int64_t)(int32_t)(uint32_t)steps[d];
        out->dims[d] = y->dims[d];
        out->from[d] = strides[d] * step;
        out->first_from += strides[d] * first;
    }
}

static void expand_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    kit_broadcast_strides(x->rank, x->dims, y->rank, out->from);
    strides_of(y, out->to);
    for (uint32_t d = 0; d < y->rank; d++) {
        out->dims[d] = y->dims[d];
    }
}

/* Between [n, c, h, w] deep and [n, c', h * size, w * size]: numbers[2] size, [3] to space, [4]
 * channels first (CRD). Moves [n, c', size, size, h, w]. */
static void blocks_box(const gpu_job *job, const gpu_launch *launch, box *out) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    int64_t size = launch->numbers[2];
    bool to_space = launch->numbers[3] != 0, is_crd = launch->numbers[4] != 0;
    const gpu_shape *deep = to_space ? x : y, *wide = to_space ? y : x;
    int64_t h = deep->dims[2], w = deep->dims[3], channels = wide->dims[1];
    const int64_t dims[6] = {deep->dims[0], channels, size, size, h, w};
    int64_t plane = h * w, per_element = is_crd ? plane : plane * channels;
    const int64_t in_deep[6] = {deep->dims[1] * plane,
                                is_crd ? plane * size * size : plane,
                                per_element * size,
                                per_element,
                                w,
                                1};
    int64_t wide_row = w * size;
    const int64_t in_wide[6] = {
        channels * h * size * wide_row, h * size * wide_row, wide_row, 1, size * wide_row, size};
    out->rank = 6;
    for (uint32_t d = 0; d < 6; d++) {
        out->dims[d] = dims[d];
        out->from[d] = to_space ? in_deep[d] : in_wide[d];
        out->to[d] = to_space ? in_wide[d] : in_deep[d];
    }
}

static const box_function boxes[] = {
    [BOX_TRANSPOSE] = transpose_box,   [BOX_PIECE_OF_X] = piece_of_x_box,
    [BOX_PIECE_OF_Y] = piece_of_y_box, [BOX_SLICE] = slice_box,
    [BOX_EXPAND] = expand_box,         [BOX_BLOCKS] = blocks_box};

static sy_status box_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                          uint32_t out_groups[3]) {
    box b = {.rank = gpu_job_shape(job, launch, 1)->rank};
    boxes[launch->numbers[1]](job, launch, &b);
    box_write(job, launch, &b, out_words, out_groups);
    return SY_OK;
}

/* Begins a launch that moves a box from in to out; the caller fills numbers[2] and on. */
static sy_status box_begin(gpu_build *build, uint32_t which, uint32_t i_in, uint32_t i_out,
                           gpu_launch *out_launch) {
    const kit_value *y = gpu_build_value(build, i_out);
    uint32_t rank = which == BOX_BLOCKS ? 6 : y->rank;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  kit_type_block_bytes(y->type), rank};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_MOVE, constants, 3, box_size, 3 + 3 * rank, out_launch);
    out_launch->numbers[0] = constants[0];
    out_launch->numbers[1] = which;
    gpu_launch_value(out_launch, i_in);
    gpu_launch_value(out_launch, i_out);
    return status;
}

/* ---- operators ---- */
static sy_status transpose_build(gpu_build *build) {
    kit_transpose transpose;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_transpose(build->node, &transpose, &answer);
    sy_status status = box_begin(build, BOX_TRANSPOSE, build->in[0], build->out[0], &launch);
    for (uint32_t d = 0; d < build->node->out[0].rank; d++) {
        launch.numbers[2 + d] = transpose.from[d];
    }
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status concat_build(gpu_build *build) {
    kit_concat concat;
    kit_answer answer;
    sy_status status = SY_OK;
    (void)kit_check_concat(build->node, &concat, &answer);
    for (uint32_t i = 0; status == SY_OK && i < build->node->n_in; i++) {
        gpu_launch launch;
        status = box_begin(build, BOX_PIECE_OF_Y, build->in[i], build->out[0], &launch);
        launch.numbers[2] = concat.axis;
        launch.numbers[3] = i;
        for (uint32_t k = 0; k < i; k++) {
            launch.numbers[4 + k] = build->in[k];
        }
        status = status == SY_OK ? gpu_launch_end(build, &launch) : status;
    }
    return status;
}

static sy_status split_build(gpu_build *build) {
    kit_split split;
    kit_answer answer;
    sy_status status = SY_OK;
    int64_t first = 0;
    (void)kit_check_split(build->node, &split, &answer);
    for (uint32_t i = 0; status == SY_OK && i < build->node->n_out; i++) {
        gpu_launch launch;
        status = box_begin(build, BOX_PIECE_OF_X, build->in[0], build->out[i], &launch);
        launch.numbers[2] = split.axis;
        launch.numbers[3] = first;
        first += split.sizes[i];
        status = status == SY_OK ? gpu_launch_end(build, &launch) : status;
    }
    return status;
}

static sy_status slice_build(gpu_build *build) {
    kit_slice slice;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_slice(build->node, &slice, &answer);
    sy_status status = box_begin(build, BOX_SLICE, build->in[0], build->out[0], &launch);
    for (uint32_t d = 0; d < build->node->out[0].rank; d++) {
        launch.numbers[2 + d] =
            (int64_t)((uint64_t)slice.step[d] << 32) | (int64_t)(uint32_t)(int32_t)slice.first[d];
    }
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status expand_build(gpu_build *build) {
    gpu_launch launch;
    sy_status status = box_begin(build, BOX_EXPAND, build->in[0], build->out[0], &launch);
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status blocks_build(gpu_build *build) {
    kit_depth_space blocks;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_depth_space(build->node, &blocks, &answer);
    sy_status status = box_begin(build, BOX_BLOCKS, build->in[0], build->out[0], &launch);
    launch.numbers[2] = blocks.size;
    launch.numbers[3] = blocks.to_space;
    launch.numbers[4] = blocks.is_crd;
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status gather_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 2);
    uint64_t inner = 1;
    for (uint32_t d = (uint32_t)launch->numbers[1] + 1; d < x->rank; d++) {
        inner *= (uint64_t)x->dims[d];
    }
    out_words[0] = (uint32_t)y->n_elements;
    out_words[1] = (uint32_t)x->dims[launch->numbers[1]];
    out_words[2] = (uint32_t)gpu_job_shape(job, launch, 1)->n_elements;
    out_words[3] = (uint32_t)inner;
    gpu_groups_for(job, y->n_elements, (uint64_t)launch->numbers[0], out_groups);
    return SY_OK;
}

static sy_status gather_build(gpu_build *build) {
    kit_gather gather;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_gather(build->node, &gather, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  gather.element_bytes,
                                  build->node->in[1].type == SY_TYPE_I64 ? 2 : 1};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_GATHER, constants, 3, gather_size, 4, &launch);
    launch.numbers[0] = constants[0];
    launch.numbers[1] = gather.axis;
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->in[1]);
    gpu_launch_value(&launch, build->out[0]);
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status where_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    const gpu_shape *y = gpu_job_shape(job, launch, 3);
    out_words[0] = (uint32_t)y->n_elements;
    for (uint32_t k = 0; k < 3; k++) {
        const gpu_shape *x = gpu_job_shape(job, launch, k);
        int64_t strides[SY_MAX_RANK];
        kit_broadcast_strides(x->rank, x->dims, y->rank, strides);
        for (uint32_t d = 0; d < y->rank; d++) {
            out_words[1 + d] = (uint32_t)y->dims[d];
            out_words[1 + (k + 1) * y->rank + d] = (uint32_t)strides[d];
        }
    }
    gpu_groups_for(job, y->n_elements, (uint64_t)launch->numbers[0], out_groups);
    return SY_OK;
}

static sy_status where_build(gpu_build *build) {
    kit_where where;
    kit_answer answer;
    gpu_launch launch;
    uint32_t rank = build->node->out[0].rank;
    (void)kit_check_where(build->node, &where, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP),
                                  where.element_bytes, rank};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_WHERE, constants, 3, where_size, 1 + 4 * rank, &launch);
    launch.numbers[0] = constants[0];
    for (uint32_t i = 0; i < 3; i++) {
        gpu_launch_value(&launch, build->in[i]);
    }
    gpu_launch_value(&launch, build->out[0]);
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

static sy_status cast_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                           uint32_t out_groups[3]) {
    const gpu_shape *y = gpu_job_shape(job, launch, 1);
    out_words[0] = (uint32_t)y->n_elements;
    gpu_groups_for(job, y->n_elements, (uint64_t)launch->numbers[0], out_groups);
    return SY_OK;
}

static sy_status cast_build(gpu_build *build) {
    kit_cast cast;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_cast(build->node, &cast, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP), cast.from,
                                  cast.to};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_CAST, constants, 3, cast_size, 1, &launch);
    launch.numbers[0] = constants[0];
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

/* ---- checks ---- */
#define CHECK(name)                                                         \
    static bool name##_check(const sy_device *device, const kit_node *node, \
                             const gpu_operator *op, kit_answer *answer) {  \
        kit_##name parsed;                                                  \
        (void)device;                                                       \
        (void)op;                                                           \
        return kit_check_##name(node, &parsed, answer);                     \
    }
CHECK(transpose)
CHECK(concat)
CHECK(split)
CHECK(expand)
CHECK(depth_space)
CHECK(gather)
CHECK(where)
CHECK(cast)
CHECK(view)

static bool slice_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                        kit_answer *answer) {
    kit_slice slice;
    (void)device;
    (void)op;
    if (!kit_check_slice(node, &slice, answer)) {
        return false;
    }
    bool fits = true;
    for (uint32_t d = 0; d < node->out[0].rank; d++) {
        fits = fits && slice.step[d] == (int32_t)slice.step[d] &&
               slice.first[d] == (int32_t)slice.first[d];
    }
    return fits || kit_no(answer, SY_REASON_SHAPE, "a slice begins or steps too far away");
}

const gpu_operator gpu_operators_move[] = {
    {"", "Identity", 0, false, view_check, NULL},
    {"", "Reshape", 0, false, view_check, NULL},
    {"", "Squeeze", 0, false, view_check, NULL},
    {"", "Unsqueeze", 0, false, view_check, NULL},
    {"", "Transpose", 0, false, transpose_check, transpose_build},
    {"", "Concat", 0, false, concat_check, concat_build},
    {"", "Split", 0, false, split_check, split_build},
    {"", "Slice", 0, false, slice_check, slice_build},
    {"", "Expand", 0, false, expand_check, expand_build},
    {"", "DepthToSpace", 0, false, depth_space_check, blocks_build},
    {"", "SpaceToDepth", 0, false, depth_space_check, blocks_build},
    {"", "Gather", 0, false, gather_check, gather_build},
    {"", "Where", 0, false, where_check, where_build},
    {"", "Cast", 0, false, cast_check, cast_build},
    {.name = NULL},
};
