/* SPDX-License-Identifier: Apache-2.0 */
/* What a model file holds, told without loading it: for describing it and for asking whether it can
 * run here before memory is spent. */
#ifndef SWITCHYARD_MODEL_H
#define SWITCHYARD_MODEL_H

#include "switchyard/gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Figures of one model. Texts are static. */
typedef struct sy_model_facts {
    uint32_t struct_bytes;    /* sizeof(sy_model_facts) of the caller */
    const char *architecture; /* as the file spells it */
    const char *family;       /* for people, e.g. "Llama, Mistral, SmolLM" */
    const char *rope;         /* "none", "plain", "linear", "llama3", "longrope" or "yarn" */
    uint32_t n_layers, n_embedding, n_vocabulary, n_trained_tokens;
    uint32_t n_heads, n_kv_heads, n_feed_forward; /* of the first layer */
    uint32_t n_experts, n_used_experts;           /* of a layer and of a token; 0 none */
    uint32_t key_length, value_length;            /* of one head */
    uint32_t window;                              /* of windowed layers, 0 none */
    uint32_t n_windowed_layers;                   /* layers that look back `window` tokens only */
    uint32_t is_encoder;            /* 1: gives hidden states, not next-token logits */
    uint32_t has_tied_output;       /* 1: embedding and output are one tensor */
    uint64_t kv_elements_per_token; /* over all layers, as if none were windowed */
} sy_model_facts;

/* Describes the model in a file, or says why this build cannot run it.
 * shape: -  unit: -  owner: caller's struct, struct_bytes set; texts static
 * errors: INVALID_ARGUMENT struct_bytes; UNIMPLEMENTED architecture, feature or tensor; NOT_FOUND
 * missing key or tensor; OUT_OF_RANGE, DATA_LOSS senseless value or shape; RESOURCE_EXHAUSTED
 * thread: any  cost: O(tensors log tensors), heap 70 KiB during the call  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_model_describe(const sy_allocator *allocator, const sy_gguf *gguf,
                                          sy_model_facts *out_facts, sy_error *error);

/* What a report contains; TEXT alone is the short one for people. */
enum {
    SY_MODEL_TEXT = 0,
    SY_MODEL_JSON = 1,
    SY_MODEL_TENSORS = 2, /* every tensor */
    SY_MODEL_METADATA = 4 /* every key; arrays by their count and first elements */
};

/* Writes about any GGUF file, also one that cannot run here (then it says why): architecture,
 * parameters, mix of element types, context, vocabulary, sizes, chat template. Control characters
 * and malformed UTF-8 of the file do not reach the text.
 * shape: -  unit: -  owner: text: caller, sy_string_destroy with the same allocator
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(tensors + keys)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_model_report(const sy_allocator *allocator, const sy_gguf *gguf,
                                        uint32_t flags, char **out_text, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
