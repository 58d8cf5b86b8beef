/* SPDX-License-Identifier: Apache-2.0 */
/* Lays one layer over the earlier ones. What would widen an earlier value is refused, and the text
 * names both lines. */
#include "conf_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ITEM_BYTES 200u /* no item is longer than a line */

const sy__setting *sy__conf_find(const sy_conf *conf, const char *section, const char *key) {
    for (size_t i = 0; i < conf->n_settings; i++) {
        if (strcmp(conf->settings[i].section, section) == 0 &&
            strcmp(conf->settings[i].key, key) == 0) {
            return &conf->settings[i];
        }
    }
    return NULL;
}

void sy__conf_problem(const sy_conf_options *options, const sy_error *found, sy_status *inout_first,
                      sy_error *error) {
    if (options->problem != NULL) {
        options->problem(options->user, found);
    }
    if (*inout_first == SY_OK) {
        *inout_first = found->status;
        if (error != NULL) {
            *error = *found;
        }
    }
}

SY_PRINTF(5, 6)
static sy_status widens(const sy__setting *older, const sy__setting *newer, sy_error *error,
                        const char *hint, const char *format, ...) {
    char what[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    sy_error_set(error, SY_PERMISSION_DENIED, "[%s] %s = %s %s: %s:%u says \"%s\".", newer->section,
                 newer->key, newer->value, what, older->source.file, older->source.line,
                 older->value);
    sy_error_hint(error, "%s", hint);
    sy_error_at(error, newer->source.file, newer->source.line);
    return SY_PERMISSION_DENIED;
}

static void copy_item(const char *item, size_t n_bytes, char out_item[ITEM_BYTES]) {
    n_bytes = n_bytes < ITEM_BYTES ? n_bytes : ITEM_BYTES - 1;
    memcpy(out_item, item, n_bytes);
    out_item[n_bytes] = '\0';
}

/* Index of the first item of `list` that covers `item`, from index `i_first` on; -1 for none. */
static int32_t find_cover(const char *list, const char *item, bool is_path, int32_t i_first) {
    const char *cursor = list;
    size_t n = 0;
    int32_t i = 0;
    for (const char *other = sy_ini_item(&cursor, &n); other != NULL;
         other = sy_ini_item(&cursor, &n), i++) {
        char wide[ITEM_BYTES];
        copy_item(other, n, wide);
        if (i >= i_first && (is_path ? strcmp(wide, item) == 0 : sy_ini_covers(wide, item))) {
            return i;
        }
    }
    return -1;
}

/* A list may lose items and name more special ones; an order keeps its direction. */
static sy_status check_fewer(const sy__setting *older, const sy__setting *newer, sy_error *error) {
    bool is_path = newer->rule->type == SY_INI_PATHS;
    bool has_order = strcmp(newer->section, "trust") != 0;
    const char *cursor = newer->value;
    size_t n = 0;
    int32_t i_last = 0;
    for (const char *next = sy_ini_item(&cursor, &n); next != NULL;
         next = sy_ini_item(&cursor, &n)) {
        char item[ITEM_BYTES];
        copy_item(next, n, item);
        if (find_cover(older->value, item, is_path, 0) < 0) {
            return widens(older, newer, error,
                          "A later layer may drop items and name more special "
                          "ones (gpu-vulkan where gpu stands), but add none.",
                          "adds \"%.100s\"", item);
        }
        int32_t i = find_cover(older->value, item, is_path, has_order ? i_last : 0);
        if (i < 0) {
            return widens(older, newer, error,
                          "A later layer may drop items but not change their "
                          "order; pin nodes instead.",
                          "moves \"%.100s\" back", item);
        }
        i_last = has_order ? i : 0;
    }
    return SY_OK;
}

static sy_status check_number(const sy__setting *older, const sy__setting *newer, sy_error *error) {
    double before = sy_ini_number(older->rule, older->value);
    double after = sy_ini_number(newer->rule, newer->value);
    bool is_count = newer->rule->type == SY_INI_COUNT; /* there 0 means no limit */
    if (newer->rule->narrow == SY_INI_NOT_BELOW) {
        return after >= before ? SY_OK
                               : widens(older, newer, error, "A later layer may only raise it.",
                                        "lowers the requirement");
    }
    bool is_lower = is_count ? before == 0 || (after != 0 && after <= before) : after <= before;
    return is_lower ? SY_OK
                    : widens(older, newer, error, "A later layer may only lower it.",
                             "raises the limit");
}

static sy_status check_narrowing(const sy__setting *older, const sy__setting *newer,
                                 sy_error *error) {
    switch (newer->rule->narrow) {
    case SY_INI_FREE:
    case SY_INI_MORE:
        return SY_OK;
    case SY_INI_NOT_ABOVE:
    case SY_INI_NOT_BELOW:
        return check_number(older, newer, error);
    case SY_INI_STRICTER:
        if (sy_ini_choice(newer->rule->choices, newer->value) <
            sy_ini_choice(newer->rule->choices, older->value)) {
            return widens(older, newer, error, "A later layer may only be stricter.",
                          "loosens what holds");
        }
        return SY_OK;
    case SY_INI_FEWER:
        return check_fewer(older, newer, error);
    case SY_INI_KEEP:
        if (strcmp(older->value, newer->value) != 0) {
            return widens(older, newer, error, "A later layer may add options, not change them.",
                          "changes the option");
        }
        return SY_OK;
    }
    return SY_OK;
}

/* Paths may stand under several keys: those of all earlier layers together are the limit. */
static sy_status check_paths(const sy_conf *conf, const sy__setting *newer, sy_error *error) {
    const char *cursor = newer->value;
    size_t n = 0;
    for (const char *next = sy_ini_item(&cursor, &n); next != NULL;
         next = sy_ini_item(&cursor, &n)) {
        char item[ITEM_BYTES];
        copy_item(next, n, item);
        const sy__setting *limit = NULL;
        bool is_known = false;
        for (size_t i = 0; i < conf->n_settings; i++) {
            const sy__setting *older = &conf->settings[i];
            if (older->rule->type == SY_INI_PATHS && older->i_layer != newer->i_layer) {
                limit = older;
                is_known = is_known || find_cover(older->value, item, true, 0) >= 0;
            }
        }
        if (limit != NULL && !is_known) {
            return widens(limit, newer, error,
                          "Give it with --plugins, or name it in the layer "
                          "that sets the directories.",
                          "adds the directory \"%.80s\"", item);
        }
    }
    return SY_OK;
}

static sy_status copy_setting(sy_conf *conf, const sy_ini_entry *entry, sy__setting *out_setting,
                              sy_error *error) {
    const char *const texts[3] = {entry->section, entry->key, entry->value};
    const char **targets[3] = {&out_setting->section, &out_setting->key, &out_setting->value};
    for (size_t i = 0; i < 3; i++) {
        *targets[i] = sy__arena_string(&conf->arena, texts[i], strlen(texts[i]));
        if (*targets[i] == NULL) {
            return sy__no_memory(error, strlen(texts[i]), "a setting");
        }
    }
    return SY_OK;
}

/* Puts a setting in force: beside the earlier ones when it adds, in place of the one it narrows. */
static sy_status put(sy_conf *conf, const sy__setting *newer, sy_error *error) {
    for (size_t i = 0; i < conf->n_settings && newer->rule->narrow != SY_INI_MORE; i++) {
        if (strcmp(conf->settings[i].section, newer->section) == 0 &&
            strcmp(conf->settings[i].key, newer->key) == 0) {
            sy_status status = check_narrowing(&conf->settings[i], newer, error);
            if (status == SY_OK) {
                conf->settings[i] = *newer;
            }
            return status;
        }
    }
    if (!sy__grow_array(conf->allocator, (void **)&conf->settings, &conf->settings_capacity,
                        conf->n_settings + 1, sizeof(*conf->settings))) {
        return sy__no_memory(error, sizeof(*conf->settings), "a setting");
    }
    conf->settings[conf->n_settings++] = *newer;
    return SY_OK;
}

sy_status sy__conf_merge(sy_conf *conf, const sy_ini *ini, uint32_t i_layer,
                         const sy_conf_options *options, sy_error *error) {
    const char *origin = sy_ini_origin(ini);
    const char *file = sy__arena_string(&conf->arena, origin, strlen(origin));
    if (file == NULL) {
        return sy__no_memory(error, strlen(origin), "a file name");
    }
    sy_status first = SY_OK;
    uint32_t n = 0;
    const sy_ini_entry *entries = sy_ini_entries(ini, &n);
    for (uint32_t i = 0; i < n; i++) {
        sy_error found;
        sy__setting newer = {
            .rule = sy_ini_rule_find(sy_conf_schema(), entries[i].section, entries[i].key),
            .level = options->layers[i_layer].level,
            .i_layer = i_layer,
            .source = {file, entries[i].line}};
        sy_status status = copy_setting(conf, &entries[i], &newer, &found);
        if (status == SY_OK && newer.rule->type == SY_INI_PATHS) {
            status = check_paths(conf, &newer, &found);
        }
        if (status == SY_OK) {
            status = put(conf, &newer, &found);
        }
        if (status != SY_OK) {
            sy__conf_problem(options, &found, &first, error);
        }
    }
    return first;
}
