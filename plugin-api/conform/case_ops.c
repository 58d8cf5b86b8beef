/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the operators that compute element by element or by rows. */
#include "conform/case_build.h"

#include "switchyard/types.h"

#include <string.h>

static bool is(const sy__case_row *row, const char *op) {
    return strcmp(row->op, op) == 0;
}

static uint32_t elements_of_block(sy_element_type type) {
    return sy_type_get(type)->n_block_elements;
}

SY__BUILD(unary) {
    const sy_dimension shapes[4][3] = {{SY__T(self), SY__F(1)},
                                       {SY__T(self), SY__F(337)},
                                       {SY__T(self), SY__F(3), SY__F(65)},
                                       {SY__T(self)}};
    const uint32_t ranks[4] = {2, 2, 3, 1};
    uint32_t x = sy__case_input(self, type, ranks[i_shape], shapes[i_shape]);
    sy__case_output(self, type, ranks[i_shape], shapes[i_shape]);
    uint32_t node = sy__case_node(self, row, 1, &x);
    if (is(row, "Softmax")) {
        sy_test_graph_int(&self->graph, node, "axis", i_shape == 2 ? 1 : -1);
    } else if (is(row, "Gelu") && i_shape % 2 == 1) {
        sy_test_graph_string(&self->graph, node, "approximate", "tanh");
    } else if (is(row, "Swish") && i_shape > 0) {
        sy_test_graph_float(&self->graph, node, "alpha", 1.7);
    } else if ((is(row, "LeakyRelu") || is(row, "Elu")) && i_shape > 0) {
        sy_test_graph_float(&self->graph, node, "alpha", 0.4);
    } else if (is(row, "HardSigmoid") && i_shape > 0) {
        sy_test_graph_float(&self->graph, node, "alpha", 0.6);
        sy_test_graph_float(&self->graph, node, "beta", 0.4);
    } else if (is(row, "Softcap")) {
        sy_test_graph_float(&self->graph, node, "cap", 0.7);
    }
    return true;
}

SY__BUILD(binary) {
    const sy_dimension whole[3] = {SY__T(self), SY__F(3), SY__F(17)};
    const sy_dimension flat[2] = {SY__T(self), SY__F(i_shape == 0 ? 1 : 337)};
    const sy_dimension row_dims[1] = {SY__F(337)}, one[1] = {SY__F(1)};
    const sy_dimension column[2] = {SY__F(3), SY__F(1)};
    const int64_t width = 337;
    uint32_t in[2] = {0, 0};
    if (i_shape == 4) {
        in[0] = sy__case_input(self, type, 3, whole);
        in[1] = sy__case_input(self, type, 2, column);
        sy__case_output(self, type, 3, whole);
    } else {
        in[0] = sy__case_input(self, type, 2, flat);
        in[1] = i_shape == 2   ? sy__case_input(self, type, 1, row_dims)
                : i_shape == 3 ? sy__case_input(self, type, 1, one)
                : i_shape == 5 ? sy__case_weight(self, type, 1, &width)
                               : sy__case_input(self, type, 2, flat);
        sy__case_output(self, type, 2, flat);
    }
    sy__case_node(self, row, 2, in);
    return true;
}

/* x of other float types from shape 4 on. */
SY__BUILD(linear) {
    static const int64_t widths[6] = {2, 1, 3, 1, 2, 2}, rows[6] = {7, 33, 150, 1, 65, 5};
    static const sy_element_type x_types[6] = {SY_TYPE_F32, SY_TYPE_F32, SY_TYPE_F32,
                                               SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
    int64_t block = (int64_t)elements_of_block(type);
    int64_t k = block > 1 ? widths[i_shape] * block : widths[i_shape] * 32 + (int64_t)i_shape - 1;
    sy_element_type x_type = x_types[i_shape];
    int64_t n = rows[i_shape], w_dims[2] = {n, k};
    bool has_bias = i_shape == 1 || i_shape == 4;
    sy_dimension x[2] = {SY__T(self), SY__F(k)}, y[2] = {SY__T(self), SY__F(n)};
    uint32_t in[3] = {sy__case_input(self, x_type, 2, x), sy__case_weight(self, type, 2, w_dims),
                      SY_NO_VALUE};
    if (has_bias) {
        in[2] = sy__case_weight(self, x_type, 1, &n);
    }
    sy__case_output(self, x_type, 2, y);
    sy__case_node(self, row, has_bias ? 3 : 2, in);
    return true;
}

/* In a step without adapters; level 3 has those with some. */
SY__BUILD(adapter_linear) {
    sy_dimension y[2] = {SY__T(self), SY__F(33)}, x[2] = {SY__T(self), SY__F(64)};
    uint32_t in[3] = {sy__case_input(self, type, 2, y), sy__case_input(self, type, 2, x),
                      SY_NO_VALUE};
    if (i_shape == 1) {
        in[2] = sy__case_ids(self, 3);
    }
    sy__case_output(self, type, 2, y);
    uint32_t node = sy__case_node(self, row, i_shape == 1 ? 3 : 2, in);
    sy_test_graph_int(&self->graph, node, "slot", 2);
    sy_test_graph_int(&self->graph, node, "max_rank", 16);
    return true;
}

SY__BUILD(embedding) {
    int64_t block = (int64_t)elements_of_block(type);
    int64_t k = block > 1 ? block * (1 + (int64_t)i_shape) : 35, table[2] = {10, k};
    sy_dimension y[2] = {SY__T(self), SY__F(k)};
    uint32_t in[2] = {sy__case_ids(self, 10), sy__case_weight(self, type, 2, table)};
    sy__case_output(self, SY_TYPE_F32, 2, y);
    uint32_t node = sy__case_node(self, row, 2, in);
    if (i_shape == 1) {
        sy_test_graph_float(&self->graph, node, "scale", 25.25);
    }
    return true;
}

SY__BUILD(rotary) {
    const int64_t n_pairs = i_shape == 1 ? 5 : 16;
    sy_dimension x[2] = {SY__T(self), SY__F(3 * 32)};
    uint32_t in[3] = {sy__case_input(self, type, 2, x), sy__case_ids(self, 4096), SY_NO_VALUE};
    self->low = 1e-4;
    self->high = 1;
    in[2] = sy__case_weight(self, SY_TYPE_F32, 1, &n_pairs);
    sy__case_output(self, type, 2, x);
    uint32_t node = sy__case_node(self, row, 3, in);
    sy_test_graph_int(&self->graph, node, "num_heads", 3);
    if (i_shape == 2) {
        sy_test_graph_int(&self->graph, node, "interleaved", 1);
        sy_test_graph_float(&self->graph, node, "magnitude", 1.25);
    }
    self->tolerance = 1e-4;
    return true;
}

/* The type is that of the state. */
SY__BUILD(causal_convolution) {
    const int64_t w[2] = {64, i_shape == 0 ? 3 : 1};
    sy_dimension x[2] = {SY__T(self), SY__F(w[0])};
    uint32_t in[3] = {sy__case_input(self, SY_TYPE_F32, 2, x),
                      sy__case_weight(self, SY_TYPE_F32, 2, w), SY_NO_VALUE};
    in[2] = sy__case_state(self, type, SY_STATE_RECURRENT, (uint32_t)w[0]);
    sy__case_output(self, SY_TYPE_F32, 2, x);
    sy__case_node(self, row, 3, in);
    return true;
}

SY__BUILD(gated) {
    static const char *const names[] = {"silu", "gelu_tanh", "gelu", "relu", "sigmoid"};
    static const int64_t widths[] = {337, 1, 64, 129, 7};
    sy_dimension dims[2] = {SY__T(self), SY__F(widths[i_shape])};
    uint32_t in[2] = {sy__case_input(self, type, 2, dims), sy__case_input(self, type, 2, dims)};
    sy__case_output(self, type, 2, dims);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_string(&self->graph, node, "activation", names[i_shape]);
    return true;
}

/* Shape 3 has rank 3; LayerNormalization's shape 4 has no bias. */
SY__BUILD(norm) {
    static const int64_t widths[] = {64, 7, 129, 33, 65};
    bool is_add = is(row, "AddRMSNormalization"), is_layer = is(row, "LayerNormalization");
    const int64_t width = widths[i_shape];
    uint32_t rank = i_shape == 3 ? 3 : 2, n = 0;
    sy_dimension dims[3] = {SY__T(self), rank == 3 ? SY__F(3) : SY__F(width), SY__F(width)};
    uint32_t in[3] = {SY_NO_VALUE, SY_NO_VALUE, SY_NO_VALUE};
    in[n++] = sy__case_input(self, type, rank, dims);
    if (is_add) {
        in[n++] = sy__case_input(self, type, rank, dims);
        sy__case_output(self, type, rank, dims);
    }
    in[n++] = sy__case_weight(self, SY_TYPE_F32, 1, &width);
    if (is_layer && i_shape != 4) {
        in[n++] = sy__case_weight(self, SY_TYPE_F32, 1, &width);
    }
    sy__case_output(self, type, rank, dims);
    uint32_t node = sy__case_node(self, row, n, in);
    sy_test_graph_float(&self->graph, node, "epsilon", 1e-5);
    if (!is_add && i_shape > 0) {
        sy_test_graph_int(&self->graph, node, "axis", -1);
    }
    return true;
}

/* What one shape of Attention is. */
typedef struct attention_shape {
    int64_t n_heads, n_groups, size, value_size, window;
    double softcap;
    bool has_sinks, is_stateless, sees_all, only_reads, in_own_type;
} attention_shape;

static const attention_shape attention_shapes[] = {
    {4, 4, 16, 16, 0, 0, false, false, false, false, false},
    {4, 2, 32, 32, 3, 0, false, false, false, false, false},
    {6, 2, 32, 16, 0, 1.5, true, false, false, false, false},
    {4, 2, 24, 24, 0, 0, false, true, false, false, false},
    {4, 4, 24, 24, 3, 0, true, true, true, false, false},
    {4, 2, 64, 64, 0, 0, false, false, false, true, false},
    {4, 2, 16, 16, 0, 0, false, false, false, false, true},
    {3, 3, 33, 7, 1, 0, false, false, false, false, false},
};

/* `type` is that of the states; q, k, v are f32, or of the same type in shape 6. */
SY__BUILD(attention) {
    const attention_shape *a = &attention_shapes[i_shape];
    bool is_block = elements_of_block(type) > 1;
    sy_element_type t = a->in_own_type ? type : SY_TYPE_F32;
    if ((a->is_stateless && type != SY_TYPE_F32) || (a->in_own_type && type == SY_TYPE_F32) ||
        (is_block && (a->in_own_type || a->n_groups * a->value_size % 32 != 0))) {
        return false;
    }
    sy_dimension q[2] = {SY__T(self), SY__F(a->n_heads * a->size)};
    sy_dimension k[2] = {SY__T(self), SY__F(a->n_groups * a->size)};
    sy_dimension v[2] = {SY__T(self), SY__F(a->n_groups * a->value_size)};
    sy_dimension y[2] = {SY__T(self), SY__F(a->n_heads * a->value_size)};
    uint32_t in[6], n = a->is_stateless ? 3 : 5;
    memset(in, 0xff, sizeof(in));
    in[0] = sy__case_input(self, t, 2, q);
    if (!a->only_reads) {
        in[1] = sy__case_input(self, t, 2, k);
        in[2] = sy__case_input(self, t, 2, v);
    }
    if (!a->is_stateless) {
        in[3] = sy__case_state(self, type, SY_STATE_KEY, (uint32_t)k[1].bound);
        in[4] = sy__case_state(self, type, SY_STATE_VALUE, (uint32_t)v[1].bound);
    }
    if (a->has_sinks) {
        in[5] = sy__case_weight(self, SY_TYPE_F32, 1, &a->n_heads);
        n = 6;
    }
    self->only_reads_states = a->only_reads;
    sy__case_output(self, t, 2, y);
    uint32_t node = sy__case_node(self, row, n, in);
    sy_test_graph_int(&self->graph, node, "num_heads", a->n_heads);
    sy_test_graph_int(&self->graph, node, "num_kv_heads", a->n_groups);
    sy_test_graph_float(&self->graph, node, "softcap", a->softcap);
    sy_test_graph_int(&self->graph, node, "window", a->window);
    sy_test_graph_int(&self->graph, node, "causal", a->sees_all ? 0 : 1);
    return true;
}
