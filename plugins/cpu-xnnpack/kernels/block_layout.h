/* SPDX-License-Identifier: Apache-2.0 */
/* Byte layout of the GGUF block types, little-endian, no padding. Blocks lie at any address, so
 * these structs are only read through offsets and memcpy. */
#ifndef CPU_BLOCK_LAYOUT_H
#define CPU_BLOCK_LAYOUT_H

#include <stdint.h>

#define CPU_CHUNK 32u /* elements that a kernel takes at once; every block is a multiple */

typedef struct block_q4_0 {
    uint16_t d;
    uint8_t qs[16];
} block_q4_0;
typedef struct block_q4_1 {
    uint16_t d, m;
    uint8_t qs[16];
} block_q4_1;
typedef struct block_q5_0 {
    uint16_t d;
    uint8_t qh[4], qs[16];
} block_q5_0;
typedef struct block_q5_1 {
    uint16_t d, m;
    uint8_t qh[4], qs[16];
} block_q5_1;
typedef struct block_q8_0 {
    uint16_t d;
    int8_t qs[32];
} block_q8_0;
typedef struct block_q2_k {
    uint8_t scales[16], qs[64];
    uint16_t d, dmin;
} block_q2_k;
typedef struct block_q3_k {
    uint8_t hmask[32], qs[64], scales[12];
    uint16_t d;
} block_q3_k;
typedef struct block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12], qs[128];
} block_q4_k;
typedef struct block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12], qh[32], qs[128];
} block_q5_k;
typedef struct block_q6_k {
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint16_t d;
} block_q6_k;
typedef struct block_iq4_nl {
    uint16_t d;
    uint8_t qs[16];
} block_iq4_nl;
typedef struct block_iq4_xs {
    uint16_t d, scales_h;
    uint8_t scales_l[4], qs[128];
} block_iq4_xs;
typedef struct block_mxfp4 {
    uint8_t e, qs[16];
} block_mxfp4;
typedef struct block_iq2_xxs {
    uint16_t d;
    uint8_t qs[64];
} block_iq2_xxs;
typedef struct block_iq2_xs {
    uint16_t d;
    uint8_t qs[64], scales[8];
} block_iq2_xs;
typedef struct block_iq2_s {
    uint16_t d;
    uint8_t qs[32], signs[32], qh[8], scales[8];
} block_iq2_s;
typedef struct block_iq3_xxs {
    uint16_t d;
    uint8_t qs[64], signs[32];
} block_iq3_xxs;
typedef struct block_iq3_s {
    uint16_t d;
    uint8_t qs[64], qh[8], signs[32], scales[4];
} block_iq3_s;
typedef struct block_iq1_s {
    uint16_t d;
    uint8_t qs[32], qh[16];
} block_iq1_s;
typedef struct block_iq1_m {
    uint8_t qs[32], qh[16], scales[8];
} block_iq1_m;
typedef struct block_tq1_0 {
    uint8_t qs[48], qh[4];
    uint16_t d;
} block_tq1_0;
typedef struct block_tq2_0 {
    uint8_t qs[64];
    uint16_t d;
} block_tq2_0;
typedef struct block_nvfp4 {
    uint8_t d[4], qs[32];
} block_nvfp4;
typedef struct block_q1_0 {
    uint16_t d;
    uint8_t qs[16];
} block_q1_0;
typedef struct block_q2_0 {
    uint16_t d;
    uint8_t qs[16];
} block_q2_0;

_Static_assert(sizeof(block_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(block_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(block_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(block_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(block_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(block_q2_k) == 84, "Q2_K");
_Static_assert(sizeof(block_q3_k) == 110, "Q3_K");
_Static_assert(sizeof(block_q4_k) == 144, "Q4_K");
_Static_assert(sizeof(block_q5_k) == 176, "Q5_K");
_Static_assert(sizeof(block_q6_k) == 210, "Q6_K");
_Static_assert(sizeof(block_iq4_nl) == 18, "IQ4_NL");
_Static_assert(sizeof(block_iq4_xs) == 136, "IQ4_XS");
_Static_assert(sizeof(block_mxfp4) == 17, "MXFP4");
_Static_assert(sizeof(block_iq2_xxs) == 66, "IQ2_XXS");
_Static_assert(sizeof(block_iq2_xs) == 74, "IQ2_XS");
_Static_assert(sizeof(block_iq2_s) == 82, "IQ2_S");
_Static_assert(sizeof(block_iq3_xxs) == 98, "IQ3_XXS");
_Static_assert(sizeof(block_iq3_s) == 110, "IQ3_S");
_Static_assert(sizeof(block_iq1_s) == 50, "IQ1_S");
_Static_assert(sizeof(block_iq1_m) == 56, "IQ1_M");
_Static_assert(sizeof(block_tq1_0) == 54, "TQ1_0");
_Static_assert(sizeof(block_tq2_0) == 66, "TQ2_0");
_Static_assert(sizeof(block_nvfp4) == 36, "NVFP4");
_Static_assert(sizeof(block_q1_0) == 18, "Q1_0");
_Static_assert(sizeof(block_q2_0) == 18, "Q2_0");

#endif
