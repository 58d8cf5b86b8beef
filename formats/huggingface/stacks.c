/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices that GGUF has in one tensor and a folder does not, or not in this order: those of
 * experts, which lie apart, or all of a layer together, or in MXFP4 with their scales elsewhere;
 * and those of AltUp. Nothing is copied here: a stack knows its pieces. */
#include "internal.h"

#include "switchyard/quantize.h"

#include <stdio.h>
#include <string.h>

enum { GATE = 0, UP, DOWN, N_MATRICES };
enum {
    GATE_UP = 0,
    BOTH_DOWN,
    GATE_UP_BIAS,
    DOWN_BIAS,
    GATE_UP_BLOCKS,
    DOWN_BLOCKS,
    GATE_UP_SCALES,
    DOWN_SCALES,
    N_PACKED
};
#define EXPERTS_MOST 65536u
#define ALTUP_MOST 8u
#define BLOCK_ELEMENTS 32u

static const char *const ours[N_MATRICES] = {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};
static const char *const packed_names[N_PACKED] = {[GATE_UP] = "gate_up_proj",
                                                   [BOTH_DOWN] = "down_proj",
                                                   [GATE_UP_BIAS] = "gate_up_proj_bias",
                                                   [DOWN_BIAS] = "down_proj_bias",
                                                   [GATE_UP_BLOCKS] = "gate_up_proj_blocks",
                                                   [DOWN_BLOCKS] = "down_proj_blocks",
                                                   [GATE_UP_SCALES] = "gate_up_proj_scales",
                                                   [DOWN_SCALES] = "down_proj_scales"};
static const char *const altup_names[2] = {"altup_projections.", "altup_unembed_projections."};
static const char *const altup_ours[2] = {"altup_proj.weight", "altup_unembd_proj.weight"};
static const char hint_again[] = "Fetch the folder again, all files of its weights.";

bool sy__hf_stacks_init(sy__hf *hf, sy__hf_stacks *out_stacks) {
    if (hf->n_experts > EXPERTS_MOST || hf->n_altup > ALTUP_MOST) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, "Fetch config.json again.",
                           "config.json speaks of %u experts and %u rows of AltUp.", hf->n_experts,
                           hf->n_altup);
    }
    size_t n_apart = (size_t)hf->n_layers * N_MATRICES * hf->n_experts;
    size_t n_altup = hf->n_altup > 0 ? 2 * ((size_t)hf->n_altup - 1) : 0;
    *out_stacks = (sy__hf_stacks){
        .apart = sy__arena_alloc(&hf->scratch, n_apart + 1, sizeof(uint32_t)),
        .packed = sy__arena_alloc(&hf->scratch, (size_t)hf->n_layers * N_PACKED, sizeof(uint32_t)),
        .altup = sy__arena_alloc(&hf->scratch, n_altup + 1, sizeof(uint32_t))};
    return (out_stacks->apart != NULL && out_stacks->packed != NULL && out_stacks->altup != NULL) ||
           sy__hf_no_memory(hf, "the table of experts");
}

/* A number below `most` at the start of *inout_text, which goes on behind it. */
static bool read_number(const char **inout_text, uint32_t most, uint32_t *out_number) {
    uint64_t number = 0;
    const char *text = *inout_text;
    while (*text >= '0' && *text <= '9' && number < most) {
        number = number * 10 + (uint64_t)(*text++ - '0');
    }
    bool found = text != *inout_text && number < most;
    *out_number = (uint32_t)number;
    *inout_text = text;
    return found;
}

static bool place_expert(const sy__hf *hf, sy__hf_stacks *stacks, const char *rest,
                         uint32_t i_layer, uint32_t i) {
    static const char *const matrices[][2] = {{".gate_proj.weight", ".w1.weight"},
                                              {".up_proj.weight", ".w3.weight"},
                                              {".down_proj.weight", ".w2.weight"}};
    uint32_t i_expert = 0;
    for (uint32_t k = 0; k < N_PACKED; k++) {
        if (strcmp(rest, packed_names[k]) == 0) {
            stacks->packed[(size_t)i_layer * N_PACKED + k] = i + 1;
            return true;
        }
    }
    if (!read_number(&rest, hf->n_experts, &i_expert)) {
        return false;
    }
    for (uint32_t k = 0; k < N_MATRICES; k++) {
        if (strcmp(rest, matrices[k][0]) == 0 || strcmp(rest, matrices[k][1]) == 0) {
            size_t row = (size_t)i_layer * N_MATRICES + k;
            stacks->apart[row * hf->n_experts + i_expert] = i + 1;
            return true;
        }
    }
    return false;
}

bool sy__hf_stacks_place(const sy__hf *hf, sy__hf_stacks *stacks, const char *name,
                         uint32_t i_layer, uint32_t i) {
    static const char *const experts[] = {"mlp.experts.", "block_sparse_moe.experts."};
    for (size_t k = 0; hf->n_experts > 0 && i_layer != UINT32_MAX && k < 2; k++) {
        size_t n = strlen(experts[k]);
        if (strncmp(name, experts[k], n) == 0) {
            return place_expert(hf, stacks, name + n, i_layer, i);
        }
    }
    for (size_t k = 0; hf->n_altup > 0 && i_layer == UINT32_MAX && k < 2; k++) {
        size_t n = strlen(altup_names[k]);
        const char *rest = name + n;
        uint32_t row = 0;
        if (strncmp(name, altup_names[k], n) == 0 && read_number(&rest, hf->n_altup - 1, &row) &&
            strcmp(rest, ".weight") == 0) {
            stacks->altup[k * (hf->n_altup - 1) + row] = i + 1;
            return true;
        }
    }
    return false;
}

static bool get(const sy__hf *hf, uint32_t place, sy_safetensor *out_tensor) {
    return place != 0 && sy_safetensors_at(hf->keep->weights, place - 1, out_tensor) != 0;
}

/* Adds a tensor [n_columns, n_rows, n_matrices] whose rows come out of the stack. */
static bool add_stack(sy__hf *hf, const char *name, sy_element_type type,
                      const sy__hf_stack *stack) {
    sy__hf_stack *kept = sy__arena_alloc(&hf->keep->arena, 1, sizeof(*kept));
    char *text = sy__arena_string(&hf->scratch, name, strlen(name));
    if (kept == NULL || text == NULL) {
        return sy__hf_no_memory(hf, "a stack of matrices");
    }
    *kept = *stack;
    sy_gguf_tensor tensor = {.name = {text, strlen(text)},
                             .type = type,
                             .rank = 3,
                             .dims = {stack->n_columns, stack->n_rows, stack->n_matrices, 1}};
    sy_gguf_writer_add_rows(hf->writer, &tensor, sy__hf_stack_rows, kept);
    return true;
}

static const uint8_t **pieces_of(sy__hf *hf, uint32_t n) {
    const uint8_t **pieces = sy__arena_alloc(&hf->keep->arena, n, sizeof(*pieces));
    if (pieces == NULL) {
        sy__hf_no_memory(hf, "a stack of matrices");
    }
    return pieces;
}

/* A stack of n whole tensors. */
static bool add_apart(sy__hf *hf, const char *name, const uint32_t *places, uint32_t n) {
    sy_safetensor first = {.name = NULL}, tensor;
    sy__hf_stack stack = {.layout = SY__HF_ROWS, .n_matrices = n, .step = 1};
    stack.pieces = pieces_of(hf, n);
    for (uint32_t i = 0; stack.pieces != NULL && i < n; i++) {
        if (!get(hf, places[i], &tensor)) {
            return sy__hf_fail(hf, SY_NOT_FOUND, hint_again,
                               "Matrix %u of %u of the tensor '%s' is missing.", i, n, name);
        }
        first = i == 0 ? tensor : first;
        if (!sy__hf_is_float(tensor.type) || tensor.rank != 2 || tensor.type != first.type ||
            tensor.n_elements == 0 || tensor.dims[0] != first.dims[0] ||
            tensor.dims[1] != first.dims[1]) {
            return sy__hf_fail(hf, SY_DATA_LOSS, hint_again,
                               "The tensor '%s' is no matrix like '%s'.", tensor.name, first.name);
        }
        stack.pieces[i] = tensor.data;
    }
    if (stack.pieces == NULL) {
        return false;
    }
    stack.n_rows = stack.n_piece_rows = first.dims[0];
    stack.n_columns = first.dims[1];
    stack.element_bytes = first.type == SY_TYPE_F32 ? 4 : 2;
    stack.piece_bytes = first.n_bytes;
    return add_stack(hf, name, first.type, &stack);
}

/* Which rows of a packed piece are those of a matrix: all, or half of them, together or in turn. */
static void choose_rows(sy__hf_stack *stack, uint32_t matrix, bool in_turn) {
    bool half = matrix != DOWN;
    stack->n_rows = half ? stack->n_piece_rows / 2 : stack->n_piece_rows;
    stack->step = half && in_turn ? 2 : 1;
    stack->first = matrix != UP ? 0 : in_turn ? 1 : stack->n_rows;
}

static bool odd_shape(sy__hf *hf, const sy_safetensor *tensor) {
    return sy__hf_fail(hf, SY_DATA_LOSS, hint_again,
                       "The tensor '%s' has not the shape of packed experts.", tensor->name);
}

/* A matrix of all experts out of a tensor [experts, rows, columns], or turned. */
static bool add_packed(sy__hf *hf, const char *name, uint32_t matrix, const sy_safetensor *from) {
    bool turned = hf->family->columns_first;
    if (!sy__hf_is_float(from->type) || from->rank != 3 || from->n_elements == 0 ||
        from->dims[0] > EXPERTS_MOST ||
        from->dims[turned ? 2 : 1] % (matrix != DOWN ? 2 : 1) != 0) {
        return odd_shape(hf, from);
    }
    sy__hf_stack stack = {.layout = turned ? SY__HF_COLUMNS : SY__HF_ROWS,
                          .n_matrices = (uint32_t)from->dims[0],
                          .n_piece_rows = from->dims[turned ? 2 : 1],
                          .n_columns = from->dims[turned ? 1 : 2],
                          .element_bytes = from->type == SY_TYPE_F32 ? 4 : 2,
                          .piece_bytes = from->n_bytes / from->dims[0]};
    choose_rows(&stack, matrix, turned);
    if (matrix == DOWN && !turned) {
        return sy__hf_add_tensor(hf, name, SY__HF_MATRIX, from);
    }
    stack.pieces = pieces_of(hf, stack.n_matrices);
    for (uint32_t i = 0; stack.pieces != NULL && i < stack.n_matrices; i++) {
        stack.pieces[i] = (const uint8_t *)from->data + i * stack.piece_bytes;
    }
    return stack.pieces != NULL && add_stack(hf, name, from->type, &stack);
}

/* The same in MXFP4: blocks [experts, rows, blocks of a row, 16], scales without the last. */
static bool add_mxfp4(sy__hf *hf, const char *name, uint32_t matrix, const sy_safetensor *blocks,
                      const sy_safetensor *scales) {
    bool fits = blocks->type == SY_TYPE_U8 && scales->type == SY_TYPE_U8 && blocks->rank == 4 &&
                scales->rank == 3 && blocks->dims[3] == BLOCK_ELEMENTS / 2 &&
                blocks->n_elements > 0 && blocks->dims[0] <= EXPERTS_MOST &&
                blocks->dims[1] % (matrix != DOWN ? 2 : 1) == 0;
    for (uint32_t i = 0; i < 3; i++) {
        fits = fits && blocks->dims[i] == scales->dims[i];
    }
    if (!fits) {
        return odd_shape(hf, blocks);
    }
    sy__hf_stack stack = {.layout = SY__HF_MXFP4,
                          .n_matrices = (uint32_t)blocks->dims[0],
                          .n_piece_rows = blocks->dims[1],
                          .n_columns = blocks->dims[2] * BLOCK_ELEMENTS,
                          .piece_bytes = blocks->n_bytes / blocks->dims[0]};
    choose_rows(&stack, matrix, true);
    stack.pieces = pieces_of(hf, stack.n_matrices);
    stack.scales = pieces_of(hf, stack.n_matrices);
    if (stack.pieces == NULL || stack.scales == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < stack.n_matrices; i++) {
        stack.pieces[i] = (const uint8_t *)blocks->data + i * stack.piece_bytes;
        stack.scales[i] = (const uint8_t *)scales->data + i * (scales->n_bytes / scales->dims[0]);
    }
    return add_stack(hf, name, SY_TYPE_MXFP4, &stack);
}

/* Biases of all experts, in f32. */
static bool add_bias(sy__hf *hf, const char *name, uint32_t matrix, const sy_safetensor *from) {
    bool half = matrix != DOWN;
    char *text = sy__arena_string(&hf->scratch, name, strlen(name));
    if (!sy__hf_is_float(from->type) || from->rank != 2 || from->n_elements == 0 ||
        from->dims[1] % (half ? 2 : 1) != 0) {
        return odd_shape(hf, from);
    }
    uint64_t n = half ? from->dims[1] / 2 : from->dims[1];
    float *all = sy__arena_alloc(&hf->scratch, (size_t)from->n_elements, sizeof(*all));
    float *numbers =
        sy__arena_alloc(&hf->keep->arena, (size_t)(n * from->dims[0]), sizeof(*numbers));
    if (text == NULL || all == NULL || numbers == NULL) {
        return sy__hf_no_memory(hf, "biases of experts");
    }
    hf->status = sy_dequantize_row(from->type, from->data, from->n_elements, all, hf->error);
    for (uint64_t i = 0; hf->status == SY_OK && i < n * from->dims[0]; i++) {
        numbers[i] = all[half ? 2 * i + (matrix == UP ? 1 : 0) : i];
    }
    sy__hf_add_numbers(hf, text, numbers, n, from->dims[0]);
    return hf->status == SY_OK;
}

static bool add_matrix(sy__hf *hf, const sy__hf_stacks *stacks, uint32_t i_layer, uint32_t matrix) {
    const uint32_t *packed = &stacks->packed[(size_t)i_layer * N_PACKED];
    const uint32_t *apart = &stacks->apart[((size_t)i_layer * N_MATRICES + matrix) * hf->n_experts];
    bool down = matrix == DOWN, some = false;
    sy_safetensor tensor, scales;
    char name[64], bias[64];
    snprintf(name, sizeof(name), "blk.%u.%s.weight", i_layer, ours[matrix]);
    snprintf(bias, sizeof(bias), "blk.%u.%s.bias", i_layer, ours[matrix]);
    for (uint32_t i = 0; i < hf->n_experts; i++) {
        some = some || apart[i] != 0;
    }
    bool added = !some || add_apart(hf, name, apart, hf->n_experts);
    if (added && get(hf, packed[down ? BOTH_DOWN : GATE_UP], &tensor)) {
        added = add_packed(hf, name, matrix, &tensor);
    }
    if (added && get(hf, packed[down ? DOWN_BLOCKS : GATE_UP_BLOCKS], &tensor) &&
        get(hf, packed[down ? DOWN_SCALES : GATE_UP_SCALES], &scales)) {
        added = add_mxfp4(hf, name, matrix, &tensor, &scales);
    }
    if (added && get(hf, packed[down ? DOWN_BIAS : GATE_UP_BIAS], &tensor)) {
        added = add_bias(hf, bias, matrix, &tensor);
    }
    return added;
}

bool sy__hf_stacks_add(sy__hf *hf, const sy__hf_stacks *stacks) {
    bool added = true;
    for (uint32_t i = 0; added && hf->n_experts > 0 && i < hf->n_layers * N_MATRICES; i++) {
        added = add_matrix(hf, stacks, i / N_MATRICES, i % N_MATRICES);
    }
    for (uint32_t k = 0; added && hf->n_altup > 1 && k < 2; k++) {
        uint32_t n = hf->n_altup - 1;
        added = add_apart(hf, altup_ours[k], &stacks->altup[k * n], n);
    }
    return added;
}
