/* SPDX-License-Identifier: Apache-2.0 */
/* What a step carries: decoding sessions first, then prompts in chunks. */
#include "schedule/schedule_internal.h"

#include <string.h>

/* What is left of the step being packed. */
typedef struct room {
    uint32_t n_sequences, n_rows, n_outputs;
    uint32_t n_prompt_bounded; /* rows for prompts beside decoding sessions */
    bool decodes[2];           /* a session of this priority decodes in the step */
} room;

/* A background request that waited long goes with the foreground, for this step. */
static sy_priority priority_of(const sy__request *request) {
    bool is_impatient = request->n_waited >= request->scheduler->options.n_patience_steps;
    return is_impatient ? SY_PRIORITY_FOREGROUND : request->options.priority;
}

static bool has_prompt(const sy__request *request) {
    return sy__request_n_prompt(request) > 0;
}

static void add(sy_scheduler *scheduler, room *left, sy__request *request, uint32_t n_rows,
                uint32_t n_outputs) {
    scheduler->members[scheduler->n_members++] = request;
    request->n_rows = n_rows;
    request->n_outputs = n_outputs;
    left->n_sequences--;
    left->n_rows -= n_rows;
    left->n_outputs -= n_outputs;
}

/* A place is kept for a prompt that waits, so that decoding sessions cannot take all of them: for
 * one of a higher priority always, for one of the same when the step has several places or it is
 * the one that waited longest. */
static uint32_t places_kept(const sy_scheduler *scheduler, const room *left, sy_priority priority) {
    bool is_oldest = true, is_kept = false;
    for (const sy__request *r = scheduler->first; r != NULL; r = r->after) {
        if (priority_of(r) < priority && has_prompt(r)) {
            return 1;
        }
        if (priority_of(r) == priority) {
            is_kept = is_kept || (has_prompt(r) && (left->n_sequences > 1 || is_oldest));
            is_oldest = false;
        }
    }
    return is_kept ? 1 : 0;
}

static void pack_decodes(sy_scheduler *scheduler, room *left, sy_priority priority) {
    uint32_t n_kept = places_kept(scheduler, left, priority);
    for (sy__request *r = scheduler->first; r != NULL; r = r->after) {
        bool decodes = !r->is_busy && !has_prompt(r) && sy__request_n_behind(r) > 0;
        if (priority_of(r) != priority || !decodes) {
            continue;
        }
        if (left->n_sequences <= n_kept || left->n_rows <= n_kept || left->n_outputs <= n_kept) {
            return;
        }
        add(scheduler, left, r, 1, 1);
        left->decodes[priority] = true;
    }
}

static void pack_prompts(sy_scheduler *scheduler, room *left, sy_priority priority) {
    bool is_bounded = left->decodes[SY_PRIORITY_FOREGROUND] || left->decodes[priority];
    for (sy__request *r = scheduler->first;
         r != NULL && left->n_sequences > 0 && left->n_outputs > 0; r = r->after) {
        if (priority_of(r) != priority || !has_prompt(r) || r->is_busy) {
            continue;
        }
        uint32_t n_behind = sy__request_n_behind(r), n_prompt = sy__request_n_prompt(r);
        uint32_t n_most =
            is_bounded ? sy__smaller(left->n_rows, left->n_prompt_bounded) : left->n_rows;
        uint32_t n_rows = sy__smaller(n_most, n_behind + n_prompt);
        if (n_rows > 0) {
            add(scheduler, left, r, n_rows, 1);
            left->n_prompt_bounded -= sy__smaller(n_rows, left->n_prompt_bounded);
        }
    }
}

/* Guesses take what decoding sessions leave, with a place for a prompt's row. */
static void pack_guesses(sy_scheduler *scheduler, room *left) {
    for (uint32_t i = 0; i < scheduler->n_members; i++) {
        sy__request *r = scheduler->members[i];
        const sy_speculator *speculator = r->options.speculator;
        if (speculator == NULL || left->n_rows < 2 || left->n_outputs < 2) {
            continue;
        }
        uint32_t n =
            sy__smaller(speculator->n_guesses, sy__smaller(left->n_rows - 1, left->n_outputs - 1));
        r->n_rows += n;
        r->n_outputs += n;
        left->n_rows -= n;
        left->n_outputs -= n;
    }
}

void sy__schedule_pack(sy_scheduler *scheduler) {
    const sy_engine_options *engine = &scheduler->engine->options;
    room left = {.n_sequences = scheduler->n_members_max,
                 .n_rows = engine->n_batch_tokens,
                 .n_outputs = engine->n_output_rows,
                 .n_prompt_bounded = scheduler->options.n_prefill_tokens};
    scheduler->n_members = 0;
    for (sy__request *r = scheduler->first; r != NULL; r = r->after) {
        r->n_rows = 0;
    }
    pack_decodes(scheduler, &left, SY_PRIORITY_FOREGROUND);
    pack_decodes(scheduler, &left, SY_PRIORITY_BACKGROUND);
    pack_guesses(scheduler, &left);
    pack_prompts(scheduler, &left, SY_PRIORITY_FOREGROUND);
    pack_prompts(scheduler, &left, SY_PRIORITY_BACKGROUND);
    for (sy__request *r = scheduler->first; r != NULL; r = r->after) {
        r->n_waited = r->n_rows > 0 ? 0 : r->n_waited + 1;
    }
}

uint32_t sy__schedule_fill(sy_scheduler *scheduler, sy__request *const *members, uint32_t n) {
    uint32_t at = 0, n_outputs = 0;
    for (uint32_t i = 0; i < n; i++) {
        const sy__request *r = members[i];
        const sy_session *session = r->options.session;
        uint32_t n_behind = sy__request_n_behind(r);
        scheduler->sequences[i] = (sy_step_sequence){.states = session->states,
                                                     .n_tokens = r->n_rows,
                                                     .n_past = session->n_tokens - n_behind};
        if (n_behind > 0) {
            scheduler->tokens[at] = session->tokens[session->n_tokens - 1];
        }
        if (r->n_rows > n_behind) {
            const int32_t *rest =
                has_prompt(r) ? &r->options.tokens[r->n_done] : r->options.speculator->guesses;
            memcpy(&scheduler->tokens[at + n_behind], rest,
                   (r->n_rows - n_behind) * sizeof(int32_t));
        }
        at += r->n_rows;
        for (uint32_t k = 0; k < r->n_outputs; k++) {
            scheduler->output_rows[n_outputs++] = (int32_t)(at - r->n_outputs + k);
        }
    }
    return n_outputs;
}
