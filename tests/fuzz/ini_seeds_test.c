/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fuzz target fuzz_ini over a fixed set of seeds and 40 000 changes of them by a fixed random
 * sequence. What the fuzzer checks for minutes, every test run checks for a second. With --write
 * FOLDER the seeds are written there instead, for the fuzzer to start from.
 */
#include "harness.h"

#include <stdbool.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

#define SEED_BYTES_MAX 65536u

static const char *const files[] = {"conf/default.ini", "conf/samples/arm-phone-npu.ini",
                                    "conf/samples/x86-mini-pc.ini",
                                    "plugins/cpu-xnnpack/plugin.ini"};
static const char *const texts[] = {
    "[order]\ndefault = cpu\n[budget]\ntotal = 1 MiB\n[runtime]\nthreads = 1\n",
    "[pin]\nnode.secret.1 = cpu-x\n[forbid]\nnode.* = npu\n[trust]\nplugins = cpu-x\n",
    "[plugin]\nname = a\nabi_min = 0.9\nneeded = lib*.so.?\n[options]\nus.* = time\n",
    "[delegate a]\nb = c\n[policy]\nbias.npu-acme = 0.5\nmargin_pct = 0.001\n"};

static size_t read_seed(uint32_t i_seed, uint8_t *out_bytes) {
    uint32_t n_files = sizeof(files) / sizeof(files[0]);
    out_bytes[0] = (uint8_t)(i_seed % 3);
    if (i_seed >= n_files) {
        size_t n = strlen(texts[i_seed - n_files]);
        memcpy(out_bytes + 1, texts[i_seed - n_files], n);
        return n + 1;
    }
    char path[512];
    const char *root = getenv("SY_SOURCE_DIR");
    CHECK(root != NULL);
    snprintf(path, sizeof(path), "%s/%s", root, files[i_seed]);
    FILE *file = fopen(path, "rb");
    CHECK_TEXT(file != NULL, "%s", path);
    size_t n = fread(out_bytes + 1, 1, SEED_BYTES_MAX - 1, file);
    fclose(file);
    return n + 1;
}

static uint32_t n_seeds(void) {
    return sizeof(files) / sizeof(files[0]) + sizeof(texts) / sizeof(texts[0]);
}

static uint64_t next_random(uint64_t *inout_state) {
    *inout_state = *inout_state * 6364136223846793005u + 1442695040888963407u;
    return *inout_state >> 33;
}

/* Few changes, mostly to bytes that mean something in an INI file. */
static size_t change(uint8_t *bytes, size_t n_bytes, uint64_t *inout_random) {
    static const char signs[] = "[]=\n\r #;,*?:-.\t\"09az\0\xff";
    uint64_t n_changes = 1 + next_random(inout_random) % 4;
    for (uint64_t i = 0; i < n_changes; i++) {
        size_t at = (size_t)(next_random(inout_random) % n_bytes);
        switch (next_random(inout_random) % 4) {
        case 0:
            bytes[at] = (uint8_t)next_random(inout_random);
            break;
        case 1:
            n_bytes = at > 0 ? at : 1;
            break;
        default:
            bytes[at] = (uint8_t)signs[next_random(inout_random) % (sizeof(signs) - 1)];
            break;
        }
    }
    return n_bytes;
}

static void seeds_and_changes_hold_the_promises(void) {
    static uint8_t seed[SEED_BYTES_MAX];
    uint64_t random = 42;
    for (uint32_t i = 0; i < n_seeds(); i++) {
        size_t n = read_seed(i, seed);
        for (uint8_t kind = 0; kind < 4; kind++) {
            seed[0] = kind;
            LLVMFuzzerTestOneInput(seed, n);
        }
        for (uint32_t round = 0; round < 5000; round++) {
            uint8_t *changed = malloc(n);
            memcpy(changed, seed, n);
            changed[0] = (uint8_t)(round % 3);
            size_t n_changed = change(changed, n, &random);
            uint8_t *exact = realloc(changed, n_changed);
            LLVMFuzzerTestOneInput(exact, n_changed);
            free(exact);
        }
    }
}

static int write_seeds(const char *folder) {
    static uint8_t seed[SEED_BYTES_MAX];
    for (uint32_t i = 0; i < n_seeds(); i++) {
        char path[512];
        size_t n = read_seed(i, seed);
        snprintf(path, sizeof(path), "%s/seed-%u", folder, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(seed, 1, n, file) != n) {
            return 1;
        }
        fclose(file);
    }
    return 0;
}

static const sy_test_case cases[] = {
    {"seeds_and_changes_hold_the_promises", seeds_and_changes_hold_the_promises},
};

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "--write") == 0) {
        return write_seeds(argv[2]);
    }
    return sy_test_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
