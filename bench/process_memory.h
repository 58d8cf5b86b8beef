/* SPDX-License-Identifier: Apache-2.0 */
/* Stands alone: the measuring programs of peers, which are built by themselves, include it too. */
#ifndef SY_BENCH_PROCESS_MEMORY_H
#define SY_BENCH_PROCESS_MEMORY_H

#include <stdio.h>

/* Memory of this process that no file holds, in MiB. */
static inline double anonymous_mib(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long n_kib = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "RssAnon: %llu kB", &n_kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (double)n_kib / 1024;
}

#endif
