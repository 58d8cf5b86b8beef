/* SPDX-License-Identifier: Apache-2.0 */
/* The report as text and as JSON. */
#include "conform/conform_internal.h"

#include "base/text.h"

static const char *const level_names[SY_CONFORM_LEVELS] = {
    "static", "lifecycle", "verdicts", "memory and states", "asynchronous", "blobs", "faults"};

static void write_text(const sy_conform_report *report, sy__text *text) {
    sy__text_printf(text, "%s: %s %s, device %s\n", report->path,
                    report->name[0] != '\0'    ? report->name
                    : report->levels[1].is_run ? "(no table)"
                                               : "(not asked)",
                    report->version, report->device[0] != '\0' ? report->device : "(none)");
    for (uint32_t i = 0; i < SY_CONFORM_LEVELS; i++) {
        const sy_conform_level *level = &report->levels[i];
        if (level->is_run == 0) {
            sy__text_printf(text, "  L%u %-18s not run\n", i, level_names[i]);
            continue;
        }
        sy__text_printf(text, "  L%u %-18s %-6s %6u checks, %u failed", i, level_names[i],
                        level->n_failures == 0 ? "passed" : "FAILED", level->n_checks,
                        level->n_failures);
        if (level->n_run + level->n_declined > 0) {
            sy__text_printf(text, "; %u cases run, %u declined with a reason", level->n_run,
                            level->n_declined);
        }
        sy__text_printf(text, "%s%s\n", level->note[0] != '\0' ? "; " : "", level->note);
    }
    for (uint32_t i = 0; i < report->n_kept; i++) {
        sy__text_printf(text, "  %s: %s\n", report->failures[i].check, report->failures[i].text);
    }
    if (report->n_failures > report->n_kept) {
        sy__text_printf(text, "  and %u more\n", report->n_failures - report->n_kept);
    }
    sy__text_puts(text, report->n_failures == 0
                            ? "conforms\n"
                            : "does not conform; plugin-api/RULES.md explains each check\n");
}

static void write_level(const sy_conform_report *report, uint32_t i, sy__json *json) {
    const sy_conform_level *level = &report->levels[i];
    sy__json_begin_object(json);
    sy__json_key(json, "level");
    sy__json_u64(json, i);
    sy__json_key(json, "name");
    sy__json_string(json, level_names[i]);
    sy__json_key(json, "run");
    sy__json_bool(json, level->is_run != 0);
    sy__json_key(json, "checks");
    sy__json_u64(json, level->n_checks);
    sy__json_key(json, "failures");
    sy__json_u64(json, level->n_failures);
    sy__json_key(json, "cases_run");
    sy__json_u64(json, level->n_run);
    sy__json_key(json, "cases_declined");
    sy__json_u64(json, level->n_declined);
    sy__json_key(json, "note");
    sy__json_string(json, level->note);
    sy__json_end_object(json);
}

static void write_json(const sy_conform_report *report, sy__text *text) {
    sy__json json;
    sy__json_init(&json, text, true);
    sy__json_begin_object(&json);
    const char *const keys[][2] = {{"path", report->path},
                                   {"name", report->name},
                                   {"version", report->version},
                                   {"device", report->device}};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        sy__json_key(&json, keys[i][0]);
        sy__json_string(&json, keys[i][1]);
    }
    sy__json_key(&json, "conforms");
    sy__json_bool(&json, report->n_failures == 0);
    sy__json_key(&json, "levels");
    sy__json_begin_array(&json);
    for (uint32_t i = 0; i < SY_CONFORM_LEVELS; i++) {
        write_level(report, i, &json);
    }
    sy__json_end_array(&json);
    sy__json_key(&json, "n_failures");
    sy__json_u64(&json, report->n_failures);
    sy__json_key(&json, "failures");
    sy__json_begin_array(&json);
    for (uint32_t i = 0; i < report->n_kept; i++) {
        sy__json_begin_object(&json);
        sy__json_key(&json, "check");
        sy__json_string(&json, report->failures[i].check);
        sy__json_key(&json, "text");
        sy__json_string(&json, report->failures[i].text);
        sy__json_end_object(&json);
    }
    sy__json_end_array(&json);
    sy__json_end_object(&json);
    sy__text_puts(text, "\n");
}

sy_status sy_conform_report_format(const sy_conform_report *report, uint32_t as_json,
                                   char **out_text, sy_error *error) {
    sy__text text;
    sy__text_init(&text, NULL, 0);
    if (as_json != 0) {
        write_json(report, &text);
    } else {
        write_text(report, &text);
    }
    return sy__text_take(&text, out_text, error);
}
