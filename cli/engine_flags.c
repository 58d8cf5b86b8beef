/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_flags.h"

#include "switchyard/types.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint32_t sy_cli_engine_flags(sy_cli_engine *flags, sy_cli_option *out_options) {
    memset(flags, 0, sizeof(*flags));
    const sy_cli_option options[] = {
        {"model", 'm', NULL, SY_CLI_TEXT, &flags->model, "FILE", 0, 0,
         "model, when it is not the first argument", NULL},
        {"ctx-size", 'c', "max-num-tokens", SY_CLI_COUNT, &flags->n_context, "N", 0, 1u << 24,
         "tokens a session can hold; 0: the model's, at most 4096", NULL},
        {"batch-size", 'b', NULL, SY_CLI_COUNT, &flags->n_batch, "N", 0, 65536,
         "tokens of one prefill step; 0: 256", NULL},
        {"cache-type-k", 0, "ctk", SY_CLI_TEXT, &flags->key_type, "TYPE", 0, 0,
         "element type of cached keys: f32, f16, bf16, Q8_0, Q4_0", NULL},
        {"cache-type-v", 0, "ctv", SY_CLI_TEXT, &flags->value_type, "TYPE", 0, 0,
         "the same for values", NULL},
        {"without", 0, NULL, SY_CLI_LIST, &flags->without, "DELEGATE", 0, 0, "leave a delegate out",
         NULL},
        {"pin", 0, NULL, SY_CLI_LIST, &flags->pins, "PATTERN=DELEGATE", 0, 0,
         "run nodes whose name or operator matches on a delegate", NULL},
        {"forbid", 0, NULL, SY_CLI_LIST, &flags->forbids, "PATTERN=DELEGATE", 0, 0,
         "keep such nodes off a delegate", NULL},
        {"quantization", 0, "quantize", SY_CLI_TEXT, &flags->quantization, "TYPE", 0, 0,
         "quantise weights in f32, f16 or bf16 while loading: Q4_K_M, Q8_0 ...", NULL},
        {"memory-budget", 0, NULL, SY_CLI_COUNT, &flags->memory_mib, "MIB", 0, 1u << 22,
         "wall for everything beside the mapped weights; 0: none", NULL},
        {"prefix-cache", 0, NULL, SY_CLI_COUNT, &flags->prefix_mib, "MIB", 0, 1u << 22,
         "memory for beginnings that prompts share; 0: none is kept", NULL}};
    memcpy(out_options, options, sizeof(options));
    return SY_CLI_COUNT_OF(options);
}

static int read_type(const char *text, sy_element_type otherwise, sy_element_type *out_type) {
    *out_type = text != NULL ? sy_type_find(text) : otherwise;
    return *out_type != SY_TYPE_INVALID;
}

/* "blk.3.*=cpu" as a rule. A pattern that names an operator (no dot at its start, an upper-case
 * letter or a domain) is told apart by its first letter: node names begin in lower case. */
static int add_rule(sy_cli_engine *flags, uint32_t i_rule, const char *text, sy_rule_kind kind) {
    const char *equals = strrchr(text, '=');
    size_t n = equals != NULL ? (size_t)(equals - text) : 0;
    if (n == 0 || n >= sizeof(flags->patterns[0]) || equals[1] == '\0') {
        return 0;
    }
    memcpy(flags->patterns[i_rule], text, n);
    flags->patterns[i_rule][n] = '\0';
    int is_operator = (text[0] >= 'A' && text[0] <= 'Z') || strncmp(text, "switchyard.", 11) == 0;
    flags->rules[i_rule] = (sy_policy_rule){.kind = kind,
                                            .target = is_operator ? SY_RULE_OPERATOR : SY_RULE_NODE,
                                            .pattern = flags->patterns[i_rule],
                                            .delegate = equals + 1,
                                            .source = {.file = "command line", .line = i_rule + 1}};
    return 1;
}

static int read_rules(sy_cli_engine *flags, sy_engine_options *options) {
    uint32_t n = 0;
    for (int forbid = 0; forbid < 2; forbid++) {
        const sy_cli_list *list = forbid ? &flags->forbids : &flags->pins;
        for (uint32_t i = 0; i < list->n; i++, n++) {
            if (n >= SY_CLI_RULES_MAX ||
                !add_rule(flags, n, list->items[i], forbid ? SY_RULE_FORBID : SY_RULE_PIN)) {
                return sy_cli_usage("", "Write for example --pin 'blk.0.*=cpu-xnnpack'.",
                                    "\"%s\" is no PATTERN=DELEGATE.", list->items[i]);
            }
        }
    }
    options->n_rules = n;
    options->rules = flags->rules;
    return SY_CLI_GO_ON;
}

/* One line for people; figures are in the log and in the API. */
static void print_failover(void *user, const sy_failover_event *event) {
    static const char *const rows[] = {"no rows were needed", "rows were moved",
                                       "rows came from the copy", "rows were recomputed"};
    (void)user;
    if (event->failure == SY_FAILURE_NONE) {
        fprintf(stderr, "switchyard: %s (%s) is back after a trial, at token %u (%.1f ms)\n",
                event->delegate, event->device, event->n_tokens, (double)event->total_ns * 1e-6);
        return;
    }
    fprintf(stderr, "switchyard: %s (%s) failed at token %u (%s), others go on: %s (%.1f ms)\n",
            event->delegate, event->device, event->n_tokens, sy_failure_name(event->failure),
            rows[event->restore], (double)event->total_ns * 1e-6);
}

/* Of a plugin that is found, but has no device to use here, nothing is left to leave out. */
static bool is_absent(const sy_cli_engine *flags, const char *name) {
    uint32_t n = 0;
    const sy_candidate *const *list = sy_registry_candidates(flags->setup.registry, &n);
    bool is_found = false, is_ready = false;
    for (uint32_t i = 0; i < n; i++) {
        bool is_it = strcmp(list[i]->name, name) == 0;
        is_found = is_found || is_it;
        is_ready = is_ready || (is_it && list[i]->state == SY_CANDIDATE_READY);
    }
    return is_found && !is_ready;
}

static void drop_absent(sy_cli_engine *flags) {
    sy_cli_list *without = &flags->without;
    uint32_t n = 0;
    for (uint32_t i = 0; i < without->n; i++) {
        if (!is_absent(flags, without->items[i])) {
            without->items[n++] = without->items[i];
        }
    }
    without->n = n;
}

int sy_cli_engine_options(sy_cli_engine *flags, sy_engine_options *out_options) {
    drop_absent(flags);
    sy_engine_options_default(out_options);
    const sy_conf_runtime *runtime = sy_conf_runtime_settings(flags->setup.conf);
    if (!read_type(flags->key_type, runtime->kv_type, &out_options->key_type) ||
        !read_type(flags->value_type, runtime->kv_type, &out_options->value_type)) {
        return sy_cli_usage("", "Use f32, f16, bf16, Q8_0 or Q4_0.", "unknown cache type.");
    }
    out_options->n_context_tokens = flags->n_context;
    if (flags->n_batch > 0) {
        out_options->n_batch_tokens = flags->n_batch;
    }
    if (flags->n_outputs > 0) {
        out_options->n_output_rows = flags->n_outputs;
    }
    if (out_options->n_output_rows > out_options->n_batch_tokens) {
        out_options->n_output_rows = out_options->n_batch_tokens;
    }
    if (flags->n_sequences > 0) {
        out_options->n_sequences = flags->n_sequences;
    }
    out_options->n_adapters = flags->n_adapters;
    out_options->adapter_rank = flags->adapter_rank;
    out_options->measure_importance = flags->measure_importance;
    out_options->quantization = flags->quantization;
    out_options->profile = runtime->profile;
    out_options->no_alternatives = flags->no_alternatives;
    out_options->budget_bytes = (uint64_t)flags->memory_mib << 20;
    out_options->prefix_bytes = (uint64_t)flags->prefix_mib << 20;
    out_options->policy = sy_conf_policy(flags->setup.conf);
    out_options->failover = sy_conf_failover_settings(flags->setup.conf)->engine;
    out_options->on_failover = print_failover;
    out_options->disabled_passes = flags->disabled_passes;
    out_options->trace = flags->trace;
    out_options->trace_user = flags->trace_user;
    out_options->n_without = flags->without.n;
    out_options->without = flags->without.items;
    return read_rules(flags, out_options);
}

uint64_t sy_cli_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int sy_cli_engine_parse(sy_cli_engine *flags, const sy_cli_shared *shared, sy_cli_command command,
                        int argc, char **argv) {
    sy_cli_list arguments;
    flags->verb = command.verb = argv[0];
    command.shared = shared->options;
    command.n_shared = shared->n_options;
    command.n_arguments_most = 1;
    int exit_status = sy_cli_parse(&command, argc, argv, &arguments);
    if (exit_status == SY_CLI_GO_ON && arguments.n > 0) {
        flags->model = arguments.items[0];
    }
    return exit_status;
}

int sy_cli_engine_open(sy_cli_engine *flags, const sy_cli_shared *shared) {
    sy_error error;
    sy_engine_options options;
    sy_error_clear(&error);
    if (flags->model == NULL) {
        return sy_cli_usage(flags->verb,
                            "Name a GGUF file or a model folder as the first argument or with "
                            "--model.",
                            "no model was given.");
    }
    uint64_t start = sy_cli_now_ns();
    int exit_status = sy_cli_open(shared, &flags->setup);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    flags->setup_ns = sy_cli_now_ns() - start;
    exit_status = sy_cli_engine_options(flags, &options);
    if (exit_status == SY_CLI_GO_ON &&
        sy_engine_create(flags->setup.runtime, flags->model, &options, &flags->engine, &error) !=
            SY_OK) {
        exit_status = sy_cli_fail(&error);
    }
    if (exit_status != SY_CLI_GO_ON) {
        sy_cli_engine_close(flags);
    }
    return exit_status;
}

void sy_cli_engine_close(sy_cli_engine *flags) {
    sy_engine_destroy(flags->engine);
    flags->engine = NULL;
    sy_cli_close(&flags->setup);
}
