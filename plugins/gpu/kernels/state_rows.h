/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of states, 64 in a block; the table of a state names its blocks. A row is a whole number of
 * 4 words: plain elements side by side, or of Q8_0 and Q4_0 all quants and then the f16 factors.
 */
#define STATE_BLOCK_ROWS 64u

/* First of the two words of sequence s and state i in a job of n_states (program.h). */
#define STATE_ENTRY(s, n_states, i) (W(5) + 2u * ((s) * (n_states) + (i)))
/* Number of the row at a position, over the slab: its block's number times 64, and the rest. */
#define STATE_ROW(tables, entry, position)                                                   \
    (tables[W(entry) + (position) / STATE_BLOCK_ROWS - W((entry) + 1u)] * STATE_BLOCK_ROWS + \
     (position) % STATE_BLOCK_ROWS)

/* Element c of a row of a block type with `width` elements, from the words of its quants and
 * factors. */
float quant_in(uint type, uint quants, uint factors, uint c) {
    float d = from_half(factors >> ((c >> 1) & 16u));
    float byte = TO_F(TO_I(quants << (24u - 8u * (c & 3u))) >> 24);
    uint nibble = (quants >> (8u * (c & 3u) + ((c >> 2) & 4u))) & 15u;
    float least = TO_F(nibble) - 8.0f;
    return d * (type == TYPE_Q8_0 ? byte : least);
}
/* Word of the quant of element c, and of its factor, behind the first word of a row. */
#define QUANT_WORD(type, c) ((type) == TYPE_Q8_0 ? (c) >> 2 : ((c) >> 5) * 4u + (((c)&15u) >> 2))
#define FACTOR_WORD(type, c, width) \
    (((type) == TYPE_Q8_0 ? (width) >> 2 : (width) >> 3) + ((c) >> 6))

#define IS_QUANT(type) ((type) == TYPE_Q8_0 || (type) == TYPE_Q4_0)
/* Element c of row number `row` in memory b: `stride` is the words of a row for block types, the
 * elements of a row for plain ones. */
#define ROW_NUMBER(b, type, row, stride, c, width)                                   \
    (IS_QUANT(type) ? quant_in(type, b[(row) * (stride) + QUANT_WORD(type, c)],      \
                               b[(row) * (stride) + FACTOR_WORD(type, c, width)], c) \
                    : NUMBER(b, type, (row) * (stride) + (c)))
