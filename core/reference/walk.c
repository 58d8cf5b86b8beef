/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/element.h"

#include <string.h>

#define TASK_ELEMENTS 4096

void sy__ref_broadcast_strides(const sy__shape *shape, const sy__shape *out,
                               int64_t strides[SY_MAX_RANK]) {
    int64_t stride = 1;
    memset(strides, 0, SY_MAX_RANK * sizeof(strides[0]));
    for (uint32_t i = 0; i < shape->rank; i++) { /* from the innermost dimension */
        int64_t n = shape->dims[shape->rank - 1 - i];
        strides[out->rank - 1 - i] = n == 1 ? 0 : stride;
        stride *= n;
    }
}

/* Visits output elements [first, first + n) which lie in one innermost row. */
static void visit_within_row(const sy__walk *walk, int64_t first, int64_t n) {
    const sy__shape *shape = &walk->output->shape;
    sy__run run = {.out_first = first, .n = n};
    for (uint32_t i = 0; i < walk->n_inputs; i++) {
        run.first[i] = walk->base[i];
        run.stride[i] = shape->rank > 0 ? walk->strides[i][shape->rank - 1] : 0;
    }
    int64_t rest = first;
    for (uint32_t d = shape->rank; d-- > 0;) {
        int64_t index = rest % shape->dims[d];
        rest /= shape->dims[d];
        for (uint32_t i = 0; i < walk->n_inputs; i++) {
            run.first[i] += index * walk->strides[i][d];
        }
    }
    walk->visit(walk, &run);
}

static void walk_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    const sy__walk *walk = argument;
    const sy__shape *shape = &walk->output->shape;
    (void)i_worker;
    int64_t row = shape->rank > 0 ? shape->dims[shape->rank - 1] : 1;
    int64_t first = (int64_t)i_task * TASK_ELEMENTS;
    int64_t end = sy__ref_shape_count(shape);
    end = end < first + TASK_ELEMENTS ? end : first + TASK_ELEMENTS;
    while (first < end) {
        int64_t n = row - first % row;
        n = n < end - first ? n : end - first;
        n = n < SY__RUN_ELEMENTS ? n : SY__RUN_ELEMENTS;
        visit_within_row(walk, first, n);
        first += n;
    }
}

sy_status sy__ref_walk_run(const sy__walk *walk) {
    sy__walk copy = *walk; /* tasks take a pointer without const */
    uint64_t n = (uint64_t)sy__ref_shape_count(&walk->output->shape);
    return sy__ref_parallel(walk->call, walk_task, &copy, (n + TASK_ELEMENTS - 1) / TASK_ELEMENTS);
}

sy_status sy__ref_walk_broadcast(const sy__call *call, uint32_t n_inputs,
                                 void (*visit)(const sy__walk *walk, const sy__run *run)) {
    sy__walk walk = {.call = call, .output = call->outputs[0], .n_inputs = n_inputs};
    walk.visit = visit;
    for (uint32_t i = 0; i < n_inputs; i++) {
        walk.inputs[i] = call->inputs[i];
        sy__ref_broadcast_strides(&call->inputs[i]->shape, &walk.output->shape, walk.strides[i]);
    }
    return sy__ref_walk_run(&walk);
}

void sy__ref_visit_copy(const sy__walk *walk, const sy__run *run) {
    size_t n_bytes = sy__ref_element_bytes(walk->output->type);
    const uint8_t *from = walk->inputs[0]->data;
    uint8_t *to = walk->output->data;
    for (int64_t i = 0; i < run->n; i++) {
        int64_t at = run->first[0] + i * run->stride[0];
        memcpy(to + (size_t)(run->out_first + i) * n_bytes, from + (size_t)at * n_bytes, n_bytes);
    }
}
