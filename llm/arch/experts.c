/* SPDX-License-Identifier: Apache-2.0 */
/* The feed-forward of a layer with experts: a router, the chosen experts, a shared one beside. */
#include "arch/builder.h"

static uint32_t expert_product(sy__builder *b, const char *name, uint32_t x, sy__role role,
                               uint32_t i_layer, uint32_t experts) {
    sy__emit_observation(b, x, experts, role, i_layer);
    uint32_t w = sy__emit_stack(b, role, i_layer, SY__PART_WEIGHT);
    sy__operation product = {.op = "ExpertLinear", .n_inputs = 3, .inputs = {x, w, experts}};
    if ((b->architecture->layers[i_layer].biases & SY__ROLE_BIT(role)) != 0) {
        product.inputs[product.n_inputs++] = sy__emit_stack(b, role, i_layer, SY__PART_BIAS);
    }
    return sy__emit_node(b, name, &product);
}

/* Which experts every row goes to, and how much each of them counts. */
static void route(sy__builder *b, uint32_t i_layer, uint32_t x, uint32_t out_choice[2]) {
    static const char *const gatings[] = {"softmax", "softmax_chosen", "sigmoid"};
    const sy__experts *e = &b->architecture->experts;
    uint32_t scores = sy__emit_product(b, "ffn_scores", x, SY__ROLE_ROUTER, i_layer, 0, 0);
    sy__emit_nodes(
        b, "ffn_router",
        &(sy__operation){.op = "ExpertRouter",
                         .n_inputs = 1,
                         .inputs = {scores},
                         .n_attributes = 4,
                         .attributes = {sy__string_attribute("gating", gatings[e->gating]),
                                        sy__int_attribute("num_used", e->n_used),
                                        sy__int_attribute("normalize", e->normalized),
                                        sy__float_attribute("scale", (double)e->scale)}},
        2, out_choice);
}

/* gpt-oss: alpha and limit are constants of its reference (modeling_gpt_oss). */
static uint32_t clamped(sy__builder *b, uint32_t gate, uint32_t up) {
    return sy__emit_node(b, "ffn_gated",
                         &(sy__operation){.op = "ClampedSwiGLU",
                                          .n_inputs = 2,
                                          .inputs = {gate, up},
                                          .n_attributes = 2,
                                          .attributes = {sy__float_attribute("alpha", 1.702),
                                                         sy__float_attribute("limit", 7.0)}});
}

/* An expert that every row goes to, behind a gate of its own. */
static uint32_t shared_expert(sy__builder *b, uint32_t i_layer, uint32_t x) {
    uint32_t gate = sy__emit_product(b, "ffn_shared_gate", x, SY__ROLE_SHARED_GATE, i_layer, 0, 0);
    uint32_t up = sy__emit_product(b, "ffn_shared_up", x, SY__ROLE_SHARED_UP, i_layer, 0, 0);
    uint32_t y = sy__emit_product(b, "ffn_shared_down", sy__emit_gated(b, gate, up),
                                  SY__ROLE_SHARED_DOWN, i_layer, 0, 0);
    uint32_t score =
        sy__emit_product(b, "ffn_shared_score", x, SY__ROLE_SHARED_ROUTER, i_layer, 0, 0);
    score = sy__emit_node(
        b, "ffn_shared_weight",
        &(sy__operation){.op = "Sigmoid", .version = 13, .n_inputs = 1, .inputs = {score}});
    return sy__emit_node(
        b, "ffn_shared",
        &(sy__operation){.op = "Mul", .version = 14, .n_inputs = 2, .inputs = {y, score}});
}

uint32_t sy__emit_experts(sy__builder *b, uint32_t i_layer, uint32_t x) {
    const sy__architecture *a = b->architecture;
    uint32_t choice[2] = {0, 0};
    route(b, i_layer, x, choice);
    uint32_t gate =
        expert_product(b, "ffn_expert_gate", x, SY__ROLE_EXPERT_GATE, i_layer, choice[0]);
    uint32_t up = expert_product(b, "ffn_expert_up", x, SY__ROLE_EXPERT_UP, i_layer, choice[0]);
    uint32_t h = a->experts.clamped_swiglu ? clamped(b, gate, up) : sy__emit_gated(b, gate, up);
    uint32_t y = expert_product(b, "ffn_expert_down", h, SY__ROLE_EXPERT_DOWN, i_layer, choice[0]);
    y = sy__emit_node(b, "ffn_expert_sum",
                      &(sy__operation){.op = "ExpertSum", .n_inputs = 2, .inputs = {y, choice[1]}});
    if ((a->layers[i_layer].weights & SY__ROLE_BIT(SY__ROLE_SHARED_ROUTER)) != 0) {
        y = sy__emit_add(b, "ffn_shared_sum", y, shared_expert(b, i_layer, x));
    }
    return y;
}
