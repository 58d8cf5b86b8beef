/* SPDX-License-Identifier: Apache-2.0 */
#include "run_speculation.h"

#include <inttypes.h>
#include <stdio.h>

static sy_status open_draft(sy_cli_engine *flags, sy_run_speculation *speculation,
                            sy_error *error) {
    sy_engine_options options;
    if (sy_cli_engine_options(flags, &options) != SY_CLI_GO_ON) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "The draft model cannot be opened.");
    }
    options.n_output_rows = 1;
    return sy_engine_create(flags->setup.runtime, speculation->draft_path, &options,
                            &speculation->draft, error);
}

sy_status sy_run_speculation_open(sy_cli_engine *flags, sy_run_speculation *speculation,
                                  sy_error *error) {
    sy_speculator_options options;
    sy_speculator_options_default(&options);
    if (speculation->draft_path == NULL && !speculation->lookup) {
        return SY_OK;
    }
    sy_status status =
        speculation->draft_path != NULL ? open_draft(flags, speculation, error) : SY_OK;
    if (status != SY_OK) {
        return status;
    }
    options.draft = speculation->draft;
    options.n_guesses = speculation->n_guesses > 0 ? speculation->n_guesses : options.n_guesses;
    return sy_speculator_create(flags->engine, &options, &speculation->speculator, error);
}

void sy_run_speculation_close(sy_run_speculation *speculation) {
    sy_speculator_destroy(speculation->speculator);
    sy_engine_destroy(speculation->draft);
    speculation->speculator = NULL;
    speculation->draft = NULL;
}

void sy_run_speculation_print(const sy_run_speculation *speculation) {
    sy_speculator_stats stats;
    if (speculation->speculator == NULL) {
        return;
    }
    sy_speculator_get_stats(speculation->speculator, &stats);
    double share = stats.n_guesses > 0 ? (double)stats.n_accepted / (double)stats.n_guesses : 0;
    double steps = (double)(stats.n_plain_steps + stats.n_guessed_steps);
    fprintf(stderr,
            "speculation: %" PRIu64 " of %" PRIu64 " guesses right (%.1f %%), %.2f tokens a step, "
            "found not to pay %" PRIu64 " time%s\n",
            stats.n_accepted, stats.n_guesses, 100 * share,
            steps > 0 ? 1 + (double)stats.n_accepted / steps : 0, stats.n_rests,
            stats.n_rests == 1 ? "" : "s");
}
