/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the object: which files belong to a path, their mapping, the index by name. */
#include "internal.h"

#include "switchyard/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static sy_safetensors *make(const sy_allocator *allocator, const char *origin) {
    allocator = sy__allocator_or_heap(allocator);
    sy_safetensors *s = SY__NEW(allocator, sy_safetensors);
    if (s == NULL) {
        return NULL;
    }
    s->allocator = allocator;
    sy__arena_init(&s->arena, allocator, 0);
    s->facts.origin = sy__arena_string(&s->arena, origin, strlen(origin));
    if (s->facts.origin == NULL) {
        sy_safetensors_close(s);
        return NULL;
    }
    return s;
}

static sy_status add_file(sy_safetensors *s, sy__safetensors_file file, sy_error *error) {
    void *files = s->files;
    uint32_t i_file = s->facts.n_files;
    if (!sy__grow_array(s->allocator, &files, &s->capacity_files, (size_t)i_file + 1,
                        sizeof(*s->files))) {
        sy__file_map_close(&file.map);
        return sy__no_memory(error, sizeof(*s->files), "the list of files");
    }
    s->files = files;
    s->files[i_file] = file;
    s->facts.n_files++;
    s->facts.file_bytes += file.n_bytes;
    return sy__safetensors_read_file(s, i_file, error);
}

static sy_status map_file(sy_safetensors *s, const char *path, sy_error *error) {
    sy__safetensors_file file = {.name = sy__arena_string(&s->arena, path, strlen(path))};
    if (file.name == NULL) {
        return sy__no_memory(error, strlen(path), "the name of a file");
    }
    sy_status status = sy__file_map_open(path, &file.map, error);
    if (status != SY_OK) {
        return status;
    }
    file.bytes = file.map.bytes;
    file.n_bytes = file.map.n_bytes;
    return add_file(s, file, error);
}

static int compare_names(const void *left, const void *right) {
    const sy_safetensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static sy_status index_names(sy_safetensors *s, sy_error *error) {
    if (s->facts.n_tensors > 1) {
        qsort(s->tensors, s->facts.n_tensors, sizeof(*s->tensors), compare_names);
    }
    for (uint32_t i = 1; i < s->facts.n_tensors; i++) {
        if (strcmp(s->tensors[i - 1].name, s->tensors[i].name) == 0) {
            sy_error_set(error, SY_DATA_LOSS, "The tensor '%s' comes twice.", s->tensors[i].name);
            sy_error_hint(error, "Fetch the model again; two of its files do not belong together.");
            sy_error_at(error, s->facts.origin, UINT64_MAX);
            return SY_DATA_LOSS;
        }
    }
    return SY_OK;
}

/* An index: {"weight_map": {tensor: file}}. Files are opened in the order in which they come. */
typedef struct index_reader {
    sy_safetensors *safetensors;
    sy__json_document json;
    char path[SY__SAFETENSORS_PATH_BYTES];
    size_t n_folder_bytes;
    sy_error *error;
} index_reader;

static sy_status index_fail(index_reader *r, sy__json_index i, sy_status status, const char *what) {
    sy__json_fail(&r->json, i, r->error, status, "The index %s.", what);
    sy_error_hint(r->error, "Fetch the index and its files again.");
    return status;
}

static sy_status join(index_reader *r, sy__json_index i) {
    const char *name = NULL;
    size_t n = 0;
    if (!sy__json_text(&r->json, i, &r->safetensors->arena, &name, &n)) {
        return index_fail(r, i, SY_DATA_LOSS, "names a file by something that is no string");
    }
    if (n == 0 || memchr(name, '/', n) != NULL || memchr(name, '\0', n) != NULL || name[0] == '.') {
        return index_fail(r, i, SY_DATA_LOSS, "names a file that does not lie beside it");
    }
    if (r->n_folder_bytes + n >= sizeof(r->path)) {
        return index_fail(r, i, SY_OUT_OF_RANGE, "names a file by too long a name");
    }
    memcpy(r->path + r->n_folder_bytes, name, n);
    r->path[r->n_folder_bytes + n] = '\0';
    return SY_OK;
}

static bool is_open(const sy_safetensors *s, const char *path) {
    for (uint32_t i = s->facts.n_files; i > 0; i--) { /* neighbours mostly share a file */
        if (strcmp(s->files[i - 1].name, path) == 0) {
            return true;
        }
    }
    return false;
}

static sy_status open_shards(index_reader *r) {
    sy__json_index map = sy__json_member(&r->json, 0, "weight_map");
    uint32_t n = sy__json_n(&r->json, map);
    if (sy__json_kind_of(&r->json, map) != SY__JSON_OBJECT || n > SY_LIMIT_TENSORS) {
        return index_fail(r, map, SY_DATA_LOSS, "has no weight_map, or one of over 65536 tensors");
    }
    sy__json_index key = sy__json_first(&r->json, map);
    for (uint32_t i = 0; i < n; i++) {
        sy_status status = join(r, key + 1);
        if (status == SY_OK && !is_open(r->safetensors, r->path)) {
            status = r->safetensors->facts.n_files < SY__SAFETENSORS_FILES_MAX
                         ? map_file(r->safetensors, r->path, r->error)
                         : index_fail(r, key, SY_OUT_OF_RANGE, "names more than 4096 files");
        }
        if (status != SY_OK) {
            return status;
        }
        key = sy__json_next(&r->json, key + 1);
    }
    return SY_OK;
}

static sy_status open_index(sy_safetensors *s, const char *path, sy_error *error) {
    index_reader *r = SY__NEW(s->allocator, index_reader);
    sy__file_map map = {NULL, 0};
    const char *slash = strrchr(path, '/');
    if (r == NULL) {
        return sy__no_memory(error, sizeof(*r), "the index of a model");
    }
    r->safetensors = s;
    r->error = error;
    r->n_folder_bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    sy_status status = sy__file_map_open(path, &map, error);
    if (status == SY_OK) {
        status = sy__json_parse(s->allocator, (const char *)map.bytes, map.n_bytes, path, &r->json,
                                error);
    }
    if (status == SY_OK) {
        memcpy(r->path, path, r->n_folder_bytes);
        status = open_shards(r);
        sy__json_document_deinit(&r->json);
    }
    sy__file_map_close(&map);
    SY__DELETE(s->allocator, r);
    return status;
}

static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), n_end = strlen(end);
    return n >= n_end && strcmp(path + n - n_end, end) == 0;
}

/* A folder: its one file, else its index. */
static sy_status choose(const char *path, char out_path[SY__SAFETENSORS_PATH_BYTES],
                        sy_error *error) {
    static const char *const names[] = {"", "/model.safetensors", "/model.safetensors.index.json"};
    struct stat facts;
    bool is_folder = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    for (size_t i = is_folder ? 1 : 0; i < (is_folder ? 3u : 1u); i++) {
        int n = snprintf(out_path, SY__SAFETENSORS_PATH_BYTES, "%s%s", path, names[i]);
        if (n < 0 || (size_t)n >= SY__SAFETENSORS_PATH_BYTES) {
            return sy_error_set(error, SY_OUT_OF_RANGE, "The path is longer than 4095 bytes.");
        }
        if (!is_folder || stat(out_path, &facts) == 0) {
            return SY_OK;
        }
    }
    sy_error_set(error, SY_NOT_FOUND,
                 "The folder has neither model.safetensors nor model.safetensors.index.json.");
    sy_error_hint(error, "Fetch the weights of the model as safetensors.");
    sy_error_at(error, path, UINT64_MAX);
    return SY_NOT_FOUND;
}

static sy_status hand_out(sy_safetensors *s, sy_status status, sy_safetensors **out_safetensors,
                          sy_error *error) {
    status = status == SY_OK ? index_names(s, error) : status;
    if (status != SY_OK) {
        sy_safetensors_close(s);
        return status;
    }
    *out_safetensors = s;
    return SY_OK;
}

sy_status sy_safetensors_open(const sy_allocator *allocator, const char *path,
                              sy_safetensors **out_safetensors, sy_error *error) {
    char chosen[SY__SAFETENSORS_PATH_BYTES];
    sy_status status = choose(path, chosen, error);
    if (status != SY_OK) {
        return status;
    }
    sy_safetensors *s = make(allocator, path);
    if (s == NULL) {
        return sy__no_memory(error, sizeof(*s), "the model file");
    }
    status = ends_with(chosen, ".json") ? open_index(s, chosen, error) : map_file(s, chosen, error);
    return hand_out(s, status, out_safetensors, error);
}

sy_status sy_safetensors_open_memory(const sy_allocator *allocator, const void *bytes,
                                     uint64_t n_bytes, const char *name,
                                     sy_safetensors **out_safetensors, sy_error *error) {
    sy_safetensors *s = make(allocator, name);
    if (s == NULL) {
        return sy__no_memory(error, sizeof(*s), "the model file");
    }
    sy__safetensors_file file = {.bytes = bytes, .n_bytes = n_bytes, .name = s->facts.origin};
    return hand_out(s, add_file(s, file, error), out_safetensors, error);
}

void sy_safetensors_close(sy_safetensors *safetensors) {
    if (safetensors == NULL) {
        return;
    }
    const sy_allocator *allocator = safetensors->allocator;
    for (uint32_t i = 0; i < safetensors->facts.n_files; i++) {
        sy__file_map_close(&safetensors->files[i].map);
    }
    sy__free_array(allocator, safetensors->files, safetensors->capacity_files,
                   sizeof(*safetensors->files));
    sy__free_array(allocator, safetensors->tensors, safetensors->capacity_tensors,
                   sizeof(*safetensors->tensors));
    sy__arena_deinit(&safetensors->arena);
    SY__DELETE(allocator, safetensors);
}

const sy_safetensors_facts *sy_safetensors_get_facts(const sy_safetensors *safetensors) {
    return &safetensors->facts;
}

int sy_safetensors_at(const sy_safetensors *safetensors, uint32_t i_tensor,
                      sy_safetensor *out_tensor) {
    if (i_tensor >= safetensors->facts.n_tensors) {
        return 0;
    }
    *out_tensor = safetensors->tensors[i_tensor];
    return 1;
}

int sy_safetensors_find(const sy_safetensors *safetensors, const char *name,
                        sy_safetensor *out_tensor) {
    sy_safetensor wanted = {.name = name};
    const sy_safetensor *found =
        safetensors->facts.n_tensors == 0
            ? NULL
            : bsearch(&wanted, safetensors->tensors, safetensors->facts.n_tensors, sizeof(wanted),
                      compare_names);
    if (found == NULL) {
        return 0;
    }
    *out_tensor = *found;
    return 1;
}
