/* SPDX-License-Identifier: Apache-2.0 */
/* Asks of the kit that it finds what is wrong with delegates that lie. */
#ifndef SY_TESTS_CONFORM_LIARS_H
#define SY_TESTS_CONFORM_LIARS_H

#include "harness.h"
#include "sy_conform.h"
#include "switchyard/status.h"

#include <stdbool.h>

typedef struct lie {
    const char *name, *check; /* NULL: no lie, it must pass */
    uint32_t level;           /* up to which it takes to find it */
    uint32_t least_level;     /* from which it is looked for */
} lie;

static inline bool is_found(const sy_conform_report *report, const char *check) {
    for (uint32_t i = 0; i < report->n_kept; i++) {
        if (strcmp(report->failures[i].check, check) == 0) {
            return report->failures[i].text[0] != '\0';
        }
    }
    return false;
}

/* Runs <build>/liars/NAME/liar.so of each. */
static inline void find_lies(const lie *lies, size_t n_lies) {
    const char *build = getenv("SY_BUILD_DIR");
    uint32_t n_missed = 0;
    for (size_t i = 0; i < n_lies; i++) {
        char path[512];
        sy_conform_options options;
        sy_conform_report *report = NULL;
        sy_error error;
        snprintf(path, sizeof(path), "%s/liars/%s/liar.so", build != NULL ? build : ".",
                 lies[i].name);
        sy_conform_options_default(&options);
        options.path = path;
        options.most_level = lies[i].level;
        options.least_level = lies[i].least_level;
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

#endif
