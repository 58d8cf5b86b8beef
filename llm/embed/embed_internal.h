/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_EMBED_INTERNAL_H
#define SY_EMBED_INTERNAL_H

#include "switchyard/embed.h"

/* Does a text fit one step, and are its tokens some? i_text is for the sentence. */
sy_status sy__embed_check_text(const sy_engine *engine, const sy_embed_text *text, uint32_t i_text,
                               sy_error *error);

#endif
