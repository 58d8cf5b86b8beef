/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include "base/checked.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX_BYTES ((size_t)64 << 20)
#define TEXT_ALIGNMENT 16u /* the heap can then grow in place */

void sy__text_init(sy__text *text, const sy_allocator *allocator, size_t max_bytes) {
    memset(text, 0, sizeof(*text));
    text->allocator = sy__allocator_or_heap(allocator);
    text->max_bytes = max_bytes != 0 ? max_bytes : TEXT_MAX_BYTES;
}

static char *text_resize(sy__text *text, size_t capacity_bytes) {
    char *bytes = text->allocator->reallocate(text->allocator->self, text->bytes,
                                              text->capacity_bytes, capacity_bytes, TEXT_ALIGNMENT);
    if (bytes != NULL || capacity_bytes == 0) {
        text->bytes = bytes;
        text->capacity_bytes = capacity_bytes;
    }
    return bytes;
}

void sy__text_deinit(sy__text *text) {
    if (text->bytes != NULL) {
        text_resize(text, 0);
    }
    text->n_bytes = 0;
}

/* Makes room for n_bytes more and a NUL. */
static bool text_reserve(sy__text *text, size_t n_bytes) {
    size_t wanted = 0;
    if (text->status != SY_OK) {
        return false;
    }
    if (n_bytes > text->max_bytes || text->n_bytes > text->max_bytes - n_bytes ||
        !sy__add_size(text->n_bytes + n_bytes, 1, &wanted)) {
        text->status = SY_OUT_OF_RANGE;
        return false;
    }
    if (wanted <= text->capacity_bytes) {
        return true;
    }
    size_t capacity = text->capacity_bytes < 64 ? 64 : text->capacity_bytes;
    while (capacity < wanted) {
        if (!sy__mul_size(capacity, 2, &capacity)) {
            capacity = wanted;
        }
    }
    if (text_resize(text, capacity) == NULL) {
        text->status = SY_RESOURCE_EXHAUSTED;
        return false;
    }
    return true;
}

void sy__text_append(sy__text *text, const char *bytes, size_t n_bytes) {
    if (!text_reserve(text, n_bytes)) {
        return;
    }
    if (n_bytes > 0) {
        memcpy(text->bytes + text->n_bytes, bytes, n_bytes);
    }
    text->n_bytes += n_bytes;
    text->bytes[text->n_bytes] = '\0';
}

void sy__text_puts(sy__text *text, const char *string) {
    sy__text_append(text, string, strlen(string));
}

void sy__text_printf(sy__text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->status = text->status != SY_OK ? text->status : SY_INTERNAL;
    } else if (text_reserve(text, (size_t)length)) {
        vsnprintf(text->bytes + text->n_bytes, (size_t)length + 1, format, again);
        text->n_bytes += (size_t)length;
    }
    va_end(again);
}

static sy_status text_failed(const sy__text *text, sy_error *error) {
    if (text->status == SY_OUT_OF_RANGE) {
        sy_error_set(error, text->status, "A text grew past its limit of %zu bytes.",
                     text->max_bytes);
        sy_error_hint(error, "Ask for less output.");
        return text->status;
    }
    if (text->status == SY_RESOURCE_EXHAUSTED) {
        return sy__no_memory(error, text->n_bytes, "a text");
    }
    return sy_error_set(error, text->status, "A text could not be written.");
}

sy_status sy__text_take(sy__text *text, char **out_string, sy_error *error) {
    sy__text_append(text, "", 0); /* so that an empty text is a string too */
    if (text->status == SY_OK && memchr(text->bytes, '\0', text->n_bytes) != NULL) {
        text->status = SY_INVALID_ARGUMENT; /* its length would be lost, and so the sized release */
    }
    if (text->status == SY_OK && text_resize(text, text->n_bytes + 1) == NULL) {
        text->status = SY_RESOURCE_EXHAUSTED;
    }
    if (text->status != SY_OK) {
        return text_failed(text, error);
    }
    *out_string = text->bytes;
    text->bytes = NULL;
    text->n_bytes = 0;
    text->capacity_bytes = 0;
    return SY_OK;
}

void sy__text_release(const sy_allocator *allocator, char *string) {
    allocator = sy__allocator_or_heap(allocator);
    if (string != NULL) {
        allocator->reallocate(allocator->self, string, strlen(string) + 1, 0, TEXT_ALIGNMENT);
    }
}

size_t sy__utf8_length(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes == 0 || bytes[0] < 0x80) {
        return n_bytes == 0 ? 0 : 1;
    }
    size_t length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || length > n_bytes) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (bytes[0] == 0xe0 && bytes[1] < 0xa0) || (bytes[0] == 0xf0 && bytes[1] < 0x90);
    bool surrogate = bytes[0] == 0xed && bytes[1] > 0x9f;
    bool too_large = bytes[0] == 0xf4 && bytes[1] > 0x8f;
    return overlong || surrogate || too_large ? 0 : length;
}
