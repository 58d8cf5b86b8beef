/* SPDX-License-Identifier: Apache-2.0 */
/* Some OpenCL implementations install signal handlers and set variables when they begin (PoCL:
 * LLVM's, and one for hwloc). Both are the host's (SYP-10): they are put back. */
#include "process.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNALS (sizeof(((ocl_process *)0)->handlers) / sizeof(struct sigaction))

static size_t count_variables(void) {
    size_t n = 0;
    while (environ != NULL && environ[n] != NULL) {
        n++;
    }
    return n;
}

void ocl_process_note(ocl_process *process) {
    for (size_t i = 0; i < SIGNALS; i++) {
        process->has_handler[i] = sigaction((int)i + 1, NULL, &process->handlers[i]) == 0;
    }
    process->n_variables = count_variables();
    process->variables = kit_alloc(process->n_variables * sizeof(*process->variables));
    if (process->variables != NULL && process->n_variables > 0) {
        memcpy(process->variables, environ, process->n_variables * sizeof(*process->variables));
    }
}

static bool was_there(const ocl_process *process, const char *variable) {
    for (size_t i = 0; i < process->n_variables; i++) {
        if (strcmp(process->variables[i], variable) == 0) {
            return true;
        }
    }
    return false;
}

/* The value that a variable had, NULL if it had none. */
static const char *old_value(const ocl_process *process, const char *name, size_t n_name) {
    for (size_t i = 0; i < process->n_variables; i++) {
        if (strncmp(process->variables[i], name, n_name) == 0 &&
            process->variables[i][n_name] == '=') {
            return process->variables[i] + n_name + 1;
        }
    }
    return NULL;
}

/* Puts back the first variable that is new or other than before; false where there is none. */
static bool put_one_back(const ocl_process *process) {
    char name[128];
    for (size_t i = 0; environ != NULL && environ[i] != NULL; i++) {
        const char *end = strchr(environ[i], '=');
        size_t n = end != NULL ? (size_t)(end - environ[i]) : 0;
        if (n == 0 || n >= sizeof(name) || was_there(process, environ[i])) {
            continue;
        }
        memcpy(name, environ[i], n);
        name[n] = '\0';
        const char *old = old_value(process, name, n);
        return (old != NULL ? setenv(name, old, 1) : unsetenv(name)) == 0;
    }
    return false;
}

void ocl_process_put_back(ocl_process *process) {
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction now;
        if (process->has_handler[i] && sigaction((int)i + 1, NULL, &now) == 0 &&
            now.sa_handler != process->handlers[i].sa_handler) {
            sigaction((int)i + 1, &process->handlers[i], NULL);
        }
    }
    if (process->variables != NULL) {
        size_t n_most = count_variables();
        while (n_most-- > 0 && put_one_back(process)) {}
        kit_release(process->variables, process->n_variables * sizeof(*process->variables));
        process->variables = NULL;
    }
}
