/* SPDX-License-Identifier: Apache-2.0 */
/* Conv, the pools, BatchNormalization. */
#include "check_shared.h"

#include <string.h>

static bool rank_check(const sy_value_view *x, kit_answer *answer) {
    return x->rank == 3 || x->rank == 4 ||
           kit_no(answer, SY_REASON_SHAPE, "x has rank %u, not 3 or 4", x->rank);
}

/* n numbers of an attribute behind one another, or the fallback. */
static bool list_read(const kit_node *node, const char *name, uint32_t n, int64_t fallback,
                      int64_t least, int64_t *out, kit_answer *answer) {
    const sy_attribute *found = kit_attribute_find(node, name);
    if (found != NULL && (found->type != SY_ATTRIBUTE_INTS || found->count != n)) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %s has not %u integers", name, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = found != NULL ? found->value.ints[i] : fallback;
        if (out[i] < least || out[i] > KIT_WINDOW_MOST) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "attribute %s is out of range", name);
        }
    }
    return true;
}

static bool auto_pad_check(const kit_node *node, kit_answer *answer) {
    const char *auto_pad = NULL;
    return kit_attribute_string(node, "auto_pad", "NOTSET", &auto_pad, answer) &&
           (strcmp(auto_pad, "NOTSET") == 0 ||
            kit_no(answer, SY_REASON_ATTRIBUTE, "auto_pad is %.24s, not NOTSET", auto_pad));
}

/* The kernel is that of w; NULL: the attribute gives it. */
static bool window_read(const kit_node *node, const sy_value_view *w, kit_window *out,
                        kit_answer *answer) {
    uint32_t n = node->in[0].rank - 2;
    int64_t sizes[2], strides[2], dilations[2], pads[4];
    bool has_sizes = kit_attribute_find(node, "kernel_shape") != NULL;
    if (!list_read(node, "kernel_shape", n, w != NULL ? 1 : 0, 1, sizes, answer) ||
        !list_read(node, "strides", n, 1, 1, strides, answer) ||
        !list_read(node, "dilations", n, 1, 1, dilations, answer) ||
        !list_read(node, "pads", 2 * n, 0, 0, pads, answer) || !auto_pad_check(node, answer)) {
        return false;
    }
    *out = (kit_window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + 2 - n;
        int64_t size = w != NULL ? w->dims[2 + i].bound : sizes[i];
        if (size < 1 || size > KIT_WINDOW_MOST || (w != NULL && w->dims[2 + i].symbol != 0)) {
            return kit_no(answer, SY_REASON_SHAPE, "the kernel is too large");
        }
        if (has_sizes && sizes[i] != size) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "kernel_shape is not that of w");
        }
        out->kernel[at] = size;
        out->stride[at] = strides[i];
        out->dilation[at] = dilations[i];
        out->before[at] = pads[i];
        out->after[at] = pads[n + i];
    }
    return true;
}

/* Elements from the first to the last that the kernel reads. */
static int64_t reach_of(const kit_window *w, uint32_t i) {
    return w->dilation[i] * (w->kernel[i] - 1) + 1;
}

/* That y has the shape that the window gives, and the sizes. */
static bool slides_check(const kit_node *node, int64_t n_channels, kit_window *w,
                         kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    bool fits = x->rank == y->rank && kit_dimension_same(&x->dims[0], &y->dims[0]) &&
                kit_dimension_is(&y->dims[1], n_channels);
    w->in[0] = w->out[0] = 1;
    for (uint32_t i = 2; fits && i < x->rank; i++) {
        uint32_t at = i + 2 - x->rank;
        int64_t size = x->dims[i].bound, around = w->before[at] + w->after[at] - reach_of(w, at);
        int64_t room = -1;
        fits = x->dims[i].symbol == 0 && !__builtin_add_overflow(size, around, &room) &&
               room >= 0 && kit_dimension_is(&y->dims[i], room / w->stride[at] + 1);
        w->in[at] = size;
        w->out[at] = fits ? y->dims[i].bound : 0;
    }
    return fits || kit_no(answer, SY_REASON_SHAPE, "the output is not what the window gives");
}

static bool conv_fits(const kit_node *node, const kit_conv *p) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *bias = &node->in[2];
    int64_t in_channels = 0;
    return p->n_groups >= 1 && w->rank == x->rank && w->dims[0].symbol == 0 &&
           w->dims[1].symbol == 0 && w->dims[0].bound >= 1 && w->dims[1].bound >= 1 &&
           w->dims[0].bound % p->n_groups == 0 &&
           !__builtin_mul_overflow(w->dims[1].bound, p->n_groups, &in_channels) &&
           kit_dimension_is(&x->dims[1], in_channels) &&
           (!p->has_bias || (bias->rank == 1 && kit_dimension_same(&bias->dims[0], &w->dims[0])));
}

/* What Conv and ConvTranspose have in common: rank, group, types, and the bytes of constants. */
static bool conv_types(const kit_node *node, kit_conv *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0];
    return rank_check(x, answer) && kit_attribute_int(node, "group", 1, &out->n_groups, answer) &&
           kit_require_same_float(x, &node->out[0], answer) &&
           kit_require_float(&node->in[1], "w", answer) &&
           (!out->has_bias || kit_require_float(&node->in[2], "the bias", answer));
}

static bool conv_filled(const kit_node *node, const kit_conv *p, kit_answer *answer) {
    return kit_require_filled(&node->in[1], "w", answer) &&
           (!p->has_bias || kit_require_filled(&node->in[2], "the bias", answer));
}

bool kit_check_conv(const kit_node *node, kit_conv *out, kit_answer *answer) {
    static const char *const names[] = {"auto_pad", "dilations", "group", "kernel_shape",
                                        "pads",     "strides",   NULL};
    const sy_value_view *x = &node->in[0], *w = &node->in[1];
    *out = (kit_conv){.has_bias = kit_node_has(node, 2)};
    if (!kit_attributes_known(node, names, answer) || !conv_types(node, out, answer)) {
        return false;
    }
    if (!conv_fits(node, out)) {
        return kit_no(answer, SY_REASON_SHAPE, "x, w, bias and group do not fit together");
    }
    out->in_channels = x->dims[1].bound;
    out->out_channels = w->dims[0].bound;
    if (!window_read(node, w, &out->window, answer) ||
        !slides_check(node, out->out_channels, &out->window, answer)) {
        return false;
    }
    double n_weights = (double)kit_bound_count(w);
    kit_count_elements(node, 4.0, 2.0 * n_weights / (double)out->out_channels, answer);
    answer->activation_bytes += 4.0 * kit_typical_count(node->graph, x);
    answer->weight_bytes = 4.0 * n_weights;
    return conv_filled(node, out, answer);
}

/* Along one dimension: what kernels and output_padding reach, without the pads. */
static int64_t spread_of(const kit_window *w, uint32_t at, int64_t extra) {
    return w->stride[at] * (w->in[at] - 1) + reach_of(w, at) + extra;
}

/* Sizes, and the pads that leave what output_shape asks for, the larger half in front. */
static bool spread_read(const kit_node *node, kit_window *w, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    uint32_t n = x->rank - 2;
    int64_t extra[2], sizes[2];
    bool has_sizes = kit_attribute_find(node, "output_shape") != NULL;
    if (!list_read(node, "output_padding", n, 0, 0, extra, answer) ||
        !list_read(node, "output_shape", n, 1, 1, sizes, answer)) {
        return false;
    }
    w->in[0] = w->out[0] = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + 2 - n;
        if (extra[i] >= w->stride[at] && extra[i] >= w->dilation[at]) {
            return kit_no(answer, SY_REASON_ATTRIBUTE,
                          "output_padding is not below the stride or the dilation");
        }
        w->in[at] = x->dims[2 + i].bound;
        if (x->dims[2 + i].symbol != 0 || w->in[at] < 1 || w->in[at] > KIT_WINDOW_MOST) {
            return kit_no(answer, SY_REASON_SHAPE, "a plane of x has no fixed size");
        }
        int64_t size = spread_of(w, at, extra[i]) - w->before[at] - w->after[at];
        if (has_sizes) {
            int64_t cut = spread_of(w, at, extra[i]) - sizes[i];
            size = sizes[i];
            w->after[at] = cut > 0 ? cut / 2 : 0;
            w->before[at] = cut > 0 ? cut - cut / 2 : 0;
        }
        w->out[at] = size;
        if (size < 1 || !kit_dimension_is(&y->dims[2 + i], size)) {
            return kit_no(answer, SY_REASON_SHAPE, "the output is not what the window gives");
        }
    }
    return true;
}

static bool transposed_fits(const kit_node *node, kit_conv *p) {
    const sy_value_view *x = &node->in[0], *w = &node->in[1], *bias = &node->in[2];
    const sy_value_view *y = &node->out[0];
    return p->n_groups >= 1 && w->rank == x->rank && y->rank == x->rank && w->dims[0].symbol == 0 &&
           w->dims[1].symbol == 0 && w->dims[0].bound >= 1 && w->dims[1].bound >= 1 &&
           w->dims[0].bound % p->n_groups == 0 && kit_dimension_same(&w->dims[0], &x->dims[1]) &&
           !__builtin_mul_overflow(w->dims[1].bound, p->n_groups, &p->out_channels) &&
           kit_dimension_is(&y->dims[1], p->out_channels) &&
           kit_dimension_same(&x->dims[0], &y->dims[0]) &&
           (!p->has_bias || (bias->rank == 1 && kit_dimension_is(&bias->dims[0], p->out_channels)));
}

bool kit_check_conv_transpose(const kit_node *node, kit_conv *out, kit_answer *answer) {
    static const char *const names[] = {"auto_pad",     "dilations",      "group",
                                        "kernel_shape", "output_padding", "output_shape",
                                        "pads",         "strides",        NULL};
    const sy_value_view *x = &node->in[0], *w = &node->in[1];
    *out = (kit_conv){.has_bias = kit_node_has(node, 2)};
    if (!kit_attributes_known(node, names, answer) || !conv_types(node, out, answer)) {
        return false;
    }
    if (!transposed_fits(node, out)) {
        return kit_no(answer, SY_REASON_SHAPE, "x, w, bias and group do not fit together");
    }
    out->in_channels = w->dims[0].bound;
    if (!window_read(node, w, &out->window, answer) || !spread_read(node, &out->window, answer)) {
        return false;
    }
    double n_in = kit_typical_count(node->graph, x), n_weights = (double)kit_bound_count(w);
    kit_count_elements(node, 4.0, 0.0, answer);
    answer->f32_ops = 2.0 * n_in * n_weights / (double)out->in_channels;
    answer->activation_bytes += 4.0 * n_in;
    answer->weight_bytes = 4.0 * n_weights;
    return conv_filled(node, out, answer);
}

/* Pads as wide as the kernel would leave windows without an element. */
static bool pads_check(const kit_window *w, kit_answer *answer) {
    for (uint32_t i = 0; i < 2; i++) {
        if (w->before[i] >= reach_of(w, i) || w->after[i] >= reach_of(w, i)) {
            return kit_no(answer, SY_REASON_ATTRIBUTE, "pads are as large as the kernel");
        }
    }
    return true;
}

static bool pool_types_check(const kit_node *node, bool is_max, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    return is_max && kit_type_is_byte(x->type) ? kit_require_type(y, x->type, "y", answer)
                                               : kit_require_same_float(x, y, answer);
}

bool kit_check_window_pool(const kit_node *node, kit_window_pool *out, kit_answer *answer) {
    static const char *const names[] = {"auto_pad",          "ceil_mode", "dilations",
                                        "kernel_shape",      "pads",      "strides",
                                        "count_include_pad", NULL};
    static const char *const max_names[] = {"auto_pad", "ceil_mode", "dilations", "kernel_shape",
                                            "pads",     "strides",   NULL};
    const sy_value_view *x = &node->in[0];
    kit_window *w = &out->window;
    int64_t ceil_mode = 0, counts_pads = 0;
    *out = (kit_window_pool){.is_max = strcmp(node->view.op, "MaxPool") == 0};
    if (!kit_attributes_known(node, out->is_max ? max_names : names, answer) ||
        !rank_check(x, answer) || !kit_attribute_int(node, "ceil_mode", 0, &ceil_mode, answer) ||
        !kit_attribute_int(node, "count_include_pad", 0, &counts_pads, answer) ||
        !pool_types_check(node, out->is_max, answer) || !window_read(node, NULL, w, answer)) {
        return false;
    }
    if (ceil_mode != 0) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "ceil_mode is not 0");
    }
    out->n_channels = x->dims[1].bound;
    out->counts_pads = counts_pads != 0;
    if (x->dims[1].symbol != 0 || !slides_check(node, out->n_channels, w, answer)) {
        return kit_no(answer, SY_REASON_SHAPE, "the output is not what the window gives");
    }
    kit_count_elements(node, 4.0, (double)w->kernel[0] * (double)w->kernel[1], answer);
    answer->activation_bytes += 4.0 * kit_typical_count(node->graph, x);
    return pads_check(w, answer);
}

bool kit_check_global_pool(const kit_node *node, kit_global_pool *out, kit_answer *answer) {
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    *out = (kit_global_pool){.is_max = strcmp(node->view.op, "GlobalMaxPool") == 0};
    if (!kit_attributes_known(node, NULL, answer) || !kit_require_same_float(x, y, answer)) {
        return false;
    }
    bool fits = x->rank >= 3 && y->rank == x->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++) {
        fits =
            i < 2 ? kit_dimension_same(&x->dims[i], &y->dims[i]) : kit_dimension_is(&y->dims[i], 1);
    }
    answer->f32_ops = kit_typical_count(node->graph, x);
    answer->activation_bytes = 4.0 * answer->f32_ops;
    return fits || kit_no(answer, SY_REASON_SHAPE, "y is not [N, C, 1, ..] for x [N, C, ..]");
}

bool kit_check_batch_norm(const kit_node *node, kit_batch_norm *out, kit_answer *answer) {
    static const char *const names[] = {"epsilon", "momentum", "training_mode", NULL};
    const sy_value_view *x = &node->in[0], *y = &node->out[0];
    double momentum = 0.0; /* speaks of training only */
    int64_t training = 0;
    *out = (kit_batch_norm){0};
    if (!kit_attributes_known(node, names, answer) ||
        !kit_attribute_float(node, "epsilon", 1e-5, &out->epsilon, answer) ||
        !kit_attribute_float(node, "momentum", 0.9, &momentum, answer) ||
        !kit_attribute_int(node, "training_mode", 0, &training, answer) ||
        !kit_require_same_float(x, y, answer)) {
        return false;
    }
    if (training != 0) {
        return kit_no(answer, SY_REASON_ATTRIBUTE, "training_mode is not 0");
    }
    if (x->rank < 2 || !kit_shape_same(x, y)) {
        return kit_no(answer, SY_REASON_SHAPE, "y has another shape than x, or x no channels");
    }
    for (uint32_t i = 1; i < 5; i++) {
        const sy_value_view *factor = &node->in[i];
        if (!kit_require_float(factor, "a factor", answer) ||
            !kit_require_filled(factor, "a factor", answer)) {
            return false;
        }
        if (factor->rank != 1 || !kit_dimension_same(&factor->dims[0], &x->dims[1])) {
            return kit_no(answer, SY_REASON_SHAPE, "not one factor for each channel");
        }
    }
    kit_count_elements(node, 8.0, 2.0, answer);
    return true;
}
