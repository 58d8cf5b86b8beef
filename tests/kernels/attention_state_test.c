/* SPDX-License-Identifier: Apache-2.0 */
/* States of a delegate keep canonical rows exactly, whatever their layout inside. */
#include "op_compare.h"
#include "switchyard/types.h"

#define ROWS 83u

typedef struct store {
    sy_test_host host;
    sy_op_runner runner;
    sy_state *state;
    uint8_t *rows, *read; /* what the state holds, and room to read it */
    uint64_t row_bytes;
} store;

static void store_open(store *s, sy_element_type type, uint32_t role, uint32_t width) {
    sy_error error = {0};
    const sy_type_facts *facts = sy_type_get(type);
    memset(s, 0, sizeof(*s));
    sy_state_description d = {.header = SY_HEADER_INIT(sy_state_description),
                              .type = type,
                              .role = role,
                              .width = width,
                              .max_tokens = ROWS};
    s->row_bytes = width / facts->n_block_elements * facts->n_block_bytes;
    CHECK_OK_ERROR(sy_test_host_init(&s->host, 1, &error), error);
    CHECK_OK_ERROR(sy_op_runner_open(&s->runner, compare_delegate_entry(&s->host), &s->host, 0,
                                     compare_options(), &error),
                   error);
    CHECK_OK(s->runner.plugin->state_create(s->runner.device, &d, &s->state));
    s->rows = malloc(ROWS * s->row_bytes);
    s->read = malloc(ROWS * s->row_bytes + 1);
    CHECK(s->rows != NULL && s->read != NULL);
    for (uint64_t i = 0; i < ROWS * s->row_bytes; i++) {
        s->rows[i] = (uint8_t)random_u32();
    }
    CHECK_OK(s->runner.plugin->state_load(s->state, 0, ROWS, s->rows, ROWS * s->row_bytes));
}

static void store_check(store *s, sy_state *state, uint64_t first, uint64_t n, const char *what) {
    uint64_t n_bytes = n * s->row_bytes;
    s->read[n_bytes] = 0x5a;
    CHECK_OK(s->runner.plugin->state_save(state, first, n, s->read, n_bytes));
    CHECK_TEXT(memcmp(s->read, s->rows + first * s->row_bytes, n_bytes) == 0, "%s", what);
    CHECK(s->read[n_bytes] == 0x5a);
}

static void store_close(store *s) {
    CHECK_OK(s->runner.plugin->state_destroy(s->state));
    CHECK_OK(sy_op_runner_close(&s->runner));
    CHECK(s->host.n_live == 0);
    sy_test_host_deinit(&s->host);
    free(s->rows);
    free(s->read);
}

static void store_exercise(store *s) {
    const sy_plugin *plugin = s->runner.plugin;
    store_check(s, s->state, 0, ROWS, "all rows");
    store_check(s, s->state, 13, 41, "rows in the middle");
    store_check(s, s->state, ROWS, 0, "no rows");
    for (uint64_t i = 0; i < 9 * s->row_bytes; i++) { /* a piece of other content */
        s->rows[29 * s->row_bytes + i] = (uint8_t)random_u32();
    }
    CHECK_OK(plugin->state_load(s->state, 29, 9, s->rows + 29 * s->row_bytes, 9 * s->row_bytes));
    store_check(s, s->state, 0, ROWS, "after a piece was loaded");
    const struct {
        uint64_t first, n, to;
    } shifts[] = {{20, 63, 3}, {17, 40, 16}, {48, 16, 16}, {5, 10, 5}, {9, 0, 2}};
    for (size_t i = 0; i < sizeof(shifts) / sizeof(shifts[0]); i++) {
        CHECK_OK(plugin->state_shift(s->state, shifts[i].first, shifts[i].n, shifts[i].to));
        memmove(s->rows + shifts[i].to * s->row_bytes, s->rows + shifts[i].first * s->row_bytes,
                shifts[i].n * s->row_bytes);
        store_check(s, s->state, 0, ROWS, "after a shift");
    }
    CHECK(plugin->state_shift(s->state, 3, 2, 4) != SY_OK);
    CHECK(plugin->state_shift(s->state, 80, 4, 1) != SY_OK);
    for (uint64_t n = 0; n <= ROWS; n += 23) {
        sy_state *copy = NULL;
        CHECK_OK(plugin->state_clone(s->state, n, &copy));
        store_check(s, copy, 0, n, "a clone");
        CHECK_OK(plugin->state_destroy(copy));
    }
    CHECK_OK(plugin->state_truncate(s->state, 33));
    store_check(s, s->state, 0, 33, "what a truncation kept");
    store_check(s, s->state, 0, 33, "the same again");
}

static void rows_come_back(void) {
    const struct {
        sy_element_type type;
        uint32_t width;
    } kinds[] = {{SY_TYPE_F32, 64},   {SY_TYPE_F32, 7},    {SY_TYPE_F16, 512}, {SY_TYPE_F16, 40},
                 {SY_TYPE_BF16, 1},   {SY_TYPE_BF16, 300}, {SY_TYPE_Q8_0, 32}, {SY_TYPE_Q8_0, 96},
                 {SY_TYPE_Q4_0, 512}, {SY_TYPE_Q4_0, 32}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint32_t role = SY_STATE_KEY; role <= SY_STATE_RECURRENT; role++) {
            store s;
            store_open(&s, kinds[i].type, role, kinds[i].width);
            store_exercise(&s);
            store_close(&s);
        }
    }
}

static void ranges_are_checked(void) {
    store s;
    uint8_t bytes[256];
    store_open(&s, SY_TYPE_F16, SY_STATE_KEY, 16);
    const sy_plugin *plugin = s.runner.plugin;
    sy_state *copy = NULL;
    CHECK(plugin->state_save(s.state, ROWS, 1, bytes, sizeof(bytes)) != SY_OK);
    CHECK(plugin->state_load(s.state, UINT64_MAX, 1, bytes, sizeof(bytes)) != SY_OK);
    CHECK(plugin->state_save(s.state, 0, 9, bytes, sizeof(bytes)) != SY_OK);
    CHECK(plugin->state_clone(s.state, ROWS + 1, &copy) != SY_OK);
    CHECK(plugin->state_truncate(s.state, ROWS + 1) != SY_OK);
    store_check(&s, s.state, 0, ROWS, "untouched");
    store_close(&s);
}

static const sy_test_case cases[] = {
    {"rows_come_back", rows_come_back},
    {"ranges_are_checked", ranges_are_checked},
};
SY_TEST_MAIN(cases)
