/* SPDX-License-Identifier: Apache-2.0 */
/* An importance matrix in memory, and the weights that a tensor gets from it. */
#include "quantize/importance.h"

#include "base/checked.h"

#include <math.h>
#include <string.h>

#define TEXT_NAMES_BYTES ((size_t)1 << 10)

sy_status sy_importance_create(const sy_allocator *allocator, sy_importance **out_importance,
                               sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    sy_importance *importance = SY__NEW(allocator, sy_importance);
    if (importance == NULL) {
        return sy__no_memory(error, sizeof(*importance), "an importance matrix");
    }
    importance->allocator = allocator;
    sy__arena_init(&importance->arena, allocator, TEXT_NAMES_BYTES);
    *out_importance = importance;
    return SY_OK;
}

static size_t values_of(const sy__importance_entry *entry) {
    return (size_t)(entry->n_columns * entry->n_matrices);
}

static void free_entry(const sy_allocator *allocator, const sy__importance_entry *entry) {
    sy__free_array(allocator, entry->sums, values_of(entry), sizeof(double));
    sy__free_array(allocator, entry->counts, (size_t)entry->n_matrices, sizeof(double));
}

void sy__importance_cut(sy_importance *importance, uint32_t n_entries) {
    while (importance->n_entries > n_entries) {
        free_entry(importance->allocator, &importance->entries[--importance->n_entries]);
    }
}

void sy_importance_destroy(sy_importance *importance) {
    if (importance == NULL) {
        return;
    }
    const sy_allocator *allocator = importance->allocator;
    sy__importance_cut(importance, 0);
    sy__free_array(allocator, importance->entries, importance->entries_capacity,
                   sizeof(*importance->entries));
    sy__free_array(allocator, importance->texts, importance->texts_capacity,
                   sizeof(*importance->texts));
    sy__arena_deinit(&importance->arena);
    SY__DELETE(allocator, importance);
}

void sy_importance_get_facts(const sy_importance *importance, sy_importance_facts *out_facts) {
    uint32_t n = importance->n_texts;
    *out_facts = (sy_importance_facts){.n_tensors = importance->n_entries,
                                       .n_chunks = importance->n_chunks,
                                       .n_chunk_tokens = importance->n_chunk_tokens,
                                       .n_texts = n,
                                       .text = n > 0 ? importance->texts[n - 1] : ""};
}

static uint32_t index_of(const sy_importance *importance, const char *name) {
    for (uint32_t i = 0; i < importance->n_entries; i++) {
        if (strcmp(importance->entries[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static sy_status of_another_model(const char *name, sy_error *error) {
    return sy_error_set(error, SY_INVALID_ARGUMENT,
                        "The importance matrix is of another model: '%s' has another shape.", name);
}

static sy_status add_entry(sy_importance *importance, const char *name, uint64_t n_columns,
                           uint64_t n_matrices, sy_error *error) {
    const sy_allocator *allocator = importance->allocator;
    void *entries = importance->entries;
    uint64_t n_values = 0;
    sy__importance_entry entry = {.n_columns = n_columns, .n_matrices = n_matrices};
    if (strlen(name) >= sizeof(entry.name) || !sy__mul_u64(n_columns, n_matrices, &n_values) ||
        n_values == 0 || n_values > SIZE_MAX / sizeof(double)) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The importance matrix has a tensor of no possible size: '%.64s'.",
                            name);
    }
    memcpy(entry.name, name, strlen(name) + 1);
    entry.sums = sy__alloc_array(allocator, (size_t)n_values, sizeof(double));
    entry.counts = sy__alloc_array(allocator, (size_t)n_matrices, sizeof(double));
    if (entry.sums == NULL || entry.counts == NULL ||
        !sy__grow_array(allocator, &entries, &importance->entries_capacity,
                        importance->n_entries + 1u, sizeof(entry))) {
        free_entry(allocator, &entry);
        return sy__no_memory(error, n_values * sizeof(double), "an importance matrix");
    }
    importance->entries = entries;
    importance->entries[importance->n_entries++] = entry;
    return SY_OK;
}

sy_status sy__importance_need(sy_importance *importance, const char *name, uint64_t n_columns,
                              uint64_t n_matrices, uint32_t *out_entry, sy_error *error) {
    uint32_t i = index_of(importance, name);
    if (i == UINT32_MAX) {
        sy_status status = add_entry(importance, name, n_columns, n_matrices, error);
        if (status != SY_OK) {
            return status;
        }
        i = importance->n_entries - 1;
    } else if (importance->entries[i].n_columns != n_columns ||
               importance->entries[i].n_matrices != n_matrices) {
        return of_another_model(name, error);
    }
    *out_entry = i;
    return SY_OK;
}

sy_status sy__importance_note_text(sy_importance *importance, const char *name, size_t n_bytes,
                                   sy_error *error) {
    void *texts = importance->texts;
    char *copy = sy__arena_string(&importance->arena, name, n_bytes);
    if (copy == NULL || !sy__grow_array(importance->allocator, &texts, &importance->texts_capacity,
                                        importance->n_texts + 1u, sizeof(*importance->texts))) {
        return sy__no_memory(error, n_bytes, "the name of a text");
    }
    importance->texts = texts;
    importance->texts[importance->n_texts++] = copy;
    return SY_OK;
}

void sy__importance_note_chunks(sy_importance *importance, uint32_t n, uint32_t n_chunk_tokens) {
    uint64_t known = importance->n_chunk_tokens, given = n_chunk_tokens;
    if (known == 0) {
        importance->n_chunk_tokens = n_chunk_tokens;
    }
    uint64_t added = known == 0 || given == 0 ? n : (n * given + known - 1) / known;
    uint64_t sum = importance->n_chunks + added;
    importance->n_chunks = sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

sy_status sy__importance_merge(sy_importance *importance, const sy_importance *from,
                               sy_error *error) {
    uint32_t n_before = importance->n_entries, n_texts_before = importance->n_texts, i_entry = 0;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < from->n_entries; i++) {
        const sy__importance_entry *entry = &from->entries[i];
        status = sy__importance_need(importance, entry->name, entry->n_columns, entry->n_matrices,
                                     &i_entry, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < from->n_texts; i++) {
        status =
            sy__importance_note_text(importance, from->texts[i], strlen(from->texts[i]), error);
    }
    if (status != SY_OK) {
        sy__importance_cut(importance, n_before);
        importance->n_texts = n_texts_before;
        return status;
    }
    for (uint32_t i = 0; i < from->n_entries; i++) {
        const sy__importance_entry *entry = &from->entries[i];
        sy__importance_entry *to = &importance->entries[index_of(importance, entry->name)];
        for (size_t k = 0; k < values_of(entry); k++) {
            to->sums[k] += entry->sums[k];
        }
        for (size_t k = 0; k < entry->n_matrices; k++) {
            to->counts[k] += entry->counts[k];
        }
    }
    sy__importance_note_chunks(importance, from->n_chunks, from->n_chunk_tokens);
    return SY_OK;
}

sy_status sy__importance_of(const sy_allocator *allocator, const sy_importance *importance,
                            const sy_gguf_tensor *tensor, float **out_weights, sy_error *error) {
    char name[SY_LIMIT_NAME_BYTES + 1];
    uint64_t n_columns = tensor->dims[0], n_matrices = tensor->dims[2] * tensor->dims[3];
    *out_weights = NULL;
    if (importance == NULL || tensor->name.n_bytes >= sizeof(name)) {
        return SY_OK;
    }
    memcpy(name, tensor->name.bytes, (size_t)tensor->name.n_bytes);
    name[tensor->name.n_bytes] = '\0';
    uint32_t i_entry = index_of(importance, name);
    if (i_entry == UINT32_MAX) {
        return SY_OK;
    }
    const sy__importance_entry *entry = &importance->entries[i_entry];
    uint64_t n_values = values_of(entry);
    bool is_stack = entry->n_matrices == 1 && n_matrices > 1; /* of the older form */
    if (n_values != n_columns * n_matrices || (!is_stack && entry->n_matrices != n_matrices)) {
        return of_another_model(name, error);
    }
    float *weights = sy__alloc_array(allocator, (size_t)n_values, sizeof(float));
    if (weights == NULL) {
        return sy__no_memory(error, n_values * sizeof(float), "importance");
    }
    for (uint64_t i = 0; i < n_values; i++) {
        double count = entry->counts[i / entry->n_columns];
        float mean = count > 0.0 ? (float)(entry->sums[i] / count) : 1.0f; /* an idle expert */
        weights[i] = isfinite(mean) ? mean : 0.0f;
    }
    *out_weights = weights;
    return SY_OK;
}
