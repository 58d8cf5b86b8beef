/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scoring: how likely a model finds given continuations of a session's tokens. All numbers are sums
 * of natural-log probabilities (<= 0; nearer to 0 is likelier), at temperature 1.
 */
#ifndef SWITCHYARD_SCORE_H
#define SWITCHYARD_SCORE_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One continuation. */
typedef struct sy_score_target {
    const int32_t *tokens;
    uint32_t n_tokens; /* may be 0: the sum is 0 */
} sy_score_target;

/* Scores many continuations of the same session, which is left as it was. The session's tokens are
 * not computed again: continuations run beside each other over clones, as many as the engine's
 * n_sequences and the memory budget allow, n_output_rows rows a step. out_each[i] gets the numbers
 * of the tokens of target i; out_each or single entries may be NULL. After a failure the outputs
 * hold what had come together till then.
 * shape: targets, out_each, out_sums [n_targets]  unit: nats  owner: caller
 * errors: FAILED_PRECONDITION before any token, OUT_OF_RANGE when a target does not fit, CANCELLED
 * (sy_session_cancel), those of the delegates  thread: one at a time per engine
 * cost: clones, prefill of the targets  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_session_score_targets(sy_session *session,
                                                 const sy_score_target *targets, uint32_t n_targets,
                                                 double *const *out_each, double *out_sums,
                                                 sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
