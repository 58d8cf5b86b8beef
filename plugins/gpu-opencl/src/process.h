/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to the process that a plugin is loaded into, before and after a call of OpenCL. */
#ifndef OCL_PROCESS_H
#define OCL_PROCESS_H

#include "host.h"

#include <signal.h>

typedef struct ocl_process {
    struct sigaction handlers[31]; /* of the signals 1 to 31 */
    bool has_handler[31];
    char **variables; /* NULL: not known, left alone */
    size_t n_variables;
} ocl_process;

void ocl_process_note(ocl_process *process);
void ocl_process_put_back(ocl_process *process);

#endif
