/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: the nodes of a segment with everything resolved that does not depend on the job. */
#include "base/checked.h"
#include "reference/internal.h"

#include <inttypes.h>
#include <string.h>

/* What load works with; the maps go from indexes of the view to those of the unit. */
typedef struct loader {
    sy_device *device;
    sy_graph_view view;
    sy_segment segment;
    sy_unit *unit;
    uint32_t *map;     /* [view.n_values], SY_NO_VALUE: not seen yet */
    uint32_t capacity; /* of unit->values */
} loader;

static sy_status refuse_load(const loader *l, sy_status status, uint32_t i_node, const char *text) {
    return sy__ref_report(l->device, status, i_node, "load: %s", text);
}

/* Where a value that no node of the segment made so far comes from. */
static bool place_outside_value(const loader *l, uint32_t i_value, sy__value *value) {
    const sy_segment *segment = &l->segment;
    bool is_state = value->kind == SY_VALUE_STATE;
    const uint32_t *list = is_state ? segment->states : segment->inputs;
    uint32_t n = is_state ? segment->n_states : segment->n_inputs;
    if (value->kind == SY_VALUE_WEIGHT) {
        value->storage = SY__STORAGE_WEIGHT;
        return true;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == i_value) {
            value->storage = is_state ? SY__STORAGE_STATE : SY__STORAGE_INPUT;
            value->i_slot = i;
            return true;
        }
    }
    return false;
}

/* Adds value i_value of the view to the unit. */
static sy_status add_value(loader *l, uint32_t i_value, uint32_t *out_index) {
    sy_value_view view;
    if (i_value >= l->view.n_values || l->view.value(l->view.graph, i_value, &view) != SY_OK ||
        view.rank > SY_MAX_RANK || l->unit->n_values >= l->capacity) {
        return SY_INVALID_ARGUMENT;
    }
    sy__value *value = &l->unit->values[l->unit->n_values];
    *value = (sy__value){.type = view.type, .kind = view.kind, .rank = view.rank};
    memcpy(value->dims, view.dims, sizeof(value->dims));
    value->weight = view.kind == SY_VALUE_WEIGHT ? view.data.pointer : NULL;
    sy__shape shape = {.rank = view.rank};
    for (uint32_t i = 0; i < view.rank; i++) {
        shape.dims[i] = view.dims[i].bound;
    }
    if (!sy__ref_tensor_bytes(value->type, &shape, &value->n_bytes)) {
        return SY_INVALID_ARGUMENT;
    }
    l->map[i_value] = l->unit->n_values;
    *out_index = l->unit->n_values++;
    return SY_OK;
}

static sy_status add_inputs(loader *l, const sy__facts *facts, sy__node *node) {
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        uint32_t i_value = facts->node.inputs[i];
        node->inputs[i] = SY_NO_VALUE;
        if (i_value == SY_NO_VALUE) {
            continue;
        }
        if (i_value < l->view.n_values && l->map[i_value] != SY_NO_VALUE) {
            node->inputs[i] = l->map[i_value];
            continue;
        }
        sy_status status = add_value(l, i_value, &node->inputs[i]);
        if (status != SY_OK) {
            return status;
        }
        if (!place_outside_value(l, i_value, &l->unit->values[node->inputs[i]])) {
            return refuse_load(l, SY_INVALID_ARGUMENT, node->i_node,
                               "an input is neither made before nor listed in the segment");
        }
    }
    return SY_OK;
}

/* The value whose bytes a value shares. */
static uint32_t root_of(const sy_unit *unit, uint32_t index) {
    while (unit->values[index].storage == SY__STORAGE_ALIAS) {
        index = unit->values[index].i_slot;
    }
    return index;
}

static sy_status add_outputs(loader *l, const sy__facts *facts, sy__node *node) {
    const sy_segment *segment = &l->segment;
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        uint32_t i_value = facts->node.outputs[i];
        if (i_value >= l->view.n_values || l->map[i_value] != SY_NO_VALUE) {
            return refuse_load(l, SY_INVALID_ARGUMENT, node->i_node,
                               "an output is made twice, or used before it is made");
        }
        sy_status status = add_value(l, i_value, &node->outputs[i]);
        if (status != SY_OK) {
            return status;
        }
        sy__value *value = &l->unit->values[node->outputs[i]];
        value->storage = SY__STORAGE_SCRATCH;
        for (uint32_t j = 0; j < segment->n_outputs; j++) {
            if (segment->outputs[j] == i_value) {
                value->storage = SY__STORAGE_OUTPUT;
                value->i_slot = j;
            }
        }
        if (value->storage == SY__STORAGE_SCRATCH && node->op->is_view) {
            value->storage = SY__STORAGE_ALIAS;
            value->i_slot = root_of(l->unit, node->inputs[0]);
        }
    }
    return SY_OK;
}

static void note_uses(sy_unit *unit, const sy__node *node, uint32_t position) {
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        uint32_t index = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        if (index != SY_NO_VALUE) {
            unit->values[root_of(unit, index)].i_last_use = position;
        }
    }
}

static sy_status add_node(loader *l, uint32_t position) {
    sy_unit *unit = l->unit;
    sy__node *node = &unit->nodes[position];
    uint32_t i_node = l->segment.nodes[position];
    sy__facts facts;
    if (i_node >= l->view.n_nodes || sy__ref_facts_read(&facts, &l->view, i_node) != SY_OK) {
        return refuse_load(l, SY_INVALID_ARGUMENT, i_node, "the view lacks a node or value");
    }
    if (facts.reason != SY_REASON_NONE) {
        return sy__ref_report(l->device, SY_UNIMPLEMENTED, i_node, "load: %s: %s",
                              facts.node.op != NULL ? facts.node.op : "?", facts.why);
    }
    const char *name = facts.node.name != NULL ? facts.node.name : facts.op->name;
    node->op = facts.op;
    node->i_node = i_node;
    node->params = facts.params;
    node->n_inputs = facts.node.n_inputs;
    node->n_outputs = facts.node.n_outputs;
    node->name = sy__arena_string(&unit->arena, name, strlen(name));
    node->inputs = sy__arena_alloc(&unit->arena, node->n_inputs + 1u, sizeof(uint32_t));
    node->outputs = sy__arena_alloc(&unit->arena, node->n_outputs + 1u, sizeof(uint32_t));
    if (node->name == NULL || node->inputs == NULL || node->outputs == NULL) {
        return refuse_load(l, SY_RESOURCE_EXHAUSTED, i_node, "no memory for a node");
    }
    sy_status status = add_inputs(l, &facts, node);
    if (status == SY_OK) {
        status = add_outputs(l, &facts, node);
    }
    if (status != SY_OK) {
        return status;
    }
    note_uses(unit, node, position);
    uint64_t n_work =
        facts.op->work_bytes != NULL ? facts.op->work_bytes(&facts, l->device->n_workers) : 0;
    unit->scratch_bytes = n_work > unit->scratch_bytes ? n_work : unit->scratch_bytes;
    unit->uses_sequences |= facts.op->needs_sequences || facts.op->uses_adapters;
    return SY_OK;
}

/* Upper bound of the values a segment touches: every node's inputs and outputs. */
static sy_status count_values(loader *l) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < l->segment.n_nodes; i++) {
        sy_node_view node;
        if (l->segment.nodes[i] >= l->view.n_nodes ||
            l->view.node(l->view.graph, l->segment.nodes[i], &node) != SY_OK) {
            return SY_INVALID_ARGUMENT;
        }
        n += (uint64_t)node.n_inputs + node.n_outputs;
    }
    l->capacity = n < l->view.n_values ? (uint32_t)n : l->view.n_values;
    return SY_OK;
}

static sy_status build(loader *l) {
    sy_unit *unit = l->unit;
    sy_status status = count_values(l);
    if (status != SY_OK) {
        return refuse_load(l, status, SY_NO_VALUE, "the segment names a node that does not exist");
    }
    unit->values = sy__arena_alloc(&unit->arena, l->capacity + 1u, sizeof(unit->values[0]));
    unit->tensors = sy__arena_alloc(&unit->arena, l->capacity + 1u, sizeof(unit->tensors[0]));
    unit->nodes = sy__arena_alloc(&unit->arena, l->segment.n_nodes + 1u, sizeof(unit->nodes[0]));
    if (unit->values == NULL || unit->tensors == NULL || unit->nodes == NULL) {
        return refuse_load(l, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit");
    }
    unit->n_nodes = l->segment.n_nodes;
    for (uint32_t i = 0; i < unit->n_nodes && status == SY_OK; i++) {
        status = add_node(l, i);
    }
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < l->segment.n_outputs; i++) {
        uint32_t i_value = l->segment.outputs[i];
        uint32_t index = i_value < l->view.n_values ? l->map[i_value] : SY_NO_VALUE;
        if (index == SY_NO_VALUE || unit->values[index].storage != SY__STORAGE_OUTPUT ||
            unit->values[index].i_slot != i) {
            return refuse_load(l, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                               "an output of the segment is made by none of its nodes or is twice "
                               "in the list");
        }
    }
    uint64_t n_work = unit->scratch_bytes;
    if (!sy__ref_unit_plan_scratch(unit)) {
        return refuse_load(l, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for the layout");
    }
    unit->work_offset_bytes = unit->scratch_bytes;
    if (!sy__add_u64(unit->work_offset_bytes, n_work, &unit->scratch_bytes)) {
        return refuse_load(l, SY_INVALID_ARGUMENT, SY_NO_VALUE, "scratch of impossible size");
    }
    return SY_OK;
}

static sy_status read_request(loader *l, const sy_load_request *request) {
    sy_load_request own;
    sy__ref_open_read(&own, sizeof(own), request);
    if (own.view == NULL || own.segment == NULL) {
        return refuse_load(l, SY_INVALID_ARGUMENT, SY_NO_VALUE, "no view or no segment");
    }
    if (sy__ref_open_check(&request->header) != SY_OK ||
        sy__ref_open_check(&own.view->header) != SY_OK ||
        sy__ref_open_check(&own.segment->header) != SY_OK) {
        return refuse_load(l, SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION),
                           SY_NO_VALUE, "an extension that must be known is not");
    }
    if (own.blob != NULL) {
        return refuse_load(l, SY_INVALID_ARGUMENT, SY_NO_VALUE, "this delegate makes no blobs");
    }
    sy__ref_open_read(&l->view, sizeof(l->view), own.view);
    sy__ref_open_read(&l->segment, sizeof(l->segment), own.segment);
    if (l->segment.options != NULL && l->segment.options[0] != '\0') {
        return refuse_load(l, SY_INVALID_ARGUMENT, SY_NO_VALUE, "this delegate has no options");
    }
    return SY_OK;
}

sy_status sy__ref_unit_load(sy_device *device, const sy_load_request *request,
                            sy_unit_info *out_info, sy_unit **out_unit) {
    if (device == NULL || request == NULL || out_unit == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    loader l = {.device = device};
    sy_status status = read_request(&l, request);
    if (status != SY_OK) {
        return status;
    }
    const sy_allocator *allocator = &device->allocator;
    l.unit = SY__NEW(allocator, sy_unit);
    l.map = sy__alloc_array(allocator, l.view.n_values, sizeof(l.map[0]));
    if (l.unit == NULL || l.map == NULL) {
        sy__free_array(allocator, l.map, l.view.n_values, sizeof(l.map[0]));
        SY__DELETE(allocator, l.unit);
        return refuse_load(&l, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit");
    }
    memset(l.map, 0xff, l.view.n_values * sizeof(l.map[0])); /* SY_NO_VALUE */
    l.unit->device = device;
    l.unit->n_inputs = l.segment.n_inputs;
    l.unit->n_outputs = l.segment.n_outputs;
    l.unit->n_states = l.segment.n_states;
    sy__arena_init(&l.unit->arena, allocator, 0);
    status = build(&l);
    sy__free_array(allocator, l.map, l.view.n_values, sizeof(l.map[0]));
    if (status != SY_OK) {
        sy__arena_deinit(&l.unit->arena);
        SY__DELETE(allocator, l.unit);
        return status;
    }
    atomic_fetch_add(&device->live_handles, 1);
    if (out_info != NULL) {
        sy_unit_info info = {.header = SY_HEADER_INIT(sy_unit_info)};
        info.scratch_bytes = l.unit->scratch_bytes;
        sy__ref_open_write(out_info, &info, sizeof(info));
    }
    *out_unit = l.unit;
    return SY_OK;
}

sy_status sy__ref_unit_unload(sy_unit *unit) {
    if (unit == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_device *device = unit->device;
    sy__arena_deinit(&unit->arena);
    SY__DELETE(&device->allocator, unit);
    atomic_fetch_sub(&device->live_handles, 1);
    return SY_OK;
}
