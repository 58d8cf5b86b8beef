/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of what image networks do element by element with constants of a channel, or of all. */
#include "conform/case_build.h"

#include <string.h>

static bool is(const sy__case_row *row, const char *op) {
    return strcmp(row->op, op) == 0;
}

/* A weight whose numbers are of another range than the case's. */
static uint32_t weight_between(sy__case *self, sy_element_type type, uint32_t rank, int64_t n,
                               double low, double high) {
    double old_low = self->low, old_high = self->high;
    self->low = low;
    self->high = high;
    uint32_t value = sy__case_weight(self, type, rank, &n);
    self->low = old_low;
    self->high = old_high;
    return value;
}

/* [pictures, C, H, W], or [pictures, C]. */
static uint32_t channels(const sy__case *self, bool is_flat, sy_dimension *out_dims) {
    const sy_dimension dims[4] = {sy_test_symbol(SY_SYMBOL_FIRST_FREE, self->n_tokens), SY__F(17),
                                  SY__F(3), SY__F(5)};
    memcpy(out_dims, dims, sizeof(dims));
    return is_flat ? 2 : 4;
}

/* Both limits, the lower one, the upper one. */
SY__BUILD(clip) {
    sy_dimension x[4];
    uint32_t rank = channels(self, i_shape == 1, x);
    uint32_t in[3] = {sy__case_input(self, type, rank, x), SY_NO_VALUE, SY_NO_VALUE};
    if (i_shape != 2) {
        in[1] = weight_between(self, type, 0, 1, -1, 0);
    }
    if (i_shape != 1) {
        in[2] = weight_between(self, type, 0, 1, 0.5, 1);
    }
    sy__case_output(self, type, rank, x);
    sy__case_node(self, row, i_shape == 1 ? 2 : 3, in);
    return true;
}

/* A slope for each channel, for all. */
SY__BUILD(prelu) {
    sy_dimension x[4];
    const int64_t slopes[3] = {17, 1, 1}, one = 1;
    uint32_t rank = channels(self, false, x);
    uint32_t in[2] = {sy__case_input(self, type, rank, x), SY_NO_VALUE};
    in[1] = i_shape == 0 ? sy__case_weight(self, type, 3, slopes)
                         : sy__case_weight(self, type, 1, &one);
    sy__case_output(self, type, rank, x);
    sy__case_node(self, row, 2, in);
    return true;
}

SY__BUILD(batch_norm) {
    sy_dimension x[4];
    const int64_t n = 17;
    uint32_t rank = channels(self, i_shape == 1, x);
    uint32_t in[5] = {sy__case_input(self, type, rank, x)};
    for (uint32_t i = 1; i < 4; i++) {
        in[i] = sy__case_weight(self, type, 1, &n);
    }
    in[4] = weight_between(self, type, 1, n, 0.25, 4);
    sy__case_output(self, type, rank, x);
    uint32_t node = sy__case_node(self, row, 5, in);
    sy_test_graph_float(&self->graph, node, "epsilon", 1e-3);
    return true;
}

/* `type` is the stored one. Shapes: one scale; one for each channel; no zero point, without which
 * what is written is u8. */
SY__BUILD(quantize) {
    bool reads = is(row, "DequantizeLinear"), has_zero = i_shape != 2;
    sy_dimension x[4];
    if (!has_zero && !reads && type != SY_TYPE_U8) {
        return false;
    }
    uint32_t rank = channels(self, false, x), n_factors = i_shape == 1 ? 1 : 0;
    uint32_t in[3] = {sy__case_input(self, reads ? type : SY_TYPE_F32, rank, x), SY_NO_VALUE,
                      SY_NO_VALUE};
    in[1] = weight_between(self, SY_TYPE_F32, n_factors, n_factors == 1 ? 17 : 1, 0.01, 0.05);
    if (has_zero) {
        in[2] = type == SY_TYPE_I32 /* which has no zero point but 0 */
                    ? weight_between(self, type, n_factors, n_factors == 1 ? 17 : 1, 0, 0)
                    : weight_between(self, type, n_factors, n_factors == 1 ? 17 : 1, 1, 50);
    }
    sy__case_output(self, reads ? SY_TYPE_F32 : type, rank, x);
    uint32_t node = sy__case_node(self, row, has_zero ? 3 : 2, in);
    sy_test_graph_int(&self->graph, node, "axis", 1);
    return true;
}
