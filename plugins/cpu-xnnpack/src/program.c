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

/* Makes room for one more element of an array. */
static bool grow(void **inout_array, size_t n, size_t *inout_capacity, size_t size) {
    if (n < *inout_capacity) {
        return true;
    }
    size_t capacity = *inout_capacity > 0 ? *inout_capacity * 2 : 64;
    void *larger = capacity <= SIZE_MAX / 2 / size ? cpu_alloc(capacity * size) : NULL;
    if (larger == NULL) {
        return false;
    }
    if (n > 0) {
        memcpy(larger, *inout_array, n * size);
    }
    cpu_release(*inout_array, *inout_capacity * size);
    *inout_array = larger;
    *inout_capacity = capacity;
    return true;
}

static sy_status no_memory(void) {
    return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a unit's tables");
}

static sy_status value_add(sy_unit *unit, const cpu_value *value, uint32_t *out_index) {
    void *values = unit->values;
    bool grown = grow(&values, unit->n_values, &unit->values_capacity, sizeof(*value));
    unit->values = values;
    if (!grown) {
        return no_memory();
    }
    *out_index = (uint32_t)unit->n_values;
    unit->values[unit->n_values++] = *value;
    return SY_OK;
}

static sy_status step_add(sy_unit *unit, const cpu_step *step) {
    void *steps = unit->steps;
    bool grown = grow(&steps, unit->n_steps, &unit->steps_capacity, sizeof(*step));
    unit->steps = steps;
    if (!grown) {
        return no_memory();
    }
    unit->steps[unit->n_steps++] = *step;
    return SY_OK;
}

/* Bytes of a value at its bounds; false when the shape makes no sense. */
static bool bound_bytes(cpu_value *value) {
    uint64_t n = 1, width = 1, row_bytes = 0;
    if (value->rank > SY_MAX_RANK) {
        return false;
    }
    for (uint32_t i = 0; i < value->rank; i++) {
        int64_t bound = value->dims[i].bound;
        if (bound < 0 || (i + 1 < value->rank && __builtin_mul_overflow(n, (uint64_t)bound, &n))) {
            return false;
        }
        width = (uint64_t)bound;
    }
    width = value->rank == 0 ? 1 : width;
    return cpu_type_row_bytes(value->type, width, &row_bytes) &&
           !__builtin_mul_overflow(n, row_bytes, &value->n_bytes) &&
           value->n_bytes < UINT64_MAX / 4;
}

static bool index_of(const uint32_t *list, uint32_t n, uint32_t wanted, uint32_t *out_index) {
    for (uint32_t i = 0; i < n; i++) {
        if (list[i] == wanted) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

static sy_status place_from_segment(const sy_segment *segment, sy_value_kind kind,
                                    cpu_value *value) {
    if (kind == SY_VALUE_STATE) {
        value->place = CPU_PLACE_STATE;
        return index_of(segment->states, segment->n_states, value->i_view, &value->index)
                   ? SY_OK
                   : cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                                "state value %u is missing from the segment", value->i_view);
    }
    if (index_of(segment->inputs, segment->n_inputs, value->i_view, &value->index)) {
        value->place = CPU_PLACE_INPUT;
    } else if (index_of(segment->outputs, segment->n_outputs, value->i_view, &value->index)) {
        value->place = CPU_PLACE_OUTPUT;
    } else {
        value->place = CPU_PLACE_SCRATCH;
    }
    return SY_OK;
}

/* The unit value of a value of the view, made on first sight. is_output: a node here makes it. */
static sy_status value_of(cpu_builder *builder, uint32_t i_view, const sy_value_view *view,
                          bool is_output, uint32_t *out_index) {
    sy_unit *unit = builder->unit;
    for (uint32_t i = 0; i < unit->n_values; i++) {
        if (unit->values[i].i_view == i_view) {
            *out_index = i;
            return SY_OK;
        }
    }
    cpu_value value = {.type = view->type, .rank = view->rank, .i_view = i_view};
    value.first_step = value.last_step = (uint32_t)unit->n_steps;
    memcpy(value.dims, view->dims, sizeof(value.dims));
    if (view->kind != SY_VALUE_STATE && !bound_bytes(&value)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "value %u has an impossible shape",
                          i_view);
    }
    if (view->kind == SY_VALUE_WEIGHT) {
        value.place = CPU_PLACE_WEIGHT;
        value.weight = cpu_weight_bytes(view);
        if (value.weight == NULL || view->data.length_bytes < value.n_bytes) {
            return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "constant %u lacks its bytes",
                              i_view);
        }
        return value_add(unit, &value, out_index);
    }
    sy_status status = place_from_segment(builder->segment, view->kind, &value);
    if (status == SY_OK && value.place == CPU_PLACE_SCRATCH && !is_output) {
        status =
            cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                       "value %u is neither made in the segment nor one of its inputs", i_view);
    }
    return status == SY_OK ? value_add(unit, &value, out_index) : status;
}

/* A view of the same bytes, where nobody outside reads the output by itself. */
static void make_alias(sy_unit *unit, const cpu_step *step) {
    cpu_value *out = &unit->values[step->out[0]];
    uint32_t root = step->in[0];
    while (unit->values[root].place == CPU_PLACE_ALIAS) {
        root = unit->values[root].index;
    }
    if (out->place == CPU_PLACE_SCRATCH && unit->values[root].place != CPU_PLACE_STATE) {
        out->place = CPU_PLACE_ALIAS;
        out->index = root;
    }
}

static void touch(sy_unit *unit, uint32_t i_value) {
    while (i_value != SY_NO_VALUE) {
        cpu_value *value = &unit->values[i_value];
        value->last_step = (uint32_t)unit->n_steps;
        i_value = value->place == CPU_PLACE_ALIAS ? value->index : SY_NO_VALUE;
    }
}

/* From [rows, choices] of expert numbers: where each expert begins, the end, and every choice. */
static void order_shape(uint64_t n_experts, cpu_value *value) {
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
    const cpu_value *source = &unit->values[made.in[0]];
    cpu_value value = {.type = SY_TYPE_F32, .rank = source->rank, .place = CPU_PLACE_SCRATCH};
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
    if (!bound_bytes(&value)) {
        return cpu_report(SY_INVALID_ARGUMENT, step->i_node, "a derived value is too large");
    }
    sy_status status = value_add(unit, &value, &made.out[0]);
    if (status == SY_OK) {
        touch(unit, made.in[0]);
        *out_value = made.out[0];
        status = step_add(unit, &made);
    }
    return status;
}

sy_status cpu_builder_space(cpu_builder *builder, const sy_value_view *like, int64_t width,
                            uint32_t *out_value) {
    sy_unit *unit = builder->unit;
    cpu_value value = {.type = SY_TYPE_F32, .rank = like->rank, .place = CPU_PLACE_SCRATCH};
    value.i_view = SY_NO_VALUE;
    value.first_step = value.last_step = (uint32_t)unit->n_steps;
    memcpy(value.dims, like->dims, sizeof(value.dims));
    value.dims[value.rank - 1] = (sy_dimension){.bound = width};
    if (!bound_bytes(&value)) {
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "a scratch value is too large");
    }
    return value_add(unit, &value, out_value);
}

static sy_status node_values(cpu_builder *builder, const cpu_node *node, cpu_step *step) {
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
    for (uint32_t i = 0; i < CPU_INPUTS_MAX; i++) {
        touch(unit, step->in[i]);
    }
    for (uint32_t i = 0; i < CPU_OUTPUTS_MAX; i++) {
        touch(unit, step->out[i]);
    }
    touch(unit, step->params.derived);
}

static sy_status node_add(cpu_builder *builder, uint32_t i_node) {
    sy_unit *unit = builder->unit;
    cpu_node node;
    cpu_answer answer;
    cpu_step step = {.i_node = i_node};
    bool fits = false;
    sy_status status = cpu_node_read(builder->view, i_node, &node, &fits);
    if (status != SY_OK) {
        return status;
    }
    step.operator= fits ? cpu_operator_check(unit->device, &node, &step.params, &answer) : NULL;
    if (step.operator== NULL) {
        return cpu_report(SY_UNIMPLEMENTED, i_node, "node %u does not run here: %s", i_node,
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
        make_alias(unit, &step);
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
    touch(builder->unit, i_value);
}
sy_status cpu_builder_step(cpu_builder *builder, const cpu_step *step) {
    return step_add(builder->unit, step);
}
sy_status cpu_builder_node(cpu_builder *builder, uint32_t i_node) {
    return node_add(builder, i_node);
}

static void unit_has_states(sy_unit *unit) {
    for (size_t i = 0; i < unit->n_values; i++) {
        unit->has_states = unit->has_states || unit->values[i].place == CPU_PLACE_STATE;
    }
}

static sy_status program_build(sy_device *device, const sy_graph_view *view,
                               const sy_segment *segment, bool dry, sy_unit **out_unit) {
    sy_unit *unit = cpu_alloc(sizeof(*unit));
    if (unit == NULL) {
        return no_memory();
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
        status = cpu_cancelled() ? SY_CANCELLED : cpu_region_add(&builder, i, &n_plain, &n_region);
        for (uint32_t k = 0; status == SY_OK && k < n_plain; k++) {
            status = cpu_cancelled() ? SY_CANCELLED : node_add(&builder, segment->nodes[i + k]);
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
    if (status == SY_OK && unit->n_values > 0) {
        unit->tensors = cpu_alloc(unit->n_values * sizeof(*unit->tensors));
        status = unit->tensors != NULL ? SY_OK : no_memory();
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
