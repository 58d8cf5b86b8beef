/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: the tensors of one file, or of the files that an index (*.safetensors.index.json)
 * or a folder names, read where they lie.
 *
 * A file is hostile until proven otherwise: open proves the header's JSON, every type, shape and
 * range of bytes, and that the ranges cover the data without gap or overlap, as the format demands.
 * An index may only name files beside it.
 *
 * A sy_safetensors is immutable: share it between threads. What it hands out lives until close.
 */
#ifndef SWITCHYARD_SAFETENSORS_H
#define SWITCHYARD_SAFETENSORS_H

#include "switchyard/allocator.h"
#include "switchyard/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sy_safetensors sy_safetensors;

#define SY_SAFETENSORS_RANK 8u

/* One tensor. dims[0] is the outermost dimension (the order of numpy); past the rank they are 1. */
typedef struct sy_safetensor {
    const char *name;     /* NUL-terminated UTF-8, 1 to 127 bytes, unique over all files */
    const char *dtype;    /* as the format spells it: "BF16" */
    sy_element_type type; /* SY_TYPE_INVALID for F8_E4M3, F8_E5M2, U32, U64: bytes all the same */
    uint32_t rank;        /* 0: a single number */
    uint64_t dims[SY_SAFETENSORS_RANK];
    uint64_t n_elements; /* 0 is allowed */
    uint64_t n_bytes;
    uint64_t file_offset; /* of data */
    uint32_t i_file;
    const void *data; /* aligned only as the file happens to be */
} sy_safetensor;

/* Facts of all files together. */
typedef struct sy_safetensors_facts {
    const char *origin; /* the path given, or the name given to open_memory */
    uint32_t n_files, n_tensors;
    uint64_t file_bytes, tensor_bytes, n_elements;
} sy_safetensors_facts;

/* Opens a file, an index, or a folder with model.safetensors or model.safetensors.index.json.
 * shape: -  unit: -  owner: caller, sy_safetensors_close  errors: NOT_FOUND, PERMISSION_DENIED,
 * INVALID_ARGUMENT no safetensors file; DATA_LOSS damaged or cut short; UNIMPLEMENTED an unknown
 * type; OUT_OF_RANGE past a limit; RESOURCE_EXHAUSTED  thread: any
 * cost: O(headers + tensors log tensors)  since: 0.1  source: safetensors format */
SY_MUST_CHECK sy_status sy_safetensors_open(const sy_allocator *allocator, const char *path,
                                            sy_safetensors **out_safetensors, sy_error *error);

/* One file as bytes in memory, which must outlive the object and not change.
 * shape: -  unit: bytes  owner: caller keeps bytes; object: caller, sy_safetensors_close
 * errors: as sy_safetensors_open  thread: any  cost: as sy_safetensors_open  since: 0.1
 * source: safetensors format */
SY_MUST_CHECK sy_status sy_safetensors_open_memory(const sy_allocator *allocator, const void *bytes,
                                                   uint64_t n_bytes, const char *name,
                                                   sy_safetensors **out_safetensors,
                                                   sy_error *error);

/* Ends the object and its mappings. NULL is fine.
 * shape: -  unit: -  owner: takes it  errors: none  thread: when nobody uses it any more
 * cost: O(files)  since: 0.1  source: - */
void sy_safetensors_close(sy_safetensors *safetensors);

/* Facts of the files.
 * shape: -  unit: -  owner: borrowed until close  errors: none  thread: any
 * cost: O(1)  since: 0.1  source: - */
const sy_safetensors_facts *sy_safetensors_get_facts(const sy_safetensors *safetensors);

/* Tensor number i_tensor in the order of names; 0 past the end, else 1.
 * shape: dims[0] outermost  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(1)  since: 0.1  source: - */
int sy_safetensors_at(const sy_safetensors *safetensors, uint32_t i_tensor,
                      sy_safetensor *out_tensor);

/* Looks a tensor up by its name; 0 when absent, else 1.
 * shape: dims[0] outermost  unit: -  owner: view borrowed until close  errors: 0  thread: any
 * cost: O(log tensors)  since: 0.1  source: - */
int sy_safetensors_find(const sy_safetensors *safetensors, const char *name,
                        sy_safetensor *out_tensor);

#ifdef __cplusplus
}
#endif
#endif
