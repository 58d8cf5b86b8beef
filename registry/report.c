/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry knows, as a table for people or as JSON for programs. */
#include "registry_internal.h"

#include "base/text.h"
#include "switchyard/types.h"
#include "switchyard/version.h"

#include <stdio.h>
#include <string.h>

static const char *class_name(sy_device_class device_class) {
    static const char *const names[] = {"cpu", "gpu", "npu", "dsp", "other"};
    return device_class <= SY_DEVICE_OTHER ? names[device_class] : "other";
}

static void abi_text(uint32_t abi, char out_text[16]) {
    snprintf(out_text, 16, "%u.%u", (unsigned)(abi >> 16 & 0xffff), (unsigned)(abi & 0xffff));
}

static uint32_t count_bits(uint64_t set) {
    return (uint32_t)__builtin_popcountll(set);
}

/* Operator x type pairs that a device takes and that were asked. */
static void sum_coverage(const sy_candidate_device *device, uint32_t *out_taken,
                         uint32_t *out_asked) {
    *out_taken = *out_asked = 0;
    for (uint32_t i = 0; i < device->n_coverage; i++) {
        const sy_operator_coverage *row = &device->coverage[i];
        *out_taken += count_bits(row->types_native) + count_bits(row->types_emulated);
        *out_asked += count_bits(row->types_asked);
    }
}

static void text_device(sy__text *text, const sy_candidate_device *device) {
    const sy_device_info *info = &device->info;
    sy__text_printf(text, "    %s (%s)", info->id[0] != '\0' ? info->id : "?",
                    class_name(info->device_class));
    if (info->driver[0] != '\0') {
        sy__text_printf(text, ", driver %s", info->driver);
    }
    if (info->memory_total_bytes != 0) {
        sy__text_printf(text, ", %.1f GiB", (double)info->memory_total_bytes / (1u << 30));
    }
    if (device->n_coverage > 0) {
        uint32_t n_taken = 0, n_asked = 0;
        sum_coverage(device, &n_taken, &n_asked);
        sy__text_printf(text, ", runs %u of %u operator x type pairs", n_taken, n_asked);
    }
    if (device->linear_us > 0) {
        sy__text_printf(text, ", Linear %.0f us (%.1f G multiply-adds/s)", device->linear_us,
                        device->linear_gflops);
    }
    sy__text_puts(text, "\n");
    if (device->reason[0] != '\0') {
        sy__text_printf(text, "      %s: %s\n", device->device == NULL ? "not used" : "note",
                        device->reason);
    }
}

static void text_candidate(sy__text *text, const sy_candidate *candidate) {
    sy__text_printf(text, "%-20s %-13s %-10s %s\n", candidate->name,
                    sy_candidate_state_name(candidate->state),
                    candidate->version[0] != '\0' ? candidate->version : "-", candidate->path);
    if (candidate->reason[0] != '\0') {
        sy__text_printf(text, "    %s\n", candidate->reason);
    }
    for (uint32_t i = 0; i < candidate->n_devices; i++) {
        text_device(text, &candidate->devices[i]);
    }
}

static void pair_string(sy__json *json, const char *key, const char *value) {
    sy__json_key(json, key);
    sy__json_string(json, value[0] != '\0' ? value : NULL);
}

/* Next [delegate NAME] that no plugin answers to, from index *inout_i on; NULL at the end. */
static const char *next_unknown(const sy_registry *registry, uint32_t *inout_i,
                                sy_source *out_source) {
    for (;;) {
        const char *name = sy_conf_delegate_name(registry->conf, (*inout_i)++, out_source);
        bool is_known = name == NULL;
        for (uint32_t i = 0; !is_known && i < registry->n_candidates; i++) {
            is_known = strcmp(registry->candidates[i]->name, name) == 0;
        }
        if (name == NULL || !is_known) {
            return name;
        }
    }
}

static void text_notes(sy__text *text, const sy_registry *registry) {
    sy_source source;
    uint32_t i = 0;
    for (const char *name = next_unknown(registry, &i, &source); name != NULL;
         name = next_unknown(registry, &i, &source)) {
        sy__text_printf(text, "\nNote: %s:%u sets options of %s, and no plugin has that name.\n",
                        source.file, source.line, name);
    }
}

static void json_notes(sy__json *json, const sy_registry *registry) {
    sy_source source;
    uint32_t i = 0;
    sy__json_key(json, "unknown_delegates");
    sy__json_begin_array(json);
    for (const char *name = next_unknown(registry, &i, &source); name != NULL;
         name = next_unknown(registry, &i, &source)) {
        sy__json_begin_object(json);
        pair_string(json, "name", name);
        pair_string(json, "file", source.file);
        sy__json_key(json, "line");
        sy__json_u64(json, source.line);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void write_text(const sy_registry *registry, sy__text *text) {
    sy__text_printf(text, "%-20s %-13s %-10s %s\n", "DELEGATE", "STATE", "VERSION", "FILE");
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        text_candidate(text, registry->candidates[i]);
    }
    sy__text_printf(text, "%-20s %-13s %-10s %s\n", "reference", "ready", SY_VERSION_STRING,
                    "built in");
    sy__text_puts(text, "\nSearched:\n");
    for (uint32_t i = 0; i < registry->n_directories; i++) {
        const sy_registry_directory *directory = &registry->directories[i];
        sy__text_printf(text, "  %s (%s)", directory->path, directory->origin);
        if (!directory->is_searched) {
            sy__text_printf(text, " not searched: %s", directory->reason);
        } else if (directory->n_left_out > 0) {
            sy__text_printf(text, " %u entries past the limit of %u plugins were left out",
                            directory->n_left_out, SY_LIMIT_PLUGINS);
        }
        sy__text_puts(text, "\n");
    }
    text_notes(text, registry);
}

static void json_types(sy__json *json, const char *key, uint64_t set) {
    uint32_t n = 0;
    const sy_element_type *types = sy_registry_coverage_types(&n);
    sy__json_key(json, key);
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < n; i++) {
        if ((set >> i & 1) != 0) {
            sy__json_string(json, sy_type_get(types[i])->name);
        }
    }
    sy__json_end_array(json);
}

static void json_coverage(sy__json *json, const sy_candidate_device *device) {
    sy__json_key(json, "operators");
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < device->n_coverage; i++) {
        const sy_operator_coverage *row = &device->coverage[i];
        sy__json_begin_object(json);
        pair_string(json, "domain", row->domain);
        pair_string(json, "operator", row->op);
        json_types(json, "native", row->types_native);
        json_types(json, "emulated", row->types_emulated);
        json_types(json, "no", row->types_asked & ~row->types_native & ~row->types_emulated);
        pair_string(json, "why_not", row->why_not);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void json_device(sy__json *json, const sy_candidate_device *device) {
    const sy_device_info *info = &device->info;
    sy__json_begin_object(json);
    pair_string(json, "id", info->id);
    pair_string(json, "class", class_name(info->device_class));
    pair_string(json, "soc", info->soc);
    pair_string(json, "driver", info->driver);
    pair_string(json, "firmware", info->firmware);
    sy__json_key(json, "memory_total_bytes");
    sy__json_u64(json, info->memory_total_bytes);
    sy__json_key(json, "memory_free_bytes");
    sy__json_u64(json, info->memory_free_bytes);
    sy__json_key(json, "usable");
    sy__json_bool(json, device->device != NULL);
    pair_string(json, "reason", device->reason);
    if (device->n_coverage > 0) {
        json_coverage(json, device);
    }
    if (device->linear_us > 0) {
        sy__json_key(json, "measured");
        sy__json_begin_object(json);
        sy__json_key(json, "linear_us");
        sy__json_f64(json, device->linear_us);
        sy__json_key(json, "linear_gflops");
        sy__json_f64(json, device->linear_gflops);
        sy__json_end_object(json);
    }
    sy__json_end_object(json);
}

static void json_candidate(sy__json *json, const sy_candidate *candidate) {
    char abi[16];
    abi_text(candidate->table_abi, abi);
    sy__json_begin_object(json);
    pair_string(json, "name", candidate->name);
    pair_string(json, "state", sy_candidate_state_name(candidate->state));
    pair_string(json, "reason", candidate->reason);
    pair_string(json, "path", candidate->path);
    pair_string(json, "vendor", candidate->vendor);
    pair_string(json, "version", candidate->version);
    pair_string(json, "description", candidate->description);
    pair_string(json, "abi_min", candidate->abi);
    pair_string(json, "abi", candidate->table_abi != 0 ? abi : "");
    pair_string(json, "sha256", candidate->sha256);
    sy__json_key(json, "loaded");
    sy__json_bool(json, candidate->is_loaded != 0);
    sy__json_key(json, "devices");
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < candidate->n_devices; i++) {
        json_device(json, &candidate->devices[i]);
    }
    sy__json_end_array(json);
    sy__json_end_object(json);
}

static void write_json(const sy_registry *registry, sy__text *text) {
    sy__json json;
    char abi[16];
    abi_text(SY_ABI_VERSION, abi);
    sy__json_init(&json, text, true);
    sy__json_begin_object(&json);
    pair_string(&json, "version", sy_version());
    pair_string(&json, "abi", abi);
    sy__json_key(&json, "delegates");
    sy__json_begin_array(&json);
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        json_candidate(&json, registry->candidates[i]);
    }
    sy__json_end_array(&json);
    sy__json_key(&json, "directories");
    sy__json_begin_array(&json);
    for (uint32_t i = 0; i < registry->n_directories; i++) {
        const sy_registry_directory *directory = &registry->directories[i];
        sy__json_begin_object(&json);
        pair_string(&json, "path", directory->path);
        pair_string(&json, "origin", directory->origin);
        sy__json_key(&json, "searched");
        sy__json_bool(&json, directory->is_searched != 0);
        sy__json_key(&json, "left_out");
        sy__json_u64(&json, directory->n_left_out);
        pair_string(&json, "reason", directory->reason);
        sy__json_end_object(&json);
    }
    sy__json_end_array(&json);
    json_notes(&json, registry);
    sy__json_end_object(&json);
    sy__text_puts(text, "\n");
}

sy_status sy_registry_report(const sy_registry *registry, sy_registry_format format,
                             char **out_text, sy_error *error) {
    sy__text text;
    sy__text_init(&text, registry->allocator, 0);
    if (format == SY_REGISTRY_JSON) {
        write_json(registry, &text);
    } else {
        write_text(registry, &text);
    }
    sy_status status = sy__text_take(&text, out_text, error);
    sy__text_deinit(&text);
    return status;
}
