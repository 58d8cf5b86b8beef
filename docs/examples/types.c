/* SPDX-License-Identifier: Apache-2.0 */
/* What a weight matrix takes in each element type. */
#include <switchyard/types.h>

#include <inttypes.h>
#include <stdio.h>

int main(void) {
    static const char *const names[] = {"f32", "bf16", "Q8_0", "Q4_K"};
    const uint64_t n_rows = 4096;
    const uint64_t n_columns = 4096;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint64_t row_bytes = 0;
        sy_element_type type = sy_type_find(names[i]);
        if (sy_type_row_bytes(type, n_columns, &row_bytes) != SY_OK) {
            return 1;
        }
        printf("%-5s %9" PRIu64 " bytes\n", sy_type_get(type)->name, row_bytes * n_rows);
    }
    return 0;
}
