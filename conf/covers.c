/* SPDX-License-Identifier: Apache-2.0 */
/* When one selector or glob is surely no wider than another. */
#include "switchyard/ini.h"

#include <string.h>

/* Glob `wide` against a text that may itself hold globs: '*' takes anything, '?' one character but
 * no '*', since that may stand for several. Linear apart from one point to return to. */
static int glob_covers(const char *wide, const char *narrow) {
    const char *retry_wide = NULL, *retry_narrow = NULL;
    while (*narrow != '\0') {
        if (*wide == '*') {
            retry_wide = ++wide;
            retry_narrow = narrow;
        } else if ((*wide == '?' && *narrow != '*') || (*wide == *narrow && *wide != '\0')) {
            wide++;
            narrow++;
        } else if (retry_wide != NULL) {
            wide = retry_wide;
            narrow = ++retry_narrow;
        } else {
            return 0;
        }
    }
    while (*wide == '*') {
        wide++;
    }
    return *wide == '\0';
}

static int is_class_word(const char *text) {
    return strcmp(text, "npu") == 0 || strcmp(text, "gpu") == 0 || strcmp(text, "cpu") == 0 ||
           strcmp(text, "dsp") == 0;
}

int sy_ini_covers(const char *wide, const char *narrow) {
    if (glob_covers(wide, narrow)) {
        return 1;
    }
    size_t n_wide = strlen(wide);
    if (strchr(wide, ':') != NULL || strncmp(wide, narrow, n_wide) != 0) {
        return 0;
    }
    /* "gpu" covers "gpu-vulkan"; a name covers "name:device". */
    return narrow[n_wide] == ':' || (narrow[n_wide] == '-' && is_class_word(wide));
}
