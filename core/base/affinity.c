/* SPDX-License-Identifier: Apache-2.0 */
/* Read from sched_getaffinity, /sys/devices/system/cpu and the control group of the process. */
#include "base/affinity.h"

#include "switchyard/limits.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512u

bool sy__cpus_has(const sy__cpus *cpus, uint32_t i_cpu) {
    return i_cpu < SY__N_CPUS_MAX && (cpus->bits[i_cpu / 64] >> (i_cpu % 64) & 1u) != 0;
}

void sy__cpus_add(sy__cpus *cpus, uint32_t i_cpu) {
    if (i_cpu < SY__N_CPUS_MAX) {
        cpus->bits[i_cpu / 64] |= (uint64_t)1 << (i_cpu % 64);
    }
}

uint32_t sy__cpus_count(const sy__cpus *cpus) {
    uint32_t n = 0;
    for (size_t i = 0; i < SY__N_CPUS_MAX / 64; i++) {
        n += (uint32_t)__builtin_popcountll(cpus->bits[i]);
    }
    return n;
}

void sy__cpus_allowed(sy__cpus *out_cpus) {
    cpu_set_t set;
    memset(out_cpus, 0, sizeof(*out_cpus));
    bool is_known = sched_getaffinity(0, sizeof(set), &set) == 0;
    long n_online = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint32_t i = 0; i < CPU_SETSIZE; i++) {
        if (is_known ? CPU_ISSET(i, &set) : (long)i < n_online) {
            sy__cpus_add(out_cpus, i);
        }
    }
    if (sy__cpus_count(out_cpus) == 0) {
        sy__cpus_add(out_cpus, 0);
    }
}

bool sy__cpus_apply(const sy__cpus *cpus, pthread_t thread) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < CPU_SETSIZE; i++) {
        if (sy__cpus_has(cpus, i)) {
            CPU_SET(i, &set);
        }
    }
    return pthread_setaffinity_np(thread, sizeof(set), &set) == 0;
}

/* "0-3,6": false when it is no such list. Blanks may stand behind commas. */
static bool parse_list(const char *text, sy__cpus *out_cpus) {
    memset(out_cpus, 0, sizeof(*out_cpus));
    for (const char *c = text;; c++) {
        uint32_t range[2] = {0, 0}, n = 0;
        c += strspn(c, " ");
        do {
            size_t n_digits = strspn(c, "0123456789");
            if (n_digits == 0 || n_digits > 4) {
                return false;
            }
            range[n++] = (uint32_t)strtoul(c, NULL, 10);
            c += n_digits;
        } while (n == 1 && *c == '-' && *c++ != '\0');
        range[1] = n == 2 ? range[1] : range[0];
        if (range[1] < range[0] || range[1] >= SY__N_CPUS_MAX) {
            return false;
        }
        for (uint32_t i = range[0]; i <= range[1]; i++) {
            sy__cpus_add(out_cpus, i);
        }
        c += strspn(c, " ");
        if (*c != ',') {
            return *c == '\0';
        }
    }
}

sy_status sy__affinity_parse(const char *text, sy__cpus *out_cpus, sy_error *error) {
    sy__cpus cpus = {{0}};
    if (strcmp(text, "none") != 0 && strcmp(text, "performance") != 0 && !parse_list(text, &cpus)) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "affinity = %.100s cannot be understood.", text);
        sy_error_hint(error, "Write none, performance, or CPUs as in 0-3, 6 (below %u).",
                      SY__N_CPUS_MAX);
        return SY_INVALID_ARGUMENT;
    }
    *out_cpus = cpus;
    return SY_OK;
}

/* First line of a small file; false when there is none. */
static bool read_line(const char *path, char *out_text, size_t n_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, out_text, n_bytes - 1);
    close(fd);
    out_text[n > 0 ? n : 0] = '\0';
    out_text[strcspn(out_text, "\n")] = '\0';
    return n > 0;
}

static bool read_cpu_file(const char *root, uint32_t i_cpu, const char *name, char *out_text,
                          size_t n_bytes) {
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/cpu%u/%s", root, i_cpu, name);
    return n > 0 && (size_t)n < sizeof(path) && read_line(path, out_text, n_bytes);
}

static uint64_t cpu_speed(const char *root, uint32_t i_cpu, const char *name) {
    char text[64];
    return read_cpu_file(root, i_cpu, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* The CPUs in the upper half between the slowest and the fastest; all when they differ little. */
static bool keep_fast(const char *root, const char *name, const sy__cpus *cpus,
                      sy__cpus *out_cpus) {
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < SY__N_CPUS_MAX; i++) {
        if (sy__cpus_has(cpus, i)) {
            uint64_t speed = cpu_speed(root, i, name);
            least = speed < least ? speed : least;
            most = speed > most ? speed : most;
        }
    }
    bool are_alike = most - least <= most / 10;
    *out_cpus = *cpus;
    if (least == 0 || are_alike) {
        return least != 0 && !are_alike;
    }
    memset(out_cpus, 0, sizeof(*out_cpus));
    for (uint32_t i = 0; i < SY__N_CPUS_MAX; i++) {
        if (sy__cpus_has(cpus, i) && cpu_speed(root, i, name) > least + (most - least) / 2) {
            sy__cpus_add(out_cpus, i);
        }
    }
    return true;
}

sy_status sy__affinity_resolve_at(const char *root, const sy__cpus *allowed, const char *text,
                                  sy__cpus *out_cpus, sy_error *error) {
    sy__cpus cpus;
    sy_status status = sy__affinity_parse(text, &cpus, error);
    if (status != SY_OK) {
        return status;
    }
    if (strcmp(text, "none") == 0) {
        *out_cpus = *allowed;
        return SY_OK;
    }
    if (strcmp(text, "performance") == 0) {
        if (!keep_fast(root, "cpu_capacity", allowed, out_cpus)) {
            (void)keep_fast(root, "cpufreq/cpuinfo_max_freq", allowed, out_cpus);
        }
        return SY_OK;
    }
    for (uint32_t i = 0; i < SY__N_CPUS_MAX; i++) {
        if (sy__cpus_has(&cpus, i) && !sy__cpus_has(allowed, i)) {
            sy_error_set(error, SY_OUT_OF_RANGE,
                         "CPU %u of affinity = %.100s is none that this process may use.", i, text);
            sy_error_hint(error, "Leave it out, or ask who started the process for that CPU.");
            return SY_OUT_OF_RANGE;
        }
    }
    *out_cpus = cpus;
    return SY_OK;
}

sy_status sy__affinity_resolve(const char *text, sy__cpus *out_cpus, sy_error *error) {
    sy__cpus allowed;
    sy__cpus_allowed(&allowed);
    return sy__affinity_resolve_at("", &allowed, text, out_cpus, error);
}

/* Threads of one core count once. */
static uint32_t count_cores(const char *root, const sy__cpus *cpus) {
    uint32_t n_cores = 0;
    sy__cpus seen = {{0}};
    for (uint32_t i = 0; i < SY__N_CPUS_MAX; i++) {
        if (!sy__cpus_has(cpus, i) || sy__cpus_has(&seen, i)) {
            continue;
        }
        char text[256];
        sy__cpus siblings;
        n_cores++;
        if (read_cpu_file(root, i, "topology/thread_siblings_list", text, sizeof(text)) &&
            parse_list(text, &siblings)) {
            for (uint32_t j = 0; j < SY__N_CPUS_MAX / 64; j++) {
                seen.bits[j] |= siblings.bits[j];
            }
        }
    }
    return n_cores;
}

/* Quota of one control group in whole CPUs, at least 1; 0 when it has none. */
static uint32_t group_quota(const char *folder) {
    char path[PATH_BYTES + 32], text[64];
    char *end = NULL;
    unsigned long long quota = 0, period = 0;
    snprintf(path, sizeof(path), "%s/cpu.max", folder); /* version 2: "max 100000" */
    if (read_line(path, text, sizeof(text))) {
        quota = strtoull(text, &end, 10);
        period = end != text ? strtoull(end, NULL, 10) : 0;
    } else { /* version 1; -1 is none */
        snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
        quota =
            read_line(path, text, sizeof(text)) && text[0] != '-' ? strtoull(text, NULL, 10) : 0;
        snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
        period = read_line(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
    }
    if (quota == 0 || period == 0) {
        return 0;
    }
    unsigned long long n = quota / period; /* a thread more would be stopped in every period */
    return n == 0 ? 1 : n > SY_LIMIT_WORKERS ? SY_LIMIT_WORKERS : (uint32_t)n;
}

/* The least quota of the group at `path` below `mount` and of every group above it. */
static uint32_t least_quota(const char *root, const char *mount, const char *path) {
    char folder[PATH_BYTES];
    uint32_t least = 0;
    int n = snprintf(folder, sizeof(folder), "%s%s%s", root, mount, path);
    size_t n_mount = strlen(root) + strlen(mount);
    if (n < 0 || (size_t)n >= sizeof(folder)) {
        return 0;
    }
    for (;;) {
        uint32_t quota = group_quota(folder);
        least = quota != 0 && (least == 0 || quota < least) ? quota : least;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < n_mount) {
            return least;
        }
        *slash = '\0';
    }
}

/* "0::/user.slice" is version 2, "4:cpu,cpuacct:/docker/1" the processor's group of version 1. */
static uint32_t process_quota(const char *root) {
    char path[PATH_BYTES], line[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    uint32_t least = 0;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL || strstr(group, "..") != NULL) {
            continue;
        }
        *group++ = '\0';
        bool is_v2 = strcmp(controllers, ":") == 0;
        if (is_v2 || strncmp(controllers, ":cpu,", 5) == 0 || strcmp(controllers, ":cpu") == 0) {
            uint32_t quota =
                least_quota(root, is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group);
            least = quota != 0 && (least == 0 || quota < least) ? quota : least;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return least;
}

uint32_t sy__cpus_n_workers_at(const char *root, const sy__cpus *cpus) {
    uint32_t n = count_cores(root, cpus), quota = process_quota(root);
    n = quota != 0 && quota < n ? quota : n;
    return n == 0 ? 1 : n > SY_LIMIT_WORKERS ? SY_LIMIT_WORKERS : n;
}

uint32_t sy__cpus_n_workers(const sy__cpus *cpus) {
    sy__cpus allowed;
    if (cpus == NULL) {
        sy__cpus_allowed(&allowed);
        cpus = &allowed;
    }
    return sy__cpus_n_workers_at("", cpus);
}
