/* SPDX-License-Identifier: Apache-2.0 */
/* Random LoRA adapters for the model of e2e/engine_model.h, as GGUF files in temporary places. */
#ifndef SY_TESTS_ADAPTER_FILE_H
#define SY_TESTS_ADAPTER_FILE_H

#include "e2e/engine_model.h"
#include "switchyard/adapter.h"

#define ADAPTER_ALPHA 12.0f
#define ADAPTER_PATH_BYTES 64u

/* One adapted tensor. */
typedef struct adapter_target {
    const char *tensor;
    uint64_t n_inputs, n_outputs;
} adapter_target;

static const adapter_target adapter_targets[] = {
    {"blk.0.attn_q.weight", TINY_EMBD, TINY_HEADS *TINY_HEAD},
    {"blk.0.attn_v.weight", TINY_EMBD, TINY_KV_HEADS *TINY_HEAD},
    {"blk.0.ffn_gate.weight", TINY_EMBD, TINY_FF},
    {"blk.1.attn_k.weight", TINY_EMBD, TINY_KV_HEADS *TINY_HEAD},
    {"blk.1.attn_output.weight", TINY_HEADS *TINY_HEAD, TINY_EMBD},
    {"blk.1.ffn_up.weight", TINY_EMBD, TINY_FF},
    {"blk.1.ffn_down.weight", TINY_FF, TINY_EMBD},
    {"output.weight", TINY_EMBD, TINY_VOCAB},
};

/* What is to be wrong with a file; zero: nothing. */
typedef struct adapter_plan {
    uint32_t seed;
    uint64_t rank;
    sy_element_type type;         /* f32 or f16 */
    const char *architecture;     /* NULL: llama */
    const char *general_type;     /* NULL: adapter */
    const char *tensor;           /* NULL: the targets above; else this one */
    uint64_t n_inputs, n_outputs; /* of `tensor` */
    const char *half;             /* only ".lora_a" or ".lora_b" */
} adapter_plan;

static inline void adapter_add(gguf_writer *writer, const adapter_target *target, const char *half,
                               const adapter_plan *plan, uint64_t *inout_offset) {
    char name[160];
    uint64_t n_bytes = 0;
    bool is_a = strcmp(half, ".lora_a") == 0;
    const uint64_t dims[2] = {is_a ? target->n_inputs : plan->rank,
                              is_a ? plan->rank : target->n_outputs};
    if (plan->half != NULL && strcmp(plan->half, half) != 0) {
        return;
    }
    snprintf(name, sizeof(name), "%s%s", target->tensor, half);
    writer_tensor(writer, name, 2, dims, plan->type, *inout_offset);
    CHECK(sy_type_row_bytes(plan->type, dims[0], &n_bytes) == SY_OK);
    *inout_offset += (n_bytes * dims[1] + 31) / 32 * 32;
}

static inline void adapter_write(gguf_writer *writer, const adapter_plan *plan) {
    const adapter_target one = {plan->tensor, plan->n_inputs, plan->n_outputs};
    size_t n = plan->tensor != NULL ? 1 : sizeof(adapter_targets) / sizeof(adapter_targets[0]);
    uint64_t offset = 0;
    uint32_t random = plan->seed * 2654435761u + 1;
    writer_header(writer, n * (plan->half != NULL ? 1 : 2), 4);
    writer_key_string(writer, "general.architecture",
                      plan->architecture != NULL ? plan->architecture : "llama");
    writer_key_string(writer, "general.type",
                      plan->general_type != NULL ? plan->general_type : "adapter");
    writer_key_string(writer, "adapter.type", "lora");
    writer_key_f32(writer, "adapter.lora.alpha", ADAPTER_ALPHA);
    for (size_t i = 0; i < n; i++) {
        const adapter_target *target = plan->tensor != NULL ? &one : &adapter_targets[i];
        adapter_add(writer, target, ".lora_a", plan, &offset);
        adapter_add(writer, target, ".lora_b", plan, &offset);
    }
    writer_align(writer, 32);
    for (uint64_t k = 0; k < offset; k += plan->type == SY_TYPE_F32 ? 4 : 2) {
        random = random * 1664525u + 1013904223u;
        float number = ((float)(random >> 8) / 16777216.0f - 0.5f) * 0.4f;
        uint16_t half = (uint16_t)(0x3000u | (random >> 16 & 0x83ffu)); /* f16 in +-0.25 */
        if (plan->type == SY_TYPE_F32) {
            writer_put(writer, &number, 4);
        } else {
            writer_put(writer, &half, 2);
        }
    }
}

static char adapter_paths[64][ADAPTER_PATH_BYTES];
static uint32_t n_adapter_paths;

static void adapter_remove_all(void) {
    for (uint32_t i = 0; i < n_adapter_paths; i++) {
        unlink(adapter_paths[i]);
    }
}

/* Writes bytes as a file that goes when the process ends; answers its path. */
static inline const char *adapter_put(const void *bytes, size_t n_bytes) {
    CHECK(n_adapter_paths < 64);
    char *path = adapter_paths[n_adapter_paths++];
    if (n_adapter_paths == 1) {
        atexit(adapter_remove_all);
    }
    snprintf(path, ADAPTER_PATH_BYTES, "/tmp/switchyard-lora-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, bytes, n_bytes) == (ssize_t)n_bytes);
    close(fd);
    return path;
}

static inline const char *adapter_file(const adapter_plan *plan) {
    gguf_writer *writer = calloc(1, sizeof(*writer));
    CHECK(writer != NULL);
    adapter_write(writer, plan);
    const char *path = adapter_put(writer->bytes, writer->n_bytes);
    free(writer);
    return path;
}

/* A whole, fitting adapter. */
static inline const char *adapter_good(uint32_t seed, uint64_t rank, sy_element_type type) {
    return adapter_file(&(adapter_plan){.seed = seed, .rank = rank, .type = type});
}

static inline void adapter_engine(engine_kit *kit, const sy_allocator *allocator,
                                  uint32_t n_adapters, uint32_t rank) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_adapters = n_adapters;
    options.adapter_rank = rank;
    CHECK_OK_ERROR(engine_kit_open(kit, allocator, 1, NULL, &options), kit->error);
}

typedef struct adapter_failing {
    sy_allocator allocator;
    uint64_t n_calls, fail_at;
} adapter_failing;

static void *adapter_fail_nth(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                              size_t alignment_bytes) {
    adapter_failing *f = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0 && ++f->n_calls == f->fail_at) {
        return NULL;
    }
    return heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
}

/* Loads the adapter once for each of its allocations, which is refused. */
static inline void adapter_fail_every_allocation(const char *path) {
    engine_kit kit;
    adapter_failing f = {.fail_at = 0};
    f.allocator = (sy_allocator){.reallocate = adapter_fail_nth, .self = &f};
    adapter_engine(&kit, &f.allocator, 1, 32);
    uint32_t n_failed = 0;
    for (uint64_t n = 1;; n++) {
        sy_adapter *adapter = NULL;
        f.n_calls = 0;
        f.fail_at = n;
        sy_status status = sy_adapter_load(kit.engine, path, &adapter, &kit.error);
        f.fail_at = 0;
        if (status == SY_OK) {
            CHECK_OK(sy_adapter_unload(adapter, NULL));
            break;
        }
        CHECK_TEXT(SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED, "%s", kit.error.message);
        n_failed++;
    }
    CHECK_TEXT(n_failed >= 6, "%u", n_failed);
    engine_kit_close(&kit); /* ASan sees leaks; close refuses devices with live handles */
}

#endif
