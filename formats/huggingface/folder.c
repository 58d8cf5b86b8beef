/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a folder: its files, then the steps that fill the writer, then the view. */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool sy__hf_fail(sy__hf *hf, sy_status status, const char *hint, const char *format, ...) {
    char message[SY_ERROR_MESSAGE_BYTES];
    va_list arguments;
    if (hf->status != SY_OK) {
        return false;
    }
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    hf->status = sy_error_set(hf->error, status, "%s", message);
    sy_error_hint(hf->error, "%s", hint);
    sy_error_at(hf->error, hf->folder, UINT64_MAX);
    return false;
}

bool sy__hf_no_memory(sy__hf *hf, const char *what) {
    hf->status = sy__no_memory(hf->error, 0, what);
    return false;
}

const char *sy__hf_key(sy__hf *hf, const char *suffix) {
    const char *prefix = hf->family->architecture;
    size_t n_prefix = strlen(prefix), n = strlen(suffix);
    char *key = sy__arena_alloc(&hf->scratch, n_prefix + n + 2, 1);
    if (key == NULL) {
        sy__hf_no_memory(hf, "the keys of a model");
        return "";
    }
    memcpy(key, prefix, n_prefix);
    key[n_prefix] = '.';
    memcpy(key + n_prefix + 1, suffix, n);
    return key;
}

const char *sy__hf_string(sy__hf *hf, const sy__hf_json *file, sy__json_index i) {
    const char *bytes = NULL;
    size_t n = 0;
    if (sy__json_kind_of(&file->json, i) != SY__JSON_STRING) {
        return NULL;
    }
    const char *text = sy__json_text(&file->json, i, &hf->scratch, &bytes, &n)
                           ? sy__arena_string(&hf->scratch, bytes, n)
                           : NULL;
    if (text == NULL) {
        sy__hf_no_memory(hf, "a text of the model");
    }
    return text;
}

bool sy__hf_read_json(sy__hf *hf, const char *name, sy__hf_json *out_file) {
    char path[4096];
    struct stat facts;
    int n = snprintf(path, sizeof(path), "%s/%s", hf->folder, name);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        return sy__hf_fail(hf, SY_OUT_OF_RANGE, "Give a shorter path.", "The path is too long.");
    }
    if (stat(path, &facts) != 0) {
        return true;
    }
    out_file->path = sy__arena_string(&hf->scratch, path, (size_t)n);
    if (out_file->path == NULL) {
        return sy__hf_no_memory(hf, "the name of a file");
    }
    hf->status = sy__file_map_open(path, &out_file->map, hf->error);
    if (hf->status == SY_OK) {
        hf->status =
            sy__json_parse(hf->allocator, (const char *)out_file->map.bytes, out_file->map.n_bytes,
                           out_file->path, &out_file->json, hf->error);
    }
    return hf->status == SY_OK;
}

static bool has_file(const sy__hf *hf, const char *name) {
    char path[4096];
    struct stat facts;
    int n = snprintf(path, sizeof(path), "%s/%s", hf->folder, name);
    return n > 0 && (size_t)n < sizeof(path) && stat(path, &facts) == 0;
}

static bool read_files(sy__hf *hf) {
    if (!sy__hf_read_json(hf, "config.json", &hf->config) ||
        !sy__hf_read_json(hf, "tokenizer.json", &hf->tokenizer) ||
        !sy__hf_read_json(hf, "tokenizer_config.json", &hf->tokenizer_config) ||
        !sy__hf_read_json(hf, "generation_config.json", &hf->generation)) {
        return false;
    }
    bool weights =
        has_file(hf, "model.safetensors") || has_file(hf, "model.safetensors.index.json");
    if (!weights && hf->tokenizer.json.n_nodes == 0) {
        return sy__hf_fail(hf, SY_NOT_FOUND,
                           "Give a folder with config.json and model.safetensors.",
                           "The folder holds no model: neither safetensors nor tokenizer.json.");
    }
    if (weights && hf->config.json.n_nodes == 0) {
        return sy__hf_fail(hf, SY_NOT_FOUND, "Fetch config.json of the same model.",
                           "The folder has weights but no config.json.");
    }
    if (weights) {
        hf->status = sy_safetensors_open(hf->allocator, hf->folder, &hf->keep->weights, hf->error);
    }
    return hf->status == SY_OK;
}

void sy__hf_close_json(sy__hf_json *file) {
    if (file->json.nodes != NULL) {
        sy__json_document_deinit(&file->json);
    }
    sy__file_map_close(&file->map);
}

static void destroy_keep(void *self) {
    sy__hf_keep *keep = self;
    sy_safetensors_close(keep->weights);
    for (size_t i = 0; i < SY__HF_DENSE_MOST; i++) {
        sy_safetensors_close(keep->dense[i]);
    }
    sy__arena_deinit(&keep->arena);
    SY__DELETE(keep->allocator, keep);
}

/* The last part of the path, for people. */
static void put_name(sy__hf *hf) {
    size_t end = strlen(hf->folder);
    while (end > 0 && hf->folder[end - 1] == '/') {
        end--;
    }
    size_t begin = end;
    while (begin > 0 && hf->folder[begin - 1] != '/') {
        begin--;
    }
    if (end > begin) {
        sy_gguf_writer_put_string(hf->writer, "general.name", hf->folder + begin, end - begin);
    }
}

static bool fill(sy__hf *hf) {
    if (!read_files(hf)) {
        return false;
    }
    if (hf->keep->weights != NULL && !sy__hf_read_family(hf)) {
        return false;
    }
    if (hf->family != NULL) {
        const char *architecture = hf->family->architecture;
        sy_gguf_writer_put_string(hf->writer, "general.architecture", architecture,
                                  strlen(architecture));
    }
    put_name(hf);
    if (hf->family != NULL && (!sy__hf_put_config(hf) || !sy__hf_put_tensors(hf))) {
        return false;
    }
    return hf->tokenizer.json.n_nodes == 0 || sy__hf_put_tokenizer(hf);
}

static sy_status open_with(sy__hf *hf, sy_gguf **out_gguf) {
    hf->keep = SY__NEW(hf->allocator, sy__hf_keep);
    if (hf->keep == NULL) {
        return sy__no_memory(hf->error, sizeof(*hf->keep), "a model folder");
    }
    hf->keep->allocator = hf->allocator;
    sy__arena_init(&hf->keep->arena, hf->allocator, (size_t)64 << 10);
    sy__arena_init(&hf->scratch, hf->allocator, (size_t)64 << 10);
    hf->status = sy_gguf_writer_create(hf->allocator, &hf->writer, hf->error);
    bool filled = hf->status == SY_OK && fill(hf);
    sy_gguf_keep keep = {destroy_keep, hf->keep};
    if (filled && hf->status == SY_OK) {
        hf->status = sy_gguf_writer_view(hf->writer, hf->folder, keep, out_gguf, hf->error);
    } else {
        destroy_keep(hf->keep);
    }
    sy__hf_json *files[] = {&hf->config, &hf->tokenizer, &hf->tokenizer_config, &hf->generation};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        sy__hf_close_json(files[i]);
    }
    sy_gguf_writer_destroy(hf->writer);
    sy__arena_deinit(&hf->scratch);
    return hf->status;
}

sy_status sy_huggingface_open(const sy_allocator *allocator, const char *folder, sy_gguf **out_gguf,
                              sy_error *error) {
    sy__hf hf = {.allocator = sy__allocator_or_heap(allocator), .folder = folder, .error = error};
    return open_with(&hf, out_gguf);
}

sy_status sy_model_open(const sy_allocator *allocator, const char *path, sy_gguf **out_gguf,
                        sy_error *error) {
    struct stat facts;
    bool is_folder = stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
    return is_folder ? sy_huggingface_open(allocator, path, out_gguf, error)
                     : sy_gguf_open(allocator, path, out_gguf, error);
}
