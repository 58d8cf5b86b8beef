/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a model in its own chat format: example_conversation MODEL.gguf [QUESTION] */
#include <switchyard/conversation.h>

#include <stdio.h>

static int print(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    (void)user;
    printf("%.*s%s", (int)n_bytes, text, finish != SY_FINISH_NONE ? "\n" : "");
    return 0;
}

static sy_status ask(sy_session *session, const char *question, sy_error *error) {
    sy_conversation *conversation = NULL;
    sy_generate_result result;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 64, .stream = print};
    sy_status status = sy_conversation_create(session, NULL, &conversation, error);
    if (status == SY_OK) {
        status = sy_conversation_add_user(conversation, question, error);
    }
    if (status == SY_OK) {
        status = sy_conversation_answer(conversation, NULL, &options, &result, error);
    }
    sy_conversation_destroy(conversation);
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_session *session = NULL;
    if (argc < 2) {
        puts("usage: example_conversation MODEL.gguf [QUESTION]");
        return 2;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], NULL, &engine, &error);
    }
    if (status == SY_OK) {
        status = sy_session_open(engine, 0, &session, &error);
    }
    if (status == SY_OK) {
        status = ask(session, argc > 2 ? argv[2] : "wake me at quarter to seven", &error);
    }
    if (status != SY_OK) {
        printf("%s %s\n", error.message, error.hint);
    }
    sy_session_close(session);
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
