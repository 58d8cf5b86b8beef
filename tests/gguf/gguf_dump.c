/* SPDX-License-Identifier: Apache-2.0 */
/* Prints all that the reader sees, one line a key or tensor, for tests/python/test_gguf.py:
 *   key NAME TYPE|[TYPE] element element ...      strings as hex, floats with 17 digits
 *   tensor NAME TYPE_NUMBER dims(0 first) file_offset n_bytes sha256 */
#include "base/digest.h"
#include "switchyard/gguf.h"

#include <inttypes.h>
#include <stdio.h>

static int print_element(const sy_gguf_value *value, uint64_t i) {
    int64_t number = 0;
    uint64_t large = 0;
    double real = 0.0;
    int flag = 0;
    sy_gguf_string string = {NULL, 0};
    switch (value->type) {
    case SY_GGUF_F32:
    case SY_GGUF_F64:
        return sy_gguf_value_f64(value, i, &real, NULL) == SY_OK && printf(" %.17g", real) > 0;
    case SY_GGUF_BOOL:
        return sy_gguf_value_bool(value, i, &flag, NULL) == SY_OK && printf(" %d", flag) > 0;
    case SY_GGUF_STRING:
        if (sy_gguf_value_string(value, i, &string, NULL) != SY_OK) {
            return 0;
        }
        printf(" x");
        for (uint64_t j = 0; j < string.n_bytes; j++) {
            printf("%02x", (unsigned char)string.bytes[j]);
        }
        return 1;
    case SY_GGUF_U64:
        return sy_gguf_value_u64(value, i, &large, NULL) == SY_OK && printf(" %" PRIu64, large) > 0;
    default:
        return sy_gguf_value_i64(value, i, &number, NULL) == SY_OK &&
               printf(" %" PRId64, number) > 0;
    }
}

static int print_keys(const sy_gguf *gguf) {
    sy_gguf_value value;
    for (uint32_t i = 0; sy_gguf_key_at(gguf, i, &value); i++) {
        printf("key %.*s %s%s%s", (int)value.key.n_bytes, value.key.bytes,
               value.is_array ? "[" : "", sy_gguf_type_name(value.type), value.is_array ? "]" : "");
        for (uint64_t j = 0; j < value.n_elements; j++) {
            if (!print_element(&value, j)) {
                return 1;
            }
        }
        printf("\n");
    }
    return 0;
}

static void print_tensors(const sy_gguf *gguf) {
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        sy__sha256 sha;
        uint8_t digest[32];
        char hex[65];
        sy__sha256_init(&sha);
        sy__sha256_update(&sha, tensor.data, (size_t)tensor.n_bytes);
        sy__sha256_final(&sha, digest);
        sy__digest_hex(digest, hex);
        printf("tensor %.*s %" PRIu32 " ", (int)tensor.name.n_bytes, tensor.name.bytes,
               tensor.type);
        for (uint32_t j = 0; j < tensor.rank; j++) {
            printf("%s%" PRIu64, j > 0 ? "x" : "", tensor.dims[j]);
        }
        printf(" %" PRIu64 " %" PRIu64 " %s\n", tensor.file_offset, tensor.n_bytes, hex);
    }
}

int main(int argc, char **argv) {
    sy_gguf *gguf = NULL;
    sy_error error;
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE.gguf\n", argv[0]);
        return 2;
    }
    if (sy_gguf_open(NULL, argv[1], &gguf, &error) != SY_OK) {
        char text[1024];
        sy_error_format(&error, text, sizeof(text));
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    int status = print_keys(gguf);
    print_tensors(gguf);
    sy_gguf_close(gguf);
    return status;
}
