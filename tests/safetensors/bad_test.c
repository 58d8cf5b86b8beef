/* SPDX-License-Identifier: Apache-2.0 */
/* Bad files: each header with its words of refusal, cuts at every byte, random damage, and memory
 * that runs out at every allocation. */
#include "safetensors_sample.h"

static sample_file file;

#define ONE(dtype, shape, offsets) \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t n_data;
    sy_status status;
    const char *words;
} bad[] = {
    {ONE("\"F32\"", "[2]", "[0,8]"), 7, SY_DATA_LOSS, "past the end"},
    {ONE("\"F32\"", "[2]", "[0,8]"), 9, SY_DATA_LOSS, "behind its last"},
    {ONE("\"F32\"", "[2]", "[1,9]"), 9, SY_DATA_LOSS, "gap"},
    {ONE("\"F32\"", "[2]", "[8,0]"), 8, SY_DATA_LOSS, "past the end"},
    {ONE("\"F32\"", "[2]", "[0,4]"), 8, SY_DATA_LOSS, "does not fit"},
    {ONE("\"F32\"", "[2]", "[0]"), 8, SY_DATA_LOSS, "data_offsets"},
    {ONE("\"F32\"", "[2]", "[0,-8]"), 8, SY_DATA_LOSS, "data_offsets"},
    {ONE("\"F32\"", "[2]", "[0,8.0]"), 8, SY_DATA_LOSS, "data_offsets"},
    {ONE("\"F32\"", "[2]", "[0,18446744073709551616]"), 8, SY_DATA_LOSS, "data_offsets"},
    {ONE("\"F32\"", "[-2]", "[0,8]"), 8, SY_DATA_LOSS, "no size"},
    {ONE("\"F32\"", "[\"2\"]", "[0,8]"), 8, SY_DATA_LOSS, "no size"},
    {ONE("\"F32\"", "2", "[0,8]"), 8, SY_DATA_LOSS, "no shape"},
    {ONE("\"F32\"", "[1099511627777]", "[0,8]"), 8, SY_OUT_OF_RANGE, "2^40"},
    {ONE("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, SY_OUT_OF_RANGE, "2^40"},
    {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, SY_OUT_OF_RANGE, "8 dimensions"},
    {ONE("\"F31\"", "[2]", "[0,8]"), 8, SY_UNIMPLEMENTED, "dtype"},
    {ONE("7", "[2]", "[0,8]"), 8, SY_UNIMPLEMENTED, "dtype"},
    {"{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, SY_DATA_LOSS, "no dtype"},
    {"{\"t\":7}", 0, SY_DATA_LOSS, "no JSON object"},
    {"{\"\":{}}", 0, SY_OUT_OF_RANGE, "127 bytes"},
    {"{\"a\\u0000b\":{}}", 0, SY_DATA_LOSS, "control characters"},
    {"{\"t\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"u\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     3, SY_DATA_LOSS, "overlaps"},
    {"{\"t\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"t\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     2, SY_DATA_LOSS, "comes twice"},
    {"[]", 0, SY_INVALID_ARGUMENT, "no safetensors"},
    {"{\"t\"", 0, SY_DATA_LOSS, "JSON"},
};

static void check_refusal(sy_status status, const sy_error *error) {
    CHECK(status != SY_OK && error->status == status);
    CHECK(strlen(error->message) > 10 && error->hint[0] != '\0');
}

static void refuses_bad_headers(void) {
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy_safetensors *s = NULL;
        sy_error error;
        sample_build(&file, bad[i].header, bad[i].n_data);
        sy_status status =
            sy_safetensors_open_memory(NULL, file.bytes, file.n_bytes, "bad", &s, &error);
        CHECK_TEXT(status == bad[i].status && strstr(error.message, bad[i].words) != NULL,
                   "%s: %u %s", bad[i].header, status, error.message);
        check_refusal(status, &error);
    }
}

static void refuses_bad_lengths(void) {
    static const uint64_t lengths[] = {0, 1, 5000, 1u << 27, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        sy_safetensors *s = NULL;
        sy_error error;
        sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
        memcpy(file.bytes, &lengths[i], 8);
        check_refusal(
            sy_safetensors_open_memory(NULL, file.bytes, file.n_bytes, "length", &s, &error),
            &error);
    }
}

/* Opens a copy of just these bytes, so that the sanitizer sees every read behind them. */
static sy_status open_exact(const uint8_t *bytes, size_t n_bytes, sy_error *error) {
    sy_safetensors *s = NULL;
    uint8_t *exact = malloc(n_bytes > 0 ? n_bytes : 1);
    CHECK(exact != NULL);
    memcpy(exact, bytes, n_bytes);
    sy_status status = sy_safetensors_open_memory(NULL, exact, n_bytes, "exact", &s, error);
    if (status == SY_OK) {
        sample_walk(s);
        sy_safetensors_close(s);
    }
    free(exact);
    return status;
}

static void refuses_every_cut(void) {
    sy_error error;
    sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
    for (size_t n = 0; n < file.n_bytes; n++) {
        check_refusal(open_exact(file.bytes, n, &error), &error);
    }
    CHECK_OK_ERROR(open_exact(file.bytes, file.n_bytes, &error), error);
}

static void survives_random_damage(void) {
    uint64_t state = 88172645463325252u;
    uint32_t n_refused = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        sy_error error;
        sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
        for (uint32_t k = 0; k <= i % 3; k++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            file.bytes[state % (file.n_bytes - SAMPLE_DATA_BYTES)] = (uint8_t)(state >> 32);
        }
        sy_status status = open_exact(file.bytes, file.n_bytes, &error);
        if (status != SY_OK) {
            check_refusal(status, &error);
            n_refused++;
        }
    }
    CHECK(n_refused > 10000 && n_refused < 20000);
}

/* An allocator that refuses call number `left`. */
typedef struct poor {
    uint32_t left, n_blocks;
} poor;

static void *poor_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                             size_t alignment) {
    poor *p = self;
    if (new_bytes > 0 && p->left-- == 0) {
        p->left = 0;
        return NULL;
    }
    const sy_allocator *heap = sy_allocator_heap();
    void *result = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment);
    p->n_blocks += pointer == NULL && result != NULL;
    p->n_blocks -= pointer != NULL && new_bytes == 0;
    return result;
}

static void survives_refused_memory(void) {
    sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
    for (uint32_t i = 0; i < 100; i++) {
        poor p = {.left = i};
        sy_allocator allocator = *sy_allocator_heap();
        allocator.self = &p;
        allocator.reallocate = poor_reallocate;
        sy_safetensors *s = NULL;
        sy_error error;
        sy_status status =
            sy_safetensors_open_memory(&allocator, file.bytes, file.n_bytes, "poor", &s, &error);
        if (status == SY_OK) {
            sy_safetensors_close(s);
            CHECK(p.n_blocks == 0 && i > 3);
            return;
        }
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && p.n_blocks == 0);
    }
    CHECK(0);
}

static const sy_test_case cases[] = {
    {"refuses_bad_headers", refuses_bad_headers},
    {"refuses_bad_lengths", refuses_bad_lengths},
    {"refuses_every_cut", refuses_every_cut},
    {"survives_random_damage", survives_random_damage},
    {"survives_refused_memory", survives_refused_memory},
};
SY_TEST_MAIN(cases)
