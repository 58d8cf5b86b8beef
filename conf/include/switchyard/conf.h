/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: INI layers vendor < OEM < admin < app, read into plain structs. A later layer
 * may narrow what an earlier one set (add a forbid, lower a budget, raise a requirement, drop from
 * the order) and never widen it; preferences such as the planning mode may be replaced. Every key
 * is described once, in the schema that docs/configuration.md is made from.
 */
#ifndef SWITCHYARD_CONF_H
#define SWITCHYARD_CONF_H

#include "switchyard/failover.h"
#include "switchyard/ini.h"
#include "switchyard/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sy_conf_level {
    SY_CONF_VENDOR = 0,
    SY_CONF_OEM = 1,
    SY_CONF_ADMIN = 2,
    SY_CONF_APP = 3
} sy_conf_level;

/* One layer: a file, or text of the caller when text is not NULL. */
typedef struct sy_conf_layer {
    sy_conf_level level;
    const char *path; /* of the file, or the name to show for a text */
    const char *text; /* NULL: read the file */
    size_t n_text_bytes;
    uint32_t is_optional; /* 1: a file that does not exist is skipped */
    uint32_t is_guarded;  /* 1: owner and mode of the file are checked, see sy_ini_open */
} sy_conf_layer;

#define SY_CONF_LAYERS_MAX 16u

/* Start from sy_conf_options_default. */
typedef struct sy_conf_options {
    uint32_t struct_bytes; /* sizeof(sy_conf_options) */
    uint32_t n_layers;
    const sy_conf_layer *layers; /* in rising level; files of one level count as layers in turn */
    const sy_allocator *allocator;
    sy_ini_problem problem; /* gets every problem; NULL: only the first, through error */
    void *user;
} sy_conf_options;

/* Settings of the process that are no policy. */
typedef struct sy_conf_runtime {
    uint32_t n_threads; /* 0: one per core that the process may use */
    uint32_t spin_us;
    const char *affinity; /* as sy_runtime_options has it */
    sy_severity log_level;
    sy_element_type kv_type;
    uint32_t profile; /* 1: for sy_engine_options.profile */
} sy_conf_runtime;

/* Where compiled segments are kept. */
typedef struct sy_conf_cache {
    uint32_t enabled;
    const char *directory; /* NULL: the user's cache */
    uint64_t limit_bytes;
} sy_conf_cache;

/* Settings of [failover]. */
typedef struct sy_conf_failover {
    sy_failover_options engine;       /* for sy_engine_options.failover */
    sy_quarantine_options quarantine; /* for sy_runtime_set_quarantine */
} sy_conf_failover;

/* What a plugin must fulfil before it is loaded. */
typedef struct sy_conf_trust {
    uint32_t root_only;         /* files must belong to root, not to the effective user */
    uint32_t require_sha256;    /* the manifest must give the hash of the file */
    uint32_t extra_directories; /* 1: flags, environment and application may add directories */
    uint32_t n_allowed;
    const char *const *allowed; /* globs over plugin names; none: every name */
} sy_conf_trust;

/* A directory that is searched for plugins; level says who named it. */
typedef struct sy_conf_directory {
    const char *path;
    sy_conf_level level;
    sy_source source;
} sy_conf_directory;

typedef struct sy_conf sy_conf;

/* Fills defaults: no layers.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_conf_options_default(sy_conf_options *out_options);

/* The layers a machine has: /etc/switchyard/{vendor,oem,admin}.ini, all optional and guarded, then
 * the file that SWITCHYARD_CONFIG names, unless the process is privileged. Answers how many.
 * shape: [SY_CONF_LAYERS_MAX]  unit: -  owner: caller; strings are static or the environment's
 * errors: none  thread: any while nobody changes the environment  cost: O(1)  since: 0.1
 * source: docs/configuration.md */
uint32_t sy_conf_layers_default(sy_conf_layer out_layers[SY_CONF_LAYERS_MAX]);

/* Reads all layers. NULL options: the built-in defaults.
 * shape: -  unit: -  owner: caller, sy_conf_destroy
 * errors: as sy_ini_open and sy_ini_check; PERMISSION_DENIED when a layer widens an one before (the
 * message names both lines)  thread: any  cost: reads the files  since: 0.1
 * source: docs/configuration.md */
SY_MUST_CHECK sy_status sy_conf_create(const sy_conf_options *options, sy_conf **out_conf,
                                       sy_error *error);

/* Ends a configuration and every string it lent. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_conf_destroy(sy_conf *conf);

/* Policy for the planner; every entry carries the file and line it came from.
 * shape: -  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_policy *sy_conf_policy(const sy_conf *conf);

/* Settings of [runtime].
 * shape: -  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_conf_runtime *sy_conf_runtime_settings(const sy_conf *conf);

/* Settings of [cache].
 * shape: -  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_conf_cache *sy_conf_cache_settings(const sy_conf *conf);

/* Settings of [failover].
 * shape: -  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_conf_failover *sy_conf_failover_settings(const sy_conf *conf);

/* Settings of [trust].
 * shape: -  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_conf_trust *sy_conf_trust_settings(const sy_conf *conf);

/* Plugin directories in order of precedence, *out_n of them; none when no layer names any.
 * shape: [n]  unit: -  owner: conf  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_conf_directory *sy_conf_directories(const sy_conf *conf, uint32_t *out_n);

/* "key=value\n..." of [delegate NAME], NULL when there is none.
 * shape: -  unit: -  owner: conf  errors: NULL  thread: any  cost: O(delegates)  since: 0.1
 * source: SYP open */
const char *sy_conf_delegate_options(const sy_conf *conf, const char *name);

/* Name of the i-th [delegate NAME], in the order of the files, and where its first key stands; NULL
 * past the end. out_source may be NULL.
 * shape: -  unit: -  owner: conf  errors: NULL  thread: any  cost: O(settings)  since: 0.1
 * source: - */
const char *sy_conf_delegate_name(const sy_conf *conf, uint32_t i_delegate, sy_source *out_source);

/* Value in force for one key and where it came from; built-in defaults have no file. NULL when the
 * key is neither set nor has a default. out_source may be NULL.
 * shape: -  unit: -  owner: conf  errors: NULL  thread: any  cost: O(settings)  since: 0.1
 * source: - */
const char *sy_conf_value(const sy_conf *conf, const char *section, const char *key,
                          sy_source *out_source);

/* Everything in force as INI text, each line with its origin as a comment line above.
 * shape: -  unit: -  owner: caller, sy_string_destroy with the allocator of the options
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(settings)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conf_show(const sy_conf *conf, char **out_text, sy_error *error);

/* The manual of all sections and keys (docs/configuration.md) as Markdown.
 * shape: -  unit: -  owner: caller, sy_string_destroy with the same allocator
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(schema)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_conf_manual(const sy_allocator *allocator, char **out_text,
                                       sy_error *error);

/* The schema of the configuration.
 * shape: -  unit: -  owner: static  errors: none  thread: any  cost: O(1)  since: 0.1  source: - */
const sy_ini_schema *sy_conf_schema(void);

/* 1 when the process runs with more rights than its caller (set-uid, file capabilities): then no
 * environment variable is believed.
 * shape: -  unit: -  owner: -  errors: none  thread: any  cost: O(1)  since: 0.1
 * source: getauxval(3), AT_SECURE */
int sy_conf_is_privileged(void);

#ifdef __cplusplus
}
#endif
#endif
