/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SY_EMBED_INTERNAL_H
#define SY_EMBED_INTERNAL_H

#include "arch/description.h"
#include "switchyard/embed.h"

/* Does a text fit one step, and are its tokens some? i_text is for the sentence. */
sy_status sy__embed_check_text(const sy_engine *engine, const sy_embed_text *text, uint32_t i_text,
                               sy_error *error);

/* The pooling that the file asks for, the mean where it says nothing. */
sy_pooling sy__embed_pooling(const sy_engine *engine);
/* n_rows rows of a text become one vector. */
void sy__embed_pool(const float *rows, uint32_t n_rows, uint32_t width, sy_pooling pooling,
                    float *out_vector);
/* Never NULL: the engine has read the model by it. */
const sy__family *sy__embed_family(const sy_engine *engine);

#endif
