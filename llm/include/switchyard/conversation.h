/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation: messages over a session, put into the text form that the model was trained on
 * (its chat template). Only what is new is prefilled at each turn.
 */
#ifndef SWITCHYARD_CONVERSATION_H
#define SWITCHYARD_CONVERSATION_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_conversation sy_conversation;

typedef struct sy_conversation_options {
    uint32_t struct_bytes;
    const char *system;        /* system message, NULL none; copied */
    const char *template_name; /* name of a known template; NULL: the model's own */
} sy_conversation_options;

/* Starts a conversation on a session, which must stay open and be used through the conversation
 * only. NULL options: no system message, the model's own template.
 * shape: -  unit: -  owner: caller, sy_conversation_destroy; the session stays the caller's
 * errors: UNIMPLEMENTED for a template that is not known or absent, RESOURCE_EXHAUSTED
 * thread: one at a time per engine  cost: heap  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conversation_create(sy_session *session,
                                               const sy_conversation_options *options,
                                               sy_conversation **out_conversation, sy_error *error);

/* Ends a conversation; the session keeps its tokens. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time per engine
 * cost: O(1)  since: 0.1  source: - */
void sy_conversation_destroy(sy_conversation *conversation);

/* Adds a user's message and prefills it up to where the model answers. Where the session slides or
 * prunes, oldest turns that do not fit any more are forgotten, never the system message
 * (docs/sessions.md). On failure the conversation is as before.
 * shape: -  unit: -  owner: copies text  errors: those of prefill, OUT_OF_RANGE when it does not
 * fit
 * thread: one at a time per engine  cost: prefill of the new part  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conversation_add_user(sy_conversation *conversation, const char *text,
                                                 sy_error *error);

/* Generates the model's answer to the newest message; the answer becomes part of the conversation,
 * also when it was cancelled. The template's own end marks stop it beside those of the options.
 * shape: -  unit: -  owner: caller  errors: FAILED_PRECONDITION without a user's message, those of
 * generate  thread: one at a time per engine  cost: as sy_session_generate, and heap for the answer
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conversation_answer(sy_conversation *conversation, sy_sampler *sampler,
                                               const sy_generate_options *options,
                                               sy_generate_result *out_result, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
