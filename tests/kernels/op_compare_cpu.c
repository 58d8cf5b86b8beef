/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU delegate at every ISA level, with one and with three workers. */
#include "kernels.h"
#include "op_compare.h"

const sy_plugin *compare_delegate_entry(sy_test_host *host) {
    return compare_entry_of(host, "plugins/cpu-xnnpack/cpu-xnnpack.so");
}

uint32_t compare_variants(compare_variant out_variants[COMPARE_VARIANTS]) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    uint32_t n = 0;
    for (; levels[n] != NULL; n++) {
        CHECK(n < COMPARE_VARIANTS);
        compare_variant *v = &out_variants[n];
        *v = (compare_variant){.n_other_workers = 3};
        snprintf(v->name, sizeof(v->name), "%s", levels[n]->name);
        snprintf(v->options, sizeof(v->options), "isa=%s", levels[n]->name);
        v->rounds_bf16 = strcmp(levels[n]->name, "avx512bf16") == 0;
    }
    return n;
}

const char *compare_options(void) {
    return NULL;
}

bool compare_lacks(sy_element_type type) {
    (void)type;
    return false;
}
