/* SPDX-License-Identifier: Apache-2.0 */
/* Which levels this machine can run, found out by cpuid or hwcap. */
#include "kernels.h"

#include <string.h>

#define LEVELS_MOST 9 /* of one architecture */
#define DECLARE(level)                                                       \
    extern const cpu_type_kernels cpu_linear_blocks_##level[CPU_TYPE_TABLE]; \
    extern const cpu_type_kernels cpu_linear_plain_##level[CPU_TYPE_TABLE];  \
    extern const cpu_row_kernels cpu_rows_##level;                           \
    extern const cpu_attention_kernels cpu_attention_##level;
/* On x86 two thirds of what a core of Zen 5 gives (sy_kernels_bench, 512 rows from a cache), since
 * most are slower; on Arm by the instructions that LEVELS.md counts. */
#define TABLE(level, int8, f32)                                          \
    static const cpu_kernels table_##level = {#level,                    \
                                              int8,                      \
                                              f32,                       \
                                              cpu_linear_blocks_##level, \
                                              cpu_linear_plain_##level,  \
                                              &cpu_rows_##level,         \
                                              &cpu_attention_##level};

DECLARE(portable)
TABLE(portable, 3.5f, 3.5f)

#if defined(__x86_64__)
#include <cpuid.h>
DECLARE(sse41)
TABLE(sse41, 57.0f, 11.0f)
DECLARE(avx2)
TABLE(avx2, 150.0f, 67.0f)
DECLARE(avxvnni)
TABLE(avxvnni, 200.0f, 74.0f)
DECLARE(avx512)
TABLE(avx512, 300.0f, 120.0f)
DECLARE(avx512vnni)
TABLE(avx512vnni, 440.0f, 120.0f)
/* That one with other products of bf16 weights. */
extern const cpu_type_kernels cpu_linear_plain_avx512bf16[CPU_TYPE_TABLE];
static const cpu_kernels table_avx512bf16 = {"avx512bf16",
                                             440.0f,
                                             120.0f,
                                             cpu_linear_blocks_avx512vnni,
                                             cpu_linear_plain_avx512bf16,
                                             &cpu_rows_avx512vnni,
                                             &cpu_attention_avx512vnni};

typedef struct registers {
    uint32_t a, b, c, d;
} registers;

/* All bits clear for a leaf that the processor does not have. */
static registers cpuid(uint32_t leaf, uint32_t i_part) {
    registers r = {0, 0, 0, 0};
    if (__get_cpuid_count(leaf, i_part, &r.a, &r.b, &r.c, &r.d) == 0) {
        r = (registers){0, 0, 0, 0};
    }
    return r;
}

/* Registers that the operating system saves: XCR0. */
static uint32_t saved_registers(void) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool all_of(uint32_t word, uint32_t bits) {
    return (word & bits) == bits;
}

#define BIT(n) (1u << (n))
#define SAVED_AVX 0x06u
#define SAVED_AVX512 0xe6u

static size_t levels_fill(const cpu_kernels **levels) {
    registers one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
    const uint32_t ssse3 = BIT(9), fma = BIT(12), sse41 = BIT(19), popcnt = BIT(23),
                   osxsave = BIT(27), avx = BIT(28), f16c = BIT(29);
    const uint32_t f = BIT(16), dq = BIT(17), bw = BIT(30), vl = BIT(31);
    uint32_t saved = all_of(one.c, osxsave) ? saved_registers() : 0;
    bool has_avx2 =
        all_of(saved, SAVED_AVX) && all_of(one.c, fma | avx | f16c) && all_of(seven.b, BIT(5));
    size_t n = 0;
    if (has_avx2 && all_of(saved, SAVED_AVX512) && all_of(seven.b, f | dq | bw | vl)) {
        bool has_vnni = all_of(seven.c, BIT(11));
        if (has_vnni) {
            levels[n++] = &table_avx512vnni;
        }
        if (has_vnni && all_of(more.a, BIT(5))) { /* never the best: it rounds activations */
            levels[n++] = &table_avx512bf16;
        }
        levels[n++] = &table_avx512;
    }
    if (has_avx2 && all_of(more.a, BIT(4))) {
        levels[n++] = &table_avxvnni;
    }
    if (has_avx2) {
        levels[n++] = &table_avx2;
    }
    if (all_of(one.c, ssse3 | sse41 | popcnt)) {
        levels[n++] = &table_sse41;
    }
    return n;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
DECLARE(neon)
TABLE(neon, 20.0f, 16.0f)
DECLARE(dotprod)
TABLE(dotprod, 40.0f, 16.0f)
DECLARE(i8mm)
TABLE(i8mm, 80.0f, 16.0f)

#define HAS_DOT_PRODUCT (1ul << 20) /* of AT_HWCAP */
#define HAS_I8MM (1ul << 13)        /* of AT_HWCAP2 */

static size_t levels_fill(const cpu_kernels **levels) {
    bool dot_product = (getauxval(AT_HWCAP) & HAS_DOT_PRODUCT) != 0;
    size_t n = 0;
    if (dot_product && (getauxval(AT_HWCAP2) & HAS_I8MM) != 0) {
        levels[n++] = &table_i8mm;
    }
    if (dot_product) {
        levels[n++] = &table_dotprod;
    }
    levels[n++] = &table_neon;
    return n;
}
#else
static size_t levels_fill(const cpu_kernels **levels) {
    (void)levels;
    return 0;
}
#endif

const cpu_kernels *const *cpu_kernels_available(void) {
    static const cpu_kernels *levels[LEVELS_MOST + 1];
    if (__atomic_load_n(&levels[0], __ATOMIC_ACQUIRE) == NULL) { /* same answer by every thread */
        const cpu_kernels *found[LEVELS_MOST + 1] = {NULL};
        size_t n = levels_fill(found);
        found[n] = &table_portable;
        for (size_t i = n + 1; i-- > 0;) {
            __atomic_store_n(&levels[i], found[i], __ATOMIC_RELEASE);
        }
    }
    return levels;
}

const cpu_kernels *cpu_kernels_select(const char *name) {
    const cpu_kernels *const *levels = cpu_kernels_available();
    if (name == NULL || name[0] == '\0' || strcmp(name, "best") == 0) {
        return levels[0];
    }
    for (size_t i = 0; levels[i] != NULL; i++) {
        if (strcmp(levels[i]->name, name) == 0) {
            return levels[i];
        }
    }
    return NULL;
}
