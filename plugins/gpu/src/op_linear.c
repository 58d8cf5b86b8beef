/* SPDX-License-Identifier: Apache-2.0 */
/* Linear and Embedding. */
#include "linear.h"
#include "operator_checks.h"

#define EMBEDDING_GROUP 64u

/* ---- Linear ---- */
static bool linear_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                         kit_answer *answer) {
    kit_linear linear;
    (void)op;
    if (!kit_check_linear(node, &linear, answer) ||
        !gpu_product_check(device, &node->in[1], "w", answer)) {
        return false;
    }
    answer->score = 85;
    return !linear.has_bias || kit_require_weight(&node->in[2], "bias", answer);
}

static sy_status linear_build(gpu_build *build) {
    kit_linear linear;
    kit_answer answer;
    (void)kit_check_linear(build->node, &linear, &answer);
    gpu_product product = {.x = build->in[0],
                           .w = build->in[1],
                           .bias = build->in[2],
                           .y = build->out[0],
                           .k = linear.k,
                           .n = linear.n,
                           .most_rows = kit_bound_count(&build->node->in[0]) / linear.k,
                           .n_per_x = 1,
                           .experts = SY_NO_VALUE,
                           .order = SY_NO_VALUE};
    return gpu_product_build(build, &product);
}

/* ---- Embedding ---- */
enum { EMBEDDING_IDS = 6, EMBEDDING_ROWS = 9, EMBEDDING_SCALE, EMBEDDING_WORDS, EMBEDDING_ITEMS };

static bool embedding_check(const sy_device *device, const kit_node *node, const gpu_operator *op,
                            kit_answer *answer) {
    kit_embedding embedding;
    (void)op;
    answer->score = 85;
    return kit_check_embedding(node, &embedding, answer) &&
           gpu_product_check(device, &node->in[1], "table", answer);
}

static sy_status embedding_size(gpu_job *job, const gpu_launch *launch, uint32_t *out_words,
                                uint32_t out_groups[3]) {
    uint64_t n = gpu_job_shape(job, launch, 0)->n_elements;
    for (uint32_t i = 0; i < EMBEDDING_WORDS; i++) {
        out_words[i] = (uint32_t)launch->numbers[i];
    }
    out_words[EMBEDDING_IDS] = (uint32_t)n;
    gpu_groups_for(job, n * (uint64_t)launch->numbers[1],
                   (uint64_t)launch->numbers[EMBEDDING_ITEMS], out_groups);
    return SY_OK;
}

static sy_status embedding_build(gpu_build *build) {
    kit_embedding embedding;
    kit_answer answer;
    const gpu_weight *table = NULL;
    (void)kit_check_embedding(build->node, &embedding, &answer);
    sy_element_type type = build->node->in[1].type;
    uint32_t constants[4] = {gpu_group_size(gpu_build_device(build), EMBEDDING_GROUP)};
    gpu_piece_constants(type, SY_TYPE_F32, embedding.k, constants);
    sy_status status = gpu_build_weight(build, build->in[1], gpu_weight_form_of(type), &table);
    for (uint32_t i = 0; status == SY_OK && i < table->n_pieces; i++) {
        gpu_launch launch;
        status = gpu_launch_begin(build, GPU_KERNEL_EMBEDDING, constants, 4, embedding_size,
                                  EMBEDDING_WORDS, &launch);
        if (status == SY_OK) {
            gpu_piece_numbers(&launch, &table->pieces[i], embedding.k);
            launch.numbers[EMBEDDING_ROWS] = embedding.n;
            launch.numbers[EMBEDDING_SCALE] = gpu_float_bits(embedding.scale);
            launch.numbers[EMBEDDING_ITEMS] = constants[0];
            gpu_launch_value(&launch, build->in[0]);
            gpu_launch_weight(&launch, table, i);
            gpu_launch_value(&launch, build->out[0]);
            status = gpu_launch_end(build, &launch);
        }
    }
    return status;
}

const gpu_operator gpu_operators_linear[] = {
    {.domain = "switchyard",
     .name = "Linear",
     .takes_pieces = true,
     .check = linear_check,
     .build = linear_build},
    {.domain = "switchyard",
     .name = "Embedding",
     .takes_pieces = true,
     .check = embedding_check,
     .build = embedding_build},
    {.name = NULL},
};
