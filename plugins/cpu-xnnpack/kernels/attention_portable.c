/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_portable.h"

#include "attention_tiles.h"
