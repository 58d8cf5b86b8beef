/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a text against a schema, and finds the word that was probably meant. */
#include "ini_internal.h"

#include <string.h>

#define WORD_BYTES 64u

/* Damerau-Levenshtein over two rows: insert, delete, replace, swap of neighbours cost one. */
uint32_t sy_ini_distance(const char *a, const char *b) {
    uint32_t rows[3][WORD_BYTES + 1];
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > WORD_BYTES || n_b > WORD_BYTES) {
        return 99;
    }
    for (size_t j = 0; j <= n_b; j++) {
        rows[0][j] = (uint32_t)j;
    }
    for (size_t i = 1; i <= n_a; i++) {
        uint32_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
        now[0] = (uint32_t)i;
        for (size_t j = 1; j <= n_b; j++) {
            uint32_t best = before[j - 1] + (a[i - 1] != b[j - 1]);
            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            best = is_swap && older[j - 2] + 1 < best ? older[j - 2] + 1 : best;
            now[j] = best;
        }
    }
    return rows[n_a % 3][n_b];
}

void sy__ini_suggest(const char *given, const char *candidate, const char **inout_best,
                     uint32_t *inout_distance) {
    uint32_t distance = sy_ini_distance(given, candidate);
    size_t n_given = strlen(given);
    uint32_t most = n_given <= 3 ? 1 : n_given <= 6 ? 2 : 3;
    if (distance <= most && (*inout_best == NULL || distance < *inout_distance)) {
        *inout_best = candidate;
        *inout_distance = distance;
    }
}

/* "delegate *" takes "delegate cpu-xnnpack", but not "delegate" or "delegate ". */
static bool section_fits(const char *pattern, const char *section) {
    size_t n = strlen(pattern);
    if (n >= 2 && strcmp(pattern + n - 2, " *") == 0) {
        return strncmp(section, pattern, n - 1) == 0 && section[n - 1] != '\0' &&
               strchr(section + n - 1, ' ') == NULL;
    }
    return strcmp(pattern, section) == 0;
}

static bool key_fits(const char *pattern, const char *key) {
    const char *star = strchr(pattern, '*');
    if (star == NULL) {
        return strcmp(pattern, key) == 0;
    }
    size_t n_before = (size_t)(star - pattern);
    return strncmp(pattern, key, n_before) == 0 && key[n_before] != '\0';
}

const sy_ini_rule *sy_ini_rule_find(const sy_ini_schema *schema, const char *section,
                                    const char *key) {
    const sy_ini_rule *found = NULL;
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const sy_ini_rule *rule = &schema->rules[i];
        if (section_fits(rule->section, section) && key_fits(rule->key, key)) {
            bool is_exact = strchr(rule->key, '*') == NULL;
            found = found == NULL || is_exact ? rule : found;
        }
    }
    return found;
}

static bool section_is_known(const sy_ini_schema *schema, const char *section) {
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        if (section_fits(schema->rules[i].section, section)) {
            return true;
        }
    }
    return false;
}

static void hint_section(const sy_ini_schema *schema, const char *section, sy_error *error) {
    const char *best = NULL;
    uint32_t distance = 0;
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const char *known = schema->rules[i].section;
        size_t n_known = strcspn(known, " ");
        if (known[n_known] == ' ' && strncmp(section, known, n_known) == 0) {
            sy_error_hint(error, "Write [%.*s NAME] with one name and one blank.", (int)n_known,
                          known);
            return;
        }
        sy__ini_suggest(section, known, &best, &distance);
    }
    if (best != NULL) {
        sy_error_hint(error, "Did you mean [%s]?", best);
    } else {
        sy_error_hint(error, "docs/configuration.md lists the sections of a %s.", schema->name);
    }
}

static void hint_key(const sy_ini_schema *schema, const sy_ini_entry *entry, sy_error *error) {
    const char *best = NULL, *elsewhere = NULL;
    uint32_t distance = 0;
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        const sy_ini_rule *rule = &schema->rules[i];
        bool is_here = section_fits(rule->section, entry->section);
        if (is_here) {
            sy__ini_suggest(entry->key, rule->key, &best, &distance);
        } else if (strcmp(rule->key, "*") != 0 && key_fits(rule->key, entry->key)) {
            elsewhere = rule->section;
        }
    }
    if (best != NULL) {
        sy_error_hint(error, "Did you mean \"%s\"?", best);
    } else if (elsewhere != NULL) {
        sy_error_hint(error, "This key belongs in [%s].", elsewhere);
    } else {
        sy_error_hint(error, "docs/configuration.md lists the keys of a %s.", schema->name);
    }
}

static sy_status check_entry(const sy_ini_schema *schema, const sy_ini_entry *entry,
                             sy_error *error) {
    if (!section_is_known(schema, entry->section)) {
        return SY_OK; /* reported once, at the section's own line */
    }
    const sy_ini_rule *rule = sy_ini_rule_find(schema, entry->section, entry->key);
    if (rule != NULL) {
        sy_ini_rule named = *rule;
        named.key = entry->key; /* so that the text shows the key and not its pattern */
        return sy_ini_check_value(&named, entry->value, error);
    }
    sy_error_set(error, SY_INVALID_ARGUMENT, "Unknown key \"%s\" in [%s].", entry->key,
                 entry->section);
    hint_key(schema, entry, error);
    return SY_INVALID_ARGUMENT;
}

static void deliver(sy_ini_problem problem, void *user, const sy_error *found,
                    sy_status *inout_first, sy_error *error) {
    if (problem != NULL) {
        problem(user, found);
    }
    if (*inout_first == SY_OK) {
        *inout_first = found->status;
        if (error != NULL) {
            *error = *found;
        }
    }
}

sy_status sy_ini_check(const sy_ini *ini, const sy_ini_schema *schema, sy_ini_problem problem,
                       void *user, sy_error *error) {
    sy_status first = SY_OK;
    sy_error found;
    uint32_t n = 0;
    const sy_ini_section *sections = sy_ini_sections(ini, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (!section_is_known(schema, sections[i].name)) {
            sy_error_set(&found, SY_INVALID_ARGUMENT, "Unknown section [%s].", sections[i].name);
            hint_section(schema, sections[i].name, &found);
            sy_error_at(&found, sy_ini_origin(ini), sections[i].line);
            deliver(problem, user, &found, &first, error);
        }
    }
    const sy_ini_entry *entries = sy_ini_entries(ini, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (check_entry(schema, &entries[i], &found) != SY_OK) {
            sy_error_at(&found, sy_ini_origin(ini), entries[i].line);
            deliver(problem, user, &found, &first, error);
        }
    }
    return first;
}
