/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the tokenizer that a GGUF file describes in its keys tokenizer.ggml.*. */
#ifndef SY_TOKENIZER_FROM_GGUF_H
#define SY_TOKENIZER_FROM_GGUF_H

#include "switchyard/gguf.h"
#include "switchyard/tokenizer.h"

/* NOT_FOUND when the file has no vocabulary; errors name the key. The tokenizer borrows its texts:
 * it ends before the file does. */
SY_MUST_CHECK sy_status sy__tokenizer_from_gguf(const sy_allocator *allocator, const sy_gguf *gguf,
                                                sy_tokenizer **out_tokenizer, sy_error *error);

/* Heap that a tokenizer over a file takes, with the offsets that the file's reader holds for it. */
uint64_t sy__tokenizer_heap_bytes(const sy_tokenizer *tokenizer);

#endif
