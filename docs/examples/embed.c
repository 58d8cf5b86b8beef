/* SPDX-License-Identifier: Apache-2.0 */
/* How near are two texts to each other? example_embed ENCODER.gguf */
#include <switchyard/embed.h>

#include <stdio.h>
#include <string.h>

#define N_TEXTS 2u

static sy_status work(sy_engine *engine, sy_error *error) {
    static const char *const texts[N_TEXTS] = {"Where do penguins live?",
                                               "Penguins live in Antarctica."};
    static float vectors[N_TEXTS][4096];
    int32_t tokens[N_TEXTS][64];
    const uint32_t n = sy_engine_info(engine)->n_embedding;
    double cosine = 0;
    for (uint32_t i = 0; i < N_TEXTS; i++) {
        size_t n_tokens = 0;
        sy_status status =
            sy_tokenizer_encode(sy_engine_tokenizer(engine), texts[i], strlen(texts[i]),
                                SY_ENCODE_ADD_SPECIAL, tokens[i], 64, &n_tokens, error);
        const sy_embed_text text = {.tokens = tokens[i], .n_tokens = (uint32_t)n_tokens};
        if (status == SY_OK && n > 4096) {
            status = sy_error_set(error, SY_OUT_OF_RANGE, "The vectors are too long.");
        }
        if (status == SY_OK) { /* NULL options: pooled as the file says, of length 1 */
            status = sy_engine_embed(engine, &text, 1, NULL, vectors[i], error);
        }
        if (status != SY_OK) {
            return status;
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        cosine += (double)vectors[0][k] * (double)vectors[1][k];
    }
    printf("cosine %.4f\n", cosine);
    return SY_OK;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    if (argc < 2) {
        puts("usage: example_embed ENCODER.gguf");
        return 0;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], NULL, &engine, &error);
    }
    if (status == SY_OK) {
        status = work(engine, &error);
    }
    if (status != SY_OK) {
        puts(error.message);
    }
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
