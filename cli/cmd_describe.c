/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard describe: what a model file holds and whether it can run here, without loading it. */
#include "options.h"
#include <verbs.h>

#include "switchyard/graph.h"
#include "switchyard/huggingface.h"
#include "switchyard/model.h"

#include <stdio.h>

const char sy_cli_describe_about[] = "tell what a model file holds and whether it runs here";

static sy_status describe(const char *path, uint32_t flags, sy_error *error) {
    sy_gguf *gguf = NULL;
    char *text = NULL;
    sy_status status = sy_model_open(NULL, path, &gguf, error);
    if (status != SY_OK) {
        return status;
    }
    status = sy_model_report(NULL, gguf, flags, &text, error);
    sy_gguf_close(gguf);
    if (status == SY_OK) {
        fputs(text, stdout);
        sy_string_destroy(NULL, text);
    }
    return status;
}

int sy_cli_describe(int argc, char **argv) {
    int as_json = 0, tensors = 0, metadata = 0;
    const sy_cli_option options[] = {
        {"json", 0, NULL, SY_CLI_SWITCH, &as_json, NULL, 0, 0, "print JSON", NULL},
        {"tensors", 0, NULL, SY_CLI_SWITCH, &tensors, NULL, 0, 0, "list every tensor", NULL},
        {"metadata", 0, NULL, SY_CLI_SWITCH, &metadata, NULL, 0, 0,
         "list every key; arrays by their first elements", NULL}};
    const sy_cli_command command = {
        .verb = argv[0],
        .usage = "MODEL",
        .about = "Tells about a GGUF file or a model folder without loading it: architecture, "
                 "parameters, mix of\nelement types, context, vocabulary, sizes, chat template, "
                 "and the reason when this build cannot\nrun it.",
        .options = options,
        .n_options = SY_CLI_COUNT_OF(options),
        .n_arguments_least = 1,
        .n_arguments_most = 1};
    sy_cli_list arguments;
    sy_error error;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    uint32_t flags = (as_json ? SY_MODEL_JSON : SY_MODEL_TEXT) | (tensors ? SY_MODEL_TENSORS : 0) |
                     (metadata ? SY_MODEL_METADATA : 0);
    sy_status status = describe(arguments.items[0], flags, &error);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}
