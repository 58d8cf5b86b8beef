/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Implementations on the CPU translate a kernel to machine code when it first runs, for its size of
 * a group and anew for large grids (PoCL: 65536 items in one dimension; that code does for small
 * ones, too). A step would wait for a compiler, and binaries written before would lack that code.
 * So a pipeline runs once when it is made, on a grid that is large, with parameters that are all
 * one: nearly nothing to do, and nothing divided by zero. Whatever index comes out of them lies in
 * addresses that are reserved and empty.
 */
#include "ocl.h"

#include <sys/mman.h>

#define LARGE_GRID 65537u
#define PARAMETER_BYTES 65536u
#define BINDING_BYTES (1u << 20)
/* Any 32-bit index of four words, behind the parameters. */
#define GROUND_BYTES (((size_t)1 << 36) + PARAMETER_BYTES + BINDING_BYTES)

static cl_mem over(gpu_driver *driver, uint8_t *at, size_t n_bytes) {
    cl_int code;
    return driver->api->clCreateBuffer(driver->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                       n_bytes, at, &code);
}

/* False where there are no addresses to spare: kernels are translated at their first run then. */
static bool lay_ground(gpu_driver *driver) {
    ocl_ground *ground = &driver->ground;
    if (ground->addresses != NULL || ground->is_missing) {
        return !ground->is_missing;
    }
    ground->is_missing = true;
    if (sizeof(void *) < 8 || !driver->device.limits.imports_host) {
        return false;
    }
    void *at = mmap(NULL, GROUND_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        return false;
    }
    ground->addresses = at;
    ground->parameters = over(driver, at, PARAMETER_BYTES);
    ground->binding = over(driver, (uint8_t *)at + PARAMETER_BYTES, BINDING_BYTES);
    cl_int code;
    ground->texels = driver->device.limits.texels_most > 0 && ground->binding != NULL
                         ? ocl_texels_of(driver, ground->binding, BINDING_BYTES, &code)
                         : NULL;
    ground->is_missing = ground->parameters == NULL || ground->binding == NULL ||
                         (driver->device.limits.texels_most > 0 && ground->texels == NULL);
    return !ground->is_missing;
}

void ocl_ground_free(gpu_driver *driver) {
    ocl_ground *ground = &driver->ground;
    if (ground->parameters != NULL) {
        driver->api->clReleaseMemObject(ground->parameters);
    }
    if (ground->texels != NULL) {
        driver->api->clReleaseMemObject(ground->texels);
    }
    if (ground->binding != NULL) {
        driver->api->clReleaseMemObject(ground->binding);
    }
    if (ground->addresses != NULL) {
        driver->api->clFinish(driver->queue);
        munmap(ground->addresses, GROUND_BYTES);
    }
}

static cl_int run_on_ground(gpu_pipeline *pipeline, cl_kernel kernel) {
    gpu_driver *driver = pipeline->driver;
    const ocl_api *api = driver->api;
    const gpu_kernel_facts *facts = &gpu_kernels[pipeline->kernel];
    cl_uint first_word = 8; /* not the status, which a kernel may set */
    cl_int code = api->clSetKernelArg(kernel, 0, sizeof(cl_mem), &driver->ground.parameters);
    if (code == CL_SUCCESS) {
        code = api->clSetKernelArg(kernel, 1, sizeof(first_word), &first_word);
    }
    for (uint32_t i = 0; i < facts->n_in + facts->n_out && code == CL_SUCCESS; i++) {
        code = api->clSetKernelArg(kernel, i + 2, sizeof(cl_mem), &driver->ground.binding);
    }
    if (code == CL_SUCCESS && ocl_reads_texels(pipeline)) {
        cl_uint i_texels = facts->n_in + facts->n_out + 2, first_texel = 0;
        code = api->clSetKernelArg(kernel, i_texels, sizeof(cl_mem), &driver->ground.texels);
        if (code == CL_SUCCESS) {
            code = api->clSetKernelArg(kernel, i_texels + 1, sizeof(first_texel), &first_texel);
        }
    }
    size_t group = pipeline->constants[0];
    size_t local[3] = {group, 1, 1}, global[3] = {(LARGE_GRID + group - 1) / group * group, 1, 1};
    if (code == CL_SUCCESS) {
        code = api->clEnqueueNDRangeKernel(driver->queue, kernel, 3, NULL, global, local, 0, NULL,
                                           NULL);
    }
    return code == CL_SUCCESS ? api->clFinish(driver->queue) : code;
}

sy_status ocl_first_run(gpu_pipeline *pipeline) {
    gpu_driver *driver = pipeline->driver;
    if (!driver->device.limits.is_software || !lay_ground(driver)) {
        return SY_OK;
    }
    cl_int code;
    cl_kernel kernel = driver->api->clCreateKernel(pipeline->program, "run", &code);
    if (kernel != NULL) {
        uint32_t *words = driver->ground.addresses;
        for (uint32_t i = 0; i < PARAMETER_BYTES / 4; i++) {
            words[i] = 1;
        }
        code = run_on_ground(pipeline, kernel);
        driver->api->clReleaseKernel(kernel);
    }
    return code == CL_SUCCESS ? SY_OK : ocl_failed(driver, code, "running a kernel once");
}
