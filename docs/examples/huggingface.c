/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a model by its path, a GGUF file or a folder: example_huggingface PATH. */
#include <switchyard/huggingface.h>

#include <inttypes.h>
#include <stdio.h>

int main(int argc, char **argv) {
    sy_error error;
    sy_gguf *model = NULL;
    sy_gguf_string name;
    if (argc < 2) {
        puts("usage: example_huggingface PATH");
        return 0;
    }
    if (sy_model_open(NULL, argv[1], &model, &error) != SY_OK) {
        char text[1024];
        sy_error_format(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    if (sy_gguf_get_string(model, "general.architecture", &name, NULL) == SY_OK) {
        printf("%.*s, %" PRIu64 " parameters\n", (int)name.n_bytes, name.bytes,
               sy_gguf_get_facts(model)->n_elements);
    }
    sy_gguf_close(model);
    return 0;
}
