/* SPDX-License-Identifier: Apache-2.0 */
#include "chat/family.h"

#include <string.h>

#define LAST_MESSAGE_FORMS 4u

static void fill(sy_chat_format *format, uint32_t i_family) {
    const sy__chat_family *family = &sy__chat_families[i_family];
    memset(format, 0, sizeof *format);
    format->name = family->name;
    format->i_family = i_family;
    format->adds_begin = (family->flags & SY__CHAT_BEGIN) != 0;
    format->default_system.bytes = format->prefix.bytes = format->suffix.bytes = "";
    while (format->n_stops < SY_CHAT_STOPS && family->stops[format->n_stops] != NULL) {
        format->stops[format->n_stops] = family->stops[format->n_stops];
        format->n_stops++;
    }
}

static int fits(const sy__chat_family *family, const char *text) {
    for (size_t i = 0; i < 4 && family->marks[i] != NULL; i++) {
        if (strstr(text, family->marks[i]) == NULL) {
            return 0;
        }
    }
    for (size_t i = 0; i < 2 && family->no_marks[i] != NULL; i++) {
        if (strstr(text, family->no_marks[i]) != NULL) {
            return 0;
        }
    }
    return 1;
}

/* ChatML templates often hold a system text of their own: plain words between the opening of a
 * system turn and its end. */
static void find_default_system(const char *text, sy_chat_format *format) {
    static const char open[] = "<|im_start|>system";
    for (const char *at = strstr(text, open); at != NULL; at = strstr(at + 1, open)) {
        const char *words = at + sizeof open - 1;
        if (strncmp(words, "\\n", 2) == 0) {
            words += 2;
        } else if (*words == '\n') {
            words++;
        } else {
            continue;
        }
        const char *end = strstr(words, "<|im_end|>");
        if (end == NULL || *words == '\'' || *words == '"' ||
            memchr(words, '{', (size_t)(end - words)) != NULL ||
            memchr(words, '\\', (size_t)(end - words)) != NULL ||
            memchr(words, '\'', (size_t)(end - words)) != NULL) {
            continue;
        }
        format->default_system.bytes = words;
        format->default_system.n_bytes = (size_t)(end - words);
        return;
    }
}

/* "prefix{{ messages[-1]['content'] }}suffix" and nothing else. */
static int find_plain(const char *text, sy_chat_format *format) {
    static const char *const forms[LAST_MESSAGE_FORMS] = {
        "messages[-1]['content']", "messages[-1][\"content\"]", "messages[-1].content",
        "messages[0]['content']"};
    const char *open = strstr(text, "{{");
    const char *close = open != NULL ? strstr(open, "}}") : NULL;
    if (close == NULL || strstr(text, "{%") != NULL || strstr(text, "{#") != NULL ||
        strstr(close, "{{") != NULL) {
        return 0;
    }
    const char *words = open + 2, *end = close;
    while (*words == ' ') {
        words++;
    }
    while (end > words && end[-1] == ' ') {
        end--;
    }
    for (uint32_t i = 0; i < LAST_MESSAGE_FORMS; i++) {
        size_t n = strlen(forms[i]);
        if ((size_t)(end - words) == n && memcmp(words, forms[i], n) == 0) {
            format->prefix.bytes = text;
            format->prefix.n_bytes = (size_t)(open - text);
            format->suffix.bytes = close + 2;
            format->suffix.n_bytes = strlen(close + 2);
            return 1;
        }
    }
    return 0;
}

sy_status sy_chat_recognise(const char *template_text, sy_chat_format *out_format,
                            sy_error *error) {
    if (template_text == NULL || template_text[0] == '\0') {
        sy_error_set(error, SY_NOT_FOUND, "The model has no chat template.");
        sy_error_hint(error, "Use --raw to send the prompt as it is, or --chat-template NAME.");
        return SY_NOT_FOUND;
    }
    sy_chat_format format;
    fill(&format, sy__chat_n_families - 1);
    if (find_plain(template_text, &format)) {
        *out_format = format;
        return SY_OK;
    }
    for (uint32_t i = 0; i < sy__chat_n_families; i++) {
        if (fits(&sy__chat_families[i], template_text)) {
            fill(&format, i);
            if ((sy__chat_families[i].flags & SY__CHAT_DEFAULT_SYSTEM) != 0) {
                find_default_system(template_text, &format);
            }
            *out_format = format;
            return SY_OK;
        }
    }
    sy_error_set(error, SY_UNIMPLEMENTED, "The model's chat template is of no known family.");
    sy_error_hint(error, "Use --raw to send the prompt as it is, or --chat-template NAME "
                         "(for example chatml, llama3, gemma).");
    return SY_UNIMPLEMENTED;
}

sy_status sy_chat_find(const char *name, sy_chat_format *out_format, sy_error *error) {
    for (uint32_t i = 0; i + 1 < sy__chat_n_families; i++) { /* "plain" needs a template */
        if (strcmp(sy__chat_families[i].name, name) == 0) {
            fill(out_format, i);
            return SY_OK;
        }
    }
    char names[SY_ERROR_HINT_BYTES] = "";
    size_t n = 0;
    for (uint32_t i = 0; i + 1 < sy__chat_n_families; i++) {
        size_t length = strlen(sy__chat_families[i].name);
        if (n + length + 2 < sizeof names) {
            names[n++] = ' ';
            memcpy(names + n, sy__chat_families[i].name, length + 1);
            n += length;
        }
    }
    sy_error_set(error, SY_NOT_FOUND, "There is no chat format named \"%.64s\".", name);
    sy_error_hint(error, "Known are%s.", names);
    return SY_NOT_FOUND;
}

const char *sy_chat_name(uint32_t i_format) {
    return i_format < sy__chat_n_families ? sy__chat_families[i_format].name : NULL;
}
