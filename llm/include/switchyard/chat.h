/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chat formats: how the messages of a conversation become one text. A model file carries its format
 * as a program (tokenizer.chat_template); this version recognises the formats of the families by
 * what is typical of them and renders them itself, byte for byte like the program.
 *
 * The rendered text leaves out the begin token in front, because encoding adds it: encode it with
 * SY_ENCODE_ADD_SPECIAL | SY_ENCODE_PARSE_SPECIAL (where sy_chat_format.adds_begin is 0, with
 * SY_ENCODE_PARSE_SPECIAL alone). Control tokens written inside a message become control tokens
 * as well; SY_CHAT_STRICT refuses such messages.
 */
#ifndef SWITCHYARD_CHAT_H
#define SWITCHYARD_CHAT_H

#include "switchyard/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SY_CHAT_STOPS 4u

/* One message. role is "system", "user" or "assistant". */
typedef struct sy_chat_message {
    const char *role;
    const char *content;
} sy_chat_message;

/* Text inside a template, not NUL-terminated. */
typedef struct sy_chat_text {
    const char *bytes;
    size_t n_bytes;
} sy_chat_text;

/* A recognised format. Plain; the texts point into the template, which must outlive it. */
typedef struct sy_chat_format {
    const char *name;            /* "chatml", "llama3", ... */
    uint32_t i_family;           /* inside */
    uint32_t adds_begin;         /* 1: encode with SY_ENCODE_ADD_SPECIAL */
    sy_chat_text default_system; /* said when the first message is no system message, or empty */
    sy_chat_text prefix, suffix; /* format "plain": around the last message */
    uint32_t n_stops;
    const char *stops[SY_CHAT_STOPS]; /* texts that end an answer */
} sy_chat_format;

/* Recognises a template. NULL or "" is NOT_FOUND.
 * shape: -  unit: -  owner: template_text must outlive the format  errors: NOT_FOUND without a
 * template, UNIMPLEMENTED for one that is not known  thread: any
 * cost: O(template)  since: 0.1  source: chat templates of the published models */
SY_MUST_CHECK sy_status sy_chat_recognise(const char *template_text, sy_chat_format *out_format,
                                          sy_error *error);

/* A format by its name (for --chat-template NAME).
 * shape: -  unit: -  owner: static texts  errors: NOT_FOUND, naming those there are
 * thread: any  cost: O(names)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_chat_find(const char *name, sy_chat_format *out_format, sy_error *error);

/* Name of format i, NULL past the last one.
 * shape: -  unit: -  owner: static  errors: NULL  thread: any
 * cost: O(1)  since: 0.1  source: - */
const char *sy_chat_name(uint32_t i_format);

/* Flags of sy_chat_render. */
#define SY_CHAT_GENERATE 1u /* end with the opening of an assistant's turn */
#define SY_CHAT_NO_THINK 2u /* "qwen3": with an empty thought, so that it answers at once */
#define SY_CHAT_STRICT 4u   /* refuse messages that contain marks of the format */

/* Renders messages. With out_text NULL only the length is answered; not NUL-terminated.
 * shape: messages [n_messages], out_text [capacity]  unit: bytes  owner: caller
 * errors: INVALID_ARGUMENT for unknown roles or an order that the format cannot say, OUT_OF_RANGE
 * when it does not fit  thread: any  cost: no heap, O(bytes)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_chat_render(const sy_chat_format *format,
                                       const sy_chat_message *messages, size_t n_messages,
                                       uint32_t flags, char *out_text, size_t capacity,
                                       size_t *out_n_bytes, sy_error *error);

#ifdef __cplusplus
}
#endif
#endif
