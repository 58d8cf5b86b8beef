/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that a verb gets from a flag, which may be repeated, and from the lines of a file. */
#ifndef SY_CLI_TEXT_LINES_H
#define SY_CLI_TEXT_LINES_H

#include "options.h"
#include "text_file.h"

typedef struct sy_cli_lines {
    const char **items; /* [n_most], in the order flag, file */
    uint32_t n, n_most;
    sy_cli_text text; /* of the file */
} sy_cli_lines;

/* Reads the file (NULL: none) and puts both together. A zeroed struct is empty. */
sy_status sy_cli_read_lines(const sy_cli_list *given, const char *path, sy_cli_lines *out_lines,
                            sy_error *error);
void sy_cli_free_lines(sy_cli_lines *lines);

#endif
