/* SPDX-License-Identifier: Apache-2.0 */
/* A model to a smaller file: example_quantize_model IN OUT.gguf. Without arguments: the types. */
#include <switchyard/huggingface.h>
#include <switchyard/quantize_model.h>

#include <stdio.h>

static void progress(void *user, const sy_quantized_tensor *tensor) {
    (void)user;
    printf("%u/%u %.*s\n", tensor->i_tensor + 1, tensor->n_tensors, (int)tensor->name.n_bytes,
           tensor->name.bytes);
}

int main(int argc, char **argv) {
    sy_error error;
    sy_gguf *model = NULL;
    if (argc < 3) {
        for (uint32_t i = 0; sy_quantize_mixture_at(i) != NULL; i++) {
            printf("%s ", sy_quantize_mixture_at(i));
        }
        putchar('\n');
        return 0;
    }
    const sy_quantize_options options = {
        .struct_bytes = sizeof(options), .mixture = "Q4_K_M", .progress = progress};
    sy_status status = sy_model_open(NULL, argv[1], &model, &error);
    if (status == SY_OK) {
        status = sy_model_quantize(NULL, model, argv[2], &options, &error);
        sy_gguf_close(model);
    }
    if (status != SY_OK) {
        char text[1024];
        sy_error_format(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
    return status == SY_OK ? 0 : 1;
}
