/* SPDX-License-Identifier: Apache-2.0 */
/* Random adapters for the model of e2e/engine_model.h, as peft saves them, and the same numbers as
 * llama.cpp's converter would put them into a GGUF file. */
#ifndef SY_TESTS_PEFT_FOLDER_H
#define SY_TESTS_PEFT_FOLDER_H

#include "lora/adapter_file.h"
#include "switchyard/quantize.h"

#include <sys/stat.h>

#define N_TARGETS (sizeof(adapter_targets) / sizeof(adapter_targets[0]))
#define PEFT_HEADER_BYTES 8192u

/* transformers' names of adapter_targets. */
static const char *const peft_modules[N_TARGETS] = {
    "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj",
    "model.layers.0.mlp.gate_proj",    "model.layers.1.self_attn.k_proj",
    "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.up_proj",
    "model.layers.1.mlp.down_proj",    "lm_head",
};

/* What is special about a folder; zero: nothing. */
typedef struct peft_plan {
    uint32_t seed;
    uint64_t rank;
    const char *members; /* of the configuration, in front of the others: the first counts */
    const char *config;  /* in place of all of it */
    const char *module;  /* in place of all modules; shaped as the first */
    const char *ends[2]; /* in place of lora_A.weight and lora_B.weight */
    bool flat;           /* matrices of one dimension */
} peft_plan;

/* Element i of A or B of a target. */
static inline float peft_number(uint32_t seed, size_t i_target, bool is_a, uint64_t i) {
    uint32_t random = seed * 2654435761u + (uint32_t)i_target * 97u + is_a;
    random = (random + (uint32_t)i) * 747796405u + 2891336453u;
    random = (random >> 15 ^ random) * 277803737u;
    return ((float)(random >> 8) / 16777216.0f - 0.5f) * 0.4f;
}

static char peft_folders[32][ADAPTER_PATH_BYTES];
static uint32_t n_peft_folders;
static const char *const peft_names[2] = {"adapter_config.json", "adapter_model.safetensors"};

static inline void peft_path(const char *folder, int i, char out_path[160]) {
    snprintf(out_path, 160, "%s/%s", folder, peft_names[i]);
}

static void peft_remove_all(void) {
    for (uint32_t i = 0; i < n_peft_folders; i++) {
        char path[160];
        for (int k = 0; k < 2; k++) {
            peft_path(peft_folders[i], k, path);
            unlink(path);
        }
        rmdir(peft_folders[i]);
    }
}

static inline void peft_put(const char *folder, int i, const void *bytes, size_t n_bytes) {
    char path[160];
    peft_path(folder, i, path);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n_bytes, file) == n_bytes);
    CHECK(fclose(file) == 0);
}

static inline void peft_shape(const peft_plan *plan, size_t i_target, bool is_a, uint64_t dims[2]) {
    dims[0] = is_a ? plan->rank : adapter_targets[i_target].n_outputs;
    dims[1] = is_a ? adapter_targets[i_target].n_inputs : plan->rank;
}

/* The header of adapter_model.safetensors; answers the bytes of data behind it. */
static inline uint64_t peft_header(const peft_plan *plan, char *out_text) {
    static const char *const ends[2] = {"lora_A.weight", "lora_B.weight"};
    size_t n_targets = plan->module != NULL ? 1 : N_TARGETS, at = 1;
    uint64_t offset = 0, dims[2];
    out_text[0] = '{';
    for (size_t i = 0; i < 2 * n_targets; i++) {
        const char *end = plan->ends[i % 2] != NULL ? plan->ends[i % 2] : ends[i % 2];
        const char *module = plan->module != NULL ? plan->module : peft_modules[i / 2];
        peft_shape(plan, i / 2, i % 2 == 0, dims);
        uint64_t n = dims[0] * dims[1];
        at += (size_t)snprintf(out_text + at, PEFT_HEADER_BYTES - at,
                               "%s\"base_model.model.%s.%s\":{\"dtype\":\"F32\",\"shape\":[",
                               i > 0 ? "," : "", module, end);
        at +=
            (size_t)(plan->flat ? snprintf(out_text + at, PEFT_HEADER_BYTES - at, "%u", (unsigned)n)
                                : snprintf(out_text + at, PEFT_HEADER_BYTES - at, "%u,%u",
                                           (unsigned)dims[0], (unsigned)dims[1]));
        at += (size_t)snprintf(out_text + at, PEFT_HEADER_BYTES - at, "],\"data_offsets\":[%u,%u]}",
                               (unsigned)offset, (unsigned)(offset + 4 * n));
        offset += 4 * n;
    }
    snprintf(out_text + at, PEFT_HEADER_BYTES - at, "}");
    return offset;
}

static inline void peft_put_weights(const char *folder, const peft_plan *plan) {
    static char header[PEFT_HEADER_BYTES];
    static gguf_writer bytes;
    uint64_t n_data = peft_header(plan, header), n_header = strlen(header), dims[2];
    bytes.n_bytes = 0;
    writer_put(&bytes, &n_header, 8); /* little-endian, as the machines that run this */
    writer_put(&bytes, header, n_header);
    for (size_t i = 0; bytes.n_bytes < 8 + n_header + n_data; i++) {
        peft_shape(plan, i / 2, i % 2 == 0, dims);
        for (uint64_t k = 0; k < dims[0] * dims[1]; k++) {
            float number = peft_number(plan->seed, i / 2, i % 2 == 0, k);
            writer_put(&bytes, &number, 4);
        }
    }
    peft_put(folder, 1, bytes.bytes, bytes.n_bytes);
}

/* A folder that goes when the process ends; answers its path. */
static inline const char *peft_folder(const peft_plan *plan) {
    char config[2048];
    CHECK(n_peft_folders < 32);
    char *folder = peft_folders[n_peft_folders++];
    if (n_peft_folders == 1) {
        atexit(peft_remove_all);
    }
    snprintf(folder, ADAPTER_PATH_BYTES, "/tmp/switchyard-peft-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(config, sizeof(config),
             "{%s\"peft_type\":\"LORA\",\"r\":%u,\"lora_alpha\":12,\"bias\":\"none\","
             "\"use_dora\":false,\"modules_to_save\":null,\"rank_pattern\":{},"
             "\"target_modules\":[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\","
             "\"up_proj\",\"down_proj\",\"lm_head\"]}",
             plan->members != NULL ? plan->members : "", (unsigned)plan->rank);
    const char *text = plan->config != NULL ? plan->config : config;
    peft_put(folder, 0, text, strlen(text));
    peft_put_weights(folder, plan);
    return folder;
}

/* A row of numbers as `type` holds them. */
static inline void twin_row(gguf_writer *writer, const float *row, uint64_t n, sy_element_type type,
                            bool is_rounded) {
    uint8_t bytes[256];
    float rounded[64];
    uint64_t n_bytes = 0;
    if (type == SY_TYPE_F32) {
        writer_put(writer, row, n * sizeof(float));
        return;
    }
    CHECK(n <= 64 && sy_type_row_bytes(type, n, &n_bytes) == SY_OK);
    CHECK_OK(sy_quantize_row(type, row, n, NULL, bytes, NULL));
    CHECK_OK(sy_dequantize_row(type, bytes, n, rounded, NULL));
    if (is_rounded) {
        writer_put(writer, rounded, n * sizeof(float));
    } else {
        writer_put(writer, bytes, n_bytes);
    }
}

/* Row of the folder that row i of a converted query or key is: halves of a head become pairs. */
static inline uint64_t twin_source(size_t i_target, bool is_a, uint64_t i) {
    const char *name = adapter_targets[i_target].tensor;
    bool is_turned = strstr(name, "attn_q") != NULL || strstr(name, "attn_k") != NULL;
    uint64_t pair = i % TINY_HEAD / 2, side = i % 2;
    return is_a || !is_turned ? i : i / TINY_HEAD * TINY_HEAD + side * (TINY_HEAD / 2) + pair;
}

/* The numbers of a folder, rounded to `type`, as a GGUF file in that type or in f32. */
static inline const char *peft_twin(const peft_plan *plan, sy_element_type type, bool as_f32) {
    gguf_writer *writer = calloc(1, sizeof(*writer));
    uint64_t offset = 0, dims[2];
    CHECK(writer != NULL);
    writer_header(writer, 2 * N_TARGETS, 4);
    writer_key_string(writer, "general.architecture", "llama");
    writer_key_string(writer, "general.type", "adapter");
    writer_key_string(writer, "adapter.type", "lora");
    writer_key_f32(writer, "adapter.lora.alpha", ADAPTER_ALPHA);
    for (size_t i = 0; i < 2 * N_TARGETS; i++) {
        char name[160];
        uint64_t n_bytes = 0;
        peft_shape(plan, i / 2, i % 2 == 0, dims);
        const uint64_t theirs[2] = {dims[1], dims[0]};
        sy_element_type written = as_f32 ? SY_TYPE_F32 : type;
        snprintf(name, sizeof(name), "%s.lora_%c", adapter_targets[i / 2].tensor, "ab"[i % 2]);
        writer_tensor(writer, name, 2, theirs, written, offset);
        CHECK(sy_type_row_bytes(written, dims[1], &n_bytes) == SY_OK);
        offset += (n_bytes * dims[0] + 31) / 32 * 32;
    }
    for (size_t i = 0; i < 2 * N_TARGETS; i++) {
        writer_align(writer, 32);
        peft_shape(plan, i / 2, i % 2 == 0, dims);
        for (uint64_t r = 0; r < dims[0]; r++) {
            float row[64];
            uint64_t from = twin_source(i / 2, i % 2 == 0, r) * dims[1];
            for (uint64_t c = 0; c < dims[1]; c++) {
                row[c] = peft_number(plan->seed, i / 2, i % 2 == 0, from + c);
            }
            twin_row(writer, row, dims[1], type, as_f32);
        }
    }
    writer_align(writer, 32);
    const char *path = adapter_put(writer->bytes, writer->n_bytes);
    free(writer);
    return path;
}

#endif
