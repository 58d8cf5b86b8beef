/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and running segments on the fake NPU. */
#include "fake_npu.h"

#include <string.h>

static const sy_attribute *attribute(const sy_node_view *node, const char *name) {
    for (uint32_t i = 0; i < node->n_attributes; i++) {
        if (strcmp(node->attributes[i].name, name) == 0) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

static int64_t int_of(const sy_node_view *node, const char *name, int64_t otherwise) {
    const sy_attribute *a = attribute(node, name);
    return a != NULL ? a->value.i : otherwise;
}

static float float_of(const sy_node_view *node, const char *name, float otherwise) {
    const sy_attribute *a = attribute(node, name);
    return a != NULL ? (float)a->value.f : otherwise;
}

/* Index of a value in the unit, added with its place when it is new. */
static uint32_t find_value(sy_unit *unit, const sy_graph_view *view, uint32_t i_value,
                           sy_unit_info *info) {
    for (uint32_t i = 0; i < unit->n_values; i++) {
        if (unit->values[i].i_value == i_value) {
            return i;
        }
    }
    fake_value *value = &unit->values[unit->n_values];
    value->i_value = i_value;
    (void)view->value(view->graph, i_value, &value->view); /* judged before: it exists */
    value->place = value->view.kind == SY_VALUE_WEIGHT ? FAKE_WEIGHT : FAKE_SCRATCH;
    if (value->place == FAKE_SCRATCH && value->view.kind != SY_VALUE_STATE) {
        value->scratch_offset = info->scratch_bytes;
        info->scratch_bytes += (value->view.data.length_bytes + 63) / 64 * 64;
    }
    return unit->n_values++;
}

static void add_bound(sy_unit *unit, const sy_graph_view *view, const uint32_t *values, uint32_t n,
                      fake_place place) {
    for (uint32_t i = 0; i < n; i++) {
        fake_value *value = &unit->values[unit->n_values++];
        value->i_value = values[i];
        value->place = place;
        value->slot = i;
        (void)view->value(view->graph, values[i], &value->view);
    }
}

static uint32_t state_slot(const sy_segment *segment, uint32_t i_value) {
    for (uint32_t i = 0; i < segment->n_states; i++) {
        if (segment->states[i] == i_value) {
            return i;
        }
    }
    return SY_NO_VALUE;
}

static void fill_node(sy_unit *unit, const sy_load_request *request, const sy_node_view *from,
                      fake_node *node, sy_unit_info *info) {
    memset(node, 0, sizeof(*node));
    node->op = fake_find_op(from->domain, from->op);
    node->states[0] = node->states[1] = SY_NO_VALUE;
    for (uint32_t k = 0; k < 6; k++) {
        int present = k < from->n_inputs && from->inputs[k] != SY_NO_VALUE;
        node->in[k] = SY_NO_VALUE;
        if (present && node->op == FAKE_ATTENTION && (k == 3 || k == 4)) {
            node->states[k - 3] = state_slot(request->segment, from->inputs[k]);
        } else if (present) {
            node->in[k] = find_value(unit, request->view, from->inputs[k], info);
        }
    }
    for (uint32_t k = 0; k < from->n_outputs && k < 2; k++) {
        node->out[k] = find_value(unit, request->view, from->outputs[k], info);
    }
    node->n_heads = (uint32_t)int_of(from, "num_heads", 1);
    node->n_kv_heads = (uint32_t)int_of(from, "num_kv_heads", 1);
    node->window = (uint32_t)int_of(from, "window", 0);
    node->causal = int_of(from, "causal", 1) != 0;
    node->interleaved = int_of(from, "interleaved", 0) != 0;
    node->epsilon = float_of(from, "epsilon", 1e-5f);
    node->scale = float_of(from, "scale", 0);
    node->softcap = float_of(from, "softcap", 0);
    node->magnitude = float_of(from, "magnitude", 1);
    const sy_attribute *activation = attribute(from, "activation");
    if (activation != NULL) {
        strncpy(node->activation, activation->value.s, sizeof(node->activation) - 1);
    }
}

sy_status fake_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                    sy_unit **out_unit) {
    const sy_segment *segment = request->segment;
    const sy_host *host = device->host;
    sy_status known = fake_check_extensions(&request->header);
    if (known != SY_OK) {
        return known;
    }
    if (++device->n_loads == device->fail_load || device->lost) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_INTERNAL, SY_NO_VALUE,
                     "this load fails by option fail_load");
        return SY_INTERNAL;
    }
    uint64_t n_values = segment->n_inputs + segment->n_outputs + 8ull * segment->n_nodes;
    uint64_t size_bytes =
        sizeof(sy_unit) + segment->n_nodes * sizeof(fake_node) + n_values * sizeof(fake_value);
    sy_unit *unit = host->alloc(host->context, size_bytes, 64);
    if (unit == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(unit, 0, size_bytes);
    unit->device = device;
    unit->size_bytes = size_bytes;
    unit->n_nodes = segment->n_nodes;
    unit->nodes = (fake_node *)(void *)(unit + 1);
    unit->values = (fake_value *)(void *)(unit->nodes + unit->n_nodes);
    add_bound(unit, request->view, segment->inputs, segment->n_inputs, FAKE_INPUT);
    add_bound(unit, request->view, segment->outputs, segment->n_outputs, FAKE_OUTPUT);
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        sy_node_view node;
        sy_status status = request->view->node(request->view->graph, segment->nodes[i], &node);
        if (status != SY_OK || fake_find_op(node.domain, node.op) == FAKE_OP_COUNT) {
            host->release(host->context, unit, size_bytes);
            return SY_UNIMPLEMENTED;
        }
        fill_node(unit, request, &node, &unit->nodes[i], out_info);
    }
    device->live++;
    *out_unit = unit;
    return SY_OK;
}

sy_status fake_unload(sy_unit *unit) {
    const sy_host *host = unit->device->host;
    unit->device->live--;
    host->release(host->context, unit, unit->size_bytes);
    return SY_OK;
}

uint8_t *fake_bytes(const sy_unit *unit, const sy_job *job, uint32_t i_value) {
    const fake_value *value = &unit->values[i_value];
    const sy_binding *binding = &job->scratch;
    switch (value->place) {
    case FAKE_WEIGHT:
        return value->view.data.pointer;
    case FAKE_INPUT:
        binding = &job->inputs[value->slot];
        return binding->buffer->bytes + binding->offset_bytes;
    case FAKE_OUTPUT:
        binding = &job->outputs[value->slot];
        return binding->buffer->bytes + binding->offset_bytes;
    default:
        return binding->buffer->bytes + binding->offset_bytes + value->scratch_offset;
    }
}

int64_t fake_length(const fake_value *value, const sy_job *job, uint32_t i) {
    const sy_dimension *d = &value->view.dims[i];
    return d->symbol == SY_SYMBOL_NONE ? d->bound : d->scale * job->symbols[d->symbol] + d->offset;
}

int64_t fake_rows(const fake_value *value, const sy_job *job) {
    int64_t n = 1;
    for (uint32_t i = 0; i + 1 < value->view.rank; i++) {
        n *= fake_length(value, job, i);
    }
    return n;
}

static int size_is_allowed(const sy_device *device, const sy_job *job) {
    int allowed = device->n_only_tokens == 0;
    for (uint32_t i = 0; i < device->n_only_tokens; i++) {
        allowed = allowed || device->only_tokens[i] == job->symbols[SY_SYMBOL_TOKENS];
    }
    return allowed;
}

sy_status fake_submit(sy_unit *unit, const sy_job *job) {
    sy_device *device = unit->device;
    const sy_host *host = device->host;
    sy_status known = fake_check_extensions(&job->header);
    if (known != SY_OK) {
        return known;
    }
    uint64_t i_job = ++device->n_jobs;
    device->lost = device->lost || i_job == device->lose_at;
    if (device->lost) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_UNAVAILABLE, SY_NO_VALUE,
                     "the device is lost by option lose_at");
        return SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST);
    }
    if (i_job == device->fail_submit || !size_is_allowed(device, job)) {
        host->report(host->context, SY_SEVERITY_ERROR, SY_INTERNAL, SY_NO_VALUE,
                     "this job fails by option, or has a size that only_tokens lacks");
        return SY_INTERNAL;
    }
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < job->n_waits; i++) {
        status = host->fence_wait(host->context, job->waits[i], job->deadline_ns);
    }
    for (uint32_t i = 0; status == SY_OK && i < unit->n_nodes; i++) {
        status = fake_run_node(unit, &unit->nodes[i], job);
    }
    for (uint32_t i = 0; i < job->n_signals; i++) {
        host->fence_signal(host->context, job->signals[i], status);
    }
    return SY_OK;
}
