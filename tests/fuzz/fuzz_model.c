/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: any bytes as a model. Whatever opens is described and reported in full. */
#include "arch/description.h"
#include "base/text.h"
#include "switchyard/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* What a builder relies on. */
static void check_promises(const sy__architecture *model) {
    bool fine = model->n_layers >= 1 && model->n_layers <= SY_LIMIT_LAYERS && model->n_vocab >= 1 &&
                model->rope.n_dims % 2 == 0 && model->rope.n_dims <= model->key_length &&
                isfinite(model->attention_scale) && isfinite(model->rope.base) &&
                model->rope.factor > 0.0f && model->epsilon > 0.0f;
    for (uint32_t i = 0; i < model->n_layers && fine; i++) {
        const sy__layer *layer = &model->layers[i];
        fine =
            layer->n_kv_heads >= 1 && layer->n_heads % layer->n_kv_heads == 0 && layer->n_ff >= 1;
    }
    if (!fine) {
        abort();
    }
}

static void check_rope(const sy__architecture *model, const sy__rope *rope) {
    static float table[65536 / 2];
    float magnitude = 0.0f;
    sy_error error;
    if (sy__rope_table(model, rope, 4096, table, &magnitude, &error) == SY_OK &&
        !isfinite(magnitude)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    static sy__architecture model;
    sy_gguf *gguf = NULL;
    char *text = NULL;
    sy_error error;
    memset(&error, 0, sizeof(error));
    if (sy_gguf_open_memory(NULL, bytes, n_bytes, "fuzz", &gguf, &error) != SY_OK) {
        return 0;
    }
    if (sy__architecture_read(gguf, &model, &error) == SY_OK) {
        check_promises(&model);
        check_rope(&model, &model.rope);
        check_rope(&model, &model.rope_local);
    } else if (error.message[0] == '\0' || error.hint[0] == '\0') {
        abort();
    }
    if (sy_model_report(NULL, gguf, bytes[n_bytes - 1] & 7u, &text, &error) == SY_OK) {
        sy__text_release(NULL, text);
    }
    sy_gguf_close(gguf);
    return 0;
}
