/* SPDX-License-Identifier: Apache-2.0 */
/* Frequencies of every rope scaling against values worked out by hand from the papers' formulas. */
#include "tiny_model.h"

static sy__architecture description;
static sy_error error;

static void check_table(const sy__rope *rope, uint32_t n_context, const double *expected,
                        double magnitude) {
    float table[64], got_magnitude = 0.0f;
    CHECK_OK_ERROR(sy__rope_table(&description, rope, n_context, table, &got_magnitude, &error),
                   error);
    for (uint32_t i = 0; i < rope->n_dims / 2; i++) {
        CHECK_TEXT(fabs((double)table[i] - expected[i]) <= 1e-6 * expected[i], "%u: %.9g, not %.9g",
                   i, (double)table[i], expected[i]);
    }
    CHECK_TEXT(fabs((double)got_magnitude - magnitude) < 1e-6, "magnitude %g, not %g",
               (double)got_magnitude, magnitude);
}

static void computes_plain_and_linear(void) {
    sy__rope rope = {.kind = SY__ROPE_HALF,
                     .n_dims = 8,
                     .base = 10000.0f,
                     .factor = 1.0f,
                     .attention_factor = 1.0f};
    check_table(&rope, 100, (const double[]){1.0, 0.1, 0.01, 0.001}, 1.0);
    rope.scaling = SY__ROPE_LINEAR;
    rope.factor = 4.0f;
    check_table(&rope, 100, (const double[]){0.25, 0.025, 0.0025, 0.00025}, 1.0);
}

/* arXiv 2309.00071 with n = 8, base 10000, original context 4096, factor 4. The pair that turns b
 * times within 4096 positions is 8 ln(4096 / 2 pi b) / (2 ln 10000): 1.309 for b = 32 and 2.814
 * for b = 1, so low = floor = 1 and high = ceil = 3: pairs 0 and 1 keep their frequency, pair 2 is
 * half way between f and f / 4 (5/8 f), pair 3 is divided by 4. */
static void computes_yarn(void) {
    sy__rope rope = {.kind = SY__ROPE_HALF,
                     .scaling = SY__ROPE_YARN,
                     .n_dims = 8,
                     .base = 10000.0f,
                     .factor = 4.0f,
                     .attention_factor = 1.0f,
                     .n_original_context = 4096,
                     .beta_fast = 32.0f,
                     .beta_slow = 1.0f};
    check_table(&rope, 100, (const double[]){1.0, 0.1, 0.00625, 0.00025}, 1.0 + 0.1 * log(4.0));
    rope.attention_factor = 2.0f;
    check_table(&rope, 100, (const double[]){1.0, 0.1, 0.00625, 0.00025}, 2.0 + 0.2 * log(4.0));
}

/* The factors of a written file: 2 for the long table, 1 for the short one. */
static void chooses_longrope_by_context(void) {
    static gguf_writer writer;
    sy_gguf *gguf = NULL;
    sy_gguf_tensor tensor;
    tiny_model model = {.family = "phi3", .fused = true, .longrope = true};
    tiny_write(&model, &writer);
    CHECK_OK(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "tiny", &gguf, &error));
    CHECK(sy_gguf_find_tensor(gguf, "rope_factors_long.weight", &tensor));
    for (uint32_t i = 0; i < 4; i++) {
        memcpy(writer.bytes + tensor.file_offset + 4 * i, &(float){2.0f}, 4);
    }
    CHECK_OK_ERROR(sy__architecture_read(gguf, &description, &error), error);
    description.rope.attention_factor = 1.5f;
    CHECK(description.rope.n_original_context == TINY_CONTEXT);
    check_table(&description.rope, TINY_CONTEXT, (const double[]){1.0, 0.1, 0.01, 0.001}, 1.5);
    check_table(&description.rope, TINY_CONTEXT + 1, (const double[]){0.5, 0.05, 0.005, 0.0005},
                1.5);
    memset(writer.bytes + tensor.file_offset, 0, 4); /* a factor of 0 */
    float table[8], magnitude = 0.0f;
    CHECK(sy__rope_table(&description, &description.rope, TINY_CONTEXT + 1, table, &magnitude,
                         &error) == SY_OUT_OF_RANGE);
    sy_gguf_close(gguf);
}

/* Llama 3.1: the tensor divides pair by pair; the reference file has factor 32 at the slow end. */
static void divides_by_llama3_factors(void) {
    char path[512];
    sy_gguf *gguf = NULL;
    const char *folder = sy_test_shared_dir();
    if (folder == NULL) {
        SKIP("no shared data folder (SY_SHARED_DIR)");
    }
    snprintf(path, sizeof(path), "%s/data/ref/models/llama-tiny-Q8_0.gguf", folder);
    if (access(path, R_OK) != 0) {
        SKIP("%s is absent", path);
    }
    CHECK_OK_ERROR(sy_gguf_open(NULL, path, &gguf, &error), error);
    CHECK_OK_ERROR(sy__architecture_read(gguf, &description, &error), error);
    float table[16], magnitude = 0.0f;
    CHECK(description.rope.n_dims == 32);
    CHECK_OK(sy__rope_table(&description, &description.rope, 2048, table, &magnitude, &error));
    for (uint32_t i = 0; i < 16; i++) {
        double plain = pow(5e5, -(double)i / 16.0), wave = 6.283185307179586 / plain;
        double smooth = (8192.0 / wave - 1.0) / 3.0;
        double divisor = wave < 2048.0   ? 1.0
                         : wave > 8192.0 ? 32.0
                                         : 1.0 / ((1.0 - smooth) / 32.0 + smooth);
        CHECK_TEXT(fabs((double)table[i] * divisor / plain - 1.0) < 1e-5, "pair %u", i);
    }
    CHECK(magnitude == 1.0f && table[15] < 1e-6f);
    sy_gguf_close(gguf);
}

static const sy_test_case cases[] = {
    {"computes_plain_and_linear", computes_plain_and_linear},
    {"computes_yarn", computes_yarn},
    {"chooses_longrope_by_context", chooses_longrope_by_context},
    {"divides_by_llama3_factors", divides_by_llama3_factors},
};
SY_TEST_MAIN(cases)
