/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "switchyard/types.h"

typedef struct expected_type {
    sy_element_type type;
    const char *name;
    uint32_t n_elements, n_bytes;
} expected_type;

/* Written down from the GGUF specification, apart from the table under test. */
static const expected_type expected[] = {
    {0, "f32", 1, 4},         {1, "f16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "i8", 1, 1},         {25, "i16", 1, 2},
    {26, "i32", 1, 4},        {27, "i64", 1, 8},        {28, "f64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "bf16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},     {64, "u8", 1, 1},
    {65, "u16", 1, 2},        {66, "bool", 1, 1},       {67, "i4", 2, 1},
    {68, "u4", 2, 1},
};
#define N_EXPECTED (sizeof(expected) / sizeof(expected[0]))

static void facts_are_those_of_the_specification(void) {
    for (size_t i = 0; i < N_EXPECTED; i++) {
        const sy_type_facts *facts = sy_type_get(expected[i].type);
        CHECK_TEXT(facts != NULL, "type %u", expected[i].type);
        CHECK_TEXT(strcmp(facts->name, expected[i].name) == 0, "%s", facts->name);
        CHECK_TEXT(facts->n_block_elements == expected[i].n_elements, "%s", facts->name);
        CHECK_TEXT(facts->n_block_bytes == expected[i].n_bytes, "%s", facts->name);
        CHECK_TEXT(facts->is_block == (expected[i].n_elements >= 32), "%s", facts->name);
        CHECK_TEXT(sy_type_find(facts->name) == expected[i].type, "%s", facts->name);
    }
}

static void other_numbers_are_no_type(void) {
    size_t n_types = 0;
    for (uint32_t type = 0; type < 1000; type++) {
        n_types += sy_type_get(type) != NULL;
    }
    CHECK(n_types == N_EXPECTED);
    CHECK(sy_type_get(SY_TYPE_INVALID) == NULL);
}

static void names_ignore_case(void) {
    CHECK(sy_type_find("q4_k") == SY_TYPE_Q4_K);
    CHECK(sy_type_find("BF16") == SY_TYPE_BF16);
    CHECK(sy_type_find("Q9_Z") == SY_TYPE_INVALID);
    CHECK(sy_type_find("") == SY_TYPE_INVALID);
    CHECK(sy_type_find(NULL) == SY_TYPE_INVALID);
}

static void row_bytes_refuses_what_does_not_fit(void) {
    uint64_t n_bytes = 1;
    CHECK(sy_type_row_bytes(SY_TYPE_Q4_K, 512, &n_bytes) == SY_OK && n_bytes == 288);
    CHECK(sy_type_row_bytes(SY_TYPE_I4, 6, &n_bytes) == SY_OK && n_bytes == 3);
    CHECK(sy_type_row_bytes(SY_TYPE_F32, 0, &n_bytes) == SY_OK && n_bytes == 0);
    n_bytes = 99;
    CHECK(sy_type_row_bytes(SY_TYPE_Q4_K, 500, &n_bytes) == SY_INVALID_ARGUMENT);
    CHECK(sy_type_row_bytes(SY_TYPE_I4, 5, &n_bytes) == SY_INVALID_ARGUMENT);
    CHECK(sy_type_row_bytes(4, 32, &n_bytes) == SY_INVALID_ARGUMENT);
    CHECK(sy_type_row_bytes(SY_TYPE_F64, UINT64_MAX / 4, &n_bytes) == SY_OUT_OF_RANGE);
    CHECK(n_bytes == 99);
}

static const sy_test_case cases[] = {
    {"facts_are_those_of_the_specification", facts_are_those_of_the_specification},
    {"other_numbers_are_no_type", other_numbers_are_no_type},
    {"names_ignore_case", names_ignore_case},
    {"row_bytes_refuses_what_does_not_fit", row_bytes_refuses_what_does_not_fit},
};
SY_TEST_MAIN(cases)
