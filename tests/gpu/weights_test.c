/* SPDX-License-Identifier: Apache-2.0 */
/* Constants on a device whose memory is the host's: what lies where, what is shared, how much is
 * copied, and what is left after a failure. */
#include "harness.h"
#include "tools/test_host.h"

#include "device.h"
#include "plugins/kit/types.h"
#include "weights.h"

#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)
#define PAGE 4096u

/* ---- the device ---- */
struct gpu_driver {
    bool is_mapped; /* the host sees its memory */
    bool refuses_imports;
    uint32_t n_creates, fails_at; /* create number fails_at (from 1) fails; 0 none */
    uint32_t n_live, n_imports, n_writes;
    uint64_t most_written; /* by one call */
};

struct gpu_memory {
    gpu_driver *driver;
    uint8_t *bytes;
    uint64_t n_bytes;
    bool is_imported;
};

static sy_status memory_new(gpu_driver *driver, uint8_t *bytes, uint64_t n_bytes,
                            gpu_memory **out_memory) {
    gpu_memory *memory = calloc(1, sizeof(*memory));
    CHECK(memory != NULL);
    *memory = (gpu_memory){driver, bytes, n_bytes, bytes != NULL};
    if (bytes == NULL) {
        memory->bytes = malloc(n_bytes);
        CHECK(memory->bytes != NULL);
        memset(memory->bytes, 0xcd, n_bytes);
    }
    driver->n_live++;
    *out_memory = memory;
    return SY_OK;
}

sy_status gpu_memory_create(gpu_driver *driver, uint64_t n_bytes, gpu_memory_use use,
                            gpu_memory **out_memory) {
    CHECK(use == GPU_MEMORY_DEVICE && n_bytes > 0);
    if (++driver->n_creates == driver->fails_at) {
        return kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "no memory");
    }
    return memory_new(driver, NULL, n_bytes, out_memory);
}

sy_status gpu_memory_import(gpu_driver *driver, void *pointer, uint64_t n_bytes,
                            gpu_memory **out_memory) {
    CHECK((uintptr_t)pointer % PAGE == 0 && n_bytes % PAGE == 0);
    if (driver->refuses_imports) {
        return kit_report(SY_UNIMPLEMENTED, SY_NO_VALUE, "not this memory");
    }
    driver->n_imports++;
    return memory_new(driver, pointer, n_bytes, out_memory);
}

void gpu_memory_destroy(gpu_memory *memory) {
    memory->driver->n_live--;
    if (!memory->is_imported) {
        free(memory->bytes);
    }
    free(memory);
}

void *gpu_memory_pointer(gpu_memory *memory) {
    return memory->driver->is_mapped || memory->is_imported ? memory->bytes : NULL;
}

sy_status gpu_memory_write(gpu_memory *memory, uint64_t offset_bytes, const void *bytes,
                           uint64_t n_bytes) {
    gpu_driver *driver = memory->driver;
    CHECK(offset_bytes + n_bytes <= memory->n_bytes);
    memcpy(memory->bytes + offset_bytes, bytes, n_bytes);
    driver->n_writes++;
    driver->most_written = n_bytes > driver->most_written ? n_bytes : driver->most_written;
    return SY_OK;
}

typedef struct world {
    sy_test_host host;
    gpu_driver driver;
    gpu_limits limits;
    sy_device device;
    uint8_t *bytes; /* of constants, at a page */
} world;

static void world_init(world *w, uint64_t n_bytes) {
    sy_error error;
    memset(w, 0, sizeof(*w));
    CHECK_OK(sy_test_host_init(&w->host, 2, &error));
    kit_host_set(&w->host.services);
    w->limits = (gpu_limits){.binding_most_bytes = 128 * MIB,
                             .memory_most_bytes = 256 * MIB,
                             .binding_alignment_bytes = 64,
                             .import_alignment_bytes = PAGE};
    w->device.driver = &w->driver;
    w->device.limits = &w->limits;
    n_bytes = (n_bytes + 2 * PAGE) / PAGE * PAGE;
    w->bytes = aligned_alloc(PAGE, n_bytes);
    CHECK(w->bytes != NULL);
    uint32_t state = 12345;
    for (uint64_t i = 0; i < n_bytes; i++) {
        state = state * 1664525u + 1013904223u;
        w->bytes[i] = (uint8_t)(state >> 24);
    }
}

/* Nothing is left of all constants. */
static void world_deinit(world *w) {
    CHECK(w->device.weights == NULL);
    CHECK_TEXT(w->driver.n_live == 0, "%u memories left", w->driver.n_live);
    CHECK_TEXT(w->host.n_live == 0, "%zu allocations left", w->host.n_live);
    sy_test_host_deinit(&w->host);
    free(w->bytes);
}

static gpu_weight *take(world *w, const gpu_constant *constant) {
    gpu_weight *weight = NULL;
    CHECK_TEXT(gpu_weight_take(&w->device, constant, false, &weight) == SY_OK, "%s",
               w->host.report);
    return weight;
}

/* ---- what lies where ---- */
static const uint8_t *plane(const gpu_weight_piece *piece, uint32_t i) {
    return piece->memory->bytes + piece->offset_bytes + 4 * (uint64_t)piece->plane_words[i];
}

/* Four-bit quants as in the block, and its scale. */
static void check_q4_0(const gpu_weight_piece *piece, const uint8_t *blocks, uint64_t n_blocks) {
    for (uint64_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = blocks + 18 * b;
        CHECK(memcmp(plane(piece, 1) + 2 * b, block, 2) == 0);
        CHECK(memcmp(plane(piece, 0) + 16 * b, block + 2, 16) == 0);
    }
}

static void check_q6_k(const gpu_weight_piece *piece, const uint8_t *blocks, uint64_t n_blocks) {
    for (uint64_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = blocks + 210 * b;
        CHECK(memcmp(plane(piece, 2) + 16 * b, block + 192, 16) == 0);
        CHECK(memcmp(plane(piece, 3) + 2 * b, block + 208, 2) == 0);
        for (uint64_t i = 0; i < 256; i++) {
            uint64_t half = i / 128, within = i % 128, e = i % 32, of_32 = 8 * b + i / 32;
            uint32_t byte = plane(piece, 0)[16 * of_32 + e % 16];
            uint32_t four = plane(piece, 1)[8 * of_32 + e % 4 + e / 16 * 4];
            uint32_t low = (uint32_t)block[half * 64 + within % 64] >> (within / 64 * 4) & 15u;
            uint32_t high =
                (uint32_t)block[128 + half * 32 + within % 32] >> (within / 32 * 2) & 3u;
            CHECK((byte >> (e / 16 * 4) & 15u) == low);
            CHECK((four >> (e % 16 / 4 * 2) & 3u) == high);
        }
    }
}

/* Pieces follow each other, fit in a binding, begin where one may begin. */
static void check_pieces(const world *w, const gpu_weight *weight) {
    uint64_t row = 0;
    for (uint32_t i = 0; i < weight->n_pieces; i++) {
        const gpu_weight_piece *piece = &weight->pieces[i];
        CHECK(piece->first_row == row && piece->n_rows > 0);
        CHECK(piece->n_bytes <= w->limits.binding_most_bytes);
        CHECK(piece->offset_bytes % w->limits.binding_alignment_bytes == 0);
        CHECK(piece->offset_bytes + piece->n_bytes <= piece->memory->n_bytes);
        for (uint32_t p = 0; p < 4; p++) {
            CHECK(piece->plane_words[p] % 4 == 0);
        }
        row += piece->n_rows;
    }
    CHECK(row == weight->constant.rows);
}

static void split_case(sy_element_type type, uint64_t rows, uint64_t columns, uint64_t limit,
                       bool is_mapped) {
    world w;
    uint64_t row_bytes = 0;
    CHECK(kit_type_row_bytes(type, columns, &row_bytes));
    world_init(&w, rows * row_bytes);
    w.limits.binding_most_bytes = limit;
    w.driver.is_mapped = is_mapped;
    gpu_constant constant = {w.bytes, type, gpu_weight_form_of(type), rows, columns};
    CHECK(constant.form == GPU_WEIGHT_SPLIT);
    gpu_weight *weight = take(&w, &constant);
    CHECK(weight->n_pieces >= rows * row_bytes / limit);
    CHECK(limit >= 2 * rows * row_bytes ? weight->n_pieces == 1 : weight->n_pieces > 1);
    check_pieces(&w, weight);
    for (uint32_t i = 0; i < weight->n_pieces; i++) {
        const gpu_weight_piece *piece = &weight->pieces[i];
        const uint8_t *blocks = w.bytes + piece->first_row * row_bytes;
        uint64_t n_blocks = piece->n_rows * columns / kit_type_block(type);
        (type == SY_TYPE_Q4_0 ? check_q4_0 : check_q6_k)(piece, blocks, n_blocks);
    }
    gpu_weight_counts counts = gpu_weight_count(&w.device);
    CHECK(is_mapped == (w.driver.n_writes == 0));
    CHECK((is_mapped ? counts.n_bytes_placed : counts.n_bytes_copied) == weight->n_bytes);
    gpu_weight_drop(&w.device, weight);
    world_deinit(&w);
}

static void blocks_become_planes(void) {
    for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
        split_case(SY_TYPE_Q4_0, 1, 32, MIB, is_mapped);
        split_case(SY_TYPE_Q4_0, 1001, 96, MIB, is_mapped);
        split_case(SY_TYPE_Q4_0, 1001, 96, PAGE, is_mapped);
        split_case(SY_TYPE_Q6_K, 131, 512, MIB, is_mapped);
        split_case(SY_TYPE_Q6_K, 131, 512, 3 * PAGE, is_mapped);
    }
}

static void raw_bytes_stay(void) {
    world w;
    world_init(&w, MIB);
    w.limits.binding_most_bytes = 64 << 10;
    gpu_constant constant = {w.bytes, SY_TYPE_F16, GPU_WEIGHT_RAW, 301, 1021};
    CHECK(gpu_weight_form_of(SY_TYPE_F16) == GPU_WEIGHT_RAW);
    gpu_weight *weight = take(&w, &constant);
    check_pieces(&w, weight);
    CHECK(weight->n_pieces > 1);
    for (uint32_t i = 0; i < weight->n_pieces; i++) {
        const gpu_weight_piece *piece = &weight->pieces[i];
        CHECK(memcmp(plane(piece, 0), w.bytes + piece->first_row * 2042, piece->n_rows * 2042) ==
              0);
    }
    gpu_weight_drop(&w.device, weight);
    world_deinit(&w);
}

/* ---- sharing ---- */
static void one_constant_lies_there_once(void) {
    world w;
    world_init(&w, MIB);
    gpu_constant constant = {w.bytes, SY_TYPE_Q4_0, GPU_WEIGHT_SPLIT, 512, 1024};
    gpu_weight *first = take(&w, &constant), *second = take(&w, &constant);
    CHECK(first == second && first->n_users == 2);
    gpu_constant other = constant;
    other.source += 18;
    gpu_weight *third = take(&w, &other);
    CHECK(third != first);
    gpu_weight_drop(&w.device, first);
    CHECK(gpu_weight_count(&w.device).n_bytes_copied == 2 * first->n_bytes);
    CHECK(take(&w, &constant) == second);
    gpu_weight_drop(&w.device, second);
    gpu_weight_drop(&w.device, second);
    CHECK(gpu_weight_count(&w.device).n_bytes_copied == third->n_bytes);
    gpu_weight_drop(&w.device, third);
    CHECK(gpu_weight_count(&w.device).n_bytes_copied == 0);
    world_deinit(&w);
}

static void small_constants_share_memory(void) {
    world w;
    gpu_weight *weights[100];
    world_init(&w, MIB);
    for (uint32_t i = 0; i < 100; i++) {
        gpu_constant constant = {w.bytes + 4 * i, SY_TYPE_F32, GPU_WEIGHT_PLAIN, 1, 101};
        weights[i] = take(&w, &constant);
        check_pieces(&w, weights[i]);
        CHECK(memcmp(plane(&weights[i]->pieces[0], 0), w.bytes + 4 * i, 404) == 0);
    }
    CHECK(w.driver.n_live == 1);
    for (uint32_t i = 0; i < 100; i++) { /* none wrote over another */
        CHECK(memcmp(plane(&weights[i]->pieces[0], 0), w.bytes + 4 * i, 404) == 0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        gpu_weight_drop(&w.device, weights[i]);
    }
    world_deinit(&w);
}

static void made_constants_are_never_shared(void) {
    world w;
    gpu_weight *first = NULL, *second = NULL;
    world_init(&w, MIB);
    w.limits.imports_host = w.limits.is_unified = true;
    gpu_constant constant = {w.bytes, SY_TYPE_F32, GPU_WEIGHT_PLAIN, 64, 1024};
    CHECK_OK(gpu_weight_make(&w.device, &constant, false, &first));
    CHECK_OK(gpu_weight_make(&w.device, &constant, false, &second));
    CHECK(first != second && w.driver.n_imports == 0); /* the bytes go away */
    gpu_weight_drop(&w.device, first);
    gpu_weight_drop(&w.device, second);
    world_deinit(&w);
}

/* ---- copies ---- */
static void uploads_take_little_host_memory(void) {
    static const sy_element_type types[] = {SY_TYPE_Q8_0, SY_TYPE_F32};
    for (uint32_t i = 0; i < 2; i++) {
        world w;
        world_init(&w, 40 * MIB);
        uint64_t columns = 1024, row_bytes = 0;
        CHECK(kit_type_row_bytes(types[i], columns, &row_bytes));
        gpu_constant constant = {w.bytes, types[i], gpu_weight_form_of(types[i]),
                                 40 * MIB / row_bytes, columns};
        gpu_weight *weight = take(&w, &constant);
        CHECK(weight->n_bytes > 39 * MIB);
        CHECK_TEXT(w.host.peak_bytes <= 17 * MIB, "%llu", (unsigned long long)w.host.peak_bytes);
        CHECK(w.driver.most_written <= 16 * MIB);
        gpu_weight_drop(&w.device, weight);
        world_deinit(&w);
    }
}

typedef struct import_case {
    uint64_t offset; /* of the constant behind a page */
    gpu_weight_form form;
    bool is_unified, refuses;
    uint64_t rows; /* of 4096 bytes */
    bool wanted;
    uint32_t rest_words;
} import_case;

static void mapped_files_are_imported(void) {
    static const import_case cases[] = {
        {0, GPU_WEIGHT_RAW, true, false, 64, true, 0},
        {64, GPU_WEIGHT_PLAIN, true, false, 64, true, 0},
        {96, GPU_WEIGHT_RAW, true, false, 64, true, 8},    /* a word offset is left */
        {96, GPU_WEIGHT_PLAIN, true, false, 64, false, 0}, /* that its kernels know nothing of */
        {100, GPU_WEIGHT_RAW, true, false, 64, false, 0},  /* four words are not aligned */
        {0, GPU_WEIGHT_RAW, false, false, 64, false, 0},   /* slow to reach */
        {0, GPU_WEIGHT_RAW, true, true, 64, false, 0},
        {0, GPU_WEIGHT_RAW, true, false, 2, false, 0}, /* small */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const import_case *c = &cases[i];
        world w;
        world_init(&w, MIB);
        w.limits.imports_host = true;
        w.limits.is_unified = w.driver.is_mapped = c->is_unified;
        w.driver.refuses_imports = c->refuses;
        gpu_constant constant = {w.bytes + c->offset, SY_TYPE_F32, c->form, c->rows, 1024};
        gpu_weight *weight = take(&w, &constant);
        const gpu_weight_piece *piece = &weight->pieces[0];
        CHECK_TEXT(piece->is_imported == c->wanted, "case %zu", i);
        CHECK_TEXT(piece->plane_words[0] == c->rest_words, "case %zu", i);
        CHECK(memcmp(plane(piece, 0), constant.source, c->rows * 4096) == 0);
        check_pieces(&w, weight);
        gpu_weight_counts counts = gpu_weight_count(&w.device);
        CHECK((counts.n_bytes_imported > 0) == c->wanted);
        CHECK((counts.n_bytes_copied > 0) == (!c->wanted && !c->is_unified));
        CHECK((counts.n_bytes_placed > 0) == (!c->wanted && c->is_unified));
        gpu_weight_drop(&w.device, weight);
        world_deinit(&w);
    }
}

static void dry_constants_take_no_memory(void) {
    world w;
    gpu_weight *dry = NULL;
    world_init(&w, MIB);
    gpu_constant constant = {w.bytes, SY_TYPE_Q4_0, GPU_WEIGHT_SPLIT, 512, 1024};
    CHECK_OK(gpu_weight_take(&w.device, &constant, true, &dry));
    CHECK(dry->n_bytes == 512 * 32 * 18 && w.driver.n_creates == 0 && w.device.weights == NULL);
    gpu_weight_drop(&w.device, dry);
    world_deinit(&w);
}

/* ---- failures ---- */
static void failures_leave_nothing(void) {
    for (uint32_t fails_at = 1; fails_at <= 4; fails_at++) {
        world w;
        gpu_weight *weight = NULL;
        world_init(&w, MIB);
        w.limits.binding_most_bytes = 300 << 10;
        w.driver.fails_at = fails_at;
        gpu_constant constant = {w.bytes, SY_TYPE_F32, GPU_WEIGHT_RAW, 256, 1024};
        sy_status status = gpu_weight_take(&w.device, &constant, false, &weight);
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && weight == NULL);
        world_deinit(&w);
    }
    for (uint64_t fails_at = 0; fails_at < 4; fails_at++) {
        world w;
        gpu_weight *weight = NULL;
        world_init(&w, MIB);
        w.host.fail_from = w.host.n_allocs + fails_at;
        w.host.fail_count = 1;
        gpu_constant constant = {w.bytes, SY_TYPE_Q4_0, GPU_WEIGHT_SPLIT, 8, 1024};
        sy_status status = gpu_weight_take(&w.device, &constant, false, &weight);
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && weight == NULL);
        world_deinit(&w);
    }
}

static void rows_longer_than_a_binding_are_refused(void) {
    world w;
    gpu_weight *weight = NULL;
    world_init(&w, MIB);
    w.limits.binding_most_bytes = PAGE;
    gpu_constant constant = {w.bytes, SY_TYPE_F32, GPU_WEIGHT_RAW, 2, 1024};
    sy_status status = gpu_weight_take(&w.device, &constant, false, &weight);
    CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && weight == NULL);
    CHECK(strstr(w.host.report, "4096") != NULL);
    constant.columns = 33; /* no whole blocks */
    constant.type = SY_TYPE_Q4_0;
    constant.form = GPU_WEIGHT_SPLIT;
    status = gpu_weight_take(&w.device, &constant, false, &weight);
    CHECK(SY_STATUS_CLASS(status) == SY_INVALID_ARGUMENT && weight == NULL);
    world_deinit(&w);
}

static const sy_test_case cases[] = {
    {"blocks_become_planes", blocks_become_planes},
    {"raw_bytes_stay", raw_bytes_stay},
    {"one_constant_lies_there_once", one_constant_lies_there_once},
    {"small_constants_share_memory", small_constants_share_memory},
    {"made_constants_are_never_shared", made_constants_are_never_shared},
    {"uploads_take_little_host_memory", uploads_take_little_host_memory},
    {"mapped_files_are_imported", mapped_files_are_imported},
    {"dry_constants_take_no_memory", dry_constants_take_no_memory},
    {"failures_leave_nothing", failures_leave_nothing},
    {"rows_longer_than_a_binding_are_refused", rows_longer_than_a_binding_are_refused},
};
SY_TEST_MAIN(cases)
