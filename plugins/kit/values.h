/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a unit: those of the view that its nodes touch, and those that a delegate derives.
 * Each knows where it lies while a job runs and between which steps it is alive, so that values of
 * the scratch that are never alive together may share its bytes.
 */
#ifndef KIT_VALUES_H
#define KIT_VALUES_H

#include "host.h"

typedef enum kit_place {
    KIT_PLACE_WEIGHT,
    KIT_PLACE_INPUT,   /* index: of sy_job.inputs */
    KIT_PLACE_OUTPUT,  /* index: of sy_job.outputs */
    KIT_PLACE_STATE,   /* index: of sy_segment.states */
    KIT_PLACE_SCRATCH, /* offset into the job's scratch */
    KIT_PLACE_ALIAS    /* index: the value whose bytes it shares */
} kit_place;

typedef struct kit_value {
    sy_element_type type;
    uint32_t rank;
    sy_dimension dims[SY_MAX_RANK];
    kit_place place;
    uint32_t index;
    uint32_t i_view; /* value of the view; SY_NO_VALUE for a derived one */
    const uint8_t *weight;
    uint64_t n_bytes;               /* at the bounds */
    uint64_t offset;                /* KIT_PLACE_SCRATCH */
    uint32_t first_step, last_step; /* made by, last read by */
} kit_value;

typedef struct kit_values {
    kit_value *items;
    size_t n, capacity;
} kit_values;

/* Makes room for one more element of an array of kit_alloc. */
bool kit_array_grow(void **inout_array, size_t n, size_t *inout_capacity, size_t size);
/* RESOURCE_EXHAUSTED, said in words. */
sy_status kit_no_tables(void);

void kit_values_deinit(kit_values *values);
sy_status kit_values_add(kit_values *values, const kit_value *value, uint32_t *out_index);
/* The value of a value of the view, made on first sight by step i_step. is_output: a node of the
 * segment makes it. */
sy_status kit_values_of_view(kit_values *values, const sy_segment *segment, uint32_t i_view,
                             const sy_value_view *view, bool is_output, uint32_t i_step,
                             uint32_t *out_index);
/* Fills n_bytes from type and shape at the bounds; false when the shape makes no sense. */
bool kit_value_measure(kit_value *value);
/* Its size at a job's symbols; OUT_OF_RANGE past a bound. out_bytes is 0 for states. */
sy_status kit_value_shape(const kit_value *value, const sy_job *job, int64_t *out_dims,
                          uint64_t *out_elements, uint64_t *out_bytes);
/* Lets `out` be the bytes of `in`, where nobody outside reads `out` by itself. */
void kit_values_alias(kit_values *values, uint32_t in, uint32_t out);
/* The value that a value is the bytes of: itself or, of an alias, the last one of the chain. */
uint32_t kit_values_root(const kit_values *values, uint32_t i_value);
/* Step i_step reads or makes it; SY_NO_VALUE is fine. */
void kit_values_touch(kit_values *values, uint32_t i_value, uint32_t i_step);
/* Gives every scratch value an offset, a multiple of a power of two, so that values alive together
 * do not overlap. Answers the bytes of all. */
uint64_t kit_values_place(kit_values *values, uint64_t alignment_bytes);

/* Whether a job brings as many of each as a unit has. */
sy_status kit_job_check(const sy_job *job, uint32_t n_inputs, uint32_t n_outputs,
                        uint32_t n_states);

#endif
