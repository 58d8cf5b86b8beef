/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the sample GGUF file of tests/gguf: the seed that the fuzzer starts from. */
#include "gguf/gguf_sample.h"

int main(int argc, char **argv) {
    static gguf_writer writer;
    CHECK(argc == 2);
    sample_build(&writer);
    FILE *file = fopen(argv[1], "wb");
    CHECK(file != NULL && fwrite(writer.bytes, 1, writer.n_bytes, file) == writer.n_bytes);
    return fclose(file) == 0 ? 0 : 1;
}
