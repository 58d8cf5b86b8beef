/* SPDX-License-Identifier: Apache-2.0 */
/* Inference rules of the operators that change the size of planes: Resize, Pad, and what trades
 * channels for places. */
#include "graph/infer.h"

#include "switchyard/types.h"

#include <inttypes.h>
#include <string.h>

#define LARGEST (1 << 24) /* of a dimension or pad */

static bool is_one_of(const char *word, const char *const *words, size_t n_words) {
    for (size_t i = 0; i < n_words; i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A string attribute has one of the values that the dialect knows. */
static sy_status check_word(const sy__infer_call *call, const char *name, const char *fallback,
                            const char *const *words, size_t n_words) {
    const char *word = sy__attribute_string(call->node, name, fallback);
    return is_one_of(word, words, n_words) ? SY_OK : sy__infer_fail(call, "%s is '%s'", name, word);
}
#define CHECK_WORD(call, name, fallback, words) \
    check_word((call), (name), (fallback), (words), sizeof(words) / sizeof((words)[0]))

/* ---- Resize ---- */
static sy_status check_resize_attributes(const sy__infer_call *call) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil"};
    static const char *const places[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                         "asymmetric"};
    static const char *const policies[] = {"stretch"};
    sy_status status = CHECK_WORD(call, "mode", "nearest", modes);
    if (status == SY_OK) {
        status = CHECK_WORD(call, "nearest_mode", "round_prefer_floor", roundings);
    }
    if (status == SY_OK) {
        status = CHECK_WORD(call, "coordinate_transformation_mode", "half_pixel", places);
    }
    if (status == SY_OK) {
        status = CHECK_WORD(call, "keep_aspect_ratio_policy", "stretch", policies);
    }
    if (status == SY_OK && (sy__attribute_int(call->node, "antialias", 0) != 0 ||
                            sy__attribute_int(call->node, "exclude_outside", 0) != 0)) {
        status = sy__infer_fail(call, "antialias and exclude_outside must be 0");
    }
    return status;
}

/* The dimension that each entry of scales or sizes is for. */
static sy_status read_resize_axes(const sy__infer_call *call, uint32_t *out_axes, uint32_t *out_n) {
    const sy_value_view *x = sy__call_input(call, 0);
    const sy_attribute *axes = sy__attribute(call->node, "axes", SY_ATTRIBUTE_INTS);
    bool seen[SY_MAX_RANK] = {false};
    *out_n = axes != NULL ? axes->count : x->rank;
    if (*out_n > x->rank) {
        return sy__infer_fail(call, "axes has more entries than x dimensions");
    }
    for (uint32_t i = 0; i < *out_n; i++) {
        sy_status status =
            sy__axis(call, axes != NULL ? axes->value.ints[i] : i, x->rank, &out_axes[i]);
        if (status == SY_OK && seen[out_axes[i]]) {
            status = sy__infer_fail(call, "axis %" PRIu32 " is named twice", out_axes[i]);
        }
        if (status != SY_OK) {
            return status;
        }
        seen[out_axes[i]] = true;
    }
    return SY_OK;
}

/* Given, and not the empty list that some writers put for an input that is absent. */
static bool has_entries(const sy_value_view *value) {
    return value != NULL && (value->rank != 1 || !sy__dimension_is(&value->dims[0], 0));
}

static sy_status read_scales(const sy__infer_call *call, uint32_t n, float *out_scales) {
    const sy_value_view *scales = sy__call_input(call, 2);
    if (scales->kind != SY_VALUE_WEIGHT || scales->type != SY_TYPE_F32 || scales->rank != 1 ||
        !sy__dimension_is(&scales->dims[0], n)) {
        return sy__infer_fail(call, "scales must be %" PRIu32 " constant f32", n);
    }
    memcpy(out_scales, scales->data.pointer, n * sizeof(out_scales[0]));
    return SY_OK;
}

/* New sizes of the dimensions of x, from the scales. */
static sy_status scale_all(const sy__infer_call *call, const uint32_t *axes, uint32_t n,
                           sy__inferred *out) {
    float scales[SY_MAX_RANK] = {0};
    sy_status status = read_scales(call, n, scales);
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        sy_dimension *d = &out->dims[axes[i]];
        float size = (float)d->bound * scales[i]; /* cut to a whole number below */
        if (scales[i] == 1.0f) {
            continue;
        }
        if (axes[i] < 2 || d->symbol != 0 || !(size >= 1.0f && size <= (float)LARGEST)) {
            return sy__infer_fail(call, "dimension %" PRIu32 " cannot be scaled by %g", axes[i],
                                  (double)scales[i]);
        }
        *d = sy__dimension_fixed((int64_t)size);
    }
    return status;
}

static sy_status set_sizes(const sy__infer_call *call, const uint32_t *axes, uint32_t n,
                           sy__inferred *out) {
    int64_t sizes[SY_MAX_RANK] = {0};
    uint32_t n_sizes = 0;
    sy_status status = sy__constant_ints(call, 3, sizes, SY_MAX_RANK, &n_sizes);
    if (status == SY_OK && n_sizes != n) {
        status = sy__infer_fail(call, "sizes must have %" PRIu32 " entries", n);
    }
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        sy_dimension *d = &out->dims[axes[i]];
        bool same = sy__dimension_is(d, sizes[i]);
        if (!same && (axes[i] < 2 || d->symbol != 0 || sizes[i] < 1 || sizes[i] > LARGEST)) {
            return sy__infer_fail(call, "dimension %" PRIu32 " cannot become %" PRId64, axes[i],
                                  sizes[i]);
        }
        *d = same ? *d : sy__dimension_fixed(sizes[i]);
    }
    return status;
}

static sy_status infer_resize(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0);
    uint32_t axes[SY_MAX_RANK] = {0}, n = 0;
    bool is_byte = x->type == SY_TYPE_I8 || x->type == SY_TYPE_U8;
    bool is_nearest = strcmp(sy__attribute_string(call->node, "mode", "nearest"), "nearest") == 0;
    bool is_scaled = has_entries(sy__call_input(call, 2));
    if ((x->rank != 3 && x->rank != 4) || !(sy__is_float(x->type) || (is_byte && is_nearest))) {
        return sy__infer_fail(call, "x must be float [N, C, W] or [N, C, H, W], i8 or u8 only for "
                                    "nearest");
    }
    for (uint32_t i = 2; i < x->rank; i++) {
        if (x->dims[i].symbol != 0 || x->dims[i].bound < 1 || x->dims[i].bound > LARGEST) {
            return sy__infer_fail(call, "dimension %" PRIu32 " must have a fixed size", i);
        }
    }
    if (is_scaled == has_entries(sy__call_input(call, 3))) {
        return sy__infer_fail(call, "it needs either scales or sizes");
    }
    sy_status status = check_resize_attributes(call);
    if (status == SY_OK) {
        status = read_resize_axes(call, axes, &n);
    }
    if (status != SY_OK) {
        return status;
    }
    sy__result_like(call, 0, x);
    return is_scaled ? scale_all(call, axes, n, &call->results[0])
                     : set_sizes(call, axes, n, &call->results[0]);
}

/* ---- Pad ---- */
static sy_status check_fill(const sy__infer_call *call) {
    const sy_value_view *x = sy__call_input(call, 0), *fill = sy__call_input(call, 2);
    if (fill != NULL && (fill->kind != SY_VALUE_WEIGHT || fill->type != x->type || fill->rank > 1 ||
                         (fill->rank == 1 && !sy__dimension_is(&fill->dims[0], 1)))) {
        return sy__infer_fail(call, "constant_value must be one constant of x's type");
    }
    return SY_OK;
}

static sy_status infer_pad(const sy__infer_call *call) {
    static const char *const modes[] = {"constant", "reflect", "edge"};
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t pads[2 * SY_MAX_RANK] = {0}, axes[SY_MAX_RANK] = {0};
    uint32_t n_pads = 0, n = x->rank;
    bool has_axes = sy__call_input(call, 3) != NULL;
    bool is_reflected =
        strcmp(sy__attribute_string(call->node, "mode", "constant"), "reflect") == 0;
    sy_status status = CHECK_WORD(call, "mode", "constant", modes);
    if (status == SY_OK) {
        status = check_fill(call);
    }
    if (status == SY_OK) {
        status = sy__constant_ints(call, 1, pads, 2 * SY_MAX_RANK, &n_pads);
    }
    if (status == SY_OK && has_axes) {
        status = sy__constant_ints(call, 3, axes, SY_MAX_RANK, &n);
    }
    if (status == SY_OK && (n_pads != 2 * n || sy_type_get(x->type)->n_block_elements != 1)) {
        status = sy__infer_fail(call, "pads must have two entries for each axis, x a plain type");
    }
    sy__result_like(call, 0, x);
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        uint32_t axis = 0;
        int64_t before = pads[i], after = pads[n + i];
        status = sy__axis(call, has_axes ? axes[i] : i, x->rank, &axis);
        if (status != SY_OK || (before == 0 && after == 0)) {
            continue;
        }
        sy_dimension *d = &call->results[0].dims[axis];
        int64_t most = is_reflected ? d->bound - 1 : LARGEST;
        bool is_twice = d->bound != x->dims[axis].bound;
        if (d->symbol != 0 || is_twice || d->bound < 1 || before < 0 || after < 0 ||
            before > most || after > most) {
            return sy__infer_fail(call, "axis %" PRIu32 " cannot get these pads", axis);
        }
        *d = sy__dimension_fixed(d->bound + before + after);
    }
    return status;
}

/* ---- DepthToSpace, SpaceToDepth ---- */
static sy_status infer_depth_space(const sy__infer_call *call) {
    static const char *const modes[] = {"DCR", "CRD"};
    const sy_value_view *x = sy__call_input(call, 0);
    int64_t size = sy__attribute_int(call->node, "blocksize", 0);
    bool grows = sy__node_is(call->node, "", "DepthToSpace");
    sy_status status = grows ? CHECK_WORD(call, "mode", "DCR", modes) : SY_OK;
    if (status != SY_OK) {
        return status;
    }
    if (x->rank != 4 || size < 1 || size > LARGEST || sy_type_get(x->type)->n_block_elements != 1) {
        return sy__infer_fail(call,
                              "x must be [N, C, H, W] of a plain type and blocksize positive");
    }
    sy_dimension side = sy__dimension_fixed(size), area = sy__dimension_fixed(size * size);
    sy__result_like(call, 0, x);
    sy_dimension *d = call->results[0].dims;
    bool fits = grows ? sy__dimension_divide(&x->dims[1], &area, &d[1])
                      : sy__dimension_multiply(&x->dims[1], &area, &d[1]);
    for (uint32_t i = 2; fits && i < 4; i++) {
        fits = grows ? sy__dimension_multiply(&x->dims[i], &side, &d[i])
                     : sy__dimension_divide(&x->dims[i], &side, &d[i]);
    }
    return fits ? SY_OK : sy__infer_fail(call, "blocksize does not divide the dimensions");
}

const sy__infer_rule sy__infer_rules_spatial[] = {
    {"", "Resize", 1, 4, 1, infer_resize},
    {"", "Pad", 2, 4, 1, infer_pad},
    {"", "DepthToSpace", 1, 1, 1, infer_depth_space},
    {"", "SpaceToDepth", 1, 1, 1, infer_depth_space},
    {NULL, NULL, 0, 0, 0, NULL},
};
