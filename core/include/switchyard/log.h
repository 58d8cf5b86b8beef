/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging. The library never prints: events go to one sink that the application passes in. Prompts
 * and tokens are never part of an event.
 */
#ifndef SWITCHYARD_LOG_H
#define SWITCHYARD_LOG_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* event is a stable dotted id ("registry.plugin.rejected"); text is "key=value key=value". */
typedef void (*sy_log_function)(void *user, sy_severity severity, const char *event,
                                const char *text);

/* A sink. Caller's memory; a NULL sink or NULL function is silent. */
typedef struct sy_log {
    sy_log_function function;
    void *user;
    sy_severity least; /* events below are dropped before formatting */
} sy_log;

/* Sends one event; texts over 1024 bytes are cut.
 * shape: -  unit: -  owner: -  errors: none  thread: any, when the sink's function is
 * cost: O(text), no heap  since: 0.1  source: - */
void sy_log_write(const sy_log *log, sy_severity severity, const char *event, const char *format,
                  ...) SY_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif
#endif
