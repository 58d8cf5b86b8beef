/* SPDX-License-Identifier: Apache-2.0 */
/* One file: eight bytes of length, a JSON header of that length, the data. The header names the
 * tensors with type, shape and range of bytes within the data. */
#include "internal.h"

#include "base/checked.h"
#include "base/text.h"
#include "switchyard/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct header {
    sy_safetensors *safetensors;
    const sy__safetensors_file *file;
    uint32_t i_file;
    uint64_t data_offset;
    sy__json_document json;
    sy_error *error;
} header;

static const struct {
    const char *name;
    sy_element_type type;
    uint32_t n_bytes;
} dtypes[] = {
    {"F32", SY_TYPE_F32, 4},     {"F16", SY_TYPE_F16, 2},         {"BF16", SY_TYPE_BF16, 2},
    {"F64", SY_TYPE_F64, 8},     {"I8", SY_TYPE_I8, 1},           {"U8", SY_TYPE_U8, 1},
    {"I16", SY_TYPE_I16, 2},     {"U16", SY_TYPE_U16, 2},         {"I32", SY_TYPE_I32, 4},
    {"I64", SY_TYPE_I64, 8},     {"BOOL", SY_TYPE_BOOL, 1},       {"U32", SY_TYPE_INVALID, 4},
    {"U64", SY_TYPE_INVALID, 8}, {"F8_E4M3", SY_TYPE_INVALID, 1}, {"F8_E5M2", SY_TYPE_INVALID, 1},
};

static const char hint_again[] = "Fetch the file again; it is damaged or was cut short.";

static sy_status refuse(const header *h, sy__json_index i, sy_status status, const char *name,
                        const char *what) {
    sy__json_fail(&h->json, i, h->error, status, "The tensor '%s' %s.", name, what);
    sy_error_hint(h->error, "%s", hint_again);
    /* offsets of the JSON text are 8 less than those of the file */
    sy_error_at(h->error, h->file->name, h->json.nodes[i].offset + 8u);
    return status;
}

static sy_status file_fail(const header *h, sy_status status, uint64_t offset, const char *what) {
    sy_error_set(h->error, status, "The file %s.", what);
    sy_error_hint(h->error, "%s", hint_again);
    sy_error_at(h->error, h->file->name, offset);
    return status;
}

/* A name of 1 to SY_LIMIT_NAME_BYTES bytes without control characters, kept in the arena. */
static sy_status read_name(const header *h, sy__json_index key, const char **out_name) {
    const char *bytes = NULL;
    size_t n = 0;
    sy__arena *arena = &h->safetensors->arena;
    if (!sy__json_text(&h->json, key, arena, &bytes, &n)) {
        return sy__no_memory(h->error, 0, "the names of tensors");
    }
    if (n < 1 || n > SY_LIMIT_NAME_BYTES) {
        return refuse(h, key, SY_OUT_OF_RANGE, "...", "has a name that is not 1 to 127 bytes long");
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f) {
            return refuse(h, key, SY_DATA_LOSS, "...", "has control characters in its name");
        }
    }
    *out_name = sy__arena_string(arena, bytes, n);
    return *out_name != NULL ? SY_OK : sy__no_memory(h->error, n, "the names of tensors");
}

static sy_status read_dtype(const header *h, sy__json_index entry, sy_safetensor *tensor,
                            uint32_t *out_bytes) {
    sy__json_index dtype = sy__json_member(&h->json, entry, "dtype");
    for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
        if (sy__json_is(&h->json, dtype, dtypes[i].name)) {
            tensor->dtype = dtypes[i].name;
            tensor->type = dtypes[i].type;
            *out_bytes = dtypes[i].n_bytes;
            return SY_OK;
        }
    }
    return dtype == SY__JSON_NONE
               ? refuse(h, entry, SY_DATA_LOSS, tensor->name, "has no dtype")
               : refuse(h, dtype, SY_UNIMPLEMENTED, tensor->name, "has a dtype that is not known");
}

static sy_status read_shape(const header *h, sy__json_index entry, sy_safetensor *tensor) {
    sy__json_index shape = sy__json_member(&h->json, entry, "shape");
    if (sy__json_kind_of(&h->json, shape) != SY__JSON_ARRAY) {
        return refuse(h, entry, SY_DATA_LOSS, tensor->name, "has no shape");
    }
    if (sy__json_n(&h->json, shape) > SY_SAFETENSORS_RANK) {
        return refuse(h, shape, SY_OUT_OF_RANGE, tensor->name, "has more than 8 dimensions");
    }
    tensor->rank = sy__json_n(&h->json, shape);
    tensor->n_elements = 1;
    sy__json_index item = sy__json_first(&h->json, shape);
    for (uint32_t i = 0; i < SY_SAFETENSORS_RANK; i++) {
        tensor->dims[i] = 1;
        if (i >= tensor->rank) {
            continue;
        }
        if (!sy__json_u64_of(&h->json, item, &tensor->dims[i])) {
            return refuse(h, item, SY_DATA_LOSS, tensor->name, "has a dimension that is no size");
        }
        if (!sy__mul_u64(tensor->n_elements, tensor->dims[i], &tensor->n_elements) ||
            tensor->n_elements > SY_LIMIT_TENSOR_ELEMENTS) {
            return refuse(h, item, SY_OUT_OF_RANGE, tensor->name, "has more than 2^40 elements");
        }
        item = sy__json_next(&h->json, item);
    }
    return SY_OK;
}

static sy_status read_range(const header *h, sy__json_index entry, sy_safetensor *tensor) {
    sy__json_index range = sy__json_member(&h->json, entry, "data_offsets");
    sy__json_index first = sy__json_first(&h->json, range);
    uint64_t begin = 0, end = 0, room = h->file->n_bytes - h->data_offset;
    if (sy__json_kind_of(&h->json, range) != SY__JSON_ARRAY || sy__json_n(&h->json, range) != 2 ||
        !sy__json_u64_of(&h->json, first, &begin) ||
        !sy__json_u64_of(&h->json, sy__json_next(&h->json, first), &end)) {
        return refuse(h, entry, SY_DATA_LOSS, tensor->name, "has no pair of data_offsets");
    }
    if (begin > end || end > room) {
        return refuse(h, range, SY_DATA_LOSS, tensor->name, "reaches past the end of the file");
    }
    if (end - begin != tensor->n_bytes) {
        return refuse(h, range, SY_DATA_LOSS, tensor->name,
                      "has a range of bytes that does not fit its type and shape");
    }
    tensor->file_offset = h->data_offset + begin;
    tensor->data = h->file->bytes + tensor->file_offset;
    return SY_OK;
}

static sy_status read_tensor(const header *h, sy__json_index key, sy_safetensor *tensor) {
    sy__json_index entry = key + 1;
    uint32_t element_bytes = 0;
    *tensor = (sy_safetensor){.i_file = h->i_file};
    sy_status status = read_name(h, key, &tensor->name);
    if (status == SY_OK && sy__json_kind_of(&h->json, entry) != SY__JSON_OBJECT) {
        return refuse(h, entry, SY_DATA_LOSS, tensor->name, "is described by no JSON object");
    }
    status = status == SY_OK ? read_dtype(h, entry, tensor, &element_bytes) : status;
    status = status == SY_OK ? read_shape(h, entry, tensor) : status;
    tensor->n_bytes = tensor->n_elements * element_bytes; /* <= 2^43 */
    return status == SY_OK ? read_range(h, entry, tensor) : status;
}

static int compare_offsets(const void *left, const void *right) {
    const sy_safetensor *a = left, *b = right;
    if (a->file_offset != b->file_offset) {
        return a->file_offset < b->file_offset ? -1 : 1;
    }
    return (a->n_bytes > b->n_bytes) - (a->n_bytes < b->n_bytes); /* empty ones come first */
}

/* The format wants the data covered without a gap. */
static sy_status check_cover(const header *h, sy_safetensor *tensors, uint32_t n) {
    uint64_t at = h->data_offset;
    if (n > 1) {
        qsort(tensors, n, sizeof(*tensors), compare_offsets);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (tensors[i].file_offset != at) {
            sy_error_set(h->error, SY_DATA_LOSS, "The tensor '%s' %s.", tensors[i].name,
                         tensors[i].file_offset < at ? "overlaps another tensor"
                                                     : "lies behind a gap in the data");
            sy_error_hint(h->error, "%s", hint_again);
            sy_error_at(h->error, h->file->name, tensors[i].file_offset);
            return SY_DATA_LOSS;
        }
        at += tensors[i].n_bytes;
    }
    return at == h->file->n_bytes
               ? SY_OK
               : file_fail(h, SY_DATA_LOSS, at, "has bytes behind its last tensor");
}

static sy_status read_tensors(const header *h) {
    sy_safetensors *s = h->safetensors;
    uint32_t n = sy__json_n(&h->json, 0), n_before = s->facts.n_tensors;
    void *tensors = s->tensors;
    if (sy__json_kind_of(&h->json, 0) != SY__JSON_OBJECT) {
        return file_fail(h, SY_DATA_LOSS, 8, "has a header that is no JSON object");
    }
    if (n > SY_LIMIT_TENSORS || n_before + n > SY_LIMIT_TENSORS) {
        return file_fail(h, SY_OUT_OF_RANGE, 8, "has more than 65536 tensors");
    }
    if (!sy__grow_array(s->allocator, &tensors, &s->capacity_tensors, (size_t)n_before + n + 1,
                        sizeof(*s->tensors))) {
        return sy__no_memory(h->error, (uint64_t)n * sizeof(*s->tensors), "the table of tensors");
    }
    s->tensors = tensors;
    sy__json_index key = sy__json_first(&h->json, 0);
    for (uint32_t i = 0; i < n; i++) {
        if (!sy__json_is(&h->json, key, "__metadata__")) {
            sy_safetensor *tensor = &s->tensors[s->facts.n_tensors];
            sy_status status = read_tensor(h, key, tensor);
            if (status != SY_OK) {
                return status;
            }
            s->facts.n_tensors++;
            s->facts.tensor_bytes += tensor->n_bytes;
            s->facts.n_elements += tensor->n_elements;
        }
        key = sy__json_next(&h->json, key + 1);
    }
    return check_cover(h, s->tensors + n_before, s->facts.n_tensors - n_before);
}

sy_status sy__safetensors_read_file(sy_safetensors *safetensors, uint32_t i_file, sy_error *error) {
    const sy__safetensors_file *file = &safetensors->files[i_file];
    header h = {.safetensors = safetensors, .file = file, .i_file = i_file, .error = error};
    uint64_t n_header = 0;
    if (file->n_bytes < 8) {
        return file_fail(&h, SY_DATA_LOSS, 0, "is too short for a safetensors file");
    }
    for (int i = 7; i >= 0; i--) {
        n_header = n_header << 8 | file->bytes[i];
    }
    if (file->n_bytes > 8 && n_header > 0 && file->bytes[8] != '{') {
        return file_fail(&h, SY_INVALID_ARGUMENT, 8, "is no safetensors file");
    }
    if (n_header < 2 || n_header > SY__SAFETENSORS_HEADER_BYTES_MAX) {
        return file_fail(&h, SY_OUT_OF_RANGE, 0, "claims a header that is not 2 bytes to 100 MiB");
    }
    if (n_header > file->n_bytes - 8) {
        return file_fail(&h, SY_DATA_LOSS, 0, "ends inside of its header");
    }
    h.data_offset = 8 + n_header;
    sy_status status = sy__json_parse(safetensors->allocator, (const char *)file->bytes + 8,
                                      n_header, file->name, &h.json, error);
    if (status == SY_OK) {
        status = read_tensors(&h);
        sy__json_document_deinit(&h.json);
    }
    return status;
}
