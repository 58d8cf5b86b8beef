/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a model in the order in which a step uses them, for reading ahead: files hold the
 * layers in order, but the output matrix, which comes last, may be the embedding at the front. */
#include "engine/engine_internal.h"
#include "switchyard/limits.h"

#include <string.h>

static bool starts_with(const sy_gguf_tensor *tensor, const char *text) {
    size_t n = strlen(text);
    return tensor->name.n_bytes >= n && memcmp(tensor->name.bytes, text, n) == 0;
}

/* Of stacks of experts and of per-layer embeddings a step reads what its tokens chose, no more. */
static bool is_read_in_parts(const sy_gguf_tensor *tensor) {
    static const char end[] = "_exps.weight";
    size_t n = sizeof(end) - 1;
    return starts_with(tensor, "per_layer_token_embd.") ||
           (tensor->name.n_bytes >= n &&
            memcmp(tensor->name.bytes + tensor->name.n_bytes - n, end, n) == 0);
}

static sy__span span_of(const sy_gguf_tensor *tensor) {
    return (sy__span){.bytes = tensor->data, .n_bytes = tensor->n_bytes};
}

/* Neighbours in the file become one span. */
static void add_span(sy__span *spans, uint32_t *inout_n, sy__span span) {
    sy__span *last = *inout_n > 0 ? &spans[*inout_n - 1] : NULL;
    uint64_t gap = last != NULL && span.bytes >= last->bytes + last->n_bytes
                       ? (uint64_t)(span.bytes - last->bytes) - last->n_bytes
                       : UINT64_MAX;
    if (gap <= SY_LIMIT_ALIGNMENT_BYTES) {
        last->n_bytes += gap + span.n_bytes;
    } else {
        spans[(*inout_n)++] = span;
    }
}

void sy__engine_advise_tables(sy_engine *engine) {
    static const char *const tables[] = {"per_layer_token_embd.weight", "token_embd.weight"};
    sy_gguf_tensor tensor;
    bool tied = !sy_gguf_find_tensor(engine->gguf, "output.weight", &tensor);
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) - (tied ? 1 : 0); i++) {
        if (sy_gguf_find_tensor(engine->gguf, tables[i], &tensor)) {
            sy__read_rows_only(span_of(&tensor));
        }
    }
}

void sy__engine_read_ahead(sy_engine *engine) {
    const sy_gguf *gguf = engine->gguf;
    uint32_t n_tensors = sy_gguf_get_facts(gguf)->n_tensors, n = 0;
    sy_gguf_tensor tensor;
    bool tied = !sy_gguf_find_tensor(gguf, "output.weight", &tensor);
    sy__span *spans = sy__alloc_array(engine->allocator, n_tensors, sizeof(sy__span));
    if (spans == NULL) {
        return; /* the weights come in when they are used */
    }
    for (int last = 0; last < 2; last++) { /* the layers, then the output */
        for (uint32_t i = 0; i < n_tensors; i++) {
            bool known = sy_gguf_tensor_at(gguf, i, &tensor) != 0;
            bool table = starts_with(&tensor, "token_embd.");
            bool output = starts_with(&tensor, "output.") || (table && tied);
            bool wanted = output == (last != 0) && (output || !table);
            if (known && wanted && !is_read_in_parts(&tensor)) {
                add_span(spans, &n, span_of(&tensor));
            }
        }
    }
    engine->read_ahead = sy__read_ahead_start(engine->allocator, spans, n);
    sy__free_array(engine->allocator, spans, n_tensors, sizeof(sy__span));
}
