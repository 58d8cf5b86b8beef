/* SPDX-License-Identifier: Apache-2.0 */
/* Reading forward through bytes that nobody vouches for. */
#include "internal.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>

const char sy__gguf_hint_damaged[] =
    "The file is damaged or was written by a broken tool; fetch it again and compare its digest.";
static const char hint_short[] =
    "The download is probably incomplete; fetch the file again and compare its size.";

bool sy__gguf_fail(sy__gguf_cursor *cursor, sy_status status, uint64_t offset, const char *hint,
                   const char *format, ...) {
    char message[SY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    cursor->status = sy_error_set(cursor->error, status, "%s", message);
    sy_error_hint(cursor->error, "%s", hint);
    sy_error_at(cursor->error, cursor->gguf->facts.origin, offset);
    return false;
}

/* True when n bytes can be read; tells a short file from one whose metadata passes the limit. */
static bool need(sy__gguf_cursor *cursor, const char *what, uint64_t n_bytes) {
    if (n_bytes <= cursor->end - cursor->position) {
        return true;
    }
    uint64_t file_bytes = cursor->gguf->facts.file_bytes;
    if (n_bytes <= file_bytes - cursor->position) {
        return sy__gguf_fail(cursor, SY_OUT_OF_RANGE, cursor->position,
                             "No known model needs that much; the file is damaged or hostile.",
                             "The metadata passes the limit of %u bytes in %s.",
                             SY_LIMIT_METADATA_BYTES, what);
    }
    return sy__gguf_fail(cursor, SY_DATA_LOSS, cursor->position, hint_short,
                         "The file ends at byte %llu in %s, which needs %llu bytes.",
                         (unsigned long long)file_bytes, what, (unsigned long long)n_bytes);
}

bool sy__gguf_read_u32(sy__gguf_cursor *cursor, const char *what, uint32_t *out_number) {
    if (!need(cursor, what, 4)) {
        return false;
    }
    *out_number = sy__gguf_load_u32(cursor->gguf->bytes + cursor->position);
    cursor->position += 4;
    return true;
}

bool sy__gguf_read_u64(sy__gguf_cursor *cursor, const char *what, uint64_t *out_number) {
    if (!need(cursor, what, 8)) {
        return false;
    }
    *out_number = sy__gguf_load_u64(cursor->gguf->bytes + cursor->position);
    cursor->position += 8;
    return true;
}

bool sy__gguf_skip(sy__gguf_cursor *cursor, const char *what, uint64_t n_bytes) {
    if (!need(cursor, what, n_bytes)) {
        return false;
    }
    cursor->position += n_bytes;
    return true;
}

/* Length of the well-formed UTF-8 character at bytes, 0 when there is none or it is a control. */
static uint32_t character_bytes(const uint8_t *bytes, uint32_t n_bytes) {
    uint8_t lead = bytes[0];
    if (lead < 0x80) {
        return lead >= 0x20 && lead != 0x7f;
    }
    uint32_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > n_bytes) {
        return 0;
    }
    uint32_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;  /* no overlong forms */
    uint32_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf; /* no surrogates, <= 10FFFF */
    if (bytes[1] < low || bytes[1] > high || (lead == 0xc2 && bytes[1] < 0xa0)) {
        return 0;
    }
    for (uint32_t i = 2; i < length; i++) {
        if ((bytes[i] & 0xc0u) != 0x80u) {
            return 0;
        }
    }
    return length;
}

static bool name_is_clean(const uint8_t *bytes, uint32_t n_bytes, bool ascii) {
    for (uint32_t i = 0; i < n_bytes;) {
        uint32_t length = character_bytes(bytes + i, n_bytes - i);
        if (length == 0 || (ascii && (length > 1 || bytes[i] == ' '))) {
            return false;
        }
        i += length;
    }
    return true;
}

bool sy__gguf_read_name(sy__gguf_cursor *cursor, const char *what, bool ascii, uint32_t *out_offset,
                        uint8_t *out_n_bytes) {
    uint64_t start = cursor->position, n_bytes = 0;
    if (!sy__gguf_read_u64(cursor, what, &n_bytes)) {
        return false;
    }
    if (n_bytes == 0 || n_bytes > SY_LIMIT_NAME_BYTES) {
        return sy__gguf_fail(cursor, n_bytes == 0 ? SY_DATA_LOSS : SY_OUT_OF_RANGE, start,
                             sy__gguf_hint_damaged,
                             "The name in %s is %llu bytes long; 1 to %u are allowed.", what,
                             (unsigned long long)n_bytes, SY_LIMIT_NAME_BYTES);
    }
    uint64_t text = cursor->position;
    if (!sy__gguf_skip(cursor, what, n_bytes)) {
        return false;
    }
    if (!name_is_clean(cursor->gguf->bytes + text, (uint32_t)n_bytes, ascii)) {
        return sy__gguf_fail(cursor, SY_DATA_LOSS, text, sy__gguf_hint_damaged,
                             "The name in %s has bytes that are no %s.", what,
                             ascii ? "printable ASCII" : "printable UTF-8");
    }
    *out_offset = (uint32_t)text;
    *out_n_bytes = (uint8_t)n_bytes;
    return true;
}
