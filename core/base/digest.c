/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include "base/digest_rounds.h"

#include <string.h>

static uint32_t rotate(uint32_t value, unsigned n_bits) {
    return value >> n_bits | value << (32u - n_bits);
}

static uint32_t read_big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void expand_block(const uint8_t *block, uint32_t w[64]) {
    for (int t = 0; t < 16; t++) {
        w[t] = read_big_endian(block + 4 * t);
    }
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
}

/* One block of 64 bytes; letters as in FIPS 180-4, 6.2.2. */
static void digest_block(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64];
    expand_block(block, w);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + sy__sha256_constants[t] + w[t];
        uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void sy__sha256_plain(uint32_t state[8], const uint8_t *bytes, size_t n_blocks) {
    for (size_t i = 0; i < n_blocks; i++) {
        digest_block(state, bytes + 64 * i);
    }
}

void sy__sha256_init(sy__sha256 *sha) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(sha, 0, sizeof(*sha));
    memcpy(sha->state, start, sizeof(start));
    sha->blocks = sy__sha256_hardware();
    if (sha->blocks == NULL) {
        sha->blocks = sy__sha256_plain;
    }
}

void sy__sha256_update(sy__sha256 *sha, const void *bytes, size_t n_bytes) {
    const uint8_t *next = bytes;
    size_t n_held = (size_t)(sha->n_bytes % 64);
    sha->n_bytes += n_bytes;
    while (n_bytes > 0) {
        if (n_held == 0 && n_bytes >= 64) {
            size_t n_blocks = n_bytes / 64;
            sha->blocks(sha->state, next, n_blocks);
            next += 64 * n_blocks;
            n_bytes -= 64 * n_blocks;
            continue;
        }
        size_t n_taken = 64 - n_held < n_bytes ? 64 - n_held : n_bytes;
        memcpy(sha->block + n_held, next, n_taken);
        next += n_taken;
        n_bytes -= n_taken;
        n_held += n_taken;
        if (n_held == 64) {
            sha->blocks(sha->state, sha->block, 1);
            n_held = 0;
        }
    }
}

void sy__sha256_final(sy__sha256 *sha, uint8_t out_digest[32]) {
    uint64_t n_bits = sha->n_bytes * 8;
    size_t n_held = (size_t)(sha->n_bytes % 64);
    sha->block[n_held++] = 0x80;
    if (n_held > 56) {
        memset(sha->block + n_held, 0, 64 - n_held);
        sha->blocks(sha->state, sha->block, 1);
        n_held = 0;
    }
    memset(sha->block + n_held, 0, 56 - n_held);
    for (int i = 0; i < 8; i++) {
        sha->block[56 + i] = (uint8_t)(n_bits >> (56 - 8 * i));
    }
    sha->blocks(sha->state, sha->block, 1);
    for (int i = 0; i < 32; i++) {
        out_digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void sy__digest_hex(const uint8_t digest[32], char out_hex[65]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        out_hex[2 * i] = digits[digest[i] >> 4];
        out_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    out_hex[64] = '\0';
}

uint64_t sy__fnv1a(uint64_t hash, const void *bytes, size_t n_bytes) {
    const uint8_t *next = bytes;
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ next[i]) * 1099511628211ull;
    }
    return hash;
}
