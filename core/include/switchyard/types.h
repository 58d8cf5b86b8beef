/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about element types: names and sizes. Block layouts are those of GGUF. */
#ifndef SWITCHYARD_TYPES_H
#define SWITCHYARD_TYPES_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Facts of one element type. A block of n_block_elements takes n_block_bytes; plain types have
 * blocks of one element, i4 and u4 of two. */
typedef struct sy_type_facts {
    const char *name; /* "f32", "Q4_K" as GGUF spells it */
    uint32_t n_block_elements;
    uint32_t n_block_bytes;
    uint32_t is_block; /* 1 for GGUF block types */
} sy_type_facts;

/* Facts of a type, or NULL for a number that is no type.
 * shape: -  unit: bytes  owner: static  errors: NULL  thread: any
 * cost: O(1)  since: 0.1  source: GGUF specification, tensor types */
const sy_type_facts *sy_type_get(sy_element_type type);

/* Type of a name as sy_type_facts.name spells it, case ignored; SY_TYPE_INVALID when unknown.
 * shape: -  unit: -  owner: -  errors: SY_TYPE_INVALID  thread: any
 * cost: O(types)  since: 0.1  source: - */
sy_element_type sy_type_find(const char *name);

/* Bytes of a row of n_elements; fails when the row is no whole number of blocks or overflows.
 * shape: -  unit: bytes  owner: -  errors: INVALID_ARGUMENT, OUT_OF_RANGE  thread: any
 * cost: O(1)  since: 0.1  source: GGUF specification */
SY_MUST_CHECK sy_status sy_type_row_bytes(sy_element_type type, uint64_t n_elements,
                                          uint64_t *out_bytes);

#ifdef __cplusplus
}
#endif
#endif
