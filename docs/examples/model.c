/* SPDX-License-Identifier: Apache-2.0 */
/* Can this model run here? example_model FILE.gguf. Without a file it asks about bytes of its own,
 * which name an architecture that no build knows. */
#include <switchyard/model.h>

#include <inttypes.h>
#include <stdio.h>

/* GGUF version 3, no tensors, one key: general.architecture = "none". */
static const uint8_t none[] = "GGUF\3\0\0\0"
                              "\0\0\0\0\0\0\0\0"
                              "\1\0\0\0\0\0\0\0"
                              "\24\0\0\0\0\0\0\0general.architecture"
                              "\10\0\0\0"
                              "\4\0\0\0\0\0\0\0none";

static void print_facts(const sy_model_facts *facts) {
    printf("%s (%s): %u layers of width %u, %u words, trained for %u tokens\n", facts->architecture,
           facts->family, facts->n_layers, facts->n_embedding, facts->n_vocabulary,
           facts->n_trained_tokens);
    printf("one token of a session takes %" PRIu64 " bytes of cache in f16\n",
           2 * facts->kv_elements_per_token);
}

int main(int argc, char **argv) {
    sy_error error;
    sy_gguf *gguf = NULL;
    sy_model_facts facts = {.struct_bytes = sizeof(facts)};
    sy_status status =
        argc > 1 ? sy_gguf_open(NULL, argv[1], &gguf, &error)
                 : sy_gguf_open_memory(NULL, none, sizeof(none) - 1, "none", &gguf, &error);
    if (status == SY_OK) {
        status = sy_model_describe(NULL, gguf, &facts, &error);
        sy_gguf_close(gguf);
    }
    if (status == SY_OK) {
        print_facts(&facts);
        return 0;
    }
    char line[512];
    sy_error_format(&error, line, sizeof(line));
    printf("%s\n", line);
    return argc == 1 && SY_STATUS_CLASS(status) == SY_UNIMPLEMENTED ? 0 : 1;
}
