/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the GGUF reader: the object, the cursor that reads a hostile file, the name index. */
#ifndef SY_GGUF_INTERNAL_H
#define SY_GGUF_INTERNAL_H

#include "switchyard/gguf.h"

#include "base/file_map.h"
#include "base/text.h"
#include "switchyard/gguf_writer.h"
#include "switchyard/limits.h"

#include <stdbool.h>
#include <stddef.h>

/* Smallest sizes of one key and one tensor in a file: they bound a count before it is believed.
 * key: length 8, name 1, type 4, value 1
 * tensor: length 8, name 1, rank 4, dim 8, type 4, offset 8 */
#define SY__GGUF_KEY_BYTES_MIN 14u
#define SY__GGUF_TENSOR_BYTES_MIN 33u
#define SY__GGUF_STRING_BYTES_MIN 8u
#define SY__GGUF_ALIGNMENT_DEFAULT 32u

/* One key. Offsets fit 32 bits because metadata is at most SY_LIMIT_METADATA_BYTES. */
typedef struct sy__gguf_key {
    uint32_t name_offset;
    uint32_t value_offset; /* of the first element; a string's length field for a single string */
    uint32_t n_elements;
    uint32_t i_string; /* SY_GGUF_STRING: where its elements begin in string_offsets */
    uint8_t n_name_bytes;
    uint8_t type;
    uint8_t is_array;
} sy__gguf_key;

typedef struct sy__gguf_tensor {
    uint64_t dims[SY_GGUF_RANK];
    uint64_t offset; /* within the data section */
    uint64_t n_bytes;
    sy_element_type type;
    uint32_t name_offset;
    uint8_t n_name_bytes;
    uint8_t rank;
} sy__gguf_tensor;

/* Where a view finds a tensor: at `data`, or its rows are made; `made` are rows in our memory. */
typedef struct sy__gguf_source {
    const void *data;
    sy_gguf_rows rows;
    const void *self;
    void *made;
} sy__gguf_source;

/* What a view over memory reads: the bytes in front of the data, and where each tensor's lie. */
typedef struct sy__gguf_parts {
    sy__text head;
    sy__gguf_source *sources;
    size_t capacity_sources;
    uint64_t n_data_bytes; /* of a file with these tensors */
    sy_gguf_keep keep;
} sy__gguf_parts;

struct sy_gguf {
    const sy_allocator *allocator;
    sy__gguf_parts parts; /* of a view; all zero for a file */
    sy__file_map map;     /* bytes NULL when the bytes are the caller's */
    const uint8_t *bytes;
    sy_gguf_facts facts;
    char *origin;
    size_t n_origin_bytes;
    sy__gguf_key *keys;
    uint32_t *key_order; /* key indexes sorted by name */
    sy__gguf_tensor *tensors;
    uint32_t *tensor_order;
    uint32_t *string_offsets; /* file offset of the length field of every string of every value */
    size_t n_strings, capacity_strings;
};

/* Reads forward; the first failure is kept in `status` and described in `error`. */
typedef struct sy__gguf_cursor {
    sy_gguf *gguf;
    uint64_t position;
    uint64_t end; /* min(file, metadata limit) */
    sy_error *error;
    sy_status status;
} sy__gguf_cursor;

/* open.c: a view; the parts are taken in any case. */
SY_MUST_CHECK sy_status sy__gguf_open_parts(const sy_allocator *allocator, sy__gguf_parts *parts,
                                            const char *name, sy_gguf **out_gguf, sy_error *error);

/* gather.c: frees what sy_gguf_gather made. */
void sy__gguf_free_gathered(sy_gguf *gguf);

/* cursor.c: each answers false after setting the error. `what` completes "The file ends in ...". */
bool sy__gguf_read_u32(sy__gguf_cursor *cursor, const char *what, uint32_t *out_number);
bool sy__gguf_read_u64(sy__gguf_cursor *cursor, const char *what, uint64_t *out_number);
bool sy__gguf_skip(sy__gguf_cursor *cursor, const char *what, uint64_t n_bytes);
/* A name of 1 to SY_LIMIT_NAME_BYTES bytes; ascii: printable ASCII only, else clean UTF-8. */
bool sy__gguf_read_name(sy__gguf_cursor *cursor, const char *what, bool ascii, uint32_t *out_offset,
                        uint8_t *out_n_bytes);
bool sy__gguf_fail(sy__gguf_cursor *cursor, sy_status status, uint64_t offset, const char *hint,
                   const char *format, ...) SY_PRINTF(5, 6);
extern const char sy__gguf_hint_damaged[];

/* metadata.c and tensors.c: the two tables of the file. */
bool sy__gguf_parse_keys(sy__gguf_cursor *cursor);
bool sy__gguf_parse_alignment(sy__gguf_cursor *cursor);
bool sy__gguf_parse_tensors(sy__gguf_cursor *cursor);
bool sy__gguf_place_tensors(sy__gguf_cursor *cursor);

/* index.c */
/* Less, equal, greater as in memcmp, for elements a and b of whatever `context` is. */
typedef int (*sy__gguf_compare)(const void *context, uint32_t a, uint32_t b);
/* Sorts the indexes 0..n-1 into order; scratch has room for n. Stable, O(n log n), no heap. */
void sy__gguf_sort(uint32_t *order, uint32_t *scratch, uint32_t n, sy__gguf_compare compare,
                   const void *context);
int sy__gguf_compare_keys(const void *gguf, uint32_t a, uint32_t b);
int sy__gguf_compare_tensors(const void *gguf, uint32_t a, uint32_t b);
int sy__gguf_compare_offsets(const void *gguf, uint32_t a, uint32_t b);

static inline uint32_t sy__gguf_load_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}
static inline uint64_t sy__gguf_load_u64(const uint8_t *bytes) {
    return (uint64_t)sy__gguf_load_u32(bytes) | (uint64_t)sy__gguf_load_u32(bytes + 4) << 32;
}
/* Bytes of one element; 0 for strings, arrays and unknown types. */
uint32_t sy__gguf_type_bytes(sy_gguf_type type);

#endif
