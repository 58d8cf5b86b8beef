/* SPDX-License-Identifier: Apache-2.0 */
/* Attention against the reference far into a context, and equal bits however a prompt is cut, on
 * how many workers it runs, what lies beside it in the states, and what is merged into its step. */
#include "blocks.h"
#include "kernels.h"
#include "op_compare.h"

#define ROWS_MOST 24u
#define DEPTH_MOST 3008u

typedef struct shape {
    int64_t n_heads, n_groups, d, dv, window;
    sy_element_type type, keys, values;
    double softcap;
    bool has_sinks;
} shape;

static const sy_element_type f32 = SY_TYPE_F32, f16 = SY_TYPE_F16, bf16 = SY_TYPE_BF16,
                             q8 = SY_TYPE_Q8_0, q4 = SY_TYPE_Q4_0;

/* How many rows a sequence of the graph may have is a fixed bound; states are as long as the test
 * is deep. */
static uint32_t attention_node(compare *c, const shape *s, const uint32_t *qkv, uint32_t y,
                               uint32_t max_tokens) {
    uint32_t in[6] = {qkv[0], qkv[1], qkv[2], 0, 0, SY_NO_VALUE};
    in[3] = compare_state(c, s->keys, SY_STATE_KEY, (uint32_t)(s->n_groups * s->d), max_tokens);
    in[4] =
        compare_state(c, s->values, SY_STATE_VALUE, (uint32_t)(s->n_groups * s->dv), max_tokens);
    if (s->has_sinks) {
        in[5] = compare_weight(c, SY_TYPE_F32, 1, &s->n_heads);
    }
    uint32_t node = sy_test_graph_node(&c->graph, "switchyard", "Attention", 1, 6, in, 1, &y);
    sy_test_graph_int(&c->graph, node, "num_heads", s->n_heads);
    sy_test_graph_int(&c->graph, node, "num_kv_heads", s->n_groups);
    sy_test_graph_float(&c->graph, node, "softcap", s->softcap);
    sy_test_graph_int(&c->graph, node, "window", s->window);
    return node;
}

static uint32_t rows_by(compare *c, sy_element_type type, int64_t width, uint32_t n,
                        bool is_input) {
    sy_dimension dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, n), sy_test_fixed(width)};
    return is_input ? compare_input(c, type, 2, dims) : compare_inner(c, type, 2, dims);
}

static void graph_build(compare *c, const shape *s, uint32_t n_rows, uint32_t max_tokens) {
    sy_dimension y_dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, n_rows),
                              sy_test_fixed(s->n_heads * s->dv)};
    uint32_t qkv[3] = {rows_by(c, s->type, s->n_heads * s->d, n_rows, true),
                       rows_by(c, s->type, s->n_groups * s->d, n_rows, true),
                       rows_by(c, s->type, s->n_groups * s->dv, n_rows, true)};
    attention_node(c, s, qkv, compare_output(c, s->type, 2, y_dims), max_tokens);
}

/* ---- against the reference ---- */
static void check_shape(const shape *s, uint32_t depth, double tolerance) {
    compare c;
    char what[120];
    compare_init(&c, tolerance);
    graph_build(&c, s, ROWS_MOST, DEPTH_MOST + ROWS_MOST);
    c.n_past_rows = depth;
    c.n_sequences = 3; /* 12 + 1 + 11 rows */
    c.sequences[0] = (sy_sequence){0, 12, depth, 0};
    c.sequences[1] = (sy_sequence){12, 1, depth > 20 ? depth - 17 : depth, 0};
    c.sequences[2] = (sy_sequence){13, 11, depth > 300 ? 250 : depth, 0};
    snprintf(what, sizeof(what), "H %d G %d D %d Dv %d window %d type %u keys %u values %u past %u",
             (int)s->n_heads, (int)s->n_groups, (int)s->d, (int)s->dv, (int)s->window, s->type,
             s->keys, s->values, depth);
    compare_run(&c, what);
    compare_deinit(&c);
}

static void float_states_match(void) {
    const shape shapes[] = {
        {4, 1, 64, 64, 0, f32, f16, f16, 0.0, false},
        {7, 1, 64, 64, 0, f32, f16, f32, 0.0, true},
        {4, 1, 256, 256, 97, f32, f16, f16, 0.0, false},
        {3, 3, 40, 24, 0, f32, bf16, f16, 3.0, true},
        {9, 1, 32, 48, 300, f32, f32, bf16, 0.0, false},
        {2, 2, 80, 80, 0, f32, f32, f32, 0.0, false},
        {4, 2, 33, 7, 513, f32, f16, f16, 1.5, true},
        {2, 1, 5, 3, 0, f32, f16, bf16, 0.0, false},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_shape(&shapes[i], 0, 6e-6);
        check_shape(&shapes[i], 250, 6e-6);
        check_shape(&shapes[i], 777, 6e-6);
    }
    check_shape(&shapes[0], DEPTH_MOST, 6e-6);
    check_shape(&shapes[4], DEPTH_MOST, 6e-6);
}

static void block_states_match(void) {
    const shape shapes[] = {
        {4, 2, 64, 64, 0, f32, q8, q8, 0.0, false},    {7, 1, 64, 32, 0, f32, q4, q8, 0.0, true},
        {4, 1, 128, 128, 97, f32, q8, q4, 2.0, false}, {3, 1, 96, 64, 0, f32, q4, q4, 0.0, false},
        {8, 2, 16, 48, 0, f32, q8, q8, 0.0, false},    {4, 1, 64, 64, 0, f32, q8, f16, 0.0, false},
        {2, 1, 32, 64, 300, f32, f16, q4, 0.0, true},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_shape(&shapes[i], 0, 5e-5);
        check_shape(&shapes[i], 250, 5e-5);
        check_shape(&shapes[i], 777, 5e-5);
    }
    check_shape(&shapes[0], DEPTH_MOST, 5e-5);
}

static void other_activations_match(void) {
    const shape half = {4, 2, 64, 64, 0, f16, f16, f16, 0.0, false};
    const shape brain = {4, 2, 64, 64, 100, bf16, bf16, q8, 0.0, true};
    check_shape(&half, 300, 1e-3);
    check_shape(&brain, 300, 8e-3);
}

/* ---- equal bits ---- */
#define PROMPT 700u

typedef struct session {
    sy_test_host host;
    sy_op_runner runner;
    sy_op_unit unit;
    sy_state *states[2];
    const compare *c;
    uint64_t in_bytes[4], out_bytes; /* of one row of each input */
} session;

/* level NULL: on the reference */
static void session_open(session *l, const compare *c, uint32_t n_workers, const char *level) {
    sy_error error = {0};
    char options[64];
    memset(l, 0, sizeof(*l));
    l->c = c;
    snprintf(options, sizeof(options), "isa=%s", level != NULL ? level : "");
    CHECK_OK_ERROR(sy_test_host_init(&l->host, n_workers, &error), error);
    const sy_plugin *plugin =
        level != NULL ? compare_delegate_entry(&l->host) : compare_reference_entry(&l->host);
    CHECK_OK_ERROR(
        sy_op_runner_open(&l->runner, plugin, &l->host, 0, level != NULL ? options : NULL, &error),
        error);
    CHECK_OK_ERROR(sy_op_load(&l->runner, &c->graph, &l->unit, &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(l->runner.plugin->state_create(l->runner.device, &c->states[i], &l->states[i]));
    }
    const int64_t one[4] = {0, 1, 1, 1};
    for (uint32_t i = 0; i < c->graph.segment.n_inputs; i++) {
        CHECK(sy_test_value_bytes(&c->graph.values[c->graph.segment.inputs[i]], one, 4,
                                  &l->in_bytes[i]));
    }
    CHECK(
        sy_test_value_bytes(&c->graph.values[c->graph.segment.outputs[0]], one, 4, &l->out_bytes));
}

static void session_close(session *l) {
    CHECK_OK(l->runner.plugin->state_destroy(l->states[0]));
    CHECK_OK(l->runner.plugin->state_destroy(l->states[1]));
    sy_op_unload(&l->unit);
    CHECK_OK(sy_op_runner_close(&l->runner));
    CHECK_TEXT(l->host.n_live == 0 && l->host.n_misuses == 0, "%s", l->host.misuse);
    sy_test_host_deinit(&l->host);
}

/* Rows of the first output; a second one is let go. */
static void session_step(session *l, uint32_t first, uint32_t n, uint8_t *out) {
    static uint8_t second[PROMPT * 1024];
    const int64_t symbols[4] = {0, n, n, 1};
    const void *inputs[4] = {NULL};
    sy_sequence sequence = {0, n, first, 0};
    sy_error error = {0};
    for (uint32_t i = 0; i < l->c->graph.segment.n_inputs; i++) {
        inputs[i] = (const uint8_t *)l->c->inputs[i] + first * l->in_bytes[i];
    }
    sy_op_step step = {.inputs = inputs,
                       .outputs = (void *[]){out + first * l->out_bytes, second},
                       .symbols = symbols,
                       .n_symbols = 4,
                       .n_sequences = 1,
                       .sequences = &sequence,
                       .states = l->states};
    CHECK_OK_ERROR(sy_op_submit(&l->unit, &step, &error), error);
}

/* All rows in one step, then the last ones again in pieces over the same states. */
static void check_pieces(const compare *c, const char *level, uint32_t n_workers) {
    session l;
    session_open(&l, c, n_workers, level);
    uint8_t *whole = calloc(PROMPT + 1, l.out_bytes), *other = calloc(PROMPT + 1, l.out_bytes);
    CHECK(whole != NULL && other != NULL);
    session_step(&l, 0, PROMPT, whole);
    const uint32_t pieces[] = {1, 3, 17, 65, 300};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        uint32_t first = pieces[i] < 17 ? PROMPT - 300 : 0;
        for (uint32_t at = first; at < PROMPT; at += pieces[i]) {
            uint32_t n = PROMPT - at < pieces[i] ? PROMPT - at : pieces[i];
            session_step(&l, at, n, other);
        }
        CHECK_TEXT(memcmp(whole + first * l.out_bytes, other + first * l.out_bytes,
                          (PROMPT - first) * l.out_bytes) == 0,
                   "%s, %u workers: other bits in pieces of %u", level, n_workers, pieces[i]);
    }
    free(whole);
    free(other);
    session_close(&l);
}

static void pieces_keep_the_bits(void) {
    const shape shapes[] = {
        {4, 1, 64, 64, 0, f32, f16, f16, 0.0, false}, {7, 1, 32, 32, 290, f32, q8, q8, 0.0, true},
        {2, 2, 64, 32, 0, f32, q4, bf16, 4.0, false}, {3, 1, 20, 12, 40, f16, f32, f32, 0.0, false},
        {6, 2, 16, 16, 0, f32, q8, q4, 0.0, false},
    };
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        compare c;
        sy_error error = {0};
        compare_init(&c, 0.0);
        graph_build(&c, &shapes[i], PROMPT, PROMPT);
        CHECK_OK_ERROR(sy_test_graph_finish(&c.graph, &error), error);
        for (size_t j = 0; levels[j] != NULL; j++) {
            check_pieces(&c, levels[j]->name, 1 + (uint32_t)(i + j) % 3);
        }
        compare_deinit(&c);
    }
}

/* The last row after `depth` others, with or without leftovers behind it. */
static void last_row(const compare *c, const char *level, uint32_t n_workers, uint32_t depth,
                     bool has_leftovers, uint8_t *out) {
    session l;
    session_open(&l, c, n_workers, level);
    session_step(&l, 0, depth, out);
    for (int i = 0; has_leftovers && i < 2; i++) {
        uint8_t broken[32 * 1024];
        memset(broken, 0xff, sizeof(broken)); /* NaN in f32, f16, bf16, and in factors of blocks */
        CHECK_OK(l.runner.plugin->state_load(l.states[i], depth, 60, broken, sizeof(broken)));
    }
    session_step(&l, depth, 1, out);
    memmove(out, out + depth * l.out_bytes, l.out_bytes);
    session_close(&l);
}

static void leftovers_do_not_matter(void) {
    const shape shapes[] = {
        {4, 1, 64, 64, 0, f32, f16, f16, 0.0, false},
        {2, 1, 32, 32, 30, f32, q8, q8, 0.0, true},
        {2, 2, 64, 64, 0, f32, q4, q4, 0.0, false},
        {3, 1, 20, 12, 0, f32, bf16, f32, 2.0, false},
    };
    const uint32_t depths[] = {1, 15, 16, 37, 255, 256, 300};
    static uint8_t clean[PROMPT * 4096], used[PROMPT * 4096];
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        compare c;
        sy_error error = {0};
        compare_init(&c, 0.0);
        graph_build(&c, &shapes[i], PROMPT, PROMPT);
        CHECK_OK_ERROR(sy_test_graph_finish(&c.graph, &error), error);
        for (size_t j = 0; levels[j] != NULL; j++) {
            for (size_t k = 0; k < sizeof(depths) / sizeof(depths[0]); k++) {
                last_row(&c, levels[j]->name, 1, depths[k], false, clean);
                last_row(&c, levels[j]->name, 1 + (uint32_t)k % 3, depths[k], true, used);
                CHECK_TEXT(memcmp(clean, used, (size_t)(shapes[i].n_heads * shapes[i].dv) * 4) == 0,
                           "%s shape %zu after %u rows", levels[j]->name, i, depths[k]);
            }
        }
        compare_deinit(&c);
    }
}

/* A NaN in one row reaches the rows behind it and no row before. */
static void later_rows_do_not_reach_back(void) {
    const shape s = {2, 1, 64, 64, 0, f32, f16, f16, 0.0, false};
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        compare c;
        session l;
        sy_error error = {0};
        static float whole[PROMPT * 128], other[PROMPT * 128];
        compare_init(&c, 0.0);
        graph_build(&c, &s, PROMPT, PROMPT);
        CHECK_OK_ERROR(sy_test_graph_finish(&c.graph, &error), error);
        session_open(&l, &c, 2, levels[i]->name);
        session_step(&l, 0, 100, (uint8_t *)whole);
        for (uint32_t input = 1; input < 3; input++) {
            float *rows = NULL;
            memcpy(&rows, &c.inputs[input], sizeof(rows));
            rows[53 * 64 + 7] = NAN;
        }
        session_step(&l, 0, 100, (uint8_t *)other);
        CHECK_TEXT(memcmp(whole, other, 53 * 128 * sizeof(float)) == 0, "%s", levels[i]->name);
        for (uint32_t r = 53; r < 100; r++) {
            CHECK(isnan(other[r * 128 + 7]) && isnan(other[r * 128 + 64 + 7]));
        }
        session_close(&l);
        compare_deinit(&c);
    }
}

/* ---- norms and rotations in front ---- */
typedef struct front {
    bool has_norm, has_rotation, is_read_twice, is_interleaved;
    sy_element_type type;
} front;

static uint32_t turn(compare *c, const front *f, uint32_t x, int64_t n_heads, int64_t d,
                     uint32_t positions, uint32_t frequency, uint32_t n_rows) {
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, n_rows);
    if (f->has_norm) {
        sy_dimension split[3] = {t, sy_test_fixed(n_heads), sy_test_fixed(d)};
        const int64_t to_heads[3] = {0, n_heads, d}, to_row[2] = {0, n_heads * d};
        uint32_t heads = compare_inner(c, f->type, 3, split);
        uint32_t normed = compare_inner(c, f->type, 3, split);
        uint32_t joined = rows_by(c, f->type, n_heads * d, n_rows, false);
        uint32_t in[2] = {x, compare_weight_i64(c, to_heads, 3)};
        sy_test_graph_node(&c->graph, "", "Reshape", 14, 2, in, 1, &heads);
        uint32_t node = sy_test_graph_node(
            &c->graph, "", "RMSNormalization", 23, 2,
            (uint32_t[]){heads, compare_weight(c, SY_TYPE_F32, 1, &d)}, 1, &normed);
        sy_test_graph_float(&c->graph, node, "epsilon", 1e-5);
        sy_test_graph_node(&c->graph, "", "Reshape", 14, 2,
                           (uint32_t[]){normed, compare_weight_i64(c, to_row, 2)}, 1, &joined);
        x = joined;
    }
    if (f->has_rotation) {
        uint32_t turned = rows_by(c, f->type, n_heads * d, n_rows, false);
        uint32_t node = sy_test_graph_node(&c->graph, "switchyard", "RotaryEmbedding", 1, 3,
                                           (uint32_t[]){x, positions, frequency}, 1, &turned);
        sy_test_graph_int(&c->graph, node, "num_heads", n_heads);
        sy_test_graph_int(&c->graph, node, "interleaved", f->is_interleaved ? 1 : 0);
        x = turned;
    }
    return x;
}

static void front_build(compare *c, const front *f, const shape *s, uint32_t n_rows) {
    int32_t numbers[PROMPT];
    for (uint32_t i = 0; i < n_rows; i++) {
        numbers[i] = (int32_t)i;
    }
    const int64_t n_pairs = s->d / 2 - 1;
    sy_dimension y_dims[2] = {sy_test_symbol(SY_SYMBOL_TOKENS, n_rows),
                              sy_test_fixed(s->n_heads * s->dv)};
    uint32_t qkv[3] = {rows_by(c, f->type, s->n_heads * s->d, n_rows, true),
                       rows_by(c, f->type, s->n_groups * s->d, n_rows, true),
                       rows_by(c, f->type, s->n_groups * s->dv, n_rows, true)};
    uint32_t positions = compare_input_i32(c, y_dims[0], numbers, n_rows);
    uint32_t frequency = compare_weight(c, SY_TYPE_F32, 1, &n_pairs);
    qkv[0] = turn(c, f, qkv[0], s->n_heads, s->d, positions, frequency, n_rows);
    qkv[1] = turn(c, f, qkv[1], s->n_groups, s->d, positions, frequency, n_rows);
    attention_node(c, s, qkv, compare_output(c, f->type, 2, y_dims), PROMPT);
    if (f->is_read_twice) {
        sy_dimension q_dims[2] = {y_dims[0], sy_test_fixed(s->n_heads * s->d)};
        uint32_t twice = compare_output(c, f->type, 2, q_dims);
        sy_test_graph_node(&c->graph, "", "Add", 14, 2, (uint32_t[]){qkv[0], qkv[0]}, 1, &twice);
    }
}

#define FRONT_ROWS 90u
#define FRONT_WIDTH 256 /* of q and y */

static void front_open(compare *c, front f, bool is_read_twice) {
    const shape s = {4, 2, 64, 64, 0, f.type, f.type, f.type, 0.0, false};
    sy_error error = {0};
    f.is_read_twice = is_read_twice;
    compare_init(c, 0.0);
    front_build(c, &f, &s, FRONT_ROWS);
    CHECK_OK_ERROR(sy_test_graph_finish(&c->graph, &error), error);
}

/* The graph of `to` begins with the values of `from`. */
static void front_copy(const compare *from, compare *to) {
    for (uint32_t i = 0; i < from->graph.n_values; i++) {
        const sy_value_view *a = &from->graph.values[i], *b = &to->graph.values[i];
        CHECK(a->kind == b->kind || b->kind == SY_VALUE_OUTPUT);
        if (a->kind == SY_VALUE_WEIGHT) {
            memcpy(b->data.pointer, a->data.pointer, (size_t)a->data.length_bytes);
        }
    }
    for (uint32_t i = 0; i < from->n_inputs; i++) {
        uint64_t n_bytes = 0;
        void *bytes = NULL;
        CHECK(sy_test_value_bytes(&from->graph.values[from->graph.segment.inputs[i]], NULL, 0,
                                  &n_bytes));
        memcpy(&bytes, &to->inputs[i], sizeof(bytes));
        memcpy(bytes, from->inputs[i], n_bytes);
    }
}

/* y of FRONT_ROWS rows as floats. */
static void front_run(const compare *c, sy_element_type type, const char *level, float *out) {
    session l;
    static uint8_t bytes[FRONT_ROWS * FRONT_WIDTH * 4];
    session_open(&l, c, 2, level);
    session_step(&l, 0, FRONT_ROWS, bytes);
    CHECK_OK(sy__row_decode(type, bytes, FRONT_ROWS * FRONT_WIDTH, out));
    session_close(&l);
}

/* A turned q that something else reads as well cannot be merged: with it and without, the same. */
static void norms_and_rotations_match(void) {
    const front fronts[] = {
        {false, true, false, false, f32}, {true, true, false, false, f32},
        {true, false, false, false, f32}, {false, true, false, true, f32},
        {true, true, false, false, f16},  {false, true, false, false, bf16},
    };
    static float expected[FRONT_ROWS * FRONT_WIDTH], merged[FRONT_ROWS * FRONT_WIDTH],
        apart[FRONT_ROWS * FRONT_WIDTH];
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; i < sizeof(fronts) / sizeof(fronts[0]); i++) {
        double tolerance = fronts[i].type == f32 ? 1e-5 : fronts[i].type == f16 ? 4e-3 : 3e-2;
        compare once, twice;
        front_open(&once, fronts[i], false);
        front_open(&twice, fronts[i], true);
        front_copy(&once, &twice);
        front_run(&once, fronts[i].type, NULL, expected);
        for (size_t j = 0; levels[j] != NULL; j++) {
            front_run(&once, fronts[i].type, levels[j]->name, merged);
            front_run(&twice, fronts[i].type, levels[j]->name, apart);
            CHECK_TEXT(memcmp(merged, apart, sizeof(merged)) == 0, "front %zu on %s", i,
                       levels[j]->name);
            for (size_t k = 0; k < sizeof(expected) / sizeof(expected[0]); k++) {
                CHECK_TEXT(fabs((double)expected[k] - (double)merged[k]) <= tolerance * 4.0,
                           "front %zu on %s: [%zu] is %g, not %g", i, levels[j]->name, k,
                           (double)merged[k], (double)expected[k]);
            }
        }
        compare_deinit(&once);
        compare_deinit(&twice);
    }
}

static void merged_steps_keep_the_bits(void) {
    const shape s = {4, 2, 64, 64, 0, f32, f16, f16, 0.0, false};
    const front f = {true, true, false, false, f32};
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        compare c;
        sy_error error = {0};
        compare_init(&c, 0.0);
        front_build(&c, &f, &s, PROMPT);
        CHECK_OK_ERROR(sy_test_graph_finish(&c.graph, &error), error);
        check_pieces(&c, levels[i]->name, 2);
        compare_deinit(&c);
    }
}

/* ---- a product behind ---- */
/* z = y * w; y is rounded by the tasks of attention where its heads have whole blocks. */
static void product_build(compare *c, const shape *s, uint32_t n_rows, bool y_is_seen) {
    const int64_t w_dims[2] = {48, s->n_heads * s->dv};
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, n_rows);
    sy_dimension z_dims[2] = {t, sy_test_fixed(48)}, y_dims[2] = {t, sy_test_fixed(w_dims[1])};
    uint32_t qkv[3] = {rows_by(c, s->type, s->n_heads * s->d, n_rows, true),
                       rows_by(c, s->type, s->n_groups * s->d, n_rows, true),
                       rows_by(c, s->type, s->n_groups * s->dv, n_rows, true)};
    uint32_t z = compare_output(c, s->type, 2, z_dims);
    uint32_t y =
        y_is_seen ? compare_output(c, s->type, 2, y_dims) : compare_inner(c, s->type, 2, y_dims);
    uint32_t w = compare_weight(c, SY_TYPE_Q8_0, 2, w_dims);
    attention_node(c, s, qkv, y, PROMPT);
    sy_test_graph_node(&c->graph, "switchyard", "Linear", 1, 2, (uint32_t[]){y, w}, 1, &z);
}

static void product_run(const compare *c, const char *level, uint8_t *out) {
    session l;
    session_open(&l, c, 2, level);
    session_step(&l, 0, FRONT_ROWS, out);
    session_close(&l);
}

static void products_of_results_match(void) {
    const shape shapes[] = {
        {4, 2, 64, 64, 0, f32, f16, f16, 0.0, false},
        {5, 1, 32, 32, 40, f32, q8, q8, 0.0, true},
        {4, 1, 64, 40, 0, f32, f16, f16, 0.0, false},
        {4, 2, 32, 64, 0, f16, f16, f16, 0.0, false},
    };
    static uint8_t seen[FRONT_ROWS * 48 * 4], unseen[FRONT_ROWS * 48 * 4];
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        compare once, twice;
        compare_init(&once, shapes[i].type == f32 ? 1e-3 : 4e-3);
        compare_init(&twice, 0.0);
        product_build(&once, &shapes[i], PROMPT, false);
        product_build(&twice, &shapes[i], PROMPT, true);
        sy_error error = {0};
        CHECK_OK_ERROR(sy_test_graph_finish(&twice.graph, &error), error);
        once.n_sequences = 2;
        once.sequences[0] = (sy_sequence){0, PROMPT - 100, 0, 0};
        once.sequences[1] = (sy_sequence){PROMPT - 100, 100, 0, 0};
        compare_run(&once, "a product of attention");
        front_copy(&once, &twice);
        for (size_t j = 0; levels[j] != NULL; j++) {
            product_run(&once, levels[j]->name, unseen);
            product_run(&twice, levels[j]->name, seen);
            CHECK_TEXT(memcmp(seen, unseen, FRONT_ROWS * 48 * (shapes[i].type == f32 ? 4 : 2)) == 0,
                       "shape %zu on %s", i, levels[j]->name);
            check_pieces(&once, levels[j]->name, 1 + (uint32_t)j % 3);
        }
        compare_deinit(&once);
        compare_deinit(&twice);
    }
}

static const sy_test_case cases[] = {
    {"float_states_match", float_states_match},
    {"block_states_match", block_states_match},
    {"other_activations_match", other_activations_match},
    {"pieces_keep_the_bits", pieces_keep_the_bits},
    {"leftovers_do_not_matter", leftovers_do_not_matter},
    {"later_rows_do_not_reach_back", later_rows_do_not_reach_back},
    {"norms_and_rotations_match", norms_and_rotations_match},
    {"merged_steps_keep_the_bits", merged_steps_keep_the_bits},
    {"products_of_results_match", products_of_results_match},
};
SY_TEST_MAIN(cases)
