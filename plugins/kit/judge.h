/* SPDX-License-Identifier: Apache-2.0 */
/* judge and price, for delegates that answer node by node. */
#ifndef KIT_JUDGE_H
#define KIT_JUDGE_H

#include "graph.h"

/* What a delegate brings. */
typedef struct kit_judge {
    void *self; /* first argument of both calls */
    /* Fills a zeroed answer. */
    void (*check)(void *self, const kit_node *node, kit_answer *answer);
    /* How long a node that runs takes. */
    double (*time_us)(void *self, const kit_answer *answer);
} kit_judge;

/* As sy_plugin.judge. */
sy_status kit_judge_nodes(const kit_judge *judge, const sy_graph_view *view,
                          sy_verdict *out_verdicts, size_t stride);
/* What price says of a segment: the time of its nodes together, and the least confidence. */
sy_status kit_judge_segment(const kit_judge *judge, const sy_graph_view *view,
                            const sy_segment *segment, double *out_time_us, float *out_confidence);

#endif
