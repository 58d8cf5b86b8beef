/* SPDX-License-Identifier: Apache-2.0 */
/* Places for adapters (LoRA): behind every product whose weight an adapter may have been trained
 * for stands a node AdapterLinear, if the engine is to take adapters at all. */
#include "arch/builder.h"

#include <stdio.h>

/* Of architectures whose query and key rows the conversion to GGUF puts into another order. */
static uint64_t head_pairs(const sy__architecture *architecture, sy__role role, uint32_t i_layer) {
    bool is_reordered = architecture->family->rope_kind == SY__ROPE_INTERLEAVED &&
                        (role == SY__ROLE_QUERY || role == SY__ROLE_KEY);
    return is_reordered ? architecture->layers[i_layer].key_length / 2 : 0;
}

static bool note_slot(sy__builder *b, sy__role role, uint32_t i_layer, uint64_t first,
                      uint64_t n_rows) {
    sy__model_graph *model = b->model;
    sy_gguf_tensor tensor;
    if (!sy__architecture_tensor(b->architecture, role, i_layer, SY__PART_WEIGHT, &tensor)) {
        sy__builder_fail(b, SY_INTERNAL, "a place for adapters has no tensor");
        return false;
    }
    void *slots = model->slots;
    if (!sy__grow_array(model->constants.allocator, &slots, &model->slots_capacity,
                        model->n_slots + 1u, sizeof(sy__adapter_slot))) {
        b->status = sy__no_memory(b->error, sizeof(sy__adapter_slot), "places for adapters");
        return false;
    }
    model->slots = slots;
    sy__adapter_slot *slot = &model->slots[model->n_slots++];
    *slot = (sy__adapter_slot){.role = role,
                               .i_layer = i_layer,
                               .n_inputs = tensor.dims[0],
                               .first_row = first,
                               .n_rows = n_rows != 0 ? n_rows : tensor.dims[1],
                               .n_all_rows = tensor.dims[1],
                               .n_head_pairs = head_pairs(b->architecture, role, i_layer)};
    model->half_split = b->architecture->rope.kind == SY__ROPE_HALF;
    snprintf(slot->tensor, sizeof(slot->tensor), "%.*s", (int)tensor.name.n_bytes,
             tensor.name.bytes);
    return true;
}

uint32_t sy__emit_adapter(sy__builder *b, const char *name, uint32_t y, uint32_t x,
                          const sy__weight_rows *weight) {
    if (b->options->adapter_rank == 0 || b->status != SY_OK ||
        !note_slot(b, weight->role, weight->i_layer, weight->first, weight->n)) {
        return y;
    }
    bool is_output = weight->role == SY__ROLE_OUTPUT; /* its rows are some of the step's */
    sy__operation adapt = {
        .op = "AdapterLinear",
        .n_inputs = is_output ? 3 : 2,
        .inputs = {y, x, is_output ? b->model->output_rows : 0},
        .n_attributes = 2,
        .attributes = {sy__int_attribute("slot", (int64_t)b->model->n_slots - 1),
                       sy__int_attribute("max_rank", (int64_t)b->options->adapter_rank)}};
    return sy__emit_node(b, name, &adapt);
}
