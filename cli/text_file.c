/* SPDX-License-Identifier: Apache-2.0 */
#include "text_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES_MAX ((size_t)256 << 20)
#define READ_BYTES ((size_t)64 << 10)

static void *resize(void *pointer, size_t old_bytes, size_t new_bytes) {
    const sy_allocator *heap = sy_allocator_heap();
    return heap->reallocate(heap->self, pointer, old_bytes, new_bytes, 16);
}

void sy_cli_free_text(sy_cli_text *text) {
    resize(text->bytes, text->capacity_bytes, 0);
    *text = (sy_cli_text){NULL, 0, 0};
}

void sy_cli_free_tokens(sy_cli_tokens *tokens) {
    resize(tokens->ids, tokens->capacity * sizeof(int32_t), 0);
    *tokens = (sy_cli_tokens){NULL, 0, 0};
}

static sy_status read_stream(FILE *stream, sy_cli_text *text, sy_error *error) {
    size_t n_read = 0;
    do {
        if (text->capacity_bytes - text->n_bytes < READ_BYTES) {
            size_t capacity = 2 * text->capacity_bytes + 2 * READ_BYTES;
            char *grown = capacity <= TEXT_BYTES_MAX
                              ? resize(text->bytes, text->capacity_bytes, capacity)
                              : NULL;
            if (grown == NULL) {
                return sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                                    "The text is over 128 MiB or memory is short.");
            }
            text->bytes = grown;
            text->capacity_bytes = capacity;
        }
        n_read = fread(text->bytes + text->n_bytes, 1, READ_BYTES - 1, stream);
        text->n_bytes += n_read;
    } while (n_read > 0);
    text->bytes[text->n_bytes] = '\0';
    return SY_OK;
}

sy_status sy_cli_read_text(const char *path, sy_cli_text *out_text, sy_error *error) {
    bool is_input = strcmp(path, "-") == 0;
    FILE *stream = is_input ? stdin : fopen(path, "rbe");
    *out_text = (sy_cli_text){NULL, 0, 0};
    if (stream == NULL) {
        sy_status status =
            sy_error_set(error, errno == ENOENT ? SY_NOT_FOUND : SY_PERMISSION_DENIED,
                         "The file cannot be read: %s.", strerror(errno));
        sy_error_at(error, path, UINT64_MAX);
        return status;
    }
    sy_status status = read_stream(stream, out_text, error);
    if (!is_input) {
        fclose(stream);
    }
    if (status != SY_OK) {
        sy_cli_free_text(out_text);
    }
    return status;
}

sy_status sy_cli_encode(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                        uint32_t flags, sy_cli_tokens *out_tokens, sy_error *error) {
    sy_cli_tokens tokens = {NULL, 0, 0};
    if (tokenizer == NULL) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "The model has no vocabulary, so it cannot read text.");
    }
    sy_status status =
        sy_tokenizer_encode(tokenizer, text, n_bytes, flags, NULL, 0, &tokens.n, error);
    if (status != SY_OK) {
        return status;
    }
    tokens.capacity = tokens.n + 1;
    tokens.ids = resize(NULL, 0, tokens.capacity * sizeof(int32_t));
    if (tokens.ids == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %zu tokens.", tokens.n);
    }
    status = sy_tokenizer_encode(tokenizer, text, n_bytes, flags, tokens.ids, tokens.n, &tokens.n,
                                 error);
    if (status != SY_OK) {
        sy_cli_free_tokens(&tokens);
        return status;
    }
    *out_tokens = tokens;
    return SY_OK;
}
