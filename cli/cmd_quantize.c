/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard quantize: a model in f16, bf16 or f32, a file or a folder, to a GGUF file of a block
 * type. */
#include "options.h"
#include <verbs.h>

#include "switchyard/huggingface.h"
#include "switchyard/quantize_model.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

const char sy_cli_quantize_about[] = "write a model as GGUF in a block type";

typedef struct totals {
    int quiet;
    uint64_t before, after;
    uint32_t n_weighed;
} totals;

static void progress(void *user, const sy_quantized_tensor *tensor) {
    totals *sums = user;
    sums->before += tensor->n_bytes_before;
    sums->after += tensor->n_bytes_after;
    sums->n_weighed += tensor->has_importance;
    if (!sums->quiet) {
        printf("[%4" PRIu32 "/%4" PRIu32 "] %-36.*s %5s -> %-6s %9.2f MiB%s\n",
               tensor->i_tensor + 1, tensor->n_tensors, (int)tensor->name.n_bytes,
               tensor->name.bytes, sy_type_get(tensor->from)->name, sy_type_get(tensor->to)->name,
               (double)tensor->n_bytes_after / 1048576.0, tensor->has_importance ? " *" : "");
    }
}

static int run(const char *from, const char *to, const sy_quantize_options *options) {
    sy_gguf *gguf = NULL;
    sy_error error;
    totals *sums = options->progress_user;
    sy_error_clear(&error);
    sy_status status = sy_model_open(NULL, from, &gguf, &error);
    if (status == SY_OK) {
        status = sy_model_quantize(NULL, gguf, to, options, &error);
        sy_gguf_close(gguf);
    }
    if (status != SY_OK) {
        return sy_cli_fail(&error);
    }
    printf("%s: %.2f MiB of weights became %.2f MiB (%s)\n", to, (double)sums->before / 1048576.0,
           (double)sums->after / 1048576.0, options->mixture);
    if (options->imatrix_path != NULL) {
        printf("%" PRIu32 " tensors were weighed by %s\n", sums->n_weighed, options->imatrix_path);
    }
    return SY_CLI_DONE;
}

static int unknown_type(const char *given) {
    char hint[512];
    size_t n = (size_t)snprintf(hint, sizeof(hint), "Types are");
    for (uint32_t i = 0; sy_quantize_mixture_at(i) != NULL && n < sizeof(hint); i++) {
        n += (size_t)snprintf(hint + n, sizeof(hint) - n, " %s", sy_quantize_mixture_at(i));
    }
    return sy_cli_usage("quantize", hint, "there is no type \"%s\".", given);
}

int sy_cli_quantize(int argc, char **argv) {
    int pure = 0;
    totals sums = {0};
    const char *type = "Q4_K_M", *imatrix = NULL;
    uint32_t n_workers = 0;
    const sy_cli_option cli_options[] = {
        {"type", 't', NULL, SY_CLI_TEXT, &type, "TYPE", 0, 0,
         "Q4_K_M (default), Q8_0, Q6_K, Q5_K_M, Q4_0, IQ4_XS, f16 ...", NULL},
        {"imatrix", 0, NULL, SY_CLI_TEXT, &imatrix, "FILE", 0, 0,
         "importance matrix, from switchyard imatrix or llama.cpp", NULL},
        {"pure", 0, NULL, SY_CLI_SWITCH, &pure, NULL, 0, 0,
         "every matrix in the one type, no mixture", NULL},
        {"workers", 0, NULL, SY_CLI_COUNT, &n_workers, "N", 0, 256, "threads; 0: one for each core",
         NULL},
        {"quiet", 'q', NULL, SY_CLI_SWITCH, &sums.quiet, NULL, 0, 0, "print the sum alone", NULL}};
    const sy_cli_command command = {
        .verb = argv[0],
        .usage = "IN OUT",
        .about = "Writes the model IN (a GGUF file in f16, bf16 or f32, or a model folder) as the "
                 "GGUF file OUT.\nThe file appears when it is complete. A * marks tensors that an "
                 "importance matrix weighed.",
        .options = cli_options,
        .n_options = SY_CLI_COUNT_OF(cli_options),
        .n_arguments_least = 2,
        .n_arguments_most = 2};
    sy_cli_list arguments;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    int known = 0;
    for (uint32_t i = 0; sy_quantize_mixture_at(i) != NULL; i++) {
        known = known || strcasecmp(sy_quantize_mixture_at(i), type) == 0;
    }
    if (!known) {
        return unknown_type(type);
    }
    const sy_quantize_options options = {.struct_bytes = sizeof(options),
                                         .mixture = type,
                                         .imatrix_path = imatrix,
                                         .pure = pure != 0,
                                         .n_workers = n_workers,
                                         .progress = progress,
                                         .progress_user = &sums};
    return run(arguments.items[0], arguments.items[1], &options);
}
