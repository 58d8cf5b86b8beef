/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of vocabulary does with small texts, and the contract of the calls. */
#include "small.h"

static size_t encode(const sy_tokenizer *tokenizer, const char *text, uint32_t flags,
                     int32_t *out_ids) {
    size_t n = 0;
    CHECK_OK(sy_tokenizer_encode(tokenizer, text, strlen(text), flags, out_ids, 64, &n, NULL));
    return n;
}

static int32_t find(const sy_tokenizer *tokenizer, const char *text) {
    return sy_tokenizer_find(tokenizer, text, strlen(text));
}

/* Checks that `text` encodes to the tokens whose names are listed, the last one NULL. */
static void expect(const sy_tokenizer *tokenizer, const char *text, uint32_t flags,
                   const char *const *names) {
    int32_t ids[64];
    size_t n = encode(tokenizer, text, flags, ids), i = 0;
    for (; names[i] != NULL; i++) {
        int32_t wanted = find(tokenizer, names[i]);
        CHECK_TEXT(wanted >= 0 && i < n && ids[i] == wanted, "\"%s\" token %zu is %d, not %s (%d)",
                   text, i, i < n ? ids[i] : -1, names[i], wanted);
    }
    CHECK_TEXT(i == n, "\"%s\" has %zu tokens, not %zu", text, n, i);
}
#define EXPECT(tokenizer, text, flags, ...) \
    expect((tokenizer), (text), (flags), (const char *const[]){__VA_ARGS__, NULL})

static void test_llama(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "a", 0, MARK "a");
    EXPECT(t, "ab", 0, MARK, "ab"); /* "ab" scores better than the marked "a" */
    EXPECT(t, "a", SY_ENCODE_ADD_SPECIAL, "<s>", MARK "a");
    EXPECT(t, "b\xe2\x82\xac", 0, MARK "b", "<0xE2>", "<0x82>", "<0xAC>");
    EXPECT(t, "a<tool>a", 0, MARK "a", "<tool>", "a"); /* always one token, no space after it */
    EXPECT(t, "a</s>a", SY_ENCODE_PARSE_SPECIAL, MARK "a", "</s>", MARK "a");
    EXPECT(t, "b\xff", 0, MARK "b", "<0xEF>", "<0xBF>", "<0xBD>"); /* no UTF-8: U+FFFD */
    int32_t ids[64];
    CHECK(encode(t, "</s>", 0, ids) > 1);
    CHECK(encode(t, "", 0, ids) == 0);
    sy_tokenizer_destroy(t);
}

/* The unused piece "aaa" has the best score; it may be passed through but never come out. */
static void test_unused_pieces_come_apart(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    small.v.add_space_prefix = SY_CHOICE_NO;
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "aaa", 0, "aa", "a");
    EXPECT(t, "baaab", 0, "b", "aa", "ab");
    sy_tokenizer_destroy(t);
}

static void test_unigram(void) {
    small_vocabulary small;
    small_fill(&small, "t5");
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "ab", 0, MARK, "ab");
    EXPECT(t, "a", SY_ENCODE_ADD_SPECIAL, MARK, "a", "</s>"); /* -1 - 2 beats -7 */
    EXPECT(t, "a<tool>", 0, MARK, "a", "<tool>");
    sy_tokenizer_destroy(t);
}

static void test_byte_level(void) {
    small_vocabulary small;
    small_fill(&small, "gpt2");
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "ab aaaa a", 0, "ab", " ", "aaaa", " a"); /* the rule " a" has the worst rank */
    EXPECT(t, "aaaa", 0, "aaaa");
    EXPECT(t, "a<tool>a", 0, "a", "<tool>", "a");
    EXPECT(t, "<s>", SY_ENCODE_PARSE_SPECIAL, "<s>");
    char byte = '\xff';
    int32_t ids[4];
    size_t n = 0;
    CHECK_OK(sy_tokenizer_encode(t, &byte, 1, 0, ids, 4, &n, NULL));
    CHECK(n == 1 && ids[0] == 255); /* bytes that are no UTF-8 stay themselves */
    char back[4];
    CHECK_OK(sy_tokenizer_piece(t, ids[0], 0, back, 4, &n, NULL));
    CHECK(n == 1 && back[0] == byte);
    sy_tokenizer_destroy(t);
}

static void test_wordpiece(void) {
    small_vocabulary small;
    small_fill(&small, "bert");
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "A b", 0, MARK "a", MARK "b");
    EXPECT(t, "aab", 0, MARK "a", "ab");
    EXPECT(t, "\xc3\x81x", 0, "<unk>"); /* one part without a piece: the whole word */
    EXPECT(t, "\xc3\xa1", 0, MARK "a"); /* accents go */
    EXPECT(t, "a", SY_ENCODE_ADD_SPECIAL, "<s>", MARK "a");
    sy_tokenizer_destroy(t);
}

static void test_contract(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    sy_tokenizer *t = small_create(&small);
    int32_t ids[2] = {-7, -7};
    size_t n = 99;
    CHECK(sy_tokenizer_encode(t, "abab", 4, 0, ids, 1, &n, NULL) == SY_OUT_OF_RANGE);
    CHECK(n == 99 && ids[0] == -7); /* nothing is written on failure */
    CHECK_OK(sy_tokenizer_encode(t, "abab", 4, 0, NULL, 0, &n, NULL));
    CHECK(n == 3);
    CHECK(sy_tokenizer_encode(t, NULL, 4, 0, NULL, 0, &n, NULL) == SY_INVALID_ARGUMENT);
    char text[16];
    int32_t outside = 100000;
    CHECK(sy_tokenizer_piece(t, -1, 0, text, 16, &n, NULL) == SY_INVALID_ARGUMENT);
    CHECK(sy_tokenizer_decode(t, &outside, 1, 0, text, 16, &n, NULL) == SY_INVALID_ARGUMENT);
    int32_t word = find(t, "aaaa");
    CHECK(sy_tokenizer_piece(t, word, 0, text, 3, &n, NULL) == SY_OUT_OF_RANGE);
    CHECK(sy_tokenizer_type(t, word) == SY_TOKEN_NORMAL && sy_tokenizer_type(t, outside) == 0);
    CHECK(sy_tokenizer_is_end(t, find(t, "</s>")) && sy_tokenizer_is_end(t, find(t, "<|im_end|>")));
    CHECK(!sy_tokenizer_is_end(t, word) && !sy_tokenizer_is_end(t, -1));
    CHECK(sy_tokenizer_special(t, SY_SPECIAL_BOS) == find(t, "<s>"));
    CHECK(sy_tokenizer_special(t, SY_SPECIAL_MASK) == SY_NO_TOKEN);
    CHECK(sy_tokenizer_adds_bos(t) && sy_tokenizer_n_tokens(t) == small.v.n_tokens);
    CHECK(find(t, "no such token") == SY_NO_TOKEN);
    sy_tokenizer_destroy(t);
    sy_tokenizer_destroy(NULL);
    const int32_t more[2] = {word, (int32_t)small.v.n_tokens};
    small.v.more_ends = more;
    small.v.n_more_ends = 1;
    t = small_create(&small);
    CHECK(sy_tokenizer_is_end(t, word) && sy_tokenizer_is_end(t, find(t, "</s>")));
    sy_tokenizer_destroy(t);
    small.v.n_more_ends = 2; /* the second is no token */
    CHECK(sy_tokenizer_create(NULL, &small.v, &t, NULL) == SY_INVALID_ARGUMENT);
}

static void test_decoding(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    sy_tokenizer *t = small_create(&small);
    int32_t ids[] = {find(t, "<s>"), find(t, MARK "a"), 0xe2, 0x82, 0xac, 0xe2, find(t, "b")};
    char text[64];
    size_t n = 0;
    CHECK_OK(sy_tokenizer_decode(t, ids, 7, 0, text, sizeof text, &n, NULL));
    CHECK_TEXT(n == 8 && memcmp(text,
                                "a\xe2\x82\xac\xef\xbf\xbd"
                                "b",
                                8) == 0,
               "%.*s", (int)n, text);
    CHECK_OK(sy_tokenizer_decode(t, ids, 2, SY_DECODE_SPECIAL | SY_DECODE_KEEP_SPACE, text,
                                 sizeof text, &n, NULL));
    CHECK(n == 5 && memcmp(text, "<s> a", 5) == 0);
    sy_detokenizer stream;
    sy_detokenizer_init(&stream, t, 0);
    const size_t lengths[] = {0, 1, 0, 0, 3, 0, 4};
    for (size_t i = 0; i < 7; i++) {
        CHECK(sy_detokenizer_push(&stream, ids[i], NULL, 0, &n, NULL) ==
              (lengths[i] == 0 ? SY_OK : SY_OUT_OF_RANGE));
        if (lengths[i] != 0) {
            CHECK_OK(sy_detokenizer_push(&stream, ids[i], text, sizeof text, &n, NULL));
            CHECK(n == lengths[i]);
        }
    }
    CHECK(sy_detokenizer_finish(&stream, text, sizeof text) == 0);
    CHECK_OK(sy_detokenizer_push(&stream, 0xe2, text, sizeof text, &n, NULL));
    CHECK(n == 0 && sy_detokenizer_finish(&stream, text, sizeof text) == 3);
    CHECK(sy_tokenizer_max_piece_bytes(t) >= 3 * 10);
    sy_tokenizer_destroy(t);
}

/* A special token may swallow the white space beside it. */
static void test_strips(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    uint8_t strips[SMALL_MAX] = {0};
    strips[small.v.eos] = SY_TOKEN_STRIP_RIGHT;
    strips[small.v.bos] = SY_TOKEN_STRIP_LEFT;
    small.v.strips = strips;
    sy_tokenizer *t = small_create(&small);
    EXPECT(t, "a</s> \n a", SY_ENCODE_PARSE_SPECIAL, MARK "a", "</s>", MARK "a");
    EXPECT(t, "a \n <s>a", SY_ENCODE_PARSE_SPECIAL, MARK "a", "<s>", MARK "a");
    sy_tokenizer_destroy(t);
}

static const sy_test_case cases[] = {
    {"llama", test_llama},         {"unused", test_unused_pieces_come_apart},
    {"unigram", test_unigram},     {"byte_level", test_byte_level},
    {"wordpiece", test_wordpiece}, {"contract", test_contract},
    {"decoding", test_decoding},   {"strips", test_strips},
};
SY_TEST_MAIN(cases)
