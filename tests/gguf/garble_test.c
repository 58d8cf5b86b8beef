/* SPDX-License-Identifier: Apache-2.0 */
/* Files cut short anywhere and files with random damage: never a crash, each refusal a sentence. */
#include "gguf_sample.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Under ASan the bytes behind a cut are made unreadable instead of being copied away. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define HIDE(bytes, n_bytes) __asan_poison_memory_region((bytes), (n_bytes))
#define SHOW(bytes, n_bytes) __asan_unpoison_memory_region((bytes), (n_bytes))
#else
#define HIDE(bytes, n_bytes) ((void)0)
#define SHOW(bytes, n_bytes) ((void)0)
#endif

#define N_MUTATIONS 100000u
#define BATCH 1000u

static gguf_writer writer;

static void check_refusal(sy_status status, const sy_error *error, uint64_t n_bytes) {
    CHECK(status != SY_OK && error->status == status);
    CHECK(strlen(error->message) > 10 && error->hint[0] != '\0' && error->origin[0] != '\0');
    CHECK_TEXT(error->file_offset <= n_bytes, "offset %llu of %llu",
               (unsigned long long)error->file_offset, (unsigned long long)n_bytes);
}

/* End of the last tensor, or of the metadata: what a file cannot do without. */
static uint64_t needed_bytes(const sy_gguf *gguf) {
    uint64_t needed = sy_gguf_get_facts(gguf)->metadata_bytes;
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        uint64_t end = tensor.file_offset + tensor.n_bytes;
        needed = end > needed ? end : needed;
    }
    return needed;
}

static void cut_at(const uint8_t *bytes, uint64_t n, uint64_t needed) {
    sy_gguf *gguf = NULL;
    sy_error error;
    sy_status status = sy_gguf_open_memory(NULL, bytes, n, "cut", &gguf, &error);
    CHECK_TEXT((status == SY_OK) == (n >= needed), "cut at %llu of %llu", (unsigned long long)n,
               (unsigned long long)needed);
    if (status == SY_OK) {
        sy_gguf_close(gguf);
    } else {
        check_refusal(status, &error, n);
    }
}

/* Cuts at every `stride` bytes from the end, and at every byte of the first 4 KiB. */
static void cut_everywhere(uint8_t *bytes, uint64_t n_bytes, uint64_t stride) {
    sy_gguf *gguf = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, bytes, n_bytes, "whole", &gguf, &error), error);
    uint64_t needed = needed_bytes(gguf);
    sy_gguf_close(gguf);
    uint64_t n = n_bytes;
    while (n > 4096) {
        n = (n - 1) / stride * stride;
        HIDE(bytes + n, stride < n_bytes - n ? stride : n_bytes - n);
        cut_at(bytes, n, needed);
    }
    while (n > 0) {
        n--;
        HIDE(bytes + n, 1);
        cut_at(bytes, n, needed);
    }
    SHOW(bytes, n_bytes);
}

static void cut_shared(const char *name, uint64_t stride) {
    char path[512];
    struct stat facts;
    const char *folder = sy_test_shared_dir();
    if (folder == NULL) {
        SKIP("no shared data folder (SY_SHARED_DIR)");
    }
    snprintf(path, sizeof(path), "%s/data/%s", folder, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &facts) != 0) {
        SKIP("%s is absent", path);
    }
    size_t n_bytes = (size_t)facts.st_size;
    uint8_t *bytes = malloc(n_bytes);
    CHECK(bytes != NULL && read(fd, bytes, n_bytes) == (ssize_t)n_bytes);
    close(fd);
    cut_everywhere(bytes, n_bytes, stride);
    free(bytes);
}

static void refuses_cut_sample(void) {
    sample_build(&writer);
    uint8_t *bytes = malloc(writer.n_bytes);
    CHECK(bytes != NULL);
    memcpy(bytes, writer.bytes, writer.n_bytes);
    cut_everywhere(bytes, writer.n_bytes, 64);
    free(bytes);
}
static void refuses_cut_stories(void) {
    cut_shared("models/stories260k/stories260K-f32.gguf", 64);
}
static void refuses_cut_llama(void) {
    cut_shared("ref/models/llama-tiny-Q4_0.gguf", 64);
}
static void refuses_cut_qwen2(void) {
    cut_shared("ref/models/qwen2-tiny-Q4_K_M.gguf", 64);
}
static void refuses_cut_gemma3(void) {
    cut_shared("ref/models/gemma3-tiny-Q4_0.gguf", 64);
}
static void refuses_cut_vocabularies(void) {
    cut_shared("tokenizer/ggml-vocab-bert-bge.gguf", 4096);
}

/* xorshift64*: the same damage on every machine. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static const uint64_t odd_numbers[] = {0,
                                       1,
                                       2,
                                       8,
                                       9,
                                       12,
                                       13,
                                       32,
                                       64,
                                       127,
                                       128,
                                       255,
                                       65536,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       UINT64_C(1) << 61,
                                       UINT64_C(1) << 63,
                                       UINT64_MAX - 31,
                                       UINT64_MAX};

static size_t damage_once(uint8_t *bytes, size_t n_bytes, uint64_t *state) {
    uint64_t kind = next_random(state) % 8, where = next_random(state) % n_bytes;
    size_t left = n_bytes - (size_t)where;
    uint64_t odd = odd_numbers[next_random(state) % (sizeof(odd_numbers) / 8)];
    uint64_t length = 1 + next_random(state) % 64, from = next_random(state) % n_bytes;
    switch (kind) {
    case 0:
    case 1:
        bytes[where] ^= (uint8_t)(1u << next_random(state) % 8);
        break;
    case 2:
        bytes[where] = (uint8_t)next_random(state);
        break;
    case 3:
    case 4:
        memcpy(bytes + where, &odd, left < 8 ? left : 8);
        break;
    case 5:
        memcpy(bytes + where, &odd, left < 4 ? left : 4);
        break;
    case 6: /* repeats a piece elsewhere */
        length = length < left ? length : left;
        length = length < n_bytes - from ? length : n_bytes - from;
        memmove(bytes + where, bytes + from, length);
        break;
    default: /* drops a piece */
        length = length < left ? length : left;
        memmove(bytes + where, bytes + where + length, left - length);
        return n_bytes - length > 0 ? n_bytes - length : n_bytes;
    }
    return n_bytes;
}

/* One batch in its own process: a crash names its seed, a leak fails at exit. */
static void run_batch(uint32_t i_batch) {
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) * (i_batch + 1);
    uint32_t n_read = 0, n_refused = 0;
    sample_build(&writer);
    for (uint32_t i = 0; i < BATCH; i++) {
        uint8_t *bytes = malloc(writer.n_bytes);
        CHECK(bytes != NULL);
        memcpy(bytes, writer.bytes, writer.n_bytes);
        size_t n_bytes = writer.n_bytes;
        for (uint64_t n = 1 + next_random(&state) % 6; n > 0; n--) {
            n_bytes = damage_once(bytes, n_bytes, &state);
        }
        uint8_t *exact = realloc(bytes, n_bytes);
        CHECK(exact != NULL);
        sy_gguf *gguf = NULL;
        sy_error error;
        sy_status status = sy_gguf_open_memory(NULL, exact, n_bytes, "garbled", &gguf, &error);
        if (status == SY_OK) {
            n_read++;
            sample_walk(gguf);
            sy_gguf_close(gguf);
        } else {
            n_refused++;
            check_refusal(status, &error, n_bytes);
        }
        free(exact);
    }
    CHECK_TEXT(n_refused > BATCH / 10 && n_read > 0, "%u refused, %u read", n_refused, n_read);
}

static void survives_random_damage(void) {
    for (uint32_t i_batch = 0; i_batch < N_MUTATIONS / BATCH; i_batch++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            run_batch(i_batch);
            exit(0);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK_TEXT(status == 0, "batch %u, wait status %d", i_batch, status);
    }
}

static const sy_test_case cases[] = {
    {"refuses_cut_sample", refuses_cut_sample},
    {"refuses_cut_stories", refuses_cut_stories},
    {"refuses_cut_llama", refuses_cut_llama},
    {"refuses_cut_qwen2", refuses_cut_qwen2},
    {"refuses_cut_gemma3", refuses_cut_gemma3},
    {"refuses_cut_vocabularies", refuses_cut_vocabularies},
    {"survives_random_damage", survives_random_damage},
};
SY_TEST_MAIN(cases)
