/* SPDX-License-Identifier: Apache-2.0 */
/* Building a unit: steps in the order of the nodes, derived values in front of their first use. */
#include "adapter.h"
#include "fuse.h"
#include "xnnpack_region.h"

#include <string.h>

struct cpu_builder {
    sy_unit *unit;
    const sy_graph_view *view;
    const sy_segment *segment;
    bool dry;
};

bool cpu_builder_is_dry(const cpu_builder *builder) {
    return builder->dry;
}
const sy_device *cpu_builder_device(const cpu_builder *builder) {
    return builder->unit->device;
}
void cpu_builder_owns(cpu_builder *builder, uint64_t n_bytes) {
    builder->unit->weight_bytes += n_bytes;
}

static sy_status step_add(sy_unit *unit, const cpu_step *step) {
    void *steps = unit->steps;
    bool grown = kit_array_grow(&steps, unit->n_steps, &unit->steps_capacity, sizeof(*step));
    unit->steps = steps;
    if (!grown) {
        return kit_no_tables();
    }
    unit->steps[unit->n_steps++] = *step;
    return SY_OK;
}

/* From [rows, choices] of expert numbers: where each expert begins, the end, and every choice. */
static void order_shape(uint64_t n_experts, kit_value *value) {
    sy_dimension *rows = &value->dims[0];
    int32_t n_used = (int32_t)value->dims[1].bound, n_begins = (int32_t)n_experts + 1;
    value->type = SY_TYPE_I32;
    value->rank = 1;
    rows->bound = rows->bound * n_used + n_begins;
    rows->scale *= n_used;
    rows->offset = rows->offset * n_used + n_begins;
}

sy_status cpu_builder_derive(cpu_builder *builder, cpu_derivation kind, const cpu_step *step,
                             const cpu_params *params, uint32_t *out_value) {
    static const cpu_operator *const operators[] = {[CPU_DERIVE_QUANTISED] = &cpu_operator_quantise,
                                                    [CPU_DERIVE_F32] = &cpu_operator_widen,
                                                    [CPU_DERIVE_ROTATION] = &cpu_operator_rotation,
                                                    [CPU_DERIVE_EXPERT_ORDER] =
                                                        &cpu_operator_expert_order};
    sy_unit *unit = builder->unit;
    cpu_step made = {.operator= operators[kind], .i_node = step->i_node, .params = *params};
    memset(made.in, 0xff, sizeof(made.in));
    memset(made.out, 0xff, sizeof(made.out));
    bool is_rotation = kind == CPU_DERIVE_ROTATION;
    made.in[0] = step->in[kind == CPU_DERIVE_EXPERT_ORDER ? 2 : is_rotation ? 1 : 0];
    made.in[1] = is_rotation ? step->in[2] : SY_NO_VALUE;
    for (size_t i = 0; i < unit->n_steps; i++) {
        const cpu_step *old = &unit->steps[i];
        if (old->operator== made.operator&& memcmp(old->in, made.in, sizeof(made.in)) == 0 &&
            memcmp(&old->params, params, sizeof(*params)) == 0) {
            *out_value = old->out[0];
            return SY_OK;
        }
    }
    const kit_value *source = &unit->values.items[made.in[0]];
    kit_value value = {.type = SY_TYPE_F32, .rank = source->rank, .place = KIT_PLACE_SCRATCH};
    value.i_view = SY_NO_VALUE;
    value.first_step = value.last_step = (uint32_t)unit->n_steps;
    memcpy(value.dims, source->dims, sizeof(value.dims));
    if (is_rotation) {
        value.dims[value.rank++] = (sy_dimension){.bound = 2 * (int64_t)params->inner};
    } else if (kind == CPU_DERIVE_EXPERT_ORDER) {
        order_shape(params->n, &value);
    } else if (kind == CPU_DERIVE_QUANTISED) {
        value.type = SY_TYPE_U8;
        value.dims[value.rank - 1] =
            (sy_dimension){.bound = (int64_t)cpu_activation_row_bytes(params->k, params->planes)};
    }
    if (!kit_value_measure(&value)) {
        return kit_report(SY_INVALID_ARGUMENT, step->i_node, "a derived value is too large");
    }
    sy_status status = kit_values_add(&unit->values, &value, &made.out[0]);
    if (status == SY_OK) {
        kit_values_touch(&unit->values, made.in[0], (uint32_t)unit->n_steps);
        *out_value = made.out[0];
        status = step_add(unit, &made);
    }
    return status;
}

sy_status cpu_builder_space(cpu_builder *builder, const sy_value_view *like, int64_t width,
                            uint32_t *out_value) {
    sy_unit *unit = builder->unit;
    kit_value value = {.type = SY_TYPE_F32, .rank = like->rank, .place = KIT_PLACE_SCRATCH};
    value.i_view = SY_NO_VALUE;
    value.first_step = value.last_step = (uint32_t)unit->n_steps;
    memcpy(value.dims, like->dims, sizeof(value.dims));
    value.dims[value.rank - 1] = (sy_dimension){.bound = width};
    if (!kit_value_measure(&value)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "a scratch value is too large");
    }
    return kit_values_add(&unit->values, &value, out_value);
}

static sy_status value_of(cpu_builder *builder, uint32_t i_view, const sy_value_view *view,
                          bool is_output, uint32_t *out_index) {
    return kit_values_of_view(&builder->unit->values, builder->segment, i_view, view, is_output,
                              (uint32_t)builder->unit->n_steps, out_index);
}

static sy_status node_values(cpu_builder *builder, const kit_node *node, cpu_step *step) {
    sy_status status = SY_OK;
    memset(step->in, 0xff, sizeof(step->in));
    memset(step->out, 0xff, sizeof(step->out));
    for (uint32_t i = 0; status == SY_OK && i < node->n_in; i++) {
        if (node->has_in[i]) {
            status = value_of(builder, node->view.inputs[i], &node->in[i], false, &step->in[i]);
        }
    }
    return status;
}

static void unit_finish_step(sy_unit *unit, const cpu_step *step) {
    for (uint32_t i = 0; i < KIT_INPUTS_MAX; i++) {
        kit_values_touch(&unit->values, step->in[i], (uint32_t)unit->n_steps);
    }
    for (uint32_t i = 0; i < KIT_OUTPUTS_MAX; i++) {
        kit_values_touch(&unit->values, step->out[i], (uint32_t)unit->n_steps);
    }
    kit_values_touch(&unit->values, step->params.derived, (uint32_t)unit->n_steps);
}

static sy_status node_add(cpu_builder *builder, uint32_t i_node) {
    sy_unit *unit = builder->unit;
    kit_node node;
    kit_answer answer;
    cpu_step step = {.i_node = i_node};
    bool fits = false;
    sy_status status = kit_node_read(builder->view, i_node, &node, &fits);
    if (status != SY_OK) {
        return status;
    }
    step.operator= fits ? cpu_operator_check(unit->device, &node, &step.params, &answer) : NULL;
    if (step.operator== NULL) {
        return kit_report(SY_UNIMPLEMENTED, i_node, "node %u does not run here: %s", i_node,
                          fits ? answer.why : "too many inputs or outputs");
    }
    status = node_values(builder, &node, &step);
    if (status == SY_OK && step.operator->prepare != NULL) {
        status = step.operator->prepare(builder, &node, &step);
    }
    for (uint32_t i = 0; status == SY_OK && i < node.n_out; i++) {
        status = value_of(builder, node.view.outputs[i], &node.out[i], true, &step.out[i]);
    }
    uint64_t worker_bytes = 0;
    if (status == SY_OK && step.operator->worker_bytes != NULL) {
        worker_bytes = (step.operator->worker_bytes(&node, &step.params) + 63) & ~(uint64_t)63;
    }
    unit->worker_bytes = worker_bytes > unit->worker_bytes ? worker_bytes : unit->worker_bytes;
    if (status == SY_OK && step.operator->is_view) {
        kit_values_alias(&unit->values, step.in[0], step.out[0]);
    }
    if (status == SY_OK) {
        unit_finish_step(unit, &step);
        status = step_add(unit, &step);
    }
    return status;
}

const sy_graph_view *cpu_builder_view(const cpu_builder *builder) {
    return builder->view;
}
const sy_segment *cpu_builder_segment(const cpu_builder *builder) {
    return builder->segment;
}
sy_status cpu_builder_value(cpu_builder *builder, uint32_t i_view, bool is_output,
                            uint32_t *out_index) {
    sy_value_view view;
    sy_status status = builder->view->value(builder->view->graph, i_view, &view);
    return status == SY_OK ? value_of(builder, i_view, &view, is_output, out_index) : status;
}
void cpu_builder_touch(cpu_builder *builder, uint32_t i_value) {
    kit_values_touch(&builder->unit->values, i_value, (uint32_t)builder->unit->n_steps);
}
sy_status cpu_builder_step(cpu_builder *builder, const cpu_step *step) {
    return step_add(builder->unit, step);
}
sy_status cpu_builder_node(cpu_builder *builder, uint32_t i_node) {
    return node_add(builder, i_node);
}

static void unit_has_states(sy_unit *unit) {
    for (size_t i = 0; i < unit->values.n; i++) {
        unit->has_states = unit->has_states || unit->values.items[i].place == KIT_PLACE_STATE;
    }
}

static sy_status program_build(sy_device *device, const sy_graph_view *view,
                               const sy_segment *segment, bool dry, sy_unit **out_unit) {
    sy_unit *unit = kit_alloc(sizeof(*unit));
    if (unit == NULL) {
        return kit_no_tables();
    }
    cpu_builder builder = {unit, view, segment, dry};
    sy_status status = SY_OK;
    unit->device = device;
    unit->n_inputs = segment->n_inputs;
    unit->n_outputs = segment->n_outputs;
    unit->n_states = segment->n_states;
    unit->n_workers = device->n_workers;
    for (uint32_t i = 0; status == SY_OK && i < segment->n_nodes;) {
        uint32_t n_plain = 0, n_region = 0;
        status = kit_cancelled() ? SY_CANCELLED : cpu_region_add(&builder, i, &n_plain, &n_region);
        for (uint32_t k = 0; status == SY_OK && k < n_plain; k++) {
            status = kit_cancelled() ? SY_CANCELLED : node_add(&builder, segment->nodes[i + k]);
        }
        i += n_plain + n_region;
    }
    unit_has_states(unit);
    cpu_fuse_linear_adapters(unit);
    if (status == SY_OK) {
        status = cpu_fuse_linear(unit);
    }
    cpu_fuse_norm(unit);
    cpu_fuse_attention(unit);
    cpu_fuse_adapters(unit);
    if (status == SY_OK) {
        status = cpu_unit_place(unit);
    }
    if (status == SY_OK && unit->values.n > 0) {
        unit->tensors = kit_alloc(unit->values.n * sizeof(*unit->tensors));
        status = unit->tensors != NULL ? SY_OK : kit_no_tables();
    }
    if (status != SY_OK) {
        cpu_unit_free(unit);
        return status;
    }
    *out_unit = unit;
    return SY_OK;
}

/* XNNPACK packs weights into its objects: a second program would hold them twice. */
static bool has_objects(const sy_unit *unit) {
    for (size_t i = 0; i < unit->n_steps; i++) {
        if (unit->steps[i].params.object != NULL) {
            return true;
        }
    }
    return false;
}

/* The program of steps without adapters. */
static sy_status plain_build(sy_unit *unit, const sy_graph_view *view, const sy_segment *segment,
                             bool dry) {
    cpu_plain_view plain;
    if (has_objects(unit)) {
        return SY_OK;
    }
    sy_status status = cpu_plain_view_init(view, segment, &plain);
    if (status == SY_OK && plain.n_adapters > 0 && plain.is_possible) {
        status = program_build(unit->device, &plain.view, &plain.segment, dry, &unit->plain);
    }
    cpu_plain_view_deinit(&plain);
    if (status == SY_OK && unit->plain != NULL) {
        uint64_t n_scratch = unit->plain->scratch_bytes;
        unit->scratch_bytes = n_scratch > unit->scratch_bytes ? n_scratch : unit->scratch_bytes;
        unit->weight_bytes += unit->plain->weight_bytes;
    }
    return status;
}

sy_status cpu_unit_build(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                         bool dry, sy_unit **out_unit) {
    sy_unit *unit = NULL;
    sy_status status = program_build(device, view, segment, dry, &unit);
    if (status != SY_OK) {
        return status;
    }
    status = plain_build(unit, view, segment, dry);
    if (status != SY_OK) {
        cpu_unit_free(unit);
        return status;
    }
    *out_unit = unit;
    return SY_OK;
}
