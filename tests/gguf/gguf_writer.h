/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny GGUF writer for tests: puts fields one after the other into a fixed buffer and remembers
 * where each labelled field lies, so that a test can spoil exactly that field.
 */
#ifndef SY_TESTS_GGUF_WRITER_H
#define SY_TESTS_GGUF_WRITER_H

#include "harness.h"
#include "switchyard/gguf.h"

#define WRITER_BYTES (4u << 20)
#define WRITER_MARKS 256u

typedef struct gguf_mark {
    char label[192];
    size_t offset;
    uint32_t n_bytes;
} gguf_mark;

typedef struct gguf_writer {
    size_t n_bytes;
    uint32_t n_marks;
    gguf_mark marks[WRITER_MARKS];
    uint8_t bytes[WRITER_BYTES];
} gguf_writer;

static inline void writer_put(gguf_writer *writer, const void *bytes, size_t n_bytes) {
    CHECK(n_bytes <= WRITER_BYTES - writer->n_bytes);
    if (n_bytes > 0) {
        memcpy(writer->bytes + writer->n_bytes, bytes, n_bytes);
    }
    writer->n_bytes += n_bytes;
}

/* Names the field of n_bytes that is written next: "prefix" + ".field". */
static inline void writer_mark(gguf_writer *writer, const char *prefix, const char *field,
                               uint32_t n_bytes) {
    if (writer->n_marks < WRITER_MARKS) {
        gguf_mark *mark = &writer->marks[writer->n_marks++];
        snprintf(mark->label, sizeof(mark->label), "%s.%s", prefix, field);
        mark->offset = writer->n_bytes;
        mark->n_bytes = n_bytes;
    }
}

static inline const gguf_mark *writer_find(const gguf_writer *writer, const char *label) {
    for (uint32_t i = 0; i < writer->n_marks; i++) {
        if (strcmp(writer->marks[i].label, label) == 0) {
            return &writer->marks[i];
        }
    }
    CHECK_TEXT(0, "no field '%s'", label);
    return NULL;
}

static inline void writer_u32(gguf_writer *writer, uint32_t number) {
    writer_put(writer, &number, 4);
}

static inline void writer_u64(gguf_writer *writer, uint64_t number) {
    writer_put(writer, &number, 8);
}

static inline void writer_string(gguf_writer *writer, const char *prefix, const char *text) {
    writer_mark(writer, prefix, "length", 8);
    writer_u64(writer, strlen(text));
    writer_mark(writer, prefix, "text", (uint32_t)strlen(text));
    writer_put(writer, text, strlen(text));
}

static inline void writer_header(gguf_writer *writer, uint64_t n_tensors, uint64_t n_keys) {
    writer->n_bytes = 0;
    writer->n_marks = 0;
    writer_mark(writer, "header", "magic", 4);
    writer_put(writer, "GGUF", 4);
    writer_mark(writer, "header", "version", 4);
    writer_u32(writer, 3);
    writer_mark(writer, "header", "n_tensors", 8);
    writer_u64(writer, n_tensors);
    writer_mark(writer, "header", "n_keys", 8);
    writer_u64(writer, n_keys);
}

/* Name and type of a key; its value follows. */
static inline void writer_key(gguf_writer *writer, const char *name, sy_gguf_type type) {
    writer_string(writer, name, name);
    writer_mark(writer, name, "type", 4);
    writer_u32(writer, type);
    writer_mark(writer, name, "value", 8);
}

static inline void writer_key_number(gguf_writer *writer, const char *name, sy_gguf_type type,
                                     const void *number, size_t n_bytes) {
    writer_key(writer, name, type);
    writer_put(writer, number, n_bytes);
}

static inline void writer_key_u32(gguf_writer *writer, const char *name, uint32_t number) {
    writer_key_number(writer, name, SY_GGUF_U32, &number, 4);
}

static inline void writer_key_f32(gguf_writer *writer, const char *name, float number) {
    writer_key_number(writer, name, SY_GGUF_F32, &number, 4);
}

static inline void writer_key_bool(gguf_writer *writer, const char *name, uint8_t flag) {
    writer_key_number(writer, name, SY_GGUF_BOOL, &flag, 1);
}

static inline void writer_key_string(gguf_writer *writer, const char *name, const char *text) {
    writer_key(writer, name, SY_GGUF_STRING);
    writer_u64(writer, strlen(text));
    writer_put(writer, text, strlen(text));
}

/* Head of an array; n elements follow. */
static inline void writer_key_array(gguf_writer *writer, const char *name, sy_gguf_type type,
                                    uint64_t n) {
    writer_key(writer, name, SY_GGUF_ARRAY);
    writer_mark(writer, name, "element_type", 4);
    writer_u32(writer, type);
    writer_mark(writer, name, "count", 8);
    writer_u64(writer, n);
    writer_mark(writer, name, "elements", 8);
}

/* One row of the tensor table. */
static inline void writer_tensor(gguf_writer *writer, const char *name, uint32_t rank,
                                 const uint64_t *dims, uint32_t type, uint64_t offset) {
    writer_string(writer, name, name);
    writer_mark(writer, name, "rank", 4);
    writer_u32(writer, rank);
    writer_mark(writer, name, "dims", 8);
    writer_put(writer, dims, rank * sizeof(uint64_t));
    writer_mark(writer, name, "type", 4);
    writer_u32(writer, type);
    writer_mark(writer, name, "offset", 8);
    writer_u64(writer, offset);
}

/* Pads to the alignment with zeros. */
static inline void writer_align(gguf_writer *writer, size_t alignment) {
    while (writer->n_bytes % alignment != 0) {
        writer_put(writer, "", 1);
    }
}

#endif
