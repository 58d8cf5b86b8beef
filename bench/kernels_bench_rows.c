/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels over rows of floats, from the first cache: quantise, norms, softmax, rotation, and the
 * rest. One thread; their share of a step is small and splits by rows. */
#include "kernels_bench.h"

#include <stdio.h>
#include <string.h>

#define WIDTH_MOST 8192u
#define HEAD 128u
#define CALL_NS 20000u /* one timing */
#define TIMINGS 200u

typedef struct row_work {
    const cpu_row_kernels *rows;
    size_t n;
    float x[WIDTH_MOST], y[WIDTH_MOST], scale[WIDTH_MOST], out[WIDTH_MOST];
    _Alignas(64) uint8_t quantised[WIDTH_MOST * 4];
} row_work;

double bench_best_ns(void (*call)(void *user), void *user) {
    uint64_t turns = 1, ns = 0;
    for (;; turns *= 2) { /* long enough for the clock */
        uint64_t start = sy_machine_now_ns();
        for (uint64_t i = 0; i < turns; i++) {
            call(user);
        }
        ns = sy_machine_now_ns() - start;
        if (ns >= CALL_NS) {
            break;
        }
    }
    double best = (double)ns / (double)turns;
    for (uint32_t timing = 0; timing < TIMINGS; timing++) {
        uint64_t start = sy_machine_now_ns();
        for (uint64_t i = 0; i < turns; i++) {
            call(user);
        }
        double each = (double)(sy_machine_now_ns() - start) / (double)turns;
        best = each < best ? each : best;
    }
    return best;
}

static void quantise_8(void *user) {
    row_work *w = user;
    w->rows->quantise(w->x, w->n, CPU_PLANES_8, w->quantised);
}
static void quantise_16(void *user) {
    row_work *w = user;
    w->rows->quantise(w->x, w->n, CPU_PLANES_16, w->quantised);
}
static void rms_norm(void *user) {
    row_work *w = user;
    w->rows->rms_norm(w->x, w->scale, w->n, 1e-6f, w->out);
}
static void layer_norm(void *user) {
    row_work *w = user;
    w->rows->layer_norm(w->x, w->scale, w->y, w->n, 1e-6f, w->out);
}
static void softmax(void *user) {
    row_work *w = user;
    w->rows->softmax(w->x, w->n, w->out);
}
static void add(void *user) {
    row_work *w = user;
    w->rows->binary(CPU_BINARY_ADD, w->x, w->y, w->n, w->out);
}
static void gated_silu(void *user) {
    row_work *w = user;
    w->rows->gated(CPU_UNARY_SILU, w->x, w->y, w->n, w->out);
}
static void gated_gelu(void *user) {
    row_work *w = user;
    w->rows->gated(CPU_UNARY_GELU_TANH, w->x, w->y, w->n, w->out);
}
static void unary_exp(void *user) {
    row_work *w = user;
    w->rows->unary(CPU_UNARY_EXP, w->x, w->n, 1.0f, w->out);
}
/* Heads of the row one after another, as RotaryEmbedding does. */
static void rotate_heads(row_work *w, bool interleaved) {
    for (size_t i = 0; i + HEAD <= w->n; i += HEAD) {
        w->rows->rotate(w->x + i, HEAD, HEAD / 2, interleaved, w->y, w->out + i);
    }
}
static void rotate_halves(void *user) {
    rotate_heads(user, false);
}
static void rotate_pairs(void *user) {
    rotate_heads(user, true);
}

static const struct {
    const char *name;
    void (*call)(void *user);
    uint32_t bytes; /* read and written per element */
} benches[] = {
    {"quantise, 8 bits", quantise_8, 5},
    {"quantise, 16 bits", quantise_16, 6},
    {"RMS norm", rms_norm, 12},
    {"layer norm", layer_norm, 16},
    {"softmax", softmax, 8},
    {"add", add, 12},
    {"SiLU(x) * y", gated_silu, 12},
    {"GELU tanh(x) * y", gated_gelu, 12},
    {"exp", unary_exp, 8},
    {"rotate halves", rotate_halves, 8},
    {"rotate pairs", rotate_pairs, 8},
};

void bench_row_kernels(const bench_options *options, const cpu_kernels *kernels) {
    static row_work work;
    work.rows = kernels->rows;
    work.n = options->k <= WIDTH_MOST ? options->k : WIDTH_MOST;
    for (size_t i = 0; i < WIDTH_MOST; i++) {
        work.x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
        work.y[i] = (float)(i * 53 % 97) / 48.0f - 1.0f;
        work.scale[i] = 1.0f + (float)(i % 7) / 16.0f;
    }
    printf("\n%-11s %-18s %6s %10s %12s %9s\n", "level", "row kernel", "n", "ns", "elements/ns",
           "GB/s");
    for (size_t b = 0; b < sizeof(benches) / sizeof(benches[0]); b++) {
        double ns = bench_best_ns(benches[b].call, &work);
        printf("%-11s %-18s %6zu %10.1f %12.2f %9.1f\n", kernels->name, benches[b].name, work.n, ns,
               (double)work.n / ns, (double)work.n * benches[b].bytes / ns);
    }
}
