/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of plugins/kit for operators that move elements, multiply matrices or reduce. */
#include "check_rows.h"

/* ---- views ---- */
static void views(void) {
    static const char *const wrong = "y is not x in the shape that is given";
    const row rows[] = {
        {{"Reshape.14", "f32[T,64] i64{0,8,8}", "f32[T,8,8]", ""}, NULL},
        {{"Reshape.14", "i8[T,64] i32{0,-1,8}", "i8[T,8,8]", ""}, NULL},
        {{"Reshape.14", "f32[T,1,8] i64{-1,8}", "f32[T,8]", ""}, NULL},
        {{"Reshape.14", "f32[N,T,4] i64{0,0,2,-1}", "f32[N,T,2,2]", ""}, NULL},
        {{"Reshape.14", "f32[0,4] i64{0,-1}", "f32[0,4]", ""}, NULL},
        {{"Reshape.14", "f32[0,4] i64{0,7}", "f32[0,7]", "allowzero=1"}, NULL},
        {{"Reshape.14", "f32[1] i64{}", "f32[]", ""}, NULL},
        {{"Reshape.14", "f32[0,4] i64{0,-1}", "f32[0,7]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64{0,8,9}", "f32[T,8,9]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64{0,8,8}", "f32[T,64]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64{64,64}", "f32[64,64]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64{-1,64}", "f32[N,64]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64{-1,-1}", "f32[T,64]", ""}, wrong},
        {{"Reshape.14", "f32[8] i64{0,0}", "f32[8,8]", ""}, wrong},
        {{"Reshape.14", "f32[8] i64{-2,4}", "f32[2,4]", ""}, wrong},
        {{"Reshape.14", "f32[T,64] i64[3]", "f32[T,8,8]", ""}, "input 1 is not constant"},
        {{"Reshape.14", "f32[8] f32{2,4}", "f32[2,4]", ""}, "input 1 is neither i32 nor i64"},
        {{"Reshape.14", "f32[T,64] i64{0,8,8}", "f16[T,8,8]", ""}, "one plain type"},
        {{"Reshape.14", "w:Q8_0[2,32] i64{64}", "Q8_0[64]", ""}, "one plain type"},
        {{"Reshape.14", "f32[T,64] i64{0,8,8}", "f32[T,8,8]", "allowzero=0.5"},
         "attribute allowzero is not an integer"},
        {{"Squeeze.13", "f32[T,1,8] i64{1}", "f32[T,8]", ""}, NULL},
        {{"Squeeze.13", "f32[T,1,8,1]", "f32[T,8]", ""}, NULL},
        {{"Squeeze.13", "f32[1,8,1] i64{-1}", "f32[1,8]", ""}, NULL},
        {{"Squeeze.13", "f32[1,8,1] i64{}", "f32[1,8,1]", ""}, NULL},
        {{"Squeeze.13", "f32[T,1,8] i64{2}", "f32[T,1]", ""}, "y is not x without the axes"},
        {{"Squeeze.13", "f32[T,1,8] i64{1}", "f32[T,1,8]", ""}, "y is not x without the axes"},
        {{"Squeeze.13", "f32[T,1,8] i64{3}", "f32[T,8]", ""}, "an axis is outside the shape"},
        {{"Squeeze.13", "f32[T,1,1] i64{1,-2}", "f32[T,1]", ""}, "an axis is outside the shape or"},
        {{"Unsqueeze.13", "f32[T,8] i64{0,-1}", "f32[1,T,8,1]", ""}, NULL},
        {{"Unsqueeze.13", "f32[T,8] i64{1}", "f32[1,T,8]", ""}, "y is not x with ones at the axes"},
        {{"Unsqueeze.13", "f32[T,8] i64{1}", "f32[T,2,8]", ""}, "y is not x with ones at the axes"},
        {{"Unsqueeze.13", "f32[T,8] i64{1,1}", "f32[T,1,1,8]", ""}, "outside the shape or twice"},
        {{"Unsqueeze.13", "f32[T,8] -", "f32[T,8]", ""}, "2 inputs and 1 outputs do not fit"},
        {{"Identity.13", "bool[T,8]", "bool[T,8]", ""}, NULL},
        {{"Identity.13", "f32[T,8]", "f32[8,T]", ""}, "y has another shape than x"},
        {{"Identity.13", "state:f32[64,8]", "f32[64,8]", ""}, "one plain type"},
        {{"Identity.13", "f32[T,8]", "f32[T,8]", "axis=0"}, "attribute axis is unknown"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    CHECK(parse((node_text){"Identity.13", "i64[T]", "i64[T]", ""}, &answer).view.element_bytes ==
          8);
    CHECK(answer.activation_bytes == 0.0);
}

/* ---- moves ---- */
static void gather(void) {
    static const char *const wrong = "data, indices and y do not fit";
    const row rows[] = {
        {{"Gather.13", "f32[T,8] i32[R]", "f32[R,8]", ""}, NULL},
        {{"Gather.13", "f32[T,8] i64[2,3]", "f32[T,2,3]", "axis=-1"}, NULL},
        {{"Gather.13", "i64[8] i64(3)", "i64[]", ""}, NULL},
        {{"Gather.13", "f32[T,8] i32[R]", "f32[R,8]", "axis=2"}, "axis is outside the shape"},
        {{"Gather.13", "f32[] i32[1]", "f32[]", ""}, "axis is outside the shape"},
        {{"Gather.13", "f32[T,8] f32[R]", "f32[R,8]", ""}, "indices are neither i32 nor i64"},
        {{"Gather.13", "f32[T,8] i32[R]", "f16[R,8]", ""}, "data and y must have one plain type"},
        {{"Gather.13", "w:Q4_0[4,32] i32[R]", "Q4_0[R,32]", ""}, "one plain type"},
        {{"Gather.13", "f32[T,8] i32[R]", "f32[T,8]", ""}, wrong},
        {{"Gather.13", "f32[T,8] i32[R]", "f32[R,9]", ""}, wrong},
        {{"Gather.13", "f32[T,8] i32[R]", "f32[T,R]", ""}, wrong},
        {{"Gather.13", "f32[T,8] i32[2,R]", "f32[R,2,8]", ""}, wrong},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_gather p =
        parse((node_text){"Gather.13", "f16[T,8,4] i64[2,3]", "f16[T,2,3,4]", "axis=1"}, &answer)
            .gather;
    CHECK(p.axis == 1 && p.element_bytes == 2);
    CHECK(answer.activation_bytes == 8.0 * NODE_TEXT_TOKENS * 24);
}

static void transpose(void) {
    static const row rows[] = {
        {{"Transpose.13", "f32[T,2,3]", "f32[3,2,T]", ""}, NULL},
        {{"Transpose.13", "bool[T,2,3]", "bool[2,T,3]", "perm=[1,0,2]"}, NULL},
        {{"Transpose.13", "f32[]", "f32[]", ""}, NULL},
        {{"Transpose.13", "f32[T,2,3]", "f32[T,2,3]", ""},
         "y is not x with its axes in that order"},
        {{"Transpose.13", "f32[T,2,3]", "f32[2,T]", "perm=[1,0]"}, "perm is no permutation"},
        {{"Transpose.13", "f32[T,2]", "f32[T,T]", "perm=[0,0]"}, "perm is no permutation"},
        {{"Transpose.13", "f32[T,2]", "f32[2,T]", "perm=[-1,0]"}, "perm is no permutation"},
        {{"Transpose.13", "f32[T,2]", "f32[2,T]", "perm=1"}, "perm is no permutation"},
        {{"Transpose.13", "f32[T,2]", "i32[2,T]", ""}, "x and y must have one plain type"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_transpose p =
        parse((node_text){"Transpose.13", "f32[T,2,3]", "f32[2,3,T]", "perm=[1,2,0]"}, &answer)
            .transpose;
    CHECK(p.from[0] == 1 && p.from[1] == 2 && p.from[2] == 0 && p.element_bytes == 4);
}

static void concat(void) {
    static const char *const wrong = "the inputs do not make y together";
    const row rows[] = {
        {{"Concat.13", "f32[T,2] f32[T,3] f32[T,4]", "f32[T,9]", "axis=1"}, NULL},
        {{"Concat.13", "i8[T,2]", "i8[T,2]", "axis=-2"}, NULL},
        {{"Concat.13", "f32[2,T] f32[3,T]", "f32[5,T]", "axis=0"}, NULL},
        {{"Concat.13", "f32[T,2] f32[T,3]", "f32[T,5]", ""}, "axis is missing"},
        {{"Concat.13", "f32[T,2] f32[T,3]", "f32[T,5]", "axis=2"}, "axis is outside the shape"},
        {{"Concat.13", "f32[T,2] f16[T,3]", "f32[T,5]", "axis=1"},
         "the inputs and y must have one plain type"},
        {{"Concat.13", "f32[T,2] - f32[T,3]", "f32[T,5]", "axis=1"}, "input 1 is missing"},
        {{"Concat.13", "f32[T,2] f32[T,3]", "f32[T,6]", "axis=1"}, wrong},
        {{"Concat.13", "f32[T,2] f32[N,3]", "f32[T,5]", "axis=1"}, wrong},
        {{"Concat.13", "f32[T,2] f32[T,2]", "f32[T,2]", "axis=0"}, wrong},
        {{"Concat.13", "f32[T] f32[N]", "f32[T]", "axis=0"}, wrong},
        {{"Concat.13", "f32[T,2] f32[2]", "f32[T,4]", "axis=1"}, wrong},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    CHECK(parse((node_text){"Concat.13", "f32[T,2] f32[T,3]", "f32[T,5]", "axis=-1"}, &answer)
              .concat.axis == 1);
    /* a step's rows and four more, twice */
    sy_dimension rows_of[] = {sy_test_symbol(SY_SYMBOL_TOKENS, 68), sy_test_symbol(1, 136)};
    sy_test_graph graph;
    kit_node node;
    kit_concat p;
    rows_of[0].offset = 4;
    rows_of[1].scale = 2;
    for (int64_t offset = 7; offset <= 8; offset++) {
        sy_test_graph_init(&graph);
        rows_of[1].offset = offset;
        uint32_t x = sy_test_graph_value(&graph, "x", SY_VALUE_INPUT, SY_TYPE_F32, 1, &rows_of[0]);
        uint32_t y = sy_test_graph_value(&graph, "y", SY_VALUE_INPUT, SY_TYPE_F32, 1, &rows_of[1]);
        sy_test_graph_int(
            &graph, sy_test_graph_node(&graph, "", "Concat", 13, 2, (uint32_t[]){x, x}, 1, &y),
            "axis", 0);
        sy_error error;
        bool fits = false;
        CHECK_OK_ERROR(sy_test_graph_finish(&graph, &error), error);
        CHECK_OK(kit_node_read(&graph.view, 0, &node, &fits));
        CHECK(fits && kit_check_concat(&node, &p, &answer) == (offset == 8));
        sy_test_graph_deinit(&graph);
    }
}

static void slice(void) {
    static const char *const wrong = "y has not the size of the slice";
    const row rows[] = {
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{1}", "f32[T,3]", ""}, NULL},
        {{"Slice.13", "i8[T,8] i32{-3} i32{100} i32{-1} i32{2}", "i8[T,2]", ""}, NULL},
        {{"Slice.13", "f32[8,9] i64{7,1} i64{-100,8} i64{0,1} i64{-2,3}", "f32[4,3]", ""}, NULL},
        {{"Slice.13", "f32[8,9] i64{1} i64{8}", "f32[7,9]", ""}, NULL},
        {{"Slice.13", "f32[T,8] i64{0} i64{64} i64{0}", "f32[T,8]", ""}, NULL},
        {{"Slice.13", "f32[8] i64{5} i64{2} -", "f32[0]", ""}, NULL},
        {{"Slice.13", "f32[8] i64{5} i64{2}", "f32[1]", ""}, wrong},
        {{"Slice.13", "f32[T,8] i64{1} i64{64} i64{0}", "f32[T,8]", ""}, wrong},
        {{"Slice.13", "f32[T,8] i64{0} i64{4} i64{0}", "f32[4,8]", ""}, wrong},
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{1}", "f32[N,3]", ""}, wrong},
        {{"Slice.13", "f32[T,8] i64[1] i64{5} i64{1}", "f32[T,3]", ""}, "input 1 is not constant"},
        {{"Slice.13", "f32[T,8] i64{2} i64{5,6} i64{1}", "f32[T,3]", ""}, "differ in length"},
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{1,0}", "f32[T,3]", ""}, "differ in length"},
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{2}", "f32[T,3]", ""}, "outside the shape"},
        {{"Slice.13", "f32[8,8] i64{2,2} i64{5,5} i64{1,-1}", "f32[8,3]", ""}, "or twice"},
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{1} i64{0}", "f32[T,3]", ""}, "a step is 0"},
        {{"Slice.13", "f32[T,8] i64{2} i64{5} i64{1}", "i32[T,3]", ""},
         "data and y must have one plain type"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_slice p = parse((node_text){"Slice.13",
                                    "f32[8,9,T] i64{7,-8,0} i64{-100,8,64} i64{0,1,2} i64{-2,3,1}",
                                    "f32[4,3,T]", ""},
                        &answer)
                      .slice;
    CHECK(p.first[0] == 7 && p.step[0] == -2 && p.first[1] == 1 && p.step[1] == 3);
    CHECK(p.first[2] == 0 && p.step[2] == 1 && p.cut_axes == 3 && p.element_bytes == 4);
}

static void split_and_expand(void) {
    static const char *const wrong = "the outputs do not make x together";
    const row rows[] = {
        {{"Split.18", "f32[T,8] i64{2,5,1}", "f32[T,2] f32[T,5] f32[T,1]", "axis=1"}, NULL},
        {{"Split.18", "f32[7,T]", "f32[4,T] f32[3,T]", "num_outputs=2"}, NULL},
        {{"Split.18", "f32[T,8] i64{2,5}", "f32[T,2] f32[T,5]", "axis=1"}, wrong},
        {{"Split.18", "f32[T,8] i64{9,-1}", "f32[T,9] f32[T,0]", "axis=1"}, wrong},
        {{"Split.18", "f32[T,8] i64{4,4}", "f32[T,4] f32[T,5]", "axis=1"}, wrong},
        {{"Split.18", "f32[T,8] i64{4,4}", "f32[T,4] f32[N,4]", "axis=1"}, wrong},
        {{"Split.18", "f32[T,8]", "f32[32,8] f32[32,8]", ""}, wrong},
        {{"Split.18", "f32[T,8] i64{4,4}", "f32[T,4] f32[T,4]", "axis=2"},
         "axis is outside the shape"},
        {{"Split.18", "f32[T,8] i64{4,4}", "f32[T,4] f16[T,4]", "axis=1"},
         "x and y must have one plain type"},
        {{"Split.18", "f32[T,8] i64{8}", "f32[T,4] f32[T,4]", "axis=1"},
         "more or fewer sizes than outputs"},
        {{"Split.18", "f32[T,8]", "f32[T,4] f32[T,4]", "axis=1 num_outputs=3"},
         "more or fewer sizes than outputs"},
        {{"Expand.13", "f32[T,1] i64{1,8}", "f32[T,8]", ""}, NULL},
        {{"Expand.13", "f32[8] i64{3,1,1}", "f32[3,1,8]", ""}, NULL},
        {{"Expand.13", "f32[2,T,8] i64{8}", "f32[2,T,8]", ""}, NULL},
        {{"Expand.13", "f32[T,2] i64{1,8}", "f32[T,8]", ""}, "y is not x broadcast to the shape"},
        {{"Expand.13", "f32[T,1] i64{64,8}", "f32[T,8]", ""}, "y is not x broadcast to the shape"},
        {{"Expand.13", "f32[1] i64{-1}", "f32[1]", ""}, "y is not x broadcast to the shape"},
        {{"Expand.13", "f32[T,1] i64{1,8}", "f32[1,T,8]", ""}, "y is not x broadcast"},
        {{"Expand.13", "f32[T,1] i64[2]", "f32[T,8]", ""}, "input 1 is not constant"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_split p =
        parse((node_text){"Split.18", "i32[T,7]", "i32[T,3] i32[T,3] i32[T,1]", "axis=-1"}, &answer)
            .split;
    CHECK(p.axis == 1 && p.sizes[0] == 3 && p.sizes[1] == 3 && p.sizes[2] == 1);
}

/* ---- products and sums ---- */
static void products(void) {
    static const char *const wrong = "a, b and y do not fit together";
    const row rows[] = {
        {{"MatMul.13", "f32[T,4] f32[4,8]", "f32[T,8]", ""}, NULL},
        {{"MatMul.13", "f32[N,1,T,4] f16[3,4,T]", "f32[N,3,T,T]", ""}, NULL},
        {{"MatMul.13", "f32[4] f32[2,4,8]", "f32[2,8]", ""}, NULL},
        {{"MatMul.13", "f32[2,T,4] f32[4]", "f32[2,T]", ""}, NULL},
        {{"MatMul.13", "f32[4] f32[4]", "f32[]", ""}, NULL},
        {{"MatMul.13", "f32[T,4] f32[5,8]", "f32[T,8]", ""}, wrong},
        {{"MatMul.13", "f32[T,4] f32[4,8]", "f32[N,8]", ""}, wrong},
        {{"MatMul.13", "f32[T,4] f32[4,8]", "f32[1,T,8]", ""}, wrong},
        {{"MatMul.13", "f32[1,T,4] f32[1,4,8]", "f32[5,T,8]", ""}, wrong},
        {{"MatMul.13", "f32[2,T,4] f32[3,4,8]", "f32[2,T,8]", ""}, wrong},
        {{"MatMul.13", "f32[4] f32[4]", "f32[1]", ""}, wrong},
        {{"MatMul.13", "f32[] f32[4]", "f32[]", ""}, wrong},
        {{"MatMul.13", "i32[T,4] i32[4,8]", "i32[T,8]", ""}, "the first input is i32, not a float"},
        {{"MatMul.13", "f32[T,4] i8[4,8]", "f32[T,8]", ""}, "b is i8, not a float"},
        {{"MatMul.13", "f32[T,4] f32[4,8]", "f32[T,8]", "transB=1"}, "attribute transB is unknown"},
        {{"Gemm.13", "f32[T,4] f32[4,8] f32[8]", "f32[T,8]", "alpha=0.5 beta=2.0"}, NULL},
        {{"Gemm.13", "f16[4,T] f16[8,4] f16[T,1]", "f16[T,8]", "transA=1 transB=1"}, NULL},
        {{"Gemm.13", "f32[T,4] f32[4,8] f32(1)", "f32[T,8]", ""}, NULL},
        {{"Gemm.13", "f32[T,4] f32[4,8] f32[4]", "f32[T,8]", ""}, "c does not broadcast to y"},
        {{"Gemm.13", "f32[T,4] f32[4,8] f32[1,T,8]", "f32[T,8]", ""}, "c does not broadcast to y"},
        {{"Gemm.13", "f32[T,4] f32[4,8] i32[8]", "f32[T,8]", ""}, "c is i32, not a float"},
        {{"Gemm.13", "f32[T,4] f32[4,8]", "f32[T,8]", "transB=1"}, wrong},
        {{"Gemm.13", "f32[2,T,4] f32[4,8]", "f32[2,T,8]", ""}, wrong},
        {{"Gemm.13", "f32[T,4] f32[4,8]", "f32[T,8]", "transB=1.0"},
         "attribute transB is not an integer"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_matmul p =
        parse((node_text){"MatMul.13", "f32[N,1,T,4] f32[3,4,8]", "f32[N,3,T,8]", ""}, &answer)
            .matmul;
    CHECK(p.m.symbol == SY_SYMBOL_TOKENS && p.k.bound == 4 && p.n.bound == 8 && p.n_batch == 2);
    CHECK(answer.f32_ops == 2.0 * NODE_TEXT_PICTURES * 3 * NODE_TEXT_TOKENS * 8 * 4);
    p = parse((node_text){"MatMul.13", "f32[4] f32[2,4,8]", "f32[2,8]", ""}, &answer).matmul;
    CHECK(p.m.symbol == 0 && p.m.bound == 1 && p.n_batch == 1);
    kit_gemm g = parse((node_text){"Gemm.13", "f32[4,T] f32[8,4] f32[8]", "f32[T,8]",
                                   "transA=1 transB=1 alpha=0.5"},
                       &answer)
                     .gemm;
    CHECK(g.trans_a && g.trans_b && g.has_c && g.alpha == 0.5 && g.beta == 1.0);
    CHECK(g.m.symbol == SY_SYMBOL_TOKENS && g.k.bound == 4 && g.n.bound == 8);
}

static void reductions(void) {
    static const char *const wrong = "y is not x without the axes";
    const row rows[] = {
        {{"ReduceMean.18", "f32[N,3,4,5] i64{2,3}", "f32[N,3,1,1]", ""}, NULL},
        {{"ReduceSum.13", "i64[T,8] i32{-1}", "i64[T]", "keepdims=0"}, NULL},
        {{"ReduceMax.20", "f16[T,8]", "f16[]", "keepdims=0"}, NULL},
        {{"ReduceMax.20", "f16[T,8] i64{}", "f16[1,1]", ""}, NULL},
        {{"ReduceMax.20", "f16[T,8]", "f16[T,8]", "noop_with_empty_axes=1"}, NULL},
        {{"ReduceMax.20", "f16[T,8]", "f16[T,8]", ""}, wrong},
        {{"ReduceMean.18", "f32[T,8] i64{1}", "f32[T]", ""}, wrong},
        {{"ReduceMean.18", "f32[T,8] i64{1}", "f32[T,8]", ""}, wrong},
        {{"ReduceMean.18", "f32[T,8] i64{0}", "f32[T]", "keepdims=0"}, wrong},
        {{"ReduceMean.18", "i32[T,8] i64{1}", "i32[T,1]", ""},
         "the first input is i32, not a float"},
        {{"ReduceSum.13", "i32[T,8] i64{1}", "i64[T,1]", ""}, "y is i64, not i32"},
        {{"ReduceSum.13", "f32[T,8] i64{2}", "f32[T,1]", ""}, "an axis is outside the shape"},
        {{"ReduceSum.13", "f32[T,8] i64[1]", "f32[T,1]", ""}, "input 1 is not constant"},
        {{"ReduceSum.13", "f32[T,8] i64{1}", "f32[T,1]", "axes=[1]"}, "attribute axes is unknown"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_reduce p =
        parse((node_text){"ReduceSum.13", "i32[T,8,2] i64{2,0}", "i32[1,8,1]", ""}, &answer).reduce;
    CHECK(p.kind == KIT_REDUCE_SUM && p.axes == 5 && p.keeps && p.is_integer);
    p = parse((node_text){"ReduceMean.18", "f32[T,8]", "f32[]", "keepdims=0"}, &answer).reduce;
    CHECK(p.kind == KIT_REDUCE_MEAN && p.axes == 3 && !p.keeps && !p.is_integer);
    CHECK(parse((node_text){"ReduceMax.20", "f32[T,8] i64{0}", "f32[1,8]", ""}, &answer)
              .reduce.kind == KIT_REDUCE_MAX);
}

static void choices(void) {
    static const char *const wrong = "y is not x without the axis";
    static const char *const outputs = "the outputs are not x with k elements on the axis";
    const row rows[] = {
        {{"ArgMax.13", "f32[T,8]", "i64[T]", "axis=-1 keepdims=0"}, NULL},
        {{"ArgMax.13", "i32[8,T]", "i64[1,T]", "select_last_index=1"}, NULL},
        {{"ArgMax.13", "f32[T,8]", "i64[1,8]", ""}, "the axis has no fixed size above 0"},
        {{"ArgMax.13", "f32[T,0]", "i64[T,1]", "axis=1"}, "the axis has no fixed size above 0"},
        {{"ArgMax.13", "f32[T,8]", "i64[T]", "axis=2"}, "axis is outside the shape"},
        {{"ArgMax.13", "f32[T,8]", "i32[T,1]", "axis=1"}, "y is i32, not i64"},
        {{"ArgMax.13", "i8[T,8]", "i64[T,1]", "axis=1"}, "x is i8, not a float"},
        {{"ArgMax.13", "f32[T,8]", "i64[T]", "axis=1"}, wrong},
        {{"ArgMax.13", "f32[T,8]", "i64[N,1]", "axis=1"}, wrong},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[T,3] i64[T,3]", "sorted=0"}, NULL},
        {{"TopK.24", "i64[8,T] i64{8}", "i64[8,T] i64[8,T]", "axis=0 largest=0"}, NULL},
        {{"TopK.24", "f32[T,8] i64{9}", "f32[T,9] i64[T,9]", ""},
         "k is not from 1 to the size of the axis"},
        {{"TopK.24", "f32[T,8] i64{0}", "f32[T,0] i64[T,0]", ""},
         "k is not from 1 to the size of the axis"},
        {{"TopK.24", "f32[T,8] i64{}", "f32[T,1] i64[T,1]", ""},
         "k is not from 1 to the size of the axis"},
        {{"TopK.24", "f32[T,8] i64[1]", "f32[T,3] i64[T,3]", ""}, "input 1 is not constant"},
        {{"TopK.24", "f32[T,8] i64{3,3}", "f32[T,3] i64[T,3]", ""}, "too many entries"},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[T,3] i32[T,3]", ""}, "the indices is i32, not i64"},
        {{"TopK.24", "f32[T,8] i64{3}", "f16[T,3] i64[T,3]", ""}, "the values is f16, not f32"},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[T,3] i64[T,4]", ""}, outputs},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[T,4] i64[T,4]", ""}, outputs},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[N,3] i64[N,3]", ""}, outputs},
        {{"TopK.24", "f32[T,8] i64{3}", "f32[T,3]", ""}, "2 inputs and 1 outputs do not fit"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_arg_max p = parse((node_text){"ArgMax.13", "f32[T,8]", "i64[T]",
                                      "axis=-1 keepdims=0 select_last_index=1"},
                          &answer)
                        .arg_max;
    CHECK(p.axis == 1 && !p.keeps && p.takes_last);
    kit_top_k k =
        parse((node_text){"TopK.24", "f32[T,8] i64{3}", "f32[T,3] i64[T,3]", ""}, &answer).top_k;
    CHECK(k.axis == 1 && k.k == 3 && k.is_largest);
}

static const sy_test_case cases[] = {
    {"views", views},       {"gather", gather},         {"transpose", transpose},
    {"concat", concat},     {"slice", slice},           {"split_and_expand", split_and_expand},
    {"products", products}, {"reductions", reductions}, {"choices", choices},
};
SY_TEST_MAIN(cases)
