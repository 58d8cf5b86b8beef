/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters as peft saves them: adapter_config.json beside adapter_model.safetensors, which holds
 * for each adapted module base_model.model.MODULE.lora_A.weight and .lora_B.weight. */
#include "lora/file.h"
#include "lora/peft.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 4096u

static const char weights_name[] = "adapter_model.safetensors";

static bool is_folder(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

bool sy__lora_is_peft(const char *path) {
    static const char end[] = ".safetensors";
    size_t n = strlen(path), n_end = sizeof(end) - 1;
    return (n >= n_end && strcmp(path + n - n_end, end) == 0) || is_folder(path);
}

/* What is refused by a part of a tensor's name. */
static sy_status refuse_name(const sy__lora_file *file, const char *name, sy_error *error) {
    static const struct {
        const char *part, *what;
    } others[] = {
        {".lora_magnitude_vector", "scales columns of weights (DoRA)"},
        {".lora_embedding_", "is for an embedding"},
        {".lora_A.bias", "is a bias"},
        {".lora_B.bias", "is a bias"},
        {".experts.", "is for experts"},
        {".base_layer.", "is the model's own (save_embedding_layers)"},
        {"embed_tokens.weight", "is the model's own (save_embedding_layers)"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strstr(name, others[i].part) != NULL) {
            return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                                 "The adapter's tensor '%s' %s, which is not run.", name,
                                 others[i].what);
        }
    }
    return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                         "The adapter's tensor '%s' is neither lora_A nor lora_B of a module of "
                         "base_model.model.",
                         name);
}

/* "base_model.model.MODULE.lora_A.weight" to MODULE and 'A'; 0 for any other name. */
static char cut_name(const char *name, char out_module[SY_LIMIT_NAME_BYTES + 1]) {
    static const char begin[] = "base_model.model.";
    static const char ends[2][16] = {".lora_A.weight", ".lora_B.weight"};
    size_t n = strlen(name), n_begin = sizeof(begin) - 1, n_end = strlen(ends[0]);
    if (n <= n_begin + n_end || strncmp(name, begin, n_begin) != 0 ||
        strstr(name, ".experts.") != NULL) {
        return 0;
    }
    snprintf(out_module, SY_LIMIT_NAME_BYTES + 1, "%.*s", (int)(n - n_begin - n_end),
             name + n_begin);
    return strcmp(name + n - n_end, ends[0]) == 0   ? 'A'
           : strcmp(name + n - n_end, ends[1]) == 0 ? 'B'
                                                    : 0;
}

static sy_status check_tensor(const sy__lora_file *file, const sy_safetensor *tensor,
                              sy_error *error) {
    if (tensor->rank != 2) {
        return sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                             "The adapter's tensor '%s' has %u dimensions; matrices are run.",
                             tensor->name, tensor->rank);
    }
    return tensor->type != SY_TYPE_INVALID
               ? SY_OK
               : sy__lora_fail(file, error, SY_UNIMPLEMENTED,
                               "The adapter's tensor '%s' has the type %s, which is not run.",
                               tensor->name, tensor->dtype);
}

/* Tensors come in the order of their names, so that a module's B follows its A. */
static sy__lora_pair *pair_of(sy__lora_file *file, const char *module, sy_error *error) {
    char target[SY_LIMIT_NAME_BYTES + 8];
    snprintf(target, sizeof(target), "%s.weight", module);
    sy__lora_pair *last = file->n_pairs > 0 ? &file->pairs[file->n_pairs - 1] : NULL;
    return last != NULL && strcmp(last->target, target) == 0
               ? last
               : sy__lora_file_add(file, target, error);
}

static sy_status read_tensor(sy__lora_file *file, const sy__peft_config *config,
                             const sy_safetensor *tensor, sy_error *error) {
    char module[SY_LIMIT_NAME_BYTES + 1];
    char half = cut_name(tensor->name, module);
    if (half == 0) {
        return refuse_name(file, tensor->name, error);
    }
    if (!sy__peft_config_has(config, module)) {
        return sy__lora_fail(file, error, SY_DATA_LOSS,
                             "The adapter's tensor '%s' is for none of the modules that "
                             "target_modules names.",
                             tensor->name);
    }
    sy_status status = check_tensor(file, tensor, error);
    if (status != SY_OK) {
        return status;
    }
    sy__lora_pair *pair = pair_of(file, module, error);
    if (pair == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    sy__lora_matrix *matrix = half == 'A' ? &pair->a : &pair->b;
    *matrix = (sy__lora_matrix){.data = tensor->data,
                                .n_rows = tensor->dims[0],
                                .n_columns = tensor->dims[1],
                                .type = tensor->type};
    file->n_bytes += tensor->n_bytes;
    return SY_OK;
}

/* The rank is the matrices'; the file must agree. */
static sy_status scale_pair(const sy__lora_file *file, const sy__peft_config *config,
                            sy__lora_pair *pair, sy_error *error) {
    char module[SY_LIMIT_NAME_BYTES + 1];
    size_t n = strlen(pair->target) - strlen(".weight");
    memcpy(module, pair->target, n);
    module[n] = '\0';
    double rank = sy__peft_config_rank(config, module);
    uint64_t n_rows = pair->a.data != NULL ? pair->a.n_rows : pair->b.n_columns;
    if ((double)n_rows != rank) {
        return sy__lora_fail(file, error, SY_DATA_LOSS,
                             "The adapter's matrices for '%s' have rank %llu, its configuration "
                             "says %g.",
                             module, (unsigned long long)n_rows, rank);
    }
    pair->scale = (float)sy__peft_config_scale(config, module);
    return isfinite(pair->scale)
               ? SY_OK
               : sy__lora_fail(file, error, SY_DATA_LOSS,
                               "The adapter's alpha for '%s' is no finite number.", module);
}

static sy_status read_tensors(sy__lora_file *file, const sy__peft_config *config, sy_error *error) {
    sy_safetensor tensor;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && sy_safetensors_at(file->safetensors, i, &tensor); i++) {
        status = read_tensor(file, config, &tensor, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < file->n_pairs; i++) {
        status = scale_pair(file, config, &file->pairs[i], error);
    }
    return status;
}

/* The weights, and the configuration in the same folder. */
static sy_status find_files(const char *path, char out_weights[PATH_BYTES],
                            char out_config[PATH_BYTES], sy_error *error) {
    bool of_folder = is_folder(path);
    const char *slash = strrchr(path, '/');
    size_t n = of_folder ? strlen(path) : slash != NULL ? (size_t)(slash - path) : 0;
    const char *between = n > 0 || slash == path ? "/" : "";
    int n_weights = of_folder ? snprintf(out_weights, PATH_BYTES, "%s/%s", path, weights_name)
                              : snprintf(out_weights, PATH_BYTES, "%s", path);
    int n_config =
        snprintf(out_config, PATH_BYTES, "%.*s%sadapter_config.json", (int)n, path, between);
    if (n_weights < 0 || n_config < 0 || (size_t)n_weights >= PATH_BYTES ||
        (size_t)n_config >= PATH_BYTES) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "The path is longer than 4095 bytes.");
    }
    return SY_OK;
}

sy_status sy__lora_open_peft(sy__lora_file *file, const char *path, sy_error *error) {
    char weights[PATH_BYTES], config_path[PATH_BYTES];
    sy__peft_config config;
    sy_status status = find_files(path, weights, config_path, error);
    if (status != SY_OK) {
        return status;
    }
    status = sy__peft_config_open(file->allocator, config_path, &config, error);
    if (status != SY_OK) {
        if (SY_STATUS_CLASS(status) == SY_NOT_FOUND) {
            sy_error_hint(error, "An adapter is a GGUF file, or a folder with adapter_config.json "
                                 "and adapter_model.safetensors.");
        }
        return status;
    }
    status = sy_safetensors_open(file->allocator, weights, &file->safetensors, error);
    if (SY_STATUS_CLASS(status) == SY_NOT_FOUND) {
        sy_error_hint(error, "Save the adapter with safe_serialization=True.");
    }
    if (status == SY_OK) {
        status = read_tensors(file, &config, error);
    }
    sy__peft_config_close(&config);
    return status;
}
