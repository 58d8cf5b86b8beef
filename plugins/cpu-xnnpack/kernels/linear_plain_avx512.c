/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_avx512.h"

#include "linear_plain.h"
