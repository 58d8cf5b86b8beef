/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that contradict each other: a pin onto a delegate that is forbidden for the same nodes, and
 * a pin that an earlier, wider pin keeps from ever deciding. */
#include "conf_internal.h"

#include <string.h>

static bool is_in(const sy__setting *setting, const char *section) {
    return strcmp(setting->section, section) == 0;
}

/* "operator." or "node." and the pattern behind it. */
static const char *pattern_of(const sy__setting *rule) {
    return strchr(rule->key, '.') + 1;
}

static bool is_same_target(const sy__setting *a, const sy__setting *b) {
    return a->key[0] == b->key[0] && sy_ini_covers(pattern_of(a), pattern_of(b));
}

static bool list_covers(const char *list, const char *selector) {
    const char *cursor = list;
    size_t n = 0;
    for (const char *item = sy_ini_item(&cursor, &n); item != NULL;
         item = sy_ini_item(&cursor, &n)) {
        char wide[200];
        n = n < sizeof(wide) ? n : sizeof(wide) - 1;
        memcpy(wide, item, n);
        wide[n] = '\0';
        if (sy_ini_covers(wide, selector)) {
            return true;
        }
    }
    return false;
}

static sy_status contradiction(const sy__setting *a, const sy__setting *b, const char *what,
                               const char *hint, sy_error *error) {
    bool a_is_later =
        a->i_layer > b->i_layer || (a->i_layer == b->i_layer && a->source.line > b->source.line);
    const sy__setting *later = a_is_later ? a : b, *earlier = a_is_later ? b : a;
    sy_status status = a->i_layer == b->i_layer ? SY_INVALID_ARGUMENT : SY_PERMISSION_DENIED;
    sy_error_set(error, status, "[%s] %s = %s %s [%s] %s = %s at %s:%u.", later->section,
                 later->key, later->value, what, earlier->section, earlier->key, earlier->value,
                 earlier->source.file, earlier->source.line);
    sy_error_hint(error, "%s", hint);
    sy_error_at(error, later->source.file, later->source.line);
    return status;
}

static sy_status check_pair(const sy__setting *first, const sy__setting *second, sy_error *error) {
    const sy__setting *pin = is_in(first, "pin") ? first : second;
    const sy__setting *other = pin == first ? second : first;
    if (is_in(other, "forbid")) {
        if (is_same_target(other, pin) && list_covers(other->value, pin->value)) {
            return contradiction(pin, other, "contradicts",
                                 "Pin to another delegate or change the forbid.", error);
        }
        return SY_OK;
    }
    /* Two pins: `first` comes first in the policy and decides where both match. */
    if (is_same_target(first, second) && !sy_ini_covers(first->value, second->value)) {
        return contradiction(second, first, "never decides because of",
                             first->i_layer == second->i_layer
                                 ? "Put the more special pin above the general one."
                                 : "A later layer may not undo a pin.",
                             error);
    }
    return SY_OK;
}

sy_status sy__conf_check_rules(const sy_conf *conf, const sy_conf_options *options,
                               sy_error *error) {
    sy_status first = SY_OK;
    for (size_t i = 0; i < conf->n_settings; i++) {
        const sy__setting *a = &conf->settings[i];
        for (size_t j = i + 1; j < conf->n_settings; j++) {
            const sy__setting *b = &conf->settings[j];
            bool has_pin = is_in(a, "pin") || is_in(b, "pin");
            bool are_rules =
                (is_in(a, "pin") || is_in(a, "forbid")) && (is_in(b, "pin") || is_in(b, "forbid"));
            sy_error found;
            if (has_pin && are_rules && check_pair(a, b, &found) != SY_OK) {
                sy__conf_problem(options, &found, &first, error);
            }
        }
    }
    return first;
}
