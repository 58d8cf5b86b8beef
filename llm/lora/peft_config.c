/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys of adapter_config.json are honoured, which say nothing of the result, and the sentence
 * that refuses the others. An unknown key that says something is refused as well: ignoring it would
 * give plausible nonsense. */
#include "lora/peft.h"

#include "base/file_map.h"
#include "json/json_read.h"
#include "switchyard/limits.h"

#include <math.h>
#include <string.h>

#define RULES_MOST 4096u

typedef struct known_key {
    const char *name;
    const char *why_not; /* NULL: it may say what it likes */
} known_key;

static const known_key keys[] = {
    /* read below */
    {"peft_type", NULL},
    {"r", NULL},
    {"lora_alpha", NULL},
    {"rank_pattern", NULL},
    {"alpha_pattern", NULL},
    {"use_rslora", NULL},
    {"bias", NULL},
    {"init_lora_weights", NULL},
    {"target_modules", NULL},
    /* about training, or about which modules were chosen, which the tensors tell */
    {"auto_mapping", NULL},
    {"base_model_name_or_path", NULL},
    {"revision", NULL},
    {"task_type", NULL},
    {"inference_mode", NULL},
    {"peft_version", NULL},
    {"lora_dropout", NULL},
    {"exclude_modules", NULL},
    {"layers_to_transform", NULL},
    {"layers_pattern", NULL},
    {"loftq_config", NULL},
    {"eva_config", NULL},
    {"corda_config", NULL},
    {"lora_ga_config", NULL},
    {"velora_config", NULL},
    {"megatron_config", NULL},
    {"megatron_core", NULL},
    {"runtime_config", NULL},
    {"qalora_group_size", NULL},
    {"fan_in_fan_out", NULL}, /* how a base weight lies in memory; only merging asks for it */
    /* what is not run */
    {"use_dora", "its weights are scaled by columns (DoRA)"},
    {"lora_bias", "biases were trained"},
    {"modules_to_save", "whole modules were trained"},
    {"trainable_token_indices", "rows of the embedding were trained"},
    {"ensure_weight_tying", "the embedding is adapted through the output matrix"},
    {"target_parameters", "parameters that are no modules, such as experts, were trained"},
    {"layer_replication", "layers of the model are used several times"},
    {"alora_invocation_tokens", "it works from its invocation tokens on only (aLoRA)"},
    {"use_qalora", "its inputs are pooled in groups (QALoRA)"},
    {"use_bdlora", "its matrices are block-diagonal (BD-LoRA)"},
    {"arrow_config", "tokens choose among adapters (Arrow)"},
    {"kasa_config", "the model's weights are truncated (KaSA)"},
    {"monteclora_config", "its weights are sampled"},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

typedef struct reader {
    sy__json_document json;
    sy__peft_config *config;
    sy_error *error;
} reader;

static sy_status refuse(reader *r, sy__json_index i, const char *name, const char *why) {
    sy__json_fail(&r->json, i, r->error, SY_UNIMPLEMENTED,
                  "The adapter sets '%s' (%s), which is not run.", name, why);
    sy_error_hint(r->error, "Train the adapter without it, or merge it into the model.");
    return SY_UNIMPLEMENTED;
}

static sy_status damaged(reader *r, sy__json_index i, const char *name, const char *what) {
    sy__json_fail(&r->json, i, r->error, SY_DATA_LOSS, "'%s' of the adapter's configuration %s.",
                  name, what);
    sy_error_hint(r->error, "Fetch adapter_config.json again.");
    return SY_DATA_LOSS;
}

static bool says_nothing(const reader *r, sy__json_index i) {
    sy__json_kind kind = sy__json_kind_of(&r->json, i);
    bool is_container = kind == SY__JSON_ARRAY || kind == SY__JSON_OBJECT;
    return kind == SY__JSON_NULL || kind == SY__JSON_FALSE ||
           (is_container && sy__json_n(&r->json, i) == 0);
}

/* A string in the arena; `what` of key `name` is damaged otherwise. */
static sy_status read_text(reader *r, sy__json_index i, const char *name, const char *what,
                           const char **out_text) {
    const char *bytes = NULL;
    size_t n = 0;
    bool is_string = sy__json_kind_of(&r->json, i) == SY__JSON_STRING;
    bool is_read = is_string && sy__json_text(&r->json, i, &r->config->arena, &bytes, &n);
    if (!is_string || (is_read && memchr(bytes, '\0', n) != NULL)) {
        return damaged(r, i, name, what);
    }
    *out_text = is_read ? sy__arena_string(&r->config->arena, bytes, n) : NULL;
    return *out_text != NULL ? SY_OK : sy__no_memory(r->error, n, "an adapter's configuration");
}

static sy_status check_key(reader *r, sy__json_index key) {
    for (size_t i = 0; i < N_KEYS; i++) {
        if (sy__json_is(&r->json, key, keys[i].name)) {
            return keys[i].why_not == NULL || says_nothing(r, key + 1)
                       ? SY_OK
                       : refuse(r, key, keys[i].name, keys[i].why_not);
        }
    }
    if (says_nothing(r, key + 1)) {
        return SY_OK;
    }
    const char *name = NULL;
    sy_status status = read_text(r, key, "a key", "is no text", &name);
    return status == SY_OK ? refuse(r, key, name, "a key that is not known") : status;
}

static sy_status check_keys(reader *r) {
    sy_status status = SY_OK;
    sy__json_index key = sy__json_first(&r->json, 0);
    for (uint32_t i = 0; status == SY_OK && i < sy__json_n(&r->json, 0); i++) {
        status = check_key(r, key);
        key = sy__json_next(&r->json, key + 1);
    }
    return status;
}

/* Values that are names of ways. */
static sy_status check_choices(reader *r) {
    static const char *const first_weights[] = {"gaussian", "eva", "orthogonal", "mica"};
    sy__json_index bias = sy__json_member(&r->json, 0, "bias");
    sy__json_index first = sy__json_member(&r->json, 0, "init_lora_weights");
    if (!says_nothing(r, bias) && !sy__json_is(&r->json, bias, "none")) {
        return refuse(r, bias, "bias", "biases were trained");
    }
    bool is_known = sy__json_kind_of(&r->json, first) != SY__JSON_STRING;
    for (size_t i = 0; i < sizeof(first_weights) / sizeof(first_weights[0]); i++) {
        is_known = is_known || sy__json_is(&r->json, first, first_weights[i]);
    }
    return is_known ? SY_OK
                    : refuse(r, first, "init_lora_weights", "it changes the model's own weights");
}

/* '.' stands for any character, as in a regular expression, "\." for a dot, '^' in front for the
 * start of the name. */
static bool is_plain_pattern(const char *pattern) {
    pattern += pattern[0] == '^';
    for (; *pattern != '\0'; pattern++) {
        pattern += pattern[0] == '\\' && pattern[1] == '.';
        bool is_letter = (*pattern >= 'a' && *pattern <= 'z') ||
                         (*pattern >= 'A' && *pattern <= 'Z') ||
                         (*pattern >= '0' && *pattern <= '9');
        if (!is_letter && *pattern != '_' && *pattern != '-' && *pattern != '.') {
            return false;
        }
    }
    return true;
}

/* The end of the name from its start or from behind a dot, as peft's get_pattern_key has it. */
static bool matches(const char *pattern, const char *module) {
    bool from_start = pattern[0] == '^';
    size_t first = from_start, i = strlen(pattern), at = strlen(module);
    while (i > first) {
        char wanted = pattern[--i];
        bool is_escaped = i > first && pattern[i - 1] == '\\';
        i -= is_escaped;
        if (at == 0 || (module[--at] != wanted && (wanted != '.' || is_escaped))) {
            return false;
        }
    }
    return at == 0 || (!from_start && module[at - 1] == '.');
}

static sy_status make_rules(reader *r, sy__json_index list, const char *name, sy__peft_rules *out) {
    uint32_t n = sy__json_n(&r->json, list);
    if (n > RULES_MOST) {
        return damaged(r, list, name, "has more than 4096 entries");
    }
    out->items = sy__arena_alloc(&r->config->arena, n + 1u, sizeof(sy__peft_rule));
    return out->items != NULL ? SY_OK : sy__no_memory(r->error, n, "an adapter's configuration");
}

/* {"pattern": number, ...} */
static sy_status read_patterns(reader *r, const char *name, sy__peft_rules *out) {
    static const char bad_entry[] = "has an entry that is no name with a number";
    sy__json_index list = sy__json_member(&r->json, 0, name);
    if (list == SY__JSON_NONE) {
        return SY_OK;
    }
    if (sy__json_kind_of(&r->json, list) != SY__JSON_OBJECT) {
        return damaged(r, list, name, "is no object of numbers");
    }
    sy_status status = make_rules(r, list, name, out);
    sy__json_index key = sy__json_first(&r->json, list);
    for (uint32_t i = 0; status == SY_OK && i < sy__json_n(&r->json, list); i++) {
        sy__peft_rule *rule = &out->items[i];
        status = read_text(r, key, name, bad_entry, &rule->pattern);
        if (status == SY_OK && !sy__json_f64_of(&r->json, key + 1, &rule->number)) {
            status = damaged(r, key, name, bad_entry);
        } else if (status == SY_OK && !is_plain_pattern(rule->pattern)) {
            status = refuse(r, key, name, "with a pattern that is more than a module's name");
        }
        out->n++;
        key = sy__json_next(&r->json, key + 1);
    }
    return status;
}

/* A list of ends of names; a string is an expression that chose what the tensors tell. */
static sy_status read_targets(reader *r) {
    static const char name[] = "target_modules";
    sy__json_index list = sy__json_member(&r->json, 0, name);
    sy__peft_rules *out = &r->config->targets;
    if (list == SY__JSON_NONE || sy__json_kind_of(&r->json, list) == SY__JSON_STRING) {
        return SY_OK;
    }
    if (sy__json_kind_of(&r->json, list) != SY__JSON_ARRAY) {
        return damaged(r, list, name, "is no list of names");
    }
    sy_status status = make_rules(r, list, name, out);
    sy__json_index i_name = sy__json_first(&r->json, list);
    for (uint32_t i = 0; status == SY_OK && i < sy__json_n(&r->json, list); i++) {
        status = read_text(r, i_name, name, "is no list of names", &out->items[i].pattern);
        out->n++;
        i_name = sy__json_next(&r->json, i_name);
    }
    return status;
}

static sy_status read_config(reader *r) {
    sy__peft_config *config = r->config;
    sy__json_index type = sy__json_member(&r->json, 0, "peft_type");
    sy__json_index rank = sy__json_member(&r->json, 0, "r");
    sy__json_index alpha = sy__json_member(&r->json, 0, "lora_alpha");
    if (!sy__json_is(&r->json, type, "LORA")) {
        return type != SY__JSON_NONE ? refuse(r, type, "peft_type", "not LORA")
                                     : damaged(r, 0, "peft_type", "is missing");
    }
    if (!sy__json_f64_of(&r->json, rank, &config->rank) || config->rank < 1 ||
        config->rank > SY_LIMIT_ADAPTER_RANK) {
        return damaged(r, rank != SY__JSON_NONE ? rank : 0, "r", "is no number from 1 to 1024");
    }
    if (!sy__json_f64_of(&r->json, alpha, &config->alpha)) {
        return damaged(r, alpha != SY__JSON_NONE ? alpha : 0, "lora_alpha", "is no number");
    }
    config->root_scaled =
        sy__json_bool_of(&r->json, sy__json_member(&r->json, 0, "use_rslora"), false);
    sy_status status = check_keys(r);
    status = status == SY_OK ? check_choices(r) : status;
    status = status == SY_OK ? read_patterns(r, "rank_pattern", &config->ranks) : status;
    status = status == SY_OK ? read_patterns(r, "alpha_pattern", &config->alphas) : status;
    return status == SY_OK ? read_targets(r) : status;
}

sy_status sy__peft_config_open(const sy_allocator *allocator, const char *path,
                               sy__peft_config *out_config, sy_error *error) {
    sy__peft_config config = {.rank = 0};
    reader r = {.config = &config, .error = error};
    sy__file_map map = {NULL, 0};
    sy__arena_init(&config.arena, allocator, 0);
    sy_status status = sy__file_map_open(path, &map, error);
    if (status == SY_OK) {
        status =
            sy__json_parse(allocator, (const char *)map.bytes, map.n_bytes, path, &r.json, error);
    }
    if (status == SY_OK) {
        status = read_config(&r);
        sy__json_document_deinit(&r.json);
    }
    sy__file_map_close(&map);
    if (status != SY_OK) {
        sy__arena_deinit(&config.arena);
        return status;
    }
    *out_config = config;
    return SY_OK;
}

void sy__peft_config_close(sy__peft_config *config) {
    sy__arena_deinit(&config->arena);
}

bool sy__peft_config_has(const sy__peft_config *config, const char *module) {
    size_t n = strlen(module);
    for (uint32_t i = 0; i < config->targets.n; i++) {
        size_t n_end = strlen(config->targets.items[i].pattern);
        if (n >= n_end && strcmp(module + n - n_end, config->targets.items[i].pattern) == 0 &&
            (n == n_end || module[n - n_end - 1] == '.')) {
            return true;
        }
    }
    return config->targets.n == 0;
}

static double number_of(const sy__peft_rules *rules, const char *module, double otherwise) {
    for (uint32_t i = 0; i < rules->n; i++) {
        if (matches(rules->items[i].pattern, module)) {
            return rules->items[i].number;
        }
    }
    return otherwise;
}

double sy__peft_config_rank(const sy__peft_config *config, const char *module) {
    return number_of(&config->ranks, module, config->rank);
}

double sy__peft_config_scale(const sy__peft_config *config, const char *module) {
    double rank = sy__peft_config_rank(config, module);
    double alpha = number_of(&config->alphas, module, config->alpha);
    return alpha / (config->root_scaled ? sqrt(rank) : rank);
}
