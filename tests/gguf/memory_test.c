/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: every allocation refused in turn, and the bound of three times the metadata. */
#include "gguf_sample.h"

typedef struct failing {
    sy_allocator allocator;
    uint64_t n_calls, live_bytes;
    uint64_t fail_at; /* call number that is refused; 0 none */
    int persistent;   /* all later calls too */
} failing;

static void *failing_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                                size_t alignment) {
    failing *state = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0) {
        state->n_calls++;
        int hit = state->fail_at != 0 && (state->n_calls == state->fail_at ||
                                          (state->persistent && state->n_calls > state->fail_at));
        if (hit) {
            return NULL;
        }
    }
    void *moved = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment);
    if (new_bytes == 0 || moved != NULL) {
        state->live_bytes += new_bytes - (pointer != NULL ? old_bytes : 0);
    }
    return moved;
}

static gguf_writer writer;

static void fail_every_call(int persistent) {
    uint64_t n_failures = 0;
    for (uint64_t i = 1;; i++) {
        failing state = {.fail_at = i, .persistent = persistent};
        state.allocator = (sy_allocator){failing_reallocate, &state};
        sy_gguf *gguf = NULL;
        sy_error error;
        sy_status status = sy_gguf_open_memory(&state.allocator, writer.bytes, writer.n_bytes,
                                               "memory", &gguf, &error);
        if (status == SY_OK) {
            CHECK(state.n_calls < i);
            sy_gguf_close(gguf);
            CHECK(state.live_bytes == 0);
            break;
        }
        n_failures++;
        CHECK(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED && gguf == NULL);
        CHECK(error.message[0] != '\0' && error.hint[0] != '\0');
        CHECK_TEXT(state.live_bytes == 0, "%llu bytes leaked",
                   (unsigned long long)state.live_bytes);
        state.fail_at = 0; /* the same call succeeds once there is memory */
        CHECK_OK(sy_gguf_open_memory(&state.allocator, writer.bytes, writer.n_bytes, "again", &gguf,
                                     &error));
        sy_gguf_close(gguf);
    }
    CHECK_TEXT(n_failures >= 8, "only %llu failures", (unsigned long long)n_failures);
}

static void survives_refused_memory(void) {
    sample_build(&writer);
    fail_every_call(0);
    fail_every_call(1);
}

/* Opens the written file and compares the peak with three times its metadata. */
static void check_bound(const char *what) {
    sy_budget budget;
    sy_gguf *gguf = NULL;
    sy_error error;
    sy_budget_init(&budget, NULL, 0);
    CHECK_OK_ERROR(
        sy_gguf_open_memory(&budget.allocator, writer.bytes, writer.n_bytes, what, &gguf, &error),
        error);
    uint64_t bound = 3 * sy_gguf_get_facts(gguf)->metadata_bytes + 1024;
    CHECK_TEXT(budget.peak_bytes <= bound, "%s: peak %llu, bound %llu", what,
               (unsigned long long)budget.peak_bytes, (unsigned long long)bound);
    sy_gguf_close(gguf);
    CHECK(budget.used_bytes == 0);
}

/* The smallest entries there are cost the most memory per byte of file. */
static void bounds_memory_of_small_entries(void) {
    char name[16];
    writer_header(&writer, 0, 65536);
    for (uint32_t i = 0; i < 65536; i++) {
        snprintf(name, sizeof(name), "%x", i ^ 0x5555u);
        writer_key_number(&writer, name, SY_GGUF_U8, "", 1);
    }
    check_bound("keys");
    writer_header(&writer, 0, 2);
    for (uint32_t k = 0; k < 2; k++) {
        writer_key_array(&writer, k == 0 ? "a" : "b", SY_GGUF_STRING, 100000 + k);
        for (uint32_t i = 0; i < 100000 + k; i++) {
            writer_u64(&writer, 0);
        }
    }
    check_bound("strings");
    writer_header(&writer, 65536, 0);
    for (uint32_t i = 0; i < 65536; i++) {
        snprintf(name, sizeof(name), "%x", i ^ 0x5555u);
        writer_tensor(&writer, name, 1, (const uint64_t[]){1}, SY_TYPE_I8, UINT64_C(32) * i);
    }
    writer_align(&writer, 32);
    sy_gguf *gguf = NULL;
    sy_error error;
    CHECK(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "tensors", &gguf, &error) ==
          SY_DATA_LOSS); /* 2 MiB of data are missing */
    uint32_t n = 25000;
    memcpy(writer.bytes + writer_find(&writer, "header.n_tensors")->offset, &n, 4);
    CHECK(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "tensors", &gguf, &error) ==
          SY_OK);
    sy_gguf_close(gguf);
    check_bound("tensors");
}

static const sy_test_case cases[] = {
    {"survives_refused_memory", survives_refused_memory},
    {"bounds_memory_of_small_entries", bounds_memory_of_small_entries},
};
SY_TEST_MAIN(cases)
