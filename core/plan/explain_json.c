/* SPDX-License-Identifier: Apache-2.0 */
/* The explanation as JSON; keys are stable, new ones may come. */
#include "base/text.h"
#include "plan/plan_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define BLOCKERS_SHOWN 40u

static void write_text(sy__json *json, const char *key, const char *text) {
    sy__json_key(json, key);
    sy__json_string(json, text);
}

static void write_number(sy__json *json, const char *key, double value) {
    sy__json_key(json, key);
    sy__json_f64(json, value);
}

static void write_count(sy__json *json, const char *key, uint64_t value) {
    sy__json_key(json, key);
    sy__json_u64(json, value);
}

static void write_source(sy__json *json, sy_source source) {
    if (source.file == NULL) {
        return;
    }
    write_text(json, "file", source.file);
    write_count(json, "line", source.line);
}

static void write_delegates(const sy_plan *plan, sy__json *json) {
    sy__json_key(json, "delegates");
    sy__json_begin_array(json);
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__plan_delegate *who = &plan->delegates[d];
        sy__json_begin_object(json);
        write_text(json, "name", who->delegate->name);
        write_text(json, "device", who->delegate->info.id);
        write_count(json, "rank", who->rank);
        write_source(json, who->rank_source);
        write_number(json, "bias", (double)who->bias);
        write_number(json, "launch_us", (double)who->launch_us[0]);
        write_count(json, "nodes", who->n_nodes_run);
        write_count(json, "memory_bytes", who->weight_bytes);
        sy__json_key(json, "host_memory");
        sy__json_bool(json, who->on_host);
        if (who->left_out) {
            write_text(json, "left_out", who->left_out_text);
        }
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void write_list(sy__json *json, const char *key, const uint32_t *list, uint32_t n) {
    sy__json_key(json, key);
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < n; i++) {
        sy__json_u64(json, list[i]);
    }
    sy__json_end_array(json);
}

static void write_segments(const sy_plan *plan, const sy__phase_plan *phase, sy__json *json) {
    sy__json_key(json, "segments");
    sy__json_begin_array(json);
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        const sy_plan_segment *planned = &phase->segments[s];
        sy__json_begin_object(json);
        write_text(json, "delegate", plan->delegates[planned->i_delegate].delegate->name);
        write_number(json, "predicted_us", planned->predicted_us);
        write_list(json, "nodes", planned->segment.nodes, planned->segment.n_nodes);
        write_list(json, "inputs", planned->segment.inputs, planned->segment.n_inputs);
        write_list(json, "outputs", planned->segment.outputs, planned->segment.n_outputs);
        write_list(json, "states", planned->segment.states, planned->segment.n_states);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void write_offer(const sy_plan *plan, const sy__offer *offer, uint32_t d, sy__json *json) {
    sy__json_begin_object(json);
    write_text(json, "delegate", plan->delegates[d].delegate->name);
    write_text(json, "why", sy__verdict_kind_name(offer->kind));
    if (offer->text != NULL) {
        write_text(json, "text", offer->text);
    }
    write_source(json, offer->source);
    if (offer->regret_known) {
        write_number(json, "time_us", (double)offer->time_us * (double)offer->scale);
        write_number(json, "regret_us", offer->regret_us);
        sy__json_key(json, "regret_exact");
        sy__json_bool(json, offer->regret_exact);
    }
    sy__json_end_object(json);
}

static void write_nodes(const sy_plan *plan, uint32_t i_phase, sy__json *json) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    sy__json_key(json, "nodes");
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        const sy__offer *chosen = sy__plan_offer(plan, i_phase, i, phase->device[i]);
        sy_node_view node = sy__plan_node_view(plan, i);
        sy__json_begin_object(json);
        write_count(json, "node", i);
        write_text(json, "name", node.name);
        write_text(json, "domain", node.domain);
        write_text(json, "op", node.op);
        write_text(json, "delegate", plan->delegates[phase->device[i]].delegate->name);
        write_number(json, "time_us", (double)chosen->time_us * (double)chosen->scale);
        write_number(json, "confidence", (double)chosen->confidence);
        sy__json_key(json, "others");
        sy__json_begin_array(json);
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            if (d != phase->device[i]) {
                write_offer(plan, sy__plan_offer(plan, i_phase, i, d), d, json);
            }
        }
        sy__json_end_array(json);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void write_phase(const sy_plan *plan, uint32_t i_phase, sy__json *json) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    sy__json_begin_object(json);
    write_text(json, "phase", sy__phase_name(phase->phase.phase));
    sy__json_key(json, "tokens");
    sy__json_i64(json, phase->phase.typical[SY_SYMBOL_TOKENS]);
    write_number(json, "runs", phase->phase.n_runs);
    write_number(json, "predicted_us", phase->compute_us + phase->launch_us + phase->transfer_us);
    write_number(json, "compute_us", phase->compute_us);
    write_number(json, "launch_us", phase->launch_us);
    write_number(json, "transfer_us", phase->transfer_us);
    write_count(json, "transfer_bytes", phase->transfer_bytes);
    write_segments(plan, phase, json);
    write_nodes(plan, i_phase, json);
    sy__json_end_object(json);
}

static void write_peers(const sy_plan *plan, sy__json *json) {
    sy__json_key(json, "portfolio");
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < plan->result.n_peers; i++) {
        const sy__peer_result *peer = &plan->result.peers[i];
        sy__json_begin_object(json);
        write_text(json, "policy", sy__peer_policy_name(peer->policy));
        if (peer->device != SY__NONE) {
            write_text(json, "delegate", plan->delegates[peer->device].delegate->name);
        }
        if (peer->parameter != 0) {
            write_count(json, "parameter", peer->parameter);
        }
        sy__json_key(json, "fits");
        sy__json_bool(json, peer->total < SY__FOREVER);
        if (peer->total < SY__FOREVER) {
            write_number(json, "total_us", (double)peer->total * 1e-6);
        }
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

static void write_blockers(const sy_plan *plan, sy__json *json) {
    sy__blocker blockers[BLOCKERS_SHOWN];
    uint32_t n = sy__plan_blockers(plan, blockers, BLOCKERS_SHOWN);
    sy__json_key(json, "blockers");
    sy__json_begin_array(json);
    for (uint32_t i = 0; i < n; i++) {
        sy__json_begin_object(json);
        write_text(json, "op", blockers[i].op);
        write_text(json, "delegate", plan->delegates[blockers[i].i_delegate].delegate->name);
        write_text(json, "phase", sy__phase_name(plan->phases[blockers[i].i_phase].phase.phase));
        write_count(json, "nodes", blockers[i].n_nodes);
        write_number(json, "saving_us", blockers[i].saving_us);
        write_text(json, "text", blockers[i].text);
        sy__json_end_object(json);
    }
    sy__json_end_array(json);
}

void sy__explain_json(const sy_plan *plan, sy__text *text) {
    static const char *const modes[] = {"strict", "prefer", "cost"};
    char hash[17];
    sy__json json;
    sy__json_init(&json, text, true);
    snprintf(hash, sizeof(hash), "%016" PRIx64, plan->hash);
    sy__json_begin_object(&json);
    write_text(&json, "graph", sy_graph_name(plan->graph));
    write_text(&json, "hash", hash);
    write_text(&json, "mode", modes[(unsigned)plan->mode % 3u]);
    write_number(&json, "margin_pct", (double)plan->margin_pct);
    write_source(&json, plan->mode_source);
    sy__json_key(&json, "optimal");
    sy__json_bool(&json, plan->result.optimal);
    write_number(&json, "searched_total_us", (double)plan->result.cost.total * 1e-6);
    write_number(&json, "lower_bound_us", (double)plan->result.lower_bound * 1e-6);
    write_number(&json, "unrestricted_total_us", (double)plan->result.unrestricted_total * 1e-6);
    write_count(&json, "rounds", plan->n_rounds);
    write_delegates(plan, &json);
    sy__json_key(&json, "notes");
    sy__json_begin_array(&json);
    for (size_t i = 0; i < plan->n_notes; i++) {
        sy__json_string(&json, plan->notes[i]);
    }
    sy__json_end_array(&json);
    sy__json_key(&json, "phases");
    sy__json_begin_array(&json);
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        write_phase(plan, p, &json);
    }
    sy__json_end_array(&json);
    write_peers(plan, &json);
    write_blockers(plan, &json);
    sy__json_end_object(&json);
    sy__text_puts(text, "\n");
}
