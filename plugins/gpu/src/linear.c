/* SPDX-License-Identifier: Apache-2.0 */
#include "linear.h"
#include "tiles.h"

#include <string.h>

/* Up to FEW_ROWS reading the weights is what takes time, so a kernel reads them once for
 * ROWS_AT_ONCE rows; beyond that the products do, and tiles of shared memory feed them. A CPU has
 * its caches for that. */
#define FEW_ROWS 8
#define FEW_ROWS_OF_SOFTWARE 256
#define ROWS_AT_ONCE 4u
/* An expert's tiles are as dear as this many rows by themselves. */
#define ROWS_PER_EXPERT 4
#define UNIT 8 /* elements of a row that kernels read at once */

bool gpu_product_check(const sy_device *device, const sy_value_view *w, const char *what,
                       kit_answer *answer) {
    static const sy_element_type known[] = {
        SY_TYPE_F32,  SY_TYPE_F16,   SY_TYPE_BF16,   SY_TYPE_Q4_0,  SY_TYPE_Q4_1, SY_TYPE_Q5_0,
        SY_TYPE_Q5_1, SY_TYPE_Q8_0,  SY_TYPE_Q2_K,   SY_TYPE_Q3_K,  SY_TYPE_Q4_K, SY_TYPE_Q5_K,
        SY_TYPE_Q6_K, SY_TYPE_MXFP4, SY_TYPE_IQ4_NL, SY_TYPE_IQ4_XS};
    uint64_t row_bytes = 0;
    bool is_known = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        is_known = is_known || known[i] == w->type;
    }
    if (!is_known) {
        return kit_no(answer, SY_REASON_TYPE, "there is no kernel for %s of type %s", what,
                      kit_type_name(w->type));
    }
    if (!kit_require_weight(w, what, answer)) {
        return false;
    }
    if (!kit_type_row_bytes(w->type, (uint64_t)kit_width(w), &row_bytes) ||
        row_bytes > device->limits->binding_most_bytes / 2) {
        return kit_no(answer, SY_REASON_MEMORY, "a row of %s has %llu bytes; a binding spans %llu",
                      what, (unsigned long long)row_bytes,
                      (unsigned long long)device->limits->binding_most_bytes);
    }
    return true;
}

static int64_t few_rows(const sy_device *device) {
    const gpu_limits *limits = device->limits;
    return limits->is_software && limits->matrices.m == 0 ? FEW_ROWS_OF_SOFTWARE : FEW_ROWS;
}

int64_t gpu_product_most_unordered(const sy_device *device, int64_t n_experts) {
    int64_t most = ROWS_PER_EXPERT * n_experts, few = few_rows(device);
    return most > few ? most : few;
}

/* ---- words and constants that all kernels over weights share ---- */
void gpu_piece_constants(sy_element_type type, sy_element_type x_type, int64_t k,
                         uint32_t out_constants[4]) {
    out_constants[1] = type;
    out_constants[2] = x_type;
    out_constants[3] = k % UNIT != 0;
}

void gpu_piece_numbers(gpu_launch *launch, const gpu_weight_piece *piece, int64_t k) {
    launch->numbers[0] = k;
    launch->numbers[1] = (k + UNIT - 1) / UNIT;
    for (uint32_t i = 0; i < 4; i++) {
        launch->numbers[2 + i] = piece->plane_words[i];
    }
    launch->numbers[7] = (int64_t)piece->first_row;
    launch->numbers[8] = (int64_t)piece->n_rows;
}

/* ---- launches ---- */
/* Words 0 to 11 of both kernels are numbers of the launch; then come those for the groups. */
enum {
    NUMBER_ROWS = 6, /* of the job */
    NUMBER_N = 9,
    NUMBER_PER_X = 10,
    NUMBER_EXPERTS = 11,
    N_WORDS = 12,
    NUMBER_COLUMNS_OF_GROUP = 12,
    NUMBER_ROWS_OF_GROUP = 13,
    NUMBER_LEAST = 14, /* rows that the launch is for */
    NUMBER_MOST = 15
};

/* Words of the launch; answers the rows of y, 0 where another launch makes them. */
static uint64_t words_fill(gpu_job *job, const gpu_launch *launch, uint32_t *out_words) {
    uint64_t n = gpu_job_shape(job, launch, 4)->n_elements / (uint64_t)launch->numbers[NUMBER_N];
    for (uint32_t i = 0; i < N_WORDS; i++) {
        out_words[i] = (uint32_t)launch->numbers[i];
    }
    out_words[NUMBER_ROWS] = (uint32_t)n;
    bool is_mine =
        n >= (uint64_t)launch->numbers[NUMBER_LEAST] && n <= (uint64_t)launch->numbers[NUMBER_MOST];
    return is_mine ? n : 0;
}

/* Columns of y that the groups of a launch share: those of its piece, or an expert's. */
static uint64_t columns_of(const gpu_launch *launch) {
    return (uint64_t)launch->numbers[launch->numbers[NUMBER_EXPERTS] > 0 ? NUMBER_N : 8];
}

static sy_status rows_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                           uint32_t out_groups[3]) {
    uint64_t n = words_fill(job, launch, out_words);
    uint64_t at_once = (uint64_t)launch->numbers[NUMBER_ROWS_OF_GROUP];
    gpu_groups_for(job, columns_of(launch), (uint64_t)launch->numbers[NUMBER_COLUMNS_OF_GROUP],
                   out_groups);
    out_groups[2] = (uint32_t)((n + at_once - 1) / at_once);
    return SY_OK;
}

static sy_status tiles_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    uint64_t n = words_fill(job, launch, out_words);
    uint64_t columns = (uint64_t)launch->numbers[NUMBER_COLUMNS_OF_GROUP];
    uint64_t rows = (uint64_t)launch->numbers[NUMBER_ROWS_OF_GROUP];
    uint64_t n_experts = (uint64_t)launch->numbers[NUMBER_EXPERTS];
    out_groups[0] = (uint32_t)((columns_of(launch) + columns - 1) / columns);
    out_groups[1] = (uint32_t)(n_experts > 0 ? n / rows + n_experts : (n + rows - 1) / rows);
    out_groups[2] = n > 0;
    return SY_OK;
}

static sy_element_type type_of(const gpu_build *build, uint32_t i_value) {
    return gpu_build_value(build, i_value)->type;
}

/* A launch over each piece of w. constants: those behind the first four. */
typedef struct product_kernel {
    gpu_kernel kernel;
    gpu_size_function size;
    uint32_t group, columns, rows; /* of a group: invocations, its part of y */
    int64_t least, most;           /* rows of y that it is for */
    uint32_t constants[11];
    uint32_t n_constants;
    uint32_t other; /* what binding 3 is: experts, their order, factors of the rows of x */
} product_kernel;

/* Constants behind those of the kernel: whether the piece is read by texels. Answers how many there
 * are then. */
static uint32_t piece_way(const gpu_build *build, const gpu_weight_piece *piece,
                          uint32_t n_constants, uint32_t *inout_constants) {
    uint64_t end_most = GPU_PIECE_OFFSET_MOST + piece->n_bytes + 16;
    if (end_most / 16 > gpu_build_device(build)->limits->texels_most) {
        return n_constants;
    }
    while (n_constants < GPU_TEXELS) {
        inout_constants[n_constants++] = 1;
    }
    inout_constants[GPU_TEXELS] = GPU_TEXELS_ON;
    return GPU_TEXELS + 1;
}

static sy_status launch_pieces(gpu_build *build, const gpu_product *p,
                               const product_kernel *kernel) {
    const gpu_weight *w = NULL;
    sy_element_type type = type_of(build, p->w);
    sy_status status = gpu_build_weight(build, p->w, gpu_weight_form_of(type), &w);
    for (uint32_t i = 0; status == SY_OK && i < w->n_pieces; i++) {
        gpu_launch launch;
        uint32_t constants[GPU_CONSTANTS_MAX] = {kernel->group};
        gpu_piece_constants(type, type_of(build, p->x), p->k, constants);
        memcpy(constants + 4, kernel->constants, sizeof(kernel->constants));
        uint32_t n = piece_way(build, &w->pieces[i], 4 + kernel->n_constants, constants);
        status =
            gpu_launch_begin(build, kernel->kernel, constants, n, kernel->size, N_WORDS, &launch);
        if (status != SY_OK) {
            break;
        }
        launch.writes_apart = true; /* other columns, or for other numbers of rows */
        gpu_piece_numbers(&launch, &w->pieces[i], p->k);
        launch.numbers[NUMBER_N] = p->n;
        launch.numbers[NUMBER_PER_X] = p->n_per_x;
        launch.numbers[NUMBER_EXPERTS] = p->n_experts;
        launch.numbers[NUMBER_COLUMNS_OF_GROUP] = kernel->columns;
        launch.numbers[NUMBER_ROWS_OF_GROUP] = kernel->rows;
        launch.numbers[NUMBER_LEAST] = kernel->least;
        launch.numbers[NUMBER_MOST] = kernel->most;
        gpu_launch_value(&launch, p->x);
        gpu_launch_weight(&launch, w, i);
        gpu_launch_value(&launch, p->bias);
        gpu_launch_value(&launch, kernel->other);
        gpu_launch_value(&launch, p->y);
        status = gpu_launch_end(build, &launch);
    }
    return status;
}

/* 0: no bias, else its type and one. */
static uint32_t bias_constant(const gpu_build *build, const gpu_product *p) {
    return p->bias == SY_NO_VALUE ? 0 : 1 + type_of(build, p->bias);
}

/* ---- few rows ---- */
#define COLUMNS_OF_ROWS 4u
#define BUSY_GROUPS 8u /* of a compute unit */
#define BLOCK 32 /* elements of a row that an invocation takes at once where there are enough */
#define LANES 8u /* that share the reading of a block of x */

/* S9 of linear_rows. */
typedef enum rows_way { SHARED_BLOCKS, SHARED_UNITS, APART, APART_BY_LANES } rows_way;

typedef struct rows_shape {
    uint32_t group, own_columns;
    rows_way way;
} rows_shape;

/* One subgroup makes some columns, so that no invocation waits for others; where that leaves the
 * device idle, fewer columns, and more invocations share the elements of a row. A vector of a CPU
 * gains nothing from neighbours that read neighbouring words, so there they need not share. */
static rows_shape rows_choose(const gpu_limits *limits, int64_t n_columns, int64_t k,
                              uint32_t at_once) {
    uint32_t least = limits->is_software ? 8 : 32;
    uint32_t units = limits->n_units > 0 ? limits->n_units : 16;
    rows_shape s = {.group = limits->subgroup_size, .own_columns = COLUMNS_OF_ROWS};
    if (at_once > 1 && !limits->is_software) {
        s.own_columns /= 2; /* four sums of each fill the registers */
    }
    s.group = s.group > least ? s.group : least;
    if (limits->is_software && n_columns >= 2 * (int64_t)s.group) {
        s.way = s.group == LANES && limits->subgroup_size >= LANES && k % UNIT == 0 ? APART_BY_LANES
                                                                                    : APART;
        return s;
    }
    int64_t n_busy = (int64_t)BUSY_GROUPS * units;
    while (s.own_columns > 1 && n_columns / s.own_columns < n_busy) {
        s.own_columns /= 2;
    }
    while (!limits->is_software && n_columns / s.own_columns < n_busy && s.group < 256 &&
           2 * (int64_t)s.group * UNIT <= k) {
        s.group *= 2;
        n_busy /= 2;
    }
    s.way = (int64_t)s.group * BLOCK <= k ? SHARED_BLOCKS : SHARED_UNITS;
    return s;
}

static sy_status rows_build(gpu_build *build, const gpu_product *p, uint32_t at_once, int64_t least,
                            int64_t most) {
    const sy_device *device = gpu_build_device(build);
    rows_shape s = rows_choose(device->limits, p->n, p->k, at_once);
    uint32_t group = gpu_group_size(device, s.group);
    product_kernel kernel = {.kernel = GPU_KERNEL_LINEAR_ROWS,
                             .size = rows_size,
                             .group = group,
                             .columns = s.way < APART ? s.own_columns : s.own_columns * group,
                             .rows = at_once,
                             .least = least,
                             .most = most,
                             .constants = {s.own_columns, at_once, bias_constant(build, p),
                                           p->n_experts > 0, type_of(build, p->y), s.way},
                             .n_constants = 6,
                             .other = p->experts};
    return launch_pieces(build, p, &kernel);
}

/* ---- many rows ---- */
static sy_status tiles_build(gpu_build *build, const gpu_product *p, int64_t least) {
    gpu_tile t = gpu_tile_choose(gpu_build_device(build));
    product_kernel kernel = {.kernel = GPU_KERNEL_LINEAR_TILES,
                             .size = tiles_size,
                             .group = t.group,
                             .columns = t.columns,
                             .rows = t.rows,
                             .least = least,
                             .most = INT64_MAX,
                             .constants = {t.rows, t.columns, t.own_rows, t.own_columns,
                                           bias_constant(build, p), p->n_experts > 0, t.depth,
                                           type_of(build, p->y)},
                             .n_constants = 8,
                             .other = p->order};
    return launch_pieces(build, p, &kernel);
}

/* ---- many rows by cooperative matrices ---- */
#define SCALE_GROUP 128u

/* Whether f16 holds elements of a type: what has more range or more bits stays f32. */
static bool fits_f16(sy_element_type type) {
    return type != SY_TYPE_F32 && type != SY_TYPE_BF16 && type != SY_TYPE_MXFP4;
}

static sy_status scale_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                            uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, 0)->n_elements / (uint64_t)launch->numbers[0];
    out_words[0] = (uint32_t)launch->numbers[0];
    out_words[1] = (uint32_t)n;
    gpu_groups_for(job, n >= (uint64_t)launch->numbers[1] ? n : 0, 1, out_groups);
    return SY_OK;
}

/* Factors of the rows of x, where there are at least that many. */
static sy_status scale_build(gpu_build *build, const gpu_product *p, int64_t least,
                             uint32_t *out_scales) {
    const kit_value *x = gpu_build_value(build, p->x);
    gpu_launch launch;
    const uint32_t constants[] = {gpu_group_size(gpu_build_device(build), SCALE_GROUP),
                                  type_of(build, p->x)};
    sy_status status = gpu_build_space(build, SY_TYPE_F32, x->rank - 1, x->dims, out_scales);
    if (status == SY_OK) {
        status =
            gpu_launch_begin(build, GPU_KERNEL_ROW_SCALE, constants, 2, scale_size, 2, &launch);
    }
    if (status != SY_OK) {
        return status;
    }
    launch.numbers[0] = p->k;
    launch.numbers[1] = least;
    gpu_launch_value(&launch, p->x);
    gpu_launch_value(&launch, *out_scales);
    return gpu_launch_end(build, &launch);
}

static sy_status matrices_build(gpu_build *build, const gpu_product *p, const gpu_tile *t,
                                int64_t least) {
    const gpu_matrices *m = &gpu_build_device(build)->limits->matrices;
    uint32_t scales = SY_NO_VALUE;
    sy_status status = scale_build(build, p, least, &scales);
    product_kernel kernel = {.kernel = GPU_KERNEL_LINEAR_MATRICES,
                             .size = tiles_size,
                             .group = t->group,
                             .columns = t->columns,
                             .rows = t->rows,
                             .least = least,
                             .most = INT64_MAX,
                             .constants = {t->rows, t->columns, t->own_rows, t->own_columns,
                                           bias_constant(build, p), 0, t->depth,
                                           type_of(build, p->y), m->m, m->n, m->k},
                             .n_constants = 11,
                             .other = scales};
    return status == SY_OK ? launch_pieces(build, p, &kernel) : status;
}

/* ---- all of them ---- */
static sy_status many_build(gpu_build *build, const gpu_product *product, int64_t least) {
    gpu_tile tile;
    if (product->n_experts == 0 && fits_f16(type_of(build, product->w)) &&
        gpu_tile_of_matrices(gpu_build_device(build), &tile)) {
        return matrices_build(build, product, &tile, least);
    }
    return tiles_build(build, product, least);
}

sy_status gpu_product_build(gpu_build *build, const gpu_product *product) {
    const sy_device *device = gpu_build_device(build);
    bool has_experts = product->n_experts > 0;
    int64_t few =
        has_experts ? gpu_product_most_unordered(device, product->n_experts) : few_rows(device);
    if (product->n == 0) {
        return SY_OK;
    }
    /* Each row of experts reads weights of its own. */
    sy_status status = rows_build(build, product, 1, 1, has_experts ? few : 1);
    if (status == SY_OK && !has_experts && product->most_rows > 1) {
        status = rows_build(build, product, ROWS_AT_ONCE, 2, few);
    }
    if (status == SY_OK && product->most_rows > few) {
        status = many_build(build, product, few + 1);
    }
    return status;
}
