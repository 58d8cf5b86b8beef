/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GGUF version 2 and 3, little-endian: metadata and tensors of one model file, read where they lie.
 *
 * A file is hostile until proven otherwise: open proves every count, length, type, dimension and
 * offset against the file and against switchyard/limits.h before it answers, so nothing read
 * through an open sy_gguf can leave the mapping. The proof says nothing about meaning: ranges of
 * values are for the reader of a key to check. Heap taken is at most three times the metadata.
 *
 * Strings are (pointer, length) into the file, not NUL-terminated, any bytes; key names are
 * printable ASCII, tensor names UTF-8 without control characters, both 1 to 127 bytes and unique.
 *
 * A sy_gguf is immutable but for sy_gguf_gather: share it between threads. Everything borrowed from
 * it lives until close.
 * The mapping follows the file: whoever truncates a mapped file makes later reads of the lost pages
 * a SIGBUS, so replace model files by rename, never by writing into them.
 */
#ifndef SWITCHYARD_GGUF_H
#define SWITCHYARD_GGUF_H

#include "switchyard/allocator.h"
#include "switchyard/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_gguf sy_gguf;

/* Types of metadata values; the numbers are those of the format. */
typedef uint32_t sy_gguf_type;
enum {
    SY_GGUF_U8 = 0,
    SY_GGUF_I8 = 1,
    SY_GGUF_U16 = 2,
    SY_GGUF_I16 = 3,
    SY_GGUF_U32 = 4,
    SY_GGUF_I32 = 5,
    SY_GGUF_F32 = 6,
    SY_GGUF_BOOL = 7,
    SY_GGUF_STRING = 8,
    SY_GGUF_ARRAY = 9,
    SY_GGUF_U64 = 10,
    SY_GGUF_I64 = 11,
    SY_GGUF_F64 = 12,
    SY_GGUF_TYPE_COUNT = 13
};

#define SY_GGUF_RANK 4u

/* Bytes inside the file. Not NUL-terminated. */
typedef struct sy_gguf_string {
    const char *bytes;
    uint64_t n_bytes;
} sy_gguf_string;

/* One key with its value or values. A view: read it through the sy_gguf_value_* calls. */
typedef struct sy_gguf_value {
    sy_gguf_string key;
    sy_gguf_type type; /* of the elements; never SY_GGUF_ARRAY */
    uint32_t is_array; /* 1: n_elements values, perhaps none; 0: exactly one */
    uint64_t n_elements;
    const uint8_t *bytes;           /* of the first element: little-endian, packed, not aligned */
    uint64_t file_offset;           /* of bytes */
    const uint32_t *string_offsets; /* SY_GGUF_STRING: file offset of each length field */
    const uint8_t *file;            /* first byte of the file */
} sy_gguf_value;

/* One tensor. dims[0] is the innermost, contiguous dimension (GGUF's own order, the reverse of the
 * order in which graphs write a shape); dims past the rank are 1. */
typedef struct sy_gguf_tensor {
    sy_gguf_string name;
    sy_element_type type;
    uint32_t rank;     /* 1 to 4 */
    uint32_t i_tensor; /* as sy_gguf_tensor_at counts */
    uint64_t dims[SY_GGUF_RANK];
    uint64_t n_elements;
    uint64_t n_bytes;
    uint64_t file_offset;
    const void *data; /* aligned as the file is: sy_gguf_facts.alignment_bytes; NULL for a tensor
                         of a view whose rows are yet to be put together */
} sy_gguf_tensor;

/* Facts of the whole file. */
typedef struct sy_gguf_facts {
    const char *origin; /* the path, or the name given to open_memory */
    uint32_t version;
    uint32_t alignment_bytes;
    uint32_t n_keys, n_tensors;
    uint64_t file_bytes;
    uint64_t metadata_bytes;    /* header, keys and tensor table */
    uint64_t data_offset_bytes; /* of the data section; may lie past the end without tensors */
    uint64_t tensor_bytes;      /* sum over all tensors */
    uint64_t n_elements;        /* sum over all tensors */
    uint64_t gathered_bytes;    /* of tensor_bytes: put together in memory by sy_gguf_gather */
} sy_gguf_facts;

/* Maps a file read-only and checks all of it except the weights' own values.
 * shape: -  unit: -  owner: caller, sy_gguf_close  errors: NOT_FOUND, PERMISSION_DENIED,
 * INVALID_ARGUMENT no GGUF file; DATA_LOSS damaged or cut short, with the offset; UNIMPLEMENTED
 * other version, byte order or tensor type; OUT_OF_RANGE past a limit; RESOURCE_EXHAUSTED
 * thread: any
 * cost: O(metadata log names), heap <= 3 x metadata  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_gguf_open(const sy_allocator *allocator, const char *path,
                                     sy_gguf **out_gguf, sy_error *error);

/* Same over bytes in memory, which must outlive the object and not change. name is for errors.
 * shape: -  unit: bytes  owner: caller keeps bytes; object: caller, sy_gguf_close  errors: as
 * sy_gguf_open  thread: any  cost: as sy_gguf_open  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_gguf_open_memory(const sy_allocator *allocator, const void *bytes,
                                            uint64_t n_bytes, const char *name, sy_gguf **out_gguf,
                                            sy_error *error);

/* Ends the object and its mapping. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: when nobody uses it any more
 * cost: O(1)  since: 0.1  source: - */
void sy_gguf_close(sy_gguf *gguf);

/* Facts of the file.
 * shape: -  unit: -  owner: borrowed until close  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_gguf_facts *sy_gguf_get_facts(const sy_gguf *gguf);

/* Key number i_key in file order; 0 past the end, else 1.
 * shape: -  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_gguf_key_at(const sy_gguf *gguf, uint32_t i_key, sy_gguf_value *out_value);

/* Looks a key up by its NUL-terminated name; 0 when absent, else 1.
 * shape: -  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(log keys)  since: 0.1  source: - */
int sy_gguf_find(const sy_gguf *gguf, const char *key, sy_gguf_value *out_value);

/* Tensor number i_tensor in file order; 0 past the end, else 1.
 * shape: dims[0] innermost  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_gguf_tensor_at(const sy_gguf *gguf, uint32_t i_tensor, sy_gguf_tensor *out_tensor);

/* Looks a tensor up by its NUL-terminated name; 0 when absent, else 1.
 * shape: dims[0] innermost  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(log tensors)  since: 0.1  source: - */
int sy_gguf_find_tensor(const sy_gguf *gguf, const char *name, sy_gguf_tensor *out_tensor);

/* Copies rows [first_row, first_row + n_rows) of a tensor, dims[0] elements each, wherever they
 * come from: the file, or the pieces that a view puts together (gguf_writer.h, add_rows).
 * shape: out_rows [n_rows, bytes of a row]  unit: bytes  owner: caller  errors: OUT_OF_RANGE rows
 * or tensor that are not there, FAILED_PRECONDITION a tensor without bytes  thread: any
 * cost: O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_tensor_rows(const sy_gguf *gguf, uint32_t i_tensor,
                                            uint64_t first_row, uint64_t n_rows, void *out_rows,
                                            sy_error *error);

/* Puts the tensors of a view that lie in pieces together in memory, one copy of each, so that every
 * tensor has its data; nothing to do for a file. max_bytes 0: any number of bytes.
 * shape: -  unit: bytes  owner: the object, until close  errors: RESOURCE_EXHAUSTED with the bytes
 * that are missing  thread: when nobody else uses the object  cost: O(bytes)  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_gguf_gather(sy_gguf *gguf, uint64_t max_bytes, sy_error *error);

/* Element i of a value, or the value itself at i = 0. Any integer type answers when the number
 * fits; a float or a bool is no integer. The same holds for the calls below.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT wrong type, OUT_OF_RANGE index or number
 * thread: any  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_value_i64(const sy_gguf_value *value, uint64_t i,
                                          int64_t *out_number, sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_value_u64(const sy_gguf_value *value, uint64_t i,
                                          uint64_t *out_number, sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_value_u32(const sy_gguf_value *value, uint64_t i,
                                          uint32_t *out_number, sy_error *error);

/* Element i of an f32 or f64 value; f32 refuses an f64 that is finite and too large for it. NaN and
 * infinities are answered as they are.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT wrong type, OUT_OF_RANGE index or number
 * thread: any  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_value_f64(const sy_gguf_value *value, uint64_t i,
                                          double *out_number, sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_value_f32(const sy_gguf_value *value, uint64_t i, float *out_number,
                                          sy_error *error);

/* Element i of a bool value as 0 or 1.
 * shape: -  unit: -  owner: -  errors: INVALID_ARGUMENT wrong type, OUT_OF_RANGE index
 * thread: any  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_value_bool(const sy_gguf_value *value, uint64_t i, int *out_flag,
                                           sy_error *error);

/* Element i of a string value; O(1) for any element of an array, so a vocabulary is read by a loop.
 * shape: -  unit: bytes  owner: borrowed until close  errors: INVALID_ARGUMENT wrong type,
 * OUT_OF_RANGE index  thread: any  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_value_string(const sy_gguf_value *value, uint64_t i,
                                             sy_gguf_string *out_string, sy_error *error);

/* The single value of a key; conversions as above. An array is a wrong type here.
 * shape: -  unit: -  owner: strings borrowed until close  errors: NOT_FOUND no such key,
 * INVALID_ARGUMENT wrong type, OUT_OF_RANGE number  thread: any  cost: O(log keys)  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_gguf_get_u32(const sy_gguf *gguf, const char *key, uint32_t *out_number,
                                        sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_u64(const sy_gguf *gguf, const char *key, uint64_t *out_number,
                                        sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_i64(const sy_gguf *gguf, const char *key, int64_t *out_number,
                                        sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_f32(const sy_gguf *gguf, const char *key, float *out_number,
                                        sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_f64(const sy_gguf *gguf, const char *key, double *out_number,
                                        sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_bool(const sy_gguf *gguf, const char *key, int *out_flag,
                                         sy_error *error);
SY_MUST_CHECK sy_status sy_gguf_get_string(const sy_gguf *gguf, const char *key,
                                           sy_gguf_string *out_string, sy_error *error);

/* 1 when a string's bytes equal a NUL-terminated text, else 0.
 * shape: -  unit: -  owner: -  errors: none  thread: any
 * cost: O(text)  since: 0.1  source: - */
int sy_gguf_string_is(sy_gguf_string string, const char *text);

/* Name of a metadata type ("u32", "string"); "unknown" past the last one.
 * shape: -  unit: -  owner: static  errors: "unknown"  thread: any
 * cost: O(1)  since: 0.1  source: GGUF specification */
const char *sy_gguf_type_name(sy_gguf_type type);

#ifdef __cplusplus
}
#endif
#endif
