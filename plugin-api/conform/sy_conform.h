/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance check of a delegate: levels L0 (static), L1 (lifecycle), L2 (verdicts against the
 * reference), L3 (memory and states), L4 (asynchronous work), L5 (blobs), L6 (faults). Each level
 * runs the plugin in a child process, so a crash or a hang is a failure with a sentence like any
 * other. plugin-api/RULES.md says which rule each check stands for.
 */
#ifndef SY_CONFORM_H
#define SY_CONFORM_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_CONFORM_LEVELS 7u
#define SY_CONFORM_FAILURES_MAX 200u
#define SY_CONFORM_TEXT_BYTES 320u

/* Start from sy_conform_options_default. */
typedef struct sy_conform_options {
    uint32_t struct_bytes; /* sizeof(sy_conform_options) */
    uint32_t most_level;   /* 0-6: levels up to this one run */
    const char *path;      /* of the shared object; its manifest lies beside it */
    const char *options;   /* "key=value\n..." for open, or NULL */
    uint32_t i_device;
    uint32_t seconds;     /* a level that takes longer is ended and failed; 0: 300 */
    uint32_t least_level; /* levels below it are left out */
} sy_conform_options;

typedef struct sy_conform_level {
    uint32_t is_run;
    uint32_t n_checks, n_failures;
    uint32_t n_declined; /* cases that the delegate does not offer, with a reason */
    uint32_t n_run;      /* cases that were run and compared */
    char note[160];      /* what of the level was left out, and why; "" nothing */
} sy_conform_level;

typedef struct sy_conform_failure {
    uint32_t level;
    char check[32]; /* "L2.values", as RULES.md names it */
    char text[SY_CONFORM_TEXT_BYTES];
} sy_conform_failure;

/* What came out. Failures past SY_CONFORM_FAILURES_MAX are counted only. */
typedef struct sy_conform_report {
    char path[512];
    char name[64], version[64]; /* of the table, once it was seen */
    char device[64];
    sy_conform_level levels[SY_CONFORM_LEVELS];
    uint32_t n_failures; /* all */
    uint32_t n_kept;
    sy_conform_failure failures[SY_CONFORM_FAILURES_MAX];
    char doing[SY_CONFORM_TEXT_BYTES]; /* what runs now, or ran when a child ended */
} sy_conform_report;

/* Fills defaults: all levels, device 0.
 * shape: -  unit: -  owner: caller  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
void sy_conform_options_default(sy_conform_options *out_options);

/* Runs the levels. What the plugin does wrong is in the report, not in the status.
 * shape: -  unit: -  owner: caller, sy_conform_report_destroy
 * errors: INVALID_ARGUMENT options, RESOURCE_EXHAUSTED memory or processes
 * thread: one at a time; forks  cost: seconds to minutes  since: 0.1
 * source: plugin-api/RULES.md */
SY_MUST_CHECK sy_status sy_conform_run(const sy_conform_options *options,
                                       sy_conform_report **out_report, sy_error *error);

/* Frees a report. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: any  cost: O(1)  since: 0.1
 * source: - */
void sy_conform_report_destroy(sy_conform_report *report);

/* The report as text for people or as JSON.
 * shape: -  unit: -  owner: caller, sy_string_destroy(NULL, text)
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(failures)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conform_report_format(const sy_conform_report *report, uint32_t as_json,
                                                 char **out_text, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
