/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a unit. Everything that can be wrong with a job is found before anything starts and
 * answered by the status of submit. From then on the job's signals carry its status; a job without
 * signals answers it directly.
 */
#include "base/clock.h"
#include "reference/state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

sy_status sy__ref_fail(const sy__call *call, sy_status status, const char *format, ...) {
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return sy__ref_report(call->device, status, call->node->i_node, "node %.60s (%s): %s",
                          call->node->name, call->node->op->name, text);
}

sy_status sy__ref_parallel(const sy__call *call, sy_task task, void *argument, uint64_t n_tasks) {
    if (n_tasks > UINT32_MAX) {
        return sy__ref_fail(call, SY_OUT_OF_RANGE, "too much work for one call");
    }
    if (n_tasks <= 1) {
        if (n_tasks == 1) {
            task(argument, 0, 0);
        }
        return SY_OK;
    }
    const sy_device *device = call->device;
    return device->host->parallel(device->context, task, argument, (uint32_t)n_tasks);
}

static sy_status refuse_job(const sy_unit *unit, const char *what, uint32_t index) {
    return sy__ref_report(unit->device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "submit: %s (index %" PRIu32 ")", what, index);
}

/* The memory of a binding, or NULL when it does not hold n_bytes. */
static uint8_t *bound_bytes(const sy_unit *unit, const sy_binding *binding, uint64_t n_bytes) {
    const sy_buffer *buffer = binding->buffer;
    if (buffer == NULL || buffer->device != unit->device ||
        binding->offset_bytes % SY__ALIGNMENT != 0 || binding->length_bytes < n_bytes ||
        binding->offset_bytes > buffer->n_bytes ||
        binding->length_bytes > buffer->n_bytes - binding->offset_bytes) {
        return NULL;
    }
    return buffer->bytes + binding->offset_bytes;
}

static uint8_t *locate(const sy_unit *unit, const sy_job *job, const sy__value *value,
                       uint8_t *scratch, uint64_t n_bytes) {
    switch (value->storage) {
    case SY__STORAGE_WEIGHT:
        return value->weight;
    case SY__STORAGE_INPUT:
        return bound_bytes(unit, &job->inputs[value->i_slot], n_bytes);
    case SY__STORAGE_OUTPUT:
        return bound_bytes(unit, &job->outputs[value->i_slot], n_bytes);
    case SY__STORAGE_SCRATCH:
        return scratch + value->offset_bytes;
    case SY__STORAGE_ALIAS:
        return unit->tensors[value->i_slot].data;
    default:
        return NULL;
    }
}

/* Sizes and addresses of every value for this job. */
static sy_status bind_values(sy_unit *unit, const sy_job *job, uint8_t *scratch) {
    for (uint32_t i = 0; i < unit->n_values; i++) {
        const sy__value *value = &unit->values[i];
        sy__tensor *tensor = &unit->tensors[i];
        *tensor = (sy__tensor){.type = value->type, .kind = value->kind, .i_slot = value->i_slot};
        tensor->shape.rank = value->rank;
        tensor->dynamic = sy__ref_dynamic_set(value->dims, value->rank);
        for (uint32_t d = 0; d < value->rank; d++) {
            int64_t n = sy__ref_dimension_at(&value->dims[d], job->symbols, job->n_symbols);
            if (n < 0) {
                return refuse_job(unit, "a symbol is missing or past its bound",
                                  value->dims[d].symbol);
            }
            tensor->shape.dims[d] = n;
        }
        if (value->storage == SY__STORAGE_STATE) {
            continue;
        }
        uint64_t n_bytes = 0;
        if (!sy__ref_tensor_bytes(value->type, &tensor->shape, &n_bytes)) {
            return refuse_job(unit, "a size is impossible", i);
        }
        tensor->data = locate(unit, job, value, scratch, n_bytes);
        if (tensor->data == NULL && n_bytes > 0) {
            return refuse_job(unit,
                              value->storage == SY__STORAGE_INPUT
                                  ? "an input binding is too small, unaligned or not of this device"
                                  : "an output binding is too small, unaligned or not of this "
                                    "device",
                              value->i_slot);
        }
    }
    return SY_OK;
}

static bool overlap(const sy_sequence *a, const sy_sequence *b) {
    return a->first_row < (uint64_t)b->first_row + b->n_tokens &&
           b->first_row < (uint64_t)a->first_row + a->n_tokens;
}

/* Sequences must cover rows [0, their sum) exactly once. */
static sy_status check_sequences(const sy_unit *unit, const sy_job *job, uint64_t *out_n_rows) {
    uint64_t n_rows = 0;
    bool in_order = true;
    for (uint32_t i = 0; i < job->n_sequences; i++) {
        const sy_sequence *sequence = &job->sequences[i];
        in_order = in_order && sequence->first_row == n_rows;
        n_rows += sequence->n_tokens;
    }
    for (uint32_t i = 0; i < job->n_sequences && !in_order; i++) {
        const sy_sequence *sequence = &job->sequences[i];
        if ((uint64_t)sequence->first_row + sequence->n_tokens > n_rows) {
            return refuse_job(unit, "a sequence has rows past the sum of all", i);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (overlap(sequence, &job->sequences[j])) {
                return refuse_job(unit, "sequences overlap", i);
            }
        }
    }
    *out_n_rows = n_rows;
    return SY_OK;
}

/* Every state is there, of this device and as wide as the graph says. */
static sy_status check_states(const sy_unit *unit, const sy_job *job) {
    if (job->n_states != unit->n_states ||
        (job->n_states > 0 && job->n_sequences > 0 && job->states == NULL)) {
        return refuse_job(unit, "states per sequence differ from the segment's", job->n_states);
    }
    for (uint32_t i = 0; i < unit->n_values; i++) {
        const sy__value *value = &unit->values[i];
        for (uint32_t s = 0; value->storage == SY__STORAGE_STATE && s < job->n_sequences; s++) {
            const sy_state *state = job->states[(uint64_t)s * job->n_states + value->i_slot];
            const sy_sequence *sequence = &job->sequences[s];
            if (state == NULL || state->device != unit->device ||
                (int64_t)state->width != unit->tensors[i].shape.dims[value->rank - 1]) {
                return refuse_job(unit, "a state is missing, of another device or width", s);
            }
            if ((uint64_t)sequence->n_past + sequence->n_tokens > state->max_tokens) {
                return sy__ref_report(
                    unit->device, SY_OUT_OF_RANGE, SY_NO_VALUE,
                    "submit: sequence %" PRIu32 " needs %" PRIu64 " rows, its state has %" PRIu64,
                    s, (uint64_t)sequence->n_past + sequence->n_tokens, state->max_tokens);
            }
            if (sequence->n_tokens > 0 && sequence->n_past < state->n_shared * SY__STATE_ROWS) {
                return sy__ref_report(unit->device, SY_FAILED_PRECONDITION, SY_NO_VALUE,
                                      "submit: sequence %" PRIu32 " writes from row %" PRIu32
                                      " on, which is shared: truncate its state first",
                                      s, sequence->n_past);
            }
        }
    }
    return SY_OK;
}

static void fill_call(sy_unit *unit, const sy_job *job, const sy__node *node, uint8_t *scratch,
                      sy__call *call) {
    call->node = node;
    call->params = &node->params;
    call->device = unit->device;
    call->job = job;
    call->work = scratch + unit->work_offset_bytes;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        call->inputs[i] = node->inputs[i] != SY_NO_VALUE ? &unit->tensors[node->inputs[i]] : NULL;
    }
    for (uint32_t i = node->n_inputs; i < SY__MAX_INPUTS; i++) {
        call->inputs[i] = NULL;
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        call->outputs[i] = &unit->tensors[node->outputs[i]];
    }
}

/* Shapes that fit at the bounds may not fit at this job's sizes. */
static sy_status check_shapes(sy_unit *unit, const sy__call *call) {
    sy__shape shapes[SY__MAX_OUTPUTS];
    const sy__node *node = call->node;
    bool fits =
        node->op->infer(&node->params, call->inputs, node->n_inputs, shapes, node->n_outputs);
    for (uint32_t i = 0; fits && i < node->n_outputs; i++) {
        fits = sy__ref_shape_equal(&shapes[i], &call->outputs[i]->shape);
    }
    if (!fits) {
        return sy__ref_report(unit->device, SY_INVALID_ARGUMENT, node->i_node,
                              "submit: shapes of node %.60s (%s) do not fit at these sizes",
                              node->name, node->op->name);
    }
    return SY_OK;
}

static sy_status check_job(sy_unit *unit, const sy_job *job, uint8_t **out_scratch) {
    if (job->n_inputs != unit->n_inputs || job->n_outputs != unit->n_outputs ||
        (job->n_inputs > 0 && job->inputs == NULL) ||
        (job->n_outputs > 0 && job->outputs == NULL) ||
        (job->n_symbols > 0 && job->symbols == NULL) ||
        (job->n_sequences > 0 && job->sequences == NULL) ||
        (job->n_adapters > 0 && job->adapters == NULL)) {
        return refuse_job(unit, "bindings differ in number from the segment's", job->n_inputs);
    }
    uint8_t *scratch = NULL;
    if (unit->scratch_bytes > 0) {
        scratch = bound_bytes(unit, &job->scratch, unit->scratch_bytes);
        if (scratch == NULL) {
            return refuse_job(unit, "scratch is too small, unaligned or not of this device", 0);
        }
    }
    sy_status status = bind_values(unit, job, scratch);
    uint64_t n_rows = 0;
    if (status == SY_OK && unit->uses_sequences) {
        status = check_sequences(unit, job, &n_rows);
    }
    if (status == SY_OK) {
        status = sy__ref_adapter_check(unit->device, job);
    }
    if (status == SY_OK) {
        status = check_states(unit, job);
    }
    for (uint32_t i = 0; i < unit->n_nodes && status == SY_OK; i++) {
        sy__call call;
        fill_call(unit, job, &unit->nodes[i], scratch, &call);
        status = check_shapes(unit, &call);
        if (status == SY_OK && unit->nodes[i].op->needs_sequences &&
            (uint64_t)call.inputs[0]->shape.dims[0] != n_rows) {
            status = refuse_job(unit,
                                "the sequences' tokens do not sum up to the rows of the "
                                "step",
                                i);
        }
    }
    *out_scratch = scratch;
    return status;
}

/* A reason to stop between two nodes. */
static sy_status interrupted(sy_unit *unit, const sy_job *job) {
    if (atomic_load(&unit->cancelled) && atomic_load(&unit->cancelled_run) == job->run) {
        return sy__ref_report(unit->device, SY_CANCELLED, SY_NO_VALUE, "the run was cancelled");
    }
    if (job->deadline_ns != 0 && sy__clock_now_ns() > job->deadline_ns) {
        return sy__ref_report(unit->device, SY_DEADLINE_EXCEEDED, SY_NO_VALUE,
                              "the run passed its deadline");
    }
    return SY_OK;
}

static sy_status wait_for_others(const sy_unit *unit, const sy_job *job) {
    const sy_device *device = unit->device;
    for (uint32_t i = 0; i < job->n_waits; i++) {
        sy_status status =
            device->host->fence_wait(device->context, job->waits[i], job->deadline_ns);
        if (SY_STATUS_CLASS(status) == SY_DEADLINE_EXCEEDED) {
            return status;
        }
        if (status != SY_OK) {
            return SY_STATUS(SY_ABORTED, SY_DETAIL_POISONED);
        }
    }
    return SY_OK;
}

static sy_status run_nodes(sy_unit *unit, const sy_job *job, uint8_t *scratch) {
    sy_status status = wait_for_others(unit, job);
    for (uint32_t i = 0; i < unit->n_nodes && status == SY_OK; i++) {
        status = interrupted(unit, job);
        if (status == SY_OK) {
            sy__call call;
            fill_call(unit, job, &unit->nodes[i], scratch, &call);
            status = unit->nodes[i].op->run(&call);
        }
    }
    return status;
}

sy_status sy__ref_unit_submit(sy_unit *unit, const sy_job *theirs) {
    if (unit == NULL || theirs == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = unit->device;
    sy_job job;
    sy__ref_open_read(&job, sizeof(job), theirs);
    sy_status status = sy__ref_open_check(&job.header);
    if (status != SY_OK) {
        return sy__ref_report(device, status, SY_NO_VALUE, "submit: unknown extension");
    }
    uint8_t *scratch = NULL;
    status = check_job(unit, &job, &scratch);
    if (status != SY_OK) {
        return status;
    }
    atomic_fetch_add(&device->live_jobs, 1);
    status = run_nodes(unit, &job, scratch);
    atomic_fetch_sub(&device->live_jobs, 1);
    for (uint32_t i = 0; i < job.n_signals; i++) {
        device->host->fence_signal(device->context, job.signals[i], status);
    }
    return job.n_signals > 0 ? SY_OK : status;
}

sy_status sy__ref_unit_cancel(sy_unit *unit, uint64_t run) {
    if (unit == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    atomic_store(&unit->cancelled_run, run);
    atomic_store(&unit->cancelled, true);
    return SY_OK;
}
