/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect of README.md in OpenCL C 1.2. The driver defines S0 to S15. */
#pragma OPENCL FP_CONTRACT ON
#ifdef NATIVE_HALVES
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif
#ifdef SUBGROUPS
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif

#if BINDINGS_IN > 0
#define ACCESS_0 const
#else
#define ACCESS_0
#endif
#if BINDINGS_IN > 1
#define ACCESS_1 const
#else
#define ACCESS_1
#endif
#if BINDINGS_IN > 2
#define ACCESS_2 const
#else
#define ACCESS_2
#endif
#if BINDINGS_IN > 3
#define ACCESS_3 const
#else
#define ACCESS_3
#endif
#if BINDINGS_IN > 4
#define ACCESS_4 const
#else
#define ACCESS_4
#endif
#if BINDINGS_IN > 5
#define ACCESS_5 const
#else
#define ACCESS_5
#endif
#if BINDINGS_IN > 6
#define ACCESS_6 const
#else
#define ACCESS_6
#endif
#define ACCESS_7

#define N_BINDINGS (BINDINGS_IN + BINDINGS_OUT)
#if N_BINDINGS > 0
#define ARGUMENT_0 , __global ACCESS_0 uint *restrict b0
#define b0x4 ((__global ACCESS_0 uint4 *)b0)
#else
#define ARGUMENT_0
#endif
#if N_BINDINGS > 1
#define ARGUMENT_1 , __global ACCESS_1 uint *restrict b1
#define b1x4 ((__global ACCESS_1 uint4 *)b1)
#else
#define ARGUMENT_1
#endif
#if N_BINDINGS > 2
#define ARGUMENT_2 , __global ACCESS_2 uint *restrict b2
#define b2x4 ((__global ACCESS_2 uint4 *)b2)
#else
#define ARGUMENT_2
#endif
#if N_BINDINGS > 3
#define ARGUMENT_3 , __global ACCESS_3 uint *restrict b3
#define b3x4 ((__global ACCESS_3 uint4 *)b3)
#else
#define ARGUMENT_3
#endif
#if N_BINDINGS > 4
#define ARGUMENT_4 , __global ACCESS_4 uint *restrict b4
#define b4x4 ((__global ACCESS_4 uint4 *)b4)
#else
#define ARGUMENT_4
#endif
#if N_BINDINGS > 5
#define ARGUMENT_5 , __global ACCESS_5 uint *restrict b5
#define b5x4 ((__global ACCESS_5 uint4 *)b5)
#else
#define ARGUMENT_5
#endif
#if N_BINDINGS > 6
#define ARGUMENT_6 , __global ACCESS_6 uint *restrict b6
#define b6x4 ((__global ACCESS_6 uint4 *)b6)
#else
#define ARGUMENT_6
#endif
#if N_BINDINGS > 7
#define ARGUMENT_7 , __global ACCESS_7 uint *restrict b7
#define b7x4 ((__global ACCESS_7 uint4 *)b7)
#else
#define ARGUMENT_7
#endif

/* Four words of binding 1, through an image over it where the pipeline asks for one. */
#if S15 == 2u
#define ARGUMENT_TEXELS , __read_only image1d_buffer_t texels, uint first_texel
#define BINDING_1_4(i) read_imageui(texels, TO_I(first_texel + (i)))
#else
#define ARGUMENT_TEXELS
#endif

#ifdef SHARED_FLOATS
#define DECLARE_FLOATS __local float shared_f[SHARED_FLOATS];
#else
#define DECLARE_FLOATS
#endif
#ifdef SHARED_UINTS
#define DECLARE_UINTS __local uint shared_u[SHARED_UINTS];
#else
#define DECLARE_UINTS
#endif

#define F4 float4
#define U4 uint4
#define MAKE_F4(x, y, z, w) ((float4)(x, y, z, w))
#define MAKE_U4(x, y, z, w) ((uint4)(x, y, z, w))
#define TO_F4(x) convert_float4(x)
#define TO_F(x) ((float)(x))
#define TO_U(x) ((uint)(x))
#define TO_I(x) ((int)(x))
#define AS_F(x) as_float(x)
#define AS_U(x) as_uint(x)
#define AS_F4(x) as_float4(x)
#define AS_U4(x) as_uint4(x)
#define BYTES_TO_F4(w) convert_float4(as_uchar4(w))
#define SIGNED_BYTES_TO_F4(w) convert_float4(as_char4(w))
#define F_ABS(x) fabs(x)
#define RSQRT(x) rsqrt(x)
#define ROUND_EVEN(x) rint(x)
#define MUL_HIGH(a, b) mul_hi(a, b)

#define LOCAL ((uint)get_local_id(0))
#define GROUP_X ((uint)get_group_id(0))
#define GROUP_Y ((uint)get_group_id(1))
#define GROUP_Z ((uint)get_group_id(2))
#define GROUPS_X ((uint)get_num_groups(0))
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define UNROLL _Pragma("unroll")
#define P(i) parameters[first_word + (i)]
#define W(i) parameters[i]
#define ATOMIC_AND(b, i, bits) atomic_and(b + (i), bits)
#define ATOMIC_OR(b, i, bits) atomic_or(b + (i), bits)
#define FAIL(status) atomic_max(parameters, (uint)(status))

#ifdef SUBGROUPS
#define SUBGROUP_LANE ((uint)get_sub_group_local_id())
#define SUBGROUP_SIZE ((uint)get_max_sub_group_size())
#define SUBGROUP_INDEX ((uint)get_sub_group_id())
#define SUBGROUP_COUNT ((uint)get_num_sub_groups())
#define SUBGROUP_ADD(x) sub_group_reduce_add(x)
#define SUBGROUP_MAX(x) sub_group_reduce_max(x)
#define SUBGROUP_SHUFFLE(four, lane)                                                    \
    ((float4)(sub_group_broadcast((four).x, lane), sub_group_broadcast((four).y, lane), \
              sub_group_broadcast((four).z, lane), sub_group_broadcast((four).w, lane)))
#endif

#define KERNEL_BEGIN                                                                      \
    __kernel __attribute__((reqd_work_group_size(S0, 1, 1))) void run(                    \
        __global uint *parameters,                                                        \
        uint first_word ARGUMENT_0 ARGUMENT_1 ARGUMENT_2 ARGUMENT_3 ARGUMENT_4 ARGUMENT_5 \
            ARGUMENT_6 ARGUMENT_7 ARGUMENT_TEXELS) {                                      \
        DECLARE_FLOATS DECLARE_UINTS
#define KERNEL_END }
