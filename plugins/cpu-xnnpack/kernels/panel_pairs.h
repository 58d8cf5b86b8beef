/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of levels without integer dot products, whose sums of pairs are 16 bits: integers up to
 * 15 fit eight times, up to 63 twice; wide ones lend their sign to the activation and fit once,
 * since 2 * 128 * 127 < 32768. Included by a panel layer after its
 *   panel_vector      integers of its columns, four of each
 *   panel_load        of aligned bytes
 *   panel_four        four activations in every lane
 *   panel_pairs       products of w with x, pairs added
 *   panel_widen       pairs added to 32 bits
 *   panel_add         saturates, which these sums never do: compilers keep the order of such sums,
 *                     and another one would need more registers than there are
 */
#define PANEL_WIDE
#define PANEL_PAIRS
#define PANEL_STEPS 2
#define PANEL_ZERO(traits) (((traits)&TRAIT_WIDE) != 0 ? 0 : ((traits)&TRAIT_SMALL) != 0 ? 8 : 32)

typedef struct panel_weights {
    panel_vector w[2];
} panel_weights;

ALWAYS_INLINE panel_weights panel_weights_at(const uint8_t *values, unsigned stride,
                                             unsigned traits) {
    (void)traits;
    return (panel_weights){{panel_load(values), panel_load(values + stride)}};
}
/* The pairs of two steps of integers that fit twice. */
ALWAYS_INLINE vshorts panel_two(panel_weights w, const uint8_t *a) {
    return panel_add(panel_pairs(w.w[0], panel_four(a), 0),
                     panel_pairs(w.w[1], panel_four(a + 4), 0));
}
ALWAYS_INLINE vint panel_dot(vint sum, panel_weights w, const uint8_t *a, unsigned traits) {
    if ((traits & TRAIT_WIDE) != 0) {
        return sum + panel_widen(panel_pairs(w.w[0], panel_four(a), traits)) +
               panel_widen(panel_pairs(w.w[1], panel_four(a + 4), traits));
    }
    return sum + panel_widen(panel_two(w, a));
}
