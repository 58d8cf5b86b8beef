/* SPDX-License-Identifier: Apache-2.0 */
#include "json/json_read.h"

#include "harness.h"

static sy__json_document parsed(const char *text) {
    sy__json_document document;
    sy_error error;
    CHECK_OK_ERROR(sy__json_parse(NULL, text, strlen(text), "test", &document, &error), error);
    return document;
}

static void reads_every_kind(void) {
    sy__json_document d = parsed(" { \"a\" : [1, -2.5e3, true, false, null, \"x\"], \"b\":{\"c\":"
                                 "{\"d\":7}}, \"n\":null, \"big\":18446744073709551615 } ");
    sy__json_index a = sy__json_member(&d, 0, "a"), item = sy__json_first(&d, a);
    static const sy__json_kind kinds[] = {SY__JSON_NUMBER, SY__JSON_NUMBER, SY__JSON_TRUE,
                                          SY__JSON_FALSE,  SY__JSON_NULL,   SY__JSON_STRING};
    CHECK(sy__json_n(&d, 0) == 4 && sy__json_n(&d, a) == 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK(sy__json_kind_of(&d, item) == kinds[i]);
        item = sy__json_next(&d, item);
    }
    uint64_t number = 0;
    double real = 0;
    item = sy__json_first(&d, a);
    CHECK(sy__json_u64_of(&d, item, &number) && number == 1);
    CHECK(!sy__json_u64_of(&d, sy__json_next(&d, item), &number));
    CHECK(sy__json_f64_of(&d, sy__json_next(&d, item), &real) && real == -2500.0);
    CHECK(sy__json_u64_of(&d, sy__json_find(&d, 0, "b.c.d"), &number) && number == 7);
    CHECK(sy__json_find(&d, 0, "b.x.d") == SY__JSON_NONE);
    CHECK(sy__json_member(&d, 0, "n") == SY__JSON_NONE);                 /* null counts as absent */
    CHECK(!sy__json_u64_of(&d, sy__json_member(&d, 0, "big"), &number)); /* near the end: refused */
    CHECK(sy__json_bool_of(&d, SY__JSON_NONE, true) && !sy__json_bool_of(&d, SY__JSON_NONE, false));
    sy__json_document_deinit(&d);
}

static void decodes_escapes(void) {
    sy__json_document d =
        parsed("[\"plain\", \"\\u0120\\n\\\"\\\\\\/\\ud83d\\ude00z\", \"\\u0000\"]");
    sy__arena arena;
    const char *text = NULL;
    size_t n = 0;
    sy__arena_init(&arena, sy_allocator_heap(), 0);
    sy__json_index i = sy__json_first(&d, 0);
    CHECK(sy__json_is(&d, i, "plain") && sy__json_text(&d, i, &arena, &text, &n) && n == 5);
    i = sy__json_next(&d, i);
    CHECK(sy__json_text(&d, i, &arena, &text, &n));
    static const char wanted[] = "\xc4\xa0\n\"\\/\xf0\x9f\x98\x80z";
    CHECK(n == sizeof(wanted) - 1 && memcmp(text, wanted, n) == 0);
    CHECK(sy__json_is(&d, i, wanted) && !sy__json_is(&d, i, "\xc4\xa0"));
    i = sy__json_next(&d, i);
    CHECK(sy__json_text(&d, i, &arena, &text, &n) && n == 1 && text[0] == '\0');
    CHECK(!sy__json_text(&d, 0, &arena, &text, &n));
    sy__arena_deinit(&arena);
    sy__json_document_deinit(&d);
}

static void refuses_what_is_no_json(void) {
    static const char *const bad[] = {
        "",
        "{",
        "}",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[-]",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\t\"",
        "tru",
        "[nul]",
        "[] []",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "{\"a\":1,}",
        "[,1]",
        "\"\\udc00\"",
        "\"\xed\xa0\x80\"",
        "'a'",
        "[1],",
        "[1111111111111111111111111111111111111111111111111111111111111111]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy__json_document d;
        sy_error error;
        sy_status status = sy__json_parse(NULL, bad[i], strlen(bad[i]), "test", &d, &error);
        CHECK_TEXT(status == SY_DATA_LOSS, "'%s': %u", bad[i], status);
        CHECK(error.message[0] != '\0' && error.hint[0] != '\0');
        CHECK(error.file_offset <= strlen(bad[i]));
    }
}

static void bounds_depth(void) {
    char text[200];
    for (size_t depth = 63; depth <= 65; depth++) {
        sy__json_document d;
        sy_error error;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        sy_status status = sy__json_parse(NULL, text, 2 * depth, "test", &d, &error);
        CHECK(status == (depth <= SY__JSON_DEPTH_MAX ? SY_OK : SY_OUT_OF_RANGE));
        if (status == SY_OK) {
            sy__json_document_deinit(&d);
        }
    }
}

static void survives_cuts(void) {
    static const char text[] = "{\"a\":[1,2.5e-3,{\"b\":\"\\u00e9\\ud83d\\ude00\"}],\"c\":null}";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        char *exact = malloc(n + 1); /* so that the sanitizer sees a read behind the end */
        sy__json_document d;
        CHECK(exact != NULL);
        memcpy(exact, text, n);
        char *shrunk = realloc(exact, n > 0 ? n : 1);
        CHECK(shrunk != NULL);
        CHECK(sy__json_parse(NULL, shrunk, n, "cut", &d, NULL) == SY_DATA_LOSS);
        free(shrunk);
    }
}

static const sy_test_case cases[] = {
    {"reads_every_kind", reads_every_kind},
    {"decodes_escapes", decodes_escapes},
    {"refuses_what_is_no_json", refuses_what_is_no_json},
    {"bounds_depth", bounds_depth},
    {"survives_cuts", survives_cuts},
};
SY_TEST_MAIN(cases)
