/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of an engine's graph and their executors: the first ones, and those after a failure. */
#include "base/clock.h"
#include "engine/engine_internal.h"

#include <stdio.h>

#define EXPECTED_DECODE_STEPS 128.0 /* tokens per prompt that plans are weighed for */
#define SELECTOR_BYTES (SY_LIMIT_NAME_BYTES + 72u)

/* Names what is left out; the list is the caller's to free. */
static sy_status name_left_out(const sy_engine *engine, uint32_t set,
                               char (*selectors)[SELECTOR_BYTES], const char ***out_list,
                               uint32_t *out_n, sy_error *error) {
    const sy_engine_options *options = &engine->options;
    uint32_t n = options->n_without;
    size_t capacity = (size_t)n + SY_LIMIT_DELEGATES;
    const char **list = sy__alloc_array(engine->allocator, capacity, sizeof(*list));
    if (list == NULL) {
        return sy__no_memory(error, capacity * sizeof(*list), "a plan");
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i] = options->without[i];
    }
    for (uint32_t d = 0; d < sy_runtime_n_delegates(engine->runtime); d++) {
        if ((set >> d & 1u) != 0) {
            const sy_delegate *delegate = sy_runtime_delegate(engine->runtime, d);
            snprintf(selectors[d], SELECTOR_BYTES, "%s:%s", delegate->name, delegate->info.id);
            list[n++] = selectors[d];
        }
    }
    *out_list = list;
    *out_n = n;
    return SY_OK;
}

sy_status sy__engine_plan(const sy_engine *engine, uint32_t without, bool is_shadow,
                          sy_plan **out_plan, sy_error *error) {
    const sy_engine_options *options = &engine->options;
    char selectors[SY_LIMIT_DELEGATES][SELECTOR_BYTES];
    const char **list = NULL;
    uint32_t n = 0;
    sy_status status =
        name_left_out(engine, without | engine->failover.unfit, selectors, &list, &n, error);
    if (status != SY_OK) {
        return status;
    }
    sy_plan_phase phases[2] = {{.phase = SY_PHASE_PREFILL, .n_runs = 1},
                               {.phase = SY_PHASE_DECODE, .n_runs = EXPECTED_DECODE_STEPS}};
    for (size_t p = 0; p < 2; p++) {
        phases[p].typical[SY_SYMBOL_TOKENS] = p == 0 ? options->n_batch_tokens : 1;
        phases[p].typical[SY_SYMBOL_OUTPUTS] = 1;
        phases[p].typical[SY_SYMBOL_SEQUENCES] = 1;
    }
    sy_plan_options plan = {.struct_bytes = sizeof(plan),
                            .n_phases = 2,
                            .phases = phases,
                            .n_without = n,
                            .without = list,
                            .n_rules = options->n_rules,
                            .rules = options->rules,
                            .no_alternatives = options->no_alternatives,
                            .placement = options->placement,
                            .is_shadow = is_shadow ? 1 : 0};
    status = sy_plan_create(engine->runtime, engine->model.graph, options->policy, &plan, out_plan,
                            error);
    sy__free_array(engine->allocator, list, (size_t)options->n_without + SY_LIMIT_DELEGATES,
                   sizeof(*list));
    return status;
}

sy_status sy__engine_executor(const sy_engine *engine, const sy_plan *plan,
                              sy_executor **out_executor, sy_error *error) {
    sy_executor_options options = {.struct_bytes = sizeof(options),
                                   .n_sequences_max = engine->options.n_sequences,
                                   .profile = engine->options.profile,
                                   .windows = 1,
                                   .no_blobs = engine->options.no_blobs,
                                   .watch = engine->options.failover.watch};
    return sy_executor_create(plan, &options, out_executor, error);
}

sy_status sy__engine_make_planned(sy_engine *engine, sy_plan *plan, sy__planned *out_planned,
                                  sy_error *error) {
    uint64_t heap_before = sy_runtime_heap_bytes(engine->runtime);
    uint64_t start = sy__clock_now_ns();
    sy__planned planned = {.plan = plan};
    sy_status status = SY_OK;
    if (plan == NULL) {
        status = sy__engine_plan(engine, 0, false, &planned.plan, error);
    }
    uint64_t middle = sy__clock_now_ns();
    if (status == SY_OK) {
        status = sy__engine_executor(engine, planned.plan, &planned.executor, error);
    }
    if (status != SY_OK) {
        sy_plan_destroy(planned.plan);
        return status;
    }
    sy_memory_report report;
    sy_executor_memory(planned.executor, &report);
    planned.n_bytes = sy_runtime_heap_bytes(engine->runtime) - heap_before + report.device_bytes;
    planned.plan_ns = middle - start;
    planned.load_ns = sy__clock_now_ns() - middle;
    *out_planned = planned;
    return SY_OK;
}

/* Leaves out the delegate that had no memory for the engine; false where nobody may stand in. */
static bool leave_out(sy_engine *engine, sy_status status, const sy_error *error) {
    const sy_policy *policy = engine->options.policy;
    bool may_stay_unused = policy == NULL || policy->fallback != SY_FALLBACK_ERROR;
    uint32_t i_delegate = SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && may_stay_unused
                              ? sy__engine_culprit(engine, error)
                              : SY_NO_VALUE;
    if (i_delegate == SY_NO_VALUE ||
        sy_runtime_delegate(engine->runtime, i_delegate)->info.device_class == SY_DEVICE_CPU ||
        (engine->failover.unfit >> i_delegate & 1u) != 0) {
        return false;
    }
    engine->failover.unfit |= 1u << i_delegate;
    sy_log_write(sy_runtime_log(engine->runtime), SY_SEVERITY_WARNING, "engine.without",
                 "delegate=%s reason=%s", sy_runtime_delegate(engine->runtime, i_delegate)->name,
                 error->message);
    return true;
}

sy_status sy__engine_make_first(sy_engine *engine, sy__planned *out_planned, sy_error *error) {
    sy_error own;
    sy_error_clear(&own);
    sy_status status = sy__engine_make_planned(engine, NULL, out_planned, &own);
    while (status != SY_OK && leave_out(engine, status, &own)) {
        sy_error_clear(&own);
        status = sy__engine_make_planned(engine, NULL, out_planned, &own);
    }
    if (error != NULL) {
        *error = own;
    }
    return status;
}

bool sy__plan_uses(const sy_plan *plan, uint32_t i_delegate) {
    for (uint32_t p = 0; p < sy_plan_n_phases(plan); p++) {
        for (uint32_t s = 0; s < sy_plan_n_segments(plan, p); s++) {
            if (sy_plan_segment_at(plan, p, s)->i_delegate == i_delegate) {
                return true;
            }
        }
    }
    return false;
}

sy_status sy__engine_make_shadows(sy_engine *engine, sy_error *error) {
    uint32_t n = sy_runtime_n_delegates(engine->runtime);
    bool is_asked = engine->options.failover.keeps_shadow != 0;
    sy_status status = SY_OK;
    for (uint32_t d = 0; is_asked && status == SY_OK && d < n; d++) {
        const sy_delegate *delegate = sy_runtime_delegate(engine->runtime, d);
        if (delegate->info.device_class != SY_DEVICE_CPU && sy__plan_uses(engine->plan, d)) {
            status = sy__engine_plan(engine, 1u << d, true, &engine->failover.shadows[d], error);
        }
    }
    return status;
}

void sy__engine_drop_shadows(sy_engine *engine) {
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        sy_plan_destroy(engine->failover.shadows[d]);
        engine->failover.shadows[d] = NULL;
    }
}
