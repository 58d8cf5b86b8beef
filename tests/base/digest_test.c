/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/digest.h"

static void digest_by(sy__sha256_blocks blocks, const void *bytes, size_t n_bytes,
                      const char *expected) {
    sy__sha256 sha;
    uint8_t digest[32];
    char hex[65];
    sy__sha256_init(&sha);
    sha.blocks = blocks != NULL ? blocks : sha.blocks;
    sy__sha256_update(&sha, bytes, n_bytes);
    sy__sha256_final(&sha, digest);
    sy__digest_hex(digest, hex);
    CHECK_TEXT(strcmp(hex, expected) == 0, "%s", hex);
}

/* By the C code and by the CPU's own instructions where there are any. */
static void digest_is(const void *bytes, size_t n_bytes, const char *expected) {
    digest_by(sy__sha256_plain, bytes, n_bytes, expected);
    digest_by(sy__sha256_hardware(), bytes, n_bytes, expected);
}

/* The examples of FIPS 180-4 and of the NIST test vectors. */
static void known_digests(void) {
    digest_is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    size_t n_bytes = 1000000;
    char *million = malloc(n_bytes);
    CHECK(million != NULL);
    memset(million, 'a', n_bytes);
    digest_is(million, n_bytes, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void pieces_do_not_matter(void) {
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        sy__sha256 whole, pieces;
        uint8_t digest_whole[32], digest_pieces[32];
        sy__sha256_init(&whole);
        whole.blocks = sy__sha256_plain; /* against the fastest form */
        sy__sha256_update(&whole, bytes, length);
        sy__sha256_final(&whole, digest_whole);
        sy__sha256_init(&pieces);
        for (size_t done = 0; done < length;) {
            size_t step = 1 + (done * 13) % 97;
            step = step < length - done ? step : length - done;
            sy__sha256_update(&pieces, bytes + done, step);
            done += step;
        }
        sy__sha256_final(&pieces, digest_pieces);
        CHECK_TEXT(memcmp(digest_whole, digest_pieces, 32) == 0, "length %zu", length);
    }
}

static void known_fnv1a(void) {
    CHECK(sy__fnv1a(SY__FNV_START, "", 0) == 0xcbf29ce484222325ull);
    CHECK(sy__fnv1a(SY__FNV_START, "a", 1) == 0xaf63dc4c8601ec8cull);
    CHECK(sy__fnv1a(SY__FNV_START, "foobar", 6) == 0x85944171f73967e8ull);
}

static const sy_test_case cases[] = {
    {"known_digests", known_digests},
    {"pieces_do_not_matter", pieces_do_not_matter},
    {"known_fnv1a", known_fnv1a},
};
SY_TEST_MAIN(cases)
