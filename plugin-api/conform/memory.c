/* SPDX-License-Identifier: Apache-2.0 */
/* L3: buffers in every declared kind, import, export and map at odd places, refused allocations. */
#include "conform/conform_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SITES_MAX 400u
#define LARGE_BYTES ((uint64_t)1 << 60)
#define IMPORT_BYTES 20480u /* room for alignments up to 4096 */

static const char *const kind_names[SY_MEMORY_KIND_COUNT] = {"host", "memfd", "dma-buf", "opaque"};

static uint8_t pattern(uint64_t i) {
    return (uint8_t)(i * 167 + (i >> 8) + 13);
}

/* Writes through one mapping and reads through another. */
static void check_map(sy__conform *c, sy__session *s, sy_buffer *buffer, uint64_t n_bytes,
                      const char *what) {
    const uint64_t ranges[][2] = {{0, n_bytes}, {n_bytes / 3, n_bytes - n_bytes / 3}, {n_bytes, 0}};
    void *bytes = NULL;
    if (s->table.buffer_map == NULL) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        uint64_t first = ranges[i][0], n = ranges[i][1];
        sy_status status = s->table.buffer_map(buffer, first, n, SY_ACCESS_WRITE, &bytes);
        if (!sy__conform_check(c, status == SY_OK && (bytes != NULL || n == 0), "L3.map",
                               "%s: mapping [%llu, +%llu) answers %s.", what,
                               (unsigned long long)first, (unsigned long long)n,
                               sy_status_name(status))) {
            return;
        }
        for (uint64_t k = 0; k < n; k++) {
            ((uint8_t *)bytes)[k] = pattern(first + k);
        }
        s->table.buffer_unmap(buffer);
    }
    uint64_t first = n_bytes / 2, n = n_bytes - first;
    sy_status status = s->table.buffer_map(buffer, first, n, SY_ACCESS_READ, &bytes);
    bool same = status == SY_OK;
    for (uint64_t k = 0; same && k < n; k++) {
        same = ((const uint8_t *)bytes)[k] == pattern(first + k);
    }
    sy__conform_check(c, same, "L3.map", "%s: other bytes come back than were written.", what);
    if (status == SY_OK) {
        s->table.buffer_unmap(buffer);
    }
    sy__conform_doing(c, "mapping past the end of a %s", what);
    status = s->table.buffer_map(buffer, n_bytes, 4096, SY_ACCESS_READ, &bytes);
    sy__conform_check(c, status != SY_OK, "L3.map_range",
                      "%s: mapping 4096 bytes past the end is allowed.", what);
    status = s->table.buffer_map(buffer, UINT64_MAX - 63, 64, SY_ACCESS_READ, &bytes);
    sy__conform_check(c, status != SY_OK, "L3.map_range",
                      "%s: mapping at an offset that wraps is allowed.", what);
}

static void check_export(sy__conform *c, sy__session *s, sy_buffer *buffer, uint64_t n_bytes,
                         const char *what) {
    for (sy_memory_kind kind = 0; s->table.buffer_export != NULL && kind < SY_MEMORY_KIND_COUNT;
         kind++) {
        sy_memory memory = {.kind = UINT32_MAX, .fd = -1};
        sy_status status = s->table.buffer_export(buffer, kind, &memory);
        if (status != SY_OK) {
            sy__conform_check(c, memory.kind == UINT32_MAX, "L3.outputs",
                              "%s: a failed export wrote its output.", what);
            continue;
        }
        bool has_fd = kind == SY_MEMORY_MEMFD || kind == SY_MEMORY_DMABUF;
        sy__conform_check(
            c,
            memory.kind == kind && memory.length_bytes >= n_bytes &&
                (has_fd ? memory.fd >= 0 : kind != SY_MEMORY_HOST || memory.pointer != NULL),
            "L3.export", "%s: the export as %s memory is not whole.", what, kind_names[kind]);
    }
}

static void check_create(sy__conform *c, sy__session *s, sy_memory_kind kind) {
    static const uint64_t sizes[] = {1, 63, 64, 65, 4097, 1 << 20};
    bool is_own = (s->runner.info.memory_own & SY_MEMORY_BIT(kind)) != 0;
    char what[64];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        sy_buffer *buffer = NULL;
        snprintf(what, sizeof(what), "%s buffer of %llu bytes", kind_names[kind],
                 (unsigned long long)sizes[i]);
        sy__conform_doing(c, "creating a %s", what);
        sy_status status = s->table.buffer_create(s->runner.device, kind, sizes[i], &buffer);
        if (!is_own) {
            sy__conform_check(c, status != SY_OK && buffer == NULL, "L3.create_undeclared",
                              "%s: made, though memory_own does not name the kind.", what);
            if (status == SY_OK) {
                s->table.buffer_destroy(buffer);
            }
            return;
        }
        if (sy__conform_check(c, status == SY_OK && buffer != NULL, "L3.create",
                              "%s: buffer_create answers %s.", what, sy_status_name(status))) {
            check_map(c, s, buffer, sizes[i], what);
            check_export(c, s, buffer, sizes[i], what);
            status = s->table.buffer_destroy(buffer);
            sy__conform_check(c, status == SY_OK, "L3.create", "%s: destroy answers %s.", what,
                              sy_status_name(status));
        }
    }
    const uint64_t absurd[] = {LARGE_BYTES, UINT64_MAX, UINT64_MAX - 63};
    for (size_t i = 0; is_own && i < 3; i++) {
        sy_buffer *buffer = NULL;
        sy__conform_doing(c, "creating a buffer of %llu bytes", (unsigned long long)absurd[i]);
        sy_status status = s->table.buffer_create(s->runner.device, kind, absurd[i], &buffer);
        sy__conform_check(c, status != SY_OK && buffer == NULL, "L3.create_absurd",
                          "A %s buffer of %llu bytes is made.", kind_names[kind],
                          (unsigned long long)absurd[i]);
    }
}

/* Writes through the buffer must reach the imported bytes, and only those. */
static void check_imported(sy__conform *c, sy__session *s, const sy_memory *memory,
                           const uint8_t *seen, const char *what) {
    sy_buffer *buffer = NULL;
    void *bytes = NULL;
    sy__conform_doing(c, "importing %s", what);
    sy_status status = s->table.buffer_import(s->runner.device, memory, &buffer);
    if (memory->kind == SY_MEMORY_MEMFD) {
        close(memory->fd); /* the receiver dups what it keeps */
    }
    if (!sy__conform_check(c, status == SY_OK && buffer != NULL, "L3.import",
                           "%s: buffer_import answers %s: %.150s.", what, sy_status_name(status),
                           s->host.report)) {
        return;
    }
    if (s->table.buffer_map != NULL) {
        status = s->table.buffer_map(buffer, 0, memory->length_bytes, SY_ACCESS_WRITE, &bytes);
        bool is_shared = status == SY_OK;
        if (status == SY_OK) {
            memset(bytes, 0x3c, (size_t)memory->length_bytes);
            s->table.buffer_unmap(buffer);
            for (uint64_t i = 0; i < memory->length_bytes; i++) {
                is_shared &= seen[i] == 0x3c;
            }
            is_shared &= seen[memory->length_bytes] == 0 && seen[-1] == 0;
        }
        sy__conform_check(c, is_shared, "L3.import_shared",
                          "%s: writes do not reach exactly the memory that was imported.", what);
        sy__conform_doing(c, "mapping past the end of %s", what);
        status = s->table.buffer_map(buffer, 0, memory->length_bytes + 1, SY_ACCESS_READ, &bytes);
        sy__conform_check(c, status != SY_OK, "L3.map_range",
                          "%s: mapping past the end of the import is allowed.", what);
    }
    s->table.buffer_destroy(buffer);
}

static void check_import_host(sy__conform *c, sy__session *s, uint32_t alignment) {
    uint8_t *block = sy__alloc_array(NULL, IMPORT_BYTES + 4096, 1);
    if (block == NULL) {
        return;
    }
    uint8_t *aligned = block + 4096 - (uintptr_t)block % 4096;
    const uint64_t places[][2] = {{alignment, 1}, {alignment * 3, 777}, {4096, 4096}};
    for (size_t i = 0; i < 3; i++) {
        char what[80];
        sy_memory memory = {.kind = SY_MEMORY_HOST, .fd = -1, .pointer = aligned + places[i][0]};
        memory.length_bytes = places[i][1];
        memset(block, 0, IMPORT_BYTES + 4096);
        snprintf(what, sizeof(what), "host memory at +%llu of %llu bytes",
                 (unsigned long long)places[i][0], (unsigned long long)places[i][1]);
        check_imported(c, s, &memory, aligned + places[i][0], what);
    }
    sy__free_array(NULL, block, IMPORT_BYTES + 4096, 1);
}

static void check_import_memfd(sy__conform *c, sy__session *s, uint32_t alignment) {
    const uint64_t places[][2] = {{alignment, 100}, {4096, 4096}, {4096 + alignment, 333}};
    for (size_t i = 0; i < 3; i++) {
        char what[80];
        int fd = memfd_create("conform", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, IMPORT_BYTES) != 0) {
            return;
        }
        uint8_t *seen = mmap(NULL, IMPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (seen == MAP_FAILED) {
            close(fd);
            return;
        }
        sy_memory memory = {.kind = SY_MEMORY_MEMFD, .fd = fd};
        memory.offset_bytes = places[i][0];
        memory.length_bytes = places[i][1];
        snprintf(what, sizeof(what), "a memfd at +%llu of %llu bytes",
                 (unsigned long long)places[i][0], (unsigned long long)places[i][1]);
        check_imported(c, s, &memory, seen + places[i][0], what);
        munmap(seen, IMPORT_BYTES);
    }
}

static void check_import(sy__conform *c, sy__session *s) {
    uint32_t kinds = s->runner.info.memory_in;
    uint32_t alignment = s->runner.info.alignment_bytes != 0 ? s->runner.info.alignment_bytes : 64;
    if (s->table.buffer_import == NULL) {
        return;
    }
    if ((kinds & SY_MEMORY_BIT(SY_MEMORY_HOST)) != 0) {
        check_import_host(c, s, alignment);
    }
    if ((kinds & SY_MEMORY_BIT(SY_MEMORY_MEMFD)) != 0) {
        check_import_memfd(c, s, alignment);
    }
    sy_memory bad[] = {{.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = 64},
                       {.kind = SY_MEMORY_MEMFD, .fd = -1, .length_bytes = 64},
                       {.kind = 77, .fd = -1, .length_bytes = 64}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy_buffer *buffer = NULL;
        sy__conform_doing(c, "importing kind %u without memory", bad[i].kind);
        sy_status status = s->table.buffer_import(s->runner.device, &bad[i], &buffer);
        sy__conform_check(c, status != SY_OK && buffer == NULL, "L3.import_bad",
                          "Importing kind %u without any memory is allowed.", bad[i].kind);
        if (status == SY_OK && buffer != NULL) {
            s->table.buffer_destroy(buffer);
        }
    }
}

/* One allocation after the other is refused during load and one step; each time the answer is a
 * status, nothing stays behind, and the same works right afterwards. */
static void check_refused(sy__conform *c, sy__session *s, const sy__case *made) {
    sy_error error;
    bool is_hit = true;
    sy_op_unit first = {.runner = NULL};
    if (sy_op_load(&s->runner, &made->graph, &first, &error) == SY_OK) {
        sy__outcome outcome; /* what is made once may stay until the device is closed */
        sy_status status = sy__case_run(made, &first, made->n_tokens, &outcome, &error);
        sy__conform_check(c, status == SY_OK, "L3.recovers", "%s: %s", made->name, error.message);
        sy__outcome_deinit(&outcome);
    }
    sy_op_unload(&first);
    for (uint64_t i_site = 0; is_hit && i_site < SITES_MAX; i_site++) {
        size_t n_live = s->host.n_live;
        for (int again = 0; again < 2 && is_hit; again++) {
            sy_op_unit unit = {.runner = NULL};
            sy__outcome outcome;
            uint64_t n_before = s->host.n_allocs;
            sy__conform_doing(c, "loading and running %.150s with allocation %llu %s", made->name,
                              (unsigned long long)i_site, again ? "allowed" : "refused");
            if (!again) {
                sy_test_host_fail_alloc(&s->host, i_site, 1);
            }
            sy_status status = sy_op_load(&s->runner, &made->graph, &unit, &error);
            if (status == SY_OK) {
                status = sy__case_run(made, &unit, made->n_tokens, &outcome, &error);
                sy__outcome_deinit(&outcome);
            }
            sy_op_unload(&unit);
            sy_test_host_never_fail(&s->host);
            is_hit = again || s->host.n_allocs - n_before > i_site;
            bool fits = !again || status == SY_OK;
            sy__conform_check(c, fits, "L3.recovers",
                              "%s: after allocation %llu was refused it does not work again: %s.",
                              made->name, (unsigned long long)i_site, error.message);
            sy__conform_check(c, s->host.n_live == n_live, "L3.refused_leaks",
                              "%s: %zu allocations stay when allocation %llu is refused.",
                              made->name, s->host.n_live - n_live, (unsigned long long)i_site);
        }
    }
    sy__conform_check(c, !is_hit, "L3.sites", "%s: more than %u allocations in one load and step.",
                      made->name, SITES_MAX);
}

static void check_refused_open(sy__conform *c, sy__session *s) {
    for (uint64_t i = 0; i < SITES_MAX; i++) {
        sy_device *device = NULL;
        uint64_t n_before = s->host.n_allocs;
        size_t n_live = s->host.n_live;
        sy__conform_doing(c, "opening a second device with allocation %llu refused",
                          (unsigned long long)i);
        sy_test_host_fail_alloc(&s->host, i, 1);
        sy_status status = s->table.open(s->host.services.context, c->options->i_device,
                                         c->options->options, &device);
        sy_test_host_never_fail(&s->host);
        bool is_hit = s->host.n_allocs - n_before > i;
        if (status == SY_OK) {
            s->table.close(device);
        }
        sy__conform_check(c, s->host.n_live == n_live, "L3.refused_leaks",
                          "open: %zu allocations stay when allocation %llu is refused.",
                          s->host.n_live - n_live, (unsigned long long)i);
        if (!is_hit) {
            return;
        }
    }
}

void sy__conform_memory(sy__conform *c) {
    sy__session s;
    sy__pick pick;
    if (!sy__session_open(c, 1, &s)) {
        return;
    }
    uint32_t n_files = sy__count_entries("/proc/self/fd");
    for (sy_memory_kind kind = 0; kind < SY_MEMORY_KIND_COUNT; kind++) {
        check_create(c, &s, kind);
    }
    check_import(c, &s);
    sy__conform_check(c, sy__count_entries("/proc/self/fd") == n_files, "L3.leaks",
                      "Buffers leave file descriptors open.");
    for (int with_state = 0; with_state < 2; with_state++) {
        sy__case made;
        if (sy__pick_case(&s, with_state != 0, &pick)) {
            if (sy__case_init(&made, pick.i_row, pick.i_type, pick.i_shape, pick.n_tokens)) {
                check_refused(c, &s, &made);
            }
            sy__case_deinit(&made);
        }
    }
    check_refused_open(c, &s);
    sy__conform_states(c, &s);
    sy__conform_adapters(c, &s);
    sy__session_close(c, &s);
}
