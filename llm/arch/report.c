/* SPDX-License-Identifier: Apache-2.0 */
/* A model file in words: as text for people, as JSON for programs. */
#include "base/memory.h"
#include "base/text.h"
#include "switchyard/limits.h"
#include "switchyard/model.h"

#include <inttypes.h>
#include <string.h>

#define TYPES_END 80u /* past the largest sy_element_type */
#define SHOWN_ELEMENTS 8u
#define SHOWN_BYTES 200u /* of a string in text */

typedef struct type_share {
    uint32_t n_tensors;
    uint64_t n_elements, n_bytes;
} type_share;

typedef struct report {
    const sy_allocator *allocator;
    const sy_gguf *gguf;
    const sy_gguf_facts *file;
    sy__text text;
    sy__json json;
    bool as_json;
    sy_model_facts model;
    sy_error why_not; /* status SY_OK when the model runs here */
    type_share shares[TYPES_END];
} report;

/* Text of a file for a terminal: printable, valid UTF-8 kept, the rest shown as '?'. */
static void put_clean(sy__text *text, sy_gguf_string string, size_t most) {
    size_t n = string.n_bytes < most ? (size_t)string.n_bytes : most;
    for (size_t i = 0; i < n;) {
        const uint8_t *c = (const uint8_t *)string.bytes + i;
        size_t length = *c < 0x80 ? 1 : *c >= 0xf0 ? 4 : *c >= 0xe0 ? 3 : 2;
        bool good = *c >= 0x20 && *c != 0x7f && (*c < 0x80 || (*c >= 0xc2 && *c <= 0xf4));
        for (size_t j = 1; j < length && good; j++) {
            good = i + j < string.n_bytes && (c[j] & 0xc0u) == 0x80u;
        }
        good = good && !(*c == 0xc2 && c[1] < 0xa0); /* control characters of Latin-1 */
        sy__text_append(text, good ? (const char *)c : *c == '\n' ? " " : "?", good ? length : 1);
        i += good ? length : 1;
    }
    if (string.n_bytes > most) {
        sy__text_puts(text, " ...");
    }
}

/* sy__json_string wants a NUL at the end; a NUL inside ends the string early. */
static void json_string(report *r, sy_gguf_string string) {
    size_t n_bytes = (size_t)string.n_bytes + 1;
    char *copy = sy__alloc_array(r->allocator, n_bytes, 1);
    if (copy == NULL) {
        r->text.status = SY_RESOURCE_EXHAUSTED;
        return;
    }
    memcpy(copy, string.bytes, n_bytes - 1);
    sy__json_string(&r->json, copy);
    sy__free_array(r->allocator, copy, n_bytes, 1);
}

static void put_bytes(sy__text *text, uint64_t n_bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)n_bytes;
    uint32_t unit = 0;
    while (size >= 1024.0 && unit < 4) {
        size /= 1024.0;
        unit++;
    }
    sy__text_printf(text, unit == 0 ? "%.0f %s" : "%.2f %s", size, units[unit]);
}

static void put_count(sy__text *text, uint64_t n) {
    double number = (double)n;
    if (n < 1000000) {
        sy__text_printf(text, "%" PRIu64, n);
    } else if (n < 1000000000) {
        sy__text_printf(text, "%.2f M", number / 1e6);
    } else {
        sy__text_printf(text, "%.2f B", number / 1e9);
    }
}

static bool find_string(const report *r, const char *key, sy_gguf_string *out_string) {
    return sy_gguf_get_string(r->gguf, key, out_string, NULL) == SY_OK && out_string->n_bytes > 0;
}

static void line(report *r, const char *label) {
    sy__text_printf(&r->text, "  %-14s ", label);
}

static void string_line(report *r, const char *label, const char *key) {
    sy_gguf_string string;
    if (find_string(r, key, &string)) {
        line(r, label);
        put_clean(&r->text, string, SHOWN_BYTES);
        sy__text_puts(&r->text, "\n");
    }
}

static void text_weights(report *r) {
    line(r, "parameters");
    put_count(&r->text, r->file->n_elements);
    sy__text_printf(&r->text, " in %" PRIu32 " tensors\n", r->file->n_tensors);
    if (r->file->n_elements == 0) {
        return;
    }
    line(r, "weights");
    put_bytes(&r->text, r->file->tensor_bytes);
    sy__text_printf(&r->text, ", %.2f bits each\n",
                    8.0 * (double)r->file->tensor_bytes / (double)r->file->n_elements);
    line(r, "types");
    const char *between = "";
    for (uint32_t i = 0; i < TYPES_END; i++) {
        const type_share *share = &r->shares[i];
        if (share->n_tensors > 0) {
            sy__text_printf(&r->text, "%s%s %.1f %% (%" PRIu32 ")", between, sy_type_get(i)->name,
                            100.0 * (double)share->n_bytes / (double)r->file->tensor_bytes,
                            share->n_tensors);
            between = ", ";
        }
    }
    sy__text_puts(&r->text, "\n");
}

static void text_shape(report *r) {
    const sy_model_facts *model = &r->model;
    line(r, "layers");
    sy__text_printf(&r->text, "%u, width %u, feed-forward %u", model->n_layers, model->n_embedding,
                    model->n_feed_forward);
    if (model->n_experts > 0) {
        sy__text_printf(&r->text, ", %u of %u experts a token", model->n_used_experts,
                        model->n_experts);
    }
    if (model->n_windowed_layers > 0) {
        sy__text_printf(&r->text, ", %u look back %u tokens", model->n_windowed_layers,
                        model->window);
    }
    sy__text_puts(&r->text, "\n");
    line(r, "heads");
    sy__text_printf(&r->text, "%u over %u key/value heads of %u\n", model->n_heads,
                    model->n_kv_heads, model->key_length);
    line(r, "context");
    sy__text_printf(&r->text, "%u tokens, rope %s\n", model->n_trained_tokens, model->rope);
    if (!model->is_encoder) {
        line(r, "cache");
        put_bytes(&r->text, 2 * model->kv_elements_per_token);
        sy__text_puts(&r->text, " per token in f16, ");
        put_bytes(&r->text, 2 * model->kv_elements_per_token * model->n_trained_tokens);
        sy__text_puts(&r->text, " for the whole context\n");
    }
}

static void text_vocabulary(report *r) {
    sy_gguf_value tokens;
    sy_gguf_string kind, pre, chat;
    line(r, "vocabulary");
    if (!sy_gguf_find(r->gguf, "tokenizer.ggml.tokens", &tokens)) {
        sy__text_puts(&r->text, "none in this file\n");
        return;
    }
    sy__text_printf(&r->text, "%" PRIu64 " tokens", tokens.n_elements);
    if (find_string(r, "tokenizer.ggml.model", &kind)) {
        sy__text_puts(&r->text, ", ");
        put_clean(&r->text, kind, 40);
    }
    if (find_string(r, "tokenizer.ggml.pre", &pre)) {
        sy__text_puts(&r->text, " / ");
        put_clean(&r->text, pre, 40);
    }
    sy__text_puts(&r->text, "\n");
    line(r, "chat template");
    if (find_string(r, "tokenizer.chat_template", &chat)) {
        sy__text_printf(&r->text, "yes, %" PRIu64 " bytes\n", chat.n_bytes);
    } else {
        sy__text_puts(&r->text, "no\n");
    }
}

static void text_head(report *r) {
    sy_gguf_string origin = {r->file->origin, strlen(r->file->origin)}, name = {"none", 4};
    put_clean(&r->text, origin, 1024);
    sy__text_printf(&r->text, "\n  %-14s GGUF version %u, ", "file", r->file->version);
    put_bytes(&r->text, r->file->file_bytes);
    sy__text_puts(&r->text, "\n");
    string_line(r, "name", "general.name");
    line(r, "architecture");
    find_string(r, "general.architecture", &name);
    put_clean(&r->text, name, 64);
    sy__text_printf(&r->text, r->why_not.status == SY_OK ? " (%s)\n" : "\n", r->model.family);
    text_weights(r);
    if (r->why_not.status == SY_OK) {
        text_shape(r);
    }
    text_vocabulary(r);
    string_line(r, "licence", "general.license");
    line(r, "runs here");
    if (r->why_not.status == SY_OK) {
        sy__text_puts(&r->text, "yes\n");
    } else {
        sy_gguf_string why = {r->why_not.message, strlen(r->why_not.message)};
        sy_gguf_string hint = {r->why_not.hint, strlen(r->why_not.hint)};
        sy__text_puts(&r->text, "no. ");
        put_clean(&r->text, why, SY_ERROR_MESSAGE_BYTES);
        sy__text_printf(&r->text, "\n  %-14s ", "");
        put_clean(&r->text, hint, SY_ERROR_HINT_BYTES);
        sy__text_puts(&r->text, "\n");
    }
}

static void text_element(report *r, const sy_gguf_value *value, uint64_t i) {
    sy_gguf_string string;
    int64_t number = 0;
    uint64_t large = 0;
    double real = 0.0;
    int flag = 0;
    if (sy_gguf_value_string(value, i, &string, NULL) == SY_OK) {
        sy__text_puts(&r->text, "\"");
        put_clean(&r->text, string, value->is_array ? 32 : SHOWN_BYTES);
        sy__text_puts(&r->text, "\"");
    } else if (sy_gguf_value_bool(value, i, &flag, NULL) == SY_OK) {
        sy__text_puts(&r->text, flag ? "true" : "false");
    } else if (sy_gguf_value_i64(value, i, &number, NULL) == SY_OK) {
        sy__text_printf(&r->text, "%" PRId64, number);
    } else if (sy_gguf_value_u64(value, i, &large, NULL) == SY_OK) {
        sy__text_printf(&r->text, "%" PRIu64, large);
    } else if (sy_gguf_value_f64(value, i, &real, NULL) == SY_OK) {
        sy__text_printf(&r->text, "%.9g", real);
    }
}

static void text_metadata(report *r) {
    sy_gguf_value value;
    sy__text_printf(&r->text, "%" PRIu32 " keys\n", r->file->n_keys);
    for (uint32_t i = 0; sy_gguf_key_at(r->gguf, i, &value); i++) {
        sy__text_printf(&r->text, "  %-44.*s %s", (int)value.key.n_bytes, value.key.bytes,
                        sy_gguf_type_name(value.type));
        if (value.is_array) {
            sy__text_printf(&r->text, "[%" PRIu64 "]", value.n_elements);
        }
        for (uint64_t j = 0; j < value.n_elements && j < SHOWN_ELEMENTS; j++) {
            sy__text_puts(&r->text, j > 0 ? ", " : " ");
            text_element(r, &value, j);
        }
        sy__text_puts(&r->text, value.n_elements > SHOWN_ELEMENTS ? " ...\n" : "\n");
    }
}

static void text_tensors(report *r) {
    sy_gguf_tensor tensor;
    sy__text_printf(&r->text, "%" PRIu32 " tensors (innermost dimension first)\n",
                    r->file->n_tensors);
    for (uint32_t i = 0; sy_gguf_tensor_at(r->gguf, i, &tensor); i++) {
        sy__text_printf(&r->text, "  %-44.*s %-6s", (int)tensor.name.n_bytes, tensor.name.bytes,
                        sy_type_get(tensor.type)->name);
        for (uint32_t j = 0; j < tensor.rank; j++) {
            sy__text_printf(&r->text, "%s%" PRIu64, j > 0 ? " x " : " ", tensor.dims[j]);
        }
        sy__text_puts(&r->text, ", ");
        put_bytes(&r->text, tensor.n_bytes);
        sy__text_puts(&r->text, "\n");
    }
}

static void json_u64(report *r, const char *key, uint64_t number) {
    sy__json_key(&r->json, key);
    sy__json_u64(&r->json, number);
}

static void json_key_string(report *r, const char *member, const char *key) {
    sy_gguf_string string;
    if (find_string(r, key, &string)) {
        sy__json_key(&r->json, member);
        json_string(r, string);
    }
}

static void json_model(report *r) {
    const sy_model_facts *model = &r->model;
    sy__json_key(&r->json, "runs_here");
    sy__json_bool(&r->json, r->why_not.status == SY_OK);
    if (r->why_not.status != SY_OK) {
        sy__json_key(&r->json, "why_not");
        sy__json_string(&r->json, r->why_not.message);
        return;
    }
    sy__json_key(&r->json, "family");
    sy__json_string(&r->json, model->family);
    sy__json_key(&r->json, "rope");
    sy__json_string(&r->json, model->rope);
    json_u64(r, "n_layers", model->n_layers);
    json_u64(r, "n_embedding", model->n_embedding);
    json_u64(r, "n_feed_forward", model->n_feed_forward);
    json_u64(r, "n_heads", model->n_heads);
    json_u64(r, "n_kv_heads", model->n_kv_heads);
    json_u64(r, "n_experts", model->n_experts);
    json_u64(r, "n_used_experts", model->n_used_experts);
    json_u64(r, "key_length", model->key_length);
    json_u64(r, "value_length", model->value_length);
    json_u64(r, "n_trained_tokens", model->n_trained_tokens);
    json_u64(r, "window", model->window);
    json_u64(r, "n_windowed_layers", model->n_windowed_layers);
    json_u64(r, "kv_elements_per_token", model->kv_elements_per_token);
    sy__json_key(&r->json, "is_encoder");
    sy__json_bool(&r->json, model->is_encoder != 0);
}

static void json_head(report *r) {
    sy_gguf_value tokens;
    json_key_string(r, "name", "general.name");
    json_key_string(r, "architecture", "general.architecture");
    json_key_string(r, "license", "general.license");
    json_u64(r, "gguf_version", r->file->version);
    json_u64(r, "file_bytes", r->file->file_bytes);
    json_u64(r, "metadata_bytes", r->file->metadata_bytes);
    json_u64(r, "weight_bytes", r->file->tensor_bytes);
    json_u64(r, "n_parameters", r->file->n_elements);
    json_u64(r, "n_tensors", r->file->n_tensors);
    json_u64(r, "n_keys", r->file->n_keys);
    sy__json_key(&r->json, "types");
    sy__json_begin_object(&r->json);
    for (uint32_t i = 0; i < TYPES_END; i++) {
        if (r->shares[i].n_tensors > 0) {
            sy__json_key(&r->json, sy_type_get(i)->name);
            sy__json_begin_object(&r->json);
            json_u64(r, "n_tensors", r->shares[i].n_tensors);
            json_u64(r, "n_elements", r->shares[i].n_elements);
            json_u64(r, "n_bytes", r->shares[i].n_bytes);
            sy__json_end_object(&r->json);
        }
    }
    sy__json_end_object(&r->json);
    bool has_tokens = sy_gguf_find(r->gguf, "tokenizer.ggml.tokens", &tokens) != 0;
    json_u64(r, "n_vocabulary", has_tokens ? tokens.n_elements : 0);
    json_key_string(r, "tokenizer", "tokenizer.ggml.model");
    json_key_string(r, "pre_tokenizer", "tokenizer.ggml.pre");
    json_key_string(r, "chat_template", "tokenizer.chat_template");
    json_model(r);
}

static void json_element(report *r, const sy_gguf_value *value, uint64_t i) {
    sy_gguf_string string;
    int64_t number = 0;
    uint64_t large = 0;
    double real = 0.0;
    int flag = 0;
    if (sy_gguf_value_string(value, i, &string, NULL) == SY_OK) {
        json_string(r, string);
    } else if (sy_gguf_value_bool(value, i, &flag, NULL) == SY_OK) {
        sy__json_bool(&r->json, flag != 0);
    } else if (sy_gguf_value_i64(value, i, &number, NULL) == SY_OK) {
        sy__json_i64(&r->json, number);
    } else if (sy_gguf_value_u64(value, i, &large, NULL) == SY_OK) {
        sy__json_u64(&r->json, large);
    } else if (sy_gguf_value_f64(value, i, &real, NULL) == SY_OK) {
        sy__json_f64(&r->json, real);
    }
}

static void json_metadata(report *r) {
    sy_gguf_value value;
    char key[SY_LIMIT_NAME_BYTES + 1];
    sy__json_key(&r->json, "metadata");
    sy__json_begin_object(&r->json);
    for (uint32_t i = 0; sy_gguf_key_at(r->gguf, i, &value); i++) {
        memcpy(key, value.key.bytes, (size_t)value.key.n_bytes);
        key[value.key.n_bytes] = '\0';
        sy__json_key(&r->json, key);
        if (!value.is_array) {
            json_element(r, &value, 0);
            continue;
        }
        sy__json_begin_object(&r->json);
        sy__json_key(&r->json, "type");
        sy__json_string(&r->json, sy_gguf_type_name(value.type));
        json_u64(r, "n_elements", value.n_elements);
        sy__json_key(&r->json, "first");
        sy__json_begin_array(&r->json);
        for (uint64_t j = 0; j < value.n_elements && j < SHOWN_ELEMENTS; j++) {
            json_element(r, &value, j);
        }
        sy__json_end_array(&r->json);
        sy__json_end_object(&r->json);
    }
    sy__json_end_object(&r->json);
}

static void json_tensors(report *r) {
    sy_gguf_tensor tensor;
    sy__json_key(&r->json, "tensors");
    sy__json_begin_array(&r->json);
    for (uint32_t i = 0; sy_gguf_tensor_at(r->gguf, i, &tensor); i++) {
        sy__json_begin_object(&r->json);
        sy__json_key(&r->json, "name");
        json_string(r, tensor.name);
        sy__json_key(&r->json, "type");
        sy__json_string(&r->json, sy_type_get(tensor.type)->name);
        sy__json_key(&r->json, "dims");
        sy__json_begin_array(&r->json);
        for (uint32_t j = 0; j < tensor.rank; j++) {
            sy__json_u64(&r->json, tensor.dims[j]);
        }
        sy__json_end_array(&r->json);
        json_u64(r, "n_bytes", tensor.n_bytes);
        json_u64(r, "file_offset", tensor.file_offset);
        sy__json_end_object(&r->json);
    }
    sy__json_end_array(&r->json);
}

static void gather(report *r) {
    sy_gguf_tensor tensor;
    for (uint32_t i = 0; sy_gguf_tensor_at(r->gguf, i, &tensor); i++) {
        type_share *share = &r->shares[tensor.type < TYPES_END ? tensor.type : 0];
        share->n_tensors++;
        share->n_elements += tensor.n_elements;
        share->n_bytes += tensor.n_bytes;
    }
    r->model.struct_bytes = (uint32_t)sizeof(r->model);
    sy_error_clear(&r->why_not);
    r->why_not.status = sy_model_describe(r->allocator, r->gguf, &r->model, &r->why_not);
}

static void write_report(report *r, uint32_t flags) {
    if (!r->as_json) {
        text_head(r);
        if ((flags & SY_MODEL_METADATA) != 0) {
            text_metadata(r);
        }
        if ((flags & SY_MODEL_TENSORS) != 0) {
            text_tensors(r);
        }
        return;
    }
    sy__json_init(&r->json, &r->text, true);
    sy__json_begin_object(&r->json);
    json_head(r);
    if ((flags & SY_MODEL_METADATA) != 0) {
        json_metadata(r);
    }
    if ((flags & SY_MODEL_TENSORS) != 0) {
        json_tensors(r);
    }
    sy__json_end_object(&r->json);
    sy__text_puts(&r->text, "\n");
}

sy_status sy_model_report(const sy_allocator *allocator, const sy_gguf *gguf, uint32_t flags,
                          char **out_text, sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    report *r = SY__NEW(allocator, report);
    if (r == NULL) {
        return sy__no_memory(error, sizeof(*r), "the report");
    }
    r->allocator = allocator;
    r->gguf = gguf;
    r->file = sy_gguf_get_facts(gguf);
    r->as_json = (flags & SY_MODEL_JSON) != 0;
    sy__text_init(&r->text, allocator, 0);
    gather(r);
    sy_status status = r->why_not.status;
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        if (error != NULL) {
            *error = r->why_not;
        }
    } else {
        write_report(r, flags);
        status = sy__text_take(&r->text, out_text, error);
    }
    sy__text_deinit(&r->text);
    SY__DELETE(allocator, r);
    return status;
}
