/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) and a 64-bit FNV-1a for tables and plan hashes. */
#ifndef SY_BASE_DIGEST_H
#define SY_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* Digests n_blocks of 64 bytes into the state. */
typedef void (*sy__sha256_blocks)(uint32_t state[8], const uint8_t *bytes, size_t n_blocks);

typedef struct sy__sha256 {
    sy__sha256_blocks blocks; /* the fastest this CPU has; tests put sy__sha256_plain here */
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} sy__sha256;

void sy__sha256_init(sy__sha256 *sha);
void sy__sha256_update(sy__sha256 *sha, const void *bytes, size_t n_bytes);
void sy__sha256_final(sy__sha256 *sha, uint8_t out_digest[32]);
void sy__sha256_plain(uint32_t state[8], const uint8_t *bytes, size_t n_blocks);
/* The CPU's own instructions, or NULL where it has none. */
sy__sha256_blocks sy__sha256_hardware(void);
/* 64 lower-case hex digits and a NUL. */
void sy__digest_hex(const uint8_t digest[32], char out_hex[65]);

#define SY__FNV_START 14695981039346656037ull
uint64_t sy__fnv1a(uint64_t hash, const void *bytes, size_t n_bytes);

#endif
