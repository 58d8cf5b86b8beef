/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution, pooling and what stands around them, alone and as whole regions, in f32 and int8,
 * through the ABI against the reference. All may be refused where XNNPACK is not built in. */
#include "op_compare.h"

#define FIXED(n) sy_test_fixed(n)

static const sy_element_type floats[3] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
static const double tolerances[3] = {5e-6, 1e-3, 8e-3};
static bool has_xnnpack; /* Conv is not refused */

typedef struct conv_shape {
    int64_t n, c, h, w, out, group, kh, kw, sh, sw, dh, dw, pads[4];
    bool has_bias;
} conv_shape;

static const conv_shape conv_shapes[] = {
    {1, 1, 3, 3, 1, 1, 3, 3, 1, 1, 1, 1, {0, 0, 0, 0}, false},
    {1, 3, 17, 13, 8, 1, 3, 3, 2, 2, 1, 1, {1, 1, 1, 1}, true},
    {2, 16, 9, 7, 24, 1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, true},
    {1, 6, 8, 8, 4, 2, 3, 2, 1, 2, 1, 1, {0, 1, 2, 0}, true},
    {3, 5, 11, 12, 5, 5, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, true},
    {1, 4, 10, 9, 12, 4, 5, 3, 2, 1, 1, 1, {2, 0, 1, 2}, false},
    {1, 7, 15, 15, 9, 1, 3, 3, 1, 1, 2, 3, {2, 3, 2, 3}, true},
    {1, 33, 5, 6, 65, 1, 5, 5, 1, 1, 1, 1, {2, 2, 2, 2}, true},
    {1, 40, 6, 6, 40, 40, 3, 3, 1, 1, 2, 2, {2, 2, 2, 2}, true},
};

static int64_t reached(int64_t in, int64_t before, int64_t after, int64_t kernel, int64_t dilation,
                       int64_t stride) {
    return (in + before + after - dilation * (kernel - 1) - 1) / stride + 1;
}

static uint32_t conv_node(compare *c, const conv_shape *s, uint32_t x, uint32_t w, uint32_t bias,
                          uint32_t y) {
    uint32_t inputs[3] = {x, w, bias};
    uint32_t node =
        sy_test_graph_node(&c->graph, "", "Conv", 22, s->has_bias ? 3 : 2, inputs, 1, &y);
    sy_test_graph_int(&c->graph, node, "group", s->group);
    sy_test_graph_ints(&c->graph, node, "kernel_shape", (int64_t[]){s->kh, s->kw}, 2);
    sy_test_graph_ints(&c->graph, node, "strides", (int64_t[]){s->sh, s->sw}, 2);
    sy_test_graph_ints(&c->graph, node, "dilations", (int64_t[]){s->dh, s->dw}, 2);
    sy_test_graph_ints(&c->graph, node, "pads", s->pads, 4);
    return node;
}

static void output_dims(const conv_shape *s, sy_dimension dims[4]) {
    dims[0] = FIXED(s->n);
    dims[1] = FIXED(s->out);
    dims[2] = FIXED(reached(s->h, s->pads[0], s->pads[2], s->kh, s->dh, s->sh));
    dims[3] = FIXED(reached(s->w, s->pads[1], s->pads[3], s->kw, s->dw, s->sw));
}

/* Opens the delegate with three workers. */
static void delegate_open(sy_test_host *host, sy_op_runner *runner) {
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_host_init(host, 3, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(runner, compare_delegate_entry(host), host, 0, NULL, &error),
                   error);
}

static void delegate_close(sy_test_host *host, sy_op_runner *runner) {
    CHECK_OK(sy_op_runner_close(runner));
    CHECK_TEXT(host->n_live == 0 && host->n_misuses == 0, "%zu blocks live, %s", host->n_live,
               host->misuse);
    sy_test_host_deinit(host);
}

/* Each block in turn is refused while a finished graph is loaded: a status, and nothing stays. */
static void refusals_are_told(const compare *c, const char *what) {
    sy_test_host host;
    sy_op_runner runner;
    bool is_hit = true;
    delegate_open(&host, &runner);
    for (uint64_t i = 0; is_hit; i++) {
        sy_error error = {0};
        sy_op_unit unit = {.runner = NULL};
        size_t n_live = host.n_live;
        uint64_t n_before = host.n_allocs;
        sy_test_host_fail_alloc(&host, i, 1);
        sy_status status = sy_op_load(&runner, &c->graph, &unit, &error);
        sy_op_unload(&unit);
        sy_test_host_never_fail(&host);
        is_hit = host.n_allocs - n_before > i;
        CHECK_TEXT(status == (is_hit ? SY_RESOURCE_EXHAUSTED : SY_OK), "%s, block %d: status %d",
                   what, (int)i, (int)status);
        CHECK_TEXT(host.n_live == n_live, "%s, block %d: blocks lost", what, (int)i);
        CHECK(i < 10000);
    }
    delegate_close(&host, &runner);
}

static bool conv_case(const conv_shape *s, int i_type) {
    compare c;
    compare_init(&c, tolerances[i_type]);
    c.may_refuse = true;
    sy_element_type type = floats[i_type];
    sy_dimension x[4] = {FIXED(s->n), FIXED(s->c), FIXED(s->h), FIXED(s->w)}, y[4];
    output_dims(s, y);
    uint32_t in = compare_input(&c, type, 4, x);
    uint32_t w = compare_weight(&c, type, 4, (int64_t[]){s->out, s->c / s->group, s->kh, s->kw});
    uint32_t bias = s->has_bias ? compare_weight(&c, type, 1, &s->out) : SY_NO_VALUE;
    conv_node(&c, s, in, w, bias, compare_output(&c, type, 4, y));
    bool ran = compare_run(&c, "Conv");
    if (ran && i_type == 0) {
        refusals_are_told(&c, "Conv");
    }
    compare_deinit(&c);
    return ran;
}

static void convolution_matches(void) {
    for (size_t i = 0; i < sizeof(conv_shapes) / sizeof(conv_shapes[0]); i++) {
        for (int type = 0; type < 3; type++) {
            CHECK(conv_case(&conv_shapes[i], type) == has_xnnpack);
        }
    }
}

static void convolution_of_rows_matches(void) {
    const int64_t strides[2] = {1, 2};
    for (int i = 0; i < 2; i++) {
        compare c;
        compare_init(&c, 5e-6);
        c.may_refuse = true;
        sy_dimension x[3] = {FIXED(2), FIXED(6), FIXED(19)}, y[3] = {FIXED(2), FIXED(10)};
        y[2] = FIXED(reached(19, 2, 1, 4, 1, strides[i]));
        uint32_t in[2] = {compare_input(&c, SY_TYPE_F32, 3, x),
                          compare_weight(&c, SY_TYPE_F32, 3, (int64_t[]){10, 6, 4})};
        uint32_t out = compare_output(&c, SY_TYPE_F32, 3, y);
        uint32_t node = sy_test_graph_node(&c.graph, "", "Conv", 22, 2, in, 1, &out);
        sy_test_graph_ints(&c.graph, node, "pads", (int64_t[]){2, 1}, 2);
        sy_test_graph_ints(&c.graph, node, "strides", &strides[i], 1);
        CHECK(compare_run(&c, "Conv in one dimension") == has_xnnpack);
        compare_deinit(&c);
    }
}

/* ---- pooling ---- */
typedef struct pool_shape {
    int64_t c, h, w, kh, kw, sh, sw, pads[4];
    bool counts_pads;
} pool_shape;

static const pool_shape pool_shapes[] = {
    {3, 8, 8, 2, 2, 2, 2, {0, 0, 0, 0}, false},     {5, 9, 11, 3, 3, 2, 2, {1, 1, 1, 1}, false},
    {20, 7, 6, 3, 2, 1, 1, {1, 0, 2, 1}, true},     {1, 5, 5, 5, 5, 1, 1, {0, 0, 0, 0}, false},
    {16, 12, 12, 4, 4, 4, 4, {0, 0, 0, 0}, true},   {33, 10, 3, 5, 3, 3, 1, {2, 1, 2, 1}, false},
    {7, 14, 14, 11, 10, 2, 3, {0, 0, 0, 0}, false},
};

static void pool_case(const char *name, const pool_shape *s, int i_type) {
    compare c;
    compare_init(&c, tolerances[i_type]);
    c.may_refuse = true;
    sy_dimension x[4] = {FIXED(2), FIXED(s->c), FIXED(s->h), FIXED(s->w)}, y[4] = {x[0], x[1]};
    y[2] = FIXED(reached(s->h, s->pads[0], s->pads[2], s->kh, 1, s->sh));
    y[3] = FIXED(reached(s->w, s->pads[1], s->pads[3], s->kw, 1, s->sw));
    uint32_t in = compare_input(&c, floats[i_type], 4, x);
    uint32_t out = compare_output(&c, floats[i_type], 4, y);
    uint32_t node = sy_test_graph_node(&c.graph, "", name, 22, 1, &in, 1, &out);
    sy_test_graph_ints(&c.graph, node, "kernel_shape", (int64_t[]){s->kh, s->kw}, 2);
    sy_test_graph_ints(&c.graph, node, "strides", (int64_t[]){s->sh, s->sw}, 2);
    sy_test_graph_ints(&c.graph, node, "pads", s->pads, 4);
    if (strcmp(name, "AveragePool") == 0) {
        sy_test_graph_int(&c.graph, node, "count_include_pad", s->counts_pads ? 1 : 0);
    }
    CHECK_TEXT(compare_run(&c, name) == has_xnnpack, "%s %d x %d", name, (int)s->kh, (int)s->kw);
    compare_deinit(&c);
}

static void pooling_matches(void) {
    for (size_t i = 0; i < sizeof(pool_shapes) / sizeof(pool_shapes[0]); i++) {
        for (int type = 0; type < 3; type++) {
            pool_case("MaxPool", &pool_shapes[i], type);
            pool_case("AveragePool", &pool_shapes[i], type);
        }
    }
}

static void global_pooling_matches(void) {
    static const int64_t sizes[4][3] = {{1, 3, 5}, {17, 7, 7}, {64, 1, 9}, {5, 20, 30}};
    static const char *const names[2] = {"GlobalAveragePool", "GlobalMaxPool"};
    for (int i = 0; i < 8; i++) {
        const int64_t *s = sizes[i / 2];
        for (int type = 0; type < 3; type++) {
            compare c;
            compare_init(&c, tolerances[type]);
            c.may_refuse = true;
            sy_dimension x[4] = {FIXED(2), FIXED(s[0]), FIXED(s[1]), FIXED(s[2])};
            sy_dimension y[4] = {x[0], x[1], FIXED(1), FIXED(1)};
            uint32_t in = compare_input(&c, floats[type], 4, x);
            uint32_t out = compare_output(&c, floats[type], 4, y);
            sy_test_graph_node(&c.graph, "", names[i % 2], 22, 1, &in, 1, &out);
            CHECK(compare_run(&c, names[i % 2]) == has_xnnpack);
            compare_deinit(&c);
        }
    }
}

/* ReduceMean of the plane, with and without the dimensions that it leaves. */
static void means_match(void) {
    static const int64_t axes[3][2] = {{2, 3}, {-1, -2}, {1, 3}};
    for (int i = 0; i < 12; i++) {
        bool keeps = i % 2 == 0, fits = i / 2 % 3 != 2;
        int type = i / 6;
        compare c;
        compare_init(&c, tolerances[type]);
        c.may_refuse = true;
        sy_dimension x[4] = {FIXED(2), FIXED(7), FIXED(5), FIXED(9)};
        sy_dimension y[4] = {x[0], x[1], FIXED(1), FIXED(1)};
        if (!fits) {
            y[1] = keeps ? FIXED(1) : x[2];
            y[2] = x[2];
        }
        uint32_t in[2] = {compare_input(&c, floats[type], 4, x),
                          compare_weight_i64(&c, axes[i / 2 % 3], 2)};
        uint32_t out = compare_output(&c, floats[type], keeps ? 4 : 2, y);
        uint32_t node = sy_test_graph_node(&c.graph, "", "ReduceMean", 18, 2, in, 1, &out);
        sy_test_graph_int(&c.graph, node, "keepdims", keeps);
        CHECK(compare_run(&c, "ReduceMean") == (has_xnnpack && fits));
        compare_deinit(&c);
    }
}

/* ---- element by element ---- */
static void activations_match(void) {
    static const struct {
        const char *name;
        uint32_t version;
        double alpha;
    } all[] = {{"LeakyRelu", 16, 0.2},   {"LeakyRelu", 16, 0.0}, {"Elu", 22, 0.0}, {"Elu", 22, 1.5},
               {"HardSigmoid", 22, 0.0}, {"HardSwish", 22, 0.0}, {"Clip", 13, 0.0}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (uint32_t rank = 1; rank <= 4; rank++) {
            for (int type = 0; type < 3; type++) {
                compare c;
                compare_init(&c, tolerances[type]);
                c.may_refuse = true;
                sy_dimension dims[4] = {FIXED(3), FIXED(5), FIXED(7), FIXED(2)};
                uint32_t in = compare_input(&c, floats[type], rank, dims);
                uint32_t out = compare_output(&c, floats[type], rank, dims);
                uint32_t node =
                    sy_test_graph_node(&c.graph, "", all[i].name, all[i].version, 1, &in, 1, &out);
                if (all[i].alpha > 0.0) {
                    sy_test_graph_float(&c.graph, node, "alpha", all[i].alpha);
                }
                CHECK(compare_run(&c, all[i].name) == has_xnnpack);
                compare_deinit(&c);
            }
        }
    }
}

/* A constant f32 with these elements. */
static uint32_t weight_of(compare *c, uint32_t rank, const int64_t *dims, const float *values,
                          size_t n) {
    uint32_t value = compare_weight(c, SY_TYPE_F32, rank, dims);
    memcpy(c->weights[c->n_weights - 1], values, n * sizeof(values[0]));
    return value;
}

static void limits_and_slopes_match(void) {
    static const int64_t slope_dims[4][3] = {{6, 1, 1}, {1, 1, 1}, {1, 6, 1}, {1, 1, 4}};
    sy_dimension dims[4] = {FIXED(2), FIXED(6), FIXED(3), FIXED(4)};
    compare c;
    compare_init(&c, 1e-6);
    c.may_refuse = true;
    float low = -0.5f, high = 0.75f;
    uint32_t in[3] = {compare_input(&c, SY_TYPE_F32, 4, dims), weight_of(&c, 0, NULL, &low, 1),
                      weight_of(&c, 0, NULL, &high, 1)};
    uint32_t out = compare_output(&c, SY_TYPE_F32, 4, dims);
    sy_test_graph_node(&c.graph, "", "Clip", 13, 3, in, 1, &out);
    CHECK(compare_run(&c, "Clip") == has_xnnpack);
    compare_deinit(&c);
    for (int i = 0; i < 4; i++) {
        compare_init(&c, 1e-6);
        c.may_refuse = true;
        in[0] = compare_input(&c, SY_TYPE_F32, 4, dims);
        in[1] = compare_weight(&c, SY_TYPE_F32, i == 2 ? 2 : 3,
                               i == 2 ? (int64_t[]){1, 1} : slope_dims[i]);
        out = compare_output(&c, SY_TYPE_F32, 4, dims);
        sy_test_graph_node(&c.graph, "", "PRelu", 16, 2, in, 1, &out);
        CHECK(compare_run(&c, "PRelu") == (has_xnnpack && i != 3)); /* 3: along the width */
        compare_deinit(&c);
    }
}

#define CHANNELS 9

/* y = BatchNormalization of x, which has CHANNELS channels. */
static void norm_node(compare *c, uint32_t x, uint32_t y) {
    const int64_t channels = CHANNELS;
    float variances[CHANNELS];
    uint32_t in[5] = {x};
    for (int i = 1; i < 4; i++) {
        in[i] = compare_weight(c, SY_TYPE_F32, 1, &channels);
    }
    for (int i = 0; i < CHANNELS; i++) {
        variances[i] = 0.1f + (float)i;
    }
    in[4] = weight_of(c, 1, &channels, variances, CHANNELS);
    uint32_t node = sy_test_graph_node(&c->graph, "", "BatchNormalization", 15, 5, in, 1, &y);
    sy_test_graph_float(&c->graph, node, "epsilon", 1e-3);
}

static void normalization_matches(void) {
    for (int type = 0; type < 3; type++) {
        compare c;
        compare_init(&c, 2 * tolerances[type]);
        c.may_refuse = true;
        sy_dimension dims[4] = {FIXED(2), FIXED(CHANNELS), FIXED(5), FIXED(3)};
        uint32_t x = compare_input(&c, floats[type], 4, dims);
        norm_node(&c, x, compare_output(&c, floats[type], 4, dims));
        CHECK(compare_run(&c, "BatchNormalization") == has_xnnpack);
        compare_deinit(&c);
    }
}

/* Behind a convolution, into whose weights it goes unless somebody else reads that one's output. */
static void folded_normalization_matches(void) {
    for (int i = 0; i < 8; i++) {
        bool depthwise = i % 2 == 1, leaves = i / 4 == 1;
        conv_shape s = {2,
                        depthwise ? CHANNELS : 4,
                        7,
                        6,
                        CHANNELS,
                        depthwise ? CHANNELS : 1,
                        3,
                        3,
                        1,
                        2,
                        1,
                        1,
                        {1, 1, 1, 1},
                        i / 2 % 2 == 1};
        compare c;
        compare_init(&c, 1e-5);
        c.may_refuse = true;
        const int64_t channels = CHANNELS;
        sy_dimension x[4] = {FIXED(s.n), FIXED(s.c), FIXED(s.h), FIXED(s.w)}, y[4];
        output_dims(&s, y);
        uint32_t in = compare_input(&c, SY_TYPE_F32, 4, x);
        uint32_t w = compare_weight(&c, SY_TYPE_F32, 4, (int64_t[]){CHANNELS, s.c / s.group, 3, 3});
        uint32_t bias = s.has_bias ? compare_weight(&c, SY_TYPE_F32, 1, &channels) : SY_NO_VALUE;
        uint32_t made =
            leaves ? compare_output(&c, SY_TYPE_F32, 4, y) : compare_inner(&c, SY_TYPE_F32, 4, y);
        uint32_t scaled = compare_inner(&c, SY_TYPE_F32, 4, y);
        conv_node(&c, &s, in, w, bias, made);
        norm_node(&c, made, scaled);
        uint32_t out = compare_output(&c, SY_TYPE_F32, 4, y);
        sy_test_graph_node(&c.graph, "", "Relu", 14, 1, &scaled, 1, &out);
        CHECK(compare_run(&c, "Conv, BatchNormalization, Relu") == has_xnnpack);
        compare_deinit(&c);
    }
}

/* In f16 and bf16 a product runs as a region of one. */
static void narrow_products_match(void) {
    for (int i = 0; i < 4; i++) {
        compare c;
        compare_init(&c, tolerances[1 + i / 2]);
        c.may_refuse = true;
        sy_element_type type = floats[1 + i / 2];
        sy_dimension x[2] = {FIXED(3), FIXED(40)}, y[2] = {FIXED(3), FIXED(11)};
        const int64_t n = 11;
        uint32_t in[3] = {compare_input(&c, type, 2, x),
                          compare_weight(&c, type, 2, (int64_t[]){40, 11}),
                          compare_weight(&c, type, 1, &n)};
        uint32_t out = compare_output(&c, type, 2, y);
        sy_test_graph_node(&c.graph, "", i % 2 == 0 ? "Gemm" : "MatMul", 13, i % 2 == 0 ? 3 : 2, in,
                           1, &out);
        CHECK(compare_run(&c, "a narrow product") == has_xnnpack);
        compare_deinit(&c);
    }
}

/* ---- whole regions ---- */
static uint32_t one_in(compare *c, const char *name, uint32_t version, uint32_t x, uint32_t y) {
    return sy_test_graph_node(&c->graph, "", name, version, 1, &x, 1, &y);
}
static uint32_t two_in(compare *c, const char *name, uint32_t version, uint32_t a, uint32_t b,
                       uint32_t y) {
    return sy_test_graph_node(&c->graph, "", name, version, 2, (uint32_t[]){a, b}, 1, &y);
}

/* conv - relu - depthwise - clip - add (the relu's output, which also leaves) - mean - product. */
static void region_matches(sy_element_type type, double tolerance) {
    static const conv_shape first = {2, 3, 12, 10, 8, 1, 3, 3, 2, 2, 1, 1, {1, 1, 1, 1}, true};
    static const conv_shape second = {2, 8, 6, 5, 8, 8, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, true};
    const int64_t eight = 8;
    compare c;
    compare_init(&c, tolerance);
    c.may_refuse = true;
    sy_dimension x[4] = {FIXED(2), FIXED(3), FIXED(12), FIXED(10)}, y[4], flat[4];
    output_dims(&first, y);
    memcpy(flat, y, sizeof(flat));
    flat[2] = flat[3] = FIXED(1);
    sy_dimension row[2] = {FIXED(2), FIXED(8)}, classes[2] = {FIXED(2), FIXED(5)};
    uint32_t in = compare_input(&c, type, 4, x), v[7];
    for (int i = 0; i < 5; i++) {
        v[i] = i == 1 ? compare_output(&c, type, 4, y) : compare_inner(&c, type, 4, y);
    }
    v[5] = compare_inner(&c, type, 4, flat);
    v[6] = compare_inner(&c, type, 2, row);
    uint32_t w = compare_weight(&c, type, 4, (int64_t[]){8, 3, 3, 3});
    conv_node(&c, &first, in, w, compare_weight(&c, type, 1, &eight), v[0]);
    one_in(&c, "Relu", 14, v[0], v[1]);
    w = compare_weight(&c, type, 4, (int64_t[]){8, 1, 3, 3});
    conv_node(&c, &second, v[1], w, compare_weight(&c, type, 1, &eight), v[2]);
    one_in(&c, "HardSwish", 22, v[2], v[3]);
    two_in(&c, "Add", 14, v[3], v[1], v[4]);
    one_in(&c, "GlobalAveragePool", 22, v[4], v[5]);
    two_in(&c, "Reshape", 14, v[5], compare_weight_i64(&c, (int64_t[]){2, 8}, 2), v[6]);
    uint32_t product[2] = {v[6], compare_weight(&c, type, 2, (int64_t[]){5, 8})};
    uint32_t out = compare_output(&c, type, 2, classes);
    uint32_t node = sy_test_graph_node(&c.graph, "", "Gemm", 13, 2, product, 1, &out);
    sy_test_graph_int(&c.graph, node, "transB", 1);
    CHECK(compare_run(&c, "a region") == has_xnnpack);
    if (has_xnnpack) {
        refusals_are_told(&c, "a region");
    }
    compare_deinit(&c);
}

static void regions_match(void) {
    region_matches(SY_TYPE_F32, 1e-5);
    region_matches(SY_TYPE_F16, 4e-3); /* the reference rounds between the nodes */
    region_matches(SY_TYPE_BF16, 3e-2);
}

/* Every axis of every rank; three parts, the middle one twice as long. */
static void concatenation_matches(void) {
    for (uint32_t rank = 1; rank <= 4; rank++) {
        for (uint32_t axis = 0; axis < rank; axis++) {
            for (int type = 0; type < 3; type++) {
                compare c;
                compare_init(&c, 1e-9);
                c.may_refuse = true;
                sy_dimension x[4] = {FIXED(2), FIXED(5), FIXED(3), FIXED(4)}, wide[4], y[4];
                memcpy(wide, x, sizeof(x));
                memcpy(y, x, sizeof(x));
                wide[axis] = FIXED(2 * x[axis].bound);
                y[axis] = FIXED(4 * x[axis].bound);
                uint32_t in[3] = {compare_input(&c, floats[type], rank, x),
                                  compare_input(&c, floats[type], rank, wide),
                                  compare_input(&c, floats[type], rank, x)};
                uint32_t out = compare_output(&c, floats[type], rank, y);
                uint32_t node = sy_test_graph_node(&c.graph, "", "Concat", 13, 3, in, 1, &out);
                sy_test_graph_int(&c.graph, node, "axis",
                                  (int64_t)axis - (type == 0 ? (int64_t)rank : 0));
                CHECK(compare_run(&c, "Concat") == has_xnnpack);
                compare_deinit(&c);
            }
        }
    }
}

/* conv - (relu, conv) - concat with the input - concat of that with itself - mean. */
static void concatenating_region_matches(void) {
    static const conv_shape s = {1, 12, 20, 19, 12, 1, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, false};
    compare c;
    compare_init(&c, 1e-5);
    c.may_refuse = true;
    sy_dimension x[4] = {FIXED(1), FIXED(12), FIXED(20), FIXED(19)}, y[4], twice[4], flat[4];
    memcpy(y, x, sizeof(x));
    y[1] = FIXED(36);
    memcpy(twice, y, sizeof(y));
    twice[1] = FIXED(72);
    memcpy(flat, twice, sizeof(twice));
    flat[2] = flat[3] = FIXED(1);
    uint32_t in = compare_input(&c, SY_TYPE_F32, 4, x), v[3];
    for (int i = 0; i < 3; i++) {
        v[i] = compare_inner(&c, SY_TYPE_F32, 4, x);
    }
    uint32_t wide = compare_inner(&c, SY_TYPE_F32, 4, y);
    uint32_t both = compare_output(&c, SY_TYPE_F32, 4, twice);
    uint32_t w = compare_weight(&c, SY_TYPE_F32, 4, (int64_t[]){12, 12, 3, 3});
    conv_node(&c, &s, in, w, SY_NO_VALUE, v[0]);
    one_in(&c, "Relu", 14, v[0], v[1]);
    conv_node(&c, &s, v[1], w, SY_NO_VALUE, v[2]);
    uint32_t node =
        sy_test_graph_node(&c.graph, "", "Concat", 13, 3, (uint32_t[]){v[2], in, v[1]}, 1, &wide);
    sy_test_graph_int(&c.graph, node, "axis", 1);
    node = two_in(&c, "Concat", 13, wide, wide, both);
    sy_test_graph_int(&c.graph, node, "axis", 1);
    one_in(&c, "GlobalAveragePool", 22, both, compare_output(&c, SY_TYPE_F32, 4, flat));
    CHECK(compare_run(&c, "a region with Concat") == has_xnnpack);
    if (has_xnnpack) {
        refusals_are_told(&c, "a region with Concat");
    }
    compare_deinit(&c);
}

/* ---- a number of pictures that only the step knows ---- */
#define PICTURES SY_SYMBOL_FIRST_FREE

/* conv - relu - (max pool, concat with itself) - mean - reshape - product, for n of 5 pictures. */
static void pictures_match(sy_element_type type, double tolerance, int64_t n) {
    static const conv_shape s = {5, 3, 9, 8, 6, 1, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, false};
    static const int64_t shape[2] = {-1, 12};
    compare c;
    compare_init(&c, tolerance);
    c.may_refuse = true;
    c.symbols[PICTURES] = n;
    sy_dimension x[4] = {sy_test_symbol(PICTURES, 5), FIXED(3), FIXED(9), FIXED(8)};
    sy_dimension y[4] = {x[0], FIXED(6), FIXED(9), FIXED(8)};
    sy_dimension half[4] = {x[0], FIXED(6), FIXED(4), FIXED(4)};
    sy_dimension both[4] = {x[0], FIXED(12), FIXED(4), FIXED(4)};
    sy_dimension flat[4] = {x[0], FIXED(12), FIXED(1), FIXED(1)};
    sy_dimension row[2] = {x[0], FIXED(12)}, classes[2] = {x[0], FIXED(7)};
    uint32_t in = compare_input(&c, type, 4, x), v[6];
    v[0] = compare_inner(&c, type, 4, y);
    v[1] = compare_output(&c, type, 4, y);
    v[2] = compare_inner(&c, type, 4, half);
    v[3] = compare_inner(&c, type, 4, both);
    v[4] = compare_inner(&c, type, 4, flat);
    v[5] = compare_inner(&c, type, 2, row);
    conv_node(&c, &s, in, compare_weight(&c, type, 4, (int64_t[]){6, 3, 3, 3}), SY_NO_VALUE, v[0]);
    one_in(&c, "Relu", 14, v[0], v[1]);
    uint32_t node = one_in(&c, "MaxPool", 22, v[1], v[2]);
    sy_test_graph_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    sy_test_graph_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    node = two_in(&c, "Concat", 13, v[2], v[2], v[3]);
    sy_test_graph_int(&c.graph, node, "axis", 1);
    one_in(&c, "GlobalAveragePool", 22, v[3], v[4]);
    two_in(&c, "Reshape", 14, v[4], compare_weight_i64(&c, shape, 2), v[5]);
    two_in(&c, "MatMul", 13, v[5], compare_weight(&c, type, 2, (int64_t[]){12, 7}),
           compare_output(&c, type, 2, classes));
    CHECK(compare_run(&c, "several pictures") == has_xnnpack);
    compare_deinit(&c);
}

/* A constant for each picture fits; pictures behind one another do not. */
static void other_batches_match(void) {
    for (int i = 0; i < 2; i++) {
        compare c;
        compare_init(&c, 1e-5);
        c.may_refuse = true;
        c.symbols[PICTURES] = 4;
        sy_dimension x[4] = {sy_test_symbol(PICTURES, 5), FIXED(3), FIXED(4), FIXED(4)};
        sy_dimension twice[4] = {x[0], x[1], x[2], x[3]};
        twice[0].bound = 10;
        twice[0].scale = 2;
        uint32_t in = compare_input(&c, SY_TYPE_F32, 4, x);
        if (i == 0) {
            uint32_t made = compare_inner(&c, SY_TYPE_F32, 4, x);
            one_in(&c, "HardSwish", 22, in, made);
            two_in(&c, "Add", 14, made, compare_weight(&c, SY_TYPE_F32, 4, (int64_t[]){1, 3, 4, 4}),
                   compare_output(&c, SY_TYPE_F32, 4, x));
        } else {
            uint32_t node =
                two_in(&c, "Concat", 13, in, in, compare_output(&c, SY_TYPE_F32, 4, twice));
            sy_test_graph_int(&c.graph, node, "axis", 0);
        }
        CHECK(compare_run(&c, "pictures") == (has_xnnpack && i == 0));
        compare_deinit(&c);
    }
}

/* ---- work for several workers ---- */
/* Large enough to be cut: into bands of rows, channels, groups; in one picture and several. */
static const conv_shape large_shapes[] = {
    {1, 24, 40, 36, 48, 1, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, true},
    {1, 16, 67, 33, 20, 1, 5, 3, 2, 1, 2, 1, {3, 0, 4, 1}, true},
    {2, 64, 12, 12, 61, 1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, true},
    {1, 72, 40, 40, 72, 72, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, true},
    {2, 160, 14, 14, 160, 160, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, false},
    {2, 64, 20, 20, 48, 4, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, true},
};

/* x * gate (by channel) - hard swish - prelu + x, over 38 thousand elements. */
static void large_elements_match(void) {
    compare c;
    compare_init(&c, 5e-6);
    c.may_refuse = true;
    const int64_t channels[3] = {24, 1, 1};
    sy_dimension x[4] = {FIXED(1), FIXED(24), FIXED(40), FIXED(40)};
    sy_dimension flat[4] = {FIXED(1), FIXED(24), FIXED(1), FIXED(1)};
    uint32_t in = compare_input(&c, SY_TYPE_F32, 4, x), v[4];
    uint32_t gate = compare_inner(&c, SY_TYPE_F32, 4, flat);
    for (int i = 0; i < 4; i++) {
        v[i] = compare_inner(&c, SY_TYPE_F32, 4, x);
    }
    one_in(&c, "GlobalMaxPool", 22, in, gate);
    two_in(&c, "Mul", 14, in, gate, v[0]);
    one_in(&c, "HardSwish", 22, v[0], v[1]);
    two_in(&c, "PRelu", 16, v[1], compare_weight(&c, SY_TYPE_F32, 3, channels), v[2]);
    two_in(&c, "Add", 14, v[2], in, v[3]);
    uint32_t out = compare_output(&c, SY_TYPE_F32, 4, x);
    one_in(&c, "Relu", 14, v[3], out);
    CHECK(compare_run(&c, "large element by element") == has_xnnpack);
    compare_deinit(&c);
}

static void large_work_matches(void) {
    static const pool_shape pool = {70, 40, 38, 3, 3, 2, 2, {1, 1, 1, 1}, false};
    for (size_t i = 0; i < sizeof(large_shapes) / sizeof(large_shapes[0]); i++) {
        CHECK(conv_case(&large_shapes[i], 0) == has_xnnpack);
    }
    pool_case("MaxPool", &pool, 0);
    pool_case("AveragePool", &pool, 0);
    large_elements_match();
}

/* ---- int8 ---- */
typedef struct factor {
    uint32_t scale, zero;
} factor;

static uint32_t byte_weight(compare *c, sy_element_type type, uint32_t rank, const int64_t *dims) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < rank; i++) {
        n *= (uint64_t)dims[i];
    }
    uint32_t value = compare_weight(c, type, rank, dims);
    uint8_t *bytes = c->weights[c->n_weights - 1];
    for (uint64_t i = 0; i < n * (type == SY_TYPE_I32 ? 4 : 1); i++) {
        uint32_t r = random_u32();
        if (type != SY_TYPE_I32) {
            bytes[i] = (uint8_t)((int)(r % 255) - 127);
        } else if (i % 4 == 0) {
            int32_t wide = (int32_t)(r % 4000) - 2000;
            memcpy(bytes + i, &wide, sizeof(wide));
        }
    }
    return value;
}

static factor factor_of(compare *c, sy_element_type type, float scale, int zero) {
    factor f = {weight_of(c, 0, NULL, &scale, 1), compare_weight(c, type, 0, NULL)};
    memset(c->weights[c->n_weights - 1], zero & 0xff, 1);
    return f;
}

static void quantize(compare *c, uint32_t x, factor f, uint32_t y) {
    sy_test_graph_node(&c->graph, "", "QuantizeLinear", 21, 3, (uint32_t[]){x, f.scale, f.zero}, 1,
                       &y);
}
static void dequantize(compare *c, uint32_t x, factor f, uint32_t y) {
    sy_test_graph_node(&c->graph, "", "DequantizeLinear", 21, 3, (uint32_t[]){x, f.scale, f.zero},
                       1, &y);
}

/* A weight of int8 with a scale for each output channel, as f32. */
static uint32_t int8_weight(compare *c, uint32_t rank, const int64_t *dims) {
    sy_dimension sizes[4];
    for (uint32_t i = 0; i < rank; i++) {
        sizes[i] = FIXED(dims[i]);
    }
    float scales[64];
    for (int i = 0; i < 64; i++) {
        scales[i] = 0.004f + 0.0003f * (float)i;
    }
    uint32_t in[2] = {byte_weight(c, SY_TYPE_I8, rank, dims),
                      weight_of(c, 1, dims, scales, (size_t)dims[0])};
    uint32_t y = compare_inner(c, SY_TYPE_F32, rank, sizes);
    uint32_t node = sy_test_graph_node(&c->graph, "", "DequantizeLinear", 21, 2, in, 1, &y);
    sy_test_graph_int(&c->graph, node, "axis", 0);
    return y;
}

/* One int8 convolution between bytes, perhaps with a relu; the tolerance is one unit where they
 * reach 32. */
static void int8_conv_case(const conv_shape *s, sy_element_type type, bool relu) {
    compare c;
    compare_init(&c, 1.01 / 32.0);
    c.may_refuse = true;
    sy_dimension x[4] = {FIXED(s->n), FIXED(s->c), FIXED(s->h), FIXED(s->w)}, y[4];
    output_dims(s, y);
    uint32_t in = compare_input(&c, type, 4, x);
    factor fx = factor_of(&c, type, 0.02f, 5);
    factor fy =
        factor_of(&c, type, s->c / s->group > 8 ? 0.3f : 0.08f, type == SY_TYPE_U8 ? 110 : -7);
    uint32_t w = int8_weight(&c, 4, (int64_t[]){s->out, s->c / s->group, s->kh, s->kw});
    uint32_t bias = s->has_bias ? compare_weight(&c, SY_TYPE_F32, 1, &s->out) : SY_NO_VALUE;
    uint32_t fin = compare_inner(&c, SY_TYPE_F32, 4, x),
             made = compare_inner(&c, SY_TYPE_F32, 4, y);
    dequantize(&c, in, fx, fin);
    conv_node(&c, s, fin, w, bias, made);
    if (relu) {
        uint32_t cut = compare_inner(&c, SY_TYPE_F32, 4, y);
        one_in(&c, "Relu", 14, made, cut);
        made = cut;
    }
    quantize(&c, made, fy, compare_output(&c, type, 4, y));
    CHECK(compare_run(&c, "int8 Conv") == has_xnnpack);
    compare_deinit(&c);
}

/* Bytes of several pictures through an int8 convolution. */
static void int8_pictures_match(void) {
    static const conv_shape s = {4, 6, 7, 5, 9, 1, 3, 3, 1, 1, 1, 1, {1, 1, 1, 1}, false};
    compare c;
    compare_init(&c, 1.01 / 32.0);
    c.may_refuse = true;
    c.symbols[PICTURES] = 3;
    sy_dimension x[4] = {sy_test_symbol(PICTURES, 4), FIXED(6), FIXED(7), FIXED(5)};
    sy_dimension y[4] = {x[0], FIXED(9), FIXED(7), FIXED(5)};
    uint32_t in = compare_input(&c, SY_TYPE_U8, 4, x);
    uint32_t fin = compare_inner(&c, SY_TYPE_F32, 4, x);
    uint32_t made = compare_inner(&c, SY_TYPE_F32, 4, y);
    dequantize(&c, in, factor_of(&c, SY_TYPE_U8, 0.02f, 120), fin);
    conv_node(&c, &s, fin, int8_weight(&c, 4, (int64_t[]){9, 6, 3, 3}), SY_NO_VALUE, made);
    quantize(&c, made, factor_of(&c, SY_TYPE_U8, 0.08f, 110), compare_output(&c, SY_TYPE_U8, 4, y));
    CHECK(compare_run(&c, "int8 pictures") == has_xnnpack);
    if (has_xnnpack) {
        refusals_are_told(&c, "int8 pictures");
    }
    compare_deinit(&c);
}

static void numbers_of_pictures_match(void) {
    for (int64_t n = 1; n <= 5; n += 2) {
        pictures_match(SY_TYPE_F32, 1e-5, n);
    }
    pictures_match(SY_TYPE_F16, 4e-3, 2);
    int8_pictures_match();
    other_batches_match();
}

static void large_int8_convolution_matches(void) {
    for (size_t i = 0; i < sizeof(large_shapes) / sizeof(large_shapes[0]); i++) {
        if (large_shapes[i].out <= 64) {
            int8_conv_case(&large_shapes[i], SY_TYPE_U8, true);
        }
    }
}

static void int8_convolution_matches(void) {
    for (size_t i = 0; i < sizeof(conv_shapes) / sizeof(conv_shapes[0]); i++) {
        if (conv_shapes[i].out <= 64) {
            int8_conv_case(&conv_shapes[i], SY_TYPE_I8, i % 2 == 0);
            int8_conv_case(&conv_shapes[i], SY_TYPE_U8, i % 2 == 1);
        }
    }
}

/* Bytes in, int8 max pool, add, mean and a product; bytes out. */
static void int8_region_matches(void) {
    compare c;
    compare_init(&c, 2.01 / 64.0);
    c.may_refuse = true;
    sy_dimension x[4] = {FIXED(1), FIXED(16), FIXED(8), FIXED(8)};
    sy_dimension half[4] = {x[0], x[1], FIXED(4), FIXED(4)},
                 flat[4] = {x[0], x[1], FIXED(1), FIXED(1)};
    sy_dimension row[2] = {FIXED(1), FIXED(16)}, classes[2] = {FIXED(1), FIXED(10)};
    uint32_t in = compare_input(&c, SY_TYPE_I8, 4, x);
    factor f = factor_of(&c, SY_TYPE_I8, 0.03f, -3), sums = factor_of(&c, SY_TYPE_I8, 0.05f, 2);
    factor weights = factor_of(&c, SY_TYPE_I8, 0.01f, 0), ends = factor_of(&c, SY_TYPE_I8, 0.1f, 0);
    uint32_t a = compare_inner(&c, SY_TYPE_F32, 4, x), p = compare_inner(&c, SY_TYPE_F32, 4, half);
    dequantize(&c, in, f, a);
    uint32_t node = one_in(&c, "MaxPool", 22, a, p);
    sy_test_graph_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    sy_test_graph_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    uint32_t p8 = compare_inner(&c, SY_TYPE_I8, 4, half),
             pf = compare_inner(&c, SY_TYPE_F32, 4, half);
    quantize(&c, p, f, p8);
    dequantize(&c, p8, f, pf);
    uint32_t w = int8_weight(&c, 4, (int64_t[]){16, 16, 1, 1});
    static const conv_shape point = {1, 16, 4, 4, 16, 1, 1, 1, 1, 1, 1, 1, {0, 0, 0, 0}, false};
    uint32_t y = compare_inner(&c, SY_TYPE_F32, 4, half),
             y8 = compare_inner(&c, SY_TYPE_I8, 4, half);
    conv_node(&c, &point, pf, w, SY_NO_VALUE, y);
    quantize(&c, y, sums, y8);
    uint32_t yf = compare_inner(&c, SY_TYPE_F32, 4, half),
             s = compare_inner(&c, SY_TYPE_F32, 4, half);
    dequantize(&c, y8, sums, yf);
    two_in(&c, "Add", 14, yf, pf, s);
    uint32_t s8 = compare_inner(&c, SY_TYPE_I8, 4, half),
             sf = compare_inner(&c, SY_TYPE_F32, 4, half);
    quantize(&c, s, sums, s8);
    dequantize(&c, s8, sums, sf);
    uint32_t m = compare_inner(&c, SY_TYPE_F32, 4, flat),
             m8 = compare_inner(&c, SY_TYPE_I8, 4, flat);
    one_in(&c, "GlobalAveragePool", 22, sf, m);
    quantize(&c, m, sums, m8);
    uint32_t mf = compare_inner(&c, SY_TYPE_F32, 4, flat),
             r = compare_inner(&c, SY_TYPE_F32, 2, row);
    dequantize(&c, m8, sums, mf);
    two_in(&c, "Reshape", 14, mf, compare_weight_i64(&c, (int64_t[]){1, 16}, 2), r);
    uint32_t r8 = compare_inner(&c, SY_TYPE_I8, 2, row),
             rf = compare_inner(&c, SY_TYPE_F32, 2, row);
    quantize(&c, r, sums, r8);
    dequantize(&c, r8, sums, rf);
    sy_dimension matrix[2] = {FIXED(16), FIXED(10)};
    uint32_t b8 = byte_weight(&c, SY_TYPE_I8, 2, (int64_t[]){16, 10});
    uint32_t b = compare_inner(&c, SY_TYPE_F32, 2, matrix),
             z = compare_inner(&c, SY_TYPE_F32, 2, classes);
    dequantize(&c, b8, weights, b);
    two_in(&c, "MatMul", 13, rf, b, z);
    quantize(&c, z, ends, compare_output(&c, SY_TYPE_I8, 2, classes));
    CHECK(compare_run(&c, "an int8 region") == has_xnnpack);
    compare_deinit(&c);
}

/* QuantizeLinear and DequantizeLinear by themselves, with one scale and one for each channel. */
static void quantizing_matches(void) {
    const int64_t channels = 6;
    for (int i = 0; i < 12; i++) {
        sy_element_type byte = i % 2 == 0 ? SY_TYPE_I8 : SY_TYPE_U8;
        bool by_channel = i / 2 % 2 == 1;
        sy_element_type type = floats[i / 4];
        compare c;
        compare_init(&c, 1e-6);
        sy_dimension dims[3] = {FIXED(3), FIXED(channels), FIXED(700)};
        float scales[6] = {0.01f, 0.02f, 0.005f, 0.03f, 0.011f, 0.007f};
        uint32_t scale = weight_of(&c, by_channel ? 1 : 0, &channels, scales, by_channel ? 6 : 1);
        uint32_t zero = byte_weight(&c, byte, by_channel ? 1 : 0, &channels);
        factor f = {scale, zero};
        uint32_t y = compare_output(&c, byte, 3, dims),
                 back = compare_output(&c, SY_TYPE_F32, 3, dims);
        quantize(&c, compare_input(&c, type, 3, dims), f, y);
        dequantize(&c, y, f, back);
        compare_run(&c, "QuantizeLinear");
        compare_deinit(&c);
    }
}

/* ---- sizes that would overflow ---- */
static void refused(sy_test_graph *graph, const char *what) {
    sy_test_host host;
    sy_op_runner runner;
    sy_error error = {0};
    sy_verdict verdict = {.header = SY_HEADER_INIT(sy_verdict)};
    delegate_open(&host, &runner);
    CHECK_OK_ERROR(sy_test_graph_finish(graph, &error), error);
    CHECK_OK_ERROR(sy_op_judge(&runner, graph, &verdict, &error), error);
    CHECK_TEXT(verdict.support == SY_SUPPORT_NO, "%s", what);
    CHECK_TEXT(!has_xnnpack || strstr(verdict.why, "2^40") != NULL, "%s: %s", what, verdict.why);
    sy_test_graph_deinit(graph);
    delegate_close(&host, &runner);
}

static uint32_t f32_value(sy_test_graph *graph, sy_value_kind kind, uint32_t rank,
                          const sy_dimension *dims) {
    return sy_test_graph_value(graph, kind == SY_VALUE_INPUT ? "x" : "y", kind, SY_TYPE_F32, rank,
                               dims);
}

/* Counts of elements that are 0, or 0 bytes, in 64 bits. */
static void huge_values_are_refused(void) {
    const int64_t pad = (1 << 20) - 1;
    sy_test_graph graph;
    sy_test_graph_init(&graph);
    sy_dimension huge[3] = {FIXED((int64_t)1 << 31), FIXED((int64_t)1 << 31), FIXED(4)};
    uint32_t x = f32_value(&graph, SY_VALUE_INPUT, 3, huge);
    uint32_t y = f32_value(&graph, SY_VALUE_OUTPUT, 3, huge);
    sy_test_graph_node(&graph, "", "HardSwish", 22, 1, &x, 1, &y);
    refused(&graph, "a huge input");

    sy_test_graph_init(&graph); /* 2^20 planes of 2 x 2 become 2^21 x 2^21 */
    sy_dimension few[4] = {FIXED(1), FIXED(1 << 20), FIXED(2), FIXED(2)};
    sy_dimension out[4] = {few[0], few[1], FIXED(2), FIXED(2)};
    x = f32_value(&graph, SY_VALUE_INPUT, 4, few);
    y = f32_value(&graph, SY_VALUE_OUTPUT, 4, out);
    uint32_t node = sy_test_graph_node(&graph, "", "AveragePool", 22, 1, &x, 1, &y);
    sy_test_graph_ints(&graph, node, "kernel_shape", (int64_t[]){pad + 1, pad + 1}, 2);
    sy_test_graph_ints(&graph, node, "strides", (int64_t[]){pad + 1, pad + 1}, 2);
    sy_test_graph_ints(&graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    sy_test_graph_int(&graph, node, "count_include_pad", 1);
    refused(&graph, "huge pads");
}

int main(void) {
    has_xnnpack = conv_case(&conv_shapes[0], 0);
    printf("%s\n", has_xnnpack ? "with XNNPACK" : "without XNNPACK: the operators are refused");
    convolution_matches();
    convolution_of_rows_matches();
    pooling_matches();
    global_pooling_matches();
    means_match();
    activations_match();
    limits_and_slopes_match();
    normalization_matches();
    folded_normalization_matches();
    narrow_products_match();
    regions_match();
    concatenation_matches();
    concatenating_region_matches();
    numbers_of_pictures_match();
    large_work_matches();
    quantizing_matches();
    int8_convolution_matches();
    large_int8_convolution_matches();
    int8_region_matches();
    huge_values_are_refused();
    return 0;
}
