/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "switchyard/ini.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 64u

int sy_cli_fail(const sy_error *error) {
    char text[SY_ERROR_MESSAGE_BYTES + SY_ERROR_HINT_BYTES + SY_ERROR_ORIGIN_BYTES + 64];
    sy_error plain = *error;
    plain.hint[0] = '\0';
    sy_error_format(&plain, text, sizeof(text));
    fprintf(stderr, "switchyard: %s\n", text);
    if (error->hint[0] != '\0') {
        fprintf(stderr, "  hint: %s\n", error->hint);
    }
    return SY_CLI_FAILED;
}

int sy_cli_usage(const char *verb, const char *hint, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "switchyard %s: ", verb);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (hint != NULL) {
        fprintf(stderr, "  hint: %s\n", hint);
    }
    fprintf(stderr, "  `switchyard %s --help` lists all flags.\n", verb);
    return SY_CLI_USAGE;
}

const char *sy_cli_nearest(const char *given, const char *const *words, uint32_t n_words) {
    const char *best = NULL;
    uint32_t least = strlen(given) <= 4 ? 2 : 3;
    for (uint32_t i = 0; i < n_words; i++) {
        uint32_t distance = sy_ini_distance(given, words[i]);
        if (distance < least) {
            best = words[i];
            least = distance;
        }
    }
    return best;
}

static void environment_name(const sy_cli_option *option, char out_name[NAME_BYTES]) {
    snprintf(out_name, NAME_BYTES, "SWITCHYARD_%s", option->name);
    for (char *c = out_name; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}

/* True when `name` (n bytes) is the option's name or one of its aliases. */
static int is_named(const sy_cli_option *option, const char *name, size_t n) {
    if (strlen(option->name) == n && memcmp(option->name, name, n) == 0) {
        return 1;
    }
    for (const char *alias = option->aliases; alias != NULL && *alias != '\0';) {
        size_t n_alias = strcspn(alias, "|");
        if (n_alias == n && memcmp(alias, name, n) == 0) {
            return 1;
        }
        alias += n_alias + (alias[n_alias] == '|');
    }
    return 0;
}

static const sy_cli_option *option_at(const sy_cli_command *command, uint32_t i) {
    return i < command->n_options ? &command->options[i] : &command->shared[i - command->n_options];
}

static const sy_cli_option *find(const sy_cli_command *command, const char *flag) {
    int is_long = flag[1] == '-';
    const char *name = flag + 1 + is_long;
    size_t n = strcspn(name, "=");
    for (uint32_t i = 0; i < command->n_options + command->n_shared; i++) {
        const sy_cli_option *option = option_at(command, i);
        if ((!is_long && n == 1 && option->letter == name[0]) || is_named(option, name, n)) {
            return option;
        }
    }
    return NULL;
}

static int unknown_flag(const sy_cli_command *command, const char *flag) {
    char name[NAME_BYTES], hint[NAME_BYTES + 32];
    const char *words[2 * SY_CLI_ITEMS_MAX];
    uint32_t n_words = 0;
    for (uint32_t i = 0;
         i < command->n_options + command->n_shared && n_words < 2 * SY_CLI_ITEMS_MAX; i++) {
        words[n_words++] = option_at(command, i)->name;
    }
    const char *start = flag + strspn(flag, "-");
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(start, "="), start);
    const char *nearest = sy_cli_nearest(name, words, n_words);
    if (nearest != NULL) {
        snprintf(hint, sizeof(hint), "Did you mean --%s?", nearest);
    }
    return sy_cli_usage(command->verb, nearest != NULL ? hint : NULL, "there is no flag %s.", flag);
}

static int parse_number(const char *value, double *out_number) {
    char *end = NULL;
    errno = 0;
    *out_number = strtod(value, &end);
    return end != value && *end == '\0' && errno == 0;
}

static int parse_u64(const char *value, uint64_t *out_number) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 0);
    *out_number = number;
    return end != value && *end == '\0' && errno == 0 && strchr(value, '-') == NULL;
}

static int add_item(sy_cli_list *list, const char *value) {
    if (list->n >= SY_CLI_ITEMS_MAX) {
        return 0;
    }
    list->items[list->n++] = value;
    return 1;
}

/* Stores a value; answers 0 when it is none of the option's kind. */
static int store(const sy_cli_option *option, const char *value) {
    double number = 0;
    uint64_t whole = 0;
    switch (option->kind) {
    case SY_CLI_SWITCH:
        *(int *)option->target = strcmp(value, "0") != 0;
        return strcmp(value, "0") == 0 || strcmp(value, "1") == 0;
    case SY_CLI_TEXT:
        *(const char **)option->target = value;
        return 1;
    case SY_CLI_LIST:
        return add_item(option->target, value);
    case SY_CLI_U64:
        return parse_u64(value, (uint64_t *)option->target);
    case SY_CLI_COUNT:
        if (!parse_u64(value, &whole) || whole > UINT32_MAX || (double)whole < option->least ||
            (double)whole > option->most) {
            return 0;
        }
        *(uint32_t *)option->target = (uint32_t)whole;
        return 1;
    case SY_CLI_NUMBER:
        if (!parse_number(value, &number) || !(number >= option->least) ||
            !(number <= option->most)) {
            return 0;
        }
        *(double *)option->target = number;
        return 1;
    }
    return 0;
}

static int bad_value(const sy_cli_command *command, const sy_cli_option *option, const char *place,
                     const char *value) {
    char hint[128] = "Give it less often.";
    if (option->kind == SY_CLI_COUNT || option->kind == SY_CLI_NUMBER) {
        snprintf(hint, sizeof(hint), "Write a number from %.15g to %.15g.", option->least,
                 option->most);
    } else if (option->kind != SY_CLI_LIST) {
        snprintf(hint, sizeof(hint), "Write %s.",
                 option->kind == SY_CLI_SWITCH ? "1 or 0" : "a whole number");
    }
    return sy_cli_usage(command->verb, hint, "%s cannot be \"%s\".", place, value);
}

/* Takes one flag and, where it has one, its value. *inout_i is its index. */
static int take_flag(const sy_cli_command *command, int argc, char **argv, int *inout_i,
                     uint8_t *out_given) {
    char *flag = argv[*inout_i];
    const sy_cli_option *option = find(command, flag);
    const char *equals = strchr(flag, '='), *value = equals != NULL ? equals + 1 : NULL;
    if (option == NULL) {
        return unknown_flag(command, flag);
    }
    if (option->kind == SY_CLI_SWITCH) {
        value = value != NULL ? value : "1";
    } else if (value == NULL) {
        if (*inout_i + 1 >= argc) {
            return sy_cli_usage(command->verb, NULL, "%s needs a value (%s).", flag,
                                option->argument);
        }
        value = argv[++*inout_i];
    }
    for (uint32_t i = 0; i < command->n_options + command->n_shared; i++) {
        out_given[i] |= option_at(command, i) == option;
    }
    return store(option, value) ? SY_CLI_GO_ON : bad_value(command, option, flag, value);
}

/* A list in the environment is split at ':'; the copies live until the program ends. */
static int store_list(const sy_cli_option *option, const char *text) {
    static char copies[8192];
    static size_t n_used;
    while (*text != '\0') {
        size_t n = strcspn(text, ":");
        if (n_used + n + 1 > sizeof(copies)) {
            return 0;
        }
        char *copy = copies + n_used;
        memcpy(copy, text, n);
        copy[n] = '\0';
        n_used += n + 1;
        if (n > 0 && !add_item(option->target, copy)) {
            return 0;
        }
        text += n + (text[n] == ':');
    }
    return 1;
}

static int take_environment(const sy_cli_command *command, const uint8_t *given) {
    for (uint32_t i = 0; i < command->n_options + command->n_shared; i++) {
        const sy_cli_option *option = option_at(command, i);
        char name[NAME_BYTES];
        environment_name(option, name);
        const char *value = given[i] || option->environment != NULL ? NULL : secure_getenv(name);
        if (value == NULL || value[0] == '\0') {
            continue;
        }
        if (!(option->kind == SY_CLI_LIST ? store_list(option, value) : store(option, value))) {
            return bad_value(command, option, name, value);
        }
    }
    return SY_CLI_GO_ON;
}

static void print_options(const sy_cli_option *options, uint32_t n, const char *title) {
    printf("\n%s:\n", title);
    for (uint32_t i = 0; i < n; i++) {
        const sy_cli_option *option = &options[i];
        char flag[96], name[NAME_BYTES], letter[8] = "";
        environment_name(option, name);
        if (option->letter != 0) {
            snprintf(letter, sizeof(letter), "-%c, ", option->letter);
        }
        snprintf(flag, sizeof(flag), "%s--%s%s%s", letter, option->name,
                 option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
        printf("  %-26s %s\n", flag, option->help);
        printf("  %-26s   [%s", "", option->environment != NULL ? option->environment : name);
        if (option->aliases != NULL) {
            printf("; also --");
            for (const char *c = option->aliases; *c != '\0'; c++) {
                *c == '|' ? fputs(" --", stdout) : fputc(*c, stdout);
            }
        }
        printf("]\n");
    }
}

static int print_help(const sy_cli_command *command) {
    printf("usage: switchyard %s [FLAG...] %s\n\n%s\n", command->verb, command->usage,
           command->about);
    if (command->n_options > 0) {
        print_options(command->options, command->n_options, "Flags");
    }
    if (command->n_shared > 0) {
        print_options(command->shared, command->n_shared, "Flags of all verbs");
    }
    return SY_CLI_DONE;
}

static int check_arguments(const sy_cli_command *command, uint32_t n) {
    if (n < command->n_arguments_least || n > command->n_arguments_most) {
        return sy_cli_usage(command->verb, NULL, "%s arguments; usage: switchyard %s [FLAG...] %s",
                            n < command->n_arguments_least ? "too few" : "too many", command->verb,
                            command->usage);
    }
    return SY_CLI_GO_ON;
}

int sy_cli_parse(const sy_cli_command *command, int argc, char **argv, sy_cli_list *out_arguments) {
    uint8_t given[2 * SY_CLI_ITEMS_MAX] = {0};
    int only_arguments = 0, status = SY_CLI_GO_ON;
    out_arguments->n = 0;
    for (int i = 1; i < argc && status == SY_CLI_GO_ON; i++) {
        char *word = argv[i];
        int is_flag = !only_arguments && word[0] == '-' && word[1] != '\0';
        if (is_flag && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            return print_help(command);
        }
        if (is_flag && strcmp(word, "--") == 0) {
            only_arguments = 1;
        } else if (is_flag) {
            status = take_flag(command, argc, argv, &i, given);
        } else if (!add_item(out_arguments, word)) {
            status = sy_cli_usage(command->verb, NULL, "too many arguments.");
        }
    }
    if (status == SY_CLI_GO_ON) {
        status = take_environment(command, given);
    }
    return status == SY_CLI_GO_ON ? check_arguments(command, out_arguments->n) : status;
}
