/* SPDX-License-Identifier: Apache-2.0 */
#include "state_tables.h"

#include "retired.h"

#include <string.h>

#define WORDS_FIRST 4096u

struct gpu_tables {
    sy_device *device;
    pthread_mutex_t lock; /* of what follows */
    gpu_retirable *memory;
    uint32_t *words;
    uint32_t n_words, capacity_words;
    uint32_t free[GPU_TABLE_SIZES]; /* 1 + first word, which holds the next one; 0: none */
};

/* Under the lock. */
static sy_status grow(gpu_tables *tables, uint32_t n_words) {
    uint32_t capacity = tables->capacity_words > 0 ? tables->capacity_words : WORDS_FIRST;
    while (capacity < n_words && capacity < UINT32_MAX / 2) {
        capacity *= 2;
    }
    gpu_retirable *memory = NULL, *old = tables->memory;
    sy_status status =
        gpu_retirable_create(tables->device, (uint64_t)capacity * 4, GPU_MEMORY_SHARED, &memory);
    if (status != SY_OK) {
        return gpu_seen(tables->device, status);
    }
    uint32_t *words = gpu_memory_pointer(memory->memory);
    memset(words, 0, (size_t)capacity * 4);
    if (old != NULL) {
        memcpy(words, tables->words, (size_t)tables->n_words * 4);
    }
    tables->memory = memory;
    tables->words = words;
    tables->capacity_words = capacity;
    if (old != NULL) {
        gpu_retire(tables->device, old);
    }
    return SY_OK;
}

sy_status gpu_tables_create(sy_device *device, gpu_tables **out_tables) {
    gpu_tables *tables = kit_alloc(sizeof(*tables));
    if (tables == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for tables of states");
    }
    tables->device = device;
    pthread_mutex_init(&tables->lock, NULL);
    sy_status status = grow(tables, WORDS_FIRST);
    if (status != SY_OK) {
        gpu_tables_destroy(tables);
        return status;
    }
    *out_tables = tables;
    return SY_OK;
}

void gpu_tables_destroy(gpu_tables *tables) {
    if (tables == NULL) {
        return;
    }
    if (tables->memory != NULL) {
        gpu_retire(tables->device, tables->memory);
    }
    pthread_mutex_destroy(&tables->lock);
    kit_release(tables, sizeof(*tables));
}

gpu_memory *gpu_tables_memory(gpu_tables *tables) {
    pthread_mutex_lock(&tables->lock);
    gpu_memory *memory = tables->memory->memory;
    pthread_mutex_unlock(&tables->lock);
    return memory;
}

sy_status gpu_table_size(uint64_t n_blocks, uint32_t *out_size) {
    uint32_t size = 0;
    while (size < GPU_TABLE_SIZES - 2 && (uint64_t)1 << size < n_blocks) {
        size++;
    }
    if (n_blocks > (uint64_t)1 << size) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "a state of %llu blocks; a table holds %llu",
                          (unsigned long long)n_blocks, 1ull << size);
    }
    *out_size = size;
    return SY_OK;
}

sy_status gpu_tables_reserve(gpu_tables *tables, const uint64_t counts[GPU_TABLE_SIZES]) {
    sy_status status = SY_OK;
    pthread_mutex_lock(&tables->lock);
    uint64_t n_words = tables->n_words;
    for (uint32_t size = 0; size < GPU_TABLE_SIZES && n_words < UINT32_MAX; size++) {
        uint64_t n = counts[size];
        for (uint32_t at = tables->free[size]; n > 0 && at != 0; at = tables->words[at - 1]) {
            n--;
        }
        n_words = n <= UINT32_MAX ? n_words + (n << size) : UINT64_MAX;
    }
    if (n_words >= UINT32_MAX / 2) {
        status = kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "tables of %llu words of blocks",
                            (unsigned long long)n_words);
    } else if (n_words > tables->capacity_words) {
        status = grow(tables, (uint32_t)n_words);
    }
    pthread_mutex_unlock(&tables->lock);
    return status;
}

sy_status gpu_tables_take(gpu_tables *tables, uint32_t size, uint32_t *out_first_word) {
    uint32_t n = 1u << size;
    sy_status status = SY_OK;
    pthread_mutex_lock(&tables->lock);
    if (tables->free[size] != 0) {
        *out_first_word = tables->free[size] - 1;
        tables->free[size] = tables->words[*out_first_word];
    } else {
        if (n > tables->capacity_words - tables->n_words) {
            status = grow(tables, tables->n_words + n);
        }
        if (status == SY_OK) {
            *out_first_word = tables->n_words;
            tables->n_words += n;
        }
    }
    pthread_mutex_unlock(&tables->lock);
    return status;
}

void gpu_tables_give_back(gpu_tables *tables, uint32_t size, uint32_t first_word) {
    pthread_mutex_lock(&tables->lock);
    tables->words[first_word] = tables->free[size];
    tables->free[size] = first_word + 1;
    pthread_mutex_unlock(&tables->lock);
}

void gpu_tables_write(gpu_tables *tables, uint32_t first_word, kit_block *const *blocks,
                      uint64_t n_blocks) {
    pthread_mutex_lock(&tables->lock);
    for (uint64_t i = 0; i < n_blocks; i++) {
        tables->words[first_word + i] = (uint32_t)kit_block_index(blocks[i]);
    }
    pthread_mutex_unlock(&tables->lock);
}
