/* SPDX-License-Identifier: Apache-2.0 */
/* Why a node is not on each of the other delegates, and which refusals cost most. */
#include "plan/plan_internal.h"

#include <string.h>

/* What changes when one node alone goes to another delegate; raw times of one run. */
typedef struct change {
    double compute_us, launch_us, transfer_us;
} change;

/* Time of a value's ways when `node` is taken to be on `device`. */
static double ways_us(const sy_plan *plan, uint32_t i_phase, uint32_t i_value, uint32_t node,
                      uint32_t device) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    const sy__placement_value *value = &plan->problem.values[plan->problem_value[i_value]];
    uint32_t producer = sy_graph_producer(plan->graph, i_value), reached = 0;
    uint32_t from = producer == SY_NO_VALUE ? SY__NONE
                    : producer == node      ? device
                                            : phase->device[producer];
    bool to_host = value->leaves != 0;
    double sum_us = 0.0;
    for (uint32_t c = plan->consumer_first[i_value]; c < plan->consumer_first[i_value + 1u]; c++) {
        uint32_t reader = plan->consumers[c];
        uint32_t to = reader == node ? device : phase->device[reader];
        to_host = to_host || to != from;
        if (to != from && !plan->delegates[to].on_host && (reached >> to & 1u) == 0) {
            reached |= 1u << to;
            sum_us += sy__plan_way_us(plan, i_phase, i_value, to, false);
        }
    }
    if (from != SY__NONE && !plan->delegates[from].on_host && to_host) {
        sum_us += sy__plan_way_us(plan, i_phase, i_value, from, true);
    }
    return sum_us;
}

static double transfer_change(const sy_plan *plan, uint32_t i_phase, uint32_t node,
                              uint32_t device) {
    uint32_t now = plan->phases[i_phase].device[node];
    sy_node_view view;
    double sum_us = 0.0;
    if (sy_graph_node(plan->graph, node, &view) != SY_OK) {
        return 0.0;
    }
    for (uint32_t k = 0; k < view.n_inputs + view.n_outputs; k++) {
        uint32_t value = k < view.n_inputs ? view.inputs[k] : view.outputs[k - view.n_inputs];
        bool again = value == SY_NO_VALUE || plan->problem_value[value] == SY__NONE;
        for (uint32_t e = 0; !again && e < k && e < view.n_inputs; e++) {
            again = view.inputs[e] == value;
        }
        if (!again) {
            sum_us += ways_us(plan, i_phase, value, node, device) -
                      ways_us(plan, i_phase, value, node, now);
        }
    }
    return sum_us;
}

/* Launches around position k of the order when its node is on `device`. */
static double launches_around(const sy_plan *plan, uint32_t i_phase, uint32_t k, uint32_t device) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    uint32_t before = k > 0 ? phase->device[phase->order[k - 1u]] : SY__NONE;
    double sum_us = 0.0;
    if (before != device) {
        sum_us += (double)plan->delegates[device].launch_us[i_phase];
    }
    if (k + 1u < plan->n_nodes) {
        uint32_t after = phase->device[phase->order[k + 1u]];
        sum_us += after != device ? (double)plan->delegates[after].launch_us[i_phase] : 0.0;
    }
    return sum_us;
}

static change change_of(const sy_plan *plan, uint32_t i_phase, uint32_t k, uint32_t device,
                        double time_us) {
    const sy__phase_plan *phase = &plan->phases[i_phase];
    uint32_t node = phase->order[k], now = phase->device[node];
    const sy__offer *chosen = sy__plan_offer(plan, i_phase, node, now);
    change result = {.compute_us = time_us - (double)chosen->time_us * (double)chosen->scale,
                     .transfer_us = transfer_change(plan, i_phase, node, device)};
    result.launch_us =
        launches_around(plan, i_phase, k, device) - launches_around(plan, i_phase, k, now);
    return result;
}

static bool over_budget(const sy_plan *plan, uint32_t problem_node, uint32_t device) {
    const sy__placement_problem *problem = &plan->problem;
    uint64_t bytes = 0;
    for (uint32_t w = problem->node_weight_first[problem_node];
         w < problem->node_weight_first[problem_node + 1u]; w++) {
        uint32_t weight = problem->node_weights[w];
        if ((plan->weight_seen[weight] >> device & 1u) == 0) {
            bytes += problem->weight_bytes[(size_t)weight * problem->n_devices + device];
        }
    }
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        uint64_t limit = problem->budgets[b].limit_bytes;
        uint64_t used = plan->budget_used_bytes[b];
        if ((problem->budgets[b].devices >> device & 1u) &&
            (used > limit || bytes > limit - used)) {
            return true;
        }
    }
    return false;
}

static bool group_may_follow(const sy_plan *plan, uint32_t i_node, uint32_t device) {
    for (uint32_t i = 0; plan->node_group[i_node] != SY__NONE && i < plan->n_nodes; i++) {
        for (uint32_t p = 0; p < plan->n_phases; p++) {
            sy__verdict_kind kind = sy__plan_offer(plan, p, i, device)->kind;
            bool refused = kind == SY__UNSUPPORTED || kind == SY__STATIC_SHAPE ||
                           kind == SY__LEFT_OUT || kind == SY__RULE;
            if (plan->node_group[i] == plan->node_group[i_node] && refused) {
                return false;
            }
        }
    }
    return true;
}

/* True when the mode did not let this delegate in for the node: its rank is past the limit, and it
 * is not the first that the node and its group can use. */
static bool left_out_by_mode(const sy_plan *plan, uint32_t chosen, uint32_t device) {
    return plan->delegates[device].rank > plan->result.max_rank &&
           plan->delegates[device].rank != plan->delegates[chosen].rank;
}

static void explain_loser(sy_plan *plan, uint32_t i_phase, uint32_t k, uint32_t device) {
    sy__phase_plan *phase = &plan->phases[i_phase];
    uint32_t node = phase->order[k], at = sy__plan_node(plan, node, i_phase);
    sy__offer *offer = sy__plan_offer(plan, i_phase, node, device);
    if (plan->result.marginals == NULL) {
        return; /* nobody wants to know */
    }
    sy__time_ps marginal = plan->result.marginals[(size_t)at * plan->n_delegates + device];
    if (marginal >= SY__FOREVER) {
        offer->kind = !group_may_follow(plan, node, device) ? SY__GROUP : SY__BUDGET;
        return;
    }
    bool by_mode = left_out_by_mode(plan, phase->device[node], device);
    double total = (double)plan->result.cost.total;
    offer->regret_known = true;
    offer->regret_exact =
        !by_mode && plan->result.marginal_exact[(size_t)at * plan->n_delegates + device];
    offer->regret_us =
        ((double)marginal - total) * 1e-6 / (double)sy__plan_searched_runs(plan, i_phase);
    if (over_budget(plan, at, device)) {
        offer->kind = SY__BUDGET;
        return;
    }
    if (by_mode && offer->regret_us <= 0.0) {
        offer->kind = SY__ORDER;
        return;
    }
    change moved =
        change_of(plan, i_phase, k, device, (double)offer->time_us * (double)offer->scale);
    if (moved.compute_us >= moved.launch_us && moved.compute_us >= moved.transfer_us) {
        offer->kind = SY__COST;
    } else {
        offer->kind = moved.launch_us > moved.transfer_us ? SY__LAUNCH : SY__TRANSFER;
    }
}

/* Bytes that each budget holds under the plan. */
static void count_budgets(sy_plan *plan) {
    const sy__placement_problem *problem = &plan->problem;
    memset(plan->budget_used_bytes, 0, sizeof(plan->budget_used_bytes));
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        plan->delegates[d].weight_bytes = 0;
    }
    if (problem->n_weights == 0) {
        return;
    }
    for (uint32_t n = 0; n < problem->n_nodes; n++) {
        for (uint32_t k = problem->node_weight_first[n]; k < problem->node_weight_first[n + 1u];
             k++) {
            uint32_t w = problem->node_weights[k], d = plan->result.device[n];
            if (plan->weight_seen[w] >> d & 1u) {
                continue;
            }
            plan->weight_seen[w] |= 1u << d;
            uint64_t bytes = problem->weight_bytes[(size_t)w * problem->n_devices + d];
            plan->delegates[d].weight_bytes += bytes;
            for (uint32_t b = 0; b < problem->n_budgets; b++) {
                plan->budget_used_bytes[b] += problem->budgets[b].devices >> d & 1u ? bytes : 0u;
            }
        }
    }
}

void sy__plan_find_reasons(sy_plan *plan) {
    count_budgets(plan);
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        sy__phase_plan *phase = &plan->phases[p];
        for (uint32_t k = 0; k < plan->n_nodes; k++) {
            for (uint32_t d = 0; d < plan->n_delegates; d++) {
                sy__offer *offer = sy__plan_offer(plan, p, phase->order[k], d);
                if (offer->kind == SY__COST && d != phase->device[phase->order[k]]) {
                    explain_loser(plan, p, k, d);
                }
            }
        }
        for (uint32_t i = 0; i < plan->n_nodes; i++) {
            sy__plan_offer(plan, p, i, phase->device[i])->kind = SY__CHOSEN;
        }
    }
}

/* How much slower (or faster) a delegate is than what was chosen, over the nodes it can run. */
static double speed_ratio(const sy_plan *plan, uint32_t i_phase, uint32_t device) {
    double here = 0.0, chosen = 0.0;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        const sy__offer *offer = sy__plan_offer(plan, i_phase, i, device);
        const sy__offer *best = sy__plan_offer(plan, i_phase, i, plan->phases[i_phase].device[i]);
        if (offer->support != SY_SUPPORT_NO && offer->kind != SY__LEFT_OUT) {
            here += (double)offer->time_us * (double)offer->scale;
            chosen += (double)best->time_us * (double)best->scale;
        }
    }
    return chosen > 0.0 ? here / chosen : -1.0;
}

static void add_blocker(sy__blocker *blockers, uint32_t *inout_n, uint32_t n_max,
                        const sy__blocker *found) {
    uint32_t i = 0;
    while (i < *inout_n && !(strcmp(blockers[i].op, found->op) == 0 &&
                             blockers[i].i_delegate == found->i_delegate &&
                             blockers[i].i_phase == found->i_phase)) {
        i++;
    }
    if (i < *inout_n) {
        blockers[i].saving_us += found->saving_us;
        blockers[i].n_nodes++;
    } else if (i < n_max) {
        blockers[(*inout_n)++] = *found;
    }
}

static void sort_blockers(sy__blocker *blockers, uint32_t n) {
    for (uint32_t i = 1; i < n; i++) {
        sy__blocker item = blockers[i];
        uint32_t at = i;
        for (; at > 0 && blockers[at - 1u].saving_us < item.saving_us; at--) {
            blockers[at] = blockers[at - 1u];
        }
        blockers[at] = item;
    }
}

uint32_t sy__plan_blockers(const sy_plan *plan, sy__blocker *out_blockers, uint32_t n_max) {
    uint32_t n = 0;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            double ratio = speed_ratio(plan, p, d);
            for (uint32_t k = 0; ratio > 0.0 && k < plan->n_nodes; k++) {
                uint32_t node = plan->phases[p].order[k];
                const sy__offer *offer = sy__plan_offer(plan, p, node, d);
                const sy__offer *chosen =
                    sy__plan_offer(plan, p, node, plan->phases[p].device[node]);
                sy_node_view view;
                if (offer->kind != SY__UNSUPPORTED ||
                    sy_graph_node(plan->graph, node, &view) != SY_OK) {
                    continue;
                }
                double time_us = (double)chosen->time_us * (double)chosen->scale * ratio;
                change moved = change_of(plan, p, k, d, time_us);
                sy__blocker found = {.op = view.op,
                                     .i_delegate = d,
                                     .i_phase = p,
                                     .n_nodes = 1,
                                     .i_node = node,
                                     .text = offer->text};
                found.saving_us = -(moved.compute_us + moved.launch_us + moved.transfer_us);
                if (found.saving_us > 0.0) {
                    add_blocker(out_blockers, &n, n_max, &found);
                }
            }
        }
    }
    sort_blockers(out_blockers, n);
    return n;
}

const char *sy__verdict_kind_name(sy__verdict_kind kind) {
    static const char *const names[] = {"chosen",   "unsupported", "static shape", "left out",
                                        "rule",     "order",       "budget",       "state",
                                        "transfer", "launch",      "cost"};
    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}
