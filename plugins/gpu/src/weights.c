/* SPDX-License-Identifier: Apache-2.0 */
#include "weights.h"
#include "device.h"
#include "weights_split.h"

#include <string.h>

/* Constants of at most SMALL_BYTES lie together in slabs, since memory of its own is dear. */
#define SMALL_BYTES ((uint64_t)128 << 10)
#define SLAB_BYTES GPU_PIECE_OFFSET_MOST
#define STAGE_BYTES ((uint64_t)16 << 20)              /* of a constant in host memory at once */
#define ALIGNMENT 16u                                 /* of planes: kernels load four words */
#define PIECE_BYTES_MOST (((uint64_t)1 << 32) - 4096) /* kernels count words in 32 bits */
/* Pages of the host are imported for what fills some; smaller ones share theirs with anything. */
#define IMPORT_BYTES_LEAST ((uint64_t)64 << 10)
#define PAGE_BYTES 4096u

typedef struct gpu_weight_slab {
    struct gpu_weight_slab *next;
    gpu_memory *memory;
    uint64_t n_bytes_used;
    uint32_t n_users;
} gpu_weight_slab;

struct gpu_weights {
    gpu_weight *first;
    gpu_weight_slab *slabs; /* the first is being filled */
    gpu_weight_counts counts;
    uint32_t n_users; /* constants taken */
};

/* What the bytes of a constant are. */
typedef struct extent {
    const uint8_t *bytes;
    const gpu_planes *planes; /* NULL: one plane, the bytes as they are */
    bool is_plain;            /* that begins with the binding */
    uint64_t row_bytes, row_blocks;
} extent;

gpu_weight_form gpu_weight_form_of(sy_element_type type) {
    return gpu_planes_of(type) != NULL ? GPU_WEIGHT_SPLIT : GPU_WEIGHT_RAW;
}

static uint64_t round_up(uint64_t n, uint64_t to) {
    return (n + to - 1) / to * to;
}

static uint64_t round_down(uint64_t n, uint64_t to) {
    return n / to * to;
}

/* ---- where things go ---- */
/* Bytes of a piece of n_rows with its planes. */
static uint64_t piece_lay(const extent *e, uint64_t n_rows, uint32_t out_plane_words[4]) {
    uint64_t end = 0;
    memset(out_plane_words, 0, 4 * sizeof(*out_plane_words));
    if (e->planes == NULL) {
        return round_up(n_rows * e->row_bytes, ALIGNMENT);
    }
    for (uint32_t i = 0; i < e->planes->n; i++) {
        out_plane_words[i] = (uint32_t)(end / 4);
        end += round_up(n_rows * e->row_blocks * e->planes->plane_bytes[i], ALIGNMENT);
    }
    return end;
}

/* Rows of a piece, 0 where one is too long. */
static uint64_t rows_per_piece(const gpu_limits *limits, const extent *e, uint64_t rows) {
    uint64_t most = limits->binding_most_bytes;
    most = limits->memory_most_bytes < most ? limits->memory_most_bytes : most;
    most = PIECE_BYTES_MOST < most ? PIECE_BYTES_MOST : most;
    uint64_t slack = (uint64_t)GPU_PLANES_MAX * ALIGNMENT + limits->binding_alignment_bytes;
    uint64_t n = most > slack && e->row_bytes > 0 ? (most - slack) / e->row_bytes : 0;
    if (n >= rows || e->row_bytes == 0) {
        return rows;
    }
    return n > 32 ? round_down(n, 32) : n; /* pieces of whole tiles */
}

static bool extent_measure(const gpu_constant *constant, extent *out) {
    uint64_t n_bytes = 0;
    *out = (extent){.bytes = constant->source};
    out->planes = constant->form == GPU_WEIGHT_SPLIT ? gpu_planes_of(constant->type) : NULL;
    out->is_plain = constant->form == GPU_WEIGHT_PLAIN;
    if (!kit_type_row_bytes(constant->type, constant->columns, &out->row_bytes) ||
        (constant->form == GPU_WEIGHT_SPLIT && out->planes == NULL) ||
        __builtin_mul_overflow(constant->rows, out->row_bytes, &n_bytes)) {
        return false;
    }
    out->row_blocks = constant->columns / kit_type_block(constant->type);
    return n_bytes <= UINT64_MAX / 2;
}

static uint64_t weight_size(uint64_t n_pieces) {
    return sizeof(gpu_weight) + n_pieces * sizeof(gpu_weight_piece);
}

/* Cuts a constant into pieces that have no memory yet. */
static sy_status weight_new(const gpu_limits *limits, const gpu_constant *constant,
                            extent *out_extent, gpu_weight **out_weight) {
    if (!extent_measure(constant, out_extent)) {
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE,
                          "a constant of %llu rows of %llu elements of type %s has no size here",
                          (unsigned long long)constant->rows, (unsigned long long)constant->columns,
                          kit_type_name(constant->type));
    }
    uint64_t most = rows_per_piece(limits, out_extent, constant->rows);
    uint64_t n_pieces = most > 0 ? (constant->rows + most - 1) / most : 0;
    if (constant->rows > 0 && (most == 0 || n_pieces > UINT32_MAX)) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "a row of %llu bytes does not fit in a binding of %llu",
                          (unsigned long long)out_extent->row_bytes,
                          (unsigned long long)limits->binding_most_bytes);
    }
    gpu_weight *weight = kit_alloc(weight_size(n_pieces));
    if (weight == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for tables");
    }
    weight->constant = *constant;
    weight->n_users = 1;
    weight->n_pieces = (uint32_t)n_pieces;
    for (uint64_t i = 0; i < n_pieces; i++) {
        gpu_weight_piece *piece = &weight->pieces[i];
        piece->first_row = i * most;
        piece->n_rows = constant->rows - piece->first_row;
        piece->n_rows = piece->n_rows < most ? piece->n_rows : most;
        piece->n_bytes = piece_lay(out_extent, piece->n_rows, piece->plane_words);
        weight->n_bytes += piece->n_bytes;
    }
    *out_weight = weight;
    return SY_OK;
}

/* ---- memory of a piece ---- */
static sy_status slab_add(sy_device *device) {
    gpu_weight_slab *slab = kit_alloc(sizeof(*slab));
    if (slab == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for tables");
    }
    sy_status status =
        gpu_memory_create(device->driver, SLAB_BYTES, GPU_MEMORY_DEVICE, &slab->memory);
    if (status != SY_OK) {
        kit_release(slab, sizeof(*slab));
        return status;
    }
    slab->next = device->weights->slabs;
    device->weights->slabs = slab;
    return SY_OK;
}

static sy_status slab_take(sy_device *device, gpu_weight_piece *piece) {
    uint64_t alignment = device->limits->binding_alignment_bytes, at = 0;
    gpu_weight_slab *slab = device->weights->slabs;
    alignment = alignment > ALIGNMENT ? alignment : ALIGNMENT;
    at = slab != NULL ? round_up(slab->n_bytes_used, alignment) : 0;
    if (slab == NULL || at + piece->n_bytes > SLAB_BYTES) {
        sy_status status = slab_add(device);
        if (status != SY_OK) {
            return status;
        }
        slab = device->weights->slabs;
        at = 0;
    }
    slab->n_users++;
    slab->n_bytes_used = at + piece->n_bytes;
    piece->slab = slab;
    piece->memory = slab->memory;
    piece->offset_bytes = at;
    return SY_OK;
}

static void slab_drop(sy_device *device, gpu_weight_slab *slab) {
    if (--slab->n_users > 0) {
        return;
    }
    gpu_weight_slab **at = &device->weights->slabs;
    while (*at != slab) {
        at = &(*at)->next;
    }
    *at = slab->next;
    gpu_memory_destroy(slab->memory);
    kit_release(slab, sizeof(*slab));
}

/* The host's own pages, where kernels read them as fast as any and every load stays aligned. False
 * is no failure: the piece is copied then. */
static bool piece_import(sy_device *device, const extent *e, gpu_weight_piece *piece) {
    const gpu_limits *limits = device->limits;
    uint64_t page = limits->import_alignment_bytes;
    if (e->planes != NULL || !limits->imports_host || !limits->is_unified || page == 0 ||
        page > PAGE_BYTES || piece->n_bytes < IMPORT_BYTES_LEAST) {
        return false;
    }
    uintptr_t at = (uintptr_t)(e->bytes + piece->first_row * e->row_bytes);
    uintptr_t first = round_down(at, page);
    uintptr_t end = round_up(at + piece->n_rows * e->row_bytes, page);
    uint64_t offset = round_down(at - first, limits->binding_alignment_bytes);
    uint64_t rest = at - first - offset, n_bytes = piece->n_bytes + rest;
    if (rest % ALIGNMENT != 0 || (e->is_plain && rest != 0) || offset + n_bytes > end - first ||
        n_bytes > limits->binding_most_bytes || end - first > limits->memory_most_bytes ||
        gpu_memory_import(device->driver, (void *)first, end - first, &piece->memory) != SY_OK) {
        return false;
    }
    piece->is_imported = true;
    piece->offset_bytes = offset;
    piece->n_bytes = n_bytes;
    piece->plane_words[0] = (uint32_t)(rest / 4);
    return true;
}

/* ---- bytes of a piece ---- */
/* Blocks that are no whole words, cut in bounded host memory and written from there. */
static sy_status planes_write(const extent *e, const gpu_weight_piece *piece) {
    uint64_t n_blocks = piece->n_rows * e->row_blocks, block_bytes = e->row_bytes / e->row_blocks;
    uint64_t at_once = round_down(STAGE_BYTES / block_bytes, 64);
    at_once = n_blocks < at_once ? n_blocks : at_once;
    const uint8_t *bytes = e->bytes + piece->first_row * e->row_bytes;
    uint8_t *stage = kit_alloc_raw(at_once * block_bytes);
    if (stage == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory to upload a constant");
    }
    sy_status status = SY_OK;
    for (uint64_t first = 0; status == SY_OK && first < n_blocks; first += at_once) {
        uint64_t n = n_blocks - first < at_once ? n_blocks - first : at_once;
        uint8_t *targets[GPU_PLANES_MAX] = {stage};
        for (uint32_t i = 1; i < e->planes->n; i++) {
            targets[i] = targets[i - 1] + n * e->planes->plane_bytes[i - 1];
        }
        status = gpu_planes_split(e->planes, bytes + first * block_bytes, n, targets);
        for (uint32_t i = 0; status == SY_OK && i < e->planes->n; i++) {
            uint64_t plane_bytes = e->planes->plane_bytes[i];
            uint64_t at = piece->offset_bytes + 4 * (uint64_t)piece->plane_words[i];
            status = gpu_memory_write(piece->memory, at + first * plane_bytes, targets[i],
                                      n * plane_bytes);
        }
    }
    kit_release(stage, at_once * block_bytes);
    return status;
}

/* The same, cut where it stays. */
static sy_status planes_place(const extent *e, const gpu_weight_piece *piece, uint8_t *memory) {
    uint8_t *targets[GPU_PLANES_MAX] = {NULL};
    for (uint32_t i = 0; i < e->planes->n; i++) {
        targets[i] = memory + piece->offset_bytes + 4 * (uint64_t)piece->plane_words[i];
    }
    return gpu_planes_split(e->planes, e->bytes + piece->first_row * e->row_bytes,
                            piece->n_rows * e->row_blocks, targets);
}

static sy_status raw_write(const extent *e, const gpu_weight_piece *piece) {
    const uint8_t *bytes = e->bytes + piece->first_row * e->row_bytes;
    uint64_t n_bytes = piece->n_rows * e->row_bytes;
    sy_status status = SY_OK;
    for (uint64_t at = 0; status == SY_OK && at < n_bytes; at += STAGE_BYTES) {
        uint64_t n = n_bytes - at < STAGE_BYTES ? n_bytes - at : STAGE_BYTES;
        status = gpu_memory_write(piece->memory, piece->offset_bytes + at, bytes + at, n);
    }
    return status;
}

static uint64_t *counter_of(const sy_device *device, const gpu_weight_piece *piece) {
    gpu_weight_counts *counts = &device->weights->counts;
    if (piece->is_imported) {
        return &counts->n_bytes_imported;
    }
    bool is_seen = gpu_memory_pointer(piece->memory) != NULL;
    return is_seen ? &counts->n_bytes_placed : &counts->n_bytes_copied;
}

static sy_status piece_fill(sy_device *device, const extent *e, gpu_weight_piece *piece,
                            bool may_import) {
    sy_status status = SY_OK;
    if (!may_import || !piece_import(device, e, piece)) {
        status = piece->n_bytes <= SMALL_BYTES
                     ? slab_take(device, piece)
                     : gpu_memory_create(device->driver, piece->n_bytes, GPU_MEMORY_DEVICE,
                                         &piece->memory);
        uint8_t *pointer = status == SY_OK ? gpu_memory_pointer(piece->memory) : NULL;
        if (status == SY_OK && e->planes == NULL) {
            status = raw_write(e, piece);
        } else if (status == SY_OK && pointer != NULL) {
            status = planes_place(e, piece, pointer);
        } else if (status == SY_OK) {
            status = planes_write(e, piece);
        }
    }
    if (piece->memory != NULL) {
        *counter_of(device, piece) += piece->n_bytes;
    }
    return status;
}

static void piece_empty(sy_device *device, gpu_weight_piece *piece) {
    if (piece->memory == NULL) {
        return;
    }
    *counter_of(device, piece) -= piece->n_bytes;
    if (piece->slab != NULL) {
        slab_drop(device, piece->slab);
    } else {
        gpu_memory_destroy(piece->memory);
    }
}

/* ---- taking and dropping ---- */
bool gpu_constant_same(const gpu_constant *a, const gpu_constant *b) {
    return a->source == b->source && a->type == b->type && a->form == b->form &&
           a->rows == b->rows && a->columns == b->columns;
}

static gpu_weight *find(const sy_device *device, const gpu_constant *constant) {
    gpu_weight *weight = device->weights != NULL ? device->weights->first : NULL;
    while (weight != NULL && !gpu_constant_same(&weight->constant, constant)) {
        weight = weight->next;
    }
    return weight;
}

static sy_status weights_begin(sy_device *device) {
    if (device->weights == NULL) {
        device->weights = kit_alloc(sizeof(*device->weights));
    }
    if (device->weights == NULL) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory for tables");
    }
    device->weights->n_users++;
    return SY_OK;
}

static bool is_dry(const gpu_weight *weight) {
    return weight->n_pieces == 0 || weight->pieces[0].memory == NULL;
}

/* Also of one that is half made. */
static void weight_free(sy_device *device, gpu_weight *weight) {
    for (uint32_t i = 0; i < weight->n_pieces; i++) {
        piece_empty(device, &weight->pieces[i]);
    }
    kit_release(weight, weight_size(weight->n_pieces));
}

static void weights_end(sy_device *device) {
    if (--device->weights->n_users == 0) {
        kit_release(device->weights, sizeof(*device->weights));
        device->weights = NULL;
    }
}

/* is_lasting: the bytes stay where they are while the weight lives. */
static sy_status make(sy_device *device, const gpu_constant *constant, bool is_lasting, bool dry,
                      gpu_weight **out_weight) {
    extent e;
    gpu_weight *weight = NULL;
    sy_status status = weight_new(device->limits, constant, &e, &weight);
    if (status != SY_OK || dry || weight->n_pieces == 0) {
        *out_weight = weight;
        return status;
    }
    status = weights_begin(device);
    if (status != SY_OK) {
        weight_free(device, weight);
        return status;
    }
    for (uint32_t i = 0; status == SY_OK && i < weight->n_pieces; i++) {
        status = piece_fill(device, &e, &weight->pieces[i], is_lasting);
    }
    if (status != SY_OK) {
        weight_free(device, weight);
        weights_end(device);
        return status;
    }
    if (is_lasting) {
        weight->next = device->weights->first;
        device->weights->first = weight;
    } else {
        weight->constant.source = NULL;
    }
    *out_weight = weight;
    return SY_OK;
}

sy_status gpu_weight_take(sy_device *device, const gpu_constant *constant, bool dry,
                          gpu_weight **out_weight) {
    gpu_weight *weight = dry ? NULL : find(device, constant);
    if (weight == NULL) {
        return make(device, constant, true, dry, out_weight);
    }
    weight->n_users++;
    *out_weight = weight;
    return SY_OK;
}

sy_status gpu_weight_make(sy_device *device, const gpu_constant *constant, bool dry,
                          gpu_weight **out_weight) {
    return make(device, constant, false, dry, out_weight);
}

void gpu_weight_drop(sy_device *device, gpu_weight *weight) {
    if (weight == NULL || --weight->n_users > 0) {
        return;
    }
    if (is_dry(weight)) {
        kit_release(weight, weight_size(weight->n_pieces));
        return;
    }
    gpu_weight **at = &device->weights->first;
    while (*at != NULL && *at != weight) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = weight->next;
    }
    weight_free(device, weight);
    weights_end(device);
}

gpu_weight_counts gpu_weight_count(const sy_device *device) {
    return device->weights != NULL ? device->weights->counts : (gpu_weight_counts){0};
}
