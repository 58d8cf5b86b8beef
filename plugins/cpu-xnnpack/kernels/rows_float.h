/* SPDX-License-Identifier: Apache-2.0 */
/* Template: the row-wise work on f32 beside the products: quantising activations, norms, softmax,
 * activation functions, rotation, attention inner loops. Included after a vector layer; makes
 * cpu_rows_<level>. */
#include "rows_math.h"
#include "template.h"

/* n < VF elements, `fill` behind them */
static inline vfloat load_part(const float *p, size_t n, float fill) {
    vfloat v = vf_set1(fill);
    memcpy(&v, p, n * sizeof(float));
    return v;
}
static inline vfloat load_up_to(const float *p, size_t n, float fill) {
    return n >= VF ? vf_load(p) : load_part(p, n, fill);
}
static inline void store_up_to(float *p, size_t n, vfloat v) {
    if (n >= VF) {
        vf_store(p, v);
    } else {
        memcpy(p, &v, n * sizeof(float));
    }
}

/* ---- quantised activations ---- */
#define CHUNK_VECTORS (32 / VF)
typedef int8_t vbytes __attribute__((vector_size(VF)));

ALWAYS_INLINE void store_bytes(vint q, uint8_t *out) {
    vbytes bytes = __builtin_convertvector(q, vbytes);
    memcpy(out, &bytes, VF);
}

/* Chunks of 32 into records, a few at a time: one waits for its largest element, a division and its
 * sums; several wait together. An infinity or NaN makes a chunk's scale NaN: it makes its own level
 * NaN whatever the scale is, and with it the sum of all, so only that is asked. */
#define CHUNKS_AT_ONCE 4u

ALWAYS_INLINE float chunk_size(const float *x) {
    vfloat largest = vf_set1(0.0f);
    for (unsigned i = 0; i < CHUNK_VECTORS; i++) {
        vfloat v = vf_load(x + i * VF);
        largest = vf_max(largest, vf_max(v, -v));
    }
    return vf_largest(largest);
}

/* Writes the integers; halves: sums of the first and the last 16, exact. */
ALWAYS_INLINE void chunk_integers(const float *x, float inverse, cpu_planes planes, uint8_t *record,
                                  vfloat halves[2]) {
    halves[0] = halves[1] = vf_set1(0.0f);
    for (unsigned i = 0; i < CHUNK_VECTORS; i++) {
        vfloat level = vf_round(vf_load(x + i * VF) * vf_set1(inverse));
        halves[2 * i / CHUNK_VECTORS] += level;
        if (planes == CPU_PLANES_16) {
            vfloat high = vf_round(level * vf_set1(1.0f / CPU_PLANE_STEP));
            vfloat low = level - high * vf_set1(CPU_PLANE_STEP); /* exact */
            store_bytes(vf_to_int(high), record + i * VF);
            store_bytes(vf_to_int(low), record + 32 + i * VF);
        } else {
            store_bytes(vf_to_int(level), record + i * VF);
        }
    }
}

ALWAYS_INLINE void chunk_end(float scale, float first, float all, cpu_planes planes,
                             uint8_t *record) {
    cpu_record_end end = {.scale = NAN, .sum = NAN};
    if (!isnan(all)) {
        end.scale = scale;
        end.sum = scale * all;
        end.offset = -CPU_WEIGHT_ZERO * (int32_t)all;
        end.offset_16 = -CPU_WEIGHT_ZERO * (int32_t)first;
    } else {
        memset(record, 0, 32 * (size_t)planes);
    }
    memcpy(record + 32 * (size_t)planes, &end, sizeof(end));
}

ALWAYS_INLINE void quantise_chunks(const float *x, unsigned n, cpu_planes planes, uint8_t *out) {
    const float levels = planes == CPU_PLANES_16 ? 32384.0f : 127.0f;
    float scale[CHUNKS_AT_ONCE], inverse[CHUNKS_AT_ONCE];
    float first[CHUNKS_AT_ONCE], all[CHUNKS_AT_ONCE];
    for (unsigned c = 0; c < n; c++) {
        scale[c] = chunk_size(x + 32 * c);
    }
    for (unsigned c = 0; c < n; c++) {
        bool usable = scale[c] > 1e-30f;
        inverse[c] = usable ? levels / scale[c] : 0.0f;
        scale[c] = usable ? scale[c] / levels : 0.0f;
    }
    for (unsigned c = 0; c < n; c++) {
        vfloat halves[2];
        chunk_integers(x + 32 * c, inverse[c], planes, out + c * cpu_record_bytes(planes), halves);
        first[c] = vf_sum(halves[0]);
        all[c] = first[c] + vf_sum(halves[1]);
    }
    for (unsigned c = 0; c < n; c++) {
        chunk_end(scale[c], first[c], all[c], planes, out + c * cpu_record_bytes(planes));
    }
}

ALWAYS_INLINE void quantise_row(const float *x, size_t n_chunks, cpu_planes planes, uint8_t *out) {
    size_t c = 0;
    for (; c + CHUNKS_AT_ONCE <= n_chunks; c += CHUNKS_AT_ONCE) {
        quantise_chunks(x + 32 * c, CHUNKS_AT_ONCE, planes, out + c * cpu_record_bytes(planes));
    }
    for (; c < n_chunks; c++) {
        quantise_chunks(x + 32 * c, 1, planes, out + c * cpu_record_bytes(planes));
    }
}

static void quantise(const float *x, size_t k, cpu_planes planes, uint8_t *out_row) {
    if (planes == CPU_PLANES_16) {
        quantise_row(x, k / 32, CPU_PLANES_16, out_row);
    } else {
        quantise_row(x, k / 32, CPU_PLANES_8, out_row);
    }
}

/* ---- element by element ---- */
ALWAYS_INLINE void apply(cpu_unary kind, const float *x, const float *factor, size_t n,
                         float parameter, float *out) {
    for (size_t i = 0; i < n; i += VF) {
        vfloat y = vf_unary(kind, load_up_to(x + i, n - i, 1.0f), parameter);
        if (factor != NULL) {
            y = y * load_up_to(factor + i, n - i, 1.0f);
        }
        store_up_to(out + i, n - i, y);
    }
}

#define CASE(kind)                                 \
    case kind:                                     \
        apply(kind, x, factor, n, parameter, out); \
        break;

static void apply_kind(cpu_unary kind, const float *x, const float *factor, size_t n,
                       float parameter, float *out) {
    switch (kind) {
        CASE(CPU_UNARY_SILU)
        CASE(CPU_UNARY_GELU)
        CASE(CPU_UNARY_GELU_TANH)
        CASE(CPU_UNARY_RELU)
        CASE(CPU_UNARY_SIGMOID)
        CASE(CPU_UNARY_TANH)
        CASE(CPU_UNARY_SOFTCAP)
        CASE(CPU_UNARY_EXP)
        CASE(CPU_UNARY_ERF)
        CASE(CPU_UNARY_SQRT)
        CASE(CPU_UNARY_ABS)
        CASE(CPU_UNARY_NEG)
        CASE(CPU_UNARY_RECIPROCAL)
    case CPU_UNARY_COUNT:
        break;
    }
}
static void unary(cpu_unary kind, const float *x, size_t n, float parameter, float *out) {
    apply_kind(kind, x, NULL, n, parameter, out);
}
static void gated(cpu_unary kind, const float *gate, const float *up, size_t n, float *out) {
    apply_kind(kind, gate, up, n, 1.0f, out);
}

static void binary(cpu_binary kind, const float *a, const float *b, size_t n, float *out) {
    for (size_t i = 0; i < n; i += VF) {
        vfloat x = load_up_to(a + i, n - i, 1.0f), y = load_up_to(b + i, n - i, 1.0f);
        vfloat z = kind == CPU_BINARY_ADD   ? x + y
                   : kind == CPU_BINARY_SUB ? x - y
                   : kind == CPU_BINARY_MUL ? x * y
                                            : x / y;
        store_up_to(out + i, n - i, z);
    }
}

static void scale_row(const float *x, float factor, size_t n, float *out) {
    for (size_t i = 0; i < n; i += VF) {
        store_up_to(out + i, n - i, load_up_to(x + i, n - i, 0.0f) * vf_set1(factor));
    }
}

/* ---- norms and softmax ---- */
/* Sums that scale a whole row are finished in double: their rounding would hit every element. Four
 * run side by side, so that no addition waits for the one before it. */
static double sum_of_lanes(vfloat v) {
    double sum[4] = {0.0};
    for (int i = 0; i < VF; i++) {
        sum[i % 4] += (double)v[i];
    }
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

static double sum_of_squares(const float *x, size_t n, float minus) {
    vfloat sum[4] = {vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f)};
    vfloat shift = vf_set1(minus);
    size_t i = 0;
    for (; i + 4 * VF <= n; i += 4 * VF) {
        for (unsigned j = 0; j < 4; j++) {
            vfloat v = vf_load(x + i + j * VF) - shift;
            sum[j] = vf_fma(v, v, sum[j]);
        }
    }
    for (; i < n; i += VF) {
        vfloat v = load_up_to(x + i, n - i, minus) - shift;
        sum[0] = vf_fma(v, v, sum[0]);
    }
    return sum_of_lanes((sum[0] + sum[2]) + (sum[1] + sum[3]));
}

static void rms_norm(const float *x, const float *scale, size_t n, float epsilon, float *out) {
    double mean = sum_of_squares(x, n, 0.0f) / (double)n;
    vfloat factor = vf_set1((float)(1.0 / sqrt(mean + (double)epsilon)));
    for (size_t i = 0; i < n; i += VF) {
        vfloat y = load_up_to(x + i, n - i, 0.0f) * factor;
        store_up_to(out + i, n - i, y * load_up_to(scale + i, n - i, 0.0f));
    }
}

static void layer_norm(const float *x, const float *scale, const float *bias, size_t n,
                       float epsilon, float *out) {
    vfloat sum = vf_set1(0.0f);
    for (size_t i = 0; i < n; i += VF) {
        sum = sum + load_up_to(x + i, n - i, 0.0f);
    }
    float mean = (float)(sum_of_lanes(sum) / (double)n);
    double variance = sum_of_squares(x, n, mean) / (double)n;
    vfloat shift = vf_set1(mean);
    vfloat factor = vf_set1((float)(1.0 / sqrt(variance + (double)epsilon)));
    for (size_t i = 0; i < n; i += VF) {
        vfloat y = (load_up_to(x + i, n - i, 0.0f) - shift) * factor;
        vfloat offset = bias != NULL ? load_up_to(bias + i, n - i, 0.0f) : vf_set1(0.0f);
        store_up_to(out + i, n - i, vf_fma(y, load_up_to(scale + i, n - i, 0.0f), offset));
    }
}

static float largest_of(const float *x, size_t n) {
    vfloat largest = vf_set1(-INFINITY);
    for (size_t i = 0; i < n; i += VF) {
        largest = vf_max(largest, load_up_to(x + i, n - i, -INFINITY));
    }
    return vf_largest(largest);
}

/* x becomes exp(x - maximum), answers the sum */
static float exp_and_sum(float *x, size_t n, float maximum) {
    vfloat sum = vf_set1(0.0f), shift = vf_set1(maximum);
    for (size_t i = 0; i < n; i += VF) {
        vfloat e = vf_exp(load_up_to(x + i, n - i, -INFINITY) - shift);
        store_up_to(x + i, n - i, e);
        sum = sum + (n - i >= VF ? e : load_part(x + i, n - i, 0.0f));
    }
    return vf_sum(sum);
}

static void softmax(const float *x, size_t n, float *out) {
    float maximum = largest_of(x, n);
    memmove(out, x, n * sizeof(float));
    float sum = exp_and_sum(out, n, maximum);
    for (size_t i = 0; i < n; i += VF) {
        store_up_to(out + i, n - i, load_up_to(out + i, n - i, 0.0f) / vf_set1(sum));
    }
}

/* ---- rotation ---- */
static void rotate(const float *x, size_t d, size_t n_pairs, bool interleaved, const float *table,
                   float *out) {
    const float *cosine = table, *sine = table + n_pairs;
    if (interleaved) {
        for (size_t i = 0; i < n_pairs; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            out[2 * i] = a * cosine[i] - b * sine[i];
            out[2 * i + 1] = b * cosine[i] + a * sine[i];
        }
    } else {
        for (size_t i = 0; i < n_pairs; i += VF) {
            size_t n = n_pairs - i;
            vfloat c = load_up_to(cosine + i, n, 0.0f), s = load_up_to(sine + i, n, 0.0f);
            vfloat a = load_up_to(x + i, n, 0.0f), b = load_up_to(x + n_pairs + i, n, 0.0f);
            store_up_to(out + i, n, a * c - b * s);
            store_up_to(out + n_pairs + i, n, b * c + a * s);
        }
    }
    memmove(out + 2 * n_pairs, x + 2 * n_pairs, (d - 2 * n_pairs) * sizeof(float));
}

/* ---- rows weighted and added ---- */
ALWAYS_INLINE void accumulate_tile(const float *weights, const float *v, size_t stride, size_t n,
                                   float factor, unsigned n_vectors, size_t n_last, float *acc) {
    vfloat even[4], odd[4]; /* two sums: less rounding, and two chains of additions at once */
    for (unsigned i = 0; i < n_vectors; i++) {
        even[i] = load_up_to(acc + i * VF, n_last, 0.0f) * vf_set1(factor);
        odd[i] = vf_set1(0.0f);
    }
    size_t j = 0;
    for (; j + 2 <= n; j += 2) {
        vfloat w = vf_set1(weights[j]), w2 = vf_set1(weights[j + 1]);
        const float *row = v + j * stride, *row2 = row + stride;
        for (unsigned i = 0; i < n_vectors; i++) {
            even[i] = vf_fma(w, load_up_to(row + i * VF, n_last, 0.0f), even[i]);
            odd[i] = vf_fma(w2, load_up_to(row2 + i * VF, n_last, 0.0f), odd[i]);
        }
    }
    for (unsigned i = 0; j < n && i < n_vectors; i++) {
        const float *row = v + j * stride;
        even[i] = vf_fma(vf_set1(weights[j]), load_up_to(row + i * VF, n_last, 0.0f), even[i]);
    }
    for (unsigned i = 0; i < n_vectors; i++) {
        store_up_to(acc + i * VF, n_last, even[i] + odd[i]);
    }
}

static void accumulate(const float *weights, const float *v, size_t stride, size_t n, size_t d,
                       float factor, float *acc) {
    size_t i = 0;
    for (; i + 4 * VF <= d; i += 4 * VF) {
        accumulate_tile(weights, v + i, stride, n, factor, 4, VF, acc + i);
    }
    for (; i < d; i += VF) {
        accumulate_tile(weights, v + i, stride, n, factor, 1, d - i, acc + i);
    }
}

#include "rows_expand.h"

extern const cpu_row_kernels CPU_JOIN(cpu_rows_, CPU_LEVEL);
const cpu_row_kernels CPU_JOIN(cpu_rows_, CPU_LEVEL) = {.quantise = quantise,
                                                        .unary = unary,
                                                        .gated = gated,
                                                        .binary = binary,
                                                        .scale = scale_row,
                                                        .rms_norm = rms_norm,
                                                        .layer_norm = layer_norm,
                                                        .softmax = softmax,
                                                        .rotate = rotate,
                                                        .accumulate = accumulate,
                                                        .expand = expand};
