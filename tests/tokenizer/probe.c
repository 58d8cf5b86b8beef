/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer as a shared library, for comparisons from Python (ctypes). */
#include "switchyard/tokenizer.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT sy_tokenizer *probe_open(const char *path, char *out_error, size_t n_error_bytes);
EXPORT void probe_close(sy_tokenizer *tokenizer);
EXPORT int64_t probe_encode(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                            uint32_t flags, int32_t *out_ids, size_t capacity);
EXPORT int64_t probe_decode(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n_tokens,
                            uint32_t flags, char *out_text, size_t capacity);
EXPORT int64_t probe_stream(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n_tokens,
                            uint32_t flags, char *out_text, size_t capacity);
EXPORT int64_t probe_piece(const sy_tokenizer *tokenizer, int32_t id, uint32_t flags,
                           char *out_text, size_t capacity);
EXPORT int32_t probe_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes);

sy_tokenizer *probe_open(const char *path, char *out_error, size_t n_error_bytes) {
    sy_error error;
    sy_error_clear(&error);
    sy_tokenizer *tokenizer = NULL;
    sy_status status = sy_tokenizer_open(NULL, path, &tokenizer, &error);
    if (status != SY_OK) {
        sy_error_format(&error, out_error, n_error_bytes);
    }
    return status == SY_OK ? tokenizer : NULL;
}

void probe_close(sy_tokenizer *tokenizer) {
    sy_tokenizer_destroy(tokenizer);
}

/* The number, or minus the status. */
static int64_t answer(sy_status status, size_t n) {
    return status == SY_OK ? (int64_t)n : -(int64_t)status;
}

int64_t probe_encode(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                     uint32_t flags, int32_t *out_ids, size_t capacity) {
    size_t n = 0;
    sy_status status =
        sy_tokenizer_encode(tokenizer, text, n_bytes, flags, out_ids, capacity, &n, NULL);
    return answer(status, n);
}

int64_t probe_decode(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n_tokens,
                     uint32_t flags, char *out_text, size_t capacity) {
    size_t n = 0;
    sy_status status =
        sy_tokenizer_decode(tokenizer, ids, n_tokens, flags, out_text, capacity, &n, NULL);
    return answer(status, n);
}

int64_t probe_stream(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n_tokens,
                     uint32_t flags, char *out_text, size_t capacity) {
    sy_detokenizer stream;
    size_t n = 0;
    sy_detokenizer_init(&stream, tokenizer, flags);
    for (size_t i = 0; i < n_tokens; i++) {
        size_t n_piece = 0;
        sy_status status =
            sy_detokenizer_push(&stream, ids[i], out_text + n, capacity - n, &n_piece, NULL);
        if (status != SY_OK) {
            return -(int64_t)status;
        }
        n += n_piece;
    }
    return (int64_t)(n + sy_detokenizer_finish(&stream, out_text + n, capacity - n));
}

int64_t probe_piece(const sy_tokenizer *tokenizer, int32_t id, uint32_t flags, char *out_text,
                    size_t capacity) {
    size_t n = 0;
    sy_status status = sy_tokenizer_piece(tokenizer, id, flags, out_text, capacity, &n, NULL);
    return answer(status, n);
}

int32_t probe_find(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes) {
    return sy_tokenizer_find(tokenizer, text, n_bytes);
}
