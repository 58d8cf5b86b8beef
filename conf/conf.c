/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration object: reads the layers in turn, then lends out what was built. */
#include "conf_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#ifndef SY_CONF_DIRECTORY
#define SY_CONF_DIRECTORY "/etc/switchyard"
#endif

int sy_conf_is_privileged(void) {
    return getauxval(AT_SECURE) != 0;
}

void sy_conf_options_default(sy_conf_options *out_options) {
    memset(out_options, 0, sizeof(*out_options));
    out_options->struct_bytes = (uint32_t)sizeof(*out_options);
}

uint32_t sy_conf_layers_default(sy_conf_layer out_layers[SY_CONF_LAYERS_MAX]) {
    static const char *const paths[] = {SY_CONF_DIRECTORY "/vendor.ini",
                                        SY_CONF_DIRECTORY "/oem.ini",
                                        SY_CONF_DIRECTORY "/admin.ini"};
    uint32_t n = 0;
    for (; n < 3; n++) {
        out_layers[n] = (sy_conf_layer){
            .level = (sy_conf_level)n, .path = paths[n], .is_optional = 1, .is_guarded = 1};
    }
    const char *from_environment = secure_getenv("SWITCHYARD_CONFIG");
    if (from_environment != NULL && from_environment[0] != '\0') {
        out_layers[n++] = (sy_conf_layer){.level = SY_CONF_APP, .path = from_environment};
    }
    return n;
}

static sy_status read_layer(const sy_conf *conf, const sy_conf_layer *layer, sy_ini **out_ini,
                            sy_error *error) {
    return layer->text != NULL
               ? sy_ini_parse(conf->allocator, layer->path, layer->text, layer->n_text_bytes,
                              out_ini, error)
               : sy_ini_open(conf->allocator, layer->path, (int)layer->is_guarded, out_ini, error);
}

static sy_status take_layer(sy_conf *conf, const sy_conf_options *options, uint32_t i_layer,
                            sy_error *error) {
    const sy_conf_layer *layer = &options->layers[i_layer];
    sy_ini *ini = NULL;
    sy_error found;
    sy_status first = SY_OK;
    sy_status status = read_layer(conf, layer, &ini, &found);
    if (status != SY_OK) {
        if (SY_STATUS_CLASS(status) == SY_NOT_FOUND && layer->is_optional) {
            return SY_OK;
        }
        sy__conf_problem(options, &found, &first, error);
        return first;
    }
    status = sy_ini_check(ini, sy_conf_schema(), options->problem, options->user, error);
    if (status == SY_OK) {
        status = sy__conf_merge(conf, ini, i_layer, options, error);
    }
    sy_ini_destroy(ini);
    return status;
}

static sy_status check_levels(const sy_conf_options *options, sy_error *error) {
    bool is_good = options->n_layers <= SY_CONF_LAYERS_MAX;
    for (uint32_t i = 0; is_good && i < options->n_layers; i++) {
        is_good = options->layers[i].path != NULL &&
                  (uint32_t)options->layers[i].level <= SY_CONF_APP &&
                  (i == 0 || options->layers[i].level >= options->layers[i - 1].level);
    }
    if (!is_good) {
        sy_error_set(error, SY_INVALID_ARGUMENT,
                     "The layers of the configuration are not in order.");
        sy_error_hint(error,
                      "At most %u layers, each with a path, vendor before OEM before admin "
                      "before app.",
                      SY_CONF_LAYERS_MAX);
        return SY_INVALID_ARGUMENT;
    }
    return SY_OK;
}

/* Reads every layer even after a problem, so that one run shows them all. */
static sy_status read_layers(sy_conf *conf, const sy_conf_options *options, sy_error *error) {
    sy_status first = SY_OK, status = SY_OK;
    for (uint32_t i = 0; i < options->n_layers; i++) {
        status = take_layer(conf, options, i, first == SY_OK ? error : NULL);
        first = first == SY_OK ? status : first;
    }
    if (first == SY_OK) {
        first = sy__conf_check_rules(conf, options, error);
    }
    sy_error found;
    if (first == SY_OK && sy__conf_build(conf, &found) != SY_OK) {
        sy__conf_problem(options, &found, &first, error);
    }
    return first;
}

sy_status sy_conf_create(const sy_conf_options *options, sy_conf **out_conf, sy_error *error) {
    sy_conf_options defaults;
    sy_conf_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    sy_status status = check_levels(options, error);
    if (status != SY_OK) {
        return status;
    }
    sy_conf *conf = SY__NEW(options->allocator, sy_conf);
    if (conf == NULL) {
        return sy__no_memory(error, sizeof(*conf), "the configuration");
    }
    conf->allocator = sy__allocator_or_heap(options->allocator);
    sy__arena_init(&conf->arena, conf->allocator, 8192);
    status = read_layers(conf, options, error);
    if (status != SY_OK) {
        sy_conf_destroy(conf);
        return status;
    }
    *out_conf = conf;
    return SY_OK;
}

void sy_conf_destroy(sy_conf *conf) {
    if (conf == NULL) {
        return;
    }
    const sy_allocator *allocator = conf->allocator;
    sy__free_array(allocator, conf->settings, conf->settings_capacity, sizeof(*conf->settings));
    sy__arena_deinit(&conf->arena);
    SY__DELETE(allocator, conf);
}

const sy_policy *sy_conf_policy(const sy_conf *conf) {
    return &conf->policy;
}

const sy_conf_cache *sy_conf_cache_settings(const sy_conf *conf) {
    return &conf->cache;
}

const sy_conf_runtime *sy_conf_runtime_settings(const sy_conf *conf) {
    return &conf->runtime;
}

const sy_conf_failover *sy_conf_failover_settings(const sy_conf *conf) {
    return &conf->failover;
}

const sy_conf_trust *sy_conf_trust_settings(const sy_conf *conf) {
    return &conf->trust;
}

const sy_conf_directory *sy_conf_directories(const sy_conf *conf, uint32_t *out_n) {
    *out_n = conf->n_directories;
    return conf->directories;
}

const char *sy_conf_delegate_options(const sy_conf *conf, const char *name) {
    for (uint32_t i = 0; i < conf->n_delegates; i++) {
        if (strcmp(conf->delegates[i].name, name) == 0) {
            return conf->delegates[i].options;
        }
    }
    return NULL;
}

const char *sy_conf_delegate_name(const sy_conf *conf, uint32_t i_delegate, sy_source *out_source) {
    if (i_delegate >= conf->n_delegates) {
        return NULL;
    }
    if (out_source != NULL) {
        *out_source = conf->delegates[i_delegate].source;
    }
    return conf->delegates[i_delegate].name;
}

const char *sy_conf_value(const sy_conf *conf, const char *section, const char *key,
                          sy_source *out_source) {
    const sy__setting *setting = sy__conf_find(conf, section, key);
    const sy_ini_rule *rule =
        setting != NULL ? NULL : sy_ini_rule_find(sy_conf_schema(), section, key);
    sy_source none = {NULL, 0};
    if (out_source != NULL) {
        *out_source = setting != NULL ? setting->source : none;
    }
    return setting != NULL ? setting->value : rule != NULL ? rule->fallback : NULL;
}
