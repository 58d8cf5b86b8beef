/* SPDX-License-Identifier: Apache-2.0 */
/* The table of chat formats. */
#ifndef SY_CHAT_FAMILY_H
#define SY_CHAT_FAMILY_H

#include "switchyard/chat.h"

/* How a family departs from "open, content, close" for each message. */
enum {
    SY__CHAT_TRIM = 1,             /* white space around contents goes */
    SY__CHAT_ALTERNATE = 2,        /* user and assistant take turns, system only first */
    SY__CHAT_SYSTEM_IN_FIRST = 4,  /* system text goes into the first user turn */
    SY__CHAT_SYSTEM_IN_LAST = 8,   /* ... or into the last one */
    SY__CHAT_BEGIN_AT_USER = 16,   /* each user turn but the first starts with the begin token */
    SY__CHAT_THOUGHTS = 32,        /* Qwen 3: thoughts leave the history */
    SY__CHAT_DEFAULT_SYSTEM = 64,  /* the template may hold a system text of its own */
    SY__CHAT_SYSTEM_ALWAYS = 128,  /* the system turn is there even when empty */
    SY__CHAT_LAST_ONLY = 256,      /* only the last message counts */
    SY__CHAT_TRIM_ASSISTANT = 512, /* only assistants' contents are trimmed */
    SY__CHAT_SKIP_EMPTY_SYSTEM = 1024,
    SY__CHAT_ALWAYS_GENERATE = 2048, /* the opening belongs to the user's turn */
    SY__CHAT_BEGIN = 4096            /* the template starts with the begin token */
};

typedef struct sy__chat_turn {
    const char *open, *close;
} sy__chat_turn;

typedef struct sy__chat_family {
    const char *name;
    const char *marks[4];    /* all of them in a template: it is this one */
    const char *no_marks[2]; /* and none of these */
    uint32_t flags;
    sy__chat_turn system, user, assistant;
    const char *generate;
    const char *end; /* closes a text that does not end with `generate` */
    const char *stops[SY_CHAT_STOPS];
} sy__chat_family;

extern const sy__chat_family sy__chat_families[];
extern const uint32_t sy__chat_n_families;

#endif
