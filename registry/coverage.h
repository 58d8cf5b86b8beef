/* SPDX-License-Identifier: Apache-2.0 */
/* Which operators run on a device: the table of examples, and one question about all of them. */
#ifndef SY_REGISTRY_COVERAGE_H
#define SY_REGISTRY_COVERAGE_H

#include "registry_internal.h"

#define SY__COVERAGE_INPUTS_MAX 8u
#define SY__COVERAGE_OUTPUTS_MAX 2u
#define SY__COVERAGE_ABSENT '_' /* the letter of an input that is not given */

/* An example node; each letter of inputs is one value, made for each of types in turn. */
typedef struct sy__coverage_row {
    const char *domain, *op;
    uint32_t version;
    const char *types; /* names with blanks between, as sy_type_find knows them */
    const char *inputs;
    uint32_t n_outputs;
    uint32_t n_attributes;
    const sy_attribute *attributes;
} sy__coverage_row;

extern const sy__coverage_row sy__coverage_rows[];
extern const uint32_t sy__coverage_n_rows;

/* Judges every row in every type on one delegate; out_coverage has sy__coverage_n_rows items. */
sy_status sy__coverage_ask(const sy_allocator *allocator, const sy_delegate *delegate,
                           sy_operator_coverage *out_coverage, sy_error *error);

#endif
