/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: submitted, watched, waited for. No heap call from here. */
#include "base/clock.h"
#include "exec/executor_internal.h"

#include <string.h>

#define NS_PER_MS 1000000u
#define CANCEL_NS_MAX 100000000u
/* Some drivers compile a kernel when it first runs. */
#define FIRST_JOB_FLOORS 12u
#define WATCH_SLICE_NS 250000000u

static void set_lengths(const sy_executor *executor, const uint32_t *values, uint32_t n,
                        sy_binding *bindings) {
    for (uint32_t k = 0; k < n; k++) {
        sy_value_view view;
        if (sy_graph_value(executor->graph, values[k], &view) == SY_OK) {
            bindings[k].length_bytes = sy_value_bytes(&view, executor->symbols);
        }
    }
}

static void set_states(const sy_step *step, sy__loaded_segment *loaded) {
    uint32_t n_states = loaded->planned->segment.n_states;
    for (uint32_t i = 0; i < step->n_sequences; i++) {
        for (uint32_t k = 0; k < n_states; k++) {
            loaded->states[i * n_states + k] =
                step->sequences[i].states->states[loaded->state_slots[k]];
        }
    }
}

/* How long the job may take; 0: as long as it likes. */
static uint64_t allowance(const sy_executor *executor, const sy__loaded_segment *loaded) {
    const sy_watch_options *watch = &executor->options.watch;
    double predicted_ns = loaded->planned->predicted_us * 1e3;
    double slowest_ns = (double)loaded->slowest_ns;
    if (watch->hang_floor_ms == 0) {
        return 0;
    }
    double expected_ns = predicted_ns > slowest_ns ? predicted_ns : slowest_ns;
    double allowed_ns = expected_ns * (double)watch->hang_multiple;
    allowed_ns = allowed_ns > 0 && allowed_ns < 1e15 ? allowed_ns : 0;
    uint64_t n_floors = loaded->stats.n_runs == 0 ? FIRST_JOB_FLOORS : 1;
    return (uint64_t)allowed_ns + n_floors * watch->hang_floor_ms * NS_PER_MS;
}

/* A job behind another one of its delegate has time from the other's deadline on. */
static void set_deadline(const sy_executor *executor, const sy__loaded_segment *before,
                         sy__loaded_segment *loaded) {
    loaded->allowed_ns = allowance(executor, loaded);
    uint64_t from = loaded->start_ns;
    if (before != NULL && before->deadline_ns > from) {
        from = before->deadline_ns;
    }
    loaded->deadline_ns = loaded->allowed_ns > 0 ? from + loaded->allowed_ns : 0;
}

static void fill_job(sy_executor *executor, const sy_step *step, const sy__loaded_phase *phase,
                     sy__loaded_segment *loaded) {
    const sy_segment *segment = &loaded->planned->segment;
    sy__side *side = &executor->sides[loaded->planned->i_delegate];
    loaded->done = (sy_point){.fence = side->fence, .value = ++side->n_jobs};
    loaded->job =
        (sy_job){.header = SY_HEADER_INIT(sy_job),
                 .symbols = executor->symbols,
                 .n_symbols = SY_SYMBOL_COUNT_MAX,
                 .n_inputs = segment->n_inputs,
                 .n_outputs = segment->n_outputs,
                 .n_sequences = step->n_sequences,
                 .n_states = segment->n_states,
                 .n_signals = 1,
                 .inputs = loaded->inputs,
                 .outputs = loaded->outputs,
                 .sequences = executor->sequences,
                 .states = loaded->states,
                 .signals = &loaded->done,
                 .scratch = {.buffer = side->scratch, .length_bytes = side->scratch_bytes},
                 .run = loaded->done.value};
    if (loaded->adapts) {
        loaded->job.sequences = side->sequences;
        loaded->job.adapters = side->adapter_uses;
        loaded->job.n_adapters = side->n_adapter_uses;
    }
    loaded->profile = (sy_profile){
        .extension = {.id = SY_EXTENSION_PROFILE, .size = (uint32_t)sizeof(sy_profile)},
        .node_ns = phase->node_ns,
        .n_nodes = phase->node_ns != NULL ? sy_graph_n_nodes(executor->graph) : 0,
        .cost = &loaded->cost};
    loaded->cost = (sy_job_cost){.host_ns = 0};
    loaded->job.header.extensions = &loaded->profile.extension;
}

/* The job's end: what it took, and whether what it gave is sound. */
static sy_status end(sy_executor *executor, const sy__loaded_phase *phase,
                     sy__loaded_segment *loaded, sy_status status, sy_error *error) {
    sy_segment_stats *stats = &loaded->stats;
    loaded->is_pending = false;
    stats->last_ns = sy__clock_now_ns() - loaded->start_ns;
    stats->total_ns += stats->last_ns;
    stats->n_runs++;
    stats->host_ns += loaded->cost.host_ns;
    stats->written_bytes += loaded->cost.written_bytes;
    stats->read_bytes += loaded->cost.read_bytes;
    if (status != SY_OK) {
        const sy_delegate *delegate =
            sy_runtime_delegate(executor->runtime, loaded->planned->i_delegate);
        return sy__failure(executor, delegate, status, true, "run a segment", error);
    }
    if (stats->last_ns > loaded->slowest_ns) {
        loaded->slowest_ns = stats->last_ns;
    }
    return sy__guard_results(executor, phase, loaded, error);
}

sy_status sy__segment_submit(sy_executor *executor, const sy_step *step, sy__loaded_phase *phase,
                             sy__loaded_segment *loaded, sy_error *error) {
    const sy_segment *segment = &loaded->planned->segment;
    const sy__side *side = &executor->sides[loaded->planned->i_delegate];
    const sy_delegate *delegate =
        sy_runtime_delegate(executor->runtime, loaded->planned->i_delegate);
    set_lengths(executor, segment->inputs, segment->n_inputs, loaded->inputs);
    set_lengths(executor, segment->outputs, segment->n_outputs, loaded->outputs);
    set_states(step, loaded);
    fill_job(executor, step, phase, loaded);
    sy__delegate_listen(executor->runtime, delegate);
    loaded->start_ns = sy__clock_now_ns();
    if (side->is_watched) {
        sy__loaded_segment *before =
            loaded->i_before != SY_NO_VALUE ? &phase->segments[loaded->i_before] : NULL;
        before = before != NULL && before->is_pending ? before : NULL;
        set_deadline(executor, before, loaded);
        loaded->job.deadline_ns = loaded->deadline_ns;
        if (before != NULL) {
            loaded->wait = before->done;
            loaded->job.waits = &loaded->wait;
            loaded->job.n_waits = 1;
        }
    }
    sy_status status = delegate->plugin->submit(loaded->unit, &loaded->job);
    if (status != SY_OK) {
        return end(executor, phase, loaded, status, error);
    }
    loaded->is_pending = true;
    return side->is_watched ? SY_OK : sy__segment_wait(executor, phase, loaded, error);
}

/* Asks the delegate to give a job up that is too late, and waits a little for its word. */
static sy_status cancel(const sy_executor *executor, const sy__loaded_segment *loaded) {
    const sy_delegate *delegate =
        sy_runtime_delegate(executor->runtime, loaded->planned->i_delegate);
    uint64_t grace_ns = loaded->allowed_ns < CANCEL_NS_MAX ? loaded->allowed_ns : CANCEL_NS_MAX;
    if (delegate->plugin->cancel == NULL ||
        delegate->plugin->cancel(loaded->unit, loaded->job.run) != SY_OK) {
        return SY_DEADLINE_EXCEEDED;
    }
    sy_status status =
        sy__fence_wait(executor->runtime, loaded->done, sy__clock_now_ns() + grace_ns);
    return status == SY_CANCELLED ? SY_DEADLINE_EXCEEDED : status;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Waits until the deadline, in slices: time in which this process did not run itself - stopped,
 * frozen, a debugger - is nobody's delay. */
static sy_status wait_watched(const sy_executor *executor, const sy__loaded_segment *loaded) {
    sy_runtime *runtime = executor->runtime;
    uint64_t deadline = loaded->deadline_ns;
    if (deadline == 0) {
        return sy__fence_wait(runtime, loaded->done, 0);
    }
    uint64_t now = sy__clock_now_ns(), slice = smaller(loaded->allowed_ns, WATCH_SLICE_NS);
    deadline = deadline > now + slice ? deadline : now + slice;
    sy_status status = SY_DEADLINE_EXCEEDED;
    while (status == SY_DEADLINE_EXCEEDED && now < deadline) {
        uint64_t until = now + smaller(deadline - now, slice);
        status = sy__fence_wait(runtime, loaded->done, until);
        if (sy__fence_is_reached(runtime, loaded->done)) {
            return sy__fence_wait(runtime, loaded->done, 0); /* the job's own word */
        }
        now = sy__clock_now_ns();
        deadline += now - until > slice ? now - until : 0;
    }
    return status == SY_DEADLINE_EXCEEDED ? cancel(executor, loaded) : status;
}

sy_status sy__segment_wait(sy_executor *executor, const sy__loaded_phase *phase,
                           sy__loaded_segment *loaded, sy_error *error) {
    uint32_t i_delegate = loaded->planned->i_delegate;
    const sy__side *side = &executor->sides[i_delegate];
    sy_status status = side->is_watched ? wait_watched(executor, loaded)
                                        : sy__fence_wait(executor->runtime, loaded->done, 0);
    bool is_hung = SY_STATUS_CLASS(status) == SY_DEADLINE_EXCEEDED && side->is_watched &&
                   !sy__fence_is_reached(executor->runtime, loaded->done);
    if (!is_hung) {
        return end(executor, phase, loaded, status, error);
    }
    executor->failed->hung |= 1u << i_delegate;
    sy__failure_note(executor, i_delegate, SY_FAILURE_HUNG);
    return sy_error_set(error, SY_DEADLINE_EXCEEDED,
                        "Delegate '%s' did not end a job within %llu ms.",
                        sy_runtime_delegate(executor->runtime, i_delegate)->name,
                        (unsigned long long)(loaded->allowed_ns / NS_PER_MS));
}

void sy__segments_drain(sy_executor *executor, sy__loaded_phase *phase) {
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        sy__loaded_segment *loaded = &phase->segments[s];
        bool is_known = (executor->failed->hung >> loaded->planned->i_delegate & 1u) != 0;
        if (loaded->is_pending && !is_known) {
            (void)sy__segment_wait(executor, phase, loaded, NULL);
        }
    }
}
