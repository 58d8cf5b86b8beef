/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of level L6 share. */
#ifndef SY_CONFORM_FAULTS_H
#define SY_CONFORM_FAULTS_H

#include "conform/conform_internal.h"

#define SY__MILLISECOND 1000000ull
#define SY__FAULT_FENCE 1u
#define SY__PATIENCE_NS (5000 * SY__MILLISECOND) /* then a signal does not come any more */

/* One case and what the reference makes of it. */
typedef struct sy__fault_check {
    sy__conform *c;
    const sy__case *made;
    const sy__outcome *expected;
    sy__session *s;
    const char *fault; /* the option in force, "" none */
    bool has_cancel;
} sy__fault_check;

bool sy__fault_is_lost(sy_status status);
/* A device with this fault, "" none; false after a failure was noted. */
bool sy__fault_open(sy__fault_check *f, const char *fault, sy__session *session);
/* Loads, runs and compares. OK only with the values of the reference; then *out_outcome, if wanted,
 * is the caller's to deinit. */
sy_status sy__fault_run(sy__fault_check *f, sy__outcome *out_outcome, sy_error *error);
/* Checks that the answer comes at once. */
sy_health sy__fault_health(sy__fault_check *f);
/* A device that is opened anew computes, and takes the rows that another left (NULL: none did). */
void sy__fault_reopened(sy__fault_check *f, const sy__outcome *saved, const char *after);

/* faults_lost.c, faults_hung.c */
void sy__faults_lost(sy__fault_check *f);
void sy__faults_hung(sy__fault_check *f);

#endif
