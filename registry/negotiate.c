/* SPDX-License-Identifier: Apache-2.0 */
/* Talks to loaded code for the first time: entry, table, devices. Nothing it answers is believed
 * before it was checked. */
#include "registry_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define OLDEST_MINOR 9u /* of major 0; earlier drafts were never released */
#define EXTENSIONS_MAX 64u
#define NAME_BYTES 64u

/* Size of the table in the oldest minor that is spoken: the frozen prefix. */
#define TABLE_LEAST_BYTES (offsetof(sy_plugin, state_destroy) + sizeof(void (*)(void)))

/* The plugin's own words, or ours when it gave none. */
static void set_reason(const sy__candidate *candidate, sy_error *error, sy_status status,
                       const char *what) {
    const char *said = sy_report_text(candidate->host);
    sy_error_set(error, status, "%s%s%s", what, said[0] != '\0' ? ": " : "", said);
}

static bool is_abi_spoken(uint32_t abi, sy_candidate_state *out_state, sy_error *error) {
    if (abi >> 16 != SY_ABI_MAJOR || (abi & 0xffff) < OLDEST_MINOR || abi > SY_ABI_VERSION) {
        bool is_newer = abi > SY_ABI_VERSION;
        *out_state = is_newer ? SY_CANDIDATE_TOO_NEW : SY_CANDIDATE_TOO_OLD;
        sy_error_set(error, SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION),
                     "Its table is of ABI %u.%u; this runtime speaks %u.%u to %u.%u.", abi >> 16,
                     abi & 0xffff, SY_ABI_MAJOR, OLDEST_MINOR, SY_ABI_MAJOR, SY_ABI_MINOR);
        sy_error_hint(error, is_newer ? "The entry must answer a table of at most the host's ABI."
                                      : "Install a later version of the plugin.");
        return false;
    }
    return true;
}

static bool are_extensions_known(const sy_header *header, sy_error *error) {
    uint32_t n = 0;
    for (const sy_extension *each = header->extensions; each != NULL; each = each->next) {
        if (each->must != 0 || ++n > EXTENSIONS_MAX) {
            sy_error_set(error, SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION),
                         "Its table requires extension 0x%x, which this runtime does not know.",
                         each->id);
            return false;
        }
    }
    return true;
}

static const char *missing_function(const sy_plugin *table) {
    const struct {
        const char *name;
        bool is_there;
    } wanted[] = {{"enumerate", table->enumerate != NULL},
                  {"open", table->open != NULL},
                  {"close", table->close != NULL},
                  {"health", table->health != NULL},
                  {"judge", table->judge != NULL},
                  {"load", table->load != NULL},
                  {"unload", table->unload != NULL},
                  {"buffer_create", table->buffer_create != NULL},
                  {"buffer_destroy", table->buffer_destroy != NULL},
                  {"submit", table->submit != NULL}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!wanted[i].is_there) {
            return wanted[i].name;
        }
    }
    int n_state = (table->state_create != NULL) + (table->state_clone != NULL) +
                  (table->state_truncate != NULL) + (table->state_shift != NULL) +
                  (table->state_save != NULL) + (table->state_load != NULL) +
                  (table->state_destroy != NULL);
    int n_shared =
        (table->state_fork != NULL) + (table->state_need != NULL) + (table->state_reserve != NULL);
    if (n_shared != 0 && (n_shared != 3 || n_state != 7)) {
        return "state_fork, state_need or state_reserve (all or none)";
    }
    if (n_state != 0 && n_state != 7) {
        return "one of the state functions (all or none)";
    }
    bool is_half = (table->adapter_create == NULL) != (table->adapter_destroy == NULL);
    return is_half ? "one of the adapter functions (both or none)" : NULL;
}

static bool has_name(const sy_plugin *table, const char *name, sy_error *error) {
    if (table->name != NULL && strnlen(table->name, NAME_BYTES) < NAME_BYTES &&
        strcmp(table->name, name) == 0) {
        return true;
    }
    sy_error_set(error, SY_INVALID_ARGUMENT,
                 "Its table calls itself \"%.*s\", its manifest \"%s\".", (int)NAME_BYTES,
                 table->name != NULL ? table->name : "", name);
    return false;
}

/* Copies the table as far as it goes; a shorter or longer one is fine, its end reads as zero. */
static bool take_table(sy__candidate *candidate, const sy_plugin *answer,
                       sy_candidate_state *out_state, sy_error *error) {
    *out_state = SY_CANDIDATE_BROKEN;
    if ((uintptr_t)answer % _Alignof(sy_plugin) != 0) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "Its entry answered a misaligned table.");
        return false;
    }
    candidate->public.table_abi = answer->header.abi;
    if (!is_abi_spoken(answer->header.abi, out_state, error)) {
        return false;
    }
    if (answer->header.size < TABLE_LEAST_BYTES) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "Its table has %u bytes; ABI %u.%u has %zu.",
                     answer->header.size, SY_ABI_MAJOR, OLDEST_MINOR, TABLE_LEAST_BYTES);
        return false;
    }
    size_t n_bytes =
        answer->header.size < sizeof(sy_plugin) ? answer->header.size : sizeof(sy_plugin);
    memset(&candidate->table, 0, sizeof(candidate->table));
    memcpy(&candidate->table, answer, n_bytes);
    if (!are_extensions_known(&candidate->table.header, error)) {
        *out_state = SY_CANDIDATE_TOO_NEW;
        return false;
    }
    const char *missing = missing_function(&candidate->table);
    if (missing != NULL) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "Its table lacks %s.", missing);
        return false;
    }
    return has_name(&candidate->table, candidate->public.name, error);
}

static bool meet(sy_registry *registry, sy__candidate *candidate, sy_candidate_state *out_state,
                 sy_error *error) {
    *out_state = SY_CANDIDATE_BROKEN;
    void *symbol = dlsym(candidate->handle, "sy_plugin_entry");
    sy_plugin_entry_function entry = NULL;
    memcpy(&entry, &symbol, sizeof(entry)); /* ISO C has no cast from object to function pointer */
    if (entry == NULL) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "The loader finds no sy_plugin_entry in it.");
        return false;
    }
    if (sy_runtime_attach(registry->runtime, candidate->public.name, &candidate->host, error) !=
        SY_OK) {
        return false;
    }
    sy_report_clear(candidate->host);
    const sy_plugin *answer = entry(SY_ABI_VERSION, candidate->host);
    if (answer == NULL) {
        *out_state = SY_CANDIDATE_UNWILLING;
        set_reason(candidate, error, SY_UNAVAILABLE,
                   sy_report_text(candidate->host)[0] != '\0'
                       ? "It declined"
                       : "It declined without giving a reason (SYP-2)");
        return false;
    }
    return take_table(candidate, answer, out_state, error) &&
           sy__plugin_identify(registry, candidate, error) == SY_OK;
}

static bool is_printable(const char *text, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes && text[i] != '\0'; i++) {
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* A name that begins with a class word promises that class: the configuration relies on it. */
static bool class_fits(const char *name, sy_device_class device_class) {
    static const struct {
        const char *prefix;
        sy_device_class device_class;
    } words[] = {{"cpu-", SY_DEVICE_CPU},
                 {"gpu-", SY_DEVICE_GPU},
                 {"npu-", SY_DEVICE_NPU},
                 {"dsp-", SY_DEVICE_DSP}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(name, words[i].prefix, 4) == 0) {
            return device_class == words[i].device_class;
        }
    }
    return true;
}

static const char *device_problem(const sy__candidate *candidate, uint32_t i_device) {
    const sy_device_info *info = &candidate->public.devices[i_device].info;
    uint32_t alignment = info->alignment_bytes;
    if (info->id[0] == '\0' || !is_printable(info->id, sizeof(info->id))) {
        return "Its id is empty or not plain ASCII.";
    }
    if (info->device_class > SY_DEVICE_OTHER) {
        return "Its device class does not exist.";
    }
    if (!class_fits(candidate->public.name, info->device_class)) {
        return "Its class is not the one that the plugin's name begins with.";
    }
    if (alignment > 4096 || (alignment & (alignment - 1)) != 0) {
        return "Its alignment is no power of two up to 4096.";
    }
    if (info->memory_in >> SY_MEMORY_KIND_COUNT != 0 ||
        info->memory_own >> SY_MEMORY_KIND_COUNT != 0 ||
        (info->memory_in | info->memory_own) == 0) {
        return "It takes no kind of memory, or one that does not exist.";
    }
    for (uint32_t i = 0; i < i_device; i++) {
        if (strcmp(candidate->public.devices[i].info.id, info->id) == 0) {
            return "Another device of the plugin has the same id.";
        }
    }
    return NULL;
}

static bool enumerate(sy_registry *registry, sy__candidate *candidate,
                      sy_candidate_state *out_state, sy_error *error) {
    const sy_plugin *table = &candidate->table;
    uint32_t n = 0;
    *out_state = SY_CANDIDATE_BROKEN;
    sy_report_clear(candidate->host);
    sy_status status = table->enumerate(candidate->host->context, NULL, 0, &n);
    if (status != SY_OK) {
        set_reason(candidate, error, status, "It cannot enumerate its devices");
        return false;
    }
    if (n == 0) {
        *out_state = SY_CANDIDATE_NO_DEVICE;
        set_reason(candidate, error, SY_NOT_FOUND, "It finds no device here");
        return false;
    }
    n = n < SY_LIMIT_DEVICES_PER_PLUGIN ? n : SY_LIMIT_DEVICES_PER_PLUGIN;
    candidate->public.devices =
        sy__arena_alloc(&registry->arena, n, sizeof(*candidate->public.devices));
    if (candidate->public.devices == NULL) {
        sy__no_memory(error, n * sizeof(*candidate->public.devices), "devices of a plugin");
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        candidate->public.devices[i].info.header = (sy_header)SY_HEADER_INIT(sy_device_info);
    }
    uint32_t n_told = n;
    status = table->enumerate(candidate->host->context, &candidate->public.devices[0].info,
                              sizeof(candidate->public.devices[0]), &n_told);
    if (status != SY_OK || n_told < n) {
        set_reason(candidate, error, SY_INTERNAL, "It counts its devices differently each time");
        return false;
    }
    candidate->public.n_devices = n;
    return true;
}

static void terminate_texts(sy_device_info *info) {
    info->header = (sy_header)SY_HEADER_INIT(sy_device_info);
    info->id[sizeof(info->id) - 1] = '\0';
    info->soc[sizeof(info->soc) - 1] = '\0';
    info->driver[sizeof(info->driver) - 1] = '\0';
    info->firmware[sizeof(info->firmware) - 1] = '\0';
}

static sy_status open_device(sy_registry *registry, sy__candidate *candidate, uint32_t i_device,
                             sy_error *error) {
    sy_candidate_device *entry = &candidate->public.devices[i_device];
    const char *options = sy_conf_delegate_options(registry->conf, candidate->public.name);
    sy_device *device = NULL;
    terminate_texts(&entry->info);
    const char *problem = device_problem(candidate, i_device);
    if (problem != NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "%s", problem);
    }
    sy_report_clear(candidate->host);
    sy_status status = candidate->table.open(candidate->host->context, i_device, options, &device);
    if (status != SY_OK || device == NULL) {
        set_reason(candidate, error, status != SY_OK ? status : SY_INTERNAL, "It does not open");
        return status != SY_OK ? status : SY_INTERNAL;
    }
    sy_delegate delegate = {.name = candidate->public.name,
                            .options = options,
                            .plugin = &candidate->table,
                            .context = candidate->host->context,
                            .device = device,
                            .info = entry->info,
                            .handle = &entry->device};
    status = sy_runtime_add(registry->runtime, &delegate, error);
    if (status != SY_OK) {
        candidate->table.close(device);
        return status;
    }
    entry->device = device;
    return SY_OK;
}

void sy__plugin_negotiate(sy_registry *registry, sy__candidate *candidate) {
    sy_candidate_state state = SY_CANDIDATE_READY;
    sy_error why;
    if (!meet(registry, candidate, &state, &why) || !enumerate(registry, candidate, &state, &why)) {
        sy__candidate_refuse(candidate, state, &why);
        return;
    }
    uint32_t n_open = 0;
    bool is_declined = true; /* each stays closed until an option of the INI asks for it */
    for (uint32_t i = 0; i < candidate->public.n_devices; i++) {
        sy_status status = open_device(registry, candidate, i, &why);
        if (status == SY_OK) {
            n_open++;
        } else {
            is_declined = is_declined && SY_STATUS_CLASS(status) == SY_FAILED_PRECONDITION;
            sy_error_format(&why, candidate->public.devices[i].reason,
                            sizeof(candidate->public.devices[i].reason));
        }
    }
    if (n_open == 0) {
        sy_error_set(&why, SY_UNAVAILABLE, "None of its %u devices can be used; the first: %.300s",
                     candidate->public.n_devices, candidate->public.devices[0].reason);
        sy__candidate_refuse(candidate, is_declined ? SY_CANDIDATE_NO_DEVICE : SY_CANDIDATE_BROKEN,
                             &why);
    }
}
