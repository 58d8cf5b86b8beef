/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the levels, each in a child process that shares the report with this one. */
#include "conform/conform_internal.h"

#include "base/clock.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_NS 2000000
#define DEFAULT_SECONDS 300u
#define SIGNALS_MAX 32

void sy_conform_options_default(sy_conform_options *out_options) {
    *out_options = (sy_conform_options){.struct_bytes = sizeof(*out_options),
                                        .most_level = SY_CONFORM_LEVELS - 1};
}

bool sy__conform_check(sy__conform *c, bool ok, const char *id, const char *format, ...) {
    sy_conform_report *report = c->report;
    report->levels[c->level].n_checks++;
    if (ok) {
        return true;
    }
    report->levels[c->level].n_failures++;
    report->n_failures++;
    if (report->n_kept < SY_CONFORM_FAILURES_MAX) {
        sy_conform_failure *failure = &report->failures[report->n_kept];
        failure->level = c->level;
        snprintf(failure->check, sizeof(failure->check), "%s", id);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(failure->text, sizeof(failure->text), format, arguments);
        va_end(arguments);
        report->n_kept++;
    }
    return false;
}

void sy__conform_doing(sy__conform *c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->report->doing, sizeof(c->report->doing), format, arguments);
    va_end(arguments);
}

void sy__conform_note(sy__conform *c, const char *format, ...) {
    sy_conform_level *level = &c->report->levels[c->level];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(level->note, sizeof(level->note), format, arguments);
    va_end(arguments);
}

/* What a plugin must leave as it is in the process (SYP-10). */
typedef struct surroundings {
    void (*handlers[SIGNALS_MAX])(int number);
    uint64_t environment;
    int output; /* memfd that stands for stdout */
} surroundings;

extern char **environ;

static uint64_t environment_hash(void) {
    uint64_t hash = 1469598103934665603u;
    for (char **item = environ; item != NULL && *item != NULL; item++) {
        for (const char *c = *item; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 1099511628211u;
        }
    }
    return hash;
}

static void surroundings_note(surroundings *around) {
    for (int i = 1; i < SIGNALS_MAX; i++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(i, NULL, &action);
        around->handlers[i] = action.sa_handler;
    }
    around->environment = environment_hash();
    around->output = memfd_create("conform-stdout", MFD_CLOEXEC);
    if (around->output >= 0) {
        dup2(around->output, STDOUT_FILENO);
    }
}

static void surroundings_check(sy__conform *c, const surroundings *around) {
    fflush(stdout);
    off_t n_printed = around->output >= 0 ? lseek(around->output, 0, SEEK_END) : 0;
    sy__conform_check(c, n_printed == 0, "L1.silent", "It wrote %lld bytes to stdout.",
                      (long long)n_printed);
    sy__conform_check(c, environment_hash() == around->environment, "L1.environment",
                      "It changed the environment of the process.");
    for (int i = 1; i < SIGNALS_MAX; i++) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(i, NULL, &action);
        sy__conform_check(c, action.sa_handler == around->handlers[i], "L1.signals",
                          "It installed a handler of signal %d.", i);
    }
}

static bool load_library(sy__conform *c) {
    sy__conform_doing(c, "loading the shared object");
    void *library = dlopen(c->options->path, RTLD_NOW | RTLD_LOCAL);
    const char *why = library == NULL ? dlerror() : NULL;
    if (!sy__conform_check(c, library != NULL, "L1.loads", "It cannot be loaded: %.250s.",
                           why != NULL ? why : "no reason")) {
        return false;
    }
    void *symbol = dlsym(library, "sy_plugin_entry");
    memcpy(&c->entry, &symbol, sizeof(c->entry));
    return sy__conform_check(c, symbol != NULL, "L1.loads", "It has no sy_plugin_entry.");
}

static void run_level(sy__conform *c) {
    static void (*const levels[SY_CONFORM_LEVELS])(sy__conform *) = {
        sy__conform_static, sy__conform_lifecycle, sy__conform_verdicts, sy__conform_memory,
        sy__conform_async,  sy__conform_blobs,     sy__conform_faults};
    surroundings around;
    if (c->level == 0) {
        levels[0](c);
        return;
    }
    surroundings_note(&around);
    if (load_library(c)) {
        levels[c->level](c);
        surroundings_check(c, &around);
    }
}

/* True when the child ended; *out_status as of waitpid. Ends it when it takes too long. */
static bool wait_for(pid_t child, uint64_t deadline_ns, int *out_status) {
    const struct timespec nap = {.tv_nsec = POLL_NS};
    for (;;) {
        pid_t ended = waitpid(child, out_status, WNOHANG);
        if (ended == child || (ended < 0 && errno != EINTR)) {
            return ended == child;
        }
        if (sy__clock_now_ns() > deadline_ns) {
            kill(child, SIGKILL);
            waitpid(child, out_status, 0);
            return false;
        }
        nanosleep(&nap, NULL);
    }
}

static sy_status run_in_child(sy__conform *c, sy_error *error) {
    uint64_t seconds = c->options->seconds != 0 ? c->options->seconds : DEFAULT_SECONDS;
    uint64_t deadline_ns = sy__clock_now_ns() + seconds * 1000000000u;
    c->report->levels[c->level].is_run = 1;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No process for the check: %s.",
                            strerror(errno));
    }
    if (child == 0) {
        run_level(c);
        _exit(0);
    }
    int status = 0;
    bool ended = wait_for(child, deadline_ns, &status);
    sy__conform_check(c, ended, "L1.ends", "It did not come back within %llu s while %.200s.",
                      (unsigned long long)seconds, c->report->doing);
    if (ended) {
        sy__conform_check(
            c, WIFEXITED(status) && WEXITSTATUS(status) == 0, "L1.alive",
            "The process ended (%s %d) while %.200s.", WIFSIGNALED(status) ? "signal" : "exit",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), c->report->doing);
    }
    return SY_OK;
}

sy_status sy_conform_run(const sy_conform_options *options, sy_conform_report **out_report,
                         sy_error *error) {
    if (options == NULL || options->struct_bytes < sizeof(*options) || options->path == NULL ||
        options->most_level >= SY_CONFORM_LEVELS || options->least_level > options->most_level) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The options need a path and a level of at most %u.",
                            SY_CONFORM_LEVELS - 1);
    }
    sy_conform_report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        return sy__no_memory(error, sizeof(*report), "a conformance report");
    }
    snprintf(report->path, sizeof(report->path), "%s", options->path);
    sy__conform c = {.options = options, .report = report, .level = options->least_level};
    sy_status status = SY_OK;
    for (; c.level <= options->most_level && status == SY_OK; c.level++) {
        status = run_in_child(&c, error);
        if (report->n_failures > 0 && c.level == 1) {
            break; /* what does not even open and close is not asked further */
        }
    }
    if (status != SY_OK) {
        sy_conform_report_destroy(report);
        return status;
    }
    *out_report = report;
    return SY_OK;
}

void sy_conform_report_destroy(sy_conform_report *report) {
    if (report != NULL) {
        munmap(report, sizeof(*report));
    }
}
