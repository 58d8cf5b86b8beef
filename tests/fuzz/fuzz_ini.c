/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: any bytes as configuration, as a second layer over a fixed first one, as plugin
 * manifest, and as shared object for the static check. The first byte chooses. What is accepted
 * must hold what the readers promise.
 */
#include "registry_internal.h"
#include "switchyard/graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void require(bool is_held) {
    if (!is_held) {
        abort();
    }
}

static sy_status read_layers(const char *const *texts, const size_t *n_bytes, uint32_t n,
                             sy_conf **out_conf, sy_error *error) {
    sy_conf_layer layers[2];
    for (uint32_t i = 0; i < n; i++) {
        layers[i] = (sy_conf_layer){.level = SY_CONF_ADMIN + i,
                                    .path = "fuzz",
                                    .text = texts[i],
                                    .n_text_bytes = n_bytes[i]};
    }
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = layers;
    options.n_layers = n;
    sy_error_clear(error);
    return sy_conf_create(&options, out_conf, error);
}

/* What is in force can be shown, and the shown text means the same. */
static void check_shown(const sy_conf *conf) {
    char *text = NULL;
    sy_conf *again = NULL;
    sy_error error;
    require(sy_conf_show(conf, &text, &error) == SY_OK);
    size_t n_bytes = strlen(text);
    const char *const texts[] = {text};
    if (read_layers(texts, &n_bytes, 1, &again, &error) == SY_OK) {
        const sy_policy *a = sy_conf_policy(conf), *b = sy_conf_policy(again);
        require(a->mode == b->mode && a->n_orders == b->n_orders && a->n_rules == b->n_rules);
        require(a->n_budgets == b->n_budgets && a->fallback == b->fallback);
    }
    sy_conf_destroy(again);
    sy_string_destroy(NULL, text);
}

static void configuration(const char *text, size_t n_bytes) {
    sy_conf *conf = NULL;
    sy_error error;
    if (read_layers(&text, &n_bytes, 1, &conf, &error) == SY_OK) {
        check_shown(conf);
    } else {
        require(error.message[0] != '\0' && strcmp(error.origin, "fuzz") == 0);
    }
    sy_conf_destroy(conf);
}

/* Whatever the application writes, it never gets more than the device allows. */
static void second_layer(const char *text, size_t n_bytes) {
    static const char first[] = "[order]\ndefault = npu-acme, cpu\n[budget]\ntotal = 64 MiB\n"
                                "[trust]\nowner = root\nhashes = required\nplugins = cpu-*\n"
                                "extra_directories = deny\n[runtime]\nthreads = 2\n"
                                "plugin_directories = /a\n[pin]\nnode.secret* = cpu\n";
    const char *const texts[] = {first, text};
    const size_t sizes[] = {sizeof(first) - 1, n_bytes};
    sy_conf *conf = NULL;
    sy_error error;
    if (read_layers(texts, sizes, 2, &conf, &error) == SY_OK) {
        const sy_conf_trust *trust = sy_conf_trust_settings(conf);
        const sy_policy *policy = sy_conf_policy(conf);
        uint32_t n = 0;
        const sy_conf_directory *directories = sy_conf_directories(conf, &n);
        require(trust->root_only && trust->require_sha256 && !trust->extra_directories);
        for (uint32_t i = 0; i < trust->n_allowed; i++) {
            require(strncmp(trust->allowed[i], "cpu-", 4) == 0);
        }
        for (uint32_t i = 0; i < n; i++) {
            require(strcmp(directories[i].path, "/a") == 0);
        }
        require(sy_conf_runtime_settings(conf)->n_threads - 1 < 2);
        require(policy->budgets[0].limit_bytes <= 64u << 20 && policy->n_orders <= 64);
        require(policy->n_rules > 0 && policy->rules[0].kind == SY_RULE_PIN);
        require(strncmp(policy->rules[0].delegate, "cpu", 3) == 0);
    }
    sy_conf_destroy(conf);
}

static void manifest(const char *text, size_t n_bytes) {
    sy_ini *ini = NULL;
    sy_error error;
    sy_error_clear(&error);
    if (sy_ini_parse(NULL, "fuzz", text, n_bytes, &ini, &error) != SY_OK) {
        require(error.message[0] != '\0');
        return;
    }
    if (sy_ini_check(ini, sy__manifest_schema(), NULL, NULL, &error) == SY_OK) {
        sy__manifest self;
        memset(&self, 0, sizeof(self));
        self.ini = ini;
        self.name = "fuzz";
        self.match = "path:/dev/null";
        const sy_ini_entry *entry = sy_ini_find(ini, "plugin", "arch");
        self.arch = entry != NULL ? entry->value : "any";
        bool is_known = sy__manifest_knows_options(&self, "a=1\nb=2\n", &error) ||
                        sy__manifest_fits_processor(&self, &error) ||
                        sy__manifest_allows(&self, "libfuzz.so.1");
        require(is_known || error.message[0] != '\0');
    }
    sy_ini_destroy(ini);
}

static bool allows_c_library(void *user, const char *library) {
    (void)user;
    return strcmp(library, "libc.so.6") == 0;
}

static void shared_object(const uint8_t *bytes, size_t n_bytes) {
    sy__elf_source source = {-1, bytes, n_bytes};
    sy_error error;
    sy_error_clear(&error);
    sy_status status = sy__elf_check(NULL, &source, allows_c_library, NULL, &error);
    require(status == SY_OK || error.message[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    if (n_bytes == 0) {
        return 0;
    }
    const char *text = (const char *)bytes + 1;
    switch (bytes[0] % 4) {
    case 0:
        configuration(text, n_bytes - 1);
        break;
    case 1:
        second_layer(text, n_bytes - 1);
        break;
    case 2:
        manifest(text, n_bytes - 1);
        break;
    default:
        shared_object(bytes + 1, n_bytes - 1);
        break;
    }
    return 0;
}
