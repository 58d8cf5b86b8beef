/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampling: from a row of logits to one token. Steps in this order: temperature, top-k, top-p,
 * min-p, draw. Ties are broken by the lower token id and the random numbers come from the seed
 * alone, so the same logits and seed give the same tokens everywhere.
 */
#ifndef SWITCHYARD_SAMPLER_H
#define SWITCHYARD_SAMPLER_H

#include "switchyard/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Settings. Start from sy_sampler_options_default. */
typedef struct sy_sampler_options {
    uint32_t struct_bytes;
    float temperature; /* 0: greedy, the highest logit */
    uint32_t top_k;    /* 0: all */
    float top_p;       /* 1: all; keep the smallest set with at least this probability */
    float min_p;       /* 0: all; drop what is less than min_p times as likely as the best */
    uint64_t seed;
} sy_sampler_options;

typedef struct sy_sampler sy_sampler;

/* Fills defaults: greedy (temperature 0), no cuts, seed 0.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_sampler_options_default(sy_sampler_options *out_options);

/* Makes a sampler for rows of n_vocabulary logits. NULL options: defaults.
 * shape: -  unit: tokens  owner: caller, sy_sampler_destroy  errors: INVALID_ARGUMENT for a setting
 * out of range, RESOURCE_EXHAUSTED  thread: one at a time  cost: heap, O(n_vocabulary)
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_sampler_create(const sy_allocator *allocator, uint32_t n_vocabulary,
                                          const sy_sampler_options *options,
                                          sy_sampler **out_sampler, sy_error *error);

/* Frees a sampler; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_sampler_destroy(sy_sampler *sampler);

/* Draws a token. NaN counts as the lowest logit.
 * shape: logits [n_vocabulary] f32  unit: -  owner: caller keeps logits  errors: DATA_LOSS when no
 * logit is a number  thread: one at a time  cost: no heap, O(n) or O(n log n) with top-p
 * since: 0.1  source: Holtzman et al., arXiv 1904.09751 (top-p); Nguyen et al., arXiv 2407.01082
 * (min-p) */
SY_MUST_CHECK sy_status sy_sampler_draw(sy_sampler *sampler, const float *logits,
                                        int32_t *out_token, sy_error *error);

/* Random state, so that a saved session goes on with the same numbers.
 * shape: 4 words  unit: -  owner: caller  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: xoshiro256**, Blackman and Vigna, arXiv 1805.01407 */
void sy_sampler_get_state(const sy_sampler *sampler, uint64_t out_state[4]);
void sy_sampler_set_state(sy_sampler *sampler, const uint64_t state[4]);

#ifdef __cplusplus
}
#endif
#endif
