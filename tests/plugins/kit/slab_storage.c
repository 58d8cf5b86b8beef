/* SPDX-License-Identifier: Apache-2.0 */
#include "slab_storage.h"

#include "harness.h"
#include "plugins/kit/types.h"

static bool fails(slab_storage *s) {
    if (s->calls_until_failure == UINT64_MAX) {
        return false;
    }
    return s->calls_until_failure-- == 0;
}

static sy_status failed(slab_storage *s) {
    s->calls_until_failure = UINT64_MAX;
    return kit_report(SY_UNAVAILABLE, SY_NO_VALUE, "the device does not answer");
}

/* ---- slabs ---- */
typedef struct buffer {
    uint8_t *bytes;
} buffer;

static void buffer_free(slab_storage *s, buffer *memory, uint8_t *bytes, uint64_t n_bytes) {
    if (s->storage.asks_host) {
        kit_release(bytes, n_bytes);
    } else {
        free(bytes);
    }
    kit_release(memory, sizeof(*memory));
}

static sy_status slab_make(void *self, uint64_t n_bytes, kit_memory *out_memory) {
    slab_storage *s = self;
    if (fails(s)) {
        return failed(s);
    }
    CHECK(s->storage.one_slab_bytes_most == 0 || n_bytes <= s->storage.one_slab_bytes_most);
    if (n_bytes > s->limit_bytes - s->live_bytes) {
        return SY_RESOURCE_EXHAUSTED;
    }
    buffer *memory = kit_alloc(sizeof(*memory));
    uint8_t *bytes = s->storage.asks_host ? kit_alloc_raw(n_bytes) : malloc(n_bytes);
    if (memory == NULL || bytes == NULL) {
        buffer_free(s, memory, bytes, n_bytes);
        return SY_RESOURCE_EXHAUSTED;
    }
    memset(bytes, 0xee, n_bytes);
    s->live_bytes += n_bytes;
    s->n_slabs++;
    memory->bytes = bytes;
    *out_memory = (kit_memory){.handle = memory};
    return SY_OK;
}

static void slab_free(void *self, const kit_memory *memory, uint64_t n_bytes) {
    slab_storage *s = self;
    buffer *freed = memory->handle;
    CHECK(freed != NULL && s->live_bytes >= n_bytes && s->n_slabs > 0);
    s->live_bytes -= n_bytes;
    s->n_slabs--;
    buffer_free(s, freed, freed->bytes, n_bytes);
}

static uint8_t *block_bytes(const kit_slab *slab, uint64_t index) {
    CHECK(index < slab->n_blocks);
    const buffer *memory = slab->memory.handle;
    return memory->bytes + index * slab->pool->block_bytes;
}

static sy_status blocks_copy(void *self, kit_block *const *from, kit_block *const *to, uint64_t n) {
    slab_storage *s = self;
    bool breaks = fails(s);
    CHECK(n > 0);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t n_bytes = from[i]->slab->pool->block_bytes;
        uint8_t *there = block_bytes(to[i]->slab, kit_block_index(to[i]));
        CHECK(from[i] != to[i] && to[i]->n_states == 1 && from[i]->n_states > 0);
        memcpy(there, block_bytes(from[i]->slab, kit_block_index(from[i])), n_bytes);
        if (breaks) { /* half of it came through */
            memset(there + n_bytes / 2, 0xdd, n_bytes / 2);
            return failed(s);
        }
        s->n_copies++;
    }
    return SY_OK;
}

/* ---- states ---- */
static sy_status measure(void *self, const sy_state_description *description,
                         kit_state_sizes *out_sizes) {
    (void)self;
    if (!kit_type_row_bytes(description->type, description->width, &out_sizes->row_bytes) ||
        out_sizes->row_bytes == 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "no such rows");
    }
    out_sizes->block_bytes = out_sizes->row_bytes * KIT_BLOCK_ROWS;
    return SY_OK;
}

static sy_status state_init(void *self, sy_state *state) {
    slab_storage *s = self;
    const table empty = {.version = 0};
    CHECK(memcmp(state->own, &empty, sizeof(empty)) == 0);
    if (fails(s)) {
        return failed(s);
    }
    s->n_states++;
    return SY_OK;
}

static void state_deinit(void *self, sy_state *state) {
    slab_storage *s = self;
    (void)state;
    CHECK(s->n_states-- > 0);
}

/* A spare is of the slab that its block is of: whoever takes it has all blocks together. */
static void check_spares(const kit_block *block, bool is_one_slab) {
    uint32_t n = 0;
    for (const kit_block *spare = block->spares; spare != NULL; spare = spare->next) {
        CHECK(!is_one_slab || spare->slab == block->slab);
        n++;
    }
    CHECK(n == 0 || n == block->n_states - 1);
}

void slab_storage_upload(slab_storage *s, sy_state *state) {
    table now = {.version = state->version, .base = state->base, .slab = state->slab};
    table *up = state->own;
    bool is_one_slab = kit_is_one_slab(&s->storage);
    CHECK(state->n_blocks <= TABLE_MOST && state->version > 0);
    CHECK(is_one_slab ? state->slab != NULL : state->slab == NULL);
    for (uint64_t i = 0; i < state->n_blocks; i++) {
        CHECK(!is_one_slab || state->blocks[i]->slab == state->slab);
        CHECK(state->blocks[i]->bytes == NULL && state->blocks[i]->n_states > 0);
        check_spares(state->blocks[i], is_one_slab);
        now.blocks[i] = (uint32_t)kit_block_index(state->blocks[i]);
    }
    if (up->version == state->version) {
        CHECK_TEXT(memcmp(up, &now, sizeof(now)) == 0, "the table changed, the version did not");
        return;
    }
    s->n_uploads++;
    s->n_moves += up->slab != NULL && up->slab != state->slab;
    *up = now;
}

/* ---- rows ---- */
/* As a kernel finds it: by the table that went up. Without one slab, by the block. */
static uint8_t *row_at(const sy_state *state, uint64_t position) {
    const table *up = state->own;
    uint64_t i = position / KIT_BLOCK_ROWS - state->base;
    CHECK(position / KIT_BLOCK_ROWS >= state->base && i < state->n_blocks);
    const kit_block *block = state->blocks[i];
    bool is_up = state->slab != NULL && up->version == state->version;
    uint8_t *bytes = is_up ? block_bytes(up->slab, up->blocks[i])
                           : block_bytes(block->slab, kit_block_index(block));
    return bytes + position % KIT_BLOCK_ROWS * state->sizes.row_bytes;
}

static sy_status rows_move(void *self, sy_state *state, uint64_t first, uint64_t count,
                           uint64_t to) {
    slab_storage *s = self;
    uint64_t n = fails(s) ? count / 2 : count;
    CHECK(count > 0 && to < first);
    for (uint64_t i = 0; i < n; i++) {
        memmove(row_at(state, to + i), row_at(state, first + i), state->sizes.row_bytes);
    }
    return n < count ? failed(s) : SY_OK;
}

static sy_status rows_read(void *self, const sy_state *state, uint64_t first, uint64_t count,
                           uint8_t *out_rows) {
    slab_storage *s = self;
    CHECK(count > 0);
    if (fails(s)) {
        return failed(s);
    }
    for (uint64_t i = 0; i < count; i++) {
        memcpy(out_rows + i * state->sizes.row_bytes, row_at(state, first + i),
               state->sizes.row_bytes);
    }
    return SY_OK;
}

static sy_status rows_write(void *self, sy_state *state, uint64_t first, uint64_t count,
                            const uint8_t *rows) {
    slab_storage *s = self;
    uint64_t n = fails(s) ? count / 2 : count;
    CHECK(count > 0);
    for (uint64_t i = 0; i < n; i++) {
        const kit_block *block = kit_state_block(state, (first + i) / KIT_BLOCK_ROWS);
        CHECK(block->n_states == 1); /* nobody else reads it */
        memcpy(row_at(state, first + i), rows + i * state->sizes.row_bytes, state->sizes.row_bytes);
    }
    return n < count ? failed(s) : SY_OK;
}

void slab_storage_step(slab_storage *s, sy_state *state, uint64_t first, uint64_t count,
                       const uint8_t *rows) {
    slab_storage_upload(s, state);
    CHECK_OK(rows_write(s, state, first, count, rows));
}

void slab_storage_init(slab_storage *s, bool asks_host, uint64_t one_slab_bytes_most,
                       uint64_t one_slab_bytes_least) {
    *s = (slab_storage){.storage = {.self = s,
                                    .one_slab_bytes_most = one_slab_bytes_most,
                                    .one_slab_bytes_least = one_slab_bytes_least,
                                    .asks_host = asks_host,
                                    .slab_own_bytes = sizeof(buffer),
                                    .own_bytes = sizeof(table),
                                    .slab_make = slab_make,
                                    .slab_free = slab_free,
                                    .blocks_copy = blocks_copy,
                                    .measure = measure,
                                    .state_init = state_init,
                                    .state_deinit = state_deinit,
                                    .rows_move = rows_move,
                                    .rows_read = rows_read,
                                    .rows_write = rows_write},
                        .limit_bytes = UINT64_MAX,
                        .calls_until_failure = UINT64_MAX};
}
