/* SPDX-License-Identifier: Apache-2.0 */
/* The round constants that every form of SHA-256 here shares. */
#ifndef SY_BASE_DIGEST_ROUNDS_H
#define SY_BASE_DIGEST_ROUNDS_H

#include <stdint.h>

extern const uint32_t sy__sha256_constants[64];

#endif
