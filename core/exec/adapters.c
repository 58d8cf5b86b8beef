/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters (LoRA): their weights on every delegate that runs nodes AdapterLinear, and which of them
 * a step uses. */
#include "exec/executor_internal.h"
#include "graph/graph_internal.h"

#include <math.h>
#include <string.h>

static bool is_adapter_node(const sy_executor *executor, uint32_t i_node) {
    sy_node_view node;
    return sy_graph_node(executor->graph, i_node, &node) == SY_OK &&
           sy__node_is(&node, "switchyard", "AdapterLinear");
}

/* Marks the segments with such nodes, and their delegates. */
static void find_nodes(sy_executor *executor) {
    for (uint32_t p = 0; p < executor->n_phases; p++) {
        for (uint32_t s = 0; s < executor->phases[p].n_segments; s++) {
            sy__loaded_segment *loaded = &executor->phases[p].segments[s];
            const sy_segment *segment = &loaded->planned->segment;
            for (uint32_t i = 0; i < segment->n_nodes && !loaded->adapts; i++) {
                loaded->adapts = is_adapter_node(executor, segment->nodes[i]);
            }
            executor->sides[loaded->planned->i_delegate].adapts |= loaded->adapts;
        }
    }
}

sy_status sy__adapters_prepare(sy_executor *executor, sy_error *error) {
    size_t n_sequences = executor->options.n_sequences_max;
    size_t n = n_sequences * SY_LIMIT_ADAPTERS_PER_SEQUENCE;
    find_nodes(executor);
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        sy__side *side = &executor->sides[d];
        if (!side->adapts) {
            continue;
        }
        side->sequences = sy__arena_alloc(&executor->arena, n_sequences, sizeof(sy_sequence));
        side->adapter_uses = sy__arena_alloc(&executor->arena, n, sizeof(sy_adapter_use));
        if (side->sequences == NULL || side->adapter_uses == NULL) {
            return sy__no_memory(error, n * sizeof(sy_adapter_use), "the executor");
        }
    }
    return SY_OK;
}

static void bind_side(const sy_executor *executor, const sy_step *step, uint32_t i_delegate,
                      sy__side *side) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < step->n_sequences; i++) {
        const sy_state_set *states = step->sequences[i].states;
        uint32_t n_choices = states != NULL ? states->n_adapters : 0;
        side->sequences[i] = executor->sequences[i];
        side->sequences[i].adapter = n_choices > 0 ? n + 1 : 0;
        for (uint32_t k = 0; k < n_choices; k++) {
            const sy_adapter_choice *choice = &states->adapters[k];
            side->adapter_uses[n++] = (sy_adapter_use){.weights = choice->set->weights[i_delegate],
                                                       .scale = choice->scale,
                                                       .more = k + 1 < n_choices};
        }
    }
    side->n_adapter_uses = n;
}

void sy__adapters_bind(sy_executor *executor, const sy_step *step) {
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].adapts) {
            bind_side(executor, step, d, &executor->sides[d]);
        }
    }
}

static sy_status create_weights(sy_executor *executor, uint32_t i_delegate,
                                const sy_adapter_description *description, sy_adapter_set *set,
                                sy_error *error) {
    const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, i_delegate);
    const sy_plugin *plugin = delegate->plugin;
    uint64_t n_bytes = 0;
    if (plugin->adapter_create == NULL || plugin->adapter_destroy == NULL) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "Delegate '%s' runs nodes of adapters but takes no adapters.",
                            delegate->name);
    }
    sy__delegate_listen(executor->runtime, delegate);
    sy_status status =
        plugin->adapter_create(delegate->device, description, &n_bytes, &set->weights[i_delegate]);
    if (status != SY_OK) {
        set->weights[i_delegate] = NULL;
        return sy__failure(executor, delegate, status, false, "take an adapter", error);
    }
    set->n_bytes += n_bytes;
    return SY_OK;
}

sy_status sy_adapter_set_create(sy_executor *executor, const sy_adapter_description *description,
                                sy_adapter_set **out_set, sy_error *error) {
    sy_adapter_set *set = SY__NEW(executor->allocator, sy_adapter_set);
    if (set == NULL) {
        return sy__no_memory(error, sizeof(*set), "an adapter");
    }
    set->executor = executor;
    sy_status status = SY_OK;
    bool is_adapted = false;
    for (uint32_t d = 0; status == SY_OK && d < SY_LIMIT_DELEGATES; d++) {
        if (executor->sides[d].adapts) {
            is_adapted = true;
            status = create_weights(executor, d, description, set, error);
        }
    }
    if (status == SY_OK && !is_adapted) {
        status = sy_error_set(error, SY_FAILED_PRECONDITION,
                              "The graph has no node that an adapter could work on.");
    }
    if (status != SY_OK) {
        sy_adapter_set_destroy(set);
        return status;
    }
    *out_set = set;
    return SY_OK;
}

void sy_adapter_set_destroy(sy_adapter_set *set) {
    if (set == NULL) {
        return;
    }
    const sy_executor *executor = set->executor;
    for (uint32_t d = 0; d < SY_LIMIT_DELEGATES; d++) {
        if (set->weights[d] != NULL) {
            const sy_delegate *delegate = sy_runtime_delegate(executor->runtime, d);
            delegate->plugin->adapter_destroy(set->weights[d]);
        }
    }
    SY__DELETE(executor->allocator, set);
}

uint64_t sy_adapter_set_bytes(const sy_adapter_set *set) {
    return set->n_bytes;
}

uint32_t sy_adapter_set_n_users(const sy_adapter_set *set) {
    return set->n_users;
}

static void count_users(const sy_state_set *states, int change) {
    for (uint32_t k = 0; k < states->n_adapters; k++) {
        sy_adapter_set *set = states->adapters[k].set;
        set->n_users = (uint32_t)((int64_t)set->n_users + change);
    }
}

void sy__adapters_copy(sy_state_set *to, const sy_state_set *from) {
    memcpy(to->adapters, from->adapters, sizeof(to->adapters));
    to->n_adapters = from->n_adapters;
    count_users(to, 1);
}

void sy__adapters_release(sy_state_set *states) {
    count_users(states, -1);
    states->n_adapters = 0;
}

sy_status sy_state_set_adapt(sy_state_set *states, const sy_adapter_choice *choices, uint32_t n,
                             sy_error *error) {
    if (n > SY_LIMIT_ADAPTERS_PER_SEQUENCE) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "A sequence takes at most %u adapters.",
                            SY_LIMIT_ADAPTERS_PER_SEQUENCE);
    }
    for (uint32_t k = 0; k < n; k++) {
        if (choices[k].set == NULL || choices[k].set->executor != states->executor) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "The adapter belongs to another executor.");
        }
        if (!isfinite(choices[k].scale)) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "The scale of an adapter must be a finite number.");
        }
    }
    count_users(states, -1);
    states->n_adapters = n;
    if (n > 0) {
        memcpy(states->adapters, choices, n * sizeof(choices[0]));
    }
    count_users(states, 1);
    return SY_OK;
}

const sy_adapter_choice *sy_state_set_adapters(const sy_state_set *states, uint32_t *out_n) {
    *out_n = states->n_adapters;
    return states->adapters;
}
