/* SPDX-License-Identifier: Apache-2.0 */
#include "text_lines.h"

#include "memory.h"

#include <string.h>

static uint32_t count_lines(const char *text) {
    uint32_t n = 0;
    for (; text != NULL && *text != '\0'; n++) {
        const char *end = strchr(text, '\n');
        text = end != NULL ? end + 1 : text + strlen(text);
    }
    return n;
}

sy_status sy_cli_read_lines(const sy_cli_list *given, const char *path, sy_cli_lines *out_lines,
                            sy_error *error) {
    sy_cli_lines lines = {.items = NULL};
    sy_status status = path != NULL ? sy_cli_read_text(path, &lines.text, error) : SY_OK;
    if (status != SY_OK) {
        return status;
    }
    lines.n_most = given->n + count_lines(lines.text.bytes);
    lines.items = sy_cli_allocate(lines.n_most, sizeof(*lines.items));
    if (lines.items == NULL) {
        sy_cli_free_text(&lines.text);
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %u texts.", lines.n_most);
    }
    for (; lines.n < given->n; lines.n++) {
        lines.items[lines.n] = given->items[lines.n];
    }
    for (char *line = lines.text.bytes; lines.n < lines.n_most; lines.n++) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        lines.items[lines.n] = line;
        line = end != NULL ? end + 1 : line;
    }
    *out_lines = lines;
    return SY_OK;
}

void sy_cli_free_lines(sy_cli_lines *lines) {
    sy_cli_free(lines->items, lines->n_most, sizeof(*lines->items));
    sy_cli_free_text(&lines->text);
    *lines = (sy_cli_lines){.items = NULL};
}
