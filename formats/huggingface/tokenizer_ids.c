/* SPDX-License-Identifier: Apache-2.0 */
/* Special tokens by name, which of them stand around a text, what ends a generation, and the chat
 * template: tokenizer_config.json, generation_config.json, config.json and the post-processor. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define NO_ID UINT32_MAX
#define NAMED_ENDS 3u /* the format has keys for eos, eot and eom; a key of ours has the others */
#define ENDS_MAX 64u

static uint32_t id_of_text(const sy__hf_vocabulary *v, const char *text) {
    size_t n = text != NULL ? strlen(text) : 0;
    uint32_t found = NO_ID;
    for (uint32_t i = 0; n > 0 && i < v->n; i++) {
        const sy__hf_token *token = &v->tokens[i];
        if (token->n_bytes == n && memcmp(token->bytes, text, n) == 0) {
            if (token->type == SY__HF_CONTROL || token->type == SY__HF_UNKNOWN) {
                return i;
            }
            found = found == NO_ID ? i : found;
        }
    }
    return found;
}

/* "bos_token": "<s>" or {"content": "<s>"}. */
static uint32_t id_of_name(sy__hf *hf, const sy__hf_vocabulary *v, const char *name) {
    const sy__json_document *json = &hf->tokenizer_config.json;
    sy__json_index entry = sy__json_member(json, 0, name);
    if (sy__json_kind_of(json, entry) == SY__JSON_OBJECT) {
        entry = sy__json_member(json, entry, "content");
    }
    return id_of_text(v, sy__hf_string(hf, &hf->tokenizer_config, entry));
}

static uint32_t id_of_number(const sy__hf_json *file, sy__json_index i,
                             const sy__hf_vocabulary *v) {
    uint64_t id = 0;
    return sy__json_u64_of(&file->json, i, &id) && id < v->n ? (uint32_t)id : NO_ID;
}

static void put_id(sy__hf *hf, const char *name, uint32_t id) {
    char key[64];
    if (id != NO_ID) {
        snprintf(key, sizeof(key), "tokenizer.ggml.%s_token_id", name);
        sy_gguf_writer_put_u32(hf->writer, key, id);
    }
}

/* What the post-processor puts around a text; of a sequence, the one that does something. */
typedef struct frame {
    uint32_t before, after, separator;
} frame;

static bool odd_frame(sy__hf *hf) {
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Take a GGUF file of the model.",
                       "The post_processor of tokenizer.json is not supported: one token in front "
                       "and one behind a text can be.");
}

static bool read_template(sy__hf *hf, const sy__hf_vocabulary *v, sy__json_index processor,
                          frame *f) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index list = sy__json_member(json, processor, "single");
    sy__json_index item = sy__json_first(json, list);
    bool passed = false;
    for (uint32_t i = 0; i < sy__json_n(json, list); i++) {
        sy__json_index special = sy__json_find(json, item, "SpecialToken.id");
        uint32_t *to = passed ? &f->after : &f->before;
        if (special != SY__JSON_NONE) {
            uint32_t id = id_of_text(v, sy__hf_string(hf, &hf->tokenizer, special));
            if (*to != NO_ID || id == NO_ID) {
                return odd_frame(hf);
            }
            *to = id;
        } else {
            passed = true;
        }
        item = sy__json_next(json, item);
    }
    return true;
}

static bool read_processor(sy__hf *hf, const sy__hf_vocabulary *v, sy__json_index processor,
                           frame *f) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index type = sy__json_member(json, processor, "type");
    if (processor == SY__JSON_NONE || sy__json_is(json, type, "ByteLevel")) {
        return true; /* offsets only */
    }
    if (sy__json_is(json, type, "TemplateProcessing")) {
        return read_template(hf, v, processor, f);
    }
    if (sy__json_is(json, type, "BertProcessing") || sy__json_is(json, type, "RobertaProcessing")) {
        sy__json_index cls = sy__json_first(json, sy__json_member(json, processor, "cls"));
        sy__json_index sep = sy__json_first(json, sy__json_member(json, processor, "sep"));
        f->before = id_of_text(v, sy__hf_string(hf, &hf->tokenizer, cls));
        f->after = id_of_text(v, sy__hf_string(hf, &hf->tokenizer, sep));
        return true;
    }
    return odd_frame(hf);
}

static bool read_frame(sy__hf *hf, const sy__hf_vocabulary *v, frame *f) {
    const sy__json_document *json = &hf->tokenizer.json;
    sy__json_index all = sy__json_member(json, 0, "post_processor");
    sy__json_index list = sy__json_member(json, all, "processors");
    if (!sy__json_is(json, sy__json_member(json, all, "type"), "Sequence")) {
        return read_processor(hf, v, all, f);
    }
    sy__json_index item = sy__json_first(json, list);
    for (uint32_t i = 0; i < sy__json_n(json, list); i++) {
        if (!read_processor(hf, v, item, f)) {
            return false;
        }
        item = sy__json_next(json, item);
    }
    return true;
}

static bool is_listed(const uint32_t *ids, uint32_t n, uint32_t id) {
    uint32_t i = 0;
    while (i < n && ids[i] != id) {
        i++;
    }
    return i < n;
}

/* The list of tokens that end a generation: eos first, then whatever else the model was given. */
static bool put_ends(sy__hf *hf, const sy__hf_vocabulary *v, uint32_t eos) {
    static const char *const names[NAMED_ENDS] = {"eos", "eot", "eom"};
    uint32_t ends[ENDS_MAX] = {eos}, n = eos != NO_ID;
    const sy__hf_json *file = &hf->generation;
    sy__json_index list = sy__json_member(&file->json, 0, "eos_token_id");
    if (list == SY__JSON_NONE) {
        file = &hf->config;
        list = sy__json_member(&file->json, hf->root, "eos_token_id");
    }
    bool is_list = sy__json_kind_of(&file->json, list) == SY__JSON_ARRAY;
    sy__json_index item = is_list ? sy__json_first(&file->json, list) : list;
    for (uint32_t i = 0; i < (is_list ? sy__json_n(&file->json, list) : 1); i++) {
        uint32_t id = id_of_number(file, item, v);
        bool is_new = id != NO_ID && !is_listed(ends, n, id);
        if (is_new && n == ENDS_MAX) {
            return sy__hf_fail(hf, SY_UNIMPLEMENTED, "Shorten the list in generation_config.json.",
                               "The model has more than %u tokens that end a generation.",
                               ENDS_MAX);
        }
        if (is_new) {
            ends[n++] = id;
        }
        item = is_list ? sy__json_next(&file->json, item) : item;
    }
    for (uint32_t i = 0; i < n && i < NAMED_ENDS; i++) {
        put_id(hf, names[i], ends[i]);
    }
    if (n > NAMED_ENDS) {
        sy_gguf_writer_put_array(hf->writer, SY_HUGGINGFACE_MORE_ENDS, SY_GGUF_U32,
                                 ends + NAMED_ENDS, n - NAMED_ENDS);
    }
    return true;
}

static bool put_frame(sy__hf *hf, const sy__hf_vocabulary *v, uint32_t *inout_bos,
                      uint32_t *inout_eos) {
    const sy__json_document *json = &hf->tokenizer_config.json;
    frame f = {NO_ID, NO_ID, NO_ID};
    if (!read_frame(hf, v, &f)) {
        return false;
    }
    bool has_processor = sy__json_member(&hf->tokenizer.json, 0, "post_processor") != SY__JSON_NONE;
    if (!has_processor &&
        sy__json_bool_of(json, sy__json_member(json, 0, "add_bos_token"), false)) {
        f.before = *inout_bos;
    }
    if (strcmp(v->kind, "bert") == 0) { /* its own tokens stand there */
        put_id(hf, "cls", f.before);
        put_id(hf, "seperator", f.after);
        *inout_bos = f.before;
    } else {
        *inout_bos = f.before != NO_ID ? f.before : *inout_bos;
        *inout_eos = f.after != NO_ID ? f.after : *inout_eos;
        sy_gguf_writer_put_bool(hf->writer, "tokenizer.ggml.add_bos_token", f.before != NO_ID);
        sy_gguf_writer_put_bool(hf->writer, "tokenizer.ggml.add_eos_token", f.after != NO_ID);
    }
    return true;
}

/* chat_template: a text, or a list of named ones, or a file of its own. */
static bool put_chat_template(sy__hf *hf) {
    const sy__json_document *json = &hf->tokenizer_config.json;
    sy__json_index found = sy__json_member(json, 0, "chat_template");
    if (sy__json_kind_of(json, found) == SY__JSON_ARRAY) {
        sy__json_index item = sy__json_first(json, found), chosen = SY__JSON_NONE;
        for (uint32_t i = 0; i < sy__json_n(json, found); i++) {
            if (sy__json_is(json, sy__json_member(json, item, "name"), "default")) {
                chosen = sy__json_member(json, item, "template");
            }
            item = sy__json_next(json, item);
        }
        found = chosen;
    }
    const char *text = sy__hf_string(hf, &hf->tokenizer_config, found);
    if (text != NULL) {
        sy_gguf_writer_put_string(hf->writer, "tokenizer.chat_template", text, strlen(text));
        return true;
    }
    char path[4096];
    sy__file_map map = {NULL, 0};
    int n = snprintf(path, sizeof(path), "%s/chat_template.jinja", hf->folder);
    if (n > 0 && (size_t)n < sizeof(path) && sy__file_map_open(path, &map, NULL) == SY_OK) {
        if (map.n_bytes <= SY_LIMIT_STRING_BYTES) {
            sy_gguf_writer_put_string(hf->writer, "tokenizer.chat_template",
                                      (const char *)map.bytes, (size_t)map.n_bytes);
        }
        sy__file_map_close(&map);
    }
    return hf->status == SY_OK;
}

bool sy__hf_put_specials(sy__hf *hf, const sy__hf_vocabulary *vocabulary) {
    const sy__hf_vocabulary *v = vocabulary;
    const sy__json_document *config = &hf->config.json;
    uint32_t bos = id_of_name(hf, v, "bos_token"), eos = id_of_name(hf, v, "eos_token");
    uint32_t unknown = id_of_name(hf, v, "unk_token");
    if (bos == NO_ID) {
        bos = id_of_number(&hf->config, sy__json_member(config, hf->root, "bos_token_id"), v);
    }
    for (uint32_t i = 0; unknown == NO_ID && i < v->n; i++) {
        unknown = v->tokens[i].type == SY__HF_UNKNOWN ? i : NO_ID;
    }
    if (!put_frame(hf, v, &bos, &eos)) {
        return false;
    }
    put_id(hf, "bos", bos);
    put_id(hf, "unknown", unknown);
    put_id(hf, "padding", id_of_name(hf, v, "pad_token"));
    put_id(hf, "mask", id_of_name(hf, v, "mask_token"));
    return put_ends(hf, v, eos) && put_chat_template(hf);
}
