/* SPDX-License-Identifier: Apache-2.0 */
/* Strides, pads and dilations of convolutions and poolings. */
#include "reference/stencil.h"

#include <inttypes.h>
#include <string.h>

#define LARGEST (1 << 24) /* of every number here, so that no product of two overflows */

/* n numbers, the height first; fallback where the attribute is absent. */
static bool read_list(sy__facts *facts, const char *name, uint32_t n, const int64_t *fallback,
                      int64_t least, int64_t *out) {
    uint32_t n_given = 0;
    memcpy(out, fallback, n * sizeof(out[0]));
    if (!sy__ref_attribute_ints(facts, name, n, out, &n_given)) {
        return false;
    }
    if (n_given != UINT32_MAX && n_given != n) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                              "attribute %s has not %" PRIu32 " entries", name, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (out[i] < least || out[i] > LARGEST) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                                  "attribute %s is missing or out of range", name);
        }
    }
    return true;
}

static bool check_auto_pad(sy__facts *facts) {
    const char *text = NULL;
    if (!sy__ref_attribute_string(facts, "auto_pad", "NOTSET", &text)) {
        return false;
    }
    return strcmp(text, "NOTSET") == 0 ||
           sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "auto_pad is %.24s, not NOTSET", text);
}

bool sy__ref_stencil_read(sy__facts *facts, const int64_t *kernel) {
    static const int64_t zeros[4] = {0}, ones[2] = {1, 1};
    sy__stencil *s = &facts->params.stencil;
    const sy__shape *x = &facts->inputs[0]->shape;
    int64_t sizes[2], strides[2], dilations[2], pads[4];
    if (x->rank != 3 && x->rank != 4) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "x has rank %" PRIu32 ", not 3 or 4",
                              x->rank);
    }
    uint32_t n = x->rank - 2;
    if (!check_auto_pad(facts) ||
        !read_list(facts, "kernel_shape", n, kernel != NULL ? kernel : zeros, 1, sizes) ||
        !read_list(facts, "strides", n, ones, 1, strides) ||
        !read_list(facts, "dilations", n, ones, 1, dilations) ||
        !read_list(facts, "pads", 2 * n, zeros, 0, pads)) {
        return false;
    }
    if (kernel != NULL && memcmp(kernel, sizes, n * sizeof(sizes[0])) != 0) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "kernel_shape is not the weight's");
    }
    *s = (sy__stencil){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + 2 - n;
        s->kernel[at] = sizes[i];
        s->stride[at] = strides[i];
        s->dilation[at] = dilations[i];
        s->before[at] = pads[i];
        s->after[at] = pads[n + i];
    }
    return true;
}

bool sy__ref_stencil_shape(const sy__stencil *stencil, const sy__shape *x, int64_t n_channels,
                           sy__shape *out) {
    *out = *x;
    out->dims[1] = n_channels;
    for (uint32_t i = 2; i < x->rank; i++) {
        uint32_t at = i + 2 - x->rank;
        int64_t reach = stencil->dilation[at] * (stencil->kernel[at] - 1) + 1;
        int64_t room = x->dims[i] + stencil->before[at] + stencil->after[at] - reach;
        if (room < 0) {
            return false;
        }
        out->dims[i] = room / stencil->stride[at] + 1;
    }
    return true;
}

sy__image sy__ref_image_of(const sy__shape *shape) {
    bool flat = shape->rank == 3;
    return (sy__image){.n = shape->dims[0],
                       .channels = shape->dims[1],
                       .height = flat ? 1 : shape->dims[2],
                       .width = shape->dims[flat ? 2 : 3]};
}

sy__tap sy__ref_stencil_tap(const sy__stencil *stencil, int64_t i_kernel_column, int64_t width,
                            int64_t first_column, int64_t n_columns) {
    int64_t stride = stencil->stride[1];
    int64_t offset = i_kernel_column * stencil->dilation[1] - stencil->before[1];
    int64_t low = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    int64_t end = width - offset <= 0 ? 0 : (width - offset + stride - 1) / stride;
    low = low > first_column ? low : first_column;
    end = end < first_column + n_columns ? end : first_column + n_columns;
    return (sy__tap){
        .first = low, .count = end > low ? end - low : 0, .column = low * stride + offset};
}

int64_t sy__ref_stencil_row(const sy__stencil *stencil, int64_t i_kernel_row, int64_t height,
                            int64_t out_row) {
    int64_t row =
        out_row * stencil->stride[0] + i_kernel_row * stencil->dilation[0] - stencil->before[0];
    return row >= 0 && row < height ? row : -1;
}

/* Elements from the first kernel's first to the last one's last, and the padding of the output. */
static int64_t covered(const sy__stencil *s, uint32_t at, int64_t n) {
    return s->stride[at] * (n - 1) + s->dilation[at] * (s->kernel[at] - 1) + 1 + s->extra[at];
}

/* Pads that leave what output_shape asks for, the larger half in front; what it asks for past the
 * kernels is padding of the output. */
static bool fit_output(sy__facts *facts, uint32_t n) {
    static const int64_t zeros[2] = {0};
    sy__stencil *s = &facts->params.stencil;
    int64_t sizes[2] = {0};
    if (!read_list(facts, "output_shape", n, zeros, 0, sizes)) {
        return false;
    }
    for (uint32_t i = 0; i < n && (sizes[0] != 0 || sizes[1] != 0); i++) {
        uint32_t at = i + 2 - n;
        int64_t cut = covered(s, at, facts->inputs[0]->shape.dims[2 + i]) - sizes[i];
        if (sizes[i] < 1) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "output_shape has a 0");
        }
        s->extra[at] -= cut < 0 ? cut : 0;
        cut = cut > 0 ? cut : 0;
        s->after[at] = cut / 2;
        s->before[at] = cut - cut / 2;
    }
    return true;
}

bool sy__ref_stencil_read_spread(sy__facts *facts) {
    static const int64_t zeros[2] = {0};
    sy__stencil *s = &facts->params.stencil;
    const sy__tensor *x = facts->inputs[0];
    uint32_t n = x->shape.rank - 2;
    int64_t extra[2];
    if (!read_list(facts, "output_padding", n, zeros, 0, extra)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + 2 - n;
        if (extra[i] >= s->stride[at] && extra[i] >= s->dilation[at]) {
            return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE,
                                  "output_padding is not below the stride or the dilation");
        }
        if ((x->dynamic >> (2 + i) & 1) != 0 || x->shape.dims[2 + i] < 1 ||
            x->shape.dims[2 + i] > LARGEST) {
            return sy__ref_refuse(facts, SY_REASON_SHAPE, "a plane of x has no fixed size");
        }
        s->extra[at] = extra[i];
    }
    return fit_output(facts, n);
}

bool sy__ref_stencil_spread(const sy__stencil *stencil, const sy__shape *x, int64_t n_channels,
                            sy__shape *out) {
    *out = *x;
    out->dims[1] = n_channels;
    for (uint32_t i = 2; i < x->rank; i++) {
        uint32_t at = i + 2 - x->rank;
        out->dims[i] = covered(stencil, at, x->dims[i]) - stencil->before[at] - stencil->after[at];
        if (out->dims[i] < 1) {
            return false;
        }
    }
    return true;
}

sy__tap sy__ref_spread_tap(const sy__stencil *stencil, int64_t i_kernel_column, int64_t width,
                           int64_t first_column, int64_t n_columns) {
    int64_t stride = stencil->stride[1];
    int64_t offset = i_kernel_column * stencil->dilation[1] - stencil->before[1];
    int64_t low = first_column - offset, end = first_column + n_columns - offset;
    low = low <= 0 ? 0 : (low + stride - 1) / stride;
    end = end <= 0 ? 0 : (end + stride - 1) / stride;
    end = end < width ? end : width;
    return (sy__tap){
        .first = low * stride + offset, .count = end > low ? end - low : 0, .column = low};
}

int64_t sy__ref_spread_row(const sy__stencil *stencil, int64_t i_kernel_row, int64_t height,
                           int64_t out_row) {
    int64_t place = out_row + stencil->before[0] - i_kernel_row * stencil->dilation[0];
    int64_t row = place / stencil->stride[0];
    return place >= 0 && place % stencil->stride[0] == 0 && row < height ? row : -1;
}
