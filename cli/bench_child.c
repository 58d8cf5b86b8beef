/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_child.h"

#include "bench_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void read_output(int fd, uint64_t start_ns, sy_child *child) {
    size_t n = 0;
    char rest[4096];
    for (;;) {
        int is_full = n + 1 >= sizeof(child->output);
        ssize_t got = read(fd, is_full ? rest : child->output + n,
                           is_full ? sizeof(rest) : sizeof(child->output) - 1 - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        if (child->first_byte_ns == 0) {
            child->first_byte_ns = sy_machine_now_ns() - start_ns;
        }
        n += is_full ? 0 : (size_t)got;
    }
    child->output[n] = '\0';
}

void sy_child_run(char *const *argv, int loud, sy_child *out_child) {
    int ends[2];
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    memset(out_child, 0, sizeof(*out_child));
    out_child->exit_status = -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (!loud) {
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    }
    extern char **environ;
    uint64_t start_ns = sy_machine_now_ns();
    int failed = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed == 0) {
        int status = 0;
        read_output(ends[0], start_ns, out_child);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        out_child->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    close(ends[0]);
}

int sy_child_find(const char *name, char *out_path, size_t n_bytes) {
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        int length = snprintf(out_path, n_bytes, "%.*s/%s", (int)n, path, name);
        if (n > 0 && length > 0 && (size_t)length < n_bytes && access(out_path, X_OK) == 0) {
            return 1;
        }
        path += n + (path[n] == ':');
    }
    return 0;
}
