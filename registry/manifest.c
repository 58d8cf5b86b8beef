/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest: what a plugin says about itself before any of its code runs. */
#include "registry_internal.h"

#include "base/text.h"

#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#define PROCESSOR "x86-64"
#elif defined(__aarch64__)
#define PROCESSOR "aarch64"
#elif defined(__arm__)
#define PROCESSOR "armv7"
#elif defined(__riscv)
#define PROCESSOR "riscv64"
#else
#define PROCESSOR "other"
#endif

static const sy_ini_rule rules[] = {
    {"plugin", "name", SY_INI_NAME, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Name of the plugin and of its folder; the table must carry the same one. Required."},
    {"plugin", "vendor", SY_INI_TEXT, SY_INI_FREE, 0, 0, NULL, NULL, "", "Who made it."},
    {"plugin", "version", SY_INI_TEXT, SY_INI_FREE, 0, 0, NULL, NULL, "", "Free text for people."},
    {"plugin", "description", SY_INI_TEXT, SY_INI_FREE, 0, 0, NULL, NULL, "",
     "One sentence for people."},
    {"plugin", "file", SY_INI_FILE, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Shared object in the same folder; absent: NAME.so."},
    {"plugin", "abi_min", SY_INI_ABI, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Oldest host ABI it works with, as in 0.9. Required."},
    {"plugin", "abi_max", SY_INI_ABI, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Newest ABI it was made for; later minors of the same major are fine. Absent: abi_min."},
    {"plugin", "arch", SY_INI_WORDS, SY_INI_FREE, 0, 0, NULL, NULL, "any",
     "Processors: x86-64, aarch64, armv7, riscv64, any."},
    {"plugin", "match", SY_INI_WORDS, SY_INI_FREE, 0, 0, NULL, NULL, "any",
     "Hardware, one of which must exist: any, path:GLOB under /dev or /sys, pci:VENDOR:DEVICE "
     "(hexadecimal or *)."},
    {"plugin", "sha256", SY_INI_SHA256, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "Digest of the shared object; when given, nothing else is loaded."},
    {"plugin", "needed", SY_INI_WORDS, SY_INI_FREE, 0, 0, NULL, NULL, "",
     "Shared libraries it may be linked against beside those of the C library; globs are fine."},
    {"plugin", "needed.*", SY_INI_WORDS, SY_INI_FREE, 0, 0, NULL, NULL, "",
     "More of them, for lists that do not fit into one line."},
    {"plugin", "isolation", SY_INI_CHOICE, SY_INI_FREE, 0, 0, "any", "own-process", "any",
     "Whether it wants a process of its own."},
    {"options", "*", SY_INI_TEXT, SY_INI_FREE, 0, 0, NULL, NULL, NULL,
     "A key that [delegate NAME] of the configuration may set, and what it means."},
};

static const sy_ini_schema schema = {"plugin manifest", rules,
                                     (uint32_t)(sizeof(rules) / sizeof(rules[0]))};

const sy_ini_schema *sy__manifest_schema(void) {
    return &schema;
}

static const char *value(const sy__manifest *manifest, const char *key) {
    const sy_ini_entry *entry = sy_ini_find(manifest->ini, "plugin", key);
    const sy_ini_rule *rule = sy_ini_rule_find(&schema, "plugin", key);
    return entry != NULL ? entry->value : rule->fallback;
}

static uint32_t abi_number(const char *text) {
    unsigned major = 0, minor = 0;
    if (sscanf(text, "%5u.%5u", &major, &minor) != 2) {
        return 0;
    }
    return major > 0xffffu || minor > 0xffffu ? UINT32_MAX : major << 16 | minor;
}

static sy_status check_required(const sy__manifest *manifest, const char *origin, sy_error *error) {
    static const char *const keys[] = {"name", "abi_min"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (sy_ini_find(manifest->ini, "plugin", keys[i]) == NULL) {
            sy_error_set(error, SY_INVALID_ARGUMENT, "The manifest lacks %s in [plugin].", keys[i]);
            sy_error_hint(error, "docs/plugin-manifest.md shows one that is complete.");
            sy_error_at(error, origin, UINT64_MAX);
            return SY_INVALID_ARGUMENT;
        }
    }
    return SY_OK;
}

sy_status sy__manifest_read(const sy_allocator *allocator, int fd, const char *origin,
                            sy__manifest *out_manifest, sy_error *error) {
    sy__manifest manifest;
    memset(&manifest, 0, sizeof(manifest));
    sy_status status = sy_ini_read(allocator, origin, fd, &manifest.ini, error);
    if (status != SY_OK) {
        return status;
    }
    status = sy_ini_check(manifest.ini, &schema, NULL, NULL, error);
    if (status == SY_OK) {
        status = check_required(&manifest, origin, error);
    }
    if (status != SY_OK) {
        sy_ini_destroy(manifest.ini);
        return status;
    }
    manifest.name = value(&manifest, "name");
    manifest.vendor = value(&manifest, "vendor");
    manifest.version = value(&manifest, "version");
    manifest.description = value(&manifest, "description");
    manifest.file = value(&manifest, "file");
    manifest.arch = value(&manifest, "arch");
    manifest.match = value(&manifest, "match");
    manifest.sha256 = value(&manifest, "sha256");
    manifest.abi_text = value(&manifest, "abi_min");
    manifest.abi_least = abi_number(manifest.abi_text);
    const char *most = value(&manifest, "abi_max");
    manifest.abi_most = most != NULL ? abi_number(most) : manifest.abi_least;
    *out_manifest = manifest;
    return SY_OK;
}

void sy__manifest_deinit(sy__manifest *manifest) {
    sy_ini_destroy(manifest->ini);
    memset(manifest, 0, sizeof(*manifest));
}

/* True when an item of the list, taken as a glob, matches the text. */
static bool list_matches(const char *list, const char *text) {
    const char *cursor = list;
    size_t n = 0;
    for (const char *item = sy_ini_item(&cursor, &n); item != NULL;
         item = sy_ini_item(&cursor, &n)) {
        char pattern[200];
        snprintf(pattern, sizeof(pattern), "%.*s", (int)n, item);
        if (fnmatch(pattern, text, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool sy__manifest_allows(void *manifest, const char *library) {
    static const char base[] = "libc.so.6, libm.so.6, libdl.so.2, libpthread.so.0, librt.so.1, "
                               "ld-linux*.so.*, libgcc_s.so.1";
    const sy__manifest *self = manifest;
    uint32_t n = 0;
    const sy_ini_entry *entries = sy_ini_entries(self->ini, &n);
    if (list_matches(base, library)) {
        return true;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    if (list_matches("libasan.so.*, libubsan.so.*, libtsan.so.*", library)) {
        return true; /* a host with checkers loads plugins with the same ones */
    }
#endif
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(entries[i].section, "plugin") == 0 &&
            strncmp(entries[i].key, "needed", 6) == 0 && list_matches(entries[i].value, library)) {
            return true;
        }
    }
    return false;
}

bool sy__manifest_fits_processor(const sy__manifest *manifest, sy_error *error) {
    if (list_matches("any", manifest->arch) || list_matches(manifest->arch, PROCESSOR)) {
        return true;
    }
    sy_error_set(error, SY_UNIMPLEMENTED, "It is made for %s; this machine is " PROCESSOR ".",
                 manifest->arch);
    return false;
}

bool sy__manifest_fits_abi(const sy__manifest *manifest, sy_candidate_state *out_state,
                           sy_error *error) {
    if (manifest->abi_least > manifest->abi_most) {
        *out_state = SY_CANDIDATE_BROKEN;
        sy_error_set(error, SY_INVALID_ARGUMENT, "Its abi_min is above its abi_max.");
        return false;
    }
    if (manifest->abi_least > SY_ABI_VERSION) {
        *out_state = SY_CANDIDATE_TOO_NEW;
        sy_error_set(error, SY_UNIMPLEMENTED, "It needs ABI %s; this runtime speaks %u.%u.",
                     manifest->abi_text, SY_ABI_MAJOR, SY_ABI_MINOR);
        sy_error_hint(error, "Update Switchyard or install an earlier version of the plugin.");
        return false;
    }
    if (manifest->abi_most >> 16 != SY_ABI_MAJOR) {
        *out_state = SY_CANDIDATE_TOO_OLD;
        sy_error_set(error, SY_UNIMPLEMENTED, "It is made for ABI %u; this runtime speaks %u.%u.",
                     manifest->abi_most >> 16, SY_ABI_MAJOR, SY_ABI_MINOR);
        sy_error_hint(error, "Install a later version of the plugin.");
        return false;
    }
    return true;
}

static bool glob_exists(const char *pattern) {
    glob_t found;
    if ((strncmp(pattern, "/dev/", 5) != 0 && strncmp(pattern, "/sys/", 5) != 0) ||
        strstr(pattern, "..") != NULL) {
        return false;
    }
    bool exists = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return exists;
}

/* Reads one hexadecimal number of a device from sysfs, "0x10de". */
static bool file_holds(const char *folder, const char *name, const char *wanted) {
    char path[300], text[16] = "";
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return is_read && fnmatch(wanted, text + (strncmp(text, "0x", 2) == 0 ? 2 : 0), 0) == 0;
}

/* "pci:10de:*" */
static bool pci_exists(const char *pattern) {
    char vendor[8] = "", device[8] = "";
    if (sscanf(pattern, "%7[0-9a-f*]:%7[0-9a-f*]", vendor, device) != 2) {
        return false;
    }
    glob_t found;
    bool exists = false;
    if (glob("/sys/bus/pci/devices/*", GLOB_NOSORT, NULL, &found) == 0) {
        for (size_t i = 0; !exists && i < found.gl_pathc; i++) {
            exists = file_holds(found.gl_pathv[i], "vendor", vendor) &&
                     file_holds(found.gl_pathv[i], "device", device);
        }
    }
    globfree(&found);
    return exists;
}

/* "software=on": a line of the options that the configuration gives. */
static bool is_asked_for(const char *options, const char *wanted) {
    size_t n_wanted = strlen(wanted);
    for (const char *line = options; line != NULL && *line != '\0';) {
        size_t n = strcspn(line, "\n");
        if (n == n_wanted && memcmp(line, wanted, n) == 0) {
            return true;
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

bool sy__manifest_finds_hardware(const sy__manifest *manifest, const char *options,
                                 sy_error *error) {
    const char *cursor = manifest->match;
    size_t n = 0;
    for (const char *item = sy_ini_item(&cursor, &n); item != NULL;
         item = sy_ini_item(&cursor, &n)) {
        char pattern[200];
        snprintf(pattern, sizeof(pattern), "%.*s", (int)n, item);
        if (strcmp(pattern, "any") == 0 ||
            (strncmp(pattern, "path:", 5) == 0 && glob_exists(pattern + 5)) ||
            (strncmp(pattern, "pci:", 4) == 0 && pci_exists(pattern + 4)) ||
            (strncmp(pattern, "option:", 7) == 0 && is_asked_for(options, pattern + 7))) {
            return true;
        }
    }
    bool can_be_asked_for = strstr(manifest->match, "option:") != NULL;
    sy_error_set(error, SY_NOT_FOUND, "This machine has none of its hardware (%.180s)%s%.60s%s.",
                 manifest->match, can_be_asked_for ? ", and [delegate " : "",
                 can_be_asked_for ? manifest->name : "",
                 can_be_asked_for ? "] does not set that option" : "");
    return false;
}

/* A key of [options] may be a glob: "us.*" allows "us.Linear". */
static bool lists_option(const sy__manifest *manifest, const char *key) {
    uint32_t n = 0;
    const sy_ini_entry *entries = sy_ini_entries(manifest->ini, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(entries[i].section, "options") == 0 && fnmatch(entries[i].key, key, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool sy__manifest_knows_options(const sy__manifest *manifest, const char *options,
                                sy_error *error) {
    while (options != NULL && *options != '\0') {
        size_t n = strcspn(options, "=");
        char key[SY_LIMIT_NAME_BYTES + 1];
        snprintf(key, sizeof(key), "%.*s", (int)n, options);
        if (!lists_option(manifest, key)) {
            sy_error_set(error, SY_INVALID_ARGUMENT,
                         "[delegate %s] sets %s, which its manifest does not list.", manifest->name,
                         key);
            sy_error_hint(error, "The manifest's [options] names the keys.");
            return false;
        }
        options += strcspn(options, "\n");
        options += *options == '\n';
    }
    return true;
}
