/* SPDX-License-Identifier: Apache-2.0 */
/* Building a unit: the launches of its nodes, in their order. */
#include "record.h"

#include <string.h>

struct gpu_builder {
    sy_unit *unit;
    const sy_graph_view *view;
    const sy_segment *segment;
    uint32_t i_step; /* number of the node in the segment */
    gpu_build_mode mode;
    uint32_t
        *last_reads; /* of each value of the view: 1 + the last step that reads it, made late */
};

const sy_device *gpu_build_device(const gpu_build *build) {
    return build->builder->unit->device;
}

const kit_value *gpu_build_value(const gpu_build *build, uint32_t i_value) {
    return &build->builder->unit->values.items[i_value];
}

const uint8_t *gpu_build_constant(const gpu_build *build, uint32_t i_value) {
    const kit_values *values = &build->builder->unit->values;
    const kit_value *value = &values->items[kit_values_root(values, i_value)];
    return value->place == KIT_PLACE_WEIGHT ? value->weight : NULL;
}

uint32_t gpu_group_size(const sy_device *device, uint32_t wanted) {
    uint32_t size = 1;
    while (size * 2 <= wanted && size * 2 <= device->limits->group_most) {
        size *= 2;
    }
    return size;
}

uint32_t gpu_float_bits(double number) {
    float f = (float)number;
    uint32_t bits = 0;
    memcpy(&bits, &f, sizeof(bits));
    return bits;
}

/* ---- launches ---- */
sy_status gpu_launch_begin(gpu_build *build, gpu_kernel kernel, const uint32_t *constants,
                           uint32_t n_constants, gpu_size_function size, uint32_t n_words,
                           gpu_launch *out_launch) {
    gpu_builder *builder = build->builder;
    if (n_words > GPU_LAUNCH_WORDS_MOST || n_constants > GPU_CONSTANTS_MAX) {
        return kit_report(SY_INTERNAL, build->i_node, "a launch has too many parameters");
    }
    *out_launch =
        (gpu_launch){.kernel = kernel, .size = size, .n_words = n_words, .i_node = build->i_node};
    return builder->mode == GPU_BUILD_PRICE
               ? SY_OK
               : gpu_pipeline_create(builder->unit->device->driver, kernel, constants, n_constants,
                                     &out_launch->pipeline);
}

static void operand_add(gpu_launch *launch, gpu_operand operand) {
    if (launch->n_operands < GPU_BINDINGS_MAX) {
        launch->operands[launch->n_operands++] = operand;
    }
}

void gpu_launch_value(gpu_launch *launch, uint32_t i_value) {
    gpu_operand_kind kind = i_value == SY_NO_VALUE ? GPU_OPERAND_NONE : GPU_OPERAND_VALUE;
    operand_add(launch, (gpu_operand){.kind = kind, .i_value = i_value});
}

void gpu_launch_weight(gpu_launch *launch, const gpu_weight *weight, uint32_t i_piece) {
    operand_add(launch, (gpu_operand){.kind = GPU_OPERAND_WEIGHT,
                                      .i_value = SY_NO_VALUE,
                                      .weight = weight,
                                      .i_piece = i_piece});
}

void gpu_launch_part(gpu_launch *launch, uint32_t i_value) {
    if (launch->n_parts < GPU_LAUNCH_PARTS) {
        launch->parts[launch->n_parts++] = i_value;
    }
}

void gpu_launch_state(gpu_launch *launch, uint32_t i_value) {
    operand_add(launch, (gpu_operand){.kind = GPU_OPERAND_STATE, .i_value = i_value});
    gpu_launch_part(launch, i_value);
}

void gpu_launch_tables(gpu_launch *launch) {
    operand_add(launch, (gpu_operand){.kind = GPU_OPERAND_TABLES, .i_value = SY_NO_VALUE});
}

void gpu_launch_adapters(gpu_launch *launch) {
    operand_add(launch, (gpu_operand){.kind = GPU_OPERAND_ADAPTERS, .i_value = SY_NO_VALUE});
    launch->has_adapters = true;
}

/* Constants of the graph that are read as values. */
static sy_status constants_bind(gpu_build *build, gpu_launch *launch) {
    const kit_values *values = &build->builder->unit->values;
    for (uint32_t i = 0; i < launch->n_operands; i++) {
        gpu_operand *operand = &launch->operands[i];
        if (operand->kind != GPU_OPERAND_VALUE ||
            gpu_build_constant(build, operand->i_value) == NULL) {
            continue;
        }
        uint32_t i_root = kit_values_root(values, operand->i_value);
        const gpu_weight *weight = NULL;
        sy_status status = gpu_build_weight(build, i_root, GPU_WEIGHT_PLAIN, &weight);
        if (status == SY_OK && weight->n_pieces != 1) {
            status =
                kit_report(SY_UNIMPLEMENTED, build->i_node,
                           "constant %u is longer than one binding", values->items[i_root].i_view);
        }
        if (status != SY_OK) {
            return status;
        }
        operand->kind = GPU_OPERAND_WEIGHT;
        operand->weight = weight;
        operand->i_piece = 0;
    }
    return SY_OK;
}

sy_status gpu_launch_end(gpu_build *build, const gpu_launch *launch) {
    sy_unit *unit = build->builder->unit;
    gpu_launch kept = *launch;
    void *launches = unit->launches;
    sy_status status = constants_bind(build, &kept);
    if (status == SY_OK) {
        bool grown =
            kit_array_grow(&launches, unit->n_launches, &unit->launches_capacity, sizeof(kept));
        unit->launches = launches;
        status = grown ? SY_OK : kit_no_tables();
    }
    if (status != SY_OK) {
        gpu_pipeline_keep(unit->device, kept.pipeline);
        return status;
    }
    unit->has_adapters = unit->has_adapters || kept.has_adapters;
    unit->launches[unit->n_launches++] = kept;
    return SY_OK;
}

/* ---- constants and scratch ---- */
static sy_status weight_keep(sy_unit *unit, gpu_weight *weight, const gpu_weight **out_weight) {
    void *weights = unit->weights;
    bool grown =
        kit_array_grow(&weights, unit->n_weights, &unit->weights_capacity, sizeof(*unit->weights));
    unit->weights = weights;
    if (!grown) {
        gpu_weight_drop(unit->device, weight);
        return kit_no_tables();
    }
    unit->weights[unit->n_weights++] = weight;
    unit->weight_bytes += weight->n_bytes;
    *out_weight = weight;
    return SY_OK;
}

sy_status gpu_build_weight(gpu_build *build, uint32_t i_value, gpu_weight_form form,
                           const gpu_weight **out_weight) {
    sy_unit *unit = build->builder->unit;
    const kit_value *value = &unit->values.items[kit_values_root(&unit->values, i_value)];
    uint64_t rows = 1, columns = 1;
    for (uint32_t d = 0; d < value->rank; d++) {
        rows *= d + 1 < value->rank ? (uint64_t)value->dims[d].bound : 1;
        columns = (uint64_t)value->dims[d].bound;
    }
    const gpu_constant constant = {value->weight, value->type, form, rows, columns};
    for (size_t i = 0; i < unit->n_weights; i++) {
        if (gpu_constant_same(&unit->weights[i]->constant, &constant)) {
            *out_weight = unit->weights[i];
            return SY_OK;
        }
    }
    gpu_weight *weight = NULL;
    sy_status status =
        gpu_weight_take(unit->device, &constant, build->builder->mode != GPU_BUILD_RUN, &weight);
    return status == SY_OK ? weight_keep(unit, weight, out_weight) : status;
}

sy_status gpu_build_made(gpu_build *build, const void *bytes, sy_element_type type, uint64_t rows,
                         uint64_t columns, const gpu_weight **out_weight) {
    sy_unit *unit = build->builder->unit;
    gpu_weight *weight = NULL;
    const gpu_constant constant = {bytes, type, GPU_WEIGHT_PLAIN, rows, columns};
    sy_status status =
        gpu_weight_make(unit->device, &constant, build->builder->mode != GPU_BUILD_RUN, &weight);
    return status == SY_OK ? weight_keep(unit, weight, out_weight) : status;
}

sy_status gpu_build_space(gpu_build *build, sy_element_type type, uint32_t rank,
                          const sy_dimension *dims, uint32_t *out_value) {
    kit_value value = {.type = type,
                       .rank = rank,
                       .place = KIT_PLACE_SCRATCH,
                       .i_view = SY_NO_VALUE,
                       .first_step = build->builder->i_step,
                       .last_step = build->builder->i_step};
    memcpy(value.dims, dims, rank * sizeof(*dims));
    if (!kit_value_measure(&value)) {
        return kit_report(SY_INVALID_ARGUMENT, build->i_node, "a scratch value is too large");
    }
    return kit_values_add(&build->builder->unit->values, &value, out_value);
}

/* False where there is no memory, or no node. */
static bool last_reads_find(gpu_builder *builder) {
    const sy_graph_view *view = builder->view;
    if (builder->last_reads == NULL) {
        builder->last_reads = kit_alloc(view->n_values * sizeof(uint32_t));
    }
    bool is_found = builder->last_reads != NULL;
    for (uint32_t i = 0; is_found && i < builder->segment->n_nodes; i++) {
        sy_node_view node;
        is_found = view->node(view->graph, builder->segment->nodes[i], &node) == SY_OK;
        for (uint32_t k = 0; is_found && k < node.n_inputs; k++) {
            if (node.inputs[k] < view->n_values) {
                builder->last_reads[node.inputs[k]] = i + 1;
            }
        }
    }
    return is_found;
}

bool gpu_build_share(gpu_build *build, uint32_t i_in, uint32_t i_out) {
    gpu_builder *builder = build->builder;
    kit_values *values = &builder->unit->values;
    kit_value *in = &values->items[i_in], *out = &values->items[i_out];
    bool can = in->place == KIT_PLACE_SCRATCH && in->i_view != SY_NO_VALUE &&
               (out->place == KIT_PLACE_SCRATCH || out->place == KIT_PLACE_OUTPUT) &&
               (builder->last_reads != NULL || last_reads_find(builder)) &&
               builder->last_reads[in->i_view] == builder->i_step + 1;
    for (size_t i = 0; can && i < values->n; i++) {
        can = values->items[i].place != KIT_PLACE_ALIAS || values->items[i].index != i_in;
    }
    if (can) {
        out->first_step = in->first_step;
        kit_values_alias(values, i_out, i_in);
    }
    return can;
}

/* ---- nodes ---- */
static sy_status node_values(gpu_builder *builder, const kit_node *node, gpu_build *build) {
    kit_values *values = &builder->unit->values;
    sy_status status = SY_OK;
    memset(build->in, 0xff, sizeof(build->in));
    memset(build->out, 0xff, sizeof(build->out));
    for (uint32_t i = 0; status == SY_OK && i < node->n_in; i++) {
        if (node->has_in[i]) {
            status = kit_values_of_view(values, builder->segment, node->view.inputs[i],
                                        &node->in[i], false, builder->i_step, &build->in[i]);
        }
    }
    for (uint32_t i = 0; status == SY_OK && i < node->n_out; i++) {
        status = kit_values_of_view(values, builder->segment, node->view.outputs[i], &node->out[i],
                                    true, builder->i_step, &build->out[i]);
    }
    return status;
}

static void node_touch(gpu_builder *builder, const gpu_build *build) {
    kit_values *values = &builder->unit->values;
    for (uint32_t i = 0; i < KIT_INPUTS_MAX; i++) {
        kit_values_touch(values, build->in[i], builder->i_step);
    }
    for (uint32_t i = 0; i < KIT_OUTPUTS_MAX; i++) {
        kit_values_touch(values, build->out[i], builder->i_step);
    }
}

static sy_status node_add(gpu_builder *builder, uint32_t i_node) {
    kit_node node;
    kit_answer answer;
    gpu_build build = {.builder = builder, .node = &node, .i_node = i_node};
    bool fits = false;
    sy_status status = kit_node_read(builder->view, i_node, &node, &fits);
    if (status != SY_OK) {
        return status;
    }
    build.op = fits ? gpu_operator_check(builder->unit->device, &node, &answer) : NULL;
    if (build.op == NULL) {
        return kit_report(SY_UNIMPLEMENTED, i_node, "node %u does not run here: %s", i_node,
                          fits ? answer.why : "too many inputs or outputs");
    }
    status = node_values(builder, &node, &build);
    if (status != SY_OK) {
        return status;
    }
    if (build.op->build == NULL) {
        kit_values_alias(&builder->unit->values, build.in[0], build.out[0]);
    }
    node_touch(builder, &build);
    if (build.op->build != NULL) {
        return build.op->build(&build);
    }
    return gpu_build_value(&build, build.out[0])->place == KIT_PLACE_ALIAS
               ? SY_OK
               : gpu_build_copy(&build, build.in[0], build.out[0]);
}

/* ---- units ---- */
void gpu_unit_free(sy_unit *unit) {
    gpu_replay_destroy(unit);
    for (size_t i = 0; i < unit->n_launches; i++) {
        gpu_pipeline_keep(unit->device, unit->launches[i].pipeline);
    }
    for (size_t i = 0; i < unit->n_weights; i++) {
        gpu_weight_drop(unit->device, unit->weights[i]);
    }
    kit_release(unit->shapes, unit->values.n * sizeof(*unit->shapes));
    kit_release(unit->launches, unit->launches_capacity * sizeof(*unit->launches));
    kit_release(unit->weights, unit->weights_capacity * sizeof(*unit->weights));
    kit_values_deinit(&unit->values);
    kit_release(unit, sizeof(*unit));
}

static sy_status unit_finish(sy_unit *unit) {
    uint64_t alignment = unit->device->limits->binding_alignment_bytes;
    for (size_t i = 0; i < unit->values.n; i++) {
        kit_value *value = &unit->values.items[i];
        unit->has_states = unit->has_states || value->place == KIT_PLACE_STATE;
        if (value->place == KIT_PLACE_SCRATCH) { /* kernels bind whole words, at least one */
            value->n_bytes = value->n_bytes > 4 ? (value->n_bytes + 3) & ~(uint64_t)3 : 4;
        }
    }
    unit->scratch_bytes = kit_values_place(&unit->values, alignment > 64 ? alignment : 64);
    if (unit->values.n > 0) {
        unit->shapes = kit_alloc(unit->values.n * sizeof(*unit->shapes));
    }
    return unit->shapes != NULL || unit->values.n == 0 ? SY_OK : kit_no_tables();
}

sy_status gpu_unit_build(sy_device *device, const sy_graph_view *view, const sy_segment *segment,
                         gpu_build_mode mode, sy_unit **out_unit) {
    sy_unit *unit = kit_alloc(sizeof(*unit));
    if (unit == NULL) {
        return kit_no_tables();
    }
    gpu_builder builder = {.unit = unit, .view = view, .segment = segment, .mode = mode};
    sy_status status = SY_OK;
    unit->device = device;
    unit->n_inputs = segment->n_inputs;
    unit->n_outputs = segment->n_outputs;
    unit->n_states = segment->n_states;
    for (uint32_t i = 0; status == SY_OK && i < segment->n_nodes; i++) {
        builder.i_step = i;
        status = kit_cancelled() ? SY_CANCELLED : node_add(&builder, segment->nodes[i]);
    }
    kit_release(builder.last_reads, view->n_values * sizeof(*builder.last_reads));
    status = status == SY_OK ? unit_finish(unit) : status;
    if (status == SY_OK && mode == GPU_BUILD_RUN) {
        status = gpu_replay_create(unit, &unit->replay);
    }
    if (status != SY_OK) {
        gpu_unit_free(unit);
        return status;
    }
    *out_unit = unit;
    return SY_OK;
}
