/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn renders the whole conversation, encodes it, keeps the tokens that the session already has
 * and prefills the rest. So a template may change what it says of earlier turns (thoughts that are
 * dropped, a system text that moves) and the session still holds exactly the rendered text.
 *
 * Where the session's limit lets tokens go, a conversation that is too long forgets its oldest
 * turns as a whole and renders the others: what stands before the first of them (the system text)
 * stays, and what the session holds of the others moves down to it. In the middle of an answer the
 * limit acts on tokens, but for those that stay; what it took away goes with the turns it was in.
 */
#include "switchyard/conversation.h"

#include "base/digest.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "switchyard/chat.h"

#include <string.h>

#define STOPS_MAX 32u
#define MOVED_LEAST 16u /* tokens: fewer are computed again */

struct sy_conversation {
    const sy_allocator *allocator;
    sy_session *session;
    char *template_copy; /* what format points into */
    sy_chat_format format;
    sy_chat_message *messages; /* contents owned */
    size_t n_messages, capacity;
    uint32_t n_base; /* tokens that were in the session before the conversation */
    uint64_t base_hash;
    uint32_t n_kept; /* the session's first tokens that its limit leaves alone during an answer */
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

static uint64_t hash_of_base(const sy_conversation *c) {
    return sy__fnv1a(SY__FNV_START, c->session->tokens, c->n_base * sizeof(int32_t));
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
    c->n_base = c->n_kept = session->n_tokens;
    c->base_hash = hash_of_base(c);
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

static sy_status render(const sy_conversation *c, const sy_chat_message *messages,
                        size_t n_messages, uint32_t flags, char **out_text, size_t *out_n,
                        sy_error *error) {
    size_t n = 0;
    sy_status status = sy_chat_render(&c->format, messages, n_messages, flags, NULL, 0, &n, error);
    if (status != SY_OK) {
        return status;
    }
    char *text = sy__alloc_array(c->allocator, n + 1, 1);
    if (text == NULL) {
        return no_memory(error);
    }
    status = sy_chat_render(&c->format, messages, n_messages, flags, text, n, out_n, error);
    if (status != SY_OK) {
        sy__free_array(c->allocator, text, n + 1, 1);
        return status;
    }
    *out_text = text;
    return SY_OK;
}

static void free_list(const sy_conversation *c, token_list *list) {
    sy__free_array(c->allocator, list->ids, list->capacity, sizeof(int32_t));
    *list = (token_list){NULL, 0, 0};
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

/* Messages of the system stand in front of the turns. */
static size_t first_turn(const sy_conversation *c) {
    return c->n_messages > 0 && strcmp(c->messages[0].role, "system") == 0 ? 1 : 0;
}

/* Where the turn after the one at i begins: with the next message of the user. */
static size_t next_turn(const sy_conversation *c, size_t i) {
    do {
        i++;
    } while (i < c->n_messages && strcmp(c->messages[i].role, "user") != 0);
    return i;
}

/* Tokens of the system message and of the messages [first, end), in place of those in the list. */
static sy_status tokens_of(const sy_conversation *c, size_t first, size_t end, uint32_t flags,
                           token_list *list, sy_error *error) {
    size_t n_system = first_turn(c), n = n_system + end - first, n_rendered = 0;
    char *rendered = NULL;
    sy_chat_message *messages = sy__alloc_array(c->allocator, n + 1, sizeof(sy_chat_message));
    free_list(c, list);
    if (messages == NULL) {
        return no_memory(error);
    }
    memcpy(messages, c->messages, n_system * sizeof(sy_chat_message));
    memcpy(messages + n_system, c->messages + first, (end - first) * sizeof(sy_chat_message));
    sy_status status = render(c, messages, n, flags, &rendered, &n_rendered, error);
    if (status == SY_OK) {
        status = encode(c, rendered, n_rendered, list, error);
        sy__free_array(c->allocator, rendered, n_rendered + 1, 1);
    }
    sy__free_array(c->allocator, messages, n + 1, sizeof(sy_chat_message));
    return status;
}

static uint32_t n_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b) {
    uint32_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) {
        n++;
    }
    return n;
}

static bool forgets(const sy_conversation *c) {
    return c->session->limit.at_limit != SY_AT_LIMIT_STOP;
}

/* How many of the list's first tokens are those of the system's text alone. */
static uint32_t count_system(const sy_conversation *c, const token_list *list) {
    token_list system = {NULL, 0, 0};
    size_t n = first_turn(c);
    uint32_t n_system = 0;
    if (n > 0 && tokens_of(c, n, n, 0, &system, NULL) == SY_OK) {
        n_system = n_common(system.ids, system.n, list->ids, list->n);
    }
    free_list(c, &system);
    return n_system;
}

/* The tokens of all turns, or where they are too long and may go, of those from *out_first on: as
 * many go at once as the session's limit says. */
static sy_status choose_turns(const sy_conversation *c, size_t *out_first, token_list *list,
                              sy_error *error) {
    const sy_session *session = c->session;
    size_t first = first_turn(c), newest = c->n_messages - 1;
    size_t n_room = session->max_tokens - c->n_base, n_drop = session->limit.n_drop_tokens;
    sy_status status = tokens_of(c, first, c->n_messages, SY_CHAT_GENERATE, list, error);
    if (status == SY_OK && list->n > n_room && forgets(c)) {
        size_t n_kept = count_system(c, list);
        n_drop = n_drop == 0 && n_kept < n_room ? (n_room - n_kept) / 2 : n_drop;
        size_t n_most = n_drop < n_room ? n_room - n_drop : 0;
        while (status == SY_OK && list->n > n_most && first < newest) {
            first = next_turn(c, first);
            status = tokens_of(c, first, c->n_messages, SY_CHAT_GENERATE, list, error);
        }
    }
    *out_first = first;
    return status;
}

static void forget_turns(sy_conversation *c, size_t first) {
    size_t n_system = first_turn(c);
    for (size_t i = n_system; i < first; i++) {
        const char *content = c->messages[i].content;
        sy__free_array(c->allocator, (void *)(uintptr_t)content, strlen(content) + 1, 1);
    }
    memmove(c->messages + n_system, c->messages + first,
            (c->n_messages - first) * sizeof(sy_chat_message));
    c->n_messages -= first - n_system;
}

/* The session holds n_same tokens of the list, others, and then tokens with which the list goes on:
 * the others go, and those move. Answers how many of the list's tokens it then holds. */
static uint32_t drop_between(sy_conversation *c, const token_list *list, uint32_t n_same) {
    sy_session *session = c->session;
    uint32_t n_held = session->n_tokens - c->n_base, from = n_held, n_most = 0;
    const int32_t *held = session->tokens + c->n_base;
    for (uint32_t i = n_same + 1; i + n_most < n_held; i++) {
        uint32_t n = n_common(held + i, n_held - i, list->ids + n_same, list->n - n_same);
        from = n > n_most ? i : from;
        n_most = n > n_most ? n : n_most;
    }
    const sy_token_range range = {c->n_base + n_same, from - n_same};
    if (n_most >= MOVED_LEAST &&
        sy_session_rewind(session, c->n_base + from + n_most, NULL) == SY_OK &&
        sy_session_drop(session, &range, 1, NULL) == SY_OK) {
        return n_same + n_most;
    }
    n_held = session->n_tokens > c->n_base ? session->n_tokens - c->n_base : 0;
    return n_common(held, n_held, list->ids, list->n);
}

/* Keeps what the session shares with the tokens and prefills the rest. */
static sy_status bring_up_to_date(sy_conversation *c, const token_list *list, sy_error *error) {
    sy_session *session = c->session;
    if (list->n > session->max_tokens - c->n_base) {
        sy_error_set(error, SY_OUT_OF_RANGE,
                     "The conversation has %zu tokens, more than the session's %u.", list->n,
                     session->max_tokens - c->n_base);
        sy_error_hint(error, "Open the session with more tokens (-c), or let it slide.");
        return SY_OUT_OF_RANGE;
    }
    uint32_t n_held = session->n_tokens - c->n_base;
    uint32_t n_same = n_common(session->tokens + c->n_base, n_held, list->ids, list->n);
    if (n_same < n_held && forgets(c)) {
        n_same = drop_between(c, list, n_same);
    }
    sy_status status = sy_session_rewind(session, c->n_base + n_same, error);
    return status == SY_OK ? sy_session_prefill(session, list->ids + n_same,
                                                (uint32_t)(list->n - n_same), error)
                           : status;
}

/* A callback may have pruned what stood before the conversation: then it begins at the session's
 * beginning. */
static void check_base(sy_conversation *c) {
    if (c->n_base > c->session->n_tokens || hash_of_base(c) != c->base_hash) {
        c->n_base = 0;
        c->base_hash = hash_of_base(c);
    }
}

sy_status sy_conversation_add_user(sy_conversation *c, const char *text, sy_error *error) {
    token_list list = {NULL, 0, 0};
    size_t first = 0;
    sy_status status = push_message(c, "user", text, error);
    if (status != SY_OK) {
        return status;
    }
    check_base(c);
    status = choose_turns(c, &first, &list, error);
    if (status == SY_OK) {
        status = bring_up_to_date(c, &list, error);
    }
    if (status == SY_OK) {
        forget_turns(c, first);
        c->n_kept = c->n_base + (forgets(c) ? count_system(c, &list) : 0);
    } else {
        pop_message(c);
    }
    free_list(c, &list);
    return status;
}

/* Generates; a session that slides keeps what stands before the first turn. */
static sy_status generate(sy_conversation *c, sy_sampler *sampler,
                          const sy_generate_options *options, sy_generate_result *out_result,
                          sy_error *error) {
    sy_session *session = c->session;
    const uint32_t n_sinks = session->limit.n_sink_tokens;
    if (c->n_kept > n_sinks && c->n_kept + 2 <= session->max_tokens) {
        session->limit.n_sink_tokens = c->n_kept;
    }
    sy_status status = sy_session_generate(session, sampler, options, out_result, error);
    session->limit.n_sink_tokens = n_sinks;
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
    sy_status status = generate(c, sampler, &inner, out_result, error);
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
