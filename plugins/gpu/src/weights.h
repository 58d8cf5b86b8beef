/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constants on the device. One that several units use lies there once. A weight is cut into pieces
 * of whole rows, since a binding spans at most limits.binding_most_bytes; where a row alone is
 * longer, it is refused.
 *
 * Forms:
 *   RAW   the bytes as they are: plain types, and block types whose blocks are whole words
 *   PLAIN the same at the very beginning of the binding, for kernels that look at no planes
 *   SPLIT block types whose blocks are no whole words, cut into planes (weights_split.h). A piece
 *         holds one plane after the other, each for all of its rows; a plane counts blocks over
 *         all rows of the piece: block b of row r is number r * blocks_per_row + b.
 *
 * Every plane begins at a multiple of 16 bytes of what a binding of the piece spans, and the bytes
 * behind the last element up to such a multiple can be read.
 */
#ifndef GPU_WEIGHTS_H
#define GPU_WEIGHTS_H

#include "driver.h"

typedef enum gpu_weight_form { GPU_WEIGHT_RAW, GPU_WEIGHT_PLAIN, GPU_WEIGHT_SPLIT } gpu_weight_form;

/* A piece begins before this byte of its memory. */
#define GPU_PIECE_OFFSET_MOST ((uint64_t)1 << 20)
typedef struct gpu_weight_piece {
    gpu_memory *memory; /* NULL in a dry build */
    uint64_t offset_bytes, n_bytes;
    uint64_t first_row, n_rows;
    uint32_t plane_words[4];      /* where the planes begin; RAW and PLAIN have one */
    bool is_imported;             /* memory is the host's own */
    struct gpu_weight_slab *slab; /* that the memory belongs to; NULL: to the piece alone */
} gpu_weight_piece;

typedef struct gpu_constant {
    const uint8_t *source; /* where it lies in host memory */
    sy_element_type type;
    gpu_weight_form form;
    uint64_t rows, columns;
} gpu_constant;

typedef struct gpu_weight {
    struct gpu_weight *next;
    gpu_constant constant; /* identity; source is NULL where there is none */
    uint64_t n_bytes;      /* on the device */
    uint32_t n_users, n_pieces;
    gpu_weight_piece pieces[];
} gpu_weight;

bool gpu_constant_same(const gpu_constant *a, const gpu_constant *b);
/* The form that kernels read a type in. */
gpu_weight_form gpu_weight_form_of(sy_element_type type);
/* Takes a constant, uploaded once; source stays mapped and unchanged meanwhile. dry: counts only,
 * and the answer is the caller's alone. */
sy_status gpu_weight_take(sy_device *device, const gpu_constant *constant, bool dry,
                          gpu_weight **out_weight);
/* The same for elements that the caller may free then; never shared. */
sy_status gpu_weight_make(sy_device *device, const gpu_constant *constant, bool dry,
                          gpu_weight **out_weight);
void gpu_weight_drop(sy_device *device, gpu_weight *weight);

/* How the constants that are on the device now came there. */
typedef struct gpu_weight_counts {
    uint64_t n_bytes_copied;   /* over to it */
    uint64_t n_bytes_placed;   /* written once, where host and device see them */
    uint64_t n_bytes_imported; /* not at all: they lie in the host's memory */
} gpu_weight_counts;
gpu_weight_counts gpu_weight_count(const sy_device *device);

#endif
