/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime without any plugin: the reference delegate is always there. */
#include <switchyard/runtime.h>

#include <stdio.h>

int main(void) {
    sy_runtime_options options;
    sy_runtime_options_default(&options);
    options.n_threads = 2;

    sy_error error;
    sy_runtime *runtime = NULL;
    if (sy_runtime_create(&options, &runtime, &error) != SY_OK) {
        printf("%s %s\n", error.message, error.hint);
        return 1;
    }
    uint32_t n_delegates = sy_runtime_n_delegates(runtime);
    printf("%u thread(s), %u delegate(s)\n", sy_runtime_n_threads(runtime), n_delegates);
    for (uint32_t i = 0; i < n_delegates; i++) {
        const sy_delegate *delegate = sy_runtime_delegate(runtime, i);
        printf("  %s on %s\n", delegate->name, delegate->info.id);
    }
    sy_runtime_destroy(runtime);
    return n_delegates == 1 ? 0 : 1;
}
