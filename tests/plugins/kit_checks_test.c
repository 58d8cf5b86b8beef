/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of plugins/kit: nodes that are as docs/operators.md has them pass and are parsed,
 * those that are not get a no whose words say what is wrong. */
#include "check_rows.h"

/* ---- names, versions, counts ---- */
static void operators(void) {
    static const row rows[] = {
        {{"Add.14", "f32[T,8] f32[8]", "f32[T,8]", ""}, NULL},
        {{"Add.13", "f32[T,8] f32[8]", "f32[T,8]", ""}, "version 13 is unknown, only 14 runs here"},
        {{"switchyard.Linear.2", "f32[T,8] w:f32[4,8]", "f32[T,4]", ""}, "only 1 runs here"},
        {{"switchyard.Add.14", "f32[T,8] f32[8]", "f32[T,8]", ""}, "there is no kernel for Add"},
        {{"Linear.1", "f32[T,8] w:f32[4,8]", "f32[T,4]", ""}, "there is no kernel for Linear"},
        {{"Add.14", "f32[T,8]", "f32[T,8]", ""}, "1 inputs and 1 outputs do not fit"},
        {{"Add.14", "f32[T,8] -", "f32[T,8]", ""}, "2 inputs and 1 outputs do not fit"},
        {{"Add.14", "f32[8] f32[8]", "f32[8] f32[8]", ""}, "2 inputs and 2 outputs do not fit"},
    };
    CHECK_ROWS(rows)
}

/* ---- products ---- */
static void linear(void) {
    static const row rows[] = {
        {{"switchyard.Linear.1", "f32[T,64] w:Q4_0[16,64]", "f32[T,16]", ""}, NULL},
        {{"switchyard.Linear.1", "bf16[T,64] w:f16[16,64] w:f16[16]", "bf16[T,16]", ""}, NULL},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8] -", "f32[T,4]", ""}, NULL},
        {{"switchyard.Linear.1", "f32[8] f32[4,8] f16[4]", "f32[4]", ""}, NULL},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8]", "f32[T,4]", "alpha=1.0"},
         "attribute alpha is unknown"},
        {{"switchyard.Linear.1", "i32[T,8] w:f32[4,8]", "i32[T,4]", ""},
         "the first input is i32, not a float"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8]", "f16[T,4]", ""},
         "the output is f16, the input f32"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[8]", "f32[T,4]", ""}, "w has rank 1, not 2"},
        {{"switchyard.Linear.1", "f32[T,8] w:i8[4,8]", "f32[T,4]", ""},
         "there is no kernel for w of type i8"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,9]", "f32[T,4]", ""},
         "the last dimensions of x, w and y do not fit"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8]", "f32[N,4]", ""},
         "the last dimensions of x, w and y do not fit"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8]", "f32[T,5]", ""},
         "the last dimensions of x, w and y do not fit"},
        {{"switchyard.Linear.1", "f32[8,T] f32[4,T]", "f32[8,4]", ""},
         "the last dimensions of x, w and y do not fit"},
        {{"switchyard.Linear.1", "f32[T,1024] w:f32[64,1024]", "f32[T,64]", ""},
         "w has fewer bytes than its shape needs"},
        {{"switchyard.Linear.1", "f32[T,40] w:Q4_0[4,40]", "f32[T,4]", ""},
         "w has fewer bytes than its shape needs"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8] w:f32[5]", "f32[T,4]", ""},
         "bias does not have one element per row of w"},
        {{"switchyard.Linear.1", "f32[T,8] w:f32[4,8] w:i32[4]", "f32[T,4]", ""},
         "bias is i32, not a float"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    any_parameters p = parse(
        (node_text){"switchyard.Linear.1", "f32[T,64] w:Q4_0[16,64] w:f32[16]", "f32[T,16]", ""},
        &answer);
    CHECK(p.linear.k == 64 && p.linear.n == 16 && p.linear.has_bias);
    CHECK(answer.weight_bytes == 16.0 * 2 * 18);
    CHECK(answer.f32_ops == 2.0 * NODE_TEXT_TOKENS * 64 * 16);
    CHECK(answer.activation_bytes == 4.0 * NODE_TEXT_TOKENS * (64 + 16));
}

static void embedding(void) {
    static const row rows[] = {
        {{"switchyard.Embedding.1", "i32[T] w:Q8_0[16,32]", "f32[T,32]", "scale=0.5"}, NULL},
        {{"switchyard.Embedding.1", "i64[T] w:f32[16,32]", "f32[T,32]", ""}, "ids is i64, not i32"},
        {{"switchyard.Embedding.1", "i32[T] w:f32[16,32]", "f16[T,32]", ""}, "y is f16, not f32"},
        {{"switchyard.Embedding.1", "i32[T] w:f32[16,32]", "f32[T,32]", "scale=2"},
         "attribute scale is not a float"},
        {{"switchyard.Embedding.1", "i32[T] w:bool[16,32]", "f32[T,32]", ""},
         "there is no kernel for table of type bool"},
        {{"switchyard.Embedding.1", "i32[N] w:f32[16,32]", "f32[T,32]", ""},
         "ids, table and y do not fit together"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8]", "f32[T,4]", "slot=0 max_rank=16"},
         NULL},
        {{"switchyard.AdapterLinear.1", "f32[4,4] f32[4,8] i32[4]", "f32[4,4]",
          "slot=3 max_rank=1024"},
         NULL},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8]", "f32[T,4]", "slot=0"},
         "slot 0 or max_rank 0 is out of range"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8]", "f32[T,4]", "max_rank=1"},
         "slot -1 or max_rank 1 is out of range"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8]", "f32[T,4]", "slot=0 max_rank=1025"},
         "slot 0 or max_rank 1025 is out of range"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f16[T,8]", "f32[T,4]", "slot=0 max_rank=16"},
         "x is f16, not f32"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[N,8]", "f32[T,4]", "slot=0 max_rank=16"},
         "y, x and the result do not fit together"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8] i32[N]", "f32[T,4]",
          "slot=0 max_rank=16"},
         "rows does not have one element per row"},
        {{"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8] i64[T]", "f32[T,4]",
          "slot=0 max_rank=16"},
         "rows is i64, not i32"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    any_parameters p = parse(
        (node_text){"switchyard.Embedding.1", "i32[T] w:f16[16,32]", "f32[T,32]", "scale=0.5"},
        &answer);
    CHECK(p.embedding.k == 32 && p.embedding.n == 16 && p.embedding.scale == 0.5);
    p = parse((node_text){"switchyard.AdapterLinear.1", "f32[T,4] f32[T,8] i32[T]", "f32[T,4]",
                          "slot=3 max_rank=16"},
              &answer);
    CHECK(p.adapter_linear.k == 8 && p.adapter_linear.n == 4 && p.adapter_linear.has_rows);
    CHECK(p.adapter_linear.slot == 3 && p.adapter_linear.max_rank == 16);
}

/* ---- positions and sequences ---- */
#define ROTARY "switchyard.RotaryEmbedding.1"
static void rotary(void) {
    static const row rows[] = {
        {{ROTARY, "f32[T,64] i32[T] w:f32[16]", "f32[T,64]", "num_heads=2"}, NULL},
        {{ROTARY, "f16[T,64] i32[T] f32[8]", "f16[T,64]",
          "num_heads=2 interleaved=1 magnitude=1.5"},
         NULL},
        {{ROTARY, "f32[T,64] i32[T] w:f32[16]", "f32[T,64]", ""},
         "num_heads must be above 0, interleaved 0 or 1"},
        {{ROTARY, "f32[T,64] i32[T] w:f32[16]", "f32[T,64]", "num_heads=2 interleaved=2"},
         "num_heads must be above 0, interleaved 0 or 1"},
        {{ROTARY, "f32[T,64] i32[T] w:f32[16]", "f32[T,64]", "num_heads=2.0"},
         "attribute num_heads is not an integer"},
        {{ROTARY, "f32[T,64] i64[T] w:f32[16]", "f32[T,64]", "num_heads=2"},
         "positions is i64, not i32"},
        {{ROTARY, "f32[T,64] i32[T] w:f16[16]", "f32[T,64]", "num_heads=2"},
         "inverse_frequency is f16, not f32"},
        {{ROTARY, "f32[T,64] i32[T] w:f32[17]", "f32[T,64]", "num_heads=2"},
         "x, positions and inverse_frequency do not fit"},
        {{ROTARY, "f32[T,64] i32[T] w:f32[16]", "f32[T,64]", "num_heads=3"},
         "x, positions and inverse_frequency do not fit"},
        {{ROTARY, "f32[T,64] i32[N] w:f32[16]", "f32[T,64]", "num_heads=2"},
         "x, positions and inverse_frequency do not fit"},
        {{ROTARY, "f32[T,64] i32[T] f32[T]", "f32[T,64]", "num_heads=2"},
         "x, positions and inverse_frequency do not fit"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_rotary p = parse((node_text){ROTARY, "f16[T,64] i32[T] f32[8]", "f16[T,64]",
                                     "num_heads=2 interleaved=1 magnitude=1.5"},
                         &answer)
                       .rotary;
    CHECK(p.n_heads == 2 && p.head_size == 32 && p.n_pairs == 8);
    CHECK(p.interleaved && p.magnitude == 1.5);
}

#define ATTENTION "switchyard.Attention.1"
#define HEADS "num_heads=4 num_kv_heads=2"
static void attention(void) {
    static const row rows[] = {
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,16]", "f32[T,32]", HEADS " causal=0"}, NULL},
        {{ATTENTION, "f32[T,64] f16[T,32] f16[T,16] state:f16[64,32] state:f16[64,16]", "f32[T,32]",
          HEADS " window=8 softcap=50.0 scale=0.25"},
         NULL},
        {{ATTENTION, "f32[T,128] - - state:Q8_0[64,64] state:Q4_0[64,64] w:f32[4]", "f32[T,128]",
          HEADS},
         NULL},
        {{ATTENTION, "f32[T,64] f32[T,32]", "f32[T,32]", HEADS},
         "needs k and v, or both states, or all four"},
        {{ATTENTION, "f32[T,64]", "f32[T,32]", HEADS},
         "needs k and v, or both states, or all four"},
        {{ATTENTION, "f32[T,64] - - state:f32[64,32]", "f32[T,64]", HEADS},
         "needs k and v, or both states, or all four"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32]", "f32[T,64]", "num_heads=4"},
         "q [T, H x D], num_heads and num_kv_heads do not fit"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32]", "f32[T,64]", "num_heads=4 num_kv_heads=3"},
         "q [T, H x D], num_heads and num_kv_heads do not fit"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32]", "f32[T,64]", HEADS " window=-1"},
         "window, softcap or causal is out of range"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32]", "f32[T,64]", HEADS " causal=2"},
         "window, softcap or causal is out of range"},
        {{ATTENTION, "f32[T,64] - - state:f32[64,32] state:f32[64,32]", "f32[T,64]",
          HEADS " causal=0"},
         "causal = 0 has no meaning with states"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,17]", "f32[T,34]", HEADS},
         "v does not fit num_kv_heads"},
        {{ATTENTION, "f32[T,64] f32[T,48] f32[T,16]", "f32[T,32]", HEADS},
         "k does not fit q and the heads"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[N,16]", "f32[T,32]", HEADS},
         "v does not fit q and the heads"},
        {{ATTENTION, "f32[T,64] i32[T,32] f32[T,16]", "f32[T,32]", HEADS}, "k is i32, not a float"},
        {{ATTENTION, "f32[T,64] state:f32[64,32] state:f32[64,16]", "f32[T,32]", HEADS},
         "k is a STATE"},
        {{ATTENTION, "f32[T,64] - - f32[64,32] f32[64,32]", "f32[T,64]", HEADS},
         "a state input is no STATE of rank 2"},
        {{ATTENTION, "f32[T,64] - - state:Q4_K[64,32] state:f32[64,32]", "f32[T,64]", HEADS},
         "states of type Q4_K are not kept here"},
        {{ATTENTION, "f32[T,64] - - state:f32[64,32] state:i8[64,32]", "f32[T,64]", HEADS},
         "states of type i8 are not kept here"},
        {{ATTENTION, "f32[T,64] - - state:f32[64,48] state:f32[64,32]", "f32[T,64]", HEADS},
         "a state's width does not fit the heads"},
        {{ATTENTION, "f32[T,32] - - state:Q8_0[64,16] state:f32[64,32]", "f32[T,64]", HEADS},
         "a state's width does not fit the heads"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,16]", "f32[T,64]", HEADS}, "y is not [T, H x Dv]"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32] - - w:f32[2]", "f32[T,64]", HEADS},
         "sinks is not [H]"},
        {{ATTENTION, "f32[T,64] f32[T,32] f32[T,32] - - w:f16[4]", "f32[T,64]", HEADS},
         "sinks is f16, not f32"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_attention p =
        parse((node_text){ATTENTION,
                          "f32[T,64] f16[T,32] f16[T,16] state:f16[64,32] state:f16[64,16]",
                          "f32[T,32]", HEADS " window=8 softcap=50.0"},
              &answer)
            .attention;
    CHECK(p.n_heads == 4 && p.n_kv_heads == 2 && p.head_size == 16 && p.value_size == 8);
    CHECK(p.window == 8 && p.softcap == 50.0 && p.scale == 0.25 && p.causal);
    CHECK(p.has_rows && p.has_states && !p.has_sinks);
    CHECK(answer.f32_ops == 2.0 * NODE_TEXT_TOKENS * 8 * 4 * (16 + 8)); /* no more than a window */
}

#define CONVOLUTION "switchyard.CausalConvolution.1"
static void causal_convolution(void) {
    static const row rows[] = {
        {{CONVOLUTION, "f32[T,8] w:f32[8,4] state:f32[64,8]", "f32[T,8]", ""}, NULL},
        {{CONVOLUTION, "f16[T,32] f32[32,4] state:Q8_0[64,32]", "f16[T,32]", ""}, NULL},
        {{CONVOLUTION, "f32[T,8] w:f16[8,4] state:f32[64,8]", "f32[T,8]", ""},
         "weight is f16, not f32"},
        {{CONVOLUTION, "f32[T,8] w:f32[8,4] f32[64,8]", "f32[T,8]", ""},
         "x, weight, state and y do not fit together"},
        {{CONVOLUTION, "f32[T,8] w:f32[4,8] state:f32[64,8]", "f32[T,8]", ""},
         "x, weight, state and y do not fit together"},
        {{CONVOLUTION, "f32[T,8] w:f32[8,4] state:f32[64,9]", "f32[T,8]", ""},
         "x, weight, state and y do not fit together"},
        {{CONVOLUTION, "f32[T,8] w:f32[8,4] state:i32[64,8]", "f32[T,8]", ""},
         "states of type i32 are not kept here"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    any_parameters p = parse(
        (node_text){CONVOLUTION, "f32[T,8] w:f32[8,4] state:f32[64,8]", "f32[T,8]", ""}, &answer);
    CHECK(p.causal_convolution.n_channels == 8 && p.causal_convolution.length == 4);
}

/* ---- experts ---- */
#define ROUTER "switchyard.ExpertRouter.1"
#define EXPERTS "switchyard.ExpertLinear.1"
static void experts(void) {
    static const row rows[] = {
        {{ROUTER, "f32[T,8]", "i32[T,2] f32[T,2]", "gating='softmax' num_used=2"}, NULL},
        {{ROUTER, "f16[T,8] w:f32[8]", "i32[T,8] f32[T,8]",
          "gating='sigmoid' num_used=8 normalize=1 scale=2.5"},
         NULL},
        {{ROUTER, "f32[T,8]", "i32[T,2] f32[T,2]", "num_used=2"}, "gating '' is unknown"},
        {{ROUTER, "f32[T,8]", "i32[T,2] f32[T,2]", "gating='top' num_used=2"},
         "gating 'top' is unknown"},
        {{ROUTER, "f32[T,8]", "i32[T,2] f32[T,2]", "gating='softmax' num_used=2 normalize=2"},
         "gating 'softmax' is unknown"},
        {{ROUTER, "f32[T,8]", "i32[T,9] f32[T,9]", "gating='softmax' num_used=9"},
         "scores, num_used and outputs do not fit"},
        {{ROUTER, "f32[T,8]", "i32[T,2] f32[T,3]", "gating='softmax' num_used=2"},
         "scores, num_used and outputs do not fit"},
        {{ROUTER, "f32[T,8]", "i32[N,2] f32[N,2]", "gating='softmax' num_used=2"},
         "scores, num_used and outputs do not fit"},
        {{ROUTER, "f32[T,8]", "i64[T,2] f32[T,2]", "gating='softmax' num_used=2"},
         "experts is i64, not i32"},
        {{ROUTER, "f32[T,8]", "i32[T,2] f16[T,2]", "gating='softmax' num_used=2"},
         "weights is f16, not f32"},
        {{ROUTER, "f32[T,8] w:f32[7]", "i32[T,2] f32[T,2]", "gating='softmax' num_used=2"},
         "bias does not have one element per expert"},
        {{ROUTER, "f32[T,8] w:f16[8]", "i32[T,2] f32[T,2]", "gating='softmax' num_used=2"},
         "bias is f16, not f32"},
        {{EXPERTS, "f32[T,32] w:Q4_0[8,4,32] i32[T,2]", "f32[T,2,4]", ""}, NULL},
        {{EXPERTS, "f16[T,2,32] w:f16[8,4,32] i32[T,2] w:f32[8,4]", "f16[T,2,4]", ""}, NULL},
        {{EXPERTS, "f32[T,32] w:f32[8,4,32] i64[T,2]", "f32[T,2,4]", ""},
         "experts is i64, not i32"},
        {{EXPERTS, "f32[T,32] w:u8[8,4,32] i32[T,2]", "f32[T,2,4]", ""},
         "there is no kernel for w of type u8"},
        {{EXPERTS, "f32[T,32] w:f32[4,32] i32[T,2]", "f32[T,2,4]", ""},
         "the shapes of x, w, experts and y do not fit"},
        {{EXPERTS, "f32[T,3,32] w:f32[8,4,32] i32[T,2]", "f32[T,2,4]", ""},
         "the shapes of x, w, experts and y do not fit"},
        {{EXPERTS, "f32[T,32] w:f32[8,4,32] i32[T,2]", "f32[T,2,5]", ""},
         "the shapes of x, w, experts and y do not fit"},
        {{EXPERTS, "f32[T,32] w:f32[8,4,32] i32[T,2] w:f32[4]", "f32[T,2,4]", ""},
         "the shapes of x, w, experts and y do not fit"},
        {{EXPERTS, "f32[T,32] w:f32[8,4,32] i32[T,2] w:f16[8,4]", "f32[T,2,4]", ""},
         "bias is f16, not f32"},
        {{EXPERTS, "f32[T,512] w:f32[8,8,512] i32[T,2]", "f32[T,2,8]", ""},
         "w has fewer bytes than its shape needs"},
        {{"switchyard.ExpertSum.1", "f32[T,2,4] f32[T,2]", "f32[T,4]", ""}, NULL},
        {{"switchyard.ExpertSum.1", "f32[T,2,4] f16[T,2]", "f32[T,4]", ""}, "weights is f16"},
        {{"switchyard.ExpertSum.1", "f32[T,2,4] f32[T,3]", "f32[T,4]", ""},
         "the shapes of x, weights and y do not fit"},
        {{"switchyard.ExpertSum.1", "f32[T,2,4] f32[T,2]", "f32[T,2]", ""},
         "the shapes of x, weights and y do not fit"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_expert_router r = parse((node_text){ROUTER, "f32[T,8] w:f32[8]", "i32[T,2] f32[T,2]",
                                            "gating='softmax_chosen' num_used=2 scale=2.5"},
                                &answer)
                              .expert_router;
    CHECK(r.gating == KIT_GATING_SOFTMAX_CHOSEN && r.n_experts == 8 && r.n_used == 2);
    CHECK(r.scale == 2.5 && !r.normalize && r.has_bias);
    kit_expert_linear l =
        parse((node_text){EXPERTS, "f32[T,2,32] w:Q4_0[8,4,32] i32[T,2]", "f32[T,2,4]", ""},
              &answer)
            .expert_linear;
    CHECK(l.n_experts == 8 && l.n == 4 && l.k == 32 && l.n_used == 2);
    CHECK(l.has_row_each && !l.has_bias);
    CHECK(answer.weight_bytes == 8.0 * 4 * 18); /* every expert is read once */
}

/* ---- norms ---- */
static void norms(void) {
    static const row rows[] = {
        {{"RMSNormalization.23", "f32[T,8] w:f32[8]", "f32[T,8]", "epsilon=0.001"}, NULL},
        {{"RMSNormalization.23", "f16[T,4,8] w:f32[4,8]", "f16[T,4,8]", "axis=1"}, NULL},
        {{"LayerNormalization.17", "f32[T,8] w:f32[8] w:f32[8]", "f32[T,8]", "axis=-1"}, NULL},
        {{"LayerNormalization.17", "f32[T,8] w:f32[8]", "f32[T,8]", "axis=2"},
         "axis is outside the shape"},
        {{"RMSNormalization.23", "f32[8,T] f32[T]", "f32[8,T]", ""},
         "a normalised dimension must be fixed and not 0"},
        {{"RMSNormalization.23", "f32[T,8] w:f32[T,8]", "f32[T,8]", "axis=0"},
         "a normalised dimension must be fixed and not 0"},
        {{"RMSNormalization.23", "f32[T,8] w:f16[8]", "f32[T,8]", ""}, "scale is f16, not f32"},
        {{"RMSNormalization.23", "f32[T,8] w:f32[4]", "f32[T,8]", ""},
         "scale has not the normalised shape"},
        {{"LayerNormalization.17", "f32[T,8] w:f32[8] w:f32[4]", "f32[T,8]", ""},
         "bias has not the normalised shape"},
        {{"RMSNormalization.23", "i32[T,8] w:f32[8]", "i32[T,8]", ""}, "x is i32, not a float"},
        {{"RMSNormalization.23", "f32[T,8] w:f32[8]", "f32[T,4]", ""},
         "an output has another shape than x"},
        {{"RMSNormalization.23", "f32[T,8] w:f32[8]", "f16[T,8]", ""},
         "the output is f16, the input f32"},
        {{"RMSNormalization.23", "f32[T,8] w:f32[8]", "f32[T,8]", "epsilon=1"},
         "attribute epsilon is not a float"},
        {{"switchyard.AddRMSNormalization.1", "f32[T,8] f16[T,8] w:f32[8]", "f32[T,8] f32[T,8]",
          ""},
         NULL},
        {{"switchyard.AddRMSNormalization.1", "f32[T,8] f32[T,8] w:f32[8]", "f32[T,8] f32[T,8]",
          "axis=-1"},
         "attribute axis is unknown"},
        {{"switchyard.AddRMSNormalization.1", "f32[T,8] f32[8] w:f32[8]", "f32[T,8] f32[T,8]", ""},
         "residual has another shape or type than x"},
        {{"switchyard.AddRMSNormalization.1", "f32[T,8] i32[T,8] w:f32[8]", "f32[T,8] f32[T,8]",
          ""},
         "residual has another shape or type than x"},
        {{"switchyard.AddRMSNormalization.1", "f32[T,8] f32[T,8] w:f32[8]", "f32[T,8] f32[T,9]",
          ""},
         "an output has another shape than x"},
        {{"Softmax.13", "f32[T,8]", "f32[T,8]", "axis=0"}, NULL},
        {{"Softmax.13", "f32[T,8]", "f32[T,8]", "axis=-3"}, "axis is outside the shape"},
        {{"Softmax.13", "f32[T,8]", "f32[T,9]", ""}, "y has another shape than x"},
        {{"Softmax.13", "i32[T,8]", "i32[T,8]", ""}, "the first input is i32, not a float"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_norm p = parse((node_text){"LayerNormalization.17", "f16[T,4,8] w:f32[4,8] w:f32[4,8]",
                                   "f16[T,4,8]", "axis=-2 epsilon=0.5"},
                       &answer)
                     .norm;
    CHECK(p.axis == 1 && p.inner == 32 && p.epsilon == 0.5 && p.has_bias);
    p = parse((node_text){"switchyard.AddRMSNormalization.1", "f32[T,8] f32[T,8] w:f32[8]",
                          "f32[T,8] f32[T,8]", ""},
              &answer)
            .norm;
    CHECK(p.axis == 1 && p.inner == 8 && p.epsilon == 1e-5 && !p.has_bias);
    CHECK(answer.activation_bytes == 16.0 * NODE_TEXT_TOKENS * 8);
    CHECK(parse((node_text){"Softmax.13", "f32[T,4,8]", "f32[T,4,8]", "axis=-2"}, &answer)
              .softmax.axis == 1);
}

/* ---- element by element ---- */
static void unary(void) {
    static const struct {
        const char *op;
        kit_unary_kind kind;
        double alpha, beta;
    } plain[] = {{"Neg.13", KIT_UNARY_NEG, 0, 0},
                 {"Abs.13", KIT_UNARY_ABS, 0, 0},
                 {"Sqrt.13", KIT_UNARY_SQRT, 0, 0},
                 {"Exp.13", KIT_UNARY_EXP, 0, 0},
                 {"Log.13", KIT_UNARY_LOG, 0, 0},
                 {"Erf.13", KIT_UNARY_ERF, 0, 0},
                 {"Tanh.13", KIT_UNARY_TANH, 0, 0},
                 {"Sigmoid.13", KIT_UNARY_SIGMOID, 0, 0},
                 {"Reciprocal.13", KIT_UNARY_RECIPROCAL, 0, 0},
                 {"Relu.14", KIT_UNARY_RELU, 0, 0},
                 {"Gelu.20", KIT_UNARY_GELU, 0, 0},
                 {"Swish.24", KIT_UNARY_SWISH, 1.0, 0},
                 {"Clip.13", KIT_UNARY_CLIP, (double)-INFINITY, (double)INFINITY},
                 {"LeakyRelu.16", KIT_UNARY_LEAKY_RELU, (double)0.01f, 0},
                 {"Elu.22", KIT_UNARY_ELU, 1.0, 0},
                 {"HardSigmoid.22", KIT_UNARY_HARD_SIGMOID, (double)0.2f, 0.5},
                 {"HardSwish.22", KIT_UNARY_HARD_SWISH, 1.0 / 6.0, 0.5}};
    kit_answer answer;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        kit_unary p = parse((node_text){plain[i].op, "bf16[T,8]", "bf16[T,8]", ""}, &answer).unary;
        CHECK_TEXT(p.kind == plain[i].kind, "%s", plain[i].op);
        CHECK_TEXT(p.alpha == plain[i].alpha && p.beta == plain[i].beta, "%s", plain[i].op);
    }
    static const row rows[] = {
        {{"Relu.14", "f32[T,8]", "f32[T,9]", ""}, "y has another shape than x"},
        {{"Relu.14", "i32[T,8]", "i32[T,8]", ""}, "the first input is i32, not a float"},
        {{"Relu.14", "f32[T,8]", "f16[T,8]", ""}, "the output is f16, the input f32"},
        {{"Relu.14", "f32[T,8]", "f32[T,8]", "alpha=1.0"}, "attribute alpha is unknown"},
        {{"HardSwish.22", "f32[T,8]", "f32[T,8]", "alpha=1.0"}, "attribute alpha is unknown"},
        {{"Gelu.20", "f32[T,8]", "f32[T,8]", "approximate='fast'"},
         "approximate is neither none nor tanh"},
        {{"Gelu.20", "f32[T,8]", "f32[T,8]", "approximate=1"},
         "attribute approximate is not a string"},
        {{"switchyard.Softcap.1", "f32[T,8]", "f32[T,8]", ""}, "cap must be above 0"},
        {{"switchyard.Softcap.1", "f32[T,8]", "f32[T,8]", "cap=-1.0"}, "cap must be above 0"},
        {{"Clip.13", "f32[T,8] f32[1]", "f32[T,8]", ""}, "a limit is no constant number"},
        {{"Clip.13", "f32[T,8] - f32{0,1}", "f32[T,8]", ""}, "a limit is no constant number"},
        {{"Clip.13", "f32[T,8] i32(0)", "f32[T,8]", ""}, "a limit is no constant number"},
    };
    CHECK_ROWS(rows)
    kit_unary p =
        parse((node_text){"Gelu.20", "f32[T,8]", "f32[T,8]", "approximate='tanh'"}, &answer).unary;
    CHECK(p.kind == KIT_UNARY_GELU_TANH);
    p = parse((node_text){"switchyard.Softcap.1", "f32[8]", "f32[8]", "cap=30.0"}, &answer).unary;
    CHECK(p.kind == KIT_UNARY_SOFTCAP && p.alpha == 30.0);
    p = parse((node_text){"HardSigmoid.22", "f32[8]", "f32[8]", "alpha=0.25 beta=0.125"}, &answer)
            .unary;
    CHECK(p.alpha == 0.25 && p.beta == 0.125);
    p = parse((node_text){"Clip.13", "f32[8] f32(-2) f32{6}", "f32[8]", ""}, &answer).unary;
    CHECK(p.alpha == -2.0 && p.beta == 6.0);
    /* 1.5 and -2^-24, the smallest there is, in f16; -2 in bf16 */
    p = parse((node_text){"Clip.13", "f16[8] f16(32769) f16(15872)", "f16[8]", ""}, &answer).unary;
    CHECK(p.alpha == -0x1p-24 && p.beta == 1.5);
    p = parse((node_text){"Clip.13", "bf16[8] bf16(49152) f16(31744)", "bf16[8]", ""}, &answer)
            .unary;
    CHECK(p.alpha == -2.0 && isinf(p.beta));
}

static void gates(void) {
    static const row rows[] = {
        {{"switchyard.GatedActivation.1", "f32[T,8] f16[T,8]", "f32[T,8]", "activation='gelu'"},
         NULL},
        {{"switchyard.GatedActivation.1", "f32[T,8] f32[T,8]", "f32[T,8]", ""},
         "activation '' is unknown"},
        {{"switchyard.GatedActivation.1", "f32[T,8] f32[T,8]", "f32[T,8]", "activation='tanh'"},
         "activation 'tanh' is unknown"},
        {{"switchyard.GatedActivation.1", "f32[T,8] i32[T,8]", "f32[T,8]", "activation='silu'"},
         "up is i32, not a float"},
        {{"switchyard.GatedActivation.1", "f32[T,8] f32[8]", "f32[T,8]", "activation='silu'"},
         "gate, up and y differ in shape"},
        {{"switchyard.ClampedSwiGLU.1", "f32[T,8] f32[T,8]", "f32[T,8]", "limit=7.0 alpha=1.5"},
         NULL},
        {{"switchyard.ClampedSwiGLU.1", "f32[T,8] f32[T,8]", "f32[T,8]", ""},
         "limit must be above 0"},
        {{"switchyard.ClampedSwiGLU.1", "f32[T,8] f32[T,8]", "f32[T,9]", "limit=7.0"},
         "gate, up and y differ in shape"},
    };
    CHECK_ROWS(rows)
    static const struct {
        const char *attribute;
        kit_unary_kind kind;
    } known[] = {{"activation='silu'", KIT_UNARY_SWISH},
                 {"activation='gelu'", KIT_UNARY_GELU},
                 {"activation='gelu_tanh'", KIT_UNARY_GELU_TANH},
                 {"activation='relu'", KIT_UNARY_RELU},
                 {"activation='sigmoid'", KIT_UNARY_SIGMOID}};
    kit_answer answer;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        node_text text = {"switchyard.GatedActivation.1", "f32[T,8] f32[T,8]", "f32[T,8]",
                          known[i].attribute};
        CHECK(parse(text, &answer).gated.activation == known[i].kind);
    }
    kit_clamped p =
        parse((node_text){"switchyard.ClampedSwiGLU.1", "f32[8] f32[8]", "f32[8]", "limit=7.0"},
              &answer)
            .clamped;
    CHECK(p.limit == 7.0 && p.alpha == 1.0);
}

static void binary(void) {
    static const row rows[] = {
        {{"Add.14", "f32[T,8] f16[8]", "f32[T,8]", ""}, NULL},
        {{"Sub.14", "f32[8] f32[T,1,1]", "f32[T,1,8]", ""}, NULL},
        {{"Mul.14", "i64[T,8] i64(3)", "i64[T,8]", ""}, NULL},
        {{"Div.14", "f32[] f32[]", "f32[]", ""}, NULL},
        {{"PRelu.16", "f32[N,4,8] w:f32[4,1]", "f32[N,4,8]", ""}, NULL},
        {{"Add.14", "f32[T,8] f32[8]", "f32[T,8]", "axis=1"}, "attribute axis is unknown"},
        {{"Add.14", "f32[T,8] i32[8]", "f32[T,8]", ""}, "b is i32, not a float"},
        {{"Add.14", "i32[T,8] i64[8]", "i32[T,8]", ""}, "b is i64, not i32"},
        {{"Add.14", "i32[T,8] i32[8]", "i64[T,8]", ""}, "y is i64, not i32"},
        {{"Add.14", "i8[T,8] i8[8]", "i8[T,8]", ""}, "the first input is i8, not a float"},
        {{"Pow.15", "i32[T,8] i32[8]", "i32[T,8]", ""}, "the first input is i32, not a float"},
        {{"Add.14", "f32[T,8] f32[4]", "f32[T,8]", ""}, "a and b do not broadcast to y"},
        {{"Add.14", "f32[T,8] f32[N,8]", "f32[T,8]", ""}, "a and b do not broadcast to y"},
        {{"Add.14", "f32[T,8] f32[8]", "f32[8]", ""}, "a and b do not broadcast to y"},
        {{"Add.14", "f32[T,1] f32[1]", "f32[T,8]", ""}, "dimension 1 of y is neither a's nor b's"},
        {{"Add.14", "f32[8] f32[8]", "f32[1,8]", ""}, "dimension 0 of y is neither a's nor b's"},
        {{"PRelu.16", "f32[1,8] f32[4,8]", "f32[4,8]", ""}, "y has another shape than x"},
        {{"Where.16", "bool[T,1] f32[8] f32(0)", "f32[T,8]", ""}, NULL},
        {{"Where.16", "bool[T] i64[T] i64[T]", "i64[T]", ""}, NULL},
        {{"Where.16", "i32[T,1] f32[8] f32(0)", "f32[T,8]", ""}, "the condition is i32, not bool"},
        {{"Where.16", "bool[T,1] f32[8] f16(0)", "f32[T,8]", ""},
         "both branches and y must have one plain type"},
        {{"Where.16", "bool[T,1] f32[8] f32(0)", "f32[T,9]", ""},
         "condition and branches do not broadcast to y"},
        {{"Where.16", "bool[1] f32[1] f32(0)", "f32[8]", ""},
         "condition and branches do not broadcast to y"},
    };
    CHECK_ROWS(rows)
    static const char *const names[] = {"Add.14", "Sub.14", "Mul.14",
                                        "Div.14", "Pow.15", "PRelu.16"};
    kit_answer answer;
    for (uint32_t i = 0; i < 6; i++) {
        kit_binary p =
            parse((node_text){names[i], "f32[T,8] f32[8]", "f32[T,8]", ""}, &answer).binary;
        CHECK_TEXT((uint32_t)p.kind == i && !p.is_integer, "%s", names[i]);
    }
    CHECK(
        parse((node_text){"Mul.14", "i32[T,8] i32[8]", "i32[T,8]", ""}, &answer).binary.is_integer);
    CHECK(parse((node_text){"Where.16", "bool[T] f16[T] f16[T]", "f16[T]", ""}, &answer)
              .where.element_bytes == 2);
    int64_t strides[SY_MAX_RANK];
    kit_broadcast_strides(3, (int64_t[]){4, 1, 8}, 4, strides);
    CHECK(strides[0] == 0 && strides[1] == 8 && strides[2] == 0 && strides[3] == 1);
    kit_broadcast_strides(0, NULL, 2, strides);
    CHECK(strides[0] == 0 && strides[1] == 0);
}

static void casts(void) {
    static const row rows[] = {
        {{"Cast.13", "f32[T,8]", "f16[T,8]", "to=10"}, NULL},
        {{"Cast.13", "i64[T]", "i32[T]", "to=6"}, NULL},
        {{"Cast.13", "bool[T]", "f32[T]", "to=1"}, NULL},
        {{"Cast.13", "f32[T,8]", "f16[T,8]", "to=1"}, "to is not the type of the output"},
        {{"Cast.13", "f64[T,8]", "f32[T,8]", "to=1"}, "f64 to f32 is no Cast"},
        {{"Cast.13", "f32[T,8]", "i16[T,8]", "to=5"}, "f32 to i16 is no Cast"},
        {{"Cast.13", "f32[T,8]", "f16[T]", "to=10"}, "y has another shape than x"},
        {{"Cast.13", "f32[T,8]", "f16[T,8]", "to=10 saturate=0"}, "attribute saturate is unknown"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_cast p = parse((node_text){"Cast.13", "i8[T]", "bf16[T]", "to=16"}, &answer).cast;
    CHECK(p.from == SY_TYPE_I8 && p.to == SY_TYPE_BF16);
}

static const sy_test_case cases[] = {
    {"operators", operators}, {"linear", linear},       {"embedding", embedding},
    {"rotary", rotary},       {"attention", attention}, {"causal_convolution", causal_convolution},
    {"experts", experts},     {"norms", norms},         {"unary", unary},
    {"gates", gates},         {"binary", binary},       {"casts", casts},
};
SY_TEST_MAIN(cases)
