/* SPDX-License-Identifier: Apache-2.0 */
/* The merging of BPE: a list of symbols and a heap of the pairs that could be joined. Each join
 * takes one symbol away and adds at most two pairs, so n symbols cost O(n log n). A pair in the
 * heap is stale when the bytes it spoke of are not those of the two symbols any more; symbols only
 * grow, so comparing lengths is enough. */
#include "tokenizer/tokenizer.h"

#include <string.h>

static bool push(sy__encoder *encoder, sy__candidate candidate) {
    if (!SY__RESERVE(encoder, encoder->heap, encoder->heap.n + 1)) {
        return false;
    }
    sy__candidate *heap = encoder->heap.data;
    size_t i = encoder->heap.n++;
    while (i > 0 && heap[(i - 1) / 2].key > candidate.key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = candidate;
    return true;
}

static sy__candidate pop(sy__encoder *encoder) {
    sy__candidate *heap = encoder->heap.data;
    sy__candidate first = heap[0];
    size_t n = --encoder->heap.n;
    sy__candidate last = heap[n];
    size_t i = 0;
    while (2 * i + 1 < n) {
        size_t child = 2 * i + 1;
        if (child + 1 < n && heap[child + 1].key < heap[child].key) {
            child++;
        }
        if (heap[child].key >= last.key) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return first;
}

/* What a pair makes depends on its two tokens alone, where there are two; only unused pieces want
 * to hear of every pair. */
static bool find_known(sy__encoder *encoder, const char *text, const sy__symbol *left,
                       const sy__symbol *right, sy__pair_finder find, sy__memo *out_memo) {
    const sy_tokenizer *t = encoder->tokenizer;
    uint64_t key = ((uint64_t)(uint32_t)left->id << 32 | (uint32_t)right->id) + 1;
    bool keeps = encoder->seen != NULL && left->id >= 0 && right->id >= 0 &&
                 (t->model != SY__MODEL_SPM || t->cuts);
    sy__memo *memo = keeps ? sy__seen_memo(encoder->seen, key) : NULL;
    if (memo != NULL && memo->key == key) {
        *out_memo = *memo;
        return memo->id != SY_NO_TOKEN;
    }
    bool found = find(encoder, text, left, right, &out_memo->value, &out_memo->id);
    out_memo->key = key;
    out_memo->id = found ? out_memo->id : SY_NO_TOKEN;
    if (memo != NULL) {
        *memo = *out_memo;
    }
    return found;
}

/* Puts the pair of symbol i and the one after it into the heap, where there is a rule for it. */
static bool consider(sy__encoder *encoder, const char *text, uint32_t i, sy__pair_finder find) {
    const sy__symbol *symbols = encoder->symbols.data;
    if (i == SY__NO_SYMBOL || symbols[i].next == SY__NO_SYMBOL) {
        return true;
    }
    const sy__symbol *left = &symbols[i], *right = &symbols[symbols[i].next];
    sy__memo pair = {0};
    if (left->frozen || right->frozen || !find_known(encoder, text, left, right, find, &pair)) {
        return true;
    }
    sy__candidate candidate = {(uint64_t)pair.value << 32 | i, left->n_bytes + right->n_bytes,
                               pair.id};
    return push(encoder, candidate);
}

static void join(sy__encoder *encoder, uint32_t i, int32_t id) {
    sy__symbol *symbols = encoder->symbols.data;
    sy__symbol *left = &symbols[i], *right = &symbols[left->next];
    left->n_bytes += right->n_bytes;
    left->n_spelled += right->n_spelled;
    left->id = id;
    right->n_bytes = 0;
    left->next = right->next;
    if (right->next != SY__NO_SYMBOL) {
        symbols[right->next].previous = i;
    }
}

bool sy__merge_symbols(sy__encoder *encoder, const char *text, sy__pair_finder find) {
    uint32_t n = (uint32_t)encoder->symbols.n;
    encoder->heap.n = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (!consider(encoder, text, i, find)) {
            return false;
        }
    }
    while (encoder->heap.n > 0) {
        sy__candidate best = pop(encoder);
        uint32_t i = (uint32_t)best.key;
        const sy__symbol *left = &encoder->symbols.data[i];
        if (left->n_bytes == 0 || left->next == SY__NO_SYMBOL ||
            left->n_bytes + encoder->symbols.data[left->next].n_bytes != best.n_bytes) {
            continue;
        }
        join(encoder, i, best.id);
        if (!consider(encoder, text, encoder->symbols.data[i].previous, find) ||
            !consider(encoder, text, i, find)) {
            return false;
        }
    }
    return true;
}

bool sy__symbol_add(sy__encoder *encoder, sy__symbol symbol) {
    size_t n = encoder->symbols.n;
    if (!SY__RESERVE(encoder, encoder->symbols, n + 1)) {
        return false;
    }
    symbol.previous = n > 0 ? (uint32_t)(n - 1) : SY__NO_SYMBOL;
    symbol.next = SY__NO_SYMBOL;
    if (n > 0) {
        encoder->symbols.data[n - 1].next = (uint32_t)n;
    }
    encoder->symbols.data[n] = symbol;
    encoder->symbols.n = n + 1;
    return true;
}
