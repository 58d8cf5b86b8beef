/* SPDX-License-Identifier: Apache-2.0 */
/* What was found out in the text that is being encoded: words with their tokens, since most words
 * of a long text come up again, and single look-ups for the others. One place for a word, chosen by
 * its hash; a word takes the place of the one that lay there. Short words only: a place is one line
 * of the CPU's cache. The memory depends on the length of the text and nothing else, and goes with
 * the call. */
#include "tokenizer/tokenizer.h"

#define TEXT_BYTES 1024u /* shorter texts have too few words twice */
#define PLACES_MIN 64u
#define PLACES_MAX 4096u

typedef struct place {
    _Alignas(64) uint64_t first; /* and last: words of the text, which may overlap */
    uint64_t last;
    uint8_t n_bytes, n; /* 0 bytes: nothing here */
    int32_t items[SY__SEEN_ITEMS];
} place;

#define MEMOS 2u /* look-ups for each word */

struct sy__seen {
    uint32_t n_places; /* a power of two */
    sy__memo *memos;   /* [MEMOS * n_places], behind the places */
    place places[];
};

static size_t seen_bytes(uint32_t n_places) {
    return sizeof(sy__seen) + n_places * (sizeof(place) + MEMOS * sizeof(sy__memo));
}

bool sy__seen_create(sy__encoder *encoder, size_t n_text_bytes) {
    if (n_text_bytes < TEXT_BYTES || encoder->tokenizer->model == SY__MODEL_WORDPIECE) {
        return true;
    }
    uint32_t n_places = PLACES_MIN;
    while (n_places < PLACES_MAX && n_places < n_text_bytes / 16) {
        n_places *= 2;
    }
    encoder->seen = sy__alloc_array(encoder->allocator, seen_bytes(n_places), 1);
    if (encoder->seen == NULL) {
        encoder->status = sy__no_memory(encoder->error, seen_bytes(n_places), "encoding a text");
        return false;
    }
    encoder->seen->n_places = n_places;
    encoder->seen->memos = (sy__memo *)(void *)&encoder->seen->places[n_places];
    return true;
}

void sy__seen_destroy(sy__encoder *encoder) {
    if (encoder->seen != NULL) {
        sy__free_array(encoder->allocator, encoder->seen, seen_bytes(encoder->seen->n_places), 1);
    }
}

static place *place_of(sy__encoder *encoder, uint64_t first, uint64_t last, size_t n_bytes) {
    uint64_t seed = encoder->tokenizer->seed;
    uint64_t hash = sy__hash_mix(first ^ n_bytes, last ^ seed);
    return &encoder->seen->places[(uint32_t)hash & (encoder->seen->n_places - 1)];
}

sy__memo *sy__seen_memo(sy__seen *seen, uint64_t key) {
    return &seen->memos[(key * 0x9e3779b97f4a7c15ull >> 32) & (MEMOS * seen->n_places - 1)];
}

static bool is_there(const place *here, uint64_t first, uint64_t last, size_t n_bytes) {
    return here->n_bytes == n_bytes && here->first == first && here->last == last;
}

const int32_t *sy__seen_find(sy__encoder *encoder, const char *word, size_t n_bytes,
                             size_t *out_n) {
    if (encoder->seen == NULL || n_bytes == 0 || n_bytes > SY__SEEN_BYTES) {
        return NULL;
    }
    uint64_t first = sy__first_word(word, n_bytes), last = sy__last_word(word, n_bytes);
    const place *here = place_of(encoder, first, last, n_bytes);
    if (!is_there(here, first, last, n_bytes)) {
        return NULL;
    }
    *out_n = here->n;
    return here->items;
}

void sy__seen_add(sy__encoder *encoder, const char *word, size_t n_bytes, const int32_t *items,
                  size_t n) {
    if (encoder->seen == NULL || n_bytes == 0 || n_bytes > SY__SEEN_BYTES || n > SY__SEEN_ITEMS) {
        return;
    }
    uint64_t first = sy__first_word(word, n_bytes), last = sy__last_word(word, n_bytes);
    place *here = place_of(encoder, first, last, n_bytes);
    here->first = first;
    here->last = last;
    here->n_bytes = (uint8_t)n_bytes;
    here->n = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        here->items[i] = items[i];
    }
}

bool sy__seen_emit(sy__encoder *encoder, const char *word, size_t n_bytes) {
    size_t n = 0;
    const int32_t *ids = sy__seen_find(encoder, word, n_bytes, &n);
    if (ids == NULL || !SY__RESERVE(encoder, encoder->ids, encoder->ids.n + n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        encoder->ids.data[encoder->ids.n++] = ids[i];
    }
    encoder->after_unknown = false;
    return true;
}

void sy__seen_add_ids(sy__encoder *encoder, const char *word, size_t n_bytes, size_t n_before) {
    sy__seen_add(encoder, word, n_bytes, encoder->ids.data + n_before, encoder->ids.n - n_before);
}
