/* SPDX-License-Identifier: Apache-2.0 */
/* What sentence-transformers puts behind a model: modules.json names a pooling of the rows, then
 * matrices (EmbeddingGemma has two), then a scaling to length 1, which embedding does anyway. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static const char hint_module[] = "Take a model without this module, or apply it yourself to what "
                                  "the model gives.";

/* Of switchyard/embed.h and of GGUF's key pooling_type. */
enum { MEAN = 1, CLS = 2, LAST = 3, RANK = 4 };

static bool put_pooling(sy__hf *hf, const char *folder, uint32_t *out_pooling) {
    static const struct {
        const char *flag, *name;
        uint32_t pooling;
    } modes[] = {{"pooling_mode_mean_tokens", "mean", MEAN},
                 {"pooling_mode_cls_token", "cls", CLS},
                 {"pooling_mode_lasttoken", "lasttoken", LAST},
                 {"pooling_mode_max_tokens", "max", 0},
                 {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", 0},
                 {"pooling_mode_weightedmean_tokens", "weightedmean", 0}};
    char path[SY_LIMIT_NAME_BYTES + 32];
    sy__hf_json file = {.path = NULL};
    snprintf(path, sizeof(path), "%s/config.json", folder);
    if (!sy__hf_read_json(hf, path, &file) || file.json.n_nodes == 0) {
        return hf->status == SY_OK;
    }
    uint32_t n_modes = 0;
    const char *chosen = "none";
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        bool flag =
            sy__json_bool_of(&file.json, sy__json_member(&file.json, 0, modes[i].flag), false);
        sy__json_index mode = sy__json_member(&file.json, 0, "pooling_mode");
        if (flag || sy__json_is(&file.json, mode, modes[i].name)) {
            n_modes++;
            chosen = modes[i].name;
            *out_pooling = modes[i].pooling;
        }
    }
    sy__hf_close_json(&file);
    if (n_modes != 1 || *out_pooling == 0) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_module,
                           "The pooling of '%.64s' is %s; mean, cls or lasttoken alone is run.",
                           folder, n_modes > 1 ? "several at once" : chosen);
    }
    hf->is_pooled = true;
    sy__hf_put_u32(hf, "pooling_type", *out_pooling);
    return true;
}

/* Matrix number i behind the pooling. It is applied to the rows, so the pooling must be a mean. */
static bool put_dense(sy__hf *hf, const char *folder, uint32_t i, uint32_t pooling) {
    static const char identity[] = "Identity";
    char path[4096], name[64];
    sy__hf_json file = {.path = NULL};
    sy_safetensor tensor;
    if (!hf->family->pool_dense || i >= SY__HF_DENSE_MOST || (pooling != MEAN && pooling != 0)) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_module,
                           "The module '%.64s' (Dense) has no place behind the pooling of "
                           "architecture '%s'.",
                           folder, hf->family->architecture);
    }
    snprintf(path, sizeof(path), "%.100s/config.json", folder);
    if (!sy__hf_read_json(hf, path, &file)) {
        return false;
    }
    const char *activation =
        sy__hf_string(hf, &file, sy__json_member(&file.json, 0, "activation_function"));
    size_t n = activation != NULL ? strlen(activation) : 0, n_end = sizeof(identity) - 1;
    bool is_plain = n == 0 || (n >= n_end && strcmp(activation + n - n_end, identity) == 0);
    sy__hf_close_json(&file);
    snprintf(path, sizeof(path), "%.3900s/%.100s", hf->folder, folder);
    hf->status = sy_safetensors_open(hf->allocator, path, &hf->keep->dense[i], hf->error);
    if (hf->status != SY_OK) {
        return false;
    }
    if (!is_plain || sy_safetensors_get_facts(hf->keep->dense[i])->n_tensors != 1 ||
        !sy_safetensors_find(hf->keep->dense[i], "linear.weight", &tensor) || tensor.rank != 2) {
        return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_module,
                           "The module '%.64s' is more than a matrix: it has a bias or an "
                           "activation.",
                           folder);
    }
    snprintf(name, sizeof(name), "dense_%u_feat_in", i + 2); /* as llama.cpp counts the modules */
    sy__hf_put_u32(hf, name, (uint32_t)tensor.dims[1]);
    snprintf(name, sizeof(name), "dense_%u_feat_out", i + 2);
    sy__hf_put_u32(hf, name, (uint32_t)tensor.dims[0]);
    snprintf(name, sizeof(name), "dense_%u.weight", i + 2);
    return sy__hf_add_tensor(hf, name, SY__HF_MATRIX, &tensor);
}

/* A module by the last part of its class's name. */
static bool put_module(sy__hf *hf, const sy__hf_json *file, sy__json_index module,
                       uint32_t *inout_dense, uint32_t *inout_pooling) {
    const sy__json_document *json = &file->json;
    const char *type = sy__hf_string(hf, file, sy__json_member(json, module, "type"));
    const char *path = sy__hf_string(hf, file, sy__json_member(json, module, "path"));
    const char *dot = type != NULL ? strrchr(type, '.') : NULL;
    const char *name = dot != NULL ? dot + 1 : type;
    if (name == NULL || path == NULL || strlen(path) > 100 || strstr(path, "..") != NULL ||
        path[0] == '/') {
        return sy__hf_fail(hf, SY_DATA_LOSS, "Fetch modules.json again.",
                           "modules.json has a module without a type, or without a folder.");
    }
    if (strcmp(name, "Transformer") == 0 || strcmp(name, "Normalize") == 0) {
        return true;
    }
    if (strcmp(name, "Pooling") == 0) {
        return put_pooling(hf, path, inout_pooling);
    }
    if (strcmp(name, "Dense") == 0) {
        return put_dense(hf, path, (*inout_dense)++, *inout_pooling);
    }
    return sy__hf_fail(hf, SY_UNIMPLEMENTED, hint_module,
                       "The module '%.64s' of modules.json is not run.", name);
}

bool sy__hf_put_modules(sy__hf *hf) {
    sy__hf_json file = {.path = NULL};
    uint32_t n_dense = 0, pooling = 0;
    if (hf->has_classifier && hf->family->is_encoder) {
        sy__hf_put_u32(hf, "pooling_type", RANK);
        return hf->status == SY_OK;
    }
    if (!sy__hf_read_json(hf, "modules.json", &file)) {
        return false;
    }
    if (file.json.n_nodes == 0) {
        return put_pooling(hf, "1_Pooling", &pooling);
    }
    sy__json_index module = sy__json_first(&file.json, 0);
    bool put = true;
    for (uint32_t i = 0; put && i < sy__json_n(&file.json, 0); i++) {
        put = put_module(hf, &file, module, &n_dense, &pooling);
        module = sy__json_next(&file.json, module);
    }
    sy__hf_close_json(&file);
    return put;
}
