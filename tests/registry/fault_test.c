/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation fails in turn while plugins are scanned, loaded, asked and reported: a clean
 * status, nothing leaked, no descriptor left open, and the same scan then works. */
#include "sandbox.h"

#include "switchyard/graph.h"
#include "tools/fault.h"

#include <dirent.h>

static int count_descriptors(void) {
    int n = 0;
    DIR *stream = opendir("/proc/self/fd");
    CHECK(stream != NULL);
    while (readdir(stream) != NULL) {
        n++;
    }
    closedir(stream);
    return n;
}

static sy_status use(sandbox *box, sy_error *error) {
    char *text = NULL;
    sy_status status = sandbox_scan_status(box, "[delegate cpu-test]\nspeed = fast\n", error);
    if (status == SY_OK) {
        status = sy_registry_cover(box->registry, error);
    }
    if (status == SY_OK) {
        status = sy_registry_report(box->registry, SY_REGISTRY_JSON, &text, error);
    }
    sy_string_destroy(box->allocator, text);
    return status;
}

/* A plugin may also be listed as broken when memory ran out inside of it or for its services. */
static bool some_plugin_suffered(const sandbox *box) {
    uint32_t n = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(box->registry, &n);
    for (uint32_t i = 0; i < n; i++) {
        bool has_note = candidates[i]->n_devices > 0 && candidates[i]->devices[0].reason[0] != '\0';
        if (candidates[i]->state == SY_CANDIDATE_BROKEN || has_note) {
            return true;
        }
    }
    return false;
}

static void failures(bool is_persistent) {
    sandbox box;
    sandbox_open(&box);
    place(&box, "good");
    place_as(&box, "cpu-second", "second", "[plugin]\nname = cpu-second\nabi_min = 0.9\n");
    int n_descriptors = count_descriptors();
    for (uint64_t n = 1;; n++) {
        sy_test_fault fault;
        sy_error error;
        sy_test_fault_init(&fault, n, is_persistent);
        box.allocator = &fault.allocator;
        sy_error_clear(&error);
        sy_status status = use(&box, &error);
        CHECK_TEXT(status == SY_OK || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED ||
                       SY_STATUS_CLASS(status) == SY_INTERNAL,
                   "call %lu: %u %s", (unsigned long)n, status, error.message);
        CHECK_TEXT(status != SY_OK || !fault.has_failed || some_plugin_suffered(&box),
                   "call %lu failed and nobody noticed", (unsigned long)n);
        sandbox_unload(&box);
        CHECK_TEXT(fault.live_bytes == 0, "call %lu leaks", (unsigned long)n);
        CHECK_TEXT(count_descriptors() == n_descriptors, "call %lu leaks a descriptor",
                   (unsigned long)n);
        if (!fault.has_failed) {
            CHECK(status == SY_OK && n > 30);
            break;
        }
    }
    box.allocator = NULL;
    sandbox_close(&box);
}

static void one_allocation_fails(void) {
    failures(false);
}

static void all_allocations_fail_from_then_on(void) {
    failures(true);
}

static const sy_test_case cases[] = {
    {"one_allocation_fails", one_allocation_fails},
    {"all_allocations_fail_from_then_on", all_allocations_fail_from_then_on},
};
SY_TEST_MAIN(cases)
