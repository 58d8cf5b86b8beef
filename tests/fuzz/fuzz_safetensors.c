/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: any bytes as a safetensors file. */
#include "switchyard/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    sy_safetensors *safetensors = NULL;
    sy_safetensor tensor;
    sy_error error;
    memset(&error, 0, sizeof(error));
    if (sy_safetensors_open_memory(NULL, bytes, n_bytes, "fuzz", &safetensors, &error) != SY_OK) {
        if (error.message[0] == '\0' || error.hint[0] == '\0') {
            abort(); /* a refusal is a sentence with a hint */
        }
        return 0;
    }
    for (uint32_t i = 0; sy_safetensors_at(safetensors, i, &tensor); i++) {
        const uint8_t *first = tensor.data;
        if (first < bytes || tensor.n_bytes > n_bytes || first + tensor.n_bytes > bytes + n_bytes ||
            !sy_safetensors_find(safetensors, tensor.name, &tensor)) {
            abort();
        }
    }
    sy_safetensors_close(safetensors);
    return 0;
}
