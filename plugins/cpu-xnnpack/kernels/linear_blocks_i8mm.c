/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_neon.h"
#define CPU_PANEL_LAYER "panel_i8mm.h"
#define CPU_PANEL_FAST "panel_fast_arm.h"
#include "linear_panel.h"
