/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/text.h"

static char *take(sy__text *text) {
    char *string = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy__text_take(text, &string, &error), error);
    return string;
}

static void text_grows_and_hands_over(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    sy__text text;
    sy__text_init(&text, &budget.allocator, 0);
    for (int i = 0; i < 1000; i++) {
        sy__text_printf(&text, "%d,", i);
    }
    sy__text_puts(&text, "end");
    char *string = take(&text);
    CHECK(strncmp(string, "0,1,2,", 6) == 0);
    CHECK(strcmp(string + strlen(string) - 7, "999,end") == 0);
    CHECK(budget.used_bytes == strlen(string) + 1);
    sy__text_release(&budget.allocator, string);
    CHECK(budget.used_bytes == 0);
}

static void empty_text_is_an_empty_string(void) {
    sy__text text;
    sy__text_init(&text, NULL, 0);
    char *string = take(&text);
    CHECK(string[0] == '\0');
    sy__text_release(NULL, string);
    sy__text_release(NULL, NULL);
}

static void limit_is_sticky(void) {
    sy__text text;
    sy__text_init(&text, NULL, 10);
    sy__text_puts(&text, "0123456789");
    CHECK(text.status == SY_OK);
    sy__text_puts(&text, "x");
    sy__text_append(&text, "", 0);
    CHECK(text.status == SY_OUT_OF_RANGE);
    char *string = NULL;
    sy_error error;
    CHECK(sy__text_take(&text, &string, &error) == SY_OUT_OF_RANGE && string == NULL);
    CHECK(strstr(error.message, "10 bytes") != NULL);
    sy__text_deinit(&text);
}

static void refused_memory_is_sticky(void) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 100);
    sy__text text;
    sy__text_init(&text, &budget.allocator, 0);
    for (int i = 0; i < 100; i++) {
        sy__text_puts(&text, "0123456789");
    }
    char *string = NULL;
    CHECK(sy__text_take(&text, &string, NULL) == SY_RESOURCE_EXHAUSTED);
    sy__text_deinit(&text);
    CHECK(budget.used_bytes == 0);
}

static void nul_inside_is_refused(void) {
    sy__text text;
    sy__text_init(&text, NULL, 0);
    sy__text_append(&text, "a\0b", 3);
    char *string = NULL;
    CHECK(sy__text_take(&text, &string, NULL) == SY_INVALID_ARGUMENT);
    sy__text_deinit(&text);
}

static void json_matches(bool pretty, const char *expected, void (*write)(sy__json *json)) {
    sy__text text;
    sy__json json;
    sy__text_init(&text, NULL, 0);
    sy__json_init(&json, &text, pretty);
    write(&json);
    char *string = take(&text);
    CHECK_TEXT(strcmp(string, expected) == 0, "wrote %s", string);
    sy__text_release(NULL, string);
}

static void write_document(sy__json *json) {
    sy__json_begin_object(json);
    sy__json_key(json, "empty");
    sy__json_begin_array(json);
    sy__json_end_array(json);
    sy__json_key(json, "list");
    sy__json_begin_array(json);
    sy__json_i64(json, INT64_MIN);
    sy__json_u64(json, UINT64_MAX);
    sy__json_bool(json, true);
    sy__json_begin_object(json);
    sy__json_end_object(json);
    sy__json_end_array(json);
    sy__json_key(json, "name");
    sy__json_string(json, NULL);
    sy__json_end_object(json);
}

static void json_has_its_commas(void) {
    json_matches(false,
                 "{\"empty\":[],\"list\":[-9223372036854775808,18446744073709551615,true,{}],"
                 "\"name\":null}",
                 write_document);
}

static void json_can_be_pretty(void) {
    json_matches(true,
                 "{\n  \"empty\": [],\n  \"list\": [\n    -9223372036854775808,\n"
                 "    18446744073709551615,\n    true,\n    {}\n  ],\n  \"name\": null\n}",
                 write_document);
}

static void write_numbers(sy__json *json) {
    sy__json_begin_array(json);
    sy__json_f64(json, 0.1);
    sy__json_f64(json, 1e30);
    sy__json_f64(json, -0.0);
    sy__json_f64(json, (double)NAN);
    sy__json_f64(json, (double)INFINITY);
    sy__json_end_array(json);
}

static void json_numbers(void) {
    json_matches(false, "[0.1,1e+30,-0,null,null]", write_numbers);
}

static void write_strings(sy__json *json) {
    sy__json_begin_array(json);
    sy__json_string(json, "q\" b\\ n\n r\r t\t c\x01");
    sy__json_string(json, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    sy__json_string(json, "\xff|\xc3|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe0\x80\x80|\xe2\x82");
    sy__json_end_array(json);
}

#define BAD "\xef\xbf\xbd"

static void json_escapes_and_repairs(void) {
    json_matches(
        false,
        "[\"q\\\" b\\\\ n\\n r\\r t\\t c\\u0001\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\","
        "\"" BAD "|" BAD "|" BAD BAD "|" BAD BAD BAD "|" BAD BAD BAD BAD "|" BAD BAD BAD "|" BAD BAD
        "\"]",
        write_strings);
}

static void json_depth_is_bounded(void) {
    sy__text text;
    sy__json json;
    sy__text_init(&text, NULL, 0);
    sy__json_init(&json, &text, false);
    for (int i = 0; i < 100; i++) {
        sy__json_begin_array(&json);
    }
    CHECK(text.status == SY_OUT_OF_RANGE);
    sy__text_deinit(&text);
    sy__text_init(&text, NULL, 0);
    sy__json_init(&json, &text, false);
    sy__json_end_array(&json);
    CHECK(text.status == SY_INTERNAL);
    sy__text_deinit(&text);
}

static const sy_test_case cases[] = {
    {"text_grows_and_hands_over", text_grows_and_hands_over},
    {"empty_text_is_an_empty_string", empty_text_is_an_empty_string},
    {"limit_is_sticky", limit_is_sticky},
    {"refused_memory_is_sticky", refused_memory_is_sticky},
    {"nul_inside_is_refused", nul_inside_is_refused},
    {"json_has_its_commas", json_has_its_commas},
    {"json_can_be_pretty", json_can_be_pretty},
    {"json_numbers", json_numbers},
    {"json_escapes_and_repairs", json_escapes_and_repairs},
    {"json_depth_is_bounded", json_depth_is_bounded},
};
SY_TEST_MAIN(cases)
