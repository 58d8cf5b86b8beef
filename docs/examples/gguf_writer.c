/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a model of one tensor in memory, reads it like a file, and writes it: example_gguf_writer
 * FILE.gguf. Without a file nothing is written. */
#include <switchyard/gguf_writer.h>

#include <inttypes.h>
#include <stdio.h>

static const float weights[4] = {1.0f, 2.0f, 3.0f, 4.0f};

static sy_status collect(sy_gguf_writer **out_writer, sy_error *error) {
    const sy_gguf_tensor tensor = {
        .name = {"t", 1}, .type = SY_TYPE_F32, .rank = 2, .dims = {2, 2, 1, 1}, .data = weights};
    sy_status status = sy_gguf_writer_create(NULL, out_writer, error);
    if (status == SY_OK) {
        sy_gguf_writer_put_string(*out_writer, "general.name", "tiny", 4);
        sy_gguf_writer_add_tensor(*out_writer, &tensor);
    }
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_gguf_writer *writer = NULL;
    sy_gguf *view = NULL;
    sy_status status = collect(&writer, &error);
    if (status == SY_OK && argc > 1) {
        status = sy_gguf_writer_save(writer, argv[1], NULL, NULL, &error);
    }
    if (status == SY_OK) {
        status =
            sy_gguf_writer_view(writer, "in memory", (sy_gguf_keep){NULL, NULL}, &view, &error);
    }
    if (status == SY_OK) {
        printf("%" PRIu64 " elements\n", sy_gguf_get_facts(view)->n_elements);
    } else {
        char text[1024];
        sy_error_format(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
    sy_gguf_close(view);
    sy_gguf_writer_destroy(writer);
    return status == SY_OK ? 0 : 1;
}
