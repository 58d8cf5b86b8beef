/* SPDX-License-Identifier: Apache-2.0 */
/* One job: check what is bound, resolve shapes, run the steps on caller and team. */
#include "adapter.h"
#include "linear.h"

#include <string.h>
#include <time.h>

#define SMALL_COST 16384u /* elements below which waking the team costs more than it saves */

const cpu_tensor *cpu_run_in(const cpu_run *run, const cpu_step *step, uint32_t i) {
    return step->in[i] != SY_NO_VALUE ? &run->tensors[step->in[i]] : NULL;
}
const cpu_tensor *cpu_run_out(const cpu_run *run, const cpu_step *step, uint32_t i) {
    return &run->tensors[step->out[i]];
}
sy_state *cpu_run_state(const cpu_run *run, const cpu_step *step, uint32_t i_in,
                        uint32_t i_sequence) {
    const kit_value *value = &run->unit->values.items[step->in[i_in]];
    return run->job->states[(size_t)i_sequence * run->job->n_states + value->index];
}
uint8_t *cpu_run_worker(const cpu_run *run, uint32_t i_worker) {
    return run->worker_memory + i_worker * run->worker_bytes;
}

sy_status cpu_run_tasks(cpu_run *run, sy_task task, void *argument, uint64_t n_tasks,
                        uint64_t cost) {
    if (n_tasks <= 1 || cost < SMALL_COST || run->unit->n_workers == 1 || n_tasks > UINT32_MAX) {
        for (uint64_t i = 0; i < n_tasks; i++) {
            task(argument, (uint32_t)i, 0);
        }
    } else {
        sy_status status = kit_parallel(task, argument, (uint32_t)n_tasks);
        if (status != SY_OK) {
            return status;
        }
    }
    return atomic_load(&run->failure);
}

static sy_status bind(const sy_binding *binding, uint64_t n_bytes, const char *what, uint32_t i,
                      uint8_t **out_data) {
    if (n_bytes == 0) {
        *out_data = NULL;
        return SY_OK;
    }
    const sy_buffer *buffer = binding->buffer;
    if (buffer == NULL || binding->offset_bytes > buffer->n_bytes ||
        buffer->n_bytes - binding->offset_bytes < n_bytes) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "%s %u needs %llu bytes in its buffer",
                          what, i, (unsigned long long)n_bytes);
    }
    *out_data = buffer->bytes + binding->offset_bytes;
    return SY_OK;
}

/* Shape of one value at the job's symbols. */
static sy_status shape_resolve(sy_unit *unit, const sy_job *job, uint32_t i) {
    const kit_value *value = &unit->values.items[i];
    cpu_tensor *tensor = &unit->tensors[i];
    tensor->type = value->type;
    tensor->rank = value->rank;
    return kit_value_shape(value, job, tensor->dims, &tensor->n_elements, &tensor->n_bytes);
}

/* Decoding asks for the same shapes token after token. */
static sy_status shapes_resolve(sy_unit *unit, const sy_job *job) {
    uint32_t n = job->n_symbols;
    size_t n_bytes = n * sizeof(job->symbols[0]);
    if (n > 0 && n == unit->n_symbols && memcmp(unit->symbols, job->symbols, n_bytes) == 0) {
        return SY_OK;
    }
    unit->n_symbols = 0;
    for (uint32_t i = 0; i < unit->values.n; i++) {
        sy_status status = shape_resolve(unit, job, i);
        if (status != SY_OK) {
            return status;
        }
    }
    if (n > 0 && n <= SY_SYMBOL_COUNT_MAX) {
        unit->n_symbols = n;
        memcpy(unit->symbols, job->symbols, n_bytes);
    }
    return SY_OK;
}

static sy_status place_resolve(const sy_unit *unit, const sy_job *job, uint32_t i,
                               uint8_t *scratch) {
    const kit_value *value = &unit->values.items[i];
    cpu_tensor *tensor = &unit->tensors[i];
    switch (value->place) {
    case KIT_PLACE_WEIGHT:
        memcpy(&tensor->data, &value->weight, sizeof(tensor->data));
        return SY_OK;
    case KIT_PLACE_INPUT:
        return bind(&job->inputs[value->index], tensor->n_bytes, "input", value->index,
                    &tensor->data);
    case KIT_PLACE_OUTPUT:
        return bind(&job->outputs[value->index], tensor->n_bytes, "output", value->index,
                    &tensor->data);
    case KIT_PLACE_SCRATCH:
        tensor->data = scratch + value->offset;
        return SY_OK;
    case KIT_PLACE_ALIAS:
        tensor->data = unit->tensors[value->index].data;
        return SY_OK;
    case KIT_PLACE_STATE:
        break;
    }
    return SY_OK;
}

static sy_status sequences_check(const sy_unit *unit, const sy_job *job) {
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        const sy_sequence *q = &job->sequences[s];
        for (uint32_t i = 0; i < unit->n_states; i++) {
            sy_state *state = job->states[(size_t)s * job->n_states + i];
            if (state == NULL || state->states != &unit->device->states) {
                return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                                  "state %u of sequence %u is missing or of another device", i, s);
            }
            if ((uint64_t)q->n_past + q->n_tokens > state->description.max_tokens) {
                return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                                  "sequence %u would have %u + %u tokens, its state holds %llu", s,
                                  q->n_past, q->n_tokens,
                                  (unsigned long long)state->description.max_tokens);
            }
            sy_status status = kit_state_begin_step(state, q->n_past, q->n_tokens);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

static sy_status job_check(const sy_unit *unit, const sy_job *job) {
    sy_status status = kit_job_check(job, unit->n_inputs, unit->n_outputs, unit->n_states);
    if (status != SY_OK) {
        return status;
    }
    if (kit_worker_count() > unit->n_workers) {
        return kit_report(SY_FAILED_PRECONDITION, SY_NO_VALUE,
                          "the host's team grew from %u to %u workers after the device was opened",
                          unit->n_workers, kit_worker_count());
    }
    status = kit_adapters_check(unit->device, job);
    return status == SY_OK ? sequences_check(unit, job) : status;
}

static sy_status job_resolve(sy_unit *unit, const sy_job *job, uint8_t **out_scratch) {
    sy_status status = bind(&job->scratch, unit->scratch_bytes, "scratch", 0, out_scratch);
    if (status == SY_OK) {
        status = shapes_resolve(unit, job);
    }
    for (uint32_t i = 0; status == SY_OK && i < unit->values.n; i++) {
        status = place_resolve(unit, job, i, *out_scratch);
    }
    return status;
}

static uint64_t now_ns(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool too_late(const sy_job *job) {
    return job->deadline_ns != 0 && now_ns() > job->deadline_ns;
}

/* Products that ran as one group share the time by their multiply-adds. */
static void profile_add(const sy_unit *unit, const cpu_step *step, uint64_t ns,
                        const sy_profile *profile) {
    const cpu_linear_group *group = step->params.group;
    double total = 0;
    for (uint32_t i = 0; group != NULL && i < group->n_members; i++) {
        const cpu_params *p = &unit->steps[group->members[i]].params;
        total += (double)p->n * (double)p->k;
    }
    if (total <= 0) {
        profile->node_ns[step->i_node] += ns;
        return;
    }
    for (uint32_t i = 0; i < group->n_members; i++) {
        const cpu_step *member = &unit->steps[group->members[i]];
        double share = (double)member->params.n * (double)member->params.k / total;
        if (member->i_node < profile->n_nodes) {
            profile->node_ns[member->i_node] += (uint64_t)(share * (double)ns);
        }
    }
}

static sy_status step_run(cpu_run *run, const cpu_step *step, const sy_profile *profile) {
    if (profile == NULL || step->i_node >= profile->n_nodes) {
        return step->operator->run(run, step);
    }
    uint64_t start = now_ns();
    sy_status status = step->operator->run(run, step);
    profile_add(run->unit, step, now_ns() - start, profile);
    return status;
}

static sy_status steps_run(cpu_run *run) {
    const sy_unit *unit = run->unit;
    const sy_profile *profile = kit_profile(run->job);
    for (size_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *step = &unit->steps[i];
        if (atomic_load(&unit->cancelled_run) == run->job->run + 1) {
            return SY_CANCELLED;
        }
        if (too_late(run->job)) {
            return SY_DEADLINE_EXCEEDED;
        }
        sy_status status = step_run(run, step, profile);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

sy_status cpu_submit(sy_unit *unit, const sy_job *job) {
    uint8_t *scratch = NULL;
    unit = unit->plain != NULL && !kit_adapters_used(job) ? unit->plain : unit;
    sy_status status = job_check(unit, job);
    if (status == SY_OK) {
        status = job_resolve(unit, job, &scratch);
    }
    for (uint32_t i = 0; status == SY_OK && i < job->n_waits; i++) {
        status = kit_fence_wait(job->waits[i], job->deadline_ns);
    }
    if (status != SY_OK) {
        return status;
    }
    cpu_run run = {.unit = unit,
                   .device = unit->device,
                   .kernels = unit->device->kernels,
                   .job = job,
                   .tensors = unit->tensors,
                   .worker_memory = scratch != NULL ? scratch + unit->worker_offset : NULL,
                   .worker_bytes = unit->worker_bytes};
    atomic_fetch_add(&unit->device->live_jobs, 1);
    status = steps_run(&run);
    atomic_fetch_sub(&unit->device->live_jobs, 1);
    for (uint32_t i = 0; status == SY_OK && i < job->n_signals; i++) {
        kit_fence_signal(job->signals[i], SY_OK);
    }
    return status; /* after an error no signal comes: the outputs were never complete */
}

sy_status cpu_cancel(sy_unit *unit, uint64_t run) {
    atomic_store(&unit->cancelled_run, run + 1);
    if (unit->plain != NULL) {
        atomic_store(&unit->plain->cancelled_run, run + 1);
    }
    return SY_OK;
}
