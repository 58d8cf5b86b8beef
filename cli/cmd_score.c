/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard score: how likely a model finds given continuations of a prompt. */
#include "engine_flags.h"
#include "json_text.h"
#include "memory.h"
#include "switchyard/score.h"
#include "text_lines.h"
#include <verbs.h>

#include <string.h>

const char sy_cli_score_about[] = "tell how likely a model finds given continuations";

#define OUTPUT_ROWS 64u
#define SEQUENCES 16u

typedef struct score_flags {
    const char *prompt, *prompt_file, *targets_file;
    sy_cli_list targets;
    int as_json, each;
} score_flags;

/* A continuation and what came out. */
typedef struct continuation {
    sy_cli_tokens whole; /* prompt and text */
    double *each;
} continuation;

typedef struct scores {
    const char *prompt;
    size_t n_prompt_bytes;
    sy_cli_text prompt_text;
    sy_cli_lines texts;
    continuation *list;
    sy_score_target *targets;
    double **each, *sums;
    uint32_t n_prompt;
} scores;

static void free_scores(scores *s) {
    const uint32_t n = s->texts.n;
    for (uint32_t i = 0; s->list != NULL && s->targets != NULL && i < n; i++) {
        sy_cli_free_tokens(&s->list[i].whole);
        sy_cli_free(s->list[i].each, s->targets[i].n_tokens, sizeof(double));
    }
    sy_cli_free(s->list, n, sizeof(*s->list));
    sy_cli_free(s->targets, n, sizeof(*s->targets));
    sy_cli_free(s->each, n, sizeof(*s->each));
    sy_cli_free(s->sums, n, sizeof(*s->sums));
    sy_cli_free_text(&s->prompt_text);
    sy_cli_free_lines(&s->texts);
}

/* The continuations: those of the flags, then the lines of the file. */
static sy_status gather(const score_flags *flags, scores *s, sy_error *error) {
    sy_status status = SY_OK;
    s->prompt = flags->prompt;
    if (flags->prompt_file != NULL) {
        status = sy_cli_read_text(flags->prompt_file, &s->prompt_text, error);
        s->prompt = s->prompt_text.bytes;
    }
    if (status == SY_OK) {
        status = sy_cli_read_lines(&flags->targets, flags->targets_file, &s->texts, error);
    }
    if (status != SY_OK) {
        return status;
    }
    s->n_prompt_bytes = strlen(s->prompt);
    const uint32_t n = s->texts.n;
    s->list = sy_cli_allocate(n, sizeof(*s->list));
    s->targets = sy_cli_allocate(n, sizeof(*s->targets));
    s->each = sy_cli_allocate(n, sizeof(*s->each));
    s->sums = sy_cli_allocate(n, sizeof(*s->sums));
    if (s->list == NULL || s->targets == NULL || s->each == NULL || s->sums == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %u targets.", n);
    }
    return SY_OK;
}

/* Prompt and target in one text, as the model would read them; answers what the tokens share with
 * the prompt's own: a target may melt into the prompt's last token. */
static sy_status encode_one(const sy_tokenizer *tokenizer, const scores *s, const char *text,
                            continuation *c, const sy_cli_tokens *prompt, uint32_t *inout_n_shared,
                            sy_error *error) {
    size_t n_text = strlen(text), n = 0;
    char *joined = sy_cli_allocate(s->n_prompt_bytes + n_text + 1, 1);
    if (joined == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for a target.");
    }
    memcpy(joined, s->prompt, s->n_prompt_bytes);
    memcpy(joined + s->n_prompt_bytes, text, n_text + 1);
    sy_status status = sy_cli_encode(tokenizer, joined, s->n_prompt_bytes + n_text,
                                     SY_ENCODE_ADD_SPECIAL, &c->whole, error);
    sy_cli_free(joined, s->n_prompt_bytes + n_text + 1, 1);
    while (status == SY_OK && n < *inout_n_shared && n < c->whole.n &&
           c->whole.ids[n] == prompt->ids[n]) {
        n++;
    }
    *inout_n_shared = (uint32_t)n;
    return status;
}

static sy_status encode(sy_engine *engine, scores *s, sy_error *error) {
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(engine);
    sy_cli_tokens prompt = {NULL, 0, 0};
    sy_status status = sy_cli_encode(tokenizer, s->prompt, s->n_prompt_bytes, SY_ENCODE_ADD_SPECIAL,
                                     &prompt, error);
    s->n_prompt = (uint32_t)prompt.n;
    for (uint32_t i = 0; status == SY_OK && i < s->texts.n; i++) {
        status =
            encode_one(tokenizer, s, s->texts.items[i], &s->list[i], &prompt, &s->n_prompt, error);
    }
    sy_cli_free_tokens(&prompt);
    if (status == SY_OK && s->n_prompt == 0) {
        status = sy_error_set(error, SY_INVALID_ARGUMENT,
                              "The prompt gives no token that the targets could follow.");
    }
    for (uint32_t i = 0; status == SY_OK && i < s->texts.n; i++) {
        continuation *c = &s->list[i];
        s->targets[i] = (sy_score_target){.tokens = c->whole.ids + s->n_prompt,
                                          .n_tokens = (uint32_t)c->whole.n - s->n_prompt};
        c->each = sy_cli_allocate(s->targets[i].n_tokens, sizeof(double));
        s->each[i] = c->each;
        if (c->each == NULL) {
            status = sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for a target.");
        }
    }
    return status;
}

static void print_text(const scores *s, int each) {
    printf("%12s %12s %7s  %s\n", "sum", "per token", "tokens", "target");
    for (uint32_t i = 0; i < s->texts.n; i++) {
        uint32_t n = s->targets[i].n_tokens;
        printf("%12.6f %12.6f %7u  ", s->sums[i], n > 0 ? s->sums[i] / n : 0, n);
        sy_cli_put_json_text(stdout, s->texts.items[i]);
        putchar('\n');
        for (uint32_t k = 0; each && k < n; k++) {
            printf("%12.6f %20s  token %d\n", s->each[i][k], "", s->targets[i].tokens[k]);
        }
    }
}

static void print_json(const scores *s) {
    printf("{\"n_prompt_tokens\": %u, \"targets\": [", s->n_prompt);
    for (uint32_t i = 0; i < s->texts.n; i++) {
        printf("%s\n  {\"text\": ", i > 0 ? "," : "");
        sy_cli_put_json_text(stdout, s->texts.items[i]);
        printf(", \"log_probability\": %.9g, \"tokens\": [", s->sums[i]);
        for (uint32_t k = 0; k < s->targets[i].n_tokens; k++) {
            printf("%s{\"id\": %d, \"log_probability\": %.9g}", k > 0 ? ", " : "",
                   s->targets[i].tokens[k], s->each[i][k]);
        }
        fputs("]}", stdout);
    }
    puts("\n]}");
}

static sy_status measure(sy_engine *engine, scores *s, sy_error *error) {
    sy_session *session = NULL;
    sy_status status = encode(engine, s, error);
    if (status == SY_OK) {
        status = sy_session_open(engine, 0, &session, error);
    }
    if (status == SY_OK) {
        status = sy_session_prefill(session, s->list[0].whole.ids, s->n_prompt, error);
    }
    if (status == SY_OK) {
        status = sy_session_score_targets(session, s->targets, s->texts.n, s->each, s->sums, error);
    }
    sy_session_close(session);
    return status;
}

static uint32_t score_options(score_flags *flags, sy_cli_option *out_options) {
    memset(flags, 0, sizeof(*flags));
    const sy_cli_option options[] = {
        {"prompt", 'p', NULL, SY_CLI_TEXT, &flags->prompt, "TEXT", 0, 0, "what comes before", NULL},
        {"file", 'f', NULL, SY_CLI_TEXT, &flags->prompt_file, "FILE", 0, 0,
         "read the prompt from a file; - reads standard input", NULL},
        {"target", 0, NULL, SY_CLI_LIST, &flags->targets, "TEXT", 0, 0,
         "a continuation; its first space counts", NULL},
        {"targets-file", 0, NULL, SY_CLI_TEXT, &flags->targets_file, "FILE", 0, 0,
         "more continuations, one a line", NULL},
        {"each", 0, NULL, SY_CLI_SWITCH, &flags->each, NULL, 0, 0, "tell every token's number",
         NULL},
        {"json", 0, NULL, SY_CLI_SWITCH, &flags->as_json, NULL, 0, 0, "print JSON", NULL}};
    memcpy(out_options, options, sizeof(options));
    return SY_CLI_COUNT_OF(options);
}

static int run(sy_cli_engine *engine_flags, const sy_cli_shared *shared, const score_flags *flags) {
    sy_error error;
    scores s = {.n_prompt = 0};
    sy_error_clear(&error);
    sy_status status = gather(flags, &s, &error);
    int exit_status =
        status == SY_OK ? sy_cli_engine_open(engine_flags, shared) : sy_cli_fail(&error);
    if (exit_status == SY_CLI_GO_ON) {
        status = measure(engine_flags->engine, &s, &error);
        exit_status = status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
        sy_cli_engine_close(engine_flags);
    }
    if (exit_status == SY_CLI_DONE && flags->as_json) {
        print_json(&s);
    } else if (exit_status == SY_CLI_DONE) {
        print_text(&s, flags->each);
    }
    free_scores(&s);
    return exit_status;
}

int sy_cli_score(int argc, char **argv) {
    sy_cli_engine engine_flags;
    sy_cli_shared shared;
    score_flags flags;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 6];
    uint32_t n = sy_cli_engine_flags(&engine_flags, options);
    n += score_options(&flags, options + n);
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL --prompt TEXT --target TEXT...",
        .about = "Prints sums of natural-log probabilities (0 is certain, the lower the less "
                 "likely) of continuations of a\nprompt, which is computed once for all of them.",
        .options = options,
        .n_options = n};
    int exit_status = sy_cli_engine_parse(&engine_flags, &shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if ((flags.prompt == NULL) == (flags.prompt_file == NULL) ||
        (flags.targets.n == 0 && flags.targets_file == NULL)) {
        return sy_cli_usage(argv[0],
                            "Write: switchyard score MODEL --prompt \"2 + 2 =\" "
                            "--target \" 4\" --target \" 5\".",
                            "one prompt and at least one target are needed.");
    }
    engine_flags.n_outputs = OUTPUT_ROWS;
    engine_flags.n_sequences = SEQUENCES;
    return run(&engine_flags, &shared, &flags);
}
