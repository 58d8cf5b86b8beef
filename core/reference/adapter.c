/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (LoRA): the weights of one, and the node that adds what they say. */
#include "base/checked.h"
#include "reference/blocks.h"
#include "reference/element.h"
#include "reference/operators.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PAIRS_MOST 65536u

struct sy_adapter_weights {
    sy_device *device;
    uint32_t n_pairs;
    sy_adapter_pair *pairs;
};

SY__PREPARE(adapter_linear) {
    sy__params *params = &facts->params;
    const sy__tensor *y = facts->inputs[0], *x = facts->inputs[1];
    if (!sy__ref_attribute_int(facts, "slot", -1, &params->slot) ||
        !sy__ref_attribute_int(facts, "max_rank", 0, &params->max_rank)) {
        return false;
    }
    if (params->slot < 0 || params->slot >= PAIRS_MOST || params->max_rank < 1 ||
        params->max_rank > SY_LIMIT_ADAPTER_RANK) {
        return sy__ref_refuse(facts, SY_REASON_ATTRIBUTE, "slot or max_rank out of range");
    }
    if (y->shape.rank != 2 || x->shape.rank != 2) {
        return sy__ref_refuse(facts, SY_REASON_SHAPE, "y or x is no matrix");
    }
    return sy__ref_require_type_in(facts, 0, SY_TYPE_F32) &&
           sy__ref_require_type_in(facts, 1, SY_TYPE_F32) &&
           (facts->inputs[2] == NULL || sy__ref_require_type_in(facts, 2, SY_TYPE_I32)) &&
           sy__ref_require_same(facts, 0);
}

SY__INFER(adapter_linear) {
    const sy__shape *y = &inputs[0]->shape, *x = &inputs[1]->shape;
    const sy__tensor *rows = n_inputs > 2 ? inputs[2] : NULL;
    (void)params;
    (void)n_outputs;
    if (y->rank != 2 || x->rank != 2 || y->dims[0] != x->dims[0] ||
        (rows != NULL && (rows->shape.rank != 1 || rows->shape.dims[0] != y->dims[0]))) {
        return false;
    }
    out_shapes[0] = *y;
    return true;
}

/* Of one worker: a row of A or B, and x times A. */
static uint64_t space_bytes(const sy__shape *x, int64_t max_rank) {
    uint64_t n = 0, n_bytes = 0;
    if (!sy__add_u64((uint64_t)x->dims[1], 2 * (uint64_t)max_rank, &n) ||
        !sy__mul_u64(n, sizeof(float), &n_bytes) ||
        !sy__align_u64(n_bytes, SY__ALIGNMENT, &n_bytes)) {
        return UINT64_MAX;
    }
    return n_bytes;
}

SY__WORK(adapter_linear) {
    uint64_t n_bytes = space_bytes(&facts->inputs[1]->shape, facts->params.max_rank);
    return n_bytes != UINT64_MAX && sy__mul_u64(n_bytes, n_workers, &n_bytes) ? n_bytes
                                                                              : UINT64_MAX;
}

/* A step in which no sequence has an adapter moves y only. */
SY__MACS(adapter_linear) {
    return (double)sy__ref_shape_count(&facts->outputs[0]->shape);
}

/* First use of the sequence that a row belongs to, or NULL. */
static const sy_adapter_use *use_of(const sy__call *call, int64_t row) {
    const sy_job *job = call->job;
    if (call->inputs[2] != NULL) {
        sy__ref_get_i64(call->inputs[2], row, 1, 1, &row);
    }
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        const sy_sequence *sequence = &job->sequences[i];
        if (row >= (int64_t)sequence->first_row &&
            row - (int64_t)sequence->first_row < (int64_t)sequence->n_tokens) {
            return sequence->adapter != 0 ? &job->adapters[sequence->adapter - 1] : NULL;
        }
    }
    return NULL;
}

static const sy_adapter_pair *pair_of(const sy__call *call, const sy_adapter_use *use) {
    int64_t slot = call->params->slot;
    const sy_adapter_weights *weights = use->weights;
    const sy_adapter_pair *pair = slot < (int64_t)weights->n_pairs ? &weights->pairs[slot] : NULL;
    return pair != NULL && pair->rank > 0 ? pair : NULL;
}

/* out += scale * B (A x). */
static void add_pair(const sy__call *call, const sy_adapter_use *use, const sy_adapter_pair *pair,
                     int64_t row, float *space) {
    const sy__tensor *x = call->inputs[1], *y = call->outputs[0];
    int64_t k = x->shape.dims[1], n = y->shape.dims[1];
    const float *x_row = (const float *)x->data + row * k;
    float *narrow = space + k + call->params->max_rank, *y_row = (float *)y->data + row * n;
    double scale = (double)pair->scale * (double)use->scale;
    for (uint32_t r = 0; r < pair->rank; r++) {
        const float *a = sy__ref_decode_row(pair->a_type, pair->a.pointer, r, (uint64_t)k, space);
        narrow[r] = (float)sy__ref_dot(x_row, a, k);
    }
    for (int64_t i = 0; i < n; i++) {
        const float *b =
            sy__ref_decode_row(pair->b_type, pair->b.pointer, (uint64_t)i, pair->rank, space + k);
        y_row[i] = (float)((double)y_row[i] + scale * sy__ref_dot(narrow, b, pair->rank));
    }
}

static void adapter_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__call *call = argument;
    const sy__tensor *x = call->inputs[1], *y = call->outputs[0];
    int64_t n = y->shape.dims[1];
    uint64_t n_space = space_bytes(&x->shape, call->params->max_rank);
    float *space = (float *)(void *)(call->work + i_worker * n_space);
    memcpy((float *)y->data + i_task * n, (const float *)call->inputs[0]->data + i_task * n,
           (size_t)n * sizeof(float));
    const sy_adapter_use *use = use_of(call, i_task);
    for (bool more = use != NULL; more; use++) {
        const sy_adapter_pair *pair = pair_of(call, use);
        if (pair != NULL) {
            add_pair(call, use, pair, i_task, space);
        }
        more = use->more != 0;
    }
}

/* The pairs of this node must fit it. */
static sy_status check_pairs(const sy__call *call) {
    int64_t k = call->inputs[1]->shape.dims[1], n = call->outputs[0]->shape.dims[1];
    for (uint32_t i = 0; i < call->job->n_adapters; i++) {
        const sy_adapter_pair *pair = pair_of(call, &call->job->adapters[i]);
        if (pair != NULL && (pair->n_inputs != (uint64_t)k || pair->n_outputs != (uint64_t)n ||
                             pair->rank > (uint64_t)call->params->max_rank)) {
            return sy__ref_fail(call, SY_INVALID_ARGUMENT,
                                "a pair of %" PRIu64 " x %" PRIu64 " and rank %" PRIu32
                                " does not fit",
                                pair->n_outputs, pair->n_inputs, pair->rank);
        }
    }
    return SY_OK;
}

SY__RUN(adapter_linear) {
    sy_status status = check_pairs(call);
    if (status != SY_OK) {
        return status;
    }
    sy__call copy = *call; /* tasks take a pointer without const */
    return sy__ref_parallel(call, adapter_task, &copy, (uint64_t)call->outputs[0]->shape.dims[0]);
}

static bool matrix_fits(const sy_memory *matrix, sy_element_type type, uint64_t n_rows,
                        uint64_t n_columns) {
    uint64_t row_bytes = 0, n_bytes = 0;
    return sy__ref_is_float(type) && matrix->kind == SY_MEMORY_HOST && matrix->pointer != NULL &&
           sy_type_row_bytes(type, n_columns, &row_bytes) == SY_OK &&
           sy__mul_u64(n_rows, row_bytes, &n_bytes) && matrix->length_bytes >= n_bytes &&
           (uintptr_t)matrix->pointer % sy_type_get(type)->n_block_bytes == 0;
}

static bool pair_fits(const sy_adapter_pair *pair) {
    return pair->rank == 0 || (pair->rank <= SY_LIMIT_ADAPTER_RANK && pair->n_inputs > 0 &&
                               pair->n_outputs > 0 && isfinite(pair->scale) &&
                               matrix_fits(&pair->a, pair->a_type, pair->rank, pair->n_inputs) &&
                               matrix_fits(&pair->b, pair->b_type, pair->n_outputs, pair->rank));
}

sy_status sy__ref_adapter_create(sy_device *device, const sy_adapter_description *description,
                                 uint64_t *out_bytes, sy_adapter_weights **out_weights) {
    if (device == NULL || description == NULL || out_bytes == NULL || out_weights == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_adapter_description own;
    sy__ref_open_read(&own, sizeof(own), description);
    sy_status status = sy__ref_open_check(&own.header);
    if (status != SY_OK) {
        return sy__ref_report(device, status, SY_NO_VALUE, "adapter: unknown extension");
    }
    if (own.n_pairs > PAIRS_MOST || (own.n_pairs > 0 && own.pairs == NULL)) {
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "adapter: %" PRIu32 " pairs", own.n_pairs);
    }
    for (uint32_t i = 0; i < own.n_pairs; i++) {
        if (!pair_fits(&own.pairs[i])) {
            return sy__ref_report(
                device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                "adapter: the shapes, types or memory of pair %" PRIu32 " cannot be", i);
        }
    }
    sy_adapter_weights *weights = SY__NEW(&device->allocator, sy_adapter_weights);
    sy_adapter_pair *pairs =
        sy__alloc_array(&device->allocator, own.n_pairs + 1u, sizeof(sy_adapter_pair));
    if (weights == NULL || pairs == NULL) {
        sy__free_array(&device->allocator, pairs, own.n_pairs + 1u, sizeof(sy_adapter_pair));
        SY__DELETE(&device->allocator, weights);
        return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                              "no memory for an adapter");
    }
    if (own.n_pairs > 0) {
        memcpy(pairs, own.pairs, own.n_pairs * sizeof(sy_adapter_pair));
    }
    *weights = (sy_adapter_weights){device, own.n_pairs, pairs};
    atomic_fetch_add(&device->live_handles, 1);
    *out_bytes = (own.n_pairs + 1u) * sizeof(sy_adapter_pair) + sizeof(*weights);
    *out_weights = weights;
    return SY_OK;
}

sy_status sy__ref_adapter_destroy(sy_adapter_weights *weights) {
    if (weights == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = weights->device;
    sy__free_array(&device->allocator, weights->pairs, weights->n_pairs + 1u,
                   sizeof(sy_adapter_pair));
    SY__DELETE(&device->allocator, weights);
    atomic_fetch_sub(&device->live_handles, 1);
    return SY_OK;
}

sy_status sy__ref_adapter_check(const sy_device *device, const sy_job *job) {
    for (uint32_t i = 0; i < job->n_adapters; i++) {
        const sy_adapter_use *use = &job->adapters[i];
        if (use->weights == NULL || use->weights->device != device || !isfinite(use->scale) ||
            (use->more != 0 && i + 1 == job->n_adapters)) {
            return sy__ref_report(
                device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                "submit: adapter %" PRIu32 " is missing, of another device or has no end", i);
        }
    }
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        if (job->sequences[s].adapter > job->n_adapters) {
            return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                                  "submit: sequence %" PRIu32 " names adapter %" PRIu32
                                  " of %" PRIu32,
                                  s, job->sequences[s].adapter, job->n_adapters);
        }
    }
    return SY_OK;
}
