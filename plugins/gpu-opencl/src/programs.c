/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines: programs of one kernel each, built with its constants and kept. */
#include "ocl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kernel_sources.h"

#define OPTIONS_CHARS 640u
#define LOG_CHARS 150u /* of a report */

/* The log's lines from the first error on, on one line. */
static void first_errors(gpu_driver *driver, cl_program program, char out_text[LOG_CHARS]) {
    const ocl_api *api = driver->api;
    size_t n = 0;
    out_text[0] = '\0';
    if (api->clGetProgramBuildInfo(program, driver->device.id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) !=
            CL_SUCCESS ||
        n == 0) {
        return;
    }
    char *log = kit_alloc(n + 1);
    if (log == NULL) {
        return;
    }
    if (api->clGetProgramBuildInfo(program, driver->device.id, CL_PROGRAM_BUILD_LOG, n, log,
                                   NULL) == CL_SUCCESS) {
        const char *from = strstr(log, "error:");
        while (from != NULL && from > log && from[-1] != '\n') {
            from--;
        }
        snprintf(out_text, LOG_CHARS, "%s", from != NULL ? from : log);
    }
    kit_release(log, n + 1);
    for (char *c = out_text; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
}

sy_status ocl_program_build(gpu_driver *driver, const char *const *texts, uint32_t n_texts,
                            const char *options, const char *name, cl_program *out_program) {
    const ocl_api *api = driver->api;
    cl_int code;
    /* The call takes the texts as they are; its prototype has one const too few. */
    const char **pieces = NULL;
    memcpy(&pieces, &texts, sizeof(pieces));
    cl_program program =
        api->clCreateProgramWithSource(driver->context, n_texts, pieces, NULL, &code);
    if (program == NULL) {
        return ocl_failed(driver, code, "handing a kernel to the compiler");
    }
    code = api->clBuildProgram(program, 1, &driver->device.id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        char log[LOG_CHARS];
        first_errors(driver, program, log);
        api->clReleaseProgram(program);
        if (code != CL_BUILD_PROGRAM_FAILURE) {
            return ocl_failed(driver, code, "compiling a kernel");
        }
        return kit_report(SY_INTERNAL, SY_NO_VALUE, "%s does not compile on %s: %s", name,
                          driver->device.limits.id, log);
    }
    *out_program = program;
    return SY_OK;
}

static void write_options(const gpu_driver *driver, const uint32_t *constants,
                          char out_options[OPTIONS_CHARS]) {
    size_t at = (size_t)snprintf(out_options, OPTIONS_CHARS, "-w -cl-std=%s%s%s",
                                 ocl_language(&driver->device),
                                 driver->device.has_subgroups ? " -DSUBGROUPS" : "",
                                 driver->device.has_halves ? " -DNATIVE_HALVES" : "");
    for (uint32_t i = 0; i < GPU_CONSTANTS_MAX; i++) {
        at += (size_t)snprintf(out_options + at, OPTIONS_CHARS - at, " -DS%u=%" PRIu32 "u", i,
                               constants[i]);
    }
}

static sy_status build(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    const ocl_kernel_source *source = &ocl_kernel_sources[pipeline->kernel];
    char options[OPTIONS_CHARS];
    write_options(driver, pipeline->constants, options);
    sy_status status = ocl_program_build(driver, source->pieces, source->n_pieces, options,
                                         gpu_kernels[pipeline->kernel].name, &pipeline->program);
    if (status == SY_OK) {
        atomic_fetch_add(&driver->n_compiled, 1);
    }
    return status;
}

/* Takes the program from a binary that a blob brought; false where there is none or the driver
 * does not take it, and source has to do. */
static bool load(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    const ocl_api *api = driver->api;
    ocl_code *binary = ocl_code_take(driver, pipeline->kernel, pipeline->constants);
    if (binary == NULL) {
        return false;
    }
    const unsigned char *bytes = binary->bytes;
    cl_int code, of_binary = CL_SUCCESS;
    cl_program program = api->clCreateProgramWithBinary(
        driver->context, 1, &driver->device.id, &binary->n_bytes, &bytes, &of_binary, &code);
    if (program != NULL) {
        code = api->clBuildProgram(program, 1, &driver->device.id, "", NULL, NULL);
        if (code != CL_SUCCESS) {
            api->clReleaseProgram(program);
        }
    }
    ocl_code_free(binary);
    if (program == NULL || code != CL_SUCCESS) {
        kit_remark(SY_SEVERITY_WARNING, "%s refused its own code of %s: compiling it",
                   driver->device.limits.id, gpu_kernels[pipeline->kernel].name);
        return false;
    }
    pipeline->program = program;
    return true;
}

/* A compiler may leave a kernel fewer invocations than the device has. */
static sy_status check_group(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    const ocl_api *api = driver->api;
    cl_int code;
    cl_kernel kernel = api->clCreateKernel(pipeline->program, "run", &code);
    if (kernel == NULL) {
        return ocl_failed(driver, code, "finding the kernel in its program");
    }
    size_t most = 0;
    cl_ulong shared = 0;
    code = api->clGetKernelWorkGroupInfo(kernel, driver->device.id, CL_KERNEL_WORK_GROUP_SIZE,
                                         sizeof(most), &most, NULL);
    if (code == CL_SUCCESS) {
        code = api->clGetKernelWorkGroupInfo(kernel, driver->device.id, CL_KERNEL_LOCAL_MEM_SIZE,
                                             sizeof(shared), &shared, NULL);
    }
    api->clReleaseKernel(kernel);
    if (code != CL_SUCCESS) {
        return ocl_failed(driver, code, "asking a kernel for its limits");
    }
    const char *name = gpu_kernels[pipeline->kernel].name;
    if (most < pipeline->constants[0]) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "%s runs in groups of at most %zu on %s, not of %" PRIu32, name, most,
                          driver->device.limits.id, pipeline->constants[0]);
    }
    if (shared > driver->device.limits.shared_most_bytes) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "%s shares %" PRIu64 " bytes in a group, %s has %" PRIu32, name,
                          (uint64_t)shared, driver->device.limits.id,
                          driver->device.limits.shared_most_bytes);
    }
    return SY_OK;
}

static void release(gpu_pipeline *pipeline) {
    if (pipeline->program != NULL) {
        pipeline->driver->api->clReleaseProgram(pipeline->program);
        pipeline->program = NULL;
    }
}

/* A free place, or that of the one that was not used for longest; NULL where all are used. */
static gpu_pipeline *find_place(gpu_driver *driver) {
    gpu_pipeline *best = NULL;
    for (uint32_t i = 0; i < OCL_PIPELINES_MOST; i++) {
        gpu_pipeline *at = &driver->pipelines[i];
        if (at->program == NULL) {
            return at;
        }
        if (at->n_users == 0 && (best == NULL || at->last_use < best->last_use)) {
            best = at;
        }
    }
    return best;
}

static sy_status make(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants,
                      gpu_pipeline **out_pipeline) {
    gpu_pipeline *pipeline = find_place(driver);
    if (pipeline == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "%u pipelines are in use on %s: no more", OCL_PIPELINES_MOST,
                          driver->device.limits.id);
    }
    release(pipeline);
    pipeline->driver = driver;
    pipeline->kernel = kernel;
    memcpy(pipeline->constants, constants, sizeof(pipeline->constants));
    sy_status status = load(pipeline) ? SY_OK : build(pipeline);
    if (status == SY_OK) {
        status = check_group(pipeline);
    }
    if (status == SY_OK) {
        status = ocl_first_run(pipeline);
    }
    if (status != SY_OK) {
        release(pipeline);
        return status;
    }
    *out_pipeline = pipeline;
    return SY_OK;
}

gpu_pipeline *ocl_pipeline_find(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants) {
    for (uint32_t i = 0; i < OCL_PIPELINES_MOST; i++) {
        gpu_pipeline *at = &driver->pipelines[i];
        if (at->program != NULL && at->kernel == kernel &&
            memcmp(at->constants, constants, sizeof(at->constants)) == 0) {
            return at;
        }
    }
    return NULL;
}

sy_status gpu_pipeline_create(gpu_driver *driver, gpu_kernel kernel, const uint32_t *constants,
                              uint32_t n_constants, gpu_pipeline **out_pipeline) {
    sy_status status = ocl_check(driver);
    if (status != SY_OK) {
        return status;
    }
    if ((uint32_t)kernel >= GPU_KERNEL_COUNT || n_constants == 0 ||
        n_constants > GPU_CONSTANTS_MAX || constants[0] == 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a pipeline needs a kernel, a group size and at most %u constants",
                          GPU_CONSTANTS_MAX);
    }
    if (ocl_kernel_sources[kernel].n_pieces == 0) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "kernel %s is for Vulkan alone",
                          gpu_kernels[kernel].name);
    }
    if (constants[0] > driver->device.limits.group_most) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "a group of %s has at most %" PRIu32 " invocations, not %" PRIu32,
                          driver->device.limits.id, driver->device.limits.group_most, constants[0]);
    }
    uint32_t all[GPU_CONSTANTS_MAX];
    for (uint32_t i = 0; i < GPU_CONSTANTS_MAX; i++) {
        all[i] = i < n_constants ? constants[i] : 1u;
    }
    if (all[GPU_TEXELS] == GPU_TEXELS_ON && driver->device.limits.texels_most == 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%s reads no images here",
                          driver->device.limits.id);
    }
    gpu_pipeline *pipeline = ocl_pipeline_find(driver, kernel, all);
    if (pipeline == NULL) {
        status = make(driver, kernel, all, &pipeline);
    }
    if (status == SY_OK) {
        pipeline->n_users++;
        pipeline->last_use = ++driver->n_uses;
        *out_pipeline = pipeline;
    }
    return status;
}

void gpu_pipeline_destroy(gpu_pipeline *pipeline) {
    if (pipeline != NULL && pipeline->n_users > 0) {
        pipeline->n_users--; /* stays for the next one that asks */
    }
}

void ocl_pipelines_free(gpu_driver *driver) {
    for (uint32_t i = 0; i < OCL_PIPELINES_MOST; i++) {
        release(&driver->pipelines[i]);
    }
    gpu_driver_code_forget(driver);
}
