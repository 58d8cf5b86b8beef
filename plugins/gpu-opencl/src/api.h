/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenCL loader, opened at run time: without one there are no devices, and no failed start. */
#ifndef OCL_API_H
#define OCL_API_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS /* queues without properties */
#include <CL/cl.h>

#define OCL_FUNCTIONS_1_2(X)       \
    X(clGetPlatformIDs)            \
    X(clGetPlatformInfo)           \
    X(clGetDeviceIDs)              \
    X(clGetDeviceInfo)             \
    X(clCreateContext)             \
    X(clReleaseContext)            \
    X(clCreateCommandQueue)        \
    X(clReleaseCommandQueue)       \
    X(clFlush)                     \
    X(clFinish)                    \
    X(clCreateBuffer)              \
    X(clCreateSubBuffer)           \
    X(clCreateImage)               \
    X(clReleaseMemObject)          \
    X(clRetainMemObject)           \
    X(clEnqueueReadBuffer)         \
    X(clEnqueueWriteBuffer)        \
    X(clEnqueueCopyBuffer)         \
    X(clEnqueueMigrateMemObjects)  \
    X(clEnqueueNDRangeKernel)      \
    X(clEnqueueMarkerWithWaitList) \
    X(clCreateProgramWithSource)   \
    X(clCreateProgramWithBinary)   \
    X(clBuildProgram)              \
    X(clGetProgramInfo)            \
    X(clGetProgramBuildInfo)       \
    X(clReleaseProgram)            \
    X(clCreateKernel)              \
    X(clReleaseKernel)             \
    X(clSetKernelArg)              \
    X(clGetKernelWorkGroupInfo)    \
    X(clGetEventInfo)              \
    X(clSetEventCallback)          \
    X(clReleaseEvent)

/* NULL where the loader is older; whether a device has them is asked of the device. */
#define OCL_FUNCTIONS_NEWER(X) \
    X(clSVMAlloc)              \
    X(clSVMFree)               \
    X(clGetKernelSubGroupInfo)

typedef struct ocl_api {
#define OCL_MEMBER(name) __typeof__(&name) name;
    OCL_FUNCTIONS_1_2(OCL_MEMBER)
    OCL_FUNCTIONS_NEWER(OCL_MEMBER)
#undef OCL_MEMBER
} ocl_api;

/* NULL where there is no loader, with *out_why a sentence. The loader stays open: drivers behind it
 * have threads. Any thread. */
const ocl_api *ocl_api_open(const char **out_why);

#endif
