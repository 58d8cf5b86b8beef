/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders as Hugging Face publishes models: config.json, safetensors, tokenizer.json and the small
 * files beside them, read as if they were one GGUF file. Keys are worked out from the JSON, weights
 * stay where the safetensors are mapped; only norms, biases that lie askew and rotary factors are
 * made anew, some KiB a layer. Matrices that GGUF stacks and a folder has apart (experts) are put
 * together when they are asked for: row by row, or all in memory by sy_gguf_gather.
 *
 * Two things differ from a converted file. Query and key rows of Llama and Mistral keep the order
 * of the folder; the key switchyard.rope.half_split says so. And tensors may have any alignment
 * that fits their type.
 */
#ifndef SWITCHYARD_HUGGINGFACE_H
#define SWITCHYARD_HUGGINGFACE_H

#include "switchyard/gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Set to true in a view whose llama-like query and key rows are in half-split order. */
#define SY_HUGGINGFACE_HALF_SPLIT "switchyard.rope.half_split"
/* One byte a token: what a special token swallows beside it (SY_TOKEN_STRIP_*). */
#define SY_HUGGINGFACE_STRIPS "switchyard.tokenizer.strips"
/* u32 ids: tokens that end a generation beside the three that GGUF has keys for. */
#define SY_HUGGINGFACE_MORE_ENDS "switchyard.tokenizer.more_end_token_ids"
/* True: the space that a SentencePiece vocabulary puts in front comes only in front of the whole
 * text, not behind special tokens; only where the text has none; "bert" leaves case and accents. */
#define SY_HUGGINGFACE_PREFIX_ONCE "switchyard.tokenizer.prefix_once"
#define SY_HUGGINGFACE_PREFIX_IF_MISSING "switchyard.tokenizer.prefix_if_missing"
#define SY_HUGGINGFACE_KEEPS_CASE "switchyard.tokenizer.keeps_case"
/* True: the head of a cross-encoder reads the mean of the rows, not the first. */
#define SY_HUGGINGFACE_CLASSIFIES_MEAN "switchyard.classifier.mean"

/* Opens a folder. One without weights gives a vocabulary alone, one without tokenizer.json a model
 * without a vocabulary.
 * shape: -  unit: -  owner: caller, sy_gguf_close  errors: NOT_FOUND no model, or a part of it
 * missing; UNIMPLEMENTED what this build cannot express, by name; DATA_LOSS, OUT_OF_RANGE senseless
 * content; those of the readers  thread: any  cost: O(bytes of the JSON files + tensors)
 * since: 0.1  source: transformers, tokenizers */
SY_MUST_CHECK sy_status sy_huggingface_open(const sy_allocator *allocator, const char *folder,
                                            sy_gguf **out_gguf, sy_error *error);

/* Opens a model by its path: a folder as above, anything else as a GGUF file.
 * shape: -  unit: -  owner: caller, sy_gguf_close  errors: those of both  thread: any
 * cost: as either  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_model_open(const sy_allocator *allocator, const char *path,
                                      sy_gguf **out_gguf, sy_error *error);

/* GGUF's name of a weight that transformers names, by the tables that folders are read with:
 * "model.layers.0.mlp.up_proj.weight" is "blk.0.ffn_up.weight". Layers and the output matrix only.
 * 0 when it has none in this architecture, or the architecture is not read from folders; else 1.
 * shape: -  unit: bytes, n_ours of them with the NUL  owner: caller  errors: 0  thread: any
 * cost: O(names)  since: 0.1  source: transformers */
int sy_huggingface_tensor_name(const char *architecture, const char *theirs, char *out_ours,
                               size_t n_ours);

/* Rows of Llama's query and key heads: which row of a folder is row i_row of a GGUF file, for heads
 * of 2 n_pairs rows. A folder has the halves of pairs in the halves of a head, a file side by side.
 * shape: -  unit: rows  owner: -  errors: none  thread: any  cost: O(1)  since: 0.1
 * source: llama.cpp convert_hf_to_gguf.py */
uint64_t sy_huggingface_head_row(uint64_t i_row, uint64_t n_pairs);

#ifdef __cplusplus
}
#endif
#endif
