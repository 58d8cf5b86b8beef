/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/unicode.h"

#include <string.h>
#include <utf8proc.h>

/* Bytes of a character by its first byte, and the smallest rune of that length; 0 for none. */
static size_t lead_bytes(uint8_t lead, uint32_t *out_bits, uint32_t *out_min) {
    if (lead < 0x80) {
        *out_bits = lead;
        *out_min = 0;
        return 1;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        *out_bits = lead & 0x1fu;
        *out_min = 0x80;
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *out_bits = lead & 0x0fu;
        *out_min = 0x800;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *out_bits = lead & 0x07u;
        *out_min = 0x10000;
        return 4;
    }
    return 0;
}

size_t sy__utf8_decode(const char *text, size_t n, uint32_t *out_rune) {
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t rune = 0, min = 0;
    size_t length = lead_bytes(bytes[0], &rune, &min);
    if (length == 0 || length > n) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        rune = rune << 6 | (bytes[i] & 0x3fu);
    }
    if (rune < min || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) {
        return 0;
    }
    *out_rune = rune;
    return length;
}

size_t sy__utf8_encode(uint32_t rune, char out[4]) {
    if (rune < 0x80) {
        out[0] = (char)rune;
        return 1;
    }
    if (rune < 0x800) {
        out[0] = (char)(0xc0 | rune >> 6);
        out[1] = (char)(0x80 | (rune & 0x3f));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = (char)(0xe0 | rune >> 12);
        out[1] = (char)(0x80 | (rune >> 6 & 0x3f));
        out[2] = (char)(0x80 | (rune & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | rune >> 18);
    out[1] = (char)(0x80 | (rune >> 12 & 0x3f));
    out[2] = (char)(0x80 | (rune >> 6 & 0x3f));
    out[3] = (char)(0x80 | (rune & 0x3f));
    return 4;
}

/* The second byte is where overlong forms, surrogates and runes past U+10FFFF show. */
static bool second_fits(uint8_t lead, uint8_t second) {
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return second >= 0x80 && second <= 0xbf;
    }
}

size_t sy__utf8_broken(const char *text, size_t n, bool *out_open) {
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t rune = 0, min = 0;
    size_t length = lead_bytes(bytes[0], &rune, &min);
    size_t good = 1;
    while (good < length && good < n &&
           (good == 1 ? second_fits(bytes[0], bytes[1]) : (bytes[good] & 0xc0) == 0x80)) {
        good++;
    }
    *out_open = good < length && good == n;
    return good;
}

size_t sy__utf8_valid(const char *text, size_t n) {
    size_t at = 0;
    while (at < n) {
        uint32_t rune = 0;
        size_t length = sy__utf8_decode(text + at, n - at, &rune);
        if (length == 0) {
            break;
        }
        at += length;
    }
    return at;
}

bool sy__is_white(uint32_t rune) {
    return (rune >= 0x09 && rune <= 0x0d) || rune == 0x20 || rune == 0x85 || rune == 0xa0 ||
           rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
           rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

bool sy__is_punctuation(uint32_t rune) {
    if (rune < 0x80) {
        return (rune >= 33 && rune <= 47) || (rune >= 58 && rune <= 64) ||
               (rune >= 91 && rune <= 96) || (rune >= 123 && rune <= 126);
    }
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool sy__is_other(uint32_t rune) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)rune);
    return category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO;
}

bool sy__is_mark(uint32_t rune) {
    return utf8proc_category((utf8proc_int32_t)rune) == UTF8PROC_CATEGORY_MN;
}

bool sy__is_ideograph(uint32_t rune) {
    return (rune >= 0x4e00 && rune <= 0x9fff) || (rune >= 0x3400 && rune <= 0x4dbf) ||
           (rune >= 0x20000 && rune <= 0x2a6df) || (rune >= 0x2a700 && rune <= 0x2b73f) ||
           (rune >= 0x2b740 && rune <= 0x2b81f) || (rune >= 0x2b920 && rune <= 0x2ceaf) ||
           (rune >= 0xf900 && rune <= 0xfaff) || (rune >= 0x2f800 && rune <= 0x2fa1f);
}

uint32_t sy__lower(uint32_t rune) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)rune);
}

size_t sy__decompose(uint32_t rune, int32_t out_runes[8]) {
    if (rune < 0xc0) {
        out_runes[0] = (int32_t)rune;
        return 1;
    }
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)rune, out_runes, 8,
                                                 UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 8) {
        out_runes[0] = (int32_t)rune;
        return 1;
    }
    return (size_t)n;
}

static uint32_t combining_class(int32_t rune) {
    return rune < 0x300 ? 0 : (uint32_t)utf8proc_get_property(rune)->combining_class & 0xff;
}

/* Stable sort of n marks by class: the classes are bytes, so counting does it. */
static void sort_run(int32_t *runes, size_t n, int32_t *scratch) {
    size_t starts[257] = {0};
    for (size_t i = 0; i < n; i++) {
        starts[combining_class(runes[i]) + 1]++;
    }
    for (size_t i = 1; i < 257; i++) {
        starts[i] += starts[i - 1];
    }
    for (size_t i = 0; i < n; i++) {
        scratch[starts[combining_class(runes[i])]++] = runes[i];
    }
    memcpy(runes, scratch, n * sizeof *runes);
}

void sy__order_marks(int32_t *runes, size_t n, int32_t *scratch) {
    size_t i = 0;
    while (i < n) {
        if (combining_class(runes[i]) == 0) {
            i++;
            continue;
        }
        size_t end = i + 1;
        while (end < n && combining_class(runes[end]) != 0) {
            end++;
        }
        if (end - i > 1) {
            sort_run(runes + i, end - i, scratch);
        }
        i = end;
    }
}

size_t sy__compose(int32_t *runes, size_t n) {
    utf8proc_ssize_t length = utf8proc_normalize_utf32(
        runes, (utf8proc_ssize_t)n, (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    return length < 0 ? n : (size_t)length;
}
