/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text with a maximum, and a JSON writer on top of it. Errors are sticky: write freely,
 * look once at the end (text.status, sy__text_take). */
#ifndef SY_BASE_TEXT_H
#define SY_BASE_TEXT_H

#include "switchyard/allocator.h"

#include <stdbool.h>

typedef struct sy__text {
    const sy_allocator *allocator;
    char *bytes; /* NUL-terminated once something was written, else NULL */
    size_t n_bytes, capacity_bytes, max_bytes;
    sy_status status; /* first failure */
} sy__text;

/* max_bytes 0: 64 MiB. */
void sy__text_init(sy__text *text, const sy_allocator *allocator, size_t max_bytes);
void sy__text_deinit(sy__text *text);
void sy__text_append(sy__text *text, const char *bytes, size_t n_bytes);
void sy__text_puts(sy__text *text, const char *string);
void sy__text_printf(sy__text *text, const char *format, ...) SY_PRINTF(2, 3);
/* Hands the string over (free with sy__text_release); NULL and the sticky status on failure. */
sy_status sy__text_take(sy__text *text, char **out_string, sy_error *error);
/* Frees a taken string of strlen(string) + 1 bytes. */
void sy__text_release(const sy_allocator *allocator, char *string);

/* Bytes of the well-formed UTF-8 character that n_bytes begin with, 0 when there is none (Unicode
 * table 3-7). */
size_t sy__utf8_length(const uint8_t *bytes, size_t n_bytes);

/* JSON: begin/end objects and arrays, keys; commas and indentation are handled here. */
typedef struct sy__json {
    sy__text *text;
    uint32_t depth;
    bool need_comma[64];
    bool after_key, pretty;
} sy__json;

void sy__json_init(sy__json *json, sy__text *text, bool pretty);
void sy__json_begin_object(sy__json *json);
void sy__json_end_object(sy__json *json);
void sy__json_begin_array(sy__json *json);
void sy__json_end_array(sy__json *json);
void sy__json_key(sy__json *json, const char *key);
/* Escapes and replaces malformed UTF-8; NULL writes null. */
void sy__json_string(sy__json *json, const char *string);
void sy__json_i64(sy__json *json, int64_t value);
void sy__json_u64(sy__json *json, uint64_t value);
void sy__json_f64(sy__json *json, double value); /* %.9g; NaN and infinities write null */
void sy__json_bool(sy__json *json, bool value);

#endif
