/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Pad. Where the elements of a resized dimension come from is computed here, once, in
 * the f32 of the host: docs/operators.md has every rounding of it, and a device promises less. */
#include "operator_checks.h"
#include "program.h"

#include <math.h>
#include <string.h>

#define GROUP 64u
#define TAPS_MOST 4u
#define TABLE_MOST (1 << 16) /* elements of a resized dimension */

/* ---- Resize ---- */
static bool resize_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_resize resize;
    (void)device;
    (void)op;
    if (!kit_check_resize(node, &resize, answer)) {
        return false;
    }
    return (resize.length[0] <= TABLE_MOST && resize.length[1] <= TABLE_MOST) ||
           kit_no(answer, SY_REASON_SHAPE, "a dimension is resized to more than %d", TABLE_MOST);
}

/* Height or width of an image, of which a table is made. */
typedef struct axis_table {
    const kit_resize *resize;
    uint32_t at, n_taps;
    int64_t n_in, n_out;
} axis_table;

static float place_of(const axis_table *t, int64_t i) {
    const kit_resize *r = t->resize;
    float x = (float)i, scale = r->scale[t->at];
    float length = r->length[t->at];
    switch (r->placing) {
    case KIT_PLACE_ALIGN_CORNERS:
        return length == 1.0f ? 0.0f : x * (float)(t->n_in - 1) / (length - 1.0f);
    case KIT_PLACE_ASYMMETRIC:
        return x / scale;
    case KIT_PLACE_PYTORCH_HALF_PIXEL:
        return length > 1.0f ? (x + 0.5f) / scale - 0.5f : 0.0f;
    default:
        return (x + 0.5f) / scale - 0.5f;
    }
}

static float nearest_to(kit_resize_rounding rounding, float place) {
    float below = floorf(place), rest = place - below;
    bool is_above = rounding == KIT_ROUND_CEIL          ? rest > 0.0f
                    : rounding == KIT_ROUND_PREFER_CEIL ? rest >= 0.5f
                                                        : rest > 0.5f;
    return is_above && rounding != KIT_ROUND_FLOOR ? below + 1.0f : below;
}

/* Of an element at a distance, by cubic convolution. */
static double cubic_weight(double a, double distance) {
    double d = fabs(distance);
    return d <= 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
                    : ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
}

/* One row of the table: places, then weights. */
static void taps_write(const axis_table *t, int64_t i, uint32_t *out_row) {
    float place = place_of(t, i), below = floorf(place);
    double rest = (double)(place - below);
    int64_t first = (int64_t)below;
    if (t->resize->mode == KIT_RESIZE_NEAREST) {
        first = (int64_t)nearest_to(t->resize->rounding, place);
    } else if (t->resize->mode == KIT_RESIZE_CUBIC) {
        first--;
    }
    for (uint32_t k = 0; k < t->n_taps; k++) {
        int64_t from = first + (int64_t)k; /* past the edge, the edge */
        double weight = 1.0;
        if (t->resize->mode == KIT_RESIZE_LINEAR) {
            weight = k == 0 ? 1.0 - rest : rest;
        } else if (t->resize->mode == KIT_RESIZE_CUBIC) {
            weight = cubic_weight(t->resize->cubic_a, rest + 1.0 - (double)k);
        }
        out_row[k] = (uint32_t)(from < 0 ? 0 : from >= t->n_in ? t->n_in - 1 : from);
        out_row[t->n_taps + k] = gpu_float_bits(weight);
    }
}

static sy_status table_add(gpu_build *build, const axis_table *t, gpu_launch *launch) {
    const gpu_weight *weight = NULL;
    size_t n_bytes = (size_t)t->n_out * 2 * t->n_taps * sizeof(uint32_t);
    uint32_t *words = kit_alloc(n_bytes);
    if (words == NULL) {
        return kit_no_tables();
    }
    for (int64_t i = 0; i < t->n_out; i++) {
        taps_write(t, i, words + (size_t)i * 2 * t->n_taps);
    }
    sy_status status =
        gpu_build_made(build, words, SY_TYPE_I32, 1, (uint64_t)t->n_out * 2 * t->n_taps, &weight);
    kit_release(words, n_bytes);
    if (status == SY_OK) {
        gpu_launch_weight(launch, weight, 0);
    }
    return status;
}

/* numbers[0]: group. */
static sy_status resize_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                             uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 3);
    out_words[0] = (uint32_t)y->n_elements;
    out_words[1] = x->rank == 4 ? (uint32_t)x->dims[2] : 1;
    out_words[2] = (uint32_t)x->dims[x->rank - 1];
    out_words[3] = y->rank == 4 ? (uint32_t)y->dims[2] : 1;
    out_words[4] = (uint32_t)y->dims[y->rank - 1];
    gpu_groups_for(job, y->n_elements, (uint64_t)launch->numbers[0], out_groups);
    return SY_OK;
}

static sy_status resize_build(gpu_build *build) {
    static const uint32_t taps_of_mode[] = {1, 2, TAPS_MOST};
    const sy_value_view *x = &build->node->in[0], *y = &build->node->out[0];
    kit_resize resize;
    kit_answer answer;
    gpu_launch launch;
    (void)kit_check_resize(build->node, &resize, &answer);
    uint32_t n_taps = taps_of_mode[resize.mode];
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP), x->type,
                                  resize.length[0] > 0.0f ? n_taps : 0,
                                  resize.length[1] > 0.0f ? n_taps : 0,
                                  resize.mode == KIT_RESIZE_NEAREST};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_RESIZE, constants, 5, resize_size, 5, &launch);
    launch.numbers[0] = constants[0];
    gpu_launch_value(&launch, build->in[0]);
    for (uint32_t i = 0; status == SY_OK && i < 2; i++) {
        uint32_t d = x->rank - 2 + i;
        axis_table table = {&resize, i, n_taps, x->dims[d].bound, y->dims[d].bound};
        if (resize.length[i] > 0.0f) {
            status = table_add(build, &table, &launch);
        } else {
            gpu_launch_value(&launch, SY_NO_VALUE);
        }
    }
    gpu_launch_value(&launch, build->out[0]);
    return status == SY_OK ? gpu_launch_end(build, &launch) : status;
}

/* ---- Pad ---- */
/* numbers of a launch */
enum { NUMBER_GROUP, NUMBER_FILL, NUMBER_FILL_HIGH, NUMBER_BEFORE };
_Static_assert(NUMBER_BEFORE + SY_MAX_RANK <= GPU_LAUNCH_NUMBERS, "a pad for each dimension");

static bool pad_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                      kit_answer *answer) {
    kit_pad pad;
    (void)device;
    (void)op;
    return kit_check_pad(node, &pad, answer);
}

static sy_status pad_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                          uint32_t out_groups[3]) {
    const gpu_shape *x = gpu_job_shape(job, launch, 0), *y = gpu_job_shape(job, launch, 1);
    int64_t stride = 1;
    out_words[0] = (uint32_t)y->n_elements;
    out_words[1] = (uint32_t)launch->numbers[NUMBER_FILL];
    out_words[2] = (uint32_t)launch->numbers[NUMBER_FILL_HIGH];
    for (uint32_t d = y->rank; d-- > 0;) {
        out_words[3 + d] = (uint32_t)y->dims[d];
        out_words[3 + y->rank + d] = (uint32_t)x->dims[d];
        out_words[3 + 2 * y->rank + d] = (uint32_t)stride;
        out_words[3 + 3 * y->rank + d] = (uint32_t)launch->numbers[NUMBER_BEFORE + d];
        stride *= x->dims[d];
    }
    gpu_groups_for(job, y->n_elements, (uint64_t)launch->numbers[NUMBER_GROUP], out_groups);
    return SY_OK;
}

static sy_status pad_build(gpu_build *build) {
    kit_pad pad;
    kit_answer answer;
    gpu_launch launch;
    uint32_t rank = build->node->out[0].rank, fill[2] = {0, 0};
    (void)kit_check_pad(build->node, &pad, &answer);
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), GROUP), pad.element_bytes,
                                  rank, pad.mode};
    sy_status status =
        gpu_launch_begin(build, GPU_KERNEL_PAD, constants, 4, pad_size, 3 + 4 * rank, &launch);
    if (status != SY_OK) {
        return status;
    }
    memcpy(fill, pad.fill, pad.element_bytes);
    launch.numbers[NUMBER_GROUP] = constants[0];
    launch.numbers[NUMBER_FILL] = fill[0];
    launch.numbers[NUMBER_FILL_HIGH] = fill[1];
    for (uint32_t d = 0; d < rank; d++) {
        launch.numbers[NUMBER_BEFORE + d] = pad.before[d];
    }
    gpu_launch_value(&launch, build->in[0]);
    gpu_launch_value(&launch, build->out[0]);
    return gpu_launch_end(build, &launch);
}

const gpu_operator gpu_operators_spatial[] = {
    {"", "Resize", 0, false, resize_check, resize_build},
    {"", "Pad", 0, false, pad_check, pad_build},
    {.name = NULL},
};
