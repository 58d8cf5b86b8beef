/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation as the text a model of the ChatML family expects. */
#include <switchyard/chat.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    static const sy_chat_message messages[] = {
        {"system", "Answer in one word."},
        {"user", "What moves a train onto another track?"},
    };
    static const char expected[] = "<|im_start|>system\nAnswer in one word.<|im_end|>\n"
                                   "<|im_start|>user\nWhat moves a train onto another track?"
                                   "<|im_end|>\n<|im_start|>assistant\n";
    sy_error error;
    sy_chat_format format;
    char text[512];
    size_t n_bytes = 0;
    sy_status status = sy_chat_find("chatml", &format, &error);
    if (status == SY_OK) {
        status = sy_chat_render(&format, messages, 2, SY_CHAT_GENERATE, text, sizeof(text),
                                &n_bytes, &error);
    }
    if (status != SY_OK) {
        printf("%s %s\n", error.message, error.hint);
        return 1;
    }
    printf("%.*s(an answer ends with %s)\n", (int)n_bytes, text, format.stops[0]);
    return n_bytes == sizeof(expected) - 1 && memcmp(text, expected, n_bytes) == 0 ? 0 : 1;
}
