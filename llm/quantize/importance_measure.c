/* SPDX-License-Identifier: Apache-2.0 */
/* An engine whose graph sums the squares of what its products read (llm/arch/observe.c) reads a
 * text; after each step the sums of its rows are added up here, in double precision. */
#include "engine/engine_internal.h"
#include "quantize/importance.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define CHUNK_TOKENS 512u

typedef struct reading {
    sy_importance *importance;
    sy_engine *engine;
    const sy_importance_text *text;
    sy_session *session; /* NULL: an encoder */
    int32_t *tokens;     /* [n_chunk_tokens] */
    float *hidden;       /* of an encoder */
    uint32_t n_chunk_tokens, n_chunks;
    int32_t begin; /* token that each chunk begins with, SY_NO_TOKEN none */
} reading;

static sy_status add_output(sy_engine *engine, uint32_t i_value, uint64_t n, double *inout_sums,
                            sy_error *error) {
    const void *data = NULL;
    uint64_t n_bytes = 0;
    sy_status status = sy_executor_output(engine->executor, i_value, &data, &n_bytes, error);
    if (status == SY_OK && n_bytes != n * sizeof(float)) {
        status = sy_error_set(error, SY_INTERNAL, "An observation has another size.");
    }
    const float *numbers = data;
    for (uint64_t i = 0; status == SY_OK && i < n; i++) {
        if (!isfinite(numbers[i])) {
            return SY_OUT_OF_RANGE;
        }
        inout_sums[i] += (double)numbers[i];
    }
    return status;
}

static sy_status add_observed(sy_engine *engine, const sy__observed *observed,
                              const sy__importance_entry *entry, uint32_t n_tokens,
                              sy_error *error) {
    sy_status status = add_output(engine, observed->sums, entry->n_columns * entry->n_matrices,
                                  entry->sums, error);
    if (status == SY_OUT_OF_RANGE) {
        return sy_error_set(error, status, "What '%s' is multiplied with is no number.",
                            observed->tensor);
    }
    if (status == SY_OK && observed->counts != SY_NO_VALUE) {
        status = add_output(engine, observed->counts, entry->n_matrices, entry->counts, error);
    } else if (status == SY_OK) {
        entry->counts[0] += n_tokens;
    }
    return status;
}

sy_status sy__importance_add_step(sy_engine *engine, uint32_t n_tokens, sy_error *error) {
    const sy__observer *observer = engine->observer;
    const sy__importance_entry *entries = observer->importance->entries;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < engine->model.n_observed; i++) {
        status = add_observed(engine, &engine->model.observed[i], &entries[observer->entries[i]],
                              n_tokens, error);
    }
    return status;
}

static sy_status read_chunk(reading *r, uint32_t i_chunk, sy_error *error) {
    const sy_importance_text *text = r->text;
    uint64_t first = (uint64_t)i_chunk * r->n_chunk_tokens, left = text->n_tokens - first;
    uint32_t n = left < r->n_chunk_tokens ? (uint32_t)left : r->n_chunk_tokens;
    memcpy(r->tokens, text->tokens + first, n * sizeof(int32_t));
    if (r->begin != SY_NO_TOKEN) {
        r->tokens[0] = r->begin;
    }
    if (r->session == NULL) {
        return sy_engine_encode(r->engine, r->tokens, n, r->hidden, error);
    }
    sy_status status = sy_session_rewind(r->session, 0, error);
    return status == SY_OK ? sy_session_prefill(r->session, r->tokens, n, error) : status;
}

static sy_status read_chunks(reading *r, sy_error *error) {
    const sy_importance_text *text = r->text;
    sy_status status = SY_OK;
    for (uint32_t i = text->i_first_chunk; status == SY_OK && i < r->n_chunks; i++) {
        status = read_chunk(r, i, error);
        if (status != SY_OK) {
            break;
        }
        sy__importance_note_chunks(r->importance, 1, r->n_chunk_tokens);
        if (text->progress != NULL &&
            text->progress(text->progress_user, i + 1, r->n_chunks) != 0) {
            status = sy_error_set(error, SY_CANCELLED,
                                  "Measuring was ended after chunk %" PRIu32 " of %" PRIu32 ".",
                                  i + 1, r->n_chunks);
        }
    }
    return status;
}

static sy_status check(const sy_engine *engine, const sy_importance_text *text, sy_error *error) {
    if (engine->model.n_observed == 0 || engine->prefixes != NULL) {
        sy_error_set(error, SY_FAILED_PRECONDITION,
                     engine->prefixes != NULL
                         ? "An engine that stores prefixes does not read all of a text."
                         : "The engine was made without measuring.");
        sy_error_hint(error, "Make it with measure_importance = 1 and prefix_bytes = 0.");
        return SY_FAILED_PRECONDITION;
    }
    if (text->struct_bytes != sizeof(*text) || text->n_tokens == 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "The text gives no tokens to measure.");
    }
    return SY_OK;
}

/* Chunks of the size that the engine, and what was measured before, take. */
static sy_status choose_chunks(reading *r, sy_error *error) {
    const sy_engine *engine = r->engine;
    const sy_importance_text *text = r->text;
    uint32_t most = engine->info.n_context_tokens, known = r->importance->n_chunk_tokens;
    if (engine->info.is_encoder && engine->options.n_batch_tokens < most) {
        most = engine->options.n_batch_tokens;
    }
    uint32_t n = text->n_chunk_tokens != 0 ? text->n_chunk_tokens : CHUNK_TOKENS;
    r->n_chunk_tokens = n < most ? n : most;
    if (text->n_chunk_tokens != 0 && n > most) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A chunk of %" PRIu32 " tokens is over the %" PRIu32
                            " that the engine takes at once.",
                            n, most);
    }
    if (text->i_first_chunk > 0 && known != 0 && known != r->n_chunk_tokens) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Measuring began with chunks of %" PRIu32 " tokens, not %" PRIu32 ".",
                            known, r->n_chunk_tokens);
    }
    uint64_t n_chunks = (text->n_tokens + r->n_chunk_tokens - 1) / r->n_chunk_tokens;
    if (text->n_chunks_most != 0 && n_chunks > text->n_chunks_most) {
        n_chunks = text->n_chunks_most;
    }
    if (n_chunks > UINT32_MAX) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "The text is too long.");
    }
    r->n_chunks = (uint32_t)n_chunks;
    return SY_OK;
}

static sy_status reserve(reading *r, sy_error *error) {
    sy_engine *engine = r->engine;
    const sy_allocator *allocator = engine->allocator;
    r->begin = SY_NO_TOKEN;
    if (engine->tokenizer != NULL && sy_tokenizer_adds_bos(engine->tokenizer)) {
        r->begin = sy_tokenizer_special(engine->tokenizer, SY_SPECIAL_BOS);
    }
    r->tokens = sy__alloc_array(allocator, r->n_chunk_tokens, sizeof(int32_t));
    if (engine->info.is_encoder) {
        r->hidden = sy__alloc_array(allocator, (size_t)r->n_chunk_tokens * engine->info.n_embedding,
                                    sizeof(float));
    }
    if (r->tokens == NULL || (engine->info.is_encoder && r->hidden == NULL)) {
        return sy__no_memory(error, r->n_chunk_tokens * sizeof(int32_t), "a chunk of text");
    }
    return engine->info.is_encoder ? SY_OK
                                   : sy_session_open(engine, r->n_chunk_tokens, &r->session, error);
}

static sy_status begin_observer(sy__observer *observer, sy_engine *engine, sy_error *error) {
    const uint32_t n = engine->model.n_observed;
    observer->entries = sy__alloc_array(engine->allocator, n, sizeof(uint32_t));
    if (observer->entries == NULL) {
        return sy__no_memory(error, n * sizeof(uint32_t), "observed products");
    }
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        const sy__observed *observed = &engine->model.observed[i];
        status = sy__importance_need(observer->importance, observed->tensor, observed->n_columns,
                                     observed->n_matrices, &observer->entries[i], error);
    }
    return status;
}

sy_status sy_importance_measure(sy_importance *importance, sy_engine *engine,
                                const sy_importance_text *text, sy_error *error) {
    reading r = {.importance = importance, .engine = engine, .text = text};
    sy__observer observer = {.importance = importance};
    uint32_t n_before = importance->n_entries;
    sy_status status = check(engine, text, error);
    status = status == SY_OK ? choose_chunks(&r, error) : status;
    status = status == SY_OK ? reserve(&r, error) : status;
    status = status == SY_OK ? begin_observer(&observer, engine, error) : status;
    if (status == SY_OK && text->i_first_chunk == 0 && text->name != NULL) {
        status = sy__importance_note_text(importance, text->name, strlen(text->name), error);
    }
    if (status == SY_OK) {
        engine->observer = &observer;
        status = read_chunks(&r, error);
        engine->observer = NULL;
    } else {
        sy__importance_cut(importance, n_before);
    }
    sy_session_close(r.session);
    sy__free_array(engine->allocator, observer.entries, engine->model.n_observed, sizeof(uint32_t));
    sy__free_array(engine->allocator, r.hidden, (size_t)r.n_chunk_tokens * engine->info.n_embedding,
                   sizeof(float));
    sy__free_array(engine->allocator, r.tokens, r.n_chunk_tokens, sizeof(int32_t));
    return status;
}
