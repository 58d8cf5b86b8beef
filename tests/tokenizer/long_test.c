/* SPDX-License-Identifier: Apache-2.0 */
/* Long texts remember their words and are cut into parts: the tokens are those of the parts alone.
 * And pieces of every length, whose look-ups go by their beginnings. */
#include "small.h"

#include <stdbool.h>

#define IDS_MAX 65536u

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

/* A blank and up to 40 characters: words around the longest that is remembered, with many tokens
 * and with few, bytes that no piece covers among them. */
static size_t add_word(char *text, uint32_t *state) {
    static const char *const units[] = {"a",    "b", "ab",       "aa",
                                        "aaaa", "x", "\xc3\xa9", "\xe2\x82\xac"};
    uint32_t seed = next_random(state) % 300, n_units = 1 + seed % 20;
    size_t n = 0;
    text[n++] = ' ';
    for (uint32_t i = 0; i < n_units; i++) {
        const char *unit = units[next_random(&seed) % (seed % 3 == 0 ? 8 : 5)];
        memcpy(text + n, unit, strlen(unit));
        n += strlen(unit);
    }
    return n;
}

/* Encodes to `ids` from *n on. */
static void encode(const sy_tokenizer *t, const char *text, size_t n_bytes, int32_t *ids,
                   size_t *n) {
    size_t n_here = 0;
    CHECK_OK(sy_tokenizer_encode(t, text, n_bytes, 0, ids + *n, IDS_MAX - *n, &n_here, NULL));
    *n += n_here;
}

static void check_words(const char *kind, bool with_unused) {
    static char text[65536];
    static int32_t whole[IDS_MAX], parts[IDS_MAX];
    small_vocabulary small;
    small_fill(&small, kind);
    small.v.add_space_prefix = SY_CHOICE_NO;
    for (uint32_t i = 0; i < small.v.n_tokens; i++) {
        if (small.types[i] == SY_TOKEN_UNUSED && !with_unused) {
            small.types[i] = SY_TOKEN_NORMAL;
        }
        small.scores[i] *= 0.25f; /* sums of quarters are exact wherever they begin */
    }
    sy_tokenizer *t = small_create(&small);
    size_t n_text = 0, n_parts = 0, n_whole = 0;
    uint32_t state = 5;
    while (n_text + 200 < sizeof text) {
        size_t n = add_word(text + n_text, &state);
        encode(t, text + n_text, n, parts, &n_parts);
        n_text += n;
    }
    encode(t, text, n_text, whole, &n_whole);
    CHECK_TEXT(n_whole == n_parts, "%s: %zu tokens, its words %zu", kind, n_whole, n_parts);
    for (size_t i = 0; i < n_whole && i < n_parts; i++) {
        CHECK_TEXT(whole[i] == parts[i], "%s: token %zu is %d, not %d", kind, i, whole[i],
                   parts[i]);
    }
    sy_tokenizer_destroy(t);
}

static void test_words_again(void) {
    check_words("gpt2", true);
    check_words("llama", false);
    check_words("gemma4", true);
    check_words("t5", false);
    check_words("t5", true);
    check_words("bert", true);
}

/* Each block in turn is refused in a text that is long enough to be remembered. */
static void test_refused_memory(void) {
    static char text[4096];
    const char *kinds[] = SMALL_KINDS;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 7) {
        text[i] = ' ';
    }
    for (size_t k = 0; k < SMALL_N_KINDS; k++) {
        small_vocabulary small;
        small_fill(&small, kinds[k]);
        failing f = {{fail_reallocate, &f}, 1000000, 0};
        sy_tokenizer *t = NULL;
        CHECK_OK(sy_tokenizer_create(&f.allocator, &small.v, &t, NULL));
        bool failed = true;
        for (long n_fail = 0; failed; n_fail++) {
            size_t n = 0;
            long n_live = f.n_live;
            f.n_left = n_fail;
            sy_status status = sy_tokenizer_encode(t, text, sizeof text, 0, NULL, 0, &n, NULL);
            failed = f.n_left < 0;
            CHECK_TEXT(status == (failed ? SY_RESOURCE_EXHAUSTED : SY_OK), "%s %ld: status %d",
                       kinds[k], n_fail, (int)status);
            CHECK_TEXT(f.n_live == n_live, "%s %ld: blocks lost", kinds[k], n_fail);
            CHECK(n_fail < 1000);
        }
        f.n_left = 1000000;
        sy_tokenizer_destroy(t);
    }
}

/* The text must be one token of this piece, or just not, alone and behind other words. */
static void expect_joined(const sy_tokenizer *t, const char *text, int32_t id, bool joined) {
    static const char before[] = "ab a b aa ";
    char whole[128];
    int32_t ids[128];
    size_t n = 0, n_before = 0;
    encode(t, text, strlen(text), ids, &n);
    CHECK_TEXT((n == 1 && ids[0] == id) == joined, "\"%s\": %zu tokens, the first %d", text, n,
               ids[0]);
    snprintf(whole, sizeof whole, "%s%s", before, text);
    n = 0;
    encode(t, whole, sizeof before - 1, ids, &n_before);
    encode(t, whole, strlen(whole), ids, &n);
    CHECK_TEXT((ids[n - 1] == id) == joined, "\"%s\": its last token is %d", whole, ids[n - 1]);
}

/* Pieces with a mark inside are found although texts are cut in front of marks. */
static void test_marks_inside(void) {
    static const char *const kinds[] = {"llama", "t5", "gemma4"};
    for (size_t k = 0; k < 3; k++) {
        small_vocabulary small;
        small_fill(&small, kinds[k]);
        small.v.add_space_prefix = SY_CHOICE_NO;
        for (uint32_t i = 0; i < small.v.n_tokens; i++) { /* they would keep texts whole */
            small.types[i] = small.types[i] == SY_TOKEN_UNUSED ? SY_TOKEN_NORMAL : small.types[i];
        }
        small_word(&small, "b" MARK, -0.5f); /* behind "b" there is no cut, behind "a" there is */
        int32_t inside = small_word(&small, "b" MARK "b", -0.25f);
        small_merge(&small, "b " MARK);
        small_merge(&small, "b" MARK " b");
        int32_t user = small_add(&small, "x y", 3, SY_TOKEN_USER_DEFINED, 0.0f);
        sy_tokenizer *t = small_create(&small);
        expect_joined(t, "b b", inside, true);
        expect_joined(t, "x y", user, true);
        expect_joined(t, "b a", inside, false);
        expect_joined(t, "a b", inside, false);
        sy_tokenizer_destroy(t);
    }
}

/* A mark behind a NUL, and runs of marks, which stay together. */
static void test_marks_in_a_row(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    small.v.add_space_prefix = SY_CHOICE_NO;
    for (uint32_t i = 0; i < small.v.n_tokens; i++) {
        small.types[i] = small.types[i] == SY_TOKEN_UNUSED ? SY_TOKEN_NORMAL : small.types[i];
    }
    small_word(&small, MARK MARK, -0.5f);
    int32_t four = small_word(&small, MARK MARK MARK MARK, -0.25f);
    int32_t nul = small_add(&small, "\0" MARK, 4, SY_TOKEN_NORMAL, -0.25f);
    sy_tokenizer *t = small_create(&small);
    int32_t ids[64];
    size_t n = 0;
    encode(t, "a    ", 5, ids, &n);
    CHECK_TEXT(n == 2 && ids[1] == four, "%zu tokens, the second %d", n, ids[1]);
    n = 0;
    encode(t, "a\0 ", 3, ids, &n);
    CHECK_TEXT(n == 2 && ids[1] == nul, "%zu tokens, the second %d", n, ids[1]);
    sy_tokenizer_destroy(t);
}

/* Pieces of many lengths over one beginning; a text is the longest ones that fit into it. */
static void test_lengths(void) {
    static const uint16_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  10,  15,  16,   17,
                                       24, 25, 32, 33, 64, 65, 96, 97, 128, 511, 1023, 1024};
    static char text[4096];
    const size_t n_lengths = sizeof lengths / sizeof lengths[0];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('c' + i % 23); /* no piece has these */
    }
    small_vocabulary small;
    small_fill(&small, "t5");
    small.v.add_space_prefix = SY_CHOICE_NO;
    int32_t first = (int32_t)small.v.n_tokens;
    for (size_t i = 0; i < n_lengths; i++) {
        small_add(&small, text, lengths[i], SY_TOKEN_NORMAL, -1.0f);
    }
    small_add(&small, text, 1025, SY_TOKEN_NORMAL, 100.0f); /* too long to be looked for */
    sy_tokenizer *t = small_create(&small);
    for (size_t n_bytes = 1; n_bytes <= 1100; n_bytes++) {
        int32_t ids[2048];
        size_t n = 0, i = 0;
        encode(t, text, n_bytes, ids, &n);
        while (i + 1 < n_lengths && lengths[i + 1] <= n_bytes) {
            i++;
        }
        bool exact = lengths[i] == n_bytes;
        CHECK_TEXT(!exact || (n == 1 && ids[0] == first + (int32_t)i),
                   "%zu bytes: %zu tokens, the first %d", n_bytes, n, ids[0]);
        CHECK_TEXT(exact || n > 1, "%zu bytes: one token, %d", n_bytes, ids[0]);
    }
    sy_tokenizer_destroy(t);
}

/* A normal and a user-defined piece with one text: the first of them counts. */
static void test_a_text_twice(void) {
    for (int user_first = 0; user_first < 2; user_first++) {
        small_vocabulary small;
        small_fill(&small, "t5");
        small.v.add_space_prefix = SY_CHOICE_NO;
        int32_t first = small_add(&small, "abab", 4,
                                  user_first ? SY_TOKEN_USER_DEFINED : SY_TOKEN_NORMAL, -0.5f);
        small_add(&small, "abab", 4, user_first ? SY_TOKEN_NORMAL : SY_TOKEN_USER_DEFINED, -0.5f);
        sy_tokenizer *t = small_create(&small);
        int32_t ids[16];
        size_t n = 0;
        encode(t, "abab", 4, ids, &n);
        CHECK_TEXT(n == 1 && ids[0] == first, "%zu tokens, the first %d, not %d", n, ids[0], first);
        sy_tokenizer_destroy(t);
    }
}

static const sy_test_case cases[] = {
    {"words_again", test_words_again},   {"refused_memory", test_refused_memory},
    {"marks_inside", test_marks_inside}, {"marks_in_a_row", test_marks_in_a_row},
    {"lengths", test_lengths},           {"a_text_twice", test_a_text_twice},
};
SY_TEST_MAIN(cases)
