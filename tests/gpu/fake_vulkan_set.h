/* SPDX-License-Identifier: Apache-2.0 */
/* Sets faults of the fake libvulkan (fake_vulkan.h) that this process has loaded. */
#ifndef SY_TESTS_FAKE_VULKAN_SET_H
#define SY_TESTS_FAKE_VULKAN_SET_H

#include "gpu/fake_vulkan.h"
#include "harness.h"

#include <dlfcn.h>

static inline void fake_vulkan_set(fake_fault fault, int n_good, int is_once) {
    void (*function)(fake_fault fault, int n_good, int is_once);
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_NOLOAD);
    CHECK(library != NULL);
    void *symbol = dlsym(library, "fake_vulkan_fault");
    CHECK_TEXT(symbol != NULL, "the fake libvulkan is not in LD_LIBRARY_PATH");
    memcpy(&function, &symbol, sizeof(symbol));
    function(fault, n_good, is_once);
    dlclose(library);
}

#endif
