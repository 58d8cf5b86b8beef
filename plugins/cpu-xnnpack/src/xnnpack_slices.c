/* SPDX-License-Identifier: Apache-2.0 */
/* Where stages are cut. Every element of a result is computed by one operator alone and in one
 * order, so cutting changes no bit. */
#include "xnnpack_stages.h"

#ifdef CPU_XNNPACK_STAGES

#define LEAST_WORK 131072.0            /* multiply-adds of a slice */
#define LEAST_ELEMENTS 16384.0         /* of a slice of an elementwise stage */
#define CHANNELS 32u                   /* a slice begins at a multiple of this */
#define BAND_WEIGHTS (96u << 10)       /* bytes of weights that every band may pack again */
#define BAND_WEIGHTS_MOST (768u << 10) /* the same where channels give few slices */
#define BAND_ROWS 2u                   /* least of a band */

typedef enum cut { CUT_NOT, CUT_CHANNELS, CUT_GROUPS, CUT_BANDS, CUT_ROWS, CUT_ELEMENTS } cut;

static const cpu_stage_value *value(const cpu_xnn_graph *graph, uint32_t i) {
    return &graph->values[i];
}

bool cpu_stage_same_shape(const cpu_stage_value *a, const cpu_stage_value *b) {
    bool same = a->is.rank == b->is.rank;
    for (uint32_t i = 0; same && i < a->is.rank; i++) {
        same = a->is.dims[i] == b->is.dims[i];
    }
    return same;
}

static double work_of(const cpu_xnn_graph *graph, const cpu_stage *s) {
    const cpu_xnn_convolution *c = &s->node;
    const cpu_stage_value *x = value(graph, c->x), *y = value(graph, c->y);
    double taps = (double)c->window.kernel[0] * (double)c->window.kernel[1];
    switch (s->kind) {
    case CPU_STAGE_CONVOLUTION:
        return (double)y->n * taps * (double)c->in_channels;
    case CPU_STAGE_MAX_POOL:
    case CPU_STAGE_AVERAGE_POOL:
        return (double)y->n * taps * LEAST_WORK / LEAST_ELEMENTS / 4.0;
    case CPU_STAGE_PRODUCT:
        return (double)y->n * (double)cpu_stage_channels(x);
    default:
        return (double)(x->n > y->n ? x->n : y->n) * LEAST_WORK / LEAST_ELEMENTS;
    }
}

/* One picture is cut into bands of rows where that packs little twice, others by channels. */
static cut window_cut(const cpu_xnn_graph *graph, const cpu_stage *s) {
    const cpu_xnn_convolution *c = &s->node;
    const cpu_stage_value *y = value(graph, c->y);
    bool is_convolution = s->kind == CPU_STAGE_CONVOLUTION;
    size_t weights = is_convolution ? value(graph, c->w)->n_bytes : 0;
    bool by_groups = is_convolution && c->n_groups > 1;
    size_t reach = (size_t)c->window.dilation[0] * (c->window.kernel[0] - 1) + 1;
    bool every_band_reads = c->window.before[0] < reach && c->window.after[0] < reach;
    bool is_narrow = cpu_stage_channels(y) < CPU_SLICES_MOST / 2 * CHANNELS;
    if (y->is.dims[0] == 1 && y->is.dims[1] >= CPU_SLICES_MOST && every_band_reads &&
        weights <= (is_narrow ? BAND_WEIGHTS_MOST : BAND_WEIGHTS) &&
        s->kind != CPU_STAGE_AVERAGE_POOL) {
        return CUT_BANDS; /* pools that average take another kernel without pads */
    }
    return by_groups ? CUT_GROUPS : CUT_CHANNELS;
}

static cut cut_of(const cpu_xnn_graph *graph, const cpu_stage *s) {
    switch (s->kind) {
    case CPU_STAGE_CONVOLUTION:
    case CPU_STAGE_MAX_POOL:
    case CPU_STAGE_AVERAGE_POOL:
        return window_cut(graph, s);
    case CPU_STAGE_GLOBAL_AVERAGE:
    case CPU_STAGE_PRODUCT:
        return CUT_CHANNELS;
    case CPU_STAGE_UNARY:
        return CUT_ELEMENTS;
    case CPU_STAGE_BINARY:
        if (s->binary == CPU_XNN_PRELU) {
            return CUT_ROWS;
        }
        return cpu_stage_same_shape(value(graph, s->node.x), value(graph, s->node.w)) ? CUT_ELEMENTS
                                                                                      : CUT_ROWS;
    default:
        return CUT_NOT;
    }
}

uint32_t cpu_stage_rows_dimension(const cpu_stage_value *y) {
    uint32_t i = 0;
    while (i + 1 < y->is.rank && y->is.dims[i] == 1) {
        i++;
    }
    return i;
}

/* What is cut, and the pieces that no cut goes through. */
static size_t extent_of(const cpu_xnn_graph *graph, const cpu_stage *s, cut how, size_t *out_step) {
    const cpu_stage_value *y = value(graph, s->node.y);
    *out_step = 1;
    switch (how) {
    case CUT_CHANNELS:
        *out_step = CHANNELS;
        return cpu_stage_channels(y);
    case CUT_GROUPS:
        *out_step = s->node.in_channels == 1 ? CHANNELS : 1;
        return s->node.n_groups;
    case CUT_BANDS:
        *out_step = BAND_ROWS;
        return y->is.dims[1];
    case CUT_ROWS:
        return s->binary == CPU_XNN_PRELU ? y->n / cpu_stage_channels(y)
                                          : y->is.dims[cpu_stage_rows_dimension(y)];
    case CUT_ELEMENTS:
        *out_step = 256;
        return y->n;
    default:
        return 1;
    }
}

uint32_t cpu_stage_cut(const cpu_xnn_graph *graph, const cpu_stage *stage) {
    size_t step = 1;
    size_t extent = extent_of(graph, stage, cut_of(graph, stage), &step);
    double wanted = work_of(graph, stage) / LEAST_WORK;
    size_t most = (extent + step - 1) / step;
    most = most < CPU_SLICES_MOST ? most : CPU_SLICES_MOST;
    if (graph->n_workers < 2 || wanted < 2.0 || most < 2) {
        return 1;
    }
    return wanted < (double)most ? (uint32_t)wanted : (uint32_t)most;
}

bool cpu_stage_packs_again(const cpu_xnn_graph *graph, const cpu_stage *stage) {
    return stage->kind == CPU_STAGE_CONVOLUTION && cut_of(graph, stage) == CUT_BANDS;
}

/* The rows of x under rows [y_row, y_row + n) of y, and the pads that these still see. */
static void band_of(const cpu_stage_value *x, const cpu_xnn_window *w, size_t n, cpu_slice *out) {
    size_t reach = (size_t)w->dilation[0] * (w->kernel[0] - 1) + 1;
    size_t top = out->y_row * w->stride[0], needed = (n - 1) * w->stride[0] + reach;
    size_t before = top < w->before[0] ? w->before[0] - top : 0;
    out->in_row = top > w->before[0] ? top - w->before[0] : 0;
    size_t left = x->is.dims[1] - out->in_row, wanted = needed - before;
    out->n_in_rows = wanted < left ? wanted : left;
    out->window.before[0] = (uint32_t)before;
    out->window.after[0] = (uint32_t)(wanted - out->n_in_rows);
}

cpu_slice cpu_stage_slice(const cpu_xnn_graph *graph, const cpu_stage *stage, uint32_t i_slice) {
    cut how = cut_of(graph, stage);
    const cpu_stage_value *x = value(graph, stage->node.x), *y = value(graph, stage->node.y);
    size_t step = 1, extent = extent_of(graph, stage, how, &step);
    size_t n_steps = (extent + step - 1) / step;
    size_t from = n_steps * i_slice / stage->n_slices * step;
    size_t to = n_steps * (i_slice + 1) / stage->n_slices * step;
    cpu_slice slice = {.first = from, .window = stage->node.window};
    slice.n = (to < extent ? to : extent) - from;
    slice.n_in_rows = x->is.rank == 4 ? x->is.dims[1] : 1;
    if (how == CUT_BANDS) {
        slice.y_row = slice.first;
        if (stage->n_slices > 1) {
            band_of(x, &stage->node.window, slice.n, &slice);
        }
        slice.first = 0;
        slice.n = stage->kind == CPU_STAGE_CONVOLUTION && stage->node.n_groups > 1
                      ? stage->node.n_groups
                      : cpu_stage_channels(y);
    }
    return slice;
}
#endif
