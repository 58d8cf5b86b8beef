/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the operators that answer where the largest elements are. Small whole numbers have many
 * equals, which have an order. */
#include "conform/case_build.h"

/* Shape 0: as the head of a decoder has it. */
SY__BUILD(arg_max) {
    const sy_dimension flat[2] = {SY__T(self), SY__F(1037)}, one[1] = {SY__T(self)};
    const sy_dimension cube[3] = {SY__T(self), SY__F(33), SY__F(5)};
    const sy_dimension kept[3] = {SY__T(self), SY__F(1), SY__F(5)};
    const sy_dimension dropped[2] = {SY__T(self), SY__F(33)};
    uint32_t x = sy__case_input(self, type, i_shape == 0 ? 2 : 3, i_shape == 0 ? flat : cube);
    if (i_shape == 0) {
        sy__case_output(self, SY_TYPE_I64, 1, one);
    } else {
        sy__case_output(self, SY_TYPE_I64, i_shape == 2 ? 2 : 3, i_shape == 2 ? dropped : kept);
    }
    uint32_t node = sy__case_node(self, row, 1, &x);
    sy_test_graph_int(&self->graph, node, "axis", i_shape == 1 || i_shape == 3 ? 1 : -1);
    sy_test_graph_int(&self->graph, node, "keepdims", i_shape % 2 == 1 ? 1 : 0);
    if (i_shape == 3) {
        sy_test_graph_int(&self->graph, node, "select_last_index", 1);
    }
    return true;
}

SY__BUILD(top_k) {
    static const int64_t numbers[4] = {40, 1, 33, 7};
    const int64_t k = numbers[i_shape];
    bool is_middle = i_shape >= 2; /* the axis is not the last one */
    const sy_dimension flat[2] = {SY__T(self), SY__F(1037)}, best[2] = {SY__T(self), SY__F(k)};
    const sy_dimension cube[3] = {SY__T(self), SY__F(33), SY__F(5)};
    const sy_dimension middle[3] = {SY__T(self), SY__F(k), SY__F(5)};
    uint32_t rank = is_middle ? 3 : 2;
    uint32_t in[2] = {sy__case_input(self, type, rank, is_middle ? cube : flat),
                      sy__case_numbers(self, 1, &k)};
    sy__case_output(self, type, rank, is_middle ? middle : best);
    sy__case_output(self, SY_TYPE_I64, rank, is_middle ? middle : best);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_int(&self->graph, node, "axis", is_middle ? 1 : -1);
    sy_test_graph_int(&self->graph, node, "largest", i_shape % 2 == 0 ? 1 : 0);
    sy_test_graph_int(&self->graph, node, "sorted", i_shape == 3 ? 0 : 1);
    return true;
}
