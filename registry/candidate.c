/* SPDX-License-Identifier: Apache-2.0 */
/* Takes one plugin from its files to its devices, or to the reason why not. */
#include "registry_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sy__candidate_refuse(sy__candidate *candidate, sy_candidate_state state, const sy_error *why) {
    candidate->public.state = state;
    sy_error_format(why, candidate->public.reason, sizeof(candidate->public.reason));
}

static const char *join(sy_registry *registry, const char *a, const char *b, const char *c) {
    size_t n_a = strlen(a), n_b = strlen(b), n_c = strlen(c);
    bool has_slash = n_a > 0 && a[n_a - 1] == '/';
    char *text = sy__arena_alloc(&registry->arena, n_a + n_b + n_c + 3, 1);
    if (text != NULL) {
        snprintf(text, n_a + n_b + n_c + 3, "%s%s%s%s%s", a, has_slash ? "" : "/", b,
                 n_c > 0 ? "/" : "", c);
    }
    return text;
}

/* Makes an entry in the list; its strings are never NULL. */
static sy_status add(sy_registry *registry, const char *directory, const char *base_name,
                     const char *file, sy__candidate **out_candidate, sy_error *error) {
    sy__candidate *candidate = sy__arena_alloc(&registry->arena, 1, sizeof(*candidate));
    const char *name = sy__arena_string(&registry->arena, base_name, strlen(base_name));
    const char *path = join(registry, directory, base_name, file);
    if (candidate == NULL || name == NULL || path == NULL) {
        return sy__no_memory(error, sizeof(*candidate), "a plugin");
    }
    candidate->public = (sy_candidate){.name = name,
                                       .path = path,
                                       .vendor = "",
                                       .version = "",
                                       .description = "",
                                       .abi = "",
                                       .sha256 = ""};
    candidate->fd = -1;
    registry->candidates[registry->n_candidates++] = &candidate->public;
    *out_candidate = candidate;
    return SY_OK;
}

sy_status sy__candidate_list(sy_registry *registry, const char *directory, const char *name,
                             sy_candidate_state state, const sy_error *why, sy_error *error) {
    sy__candidate *candidate = NULL;
    sy_status status = add(registry, directory, name, "", &candidate, error);
    if (status == SY_OK) {
        sy__candidate_refuse(candidate, state, why);
    }
    return status;
}

/* An earlier plugin of the same name counts once it is trusted and understood. */
static const sy_candidate *shadow_of(const sy_registry *registry, const sy_candidate *candidate) {
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        const sy_candidate *other = registry->candidates[i];
        if (other == candidate) {
            return NULL;
        }
        if (strcmp(other->name, candidate->name) == 0 && other->state != SY_CANDIDATE_BROKEN &&
            other->state != SY_CANDIDATE_UNTRUSTED && other->state != SY_CANDIDATE_SHADOWED) {
            return other;
        }
    }
    return NULL;
}

static bool is_allowed(const sy_registry *registry, const char *name, sy_error *error) {
    for (uint32_t i = 0; i < registry->trust->n_allowed; i++) {
        if (sy_ini_covers(registry->trust->allowed[i], name)) {
            return true;
        }
    }
    sy_source source;
    sy_conf_value(registry->conf, "trust", "plugins", &source);
    sy_error_set(error, SY_PERMISSION_DENIED, "[trust] plugins at %s:%u does not allow it.",
                 source.file != NULL ? source.file : "default", source.line);
    return false;
}

/* Everything that the manifest can decide without the shared object. */
static bool passes_manifest(sy_registry *registry, sy__candidate *candidate,
                            sy_candidate_state *out_state, sy_error *error) {
    const sy__manifest *manifest = &candidate->manifest;
    const sy_candidate *shadow = shadow_of(registry, &candidate->public);
    *out_state = SY_CANDIDATE_EXCLUDED;
    if (!is_allowed(registry, manifest->name, error) ||
        !sy__manifest_fits_processor(manifest, error)) {
        return false;
    }
    if (shadow != NULL) {
        *out_state = SY_CANDIDATE_SHADOWED;
        sy_error_set(error, SY_ALREADY_EXISTS, "%s comes first.", shadow->path);
        return false;
    }
    if (!sy__manifest_fits_abi(manifest, out_state, error)) {
        return false;
    }
    const char *options = sy_conf_delegate_options(registry->conf, manifest->name);
    *out_state = SY_CANDIDATE_NO_DEVICE;
    if (!sy__manifest_finds_hardware(manifest, options, error)) {
        return false;
    }
    *out_state = SY_CANDIDATE_MISCONFIGURED;
    return sy__manifest_knows_options(manifest, options, error);
}

static sy_status read_manifest(sy_registry *registry, sy__candidate *candidate, int folder_fd,
                               const char *manifest_name, sy_error *error) {
    int fd = -1;
    sy_status status = sy__trust_open_inside(folder_fd, manifest_name, registry->trust->root_only,
                                             false, &fd, error);
    if (status != SY_OK) {
        if (SY_STATUS_CLASS(status) == SY_NOT_FOUND) {
            sy_error_set(error, status, "It has no manifest %s.", manifest_name);
            sy_error_hint(error, "docs/plugin-manifest.md shows what one holds.");
        }
        return status;
    }
    status = sy__manifest_read(registry->allocator, fd, manifest_name, &candidate->manifest, error);
    close(fd);
    return status;
}

static sy_status load_file(sy_registry *registry, sy__candidate *candidate, int folder_fd,
                           const char *file, sy_error *error) {
    int fd = -1;
    sy_status status =
        sy__trust_open_inside(folder_fd, file, registry->trust->root_only, false, &fd, error);
    if (status == SY_OK) {
        status = sy__plugin_load(registry, candidate, fd, error);
    }
    return status;
}

static sy_candidate_state state_of(sy_status status) {
    sy_status status_class = SY_STATUS_CLASS(status);
    return status_class == SY_PERMISSION_DENIED || status_class == SY_UNAUTHENTICATED
               ? SY_CANDIDATE_UNTRUSTED
               : SY_CANDIDATE_BROKEN;
}

static void take_facts(sy__candidate *candidate) {
    const sy__manifest *manifest = &candidate->manifest;
    candidate->public.vendor = manifest->vendor;
    candidate->public.version = manifest->version;
    candidate->public.description = manifest->description;
    candidate->public.abi = manifest->abi_text;
    candidate->public.sha256 = manifest->sha256 != NULL ? manifest->sha256 : "";
}

/* The steps in order; each goes on or refuses. Memory running out is an error of the scan. */
static sy_status take(sy_registry *registry, sy__candidate *candidate, int folder_fd,
                      const char *manifest_name, const char *file) {
    sy_error why;
    sy_candidate_state state = SY_CANDIDATE_BROKEN;
    sy_status status = read_manifest(registry, candidate, folder_fd, manifest_name, &why);
    if (status != SY_OK) {
        sy__candidate_refuse(candidate, state_of(status), &why);
        return status;
    }
    take_facts(candidate);
    if (strcmp(candidate->manifest.name, candidate->public.name) != 0) {
        sy_error_set(&why, SY_INVALID_ARGUMENT, "Its manifest calls it \"%s\", its place \"%s\".",
                     candidate->manifest.name, candidate->public.name);
        sy__candidate_refuse(candidate, state, &why);
        return SY_OK;
    }
    if (!passes_manifest(registry, candidate, &state, &why)) {
        sy__candidate_refuse(candidate, state, &why);
        return SY_OK;
    }
    file = candidate->manifest.file != NULL ? candidate->manifest.file : file;
    status = load_file(registry, candidate, folder_fd, file, &why);
    if (status != SY_OK) {
        sy__candidate_refuse(candidate, state_of(status), &why);
        return status;
    }
    sy__plugin_negotiate(registry, candidate);
    if (candidate->public.state != SY_CANDIDATE_READY) {
        sy__candidate_close(registry, candidate);
    }
    return SY_OK;
}

sy_status sy__candidate_take(sy_registry *registry, const char *directory, int folder_fd,
                             const char *base_name, bool is_flat, sy_error *error) {
    char file[SY_LIMIT_NAME_BYTES + 8], manifest_name[SY_LIMIT_NAME_BYTES + 8] = SY__MANIFEST_NAME;
    sy__candidate *candidate = NULL;
    snprintf(file, sizeof(file), "%s.so", base_name);
    if (is_flat) {
        snprintf(manifest_name, sizeof(manifest_name), "%s.ini", base_name);
    }
    sy_status status = add(registry, directory, base_name, is_flat ? "" : file, &candidate, error);
    if (status != SY_OK) {
        return status;
    }
    status = take(registry, candidate, folder_fd, manifest_name, file);
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        return sy_error_set(error, status, "%.200s: %.150s", candidate->public.path,
                            candidate->public.reason);
    }
    sy_candidate_state state = candidate->public.state;
    bool is_usual = state == SY_CANDIDATE_READY || state == SY_CANDIDATE_NO_DEVICE;
    sy_log_write(sy_runtime_log(registry->runtime),
                 is_usual ? SY_SEVERITY_INFO : SY_SEVERITY_WARNING, "registry.plugin",
                 "name=%s state=%s path=%s reason=%s", candidate->public.name,
                 sy_candidate_state_name(state), candidate->public.path, candidate->public.reason);
    return SY_OK;
}

/* Closes the devices; false when one holds live handles or refuses: its code must then stay. */
static bool close_devices(sy_registry *registry, sy__candidate *candidate) {
    bool is_clean = true;
    for (uint32_t i = 0; i < candidate->public.n_devices; i++) {
        sy_candidate_device *entry = &candidate->public.devices[i];
        if (entry->device == NULL) {
            continue;
        }
        sy_health health;
        memset(&health, 0, sizeof(health));
        health.header = (sy_header)SY_HEADER_INIT(sy_health);
        bool is_idle = candidate->table.health(entry->device, &health) == SY_OK &&
                       health.live_handles == 0 && health.live_jobs == 0;
        sy_runtime_remove(registry->runtime, entry->device);
        is_clean = candidate->table.close(entry->device) == SY_OK && is_idle && is_clean;
        entry->device = NULL;
    }
    sy_runtime_remove_closed(registry->runtime, &candidate->table);
    return is_clean;
}

bool sy__candidate_close(sy_registry *registry, sy__candidate *candidate) {
    bool is_clean = close_devices(registry, candidate);
    if (!is_clean) {
        sy_log_write(sy_runtime_log(registry->runtime), SY_SEVERITY_WARNING,
                     "registry.plugin.left_mapped", "name=%s path=%s", candidate->public.name,
                     candidate->public.path);
        return false; /* it may still call its host services: they stay until the runtime ends */
    }
    if (candidate->host != NULL) {
        sy_runtime_detach(registry->runtime, candidate->host);
        candidate->host = NULL;
    }
    sy__plugin_unload(candidate);
    return true;
}
