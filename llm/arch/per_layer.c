/* SPDX-License-Identifier: Apache-2.0 */
/* Per-layer embeddings: beside its embedding a token has a short vector for every layer, in one
 * table of which a step reads the rows of its tokens. */
#include "arch/builder.h"

#include <math.h>

void sy__emit_per_layer(sy__builder *b, uint32_t x) {
    const sy__architecture *a = b->architecture;
    int64_t width = a->n_embd_per_layer, n_layers = a->n_layers;
    const int64_t split[3] = {0, n_layers, width}, joined[2] = {0, n_layers * width};
    uint32_t table = sy__emit_matrix(b, SY__ROLE_PER_LAYER_TABLE, 0, 0, 0);
    uint32_t rows = sy__emit_node(
        b, "per_layer_embd",
        &(sy__operation){.op = "Embedding",
                         .n_inputs = 2,
                         .inputs = {b->model->tokens, table},
                         .n_attributes = 1,
                         .attributes = {sy__float_attribute("scale", sqrt((double)width))}});
    sy__emit_observation(b, x, SY_NO_VALUE, SY__ROLE_PER_LAYER_PROJECTION, 0);
    uint32_t w = sy__emit_matrix(b, SY__ROLE_PER_LAYER_PROJECTION, 0, 0, 0);
    uint32_t y = sy__emit_node(b, "per_layer_proj",
                               &(sy__operation){.op = "Linear", .n_inputs = 2, .inputs = {x, w}});
    y = sy__emit_scalar(b, "Mul", "per_layer_proj_scaled", y,
                        (float)(1.0 / sqrt((double)a->n_embd)));
    y = sy__emit_reshape(b, "per_layer_split", y, split, 3);
    y = sy__emit_norm(b, "per_layer_proj_norm", y, SY__ROLE_PER_LAYER_NORM, 0);
    y = sy__emit_reshape(b, "per_layer_join", y, joined, 2);
    y = sy__emit_add(b, "per_layer_sum", y, rows);
    b->per_layer = sy__emit_scalar(b, "Mul", "per_layer", y, (float)sqrt(0.5));
}

uint32_t sy__emit_layer_input(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const int64_t width = b->architecture->n_embd_per_layer;
    uint32_t part = sy__emit_slice(b, "layer_input", b->per_layer, i_layer * width, width);
    uint32_t gate =
        sy__emit_product(b, "layer_input_gate", x, SY__ROLE_LAYER_INPUT_GATE, i_layer, 0, 0);
    uint32_t y = sy__emit_product(b, "layer_input_proj", sy__emit_gated(b, gate, part),
                                  SY__ROLE_LAYER_INPUT_PROJECTION, i_layer, 0, 0);
    return sy__emit_norm(b, "layer_input_norm", y, SY__ROLE_LAYER_INPUT_NORM, i_layer);
}
