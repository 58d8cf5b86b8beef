/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_sse41.h"

#include "linear_blocks.h"
