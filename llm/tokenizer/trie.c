/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenizer/trie.h"

#include <string.h>

/* Built breadth first over the sorted texts: a node is a range of texts that share a beginning. */
typedef struct span {
    uint32_t begin, end, depth;
} span;

typedef struct builder {
    const sy_allocator *allocator;
    const sy_token_text *texts;
    uint32_t *order; /* indexes of texts, sorted */
    span *spans;     /* of nodes[i] */
    size_t span_capacity;
} builder;

static int compare(const sy_token_text *a, const sy_token_text *b) {
    size_t shorter = a->n_bytes < b->n_bytes ? a->n_bytes : b->n_bytes;
    int difference = shorter > 0 ? memcmp(a->bytes, b->bytes, shorter) : 0;
    if (difference != 0) {
        return difference;
    }
    return a->n_bytes < b->n_bytes ? -1 : a->n_bytes > b->n_bytes;
}

/* Merges two sorted neighbours of `order` into `to`; equal texts keep their order. */
static void merge_runs(const sy_token_text *texts, const uint32_t *order, uint32_t *to,
                       uint32_t begin, uint32_t middle, uint32_t end) {
    uint32_t left = begin, right = middle;
    for (uint32_t i = begin; i < end; i++) {
        bool take_left = right >= end ||
                         (left < middle && compare(&texts[order[left]], &texts[order[right]]) <= 0);
        to[i] = take_left ? order[left++] : order[right++];
    }
}

/* Bottom-up merge sort: no recursion, no bad case. */
static bool sort_texts(builder *b, uint32_t n, uint32_t n_allocated) {
    uint32_t *other = sy__alloc_array(b->allocator, n_allocated, sizeof *other);
    if (other == NULL) {
        return false;
    }
    uint32_t *from = b->order, *to = other;
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t begin = 0; begin < n; begin += 2 * width) {
            uint64_t middle = begin + width < n ? begin + width : n;
            uint64_t end = begin + 2 * width < n ? begin + 2 * width : n;
            merge_runs(b->texts, from, to, (uint32_t)begin, (uint32_t)middle, (uint32_t)end);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    b->order = from;
    sy__free_array(b->allocator, to, n_allocated, sizeof *to);
    return true;
}

static bool add_node(builder *b, sy__trie *trie, span range, uint8_t byte) {
    size_t wanted = (size_t)trie->n_nodes + 1;
    void *nodes = trie->nodes, *spans = b->spans;
    bool grown =
        sy__grow_array(b->allocator, &nodes, &trie->capacity, wanted, sizeof *trie->nodes) &&
        sy__grow_array(b->allocator, &spans, &b->span_capacity, wanted, sizeof *b->spans);
    trie->nodes = nodes;
    b->spans = spans;
    if (!grown || wanted >= SY__TRIE_NONE) {
        return false;
    }
    sy__trie_node node = {0, SY_NO_TOKEN, 0, byte};
    trie->nodes[trie->n_nodes] = node;
    b->spans[trie->n_nodes] = range;
    trie->n_nodes++;
    return true;
}

/* Gives node i its id and its children. */
static bool expand(builder *b, sy__trie *trie, uint32_t i, const int32_t *ids) {
    span range = b->spans[i];
    uint32_t at = range.begin;
    if (b->texts[b->order[at]].n_bytes == range.depth) {
        trie->nodes[i].id = ids[b->order[at]];
        while (at < range.end && b->texts[b->order[at]].n_bytes == range.depth) {
            at++; /* equal texts: the first one counts */
        }
    }
    trie->nodes[i].first_child = trie->n_nodes;
    while (at < range.end) {
        uint8_t byte = (uint8_t)b->texts[b->order[at]].bytes[range.depth];
        span child = {at, at, range.depth + 1};
        while (child.end < range.end &&
               (uint8_t)b->texts[b->order[child.end]].bytes[range.depth] == byte) {
            child.end++;
        }
        if (!add_node(b, trie, child, byte)) {
            return false;
        }
        trie->nodes[i].n_children++;
        at = child.end;
    }
    return true;
}

bool sy__trie_init(sy__trie *trie, const sy_allocator *allocator, const sy_token_text *texts,
                   const int32_t *ids, uint32_t n_texts) {
    memset(trie, 0, sizeof *trie);
    builder b = {allocator, texts, NULL, NULL, 0};
    uint32_t n = 0;
    b.order = sy__alloc_array(allocator, n_texts, sizeof *b.order);
    if (b.order == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n_texts; i++) {
        if (texts[i].n_bytes > 0 && texts[i].n_bytes <= SY__TRIE_MAX_TEXT_BYTES) {
            b.order[n++] = i;
        }
    }
    bool good = true;
    if (n > 0) {
        span all = {0, n, 0};
        good = sort_texts(&b, n, n_texts) && add_node(&b, trie, all, 0);
        for (uint32_t i = 0; good && i < trie->n_nodes; i++) {
            good = expand(&b, trie, i, ids);
        }
    }
    sy__free_array(allocator, b.order, n_texts, sizeof *b.order);
    sy__free_array(allocator, b.spans, b.span_capacity, sizeof *b.spans);
    if (!good) {
        sy__trie_deinit(trie, allocator);
    }
    return good;
}

void sy__trie_deinit(sy__trie *trie, const sy_allocator *allocator) {
    sy__free_array(allocator, trie->nodes, trie->capacity, sizeof *trie->nodes);
    memset(trie, 0, sizeof *trie);
}

uint32_t sy__trie_step(const sy__trie *trie, uint32_t node, uint8_t byte) {
    uint32_t low = trie->nodes[node].first_child;
    uint32_t high = low + trie->nodes[node].n_children;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint8_t here = trie->nodes[middle].byte;
        if (here == byte) {
            return middle;
        }
        if (here < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return SY__TRIE_NONE;
}

size_t sy__trie_longest(const sy__trie *trie, const char *text, size_t n_bytes, int32_t *out_id) {
    size_t longest = 0;
    if (trie->n_nodes == 0) {
        return 0;
    }
    uint32_t node = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        node = sy__trie_step(trie, node, (uint8_t)text[i]);
        if (node == SY__TRIE_NONE) {
            break;
        }
        if (trie->nodes[node].id != SY_NO_TOKEN) {
            longest = i + 1;
            *out_id = trie->nodes[node].id;
        }
    }
    return longest;
}
