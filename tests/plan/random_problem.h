/* SPDX-License-Identifier: Apache-2.0 */
/* Problems for the placement solver: random graphs and graphs shaped like a language model. */
#ifndef SY_TESTS_RANDOM_PROBLEM_H
#define SY_TESTS_RANDOM_PROBLEM_H

#include "harness.h"

#include "plan/placement.h"

#define MAX_NODES 2048u
#define MAX_VALUES 4096u
#define MAX_DEVICES 4u

/* A problem with its arrays inside. Large: make it static. */
typedef struct test_problem {
    sy__placement_problem problem;
    uint64_t lane_runs[SY__LANES_MAX];
    uint32_t node_lane[MAX_NODES], node_group[MAX_NODES];
    sy__time_ps time[MAX_NODES * MAX_DEVICES];
    sy__placement_value values[MAX_VALUES];
    uint32_t consumers[MAX_VALUES * 4u];
    sy__time_ps launch[MAX_DEVICES];
    sy__placement_link links[MAX_DEVICES];
    uint32_t node_weights[MAX_NODES], node_weight_first[MAX_NODES + 1u];
    uint64_t weight_bytes[MAX_NODES * MAX_DEVICES];
    sy__placement_budget budgets[4];
    uint32_t rank[MAX_DEVICES];
} test_problem;

typedef struct random_source {
    uint64_t state;
} random_source;

static inline uint64_t random_next(random_source *source) {
    uint64_t z = (source->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline uint32_t random_below(random_source *source, uint32_t n) {
    return (uint32_t)(random_next(source) >> 33) % n;
}

static inline bool random_chance(random_source *source, uint32_t percent) {
    return random_below(source, 100) < percent;
}

static inline void point_into(test_problem *test) {
    sy__placement_problem *problem = &test->problem;
    problem->lane_runs = test->lane_runs;
    problem->node_lane = test->node_lane;
    problem->node_group = test->node_group;
    problem->time = test->time;
    problem->values = test->values;
    problem->consumers = test->consumers;
    problem->launch = test->launch;
    problem->links = test->links;
    problem->node_weights = test->node_weights;
    problem->node_weight_first = test->node_weight_first;
    problem->weight_bytes = test->weight_bytes;
    problem->budgets = test->budgets;
    problem->rank = test->rank;
}

/* Adds a value; consumers are appended right after with add_consumer. */
static inline sy__placement_value *add_value(test_problem *test, uint32_t producer, uint32_t lane,
                                             uint64_t n_bytes) {
    CHECK(test->problem.n_values < MAX_VALUES);
    sy__placement_value *value = &test->values[test->problem.n_values++];
    *value = (sy__placement_value){.producer = producer,
                                   .lane = lane,
                                   .n_bytes = n_bytes,
                                   .i_consumer = test->problem.n_consumers};
    return value;
}

static inline void add_consumer(test_problem *test, sy__placement_value *value, uint32_t node) {
    CHECK(test->problem.n_consumers < MAX_VALUES * 4u);
    test->consumers[test->problem.n_consumers++] = node;
    value->n_consumers++;
}

typedef struct random_shape {
    uint32_t n_nodes, n_devices, n_lanes, edge_reach;
    uint32_t no_support_pct, group_pct, budget_pct;
} random_shape;

static inline void random_links(test_problem *test, random_source *source) {
    uint32_t n = test->problem.n_devices;
    for (uint32_t a = 0; a < n; a++) {
        test->launch[a] = random_below(source, 4) == 0 ? 0 : random_below(source, 40) * 1000u;
        test->rank[a] = random_below(source, n);
        test->links[a] =
            (sy__placement_link){random_below(source, 30) * 1000u, random_below(source, 8) * 500u,
                                 random_below(source, 30) * 1000u, random_below(source, 8) * 500u};
    }
}

static inline void random_edges(test_problem *test, const random_shape *shape,
                                random_source *source) {
    for (uint32_t from = 0; from < shape->n_nodes; from++) {
        uint32_t lane = test->node_lane[from];
        sy__placement_value *value = add_value(test, from, lane, random_below(source, 9) * 512u);
        for (uint32_t to = from + 1; to < shape->n_nodes && to <= from + shape->edge_reach; to++) {
            if (test->node_lane[to] == lane && random_chance(source, 40)) {
                add_consumer(test, value, to);
            }
        }
        value->leaves =
            value->n_consumers == 0 ? random_chance(source, 70) : random_chance(source, 10);
        if (random_chance(source, 20)) {
            sy__placement_value *input = add_value(test, SY__NONE, lane, 1024);
            add_consumer(test, input, from);
        }
    }
}

static inline void random_problem(test_problem *test, const random_shape *shape, uint64_t seed) {
    random_source source = {seed};
    uint32_t n_devices = shape->n_devices;
    memset(&test->problem, 0, sizeof(test->problem));
    point_into(test);
    sy__placement_problem *problem = &test->problem;
    problem->n_nodes = shape->n_nodes;
    problem->n_devices = n_devices;
    problem->n_lanes = shape->n_lanes;
    problem->on_host = random_below(&source, 1u << n_devices);
    for (uint32_t lane = 0; lane < shape->n_lanes; lane++) {
        test->lane_runs[lane] = 1u + random_below(&source, 3);
    }
    random_links(test, &source);
    problem->n_groups = shape->group_pct > 0 ? 2u : 0u;
    problem->n_weights = shape->n_nodes / 2u + 1u;
    for (uint32_t i = 0; i < shape->n_nodes; i++) {
        test->node_lane[i] = random_below(&source, shape->n_lanes);
        bool grouped = random_chance(&source, shape->group_pct);
        test->node_group[i] = grouped ? random_below(&source, 2) : SY__NONE;
        test->node_weight_first[i] = problem->n_node_weights;
        if (random_chance(&source, 60)) {
            test->node_weights[problem->n_node_weights++] =
                random_below(&source, problem->n_weights);
        }
        uint32_t keep = random_below(&source, n_devices);
        for (uint32_t d = 0; d < n_devices; d++) {
            bool may = d == keep || grouped || !random_chance(&source, shape->no_support_pct);
            test->time[i * n_devices + d] =
                may ? (1u + random_below(&source, 60)) * 1000u : SY__FOREVER;
        }
    }
    test->node_weight_first[shape->n_nodes] = problem->n_node_weights;
    for (uint32_t w = 0; w < problem->n_weights * n_devices; w++) {
        test->weight_bytes[w] = random_below(&source, 100);
    }
    for (uint32_t d = 0; d < n_devices; d++) {
        if (random_chance(&source, shape->budget_pct)) {
            sy__placement_budget budget = {1u << d, random_below(&source, 150)};
            test->budgets[problem->n_budgets++] = budget;
        }
    }
    random_edges(test, shape, &source);
}

/* One decoder layer a turn, twice over (prefill and decode) when n_lanes is 2: norm, three
 * projections, two rotations, attention, projection, add + norm, gate, up, product, down, add. */
typedef struct model_builder {
    test_problem *test;
    random_source source;
    uint32_t stream[SY__LANES_MAX]; /* value number of the residual stream */
} model_builder;

static inline uint32_t model_node(model_builder *model, uint32_t lane, uint32_t weight_kib,
                                  uint32_t group) {
    test_problem *test = model->test;
    sy__placement_problem *problem = &test->problem;
    uint32_t node = problem->n_nodes++;
    CHECK(node < MAX_NODES);
    test->node_lane[node] = lane;
    test->node_group[node] = group;
    uint64_t work = weight_kib > 0 ? weight_kib * (lane == 0 ? 4u : 1u) : 20u;
    static const uint64_t pace[2][3] = {{30, 60, 200}, {90, 70, 50}}; /* npu, gpu, cpu a KiB */
    for (uint32_t d = 0; d < problem->n_devices; d++) {
        bool may = d != 0 || weight_kib > 0 || random_chance(&model->source, 80);
        test->time[node * problem->n_devices + d] =
            may ? work * pace[lane][d % 3u] * 1000u + 2000000u : SY__FOREVER;
    }
    test->node_weight_first[node + 1] = test->node_weight_first[node];
    return node;
}

static inline void model_weight(model_builder *model, uint32_t node, uint32_t weight,
                                uint32_t kib) {
    test_problem *test = model->test;
    test->node_weights[test->problem.n_node_weights++] = weight;
    test->node_weight_first[node + 1] = test->problem.n_node_weights;
    for (uint32_t d = 0; d < test->problem.n_devices; d++) {
        test->weight_bytes[weight * test->problem.n_devices + d] = (uint64_t)kib << 10;
    }
    if (weight >= test->problem.n_weights) {
        test->problem.n_weights = weight + 1u;
    }
}

#define MODEL_LAYER_NODES 14u

/* The nodes of one layer, step by step over the lanes, so that lanes interleave. */
static inline void model_layer(model_builder *model, uint32_t layer, uint32_t n_lanes) {
    /* inputs by step number within the layer; 255 is the residual stream, 254 none */
    static const uint8_t reads[MODEL_LAYER_NODES][3] = {
        {255, 254, 254}, {0, 254, 254}, {0, 254, 254},  {0, 254, 254}, {1, 254, 254},
        {2, 254, 254},   {4, 5, 3},     {6, 254, 254},  {7, 255, 254}, {8, 254, 254},
        {8, 254, 254},   {9, 10, 254},  {11, 254, 254}, {12, 7, 254}};
    static const uint32_t kib[MODEL_LAYER_NODES] = {0,   576, 192,  192,  0, 0,    0,
                                                    576, 0,   1536, 1536, 0, 1536, 0};
    test_problem *test = model->test;
    uint32_t made[SY__LANES_MAX][MODEL_LAYER_NODES];
    for (uint32_t step = 0; step < MODEL_LAYER_NODES; step++) {
        for (uint32_t lane = 0; lane < n_lanes; lane++) {
            uint32_t group = step == 6 ? layer : SY__NONE;
            uint32_t node = model_node(model, lane, kib[step], group);
            if (kib[step] > 0) {
                model_weight(model, node, layer * MODEL_LAYER_NODES + step, kib[step]);
            }
            made[lane][step] = node;
        }
    }
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        sy__placement_value *old = &test->values[model->stream[lane]];
        old->i_consumer = test->problem.n_consumers;
        for (uint32_t step = 0; step < MODEL_LAYER_NODES; step++) {
            if (reads[step][0] == 255 || reads[step][1] == 255) {
                add_consumer(test, old, made[lane][step]);
            }
        }
        for (uint32_t from = 0; from < MODEL_LAYER_NODES; from++) {
            sy__placement_value *value =
                add_value(test, made[lane][from], lane, lane == 0 ? 147456u : 2304u);
            for (uint32_t step = from + 1; step < MODEL_LAYER_NODES; step++) {
                if (reads[step][0] == from || reads[step][1] == from || reads[step][2] == from) {
                    add_consumer(test, value, made[lane][step]);
                }
            }
        }
        model->stream[lane] = test->problem.n_values - 1u;
    }
    test->problem.n_groups = layer + 1u;
}

static inline void model_problem(test_problem *test, uint32_t n_layers, uint32_t n_lanes,
                                 uint64_t seed) {
    model_builder model = {.test = test, .source = {seed}};
    memset(&test->problem, 0, sizeof(test->problem));
    point_into(test);
    test->problem.n_devices = 3;
    test->problem.n_lanes = n_lanes;
    test->problem.on_host = 1u << 2;
    test->node_weight_first[0] = 0;
    test->lane_runs[0] = 1;
    test->lane_runs[1] = 128;
    static const sy__time_ps launch[3] = {60000000, 25000000, 1000000};
    for (uint32_t a = 0; a < 3; a++) {
        test->launch[a] = launch[a];
        test->rank[a] = a;
        test->links[a] = (sy__placement_link){10000000, 100000, 10000000, 100000};
    }
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        add_value(test, SY__NONE, lane, lane == 0 ? 147456u : 2304u);
        model.stream[lane] = lane;
    }
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        model_layer(&model, layer, n_lanes);
    }
    for (uint32_t lane = 0; lane < n_lanes; lane++) {
        test->values[model.stream[lane]].leaves = 1;
    }
}

#endif
