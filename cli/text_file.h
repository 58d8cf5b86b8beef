/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and tokens for verbs. Zeroed structs are empty; freeing an empty one is fine. */
#ifndef SY_CLI_TEXT_FILE_H
#define SY_CLI_TEXT_FILE_H

#include "switchyard/tokenizer.h"

typedef struct sy_cli_text {
    char *bytes; /* NUL-terminated */
    size_t n_bytes, capacity_bytes;
} sy_cli_text;

typedef struct sy_cli_tokens {
    int32_t *ids;
    size_t n, capacity;
} sy_cli_tokens;

/* Reads a whole file, or standard input for "-". At most 256 MiB. */
sy_status sy_cli_read_text(const char *path, sy_cli_text *out_text, sy_error *error);
void sy_cli_free_text(sy_cli_text *text);

/* Encodes a text. A NULL tokenizer is an error that says so. */
sy_status sy_cli_encode(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                        uint32_t flags, sy_cli_tokens *out_tokens, sy_error *error);
void sy_cli_free_tokens(sy_cli_tokens *tokens);

#endif
