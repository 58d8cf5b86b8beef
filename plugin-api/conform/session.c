/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and closes the plugin under test, and the reference beside it. */
#include "conform/conform_internal.h"

#include "reference/reference.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

bool sy__table_copy(const sy_plugin *table, sy_plugin *out_table) {
    memset(out_table, 0, sizeof(*out_table));
    if (table == NULL || table->header.size < offsetof(sy_plugin, submit) + sizeof(table->submit)) {
        return false;
    }
    size_t n_bytes = table->header.size < sizeof(*table) ? table->header.size : sizeof(*table);
    memcpy(out_table, table, n_bytes);
    return true;
}

uint32_t sy__count_entries(const char *folder) {
    uint32_t n = 0;
    DIR *stream = opendir(folder);
    if (stream == NULL) {
        return 0;
    }
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        n += entry->d_name[0] != '.';
    }
    closedir(stream);
    return n;
}

static bool session_begin(sy__conform *c, const sy_plugin *(*entry)(uint32_t, const sy_host *),
                          uint32_t n_workers, const char *options, uint32_t i_device,
                          sy__session *session) {
    sy_error error;
    if (sy_test_host_init(&session->host, n_workers, &error) != SY_OK) {
        return sy__conform_check(c, false, "L1.entry", "The check ran out of memory.");
    }
    const sy_plugin *table = entry(SY_ABI_VERSION, &session->host.services);
    if (!sy__conform_check(c, sy__table_copy(table, &session->table), "L1.entry",
                           "It gives no complete table to a host of ABI %u.%u: %.200s.",
                           SY_ABI_MAJOR, SY_ABI_MINOR,
                           session->host.report[0] != '\0' ? session->host.report : "no report")) {
        sy_test_host_deinit(&session->host);
        return false;
    }
    sy_status status = sy_op_runner_open(&session->runner, &session->table, &session->host,
                                         i_device, options, &error);
    if (!sy__conform_check(c, status == SY_OK, "L1.open",
                           "Device %u does not open (%s): %.150s. %.100s", i_device,
                           sy_status_name(status), error.message, session->host.misuse)) {
        sy_test_host_deinit(&session->host);
        return false;
    }
    return true;
}

bool sy__session_open(sy__conform *c, uint32_t n_workers, sy__session *session) {
    sy__conform_doing(c, "opening device %u", c->options->i_device);
    return session_begin(c, c->entry, n_workers, c->options->options, c->options->i_device,
                         session);
}

bool sy__session_open_with(sy__conform *c, uint32_t n_workers, const char *options,
                           sy__session *session) {
    char all[1024];
    const char *given = c->options->options != NULL ? c->options->options : "";
    size_t n_given = strlen(given);
    const char *between = n_given > 0 && given[n_given - 1] != '\n' ? "\n" : "";
    int n = snprintf(all, sizeof(all), "%s%s%s", given, between, options);
    return sy__conform_check(c, n >= 0 && (size_t)n < sizeof(all), "L1.open",
                             "Its options are too long for the check.") &&
           session_begin(c, c->entry, n_workers, n > 0 ? all : NULL, c->options->i_device, session);
}

bool sy__oracle_open(sy__conform *c, sy__session *session) {
    return session_begin(c, sy__reference_entry, 1, NULL, 0, session);
}

void sy__session_close(sy__conform *c, sy__session *session) {
    sy__conform_doing(c, "closing the device");
    sy_status status = sy_op_runner_close(&session->runner);
    const sy_test_host *host = &session->host;
    sy__conform_check(c, status == SY_OK, "L1.close", "close answers %s: %.200s.",
                      sy_status_name(status), host->report);
    sy__conform_check(c, host->n_live == 0, "L1.leaks",
                      "%zu allocations of %llu bytes are not released after close.", host->n_live,
                      (unsigned long long)host->live_bytes);
    sy__conform_check(c, host->n_misuses == 0, "L1.services", "It misuses the host: %.200s.",
                      host->misuse);
    sy_test_host_deinit(&session->host);
}
