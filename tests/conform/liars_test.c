/* SPDX-License-Identifier: Apache-2.0 */
/* Every lie of liar.c is found, by the check that is there for it; the honest twin passes. */
#include "harness.h"
#include "sy_conform.h"
#include "switchyard/status.h"

#include <stdbool.h>

typedef struct lie {
    const char *name, *check;
    uint32_t level; /* up to which it takes to find it */
} lie;

static const lie lies[] = {
    {"honest", NULL, 4},
    {"garbage", "L2.values", 2},
    {"stale_output", "L2.values", 2},
    {"silent_no", "L2.reason", 2},
    {"mute_no", "L2.reason", 2},
    {"fails_load", "L2.accept_then_fail", 2},
    {"fails_job", "L2.accept_then_fail", 2},
    {"wrong_tail", "L2.values", 2},
    {"two_signals", "L1.services", 2},
    {"no_signal", "L4.signals", 4},
    {"never_waits", "L4.waits", 4},
    {"past_end", "L2.accept_then_fail", 2},
    {"stomps_input", "L2.accept_then_fail", 2},
    {"rejects_larger", "L1.larger_struct", 1},
    {"ignores_must", "L1.must_extension", 1},
    {"refuses_may", "L1.may_extension", 1},
    {"leaks", "L1.leaks", 1},
    {"leaks_heap", "L1.leaks", 1},
    {"leaks_file", "L1.leaks", 1},
    {"newer_table", "L1.negotiate", 1},
    {"silent_decline", "L1.decline", 1},
    {"prints", "L1.silent", 1},
    {"handles_signals", "L1.signals", 1},
    {"sets_environment", "L1.environment", 1},
    {"crashes", "L1.alive", 2},
    {"hangs", "L1.ends", 2},
    {"wrong_row", "L3.state_rows", 3},
    {"shallow_clone", "L3.state_rows", 3},
    {"no_shift", "L3.state_rows", 3},
    {"half_table", "L1.states_whole", 1},
    {"maps_anything", "L3.map_range", 3},
    {"writes_weights", "L2.weights", 2},
    {"hoards", "L2.weight_bytes", 2},
    {"unchecked", "L1.alive", 3},
    {"any_version", "L2.version", 2},
    {"leaky_truncate", "L3.state_shared", 3},
    {"wrong_refusal", "L3.state_refusal", 3},
    {"same_fork", "L3.state_fork", 3},
    {"wrong_need", "L3.state_need", 3},
    {"forgets", "L3.state_window", 3},
};

static bool is_found(const sy_conform_report *report, const char *check) {
    for (uint32_t i = 0; i < report->n_kept; i++) {
        if (strcmp(report->failures[i].check, check) == 0) {
            return report->failures[i].text[0] != '\0';
        }
    }
    return false;
}

static void every_lie_is_found(void) {
    const char *build = getenv("SY_BUILD_DIR");
    uint32_t n_missed = 0;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        char path[512];
        sy_conform_options options;
        sy_conform_report *report = NULL;
        sy_error error;
        snprintf(path, sizeof(path), "%s/liars/%s/liar.so", build != NULL ? build : ".",
                 lies[i].name);
        sy_conform_options_default(&options);
        options.path = path;
        options.most_level = lies[i].level;
        options.seconds = strcmp(lies[i].name, "hangs") == 0 ? 20 : 400;
        CHECK_OK_ERROR(sy_conform_run(&options, &report, &error), error);
        bool found =
            lies[i].check != NULL ? is_found(report, lies[i].check) : report->n_failures == 0;
        printf("%-18s %-22s %u failures; first: %s %.100s\n", lies[i].name,
               lies[i].check != NULL ? lies[i].check : "passes", report->n_failures,
               report->failures[0].check, report->failures[0].text);
        fflush(stdout);
        n_missed += !found;
        sy_conform_report_destroy(report);
    }
    CHECK_TEXT(n_missed == 0, "%u lies are not found", n_missed);
}

static const sy_test_case cases[] = {{"every_lie_is_found", every_lie_is_found}};
SY_TEST_MAIN(cases)
