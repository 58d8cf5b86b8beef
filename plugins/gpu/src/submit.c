/* SPDX-License-Identifier: Apache-2.0 */
#include "submit.h"

#include "faults.h"
#include "record.h"
#include "states.h"

#include <time.h>

const gpu_shape *gpu_job_shape(const gpu_job *job, const gpu_launch *launch, uint32_t i_operand) {
    return &job->shapes[launch->operands[i_operand].i_value];
}

void gpu_groups_for(const gpu_job *job, uint64_t n, uint64_t per_group, uint32_t out_groups[3]) {
    const gpu_limits *limits = job->unit->device->limits;
    uint64_t n_groups = (n + per_group - 1) / per_group, most = limits->groups_most[0];
    uint64_t x = n_groups < most ? n_groups : most;
    out_groups[0] = (uint32_t)x;
    out_groups[1] = x > 0 ? (uint32_t)((n_groups + x - 1) / x) : 0;
    out_groups[2] = 1;
}

static sy_status words_grow(gpu_words *words, uint32_t n) {
    if (n <= words->capacity) {
        return SY_OK;
    }
    uint32_t capacity = words->capacity > 0 ? words->capacity : 1024;
    while (capacity < n && capacity < UINT32_MAX / 2) {
        capacity *= 2;
    }
    uint32_t *larger = kit_alloc((size_t)capacity * 4);
    if (larger == NULL) {
        return kit_no_tables();
    }
    if (words->n > 0) {
        memcpy(larger, words->words, (size_t)words->n * 4);
    }
    kit_release(words->words, (size_t)words->capacity * 4);
    words->words = larger;
    words->capacity = capacity;
    return SY_OK;
}

sy_status gpu_job_words(gpu_job *job, uint32_t n, uint32_t *out_first, uint32_t **out_words) {
    gpu_words *words = job->words;
    sy_status status = words_grow(words, words->n + n);
    if (status == SY_OK) {
        *out_first = words->n;
        *out_words = words->words + words->n;
        memset(*out_words, 0, (size_t)n * 4);
        words->n += n;
    }
    return status;
}

/* ---- checks ---- */
sy_status gpu_job_check(const sy_unit *unit, const sy_job *job) {
    if (atomic_load(&unit->device->is_lost)) {
        return gpu_lost(unit->device);
    }
    sy_status status = kit_job_check(job, unit->n_inputs, unit->n_outputs, unit->n_states);
    return status == SY_OK ? kit_adapters_check(unit->device, job) : status;
}

static sy_status shapes_resolve(sy_unit *unit, const sy_job *job) {
    for (size_t i = 0; i < unit->values.n; i++) {
        gpu_shape *shape = &unit->shapes[i];
        uint64_t n_bytes = 0;
        shape->rank = unit->values.items[i].rank;
        sy_status status =
            kit_value_shape(&unit->values.items[i], job, shape->dims, &shape->n_elements, &n_bytes);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

static sy_status states_begin(sy_unit *unit, const sy_job *job) {
    for (uint32_t s = 0; unit->has_states && s < job->n_sequences; s++) {
        for (uint32_t i = 0; i < unit->n_states; i++) {
            sy_status status = gpu_state_begin(
                unit->device, job->states[(size_t)s * job->n_states + i], &job->sequences[s], s, i);
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

/* ---- parameters ---- */
static sy_status sequences_write(gpu_job *job) {
    const sy_job *given = job->job;
    uint32_t *words = NULL, first = 0;
    sy_status status = gpu_job_words(job, given->n_sequences * GPU_SEQUENCE_WORDS, &first, &words);
    if (status != SY_OK) {
        return status;
    }
    job->words->words[GPU_WORD_SEQUENCE_TABLE] = first;
    for (uint32_t s = 0; s < given->n_sequences; s++) {
        words[s * GPU_SEQUENCE_WORDS] = given->sequences[s].first_row;
        words[s * GPU_SEQUENCE_WORDS + 1] = given->sequences[s].n_tokens;
        words[s * GPU_SEQUENCE_WORDS + 2] = given->sequences[s].n_past;
        words[s * GPU_SEQUENCE_WORDS + 3] = given->sequences[s].adapter;
    }
    status = gpu_job_words(job, (uint32_t)job->n_tokens, &first, &words);
    if (status != SY_OK) {
        return status;
    }
    job->words->words[GPU_WORD_ROW_TABLE] = first;
    memset(words, 0xff, (size_t)job->n_tokens * 4);
    for (uint32_t s = 0; s < given->n_sequences; s++) {
        const sy_sequence *q = &given->sequences[s];
        if ((uint64_t)q->first_row + q->n_tokens > job->n_tokens) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "sequence %u has rows %u + %u of a step of %llu", s, q->first_row,
                              q->n_tokens, (unsigned long long)job->n_tokens);
        }
        for (uint32_t i = 0; i < q->n_tokens; i++) {
            words[q->first_row + i] = s;
        }
    }
    return SY_OK;
}

static sy_status states_write(gpu_job *job) {
    const sy_job *given = job->job;
    uint32_t n = job->unit->has_states ? given->n_sequences * given->n_states : 0;
    uint32_t *words = NULL, first = 0;
    sy_status status = gpu_job_words(job, 2 * n, &first, &words);
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        gpu_state_table(given->states[i], &words[2 * i], &words[2 * i + 1]);
    }
    if (status == SY_OK) {
        job->words->words[GPU_WORD_STATE_TABLE] = first;
    }
    return status;
}

static sy_status uses_write(gpu_job *job) {
    const sy_job *given = job->job;
    uint32_t *words = NULL, first = 0;
    sy_status status = gpu_job_words(job, given->n_adapters * GPU_USE_WORDS, &first, &words);
    for (uint32_t i = 0; status == SY_OK && i < given->n_adapters; i++, words += GPU_USE_WORDS) {
        const sy_adapter_use *use = &given->adapters[i];
        if (!gpu_adapter_place(use->weights, &words[0], &words[1])) {
            words[0] = UINT32_MAX; /* of no slab */
        }
        words[2] = gpu_float_bits((double)use->scale);
        words[3] = use->weights->n_pairs << 1 | (use->more != 0);
    }
    if (status == SY_OK) {
        job->words->words[GPU_WORD_USE_TABLE] = first;
    }
    return status;
}

/* Rows of sequences with adapters. They are cut from the sequence's own first row on, so that a row
 * is computed as it is without the others. */
static sy_status runs_write(gpu_job *job) {
    const sy_job *given = job->job;
    uint32_t *words = NULL, first = 0;
    job->n_runs = job->n_uses_most = 0;
    for (uint32_t s = 0; s < given->n_sequences; s++) {
        const sy_sequence *q = &given->sequences[s];
        const sy_adapter_use *use = q->adapter > 0 ? &given->adapters[q->adapter - 1] : NULL;
        uint32_t n_uses = use != NULL;
        for (; use != NULL && use->more != 0; use++) {
            n_uses++;
        }
        job->n_uses_most = n_uses > job->n_uses_most ? n_uses : job->n_uses_most;
        job->n_runs += q->adapter > 0 ? (q->n_tokens + GPU_RUN_ROWS - 1) / GPU_RUN_ROWS : 0;
    }
    sy_status status = gpu_job_words(job, job->n_runs * GPU_RUN_WORDS, &first, &words);
    if (status != SY_OK) {
        return status;
    }
    job->words->words[GPU_WORD_RUN_TABLE] = first;
    for (uint32_t s = 0; s < given->n_sequences; s++) {
        const sy_sequence *q = &given->sequences[s];
        for (uint32_t i = 0; q->adapter > 0 && i < q->n_tokens; i += GPU_RUN_ROWS) {
            uint32_t n = q->n_tokens - i;
            *words++ = q->first_row + i;
            *words++ = n < GPU_RUN_ROWS ? n : GPU_RUN_ROWS;
            *words++ = q->adapter;
        }
    }
    return SY_OK;
}

static sy_status sequences_list(gpu_replay *replay, uint32_t n_sequences) {
    if (n_sequences <= replay->n_all_sequences) {
        return SY_OK;
    }
    uint32_t *all = kit_alloc((size_t)n_sequences * 4);
    if (all == NULL) {
        return kit_no_tables();
    }
    for (uint32_t s = 0; s < n_sequences; s++) {
        all[s] = s;
    }
    kit_release(replay->all_sequences, (size_t)replay->n_all_sequences * 4);
    replay->all_sequences = all;
    replay->n_all_sequences = n_sequences;
    return SY_OK;
}

static sy_status steps_write(gpu_job *job) {
    const gpu_replay *replay = job->unit->replay;
    for (uint32_t i = 0; i < replay->n_steps; i++) {
        const gpu_step *step = &replay->steps[i];
        const gpu_launch *launch = &job->unit->launches[step->i_launch];
        uint32_t own[GPU_LAUNCH_WORDS_MOST] = {0};
        job->sequences =
            step->by_slab ? replay->sequences + step->first_sequence : replay->all_sequences;
        job->n_sequences = step->by_slab ? step->n_sequences : job->job->n_sequences;
        job->i_slab = replay->n_adapters > 0 ? replay->adapters[step->i_adapters].number : 0;
        memset(replay->groups[i], 0, sizeof(replay->groups[i]));
        sy_status status = launch->size(job, launch, own, replay->groups[i]);
        if (status != SY_OK) {
            return status;
        }
        memcpy(job->words->words + step->first_word, own, (size_t)launch->n_words * 4);
    }
    return SY_OK;
}

static sy_status words_write(gpu_job *job) {
    const gpu_replay *replay = job->unit->replay;
    uint32_t n_sequences = job->job->n_sequences;
    sy_status status = words_grow(job->words, replay->n_step_words);
    if (status != SY_OK) {
        return status;
    }
    uint32_t *words = job->words->words;
    job->words->n = replay->n_step_words;
    memset(words, 0, (size_t)replay->n_step_words * 4);
    words[GPU_WORD_TOKENS] = (uint32_t)job->n_tokens;
    words[GPU_WORD_SEQUENCES] = n_sequences;
    status = sequences_list(job->unit->replay, n_sequences);
    status = status == SY_OK ? sequences_write(job) : status;
    status = status == SY_OK ? states_write(job) : status;
    if (status == SY_OK && replay->n_adapters > 0) {
        status = uses_write(job);
        status = status == SY_OK ? runs_write(job) : status;
    }
    return status == SY_OK ? steps_write(job) : status;
}

/* ---- running ---- */
static sy_status failure_say(uint32_t failure) {
    return failure == SY_OUT_OF_RANGE
               ? kit_report(failure, SY_NO_VALUE,
                            "an index in the data of this step is out of range")
               : kit_report(failure, SY_NO_VALUE, "a kernel failed with status %u", failure);
}

static bool is_too_late(const sy_job *job) {
    struct timespec now;
    if (job->deadline_ns == 0) {
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec >= job->deadline_ns;
}

#define SENT_WORDS 16u /* compared and written as one: a cache line */

/* Writes the words that the device does not have yet: most are those of the step before. */
static uint64_t words_send(gpu_replay *replay) {
    const gpu_words *made = &replay->made;
    gpu_words *sent = &replay->sent;
    uint64_t n_written = 0;
    for (uint32_t first = 0; first < made->n; first += SENT_WORDS) {
        uint32_t n = made->n - first < SENT_WORDS ? made->n - first : SENT_WORDS;
        if (first + n <= sent->n && memcmp(sent->words + first, made->words + first, n * 4) == 0) {
            continue;
        }
        memcpy(sent->words + first, made->words + first, n * 4);
        memcpy(replay->words + first, made->words + first, n * 4);
        n_written += n * 4;
    }
    sent->n = sent->n > made->n ? sent->n : made->n;
    return n_written;
}

/* Words, what the driver moved beside them, and the status that is read back. */
static void bytes_tell(const gpu_job *job, uint64_t n_sent) {
    const sy_profile *profile = kit_profile(job->job);
    if (profile != NULL && profile->cost != NULL) {
        uint64_t n_written = 0, n_read = 0;
        gpu_recording_moved(job->unit->replay->recording, &n_written, &n_read);
        profile->cost->written_bytes += n_sent + n_written;
        profile->cost->read_bytes += sizeof(uint32_t) + n_read;
    }
}

static sy_status replay_run(gpu_job *job) {
    gpu_replay *replay = job->unit->replay;
    uint64_t ticket = 0;
    sy_status status = gpu_replay_reserve(job->unit, job->words->n);
    status = status == SY_OK ? words_grow(&replay->sent, job->words->n) : status;
    if (status == SY_OK && replay->recording == NULL) { /* the parameters moved */
        status = gpu_replay_bind(job->unit, job->job);
    }
    if (status != SY_OK) {
        return status;
    }
    if (is_too_late(job->job)) {
        return kit_report(SY_DEADLINE_EXCEEDED, SY_NO_VALUE,
                          "the job's deadline passed before it "
                          "was started");
    }
    if (replay->n_steps > 0) {
        uint64_t n_sent = words_send(replay);
        status = gpu_recording_run(replay->recording, replay->groups, &ticket);
        bytes_tell(job, n_sent);
    }
    /* What was started cannot be taken back, and writes to the job's memory until it is done: a
     * driver that sees its device hang says that it is lost. */
    if (status == SY_OK && replay->n_steps > 0) {
        status = gpu_driver_wait(job->unit->device->driver, ticket, 0);
    }
    if (status == SY_OK && replay->words[GPU_WORD_STATUS] != SY_OK) {
        status = failure_say(replay->words[GPU_WORD_STATUS]);
    }
    if (status != SY_OK) {
        replay->sent.n = 0; /* the status, for one, is not what was written */
    }
    return status;
}

sy_status gpu_job_run(sy_unit *unit, const sy_job *given) {
    gpu_job job = {
        .unit = unit, .job = given, .shapes = unit->shapes, .words = &unit->replay->made};
    if (atomic_load(&unit->cancelled_run) == given->run + 1) {
        return SY_CANCELLED;
    }
    job.n_tokens = given->n_symbols > SY_SYMBOL_TOKENS && given->symbols[SY_SYMBOL_TOKENS] > 0
                       ? (uint64_t)given->symbols[SY_SYMBOL_TOKENS]
                       : 0;
    bool is_garbage = false;
    sy_status status = gpu_fault_of_job(unit, given, &is_garbage);
    status = status == SY_OK ? shapes_resolve(unit, given) : status;
    status = status == SY_OK ? states_begin(unit, given) : status;
    bool fits = false;
    while (status == SY_OK && !fits) { /* states made meanwhile may have moved the tables */
        status = gpu_replay_bind(unit, given);
        status = status == SY_OK ? words_write(&job) : status;
        fits = !unit->has_states || unit->replay->tables == gpu_states_tables(unit->device);
    }
    status = status == SY_OK ? replay_run(&job) : status;
    return status == SY_OK && is_garbage ? gpu_fault_garbage(unit, given) : status;
}
