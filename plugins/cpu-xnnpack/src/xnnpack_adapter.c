/* SPDX-License-Identifier: Apache-2.0 */
/* The library itself, and single products. */
#include "xnnpack_adapter.h"

void cpu_xnnpack_release(void *object) {
    if (object != NULL) {
        ((const cpu_xnnpack_object *)object)->destroy(object);
    }
}

#ifdef CPU_HAVE_XNNPACK
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
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

/* One operator per CPU_LINEAR_COLUMNS columns, so that tasks never share one. A run sets them up
 * for its rows, so runs take turns. */
typedef struct xnnpack_linear {
    cpu_xnnpack_object object;
    cpu_xnnpack_products *products;
    struct xnnpack_linear *next;
    cpu_xnnpack_product product;
    pthread_mutex_t turn;
    uint64_t n_operators;
    uint32_t n_users;
    size_t n_bytes;
    xnn_operator_t operators[];
} xnnpack_linear;

struct cpu_xnnpack_products {
    xnnpack_linear *first;
};

cpu_xnnpack_products *cpu_xnnpack_products_create(void) {
    return kit_alloc(sizeof(cpu_xnnpack_products));
}

void cpu_xnnpack_products_destroy(cpu_xnnpack_products *products) {
    kit_release(products, sizeof(*products));
}

static void linear_free(xnnpack_linear *linear) {
    for (uint64_t i = 0; i < linear->n_operators; i++) {
        if (linear->operators[i] != NULL) {
            xnn_delete_operator(linear->operators[i]);
        }
    }
    pthread_mutex_destroy(&linear->turn);
    kit_release(linear, linear->n_bytes);
}

/* The last user ends it. */
static void linear_leave(void *object) {
    xnnpack_linear *linear = object, **link = &linear->products->first;
    if (--linear->n_users > 0) {
        return;
    }
    while (*link != linear) {
        link = &(*link)->next;
    }
    *link = linear->next;
    linear_free(linear);
}

/* Weights stay where they are while a unit reads them, so equal addresses are equal weights. */
static xnnpack_linear *linear_find(const cpu_xnnpack_products *products,
                                   const cpu_xnnpack_product *product) {
    for (xnnpack_linear *linear = products->first; linear != NULL; linear = linear->next) {
        const cpu_xnnpack_product *known = &linear->product;
        if (known->w == product->w && known->bias_bytes == product->bias_bytes &&
            known->bias_type == product->bias_type && known->k == product->k &&
            known->n == product->n) {
            return linear;
        }
    }
    return NULL;
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

static sy_status linear_pack(const cpu_xnnpack_product *p, xnnpack_linear **out_linear) {
    uint64_t n_operators = (p->n + CPU_LINEAR_COLUMNS - 1) / CPU_LINEAR_COLUMNS;
    size_t n_bytes = sizeof(xnnpack_linear) + n_operators * sizeof(xnn_operator_t);
    xnnpack_linear *linear = kit_alloc(n_bytes);
    if (linear == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an XNNPACK product");
    }
    *linear = (xnnpack_linear){
        .object = {linear_leave}, .product = *p, .n_operators = n_operators, .n_bytes = n_bytes};
    pthread_mutex_init(&linear->turn, NULL);
    for (uint64_t i = 0; i < n_operators; i++) {
        uint64_t first = i * CPU_LINEAR_COLUMNS;
        uint64_t count = p->n - first < CPU_LINEAR_COLUMNS ? p->n - first : CPU_LINEAR_COLUMNS;
        enum xnn_status status =
            operator_create(p->k, count, p->w + first * p->k,
                            p->bias != NULL ? p->bias + first : NULL, p->n, &linear->operators[i]);
        if (status != xnn_status_success) {
            linear_free(linear);
            return kit_report(status == xnn_status_out_of_memory ? SY_RESOURCE_EXHAUSTED
                                                                 : SY_INTERNAL,
                              SY_NO_VALUE, "XNNPACK refused a product of %llu by %llu (%d)",
                              (unsigned long long)p->k, (unsigned long long)count, (int)status);
        }
    }
    linear->product.bias = NULL; /* its unit may go before others */
    *out_linear = linear;
    return SY_OK;
}

sy_status cpu_xnnpack_linear_join(cpu_xnnpack_products *products,
                                  const cpu_xnnpack_product *product, void **out_object,
                                  uint64_t *out_bytes) {
    xnnpack_linear *linear = linear_find(products, product);
    *out_bytes = 0;
    if (linear == NULL) {
        sy_status status = linear_pack(product, &linear);
        if (status != SY_OK) {
            return status;
        }
        linear->products = products;
        linear->next = products->first;
        products->first = linear;
        *out_bytes = product->k * product->n * sizeof(float);
    }
    linear->n_users++;
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
    pthread_mutex_lock(&linear->turn);
    sy_status status = cpu_run_tasks(run, linear_task, &call, linear->n_operators,
                                     n_rows * linear->product.k * linear->product.n / 8);
    pthread_mutex_unlock(&linear->turn);
    return status;
}

#else

bool cpu_xnnpack_present(void) {
    return false;
}
bool cpu_xnnpack_start(void) {
    return false;
}
void cpu_xnnpack_stop(void) {}
cpu_xnnpack_products *cpu_xnnpack_products_create(void) {
    return NULL;
}
void cpu_xnnpack_products_destroy(cpu_xnnpack_products *products) {
    (void)products;
}
sy_status cpu_xnnpack_linear_join(cpu_xnnpack_products *products,
                                  const cpu_xnnpack_product *product, void **out_object,
                                  uint64_t *out_bytes) {
    (void)products, (void)product, (void)out_object, (void)out_bytes;
    return SY_UNIMPLEMENTED;
}
sy_status cpu_xnnpack_linear_run(cpu_run *run, void *object, const float *x, uint64_t n_rows,
                                 float *y) {
    (void)run, (void)object, (void)x, (void)n_rows, (void)y;
    return SY_UNIMPLEMENTED;
}
#endif
