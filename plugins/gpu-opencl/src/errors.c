/* SPDX-License-Identifier: Apache-2.0 */
/* Codes of OpenCL as statuses, and what loses a device. */
#include "ocl.h"

const char *ocl_code_text(cl_int code) {
    switch (code) {
    case CL_SUCCESS:
        return "none";
    case CL_DEVICE_NOT_FOUND:
        return "CL_DEVICE_NOT_FOUND";
    case CL_DEVICE_NOT_AVAILABLE:
        return "CL_DEVICE_NOT_AVAILABLE";
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return "CL_MEM_OBJECT_ALLOCATION_FAILURE";
    case CL_OUT_OF_RESOURCES:
        return "CL_OUT_OF_RESOURCES";
    case CL_OUT_OF_HOST_MEMORY:
        return "CL_OUT_OF_HOST_MEMORY";
    case CL_BUILD_PROGRAM_FAILURE:
        return "CL_BUILD_PROGRAM_FAILURE";
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
        return "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST";
    case CL_INVALID_VALUE:
        return "CL_INVALID_VALUE";
    case CL_INVALID_CONTEXT:
        return "CL_INVALID_CONTEXT";
    case CL_INVALID_COMMAND_QUEUE:
        return "CL_INVALID_COMMAND_QUEUE";
    case CL_INVALID_BINARY:
        return "CL_INVALID_BINARY";
    case CL_INVALID_KERNEL_ARGS:
        return "CL_INVALID_KERNEL_ARGS";
    case CL_INVALID_WORK_GROUP_SIZE:
        return "CL_INVALID_WORK_GROUP_SIZE";
    case -1001: /* of the loader, cl_khr_icd */
        return "CL_PLATFORM_NOT_FOUND_KHR";
    default:
        return "an error of OpenCL";
    }
}

sy_status ocl_check(const gpu_driver *driver) {
    if (!gpu_driver_is_lost(driver)) {
        return SY_OK;
    }
    return kit_report(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST), SY_NO_VALUE,
                      "the device %s is lost: open it again", driver->device.limits.id);
}

static sy_status lost(gpu_driver *driver, cl_int code, const char *what) {
    atomic_store(&driver->is_lost, true);
    return kit_report(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST), SY_NO_VALUE,
                      "the device %s is lost: %s: %s (%d)", driver->device.limits.id, what,
                      ocl_code_text(code), code);
}

static sy_status exhausted(gpu_driver *driver, cl_int code, const char *what) {
    return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                      "%s: the driver of %s is out of memory or another resource: %s (%d)", what,
                      driver->device.limits.id, ocl_code_text(code), code);
}

sy_status ocl_failed(gpu_driver *driver, cl_int code, const char *what) {
    switch (code) {
    case CL_OUT_OF_RESOURCES:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return exhausted(driver, code, what);
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_INVALID_CONTEXT: /* of handles that were good when they were made */
    case CL_INVALID_COMMAND_QUEUE:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST:
        return lost(driver, code, what);
    default:
        return kit_report(SY_INTERNAL, SY_NO_VALUE, "%s: %s (%d)", what, ocl_code_text(code), code);
    }
}

sy_status ocl_work_failed(gpu_driver *driver, cl_int code, const char *what) {
    if (code == CL_OUT_OF_HOST_MEMORY || code == CL_MEM_OBJECT_ALLOCATION_FAILURE) {
        return exhausted(driver, code, what);
    }
    return lost(driver, code, what);
}
