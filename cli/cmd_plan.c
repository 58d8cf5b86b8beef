/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard plan: which delegate runs what, what it costs, and why not the others. */
#include "engine_flags.h"
#include <verbs.h>

#include "switchyard/graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char sy_cli_plan_about[] = "explain which delegate runs which part of a model";

typedef struct plan_flags {
    int as_json, memory;
    const char *svg_path;
} plan_flags;

static double mib(uint64_t n_bytes) {
    return (double)n_bytes / 1048576.0;
}

/* What the process reserves for this model with one session of the largest size. */
static void print_memory(const sy_engine *engine) {
    const sy_model_info *info = sy_engine_info(engine);
    sy_memory_report report;
    sy_executor_memory(sy_engine_executor(engine), &report);
    uint64_t states = report.state_bytes_per_token * info->n_context_tokens;
    uint64_t tables = info->table_bytes + (uint64_t)info->n_vocabulary * sizeof(float);
    uint64_t own = report.arena_bytes + report.device_bytes + report.scratch_bytes +
                   report.unit_bytes + states + tables;
    const struct {
        const char *name;
        uint64_t n_bytes;
        const char *note;
    } rows[] = {{"weights, mapped", report.weight_bytes, "shared, read-only, from the file"},
                {"activations", report.arena_bytes, "one arena for all phases"},
                {"arenas of devices", report.device_bytes, "in memory of their own"},
                {"scratch", report.scratch_bytes, "shared by the segments of a delegate"},
                {"loaded segments", report.unit_bytes, "repacked weights and tables"},
                {"vocabulary", tables, "what is read of the file, its tables, logits"},
                {"one session", states, NULL}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        printf("%-18s %14" PRIu64 " bytes %9.2f MiB  ", rows[i].name, rows[i].n_bytes,
               mib(rows[i].n_bytes));
        if (rows[i].note != NULL) {
            puts(rows[i].note);
        } else {
            printf("%" PRIu32 " tokens of %" PRIu64 " bytes\n", info->n_context_tokens,
                   report.state_bytes_per_token);
        }
    }
    printf("%-18s %14" PRIu64 " bytes %9.2f MiB  beside the mapped weights\n", "peak", own,
           mib(own));
    printf("%-18s %14" PRIu64 " bytes %9.2f MiB\n", "peak with weights", own + report.weight_bytes,
           mib(own + report.weight_bytes));
}

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

static sy_status print(const sy_plan *plan, const plan_flags *flags, sy_error *error) {
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
    return status;
}

int sy_cli_plan(int argc, char **argv) {
    plan_flags flags = {0, 0, NULL};
    sy_cli_engine engine;
    sy_cli_shared shared;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 3u] = {
        {"json", 0, NULL, SY_CLI_SWITCH, &flags.as_json, NULL, 0, 0, "print JSON", NULL},
        {"svg", 0, NULL, SY_CLI_TEXT, &flags.svg_path, "FILE", 0, 0,
         "write a picture of the segments; - for standard output", NULL},
        {"memory", 0, NULL, SY_CLI_SWITCH, &flags.memory, NULL, 0, 0,
         "print the memory that the model and one session take", NULL}};
    uint32_t n_options = 3u + sy_cli_engine_flags(&engine, options + 3);
    engine.n_outputs = 1; /* as `run` */
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .verb = argv[0],
        .usage = "MODEL",
        .about = "Plans a model over the delegates that are here and explains the plan: segments, "
                 "and per node\nthe chosen delegate, its cost, the best alternative, and why the "
                 "others lost - the plugin's own\nwords, or the line of the INI file that decided.",
        .options = options,
        .shared = shared.options,
        .n_options = n_options,
        .n_shared = shared.n_options,
        .n_arguments_most = 1};
    sy_cli_list arguments;
    sy_error error;
    sy_error_clear(&error);
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status == SY_CLI_GO_ON) {
        exit_status =
            sy_cli_engine_open(&engine, &shared, arguments.n > 0 ? arguments.items[0] : NULL);
    }
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = print(sy_engine_plan(engine.engine), &flags, &error);
    if (status == SY_OK && flags.memory && !flags.as_json) {
        print_memory(engine.engine);
    }
    sy_cli_engine_close(&engine);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}
