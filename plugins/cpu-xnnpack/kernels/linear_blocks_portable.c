/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_portable.h"
#define CPU_PANEL_LAYER "panel_portable.h"
#include "linear_panel.h"
