/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adapters (LoRA): small sets of weights beside a model. Several are resident at a time, each
 * session says which it uses, and one step carries sessions with different adapters and with none.
 * The weights of the model are never touched, so that changing an adapter costs nothing.
 *
 *   options.n_adapters = 2;  options.adapter_rank = 16;      before sy_engine_create
 *   sy_adapter_load(engine, "pirate.gguf", &adapter, &error);
 *   sy_session_set_adapter(session, adapter, 1.0f, &error);
 */
#ifndef SWITCHYARD_ADAPTER_H
#define SWITCHYARD_ADAPTER_H

#include "switchyard/session.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_adapter sy_adapter;

/* What an adapter's file says of itself. */
typedef struct sy_adapter_facts {
    uint32_t rank;    /* the largest of its pairs: the least sy_engine_options.adapter_rank */
    uint32_t n_pairs; /* tensors of the model that it adapts */
    uint64_t n_bytes; /* of its matrices, mapped */
} sy_adapter_facts;

/* Reads the facts of an adapter's file without a model.
 * shape: -  unit: -  owner: caller  errors: those of sy_adapter_load that need no model
 * thread: any  cost: O(tensors)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_adapter_read_facts(const sy_allocator *allocator, const char *path,
                                              sy_adapter_facts *out_facts, sy_error *error);

/* Maps an adapter and hands it to the delegates: a GGUF file with general.type = adapter, or what
 * peft saves, as the folder or by the path of its safetensors. Either kind goes with either kind of
 * model. Its matrices must fit the engine's model, tensor by tensor.
 * shape: -  unit: -  owner: the engine, until sy_adapter_unload or its end  errors: those of the
 * reader, INVALID_ARGUMENT no adapter or one for another model, naming the tensor, OUT_OF_RANGE a
 * rank over the engine's, RESOURCE_EXHAUSTED as many adapters as the engine was made for,
 * FAILED_PRECONDITION an engine without room for adapters, UNIMPLEMENTED what this build does not
 * run, naming the key or tensor  thread: one at a time per engine  cost: O(tensors), maps the file,
 * O(bytes) of B and of matrices in blocks  since: 0.1
 * source: llama.cpp convert_lora_to_gguf.py, peft */
SY_MUST_CHECK sy_status sy_adapter_load(sy_engine *engine, const char *path,
                                        sy_adapter **out_adapter, sy_error *error);

/* Drops an adapter; NULL is fine.
 * shape: -  unit: -  owner: takes it on success  errors: FAILED_PRECONDITION while a session uses
 * it  thread: one at a time per engine  cost: O(delegates)  since: 0.1  source: - */
SY_MUST_CHECK sy_status sy_adapter_unload(sy_adapter *adapter, sy_error *error);

/* Says which adapter a session uses from now on, in place of those before; NULL: none. What a
 * session holds was computed with the weights of that time, so it must hold no token. A clone uses
 * what its source uses.
 * shape: -  unit: times the adapter's own scale  owner: borrows the adapter until the session is
 * closed or uses another  errors: FAILED_PRECONDITION with tokens, INVALID_ARGUMENT another engine
 * or a scale that is no number  thread: one at a time per engine  cost: O(1)  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_session_set_adapter(sy_session *session, sy_adapter *adapter,
                                               float scale, sy_error *error);

/* The same beside the adapters that the session uses: what they add is summed.
 * shape: -  unit: -  owner: as sy_session_set_adapter  errors: those, OUT_OF_RANGE over
 * SY_LIMIT_ADAPTERS_PER_SEQUENCE  thread: one at a time per engine  cost: O(1)  since: 0.1
 * source: - */
SY_MUST_CHECK sy_status sy_session_add_adapter(sy_session *session, sy_adapter *adapter,
                                               float scale, sy_error *error);

/* Facts of a loaded adapter.
 * shape: -  unit: -  owner: borrowed from the adapter  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_adapter_facts *sy_adapter_get_facts(const sy_adapter *adapter);

#ifdef __cplusplus
}
#endif
#endif
