/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_avx2.h"

#include "attention_tiles.h"
