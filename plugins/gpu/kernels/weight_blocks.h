/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of weights of every type that kernels read, eight elements at a time. The kernel says, in
 * front of the include, what its pipeline knows:
 *   W_TYPE  element type
 *   RAGGED  1 where rows are no multiple of eight elements: plain types only
 * and binds the weights as b1. A row has n_units = (columns + 7) / 8 units; unit u holds elements
 * 8 u to 8 u + 7. The last one of a ragged row is filled up with zeros.
 *
 * Block types lie as src/weights.h and src/weights_split.h say. An element is scale * quant +
 * offset: a product takes the factors out of its sum.
 */

/* The bytes of a word, and its four lowest bits as the lowest of each byte. */
#define BYTES(w) (MAKE_U4(w, (w) >> 8, (w) >> 16, (w) >> 24) & 255u)
#define BITS_TO_BYTES(w) ((((w)&15u) * 0x00204081u) & 0x01010101u)

float signed_byte(uint w) {
    return TO_F(TO_I(w << 24) >> 24);
}

/* Table of IQ4_NL and IQ4_XS: -127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113. */
float iq4_value(uint q) {
    uint low = (q & 4u) != 0u ? 0xf6eaddcfu : 0xbfad9881u;
    uint high = (q & 4u) != 0u ? 0x71594535u : 0x26190d01u;
    return signed_byte(((q & 8u) != 0u ? high : low) >> ((q & 3u) * 8u));
}

F4 iq4_values(U4 q) {
    return MAKE_F4(iq4_value(q.x), iq4_value(q.y), iq4_value(q.z), iq4_value(q.w));
}

/* Twice an E2M1 number: 0 1 2 3 4 6 8 12 and their negatives. */
float e2m1_value(uint q) {
    float size = TO_F((0xc8643210u >> ((q & 7u) * 4u)) & 15u);
    return AS_F(AS_U(size) | (q & 8u) << 28);
}

F4 e2m1_values(U4 q) {
    return MAKE_F4(e2m1_value(q.x), e2m1_value(q.y), e2m1_value(q.z), e2m1_value(q.w));
}

/* Half of 2^(e - 127), for the doubled table. */
float half_of_e8m0(uint e) {
    uint tiny = 0x00200000u << (e & 1u), number = (e - 1u) << 23;
    return AS_F(e < 2u ? tiny : number);
}

F4 from_halves(uint first, uint second) {
    return MAKE_F4(from_half(first), from_half(first >> 16), from_half(second),
                   from_half(second >> 16));
}

F4 from_bf16s(uint first, uint second) {
    return MAKE_F4(AS_F(first << 16), AS_F(first & 0xffff0000u), AS_F(second << 16),
                   AS_F(second & 0xffff0000u));
}

/* Q4_K, Q5_K: six bits of scale, from bit 8 on six of minimum, of a group of 32; w1 to w3 are words
 * 1 to 3 of the block. */
uint k_scale_and_minimum(uint w1, uint w2, uint w3, uint group) {
    uint shift = (group & 3u) * 8u, both = w3 >> shift;
    uint first = ((w1 >> shift) & 63u) | ((w2 >> shift) & 63u) << 8;
    uint second = (both & 15u) | ((w1 >> (shift + 6u)) & 3u) << 4 | ((both >> 4) & 15u) << 8 |
                  ((w2 >> (shift + 6u)) & 3u) << 12;
    return group < 4u ? first : second;
}

/* Q3_K: scale of a group of 16. */
float q3_scale(uint w0, uint w1, uint w2, uint group) {
    uint shift = (group & 3u) * 8u;
    uint low = ((group & 4u) != 0u ? w1 : w0) >> (shift + (group >> 3) * 4u);
    uint high = w2 >> (shift + (group >> 2) * 2u);
    return TO_F((low & 15u) | (high & 3u) << 4) - 32.0f;
}

/* ---- plain elements, also of activations ---- */
/* Element i of a row that begins at element `first`, 0 past its end; nothing outside is read. */
#define RAGGED_WORD(first, i, type) (((first) + min(i, n_columns - 1u)) >> per_word_shift(type))
#define RAGGED_ELEMENT(b, type, word, first, i)                                                \
    ((i) < n_columns ? number_in(type, b[(word) + RAGGED_WORD(first, i, type)], (first) + (i)) \
                     : 0.0f)
#define RAGGED_FOUR(b, type, word, first, i)                \
    MAKE_F4(RAGGED_ELEMENT(b, type, word, first, i),        \
            RAGGED_ELEMENT(b, type, word, first, (i) + 1u), \
            RAGGED_ELEMENT(b, type, word, first, (i) + 2u), \
            RAGGED_ELEMENT(b, type, word, first, (i) + 3u))
/* Unit u of a row of memory b, whose rows begin at `word`, a multiple of four. */
#define PLAIN_UNIT(b, four_of_b, type, word, row, u, out_a, out_b)                 \
    do {                                                                           \
        if (RAGGED != 0u) {                                                        \
            uint plain_first = (row)*n_columns;                                    \
            out_a = RAGGED_FOUR(b, type, word, plain_first, (u)*8u);               \
            out_b = RAGGED_FOUR(b, type, word, plain_first, (u)*8u + 4u);          \
        } else if ((type) == TYPE_F32) {                                           \
            uint plain_at = ((word) >> 2) + 2u * ((row)*n_units + (u));            \
            out_a = AS_F4(four_of_b(plain_at));                                    \
            out_b = AS_F4(four_of_b(plain_at + 1u));                               \
        } else {                                                                   \
            U4 plain_words = four_of_b(((word) >> 2) + (row)*n_units + (u));       \
            out_a = (type) == TYPE_F16 ? from_halves(plain_words.x, plain_words.y) \
                                       : from_bf16s(plain_words.x, plain_words.y); \
            out_b = (type) == TYPE_F16 ? from_halves(plain_words.z, plain_words.w) \
                                       : from_bf16s(plain_words.z, plain_words.w); \
        }                                                                          \
    } while (false)

/* Four elements, number q of a row that is not ragged. */
#define PLAIN_QUAD(b, four_of_b, type, word, row, q, out)                                          \
    do {                                                                                           \
        if ((type) == TYPE_F32) {                                                                  \
            out = AS_F4(four_of_b(((word) >> 2) + 2u * (row)*n_units + (q)));                      \
        } else {                                                                                   \
            uint plain_at = (word) + 4u * (row)*n_units + 2u * (q);                                \
            uint plain_p = b[plain_at], plain_q = b[plain_at + 1u];                                \
            out =                                                                                  \
                (type) == TYPE_F16 ? from_halves(plain_p, plain_q) : from_bf16s(plain_p, plain_q); \
        }                                                                                          \
    } while (false)

/* ---- weights ---- */
/* What the macros below use: sizes and planes from word `i` on, n blocks of 32 elements, and the
 * unit that is taken out of one. */
#define WEIGHT_WORDS 6u
#define WEIGHT_BEGIN(i, n)                                                      \
    uint n_columns = P(i), n_units = P((i) + 1u);                               \
    uint plane_0 = P((i) + 2u), plane_1 = P((i) + 3u);                          \
    uint plane_2 = P((i) + 4u), plane_3 = P((i) + 5u);                          \
    U4 block_low[n], block_more[n], block_high[n];                              \
    float block_scale[n], block_scale_b[n], block_offset[n], block_offset_b[n]; \
    F4 unit_a, unit_b

/* Whether elements have offsets at all: their sum with x is needed then. */
#define HAS_OFFSETS                                                                              \
    (W_TYPE == TYPE_Q4_1 || W_TYPE == TYPE_Q5_1 || W_TYPE == TYPE_Q2_K || W_TYPE == TYPE_Q4_K || \
     W_TYPE == TYPE_Q5_K)
#define IS_PLAIN (W_TYPE == TYPE_F32 || W_TYPE == TYPE_F16 || W_TYPE == TYPE_BF16)
/* Whether each element is a byte once a block is loaded; else four words hold 32 nibbles. */
#define IS_BYTES                                                                                 \
    (W_TYPE == TYPE_Q8_0 || W_TYPE == TYPE_Q2_K || W_TYPE == TYPE_Q3_K || W_TYPE == TYPE_Q4_K || \
     W_TYPE == TYPE_Q5_K)
/* Whether the halves of a block have factors of their own. */
#define HAS_HALVES (W_TYPE == TYPE_Q2_K || W_TYPE == TYPE_Q3_K || W_TYPE == TYPE_Q6_K)

#define PLANE_HALF(plane, i) from_half(b1[(plane) + ((i) >> 1)] >> (((i)&1u) * 16u))
#define PLANE_BYTE(plane, i) ((b1[(plane) + ((i) >> 2)] >> (((i)&3u) * 8u)) & 255u)
/* Four words from any word on. */
#define FOUR_WORDS(at) MAKE_U4(b1[at], b1[(at) + 1u], b1[(at) + 2u], b1[(at) + 3u])
/* The two words of unit t out of four words of two units. */
#define WORD_A(words, t) (((t)&1u) != 0u ? words.z : words.x)
#define WORD_B(words, t) (((t)&1u) != 0u ? words.w : words.y)

/* The loaders below read block g of the piece into place i: from half h on, and both halves where
 * `all`. */
#define LOAD_PLANES(i, g)                                                   \
    do {                                                                    \
        block_low[i] = BINDING_1_4((plane_0 >> 2) + (g));                   \
        if (W_TYPE == TYPE_MXFP4) {                                         \
            block_scale[i] = half_of_e8m0(PLANE_BYTE(plane_1, g));          \
        } else if (W_TYPE == TYPE_Q5_0) {                                   \
            block_high[i].x = b1[plane_1 + (g)];                            \
            block_scale[i] = PLANE_HALF(plane_2, g);                        \
        } else if (W_TYPE == TYPE_Q6_K) {                                   \
            float load_scale = PLANE_HALF(plane_3, (g) >> 3);               \
            uint load_bytes = b1[plane_2 + ((g) >> 1)] >> (((g)&1u) * 16u); \
            block_high[i].x = b1[plane_1 + 2u * (g)];                       \
            block_high[i].y = b1[plane_1 + 2u * (g) + 1u];                  \
            block_scale[i] = load_scale * signed_byte(load_bytes);          \
            block_scale_b[i] = load_scale * signed_byte(load_bytes >> 8);   \
        } else {                                                            \
            block_scale[i] = PLANE_HALF(plane_1, g);                        \
        }                                                                   \
    } while (false)

#define LOAD_Q8_0(i, g, h, all)                                          \
    do {                                                                 \
        block_low[i] = BINDING_1_4((plane_0 >> 2) + 2u * (g) + (h));     \
        if (all) {                                                       \
            block_more[i] = BINDING_1_4((plane_0 >> 2) + 2u * (g) + 1u); \
        }                                                                \
        block_scale[i] = PLANE_HALF(plane_1, g);                         \
    } while (false)

/* Q4_1, Q5_1: blocks as they are. */
#define LOAD_WITH_MINIMUM(i, g)                                         \
    do {                                                                \
        uint load_at = plane_0 + (g) * (W_TYPE == TYPE_Q4_1 ? 5u : 6u); \
        uint load_factors = b1[load_at];                                \
        uint load_words = load_at + (W_TYPE == TYPE_Q4_1 ? 1u : 2u);    \
        block_low[i] = FOUR_WORDS(load_words);                          \
        if (W_TYPE == TYPE_Q5_1) {                                      \
            block_high[i].x = b1[load_at + 1u];                         \
        }                                                               \
        block_scale[i] = from_half(load_factors);                       \
        block_offset[i] = from_half(load_factors >> 16);                \
    } while (false)

/* Q4_K, Q5_K: 32 elements are a nibble of 32 bytes. */
#define LOAD_K(i, g, h, all)                                                                      \
    do {                                                                                          \
        uint load_group = (g)&7u, load_shift = (load_group & 1u) * 4u;                            \
        uint load_at = (plane_0 >> 2) + ((g) >> 3) * (W_TYPE == TYPE_Q4_K ? 9u : 11u);            \
        uint load_low = load_at + (W_TYPE == TYPE_Q4_K ? 1u : 3u) + (load_group >> 1) * 2u;       \
        U4 load_head = BINDING_1_4(load_at);                                                      \
        block_low[i] = (BINDING_1_4(load_low + (h)) >> load_shift) & 0x0f0f0f0fu;                 \
        if (all) {                                                                                \
            block_more[i] = (BINDING_1_4(load_low + 1u) >> load_shift) & 0x0f0f0f0fu;             \
        }                                                                                         \
        if (W_TYPE == TYPE_Q5_K) {                                                                \
            block_low[i] |= ((BINDING_1_4(load_at + 1u + (h)) >> load_group) & 0x01010101u) << 4; \
            if (all) {                                                                            \
                block_more[i] |= ((BINDING_1_4(load_at + 2u) >> load_group) & 0x01010101u) << 4;  \
            }                                                                                     \
        }                                                                                         \
        uint load_factors =                                                                       \
            k_scale_and_minimum(load_head.y, load_head.z, load_head.w, load_group);               \
        block_scale[i] = from_half(load_head.x) * TO_F(load_factors & 255u);                      \
        block_offset[i] = -from_half(load_head.x >> 16) * TO_F(load_factors >> 8);                \
    } while (false)

#define LOAD_Q2_K(i, g, h, all)                                                          \
    do {                                                                                 \
        uint load_at = plane_0 + ((g) >> 3) * 21u, load_shift = ((g)&3u) * 2u;           \
        uint load_words = load_at + 4u + (((g) >> 2) & 1u) * 8u;                         \
        uint load_factors = b1[load_at + 20u];                                           \
        uint load_scales = b1[load_at + (((g) >> 1) & 3u)] >> (((g)&1u) * 16u);          \
        float load_d = from_half(load_factors), load_m = -from_half(load_factors >> 16); \
        block_low[i] = (FOUR_WORDS(load_words + 4u * (h)) >> load_shift) & 0x03030303u;  \
        if (all) {                                                                       \
            block_more[i] = (FOUR_WORDS(load_words + 4u) >> load_shift) & 0x03030303u;   \
        }                                                                                \
        block_scale[i] = load_d * TO_F(load_scales & 15u);                               \
        block_offset[i] = load_m * TO_F((load_scales >> 4) & 15u);                       \
        block_scale_b[i] = load_d * TO_F((load_scales >> 8) & 15u);                      \
        block_offset_b[i] = load_m * TO_F((load_scales >> 12) & 15u);                    \
    } while (false)

#define LOAD_Q3_K(i, g, h, all)                                                               \
    do {                                                                                      \
        uint load_words = (plane_0 >> 2) + ((g) >> 3) * 4u + (((g) >> 2) & 1u) * 2u;          \
        uint load_high = (plane_1 >> 2) + ((g) >> 3) * 2u,                                    \
             load_scales = plane_2 + ((g) >> 3) * 3u;                                         \
        uint load_shift = ((g)&3u) * 2u, load_third = (g)&7u;                                 \
        uint load_s = b1[load_scales], load_t = b1[load_scales + 1u],                         \
             load_u = b1[load_scales + 2u];                                                   \
        float load_d = PLANE_HALF(plane_3, (g) >> 3);                                         \
        block_low[i] = ((BINDING_1_4(load_words + (h)) >> load_shift) & 0x03030303u) |        \
                       ((BINDING_1_4(load_high + (h)) >> load_third) & 0x01010101u) << 2;     \
        if (all) {                                                                            \
            block_more[i] = ((BINDING_1_4(load_words + 1u) >> load_shift) & 0x03030303u) |    \
                            ((BINDING_1_4(load_high + 1u) >> load_third) & 0x01010101u) << 2; \
        }                                                                                     \
        block_scale[i] = load_d * q3_scale(load_s, load_t, load_u, 2u * load_third);          \
        block_scale_b[i] = load_d * q3_scale(load_s, load_t, load_u, 2u * load_third + 1u);   \
    } while (false)

#define LOAD_IQ4_XS(i, g)                                                          \
    do {                                                                           \
        uint load_group = (g)&7u, load_at = plane_0 + ((g) >> 3) * 34u;            \
        uint load_words = load_at + 2u + load_group * 4u, load_head = b1[load_at]; \
        uint load_scales = ((b1[load_at + 1u] >> (load_group * 4u)) & 15u) |       \
                           ((load_head >> (16u + load_group * 2u)) & 3u) << 4;     \
        block_low[i] = FOUR_WORDS(load_words);                                     \
        block_scale[i] = from_half(load_head) * (TO_F(load_scales) - 32.0f);       \
    } while (false)

/* Loads a block of a row of the piece into place i: for one unit t, or for all four. Each word is
 * read once. Plain elements are read when they are taken. */
#define WEIGHT_LOAD(i, row, block, t, all)                       \
    do {                                                         \
        uint load_g = (row) * (n_units >> 2) + (block);          \
        uint load_h = (all) ? 0u : (t) >> 1;                     \
        if (W_TYPE == TYPE_Q8_0) {                               \
            LOAD_Q8_0(i, load_g, load_h, all);                   \
        } else if (W_TYPE == TYPE_Q4_1 || W_TYPE == TYPE_Q5_1) { \
            LOAD_WITH_MINIMUM(i, load_g);                        \
        } else if (W_TYPE == TYPE_Q4_K || W_TYPE == TYPE_Q5_K) { \
            LOAD_K(i, load_g, load_h, all);                      \
        } else if (W_TYPE == TYPE_Q2_K) {                        \
            LOAD_Q2_K(i, load_g, load_h, all);                   \
        } else if (W_TYPE == TYPE_Q3_K) {                        \
            LOAD_Q3_K(i, load_g, load_h, all);                   \
        } else if (W_TYPE == TYPE_IQ4_XS) {                      \
            LOAD_IQ4_XS(i, load_g);                              \
        } else if (!IS_PLAIN) {                                  \
            LOAD_PLANES(i, load_g);                              \
        }                                                        \
    } while (false)

/* Takes unit t out of place i: unit_a and unit_b, to be multiplied by UNIT_SCALE. */
#define WEIGHT_TAKE(i, row, block, t, all)                                                   \
    do {                                                                                     \
        if (IS_PLAIN) {                                                                      \
            uint take_u = 4u * (block) + (t);                                                \
            PLAIN_UNIT(b1, BINDING_1_4, W_TYPE, plane_0, row, take_u, unit_a, unit_b);       \
        } else if (IS_BYTES) {                                                               \
            bool take_more = (all) && (t) >= 2u;                                             \
            U4 take_words = take_more ? block_more[i] : block_low[i];                        \
            uint take_p = WORD_A(take_words, t), take_q = WORD_B(take_words, t);             \
            unit_a = W_TYPE == TYPE_Q8_0 ? SIGNED_BYTES_TO_F4(take_p) : BYTES_TO_F4(take_p); \
            unit_b = W_TYPE == TYPE_Q8_0 ? SIGNED_BYTES_TO_F4(take_q) : BYTES_TO_F4(take_q); \
        } else {                                                                             \
            uint take_p = (WORD_A(block_low[i], t) >> (((t) >> 1) * 4u)) & 0x0f0f0f0fu;      \
            uint take_q = (WORD_B(block_low[i], t) >> (((t) >> 1) * 4u)) & 0x0f0f0f0fu;      \
            if (W_TYPE == TYPE_Q5_0 || W_TYPE == TYPE_Q5_1) {                                \
                take_p |= BITS_TO_BYTES(block_high[i].x >> ((t)*8u)) << 4;                   \
                take_q |= BITS_TO_BYTES(block_high[i].x >> ((t)*8u + 4u)) << 4;              \
            } else if (W_TYPE == TYPE_Q6_K) {                                                \
                uint take_high =                                                             \
                    ((t) >= 2u ? block_high[i].y : block_high[i].x) >> (((t)&1u) * 4u);      \
                take_p |= (take_high & 0x03030303u) << 4;                                    \
                take_q |= ((take_high >> 2) & 0x03030303u) << 4;                             \
            }                                                                                \
            if (W_TYPE == TYPE_IQ4_NL || W_TYPE == TYPE_IQ4_XS) {                            \
                unit_a = iq4_values(BYTES(take_p));                                          \
                unit_b = iq4_values(BYTES(take_q));                                          \
            } else if (W_TYPE == TYPE_MXFP4) {                                               \
                unit_a = e2m1_values(BYTES(take_p));                                         \
                unit_b = e2m1_values(BYTES(take_q));                                         \
            } else {                                                                         \
                unit_a = BYTES_TO_F4(take_p);                                                \
                unit_b = BYTES_TO_F4(take_q);                                                \
            }                                                                                \
        }                                                                                    \
        if (ZERO_QUANT != 0.0f) {                                                            \
            unit_a = unit_a - ZERO_QUANT;                                                    \
            unit_b = unit_b - ZERO_QUANT;                                                    \
        }                                                                                    \
    } while (false)
/* What quant stands for zero. */
#define ZERO_QUANT                 \
    (W_TYPE == TYPE_Q4_0   ? 8.0f  \
     : W_TYPE == TYPE_Q5_0 ? 16.0f \
     : W_TYPE == TYPE_Q6_K ? 32.0f \
     : W_TYPE == TYPE_Q3_K ? 4.0f  \
                           : 0.0f)
#define UNIT_SCALE(i, t) (HAS_HALVES && (t) >= 2u ? block_scale_b[i] : block_scale[i])
#define UNIT_OFFSET(i, t) (HAS_HALVES && (t) >= 2u ? block_offset_b[i] : block_offset[i])

/* The elements of unit u of a row, through place 0. */
#define WEIGHT_UNIT_VALUES(row, u)                                            \
    do {                                                                      \
        WEIGHT_LOAD(0, row, (u) >> 2, (u)&3u, false);                         \
        WEIGHT_TAKE(0, row, (u) >> 2, (u)&3u, false);                         \
        if (HAS_OFFSETS) {                                                    \
            unit_a = unit_a * UNIT_SCALE(0, (u)&3u) + UNIT_OFFSET(0, (u)&3u); \
            unit_b = unit_b * UNIT_SCALE(0, (u)&3u) + UNIT_OFFSET(0, (u)&3u); \
        } else if (!IS_PLAIN) {                                               \
            unit_a = unit_a * UNIT_SCALE(0, (u)&3u);                          \
            unit_b = unit_b * UNIT_SCALE(0, (u)&3u);                          \
        }                                                                     \
    } while (false)
