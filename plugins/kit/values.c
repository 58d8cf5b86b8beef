/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include "graph.h"

#include <string.h>

bool kit_array_grow(void **inout_array, size_t n, size_t *inout_capacity, size_t size) {
    if (n < *inout_capacity) {
        return true;
    }
    size_t capacity = *inout_capacity > 0 ? *inout_capacity * 2 : 64;
    void *larger = capacity <= SIZE_MAX / 2 / size ? kit_alloc(capacity * size) : NULL;
    if (larger == NULL) {
        return false;
    }
    if (n > 0) {
        memcpy(larger, *inout_array, n * size);
    }
    kit_release(*inout_array, *inout_capacity * size);
    *inout_array = larger;
    *inout_capacity = capacity;
    return true;
}

sy_status kit_no_tables(void) {
    return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit's tables");
}

void kit_values_deinit(kit_values *values) {
    kit_release(values->items, values->capacity * sizeof(*values->items));
    *values = (kit_values){0};
}

sy_status kit_values_add(kit_values *values, const kit_value *value, uint32_t *out_index) {
    void *items = values->items;
    bool grown = kit_array_grow(&items, values->n, &values->capacity, sizeof(*value));
    values->items = items;
    if (!grown) {
        return kit_no_tables();
    }
    *out_index = (uint32_t)values->n;
    values->items[values->n++] = *value;
    return SY_OK;
}

bool kit_value_measure(kit_value *value) {
    uint64_t n = 1, width = 1, row_bytes = 0;
    if (value->rank > SY_MAX_RANK) {
        return false;
    }
    for (uint32_t i = 0; i < value->rank; i++) {
        int64_t bound = value->dims[i].bound;
        if (bound < 0 || (i + 1 < value->rank && __builtin_mul_overflow(n, (uint64_t)bound, &n))) {
            return false;
        }
        width = (uint64_t)bound;
    }
    width = value->rank == 0 ? 1 : width;
    return kit_type_row_bytes(value->type, width, &row_bytes) &&
           !__builtin_mul_overflow(n, row_bytes, &value->n_bytes) &&
           value->n_bytes < UINT64_MAX / 4;
}

static bool index_of(const uint32_t *list, uint32_t n, uint32_t wanted, uint32_t *out_index) {
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == wanted) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

static sy_status place_from_segment(const sy_segment *segment, sy_value_kind kind,
                                    kit_value *value) {
    if (kind == SY_VALUE_STATE) {
        value->place = KIT_PLACE_STATE;
        return index_of(segment->states, segment->n_states, value->i_view, &value->index)
                   ? SY_OK
                   : kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                                "state value %u is missing from the segment", value->i_view);
    }
    if (index_of(segment->inputs, segment->n_inputs, value->i_view, &value->index)) {
        value->place = KIT_PLACE_INPUT;
    } else if (index_of(segment->outputs, segment->n_outputs, value->i_view, &value->index)) {
        value->place = KIT_PLACE_OUTPUT;
    } else {
        value->place = KIT_PLACE_SCRATCH;
    }
    return SY_OK;
}

sy_status kit_values_of_view(kit_values *values, const sy_segment *segment, uint32_t i_view,
                             const sy_value_view *view, bool is_output, uint32_t i_step,
                             uint32_t *out_index) {
    for (uint32_t i = 0; i < values->n; i++) {
        if (values->items[i].i_view == i_view) {
            *out_index = i;
            return SY_OK;
        }
    }
    kit_value value = {.type = view->type, .rank = view->rank, .i_view = i_view};
    value.first_step = value.last_step = i_step;
    memcpy(value.dims, view->dims, sizeof(value.dims));
    if (view->kind != SY_VALUE_STATE && !kit_value_measure(&value)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "value %u has an impossible shape",
                          i_view);
    }
    if (view->kind == SY_VALUE_WEIGHT) {
        value.place = KIT_PLACE_WEIGHT;
        value.weight = kit_weight_bytes(view);
        if (value.weight == NULL || view->data.length_bytes < value.n_bytes) {
            return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "constant %u lacks its bytes",
                              i_view);
        }
        return kit_values_add(values, &value, out_index);
    }
    sy_status status = place_from_segment(segment, view->kind, &value);
    if (status == SY_OK && value.place == KIT_PLACE_SCRATCH && !is_output) {
        status =
            kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                       "value %u is neither made in the segment nor one of its inputs", i_view);
    }
    return status == SY_OK ? kit_values_add(values, &value, out_index) : status;
}

sy_status kit_value_shape(const kit_value *value, const sy_job *job, int64_t *out_dims,
                          uint64_t *out_elements, uint64_t *out_bytes) {
    uint64_t n_elements = 1, row_bytes = 0, width = 1;
    for (uint32_t d = 0; d < value->rank; d++) {
        out_dims[d] = kit_dimension_at(&value->dims[d], job->symbols, job->n_symbols);
        if (out_dims[d] < 0) {
            return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                              "dimension %u of value %u is past its bound %lld", d, value->i_view,
                              (long long)value->dims[d].bound);
        }
        width = (uint64_t)out_dims[d];
        n_elements *= width;
    }
    *out_elements = n_elements;
    *out_bytes = 0;
    if (value->place == KIT_PLACE_STATE) {
        return SY_OK;
    }
    if (!kit_type_row_bytes(value->type, width, &row_bytes)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "value %u has no row layout",
                          value->i_view);
    }
    *out_bytes = width > 0 ? n_elements / width * row_bytes : 0;
    return SY_OK;
}

uint32_t kit_values_root(const kit_values *values, uint32_t i_value) {
    while (values->items[i_value].place == KIT_PLACE_ALIAS) {
        i_value = values->items[i_value].index;
    }
    return i_value;
}

void kit_values_alias(kit_values *values, uint32_t in, uint32_t out) {
    uint32_t root = kit_values_root(values, in);
    if (values->items[out].place == KIT_PLACE_SCRATCH &&
        values->items[root].place != KIT_PLACE_STATE) {
        values->items[out].place = KIT_PLACE_ALIAS;
        values->items[out].index = root;
    }
}

void kit_values_touch(kit_values *values, uint32_t i_value, uint32_t i_step) {
    while (i_value != SY_NO_VALUE) {
        kit_value *value = &values->items[i_value];
        value->last_step = i_step;
        i_value = value->place == KIT_PLACE_ALIAS ? value->index : SY_NO_VALUE;
    }
}

static bool alive_together(const kit_value *a, const kit_value *b) {
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

/* First fit: the lowest offset at which nothing alive at the same time lies. */
static uint64_t first_fit(const kit_values *values, size_t i_value, uint64_t alignment) {
    const kit_value *value = &values->items[i_value];
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < i_value; i++) {
            const kit_value *other = &values->items[i];
            if (other->place == KIT_PLACE_SCRATCH && alive_together(value, other) &&
                offset < other->offset + other->n_bytes &&
                other->offset < offset + value->n_bytes) {
                offset = (other->offset + other->n_bytes + alignment - 1) & ~(alignment - 1);
                moved = true;
            }
        }
    }
    return offset;
}

uint64_t kit_values_place(kit_values *values, uint64_t alignment_bytes) {
    uint64_t end = 0;
    for (size_t i = 0; i < values->n; i++) {
        kit_value *value = &values->items[i];
        if (value->place == KIT_PLACE_SCRATCH) {
            value->offset = first_fit(values, i, alignment_bytes);
            uint64_t value_end = value->offset + value->n_bytes;
            end = value_end > end ? value_end : end;
        }
    }
    return end;
}

sy_status kit_job_check(const sy_job *job, uint32_t n_inputs, uint32_t n_outputs,
                        uint32_t n_states) {
    sy_status status = kit_extensions_check(&job->header);
    if (status != SY_OK || (job->n_inputs == n_inputs && job->n_outputs == n_outputs &&
                            (job->n_sequences == 0 || job->n_states == n_states))) {
        return status;
    }
    return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                      "the job binds %u inputs, %u outputs and %u states, the unit has %u, %u and "
                      "%u",
                      job->n_inputs, job->n_outputs, job->n_states, n_inputs, n_outputs, n_states);
}
