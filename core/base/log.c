/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/log.h"

#include <stdio.h>

#define LOG_TEXT_BYTES 1024

void sy_log_write(const sy_log *log, sy_severity severity, const char *event, const char *format,
                  ...) {
    if (log == NULL || log->function == NULL || severity < log->least) {
        return;
    }
    char text[LOG_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0) {
        text[0] = '\0';
    }
    log->function(log->user, severity, event, text);
}
