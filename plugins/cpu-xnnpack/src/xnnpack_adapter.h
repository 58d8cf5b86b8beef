/* SPDX-License-Identifier: Apache-2.0 */
/* All that touches XNNPACK, whichever version is built in; without one the functions answer "not
 * present". Two uses: single products (linear), whose columns are split over the host's team
 * outside of the library, and graphs, which run inside of it. */
#ifndef CPU_XNNPACK_ADAPTER_H
#define CPU_XNNPACK_ADAPTER_H

#include "operators.h"

#include <math.h>

#define CPU_LINEAR_COLUMNS 64u /* columns of one task, also of one XNNPACK operator */
/* Elements of a weight matrix that goes to XNNPACK. It packs a copy, so not the largest; it sums
 * in the order of k, which rounds more than lanes do, so not where little time is at stake. */
#define CPU_XNNPACK_WEIGHT_LEAST (64 << 10)
#define CPU_XNNPACK_WEIGHT_MOST (64 << 20)

bool cpu_xnnpack_present(void);
bool cpu_xnnpack_start(void);
void cpu_xnnpack_stop(void);

/* What cpu_params.object points to begins with its destructor. */
typedef struct cpu_xnnpack_object {
    void (*destroy)(void *object);
} cpu_xnnpack_object;
/* NULL is fine. */
void cpu_xnnpack_release(void *object);

/* y = x w' + bias in f32; w is [n, k]. */
typedef struct cpu_xnnpack_product {
    const float *w;
    const float *bias;      /* or NULL */
    const void *bias_bytes; /* of the graph, from which bias was decoded */
    sy_element_type bias_type;
    uint64_t k, n;
} cpu_xnnpack_product;

/* The products of a device. Units with the same one, as those of prefill and decode, share it: its
 * weights are packed once. NULL: no memory, or none are needed. */
typedef struct cpu_xnnpack_products cpu_xnnpack_products;
cpu_xnnpack_products *cpu_xnnpack_products_create(void);
void cpu_xnnpack_products_destroy(cpu_xnnpack_products *products);

/* One more user of a product; each ends with cpu_xnnpack_release. Writes the bytes that this call
 * packed, 0 where others had done so. */
sy_status cpu_xnnpack_linear_join(cpu_xnnpack_products *products,
                                  const cpu_xnnpack_product *product, void **out_object,
                                  uint64_t *out_bytes);
sy_status cpu_xnnpack_linear_run(cpu_run *run, void *object, const float *x, uint64_t n_rows,
                                 float *y);

/* ---- graphs. Definitions after a failed one do nothing; finish answers the first failure. ---- */
#define CPU_XNN_EXTRA_BYTES 128u /* that the library may read past the end of a tensor */
#define CPU_XNN_NONE UINT32_MAX
#define CPU_XNN_DIMENSIONS 4u

typedef struct cpu_xnn_graph cpu_xnn_graph;

typedef enum cpu_xnn_type {
    CPU_XNN_F32,
    CPU_XNN_I8,          /* one scale */
    CPU_XNN_I32,         /* a bias */
    CPU_XNN_I8_CHANNELS, /* a scale for each index of a dimension, zero point 0 */
    CPU_XNN_I32_CHANNELS
} cpu_xnn_type;

/* Channels are the last dimension. Arrays of scales must live until finish. */
typedef struct cpu_xnn_value {
    cpu_xnn_type type;
    uint32_t rank;
    size_t dims[CPU_XNN_DIMENSIONS];
    const void *data; /* a constant; NULL: computed, or bound by finish */
    float scale;
    int32_t zero;
    const float *scales;
    size_t channel_dimension;
    uint32_t i_external; /* CPU_XNN_NONE: inside the graph */
    bool is_input;       /* of an external one, else an output */
} cpu_xnn_value;

/* Height, then width. */
typedef struct cpu_xnn_window {
    uint32_t kernel[2], stride[2], dilation[2], before[2], after[2];
} cpu_xnn_window;

typedef struct cpu_xnn_limits {
    float low, high;
} cpu_xnn_limits;
#define CPU_XNN_NO_LIMITS   \
    (cpu_xnn_limits) {      \
        -INFINITY, INFINITY \
    }

typedef enum cpu_xnn_unary {
    CPU_XNN_CLAMP, /* to the limits */
    CPU_XNN_CONVERT,
    CPU_XNN_LEAKY_RELU,
    CPU_XNN_ELU,
    CPU_XNN_HARD_SWISH,
    CPU_XNN_SIGMOID,
    CPU_XNN_ABS,
    CPU_XNN_NEGATE
} cpu_xnn_unary;

typedef enum cpu_xnn_binary {
    CPU_XNN_ADD,
    CPU_XNN_SUBTRACT,
    CPU_XNN_MULTIPLY,
    CPU_XNN_DIVIDE,
    CPU_XNN_PRELU /* the second is a constant slope for each channel */
} cpu_xnn_binary;

sy_status cpu_xnn_graph_create(uint32_t n_external, cpu_xnn_graph **out_graph);
uint32_t cpu_xnn_value_add(cpu_xnn_graph *graph, const cpu_xnn_value *value);

typedef struct cpu_xnn_convolution {
    cpu_xnn_window window;
    uint32_t n_groups, in_channels, out_channels; /* of one group */
    cpu_xnn_limits limits;
    uint32_t x, w, bias, y;
} cpu_xnn_convolution;
/* w is [groups * out, height, width, in], or [1, height, width, groups * out] for depthwise. */
void cpu_xnn_convolve(cpu_xnn_graph *graph, const cpu_xnn_convolution *convolution);
bool cpu_xnn_is_depthwise(const cpu_xnn_convolution *convolution);

void cpu_xnn_max_pool(cpu_xnn_graph *graph, const cpu_xnn_window *window, cpu_xnn_limits limits,
                      uint32_t x, uint32_t y);
void cpu_xnn_average_pool(cpu_xnn_graph *graph, const cpu_xnn_window *window, uint32_t x,
                          uint32_t y);
/* y is [n, 1, 1, channels] or, of rank 2, [n, channels]. */
void cpu_xnn_global_average(cpu_xnn_graph *graph, uint32_t y_rank, uint32_t x, uint32_t y);
/* Zeros around height and width. */
void cpu_xnn_pad(cpu_xnn_graph *graph, const cpu_xnn_window *window, uint32_t x, uint32_t y);
void cpu_xnn_fully_connected(cpu_xnn_graph *graph, cpu_xnn_limits limits, uint32_t x, uint32_t w,
                             uint32_t bias, uint32_t y);
void cpu_xnn_unary_add(cpu_xnn_graph *graph, cpu_xnn_unary unary, cpu_xnn_limits limits,
                       float alpha, uint32_t x, uint32_t y);
void cpu_xnn_binary_add(cpu_xnn_graph *graph, cpu_xnn_binary binary, cpu_xnn_limits limits,
                        uint32_t a, uint32_t b, uint32_t y);
void cpu_xnn_softmax(cpu_xnn_graph *graph, uint32_t x, uint32_t y);
void cpu_xnn_reshape(cpu_xnn_graph *graph, uint32_t rank, const size_t *dims, uint32_t x,
                     uint32_t y);

/* n values behind one another along a dimension. */
void cpu_xnn_concatenate(cpu_xnn_graph *graph, uint32_t axis, uint32_t n, const uint32_t *xs,
                         uint32_t y);

/* Makes it ready to run on these memories, one for each external value. n_workers: of the team,
 * where the version can be lent one. INTERNAL, without a report: the version refuses the graph. */
sy_status cpu_xnn_graph_finish(cpu_xnn_graph *graph, void *const *externals, uint32_t n_workers);
/* Bytes of weights that a finished graph packed more than once. */
uint64_t cpu_xnn_graph_copies(const cpu_xnn_graph *graph);
/* cost: about multiply-adds. */
sy_status cpu_xnn_graph_run(cpu_run *run, cpu_xnn_graph *graph, double cost);
void cpu_xnn_graph_destroy(cpu_xnn_graph *graph); /* NULL is fine */

#endif
