/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer over a vocabulary of seven words and pieces, spelled as GGUF files spell
 * WordPiece. */
#include <switchyard/tokenizer.h>

#include <stdio.h>
#include <string.h>

#define WORD "\xe2\x96\x81" /* marks a piece that begins a word */

static const char *const pieces[] = {"[UNK]", "[CLS]",     "[SEP]", WORD "rail",
                                     "way",   WORD "yard", "s"};
#define N_PIECES (sizeof(pieces) / sizeof(pieces[0]))

static sy_status create(sy_tokenizer **out_tokenizer, sy_error *error) {
    sy_token_text tokens[N_PIECES];
    for (size_t i = 0; i < N_PIECES; i++) {
        tokens[i] = (sy_token_text){pieces[i], strlen(pieces[i])};
    }
    sy_vocabulary vocabulary;
    sy_vocabulary_init(&vocabulary);
    vocabulary.model = "bert";
    vocabulary.tokens = tokens;
    vocabulary.n_tokens = N_PIECES;
    vocabulary.unk = 0;
    vocabulary.cls = vocabulary.bos = 1;
    vocabulary.sep = vocabulary.eos = 2;
    return sy_tokenizer_create(NULL, &vocabulary, out_tokenizer, error);
}

int main(void) {
    static const char text[] = "Railway yards";
    sy_error error;
    sy_tokenizer *tokenizer = NULL;
    int32_t ids[16];
    size_t n_tokens = 0;
    sy_status status = create(&tokenizer, &error);
    if (status == SY_OK) {
        status = sy_tokenizer_encode(tokenizer, text, strlen(text), 0, ids, 16, &n_tokens, &error);
    }
    char back[64];
    size_t n_bytes = 0;
    if (status == SY_OK) {
        status =
            sy_tokenizer_decode(tokenizer, ids, n_tokens, 0, back, sizeof(back), &n_bytes, &error);
    }
    if (status != SY_OK) {
        printf("%s\n", error.message);
        return 1;
    }
    printf("\"%s\" ->", text);
    for (size_t i = 0; i < n_tokens; i++) {
        printf(" %d", ids[i]);
    }
    printf(" -> \"%.*s\"\n", (int)n_bytes, back);
    sy_tokenizer_destroy(tokenizer);
    static const int32_t expected[] = {3, 4, 5, 6};
    return n_tokens == 4 && memcmp(ids, expected, sizeof(expected)) == 0 ? 0 : 1;
}
