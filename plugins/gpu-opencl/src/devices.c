/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms and devices, and what they can do. */
#include "ocl.h"
#include "process.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PLATFORMS_MOST 16u
#define HALF_FP_CONFIG 0x1033 /* CL_DEVICE_HALF_FP_CONFIG of cl_ext.h */

uint64_t ocl_device_number(const ocl_api *api, cl_device_id id, cl_device_info what) {
    uint64_t number = 0; /* answers of 4 bytes leave the upper half: little-endian devices alone */
    size_t n_bytes = 0;
    if (api->clGetDeviceInfo(id, what, sizeof(number), &number, &n_bytes) != CL_SUCCESS) {
        return 0;
    }
    return n_bytes == sizeof(uint32_t) ? number & 0xffffffffu : number;
}

bool ocl_device_flag(const ocl_api *api, cl_device_id id, cl_device_info what) {
    cl_bool flag = CL_FALSE;
    return api->clGetDeviceInfo(id, what, sizeof(flag), &flag, NULL) == CL_SUCCESS && flag;
}

/* A text of a device, "" where it has none or a longer one. */
static void device_text(const ocl_api *api, cl_device_id id, cl_device_info what, size_t n_bytes,
                        char *out_text) {
    if (api->clGetDeviceInfo(id, what, n_bytes, out_text, NULL) != CL_SUCCESS) {
        out_text[0] = '\0';
    }
    out_text[n_bytes - 1] = '\0';
}

static bool has_extension(const ocl_api *api, cl_device_id id, const char *name) {
    char list[8192];
    device_text(api, id, CL_DEVICE_EXTENSIONS, sizeof(list), list);
    size_t n = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + n, name)) {
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* "OpenCL 3.0 ..." as 300. */
static unsigned device_version(const ocl_api *api, cl_device_id id) {
    char text[256];
    unsigned major = 0, minor = 0;
    device_text(api, id, CL_DEVICE_VERSION, sizeof(text), text);
    return sscanf(text, "OpenCL %2u.%1u", &major, &minor) == 2 ? major * 100 + minor * 10 : 0;
}

/* A name as policies can write it: one line, no sign that means something in a list. */
static void clean_name(const char *text, char out_name[64]) {
    while (*text == ' ') {
        text++;
    }
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == ' ') {
        n--;
    }
    n = n < 60 ? n : 60; /* room for a number */
    for (size_t i = 0; i < n; i++) {
        bool is_plain = isprint((unsigned char)text[i]) && strchr(",:;*?\"\\", text[i]) == NULL;
        out_name[i] = is_plain ? text[i] : '-';
    }
    out_name[n] = '\0';
    if (n == 0) {
        snprintf(out_name, 64, "opencl");
    }
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void read_memory_limits(const ocl_api *api, ocl_device *device) {
    gpu_limits *limits = &device->limits;
    cl_device_id id = device->id;
    bool is_unified = ocl_device_flag(api, id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    limits->memory_total_bytes = ocl_device_number(api, id, CL_DEVICE_GLOBAL_MEM_SIZE);
    limits->memory_most_bytes = ocl_device_number(api, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    /* Kernels count words in 32 bits, some compilers bytes in 32 bits with a sign. */
    limits->binding_most_bytes = least(limits->memory_most_bytes, 0x7ffffffcu) & ~UINT64_C(3);
    uint64_t align_bits = ocl_device_number(api, id, CL_DEVICE_MEM_BASE_ADDR_ALIGN);
    uint32_t align = 16; /* kernels read four words at once */
    while (align < align_bits / 8 && align < 65536u) {
        align *= 2;
    }
    limits->binding_alignment_bytes = align;
    /* What drivers for shared memory ask of host pointers is at most a page. */
    limits->import_alignment_bytes = limits->is_software ? align : align < 4096u ? 4096u : align;
    if (device_version(api, id) >= 200 && api->clSVMAlloc != NULL && api->clSVMFree != NULL) {
        uint64_t svm = ocl_device_number(api, id, CL_DEVICE_SVM_CAPABILITIES);
        device->has_svm = (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER) != 0;
    }
    limits->is_unified = is_unified && device->has_svm;
}

/* Adreno reads buffers past the cache of its texture units; others have one cache for both. */
static void read_images(const ocl_api *api, ocl_device *device) {
    char vendor[64];
    device_text(api, device->id, CL_DEVICE_VENDOR, sizeof(vendor), vendor);
    for (char *c = vendor; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    if (ocl_device_flag(api, device->id, CL_DEVICE_IMAGE_SUPPORT)) {
        device->images_most = ocl_device_number(api, device->id, CL_DEVICE_IMAGE_MAX_BUFFER_SIZE);
        device->likes_images = strstr(vendor, "qualcomm") != NULL;
    }
}

static void read_compute_limits(const ocl_api *api, ocl_device *device) {
    gpu_limits *limits = &device->limits;
    cl_device_id id = device->id;
    size_t sizes[16] = {0};
    limits->bindings_most = GPU_BINDINGS_MAX;
    uint64_t group = ocl_device_number(api, id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    if (api->clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(sizes), sizes, NULL) ==
        CL_SUCCESS) {
        group = least(group, sizes[0]);
    }
    limits->group_most = (uint32_t)least(group, 1u << 16);
    limits->shared_most_bytes =
        (uint32_t)least(ocl_device_number(api, id, CL_DEVICE_LOCAL_MEM_SIZE), UINT32_MAX);
    /* OpenCL tells no limit of groups; these keep items in 31 bits and are what drivers take. */
    limits->groups_most[0] = 0x7fffffffu / (limits->group_most > 0 ? limits->group_most : 1u);
    limits->groups_most[1] = limits->groups_most[2] = 65535u;
    limits->n_units = (uint32_t)ocl_device_number(api, id, CL_DEVICE_MAX_COMPUTE_UNITS);
    limits->has_float16 = has_extension(api, id, "cl_khr_fp16");
    uint64_t halves = limits->has_float16 ? ocl_device_number(api, id, HALF_FP_CONFIG) : 0;
    device->has_halves = (~halves & (CL_FP_INF_NAN | CL_FP_ROUND_TO_NEAREST)) == 0;
    device->keeps_subnormal_halves = (halves & CL_FP_DENORM) != 0;
    read_images(api, device);
    unsigned version = device_version(api, id);
    if (api->clGetKernelSubGroupInfo != NULL && version >= 210) {
        bool offers = version >= 300 ? ocl_device_number(api, id, CL_DEVICE_MAX_NUM_SUB_GROUPS) > 0
                                     : has_extension(api, id, "cl_khr_subgroups");
        device->has_subgroups = offers;
        snprintf(device->language, sizeof(device->language), version >= 300 ? "CL3.0" : "CL2.0");
    }
}

static void read_names(const ocl_api *api, ocl_device *device) {
    char text[256], platform[256] = "";
    device_text(api, device->id, CL_DEVICE_NAME, sizeof(text), text);
    clean_name(text, device->limits.id);
    api->clGetPlatformInfo(device->platform, CL_PLATFORM_NAME, sizeof(platform) - 1, platform,
                           NULL);
    device_text(api, device->id, CL_DRIVER_VERSION, sizeof(text), text);
    snprintf(device->limits.driver, sizeof(device->limits.driver), "%.30s %.31s", platform, text);
    for (char *c = device->limits.driver; *c != '\0'; c++) {
        *c = isprint((unsigned char)*c) ? *c : '-';
    }
}

/* NULL, or why the kernels cannot run there. */
static const char *find_obstacle(const ocl_api *api, cl_device_id id) {
    if (!ocl_device_flag(api, id, CL_DEVICE_AVAILABLE)) {
        return "it is not available";
    }
    if (!ocl_device_flag(api, id, CL_DEVICE_COMPILER_AVAILABLE)) {
        return "it has no compiler";
    }
    if (!ocl_device_flag(api, id, CL_DEVICE_ENDIAN_LITTLE)) {
        return "its bytes are in another order";
    }
    return device_version(api, id) < 120 ? "it is older than OpenCL 1.2" : NULL;
}

/* Appends " 2", " 3" to a name that others have. */
static void make_unique(ocl_device *devices, uint32_t i_device) {
    char name[64];
    memcpy(name, devices[i_device].limits.id, sizeof(name));
    for (uint32_t number = 1, i = 0; i < i_device;) {
        if (strcmp(devices[i].limits.id, devices[i_device].limits.id) == 0) {
            number++;
            snprintf(devices[i_device].limits.id, sizeof(name), "%.60s %u", name, number % 100u);
            i = 0;
        } else {
            i++;
        }
    }
}

static uint32_t find_of_platform(const ocl_api *api, cl_platform_id platform, uint32_t n_found,
                                 ocl_device *devices) {
    cl_device_id ids[OCL_DEVICES_MOST];
    cl_uint n = 0;
    cl_device_type types = CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR;
    if (api->clGetDeviceIDs(platform, types, OCL_DEVICES_MOST, ids, &n) != CL_SUCCESS) {
        return n_found;
    }
    n = n < OCL_DEVICES_MOST ? n : OCL_DEVICES_MOST;
    for (cl_uint i = 0; i < n && n_found < OCL_DEVICES_MOST; i++) {
        ocl_device *device = &devices[n_found];
        memset(device, 0, sizeof(*device));
        device->platform = platform;
        device->id = ids[i];
        read_names(api, device);
        const char *obstacle = find_obstacle(api, ids[i]);
        if (obstacle != NULL) {
            kit_remark(SY_SEVERITY_WARNING, "the OpenCL device %s is left out: %s",
                       device->limits.id, obstacle);
            continue;
        }
        uint64_t type = ocl_device_number(api, ids[i], CL_DEVICE_TYPE);
        device->limits.is_software = (type & CL_DEVICE_TYPE_CPU) != 0;
        read_memory_limits(api, device);
        read_compute_limits(api, device);
        make_unique(devices, n_found++);
    }
    return n_found;
}

static uint32_t find_all(const ocl_api *api, ocl_device *out_devices) {
    cl_platform_id platforms[PLATFORMS_MOST];
    cl_uint n_platforms = 0;
    cl_int code = api->clGetPlatformIDs(PLATFORMS_MOST, platforms, &n_platforms);
    if (code != CL_SUCCESS || n_platforms == 0) {
        kit_remark(SY_SEVERITY_INFO, "the OpenCL loader knows no driver (%s)", ocl_code_text(code));
        return 0;
    }
    n_platforms = n_platforms < PLATFORMS_MOST ? n_platforms : PLATFORMS_MOST;
    uint32_t n = 0;
    for (cl_uint i = 0; i < n_platforms; i++) {
        n = find_of_platform(api, platforms[i], n, out_devices);
    }
    if (n == 0) {
        kit_remark(SY_SEVERITY_INFO, "no OpenCL device is there that can run the kernels");
    }
    return n;
}

uint32_t ocl_devices_find(const ocl_api *api, ocl_device out_devices[OCL_DEVICES_MOST]) {
    ocl_process process;
    ocl_process_note(&process);
    uint32_t n = find_all(api, out_devices);
    ocl_process_put_back(&process);
    return n;
}

sy_status gpu_driver_enumerate(gpu_limits *out_limits, uint32_t *inout_count) {
    const char *why;
    const ocl_api *api = ocl_api_open(&why);
    ocl_device devices[OCL_DEVICES_MOST];
    uint32_t n = 0;
    if (api == NULL) {
        kit_remark(SY_SEVERITY_INFO, "%s", why);
    } else {
        n = ocl_devices_find(api, devices);
    }
    for (uint32_t i = 0; out_limits != NULL && i < n && i < *inout_count; i++) {
        out_limits[i] = devices[i].limits;
    }
    *inout_count = n;
    return SY_OK;
}
