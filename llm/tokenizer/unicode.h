/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 and the Unicode facts tokenizers ask for. Property data: utf8proc. */
#ifndef SY_TOKENIZER_UNICODE_H
#define SY_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY__REPLACEMENT 0xfffdu
#define SY__SPACE_MARK "\xe2\x96\x81" /* U+2581, SentencePiece's visible space */
#define SY__SPACE_MARK_BYTES 3u

/* Bytes of the character at `text` (n >= 1), strictly checked; 0 when none stands there. */
size_t sy__utf8_decode(const char *text, size_t n, uint32_t *out_rune);
/* Writes 1 to 4 bytes. */
size_t sy__utf8_encode(uint32_t rune, char out[4]);
/* Bytes, 1 to 3, of the longest beginning of a character at `text`, where sy__utf8_decode gave 0;
 * *out_open says that the text ends inside it. (One U+FFFD stands for such a run.) */
size_t sy__utf8_broken(const char *text, size_t n, bool *out_open);
/* Length of the longest valid part at the start. */
size_t sy__utf8_valid(const char *text, size_t n);

bool sy__is_white(uint32_t rune);       /* property White_Space */
bool sy__is_punctuation(uint32_t rune); /* categories P*, and ASCII's symbols */
bool sy__is_other(uint32_t rune);       /* categories Cc, Cf, Cs, Co */
bool sy__is_mark(uint32_t rune);        /* category Mn */
bool sy__is_ideograph(uint32_t rune);   /* the CJK blocks that BERT splits */
uint32_t sy__lower(uint32_t rune);      /* simple mapping */

/* Canonical decomposition of a rune into at most 8; answers their number. */
size_t sy__decompose(uint32_t rune, int32_t out_runes[8]);
/* Sorts each run of combining marks, in linear time (runs of any length). `scratch` holds n. */
void sy__order_marks(int32_t *runes, size_t n, int32_t *scratch);
/* Composes in place (NFC of a decomposed, ordered text); answers the new length. */
size_t sy__compose(int32_t *runes, size_t n);

#endif
