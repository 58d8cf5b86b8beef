/* SPDX-License-Identifier: Apache-2.0 */
/* The library never prints: it hands events to a function of yours. */
#include <switchyard/log.h>
#include <switchyard/version.h>

#include <stdio.h>

static void print_event(void *user, sy_severity severity, const char *event, const char *text) {
    int *n_events = user;
    ++*n_events;
    printf("[%u] %s %s\n", severity, event, text);
}

int main(void) {
    int n_events = 0;
    sy_log log = {print_event, &n_events, SY_SEVERITY_INFO}; /* debug events cost nothing */
    sy_log_write(&log, SY_SEVERITY_DEBUG, "example.detail", "dropped=%s", "yes");
    sy_log_write(&log, SY_SEVERITY_INFO, "example.start", "version=%s", sy_version());
    return n_events == 1 ? 0 : 1;
}
