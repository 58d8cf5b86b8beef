/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel shares in a group, read from its SPIR-V. */
#ifndef SPIRV_SHARED_H
#define SPIRV_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of all Workgroup variables with these constants, constant i being that of SpecId i. false:
 * the code holds something that is not understood here. */
bool spirv_shared_bytes(const uint32_t *words, size_t n_words, const uint32_t *constants,
                        uint32_t n_constants, uint64_t *out_bytes);

#endif
