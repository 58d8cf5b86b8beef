/* SPDX-License-Identifier: Apache-2.0 */
#include "speculate/speculate_internal.h"

#include <inttypes.h>
#include <string.h>

#define DEFAULT_GUESSES 4u
#define DEFAULT_MATCH_TOKENS 3u
#define PIECE_BYTES 512u

void sy_speculator_options_default(sy_speculator_options *out_options) {
    *out_options = (sy_speculator_options){.struct_bytes = sizeof(*out_options),
                                           .n_guesses = DEFAULT_GUESSES,
                                           .n_match_tokens = DEFAULT_MATCH_TOKENS};
}

/* Longer pieces than the buffer are told apart by their beginning. */
static size_t piece_of(const sy_tokenizer *tokenizer, uint32_t id, char bytes[PIECE_BYTES]) {
    size_t n = 0;
    sy_status status =
        sy_tokenizer_piece(tokenizer, (int32_t)id, SY_DECODE_SPECIAL, bytes, PIECE_BYTES, &n, NULL);
    return status == SY_OK ? n : PIECE_BYTES + 1;
}

/* Guesses are token ids: both models have to mean the same by them. */
static sy_status check_vocabulary(const sy_engine *engine, const sy_engine *draft,
                                  sy_error *error) {
    char ours[PIECE_BYTES], theirs[PIECE_BYTES];
    uint32_t n = engine->info.n_vocabulary;
    if (draft->info.is_encoder || draft->info.n_vocabulary != n) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The draft model has %" PRIu32 " tokens, the model %" PRIu32
                            "; a draft needs the same vocabulary.",
                            draft->info.n_vocabulary, n);
    }
    if (engine->tokenizer == NULL || draft->tokenizer == NULL) {
        return SY_OK; /* nothing but numbers to compare */
    }
    for (uint32_t id = 0; id < n; id++) {
        size_t n_ours = piece_of(engine->tokenizer, id, ours);
        size_t n_theirs = piece_of(draft->tokenizer, id, theirs);
        if (n_ours != n_theirs || (n_ours <= PIECE_BYTES && memcmp(ours, theirs, n_ours) != 0)) {
            return sy_error_set(error, SY_FAILED_PRECONDITION,
                                "Token %" PRIu32 " is another one in the draft model; a draft "
                                "needs the same vocabulary.",
                                id);
        }
    }
    return SY_OK;
}

static sy_status check(const sy_engine *engine, const sy_speculator_options *options,
                       sy_error *error) {
    if (engine->info.is_encoder || options->n_guesses == 0 || options->n_guesses > SY_GUESSES_MAX ||
        options->n_match_tokens < 2) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Speculation takes a decoder, 1 to %u guesses and at least 2 tokens "
                            "that match.",
                            SY_GUESSES_MAX);
    }
    if (engine->options.n_output_rows < 2 || engine->options.n_batch_tokens < 2) {
        sy_error_set(error, SY_INVALID_ARGUMENT,
                     "The engine's steps have one row of logits; guesses need one each.");
        sy_error_hint(error, "Make the engine with more n_output_rows.");
        return SY_INVALID_ARGUMENT;
    }
    if (options->draft == engine) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "A model cannot be its own draft.");
    }
    return options->draft != NULL ? check_vocabulary(engine, options->draft, error) : SY_OK;
}

static size_t n_row_elements(const sy_speculator *speculator) {
    return ((size_t)speculator->options.n_guesses + 1) * speculator->engine->info.n_vocabulary;
}

sy_status sy_speculator_create(sy_engine *engine, const sy_speculator_options *options,
                               sy_speculator **out_speculator, sy_error *error) {
    sy_speculator_options defaults;
    sy_speculator_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    sy_status status = check(engine, options, error);
    if (status != SY_OK) {
        return status;
    }
    sy_speculator *speculator = SY__NEW(engine->allocator, sy_speculator);
    if (speculator == NULL) {
        return sy__no_memory(error, sizeof(*speculator), "a speculator");
    }
    speculator->engine = engine;
    speculator->options = *options;
    uint32_t n_rows = engine->options.n_output_rows < engine->options.n_batch_tokens
                          ? engine->options.n_output_rows
                          : engine->options.n_batch_tokens;
    if (options->n_guesses >= n_rows) {
        speculator->options.n_guesses = n_rows - 1;
    }
    speculator->rows =
        sy__alloc_array(engine->allocator, n_row_elements(speculator), sizeof(float));
    if (speculator->rows == NULL) {
        status = sy__no_memory(error, n_row_elements(speculator) * sizeof(float), "a speculator");
    } else if (options->draft != NULL) {
        status = sy_session_open(options->draft, options->max_tokens, &speculator->draft, error);
    }
    if (status != SY_OK) {
        sy_speculator_destroy(speculator);
        return status;
    }
    *out_speculator = speculator;
    return SY_OK;
}

void sy_speculator_destroy(sy_speculator *speculator) {
    if (speculator != NULL) {
        const sy_allocator *allocator = speculator->engine->allocator;
        sy_session_close(speculator->draft);
        sy__free_array(allocator, speculator->rows, n_row_elements(speculator), sizeof(float));
        SY__DELETE(allocator, speculator);
    }
}

void sy_speculator_get_stats(const sy_speculator *speculator, sy_speculator_stats *out_stats) {
    *out_stats = speculator->stats;
    out_stats->is_resting = speculator->account.n_rest > 0 || speculator->cannot_go_back ? 1 : 0;
}
