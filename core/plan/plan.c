/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a plan: read the graph, ask the delegates, apply the policy, solve, price, solve again. */
#include "switchyard/plan.h"

#include "base/text.h"
#include "plan/plan_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PRICE_ROUNDS 3u
#define SEARCH_STATES (1ull << 18)
#define NOTES_MAX 200u

sy_status sy__plan_no_memory(sy_error *error) {
    return sy__no_memory(error, 0, "the plan");
}

static const char *text_list(sy_plan *plan, const char *format, va_list arguments) {
    char text[512];
    int n = vsnprintf(text, sizeof(text), format, arguments);
    if (n < 0) {
        return NULL;
    }
    size_t n_bytes = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1u;
    return sy__arena_string(&plan->arena, text, n_bytes);
}

const char *sy__plan_text(sy_plan *plan, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = text_list(plan, format, arguments);
    va_end(arguments);
    return text;
}

sy_status sy__plan_note(sy_plan *plan, sy_error *error, const char *format, ...) {
    void *notes = plan->notes;
    if (plan->n_notes >= NOTES_MAX) {
        return SY_OK; /* one broken rule over a large graph tells itself in the first lines */
    }
    if (!sy__grow_array(plan->allocator, &notes, &plan->note_capacity, plan->n_notes + 1u,
                        sizeof(*plan->notes))) {
        return sy__plan_no_memory(error);
    }
    plan->notes = notes;
    va_list arguments;
    va_start(arguments, format);
    const char *text = text_list(plan, format, arguments);
    va_end(arguments);
    if (text == NULL) {
        return sy__plan_no_memory(error);
    }
    plan->notes[plan->n_notes++] = text;
    return SY_OK;
}

static sy_status make_delegates(sy_plan *plan, sy_error *error) {
    plan->n_delegates = sy_runtime_n_delegates(plan->runtime);
    plan->delegates =
        sy__arena_alloc(&plan->arena, (size_t)plan->n_delegates + 1u, sizeof(*plan->delegates));
    if (plan->delegates == NULL) {
        return sy__plan_no_memory(error);
    }
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        sy__plan_delegate *who = &plan->delegates[d];
        const sy_delegate *delegate = sy_runtime_delegate(plan->runtime, d);
        who->delegate = delegate;
        who->rank = sy_policy_rank(plan->policy, delegate->name, delegate->info.id,
                                   delegate->info.device_class, &who->rank_source);
        bool named = who->rank < plan->policy->n_orders;
        who->bias = named ? plan->policy->orders[who->rank].bias : 1.0f;
        who->bias = who->bias > 0.0f ? who->bias : 1.0f;
        who->offers_states = delegate->plugin->state_create != NULL;
        who->offers_adapters = delegate->plugin->adapter_create != NULL;
    }
    return SY_OK;
}

static sy_status make_phases(sy_plan *plan, const sy_plan_options *options, sy_error *error) {
    plan->n_phases = options != NULL && options->n_phases > 0 ? options->n_phases : 1u;
    if (plan->n_phases > SY__LANES_MAX) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "A plan holds at most %u phases.",
                            SY__LANES_MAX);
    }
    plan->phases = sy__arena_alloc(&plan->arena, plan->n_phases, sizeof(*plan->phases));
    if (plan->phases == NULL) {
        return sy__plan_no_memory(error);
    }
    size_t n_nodes = plan->n_nodes, n_offers = n_nodes * plan->n_delegates;
    for (uint32_t p = 0; p < plan->n_phases; p++) {
        sy__phase_plan *phase = &plan->phases[p];
        if (options != NULL && options->n_phases > 0) {
            phase->phase = options->phases[p];
        } else {
            phase->phase.n_runs = 1.0;
            for (uint32_t s = 0; s < SY_SYMBOL_COUNT_MAX; s++) {
                phase->phase.typical[s] = sy_graph_bound(plan->graph, s);
            }
        }
        phase->offers = sy__arena_alloc(&plan->arena, n_offers + 1u, sizeof(*phase->offers));
        phase->device = sy__arena_alloc(&plan->arena, n_nodes + 1u, 1);
        phase->order = sy__arena_alloc(&plan->arena, n_nodes + 1u, sizeof(uint32_t));
        if (phase->offers == NULL || phase->device == NULL || phase->order == NULL) {
            return sy__plan_no_memory(error);
        }
    }
    return SY_OK;
}

/* Says who refused a node that nobody runs, in the words of the delegate that ranks first. */
static sy_status nobody_runs(const sy_plan *plan, uint32_t i_problem_node, sy_error *error) {
    uint32_t i_node = i_problem_node / plan->n_lanes, i_phase = i_problem_node % plan->n_lanes;
    sy_node_view node = sy__plan_node_view(plan, i_node);
    const sy__offer *first = NULL;
    uint32_t i_first = 0;
    bool by_rule = false;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__offer *offer = sy__plan_offer(plan, i_phase, i_node, d);
        by_rule = by_rule || offer->kind == SY__RULE;
        if (offer->text != NULL && (first == NULL || offer->kind == SY__RULE)) {
            first = offer;
            i_first = d;
        }
    }
    sy_status status = by_rule ? SY_FAILED_PRECONDITION : SY_UNIMPLEMENTED;
    sy_error_set(error, status, "No delegate runs node '%s' (%s); %s: %s.", node.name, node.op,
                 first != NULL ? plan->delegates[i_first].delegate->name : "all",
                 first != NULL ? first->text : "a node that shares its state rules them out");
    if (error != NULL) {
        error->i_node = i_node;
    }
    if (first != NULL && first->source.file != NULL) {
        sy_error_at(error, first->source.file, first->source.line);
    }
    sy_error_hint(error, by_rule ? "Loosen the rule, or let the reference delegate take part."
                                 : "Let the reference delegate take part; it runs every operator.");
    return status;
}

static sy_status solve(sy_plan *plan, bool want_marginals, sy_error *error) {
    static const sy__placement_mode modes[] = {SY__MODE_STRICT, SY__MODE_PREFER, SY__MODE_COST};
    float permille = plan->policy->margin_pct * 10.0f;
    sy__placement_options options = {
        .mode = modes[(unsigned)plan->policy->mode % 3u],
        .margin_permille =
            permille > 0.0f ? (uint32_t)(permille < 1000.0f ? permille : 1000.0f) : 0,
        .max_states = SEARCH_STATES,
        .want_marginals = want_marginals};
    sy__placement_result result;
    sy_error own;
    sy_error_clear(&own);
    sy_status status =
        sy__placement_solve(plan->allocator, &plan->problem, &options, &result, &own);
    if (status == SY_FAILED_PRECONDITION) {
        return nobody_runs(plan, own.i_node, error);
    }
    if (status != SY_OK && error != NULL) {
        *error = own;
    }
    if (status != SY_OK) {
        return status;
    }
    sy__placement_result_deinit(&plan->result);
    plan->result = result;
    plan->n_rounds++;
    return sy__plan_take_result(plan, error);
}

/* Solves with the sum of the nodes' times, asks the price of the segments that came out, and solves
 * again while prices change the picture. */
static sy_status solve_and_price(sy_plan *plan, bool want_marginals, sy_error *error) {
    uint64_t hash = 0;
    for (uint32_t round = 0; round < PRICE_ROUNDS; round++) {
        sy_status status = solve(plan, false, error);
        if (status != SY_OK) {
            return status;
        }
        bool same = plan->hash == hash;
        hash = plan->hash;
        if (!sy__plan_price(plan) || same) {
            break;
        }
        sy__plan_fill_times(plan, plan->times);
    }
    sy__plan_fill_times(plan, plan->times);
    return solve(plan, want_marginals, error);
}

/* Lanes of the problem: who takes part is known. */
static uint32_t count_lanes(const sy_plan *plan, const sy_plan_options *options) {
    uint32_t placement = options != NULL ? options->placement : SY_PLACEMENT_FREE;
    bool only_cpus = true;
    for (uint32_t d = 0; d < plan->n_delegates; d++) {
        const sy__plan_delegate *who = &plan->delegates[d];
        only_cpus =
            only_cpus && (who->left_out || who->delegate->info.device_class == SY_DEVICE_CPU);
    }
    bool is_one =
        placement == SY_PLACEMENT_ONE || (placement == SY_PLACEMENT_ONE_ON_CPUS && only_cpus);
    return is_one ? 1u : plan->n_phases;
}

static sy_status make(sy_plan *plan, const sy_plan_options *options, sy_error *error) {
    bool want_marginals = options == NULL || options->no_alternatives == 0;
    sy_status status = make_delegates(plan, error);
    status = status == SY_OK ? make_phases(plan, options, error) : status;
    status = status == SY_OK ? sy__plan_read_graph(plan, error) : status;
    status = status == SY_OK ? sy__plan_leave_out(plan, options, error) : status;
    plan->n_lanes = status == SY_OK ? count_lanes(plan, options) : 0;
    status = status == SY_OK ? sy__plan_judge(plan, error) : status;
    status = status == SY_OK ? sy__plan_apply_rules(plan, options, error) : status;
    status = status == SY_OK ? sy__plan_build_problem(plan, error) : status;
    status = status == SY_OK ? solve_and_price(plan, want_marginals, error) : status;
    status = status == SY_OK ? sy__plan_check_use(plan, error) : status;
    if (status == SY_OK) {
        sy__plan_find_reasons(plan);
    }
    return status;
}

sy_status sy_plan_create(sy_runtime *runtime, const sy_graph *graph, const sy_policy *policy,
                         const sy_plan_options *options, sy_plan **out_plan, sy_error *error) {
    const sy_allocator *allocator = sy_runtime_allocator(runtime);
    sy_policy default_policy;
    sy_policy_default(&default_policy);
    if (sy_graph_n_nodes(graph) == 0) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "The graph '%s' has no nodes to plan.",
                            sy_graph_name(graph));
    }
    sy_plan *plan = SY__NEW(allocator, sy_plan);
    if (plan == NULL) {
        return sy__plan_no_memory(error);
    }
    plan->allocator = allocator;
    sy__arena_init(&plan->arena, allocator, 1u << 16);
    plan->runtime = runtime;
    plan->graph = graph;
    plan->policy = policy != NULL ? policy : &default_policy;
    plan->mode = plan->policy->mode;
    plan->margin_pct = plan->policy->margin_pct;
    plan->mode_source = plan->policy->mode_source;
    plan->n_nodes = sy_graph_n_nodes(graph);
    plan->n_values = sy_graph_n_values(graph);
    plan->state_delegate =
        sy__arena_alloc(&plan->arena, (size_t)plan->n_values + 1u, sizeof(uint32_t));
    sy_status status =
        plan->state_delegate == NULL ? sy__plan_no_memory(error) : make(plan, options, error);
    plan->policy = NULL;
    if (status != SY_OK) {
        sy_plan_destroy(plan);
        return status;
    }
    *out_plan = plan;
    return SY_OK;
}

void sy_plan_destroy(sy_plan *plan) {
    if (plan == NULL) {
        return;
    }
    const sy_allocator *allocator = plan->allocator;
    sy__placement_result_deinit(&plan->result);
    sy__free_array(allocator, plan->notes, plan->note_capacity, sizeof(*plan->notes));
    sy__arena_deinit(&plan->arena);
    SY__DELETE(allocator, plan);
}

const sy_graph *sy_plan_graph(const sy_plan *plan) {
    return plan->graph;
}

sy_runtime *sy_plan_runtime(const sy_plan *plan) {
    return plan->runtime;
}

uint32_t sy_plan_n_phases(const sy_plan *plan) {
    return plan->n_phases;
}

const sy_plan_phase *sy_plan_phase_at(const sy_plan *plan, uint32_t i_phase) {
    return i_phase < plan->n_phases ? &plan->phases[i_phase].phase : NULL;
}

uint32_t sy_plan_n_segments(const sy_plan *plan, uint32_t i_phase) {
    return i_phase < plan->n_phases ? plan->phases[i_phase].n_segments : 0;
}

const sy_plan_segment *sy_plan_segment_at(const sy_plan *plan, uint32_t i_phase,
                                          uint32_t i_segment) {
    return i_segment < sy_plan_n_segments(plan, i_phase)
               ? &plan->phases[i_phase].segments[i_segment]
               : NULL;
}

uint32_t sy_plan_state_delegate(const sy_plan *plan, uint32_t i_value) {
    return i_value < plan->n_values ? plan->state_delegate[i_value] : SY_NO_VALUE;
}

uint64_t sy_plan_hash(const sy_plan *plan) {
    return plan->hash;
}

sy_status sy_plan_explain(const sy_plan *plan, sy_plan_format format, const sy_allocator *allocator,
                          char **out_text, sy_error *error) {
    sy__text text;
    sy__text_init(&text, sy__allocator_or_heap(allocator), 0);
    switch (format) {
    case SY_PLAN_TEXT:
        sy__explain_text(plan, &text);
        break;
    case SY_PLAN_JSON:
        sy__explain_json(plan, &text);
        break;
    case SY_PLAN_SVG:
        sy__explain_svg(plan, &text);
        break;
    default:
        return sy_error_set(error, SY_INVALID_ARGUMENT, "A plan has no format number %d.",
                            (int)format);
    }
    sy_status status = sy__text_take(&text, out_text, error);
    sy__text_deinit(&text);
    return status;
}
