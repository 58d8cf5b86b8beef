/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and names of the element types. */
#ifndef KIT_TYPES_H
#define KIT_TYPES_H

#include "sy_plugin.h"

#include <stdbool.h>

/* False for types without a row layout here. */
bool kit_type_row_bytes(sy_element_type type, uint64_t n_elements, uint64_t *out_bytes);
uint32_t kit_type_block(sy_element_type type); /* elements per block, 1 for plain, 0 unknown */
uint32_t kit_type_block_bytes(sy_element_type type); /* of one block or plain element, 0 unknown */
bool kit_type_is_block(sy_element_type type);        /* quantised in blocks */
bool kit_type_is_float(sy_element_type type);        /* f32, f16, bf16 */
bool kit_type_is_byte(sy_element_type type);         /* i8, u8 */
const char *kit_type_name(sy_element_type type);

#endif
