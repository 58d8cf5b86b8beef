/* SPDX-License-Identifier: Apache-2.0 */
/* What every verb that runs or plans needs: configuration, runtime and registry from the shared
 * flags. */
#ifndef SY_CLI_SETUP_H
#define SY_CLI_SETUP_H

#include "options.h"
#include "switchyard/blob_files.h"
#include "switchyard/registry.h"

#define SY_CLI_SHARED_MAX 8u

/* Values of the shared flags, and the table that describes them. */
typedef struct sy_cli_shared {
    sy_cli_list configs, plugins, delegates;
    uint32_t n_threads;   /* 0: as configured */
    const char *affinity; /* NULL: as configured */
    int is_verbose;
    int profile; /* set by verbs: times per node */
    sy_cli_option options[SY_CLI_SHARED_MAX];
    uint32_t n_options;
} sy_cli_shared;

typedef struct sy_cli_setup {
    sy_conf *conf;
    sy_blob_files *blobs;
    sy_runtime *runtime;
    sy_registry *registry;
    sy_log log;
    char flags_text[512]; /* the shared flags as the last layer of the configuration */
    char directory[4096]; /* PATH_MAX */
} sy_cli_setup;

/* Fills defaults and the table; pass shared->options and shared->n_options to sy_cli_command. */
void sy_cli_shared_init(sy_cli_shared *shared);

/* Reads the layers: /etc/switchyard, SWITCHYARD_CONFIG, --config files, then the flags. Prints what
 * is wrong. Answers SY_CLI_GO_ON or an exit status. */
int sy_cli_read_conf(const sy_cli_shared *shared, sy_cli_setup *setup);

/* The same, then makes the runtime and opens the registry. setup must stay where it is until
 * sy_cli_close. */
int sy_cli_open(const sy_cli_shared *shared, sy_cli_setup *setup);

/* Closes what was opened, in the right order; a zeroed setup is fine. */
void sy_cli_close(sy_cli_setup *setup);

/* The way out of main. Where a plugin stayed, a job may still run in it: what libraries do at an
 * exit, which would take its driver from under it, is left out. */
int sy_cli_end(int result);

#endif
