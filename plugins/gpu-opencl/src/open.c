/* SPDX-License-Identifier: Apache-2.0 */
/* A device is opened, tried out and closed. */
#include "ocl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROBE_WORDS 1024u
#define PROBE_GROUP 64u

/* Copies the first buffer to the second, in the device, and waits. */
static bool copy_probe(gpu_driver *driver, cl_mem from, cl_mem to) {
    const ocl_api *api = driver->api;
    return api->clEnqueueCopyBuffer(driver->queue, from, to, 0, 0, PROBE_WORDS * 4, 0, NULL,
                                    NULL) == CL_SUCCESS &&
           api->clFinish(driver->queue) == CL_SUCCESS;
}

/* Whether the device sees what the host writes into memory that it uses, and the reverse, with no
 * call in between: then there is no second copy of it. */
static bool sees_host_words(gpu_driver *driver, cl_mem imported, cl_mem other,
                            volatile uint32_t *words) {
    const ocl_api *api = driver->api;
    uint32_t word = 0, third = 3;
    words[0] = 1;
    if (!copy_probe(driver, imported, other)) {
        return false;
    }
    words[0] = 2;
    if (!copy_probe(driver, imported, other) ||
        api->clEnqueueReadBuffer(driver->queue, other, CL_TRUE, 0, 4, &word, 0, NULL, NULL) !=
            CL_SUCCESS ||
        word != 2) {
        return false;
    }
    return api->clEnqueueWriteBuffer(driver->queue, other, CL_TRUE, 0, 4, &third, 0, NULL, NULL) ==
               CL_SUCCESS &&
           copy_probe(driver, other, imported) && words[0] == 3;
}

static bool probe_import(gpu_driver *driver) {
    const ocl_api *api = driver->api;
    uint64_t align = driver->device.limits.import_alignment_bytes;
    size_t n_bytes = PROBE_WORDS * 4, n_all = n_bytes + (size_t)align;
    uint8_t *memory = kit_alloc(n_all);
    if (memory == NULL) {
        return false;
    }
    cl_int code;
    uint8_t *at = memory + (align - (uintptr_t)memory % align) % align;
    bool works = false;
    cl_mem imported = api->clCreateBuffer(driver->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                          n_bytes, at, &code);
    cl_mem other = api->clCreateBuffer(driver->context, CL_MEM_READ_WRITE, n_bytes, NULL, &code);
    if (imported != NULL && other != NULL) {
        works = sees_host_words(driver, imported, other, (volatile uint32_t *)(void *)at);
    }
    if (imported != NULL) {
        api->clReleaseMemObject(imported);
    }
    if (other != NULL) {
        api->clReleaseMemObject(other);
    }
    api->clFinish(driver->queue);
    kit_release(memory, n_all);
    return works;
}

/* A program of what the device says that it offers, or NULL, after a remark, where its compiler
 * does not know that. */
static cl_program probe_build(gpu_driver *driver, const char *text, const char *offer) {
    const ocl_api *api = driver->api;
    char options[64];
    cl_int code;
    snprintf(options, sizeof(options), "-cl-std=%s", ocl_language(&driver->device));
    cl_program program = api->clCreateProgramWithSource(driver->context, 1, &text, NULL, &code);
    if (program != NULL &&
        api->clBuildProgram(program, 1, &driver->device.id, options, NULL, NULL) != CL_SUCCESS) {
        api->clReleaseProgram(program);
        program = NULL;
    }
    if (program == NULL) {
        kit_remark(SY_SEVERITY_WARNING,
                   "%s offers %s, which its compiler does not take: kernels do without",
                   driver->device.limits.id, offer);
    }
    return program;
}

/* PoCL 7.1 has images, but no function that reads them in OpenCL C 1.2. */
static bool probe_images(gpu_driver *driver) {
    cl_program program =
        probe_build(driver,
                    "__kernel void run(__read_only image1d_buffer_t x, __global uint4 *y) {\n"
                    "    y[get_global_id(0)] = read_imageui(x, (int)get_global_id(0));\n"
                    "}\n",
                    "images");
    if (program != NULL) {
        driver->api->clReleaseProgram(program);
    }
    return program != NULL;
}

/* The size that a small kernel gets; 0 where sums over a subgroup do not compile. */
static uint32_t probe_subgroups(gpu_driver *driver) {
    const ocl_api *api = driver->api;
    cl_program program = probe_build(
        driver,
        "__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void run(__global uint *x) {\n"
        "    x[get_global_id(0)] = sub_group_reduce_add(x[get_global_id(0)] + "
        "get_num_sub_groups());\n"
        "}\n",
        "subgroups");
    if (program == NULL) {
        return 0;
    }
    cl_int code;
    size_t group[3] = {PROBE_GROUP, 1, 1}, size = 0;
    cl_kernel kernel = api->clCreateKernel(program, "run", &code);
    if (kernel != NULL) {
        if (api->clGetKernelSubGroupInfo(kernel, driver->device.id,
                                         CL_KERNEL_MAX_SUB_GROUP_SIZE_FOR_NDRANGE, sizeof(group),
                                         group, sizeof(size), &size, NULL) != CL_SUCCESS) {
            size = 0;
        }
        api->clReleaseKernel(kernel);
    }
    api->clReleaseProgram(program);
    return (uint32_t)size;
}

static sy_status create(gpu_driver *driver) {
    const ocl_api *api = driver->api;
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                          (cl_context_properties)driver->device.platform, 0};
    cl_int code;
    driver->context = api->clCreateContext(properties, 1, &driver->device.id, NULL, NULL, &code);
    if (driver->context == NULL) {
        return ocl_failed(driver, code, "opening an OpenCL context");
    }
    driver->queue = api->clCreateCommandQueue(driver->context, driver->device.id, 0, &code);
    if (driver->queue == NULL) {
        return ocl_failed(driver, code, "opening an OpenCL queue");
    }
    gpu_limits *limits = &driver->device.limits;
    limits->imports_host = ocl_device_flag(api, driver->device.id, CL_DEVICE_HOST_UNIFIED_MEMORY) &&
                           probe_import(driver);
    if (driver->device.has_subgroups) {
        limits->subgroup_size = probe_subgroups(driver);
        driver->device.has_subgroups = limits->subgroup_size > 0;
    }
    /* Where they are known to pay they are known to compile. */
    if (limits->texels_most > 0 && !driver->device.likes_images && !probe_images(driver)) {
        limits->texels_most = 0;
    }
    return SY_OK;
}

static bool is_chosen(gpu_choice choice, bool by_default, bool is_offered) {
    return is_offered && (choice == GPU_WHERE_OFFERED || (choice == GPU_BY_DEFAULT && by_default));
}

static void apply_options(gpu_driver *driver, const gpu_open_options *options) {
    ocl_device *device = &driver->device;
    gpu_limits *limits = &device->limits;
    const gpu_open_options usual = {.memory_limit_bytes = 0};
    options = options != NULL ? options : &usual;
    driver->memory_limit_bytes = limits->memory_total_bytes;
    if (options->binding_most_bytes > 0 &&
        options->binding_most_bytes < limits->binding_most_bytes) {
        limits->binding_most_bytes = options->binding_most_bytes & ~UINT64_C(3);
    }
    if (options->memory_limit_bytes > 0 &&
        options->memory_limit_bytes < driver->memory_limit_bytes) {
        driver->memory_limit_bytes = options->memory_limit_bytes;
        driver->is_budget = true;
    }
    /* On a CPU they are loops of its compiler, which PoCL 6 gets wrong. */
    device->has_subgroups =
        is_chosen(options->subgroups, !limits->is_software, device->has_subgroups);
    device->has_halves =
        is_chosen(options->float16, device->keeps_subnormal_halves, device->has_halves);
    if (is_chosen(options->images, device->likes_images, true)) {
        limits->texels_most = device->images_most;
    }
}

sy_status gpu_driver_open(uint32_t i_device, const gpu_open_options *options,
                          gpu_driver **out_driver) {
    const char *why;
    const ocl_api *api = ocl_api_open(&why);
    if (api == NULL) {
        return kit_report(SY_UNAVAILABLE, SY_NO_VALUE, "%s", why);
    }
    ocl_device devices[OCL_DEVICES_MOST];
    uint32_t n = ocl_devices_find(api, devices);
    if (i_device >= n) {
        return kit_report(SY_NOT_FOUND, SY_NO_VALUE, "there are %u OpenCL devices, not %u", n,
                          i_device + 1);
    }
    gpu_driver *driver = kit_alloc(sizeof(*driver));
    if (driver == NULL || !ocl_tickets_init(&driver->tickets, api)) {
        kit_release(driver, sizeof(*driver));
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to open a device");
    }
    driver->api = api;
    driver->device = devices[i_device];
    apply_options(driver, options);
    sy_status status = create(driver);
    if (status != SY_OK) {
        gpu_driver_close(driver);
        return status;
    }
    *out_driver = driver;
    return SY_OK;
}

void gpu_driver_close(gpu_driver *driver) {
    if (driver == NULL) {
        return;
    }
    const ocl_api *api = driver->api;
    if (!ocl_tickets_deinit(&driver->tickets)) {
        kit_remark(SY_SEVERITY_WARNING, "%s still computes: its memory is not given back",
                   driver->device.limits.id);
        return;
    }
    ocl_pipelines_free(driver);
    ocl_ground_free(driver);
    if (driver->queue != NULL) {
        api->clReleaseCommandQueue(driver->queue);
    }
    if (driver->context != NULL) {
        api->clReleaseContext(driver->context);
    }
    kit_release(driver, sizeof(*driver));
}

const gpu_limits *gpu_driver_limits(const gpu_driver *driver) {
    return &driver->device.limits;
}

uint64_t gpu_driver_free_bytes(gpu_driver *driver) {
    uint64_t taken = atomic_load(&driver->taken_bytes);
    return taken < driver->memory_limit_bytes ? driver->memory_limit_bytes - taken : 0;
}

bool gpu_driver_is_lost(const gpu_driver *driver) {
    return atomic_load(&driver->is_lost);
}

uint64_t gpu_driver_n_compiled(const gpu_driver *driver) {
    return atomic_load(&driver->n_compiled);
}

sy_status gpu_driver_wait(gpu_driver *driver, uint64_t ticket, uint64_t deadline_ns) {
    sy_status status = ocl_check(driver);
    if (status != SY_OK) {
        return status;
    }
    cl_int result;
    status = ocl_tickets_wait(&driver->tickets, ticket, deadline_ns, &result);
    if (status == SY_DEADLINE_EXCEEDED) {
        return kit_report(status, SY_NO_VALUE, "%s has not finished run %" PRIu64 " in time",
                          driver->device.limits.id, ticket);
    }
    if (status != SY_OK) {
        return kit_report(status, SY_NO_VALUE, "there was no run %" PRIu64, ticket);
    }
    return result == CL_COMPLETE ? SY_OK : ocl_work_failed(driver, result, "a run ended");
}
