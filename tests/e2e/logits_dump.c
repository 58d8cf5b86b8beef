/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logits_dump MODEL KV_TYPE[/VALUE_TYPE] CHUNK [--without NAME]... [--plugins DIR]...
 *     [--config INI] [--lora FILE] -- ID...
 * Writes the logits after every token as f32 rows to standard output: the probe behind the
 * comparisons with reference logits. For an encoder: the hidden states.
 */
#include "switchyard/adapter.h"
#include "switchyard/registry.h"
#include "switchyard/session.h"
#include "switchyard/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX 4096
#define LIST_MAX 8

typedef struct arguments {
    const char *without[LIST_MAX], *plugins[LIST_MAX], *quantization;
    uint32_t n_without, n_plugins, n_ids;
    const char *lora, *config;
    int32_t ids[IDS_MAX];
} arguments;

static int fail(const sy_error *error) {
    char text[800];
    sy_error_format(error, text, sizeof(text));
    fprintf(stderr, "%s\n", text);
    return 1;
}

/* Rows come out of scoring-like steps of one output row each: prefill in chunks, then logits. */
static sy_status dump_decoder(sy_engine *engine, const arguments *a, uint32_t chunk,
                              sy_error *error) {
    sy_session *session = NULL;
    sy_adapter *adapter = NULL;
    sy_status status = sy_session_open(engine, 0, &session, error);
    if (status == SY_OK && a->lora != NULL) {
        status = sy_adapter_load(engine, a->lora, &adapter, error);
    }
    if (status == SY_OK && adapter != NULL) {
        status = sy_session_set_adapter(session, adapter, 1.0f, error);
    }
    uint32_t n_vocabulary = sy_engine_info(engine)->n_vocabulary;
    for (uint32_t i = 0; status == SY_OK && i < a->n_ids;) {
        const float *logits = NULL;
        uint32_t n = a->n_ids - i < chunk ? a->n_ids - i : chunk;
        status = sy_session_prefill(session, a->ids + i, n, error);
        if (status == SY_OK) {
            status = sy_session_logits(session, &logits, error);
        }
        if (status == SY_OK) {
            fwrite(logits, sizeof(float), n_vocabulary, stdout);
        }
        i += n;
    }
    sy_session_close(session);
    return status;
}

static sy_status dump_encoder(sy_engine *engine, const arguments *a, sy_error *error) {
    size_t n = (size_t)a->n_ids * sy_engine_info(engine)->n_embedding;
    float *hidden = calloc(n, sizeof(float));
    sy_status status = hidden != NULL ? sy_engine_encode(engine, a->ids, a->n_ids, hidden, error)
                                      : SY_RESOURCE_EXHAUSTED;
    if (status == SY_OK) {
        fwrite(hidden, sizeof(float), n, stdout);
    }
    free(hidden);
    return status;
}

static void parse(int argc, char **argv, arguments *a) {
    int i = 4;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (strcmp(argv[i], "--without") == 0 && a->n_without < LIST_MAX) {
            a->without[a->n_without++] = argv[i + 1];
        } else if (strcmp(argv[i], "--lora") == 0) {
            a->lora = argv[i + 1];
        } else if (strcmp(argv[i], "--config") == 0) {
            a->config = argv[i + 1];
        } else if (strcmp(argv[i], "--quantization") == 0) {
            a->quantization = argv[i + 1];
        } else if (a->n_plugins < LIST_MAX) {
            a->plugins[a->n_plugins++] = argv[i + 1];
        }
    }
    for (i++; i < argc && a->n_ids < IDS_MAX; i++) {
        a->ids[a->n_ids++] = (int32_t)strtol(argv[i], NULL, 10);
    }
}

int main(int argc, char **argv) {
    static arguments a;
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_registry *registry = NULL;
    sy_engine *engine = NULL;
    char key_type[16];
    if (argc < 6) {
        fprintf(stderr, "usage: logits_dump MODEL KV_TYPE CHUNK [FLAGS] -- ID...\n");
        return 2;
    }
    parse(argc, argv, &a);
    sy_error_clear(&error);
    sy_engine_options options;
    sy_engine_options_default(&options);
    const char *slash = strchr(argv[2], '/');
    snprintf(key_type, sizeof(key_type), "%.*s",
             slash != NULL ? (int)(slash - argv[2]) : (int)strlen(argv[2]), argv[2]);
    options.key_type = sy_type_find(key_type);
    options.value_type = slash != NULL ? sy_type_find(slash + 1) : options.key_type;
    options.n_adapters = a.lora != NULL;
    options.adapter_rank = 64;
    options.n_without = a.n_without;
    options.without = a.without;
    options.quantization = a.quantization;
    sy_registry_options search;
    sy_registry_options_default(&search);
    search.directories = a.plugins;
    search.n_directories = a.n_plugins;
    sy_conf *conf = NULL;
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK && a.config != NULL) {
        sy_conf_options layers;
        const sy_conf_layer layer = {.level = SY_CONF_OEM, .path = a.config};
        sy_conf_options_default(&layers);
        layers.layers = &layer;
        layers.n_layers = 1;
        status = sy_conf_create(&layers, &conf, &error);
        search.conf = conf;
        options.policy = status == SY_OK ? sy_conf_policy(conf) : NULL;
    }
    if (status == SY_OK && a.n_plugins > 0) {
        status = sy_registry_open(runtime, &search, &registry, &error);
    }
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], &options, &engine, &error);
    }
    if (status == SY_OK) {
        uint32_t chunk = (uint32_t)strtoul(argv[3], NULL, 10);
        status = sy_engine_info(engine)->is_encoder ? dump_encoder(engine, &a, &error)
                                                    : dump_decoder(engine, &a, chunk, &error);
    }
    int exit_status = status == SY_OK ? 0 : fail(&error);
    sy_engine_destroy(engine);
    sy_registry_close(registry);
    sy_runtime_destroy(runtime);
    sy_conf_destroy(conf);
    return exit_status;
}
