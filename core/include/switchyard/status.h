/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status and error text. A sy_status (plugin-api/sy_plugin.h) says what the caller does next; a
 * sy_error says in words what happened, where, and what to do. The caller owns the sy_error, it
 * never allocates, so that out-of-memory can be reported like anything else.
 *
 * Every function that takes a `sy_error *error` accepts NULL and writes it only on failure.
 */
#ifndef SWITCHYARD_STATUS_H
#define SWITCHYARD_STATUS_H

#include "sy_plugin.h"

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SY_MUST_CHECK __attribute__((warn_unused_result))
#define SY_PRINTF(i_format, i_first) __attribute__((format(printf, i_format, i_first)))
#else
#define SY_MUST_CHECK
#define SY_PRINTF(i_format, i_first)
#endif

#define SY_ERROR_MESSAGE_BYTES 384u
#define SY_ERROR_HINT_BYTES 192u
#define SY_ERROR_ORIGIN_BYTES 96u

/* What failed. message and hint are whole sentences, origin is a file, plugin or model name. */
typedef struct sy_error {
    sy_status status;
    uint32_t i_node;      /* node index, or SY_NO_VALUE */
    uint64_t file_offset; /* byte offset or line number within origin, UINT64_MAX when none */
    char origin[SY_ERROR_ORIGIN_BYTES];
    char message[SY_ERROR_MESSAGE_BYTES];
    char hint[SY_ERROR_HINT_BYTES];
} sy_error;

/* Empties an error so that it says OK.
 * shape: -  unit: -  owner: caller  errors: none  thread: any, one per object
 * cost: O(1)  since: 0.1  source: - */
void sy_error_clear(sy_error *error);

/* Sets status and message (printf style) and answers `status`, so that a failing function can end
 * with `return sy_error_set(error, SY_..., "...")`. Texts that do not fit are cut at a character.
 * shape: -  unit: -  owner: caller  errors: returns `status`  thread: any, one per object
 * cost: O(message), no heap  since: 0.1  source: - */
sy_status sy_error_set(sy_error *error, sy_status status, const char *format, ...) SY_PRINTF(3, 4);

/* Adds what the reader can do next to an error that is already set.
 * shape: -  unit: -  owner: caller  errors: none  thread: any, one per object
 * cost: O(hint), no heap  since: 0.1  source: - */
void sy_error_hint(sy_error *error, const char *format, ...) SY_PRINTF(2, 3);

/* Names where it happened: origin (may be NULL to keep) and byte offset or line (UINT64_MAX none).
 * shape: -  unit: bytes or lines  owner: caller  errors: none  thread: any, one per object
 * cost: O(origin), no heap  since: 0.1  source: - */
void sy_error_at(sy_error *error, const char *origin, uint64_t file_offset);

/* Writes "origin:offset: message Hint: hint" as one line into out_text, always NUL-terminated.
 * Answers the length that the whole text has, like snprintf.
 * shape: -  unit: bytes  owner: caller  errors: none  thread: any
 * cost: O(text), no heap  since: 0.1  source: - */
size_t sy_error_format(const sy_error *error, char *out_text, size_t n_bytes);

/* Name of a status class, e.g. "INVALID_ARGUMENT"; "UNKNOWN" for numbers past 16.
 * shape: -  unit: -  owner: static text  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: gRPC status codes */
const char *sy_status_name(sy_status status);

#ifdef __cplusplus
}
#endif
#endif
