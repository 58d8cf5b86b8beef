/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checked.h"
#include "base/clock.h"
#include "engine/engine_internal.h"
#include "lora/adapter_internal.h"
#include "switchyard/huggingface.h"
#include "switchyard/limits.h"
#include "switchyard/quantize_model.h"
#include "tokenizer/from_gguf.h"

#include <inttypes.h>
#include <string.h>

#define DEFAULT_CONTEXT_TOKENS 4096u
#define DEFAULT_BATCH_TOKENS 256u
#define DEFAULT_OUTPUT_ROWS 16u

void sy_engine_options_default(sy_engine_options *out_options) {
    *out_options = (sy_engine_options){.struct_bytes = sizeof(*out_options),
                                       .n_batch_tokens = DEFAULT_BATCH_TOKENS,
                                       .n_output_rows = DEFAULT_OUTPUT_ROWS,
                                       .n_sequences = 1,
                                       .key_type = SY_TYPE_F16,
                                       .value_type = SY_TYPE_F16,
                                       .placement = SY_PLACEMENT_ONE_ON_CPUS};
    sy_failover_options_default(&out_options->failover);
}

static sy_status check_options(const sy_engine_options *options, sy_error *error) {
    if (options->n_batch_tokens == 0 || options->n_batch_tokens > 65536u ||
        options->n_output_rows == 0 || options->n_output_rows > options->n_batch_tokens ||
        options->n_sequences == 0 || options->n_sequences > SY_LIMIT_SEQUENCES) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "The batch must be 1 to 65536 tokens, output rows 1 to the batch and "
                            "sequences 1 to %u.",
                            SY_LIMIT_SEQUENCES);
    }
    if (options->n_adapters > SY_LIMIT_ADAPTERS ||
        (options->n_adapters > 0 &&
         (options->adapter_rank == 0 || options->adapter_rank > SY_LIMIT_ADAPTER_RANK))) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "An engine takes up to %u adapters of a rank of 1 to %u.",
                            SY_LIMIT_ADAPTERS, SY_LIMIT_ADAPTER_RANK);
    }
    const sy_element_type types[2] = {options->key_type, options->value_type};
    for (size_t i = 0; i < 2; i++) {
        sy_element_type t = types[i];
        if (t != SY_TYPE_F32 && t != SY_TYPE_F16 && t != SY_TYPE_BF16 && t != SY_TYPE_Q8_0 &&
            t != SY_TYPE_Q4_0) {
            return sy_error_set(error, SY_INVALID_ARGUMENT,
                                "The cache type must be f32, f16, bf16, Q8_0 or Q4_0.");
        }
    }
    return SY_OK;
}

/* A model without a vocabulary can still be planned and run on token ids. */
static sy_status load_tokenizer(sy_engine *engine, sy_error *error) {
    sy_status status =
        sy__tokenizer_from_gguf(engine->allocator, engine->gguf, &engine->tokenizer, error);
    if (SY_STATUS_CLASS(status) == SY_NOT_FOUND) {
        sy_error_clear(error);
        return SY_OK;
    }
    if (status == SY_OK) {
        engine->info.table_bytes += sy__tokenizer_heap_bytes(engine->tokenizer);
    }
    return status;
}

static const char *text_key(sy_engine *engine, const char *key) {
    sy_gguf_string string;
    if (sy_gguf_get_string(engine->gguf, key, &string, NULL) != SY_OK) {
        return "";
    }
    return sy__arena_string(&engine->arena, string.bytes, (size_t)string.n_bytes);
}

static sy_status fill_info(sy_engine *engine, sy_error *error) {
    const sy_gguf_facts *facts = sy_gguf_get_facts(engine->gguf);
    sy_model_info *info = &engine->info;
    info->architecture = text_key(engine, "general.architecture");
    info->name = text_key(engine, "general.name");
    info->chat_template = text_key(engine, "tokenizer.chat_template");
    info->n_parameters = facts->n_elements;
    info->weight_bytes = facts->tensor_bytes;
    info->table_bytes = facts->metadata_bytes;
    if (info->architecture == NULL || info->name == NULL || info->chat_template == NULL) {
        return sy__no_memory(error, 0, "the model's description");
    }
    return SY_OK;
}

/* The longest session: what was asked for, or what the model was made for up to a default. */
static sy_status choose_context(const sy__architecture *described, sy__build_options *build,
                                sy_error *error) {
    uint32_t trained = described->n_context;
    if (build->n_context_tokens == 0) {
        build->n_context_tokens =
            trained < DEFAULT_CONTEXT_TOKENS ? trained : DEFAULT_CONTEXT_TOKENS;
    }
    if (build->n_context_tokens > SY_LIMIT_SESSION_TOKENS) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "A context of %" PRIu32 " tokens is over the limit of %u.",
                            build->n_context_tokens, SY_LIMIT_SESSION_TOKENS);
    }
    if (!described->has_output && build->adapter_rank > 0) {
        return sy_error_set(error, SY_UNIMPLEMENTED,
                            "Adapters are chosen by sessions, and an encoder has none.");
    }
    if (!described->has_output && build->n_context_tokens > trained) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "This encoder knows %" PRIu32 " positions, not %" PRIu32 ".", trained,
                            build->n_context_tokens);
    }
    return SY_OK;
}

static void copy_facts(sy_model_info *info, const sy__architecture *described,
                       const sy__build_options *build) {
    info->n_layers = described->n_layers;
    info->n_embedding = described->n_embd;
    info->n_vocabulary = described->n_vocab;
    info->n_trained_tokens = described->n_context;
    info->n_context_tokens = build->n_context_tokens;
    info->is_encoder = !described->has_output;
    info->pooling = (uint32_t)described->pooling;
}

static sy_status build_graph(sy_engine *engine, sy_error *error) {
    sy_engine_options *options = &engine->options;
    sy__build_options build = {.n_batch_tokens = options->n_batch_tokens,
                               .n_output_rows = options->n_output_rows,
                               .n_sequences = options->n_sequences,
                               .n_context_tokens = options->n_context_tokens,
                               .key_type = options->key_type,
                               .value_type = options->value_type,
                               .adapter_rank = options->n_adapters > 0 ? options->adapter_rank : 0,
                               .chooses = options->measure_importance == 0 &&
                                          sy__engine_has_device(engine),
                               .observe = options->measure_importance != 0};
    sy__architecture *described = SY__NEW(engine->allocator, sy__architecture);
    if (described == NULL) {
        return sy__no_memory(error, sizeof(*described), "the model's description");
    }
    sy_status status = sy__architecture_read(engine->gguf, described, error);
    if (status == SY_OK) {
        status = choose_context(described, &build, error);
    }
    if (status == SY_OK) {
        copy_facts(&engine->info, described, &build);
        status = sy__model_graph_build(engine->allocator, described, &build, &engine->model, error);
    }
    SY__DELETE(engine->allocator, described);
    if (status != SY_OK) {
        return status;
    }
    sy_pass_options passes = {.struct_bytes = sizeof(passes),
                              .disabled = options->disabled_passes,
                              .evaluate = sy_evaluate_reference,
                              .evaluate_user = engine->runtime,
                              .trace = options->trace,
                              .trace_user = options->trace_user};
    return sy__model_graph_optimize(&engine->model, &passes, error);
}

static sy_status make_executor(sy_engine *engine, sy_error *error) {
    sy__planned planned;
    sy_status status = sy__engine_make_first(engine, &planned, error);
    if (status != SY_OK) {
        return status;
    }
    engine->plan = planned.plan;
    engine->executor = planned.executor;
    sy__engine_find_choice(engine);
    engine->executor_bytes = planned.n_bytes;
    engine->times.plan_ns += planned.plan_ns;
    engine->times.units_ns += planned.load_ns;
    engine->positions =
        sy__alloc_array(engine->allocator, engine->options.n_batch_tokens, sizeof(int32_t));
    engine->rows =
        sy__alloc_array(engine->allocator, engine->options.n_output_rows, sizeof(int32_t));
    engine->no_types =
        sy__alloc_array(engine->allocator, engine->options.n_batch_tokens, sizeof(int32_t));
    if (engine->positions == NULL || engine->rows == NULL || engine->no_types == NULL) {
        return sy__no_memory(error, engine->options.n_batch_tokens * sizeof(int32_t), "an engine");
    }
    return sy__engine_make_shadows(engine, error);
}

static sy_status open_file(sy_engine *engine, const char *model_path, sy_error *error) {
    sy_status status = sy_model_open(engine->allocator, model_path, &engine->gguf, error);
    if (status == SY_OK && engine->options.quantization != NULL) {
        const sy_quantize_options quantize = {.struct_bytes = sizeof(quantize),
                                              .mixture = engine->options.quantization,
                                              .max_bytes = engine->options.budget_bytes};
        sy_gguf *from = engine->gguf;
        engine->gguf = NULL;
        status =
            sy_model_quantize_in_memory(engine->allocator, from, &quantize, &engine->gguf, error);
    }
    if (status == SY_OK) {
        status = sy_gguf_gather(engine->gguf, engine->options.budget_bytes, error);
    }
    return status == SY_OK ? fill_info(engine, error) : status;
}

/* Time since *inout_ns, which becomes now. */
static uint64_t lap(uint64_t *inout_ns) {
    uint64_t before = *inout_ns;
    *inout_ns = sy__clock_now_ns();
    return *inout_ns - before;
}

/* Everything that depends on the prefill chunk. */
static void unload(sy_engine *engine) {
    const sy_allocator *allocator = engine->allocator;
    sy__engine_drop_shadows(engine);
    sy_executor_destroy(engine->executor);
    sy_plan_destroy(engine->plan);
    sy__model_graph_deinit(&engine->model);
    sy__free_array(allocator, engine->positions, engine->options.n_batch_tokens, sizeof(int32_t));
    sy__free_array(allocator, engine->rows, engine->options.n_output_rows, sizeof(int32_t));
    sy__free_array(allocator, engine->no_types, engine->options.n_batch_tokens, sizeof(int32_t));
    engine->executor = NULL;
    engine->plan = NULL;
    engine->model = (sy__model_graph){0};
    engine->positions = NULL;
    engine->rows = NULL;
    engine->no_types = NULL;
}

static sy_status load_graph(sy_engine *engine, uint64_t *inout_now, sy_error *error) {
    sy_status status = build_graph(engine, error);
    engine->times.graph_ns += lap(inout_now);
    if (status == SY_OK) {
        status = make_executor(engine, error);
        engine->can_move_rows = status == SY_OK && sy__engine_can_move_rows(engine);
        engine->has_windows = status == SY_OK && sy__engine_has_windows(engine);
        (void)lap(inout_now);
    }
    return status;
}

static sy_status reload(sy_engine *engine, const sy_engine_options *options, uint64_t *inout_now,
                        sy_error *error) {
    unload(engine);
    engine->options = *options;
    return load_graph(engine, inout_now, error);
}

/* The refusal tells of what was asked for; what would load instead is found by trying. */
static sy_status refuse(sy_engine *engine, uint64_t heap_before, uint64_t *inout_now,
                        sy_error *error) {
    sy_status status = sy__engine_over_budget(engine, error), tried = SY_OK;
    sy_engine_options less = engine->options;
    bool fits = false;
    less.n_context_tokens = engine->info.n_context_tokens;
    while (tried == SY_OK && !fits && sy__engine_smaller_load(engine, &less)) {
        tried = reload(engine, &less, inout_now, NULL);
        fits = tried == SY_OK && sy__engine_fits(engine, heap_before);
    }
    if (fits) {
        sy__engine_hint_load(engine, error);
    }
    return status;
}

/* The arenas that a plan takes are pages that nobody has written yet, so it may be made and then
 * found too large. */
static sy_status load(sy_engine *engine, const char *model_path, sy_error *error) {
    uint64_t now = sy__clock_now_ns(), heap_before = sy_runtime_heap_bytes(engine->runtime);
    sy_status status = open_file(engine, model_path, error);
    if (status == SY_OK) {
        sy__engine_advise_tables(engine);
    }
    if (status == SY_OK && engine->options.read_ahead != 0) {
        sy__engine_read_ahead(engine);
    }
    engine->times.file_ns = lap(&now);
    if (status == SY_OK) {
        status = load_tokenizer(engine, error);
        engine->times.tokenizer_ns = lap(&now);
    }
    if (status == SY_OK) {
        status = load_graph(engine, &now, error);
    }
    while (status == SY_OK && !sy__engine_fits(engine, heap_before)) {
        sy_engine_options smaller = engine->options;
        if (!sy__engine_smaller_batch(engine, &smaller)) {
            return refuse(engine, heap_before, &now, error);
        }
        status = reload(engine, &smaller, &now, error);
    }
    return status == SY_OK ? sy__engine_make_prefixes(engine, error) : status;
}

sy_status sy_engine_create(sy_runtime *runtime, const char *model_path,
                           const sy_engine_options *options, sy_engine **out_engine,
                           sy_error *error) {
    sy_engine_options defaults;
    sy_engine_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    sy_status status = check_options(options, error);
    if (status != SY_OK) {
        return status;
    }
    const sy_allocator *allocator = sy_runtime_allocator(runtime);
    sy_engine *engine = SY__NEW(allocator, sy_engine);
    if (engine == NULL) {
        return sy__no_memory(error, sizeof(*engine), "an engine");
    }
    engine->allocator = allocator;
    engine->runtime = runtime;
    engine->options = *options;
    sy__arena_init(&engine->arena, allocator, (size_t)8 << 10);
    status = load(engine, model_path, error);
    if (status != SY_OK) {
        sy_engine_destroy(engine);
        return status;
    }
    *out_engine = engine;
    return SY_OK;
}

void sy_engine_destroy(sy_engine *engine) {
    if (engine == NULL) {
        return;
    }
    const sy_allocator *allocator = engine->allocator;
    sy__read_ahead_end(engine->read_ahead);
    sy__prefix_destroy(engine->prefixes);
    sy__adapters_unload_all(engine);
    bool is_idle = engine->executor == NULL || sy_executor_is_idle(engine->executor) != 0;
    if (!sy__engine_end_retired(engine) || !is_idle) {
        return; /* a job that hangs reads the weights and what the graph says of them */
    }
    unload(engine);
    sy_tokenizer_destroy(engine->tokenizer);
    sy_gguf_close(engine->gguf);
    sy__arena_deinit(&engine->arena);
    SY__DELETE(allocator, engine);
}

const sy_model_info *sy_engine_info(const sy_engine *engine) {
    return &engine->info;
}

const sy_tokenizer *sy_engine_tokenizer(const sy_engine *engine) {
    return engine->tokenizer;
}

const sy_plan *sy_engine_plan(const sy_engine *engine) {
    return engine->plan;
}

const sy_executor *sy_engine_executor(const sy_engine *engine) {
    return engine->executor;
}

const sy_load_times *sy_engine_load_times(const sy_engine *engine) {
    return &engine->times;
}
