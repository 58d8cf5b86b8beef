/* SPDX-License-Identifier: Apache-2.0 */
/* The same text with and without guesses from the text so far: example_speculate MODEL.gguf */
#include <switchyard/speculate.h>

#include <inttypes.h>
#include <stdio.h>

static int print(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    (void)user;
    printf("%.*s%s", (int)n_bytes, text, finish != SY_FINISH_NONE ? "\n" : "");
    return 0;
}

static sy_status work(sy_session *session, sy_speculator *speculator, sy_error *error) {
    static const char prompt[] = "Turn on";
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(sy_session_engine(session));
    int32_t tokens[64];
    size_t n_tokens = 0;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 24, .stream = print};
    sy_status status = sy_tokenizer_encode(tokenizer, prompt, sizeof(prompt) - 1,
                                           SY_ENCODE_ADD_SPECIAL, tokens, 64, &n_tokens, error);
    for (int guesses = 0; status == SY_OK && guesses < 2; guesses++) {
        options.speculator = guesses ? speculator : NULL; /* the text is the same */
        status = sy_session_rewind(session, 0, error);
        if (status == SY_OK) {
            status = sy_session_prefill(session, tokens, (uint32_t)n_tokens, error);
        }
        if (status == SY_OK) {
            status = sy_session_generate(session, NULL, &options, NULL, error);
        }
    }
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_session *session = NULL;
    sy_speculator *speculator = NULL;
    sy_speculator_stats stats;
    if (argc < 2) {
        puts("usage: example_speculate MODEL.gguf");
        return 2;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], NULL, &engine, &error);
    }
    if (status == SY_OK) {
        status = sy_session_open(engine, 128, &session, &error);
    }
    if (status == SY_OK) { /* NULL options: prompt look-up */
        status = sy_speculator_create(engine, NULL, &speculator, &error);
    }
    if (status == SY_OK) {
        status = work(session, speculator, &error);
    }
    if (status == SY_OK) {
        sy_speculator_get_stats(speculator, &stats);
        printf("%" PRIu64 " of %" PRIu64 " guesses were right\n", stats.n_accepted,
               stats.n_guesses);
    } else {
        puts(error.message);
    }
    sy_speculator_destroy(speculator);
    sy_session_close(session);
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
