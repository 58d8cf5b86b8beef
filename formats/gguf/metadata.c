/* SPDX-License-Identifier: Apache-2.0 */
/* The key table: key name, type, value; arrays carry an element type and a count. */
#include "internal.h"

#include "base/checked.h"
#include "base/memory.h"

#include <inttypes.h>

static const uint8_t type_bytes[SY_GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
static const char *const type_names[SY_GGUF_TYPE_COUNT] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

uint32_t sy__gguf_type_bytes(sy_gguf_type type) {
    return type < SY_GGUF_TYPE_COUNT ? type_bytes[type] : 0;
}

const char *sy_gguf_type_name(sy_gguf_type type) {
    return type < SY_GGUF_TYPE_COUNT ? type_names[type] : "unknown";
}

static bool key_fail(sy__gguf_cursor *cursor, const sy__gguf_key *key, sy_status status,
                     uint64_t offset, const char *what) {
    return sy__gguf_fail(cursor, status, offset, sy__gguf_hint_damaged, "The key '%.*s' %s.",
                         (int)key->n_name_bytes,
                         (const char *)cursor->gguf->bytes + key->name_offset, what);
}

/* Type of a value; for an array the type and count of its elements. */
static bool read_type(sy__gguf_cursor *cursor, sy__gguf_key *key, uint64_t *out_count) {
    uint64_t offset = cursor->position;
    uint32_t type = 0;
    if (!sy__gguf_read_u32(cursor, "the type of a key", &type)) {
        return false;
    }
    if (type == SY_GGUF_ARRAY) {
        key->is_array = 1;
        offset = cursor->position;
        if (!sy__gguf_read_u32(cursor, "the type of an array", &type) ||
            !sy__gguf_read_u64(cursor, "the length of an array", out_count)) {
            return false;
        }
        if (type == SY_GGUF_ARRAY) {
            return key_fail(cursor, key, SY_UNIMPLEMENTED, offset, "is an array of arrays");
        }
    }
    if (type >= SY_GGUF_TYPE_COUNT) {
        return key_fail(cursor, key, SY_DATA_LOSS, offset, "has a type that GGUF does not know");
    }
    key->type = (uint8_t)type;
    return true;
}

/* Walks up to n strings that lie whole before `end` and are no longer than the limit; notes where
 * each length field lies, leaves *inout_position after them and answers their number. */
static uint64_t walk_strings(const uint8_t *bytes, uint64_t end, uint64_t *inout_position,
                             uint64_t n, uint32_t *out_offsets) {
    uint64_t at = *inout_position, i = 0;
    for (; i < n && end - at >= 8; i++) {
        uint64_t n_bytes = sy__gguf_load_u64(bytes + at);
        if (n_bytes > SY_LIMIT_STRING_BYTES || n_bytes > end - at - 8) {
            break;
        }
        out_offsets[i] = (uint32_t)at;
        at += 8 + n_bytes;
    }
    *inout_position = at;
    return i;
}

/* Says what is wrong with the string at the cursor, which walk_strings refused. */
static bool string_fail(sy__gguf_cursor *cursor, const sy__gguf_key *key) {
    uint64_t offset = cursor->position, n_bytes = 0;
    if (!sy__gguf_read_u64(cursor, "a string", &n_bytes)) {
        return false;
    }
    if (n_bytes > SY_LIMIT_STRING_BYTES) {
        return key_fail(cursor, key, SY_OUT_OF_RANGE, offset,
                        "has a string above the limit of 16 MiB");
    }
    return sy__gguf_skip(cursor, "a string", n_bytes);
}

/* Walks the n strings of a key. */
static bool read_strings(sy__gguf_cursor *cursor, sy__gguf_key *key, uint64_t n) {
    sy_gguf *gguf = cursor->gguf;
    void *offsets = gguf->string_offsets;
    uint64_t n_wanted = 0;
    if (!sy__add_u64(gguf->n_strings, n, &n_wanted) ||
        !sy__grow_array(gguf->allocator, &offsets, &gguf->capacity_strings, (size_t)n_wanted,
                        sizeof(uint32_t))) {
        cursor->status = sy__no_memory(cursor->error, n_wanted * 4, "the table of strings");
        return false;
    }
    gguf->string_offsets = offsets;
    key->i_string = (uint32_t)gguf->n_strings;
    uint32_t *to = gguf->string_offsets + gguf->n_strings;
    uint64_t n_good = walk_strings(gguf->bytes, cursor->end, &cursor->position, n, to);
    gguf->n_strings += n_good;
    return n_good == n || string_fail(cursor, key);
}

static bool read_bools(sy__gguf_cursor *cursor, const sy__gguf_key *key, uint64_t n) {
    const uint8_t *bytes = cursor->gguf->bytes + cursor->position;
    if (!sy__gguf_skip(cursor, "an array of bool", n)) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (bytes[i] > 1) {
            return key_fail(cursor, key, SY_DATA_LOSS, cursor->position - n + i,
                            "has a bool that is neither 0 nor 1");
        }
    }
    return true;
}

static bool read_value(sy__gguf_cursor *cursor, sy__gguf_key *key) {
    uint64_t n = 1, n_bytes = 0;
    if (!read_type(cursor, key, &n)) {
        return false;
    }
    key->value_offset = (uint32_t)cursor->position;
    uint64_t left = cursor->end - cursor->position;
    uint64_t least =
        key->type == SY_GGUF_STRING ? SY__GGUF_STRING_BYTES_MIN : sy__gguf_type_bytes(key->type);
    if (!sy__mul_u64(n, least, &n_bytes)) {
        return key_fail(cursor, key, SY_DATA_LOSS, cursor->position,
                        "has more elements than any file can hold");
    }
    if (n_bytes > left) {
        return sy__gguf_skip(cursor, "the value of a key", n_bytes); /* says what is missing */
    }
    key->n_elements = (uint32_t)n; /* n <= left <= SY_LIMIT_METADATA_BYTES */
    if (key->type == SY_GGUF_STRING) {
        return read_strings(cursor, key, n);
    }
    if (key->type == SY_GGUF_BOOL) {
        return read_bools(cursor, key, n);
    }
    return sy__gguf_skip(cursor, "the value of a key", n_bytes);
}

/* Sorts the names and refuses a name that comes twice. */
static bool index_keys(sy__gguf_cursor *cursor) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_keys;
    uint32_t *scratch = sy__alloc_array(gguf->allocator, n, sizeof(uint32_t));
    gguf->key_order = sy__alloc_array(gguf->allocator, n, sizeof(uint32_t));
    if (scratch != NULL && gguf->key_order != NULL) {
        sy__gguf_sort(gguf->key_order, scratch, n, sy__gguf_compare_keys, gguf);
    } else {
        cursor->status = sy__no_memory(cursor->error, (uint64_t)n * 4, "the index of keys");
    }
    sy__free_array(gguf->allocator, scratch, n, sizeof(uint32_t));
    for (uint32_t i = 1; i < n && cursor->status == SY_OK; i++) {
        if (sy__gguf_compare_keys(gguf, gguf->key_order[i - 1], gguf->key_order[i]) == 0) {
            const sy__gguf_key *again = &gguf->keys[gguf->key_order[i]];
            key_fail(cursor, again, SY_DATA_LOSS, again->name_offset, "comes twice");
        }
    }
    return cursor->status == SY_OK;
}

bool sy__gguf_parse_keys(sy__gguf_cursor *cursor) {
    sy_gguf *gguf = cursor->gguf;
    uint32_t n = gguf->facts.n_keys;
    gguf->keys = sy__alloc_array(gguf->allocator, n, sizeof(sy__gguf_key));
    if (gguf->keys == NULL) {
        cursor->status =
            sy__no_memory(cursor->error, (uint64_t)n * sizeof(sy__gguf_key), "the table of keys");
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        sy__gguf_key *key = &gguf->keys[i];
        if (!sy__gguf_read_name(cursor, "a key", true, &key->name_offset, &key->n_name_bytes) ||
            !read_value(cursor, key)) {
            return false;
        }
    }
    return index_keys(cursor);
}

bool sy__gguf_parse_alignment(sy__gguf_cursor *cursor) {
    sy_gguf *gguf = cursor->gguf;
    sy_gguf_value value;
    gguf->facts.alignment_bytes = SY__GGUF_ALIGNMENT_DEFAULT;
    if (!sy_gguf_find(gguf, "general.alignment", &value)) {
        return true;
    }
    if (value.type != SY_GGUF_U32 || value.is_array) {
        return sy__gguf_fail(cursor, SY_DATA_LOSS, value.file_offset, sy__gguf_hint_damaged,
                             "The key 'general.alignment' is no u32.");
    }
    uint32_t alignment = sy__gguf_load_u32(value.bytes);
    if (!sy__is_power_of_two(alignment) || alignment < 8 || alignment > SY_LIMIT_ALIGNMENT_BYTES) {
        return sy__gguf_fail(cursor, SY_DATA_LOSS, value.file_offset, sy__gguf_hint_damaged,
                             "The alignment is %" PRIu32 "; a power of two from 8 to %u is wanted.",
                             alignment, SY_LIMIT_ALIGNMENT_BYTES);
    }
    gguf->facts.alignment_bytes = alignment;
    return true;
}
