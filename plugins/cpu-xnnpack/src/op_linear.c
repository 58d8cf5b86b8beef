/* SPDX-License-Identifier: Apache-2.0 */
/* Linear and Embedding, and the derived rows that Linear reads: quantised or widened. */
#include "linear.h"
#include "xnnpack_adapter.h"

#include <stdio.h>
#include <string.h>

/* Up to this width activations get 16 bits: small models lose most by rounding and little time by a
 * second integer product. By width alone, so that all products of one value share its rounding. */
#define NARROW 512u

cpu_planes cpu_linear_planes(const sy_device *device, uint64_t k) {
    if (device->planes != 0) {
        return device->planes;
    }
    return k <= NARROW ? CPU_PLANES_16 : CPU_PLANES_8;
}

static bool weight_check(const sy_device *device, const sy_value_view *w, const char *what,
                         kit_answer *answer) {
    if (cpu_kernels_of(device->kernels, w->type) == NULL) {
        return kit_no(answer, SY_REASON_TYPE, "there is no kernel for %s of type %s", what,
                      kit_type_name(w->type));
    }
    return kit_require_weight(w, what, answer);
}

static bool use_xnnpack(const sy_device *device, const kit_node *node) {
    int64_t n_weights = kit_bound_count(&node->in[1]);
    return device->use_xnnpack && node->in[1].type == SY_TYPE_F32 &&
           node->in[0].type == SY_TYPE_F32 && node->out[0].type == SY_TYPE_F32 &&
           n_weights >= CPU_XNNPACK_WEIGHT_LEAST && n_weights <= CPU_XNNPACK_WEIGHT_MOST;
}

static bool linear_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                         cpu_params *out_params, kit_answer *answer) {
    const sy_value_view *w = &node->in[1];
    kit_linear linear;
    (void)op;
    if (!kit_check_linear(node, &linear, answer) || !weight_check(device, w, "w", answer) ||
        (linear.has_bias && !kit_require_weight(&node->in[2], "bias", answer))) {
        return false;
    }
    out_params->k = (uint64_t)linear.k;
    out_params->n = (uint64_t)linear.n;
    answer->score = 75;
    if (kit_type_is_block(w->type)) {
        out_params->planes = cpu_linear_planes(device, out_params->k);
        cpu_count_int8(out_params->planes, answer);
        answer->score = 85;
    }
    return true;
}

/* f32 bias from any float type, owned by the step. */
static sy_status bias_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    const sy_value_view *bias = &node->in[2];
    if (node->n_in < 3 || !node->has_in[2] || cpu_builder_is_dry(builder)) {
        return SY_OK;
    }
    uint64_t n_bytes = step->params.n * sizeof(float);
    step->params.bias = kit_alloc(n_bytes);
    if (step->params.bias == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, step->i_node, "no memory for a bias");
    }
    const cpu_kernels *kernels = cpu_builder_device(builder)->kernels;
    const uint8_t *bytes = kit_weight_bytes(bias);
    cpu_kernels_of(kernels, bias->type)->decode(bytes, step->params.n, step->params.bias);
    cpu_builder_owns(builder, n_bytes);
    return SY_OK;
}

/* Priced as if nobody had packed it. */
static sy_status product_prepare(cpu_builder *builder, const kit_node *node, cpu_params *p) {
    uint64_t n_bytes = p->k * p->n * sizeof(float);
    sy_status status = SY_OK;
    if (!cpu_builder_is_dry(builder)) {
        cpu_xnnpack_product product = {
            .w = (const float *)(const void *)kit_weight_bytes(&node->in[1]),
            .bias = p->bias,
            .k = p->k,
            .n = p->n};
        if (p->bias != NULL) {
            product.bias_bytes = kit_weight_bytes(&node->in[2]);
            product.bias_type = node->in[2].type;
        }
        status = cpu_xnnpack_linear_join(cpu_builder_device(builder)->products, &product,
                                         &p->object, &n_bytes);
    }
    cpu_builder_owns(builder, n_bytes);
    return status;
}

static sy_status linear_prepare(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    const sy_device *device = cpu_builder_device(builder);
    cpu_params *p = &step->params;
    sy_status status = bias_prepare(builder, node, step);
    if (status != SY_OK) {
        return status;
    }
    if (use_xnnpack(device, node)) {
        return product_prepare(builder, node, p);
    }
    cpu_params derived;
    memset(&derived, 0, sizeof(derived));
    derived.derived = SY_NO_VALUE;
    if (kit_type_is_block(node->in[1].type)) {
        derived.k = p->k;
        derived.planes = p->planes;
        status = cpu_builder_derive(builder, CPU_DERIVE_QUANTISED, step, &derived, &p->derived);
    } else if (node->in[0].type != SY_TYPE_F32) {
        derived.k = p->k;
        status = cpu_builder_derive(builder, CPU_DERIVE_F32, step, &derived, &p->derived);
    }
    return status;
}

/* ---- derived rows ---- */
typedef struct rows_work {
    cpu_run *run;
    const cpu_tensor *x, *y;
    const cpu_step *step;
} rows_work;

#define ROWS_PER_TASK 8u

static void quantise_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const rows_work *work = argument;
    uint64_t k = work->step->params.k, n_rows = cpu_tensor_rows(work->x);
    size_t row_bytes = cpu_activation_row_bytes(k, work->step->params.planes);
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK;
    (void)i_worker;
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < n_rows; r++) {
        uint8_t *out = work->y->data + r * row_bytes;
        const float *x = (const float *)(const void *)work->x->data + r * k;
        work->run->kernels->rows->quantise(x, k, work->step->params.planes, out);
    }
}

/* f16 and bf16 rows go through single records, so that no worker memory is needed. */
static void quantise_narrow_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const rows_work *work = argument;
    uint64_t k = work->step->params.k, n_rows = cpu_tensor_rows(work->x);
    cpu_planes planes = work->step->params.planes;
    size_t row_bytes = cpu_activation_row_bytes(k, planes), n_bytes = cpu_record_bytes(planes);
    float x[32];
    (void)i_worker;
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK;
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < n_rows; r++) {
        for (uint64_t c = 0; c < k / 32; c++) {
            const float *values = cpu_floats_read(work->run, work->x, r * k + 32 * c, 32, x);
            work->run->kernels->rows->quantise(values, 32, planes,
                                               work->y->data + r * row_bytes + c * n_bytes);
        }
    }
}

static sy_status quantise_run(cpu_run *run, const cpu_step *step) {
    rows_work work = {run, cpu_run_in(run, step, 0), cpu_run_out(run, step, 0), step};
    uint64_t n_rows = cpu_tensor_rows(work.x);
    sy_task task = work.x->type == SY_TYPE_F32 ? quantise_task : quantise_narrow_task;
    return cpu_run_tasks(run, task, &work, (n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                         work.x->n_elements);
}

static void widen_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const rows_work *work = argument;
    uint64_t k = work->step->params.k, n_rows = cpu_tensor_rows(work->x);
    uint64_t first = (uint64_t)i_task * ROWS_PER_TASK;
    (void)i_worker;
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < n_rows; r++) {
        cpu_floats_read(work->run, work->x, r * k, k, (float *)(void *)work->y->data + r * k);
    }
}

static sy_status widen_run(cpu_run *run, const cpu_step *step) {
    rows_work work = {run, cpu_run_in(run, step, 0), cpu_run_out(run, step, 0), step};
    uint64_t n_rows = cpu_tensor_rows(work.x);
    return cpu_run_tasks(run, widen_task, &work, (n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                         work.x->n_elements);
}

const cpu_operator cpu_operator_quantise = {.name = "quantise", .run = quantise_run};
const cpu_operator cpu_operator_widen = {.name = "widen", .run = widen_run};

/* ---- Embedding ---- */
static bool embedding_check(const sy_device *device, const kit_node *node, const cpu_operator *op,
                            cpu_params *out_params, kit_answer *answer) {
    kit_embedding embedding;
    (void)op;
    if (!kit_check_embedding(node, &embedding, answer) ||
        !weight_check(device, &node->in[1], "table", answer)) {
        return false;
    }
    out_params->k = (uint64_t)embedding.k;
    out_params->n = (uint64_t)embedding.n;
    out_params->scale = embedding.scale;
    answer->score = 85;
    return true;
}

static void embedding_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const rows_work *work = argument;
    (void)i_worker;
    const cpu_tensor *table = cpu_run_in(work->run, work->step, 1);
    const cpu_params *p = &work->step->params;
    const cpu_kernels *kernels = work->run->kernels;
    uint64_t row_bytes = 0, first = (uint64_t)i_task * ROWS_PER_TASK;
    kit_type_row_bytes(table->type, p->k, &row_bytes);
    for (uint64_t r = first; r < first + ROWS_PER_TASK && r < work->x->n_elements; r++) {
        int32_t id = 0;
        memcpy(&id, work->x->data + 4 * r, 4);
        if (id < 0 || (uint64_t)id >= p->n) {
            atomic_store(&work->run->failure, SY_OUT_OF_RANGE);
            return;
        }
        float *out = (float *)(void *)work->y->data + r * p->k;
        cpu_kernels_of(kernels, table->type)
            ->decode(table->data + (uint64_t)id * row_bytes, p->k, out);
        if (p->scale != 1.0) {
            kernels->rows->scale(out, (float)p->scale, p->k, out);
        }
    }
}

static sy_status embedding_run(cpu_run *run, const cpu_step *step) {
    rows_work work = {run, cpu_run_in(run, step, 0), cpu_run_out(run, step, 0), step};
    uint64_t n_rows = work.x->n_elements;
    sy_status status =
        cpu_run_tasks(run, embedding_task, &work, (n_rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK,
                      work.y->n_elements);
    if (status == SY_OUT_OF_RANGE) {
        return kit_report(status, step->i_node, "an id is not in 0..%llu",
                          (unsigned long long)step->params.n - 1);
    }
    return status;
}

const cpu_operator cpu_operators_linear[] = {
    {.domain = "switchyard",
     .name = "Linear",
     .check = linear_check,
     .prepare = linear_prepare,
     .worker_bytes = cpu_linear_worker_bytes,
     .run = cpu_linear_run},
    {.domain = "switchyard", .name = "Embedding", .check = embedding_check, .run = embedding_run},
    {.name = NULL},
};
