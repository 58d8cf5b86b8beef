/* SPDX-License-Identifier: Apache-2.0 */
/* Code books of the IQ block types, a byte for each element, element 0 in the lowest byte. */
#ifndef CPU_BLOCK_GRIDS_H
#define CPU_BLOCK_GRIDS_H

#include <stdint.h>

/* Magnitudes of 8 elements: 8, 25 or 43. */
extern const uint64_t cpu_grid_iq2_xxs[256], cpu_grid_iq2_xs[512], cpu_grid_iq2_s[1024];
/* Magnitudes of 4 elements. */
extern const uint32_t cpu_grid_iq3_xxs[256], cpu_grid_iq3_s[512];
/* 8 elements, each 8 * (element + 1): 0, 8 or 16. IQ1_S and IQ1_M. */
extern const uint64_t cpu_grid_iq1_s[2048];

#endif
