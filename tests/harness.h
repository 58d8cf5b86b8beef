/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: a program lists its cases and calls sy_test_main; each case runs in a forked
 * child, so that a crash is a failed case and nothing leaks from one to the next. `PROGRAM name`
 * runs one case without a fork (for a debugger). Closes with "N passed, N failed, N skipped".
 */
#ifndef SY_TESTS_HARNESS_H
#define SY_TESTS_HARNESS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct sy_test_case {
    const char *name;
    void (*run)(void);
} sy_test_case;

#define SY_TEST_SKIP_STATUS 77

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

/* Like CHECK, with a printf text that tells the values. */
#define CHECK_TEXT(condition, ...)                                                  \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                           \
            fputc('\n', stderr);                                                    \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

#define CHECK_OK(status)                                             \
    do {                                                             \
        unsigned long check_status_ = (unsigned long)(status);       \
        CHECK_TEXT(check_status_ == 0, "status %lu", check_status_); \
    } while (0)

/* Same, printing the sy_error that the call filled. Needs switchyard/status.h. */
#define CHECK_OK_ERROR(status, error)                                                       \
    do {                                                                                    \
        unsigned long check_status_ = (unsigned long)(status);                              \
        CHECK_TEXT(check_status_ == 0, "status %lu: %s %s", check_status_, (error).message, \
                   (error).hint);                                                           \
    } while (0)

/* Leaves the case as skipped and says why. */
#define SKIP(...)                     \
    do {                              \
        fprintf(stderr, "skipped: "); \
        fprintf(stderr, __VA_ARGS__); \
        fputc('\n', stderr);          \
        exit(SY_TEST_SKIP_STATUS);    \
    } while (0)

/* The folder with large test data, or NULL when it is absent. */
static inline const char *sy_test_shared_dir(void) {
    const char *folder = getenv("SY_SHARED_DIR");
    return folder != NULL && access(folder, R_OK) == 0 ? folder : NULL;
}

static inline int sy_test_run_forked(const sy_test_case *test) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        test->run();
        exit(0); /* not _exit: leak checkers report at exit */
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return 1;
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "%s: killed by signal %d\n", test->name, WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}

/* Runs all cases, or those named on the command line. Answers the exit status of the program. */
static inline int sy_test_main(int argc, char **argv, const sy_test_case *cases, size_t n_cases) {
    int n_passed = 0, n_failed = 0, n_skipped = 0;
    for (size_t i = 0; i < n_cases; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
        if (argc > 1) {
            continue;
        }
        int result = sy_test_run_forked(&cases[i]);
        const char *word = result == 0 ? "ok" : result == SY_TEST_SKIP_STATUS ? "skip" : "FAILED";
        printf("%-6s %s\n", word, cases[i].name);
        n_passed += result == 0;
        n_skipped += result == SY_TEST_SKIP_STATUS;
        n_failed += result != 0 && result != SY_TEST_SKIP_STATUS;
    }
    printf("%d passed, %d failed, %d skipped\n", n_passed, n_failed, n_skipped);
    if (n_failed > 0 || (argc > 1)) {
        return 1;
    }
    return n_passed == 0 && n_skipped > 0 ? SY_TEST_SKIP_STATUS : 0;
}

#define SY_TEST_MAIN(cases)                                                           \
    int main(int argc, char **argv) {                                                 \
        return sy_test_main(argc, argv, (cases), sizeof(cases) / sizeof((cases)[0])); \
    }

#endif
