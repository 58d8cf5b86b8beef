/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of values between the host arena and delegates' own, and what is looked at on the way. */
#include "base/clock.h"
#include "exec/executor_internal.h"

#include <math.h>
#include <string.h>

/* The largest magnitude among f32 values, infinite for one that is no number. */
static float largest_f32(const float *values, uint64_t n) {
    float largest = 0.0f;
    for (uint64_t i = 0; i < n; i++) {
        float magnitude = fabsf(values[i]);
        largest = magnitude <= largest ? largest : isnan(magnitude) ? INFINITY : magnitude;
    }
    return largest;
}

/* Do 16-bit floats hold one whose exponent is all ones: no number, or none that is finite? */
static bool has_endless(const uint16_t *values, uint64_t n, uint16_t exponent) {
    bool found = false;
    for (uint64_t i = 0; i < n; i++) {
        found |= (values[i] & exponent) == exponent;
    }
    return found;
}

static bool is_sound(const sy_executor *executor, const sy_value_view *view, const void *bytes,
                     uint64_t n_bytes) {
    float limit = executor->options.watch.guard_limit;
    if (view->type == SY_TYPE_F32) {
        float largest = largest_f32(bytes, n_bytes / sizeof(float));
        return isfinite(largest) && (limit <= 0.0f || largest <= limit);
    }
    if (view->type == SY_TYPE_F16 || view->type == SY_TYPE_BF16) {
        return !has_endless(bytes, n_bytes / 2, view->type == SY_TYPE_F16 ? 0x7c00u : 0x7f80u);
    }
    return true;
}

/* Looks at a value that a delegate has made, in host memory. */
static sy_status guard(sy_executor *executor, uint32_t i_delegate, const sy_value_view *view,
                       const void *bytes, uint64_t n_bytes, sy_error *error) {
    sy_guard asked = executor->options.watch.guard;
    bool is_asked =
        asked == SY_GUARD_CROSSING || (asked == SY_GUARD_OUTPUTS && view->kind == SY_VALUE_OUTPUT);
    if (!is_asked || is_sound(executor, view, bytes, n_bytes)) {
        return SY_OK;
    }
    sy__failure_note(executor, i_delegate, SY_FAILURE_GARBAGE);
    return sy_error_set(error, SY_INTERNAL,
                        "Delegate '%s' gave values of '%s' that are no numbers or too large.",
                        sy_runtime_delegate(executor->runtime, i_delegate)->name, view->name);
}

sy_status sy__guard_results(sy_executor *executor, const sy__loaded_phase *phase,
                            const sy__loaded_segment *loaded, sy_error *error) {
    uint32_t i_delegate = loaded->planned->i_delegate;
    const sy__side *side = &executor->sides[i_delegate];
    sy_status status = SY_OK;
    if (executor->options.watch.guard == SY_GUARD_OFF || !side->is_watched || !side->host) {
        return SY_OK; /* others are looked at when they are copied to the host */
    }
    const sy_segment *segment = &loaded->planned->segment;
    for (uint32_t k = 0; status == SY_OK && k < segment->n_outputs; k++) {
        sy_value_view view;
        status = sy_graph_value(executor->graph, segment->outputs[k], &view);
        if (status == SY_OK) {
            status = guard(executor, i_delegate, &view,
                           executor->host_arena + phase->offsets[segment->outputs[k]],
                           sy_value_bytes(&view, executor->symbols), error);
        }
    }
    return status;
}

/* Copies one value between the host arena and a delegate's own arena. */
static sy_status transfer(sy_executor *executor, const sy__loaded_phase *phase,
                          const sy__transfer *move, sy_segment_stats *stats, sy_error *error) {
    sy_value_view view;
    bool to_device = move->from == SY__HOST_SIDE;
    uint32_t i_delegate = to_device ? move->to : move->from;
    const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, i_delegate);
    sy_buffer *buffer = executor->sides[i_delegate].arena;
    uint64_t offset = phase->offsets[move->i_value];
    sy_status status = sy_graph_value(executor->graph, move->i_value, &view);
    if (status != SY_OK) {
        return status;
    }
    uint64_t n_bytes = sy_value_bytes(&view, executor->symbols);
    void *mapped = NULL;
    sy__delegate_listen(executor->runtime, delegate);
    status = delegate->plugin->buffer_map(buffer, offset, n_bytes,
                                          to_device ? SY_ACCESS_WRITE : SY_ACCESS_READ, &mapped);
    if (status == SY_OK) {
        memcpy(to_device ? mapped : executor->host_arena + offset,
               to_device ? executor->host_arena + offset : mapped, n_bytes);
        status = delegate->plugin->buffer_unmap(buffer);
    }
    *(to_device ? &stats->written_bytes : &stats->read_bytes) += n_bytes;
    if (status != SY_OK) {
        return sy__failure(executor, delegate, status, true, "move a value", error);
    }
    return to_device
               ? SY_OK
               : guard(executor, i_delegate, &view, executor->host_arena + offset, n_bytes, error);
}

sy_status sy__transfer_list(sy_executor *executor, const sy__loaded_phase *phase,
                            const sy__transfer *list, uint32_t n, sy_error *error) {
    if (n == 0) {
        return SY_OK;
    }
    uint64_t start = sy__clock_now_ns();
    sy_segment_stats *stats = &phase->segments[list[0].i_segment].stats;
    for (uint32_t k = 0; k < n; k++) {
        sy_status status = transfer(executor, phase, &list[k], stats, error);
        if (status != SY_OK) {
            return status;
        }
    }
    stats->transfer_ns += sy__clock_now_ns() - start;
    return SY_OK;
}
