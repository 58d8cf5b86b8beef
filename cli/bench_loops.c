/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_loops.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* Twelve independent sums hide the latency of every instruction used here. */
#define SY_TWELVE(line)                                                                       \
    line("0") line("1") line("2") line("3") line("4") line("5") line("6") line("7") line("8") \
        line("9") line("10") line("11")

#if defined(__x86_64__)

#define SY_X86_CLOBBERS                                                                            \
    "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define SY_X86_LOOP(name, zero, body)                                                        \
    static void name(uint64_t turns) {                                                       \
        __asm__ volatile(SY_TWELVE(zero) zero("12") zero("13") ".p2align 5\n1:\n" SY_TWELVE( \
                             body) "sub $1, %0\n\tjnz 1b\n\t"                                \
                         : "+r"(turns)                                                       \
                         :                                                                   \
                         : SY_X86_CLOBBERS);                                                 \
    }
#define SY_X86_WIDE_LOOP(name, zero, body)                                                   \
    static void name(uint64_t turns) {                                                       \
        __asm__ volatile(SY_TWELVE(zero) zero("12") zero("13") ".p2align 5\n1:\n" SY_TWELVE( \
                             body) "sub $1, %0\n\tjnz 1b\n\t"                                \
                                   "vzeroupper\n\t"                                          \
                         : "+r"(turns)                                                       \
                         :                                                                   \
                         : SY_X86_CLOBBERS);                                                 \
    }

#define SY_ZERO_SSE(i) "pxor %%xmm" i ", %%xmm" i "\n\t"
#define SY_ZERO_AVX(i) "vpxor %%xmm" i ", %%xmm" i ", %%xmm" i "\n\t"
#define SY_FMA_SSE(i) \
    "movaps %%xmm12, %%xmm14\n\tmulps %%xmm13, %%xmm14\n\taddps %%xmm14, %%xmm" i "\n\t"
#define SY_FMA_AVX2(i) "vfmadd231ps %%ymm12, %%ymm13, %%ymm" i "\n\t"
#define SY_FMA_AVX512(i) "vfmadd231ps %%zmm12, %%zmm13, %%zmm" i "\n\t"
#define SY_DOT_SSE(i) \
    "movdqa %%xmm12, %%xmm14\n\tpmaddwd %%xmm13, %%xmm14\n\tpaddd %%xmm14, %%xmm" i "\n\t"
#define SY_DOT_AVX2(i)                         \
    "vpmaddubsw %%ymm12, %%ymm13, %%ymm14\n\t" \
    "vpmaddwd %%ymm12, %%ymm14, %%ymm15\n\t"   \
    "vpaddd %%ymm15, %%ymm" i ", %%ymm" i "\n\t"
#define SY_DOT_AVXVNNI(i) "%{vex%} vpdpbusd %%ymm12, %%ymm13, %%ymm" i "\n\t"
#define SY_DOT_AVX512(i) "vpdpbusd %%zmm12, %%zmm13, %%zmm" i "\n\t"

SY_X86_LOOP(fma_sse, SY_ZERO_SSE, SY_FMA_SSE)
SY_X86_LOOP(dot_sse, SY_ZERO_SSE, SY_DOT_SSE)
SY_X86_WIDE_LOOP(fma_avx2, SY_ZERO_AVX, SY_FMA_AVX2)
SY_X86_WIDE_LOOP(fma_avx512, SY_ZERO_AVX, SY_FMA_AVX512)
SY_X86_WIDE_LOOP(dot_avx2, SY_ZERO_AVX, SY_DOT_AVX2)
SY_X86_WIDE_LOOP(dot_avxvnni, SY_ZERO_AVX, SY_DOT_AVXVNNI)
SY_X86_WIDE_LOOP(dot_avx512, SY_ZERO_AVX, SY_DOT_AVX512)

/* CPUID leaf 7, subleaf 1, EAX bit 4; older compilers do not know the feature's name. */
static int has_avxvnni(void) {
    uint32_t a = 7, b = 0, c = 1, d = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return __builtin_cpu_supports("avx2") && (a & 1u << 4) != 0;
}

const sy_machine_loop *sy_machine_loop_int8(void) {
    static const sy_machine_loop loops[] = {{"vpdpbusd zmm", 12 * 64, dot_avx512},
                                            {"vpdpbusd ymm", 12 * 32, dot_avxvnni},
                                            {"vpmaddubsw ymm", 12 * 32, dot_avx2},
                                            {"pmaddwd xmm", 12 * 8, dot_sse}};
    if (__builtin_cpu_supports("avx512vnni")) {
        return &loops[0];
    }
    if (has_avxvnni()) {
        return &loops[1];
    }
    return __builtin_cpu_supports("avx2") ? &loops[2] : &loops[3];
}

const sy_machine_loop *sy_machine_loop_f32(void) {
    static const sy_machine_loop loops[] = {{"vfmadd231ps zmm", 12 * 16, fma_avx512},
                                            {"vfmadd231ps ymm", 12 * 8, fma_avx2},
                                            {"mulps + addps xmm", 12 * 4, fma_sse}};
    if (__builtin_cpu_supports("avx512f")) {
        return &loops[0];
    }
    return __builtin_cpu_supports("fma") ? &loops[1] : &loops[2];
}

/* Four loads a turn; `body` is one load from offset `at` into register `i`. The prefetch reaches
 * over the end of the 4 KiB page, where the hardware's own stops: 5-10 % of DRAM's rate. */
#define SY_READ(body, b)                                                                       \
    __asm__ volatile(".p2align 5\n1:\n\tprefetcht0 4096(%0)\n\t" body("0", "0") body("1", b)   \
                         body("2", "2*" b) body("3", "3*" b) "add $4*" b                       \
                                                             ", %0\n\tcmp %1, %0\n\tjb 1b\n\t" \
                     : "+r"(bytes)                                                             \
                     : "r"(end)                                                                \
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3")
#define SY_LOAD_SSE(i, at) "movdqa " at "(%0), %%xmm" i "\n\t"
#define SY_LOAD_AVX2(i, at) "vmovdqa " at "(%0), %%ymm" i "\n\t"
#define SY_LOAD_AVX512(i, at) "vmovdqa64 " at "(%0), %%zmm" i "\n\t"

void sy_machine_read_bytes(const uint8_t *bytes, size_t n_bytes) {
    const uint8_t *end = bytes + n_bytes;
    if (__builtin_cpu_supports("avx512f")) {
        SY_READ(SY_LOAD_AVX512, "64");
        __asm__ volatile("vzeroupper" ::: "memory");
    } else if (__builtin_cpu_supports("avx2")) {
        SY_READ(SY_LOAD_AVX2, "32");
        __asm__ volatile("vzeroupper" ::: "memory");
    } else {
        SY_READ(SY_LOAD_SSE, "16");
    }
}

#elif defined(__aarch64__)

#define SY_ARM_LOOP(name, body)                                                                \
    static void name(uint64_t turns) {                                                         \
        __asm__ volatile(".arch armv8.2-a+dotprod+i8mm\n\t" SY_TWELVE(SY_ZERO_ARM)             \
                             SY_ZERO_ARM("12") SY_ZERO_ARM("13") ".p2align 5\n1:\n" SY_TWELVE( \
                                 body) "subs %0, %0, #1\n\tb.ne 1b\n\t"                        \
                         : "+r"(turns)                                                         \
                         :                                                                     \
                         : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9",   \
                           "v10", "v11", "v12", "v13", "v14");                                 \
    }
#define SY_ZERO_ARM(i) "movi v" i ".4s, #0\n\t"
#define SY_FMA_ARM(i) "fmla v" i ".4s, v12.4s, v13.4s\n\t"
#define SY_DOT_NEON(i) "smull v14.8h, v12.8b, v13.8b\n\tsadalp v" i ".4s, v14.8h\n\t"
#define SY_DOT_SDOT(i) "sdot v" i ".4s, v12.16b, v13.16b\n\t"
#define SY_DOT_SMMLA(i) "smmla v" i ".4s, v12.16b, v13.16b\n\t"
SY_ARM_LOOP(fma_neon, SY_FMA_ARM)
SY_ARM_LOOP(dot_neon, SY_DOT_NEON)
SY_ARM_LOOP(dot_sdot, SY_DOT_SDOT)
SY_ARM_LOOP(dot_smmla, SY_DOT_SMMLA)

#define SY_HWCAP_DOTPROD (1ul << 20)
#define SY_HWCAP2_I8MM (1ul << 13)

const sy_machine_loop *sy_machine_loop_int8(void) {
    static const sy_machine_loop loops[] = {{"smmla", 12 * 32, dot_smmla},
                                            {"sdot", 12 * 16, dot_sdot},
                                            {"smull + sadalp", 12 * 8, dot_neon}};
    if ((getauxval(AT_HWCAP2) & SY_HWCAP2_I8MM) != 0) {
        return &loops[0];
    }
    return (getauxval(AT_HWCAP) & SY_HWCAP_DOTPROD) != 0 ? &loops[1] : &loops[2];
}

const sy_machine_loop *sy_machine_loop_f32(void) {
    static const sy_machine_loop loop = {"fmla", 12 * 4, fma_neon};
    return &loop;
}

void sy_machine_read_bytes(const uint8_t *bytes, size_t n_bytes) {
    const uint8_t *end = bytes + n_bytes;
    __asm__ volatile(".p2align 5\n1:\n\tldp q0, q1, [%0]\n\tldp q2, q3, [%0, #32]\n\t"
                     "ldp q4, q5, [%0, #64]\n\tldp q6, q7, [%0, #96]\n\tadd %0, %0, #128\n\t"
                     "cmp %0, %1\n\tb.lo 1b\n\t"
                     : "+r"(bytes)
                     : "r"(end)
                     : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7");
}

#else /* what a compiler makes of plain C: a lower bound, and called that */

static volatile uint64_t sink;

static void dot_plain(uint64_t turns) {
    uint32_t sums[12] = {0};
    for (uint64_t t = 0; t < turns; t++) {
        for (int i = 0; i < 12; i++) {
            sums[i] += (uint32_t)(uint8_t)(t + (uint64_t)i) * 3u;
        }
    }
    sink = sums[turns % 12];
}

static void fma_plain(uint64_t turns) {
    float sums[12] = {0};
    for (uint64_t t = 0; t < turns; t++) {
        for (int i = 0; i < 12; i++) {
            sums[i] = sums[i] * 0.5f + 1.0f;
        }
    }
    sink = (uint64_t)sums[turns % 12];
}

const sy_machine_loop *sy_machine_loop_int8(void) {
    static const sy_machine_loop loop = {"plain C (a lower bound)", 12, dot_plain};
    return &loop;
}

const sy_machine_loop *sy_machine_loop_f32(void) {
    static const sy_machine_loop loop = {"plain C (a lower bound)", 12, fma_plain};
    return &loop;
}

void sy_machine_read_bytes(const uint8_t *bytes, size_t n_bytes) {
    uint64_t sums[4] = {0};
    const uint64_t *words = (const uint64_t *)(const void *)bytes;
    for (size_t i = 0; i < n_bytes / 8; i += 4) {
        for (size_t j = 0; j < 4; j++) {
            sums[j] += words[i + j];
        }
    }
    sink = sums[0] + sums[1] + sums[2] + sums[3];
}

#endif
