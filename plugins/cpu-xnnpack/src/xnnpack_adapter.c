/* SPDX-License-Identifier: Apache-2.0 */
/* The library itself, and single products. */
#include "xnnpack_adapter.h"

void cpu_xnnpack_release(void *object) {
    if (object != NULL) {
        ((const cpu_xnnpack_object *)object)->destroy(object);
    }
}

#ifdef CPU_HAVE_XNNPACK
#include <math.h>
#include <dlfcn.h>
#include <xnnpack.h>

/* XNNPACK and cpuinfo keep tables for the life of the process. Unmapping them with this plugin
 * would leak those tables at every reload, so they stay mapped; the plugin itself can go, unless
 * they are linked into it. */
static void pin_library(void) {
    Dl_info library;
    if (dladdr((const void *)(uintptr_t)&xnn_initialize, &library) != 0) {
        (void)dlopen(library.dli_fname, RTLD_NOW | RTLD_NODELETE | RTLD_NOLOAD);
    }
}

bool cpu_xnnpack_present(void) {
    return true;
}
/* XNNPACK keeps the first allocator it is given for the life of the process. Ours would go with
 * this plugin's code while another generation or plugin still used the library, so it takes the C
 * library's; load reports the bytes of packed weights. */
bool cpu_xnnpack_start(void) {
    pin_library();
    return xnn_initialize(NULL) == xnn_status_success;
}
void cpu_xnnpack_stop(void) {
    xnn_deinitialize();
}

/* One operator per CPU_LINEAR_COLUMNS columns, so that tasks never share one. */
typedef struct xnnpack_linear {
    cpu_xnnpack_object object;
    uint64_t k, n, n_operators;
    size_t n_bytes;
    xnn_operator_t operators[];
} xnnpack_linear;

static void linear_destroy(void *object) {
    xnnpack_linear *linear = object;
    for (uint64_t i = 0; i < linear->n_operators; i++) {
        if (linear->operators[i] != NULL) {
            xnn_delete_operator(linear->operators[i]);
        }
    }
    cpu_release(linear, linear->n_bytes);
}

static enum xnn_status operator_create(uint64_t k, uint64_t n, const float *w, const float *bias,
                                       uint64_t stride, xnn_operator_t *out_operator) {
#ifdef CPU_XNNPACK_RESHAPES
    return xnn_create_fully_connected_nc_f32(k, n, k, stride, w, bias, -INFINITY, INFINITY, 0, NULL,
                                             out_operator);
#else
    return xnn_create_fully_connected_nc_f32(k, n, k, stride, w, bias, -INFINITY, INFINITY, 0,
                                             out_operator);
#endif
}

static enum xnn_status operator_run(xnn_operator_t op, uint64_t n_rows, const float *x, float *y) {
#ifdef CPU_XNNPACK_RESHAPES
    enum xnn_status status = xnn_reshape_fully_connected_nc_f32(op, n_rows, NULL);
    if (status == xnn_status_success) {
        status = xnn_setup_fully_connected_nc_f32(op, x, y);
    }
#else
    enum xnn_status status = xnn_setup_fully_connected_nc_f32(op, n_rows, x, y, NULL);
#endif
    return status == xnn_status_success ? xnn_run_operator(op, NULL) : status;
}

sy_status cpu_xnnpack_linear_create(const float *w, const float *bias, uint64_t k, uint64_t n,
                                    void **out_object) {
    uint64_t n_operators = (n + CPU_LINEAR_COLUMNS - 1) / CPU_LINEAR_COLUMNS;
    size_t n_bytes = sizeof(xnnpack_linear) + n_operators * sizeof(xnn_operator_t);
    xnnpack_linear *linear = cpu_alloc(n_bytes);
    if (linear == NULL) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an XNNPACK product");
    }
    *linear = (xnnpack_linear){
        .object = {linear_destroy}, .k = k, .n = n, .n_operators = n_operators, .n_bytes = n_bytes};
    for (uint64_t i = 0; i < n_operators; i++) {
        uint64_t first = i * CPU_LINEAR_COLUMNS;
        uint64_t count = n - first < CPU_LINEAR_COLUMNS ? n - first : CPU_LINEAR_COLUMNS;
        enum xnn_status status = operator_create(
            k, count, w + first * k, bias != NULL ? bias + first : NULL, n, &linear->operators[i]);
        if (status != xnn_status_success) {
            linear_destroy(linear);
            return cpu_report(status == xnn_status_out_of_memory ? SY_RESOURCE_EXHAUSTED
                                                                 : SY_INTERNAL,
                              SY_NO_VALUE, "XNNPACK refused a product of %llu by %llu (%d)",
                              (unsigned long long)k, (unsigned long long)count, (int)status);
        }
    }
    *out_object = linear;
    return SY_OK;
}

typedef struct linear_call {
    cpu_run *run;
    xnnpack_linear *linear;
    const float *x;
    float *y;
    uint64_t n_rows;
} linear_call;

static void linear_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const linear_call *call = argument;
    (void)i_worker;
    enum xnn_status status = operator_run(call->linear->operators[i_task], call->n_rows, call->x,
                                          call->y + (uint64_t)i_task * CPU_LINEAR_COLUMNS);
    if (status != xnn_status_success) {
        atomic_store(&call->run->failure, SY_INTERNAL);
    }
}

sy_status cpu_xnnpack_linear_run(cpu_run *run, void *object, const float *x, uint64_t n_rows,
                                 float *y) {
    xnnpack_linear *linear = object;
    linear_call call = {run, linear, x, y, n_rows};
    return cpu_run_tasks(run, linear_task, &call, linear->n_operators,
                         n_rows * linear->k * linear->n / 8);
}

#else

bool cpu_xnnpack_present(void) {
    return false;
}
bool cpu_xnnpack_start(void) {
    return false;
}
void cpu_xnnpack_stop(void) {}
sy_status cpu_xnnpack_linear_create(const float *w, const float *bias, uint64_t k, uint64_t n,
                                    void **out_object) {
    (void)w, (void)bias, (void)k, (void)n, (void)out_object;
    return SY_UNIMPLEMENTED;
}
sy_status cpu_xnnpack_linear_run(cpu_run *run, void *object, const float *x, uint64_t n_rows,
                                 float *y) {
    (void)run, (void)object, (void)x, (void)n_rows, (void)y;
    return SY_UNIMPLEMENTED;
}
#endif
