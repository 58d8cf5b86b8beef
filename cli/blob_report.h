/* SPDX-License-Identifier: Apache-2.0 */
/* What became of the compiled segments of an engine. */
#ifndef SY_CLI_BLOB_REPORT_H
#define SY_CLI_BLOB_REPORT_H

#include "switchyard/engine.h"

#include <stdio.h>

/* A line for each segment that was compiled or taken from the store; nothing when there is none. */
void sy_cli_print_blobs(const sy_engine *engine, FILE *out);

#endif
