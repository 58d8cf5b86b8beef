/* SPDX-License-Identifier: Apache-2.0 */
/* adapter_config.json of peft, as far as it says what is computed. For llm/lora only. */
#ifndef SY_LORA_PEFT_H
#define SY_LORA_PEFT_H

#include "base/memory.h"
#include "switchyard/status.h"

/* A number for the modules that a pattern matches. */
typedef struct sy__peft_rule {
    const char *pattern;
    double number;
} sy__peft_rule;

typedef struct sy__peft_rules {
    sy__peft_rule *items; /* the first that matches counts */
    uint32_t n;
} sy__peft_rules;

typedef struct sy__peft_config {
    double rank, alpha;
    bool root_scaled;             /* alpha / sqrt(rank) in place of alpha / rank */
    sy__peft_rules ranks, alphas; /* of single modules */
    sy__peft_rules targets;       /* ends of modules' names; n == 0: the tensors tell */
    sy__arena arena;
} sy__peft_config;

/* Reads the file; every key that would change the result and cannot be honoured is refused by name.
 * After a failure there is nothing to close. */
SY_MUST_CHECK sy_status sy__peft_config_open(const sy_allocator *allocator, const char *path,
                                             sy__peft_config *out_config, sy_error *error);
void sy__peft_config_close(sy__peft_config *config);

/* Of a module such as "model.layers.0.self_attn.q_proj". */
bool sy__peft_config_has(const sy__peft_config *config, const char *module);
double sy__peft_config_rank(const sy__peft_config *config, const char *module);
double sy__peft_config_scale(const sy__peft_config *config, const char *module);

#endif
