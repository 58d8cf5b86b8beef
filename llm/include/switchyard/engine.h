/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: one model, loaded once and shared by all of its sessions - weights mapped, graph
 * built, planned over the runtime's delegates, units loaded.
 */
#ifndef SWITCHYARD_ENGINE_H
#define SWITCHYARD_ENGINE_H

#include "switchyard/executor.h"
#include "switchyard/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_engine sy_engine;

/* How the rows of the sessions in a step came back. */
typedef enum sy_restore {
    SY_RESTORE_NONE = 0,      /* there were none */
    SY_RESTORE_MOVED = 1,     /* out of delegates that still answered */
    SY_RESTORE_COPIED = 2,    /* out of the copy, the newest ones recomputed where it was behind */
    SY_RESTORE_RECOMPUTED = 3 /* from the tokens */
} sy_restore;

/* A delegate failed under an engine and others went on, or it came back. */
typedef struct sy_failover_event {
    sy_failure failure; /* NONE: it came back */
    sy_restore restore;
    char delegate[64], device[64];
    uint32_t n_tokens;   /* committed, of the first session of the step; 0: outside of a step */
    uint32_t n_sessions; /* that were moved */
    uint32_t n_recomputed_tokens;  /* before the step was repeated */
    uint32_t used_shadow;          /* 1: the plan was ready */
    uint64_t plan_ns, load_ns;     /* making the plan; loading it */
    uint64_t restore_ns, total_ns; /* moving rows; from the failure to the step's new end */
    float margin; /* likeliest token over the next one, in the logits at the seam; 0: none there */
    char reason[SY_ERROR_MESSAGE_BYTES]; /* the delegate's words */
} sy_failover_event;

/* Gets each event, on the thread whose call met it. It may not call the engine. */
typedef void (*sy_failover_callback)(void *user, const sy_failover_event *event);

/* Settings. Start from sy_engine_options_default. */
typedef struct sy_engine_options {
    uint32_t struct_bytes;
    uint32_t n_context_tokens; /* longest session; 0: what the model was made for */
    uint32_t n_batch_tokens;   /* rows of one step: the prefill chunk */
    uint32_t n_output_rows;    /* rows of logits one step can give (scoring uses all) */
    uint32_t n_sequences;      /* sequences one step can carry */
    sy_element_type key_type;  /* of the KV cache: f32, f16, bf16, Q8_0, Q4_0 */
    sy_element_type value_type;
    /* 0: none; a wall for everything beside the mapped weights. A load that would cross it halves
     * n_batch_tokens, down to 16, before it is refused (docs/memory.md). */
    uint64_t budget_bytes;
    uint64_t prefix_bytes;   /* for prefixes that sessions share (docs/sessions.md); 0: none */
    const sy_policy *policy; /* NULL: sy_policy_default; borrowed while the engine lives */
    uint32_t n_without, n_rules;
    const char *const *without; /* as in sy_plan_options */
    const sy_policy_rule *rules;
    uint32_t disabled_passes; /* set of 1 << sy_pass */
    void (*trace)(void *user, sy_pass pass, int before, const sy_graph *graph);
    void *trace_user;
    uint32_t profile;         /* 1: times per node (sy_executor_node_ns) */
    uint32_t read_ahead;      /* 1: weights on disk are asked for beside the load, in use order */
    uint32_t n_adapters;      /* adapters that may be loaded at a time; 0: none (adapter.h) */
    uint32_t adapter_rank;    /* their largest rank; room for all is set aside of the budget */
    uint32_t no_alternatives; /* as in sy_plan_options: a plan that nobody asks to explain itself */
    /* Mixture that weights in f32, f16 or bf16 are quantised to while they are loaded (names as in
     * quantize_model.h); NULL: used as they are. What it makes counts against the budget. */
    const char *quantization;
    /* 1: the model can be measured for an importance matrix (importance.h). Its graph then has
     * nodes that sum up what the products read, in every step. */
    uint32_t measure_importance;
    /* SY_PLACEMENT_* (plan.h); default ONE_ON_CPUS. Where prefill and decode may have a node on
     * different delegates, the last bits depend on how a prompt is cut into chunks. */
    uint32_t placement;
    uint32_t no_blobs;                /* as in sy_executor_options */
    sy_failover_options failover;     /* as sy_failover_options_default has them */
    sy_failover_callback on_failover; /* may be NULL */
    void *failover_user;
} sy_engine_options;

/* What a model says of itself. Strings live as long as the engine. */
typedef struct sy_model_info {
    const char *architecture;  /* as the file spells it, e.g. "llama" */
    const char *name;          /* "" when the file has none */
    const char *chat_template; /* "" when the file has none */
    uint64_t n_parameters, weight_bytes;
    uint64_t table_bytes; /* vocabulary and other facts: what is read of the file, and the heap */
    uint32_t n_layers, n_embedding, n_vocabulary;
    uint32_t n_context_tokens; /* longest session of this engine */
    uint32_t n_trained_tokens; /* context the model was made for */
    uint32_t is_encoder;       /* 1: gives hidden states, not next-token logits */
    uint32_t pooling;          /* of an encoder's rows, GGUF's key pooling_type; 0: none said */
} sy_model_info;

/* Fills defaults: model's context up to 4096 tokens, chunks of 256, 16 output rows, one sequence,
 * f16 cache.
 * shape: -  unit: -  owner: caller  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
void sy_engine_options_default(sy_engine_options *out_options);

/* Loads a model - a GGUF file, or a folder as Hugging Face publishes them - and plans it over the
 * runtime's delegates. NULL options: defaults.
 * shape: -  unit: -  owner: caller, sy_engine_destroy; the runtime must outlive it
 * errors: those of the reader, UNIMPLEMENTED architecture, of planning and of loading
 * thread: one at a time per runtime  cost: maps the file, builds tables  since: 0.1
 * source: GGUF specification */
SY_MUST_CHECK sy_status sy_engine_create(sy_runtime *runtime, const char *model_path,
                                         const sy_engine_options *options, sy_engine **out_engine,
                                         sy_error *error);

/* Ends an engine after its sessions are closed; NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: one at a time
 * cost: unloads  since: 0.1  source: - */
void sy_engine_destroy(sy_engine *engine);

/* Parts of an engine; plan and executor change when a delegate fails or comes back.
 * shape: -  unit: -  owner: borrowed from the engine  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_model_info *sy_engine_info(const sy_engine *engine);
const sy_tokenizer *sy_engine_tokenizer(const sy_engine *engine);
const sy_plan *sy_engine_plan(const sy_engine *engine);
const sy_executor *sy_engine_executor(const sy_engine *engine);

/* Events so far, and event i of them, 0 the first; only the newest 16 are kept.
 * shape: -  unit: -  owner: caller  errors: NOT_FOUND for one that is not there (any more)
 * thread: one at a time per engine  cost: O(1)  since: 0.1  source: docs/failover.md */
uint64_t sy_engine_n_failovers(const sy_engine *engine);
SY_MUST_CHECK sy_status sy_engine_get_failover(const sy_engine *engine, uint64_t i_event,
                                               sy_failover_event *out_event, sy_error *error);

/* What an engine takes, and what a session of it would take. */
typedef struct sy_engine_memory {
    uint64_t weight_bytes;     /* mapped from the file, shared, beside the budget */
    uint64_t load_bytes;       /* all that loading took; the next four are parts of it */
    uint64_t activation_bytes; /* arenas, those of devices too */
    uint64_t scratch_bytes;
    uint64_t unit_bytes;          /* of loaded segments; the next is a part of it */
    uint64_t device_weight_bytes; /* weights that devices hold copies of */
    uint64_t session_bytes;       /* one session; the next is a part of it */
    uint64_t state_bytes;         /* its states */
    uint64_t reserved_bytes;      /* all open sessions and stored prefixes; shared blocks once */
    uint64_t prefix_bytes;   /* stored prefixes, with what they share; they give way to sessions */
    uint64_t metadata_bytes; /* of the file, beside weights: vocabulary, facts */
    uint64_t budget_bytes;   /* 0: none */
    uint32_t n_batch_tokens; /* the prefill chunk, after what the budget made of it */
} sy_engine_memory;

/* Memory of an engine, and of a session of max_tokens (0: the engine's context).
 * shape: -  unit: bytes  owner: caller  errors: none  thread: one at a time per engine
 * cost: O(values)  since: 0.1  source: docs/memory.md */
void sy_engine_get_memory(const sy_engine *engine, uint32_t max_tokens,
                          sy_engine_memory *out_memory);

/* Where the time of sy_engine_create went. */
typedef struct sy_load_times {
    uint64_t file_ns;      /* mapping the file and proving its tables */
    uint64_t tokenizer_ns; /* tables of the vocabulary */
    uint64_t graph_ns;     /* building the graph, passes */
    uint64_t plan_ns;      /* plans of both phases */
    uint64_t units_ns;     /* loading the segments into their delegates, arenas */
} sy_load_times;

/* Times of the load.
 * shape: -  unit: ns  owner: borrowed from the engine  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_load_times *sy_engine_load_times(const sy_engine *engine);

/* Phases of an engine's plan: index of the prefill plan and of the decode plan. */
enum { SY_ENGINE_PREFILL = 0, SY_ENGINE_DECODE = 1 };

#ifdef __cplusplus
}
#endif
#endif
