/* SPDX-License-Identifier: Apache-2.0 */
/* A whole model: what each tensor becomes, then the keys, then tensor by tensor into a file or into
 * memory. */
#include "internal.h"

#include "base/checked.h"
#include "base/file_map.h"
#include "switchyard/gguf_writer.h"
#include "switchyard/huggingface.h"
#include "switchyard/types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES (4u << 20)
#define QUANTISATION_VERSION 2u

typedef struct item {
    sy_gguf_tensor tensor;
    sy_element_type to;
    uint32_t n_pairs; /* > 0: rows of heads are put into GGUF's order */
    uint64_t n_bytes; /* of the result */
} item;

typedef struct job {
    const sy_allocator *allocator;
    const sy_gguf *gguf;
    const sy_quantize_options *options;
    const sy__mixture *mixture;
    sy__mixture_model model;
    sy_importance *imatrix;
    sy__team *team;
    item *items;
    uint32_t n_items;
    sy_gguf_writer *writer;
    bool to_file;
} job;

static uint32_t number_of(const job *j, const char *suffix, uint32_t otherwise) {
    char key[128];
    sy_gguf_string architecture;
    sy_gguf_value value;
    uint32_t number = otherwise;
    if (sy_gguf_get_string(j->gguf, "general.architecture", &architecture, NULL) != SY_OK) {
        return otherwise;
    }
    snprintf(key, sizeof(key), "%.*s.%s",
             (int)(architecture.n_bytes < 64 ? architecture.n_bytes : 64), architecture.bytes,
             suffix);
    if (!sy_gguf_find(j->gguf, key, &value) || value.n_elements == 0 ||
        sy_gguf_value_u32(&value, 0, &number, NULL) != SY_OK) {
        return otherwise;
    }
    return number;
}

static void read_model(job *j) {
    sy_gguf_tensor output;
    uint32_t n_heads = number_of(j, "attention.head_count", 1);
    uint32_t n_kv = number_of(j, "attention.head_count_kv", n_heads);
    j->model = (sy__mixture_model){.n_layers = number_of(j, "block_count", 1),
                                   .n_gqa = n_kv > 0 ? n_heads / n_kv : 1,
                                   .n_experts = number_of(j, "expert_count", 0),
                                   .tied = !sy_gguf_find_tensor(j->gguf, "output.weight", &output),
                                   .has_importance = j->imatrix != NULL,
                                   .pure = j->options->pure != 0};
}

/* Whether a tensor's bytes must be made: for another type, or because a folder has it in pieces. */
static bool is_made(const item *it) {
    return it->to != it->tensor.type || it->tensor.data == NULL;
}

/* Whether a tensor's rows are those of query or key heads. */
static bool is_rotated(const sy_gguf_tensor *tensor) {
    char name[128];
    uint32_t i_layer = 0;
    char role[64];
    if (tensor->name.n_bytes >= sizeof(name)) {
        return false;
    }
    memcpy(name, tensor->name.bytes, (size_t)tensor->name.n_bytes);
    name[tensor->name.n_bytes] = '\0';
    return sscanf(name, "blk.%u.%63s", &i_layer, role) == 2 &&
           (strcmp(role, "attn_q.weight") == 0 || strcmp(role, "attn_k.weight") == 0 ||
            strcmp(role, "attn_q.bias") == 0 || strcmp(role, "attn_k.bias") == 0);
}

static sy_status choose(job *j, item *out, uint32_t n_pairs, sy_error *error) {
    sy_gguf_tensor *tensor = &out->tensor;
    const sy_type_facts *facts = sy_type_get(tensor->type);
    uint64_t row_bytes = 0;
    out->to = sy__mixture_type(j->mixture, &j->model, tensor);
    if (tensor->type == SY_TYPE_MXFP4) {
        out->to = SY_TYPE_MXFP4; /* what its makers trained it in */
    }
    if (facts->is_block && out->to != tensor->type) {
        sy_error_set(error, SY_UNIMPLEMENTED,
                     "The tensor '%.*s' is quantised already (%s); doing so twice loses more than "
                     "it should.",
                     (int)tensor->name.n_bytes, tensor->name.bytes, facts->name);
        sy_error_hint(error, "Start from the model in f16, bf16 or f32.");
        return SY_UNIMPLEMENTED;
    }
    if (!j->to_file && (tensor->rank < 2 || !sy_type_get(out->to)->is_block)) {
        out->to = tensor->type; /* stays where it is mapped */
    }
    out->n_pairs = j->to_file && n_pairs > 0 && is_rotated(tensor) ? n_pairs : 0;
    if (out->n_pairs > 0 && tensor->rank == 1) { /* elements of a bias are rows of one */
        tensor->dims[1] = tensor->dims[0];
        tensor->dims[0] = 1;
    }
    if (out->n_pairs > 0 && tensor->dims[1] % (2 * (uint64_t)n_pairs) != 0) {
        return sy_error_set(error, SY_DATA_LOSS, "The heads of '%.*s' are no whole number.",
                            (int)tensor->name.n_bytes, tensor->name.bytes);
    }
    if (sy_type_row_bytes(out->to, tensor->dims[0], &row_bytes) != SY_OK ||
        !sy__mul_u64(row_bytes, sy__rows_count(tensor), &out->n_bytes)) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "The tensor '%.*s' would be too large.",
                            (int)tensor->name.n_bytes, tensor->name.bytes);
    }
    return SY_OK;
}

static sy_status plan(job *j, sy_error *error) {
    int half_split = 0;
    bool kept = sy_gguf_get_bool(j->gguf, SY_HUGGINGFACE_HALF_SPLIT, &half_split, NULL) == SY_OK &&
                half_split != 0;
    uint32_t n_pairs = kept ? number_of(j, "attention.key_length", 0) / 2 : 0;
    sy_status status = SY_OK;
    j->items = sy__alloc_array(j->allocator, j->n_items, sizeof(*j->items));
    if (j->items == NULL) {
        return sy__no_memory(error, j->n_items * sizeof(*j->items), "the list of tensors");
    }
    for (uint32_t i = 0; status == SY_OK && i < j->n_items; i++) {
        if (sy_gguf_tensor_at(j->gguf, i, &j->items[i].tensor)) {
            status = choose(j, &j->items[i], n_pairs, error);
        }
    }
    return status;
}

static bool is_replaced(const job *j, sy_gguf_string key) {
    return sy_gguf_string_is(key, "general.file_type") ||
           sy_gguf_string_is(key, "general.quantization_version") ||
           (j->to_file && sy_gguf_string_is(key, SY_HUGGINGFACE_HALF_SPLIT));
}

static void put_keys(job *j) {
    sy_gguf_value value;
    for (uint32_t i = 0; sy_gguf_key_at(j->gguf, i, &value); i++) {
        if (!is_replaced(j, value.key)) {
            sy_gguf_writer_put_value(j->writer, &value);
        }
    }
    sy_gguf_writer_put_u32(j->writer, "general.file_type", j->mixture->file_type);
    sy_gguf_writer_put_u32(j->writer, "general.quantization_version", QUANTISATION_VERSION);
}

/* As the result has it: a bias whose elements were rows is a vector again. */
static sy_gguf_tensor result_of(const item *it, const void *data) {
    sy_gguf_tensor tensor = it->tensor;
    if (tensor.rank == 1) {
        tensor.dims[0] *= tensor.dims[1];
        tensor.dims[1] = 1;
    }
    tensor.type = it->to;
    tensor.data = data;
    return tensor;
}

static void tell_progress(const job *j, uint32_t i, bool has_importance) {
    const item *it = &j->items[i];
    if (j->options->progress != NULL) {
        sy_quantized_tensor tensor = {.name = it->tensor.name,
                                      .from = it->tensor.type,
                                      .to = it->to,
                                      .n_bytes_before = it->tensor.n_bytes,
                                      .n_bytes_after = it->n_bytes,
                                      .i_tensor = i,
                                      .n_tensors = j->n_items,
                                      .has_importance = has_importance};
        j->options->progress(j->options->progress_user, &tensor);
    }
}

/* Makes one tensor, chunk by chunk; `put` takes each chunk. */
typedef sy_status (*chunk_put)(void *self, const uint8_t *bytes, size_t n_bytes, sy_error *error);

/* Rows of a tensor that a folder has in pieces, put together chunk by chunk. */
typedef struct gathered {
    uint8_t *bytes; /* NULL: the tensor lies in one piece */
    size_t n_bytes;
} gathered;

static sy_status begin_gathering(const job *j, const item *it, uint64_t n_chunk,
                                 gathered *out_gathered, sy_error *error) {
    if (it->tensor.data != NULL) {
        return SY_OK;
    }
    uint64_t row_bytes = it->tensor.n_bytes / sy__rows_count(&it->tensor);
    out_gathered->n_bytes = (size_t)(n_chunk * row_bytes);
    out_gathered->bytes = sy__alloc_array(j->allocator, out_gathered->n_bytes, 1);
    return out_gathered->bytes != NULL
               ? SY_OK
               : sy__no_memory(error, out_gathered->n_bytes, "rows of a tensor");
}

/* Rows [first, first + n) of the result. */
static sy_status make_chunk(const job *j, const gathered *source, sy__rows_job *rows,
                            uint64_t first, uint64_t n, uint8_t *to, sy_error *error) {
    if (source->bytes != NULL) {
        sy_status status =
            sy_gguf_tensor_rows(j->gguf, rows->tensor->i_tensor, first, n, source->bytes, error);
        if (status != SY_OK) {
            return status;
        }
        rows->source = source->bytes;
        rows->first_source = first;
    }
    return sy__rows_run(rows, first, n, to, error);
}

static sy_status make_tensor(const job *j, uint32_t i, uint8_t *out_whole, chunk_put put,
                             void *self, sy_error *error) {
    const item *it = &j->items[i];
    uint64_t n_rows = sy__rows_count(&it->tensor), row_bytes = it->n_bytes / n_rows;
    uint64_t n_chunk = CHUNK_BYTES / row_bytes + 1;
    uint64_t n_importance = it->tensor.dims[0] * it->tensor.dims[2] * it->tensor.dims[3];
    float *importance = NULL;
    gathered source = {.bytes = NULL};
    n_chunk = n_chunk < n_rows ? n_chunk : n_rows;
    size_t n_buffer = out_whole == NULL ? (size_t)(n_chunk * row_bytes) : 0;
    uint8_t *buffer = sy__alloc_array(j->allocator, n_buffer, 1);
    sy_status status = buffer == NULL ? sy__no_memory(error, n_buffer, "rows of a tensor") : SY_OK;
    status = status == SY_OK ? begin_gathering(j, it, n_chunk, &source, error) : status;
    if (status == SY_OK && sy_type_get(it->to)->is_block) {
        status = sy__importance_of(j->allocator, j->imatrix, &it->tensor, &importance, error);
    }
    sy__rows_job rows = {.allocator = j->allocator,
                         .team = j->team,
                         .tensor = &it->tensor,
                         .source = it->tensor.data,
                         .to = it->to,
                         .importance = importance,
                         .n_pairs = it->n_pairs};
    for (uint64_t first = 0; status == SY_OK && first < n_rows; first += n_chunk) {
        uint64_t n = n_rows - first < n_chunk ? n_rows - first : n_chunk;
        uint8_t *to = out_whole != NULL ? out_whole + first * row_bytes : buffer;
        status = make_chunk(j, &source, &rows, first, n, to, error);
        if (status == SY_OK && put != NULL) {
            status = put(self, to, (size_t)(n * row_bytes), error);
        }
    }
    if (status == SY_OK) {
        tell_progress(j, i, importance != NULL);
        sy__file_map_page_out(it->tensor.data, it->tensor.data != NULL ? it->tensor.n_bytes : 0);
    }
    sy__free_array(j->allocator, importance, (size_t)n_importance, sizeof(float));
    sy__free_array(j->allocator, source.bytes, source.n_bytes, 1);
    sy__free_array(j->allocator, buffer, n_buffer, 1);
    return status;
}

static sy_status put_chunk(void *self, const uint8_t *bytes, size_t n_bytes, sy_error *error) {
    return sy_gguf_sink_write(self, bytes, n_bytes, error);
}

static sy_status fill(void *user, uint32_t i_tensor, sy_gguf_sink *sink, sy_error *error) {
    return make_tensor(user, i_tensor, NULL, put_chunk, sink, error);
}

static sy_status begin(job *j, sy_error *error) {
    const sy_quantize_options *options = j->options;
    j->mixture = sy__mixture_find(options->mixture);
    if (options->struct_bytes != sizeof(*options) || j->mixture == NULL) {
        sy_error_set(error, SY_INVALID_ARGUMENT, "There is no mixture '%.32s'.",
                     options->mixture != NULL ? options->mixture : "");
        sy_error_hint(error, "Take for example Q4_K_M, Q5_K_M, Q6_K, Q8_0, Q4_0, IQ4_XS or f16.");
        return SY_INVALID_ARGUMENT;
    }
    j->n_items = sy_gguf_get_facts(j->gguf)->n_tensors;
    sy_status status = SY_OK;
    if (options->imatrix_path != NULL) {
        status = sy_importance_create(j->allocator, &j->imatrix, error);
        if (status == SY_OK) {
            status = sy_importance_read(j->imatrix, options->imatrix_path, error);
        }
    }
    if (status == SY_OK) {
        read_model(j);
        status = sy__team_create(j->allocator, options->n_workers, &j->team, error);
    }
    status = status == SY_OK ? plan(j, error) : status;
    return status == SY_OK ? sy_gguf_writer_create(j->allocator, &j->writer, error) : status;
}

static void end(job *j) {
    sy_gguf_writer_destroy(j->writer);
    sy__free_array(j->allocator, j->items, j->n_items, sizeof(*j->items));
    sy__team_destroy(j->team);
    sy_importance_destroy(j->imatrix);
}

sy_status sy_model_quantize(const sy_allocator *allocator, const sy_gguf *gguf, const char *path,
                            const sy_quantize_options *options, sy_error *error) {
    job j = {.allocator = sy__allocator_or_heap(allocator),
             .gguf = gguf,
             .options = options,
             .to_file = true};
    sy_status status = begin(&j, error);
    if (status == SY_OK) {
        put_keys(&j);
        for (uint32_t i = 0; i < j.n_items; i++) {
            sy_gguf_tensor tensor = result_of(&j.items[i], NULL);
            sy_gguf_writer_add_tensor(j.writer, &tensor);
        }
        status = sy_gguf_writer_save(j.writer, path, fill, &j, error);
    }
    end(&j);
    return status;
}

/* What a model in memory holds on to: the one it came from, and its tensors in one block. */
typedef struct held {
    const sy_allocator *allocator;
    sy_gguf *from;
    uint8_t *bytes;
    size_t n_bytes;
} held;

static void destroy_held(void *self) {
    held *h = self;
    sy__free_array(h->allocator, h->bytes, h->n_bytes, 1);
    sy_gguf_close(h->from);
    SY__DELETE(h->allocator, h);
}

static sy_status make_in_memory(job *j, held *h, sy_error *error) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < j->n_items; i++) {
        const item *it = &j->items[i];
        if (is_made(it) &&
            (!sy__add_u64(at, it->n_bytes, &at) || !sy__align_u64(at, SY__ALIGNMENT, &at))) {
            return sy_error_set(error, SY_OUT_OF_RANGE, "The model is larger than any memory.");
        }
    }
    if (j->options->max_bytes != 0 && at > j->options->max_bytes) {
        sy_error_set(error, SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET),
                     "The weights as %s take %" PRIu64 " bytes, %" PRIu64
                     " more than the budget of %" PRIu64 ".",
                     j->mixture->name, at, at - j->options->max_bytes, j->options->max_bytes);
        sy_error_hint(error, "Take a smaller type, or quantise the model to a file, which is "
                             "mapped.");
        return SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
    }
    h->n_bytes = (size_t)at;
    h->bytes = sy__alloc_array(j->allocator, h->n_bytes, 1);
    if (h->bytes == NULL) {
        return sy__no_memory(error, at, "the quantised weights");
    }
    sy_status status = SY_OK;
    at = 0;
    for (uint32_t i = 0; status == SY_OK && i < j->n_items; i++) {
        const item *it = &j->items[i];
        bool made = is_made(it);
        sy_gguf_tensor tensor = result_of(it, made ? h->bytes + at : it->tensor.data);
        sy_gguf_writer_add_tensor(j->writer, &tensor);
        if (made) {
            status = make_tensor(j, i, h->bytes + at, NULL, NULL, error);
            at = (at + it->n_bytes + SY__ALIGNMENT - 1) & ~(uint64_t)(SY__ALIGNMENT - 1);
        }
    }
    return status;
}

sy_status sy_model_quantize_in_memory(const sy_allocator *allocator, sy_gguf *gguf,
                                      const sy_quantize_options *options, sy_gguf **out_gguf,
                                      sy_error *error) {
    allocator = sy__allocator_or_heap(allocator);
    job j = {.allocator = allocator, .gguf = gguf, .options = options};
    held *h = SY__NEW(allocator, held);
    if (h == NULL) {
        sy_gguf_close(gguf);
        return sy__no_memory(error, sizeof(*h), "a model");
    }
    *h = (held){.allocator = allocator, .from = gguf};
    sy_status status = begin(&j, error);
    if (status == SY_OK) {
        put_keys(&j);
        status = make_in_memory(&j, h, error);
    }
    sy_gguf_keep keep = {destroy_held, h};
    if (status == SY_OK) {
        status =
            sy_gguf_writer_view(j.writer, sy_gguf_get_facts(gguf)->origin, keep, out_gguf, error);
    } else {
        destroy_held(h);
    }
    end(&j);
    return status;
}
