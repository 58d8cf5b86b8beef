/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one tensor into another type, shared by the workers: a row's bits depend on the row
 * alone, so nothing depends on who makes it. */
#include "internal.h"

#include "switchyard/huggingface.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ROWS_OF_TASK 16u

uint64_t sy__rows_count(const sy_gguf_tensor *tensor) {
    return tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
}

typedef struct run_state {
    const sy__rows_job *job;
    uint64_t first, n, n_columns, from_bytes, to_bytes;
    uint8_t *out_bytes;
    float *scratch;         /* a row for each worker */
    _Atomic uint64_t i_bad; /* first row that failed, or UINT64_MAX */
} run_state;

/* Row of the source that becomes row i. */
static uint64_t source_row(const sy__rows_job *job, uint64_t i) {
    return job->n_pairs == 0 ? i : sy_huggingface_head_row(i, job->n_pairs);
}

static sy_status make_row(const run_state *state, uint64_t i, float *scratch, sy_error *error) {
    const sy__rows_job *job = state->job;
    const uint8_t *from =
        job->source + (source_row(job, i) - job->first_source) * state->from_bytes;
    uint8_t *to = state->out_bytes + (i - state->first) * state->to_bytes;
    if (job->to == job->tensor->type) {
        memcpy(to, from, (size_t)state->to_bytes);
        return SY_OK;
    }
    sy_status status = sy_dequantize_row(job->tensor->type, from, state->n_columns, scratch, error);
    uint64_t i_matrix = i / job->tensor->dims[1];
    const float *importance =
        job->importance != NULL ? job->importance + i_matrix * state->n_columns : NULL;
    return status == SY_OK
               ? sy_quantize_row(job->to, scratch, state->n_columns, importance, to, error)
               : status;
}

static void make_rows(void *argument, uint32_t i_task, uint32_t i_worker) {
    run_state *state = argument;
    float *scratch = state->scratch + (size_t)i_worker * state->n_columns;
    uint64_t begin = state->first + (uint64_t)i_task * ROWS_OF_TASK;
    uint64_t end = state->first + state->n;
    end = begin + ROWS_OF_TASK < end ? begin + ROWS_OF_TASK : end;
    for (uint64_t i = begin; i < end; i++) {
        if (make_row(state, i, scratch, NULL) != SY_OK) {
            uint64_t known = atomic_load(&state->i_bad);
            while (i < known && !atomic_compare_exchange_weak(&state->i_bad, &known, i)) {}
            return;
        }
    }
}

/* Says of the first bad row what is wrong with it. */
static sy_status tell(run_state *state, sy_error *error) {
    sy_error why;
    char message[SY_ERROR_MESSAGE_BYTES];
    sy_error_clear(&why);
    sy_status status = make_row(state, state->i_bad, state->scratch, &why);
    snprintf(message, sizeof(message), "Row %" PRIu64 " of the tensor '%.*s': %.200s",
             source_row(state->job, state->i_bad), (int)state->job->tensor->name.n_bytes,
             state->job->tensor->name.bytes, why.message);
    sy_error_set(error, status, "%s", message);
    sy_error_hint(error, "%s", why.hint);
    return status;
}

sy_status sy__rows_run(const sy__rows_job *job, uint64_t first, uint64_t n, uint8_t *out_bytes,
                       sy_error *error) {
    uint32_t n_workers = sy__team_n_workers(job->team);
    run_state state = {.job = job,
                       .first = first,
                       .n = n,
                       .n_columns = job->tensor->dims[0],
                       .out_bytes = out_bytes,
                       .i_bad = UINT64_MAX};
    sy_status status = sy_type_row_bytes(job->tensor->type, state.n_columns, &state.from_bytes);
    status =
        status == SY_OK ? sy_type_row_bytes(job->to, state.n_columns, &state.to_bytes) : status;
    if (status != SY_OK) {
        return sy_error_set(error, SY_INTERNAL, "A tensor's rows are no whole number of blocks.");
    }
    size_t n_scratch = (size_t)state.n_columns * n_workers;
    state.scratch = sy__alloc_array(job->allocator, n_scratch, sizeof(float));
    if (state.scratch == NULL) {
        return sy__no_memory(error, n_scratch * sizeof(float), "rows of a tensor");
    }
    sy__team_run(job->team, make_rows, &state, (uint32_t)((n + ROWS_OF_TASK - 1) / ROWS_OF_TASK));
    status = state.i_bad != UINT64_MAX ? tell(&state, error) : SY_OK;
    sy__free_array(job->allocator, state.scratch, n_scratch, sizeof(float));
    return status;
}
