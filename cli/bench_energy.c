/* SPDX-License-Identifier: Apache-2.0 */
/* Energy counters of the processor packages (Linux powercap). Often only root may read them, and
 * virtual machines have none. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>

#define ZONES_MAX 16u

static uint64_t read_number(uint32_t i_zone, const char *file_name) {
    char path[96];
    uint64_t number = 0;
    snprintf(path, sizeof(path), "/sys/class/powercap/intel-rapl:%u/%s", i_zone, file_name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%" SCNu64, &number) != 1) {
        number = 0;
    }
    fclose(file);
    return number;
}

uint64_t sy_bench_energy_uj(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ZONES_MAX; i++) {
        sum += read_number(i, "energy_uj");
    }
    return sum;
}

double sy_bench_energy_between(uint64_t before_uj, uint64_t after_uj) {
    if (after_uj >= before_uj) {
        return (double)(after_uj - before_uj);
    }
    return (double)after_uj + (double)read_number(0, "max_energy_range_uj") - (double)before_uj;
}
