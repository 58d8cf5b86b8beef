/* SPDX-License-Identifier: Apache-2.0 */
/* The whole model: embedding, layers, output. */
#include "arch/build.h"

#include "arch/builder.h"

#include <string.h>

#define BEST "best_token" /* the node of the choice; its values have numbers behind */

static uint32_t symbol_input(sy__builder *b, const char *name, uint32_t symbol) {
    sy_value_view view = {.name = name, .kind = SY_VALUE_INPUT, .type = SY_TYPE_I32, .rank = 1};
    view.dims[0] = (sy_dimension){.symbol = symbol, .scale = 1};
    view.data.fd = -1;
    return sy__emit_value(b, &view);
}

static void set_bounds(sy__builder *b) {
    const uint32_t symbols[3] = {SY_SYMBOL_TOKENS, SY_SYMBOL_OUTPUTS, SY_SYMBOL_SEQUENCES};
    const uint32_t bounds[3] = {b->options->n_batch_tokens, b->options->n_output_rows,
                                b->options->n_sequences};
    for (size_t i = 0; b->status == SY_OK && i < 3; i++) {
        b->status = sy_graph_set_bound(b->model->graph, symbols[i], bounds[i], b->error);
    }
}

/* The frequencies of one rotary embedding as a constant. */
static uint32_t rope_constant(sy__builder *b, const char *name, const sy__rope *rope,
                              float *out_magnitude) {
    uint32_t n = rope->n_dims / 2;
    if (rope->kind == SY__ROPE_NONE || b->status != SY_OK) {
        return SY_NO_VALUE;
    }
    float *frequency = sy__arena_alloc(&b->model->constants, (size_t)n + 1, sizeof(float));
    if (frequency == NULL) {
        b->status = sy__no_memory(b->error, n * sizeof(float), "rotary frequencies");
        return SY_NO_VALUE;
    }
    b->status = sy__rope_table(b->architecture, rope, b->options->n_context_tokens, frequency,
                               out_magnitude, b->error);
    return sy__emit_floats(b, name, frequency, n);
}

static uint32_t embed(sy__builder *b, const char *name, uint32_t ids, sy__role role) {
    uint32_t table = sy__emit_matrix(b, role, 0, 0, 0);
    b->token_table = role == SY__ROLE_TOKEN_EMBEDDING ? table : b->token_table;
    return sy__emit_node(
        b, name, &(sy__operation){.op = "Embedding", .n_inputs = 2, .inputs = {ids, table}});
}

static uint32_t build_embedding(sy__builder *b) {
    const sy__architecture *a = b->architecture;
    uint32_t x = embed(b, "token_embd", b->model->tokens, SY__ROLE_TOKEN_EMBEDDING);
    if (a->embedding_scale != 1.0f) {
        x = sy__emit_scalar(b, "Mul", "token_embd_scaled", x, a->embedding_scale);
    }
    if (a->n_embd_per_layer > 0) {
        sy__emit_per_layer(b, x);
    }
    if (b->model->token_types != SY_NO_VALUE) {
        uint32_t types = embed(b, "token_type_embd", b->model->token_types, SY__ROLE_TOKEN_TYPES);
        x = sy__emit_add(b, "token_type_sum", x, types);
    } else if ((a->weights & SY__ROLE_BIT(SY__ROLE_TOKEN_TYPES)) != 0) {
        uint32_t first = sy__emit_vector(b, SY__ROLE_TOKEN_TYPES, 0, SY__PART_WEIGHT, 0, 0);
        x = sy__emit_add(b, "token_type_sum", x, first);
    }
    if ((a->weights & SY__ROLE_BIT(SY__ROLE_POSITION_EMBEDDING)) != 0) {
        uint32_t where =
            embed(b, "position_embd", b->model->positions, SY__ROLE_POSITION_EMBEDDING);
        x = sy__emit_add(b, "position_sum", x, where);
    }
    if ((a->weights & SY__ROLE_BIT(SY__ROLE_EMBEDDING_NORM)) != 0) {
        x = sy__emit_norm(b, "embd_norm", x, SY__ROLE_EMBEDDING_NORM, 0);
    }
    return x;
}

/* Only the rows whose logits are wanted go through the output matrix. */
static uint32_t build_output(sy__builder *b, uint32_t x) {
    const sy__architecture *a = b->architecture;
    bool capped = a->output_softcap > 0;
    if (b->options->observe) { /* of all rows, not only of those whose logits are wanted */
        uint32_t all = sy__emit_norm(b, "output_norm_observed", x, SY__ROLE_OUTPUT_NORM, 0);
        sy__emit_observation(b, all, SY_NO_VALUE,
                             a->tied_output ? SY__ROLE_TOKEN_EMBEDDING : SY__ROLE_OUTPUT, 0);
    }
    x = sy__emit_node(
        b, "output_rows_only",
        &(sy__operation){
            .op = "Gather", .version = 13, .n_inputs = 2, .inputs = {x, b->model->output_rows}});
    x = sy__emit_norm(b, "output_norm", x, SY__ROLE_OUTPUT_NORM, 0);
    uint32_t w = a->tied_output ? b->token_table : sy__emit_matrix(b, SY__ROLE_OUTPUT, 0, 0, 0);
    bool biased = !a->tied_output && (a->biases & SY__ROLE_BIT(SY__ROLE_OUTPUT)) != 0;
    bool scaled = !a->tied_output && (a->scales & SY__ROLE_BIT(SY__ROLE_OUTPUT)) != 0;
    bool adapted = !a->tied_output && b->options->adapter_rank != 0;
    uint32_t rows = x;
    x = sy__emit_node(b, capped || biased || scaled || adapted ? "output" : "logits",
                      &(sy__operation){.op = "Linear", .n_inputs = 2, .inputs = {x, w}});
    if (scaled) {
        x = sy__emit_scale(b, capped || biased || adapted ? "output_scaled" : "logits", x,
                           SY__ROLE_OUTPUT, 0);
    }
    if (adapted) {
        x = sy__emit_adapter(b, capped || biased ? "output_adapted" : "logits", x, rows,
                             &(sy__weight_rows){.role = SY__ROLE_OUTPUT});
    }
    if (biased) {
        uint32_t bias = sy__emit_vector(b, SY__ROLE_OUTPUT, 0, SY__PART_BIAS, 0, 0);
        x = sy__emit_add(b, capped ? "output_biased" : "logits", x, bias);
    }
    if (capped) {
        x = sy__emit_scalar(b, "Div", "output_divided", x, a->output_softcap);
        x = sy__emit_node(
            b, "output_tanh",
            &(sy__operation){.op = "Tanh", .version = 13, .n_inputs = 1, .inputs = {x}});
        x = sy__emit_scalar(b, "Mul", "logits", x, a->output_softcap);
    }
    return x;
}

/* What greedy sampling reads of the logits, made where they lie. */
static void build_choice(sy__builder *b, uint32_t logits) {
    static const int64_t one = 1;
    uint32_t results[2] = {SY_NO_VALUE, SY_NO_VALUE};
    uint32_t k = sy__emit_ints(b, "one_token", &one, 1);
    sy__emit_nodes(
        b, BEST,
        &(sy__operation){.op = "TopK", .version = 24, .n_inputs = 2, .inputs = {logits, k}}, 2,
        results);
    for (uint32_t i = 0; b->status == SY_OK && i < 2; i++) {
        b->status = sy_graph_mark_output(b->model->graph, results[i], b->error);
    }
    b->model->best_logits = results[0];
    b->model->best_tokens = results[1];
}

/* What an encoder ends with; the mean of its rows is taken outside. */
static uint32_t build_hidden(sy__builder *b, uint32_t x) {
    const sy__architecture *a = b->architecture;
    if ((a->weights & SY__ROLE_BIT(SY__ROLE_OUTPUT_NORM)) != 0) {
        x = sy__emit_norm(b, "output_norm", x, SY__ROLE_OUTPUT_NORM, 0);
    }
    for (sy__role role = SY__ROLE_POOL_DENSE_1; a->n_dense > 0 && role <= SY__ROLE_POOL_DENSE_2;
         role++) {
        uint32_t w = sy__emit_matrix(b, role, 0, 0, 0);
        x = sy__emit_node(b, "pool_dense",
                          &(sy__operation){.op = "Linear", .n_inputs = 2, .inputs = {x, w}});
    }
    return x;
}

static uint32_t build_layers(sy__builder *b, uint32_t x) {
    const sy__architecture *a = b->architecture;
    x = a->n_altup > 0 ? sy__emit_altup_split(b, x) : x;
    for (uint32_t i = 0; b->status == SY_OK && i < a->n_layers; i++) {
        x = sy__emit_layer(b, i, x);
    }
    return a->n_altup > 0 ? sy__emit_altup_join(b, x) : x;
}

static void build_all(sy__builder *b) {
    const sy__architecture *a = b->architecture;
    sy__model_graph *model = b->model;
    set_bounds(b);
    model->tokens = symbol_input(b, "tokens", SY_SYMBOL_TOKENS);
    model->positions = symbol_input(b, "positions", SY_SYMBOL_TOKENS);
    model->output_rows =
        a->has_output ? symbol_input(b, "output_rows", SY_SYMBOL_OUTPUTS) : SY_NO_VALUE;
    const uint64_t two_texts =
        SY__ROLE_BIT(SY__ROLE_CLASSIFIER) | SY__ROLE_BIT(SY__ROLE_TOKEN_TYPES);
    model->token_types = (a->weights & two_texts) == two_texts && a->n_token_types > 1
                             ? symbol_input(b, "token_types", SY_SYMBOL_TOKENS)
                             : SY_NO_VALUE;
    b->rope_frequency = rope_constant(b, "rope_frequency", &a->rope, &b->rope_magnitude);
    b->rope_local_frequency =
        rope_constant(b, "rope_local_frequency", &a->rope_local, &b->rope_local_magnitude);
    uint32_t x = build_embedding(b);
    x = build_layers(b, x);
    if (a->has_output) {
        x = build_output(b, x);
    } else {
        x = build_hidden(b, x);
        x = sy__emit_node(
            b, "hidden",
            &(sy__operation){.op = "Identity", .version = 13, .n_inputs = 1, .inputs = {x}});
    }
    if (b->status == SY_OK) {
        b->status = sy_graph_mark_output(model->graph, x, b->error);
        model->result = x;
    }
    model->best_logits = model->best_tokens = SY_NO_VALUE;
    if (a->has_output && b->options->chooses) {
        build_choice(b, x);
    }
}

sy_status sy__model_graph_build(const sy_allocator *allocator, const sy__architecture *architecture,
                                const sy__build_options *options, sy__model_graph *out_model,
                                sy_error *error) {
    sy__model_graph model = {.graph = NULL};
    sy__arena_init(&model.constants, sy__allocator_or_heap(allocator), (size_t)8 << 10);
    sy_status status = sy_graph_create(allocator, architecture->family->name, &model.graph, error);
    sy__builder builder = {.architecture = architecture,
                           .options = options,
                           .model = &model,
                           .error = error,
                           .status = status,
                           .observed_ones = SY_NO_VALUE,
                           .observed_identity = SY_NO_VALUE};
    if (status == SY_OK) {
        build_all(&builder);
        status = builder.status;
    }
    if (status == SY_OK) {
        status = sy_graph_verify(model.graph, error);
    }
    if (status != SY_OK) {
        sy__model_graph_deinit(&model);
        return status;
    }
    *out_model = model;
    return SY_OK;
}

sy_status sy__model_graph_optimize(sy__model_graph *model, const sy_pass_options *passes,
                                   sy_error *error) {
    sy_status status = sy_graph_optimize(model->graph, passes, error);
    if (status != SY_OK) {
        return status;
    }
    bool has_output = model->output_rows != SY_NO_VALUE;
    bool has_types = model->token_types != SY_NO_VALUE;
    model->tokens = sy_graph_find_value(model->graph, "tokens");
    model->positions = sy_graph_find_value(model->graph, "positions");
    model->output_rows =
        has_output ? sy_graph_find_value(model->graph, "output_rows") : SY_NO_VALUE;
    model->token_types = has_types ? sy_graph_find_value(model->graph, "token_types") : SY_NO_VALUE;
    model->result = sy_graph_find_value(model->graph, has_output ? "logits" : "hidden");
    model->best_logits = sy_graph_find_value(model->graph, BEST ":0"); /* both or none */
    model->best_tokens = sy_graph_find_value(model->graph, BEST ":1");
    if (model->result == SY_NO_VALUE || model->tokens == SY_NO_VALUE || !sy__observed_find(model)) {
        return sy_error_set(error, SY_INTERNAL, "The passes lost an input or output of the model.");
    }
    return SY_OK;
}

void sy__model_graph_deinit(sy__model_graph *model) {
    sy_graph_destroy(model->graph);
    if (model->constants.allocator != NULL) {
        sy__free_array(model->constants.allocator, model->slots, model->slots_capacity,
                       sizeof(sy__adapter_slot));
        sy__free_array(model->constants.allocator, model->observed, model->observed_capacity,
                       sizeof(sy__observed));
        sy__arena_deinit(&model->constants);
    }
    *model = (sy__model_graph){.graph = NULL};
}
