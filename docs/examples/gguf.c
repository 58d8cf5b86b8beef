/* SPDX-License-Identifier: Apache-2.0 */
/* What is inside a model file: example_gguf FILE.gguf. Without a file it reads bytes of its own. */
#include <switchyard/gguf.h>

#include <inttypes.h>
#include <stdio.h>

/* Version 3, no tensors, one key: general.name = "tiny". */
static const uint8_t tiny[] = "GGUF\3\0\0\0"
                              "\0\0\0\0\0\0\0\0"
                              "\1\0\0\0\0\0\0\0"
                              "\14\0\0\0\0\0\0\0general.name"
                              "\10\0\0\0"
                              "\4\0\0\0\0\0\0\0tiny";

static void print_tensors(const sy_gguf *gguf) {
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        printf("  %-40.*s %-6s %" PRIu64 " x %" PRIu64 "\n", (int)tensor.name.n_bytes,
               tensor.name.bytes, sy_type_get(tensor.type)->name, tensor.dims[1], tensor.dims[0]);
    }
}

int main(int argc, char **argv) {
    sy_error error;
    sy_gguf *gguf = NULL;
    sy_status status =
        argc > 1 ? sy_gguf_open(NULL, argv[1], &gguf, &error)
                 : sy_gguf_open_memory(NULL, tiny, sizeof(tiny) - 1, "tiny", &gguf, &error);
    if (status != SY_OK) {
        char line[512]; /* damaged files are refused with the offset, never read past */
        sy_error_format(&error, line, sizeof(line));
        printf("%s\n", line);
        return 1;
    }
    const sy_gguf_facts *facts = sy_gguf_get_facts(gguf);
    sy_gguf_string name;
    if (sy_gguf_get_string(gguf, "general.name", &name, NULL) == SY_OK) {
        printf("%.*s: ", (int)name.n_bytes, name.bytes);
    }
    printf("%u keys, %u tensors, %" PRIu64 " bytes of weights\n", facts->n_keys, facts->n_tensors,
           facts->tensor_bytes);
    print_tensors(gguf);
    sy_gguf_close(gguf);
    return 0;
}
