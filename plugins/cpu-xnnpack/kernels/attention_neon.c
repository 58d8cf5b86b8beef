/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_neon.h"

#include "attention_tiles.h"
