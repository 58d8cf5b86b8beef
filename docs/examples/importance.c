/* SPDX-License-Identifier: Apache-2.0 */
/* What the columns of a model's matrices are multiplied with, over a text that it reads:
 * example_importance MODEL.gguf [OUT.gguf] */
#include <switchyard/importance.h>

#include <stdio.h>
#include <string.h>

static int progress(void *user, uint32_t n_chunks_read, uint32_t n_chunks) {
    (void)user;
    printf("%u of %u chunks\n", n_chunks_read, n_chunks);
    return 0;
}

static sy_status work(sy_engine *engine, sy_importance *importance, const char *out,
                      sy_error *error) {
    static const char text[] = "turn the lights off and wake me at seven, please";
    int32_t tokens[64];
    size_t n = 0;
    sy_status status = sy_tokenizer_encode(sy_engine_tokenizer(engine), text, strlen(text),
                                           SY_ENCODE_ADD_SPECIAL, tokens, 64, &n, error);
    const sy_importance_text read = {.struct_bytes = sizeof(read),
                                     .n_chunk_tokens = 8,
                                     .name = "example",
                                     .tokens = tokens,
                                     .n_tokens = n,
                                     .progress = progress};
    if (status == SY_OK) {
        status = sy_importance_measure(importance, engine, &read, error);
    }
    if (status == SY_OK && out != NULL) {
        status = sy_importance_write(importance, out, error);
    }
    if (status == SY_OK) {
        sy_importance_facts facts;
        sy_importance_get_facts(importance, &facts);
        printf("%u matrices measured\n", facts.n_tensors);
    }
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_importance *importance = NULL;
    sy_engine_options options;
    if (argc < 2) {
        puts("usage: example_importance MODEL.gguf [OUT.gguf]");
        return 2;
    }
    sy_error_clear(&error);
    sy_engine_options_default(&options);
    options.measure_importance = 1;
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], &options, &engine, &error);
    }
    if (status == SY_OK) {
        status = sy_importance_create(NULL, &importance, &error);
    }
    if (status == SY_OK) {
        status = work(engine, importance, argc > 2 ? argv[2] : NULL, &error);
    }
    if (status != SY_OK) {
        puts(error.message);
    }
    sy_importance_destroy(importance);
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
