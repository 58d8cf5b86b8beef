/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard plan: which delegate runs what, what it costs, and why not the others. */
#include "blob_report.h"
#include "engine_flags.h"
#include "plan_memory.h"
#include <verbs.h>

#include "switchyard/graph.h"
#include "switchyard/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char sy_cli_plan_about[] = "explain which delegate runs which part of a model";

typedef struct plan_flags {
    int as_json, memory;
    uint32_t max_tokens, n_sessions;
    const char *svg_path;
} plan_flags;

static sy_status write_file(const char *path, const char *text, sy_error *error) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (file == NULL) {
        return sy_error_set(error, SY_PERMISSION_DENIED, "The picture cannot be written to %s: %s.",
                            path, strerror(errno));
    }
    int failed = fputs(text, file) < 0;
    failed = (file == stdout ? fflush(file) : fclose(file)) != 0 || failed;
    return failed ? sy_error_set(error, SY_UNAVAILABLE, "The picture was not written to %s: %s.",
                                 path, strerror(errno))
                  : SY_OK;
}

static sy_status print(const sy_engine *engine, const plan_flags *flags, sy_error *error) {
    const sy_plan *plan = sy_engine_plan(engine);
    char *text = NULL;
    sy_status status = SY_OK;
    if (flags->svg_path != NULL) {
        status = sy_plan_explain(plan, SY_PLAN_SVG, NULL, &text, error);
        if (status == SY_OK) {
            status = write_file(flags->svg_path, text, error);
            sy_string_destroy(NULL, text);
        }
    }
    if (status != SY_OK || (flags->memory && !flags->as_json) ||
        (flags->svg_path != NULL && strcmp(flags->svg_path, "-") == 0)) {
        return status;
    }
    status =
        sy_plan_explain(plan, flags->as_json ? SY_PLAN_JSON : SY_PLAN_TEXT, NULL, &text, error);
    if (status == SY_OK) {
        fputs(text, stdout);
        sy_string_destroy(NULL, text);
    }
    if (status == SY_OK && !flags->as_json) {
        sy_cli_print_blobs(engine, stdout);
    }
    return status;
}

/* The engine that `run` would make for these sessions. */
static void fit_engine(sy_cli_engine *engine, plan_flags *flags) {
    flags->n_sessions = flags->n_sessions != 0 ? flags->n_sessions : 1;
    engine->n_outputs = flags->n_sessions;
    engine->n_sequences = flags->n_sessions;
    engine->no_alternatives = flags->memory && !flags->as_json && flags->svg_path == NULL;
    if (engine->n_context == 0) {
        engine->n_context = flags->max_tokens;
    }
}

int sy_cli_plan(int argc, char **argv) {
    plan_flags flags = {0};
    sy_cli_engine engine;
    sy_cli_shared shared;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 5u] = {
        {"json", 0, NULL, SY_CLI_SWITCH, &flags.as_json, NULL, 0, 0, "print JSON", NULL},
        {"svg", 0, NULL, SY_CLI_TEXT, &flags.svg_path, "FILE", 0, 0,
         "write a picture of the segments; - for standard output", NULL},
        {"memory", 0, NULL, SY_CLI_SWITCH, &flags.memory, NULL, 0, 0,
         "print the memory that the model and its sessions will take", NULL},
        {"max-tokens", 0, NULL, SY_CLI_COUNT, &flags.max_tokens, "N", 0, 1u << 24,
         "tokens of each session, for --memory; 0: the context", NULL},
        {"sessions", 0, NULL, SY_CLI_COUNT, &flags.n_sessions, "K", 0, SY_LIMIT_SEQUENCES,
         "sessions that decode together; 0: 1", NULL}};
    uint32_t n_options = 5u + sy_cli_engine_flags(&engine, options + 5);
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL",
        .about = "Plans a model over the delegates that are here and explains the plan: segments, "
                 "and per node\nthe chosen delegate, its cost, the best alternative, and why the "
                 "others lost - the plugin's own\nwords, or the line of the INI file that decided.",
        .options = options,
        .n_options = n_options};
    sy_error error;
    sy_error_clear(&error);
    int exit_status = sy_cli_engine_parse(&engine, &shared, command, argc, argv);
    if (exit_status == SY_CLI_GO_ON) {
        fit_engine(&engine, &flags);
        exit_status = sy_cli_engine_open(&engine, &shared);
    }
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = print(engine.engine, &flags, &error);
    if (status == SY_OK && flags.memory && !flags.as_json) {
        sy_cli_print_memory(engine.engine, engine.model, flags.max_tokens, flags.n_sessions);
    }
    sy_cli_engine_close(&engine);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}
