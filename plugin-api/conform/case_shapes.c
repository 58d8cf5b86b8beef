/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of products, reductions and the operators that move elements. */
#include "conform/case_build.h"

#include "switchyard/types.h"

#include <string.h>

static bool is(const sy__case_row *row, const char *op) {
    return strcmp(row->op, op) == 0;
}

SY__BUILD(matmul) {
    static const int64_t weight[2] = {33, 70};
    const sy_dimension a2[2] = {SY__T(self), SY__F(33)}, y2[2] = {SY__T(self), SY__F(70)};
    const sy_dimension a3[3] = {SY__T(self), SY__F(4), SY__F(5)};
    const sy_dimension b3[3] = {SY__T(self), SY__F(5), SY__F(3)}, b2[2] = {SY__F(5), SY__F(3)};
    const sy_dimension y3[3] = {SY__T(self), SY__F(4), SY__F(3)};
    uint32_t in[2] = {0, 0};
    if (i_shape == 0) {
        in[0] = sy__case_input(self, type, 2, a2);
        in[1] = sy__case_weight(self, type, 2, weight);
        sy__case_output(self, type, 2, y2);
    } else {
        in[0] = sy__case_input(self, type, 3, a3);
        in[1] =
            i_shape == 1 ? sy__case_input(self, type, 3, b3) : sy__case_input(self, type, 2, b2);
        sy__case_output(self, type, 3, y3);
    }
    sy__case_node(self, row, 2, in);
    return true;
}

SY__BUILD(gemm) {
    bool is_turned = i_shape % 2 == 1, has_c = i_shape >= 2;
    int64_t b[2] = {is_turned ? 37 : 50, is_turned ? 50 : 37}, c = 37;
    sy_dimension a[2] = {SY__T(self), SY__F(50)}, y[2] = {SY__T(self), SY__F(37)};
    uint32_t in[3] = {sy__case_input(self, type, 2, a), sy__case_weight(self, type, 2, b),
                      SY_NO_VALUE};
    if (has_c) {
        in[2] = sy__case_weight(self, type, 1, &c);
    }
    sy__case_output(self, type, 2, y);
    uint32_t node = sy__case_node(self, row, has_c ? 3 : 2, in);
    sy_test_graph_int(&self->graph, node, "transB", is_turned ? 1 : 0);
    sy_test_graph_float(&self->graph, node, "alpha", i_shape == 3 ? 0.5 : 1.0);
    sy_test_graph_float(&self->graph, node, "beta", i_shape == 3 ? -2.0 : 1.0);
    return true;
}

SY__BUILD(reduce) {
    static const int64_t axes[3][2] = {{1, 0}, {-1, 0}, {1, 2}};
    const sy_dimension x[3] = {SY__T(self), SY__F(3), SY__F(17)};
    const sy_dimension kept[3] = {SY__T(self), SY__F(1), SY__F(17)};
    const sy_dimension dropped[2] = {SY__T(self), SY__F(3)}, one[1] = {SY__T(self)};
    uint32_t in[2] = {sy__case_input(self, type, 3, x),
                      sy__case_numbers(self, i_shape == 2 ? 2 : 1, axes[i_shape])};
    sy__case_output(self, type, 3 - i_shape, i_shape == 0 ? kept : i_shape == 1 ? dropped : one);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_int(&self->graph, node, "keepdims", i_shape == 0 ? 1 : 0);
    return true;
}

SY__BUILD(gather) {
    static const int64_t table[2] = {10, 33}, columns[3] = {4, 0, 11};
    const sy_dimension x[2] = {SY__T(self), SY__F(12)}, y0[2] = {SY__T(self), SY__F(33)};
    const sy_dimension y1[2] = {SY__T(self), SY__F(3)};
    uint32_t in[2] = {0, 0};
    if (i_shape == 0) {
        in[0] = sy__case_weight(self, type, 2, table);
        in[1] = sy__case_ids(self, 10);
    } else {
        in[0] = sy__case_input(self, type, 2, x);
        in[1] = sy__case_numbers(self, 3, columns);
    }
    sy__case_output(self, type, 2, i_shape == 0 ? y0 : y1);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_int(&self->graph, node, "axis", (int64_t)i_shape);
    return true;
}

SY__BUILD(reshape) {
    static const int64_t split[3] = {0, 3, 4}, joined[2] = {-1, 12};
    const sy_dimension flat[2] = {SY__T(self), SY__F(12)};
    const sy_dimension cube[3] = {SY__T(self), SY__F(3), SY__F(4)};
    uint32_t in[2] = {0, 0};
    in[0] =
        i_shape == 0 ? sy__case_input(self, type, 2, flat) : sy__case_input(self, type, 3, cube);
    in[1] = sy__case_numbers(self, i_shape == 0 ? 3 : 2, i_shape == 0 ? split : joined);
    sy__case_output(self, type, i_shape == 0 ? 3 : 2, i_shape == 0 ? cube : flat);
    sy__case_node(self, row, 2, in);
    return true;
}

SY__BUILD(transpose) {
    static const int64_t perms[2][4] = {{0, 2, 1}, {0, 3, 1, 2}};
    const sy_dimension x3[3] = {SY__T(self), SY__F(3), SY__F(17)};
    const sy_dimension y3[3] = {SY__T(self), SY__F(17), SY__F(3)};
    const sy_dimension x4[4] = {SY__T(self), SY__F(2), SY__F(3), SY__F(5)};
    const sy_dimension y4[4] = {SY__T(self), SY__F(5), SY__F(2), SY__F(3)};
    uint32_t rank = 3 + i_shape;
    uint32_t x = sy__case_input(self, type, rank, i_shape == 0 ? x3 : x4);
    sy__case_output(self, type, rank, i_shape == 0 ? y3 : y4);
    uint32_t node = sy__case_node(self, row, 1, &x);
    sy_test_graph_ints(&self->graph, node, "perm", perms[i_shape], rank);
    return true;
}

SY__BUILD(concat) {
    const sy_dimension a[3] = {SY__T(self), SY__F(5), SY__F(7)};
    const sy_dimension b[3] = {SY__T(self), SY__F(i_shape == 0 ? 28 : 5),
                               SY__F(i_shape == 0 ? 7 : 1)};
    const sy_dimension y[3] = {SY__T(self), SY__F(i_shape == 0 ? 33 : 5),
                               SY__F(i_shape == 0 ? 7 : 8)};
    uint32_t in[2] = {sy__case_input(self, type, 3, a), sy__case_input(self, type, 3, b)};
    sy__case_output(self, type, 3, y);
    uint32_t node = sy__case_node(self, row, 2, in);
    sy_test_graph_int(&self->graph, node, "axis", i_shape == 0 ? 1 : -1);
    return true;
}

SY__BUILD(slice) {
    static const int64_t starts[4] = {2, -1, -7, 1}, ends[4] = {31, -100, 500, -1};
    static const int64_t axes[4] = {1, 1, -1, 1}, steps[4] = {3, -1, 1, 1};
    static const int64_t left[4] = {10, 33, 7, 31};
    const sy_dimension x[3] = {SY__T(self), SY__F(33), SY__F(5)};
    const sy_dimension y[3] = {SY__T(self), SY__F(left[i_shape]), SY__F(5)};
    uint32_t rank = i_shape == 3 ? 3 : 2;
    uint32_t in[5] = {
        sy__case_input(self, type, rank, x), sy__case_numbers(self, 1, &starts[i_shape]),
        sy__case_numbers(self, 1, &ends[i_shape]), sy__case_numbers(self, 1, &axes[i_shape]),
        sy__case_numbers(self, 1, &steps[i_shape])};
    sy__case_output(self, type, rank, y);
    sy__case_node(self, row, 5, in);
    return true;
}

SY__BUILD(split) {
    static const int64_t sizes[2] = {5, 28};
    const sy_dimension x[2] = {SY__T(self), SY__F(33)}, a[2] = {SY__T(self), SY__F(5)};
    const sy_dimension b[2] = {SY__T(self), SY__F(28)}, even[2] = {SY__T(self), SY__F(11)};
    uint32_t in[2] = {sy__case_input(self, type, 2, x), SY_NO_VALUE};
    if (i_shape == 0) {
        in[1] = sy__case_numbers(self, 2, sizes);
        sy__case_output(self, type, 2, a);
        sy__case_output(self, type, 2, b);
    } else {
        for (int i = 0; i < 3; i++) {
            sy__case_output(self, type, 2, even);
        }
    }
    uint32_t node = sy__case_node(self, row, i_shape == 0 ? 2 : 1, in);
    sy_test_graph_int(&self->graph, node, "axis", 1);
    if (i_shape == 1) {
        sy_test_graph_int(&self->graph, node, "num_outputs", 3);
    }
    return true;
}

SY__BUILD(squeeze) {
    static const int64_t axis = 1;
    bool is_squeeze = is(row, "Squeeze");
    const sy_dimension with[3] = {SY__T(self), SY__F(1), SY__F(33)};
    const sy_dimension without[2] = {SY__T(self), SY__F(33)};
    uint32_t in[2] = {0, 0};
    (void)i_shape;
    in[0] =
        is_squeeze ? sy__case_input(self, type, 3, with) : sy__case_input(self, type, 2, without);
    in[1] = sy__case_numbers(self, 1, &axis);
    sy__case_output(self, type, is_squeeze ? 2 : 3, is_squeeze ? without : with);
    sy__case_node(self, row, 2, in);
    return true;
}

SY__BUILD(cast) {
    static const struct {
        sy_element_type type;
        int64_t onnx; /* number in the attribute `to` */
    } targets[] = {{SY_TYPE_F32, 1}, {SY_TYPE_F16, 10}, {SY_TYPE_BF16, 16}, {SY_TYPE_I8, 3},
                   {SY_TYPE_U8, 2},  {SY_TYPE_I32, 6},  {SY_TYPE_I64, 7},   {SY_TYPE_BOOL, 9}};
    const sy_dimension dims[2] = {SY__T(self), SY__F(337)};
    uint32_t x = sy__case_input(self, type, 2, dims);
    sy__case_output(self, targets[i_shape].type, 2, dims);
    uint32_t node = sy__case_node(self, row, 1, &x);
    sy_test_graph_int(&self->graph, node, "to", targets[i_shape].onnx);
    return true;
}

SY__BUILD(where) {
    const sy_dimension dims[2] = {SY__T(self), SY__F(33)}, one[1] = {SY__F(33)};
    uint32_t in[3] = {sy__case_input(self, SY_TYPE_BOOL, 2, dims),
                      sy__case_input(self, type, 2, dims), sy__case_input(self, type, 1, one)};
    (void)i_shape;
    sy__case_output(self, type, 2, dims);
    sy__case_node(self, row, 3, in);
    return true;
}

SY__BUILD(expand) {
    static const int64_t shape[3] = {1, 3, 1};
    const sy_dimension x[3] = {SY__T(self), SY__F(1), SY__F(33)};
    const sy_dimension y[3] = {SY__T(self), SY__F(3), SY__F(33)};
    uint32_t in[2] = {sy__case_input(self, type, 3, x), sy__case_numbers(self, 3, shape)};
    (void)i_shape;
    sy__case_output(self, type, 3, y);
    sy__case_node(self, row, 2, in);
    return true;
}
