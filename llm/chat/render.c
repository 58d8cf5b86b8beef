/* SPDX-License-Identifier: Apache-2.0 */
#include "chat/family.h"
#include "tokenizer/unicode.h"

#include <string.h>

typedef enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_UNKNOWN } role;

/* One rendering: counts, and writes while there is room. */
typedef struct writer {
    const sy_chat_format *format;
    const sy__chat_family *family;
    const sy_chat_message *messages;
    size_t n_messages, i_last_user;
    uint32_t flags;
    char *text;
    size_t n, capacity;
} writer;

static role role_of(const char *name) {
    if (strcmp(name, "system") == 0) {
        return ROLE_SYSTEM;
    }
    if (strcmp(name, "user") == 0) {
        return ROLE_USER;
    }
    return strcmp(name, "assistant") == 0 ? ROLE_ASSISTANT : ROLE_UNKNOWN;
}

static void put_bytes(writer *w, const char *bytes, size_t n) {
    if (w->text != NULL && n <= w->capacity && w->n <= w->capacity - n) {
        memcpy(w->text + w->n, bytes, n);
    }
    w->n += n;
}

static void put(writer *w, const char *text) {
    if (text != NULL) {
        put_bytes(w, text, strlen(text));
    }
}

/* White space as Python's str.strip sees it. */
static bool strips(uint32_t rune) {
    return sy__is_white(rune) || (rune >= 0x1c && rune <= 0x1f);
}

static sy_chat_text trim(sy_chat_text text) {
    uint32_t rune = 0;
    while (text.n_bytes > 0) {
        size_t length = sy__utf8_decode(text.bytes, text.n_bytes, &rune);
        if (length == 0 || !strips(rune)) {
            break;
        }
        text.bytes += length;
        text.n_bytes -= length;
    }
    while (text.n_bytes > 0) {
        size_t length = 1;
        while (length < 4 && length < text.n_bytes &&
               ((uint8_t)text.bytes[text.n_bytes - length] & 0xc0) == 0x80) {
            length++;
        }
        if (sy__utf8_decode(text.bytes + text.n_bytes - length, length, &rune) != length ||
            !strips(rune)) {
            break;
        }
        text.n_bytes -= length;
    }
    return text;
}

static sy_chat_text trim_newlines(sy_chat_text text, bool at_end) {
    while (text.n_bytes > 0 && text.bytes[0] == '\n') {
        text.bytes++;
        text.n_bytes--;
    }
    while (at_end && text.n_bytes > 0 && text.bytes[text.n_bytes - 1] == '\n') {
        text.n_bytes--;
    }
    return text;
}

static sy_chat_text text_of(const char *text) {
    return (sy_chat_text){text, strlen(text)};
}

/* Qwen 3 writes a thought before an answer only after the last question; older ones go. */
static void put_thoughtful(writer *w, size_t i, sy_chat_text content) {
    static const char open[] = "<think>", close[] = "</think>";
    sy_chat_text thought = {"", 0};
    const char *first = strstr(content.bytes, close);
    if (first != NULL) {
        thought = (sy_chat_text){content.bytes, (size_t)(first - content.bytes)};
        for (const char *at = strstr(content.bytes, open); at != NULL && at < first;
             at = strstr(at + 1, open)) {
            thought.bytes = at + sizeof open - 1;
            thought.n_bytes = (size_t)(first - thought.bytes);
        }
        const char *last = first;
        for (const char *at = first; at != NULL; at = strstr(at + 1, close)) {
            last = at;
        }
        last += sizeof close - 1;
        content.n_bytes -= (size_t)(last - content.bytes);
        content.bytes = last;
        content = trim_newlines(content, false);
    }
    thought = trim_newlines(thought, true);
    bool is_last = i + 1 == w->n_messages;
    if (i > w->i_last_user && (is_last || thought.n_bytes > 0)) {
        put(w, "<think>\n");
        put_bytes(w, thought.bytes, thought.n_bytes);
        put(w, "\n</think>\n\n");
        content = trim_newlines(content, false);
    }
    put_bytes(w, content.bytes, content.n_bytes);
}

static void put_content(writer *w, size_t i, role who) {
    uint32_t flags = w->family->flags;
    sy_chat_text content = text_of(w->messages[i].content);
    if (who == ROLE_ASSISTANT && (flags & SY__CHAT_THOUGHTS) != 0) {
        put_thoughtful(w, i, content);
        return;
    }
    bool trims = (flags & SY__CHAT_TRIM) != 0 ||
                 ((flags & SY__CHAT_TRIM_ASSISTANT) != 0 && who == ROLE_ASSISTANT);
    content = trims ? trim(content) : content;
    put_bytes(w, content.bytes, content.n_bytes);
}

/* Puts the system text into a user turn. Llama 2 trims both together. */
static void put_joined(writer *w, size_t i) {
    bool trims_all = w->family->system.open[0] == '<';
    sy_chat_text system = text_of(w->messages[0].content);
    put(w, w->family->system.open);
    put_bytes(w, system.bytes, system.n_bytes);
    put(w, w->family->system.close);
    if (!trims_all) {
        put_content(w, i, ROLE_USER);
        return;
    }
    sy_chat_text content = text_of(w->messages[i].content);
    sy_chat_text trimmed = trim(content);
    /* the joined text begins with a mark: only its end is trimmed */
    put_bytes(w, content.bytes,
              trimmed.n_bytes > 0 ? (size_t)(trimmed.bytes + trimmed.n_bytes - content.bytes) : 0);
}

static void put_user(writer *w, size_t i, bool has_system) {
    uint32_t flags = w->family->flags;
    size_t first = has_system ? 1 : 0;
    bool joins = has_system && (((flags & SY__CHAT_SYSTEM_IN_FIRST) != 0 && i == first) ||
                                ((flags & SY__CHAT_SYSTEM_IN_LAST) != 0 && i + 1 == w->n_messages));
    if ((flags & SY__CHAT_BEGIN_AT_USER) != 0 && i > first) {
        put(w, "<s>");
    }
    put(w, w->family->user.open);
    if (joins) {
        put_joined(w, i);
    } else {
        put_content(w, i, ROLE_USER);
    }
    put(w, w->family->user.close);
    if ((flags & SY__CHAT_ALWAYS_GENERATE) != 0) {
        put(w, w->family->generate);
    }
}

static void put_assistant(writer *w, size_t i) {
    if ((w->family->flags & SY__CHAT_ALWAYS_GENERATE) == 0 || i == 0) {
        put(w, w->family->assistant.open);
    }
    put_content(w, i, ROLE_ASSISTANT);
    put(w, w->family->assistant.close);
}

static void put_system(writer *w, size_t i) {
    uint32_t flags = w->family->flags;
    if ((flags & SY__CHAT_SKIP_EMPTY_SYSTEM) != 0 && w->messages[i].content[0] == '\0') {
        return;
    }
    put(w, w->family->system.open);
    put_content(w, i, ROLE_SYSTEM);
    put(w, w->family->system.close);
}

static void put_default_system(writer *w) {
    if (w->format->default_system.n_bytes > 0 || (w->family->flags & SY__CHAT_SYSTEM_ALWAYS) != 0) {
        put(w, w->family->system.open);
        put_bytes(w, w->format->default_system.bytes, w->format->default_system.n_bytes);
        put(w, w->family->system.close);
    }
}

static void render(writer *w) {
    uint32_t flags = w->family->flags;
    bool joins = (flags & (SY__CHAT_SYSTEM_IN_FIRST | SY__CHAT_SYSTEM_IN_LAST)) != 0;
    bool has_system = role_of(w->messages[0].role) == ROLE_SYSTEM;
    if ((flags & SY__CHAT_LAST_ONLY) != 0) {
        put_bytes(w, w->format->prefix.bytes, w->format->prefix.n_bytes);
        put(w, w->messages[w->n_messages - 1].content);
        put_bytes(w, w->format->suffix.bytes, w->format->suffix.n_bytes);
        return;
    }
    if (!has_system) {
        put_default_system(w);
    }
    for (size_t i = 0; i < w->n_messages; i++) {
        role who = role_of(w->messages[i].role);
        if (who == ROLE_USER) {
            put_user(w, i, has_system);
        } else if (who == ROLE_ASSISTANT) {
            put_assistant(w, i);
        } else if (!joins) {
            put_system(w, i);
        }
    }
    if ((w->flags & SY_CHAT_GENERATE) == 0) {
        put(w, w->family->end);
    } else if ((flags & SY__CHAT_ALWAYS_GENERATE) == 0) {
        put(w, w->family->generate);
        if ((flags & SY__CHAT_THOUGHTS) != 0 && (w->flags & SY_CHAT_NO_THINK) != 0) {
            put(w, "<think>\n\n</think>\n\n");
        }
    }
}

/* Marks that would end a turn or begin one inside a message. */
static const char *mark_in(const sy__chat_family *family, const char *content) {
    const char *const marks[] = {family->system.open,    family->system.close,
                                 family->user.open,      family->user.close,
                                 family->assistant.open, family->assistant.close};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (marks[i] != NULL && strlen(marks[i]) > 3 && strstr(content, marks[i]) != NULL) {
            return marks[i];
        }
    }
    for (size_t i = 0; i < SY_CHAT_STOPS && family->stops[i] != NULL; i++) {
        if (strstr(content, family->stops[i]) != NULL) {
            return family->stops[i];
        }
    }
    return NULL;
}

static sy_status check_message(writer *w, size_t i, bool *user_is_next, sy_error *error) {
    const sy__chat_family *family = w->family;
    const sy_chat_message *message = &w->messages[i];
    role who = message->role != NULL ? role_of(message->role) : ROLE_UNKNOWN;
    if (who == ROLE_UNKNOWN || message->content == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Message %zu has no content or the role \"%.32s\"; roles are system, "
                            "user and assistant.",
                            i, message->role != NULL ? message->role : "");
    }
    bool ordered = (family->flags & SY__CHAT_ALTERNATE) != 0;
    if (who == ROLE_SYSTEM && family->system.open == NULL &&
        (family->flags & SY__CHAT_LAST_ONLY) == 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The chat format \"%s\" has no system messages.", family->name);
    }
    if (ordered && (who == ROLE_SYSTEM ? i != 0 : (who == ROLE_USER) != *user_is_next)) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "In the chat format \"%s\" user and assistant take turns, after at "
                            "most one system message; message %zu does not.",
                            family->name, i);
    }
    *user_is_next = who == ROLE_SYSTEM ? true : who == ROLE_ASSISTANT;
    const char *mark = (w->flags & SY_CHAT_STRICT) != 0 ? mark_in(family, message->content) : NULL;
    if (mark != NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Message %zu contains the mark \"%s\" of the chat format.", i, mark);
    }
    w->i_last_user = who == ROLE_USER ? i : w->i_last_user;
    return SY_OK;
}

sy_status sy_chat_render(const sy_chat_format *format, const sy_chat_message *messages,
                         size_t n_messages, uint32_t flags, char *out_text, size_t capacity,
                         size_t *out_n_bytes, sy_error *error) {
    if (format == NULL || format->i_family >= sy__chat_n_families || n_messages == 0 ||
        messages == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "Rendering needs a chat format and at least one message.");
    }
    writer w = {.format = format,
                .family = &sy__chat_families[format->i_family],
                .messages = messages,
                .n_messages = n_messages,
                .flags = flags};
    bool user_is_next = true;
    w.i_last_user = n_messages - 1;
    for (size_t i = 0; i < n_messages; i++) {
        sy_status status = check_message(&w, i, &user_is_next, error);
        if (status != SY_OK) {
            return status;
        }
    }
    render(&w);
    if (out_text != NULL && w.n > capacity) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The conversation has %zu bytes but there is room for %zu.", w.n,
                            capacity);
    }
    if (out_text != NULL) {
        w.text = out_text;
        w.capacity = capacity;
        w.n = 0;
        render(&w);
    }
    *out_n_bytes = w.n;
    return SY_OK;
}
