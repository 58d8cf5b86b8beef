/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speculative decoding: tokens that probably come next are guessed and checked as further rows of
 * the step that a token takes anyway. What is generated never changes: every token is drawn from
 * the model's own logits with the request's own random numbers, and a guess only counts when it is
 * the token that was drawn. So greedy output, the distribution of samples, and the tokens of a seed
 * are those of plain decoding; wrong guesses cost time and nothing else.
 *
 * Guesses come from a smaller draft model of the same vocabulary, or from the text so far: what
 * followed the newest tokens where they stood before (prompt look-up). When guessing does not pay -
 * tokens gained against the measured time of steps with and without - it rests, and is tried again
 * later.
 */
#ifndef SWITCHYARD_SPECULATE_H
#define SWITCHYARD_SPECULATE_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_GUESSES_MAX 32u

/* Settings. Start from sy_speculator_options_default. */
typedef struct sy_speculator_options {
    uint32_t struct_bytes;
    sy_engine *draft;        /* NULL: prompt look-up; must outlive the speculator */
    uint32_t n_guesses;      /* most of one step, 1 to SY_GUESSES_MAX */
    uint32_t n_match_tokens; /* look-up: so many newest tokens, at least 2, have to stand earlier;
                                fewer, down to 2, when the long run is not found */
    uint32_t max_tokens;     /* of the draft's session; 0: the draft engine's context */
    uint32_t always;         /* 1: never rests */
} sy_speculator_options;

typedef struct sy_speculator_stats {
    uint64_t n_guesses, n_accepted;
    uint64_t n_guessed_steps, n_plain_steps;
    uint64_t n_rests;    /* times it was found not to pay */
    uint32_t is_resting; /* now */
} sy_speculator_stats;

/* Fills defaults: look-up of 3 tokens, 4 guesses.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_speculator_options_default(sy_speculator_options *out_options);

/* Makes a speculator for one session at a time of the engine; give it to sy_generate_options or
 * sy_request_options. The engine's n_output_rows bounds guesses to one less.
 * shape: -  unit: -  owner: caller, sy_speculator_destroy  errors: INVALID_ARGUMENT,
 * FAILED_PRECONDITION for a draft with another vocabulary or an encoder, RESOURCE_EXHAUSTED
 * thread: one at a time per engine  cost: heap for logits of the guesses, the draft's session
 * since: 0.1  source: Leviathan et al., arXiv 2211.17192; Saxena, prompt lookup decoding (2023) */
SY_MUST_CHECK sy_status sy_speculator_create(sy_engine *engine,
                                             const sy_speculator_options *options,
                                             sy_speculator **out_speculator, sy_error *error);

/* Frees it when no generation uses it; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time per engine
 * cost: closes the draft's session  since: 0.1  source: - */
void sy_speculator_destroy(sy_speculator *speculator);

/* Counts since creation.
 * shape: -  unit: tokens, steps  owner: caller  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_speculator_get_stats(const sy_speculator *speculator, sy_speculator_stats *out_stats);

#ifdef __cplusplus
}
#endif
#endif
