/* SPDX-License-Identifier: Apache-2.0 */
/* Resize, Pad, DepthToSpace, SpaceToDepth. */
#include "check_shared.h"

#include <string.h>

#define LENGTH_MOST (1 << 24) /* of a resized dimension, so that f32 holds it */

/* Place of an attribute among the words; the first one where it is absent. */
static bool word_read(const kit_node *node, const char *name, const char *const *words,
                      uint32_t n_words, uint32_t *out, kit_answer *answer) {
    const char *text = NULL;
    if (!kit_attribute_string(node, name, words[0], &text, answer)) {
        return false;
    }
    for (*out = 0; *out < n_words; (*out)++) {
        if (strcmp(text, words[*out]) == 0) {
            return true;
        }
    }
    return kit_no(answer, SY_REASON_ATTRIBUTE, "%s is %.30s", name, text);
}

#define WORD_READ(NODE, NAME, WORDS, OUT, ANSWER) \
    word_read((NODE), (NAME), (WORDS), sizeof(WORDS) / sizeof((WORDS)[0]), (OUT), (ANSWER))

/* ---- Resize ---- */
static bool resize_attributes(const kit_node *node, kit_resize *out, kit_answer *answer) {
    static const char *const names[] = {"antialias",
                                        "axes",
                                        "coordinate_transformation_mode",
                                        "cubic_coeff_a",
                                        "exclude_outside",
                                        "keep_aspect_ratio_policy",
                                        "mode",
                                        "nearest_mode",
                                        NULL};
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil"};
    static const char *const places[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                         "asymmetric"};
    static const char *const policies[] = {"stretch"};
    uint32_t mode = 0, rounding = 0, placing = 0, policy = 0;
    int64_t antialias = 0, exclude = 0;
    if (!kit_attributes_known(node, names, answer) ||
        !WORD_READ(node, "mode", modes, &mode, answer) ||
        !WORD_READ(node, "nearest_mode", roundings, &rounding, answer) ||
        !WORD_READ(node, "coordinate_transformation_mode", places, &placing, answer) ||
        !WORD_READ(node, "keep_aspect_ratio_policy", policies, &policy, answer) ||
        !kit_attribute_float(node, "cubic_coeff_a", -0.75, &out->cubic_a, answer) ||
        !kit_attribute_int(node, "antialias", 0, &antialias, answer) ||
        !kit_attribute_int(node, "exclude_outside", 0, &exclude, answer)) {
        return false;
    }
    out->mode = (kit_resize_mode)mode;
    out->rounding = (kit_resize_rounding)rounding;
    out->placing = (kit_resize_placing)placing;
    return (antialias == 0 && exclude == 0) ||
           kit_no(answer, SY_REASON_ATTRIBUTE, "antialias or exclude_outside is not 0");
}

/* The dimension that entry i of scales or sizes is for. */
static bool resize_axes(const kit_node *node, uint32_t *out, uint32_t *out_n, kit_answer *answer) {
    const sy_attribute *axes = kit_attribute_find(node, "axes");
    uint32_t rank = node->in[0].rank, seen = 0;
    bool fits = axes == NULL || (axes->type == SY_ATTRIBUTE_INTS && axes->count <= rank);
    *out_n = axes != NULL && fits ? axes->count : rank;
    for (uint32_t i = 0; fits && i < *out_n; i++) {
        fits = kit_axis(axes != NULL ? axes->value.ints[i] : (int64_t)i, rank, &out[i]) &&
               (seen >> out[i] & 1u) == 0;
        seen |= fits ? 1u << out[i] : 0;
    }
    return fits || kit_no(answer, SY_REASON_ATTRIBUTE, "an axis is outside the shape or twice");
}

/* Entry i of scales, or of sizes, for one dimension: the scale and the length of y that it gives.
 * False where the dimension stays as it is. */
static bool entry_scales(const sy_dimension *x, const int64_t *sizes, const uint8_t *scales,
                         uint32_t i, float *out_scale, float *out_length) {
    if (sizes != NULL) {
        *out_scale = (float)sizes[i] / (float)x->bound;
        *out_length = (float)sizes[i];
        return x->symbol != 0 || sizes[i] != x->bound;
    }
    memcpy(out_scale, scales + i * sizeof(*out_scale), sizeof(*out_scale));
    *out_length = (float)x->bound * *out_scale;
    return *out_scale != 1.0f;
}

/* Scales or sizes of n dimensions, applied to x; y must have what comes of them. */
static bool resize_fits(const kit_node *node, const uint32_t *axes, uint32_t n,
                        const int64_t *sizes, const uint8_t *scales, kit_resize *out) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    uint32_t changed = 0;
    bool fits = x->rank == y->rank;
    for (uint32_t i = 0; fits && i < n; i++) {
        const sy_dimension *d = &x->dims[axes[i]];
        float scale = 0.0f, length = 0.0f;
        if (!entry_scales(d, sizes, scales, i, &scale, &length)) {
            continue;
        }
        fits = axes[i] >= 2 && d->symbol == 0 && d->bound >= 1 && d->bound <= LENGTH_MOST &&
               length >= 1.0f && length <= (float)LENGTH_MOST &&
               kit_dimension_is(&y->dims[axes[i]], (int64_t)length);
        if (fits) {
            changed |= 1u << axes[i];
            out->scale[axes[i] + 2 - x->rank] = scale;
            out->length[axes[i] + 2 - x->rank] = length;
        }
    }
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        fits = (changed >> i & 1u) != 0 || kit_dimension_same(&x->dims[i], &y->dims[i]);
    }
    return fits;
}

/* An empty list counts as absent. */
static bool has_entries(const kit_node *node, uint32_t i_input) {
    return kit_node_has(node, i_input) && kit_bound_count(&node->in[i_input]) != 0;
}

static bool resize_types(const kit_node *node, const kit_resize *p, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    if (x->rank != 3 && x->rank != 4) {
        return kit_no(answer, SY_REASON_SHAPE, "x has rank %u, not 3 or 4", x->rank);
    }
    return p->mode == KIT_RESIZE_NEAREST && kit_type_is_byte(x->type)
               ? kit_require_type(y, x->type, "y", answer)
               : kit_require_same_float(x, y, answer);
}

bool kit_check_resize(const kit_node *node, kit_resize *out, kit_answer *answer) {
    const sy_value_view *scales = &node->in[2];
    uint32_t axes[SY_MAX_RANK], n = 0, n_sizes = 0;
    int64_t sizes[SY_MAX_RANK];
    *out = (kit_resize){.scale = {1.0f, 1.0f}};
    bool is_scaled = has_entries(node, 2), is_sized = has_entries(node, 3);
    if (!resize_attributes(node, out, answer) || !resize_types(node, out, answer) ||
        !resize_axes(node, axes, &n, answer)) {
        return false;
    }
    if (is_scaled == is_sized) {
        return kit_no(answer, SY_REASON_OTHER, "it has not either scales or sizes");
    }
    if (is_scaled && (kit_weight_bytes(scales) == NULL || scales->type != SY_TYPE_F32 ||
                      scales->rank != 1 || !kit_dimension_is(&scales->dims[0], n))) {
        return kit_no(answer, SY_REASON_OTHER, "scales is no constant of %u f32", n);
    }
    if (is_scaled ? !kit_require_filled(scales, "scales", answer)
                  : !kit_constant_ints(node, 3, SY_MAX_RANK, sizes, &n_sizes, answer)) {
        return false;
    }
    if (is_sized && n_sizes != n) {
        return kit_no(answer, SY_REASON_SHAPE, "sizes has %u entries, not %u", n_sizes, n);
    }
    kit_count_elements(node, 8.0, out->mode == KIT_RESIZE_CUBIC ? 32.0 : 8.0, answer);
    return resize_fits(node, axes, n, is_sized ? sizes : NULL, kit_weight_bytes(scales), out) ||
           kit_no(answer, SY_REASON_SHAPE, "y has not the size that scales or sizes give");
}

/* ---- Pad ---- */
/* What is added in front of and behind the axes, by axis. */
static bool pads_read(const kit_node *node, kit_pad *out, kit_answer *answer) {
    int64_t pads[2 * SY_MAX_RANK], axes[SY_MAX_RANK];
    uint32_t n_pads = 0, n = 0, rank = node->in[0].rank, seen = 0;
    bool has_axes = kit_node_has(node, 3);
    if (!kit_constant_ints(node, 1, 2 * SY_MAX_RANK, pads, &n_pads, answer) ||
        !kit_constant_ints(node, 3, SY_MAX_RANK, axes, &n, answer)) {
        return false;
    }
    n = has_axes ? n : rank;
    if (n_pads != 2 * n) {
        return kit_no(answer, SY_REASON_SHAPE, "pads has not two entries for each axis");
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = 0;
        if (!kit_axis(has_axes ? axes[i] : (int64_t)i, rank, &axis) || (seen >> axis & 1u) != 0) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "an axis is outside the shape or twice");
        }
        seen |= 1u << axis;
        out->before[axis] = pads[i];
        out->after[axis] = pads[n + i];
    }
    return true;
}

static bool pads_fit(const sy_dimension *x, const sy_dimension *y, int64_t before, int64_t after,
                     kit_pad_mode mode) {
    int64_t most = mode == KIT_PAD_REFLECT ? x->bound - 1 : KIT_WINDOW_MOST;
    if (before == 0 && after == 0) {
        return kit_dimension_same(x, y);
    }
    return x->symbol == 0 && x->bound >= 1 && before >= 0 && after >= 0 && before <= most &&
           after <= most && x->bound <= INT64_MAX - before - after &&
           kit_dimension_is(y, x->bound + before + after);
}

/* The bytes of one constant element; zeros where none is given. */
static bool fill_read(const kit_node *node, kit_pad *out, kit_answer *answer) {
    const sy_value_view *fill = &node->in[2];
    const uint8_t *bytes = kit_weight_bytes(fill);
    if (!kit_node_has(node, 2)) {
        return true;
    }
    if (bytes == NULL || kit_bound_count(fill) != 1 ||
        fill->data.length_bytes < out->element_bytes) {
        return kit_no(answer, SY_REASON_OTHER, "constant_value is not one constant");
    }
    if (!kit_require_type(fill, node->in[0].type, "constant_value", answer)) {
        return false;
    }
    memcpy(out->fill, bytes, out->element_bytes);
    return true;
}

bool kit_check_pad(const kit_node *node, kit_pad *out, kit_answer *answer) {
    static const char *const names[] = {"mode", NULL};
    static const char *const modes[] = {"constant", "reflect", "edge"};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    uint32_t mode = 0;
    *out = (kit_pad){.element_bytes = kit_type_block_bytes(x->type)};
    if (x->type != y->type || !kit_is_movable(x)) {
        return kit_no(answer, SY_REASON_TYPE, "x and y must have one plain type");
    }
    if (!kit_attributes_known(node, names, answer) ||
        !WORD_READ(node, "mode", modes, &mode, answer) || !fill_read(node, out, answer) ||
        !pads_read(node, out, answer)) {
        return false;
    }
    out->mode = (kit_pad_mode)mode;
    bool fits = x->rank == y->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        fits = pads_fit(&x->dims[i], &y->dims[i], out->before[i], out->after[i], out->mode);
    }
    kit_count_elements(node, 8.0, 0.0, answer);
    return fits || kit_no(answer, SY_REASON_SHAPE, "y is not x with pads that it can get");
}

/* ---- DepthToSpace, SpaceToDepth ---- */
/* Whether a dimension is n times another one in every job. */
static bool is_multiple(const sy_dimension *many, const sy_dimension *one, int64_t n) {
    int64_t bound = 0, scale = 0, offset = 0;
    if (many->symbol != one->symbol || __builtin_mul_overflow(one->bound, n, &bound) ||
        __builtin_mul_overflow((int64_t)one->scale, n, &scale) ||
        __builtin_mul_overflow(one->offset, n, &offset)) {
        return false;
    }
    return many->symbol == 0 ? many->bound == bound
                             : many->scale == scale && many->offset == offset;
}

bool kit_check_depth_space(const kit_node *node, kit_depth_space *out, kit_answer *answer) {
    static const char *const names[] = {"blocksize", "mode", NULL}, *const size_name[] = {
                                                                        "blocksize", NULL};
    static const char *const modes[] = {"DCR", "CRD"};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    uint32_t mode = 0;
    *out = (kit_depth_space){.to_space = strcmp(node->view.op, "DepthToSpace") == 0};
    out->element_bytes = kit_type_block_bytes(x->type);
    if (x->type != y->type || !kit_is_movable(x)) {
        return kit_no(answer, SY_REASON_TYPE, "x and y must have one plain type");
    }
    if (!kit_attributes_known(node, out->to_space ? names : size_name, answer) ||
        !WORD_READ(node, "mode", modes, &mode, answer) ||
        !kit_attribute_int(node, "blocksize", 0, &out->size, answer)) {
        return false;
    }
    out->is_crd = mode == 1;
    if (out->size < 1 || out->size > KIT_WINDOW_MOST) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "blocksize is not positive");
    }
    const sy_value_view *deep = out->to_space ? x : y, *wide = out->to_space ? y : x;
    kit_count_elements(node, 8.0, 0.0, answer);
    return (x->rank == 4 && y->rank == 4 && kit_dimension_same(&x->dims[0], &y->dims[0]) &&
            is_multiple(&deep->dims[1], &wide->dims[1], out->size * out->size) &&
            is_multiple(&wide->dims[2], &deep->dims[2], out->size) &&
            is_multiple(&wide->dims[3], &deep->dims[3], out->size)) ||
           kit_no(answer, SY_REASON_SHAPE, "y is not x [N, C, H, W] with its blocks moved");
}
