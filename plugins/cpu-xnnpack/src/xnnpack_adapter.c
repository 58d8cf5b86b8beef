/* SPDX-License-Identifier: Apache-2.0 */
#include "xnnpack_adapter.h"

#ifdef CPU_HAVE_XNNPACK
#include <math.h>
#include <string.h>
#include <xnnpack.h>

/* Blocks carry their size in front, because the host wants it back on release. */
#define PREFIX 64u

static void *take(void *context, size_t n_bytes) {
    (void)context;
    uint8_t *block = n_bytes <= SIZE_MAX / 2 ? cpu_alloc(n_bytes + PREFIX) : NULL;
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &n_bytes, sizeof(n_bytes));
    return block + PREFIX;
}
static void give(void *context, void *pointer) {
    (void)context;
    if (pointer != NULL) {
        size_t n_bytes = 0;
        uint8_t *block = (uint8_t *)pointer - PREFIX;
        memcpy(&n_bytes, block, sizeof(n_bytes));
        cpu_release(block, n_bytes + PREFIX);
    }
}
static void *resize(void *context, void *pointer, size_t n_bytes) {
    void *larger = take(context, n_bytes);
    if (larger != NULL && pointer != NULL) {
        size_t old = 0;
        memcpy(&old, (uint8_t *)pointer - PREFIX, sizeof(old));
        memcpy(larger, pointer, old < n_bytes ? old : n_bytes);
        give(context, pointer);
    }
    return larger;
}
static void *take_aligned(void *context, size_t alignment, size_t n_bytes) {
    return alignment <= PREFIX ? take(context, n_bytes) : NULL;
}

bool cpu_xnnpack_present(void) {
    return true;
}
bool cpu_xnnpack_start(void) {
    static const struct xnn_allocator allocator = {.allocate = take,
                                                   .reallocate = resize,
                                                   .deallocate = give,
                                                   .aligned_allocate = take_aligned,
                                                   .aligned_deallocate = give};
    return xnn_initialize(&allocator) == xnn_status_success;
}
void cpu_xnnpack_stop(void) {
    xnn_deinitialize();
}

/* One operator per CPU_LINEAR_COLUMNS columns, so that tasks never share one. */
typedef struct xnnpack_linear {
    uint64_t k, n, n_operators;
    size_t n_bytes;
    xnn_operator_t operators[];
} xnnpack_linear;

void cpu_xnnpack_release(void *object) {
    xnnpack_linear *linear = object;
    if (linear != NULL) {
        for (uint64_t i = 0; i < linear->n_operators; i++) {
            if (linear->operators[i] != NULL) {
                xnn_delete_operator(linear->operators[i]);
            }
        }
        cpu_release(linear, linear->n_bytes);
    }
}

sy_status cpu_xnnpack_linear_create(const float *w, const float *bias, uint64_t k, uint64_t n,
                                    void **out_object) {
    uint64_t n_operators = (n + CPU_LINEAR_COLUMNS - 1) / CPU_LINEAR_COLUMNS;
    size_t n_bytes = sizeof(xnnpack_linear) + n_operators * sizeof(xnn_operator_t);
    xnnpack_linear *linear = cpu_alloc(n_bytes);
    if (linear == NULL) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an XNNPACK product");
    }
    *linear = (xnnpack_linear){.k = k, .n = n, .n_operators = n_operators, .n_bytes = n_bytes};
    for (uint64_t i = 0; i < n_operators; i++) {
        uint64_t first = i * CPU_LINEAR_COLUMNS;
        uint64_t count = n - first < CPU_LINEAR_COLUMNS ? n - first : CPU_LINEAR_COLUMNS;
        enum xnn_status status = xnn_create_fully_connected_nc_f32(
            k, count, k, n, w + first * k, bias != NULL ? bias + first : NULL, -INFINITY, INFINITY,
            0, &linear->operators[i]);
        if (status != xnn_status_success) {
            cpu_xnnpack_release(linear);
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
    xnn_operator_t op = call->linear->operators[i_task];
    (void)i_worker;
    enum xnn_status status = xnn_setup_fully_connected_nc_f32(
        op, call->n_rows, call->x, call->y + (uint64_t)i_task * CPU_LINEAR_COLUMNS, NULL);
    if (status == xnn_status_success) {
        status = xnn_run_operator(op, NULL);
    }
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
void cpu_xnnpack_release(void *object) {
    (void)object;
}
#endif
