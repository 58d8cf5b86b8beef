/* SPDX-License-Identifier: Apache-2.0 */
/* Chat formats as a shared library, for comparisons from Python (ctypes). */
#include "switchyard/chat.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_MESSAGES 16u

EXPORT int64_t probe_render(const char *template_text, const char *name, const char *default_system,
                            const char *const *roles, const char *const *contents,
                            size_t n_messages, uint32_t flags, char *out_text, size_t capacity,
                            char *out_name);

/* Bytes of the text, or minus the status; the name of the format goes to out_name[32]. The format
 * comes from a template, or where that is NULL from a name and a system text. */
int64_t probe_render(const char *template_text, const char *name, const char *default_system,
                     const char *const *roles, const char *const *contents, size_t n_messages,
                     uint32_t flags, char *out_text, size_t capacity, char *out_name) {
    sy_chat_message messages[MAX_MESSAGES];
    sy_chat_format format;
    size_t n = 0;
    sy_status status = template_text != NULL ? sy_chat_recognise(template_text, &format, NULL)
                                             : sy_chat_find(name, &format, NULL);
    if (status != SY_OK || n_messages > MAX_MESSAGES) {
        return -(int64_t)status;
    }
    if (template_text == NULL) {
        format.default_system = (sy_chat_text){default_system, strlen(default_system)};
    }
    strncpy(out_name, format.name, 31);
    for (size_t i = 0; i < n_messages; i++) {
        messages[i] = (sy_chat_message){roles[i], contents[i]};
    }
    status = sy_chat_render(&format, messages, n_messages, flags, out_text, capacity, &n, NULL);
    return status == SY_OK ? (int64_t)n : -(int64_t)status;
}
