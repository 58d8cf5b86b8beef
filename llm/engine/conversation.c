/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn renders the whole conversation, encodes it, keeps the tokens that the session already has
 * and prefills the rest. So a template may change what it says of earlier turns (thoughts that are
 * dropped, a system text that moves) and the session still holds exactly the rendered text.
 */
#include "switchyard/conversation.h"

#include "base/text.h"
#include "engine/engine_internal.h"
#include "switchyard/chat.h"

#include <string.h>

#define STOPS_MAX 32u

struct sy_conversation {
    const sy_allocator *allocator;
    sy_session *session;
    char *template_copy; /* what format points into */
    sy_chat_format format;
    sy_chat_message *messages; /* contents owned */
    size_t n_messages, capacity;
    uint32_t n_base; /* tokens that were in the session before the conversation */
};

static sy_status no_memory(sy_error *error) {
    return sy__no_memory(error, 0, "a conversation");
}

static char *copy_text(const sy_allocator *allocator, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = sy__alloc_array(allocator, n, 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

static sy_status push_message(sy_conversation *c, const char *role, const char *content,
                              sy_error *error) {
    void *messages = c->messages;
    if (!sy__grow_array(c->allocator, &messages, &c->capacity, c->n_messages + 1,
                        sizeof(sy_chat_message))) {
        return no_memory(error);
    }
    c->messages = messages;
    char *copy = copy_text(c->allocator, content);
    if (copy == NULL) {
        return no_memory(error);
    }
    c->messages[c->n_messages++] = (sy_chat_message){.role = role, .content = copy};
    return SY_OK;
}

static void pop_message(sy_conversation *c) {
    sy_chat_message *last = &c->messages[--c->n_messages];
    sy__free_array(c->allocator, (void *)(uintptr_t)last->content, strlen(last->content) + 1, 1);
}

static sy_status find_format(sy_conversation *c, const sy_conversation_options *options,
                             sy_error *error) {
    if (options->template_name != NULL) {
        return sy_chat_find(options->template_name, &c->format, error);
    }
    c->template_copy = copy_text(c->allocator, c->session->engine->info.chat_template);
    if (c->template_copy == NULL) {
        return no_memory(error);
    }
    sy_status status = sy_chat_recognise(c->template_copy, &c->format, error);
    if (status != SY_OK) {
        sy_error_hint(error, "Name a known template (--chat-template), or prefill the prompt as it "
                             "is (--raw).");
    }
    return status;
}

sy_status sy_conversation_create(sy_session *session, const sy_conversation_options *options,
                                 sy_conversation **out_conversation, sy_error *error) {
    sy_conversation_options defaults = {.struct_bytes = sizeof(defaults)};
    options = options != NULL ? options : &defaults;
    const sy_allocator *allocator = session->engine->allocator;
    sy_conversation *c = SY__NEW(allocator, sy_conversation);
    if (c == NULL) {
        return no_memory(error);
    }
    c->allocator = allocator;
    c->session = session;
    c->n_base = session->n_tokens;
    sy_status status = SY_OK;
    if (session->engine->tokenizer == NULL) {
        status = sy_error_set(error, SY_FAILED_PRECONDITION, "The model has no vocabulary.");
    }
    if (status == SY_OK) {
        status = find_format(c, options, error);
    }
    if (status == SY_OK && options->system != NULL) {
        status = push_message(c, "system", options->system, error);
    }
    if (status != SY_OK) {
        sy_conversation_destroy(c);
        return status;
    }
    *out_conversation = c;
    return SY_OK;
}

void sy_conversation_destroy(sy_conversation *c) {
    if (c == NULL) {
        return;
    }
    while (c->n_messages > 0) {
        pop_message(c);
    }
    sy__free_array(c->allocator, c->messages, c->capacity, sizeof(sy_chat_message));
    if (c->template_copy != NULL) {
        sy__free_array(c->allocator, c->template_copy, strlen(c->template_copy) + 1, 1);
    }
    SY__DELETE(c->allocator, c);
}

typedef struct token_list {
    int32_t *ids;
    size_t n, capacity;
} token_list;

static sy_status render(const sy_conversation *c, char **out_text, size_t *out_n, sy_error *error) {
    size_t n = 0;
    sy_status status = sy_chat_render(&c->format, c->messages, c->n_messages, SY_CHAT_GENERATE,
                                      NULL, 0, &n, error);
    if (status != SY_OK) {
        return status;
    }
    char *text = sy__alloc_array(c->allocator, n + 1, 1);
    if (text == NULL) {
        return no_memory(error);
    }
    status = sy_chat_render(&c->format, c->messages, c->n_messages, SY_CHAT_GENERATE, text, n,
                            out_n, error);
    if (status != SY_OK) {
        sy__free_array(c->allocator, text, n + 1, 1);
        return status;
    }
    *out_text = text;
    return SY_OK;
}

static sy_status encode(const sy_conversation *c, const char *text, size_t n_bytes,
                        token_list *out_list, sy_error *error) {
    const sy_tokenizer *tokenizer = c->session->engine->tokenizer;
    uint32_t flags = SY_ENCODE_PARSE_SPECIAL;
    if (c->format.adds_begin && c->n_base == 0) {
        flags |= SY_ENCODE_ADD_SPECIAL;
    }
    sy_status status =
        sy_tokenizer_encode(tokenizer, text, n_bytes, flags, NULL, 0, &out_list->n, error);
    if (status != SY_OK) {
        return status;
    }
    out_list->capacity = out_list->n;
    out_list->ids = sy__alloc_array(c->allocator, out_list->capacity, sizeof(int32_t));
    if (out_list->ids == NULL) {
        return no_memory(error);
    }
    return sy_tokenizer_encode(tokenizer, text, n_bytes, flags, out_list->ids, out_list->capacity,
                               &out_list->n, error);
}

/* Keeps what the session shares with the tokens and prefills the rest. */
static sy_status bring_up_to_date(sy_conversation *c, const token_list *list, sy_error *error) {
    sy_session *session = c->session;
    size_t n_same = 0, n_held = session->n_tokens - c->n_base;
    const int32_t *held = session->tokens + c->n_base;
    while (n_same < n_held && n_same < list->n && held[n_same] == list->ids[n_same]) {
        n_same++;
    }
    if (list->n > session->max_tokens - c->n_base) {
        sy_error_set(error, SY_OUT_OF_RANGE,
                     "The conversation has %zu tokens, more than the session's %u.", list->n,
                     session->max_tokens - c->n_base);
        sy_error_hint(error, "Open the session with more tokens (-c).");
        return SY_OUT_OF_RANGE;
    }
    sy_status status = sy_session_rewind(session, c->n_base + (uint32_t)n_same, error);
    return status == SY_OK ? sy_session_prefill(session, list->ids + n_same,
                                                (uint32_t)(list->n - n_same), error)
                           : status;
}

sy_status sy_conversation_add_user(sy_conversation *c, const char *text, sy_error *error) {
    char *rendered = NULL;
    size_t n_rendered = 0;
    token_list list = {NULL, 0, 0};
    sy_status status = push_message(c, "user", text, error);
    if (status != SY_OK) {
        return status;
    }
    status = render(c, &rendered, &n_rendered, error);
    if (status == SY_OK) {
        status = encode(c, rendered, n_rendered, &list, error);
        sy__free_array(c->allocator, rendered, n_rendered + 1, 1);
    }
    if (status == SY_OK) {
        status = bring_up_to_date(c, &list, error);
    }
    sy__free_array(c->allocator, list.ids, list.capacity, sizeof(int32_t));
    if (status != SY_OK) {
        pop_message(c);
    }
    return status;
}

typedef struct capture {
    sy__text text;
    const sy_generate_options *options;
} capture;

static int keep_text(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    capture *k = user;
    sy__text_append(&k->text, text, n_bytes);
    return k->options->stream != NULL ? k->options->stream(k->options->user, text, n_bytes, finish)
                                      : 0;
}

sy_status sy_conversation_answer(sy_conversation *c, sy_sampler *sampler,
                                 const sy_generate_options *options, sy_generate_result *out_result,
                                 sy_error *error) {
    static const sy_generate_options defaults = {.struct_bytes = sizeof(defaults)};
    const char *stops[STOPS_MAX];
    capture kept = {.options = options != NULL ? options : &defaults};
    sy_generate_options inner = *kept.options;
    if (c->n_messages == 0 || strcmp(c->messages[c->n_messages - 1].role, "user") != 0) {
        return sy_error_set(error, SY_FAILED_PRECONDITION, "There is no user's message to answer.");
    }
    if (inner.n_stops + c->format.n_stops > STOPS_MAX) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "At most %u stop texts can be given.",
                            STOPS_MAX - SY_CHAT_STOPS);
    }
    for (uint32_t i = 0; i < inner.n_stops; i++) {
        stops[i] = inner.stops[i];
    }
    for (uint32_t i = 0; i < c->format.n_stops; i++) {
        stops[inner.n_stops++] = c->format.stops[i];
    }
    sy__text_init(&kept.text, c->allocator, 0);
    inner.stops = stops;
    inner.stream = keep_text;
    inner.user = &kept;
    sy_status status = sy_session_generate(c->session, sampler, &inner, out_result, error);
    if (status == SY_OK && kept.text.status != SY_OK) {
        status = no_memory(error);
    }
    if (status == SY_OK) {
        status =
            push_message(c, "assistant", kept.text.bytes != NULL ? kept.text.bytes : "", error);
    }
    sy__text_deinit(&kept.text);
    return status;
}
