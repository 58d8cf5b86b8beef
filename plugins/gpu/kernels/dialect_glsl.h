/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect of README.md in GLSL: Vulkan 1.1, SPIR-V 1.3. */
#ifdef SUBGROUPS
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#ifdef MATRICES
#extension GL_NV_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint S0 = 1u;
layout(constant_id = 1) const uint S1 = 1u;
layout(constant_id = 2) const uint S2 = 1u;
layout(constant_id = 3) const uint S3 = 1u;
layout(constant_id = 4) const uint S4 = 1u;
layout(constant_id = 5) const uint S5 = 1u;
layout(constant_id = 6) const uint S6 = 1u;
layout(constant_id = 7) const uint S7 = 1u;
layout(constant_id = 8) const uint S8 = 1u;
layout(constant_id = 9) const uint S9 = 1u;
layout(constant_id = 10) const uint S10 = 1u;
layout(constant_id = 11) const uint S11 = 1u;
layout(constant_id = 12) const uint S12 = 1u;
layout(constant_id = 13) const uint S13 = 1u;
layout(constant_id = 14) const uint S14 = 1u;
layout(constant_id = 15) const uint S15 = 1u;

layout(push_constant) uniform first_word {
    uint first;
}
push;
layout(std430, set = 0, binding = 0) buffer parameter_words {
    uint w[];
}
parameters;

#if BINDINGS_IN > 0
#define ACCESS_0 readonly restrict
#else
#define ACCESS_0
#endif
#if BINDINGS_IN > 1
#define ACCESS_1 readonly restrict
#else
#define ACCESS_1
#endif
#if BINDINGS_IN > 2
#define ACCESS_2 readonly restrict
#else
#define ACCESS_2
#endif
#if BINDINGS_IN > 3
#define ACCESS_3 readonly restrict
#else
#define ACCESS_3
#endif
#if BINDINGS_IN > 4
#define ACCESS_4 readonly restrict
#else
#define ACCESS_4
#endif
#if BINDINGS_IN > 5
#define ACCESS_5 readonly restrict
#else
#define ACCESS_5
#endif
#if BINDINGS_IN > 6
#define ACCESS_6 readonly restrict
#else
#define ACCESS_6
#endif

#define BINDING(i)                                                         \
    layout(std430, set = 0, binding = i + 1) ACCESS_##i buffer words_##i { \
        uint w[];                                                          \
    }                                                                      \
    m##i;                                                                  \
    layout(std430, set = 0, binding = i + 1) ACCESS_##i buffer fours_##i { \
        uvec4 w[];                                                         \
    }                                                                      \
    m4_##i;
#define ACCESS_7
#if BINDINGS_IN + BINDINGS_OUT > 0
BINDING(0)
#define b0 m0.w
#define b0x4 m4_0.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 1
BINDING(1)
#define b1 m1.w
#define b1x4 m4_1.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 2
BINDING(2)
#define b2 m2.w
#define b2x4 m4_2.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 3
BINDING(3)
#define b3 m3.w
#define b3x4 m4_3.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 4
BINDING(4)
#define b4 m4.w
#define b4x4 m4_4.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 5
BINDING(5)
#define b5 m5.w
#define b5x4 m4_5.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 6
BINDING(6)
#define b6 m6.w
#define b6x4 m4_6.w
#endif
#if BINDINGS_IN + BINDINGS_OUT > 7
BINDING(7)
#define b7 m7.w
#define b7x4 m4_7.w
#endif

#ifdef SHARED_FLOATS
shared float shared_f[SHARED_FLOATS];
#endif
#ifdef SHARED_UINTS
shared uint shared_u[SHARED_UINTS];
#endif

#define F4 vec4
#define U4 uvec4
#define MAKE_F4(x, y, z, w) vec4(x, y, z, w)
#define MAKE_U4(x, y, z, w) uvec4(x, y, z, w)
#define TO_F4(x) vec4(x)
#define TO_F(x) float(x)
#define TO_U(x) uint(x)
#define TO_I(x) int(x)
#define AS_F(x) uintBitsToFloat(x)
#define AS_U(x) floatBitsToUint(x)
#define AS_F4(x) uintBitsToFloat(x)
#define AS_U4(x) floatBitsToUint(x)
#define BYTES_TO_F4(w) vec4(ivec4(uvec4(w, (w) >> 8, (w) >> 16, (w) >> 24) & 255u))
#define SIGNED_BYTES_TO_F4(w) vec4(ivec4((w) << 24, (w) << 16, (w) << 8, w) >> 24)
#define F_ABS(x) abs(x)
#define RSQRT(x) inversesqrt(x)
#define ROUND_EVEN(x) roundEven(x)
#define MUL_HIGH(a, b) mul_high(a, b)
uint mul_high(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}

#define LOCAL gl_LocalInvocationID.x
#define GROUP_X gl_WorkGroupID.x
#define GROUP_Y gl_WorkGroupID.y
#define GROUP_Z gl_WorkGroupID.z
#define GROUPS_X gl_NumWorkGroups.x
#define BARRIER                \
    do {                       \
        memoryBarrierShared(); \
        barrier();             \
    } while (false)
#define UNROLL
#define P(i) parameters.w[push.first + (i)]
#define W(i) parameters.w[i]
#define ATOMIC_AND(b, i, bits) atomicAnd(b[i], bits)
#define ATOMIC_OR(b, i, bits) atomicOr(b[i], bits)
#define FAIL(status) atomicMax(parameters.w[0], status)

#ifdef SUBGROUPS
#define SUBGROUP_LANE gl_SubgroupInvocationID
#define SUBGROUP_SIZE gl_SubgroupSize
#define SUBGROUP_INDEX gl_SubgroupID
#define SUBGROUP_COUNT gl_NumSubgroups
#define SUBGROUP_ADD(x) subgroupAdd(x)
#define SUBGROUP_MAX(x) subgroupMax(x)
#define SUBGROUP_SHUFFLE(x, lane) subgroupShuffle(x, lane)
#endif

/* Cooperative matrices of a subgroup, S12 x S14 by S14 x S13; words of shared memory hold two
 * halves each, the strides count words. */
#ifdef MATRICES
#define MATRIX_LEFT fcoopmatNV<16, gl_ScopeSubgroup, S12, S14>
#define MATRIX_RIGHT fcoopmatNV<16, gl_ScopeSubgroup, S14, S13>
#define MATRIX_SUM fcoopmatNV<32, gl_ScopeSubgroup, S12, S13>
#define MATRIX_LOAD(to, words, at, stride, by_columns) \
    coopMatLoadNV(to, words, at, stride, by_columns)
#define MATRIX_STORE(from, words, at, stride, by_columns) \
    coopMatStoreNV(from, words, at, stride, by_columns)
#define MATRIX_MULTIPLY(left, right, sum) coopMatMulAddNV(left, right, sum)
#define HALVES(two) packFloat2x16(f16vec2(two))
#endif

#define KERNEL_BEGIN void main() {
#define KERNEL_END }
