/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard conform: does a delegate keep the rules of plugin-api/RULES.md? */
#include "options.h"
#include <verbs.h>

#include "sy_conform.h"
#include "switchyard/graph.h"

#include <stdio.h>
#include <string.h>

const char sy_cli_conform_about[] = "check a plugin's shared object against the rules of the ABI";

static int run(const sy_conform_options *options, int as_json) {
    sy_conform_report *report = NULL;
    char *text = NULL;
    sy_error error;
    sy_status status = sy_conform_run(options, &report, &error);
    if (status == SY_OK) {
        status = sy_conform_report_format(report, as_json != 0, &text, &error);
    }
    int exit_status = SY_CLI_FAILED;
    if (status == SY_OK) {
        fputs(text, stdout);
        exit_status = report->n_failures == 0 ? SY_CLI_DONE : SY_CLI_FAILED;
        sy_string_destroy(NULL, text);
    } else {
        exit_status = sy_cli_fail(&error);
    }
    sy_conform_report_destroy(report);
    return exit_status;
}

/* "a=b,c=d" as the lines that open() gets. */
static void split_lines(const char *given, char *out_lines, size_t n_lines) {
    snprintf(out_lines, n_lines, "%s\n", given);
    for (char *comma = strchr(out_lines, ';'); comma != NULL; comma = strchr(comma, ';')) {
        *comma = '\n';
    }
}

int sy_cli_conform(int argc, char **argv) {
    sy_conform_options wanted;
    sy_conform_options_default(&wanted);
    int as_json = 0;
    const char *given = NULL;
    char lines[1024];
    uint32_t seconds = 300;
    const sy_cli_option options[] = {
        {"json", 0, NULL, SY_CLI_SWITCH, &as_json, NULL, 0, 0, "print JSON", NULL},
        {"level", 0, NULL, SY_CLI_COUNT, &wanted.most_level, "N", 0, SY_CONFORM_LEVELS - 1,
         "check levels up to N (default 6)", NULL},
        {"from", 0, NULL, SY_CLI_COUNT, &wanted.least_level, "N", 0, SY_CONFORM_LEVELS - 1,
         "leave levels below N out (default 0)", NULL},
        {"device", 0, NULL, SY_CLI_COUNT, &wanted.i_device, "N", 0, 255,
         "check device N of the plugin (default 0)", NULL},
        {"options", 0, NULL, SY_CLI_TEXT, &given, "KEY=VALUE;...", 0, 0,
         "options of the delegate, as in its INI section", NULL},
        {"seconds", 0, NULL, SY_CLI_COUNT, &seconds, "N", 1, 86400,
         "end a level that takes longer (default 300)", NULL}};
    const sy_cli_command command = {
        .verb = "conform",
        .usage = "PLUGIN.so",
        .about =
            "Checks a delegate level by level: 0 the file and its manifest, 1 lifecycle, 2 every\n"
            "operator it claims against the reference, 3 memory and states, 4 asynchronous work,\n"
            "5 blobs, 6 faults (a test build's, as its manifest lists them).\n"
            "plugin-api/RULES.md explains each check.",
        .options = options,
        .n_options = SY_CLI_COUNT_OF(options),
        .n_arguments_least = 1,
        .n_arguments_most = 1};
    sy_cli_list arguments;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    char path[4096];
    const char *file = arguments.items[0];
    snprintf(path, sizeof(path), "%s%s", strchr(file, '/') == NULL ? "./" : "", file);
    wanted.path = path;
    wanted.seconds = seconds;
    if (given != NULL) {
        split_lines(given, lines, sizeof(lines));
        wanted.options = lines;
    }
    return run(&wanted, as_json);
}
