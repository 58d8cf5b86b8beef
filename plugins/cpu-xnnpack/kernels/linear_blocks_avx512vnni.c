/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_avx512.h"
#define CPU_PANEL_LAYER "panel_avx512.h"
#define CPU_PANEL_FAST "panel_fast_x86.h"
#define CPU_LANES_LAYER "lanes_avx512.h"
#include "linear_panel.h"
