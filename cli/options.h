/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flag parser of all verbs: one table gives the flags, their environment variables, the help
 * text and the errors. A flag is --name VALUE, --name=VALUE, -x VALUE or an alias; every flag that
 * is not given is looked up as SWITCHYARD_NAME, unless the process is privileged.
 */
#ifndef SY_CLI_OPTIONS_H
#define SY_CLI_OPTIONS_H

#include "switchyard/status.h"

#define SY_CLI_ITEMS_MAX 64u

/* Exit statuses of the program; SY_CLI_GO_ON means that a verb shall do its work. */
enum { SY_CLI_GO_ON = -1, SY_CLI_DONE = 0, SY_CLI_FAILED = 1, SY_CLI_USAGE = 2 };

typedef enum sy_cli_kind {
    SY_CLI_SWITCH = 0, /* int: 1 when given; as variable 1 or 0 */
    SY_CLI_TEXT = 1,   /* const char * */
    SY_CLI_COUNT = 2,  /* uint32_t between least and most */
    SY_CLI_NUMBER = 3, /* double between least and most */
    SY_CLI_LIST = 4,   /* sy_cli_list: may be given several times; as variable split at ':' */
    SY_CLI_U64 = 5     /* uint64_t */
} sy_cli_kind;

typedef struct sy_cli_list {
    const char *items[SY_CLI_ITEMS_MAX];
    uint32_t n;
} sy_cli_list;

typedef struct sy_cli_option {
    const char *name;    /* without dashes */
    char letter;         /* short flag, 0 none */
    const char *aliases; /* "a|b": accepted with one or two dashes, or NULL */
    sy_cli_kind kind;
    void *target;         /* holds the default; written when given */
    const char *argument; /* "N", "FILE"; NULL for switches */
    double least, most;
    const char *help;
    const char *environment; /* a variable that the library reads itself; NULL: SWITCHYARD_NAME */
} sy_cli_option;

/* A verb for its parser: two tables of flags (its own and shared ones) and plain arguments. */
typedef struct sy_cli_command {
    const char *verb;
    const char *usage; /* of the plain arguments, e.g. "MODEL [PROMPT]" */
    const char *about; /* sentences for --help */
    const sy_cli_option *options, *shared;
    uint32_t n_options, n_shared;
    uint32_t n_arguments_least, n_arguments_most;
} sy_cli_command;

/* Parses argv[1] and on (argv[0] is the verb). Writes plain arguments to out_arguments. Answers
 * SY_CLI_GO_ON, or the exit status after help or an error was printed. */
int sy_cli_parse(const sy_cli_command *command, int argc, char **argv, sy_cli_list *out_arguments);

/* Prints an error with its place and its hint on stderr; answers SY_CLI_FAILED. */
int sy_cli_fail(const sy_error *error);

/* Prints a usage error with a hint (may be NULL) on stderr; answers SY_CLI_USAGE. */
int sy_cli_usage(const char *verb, const char *hint, const char *format, ...) SY_PRINTF(3, 4);

/* The word of a list that was probably meant, NULL when none comes near. */
const char *sy_cli_nearest(const char *given, const char *const *words, uint32_t n_words);

#define SY_CLI_COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

#endif
