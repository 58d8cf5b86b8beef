/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does guessing pay? A step with guesses pays when the tokens it gives would have taken longer one
 * by one. Both times are running means of this very session, so that a growing context, other
 * sessions in the step and a slow draft all count. Nothing of it can change a token.
 */
#include "speculate/speculate_internal.h"

#define PLAIN_STEPS 2u /* that are measured before guessing starts or goes on */
#define TRIAL_STEPS 8u /* with guesses before it is judged */
#define REST_STEPS 32u /* plain steps after the first "no", twice as many after each further */
#define REST_STEPS_MOST 1024u
#define REMEASURE_STEPS 64u /* guessed steps after which a plain one is measured again */

static void blend(double *inout_mean, double value, uint32_t n_before) {
    double weight = n_before < 7 ? 1.0 / (n_before + 1) : 1.0 / 8;
    *inout_mean += (value - *inout_mean) * weight;
}

bool sy__speculator_may_guess(sy_speculator *speculator) {
    sy__speculation_account *account = &speculator->account;
    if (speculator->cannot_go_back) {
        return false;
    }
    if (speculator->options.always != 0) {
        return true;
    }
    if (account->n_rest > 0) {
        account->n_rest--;
        return false;
    }
    return account->n_plain >= PLAIN_STEPS;
}

static void judge(sy_speculator *speculator) {
    sy__speculation_account *account = &speculator->account;
    if (account->n_guessed < TRIAL_STEPS) {
        return;
    }
    if (account->guessed_ns > account->plain_ns * account->tokens_per_step) {
        account->n_rest = account->n_rest_next > 0 ? account->n_rest_next : REST_STEPS;
        account->n_rest_next =
            account->n_rest < REST_STEPS_MOST ? 2 * account->n_rest : REST_STEPS_MOST;
        account->n_guessed = account->n_plain = 0;
        speculator->stats.n_rests++;
    } else if (account->n_guessed % REMEASURE_STEPS == 0) {
        account->n_rest_next = REST_STEPS; /* it has paid for long */
        account->n_plain = PLAIN_STEPS - 1;
    }
}

void sy__speculator_learn(sy_speculator *speculator, uint64_t step_ns, uint32_t n_tokens) {
    sy__speculation_account *account = &speculator->account;
    if (speculator->n_rows <= 1) {
        speculator->stats.n_plain_steps++;
        blend(&account->plain_ns, (double)(step_ns + speculator->guess_ns), account->n_plain++);
        return;
    }
    speculator->stats.n_guessed_steps++;
    speculator->stats.n_guesses += speculator->n_rows - 1;
    speculator->stats.n_accepted += n_tokens > 0 ? n_tokens - 1 : 0;
    blend(&account->guessed_ns, (double)(step_ns + speculator->guess_ns), account->n_guessed);
    blend(&account->tokens_per_step, n_tokens, account->n_guessed++);
    if (speculator->options.always == 0) {
        judge(speculator);
    }
}
