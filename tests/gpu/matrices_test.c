/* SPDX-License-Identifier: Apache-2.0 */
/* Products by cooperative matrices against the reference, where a device has them: factors are
 * rounded to f16, sums are not. */
#include "driver.h"
#include "kernels/block_samples.h"
#include "kernels/op_compare.h"

#define TOLERANCE 1e-3

const sy_plugin *compare_delegate_entry(sy_test_host *host) {
    return compare_entry_of(host, "plugins/gpu-vulkan/gpu-vulkan.so");
}

uint32_t compare_variants(compare_variant out_variants[COMPARE_VARIANTS]) {
    out_variants[0] = (compare_variant){.name = "matrices"};
    snprintf(out_variants[0].options, sizeof(out_variants[0].options), "%s", compare_options());
    return 1;
}

const char *compare_options(void) {
    return "software=on\nmatrices=on";
}

bool compare_lacks(sy_element_type type) {
    (void)type;
    return false;
}

static void check_matrices(void) {
    gpu_limits limits[1];
    uint32_t n = 1;
    static sy_test_host host;
    sy_error error;
    CHECK_OK(sy_test_host_init(&host, 1, &error));
    kit_host_set(&host.services);
    CHECK_OK(gpu_driver_enumerate(limits, &n));
    sy_test_host_deinit(&host);
    if (n == 0 || limits[0].matrices.m == 0) {
        SKIP("%s", n == 0 ? "no Vulkan device" : "the device has no cooperative matrices");
    }
}

/* x times `factor`. */
static void linear_case(sy_element_type weight, sy_element_type type, int64_t k, int64_t n,
                        int64_t n_rows, float factor) {
    compare c;
    char what[96];
    compare_init(&c, type == SY_TYPE_BF16 ? 8e-3 : TOLERANCE);
    const sy_dimension rows = sy_test_symbol(SY_SYMBOL_TOKENS, n_rows);
    const sy_dimension x_dims[2] = {rows, sy_test_fixed(k)}, y_dims[2] = {rows, sy_test_fixed(n)};
    const uint32_t in[3] = {compare_input(&c, type, 2, x_dims),
                            compare_weight(&c, weight, 2, (int64_t[]){n, k}),
                            compare_weight(&c, SY_TYPE_F32, 1, &n)};
    if (type == SY_TYPE_F32) {
        float *x;
        memcpy(&x, &c.inputs[0], sizeof(x));
        for (int64_t i = 0; i < n_rows * k; i++) {
            x[i] *= factor;
        }
    }
    uint32_t y = compare_output(&c, type, 2, y_dims);
    sy_test_graph_node(&c.graph, "switchyard", "Linear", 1, 3, in, 1, &y);
    snprintf(what, sizeof(what), "Linear %u x %u, [%d, %d] x [%d], x times %g", type, weight,
             (int)n_rows, (int)k, (int)n, (double)factor);
    CHECK(compare_run(&c, what));
    compare_deinit(&c);
}

static void block_types_match(void) {
    static const sy_element_type types[] = {
        SY_TYPE_Q4_0, SY_TYPE_Q4_1, SY_TYPE_Q5_0, SY_TYPE_Q5_1, SY_TYPE_Q8_0,   SY_TYPE_Q2_K,
        SY_TYPE_Q3_K, SY_TYPE_Q4_K, SY_TYPE_Q5_K, SY_TYPE_Q6_K, SY_TYPE_IQ4_NL, SY_TYPE_IQ4_XS};
    static const sy_element_type floats[] = {SY_TYPE_F32, SY_TYPE_F16, SY_TYPE_BF16};
    check_matrices();
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        linear_case(types[i], floats[i % 3], 256, 67, 9 + 31 * (int64_t)(i % 4), 1.0f);
    }
}

static void ragged_floats_match(void) {
    static const int64_t widths[] = {1, 37, 64, 65, 264};
    check_matrices();
    for (size_t i = 0; i < 5; i++) {
        linear_case(SY_TYPE_F16, SY_TYPE_F32, widths[i], 1 + 40 * (int64_t)i, 70, 1.0f);
    }
}

/* Numbers that f16 has no room for. */
static void the_range_of_f16_is_no_limit(void) {
    check_matrices();
    linear_case(SY_TYPE_Q8_0, SY_TYPE_F32, 96, 64, 64, 1e9f);
    linear_case(SY_TYPE_Q8_0, SY_TYPE_F32, 96, 64, 64, 1e-9f);
    linear_case(SY_TYPE_Q8_0, SY_TYPE_F32, 96, 64, 64, 0.0f);
}

/* Types that f16 would round or cut stay as exact as they were. */
static void other_types_stay_exact(void) {
    check_matrices();
    linear_case(SY_TYPE_F32, SY_TYPE_F32, 65, 40, 40, 1.0f);
    linear_case(SY_TYPE_BF16, SY_TYPE_F32, 64, 40, 40, 1.0f);
    linear_case(SY_TYPE_MXFP4, SY_TYPE_F32, 64, 40, 40, 1.0f);
}

int main(int argc, char **argv) {
    static const sy_test_case cases[] = {
        {"block_types_match", block_types_match},
        {"ragged_floats_match", ragged_floats_match},
        {"the_range_of_f16_is_no_limit", the_range_of_f16_is_no_limit},
        {"other_types_stay_exact", other_types_stay_exact},
    };
    return sy_test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
