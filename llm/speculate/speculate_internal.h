/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_SPECULATE_INTERNAL_H
#define SY_SPECULATE_INTERNAL_H

#include "engine/generation.h"
#include "switchyard/speculate.h"

/* What steps took lately, and whether guessing pays. */
typedef struct sy__speculation_account {
    double plain_ns;                    /* of a step without guesses, running mean */
    double guessed_ns, tokens_per_step; /* of one with them, the guessing included */
    uint32_t n_plain, n_guessed;        /* that these means rest on */
    uint32_t n_rest, n_rest_next;       /* steps until it is tried again, and the time after */
} sy__speculation_account;

struct sy_speculator {
    sy_engine *engine;
    sy_speculator_options options;
    sy_session *draft; /* NULL: look-up */
    int32_t guesses[SY_GUESSES_MAX];
    uint32_t n_guesses;  /* of the next or running step */
    uint32_t n_rows;     /* of logits that a step left */
    uint32_t n_written;  /* rows that the state holds after it, wrong ones included; 0: settled */
    float *rows;         /* [n_guesses + 1, n_vocabulary] */
    uint64_t guess_ns;   /* what making the guesses took */
    bool cannot_go_back; /* the session's windows do not let wrong rows go */
    sy__speculation_account account;
    sy_speculator_stats stats;
};

/* guess.c: fills guesses for what may follow the session's tokens, at most n_most; none while it
 * rests. With a draft this runs its steps. */
void sy__speculator_guess(sy_speculator *speculator, const sy_session *session, sy_sampler *sampler,
                          uint32_t n_most);
/* How many guesses a generation can use now: room in the session, tokens still wanted. */
uint32_t sy__speculator_room(const sy__generation *g);

/* account.c: may the next step have guesses? */
bool sy__speculator_may_guess(sy_speculator *speculator);
/* A step took so long and gave so many tokens. */
void sy__speculator_learn(sy_speculator *speculator, uint64_t step_ns, uint32_t n_tokens);

/* verify.c: a step has run the newest token and the first n_guesses guesses: keeps its logits. */
void sy__speculator_keep(sy_speculator *speculator, sy_session *session, uint32_t n_guesses,
                         const float *rows);
/* Draws, commits and streams what those logits give: one token, and one more for each guess that
 * was right. Runs no step. */
sy_status sy__speculator_take(sy__generation *g, sy_error *error);
/* Takes the rows of wrong guesses back out of the state. */
sy_status sy__speculator_settle(sy__generation *g, sy_error *error);
/* Guess, step, keep, take, settle, for a session that runs alone. */
sy_status sy__speculator_advance(sy__generation *g, sy_error *error);

#endif
