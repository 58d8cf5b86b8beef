/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows use which adapters, for both halves of AdapterLinear; program.h and src/adapters.h
 * have the words. The kernel binds a slab of adapters as b1 and the input `rows` as b2.
 * P(0) rows of x and y, P(1) number of the slab, P(2) slot, P(3) and P(4) as named below
 */
#define N_RANKS P(3) /* elements between neighbouring uses in narrow */
#define N_USES P(4)  /* of a row in narrow */

/* Run i of the rows that have adapters: from the job's table, or row i where b2 tells which row of
 * the step it belongs to. use: 1 + the number of its first use, 0 none. */
#define RUN_BEGIN(i, has_rows)                                             \
    uint run_row = i, run_n = 1u, use = 0u;                                \
    if (has_rows) {                                                        \
        uint run_token = b2[min(i, P(0) - 1u)];                            \
        uint run_s = run_token < W(1) ? W(W(4) + run_token) : 0xffffffffu; \
        use = run_s != 0xffffffffu ? W(W(3) + 4u * run_s + 3u) : 0u;       \
    } else {                                                               \
        uint run_at = W(7) + 3u * (i);                                     \
        run_row = W(run_at);                                               \
        run_n = W(run_at + 1u);                                            \
        use = W(run_at + 2u);                                              \
    }                                                                      \
    run_n = run_row < P(0) ? min(run_n, P(0) - run_row) : 0u

/* The use of the same rows behind this one, or 0. */
#define NEXT_USE(use) ((W(W(6) + 4u * (use)-1u) & 1u) != 0u ? (use) + 1u : 0u)

#define SCALE_OF_USE(use) AS_F(W(W(6) + 4u * (use)-2u))

/* The pair of a use, which is not 0. pair_rank: 0 where the adapter lies in another slab or leaves
 * the node alone; pair_first, pair_at: words of b1 that the adapter and the pair begin at. */
#define PAIR_BEGIN uint pair_rank = 0u, pair_first = 0u, pair_at = 0u
#define PAIR_OF(use)                                                 \
    do {                                                             \
        uint pair_use = W(6) + 4u * ((use)-1u);                      \
        pair_rank = 0u;                                              \
        if (W(pair_use) == P(1) && P(2) < (W(pair_use + 3u) >> 1)) { \
            pair_first = W(pair_use + 1u);                           \
            pair_at = pair_first + 8u * P(2);                        \
            pair_rank = b1[pair_at];                                 \
        }                                                            \
    } while (false)
