/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-level BPE writes each byte as a printable character: itself where Latin-1 has one, else the
 * next free one from U+0100 on. */
#include "tokenizer/tokenizer.h"

static bool is_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
           (byte >= 0xae && byte <= 0xff);
}

/* The bytes that are not themselves, in order: 0x00-0x20, 0x7f-0xa0, 0xad. */
uint32_t sy__byte_to_rune(uint8_t byte) {
    if (is_itself(byte)) {
        return byte;
    }
    if (byte <= 0x20) {
        return 0x100u + byte;
    }
    return byte == 0xad ? 0x143u : 0x121u + (byte - 0x7fu);
}

int sy__rune_to_byte(uint32_t rune) {
    if (rune < 0x100) {
        return is_itself(rune) ? (int)rune : -1;
    }
    if (rune <= 0x120) {
        return (int)(rune - 0x100);
    }
    if (rune < 0x143) {
        return (int)(rune - 0x121 + 0x7f);
    }
    return rune == 0x143 ? 0xad : -1;
}

size_t sy__bytes_from_spelling(const char *text, size_t n, char *out) {
    size_t at = 0, n_out = 0;
    while (at < n) {
        uint32_t rune = 0;
        size_t length = sy__utf8_decode(text + at, n - at, &rune);
        int byte = length > 0 ? sy__rune_to_byte(rune) : -1;
        if (byte < 0) {
            return SIZE_MAX;
        }
        if (out != NULL) {
            out[n_out] = (char)byte;
        }
        n_out++;
        at += length;
    }
    return n_out;
}

size_t sy__spelling_from_bytes(const char *bytes, size_t n, char *out) {
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        n_out += sy__utf8_encode(sy__byte_to_rune((uint8_t)bytes[i]), out + n_out);
    }
    return n_out;
}
