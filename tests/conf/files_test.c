/* SPDX-License-Identifier: Apache-2.0 */
/* The files that ship: the manual, the default file and the samples agree with the schema. */
#include "harness.h"
#include "switchyard/conf.h"
#include "switchyard/graph.h"

#include <stdbool.h>

static char *read_source(const char *name) {
    const char *folder = getenv("SY_SOURCE_DIR");
    char path[512];
    CHECK(folder != NULL);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK_TEXT(file != NULL, "%s", path);
    static char text[1 << 18];
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static sy_conf *must_read(const char *text) {
    sy_conf_layer layer = {
        .level = SY_CONF_ADMIN, .path = "file", .text = text, .n_text_bytes = strlen(text)};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = &layer;
    options.n_layers = 1;
    sy_conf *conf = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_conf_create(&options, &conf, &error), error);
    return conf;
}

static void manual_is_the_schema(void) {
    char *manual = NULL;
    sy_error error;
    CHECK_OK_ERROR(sy_conf_manual(NULL, &manual, &error), error);
    CHECK_TEXT(strcmp(manual, read_source("docs/configuration.md")) == 0,
               "run: switchyard conf manual > docs/configuration.md");
    sy_string_destroy(NULL, manual);
}

static void default_file_changes_nothing(void) {
    sy_conf *conf = must_read(read_source("conf/default.ini"));
    const sy_ini_schema *schema = sy_conf_schema();
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const sy_ini_rule *rule = &schema->rules[i];
        const char *value = sy_conf_value(conf, rule->section, rule->key, NULL);
        CHECK_TEXT((value == NULL) == (rule->fallback == NULL) &&
                       (value == NULL || strcmp(value, rule->fallback) == 0),
                   "[%s] %s = %s", rule->section, rule->key, value);
    }
    CHECK(sy_conf_policy(conf)->n_rules == 0 && sy_conf_policy(conf)->n_budgets == 0);
    sy_conf_destroy(conf);
}

/* Takes "# " away from lines that would be keys or sections. */
static void uncomment(char *text) {
    char *to = text;
    for (char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        bool is_example = strncmp(line, "# ", 2) == 0 &&
                          strchr("abcdefghijklmnopqrstuvwxyz[", line[2]) != NULL &&
                          (memchr(line, '=', n) != NULL || line[2] == '[');
        size_t n_skip = is_example ? 2 : 0;
        memmove(to, line + n_skip, n - n_skip + (line[n] == '\n'));
        to += n - n_skip + (line[n] == '\n');
        line += n + (line[n] == '\n');
    }
    *to = '\0';
}

static void default_file_shows_every_key(void) {
    char *text = read_source("conf/default.ini");
    uncomment(text);
    sy_ini *ini = NULL;
    sy_error error;
    const sy_ini_schema *schema = sy_conf_schema();
    CHECK_OK_ERROR(sy_ini_parse(NULL, "default.ini", text, strlen(text), &ini, &error), error);
    CHECK_OK_ERROR(sy_ini_check(ini, schema, NULL, NULL, &error), error);
    uint32_t n = 0;
    const sy_ini_entry *entries = sy_ini_entries(ini, &n);
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        bool is_shown = false;
        for (uint32_t j = 0; j < n; j++) {
            is_shown = is_shown || sy_ini_rule_find(schema, entries[j].section, entries[j].key) ==
                                       &schema->rules[i];
        }
        CHECK_TEXT(is_shown, "[%s] %s", schema->rules[i].section, schema->rules[i].key);
    }
    sy_ini_destroy(ini);
}

static void samples_are_fine(void) {
    static const char *const names[] = {"pi-class-cpu", "arm-phone-npu", "x86-mini-pc"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof(path), "conf/samples/%s.ini", names[i]);
        sy_conf *conf = must_read(read_source(path));
        CHECK(sy_conf_policy(conf)->n_orders > 0 && sy_conf_policy(conf)->n_budgets > 0);
        sy_conf_destroy(conf);
    }
}

static const sy_test_case cases[] = {
    {"manual_is_the_schema", manual_is_the_schema},
    {"default_file_changes_nothing", default_file_changes_nothing},
    {"default_file_shows_every_key", default_file_shows_every_key},
    {"samples_are_fine", samples_are_fine},
};
SY_TEST_MAIN(cases)
