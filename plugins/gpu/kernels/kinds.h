/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that the host's side passes as constants; op_pointwise.c checks that they are its own. */
#define UNARY_NEG 0u
#define UNARY_ABS 1u
#define UNARY_SQRT 2u
#define UNARY_EXP 3u
#define UNARY_LOG 4u
#define UNARY_ERF 5u
#define UNARY_TANH 6u
#define UNARY_SIGMOID 7u
#define UNARY_RECIPROCAL 8u
#define UNARY_RELU 9u
#define UNARY_GELU 10u
#define UNARY_GELU_TANH 11u
#define UNARY_SWISH 12u
#define UNARY_SOFTCAP 13u
#define UNARY_CLIP 14u
#define UNARY_LEAKY_RELU 15u
#define UNARY_ELU 16u
#define UNARY_HARD_SIGMOID 17u
#define UNARY_HARD_SWISH 18u

#define BINARY_ADD 0u
#define BINARY_SUB 1u
#define BINARY_MUL 2u
#define BINARY_DIV 3u
#define BINARY_POW 4u
#define BINARY_PRELU 5u
/* Of the same shapes only. */
#define BINARY_GATED 16u /* + the unary kind: kind(a) * b */
#define BINARY_CLAMPED_SWIGLU 64u
