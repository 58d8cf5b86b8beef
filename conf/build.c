/* SPDX-License-Identifier: Apache-2.0 */
/* Turns the settings in force into the structs that the rest of the house reads. */
#include "conf_internal.h"

#include "base/text.h"
#include "switchyard/types.h"

#include <string.h>

static const char *value_or_default(const sy_conf *conf, const char *section, const char *key) {
    return sy_conf_value(conf, section, key, NULL);
}

static int32_t choice(const sy_conf *conf, const char *section, const char *key) {
    const sy_ini_rule *rule = sy_ini_rule_find(sy_conf_schema(), section, key);
    int32_t i = sy_ini_choice(rule->choices, value_or_default(conf, section, key));
    return i < 0 ? 0 : i;
}

static uint32_t whole(const sy_conf *conf, const char *section, const char *key) {
    const sy_ini_rule *rule = sy_ini_rule_find(sy_conf_schema(), section, key);
    return (uint32_t)sy_ini_u64(rule, value_or_default(conf, section, key));
}

static float number(const sy_conf *conf, const char *section, const char *key) {
    const sy_ini_rule *rule = sy_ini_rule_find(sy_conf_schema(), section, key);
    return (float)sy_ini_number(rule, value_or_default(conf, section, key));
}

/* Splits a list into strings of the arena. */
static sy_status split(sy_conf *conf, const char *list, const char ***out_items, uint32_t *out_n,
                       sy_error *error) {
    uint32_t n_items = 0, n_written = 0;
    size_t n = 0;
    const char *cursor = list;
    while (sy_ini_item(&cursor, &n) != NULL) {
        n_items++;
    }
    const char **items = sy__arena_alloc(&conf->arena, n_items, sizeof(*items));
    if (items == NULL) {
        return sy__no_memory(error, n_items * sizeof(*items), "a list of the configuration");
    }
    cursor = list;
    for (const char *item = sy_ini_item(&cursor, &n); item != NULL;
         item = sy_ini_item(&cursor, &n)) {
        items[n_written] = sy__arena_string(&conf->arena, item, n);
        if (items[n_written++] == NULL) {
            return sy__no_memory(error, n, "a list of the configuration");
        }
    }
    *out_items = items;
    *out_n = n_items;
    return SY_OK;
}

static sy_status build_runtime(sy_conf *conf, sy_error *error) {
    static const sy_severity levels[] = {SY_SEVERITY_DEBUG, SY_SEVERITY_INFO, SY_SEVERITY_WARNING,
                                         SY_SEVERITY_ERROR};
    conf->runtime.n_threads = whole(conf, "runtime", "threads");
    conf->runtime.affinity = value_or_default(conf, "runtime", "affinity");
    conf->runtime.spin_us = (uint32_t)number(conf, "runtime", "spin_us");
    conf->runtime.log_level = levels[choice(conf, "runtime", "log_level")];
    conf->runtime.profile = choice(conf, "runtime", "profile") == 1;
    conf->runtime.kv_type = sy_type_find(value_or_default(conf, "runtime", "kv_type"));
    if (conf->runtime.kv_type == SY_TYPE_INVALID) {
        return sy_error_set(error, SY_INTERNAL, "A kv_type of the schema is no element type.");
    }
    return SY_OK;
}

static sy_status build_cache(sy_conf *conf, sy_error *error) {
    (void)error;
    const sy_ini_rule *limit = sy_ini_rule_find(sy_conf_schema(), "cache", "limit_mib");
    conf->cache.enabled = choice(conf, "cache", "enabled") == 0;
    conf->cache.directory = value_or_default(conf, "cache", "directory");
    conf->cache.limit_bytes = sy_ini_u64(limit, value_or_default(conf, "cache", "limit_mib")) << 20;
    return SY_OK;
}

static sy_status build_failover(sy_conf *conf, sy_error *error) {
    (void)error;
    const uint32_t every[] = {0, whole(conf, "failover", "checkpoint_tokens"), 1};
    static const sy_guard guards[] = {SY_GUARD_OFF, SY_GUARD_OUTPUTS, SY_GUARD_CROSSING};
    conf->failover.engine = (sy_failover_options){
        .is_off = choice(conf, "failover", "mode") == 1,
        .copy_every_tokens = every[choice(conf, "failover", "rows")],
        .keeps_shadow = choice(conf, "failover", "shadow") == 1,
        .no_return = choice(conf, "failover", "return") == 1,
        .trial_tolerance = number(conf, "failover", "trial_tolerance_pct") / 100.0f,
        .watch = {.hang_multiple = number(conf, "failover", "hang_multiple"),
                  .hang_floor_ms = whole(conf, "failover", "hang_floor_ms"),
                  .guard = guards[choice(conf, "failover", "guard")],
                  .guard_limit = number(conf, "failover", "guard_limit")}};
    conf->failover.quarantine =
        (sy_quarantine_options){.backoff_ms = whole(conf, "failover", "backoff_ms"),
                                .backoff_most_ms = whole(conf, "failover", "backoff_most_ms"),
                                .n_failures_most = whole(conf, "failover", "failures_most"),
                                .window_s = whole(conf, "failover", "window_s"),
                                .n_probation_steps = whole(conf, "failover", "probation_steps")};
    return SY_OK;
}

static sy_status build_trust(sy_conf *conf, sy_error *error) {
    conf->trust.root_only = choice(conf, "trust", "owner") == 1;
    conf->trust.require_sha256 = choice(conf, "trust", "hashes") == 1;
    conf->trust.extra_directories = choice(conf, "trust", "extra_directories") == 0;
    const char **allowed = NULL;
    sy_status status = split(conf, value_or_default(conf, "trust", "plugins"), &allowed,
                             &conf->trust.n_allowed, error);
    conf->trust.allowed = allowed;
    return status;
}

/* plugin_directories first, then the named lists in the order in which they were first set. */
static sy_status build_directories(sy_conf *conf, sy_error *error) {
    size_t capacity = 0;
    for (size_t i = 0; i < conf->n_settings; i++) {
        capacity += conf->settings[i].rule->type == SY_INI_PATHS ? 100 : 0;
    }
    if (capacity == 0) {
        return SY_OK;
    }
    conf->directories = sy__arena_alloc(&conf->arena, capacity, sizeof(*conf->directories));
    if (conf->directories == NULL) {
        return sy__no_memory(error, capacity * sizeof(*conf->directories), "directories");
    }
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < conf->n_settings; i++) {
            const sy__setting *setting = &conf->settings[i];
            bool is_first = strchr(setting->key, '.') == NULL;
            if (setting->rule->type != SY_INI_PATHS || is_first != (pass == 0)) {
                continue;
            }
            const char **paths = NULL;
            uint32_t n_paths = 0;
            sy_status status = split(conf, setting->value, &paths, &n_paths, error);
            for (uint32_t j = 0; status == SY_OK && j < n_paths; j++) {
                conf->directories[conf->n_directories++] =
                    (sy_conf_directory){paths[j], setting->level, setting->source};
            }
            if (status != SY_OK) {
                return status;
            }
        }
    }
    return SY_OK;
}

static sy_status join_options(sy_conf *conf, const char *section, const char **out_text,
                              sy_error *error) {
    sy__text text;
    sy__text_init(&text, conf->allocator, 0);
    for (size_t i = 0; i < conf->n_settings; i++) {
        if (strcmp(conf->settings[i].section, section) == 0) {
            sy__text_printf(&text, "%s=%s\n", conf->settings[i].key, conf->settings[i].value);
        }
    }
    sy_status status = text.status;
    *out_text = status == SY_OK ? sy__arena_string(&conf->arena, text.bytes, text.n_bytes) : NULL;
    if (*out_text == NULL) {
        status = sy__no_memory(error, text.n_bytes, "options of a delegate");
    }
    sy__text_deinit(&text);
    return status;
}

static sy_status build_delegates(sy_conf *conf, sy_error *error) {
    static const char prefix[] = "delegate ";
    conf->delegates = sy__arena_alloc(&conf->arena, conf->n_settings, sizeof(*conf->delegates));
    if (conf->delegates == NULL) {
        return sy__no_memory(error, conf->n_settings * sizeof(*conf->delegates), "options");
    }
    for (size_t i = 0; i < conf->n_settings; i++) {
        const char *section = conf->settings[i].section;
        if (strncmp(section, prefix, sizeof(prefix) - 1) != 0 ||
            sy_conf_delegate_options(conf, section + sizeof(prefix) - 1) != NULL) {
            continue;
        }
        sy__conf_options_text *options = &conf->delegates[conf->n_delegates];
        options->name = section + sizeof(prefix) - 1;
        options->source = conf->settings[i].source;
        sy_status status = join_options(conf, section, &options->options, error);
        if (status != SY_OK) {
            return status;
        }
        conf->n_delegates++;
    }
    return SY_OK;
}

sy_status sy__conf_build(sy_conf *conf, sy_error *error) {
    sy_status (*const steps[])(sy_conf *, sy_error *) = {
        build_runtime,     build_cache,     build_failover,       build_trust,
        build_directories, build_delegates, sy__conf_build_policy};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        sy_status status = steps[i](conf, error);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}
