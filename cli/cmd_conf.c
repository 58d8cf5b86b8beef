/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard conf: check files, show what is in force, print the manual of all keys. */
#include "setup.h"
#include <verbs.h>

#include "switchyard/graph.h"

#include <stdio.h>
#include <string.h>

const char sy_cli_conf_about[] = "check configuration files, show what is in force";

static void print_problem(void *user, const sy_error *problem) {
    ++*(uint32_t *)user;
    sy_cli_fail(problem);
}

/* Reads layers and counts problems; prints "FILE: fine" when there is none. */
static int check_layers(const sy_conf_layer *layers, uint32_t n_layers) {
    uint32_t n_problems = 0;
    sy_conf *conf = NULL;
    sy_error error;
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = layers;
    options.n_layers = n_layers;
    options.problem = print_problem;
    options.user = &n_problems;
    sy_status status = sy_conf_create(&options, &conf, &error);
    sy_conf_destroy(conf);
    if (status != SY_OK) {
        if (n_problems == 0) {
            sy_cli_fail(&error);
        }
        return SY_CLI_FAILED;
    }
    for (uint32_t i = 0; i < n_layers; i++) {
        printf("%s: fine\n", layers[i].path);
    }
    return SY_CLI_DONE;
}

/* Alone, each file counts as a layer of the administrator: that one may say everything. */
static int check(const sy_cli_list *files, int as_layers) {
    sy_conf_layer layers[SY_CONF_LAYERS_MAX];
    int exit_status = SY_CLI_DONE;
    if (files->n == 0 || files->n > SY_CONF_LAYERS_MAX) {
        return sy_cli_usage("conf", NULL, "name 1 to %u files.", SY_CONF_LAYERS_MAX);
    }
    for (uint32_t i = 0; i < files->n; i++) {
        sy_conf_level level = i < SY_CONF_APP ? (sy_conf_level)i : SY_CONF_APP;
        layers[i] =
            (sy_conf_layer){.level = as_layers ? level : SY_CONF_ADMIN, .path = files->items[i]};
        if (!as_layers && check_layers(&layers[i], 1) != SY_CLI_DONE) {
            exit_status = SY_CLI_FAILED;
        }
    }
    return as_layers ? check_layers(layers, files->n) : exit_status;
}

static int print_text(sy_status status, char *text, const sy_error *error) {
    if (status != SY_OK) {
        return sy_cli_fail(error);
    }
    fputs(text, stdout);
    sy_string_destroy(NULL, text);
    return SY_CLI_DONE;
}

static int show(const sy_cli_shared *shared) {
    sy_cli_setup setup;
    sy_error error;
    char *text = NULL;
    int exit_status = sy_cli_read_conf(shared, &setup);
    if (exit_status == SY_CLI_GO_ON) {
        sy_status status = sy_conf_show(setup.conf, &text, &error);
        exit_status = print_text(status, text, &error);
    }
    sy_cli_close(&setup);
    return exit_status;
}

int sy_cli_conf(int argc, char **argv) {
    sy_cli_shared shared;
    sy_cli_shared_init(&shared);
    int as_layers = 0;
    const sy_cli_option options[] = {
        {"layers", 0, NULL, SY_CLI_SWITCH, &as_layers, NULL, 0, 0,
         "check: lay the files over each other, as vendor, OEM, admin, then app", NULL}};
    const sy_cli_command command = {
        .verb = "conf",
        .usage = "check FILE... | show | manual",
        .about = "check   reads INI files strictly and prints every problem with its line\n"
                 "show    prints the values in force and the file and line of each\n"
                 "manual  prints all sections and keys (docs/configuration.md)",
        .options = options,
        .n_options = SY_CLI_COUNT_OF(options),
        .shared = shared.options,
        .n_shared = shared.n_options,
        .n_arguments_least = 1,
        .n_arguments_most = SY_CLI_ITEMS_MAX};
    sy_cli_list arguments, files = {.n = 0};
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    const char *action = arguments.items[0];
    for (uint32_t i = 1; i < arguments.n; i++) {
        files.items[files.n++] = arguments.items[i];
    }
    if (strcmp(action, "check") == 0) {
        return check(&files, as_layers);
    }
    if (strcmp(action, "show") == 0 && files.n == 0) {
        return show(&shared);
    }
    if (strcmp(action, "manual") == 0 && files.n == 0) {
        char *text = NULL;
        sy_error error;
        sy_status status = sy_conf_manual(NULL, &text, &error);
        return print_text(status, text, &error);
    }
    return sy_cli_usage("conf", "Write check FILE..., show or manual.", "\"%s\" is no such action.",
                        action);
}
