/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard run: a prompt in, text out as it comes. */
#include "adapters.h"
#include "run_parallel.h"
#include "run_report.h"
#include "run_speculation.h"
#include "switchyard/conversation.h"
#include "switchyard/limits.h"
#include "text_file.h"
#include <verbs.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char sy_cli_run_about[] = "answer a prompt with a model";

/* Everything the flags say about one run. */
typedef struct run_flags {
    const char *prompt, *prompt_file, *requests_file, *system, *chat_template;
    const char *load_path, *save_path, *at_limit;
    uint32_t n_predict, top_k, n_parallel, n_sinks;
    double temperature, top_p, min_p;
    uint64_t seed;
    int raw, ignore_end, profile, timings, quiet;
    sy_cli_list stops;
    sy_run_speculation speculation;
    sy_cli_adapters adapters;
} run_flags;

static sy_session *interruptible; /* the session that Ctrl-C cancels */

static void on_interrupt(int signal_number) {
    (void)signal_number;
    if (interruptible != NULL) {
        sy_session_cancel(interruptible);
    }
}

static int print_text(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    sy_run_figures *figures = user;
    (void)finish;
    if (n_bytes > 0 && figures->first_ns == 0) {
        figures->first_ns = sy_cli_now_ns();
    }
    if (n_bytes > 0 && (fwrite(text, 1, n_bytes, stdout) != n_bytes || fflush(stdout) != 0)) {
        return 1; /* nobody reads any more */
    }
    return 0;
}

static uint32_t run_options(run_flags *flags, sy_cli_option *out_options) {
    *flags = (run_flags){.top_p = 1.0};
    const sy_cli_option options[] = {
        {"prompt", 'p', NULL, SY_CLI_TEXT, &flags->prompt, "TEXT", 0, 0,
         "prompt, when it is not the second argument; - reads standard input", NULL},
        {"file", 'f', NULL, SY_CLI_TEXT, &flags->prompt_file, "FILE", 0, 0,
         "read the prompt from a file", NULL},
        {"requests-file", 0, NULL, SY_CLI_TEXT, &flags->requests_file, "FILE", 0, 0,
         "answer every line of a file on its own, one answer a line", NULL},
        {"parallel", 0, "np", SY_CLI_COUNT, &flags->n_parallel, "N", 0, SY_LIMIT_SEQUENCES,
         "requests of --requests-file that run at once, in shared steps; the answers stay the same",
         NULL},
        {"n-predict", 'n', "max-tokens|predict", SY_CLI_COUNT, &flags->n_predict, "N", 0, 1u << 24,
         "most tokens to generate; 0: until the model ends or the context is full", NULL},
        {"temp", 0, "temperature", SY_CLI_NUMBER, &flags->temperature, "X", 0, 100,
         "sampling temperature; 0: always the likeliest token", NULL},
        {"top-k", 0, NULL, SY_CLI_COUNT, &flags->top_k, "N", 0, 1u << 24,
         "draw from the N likeliest tokens; 0: all", NULL},
        {"top-p", 0, NULL, SY_CLI_NUMBER, &flags->top_p, "X", 0, 1,
         "draw from the likeliest tokens that together have probability X", NULL},
        {"min-p", 0, NULL, SY_CLI_NUMBER, &flags->min_p, "X", 0, 1,
         "drop tokens less than X times as likely as the likeliest", NULL},
        {"seed", 's', NULL, SY_CLI_U64, &flags->seed, "N", 0, 0,
         "seed of the random numbers; the same seed gives the same text", NULL},
        {"raw", 0, NULL, SY_CLI_SWITCH, &flags->raw, NULL, 0, 0,
         "give the prompt to the model as it is, without a chat template", NULL},
        {"system", 0, "sys", SY_CLI_TEXT, &flags->system, "TEXT", 0, 0,
         "system message of the conversation", NULL},
        {"chat-template", 0, NULL, SY_CLI_TEXT, &flags->chat_template, "NAME", 0, 0,
         "name of a chat template instead of the model's own", NULL},
        {"stop", 'r', "reverse-prompt", SY_CLI_LIST, &flags->stops, "TEXT", 0, 0,
         "end before this text", NULL},
        {"ignore-eos", 0, NULL, SY_CLI_SWITCH, &flags->ignore_end, NULL, 0, 0,
         "do not stop at the model's end token", NULL},
        {"at-limit", 0, NULL, SY_CLI_TEXT, &flags->at_limit, "WHAT", 0, 0,
         "when the context is full: stop, or slide: the oldest half goes, without end", NULL},
        {"sinks", 0, NULL, SY_CLI_COUNT, &flags->n_sinks, "N", 0, 1u << 24,
         "first tokens that stay while it slides; 0: 4", NULL},
        {"load-session", 0, NULL, SY_CLI_TEXT, &flags->load_path, "FILE", 0, 0,
         "go on with a saved session", NULL},
        {"save-session", 0, NULL, SY_CLI_TEXT, &flags->save_path, "FILE", 0, 0,
         "save the session afterwards", NULL},
        {"draft", 0, "model-draft", SY_CLI_TEXT, &flags->speculation.draft_path, "FILE", 0, 0,
         "a smaller model of the same vocabulary that guesses what comes next; the text stays the "
         "same",
         NULL},
        {"lookup", 0, NULL, SY_CLI_SWITCH, &flags->speculation.lookup, NULL, 0, 0,
         "guess what comes next from the text so far; the text stays the same", NULL},
        {"draft-max", 0, NULL, SY_CLI_COUNT, &flags->speculation.n_guesses, "N", 0, SY_GUESSES_MAX,
         "most guesses of a step; 0: 4", NULL},
        {"profile", 0, NULL, SY_CLI_SWITCH, &flags->profile, NULL, 0, 0,
         "print what each segment took on standard error", NULL},
        {"timings", 0, NULL, SY_CLI_SWITCH, &flags->timings, NULL, 0, 0,
         "print what each part of the start took on standard error", NULL},
        {"quiet", 'q', NULL, SY_CLI_SWITCH, &flags->quiet, NULL, 0, 0,
         "print no figures on standard error", NULL}};
    memcpy(out_options, options, sizeof(options));
    out_options[SY_CLI_COUNT_OF(options)] = sy_cli_adapters_flag(&flags->adapters);
    return SY_CLI_COUNT_OF(options) + 1;
}

/* Puts the prompt into the session: as it is, or as a user's turn of a conversation. */
static sy_status feed(sy_session *session, const run_flags *flags, const char *prompt,
                      sy_conversation **out_conversation, sy_run_figures *figures,
                      sy_error *error) {
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(sy_session_engine(session));
    sy_cli_tokens tokens = {NULL, 0, 0};
    sy_conversation_options options = {.struct_bytes = sizeof(options),
                                       .system = flags->system,
                                       .template_name = flags->chat_template};
    uint32_t n_before = 0, n_after = 0;
    sy_session_tokens(session, &n_before);
    sy_run_start(figures);
    sy_status status;
    if (flags->raw) {
        uint32_t encode = n_before == 0 ? SY_ENCODE_ADD_SPECIAL : 0;
        status = sy_cli_encode(tokenizer, prompt, strlen(prompt), encode, &tokens, error);
        if (status == SY_OK && tokens.n == 0) {
            status = sy_error_set(error, SY_INVALID_ARGUMENT, "The prompt is empty.");
        }
        if (status == SY_OK) {
            status = sy_session_prefill(session, tokens.ids, (uint32_t)tokens.n, error);
        }
    } else {
        status = sy_conversation_create(session, &options, out_conversation, error);
        if (status == SY_OK) {
            status = sy_conversation_add_user(*out_conversation, prompt, error);
        }
    }
    sy_cli_free_tokens(&tokens);
    sy_session_tokens(session, &n_after);
    sy_run_prefilled(figures, n_after - n_before);
    return status;
}

static sy_status answer(sy_session *session, sy_sampler *sampler, const run_flags *flags,
                        const char *prompt, sy_run_figures *figures, sy_error *error) {
    sy_conversation *conversation = NULL;
    sy_generate_options options = {.struct_bytes = sizeof(options),
                                   .n_tokens_max = flags->n_predict,
                                   .n_stops = flags->stops.n,
                                   .ignore_end = (uint32_t)flags->ignore_end,
                                   .stops = flags->stops.items,
                                   .stream = print_text,
                                   .user = figures,
                                   .speculator = flags->speculation.speculator};
    sy_status status = feed(session, flags, prompt, &conversation, figures, error);
    if (status == SY_OK) {
        status =
            flags->raw
                ? sy_session_generate(session, sampler, &options, &figures->result, error)
                : sy_conversation_answer(conversation, sampler, &options, &figures->result, error);
        fputc('\n', stdout);
        fflush(stdout);
    }
    sy_conversation_destroy(conversation);
    return status;
}

/* Every line is a request of its own: the session goes back to its start in between. */
static sy_status answer_lines(sy_session *session, sy_sampler *sampler, const run_flags *flags,
                              sy_run_figures *figures, sy_error *error) {
    sy_cli_text text = {NULL, 0, 0};
    uint64_t seed_state[4];
    sy_sampler_get_state(sampler, seed_state);
    sy_status status = sy_cli_read_text(flags->requests_file, &text, error);
    char *line = text.bytes;
    while (status == SY_OK && line != NULL && *line != '\0') {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        status = sy_session_rewind(session, 0, error);
        sy_sampler_set_state(sampler, seed_state);
        if (status == SY_OK) {
            status = answer(session, sampler, flags, line, figures, error);
        }
        line = end != NULL ? end + 1 : NULL;
    }
    sy_cli_free_text(&text);
    return status;
}

/* A model without a chat template gets the prompt as it is. */
static run_flags flags_for(const sy_engine *engine, const run_flags *flags) {
    run_flags fitting = *flags;
    bool has_template =
        flags->chat_template != NULL || sy_engine_info(engine)->chat_template[0] != '\0';
    if (!flags->raw && !has_template) {
        fitting.raw = 1;
        if (!flags->quiet) {
            fputs("the model has no chat template: the prompt is given as it is\n", stderr);
        }
    }
    return fitting;
}

#define DEFAULT_SINKS 4u

static sy_status set_limit(sy_session *session, const run_flags *flags, sy_error *error) {
    sy_limit_options limit = {.struct_bytes = sizeof(limit),
                              .n_sink_tokens =
                                  flags->n_sinks != 0 ? flags->n_sinks : DEFAULT_SINKS};
    if (flags->at_limit == NULL || strcmp(flags->at_limit, "stop") == 0) {
        return SY_OK;
    }
    if (strcmp(flags->at_limit, "slide") != 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "--at-limit takes stop or slide, not \"%s\".", flags->at_limit);
    }
    limit.at_limit = SY_AT_LIMIT_SLIDE;
    return sy_session_set_limit(session, &limit, error);
}

/* The same in shared steps. */
static sy_status answer_together(sy_engine *engine, const run_flags *flags,
                                 const sy_sampler_options *sampling, sy_error *error) {
    sy_chat_format format;
    const sy_generate_options generate = {.struct_bytes = sizeof(generate),
                                          .n_tokens_max = flags->n_predict,
                                          .n_stops = flags->stops.n,
                                          .ignore_end = (uint32_t)flags->ignore_end,
                                          .stops = flags->stops.items};
    const sy_run_parallel parallel = {.engine = engine,
                                      .path = flags->requests_file,
                                      .n_sessions = flags->n_parallel,
                                      .format = flags->raw ? NULL : &format,
                                      .system = flags->system,
                                      .sampling = sampling,
                                      .generate = &generate,
                                      .adapters = &flags->adapters,
                                      .quiet = flags->quiet};
    sy_status status = SY_OK;
    if (!flags->raw) {
        status = flags->chat_template != NULL
                     ? sy_chat_find(flags->chat_template, &format, error)
                     : sy_chat_recognise(sy_engine_info(engine)->chat_template, &format, error);
    }
    return status == SY_OK ? sy_run_in_parallel(&parallel, error) : status;
}

static sy_sampler_options sampling_of(const run_flags *flags) {
    sy_sampler_options sampling;
    sy_sampler_options_default(&sampling);
    sampling.temperature = (float)flags->temperature;
    sampling.top_k = flags->top_k;
    sampling.top_p = (float)flags->top_p;
    sampling.min_p = (float)flags->min_p;
    sampling.seed = flags->seed;
    return sampling;
}

static sy_status run(sy_engine *engine, const run_flags *given, const char *prompt,
                     sy_run_figures *figures, sy_error *error) {
    const run_flags fitting = flags_for(engine, given), *flags = &fitting;
    sy_session *session = NULL;
    sy_sampler *sampler = NULL;
    const sy_sampler_options sampling = sampling_of(flags);
    if (flags->n_parallel > 0) {
        return answer_together(engine, flags, &sampling, error);
    }
    uint32_t n_vocabulary = sy_engine_info(engine)->n_vocabulary;
    uint64_t start = sy_cli_now_ns();
    sy_status status = sy_sampler_create(NULL, n_vocabulary, &sampling, &sampler, error);
    if (status == SY_OK && flags->load_path != NULL) {
        status = sy_session_load(engine, flags->load_path, 0, &session, error); /* knows its own */
    } else if (status == SY_OK) {
        status = sy_session_open(engine, 0, &session, error);
        status = status == SY_OK ? sy_cli_adapters_use(&flags->adapters, session, error) : status;
    }
    figures->session_ns = sy_cli_now_ns() - start;
    status = status == SY_OK ? set_limit(session, flags, error) : status;
    interruptible = session;
    if (status == SY_OK && flags->requests_file != NULL) {
        status = answer_lines(session, sampler, flags, figures, error);
    } else if (status == SY_OK) {
        status = answer(session, sampler, flags, prompt, figures, error);
    }
    if (status == SY_OK && flags->save_path != NULL) {
        status = sy_session_save(session, flags->save_path, error);
    }
    interruptible = NULL;
    sy_session_close(session);
    sy_sampler_destroy(sampler);
    return status;
}

/* The prompt from wherever the flags say; *inout_text keeps what was read. */
static int find_prompt(const run_flags *flags, const sy_cli_list *arguments, const char *verb,
                       sy_cli_text *inout_text, const char **out_prompt) {
    uint32_t i = arguments->n > 1 ? 1 : 0;
    const char *prompt = arguments->n > 1 ? arguments->items[i] : flags->prompt;
    const char *path = flags->prompt_file;
    if (path == NULL && prompt != NULL && strcmp(prompt, "-") == 0) {
        path = "-";
    }
    if (path != NULL) {
        sy_error error;
        if (sy_cli_read_text(path, inout_text, &error) != SY_OK) {
            return sy_cli_fail(&error);
        }
        prompt = inout_text->bytes;
    }
    if (prompt == NULL && flags->requests_file == NULL) {
        return sy_cli_usage(verb, "Write: switchyard run MODEL \"your prompt\".",
                            "no prompt was given.");
    }
    *out_prompt = prompt;
    return SY_CLI_GO_ON;
}

static int run_with(sy_cli_engine *engine_flags, const sy_cli_shared *shared, run_flags *flags,
                    const sy_cli_list *arguments, const char *verb) {
    sy_cli_text text = {NULL, 0, 0};
    const char *prompt = NULL;
    sy_run_figures figures = {.verb_ns = sy_cli_now_ns()};
    sy_error error;
    sy_error_clear(&error);
    int exit_status = find_prompt(flags, arguments, verb, &text, &prompt);
    if (exit_status == SY_CLI_GO_ON &&
        sy_cli_adapters_plan(&flags->adapters, engine_flags, &error) != SY_OK) {
        exit_status = sy_cli_fail(&error);
    }
    if (exit_status == SY_CLI_GO_ON) {
        if (engine_flags->model == NULL && arguments->n > 0) {
            engine_flags->model = arguments->items[0];
        }
        exit_status = sy_cli_engine_open(engine_flags, shared);
    }
    if (exit_status == SY_CLI_GO_ON) {
        signal(SIGINT, on_interrupt);
        sy_status status = sy_run_speculation_open(engine_flags, &flags->speculation, &error);
        if (status == SY_OK) {
            status = sy_cli_adapters_load(&flags->adapters, engine_flags->engine, &error);
        }
        if (status == SY_OK) {
            status = run(engine_flags->engine, flags, prompt, &figures, &error);
        }
        exit_status = status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
        if (status == SY_OK && !flags->quiet && flags->n_parallel == 0) {
            sy_run_print(engine_flags->engine, &figures);
            sy_run_speculation_print(&flags->speculation);
        }
        if (status == SY_OK && flags->timings) {
            sy_run_timings(engine_flags, &figures);
        }
        if (status == SY_OK && flags->profile) {
            sy_run_profile(engine_flags->engine);
        }
        sy_run_speculation_close(&flags->speculation);
        sy_cli_engine_close(engine_flags);
    }
    sy_cli_free_text(&text);
    return exit_status;
}

int sy_cli_run(int argc, char **argv) {
    sy_cli_engine engine_flags;
    sy_cli_shared shared;
    run_flags flags;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 26];
    uint32_t n = sy_cli_engine_flags(&engine_flags, options);
    engine_flags.verb = argv[0];
    engine_flags.no_alternatives = 1;
    engine_flags.n_outputs = 1;
    n += run_options(&flags, options + n);
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .verb = argv[0],
        .usage = "MODEL [PROMPT]",
        .about = "Streams the model's answer to standard output, and where it ran and how fast to "
                 "standard error.\nThe prompt is put into the model's chat template where it has "
                 "one; --raw gives it as it is.",
        .options = options,
        .shared = shared.options,
        .n_options = n,
        .n_shared = shared.n_options,
        .n_arguments_least = 0,
        .n_arguments_most = 2};
    sy_cli_list arguments;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (flags.speculation.draft_path != NULL && flags.speculation.lookup) {
        return sy_cli_usage(argv[0], "Give --draft or --lookup.", "guesses come from one source.");
    }
    if (flags.n_parallel > 0 &&
        (flags.requests_file == NULL || flags.load_path != NULL || flags.save_path != NULL ||
         flags.speculation.draft_path != NULL || flags.speculation.lookup)) {
        return sy_cli_usage(argv[0], NULL,
                            "--parallel takes --requests-file and neither sessions nor guesses.");
    }
    if (flags.n_parallel > 0) {
        engine_flags.n_sequences = engine_flags.n_outputs = flags.n_parallel;
    }
    if (flags.speculation.draft_path != NULL || flags.speculation.lookup) {
        engine_flags.n_outputs = SY_GUESSES_MAX + 1;
    }
    return run_with(&engine_flags, &shared, &flags, &arguments, argv[0]);
}
