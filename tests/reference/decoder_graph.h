/* SPDX-License-Identifier: Apache-2.0 */
/* A small transformer layer with an embedding and a head, for tests of whole units. */
#ifndef SY_TESTS_REFERENCE_DECODER_GRAPH_H
#define SY_TESTS_REFERENCE_DECODER_GRAPH_H

#include "tools/op_runner.h"

enum {
    DECODER_VOCABULARY = 40,
    DECODER_WIDTH = 64,
    DECODER_HEADS = 4,
    DECODER_GROUPS = 2,
    DECODER_HEAD = 16,
    DECODER_KV_WIDTH = DECODER_GROUPS * DECODER_HEAD,
    DECODER_HIDDEN = 96,
    DECODER_MAX_TOKENS = 48, /* of a step and of a state */
    DECODER_STATES = 2
};

typedef struct decoder_graph {
    sy_test_graph graph;
    float *weights; /* all of them */
    size_t n_weights;
} decoder_graph;

/* expose: every intermediate is an output of the segment, so that none lies in scratch. The logits
 * are the last output. Weights are the same each time. */
void decoder_graph_init(decoder_graph *decoder, sy_element_type state_type, bool expose);
void decoder_graph_deinit(decoder_graph *decoder);
/* State descriptions fit for the graph. */
sy_state *decoder_state(sy_op_runner *runner, sy_element_type type);

#endif
