/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel has float acc[S4][..] and SHARED_FLOATS of S0 * S4. SUMS_OF_GROUP sums S4 floats,
 * acc[i][from], over the group; sum i ends in the invocations with LOCAL == i % S0, by `use`. */
#ifdef SUBGROUPS
#define SUMS_OF_GROUP(from, use)                                              \
    do {                                                                      \
        for (uint sum_r = 0u; sum_r < S4; sum_r++) {                          \
            acc[sum_r][from] = SUBGROUP_ADD(acc[sum_r][from]);                \
        }                                                                     \
        if (SUBGROUP_COUNT == 1u) {                                           \
            for (uint sum_r = 0u; sum_r < S4; sum_r++) {                      \
                if (LOCAL == sum_r % S0) {                                    \
                    use(sum_r, acc[sum_r][from]);                             \
                }                                                             \
            }                                                                 \
        } else {                                                              \
            for (uint sum_r = 0u; sum_r < S4; sum_r++) {                      \
                if (SUBGROUP_LANE == 0u) {                                    \
                    shared_f[SUBGROUP_INDEX * S4 + sum_r] = acc[sum_r][from]; \
                }                                                             \
            }                                                                 \
            BARRIER;                                                          \
            for (uint sum_r = LOCAL; sum_r < S4; sum_r += S0) {               \
                float sum_all = shared_f[sum_r];                              \
                for (uint sum_i = 1u; sum_i < SUBGROUP_COUNT; sum_i++) {      \
                    sum_all += shared_f[sum_i * S4 + sum_r];                  \
                }                                                             \
                use(sum_r, sum_all);                                          \
            }                                                                 \
            BARRIER;                                                          \
        }                                                                     \
    } while (false)
#else
#define SUMS_OF_GROUP(from, use)                                                          \
    do {                                                                                  \
        for (uint sum_r = 0u; sum_r < S4; sum_r++) {                                      \
            shared_f[sum_r * S0 + LOCAL] = acc[sum_r][from];                              \
        }                                                                                 \
        BARRIER;                                                                          \
        for (uint sum_n = S0 / 2u; sum_n > 0u; sum_n /= 2u) {                             \
            if (LOCAL < sum_n) {                                                          \
                for (uint sum_r = 0u; sum_r < S4; sum_r++) {                              \
                    shared_f[sum_r * S0 + LOCAL] += shared_f[sum_r * S0 + LOCAL + sum_n]; \
                }                                                                         \
            }                                                                             \
            BARRIER;                                                                      \
        }                                                                                 \
        for (uint sum_r = LOCAL; sum_r < S4; sum_r += S0) {                               \
            use(sum_r, shared_f[sum_r * S0]);                                             \
        }                                                                                 \
        BARRIER;                                                                          \
    } while (false)
#endif
