/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a model for saved sessions: SHA-256 over the architecture, every tensor's name,
 * type and shape, and 256 bytes from the start, middle and end of each tensor. Two fine-tunes of
 * one base differ in nearly every tensor, so samples tell them apart without reading gigabytes.
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

const uint8_t *sy__engine_identity(sy_engine *engine) {
    if (engine->has_identity) {
        return engine->identity;
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, engine->info.architecture, strlen(engine->info.architecture));
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
