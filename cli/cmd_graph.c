/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard graph: the graph of a model, also before and after each pass. */
#include "engine_flags.h"

#include <stdio.h>
#include <string.h>
#include <verbs.h>

const char sy_cli_graph_about[] = "print the graph of a model, also before and after each pass";

typedef struct graph_flags {
    sy_graph_format format;
    int passes;
    sy_cli_list disabled;
} graph_flags;

static void print_graph(const sy_graph *graph, sy_graph_format format) {
    char *text = NULL;
    sy_error error;
    if (sy_graph_print(graph, format, NULL, &text, &error) != SY_OK) {
        sy_cli_fail(&error);
        return;
    }
    fputs(text, stdout);
    sy_string_destroy(NULL, text);
}

static void trace(void *user, sy_pass pass, int before, const sy_graph *graph) {
    const graph_flags *flags = user;
    printf("%s %s pass %s: %u nodes, %u values\n", flags->format == SY_GRAPH_DOT ? "//" : "#",
           before ? "before" : "after", sy_pass_name(pass), sy_graph_n_nodes(graph),
           sy_graph_n_values(graph));
    print_graph(graph, flags->format);
}

static int read_format(const char *text, sy_graph_format *out_format) {
    static const char *const names[] = {"text", "json", "dot"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out_format = (sy_graph_format)i;
            return SY_CLI_GO_ON;
        }
    }
    return sy_cli_usage("graph", "Use text, json or dot.", "\"%s\" is no format.", text);
}

static int read_passes(const sy_cli_list *disabled, uint32_t *out_set) {
    for (uint32_t i = 0; i < disabled->n; i++) {
        uint32_t found = SY_PASS_COUNT;
        for (uint32_t p = 0; p < SY_PASS_COUNT; p++) {
            found = strcmp(disabled->items[i], sy_pass_name((sy_pass)p)) == 0 ? p : found;
        }
        if (found == SY_PASS_COUNT) {
            return sy_cli_usage("graph", "The passes are fold, common, fuse and dead.",
                                "there is no pass \"%s\".", disabled->items[i]);
        }
        *out_set |= 1u << found;
    }
    return SY_CLI_GO_ON;
}

static int show(sy_cli_engine *engine, const sy_cli_shared *shared, const graph_flags *flags) {
    graph_flags user = *flags;
    engine->trace = flags->passes ? trace : NULL;
    engine->trace_user = &user;
    int exit_status = sy_cli_engine_open(engine, shared);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (!flags->passes) {
        print_graph(sy_plan_graph(sy_engine_plan(engine->engine)), flags->format);
    }
    sy_cli_engine_close(engine);
    return SY_CLI_DONE;
}

int sy_cli_graph(int argc, char **argv) {
    sy_cli_engine engine;
    sy_cli_shared shared;
    graph_flags flags = {SY_GRAPH_TEXT, 0, {{NULL}, 0}};
    const char *format = "text";
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 3];
    uint32_t n = sy_cli_engine_flags(&engine, options);
    options[n++] = (sy_cli_option){"format", 0, NULL, SY_CLI_TEXT,         &format,
                                   "NAME",   0, 0,    "text, json or dot", NULL};
    options[n++] = (sy_cli_option){"passes",
                                   0,
                                   NULL,
                                   SY_CLI_SWITCH,
                                   &flags.passes,
                                   NULL,
                                   0,
                                   0,
                                   "print the graph before and after each pass",
                                   NULL};
    options[n++] = (sy_cli_option){"no-pass",
                                   0,
                                   NULL,
                                   SY_CLI_LIST,
                                   &flags.disabled,
                                   "NAME",
                                   0,
                                   0,
                                   "leave a pass out: fold, common, fuse or dead",
                                   NULL};
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL",
        .about = "Prints the graph that is planned and run, with shapes; T is the number of tokens "
                 "of a step,\nR the rows whose logits are wanted.",
        .options = options,
        .n_options = n};
    int exit_status = sy_cli_engine_parse(&engine, &shared, command, argc, argv);
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = read_format(format, &flags.format);
    }
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = read_passes(&flags.disabled, &engine.disabled_passes);
    }
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    return show(&engine, &shared, &flags);
}
