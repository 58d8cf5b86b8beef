/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing, and the header of the file. */
#include "internal.h"

#include "base/checked.h"
#include "base/memory.h"

#include <inttypes.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tensor data is used where it lies in the file: this reader needs a little-endian machine."
#endif

#define HEADER_BYTES 24u /* magic, version, tensor count, key count */

static bool check_magic(sy__gguf_cursor *cursor) {
    static const char pointer_file[] = "version https://git-lfs";
    const uint8_t *bytes = cursor->gguf->bytes;
    uint64_t n_bytes = cursor->gguf->facts.file_bytes;
    const char *hint = "Give a file in GGUF format; other formats must be converted first.";
    if (n_bytes >= 4 && memcmp(bytes, "GGUF", 4) == 0) {
        return true;
    }
    if (n_bytes >= sizeof(pointer_file) - 1 &&
        memcmp(bytes, pointer_file, sizeof(pointer_file) - 1) == 0) {
        hint = "This is a Git LFS pointer, not the model: fetch it with 'git lfs pull'.";
    } else if (n_bytes >= 4 && (memcmp(bytes, "tjgg", 4) == 0 || memcmp(bytes, "lmgg", 4) == 0)) {
        hint = "This is the format before GGUF: convert the original model again.";
    }
    return sy__gguf_fail(cursor, SY_INVALID_ARGUMENT, 0, hint,
                         "The file is no GGUF file: it does not begin with 'GGUF'.");
}

static bool check_version(sy__gguf_cursor *cursor) {
    uint32_t version = 0;
    if (!sy__gguf_read_u32(cursor, "the header", &version)) {
        return false;
    }
    if (version == 2 || version == 3) {
        cursor->gguf->facts.version = version;
        return true;
    }
    sy_status status = SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION);
    if (version != 0 && (version & 0xffffu) == 0 && __builtin_bswap32(version) <= 3) {
        return sy__gguf_fail(
            cursor, status, 4, "Fetch or convert the little-endian file of this model.",
            "The file is big-endian GGUF version %" PRIu32 ".", __builtin_bswap32(version));
    }
    return sy__gguf_fail(cursor, status, 4,
                         version <= 1 ? "Convert the original model again with a current tool."
                                      : "A newer Switchyard may read it, or the file is damaged.",
                         "The file is GGUF version %" PRIu32 "; 2 and 3 are read.", version);
}

/* A count is believed only when the file is long enough for the smallest entries. */
static bool read_count(sy__gguf_cursor *cursor, const char *what, uint32_t limit,
                       uint32_t least_bytes, uint32_t *out_count) {
    uint64_t count = 0, n_bytes = 0, offset = cursor->position;
    if (!sy__gguf_read_u64(cursor, "the header", &count)) {
        return false;
    }
    if (count > limit) {
        return sy__gguf_fail(cursor, SY_OUT_OF_RANGE, offset, sy__gguf_hint_damaged,
                             "The file claims %" PRIu64 " %s; at most %" PRIu32 " are read.", count,
                             what, limit);
    }
    if (!sy__mul_u64(count, least_bytes, &n_bytes) ||
        n_bytes > cursor->gguf->facts.file_bytes - cursor->position) {
        return sy__gguf_fail(cursor, SY_DATA_LOSS, offset, sy__gguf_hint_damaged,
                             "The file claims %" PRIu64 " %s but has only %" PRIu64 " bytes.",
                             count, what, cursor->gguf->facts.file_bytes);
    }
    *out_count = (uint32_t)count;
    return true;
}

static bool parse_header(sy__gguf_cursor *cursor) {
    sy_gguf_facts *facts = &cursor->gguf->facts;
    if (!check_magic(cursor)) {
        return false;
    }
    cursor->position = 4;
    return check_version(cursor) &&
           read_count(cursor, "tensors", SY_LIMIT_TENSORS, SY__GGUF_TENSOR_BYTES_MIN,
                      &facts->n_tensors) &&
           read_count(cursor, "keys", SY_LIMIT_METADATA_KEYS, SY__GGUF_KEY_BYTES_MIN,
                      &facts->n_keys);
}

static sy_status parse(sy_gguf *gguf, sy_error *error) {
    sy__gguf_cursor cursor = {.gguf = gguf, .error = error, .status = SY_OK};
    uint64_t there =
        gguf->parts.sources != NULL ? gguf->parts.head.n_bytes : gguf->facts.file_bytes;
    cursor.end = there < SY_LIMIT_METADATA_BYTES ? there : SY_LIMIT_METADATA_BYTES;
    if (parse_header(&cursor) && sy__gguf_parse_keys(&cursor) &&
        sy__gguf_parse_alignment(&cursor) && sy__gguf_parse_tensors(&cursor)) {
        sy__gguf_place_tensors(&cursor);
    }
    return cursor.status;
}

static sy_gguf *make(const sy_allocator *allocator, const char *origin) {
    size_t n_bytes = strlen(origin) + 1;
    sy_gguf *gguf = SY__NEW(allocator, sy_gguf);
    if (gguf == NULL) {
        return NULL;
    }
    gguf->allocator = allocator;
    gguf->origin = sy__alloc_array(allocator, n_bytes, 1);
    if (gguf->origin == NULL) {
        SY__DELETE(allocator, gguf);
        return NULL;
    }
    memcpy(gguf->origin, origin, n_bytes);
    gguf->n_origin_bytes = n_bytes;
    gguf->facts.origin = gguf->origin;
    return gguf;
}

/* Parses the bytes of a new object and hands it out, or closes it. */
static sy_status finish(sy_gguf *gguf, const uint8_t *bytes, uint64_t n_bytes, sy_gguf **out_gguf,
                        sy_error *error) {
    gguf->bytes = bytes;
    gguf->facts.file_bytes = n_bytes;
    sy_status status = parse(gguf, error);
    if (status != SY_OK) {
        sy_gguf_close(gguf);
        return status;
    }
    *out_gguf = gguf;
    return SY_OK;
}

sy_status sy_gguf_open(const sy_allocator *allocator, const char *path, sy_gguf **out_gguf,
                       sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    sy_gguf *gguf = make(allocator, path);
    if (gguf == NULL) {
        return sy__no_memory(error, sizeof(*gguf), "the model file");
    }
    sy_status status = sy__file_map_open(path, &gguf->map, error);
    if (status != SY_OK) {
        sy_gguf_close(gguf);
        return status;
    }
    return finish(gguf, gguf->map.bytes, gguf->map.n_bytes, out_gguf, error);
}

sy_status sy_gguf_open_memory(const sy_allocator *allocator, const void *bytes, uint64_t n_bytes,
                              const char *name, sy_gguf **out_gguf, sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    sy_gguf *gguf = make(allocator, name);
    if (gguf == NULL) {
        return sy__no_memory(error, sizeof(*gguf), "the model file");
    }
    return finish(gguf, bytes, n_bytes, out_gguf, error);
}

static void free_parts(const sy_allocator *allocator, sy__gguf_parts *parts) {
    sy__text_deinit(&parts->head);
    sy__free_array(allocator, parts->sources, parts->capacity_sources, sizeof(*parts->sources));
    if (parts->keep.destroy != NULL) {
        parts->keep.destroy(parts->keep.self);
    }
}

sy_status sy__gguf_open_parts(const sy_allocator *allocator, sy__gguf_parts *parts,
                              const char *name, sy_gguf **out_gguf, sy_error *error) {
    sy_gguf *gguf = make(allocator, name);
    if (gguf == NULL) {
        free_parts(allocator, parts);
        return sy__no_memory(error, sizeof(*gguf), "the model");
    }
    gguf->parts = *parts;
    return finish(gguf, (const uint8_t *)parts->head.bytes,
                  parts->head.n_bytes + parts->n_data_bytes, out_gguf, error);
}

void sy_gguf_close(sy_gguf *gguf) {
    if (gguf == NULL) {
        return;
    }
    const sy_allocator *allocator = gguf->allocator;
    size_t n_keys = gguf->facts.n_keys, n_tensors = gguf->facts.n_tensors;
    sy__gguf_free_gathered(gguf);
    sy__free_array(allocator, gguf->keys, n_keys, sizeof(*gguf->keys));
    sy__free_array(allocator, gguf->key_order, n_keys, sizeof(uint32_t));
    sy__free_array(allocator, gguf->tensors, n_tensors, sizeof(*gguf->tensors));
    sy__free_array(allocator, gguf->tensor_order, n_tensors, sizeof(uint32_t));
    sy__free_array(allocator, gguf->string_offsets, gguf->capacity_strings, sizeof(uint32_t));
    sy__free_array(allocator, gguf->origin, gguf->n_origin_bytes, 1);
    sy__file_map_close(&gguf->map);
    free_parts(allocator, &gguf->parts);
    SY__DELETE(allocator, gguf);
}

const sy_gguf_facts *sy_gguf_get_facts(const sy_gguf *gguf) {
    return &gguf->facts;
}
