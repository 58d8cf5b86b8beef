/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations: what the session holds after each turn is the template's text of the messages, of
 * all of them or, where the session lets tokens go, without the oldest turns. */
#include "e2e/engine_model.h"
#include "switchyard/chat.h"
#include "switchyard/conversation.h"

enum {
    MOST_MESSAGES = 64,
    TEXT_BYTES = 4096,
    MOST_TOKENS = 8192,
    N_SESSION = 400,
    OPENING_TOKENS = 20
};

static const char system_text[] = "Answer in few words, and say nothing else.";

typedef struct talk {
    engine_kit kit;
    sy_session *session;
    sy_conversation *conversation;
    sy_chat_message messages[MOST_MESSAGES]; /* what was said, as this side knows it */
    char texts[MOST_MESSAGES][TEXT_BYTES];
    uint32_t n_messages, n_base;
} talk;

static void say(talk *t, const char *role, const char *text) {
    CHECK(t->n_messages < MOST_MESSAGES && strlen(text) < TEXT_BYTES);
    memcpy(t->texts[t->n_messages], text, strlen(text) + 1);
    t->messages[t->n_messages] =
        (sy_chat_message){.role = role, .content = t->texts[t->n_messages]};
    t->n_messages++;
}

static void open_talk(talk *t, const char *template_name, uint32_t n_base) {
    static char path[512];
    static const int32_t base[8] = {5, 6, 7, 8, 9, 10, 11, 12};
    sy_error *error = &t->kit.error;
    const char *source = getenv("SY_SOURCE_DIR");
    memset(t, 0, sizeof(*t));
    snprintf(path, sizeof(path), "%s/models/actions/actions-q8_0.gguf",
             source != NULL ? source : "");
    if (access(path, R_OK) != 0) {
        SKIP("the shipped model is not here");
    }
    engine_model_instead = path;
    CHECK_OK_ERROR(engine_kit_open(&t->kit, NULL, 1, built_plugins(), NULL), *error);
    CHECK_OK_ERROR(sy_session_open(t->kit.engine, N_SESSION, &t->session, error), *error);
    CHECK_OK_ERROR(sy_session_prefill(t->session, base, n_base, error), *error);
    t->n_base = n_base;
    sy_conversation_options options = {
        .struct_bytes = sizeof(options), .system = system_text, .template_name = template_name};
    CHECK_OK_ERROR(sy_conversation_create(t->session, &options, &t->conversation, error), *error);
    say(t, "system", system_text);
}

static void close_talk(talk *t) {
    sy_conversation_destroy(t->conversation);
    sy_session_close(t->session);
    engine_kit_close(&t->kit);
}

static void set_limit(talk *t, const sy_limit_options *limit) {
    CHECK_OK_ERROR(sy_session_set_limit(t->session, limit, &t->kit.error), t->kit.error);
}

/* Tokens of the system's text and the messages from `first` on. */
static uint32_t render(talk *t, const char *template_name, uint32_t first, int32_t *out_tokens) {
    static char text[MOST_MESSAGES * TEXT_BYTES];
    sy_chat_format format;
    sy_chat_message messages[MOST_MESSAGES];
    size_t n_text = 0, n_tokens = 0;
    sy_error *error = &t->kit.error;
    uint32_t n = t->n_messages - first;
    messages[0] = t->messages[0];
    memcpy(messages + 1, t->messages + first, n * sizeof(*messages));
    CHECK_OK_ERROR(sy_chat_find(template_name, &format, error), *error);
    CHECK_OK_ERROR(sy_chat_render(&format, messages, n + 1, SY_CHAT_GENERATE, text, sizeof(text),
                                  &n_text, error),
                   *error);
    uint32_t flags =
        SY_ENCODE_PARSE_SPECIAL | (format.adds_begin && t->n_base == 0 ? SY_ENCODE_ADD_SPECIAL : 0);
    CHECK_OK_ERROR(sy_tokenizer_encode(sy_engine_tokenizer(t->kit.engine), text, n_text, flags,
                                       out_tokens, MOST_TOKENS, &n_tokens, error),
                   *error);
    return (uint32_t)n_tokens;
}

/* The first message of the user that the session holds: it holds all from there on, and no token
 * more. 0: it holds none of such texts. */
static uint32_t first_held(talk *t, const char *template_name) {
    int32_t wanted[MOST_TOKENS];
    uint32_t n_held = 0;
    const int32_t *held = sy_session_tokens(t->session, &n_held);
    for (uint32_t first = 1; first < t->n_messages; first++) {
        if (strcmp(t->messages[first].role, "user") != 0) {
            continue;
        }
        uint32_t n = render(t, template_name, first, wanted);
        if (n + t->n_base == n_held && memcmp(held + t->n_base, wanted, n * sizeof(int32_t)) == 0) {
            return first;
        }
    }
    return 0;
}

static int hear(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    char *heard = user;
    size_t n = strlen(heard);
    (void)finish;
    CHECK(n + n_bytes < TEXT_BYTES);
    memcpy(heard + n, text, n_bytes);
    heard[n + n_bytes] = '\0';
    return 0;
}

static sy_status ask(talk *t, uint32_t i) {
    char text[128];
    snprintf(text, sizeof(text), "Number %u: please switch the %s light %s.", i,
             i % 2 == 0 ? "kitchen" : "bedroom", i % 3 == 0 ? "on" : "off");
    sy_status status = sy_conversation_add_user(t->conversation, text, &t->kit.error);
    if (status == SY_OK) {
        say(t, "user", text);
    }
    return status;
}

static void hear_answer(talk *t, uint32_t n_tokens) {
    static char heard[TEXT_BYTES];
    sy_generate_result result;
    heard[0] = '\0';
    const sy_generate_options options = {.struct_bytes = sizeof(options),
                                         .n_tokens_max = n_tokens,
                                         .ignore_end = 1,
                                         .stream = hear,
                                         .user = heard};
    CHECK_OK_ERROR(sy_conversation_answer(t->conversation, NULL, &options, &result, &t->kit.error),
                   t->kit.error);
    say(t, "assistant", heard);
}

static void a_full_session_stops_a_conversation(void) {
    talk t;
    open_talk(&t, "chatml", 0);
    sy_status status = SY_OK;
    uint32_t n = 0;
    for (uint32_t i = 0; status == SY_OK && i < 20; i++) {
        status = ask(&t, i);
        if (status == SY_OK) {
            CHECK(first_held(&t, "chatml") == 1); /* all of it */
            hear_answer(&t, 6);
        }
    }
    CHECK(status == SY_OUT_OF_RANGE && t.n_messages > 5);
    CHECK(strstr(t.kit.error.message, "more than the session's") != NULL);
    sy_session_tokens(t.session, &n);
    CHECK(n <= N_SESSION);
    close_talk(&t);
}

static void slide_at_random_length(const char *template_name, uint32_t n_base, uint32_t n_drop) {
    talk t;
    int32_t beginning[MOST_TOKENS];
    sy_session_stats stats;
    const sy_limit_options limit = {.struct_bytes = sizeof(limit),
                                    .at_limit = SY_AT_LIMIT_SLIDE,
                                    .n_sink_tokens = 2,
                                    .n_drop_tokens = n_drop};
    open_talk(&t, template_name, n_base);
    set_limit(&t, &limit);
    uint32_t first = 0, n_forgotten = 0, n_kept = 0, n = 0;
    for (uint32_t i = 0; i < 9; i++) {
        CHECK_OK_ERROR(ask(&t, i), t.kit.error);
        uint32_t now = first_held(&t, template_name);
        CHECK_TEXT(now > 0 && now >= first, "turn %u: %u after %u", i, now, first);
        n_forgotten += now > first && first > 0;
        first = now;
        const int32_t *held = sy_session_tokens(t.session, &n);
        if (i == 0) { /* the system's text: what two renderings begin with */
            memcpy(beginning, held, n * sizeof(int32_t));
            n_kept = n;
        }
        while (n_kept > n || memcmp(beginning, held, n_kept * sizeof(int32_t)) != 0) {
            n_kept--;
        }
        hear_answer(&t, 5 + i % 7);
    }
    CHECK_TEXT(n_forgotten > 0 && n_kept > n_base + 10, "%u times, %u kept", n_forgotten, n_kept);
    sy_session_get_stats(t.session, &stats);
    /* Rows moved down, where more than the newest turn stayed, and were not all made again. */
    CHECK(strcmp(template_name, "chatml") != 0 || stats.n_dropped_tokens > 0);
    close_talk(&t);
}

static void a_session_that_slides_forgets_whole_turns(void) {
    slide_at_random_length("chatml", 0, 0);
    slide_at_random_length("chatml", 0, 40);
    slide_at_random_length("gemma", 0, 0);
    slide_at_random_length("llama3", 8, 0);
}

/* The answer alone is longer than the session: it slides behind the system's text. */
static void a_long_answer_keeps_the_beginning(void) {
    talk t;
    int32_t before[N_SESSION] = {0}, system_only[MOST_TOKENS];
    const sy_limit_options limit = {.struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE};
    open_talk(&t, "chatml", 4);
    set_limit(&t, &limit);
    CHECK_OK_ERROR(ask(&t, 0), t.kit.error);
    uint32_t n = 0, n_system = 0;
    const int32_t *held = sy_session_tokens(t.session, &n);
    memcpy(before, held, n * sizeof(int32_t));
    uint32_t n_other = render(&t, "chatml", t.n_messages, system_only);
    while (n_system < n_other - OPENING_TOKENS &&
           before[t.n_base + n_system] == system_only[n_system]) {
        n_system++;
    }
    CHECK(n_system > 20);
    hear_answer(&t, N_SESSION + 60);
    held = sy_session_tokens(t.session, &n);
    CHECK(memcmp(held, before, (t.n_base + n_system) * sizeof(int32_t)) == 0);
    CHECK_OK_ERROR(ask(&t, 1), t.kit.error);
    CHECK(first_held(&t, "chatml") == 3); /* the first turn is longer than the session */
    close_talk(&t);
}

static uint32_t prune_the_beginning(void *user, const int32_t *tokens, uint32_t n_tokens,
                                    sy_token_range *out_ranges, uint32_t n_ranges_max) {
    (void)user;
    (void)tokens;
    CHECK(n_ranges_max > 0 && n_tokens == N_SESSION);
    out_ranges[0] = (sy_token_range){2, 170};
    return 1;
}

/* What stood before the conversation may be pruned: the conversation then begins there. */
static void pruned_beginnings_are_noticed(void) {
    talk t;
    const sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_PRUNE, .prune = prune_the_beginning};
    open_talk(&t, "chatml", 8);
    set_limit(&t, &limit);
    CHECK_OK_ERROR(ask(&t, 0), t.kit.error);
    CHECK(first_held(&t, "chatml") == 1);
    hear_answer(&t, N_SESSION);
    CHECK_OK_ERROR(ask(&t, 1), t.kit.error);
    t.n_base = 0;
    CHECK(first_held(&t, "chatml") == 3);
    close_talk(&t);
}

static const sy_test_case cases[] = {
    {"a_full_session_stops_a_conversation", a_full_session_stops_a_conversation},
    {"a_session_that_slides_forgets_whole_turns", a_session_that_slides_forgets_whole_turns},
    {"a_long_answer_keeps_the_beginning", a_long_answer_keeps_the_beginning},
    {"pruned_beginnings_are_noticed", pruned_beginnings_are_noticed},
};
SY_TEST_MAIN(cases)
