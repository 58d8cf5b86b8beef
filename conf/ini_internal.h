/* SPDX-License-Identifier: Apache-2.0 */
/* The strict line scanner, and the pieces of the INI reader that share it. */
#ifndef SY_CONF_INI_INTERNAL_H
#define SY_CONF_INI_INTERNAL_H

#include "switchyard/ini.h"

#include <stdbool.h>

#define SY__INI_SECTION_BYTES 48u /* inih cuts section names after 49 bytes without an error */
#define SY__INI_KEY_BYTES 127u

typedef enum sy__ini_line_kind {
    SY__INI_BLANK,
    SY__INI_COMMENT,
    SY__INI_SECTION,
    SY__INI_KEY
} sy__ini_line_kind;

/* One line, cut up; the pointers lead into the text. */
typedef struct sy__ini_line {
    sy__ini_line_kind kind;
    const char *name; /* section or key */
    size_t n_name;
    const char *value;
    size_t n_value;
} sy__ini_line;

/* Says what a line (without its end) is, or why it is refused. The error gets no origin. */
sy_status sy__ini_scan_line(const char *line, size_t n_bytes, sy__ini_line *out_line,
                            sy_error *error);

/* Checks that the whole text is UTF-8 without controls and reordering; *out_line is the line of
 * the first problem. */
sy_status sy__ini_scan_characters(const char *bytes, size_t n_bytes, uint32_t *out_line,
                                  sy_error *error);

/* Better of two candidates for "did you mean"; *inout_best starts as NULL. */
void sy__ini_suggest(const char *given, const char *candidate, const char **inout_best,
                     uint32_t *inout_distance);

#endif
