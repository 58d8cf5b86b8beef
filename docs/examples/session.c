/* SPDX-License-Identifier: Apache-2.0 */
/* A prompt, two continuations from one clone, a score, a rewind: example_session MODEL.gguf */
#include <switchyard/session.h>

#include <stdio.h>

static int print(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    (void)user;
    printf("%.*s%s", (int)n_bytes, text, finish != SY_FINISH_NONE ? "\n" : "");
    return 0; /* anything else would stop here */
}

static sy_status work(sy_engine *engine, sy_session *session, sy_error *error) {
    static const char prompt[] = "Once upon a time";
    int32_t tokens[32];
    size_t n_tokens = 0;
    sy_session *copy = NULL;
    double log_probability = 0;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 12, .stream = print};
    sy_status status = sy_tokenizer_encode(sy_engine_tokenizer(engine), prompt, sizeof(prompt) - 1,
                                           SY_ENCODE_ADD_SPECIAL, tokens, 32, &n_tokens, error);
    if (status == SY_OK) {
        status = sy_session_prefill(session, tokens, (uint32_t)n_tokens, error);
    }
    if (status == SY_OK) { /* the clone shares what was prefilled */
        status = sy_session_clone(session, &copy, error);
    }
    if (status == SY_OK) { /* NULL sampler: always the likeliest token */
        status = sy_session_generate(copy, NULL, &options, NULL, error);
    }
    if (status == SY_OK) { /* how likely would the prompt's last token have been again? */
        status = sy_session_score(session, &tokens[n_tokens - 1], 1, NULL, &log_probability, error);
    }
    if (status == SY_OK) {
        printf("log probability %.3f\n", log_probability);
        status = sy_session_rewind(session, 1, error);
    }
    sy_session_close(copy);
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_session *session = NULL;
    if (argc < 2) {
        puts("usage: example_session MODEL.gguf");
        return 2;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], NULL, &engine, &error);
    }
    if (status == SY_OK) { /* all memory of the session is reserved here */
        status = sy_session_open(engine, 64, &session, &error);
    }
    if (status == SY_OK) {
        status = work(engine, session, &error);
    }
    if (status != SY_OK) {
        puts(error.message);
    }
    sy_session_close(session);
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
