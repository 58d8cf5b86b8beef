/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: finds the verb and hands over. The table is made by the build from the files
 * cmd_NAME.c in this folder; each defines
 *     int sy_cli_NAME(int argc, char **argv);   argv[0] is the verb; answers the exit status
 *     const char sy_cli_NAME_about[];           one line for the list of verbs
 */
#include "options.h"
#include "setup.h"
#include "switchyard/version.h"
#include <verbs.h>

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} verbs[] = {
#define SY_CLI_VERB(name) {#name, sy_cli_##name, sy_cli_##name##_about},
    SY_CLI_VERBS
#undef SY_CLI_VERB
};
#define VERBS_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int print_help(FILE *stream) {
    fprintf(stream, "usage: switchyard VERB [FLAG...] [ARGUMENT...]\n\n"
                    "Runs AI models on the delegates that this device has.\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        fprintf(stream, "  %-12s %s\n", verbs[i].name, verbs[i].about);
    }
    fprintf(stream,
            "\n`switchyard VERB --help` tells about one verb. Every flag has an environment "
            "variable.\nExit status: 0 done, 1 failed, 2 wrong usage.\n");
    return SY_CLI_DONE;
}

static int unknown_verb(const char *given) {
    const char *words[VERBS_COUNT];
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        words[i] = verbs[i].name;
    }
    const char *nearest = sy_cli_nearest(given, words, (uint32_t)VERBS_COUNT);
    fprintf(stderr, "switchyard: there is no verb \"%s\".\n", given);
    if (nearest != NULL) {
        fprintf(stderr, "  hint: Did you mean %s?\n", nearest);
    }
    fprintf(stderr, "  `switchyard --help` lists all verbs.\n");
    return SY_CLI_USAGE;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return SY_CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        return print_help(stdout);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("switchyard %s\n", sy_version());
        return SY_CLI_DONE;
    }
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return sy_cli_end(verbs[i].run(argc - 1, argv + 1));
        }
    }
    return unknown_verb(argv[1]);
}
