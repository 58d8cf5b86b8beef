/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard delegates: every plugin that was found, its state, its reason, its devices. */
#include "setup.h"
#include <verbs.h>

#include "switchyard/graph.h"

#include <stdio.h>

const char sy_cli_delegates_about[] = "list plugins, why each is or is not used, and devices";

typedef struct wishes {
    int as_json, is_short, is_measured;
} wishes;

static sy_status report(const sy_cli_setup *setup, const wishes *wanted, sy_error *error) {
    char *text = NULL;
    sy_registry_format format = wanted->as_json ? SY_REGISTRY_JSON : SY_REGISTRY_TEXT;
    sy_status status = wanted->is_short ? SY_OK : sy_registry_cover(setup->registry, error);
    if (status == SY_OK && wanted->is_measured) {
        status = sy_registry_measure(setup->registry, 0, error);
    }
    if (status == SY_OK) {
        status = sy_registry_report(setup->registry, format, &text, error);
    }
    if (status == SY_OK) {
        fputs(text, stdout);
        sy_string_destroy(sy_runtime_allocator(setup->runtime), text);
    }
    return status;
}

int sy_cli_delegates(int argc, char **argv) {
    sy_cli_shared shared;
    sy_cli_shared_init(&shared);
    wishes wanted = {0, 0, 0};
    const sy_cli_option options[] = {
        {"json", 0, NULL, SY_CLI_SWITCH, &wanted.as_json, NULL, 0, 0, "print JSON", NULL},
        {"measure", 0, NULL, SY_CLI_SWITCH, &wanted.is_measured, NULL, 0, 0,
         "time a small Linear on every device, 200 ms in all", NULL},
        {"short", 0, NULL, SY_CLI_SWITCH, &wanted.is_short, NULL, 0, 0,
         "do not ask the devices which operators they run", NULL}};
    const sy_cli_command command = {
        .verb = "delegates",
        .usage = "",
        .about = "Lists every plugin in the plugin directories: its state, the reason when it is "
                 "not used,\nits devices, and how many pairs of operator and type each runs.",
        .options = options,
        .n_options = SY_CLI_COUNT_OF(options),
        .shared = shared.options,
        .n_shared = shared.n_options};
    sy_cli_list arguments;
    sy_cli_setup setup;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status == SY_CLI_GO_ON) {
        exit_status = sy_cli_open(&shared, &setup);
    }
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_error error;
    sy_status status = report(&setup, &wanted, &error);
    exit_status = status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
    sy_cli_close(&setup);
    return exit_status;
}
