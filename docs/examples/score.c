/* SPDX-License-Identifier: Apache-2.0 */
/* Which of three answers does the model find likeliest? example_score MODEL.gguf */
#include <switchyard/score.h>

#include <stdio.h>
#include <string.h>

#define N_ANSWERS 3u

static sy_status encode(sy_engine *engine, const char *text, uint32_t flags, int32_t *out_tokens,
                        size_t *out_n, sy_error *error) {
    return sy_tokenizer_encode(sy_engine_tokenizer(engine), text, strlen(text), flags, out_tokens,
                               32, out_n, error);
}

static sy_status work(sy_engine *engine, sy_session *session, sy_error *error) {
    static const char *const answers[N_ANSWERS] = {" the light", " a cake", " in"};
    int32_t prompt[32], tokens[N_ANSWERS][32];
    sy_score_target targets[N_ANSWERS];
    double sums[N_ANSWERS];
    size_t n = 0;
    sy_status status = encode(engine, "Turn on", SY_ENCODE_ADD_SPECIAL, prompt, &n, error);
    if (status == SY_OK) { /* computed once, whatever is asked about it */
        status = sy_session_prefill(session, prompt, (uint32_t)n, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < N_ANSWERS; i++) {
        status = encode(engine, answers[i], 0, tokens[i], &n, error);
        targets[i] = (sy_score_target){.tokens = tokens[i], .n_tokens = (uint32_t)n};
    }
    if (status == SY_OK) {
        status = sy_session_score_targets(session, targets, N_ANSWERS, NULL, sums, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < N_ANSWERS; i++) {
        printf("%8.3f nats for \"Turn on%s\"\n", sums[i], answers[i]);
    }
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_session *session = NULL;
    sy_engine_options options;
    if (argc < 2) {
        puts("usage: example_score MODEL.gguf");
        return 2;
    }
    sy_error_clear(&error);
    sy_engine_options_default(&options);
    options.n_sequences = N_ANSWERS; /* all answers in one step */
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], &options, &engine, &error);
    }
    if (status == SY_OK) {
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
