/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and names of the element types, and reading "key=value" options. */
#include "block_layout.h"
#include "plugin.h"

#include <string.h>

typedef struct type_facts {
    const char *name;
    uint32_t block, bytes;
} type_facts;

#define BLOCK(NAME, name, n) [SY_TYPE_##NAME] = {#NAME, n, (uint32_t)sizeof(block_##name)}
static const type_facts facts_of[] = {
    [SY_TYPE_F32] = {"f32", 1, 4}, [SY_TYPE_F16] = {"f16", 1, 2},   [SY_TYPE_BF16] = {"bf16", 1, 2},
    [SY_TYPE_F64] = {"f64", 1, 8}, [SY_TYPE_I8] = {"i8", 1, 1},     [SY_TYPE_I16] = {"i16", 1, 2},
    [SY_TYPE_I32] = {"i32", 1, 4}, [SY_TYPE_I64] = {"i64", 1, 8},   [SY_TYPE_U8] = {"u8", 1, 1},
    [SY_TYPE_U16] = {"u16", 1, 2}, [SY_TYPE_BOOL] = {"bool", 1, 1}, BLOCK(Q4_0, q4_0, 32),
    BLOCK(Q4_1, q4_1, 32),         BLOCK(Q5_0, q5_0, 32),           BLOCK(Q5_1, q5_1, 32),
    BLOCK(Q8_0, q8_0, 32),         BLOCK(Q2_K, q2_k, 256),          BLOCK(Q3_K, q3_k, 256),
    BLOCK(Q4_K, q4_k, 256),        BLOCK(Q5_K, q5_k, 256),          BLOCK(Q6_K, q6_k, 256),
    BLOCK(IQ4_NL, iq4_nl, 32),     BLOCK(IQ4_XS, iq4_xs, 256),      BLOCK(MXFP4, mxfp4, 32),
    BLOCK(IQ2_XXS, iq2_xxs, 256),  BLOCK(IQ2_XS, iq2_xs, 256),      BLOCK(IQ2_S, iq2_s, 256),
    BLOCK(IQ3_XXS, iq3_xxs, 256),  BLOCK(IQ3_S, iq3_s, 256),        BLOCK(IQ1_S, iq1_s, 256),
    BLOCK(IQ1_M, iq1_m, 256),      BLOCK(TQ1_0, tq1_0, 256),        BLOCK(TQ2_0, tq2_0, 256),
    BLOCK(NVFP4, nvfp4, 64),       BLOCK(Q1_0, q1_0, 128),          BLOCK(Q2_0, q2_0, 64),
};
#define N_TYPES (sizeof(facts_of) / sizeof(facts_of[0]))

static const type_facts *find(sy_element_type type) {
    return type < N_TYPES && facts_of[type].block != 0 ? &facts_of[type] : NULL;
}

bool cpu_type_row_bytes(sy_element_type type, uint64_t n_elements, uint64_t *out_bytes) {
    const type_facts *facts = find(type);
    return facts != NULL && n_elements % facts->block == 0 &&
           !__builtin_mul_overflow(n_elements / facts->block, (uint64_t)facts->bytes, out_bytes);
}

uint32_t cpu_type_block(sy_element_type type) {
    const type_facts *facts = find(type);
    return facts != NULL ? facts->block : 0;
}

bool cpu_type_is_block(sy_element_type type) {
    return cpu_type_block(type) > 1;
}

bool cpu_type_is_byte(sy_element_type type) {
    return type == SY_TYPE_I8 || type == SY_TYPE_U8;
}

bool cpu_type_is_float(sy_element_type type) {
    return type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16;
}

const char *cpu_type_name(sy_element_type type) {
    const type_facts *facts = find(type);
    return facts != NULL ? facts->name : "an unknown type";
}

bool cpu_option(const char *options, const char *key, char *out_value, size_t n_bytes) {
    size_t n_key = strlen(key);
    for (const char *line = options; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t n = end != NULL ? (size_t)(end - line) : strlen(line);
        if (n > n_key && strncmp(line, key, n_key) == 0 && line[n_key] == '=' &&
            n - n_key - 1 < n_bytes) {
            memcpy(out_value, line + n_key + 1, n - n_key - 1);
            out_value[n - n_key - 1] = '\0';
            return true;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return false;
}
