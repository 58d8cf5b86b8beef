/* SPDX-License-Identifier: Apache-2.0 */
/* Finding regions and making their steps. */
#include "xnnpack_region.h"

#ifdef CPU_HAVE_XNNPACK

#include <string.h>

/* ---- which nodes ---- */
static bool node_fits(cpu_builder *builder, uint32_t position, cpu_region_node *out) {
    const sy_device *device = cpu_builder_device(builder);
    const sy_segment *segment = cpu_builder_segment(builder);
    cpu_params params;
    kit_answer answer;
    bool fits = false;
    memset(out, 0, sizeof(*out));
    return kit_node_read(cpu_builder_view(builder), segment->nodes[position], &out->node, &fits) ==
               SY_OK &&
           fits && cpu_operator_check(device, &out->node, &params, &answer) != NULL &&
           cpu_image_read(device, &out->node, &out->image, &answer);
}

static bool is_constant(const cpu_region_node *n) {
    return n->image.kind == CPU_IMAGE_DEQUANTIZE && n->node.in[0].kind == SY_VALUE_WEIGHT;
}

/* All nodes of a region cut their values into pictures in the same way, or none does. */
static bool batch_agrees(cpu_region_builder *b, uint32_t n, const cpu_region_node *added) {
    const cpu_image_node *image = &added->image;
    if (is_constant(added)) {
        return true;
    }
    bool is_first = true;
    for (uint32_t i = 0; i < n; i++) {
        is_first = is_first && is_constant(&b->nodes[i]);
    }
    if (is_first) {
        b->is_batched = image->is_batched;
        b->batch = image->batch;
    }
    return b->is_batched == image->is_batched &&
           (!b->is_batched || kit_dimension_same(&b->batch, &image->batch));
}

/* Whether nodes outside of [first, first + n) or other units read a value. */
static bool is_read_outside(cpu_builder *builder, uint32_t i_view, uint32_t first, uint32_t n) {
    const sy_segment *segment = cpu_builder_segment(builder);
    const sy_graph_view *view = cpu_builder_view(builder);
    sy_node_view node;
    for (uint32_t i = 0; i < segment->n_outputs; i++) {
        if (segment->outputs[i] == i_view) {
            return true;
        }
    }
    for (uint32_t i = 0; i < segment->n_nodes; i++) {
        if (i >= first && i - first < n) {
            continue;
        }
        if (view->node(view->graph, segment->nodes[i], &node) != SY_OK) {
            return true; /* on the safe side */
        }
        for (uint32_t k = 0; k < node.n_inputs; k++) {
            if (node.inputs[k] == i_view) {
                return true;
            }
        }
    }
    return false;
}

/* The byte value of a node that quantises or dequantises at run time. */
static bool byte_of(const cpu_region_node *n, uint32_t *out_value) {
    if (n->image.kind == CPU_IMAGE_QUANTIZE) {
        *out_value = n->node.view.outputs[0];
        return true;
    }
    *out_value = n->node.view.inputs[0];
    return n->image.kind == CPU_IMAGE_DEQUANTIZE && !is_constant(n);
}

static bool factors_equal(const kit_node *a, const kit_node *b) {
    bool has_a = a->n_in > 2 && a->has_in[2], has_b = b->n_in > 2 && b->has_in[2];
    uint8_t zero_a = has_a ? *kit_weight_bytes(&a->in[2]) : 0;
    uint8_t zero_b = has_b ? *kit_weight_bytes(&b->in[2]) : 0;
    return zero_a == zero_b &&
           memcmp(kit_weight_bytes(&a->in[1]), kit_weight_bytes(&b->in[1]), 4) == 0;
}

/* One value must not be read with two scales. */
static bool factors_agree(const cpu_region_node *nodes, uint32_t n, const cpu_region_node *added) {
    uint32_t value = 0, other = 0;
    if (!byte_of(added, &value)) {
        return true;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (byte_of(&nodes[i], &other) && other == value &&
            !factors_equal(&nodes[i].node, &added->node)) {
            return false;
        }
    }
    return true;
}

/* ---- values ---- */
static uint32_t value_find(cpu_region_builder *b, uint32_t i_view) {
    for (uint32_t i = 0; i < b->n_values; i++) {
        if (b->values[i].i_view == i_view) {
            return i;
        }
    }
    return CPU_XNN_NONE;
}

/* Dimensions of rank 3 and 4 become [n, height, width, channels]. */
static void layout_of(const sy_value_view *view, bool is_batched, cpu_region_value *out) {
    out->rank = view->rank;
    for (uint32_t i = 0; i < view->rank; i++) {
        out->dims[i] = (size_t)view->dims[i].bound;
    }
    if (view->rank >= 3) {
        bool flat = view->rank == 3;
        out->rank = 4;
        out->dims[0] = (size_t)view->dims[0].bound;
        out->dims[1] = flat ? 1 : (size_t)view->dims[2].bound;
        out->dims[2] = (size_t)view->dims[flat ? 2 : 3].bound;
        out->dims[3] = (size_t)view->dims[1].bound;
    }
    if (is_batched && view->rank > 0 && view->dims[0].symbol != 0) {
        out->dims[0] = 1;
    }
}

static uint32_t value_add(cpu_region_builder *b, uint32_t i_view, const sy_value_view *view,
                          bool is_made) {
    uint32_t found = value_find(b, i_view);
    if (found != CPU_XNN_NONE) {
        return found;
    }
    cpu_constant constant;
    cpu_region_value *v = &b->values[b->n_values];
    memset(v, 0, sizeof(*v));
    v->i_view = i_view;
    v->view = *view;
    v->id_float = v->id_byte = v->i_byte = v->i_border = CPU_XNN_NONE;
    v->is_constant = cpu_constant_find(cpu_builder_view(b->builder), i_view, &constant);
    v->is_input = !is_made && !v->is_constant;
    layout_of(view, b->is_batched, v);
    return b->n_values++;
}

static void values_read(cpu_region_builder *b) {
    for (uint32_t i = 0; i < b->n_nodes; i++) {
        cpu_region_node *n = &b->nodes[i];
        for (uint32_t k = 0; k < n->node.n_in; k++) {
            n->in[k] = n->node.has_in[k]
                           ? value_add(b, n->node.view.inputs[k], &n->node.in[k], false)
                           : CPU_XNN_NONE;
        }
        n->out = value_add(b, n->node.view.outputs[0], &n->node.out[0], true);
        n->is_done = is_constant(n);
    }
}

/* ---- borders ---- */
static uint64_t elements_of(const cpu_region_value *v) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < v->rank; i++) {
        n *= v->dims[i];
    }
    return n;
}

/* Takes the next border for a value, with its staging. */
static sy_status border_add(cpu_region_builder *b, cpu_region_value *v, bool dry) {
    cpu_region *region = b->region;
    cpu_border *border = &region->borders[region->n_borders];
    uint64_t n = elements_of(v);
    border->type = v->view.type;
    border->n = v->rank == 4 ? v->dims[0] : n;
    border->channels = v->rank == 4 ? v->dims[3] : 1;
    border->plane = n / border->n / border->channels;
    border->n_bytes =
        n * (kit_type_is_byte(v->view.type) ? 1 : sizeof(float)) + CPU_XNN_EXTRA_BYTES;
    border->staged = dry ? NULL : kit_alloc(border->n_bytes);
    v->i_border = region->n_borders++;
    cpu_builder_owns(b->builder, border->n_bytes);
    if (!dry && border->staged == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to stage a value");
    }
    return cpu_builder_value(b->builder, v->i_view, !v->is_input, &border->i_value);
}

/* A made value leaves when anybody else reads it. */
static sy_status borders_add(cpu_region_builder *b, uint32_t first, bool dry) {
    sy_status status = SY_OK;
    cpu_region *region = b->region;
    region->borders_bytes = b->n_values * sizeof(*region->borders);
    region->borders = kit_alloc(region->borders_bytes);
    if (region->borders == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a region's borders");
    }
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; status == SY_OK && i < b->n_values; i++) {
            cpu_region_value *v = &b->values[i];
            bool leaves = !v->is_input && !v->is_constant &&
                          is_read_outside(b->builder, v->i_view, first, b->n_nodes);
            if (pass == 0 ? v->is_input : leaves) {
                status = border_add(b, v, dry);
            }
        }
        region->n_inputs = pass == 0 ? region->n_borders : region->n_inputs;
    }
    return status;
}

/* ---- the step ---- */
static void kept_free(cpu_region *region, bool temporary_only) {
    cpu_kept **link = &region->kept;
    while (*link != NULL) {
        cpu_kept *kept = *link;
        if (temporary_only && !kept->is_temporary) {
            link = &kept->next;
            continue;
        }
        *link = kept->next;
        kit_release(kept, kept->n_bytes);
    }
}

static void region_destroy(void *object) {
    cpu_region *region = object;
    cpu_xnn_graph_destroy(region->graph);
    kept_free(region, false);
    for (uint32_t i = 0; i < region->n_borders; i++) {
        kit_release(region->borders[i].staged, region->borders[i].n_bytes);
    }
    kit_release(region->borders, region->borders_bytes);
    kit_release(region, sizeof(*region));
}

static sy_status picture_run(cpu_run *run, const cpu_region *region, uint64_t i_picture) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < region->n_inputs; i++) {
        status = cpu_border_enter(run, &region->borders[i], i_picture);
    }
    if (status == SY_OK) {
        status = cpu_xnn_graph_run(run, region->graph, region->cost);
    }
    for (uint32_t i = region->n_inputs; status == SY_OK && i < region->n_borders; i++) {
        status = cpu_border_leave(run, &region->borders[i], i_picture);
    }
    return status;
}

static sy_status region_run(cpu_run *run, const cpu_step *step) {
    const cpu_region *region = step->params.object;
    sy_status status = SY_OK;
    uint64_t n = 1;
    if (region->is_batched && region->n_borders > 0) {
        n = (uint64_t)run->tensors[region->borders[region->n_borders - 1].i_value].dims[0];
    }
    for (uint64_t i = 0; status == SY_OK && i < n; i++) {
        status = picture_run(run, region, i);
    }
    return status == SY_INTERNAL ? kit_report(status, step->i_node, "XNNPACK failed") : status;
}

static const cpu_operator region_operator = {.name = "region", .run = region_run};

/* Defines and finishes the graph; int8 operators first, f32 alone where those are refused. */
static sy_status graph_make(cpu_region_builder *b) {
    cpu_region *region = b->region;
    for (b->int8 = true;; b->int8 = false) {
        cpu_xnn_graph_destroy(region->graph);
        region->graph = NULL;
        kept_free(region, false);
        for (uint32_t i = 0; i < b->n_values; i++) {
            cpu_region_value *v = &b->values[i];
            v->id_float = v->id_byte = v->i_byte = CPU_XNN_NONE;
        }
        for (uint32_t i = 0; i < b->n_nodes; i++) {
            b->nodes[i].is_done = is_constant(&b->nodes[i]);
        }
        sy_status status = cpu_xnn_graph_create(region->n_borders, &region->graph);
        if (status != SY_OK) {
            return status;
        }
        b->status = SY_OK;
        cpu_region_define(b);
        void **externals =
            b->status == SY_OK ? kit_alloc((region->n_borders + 1) * sizeof(*externals)) : NULL;
        if (b->status == SY_OK && externals == NULL) {
            b->status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a region");
        }
        for (uint32_t i = 0; b->status == SY_OK && i < region->n_borders; i++) {
            externals[i] = region->borders[i].staged;
        }
        if (b->status == SY_OK) {
            b->status = cpu_xnn_graph_finish(region->graph, externals, b->device->n_workers);
        }
        kit_release(externals, (region->n_borders + 1) * sizeof(*externals));
        if (b->status != SY_INTERNAL) {
            kept_free(region, true);
            return b->status;
        }
        if (!b->int8) {
            return kit_report(SY_INTERNAL, SY_NO_VALUE, "XNNPACK refused a graph of %u nodes",
                              b->n_nodes);
        }
    }
}

/* What XNNPACK keeps beside the borders: packed weights, and about what one node has at hand. */
static uint64_t own_bytes(const cpu_region_builder *b) {
    uint64_t weights = 0, largest = 0;
    for (uint32_t i = 0; i < b->n_nodes; i++) {
        const cpu_region_node *n = &b->nodes[i];
        cpu_constant w;
        uint64_t at_hand =
            4 * (elements_of(&b->values[n->in[0]]) + elements_of(&b->values[n->out]));
        largest = at_hand > largest ? at_hand : largest;
        bool has_weight = n->image.kind == CPU_IMAGE_CONV || n->image.kind == CPU_IMAGE_PRODUCT;
        if (has_weight && cpu_constant_find(n->node.graph, n->node.view.inputs[1], &w)) {
            weights += (uint64_t)kit_bound_count(&w.value) * (w.is_quantised ? 1 : 4);
        }
    }
    return weights + largest;
}

static sy_status region_make(cpu_region_builder *b, uint32_t first) {
    bool dry = cpu_builder_is_dry(b->builder);
    cpu_step step = {.operator= & region_operator };
    step.i_node = cpu_builder_segment(b->builder)->nodes[first];
    memset(step.in, 0xff, sizeof(step.in));
    memset(step.out, 0xff, sizeof(step.out));
    step.params.derived = SY_NO_VALUE;
    b->region = kit_alloc(sizeof(*b->region));
    if (b->region == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a region");
    }
    cpu_region *region = b->region;
    region->object.destroy = region_destroy;
    region->is_batched = b->is_batched;
    values_read(b);
    sy_status status = borders_add(b, first, dry);
    cpu_builder_owns(b->builder, own_bytes(b));
    for (uint32_t i = 0; i < b->n_nodes; i++) {
        region->cost += b->nodes[i].image.n_macs;
    }
    if (status == SY_OK && !dry) {
        status = graph_make(b);
    }
    if (status == SY_OK && !dry) {
        cpu_builder_owns(b->builder, cpu_xnn_graph_copies(region->graph));
    }
    for (uint32_t i = 0; status == SY_OK && i < region->n_borders; i++) {
        cpu_builder_touch(b->builder, region->borders[i].i_value);
    }
    step.params.object = region;
    if (status == SY_OK) {
        status = cpu_builder_step(b->builder, &step);
    }
    if (status != SY_OK) {
        region_destroy(region);
    }
    return status;
}

/* How many nodes from `first` on XNNPACK takes, and whether no other kernel runs one of them. */
static uint32_t run_length(cpu_builder *builder, uint32_t first, bool *out_has_anchor) {
    uint32_t n = 0, n_most = cpu_builder_segment(builder)->n_nodes - first;
    cpu_region_node probe;
    *out_has_anchor = false;
    while (n < n_most && node_fits(builder, first + n, &probe)) {
        *out_has_anchor = *out_has_anchor || probe.image.is_anchor;
        n++;
    }
    return n;
}

/* The same with the nodes kept, as far as their scales agree. */
static uint32_t run_read(cpu_region_builder *b, uint32_t first, uint32_t n_most,
                         bool *out_has_anchor) {
    uint32_t n = 0;
    *out_has_anchor = false;
    while (n < n_most && node_fits(b->builder, first + n, &b->nodes[n]) &&
           factors_agree(b->nodes, n, &b->nodes[n]) && batch_agrees(b, n, &b->nodes[n])) {
        *out_has_anchor = *out_has_anchor || b->nodes[n].image.is_anchor;
        n++;
    }
    return n;
}

/* Constants behind a DequantizeLinear that others read too are computed by a step of its own. */
static sy_status plain_constants(cpu_region_builder *b, uint32_t first) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < b->n_nodes; i++) {
        const cpu_region_node *n = &b->nodes[i];
        if (is_constant(n) &&
            is_read_outside(b->builder, n->node.view.outputs[0], first, b->n_nodes)) {
            status =
                cpu_builder_node(b->builder, cpu_builder_segment(b->builder)->nodes[first + i]);
        }
    }
    return status;
}

sy_status cpu_region_add(cpu_builder *builder, uint32_t first, uint32_t *out_plain,
                         uint32_t *out_n) {
    cpu_region_builder b = {.builder = builder, .device = cpu_builder_device(builder)};
    bool has_anchor = false;
    uint32_t n = b.device->use_xnnpack ? run_length(builder, first, &has_anchor) : 0;
    *out_plain = n > 0 ? n : 1;
    *out_n = 0;
    if (!has_anchor) {
        return SY_OK;
    }
    size_t node_bytes = n * sizeof(*b.nodes);
    size_t value_bytes = n * (KIT_INPUTS_MAX + 1) * sizeof(*b.values);
    sy_status status = SY_OK;
    b.nodes = kit_alloc(node_bytes);
    b.values = kit_alloc(value_bytes);
    if (b.nodes == NULL || b.values == NULL) {
        status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for a region's tables");
    } else {
        b.n_nodes = run_read(&b, first, n, &has_anchor);
        *out_plain = has_anchor ? 0 : b.n_nodes;
        *out_n = has_anchor ? b.n_nodes : 0;
    }
    if (status == SY_OK && has_anchor) {
        status = plain_constants(&b, first);
        status = status == SY_OK ? region_make(&b, first) : status;
    }
    kit_release(b.values, value_bytes);
    kit_release(b.nodes, node_bytes);
    return status;
}
#else
sy_status cpu_region_add(cpu_builder *builder, uint32_t first, uint32_t *out_plain,
                         uint32_t *out_n) {
    (void)builder;
    (void)first;
    *out_plain = 1;
    *out_n = 0;
    return SY_OK;
}
#endif
