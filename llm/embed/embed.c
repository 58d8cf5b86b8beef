/* SPDX-License-Identifier: Apache-2.0 */
/* Texts through an encoder, or a decoder that is read as one, several in one step, and from rows to
 * one vector each. */
#include "embed/embed_internal.h"
#include "engine/engine_internal.h"
#include "switchyard/limits.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

sy_status sy__embed_check_text(const sy_engine *engine, const sy_embed_text *text, uint32_t i_text,
                               sy_error *error) {
    uint32_t n_batch = engine->options.n_batch_tokens, n_context = engine->info.n_context_tokens;
    uint32_t n_most = n_batch < n_context ? n_batch : n_context;
    if (text->n_tokens == 0 || text->n_tokens > n_most) {
        sy_error_set(error, SY_OUT_OF_RANGE,
                     "Text %" PRIu32 " has %" PRIu32 " tokens; 1 to %" PRIu32 " can be embedded.",
                     i_text, text->n_tokens, n_most);
        sy_error_hint(error, n_batch < n_context
                                 ? "Make the engine with a larger batch (-b), or cut the text."
                                 : "Cut the text: the model was made for no more.");
        return SY_OUT_OF_RANGE;
    }
    for (uint32_t i = 0; i < text->n_tokens; i++) {
        if (text->tokens[i] < 0 || (uint32_t)text->tokens[i] >= engine->info.n_vocabulary) {
            return sy_error_set(error, SY_OUT_OF_RANGE,
                                "Token %" PRId32 " of text %" PRIu32
                                " is outside the vocabulary of %" PRIu32 ".",
                                text->tokens[i], i_text, engine->info.n_vocabulary);
        }
    }
    return SY_OK;
}

static sy_status check(const sy_engine *engine, const sy_embed_text *texts, uint32_t n_texts,
                       const sy_embed_options *options, sy_error *error) {
    if (!engine->info.is_encoder) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "'%s' is a decoder without a pooling; embeddings come from encoders "
                            "and from decoders whose file names one (pooling_type).",
                            engine->info.architecture);
    }
    if ((uint32_t)options->pooling > SY_POOLING_LAST) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "There is no pooling %u.",
                            (unsigned)options->pooling);
    }
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_texts; i++) {
        status = sy__embed_check_text(engine, &texts[i], i, error);
    }
    return status;
}

sy_pooling sy__embed_pooling(const sy_engine *engine) {
    switch (engine->info.pooling) {
    case SY__POOLING_FIRST:
        return SY_POOLING_CLS;
    case SY__POOLING_LAST:
        return SY_POOLING_LAST;
    case SY__POOLING_RANK: /* the row that the classifier reads */
        return sy__embed_family(engine)->has_output ? SY_POOLING_LAST : SY_POOLING_CLS;
    default:
        return SY_POOLING_MEAN;
    }
}

const sy__family *sy__embed_family(const sy_engine *engine) {
    const char *name = engine->info.architecture;
    return sy__family_find((sy_gguf_string){name, strlen(name)});
}

void sy__embed_pool(const float *rows, uint32_t n_rows, uint32_t width, sy_pooling pooling,
                    float *out_vector) {
    if (pooling != SY_POOLING_MEAN) {
        const float *row = pooling == SY_POOLING_CLS ? rows : rows + (size_t)(n_rows - 1) * width;
        memcpy(out_vector, row, width * sizeof(float));
        return;
    }
    for (uint32_t c = 0; c < width; c++) {
        double sum = 0;
        for (uint32_t r = 0; r < n_rows; r++) {
            sum += (double)rows[(size_t)r * width + c];
        }
        out_vector[c] = (float)(sum / n_rows);
    }
}

static void scale_to_one(float *vector, uint32_t width) {
    double sum = 0;
    for (uint32_t c = 0; c < width; c++) {
        sum += (double)vector[c] * (double)vector[c];
    }
    double factor = sum > 0 ? 1.0 / sqrt(sum) : 0;
    for (uint32_t c = 0; c < width; c++) {
        vector[c] = (float)((double)vector[c] * factor);
    }
}

/* How many of the texts fit one step; tokens and sequences are filled for them. */
static uint32_t fill(const sy_engine *engine, const sy_embed_text *texts, uint32_t n_texts,
                     sy_step_sequence *sequences, int32_t *tokens) {
    uint32_t n = 0, n_rows = 0;
    while (n < n_texts && n < engine->options.n_sequences &&
           texts[n].n_tokens <= engine->options.n_batch_tokens - n_rows) {
        sequences[n] = (sy_step_sequence){.n_tokens = texts[n].n_tokens};
        memcpy(tokens + n_rows, texts[n].tokens, texts[n].n_tokens * sizeof(int32_t));
        n_rows += texts[n].n_tokens;
        n++;
    }
    return n;
}

static sy_status embed_all(sy_engine *engine, const sy_embed_text *texts, uint32_t n_texts,
                           const sy_embed_options *options, int32_t *tokens, float *out_vectors,
                           sy_error *error) {
    sy_step_sequence sequences[SY_LIMIT_SEQUENCES];
    const uint32_t width = engine->info.n_embedding;
    const sy_pooling pooling =
        options->pooling != SY_POOLING_MODEL ? options->pooling : sy__embed_pooling(engine);
    for (uint32_t done = 0; done < n_texts;) {
        const float *rows = NULL;
        uint32_t n = fill(engine, texts + done, n_texts - done, sequences, tokens);
        sy_status status = sy__engine_step(engine, sequences, n, tokens, 0, &rows, error);
        if (status != SY_OK) {
            return status;
        }
        for (uint32_t i = 0; i < n; i++, done++) {
            float *vector = out_vectors + (size_t)done * width;
            sy__embed_pool(rows, sequences[i].n_tokens, width, pooling, vector);
            if (!options->keep_length) {
                scale_to_one(vector, width);
            }
            rows += (size_t)sequences[i].n_tokens * width;
        }
    }
    return SY_OK;
}

sy_status sy_engine_embed(sy_engine *engine, const sy_embed_text *texts, uint32_t n_texts,
                          const sy_embed_options *options, float *out_vectors, sy_error *error) {
    static const sy_embed_options defaults = {.struct_bytes = sizeof(defaults)};
    options = options != NULL ? options : &defaults;
    sy_status status = check(engine, texts, n_texts, options, error);
    if (status != SY_OK) {
        return status;
    }
    const uint32_t n_batch = engine->options.n_batch_tokens;
    int32_t *tokens = sy__alloc_array(engine->allocator, n_batch, sizeof(int32_t));
    if (tokens == NULL) {
        return sy__no_memory(error, n_batch * sizeof(int32_t), "embedding");
    }
    status = embed_all(engine, texts, n_texts, options, tokens, out_vectors, error);
    sy__free_array(engine->allocator, tokens, n_batch, sizeof(int32_t));
    return status;
}
