/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a plugin folder and what became of it: example_registry [FOLDER]. */
#include <switchyard/registry.h>

#include <stdio.h>

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_registry *registry = NULL;
    const char *folder = argc > 1 ? argv[1] : "/usr/lib/switchyard/plugins";
    const char *const folders[] = {folder};

    sy_registry_options options;
    sy_registry_options_default(&options);
    options.directories = folders;
    options.n_directories = 1;
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_registry_open(runtime, &options, &registry, &error);
    }
    if (status != SY_OK) {
        printf("%s %s\n", error.message, error.hint);
        sy_runtime_destroy(runtime);
        return 1;
    }
    uint32_t n_candidates = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(registry, &n_candidates);
    for (uint32_t i = 0; i < n_candidates; i++) { /* the refused ones say why */
        printf("%s: %s %s\n", candidates[i]->name, sy_candidate_state_name(candidates[i]->state),
               candidates[i]->reason);
    }
    printf("%u candidate(s), %u delegate(s) to plan with\n", n_candidates,
           sy_runtime_n_delegates(runtime));
    sy_registry_close(registry);
    sy_runtime_destroy(runtime);
    return 0;
}
