/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel table: one per ISA level, filled by the files named <op>_<type family>_<isa>.c, each
 * of which only includes the vector layer of its level and the template of the operation. Nothing
 * here allocates, blocks or knows the plugin ABI beyond the element types.
 *
 * Two rules hold for every kernel that computes an output element:
 *   - its bits depend on its own row and column only, not on how many rows or columns the call
 *     has, so that one token alone and in a batch gives the same result;
 *   - no reduction is split between calls, so that the number of threads cannot matter.
 */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include "sy_plugin.h"

#include <stdbool.h>

#define CPU_TYPE_TABLE 64u /* element types below this have an entry */

/*
 * Quantised activations, made once per row and shared by every consumer. A row of k elements (k a
 * multiple of 32) is k / 32 records, padded to 64 bytes; a record is int8 high[32], int8 low[32]
 * (two planes only) and a cpu_record_end.
 * One plane:  x = scale * q, q = high, |high| <= 127.
 * Two planes: x = scale * q, q = 254 * high + low, both within +-127, about 16 bits.
 */
#define CPU_PLANE_STEP 254
typedef enum cpu_planes { CPU_PLANES_8 = 1, CPU_PLANES_16 = 2 } cpu_planes;

typedef struct cpu_record_end {
    float scale, sum;          /* sum of the 32 x = scale * sum of q */
    int32_t offset, offset_16; /* -128 * sum of all q, and of the first 16 */
} cpu_record_end;
#define CPU_WEIGHT_ZERO 128 /* added to signed weights, so that u8 x s8 products serve them */

static inline size_t cpu_record_bytes(cpu_planes planes) {
    return 32 * (size_t)planes + sizeof(cpu_record_end);
}
static inline size_t cpu_activation_row_bytes(size_t k, cpu_planes planes) {
    return (k / 32 * cpu_record_bytes(planes) + 63) & ~(size_t)63;
}

/* out[r * out_stride + c] = sum over k of x[r][k] * w[c][k] + bias[c]. */
typedef struct cpu_linear {
    const uint8_t *weights; /* row c at weights + c * weight_row_bytes, any alignment */
    size_t weight_row_bytes;
    const uint8_t *rows; /* quantised activations (block types) or f32 (plain types) */
    size_t row_bytes;
    const float *bias; /* or NULL */
    float *out;
    size_t out_stride; /* elements */
    size_t k, n_columns, n_rows;
    cpu_planes planes; /* block types only */
    uint8_t *space;    /* cpu_linear_space_bytes(k) bytes, 64-byte aligned, of the calling worker */
    const uint8_t *ahead; /* weights that this worker is likely to want next, or NULL */
} cpu_linear;

/* Weights unpacked at a time: up to this many columns, as long as they stay well within an L2. */
#define CPU_PANEL_COLUMNS_MOST 96u
#define CPU_PANEL_BYTES_AIM ((size_t)320 << 10)

/* One column of a panel: a byte per element, factors of up to 2 x 16 elements and their minima. */
static inline size_t cpu_panel_column_bytes(size_t k) {
    return k + k / 32 * 4 * sizeof(float);
}
/* Columns that a kernel unpacks together, a multiple of 32. */
static inline size_t cpu_panel_columns(size_t k) {
    size_t n = CPU_PANEL_BYTES_AIM / (cpu_panel_column_bytes(k) + 1) & ~(size_t)31;
    return n < 32 ? 32 : n > CPU_PANEL_COLUMNS_MOST ? CPU_PANEL_COLUMNS_MOST : n;
}
static inline size_t cpu_linear_space_bytes(size_t k) {
    return cpu_panel_columns(k) * cpu_panel_column_bytes(k) + 64;
}

typedef struct cpu_type_kernels {
    void (*linear)(const cpu_linear *linear);
    /* n elements from the start of a row; n is a multiple of 32 for block types. */
    void (*decode)(const uint8_t *row, size_t n, float *out);
    void (*encode)(const float *x, size_t n, uint8_t *out_row); /* NULL where nothing writes it */
} cpu_type_kernels;

typedef enum cpu_unary {
    CPU_UNARY_SILU, /* x * sigmoid(parameter * x) */
    CPU_UNARY_GELU,
    CPU_UNARY_GELU_TANH,
    CPU_UNARY_RELU,
    CPU_UNARY_SIGMOID,
    CPU_UNARY_TANH,
    CPU_UNARY_SOFTCAP, /* parameter * tanh(x / parameter) */
    CPU_UNARY_EXP,
    CPU_UNARY_ERF,
    CPU_UNARY_SQRT,
    CPU_UNARY_ABS,
    CPU_UNARY_NEG,
    CPU_UNARY_RECIPROCAL,
    CPU_UNARY_COUNT
} cpu_unary;

typedef enum cpu_binary {
    CPU_BINARY_ADD,
    CPU_BINARY_SUB,
    CPU_BINARY_MUL,
    CPU_BINARY_DIV
} cpu_binary;

/* out[r * out_stride + c] += sum over j, in its order, of narrow[r * narrow_stride + j] * w[j][c].
 * The matrix lies in tiles of columns, [rank][CPU_EXPAND_COLUMNS] each; the last one is whole. */
#define CPU_EXPAND_COLUMNS 32u
typedef struct cpu_expand {
    const uint8_t *wide;  /* a tile's first byte, any alignment */
    sy_element_type type; /* f32, f16, bf16 */
    const float *narrow;
    float *out;
    size_t narrow_stride, out_stride; /* elements */
    size_t rank, n_columns, n_rows;
} cpu_expand;

typedef struct cpu_row_kernels {
    void (*quantise)(const float *x, size_t k, cpu_planes planes, uint8_t *out_row);
    void (*unary)(cpu_unary kind, const float *x, size_t n, float parameter, float *out);
    /* out = unary(gate) * up */
    void (*gated)(cpu_unary kind, const float *gate, const float *up, size_t n, float *out);
    void (*binary)(cpu_binary kind, const float *a, const float *b, size_t n, float *out);
    void (*scale)(const float *x, float factor, size_t n, float *out);
    void (*rms_norm)(const float *x, const float *scale, size_t n, float epsilon, float *out);
    void (*layer_norm)(const float *x, const float *scale, const float *bias, size_t n,
                       float epsilon, float *out);
    void (*softmax)(const float *x, size_t n, float *out);
    /* One head of d elements, the first 2 * n_pairs of them rotated; table: cos[n], sin[n]. */
    void (*rotate)(const float *x, size_t d, size_t n_pairs, bool interleaved, const float *table,
                   float *out);
    /* acc[i] = acc[i] * factor + sum over j of weights[j] * v_j[i], in the order of j. */
    void (*accumulate)(const float *weights, const float *v, size_t stride, size_t n, size_t d,
                       float factor, float *acc);
    void (*expand)(const cpu_expand *expand);
} cpu_row_kernels;

typedef struct cpu_attention_kernels cpu_attention_kernels; /* attention.h */

/* One ISA level. */
typedef struct cpu_kernels {
    const char *name;
    float int8_gops, f32_gflops;    /* prior of one core, multiply and add counted apart */
    const cpu_type_kernels *blocks; /* CPU_TYPE_TABLE entries */
    const cpu_type_kernels *plain;  /* CPU_TYPE_TABLE entries */
    const cpu_row_kernels *rows;
    const cpu_attention_kernels *attention;
} cpu_kernels;

/* The kernels of a type, or NULL when there are none. */
static inline const cpu_type_kernels *cpu_kernels_of(const cpu_kernels *kernels,
                                                     sy_element_type type) {
    if (type >= CPU_TYPE_TABLE) {
        return NULL;
    }
    if (kernels->blocks[type].linear != NULL) {
        return &kernels->blocks[type];
    }
    return kernels->plain[type].linear != NULL ? &kernels->plain[type] : NULL;
}

/* The levels this build has and this machine can run, best first; ends with NULL. */
const cpu_kernels *const *cpu_kernels_available(void);
/* The best level, or the one called `name`; NULL when this machine or build lacks it. */
const cpu_kernels *cpu_kernels_select(const char *name);

#endif
