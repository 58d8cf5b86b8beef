/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine needs of adapters. */
#ifndef SY_LORA_ADAPTER_INTERNAL_H
#define SY_LORA_ADAPTER_INTERNAL_H

#include "engine/engine_internal.h"
#include "lora/file.h"
#include "switchyard/adapter.h"

struct sy_adapter {
    sy_engine *engine;
    sy_adapter *next; /* of the engine's */
    sy__lora_file file;
    sy_adapter_set *set;
    sy_adapter_facts facts;
    uint8_t identity[SY__DIGEST_BYTES]; /* names, shapes, scales, samples of the weights */
};

/* Bytes that an engine sets aside for the adapters it may take, at their largest. */
uint64_t sy__adapters_reserve_bytes(const sy_engine *engine);
/* Hands all adapters to the engine's executor, from the one they were made for. */
sy_status sy__adapters_move(sy_engine *engine, sy_error *error);
/* Drops all adapters of an engine whose sessions are closed. */
void sy__adapters_unload_all(sy_engine *engine);
/* The resident adapter with an identity, or NULL. */
sy_adapter *sy__adapter_find(const sy_engine *engine, const uint8_t *identity);

/* An adapter that a session uses. */
typedef struct sy__adapter_use {
    sy_adapter *adapter;
    float scale;
} sy__adapter_use;
/* The adapters of a session, at most SY_LIMIT_ADAPTERS_PER_SEQUENCE; answers their number. */
uint32_t sy__session_adapters(const sy_session *session, sy__adapter_use *out_uses);

#endif
