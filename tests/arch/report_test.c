/* SPDX-License-Identifier: Apache-2.0 */
/* Reports about model files: what they say, and that hostile strings stay strings. */
#include "switchyard/model.h"

#include "base/text.h"
#include "tiny_model.h"

static gguf_writer writer;
static sy_error error;

static sy_gguf *open_model(tiny_model *model) {
    sy_gguf *gguf = NULL;
    tiny_write(model, &writer);
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "tiny", &gguf, &error),
                   error);
    return gguf;
}

static char *report(const sy_gguf *gguf, uint32_t flags) {
    char *text = NULL;
    CHECK_OK_ERROR(sy_model_report(NULL, gguf, flags, &text, &error), error);
    return text;
}

static void hostile_keys(gguf_writer *out) {
    writer_key_string(out, "general.name", "\x1b[2J\x9b name \"\\ \xff\xc2\x9b \xc3\xa9\t\n");
    writer_key_array(out, "hostile.array", SY_GGUF_STRING, 2);
    writer_u64(out, 3);
    writer_put(out, "\0\x1b\xe2", 3);
    writer_u64(out, 0);
    writer_key_f32(out, "hostile.nan", NAN);
}

/* No control character reaches the text, whatever the file says. */
static void keeps_control_characters_out(void) {
    tiny_model model = {.family = "llama", .more_keys = hostile_keys, .n_more_keys = 3};
    sy_gguf *gguf = open_model(&model);
    for (uint32_t flags = 0; flags < 8; flags++) {
        char *text = report(gguf, flags);
        for (const char *c = text; *c != '\0'; c++) {
            CHECK_TEXT((unsigned char)*c >= 0x20 || *c == '\n', "flags %u: byte %d at %ld", flags,
                       *c, (long)(c - text));
        }
        CHECK(strstr(text, "\xc3\xa9") != NULL); /* a letter stays */
        CHECK((flags & SY_MODEL_JSON) != 0 || strstr(text, "\xc2\x9b") == NULL);
        CHECK(strstr(text, "\xff") == NULL);
        CHECK(((flags & SY_MODEL_TENSORS) != 0) == (strstr(text, "blk.3.ffn_down.weight") != NULL));
        CHECK(((flags & SY_MODEL_METADATA) != 0) == (strstr(text, "hostile.nan") != NULL));
        sy__text_release(NULL, text);
    }
    sy_gguf_close(gguf);
}

static void tells_what_a_model_is(void) {
    tiny_model model = {.family = "qwen2"};
    sy_gguf *gguf = open_model(&model);
    char *text = report(gguf, SY_MODEL_TEXT);
    CHECK(strstr(text, "qwen2 (Qwen 2, Qwen 2.5)") != NULL);
    CHECK(strstr(text, "4, width 32, feed-forward 64") != NULL);
    CHECK(strstr(text, "4 over 2 key/value heads of 8") != NULL);
    CHECK(strstr(text, "128 tokens, rope plain") != NULL);
    CHECK(strstr(text, "runs here      yes") != NULL && strstr(text, "Q8_0") != NULL);
    sy__text_release(NULL, text);
    sy_gguf_close(gguf);
}

static void tells_why_a_model_does_not_run(void) {
    tiny_model model = {.family = "qwen2", .extra_tensor = "blk.0.odd.weight"};
    sy_gguf *gguf = open_model(&model);
    char *text = report(gguf, SY_MODEL_TEXT);
    CHECK(strstr(text, "runs here      no. The tensor 'blk.0.odd.weight'") != NULL);
    sy__text_release(NULL, text);
    text = report(gguf, SY_MODEL_JSON);
    CHECK(strstr(text, "\"runs_here\": false") != NULL && strstr(text, "\"why_not\"") != NULL);
    sy__text_release(NULL, text);
    sy_gguf_close(gguf);
    gguf = NULL;
    writer_header(&writer, 0, 1); /* a file about nothing */
    writer_key_string(&writer, "general.name", "nothing");
    CHECK_OK(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "nothing", &gguf, &error));
    text = report(gguf, SY_MODEL_METADATA | SY_MODEL_TENSORS);
    CHECK(strstr(text, "no key 'general.architecture'") != NULL);
    sy__text_release(NULL, text);
    sy_gguf_close(gguf);
}

typedef struct refusing {
    sy_allocator allocator;
    uint64_t n_calls, fail_at;
    int64_t live_bytes;
} refusing;

static void *refusing_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                                 size_t alignment) {
    refusing *state = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0 && ++state->n_calls == state->fail_at) {
        return NULL;
    }
    void *moved = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment);
    if (new_bytes == 0 || moved != NULL) {
        state->live_bytes += (int64_t)new_bytes - (pointer != NULL ? (int64_t)old_bytes : 0);
    }
    return moved;
}

static void survives_refused_memory(void) {
    tiny_model model = {.family = "gemma3", .more_keys = hostile_keys, .n_more_keys = 3};
    sy_gguf *gguf = open_model(&model);
    sy_status status = SY_RESOURCE_EXHAUSTED;
    for (uint64_t i = 1; status != SY_OK; i++) {
        refusing state = {.fail_at = i};
        state.allocator = (sy_allocator){refusing_reallocate, &state};
        char *text = NULL;
        status =
            sy_model_report(&state.allocator, gguf,
                            SY_MODEL_JSON | SY_MODEL_METADATA | SY_MODEL_TENSORS, &text, &error);
        CHECK(status == SY_OK || (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED &&
                                  text == NULL && error.message[0] != '\0'));
        CHECK(status != SY_OK || i > 10);
        sy__text_release(&state.allocator, text);
        CHECK(state.live_bytes == 0);
    }
    sy_gguf_close(gguf);
}

static const sy_test_case cases[] = {
    {"keeps_control_characters_out", keeps_control_characters_out},
    {"tells_what_a_model_is", tells_what_a_model_is},
    {"tells_why_a_model_does_not_run", tells_why_a_model_does_not_run},
    {"survives_refused_memory", survives_refused_memory},
};
SY_TEST_MAIN(cases)
