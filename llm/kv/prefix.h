/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored prefixes: state sets found again by the tokens that made them. A radix tree whose edges
 * are runs of whole blocks of tokens; a set at a node has the rows of all tokens from the root to
 * it. Sets that were not used for the longest time go when a budget is reached. One store belongs
 * to one engine, so model, cache types and delegates are the same for all of it; what else must be
 * equal (an adapter) is the key.
 */
#ifndef SY_KV_PREFIX_H
#define SY_KV_PREFIX_H

#include "switchyard/executor.h"

#include <stdbool.h>

typedef struct sy__prefix_store sy__prefix_store;

typedef struct sy__prefix_options {
    uint32_t block_tokens; /* prefixes are whole blocks */
    bool cannot_be_cut;    /* a set serves its own length only (states with windows) */
    uint64_t limit_bytes;  /* of all sets */
    uint64_t *reserved;    /* where bytes of states in use are counted; NULL: nowhere */
} sy__prefix_options;

/* What was found: rows [0, n_rows) of a set. Valid until the store changes. */
typedef struct sy__prefix_match {
    sy_state_set *set; /* NULL: nothing */
    uint32_t n_rows;
} sy__prefix_match;

/* Bytes of a state set that no other shares. What several sets share is counted when the first of
 * them is made and stays counted until the last one goes: by taking a set's own bytes off then. */
uint64_t sy__states_own_bytes(const sy_state_set *set);
/* Destroys a set, taking its own bytes off what is counted; NULL is fine. */
void sy__states_release(sy_state_set *set, uint64_t *inout_reserved);

/* A store; destroys its sets with it, before their executor goes. */
sy_status sy__prefix_create(const sy_allocator *allocator, const sy__prefix_options *options,
                            sy__prefix_store **out_store, sy_error *error);
void sy__prefix_destroy(sy__prefix_store *store);

/* The longest prefix of the tokens that is stored under the key; it counts as used now. */
sy__prefix_match sy__prefix_find(sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                                 uint32_t n_tokens);

/* The whole blocks of n_tokens. */
uint32_t sy__prefix_whole(const sy__prefix_store *store, uint32_t n_tokens);

/* Would n_tokens, whole blocks, add something of n_bytes to the store? */
bool sy__prefix_wants(const sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                      uint32_t n_tokens, uint64_t n_bytes);

/* Stores a set with the rows of n_tokens, whole blocks, that wants() asked for. The store owns the
 * set then, also when it fails (it is gone in that case). */
sy_status sy__prefix_put(sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                         uint32_t n_tokens, sy_state_set *set, uint64_t n_bytes, sy_error *error);

/* Lets sets go, the longest unused first, until at most n_bytes are held. */
void sy__prefix_shrink(sy__prefix_store *store, uint64_t n_bytes);
uint64_t sy__prefix_bytes(const sy__prefix_store *store);

#endif
