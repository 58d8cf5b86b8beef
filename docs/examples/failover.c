/* SPDX-License-Identifier: Apache-2.0 */
/* Which delegates are here, and what is remembered of their failures. */
#include <switchyard/failover.h>

#include <stdio.h>

static const char *const conditions[] = {"ready", "in quarantine", "on probation", "out"};

int main(void) {
    sy_error error;
    sy_runtime *runtime = NULL;
    if (sy_runtime_create(NULL, &runtime, &error) != SY_OK) {
        puts(error.message);
        return 1;
    }
    sy_quarantine_options options;
    sy_quarantine_options_default(&options);
    options.backoff_ms = 250; /* tried again after a quarter of a second */
    sy_runtime_set_quarantine(runtime, &options);
    for (uint32_t i = 0; i < sy_runtime_n_delegates(runtime); i++) {
        sy_delegate_record record;
        sy_runtime_get_record(runtime, i, &record);
        printf("%s is %s; failures: %u, the newest: %s\n", sy_runtime_delegate(runtime, i)->name,
               conditions[record.condition], record.n_failures, sy_failure_name(record.failure));
    }
    sy_runtime_destroy(runtime);
    return 0;
}
