/* SPDX-License-Identifier: Apache-2.0 */
/* Which products run together, decided once when a unit is built. */
#include "fuse.h"
#include "linear.h"

/* A product that is computed here and not yet part of a group. */
static bool is_free(const cpu_step *step) {
    return cpu_step_is(step, "Linear") && step->params.object == NULL && step->params.group == NULL;
}

static bool same_rows(const cpu_step *a, const cpu_step *b) {
    return a->in[0] == b->in[0] && a->params.derived == b->params.derived &&
           a->params.planes == b->params.planes && a->params.k == b->params.k;
}

/* Rounding of y for the product that follows, when that is all y is for. */
static uint32_t find_quantise(const sy_unit *unit, uint32_t y, uint64_t width) {
    uint32_t reader = cpu_step_only_reader(unit, y);
    bool fits = reader != SY_NO_VALUE && width % 32 == 0 &&
                unit->steps[reader].operator== & cpu_operator_quantise;
    return fits ? reader : SY_NO_VALUE;
}

/* A pair whose two results meet in one gated activation and nowhere else. */
static void join_pair(sy_unit *unit, uint32_t head, cpu_linear_group *group) {
    const cpu_step *first = &unit->steps[group->members[0]];
    const cpu_step *second = &unit->steps[group->members[1]];
    uint32_t reader = cpu_step_only_reader(unit, first->out[0]);
    if (reader == SY_NO_VALUE || reader != cpu_step_only_reader(unit, second->out[0]) ||
        !cpu_step_is(&unit->steps[reader], "GatedActivation") ||
        first->params.n != second->params.n) {
        return;
    }
    cpu_step *gated = &unit->steps[reader];
    uint32_t y = gated->out[0];
    if (unit->values.items[y].type != SY_TYPE_F32 ||
        unit->values.items[first->out[0]].type != SY_TYPE_F32 ||
        unit->values.items[second->out[0]].type != SY_TYPE_F32 || gated->in[0] == gated->in[1]) {
        return;
    }
    if (gated->in[0] == second->out[0]) {
        uint32_t swapped = group->members[0];
        group->members[0] = group->members[1];
        group->members[1] = swapped;
    }
    group->gated = reader + 1;
    cpu_value_never_made(unit, first->out[0], head);
    cpu_value_never_made(unit, second->out[0], head);
    cpu_value_made_at(unit, y, head);
    uint32_t quantise = find_quantise(unit, y, first->params.n);
    if (quantise != SY_NO_VALUE) {
        group->quantise = quantise + 1;
        cpu_value_made_at(unit, unit->steps[quantise].out[0], head);
        cpu_value_never_made(unit, y, head);
        unit->steps[quantise].operator= & cpu_operator_merged;
    }
    gated->operator= & cpu_operator_merged;
    uint64_t n_bytes = (cpu_linear_pair_bytes(&first->params) + 63) & ~(uint64_t)63;
    unit->worker_bytes = n_bytes > unit->worker_bytes ? n_bytes : unit->worker_bytes;
}

static cpu_linear whole_of(const sy_unit *unit, const cpu_step *step) {
    const cpu_params *p = &step->params;
    const kit_value *w = &unit->values.items[step->in[1]];
    uint64_t weight_row = 0;
    kit_type_row_bytes(w->type, p->k, &weight_row);
    return (cpu_linear){.weights = w->weight,
                        .weight_row_bytes = weight_row,
                        .row_bytes = kit_type_is_block(w->type)
                                         ? cpu_activation_row_bytes(p->k, p->planes)
                                         : p->k * sizeof(float),
                        .bias = p->bias,
                        .k = p->k,
                        .n_columns = p->n,
                        .planes = p->planes};
}

static void add_part(const sy_unit *unit, cpu_linear_group *group, const uint32_t *members,
                     unsigned n) {
    cpu_linear_part *p = &group->parts[group->n_parts++];
    p->step = members[0];
    for (unsigned i = 0; i < n; i++) {
        const cpu_step *step = &unit->steps[members[i]];
        sy_element_type type = unit->values.items[step->in[1]].type;
        p->kernels[i] = cpu_kernels_of(unit->device->kernels, type);
        p->whole[i] = whole_of(unit, step);
        p->adapters[i] = step->params.adapter;
        uint64_t n_bytes = cpu_linear_panel_bytes(type, step->params.k);
        p->space_bytes = n_bytes > p->space_bytes ? n_bytes : p->space_bytes;
    }
    uint64_t n_columns = p->whole[0].n_columns;
    p->first_unit = group->n_units;
    p->n_units = (n_columns + CPU_LINEAR_UNIT - 1) / CPU_LINEAR_UNIT;
    group->n_units += p->n_units;
    p->columns = cpu_panel_columns(p->whole[0].k); /* what a kernel unpacks at once */
    p->first_task = group->n_column_tasks;
    p->n_tasks = (n_columns + p->columns - 1) / p->columns;
    group->n_column_tasks += p->n_tasks;
}

static void add_parts(const sy_unit *unit, cpu_linear_group *group) {
    if (group->gated != 0) {
        add_part(unit, group, group->members, 2);
        return;
    }
    for (uint32_t i = 0; i < group->n_members; i++) {
        add_part(unit, group, &group->members[i], 1);
    }
}

/* The adapter of a member works when the head runs. */
static void take_adapter(sy_unit *unit, uint32_t head, uint32_t member) {
    uint32_t adapter = unit->steps[member].params.adapter;
    if (adapter != 0) {
        unit->steps[head].params.reads_x = true;
        cpu_value_made_at(unit, unit->steps[adapter - 1].params.derived, head);
    }
}

static sy_status form_group(sy_unit *unit, uint32_t head) {
    cpu_linear_group *group = kit_alloc(sizeof(*group));
    if (group == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, unit->steps[head].i_node,
                          "no memory for a group of products");
    }
    group->members[group->n_members++] = head;
    for (uint32_t i = head + 1; i < unit->n_steps && group->n_members < CPU_GROUP_MOST; i++) {
        if (is_free(&unit->steps[i]) && same_rows(&unit->steps[head], &unit->steps[i])) {
            group->members[group->n_members++] = i;
            cpu_value_made_at(unit, unit->steps[i].out[0], head);
            take_adapter(unit, head, i);
        }
    }
    unit->steps[head].params.group = group;
    for (uint32_t i = 1; i < group->n_members; i++) {
        unit->steps[group->members[i]].params.group = group;
        unit->steps[group->members[i]].operator= & cpu_operator_merged;
    }
    if (group->n_members == 2) {
        join_pair(unit, head, group);
    }
    add_parts(unit, group);
    return SY_OK;
}

sy_status cpu_fuse_linear(sy_unit *unit) {
    uint32_t last = SY_NO_VALUE;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < unit->n_steps; i++) {
        if (!is_free(&unit->steps[i])) {
            continue;
        }
        status = form_group(unit, i);
        if (status == SY_OK && last != SY_NO_VALUE) {
            unit->steps[last].params.group->next = unit->steps[i].params.group;
        }
        last = i;
    }
    return status;
}
