/* SPDX-License-Identifier: Apache-2.0 */
/* Which levels this machine can run, found out by cpuid or hwcap. */
#include "kernels.h"

#include <string.h>

#define DECLARE(level)                                                       \
    extern const cpu_type_kernels cpu_linear_blocks_##level[CPU_TYPE_TABLE]; \
    extern const cpu_type_kernels cpu_linear_plain_##level[CPU_TYPE_TABLE];  \
    extern const cpu_row_kernels cpu_rows_##level;
#define TABLE(level, int8, f32)                                          \
    static const cpu_kernels table_##level = {#level,                    \
                                              int8,                      \
                                              f32,                       \
                                              cpu_linear_blocks_##level, \
                                              cpu_linear_plain_##level,  \
                                              &cpu_rows_##level};

DECLARE(portable)
TABLE(portable, 8.0f, 8.0f)

#if defined(__x86_64__)
#include <cpuid.h>
DECLARE(avx2)
TABLE(avx2, 90.0f, 50.0f)
DECLARE(avx512vnni)
TABLE(avx512vnni, 160.0f, 80.0f)

typedef struct features {
    bool avx2, avx512vnni;
} features;

/* Registers that the operating system saves: XCR0. */
static uint32_t saved_registers(void) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static features features_read(void) {
    features f = {false, false};
    unsigned a = 0, b = 0, c = 0, d = 0, c1 = 0;
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if (__get_cpuid(1, &a, &b, &c1, &d) == 0 || (c1 & osxsave) == 0 ||
        __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) {
        return f;
    }
    uint32_t saved = saved_registers();
    const unsigned need = fma | avx | f16c, avx2 = 1u << 5;
    f.avx2 = (saved & 6u) == 6u && (c1 & need) == need && (b & avx2) != 0;
    const unsigned f_bit = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31, vnni = 1u << 11;
    const unsigned wide = f_bit | dq | bw | vl;
    f.avx512vnni = f.avx2 && (saved & 0xe6u) == 0xe6u && (b & wide) == wide && (c & vnni) != 0;
    return f;
}

static size_t levels_fill(const cpu_kernels **levels) {
    features f = features_read();
    size_t n = 0;
    if (f.avx512vnni) {
        levels[n++] = &table_avx512vnni;
    }
    if (f.avx2) {
        levels[n++] = &table_avx2;
    }
    return n;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
DECLARE(neon)
TABLE(neon, 20.0f, 16.0f)
DECLARE(dotprod)
TABLE(dotprod, 40.0f, 16.0f)

#define HWCAP_DOT_PRODUCT (1ul << 20)

static size_t levels_fill(const cpu_kernels **levels) {
    size_t n = 0;
    if ((getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT) != 0) {
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
    static const cpu_kernels *levels[8];
    if (__atomic_load_n(&levels[0], __ATOMIC_ACQUIRE) == NULL) { /* same answer by every thread */
        const cpu_kernels *found[8] = {NULL};
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
