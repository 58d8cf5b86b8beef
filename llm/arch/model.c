/* SPDX-License-Identifier: Apache-2.0 */
/* The public view of a description. */
#include "switchyard/model.h"

#include "arch/description.h"
#include "base/memory.h"

static const char *rope_name(const sy__rope *rope) {
    static const char *const names[] = {"plain", "linear", "llama3", "longrope", "yarn"};
    return rope->kind == SY__ROPE_NONE ? "none" : names[rope->scaling];
}

static void fill(const sy__architecture *architecture, sy_model_facts *out_facts) {
    const sy__layer *first = &architecture->layers[0];
    *out_facts = (sy_model_facts){
        .struct_bytes = (uint32_t)sizeof(*out_facts),
        .architecture = architecture->family->name,
        .family = architecture->family->label,
        .rope = rope_name(&architecture->rope),
        .n_layers = architecture->n_layers,
        .n_embedding = architecture->n_embd,
        .n_vocabulary = architecture->n_vocab,
        .n_trained_tokens = architecture->n_context,
        .n_heads = first->n_heads,
        .n_kv_heads = first->n_kv_heads,
        .n_feed_forward = first->n_ff,
        .n_experts = architecture->experts.n_experts,
        .n_used_experts = architecture->experts.n_used,
        .key_length = architecture->key_length,
        .value_length = architecture->value_length,
        .is_encoder = !architecture->has_output,
        .has_tied_output = architecture->tied_output,
    };
    for (uint32_t i = 0; i < architecture->n_layers; i++) {
        const sy__layer *layer = &architecture->layers[i];
        if (layer->i_states == i && !layer->is_convolution) {
            out_facts->kv_elements_per_token +=
                (uint64_t)layer->n_kv_heads * (layer->key_length + layer->value_length);
        }
        out_facts->window = layer->window > 0 ? layer->window : out_facts->window;
        out_facts->n_windowed_layers += layer->window > 0;
    }
}

sy_status sy_model_describe(const sy_allocator *allocator, const sy_gguf *gguf,
                            sy_model_facts *out_facts, sy_error *error) {
    if (out_facts->struct_bytes != sizeof(*out_facts)) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "The size of sy_model_facts is not set.");
        sy_error_hint(error, "Set struct_bytes to sizeof(sy_model_facts) before the call.");
        return SY_INVALID_ARGUMENT;
    }
    sy__architecture *architecture = SY__NEW(allocator, sy__architecture);
    if (architecture == NULL) {
        return sy__no_memory(error, sizeof(*architecture), "the description of the model");
    }
    sy_status status = sy__architecture_read(gguf, architecture, error);
    if (status == SY_OK) {
        fill(architecture, out_facts);
    }
    SY__DELETE(allocator, architecture);
    return status;
}
