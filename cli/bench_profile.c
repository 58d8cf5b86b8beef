/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time went: per operator, from what delegates tell of nodes, and per segment. */
#include "bench.h"

#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>

static void *resize(void *pointer, size_t old_bytes, size_t new_bytes) {
    const sy_allocator *heap = sy_allocator_heap();
    return heap->reallocate(heap->self, pointer, old_bytes, new_bytes, 64);
}

static const sy_plan *plan_of(const sy_bench *bench) {
    return sy_engine_plan(bench->engine.engine);
}

sy_status sy_bench_tally_open(const sy_engine *engine, sy_bench_tally *out_tally, sy_error *error) {
    memset(out_tally, 0, sizeof(*out_tally));
    uint32_t n_nodes = sy_graph_n_nodes(sy_plan_graph(sy_engine_plan(engine)));
    out_tally->node_ns = resize(NULL, 0, (n_nodes + 1) * sizeof(uint64_t));
    if (out_tally->node_ns == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for the profile.");
    }
    memset(out_tally->node_ns, 0, (n_nodes + 1) * sizeof(uint64_t));
    out_tally->n_nodes = n_nodes;
    return SY_OK;
}

void sy_bench_tally_close(sy_bench_tally *tally) {
    if (tally->node_ns != NULL) {
        resize(tally->node_ns, (tally->n_nodes + 1) * sizeof(uint64_t), 0);
    }
    memset(tally, 0, sizeof(*tally));
}

/* Sums wrap around zero in between: -before + after is right whatever the order. */
void sy_bench_tally_add(const sy_engine *engine, uint32_t i_phase, int sign,
                        sy_bench_tally *tally) {
    const sy_executor *executor = sy_engine_executor(engine);
    uint64_t factor = sign < 0 ? UINT64_MAX : 1;
    for (uint32_t i = 0; i < tally->n_nodes; i++) {
        tally->node_ns[i] += factor * sy_executor_node_ns(executor, i_phase, i);
    }
    for (uint32_t s = 0; s < SY_BENCH_SEGMENTS_MAX; s++) {
        sy_segment_stats stats;
        sy_executor_stats(executor, i_phase, s, &stats);
        tally->segments[s].n_runs += factor * stats.n_runs;
        tally->segments[s].total_ns += factor * stats.total_ns;
        tally->segments[s].transfer_ns += factor * stats.transfer_ns;
    }
}

/* "Linear Q4_0 [4864, 896]": the operator and its matrix. */
static void name_node(const sy_graph *graph, uint32_t i_node, char *out_name, size_t n_bytes) {
    sy_node_view node;
    sy_value_view value;
    if (sy_graph_node(graph, i_node, &node) != SY_OK) {
        snprintf(out_name, n_bytes, "?");
        return;
    }
    snprintf(out_name, n_bytes, "%s", node.op);
    for (uint32_t i = 0; i < node.n_inputs; i++) {
        if (node.inputs[i] != SY_NO_VALUE &&
            sy_graph_value(graph, node.inputs[i], &value) == SY_OK &&
            value.kind == SY_VALUE_WEIGHT && value.rank == 2) {
            const sy_type_facts *facts = sy_type_get(value.type);
            snprintf(out_name, n_bytes, "%s %s [%lld, %lld]", node.op,
                     facts != NULL ? facts->name : "?", (long long)value.dims[0].bound,
                     (long long)value.dims[1].bound);
            return;
        }
    }
}

/* The group of that name, made when there is none; the last one takes what does not fit. */
static sy_bench_group *group_of(sy_bench_profile *profile, const char *name) {
    for (uint32_t g = 0; g < profile->n_groups; g++) {
        if (strcmp(profile->groups[g].name, name) == 0) {
            return &profile->groups[g];
        }
    }
    if (profile->n_groups == SY_BENCH_GROUPS_MAX) {
        sy_bench_group *last = &profile->groups[SY_BENCH_GROUPS_MAX - 1];
        snprintf(last->name, sizeof(last->name), "(others)");
        return last;
    }
    sy_bench_group *group = &profile->groups[profile->n_groups++];
    snprintf(group->name, sizeof(group->name), "%s", name);
    return group;
}

static void fill_groups(const sy_bench *bench, const sy_bench_tally *tally,
                        const sy_bench_series *series, sy_bench_profile *profile) {
    const sy_graph *graph = sy_plan_graph(plan_of(bench));
    for (uint32_t i = 0; i < tally->n_nodes; i++) {
        char name[96];
        sy_bench_work work;
        name_node(graph, i, name, sizeof(name));
        sy_bench_count(graph, bench->n_batch, series, i, &work);
        sy_bench_group *group = group_of(profile, name);
        group->n_nodes++;
        group->ns += (double)tally->node_ns[i] / series->tokens_per_s.n;
        group->work.weight_bytes += work.weight_bytes;
        group->work.state_bytes += work.state_bytes;
        group->work.int8_macs += work.int8_macs;
        group->work.f32_macs += work.f32_macs;
    }
    for (uint32_t i = 1; i < profile->n_groups; i++) { /* insertion: longest first */
        sy_bench_group moving = profile->groups[i];
        uint32_t at = i;
        for (; at > 0 && profile->groups[at - 1].ns < moving.ns; at--) {
            profile->groups[at] = profile->groups[at - 1];
        }
        profile->groups[at] = moving;
    }
}

static void fill_segments(const sy_bench *bench, const sy_bench_tally *tally,
                          const sy_bench_series *series, sy_bench_profile *profile) {
    const sy_plan *plan = plan_of(bench);
    uint32_t phase = series->kind == SY_BENCH_PREFILL ? SY_ENGINE_PREFILL : SY_ENGINE_DECODE;
    uint32_t n = sy_plan_n_segments(plan, phase);
    double n_samples = series->tokens_per_s.n;
    n = n < SY_BENCH_SEGMENTS_MAX ? n : SY_BENCH_SEGMENTS_MAX;
    for (uint32_t s = 0; s < n; s++) {
        const sy_plan_segment *planned = sy_plan_segment_at(plan, phase, s);
        const sy_delegate *delegate =
            sy_runtime_delegate(sy_plan_runtime(plan), planned->i_delegate);
        sy_bench_segment *segment = &profile->segments[profile->n_segments++];
        snprintf(segment->delegate, sizeof(segment->delegate), "%s", delegate->name);
        segment->n_nodes = planned->segment.n_nodes;
        segment->predicted_us = planned->predicted_us;
        segment->n_runs = (double)tally->segments[s].n_runs / n_samples;
        segment->ns = (double)tally->segments[s].total_ns / n_samples;
        segment->transfer_ns = (double)tally->segments[s].transfer_ns / n_samples;
    }
}

sy_status sy_bench_make_profile(const sy_bench *bench, const sy_bench_tally *tally,
                                sy_bench_series *series, sy_error *error) {
    if (series->tokens_per_s.n == 0) {
        return SY_OK;
    }
    series->profile = resize(NULL, 0, sizeof(*series->profile));
    if (series->profile == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for the profile.");
    }
    memset(series->profile, 0, sizeof(*series->profile));
    double n_tokens = (double)series->n_tokens * series->n_sequences;
    for (uint32_t i = 0; i < series->tokens_per_s.n; i++) {
        series->profile->sample_ns +=
            n_tokens * 1e9 / series->tokens_per_s.items[i] / series->tokens_per_s.n;
    }
    fill_groups(bench, tally, series, series->profile);
    fill_segments(bench, tally, series, series->profile);
    return SY_OK;
}

void sy_bench_free_profile(sy_bench_series *series) {
    if (series->profile != NULL) {
        resize(series->profile, sizeof(*series->profile), 0);
        series->profile = NULL;
    }
}
