/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sy_kernels_bench: the kernels of cpu-xnnpack alone. Every block and plain type x ISA level x
 * number of rows: bytes of weights and multiply-adds a second, and how near that is to what the
 * machine can do. `sy_kernels_bench --help` tells the flags.
 */
#include "kernels_bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLICE_MACS 4.0e8 /* most of one pass over large weights: keeps slow levels short */
#define PASS_NS 3000000.0
#define PASSES 7u

typedef struct type_row {
    sy_element_type type;
    const char *name;
    uint32_t n_block_elements, n_block_bytes;
} type_row;

/* Bytes of a block as GGUF has them. */
static const type_row types[] = {
    {SY_TYPE_Q4_0, "Q4_0", 32, 18},      {SY_TYPE_Q4_1, "Q4_1", 32, 20},
    {SY_TYPE_Q5_0, "Q5_0", 32, 22},      {SY_TYPE_Q5_1, "Q5_1", 32, 24},
    {SY_TYPE_Q8_0, "Q8_0", 32, 34},      {SY_TYPE_Q2_K, "Q2_K", 256, 84},
    {SY_TYPE_Q3_K, "Q3_K", 256, 110},    {SY_TYPE_Q4_K, "Q4_K", 256, 144},
    {SY_TYPE_Q5_K, "Q5_K", 256, 176},    {SY_TYPE_Q6_K, "Q6_K", 256, 210},
    {SY_TYPE_IQ4_NL, "IQ4_NL", 32, 18},  {SY_TYPE_IQ4_XS, "IQ4_XS", 256, 136},
    {SY_TYPE_MXFP4, "MXFP4", 32, 17},    {SY_TYPE_IQ2_XXS, "IQ2_XXS", 256, 66},
    {SY_TYPE_IQ2_XS, "IQ2_XS", 256, 74}, {SY_TYPE_IQ3_XXS, "IQ3_XXS", 256, 98},
    {SY_TYPE_IQ1_S, "IQ1_S", 256, 50},   {SY_TYPE_IQ3_S, "IQ3_S", 256, 110},
    {SY_TYPE_IQ2_S, "IQ2_S", 256, 82},   {SY_TYPE_IQ1_M, "IQ1_M", 256, 56},
    {SY_TYPE_F16, "f16", 1, 2},          {SY_TYPE_BF16, "bf16", 1, 2},
    {SY_TYPE_F32, "f32", 1, 4},
};

/* One measurement; passes take turns over the slices of the weights. */
typedef struct linear_work {
    const bench_options *options;
    const cpu_type_kernels *kernels;
    cpu_linear whole; /* all columns of one slice, all rows */
    const uint8_t *weights;
    uint8_t *spaces; /* one per thread */
    size_t space_bytes;
    uint64_t n_slices, slice_bytes, turns;
} linear_work;

static void *map_bytes(uint64_t n_bytes) {
    void *mapped = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        fprintf(stderr, "sy_kernels_bench: %llu bytes of memory were refused.\n",
                (unsigned long long)n_bytes);
        exit(1);
    }
    return mapped;
}

/* Bytes that are harmless wherever a factor lies: as f16, bf16 and f32 all are small normal
 * numbers, so that nothing becomes infinite or denormal. */
static void fill_weights(uint8_t *bytes, uint64_t n_bytes) {
    uint32_t random = 2463534242u;
    for (uint64_t i = 0; i < n_bytes; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(0x24 + (random >> 24) % 24);
    }
}

static void linear_pass(void *user, uint32_t i_thread, uint32_t i_pass) {
    const linear_work *work = user;
    const bench_options *options = work->options;
    for (uint64_t turn = 0; turn < work->turns; turn++) {
        uint64_t i_slice = (i_pass * work->turns + turn) % work->n_slices;
        const uint8_t *weights = work->weights + i_slice * work->slice_bytes;
        size_t each = (work->whole.n_columns + options->n_threads - 1) / options->n_threads;
        size_t first = each * i_thread, end = first + each;
        end = end < work->whole.n_columns ? end : work->whole.n_columns;
        for (size_t c = first; c < end; c += options->columns) {
            cpu_linear l = work->whole;
            l.n_columns = end - c < options->columns ? end - c : options->columns;
            l.weights = weights + c * l.weight_row_bytes;
            l.out += c;
            l.space = work->spaces + i_thread * work->space_bytes;
            if (c + l.n_columns < end) { /* as the delegate does within a worker's range */
                l.ahead = l.weights + l.n_columns * l.weight_row_bytes;
            }
            work->kernels->linear(&l);
        }
    }
}

static uint64_t run_linear(linear_work *work, uint32_t n_passes) {
    return sy_machine_run(&(sy_machine_job){.n_threads = work->options->n_threads,
                                            .n_passes = n_passes,
                                            .work = linear_pass,
                                            .user = work});
}

/* Quantised rows, or plain ones, of ordinary numbers. */
static void fill_rows(const cpu_kernels *kernels, const cpu_linear *l, int is_block,
                      uint8_t *rows) {
    float *x = map_bytes(l->k * sizeof(float));
    for (size_t r = 0; r < l->n_rows; r++) {
        for (size_t i = 0; i < l->k; i++) {
            x[i] = (float)((i * 7 + r * 13) % 31) / 16.0f - 1.0f;
        }
        if (is_block) {
            kernels->rows->quantise(x, l->k, l->planes, rows + r * l->row_bytes);
        } else {
            memcpy(rows + r * l->row_bytes, x, l->row_bytes);
        }
    }
    munmap(x, l->k * sizeof(float));
}

static void print_linear(const linear_work *work, const char *isa, const type_row *type,
                         int is_large, double ns) {
    const bench_options *options = work->options;
    const cpu_linear *l = &work->whole;
    double read = is_large ? options->read_large : options->read_small;
    double bytes = (double)work->slice_bytes;
    double macs = (double)l->n_columns * (double)l->k * (double)l->n_rows;
    double peak =
        type->n_block_elements > 1 ? options->peaks.int8_gmac_per_s : options->peaks.f32_gmac_per_s;
    double by_memory = read > 0 ? bytes / read : 0, by_compute = peak > 0 ? macs / peak : 0;
    double least = by_memory > by_compute ? by_memory : by_compute;
    printf("%-11s %-8s %-6s %5zu %9.2f %9.1f %9.1f %% %s\n", isa, type->name,
           is_large ? "memory" : "cache", l->n_rows, bytes / ns, macs / ns, 100.0 * least / ns,
           by_memory > by_compute ? "memory" : "compute");
    fflush(stdout);
}

static void bench_linear(const bench_options *options, const cpu_kernels *kernels,
                         const type_row *type, uint8_t *weights, int is_large, uint32_t n_rows) {
    const cpu_type_kernels *of_type = cpu_kernels_of(kernels, type->type);
    int is_block = type->n_block_elements > 1;
    uint64_t n_bytes = is_large ? options->large_bytes : options->small_bytes;
    cpu_planes planes = options->planes == 16 ? CPU_PLANES_16 : CPU_PLANES_8;
    size_t row_bytes = (size_t)options->k / type->n_block_elements * type->n_block_bytes;
    size_t n_columns = (size_t)(n_bytes / row_bytes), most = (size_t)SLICE_MACS;
    size_t all_columns = n_columns;
    most = most / options->k / n_rows;
    most = most < 256 ? 256 : most;
    n_columns = n_columns > most ? most : n_columns;
    linear_work work = {.options = options, .kernels = of_type, .weights = weights, .turns = 1};
    work.whole = (cpu_linear){.weight_row_bytes = row_bytes,
                              .row_bytes = is_block ? cpu_activation_row_bytes(options->k, planes)
                                                    : options->k * sizeof(float),
                              .out_stride = n_columns,
                              .k = options->k,
                              .n_columns = n_columns,
                              .n_rows = n_rows,
                              .planes = planes};
    work.n_slices = all_columns / n_columns;
    work.slice_bytes = (uint64_t)n_columns * row_bytes;
    work.space_bytes = (cpu_linear_space_bytes(options->k) + 4095) & ~(size_t)4095;
    uint64_t rows_bytes = work.whole.row_bytes * n_rows;
    uint64_t out_bytes = (uint64_t)n_columns * n_rows * sizeof(float);
    uint8_t *rows = map_bytes(rows_bytes);
    work.spaces = map_bytes(work.space_bytes * options->n_threads);
    work.whole.out = map_bytes(out_bytes);
    fill_rows(kernels, &work.whole, is_block, rows);
    work.whole.rows = rows;
    uint64_t ns = run_linear(&work, 2);
    if (ns > 0 && (double)ns < PASS_NS) {
        work.turns = (uint64_t)(PASS_NS / (double)ns) + 1;
    }
    ns = run_linear(&work, PASSES);
    if (ns > 0) {
        print_linear(&work, kernels->name, type, is_large, (double)ns / (double)work.turns);
    }
    munmap(work.whole.out, out_bytes);
    munmap(work.spaces, work.space_bytes * options->n_threads);
    munmap(rows, rows_bytes);
}

static void bench_linears(const bench_options *options, const cpu_kernels *kernels) {
    uint64_t n_bytes =
        options->large_bytes > options->small_bytes ? options->large_bytes : options->small_bytes;
    uint8_t *weights = map_bytes(n_bytes);
    fill_weights(weights, n_bytes);
    printf("\n%-11s %-8s %-6s %5s %9s %9s %11s %s\n", "level", "type", "from", "rows", "GB/s",
           "GMAC/s", "roofline", "bound by");
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
        if ((options->type != NULL && strcasecmp(options->type, types[t].name) != 0) ||
            cpu_kernels_of(kernels, types[t].type) == NULL) {
            continue;
        }
        for (int is_large = 1; is_large >= 0; is_large--) {
            if ((is_large ? options->large_bytes : options->small_bytes) == 0) {
                continue;
            }
            for (uint32_t r = 0; r < options->n_rows; r++) {
                bench_linear(options, kernels, &types[t], weights, is_large, options->rows[r]);
            }
        }
    }
    munmap(weights, n_bytes);
}

static void print_help(void) {
    puts("usage: sy_kernels_bench [FLAG VALUE...]\n\n"
         "Times the kernels of cpu-xnnpack on their own.\n\n"
         "  --isa LEVEL     one level (avx512vnni, avx2, ...); default all of this machine\n"
         "  --type TYPE     one element type (Q4_0, f16, ...); default all\n"
         "  --rows N,...    rows of activations; default 1,2,4,8,16,64,512\n"
         "  --threads N     threads that share the columns; default 1\n"
         "  --k N           width of a weight row, a multiple of 256; default 2048\n"
         "  --planes N      bits of activations, 8 or 16; default 8\n"
         "  --columns N     columns of one call; default 64, as the delegate\n"
         "  --large MIB     weights that come from memory; default 160, 0 leaves them out\n"
         "  --small KIB     weights that stay in a cache, per thread; default 384, 0: left out\n"
         "  --part NAME     linear or rows; default both, with --type linear");
}

static int fail(const char *what, const char *value) {
    fprintf(stderr, "sy_kernels_bench: %s cannot be \"%s\"; see --help.\n", what, value);
    return 2;
}

/* A number from least to most, 0 when it is none. */
static int number(const char *text, uint32_t least, uint32_t most, uint32_t *out_number) {
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || value < least || value > most) {
        return 0;
    }
    *out_number = (uint32_t)value;
    return 1;
}

static int row_list(const char *text, bench_options *options) {
    options->n_rows = 0;
    while (*text != '\0' && options->n_rows < 16) {
        char *end = NULL;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || value < 1 || value > 4096 || (*end != ',' && *end != '\0')) {
            return 0;
        }
        options->rows[options->n_rows++] = (uint32_t)value;
        text = *end == ',' ? end + 1 : end;
    }
    return options->n_rows > 0;
}

static int take_option(int letter, const char *value, bench_options *options) {
    uint32_t n = 0;
    switch (letter) {
    case 'i':
        options->isa = value;
        return cpu_kernels_select(value) != NULL;
    case 't':
        options->type = value;
        return 1;
    case 'r':
        return row_list(value, options);
    case 'j':
        return number(value, 1, SY_MACHINE_THREADS_MAX, &options->n_threads);
    case 'k':
        return number(value, 256, 65536, &options->k) && options->k % 256 == 0;
    case 'p':
        return number(value, 8, 16, &options->planes) && options->planes % 8 == 0;
    case 'c':
        return number(value, 1, 65536, &options->columns);
    case 'l':
        options->large_bytes = number(value, 0, 65536, &n) ? (uint64_t)n << 20 : UINT64_MAX;
        return options->large_bytes != UINT64_MAX;
    case 's':
        options->small_bytes = number(value, 0, 1u << 20, &n) ? (uint64_t)n << 10 : UINT64_MAX;
        return options->small_bytes != UINT64_MAX;
    case 'o':
        options->part = value;
        return strcmp(value, "linear") == 0 || strcmp(value, "rows") == 0;
    default:
        return 0;
    }
}

static int parse(int argc, char **argv, bench_options *options) {
    static const struct option flags[] = {
        {"isa", required_argument, NULL, 'i'},     {"type", required_argument, NULL, 't'},
        {"rows", required_argument, NULL, 'r'},    {"threads", required_argument, NULL, 'j'},
        {"k", required_argument, NULL, 'k'},       {"planes", required_argument, NULL, 'p'},
        {"columns", required_argument, NULL, 'c'}, {"large", required_argument, NULL, 'l'},
        {"small", required_argument, NULL, 's'},   {"part", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int letter = 0, i_flag = 0;
    while ((letter = getopt_long(argc, argv, "", flags, &i_flag)) != -1) {
        if (letter == 'h') {
            print_help();
            return 1;
        }
        if (letter == '?') {
            return 2;
        }
        if (!take_option(letter, optarg, options)) {
            return 2 * (fail(flags[i_flag].name, optarg) != 0);
        }
    }
    return optind < argc ? fail("an argument", argv[optind]) : 0;
}

static void measure_limits(bench_options *options) {
    options->small_bytes *= options->n_threads;
    sy_machine_measure_peaks(options->n_threads, &options->peaks);
    options->read_large = sy_machine_measure_read(options->n_threads, sy_machine_buffer_bytes());
    options->read_small = sy_machine_measure_read(options->n_threads, options->small_bytes);
    printf("limits of %u thread%s: %s %.0f GMAC/s, %s %.0f GMAC/s, read %.1f GB/s from memory, "
           "%.1f GB/s from %llu KiB\n",
           options->n_threads, options->n_threads == 1 ? "" : "s", options->peaks.int8_by,
           options->peaks.int8_gmac_per_s, options->peaks.f32_by, options->peaks.f32_gmac_per_s,
           options->read_large, options->read_small,
           (unsigned long long)options->small_bytes >> 10);
}

int main(int argc, char **argv) {
    bench_options options = {.rows = {1, 2, 4, 8, 16, 64, 512},
                             .n_rows = 7,
                             .n_threads = 1,
                             .k = 2048,
                             .planes = 8,
                             .columns = 64,
                             .large_bytes = (uint64_t)160 << 20,
                             .small_bytes = (uint64_t)384 << 10};
    int status = parse(argc, argv, &options);
    if (status != 0) {
        return status == 1 ? 0 : status;
    }
    measure_limits(&options);
    for (const cpu_kernels *const *level = cpu_kernels_available(); *level != NULL; level++) {
        if (options.isa != NULL && strcmp((*level)->name, options.isa) != 0) {
            continue;
        }
        if (options.part == NULL || strcmp(options.part, "linear") == 0) {
            bench_linears(&options, *level);
        }
        if (options.part == NULL ? options.type == NULL : strcmp(options.part, "rows") == 0) {
            bench_row_kernels(&options, *level);
        }
    }
    return 0;
}
