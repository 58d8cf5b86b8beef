/* SPDX-License-Identifier: Apache-2.0 */
/* Gathers the directories to search, searches them, and ends what came of it. */
#include "registry_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SY_PLUGIN_DIRECTORY
#define SY_PLUGIN_DIRECTORY "/usr/local/lib/switchyard/plugins"
#endif

#define PLUGIN_PATH_BYTES 4096u

void sy_registry_options_default(sy_registry_options *out_options) {
    memset(out_options, 0, sizeof(*out_options));
    out_options->struct_bytes = (uint32_t)sizeof(*out_options);
    out_options->use_environment = 1;
}

const char *sy_candidate_state_name(sy_candidate_state state) {
    static const char *const names[SY_CANDIDATE_STATE_COUNT] = {
        [SY_CANDIDATE_READY] = "ready",         [SY_CANDIDATE_NO_DEVICE] = "no device",
        [SY_CANDIDATE_UNWILLING] = "unwilling", [SY_CANDIDATE_TOO_OLD] = "too old",
        [SY_CANDIDATE_TOO_NEW] = "too new",     [SY_CANDIDATE_BROKEN] = "broken",
        [SY_CANDIDATE_UNTRUSTED] = "untrusted", [SY_CANDIDATE_SHADOWED] = "shadowed",
        [SY_CANDIDATE_EXCLUDED] = "excluded",   [SY_CANDIDATE_MISCONFIGURED] = "misconfigured"};
    return (uint32_t)state < SY_CANDIDATE_STATE_COUNT ? names[state] : "unknown";
}

/* Adds a directory unless it is already there. is_extra: subject to [trust] extra_directories. */
static sy_status add_directory(sy_registry *registry, const char *path, size_t n_bytes,
                               const char *origin, bool is_extra, sy_error *error) {
    for (uint32_t i = 0; i < registry->n_directories; i++) {
        const char *known = registry->directories[i].path;
        if (strlen(known) == n_bytes && memcmp(known, path, n_bytes) == 0) {
            return SY_OK;
        }
    }
    if (n_bytes == 0 || registry->n_directories >= SY__DIRECTORIES_MAX) {
        return SY_OK;
    }
    sy_registry_directory *directory = &registry->directories[registry->n_directories];
    directory->path = sy__arena_string(&registry->arena, path, n_bytes);
    directory->origin = sy__arena_string(&registry->arena, origin, strlen(origin));
    if (directory->path == NULL || directory->origin == NULL) {
        return sy__no_memory(error, n_bytes, "a directory name");
    }
    registry->n_directories++;
    if (is_extra && !registry->trust->extra_directories) {
        sy_source source;
        sy_conf_value(registry->conf, "trust", "extra_directories", &source);
        snprintf(directory->reason, sizeof(directory->reason),
                 "[trust] extra_directories = deny at %s:%u.",
                 source.file != NULL ? source.file : "default", source.line);
    }
    return SY_OK;
}

static sy_status add_from_flags(sy_registry *registry, const sy_registry_options *options,
                                sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < options->n_directories; i++) {
        status = add_directory(registry, options->directories[i], strlen(options->directories[i]),
                               "flag", true, error);
    }
    return status;
}

static sy_status add_from_environment(sy_registry *registry, const sy_registry_options *options,
                                      sy_error *error) {
    const char *list = options->use_environment ? secure_getenv("SWITCHYARD_PLUGIN_PATH") : NULL;
    sy_status status = SY_OK;
    if (list == NULL || strnlen(list, PLUGIN_PATH_BYTES) == PLUGIN_PATH_BYTES) {
        return SY_OK;
    }
    while (status == SY_OK && *list != '\0') {
        size_t n = strcspn(list, ":");
        status = add_directory(registry, list, n, "SWITCHYARD_PLUGIN_PATH", true, error);
        list += n + (list[n] == ':');
    }
    return status;
}

static sy_status add_from_configuration(sy_registry *registry, const sy_registry_options *options,
                                        sy_error *error) {
    uint32_t n = 0;
    sy_status status = SY_OK;
    const sy_conf_directory *directories = sy_conf_directories(registry->conf, &n);
    bool has_own = false;
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        char origin[300];
        snprintf(origin, sizeof(origin), "%.280s:%u", directories[i].source.file,
                 directories[i].source.line);
        bool is_extra = directories[i].level == SY_CONF_APP;
        has_own = has_own || !is_extra;
        status = add_directory(registry, directories[i].path, strlen(directories[i].path), origin,
                               is_extra, error);
    }
    if (status == SY_OK && !has_own) {
        const char *path =
            options->default_directory != NULL ? options->default_directory : SY_PLUGIN_DIRECTORY;
        status = add_directory(registry, path, strlen(path), "default", false, error);
    }
    return status;
}

static sy_status scan(sy_registry *registry, const sy_registry_options *options, sy_error *error) {
    sy_status (*const steps[])(sy_registry *, const sy_registry_options *, sy_error *) = {
        add_from_flags, add_from_environment, add_from_configuration};
    sy_status status = SY_OK;
    for (size_t i = 0; status == SY_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        status = steps[i](registry, options, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < registry->n_directories; i++) {
        sy_registry_directory *directory = &registry->directories[i];
        if (directory->reason[0] == '\0') {
            status = sy__scan_directory(registry, directory, error);
        }
        if (directory->reason[0] != '\0' || directory->n_left_out > 0) {
            sy_log_write(sy_runtime_log(registry->runtime), SY_SEVERITY_INFO, "registry.directory",
                         "path=%s origin=%s left_out=%u reason=%s", directory->path,
                         directory->origin, directory->n_left_out, directory->reason);
        }
    }
    return status;
}

sy_status sy_registry_open(sy_runtime *runtime, const sy_registry_options *options,
                           sy_registry **out_registry, sy_error *error) {
    sy_registry_options defaults;
    sy_registry_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    const sy_allocator *allocator = sy_runtime_allocator(runtime);
    sy_registry *registry = SY__NEW(allocator, sy_registry);
    if (registry == NULL) {
        return sy__no_memory(error, sizeof(*registry), "the registry");
    }
    registry->allocator = allocator;
    registry->runtime = runtime;
    registry->conf = options->conf;
    sy__arena_init(&registry->arena, allocator, 16384);
    sy_status status = SY_OK;
    if (registry->conf == NULL) {
        sy_conf_options none;
        sy_conf_options_default(&none);
        none.allocator = allocator;
        status = sy_conf_create(&none, &registry->own_conf, error);
        registry->conf = registry->own_conf;
    }
    if (status == SY_OK) {
        registry->trust = sy_conf_trust_settings(registry->conf);
        status = scan(registry, options, error);
    }
    if (status != SY_OK) {
        sy_registry_close(registry);
        return status;
    }
    *out_registry = registry;
    return SY_OK;
}

uint32_t sy_registry_close(sy_registry *registry) {
    uint32_t n_left = 0;
    if (registry == NULL) {
        return 0;
    }
    for (uint32_t i = registry->n_candidates; i-- > 0;) {
        /* The list shows the public part, which each sy__candidate begins with. */
        sy__candidate *candidate = (sy__candidate *)(uintptr_t)registry->candidates[i];
        n_left += !sy__candidate_close(registry, candidate);
        sy__manifest_deinit(&candidate->manifest);
    }
    sy_conf_destroy(registry->own_conf);
    sy__arena_deinit(&registry->arena);
    SY__DELETE(registry->allocator, registry);
    return n_left;
}

const sy_candidate *const *sy_registry_candidates(const sy_registry *registry, uint32_t *out_n) {
    *out_n = registry->n_candidates;
    return registry->candidates;
}

const sy_registry_directory *sy_registry_directories(const sy_registry *registry, uint32_t *out_n) {
    *out_n = registry->n_directories;
    return registry->directories;
}
