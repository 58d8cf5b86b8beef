/* SPDX-License-Identifier: Apache-2.0 */
/* What values look like: one check per type, and the conversions of what passed. */
#include "ini_internal.h"

#include "base/affinity.h"
#include "base/checked.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sy_ini_item(const char **inout_cursor, size_t *out_n_bytes) {
    const char *start = *inout_cursor;
    if (start == NULL) {
        return NULL;
    }
    const char *comma = strchr(start, ',');
    const char *end = comma != NULL ? comma : start + strlen(start);
    *inout_cursor = comma != NULL ? comma + 1 : NULL;
    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    *out_n_bytes = (size_t)(end - start);
    return start;
}

int32_t sy_ini_choice(const char *choices, const char *value) {
    size_t n_value = strlen(value);
    for (int32_t i = 0; choices != NULL; i++) {
        size_t n = strcspn(choices, "|");
        if (n == n_value && memcmp(choices, value, n) == 0) {
            return i;
        }
        choices = choices[n] == '|' ? choices + n + 1 : NULL;
    }
    return -1;
}

/* Decimal digits, at least one; *out_end is what follows. */
static bool parse_digits(const char *text, uint64_t *out_value, const char **out_end) {
    uint64_t value = 0;
    const char *c = text;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (!sy__mul_u64(value, 10, &value) || !sy__add_u64(value, (uint64_t)(*c - '0'), &value)) {
            return false;
        }
    }
    *out_value = value;
    *out_end = c;
    return c != text;
}

/* "12", "-0.5", "2.25": no exponent, no locale, so that a file means the same everywhere. */
static bool parse_number(const char *text, double *out_value, const char **out_end) {
    bool is_negative = *text == '-';
    uint64_t whole = 0, fraction = 0;
    const char *end = text + is_negative, *fraction_start = NULL;
    if (!parse_digits(end, &whole, &end)) {
        return false;
    }
    double value = (double)whole;
    if (*end == '.') {
        fraction_start = end + 1;
        if (!parse_digits(fraction_start, &fraction, &end) || end - fraction_start > 9) {
            return false;
        }
        double scale = 1;
        for (const char *c = fraction_start; c < end; c++) {
            scale *= 10;
        }
        value += (double)fraction / scale;
    }
    *out_value = is_negative ? -value : value;
    *out_end = end;
    return true;
}

static bool parse_bytes(const char *text, uint64_t *out_bytes) {
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
    uint64_t value = 0;
    const char *unit = NULL;
    if (!parse_digits(text, &value, &unit)) {
        return false;
    }
    unit += *unit == ' ';
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0) {
            return sy__mul_u64(value, units[i].bytes, out_bytes);
        }
    }
    return false;
}

static bool has_only(const char *text, size_t n_bytes, const char *more) {
    for (size_t i = 0; i < n_bytes; i++) {
        bool is_plain = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9');
        if (!is_plain && strchr(more, text[i]) == NULL) {
            return false;
        }
    }
    return n_bytes > 0;
}

/* "npu", "gpu-*", "gpu-vulkan:Adreno (TM) 740": the device part is free but for commas, and begins
 * with no blank. */
static bool is_selector(const char *text, size_t n_bytes) {
    const char *colon = memchr(text, ':', n_bytes);
    size_t n_name = colon != NULL ? (size_t)(colon - text) : n_bytes;
    if (colon != NULL &&
        (n_name + 1 == n_bytes || colon[1] == ' ' || strcspn(colon, "\t,") < n_bytes - n_name)) {
        return false;
    }
    return has_only(text, n_name, "-*?") && n_bytes < 128;
}

static bool is_in_list_before(const char *list, const char *item, size_t n_bytes) {
    const char *cursor = list;
    size_t n = 0;
    for (const char *other = sy_ini_item(&cursor, &n); other != NULL && other < item;
         other = sy_ini_item(&cursor, &n)) {
        if (n == n_bytes && memcmp(other, item, n) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_path(const char *text, size_t n_bytes) {
    if (text[0] != '/') {
        return false;
    }
    for (size_t i = 0; i + 2 < n_bytes; i++) {
        bool ends = i + 3 == n_bytes || text[i + 3] == '/';
        if (text[i] == '/' && text[i + 1] == '.' && text[i + 2] == '.' && ends) {
            return false;
        }
    }
    return true;
}

static bool is_list(const sy_ini_rule *rule, const char *value) {
    const char *cursor = value;
    size_t n = 0;
    for (const char *item = sy_ini_item(&cursor, &n); item != NULL;
         item = sy_ini_item(&cursor, &n)) {
        bool is_good = rule->type == SY_INI_SELECTORS ? is_selector(item, n)
                       : rule->type == SY_INI_PATHS   ? n > 0 && is_path(item, n)
                                                      : n > 0 && memchr(item, ' ', n) == NULL;
        if (!is_good || is_in_list_before(value, item, n)) {
            return false;
        }
    }
    return true;
}

static bool is_sha256(const char *value) {
    return strlen(value) == 64 && strspn(value, "0123456789abcdef") == 64;
}

static bool is_abi(const char *value) {
    uint64_t major = 0, minor = 0;
    const char *end = NULL;
    return parse_digits(value, &major, &end) && *end == '.' &&
           parse_digits(end + 1, &minor, &end) && *end == '\0' && major < 0x8000 && minor < 0x10000;
}

static bool is_file_name(const char *value) {
    return strchr(value, '/') == NULL && value[0] != '.' && strlen(value) < 100;
}

/* The value as a number when the whole text is one of the rule's kind. */
static bool to_number(const sy_ini_rule *rule, const char *value, double *out_number) {
    const char *end = value;
    uint64_t whole = 0;
    bool is_good = false;
    if (rule->type == SY_INI_COUNT && sy_ini_choice(rule->choices, value) >= 0) {
        is_good = true;
        *out_number = 0;
    } else if (rule->type == SY_INI_COUNT) {
        is_good = parse_digits(value, &whole, &end) && *end == '\0';
        *out_number = (double)whole;
    } else if (rule->type == SY_INI_BYTES) {
        is_good = parse_bytes(value, &whole);
        *out_number = (double)whole;
    } else if (rule->type == SY_INI_NUMBER || rule->type == SY_INI_PERCENT) {
        is_good = parse_number(value, out_number, &end);
        if (is_good && rule->type == SY_INI_PERCENT) {
            end += *end == ' ';
            end += *end == '%';
        }
        is_good = is_good && *end == '\0';
    }
    return is_good;
}

double sy_ini_number(const sy_ini_rule *rule, const char *value) {
    double number = 0;
    return to_number(rule, value, &number) ? number : 0;
}

uint64_t sy_ini_u64(const sy_ini_rule *rule, const char *value) {
    uint64_t whole = 0;
    const char *end = NULL;
    bool is_good =
        rule->type == SY_INI_BYTES ? parse_bytes(value, &whole) : parse_digits(value, &whole, &end);
    return is_good ? whole : 0;
}

static sy_status check_choice(const sy_ini_rule *rule, const char *value, sy_error *error) {
    if (sy_ini_choice(rule->choices, value) >= 0) {
        return SY_OK;
    }
    if (sy_ini_choice(rule->later, value) >= 0) {
        sy_error_set(error, SY_UNIMPLEMENTED, "%s = %s belongs to a later version.", rule->key,
                     value);
        sy_error_hint(error, "This version knows: %s.", rule->choices);
        return SY_UNIMPLEMENTED;
    }
    sy_error_set(error, SY_INVALID_ARGUMENT, "%s = %s is none of %s.", rule->key, value,
                 rule->choices);
    const char *best = NULL;
    uint32_t distance = 0;
    char words[128];
    snprintf(words, sizeof(words), "%s", rule->choices);
    char *rest = words;
    for (char *word = strsep(&rest, "|"); word != NULL; word = strsep(&rest, "|")) {
        sy__ini_suggest(value, word, &best, &distance);
    }
    if (best != NULL) {
        sy_error_hint(error, "Did you mean %s?", best);
    } else {
        sy_error_hint(error, "Write one of them.");
    }
    return SY_INVALID_ARGUMENT;
}

static sy_status check_number(const sy_ini_rule *rule, const char *value, sy_error *error) {
    double number = 0;
    if (!to_number(rule, value, &number)) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "%s = %s is not a %s.", rule->key, value,
                     rule->type == SY_INI_BYTES   ? "size in bytes"
                     : rule->type == SY_INI_COUNT ? "whole number"
                                                  : "decimal number");
        sy_error_hint(error,
                      rule->type == SY_INI_BYTES ? "Write a whole number and a unit, as in "
                                                   "512 MiB; units are B, KiB, MiB, GiB."
                                                 : "Write it with digits, as in %g.",
                      rule->least + (rule->type == SY_INI_COUNT ? 1 : 0.5));
        return SY_INVALID_ARGUMENT;
    }
    if (number < rule->least || number > rule->most) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "%s = %s is outside %.10g to %.10g.", rule->key,
                     value, rule->least, rule->most);
        sy_error_hint(error, "Choose a value within the range.");
        return SY_INVALID_ARGUMENT;
    }
    return SY_OK;
}

sy_status sy_ini_check_value(const sy_ini_rule *rule, const char *value, sy_error *error) {
    static const char *const hints[] = {
        [SY_INI_TEXT] = "",
        [SY_INI_NAME] = "a name: small letters, digits and '-'",
        [SY_INI_SELECTOR] = "one delegate: npu, gpu, cpu, dsp, a plugin name or name:device",
        [SY_INI_SELECTORS] = "a list of delegates (npu, gpu, cpu, dsp, plugin names), none twice",
        [SY_INI_PATHS] = "a list of absolute paths without .., none twice",
        [SY_INI_WORDS] = "a list of words with commas between, none twice",
        [SY_INI_PATH] = "an absolute path without ..",
        [SY_INI_SHA256] = "64 hexadecimal digits in small letters",
        [SY_INI_ABI] = "an ABI version, as in 0.9",
        [SY_INI_FILE] = "a file name without folder"};
    bool is_good = true;
    sy__cpus cpus;
    switch (rule->type) {
    case SY_INI_COUNT:
    case SY_INI_NUMBER:
    case SY_INI_PERCENT:
    case SY_INI_BYTES:
        return check_number(rule, value, error);
    case SY_INI_CHOICE:
        return check_choice(rule, value, error);
    case SY_INI_CPUS:
        return sy__affinity_parse(value, &cpus, error);
    case SY_INI_TEXT:
        return SY_OK;
    case SY_INI_NAME:
        is_good = has_only(value, strlen(value), "-") && value[0] >= 'a' && strlen(value) < 64;
        break;
    case SY_INI_SELECTOR:
        is_good = is_selector(value, strlen(value));
        break;
    case SY_INI_SELECTORS:
    case SY_INI_PATHS:
    case SY_INI_WORDS:
        is_good = is_list(rule, value);
        break;
    case SY_INI_PATH:
        is_good = is_path(value, strlen(value));
        break;
    case SY_INI_SHA256:
        is_good = is_sha256(value);
        break;
    case SY_INI_ABI:
        is_good = is_abi(value);
        break;
    case SY_INI_FILE:
        is_good = is_file_name(value);
        break;
    }
    if (!is_good) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "%s = %s cannot be understood.", rule->key, value);
        sy_error_hint(error, "Write %s.", hints[rule->type]);
        return SY_INVALID_ARGUMENT;
    }
    return SY_OK;
}
