/* SPDX-License-Identifier: Apache-2.0 */
/* The static check on damaged files: cut at every place, fields changed, and always an answer. */
#include "sandbox.h"

#include "registry_internal.h"
#include "tools/fault.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>

static bool allow_all(void *user, const char *library) {
    (void)user;
    (void)library;
    return true;
}

static bool allow_none(void *user, const char *library) {
    (void)user;
    (void)library;
    return false;
}

static size_t read_variant(const char *variant, uint8_t **out_bytes) {
    char path[PATH_BYTES];
    void *bytes = NULL;
    variant_path(variant, path);
    size_t n = read_file(path, &bytes);
    *out_bytes = bytes;
    return n;
}

static sy_status check(const uint8_t *bytes, size_t n, sy_error *error) {
    sy__elf_source source = {-1, bytes, n};
    sy_error_clear(error);
    return sy__elf_check(NULL, &source, allow_all, NULL, error);
}

static void good_file_passes(void) {
    uint8_t *bytes = NULL;
    sy_error error;
    size_t n = read_variant("good", &bytes);
    CHECK_OK_ERROR(check(bytes, n, &error), error);
    sy__elf_source source = {-1, bytes, n};
    CHECK(sy__elf_check(NULL, &source, allow_none, NULL, &error) == SY_PERMISSION_DENIED);
#if defined(SY_SANITIZED)
    const char *first_needed = "san.so"; /* the sanitizer's own library comes before all others */
#else
    const char *first_needed = "libc.so.6";
#endif
    CHECK_TEXT(strstr(error.message, first_needed) != NULL, "%s", error.message);
    free(bytes);
}

/* A copy of exactly n bytes each time, so that a checker sees every read past the end. */
static void every_cut_is_refused_or_harmless(void) {
    uint8_t *bytes = NULL;
    size_t n = read_variant("good", &bytes), n_refused = 0, n_cuts = 0;
    for (size_t n_cut = 0; n_cut < n; n_cut += n_cut < 4096 ? 1 : 64, n_cuts++) {
        uint8_t *cut = malloc(n_cut + 1);
        sy_error error;
        memcpy(cut, bytes, n_cut);
        uint8_t *exact = realloc(cut, n_cut > 0 ? n_cut : 1);
        if (check(exact, n_cut, &error) != SY_OK) {
            n_refused++;
            CHECK(error.message[0] != '\0');
        }
        free(exact);
    }
    /* Only debug sections and section headers may be missing: they are never mapped. */
    CHECK_TEXT(n_refused * 20 > n_cuts, "%zu of %zu", n_refused, n_cuts);
    free(bytes);
}

/* A cut file in a plugin directory is listed as broken; the scan goes on. */
static void cut_files_are_listed(void) {
    uint8_t *bytes = NULL;
    read_variant("good", &bytes);
    for (size_t n_cut = 0; n_cut <= 4096; n_cut += 256) {
        sandbox box;
        char path[PATH_BYTES];
        sandbox_open(&box);
        place(&box, "good");
        path_in(box.directory, "cpu-test/cpu-test.so", path);
        write_file(path, bytes, n_cut);
        sandbox_scan(&box, NULL);
        CHECK(only_candidate(&box)->state == SY_CANDIDATE_BROKEN);
        CHECK(sandbox_close(&box) == 0);
    }
    free(bytes);
}

static void put(uint8_t *bytes, size_t offset, const void *value, size_t n) {
    memcpy(bytes + offset, value, n);
}

static void header_fields(void) {
    static const struct {
        size_t offset;
        uint16_t value;
        const char *text;
    } changes[] = {{offsetof(ElfW(Ehdr), e_machine), 0x7777, "another kind of processor"},
                   {offsetof(ElfW(Ehdr), e_type), ET_EXEC, "no shared object"},
                   {offsetof(ElfW(Ehdr), e_phnum), 0, "table of segments"},
                   {offsetof(ElfW(Ehdr), e_phnum), 0xffff, "table of segments"},
                   {offsetof(ElfW(Ehdr), e_phentsize), 1, "table of segments"},
                   {0, 0x7777, "no ELF"},
                   {EI_CLASS, ELFCLASS32 | ELFDATA2MSB << 8, "another kind of processor"}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint8_t *bytes = NULL;
        sy_error error;
        size_t n = read_variant("good", &bytes);
        put(bytes, changes[i].offset, &changes[i].value, 2);
        CHECK(check(bytes, n, &error) != SY_OK);
        CHECK_TEXT(strstr(error.message, changes[i].text) != NULL, "%s", error.message);
        free(bytes);
    }
}

static ElfW(Phdr) * segments(uint8_t *bytes, uint32_t *out_n) {
    ElfW(Ehdr) header;
    memcpy(&header, bytes, sizeof(header));
    *out_n = header.e_phnum;
    return (ElfW(Phdr) *)(bytes + header.e_phoff); /* 64-byte header: aligned */
}

static void segment_flags(void) {
    uint8_t *bytes = NULL;
    sy_error error;
    uint32_t n_segments = 0;
    size_t n = read_variant("good", &bytes);
    ElfW(Phdr) *table = segments(bytes, &n_segments);
    for (uint32_t i = 0; i < n_segments; i++) {
        ElfW(Phdr) saved = table[i];
        table[i].p_flags = PF_R | PF_W | PF_X;
        sy_status status = check(bytes, n, &error);
        if (saved.p_type == PT_GNU_STACK) {
            CHECK(status != SY_OK && strstr(error.message, "executable stack") != NULL);
            table[i].p_type = PT_NULL;
            CHECK(check(bytes, n, &error) != SY_OK);
        } else if (saved.p_type == PT_LOAD) {
            CHECK(status != SY_OK && strstr(error.message, "writable and executable") != NULL);
        }
        table[i] = saved;
    }
    free(bytes);
}

/* Tags that change what the loader does; the first NEEDED is turned into each. */
static void dynamic_tags(void) {
    static const struct {
        ElfW(Sxword) tag;
        const char *text;
    } tags[] = {{DT_RPATH, "RPATH"},    {DT_RUNPATH, "RUNPATH"}, {DT_AUDIT, "AUDIT"},
                {DT_DEPAUDIT, "AUDIT"}, {DT_FILTER, "FILTER"},   {DT_AUXILIARY, "AUXILIARY"},
                {DT_TEXTREL, "TEXTREL"}};
    uint8_t *bytes = NULL;
    sy_error error;
    uint32_t n_segments = 0, i_dynamic = 0;
    size_t n = read_variant("good", &bytes);
    ElfW(Phdr) *table = segments(bytes, &n_segments);
    while (table[i_dynamic].p_type != PT_DYNAMIC) {
        i_dynamic++;
    }
    ElfW(Dyn) *entry = (ElfW(Dyn) *)(bytes + table[i_dynamic].p_offset);
    while (entry->d_tag != DT_NEEDED) {
        entry++;
    }
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        entry->d_tag = tags[i].tag;
        CHECK(check(bytes, n, &error) != SY_OK);
        CHECK_TEXT(strstr(error.message, tags[i].text) != NULL, "%s", error.message);
    }
    free(bytes);
}

/* Random changes: never a crash, whatever is found. Reproducible by its seed. */
static void mutations_are_survived(void) {
    uint8_t *bytes = NULL;
    size_t n = read_variant("good", &bytes);
    uint8_t *changed = malloc(n);
    uint64_t random = 0x9e3779b97f4a7c15u;
    uint32_t n_refused = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(changed, bytes, n);
        for (uint32_t k = 0; k < 4; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % (round % 2 == 0 && n > 4096 ? 4096 : n);
            changed[at] = (uint8_t)(random >> 13);
        }
        sy_error error;
        n_refused += check(changed, n, &error) != SY_OK;
    }
    CHECK(n_refused > 1000);
    free(changed);
    free(bytes);
}

static void allocation_failures_are_clean(void) {
    uint8_t *bytes = NULL;
    size_t n = read_variant("good", &bytes);
    sy__elf_source source = {-1, bytes, n};
    for (uint64_t i = 1;; i++) {
        sy_test_fault fault;
        sy_error error;
        sy_test_fault_init(&fault, i, false);
        sy_status status = sy__elf_check(&fault.allocator, &source, allow_all, NULL, &error);
        CHECK(fault.live_bytes == 0);
        CHECK((status == SY_OK) == !fault.has_failed);
        if (status == SY_OK) {
            CHECK(i > 1);
            break;
        }
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
    }
    free(bytes);
}

static const sy_test_case cases[] = {
    {"good_file_passes", good_file_passes},
    {"every_cut_is_refused_or_harmless", every_cut_is_refused_or_harmless},
    {"cut_files_are_listed", cut_files_are_listed},
    {"header_fields", header_fields},
    {"segment_flags", segment_flags},
    {"dynamic_tags", dynamic_tags},
    {"mutations_are_survived", mutations_are_survived},
    {"allocation_failures_are_clean", allocation_failures_are_clean},
};
SY_TEST_MAIN(cases)
