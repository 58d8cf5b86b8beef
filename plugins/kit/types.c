/* SPDX-License-Identifier: Apache-2.0 */
/* Every type in one table. */
#include "types.h"

typedef struct type_facts {
    const char *name;
    uint32_t block, bytes;
} type_facts;

static const type_facts facts_of[] = {
    [SY_TYPE_F32] = {"f32", 1, 4},
    [SY_TYPE_F16] = {"f16", 1, 2},
    [SY_TYPE_BF16] = {"bf16", 1, 2},
    [SY_TYPE_F64] = {"f64", 1, 8},
    [SY_TYPE_I8] = {"i8", 1, 1},
    [SY_TYPE_I16] = {"i16", 1, 2},
    [SY_TYPE_I32] = {"i32", 1, 4},
    [SY_TYPE_I64] = {"i64", 1, 8},
    [SY_TYPE_U8] = {"u8", 1, 1},
    [SY_TYPE_U16] = {"u16", 1, 2},
    [SY_TYPE_BOOL] = {"bool", 1, 1},
    [SY_TYPE_Q4_0] = {"Q4_0", 32, 18},
    [SY_TYPE_Q4_1] = {"Q4_1", 32, 20},
    [SY_TYPE_Q5_0] = {"Q5_0", 32, 22},
    [SY_TYPE_Q5_1] = {"Q5_1", 32, 24},
    [SY_TYPE_Q8_0] = {"Q8_0", 32, 34},
    [SY_TYPE_Q2_K] = {"Q2_K", 256, 84},
    [SY_TYPE_Q3_K] = {"Q3_K", 256, 110},
    [SY_TYPE_Q4_K] = {"Q4_K", 256, 144},
    [SY_TYPE_Q5_K] = {"Q5_K", 256, 176},
    [SY_TYPE_Q6_K] = {"Q6_K", 256, 210},
    [SY_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18},
    [SY_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
    [SY_TYPE_MXFP4] = {"MXFP4", 32, 17},
    [SY_TYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66},
    [SY_TYPE_IQ2_XS] = {"IQ2_XS", 256, 74},
    [SY_TYPE_IQ2_S] = {"IQ2_S", 256, 82},
    [SY_TYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98},
    [SY_TYPE_IQ3_S] = {"IQ3_S", 256, 110},
    [SY_TYPE_IQ1_S] = {"IQ1_S", 256, 50},
    [SY_TYPE_IQ1_M] = {"IQ1_M", 256, 56},
    [SY_TYPE_TQ1_0] = {"TQ1_0", 256, 54},
    [SY_TYPE_TQ2_0] = {"TQ2_0", 256, 66},
    [SY_TYPE_NVFP4] = {"NVFP4", 64, 36},
    [SY_TYPE_Q1_0] = {"Q1_0", 128, 18},
    [SY_TYPE_Q2_0] = {"Q2_0", 64, 18},
};
#define N_TYPES (sizeof(facts_of) / sizeof(facts_of[0]))

static const type_facts *find(sy_element_type type) {
    return type < N_TYPES && facts_of[type].block != 0 ? &facts_of[type] : NULL;
}

bool kit_type_row_bytes(sy_element_type type, uint64_t n_elements, uint64_t *out_bytes) {
    const type_facts *facts = find(type);
    return facts != NULL && n_elements % facts->block == 0 &&
           !__builtin_mul_overflow(n_elements / facts->block, (uint64_t)facts->bytes, out_bytes);
}

uint32_t kit_type_block(sy_element_type type) {
    const type_facts *facts = find(type);
    return facts != NULL ? facts->block : 0;
}

uint32_t kit_type_block_bytes(sy_element_type type) {
    const type_facts *facts = find(type);
    return facts != NULL ? facts->bytes : 0;
}

bool kit_type_is_block(sy_element_type type) {
    return kit_type_block(type) > 1;
}

bool kit_type_is_byte(sy_element_type type) {
    return type == SY_TYPE_I8 || type == SY_TYPE_U8;
}

bool kit_type_is_float(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

const char *kit_type_name(sy_element_type type) {
    const type_facts *facts = find(type);
    return facts != NULL ? facts->name : "an unknown type";
}
