/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON (RFC 8259) that comes from outside: the whole text is proven - syntax, depth, UTF-8,
 * escapes, numbers - and becomes a flat array of nodes over the caller's bytes, 16 bytes each.
 * Nothing is copied; a string with escapes is decoded when it is asked for.
 */
#ifndef SY_JSON_READ_H
#define SY_JSON_READ_H

#include "base/memory.h"

typedef enum sy__json_kind {
    SY__JSON_NULL = 0,
    SY__JSON_FALSE,
    SY__JSON_TRUE,
    SY__JSON_NUMBER,
    SY__JSON_STRING,
    SY__JSON_ARRAY,
    SY__JSON_OBJECT /* children: key, value, key, value ... */
} sy__json_kind;

/* A node; 0 is the root. Calls below take SY__JSON_NONE for an absent node and answer in kind. */
typedef uint32_t sy__json_index;
#define SY__JSON_NONE UINT32_MAX
#define SY__JSON_DEPTH_MAX 64u
#define SY__JSON_BYTES_MAX (256u << 20)

typedef struct sy__json_node {
    uint32_t offset, n_bytes; /* of its text, without the quotes of a string */
    uint32_t after;           /* the node behind it and all that is in it */
    uint32_t kind : 3, is_escaped : 1, n_children : 28;
} sy__json_node;

typedef struct sy__json_document {
    const sy_allocator *allocator;
    const char *bytes;
    const char *origin; /* for errors; borrowed */
    sy__json_node *nodes;
    size_t n_nodes, capacity;
} sy__json_document;

/* Reads a text; it and `origin` must outlive the document. DATA_LOSS with the offset of what is no
 * JSON, OUT_OF_RANGE past the bounds, RESOURCE_EXHAUSTED. On failure there is nothing to free. */
SY_MUST_CHECK sy_status sy__json_parse(const sy_allocator *allocator, const char *bytes,
                                       uint64_t n_bytes, const char *origin,
                                       sy__json_document *out_document, sy_error *error);
void sy__json_document_deinit(sy__json_document *document); /* a zeroed one is fine */

/* SY__JSON_NULL for an absent node. */
sy__json_kind sy__json_kind_of(const sy__json_document *document, sy__json_index i);
/* Elements of an array, members of an object (pairs), else 0. */
uint32_t sy__json_n(const sy__json_document *document, sy__json_index i);
/* The first child of an array or object: an element, or the key of a member. */
sy__json_index sy__json_first(const sy__json_document *document, sy__json_index i);
/* What comes behind a child; only sensible while the parent has more. */
sy__json_index sy__json_next(const sy__json_document *document, sy__json_index i);
/* Value of the first member with this name; NONE when absent, null, or no object. */
sy__json_index sy__json_member(const sy__json_document *document, sy__json_index object,
                               const char *name);
/* The same along a path of names, "a.b.c". */
sy__json_index sy__json_find(const sy__json_document *document, sy__json_index object,
                             const char *path);
/* Whether it is a string of just this text. */
bool sy__json_is(const sy__json_document *document, sy__json_index i, const char *text);
/* The bytes of a string, decoded into the arena where it has escapes; false for no string and for
 * refused memory, told apart by sy__json_kind_of. */
bool sy__json_text(const sy__json_document *document, sy__json_index i, sy__arena *arena,
                   const char **out_bytes, size_t *out_n_bytes);
/* False for no number, or none that fits; integers take no fraction and no exponent. */
bool sy__json_u64_of(const sy__json_document *document, sy__json_index i, uint64_t *out_number);
bool sy__json_f64_of(const sy__json_document *document, sy__json_index i, double *out_number);
/* `otherwise` for what is neither true nor false. */
bool sy__json_bool_of(const sy__json_document *document, sy__json_index i, bool otherwise);
/* Sets an error at a node's place in its text; answers status. */
sy_status sy__json_fail(const sy__json_document *document, sy__json_index i, sy_error *error,
                        sy_status status, const char *format, ...) SY_PRINTF(5, 6);

#endif
