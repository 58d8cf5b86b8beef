/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_probe TYPE COLUMNS [IMPORTANCE]: f32 rows from standard input to quantised rows on
 * standard output; IMPORTANCE is a file of COLUMNS f32. */
#include "switchyard/quantize.h"

#include <stdio.h>
#include <stdlib.h>

static int run(sy_element_type type, size_t n, const float *importance) {
    uint64_t n_bytes = 0;
    sy_error error;
    float *row = malloc(n * sizeof(float));
    if (row == NULL || sy_type_row_bytes(type, n, &n_bytes) != SY_OK) {
        free(row);
        return 2;
    }
    void *out = malloc((size_t)n_bytes);
    int status = out == NULL;
    while (status == 0 && fread(row, sizeof(float), n, stdin) == n) {
        if (sy_quantize_row(type, row, n, importance, out, &error) != SY_OK) {
            fprintf(stderr, "%s\n", error.message);
            status = 1;
        } else {
            fwrite(out, 1, (size_t)n_bytes, stdout);
        }
    }
    free(out);
    free(row);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: quantize_probe TYPE COLUMNS [IMPORTANCE]\n");
        return 2;
    }
    sy_element_type type = sy_type_find(argv[1]);
    size_t n = strtoul(argv[2], NULL, 10);
    float *importance = NULL;
    if (argc > 3) {
        FILE *file = fopen(argv[3], "rb");
        importance = malloc(n * sizeof(float));
        if (file == NULL || importance == NULL || fread(importance, sizeof(float), n, file) != n) {
            fprintf(stderr, "cannot read %s\n", argv[3]);
            return 2;
        }
        fclose(file);
    }
    int status = run(type, n, importance);
    free(importance);
    return status;
}
