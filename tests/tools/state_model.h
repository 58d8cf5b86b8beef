/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any calls in any order on states that share blocks, beside a naive copy of every state: rows are
 * equal, refused calls change nothing, calls take what was foretold, steps take no memory, and
 * nothing is left at the end. States come in pairs, as keys and values do. What a step is the test
 * says; the table needs the calls of states alone.
 */
#ifndef SY_TESTS_STATE_MODEL_H
#define SY_TESTS_STATE_MODEL_H

#include "tools/test_host.h"

#include <stdbool.h>

enum {
    MODEL_PAIRS = 10,
    MODEL_ROWS = 420, /* most of a state */
    MODEL_STEP = 24,  /* most rows of a step */
    MODEL_ROW_BYTES = 128
};

/* A key and a value state, and what they must hold. */
typedef struct model_pair {
    sy_state *states[2];
    uint8_t *rows[2];
    uint64_t n_rows, max_tokens;
    uint64_t sure; /* rows from here on are surely kept */
} model_pair;

typedef struct state_model state_model;
struct state_model {
    /* The test's: */
    sy_test_host *host;
    const sy_plugin *plugin;
    sy_device *device;
    sy_state_description descriptions[2];
    uint64_t row_bytes[2];
    uint32_t window;
    void *self;
    /* Runs a step of n rows on both states and writes what they then hold to pair->rows, which has
     * room for it. */
    void (*step)(state_model *model, model_pair *pair, uint32_t n);
    /* After every call on a state; may be NULL. */
    void (*look)(state_model *model, sy_state *state);
    /* Lets one of the next calls fail as UNAVAILABLE, or none; NULL: they never do. */
    void (*break_soon)(state_model *model, bool breaks);
    /* Lets the device give memory that the host does not count, or none; may be NULL. */
    void (*open_memory)(state_model *model, bool is_open);
    bool manages_with_less; /* a reserve may take less than was foretold, where that is refused */

    /* The model's: */
    model_pair pairs[MODEL_PAIRS];
    uint64_t n_base; /* bytes of the host that are not of states */
    uint32_t n_refused, n_forgotten, n_steps, n_broken;
};

/* Runs n_calls calls, then destroys all states and checks that their memory went back. */
void state_model_run(state_model *model, uint32_t n_calls);
/* For step: all memory, or none. */
void state_model_open_memory(state_model *model, bool is_open);
uint64_t state_model_below(uint64_t n); /* a random number, 0 for 0 */

#endif
