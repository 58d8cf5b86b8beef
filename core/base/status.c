/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Ends `text` before a character that a cut at its last byte left incomplete. */
static void drop_partial_character(char *text, size_t n_bytes) {
    size_t start = n_bytes;
    while (start > 0 && n_bytes - start < 3 && ((unsigned char)text[start - 1] & 0xc0u) == 0x80u) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t n_wanted = lead >= 0xf0u ? 4 : lead >= 0xe0u ? 3 : lead >= 0xc0u ? 2 : 1;
    if (n_bytes - (start - 1) < n_wanted) {
        text[start - 1] = '\0';
    }
}

/* Texts may quote names out of hostile files: a terminal must not obey them. */
static void replace_control_characters(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20u || *text == 0x7f) {
            *text = ' ';
        }
    }
}

/* Formats apart from the target first: arguments may point into it. */
static void format_text(char *out_text, size_t n_bytes, const char *format, va_list arguments) {
    char text[SY_ERROR_MESSAGE_BYTES];
    int length = vsnprintf(text, n_bytes, format, arguments);
    if (length < 0) {
        text[0] = '\0';
    } else if ((size_t)length >= n_bytes) {
        drop_partial_character(text, n_bytes - 1);
    }
    replace_control_characters(text);
    memcpy(out_text, text, strlen(text) + 1);
}

SY_PRINTF(3, 4)
static void format_into(char *out_text, size_t n_bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    format_text(out_text, n_bytes, format, arguments);
    va_end(arguments);
}

void sy_error_clear(sy_error *error) {
    if (error == NULL) {
        return;
    }
    error->status = SY_OK;
    error->i_node = SY_NO_VALUE;
    error->file_offset = UINT64_MAX;
    error->origin[0] = '\0';
    error->message[0] = '\0';
    error->hint[0] = '\0';
}

sy_status sy_error_set(sy_error *error, sy_status status, const char *format, ...) {
    if (error == NULL) {
        return status;
    }
    va_list arguments;
    va_start(arguments, format);
    format_text(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    error->status = status;
    error->i_node = SY_NO_VALUE;
    error->file_offset = UINT64_MAX;
    error->origin[0] = '\0';
    error->hint[0] = '\0';
    return status;
}

void sy_error_hint(sy_error *error, const char *format, ...) {
    if (error == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    format_text(error->hint, sizeof(error->hint), format, arguments);
    va_end(arguments);
}

void sy_error_at(sy_error *error, const char *origin, uint64_t file_offset) {
    if (error == NULL) {
        return;
    }
    if (origin != NULL) {
        format_into(error->origin, sizeof(error->origin), "%s", origin);
    }
    error->file_offset = file_offset;
}

size_t sy_error_format(const sy_error *error, char *out_text, size_t n_bytes) {
    if (error == NULL) {
        return (size_t)snprintf(out_text, n_bytes, "no error text");
    }
    char place[SY_ERROR_ORIGIN_BYTES + 32] = "";
    const char *message =
        error->message[0] != '\0' ? error->message : sy_status_name(error->status);
    if (error->origin[0] != '\0' && error->file_offset != UINT64_MAX) {
        snprintf(place, sizeof(place), "%s:%" PRIu64 ": ", error->origin, error->file_offset);
    } else if (error->origin[0] != '\0') {
        snprintf(place, sizeof(place), "%s: ", error->origin);
    }
    int length = snprintf(out_text, n_bytes, "%s%s%s%s", place, message,
                          error->hint[0] != '\0' ? " Hint: " : "", error->hint);
    if (length < 0) {
        return 0;
    }
    if (n_bytes > 0 && (size_t)length >= n_bytes) {
        drop_partial_character(out_text, n_bytes - 1);
    }
    return (size_t)length;
}

const char *sy_status_name(sy_status status) {
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    uint32_t status_class = SY_STATUS_CLASS(status);
    return status_class < sizeof(names) / sizeof(names[0]) ? names[status_class] : "UNKNOWN";
}
