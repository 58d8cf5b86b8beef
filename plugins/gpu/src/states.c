/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States: the bookkeeping is the kit's, the rows lie in blocks of 64 in slabs of device memory.
 * Kernels find the blocks of a state in its table (state_tables.h).
 */
#include "states.h"

#include "faults.h"
#include "plugin.h"
#include "retired.h"
#include "state.h"
#include "state_layout.h"
#include "state_tables.h"
#include "types.h"
#include "values.h"

#define PASSAGE_BYTES ((uint64_t)1 << 20)     /* of rows that are moved together */
#define SLAB_BYTES_LEAST ((uint64_t)32 << 20) /* clones find room in what is not asked for */

/* What is kept beside a state. */
typedef struct state_own {
    uint32_t first_word, size; /* its table: 2^size words */
    uint64_t version;          /* of the state's table when it was written; 0 never */
} state_own;

struct gpu_states {
    sy_device *device;
    kit_storage storage;
    kit_states kit;
    gpu_tables *tables;
    /* What rows that move pass through: calls that were reserved for must not fail for memory. */
    gpu_memory *flat, *seen; /* of the device; the same, or what the host sees instead */
    uint64_t passage_bytes;
};

/* ---- sizes ---- */
static sy_status states_measure(void *self, const sy_state_description *description,
                                kit_state_sizes *out_sizes) {
    sy_element_type type = description->type;
    bool known = kit_type_is_float(type) || type == SY_TYPE_Q8_0 || type == SY_TYPE_Q4_0;
    (void)self;
    if (!known || description->width == 0 || description->width % kit_type_block(type) != 0) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a state of %s rows of %u elements: use f32, f16, bf16, or Q8_0, Q4_0 in "
                          "multiples of 32",
                          kit_type_name(type), description->width);
    }
    gpu_row_layout layout = gpu_row_layout_of(description);
    out_sizes->row_bytes = layout.row_bytes;
    out_sizes->block_bytes = layout.stride_bytes * KIT_BLOCK_ROWS;
    return SY_OK;
}

/* ---- slabs and blocks ---- */
static sy_status slab_make(void *self, uint64_t n_bytes, kit_memory *out_memory) {
    gpu_states *states = self;
    gpu_memory *memory = NULL;
    if (atomic_load(&states->device->is_lost)) {
        return gpu_lost(states->device);
    }
    if (n_bytes > gpu_driver_free_bytes(states->device->driver)) { /* a smaller one may do */
        return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
    }
    sy_status status =
        gpu_memory_create(states->device->driver, n_bytes, GPU_MEMORY_DEVICE, &memory);
    if (status == SY_OK) {
        *out_memory = (kit_memory){.handle = memory};
    }
    return gpu_seen(states->device, status);
}

static void slab_free(void *self, const kit_memory *memory, uint64_t n_bytes) {
    (void)self;
    (void)n_bytes;
    gpu_memory_destroy(memory->handle);
}

static gpu_memory *memory_of(const kit_block *block) {
    return block->slab->memory.handle;
}

static uint64_t offset_of(const kit_block *block) {
    return kit_block_index(block) * block->slab->pool->block_bytes;
}

static sy_status blocks_copy(void *self, kit_block *const *from, kit_block *const *to, uint64_t n) {
    gpu_states *states = self;
    gpu_copy copies[64];
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < n;) {
        uint32_t k = 0;
        for (; k < 64 && i < n; k++, i++) {
            copies[k] = (gpu_copy){memory_of(from[i]), memory_of(to[i]), offset_of(from[i]),
                                   offset_of(to[i]), from[i]->slab->pool->block_bytes};
        }
        status = gpu_memory_copy(states->device->driver, copies, k);
    }
    return gpu_seen(states->device, status);
}

/* ---- rows ---- */
/* A run of rows of one block. */
typedef struct row_run {
    gpu_memory *memory;
    uint64_t offset_bytes, n_rows;
} row_run;

static row_run run_at(const sy_state *state, uint64_t row, uint64_t n_most, uint64_t stride) {
    const kit_block *block = kit_state_block(state, row / KIT_BLOCK_ROWS);
    uint64_t at = row % KIT_BLOCK_ROWS, n = KIT_BLOCK_ROWS - at;
    return (row_run){memory_of(block), offset_of(block) + at * stride, n < n_most ? n : n_most};
}

/* Copies rows between the blocks of a state and memory where they lie behind each other. */
static sy_status rows_gather(gpu_states *states, const sy_state *state, uint64_t first,
                             uint64_t count, gpu_memory *flat, bool scatters) {
    uint64_t stride = gpu_row_layout_of(&state->description).stride_bytes, at = 0;
    gpu_copy copies[64];
    sy_status status = SY_OK;
    while (status == SY_OK && at < count) {
        uint32_t k = 0;
        for (; k < 64 && at < count; k++) {
            row_run run = run_at(state, first + at, count - at, stride);
            copies[k] = scatters ? (gpu_copy){flat, run.memory, at * stride, run.offset_bytes,
                                              run.n_rows * stride}
                                 : (gpu_copy){run.memory, flat, run.offset_bytes, at * stride,
                                              run.n_rows * stride};
            at += run.n_rows;
        }
        status = gpu_memory_copy(states->device->driver, copies, k);
    }
    return status;
}

/* ---- the passage ---- */
static void passage_free(gpu_states *states) {
    if (states->seen != states->flat) {
        gpu_memory_destroy(states->seen);
    }
    gpu_memory_destroy(states->flat);
    states->flat = states->seen = NULL;
    states->passage_bytes = 0;
}

/* Makes it hold a row of any state that there is. */
static sy_status passage_fit(gpu_states *states, uint64_t stride_bytes) {
    gpu_driver *driver = states->device->driver;
    gpu_states wider = {.passage_bytes =
                            stride_bytes > PASSAGE_BYTES ? stride_bytes : PASSAGE_BYTES};
    if (states->passage_bytes >= wider.passage_bytes) {
        return SY_OK;
    }
    sy_status status =
        gpu_memory_create(driver, wider.passage_bytes, GPU_MEMORY_DEVICE, &wider.flat);
    wider.seen = wider.flat;
    if (status == SY_OK && gpu_memory_pointer(wider.flat) == NULL) {
        status = gpu_memory_create(driver, wider.passage_bytes, GPU_MEMORY_SHARED, &wider.seen);
    }
    if (status != SY_OK) {
        gpu_memory_destroy(wider.flat);
        return gpu_seen(states->device, status);
    }
    passage_free(states);
    states->flat = wider.flat;
    states->seen = wider.seen;
    states->passage_bytes = wider.passage_bytes;
    return SY_OK;
}

/* Rows that go through it together. */
static uint64_t rows_together(const gpu_states *states, const gpu_row_layout *layout,
                              uint64_t count) {
    uint64_t most = states->passage_bytes / layout->stride_bytes;
    return count < most ? count : most;
}

static sy_status rows_move(void *self, sy_state *state, uint64_t first, uint64_t count,
                           uint64_t to) {
    gpu_states *states = self;
    gpu_row_layout layout = gpu_row_layout_of(&state->description);
    uint64_t together = rows_together(states, &layout, count);
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < count; i += together) {
        uint64_t n = count - i < together ? count - i : together;
        status = rows_gather(states, state, first + i, n, states->flat, false);
        status =
            status == SY_OK ? rows_gather(states, state, to + i, n, states->flat, true) : status;
    }
    return gpu_seen(states->device, status);
}

static sy_status rows_read(void *self, const sy_state *state, uint64_t first, uint64_t count,
                           uint8_t *out_rows) {
    gpu_states *states = self;
    gpu_row_layout layout = gpu_row_layout_of(&state->description);
    uint64_t together = rows_together(states, &layout, count);
    const uint8_t *rows = gpu_memory_pointer(states->seen);
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < count; i += together) {
        uint64_t n = count - i < together ? count - i : together;
        status = rows_gather(states, state, first + i, n, states->seen, false);
        for (uint64_t k = 0; status == SY_OK && k < n; k++) {
            gpu_row_unpack(&layout, rows + k * layout.stride_bytes,
                           out_rows + (i + k) * layout.row_bytes);
        }
    }
    return gpu_seen(states->device, status);
}

static sy_status rows_write(void *self, sy_state *state, uint64_t first, uint64_t count,
                            const uint8_t *given) {
    gpu_states *states = self;
    gpu_row_layout layout = gpu_row_layout_of(&state->description);
    uint64_t together = rows_together(states, &layout, count);
    uint8_t *rows = gpu_memory_pointer(states->seen);
    sy_status status = SY_OK;
    for (uint64_t i = 0; status == SY_OK && i < count; i += together) {
        uint64_t n = count - i < together ? count - i : together;
        for (uint64_t k = 0; k < n; k++) {
            gpu_row_pack(&layout, given + (i + k) * layout.row_bytes,
                         rows + k * layout.stride_bytes);
        }
        status = rows_gather(states, state, first + i, n, states->seen, true);
    }
    return gpu_seen(states->device, status);
}

/* ---- what is kept beside a state ---- */
static sy_status state_init(void *self, sy_state *state) {
    gpu_states *states = self;
    state_own *own = state->own;
    gpu_retired_free(states->device);
    sy_status status = passage_fit(states, gpu_row_layout_of(&state->description).stride_bytes);
    status = status == SY_OK ? gpu_table_size(state->n_blocks, &own->size) : status;
    return status == SY_OK ? gpu_tables_take(states->tables, own->size, &own->first_word) : status;
}

static void state_deinit(void *self, sy_state *state) {
    gpu_states *states = self;
    const state_own *own = state->own;
    gpu_tables_give_back(states->tables, own->size, own->first_word);
}

void gpu_state_table(sy_state *state, uint32_t *out_first_word, uint32_t *out_first_block) {
    gpu_states *states = state->states->storage->self;
    state_own *own = state->own;
    if (own->version != state->version) {
        gpu_tables_write(states->tables, own->first_word, state->blocks, state->n_blocks);
        own->version = state->version;
    }
    *out_first_word = own->first_word;
    *out_first_block = (uint32_t)state->base;
}

gpu_memory *gpu_state_slab(const sy_state *state) {
    return state->slab != NULL ? state->slab->memory.handle : NULL;
}

gpu_memory *gpu_states_tables(const sy_device *device) {
    return gpu_tables_memory(device->states->tables);
}

sy_status gpu_state_begin(sy_device *device, sy_state *state, const sy_sequence *sequence,
                          uint32_t i_sequence, uint32_t i_state) {
    if (state == NULL || state->states != &device->states->kit) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "state %u of sequence %u is missing or of another device", i_state,
                          i_sequence);
    }
    if ((uint64_t)sequence->n_past + sequence->n_tokens > state->description.max_tokens) {
        return kit_report(SY_OUT_OF_RANGE, SY_NO_VALUE,
                          "sequence %u would have %u + %u tokens, its state holds %llu", i_sequence,
                          sequence->n_past, sequence->n_tokens,
                          (unsigned long long)state->description.max_tokens);
    }
    return kit_state_begin_step(state, sequence->n_past, sequence->n_tokens);
}

/* ---- made with the device ---- */
sy_status gpu_states_create(sy_device *device, gpu_states **out_states) {
    gpu_states *states = kit_alloc(sizeof(*states));
    if (states == NULL) {
        return kit_no_tables();
    }
    const gpu_limits *limits = device->limits;
    states->device = device;
    states->storage = (kit_storage){
        .self = states,
        .one_slab_bytes_most = limits->binding_most_bytes < limits->memory_most_bytes
                                   ? limits->binding_most_bytes
                                   : limits->memory_most_bytes,
        .one_slab_bytes_least = SLAB_BYTES_LEAST,
        .own_bytes = sizeof(state_own),
        .slab_own_bytes = gpu_memory_host_bytes(),
        .slab_make = slab_make,
        .slab_free = slab_free,
        .blocks_copy = blocks_copy,
        .measure = states_measure,
        .state_init = state_init,
        .state_deinit = state_deinit,
        .rows_move = rows_move,
        .rows_read = rows_read,
        .rows_write = rows_write,
    };
    states->kit = (kit_states){.storage = &states->storage, .live_handles = &device->live_handles};
    sy_status status = gpu_tables_create(device, &states->tables);
    status = status == SY_OK ? passage_fit(states, 0) : status;
    if (status != SY_OK) {
        gpu_states_destroy(states);
        return status;
    }
    *out_states = states;
    return SY_OK;
}

void gpu_states_destroy(gpu_states *states) {
    kit_states_deinit(&states->kit);
    passage_free(states);
    gpu_tables_destroy(states->tables);
    kit_release(states, sizeof(*states));
}

/* ---- the table of the ABI ---- */
/* Every handle of a lost device answers so, whether the device is needed or not. */
static sy_status check_alive(const sy_device *device) {
    return atomic_load(&device->is_lost) ? gpu_lost(device) : SY_OK;
}

static sy_device *device_of(const sy_state *state) {
    const gpu_states *states = state->states->storage->self;
    return states->device;
}

/* Before one more state. */
static sy_status check_creation(sy_device *device) {
    sy_status status = check_alive(device);
    return status == SY_OK ? gpu_fault_of_creation(device) : status;
}

sy_status gpu_state_create(sy_device *device, const sy_state_description *description,
                           sy_state **out_state) {
    sy_status status = check_creation(device);
    return status == SY_OK ? kit_state_create(&device->states->kit, description, out_state)
                           : status;
}
sy_status gpu_state_clone(sy_state *state, uint64_t n_rows, sy_state **out_state) {
    sy_status status = check_creation(device_of(state));
    return status == SY_OK ? kit_state_clone(state, n_rows, out_state) : status;
}
sy_status gpu_state_fork(sy_state *state, uint64_t n_rows, uint64_t max_tokens,
                         sy_state **out_state) {
    sy_status status = check_creation(device_of(state));
    return status == SY_OK ? kit_state_fork(state, n_rows, max_tokens, out_state) : status;
}
sy_status gpu_state_truncate(sy_state *state, uint64_t n_rows) {
    sy_status status = check_alive(device_of(state));
    return status == SY_OK ? kit_state_truncate(state, n_rows) : status;
}
sy_status gpu_state_shift(sy_state *state, uint64_t first, uint64_t count, uint64_t to) {
    sy_status status = check_alive(device_of(state));
    return status == SY_OK ? kit_state_shift(state, first, count, to) : status;
}
sy_status gpu_state_save(sy_state *state, uint64_t first, uint64_t count, void *out_rows,
                         uint64_t n_bytes) {
    sy_status status = check_alive(device_of(state));
    return status == SY_OK ? kit_state_save(state, first, count, out_rows, n_bytes) : status;
}
sy_status gpu_state_load(sy_state *state, uint64_t first, uint64_t count, const void *rows,
                         uint64_t n_bytes) {
    sy_status status = check_alive(device_of(state));
    return status == SY_OK ? kit_state_load(state, first, count, rows, n_bytes) : status;
}
sy_status gpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage) {
    sy_status status = check_alive(device);
    return status == SY_OK
               ? kit_state_need(&device->states->kit, requests, stride, n_requests, out_usage)
               : status;
}
/* What the states keep beside their blocks. */
static sy_status beside_reserve(gpu_states *states, const sy_state_request *requests, size_t stride,
                                uint32_t n_requests) {
    uint64_t counts[GPU_TABLE_SIZES] = {0};
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_requests; i++) {
        sy_state_request request = kit_state_request_at(requests, stride, i);
        sy_state_description description;
        kit_state_measures m = {.n_blocks = 0};
        kit_fork fork = {.n_given = 0};
        uint32_t size = 0;
        if (request.call == SY_STATE_CALL_CREATE) {
            kit_state_read_description(request.description, &description);
            status = kit_state_measure(&states->kit, &description, &m);
            status = status == SY_OK ? passage_fit(states, m.sizes.block_bytes / KIT_BLOCK_ROWS)
                                     : status;
        } else if (request.call == SY_STATE_CALL_FORK) {
            status = kit_state_check_fork(request.state, request.n_rows, request.max_tokens, &fork);
            m = fork.measures;
        } else {
            continue;
        }
        status = status == SY_OK ? gpu_table_size(m.n_blocks, &size) : status;
        counts[size] += request.count;
    }
    return status == SY_OK ? gpu_tables_reserve(states->tables, counts) : status;
}

/* How much less of it would do. */
static sy_status say_missing(gpu_states *states, const sy_state_request *requests, size_t stride,
                             uint32_t n_requests, sy_status status) {
    sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage)};
    uint64_t n_free = gpu_driver_free_bytes(states->device->driver);
    if (kit_state_need(&states->kit, requests, stride, n_requests, &usage) == SY_OK &&
        usage.own_bytes > n_free) {
        return kit_report(
            status, SY_NO_VALUE, "%s: states of %llu bytes, %llu are left: %llu are missing",
            states->device->limits->id, (unsigned long long)usage.own_bytes,
            (unsigned long long)n_free, (unsigned long long)(usage.own_bytes - n_free));
    }
    return status;
}

sy_status gpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep) {
    gpu_states *states = device->states;
    sy_status status = check_alive(device);
    status = status == SY_OK ? beside_reserve(states, requests, stride, n_requests) : status;
    if (status == SY_OK) {
        status = kit_state_reserve(&states->kit, requests, stride, n_requests, keep);
    }
    return SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED
               ? say_missing(states, requests, stride, n_requests, status)
               : status;
}
