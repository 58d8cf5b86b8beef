/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_avx2.h"

#include "linear_blocks.h"
