/* SPDX-License-Identifier: Apache-2.0 */
/* A generation token by token, for whoever runs its steps: sy_session_generate or the scheduler. */
#ifndef SY_ENGINE_GENERATION_H
#define SY_ENGINE_GENERATION_H

#include "engine/engine_internal.h"

typedef struct sy__generation {
    sy_session *session;
    sy_sampler *sampler; /* NULL: greedy */
    sy_generate_options options;
    sy_detokenizer detokenizer;
    size_t n_pending;
    bool refused;    /* the callback asked to stop */
    bool has_choice; /* a step has chosen the next token already */
    int32_t choice;
    sy_generate_result result;
} sy__generation;

/* Checks the options (NULL: defaults) and marks the session as running, until sy__session_end. */
sy_status sy__generation_begin(sy__generation *g, sy_session *session, sy_sampler *sampler,
                               const sy_generate_options *options, sy_error *error);
/* Is there no next token? Sets result.finish then. */
bool sy__generation_is_over(sy__generation *g);
/* Draws, commits and streams one token; sets result.finish instead when there is no next one. Runs
 * a step only when the session's logits are missing. */
sy_status sy__generation_advance(sy__generation *g, sy_error *error);
/* The one terminal call, with result.finish. */
void sy__generation_finish(sy__generation *g);

#endif
