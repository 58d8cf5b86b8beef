/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_SAMPLE_GREEDY_H
#define SY_SAMPLE_GREEDY_H

#include "switchyard/sampler.h"

#include <stdbool.h>

/* The token of the highest logit, the lower id at a tie; NaN is never chosen. DATA_LOSS when no
 * logit is a number. */
sy_status sy__greedy_token(const float *logits, uint32_t n, int32_t *out_token, sy_error *error);

/* Does it always draw that token? NULL does. */
bool sy__sampler_is_greedy(const sy_sampler *sampler);

#endif
