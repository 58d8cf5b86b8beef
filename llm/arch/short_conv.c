/* SPDX-License-Identifier: Apache-2.0 */
/* A gated short convolution (LFM2): out(c * conv(b * x)) with b, c and x parts of one product. The
 * rows that go into the kernel are a state of their own, of which it reads the newest few. */
#include "arch/builder.h"

uint32_t sy__emit_convolution(sy__builder *b, uint32_t i_layer, uint32_t x) {
    uint64_t n = b->architecture->n_embd;
    uint32_t before = sy__emit_product(b, "conv_gate_in", x, SY__ROLE_CONV_IN, i_layer, 0, n);
    uint32_t behind = sy__emit_product(b, "conv_gate_out", x, SY__ROLE_CONV_IN, i_layer, n, n);
    uint32_t rows = sy__emit_product(b, "conv_x", x, SY__ROLE_CONV_IN, i_layer, 2 * n, n);
    rows = sy__emit_node(
        b, "conv_rows",
        &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {before, rows}});
    uint32_t w = sy__emit_matrix(b, SY__ROLE_CONV, i_layer, 0, 0);
    uint32_t state = sy__emit_state(b, "conv.rows", SY_TYPE_F32, n);
    uint32_t y = sy__emit_node(
        b, "conv",
        &(sy__operation){.op = "CausalConvolution", .n_inputs = 3, .inputs = {rows, w, state}});
    y = sy__emit_node(
        b, "conv_gated",
        &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {behind, y}});
    return sy__emit_product(b, "conv_out", y, SY__ROLE_CONV_OUT, i_layer, 0, 0);
}
