/* SPDX-License-Identifier: Apache-2.0 */
/* A small language model as a graph, and delegates that only answer questions. */
#ifndef SY_TESTS_PLAN_FIXTURE_H
#define SY_TESTS_PLAN_FIXTURE_H

#include "harness.h"
#include "switchyard/plan.h"

#define WIDTH 64
#define HIDDEN 128
#define MAX_TOKENS 128

/* What a fake delegate answers. */
struct sy_device {
    float us_per_linear, us_per_other, launch_us, link_us, link_us_per_kib;
    float price_factor;      /* 0: price declines */
    const char *refused_op;  /* NULL: none */
    const char *only_static; /* operator that has one static size */
    int mute, broken;        /* refuses without a reason; judge fails */
    uint64_t n_judged;
};

static inline sy_status fake_judge(sy_device *device, const sy_graph_view *view,
                                   sy_verdict *out_verdicts, size_t stride) {
    device->n_judged++;
    if (device->broken) {
        return SY_INTERNAL;
    }
    for (uint32_t i = 0; i < view->n_nodes; i++) {
        sy_node_view node;
        sy_verdict *verdict = (sy_verdict *)(void *)((char *)out_verdicts + i * stride);
        CHECK_OK(view->node(view->graph, i, &node));
        int heavy = strcmp(node.op, "Linear") == 0;
        verdict->support = SY_SUPPORT_NATIVE;
        verdict->confidence = 1.0f;
        verdict->time_us = heavy ? device->us_per_linear * (float)view->typical[SY_SYMBOL_TOKENS]
                                 : device->us_per_other;
        if (device->refused_op != NULL && strcmp(node.op, device->refused_op) == 0) {
            verdict->support = SY_SUPPORT_NO;
            verdict->reason = device->mute ? SY_REASON_NONE : SY_REASON_OPERATOR;
            snprintf(verdict->why, sizeof(verdict->why), "%s",
                     device->mute ? "" : "no kernel for this operator");
        }
        if (device->only_static != NULL && strcmp(node.op, device->only_static) == 0) {
            verdict->n_only_tokens = 2;
            verdict->only_tokens[0] = 1;
            verdict->only_tokens[1] = 32;
        }
    }
    return SY_OK;
}

static inline sy_status fake_price(sy_device *device, const sy_graph_view *view,
                                   const sy_segment *segment, sy_cost *out_cost) {
    if (device->price_factor <= 0.0f) {
        return SY_UNIMPLEMENTED;
    }
    float sum = 0.0f;
    for (uint32_t k = 0; k < segment->n_nodes; k++) {
        sy_node_view node;
        CHECK_OK(view->node(view->graph, segment->nodes[k], &node));
        sum += strcmp(node.op, "Linear") == 0
                   ? device->us_per_linear * (float)view->typical[SY_SYMBOL_TOKENS]
                   : device->us_per_other;
    }
    out_cost->launch_us = device->launch_us;
    out_cost->time_us = device->launch_us + sum * device->price_factor;
    return SY_OK;
}

static inline sy_status fake_link(sy_device *device, sy_memory_kind from, sy_memory_kind to,
                                  uint64_t n_bytes, sy_cost *out_cost) {
    out_cost->time_us =
        from == to ? 0.0f : device->link_us + device->link_us_per_kib * (float)n_bytes / 1024.0f;
    return SY_OK;
}

static inline sy_status fake_state_create(sy_device *device,
                                          const sy_state_description *description,
                                          sy_state **out_state) {
    (void)device;
    (void)description;
    (void)out_state;
    return SY_UNIMPLEMENTED; /* plans ask only whether it is there */
}

static inline sy_status fake_import(sy_device *device, const sy_memory *memory,
                                    sy_buffer **out_buffer) {
    (void)device;
    (void)memory;
    (void)out_buffer;
    return SY_UNIMPLEMENTED;
}

typedef struct fixture {
    sy_runtime *runtime;
    sy_graph *graph;
    sy_plugin plugins[3];
    sy_device devices[3];
    sy_context *contexts[3];
    sy_error error;
} fixture;

static inline void fixture_add(fixture *f, uint32_t i, const char *name, sy_device_class kind,
                               sy_device device) {
    const sy_host *host = NULL;
    CHECK_OK_ERROR(sy_runtime_attach(f->runtime, name, &host, &f->error), f->error);
    f->devices[i] = device;
    f->plugins[i] = (sy_plugin){.header = SY_HEADER_INIT(sy_plugin),
                                .name = name,
                                .judge = fake_judge,
                                .price = fake_price,
                                .link = fake_link,
                                .state_create = fake_state_create};
    sy_delegate delegate = {
        .name = name, .plugin = &f->plugins[i], .context = host->context, .device = &f->devices[i]};
    delegate.info.header = (sy_header)SY_HEADER_INIT(sy_device_info);
    snprintf(delegate.info.id, sizeof(delegate.info.id), "%s-0", name);
    delegate.info.device_class = kind;
    delegate.info.memory_in = delegate.info.memory_own = SY_MEMORY_BIT(SY_MEMORY_OPAQUE);
    if (kind == SY_DEVICE_CPU) {
        f->plugins[i].buffer_import = fake_import;
        delegate.info.memory_in = SY_MEMORY_BIT(SY_MEMORY_HOST);
    }
    CHECK_OK_ERROR(sy_runtime_add(f->runtime, &delegate, &f->error), f->error);
}

static inline uint32_t add_node(fixture *f, const char *domain, const char *op, const char *name,
                                const uint32_t *inputs, uint32_t n_inputs,
                                const sy_attribute *attributes, uint32_t n_attributes) {
    uint32_t value[2] = {0, 0};
    sy_node_view node = {.domain = domain,
                         .op = op,
                         .version = domain[0] == '\0' ? 24 : 1,
                         .n_inputs = n_inputs,
                         .n_outputs = 1,
                         .n_attributes = n_attributes,
                         .inputs = inputs,
                         .attributes = attributes,
                         .name = name};
    CHECK_OK_ERROR(sy_graph_add_node(f->graph, &node, value, &f->error), f->error);
    return value[0];
}

static inline uint32_t add_weight(fixture *f, const char *name, int64_t rows, int64_t columns) {
    static float numbers[HIDDEN * WIDTH];
    uint32_t value = 0;
    sy_value_view view = {.name = name, .kind = SY_VALUE_WEIGHT, .type = SY_TYPE_F32};
    view.dims[view.rank++].bound = rows;
    if (columns > 0) {
        view.dims[view.rank++].bound = columns;
    }
    view.data.pointer = numbers;
    view.data.length_bytes = (uint64_t)(rows * (columns > 0 ? columns : 1)) * sizeof(float);
    CHECK_OK_ERROR(sy_graph_add_value(f->graph, &view, &value, &f->error), f->error);
    return value;
}

static inline uint32_t add_state(fixture *f, const char *name) {
    uint32_t value = 0;
    sy_value_view view = {.name = name, .kind = SY_VALUE_STATE, .type = SY_TYPE_F32, .rank = 2};
    view.dims[0].bound = 256;
    view.dims[1].bound = WIDTH;
    CHECK_OK_ERROR(sy_graph_add_value(f->graph, &view, &value, &f->error), f->error);
    return value;
}

#define INPUTS(...)                  \
    (const uint32_t[]){__VA_ARGS__}, \
        (uint32_t)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static inline uint32_t add_layer(fixture *f, uint32_t layer, uint32_t x) {
    static const sy_attribute heads[2] = {
        {.name = "num_heads", .type = SY_ATTRIBUTE_INT, .count = 1, .value = {.i = 4}},
        {.name = "num_kv_heads", .type = SY_ATTRIBUTE_INT, .count = 1, .value = {.i = 4}}};
    char name[10][24];
    static const char *const parts[10] = {"norm", "q",   "k",  "v",   "attention",
                                          "o",    "add", "up", "act", "down"};
    for (int i = 0; i < 10; i++) {
        snprintf(name[i], sizeof(name[i]), "blk.%u.%s", layer, parts[i]);
    }
    uint32_t w[6];
    static const char *const weights[6] = {"wq", "wk", "wv", "wo", "wup", "wdown"};
    for (int i = 0; i < 6; i++) {
        char text[24];
        snprintf(text, sizeof(text), "blk.%u.%s", layer, weights[i]);
        w[i] = add_weight(f, text, i == 4 ? HIDDEN : WIDTH, i == 5 ? HIDDEN : WIDTH);
    }
    char scale_name[24], key_name[24], value_name[24];
    snprintf(scale_name, sizeof(scale_name), "blk.%u.scale", layer);
    snprintf(key_name, sizeof(key_name), "blk.%u.keys", layer);
    snprintf(value_name, sizeof(value_name), "blk.%u.values", layer);
    uint32_t scale = add_weight(f, scale_name, WIDTH, 0);
    uint32_t keys = add_state(f, key_name), values = add_state(f, value_name);
    uint32_t h = add_node(f, "", "RMSNormalization", name[0], INPUTS(x, scale), NULL, 0);
    uint32_t q = add_node(f, "switchyard", "Linear", name[1], INPUTS(h, w[0]), NULL, 0);
    uint32_t k = add_node(f, "switchyard", "Linear", name[2], INPUTS(h, w[1]), NULL, 0);
    uint32_t v = add_node(f, "switchyard", "Linear", name[3], INPUTS(h, w[2]), NULL, 0);
    uint32_t a =
        add_node(f, "switchyard", "Attention", name[4], INPUTS(q, k, v, keys, values), heads, 2);
    uint32_t o = add_node(f, "switchyard", "Linear", name[5], INPUTS(a, w[3]), NULL, 0);
    uint32_t r = add_node(f, "", "Add", name[6], INPUTS(x, o), NULL, 0);
    uint32_t u = add_node(f, "switchyard", "Linear", name[7], INPUTS(r, w[4]), NULL, 0);
    uint32_t s = add_node(f, "", "Relu", name[8], INPUTS(u), NULL, 0);
    return add_node(f, "switchyard", "Linear", name[9], INPUTS(s, w[5]), NULL, 0);
}

static inline void fixture_graph(fixture *f, uint32_t n_layers) {
    uint32_t x = 0;
    CHECK_OK_ERROR(sy_graph_create(NULL, "tiny <model>", &f->graph, &f->error), f->error);
    CHECK_OK_ERROR(sy_graph_set_bound(f->graph, SY_SYMBOL_TOKENS, MAX_TOKENS, &f->error), f->error);
    sy_value_view view = {.name = "x", .kind = SY_VALUE_INPUT, .type = SY_TYPE_F32, .rank = 2};
    view.dims[0] = (sy_dimension){.symbol = SY_SYMBOL_TOKENS, .scale = 1};
    view.dims[1].bound = WIDTH;
    CHECK_OK_ERROR(sy_graph_add_value(f->graph, &view, &x, &f->error), f->error);
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        x = add_layer(f, layer, x);
    }
    CHECK_OK_ERROR(sy_graph_mark_output(f->graph, x, &f->error), f->error);
}

/* An NPU that is quick at Linear with many tokens and refuses Attention, a CPU that does all. */
static inline void fixture_begin(fixture *f, const sy_allocator *allocator, uint32_t n_layers) {
    memset(f, 0, sizeof(*f));
    sy_runtime_options options;
    sy_runtime_options_default(&options);
    options.n_threads = 1;
    options.allocator = allocator;
    CHECK_OK_ERROR(sy_runtime_create(&options, &f->runtime, &f->error), f->error);
    sy_device npu = {.us_per_linear = 0.2f,
                     .us_per_other = 3.0f,
                     .launch_us = 20.0f,
                     .link_us = 5.0f,
                     .link_us_per_kib = 0.1f,
                     .refused_op = "Attention"};
    sy_device cpu = {.us_per_linear = 4.0f, .us_per_other = 1.0f, .launch_us = 1.0f};
    fixture_add(f, 0, "fake-npu", SY_DEVICE_NPU, npu);
    fixture_add(f, 1, "fake-cpu", SY_DEVICE_CPU, cpu);
    fixture_graph(f, n_layers);
}

static inline void fixture_end(fixture *f) {
    sy_graph_destroy(f->graph);
    sy_runtime_destroy(f->runtime);
}

static inline void fixture_phases(sy_plan_phase phases[2], sy_plan_options *options) {
    memset(phases, 0, 2 * sizeof(*phases));
    memset(options, 0, sizeof(*options));
    for (int p = 0; p < 2; p++) {
        for (int s = 0; s < (int)SY_SYMBOL_COUNT_MAX; s++) {
            phases[p].typical[s] = 1;
        }
    }
    phases[0].phase = SY_PHASE_PREFILL;
    phases[0].typical[SY_SYMBOL_TOKENS] = 128;
    phases[0].n_runs = 1;
    phases[1].phase = SY_PHASE_DECODE;
    phases[1].n_runs = 16;
    options->struct_bytes = sizeof(*options);
    options->n_phases = 2;
    options->phases = phases;
}

#endif
