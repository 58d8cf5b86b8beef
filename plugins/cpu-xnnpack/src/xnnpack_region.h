/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region: the longest run of a segment's nodes that XNNPACK can take, as one of its graphs, so
 * that it fuses and keeps channels-last order inside. Values cross the border through staging
 * memory of the unit, in which they change between the graph's order (channels first) and type
 * (f16, bf16, u8) and the library's (channels last; f32, i8). As that memory never moves, the
 * runtime is bound once, at load.
 *
 * xnnpack_region.c finds regions and makes their steps; xnnpack_define.c defines their nodes and
 * xnnpack_int8.c those between a DequantizeLinear and a QuantizeLinear as int8 operators;
 * xnnpack_border.c is the staging.
 */
#ifndef CPU_XNNPACK_REGION_H
#define CPU_XNNPACK_REGION_H

#include "op_image.h"
#include "unit.h"

/* A value that enters or leaves. */
typedef struct cpu_border {
    uint32_t i_value; /* of the unit */
    sy_element_type type;
    uint64_t n, channels, plane; /* [n, channels, plane] here, [n, plane, channels] staged; of a
                                    picture where pictures run one by one */
    uint8_t *staged;             /* f32, or i8 of byte types */
    size_t n_bytes;
} cpu_border;

typedef struct cpu_region {
    cpu_xnnpack_object object;
    cpu_xnn_graph *graph;
    cpu_border *borders; /* inputs, then outputs */
    size_t borders_bytes;
    uint32_t n_inputs, n_borders;
    double cost;
    bool is_batched;       /* the graph is of one picture and runs for each */
    struct cpu_kept *kept; /* constants that the runtime reads */
} cpu_region;

/* Memory that lives as long as the region, or until the runtime is made. */
typedef struct cpu_kept {
    struct cpu_kept *next;
    size_t n_bytes; /* of all */
    bool is_temporary;
    _Alignas(64) uint8_t bytes[];
} cpu_kept;

typedef struct cpu_region_value {
    uint32_t i_view;
    sy_value_view view;
    uint32_t rank;
    size_t dims[CPU_XNN_DIMENSIONS]; /* channels last */
    uint32_t id_float, id_byte;      /* in the graph, CPU_XNN_NONE before it is there */
    uint32_t i_byte;                 /* the value it is dequantised from, CPU_XNN_NONE for others */
    uint32_t i_border;               /* CPU_XNN_NONE inside */
    bool is_input;                   /* comes from outside */
    bool is_constant;
    float scale; /* of i8 and u8; the zero point is that of i8 */
    int32_t zero;
} cpu_region_value;

typedef struct cpu_region_node {
    kit_node node;
    cpu_image_node image;
    uint32_t in[KIT_INPUTS_MAX], out; /* region values */
    bool is_done;                     /* a definition before has it in it */
} cpu_region_node;

/* While a region is made. */
typedef struct cpu_region_builder {
    cpu_builder *builder;
    const sy_device *device;
    cpu_region *region;
    cpu_region_node *nodes;
    cpu_region_value *values;
    uint32_t n_nodes, n_values;
    sy_status status; /* the first failure; definitions after it do nothing */
    bool int8;        /* int8 operators are wanted */
    bool is_batched;  /* with this first dimension */
    sy_dimension batch;
} cpu_region_builder;

/* Makes the longest run from position `first` of the segment's nodes on a region. *out_plain: how
 * many nodes from there on need steps of their own; *out_n: how many the region has after them. */
sy_status cpu_region_add(cpu_builder *builder, uint32_t first, uint32_t *out_plain,
                         uint32_t *out_n);

/* xnnpack_define.c */
void cpu_region_define(cpu_region_builder *b);
uint32_t cpu_region_float(cpu_region_builder *b, uint32_t i_value); /* its id as f32 */
uint32_t cpu_region_byte(cpu_region_builder *b, uint32_t i_value);  /* its id as i8 */
/* Zeroed memory; NULL after a failure. */
void *cpu_region_keep(cpu_region_builder *b, size_t n_bytes, bool is_temporary);
/* All elements of a constant as f32 in its order. */
void cpu_region_decode(cpu_region_builder *b, const cpu_constant *constant, float *out);
/* A kernel from [out, in, plane] to what cpu_xnn_convolve wants. */
void cpu_region_permute(const void *from, void *to, size_t element_bytes, const sy_value_view *w,
                        bool depthwise);
void cpu_region_convolution(const cpu_region_node *node, cpu_xnn_convolution *out);
/* The only node that reads a value; CPU_XNN_NONE for none, several, or others outside. */
uint32_t cpu_region_only_reader(const cpu_region_builder *b, uint32_t i_value);

/* xnnpack_int8.c: false when the node's surroundings ask for f32. */
bool cpu_region_define_int8(cpu_region_builder *b, uint32_t i_node);

/* xnnpack_border.c */
sy_status cpu_border_enter(cpu_run *run, const cpu_border *border, uint64_t i_picture);
sy_status cpu_border_leave(cpu_run *run, const cpu_border *border, uint64_t i_picture);

#endif
