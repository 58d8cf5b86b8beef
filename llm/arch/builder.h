/* SPDX-License-Identifier: Apache-2.0 */
/* Small calls that add one operator each; errors are sticky, so that a layer reads like its
 * formula. For llm/arch only. */
#ifndef SY_ARCH_BUILDER_H
#define SY_ARCH_BUILDER_H

#include "arch/build.h"

typedef struct sy__builder {
    const sy__architecture *architecture;
    const sy__build_options *options;
    sy__model_graph *model;
    sy_error *error;
    sy_status status;     /* first failure; calls after it do nothing */
    uint32_t token_table; /* WEIGHT of the token embedding, which a tied output shares */
    uint32_t rope_frequency, rope_local_frequency; /* WEIGHT f32, SY_NO_VALUE none */
    float rope_magnitude, rope_local_magnitude;
    uint32_t per_layer; /* [T, n_layers * n_embd_per_layer], of the step's tokens */
    uint32_t observed_ones, observed_identity; /* observe.c: shared constants, SY_NO_VALUE none */
    uint32_t key_states[SY_LIMIT_LAYERS], value_states[SY_LIMIT_LAYERS]; /* by layer */
    char prefix[32]; /* "blk.3." while a layer is built */
} sy__builder;

void sy__builder_fail(sy__builder *b, sy_status status, const char *what);
/* A named INPUT or STATE. */
uint32_t sy__emit_value(sy__builder *b, const sy_value_view *description);
/* Constant memory of n floats owned by the model, as a WEIGHT [n]. */
uint32_t sy__emit_floats(sy__builder *b, const char *name, const float *numbers, uint32_t n);
uint32_t sy__emit_ints(sy__builder *b, const char *name, const int64_t *numbers, uint32_t n);
/* A matrix of the file as WEIGHT [rows, columns]; rows [first, first + n_rows), n_rows 0: all. */
uint32_t sy__emit_matrix(sy__builder *b, sy__role role, uint32_t i_layer, uint64_t first,
                         uint64_t n_rows);
/* All of a tensor as a WEIGHT of its own shape: a stack of matrices, or their biases. */
uint32_t sy__emit_stack(sy__builder *b, sy__role role, uint32_t i_layer, sy__part part);
/* A stack as one matrix, its matrices one below the other; and matrix i of it. */
uint32_t sy__emit_flat_stack(sy__builder *b, sy__role role);
uint32_t sy__emit_matrix_of_stack(sy__builder *b, sy__role role, uint32_t i);
/* A vector of the file as f32 (cast where the file has f16 or bf16). */
uint32_t sy__emit_vector(sy__builder *b, sy__role role, uint32_t i_layer, sy__part part,
                         uint64_t first, uint64_t n);

#define SY__BUILD_INPUTS 6u
#define SY__BUILD_ATTRIBUTES 6u

/* A node to add. SY_NO_VALUE is an absent optional input. */
typedef struct sy__operation {
    const char *op;
    uint32_t version; /* 0: domain "switchyard", version 1 */
    uint32_t n_inputs, n_attributes;
    uint32_t inputs[SY__BUILD_INPUTS];
    sy_attribute attributes[SY__BUILD_ATTRIBUTES];
} sy__operation;

/* Adds a node; its name gets the layer's prefix. Answers its result. */
uint32_t sy__emit_node(sy__builder *b, const char *name, const sy__operation *operation);

/* The same for n_outputs results. */
void sy__emit_nodes(sy__builder *b, const char *name, const sy__operation *operation,
                    uint32_t n_outputs, uint32_t *out_results);

/* x times the scale beside a role's matrix. */
uint32_t sy__emit_scale(sy__builder *b, const char *name, uint32_t x, sy__role role,
                        uint32_t i_layer);
/* x times one number; another operator, as "Div". */
uint32_t sy__emit_scalar(sy__builder *b, const char *op, const char *name, uint32_t x,
                         float number);
uint32_t sy__emit_reshape(sy__builder *b, const char *name, uint32_t x, const int64_t *shape,
                          uint32_t n);
/* Rows of a role's matrix, as sy__emit_matrix takes them. */
typedef struct sy__weight_rows {
    sy__role role;
    uint32_t i_layer;
    uint64_t first, n;
} sy__weight_rows;

/* adapt.c: y, which is x times such rows, with what adapters add; y itself where there are none. */
uint32_t sy__emit_adapter(sy__builder *b, const char *name, uint32_t y, uint32_t x,
                          const sy__weight_rows *weight);
/* observe.c: x, what a role's matrix reads, is to be measured, if anything is. experts: those that
 * its rows go to, [T, U]; SY_NO_VALUE where there is one matrix. */
void sy__emit_observation(sy__builder *b, uint32_t x, uint32_t experts, sy__role role,
                          uint32_t i_layer);
/* Finds the values again after the passes. */
bool sy__observed_find(sy__model_graph *model);
/* n elements from `first` on along the second dimension. */
uint32_t sy__emit_slice(sy__builder *b, const char *name, uint32_t x, int64_t first, int64_t n);
/* x + y. */
uint32_t sy__emit_add(sy__builder *b, const char *name, uint32_t x, uint32_t y);

sy_attribute sy__int_attribute(const char *name, int64_t number);
sy_attribute sy__float_attribute(const char *name, double number);
sy_attribute sy__string_attribute(const char *name, const char *text);

/* layer.c: x times rows [first, first + n) of a role's matrix, scaled, plus the same part of its
 * bias; the gate of a feed-forward through its activation, times what goes up. */
uint32_t sy__emit_product(sy__builder *b, const char *name, uint32_t x, sy__role role,
                          uint32_t i_layer, uint64_t first, uint64_t n);
uint32_t sy__emit_gated(sy__builder *b, uint32_t gate, uint32_t up);
/* per_layer.c: the per-layer embeddings of the step's tokens, x being their embeddings, and what a
 * layer does with its slice. */
void sy__emit_per_layer(sy__builder *b, uint32_t x);
uint32_t sy__emit_layer_input(sy__builder *b, uint32_t i_layer, uint32_t x);
/* altup.c. Over the rows of the residual stream: made of an embedding; predicted by a layer, which
 * answers the active row too; corrected by what was found for that row; made one again. */
uint32_t sy__emit_altup_split(sy__builder *b, uint32_t x);
uint32_t sy__emit_altup_predict(sy__builder *b, uint32_t i_layer, uint32_t rows,
                                uint32_t *out_active);
uint32_t sy__emit_altup_correct(sy__builder *b, uint32_t i_layer, uint32_t rows, uint32_t active,
                                uint32_t found);
uint32_t sy__emit_altup_join(sy__builder *b, uint32_t rows);
/* x plus a normalised product of low rank; a gate without its small elements. */
uint32_t sy__emit_laurel(sy__builder *b, uint32_t i_layer, uint32_t x);
uint32_t sy__emit_sparse_gate(sy__builder *b, uint32_t i_layer, uint32_t gate);
/* short_conv.c: a short convolution, in place of attention. */
uint32_t sy__emit_convolution(sy__builder *b, uint32_t i_layer, uint32_t x);
/* layer.c: a STATE [context, width] of the layer. */
uint32_t sy__emit_state(sy__builder *b, const char *name, sy_element_type type, uint64_t width);
/* experts.c: the feed-forward of a layer with experts. */
uint32_t sy__emit_experts(sy__builder *b, uint32_t i_layer, uint32_t x);
/* layer.c: one layer over the residual stream x; answers the new x. */
uint32_t sy__emit_layer(sy__builder *b, uint32_t i_layer, uint32_t x);
/* x normalised with a role's weight (and bias). */
uint32_t sy__emit_norm(sy__builder *b, const char *name, uint32_t x, sy__role role,
                       uint32_t i_layer);

#endif
