/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/types.h"

#include "base/checked.h"

#include <strings.h>

#define PLAIN(type_name, n_bytes) \
    { .name = (type_name), 1, (n_bytes), 0 }
#define BLOCK(type_name, n_elements, n_bytes) \
    { .name = (type_name), (n_elements), (n_bytes), 1 }

static const sy_type_facts type_table[] = {
    [SY_TYPE_F32] = PLAIN("f32", 4),
    [SY_TYPE_F16] = PLAIN("f16", 2),
    [SY_TYPE_Q4_0] = BLOCK("Q4_0", 32, 18),
    [SY_TYPE_Q4_1] = BLOCK("Q4_1", 32, 20),
    [SY_TYPE_Q5_0] = BLOCK("Q5_0", 32, 22),
    [SY_TYPE_Q5_1] = BLOCK("Q5_1", 32, 24),
    [SY_TYPE_Q8_0] = BLOCK("Q8_0", 32, 34),
    [SY_TYPE_Q8_1] = BLOCK("Q8_1", 32, 36),
    [SY_TYPE_Q2_K] = BLOCK("Q2_K", 256, 84),
    [SY_TYPE_Q3_K] = BLOCK("Q3_K", 256, 110),
    [SY_TYPE_Q4_K] = BLOCK("Q4_K", 256, 144),
    [SY_TYPE_Q5_K] = BLOCK("Q5_K", 256, 176),
    [SY_TYPE_Q6_K] = BLOCK("Q6_K", 256, 210),
    [SY_TYPE_Q8_K] = BLOCK("Q8_K", 256, 292),
    [SY_TYPE_IQ2_XXS] = BLOCK("IQ2_XXS", 256, 66),
    [SY_TYPE_IQ2_XS] = BLOCK("IQ2_XS", 256, 74),
    [SY_TYPE_IQ3_XXS] = BLOCK("IQ3_XXS", 256, 98),
    [SY_TYPE_IQ1_S] = BLOCK("IQ1_S", 256, 50),
    [SY_TYPE_IQ4_NL] = BLOCK("IQ4_NL", 32, 18),
    [SY_TYPE_IQ3_S] = BLOCK("IQ3_S", 256, 110),
    [SY_TYPE_IQ2_S] = BLOCK("IQ2_S", 256, 82),
    [SY_TYPE_IQ4_XS] = BLOCK("IQ4_XS", 256, 136),
    [SY_TYPE_I8] = PLAIN("i8", 1),
    [SY_TYPE_I16] = PLAIN("i16", 2),
    [SY_TYPE_I32] = PLAIN("i32", 4),
    [SY_TYPE_I64] = PLAIN("i64", 8),
    [SY_TYPE_F64] = PLAIN("f64", 8),
    [SY_TYPE_IQ1_M] = BLOCK("IQ1_M", 256, 56),
    [SY_TYPE_BF16] = PLAIN("bf16", 2),
    [SY_TYPE_TQ1_0] = BLOCK("TQ1_0", 256, 54),
    [SY_TYPE_TQ2_0] = BLOCK("TQ2_0", 256, 66),
    [SY_TYPE_MXFP4] = BLOCK("MXFP4", 32, 17),
    [SY_TYPE_NVFP4] = BLOCK("NVFP4", 64, 36),
    [SY_TYPE_Q1_0] = BLOCK("Q1_0", 128, 18),
    [SY_TYPE_Q2_0] = BLOCK("Q2_0", 64, 18),
    [SY_TYPE_U8] = PLAIN("u8", 1),
    [SY_TYPE_U16] = PLAIN("u16", 2),
    [SY_TYPE_BOOL] = PLAIN("bool", 1),
    [SY_TYPE_I4] = {.name = "i4", 2, 1, 0},
    [SY_TYPE_U4] = {.name = "u4", 2, 1, 0},
};

#define TYPE_TABLE_LENGTH ((uint32_t)(sizeof(type_table) / sizeof(type_table[0])))

const sy_type_facts *sy_type_get(sy_element_type type) {
    if (type >= TYPE_TABLE_LENGTH || type_table[type].name == NULL) {
        return NULL;
    }
    return &type_table[type];
}

sy_element_type sy_type_find(const char *name) {
    for (uint32_t i = 0; name != NULL && i < TYPE_TABLE_LENGTH; i++) {
        if (type_table[i].name != NULL && strcasecmp(type_table[i].name, name) == 0) {
            return i;
        }
    }
    return SY_TYPE_INVALID;
}

sy_status sy_type_row_bytes(sy_element_type type, uint64_t n_elements, uint64_t *out_bytes) {
    const sy_type_facts *facts = sy_type_get(type);
    if (facts == NULL || n_elements % facts->n_block_elements != 0) {
        return SY_INVALID_ARGUMENT;
    }
    uint64_t n_blocks = n_elements / facts->n_block_elements;
    uint64_t n_bytes = 0;
    if (!sy__mul_u64(n_blocks, facts->n_block_bytes, &n_bytes)) {
        return SY_OUT_OF_RANGE;
    }
    *out_bytes = n_bytes;
    return SY_OK;
}
