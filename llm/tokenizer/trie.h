/* SPDX-License-Identifier: Apache-2.0 */
/* A byte trie over short texts, for the longest match at a place of a text. Children of a node lie
 * beside each other, sorted by byte. */
#ifndef SY_TOKENIZER_TRIE_H
#define SY_TOKENIZER_TRIE_H

#include "base/memory.h"
#include "switchyard/tokenizer.h"

#define SY__TRIE_MAX_TEXT_BYTES 1024u /* longer texts are left out: bounds the work at a place */
#define SY__TRIE_NONE UINT32_MAX

typedef struct sy__trie_node {
    uint32_t first_child;
    int32_t id; /* SY_NO_TOKEN where no text ends */
    uint16_t n_children;
    uint8_t byte;
} sy__trie_node;

typedef struct sy__trie {
    sy__trie_node *nodes; /* NULL: empty; 0 is the root */
    uint32_t n_nodes;
    size_t capacity;
} sy__trie;

/* Builds over texts[i] -> ids[i]; of equal texts the first wins. False when memory is refused. */
bool sy__trie_init(sy__trie *trie, const sy_allocator *allocator, const sy_token_text *texts,
                   const int32_t *ids, uint32_t n_texts);
void sy__trie_deinit(sy__trie *trie, const sy_allocator *allocator);
/* Child of a node, SY__TRIE_NONE when there is none. Start at node 0 of a trie that has nodes. */
uint32_t sy__trie_step(const sy__trie *trie, uint32_t node, uint8_t byte);
/* Longest text of the trie that `text` begins with; 0 for none. */
size_t sy__trie_longest(const sy__trie *trie, const char *text, size_t n_bytes, int32_t *out_id);

#endif
