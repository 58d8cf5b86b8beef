/* SPDX-License-Identifier: Apache-2.0 */
/* The settings in force as INI text, and the manual of all keys as Markdown. */
#include "conf_internal.h"

#include "base/text.h"

#include <string.h>

static void show_line(sy__text *text, const char *key, const char *value, const sy_source *source) {
    if (source->file != NULL) {
        sy__text_printf(text, "# %s:%u\n", source->file, source->line);
    } else {
        sy__text_puts(text, "# built in\n");
    }
    sy__text_printf(text, "%s = %s\n", key, value);
}

/* Defaults of a section first where nobody set them, then what the layers set, in their order. */
static void show_section(sy__text *text, const sy_conf *conf, const char *section) {
    static const sy_source built_in = {NULL, 0};
    const sy_ini_schema *schema = sy_conf_schema();
    sy__text_printf(text, "%s[%s]\n", text->n_bytes > 0 ? "\n" : "", section);
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const sy_ini_rule *rule = &schema->rules[i];
        if (strcmp(rule->section, section) == 0 && rule->fallback != NULL &&
            sy__conf_find(conf, section, rule->key) == NULL) {
            show_line(text, rule->key, rule->fallback, &built_in);
        }
    }
    for (size_t i = 0; i < conf->n_settings; i++) {
        const sy__setting *setting = &conf->settings[i];
        if (strcmp(setting->section, section) == 0) {
            show_line(text, setting->key, setting->value, &setting->source);
        }
    }
}

sy_status sy_conf_show(const sy_conf *conf, char **out_text, sy_error *error) {
    const sy_ini_schema *schema = sy_conf_schema();
    sy__text text;
    sy__text_init(&text, conf->allocator, 0);
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const char *section = schema->rules[i].section;
        bool is_new = i == 0 || strcmp(schema->rules[i - 1].section, section) != 0;
        if (is_new && strchr(section, '*') == NULL) {
            show_section(&text, conf, section);
        }
    }
    char section[64];
    for (uint32_t i = 0; i < conf->n_delegates; i++) {
        const char *name = conf->delegates[i].name;
        if (strlen(name) + sizeof("delegate ") <= sizeof(section)) {
            memcpy(section, "delegate ", 9);
            memcpy(section + 9, name, strlen(name) + 1);
            show_section(&text, conf, section);
        }
    }
    sy_status status = sy__text_take(&text, out_text, error);
    sy__text_deinit(&text);
    return status;
}

static const char grammar[] =
    "# Configuration\n"
    "\n"
    "<!-- Made from conf/schema.c by `switchyard conf manual`; a test compares the two. -->\n"
    "\n"
    "Switchyard reads INI files in four layers: vendor, OEM, admin, app. On a device these\n"
    "are `/etc/switchyard/vendor.ini`, `oem.ini` and `admin.ini`, each of them optional, then\n"
    "what the application brings (`--config FILE`, or the environment variable\n"
    "`SWITCHYARD_CONFIG`, which a privileged process ignores). The three files must belong to\n"
    "root or the effective user and be writable for nobody else. `switchyard conf check\n"
    "FILE...` checks files, `switchyard conf show` prints what is in force and where each\n"
    "value came from. `conf/default.ini` shows every key, `conf/samples/` has files for three\n"
    "boards.\n"
    "\n"
    "## What a later layer may do\n"
    "\n"
    "A later layer narrows what an earlier one set and never widens it. The column *later*\n"
    "says how:\n"
    "\n"
    "| word | a later layer may |\n"
    "|---|---|\n"
    "| replace | set another value; it is a preference |\n"
    "| lower, raise | move a limit in this direction only |\n"
    "| stricter | move towards the last of the choices |\n"
    "| fewer | drop items or name more special ones; an order keeps its direction |\n"
    "| add | add items; those of earlier layers stay |\n"
    "| keep | set keys that no earlier layer set |\n"
    "\n"
    "More special means `gpu-vulkan` or `gpu-*` where `gpu` stands, `name:device` where\n"
    "`name` stands. Anything else is an error that names both lines. Rules of earlier layers\n"
    "decide first. Files of one layer count as layers in turn.\n"
    "\n"
    "## The form of a file\n"
    "\n"
    "Plain UTF-8 of at most 256 KiB without byte order mark; lines of at most 190 bytes that\n"
    "end in LF or CRLF and are empty, a comment (first character `#` or `;`), `[section]` or\n"
    "`key = value`. Refused, with the line: an unknown section or key, one that is given\n"
    "twice, a key before any section or without value, an indented line, a comment behind a\n"
    "value, a value in quotation marks, control characters, characters that hide or reorder\n"
    "text.\n"
    "\n"
    "A *delegate* is a plugin name (`cpu-xnnpack`), `name:device`, a class word (`npu` `gpu`\n"
    "`cpu` `dsp`) or a glob with `*` and `?`, of the device too; a key cannot hold `:` and a\n"
    "list's item no `,`, write `?` for them. Sizes carry a unit: `B`, `KiB`, `MiB`, `GiB`.\n";

static const char *type_words(const sy_ini_rule *rule) {
    static const char *const words[] = {
        [SY_INI_COUNT] = "whole number",  [SY_INI_NUMBER] = "number",
        [SY_INI_PERCENT] = "percent",     [SY_INI_BYTES] = "size",
        [SY_INI_CHOICE] = "choice",       [SY_INI_TEXT] = "text",
        [SY_INI_NAME] = "name",           [SY_INI_SELECTOR] = "delegate",
        [SY_INI_SELECTORS] = "delegates", [SY_INI_PATHS] = "absolute paths",
        [SY_INI_WORDS] = "words",         [SY_INI_SHA256] = "SHA-256",
        [SY_INI_ABI] = "ABI version",     [SY_INI_FILE] = "file name",
        [SY_INI_CPUS] = "CPUs",           [SY_INI_PATH] = "absolute path"};
    return words[rule->type];
}

static void write_choices(sy__text *text, const char *choices, const char *suffix) {
    for (; choices != NULL && *choices != '\0';) {
        size_t n = strcspn(choices, "|");
        sy__text_printf(text, " `%.*s`%s", (int)n, choices, suffix);
        choices += n + (choices[n] == '|');
    }
}

static void manual_row(sy__text *text, const sy_ini_rule *rule) {
    static const char *const later[] = {"replace", "lower", "raise", "stricter",
                                        "fewer",   "add",   "keep"};
    sy__text_printf(text, "| `%s` | %s", rule->key, type_words(rule));
    if (rule->type == SY_INI_CHOICE) {
        sy__text_puts(text, ":");
        write_choices(text, rule->choices, "");
        write_choices(text, rule->later, " (later version)");
    } else if (rule->type == SY_INI_BYTES) {
        sy__text_puts(text, ", up to 1 PiB");
    } else if (rule->type <= SY_INI_PERCENT) {
        sy__text_printf(text, ", %.10g to %.10g", rule->least, rule->most);
        sy__text_puts(text, rule->choices != NULL ? ", or" : "");
        write_choices(text, rule->choices, "");
    }
    sy__text_puts(text, " | ");
    if (rule->fallback != NULL) {
        sy__text_printf(text, "`%s`", rule->fallback);
    } else {
        sy__text_puts(text, "-");
    }
    sy__text_printf(text, " | %s | %s |\n", later[rule->narrow], rule->about);
}

sy_status sy_conf_manual(const sy_allocator *allocator, char **out_text, sy_error *error) {
    const sy_ini_schema *schema = sy_conf_schema();
    sy__text text;
    sy__text_init(&text, allocator, 0);
    sy__text_puts(&text, grammar);
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const sy_ini_rule *rule = &schema->rules[i];
        if (i == 0 || strcmp(schema->rules[i - 1].section, rule->section) != 0) {
            sy__text_printf(&text,
                            "\n## [%s]\n\n| key | value | default | later | meaning |\n"
                            "|---|---|---|---|---|\n",
                            strchr(rule->section, '*') != NULL ? "delegate NAME" : rule->section);
        }
        manual_row(&text, rule);
    }
    sy_status status = sy__text_take(&text, out_text, error);
    sy__text_deinit(&text);
    return status;
}
