/* SPDX-License-Identifier: Apache-2.0 */
/* Every lie of liar.c is found, by the check that is there for it; the honest twin passes. */
#include "liars.h"

static const lie lies[] = {
    {"honest", NULL, 4, 0},
    {"garbage", "L2.values", 2, 0},
    {"stale_output", "L2.values", 2, 0},
    {"silent_no", "L2.reason", 2, 0},
    {"mute_no", "L2.reason", 2, 0},
    {"fails_load", "L2.accept_then_fail", 2, 0},
    {"fails_job", "L2.accept_then_fail", 2, 0},
    {"wrong_tail", "L2.values", 2, 0},
    {"two_signals", "L1.services", 2, 0},
    {"no_signal", "L4.signals", 4, 0},
    {"never_waits", "L4.waits", 4, 0},
    {"past_end", "L2.accept_then_fail", 2, 0},
    {"stomps_input", "L2.accept_then_fail", 2, 0},
    {"rejects_larger", "L1.larger_struct", 1, 0},
    {"ignores_must", "L1.must_extension", 1, 0},
    {"refuses_may", "L1.may_extension", 1, 0},
    {"leaks", "L1.leaks", 1, 0},
    {"leaks_heap", "L1.leaks", 1, 0},
    {"leaks_file", "L1.leaks", 1, 0},
    {"newer_table", "L1.negotiate", 1, 0},
    {"silent_decline", "L1.decline", 1, 0},
    {"prints", "L1.silent", 1, 0},
    {"handles_signals", "L1.signals", 1, 0},
    {"sets_environment", "L1.environment", 1, 0},
    {"crashes", "L1.alive", 2, 0},
    {"hangs", "L1.ends", 2, 0},
    {"wrong_row", "L3.state_rows", 3, 0},
    {"shallow_clone", "L3.state_rows", 3, 0},
    {"no_shift", "L3.state_rows", 3, 0},
    {"half_table", "L1.states_whole", 1, 0},
    {"maps_anything", "L3.map_range", 3, 0},
    {"writes_weights", "L2.weights", 2, 0},
    {"hoards", "L2.weight_bytes", 2, 0},
    {"unchecked", "L1.alive", 3, 0},
    {"any_version", "L2.version", 2, 0},
    {"leaky_truncate", "L3.state_shared", 3, 0},
    {"wrong_refusal", "L3.state_refusal", 3, 0},
    {"same_fork", "L3.state_fork", 3, 0},
    {"wrong_need", "L3.state_need", 3, 0},
    {"forgets", "L3.state_window", 3, 0},
};

static void every_lie_is_found(void) {
    find_lies(lies, sizeof(lies) / sizeof(lies[0]));
}

static const sy_test_case cases[] = {{"every_lie_is_found", every_lie_is_found}};
SY_TEST_MAIN(cases)
