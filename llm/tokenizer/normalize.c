/* SPDX-License-Identifier: Apache-2.0 */
/* SentencePiece's normalisation: replacement rules in a double array over bytes, then white space:
 * runs may shrink to one, a space may be put in front, spaces become U+2581. The rules come from
 * the model file, so every step of the array and every replacement is bounded. */
#include "tokenizer/tokenizer.h"

#include <string.h>

#define MAX_RULE_BYTES 256u        /* of one rule's left side: the array may hold circles */
#define MAX_REPLACEMENT_BYTES 256u /* the longest real one has 33 */

sy_status sy__charsmap_init(sy__charsmap *charsmap, const sy_allocator *allocator,
                            const uint8_t *bytes, size_t n_bytes, sy_error *error) {
    memset(charsmap, 0, sizeof *charsmap);
    if (bytes == NULL || n_bytes == 0) {
        return SY_OK;
    }
    if (n_bytes > SY_LIMIT_STRING_BYTES || n_bytes < 8) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The tokenizer's normaliser has an impossible size (%zu bytes).",
                            n_bytes);
    }
    uint32_t n_array =
        bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if (n_array > n_bytes - 4 || n_array % 4 != 0 || n_array == 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The tokenizer's normaliser says %u bytes of rules but has %zu.",
                            n_array, n_bytes - 4);
    }
    charsmap->bytes = sy__alloc_array(allocator, n_bytes + 1, 1); /* one NUL more */
    if (charsmap->bytes == NULL) {
        return sy__no_memory(error, n_bytes, "the tokenizer's normaliser");
    }
    memcpy(charsmap->bytes, bytes, n_bytes);
    charsmap->n_bytes = n_bytes + 1;
    charsmap->n_units = n_array / 4;
    charsmap->replacements = (const char *)charsmap->bytes + 4 + n_array;
    charsmap->n_replacement_bytes = n_bytes + 1 - 4 - n_array;
    return SY_OK;
}

void sy__charsmap_deinit(sy__charsmap *charsmap, const sy_allocator *allocator) {
    sy__free_array(allocator, charsmap->bytes, charsmap->n_bytes, 1);
    memset(charsmap, 0, sizeof *charsmap);
}

static uint32_t unit_at(const sy__charsmap *charsmap, size_t i) {
    const uint8_t *at = charsmap->bytes + 4 + 4 * i;
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A unit: bit 31 set and bits 0-7 the label it must be reached by, bit 8 has a value, bits 10-30
 * the offset to its children (shifted by 8 more when bit 9 is set); a value unit holds 31 bits. */
static size_t unit_offset(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* Longest rule that `text` begins with: bytes it takes, 0 for none. */
static size_t longest_rule(const sy__charsmap *charsmap, const char *text, size_t n,
                           uint32_t *out_value) {
    size_t longest = 0;
    size_t at = unit_offset(unit_at(charsmap, 0));
    for (size_t i = 0; i < n && i < MAX_RULE_BYTES; i++) {
        uint8_t byte = (uint8_t)text[i];
        at ^= byte;
        if (at >= charsmap->n_units) {
            break;
        }
        uint32_t unit = unit_at(charsmap, at);
        if ((unit & 0x800000ffu) != byte) {
            break;
        }
        at ^= unit_offset(unit);
        if ((unit >> 8 & 1) != 0) {
            if (at >= charsmap->n_units) {
                break;
            }
            longest = i + 1;
            *out_value = unit_at(charsmap, at) & 0x7fffffffu;
        }
    }
    return longest;
}

typedef struct prefix_step {
    const char *text;
    size_t n_bytes, n_consumed;
} prefix_step;

/* Normalises what stands first in the text: a user-defined symbol as it is, a rule's replacement,
 * or one character; a byte that is no UTF-8 gives U+FFFD. False when the rules are corrupt. */
static bool next_step(const sy_tokenizer *t, const char *text, size_t n, prefix_step *out) {
    int32_t id = SY_NO_TOKEN;
    size_t length = sy__trie_longest(&t->user_raw, text, n, &id);
    uint32_t value = 0, rune = 0;
    out->text = text;
    if (length == 0 && t->charsmap.bytes != NULL) {
        length = longest_rule(&t->charsmap, text, n, &value);
        if (length > 0) {
            if (value >= t->charsmap.n_replacement_bytes) {
                return false;
            }
            out->text = t->charsmap.replacements + value;
            size_t n_left = t->charsmap.n_replacement_bytes - value;
            out->n_bytes = strnlen(out->text, n_left);
            out->n_consumed = length;
            return out->n_bytes <= MAX_REPLACEMENT_BYTES;
        }
    }
    if (length == 0) {
        length = sy__utf8_decode(text, n, &rune);
    }
    out->n_bytes = length;
    out->n_consumed = length;
    if (length == 0) {
        out->text = "\xef\xbf\xbd";
        out->n_bytes = 3;
        out->n_consumed = 1;
    }
    return true;
}

static bool is_space(const prefix_step *step) {
    return step->n_bytes == 1 && step->text[0] == ' ';
}

static bool add_space(sy__encoder *encoder) {
    return encoder->tokenizer->escape
               ? sy__append(encoder, &encoder->text, SY__SPACE_MARK, SY__SPACE_MARK_BYTES)
               : sy__append(encoder, &encoder->text, " ", 1);
}

static bool add_step(sy__encoder *encoder, const prefix_step *step, bool drop_spaces) {
    size_t i = 0;
    while (drop_spaces && i < step->n_bytes && step->text[i] == ' ') {
        i++;
    }
    for (; i < step->n_bytes; i++) {
        bool good = step->text[i] == ' ' ? add_space(encoder)
                                         : sy__append(encoder, &encoder->text, &step->text[i], 1);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool corrupt(sy__encoder *encoder) {
    encoder->status =
        sy_error_set(encoder->error, SY_DATA_LOSS, "The tokenizer's normaliser is corrupt.");
    return false;
}

static void trim_end(sy__encoder *encoder) {
    const char *mark = encoder->tokenizer->escape ? SY__SPACE_MARK : " ";
    size_t n = strlen(mark);
    while (encoder->text.n >= n && memcmp(encoder->text.data + encoder->text.n - n, mark, n) == 0) {
        encoder->text.n -= n;
    }
}

bool sy__normalize(sy__encoder *encoder, const char *text, size_t n_bytes, bool prefix) {
    const sy_tokenizer *t = encoder->tokenizer;
    prefix_step step;
    size_t at = 0;
    encoder->text.n = 0;
    while (t->remove_extra && at < n_bytes) {
        if (!next_step(t, text + at, n_bytes - at, &step)) {
            return corrupt(encoder);
        }
        if (!is_space(&step)) {
            break;
        }
        at += step.n_consumed;
    }
    if (at == n_bytes) {
        return true;
    }
    if (prefix && !t->suffix && !add_space(encoder)) {
        return false;
    }
    bool after_space = t->remove_extra;
    while (at < n_bytes) {
        if (!next_step(t, text + at, n_bytes - at, &step)) {
            return corrupt(encoder);
        }
        if (!add_step(encoder, &step, after_space)) {
            return false;
        }
        bool dropped_all = after_space;
        for (size_t i = 0; dropped_all && i < step.n_bytes; i++) {
            dropped_all = step.text[i] == ' ';
        }
        if (step.n_bytes > 0 && !dropped_all) {
            after_space = step.text[step.n_bytes - 1] == ' ' && t->remove_extra;
        }
        at += step.n_consumed;
    }
    if (t->remove_extra) {
        trim_end(encoder);
    }
    return !prefix || !t->suffix || add_space(encoder);
}
