/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens back to bytes, and streams of tokens to streams of whole characters. Nothing here takes
 * memory: pieces are written part by part into a sink. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"
#define UNKNOWN " \xe2\x81\x87 " /* what SentencePiece shows for the unknown token */

/* Where text goes: counts always, writes while there is room; through a stream, whole characters
 * only. */
typedef struct sink {
    char *bytes;
    size_t n, capacity;
    sy_detokenizer *stream;
} sink;

static void put_raw(sink *to, const char *bytes, size_t n) {
    if (to->bytes != NULL && n <= to->capacity && to->n <= to->capacity - n) {
        memcpy(to->bytes + to->n, bytes, n);
    }
    to->n += n;
}

/* Adds a byte to the character that is under way; writes it once it is whole, U+FFFD for what
 * cannot become one any more. */
static void take_byte(sy_detokenizer *d, char byte, sink *to) {
    d->pending[d->n_pending++] = (uint8_t)byte;
    while (d->n_pending > 0) {
        char bytes[4];
        uint32_t rune = 0;
        bool open = false;
        memcpy(bytes, d->pending, sizeof bytes);
        size_t length = sy__utf8_decode(bytes, d->n_pending, &rune);
        if (length > 0) {
            put_raw(to, bytes, length);
        } else {
            length = sy__utf8_broken(bytes, d->n_pending, &open);
            if (open) {
                return;
            }
            put_raw(to, REPLACEMENT, 3);
        }
        d->n_pending -= (uint32_t)length;
        memmove(d->pending, d->pending + length, d->n_pending);
    }
}

/* Whether the first byte of a text is the space that encoding put in front. */
static bool drops(sy_detokenizer *d, char byte) {
    const sy_tokenizer *t = d->tokenizer;
    if (d->at_start == 0) {
        return false;
    }
    bool drop =
        byte == ' ' && (t->space_prefix || t->remove_extra || t->model == SY__MODEL_WORDPIECE);
    d->at_start = drop && t->remove_extra;
    return drop;
}

static void put(sink *to, const char *bytes, size_t n) {
    if (to->stream == NULL) {
        put_raw(to, bytes, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!drops(to->stream, bytes[i])) {
            take_byte(to->stream, bytes[i], to);
        }
    }
}

static bool is_id(const sy_tokenizer *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->n_tokens;
}

static sy_status bad_id(const sy_tokenizer *t, int32_t id, sy_error *error) {
    return sy_error_set(error, SY_INVALID_ARGUMENT,
                        "Token id %d lies outside the vocabulary of %u tokens.", (int)id,
                        t->n_tokens);
}

/* The text with each U+2581 as a space. */
static void put_unescaped(sink *to, sy_token_text text) {
    size_t begin = 0, at = 0;
    while (at + SY__SPACE_MARK_BYTES <= text.n_bytes) {
        if (memcmp(text.bytes + at, SY__SPACE_MARK, SY__SPACE_MARK_BYTES) != 0) {
            at++;
            continue;
        }
        put(to, text.bytes + begin, at - begin);
        put(to, " ", 1);
        at += SY__SPACE_MARK_BYTES;
        begin = at;
    }
    put(to, text.bytes + begin, text.n_bytes - begin);
}

/* A spelling of byte-level BPE as the bytes it stands for; one with other characters as it is. */
static void put_spelled(sink *to, sy_token_text text) {
    if (sy__bytes_from_spelling(text.bytes, text.n_bytes, NULL) == SIZE_MAX) {
        put(to, text.bytes, text.n_bytes);
        return;
    }
    for (size_t at = 0; at < text.n_bytes;) {
        uint32_t rune = 0;
        at += sy__utf8_decode(text.bytes + at, text.n_bytes - at, &rune);
        char byte = (char)sy__rune_to_byte(rune);
        put(to, &byte, 1);
    }
}

static void put_piece(const sy_tokenizer *t, int32_t id, uint32_t flags, sink *to) {
    sy_token_text text = sy__token_text(t, (uint32_t)id);
    bool named = (flags & SY_DECODE_SPECIAL) != 0;
    char byte = 0;
    switch (t->types[id]) {
    case SY_TOKEN_BYTE:
        byte = (char)sy__byte_of_name(text);
        put(to, sy__byte_of_name(text) >= 0 ? &byte : text.bytes,
            sy__byte_of_name(text) >= 0 ? 1 : text.n_bytes);
        return;
    case SY_TOKEN_CONTROL:
        if (named) {
            put(to, text.bytes, text.n_bytes);
        }
        return;
    case SY__TOKEN_CONTROL_SPELLED:
        if (named) {
            put_spelled(to, text);
        }
        return;
    case SY_TOKEN_UNKNOWN:
        if (named) {
            put(to, text.bytes, text.n_bytes);
        } else {
            if (to->stream != NULL) {
                to->stream->at_start = 0; /* this space is the sign's own */
            }
            put(to, UNKNOWN, sizeof UNKNOWN - 1);
        }
        return;
    case SY_TOKEN_USER_DEFINED:
        if (t->spelled) {
            put(to, text.bytes, text.n_bytes);
        } else {
            put_unescaped(to, text);
        }
        return;
    default:
        if (t->spelled) {
            put_spelled(to, text);
        } else {
            put_unescaped(to, text);
        }
    }
}

sy_status sy_tokenizer_piece(const sy_tokenizer *tokenizer, int32_t id, uint32_t flags,
                             char *out_bytes, size_t capacity, size_t *out_n_bytes,
                             sy_error *error) {
    if (!is_id(tokenizer, id)) {
        return bad_id(tokenizer, id, error);
    }
    sink to = {NULL, 0, 0, NULL};
    put_piece(tokenizer, id, flags, &to);
    size_t n = to.n;
    if (out_bytes != NULL && n > capacity) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The token has %zu bytes but there is room for %zu.", n, capacity);
    }
    if (out_bytes != NULL) {
        sink real = {out_bytes, 0, capacity, NULL};
        put_piece(tokenizer, id, flags, &real);
    }
    *out_n_bytes = n;
    return SY_OK;
}

void sy_detokenizer_init(sy_detokenizer *detokenizer, const sy_tokenizer *tokenizer,
                         uint32_t flags) {
    memset(detokenizer, 0, sizeof *detokenizer);
    detokenizer->tokenizer = tokenizer;
    detokenizer->flags = flags;
    detokenizer->at_start = (flags & SY_DECODE_KEEP_SPACE) == 0;
}

/* Runs tokens through a stream; counts, and writes where the sink has bytes. */
static void stream_tokens(sy_detokenizer *d, const int32_t *ids, size_t n, sink *to) {
    to->stream = d;
    for (size_t i = 0; i < n; i++) {
        put_piece(d->tokenizer, ids[i], d->flags, to);
    }
}

static void end_stream(sy_detokenizer *d, sink *to) {
    if (d->n_pending > 0) {
        put_raw(to, REPLACEMENT, 3);
    }
    sy_detokenizer_init(d, d->tokenizer, d->flags);
}

static sy_status no_room(size_t n, size_t capacity, sy_error *error) {
    return sy_error_set(error, SY_OUT_OF_RANGE, "The text has %zu bytes but there is room for %zu.",
                        n, capacity);
}

sy_status sy_detokenizer_push(sy_detokenizer *detokenizer, int32_t id, char *out_text,
                              size_t capacity, size_t *out_n_bytes, sy_error *error) {
    if (!is_id(detokenizer->tokenizer, id)) {
        return bad_id(detokenizer->tokenizer, id, error);
    }
    sy_detokenizer trial = *detokenizer;
    sink count = {NULL, 0, 0, NULL};
    stream_tokens(&trial, &id, 1, &count);
    if (count.n > capacity) {
        return no_room(count.n, capacity, error);
    }
    sink to = {out_text, 0, capacity, NULL};
    stream_tokens(detokenizer, &id, 1, &to);
    *out_n_bytes = to.n;
    return SY_OK;
}

size_t sy_detokenizer_finish(sy_detokenizer *detokenizer, char *out_text, size_t capacity) {
    sink to = {out_text, 0, capacity, NULL};
    end_stream(detokenizer, &to);
    return to.n <= capacity ? to.n : 0;
}

sy_status sy_tokenizer_decode(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n_tokens,
                              uint32_t flags, char *out_text, size_t capacity, size_t *out_n_bytes,
                              sy_error *error) {
    for (size_t i = 0; i < n_tokens; i++) {
        if (!is_id(tokenizer, ids[i])) {
            return bad_id(tokenizer, ids[i], error);
        }
    }
    sy_detokenizer stream;
    sink count = {NULL, 0, 0, NULL};
    sy_detokenizer_init(&stream, tokenizer, flags);
    stream_tokens(&stream, ids, n_tokens, &count);
    end_stream(&stream, &count);
    if (out_text != NULL && count.n > capacity) {
        return no_room(count.n, capacity, error);
    }
    if (out_text != NULL) {
        sink to = {out_text, 0, capacity, NULL};
        stream_tokens(&stream, ids, n_tokens, &to);
        end_stream(&stream, &to);
    }
    *out_n_bytes = count.n;
    return SY_OK;
}

size_t sy_tokenizer_max_piece_bytes(const sy_tokenizer *tokenizer) {
    size_t n = tokenizer->n_max_token_bytes;
    n = n < sizeof UNKNOWN ? sizeof UNKNOWN : n;
    return 3 * (n + 4); /* each byte, and those still pending, may become U+FFFD */
}

uint32_t sy_tokenizer_n_tokens(const sy_tokenizer *tokenizer) {
    return tokenizer->n_tokens;
}

int32_t sy_tokenizer_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes) {
    int32_t id = sy__bytes_find(tokenizer, text, n_bytes, SY__TYPES_SPECIAL);
    return id != SY_NO_TOKEN ? id : sy__bytes_find(tokenizer, text, n_bytes, SY__TYPES_ALL);
}

uint32_t sy_tokenizer_type(const sy_tokenizer *tokenizer, int32_t id) {
    if (!is_id(tokenizer, id)) {
        return 0;
    }
    uint32_t type = tokenizer->types[id];
    return type == SY__TOKEN_CONTROL_SPELLED ? SY_TOKEN_CONTROL : type;
}

int sy_tokenizer_is_end(const sy_tokenizer *tokenizer, int32_t id) {
    return is_id(tokenizer, id) && (tokenizer->ends[id / 8] >> id % 8 & 1) != 0;
}

int32_t sy_tokenizer_special(const sy_tokenizer *tokenizer, sy_special which) {
    return (uint32_t)which <= SY_SPECIAL_MASK ? tokenizer->special_ids[which] : SY_NO_TOKEN;
}

int sy_tokenizer_adds_bos(const sy_tokenizer *tokenizer) {
    return tokenizer->add_bos && tokenizer->special_ids[SY_SPECIAL_BOS] != SY_NO_TOKEN;
}
