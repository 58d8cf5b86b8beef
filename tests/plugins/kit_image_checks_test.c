/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of plugins/kit for operators of images and of int8 networks. */
#include "check_rows.h"

#define IMAGE "f32[N,4,9,8]"

static void conv(void) {
    static const char *const shapes = "x, w, bias and group do not fit together";
    static const char *const slides = "the output is not what the window gives";
    const row rows[] = {
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", ""}, NULL},
        {{"Conv.22", IMAGE " w:f32[4,1,3,3] w:f16[4]", "f32[N,4,9,8]", "group=4 pads=[1,1,1,1]"},
         NULL},
        {{"Conv.22", "f16[1,4,16] w:f16[6,2,3]", "f16[1,6,6]",
          "group=2 kernel_shape=[3] strides=[2] dilations=[2]"},
         NULL},
        {{"Conv.22", IMAGE " f32[6,4,3,3] f32[6]", "f32[N,6,7,6]", "auto_pad='NOTSET'"}, NULL},
        {{"Conv.22", "f32[N,4] w:f32[6,4]", "f32[N,6]", ""}, "x has rank 2, not 3 or 4"},
        {{"Conv.22", "f32[1,4,9,8,2] w:f32[6,4,3,3,1]", "f32[1,6,7,6,2]", ""},
         "x has rank 5, not 3 or 4"},
        {{"Conv.22", IMAGE " w:i8[6,4,3,3]", "f32[N,6,7,6]", ""}, "w is i8, not a float"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3] w:i32[6]", "f32[N,6,7,6]", ""},
         "the bias is i32, not a float"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f16[N,6,7,6]", ""},
         "the output is f16, the input f32"},
        {{"Conv.22", IMAGE " w:f32[6,3,3,3]", "f32[N,6,7,6]", ""}, shapes},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "group=0"}, shapes},
        {{"Conv.22", IMAGE " w:f32[6,1,3,3]", "f32[N,6,7,6]", "group=4"}, shapes},
        {{"Conv.22", IMAGE " w:f32[6,4,3]", "f32[N,6,7,6]", ""}, shapes},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3] w:f32[4]", "f32[N,6,7,6]", ""}, shapes},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,7]", ""}, slides},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,5,7,6]", ""}, slides},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[1,6,7,6]", ""}, slides},
        {{"Conv.22", IMAGE " w:f32[6,4,10,3]", "f32[N,6,0,6]", ""}, slides},
        {{"Conv.22", "f32[1,4,9,T] w:f32[6,4,1,1]", "f32[1,6,9,T]", ""}, slides},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "strides=[1]"},
         "attribute strides has not 2 integers"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "strides=[1,0]"},
         "attribute strides is out of range"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "pads=[0,0,0,-1]"},
         "attribute pads is out of range"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "dilations=1"},
         "attribute dilations has not 2 integers"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "pads=[0,0,0,1048577]"},
         "attribute pads is out of range"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "kernel_shape=[3,2]"},
         "kernel_shape is not that of w"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "auto_pad='SAME_UPPER'"},
         "auto_pad is SAME_UPPER, not NOTSET"},
        {{"Conv.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,7,6]", "ceil_mode=0"},
         "attribute ceil_mode is unknown"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_conv p = parse((node_text){"Conv.22", IMAGE " w:f32[6,2,3,2] w:f32[6]", "f32[N,6,5,6]",
                                   "group=2 strides=[2,1] dilations=[1,3] pads=[1,0,1,1]"},
                       &answer)
                     .conv;
    const kit_window expected = {.kernel = {3, 2},
                                 .stride = {2, 1},
                                 .dilation = {1, 3},
                                 .before = {1, 0},
                                 .after = {1, 1},
                                 .in = {9, 8},
                                 .out = {5, 6}};
    CHECK(memcmp(&p.window, &expected, sizeof(expected)) == 0);
    CHECK(p.in_channels == 4 && p.out_channels == 6 && p.n_groups == 2 && p.has_bias);
    CHECK(answer.f32_ops == 2.0 * NODE_TEXT_PICTURES * 6 * 5 * 6 * (2 * 3 * 2));
    p = parse((node_text){"Conv.22", "f16[1,4,16] w:f16[6,2,3]", "f16[1,6,6]",
                          "group=2 strides=[2] dilations=[2]"},
              &answer)
            .conv;
    CHECK(p.window.kernel[0] == 1 && p.window.kernel[1] == 3 && p.window.stride[0] == 1);
    CHECK(p.window.in[0] == 1 && p.window.in[1] == 16 && p.window.out[1] == 6 && !p.has_bias);
}

static void conv_transpose(void) {
    static const char *const slides = "the output is not what the window gives";
    const row rows[] = {
        {{"ConvTranspose.22", IMAGE " w:f32[4,6,3,3]", "f32[N,6,11,10]", ""}, NULL},
        {{"ConvTranspose.22", IMAGE " w:f32[4,3,2,2] w:f32[6]", "f32[N,6,18,16]",
          "group=2 strides=[2,2]"},
         NULL},
        {{"ConvTranspose.22", "f32[1,4,9] w:f32[4,6,3]", "f32[1,6,20]",
          "strides=[2] output_padding=[1]"},
         NULL},
        {{"ConvTranspose.22", "f32[1,4,9] w:f32[4,6,3]", "f32[1,6,19]",
          "strides=[2] output_padding=[1]"},
         slides},
        {{"ConvTranspose.22", IMAGE " w:f32[4,6,3,3]", "f32[N,6,11,9]", ""}, slides},
        {{"ConvTranspose.22", "f32[1,4,1] w:f32[4,6,1]", "f32[1,6,0]", "pads=[1,0]"}, slides},
        {{"ConvTranspose.22", "f32[1,4,9] w:f32[4,6,3]", "f32[1,6,21]",
          "strides=[2] output_padding=[2]"},
         "output_padding is not below the stride or the dilation"},
        {{"ConvTranspose.22", "f32[1,4,9] w:f32[4,6,3]", "f32[1,6,1]", "output_shape=[0]"},
         "attribute output_shape is out of range"},
        {{"ConvTranspose.22", "f32[1,4,T] w:f32[4,6,1]", "f32[1,6,T]", ""},
         "a plane of x has no fixed size"},
        {{"ConvTranspose.22", IMAGE " w:f32[6,4,3,3]", "f32[N,6,11,10]", ""},
         "x, w, bias and group do not fit together"},
        {{"ConvTranspose.22", IMAGE " w:f32[4,6,3,3] w:f32[4]", "f32[N,6,11,10]", ""},
         "x, w, bias and group do not fit together"},
        {{"ConvTranspose.22", IMAGE " w:f32[4,6,3,3]", "f32[N,6,11,10]", "group=3"},
         "x, w, bias and group do not fit together"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_conv p =
        parse((node_text){"ConvTranspose.22", "f32[N,4,9,8] w:f32[4,3,3,3]", "f32[N,6,16,20]",
                          "group=2 strides=[2,2] output_padding=[0,1] "
                          "output_shape=[16,20]"},
              &answer)
            .conv;
    /* 19 rows, 3 too many: two in front; 18 columns, 2 too few: the bias */
    CHECK(p.window.before[0] == 2 && p.window.after[0] == 1 && p.window.out[0] == 16);
    CHECK(p.window.before[1] == 0 && p.window.after[1] == 0 && p.window.out[1] == 20);
    CHECK(p.in_channels == 4 && p.out_channels == 6 && p.n_groups == 2 && p.window.in[1] == 8);
    CHECK(answer.f32_ops == 2.0 * NODE_TEXT_PICTURES * 4 * 9 * 8 * (3 * 3 * 3));
}

static void resize(void) {
    static const char *const wrong = "y has not the size that scales or sizes give";
    const row rows[] = {
        {{"Resize.19", IMAGE " - f32{1,1,2,3}", "f32[N,4,18,24]", ""}, NULL},
        {{"Resize.19", "u8[1,4,9] - - i64{1,4,5}", "u8[1,4,5]", "nearest_mode='floor'"}, NULL},
        {{"Resize.19", "f16[N,4,9] f32{} f32{} i64{12}", "f16[N,4,12]",
          "axes=[-1] mode='cubic' cubic_coeff_a=-0.5"},
         NULL},
        {{"Resize.19", "f32[N,4,T,8] - f32{2}", "f32[N,4,T,16]",
          "axes=[3] mode='linear' coordinate_transformation_mode='align_corners'"},
         NULL},
        {{"Resize.19", "f32[N,4,T,8] - f32{2}", "f32[N,4,T,8]", "axes=[2]"}, wrong},
        {{"Resize.19", "f32[1,4,9] - f32{1,2,1}", "f32[1,8,9]", ""}, wrong},
        {{"Resize.19", "f32[1,4,9] - f32{1,1,0}", "f32[1,4,0]", ""}, wrong},
        {{"Resize.19", IMAGE " - f32{1,1,2,3}", "f32[N,4,18,23]", ""}, wrong},
        {{"Resize.19", IMAGE " - f32{1,1,2,1}", "f32[1,4,18,8]", ""}, wrong},
        {{"Resize.19", IMAGE, IMAGE, ""}, "it has not either scales or sizes"},
        {{"Resize.19", "f32[1,4,9] - f32{1,1,2} i64{1,4,18}", "f32[1,4,18]", ""},
         "it has not either scales or sizes"},
        {{"Resize.19", "f32[1,4,9] - f32[3]", "f32[1,4,18]", ""}, "scales is no constant of 3 f32"},
        {{"Resize.19", "f32[1,4,9] - f32{1,2}", "f32[1,4,18]", ""},
         "scales is no constant of 3 f32"},
        {{"Resize.19", "f32[1,4,9] - - i64{1,4}", "f32[1,4,18]", ""}, "sizes has 2 entries, not 3"},
        {{"Resize.19", "f32[1,4,9] - - i64{18,18}", "f32[1,4,18]", "axes=[2,-1]"},
         "an axis is outside the shape or twice"},
        {{"Resize.19", "f32[4,9] - f32{1,2}", "f32[4,18]", ""}, "x has rank 2, not 3 or 4"},
        {{"Resize.19", "u8[1,4,9] - f32{1,1,2}", "u8[1,4,18]", "mode='linear'"},
         "the first input is u8, not a float"},
        {{"Resize.19", "f32[1,4,9] - f32{1,1,2}", "f32[1,4,18]", "mode='area'"}, "mode is area"},
        {{"Resize.19", "f32[1,4,9] - f32{1,1,2}", "f32[1,4,18]",
          "coordinate_transformation_mode='tf_crop_and_resize'"},
         "coordinate_transformation_mode is tf_crop"},
        {{"Resize.19", "f32[1,4,9] - f32{1,1,2}", "f32[1,4,18]", "antialias=1"},
         "antialias or exclude_outside is not 0"},
        {{"Resize.19", "f32[1,4,9] - - i64{1,4,18}", "f32[1,4,18]",
          "keep_aspect_ratio_policy='not_larger'"},
         "keep_aspect_ratio_policy is not_larger"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_resize p = parse((node_text){"Resize.19", "f32[N,4,T,8] - - i64{12}", "f32[N,4,T,12]",
                                     "axes=[3] mode='linear' "
                                     "coordinate_transformation_mode='asymmetric' "
                                     "nearest_mode='ceil'"},
                         &answer)
                       .resize;
    CHECK(p.mode == KIT_RESIZE_LINEAR && p.placing == KIT_PLACE_ASYMMETRIC);
    CHECK(p.rounding == KIT_ROUND_CEIL && p.cubic_a == -0.75);
    CHECK(p.scale[0] == 1.0f && p.length[0] == 0.0f);
    CHECK(p.scale[1] == 1.5f && p.length[1] == 12.0f);
}

static void pads_and_blocks(void) {
    static const char *const wrong = "y is not x with pads that it can get";
    static const char *const blocks = "y is not x [N, C, H, W] with its blocks moved";
    const row rows[] = {
        {{"Pad.24", "f32[T,8] i64{0,1,0,2}", "f32[T,11]", ""}, NULL},
        {{"Pad.24", "i8[T,8] i64{7,3} - i64{-1}", "i8[T,18]", "mode='reflect'"}, NULL},
        {{"Pad.24", "f32[T,8] i64{0,8,0,0}", "f32[T,16]", "mode='reflect'"}, wrong},
        {{"Pad.24", "f32[T,8] i64{1,0,0,0}", "f32[T,8]", ""}, wrong},
        {{"Pad.24", "f32[T,8] i64{0,-1,0,0}", "f32[T,7]", ""}, wrong},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2}", "f32[T,10]", ""}, wrong},
        {{"Pad.24", "f32[T,8] i64{1,2}", "f32[T,11]", ""},
         "pads has not two entries for each axis"},
        {{"Pad.24", "f32[T,8] i64{1,2} - i64{2}", "f32[T,11]", ""}, "an axis is outside the shape"},
        {{"Pad.24", "f32[T,8] i64[4]", "f32[T,11]", ""}, "input 1 is not constant"},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2} f16(0)", "f32[T,11]", ""},
         "constant_value is not one constant"},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2} i32(0)", "f32[T,11]", ""},
         "constant_value is i32, not f32"},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2} f32{1,2}", "f32[T,11]", ""},
         "constant_value is not one constant"},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2}", "f32[T,11]", "mode='wrap'"}, "mode is wrap"},
        {{"Pad.24", "f32[T,8] i64{0,1,0,2}", "f16[T,11]", ""}, "x and y must have one plain type"},
        {{"DepthToSpace.13", "f32[N,8,3,5]", "f32[N,2,6,10]", "blocksize=2"}, NULL},
        {{"SpaceToDepth.13", "u8[N,2,6,10]", "u8[N,8,3,5]", "blocksize=2"}, NULL},
        {{"DepthToSpace.13", "f32[N,8,3,5]", "f32[N,2,6,9]", "blocksize=2"}, blocks},
        {{"DepthToSpace.13", "f32[N,9,3,5]", "f32[N,2,6,10]", "blocksize=2"}, blocks},
        {{"SpaceToDepth.13", "f32[N,2,7,10]", "f32[N,8,3,5]", "blocksize=2"}, blocks},
        {{"SpaceToDepth.13", "f32[2,6,10]", "f32[8,3,5]", "blocksize=2"}, blocks},
        {{"DepthToSpace.13", "f32[N,8,3,5]", "f32[N,8,3,5]", ""}, "blocksize is not positive"},
        {{"DepthToSpace.13", "f32[N,8,3,5]", "f32[N,2,6,10]", "blocksize=2 mode='ABC'"},
         "mode is ABC"},
        {{"SpaceToDepth.13", "u8[N,2,6,10]", "u8[N,8,3,5]", "blocksize=2 mode='CRD'"},
         "attribute mode is unknown"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_pad p =
        parse((node_text){"Pad.24", "i32[T,8] i64{0,1,0,2} i32(7)", "i32[T,11]", "mode='edge'"},
              &answer)
            .pad;
    const uint8_t seven[8] = {7};
    CHECK(p.mode == KIT_PAD_EDGE && p.before[1] == 1 && p.after[1] == 2 && p.before[0] == 0);
    CHECK(p.element_bytes == 4 && memcmp(p.fill, seven, sizeof(seven)) == 0);
    kit_depth_space d = parse((node_text){"DepthToSpace.13", "f16[N,8,3,5]", "f16[N,2,6,10]",
                                          "blocksize=2 mode='CRD'"},
                              &answer)
                            .depth_space;
    CHECK(d.size == 2 && d.is_crd && d.to_space && d.element_bytes == 2);
}

static void pools(void) {
    static const char *const slides = "the output is not what the window gives";
    const row rows[] = {
        {{"MaxPool.22", IMAGE, "f32[N,4,4,4]", "kernel_shape=[2,2] strides=[2,2] ceil_mode=0"},
         NULL},
        {{"MaxPool.22", "u8[N,4,9]", "u8[N,4,9]", "kernel_shape=[3] pads=[1,1]"}, NULL},
        {{"MaxPool.22", "i8[N,4,9]", "i8[N,4,9]", "kernel_shape=[2] dilations=[2] pads=[2,0]"},
         NULL},
        {{"AveragePool.22", IMAGE, "f32[N,4,8,7]", "kernel_shape=[2,2] count_include_pad=1"}, NULL},
        {{"MaxPool.22", IMAGE, "f32[N,4,8,7]", ""}, "attribute kernel_shape is out of range"},
        {{"MaxPool.22", IMAGE, "f32[N,4,8,7]", "kernel_shape=[2,2] count_include_pad=1"},
         "attribute count_include_pad is unknown"},
        {{"MaxPool.22", IMAGE, "f32[N,4,8,7]", "kernel_shape=[2,2] ceil_mode=1"},
         "ceil_mode is not 0"},
        {{"MaxPool.22", "i32[N,4,9]", "i32[N,4,8]", "kernel_shape=[2]"},
         "the first input is i32, not a float"},
        {{"MaxPool.22", "u8[N,4,9]", "i8[N,4,8]", "kernel_shape=[2]"}, "y is i8, not u8"},
        {{"AveragePool.22", "u8[N,4,9]", "u8[N,4,8]", "kernel_shape=[2]"},
         "the first input is u8, not a float"},
        {{"MaxPool.22", "f32[N,4,9]", "f32[N,4,11]", "kernel_shape=[2] pads=[2,1]"},
         "pads are as large as the kernel"},
        {{"MaxPool.22", "f32[N,4,9]", "f32[N,5,8]", "kernel_shape=[2]"}, slides},
        {{"MaxPool.22", "f32[N,4,9]", "f32[N,4,9]", "kernel_shape=[2]"}, slides},
        {{"MaxPool.22", "f32[N,T,9]", "f32[N,T,8]", "kernel_shape=[2]"}, slides},
        {{"MaxPool.22", "f32[N,4]", "f32[N,4]", "kernel_shape=[]"}, "x has rank 2, not 3 or 4"},
        {{"GlobalMaxPool.22", IMAGE, "f32[N,4,1,1]", ""}, NULL},
        {{"GlobalAveragePool.22", "f16[N,4,T]", "f16[N,4,1]", ""}, NULL},
        {{"GlobalMaxPool.22", "i8[N,4,8]", "i8[N,4,1]", ""}, "the first input is i8, not a float"},
        {{"GlobalMaxPool.22", IMAGE, "f32[N,4]", ""}, "y is not [N, C, 1, ..]"},
        {{"GlobalMaxPool.22", IMAGE, "f32[N,4,1,8]", ""}, "y is not [N, C, 1, ..]"},
        {{"GlobalMaxPool.22", "f32[N,4]", "f32[N,4]", ""}, "y is not [N, C, 1, ..]"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_window_pool p = parse((node_text){"AveragePool.22", IMAGE, "f32[N,4,5,4]",
                                          "kernel_shape=[3,2] strides=[2,2] pads=[1,0,1,0] "
                                          "count_include_pad=1"},
                              &answer)
                            .window_pool;
    CHECK(!p.is_max && p.counts_pads && p.n_channels == 4);
    CHECK(p.window.kernel[0] == 3 && p.window.before[0] == 1 && p.window.after[1] == 0);
    CHECK(answer.f32_ops == 6.0 * NODE_TEXT_PICTURES * 4 * 5 * 4);
    CHECK(parse((node_text){"MaxPool.22", "u8[N,4,9]", "u8[N,4,8]", "kernel_shape=[2]"}, &answer)
              .window_pool.is_max);
    CHECK(parse((node_text){"GlobalMaxPool.22", IMAGE, "f32[N,4,1,1]", ""}, &answer)
              .global_pool.is_max);
    CHECK(!parse((node_text){"GlobalAveragePool.22", IMAGE, "f32[N,4,1,1]", ""}, &answer)
               .global_pool.is_max);
}

#define FACTORS " w:f32[4] w:f32[4] w:f32[4] w:f32[4]"
static void batch_norm(void) {
    const row rows[] = {
        {{"BatchNormalization.15", IMAGE FACTORS, IMAGE, "momentum=0.5"}, NULL},
        {{"BatchNormalization.15", "f16[T,4] f16[4] f32[4] f32[4] f32[4]", "f16[T,4]", ""}, NULL},
        {{"BatchNormalization.15", IMAGE FACTORS, IMAGE, "training_mode=1"},
         "training_mode is not 0"},
        {{"BatchNormalization.15", IMAGE FACTORS, "f32[N,4,9,9]", ""},
         "y has another shape than x"},
        {{"BatchNormalization.15", IMAGE " w:f32[4] w:f32[4] w:f32[4] w:f32[5]", IMAGE, ""},
         "not one factor for each channel"},
        {{"BatchNormalization.15", IMAGE " w:f32[4] w:f32[4] w:f32[4] w:f32[1,4]", IMAGE, ""},
         "not one factor for each channel"},
        {{"BatchNormalization.15", IMAGE " w:f32[4] w:i32[4] w:f32[4] w:f32[4]", IMAGE, ""},
         "a factor is i32, not a float"},
        {{"BatchNormalization.15", "f32[4]" FACTORS, "f32[4]", ""}, "or x no channels"},
        {{"BatchNormalization.15", IMAGE " w:f32[4] w:f32[4] w:f32[4] -", IMAGE, ""},
         "5 inputs and 1 outputs do not fit"},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    CHECK(parse((node_text){"BatchNormalization.15", IMAGE FACTORS, IMAGE, "epsilon=0.5"}, &answer)
              .batch_norm.epsilon == 0.5);
}

static void quantize(void) {
    static const char *const wrong = "x, scale and zero point do not fit together";
    const row rows[] = {
        {{"QuantizeLinear.21", "f32[T,8] f32(1)", "u8[T,8]", ""}, NULL},
        {{"QuantizeLinear.21", "f16[N,4,T] w:f32[4] w:i8[4]", "i8[N,4,T]", ""}, NULL},
        {{"QuantizeLinear.21", "f32[T,8] f32{1} u8{3}", "u8[T,8]", "axis=7"}, NULL},
        {{"QuantizeLinear.21", "i32[T,8] f32(1)", "u8[T,8]", ""}, "x is i32, not a float"},
        {{"QuantizeLinear.21", "f32[T,8] f32(1)", "i32[T,8]", ""},
         "the output is neither i8 nor u8"},
        {{"QuantizeLinear.21", "f32[T,8] f16(1)", "u8[T,8]", ""}, "the scale is f16, not f32"},
        {{"QuantizeLinear.21", "f32[T,8] f32(1) i8(0)", "u8[T,8]", ""}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] w:f32[8] u8(0)", "u8[T,8]", ""}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] w:f32[4]", "u8[T,8]", ""}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] w:f32[8]", "u8[T,8]", "axis=0"}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] w:f32[8]", "u8[T,8]", "axis=2"}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] w:f32[1,8]", "u8[T,8]", ""}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] f32(1)", "u8[T,8]", "block_size=2"}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] f32(1)", "u8[T,9]", ""}, wrong},
        {{"QuantizeLinear.21", "f32[T,8] f32(1)", "u8[T,8]", "saturate=1"},
         "attribute saturate is unknown"},
        {{"DequantizeLinear.21", "w:i32[4,8] w:f32[4] w:i32[4]", "f32[4,8]", "axis=0"}, NULL},
        {{"DequantizeLinear.21", "i64[T,8] f32(1)", "f32[T,8]", ""},
         "the input is neither i8, u8 nor i32"},
        {{"DequantizeLinear.21", "i8[T,8] f32(1)", "f16[T,8]", ""}, "the output is f16, not f32"},
        {{"DequantizeLinear.21", "i8[T,8] f32(1) u8(0)", "f32[T,8]", ""}, wrong},
    };
    CHECK_ROWS(rows)
    kit_answer answer;
    kit_quantize p = parse((node_text){"QuantizeLinear.21", "f32[N,4,T] w:f32[4] w:i8[4]",
                                       "i8[N,4,T]", "axis=-2"},
                           &answer)
                         .quantize;
    CHECK(p.stored == SY_TYPE_I8 && !p.is_single && p.has_zero && p.axis == 1);
    p = parse((node_text){"DequantizeLinear.21", "u8[T,8] f32{2}", "f32[T,8]", ""}, &answer)
            .quantize;
    CHECK(p.stored == SY_TYPE_U8 && p.is_single && !p.has_zero);
}

static const sy_test_case cases[] = {{"conv", conv},        {"conv_transpose", conv_transpose},
                                     {"resize", resize},    {"pads_and_blocks", pads_and_blocks},
                                     {"pools", pools},      {"batch_norm", batch_norm},
                                     {"quantize", quantize}};
SY_TEST_MAIN(cases)
