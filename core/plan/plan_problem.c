/* SPDX-License-Identifier: Apache-2.0 */
/* Turns offers, links and budgets into the numbers of the placement solver. */
#include "plan/plan_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define RUNS_MAX 1e6
#define TIME_MAX_US 1e9

/* The solver's arrays, written here and read through plan->problem. */
typedef struct builder {
    sy_plan *plan;
    uint64_t *lane_runs;
    uint32_t *node_lane, *node_group;
    sy__placement_value *values;
    uint32_t *consumers;
    sy__time_ps *launch;
    sy__placement_link *links;
    uint32_t *node_weights, *node_weight_first;
    uint64_t *weight_bytes;
    sy__placement_budget *budgets;
    uint32_t *rank;
    uint32_t *weight_of; /* [value] number of a WEIGHT value, SY__NONE others */
} builder;

/* Expected runs as whole weights, the smallest at least 1. */
static void weigh_phases(sy_plan *plan) {
    double least = 1.0;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        double runs = plan->phases[p].phase.n_runs;
        least = isfinite(runs) && runs > 0.0 && runs < least ? runs : least;
    }
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        double runs = plan->phases[p].phase.n_runs;
        runs = isfinite(runs) && runs > 0.0 ? runs / least : 1.0;
        plan->phases[p].runs = (uint64_t)(fmin(runs, RUNS_MAX) + 0.5);
    }
}

uint64_t sy__plan_searched_runs(const sy_plan *plan, uint32_t i_phase) {
    uint64_t runs = 0;
    for (uint32_t p = i_phase % plan->n_lanes; p < plan->n_phases; p += plan->n_lanes) {
        runs += plan->phases[p].runs;
    }
    return runs;
}

/* With one placement the only lane runs once, and what happens in it is all runs of all phases. */
static uint64_t lane_runs(const sy_plan *plan, uint32_t lane) {
    return plan->n_lanes < plan->n_phases ? 1u : plan->phases[lane].runs;
}

/* Runs of a phase in one run of its lane. */
static uint64_t runs_in_lane(const sy_plan *plan, uint32_t i_phase) {
    return plan->n_lanes < plan->n_phases ? plan->phases[i_phase].runs : 1u;
}

static sy__time_ps to_ps(double us) {
    return (sy__time_ps)(fmin(fmax(us, 0.0), TIME_MAX_US) * 1e6 + 0.5);
}

/* What the search counts for a node: time with the policy's bias and energy. */
static sy__time_ps searched_time(const sy_plan *plan, const sy__offer *offer, uint32_t i_delegate) {
    double us = (double)offer->time_us * (double)offer->scale;
    us *= (double)plan->delegates[i_delegate].bias;
    us += (double)plan->policy->energy_weight * (double)offer->energy_uj;
    return to_ps(us);
}

static sy__time_ps lane_time(const sy_plan *plan, uint32_t lane, uint32_t i_node,
                             uint32_t i_delegate) {
    sy__time_ps sum = 0;
    for (uint32_t p = lane; p < plan->n_phases; p += plan->n_lanes) {
        const sy__offer *offer = sy__plan_offer(plan, p, i_node, i_delegate);
        sy__time_ps time =
            offer->kind == SY__COST ? searched_time(plan, offer, i_delegate) : SY__FOREVER;
        sum = sy__time_add(sum, sy__time_times(time, runs_in_lane(plan, p)));
    }
    return sum;
}

void sy__plan_fill_times(sy_plan *plan, sy__time_ps *times) {
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
            for (uint32_t d = 0; d < plan->n_delegates; d++) {
                times[(size_t)sy__plan_node(plan, i, lane) * plan->n_delegates + d] =
                    lane_time(plan, lane, i, d);
            }
        }
    }
}

uint64_t sy__plan_value_bytes(const sy_plan *plan, uint32_t i_phase, uint32_t i_value) {
    sy_value_view value;
    return sy_graph_value(plan->graph, i_value, &value) == SY_OK
               ? sy_value_bytes(&value, plan->phases[i_phase].phase.typical)
               : 0;
}

/* Bytes that travel in a run of a lane. */
static uint64_t lane_bytes(const sy_plan *plan, uint32_t lane, uint32_t i_value) {
    uint64_t sum = 0;
    for (uint32_t p = lane; p < plan->n_phases; p += plan->n_lanes) {
        uint64_t n_bytes = 0;
        if (__builtin_mul_overflow(sy__plan_value_bytes(plan, p, i_value), runs_in_lane(plan, p),
                                   &n_bytes) ||
            __builtin_add_overflow(sum, n_bytes, &sum)) {
            return UINT64_MAX;
        }
    }
    return sum;
}

static bool is_data(const sy_value_view *value) {
    return value->kind != SY_VALUE_WEIGHT && value->kind != SY_VALUE_STATE;
}

/* Values that travel: each once a lane, with the bytes it has at its phases' typical sizes. */
static sy_status fill_values(builder *build, sy_error *error) {
    sy_plan *plan = build->plan;
    sy__placement_problem *problem = &plan->problem;
    for (uint32_t v = 0; v < plan->n_values; v++) {
        sy_value_view value;
        if (sy_graph_value(plan->graph, v, &value) != SY_OK) {
            return sy_error_set(error, SY_INTERNAL, "The graph does not answer for value %u.", v);
        }
        plan->problem_value[v] = SY__NONE;
        uint32_t producer = sy_graph_producer(plan->graph, v);
        if (!is_data(&value)) {
            continue;
        }
        plan->problem_value[v] = problem->n_values;
        for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
            sy__placement_value *item = &build->values[problem->n_values++];
            item->producer =
                producer == SY_NO_VALUE ? SY__NONE : sy__plan_node(plan, producer, lane);
            item->lane = lane;
            item->leaves = value.kind == SY_VALUE_OUTPUT;
            item->n_bytes = lane_bytes(plan, lane, v);
            item->i_consumer = problem->n_consumers;
            for (uint32_t c = plan->consumer_first[v]; c < plan->consumer_first[v + 1u]; c++) {
                build->consumers[problem->n_consumers++] =
                    sy__plan_node(plan, plan->consumers[c], lane);
                item->n_consumers++;
            }
        }
    }
    return SY_OK;
}

/* The solver knows one launch for all lanes: the longest, or that of all runs of the only lane. */
static sy__time_ps searched_launch(const sy_plan *plan, const sy__plan_delegate *who) {
    sy__time_ps most = 0, sum = 0;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        /* A segment must be worth what the policy asks of one, so it is made to cost that. */
        float launch_us = fmaxf(who->launch_us[p], plan->policy->segment_min_us);
        sy__time_ps launch = to_ps((double)launch_us * (double)who->bias);
        most = launch > most ? launch : most;
        sum = sy__time_add(sum, sy__time_times(launch, plan->phases[p].runs));
    }
    return plan->n_lanes < plan->n_phases ? sum : most;
}

static sy__placement_link searched_link(const sy_plan *plan, const sy__plan_delegate *who) {
    sy__placement_link link = who->link;
    uint64_t runs = plan->n_lanes < plan->n_phases ? sy__plan_searched_runs(plan, 0) : 1u;
    link.to_host_latency = sy__time_times(link.to_host_latency, runs);
    link.from_host_latency = sy__time_times(link.from_host_latency, runs);
    return link;
}

static void fill_nodes(builder *build) {
    sy_plan *plan = build->plan;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
            build->node_lane[sy__plan_node(plan, i, lane)] = lane;
            build->node_group[sy__plan_node(plan, i, lane)] = plan->node_group[i];
        }
    }
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__plan_delegate *who = &plan->delegates[d];
        build->launch[d] = searched_launch(plan, who);
        build->links[d] = searched_link(plan, who);
        build->rank[d] = who->rank;
        plan->problem.on_host |= who->on_host ? 1u << d : 0u;
    }
}

/* Weights, then one more "weight" for the states of each group. */
static void number_weights(builder *build) {
    sy_plan *plan = build->plan;
    uint32_t n_weights = 0;
    for (uint32_t v = 0; v < plan->n_values; v++) {
        sy_value_view value;
        bool is_weight = sy_graph_value(plan->graph, v, &value) == SY_OK &&
                         value.kind == SY_VALUE_WEIGHT &&
                         plan->consumer_first[v] < plan->consumer_first[v + 1u];
        build->weight_of[v] = is_weight ? n_weights : SY__NONE;
        for (uint32_t d = 0; is_weight && d < plan->n_delegates; d++) {
            build->weight_bytes[(size_t)n_weights * plan->n_delegates + d] =
                value.data.length_bytes;
        }
        n_weights += is_weight;
    }
    for (uint32_t v = 0; v < plan->n_values; v++) {
        sy_value_view value;
        if (plan->state_group[v] == SY__NONE || sy_graph_value(plan->graph, v, &value) != SY_OK) {
            continue;
        }
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            build->weight_bytes[(size_t)(n_weights + plan->state_group[v]) * plan->n_delegates +
                                d] += value.data.length_bytes;
        }
    }
    plan->problem.n_weights = n_weights + plan->n_groups;
}

static void fill_node_weights(builder *build) {
    sy_plan *plan = build->plan;
    sy__placement_problem *problem = &plan->problem;
    for (uint32_t i = 0; i < plan->n_nodes; i++) {
        sy_node_view node;
        bool known = sy_graph_node(plan->graph, i, &node) == SY_OK;
        for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
            uint32_t at = sy__plan_node(plan, i, lane), start = problem->n_node_weights;
            build->node_weight_first[at] = start;
            for (uint32_t k = 0; known && k < node.n_inputs; k++) {
                uint32_t weight =
                    node.inputs[k] != SY_NO_VALUE ? build->weight_of[node.inputs[k]] : SY__NONE;
                bool again = weight == SY__NONE;
                for (uint32_t w = start; !again && w < problem->n_node_weights; w++) {
                    again = build->node_weights[w] == weight;
                }
                if (!again) {
                    build->node_weights[problem->n_node_weights++] = weight;
                }
            }
            if (plan->node_group[i] != SY__NONE) {
                build->node_weights[problem->n_node_weights++] =
                    problem->n_weights - plan->n_groups + plan->node_group[i];
            }
        }
    }
    build->node_weight_first[problem->n_nodes] = problem->n_node_weights;
}

/* "total" stands for the whole runtime: the file is mapped once for all delegates on the host. */
static sy_status total_budget(builder *build, uint64_t limit_bytes, sy_error *error) {
    sy_plan *plan = build->plan;
    uint64_t mapped = 0;
    for (uint32_t w = 0; w + plan->n_groups < plan->problem.n_weights; w++) {
        mapped += build->weight_bytes[(size_t)w * plan->n_delegates];
    }
    if (mapped > limit_bytes) {
        sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                     "The weights alone take %" PRIu64 " bytes; %" PRIu64 " are missing in the "
                     "budget of the runtime.",
                     mapped, mapped - limit_bytes);
        sy_error_hint(error, "Raise [budget] total, or take a smaller model.");
        return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
    }
    sy__placement_budget *budget = &build->budgets[plan->problem.n_budgets++];
    budget->limit_bytes = limit_bytes - mapped;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        budget->devices |= plan->delegates[d].on_host ? 0u : 1u << d;
    }
    return SY_OK;
}

static sy_status fill_budgets(builder *build, sy_error *error) {
    sy_plan *plan = build->plan;
    for (uint32_t k = 0; k < plan->policy->n_budgets; k++) {
        const sy_policy_budget *rule = &plan->policy->budgets[k];
        if (plan->problem.n_budgets == SY__BUDGETS_MAX) {
            return sy_error_set(error, SY_OUT_OF_RANGE, "A policy holds at most %u budgets.",
                                SY__BUDGETS_MAX);
        }
        if (strcmp(rule->delegate, "total") == 0) {
            sy_status status = total_budget(build, rule->limit_bytes, error);
            if (status != SY_OK) {
                return status;
            }
            continue;
        }
        uint32_t devices = 0;
        for (uint32_t d = 0; d < plan->n_delegates; d++) {
            const sy_delegate *delegate = plan->delegates[d].delegate;
            devices |= sy_policy_selects(rule->delegate, delegate->name, delegate->info.id,
                                         delegate->info.device_class)
                           ? 1u << d
                           : 0u;
        }
        if (devices != 0) {
            sy__placement_budget *budget = &build->budgets[plan->problem.n_budgets++];
            budget->devices = devices;
            budget->limit_bytes = rule->limit_bytes;
        }
    }
    return SY_OK;
}

static uint64_t count_inputs(const sy_plan *plan) {
    return plan->consumer_first[plan->n_values];
}

static bool reserve(builder *build) {
    sy_plan *plan = build->plan;
    sy__arena *arena = &plan->arena;
    size_t n_lanes = plan->n_lanes, n_delegates = plan->n_delegates;
    size_t n = (size_t)plan->n_nodes * n_lanes, n_inputs = (size_t)count_inputs(plan) * n_lanes;
    size_t n_weights = (size_t)plan->n_values + plan->n_groups;
    build->lane_runs = sy__arena_alloc(arena, n_lanes, sizeof(uint64_t));
    build->node_lane = sy__arena_alloc(arena, n, sizeof(uint32_t));
    build->node_group = sy__arena_alloc(arena, n, sizeof(uint32_t));
    build->values = sy__arena_alloc(arena, plan->n_values * n_lanes, sizeof(*build->values));
    build->consumers = sy__arena_alloc(arena, n_inputs + 1u, sizeof(uint32_t));
    build->launch = sy__arena_alloc(arena, n_delegates, sizeof(sy__time_ps));
    build->links = sy__arena_alloc(arena, n_delegates, sizeof(*build->links));
    build->rank = sy__arena_alloc(arena, n_delegates, sizeof(uint32_t));
    build->node_weights = sy__arena_alloc(arena, n_inputs + n + 1u, sizeof(uint32_t));
    build->node_weight_first = sy__arena_alloc(arena, n + 1u, sizeof(uint32_t));
    build->weight_bytes = sy__arena_alloc(arena, n_weights * n_delegates + 1u, sizeof(uint64_t));
    build->budgets = sy__arena_alloc(arena, SY__BUDGETS_MAX, sizeof(*build->budgets));
    build->weight_of = sy__arena_alloc(arena, (size_t)plan->n_values + 1u, sizeof(uint32_t));
    plan->problem_value = sy__arena_alloc(arena, (size_t)plan->n_values + 1u, sizeof(uint32_t));
    plan->weight_seen = sy__arena_alloc(arena, n_weights + 1u, sizeof(uint32_t));
    plan->times = sy__arena_alloc(arena, n * n_delegates, sizeof(sy__time_ps));
    return build->lane_runs != NULL && build->node_lane != NULL && build->node_group != NULL &&
           build->values != NULL && build->consumers != NULL && build->launch != NULL &&
           build->links != NULL && build->rank != NULL && build->node_weights != NULL &&
           build->node_weight_first != NULL && build->weight_bytes != NULL &&
           build->budgets != NULL && build->weight_of != NULL && plan->problem_value != NULL &&
           plan->weight_seen != NULL && plan->times != NULL;
}

static void point_at(const builder *build) {
    sy_plan *plan = build->plan;
    sy__placement_problem *problem = &plan->problem;
    problem->lane_runs = build->lane_runs;
    problem->node_lane = build->node_lane;
    problem->node_group = build->node_group;
    problem->time = plan->times;
    problem->values = build->values;
    problem->consumers = build->consumers;
    problem->launch = build->launch;
    problem->links = build->links;
    problem->node_weights = build->node_weights;
    problem->node_weight_first = build->node_weight_first;
    problem->weight_bytes = build->weight_bytes;
    problem->budgets = build->budgets;
    problem->rank = build->rank;
}

sy_status sy__plan_build_problem(sy_plan *plan, sy_error *error) {
    builder build = {.plan = plan};
    memset(&plan->problem, 0, sizeof(plan->problem));
    plan->problem.n_nodes = plan->n_nodes * plan->n_lanes;
    plan->problem.n_devices = plan->n_delegates;
    plan->problem.n_lanes = plan->n_lanes;
    plan->problem.n_groups = plan->n_groups;
    if (!reserve(&build)) {
        return sy__plan_no_memory(error);
    }
    weigh_phases(plan);
    for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
        build.lane_runs[lane] = lane_runs(plan, lane);
    }
    fill_nodes(&build);
    number_weights(&build);
    fill_node_weights(&build);
    point_at(&build);
    sy_status status = fill_values(&build, error);
    if (status == SY_OK) {
        status = fill_budgets(&build, error);
    }
    sy__plan_fill_times(plan, plan->times);
    return status;
}
