/* SPDX-License-Identifier: Apache-2.0 */
/* RMS norms of heads and rotations that only an attention step reads become part of it: its tasks
 * turn each head as they read it, so nothing waits in between. They round their results too. */
#include "attend.h"
#include "fuse.h"

/* The step before `end` that makes a value which step `reader` alone reads, inside the segment. */
static cpu_step *only_for(sy_unit *unit, uint32_t value, uint32_t reader) {
    cpu_step *maker = NULL;
    kit_place place = unit->values.items[value].place;
    if (place != KIT_PLACE_SCRATCH && place != KIT_PLACE_ALIAS) {
        return NULL;
    }
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        cpu_step *step = &unit->steps[i];
        if (step->operator== & cpu_operator_merged) {
            continue;
        }
        if (i != reader && cpu_step_reads(step, value)) {
            return NULL;
        }
        maker = step->out[0] == value && i < reader ? step : maker;
    }
    return maker;
}

/* What stands in front of attention's input, from behind. */
typedef struct chain {
    uint32_t value, reader; /* seen so far */
    cpu_step *steps[4];     /* to be merged */
    uint32_t n_steps;
    cpu_head_steps heads;
} chain;

static cpu_step *chain_next(sy_unit *unit, const chain *c) {
    return c->n_steps < 4 ? only_for(unit, c->value, c->reader) : NULL;
}

static void chain_take(sy_unit *unit, chain *c, cpu_step *step) {
    c->steps[c->n_steps++] = step;
    c->value = step->in[0];
    c->reader = (uint32_t)(step - unit->steps);
}

static void take_rotation(sy_unit *unit, chain *c, int64_t n_heads) {
    cpu_step *step = chain_next(unit, c);
    if (step != NULL && cpu_step_is(step, "RotaryEmbedding") && step->params.n_heads == n_heads) {
        c->heads.table = step->params.derived;
        c->heads.n_pairs = step->params.inner;
        c->heads.interleaved = step->params.interleaved;
        chain_take(unit, c, step);
    }
}

static void take_view(sy_unit *unit, chain *c) {
    cpu_step *step = chain_next(unit, c);
    if (step != NULL &&
        step->operator->is_view && unit->values.items[c->value].place == KIT_PLACE_ALIAS) {
        chain_take(unit, c, step);
    }
}

/* [reshape] norm [reshape]; the views around it go only together with the norm. */
static void take_norm(sy_unit *unit, chain *c, uint64_t d) {
    chain tried = *c;
    take_view(unit, &tried);
    cpu_step *step = chain_next(unit, &tried);
    if (step != NULL && cpu_step_is(step, "RMSNormalization") && step->params.inner == d) {
        tried.heads.norm = step->in[1];
        tried.heads.epsilon = step->params.epsilon;
        chain_take(unit, &tried, step);
        take_view(unit, &tried);
        *c = tried;
    }
}

/* Rows of the width that attention reads, of its type. */
static bool fits(const sy_unit *unit, uint32_t value, const kit_value *like, uint64_t width) {
    const kit_value *v = &unit->values.items[value];
    return v->rank == 2 && v->dims[1].symbol == 0 && (uint64_t)v->dims[1].bound == width &&
           v->type == like->type && v->place != KIT_PLACE_STATE;
}

static void keep_until(sy_unit *unit, uint32_t value, uint32_t step) {
    while (value != SY_NO_VALUE) {
        kit_value *v = &unit->values.items[value];
        v->last_step = v->last_step > step ? v->last_step : step;
        value = v->place == KIT_PLACE_ALIAS ? v->index : SY_NO_VALUE;
    }
}

static void merge(sy_unit *unit, const chain *c) {
    for (uint32_t i = 0; i < c->n_steps; i++) {
        kit_value *value = &unit->values.items[c->steps[i]->out[0]];
        if (value->place == KIT_PLACE_SCRATCH) {
            value->n_bytes = 0; /* never made */
        }
        c->steps[i]->operator= & cpu_operator_merged;
    }
}

static void fuse_input(sy_unit *unit, uint32_t i_step, uint32_t input) {
    cpu_step *step = &unit->steps[i_step];
    cpu_params *p = &step->params;
    int64_t n_heads = input == CPU_IN_Q ? p->n_heads : p->n_kv_heads;
    if (step->in[input] == SY_NO_VALUE || p->heads[input].norm != SY_NO_VALUE ||
        p->heads[input].table != SY_NO_VALUE) {
        return;
    }
    chain c = {.value = step->in[input], .reader = i_step, .heads = p->heads[input]};
    take_rotation(unit, &c, n_heads);
    take_norm(unit, &c, p->k);
    if (c.n_steps == 0 ||
        !fits(unit, c.value, &unit->values.items[step->in[input]], (uint64_t)n_heads * p->k)) {
        return;
    }
    p->heads[input] = c.heads;
    step->in[input] = c.value;
    keep_until(unit, c.value, i_step);
    keep_until(unit, c.heads.table, i_step);
    merge(unit, &c);
}

void cpu_fuse_attention(sy_unit *unit) {
    for (uint32_t i = 0; i < unit->n_steps; i++) {
        if (cpu_step_is(&unit->steps[i], "Attention")) {
            fuse_input(unit, i, CPU_IN_Q);
            if (unit->steps[i].params.has_states) { /* elsewhere keys are read as they are */
                fuse_input(unit, i, CPU_IN_K);
            }
            const cpu_params *p = &unit->steps[i].params;
            if (p->n % 32 == 0) { /* a head has whole blocks */
                cpu_fuse_rounding(unit, i, unit->steps[i].out[0], (uint64_t)p->n_heads * p->n);
            }
        }
    }
}
