/* SPDX-License-Identifier: Apache-2.0 */
/* Which dispatches wait for those before them, and which do not. */
#include "harness.h"
#include "hazards.h"

#include <string.h>

static char memories[4]; /* only told apart */

static gpu_binding range(int i_memory, uint64_t offset_bytes, uint64_t n_bytes) {
    return (gpu_binding){(gpu_memory *)(void *)&memories[i_memory], offset_bytes, n_bytes};
}

/* Reads `from`, writes `to`. */
static bool waits(gpu_hazards *hazards, gpu_binding from, gpu_binding to, uint32_t family) {
    gpu_dispatch dispatch = {.bindings = {from, to}, .n_bindings = 2};
    gpu_hazards_find(hazards, &dispatch, 1, 0, family);
    return dispatch.waits;
}

static void what_was_written_is_waited_for(void) {
    gpu_hazards h = {.n_reads = 0};
    CHECK(!waits(&h, range(0, 0, 64), range(0, 64, 64), 0));
    CHECK(!waits(&h, range(0, 0, 64), range(0, 128, 64), 1));  /* side by side */
    CHECK(!waits(&h, range(1, 64, 64), range(1, 0, 64), 2));   /* another memory */
    CHECK(waits(&h, range(0, 100, 4), range(1, 128, 64), 3));  /* read after written */
    CHECK(!waits(&h, range(0, 64, 64), range(1, 192, 64), 4)); /* one wait is enough */
    CHECK(waits(&h, range(2, 0, 4), range(0, 126, 64), 5));    /* written after read */
    CHECK(waits(&h, range(2, 0, 4), range(0, 189, 64), 6));    /* written after written */
}

static void a_family_does_not_wait_for_its_own_writes(void) {
    gpu_hazards h = {.n_reads = 0};
    CHECK(!waits(&h, range(0, 0, 64), range(1, 0, 64), 7));
    CHECK(!waits(&h, range(0, 0, 64), range(1, 0, 64), 7));
    CHECK(waits(&h, range(1, 0, 64), range(2, 0, 64), 7)); /* but for what it reads */
    CHECK(!waits(&h, range(1, 64, 64), range(3, 0, 64), 8));
    CHECK(waits(&h, range(0, 0, 64), range(3, 0, 64), 9));
}

static void constants_are_nobodys(void) {
    gpu_hazards h = {.n_reads = 0};
    for (uint32_t i = 0; i < 2 * GPU_TOUCHES_MOST; i++) { /* far too many to remember */
        gpu_dispatch dispatch = {.bindings = {range(0, 0, 64), range(0, 0, 64)}, .n_bindings = 2};
        gpu_hazards_find(&h, &dispatch, 2, 3, i);
        CHECK(!dispatch.waits);
    }
    CHECK(h.n_reads == 0);
}

/* Where there is no place to remember what was touched, waiting is right. */
static void too_much_is_waited_for(void) {
    gpu_hazards h = {.n_reads = 0};
    uint32_t n_waits = 0;
    for (uint32_t i = 0; i < 3 * GPU_TOUCHES_MOST; i++) {
        n_waits += waits(&h, range(0, 0, 64), range(1, 64 * (uint64_t)i, 64), i);
    }
    CHECK(n_waits > 0 && n_waits < 8);
}

static const sy_test_case cases[] = {
    {"what_was_written_is_waited_for", what_was_written_is_waited_for},
    {"a_family_does_not_wait_for_its_own_writes", a_family_does_not_wait_for_its_own_writes},
    {"constants_are_nobodys", constants_are_nobodys},
    {"too_much_is_waited_for", too_much_is_waited_for},
};
SY_TEST_MAIN(cases)
