/* SPDX-License-Identifier: Apache-2.0 */
/* The matrices of a file in the form that delegates take. */
#include "lora/file.h"
#include "switchyard/huggingface.h"
#include "switchyard/quantize.h"
#include "switchyard/types.h"

#include <string.h>

uint64_t sy__lora_matrix_bytes(const sy__lora_matrix *m) {
    uint64_t row_bytes = 0;
    sy_status status = sy_type_row_bytes(m->type, m->n_columns, &row_bytes);
    return status == SY_OK ? row_bytes * m->n_rows : 0;
}

/* Row i of a GGUF file is row k of a folder. */
static sy_status copy_row(const sy__lora_file *file, const sy__lora_matrix *from, uint64_t n_pairs,
                          uint64_t i, const sy__lora_matrix *to, sy_error *error) {
    uint64_t k = n_pairs > 0 ? sy_huggingface_head_row(i, n_pairs) : i;
    uint64_t from_bytes = sy__lora_matrix_bytes(from) / from->n_rows;
    uint64_t to_bytes = sy__lora_matrix_bytes(to) / to->n_rows;
    bool is_theirs = file->safetensors != NULL;
    const uint8_t *from_row = (const uint8_t *)from->data + (is_theirs ? k : i) * from_bytes;
    uintptr_t to_row = (uintptr_t)to->data + (uintptr_t)((is_theirs ? i : k) * to_bytes);
    if (from->type != to->type) {
        return sy_dequantize_row(from->type, from_row, from->n_columns, (float *)to_row, error);
    }
    memcpy((void *)to_row, from_row, (size_t)to_bytes);
    return SY_OK;
}

sy_status sy__lora_matrix_fit(sy__lora_file *file, sy__lora_matrix *matrix, uint64_t n_pairs,
                              sy_error *error) {
    const sy_type_facts *facts = sy_type_get(matrix->type);
    sy__lora_matrix copy = *matrix;
    copy.type = facts->is_block ? SY_TYPE_F32 : matrix->type;
    if (n_pairs == 0 && copy.type == matrix->type &&
        (uintptr_t)matrix->data % facts->n_block_bytes == 0) {
        return SY_OK;
    }
    if (n_pairs > 0 && matrix->n_rows % (2 * n_pairs) != 0) {
        return sy__lora_fail(file, error, SY_DATA_LOSS, "The model's heads are no whole number.");
    }
    uint64_t n_bytes = sy__lora_matrix_bytes(&copy);
    copy.data = sy__arena_alloc(&file->copies, (size_t)n_bytes, 1);
    sy_status status =
        copy.data != NULL ? SY_OK : sy__no_memory(error, n_bytes, "an adapter's matrix");
    for (uint64_t i = 0; status == SY_OK && i < matrix->n_rows; i++) {
        status = copy_row(file, matrix, n_pairs, i, &copy, error);
    }
    *matrix = status == SY_OK ? copy : *matrix;
    return status;
}
