/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs, cores and quotas of made-up machines: folders laid out like /sys and /proc. */
#include "harness.h"

#include "base/affinity.h"
#include "base/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/stat.h>

static char root[64];

static void make_root(void) {
    snprintf(root, sizeof(root), "/tmp/affinity_test.XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void remove_root(void) {
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", root);
    CHECK(system(command) == 0);
}

/* Writes a file below root and makes its folders. */
static void put(const char *text, const char *format, ...) {
    char path[512];
    size_t n = (size_t)snprintf(path, sizeof(path), "%s", root);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + n, sizeof(path) - n, format, arguments);
    va_end(arguments);
    for (char *slash = strchr(path + n + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        CHECK(mkdir(path, 0700) == 0 || access(path, F_OK) == 0);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    CHECK_TEXT(file != NULL, "%s", path);
    CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
}

static sy__cpus first_cpus(uint32_t n) {
    sy__cpus cpus = {{0}};
    for (uint32_t i = 0; i < n; i++) {
        sy__cpus_add(&cpus, i);
    }
    return cpus;
}

static void lists_are_read(void) {
    static const struct {
        const char *text;
        uint32_t n, has;
    } good[] = {{"none", 0, 9999}, {"performance", 0, 9999}, {"0", 1, 0},       {"7", 1, 7},
                {"0-3", 4, 3},     {"0-1, 6", 3, 6},         {"1023", 1, 1023}, {"2,2,2-2", 1, 2},
                {"1 , 2", 2, 2}};
    static const char *const bad[] = {"",   "all",  "-1",  "1-",    "3-1",     "1,",
                                      ",1", "1024", "0x1", "0-1-2", "0-99999", "1 2",
                                      "0-", "NONE", "1;2", "none,1"};
    sy_error error;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        sy__cpus cpus;
        CHECK_OK_ERROR(sy__affinity_parse(good[i].text, &cpus, &error), error);
        CHECK_TEXT(sy__cpus_count(&cpus) == good[i].n, "%s", good[i].text);
        CHECK(good[i].n == 0 || sy__cpus_has(&cpus, good[i].has));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy__cpus cpus = first_cpus(5);
        CHECK_TEXT(sy__affinity_parse(bad[i], &cpus, &error) == SY_INVALID_ARGUMENT, "%s", bad[i]);
        CHECK(sy__cpus_count(&cpus) == 5 && error.hint[0] != '\0');
    }
}

static uint32_t resolve(const char *text, uint32_t n_cpus, sy__cpus *out_cpus) {
    sy__cpus allowed = first_cpus(n_cpus);
    sy_error error;
    CHECK_OK_ERROR(sy__affinity_resolve_at(root, &allowed, text, out_cpus, &error), error);
    return sy__cpus_count(out_cpus);
}

static void fast_cores_are_found(void) {
    sy__cpus cpus;
    make_root();
    CHECK(resolve("performance", 4, &cpus) == 4); /* a machine that tells nothing */
    static const char *const frequencies[] = {"1800000", "1800000", "2400000", "2400000"};
    for (int i = 0; i < 4; i++) {
        put(frequencies[i], "/sys/devices/system/cpu/cpu%d/cpufreq/cpuinfo_max_freq", i);
    }
    CHECK(resolve("performance", 4, &cpus) == 2 && sy__cpus_has(&cpus, 2) &&
          sy__cpus_has(&cpus, 3));
    static const char *const capacities[] = {"250", "250", "760", "1024"};
    for (int i = 0; i < 4; i++) {
        put(capacities[i], "/sys/devices/system/cpu/cpu%d/cpu_capacity", i);
    }
    CHECK(resolve("performance", 4, &cpus) == 2 && sy__cpus_has(&cpus, 2) &&
          sy__cpus_has(&cpus, 3));
    CHECK(resolve("performance", 2, &cpus) == 2); /* only slow ones are allowed */
    CHECK(resolve("none", 3, &cpus) == 3 && resolve("1, 3", 4, &cpus) == 2);
    sy__cpus allowed = first_cpus(2);
    sy_error error;
    CHECK(sy__affinity_resolve_at(root, &allowed, "0-2", &cpus, &error) == SY_OUT_OF_RANGE);
    CHECK_TEXT(strstr(error.message, "CPU 2 of") != NULL, "%s", error.message);
    remove_root();
}

static void cores_count_not_their_threads(void) {
    make_root();
    sy__cpus all = first_cpus(8), some = first_cpus(0);
    CHECK(sy__cpus_n_workers_at(root, &all) == 8);
    for (int i = 0; i < 8; i++) {
        char siblings[16];
        snprintf(siblings, sizeof(siblings), "%d,%d\n", i % 4, i % 4 + 4);
        put(siblings, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
    }
    CHECK(sy__cpus_n_workers_at(root, &all) == 4);
    CHECK(sy__cpus_n_workers_at(root, &some) == 1);
    sy__cpus_add(&some, 1);
    sy__cpus_add(&some, 5);
    sy__cpus_add(&some, 6);
    CHECK(sy__cpus_n_workers_at(root, &some) == 2);
    remove_root();
}

static void quotas_count(void) {
    make_root();
    sy__cpus all = first_cpus(16);
    put("0::/a/b\n", "/proc/self/cgroup");
    CHECK(sy__cpus_n_workers_at(root, &all) == 16);
    put("max 100000\n", "/sys/fs/cgroup/a/b/cpu.max");
    CHECK(sy__cpus_n_workers_at(root, &all) == 16);
    put("650000 100000\n", "/sys/fs/cgroup/a/cpu.max");
    CHECK(sy__cpus_n_workers_at(root, &all) == 6);
    put("300000 100000\n", "/sys/fs/cgroup/cpu.max");
    CHECK(sy__cpus_n_workers_at(root, &all) == 3);
    put("50000 100000\n", "/sys/fs/cgroup/a/b/cpu.max");
    CHECK(sy__cpus_n_workers_at(root, &all) == 1);
    put("9:name=systemd:/\n4:cpu,cpuacct:/c\n1:memory:/a\n", "/proc/self/cgroup");
    put("-1\n", "/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us");
    put("100000\n", "/sys/fs/cgroup/cpu/c/cpu.cfs_period_us");
    CHECK(sy__cpus_n_workers_at(root, &all) == 16);
    put("250000\n", "/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us");
    CHECK(sy__cpus_n_workers_at(root, &all) == 2);
    put("4:cpu,cpuacct:/../../etc\nnonsense\n:\n", "/proc/self/cgroup");
    CHECK(sy__cpus_n_workers_at(root, &all) == 16);
    remove_root();
}

static void where_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    (void)argument;
    (void)i_task;
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
    CHECK(i_worker == 0 || CPU_COUNT(&set) == 1);
    usleep(200);
}

static void helpers_stay_on_their_cpus(void) {
    sy__cpus allowed, one = {{0}};
    sy__cpus_allowed(&allowed);
    uint32_t i = 0;
    while (!sy__cpus_has(&allowed, i)) {
        i++;
    }
    sy__cpus_add(&one, i);
    sy__team_options options = {.n_workers = 3, .spin_us = 100, .cpus = &one};
    sy__team *team = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy__team_create_with(NULL, &options, &team, &error), error);
    for (int round = 0; round < 20; round++) {
        sy__team_run(team, where_task, NULL, 12);
    }
    sy__team_destroy(team);
    options.n_workers = 0;
    CHECK_OK_ERROR(sy__team_create_with(NULL, &options, &team, &error), error);
    CHECK(sy__team_n_workers(team) == 1);
    sy__team_destroy(team);
    CHECK(sy__cpus_n_workers(NULL) >= 1 && sy__cpus_n_workers(NULL) <= sy__cpus_count(&allowed));
    CHECK(sy__cpus_apply(&one, pthread_self()));
    CHECK(sy__cpus_n_workers(NULL) == 1);
}

static const sy_test_case cases[] = {
    {"lists_are_read", lists_are_read},
    {"fast_cores_are_found", fast_cores_are_found},
    {"cores_count_not_their_threads", cores_count_not_their_threads},
    {"quotas_count", quotas_count},
    {"helpers_stay_on_their_cpus", helpers_stay_on_their_cpus},
};
SY_TEST_MAIN(cases)
