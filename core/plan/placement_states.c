/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/placement_states.h"

#include <string.h>

void sy__layer_init(sy__layer *layer, const sy_allocator *allocator) {
    memset(layer, 0, sizeof(*layer));
    layer->allocator = allocator;
}

void sy__layer_deinit(sy__layer *layer) {
    sy__free_array(layer->allocator, layer->words, layer->word_capacity, sizeof(*layer->words));
    sy__free_array(layer->allocator, layer->states, layer->state_capacity, sizeof(*layer->states));
    sy__free_array(layer->allocator, layer->slots, layer->n_slots, sizeof(*layer->slots));
    sy__layer_init(layer, layer->allocator);
}

void sy__layer_clear(sy__layer *layer) {
    layer->n_words = 0;
    layer->n_states = 0;
    if (layer->slots != NULL) {
        memset(layer->slots, 0, layer->n_slots * sizeof(*layer->slots));
    }
}

static uint64_t hash_words(const uint64_t *words, uint32_t n_words) {
    uint64_t hash = 0x9e3779b97f4a7c15ull ^ n_words;
    for (uint32_t i = 0; i < n_words; i++) {
        hash = (hash ^ words[i]) * 0xff51afd7ed558ccdull;
        hash ^= hash >> 32;
    }
    return hash;
}

/* The slot where these words are, or the free one where they would go. */
static size_t find_slot(const sy__layer *layer, const uint64_t *words, uint32_t n_words) {
    size_t mask = layer->n_slots - 1, slot = (size_t)hash_words(words, n_words) & mask;
    while (layer->slots[slot] != 0) {
        const sy__state *state = &layer->states[layer->slots[slot] - 1];
        if (state->n_words == n_words &&
            memcmp(layer->words + state->i_word, words, n_words * sizeof(*words)) == 0) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

static bool grow_slots(sy__layer *layer) {
    size_t n_wanted = layer->n_slots == 0 ? 64u : layer->n_slots * 2u;
    uint32_t *slots = sy__alloc_array(layer->allocator, n_wanted, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    sy__free_array(layer->allocator, layer->slots, layer->n_slots, sizeof(*layer->slots));
    layer->slots = slots;
    layer->n_slots = n_wanted;
    for (size_t i = 0; i < layer->n_states; i++) {
        const sy__state *state = &layer->states[i];
        slots[find_slot(layer, layer->words + state->i_word, state->n_words)] = (uint32_t)i + 1u;
    }
    return true;
}

bool sy__layer_add(sy__layer *layer, const uint64_t *words, const sy__state *state) {
    if (layer->n_states * 2u >= layer->n_slots && !grow_slots(layer)) {
        return false;
    }
    size_t slot = find_slot(layer, words, state->n_words);
    if (layer->slots[slot] != 0) {
        sy__state *known = &layer->states[layer->slots[slot] - 1];
        if (state->cost < known->cost) {
            size_t i_word = known->i_word;
            *known = *state;
            known->i_word = i_word;
        }
        return true;
    }
    void *grown_words = layer->words, *grown_states = layer->states;
    if (!sy__grow_array(layer->allocator, &grown_words, &layer->word_capacity,
                        layer->n_words + state->n_words, sizeof(*layer->words))) {
        return false;
    }
    layer->words = grown_words;
    if (!sy__grow_array(layer->allocator, &grown_states, &layer->state_capacity,
                        layer->n_states + 1u, sizeof(*layer->states))) {
        return false;
    }
    layer->states = grown_states;
    memcpy(layer->words + layer->n_words, words, state->n_words * sizeof(*words));
    layer->states[layer->n_states] = *state;
    layer->states[layer->n_states].i_word = layer->n_words;
    layer->n_words += state->n_words;
    layer->slots[slot] = (uint32_t)++layer->n_states;
    return true;
}

uint32_t sy__layer_find(const sy__layer *layer, const uint64_t *words, uint32_t n_words) {
    if (layer->n_slots == 0) {
        return SY__NONE;
    }
    return layer->slots[find_slot(layer, words, n_words)] - 1u;
}

/* Entries. */
static uint32_t entry_id(uint64_t entry) {
    return (uint32_t)(entry >> 32);
}

static uint64_t entry_of(uint32_t id, uint32_t data) {
    return (uint64_t)id << 32 | data;
}

/* Index of the first entry whose id is not below `id`. */
static uint32_t entry_find(const uint64_t *words, uint32_t n_fixed, uint32_t n_words, uint32_t id) {
    uint32_t low = n_fixed, high = n_words;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2u;
        if (entry_id(words[middle]) < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool entry_is(const uint64_t *words, uint32_t n_words, uint32_t at, uint32_t id) {
    return at < n_words && entry_id(words[at]) == id;
}

static void entry_insert(uint64_t *words, uint32_t *inout_n_words, uint32_t at, uint64_t entry) {
    memmove(words + at + 1, words + at, (*inout_n_words - at) * sizeof(*words));
    words[at] = entry;
    ++*inout_n_words;
}

static void entry_remove(uint64_t *words, uint32_t *inout_n_words, uint32_t at) {
    memmove(words + at, words + at + 1, (*inout_n_words - at - 1u) * sizeof(*words));
    --*inout_n_words;
}

static bool is_done(const sy__placement *placement, const uint64_t *words, uint32_t node) {
    uint32_t lane = placement->problem->node_lane[node], local = placement->local[node];
    uint32_t first = sy__state_first(words, lane);
    if (local <= first) {
        return local < first;
    }
    uint32_t bit = local - first - 1u;
    return bit < 64u && (words[2u * lane + 1u] >> bit & 1u) != 0;
}

bool sy__state_ready(const sy__placement *placement, const uint64_t *words, uint32_t node) {
    if (is_done(placement, words, node)) {
        return false;
    }
    for (uint32_t e = placement->before_first[node]; e < placement->before_first[node + 1]; e++) {
        if (!is_done(placement, words, placement->before[e])) {
            return false;
        }
    }
    return true;
}

static void mark_done(const sy__placement *placement, uint64_t *words, uint32_t node) {
    uint32_t lane = placement->problem->node_lane[node], local = placement->local[node];
    uint32_t first = sy__state_first(words, lane);
    uint64_t bits = words[2u * lane + 1u], done = 1;
    if (local > first) {
        words[2u * lane + 1u] = bits | 1ull << (local - first - 1u);
        return;
    }
    while (done) {
        first++;
        done = bits & 1u;
        bits >>= 1;
    }
    words[2u * lane] = (words[2u * lane] >> 32) << 32 | first;
    words[2u * lane + 1u] = bits;
}

/* Launch time when the lane changes to `device`; remembers it. */
static sy__time_ps launch(const sy__expander *expander, uint64_t *words, uint32_t node,
                          uint32_t device) {
    const sy__placement *placement = expander->placement;
    uint32_t lane = placement->problem->node_lane[node];
    if (expander->on_path != NULL && !expander->on_path[node]) {
        return 0;
    }
    if (words[2u * lane] >> 32 == device + 1u) {
        return 0;
    }
    words[2u * lane] = (uint64_t)(device + 1u) << 32 | sy__state_first(words, lane);
    return placement->launch[(size_t)lane * placement->n_devices + device];
}

/* False when the group of the node is on another device. words already says the node is done. */
static bool join_group(const sy__expander *expander, uint64_t *words, uint32_t *inout_n_words,
                       uint32_t node, uint32_t device) {
    const sy__placement *placement = expander->placement;
    uint32_t group = placement->problem->node_group[node];
    if (group == SY__NONE) {
        return true;
    }
    uint32_t id = placement->problem->n_values + group;
    uint32_t at = entry_find(words, expander->n_fixed, *inout_n_words, id);
    bool is_open = entry_is(words, *inout_n_words, at, id);
    if (is_open && (uint32_t)words[at] != device) {
        return false;
    }
    bool all_done = true;
    for (uint32_t m = placement->group_first[group];
         all_done && m < placement->group_first[group + 1]; m++) {
        all_done = is_done(placement, words, placement->group_nodes[m]);
    }
    if (all_done && is_open) {
        entry_remove(words, inout_n_words, at);
    } else if (!all_done && !is_open) {
        entry_insert(words, inout_n_words, at, entry_of(id, device));
    }
    return true;
}

static bool charge_bytes(const sy__expander *expander, uint64_t *words, uint32_t weight,
                         uint32_t device) {
    const sy__placement_problem *problem = expander->placement->problem;
    uint64_t *used = words + 2u * problem->n_lanes;
    uint64_t bytes = problem->weight_bytes[(size_t)weight * problem->n_devices + device];
    for (uint32_t b = 0; b < problem->n_budgets; b++) {
        if ((problem->budgets[b].devices >> device & 1u) == 0) {
            continue;
        }
        if (bytes > problem->budgets[b].limit_bytes ||
            used[b] > problem->budgets[b].limit_bytes - bytes) {
            return false;
        }
        used[b] += bytes;
    }
    return true;
}

/* False when the weights of the node do not fit. */
static bool charge_weights(const sy__expander *expander, uint64_t *words, uint32_t *inout_n_words,
                           uint32_t node, uint32_t device) {
    const sy__placement *placement = expander->placement;
    const sy__placement_problem *problem = placement->problem;
    if (!expander->track_budgets) {
        return true;
    }
    for (uint32_t i = problem->node_weight_first[node]; i < problem->node_weight_first[node + 1];
         i++) {
        uint32_t weight = problem->node_weights[i];
        uint32_t id = problem->n_values + problem->n_groups + weight;
        uint32_t at = entry_find(words, expander->n_fixed, *inout_n_words, id);
        bool is_open = entry_is(words, *inout_n_words, at, id);
        uint32_t there = is_open ? (uint32_t)words[at] : 0;
        if ((there >> device & 1u) == 0 && !charge_bytes(expander, words, weight, device)) {
            return false;
        }
        bool all_done = true;
        for (uint32_t u = placement->weight_user_first[weight];
             all_done && u < placement->weight_user_first[weight + 1]; u++) {
            all_done = is_done(placement, words, placement->weight_users[u]);
        }
        if (all_done && is_open) {
            entry_remove(words, inout_n_words, at);
        } else if (!all_done && is_open) {
            words[at] = entry_of(id, there | 1u << device);
        } else if (!all_done) {
            entry_insert(words, inout_n_words, at, entry_of(id, 1u << device));
        }
    }
    return true;
}

/* True while a node that is not done will read the value. */
static bool is_wanted(const sy__placement *placement, const uint64_t *words, uint32_t i_value) {
    const sy__placement_value *value = &placement->problem->values[i_value];
    for (uint32_t c = value->n_consumers; c-- > 0;) {
        if (!is_done(placement, words, placement->problem->consumers[value->i_consumer + c])) {
            return true;
        }
    }
    return false;
}

static sy__time_ps read_inputs(const sy__expander *expander, uint64_t *words,
                               uint32_t *inout_n_words, uint32_t node, uint32_t device) {
    const sy__placement *placement = expander->placement;
    uint32_t place = sy__place_of(placement, device);
    sy__time_ps sum = 0;
    for (uint32_t i = placement->input_first[node]; i < placement->input_first[node + 1]; i++) {
        uint32_t value = placement->inputs[i];
        uint32_t at = entry_find(words, expander->n_fixed, *inout_n_words, value);
        uint32_t places = (uint32_t)words[at];
        sum = sy__time_add(sum, sy__placement_bring(placement, value, place, &places));
        if (is_wanted(placement, words, value)) {
            words[at] = entry_of(value, places);
        } else {
            entry_remove(words, inout_n_words, at);
        }
    }
    return sum;
}

/* Puts a value that is now in `places` into the state; answers its way out of the graph. */
static sy__time_ps add_value(const sy__expander *expander, uint64_t *words, uint32_t *inout_n_words,
                             uint32_t i_value, uint32_t places) {
    const sy__placement *placement = expander->placement;
    const sy__placement_value *value = &placement->problem->values[i_value];
    sy__time_ps cost = 0;
    if (value->leaves) {
        cost = sy__placement_bring(placement, i_value, SY__HOST_PLACE, &places);
    }
    if (value->n_consumers > 0) {
        uint32_t at = entry_find(words, expander->n_fixed, *inout_n_words, i_value);
        entry_insert(words, inout_n_words, at, entry_of(i_value, places));
    }
    return cost;
}

sy__time_ps sy__expand(sy__expander *expander, const uint64_t *words, uint32_t n_words,
                       uint32_t node, uint32_t device, uint32_t *out_n_words) {
    const sy__placement *placement = expander->placement;
    sy__time_ps sum = expander->time[(size_t)node * placement->n_devices + device];
    if (sum >= SY__FOREVER) {
        return SY__FOREVER;
    }
    uint64_t *next = expander->scratch;
    memcpy(next, words, n_words * sizeof(*words));
    mark_done(placement, next, node);
    if (!join_group(expander, next, &n_words, node, device) ||
        !charge_weights(expander, next, &n_words, node, device)) {
        return SY__FOREVER;
    }
    sum = sy__time_add(sum, launch(expander, next, node, device));
    sum = sy__time_add(sum, read_inputs(expander, next, &n_words, node, device));
    for (uint32_t i = placement->output_first[node]; i < placement->output_first[node + 1]; i++) {
        sum = sy__time_add(sum, add_value(expander, next, &n_words, placement->outputs[i],
                                          sy__place_of(placement, device)));
    }
    *out_n_words = n_words;
    return sum;
}

/* Extra price of one value's future ways when it lies as in `a` instead of as in `b`: at most its
 * way to the host, and to each device that only b has reached. */
static sy__time_ps value_distance(const sy__placement *placement, uint64_t a, uint64_t b) {
    uint32_t places = (uint32_t)a, only_b = (uint32_t)b & ~(uint32_t)a & ~SY__HOST_PLACE;
    sy__time_ps sum = sy__placement_bring(placement, entry_id(a), SY__HOST_PLACE, &places);
    for (; only_b != 0; only_b &= only_b - 1u) {
        sum = sy__time_add(
            sum, sy__placement_bring(placement, entry_id(a), only_b & (0u - only_b), &places));
    }
    return sum;
}

sy__time_ps sy__state_distance(const sy__expander *expander, const uint64_t *a, uint32_t n_a,
                               const uint64_t *b, uint32_t n_b) {
    const sy__placement *placement = expander->placement;
    const sy__placement_problem *problem = placement->problem;
    sy__time_ps sum = 0;
    if (n_a != n_b) {
        return SY__FOREVER;
    }
    for (uint32_t lane = 0; lane < problem->n_lanes; lane++) {
        uint32_t last = (uint32_t)(b[2u * lane] >> 32);
        if (last != 0 && a[2u * lane] >> 32 != last) {
            sum = sy__time_add(sum,
                               placement->launch[(size_t)lane * placement->n_devices + last - 1u]);
        }
    }
    for (uint32_t i = 2u * problem->n_lanes; i < expander->n_fixed; i++) {
        if (a[i] > b[i]) {
            return SY__FOREVER;
        }
    }
    for (uint32_t i = expander->n_fixed; i < n_a; i++) {
        if (a[i] == b[i]) {
            continue;
        }
        uint32_t id = entry_id(a[i]);
        if (id != entry_id(b[i])) {
            return SY__FOREVER;
        }
        if (id < problem->n_values) {
            sum = sy__time_add(sum, value_distance(placement, a[i], b[i]));
        } else if (id < problem->n_values + problem->n_groups || (b[i] & ~a[i]) != 0) {
            return SY__FOREVER;
        }
    }
    return sum;
}

static void start_state(sy__expander *expander) {
    const sy__placement_problem *problem = expander->placement->problem;
    expander->n_start = expander->n_fixed;
    expander->start_cost = 0;
    for (uint32_t v = 0; v < problem->n_values; v++) {
        if (problem->values[v].producer == SY__NONE) {
            sy__time_ps cost =
                add_value(expander, expander->start, &expander->n_start, v, SY__HOST_PLACE);
            expander->start_cost = sy__time_add(expander->start_cost, cost);
        }
    }
    expander->start_rest = 0;
    for (uint32_t i = 0; i < expander->placement->n; i++) {
        sy__time_ps least = SY__FOREVER;
        for (uint32_t d = 0; d < problem->n_devices; d++) {
            sy__time_ps time = expander->time[(size_t)i * problem->n_devices + d];
            least = time < least ? time : least;
        }
        expander->node_min[i] = least;
        expander->start_rest = sy__time_add(expander->start_rest, least);
    }
}

bool sy__expander_init(sy__expander *expander, const sy__placement *placement,
                       const sy__time_ps *time, const uint8_t *on_path, bool track_budgets) {
    const sy__placement_problem *problem = placement->problem;
    memset(expander, 0, sizeof(*expander));
    expander->placement = placement;
    expander->time = time;
    expander->on_path = on_path;
    expander->track_budgets = track_budgets && problem->node_weight_first != NULL;
    expander->n_fixed = 2u * problem->n_lanes + (expander->track_budgets ? problem->n_budgets : 0u);
    expander->max_words =
        (size_t)expander->n_fixed + problem->n_values + problem->n_groups + problem->n_weights + 1u;
    expander->node_min = sy__alloc_array(placement->allocator, placement->n, sizeof(sy__time_ps));
    expander->start = sy__alloc_array(placement->allocator, expander->max_words, sizeof(uint64_t));
    expander->scratch =
        sy__alloc_array(placement->allocator, expander->max_words, sizeof(uint64_t));
    if (expander->node_min == NULL || expander->start == NULL || expander->scratch == NULL) {
        sy__expander_deinit(expander);
        return false;
    }
    start_state(expander);
    return true;
}

void sy__expander_deinit(sy__expander *expander) {
    const sy_allocator *allocator = expander->placement->allocator;
    sy__free_array(allocator, expander->node_min, expander->placement->n, sizeof(sy__time_ps));
    sy__free_array(allocator, expander->start, expander->max_words, sizeof(uint64_t));
    sy__free_array(allocator, expander->scratch, expander->max_words, sizeof(uint64_t));
    expander->node_min = NULL;
    expander->start = NULL;
    expander->scratch = NULL;
}
