/* SPDX-License-Identifier: Apache-2.0 */
/* Decides what a line is before inih sees it, so that inih's lenient readings never come up. */
#include "ini_internal.h"

#include "switchyard/limits.h"

#include <string.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static bool is_key_character(char c) {
    return is_word(c) || c == '*' || c == '?' || c == '/';
}

static size_t trim_right(const char *text, size_t n_bytes) {
    while (n_bytes > 0 && is_space(text[n_bytes - 1])) {
        n_bytes--;
    }
    return n_bytes;
}

static sy_status refuse(sy_error *error, const char *message, const char *hint) {
    sy_error_set(error, SY_INVALID_ARGUMENT, "%s", message);
    sy_error_hint(error, "%s", hint);
    return SY_INVALID_ARGUMENT;
}

/* "[name]" or "[kind name]": words with single spaces between, nothing behind the bracket. */
static sy_status scan_section(const char *line, size_t n_bytes, sy__ini_line *out_line,
                              sy_error *error) {
    const char *close = memchr(line, ']', n_bytes);
    if (close == NULL) {
        return refuse(error, "A section line has no closing bracket.", "Write [name].");
    }
    size_t n_name = (size_t)(close - line) - 1;
    if (trim_right(line, n_bytes) != n_name + 2) {
        return refuse(error, "Something follows the closing bracket of a section.",
                      "Comments stand on a line of their own.");
    }
    if (n_name > SY__INI_SECTION_BYTES) {
        return refuse(error, "The section name is longer than 48 bytes.", "Use a shorter name.");
    }
    for (size_t i = 0; i < n_name; i++) {
        bool is_inner_space = line[1 + i] == ' ' && i > 0 && i + 1 < n_name && line[i] != ' ';
        if (!is_word(line[1 + i]) && !is_inner_space) {
            return refuse(error, "The section name has a character that is not allowed.",
                          "Names are made of letters, digits, '_', '-', '.' and one space.");
        }
    }
    if (n_name == 0) {
        return refuse(error, "The section has no name.", "Write [name].");
    }
    *out_line = (sy__ini_line){SY__INI_SECTION, line + 1, n_name, NULL, 0};
    return SY_OK;
}

static sy_status check_value(const char *value, size_t n_value, sy_error *error) {
    if (n_value == 0) {
        return refuse(error, "The key has no value.",
                      "Write key = value, or put # before the line to leave it out.");
    }
    if (value[0] == '"' || value[0] == '\'') {
        return refuse(error, "The value begins with a quotation mark.",
                      "Values are written without quotation marks.");
    }
    for (size_t i = 0; i < n_value; i++) {
        bool starts_word = i == 0 || is_space(value[i - 1]);
        if (starts_word && (value[i] == ';' || value[i] == '#')) {
            return refuse(error, "A comment stands behind the value.",
                          "Comments stand on a line of their own.");
        }
    }
    return SY_OK;
}

static sy_status scan_key(const char *line, size_t n_bytes, sy__ini_line *out_line,
                          sy_error *error) {
    const char *equals = memchr(line, '=', n_bytes);
    if (equals == NULL) {
        return refuse(error, "The line is no [section], no comment and no \"key = value\".",
                      "Put # before it to make it a comment.");
    }
    size_t n_name = trim_right(line, (size_t)(equals - line));
    if (n_name == 0 || n_name > SY__INI_KEY_BYTES) {
        return refuse(error, "The key is empty or longer than 127 bytes.", "Write key = value.");
    }
    for (size_t i = 0; i < n_name; i++) {
        if (!is_key_character(line[i])) {
            return refuse(error, "The key has a character that is not allowed.",
                          "Keys are made of letters, digits, _ - . / and the globs * and ?; "
                          "write ? for any other character of a node name.");
        }
    }
    const char *value = equals + 1;
    size_t n_value = (size_t)(line + n_bytes - value);
    while (n_value > 0 && is_space(*value)) {
        value++;
        n_value--;
    }
    n_value = trim_right(value, n_value);
    sy_status status = check_value(value, n_value, error);
    if (status != SY_OK) {
        return status;
    }
    *out_line = (sy__ini_line){SY__INI_KEY, line, n_name, value, n_value};
    return SY_OK;
}

sy_status sy__ini_scan_line(const char *line, size_t n_bytes, sy__ini_line *out_line,
                            sy_error *error) {
    if (n_bytes > SY_LIMIT_INI_LINE_BYTES) {
        sy_error_set(error, SY_OUT_OF_RANGE, "The line has %zu bytes; at most %u are read.",
                     n_bytes, SY_LIMIT_INI_LINE_BYTES);
        sy_error_hint(error, "Split a list over several keys or shorten the comment.");
        return SY_OUT_OF_RANGE;
    }
    if (trim_right(line, n_bytes) == 0) {
        *out_line = (sy__ini_line){SY__INI_BLANK, NULL, 0, NULL, 0};
        return SY_OK;
    }
    if (line[0] == '#' || line[0] == ';') {
        *out_line = (sy__ini_line){SY__INI_COMMENT, NULL, 0, NULL, 0};
        return SY_OK;
    }
    if (is_space(line[0])) {
        return refuse(error, "The line is indented; some readers take that for a continuation.",
                      "Remove the blanks before it.");
    }
    return line[0] == '[' ? scan_section(line, n_bytes, out_line, error)
                          : scan_key(line, n_bytes, out_line, error);
}

/* Decodes one character; 0 bytes when it is no UTF-8 (overlong, surrogate, past U+10FFFF). */
static size_t decode(const unsigned char *bytes, size_t n_bytes, uint32_t *out_character) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = bytes[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (n == 0 || n > n_bytes || lead > 0xf4) {
        return 0;
    }
    uint32_t character = n == 1 ? lead : lead & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((bytes[i] & 0xc0u) != 0x80u) {
            return 0;
        }
        character = character << 6 | (bytes[i] & 0x3fu);
    }
    bool is_bad = character < least[n] || character > 0x10ffff ||
                  (character >= 0xd800 && character <= 0xdfff);
    *out_character = character;
    return is_bad ? 0 : n;
}

/* Characters that hide or reorder text, so that a reader sees another file than the program. */
static bool is_deceptive(uint32_t c) {
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2069) || c == 0x061c || c == 0xfeff;
}

static const char *character_problem(uint32_t c, bool is_before_newline) {
    if (c == 0) {
        return "The text holds a NUL byte.";
    }
    if (c == '\r' ? !is_before_newline : (c < 0x20 && c != '\t' && c != '\n')) {
        return "The text holds a control character.";
    }
    if (c == 0x7f || (c >= 0x80 && c < 0xa0)) {
        return "The text holds a control character.";
    }
    return is_deceptive(c) ? "The text holds a character that hides or reorders text." : NULL;
}

sy_status sy__ini_scan_characters(const char *bytes, size_t n_bytes, uint32_t *out_line,
                                  sy_error *error) {
    *out_line = 1;
    if (n_bytes >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        return refuse(error, "The file begins with a byte order mark.",
                      "Save it as UTF-8 without byte order mark.");
    }
    for (size_t i = 0; i < n_bytes;) {
        uint32_t character = 0;
        size_t n = decode((const unsigned char *)bytes + i, n_bytes - i, &character);
        if (n == 0) {
            return refuse(error, "The text is not valid UTF-8.", "Save the file as UTF-8.");
        }
        i += n;
        const char *problem = character_problem(character, i < n_bytes && bytes[i] == '\n');
        if (problem != NULL) {
            return refuse(error, problem, "Remove it; the file must be plain text.");
        }
        *out_line += character == '\n';
    }
    return SY_OK;
}
