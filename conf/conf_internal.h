/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of conf/ share: the settings in force and the object built from them. */
#ifndef SY_CONF_INTERNAL_H
#define SY_CONF_INTERNAL_H

#include "base/memory.h"
#include "switchyard/conf.h"

#include <stdbool.h>

/* One key in force. A forbid of two layers is two settings; every other key is one. */
typedef struct sy__setting {
    const sy_ini_rule *rule;
    const char *section, *key, *value;
    sy_conf_level level;
    uint32_t i_layer;
    sy_source source;
} sy__setting;

typedef struct sy__conf_options_text {
    const char *name;    /* of the delegate */
    const char *options; /* "key=value\n..." */
    sy_source source;    /* of the first key */
} sy__conf_options_text;

struct sy_conf {
    const sy_allocator *allocator;
    sy__arena arena; /* every string and list below but the settings */
    sy__setting *settings;
    size_t n_settings, settings_capacity;
    sy_policy policy;
    sy_conf_runtime runtime;
    sy_conf_cache cache;
    sy_conf_trust trust;
    sy_conf_failover failover;
    sy_conf_directory *directories;
    uint32_t n_directories;
    sy__conf_options_text *delegates;
    uint32_t n_delegates;
};

/* Takes the entries of one checked layer into the settings; refuses what widens. */
sy_status sy__conf_merge(sy_conf *conf, const sy_ini *ini, uint32_t i_layer,
                         const sy_conf_options *options, sy_error *error);

/* Looks for rules that contradict each other across layers once all are merged. */
sy_status sy__conf_check_rules(const sy_conf *conf, const sy_conf_options *options,
                               sy_error *error);

/* Builds policy, trust, runtime, directories and delegate options from the settings. */
sy_status sy__conf_build(sy_conf *conf, sy_error *error);
sy_status sy__conf_build_policy(sy_conf *conf, sy_error *error);

/* Setting by section and key, NULL when no layer has it. */
const sy__setting *sy__conf_find(const sy_conf *conf, const char *section, const char *key);

/* Hands a problem to the caller's callback and keeps the first one. */
void sy__conf_problem(const sy_conf_options *options, const sy_error *found, sy_status *inout_first,
                      sy_error *error);

#endif
