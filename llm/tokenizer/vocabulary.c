/* SPDX-License-Identifier: Apache-2.0 */
/* Making a tokenizer: what kind it is, its tables, and its end. */
#include "base/clock.h"
#include "tokenizer/tokenizer.h"

void sy_vocabulary_init(sy_vocabulary *out_vocabulary) {
    memset(out_vocabulary, 0, sizeof *out_vocabulary);
    out_vocabulary->struct_bytes = (uint32_t)sizeof *out_vocabulary;
    out_vocabulary->bos = out_vocabulary->eos = out_vocabulary->eot = SY_NO_TOKEN;
    out_vocabulary->eom = out_vocabulary->unk = out_vocabulary->sep = SY_NO_TOKEN;
    out_vocabulary->pad = out_vocabulary->cls = out_vocabulary->mask = SY_NO_TOKEN;
    out_vocabulary->add_bos = out_vocabulary->add_eos = SY_CHOICE_DEFAULT;
    out_vocabulary->add_sep = out_vocabulary->add_space_prefix = SY_CHOICE_DEFAULT;
    out_vocabulary->remove_extra_whitespaces = SY_CHOICE_DEFAULT;
    out_vocabulary->escape_whitespaces = SY_CHOICE_DEFAULT;
    out_vocabulary->whitespace_as_suffix = out_vocabulary->lowercase = SY_CHOICE_DEFAULT;
}

static bool choose(sy_choice choice, bool by_default) {
    return choice == SY_CHOICE_DEFAULT ? by_default : choice != SY_CHOICE_NO;
}

static void choose_model(sy_tokenizer *t, sy__model model, const sy_vocabulary *v) {
    bool piece = model == SY__MODEL_SPM || model == SY__MODEL_UNIGRAM;
    bool bert = model == SY__MODEL_WORDPIECE;
    const sy__pre *pre = t->pre;
    bool ends = pre != NULL && pre->add_ends;
    t->model = model;
    t->spelled = model == SY__MODEL_BPE && !pre->raw;
    t->add_bos =
        choose(v->add_bos, model == SY__MODEL_SPM || bert || ends || (pre != NULL && pre->add_bos));
    t->add_eos = choose(v->add_eos, model == SY__MODEL_UNIGRAM);
    t->add_sep = choose(v->add_sep, bert || ends);
    t->space_prefix = choose(v->add_space_prefix, piece) && piece;
    t->prefix_once = v->prefix_once != 0;
    t->prefix_if_missing = v->prefix_if_missing != 0;
    t->remove_extra = choose(v->remove_extra_whitespaces, false);
    t->escape = choose(v->escape_whitespaces, piece || (pre != NULL && pre->raw));
    t->suffix = choose(v->whitespace_as_suffix, false);
    t->lowercase = choose(v->lowercase, bert);
}

static sy_status read_model(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    const char *model = v->model != NULL ? v->model : "";
    if (strcmp(model, "llama") == 0) {
        choose_model(t, SY__MODEL_SPM, v);
    } else if (strcmp(model, "t5") == 0) {
        choose_model(t, SY__MODEL_UNIGRAM, v);
    } else if (strcmp(model, "bert") == 0) {
        choose_model(t, SY__MODEL_WORDPIECE, v);
    } else if (strcmp(model, "gpt2") == 0 || strcmp(model, "gemma4") == 0) {
        const char *pre = model[1] == 'e' ? model : v->pre;
        t->pre = sy__pre_find(pre);
        if (t->pre == NULL) {
            sy_error_set(error, SY_UNIMPLEMENTED, "The pre-tokenizer \"%.64s\" is not known.", pre);
            sy_error_hint(error, "Use a newer version, or a file whose tokenizer.ggml.pre is one "
                                 "of those in docs/tokenizers.md.");
            return SY_UNIMPLEMENTED;
        }
        choose_model(t, SY__MODEL_BPE, v);
    } else {
        sy_error_set(error, SY_UNIMPLEMENTED, "The tokenizer kind \"%.64s\" is not known.", model);
        sy_error_hint(error, "Known kinds are llama, gpt2, t5, bert and gemma4.");
        return SY_UNIMPLEMENTED;
    }
    return SY_OK;
}

sy_status sy__vocabulary_check_counts(uint32_t n_tokens, uint32_t n_merges, sy_error *error) {
    if (n_tokens > 0 && n_tokens <= SY_LIMIT_VOCABULARY && n_merges <= 4 * SY_LIMIT_VOCABULARY) {
        return SY_OK;
    }
    return sy_error_set(error, SY_INVALID_ARGUMENT,
                        "A vocabulary has 1 to %u tokens and at most %u merges; this one has %u "
                        "and %u.",
                        SY_LIMIT_VOCABULARY, 4 * SY_LIMIT_VOCABULARY, n_tokens, n_merges);
}

static sy_status check_ids(const sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    const int32_t ids[] = {v->bos, v->eos, v->eot, v->eom, v->unk, v->sep, v->pad, v->cls, v->mask};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        if (ids[i] != SY_NO_TOKEN && (ids[i] < 0 || (uint32_t)ids[i] >= t->n_tokens)) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "Special token id %d lies outside the vocabulary of %u tokens.",
                                (int)ids[i], t->n_tokens);
        }
    }
    for (uint32_t i = 0; i < v->n_more_ends; i++) {
        if (v->more_ends[i] < 0 || (uint32_t)v->more_ends[i] >= t->n_tokens) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "End token id %d lies outside the vocabulary of %u tokens.",
                                (int)v->more_ends[i], t->n_tokens);
        }
    }
    return SY_OK;
}

static sy_status copy_strips(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    if (v->strips == NULL) {
        return SY_OK;
    }
    t->strips = sy__alloc_array(t->allocator, t->n_tokens, 1);
    if (t->strips == NULL) {
        return sy__no_memory(error, t->n_tokens, "the vocabulary");
    }
    memcpy(t->strips, v->strips, t->n_tokens);
    return SY_OK;
}

sy_tokenizer *sy__tokenizer_begin(const sy_allocator *allocator) {
    allocator = sy__allocator_or_heap(allocator);
    sy_tokenizer *t = SY__NEW(allocator, sy_tokenizer);
    if (t != NULL) {
        t->allocator = allocator;
        t->seed = sy__clock_now_ns() * 0x9e3779b97f4a7c15ull ^ (uint64_t)(uintptr_t)t;
    }
    return t;
}

sy_status sy__tokenizer_finish(sy_tokenizer *t, const sy_vocabulary *v, sy_error *error) {
    sy_status status = sy__vocabulary_check_counts(t->n_tokens, t->merges.n, error);
    if (status == SY_OK) {
        status = check_ids(t, v, error);
    }
    if (status == SY_OK) {
        status = read_model(t, v, error);
    }
    if (status == SY_OK) {
        sy__controls_mark(t, v);
        status = sy__indexes_create(t, error);
    }
    if (status == SY_OK) {
        status = sy__specials_create(t, v, error);
    }
    if (status == SY_OK) {
        status = copy_strips(t, v, error);
    }
    if (status != SY_OK) {
        return status;
    }
    if (t->model == SY__MODEL_BPE) {
        return sy__regexes_init(&t->regexes, t->allocator, t->pre, error);
    }
    return sy__charsmap_init(&t->charsmap, t->allocator, v->charsmap, v->n_charsmap_bytes, error);
}

sy_status sy_tokenizer_create(const sy_allocator *allocator, const sy_vocabulary *vocabulary,
                              sy_tokenizer **out_tokenizer, sy_error *error) {
    if (vocabulary == NULL || out_tokenizer == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "A tokenizer needs a vocabulary.");
    }
    sy_tokenizer *t = sy__tokenizer_begin(allocator);
    if (t == NULL) {
        return sy__no_memory(error, sizeof *t, "a tokenizer");
    }
    sy_status status = sy__vocabulary_copy(t, vocabulary, error);
    if (status == SY_OK) {
        status = sy__tokenizer_finish(t, vocabulary, error);
    }
    if (status != SY_OK) {
        sy_tokenizer_destroy(t);
        return status;
    }
    *out_tokenizer = t;
    return SY_OK;
}

void sy_tokenizer_destroy(sy_tokenizer *t) {
    if (t == NULL) {
        return;
    }
    const sy_allocator *allocator = t->allocator;
    sy__regexes_deinit(&t->regexes);
    sy__charsmap_deinit(&t->charsmap, allocator);
    sy__trie_deinit(&t->special, allocator);
    sy__trie_deinit(&t->user, allocator);
    sy__trie_deinit(&t->user_raw, allocator);
    sy__free_array(allocator, t->types, t->n_tokens, 1);
    sy__free_array(allocator, t->strips, t->n_tokens, 1);
    sy__free_array(allocator, t->ends, (t->n_tokens + 7) / 8, 1);
    for (size_t i = 0; i < SY__BLOCKS; i++) {
        sy__free_array(allocator, t->blocks[i], t->blocks_bytes[i], 1);
    }
    sy_gguf_close(t->file);
    SY__DELETE(allocator, t);
}
