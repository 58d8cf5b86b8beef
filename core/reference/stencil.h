/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and poolings over one or two dimensions. One dimension counts as a width under a
 * height of 1. */
#ifndef SY_REFERENCE_STENCIL_H
#define SY_REFERENCE_STENCIL_H

#include "reference/internal.h"

/* Reads kernel_shape, strides, dilations, pads and auto_pad into params.stencil. kernel: of the
 * weight, which the attribute then repeats; NULL: the attribute must be given. */
bool sy__ref_stencil_read(sy__facts *facts, const int64_t *kernel);
/* Shape of the output; false when the kernel does not fit into the padded input. */
bool sy__ref_stencil_shape(const sy__stencil *stencil, const sy__shape *x, int64_t n_channels,
                           sy__shape *out);
/* Sizes of an image: planes of height times width. */
typedef struct sy__image {
    int64_t n, channels, height, width;
} sy__image;
sy__image sy__ref_image_of(const sy__shape *shape);

/* The output columns [first, first + count) of a piece whose tap lies inside the input, and the
 * input column of the first one. */
typedef struct sy__tap {
    int64_t first, count, column;
} sy__tap;
sy__tap sy__ref_stencil_tap(const sy__stencil *stencil, int64_t i_kernel_column, int64_t width,
                            int64_t first_column, int64_t n_columns);
/* Input row of a tap, -1 in the padding. */
int64_t sy__ref_stencil_row(const sy__stencil *stencil, int64_t i_kernel_row, int64_t height,
                            int64_t out_row);

/* The same for a transposed convolution, where every input element spreads over the kernel. Reads
 * output_padding and output_shape after the others; output_shape takes the place of the pads. */
bool sy__ref_stencil_read_spread(sy__facts *facts);
/* False when nothing of the output is left between the pads. */
bool sy__ref_stencil_spread(const sy__stencil *stencil, const sy__shape *x, int64_t n_channels,
                            sy__shape *out);
/* Here count is of input columns, each a stride further in the output. */
sy__tap sy__ref_spread_tap(const sy__stencil *stencil, int64_t i_kernel_column, int64_t width,
                           int64_t first_column, int64_t n_columns);
/* Input row whose kernel row i_kernel_row lies on an output row, -1 when there is none. */
int64_t sy__ref_spread_row(const sy__stencil *stencil, int64_t i_kernel_row, int64_t height,
                           int64_t out_row);

#endif
