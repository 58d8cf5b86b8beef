/* SPDX-License-Identifier: Apache-2.0 */
/* Any vocabulary and any text. The first byte picks the kind, the second flags and pre-tokenizer,
 * the third how many bytes of normaliser rules follow, the fourth how many bytes of tokens; the
 * rest is text. Tokens are separated by byte 0; the bits of a token's first byte give its type. */
#include "switchyard/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

typedef struct input {
    sy_vocabulary v;
    sy_token_text tokens[MAX_TOKENS], merges[MAX_TOKENS];
    float scores[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    uint8_t strips[MAX_TOKENS];
} input;

static void add_tokens(input *in, const char *bytes, size_t n) {
    size_t begin = 0;
    for (size_t i = 0; i <= n && in->v.n_tokens < MAX_TOKENS; i++) {
        if (i < n && bytes[i] != '\0') {
            continue;
        }
        uint32_t k = in->v.n_tokens++;
        uint8_t first = i > begin ? (uint8_t)bytes[begin] : 0;
        in->tokens[k] = (sy_token_text){bytes + begin, i - begin};
        in->types[k] = first % 11 > 6 ? SY_TOKEN_NORMAL : first % 11;
        in->scores[k] = (float)((int)(first * 7 % 31) - 20);
        in->strips[k] = first % 13 == 0 ? 3 : 0;
        if (memchr(bytes + begin, ' ', i - begin) != NULL) {
            in->merges[in->v.n_merges++] = in->tokens[k];
        }
        begin = i + 1;
    }
}

static void use(const sy_tokenizer *t, const char *text, size_t n, uint32_t flags) {
    size_t n_ids = 0, n_again = 0, n_text = 0;
    if (sy_tokenizer_encode(t, text, n, flags, NULL, 0, &n_ids, NULL) != SY_OK) {
        return;
    }
    int32_t *ids = malloc((n_ids + 1) * sizeof *ids);
    if (sy_tokenizer_encode(t, text, n, flags, ids, n_ids, &n_again, NULL) != SY_OK ||
        n_again != n_ids ||
        sy_tokenizer_decode(t, ids, n_ids, flags, NULL, 0, &n_text, NULL) != SY_OK) {
        abort();
    }
    char *back = malloc(n_text + 1);
    size_t n_back = 0;
    if (sy_tokenizer_decode(t, ids, n_ids, flags, back, n_text, &n_back, NULL) != SY_OK ||
        n_back != n_text) {
        abort();
    }
    free(back);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static const char *const kinds[] = {"llama", "t5", "gpt2", "gemma4", "bert"};
    static const char *const names[] = {"default",      "llama-bpe",   "qwen2",  "gpt-4o",
                                        "deepseek-llm", "deepseek-v3", "falcon", "bloom"};
    static input in;
    if (n_bytes < 4) {
        return 0;
    }
    memset(&in, 0, sizeof in);
    sy_vocabulary_init(&in.v);
    size_t n_map = data[2], n_tokens = data[3];
    const char *rest = (const char *)data + 4;
    n_bytes -= 4;
    n_map = n_map < n_bytes ? n_map : n_bytes;
    n_tokens = n_tokens < n_bytes - n_map ? n_tokens : n_bytes - n_map;
    add_tokens(&in, rest + n_map, n_tokens);
    in.v.model = kinds[data[0] % 5];
    in.v.pre = names[data[1] % 8];
    in.v.tokens = in.tokens;
    in.v.merges = in.merges;
    in.v.scores = in.scores;
    in.v.types = in.types;
    in.v.strips = in.strips;
    in.v.charsmap = data + 4;
    in.v.n_charsmap_bytes = n_map;
    in.v.unk = 0;
    in.v.remove_extra_whitespaces = data[1] >> 6 & 1;
    in.v.whitespace_as_suffix = data[1] >> 7 & 1;
    sy_tokenizer *t = NULL;
    if (sy_tokenizer_create(NULL, &in.v, &t, NULL) == SY_OK) {
        use(t, rest + n_map + n_tokens, n_bytes - n_map - n_tokens, data[1] >> 3 & 3);
    }
    sy_tokenizer_destroy(t);
    return 0;
}
