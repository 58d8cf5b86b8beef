/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one tiny model of every family into a folder: the seeds that fuzz_model starts from. */
#include "arch/tiny_model.h"

int main(int argc, char **argv) {
    static gguf_writer writer;
    char path[512];
    CHECK(argc == 2);
    for (uint32_t i = 0; sy__family_at(i) != NULL; i++) {
        tiny_model model = {.family = sy__family_at(i)->name, .n_layers = 1};
        model.fused = tiny_is(&model, "phi3");
        model.longrope = model.fused;
        model.rope_factors = tiny_is(&model, "llama");
        tiny_write(&model, &writer);
        snprintf(path, sizeof(path), "%s/%s", argv[1], model.family);
        FILE *file = fopen(path, "wb");
        CHECK(file != NULL && fwrite(writer.bytes, 1, writer.n_bytes, file) == writer.n_bytes);
        CHECK(fclose(file) == 0);
    }
    return 0;
}
