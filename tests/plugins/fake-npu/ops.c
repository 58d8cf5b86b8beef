/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of the fake NPU, but for attention. Everything computes in f32 row by row. */
#include "fake_npu.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *domain, *op;
    uint32_t version;
    const char *attributes; /* that it understands, each between blanks */
} known[FAKE_OP_COUNT] = {
    [FAKE_LINEAR] = {"switchyard", "Linear", 1, " "},
    [FAKE_ADD] = {"", "Add", 14, " "},
    [FAKE_MUL] = {"", "Mul", 14, " "},
    [FAKE_RMS_NORM] = {"", "RMSNormalization", 23, " axis epsilon stash_type "},
    [FAKE_ADD_RMS_NORM] = {"switchyard", "AddRMSNormalization", 1, " epsilon "},
    [FAKE_GATED] = {"switchyard", "GatedActivation", 1, " activation "},
    [FAKE_ROTARY] = {"switchyard", "RotaryEmbedding", 1, " num_heads interleaved magnitude "},
    [FAKE_ATTENTION] = {"switchyard", "Attention", 1,
                        " num_heads num_kv_heads scale softcap window causal "},
    [FAKE_TOP_K] = {"", "TopK", 24, " "},
};

fake_op fake_find_op(const char *domain, const char *op) {
    for (int i = 0; i < FAKE_OP_COUNT; i++) {
        if (strcmp(known[i].op, op) == 0 && strcmp(known[i].domain, domain) == 0) {
            return (fake_op)i;
        }
    }
    return FAKE_OP_COUNT;
}

/* An attribute that is not understood may change what the node means. */
static int understands(fake_op op, const sy_node_view *node) {
    for (uint32_t i = 0; i < node->n_attributes; i++) {
        const char *name = node->attributes[i].name;
        const char *place = strstr(known[op].attributes, name);
        if (place == NULL || place[-1] != ' ' || place[strlen(name)] != ' ') {
            return 0;
        }
    }
    return 1;
}

const char *fake_op_name(fake_op op) {
    return known[op].op;
}

static int same_shape(const sy_value_view *a, const sy_value_view *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

static const char *refuse(sy_reason reason, const char *why, sy_reason *out_reason) {
    *out_reason = reason;
    return why;
}

/* All plain inputs must be f32; a Linear's weight may be f16 or Q8_0, positions are i32. */
static const char *refuse_type(fake_op op, const sy_value_view *value, uint32_t k,
                               sy_reason *out_reason) {
    if (op == FAKE_LINEAR && k == 1) {
        int fits =
            value->type == SY_TYPE_F32 || value->type == SY_TYPE_F16 || value->type == SY_TYPE_Q8_0;
        return fits ? NULL : refuse(SY_REASON_TYPE, "weights must be f32, f16 or Q8_0", out_reason);
    }
    if (op == FAKE_ROTARY && k == 1) {
        return NULL;
    }
    if (op == FAKE_TOP_K && k == 1) {
        int64_t n = 0;
        int fits = value->type == SY_TYPE_I64 && value->kind == SY_VALUE_WEIGHT &&
                   value->data.pointer != NULL && value->data.length_bytes == sizeof(n);
        if (fits) {
            memcpy(&n, value->data.pointer, sizeof(n));
        }
        return n == 1 ? NULL : refuse(SY_REASON_SHAPE, "only the best one is found", out_reason);
    }
    if (op == FAKE_ATTENTION && (k == 3 || k == 4)) {
        int fits = value->type == SY_TYPE_F32 || value->type == SY_TYPE_F16;
        return fits ? NULL : refuse(SY_REASON_TYPE, "states must be f32 or f16", out_reason);
    }
    return value->type == SY_TYPE_F32 ? NULL
                                      : refuse(SY_REASON_TYPE, "values must be f32", out_reason);
}

const char *fake_refusal(const sy_device *device, const sy_graph_view *view,
                         const sy_node_view *node, sy_reason *out_reason) {
    fake_op op = fake_find_op(node->domain, node->op);
    sy_value_view values[6];
    if (op == FAKE_OP_COUNT || (device->takes & 1u << op) == 0) {
        return refuse(SY_REASON_OPERATOR, "the operator is not among its ops", out_reason);
    }
    if (node->version != known[op].version) {
        return refuse(SY_REASON_OPERATOR, "this version of the operator is unknown", out_reason);
    }
    if (!understands(op, node)) {
        return refuse(SY_REASON_ATTRIBUTE, "an attribute is unknown", out_reason);
    }
    for (uint32_t k = 0; k < node->n_inputs && k < 6; k++) {
        if (node->inputs[k] == SY_NO_VALUE) {
            continue;
        }
        if (view->value(view->graph, node->inputs[k], &values[k]) != SY_OK) {
            return refuse(SY_REASON_OTHER, "an input does not exist", out_reason);
        }
        const char *why = refuse_type(op, &values[k], k, out_reason);
        if (why != NULL) {
            return why;
        }
    }
    if ((op == FAKE_ADD || op == FAKE_MUL) && !same_shape(&values[0], &values[1])) {
        return refuse(SY_REASON_SHAPE, "both inputs must have one shape", out_reason);
    }
    if (op == FAKE_RMS_NORM && values[1].rank != 1) {
        return refuse(SY_REASON_SHAPE, "only the last axis is normalised", out_reason);
    }
    if (op == FAKE_ATTENTION &&
        (node->n_inputs < 5 || node->inputs[1] == SY_NO_VALUE || node->inputs[3] == SY_NO_VALUE)) {
        return refuse(SY_REASON_ATTRIBUTE, "attention needs k, v and both states", out_reason);
    }
    return NULL;
}

static float weight_at(const fake_value *w, int64_t row, int64_t column, int64_t n_columns) {
    const uint8_t *bytes = w->view.data.pointer;
    int64_t i = row * n_columns + column;
    uint16_t half = 0;
    float number = 0;
    if (w->view.type == SY_TYPE_F32) {
        memcpy(&number, bytes + 4 * i, sizeof(number));
        return number;
    }
    if (w->view.type == SY_TYPE_F16) {
        memcpy(&half, bytes + 2 * i, sizeof(half));
        return fake_from_half(half);
    }
    const uint8_t *block = bytes + i / 32 * 34; /* Q8_0: an f16 scale, then 32 signed bytes */
    memcpy(&half, block, sizeof(half));
    return fake_from_half(half) * (float)(int8_t)block[2 + i % 32];
}

static void run_linear(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *xv = &unit->values[node->in[0]], *w = &unit->values[node->in[1]];
    const float *x = (const void *)fake_bytes(unit, job, node->in[0]);
    const float *bias =
        node->in[2] != SY_NO_VALUE ? (const void *)fake_bytes(unit, job, node->in[2]) : NULL;
    float *y = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t n = fake_rows(xv, job), k = w->view.dims[1].bound, m = w->view.dims[0].bound;
    for (int64_t j = 0; j < m; j++) {
        for (int64_t i = 0; i < n; i++) {
            double sum = bias != NULL ? (double)bias[j] : 0.0;
            for (int64_t c = 0; c < k; c++) {
                sum += (double)x[i * k + c] * (double)weight_at(w, j, c, k);
            }
            y[i * m + j] = (float)sum;
        }
    }
}

static void run_elementwise(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *value = &unit->values[node->out[0]];
    const float *a = (const void *)fake_bytes(unit, job, node->in[0]);
    const float *b = (const void *)fake_bytes(unit, job, node->in[1]);
    float *y = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t n = fake_rows(value, job) *
                (value->view.rank > 0 ? fake_length(value, job, value->view.rank - 1) : 1);
    for (int64_t i = 0; i < n; i++) {
        y[i] = node->set.op == FAKE_ADD ? a[i] + b[i] : a[i] * b[i];
    }
}

static void normalise(const float *x, const float *scale, float epsilon, int64_t n, float *y) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
    }
    double factor = 1.0 / sqrt(squares / (double)n + (double)epsilon);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)((double)x[i] * factor * (double)scale[i]);
    }
}

static void run_norm(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *value = &unit->values[node->in[0]];
    int with_sum = node->set.op == FAKE_ADD_RMS_NORM;
    const float *x = (const void *)fake_bytes(unit, job, node->in[0]);
    const float *scale = (const void *)fake_bytes(unit, job, node->in[with_sum ? 2 : 1]);
    float *y = (void *)fake_bytes(unit, job, node->out[with_sum ? 1 : 0]);
    int64_t n = fake_rows(value, job), k = fake_length(value, job, value->view.rank - 1);
    if (with_sum) {
        const float *residual = (const void *)fake_bytes(unit, job, node->in[1]);
        float *sum = (void *)fake_bytes(unit, job, node->out[0]);
        for (int64_t i = 0; i < n * k; i++) {
            sum[i] = x[i] + residual[i];
        }
        x = sum;
    }
    for (int64_t i = 0; i < n; i++) {
        normalise(x + i * k, scale, node->set.epsilon, k, y + i * k);
    }
}

static double activate(const char *name, double x) {
    if (strcmp(name, "silu") == 0) {
        return x / (1.0 + exp(-x));
    }
    if (strcmp(name, "gelu_tanh") == 0) {
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    }
    if (strcmp(name, "gelu") == 0) {
        return 0.5 * x * (1.0 + erf(x * 0.7071067811865476));
    }
    if (strcmp(name, "relu") == 0) {
        return x > 0 ? x : 0;
    }
    return 1.0 / (1.0 + exp(-x));
}

static void run_gated(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *value = &unit->values[node->out[0]];
    const float *gate = (const void *)fake_bytes(unit, job, node->in[0]);
    const float *up = (const void *)fake_bytes(unit, job, node->in[1]);
    float *y = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t n = fake_rows(value, job) * fake_length(value, job, value->view.rank - 1);
    for (int64_t i = 0; i < n; i++) {
        y[i] = (float)(activate(node->set.activation, (double)gate[i]) * (double)up[i]);
    }
}

static void rotate_head(const fake_node *node, const float *x, int32_t position,
                        const float *frequency, int64_t n_pairs, float *y) {
    for (int64_t i = 0; i < n_pairs; i++) {
        int64_t a = node->set.interleaved ? 2 * i : i,
                b = node->set.interleaved ? a + 1 : i + n_pairs;
        double angle = (double)position * (double)frequency[i];
        double c = cos(angle) * (double)node->set.magnitude,
               s = sin(angle) * (double)node->set.magnitude;
        double p = (double)x[a], q = (double)x[b];
        y[a] = (float)(p * c - q * s);
        y[b] = (float)(p * s + q * c);
    }
}

static void run_rotary(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *value = &unit->values[node->in[0]];
    const float *x = (const void *)fake_bytes(unit, job, node->in[0]);
    const int32_t *positions = (const void *)fake_bytes(unit, job, node->in[1]);
    const float *frequency = (const void *)fake_bytes(unit, job, node->in[2]);
    float *y = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t n = fake_rows(value, job), width = fake_length(value, job, 1);
    int64_t size = width / node->set.n_heads;
    int64_t n_pairs = unit->values[node->in[2]].view.dims[0].bound;
    memmove(y, x, (size_t)(n * width) * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        for (uint32_t h = 0; h < node->set.n_heads; h++) {
            int64_t at = i * width + h * size;
            rotate_head(node, x + at, positions[i], frequency, n_pairs, y + at);
        }
    }
}

/* A NaN is the largest; of equal ones the first counts. */
static void run_top_k(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    const fake_value *value = &unit->values[node->in[0]];
    const float *x = (const void *)fake_bytes(unit, job, node->in[0]);
    float *values = (void *)fake_bytes(unit, job, node->out[0]);
    int64_t *indices = (void *)fake_bytes(unit, job, node->out[1]);
    int64_t n = fake_rows(value, job), k = fake_length(value, job, value->view.rank - 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t j = 1; j < k && !isnan(x[i * k + best]); j++) {
            best = x[i * k + j] > x[i * k + best] || isnan(x[i * k + j]) ? j : best;
        }
        values[i] = x[i * k + best];
        indices[i] = best;
    }
}

sy_status fake_run_node(const sy_unit *unit, const fake_node *node, const sy_job *job) {
    switch (node->set.op) {
    case FAKE_LINEAR:
        run_linear(unit, node, job);
        return SY_OK;
    case FAKE_ADD:
    case FAKE_MUL:
        run_elementwise(unit, node, job);
        return SY_OK;
    case FAKE_RMS_NORM:
    case FAKE_ADD_RMS_NORM:
        run_norm(unit, node, job);
        return SY_OK;
    case FAKE_GATED:
        run_gated(unit, node, job);
        return SY_OK;
    case FAKE_ROTARY:
        run_rotary(unit, node, job);
        return SY_OK;
    case FAKE_TOP_K:
        run_top_k(unit, node, job);
        return SY_OK;
    case FAKE_ATTENTION:
        return fake_run_attention(unit, node, job);
    default:
        return SY_INTERNAL;
    }
}
