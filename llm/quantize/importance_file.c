/* SPDX-License-Identifier: Apache-2.0 */
/* Files of importance matrices, both forms that llama.cpp has written:
 *   GGUF: for a matrix NAME the tensors NAME.in_sum2, sums of squares, and NAME.counts, over how
 *   many rows; keys imatrix.chunk_count, imatrix.chunk_size, imatrix.datasets.
 *   before: i32 number of entries; for each i32 length and bytes of the name, i32 chunks, i32
 *   number of values, f32 values (mean squares times chunks); at the end, in some, i32 chunks of
 *   the whole, i32 length and bytes of the text's name. */
#include "base/file_map.h"
#include "quantize/importance.h"
#include "switchyard/gguf_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SUMS ".in_sum2"
#define COUNTS ".counts"
#define OLD_CHUNK_TOKENS 512u /* what nearly all files of the older form were made with */
#define OLD_ENTRIES_MOST (1 << 20)
#define WRITE_FLOATS 1024u

static sy_status fail(sy_error *error, const char *path, sy_status status, const char *what) {
    sy_error_set(error, status, "The importance matrix cannot be read: %s.", what);
    sy_error_at(error, path, UINT64_MAX);
    return status;
}

static float float_at(const void *floats, uint64_t i) {
    float number = 0.0f;
    memcpy(&number, (const uint8_t *)floats + i * sizeof(number), sizeof(number));
    return number;
}

/* False for what cannot be a sum of squares or a number of rows. */
static bool read_numbers(const void *floats, uint64_t n, double factor, double *out_numbers) {
    for (uint64_t i = 0; i < n; i++) {
        float number = float_at(floats, i);
        if (!isfinite(number) || number < 0.0f) {
            return false;
        }
        out_numbers[i] = (double)number * factor;
    }
    return true;
}

/* ---- GGUF ---- */

/* Cuts the end off a tensor's name; false when it ends otherwise. */
static bool base_name(const sy_gguf_tensor *tensor, char out_name[SY_LIMIT_NAME_BYTES + 1]) {
    uint64_t n = tensor->name.n_bytes, n_end = sizeof(SUMS) - 1;
    if (n <= n_end || n > SY_LIMIT_NAME_BYTES ||
        memcmp(tensor->name.bytes + n - n_end, SUMS, n_end) != 0) {
        return false;
    }
    memcpy(out_name, tensor->name.bytes, (size_t)(n - n_end));
    out_name[n - n_end] = '\0';
    return true;
}

static sy_status read_tensor(sy_importance *importance, const sy_gguf *gguf, const char *path,
                             const sy_gguf_tensor *sums, const char *name, sy_error *error) {
    char counts_name[SY_LIMIT_NAME_BYTES + sizeof(COUNTS)];
    sy_gguf_tensor counts;
    uint32_t i_entry = 0;
    snprintf(counts_name, sizeof(counts_name), "%s" COUNTS, name);
    uint64_t n_columns = sums->dims[0], n_matrices = sums->n_elements / (n_columns + !n_columns);
    if (!sy_gguf_find_tensor(gguf, counts_name, &counts) || counts.n_elements != n_matrices ||
        sums->type != SY_TYPE_F32 || counts.type != SY_TYPE_F32) {
        return fail(error, path, SY_DATA_LOSS, "sums and counts do not fit together");
    }
    sy_status status =
        sy__importance_need(importance, name, n_columns, n_matrices, &i_entry, error);
    if (status != SY_OK) {
        return status;
    }
    const sy__importance_entry *entry = &importance->entries[i_entry];
    return read_numbers(sums->data, sums->n_elements, 1.0, entry->sums) &&
                   read_numbers(counts.data, n_matrices, 1.0, entry->counts)
               ? SY_OK
               : fail(error, path, SY_DATA_LOSS, "it holds numbers that are no sums of squares");
}

static sy_status read_keys(sy_importance *importance, const sy_gguf *gguf, sy_error *error) {
    uint32_t n_chunks = 0, n_chunk_tokens = 0;
    sy_gguf_value texts;
    sy_status status = SY_OK;
    if (sy_gguf_get_u32(gguf, "imatrix.chunk_count", &n_chunks, NULL) != SY_OK ||
        sy_gguf_get_u32(gguf, "imatrix.chunk_size", &n_chunk_tokens, NULL) != SY_OK) {
        n_chunk_tokens = 0; /* not told */
    }
    sy__importance_note_chunks(importance, n_chunks, n_chunk_tokens);
    if (!sy_gguf_find(gguf, "imatrix.datasets", &texts)) {
        return SY_OK;
    }
    for (uint64_t i = 0; status == SY_OK && i < texts.n_elements; i++) {
        sy_gguf_string name;
        status = sy_gguf_value_string(&texts, i, &name, error);
        if (status == SY_OK) {
            status = sy__importance_note_text(importance, name.bytes, (size_t)name.n_bytes, error);
        }
    }
    return status;
}

static sy_status read_gguf(sy_importance *importance, const char *path, sy_error *error) {
    sy_gguf *gguf = NULL;
    sy_gguf_tensor tensor;
    char name[SY_LIMIT_NAME_BYTES + 1];
    sy_status status = sy_gguf_open(importance->allocator, path, &gguf, error);
    for (uint32_t i = 0; status == SY_OK && sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        if (base_name(&tensor, name)) {
            status = read_tensor(importance, gguf, path, &tensor, name, error);
        }
    }
    if (status == SY_OK) {
        status = read_keys(importance, gguf, error);
    }
    sy_gguf_close(gguf);
    return status;
}

/* ---- the older form ---- */

typedef struct cursor {
    const uint8_t *at;
    uint64_t n_left;
} cursor;

static bool take(cursor *c, uint64_t n_bytes, const uint8_t **out_bytes) {
    if (n_bytes > c->n_left) {
        return false;
    }
    *out_bytes = c->at;
    c->at += n_bytes;
    c->n_left -= n_bytes;
    return true;
}

/* A number from 1 on. */
static bool take_count(cursor *c, uint32_t most, uint32_t *out_number) {
    const uint8_t *bytes = NULL;
    if (!take(c, sizeof(*out_number), &bytes)) {
        return false;
    }
    memcpy(out_number, bytes, sizeof(*out_number));
    return *out_number > 0 && *out_number <= most;
}

static sy_status read_old_entry(sy_importance *importance, cursor *c, const char *path,
                                sy_error *error) {
    char name[SY_LIMIT_NAME_BYTES + 1];
    const uint8_t *bytes = NULL, *values = NULL;
    uint32_t n_name = 0, n_chunks = 0, n_values = 0, i_entry = 0;
    if (!take_count(c, SY_LIMIT_NAME_BYTES, &n_name) || !take(c, n_name, &bytes) ||
        !take_count(c, INT32_MAX, &n_chunks) || !take_count(c, INT32_MAX, &n_values) ||
        !take(c, (uint64_t)n_values * sizeof(float), &values) ||
        memchr(bytes, '\0', n_name) != NULL) {
        return fail(error, path, SY_DATA_LOSS, "it is damaged or cut short");
    }
    memcpy(name, bytes, n_name);
    name[n_name] = '\0';
    sy_status status = sy__importance_need(importance, name, n_values, 1, &i_entry, error);
    if (status != SY_OK) {
        return status;
    }
    const sy__importance_entry *entry = &importance->entries[i_entry];
    entry->counts[0] = (double)n_chunks * OLD_CHUNK_TOKENS;
    return read_numbers(values, n_values, OLD_CHUNK_TOKENS, entry->sums)
               ? SY_OK
               : fail(error, path, SY_DATA_LOSS, "it holds numbers that are no sums of squares");
}

static sy_status read_old(sy_importance *importance, cursor c, const char *path, sy_error *error) {
    uint32_t n_entries = 0, n_chunks = 0, n_name = 0;
    const uint8_t *name = NULL;
    if (!take_count(&c, OLD_ENTRIES_MOST, &n_entries)) {
        return fail(error, path, SY_INVALID_ARGUMENT, "it is no importance matrix");
    }
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_entries; i++) {
        status = read_old_entry(importance, &c, path, error);
    }
    if (status == SY_OK && take_count(&c, INT32_MAX, &n_chunks)) {
        sy__importance_note_chunks(importance, n_chunks, OLD_CHUNK_TOKENS);
        if (take_count(&c, INT32_MAX, &n_name) && take(&c, n_name, &name)) {
            status = sy__importance_note_text(importance, (const char *)name, n_name, error);
        }
    }
    return status;
}

/* ---- both ---- */

static sy_status read_any(sy_importance *importance, const char *path, sy_error *error) {
    sy__file_map map;
    sy_status status = sy__file_map_open(path, &map, error);
    if (status != SY_OK) {
        return status;
    }
    if (map.n_bytes >= 4 && memcmp(map.bytes, "GGUF", 4) == 0) {
        status = read_gguf(importance, path, error);
    } else {
        status = read_old(importance, (cursor){map.bytes, map.n_bytes}, path, error);
    }
    sy__file_map_close(&map);
    if (status == SY_OK && importance->n_entries == 0) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "The file holds no importance matrix.");
        sy_error_hint(error, "Make one: switchyard imatrix MODEL --text FILE --out FILE.");
        sy_error_at(error, path, UINT64_MAX);
        return SY_INVALID_ARGUMENT;
    }
    return status;
}

sy_status sy_importance_read(sy_importance *importance, const char *path, sy_error *error) {
    sy_importance *found = NULL; /* all of the file, before any of it is added */
    sy_status status = sy_importance_create(importance->allocator, &found, error);
    if (status == SY_OK) {
        status = read_any(found, path, error);
    }
    if (status == SY_OK) {
        status = sy__importance_merge(importance, found, error);
    }
    sy_importance_destroy(found);
    return status;
}

/* ---- writing ---- */

static void put_keys(sy_gguf_writer *writer, const sy_importance *importance) {
    sy_gguf_writer_put_string(writer, "general.type", "imatrix", 7);
    sy_gguf_writer_begin_strings(writer, "imatrix.datasets", importance->n_texts);
    for (uint32_t i = 0; i < importance->n_texts; i++) {
        sy_gguf_writer_add_string(writer, importance->texts[i], strlen(importance->texts[i]));
    }
    sy_gguf_writer_put_u32(writer, "imatrix.chunk_count", importance->n_chunks);
    sy_gguf_writer_put_u32(writer, "imatrix.chunk_size", importance->n_chunk_tokens);
}

static void add_tensor(sy_gguf_writer *writer, const sy__importance_entry *entry, const char *end,
                       uint64_t n_columns) {
    char name[SY_LIMIT_NAME_BYTES + sizeof(SUMS)];
    int n = snprintf(name, sizeof(name), "%s%s", entry->name, end);
    sy_gguf_tensor tensor = {.name = {name, (uint64_t)n},
                             .type = SY_TYPE_F32,
                             .rank = entry->n_matrices > 1 ? 2 : 1,
                             .dims = {n_columns, entry->n_matrices, 1, 1}};
    sy_gguf_writer_add_tensor(writer, &tensor);
}

/* Tensors come in pairs: sums, then counts. */
static sy_status fill(void *user, uint32_t i_tensor, sy_gguf_sink *sink, sy_error *error) {
    const sy_importance *importance = user;
    const sy__importance_entry *entry = &importance->entries[i_tensor / 2];
    const double *numbers = i_tensor % 2 == 0 ? entry->sums : entry->counts;
    uint64_t n = entry->n_matrices * (i_tensor % 2 == 0 ? entry->n_columns : 1);
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < n;) {
        float chunk[WRITE_FLOATS];
        size_t n_chunk = 0;
        for (; n_chunk < WRITE_FLOATS && i < n; n_chunk++, i++) {
            chunk[n_chunk] = (float)numbers[i];
        }
        status = sy_gguf_sink_write(sink, chunk, n_chunk * sizeof(float), error);
    }
    return status;
}

sy_status sy_importance_write(const sy_importance *importance, const char *path, sy_error *error) {
    sy_gguf_writer *writer = NULL;
    if (importance->n_entries == 0) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "Nothing was measured that an importance matrix could be written of.");
    }
    sy_status status = sy_gguf_writer_create(importance->allocator, &writer, error);
    if (status != SY_OK) {
        return status;
    }
    put_keys(writer, importance);
    for (uint32_t i = 0; i < importance->n_entries; i++) {
        add_tensor(writer, &importance->entries[i], SUMS, importance->entries[i].n_columns);
        add_tensor(writer, &importance->entries[i], COUNTS, 1);
    }
    void *user = NULL; /* a fill's user is not const; this one only reads */
    memcpy(&user, &importance, sizeof(user));
    status = sy_gguf_writer_save(writer, path, fill, user, error);
    sy_gguf_writer_destroy(writer);
    return status;
}
