/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs over the 2022 version's single operators. Its own graphs run on a pool of pthreads that
 * takes no foreign ones, so here each node is a stage, cut into slices - of channels, of rows of
 * the picture, of elements - that are operators of their own and run as tasks of the host's team.
 * xnnpack_stages.c keeps the stages, fuses limits into what comes before them, lays values out and
 * runs; xnnpack_slices.c cuts; xnnpack_slice_make.c makes the operators.
 */
#ifndef CPU_XNNPACK_STAGES_H
#define CPU_XNNPACK_STAGES_H

#include "xnnpack_adapter.h"

#if defined(CPU_HAVE_XNNPACK) && !defined(CPU_XNNPACK_RESHAPES)
#define CPU_XNNPACK_STAGES
#include <xnnpack.h>

#define CPU_SLICES_MOST 8u

typedef struct cpu_stage_value {
    cpu_xnn_value is;
    uint64_t n; /* elements */
    size_t n_bytes, offset;
    uint32_t first, last, n_readers; /* stages that make and read it */
    uint8_t *memory;                 /* NULL for constants */
    bool is_placed;                  /* it has an offset */
} cpu_stage_value;

typedef enum cpu_stage_kind {
    CPU_STAGE_CONVOLUTION,
    CPU_STAGE_MAX_POOL,
    CPU_STAGE_AVERAGE_POOL,
    CPU_STAGE_GLOBAL_AVERAGE,
    CPU_STAGE_PRODUCT,
    CPU_STAGE_BINARY,
    CPU_STAGE_UNARY,
    CPU_STAGE_SOFTMAX,
    CPU_STAGE_PAD,
    CPU_STAGE_RESHAPE, /* these two without operators */
    CPU_STAGE_CONCATENATE
} cpu_stage_kind;

/* What one operator of a stage computes. */
typedef struct cpu_slice {
    size_t first, n;                 /* channels, groups, rows or elements, by kind */
    cpu_xnn_window window;           /* with the pads of its rows */
    size_t in_row, n_in_rows, y_row; /* of pictures */
} cpu_slice;

typedef struct cpu_stage {
    cpu_stage_kind kind;
    cpu_xnn_convolution node; /* window, limits, x, w, bias, y; b of a binary is w */
    cpu_xnn_unary unary;
    cpu_xnn_binary binary;
    float alpha;
    uint32_t axis, n_parts, parts[KIT_INPUTS_MAX]; /* CONCATENATE; x is the first part */
    bool is_gone;                                  /* a stage before has it in it */
    uint32_t n_slices;
    xnn_operator_t slices[CPU_SLICES_MOST];
} cpu_stage;

struct cpu_xnn_graph {
    cpu_stage_value *values;
    cpu_stage *stages;
    size_t n_values, values_capacity, n_stages, stages_capacity;
    uint8_t *memory; /* of values between stages */
    size_t n_bytes;
    uint32_t n_external, n_workers;
    sy_status status; /* the first failure */
};

static inline const uint8_t *cpu_stage_read(const cpu_stage_value *v) {
    return v->is.data != NULL ? v->is.data : v->memory;
}
static inline size_t cpu_stage_element(const cpu_stage_value *v) {
    return v->is.type == CPU_XNN_I8 || v->is.type == CPU_XNN_I8_CHANNELS ? 1 : 4;
}

/* The last dimension. */
static inline size_t cpu_stage_channels(const cpu_stage_value *v) {
    return v->is.rank > 0 ? v->is.dims[v->is.rank - 1] : 1;
}

bool cpu_stage_same_shape(const cpu_stage_value *a, const cpu_stage_value *b);
/* Rows of a binary that broadcasts are those of the first dimension of y that is not one. */
uint32_t cpu_stage_rows_dimension(const cpu_stage_value *y);
/* How many operators a stage becomes. The results do not depend on it. */
uint32_t cpu_stage_cut(const cpu_xnn_graph *graph, const cpu_stage *stage);
/* Whether every slice packs all the weights. */
bool cpu_stage_packs_again(const cpu_xnn_graph *graph, const cpu_stage *stage);
cpu_slice cpu_stage_slice(const cpu_xnn_graph *graph, const cpu_stage *stage, uint32_t i_slice);
/* Makes slice i of a stage, ready to run. */
enum xnn_status cpu_slice_make(const cpu_xnn_graph *graph, const cpu_stage *stage,
                               const cpu_slice *slice, xnn_operator_t *out_operator);
#endif
#endif
