/* SPDX-License-Identifier: Apache-2.0 */
/* A small random Llama in a temporary file, for tests that run an engine without shared data. */
#ifndef SY_TESTS_ENGINE_MODEL_H
#define SY_TESTS_ENGINE_MODEL_H

#include "arch/tiny_model.h"
#include "switchyard/registry.h"
#include "switchyard/session.h"

#include <fcntl.h>

static char engine_model_path[64];

static void engine_model_remove(void) {
    unlink(engine_model_path);
}

/* Weights: f32 in +-0.5, Q8_0 scales near 0.01 (f16 0x211f) with random bytes. */
static inline void engine_model_fill(const tiny_model *model, gguf_writer *writer) {
    uint32_t random = 12345;
    size_t at = writer->n_bytes;
    for (uint32_t i = model->n_tensors; i-- > 0;) {
        uint64_t n_bytes = 0;
        const tiny_tensor *tensor = &model->tensors[i];
        CHECK(sy_type_row_bytes(tensor->type, tensor->dims[0], &n_bytes) == SY_OK);
        n_bytes *= tensor->dims[1] * tensor->dims[2];
        at -= (n_bytes + 31) / 32 * 32;
        for (uint64_t k = 0; k < n_bytes; k++) {
            random = random * 1664525u + 1013904223u;
            if (tensor->type == SY_TYPE_F32) {
                float number = (float)(random >> 8) / 16777216.0f - 0.5f;
                memcpy(writer->bytes + at + k / 4 * 4, &number, 4);
            } else {
                uint64_t in_block = k % 34;
                writer->bytes[at + k] = in_block == 0   ? 0x1f
                                        : in_block == 1 ? 0x21
                                                        : (uint8_t)(random >> 24);
            }
        }
    }
}

static const char *engine_model_instead; /* another file, for tests that set it */

static const char *engine_model_family;
static uint32_t engine_model_window; /* of layers with a window, for tests that set it; 0: none */
static float engine_model_base;      /* of rotations; 0: as the family says */

static void engine_model_keys(gguf_writer *writer) {
    char key[64];
    snprintf(key, sizeof(key), "%s.attention.sliding_window", engine_model_family);
    writer_key_u32(writer, key, engine_model_window);
    snprintf(key, sizeof(key), "%s.rope.freq_base", engine_model_family);
    writer_key_f32(writer, key, engine_model_base != 0 ? engine_model_base : 1e4f);
}

/* Writes the file of a model; the one before it goes. TINY_HEADS key heads make rows of states
 * whole blocks of Q8_0 and Q4_0. */
static inline void engine_model_make(const char *family, uint32_t n_layers, uint32_t n_kv_heads) {
    static tiny_model model;
    model = (tiny_model){.family = family, .n_layers = n_layers, .n_kv_heads = n_kv_heads};
    if (engine_model_window != 0 || engine_model_base != 0) {
        engine_model_family = family;
        model.more_keys = engine_model_keys;
        model.n_more_keys = 2;
    }
    if (engine_model_path[0] != '\0') {
        unlink(engine_model_path);
    } else {
        atexit(engine_model_remove);
    }
    gguf_writer *writer = calloc(1, sizeof(*writer));
    CHECK(writer != NULL);
    tiny_write(&model, writer);
    engine_model_fill(&model, writer);
    snprintf(engine_model_path, sizeof(engine_model_path), "/tmp/switchyard-test-XXXXXX");
    int fd = mkstemp(engine_model_path);
    CHECK(fd >= 0);
    CHECK(write(fd, writer->bytes, writer->n_bytes) == (ssize_t)writer->n_bytes);
    close(fd);
    free(writer);
}

/* Path of the model: the one that was made, else a small Llama. */
static inline const char *engine_model(void) {
    if (engine_model_instead != NULL) {
        return engine_model_instead;
    }
    if (engine_model_path[0] == '\0') {
        engine_model_make("llama", 2, 0);
    }
    return engine_model_path;
}

/* Folder with the plugins of this build, or NULL when they were not built. */
static inline const char *built_plugins(void) {
    static char path[512];
    const char *build = getenv("SY_BUILD_DIR");
    snprintf(path, sizeof(path), "%s/plugins", build != NULL ? build : "");
    return build != NULL && access(path, R_OK) == 0 ? path : NULL;
}

/* Runtime, plugins of this build, and an engine over them. */
typedef struct engine_kit {
    sy_error error;
    sy_runtime *runtime;
    sy_registry *registry;
    sy_engine *engine;
} engine_kit;

static inline sy_status engine_kit_open(engine_kit *kit, const sy_allocator *allocator,
                                        uint32_t n_threads, const char *plugins,
                                        const sy_engine_options *options) {
    sy_runtime_options runtime;
    memset(kit, 0, sizeof(*kit));
    sy_runtime_options_default(&runtime);
    runtime.allocator = allocator;
    runtime.n_threads = n_threads;
    sy_status status = sy_runtime_create(&runtime, &kit->runtime, &kit->error);
    if (status == SY_OK && plugins != NULL) {
        sy_registry_options search;
        sy_registry_options_default(&search);
        search.directories = &plugins;
        search.n_directories = 1;
        status = sy_registry_open(kit->runtime, &search, &kit->registry, &kit->error);
    }
    if (status == SY_OK) {
        status = sy_engine_create(kit->runtime, engine_model(), options, &kit->engine, &kit->error);
    }
    return status;
}

static inline void engine_kit_close(engine_kit *kit) {
    sy_engine_destroy(kit->engine);
    sy_registry_close(kit->registry);
    sy_runtime_destroy(kit->runtime);
}

#endif
