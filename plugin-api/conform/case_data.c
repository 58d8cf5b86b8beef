/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the cases and what is in them: deterministic, valid in every type. */
#include "conform/case_build.h"

#include "reference/blocks.h"
#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>

/* Where the f16 scales of a block type lie; any other bytes are a valid block. */
typedef struct block_scales {
    sy_element_type type;
    uint32_t n, offsets[2];
} block_scales;

static const block_scales scales[] = {
    {SY_TYPE_Q4_0, 1, {0}},    {SY_TYPE_Q4_1, 2, {0, 2}}, {SY_TYPE_Q5_0, 1, {0}},
    {SY_TYPE_Q5_1, 2, {0, 2}}, {SY_TYPE_Q8_0, 1, {0}},    {SY_TYPE_Q2_K, 2, {80, 82}},
    {SY_TYPE_Q3_K, 1, {108}},  {SY_TYPE_Q4_K, 2, {0, 2}}, {SY_TYPE_Q5_K, 2, {0, 2}},
    {SY_TYPE_Q6_K, 1, {208}},  {SY_TYPE_IQ4_NL, 1, {0}},  {SY_TYPE_IQ4_XS, 1, {0}},
    {SY_TYPE_IQ2_XXS, 1, {0}}, {SY_TYPE_IQ2_XS, 1, {0}},  {SY_TYPE_IQ2_S, 1, {0}},
    {SY_TYPE_IQ3_XXS, 1, {0}}, {SY_TYPE_IQ3_S, 1, {0}},   {SY_TYPE_IQ1_S, 1, {0}},
    {SY_TYPE_TQ1_0, 1, {52}},  {SY_TYPE_TQ2_0, 1, {64}},  {SY_TYPE_Q1_0, 1, {0}},
    {SY_TYPE_Q2_0, 1, {0}},
};

static uint32_t next_random(sy__case *self) {
    self->random = self->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(self->random >> 33);
}

static double next_between(sy__case *self, double low, double high) {
    return low + (high - low) * (double)next_random(self) / 2147483648.0;
}

/* Q8_K keeps sums of 16 quants each; MXFP4 an exponent. Others have f16 scales. */
static void fill_block(sy__case *self, sy_element_type type, uint8_t *block, uint32_t n_bytes) {
    for (uint32_t i = 0; i < n_bytes; i++) {
        block[i] = (uint8_t)next_random(self);
    }
    if (type == SY_TYPE_MXFP4) {
        block[0] = (uint8_t)(118 + next_random(self) % 6);
        return;
    }
    if (type == SY_TYPE_NVFP4) { /* unsigned E4M3: 2^-7 to 2^-5 */
        for (uint32_t i = 0; i < 4; i++) {
            block[i] = (uint8_t)(8 + next_random(self) % 16);
        }
        return;
    }
    if (type == SY_TYPE_IQ1_M) { /* f16 2^-7 in the top four bits of four words */
        for (uint32_t i = 0; i < 4; i++) {
            block[49 + 2 * i] = (uint8_t)((block[49 + 2 * i] & 0x0f) | (i == 3 ? 0x20 : 0));
        }
        return;
    }
    if (type == SY_TYPE_Q8_K) {
        float scale = (float)next_between(self, 0.002, 0.02);
        memcpy(block, &scale, sizeof(scale));
        for (uint32_t g = 0; g < 16; g++) {
            int16_t sum = 0;
            for (uint32_t i = 0; i < 16; i++) {
                sum = (int16_t)(sum + (int8_t)block[4 + 16 * g + i]);
            }
            memcpy(block + 260 + 2 * g, &sum, sizeof(sum));
        }
        return;
    }
    for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
        for (uint32_t k = 0; scales[i].type == type && k < scales[i].n; k++) {
            uint16_t bits = sy__f16_from_f64(next_between(self, 0.002, 0.02));
            memcpy(block + scales[i].offsets[k], &bits, sizeof(bits));
        }
    }
}

static void fill_plain(sy__case *self, sy_element_type type, uint8_t *bytes, uint32_t n_bytes) {
    float number = (float)next_between(self, self->low, self->high);
    int64_t whole = (int64_t)number;
    if (type == SY_TYPE_F32 || type == SY_TYPE_F16 || type == SY_TYPE_BF16) {
        if (sy__row_encode(type, &number, 1, bytes) != SY_OK) {
            self->is_failed = true;
        }
        return;
    }
    if (type == SY_TYPE_BOOL) {
        whole = next_random(self) % 2;
    } else if (whole == 0 && self->low > 0) {
        whole = 1;
    }
    memcpy(bytes, &whole, n_bytes); /* two's complement, low bytes first */
}

void *sy__case_content(sy__case *self, sy_element_type type, uint64_t n_elements,
                       uint64_t *out_bytes) {
    const sy_type_facts *facts = sy_type_get(type);
    if (facts == NULL || n_elements % facts->n_block_elements != 0) {
        self->is_failed = true;
        return NULL;
    }
    uint64_t n_blocks = n_elements / facts->n_block_elements;
    *out_bytes = n_blocks * facts->n_block_bytes;
    uint8_t *bytes = sy__arena_alloc(&self->arena, (size_t)*out_bytes + 1, 1);
    for (uint64_t i = 0; bytes != NULL && i < n_blocks; i++) {
        uint8_t *block = bytes + i * facts->n_block_bytes;
        if (facts->is_block != 0) {
            fill_block(self, type, block, facts->n_block_bytes);
        } else {
            fill_plain(self, type, block, facts->n_block_bytes);
        }
    }
    self->is_failed |= bytes == NULL;
    return bytes;
}

static uint64_t count(uint32_t rank, const sy_dimension *dims) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) {
        n *= (uint64_t)dims[i].bound;
    }
    return n;
}

uint32_t sy__case_input(sy__case *self, sy_element_type type, uint32_t rank,
                        const sy_dimension *dims) {
    uint32_t i = self->n_inputs++;
    if (i >= SY__CASE_INPUTS) {
        self->is_failed = true;
        return SY_NO_VALUE;
    }
    self->inputs[i] = sy__case_content(self, type, count(rank, dims), &self->input_bytes[i]);
    return sy_test_graph_value(&self->graph, "input", SY_VALUE_INPUT, type, rank, dims);
}

uint32_t sy__case_choices(sy__case *self, uint32_t rank, const sy_dimension *dims, uint32_t n) {
    uint32_t i = self->n_inputs;
    uint32_t value = sy__case_input(self, SY_TYPE_I32, rank, dims);
    int64_t n_elements = 1;
    for (uint32_t d = 0; d < rank; d++) {
        n_elements *= dims[d].bound;
    }
    for (int64_t k = 0; i < SY__CASE_INPUTS && self->inputs[i] != NULL && k < n_elements; k++) {
        ((int32_t *)self->inputs[i])[k] = (int32_t)(next_random(self) % n);
    }
    return value;
}

uint32_t sy__case_ids(sy__case *self, uint32_t n) {
    sy_dimension dim = sy_test_symbol(SY_SYMBOL_TOKENS, self->n_tokens);
    return sy__case_choices(self, 1, &dim, n);
}

uint32_t sy__case_weight(sy__case *self, sy_element_type type, uint32_t rank, const int64_t *dims) {
    uint64_t n = 1, n_bytes = 0;
    for (uint32_t i = 0; i < rank; i++) {
        n *= (uint64_t)dims[i];
    }
    const void *bytes = sy__case_content(self, type, n, &n_bytes);
    return sy_test_graph_weight(&self->graph, "weight", type, rank, dims, bytes, n_bytes);
}

uint32_t sy__case_numbers(sy__case *self, int64_t n, const int64_t *numbers) {
    int64_t *copy = sy__arena_alloc(&self->arena, (size_t)n, sizeof(numbers[0]));
    self->is_failed |= copy == NULL;
    if (copy != NULL) {
        memcpy(copy, numbers, (size_t)n * sizeof(numbers[0]));
    }
    return sy_test_graph_weight(&self->graph, "numbers", SY_TYPE_I64, 1, &n, copy,
                                (uint64_t)n * sizeof(numbers[0]));
}

uint32_t sy__case_state(sy__case *self, sy_element_type type, uint32_t role, uint32_t width) {
    sy_state_description *state = &self->states[self->n_states++];
    *state = (sy_state_description){
        .header = SY_HEADER_INIT(sy_state_description), .type = type, .role = role, .width = width};
    state->max_tokens = (uint64_t)self->n_tokens * 2 + self->past;
    sy_dimension dims[2] = {sy_test_fixed((int64_t)state->max_tokens), sy_test_fixed(width)};
    return sy_test_graph_value(&self->graph, "state", SY_VALUE_STATE, type, 2, dims);
}

uint32_t sy__case_output(sy__case *self, sy_element_type type, uint32_t rank,
                         const sy_dimension *dims) {
    uint32_t value = sy_test_graph_value(&self->graph, "output", SY_VALUE_OUTPUT, type, rank, dims);
    self->outputs[self->n_outputs++] = value;
    return value;
}

uint32_t sy__case_node(sy__case *self, const sy__case_row *row, uint32_t n_inputs,
                       const uint32_t *inputs) {
    uint32_t node = sy_test_graph_node(&self->graph, row->domain, row->op, row->version, n_inputs,
                                       inputs, self->n_outputs, self->outputs);
    return node;
}
