/* SPDX-License-Identifier: Apache-2.0 */
/* Items of an attention step: their memory, spans, and results. */
#include "attend.h"
#include "unit.h"

#include <math.h>
#include <string.h>

#define QUERIES_AIM 64u            /* of one item */
#define SLOT_BYTES_MOST (1u << 20) /* of partial results beside a worker's memory */

/* ---- sizes ---- */
uint64_t cpu_attention_tile_rows(const cpu_params *p) {
    uint64_t per_group = (uint64_t)(p->n_heads / p->n_kv_heads);
    return per_group >= QUERIES_AIM ? 1 : QUERIES_AIM / per_group;
}

/* Whether a group's part of a row can be written by itself. */
static bool groups_apart(const cpu_params *p, sy_element_type keys, sy_element_type values) {
    return p->k % kit_type_block(keys) == 0 && p->n % kit_type_block(values) == 0;
}

static uint64_t partial_bytes(uint64_t n_queries, uint64_t dv) {
    return n_queries * (cpu_attention_stride(dv) * sizeof(float) + sizeof(cpu_softmax_state));
}
static uint64_t up64(uint64_t n_bytes) {
    return (n_bytes + 63) & ~(uint64_t)63;
}

/* A query as integers, for keys of block types; 0 where d has no whole blocks. */
static uint64_t q_int_bytes(const cpu_params *p) {
    return p->has_states && p->k % 32 == 0 ? cpu_activation_row_bytes(p->k, CPU_PLANES_16) : 0;
}

/* Takes n_bytes of a worker's memory. */
static void *take(uint8_t **memory, uint64_t n_bytes) {
    void *taken = *memory;
    *memory += up64(n_bytes);
    return taken;
}

static void take_partial(uint8_t **memory, uint64_t n_queries, uint64_t dv, cpu_partial *out) {
    out->softmax = take(memory, n_queries * sizeof(cpu_softmax_state));
    out->sums = take(memory, n_queries * cpu_attention_stride(dv) * sizeof(float));
}

/* Lays an item's memory out; answers the end. */
static uint8_t *item_memory(cpu_attention_item *it, const cpu_params *p, uint64_t max_queries,
                            uint8_t *memory) {
    uint64_t row = p->k * (uint64_t)(p->n_heads / p->n_kv_heads), append = cpu_append_floats(p);
    uint64_t out = p->n > p->k ? p->n : p->k;
    row = row > append ? row : append;
    it->row = take(&memory, (row + out + 192) * sizeof(float));
    it->q = take(&memory, max_queries * p->k * sizeof(float));
    it->q_int = take(&memory, max_queries * q_int_bytes(p));
    it->scores = take(&memory, max_queries * CPU_SPAN * sizeof(float));
    it->wide = take(&memory, cpu_attention_wide(p->k) * sizeof(float));
    take_partial(&memory, max_queries, p->n, &it->whole);
    take_partial(&memory, max_queries, p->n, &it->part);
    it->sees = take(&memory, max_queries * sizeof(cpu_positions));
    it->packed = take(&memory, cpu_attention_packed_floats(p) * sizeof(float));
    return memory;
}

static uint64_t max_queries(const cpu_params *p) {
    return cpu_attention_tile_rows(p) * (uint64_t)(p->n_heads / p->n_kv_heads);
}

/* Where the partial results of split items begin in a worker's memory. */
static uint64_t slots_at(const cpu_params *p) {
    cpu_attention_item it;
    uint8_t *base = (uint8_t *)(uintptr_t)64; /* only the distance counts */
    return (uint64_t)(item_memory(&it, p, max_queries(p), base) - base);
}

/* Enough for one row of one sequence that fills its state, within bounds. */
static uint64_t slots_bytes(const cpu_params *p, uint64_t n_positions) {
    uint64_t per_group = (uint64_t)(p->n_heads / p->n_kv_heads);
    uint64_t one = up64(partial_bytes(per_group, p->n) + 64);
    uint64_t n = (n_positions / CPU_SPAN + 2) * (uint64_t)p->n_kv_heads;
    return n > SLOT_BYTES_MOST / one ? SLOT_BYTES_MOST : n * one;
}

uint64_t cpu_attention_worker_bytes(const kit_node *node, const cpu_params *p) {
    uint64_t n_positions = 0;
    if (p->has_states) {
        n_positions = (uint64_t)node->in[CPU_IN_KEY_STATE].dims[0].bound;
    }
    return slots_at(p) + slots_bytes(p, n_positions);
}

/* ---- what a row sees ---- */
static uint64_t n_before(const cpu_attention_item *it) {
    return it->p->has_states ? it->sequence->n_past : 0;
}

/* Rows [*out_low, *out_high) that row i of a sequence sees. */
static void visible(const cpu_params *p, const sy_sequence *sequence, uint64_t i, uint64_t *out_low,
                    uint64_t *out_high) {
    uint64_t window = (uint64_t)p->window, n = sequence->n_tokens;
    uint64_t position = i + (p->has_states ? sequence->n_past : 0);
    *out_low = window > 0 && position >= window ? position - window + 1 : 0;
    *out_high = position + 1;
    if (!p->causal) {
        *out_high = window > 0 && window < n - position ? position + window : n;
    }
}

/* Spans [*out_first, *out_end) that rows [first, first + n) of a sequence see. */
static void spans_of(const cpu_params *p, const sy_sequence *sequence, uint64_t first, uint64_t n,
                     uint64_t *out_first, uint64_t *out_end) {
    uint64_t low = 0, high = 0, ignored = 0;
    visible(p, sequence, first, &low, &ignored);
    visible(p, sequence, first + n - 1, &ignored, &high);
    *out_first = low / CPU_SPAN;
    *out_end = (high + CPU_SPAN - 1) / CPU_SPAN;
}

/* ---- an item ---- */
static void item_start(cpu_attention_item *it, const cpu_attention_step *work, uint32_t s,
                       uint64_t first_row, uint64_t group, uint32_t i_worker) {
    it->work = work;
    it->run = work->run;
    it->p = &work->step->params;
    it->s = s;
    it->sequence = &work->run->job->sequences[s];
    it->group = group;
    it->first_row = first_row;
    uint64_t left = it->sequence->n_tokens - first_row;
    it->n_rows = left < work->tile_rows ? left : work->tile_rows;
    it->n_queries = it->n_rows * work->per_group;
    item_memory(it, it->p, max_queries(it->p), cpu_run_worker(work->run, i_worker));
}

static void item_queries(const cpu_attention_item *it) {
    const cpu_tensor *q = cpu_run_in(it->run, it->work->step, CPU_IN_Q);
    uint64_t per_group = it->work->per_group, n = per_group * it->p->k;
    for (uint64_t i = 0; i < it->n_rows; i++) {
        uint64_t row = it->sequence->first_row + it->first_row + i;
        float *to = it->q + i * n;
        const float *values =
            cpu_floats_read(it->run, q, (row * it->work->n_groups + it->group) * n, n, it->row);
        const cpu_heads heads = {values, per_group, it->p->k, row, q->type};
        values = cpu_head_steps_run(it->run, &it->p->heads[0], &heads, to);
        if (values != to) {
            memcpy(to, values, n * sizeof(float));
        }
    }
    if (it->p->has_states &&
        !kit_type_is_float(cpu_run_in(it->run, it->work->step, CPU_IN_KEY_STATE)->type)) {
        for (uint64_t i = 0; q_int_bytes(it->p) > 0 && i < it->n_queries; i++) {
            it->run->kernels->rows->quantise(it->q + i * it->p->k, it->p->k, CPU_PLANES_16,
                                             it->q_int + i * q_int_bytes(it->p));
        }
    }
}

/* The rows of this step that lie in a span go into the states. */
static void append_span(const cpu_attention_item *it, uint64_t span) {
    uint64_t past = n_before(it), low = span * CPU_SPAN, high = low + CPU_SPAN;
    for (uint64_t i = 0; i < it->n_rows; i++) {
        uint64_t position = past + it->first_row + i;
        if (position >= low && position < high) {
            cpu_append_row(it->work, it->s, it->first_row + i, it->group, 1, it->row);
        }
    }
}

static void item_span(const cpu_attention_item *it, uint64_t span, const cpu_partial *out) {
    const cpu_params *p = it->p;
    uint64_t base = span * CPU_SPAN;
    if (it->work->appends) {
        append_span(it, span);
    }
    for (uint64_t i = 0; i < it->n_rows; i++) {
        uint64_t low = 0, high = 0;
        visible(p, it->sequence, it->first_row + i, &low, &high);
        low = low > base ? low - base : 0;
        high = high > base ? high - base : 0;
        it->sees[i].low = (uint32_t)(low < CPU_SPAN ? low : CPU_SPAN);
        it->sees[i].high = (uint32_t)(high < CPU_SPAN ? high : CPU_SPAN);
    }
    cpu_positions seen = {it->sees[0].low, it->sees[it->n_rows - 1].high};
    const double log2_e = 1.4426950408889634;
    cpu_attention attention = {.q = it->q,
                               .q_int = it->q_int,
                               .d = p->k,
                               .dv = p->n,
                               .n_queries = it->n_queries,
                               .per_row = it->work->per_group,
                               .sees = it->sees,
                               .scale = (float)(p->softcap > 0.0 ? p->scale : p->scale * log2_e),
                               .softcap = (float)p->softcap,
                               .scores = it->scores,
                               .wide = it->wide,
                               .out = *out};
    cpu_attention_cells(it, span, seen, &attention.keys, &attention.values);
    it->run->kernels->attention->attend(&attention);
}

/* One head of a row, as f32 or another type, as rounded blocks, or both. */
static void head_store(const cpu_attention_item *it, uint64_t row, uint64_t head, const float *sums,
                       float factor) {
    const cpu_run *run = it->run;
    const cpu_rounding *rounding = &it->work->rounding;
    const cpu_tensor *y = cpu_run_out(run, it->work->step, 0);
    uint64_t dv = it->p->n, width = (uint64_t)it->p->n_heads * dv, at = row * width + head * dv;
    float *out = rounding->is_all ? it->row : cpu_floats_target(y, at, it->row);
    run->kernels->rows->scale(sums, factor, dv, out);
    if (!rounding->is_all) {
        cpu_floats_write(run, y, at, dv, out);
    }
    if (rounding->rows != NULL) {
        uint8_t *rounded =
            rounding->rows->data + row * cpu_activation_row_bytes(width, rounding->planes);
        run->kernels->rows->quantise(out, dv, rounding->planes,
                                     rounded + head * dv / 32 * cpu_record_bytes(rounding->planes));
    }
}

static void item_store(const cpu_attention_item *it) {
    const cpu_tensor *sinks = cpu_run_in(it->run, it->work->step, CPU_IN_SINKS);
    uint64_t per_group = it->work->per_group;
    for (uint64_t i = 0; i < it->n_queries; i++) {
        uint64_t head = it->group * per_group + i % per_group;
        uint64_t row = it->sequence->first_row + it->first_row + i / per_group;
        cpu_softmax_state softmax = it->whole.softmax[i];
        float factor = 1.0f;
        if (sinks != NULL) {
            float sink = 0.0f;
            memcpy(&sink, sinks->data + 4 * head, 4);
            sink *= 1.44269504f;
            float maximum = sink > softmax.maximum ? sink : softmax.maximum;
            factor = exp2f(softmax.maximum - maximum);
            softmax.denominator = softmax.denominator * factor + exp2f(sink - maximum);
        }
        head_store(it, row, head, it->whole.sums + i * cpu_attention_stride(it->p->n),
                   factor / softmax.denominator);
    }
}

static void item_fold(const cpu_attention_item *it, const cpu_partial *later) {
    it->run->kernels->attention->fold(&it->whole, later, it->n_queries, it->p->n);
}

static void item_run(cpu_attention_item *it) {
    uint64_t first = 0, end = 0;
    spans_of(it->p, it->sequence, it->first_row, it->n_rows, &first, &end);
    item_queries(it);
    for (uint64_t span = first; span < end; span++) {
        bool is_last = span + 1 == end; /* then the next task, which sees as much */
        it->next_group = is_last ? it->group + it->work->n_workers : it->group;
        it->next_block = (is_last ? first : span + 1) * CPU_SPAN_BLOCKS;
        item_span(it, span, span == first ? &it->whole : &it->part);
        if (span > first) {
            item_fold(it, &it->part);
        }
    }
    item_store(it);
}

/* ---- split items ---- */
/* Partial results lie behind the workers' own memory, in turn. */
static cpu_partial slot(const cpu_attention_step *work, uint64_t i, uint64_t n_queries) {
    uint64_t n_workers = work->n_workers;
    cpu_partial partial;
    uint8_t *memory = cpu_run_worker(work->run, (uint32_t)(i % n_workers)) +
                      slots_at(&work->step->params) + i / n_workers * work->slot_bytes;
    take_partial(&memory, n_queries, work->step->params.n, &partial);
    return partial;
}

/* Task i of a split step: its sequence, and the number of its first slot. */
static uint32_t split_find(const cpu_attention_step *work, uint64_t *inout_task,
                           uint64_t *out_slot) {
    const cpu_params *p = &work->step->params;
    uint32_t s = 0;
    *out_slot = 0;
    for (;; s++) {
        const sy_sequence *sequence = &work->run->job->sequences[s];
        uint64_t first = 0, end = 0;
        if (sequence->n_tokens == 0) {
            continue;
        }
        spans_of(p, sequence, 0, sequence->n_tokens, &first, &end);
        uint64_t n_tasks = (end - first) * work->n_groups;
        if (*inout_task < n_tasks) {
            return s;
        }
        *inout_task -= n_tasks;
        *out_slot += n_tasks;
    }
}

static void split_task(cpu_attention_step *work, uint64_t i_task, uint32_t i_worker) {
    cpu_attention_item it;
    uint64_t first = 0, end = 0, first_slot = 0, n_groups = work->n_groups;
    uint32_t s = split_find(work, &i_task, &first_slot);
    item_start(&it, work, s, 0, i_task % n_groups, i_worker);
    spans_of(it.p, it.sequence, 0, it.n_rows, &first, &end);
    item_queries(&it);
    uint64_t next = i_task + work->n_workers, n_tasks = (end - first) * n_groups;
    it.next_group = next < n_tasks ? next % n_groups : n_groups;
    it.next_block = (first + next / n_groups) * CPU_SPAN_BLOCKS;
    cpu_partial mine = slot(work, first_slot + i_task, it.n_queries);
    item_span(&it, first + i_task / n_groups, &mine);
    atomic_uint *pending = &work->pending[s * n_groups + it.group];
    if (atomic_fetch_sub(pending, 1) != 1) {
        return;
    }
    it.whole = slot(work, first_slot + it.group, it.n_queries);
    for (uint64_t i = 1; i < end - first; i++) {
        cpu_partial later = slot(work, first_slot + i * n_groups + it.group, it.n_queries);
        item_fold(&it, &later);
    }
    item_store(&it);
}

/* ---- the step ---- */
static uint64_t tiles_of(const cpu_attention_step *work, const sy_sequence *sequence) {
    return ((uint64_t)sequence->n_tokens + work->tile_rows - 1) / work->tile_rows;
}

/* Few items, long contexts, and room for the partial results. */
static bool split_fits(cpu_attention_step *work, uint64_t n_positions) {
    const cpu_params *p = &work->step->params;
    const sy_job *job = work->run->job;
    uint64_t n_slots = 0, most_rows = 0, n_spans_most = 0;
    if (job->n_sequences * work->n_groups > CPU_SPLIT_ITEMS || work->n_workers == 1 ||
        job->n_sequences * work->n_groups >= 4 * work->n_workers) {
        return false;
    }
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        uint64_t first = 0, end = 0, n_rows = job->sequences[s].n_tokens;
        if (n_rows > 0) {
            spans_of(p, &job->sequences[s], 0, n_rows, &first, &end);
        }
        n_slots += (end - first) * work->n_groups;
        n_spans_most = end - first > n_spans_most ? end - first : n_spans_most;
        most_rows = n_rows > most_rows ? n_rows : most_rows;
        for (uint64_t g = 0; g < work->n_groups; g++) {
            atomic_init(&work->pending[s * work->n_groups + g], (unsigned)(end - first));
        }
    }
    work->slot_bytes = up64(partial_bytes(most_rows * work->per_group, p->n) + 64);
    uint64_t per_worker = (n_slots + work->n_workers - 1) / work->n_workers;
    return n_spans_most > 1 && per_worker <= slots_bytes(p, n_positions) / work->slot_bytes;
}

void cpu_attention_start(cpu_attention_step *work, cpu_run *run, const cpu_step *step) {
    const cpu_params *p = &step->params;
    bool is_short = true, writes = p->has_states && step->in[CPU_IN_K] != SY_NO_VALUE;
    work->run = run;
    work->step = step;
    work->tile_rows = cpu_attention_tile_rows(p);
    work->n_groups = (uint64_t)p->n_kv_heads;
    work->per_group = (uint64_t)(p->n_heads / p->n_kv_heads);
    work->n_workers = run->unit->n_workers;
    work->rounding = cpu_rounding_of(run, step);
    for (uint32_t s = 0; s < run->job->n_sequences; s++) {
        is_short = is_short && run->job->sequences[s].n_tokens <= work->tile_rows;
    }
    work->appends = false;
    work->splits = false;
    if (p->has_states) {
        const cpu_tensor *keys = cpu_run_in(run, step, CPU_IN_KEY_STATE);
        const cpu_tensor *values = cpu_run_in(run, step, CPU_IN_VALUE_STATE);
        bool is_apart = groups_apart(p, keys->type, values->type);
        work->appends = writes && is_short && is_apart;
        work->splits =
            is_short &&
            split_fits(work,
                       (uint64_t)run->unit->values.items[step->in[CPU_IN_KEY_STATE]].dims[0].bound);
    }
}

uint64_t cpu_attention_tasks(const cpu_attention_step *work) {
    const sy_job *job = work->run->job;
    uint64_t n = 0;
    for (uint32_t s = 0; s < job->n_sequences; s++) {
        const sy_sequence *sequence = &job->sequences[s];
        uint64_t first = 0, end = 1;
        if (work->splits && sequence->n_tokens > 0) {
            spans_of(&work->step->params, sequence, 0, sequence->n_tokens, &first, &end);
        }
        n += tiles_of(work, sequence) * (end - first);
    }
    return n * work->n_groups;
}

/* The last tiles see the most and go first, so that the workers end together. */
void cpu_attention_task(void *argument, uint32_t i_task, uint32_t i_worker) {
    cpu_attention_step *work = argument;
    const sy_job *job = work->run->job;
    if (work->splits) {
        split_task(work, i_task, i_worker);
        return;
    }
    uint64_t i = i_task / work->n_groups;
    uint32_t s = 0;
    while (i >= tiles_of(work, &job->sequences[s])) {
        i -= tiles_of(work, &job->sequences[s++]);
    }
    uint64_t tile = tiles_of(work, &job->sequences[s]) - 1 - i;
    cpu_attention_item it;
    item_start(&it, work, s, tile * work->tile_rows, i_task % work->n_groups, i_worker);
    item_run(&it);
}
