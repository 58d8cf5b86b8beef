/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures attention of the CPU delegate through its table: one Attention node, run over as many
 * states as the model has layers and more, so that no cache holds them from one token to the next.
 *
 *   attention_bench PLUGIN.so [--threads N] [--type f16|f32|bf16|q8_0|q4_0] [--only NAME]
 *                   [--isa LEVEL] [--ms N] [--depths 0,512,2048] [--rows N]
 *                   [--pairs N] [--against OTHER.so]
 *
 * --pairs 1: the same states every time, as caches give them: what the instructions take.
 * Decode: microseconds per token of the model, and bytes of the states over the read bandwidth
 * measured beside it. Prefill of N rows (0: none), at depth 0 and 2048: multiply-adds over the f32
 * peak of the threads. --against: steps of both plugins in turn, medians of PLUGIN's time over
 * OTHER's.
 */
#include "conform/op_runner.h"
#include "measuring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    const char *name;
    uint32_t n_layers, n_heads, n_groups, d, window;
} shape;

static const shape shapes[] = {
    {"llama-1b", 16, 32, 8, 64, 0},
    {"qwen-0.5b", 24, 14, 2, 64, 0},
    {"gemma-270m", 18, 4, 1, 256, 512},
    {"gemma-270m full", 18, 4, 1, 256, 0},
};

#define ROWS 512u
#define DEPTH_MOST 2048u
#define STATES_BYTES ((uint64_t)96 << 20) /* read between two steps of the same states */
#define ALL_BYTES ((uint64_t)640 << 20)
#define PAIRS_MOST 1024u
#define DEPTHS_MOST 16u
#define DEPTH_LEAST 256u /* that the number of states is made for */
#define READ_BYTES ((uint64_t)256 << 20)

typedef struct settings {
    const char *plugin, *against, *only, *isa, *type_name;
    uint32_t n_threads, ms, n_rows, n_depths, n_pairs;
    uint32_t depths[DEPTHS_MOST];
    double peak;
    sy_element_type type;
} settings;

/* ---- one model's attention ---- */
typedef struct bench {
    const settings *set;
    const shape *shape;
    sy_test_host host;
    sy_op_runner runner;
    sy_test_graph graph;
    sy_op_unit unit;
    sy_state *states[2 * PAIRS_MOST];
    uint32_t n_pairs;
    float *q, *k, *v, *y;
} bench;

static float *random_rows(size_t n) {
    float *x = malloc(n * sizeof(float));
    uint32_t seed = 1;
    for (size_t i = 0; x != NULL && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    if (x == NULL) {
        exit(1);
    }
    return x;
}

static void graph_build(bench *b) {
    const shape *s = b->shape;
    sy_error error = {0};
    sy_dimension t = sy_test_symbol(SY_SYMBOL_TOKENS, ROWS);
    sy_dimension wide[2] = {t, sy_test_fixed(s->n_heads * s->d)};
    sy_dimension narrow[2] = {t, sy_test_fixed(s->n_groups * s->d)};
    sy_dimension rows[2] = {sy_test_fixed(DEPTH_MOST + ROWS), narrow[1]};
    sy_test_graph_init(&b->graph);
    sy_test_graph *g = &b->graph;
    uint32_t in[5] = {
        sy_test_graph_value(g, "q", SY_VALUE_INPUT, SY_TYPE_F32, 2, wide),
        sy_test_graph_value(g, "k", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "v", SY_VALUE_INPUT, SY_TYPE_F32, 2, narrow),
        sy_test_graph_value(g, "keys", SY_VALUE_STATE, b->set->type, 2, rows),
        sy_test_graph_value(g, "values", SY_VALUE_STATE, b->set->type, 2, rows),
    };
    uint32_t y = sy_test_graph_value(g, "y", SY_VALUE_OUTPUT, SY_TYPE_F32, 2, wide);
    uint32_t node = sy_test_graph_node(g, "switchyard", "Attention", 1, 5, in, 1, &y);
    sy_test_graph_int(g, node, "num_heads", s->n_heads);
    sy_test_graph_int(g, node, "num_kv_heads", s->n_groups);
    sy_test_graph_int(g, node, "window", s->window);
    must(sy_test_graph_finish(g, &error), &error);
}

static void step_run(bench *b, uint32_t i_pair, uint32_t n_past, uint32_t n_tokens, bool copies) {
    const int64_t symbols[4] = {0, n_tokens, n_tokens, 1};
    sy_sequence sequence = {0, n_tokens, n_past, 0};
    sy_error error = {0};
    sy_op_step step = {.inputs = (const void *[]){b->q, b->k, b->v},
                       .outputs = (void *[]){b->y},
                       .symbols = symbols,
                       .n_symbols = 4,
                       .n_sequences = 1,
                       .sequences = &sequence,
                       .states = &b->states[2 * i_pair]};
    sy_op_flight flight = {.n_signals = 1};
    flight.signals[0] = sy_test_host_next_point(&b->host, 0);
    if (copies) {
        must(sy_op_prepare(&b->unit, &step, &error), &error);
    }
    must(sy_op_start(&b->unit, &step, &flight, &error), &error);
}

/* Best microseconds of one step of many; every step takes the next pair of states. */
static double best_step(bench *b, uint32_t n_past, uint32_t n_tokens, uint32_t n_together) {
    double best = 1e30, end = now_us() + 1000.0 * b->set->ms;
    uint32_t i_pair = 0;
    step_run(b, 0, n_past, n_tokens, true);
    for (uint32_t n = 0; n < 3 || now_us() < end; n++) {
        double start = now_us();
        for (uint32_t i = 0; i < n_together; i++, i_pair++) {
            step_run(b, i_pair % b->n_pairs, n_past, n_tokens, false);
        }
        double us = (now_us() - start) / n_together;
        best = us < best ? us : best;
    }
    return best;
}

static double element_bytes(sy_element_type type) {
    return type == SY_TYPE_F32    ? 4.0
           : type == SY_TYPE_Q8_0 ? 34.0 / 32
           : type == SY_TYPE_Q4_0 ? 18.0 / 32
                                  : 2.0;
}

/* Of both states of one layer, as far as a row at this depth sees them. */
static double seen_bytes(const bench *b, uint32_t depth) {
    const shape *s = b->shape;
    uint32_t seen = s->window > 0 && s->window < depth + 1 ? s->window : depth + 1;
    return 2.0 * element_bytes(b->set->type) * seen * s->n_groups * s->d;
}

static void decode_line(bench *b, uint32_t depth) {
    const shape *s = b->shape;
    double n_bytes = seen_bytes(b, depth) * s->n_layers;
    double us = best_step(b, depth, 1, b->n_pairs) * s->n_layers;
    double gbs = sy_machine_measure_read(b->set->n_threads, READ_BYTES),
           least = n_bytes / gbs * 1e-3;
    printf("%-16s %-5s decode  depth %4u: %8.1f us/token, %6.2f MB of states take %7.1f us at %.1f "
           "GB/s: %.2f x\n",
           s->name, b->set->type_name, depth, us, n_bytes * 1e-6, least, gbs, us / least);
}

static void prefill_line(bench *b, uint32_t depth, uint32_t n) {
    const shape *s = b->shape;
    double pairs = 0.0, us = best_step(b, depth, n, 1);
    for (uint32_t i = depth; i < depth + n; i++) {
        pairs += s->window > 0 && i + 1 > s->window ? s->window : i + 1;
    }
    double gmacs = 2.0 * pairs * s->n_heads * s->d / us * 1e-3;
    printf("%-16s %-5s prefill %4u rows, depth %4u: %8.1f us/layer, %.1f GMAC/s: %.0f %% of %.0f\n",
           s->name, b->set->type_name, n, depth, us, gmacs, 100.0 * gmacs / b->set->peak,
           b->set->peak);
}

/* Every state gets the rows that steps gave the first pair. */
static void states_fill(bench *b) {
    sy_error error = {0};
    const sy_plugin *plugin = b->runner.plugin;
    uint64_t n_bytes = (uint64_t)(element_bytes(b->set->type) * (DEPTH_MOST + ROWS)) *
                       b->shape->n_groups * b->shape->d;
    void *rows = malloc(n_bytes);
    if (rows == NULL) {
        exit(1);
    }
    for (uint32_t at = 0; at < DEPTH_MOST + ROWS; at += ROWS) {
        step_run(b, 0, at, ROWS, at == 0);
    }
    for (uint32_t i = 2; i < 2 * b->n_pairs; i++) {
        must(plugin->state_save(b->states[i % 2], 0, DEPTH_MOST + ROWS, rows, n_bytes), &error);
        must(plugin->state_load(b->states[i], 0, DEPTH_MOST + ROWS, rows, n_bytes), &error);
    }
    free(rows);
}

/* So many that no cache holds what steps at the least depth of some length see. */
static uint32_t pairs_of(const bench *b) {
    uint32_t depth = DEPTH_MOST;
    for (uint32_t i = 0; i < b->set->n_depths; i++) {
        uint32_t own = b->set->depths[i];
        depth = own >= DEPTH_LEAST && own < depth ? own : depth;
    }
    double least = seen_bytes(b, depth), most = seen_bytes(b, DEPTH_MOST + ROWS);
    uint64_t n = (uint64_t)((double)STATES_BYTES / least) + 1;
    uint64_t limit = (uint64_t)((double)ALL_BYTES / most);
    n = n < limit ? n : limit;
    n = b->set->n_pairs > 0 ? b->set->n_pairs : n;
    return n < PAIRS_MOST ? (uint32_t)n : PAIRS_MOST;
}

/* ---- a shape ---- */
static void bench_open(bench *b, sy_plugin_entry_function entry) {
    const shape *s = b->shape;
    sy_error error = {0};
    char options[64];
    snprintf(options, sizeof(options), "isa=%s", b->set->isa);
    must(sy_test_host_init(&b->host, b->set->n_threads, &error), &error);
    must(sy_op_runner_open(&b->runner, entry(SY_ABI_VERSION, &b->host.services), &b->host, 0,
                           options, &error),
         &error);
    graph_build(b);
    must(sy_op_load(&b->runner, &b->graph, &b->unit, &error), &error);
    uint32_t width = s->n_groups * s->d;
    b->n_pairs = pairs_of(b);
    b->q = random_rows((size_t)ROWS * s->n_heads * s->d);
    b->k = random_rows((size_t)ROWS * width);
    b->v = random_rows((size_t)ROWS * width);
    b->y = random_rows((size_t)ROWS * s->n_heads * s->d);
    for (uint32_t i = 0; i < 2 * b->n_pairs; i++) {
        sy_state_description d = {.header = SY_HEADER_INIT(sy_state_description),
                                  .type = b->set->type,
                                  .role = i % 2 == 0 ? SY_STATE_KEY : SY_STATE_VALUE,
                                  .width = width,
                                  .max_tokens = DEPTH_MOST + ROWS};
        must(b->runner.plugin->state_create(b->runner.device, &d, &b->states[i]), &error);
    }
    states_fill(b);
}

static void bench_close(bench *b) {
    sy_error error = {0};
    for (uint32_t i = 0; i < 2 * b->n_pairs; i++) {
        must(b->runner.plugin->state_destroy(b->states[i]), &error);
    }
    free(b->q);
    free(b->k);
    free(b->v);
    free(b->y);
    sy_op_unload(&b->unit);
    sy_test_graph_deinit(&b->graph);
    must(sy_op_runner_close(&b->runner), &error);
    sy_test_host_deinit(&b->host);
}

static void shape_run(const settings *set, const shape *s, sy_plugin_entry_function entry) {
    static bench b;
    memset(&b, 0, sizeof(b));
    b.set = set;
    b.shape = s;
    bench_open(&b, entry);
    for (uint32_t i = 0; i < set->n_depths; i++) {
        decode_line(&b, set->depths[i]);
    }
    for (uint32_t depth = 0; set->n_rows > 0 && depth <= DEPTH_MOST; depth += DEPTH_MOST) {
        prefill_line(&b, depth, set->n_rows);
    }
    bench_close(&b);
}

/* ---- two plugins ---- */
/* Where pages lie decides more than most changes, so both are opened anew several times, each first
 * in turn. */
#define OPENED 6u
#define ROUNDS 7u
#define LINES_MOST (DEPTHS_MOST + 2)

typedef struct line {
    uint32_t n_past, n_tokens, n_ratios;
    double ratios[OPENED * ROUNDS], best[2];
} line;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double round_us(bench *b, const line *l) {
    uint32_t n = l->n_tokens > 1 ? 1 : b->n_pairs < 64 ? b->n_pairs : 64;
    double start = now_us();
    for (uint32_t i = 0; i < n; i++) {
        step_run(b, i % b->n_pairs, l->n_past, l->n_tokens, false);
    }
    return (now_us() - start) / n;
}

static void line_measure(line *l, bench *b) {
    for (int i = 0; i < 2; i++) {
        step_run(&b[i], 0, l->n_past, l->n_tokens, true);
    }
    for (uint32_t n = 0; n < ROUNDS; n++) {
        double us[2];
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t which = (i + n) % 2;
            us[which] = round_us(&b[which], l);
            l->best[which] = us[which] < l->best[which] ? us[which] : l->best[which];
        }
        l->ratios[l->n_ratios++] = us[0] / us[1];
    }
}

static void line_print(line *l, const settings *set, const shape *s) {
    qsort(l->ratios, l->n_ratios, sizeof(l->ratios[0]), by_size);
    printf("%-16s %-5s %3u rows at depth %4u: %8.1f us a layer, %8.1f us the other, ratio %.3f "
           "(%.3f to %.3f)\n",
           s->name, set->type_name, l->n_tokens, l->n_past, l->best[0], l->best[1],
           l->ratios[l->n_ratios / 2], l->ratios[l->n_ratios / 4], l->ratios[3 * l->n_ratios / 4]);
}

static void shape_compare(const settings *set, const shape *s, sy_plugin_entry_function *entries) {
    static bench b[2];
    static line lines[LINES_MOST];
    uint32_t n_lines = 0;
    for (uint32_t i = 0; i < set->n_depths; i++) {
        lines[n_lines++] = (line){set->depths[i], 1, 0, {0}, {1e30, 1e30}};
    }
    for (uint32_t depth = 0; set->n_rows > 0 && depth <= DEPTH_MOST; depth += DEPTH_MOST) {
        lines[n_lines++] = (line){depth, set->n_rows, 0, {0}, {1e30, 1e30}};
    }
    for (uint32_t k = 0; k < OPENED; k++) {
        memset(b, 0, sizeof(b));
        for (uint32_t i = 0; i < 2; i++) {
            bench *one = &b[(i + k) % 2];
            one->set = set;
            one->shape = s;
            bench_open(one, entries[(i + k) % 2]);
        }
        for (uint32_t i = 0; i < n_lines; i++) {
            line_measure(&lines[i], b);
        }
        bench_close(&b[0]);
        bench_close(&b[1]);
    }
    for (uint32_t i = 0; i < n_lines; i++) {
        line_print(&lines[i], set, s);
    }
}

/* Up to DEPTHS_MOST numbers with commas between, none above DEPTH_MOST. */
static bool depths_read(const char *text, settings *set) {
    char *end = NULL;
    for (set->n_depths = 0; set->n_depths < DEPTHS_MOST; text = end + 1) {
        unsigned long depth = strtoul(text, &end, 10);
        if (end == text || depth > DEPTH_MOST) {
            return false;
        }
        set->depths[set->n_depths++] = (uint32_t)depth;
        if (*end != ',') {
            return *end == '\0';
        }
    }
    return false;
}

static bool arguments(int argc, char **argv, settings *set) {
    static const struct {
        const char *name;
        sy_element_type type;
    } types[] = {{"f16", SY_TYPE_F16},
                 {"f32", SY_TYPE_F32},
                 {"bf16", SY_TYPE_BF16},
                 {"q8_0", SY_TYPE_Q8_0},
                 {"q4_0", SY_TYPE_Q4_0}};
    *set = (settings){.isa = "best",
                      .type_name = "f16",
                      .n_threads = 2,
                      .ms = 300,
                      .n_rows = ROWS,
                      .n_depths = 3,
                      .depths = {0, 512, DEPTH_MOST}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (name[0] != '-') {
            set->plugin = name;
            continue;
        }
        if (value == NULL) {
            return false;
        }
        i++;
        if (strcmp(name, "--threads") == 0) {
            set->n_threads = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--ms") == 0) {
            set->ms = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--rows") == 0) {
            set->n_rows = (uint32_t)strtoul(value, NULL, 10);
            set->n_rows = set->n_rows > ROWS ? ROWS : set->n_rows;
        } else if (strcmp(name, "--pairs") == 0) {
            set->n_pairs = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(name, "--depths") == 0) {
            if (!depths_read(value, set)) {
                return false;
            }
        } else if (strcmp(name, "--against") == 0) {
            set->against = value;
        } else if (strcmp(name, "--only") == 0) {
            set->only = value;
        } else if (strcmp(name, "--isa") == 0) {
            set->isa = value;
        } else if (strcmp(name, "--type") == 0) {
            set->type_name = value;
            set->type = SY_TYPE_INVALID;
        } else {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        set->type = strcmp(set->type_name, types[i].name) == 0 ? types[i].type : set->type;
    }
    return set->plugin != NULL && set->type != SY_TYPE_INVALID;
}

int main(int argc, char **argv) {
    settings set;
    sy_plugin_entry_function entries[2] = {NULL, NULL};
    void *libraries[2] = {NULL, NULL};
    sy_error error = {0};
    if (!arguments(argc, argv, &set)) {
        fprintf(stderr,
                "usage: attention_bench PLUGIN.so [--threads N] [--type f16|f32|bf16|q8_0|q4_0] "
                "[--only NAME] [--isa LEVEL] [--ms N] [--depths N,N] [--rows N] [--pairs N] "
                "[--against OTHER.so]\n");
        return 2;
    }
    must(sy_op_entry_load(set.plugin, &libraries[0], &entries[0], &error), &error);
    if (set.against != NULL) {
        must(sy_op_entry_load(set.against, &libraries[1], &entries[1], &error), &error);
    }
    sy_machine_peaks peaks = {0};
    if (set.n_rows > 0 && set.against == NULL) {
        sy_machine_measure_peaks(set.n_threads, &peaks);
    }
    set.peak = peaks.f32_gmac_per_s;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (set.only == NULL || strcmp(set.only, shapes[i].name) == 0) {
            if (set.against != NULL) {
                shape_compare(&set, &shapes[i], entries);
            } else {
                shape_run(&set, &shapes[i], entries[0]);
            }
        }
    }
    return 0;
}
