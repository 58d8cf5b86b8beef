/* SPDX-License-Identifier: Apache-2.0 */
/* A program that knows nothing but the installed headers and the one archive. */
#include <switchyard/types.h>
#include <switchyard/version.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    uint64_t n_bytes = 0;
    sy_status status = sy_type_row_bytes(sy_type_find("Q4_K"), 4096, &n_bytes);
    printf("switchyard %s: a row of 4096 in Q4_K takes %llu bytes\n", sy_version(),
           (unsigned long long)n_bytes);
    return status == SY_OK && n_bytes == 2304 && strcmp(sy_version(), SY_VERSION_STRING) == 0 ? 0
                                                                                              : 1;
}
