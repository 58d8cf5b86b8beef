/* SPDX-License-Identifier: Apache-2.0 */
#include "vector_avx512.h"

#include "rows_float.h"
