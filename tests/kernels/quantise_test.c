/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised activations, and rows encoded for states, at every ISA level: what strange rows become,
 * and that a chunk of 32 stands for itself. */
#include "blocks.h"
#include "guarded.h"
#include "kernels.h"

#include <float.h>

#define N_CHUNKS 5
#define K (32 * N_CHUNKS)

typedef struct record {
    int q[32];
    cpu_record_end end;
} record;

static record record_at(const uint8_t *row, size_t c, cpu_planes planes) {
    const uint8_t *bytes = row + c * cpu_record_bytes(planes);
    record r;
    memcpy(&r.end, bytes + 32 * (size_t)planes, sizeof(r.end));
    for (int i = 0; i < 32; i++) {
        r.q[i] = (int8_t)bytes[i];
        CHECK(r.q[i] >= -127);
        if (planes == CPU_PLANES_16) {
            CHECK((int8_t)bytes[32 + i] >= -127);
            r.q[i] = CPU_PLANE_STEP * r.q[i] + (int8_t)bytes[32 + i];
        }
    }
    return r;
}

static void sums_are_right(const record *r) {
    int sum = 0, first = 0;
    for (int i = 0; i < 32; i++) {
        sum += r->q[i];
        first += i < 16 ? r->q[i] : 0;
    }
    CHECK(r->end.offset == -CPU_WEIGHT_ZERO * sum && r->end.offset_16 == -CPU_WEIGHT_ZERO * first);
    CHECK(isnan(r->end.scale) ? isnan(r->end.sum) : r->end.sum == r->end.scale * (float)sum);
}

static _Alignas(64) uint8_t row[K * 4], other[K * 4];

/* A chunk with an infinity or a NaN is NaN as a whole; its neighbours keep their bits. */
static void broken_chunks_stay_alone(const cpu_kernels *level, cpu_planes planes) {
    const float broken[] = {NAN, INFINITY, -INFINITY};
    const size_t n_bytes = cpu_record_bytes(planes);
    float x[K];
    random_floats(x, K, 5.0f);
    level->rows->quantise(x, K, planes, other);
    for (size_t at = 0; at < K; at += 3) {
        float kept = x[at];
        x[at] = broken[at % 3];
        level->rows->quantise(x, K, planes, row);
        x[at] = kept;
        for (size_t c = 0; c < N_CHUNKS; c++) {
            record r = record_at(row, c, planes);
            sums_are_right(&r);
            if (c == at / 32) {
                CHECK_TEXT(isnan(r.end.scale), "%s [%zu]", level->name, at);
            } else {
                CHECK(memcmp(row + c * n_bytes, other + c * n_bytes, n_bytes) == 0);
            }
        }
    }
}

static void zeros_are_zero(const cpu_kernels *level, cpu_planes planes) {
    const float zeros[] = {0.0f, -0.0f, 1e-45f, -1e-40f, FLT_MIN, 1e-31f};
    float x[K];
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
        for (size_t e = 0; e < K; e++) {
            x[e] = e % 2 == 0 ? zeros[i] : -zeros[i];
        }
        level->rows->quantise(x, K, planes, row);
        for (size_t c = 0; c < N_CHUNKS; c++) {
            record r = record_at(row, c, planes);
            CHECK(r.end.scale == 0.0f && r.end.sum == 0.0f);
            sums_are_right(&r);
            for (int e = 0; e < 32; e++) {
                CHECK_TEXT(r.q[e] == 0, "%s %g", level->name, (double)zeros[i]);
            }
        }
    }
}

/* From the smallest to the largest numbers: half a step of the chunk's scale, or below 1e-30. */
static void every_magnitude_is_close(const cpu_kernels *level, cpu_planes planes) {
    for (int exponent = -149; exponent <= 127; exponent++) {
        float x[K], size = ldexpf(1.0f, exponent);
        for (size_t i = 0; i < K; i++) {
            x[i] = random_float() * size * (i % 5 == 0 ? 1e-6f : 1.99999f);
        }
        level->rows->quantise(x, K, planes, row);
        for (size_t c = 0; c < N_CHUNKS; c++) {
            record r = record_at(row, c, planes);
            CHECK(isfinite(r.end.scale));
            sums_are_right(&r);
            for (int i = 0; i < 32; i++) {
                double error = fabs((double)r.end.scale * r.q[i] - (double)x[32 * c + (size_t)i]);
                CHECK_TEXT(error <= 0.505 * (double)r.end.scale || error <= 1.001e-30,
                           "%s 2^%d: %g becomes %g", level->name, exponent,
                           (double)x[32 * c + (size_t)i], (double)r.end.scale * r.q[i]);
            }
        }
    }
}

static void the_largest_number_is_kept(const cpu_kernels *level, cpu_planes planes) {
    float x[K] = {0.0f};
    x[3] = FLT_MAX;
    x[40] = -FLT_MAX;
    level->rows->quantise(x, K, planes, row);
    record first = record_at(row, 0, planes), second = record_at(row, 1, planes);
    int most = planes == CPU_PLANES_16 ? 32384 : 127;
    CHECK_TEXT(first.q[3] == most && second.q[8] == -most, "%s %d %d", level->name, first.q[3],
               second.q[8]);
    CHECK(isfinite(first.end.scale) && isfinite(second.end.scale));
}

/* Integers up to 127 and their halves' ties, symmetric around zero. */
static void signs_are_symmetric(const cpu_kernels *level, cpu_planes planes) {
    float x[K], minus[K];
    for (int i = 0; i < K; i++) {
        x[i] = i % 32 == 0 ? 127.0f : (float)i - 64.5f;
        minus[i] = -x[i];
    }
    level->rows->quantise(x, K, planes, row);
    level->rows->quantise(minus, K, planes, other);
    for (size_t c = 0; c < N_CHUNKS; c++) {
        record a = record_at(row, c, planes), b = record_at(other, c, planes);
        CHECK(a.end.scale == b.end.scale && a.end.sum == -b.end.sum);
        for (int i = 0; i < 32; i++) {
            CHECK_TEXT(a.q[i] == -b.q[i], "%s %d %d", level->name, a.q[i], b.q[i]);
        }
    }
}

static void whole_steps_are_exact(const cpu_kernels *level, cpu_planes planes) {
    float x[K];
    int most = planes == CPU_PLANES_16 ? 32384 : 127;
    for (int i = 0; i < K; i++) {
        int q = i % 32 == 7 ? -most : (int)(random_u32() % (2 * (unsigned)most + 1)) - most;
        x[i] = (float)q * 0x1p-9f;
    }
    level->rows->quantise(x, K, planes, row);
    for (size_t c = 0; c < N_CHUNKS; c++) {
        record r = record_at(row, c, planes);
        for (size_t i = 0; i < 32; i++) {
            CHECK_TEXT((float)r.q[i] * r.end.scale == x[32 * c + i], "%s planes %d: %g not %g",
                       level->name, (int)planes, (double)((float)r.q[i] * r.end.scale),
                       (double)x[32 * c + i]);
        }
    }
}

/* Any place in a row, any address, right before a page that cannot be touched. */
static void a_chunk_stands_for_itself(const cpu_kernels *level, cpu_planes planes) {
    const size_t n_bytes = cpu_record_bytes(planes);
    for (size_t shift = 0; shift < 64; shift += 4) {
        guarded input = guarded_make(K * 4 + shift), alone = guarded_make(32 * 4);
        float *x = (float *)(void *)input.bytes;
        random_floats(x, K, 3.0f);
        memset(row, 0xee, sizeof(row));
        level->rows->quantise(x, K, planes, row);
        CHECK(row[N_CHUNKS * n_bytes] == 0xee);
        for (size_t c = 0; c < N_CHUNKS; c++) {
            memcpy(alone.bytes, x + 32 * c, 32 * 4);
            level->rows->quantise((const float *)(const void *)alone.bytes, 32, planes, other);
            CHECK_TEXT(memcmp(other, row + c * n_bytes, n_bytes) == 0, "%s chunk %zu", level->name,
                       c);
        }
        guarded_free(&input);
        guarded_free(&alone);
    }
}

/* What goes into a state: the bytes of the reference, whatever stands in the row. */
static void states_take_anything(const cpu_kernels *level, cpu_planes planes) {
    const sy_element_type types[2] = {SY_TYPE_Q8_0, SY_TYPE_Q4_0};
    const float strange[] = {NAN,    INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 1e-45f,
                             1e-40f, -1e-38f,  6e4f,      9e6f,    -0.0f,    1e-9f};
    sy_element_type type = types[planes - 1];
    size_t n_bytes = N_CHUNKS * (type == SY_TYPE_Q8_0 ? 34 : 18);
    for (size_t i = 0; i < 4000; i++) {
        float x[K];
        float size = ldexpf(1.0f, (int)(random_u32() % 60) - 40);
        random_floats(x, K, size);
        for (size_t e = 0; i % 2 == 1 && e < K; e += 1 + random_u32() % 40) {
            x[e] = strange[random_u32() % (sizeof(strange) / sizeof(strange[0]))];
        }
        guarded out = guarded_make(n_bytes);
        CHECK_OK(sy__row_encode(type, x, K, other));
        level->blocks[type].encode(x, K, out.bytes);
        CHECK_TEXT(memcmp(out.bytes, other, n_bytes) == 0, "%s type %u row %zu", level->name, type,
                   i);
        guarded_free(&out);
    }
}

static void for_each(void (*test)(const cpu_kernels *, cpu_planes)) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    for (size_t i = 0; levels[i] != NULL; i++) {
        random_state = 5;
        test(levels[i], CPU_PLANES_8);
        test(levels[i], CPU_PLANES_16);
    }
}

#define CASE_OF(name)               \
    static void name##_case(void) { \
        for_each(name);             \
    }
CASE_OF(broken_chunks_stay_alone)
CASE_OF(zeros_are_zero)
CASE_OF(every_magnitude_is_close)
CASE_OF(the_largest_number_is_kept)
CASE_OF(signs_are_symmetric)
CASE_OF(whole_steps_are_exact)
CASE_OF(a_chunk_stands_for_itself)
CASE_OF(states_take_anything)

static const sy_test_case cases[] = {
    {"broken_chunks_stay_alone", broken_chunks_stay_alone_case},
    {"zeros_are_zero", zeros_are_zero_case},
    {"every_magnitude_is_close", every_magnitude_is_close_case},
    {"the_largest_number_is_kept", the_largest_number_is_kept_case},
    {"signs_are_symmetric", signs_are_symmetric_case},
    {"whole_steps_are_exact", whole_steps_are_exact_case},
    {"a_chunk_stands_for_itself", a_chunk_stands_for_itself_case},
    {"states_take_anything", states_take_anything_case},
};
SY_TEST_MAIN(cases)
