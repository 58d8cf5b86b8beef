/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The budget of an engine: what loading took, what each session reserves, and who is let in. The
 * weights are mapped and not counted.
 */
#include "engine/engine_internal.h"
#include "lora/adapter_internal.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SMALLEST_BATCH_TOKENS 16u
#define SMALLEST_CONTEXT_TOKENS 64u

/* What loading took in memory of devices, which the heap does not count. */
static uint64_t device_bytes(const sy_engine *engine) {
    sy_memory_report report;
    sy_executor_memory(engine->executor, &report);
    return report.device_bytes + report.device_scratch_bytes + report.device_unit_bytes;
}

/* What the host keeps in front of every block that a delegate takes. */
static uint64_t head_bytes(const sy_engine *engine, uint32_t max_tokens) {
    sy_state_memory need = {.block_tokens = 0};
    if (sy_state_need_create(engine->executor, max_tokens, 1, &need, NULL) != SY_OK) {
        return 0;
    }
    uint64_t n_blocks = need.block_tokens > 0 ? max_tokens / need.block_tokens + 2 : 1;
    uint64_t n_states = 0;
    uint32_t n_values = sy_graph_n_values(engine->model.graph);
    for (uint32_t i = 0; i < n_values; i++) {
        sy_value_view view;
        bool known = sy_graph_value(engine->model.graph, i, &view) == SY_OK;
        n_states += known && view.kind == SY_VALUE_STATE;
    }
    return n_states * n_blocks * SY__ALIGNMENT;
}

uint64_t sy__engine_session_heap_bytes(const sy_engine *engine, uint32_t max_tokens) {
    uint64_t n_pending = sy__session_pending_bytes(engine);
    return sizeof(sy_session) + (uint64_t)max_tokens * sizeof(int32_t) +
           (uint64_t)engine->info.n_vocabulary * sizeof(float) + n_pending +
           head_bytes(engine, max_tokens);
}

uint64_t sy__engine_state_bytes(const sy_engine *engine, uint32_t max_tokens) {
    sy_state_memory need;
    sy_status status = sy_state_need_create(engine->executor, max_tokens, 1, &need, NULL);
    if (status != SY_OK) {
        return UINT64_MAX / 4;
    }
    return need.own_bytes;
}

/* Weights that are no mapping of a file: made while loading, so that load_bytes has them. */
static uint64_t weights_in_memory(const sy_engine *engine) {
    const sy_gguf_facts *facts = sy_gguf_get_facts(engine->gguf);
    uint64_t n_bytes = facts->gathered_bytes;
    for (uint32_t i = 0; engine->options.quantization != NULL && i < facts->n_tensors; i++) {
        sy_gguf_tensor tensor;
        bool made =
            sy_gguf_tensor_at(engine->gguf, i, &tensor) != 0 && sy_type_get(tensor.type)->is_block;
        n_bytes += made ? tensor.n_bytes : 0;
    }
    return n_bytes;
}

void sy_engine_get_memory(const sy_engine *engine, uint32_t max_tokens,
                          sy_engine_memory *out_memory) {
    sy_memory_report report;
    sy_executor_memory(engine->executor, &report);
    max_tokens = max_tokens != 0 ? max_tokens : engine->info.n_context_tokens;
    uint64_t n_made = weights_in_memory(engine);
    *out_memory = (sy_engine_memory){
        .weight_bytes = report.weight_bytes > n_made ? report.weight_bytes - n_made : 0,
        .load_bytes = engine->load_bytes,
        .activation_bytes = report.arena_bytes + report.device_bytes,
        .scratch_bytes = report.scratch_bytes,
        .unit_bytes = report.unit_bytes,
        .device_weight_bytes = report.device_unit_bytes,
        .budget_bytes = engine->options.budget_bytes,
        .reserved_bytes = engine->reserved_bytes,
        .metadata_bytes = sy_gguf_get_facts(engine->gguf)->metadata_bytes,
        .n_batch_tokens = engine->options.n_batch_tokens};
    if (engine->prefixes != NULL) {
        out_memory->prefix_bytes = sy__prefix_bytes(engine->prefixes);
    }
    if (!engine->info.is_encoder) {
        out_memory->state_bytes = sy__engine_state_bytes(engine, max_tokens);
        out_memory->session_bytes =
            sy__engine_session_heap_bytes(engine, max_tokens) +
            sy__engine_state_bytes(engine, max_tokens) +
            sy__engine_copy_bytes(engine, engine->options.failover.copy_every_tokens, max_tokens);
    }
}

bool sy__engine_fits(sy_engine *engine, uint64_t heap_before) {
    engine->load_bytes = sy_runtime_heap_bytes(engine->runtime) - heap_before +
                         device_bytes(engine) + sy__adapters_reserve_bytes(engine);
    return engine->options.budget_bytes == 0 || engine->load_bytes <= engine->options.budget_bytes;
}

bool sy__engine_smaller_batch(const sy_engine *engine, sy_engine_options *options) {
    uint32_t least = options->n_output_rows > options->n_sequences ? options->n_output_rows
                                                                   : options->n_sequences;
    least = least > SMALLEST_BATCH_TOKENS ? least : SMALLEST_BATCH_TOKENS;
    if (engine->info.is_encoder || options->n_batch_tokens / 2 < least) {
        return false; /* an encoder's chunk is its longest text */
    }
    options->n_batch_tokens /= 2;
    return true;
}

sy_status sy__engine_over_budget(const sy_engine *engine, sy_error *error) {
    uint64_t budget = engine->options.budget_bytes;
    sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                 "Beside its mapped weights the model takes %" PRIu64
                 " bytes with prefill chunks of %" PRIu32 " tokens, %" PRIu64
                 " more than the budget of %" PRIu64 ".",
                 engine->load_bytes, engine->options.n_batch_tokens, engine->load_bytes - budget,
                 budget);
    if (engine->options.n_adapters > 0) {
        sy_error_hint(error,
                      "Room for %" PRIu32 " adapters of rank %" PRIu32 " takes %" PRIu64
                      " bytes of it: ask for fewer or a smaller rank, or raise the budget.",
                      engine->options.n_adapters, engine->options.adapter_rank,
                      sy__adapters_reserve_bytes(engine));
        return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
    }
    sy_error_hint(error, "Raise the budget, or ask for fewer output rows, sequences or tokens of "
                         "context.");
    return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
}

/* Bytes that the states would take with another type of keys and values. */
static uint64_t bytes_with_type(const sy_engine *engine, uint64_t n_bytes, sy_element_type type) {
    uint64_t now = 0, then = 0, key = 0, value = 0;
    if (sy_type_row_bytes(type, 32, &then) != SY_OK ||
        sy_type_row_bytes(engine->options.key_type, 32, &key) != SY_OK ||
        sy_type_row_bytes(engine->options.value_type, 32, &value) != SY_OK) {
        return UINT64_MAX;
    }
    now = key + value;
    return n_bytes / now * (2 * then) + now;
}

/* What a session would take with another type of keys and values; NULL: with those it has. */
static uint64_t session_bytes_with(const sy_engine *engine, uint32_t max_tokens,
                                   const sy_element_type *type) {
    uint64_t n_states = sy__engine_state_bytes(engine, max_tokens);
    return sy__engine_session_heap_bytes(engine, max_tokens) +
           (type != NULL ? bytes_with_type(engine, n_states, *type) : n_states);
}

/* The longest such session that fits into n_bytes. */
static uint32_t longest_session(const sy_engine *engine, uint64_t n_bytes,
                                const sy_element_type *type) {
    uint32_t fits = 0, too_long = engine->info.n_context_tokens + 1;
    while (fits + 1 < too_long) {
        uint32_t middle = fits + (too_long - fits) / 2;
        if (session_bytes_with(engine, middle, type) <= n_bytes) {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    return fits;
}

static void hint_what_fits(const sy_engine *engine, uint32_t max_tokens, uint64_t n_left,
                           sy_error *error) {
    static const sy_element_type smaller[] = {SY_TYPE_F16, SY_TYPE_Q8_0, SY_TYPE_Q4_0};
    uint32_t n_fitting = longest_session(engine, n_left, NULL);
    for (size_t i = 0; i < sizeof(smaller) / sizeof(smaller[0]); i++) {
        if (session_bytes_with(engine, max_tokens, &smaller[i]) <= n_left) {
            sy_error_hint(error,
                          "A session of %" PRIu32 " tokens fits now; %" PRIu32
                          " would with keys and values of %s.",
                          n_fitting, max_tokens, sy_type_get(smaller[i])->name);
            return;
        }
    }
    sy_error_hint(error, "A session of %" PRIu32 " tokens fits now.", n_fitting);
}

bool sy__engine_smaller_load(const sy_engine *engine, sy_engine_options *options) {
    bool is_wide = options->n_output_rows > 1 || options->n_sequences > 1;
    if (engine->info.is_encoder) {
        return false;
    }
    options->n_output_rows = options->n_sequences = 1;
    if (options->n_batch_tokens > SMALLEST_BATCH_TOKENS) {
        options->n_batch_tokens = SMALLEST_BATCH_TOKENS;
    }
    options->n_context_tokens /= is_wide ? 1 : 2;
    return options->n_context_tokens >= SMALLEST_CONTEXT_TOKENS;
}

void sy__engine_hint_load(const sy_engine *engine, sy_error *error) {
    static const sy_element_type smaller = SY_TYPE_Q8_0;
    const sy_engine_options *options = &engine->options;
    uint64_t n_left = options->budget_bytes - engine->load_bytes;
    uint32_t n_own = longest_session(engine, n_left, NULL);
    uint32_t n_smaller = longest_session(engine, n_left, &smaller);
    char also[64] = "";
    if (n_smaller > n_own) {
        snprintf(also, sizeof(also), ", or %" PRIu32 " with keys and values of %s", n_smaller,
                 sy_type_get(smaller)->name);
    }
    sy_error_hint(error,
                  "A context of %" PRIu32 " tokens with one output row, one sequence and chunks "
                  "of %" PRIu32 " would fit, with a session of %" PRIu32 " tokens%s.",
                  options->n_context_tokens, options->n_batch_tokens, n_own, also);
}

bool sy__engine_has_room(const sy_engine *engine, uint64_t n_bytes) {
    uint64_t used = engine->load_bytes + engine->reserved_bytes;
    uint64_t budget = engine->options.budget_bytes;
    return budget == 0 || (used <= budget && n_bytes <= budget - used);
}

/* The prefix that was unused for the longest time goes; false when there is none. */
static bool give_up_prefix(sy_engine *engine) {
    uint64_t n_bytes = engine->prefixes != NULL ? sy__prefix_bytes(engine->prefixes) : 0;
    if (n_bytes > 0) {
        sy__prefix_shrink(engine->prefixes, n_bytes - 1);
    }
    return n_bytes > 0;
}

/* Do n_bytes fit? Stored prefixes give way, unless all of them would not do. */
static bool make_room(sy_engine *engine, uint64_t n_bytes) {
    uint64_t n_stored = engine->prefixes != NULL ? sy__prefix_bytes(engine->prefixes) : 0;
    bool fits = sy__engine_has_room(engine, n_bytes);
    bool may_fit = sy__engine_has_room(engine, n_bytes > n_stored ? n_bytes - n_stored : 0);
    while (!fits && may_fit && give_up_prefix(engine)) {
        fits = sy__engine_has_room(engine, n_bytes);
    }
    return fits;
}

sy_status sy__session_admit_writes(sy_session *session, uint32_t first, sy_error *error) {
    sy_engine *engine = session->engine;
    sy_state_memory need;
    first = first < session->n_loaded_rows ? 0 : first; /* those before it may have to be made */
    do {
        sy_status status = sy_state_need_truncate(session->states, first, &need, NULL);
        if (SY_STATUS_CLASS(status) ==
            SY_OUT_OF_RANGE) { /* rows left a window: all are made again */
            status = sy_state_need_truncate(session->states, 0, &need, NULL);
        }
        if (status != SY_OK || sy__engine_has_room(engine, need.own_bytes)) {
            return SY_OK; /* where it cannot be told, the call itself will say why */
        }
    } while (give_up_prefix(engine));
    sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                 "The session shares its tokens from %" PRIu32
                 " on with others; rows of its own take %" PRIu64
                 " bytes, more than the budget leaves.",
                 first, need.own_bytes);
    sy_error_hint(error, "Close one of the sessions that came from the same one.");
    return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
}

bool sy__engine_has_windows(const sy_engine *engine) {
    uint32_t n_nodes = sy_graph_n_nodes(engine->model.graph);
    for (uint32_t i = 0; i < n_nodes; i++) {
        sy_node_view node;
        bool known = sy_graph_node(engine->model.graph, i, &node) == SY_OK;
        for (uint32_t k = 0; known && k < node.n_attributes; k++) {
            if (strcmp(node.attributes[k].name, "window") == 0 && node.attributes[k].value.i > 0) {
                return true;
            }
        }
    }
    return false;
}

sy_status sy__engine_admit(sy_engine *engine, uint32_t max_tokens, uint64_t n_bytes,
                           sy_error *error) {
    uint64_t budget = engine->options.budget_bytes;
    uint64_t used = engine->load_bytes + engine->reserved_bytes;
    uint64_t n_left = budget > used ? budget - used : 0;
    if (make_room(engine, n_bytes)) {
        return SY_OK;
    }
    sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                 "A session of %" PRIu32 " tokens takes %" PRIu64 " bytes, %" PRIu64
                 " more than the budget leaves.",
                 max_tokens, n_bytes, n_bytes - n_left);
    hint_what_fits(engine, max_tokens, n_left, error);
    return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
}
