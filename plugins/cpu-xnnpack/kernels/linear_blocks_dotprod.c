/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_neon.h"
#define CPU_PANEL_LAYER "panel_dotprod.h"
#include "linear_panel.h"
