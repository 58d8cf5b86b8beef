/* SPDX-License-Identifier: Apache-2.0 */
/* L1: negotiation, the table, devices, and that nothing stays behind when they are closed. */
#include "conform/conform_internal.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROUNDS 1000u
#define GROWTH_BYTES (256u << 10) /* of the heap over all rounds; a leak of a round is far more */
#define BEYOND 0xa5
#define DEVICES_MAX 16u

/* Asks the entry as a host of another version would. A larger host struct ends in other bytes. */
static const sy_plugin *ask_as(sy__conform *c, sy_test_host *host, uint32_t abi,
                               uint32_t extra_bytes) {
    static struct {
        sy_host services;
        uint8_t beyond[64];
    } theirs;
    theirs.services = host->services;
    memset(theirs.beyond, BEYOND, sizeof(theirs.beyond));
    theirs.services.header.abi = abi;
    theirs.services.header.size += extra_bytes;
    sy_test_host_clear_report(host);
    return c->entry(abi, &theirs.services);
}

/* A table must be of the host's major and at most its minor; no table needs a report. */
static void check_answer(sy__conform *c, sy_test_host *host, uint32_t abi, uint32_t extra_bytes) {
    sy__conform_doing(c, "being asked by a host of ABI %u.%u", abi >> 16, abi & 0xffffu);
    const sy_plugin *table = ask_as(c, host, abi, extra_bytes);
    if (table == NULL) {
        sy__conform_check(c, host->n_reports > 0 && host->report[0] != '\0', "L1.decline",
                          "It gives no table to a host of ABI %u.%u and does not say why.",
                          abi >> 16, abi & 0xffffu);
        return;
    }
    sy__conform_check(c, table->header.abi >> 16 == abi >> 16 && table->header.abi <= abi,
                      "L1.negotiate", "It answers a host of ABI %u.%u with a table of %u.%u.",
                      abi >> 16, abi & 0xffffu, table->header.abi >> 16,
                      table->header.abi & 0xffffu);
}

static void check_versions(sy__conform *c) {
    sy_test_host host;
    sy_error error;
    if (sy_test_host_init(&host, 1, &error) != SY_OK) {
        return;
    }
    check_answer(c, &host, SY_ABI_VERSION - 1, 0);
    check_answer(c, &host, (SY_ABI_MAJOR + 1) << 16, 0);
    check_answer(c, &host, SY_ABI_VERSION + 1, 64);
    check_answer(c, &host, SY_ABI_VERSION + 200, 64);
    sy__conform_check(c, ask_as(c, &host, SY_ABI_VERSION + 1, 64) != NULL, "L1.newer_host",
                      "It refuses a host of a later minor of the same major: %.200s.", host.report);
    sy__conform_check(c, host.n_live == 0, "L1.leaks", "sy_plugin_entry keeps %zu allocations.",
                      host.n_live);
    sy_test_host_deinit(&host);
}

static void check_table(sy__conform *c, const sy_plugin *t) {
    const struct {
        const char *name;
        bool is_there;
    } mandatory[] = {{"enumerate", t->enumerate != NULL},
                     {"open", t->open != NULL},
                     {"close", t->close != NULL},
                     {"health", t->health != NULL},
                     {"judge", t->judge != NULL},
                     {"load", t->load != NULL},
                     {"unload", t->unload != NULL},
                     {"buffer_create", t->buffer_create != NULL},
                     {"buffer_destroy", t->buffer_destroy != NULL},
                     {"submit", t->submit != NULL}};
    for (size_t i = 0; i < sizeof(mandatory) / sizeof(mandatory[0]); i++) {
        sy__conform_check(c, mandatory[i].is_there, "L1.mandatory", "It lacks %s.",
                          mandatory[i].name);
    }
    int n_states = (t->state_create != NULL) + (t->state_clone != NULL) +
                   (t->state_truncate != NULL) + (t->state_shift != NULL) +
                   (t->state_save != NULL) + (t->state_load != NULL) + (t->state_destroy != NULL);
    sy__conform_check(c, n_states == 0 || n_states == 7, "L1.states_whole",
                      "It has %d of the 7 state functions: all or none.", n_states);
    int n_forks = (t->state_fork != NULL) + (t->state_need != NULL) + (t->state_reserve != NULL);
    sy__conform_check(c, n_forks == 0 || (n_forks == 3 && n_states == 7), "L1.states_whole",
                      "It has %d of state_fork, state_need and state_reserve: all or none, with "
                      "the 7.",
                      n_forks);
    sy__conform_check(c, (t->adapter_create == NULL) == (t->adapter_destroy == NULL),
                      "L1.adapters_whole",
                      "It has one of adapter_create and adapter_destroy without the other.");
    sy__conform_check(c, (t->buffer_map == NULL) == (t->buffer_unmap == NULL), "L1.map_whole",
                      "It has one of buffer_map and buffer_unmap without the other.");
    bool is_named = t->name != NULL && t->name[0] != '\0' &&
                    strspn(t->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(t->name);
    sy__conform_check(c, is_named && t->vendor != NULL && t->version != NULL, "L1.named",
                      "Its name has letters outside of [a-z0-9-], or a text is missing.");
    if (is_named) {
        snprintf(c->report->name, sizeof(c->report->name), "%s", t->name);
        snprintf(c->report->version, sizeof(c->report->version), "%s",
                 t->version != NULL ? t->version : "");
    }
}

/* Infos in a wide stride with headers that claim more: nothing past what this build knows may
 * change. */
static void check_enumerate(sy__conform *c, const sy_plugin *t, sy_test_host *host) {
    enum { STRIDE = sizeof(sy_device_info) + 64 };
    static union {
        sy_device_info info;
        uint8_t bytes[DEVICES_MAX * STRIDE];
    } place;
    uint32_t n = 0, n_written = 0;
    sy__conform_doing(c, "enumerating devices");
    sy_status status = t->enumerate(host->services.context, NULL, 0, &n);
    if (!sy__conform_check(c, status == SY_OK, "L1.enumerate", "enumerate answers %s.",
                           sy_status_name(status)) ||
        n == 0 || n > DEVICES_MAX) {
        sy__conform_check(c, n <= DEVICES_MAX, "L1.enumerate", "It counts %u devices.", n);
        return;
    }
    memset(place.bytes, 0, sizeof(place.bytes));
    for (uint32_t i = 0; i < n; i++) {
        sy_device_info *info = (sy_device_info *)(void *)(place.bytes + i * STRIDE);
        info->header = (sy_header)SY_HEADER_INIT(sy_device_info);
        memset(info + 1, BEYOND, STRIDE - sizeof(*info));
    }
    n_written = n;
    status = t->enumerate(host->services.context, &place.info, STRIDE, &n_written);
    sy__conform_check(c, status == SY_OK && n_written == n, "L1.enumerate",
                      "It counts %u devices and then gives %u (%s).", n, n_written,
                      sy_status_name(status));
    for (uint32_t i = 0; i < n; i++) {
        const sy_device_info *info = (const sy_device_info *)(void *)(place.bytes + i * STRIDE);
        const uint8_t *beyond = place.bytes + i * STRIDE + sizeof(*info);
        sy__conform_check(c, info->id[0] != '\0' && memchr(info->id, 0, sizeof(info->id)) != NULL,
                          "L1.device_info", "Device %u has no id.", i);
        sy__conform_check(c, info->memory_own != 0 && info->memory_in != 0, "L1.device_info",
                          "Device %u takes or owns no memory kind.", i);
        uint32_t alignment = info->alignment_bytes;
        sy__conform_check(c, (alignment & (alignment - 1)) == 0 && alignment <= 4096,
                          "L1.device_info", "Device %u wants an alignment of %u.", i, alignment);
        bool is_whole = true;
        for (size_t k = 0; k < STRIDE - sizeof(*info); k++) {
            is_whole &= beyond[k] == BEYOND;
        }
        sy__conform_check(c, is_whole, "L1.struct_ends",
                          "enumerate writes past the end of the struct of device %u.", i);
        if (i == c->options->i_device) {
            snprintf(c->report->device, sizeof(c->report->device), "%.63s", info->id);
            sy__conform_check(
                c, (info->memory_in & SY_MEMORY_BIT(SY_MEMORY_HOST)) != 0 || t->buffer_map != NULL,
                "L1.map_whole", "It takes no host memory and offers no buffer_map.");
        }
    }
}

static void check_health(sy__conform *c, const sy__session *s) {
    struct {
        sy_health health;
        uint8_t beyond[64];
    } got;
    for (uint32_t extra = 0; extra <= 64; extra += 64) {
        memset(&got, 0, sizeof(got));
        memset(got.beyond, BEYOND, sizeof(got.beyond));
        got.health.header = (sy_header)SY_HEADER_INIT(sy_health);
        got.health.header.size += extra;
        sy_status status = s->table.health(s->runner.device, &got.health);
        sy__conform_check(c, status == SY_OK && got.health.state != SY_HEALTH_LOST, "L1.health",
                          "health of a fresh device answers %s, state %u.", sy_status_name(status),
                          got.health.state);
        bool is_whole = true;
        for (size_t i = 0; i < sizeof(got.beyond) && extra == 0; i++) {
            is_whole &= got.beyond[i] == BEYOND;
        }
        sy__conform_check(c, is_whole, "L1.struct_ends", "health writes past its struct.");
    }
}

#ifdef SY_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void); /* of the checkers' own heap */
static uint64_t heap_bytes(void) {
    return __sanitizer_get_current_allocated_bytes();
}
#else
static uint64_t heap_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
#endif

/* Are there no more threads than that? The kernel lists one a little longer than whoever joined it
 * waits for it. */
static bool threads_have_ended(uint32_t n_expected) {
    const struct timespec a_moment = {.tv_nsec = 1000000};
    uint32_t n_waits = 0;
    while (sy__count_entries("/proc/self/task") > n_expected && n_waits < 2000) {
        nanosleep(&a_moment, NULL);
        n_waits++;
    }
    return n_waits < 2000;
}

static void check_rounds(sy__conform *c) {
    uint32_t n_files = 0, n_threads = 0;
    uint64_t heap = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        sy__session session;
        uint32_t n_before = c->report->n_failures;
        if (!sy__session_open(c, 1, &session)) {
            return;
        }
        sy__conform_doing(c, "closing for the %u. time", i + 1);
        sy__session_close(c, &session);
        if (c->report->n_failures != n_before) {
            return; /* once is enough */
        }
        if (i == ROUNDS / 10) { /* what is made once may stay */
            n_files = sy__count_entries("/proc/self/fd");
            n_threads = sy__count_entries("/proc/self/task");
            heap = heap_bytes();
        }
    }
    uint64_t now = heap_bytes();
    sy__conform_check(c, sy__count_entries("/proc/self/fd") <= n_files, "L1.leaks",
                      "Opening and closing leaks file descriptors.");
    sy__conform_check(c, threads_have_ended(n_threads), "L1.leaks",
                      "Opening and closing leaves threads behind.");
    sy__conform_check(c, now <= heap + GROWTH_BYTES, "L1.leaks",
                      "Opening and closing %u times grows the heap by %llu bytes.", ROUNDS,
                      (unsigned long long)(now - heap));
}

/* A view with one node nobody knows, under extensions and a larger header. */
static void check_extensions(sy__conform *c, sy__session *s) {
    sy_test_graph graph;
    sy_error error;
    sy_verdict verdict;
    sy_test_graph_init(&graph);
    sy_dimension dim = sy_test_fixed(4);
    uint32_t x = sy_test_graph_value(&graph, "x", SY_VALUE_INPUT, SY_TYPE_F32, 1, &dim);
    uint32_t y = sy_test_graph_value(&graph, "y", SY_VALUE_OUTPUT, SY_TYPE_F32, 1, &dim);
    sy_test_graph_node(&graph, "conform.test", "NoSuchOperator", 1, 1, &x, 1, &y);
    if (sy_test_graph_finish(&graph, &error) != SY_OK) {
        return;
    }
    sy__conform_doing(c, "judging an operator nobody knows");
    sy_status status = sy_op_judge(&s->runner, &graph, &verdict, &error);
    sy__conform_check(c, status == SY_OK && verdict.support == SY_SUPPORT_NO, "L1.unknown_operator",
                      "It does not say no to an operator that nobody knows (%s).",
                      sy_status_name(status));
    sy_extension must = {.id = 0x80c0ffeeu, .size = sizeof(sy_extension), .must = 1};
    sy_extension may = {.next = NULL, .id = 0x80c0ffedu, .size = sizeof(sy_extension)};
    graph.view.header.extensions = &may;
    sy__conform_doing(c, "judging a view with an unknown extension");
    status = sy_op_judge(&s->runner, &graph, &verdict, &error);
    sy__conform_check(c, status == SY_OK, "L1.may_extension",
                      "judge refuses an unknown extension that may be ignored (%s).",
                      sy_status_name(status));
    may.next = &must;
    status = sy_op_judge(&s->runner, &graph, &verdict, &error);
    sy__conform_check(c, SY_STATUS_CLASS(status) == SY_UNIMPLEMENTED, "L1.must_extension",
                      "judge answers %s to an unknown extension marked `must`.",
                      sy_status_name(status));
    graph.view.header.extensions = NULL;
    graph.view.header.size += 64;
    status = sy_op_judge(&s->runner, &graph, &verdict, &error);
    sy__conform_check(c, status == SY_OK, "L1.larger_struct",
                      "judge refuses a view that is larger than it knows (%s).",
                      sy_status_name(status));
    sy_test_graph_deinit(&graph);
}

void sy__conform_lifecycle(sy__conform *c) {
    sy_test_host host;
    sy_error error;
    sy_plugin table;
    check_versions(c);
    if (sy_test_host_init(&host, 1, &error) != SY_OK) {
        return;
    }
    bool has_table =
        sy__conform_check(c, sy__table_copy(c->entry(SY_ABI_VERSION, &host.services), &table),
                          "L1.entry", "It gives no complete table to a host of ABI %u.%u: %.200s.",
                          SY_ABI_MAJOR, SY_ABI_MINOR, host.report);
    if (has_table) {
        check_table(c, &table);
        check_enumerate(c, &table, &host);
    }
    sy_test_host_deinit(&host);
    if (!has_table || c->report->n_failures > 0) {
        return;
    }
    sy__session session;
    if (sy__session_open(c, 1, &session)) {
        check_health(c, &session);
        check_extensions(c, &session);
        sy__session_close(c, &session);
        check_rounds(c);
    }
}
