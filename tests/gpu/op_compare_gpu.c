/* SPDX-License-Identifier: Apache-2.0 */
/* A GPU delegate, GPU_PLUGIN of the build folder, on its first device. Computing on the CPU is fine
 * for a test. */
#include "kernels/op_compare.h"
#include "switchyard/types.h"

/* Skips the case where there is no device. */
static void check_device(const sy_test_host *host, const sy_plugin *plugin) {
    uint32_t n = 0;
    CHECK_OK(plugin->enumerate(host->services.context, NULL, 0, &n));
    if (n == 0) {
        SKIP("%s finds no device", GPU_PLUGIN);
    }
}

const sy_plugin *compare_delegate_entry(sy_test_host *host) {
    const sy_plugin *plugin = compare_entry_of(host, "plugins/" GPU_PLUGIN "/" GPU_PLUGIN ".so");
    check_device(host, plugin);
    return plugin;
}

/* PoCL 3.1 leaks four bytes with each image, which LeakSanitizer takes for ours. */
#ifdef __SANITIZE_ADDRESS__
#define IMAGES "images=off"
#else
#define IMAGES "images=on"
#endif

/* Bindings of 1 MiB: larger weights come in pieces. OpenCL reads them as images, too. */
uint32_t compare_variants(compare_variant out_variants[COMPARE_VARIANTS]) {
    static const compare_variant variants[] = {
        {.name = "its limits", .options = "software=on"},
        {.name = "small limits",
         .options = "software=on\nsubgroups=off\nbinding_limit_mib=1\n" IMAGES},
    };
    memcpy(out_variants, variants, sizeof(variants));
    return sizeof(variants) / sizeof(variants[0]);
}

const char *compare_options(void) {
    return "software=on";
}

bool compare_lacks(sy_element_type type) {
    static const sy_element_type read[] = {
        SY_TYPE_Q4_0,   SY_TYPE_Q4_1,   SY_TYPE_Q5_0, SY_TYPE_Q5_1, SY_TYPE_Q8_0,
        SY_TYPE_Q2_K,   SY_TYPE_Q3_K,   SY_TYPE_Q4_K, SY_TYPE_Q5_K, SY_TYPE_Q6_K,
        SY_TYPE_IQ4_NL, SY_TYPE_IQ4_XS, SY_TYPE_MXFP4};
    bool is_read = sy_type_get(type)->n_block_elements == 1;
    for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
        is_read = is_read || read[i] == type;
    }
    return !is_read;
}
