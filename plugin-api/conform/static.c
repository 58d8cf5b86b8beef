/* SPDX-License-Identifier: Apache-2.0 */
/* L0: what can be told without running a line of the plugin. The registry's own gate does most. */
#include "conform/conform_internal.h"

#include "switchyard/registry.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct image {
    const uint8_t *bytes;
    uint64_t n_bytes;
} image;

/* n items of size_bytes at offset, or NULL when they are not all inside of the file. */
static const void *range(const image *file, uint64_t offset, uint64_t n, uint64_t size_bytes) {
    uint64_t room = offset <= file->n_bytes ? file->n_bytes - offset : 0;
    return offset <= file->n_bytes && n <= room / size_bytes ? file->bytes + offset : NULL;
}

static bool has_relro(const image *file, const ElfW(Ehdr) * header) {
    const uint8_t *segments = range(file, header->e_phoff, header->e_phnum, sizeof(ElfW(Phdr)));
    for (uint32_t i = 0; segments != NULL && i < header->e_phnum; i++) {
        ElfW(Phdr) segment;
        memcpy(&segment, segments + i * sizeof(segment), sizeof(segment));
        if (segment.p_type == PT_GNU_RELRO) {
            return true;
        }
    }
    return false;
}

/* The name of an undefined symbol of ours, or NULL. */
static const char *undefined_of_ours(const image *file, const ElfW(Shdr) * symbols,
                                     const ElfW(Shdr) * strings) {
    uint64_t n = symbols->sh_size / sizeof(ElfW(Sym));
    const uint8_t *table = range(file, symbols->sh_offset, n, sizeof(ElfW(Sym)));
    const char *names = range(file, strings->sh_offset, strings->sh_size, 1);
    if (table == NULL || names == NULL || strings->sh_size == 0 ||
        names[strings->sh_size - 1] != '\0') {
        return NULL;
    }
    for (uint64_t i = 0; i < n; i++) {
        ElfW(Sym) symbol;
        memcpy(&symbol, table + i * sizeof(symbol), sizeof(symbol));
        bool is_ours =
            symbol.st_name < strings->sh_size && strncmp(names + symbol.st_name, "sy_", 3) == 0;
        if (symbol.st_shndx == SHN_UNDEF && is_ours) {
            return names + symbol.st_name;
        }
    }
    return NULL;
}

static const char *find_undefined(const image *file, const ElfW(Ehdr) * header) {
    const uint8_t *sections = range(file, header->e_shoff, header->e_shnum, sizeof(ElfW(Shdr)));
    for (uint32_t i = 0; sections != NULL && i < header->e_shnum; i++) {
        ElfW(Shdr) symbols, strings;
        memcpy(&symbols, sections + i * sizeof(symbols), sizeof(symbols));
        if (symbols.sh_type == SHT_DYNSYM && symbols.sh_link < header->e_shnum) {
            memcpy(&strings, sections + symbols.sh_link * sizeof(strings), sizeof(strings));
            return undefined_of_ours(file, &symbols, &strings);
        }
    }
    return NULL;
}

static void check_image(sy__conform *c, const image *file) {
    ElfW(Ehdr) header;
    if (file->n_bytes < sizeof(header)) {
        return;
    }
    memcpy(&header, file->bytes, sizeof(header));
    const char *name = find_undefined(file, &header);
    sy__conform_check(c, name == NULL, "L0.undefined",
                      "It wants the symbol %.100s from the host; all services come by the table.",
                      name != NULL ? name : "");
    sy__conform_check(c, has_relro(file, &header), "L0.hardening",
                      "It was linked without -z relro, so its tables stay writable.");
}

void sy__conform_static(sy__conform *c) {
    sy_error error;
    sy__conform_doing(c, "reading the file and its manifest");
    sy_status status = sy_registry_check_file(c->options->path, &error);
    if (!sy__conform_check(c, status == SY_OK, "L0.file", "%.200s %.100s", error.message,
                           error.hint)) {
        return;
    }
    int fd = open(c->options->path, O_RDONLY | O_CLOEXEC);
    struct stat facts = {.st_size = 0};
    if (fd >= 0 && fstat(fd, &facts) == 0 && facts.st_size > 0) {
        image file = {.n_bytes = (uint64_t)facts.st_size};
        void *bytes = mmap(NULL, (size_t)file.n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            file.bytes = bytes;
            check_image(c, &file);
            munmap(bytes, (size_t)file.n_bytes);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}
