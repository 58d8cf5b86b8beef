/* SPDX-License-Identifier: Apache-2.0 */
#include "setup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sy_cli_shared_init(sy_cli_shared *shared) {
    memset(shared, 0, sizeof(*shared));
    const sy_cli_option options[] = {
        {"config", 0, NULL, SY_CLI_LIST, &shared->configs, "FILE", 0, 0,
         "INI file laid over those of the device; it may narrow, not widen", "SWITCHYARD_CONFIG"},
        {"plugins", 0, "plugin-dir", SY_CLI_LIST, &shared->plugins, "DIR", 0, 0,
         "plugin directory to search before the configured ones", "SWITCHYARD_PLUGIN_PATH"},
        {"delegate", 0, "backend|dev", SY_CLI_LIST, &shared->delegates, "NAME", 0, 0,
         "delegates to use, first choice first: npu, gpu, cpu or plugin names", NULL},
        {"threads", 't', NULL, SY_CLI_COUNT, &shared->n_threads, "N", 0, 256,
         "threads of the runtime; 0: as configured", NULL},
        {"affinity", 0, NULL, SY_CLI_TEXT, &shared->affinity, "CPUS", 0, 0,
         "where they run: none, performance, or CPUs as in 0-3,6", NULL},
        {"verbose", 'v', NULL, SY_CLI_SWITCH, &shared->is_verbose, NULL, 0, 0,
         "log what happens on stderr", NULL}};
    memcpy(shared->options, options, sizeof(options));
    shared->n_options = SY_CLI_COUNT_OF(options);
}

static void print_event(void *user, sy_severity severity, const char *event, const char *text) {
    static const char *const words[] = {"debug", "info", "warning", "error"};
    (void)user;
    fprintf(stderr, "%s %s %s\n", words[severity <= SY_SEVERITY_ERROR ? severity : 3], event, text);
}

/* Writes the shared flags as INI text, so that they obey the same rules as any other layer and an
 * explanation can say "command line". Answers 0 when they do not fit. */
static int write_flags(const sy_cli_shared *shared, char *out_text, size_t n_bytes) {
    size_t n = 0;
    out_text[0] = '\0';
    if (shared->delegates.n > 0) {
        n += (size_t)snprintf(out_text + n, n_bytes - n,
                              "[policy]\nmode = strict\n[order]\n"
                              "default = ");
        for (uint32_t i = 0; i < shared->delegates.n && n < n_bytes; i++) {
            n += (size_t)snprintf(out_text + n, n_bytes - n, "%s%s", i > 0 ? ", " : "",
                                  shared->delegates.items[i]);
        }
        n += n < n_bytes ? (size_t)snprintf(out_text + n, n_bytes - n, "\n") : 0;
    }
    if (n < n_bytes && (shared->n_threads > 0 || shared->affinity != NULL || shared->is_verbose ||
                        shared->profile)) {
        n += (size_t)snprintf(out_text + n, n_bytes - n, "[runtime]\n");
        if (n < n_bytes && shared->n_threads > 0) {
            n += (size_t)snprintf(out_text + n, n_bytes - n, "threads = %u\n", shared->n_threads);
        }
        if (n < n_bytes && shared->affinity != NULL) {
            n += (size_t)snprintf(out_text + n, n_bytes - n, "affinity = %s\n", shared->affinity);
        }
        if (n < n_bytes && shared->is_verbose) {
            n += (size_t)snprintf(out_text + n, n_bytes - n, "log_level = info\n");
        }
        if (n < n_bytes && shared->profile) {
            n += (size_t)snprintf(out_text + n, n_bytes - n, "profile = on\n");
        }
    }
    return n < n_bytes;
}

static void print_problem(void *user, const sy_error *problem) {
    (void)user;
    sy_cli_fail(problem);
}

int sy_cli_read_conf(const sy_cli_shared *shared, sy_cli_setup *setup) {
    sy_conf_layer layers[SY_CONF_LAYERS_MAX];
    uint32_t n = sy_conf_layers_default(layers);
    sy_error error;
    sy_error_clear(&error);
    memset(setup, 0, sizeof(*setup));
    if (!write_flags(shared, setup->flags_text, sizeof(setup->flags_text))) {
        return sy_cli_usage("", "Name fewer delegates.", "the flags are too long.");
    }
    for (uint32_t i = 0; i < shared->configs.n; i++) {
        if (n + 1 >= SY_CONF_LAYERS_MAX) {
            return sy_cli_usage("", NULL, "too many --config files.");
        }
        layers[n++] = (sy_conf_layer){.level = SY_CONF_APP, .path = shared->configs.items[i]};
    }
    layers[n++] = (sy_conf_layer){.level = SY_CONF_APP,
                                  .path = "command line",
                                  .text = setup->flags_text,
                                  .n_text_bytes = strlen(setup->flags_text)};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = layers;
    options.n_layers = n;
    options.problem = print_problem;
    sy_status status = sy_conf_create(&options, &setup->conf, &error);
    return status == SY_OK ? SY_CLI_GO_ON : SY_CLI_FAILED;
}

/* Beside the program: PREFIX/bin/switchyard finds PREFIX/lib/switchyard/plugins, and a build tree
 * finds its own plugins. The directory must pass the same checks as any other. */
static const char *directory_beside_program(char out_path[PATH_MAX]) {
    static const char *const places[] = {"../lib/switchyard/plugins", "../plugins"};
    char program[PATH_MAX];
    ssize_t n =
        sy_conf_is_privileged() ? -1 : readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n <= 0) {
        return NULL;
    }
    program[n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash == NULL) {
        return NULL;
    }
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s/%s", program, places[i]);
        if (length > 0 && (size_t)length < sizeof(path) && realpath(path, out_path) != NULL) {
            return out_path;
        }
    }
    return NULL;
}

/* Touches no file before a delegate compiles. Without a place nothing is kept. */
static void open_blobs(sy_cli_setup *setup) {
    const sy_conf_cache *settings = sy_conf_cache_settings(setup->conf);
    const sy_blob_files_options options = {.struct_bytes = sizeof(options),
                                           .directory = settings->directory,
                                           .limit_bytes = settings->limit_bytes};
    sy_error error;
    if (settings->enabled && !sy_conf_is_privileged() &&
        sy_blob_files_create(&options, &setup->blobs, &error) != SY_OK) {
        sy_log_write(&setup->log, SY_SEVERITY_INFO, "blob.no_store", "text=%s", error.message);
    }
}

static sy_status open_runtime(sy_cli_setup *setup, sy_error *error) {
    const sy_conf_runtime *settings = sy_conf_runtime_settings(setup->conf);
    setup->log = (sy_log){print_event, NULL, settings->log_level};
    sy_runtime_options options;
    sy_runtime_options_default(&options);
    options.n_threads = settings->n_threads;
    options.affinity = settings->affinity;
    options.spin_us = settings->spin_us;
    options.log = &setup->log;
    open_blobs(setup);
    options.blobs = setup->blobs != NULL ? sy_blob_files_store(setup->blobs) : NULL;
    sy_status status = sy_runtime_create(&options, &setup->runtime, error);
    if (status == SY_OK) {
        sy_runtime_set_quarantine(setup->runtime,
                                  &sy_conf_failover_settings(setup->conf)->quarantine);
    }
    return status == SY_OK ? sy_runtime_place_thread(setup->runtime, error) : status;
}

int sy_cli_open(const sy_cli_shared *shared, sy_cli_setup *setup) {
    sy_error error;
    int exit_status = sy_cli_read_conf(shared, setup);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = open_runtime(setup, &error);
    if (status == SY_OK) {
        sy_registry_options options;
        sy_registry_options_default(&options);
        options.directories = shared->plugins.items;
        options.n_directories = shared->plugins.n;
        options.conf = setup->conf;
        options.default_directory = directory_beside_program(setup->directory);
        status = sy_registry_open(setup->runtime, &options, &setup->registry, &error);
    }
    if (status != SY_OK) {
        sy_cli_fail(&error);
        sy_cli_close(setup);
        return SY_CLI_FAILED;
    }
    return SY_CLI_GO_ON;
}

static int has_left_plugins;

int sy_cli_end(int result) {
    if (has_left_plugins) {
        fflush(NULL);
        _exit(result);
    }
    return result;
}

void sy_cli_close(sy_cli_setup *setup) {
    uint32_t n_left = sy_registry_close(setup->registry);
    if (n_left > 0) {
        has_left_plugins = 1;
        fprintf(stderr, "switchyard: %u plugins would not close and stay loaded.\n", n_left);
    }
    sy_runtime_destroy(setup->runtime);
    sy_blob_files_destroy(setup->blobs);
    sy_conf_destroy(setup->conf);
    memset(setup, 0, sizeof(*setup));
}
