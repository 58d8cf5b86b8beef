/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static ocl_api api;
static const char *why_not;

/* Object pointers and function pointers convert by their bytes (POSIX, dlsym). */
static int find(void *library, const char *name, void *out_function) {
    void *found = dlsym(library, name);
    memcpy(out_function, &found, sizeof(found));
    return found != NULL;
}

static void open_once(void) {
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
    void *library = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && library == NULL; i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL) {
        why_not = "there is no OpenCL loader (libOpenCL.so.1) here";
        return;
    }
    int n_missing = 0;
#define OCL_FIND(name) n_missing += !find(library, #name, &api.name);
    OCL_FUNCTIONS_1_2(OCL_FIND)
    if (n_missing > 0) {
        why_not = "the OpenCL loader is older than version 1.2";
    }
    OCL_FUNCTIONS_NEWER(OCL_FIND)
#undef OCL_FIND
}

const ocl_api *ocl_api_open(const char **out_why) {
    pthread_once(&once, open_once);
    if (why_not != NULL) {
        *out_why = why_not;
        return NULL;
    }
    return &api;
}
