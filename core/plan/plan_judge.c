/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the delegates: judge for every node, link for the ways to the host, price for a launch. */
#include "graph/graph_internal.h"
#include "plan/plan_internal.h"

#include <math.h>
#include <string.h>

#define LINK_SMALL_BYTES 4096u
#define LINK_LARGE_BYTES (1u << 20)

/* Where a delegate does not tell: a map, a memcpy at 4 GB/s, an unmap. */
#define DEFAULT_LINK_LATENCY_PS 10000000u
#define DEFAULT_LINK_PER_KIB_PS 256000u

static const char *report_of(const sy_plan *plan, const sy_delegate *delegate) {
    const sy_host *host = sy_runtime_host(plan->runtime, delegate->context);
    const char *text = host != NULL ? sy_report_text(host) : "";
    return text[0] != '\0' ? text : "it gave no reason";
}

static void listen(const sy_plan *plan, const sy_delegate *delegate) {
    const sy_host *host = sy_runtime_host(plan->runtime, delegate->context);
    if (host != NULL) {
        sy_report_clear(host);
    }
}

static bool usable_time(float time_us) {
    return isfinite(time_us) && time_us > 0.0f;
}

/* The token count that a phase always has, or -1. Only decode with one sequence and graphs that are
 * bound to one size keep to a count. */
static int64_t fixed_tokens(const sy_plan *plan, const sy_plan_phase *phase) {
    int64_t tokens = phase->typical[SY_SYMBOL_TOKENS];
    bool bound = sy_graph_bound(plan->graph, SY_SYMBOL_TOKENS) == tokens;
    return bound || phase->phase == SY_PHASE_DECODE ? tokens : -1;
}

static bool size_fits(const sy_plan *plan, const sy_plan_phase *phase, const sy_verdict *verdict) {
    int64_t tokens = fixed_tokens(plan, phase);
    for (uint32_t k = 0; k < verdict->n_only_tokens && k < SY_STATIC_SIZES_MAX; k++) {
        if (tokens >= 0 && (int64_t)verdict->only_tokens[k] == tokens) {
            return true;
        }
    }
    return verdict->n_only_tokens == 0;
}

static bool touches_state(const sy_plan *plan, uint32_t i_node) {
    return plan->node_group[i_node] != SY__NONE;
}

static bool takes_adapters(const sy_plan *plan, uint32_t i_node) {
    sy_node_view node;
    return sy_graph_node(plan->graph, i_node, &node) == SY_OK &&
           sy__node_is(&node, "switchyard", "AdapterLinear");
}

static sy_status take_verdict(sy_plan *plan, uint32_t i_phase, uint32_t i_node, uint32_t i_delegate,
                              const sy_verdict *verdict, uint32_t *inout_n_mute, sy_error *error) {
    sy__offer *offer = sy__plan_offer(plan, i_phase, i_node, i_delegate);
    const sy__plan_delegate *who = &plan->delegates[i_delegate];
    offer->support = verdict->support;
    offer->reason = verdict->reason;
    offer->time_us = verdict->time_us;
    offer->energy_uj = isfinite(verdict->energy_uj) ? verdict->energy_uj : 0.0f;
    offer->confidence = isfinite(verdict->confidence) ? verdict->confidence : 0.0f;
    offer->scale = 1.0f;
    offer->kind = SY__COST;
    if (verdict->support == SY_SUPPORT_NO || verdict->support > SY_SUPPORT_FUSED) {
        bool mute = verdict->reason == SY_REASON_NONE || verdict->why[0] == '\0';
        *inout_n_mute += mute;
        offer->kind = SY__UNSUPPORTED;
        offer->text = sy__plan_text(plan, "%.*s", (int)sizeof(verdict->why),
                                    verdict->why[0] == '\0' ? "no reason given" : verdict->why);
    } else if (touches_state(plan, i_node) && !who->offers_states) {
        offer->kind = SY__UNSUPPORTED;
        offer->text = sy__plan_text(plan, "the delegate keeps no states");
    } else if (!who->offers_adapters && takes_adapters(plan, i_node)) {
        offer->kind = SY__UNSUPPORTED;
        offer->text = sy__plan_text(plan, "the delegate takes no adapters");
    } else if (!size_fits(plan, &plan->phases[i_phase].phase, verdict)) {
        offer->kind = SY__STATIC_SHAPE;
        offer->text = sy__plan_text(plan, "only with %u tokens a step%s", verdict->only_tokens[0],
                                    verdict->n_only_tokens > 1 ? " and other fixed sizes" : "");
    }
    return offer->kind == SY__COST || offer->text != NULL ? SY_OK : sy__plan_no_memory(error);
}

static sy_status leave_out(sy_plan *plan, uint32_t i_delegate, const char *what, sy_error *error) {
    sy__plan_delegate *who = &plan->delegates[i_delegate];
    who->left_out = true;
    who->left_out_text = sy__plan_text(plan, "%s: %s", what, report_of(plan, who->delegate));
    if (who->left_out_text == NULL) {
        return sy__plan_no_memory(error);
    }
    return sy__plan_note(plan, error, "Delegate '%s' takes no part: %s.", who->delegate->name,
                         who->left_out_text);
}

static sy_status judge_phase(sy_plan *plan, uint32_t i_phase, uint32_t i_delegate,
                             sy_verdict *verdicts, sy_error *error) {
    const sy_delegate *delegate = plan->delegates[i_delegate].delegate;
    sy_graph_view view;
    sy_graph_view_init(plan->graph, plan->phases[i_phase].phase.phase,
                       plan->phases[i_phase].phase.typical, &view);
    memset(verdicts, 0, (plan->n_nodes + 1u) * sizeof(*verdicts));
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        verdicts[i].header = (sy_header)SY_HEADER_INIT(sy_verdict);
    }
    listen(plan, delegate);
    if (delegate->plugin->judge(delegate->device, &view, verdicts, sizeof(*verdicts)) != SY_OK) {
        return leave_out(plan, i_delegate, "its judge failed", error);
    }
    uint32_t n_mute = 0;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        sy_status status = take_verdict(plan, i_phase, i, i_delegate, &verdicts[i], &n_mute, error);
        if (status != SY_OK) {
            return status;
        }
    }
    return n_mute == 0 ? SY_OK
                       : sy__plan_note(plan, error,
                                       "Delegate '%s' refused %u nodes without a "
                                       "reason (SYP-8): a defect of the plugin.",
                                       delegate->name, n_mute);
}

/* Where all phases share a place, a delegate that refuses a node in one of them refuses it. */
static sy_status share_refusals(sy_plan *plan, sy_error *error) {
    size_t n_offers =
        plan->n_lanes < plan->n_phases ? (size_t)plan->n_nodes * plan->n_delegates : 0;
    for (size_t i = 0; i < n_offers; i++) {
        const sy__offer *refused = NULL;
        const char *phase = "";
        for (uint32_t p = 0; p < plan->n_phases && refused == NULL; p++) {
            refused =
                plan->phases[p].offers[i].kind != SY__COST ? &plan->phases[p].offers[i] : NULL;
            phase = sy__phase_name(plan->phases[p].phase.phase);
        }
        for (uint32_t p = 0; p < plan->n_phases && refused != NULL; p++) {
            sy__offer *offer = &plan->phases[p].offers[i];
            if (offer->kind != SY__COST) {
                continue;
            }
            offer->kind = refused->kind;
            offer->text = sy__plan_text(plan, "in %s: %s", phase, refused->text);
            if (offer->text == NULL) {
                return sy__plan_no_memory(error);
            }
        }
    }
    return SY_OK;
}

/* A delegate that does not know its time is taken to be as fast as the reference. */
static void fill_unknown_times(sy_plan *plan) {
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        for (uint32_t i = 0; i < plan->n_nodes; i++) {
            const sy__offer *reference = sy__plan_offer(plan, p, i, plan->n_delegates - 1u);
            float known = usable_time(reference->time_us) ? reference->time_us : 1.0f;
            for (uint32_t d = 0; d < plan->n_delegates; d++) {
                sy__offer *offer = sy__plan_offer(plan, p, i, d);
                if (!usable_time(offer->time_us)) {
                    offer->time_us = known;
                    offer->confidence = 0.0f;
                }
            }
        }
    }
}

static bool ask_link(const sy_delegate *delegate, sy_memory_kind from, sy_memory_kind to,
                     uint64_t n_bytes, double *out_us) {
    sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
    if (delegate->plugin->link == NULL ||
        delegate->plugin->link(delegate->device, from, to, n_bytes, &cost) != SY_OK ||
        !isfinite(cost.time_us) || cost.time_us < 0.0f) {
        return false;
    }
    *out_us = (double)cost.time_us;
    return true;
}

/* Latency and rate through two sizes. */
static void ask_way(const sy_delegate *delegate, sy_memory_kind from, sy_memory_kind to,
                    sy__time_ps *out_latency, sy__time_ps *out_per_kib) {
    double small_us = 0.0, large_us = 0.0;
    *out_latency = DEFAULT_LINK_LATENCY_PS;
    *out_per_kib = DEFAULT_LINK_PER_KIB_PS;
    if (!ask_link(delegate, from, to, LINK_SMALL_BYTES, &small_us) ||
        !ask_link(delegate, from, to, LINK_LARGE_BYTES, &large_us)) {
        return;
    }
    double kib = (LINK_LARGE_BYTES - LINK_SMALL_BYTES) / 1024.0;
    double per_kib_us = large_us > small_us ? (large_us - small_us) / kib : 0.0;
    double latency_us = small_us - per_kib_us * (LINK_SMALL_BYTES / 1024.0);
    *out_per_kib = (sy__time_ps)(fmin(per_kib_us, 1e9) * 1e6);
    *out_latency = (sy__time_ps)(fmin(fmax(latency_us, 0.0), 1e9) * 1e6);
}

static void ask_links(sy_plan *plan) {
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        sy__plan_delegate *who = &plan->delegates[d];
        const sy_delegate *delegate = who->delegate;
        /* The executor hands host memory to those that take it, and copies for the others. */
        who->on_host = (delegate->info.memory_in & SY_MEMORY_BIT(SY_MEMORY_HOST)) != 0 &&
                       delegate->plugin->buffer_import != NULL;
        sy_memory_kind own = SY_MEMORY_OPAQUE;
        while (own > SY_MEMORY_HOST && (delegate->info.memory_own & SY_MEMORY_BIT(own)) == 0) {
            own--;
        }
        if (!who->on_host && !who->left_out) {
            ask_way(delegate, own, SY_MEMORY_HOST, &who->link.to_host_latency,
                    &who->link.to_host_per_kib);
            ask_way(delegate, SY_MEMORY_HOST, own, &who->link.from_host_latency,
                    &who->link.from_host_per_kib);
        }
    }
}

static float default_launch_us(sy_device_class device_class) {
    switch (device_class) {
    case SY_DEVICE_CPU:
        return 1.0f;
    case SY_DEVICE_GPU:
        return 30.0f;
    default:
        return 50.0f;
    }
}

/* The launch of a delegate, from the price of one node that it can run. */
static float ask_launch(const sy_plan *plan, uint32_t i_phase, uint32_t i_delegate) {
    const sy_delegate *delegate = plan->delegates[i_delegate].delegate;
    float launch_us = default_launch_us(delegate->info.device_class);
    if (delegate->plugin->price == NULL) {
        return launch_us;
    }
    sy_graph_view view;
    sy_graph_view_init(plan->graph, plan->phases[i_phase].phase.phase,
                       plan->phases[i_phase].phase.typical, &view);
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        sy_node_view node;
        if (sy__plan_offer(plan, i_phase, i, i_delegate)->kind != SY__COST ||
            touches_state(plan, i) || sy_graph_node(plan->graph, i, &node) != SY_OK) {
            continue;
        }
        sy_segment segment = {.header = SY_HEADER_INIT(sy_segment),
                              .n_nodes = 1,
                              .nodes = &i,
                              .n_outputs = node.n_outputs,
                              .outputs = node.outputs,
                              .options = delegate->options};
        uint32_t inputs[SY_LIMIT_NODE_INPUTS];
        for (uint32_t k = 0; k < node.n_inputs && k < SY_LIMIT_NODE_INPUTS; k++) {
            sy_value_view value;
            if (node.inputs[k] != SY_NO_VALUE &&
                sy_graph_value(plan->graph, node.inputs[k], &value) == SY_OK &&
                value.kind != SY_VALUE_WEIGHT && value.kind != SY_VALUE_STATE) {
                inputs[segment.n_inputs++] = node.inputs[k];
            }
        }
        segment.inputs = inputs;
        sy_cost cost = {.header = SY_HEADER_INIT(sy_cost)};
        bool priced = delegate->plugin->price(delegate->device, &view, &segment, &cost) == SY_OK;
        return priced && isfinite(cost.launch_us) && cost.launch_us >= 0.0f ? cost.launch_us
                                                                            : launch_us;
    }
    return launch_us;
}

static sy_status judge_all(sy_plan *plan, sy_verdict *verdicts, sy_error *error) {
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        for (uint32_t p = 0; p < plan->n_phases && !plan->delegates[d].left_out; p++) {
            sy_status status = judge_phase(plan, p, d, verdicts, error);
            if (status != SY_OK) {
                return status;
            }
        }
        for (uint32_t p = 0; p < plan->n_phases && plan->delegates[d].left_out; p++) {
            for (uint32_t i = 0; i < plan->n_nodes; i++) {
                sy__offer *offer = sy__plan_offer(plan, p, i, d);
                offer->kind = SY__LEFT_OUT;
                offer->text = plan->delegates[d].left_out_text;
                offer->scale = 1.0f;
            }
        }
    }
    return SY_OK;
}

sy_status sy__plan_judge(sy_plan *plan, sy_error *error) {
    sy_verdict *verdicts =
        sy__alloc_array(plan->allocator, (size_t)plan->n_nodes + 1u, sizeof(*verdicts));
    if (verdicts == NULL) {
        return sy__plan_no_memory(error);
    }
    sy_status status = judge_all(plan, verdicts, error);
    sy__free_array(plan->allocator, verdicts, (size_t)plan->n_nodes + 1u, sizeof(*verdicts));
    status = status == SY_OK ? share_refusals(plan, error) : status;
    if (status != SY_OK) {
        return status;
    }
    fill_unknown_times(plan);
    ask_links(plan);
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        for (uint32_t p = 0; p < plan->n_phases; p++) {
            plan->delegates[d].launch_us[p] =
                plan->delegates[d].left_out ? 0.0f : ask_launch(plan, p, d);
        }
    }
    return SY_OK;
}
