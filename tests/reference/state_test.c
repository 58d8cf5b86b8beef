/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "reference/blocks.h"
#include "reference/reference.h"
#include "tools/op_runner.h"

enum { WIDTH = 64, ROWS = 10 };

static sy_test_host host;
static sy_op_runner runner;

static const struct {
    sy_element_type type;
    size_t row_bytes;
} types[] = {{SY_TYPE_F32, 256},
             {SY_TYPE_F16, 128},
             {SY_TYPE_BF16, 128},
             {SY_TYPE_Q8_0, 68},
             {SY_TYPE_Q4_0, 36}};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

static void open_reference(void) {
    sy_error error = {0};
    CHECK_OK_ERROR(sy_test_host_init(&host, 1, &error), error);
    const sy_plugin *table = sy__reference_entry(SY_ABI_VERSION, &host.services);
    CHECK_OK_ERROR(sy_op_runner_open(&runner, table, &host, 0, NULL, &error), error);
}

static void close_reference(void) {
    CHECK_OK(sy_op_runner_close(&runner));
    CHECK_TEXT(host.n_live == 0, "%zu allocations are live", host.n_live);
    CHECK_TEXT(host.n_misuses == 0, "%s", host.misuse);
    sy_test_host_deinit(&host);
}

static sy_status create(sy_element_type type, uint32_t width, uint64_t n_rows, sy_state **out) {
    sy_state_description description = {.header = SY_HEADER_INIT(sy_state_description)};
    description.type = type;
    description.width = width;
    description.max_tokens = n_rows;
    return runner.plugin->state_create(runner.device, &description, out);
}

/* Row i of a state holds bytes that depend on i and `seed`. */
static void fill(uint8_t *rows, size_t n_rows, size_t row_bytes, unsigned seed) {
    for (size_t i = 0; i < n_rows * row_bytes; i++) {
        rows[i] = (uint8_t)(i * 31 + seed * 7 + i / row_bytes);
    }
}

static void rows_survive_a_round_trip(void) {
    open_reference();
    for (size_t t = 0; t < N_TYPES; t++) {
        size_t n = types[t].row_bytes;
        uint8_t in[ROWS * 256], out[ROWS * 256];
        sy_state *state = NULL;
        CHECK_OK(create(types[t].type, WIDTH, ROWS, &state));
        CHECK_OK(runner.plugin->state_save(state, 0, ROWS, out, ROWS * n));
        for (size_t i = 0; i < ROWS * n; i++) {
            CHECK(out[i] == 0); /* never written rows are zeros, not leftovers */
        }
        fill(in, ROWS, n, 1);
        CHECK_OK(runner.plugin->state_load(state, 0, ROWS, in, ROWS * n));
        CHECK_OK(runner.plugin->state_save(state, 0, ROWS, out, ROWS * n));
        CHECK(memcmp(in, out, ROWS * n) == 0);
        CHECK_OK(runner.plugin->state_load(state, 3, 2, in, 2 * n));
        CHECK_OK(runner.plugin->state_save(state, 3, 2, out, 2 * n));
        CHECK(memcmp(in, out, 2 * n) == 0);
        CHECK_OK(runner.plugin->state_save(state, 5, 1, out, n));
        CHECK(memcmp(in + 5 * n, out, n) == 0);
        CHECK_OK(runner.plugin->state_save(state, ROWS, 0, NULL, 0));
        CHECK_OK(runner.plugin->state_destroy(state));
    }
    close_reference();
}

static void clones_are_independent(void) {
    open_reference();
    for (size_t t = 0; t < N_TYPES; t++) {
        size_t n = types[t].row_bytes;
        uint8_t first[ROWS * 256], second[ROWS * 256], out[ROWS * 256];
        sy_state *state = NULL, *clone = NULL;
        CHECK_OK(create(types[t].type, WIDTH, ROWS, &state));
        fill(first, ROWS, n, 1);
        fill(second, ROWS, n, 2);
        CHECK_OK(runner.plugin->state_load(state, 0, ROWS, first, ROWS * n));
        CHECK_OK(runner.plugin->state_clone(state, 6, &clone));
        CHECK_OK(runner.plugin->state_save(clone, 0, 6, out, 6 * n));
        CHECK(memcmp(first, out, 6 * n) == 0);
        CHECK_OK(runner.plugin->state_load(clone, 0, ROWS, second, ROWS * n));
        CHECK_OK(runner.plugin->state_save(state, 0, ROWS, out, ROWS * n));
        CHECK(memcmp(first, out, ROWS * n) == 0);
        CHECK_OK(runner.plugin->state_destroy(state)); /* the clone lives on */
        CHECK_OK(runner.plugin->state_save(clone, 0, ROWS, out, ROWS * n));
        CHECK(memcmp(second, out, ROWS * n) == 0);
        CHECK_OK(runner.plugin->state_destroy(clone));
    }
    close_reference();
}

static void shift_moves_rows_unchanged(void) {
    open_reference();
    for (size_t t = 0; t < N_TYPES; t++) {
        size_t n = types[t].row_bytes;
        uint8_t in[ROWS * 256], out[ROWS * 256];
        sy_state *state = NULL;
        CHECK_OK(create(types[t].type, WIDTH, ROWS, &state));
        fill(in, ROWS, n, 3);
        CHECK_OK(runner.plugin->state_load(state, 0, ROWS, in, ROWS * n));
        CHECK_OK(runner.plugin->state_shift(state, 4, 6, 2)); /* overlapping */
        CHECK_OK(runner.plugin->state_save(state, 0, ROWS, out, ROWS * n));
        CHECK(memcmp(out, in, 2 * n) == 0);
        CHECK(memcmp(out + 2 * n, in + 4 * n, 6 * n) == 0);
        CHECK(runner.plugin->state_shift(state, 2, 1, 2) == SY_INVALID_ARGUMENT);
        CHECK(runner.plugin->state_shift(state, 2, 9, 0) == SY_OUT_OF_RANGE);
        CHECK(runner.plugin->state_shift(state, 2, UINT64_MAX, 0) == SY_OUT_OF_RANGE);
        CHECK_OK(runner.plugin->state_truncate(state, 3));
        CHECK(runner.plugin->state_truncate(state, ROWS + 1) == SY_OUT_OF_RANGE);
        CHECK_OK(runner.plugin->state_save(state, 0, 3, out, 3 * n));
        CHECK(memcmp(out, in, 2 * n) == 0);
        CHECK_OK(runner.plugin->state_destroy(state));
    }
    close_reference();
}

static void wrong_ranges_and_sizes_are_refused(void) {
    open_reference();
    sy_state *state = NULL, *clone = NULL;
    uint8_t rows[ROWS * 256] = {0};
    CHECK(create(SY_TYPE_Q4_K, 256, ROWS, &state) == SY_UNIMPLEMENTED);
    CHECK(host.report[0] != '\0');
    CHECK(create(SY_TYPE_I32, 256, ROWS, &state) == SY_UNIMPLEMENTED);
    CHECK(create(SY_TYPE_Q8_0, 33, ROWS, &state) == SY_INVALID_ARGUMENT);
    CHECK(create(SY_TYPE_F32, 0, ROWS, &state) == SY_INVALID_ARGUMENT);
    CHECK(create(SY_TYPE_F32, 64, 0, &state) == SY_INVALID_ARGUMENT);
    CHECK(create(SY_TYPE_F32, 64, UINT64_MAX / 16, &state) == SY_INVALID_ARGUMENT);
    CHECK(create(SY_TYPE_F32, 64, UINT64_MAX / 1024, &state) == SY_RESOURCE_EXHAUSTED);
    CHECK(state == NULL);
    CHECK_OK(create(SY_TYPE_F16, WIDTH, ROWS, &state));
    CHECK(runner.plugin->state_save(state, 9, 2, rows, 256) == SY_OUT_OF_RANGE);
    CHECK(runner.plugin->state_save(state, UINT64_MAX, 2, rows, 256) == SY_OUT_OF_RANGE);
    CHECK(runner.plugin->state_save(state, 0, 2, rows, 255) == SY_INVALID_ARGUMENT);
    CHECK(runner.plugin->state_load(state, 0, 11, rows, 11 * 128) == SY_OUT_OF_RANGE);
    CHECK(runner.plugin->state_load(state, 0, 1, NULL, 128) == SY_INVALID_ARGUMENT);
    CHECK(runner.plugin->state_clone(state, ROWS + 1, &clone) == SY_OUT_OF_RANGE);
    CHECK(clone == NULL);
    CHECK_OK(runner.plugin->state_destroy(state));
    close_reference();
}

static void refused_memory_leaves_nothing_behind(void) {
    open_reference();
    sy_state *state = NULL, *clone = NULL;
    for (uint64_t n_ok = 0; state == NULL; n_ok++) {
        sy_test_host_fail_alloc(&host, n_ok, 1);
        sy_status status = create(SY_TYPE_F32, WIDTH, ROWS, &state);
        CHECK(status == (state != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED));
        CHECK(state != NULL || host.n_live == 1); /* the device alone */
        CHECK(n_ok < 10);
    }
    size_t n_live = host.n_live;
    for (uint64_t n_ok = 0; clone == NULL; n_ok++) {
        sy_test_host_fail_alloc(&host, n_ok, 1);
        sy_status status = runner.plugin->state_clone(state, 1, &clone);
        CHECK(status == (clone != NULL ? SY_OK : SY_RESOURCE_EXHAUSTED));
        CHECK(clone != NULL || host.n_live == n_live);
        CHECK(n_ok < 10);
    }
    sy_test_host_never_fail(&host);
    CHECK_OK(runner.plugin->state_destroy(state));
    CHECK_OK(runner.plugin->state_destroy(clone));
    close_reference();
}

static const sy_test_case cases[] = {
    {"rows_survive_a_round_trip", rows_survive_a_round_trip},
    {"clones_are_independent", clones_are_independent},
    {"shift_moves_rows_unchanged", shift_moves_rows_unchanged},
    {"wrong_ranges_and_sizes_are_refused", wrong_ranges_and_sizes_are_refused},
    {"refused_memory_leaves_nothing_behind", refused_memory_leaves_nothing_behind},
};
SY_TEST_MAIN(cases)
