/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and tensors as the bytes in front of a file's data, then the file or a view over memory. */
#include "internal.h"

#include "base/checked.h"
#include "base/file_atomic.h"
#include "base/text.h"
#include "switchyard/gguf_writer.h"

#include <inttypes.h>
#include <string.h>

struct sy_gguf_writer {
    const sy_allocator *allocator;
    sy__text keys, table; /* as the file has them; errors are sticky in both */
    uint32_t n_keys, n_tensors;
    uint32_t alignment;
    uint64_t n_data_bytes;    /* offset of the next tensor */
    uint64_t n_strings_left;  /* of the array that was begun */
    sy__gguf_source *sources; /* of each tensor */
    uint64_t *n_bytes;
    size_t capacity_sources, capacity_bytes;
    const char *failure; /* first one beside those of the texts; completes "cannot be made: " */
};

sy_status sy_gguf_writer_create(const sy_allocator *allocator, sy_gguf_writer **out_writer,
                                sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    sy_gguf_writer *writer = SY__NEW(allocator, sy_gguf_writer);
    if (writer == NULL) {
        return sy__no_memory(error, sizeof(*writer), "a GGUF writer");
    }
    writer->allocator = allocator;
    writer->alignment = SY__GGUF_ALIGNMENT_DEFAULT;
    sy__text_init(&writer->keys, allocator, SY_LIMIT_METADATA_BYTES);
    sy__text_init(&writer->table, allocator, SY_LIMIT_METADATA_BYTES);
    *out_writer = writer;
    return SY_OK;
}

void sy_gguf_writer_destroy(sy_gguf_writer *writer) {
    if (writer == NULL) {
        return;
    }
    sy__text_deinit(&writer->keys);
    sy__text_deinit(&writer->table);
    sy__free_array(writer->allocator, writer->sources, writer->capacity_sources,
                   sizeof(*writer->sources));
    sy__free_array(writer->allocator, writer->n_bytes, writer->capacity_bytes,
                   sizeof(*writer->n_bytes));
    SY__DELETE(writer->allocator, writer);
}

static void writer_fail(sy_gguf_writer *writer, const char *what) {
    writer->failure = writer->failure == NULL ? what : writer->failure;
}

/* Numbers are written in this machine's order, which the reader's build has checked. */
static void put_bytes(sy__text *text, const void *bytes, uint64_t n_bytes) {
    if (n_bytes > 0) {
        sy__text_append(text, bytes, (size_t)n_bytes);
    }
}

static void put_string(sy__text *text, const char *bytes, uint64_t n_bytes) {
    put_bytes(text, &n_bytes, sizeof(n_bytes));
    put_bytes(text, bytes, n_bytes);
}

static void put_head(sy_gguf_writer *writer, const char *key, size_t n_key, sy_gguf_type type) {
    if (writer->n_strings_left > 0) {
        writer_fail(writer, "an array of strings has fewer than it was begun with");
    }
    put_string(&writer->keys, key, n_key);
    put_bytes(&writer->keys, &type, sizeof(type));
    writer->n_keys++;
}

void sy_gguf_writer_put(sy_gguf_writer *writer, const char *key, sy_gguf_type type,
                        const void *number) {
    put_head(writer, key, strlen(key), type);
    put_bytes(&writer->keys, number, sy__gguf_type_bytes(type));
    if (type == SY_GGUF_U32 && strcmp(key, "general.alignment") == 0) {
        memcpy(&writer->alignment, number, sizeof(writer->alignment));
    }
}

void sy_gguf_writer_put_u32(sy_gguf_writer *writer, const char *key, uint32_t number) {
    sy_gguf_writer_put(writer, key, SY_GGUF_U32, &number);
}

void sy_gguf_writer_put_f32(sy_gguf_writer *writer, const char *key, float number) {
    sy_gguf_writer_put(writer, key, SY_GGUF_F32, &number);
}

void sy_gguf_writer_put_bool(sy_gguf_writer *writer, const char *key, int flag) {
    uint8_t byte = flag != 0;
    sy_gguf_writer_put(writer, key, SY_GGUF_BOOL, &byte);
}

void sy_gguf_writer_put_string(sy_gguf_writer *writer, const char *key, const char *bytes,
                               size_t n_bytes) {
    put_head(writer, key, strlen(key), SY_GGUF_STRING);
    put_string(&writer->keys, bytes, n_bytes);
}

static void put_array_head(sy_gguf_writer *writer, sy_gguf_string key, sy_gguf_type type,
                           uint64_t n_elements) {
    put_head(writer, key.bytes, (size_t)key.n_bytes, SY_GGUF_ARRAY);
    put_bytes(&writer->keys, &type, sizeof(type));
    put_bytes(&writer->keys, &n_elements, sizeof(n_elements));
}

void sy_gguf_writer_put_array(sy_gguf_writer *writer, const char *key, sy_gguf_type type,
                              const void *elements, uint64_t n_elements) {
    uint64_t n_bytes = 0;
    put_array_head(writer, (sy_gguf_string){key, strlen(key)}, type, n_elements);
    if (!sy__mul_u64(n_elements, sy__gguf_type_bytes(type), &n_bytes)) {
        writer_fail(writer, "an array has more bytes than there is memory");
        return;
    }
    put_bytes(&writer->keys, elements, n_bytes);
}

void sy_gguf_writer_begin_strings(sy_gguf_writer *writer, const char *key, uint64_t n_strings) {
    put_array_head(writer, (sy_gguf_string){key, strlen(key)}, SY_GGUF_STRING, n_strings);
    writer->n_strings_left = n_strings;
}

void sy_gguf_writer_add_string(sy_gguf_writer *writer, const char *bytes, size_t n_bytes) {
    if (writer->n_strings_left == 0) {
        writer_fail(writer, "an array of strings has more than it was begun with");
        return;
    }
    writer->n_strings_left--;
    put_string(&writer->keys, bytes, n_bytes);
}

void sy_gguf_writer_put_value(sy_gguf_writer *writer, const sy_gguf_value *value) {
    sy_gguf_string string;
    if (value->is_array) {
        put_array_head(writer, value->key, value->type, value->n_elements);
    } else {
        put_head(writer, value->key.bytes, (size_t)value->key.n_bytes, value->type);
    }
    if (value->type != SY_GGUF_STRING) {
        put_bytes(&writer->keys, value->bytes,
                  value->n_elements * sy__gguf_type_bytes(value->type));
    }
    for (uint64_t i = 0; value->type == SY_GGUF_STRING && i < value->n_elements; i++) {
        if (sy_gguf_value_string(value, i, &string, NULL) == SY_OK) {
            put_string(&writer->keys, string.bytes, string.n_bytes);
        }
    }
    if (!value->is_array && value->type == SY_GGUF_U32 &&
        sy_gguf_string_is(value->key, "general.alignment")) {
        memcpy(&writer->alignment, value->bytes, sizeof(writer->alignment));
    }
}

static uint64_t tensor_bytes(const sy_gguf_tensor *tensor) {
    uint64_t n_bytes = 0;
    if (tensor->rank < 1 || tensor->rank > SY_GGUF_RANK ||
        sy_type_row_bytes(tensor->type, tensor->dims[0], &n_bytes) != SY_OK) {
        return UINT64_MAX;
    }
    for (uint32_t i = 1; i < tensor->rank; i++) {
        if (!sy__mul_u64(n_bytes, tensor->dims[i], &n_bytes)) {
            return UINT64_MAX;
        }
    }
    return n_bytes;
}

static void add(sy_gguf_writer *writer, const sy_gguf_tensor *tensor, sy__gguf_source source) {
    uint64_t n_bytes = tensor_bytes(tensor), end = 0;
    void *sources = writer->sources, *sizes = writer->n_bytes;
    size_t n = writer->n_tensors;
    if (n_bytes == UINT64_MAX || !sy__add_u64(writer->n_data_bytes, n_bytes, &end) ||
        !sy__is_power_of_two(writer->alignment) || !sy__align_u64(end, writer->alignment, &end)) {
        writer_fail(writer, "a tensor has a shape that its type cannot have");
        return;
    }
    bool grown = sy__grow_array(writer->allocator, &sources, &writer->capacity_sources, n + 1,
                                sizeof(*writer->sources));
    writer->sources = sources;
    grown = grown && sy__grow_array(writer->allocator, &sizes, &writer->capacity_bytes, n + 1,
                                    sizeof(*writer->n_bytes));
    writer->n_bytes = sizes;
    if (!grown) {
        writer->table.status = SY_RESOURCE_EXHAUSTED;
        return;
    }
    writer->sources[n] = source;
    writer->n_bytes[n] = n_bytes;
    writer->n_tensors++;
    put_string(&writer->table, tensor->name.bytes, tensor->name.n_bytes);
    put_bytes(&writer->table, &tensor->rank, sizeof(tensor->rank));
    put_bytes(&writer->table, tensor->dims, tensor->rank * sizeof(uint64_t));
    put_bytes(&writer->table, &tensor->type, sizeof(tensor->type));
    put_bytes(&writer->table, &writer->n_data_bytes, sizeof(uint64_t));
    writer->n_data_bytes = end;
}

void sy_gguf_writer_add_tensor(sy_gguf_writer *writer, const sy_gguf_tensor *tensor) {
    add(writer, tensor, (sy__gguf_source){.data = tensor->data});
}

void sy_gguf_writer_add_rows(sy_gguf_writer *writer, const sy_gguf_tensor *tensor,
                             sy_gguf_rows rows, const void *self) {
    add(writer, tensor, (sy__gguf_source){.rows = rows, .self = self});
}

/* All in front of the data, with its padding. */
static sy_status make_head(sy_gguf_writer *writer, sy__text *out_head, sy_error *error) {
    static const char zeros[SY__GGUF_ALIGNMENT_DEFAULT];
    const uint32_t version = 3;
    const uint64_t counts[2] = {writer->n_tensors, writer->n_keys};
    if (writer->n_strings_left > 0) {
        writer_fail(writer, "an array of strings has fewer than it was begun with");
    }
    if (writer->failure != NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "The model cannot be made: %s.",
                            writer->failure);
    }
    sy__text_init(out_head, writer->allocator, SY_LIMIT_METADATA_BYTES);
    put_bytes(out_head, "GGUF", 4);
    put_bytes(out_head, &version, sizeof(version));
    put_bytes(out_head, counts, sizeof(counts));
    put_bytes(out_head, writer->keys.bytes, writer->keys.n_bytes);
    put_bytes(out_head, writer->table.bytes, writer->table.n_bytes);
    while (out_head->status == SY_OK && out_head->n_bytes % writer->alignment != 0) {
        size_t n = writer->alignment - out_head->n_bytes % writer->alignment;
        put_bytes(out_head, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
    }
    sy_status status = writer->keys.status != SY_OK    ? writer->keys.status
                       : writer->table.status != SY_OK ? writer->table.status
                                                       : out_head->status;
    if (status == SY_OK) {
        return SY_OK;
    }
    sy__text_deinit(out_head);
    return status == SY_RESOURCE_EXHAUSTED
               ? sy__no_memory(error, writer->keys.n_bytes, "the metadata of a model")
               : sy_error_set(error, status, "The metadata of the model is over 256 MiB.");
}

sy_status sy_gguf_writer_view(sy_gguf_writer *writer, const char *name, sy_gguf_keep keep,
                              sy_gguf **out_gguf, sy_error *error) {
    sy__text head;
    sy_status status = make_head(writer, &head, error);
    if (status != SY_OK) {
        if (keep.destroy != NULL) {
            keep.destroy(keep.self);
        }
        return status;
    }
    sy__gguf_parts parts = {.head = head,
                            .sources = writer->sources,
                            .capacity_sources = writer->capacity_sources,
                            .n_data_bytes = writer->n_data_bytes,
                            .keep = keep};
    writer->sources = NULL;
    writer->capacity_sources = 0;
    return sy__gguf_open_parts(writer->allocator, &parts, name, out_gguf, error);
}

struct sy_gguf_sink {
    sy__file_atomic *file;
    uint64_t n_left;
};

sy_status sy_gguf_sink_write(sy_gguf_sink *sink, const void *bytes, size_t n_bytes,
                             sy_error *error) {
    if (n_bytes > sink->n_left) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A tensor was given more bytes than its shape has.");
    }
    sink->n_left -= n_bytes;
    return sy__file_atomic_write(sink->file, bytes, n_bytes, error);
}

static sy_status save_tensor(const sy_gguf_writer *writer, uint32_t i_tensor, sy_gguf_fill fill,
                             void *user, sy__file_atomic *file, sy_error *error) {
    static const char zeros[SY_LIMIT_ALIGNMENT_BYTES];
    uint64_t n_bytes = writer->n_bytes[i_tensor];
    const void *data = writer->sources[i_tensor].data;
    sy_gguf_sink sink = {.file = file, .n_left = n_bytes};
    if (fill == NULL && data == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A tensor has no bytes and there is no fill to give them.");
    }
    sy_status status = fill != NULL ? fill(user, i_tensor, &sink, error)
                                    : sy_gguf_sink_write(&sink, data, (size_t)n_bytes, error);
    if (status == SY_OK && sink.n_left > 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A tensor was given %" PRIu64 " bytes too few.", sink.n_left);
    }
    size_t padding = (size_t)(-n_bytes & (writer->alignment - 1));
    return status == SY_OK ? sy__file_atomic_write(file, zeros, padding, error) : status;
}

sy_status sy_gguf_writer_save(sy_gguf_writer *writer, const char *path, sy_gguf_fill fill,
                              void *user, sy_error *error) {
    sy__text head;
    sy__file_atomic file;
    sy_status status = make_head(writer, &head, error);
    if (status != SY_OK) {
        return status;
    }
    status = sy__file_atomic_open(writer->allocator, path, &file, error);
    if (status == SY_OK) {
        status = sy__file_atomic_write(&file, head.bytes, head.n_bytes, error);
        for (uint32_t i = 0; status == SY_OK && i < writer->n_tensors; i++) {
            status = save_tensor(writer, i, fill, user, &file, error);
        }
        if (status == SY_OK) {
            status = sy__file_atomic_commit(&file, error);
        } else {
            sy__file_atomic_abandon(&file);
        }
    }
    sy__text_deinit(&head);
    return status;
}
