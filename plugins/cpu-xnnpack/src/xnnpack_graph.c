/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as those of a current version: a runtime made and bound once at load, so that a run only
 * invokes it: no heap call there. xnnpack_stages.c is the same for the 2022 version. */
#include "xnnpack_adapter.h"

#if defined(CPU_HAVE_XNNPACK) && defined(CPU_XNNPACK_RESHAPES)
#include "xnnpack_team.h"

#include <math.h>
#include <xnnpack.h>

struct cpu_xnn_graph {
    xnn_subgraph_t subgraph; /* until finish */
    xnn_runtime_t runtime;
    cpu_xnn_team *team;
    uint32_t n_external;
    enum xnn_status status; /* of the first definition that failed */
};

/* INTERNAL, without a report, for what the caller may try in another way. */
static sy_status status_of(enum xnn_status status) {
    if (status == xnn_status_out_of_memory) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for XNNPACK's tables");
    }
    return status == xnn_status_success ? SY_OK : SY_INTERNAL;
}

/* Keeps the first failure. */
static void keep(cpu_xnn_graph *graph, enum xnn_status status) {
    if (graph->status == xnn_status_success) {
        graph->status = status;
    }
}

sy_status cpu_xnn_graph_create(uint32_t n_external, cpu_xnn_graph **out_graph) {
    cpu_xnn_graph *graph = kit_alloc(sizeof(*graph));
    if (graph == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a graph");
    }
    graph->n_external = n_external;
    enum xnn_status status = xnn_create_subgraph(n_external, 0, &graph->subgraph);
    if (status != xnn_status_success) {
        kit_release(graph, sizeof(*graph));
        return status_of(status);
    }
    *out_graph = graph;
    return SY_OK;
}

uint32_t cpu_xnn_value_add(cpu_xnn_graph *graph, const cpu_xnn_value *v) {
    static const enum xnn_datatype types[] = {[CPU_XNN_F32] = xnn_datatype_fp32,
                                              [CPU_XNN_I8] = xnn_datatype_qint8,
                                              [CPU_XNN_I32] = xnn_datatype_qint32,
                                              [CPU_XNN_I8_CHANNELS] = xnn_datatype_qcint8,
                                              [CPU_XNN_I32_CHANNELS] = xnn_datatype_qcint32};
    uint32_t id = XNN_INVALID_VALUE_ID, external = XNN_INVALID_VALUE_ID, flags = 0;
    enum xnn_status status = xnn_status_success;
    if (v->i_external != CPU_XNN_NONE) {
        external = v->i_external;
        flags = v->is_input ? XNN_VALUE_FLAG_EXTERNAL_INPUT : XNN_VALUE_FLAG_EXTERNAL_OUTPUT;
    }
    if (graph->status != xnn_status_success) {
        return CPU_XNN_NONE;
    }
    switch (v->type) {
    case CPU_XNN_F32:
        status = xnn_define_tensor_value(graph->subgraph, types[v->type], v->rank, v->dims, v->data,
                                         external, flags, &id);
        break;
    case CPU_XNN_I8:
    case CPU_XNN_I32:
        status =
            xnn_define_quantized_tensor_value(graph->subgraph, types[v->type], v->zero, v->scale,
                                              v->rank, v->dims, v->data, external, flags, &id);
        break;
    case CPU_XNN_I8_CHANNELS:
    case CPU_XNN_I32_CHANNELS:
        status = xnn_define_channelwise_quantized_tensor_value(
            graph->subgraph, types[v->type], v->scales, v->rank, v->channel_dimension, v->dims,
            v->data, external, flags, &id);
        break;
    }
    keep(graph, status);
    return id;
}

bool cpu_xnn_is_depthwise(const cpu_xnn_convolution *c) {
    return c->n_groups > 1 && c->in_channels == 1;
}

void cpu_xnn_convolve(cpu_xnn_graph *graph, const cpu_xnn_convolution *c) {
    const cpu_xnn_window *w = &c->window;
    uint32_t bias = c->bias != CPU_XNN_NONE ? c->bias : XNN_INVALID_VALUE_ID;
    if (graph->status != xnn_status_success) {
        return;
    }
    if (cpu_xnn_is_depthwise(c)) {
        keep(graph, xnn_define_depthwise_convolution_2d(
                        graph->subgraph, w->before[0], w->after[1], w->after[0], w->before[1],
                        w->kernel[0], w->kernel[1], w->stride[0], w->stride[1], w->dilation[0],
                        w->dilation[1], c->out_channels, c->n_groups, c->limits.low, c->limits.high,
                        c->x, c->w, bias, c->y, 0));
        return;
    }
    keep(graph, xnn_define_convolution_2d(graph->subgraph, w->before[0], w->after[1], w->after[0],
                                          w->before[1], w->kernel[0], w->kernel[1], w->stride[0],
                                          w->stride[1], w->dilation[0], w->dilation[1], c->n_groups,
                                          c->in_channels, c->out_channels, c->limits.low,
                                          c->limits.high, c->x, c->w, bias, c->y, 0));
}

void cpu_xnn_max_pool(cpu_xnn_graph *graph, const cpu_xnn_window *w, cpu_xnn_limits limits,
                      uint32_t x, uint32_t y) {
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_max_pooling_2d(graph->subgraph, w->before[0], w->after[1],
                                              w->after[0], w->before[1], w->kernel[0], w->kernel[1],
                                              w->stride[0], w->stride[1], w->dilation[0],
                                              w->dilation[1], limits.low, limits.high, x, y, 0));
    }
}

void cpu_xnn_average_pool(cpu_xnn_graph *graph, const cpu_xnn_window *w, uint32_t x, uint32_t y) {
    if (graph->status == xnn_status_success) {
        keep(graph,
             xnn_define_average_pooling_2d(graph->subgraph, w->before[0], w->after[1], w->after[0],
                                           w->before[1], w->kernel[0], w->kernel[1], w->stride[0],
                                           w->stride[1], -INFINITY, INFINITY, x, y, 0));
    }
}

void cpu_xnn_fully_connected(cpu_xnn_graph *graph, cpu_xnn_limits limits, uint32_t x, uint32_t w,
                             uint32_t bias, uint32_t y) {
    uint32_t b = bias != CPU_XNN_NONE ? bias : XNN_INVALID_VALUE_ID;
    if (graph->status == xnn_status_success) {
        keep(graph,
             xnn_define_fully_connected(graph->subgraph, limits.low, limits.high, x, w, b, y, 0));
    }
}

void cpu_xnn_softmax(cpu_xnn_graph *graph, uint32_t x, uint32_t y) {
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_softmax(graph->subgraph, x, y, 0));
    }
}

void cpu_xnn_reshape(cpu_xnn_graph *graph, uint32_t rank, const size_t *dims, uint32_t x,
                     uint32_t y) {
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_static_reshape(graph->subgraph, rank, dims, x, y, 0));
    }
}

void cpu_xnn_global_average(cpu_xnn_graph *graph, uint32_t y_rank, uint32_t x, uint32_t y) {
    static const size_t axes[] = {1, 2};
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_static_reduce(graph->subgraph, xnn_reduce_mean, 2, axes, x, y,
                                             y_rank == 4 ? XNN_FLAG_KEEP_DIMS : 0));
    }
}

void cpu_xnn_pad(cpu_xnn_graph *graph, const cpu_xnn_window *w, uint32_t x, uint32_t y) {
    const size_t before[4] = {0, w->before[0], w->before[1], 0};
    const size_t after[4] = {0, w->after[0], w->after[1], 0};
    if (graph->status == xnn_status_success) {
#ifdef CPU_XNNPACK_PAD_V2
        keep(graph,
             xnn_define_static_constant_pad_v2(graph->subgraph, 4, before, after, 0.0f, x, y, 0));
#else
        keep(graph, xnn_define_static_constant_pad(graph->subgraph, before, after, 0.0f, x, y, 0));
#endif
    }
}

void cpu_xnn_concatenate(cpu_xnn_graph *graph, uint32_t axis, uint32_t n, const uint32_t *xs,
                         uint32_t y) {
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_concatenate(graph->subgraph, (int32_t)axis, n, xs, y, 0));
    }
}

void cpu_xnn_unary_add(cpu_xnn_graph *graph, cpu_xnn_unary unary, cpu_xnn_limits limits,
                       float alpha, uint32_t x, uint32_t y) {
    static const enum xnn_unary_operator operators[] = {[CPU_XNN_CLAMP] = xnn_unary_clamp,
                                                        [CPU_XNN_CONVERT] = xnn_unary_convert,
                                                        [CPU_XNN_LEAKY_RELU] = xnn_unary_leaky_relu,
                                                        [CPU_XNN_ELU] = xnn_unary_elu,
                                                        [CPU_XNN_HARD_SWISH] = xnn_unary_hardswish,
                                                        [CPU_XNN_SIGMOID] = xnn_unary_sigmoid,
                                                        [CPU_XNN_ABS] = xnn_unary_abs,
                                                        [CPU_XNN_NEGATE] = xnn_unary_negate};
    union xnn_unary_params params = {.clamp = {limits.low, limits.high}};
    if (unary == CPU_XNN_LEAKY_RELU) {
        params.leaky_relu.negative_slope = alpha;
    } else if (unary == CPU_XNN_ELU) {
        params.elu.alpha = alpha;
    }
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_unary(graph->subgraph, operators[unary], &params, x, y, 0));
    }
}

void cpu_xnn_binary_add(cpu_xnn_graph *graph, cpu_xnn_binary binary, cpu_xnn_limits limits,
                        uint32_t a, uint32_t b, uint32_t y) {
    static const enum xnn_binary_operator operators[] = {[CPU_XNN_ADD] = xnn_binary_add,
                                                         [CPU_XNN_SUBTRACT] = xnn_binary_subtract,
                                                         [CPU_XNN_MULTIPLY] = xnn_binary_multiply,
                                                         [CPU_XNN_DIVIDE] = xnn_binary_divide,
                                                         [CPU_XNN_PRELU] = xnn_binary_prelu};
    struct xnn_binary_params params = {(double)limits.low, (double)limits.high};
    if (graph->status == xnn_status_success) {
        keep(graph, xnn_define_binary(graph->subgraph, operators[binary], &params, a, b, y, 0));
    }
}

static enum xnn_status runtime_bind(cpu_xnn_graph *graph, const struct xnn_external_value *values) {
    enum xnn_status status = xnn_reshape_runtime(graph->runtime);
    return status == xnn_status_success
               ? xnn_setup_runtime_v2(graph->runtime, graph->n_external, values)
               : status;
}

sy_status cpu_xnn_graph_finish(cpu_xnn_graph *graph, void *const *externals, uint32_t n_workers) {
    if (graph->status != xnn_status_success) {
        return status_of(graph->status);
    }
    sy_status status = cpu_xnn_team_create(n_workers, &graph->team);
    if (status != SY_OK) {
        return status;
    }
    size_t n_bytes = (graph->n_external + 1) * sizeof(struct xnn_external_value);
    struct xnn_external_value *values = kit_alloc(n_bytes);
    if (values == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a graph's borders");
    }
    for (uint32_t i = 0; i < graph->n_external; i++) {
        values[i] = (struct xnn_external_value){i, externals[i]};
    }
    enum xnn_status made =
        xnn_create_runtime_v2(graph->subgraph, cpu_xnn_team_pool(graph->team), 0, &graph->runtime);
    if (made == xnn_status_success) {
        made = runtime_bind(graph, values);
    }
    kit_release(values, n_bytes);
    xnn_delete_subgraph(graph->subgraph);
    graph->subgraph = NULL;
    return status_of(made);
}

uint64_t cpu_xnn_graph_copies(const cpu_xnn_graph *graph) {
    (void)graph;
    return 0;
}

typedef struct invocation {
    cpu_run *run;
    cpu_xnn_graph *graph;
} invocation;

static void invoke(void *argument) {
    const invocation *call = argument;
    if (xnn_invoke_runtime(call->graph->runtime) != xnn_status_success) {
        atomic_store(&call->run->failure, SY_INTERNAL);
    }
}

sy_status cpu_xnn_graph_run(cpu_run *run, cpu_xnn_graph *graph, double cost) {
    invocation call = {run, graph};
    return cpu_xnn_team_run(run, graph->team, invoke, &call, cost);
}

void cpu_xnn_graph_destroy(cpu_xnn_graph *graph) {
    if (graph == NULL) {
        return;
    }
    if (graph->runtime != NULL) {
        xnn_delete_runtime(graph->runtime);
    }
    if (graph->subgraph != NULL) {
        xnn_delete_subgraph(graph->subgraph);
    }
    cpu_xnn_team_destroy(graph->team);
    kit_release(graph, sizeof(*graph));
}
#endif
