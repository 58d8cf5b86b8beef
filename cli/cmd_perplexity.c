/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard perplexity: how well a model predicts a text. */
#include "engine_flags.h"
#include "switchyard/session.h"
#include "text_file.h"
#include <verbs.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

const char sy_cli_perplexity_about[] = "measure how well a model predicts a text";

#define OUTPUT_ROWS 64u

typedef struct sum {
    double nats;
    uint64_t n_tokens;
} sum;

/* One window: its first half is context only (half the window, as other tools do), unless the text
 * is a single window. */
static sy_status measure_window(sy_session *session, const int32_t *tokens, uint32_t n,
                                uint32_t n_context, sum *total, sy_error *error) {
    double nats = 0;
    sy_status status = sy_session_rewind(session, 0, error);
    if (status == SY_OK) {
        status = sy_session_prefill(session, tokens, n_context, error);
    }
    if (status == SY_OK) {
        status = sy_session_score(session, tokens + n_context, n - n_context, NULL, &nats, error);
    }
    if (status == SY_OK) {
        total->nats -= nats;
        total->n_tokens += n - n_context;
    }
    return status;
}

static sy_status measure(sy_engine *engine, const int32_t *tokens, size_t n_tokens,
                         sy_error *error) {
    sy_session *session = NULL;
    sum total = {0, 0};
    sy_status status = sy_session_open(engine, 0, &session, error);
    uint32_t window = status == SY_OK ? sy_session_max_tokens(session) : 0;
    if (status == SY_OK && n_tokens < 2) {
        status = sy_error_set(error, SY_INVALID_ARGUMENT, "The text has fewer than two tokens.");
    }
    bool single = n_tokens <= window;
    for (size_t at = 0; status == SY_OK && at + (single ? 2 : window) <= n_tokens; at += window) {
        uint32_t n = single ? (uint32_t)n_tokens : window;
        status = measure_window(session, tokens + at, n, single ? 1 : window / 2, &total, error);
        if (status == SY_OK && !single) {
            fprintf(stderr, "%zu of %zu tokens: %.4f\n", at + n, n_tokens,
                    exp(total.nats / (double)total.n_tokens));
        }
    }
    sy_session_close(session);
    if (status == SY_OK) {
        printf("perplexity %.6f over %llu tokens (%.6f nats a token)\n",
               exp(total.nats / (double)total.n_tokens), (unsigned long long)total.n_tokens,
               total.nats / (double)total.n_tokens);
    }
    return status;
}

static sy_status run(sy_engine *engine, const char *path, sy_error *error) {
    sy_cli_text text = {NULL, 0, 0};
    sy_cli_tokens tokens = {NULL, 0, 0};
    sy_status status = sy_cli_read_text(path, &text, error);
    if (status == SY_OK) {
        status = sy_cli_encode(sy_engine_tokenizer(engine), text.bytes, text.n_bytes,
                               SY_ENCODE_ADD_SPECIAL, &tokens, error);
    }
    if (status == SY_OK) {
        status = measure(engine, tokens.ids, tokens.n, error);
    }
    sy_cli_free_tokens(&tokens);
    sy_cli_free_text(&text);
    return status;
}

int sy_cli_perplexity(int argc, char **argv) {
    sy_cli_engine flags;
    sy_cli_shared shared;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 1];
    uint32_t n = sy_cli_engine_flags(&flags, options);
    const char *path = "-";
    options[n++] = (sy_cli_option){"file",      'f',   NULL,
                                   SY_CLI_TEXT, &path, "FILE",
                                   0,           0,     "text to measure; - reads standard input",
                                   NULL};
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL -f FILE",
        .about = "Prints exp(mean negative log-probability) of a text. Texts longer than the "
                 "context are cut into\nwindows; the second half of each window is measured, the "
                 "first is its context.",
        .options = options,
        .n_options = n};
    sy_error error;
    int exit_status = sy_cli_engine_parse(&flags, &shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    flags.n_outputs = OUTPUT_ROWS;
    exit_status = sy_cli_engine_open(&flags, &shared);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = run(flags.engine, path, &error);
    sy_cli_engine_close(&flags);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}
