/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the operators of mixtures of experts. */
#include "conform/case_build.h"

#include "switchyard/types.h"

SY__BUILD(clamped) {
    sy_dimension dims[2] = {SY__T(self), SY__F(i_shape == 0 ? 337 : 1)};
    uint32_t in[2] = {sy__case_input(self, type, 2, dims), sy__case_input(self, type, 2, dims)};
    sy__case_output(self, type, 2, dims);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_float(&self->graph, node, "limit", i_shape == 0 ? 1.25 : 7);
    sy_test_graph_float(&self->graph, node, "alpha", i_shape == 0 ? 1.702 : 1);
    return true;
}

SY__BUILD(expert_router) {
    static const char *const gatings[4] = {"softmax", "softmax_chosen", "sigmoid", "softmax"};
    static const int64_t n_experts[4] = {60, 8, 33, 1}, n_used[4] = {6, 2, 33, 1};
    const int64_t n = n_experts[i_shape];
    sy_dimension x[2] = {SY__T(self), SY__F(n)}, y[2] = {SY__T(self), SY__F(n_used[i_shape])};
    uint32_t in[2] = {sy__case_input(self, type, 2, x), SY_NO_VALUE};
    bool has_bias = i_shape == 2;
    if (has_bias) {
        in[1] = sy__case_weight(self, SY_TYPE_F32, 1, &n);
    }
    sy__case_output(self, SY_TYPE_I32, 2, y);
    sy__case_output(self, SY_TYPE_F32, 2, y);
    uint32_t node = sy__case_node(self, row, has_bias ? 2 : 1, in);
    sy_test_graph_string(&self->graph, node, "gating", gatings[i_shape]);
    sy_test_graph_int(&self->graph, node, "num_used", n_used[i_shape]);
    if (i_shape != 1) {
        sy_test_graph_int(&self->graph, node, "normalize", i_shape != 3);
        sy_test_graph_float(&self->graph, node, "scale", 2.5);
    }
    return true;
}

/* A row per token or one per choice, with and without bias, as f32 and f16. */
SY__BUILD(expert_linear) {
    static const int64_t widths[4] = {2, 1, 3, 1}, columns[4] = {7, 65, 150, 1};
    static const int64_t n_experts[4] = {5, 3, 9, 1}, n_used[4] = {2, 3, 4, 1};
    const int64_t block = (int64_t)sy_type_get(type)->n_block_elements;
    const int64_t k = widths[i_shape] * (block > 1 ? block : 33);
    const int64_t w[3] = {n_experts[i_shape], columns[i_shape], k};
    sy_element_type x_type = i_shape == 3 ? SY_TYPE_F16 : SY_TYPE_F32;
    bool per_choice = i_shape % 2 == 1, has_bias = i_shape >= 2;
    sy_dimension used = SY__F(n_used[i_shape]);
    sy_dimension x[3] = {SY__T(self), per_choice ? used : SY__F(k), SY__F(k)};
    sy_dimension choices[2] = {SY__T(self), used};
    sy_dimension y[3] = {SY__T(self), used, SY__F(columns[i_shape])};
    uint32_t in[4] = {sy__case_input(self, x_type, per_choice ? 3 : 2, x),
                      sy__case_weight(self, type, 3, w),
                      sy__case_choices(self, 2, choices, (uint32_t)w[0]), SY_NO_VALUE};
    if (has_bias) {
        in[3] = sy__case_weight(self, SY_TYPE_F32, 2, w);
    }
    sy__case_output(self, x_type, 3, y);
    sy__case_node(self, row, has_bias ? 4 : 3, in);
    return true;
}

SY__BUILD(expert_sum) {
    const int64_t width = i_shape == 0 ? 1100 : 3, n_used = i_shape == 0 ? 4 : 1;
    sy_dimension x[3] = {SY__T(self), SY__F(n_used), SY__F(width)};
    sy_dimension y[2] = {SY__T(self), SY__F(width)};
    uint32_t in[2] = {sy__case_input(self, type, 3, x), sy__case_input(self, SY_TYPE_F32, 2, x)};
    sy__case_output(self, type, 2, y);
    sy__case_node(self, row, 2, in);
    return true;
}
