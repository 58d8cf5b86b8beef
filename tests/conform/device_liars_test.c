/* SPDX-License-Identifier: Apache-2.0 */
/* Every lie of device_liar.c is found by the check that is there for it; its honest twin passes. */
#include "liars.h"

static const lie lies[] = {
    {"honest_device", NULL, 6, 0},
    {"own_bytes", "L5.compile", 5, 5},
    {"compiles_once", "L5.again", 5, 5},
    {"for_itself", "L5.values", 5, 5},
    {"lost_writes", "L5.write_refused", 5, 5},
    {"any_stamp", "L5.probe_stale", 5, 5},
    {"silent_grade", "L5.probe_reason", 5, 5},
    {"no_grade", "L5.probe", 5, 5},
    {"patches_up", "L5.altered", 5, 5},
    {"wrong_class", "L5.refusal", 5, 5},
    {"leaks_refused", "L5.leaks", 5, 5},
    {"tires", "L5.recovers", 5, 5},
    {"holds_weights", "L5.weights", 5, 5},
    {"trusts_length", "L1.alive", 5, 5},
    {"faultless", "L6.lose", 6, 6},
    {"forgets_signals", "L6.signals", 6, 6},
    {"healthy", "L6.health_lost", 6, 6},
    {"born_lost", "L6.health", 6, 6},
    {"counts_nothing", "L6.handles", 6, 6},
    {"undead", "L6.dead", 6, 6},
    {"holds_on", "L6.release", 6, 6},
    {"broken_for_good", "L6.reopen", 6, 6},
    {"other_rows", "L6.state", 6, 6},
    {"off_once_closed", "L6.values", 6, 6},
    {"hangs_on", "L6.hang", 6, 6},
    {"sound_after_hang", "L6.after_hang", 6, 6},
    {"wrong_memory", "L6.memory", 6, 6},
    {"leaks_memory", "L6.memory_leaks", 6, 6},
    {"never_again", "L6.memory_recovers", 6, 6},
    {"no_garbage", "L6.garbage", 6, 6},
};

static void every_lie_is_found(void) {
    find_lies(lies, sizeof(lies) / sizeof(lies[0]));
}

static const sy_test_case cases[] = {{"every_lie_is_found", every_lie_is_found}};
SY_TEST_MAIN(cases)
