/* SPDX-License-Identifier: Apache-2.0 */
/* sy_tokenizer_encode: special tokens are cut out of the text, what lies between goes to the
 * vocabulary's own algorithm. */
#include "tokenizer/tokenizer.h"

#include <string.h>

bool sy__encoder_reserve(sy__encoder *encoder, void *array, size_t *capacity, size_t n,
                         size_t size_bytes) {
    void *data = NULL;
    memcpy(&data, array, sizeof data);
    bool good = sy__grow_array(encoder->allocator, &data, capacity, n, size_bytes);
    memcpy(array, &data, sizeof data);
    if (!good) {
        encoder->status = sy__no_memory(encoder->error, n * size_bytes, "encoding a text");
    }
    return good;
}

bool sy__append(sy__encoder *encoder, sy__bytes *bytes, const char *text, size_t n_bytes) {
    if (n_bytes > UINT32_MAX - 1 - bytes->n) {
        encoder->status = sy_error_set(encoder->error, SY_INVALID_ARGUMENT,
                                       "The text grows past 4 GiB when it is normalised.");
        return false;
    }
    if (!SY__RESERVE(encoder, *bytes, bytes->n + n_bytes)) {
        return false;
    }
    if (n_bytes > 0) {
        memcpy(bytes->data + bytes->n, text, n_bytes);
        bytes->n += n_bytes;
    }
    return true;
}

bool sy__emit(sy__encoder *encoder, int32_t id) {
    encoder->after_unknown = false;
    if (!SY__RESERVE(encoder, encoder->ids, encoder->ids.n + 1)) {
        return false;
    }
    encoder->ids.data[encoder->ids.n++] = id;
    return true;
}

bool sy__emit_unknown(sy__encoder *encoder, const char *text, size_t n_bytes) {
    const sy_tokenizer *t = encoder->tokenizer;
    int32_t unknown = t->special_ids[SY_SPECIAL_UNK];
    for (size_t i = 0; t->has_bytes && i < n_bytes; i++) {
        if (!sy__emit(encoder, t->byte_ids[(uint8_t)text[i]])) {
            return false;
        }
    }
    if (t->has_bytes || unknown == SY_NO_TOKEN || encoder->after_unknown) {
        return true;
    }
    bool good = sy__emit(encoder, unknown);
    encoder->after_unknown = true;
    return good;
}

static bool encode_fragment(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix) {
    encoder->after_unknown = false;
    if (n_bytes == 0) {
        return true;
    }
    switch (encoder->tokenizer->model) {
    case SY__MODEL_SPM:
        return sy__encode_spm(encoder, text, n_bytes, prefix);
    case SY__MODEL_UNIGRAM:
        return sy__encode_unigram(encoder, text, n_bytes, prefix);
    case SY__MODEL_BPE:
        return sy__encode_bpe(encoder, text, n_bytes);
    case SY__MODEL_WORDPIECE:
        return sy__encode_wordpiece(encoder, text, n_bytes);
    }
    return true;
}

/* Longest special token at this place that may be matched now; 0 bytes for none. */
static size_t special_at(const sy_tokenizer *t, const char *text, size_t n_bytes, bool parse,
                         int32_t *out_id) {
    size_t longest = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        node = sy__trie_step(&t->special, node, (uint8_t)text[i]);
        if (node == SY__TRIE_NONE) {
            break;
        }
        int32_t id = t->special.nodes[node].id;
        if (id != SY_NO_TOKEN && (parse || t->types[id] == SY_TOKEN_USER_DEFINED)) {
            longest = i + 1;
            *out_id = id;
        }
    }
    return longest;
}

/* Whether a space is put in front of the fragment that begins at `begin`. */
static bool takes_prefix(const sy_tokenizer *t, const char *text, size_t begin, size_t end) {
    bool has_mark = end - begin >= SY__SPACE_MARK_BYTES &&
                    memcmp(text + begin, SY__SPACE_MARK, SY__SPACE_MARK_BYTES) == 0;
    bool has_one = begin < end && (text[begin] == ' ' || has_mark);
    return t->space_prefix && !(t->prefix_once && begin > 0) && !(t->prefix_if_missing && has_one);
}

/* White space at the end of text[begin, end). */
static size_t trimmed_end(const char *text, size_t begin, size_t end) {
    while (end > begin && text[end - 1] > 0 && sy__is_white((uint32_t)text[end - 1])) {
        end--;
    }
    return end;
}

static bool encode_parts(sy__encoder *encoder, const char *text, size_t n_bytes, bool parse) {
    const sy_tokenizer *t = encoder->tokenizer;
    size_t begin = 0, at = 0;
    while (at < n_bytes) {
        int32_t id = SY_NO_TOKEN;
        size_t length =
            t->special.n_nodes > 0 ? special_at(t, text + at, n_bytes - at, parse, &id) : 0;
        if (length == 0) {
            at++;
            continue;
        }
        uint32_t strips = t->strips != NULL ? t->strips[id] : 0;
        size_t end = (strips & SY_TOKEN_STRIP_LEFT) != 0 ? trimmed_end(text, begin, at) : at;
        if (!encode_fragment(encoder, text + begin, end - begin,
                             takes_prefix(t, text, begin, end)) ||
            !sy__emit(encoder, id)) {
            return false;
        }
        at += length;
        while ((strips & SY_TOKEN_STRIP_RIGHT) != 0 && at < n_bytes && text[at] > 0 &&
               sy__is_white((uint32_t)text[at])) {
            at++;
        }
        begin = at;
    }
    return encode_fragment(encoder, text + begin, n_bytes - begin,
                           takes_prefix(t, text, begin, n_bytes));
}

static bool emit_if(sy__encoder *encoder, bool wanted, int32_t id) {
    return !wanted || id == SY_NO_TOKEN || sy__emit(encoder, id);
}

static bool encode_all(sy__encoder *encoder, const char *text, size_t n_bytes, uint32_t flags) {
    const sy_tokenizer *t = encoder->tokenizer;
    bool add = (flags & SY_ENCODE_ADD_SPECIAL) != 0;
    bool bert = t->model == SY__MODEL_WORDPIECE;
    int32_t first =
        t->special_ids[bert && t->special_ids[SY_SPECIAL_CLS] != SY_NO_TOKEN ? SY_SPECIAL_CLS
                                                                             : SY_SPECIAL_BOS];
    return emit_if(encoder, add && t->add_bos, first) &&
           encode_parts(encoder, text, n_bytes, (flags & SY_ENCODE_PARSE_SPECIAL) != 0) &&
           emit_if(encoder, add && t->add_sep, t->special_ids[SY_SPECIAL_SEP]) &&
           emit_if(encoder, add && t->add_eos, t->special_ids[SY_SPECIAL_EOS]);
}

static void encoder_deinit(sy__encoder *e) {
    sy__seen_destroy(e);
    sy__free_array(e->allocator, e->ids.data, e->ids.capacity, sizeof *e->ids.data);
    sy__free_array(e->allocator, e->text.data, e->text.capacity, 1);
    sy__free_array(e->allocator, e->words.data, e->words.capacity, 1);
    sy__free_array(e->allocator, e->symbols.data, e->symbols.capacity, sizeof *e->symbols.data);
    sy__free_array(e->allocator, e->heap.data, e->heap.capacity, sizeof *e->heap.data);
    sy__free_array(e->allocator, e->split.data, e->split.capacity, sizeof *e->split.data);
    sy__free_array(e->allocator, e->stack.data, e->stack.capacity, sizeof *e->stack.data);
    sy__free_array(e->allocator, e->runes.data, e->runes.capacity, sizeof *e->runes.data);
    sy__free_array(e->allocator, e->path.data, e->path.capacity, sizeof *e->path.data);
    sy__free_array(e->allocator, e->path_scores.data, e->path_scores.capacity,
                   sizeof *e->path_scores.data);
    sy__free_array(e->allocator, e->segments.data, e->segments.capacity, sizeof(uint32_t));
    sy__free_array(e->allocator, e->segments_next.data, e->segments_next.capacity,
                   sizeof(uint32_t));
}

static sy_status hand_over(const sy__encoder *encoder, int32_t *out_ids, size_t capacity,
                           size_t *out_n_tokens) {
    if (out_ids != NULL && encoder->ids.n > capacity) {
        return sy_error_set(encoder->error, SY_OUT_OF_RANGE,
                            "The text has %zu tokens but there is room for %zu.", encoder->ids.n,
                            capacity);
    }
    if (out_ids != NULL && encoder->ids.n > 0) {
        memcpy(out_ids, encoder->ids.data, encoder->ids.n * sizeof *out_ids);
    }
    *out_n_tokens = encoder->ids.n;
    return SY_OK;
}

sy_status sy_tokenizer_encode(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                              uint32_t flags, int32_t *out_ids, size_t capacity,
                              size_t *out_n_tokens, sy_error *error) {
    if (tokenizer == NULL || (text == NULL && n_bytes > 0) || out_n_tokens == NULL ||
        n_bytes > SY__MAX_TEXT_BYTES) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Encoding needs a tokenizer and a text of at most %u bytes.",
                            SY__MAX_TEXT_BYTES);
    }
    sy__encoder encoder;
    memset(&encoder, 0, sizeof encoder);
    encoder.tokenizer = tokenizer;
    encoder.allocator = tokenizer->allocator;
    encoder.error = error;
    bool good = sy__seen_create(&encoder, n_bytes) && encode_all(&encoder, text, n_bytes, flags);
    sy_status status = encoder.status;
    if (!good && status == SY_OK) {
        status = sy_error_set(error, SY_INTERNAL, "Encoding stopped without a reason.");
    }
    if (status == SY_OK) {
        status = hand_over(&encoder, out_ids, capacity, out_n_tokens);
    }
    encoder_deinit(&encoder);
    return status;
}
