/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of registry/ share. The order of the steps for one candidate: trust, manifest,
 * elf, load, negotiate. */
#ifndef SY_REGISTRY_INTERNAL_H
#define SY_REGISTRY_INTERNAL_H

#include "base/memory.h"
#include "switchyard/limits.h"
#include "switchyard/registry.h"

#include <stdbool.h>

#define SY__DIRECTORIES_MAX 64u
#define SY__MANIFEST_NAME "plugin.ini"

/* What a manifest says; strings live as long as its sy_ini. */
typedef struct sy__manifest {
    sy_ini *ini;
    const char *name, *vendor, *version, *description, *file, *arch, *match, *sha256;
    const char *abi_text;
    uint32_t abi_least, abi_most;
} sy__manifest;

typedef struct sy__candidate {
    sy_candidate public;
    sy__manifest manifest;
    void *handle;        /* of dlopen */
    int fd;              /* of the shared object while it is mapped, else -1, see load.c */
    const sy_host *host; /* services, NULL before load */
    sy_plugin table;     /* our copy: shorter tables read as zero at the end */
} sy__candidate;

struct sy_registry {
    const sy_allocator *allocator;
    sy__arena arena;
    sy_runtime *runtime;
    const sy_conf *conf;
    sy_conf *own_conf; /* defaults, when the caller gave none */
    const sy_conf_trust *trust;
    const sy_candidate *candidates[SY_LIMIT_PLUGINS]; /* each a sy__candidate */
    uint32_t n_candidates;
    sy_registry_directory directories[SY__DIRECTORIES_MAX];
    uint32_t n_directories;
};

/* trust.c: opens a directory after checking owner and mode of every component of its path. */
sy_status sy__trust_open_directory(const char *path, bool root_only, int *out_fd, sy_error *error);
/* Opens a folder or a regular file inside a checked directory; never follows a link or blocks. */
sy_status sy__trust_open_inside(int directory_fd, const char *name, bool root_only, bool is_folder,
                                int *out_fd, sy_error *error);

/* manifest.c */
sy_status sy__manifest_read(const sy_allocator *allocator, int fd, const char *origin,
                            sy__manifest *out_manifest, sy_error *error);
void sy__manifest_deinit(sy__manifest *manifest);
const sy_ini_schema *sy__manifest_schema(void);
/* True when the plugin may be linked against this shared library. */
bool sy__manifest_allows(void *manifest, const char *library);
/* The three questions before code is loaded; the error says why not. */
bool sy__manifest_fits_processor(const sy__manifest *manifest, sy_error *error);
bool sy__manifest_fits_abi(const sy__manifest *manifest, sy_candidate_state *out_state,
                           sy_error *error);
/* options: those that the configuration gives the delegate, NULL none. */
bool sy__manifest_finds_hardware(const sy__manifest *manifest, const char *options,
                                 sy_error *error);
bool sy__manifest_knows_options(const sy__manifest *manifest, const char *options, sy_error *error);

/* elf_check.c: bytes of an open file or, when fd is -1, of memory. */
typedef struct sy__elf_source {
    int fd;
    const uint8_t *bytes;
    uint64_t n_bytes;
} sy__elf_source;
typedef bool (*sy__elf_allows)(void *user, const char *library);
sy_status sy__elf_check(const sy_allocator *allocator, const sy__elf_source *source,
                        sy__elf_allows allows, void *user, sy_error *error);

/* load.c: hash, static check and dlopen through one descriptor, which it takes over. */
sy_status sy__plugin_load(sy_registry *registry, sy__candidate *candidate, int fd, sy_error *error);
void sy__plugin_unload(sy__candidate *candidate);
/* The part before dlopen: size, hash and static check. */
sy_status sy__plugin_check_file(sy_registry *registry, sy__candidate *candidate, int fd,
                                sy_error *error);

/* Gives the table of a plugin that compiles and says no build_id that of its file: what it compiled
 * must not outlive it. */
sy_status sy__plugin_identify(sy_registry *registry, sy__candidate *candidate, sy_error *error);

/* negotiate.c: entry, table, devices. Sets state and reason of the candidate. */
void sy__plugin_negotiate(sy_registry *registry, sy__candidate *candidate);

/* scan.c: every candidate of one directory. */
sy_status sy__scan_directory(sy_registry *registry, sy_registry_directory *directory,
                             sy_error *error);

/* candidate.c: takes one plugin from its manifest to its devices. */
sy_status sy__candidate_take(sy_registry *registry, const char *directory, int folder_fd,
                             const char *base_name, bool is_flat, sy_error *error);
/* Adds a candidate that is only listed. */
sy_status sy__candidate_list(sy_registry *registry, const char *directory, const char *name,
                             sy_candidate_state state, const sy_error *why, sy_error *error);
/* Closes devices and unloads; true when nothing stays mapped. */
bool sy__candidate_close(sy_registry *registry, sy__candidate *candidate);
void sy__candidate_refuse(sy__candidate *candidate, sy_candidate_state state, const sy_error *why);

#endif
