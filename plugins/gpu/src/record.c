/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include "hazards.h"
#include "states.h"

#include <string.h>

sy_status gpu_replay_create(sy_unit *unit, gpu_replay **out_replay) {
    gpu_replay *replay = kit_alloc(sizeof(*replay));
    if (replay == NULL) {
        return kit_no_tables();
    }
    replay->n_bound = unit->n_inputs + unit->n_outputs + 1;
    replay->bound = kit_alloc(replay->n_bound * sizeof(*replay->bound));
    if (replay->bound == NULL) {
        kit_release(replay, sizeof(*replay));
        return kit_no_tables();
    }
    *out_replay = replay;
    return SY_OK;
}

static void recordings_drop(gpu_replay *replay) {
    for (uint32_t i = 0; i < GPU_RECORDINGS_KEPT; i++) {
        gpu_recording_destroy(replay->recorded[i].recording);
        replay->recorded[i].recording = NULL;
    }
    replay->recording = NULL;
}

static void identity_free(gpu_identity *identity) {
    kit_release(identity->numbers, identity->capacity * sizeof(*identity->numbers));
}

void gpu_replay_destroy(sy_unit *unit) {
    gpu_replay *replay = unit->replay;
    if (replay == NULL) {
        return;
    }
    recordings_drop(replay);
    gpu_memory_destroy(replay->parameters);
    for (uint32_t i = 0; i < GPU_RECORDINGS_KEPT; i++) {
        identity_free(&replay->recorded[i].identity);
    }
    identity_free(&replay->identity);
    kit_release(replay->steps, replay->steps_capacity * sizeof(*replay->steps));
    kit_release(replay->groups, replay->steps_capacity * sizeof(*replay->groups));
    kit_release(replay->sequences, replay->sequences_capacity * sizeof(*replay->sequences));
    kit_release(replay->adapters, replay->adapters_capacity * sizeof(*replay->adapters));
    kit_release(replay->bound, replay->n_bound * sizeof(*replay->bound));
    kit_release(replay->made.words, (size_t)replay->made.capacity * 4);
    kit_release(replay->sent.words, (size_t)replay->sent.capacity * 4);
    kit_release(replay->all_sequences, (size_t)replay->n_all_sequences * 4);
    kit_release(replay, sizeof(*replay));
}

sy_status gpu_replay_reserve(sy_unit *unit, uint32_t n_words) {
    gpu_replay *replay = unit->replay;
    if (n_words <= replay->capacity_words) {
        return SY_OK;
    }
    uint32_t capacity = replay->capacity_words > 0 ? replay->capacity_words : 1024;
    while (capacity < n_words && capacity < UINT32_MAX / 2) {
        capacity *= 2;
    }
    gpu_memory *parameters = NULL;
    sy_status status = gpu_memory_create(unit->device->driver, (uint64_t)capacity * 4,
                                         GPU_MEMORY_SHARED, &parameters);
    if (status != SY_OK) {
        return status;
    }
    recordings_drop(replay);
    gpu_memory_destroy(replay->parameters);
    replay->parameters = parameters;
    replay->words = gpu_memory_pointer(parameters);
    replay->capacity_words = capacity;
    replay->sent.n = 0;
    return SY_OK;
}

/* ---- steps ---- */
static sy_state *state_of(const sy_unit *unit, const sy_job *job, uint32_t i_sequence,
                          uint32_t i_value) {
    const kit_value *value = &unit->values.items[i_value];
    return job->states[(size_t)i_sequence * job->n_states + value->index];
}

static bool same_slabs(const sy_unit *unit, const sy_job *job, const gpu_launch *launch, uint32_t a,
                       uint32_t b) {
    bool same = true;
    for (uint32_t i = 0; same && i < launch->n_parts; i++) {
        same = gpu_state_slab(state_of(unit, job, a, launch->parts[i])) ==
               gpu_state_slab(state_of(unit, job, b, launch->parts[i]));
    }
    return same;
}

static sy_status step_add(gpu_replay *replay, const gpu_step *step) {
    if (replay->n_steps == replay->steps_capacity) {
        uint32_t capacity = replay->steps_capacity > 0 ? replay->steps_capacity * 2 : 64;
        gpu_step *steps = kit_alloc(capacity * sizeof(*steps));
        uint32_t(*groups)[3] = kit_alloc(capacity * sizeof(*groups));
        if (steps == NULL || groups == NULL) {
            kit_release(steps, capacity * sizeof(*steps));
            kit_release(groups, capacity * sizeof(*groups));
            return kit_no_tables();
        }
        if (replay->n_steps > 0) {
            memcpy(steps, replay->steps, replay->n_steps * sizeof(*steps));
        }
        kit_release(replay->steps, replay->steps_capacity * sizeof(*replay->steps));
        kit_release(replay->groups, replay->steps_capacity * sizeof(*replay->groups));
        replay->steps = steps;
        replay->groups = groups;
        replay->steps_capacity = capacity;
    }
    replay->steps[replay->n_steps++] = *step;
    return SY_OK;
}

static sy_status sequence_add(gpu_replay *replay, uint32_t i_sequence) {
    void *list = replay->sequences;
    size_t capacity = replay->sequences_capacity;
    bool grown = kit_array_grow(&list, replay->n_sequences_listed, &capacity, sizeof(uint32_t));
    replay->sequences = list;
    replay->sequences_capacity = (uint32_t)capacity;
    if (!grown) {
        return kit_no_tables();
    }
    replay->sequences[replay->n_sequences_listed++] = i_sequence;
    return SY_OK;
}

/* A step for each set of slabs. */
static sy_status steps_by_slab(const sy_unit *unit, const sy_job *job, uint32_t i_launch) {
    const gpu_launch *launch = &unit->launches[i_launch];
    gpu_replay *replay = unit->replay;
    sy_status status = SY_OK;
    for (uint32_t s = 0; status == SY_OK && s < job->n_sequences; s++) {
        bool is_first = true;
        for (uint32_t t = 0; is_first && t < s; t++) {
            is_first = !same_slabs(unit, job, launch, s, t);
        }
        if (!is_first) {
            continue;
        }
        gpu_step step = {.i_launch = i_launch,
                         .first_word = replay->n_step_words,
                         .first_sequence = replay->n_sequences_listed,
                         .by_slab = true};
        for (uint32_t t = s; status == SY_OK && t < job->n_sequences; t++) {
            if (same_slabs(unit, job, launch, s, t)) {
                status = sequence_add(replay, t);
            }
        }
        step.n_sequences = replay->n_sequences_listed - step.first_sequence;
        replay->n_step_words += launch->n_words;
        status = status == SY_OK ? step_add(replay, &step) : status;
    }
    return status;
}

static sy_status steps_make(const sy_unit *unit, const sy_job *job) {
    gpu_replay *replay = unit->replay;
    sy_status status = SY_OK;
    replay->n_steps = 0;
    replay->n_sequences_listed = 0;
    replay->n_step_words = GPU_WORDS_FIXED;
    for (uint32_t i = 0; status == SY_OK && i < unit->n_launches; i++) {
        const gpu_launch *launch = &unit->launches[i];
        if (launch->n_parts > 0) {
            status = steps_by_slab(unit, job, i);
            continue;
        }
        uint32_t n = launch->has_adapters ? replay->n_adapters : 1;
        for (uint32_t k = 0; status == SY_OK && k < n; k++) {
            gpu_step step = {.i_launch = i, .first_word = replay->n_step_words, .i_adapters = k};
            replay->n_step_words += launch->n_words;
            status = step_add(replay, &step);
        }
    }
    return status;
}

/* ---- bindings ---- */
static sy_status operand_bind(const sy_unit *unit, const sy_job *job, const gpu_step *step,
                              const gpu_operand *operand, gpu_binding *out) {
    const gpu_replay *replay = unit->replay;
    const gpu_limits *limits = unit->device->limits;
    const gpu_binding nothing = {replay->parameters, 0, GPU_WORDS_FIXED * 4};
    if (operand->kind == GPU_OPERAND_WEIGHT) {
        const gpu_weight_piece *piece = &operand->weight->pieces[operand->i_piece];
        *out = (gpu_binding){piece->memory, piece->offset_bytes, piece->n_bytes};
        return SY_OK;
    }
    if (operand->kind == GPU_OPERAND_STATE || operand->kind == GPU_OPERAND_TABLES) {
        gpu_memory *memory =
            operand->kind == GPU_OPERAND_TABLES
                ? replay->tables
                : gpu_state_slab(state_of(unit, job, replay->sequences[step->first_sequence],
                                          operand->i_value));
        *out = memory != NULL ? (gpu_binding){memory, 0, gpu_memory_bytes(memory)} : nothing;
        return SY_OK;
    }
    if (operand->kind == GPU_OPERAND_ADAPTERS) {
        gpu_memory *memory = replay->adapters[step->i_adapters].memory;
        *out = (gpu_binding){memory, 0, gpu_memory_bytes(memory)};
        return SY_OK;
    }
    if (operand->kind == GPU_OPERAND_NONE) {
        *out = nothing;
        return SY_OK;
    }
    const kit_value *value = &unit->values.items[kit_values_root(&unit->values, operand->i_value)];
    uint32_t i_bound = value->place == KIT_PLACE_INPUT    ? value->index
                       : value->place == KIT_PLACE_OUTPUT ? unit->n_inputs + value->index
                                                          : unit->n_inputs + unit->n_outputs;
    const gpu_binding *bound = &replay->bound[i_bound];
    *out = *bound;
    if (value->place == KIT_PLACE_SCRATCH) {
        out->offset_bytes += value->offset;
        out->n_bytes = value->n_bytes;
    }
    if (out->n_bytes == 0) { /* at the very end of its buffer: no element */
        *out = nothing;
    }
    if (out->offset_bytes % limits->binding_alignment_bytes != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "value %u is bound at %llu, no multiple of %u", value->i_view,
                          (unsigned long long)out->offset_bytes, limits->binding_alignment_bytes);
    }
    return SY_OK;
}

/* Operands that no launch of the unit writes. */
static uint32_t constants_of(const gpu_launch *launch) {
    uint32_t set = 0;
    for (uint32_t i = 0; i < launch->n_operands; i++) {
        gpu_operand_kind kind = launch->operands[i].kind;
        bool is_constant = kind != GPU_OPERAND_VALUE && kind != GPU_OPERAND_STATE;
        set |= (uint32_t)is_constant << i;
    }
    return set;
}

static sy_status dispatches_fill(const sy_unit *unit, const sy_job *job, gpu_hazards *hazards,
                                 gpu_dispatch *dispatches) {
    const gpu_replay *replay = unit->replay;
    for (uint32_t i = 0; i < replay->n_steps; i++) {
        const gpu_step *step = &replay->steps[i];
        const gpu_launch *launch = &unit->launches[step->i_launch];
        gpu_dispatch *dispatch = &dispatches[i];
        *dispatch = (gpu_dispatch){.pipeline = launch->pipeline,
                                   .n_bindings = launch->n_operands,
                                   .first_word = step->first_word,
                                   .waits = i == 0};
        for (uint32_t k = 0; k < launch->n_operands; k++) {
            sy_status status =
                operand_bind(unit, job, step, &launch->operands[k], &dispatch->bindings[k]);
            if (status != SY_OK) {
                return status;
            }
        }
        /* Sequences of other slabs are other rows; adapters of other slabs add to the same. */
        uint32_t family = launch->writes_apart   ? (uint32_t)unit->n_launches + launch->i_node
                          : launch->has_adapters ? UINT32_MAX - 1 - i
                                                 : step->i_launch;
        gpu_hazards_find(hazards, dispatch, gpu_kernels[launch->kernel].n_in, constants_of(launch),
                         family);
    }
    return SY_OK;
}

static sy_status record(sy_unit *unit, const sy_job *job, gpu_recording **out_recording) {
    const gpu_replay *replay = unit->replay;
    size_t n = replay->n_steps > 0 ? replay->n_steps : 1;
    gpu_dispatch *dispatches = kit_alloc(n * sizeof(*dispatches));
    gpu_hazards *hazards = kit_alloc(sizeof(*hazards));
    sy_status status = dispatches != NULL && hazards != NULL
                           ? dispatches_fill(unit, job, hazards, dispatches)
                           : kit_no_tables();
    if (status == SY_OK) {
        status = gpu_recording_create(unit->device->driver, dispatches, replay->n_steps,
                                      replay->parameters, out_recording);
    }
    kit_release(dispatches, n * sizeof(*dispatches));
    kit_release(hazards, sizeof(*hazards));
    return status;
}

/* ---- what a job binds ---- */
static sy_status number_add(gpu_identity *identity, uint64_t number) {
    void *numbers = identity->numbers;
    bool grown =
        kit_array_grow(&numbers, identity->n, &identity->capacity, sizeof(*identity->numbers));
    identity->numbers = numbers;
    if (!grown) {
        return kit_no_tables();
    }
    identity->numbers[identity->n++] = number;
    return SY_OK;
}

static sy_status binding_add(gpu_identity *identity, const gpu_binding *binding) {
    sy_status status = number_add(identity, gpu_memory_serial(binding->memory));
    status = status == SY_OK ? number_add(identity, binding->offset_bytes) : status;
    return status == SY_OK ? number_add(identity, binding->n_bytes) : status;
}

/* Of the job: two with the same numbers run by the same recording. */
static sy_status identity_make(sy_unit *unit, const sy_job *job) {
    gpu_replay *replay = unit->replay;
    gpu_identity *identity = &replay->identity;
    identity->n = 0;
    sy_status status = number_add(identity, gpu_memory_serial(replay->tables));
    for (uint32_t i = 0; status == SY_OK && i < replay->n_adapters; i++) {
        status = number_add(identity, gpu_memory_serial(replay->adapters[i].memory));
    }
    status = status == SY_OK ? number_add(identity, 0) : status; /* no memory: the end */
    for (uint32_t i = 0; status == SY_OK && i < replay->n_bound; i++) {
        status = binding_add(identity, &replay->bound[i]);
    }
    for (uint32_t i = 0; status == SY_OK && i < replay->n_steps; i++) {
        const gpu_step *step = &replay->steps[i];
        const gpu_launch *launch = &unit->launches[step->i_launch];
        status = step->by_slab ? number_add(identity, step->i_launch) : SY_OK;
        for (uint32_t k = 0; status == SY_OK && step->by_slab && k < launch->n_parts; k++) {
            const sy_state *state =
                state_of(unit, job, replay->sequences[step->first_sequence], launch->parts[k]);
            status = number_add(identity, gpu_memory_serial(gpu_state_slab(state)));
        }
    }
    return status;
}

/* Bytes that a binding gives to kernels: those at the bounds, in whole words, where the buffer has
 * them. */
static uint64_t bytes_bound(const kit_value *value, const sy_binding *binding) {
    uint64_t n_bytes = value->n_bytes > 4 ? (value->n_bytes + 3) & ~(uint64_t)3 : 4;
    uint64_t there = ((binding->buffer->n_bytes + 3) & ~(uint64_t)3) - binding->offset_bytes;
    return n_bytes < there ? n_bytes : there;
}

static sy_status bounds_collect(const sy_unit *unit, const sy_job *job) {
    gpu_replay *replay = unit->replay;
    for (size_t i = 0; i < unit->values.n; i++) {
        const kit_value *value = &unit->values.items[i];
        bool is_input = value->place == KIT_PLACE_INPUT;
        if (!is_input && value->place != KIT_PLACE_OUTPUT) {
            continue;
        }
        const sy_binding *binding =
            is_input ? &job->inputs[value->index] : &job->outputs[value->index];
        uint64_t wanted = unit->shapes[i].n_elements * kit_type_block_bytes(value->type);
        if (binding->buffer == NULL || binding->buffer->device != unit->device ||
            binding->offset_bytes >= binding->buffer->n_bytes + (wanted == 0) ||
            binding->buffer->n_bytes - binding->offset_bytes < wanted) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "%s %u needs %llu bytes in a buffer of this device",
                              is_input ? "input" : "output", value->index,
                              (unsigned long long)wanted);
        }
        replay->bound[is_input ? value->index : unit->n_inputs + value->index] = (gpu_binding){
            binding->buffer->memory, binding->offset_bytes, bytes_bound(value, binding)};
    }
    const sy_binding *scratch = &job->scratch;
    if (unit->scratch_bytes > 0 &&
        (scratch->buffer == NULL || scratch->buffer->device != unit->device ||
         scratch->offset_bytes > scratch->buffer->n_bytes ||
         scratch->buffer->n_bytes - scratch->offset_bytes < unit->scratch_bytes)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "the job needs %llu bytes of scratch in a buffer of this device",
                          (unsigned long long)unit->scratch_bytes);
    }
    replay->bound[replay->n_bound - 1] =
        (gpu_binding){scratch->buffer != NULL ? scratch->buffer->memory : NULL,
                      scratch->offset_bytes, unit->scratch_bytes};
    return SY_OK;
}

/* Without launches that bind adapters, or sequences that use some, there are none to list. */
static sy_status adapters_collect(const sy_unit *unit, const sy_job *job) {
    gpu_replay *replay = unit->replay;
    replay->n_adapters = 0;
    return unit->has_adapters && kit_adapters_used(job)
               ? gpu_adapters_list(job, &replay->adapters, &replay->adapters_capacity,
                                   &replay->n_adapters)
               : SY_OK;
}

static sy_status identity_copy(gpu_identity *to, const gpu_identity *from) {
    sy_status status = SY_OK;
    to->n = 0;
    for (size_t i = 0; status == SY_OK && i < from->n; i++) {
        status = number_add(to, from->numbers[i]);
    }
    return status;
}

/* The recording of this identity, or the place for it: a free one, or the one that was not used for
 * longest. */
static gpu_recorded *place_find(gpu_replay *replay) {
    const gpu_identity *wanted = &replay->identity;
    gpu_recorded *oldest = &replay->recorded[0];
    for (uint32_t i = 0; i < GPU_RECORDINGS_KEPT; i++) {
        gpu_recorded *at = &replay->recorded[i];
        if (at->recording != NULL && at->identity.n == wanted->n &&
            memcmp(at->identity.numbers, wanted->numbers, wanted->n * sizeof(uint64_t)) == 0) {
            return at;
        }
        bool is_older =
            oldest->recording != NULL && (at->recording == NULL || at->last_use < oldest->last_use);
        oldest = is_older ? at : oldest;
    }
    gpu_recording_destroy(oldest->recording);
    oldest->recording = NULL;
    return oldest;
}

sy_status gpu_replay_bind(sy_unit *unit, const sy_job *job) {
    gpu_replay *replay = unit->replay;
    replay->tables = unit->has_states ? gpu_states_tables(unit->device) : NULL;
    sy_status status = bounds_collect(unit, job);
    status = status == SY_OK ? adapters_collect(unit, job) : status;
    status = status == SY_OK ? steps_make(unit, job) : status;
    status = status == SY_OK ? gpu_replay_reserve(unit, replay->n_step_words + 1024) : status;
    status = status == SY_OK ? identity_make(unit, job) : status;
    if (status != SY_OK) {
        return status;
    }
    gpu_recorded *place = place_find(replay);
    if (place->recording == NULL) {
        status = identity_copy(&place->identity, &replay->identity);
        status = status == SY_OK ? record(unit, job, &place->recording) : status;
    }
    place->last_use = ++replay->n_uses;
    replay->recording = place->recording;
    return status;
}
