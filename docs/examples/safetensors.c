/* SPDX-License-Identifier: Apache-2.0 */
/* What is inside of safetensors: example_safetensors PATH. Without one it reads its own bytes. */
#include <switchyard/safetensors.h>

#include <inttypes.h>
#include <stdio.h>

/* One tensor of two bytes. */
static const char tiny[] = "\76\0\0\0\0\0\0\0"
                           "{\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}        "
                           "  ";

int main(int argc, char **argv) {
    sy_error error;
    sy_safetensors *safetensors = NULL;
    sy_status status =
        argc > 1 ? sy_safetensors_open(NULL, argv[1], &safetensors, &error)
                 : sy_safetensors_open_memory(NULL, tiny, 8 + 62 + 2, "tiny", &safetensors, &error);
    if (status != SY_OK) {
        char text[1024];
        sy_error_format(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    const sy_safetensors_facts *facts = sy_safetensors_get_facts(safetensors);
    printf("%s: %" PRIu32 " tensors in %" PRIu32 " files\n", facts->origin, facts->n_tensors,
           facts->n_files);
    sy_safetensor tensor;
    for (uint32_t i = 0; sy_safetensors_at(safetensors, i, &tensor); i++) {
        printf("  %-40s %-4s %" PRIu64 " elements\n", tensor.name, tensor.dtype, tensor.n_elements);
    }
    sy_safetensors_close(safetensors);
    return 0;
}
