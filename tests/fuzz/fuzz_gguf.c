/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: any bytes as a GGUF file. What opens is walked to its last element. */
#include "switchyard/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static volatile uint8_t sink; /* what is read must not be optimised away */

static void walk_value(const sy_gguf_value *value) {
    int64_t number = 0;
    double real = 0.0;
    int flag = 0;
    sy_gguf_string string = {NULL, 0};
    for (uint64_t i = 0; i < value->n_elements; i++) {
        sy_status integer = sy_gguf_value_i64(value, i, &number, NULL);
        sy_status floating = sy_gguf_value_f64(value, i, &real, NULL);
        sy_status boolean = sy_gguf_value_bool(value, i, &flag, NULL);
        if (sy_gguf_value_string(value, i, &string, NULL) == SY_OK && string.n_bytes > 0) {
            sink = (uint8_t)string.bytes[string.n_bytes - 1];
        }
        sink = (uint8_t)(sink + integer + floating + boolean);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    sy_gguf *gguf = NULL;
    sy_error error;
    memset(&error, 0, sizeof(error));
    if (sy_gguf_open_memory(NULL, bytes, n_bytes, "fuzz", &gguf, &error) != SY_OK) {
        if (error.message[0] == '\0' || error.hint[0] == '\0' || error.file_offset > n_bytes) {
            abort(); /* a refusal is a sentence with a place in the file */
        }
        return 0;
    }
    sy_gguf_value value;
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_key_at(gguf, i, &value); i++) {
        walk_value(&value);
    }
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        const uint8_t *first = tensor.data;
        if (first < bytes || tensor.n_bytes > n_bytes || first + tensor.n_bytes > bytes + n_bytes) {
            abort();
        }
    }
    sy_gguf_close(gguf);
    return 0;
}
