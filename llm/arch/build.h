/* SPDX-License-Identifier: Apache-2.0 */
/* From the tensors of a GGUF file to a graph, through the description of its architecture. */
#ifndef SY_ARCH_BUILD_H
#define SY_ARCH_BUILD_H

#include "arch/description.h"
#include "base/memory.h"
#include "switchyard/graph.h"

/* What the caller decides. */
typedef struct sy__build_options {
    uint32_t n_batch_tokens, n_output_rows, n_sequences; /* bounds of the symbols */
    uint32_t n_context_tokens;                           /* bound of the states */
    sy_element_type key_type, value_type;
    uint32_t adapter_rank; /* largest rank of adapters; 0: the graph takes none */
    bool chooses;          /* the graph also answers the best token of each row of logits */
    bool observe;          /* the graph also sums squares of what its products read */
} sy__build_options;

/* A product that adapters can work on: rows of a tensor. Its index is the pair of an adapter. */
typedef struct sy__adapter_slot {
    char tensor[SY_LIMIT_NAME_BYTES + 1];
    sy__role role;
    uint32_t i_layer;
    uint64_t n_inputs, first_row, n_rows, n_all_rows; /* n_all_rows: of the tensor */
    uint64_t n_head_pairs; /* rotated pairs of each head whose rows a folder and a GGUF file have in
                              different orders; 0: in the same */
} sy__adapter_slot;

/* What is summed for one tensor of the file, for importance matrices. */
typedef struct sy__observed {
    char tensor[SY_LIMIT_NAME_BYTES + 1];
    uint64_t n_columns, n_matrices;
    uint32_t sums;       /* OUTPUT f32 [n_matrices, n_columns]: squares, over the rows of a step */
    uint32_t counts;     /* OUTPUT f32 [n_matrices]: rows; SY_NO_VALUE: one for each token */
    uint32_t x, experts; /* what is read, and by which experts; of the graph before the passes */
    uint32_t i_first;    /* the first observation of the same rows: its nodes serve both */
} sy__observed;

/* The graph and the values a step binds. */
typedef struct sy__model_graph {
    sy_graph *graph;
    sy__arena constants;  /* what the graph borrows beside the file: frequencies, scalars */
    uint32_t tokens;      /* INPUT i32 [T] */
    uint32_t positions;   /* INPUT i32 [T] */
    uint32_t output_rows; /* INPUT i32 [R]; SY_NO_VALUE for encoders */
    uint32_t token_types; /* INPUT i32 [T]; SY_NO_VALUE but for cross-encoders, which tell the two
                             texts apart by it */
    uint32_t result;      /* OUTPUT f32: logits [R, V], or hidden states [T, width] */
    uint32_t best_logits; /* OUTPUT f32 [R, 1]: the highest logit of a row, NaN where there is one;
                             SY_NO_VALUE unless options.chooses */
    uint32_t best_tokens; /* OUTPUT i64 [R, 1]: the first token that has it */
    sy__adapter_slot *slots; /* places for adapters, by attribute slot */
    uint32_t n_slots;
    size_t slots_capacity;
    bool half_split;        /* rows of heads are as folders have them */
    sy__observed *observed; /* none unless options.observe */
    uint32_t n_observed;
    size_t observed_capacity;
} sy__model_graph;

/* Builds the graph of a described model; weights stay where the file is mapped. */
SY_MUST_CHECK sy_status sy__model_graph_build(const sy_allocator *allocator,
                                              const sy__architecture *architecture,
                                              const sy__build_options *options,
                                              sy__model_graph *out_model, sy_error *error);

/* Runs the passes and finds the step's values again. */
SY_MUST_CHECK sy_status sy__model_graph_optimize(sy__model_graph *model,
                                                 const sy_pass_options *passes, sy_error *error);

/* Frees the graph and its constants; a zeroed struct is fine. */
void sy__model_graph_deinit(sy__model_graph *model);

#endif
