/* SPDX-License-Identifier: Apache-2.0 */
/* A row into Q4_K and back, with the error that this costs. */
#include <switchyard/quantize.h>

#include <math.h>
#include <stdio.h>

int main(void) {
    float row[256], back[256];
    unsigned char block[144];
    double squares = 0.0, errors = 0.0;
    sy_error error;
    for (int i = 0; i < 256; i++) {
        row[i] = sinf((float)i);
    }
    if (sy_quantize_row(SY_TYPE_Q4_K, row, 256, NULL, block, &error) != SY_OK ||
        sy_dequantize_row(SY_TYPE_Q4_K, block, 256, back, &error) != SY_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    for (int i = 0; i < 256; i++) {
        squares += (double)row[i] * (double)row[i];
        errors += (double)(row[i] - back[i]) * (double)(row[i] - back[i]);
    }
    printf("1024 bytes became %zu; the error is %.1f %% of the numbers\n", sizeof(block),
           100.0 * sqrt(errors / squares));
    return 0;
}
