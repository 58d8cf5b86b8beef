/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/prefix.h"

#include "base/memory.h"

#include <string.h>

typedef struct node node;
struct node {
    node *parent, *children, *next; /* next: among the children of the parent */
    uint64_t key;                   /* of children of the root */
    int32_t *tokens;                /* of the edge from the parent */
    uint32_t n_tokens, depth;       /* depth: rows at this node */
    sy_state_set *set;
    uint64_t n_bytes, used_at;
};

struct sy__prefix_store {
    const sy_allocator *allocator;
    sy__prefix_options options;
    node root;
    uint64_t n_bytes, clock, uncounted;
};

uint64_t sy__states_own_bytes(const sy_state_set *set) {
    sy_state_memory held;
    return sy_state_set_usage(set, &held, NULL) == SY_OK ? held.own_bytes : 0;
}

void sy__states_release(sy_state_set *set, uint64_t *inout_reserved) {
    if (set != NULL) {
        *inout_reserved -= sy__states_own_bytes(set);
        sy_state_set_destroy(set);
    }
}

sy_status sy__prefix_create(const sy_allocator *allocator, const sy__prefix_options *options,
                            sy__prefix_store **out_store, sy_error *error) {
    sy__prefix_store *store = SY__NEW(allocator, sy__prefix_store);
    if (store == NULL) {
        return sy__no_memory(error, sizeof(*store), "stored prefixes");
    }
    store->allocator = allocator;
    store->options = *options;
    if (store->options.reserved == NULL) {
        store->options.reserved = &store->uncounted;
    }
    *out_store = store;
    return SY_OK;
}

static void free_node(sy__prefix_store *store, node *n) {
    sy__free_array(store->allocator, n->tokens, n->n_tokens, sizeof(int32_t));
    SY__DELETE(store->allocator, n);
}

static void drop_set(sy__prefix_store *store, node *n) {
    sy__states_release(n->set, store->options.reserved);
    store->n_bytes -= n->n_bytes;
    n->set = NULL;
    n->n_bytes = 0;
}

/* The node that comes after n in a walk that visits every node before its children. */
static node *walk(const node *top, node *n) {
    if (n->children != NULL) {
        return n->children;
    }
    while (n != top && n->next == NULL) {
        n = n->parent;
    }
    return n == top ? NULL : n->next;
}

static void unlink_node(node *n) {
    node **link = &n->parent->children;
    while (*link != n) {
        link = &(*link)->next;
    }
    *link = n->next;
}

/* Nodes that hold nothing and lead nowhere go, up to the root. */
static void prune(sy__prefix_store *store, node *n) {
    while (n != &store->root && n->set == NULL && n->children == NULL) {
        node *parent = n->parent;
        unlink_node(n);
        free_node(store, n);
        n = parent;
    }
}

void sy__prefix_shrink(sy__prefix_store *store, uint64_t n_bytes) {
    while (store->n_bytes > n_bytes) {
        node *oldest = NULL;
        for (node *n = store->root.children; n != NULL; n = walk(&store->root, n)) {
            if (n->set != NULL && (oldest == NULL || n->used_at < oldest->used_at)) {
                oldest = n;
            }
        }
        if (oldest == NULL) {
            return;
        }
        drop_set(store, oldest);
        prune(store, oldest);
    }
}

void sy__prefix_destroy(sy__prefix_store *store) {
    if (store != NULL) {
        sy__prefix_shrink(store, 0);
        while (store->root.children != NULL) { /* sets of no bytes */
            node *n = store->root.children;
            while (n->children != NULL) {
                n = n->children;
            }
            drop_set(store, n);
            prune(store, n);
        }
        SY__DELETE(store->allocator, store);
    }
}

uint64_t sy__prefix_bytes(const sy__prefix_store *store) {
    return store->n_bytes;
}

uint32_t sy__prefix_whole(const sy__prefix_store *store, uint32_t n_tokens) {
    return n_tokens - n_tokens % store->options.block_tokens;
}

/* Tokens in whole blocks that an edge and a list share. */
static uint32_t n_common(const sy__prefix_store *store, const node *n, const int32_t *tokens,
                         uint32_t n_tokens) {
    uint32_t block = store->options.block_tokens, same = 0;
    while (same + block <= n->n_tokens && same + block <= n_tokens &&
           memcmp(n->tokens + same, tokens + same, block * sizeof(int32_t)) == 0) {
        same += block;
    }
    return same;
}

/* How far the tokens lead: to *out_node, of whose edge (the whole of it, or less) *out_in_edge
 * tokens are shared. Answers the rows in common. */
static uint32_t descend(const sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                        uint32_t n_tokens, const node **out_node, uint32_t *out_in_edge) {
    const node *at = &store->root;
    uint32_t depth = 0, in_edge = 0;
    bool goes_on = true;
    while (goes_on) {
        const node *child = at->children;
        goes_on = false;
        for (; child != NULL; child = child->next) {
            uint32_t same = at != &store->root || child->key == key
                                ? n_common(store, child, tokens + depth, n_tokens - depth)
                                : 0;
            if (same > 0) {
                depth += same;
                in_edge = same;
                at = child;
                goes_on = same == child->n_tokens;
                break;
            }
        }
    }
    *out_node = at;
    *out_in_edge = in_edge;
    return depth;
}

/* A set at a node, or one below it, which has the rows of this node too. */
static node *nearest_set(node *top) {
    for (node *n = top; n != NULL; n = walk(top, n)) {
        if (n->set != NULL) {
            return n;
        }
    }
    return NULL;
}

sy__prefix_match sy__prefix_find(sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                                 uint32_t n_tokens) {
    const node *found = NULL;
    uint32_t in_edge = 0, n_rows = descend(store, key, tokens, n_tokens, &found, &in_edge);
    node *n = (node *)(uintptr_t)found;
    if (n_rows == 0) {
        return (sy__prefix_match){NULL, 0};
    }
    if (store->options.cannot_be_cut) { /* the deepest whole set on the way */
        n = in_edge < n->n_tokens ? n->parent : n;
        while (n->set == NULL && n != &store->root) {
            n = n->parent;
        }
        n_rows = n->depth;
    } else {
        n = nearest_set(n);
    }
    if (n == NULL || n->set == NULL) {
        return (sy__prefix_match){NULL, 0};
    }
    n->used_at = ++store->clock;
    return (sy__prefix_match){n->set, n_rows};
}

bool sy__prefix_wants(const sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                      uint32_t n_tokens, uint64_t n_bytes) {
    const node *n = NULL;
    uint32_t in_edge = 0;
    if (n_tokens == 0 || n_tokens % store->options.block_tokens != 0 ||
        n_bytes > store->options.limit_bytes) {
        return false;
    }
    uint32_t n_rows = descend(store, key, tokens, n_tokens, &n, &in_edge);
    return n_rows < n_tokens ||
           (store->options.cannot_be_cut && (in_edge < n->n_tokens || n->set == NULL));
}

static node *new_node(sy__prefix_store *store, node *parent, const int32_t *tokens,
                      uint32_t n_tokens) {
    node *n = SY__NEW(store->allocator, node);
    int32_t *copy = sy__alloc_array(store->allocator, n_tokens, sizeof(int32_t));
    if (n == NULL || copy == NULL) {
        sy__free_array(store->allocator, copy, n_tokens, sizeof(int32_t));
        SY__DELETE(store->allocator, n);
        return NULL;
    }
    memcpy(copy, tokens, n_tokens * sizeof(int32_t));
    *n = (node){.parent = parent,
                .next = parent->children,
                .tokens = copy,
                .n_tokens = n_tokens,
                .depth = parent->depth + n_tokens};
    parent->children = n;
    return n;
}

/* Cuts the edge to n after n_tokens; answers the node in between, or NULL and nothing changed. */
static node *split(sy__prefix_store *store, node *n, uint32_t n_tokens) {
    uint32_t n_rest = n->n_tokens - n_tokens;
    int32_t *rest = sy__alloc_array(store->allocator, n_rest, sizeof(int32_t));
    node *middle = rest != NULL ? new_node(store, n->parent, n->tokens, n_tokens) : NULL;
    if (middle == NULL) {
        sy__free_array(store->allocator, rest, n_rest, sizeof(int32_t));
        return NULL;
    }
    memcpy(rest, n->tokens + n_tokens, n_rest * sizeof(int32_t));
    sy__free_array(store->allocator, n->tokens, n->n_tokens, sizeof(int32_t));
    unlink_node(n);
    middle->key = n->key;
    n->tokens = rest;
    n->n_tokens = n_rest;
    n->parent = middle;
    n->next = NULL;
    middle->children = n;
    return middle;
}

/* The node of exactly these tokens, made where it is missing. */
static node *make_path(sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                       uint32_t n_tokens) {
    const node *found = NULL;
    uint32_t in_edge = 0, n_rows = descend(store, key, tokens, n_tokens, &found, &in_edge);
    node *n = (node *)(uintptr_t)found;
    if (n != &store->root && in_edge < n->n_tokens) {
        n = split(store, n, in_edge);
    }
    if (n != NULL && n_rows < n_tokens) {
        n = new_node(store, n, tokens + n_rows, n_tokens - n_rows);
        if (n != NULL) {
            n->key = key;
        }
    }
    return n;
}

sy_status sy__prefix_put(sy__prefix_store *store, uint64_t key, const int32_t *tokens,
                         uint32_t n_tokens, sy_state_set *set, uint64_t n_bytes, sy_error *error) {
    sy__prefix_shrink(store, store->options.limit_bytes - n_bytes);
    node *n = make_path(store, key, tokens, n_tokens);
    if (n == NULL) {
        sy_state_set_destroy(set);
        return sy__no_memory(error, n_tokens * sizeof(int32_t), "a stored prefix");
    }
    if (n->set != NULL) {
        drop_set(store, n);
    }
    n->set = set;
    *store->options.reserved += sy__states_own_bytes(set);
    n->n_bytes = n_bytes;
    n->used_at = ++store->clock;
    store->n_bytes += n_bytes;
    for (node *up = n->parent; up != &store->root && !store->options.cannot_be_cut;
         up = up->parent) {
        if (up->set != NULL) {
            drop_set(store, up); /* the new set has its rows */
        }
    }
    return SY_OK;
}
