/* SPDX-License-Identifier: Apache-2.0 */
/* The explanation as text for a terminal. */
#include "base/text.h"
#include "plan/plan_internal.h"

#include <inttypes.h>

#define BLOCKERS_SHOWN 10u

static const char *mode_name(sy_policy_mode mode) {
    return mode == SY_POLICY_STRICT ? "strict" : mode == SY_POLICY_COST ? "cost" : "prefer";
}

static void write_source(sy__text *text, sy_source source) {
    if (source.file != NULL) {
        sy__text_printf(text, " (%s:%" PRIu32 ")", source.file, source.line);
    }
}

static double gap_pct(const sy_plan *plan) {
    double total = (double)plan->result.cost.total;
    return total > 0.0 ? 100.0 * (total - (double)plan->result.lower_bound) / total : 0.0;
}

static void write_head(const sy_plan *plan, sy__text *text) {
    sy__text_printf(text, "plan of '%s': %" PRIu32 " nodes, hash %016" PRIx64 "\n",
                    sy_graph_name(plan->graph), plan->n_nodes, plan->hash);
    sy__text_printf(text, "policy: %s", mode_name(plan->mode));
    if (plan->mode == SY_POLICY_PREFER) {
        sy__text_printf(text, ", margin %.1f %%", (double)plan->margin_pct);
    }
    write_source(text, plan->mode_source);
    if (plan->result.unrestricted_total < plan->result.cost.total) {
        sy__text_printf(text, "; later delegates of the order would save %.1f %%",
                        100.0 - 100.0 * (double)plan->result.unrestricted_total /
                                    (double)plan->result.cost.total);
    }
    if (plan->result.optimal) {
        sy__text_puts(text, "; no placement under this policy is cheaper (proved)\n");
    } else {
        sy__text_printf(text, "; at most %.2f %% above the cheapest placement under this policy\n",
                        gap_pct(plan));
    }
    sy__text_puts(text, "\ndelegates by rank\n");
    for (uint32_t rank = 0, n_shown = 0; n_shown < plan->n_delegates && rank < UINT32_MAX; rank++) {
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            const sy__plan_delegate *who = &plan->delegates[d];
            if (who->rank != rank) {
                continue;
            }
            n_shown++;
            sy__text_printf(text,
                            "  %-16s %-16s nodes %-5" PRIu32 " launch %.1f us  memory %.1f MiB",
                            who->delegate->name, who->delegate->info.id, who->n_nodes_run,
                            (double)who->launch_us[0], (double)who->weight_bytes / 1048576.0);
            sy__text_printf(text, "  %s", who->on_host ? "host memory" : "own memory");
            write_source(text, who->rank_source);
            if (who->left_out) {
                sy__text_printf(text, "  %s", who->left_out_text);
            }
            sy__text_puts(text, "\n");
        }
    }
}

static void write_range(const sy_plan *plan, const sy_segment *segment, sy__text *text) {
    sy_node_view first = sy__plan_node_view(plan, segment->nodes[0]);
    sy_node_view last = sy__plan_node_view(plan, segment->nodes[segment->n_nodes - 1u]);
    sy__text_printf(text, "  %s", first.name);
    if (segment->n_nodes > 1) {
        sy__text_printf(text, " .. %s", last.name);
    }
    sy__text_puts(text, "\n");
}

static void write_segments(const sy_plan *plan, const sy__phase_plan *phase, sy__text *text) {
    double total_us = phase->compute_us + phase->launch_us + phase->transfer_us;
    sy__text_printf(text, "\nphase %s: %" PRId64 " tokens a step, %g runs\n",
                    sy__phase_name(phase->phase.phase), phase->phase.typical[SY_SYMBOL_TOKENS],
                    phase->phase.n_runs);
    sy__text_printf(text,
                    "  predicted %.1f us a step = compute %.1f + launches %.1f + transfers "
                    "%.1f (%" PRIu64 " bytes)\n",
                    total_us, phase->compute_us, phase->launch_us, phase->transfer_us,
                    phase->transfer_bytes);
    sy__text_puts(text, "  segment delegate         nodes          us  in out states\n");
    for (uint32_t s = 0; s < phase->n_segments; s++) {
        const sy_plan_segment *planned = &phase->segments[s];
        sy__text_printf(
            text, "  %7" PRIu32 " %-16s %5" PRIu32 " %11.1f %3" PRIu32 " %3" PRIu32 " %6" PRIu32, s,
            plan->delegates[planned->i_delegate].delegate->name, planned->segment.n_nodes,
            planned->predicted_us, planned->segment.n_inputs, planned->segment.n_outputs,
            planned->segment.n_states);
        write_range(plan, &planned->segment, text);
    }
}

static void write_loser(const sy_plan *plan, const sy__offer *offer, uint32_t d, sy__text *text) {
    sy__text_printf(text, "; %s: ", plan->delegates[d].delegate->name);
    if (offer->text != NULL) {
        sy__text_puts(text, offer->text);
        return;
    }
    sy__text_puts(text, sy__verdict_kind_name(offer->kind));
    if (offer->regret_known) {
        sy__text_printf(text, " %+.1f us%s", offer->regret_us,
                        offer->regret_exact ? "" : " at most");
    }
    if (offer->kind == SY__ORDER) {
        write_source(text, plan->mode_source);
    }
}

/* The supported delegate whose plan is the cheapest after the chosen one. */
static uint32_t best_alternative(const sy_plan *plan, uint32_t i_phase, uint32_t i_node) {
    uint32_t best = SY__NONE;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__offer *offer = sy__plan_offer(plan, i_phase, i_node, d);
        if (offer->kind != SY__CHOSEN && offer->regret_known &&
            (best == SY__NONE ||
             offer->regret_us < sy__plan_offer(plan, i_phase, i_node, best)->regret_us)) {
            best = d;
        }
    }
    return best;
}

static void write_node(const sy_plan *plan, uint32_t i_phase, uint32_t i_node, sy__text *text) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    const sy__offer *chosen = sy__plan_offer(plan, i_phase, i_node, phase->device[i_node]);
    sy_node_view node = sy__plan_node_view(plan, i_node);
    sy__text_printf(text, "  %5" PRIu32 " %-28s %-20s %-14s %9.1f us%s", i_node, node.name, node.op,
                    plan->delegates[phase->device[i_node]].delegate->name,
                    (double)chosen->time_us * (double)chosen->scale,
                    chosen->confidence <= 0.0f ? "?" : "");
    uint32_t best = best_alternative(plan, i_phase, i_node);
    if (best != SY__NONE) {
        sy__text_printf(text, "; best other %s", plan->delegates[best].delegate->name);
    }
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        if (d != phase->device[i_node]) {
            write_loser(plan, sy__plan_offer(plan, i_phase, i_node, d), d, text);
        }
    }
    sy__text_puts(text, "\n");
}

static void write_peers(const sy_plan *plan, sy__text *text) {
    double total = (double)plan->result.cost.total;
    sy__text_puts(text, "\nother policies on the same costs (1.00: this plan)\n");
    for (uint32_t i = 0; i < plan->result.n_peers; i++) {
        const sy__peer_result *peer = &plan->result.peers[i];
        sy__text_printf(text, "  %-16s", sy__peer_policy_name(peer->policy));
        if (peer->device != SY__NONE) {
            sy__text_printf(text, " %s", plan->delegates[peer->device].delegate->name);
        }
        if (peer->parameter != 0) {
            sy__text_printf(text, " %" PRIu32, peer->parameter);
        }
        if (peer->total >= SY__FOREVER) {
            sy__text_puts(text, "  does not fit\n");
        } else {
            sy__text_printf(text, "  %.2f\n", total > 0.0 ? (double)peer->total / total : 1.0);
        }
    }
}

static void write_blockers(const sy_plan *plan, sy__text *text) {
    sy__blocker blockers[BLOCKERS_SHOWN * 4u];
    uint32_t n = sy__plan_blockers(plan, blockers, BLOCKERS_SHOWN * 4u);
    if (n > 0) {
        sy__text_puts(text, "\nwhat support would save most (estimated, each node alone)\n");
    }
    for (uint32_t i = 0; i < n && i < BLOCKERS_SHOWN; i++) {
        sy__text_printf(text, "  %9.1f us a %s step: %s on %s, %" PRIu32 " nodes: %s\n",
                        blockers[i].saving_us,
                        sy__phase_name(plan->phases[blockers[i].i_phase].phase.phase),
                        blockers[i].op, plan->delegates[blockers[i].i_delegate].delegate->name,
                        blockers[i].n_nodes, blockers[i].text);
    }
}

void sy__explain_text(const sy_plan *plan, sy__text *text) {
    write_head(plan, text);
    for (size_t i = 0; i < plan->n_notes; i++) {
        sy__text_printf(text, "note: %s\n", plan->notes[i]);
    }
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        write_segments(plan, &plan->phases[p], text);
    }
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        sy__text_printf(text, "\nnodes, %s\n", sy__phase_name(plan->phases[p].phase.phase));
        for (uint32_t i = 0; i < plan->n_nodes; i++) {
            write_node(plan, p, i, text);
        }
    }
    write_peers(plan, text);
    write_blockers(plan, text);
}
