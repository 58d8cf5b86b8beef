/* SPDX-License-Identifier: Apache-2.0 */
/* AdapterLinear on a GPU delegate against the reference: types, odd sizes, adapters that come and
 * go, several in one step and on one row; the same bits alone and in company. */
#include "kernels/op_compare.h"
#include "switchyard/types.h"

#include <math.h>

#define N_ADAPTERS 8u
#define SLOTS 3u
#define TOLERANCE 2e-5

/* ---- adapters ---- */
typedef struct pair_shape {
    uint32_t rank; /* 0: none */
    sy_element_type a_type, b_type;
    int64_t k, n;
} pair_shape;

/* Elements of a float type in -1..1, in memory that ends with the last one. */
static guarded elements(sy_element_type type, uint64_t n) {
    uint64_t size = sy_type_get(type)->n_block_bytes;
    guarded g = guarded_make(n * size);
    for (uint64_t i = 0; i < n; i++) {
        float x = random_float();
        uint32_t bits = 0;
        memcpy(&bits, &x, sizeof(bits));
        uint16_t half = type == SY_TYPE_BF16 ? (uint16_t)(bits >> 16)
                                             : (uint16_t)(random_u32() & 0xb7ff); /* below 0.5 */
        if (type == SY_TYPE_F32) {
            memcpy(g.bytes + i * size, &x, sizeof(x));
        } else {
            memcpy(g.bytes + i * size, &half, sizeof(half));
        }
    }
    return g;
}

typedef struct adapter {
    sy_adapter_pair pairs[SLOTS];
    guarded a, b;
    bool is_there;
    sy_adapter_weights *weights[2]; /* of the reference and the delegate */
} adapter;

/* ---- the two sides ---- */
typedef struct side {
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
} side;

/* Where y comes from and where the result goes decides whether they share memory. */
typedef enum form {
    FORM_GIVEN,     /* y is an input of the unit, the result an output */
    FORM_MADE,      /* y is made in front, for this node alone */
    FORM_INSIDE,    /* the result is read inside, too */
    FORM_READ_TWICE /* y is read behind the node, too */
} form;

typedef struct world {
    side sides[2];
    adapter adapters[N_ADAPTERS];
    sy_test_graph graph;
    form form;
    int64_t k, n, max_rank, slot, n_tokens;
    int64_t n_rows; /* 0: those of the step; else chosen by `rows` */
    int32_t rows[16];
    guarded x, y;
    float *out[2];
} world;

static void world_open(world *w, const char *options) {
    memset(w, 0, sizeof(*w));
    sy_error error = {0};
    for (uint32_t i = 0; i < 2; i++) {
        side *s = &w->sides[i];
        CHECK_OK_ERROR(sy_test_host_init(&s->host, 2, &error), error);
        const sy_plugin *plugin =
            i == 0 ? compare_reference_entry(&s->host) : compare_delegate_entry(&s->host);
        CHECK_OK_ERROR(
            sy_op_runner_open(&s->runner, plugin, &s->host, 0, i == 0 ? NULL : options, &error),
            error);
    }
}

static void adapter_remove(world *w, uint32_t i_adapter) {
    adapter *a = &w->adapters[i_adapter];
    for (uint32_t i = 0; a->is_there && i < 2; i++) {
        CHECK_OK(w->sides[i].runner.plugin->adapter_destroy(a->weights[i]));
    }
    if (a->is_there && a->a.base != NULL) {
        guarded_free(&a->a);
        guarded_free(&a->b);
    }
    memset(a, 0, sizeof(*a));
}

static void world_close(world *w) {
    for (uint32_t i = 0; i < N_ADAPTERS; i++) {
        adapter_remove(w, i);
    }
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_OK(sy_op_runner_close(&w->sides[i].runner));
        sy_test_host_deinit(&w->sides[i].host);
    }
}

/* The description of an adapter whose pair is that of the world's slot. */
static sy_adapter_description describe(const world *w, adapter *a, pair_shape shape) {
    if (shape.rank > 0) {
        a->a = elements(shape.a_type, (uint64_t)shape.k * shape.rank);
        a->b = elements(shape.b_type, (uint64_t)shape.n * shape.rank);
        uint64_t a_bytes = sy_type_get(shape.a_type)->n_block_bytes * (uint64_t)shape.k,
                 b_bytes = sy_type_get(shape.b_type)->n_block_bytes * (uint64_t)shape.n;
        a->pairs[w->slot] = (sy_adapter_pair){
            .rank = shape.rank,
            .scale = 0.5f + random_float() * 0.25f,
            .n_inputs = (uint64_t)shape.k,
            .n_outputs = (uint64_t)shape.n,
            .a_type = shape.a_type,
            .b_type = shape.b_type,
            .a = {.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = a_bytes * shape.rank},
            .b = {.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = b_bytes * shape.rank}};
        a->pairs[w->slot].a.pointer = a->a.bytes;
        a->pairs[w->slot].b.pointer = a->b.bytes;
    }
    return (sy_adapter_description){
        .header = SY_HEADER_INIT(sy_adapter_description), .n_pairs = SLOTS, .pairs = a->pairs};
}

static void adapter_add(world *w, uint32_t i_adapter, pair_shape shape) {
    adapter *a = &w->adapters[i_adapter];
    adapter_remove(w, i_adapter);
    sy_adapter_description description = describe(w, a, shape);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t n_bytes = 0;
        sy_status status = w->sides[i].runner.plugin->adapter_create(
            w->sides[i].runner.device, &description, &n_bytes, &a->weights[i]);
        CHECK_TEXT(status == SY_OK, "%s", w->sides[i].host.report);
        CHECK(n_bytes > 0);
    }
    a->is_there = true;
}

/* ---- the unit ---- */
static void unit_make(world *w) {
    sy_test_graph *g = &w->graph;
    bool is_chosen = w->n_rows > 0;
    const sy_dimension tokens = sy_test_symbol(SY_SYMBOL_TOKENS, w->n_tokens);
    const sy_dimension rows = is_chosen ? sy_test_fixed(w->n_rows) : tokens;
    const sy_dimension x_dims[2] = {rows, sy_test_fixed(w->k)};
    const sy_dimension y_dims[2] = {rows, sy_test_fixed(w->n)};
    sy_test_graph_init(g);
    uint32_t y = sy_test_graph_value(g, "y", SY_VALUE_INPUT, SY_TYPE_F32, 2, y_dims);
    uint32_t x = sy_test_graph_value(g, "x", SY_VALUE_INPUT, SY_TYPE_F32, 2, x_dims);
    uint32_t chosen = is_chosen
                          ? sy_test_graph_value(g, "rows", SY_VALUE_INPUT, SY_TYPE_I32, 1, &rows)
                          : SY_NO_VALUE;
    uint32_t inner = y;
    if (w->form != FORM_GIVEN) {
        inner = sy_test_graph_value(g, "inner", SY_VALUE_ACTIVATION, SY_TYPE_F32, 2, y_dims);
        sy_test_graph_node(g, "", "Neg", 13, 1, &y, 1, &inner);
    }
    bool is_last = w->form == FORM_GIVEN || w->form == FORM_MADE;
    uint32_t sum = sy_test_graph_value(g, "sum", is_last ? SY_VALUE_OUTPUT : SY_VALUE_ACTIVATION,
                                       SY_TYPE_F32, 2, y_dims);
    const uint32_t inputs[3] = {inner, x, chosen};
    uint32_t node =
        sy_test_graph_node(g, "switchyard", "AdapterLinear", 1, is_chosen ? 3 : 2, inputs, 1, &sum);
    sy_test_graph_int(g, node, "slot", w->slot);
    sy_test_graph_int(g, node, "max_rank", w->max_rank);
    if (!is_last) {
        const uint32_t both[2] = {sum, w->form == FORM_READ_TWICE ? inner : y};
        uint32_t out = sy_test_graph_value(g, "out", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, y_dims);
        sy_test_graph_node(g, "", "Add", 14, 2, both, 1, &out);
    }
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_graph_finish(g, &error), error);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_OK_ERROR(sy_op_load(&w->sides[i].runner, g, &w->sides[i].unit, &error), error);
    }
    uint64_t n_rows = (uint64_t)rows.bound;
    w->x = elements(SY_TYPE_F32, n_rows * (uint64_t)w->k);
    w->y = elements(SY_TYPE_F32, n_rows * (uint64_t)w->n);
    for (uint32_t i = 0; i < 2; i++) {
        w->out[i] = calloc(n_rows * (uint64_t)w->n, sizeof(float));
        CHECK(w->out[i] != NULL);
    }
}

static void unit_free(world *w) {
    for (uint32_t i = 0; i < 2; i++) {
        sy_op_unload(&w->sides[i].unit);
        free(w->out[i]);
    }
    guarded_free(&w->x);
    guarded_free(&w->y);
    sy_test_graph_deinit(&w->graph);
}

/* What a sequence of a step uses: adapters by number, each with a scale. */
typedef struct wish {
    uint32_t n_tokens, n_uses;
    uint32_t adapters[5];
    float scales[5];
} wish;

/* A step and what it points to. */
typedef struct planned {
    sy_sequence sequences[8];
    sy_adapter_use uses[24];
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
    const void *inputs[3];
    void *outputs[1];
    sy_op_step step;
} planned;

/* Its rows begin at first_row of x and y. */
static void step_plan(world *w, uint32_t i_side, const wish *wishes, uint32_t n_wishes,
                      uint32_t first_row, planned *out) {
    uint32_t n_uses = 0, row = 0;
    for (uint32_t s = 0; s < n_wishes; s++) {
        const wish *q = &wishes[s];
        out->sequences[s] = (sy_sequence){row, q->n_tokens, 0, q->n_uses > 0 ? n_uses + 1 : 0};
        row += q->n_tokens;
        for (uint32_t i = 0; i < q->n_uses; i++) {
            out->uses[n_uses++] =
                (sy_adapter_use){w->adapters[q->adapters[i]].weights[i_side],
                                 q->scales[i] != 0.0f ? q->scales[i] : 1.0f, i + 1 < q->n_uses};
        }
    }
    memset(out->symbols, 0, sizeof(out->symbols));
    out->symbols[SY_SYMBOL_TOKENS] = row;
    out->inputs[0] = w->y.bytes + first_row * (uint64_t)w->n * 4;
    out->inputs[1] = w->x.bytes + first_row * (uint64_t)w->k * 4;
    out->inputs[2] = w->rows;
    out->outputs[0] = w->out[i_side];
    out->step = (sy_op_step){.inputs = out->inputs,
                             .outputs = out->outputs,
                             .symbols = out->symbols,
                             .n_symbols = SY_SYMBOL_COUNT_MAX,
                             .n_sequences = n_wishes,
                             .sequences = out->sequences,
                             .n_adapters = n_uses,
                             .adapters = out->uses,
                             .run = 1};
}

static sy_status step_run(world *w, uint32_t i_side, const wish *wishes, uint32_t n_wishes,
                          uint32_t first_row) {
    planned plan;
    sy_error error = {0};
    step_plan(w, i_side, wishes, n_wishes, first_row, &plan);
    return sy_op_submit(&w->sides[i_side].unit, &plan.step, &error);
}

static uint32_t rows_of(const world *w, const wish *wishes, uint32_t n_wishes) {
    uint32_t n = 0;
    for (uint32_t s = 0; s < n_wishes; s++) {
        n += wishes[s].n_tokens;
    }
    return w->n_rows > 0 ? (uint32_t)w->n_rows : n;
}

/* On both sides, which must agree. */
static void step_check(world *w, const wish *wishes, uint32_t n_wishes, const char *what) {
    for (uint32_t i = 0; i < 2; i++) {
        sy_status status = step_run(w, i, wishes, n_wishes, 0);
        CHECK_TEXT(status == SY_OK, "%s: %s", what, w->sides[i].host.report);
    }
    uint64_t n = rows_of(w, wishes, n_wishes) * (uint64_t)w->n;
    double largest = 1;
    for (uint64_t i = 0; i < n; i++) {
        double size = fabs((double)w->out[0][i]);
        largest = size > largest ? size : largest;
    }
    for (uint64_t i = 0; i < n; i++) {
        double far = fabs((double)w->out[0][i] - (double)w->out[1][i]);
        CHECK_TEXT(far <= TOLERANCE * largest, "%s: row %llu, column %llu is %g, not %g", what,
                   (unsigned long long)(i / (uint64_t)w->n),
                   (unsigned long long)(i % (uint64_t)w->n), (double)w->out[1][i],
                   (double)w->out[0][i]);
    }
}

/* Each sequence of the step by itself, on the delegate: the bits that it gets among the others. */
static void alone_check(world *w, const wish *wishes, uint32_t n_wishes, const char *what) {
    uint32_t first = 0, n_rows = rows_of(w, wishes, n_wishes);
    size_t row_bytes = (size_t)w->n * sizeof(float);
    float *all = malloc(n_rows * row_bytes);
    CHECK(all != NULL);
    CHECK_OK(step_run(w, 1, wishes, n_wishes, 0));
    memcpy(all, w->out[1], n_rows * row_bytes);
    for (uint32_t s = 0; s < n_wishes; s++) {
        CHECK_OK(step_run(w, 1, &wishes[s], 1, first));
        CHECK_TEXT(
            memcmp(w->out[1], all + first * (uint64_t)w->n, wishes[s].n_tokens * row_bytes) == 0,
            "%s: sequence %u has other bits alone", what, s);
        first += wishes[s].n_tokens;
    }
    free(all);
}

/* ---- cases ---- */
static void with_variants(void (*play)(world *w, const compare_variant *variant)) {
    compare_variant variants[COMPARE_VARIANTS];
    uint32_t n = compare_variants(variants);
    for (uint32_t i = 0; i < n; i++) {
        world *w = malloc(sizeof(*w));
        CHECK(w != NULL);
        world_open(w, variants[i].options);
        play(w, &variants[i]);
        world_close(w);
        free(w);
    }
}

static const wish mixed[5] = {{3, 1, {0}, {2.0f}},
                              {1, 0, {0}, {0}},
                              {5, 2, {1, 0}, {-0.5f, 0.25f}},
                              {1, 1, {2}, {0}},
                              {6, 4, {2, 0, 1, 2}, {1.0f, 1.0f, 0.125f, -3.0f}}};
static const wish nobody[2] = {{4, 0, {0}, {0}}, {1, 0, {0}, {0}}};

static void play_shapes(world *w, const compare_variant *variant) {
    static const sy_element_type floats[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
    static const int64_t widths[] = {72, 37, 1, 264}, columns[] = {40, 67, 128, 1};
    for (uint32_t i = 0; i < 4; i++) {
        char what[64];
        w->k = widths[i];
        w->n = columns[i];
        w->max_rank = i == 3 ? 40 : 21;
        w->slot = i % SLOTS;
        w->form = (form)i;
        w->n_tokens = 16;
        unit_make(w);
        for (uint32_t t = 0; t < 9; t++) {
            snprintf(what, sizeof(what), "%s, %d x %d, A %u, B %u", variant->name, (int)w->k,
                     (int)w->n, floats[t / 3], floats[t % 3]);
            sy_element_type a = floats[t / 3], b = floats[t % 3];
            adapter_add(w, 0, (pair_shape){1 + t, a, b, w->k, w->n});
            adapter_add(w, 1, (pair_shape){(uint32_t)w->max_rank, b, a, w->k, w->n});
            adapter_add(w, 2, (pair_shape){8, b, a, w->k, w->n});
            step_check(w, mixed, 5, what);
        }
        alone_check(w, mixed, 5, what);
        step_check(w, nobody, 2, "no adapter");
        CHECK(w->form != FORM_GIVEN || memcmp(w->out[1], w->y.bytes, 5u * 4u * (size_t)w->n) == 0);
        unit_free(w);
    }
}

static void shapes_and_types_match(void) {
    with_variants(play_shapes);
}

/* The output matrix: few rows, of which the node is told where they are in the step. */
static void play_chosen_rows(world *w, const compare_variant *variant) {
    static const int32_t rows[7] = {15, 2, 3, 4, -1, 99, 8};
    *w = (world){.sides = {w->sides[0], w->sides[1]}, .k = 64, .n = 96, .max_rank = 16};
    w->n_tokens = 16;
    w->n_rows = 7;
    w->slot = 1;
    w->form = FORM_MADE;
    memcpy(w->rows, rows, sizeof(rows));
    unit_make(w);
    adapter_add(w, 0, (pair_shape){4, SY_TYPE_F16, SY_TYPE_F16, 64, 96});
    adapter_add(w, 1, (pair_shape){16, SY_TYPE_F32, SY_TYPE_BF16, 64, 96});
    adapter_add(w, 2, (pair_shape){0}); /* leaves every node alone */
    step_check(w, mixed, 5, variant->name);
    step_check(w, nobody, 2, variant->name);
    unit_free(w);
}

static void chosen_rows_match(void) {
    with_variants(play_chosen_rows);
}

/* Adapters of 0.4 MiB under one recording; with bindings of 1 MiB two fit in a slab. What stays
 * gives the same bits whatever comes and goes beside it. */
static void play_come_and_go(world *w, const compare_variant *variant) {
    static const wish stays[2] = {{2, 1, {0}, {0}}, {1, 0, {0}, {0}}};
    const pair_shape shape = {24, SY_TYPE_F32, SY_TYPE_F32, 2048, 2048};
    float *first = malloc(3 * 2048 * sizeof(float));
    CHECK(first != NULL);
    w->k = w->n = 2048;
    w->max_rank = 32;
    w->n_tokens = 16;
    w->form = FORM_MADE;
    unit_make(w);
    step_check(w, nobody, 2, "before the first");
    adapter_add(w, 0, shape);
    step_check(w, stays, 2, variant->name);
    memcpy(first, w->out[1], 3 * 2048 * sizeof(float));
    for (uint32_t i = 0; i < 12; i++) {
        char what[64];
        uint32_t k = 1 + i % 3;
        snprintf(what, sizeof(what), "%s, change %u", variant->name, i);
        if (w->adapters[k].is_there) {
            adapter_remove(w, k);
        }
        pair_shape other = shape;
        other.rank = 8 + 8 * (i % 4);
        other.a_type = i % 2 == 0 ? SY_TYPE_F32 : SY_TYPE_F16;
        if (i < 6 || i % 2 == 0) {
            adapter_add(w, k, other);
        }
        step_check(w, stays, 2, what);
        CHECK_TEXT(memcmp(first, w->out[1], 3 * 2048 * sizeof(float)) == 0, "%s: other bits", what);
        if (i == 4) { /* in both slabs, where there are two */
            step_check(w, mixed, 5, what);
            alone_check(w, mixed, 5, what);
        }
    }
    for (uint32_t k = 0; k < 4; k++) {
        adapter_remove(w, k);
    }
    step_check(w, nobody, 2, "after the last");
    adapter_add(w, 0, shape);
    step_check(w, stays, 2, "again");
    unit_free(w);
    free(first);
}

static void adapters_come_and_go(void) {
    with_variants(play_come_and_go);
}

/* While a job runs, others come and go, and its slab becomes another memory. */
static void play_in_flight(world *w, const compare_variant *variant) {
    const pair_shape shape = {32, SY_TYPE_F32, SY_TYPE_F16, 1024, 1024};
    const size_t n_bytes = 16 * 1024 * sizeof(float);
    float *first = malloc(n_bytes);
    sy_error error = {0};
    CHECK(first != NULL);
    w->k = w->n = 1024;
    w->max_rank = 32;
    w->n_tokens = 16;
    w->form = FORM_MADE;
    unit_make(w);
    for (uint32_t i = 0; i < 3; i++) {
        adapter_add(w, i, shape);
    }
    step_check(w, mixed, 5, variant->name);
    memcpy(first, w->out[1], n_bytes);
    for (uint32_t i = 0; i < 8; i++) {
        side *s = &w->sides[1];
        planned plan;
        step_plan(w, 1, mixed, 5, 0, &plan);
        CHECK_OK_ERROR(sy_op_prepare(&s->unit, &plan.step, &error), error);
        sy_op_flight flight = {.signals = {sy_test_host_next_point(&s->host, 3)}};
        CHECK_OK_ERROR(sy_op_start(&s->unit, &plan.step, &flight, &error), error);
        if (i % 4 < 3) {
            adapter_add(w, 3 + i % 4, shape);
        } else {
            adapter_remove(w, 3);
            adapter_remove(w, 4);
        }
        CHECK_OK(s->host.services.fence_wait(s->host.services.context, flight.signals[0], 0));
        CHECK_OK_ERROR(sy_op_collect(&s->unit, &plan.step, &error), error);
        CHECK_TEXT(memcmp(first, w->out[1], n_bytes) == 0, "%s: change %u", variant->name, i);
    }
    unit_free(w);
    free(first);
}

static void others_come_and_go_while_a_job_runs(void) {
    with_variants(play_in_flight);
}

/* ---- what is refused ---- */
static sy_status create_on_delegate(world *w, uint32_t i_adapter, pair_shape shape) {
    adapter *a = &w->adapters[i_adapter];
    uint64_t n_bytes = 0;
    sy_adapter_description description = describe(w, a, shape);
    return w->sides[1].runner.plugin->adapter_create(w->sides[1].runner.device, &description,
                                                     &n_bytes, &a->weights[1]);
}

static void budgets_are_kept(void) {
    const pair_shape large = {64, SY_TYPE_F32, SY_TYPE_F32, 16384, 16384}; /* 8 MiB */
    world *w = malloc(sizeof(*w));
    uint32_t n_made = 0;
    CHECK(w != NULL);
    world_open(w, "software=on\nmemory_limit_mib=34");
    sy_status status = SY_OK;
    while (n_made < N_ADAPTERS && status == SY_OK) {
        status = create_on_delegate(w, n_made, large);
        n_made += status == SY_OK;
    }
    CHECK_TEXT(n_made >= 2 && n_made < 5, "%u adapters of 8 MiB in 34 MiB", n_made);
    CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
    CHECK_TEXT(strstr(w->sides[1].host.report, "missing") != NULL ||
                   strstr(w->sides[1].host.report, "more") != NULL,
               "%s", w->sides[1].host.report);
    for (uint32_t i = 0; i < N_ADAPTERS; i++) {
        adapter *a = &w->adapters[i];
        if (i < n_made) {
            CHECK_OK(w->sides[1].runner.plugin->adapter_destroy(a->weights[1]));
        }
        if (a->a.base != NULL) {
            guarded_free(&a->a);
            guarded_free(&a->b);
        }
        memset(a, 0, sizeof(*a));
    }
    adapter_add(w, 0, large); /* there is room again */
    world_close(w);
    free(w);
}

static void jobs_are_checked(void) {
    static const wish five[1] = {{2, 5, {0, 0, 0, 0, 0}, {0}}}, one[1] = {{2, 1, {0}, {0}}};
    world *w = malloc(sizeof(*w));
    CHECK(w != NULL);
    world_open(w, "software=on");
    w->k = 64;
    w->n = 32;
    w->max_rank = 8;
    w->n_tokens = 4;
    unit_make(w);
    adapter_add(w, 0, (pair_shape){8, SY_TYPE_F32, SY_TYPE_F32, 64, 32});
    CHECK(SY_STATUS_CLASS(step_run(w, 1, five, 1, 0)) == SY_OUT_OF_RANGE);
    sy_adapter_weights *own = w->adapters[0].weights[1];
    w->adapters[0].weights[1] = NULL;
    CHECK(SY_STATUS_CLASS(step_run(w, 1, one, 1, 0)) == SY_INVALID_ARGUMENT);
    w->adapters[0].weights[1] = own;
    step_check(w, one, 1, "after what was refused");
    static const pair_shape wrong[3] = {{9, SY_TYPE_F32, SY_TYPE_F32, 64, 32},
                                        {8, SY_TYPE_F32, SY_TYPE_F32, 65, 32},
                                        {8, SY_TYPE_F32, SY_TYPE_F32, 64, 33}};
    for (uint32_t i = 0; i < 3; i++) {
        adapter_add(w, 0, wrong[i]);
        CHECK(SY_STATUS_CLASS(step_run(w, 1, one, 1, 0)) == SY_INVALID_ARGUMENT);
    }
    unit_free(w);
    world_close(w);
    free(w);
}

static const sy_test_case cases[] = {
    {"shapes_and_types_match", shapes_and_types_match},
    {"chosen_rows_match", chosen_rows_match},
    {"adapters_come_and_go", adapters_come_and_go},
    {"others_come_and_go_while_a_job_runs", others_come_and_go_while_a_job_runs},
    {"budgets_are_kept", budgets_are_kept},
    {"jobs_are_checked", jobs_are_checked},
};
SY_TEST_MAIN(cases)
