/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities for saved sessions. That of a model: SHA-256 over the architecture, the numbers that
 * its keys hold (bases of rotations, windows, scales), every tensor's name, type and shape, and 256
 * bytes from the start, middle and end of each tensor. Two fine-tunes of one base differ in nearly
 * every tensor, so samples tell them apart without reading gigabytes. That of a tokenizer: SHA-256
 * over the bytes and type of every token, which is what the ids in a session mean.
 */
#include "base/digest.h"
#include "engine/engine_internal.h"

#include <string.h>

#define SAMPLE_BYTES 256u

static void add_sample(sy__sha256 *sha, const sy_gguf_tensor *tensor, uint64_t offset) {
    uint64_t n = tensor->n_bytes - offset;
    const uint8_t *bytes = tensor->data;
    sy__sha256_update(sha, bytes + offset, n < SAMPLE_BYTES ? (size_t)n : SAMPLE_BYTES);
}

/* Keys of the architecture: their numbers shape what a state holds. */
static void add_keys(sy__sha256 *sha, const sy_engine *engine) {
    size_t n_prefix = strlen(engine->info.architecture);
    sy_gguf_value value;
    for (uint32_t i = 0; sy_gguf_key_at(engine->gguf, i, &value) != 0; i++) {
        if (value.type == SY_GGUF_STRING || value.key.n_bytes <= n_prefix ||
            memcmp(value.key.bytes, engine->info.architecture, n_prefix) != 0 ||
            value.key.bytes[n_prefix] != '.') {
            continue;
        }
        sy__sha256_update(sha, value.key.bytes, (size_t)value.key.n_bytes);
        for (uint64_t k = 0; k < value.n_elements; k++) {
            double number = 0;
            int flag = 0;
            if (sy_gguf_value_bool(&value, k, &flag, NULL) == SY_OK) {
                number = flag;
            } else if (sy_gguf_value_f64(&value, k, &number, NULL) != SY_OK) {
                number = -1;
            }
            sy__sha256_update(sha, &number, sizeof(number));
        }
    }
}

sy_status sy__engine_tokenizer_identity(sy_engine *engine, uint8_t out_digest[SY__DIGEST_BYTES],
                                        sy_error *error) {
    const sy_tokenizer *tokenizer = engine->tokenizer;
    memcpy(out_digest, engine->vocabulary, SY__DIGEST_BYTES);
    if (engine->has_vocabulary || tokenizer == NULL) { /* zeroes for a model without one */
        return SY_OK;
    }
    size_t n_piece = sy_tokenizer_max_piece_bytes(tokenizer), n_bytes = 0;
    char *piece = sy__alloc_array(engine->allocator, n_piece, 1);
    if (piece == NULL) {
        return sy__no_memory(error, n_piece, "the identity of a tokenizer");
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy_status status = SY_OK;
    uint32_t n_tokens = sy_tokenizer_n_tokens(tokenizer);
    for (uint32_t i = 0; status == SY_OK && i < n_tokens; i++) {
        status = sy_tokenizer_piece(tokenizer, (int32_t)i, SY_DECODE_SPECIAL, piece, n_piece,
                                    &n_bytes, error);
        const uint32_t facts[2] = {sy_tokenizer_type(tokenizer, (int32_t)i), (uint32_t)n_bytes};
        sy__sha256_update(&sha, facts, sizeof(facts));
        sy__sha256_update(&sha, piece, status == SY_OK ? n_bytes : 0);
    }
    sy__sha256_final(&sha, out_digest);
    sy__free_array(engine->allocator, piece, n_piece, 1);
    if (status == SY_OK) {
        memcpy(engine->vocabulary, out_digest, SY__DIGEST_BYTES);
        engine->has_vocabulary = true;
    }
    return status;
}

const uint8_t *sy__engine_identity(sy_engine *engine) {
    if (engine->has_identity) {
        return engine->identity;
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, engine->info.architecture, strlen(engine->info.architecture));
    add_keys(&sha, engine);
    uint32_t n_tensors = sy_gguf_get_facts(engine->gguf)->n_tensors;
    for (uint32_t i = 0; i < n_tensors; i++) {
        sy_gguf_tensor tensor;
        if (!sy_gguf_tensor_at(engine->gguf, i, &tensor)) {
            continue;
        }
        sy__sha256_update(&sha, tensor.name.bytes, (size_t)tensor.name.n_bytes);
        sy__sha256_update(&sha, &tensor.type, sizeof(tensor.type));
        sy__sha256_update(&sha, tensor.dims, sizeof(tensor.dims));
        add_sample(&sha, &tensor, 0);
        add_sample(&sha, &tensor, tensor.n_bytes / 2);
        add_sample(&sha, &tensor,
                   tensor.n_bytes > SAMPLE_BYTES ? tensor.n_bytes - SAMPLE_BYTES : 0);
    }
    sy__sha256_final(&sha, engine->identity);
    engine->has_identity = true;
    return engine->identity;
}
