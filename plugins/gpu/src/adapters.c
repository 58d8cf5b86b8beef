/* SPDX-License-Identifier: Apache-2.0 */
#include "adapters.h"

#include "faults.h"
#include "plugin.h"
#include "retired.h"
#include "types.h"
#include "values.h"

#include <string.h>

#define ALIGNMENT 16u
#define STAGE_BYTES ((uint64_t)16 << 20)

typedef struct slab {
    struct slab *next; /* younger */
    gpu_retirable *place;
    sy_adapter_weights *first; /* by offset */
    uint64_t n_bytes;
    uint32_t number;
} slab;

/* What is kept of an adapter beside its pairs. */
typedef struct adapter_own {
    slab *slab; /* NULL: no pair */
    sy_adapter_weights *next;
    uint64_t offset_bytes, n_bytes;
} adapter_own;

struct gpu_adapters {
    sy_device *device;
    pthread_mutex_t lock; /* of where slabs lie: jobs read it while adapters come and go */
    slab *oldest;
    uint32_t n_made;
};

sy_status gpu_adapters_create(sy_device *device, gpu_adapters **out_adapters) {
    gpu_adapters *adapters = kit_alloc(sizeof(*adapters));
    if (adapters == NULL) {
        return kit_no_tables();
    }
    adapters->device = device;
    pthread_mutex_init(&adapters->lock, NULL);
    *out_adapters = adapters;
    return SY_OK;
}

void gpu_adapters_destroy(gpu_adapters *adapters) {
    pthread_mutex_destroy(&adapters->lock);
    kit_release(adapters, sizeof(*adapters));
}

/* ---- for jobs ---- */
static const slab *slab_of(const sy_adapter_weights *weights) {
    const adapter_own *own = weights->own;
    return own->slab;
}

/* Puts a slab into a list by number, where it is not there yet. */
static bool slab_insert(gpu_adapter_slab **inout_slabs, size_t *inout_capacity, uint32_t *inout_n,
                        const slab *s) {
    void *list = *inout_slabs;
    uint32_t at = *inout_n;
    while (at > 0 && (*inout_slabs)[at - 1].number >= s->number) {
        at--;
    }
    if (at < *inout_n && (*inout_slabs)[at].number == s->number) {
        return true;
    }
    bool fits = kit_array_grow(&list, *inout_n, inout_capacity, sizeof(**inout_slabs));
    *inout_slabs = list;
    if (fits) {
        memmove(*inout_slabs + at + 1, *inout_slabs + at, (*inout_n - at) * sizeof(**inout_slabs));
        (*inout_slabs)[at] = (gpu_adapter_slab){s->place->memory, s->number};
        *inout_n += 1;
    }
    return fits;
}

sy_status gpu_adapters_list(const sy_job *job, gpu_adapter_slab **inout_slabs,
                            size_t *inout_capacity, uint32_t *out_n) {
    bool fits = true;
    *out_n = 0;
    for (uint32_t i = 0; fits && i < job->n_adapters; i++) {
        const sy_adapter_weights *weights = job->adapters[i].weights;
        const slab *s = slab_of(weights);
        if (s != NULL) {
            gpu_adapters *adapters = weights->device->adapters;
            pthread_mutex_lock(&adapters->lock);
            fits = slab_insert(inout_slabs, inout_capacity, out_n, s);
            pthread_mutex_unlock(&adapters->lock);
        }
    }
    return fits ? SY_OK : kit_no_tables();
}

bool gpu_adapter_place(const sy_adapter_weights *weights, uint32_t *out_slab,
                       uint32_t *out_first_word) {
    const adapter_own *own = weights->own;
    if (own->slab == NULL) {
        return false;
    }
    *out_slab = own->slab->number;
    *out_first_word = (uint32_t)(own->offset_bytes / 4);
    return true;
}

/* ---- where an adapter lies ---- */
static uint64_t round_up(uint64_t n, uint64_t to) {
    return (n + to - 1) / to * to;
}

static uint64_t stride_of_b(const sy_adapter_pair *pair) {
    return round_up(pair->rank, GPU_RANK_UNIT) * kit_type_block_bytes(pair->b_type);
}

/* Bytes of a pair's matrices; shapes and types were checked, and so were the bytes of both. */
static bool pair_bytes(const sy_adapter_pair *pair, uint64_t *out_a, uint64_t *out_b) {
    uint64_t a = 0, b = 0;
    bool fits = kit_type_row_bytes(pair->a_type, pair->n_inputs, &a) &&
                !__builtin_mul_overflow(a, pair->rank, &a) &&
                !__builtin_mul_overflow(stride_of_b(pair), pair->n_outputs, &b) &&
                a < UINT64_MAX / 4 && b < UINT64_MAX / 4;
    *out_a = round_up(a, ALIGNMENT);
    *out_b = round_up(b, ALIGNMENT);
    return fits;
}

/* Writes the words of the pairs and counts the bytes of all; 0 where nothing is to be kept,
 * UINT64_MAX where they cannot be counted. */
static uint64_t adapter_lay(const sy_adapter_weights *weights, uint32_t *out_words) {
    uint64_t end = round_up((uint64_t)weights->n_pairs * GPU_PAIR_WORDS * 4, ALIGNMENT);
    bool has_pairs = false;
    for (uint32_t i = 0; i < weights->n_pairs; i++) {
        const sy_adapter_pair *pair = &weights->pairs[i];
        uint32_t *words = out_words + (size_t)i * GPU_PAIR_WORDS;
        uint64_t n_a = 0, n_b = 0;
        if (pair->rank == 0) {
            continue;
        }
        if (!pair_bytes(pair, &n_a, &n_b) || end > UINT64_MAX / 4) {
            return UINT64_MAX;
        }
        has_pairs = true;
        words[0] = pair->rank;
        words[1] = pair->a_type;
        words[2] = pair->b_type;
        words[3] = (uint32_t)(end / 4);
        words[4] = (uint32_t)((end + n_a) / 4);
        memcpy(&words[5], &pair->scale, sizeof(pair->scale));
        end += n_a + n_b;
    }
    return has_pairs ? end : 0;
}

static adapter_own *own_of(const sy_adapter_weights *weights) {
    return weights->own;
}

/* The first gap of a slab that holds n_bytes; answers the adapter in front of it by *out_before,
 * NULL: none. */
static bool gap_find(const slab *s, uint64_t n_bytes, sy_adapter_weights **out_before,
                     uint64_t *out_offset) {
    sy_adapter_weights *before = NULL, *next = s->first;
    uint64_t offset = 0;
    while (next != NULL && own_of(next)->offset_bytes - offset < n_bytes) {
        before = next;
        offset = own_of(next)->offset_bytes + own_of(next)->n_bytes;
        next = own_of(next)->next;
    }
    *out_before = before;
    *out_offset = offset;
    return next != NULL || s->n_bytes - offset >= n_bytes;
}

static uint64_t slab_most(const gpu_limits *limits) {
    uint64_t most = limits->binding_most_bytes;
    return limits->memory_most_bytes < most ? limits->memory_most_bytes : most;
}

static sy_status slab_add(gpu_adapters *adapters, uint64_t n_bytes, slab **out_slab) {
    slab *made = kit_alloc(sizeof(*made)), **at = &adapters->oldest;
    if (made == NULL) {
        return kit_no_tables();
    }
    sy_status status =
        gpu_retirable_create(adapters->device, n_bytes, GPU_MEMORY_DEVICE, &made->place);
    if (status != SY_OK) {
        kit_release(made, sizeof(*made));
        return status;
    }
    made->n_bytes = n_bytes;
    made->number = adapters->n_made++;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = made;
    *out_slab = made;
    return SY_OK;
}

/* Moves what lies in a slab into a memory of n_bytes. */
static sy_status slab_grow(gpu_adapters *adapters, slab *s, uint64_t n_bytes) {
    sy_device *device = adapters->device;
    gpu_retirable *place = NULL, *old = s->place;
    sy_status status = gpu_retirable_create(device, n_bytes, GPU_MEMORY_DEVICE, &place);
    if (status != SY_OK) {
        return status;
    }
    const gpu_copy all = {old->memory, place->memory, 0, 0, s->n_bytes};
    status = gpu_memory_copy(device->driver, &all, 1);
    if (status != SY_OK) {
        gpu_retire(device, place);
        return status;
    }
    pthread_mutex_lock(&adapters->lock);
    s->place = place;
    pthread_mutex_unlock(&adapters->lock);
    s->n_bytes = n_bytes;
    gpu_retire(device, old);
    return SY_OK;
}

/* Whether a slab may become one of n_bytes: both are there for a moment. */
static bool may_grow(const sy_device *device, uint64_t n_bytes) {
    return n_bytes <= slab_most(device->limits) && n_bytes <= gpu_driver_free_bytes(device->driver);
}

/* Room for n_bytes in some slab, which may be a new one. */
static sy_status room_find(gpu_adapters *adapters, uint64_t n_bytes, slab **out_slab,
                           sy_adapter_weights **out_before, uint64_t *out_offset) {
    for (slab *s = adapters->oldest; s != NULL; s = s->next) {
        if (gap_find(s, n_bytes, out_before, out_offset)) {
            *out_slab = s;
            return SY_OK;
        }
    }
    for (slab *s = adapters->oldest; s != NULL; s = s->next) {
        (void)gap_find(s, n_bytes, out_before, out_offset); /* where its last adapter ends */
        if (may_grow(adapters->device, *out_offset + n_bytes)) {
            *out_slab = s;
            return slab_grow(adapters, s, *out_offset + n_bytes);
        }
    }
    *out_before = NULL;
    *out_offset = 0;
    return slab_add(adapters, n_bytes, out_slab);
}

/* ---- its bytes ---- */
/* Rows of row_bytes that come to lie `stride` bytes apart, zeros between them. */
static sy_status rows_write(gpu_memory *memory, uint64_t offset, const uint8_t *rows,
                            uint64_t n_rows, uint64_t row_bytes, uint64_t stride) {
    if (stride == row_bytes) {
        return gpu_memory_write(memory, offset, rows, n_rows * row_bytes);
    }
    uint64_t at_once = STAGE_BYTES / stride;
    at_once = n_rows < at_once ? n_rows : at_once;
    uint8_t *stage = kit_alloc(at_once * stride);
    sy_status status = stage != NULL ? SY_OK
                                     : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                                                  "no memory to upload an adapter");
    for (uint64_t first = 0; status == SY_OK && first < n_rows; first += at_once) {
        uint64_t n = n_rows - first < at_once ? n_rows - first : at_once;
        for (uint64_t i = 0; i < n; i++) {
            memcpy(stage + i * stride, rows + (first + i) * row_bytes, row_bytes);
        }
        status = gpu_memory_write(memory, offset + first * stride, stage, n * stride);
    }
    kit_release(stage, at_once * stride);
    return status;
}

static sy_status adapter_fill(const sy_adapter_weights *weights, const uint32_t *words) {
    const adapter_own *own = weights->own;
    gpu_memory *memory = own->slab->place->memory;
    sy_status status = gpu_memory_write(memory, own->offset_bytes, words,
                                        (uint64_t)weights->n_pairs * GPU_PAIR_WORDS * 4);
    for (uint32_t i = 0; status == SY_OK && i < weights->n_pairs; i++) {
        const sy_adapter_pair *pair = &weights->pairs[i];
        const uint32_t *of_pair = words + (size_t)i * GPU_PAIR_WORDS;
        uint64_t row_bytes = 0, rank_bytes = 0;
        if (pair->rank == 0) {
            continue;
        }
        kit_type_row_bytes(pair->a_type, pair->n_inputs, &row_bytes);
        kit_type_row_bytes(pair->b_type, pair->rank, &rank_bytes);
        status = rows_write(memory, own->offset_bytes + 4 * (uint64_t)of_pair[3], pair->a.pointer,
                            pair->rank, row_bytes, row_bytes);
        if (status == SY_OK) {
            status = rows_write(memory, own->offset_bytes + 4 * (uint64_t)of_pair[4],
                                pair->b.pointer, pair->n_outputs, rank_bytes, stride_of_b(pair));
        }
    }
    return status;
}

/* ---- taking and giving back ---- */
static void slab_drop(gpu_adapters *adapters, slab *s) {
    slab **at = &adapters->oldest;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    gpu_retire(adapters->device, s->place);
    kit_release(s, sizeof(*s));
}

static void place_drop(gpu_adapters *adapters, sy_adapter_weights *weights) {
    adapter_own *own = weights->own;
    if (own->slab == NULL) {
        return;
    }
    sy_adapter_weights **at = &own->slab->first;
    while (*at != weights) {
        at = &own_of(*at)->next;
    }
    *at = own->next;
    if (own->slab->first == NULL) {
        slab_drop(adapters, own->slab);
    }
}

static sy_status place_take(gpu_adapters *adapters, sy_adapter_weights *weights, uint64_t n_bytes,
                            const uint32_t *words) {
    adapter_own *own = weights->own;
    sy_adapter_weights *before = NULL;
    uint64_t most = slab_most(adapters->device->limits);
    if (n_bytes > most) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "an adapter of %llu bytes is %llu more than a binding spans",
                          (unsigned long long)n_bytes, (unsigned long long)(n_bytes - most));
    }
    sy_status status = room_find(adapters, n_bytes, &own->slab, &before, &own->offset_bytes);
    if (status != SY_OK) {
        own->slab = NULL;
        return status;
    }
    sy_adapter_weights **at = before != NULL ? &own_of(before)->next : &own->slab->first;
    own->n_bytes = n_bytes;
    own->next = *at;
    *at = weights;
    status = adapter_fill(weights, words);
    if (status != SY_OK) {
        place_drop(adapters, weights);
    }
    return status;
}

static sy_status adapter_take(sy_device *device, sy_adapter_weights *weights) {
    size_t n_words = (size_t)weights->n_pairs * GPU_PAIR_WORDS;
    uint32_t *words = kit_alloc(n_words * 4 + 4);
    if (words == NULL) {
        return kit_no_tables();
    }
    uint64_t n_bytes = adapter_lay(weights, words);
    sy_status status = n_bytes > 0 ? place_take(device->adapters, weights, n_bytes, words) : SY_OK;
    kit_release(words, n_words * 4 + 4);
    return status;
}

/* ---- the table of the ABI ---- */
sy_status gpu_adapter_create(sy_device *device, const sy_adapter_description *description,
                             uint64_t *out_bytes, sy_adapter_weights **out_weights) {
    sy_status status = atomic_load(&device->is_lost) ? gpu_lost(device) : SY_OK;
    status = status == SY_OK ? gpu_fault_of_creation(device) : status;
    status = status == SY_OK ? kit_adapter_check(description) : status;
    if (status != SY_OK) {
        return status;
    }
    gpu_retired_free(device);
    sy_adapter_weights *weights = kit_adapter_make(device, description, sizeof(adapter_own));
    if (weights == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for an adapter");
    }
    status = adapter_take(device, weights);
    if (status != SY_OK) {
        kit_adapter_free(weights, sizeof(adapter_own));
        return gpu_seen(device, status);
    }
    atomic_fetch_add(&device->live_handles, 1);
    *out_bytes = kit_adapter_bytes(weights, sizeof(adapter_own)) + own_of(weights)->n_bytes;
    *out_weights = weights;
    return SY_OK;
}

sy_status gpu_adapter_destroy(sy_adapter_weights *weights) {
    if (weights != NULL) {
        sy_device *device = weights->device;
        place_drop(device->adapters, weights);
        kit_adapter_free(weights, sizeof(adapter_own));
        atomic_fetch_sub(&device->live_handles, 1);
    }
    return SY_OK;
}
