/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at a shared object without loading it: this machine's kind, one exported symbol, only
 * libraries that the manifest allows, no search paths, no writable code. Every offset and size that
 * the file gives is checked against the file before it is used.
 */
#include "registry_internal.h"

#include "base/checked.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 128u
#define DYNAMIC_MAX 4096u
#define STRINGS_MAX (16u << 20)
#define BUCKETS_MAX (1u << 20)
#define SYMBOLS_MAX (1u << 20)
#define SYMBOLS_AT_ONCE 256u
#define ENTRY_NAME "sy_plugin_entry"

#if __SIZEOF_POINTER__ == 8
#define ELF_CLASS ELFCLASS64
#define SYMBOL_BIND(info) ELF64_ST_BIND(info)
#define SYMBOL_TYPE(info) ELF64_ST_TYPE(info)
#else
#define ELF_CLASS ELFCLASS32
#define SYMBOL_BIND(info) ELF32_ST_BIND(info)
#define SYMBOL_TYPE(info) ELF32_ST_TYPE(info)
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ELF_DATA ELFDATA2LSB
#else
#define ELF_DATA ELFDATA2MSB
#endif
#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#elif defined(__arm__)
#define ELF_MACHINE EM_ARM
#elif defined(__riscv)
#define ELF_MACHINE EM_RISCV
#elif defined(__i386__)
#define ELF_MACHINE EM_386
#else
#error "name the ELF machine of this processor here"
#endif

typedef ElfW(Addr) address;

/* What the dynamic section says. */
typedef struct dynamic_facts {
    address strings, symbols, gnu_hash, sysv_hash;
    uint64_t n_string_bytes;
    bool has_strings, has_symbols, has_gnu_hash, has_sysv_hash;
} dynamic_facts;

typedef struct checking {
    const sy_allocator *allocator;
    const sy__elf_source *source;
    sy__elf_allows allows;
    void *user;
    ElfW(Phdr) segments[SEGMENTS_MAX];
    uint32_t n_segments;
    ElfW(Dyn) * dynamic;
    size_t n_dynamic;
    dynamic_facts facts;
    char *strings;
    size_t n_string_bytes;
    sy_error *error;
} checking;

static sy_status refuse(checking *check, const char *message, const char *hint) {
    sy_error_set(check->error, SY_INVALID_ARGUMENT, "%s", message);
    sy_error_hint(check->error, "%s", hint);
    return SY_INVALID_ARGUMENT;
}

static sy_status damaged(checking *check, const char *what) {
    sy_error_set(check->error, SY_DATA_LOSS, "The file is cut off or damaged: %s.", what);
    sy_error_hint(check->error, "Install the plugin again.");
    return SY_DATA_LOSS;
}

static bool read_at(const checking *check, uint64_t offset, void *out_bytes, uint64_t n_bytes) {
    uint64_t end = 0;
    if (!sy__add_u64(offset, n_bytes, &end) || end > check->source->n_bytes) {
        return false;
    }
    if (check->source->fd < 0) {
        memcpy(out_bytes, check->source->bytes + offset, (size_t)n_bytes);
        return true;
    }
    for (uint64_t done = 0; done < n_bytes;) {
        ssize_t n = pread(check->source->fd, (char *)out_bytes + done, (size_t)(n_bytes - done),
                          (off_t)(offset + done));
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        done += n > 0 ? (uint64_t)n : 0;
    }
    return true;
}

/* Reads memory at an address as the loader will map it, from the file part of one segment. */
static bool read_mapped(const checking *check, uint64_t start, void *out_bytes, uint64_t n_bytes) {
    for (uint32_t i = 0; i < check->n_segments; i++) {
        const ElfW(Phdr) *segment = &check->segments[i];
        uint64_t skip = start - segment->p_vaddr, end = 0;
        if (segment->p_type == PT_LOAD && start >= segment->p_vaddr &&
            sy__add_u64(skip, n_bytes, &end) && end <= segment->p_filesz) {
            return read_at(check, segment->p_offset + skip, out_bytes, n_bytes);
        }
    }
    return false;
}

static sy_status check_header(checking *check, ElfW(Ehdr) * out_header) {
    if (!read_at(check, 0, out_header, sizeof(*out_header))) {
        return damaged(check, "no ELF header");
    }
    const ElfW(Ehdr) *header = out_header;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return refuse(check, "The file is no ELF shared object.", "Build it with -shared.");
    }
    if (header->e_ident[EI_CLASS] != ELF_CLASS || header->e_ident[EI_DATA] != ELF_DATA ||
        header->e_machine != ELF_MACHINE) {
        return refuse(check, "The file was built for another kind of processor.",
                      "Install the build for this machine.");
    }
    if (header->e_type != ET_DYN || header->e_ident[EI_VERSION] != EV_CURRENT) {
        return refuse(check, "The file is an ELF file but no shared object.",
                      "Build it with -shared.");
    }
    if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum == 0 ||
        header->e_phnum > SEGMENTS_MAX) {
        return damaged(check, "its table of segments makes no sense");
    }
    check->n_segments = header->e_phnum;
    uint64_t n_bytes = (uint64_t)header->e_phnum * sizeof(ElfW(Phdr));
    return read_at(check, header->e_phoff, check->segments, n_bytes)
               ? SY_OK
               : damaged(check, "its table of segments lies outside");
}

static sy_status check_load_segment(checking *check, const ElfW(Phdr) * segment,
                                    uint64_t *inout_end) {
    uint64_t file_end = 0, memory_end = 0;
    if (!sy__add_u64(segment->p_offset, segment->p_filesz, &file_end) ||
        file_end > check->source->n_bytes || segment->p_filesz > segment->p_memsz ||
        !sy__add_u64(segment->p_vaddr, segment->p_memsz, &memory_end) ||
        segment->p_memsz > UINT64_C(1) << 32 || segment->p_vaddr < *inout_end) {
        return damaged(check, "a segment lies outside or over another one");
    }
    *inout_end = memory_end;
    if ((segment->p_flags & PF_W) != 0 && (segment->p_flags & PF_X) != 0) {
        return refuse(check, "The file asks for memory that is writable and executable.",
                      "Link it without writable code.");
    }
    return SY_OK;
}

static sy_status check_segments(checking *check, const ElfW(Phdr) * *out_dynamic) {
    const ElfW(Phdr) *dynamic = NULL;
    bool has_stack = false;
    uint64_t end = 0;
    for (uint32_t i = 0; i < check->n_segments; i++) {
        const ElfW(Phdr) *segment = &check->segments[i];
        if (segment->p_type == PT_LOAD) {
            sy_status status = check_load_segment(check, segment, &end);
            if (status != SY_OK) {
                return status;
            }
        } else if (segment->p_type == PT_DYNAMIC) {
            if (dynamic != NULL) {
                return damaged(check, "it has two dynamic sections");
            }
            dynamic = segment;
        } else if (segment->p_type == PT_GNU_STACK) {
            has_stack = (segment->p_flags & PF_X) == 0;
        }
    }
    if (!has_stack) {
        return refuse(check, "The file asks for an executable stack.",
                      "Link it with -z noexecstack.");
    }
    *out_dynamic = dynamic;
    return dynamic != NULL ? SY_OK : damaged(check, "it has no dynamic section");
}

static sy_status read_dynamic(checking *check, const ElfW(Phdr) * segment) {
    check->n_dynamic = segment->p_filesz / sizeof(ElfW(Dyn));
    if (check->n_dynamic == 0 || check->n_dynamic > DYNAMIC_MAX) {
        return damaged(check, "its dynamic section is empty or huge");
    }
    check->dynamic = sy__alloc_array(check->allocator, check->n_dynamic, sizeof(ElfW(Dyn)));
    if (check->dynamic == NULL) {
        return sy__no_memory(check->error, check->n_dynamic * sizeof(ElfW(Dyn)), "an ELF check");
    }
    /* Through the mapping, as the loader will see it, not through p_offset. */
    return read_mapped(check, segment->p_vaddr, check->dynamic,
                       check->n_dynamic * sizeof(ElfW(Dyn)))
               ? SY_OK
               : damaged(check, "its dynamic section lies outside");
}

/* Tags that make the loader look elsewhere or write to code. */
static sy_status check_tag(checking *check, const ElfW(Dyn) * entry) {
    switch (entry->d_tag) {
    case DT_RPATH:
    case DT_RUNPATH:
        return refuse(check, "The file brings its own library search path (RPATH or RUNPATH).",
                      "Link it without -rpath.");
    case DT_AUDIT:
    case DT_DEPAUDIT:
    case DT_FILTER:
    case DT_AUXILIARY:
        return refuse(check, "The file loads further libraries by AUDIT, FILTER or AUXILIARY.",
                      "Link against libraries by name only.");
    case DT_TEXTREL:
        return refuse(check, "The file changes its own code while it is loaded (TEXTREL).",
                      "Build it with -fPIC.");
    case DT_FLAGS:
        return (entry->d_un.d_val & DF_TEXTREL) == 0
                   ? SY_OK
                   : refuse(check, "The file changes its own code while it is loaded (TEXTREL).",
                            "Build it with -fPIC.");
    case DT_FLAGS_1:
        return (entry->d_un.d_val & (DF_1_INTERPOSE | DF_1_GLOBAL)) == 0
                   ? SY_OK
                   : refuse(check, "The file wants to replace symbols of the process.",
                            "Link it without -z interpose and -z global.");
    default:
        return SY_OK;
    }
}

static sy_status read_facts(checking *check) {
    dynamic_facts *facts = &check->facts;
    for (size_t i = 0; i < check->n_dynamic && check->dynamic[i].d_tag != DT_NULL; i++) {
        const ElfW(Dyn) *entry = &check->dynamic[i];
        sy_status status = check_tag(check, entry);
        if (status != SY_OK) {
            return status;
        }
        if (entry->d_tag == DT_STRTAB) {
            facts->strings = entry->d_un.d_ptr;
            facts->has_strings = true;
        } else if (entry->d_tag == DT_STRSZ) {
            facts->n_string_bytes = entry->d_un.d_val;
        } else if (entry->d_tag == DT_SYMTAB) {
            facts->symbols = entry->d_un.d_ptr;
            facts->has_symbols = true;
        } else if (entry->d_tag == DT_GNU_HASH) {
            facts->gnu_hash = entry->d_un.d_ptr;
            facts->has_gnu_hash = true;
        } else if (entry->d_tag == DT_HASH) {
            facts->sysv_hash = entry->d_un.d_ptr;
            facts->has_sysv_hash = true;
        } else if (entry->d_tag == DT_SYMENT && entry->d_un.d_val != sizeof(ElfW(Sym))) {
            return damaged(check, "its symbols have another size");
        }
    }
    return facts->has_strings && facts->has_symbols
               ? SY_OK
               : damaged(check, "its dynamic section names no symbols");
}

static sy_status read_strings(checking *check) {
    check->n_string_bytes = (size_t)check->facts.n_string_bytes;
    if (check->facts.n_string_bytes == 0 || check->facts.n_string_bytes > STRINGS_MAX) {
        return damaged(check, "its string table is empty or huge");
    }
    check->strings = sy__alloc_array(check->allocator, check->n_string_bytes, 1);
    if (check->strings == NULL) {
        return sy__no_memory(check->error, check->n_string_bytes, "an ELF check");
    }
    if (!read_mapped(check, check->facts.strings, check->strings, check->n_string_bytes) ||
        check->strings[check->n_string_bytes - 1] != '\0') {
        return damaged(check, "its string table lies outside or does not end");
    }
    return SY_OK;
}

static sy_status check_libraries(checking *check) {
    for (size_t i = 0; i < check->n_dynamic && check->dynamic[i].d_tag != DT_NULL; i++) {
        if (check->dynamic[i].d_tag != DT_NEEDED) {
            continue;
        }
        uint64_t offset = check->dynamic[i].d_un.d_val;
        if (offset >= check->n_string_bytes) {
            return damaged(check, "the name of a library lies outside");
        }
        const char *library = check->strings + offset;
        if (strchr(library, '/') != NULL || !check->allows(check->user, library)) {
            sy_error_set(check->error, SY_PERMISSION_DENIED,
                         "The file needs the library %.120s, which its manifest does not list.",
                         library);
            sy_error_hint(check->error, "Add it to needed = in the manifest, or link without it.");
            return SY_PERMISSION_DENIED;
        }
    }
    return SY_OK;
}

/* The loader finds symbols through the hash table, so its end is the end of what matters. */
static bool count_by_gnu_hash(const checking *check, uint64_t *out_n) {
    uint32_t head[4]; /* buckets, first hashed symbol, bloom words, bloom shift */
    uint64_t start = check->facts.gnu_hash, last = 0;
    if (!read_mapped(check, start, head, sizeof(head)) || head[0] > BUCKETS_MAX ||
        head[1] > SYMBOLS_MAX || head[2] > BUCKETS_MAX) {
        return false;
    }
    uint64_t buckets = start + sizeof(head) + (uint64_t)head[2] * sizeof(address);
    for (uint32_t i = 0; i < head[0]; i++) {
        uint32_t symbol = 0;
        if (!read_mapped(check, buckets + (uint64_t)i * 4, &symbol, 4)) {
            return false;
        }
        last = symbol > last ? symbol : last;
    }
    if (last < head[1]) {
        *out_n = head[1];
        return true;
    }
    uint64_t chain = buckets + (uint64_t)head[0] * 4;
    for (; last < SYMBOLS_MAX; last++) {
        uint32_t hash = 0;
        if (!read_mapped(check, chain + (last - head[1]) * 4, &hash, 4)) {
            return false;
        }
        if ((hash & 1) != 0) {
            *out_n = last + 1;
            return true;
        }
    }
    return false;
}

static sy_status count_symbols(checking *check, uint64_t *out_n) {
    uint32_t head[2] = {0, 0};
    uint64_t n_gnu = 0, n_sysv = 0;
    if (check->facts.has_gnu_hash && !count_by_gnu_hash(check, &n_gnu)) {
        return damaged(check, "its hash table makes no sense");
    }
    if (check->facts.has_sysv_hash) {
        if (!read_mapped(check, check->facts.sysv_hash, head, sizeof(head)) ||
            head[1] > SYMBOLS_MAX) {
            return damaged(check, "its hash table makes no sense");
        }
        n_sysv = head[1];
    }
    *out_n = n_gnu > n_sysv ? n_gnu : n_sysv;
    return *out_n > 0 ? SY_OK : damaged(check, "it has no hash table of symbols");
}

static bool is_exported(const ElfW(Sym) * symbol) {
    unsigned char visibility = symbol->st_other & 3u;
    return symbol->st_shndx != SHN_UNDEF && SYMBOL_BIND(symbol->st_info) != STB_LOCAL &&
           visibility != STV_HIDDEN && visibility != STV_INTERNAL;
}

/* Marks that some linkers put into every shared object. */
static bool is_linker_mark(const char *name) {
    static const char *const marks[] = {"_init", "_fini",   "__bss_start",   "_edata",
                                        "_end",  "__end__", "__bss_start__", "__bss_end__"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (strcmp(name, marks[i]) == 0) {
            return true;
        }
    }
    return false;
}

static sy_status check_symbol(checking *check, const ElfW(Sym) * symbol, bool *inout_has_entry) {
    if (!is_exported(symbol)) {
        return SY_OK;
    }
    if (symbol->st_name >= check->n_string_bytes) {
        return damaged(check, "the name of a symbol lies outside");
    }
    const char *name = check->strings + symbol->st_name;
    if (strcmp(name, ENTRY_NAME) == 0 && SYMBOL_TYPE(symbol->st_info) == STT_FUNC) {
        *inout_has_entry = true;
        return SY_OK;
    }
    if (is_linker_mark(name)) {
        return SY_OK;
    }
    sy_error_set(check->error, SY_INVALID_ARGUMENT,
                 "The file exports %.120s; a plugin exports " ENTRY_NAME " and nothing else.",
                 name);
    sy_error_hint(check->error, "Build it with -fvisibility=hidden or a version script.");
    return SY_INVALID_ARGUMENT;
}

static sy_status check_exports(checking *check) {
    uint64_t n = 0;
    sy_status status = count_symbols(check, &n);
    bool has_entry = false;
    ElfW(Sym) symbols[SYMBOLS_AT_ONCE];
    for (uint64_t first = 0; status == SY_OK && first < n; first += SYMBOLS_AT_ONCE) {
        uint64_t n_now = n - first < SYMBOLS_AT_ONCE ? n - first : SYMBOLS_AT_ONCE;
        if (!read_mapped(check, check->facts.symbols + first * sizeof(ElfW(Sym)), symbols,
                         n_now * sizeof(ElfW(Sym)))) {
            return damaged(check, "its symbols lie outside");
        }
        for (uint64_t i = 0; status == SY_OK && i < n_now; i++) {
            status = check_symbol(check, &symbols[i], &has_entry);
        }
    }
    if (status == SY_OK && !has_entry) {
        return refuse(check, "The file does not export " ENTRY_NAME ".",
                      "Define it with SY_PLUGIN_EXPORT.");
    }
    return status;
}

sy_status sy__elf_check(const sy_allocator *allocator, const sy__elf_source *source,
                        sy__elf_allows allows, void *user, sy_error *error) {
    checking check = {
        .allocator = allocator, .source = source, .allows = allows, .user = user, .error = error};
    ElfW(Ehdr) header;
    const ElfW(Phdr) *dynamic = NULL;
    sy_status status = check_header(&check, &header);
    if (status == SY_OK) {
        status = check_segments(&check, &dynamic);
    }
    if (status == SY_OK) {
        status = read_dynamic(&check, dynamic);
    }
    sy_status (*const steps[])(checking *) = {read_facts, read_strings, check_libraries,
                                              check_exports};
    for (size_t i = 0; status == SY_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        status = steps[i](&check);
    }
    sy__free_array(allocator, check.dynamic, check.n_dynamic, sizeof(ElfW(Dyn)));
    sy__free_array(allocator, check.strings, check.n_string_bytes, 1);
    return status;
}
