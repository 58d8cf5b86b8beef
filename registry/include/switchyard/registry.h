/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry: looks through plugin directories, lets each manifest speak before any code runs,
 * checks trust, loads, negotiates the ABI and adds the devices to the runtime's table. A plugin
 * that cannot be used is listed with its reason and harms nobody. docs/plugin-manifest.md describes
 * what a directory holds.
 */
#ifndef SWITCHYARD_REGISTRY_H
#define SWITCHYARD_REGISTRY_H

#include "switchyard/conf.h"
#include "switchyard/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sy_candidate_state {
    SY_CANDIDATE_READY = 0,         /* at least one device is in the runtime */
    SY_CANDIDATE_NO_DEVICE = 1,     /* nothing on this machine that it could drive */
    SY_CANDIDATE_UNWILLING = 2,     /* the plugin itself declined */
    SY_CANDIDATE_TOO_OLD = 3,       /* made for an earlier ABI that is not spoken any more */
    SY_CANDIDATE_TOO_NEW = 4,       /* needs a later ABI */
    SY_CANDIDATE_BROKEN = 5,        /* manifest, file, table or devices are wrong */
    SY_CANDIDATE_UNTRUSTED = 6,     /* owner, mode, links or hash: nothing of it was loaded */
    SY_CANDIDATE_SHADOWED = 7,      /* a directory before this one has a plugin of this name */
    SY_CANDIDATE_EXCLUDED = 8,      /* the configuration or the processor rules it out */
    SY_CANDIDATE_MISCONFIGURED = 9, /* an option in [delegate NAME] that it does not know */
    SY_CANDIDATE_STATE_COUNT = 10
} sy_candidate_state;

#define SY_CANDIDATE_REASON_BYTES 512u

/* How one operator fares on a device: bits are indexes into sy_registry_coverage_types. */
typedef struct sy_operator_coverage {
    const char *domain;
    const char *op;
    uint64_t types_asked;
    uint64_t types_native; /* native or fused */
    uint64_t types_emulated;
    char why_not[SY_REASON_TEXT_BYTES]; /* of the first "no", "" when there is none */
} sy_operator_coverage;

/* One device of a plugin. */
typedef struct sy_candidate_device {
    sy_device_info info;
    sy_device *device; /* NULL: could not be used, see reason */
    char reason[SY_CANDIDATE_REASON_BYTES];
    uint32_t n_coverage; /* after sy_registry_cover */
    const sy_operator_coverage *coverage;
    double linear_us;     /* after sy_registry_measure: one Linear, 0 not measured */
    double linear_gflops; /* 10^9 multiply-adds per second */
} sy_candidate_device;

/* One plugin that was found. Everything lives as long as the registry. */
typedef struct sy_candidate {
    sy_candidate_state state;
    uint32_t is_loaded; /* its code is mapped into the process */
    const char *name;   /* of the manifest, else of the file */
    const char *path;   /* of the shared object */
    const char *vendor; /* manifest; "" when it could not be read */
    const char *version;
    const char *description;
    const char *abi;    /* "0.9": oldest host it works with */
    const char *sha256; /* of the file when the manifest gave one, else "" */
    uint32_t table_abi; /* ABI number of its table, 0 none */
    uint32_t n_devices;
    sy_candidate_device *devices;
    char reason[SY_CANDIDATE_REASON_BYTES]; /* "" when ready */
} sy_candidate;

/* Where directories come from, in order of precedence: directories, SWITCHYARD_PLUGIN_PATH (colon-
 * separated), the configuration, default_directory. The first two need extra_directories of the
 * trust settings. Start from sy_registry_options_default. */
typedef struct sy_registry_options {
    uint32_t struct_bytes; /* sizeof(sy_registry_options) */
    uint32_t n_directories;
    const char *const *directories;
    const char *default_directory; /* searched when the configuration names none; NULL: the
                                      directory that was fixed at build time */
    const sy_conf *conf;           /* NULL: defaults */
    uint32_t use_environment;      /* 1 (default): read SWITCHYARD_PLUGIN_PATH unless privileged */
    uint32_t reserved;
} sy_registry_options;

/* One directory that was to be searched. */
typedef struct sy_registry_directory {
    const char *path;
    const char *origin; /* "flag", "SWITCHYARD_PLUGIN_PATH", "file:line", "default" */
    uint32_t is_searched;
    uint32_t n_left_out;                    /* entries past the limit of SY_LIMIT_PLUGINS */
    char reason[SY_CANDIDATE_REASON_BYTES]; /* why it was not searched, "" otherwise */
} sy_registry_directory;

typedef struct sy_registry sy_registry;

/* Fills defaults.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_registry_options_default(sy_registry_options *out_options);

/* Searches, checks, loads, and adds usable devices to the runtime. Whatever is wrong with a plugin
 * or a directory is listed, not returned. NULL options: defaults. The runtime and the configuration
 * must outlive the registry; at most one registry at a time may load one plugin.
 * shape: -  unit: -  owner: caller, sy_registry_close  errors: RESOURCE_EXHAUSTED for memory
 * thread: one at a time  cost: reads directories, loads code  since: 0.1
 * source: docs/plugin-manifest.md */
SY_MUST_CHECK sy_status sy_registry_open(sy_runtime *runtime, const sy_registry_options *options,
                                         sy_registry **out_registry, sy_error *error);

/* Takes the devices out of the runtime, closes them and unloads the plugins. What still holds live
 * handles or fails to close stays mapped; answers how many plugins did. Plans and executors made
 * over the devices must be gone. NULL is fine.
 * shape: -  unit: plugins  owner: takes it  errors: none  thread: one at a time
 * cost: O(plugins)  since: 0.1  source: SYP unload */
uint32_t sy_registry_close(sy_registry *registry);

/* Plugins that were found, in order of precedence, *out_n of them.
 * shape: [n]  unit: -  owner: registry  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_candidate *const *sy_registry_candidates(const sy_registry *registry, uint32_t *out_n);

/* Directories in order of precedence, *out_n of them.
 * shape: [n]  unit: -  owner: registry  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_registry_directory *sy_registry_directories(const sy_registry *registry, uint32_t *out_n);

/* Word for a state, e.g. "too new".
 * shape: -  unit: -  owner: static  errors: "unknown"  thread: any
 * cost: O(1)  since: 0.1  source: - */
const char *sy_candidate_state_name(sy_candidate_state state);

/* Asks every device to judge every operator of docs/operators.md in every type that it takes.
 * shape: -  unit: -  owner: registry keeps the answers  errors: RESOURCE_EXHAUSTED; a device that
 * fails to judge gets its reason  thread: one at a time  cost: one judge call per device
 * since: 0.1  source: docs/operators.md */
SY_MUST_CHECK sy_status sy_registry_cover(sy_registry *registry, sy_error *error);

/* Types that the bits of sy_operator_coverage stand for, *out_n of them.
 * shape: [n]  unit: -  owner: static  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_element_type *sy_registry_coverage_types(uint32_t *out_n);

/* Times one Linear of 512 x 512 on every device, through load and submit, within budget_ns in all
 * (0: 200 ms); the fastest run counts. Devices that the budget does not reach keep 0.
 * shape: x [32, 512], w [512, 512] f32  unit: nanoseconds  owner: registry keeps the answers
 * errors: RESOURCE_EXHAUSTED; a device that fails gets its reason  thread: one at a time
 * cost: budget_ns  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_registry_measure(sy_registry *registry, uint64_t budget_ns,
                                            sy_error *error);

/* Looks at one shared object and the manifest beside it (plugin.ini, or NAME.ini for NAME.so) as
 * the registry does before it loads: manifest, names, processor, ABI, hash, ELF. Runs nothing and
 * does not ask who owns the files.
 * shape: -  unit: -  owner: -  errors: NOT_FOUND, INVALID_ARGUMENT, DATA_LOSS, UNIMPLEMENTED,
 * UNAUTHENTICATED with the reason  thread: any  cost: reads the file  since: 0.1
 * source: docs/plugin-manifest.md */
SY_MUST_CHECK sy_status sy_registry_check_file(const char *path, sy_error *error);

/* 1 when the manifest beside a shared object lists this option of [delegate NAME]; 0 also when
 * there is none that can be read.
 * shape: -  unit: -  owner: -  errors: 0  thread: any  cost: reads the manifest  since: 0.1
 * source: docs/plugin-manifest.md */
uint32_t sy_registry_file_has_option(const char *path, const char *option);

typedef enum sy_registry_format { SY_REGISTRY_TEXT = 0, SY_REGISTRY_JSON = 1 } sy_registry_format;

/* Everything above as text for people or as JSON.
 * shape: -  unit: -  owner: caller, sy_string_destroy with the runtime's allocator
 * errors: RESOURCE_EXHAUSTED  thread: any  cost: O(candidates)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_registry_report(const sy_registry *registry, sy_registry_format format,
                                           char **out_text, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
