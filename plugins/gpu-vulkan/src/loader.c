/* SPDX-License-Identifier: Apache-2.0 */
/* libvulkan is opened at run time: a machine without it has no Vulkan device, and that is all. */
#include "vk.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;
static vk_instance the_instance;
static void *the_library;
static uint32_t n_users;

/* An exit of the process calls this before destructors; an unloading of the plugin, after them. */
static bool is_exiting;
static void exit_begins(void) {
    is_exiting = true;
}

static bool open_library(void) {
    the_library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (the_library == NULL) {
        kit_remark(SY_SEVERITY_INFO, "no Vulkan device: libvulkan.so.1 cannot be loaded; install "
                                     "the Vulkan loader and the driver of the GPU");
        return false;
    }
    void *symbol = dlsym(the_library, "vkGetInstanceProcAddr");
    memcpy(&the_instance.get, &symbol, sizeof(symbol)); /* C has no cast between the two kinds */
    if (symbol == NULL) {
        kit_remark(SY_SEVERITY_WARNING, "no Vulkan device: libvulkan.so.1 has no entry function");
    }
    return symbol != NULL;
}

static VkResult create_instance(void) {
    vk_instance *instance = &the_instance;
    PFN_vkEnumerateInstanceVersion version_of =
        (PFN_vkEnumerateInstanceVersion)instance->get(NULL, "vkEnumerateInstanceVersion");
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)instance->get(NULL, "vkCreateInstance");
    uint32_t version = VK_API_VERSION_1_0;
    if (create == NULL || version_of == NULL || version_of(&version) != VK_SUCCESS ||
        version < VK_API_VERSION_1_1) {
        return VK_ERROR_INCOMPATIBLE_DRIVER;
    }
    instance->version = version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3;
    VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                     .pEngineName = "switchyard",
                                     .apiVersion = instance->version};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &application};
    return create(&info, NULL, &instance->handle);
}

static bool load_functions(void) {
    vk_instance *instance = &the_instance;
    bool is_complete = true;
#define LOAD(name)                                                              \
    instance->name = (PFN_vk##name)instance->get(instance->handle, "vk" #name); \
    is_complete = is_complete && instance->name != NULL;
    VK_INSTANCE_FUNCTIONS(LOAD)
#undef LOAD
    if (!is_complete) {
        kit_remark(SY_SEVERITY_WARNING, "no Vulkan device: the loader lacks functions of 1.1");
    }
    return is_complete;
}

static void close_all(void) {
    if (the_instance.handle != NULL && the_instance.DestroyInstance != NULL) {
        the_instance.DestroyInstance(the_instance.handle, NULL);
    }
    if (the_library != NULL) {
        dlclose(the_library);
    }
    the_library = NULL;
    the_instance = (vk_instance){0};
}

static bool open_all(void) {
    static bool is_told;
    if (!open_library()) {
        return false;
    }
    is_told = is_told || atexit(exit_begins) == 0;
    VkResult result = create_instance();
    if (result != VK_SUCCESS) {
        kit_remark(SY_SEVERITY_INFO,
                   "no Vulkan device: no instance of Vulkan 1.1 (VkResult %d); is the driver of "
                   "the GPU installed?",
                   (int)result);
        return false;
    }
    return load_functions();
}

const vk_instance *vk_instance_take(void) {
    pthread_mutex_lock(&the_lock);
    bool is_open = the_instance.handle != NULL || open_all();
    if (is_open) {
        n_users++;
    } else {
        close_all();
    }
    pthread_mutex_unlock(&the_lock);
    return is_open ? &the_instance : NULL;
}

/* Making an instance loads every driver of the machine, for tens of milliseconds: who looked for
 * devices keeps it for whoever opens one. It does not outlive the last device, since an exit of the
 * process unloads drivers in an order that not all of them bear. */
void vk_instance_drop(bool is_kept) {
    pthread_mutex_lock(&the_lock);
    if (--n_users == 0 && !is_kept) {
        close_all();
    }
    pthread_mutex_unlock(&the_lock);
}

/* When the plugin is unloaded and no device was opened. At an exit what layers hold may be gone:
 * the instance goes with the process. */
__attribute__((destructor)) static void unload(void) {
    if (!is_exiting) {
        close_all();
    }
}
