/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: where an element of the output lies in the input is computed in f32, as docs/operators.md
 * says; what it becomes in f64. A task computes one row of one output plane. */
#include "reference/element.h"
#include "reference/operators.h"
#include "reference/stencil.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define LARGEST (1 << 24) /* of a dimension, so that f32 holds it */
#define TAPS_MAX 4

enum { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL };
enum { PLACE_HALF_PIXEL, PLACE_PYTORCH, PLACE_CORNERS, PLACE_ASYMMETRIC };

/* Which of `words` a string attribute is; the first one when it is absent. */
static bool read_word(sy__facts *facts, const char *name, const char *const *words,
                      uint32_t n_words, uint32_t *out) {
    const char *text = NULL;
    if (!sy__ref_attribute_string(facts, name, words[0], &text)) {
        return false;
    }
    for (*out = 0; *out < n_words; ++*out) {
        if (strcmp(text, words[*out]) == 0) {
            return true;
        }
    }
    return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "%s is %.30s", name, text);
}

static bool read_words(sy__facts *facts) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil"};
    static const char *const places[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                         "asymmetric"};
    static const char *const policies[] = {"stretch"};
    sy__resampling *r = &facts->params.resampling;
    uint32_t policy = 0;
    return read_word(facts, "mode", modes, 3, &r->mode) &&
           read_word(facts, "nearest_mode", roundings, 4, &r->rounding) &&
           read_word(facts, "coordinate_transformation_mode", places, 4, &r->place) &&
           read_word(facts, "keep_aspect_ratio_policy", policies, 1, &policy);
}

static bool read_numbers(sy__facts *facts) {
    sy__params *p = &facts->params;
    int64_t antialias = 0, exclude = 0;
    if (!sy__ref_attribute_int(facts, "antialias", 0, &antialias) ||
        !sy__ref_attribute_int(facts, "exclude_outside", 0, &exclude) ||
        !sy__ref_attribute_float(facts, "cubic_coeff_a", -0.75, &p->alpha)) {
        return false;
    }
    return (antialias == 0 && exclude == 0) ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "antialias or exclude_outside is not 0");
}

/* The dimension that entry i of scales or sizes is for. */
static bool read_axes(sy__facts *facts, int64_t *out_axes, uint32_t *out_n) {
    uint32_t rank = facts->inputs[0]->shape.rank;
    bool seen[SY_MAX_RANK] = {false};
    if (!sy__ref_attribute_ints(facts, "axes", rank, out_axes, out_n)) {
        return false;
    }
    if (*out_n == UINT32_MAX) {
        for (*out_n = 0; *out_n < rank; ++*out_n) {
            out_axes[*out_n] = *out_n;
        }
    }
    for (uint32_t i = 0; i < *out_n; i++) {
        uint32_t axis = 0;
        if (!sy__ref_axis(out_axes[i], rank, &axis) || seen[axis]) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                                  "an axis is outside of the rank or twice");
        }
        seen[axis] = true;
        out_axes[i] = axis;
    }
    return true;
}

/* Given, and not the empty list that some writers put for an input that is absent. */
static bool has_entries(const sy__tensor *tensor) {
    return tensor != NULL && sy__ref_shape_count(&tensor->shape) != 0;
}

/* One dimension of x gets a scale and the length that it would have without rounding. */
static bool set_axis(sy__facts *facts, uint32_t axis, float scale, float length) {
    const sy__tensor *x = facts->inputs[0];
    sy__resampling *r = &facts->params.resampling;
    int64_t n = x->shape.dims[axis];
    bool is_fixed = (x->dynamic >> axis & 1) == 0 && n >= 1 && n <= LARGEST;
    if (axis < 2 || !is_fixed || !(length >= 1.0f && length <= (float)LARGEST)) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE,
                              "dimension %" PRIu32 " cannot be resized, or not by this", axis);
    }
    uint32_t at = axis + 2 - x->shape.rank;
    r->scale[at] = scale;
    r->length[at] = length;
    r->size[at] = (int64_t)length;
    return true;
}

static bool read_scales(sy__facts *facts, const int64_t *axes, uint32_t n) {
    const sy__tensor *x = facts->inputs[0], *scales = facts->inputs[2];
    if (scales->kind != SY_VALUE_WEIGHT || scales->type != SY_TYPE_F32 || scales->shape.rank != 1 ||
        scales->shape.dims[0] != n) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "scales is no constant of %" PRIu32 " f32",
                              n);
    }
    for (uint32_t i = 0; i < n; i++) {
        float scale = 0.0f;
        memcpy(&scale, (const uint8_t *)scales->data + i * sizeof(scale), sizeof(scale));
        float length = (float)x->shape.dims[axes[i]] * scale;
        if (scale != 1.0f && !set_axis(facts, (uint32_t)axes[i], scale, length)) {
            return false;
        }
    }
    return true;
}

static bool read_sizes(sy__facts *facts, const int64_t *axes, uint32_t n) {
    const sy__tensor *x = facts->inputs[0];
    int64_t sizes[SY_MAX_RANK];
    uint32_t n_sizes = 0;
    if (!sy__ref_constant_ints(facts, 3, SY_MAX_RANK, sizes, &n_sizes)) {
        return false;
    }
    if (n_sizes != n) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "sizes has %" PRIu32 " entries", n_sizes);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = (uint32_t)axes[i];
        int64_t before = x->shape.dims[axis];
        bool same = sizes[i] == before && (x->dynamic >> axis & 1) == 0;
        if (sizes[i] > LARGEST) {
            return sy__ref_refuse(facts, SY_REASON_SHAPE, "a size is over %d", LARGEST);
        }
        if (!same && !set_axis(facts, axis, (float)sizes[i] / (float)before, (float)sizes[i])) {
            return false;
        }
    }
    return true;
}

SY__PREPARE(resize) {
    sy__resampling *r = &facts->params.resampling;
    const sy__tensor *x = facts->inputs[0];
    bool is_byte = x->type == SY_TYPE_I8 || x->type == SY_TYPE_U8;
    int64_t axes[SY_MAX_RANK];
    uint32_t n = 0;
    if (!read_words(facts) || !read_numbers(facts) || !sy__ref_require_same(facts, 0)) {
        return false;
    }
    if (!(is_byte && r->mode == MODE_NEAREST) && !sy__ref_require_float_in(facts, 0)) {
        return false;
    }
    if (x->shape.rank != 3 && x->shape.rank != 4) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "x has rank %" PRIu32 ", not 3 or 4",
                              x->shape.rank);
    }
    bool is_scaled = has_entries(facts->inputs[2]);
    bool is_sized = has_entries(facts->inputs[3]);
    if (is_scaled == is_sized) {
        return sy__ref_refuse(facts, SY_REASON_OTHER, "it has not either scales or sizes");
    }
    r->scale[0] = r->scale[1] = 1.0f; /* size 0: as many as there are */
    return read_axes(facts, axes, &n) &&
           (is_scaled ? read_scales(facts, axes, n) : read_sizes(facts, axes, n));
}

SY__INFER(resize) {
    (void)n_inputs;
    (void)n_outputs;
    out_shapes[0] = inputs[0]->shape;
    for (uint32_t i = 2; i < out_shapes[0].rank; i++) {
        int64_t size = params->resampling.size[i + 2 - out_shapes[0].rank];
        out_shapes[0].dims[i] = size != 0 ? size : out_shapes[0].dims[i];
    }
    return true;
}

/* The elements of the input along one dimension that make an element of the output. */
typedef struct taps {
    uint32_t n;
    int64_t places[TAPS_MAX];
    double weights[TAPS_MAX];
} taps;

/* Every operation here is rounded to f32. */
static float place_of(const sy__resampling *r, uint32_t at, int64_t n, int64_t i) {
    float x = (float)i, scale = r->scale[at];
    float length = r->size[at] != 0 ? r->length[at] : (float)n;
    switch (r->place) {
    case PLACE_CORNERS:
        return length == 1.0f ? 0.0f : x * (float)(n - 1) / (length - 1.0f);
    case PLACE_ASYMMETRIC:
        return x / scale;
    case PLACE_PYTORCH:
        return length > 1.0f ? (x + 0.5f) / scale - 0.5f : 0.0f;
    default:
        return (x + 0.5f) / scale - 0.5f;
    }
}

static float nearest_of(uint32_t rounding, float place) {
    float below = floorf(place), rest = place - below;
    switch (rounding) {
    case ROUND_PREFER_FLOOR:
        return rest > 0.5f ? below + 1.0f : below;
    case ROUND_PREFER_CEIL:
        return rest >= 0.5f ? below + 1.0f : below;
    case ROUND_FLOOR:
        return below;
    default:
        return rest > 0.0f ? below + 1.0f : below;
    }
}

/* Weight of an element at a distance, by cubic convolution. */
static double cubic_weight(double a, double distance) {
    double d = fabs(distance);
    return d <= 1.0 ? ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
                    : ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
}

static taps taps_of(const sy__params *p, uint32_t at, int64_t n, int64_t i) {
    const sy__resampling *r = &p->resampling;
    float place = place_of(r, at, n, i), below = floorf(place);
    double rest = (double)(place - below);
    taps t = {.n = 1, .weights = {1.0}};
    int64_t first = (int64_t)below;
    if (r->mode == MODE_NEAREST) {
        first = (int64_t)nearest_of(r->rounding, place);
    } else if (r->mode == MODE_LINEAR) {
        t = (taps){.n = 2, .weights = {1.0 - rest, rest}};
    } else {
        t.n = TAPS_MAX;
        first -= 1;
        for (uint32_t k = 0; k < t.n; k++) {
            t.weights[k] = cubic_weight(p->alpha, rest + 1.0 - (double)k);
        }
    }
    for (uint32_t k = 0; k < t.n; k++) { /* past the edge, the edge */
        int64_t place_k = first + (int64_t)k;
        t.places[k] = place_k < 0 ? 0 : place_k >= n ? n - 1 : place_k;
    }
    return t;
}

typedef struct resizing {
    const sy__call *call;
    sy__image in, out;
} resizing;

static double sample(const resizing *r, int64_t plane, const taps *rows, const taps *columns) {
    double sum = 0.0, value = 0.0;
    for (uint32_t i = 0; i < rows->n; i++) {
        int64_t row = (plane * r->in.height + rows->places[i]) * r->in.width;
        for (uint32_t j = 0; j < columns->n; j++) {
            sy__ref_get_f64(r->call->inputs[0], row + columns->places[j], 1, 1, &value);
            sum += rows->weights[i] * columns->weights[j] * value;
        }
    }
    return sum;
}

static void resize_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const resizing *r = argument;
    const sy__tensor *x = r->call->inputs[0], *y = r->call->outputs[0];
    const sy__params *p = r->call->params;
    size_t n_bytes = sy__ref_element_bytes(x->type);
    int64_t row = i_task % r->out.height, plane = i_task / r->out.height;
    taps rows = taps_of(p, 0, r->in.height, row);
    (void)i_worker;
    for (int64_t column = 0; column < r->out.width; column++) {
        taps columns = taps_of(p, 1, r->in.width, column);
        int64_t to = (int64_t)i_task * r->out.width + column;
        if (p->resampling.mode == MODE_NEAREST) {
            int64_t from = (plane * r->in.height + rows.places[0]) * r->in.width;
            from += columns.places[0];
            memcpy((uint8_t *)y->data + (size_t)to * n_bytes,
                   (const uint8_t *)x->data + (size_t)from * n_bytes, n_bytes);
        } else {
            double value = sample(r, plane, &rows, &columns);
            sy__ref_put_f64(y, to, 1, &value);
        }
    }
}

SY__RUN(resize) {
    resizing r = {.call = call,
                  .in = sy__ref_image_of(&call->inputs[0]->shape),
                  .out = sy__ref_image_of(&call->outputs[0]->shape)};
    return sy__ref_parallel(call, resize_task, &r,
                            (uint64_t)(r.out.n * r.out.channels * r.out.height));
}
