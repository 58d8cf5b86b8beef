/* SPDX-License-Identifier: Apache-2.0 */
/* Vocabularies and texts made to harm: refused with a sentence, or done in linear time. */
#include "small.h"

#include <stdbool.h>
#include <time.h>

#define MEGABYTE (1u << 20)

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* other work on the machine does not count */
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Fills n bytes with copies of a unit. */
static void repeat(char *text, size_t n, const char *unit) {
    size_t length = strlen(unit);
    for (size_t i = 0; i < n; i++) {
        text[i] = unit[i % length];
    }
}

/* Much of one thing takes seconds at most; a quadratic pass would take hours. */
static void check_long(const char *kind, const char *pre, size_t n_bytes) {
    static const char *const units[] = {"a",
                                        " ",
                                        "\n",
                                        " \n",
                                        "1",
                                        "\xcc\x81",
                                        "\xcc\x81\xcc\xa3",
                                        "\xe4\xb8\x80",
                                        "aB",
                                        "'s",
                                        "\xff",
                                        "\xe2",
                                        "\xea\xb0\x80",
                                        "!",
                                        "a ",
                                        "<",
                                        "\xf0\x9f\x91\xa8\xe2\x80\x8d",
                                        "A",
                                        "\xc2\xbd"};
    small_vocabulary small;
    small_fill(&small, kind);
    small.v.pre = pre;
    sy_tokenizer *t = small_create(&small);
    char *text = malloc(n_bytes);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t n = 0;
        repeat(text, n_bytes, units[i]);
        double start = seconds();
        CHECK_OK(sy_tokenizer_encode(t, text, n_bytes, SY_ENCODE_PARSE_SPECIAL, NULL, 0, &n, NULL));
        CHECK_TEXT(seconds() - start < 20.0, "%s %s: much of \"%s\" took %.1f s", kind,
                   pre != NULL ? pre : "", units[i], seconds() - start);
    }
    free(text);
    sy_tokenizer_destroy(t);
}

static void test_megabytes(void) {
    check_long("llama", NULL, MEGABYTE);
    check_long("t5", NULL, MEGABYTE);
    check_long("bert", NULL, MEGABYTE);
    check_long("gemma4", NULL, MEGABYTE);
}

static void test_megabytes_of_bpe(void) {
    static const char *const names[] = {
        "default", "gpt-2",  "olmo",         "llama-bpe",      "qwen2",       "qwen35",
        "smollm",  "falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-4o",
        "tekken",  "bloom",  "seed-coder",   "bailingmoe"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_long("gpt2", names[i], MEGABYTE / 4);
    }
}

/* Pieces a, aa, aaa, ... up to 64 KiB: each place of the text begins a long chain. */
static void test_long_chains(void) {
    enum { STEP = 37 };
    static char text[MEGABYTE];
    static sy_token_text tokens[SY_TOKEN_BYTE + 2000];
    static float scores[SY_TOKEN_BYTE + 2000];
    memset(text, 'a', sizeof text);
    const char *kinds[] = {"llama", "t5"};
    for (size_t k = 0; k < 2; k++) {
        sy_vocabulary v;
        sy_vocabulary_init(&v);
        v.model = kinds[k];
        for (uint32_t i = 0; i < 1700; i++) {
            tokens[i] = (sy_token_text){text, 1 + (size_t)i * STEP % 65000};
            scores[i] = (float)i;
        }
        v.tokens = tokens;
        v.scores = scores;
        v.n_tokens = 1700;
        v.add_space_prefix = SY_CHOICE_NO;
        sy_tokenizer *t = NULL;
        size_t n = 0;
        CHECK_OK(sy_tokenizer_create(NULL, &v, &t, NULL));
        double start = seconds();
        CHECK_OK(sy_tokenizer_encode(t, text, sizeof text, 0, NULL, 0, &n, NULL));
        CHECK_TEXT(seconds() - start < 30.0, "%s: %.1f s", kinds[k], seconds() - start);
        sy_tokenizer_destroy(t);
    }
}

static void refused(sy_vocabulary *v, sy_status wanted, const char *word) {
    sy_error error;
    sy_tokenizer *t = NULL;
    sy_error_clear(&error);
    sy_status status = sy_tokenizer_create(NULL, v, &t, &error);
    CHECK_TEXT(status == wanted && t == NULL, "status %d for %s", (int)status, word);
    CHECK_TEXT(strstr(error.message, word) != NULL, "\"%s\" lacks %s", error.message, word);
}

static void test_bad_vocabularies(void) {
    small_vocabulary small;
    small_fill(&small, "llama");
    small.v.model = "nonsense";
    refused(&small.v, SY_UNIMPLEMENTED, "nonsense");
    small.v.model = NULL;
    refused(&small.v, SY_UNIMPLEMENTED, "kind");
    small_fill(&small, "gpt2");
    small.v.pre = "pre-of-tomorrow";
    refused(&small.v, SY_UNIMPLEMENTED, "pre-of-tomorrow");
    small.v.pre = "";
    refused(&small.v, SY_UNIMPLEMENTED, "pre-tokenizer");
    small_fill(&small, "llama");
    small.v.bos = (int32_t)small.v.n_tokens;
    refused(&small.v, SY_INVALID_ARGUMENT, "outside");
    small.v.bos = -2;
    refused(&small.v, SY_INVALID_ARGUMENT, "outside");
    small.v.bos = SY_NO_TOKEN;
    small.types[3] = 9;
    refused(&small.v, SY_INVALID_ARGUMENT, "type");
    small.types[3] = 1;
    small.tokens[3].n_bytes = 70000;
    refused(&small.v, SY_INVALID_ARGUMENT, "long");
    small.v.n_tokens = 0;
    refused(&small.v, SY_INVALID_ARGUMENT, "vocabulary");
}

/* Rules made of noise: every one is refused at create or bounded at use; circles end. */
static void test_bad_charsmaps(void) {
    small_vocabulary small;
    uint8_t map[600];
    uint32_t state = 1;
    char text[] = "aab b\xc3\xa9 \xe2\x82\xac a  a";
    small_fill(&small, "t5");
    small.v.remove_extra_whitespaces = SY_CHOICE_YES;
    for (int round = 0; round < 4000; round++) {
        for (size_t i = 0; i < sizeof map; i++) {
            state = state * 1664525u + 1013904223u;
            map[i] = (uint8_t)(state >> 24);
        }
        uint32_t n_array = round % 3 == 0 ? state : (state >> 8) % 160 * 4;
        for (uint32_t i = 0; round % 2 == 0 && i < 128; i++) { /* labels that match */
            map[4 + 4 * i] = (uint8_t)(i & 0xff);
            map[7 + 4 * i] = 0;
            map[6 + 4 * i] = 0;
        }
        memcpy(map, &n_array, sizeof n_array);
        small.v.charsmap = map;
        small.v.n_charsmap_bytes = round % 5 == 0 ? state % sizeof map : sizeof map;
        sy_tokenizer *t = NULL;
        size_t n = 0;
        if (sy_tokenizer_create(NULL, &small.v, &t, NULL) == SY_OK) {
            sy_status status = sy_tokenizer_encode(t, text, sizeof text - 1, 0, NULL, 0, &n, NULL);
            CHECK(status == SY_OK || status == SY_DATA_LOSS);
            sy_tokenizer_destroy(t);
        }
    }
}

static void fail_each(const char *kind) {
    static const char text[] = "aaab <tool> e\xcc\x81\xcc\xa3 aab\xff \xe2\x82\xac aaa";
    small_vocabulary small;
    small_fill(&small, kind);
    small.v.pre = strcmp(kind, "gpt2") == 0 ? "qwen2" : NULL;
    for (long n_fail = 0; n_fail < 2000; n_fail++) {
        failing f = {{fail_reallocate, &f}, n_fail, 0};
        sy_tokenizer *t = NULL;
        sy_error error;
        size_t n = 0;
        sy_error_clear(&error);
        sy_status status = sy_tokenizer_create(&f.allocator, &small.v, &t, &error);
        if (status == SY_OK) {
            status = sy_tokenizer_encode(t, text, sizeof text - 1, 0, NULL, 0, &n, &error);
        }
        bool failed = f.n_left < 0;
        bool absorbed = small.v.model[0] == 'g'; /* PCRE2 does without its compiled code */
        CHECK_TEXT(!failed || status == SY_RESOURCE_EXHAUSTED || (absorbed && status == SY_OK),
                   "%s %ld: status %d %s", kind, n_fail, (int)status, error.message);
        f.n_left = 1000000;
        if (t != NULL) {
            CHECK_OK(sy_tokenizer_encode(t, text, sizeof text - 1, 0, NULL, 0, &n, &error));
        }
        sy_tokenizer_destroy(t);
        CHECK_TEXT(f.n_live == 0, "%s: %ld blocks lost", kind, f.n_live);
        if (!failed) {
            return;
        }
    }
    CHECK_TEXT(0, "%s never succeeded", kind);
}

static void test_failing_memory(void) {
    const char *kinds[] = SMALL_KINDS;
    for (size_t i = 0; i < SMALL_N_KINDS; i++) {
        fail_each(kinds[i]);
    }
}

/* Any bytes, any flags: tokens inside the vocabulary, the same twice, and decoding is UTF-8. */
static void test_random_bytes(void) {
    const char *kinds[] = SMALL_KINDS;
    uint32_t state = 7;
    for (size_t k = 0; k < SMALL_N_KINDS; k++) {
        small_vocabulary small;
        small_fill(&small, kinds[k]);
        sy_tokenizer *t = small_create(&small);
        for (int round = 0; round < 2000; round++) {
            char text[64], back[4096];
            int32_t ids[512], again[512];
            size_t n = 0, n_again = 0, n_back = 0;
            for (size_t i = 0; i < sizeof text; i++) {
                state = state * 1664525u + 1013904223u;
                text[i] = (state >> 30) != 0 ? "ab <tool></s>\xe2\x96\x81"[(state >> 20) % 16]
                                             : (char)(state >> 16);
            }
            CHECK_OK(sy_tokenizer_encode(t, text, sizeof text, state >> 30, ids, 512, &n, NULL));
            CHECK_OK(
                sy_tokenizer_encode(t, text, sizeof text, state >> 30, again, 512, &n_again, NULL));
            CHECK(n == n_again && memcmp(ids, again, n * sizeof *ids) == 0);
            CHECK_OK(sy_tokenizer_decode(t, ids, n, 0, back, sizeof back, &n_back, NULL));
        }
        sy_tokenizer_destroy(t);
    }
}

static const sy_test_case cases[] = {
    {"megabytes", test_megabytes},         {"megabytes_of_bpe", test_megabytes_of_bpe},
    {"long_chains", test_long_chains},     {"bad_vocabularies", test_bad_vocabularies},
    {"bad_charsmaps", test_bad_charsmaps}, {"failing_memory", test_failing_memory},
    {"random_bytes", test_random_bytes},
};
SY_TEST_MAIN(cases)
