/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recordings of a unit: its launches with the memory that a job binds. One is made when a job
 * binds memory that none of the kept ones was made for; sizes, and which sequences there are,
 * change by parameters and groups alone. A launch that binds states becomes one dispatch for each
 * set of slabs that its sequences lie in, one that binds adapters becomes one for each slab that
 * adapters of the job lie in.
 */
#ifndef GPU_RECORD_H
#define GPU_RECORD_H

#include "adapters.h"
#include "program.h"

typedef struct gpu_replay gpu_replay;

/* One dispatch of a recording. */
typedef struct gpu_step {
    uint32_t i_launch, first_word;
    uint32_t first_sequence, n_sequences; /* of gpu_replay.sequences; none: all of the job */
    bool by_slab;
    uint32_t i_adapters; /* of gpu_replay.adapters, of a launch that binds some */
} gpu_step;

/* Words of a job's parameters, made here and copied when all are there: reading back memory of the
 * device would be slow. */
typedef struct gpu_words {
    uint32_t *words;
    uint32_t n, capacity;
} gpu_words;

/* What a recording binds, in numbers: serials of memory, offsets, sizes, launches. */
typedef struct gpu_identity {
    uint64_t *numbers;
    size_t n, capacity;
} gpu_identity;

typedef struct gpu_recorded {
    gpu_recording *recording; /* NULL: a free place */
    gpu_identity identity;
    uint64_t last_use;
} gpu_recorded;

/* Sessions that step in turn, each with slabs of its own, need not record anew. */
#define GPU_RECORDINGS_KEPT 4u

struct gpu_replay {
    gpu_memory *parameters;
    uint32_t *words; /* where the host sees them */
    uint32_t capacity_words;
    gpu_recorded recorded[GPU_RECORDINGS_KEPT];
    uint64_t n_uses;
    /* Of the job at hand: */
    gpu_recording *recording; /* one of those above */
    gpu_identity identity;
    gpu_binding *bound; /* inputs, outputs, scratch */
    uint32_t n_bound;
    gpu_memory *tables; /* NULL without states */
    gpu_adapter_slab *adapters;
    size_t adapters_capacity;
    uint32_t n_adapters;
    gpu_step *steps;
    uint32_t (*groups)[3];
    uint32_t n_steps, steps_capacity;
    uint32_t *sequences;
    uint32_t n_sequences_listed, sequences_capacity;
    uint32_t n_step_words; /* words of all steps, first to last */
    gpu_words made;
    gpu_words sent; /* what `parameters` holds, as far as n; kernels write the status alone */
    uint32_t *all_sequences;
    uint32_t n_all_sequences;
};

sy_status gpu_replay_create(sy_unit *unit, gpu_replay **out_replay);
void gpu_replay_destroy(sy_unit *unit); /* without one is fine */
/* Makes unit->replay fit to the memory of a job. */
sy_status gpu_replay_bind(sy_unit *unit, const sy_job *job);
/* Makes room for n words; what is recorded is lost where it has to grow. */
sy_status gpu_replay_reserve(sy_unit *unit, uint32_t n_words);

#endif
