/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_CLI_JSON_TEXT_H
#define SY_CLI_JSON_TEXT_H

#include <stdio.h>

/* A string of JSON: quotes, backslashes and control bytes are escaped. */
void sy_cli_put_json_text(FILE *out, const char *text);

#endif
