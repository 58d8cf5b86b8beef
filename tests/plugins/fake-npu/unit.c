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

void fake_read_settings(const sy_node_view *node, fake_settings *out_settings) {
    memset(out_settings, 0, sizeof(*out_settings));
    out_settings->op = fake_find_op(node->domain, node->op);
    out_settings->n_heads = (uint32_t)int_of(node, "num_heads", 1);
    out_settings->n_kv_heads = (uint32_t)int_of(node, "num_kv_heads", 1);
    out_settings->window = (uint32_t)int_of(node, "window", 0);
    out_settings->causal = int_of(node, "causal", 1) != 0;
    out_settings->interleaved = int_of(node, "interleaved", 0) != 0;
    out_settings->epsilon = float_of(node, "epsilon", 1e-5f);
    out_settings->scale = float_of(node, "scale", 0);
    out_settings->softcap = float_of(node, "softcap", 0);
    out_settings->magnitude = float_of(node, "magnitude", 1);
    const sy_attribute *activation = attribute(node, "activation");
    if (activation != NULL) {
        strncpy(out_settings->activation, activation->value.s,
                sizeof(out_settings->activation) - 1);
    }
}

/* Places the inputs and outputs of a node whose settings are known. */
static void place_node(sy_unit *unit, const sy_load_request *request, const sy_node_view *from,
                       fake_node *node, sy_unit_info *info) {
    node->states[0] = node->states[1] = SY_NO_VALUE;
    for (uint32_t k = 0; k < 6; k++) {
        int present = k < from->n_inputs && from->inputs[k] != SY_NO_VALUE;
        node->in[k] = SY_NO_VALUE;
        if (present && node->set.op == FAKE_ATTENTION && (k == 3 || k == 4)) {
            node->states[k - 3] = state_slot(request->segment, from->inputs[k]);
        } else if (present) {
            node->in[k] = find_value(unit, request->view, from->inputs[k], info);
        }
    }
    for (uint32_t k = 0; k < from->n_outputs && k < 2; k++) {
        node->out[k] = find_value(unit, request->view, from->outputs[k], info);
    }
}

static sy_status fill_nodes(sy_unit *unit, const sy_load_request *request, sy_unit_info *info) {
    const sy_segment *segment = request->segment;
    sy_status status = SY_OK;
    if (request->blob != NULL) {
        status = fake_open_blob(unit->device, request->blob, segment, unit->nodes);
    }
    for (uint32_t i = 0; i < segment->n_nodes && status == SY_OK; i++) {
        sy_node_view node;
        status = request->view->node(request->view->graph, segment->nodes[i], &node);
        if (status != SY_OK || fake_find_op(node.domain, node.op) == FAKE_OP_COUNT) {
            return SY_UNIMPLEMENTED;
        }
        if (request->blob == NULL) {
            fake_read_settings(&node, &unit->nodes[i].set);
        }
        place_node(unit, request, &node, &unit->nodes[i], info);
    }
    return status;
}

sy_status fake_load(sy_device *device, const sy_load_request *request, sy_unit_info *out_info,
                    sy_unit **out_unit) {
    const sy_segment *segment = request->segment;
    const sy_host *host = device->host;
    sy_status known = fake_check_extensions(&request->header);
    if (known != SY_OK) {
        return known;
    }
    known = fake_check_memory(device);
    if (known != SY_OK) {
        return known;
    }
    if (++device->n_loads == device->fail_load) {
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
    sy_status status = fill_nodes(unit, request, out_info);
    if (status != SY_OK) {
        host->release(host->context, unit, size_bytes);
        return status;
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

static int is_aligned(const sy_binding *bindings, uint32_t n) {
    uint32_t i = 0;
    while (i < n && bindings[i].offset_bytes % FAKE_ALIGNMENT == 0) {
        i++;
    }
    return i == n;
}

sy_status fake_run(const sy_unit *unit, const sy_job *job) {
    int fits = is_aligned(job->inputs, job->n_inputs) && is_aligned(job->outputs, job->n_outputs);
    sy_status status = fits ? SY_OK : SY_INVALID_ARGUMENT;
    for (uint32_t i = 0; status == SY_OK && i < unit->n_nodes; i++) {
        status = fake_run_node(unit, &unit->nodes[i], job);
    }
    return status;
}
