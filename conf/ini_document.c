/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a text twice in step: our scanner says what each line is, inih delivers sections and keys.
 * Both must agree on every line; where they do not, the text is refused rather than guessed at.
 */
#include "ini_internal.h"

#include "base/memory.h"
#include "switchyard/limits.h"

#include <ini.h>
#include <string.h>

struct sy_ini {
    const sy_allocator *allocator;
    sy__arena arena;
    const char *origin;
    sy_ini_entry *entries;
    sy_ini_section *sections;
    size_t n_entries, entries_capacity;
    size_t n_sections, sections_capacity;
};

/* State of one reading; inih calls back into it line by line. */
typedef struct reading {
    sy_ini *ini;
    const char *cursor, *end;
    uint32_t line;
    sy__ini_line now;
    bool is_delivered; /* inih has handed over the key of the current line */
    sy_status status;
    sy_error *error;
} reading;

static sy_status fail_at(reading *reader, sy_status status) {
    reader->status = status;
    sy_error_at(reader->error, reader->ini->origin, reader->line);
    return status;
}

static sy_status out_of_memory(reading *reader) {
    return fail_at(reader, sy__no_memory(reader->error, SY_LIMIT_INI_BYTES, "an INI text"));
}

static sy_status twice(reading *reader, const char *what, const char *name, uint32_t first_line) {
    sy_error_set(reader->error, SY_INVALID_ARGUMENT, "%s \"%s\" was given before, at line %u.",
                 what, name, first_line);
    sy_error_hint(reader->error, "Keep one of the two.");
    return fail_at(reader, SY_INVALID_ARGUMENT);
}

static sy_status add_section(reading *reader) {
    sy_ini *ini = reader->ini;
    const char *name = sy__arena_string(&ini->arena, reader->now.name, reader->now.n_name);
    if (name == NULL ||
        !sy__grow_array(ini->allocator, (void **)&ini->sections, &ini->sections_capacity,
                        ini->n_sections + 1, sizeof(*ini->sections))) {
        return out_of_memory(reader);
    }
    for (size_t i = 0; i < ini->n_sections; i++) {
        if (strcmp(ini->sections[i].name, name) == 0) {
            return twice(reader, "Section", name, ini->sections[i].line);
        }
    }
    if (ini->n_sections >= SY_LIMIT_INI_KEYS) {
        sy_error_set(reader->error, SY_OUT_OF_RANGE, "More than %u sections.", SY_LIMIT_INI_KEYS);
        return fail_at(reader, SY_OUT_OF_RANGE);
    }
    ini->sections[ini->n_sections++] = (sy_ini_section){name, reader->line};
    return SY_OK;
}

static sy_status check_key(reading *reader, const char *key) {
    sy_ini *ini = reader->ini;
    if (ini->n_sections == 0) {
        sy_error_set(reader->error, SY_INVALID_ARGUMENT,
                     "The key \"%s\" stands before any section.", key);
        sy_error_hint(reader->error, "Put a [section] line above it.");
        return fail_at(reader, SY_INVALID_ARGUMENT);
    }
    if (ini->n_entries >= SY_LIMIT_INI_KEYS) {
        sy_error_set(reader->error, SY_OUT_OF_RANGE, "More than %u keys.", SY_LIMIT_INI_KEYS);
        return fail_at(reader, SY_OUT_OF_RANGE);
    }
    const char *section = ini->sections[ini->n_sections - 1].name;
    for (size_t i = ini->n_entries; i-- > 0 && ini->entries[i].section == section;) {
        if (strcmp(ini->entries[i].key, key) == 0) {
            return twice(reader, "The key", key, ini->entries[i].line);
        }
    }
    return SY_OK;
}

static sy_status add_entry(reading *reader, const char *key, const char *value) {
    sy_ini *ini = reader->ini;
    sy_status status = check_key(reader, key);
    if (status != SY_OK) {
        return status;
    }
    sy_ini_entry entry = {ini->sections[ini->n_sections - 1].name,
                          sy__arena_string(&ini->arena, key, strlen(key)),
                          sy__arena_string(&ini->arena, value, strlen(value)), reader->line};
    if (entry.key == NULL || entry.value == NULL ||
        !sy__grow_array(ini->allocator, (void **)&ini->entries, &ini->entries_capacity,
                        ini->n_entries + 1, sizeof(*ini->entries))) {
        return out_of_memory(reader);
    }
    ini->entries[ini->n_entries++] = entry;
    return SY_OK;
}

static sy_status readers_disagree(reading *reader) {
    sy_error_set(reader->error, SY_INVALID_ARGUMENT,
                 "Two INI readers understand this line "
                 "differently.");
    sy_error_hint(reader->error, "Write it as plainly as docs/configuration.md shows.");
    return fail_at(reader, SY_INVALID_ARGUMENT);
}

static bool is_same(const char *string, const char *bytes, size_t n_bytes) {
    return strlen(string) == n_bytes && memcmp(string, bytes, n_bytes) == 0;
}

static int on_entry(void *user, const char *section, const char *key, const char *value) {
    reading *reader = user;
    if (reader->status != SY_OK) {
        return 0;
    }
    const sy_ini *ini = reader->ini;
    const char *expected = ini->n_sections > 0 ? ini->sections[ini->n_sections - 1].name : "";
    if (reader->now.kind != SY__INI_KEY || reader->is_delivered || strcmp(section, expected) != 0 ||
        !is_same(key, reader->now.name, reader->now.n_name) ||
        !is_same(value, reader->now.value, reader->now.n_value)) {
        readers_disagree(reader);
        return 0;
    }
    reader->is_delivered = true;
    return add_entry(reader, key, value) == SY_OK;
}

/* fgets for inih: hands over the next line once our scanner has passed it. */
static char *next_line(char *out_line, int n_bytes, void *stream) {
    reading *reader = stream;
    if (reader->status != SY_OK) {
        return NULL;
    }
    if (reader->now.kind == SY__INI_KEY && !reader->is_delivered) {
        readers_disagree(reader);
        return NULL;
    }
    if (reader->cursor == reader->end) {
        return NULL;
    }
    const char *start = reader->cursor;
    size_t n_left = (size_t)(reader->end - start);
    const char *newline = memchr(start, '\n', n_left);
    size_t n_line = newline != NULL ? (size_t)(newline - start) : n_left;
    reader->cursor = newline != NULL ? newline + 1 : reader->end;
    reader->line++;
    reader->is_delivered = false;
    n_line -= n_line > 0 && start[n_line - 1] == '\r';
    sy_status status = sy__ini_scan_line(start, n_line, &reader->now, reader->error);
    if (status != SY_OK) {
        fail_at(reader, status);
        return NULL;
    }
    if (reader->now.kind == SY__INI_SECTION && add_section(reader) != SY_OK) {
        return NULL;
    }
    if (n_bytes < 0 || n_line + 2 > (size_t)n_bytes) {
        readers_disagree(reader); /* inih was built with a shorter line than our limit */
        return NULL;
    }
    memcpy(out_line, start, n_line);
    memcpy(out_line + n_line, "\n", 2);
    return out_line;
}

static sy_status read_text(sy_ini *ini, const char *bytes, size_t n_bytes, sy_error *error) {
    reading reader = {.ini = ini, .cursor = bytes, .end = bytes + n_bytes, .error = error};
    if (n_bytes > SY_LIMIT_INI_BYTES) {
        sy_error_set(error, SY_OUT_OF_RANGE, "The text has %zu bytes; at most %u are read.",
                     n_bytes, SY_LIMIT_INI_BYTES);
        return fail_at(&reader, SY_OUT_OF_RANGE);
    }
    sy_status status = sy__ini_scan_characters(bytes, n_bytes, &reader.line, error);
    if (status != SY_OK) {
        return fail_at(&reader, status);
    }
    reader.line = 0;
    int line = ini_parse_stream(next_line, &reader, on_entry, &reader);
    if (reader.status == SY_OK && line != 0) {
        reader.line = line > 0 ? (uint32_t)line : 0;
        return readers_disagree(&reader);
    }
    return reader.status;
}

sy_status sy_ini_parse(const sy_allocator *allocator, const char *origin, const char *bytes,
                       size_t n_bytes, sy_ini **out_ini, sy_error *error) {
    sy_ini *ini = SY__NEW(allocator, sy_ini);
    if (ini == NULL) {
        return sy__no_memory(error, sizeof(*ini), "an INI text");
    }
    ini->allocator = sy__allocator_or_heap(allocator);
    sy__arena_init(&ini->arena, ini->allocator, 4096);
    ini->origin = sy__arena_string(&ini->arena, origin, strlen(origin));
    sy_status status = ini->origin != NULL ? read_text(ini, bytes, n_bytes, error)
                                           : sy__no_memory(error, strlen(origin), "a file name");
    if (status != SY_OK) {
        sy_ini_destroy(ini);
        return status;
    }
    *out_ini = ini;
    return SY_OK;
}

void sy_ini_destroy(sy_ini *ini) {
    if (ini == NULL) {
        return;
    }
    const sy_allocator *allocator = ini->allocator;
    sy__free_array(allocator, ini->entries, ini->entries_capacity, sizeof(*ini->entries));
    sy__free_array(allocator, ini->sections, ini->sections_capacity, sizeof(*ini->sections));
    sy__arena_deinit(&ini->arena);
    SY__DELETE(allocator, ini);
}

const char *sy_ini_origin(const sy_ini *ini) {
    return ini->origin;
}

const sy_ini_entry *sy_ini_entries(const sy_ini *ini, uint32_t *out_n) {
    *out_n = (uint32_t)ini->n_entries;
    return ini->entries;
}

const sy_ini_section *sy_ini_sections(const sy_ini *ini, uint32_t *out_n) {
    *out_n = (uint32_t)ini->n_sections;
    return ini->sections;
}

const sy_ini_entry *sy_ini_find(const sy_ini *ini, const char *section, const char *key) {
    for (size_t i = 0; i < ini->n_entries; i++) {
        if (strcmp(ini->entries[i].section, section) == 0 &&
            strcmp(ini->entries[i].key, key) == 0) {
            return &ini->entries[i];
        }
    }
    return NULL;
}
