/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making GGUF: keys and tensors are collected, then become a file, or an sy_gguf that reads them
 * where they lie in memory (a model that comes from elsewhere, seen as one file).
 *
 * The calls that add answer nothing: the first failure stays and is told by save and view.
 */
#ifndef SWITCHYARD_GGUF_WRITER_H
#define SWITCHYARD_GGUF_WRITER_H

#include "switchyard/gguf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_gguf_writer sy_gguf_writer;

/* Starts with no key and no tensor.
 * shape: -  unit: -  owner: caller, sy_gguf_writer_destroy  errors: RESOURCE_EXHAUSTED
 * thread: any  cost: O(1)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_writer_create(const sy_allocator *allocator,
                                              sy_gguf_writer **out_writer, sy_error *error);

/* Ends a writer. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: O(1)  since: 0.1  source: - */
void sy_gguf_writer_destroy(sy_gguf_writer *writer);

/* Adds a key: one number or bool of the type at `number`; a text; an array of numbers; a key of
 * another file. A key that comes twice is told by save and view.
 * shape: array: n_elements packed  unit: bytes  owner: copied  errors: kept
 * thread: one at a time  cost: O(bytes)  since: 0.1  source: GGUF specification */
void sy_gguf_writer_put(sy_gguf_writer *writer, const char *key, sy_gguf_type type,
                        const void *number);
void sy_gguf_writer_put_u32(sy_gguf_writer *writer, const char *key, uint32_t number);
void sy_gguf_writer_put_f32(sy_gguf_writer *writer, const char *key, float number);
void sy_gguf_writer_put_bool(sy_gguf_writer *writer, const char *key, int flag);
void sy_gguf_writer_put_string(sy_gguf_writer *writer, const char *key, const char *bytes,
                               size_t n_bytes);
void sy_gguf_writer_put_array(sy_gguf_writer *writer, const char *key, sy_gguf_type type,
                              const void *elements, uint64_t n_elements);
void sy_gguf_writer_put_value(sy_gguf_writer *writer, const sy_gguf_value *value);

/* Adds an array of strings: the key first, then exactly n_strings texts.
 * shape: -  unit: bytes  owner: copied  errors: kept  thread: one at a time
 * cost: O(bytes)  since: 0.1  source: GGUF specification */
void sy_gguf_writer_begin_strings(sy_gguf_writer *writer, const char *key, uint64_t n_strings);
void sy_gguf_writer_add_string(sy_gguf_writer *writer, const char *bytes, size_t n_bytes);

/* Adds a tensor by name, type, rank, dims (dims[0] innermost) and data; the rest of the struct is
 * not looked at. data may be NULL when save gets a fill.
 * shape: -  unit: -  owner: data borrowed until the writer, or the view, ends  errors: kept
 * thread: one at a time  cost: O(1)  since: 0.1  source: GGUF specification */
void sy_gguf_writer_add_tensor(sy_gguf_writer *writer, const sy_gguf_tensor *tensor);

/* Puts rows [first_row, first_row + n_rows) of a tensor, dims[0] elements each, to out_rows. It is
 * called from any thread and cannot fail. */
typedef void (*sy_gguf_rows)(const void *self, uint64_t first_row, uint64_t n_rows, void *out_rows);

/* Adds a tensor whose rows a view makes when they are asked for: sy_gguf_tensor_rows, or all of
 * them in memory by sy_gguf_gather. Until then its data is NULL.
 * shape: -  unit: -  owner: self borrowed until the writer, or the view, ends  errors: kept
 * thread: one at a time  cost: O(1)  since: 0.1  source: - */
void sy_gguf_writer_add_rows(sy_gguf_writer *writer, const sy_gguf_tensor *tensor,
                             sy_gguf_rows rows, const void *self);

/* What a view holds on to: called once when it ends, or when making it fails. */
typedef struct sy_gguf_keep {
    void (*destroy)(void *self); /* NULL: nothing */
    void *self;
} sy_gguf_keep;

/* The collected keys and tensors as an open file; tensors are read where their data lies. Takes
 * what was collected: the writer is empty afterwards.
 * shape: -  unit: -  owner: caller, sy_gguf_close; keep is taken in any case
 * errors: those of adding and of sy_gguf_open  thread: one at a time  cost: as sy_gguf_open
 * since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_writer_view(sy_gguf_writer *writer, const char *name,
                                            sy_gguf_keep keep, sy_gguf **out_gguf, sy_error *error);

/* Where a fill puts the bytes of one tensor, in order. */
typedef struct sy_gguf_sink sy_gguf_sink;
typedef sy_status (*sy_gguf_fill)(void *user, uint32_t i_tensor, sy_gguf_sink *sink,
                                  sy_error *error);

/* Appends bytes of the tensor that is being filled.
 * shape: -  unit: bytes  owner: copied  errors: those of writing; INVALID_ARGUMENT past its end
 * thread: one at a time  cost: O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_gguf_sink_write(sy_gguf_sink *sink, const void *bytes, size_t n_bytes,
                                           sy_error *error);

/* Writes a file of version 3, alignment 32 (or the key general.alignment), whole or not at all: a
 * temporary file beside it takes its name at the end. fill gives the bytes of each tensor in the
 * order of adding; NULL: they are taken from the tensors' data.
 * shape: -  unit: -  owner: -  errors: those of adding, writing and fill  thread: one at a time
 * cost: O(bytes), heap 1 MiB  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_gguf_writer_save(sy_gguf_writer *writer, const char *path,
                                            sy_gguf_fill fill, void *user, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
