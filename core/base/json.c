/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define JSON_DEPTH ((uint32_t)(sizeof(((sy__json *)0)->need_comma) / sizeof(bool)))

void sy__json_init(sy__json *json, sy__text *text, bool pretty) {
    memset(json, 0, sizeof(*json));
    json->text = text;
    json->pretty = pretty;
}

static void json_new_line(sy__json *json) {
    if (!json->pretty || json->depth == 0) {
        return;
    }
    sy__text_append(json->text, "\n", 1);
    for (uint32_t i = 0; i < json->depth; i++) {
        sy__text_append(json->text, "  ", 2);
    }
}

/* What stands before every key and every value of an array. */
static void json_separate(sy__json *json) {
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->need_comma[json->depth]) {
        sy__text_append(json->text, ",", 1);
    }
    json->need_comma[json->depth] = true;
    json_new_line(json);
}

static void json_begin(sy__json *json, const char *bracket) {
    json_separate(json);
    sy__text_append(json->text, bracket, 1);
    if (json->depth + 1 >= JSON_DEPTH) {
        json->text->status = SY_OUT_OF_RANGE;
        return;
    }
    json->need_comma[++json->depth] = false;
}

static void json_end(sy__json *json, const char *bracket) {
    if (json->depth == 0) {
        json->text->status = SY_INTERNAL; /* more ends than begins */
        return;
    }
    bool has_members = json->need_comma[json->depth--];
    if (has_members && json->pretty) {
        sy__text_append(json->text, "\n", 1);
        for (uint32_t i = 0; i < json->depth; i++) {
            sy__text_append(json->text, "  ", 2);
        }
    }
    sy__text_append(json->text, bracket, 1);
}

void sy__json_begin_object(sy__json *json) {
    json_begin(json, "{");
}
void sy__json_end_object(sy__json *json) {
    json_end(json, "}");
}
void sy__json_begin_array(sy__json *json) {
    json_begin(json, "[");
}
void sy__json_end_array(sy__json *json) {
    json_end(json, "]");
}

static void json_escape(sy__text *text, unsigned char byte) {
    switch (byte) {
    case '"':
        sy__text_append(text, "\\\"", 2);
        break;
    case '\\':
        sy__text_append(text, "\\\\", 2);
        break;
    case '\n':
        sy__text_append(text, "\\n", 2);
        break;
    case '\r':
        sy__text_append(text, "\\r", 2);
        break;
    case '\t':
        sy__text_append(text, "\\t", 2);
        break;
    default:
        sy__text_printf(text, "\\u%04x", byte);
        break;
    }
}

static void json_write_string(sy__text *text, const char *string) {
    const unsigned char *next = (const unsigned char *)string;
    sy__text_append(text, "\"", 1);
    while (*next != '\0') {
        size_t length = sy__utf8_length(next, strnlen((const char *)next, 4));
        if (length == 0) {
            sy__text_append(text, "\xef\xbf\xbd", 3); /* U+FFFD */
            next++;
        } else if (length == 1 && (*next < 0x20 || *next == '"' || *next == '\\')) {
            json_escape(text, *next++);
        } else {
            sy__text_append(text, (const char *)next, length);
            next += length;
        }
    }
    sy__text_append(text, "\"", 1);
}

void sy__json_key(sy__json *json, const char *key) {
    json_separate(json);
    json_write_string(json->text, key);
    sy__text_append(json->text, ": ", json->pretty ? 2 : 1);
    json->after_key = true;
}

void sy__json_string(sy__json *json, const char *string) {
    json_separate(json);
    if (string == NULL) {
        sy__text_puts(json->text, "null");
    } else {
        json_write_string(json->text, string);
    }
}

void sy__json_i64(sy__json *json, int64_t value) {
    json_separate(json);
    sy__text_printf(json->text, "%" PRId64, value);
}

void sy__json_u64(sy__json *json, uint64_t value) {
    json_separate(json);
    sy__text_printf(json->text, "%" PRIu64, value);
}

void sy__json_f64(sy__json *json, double value) {
    json_separate(json);
    if (!isfinite(value)) {
        sy__text_puts(json->text, "null");
        return;
    }
    char number[32];
    snprintf(number, sizeof(number), "%.9g", value);
    char *comma = strchr(number, ','); /* some locales write one */
    if (comma != NULL) {
        *comma = '.';
    }
    sy__text_puts(json->text, number);
}

void sy__json_bool(sy__json *json, bool value) {
    json_separate(json);
    sy__text_puts(json->text, value ? "true" : "false");
}
