/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of the operators share; each says no in words and answers false. */
#ifndef KIT_CHECK_SHARED_H
#define KIT_CHECK_SHARED_H

#include "operator_checks.h"

/* No check knows the operator. */
bool kit_no_kernel(const kit_node *node, kit_answer *answer);
/* A weight type of any kind: float, or in blocks. */
bool kit_require_decodable(const sy_value_view *value, const char *what, kit_answer *answer);
/* A constant has the bytes of its shape; a computed value passes. */
bool kit_require_filled(const sy_value_view *value, const char *what, kit_answer *answer);
/* A plain type of whole bytes, and no STATE. */
bool kit_is_movable(const sy_value_view *value);
/* Integers of a constant input of rank 0 or 1; none where it is not given. */
bool kit_constant_ints(const kit_node *node, uint32_t i_input, uint32_t n_most, int64_t *out,
                       uint32_t *out_n, kit_answer *answer);
/* Axes that such an input names, as a set. */
bool kit_constant_axes(const kit_node *node, uint32_t i_input, uint32_t rank, uint32_t *out_set,
                       kit_answer *answer);
/* A constant float with one element. */
bool kit_constant_float(const sy_value_view *value, double *out);
/* Place of an axis that may count from the end. */
bool kit_axis(int64_t axis, uint32_t rank, uint32_t *out_axis);
/* n, whatever the job. */
bool kit_dimension_is(const sy_dimension *dimension, int64_t n);
/* Same dimensions but along one axis. */
bool kit_same_but(const sy_value_view *a, const sy_value_view *b, uint32_t axis);
/* y is x without a set of axes or, keeps, with ones there. */
bool kit_is_reduced(const sy_value_view *x, const sy_value_view *y, uint32_t axes, bool keeps);
/* Every value broadcasts to y as in numpy: each of its dimensions is y's or 1. */
bool kit_broadcasts(const sy_value_view *const *values, uint32_t n_values, const sy_value_view *y);
/* Dimension i of y is one of the values, which broadcast to y. */
bool kit_broadcasts_reach(const sy_value_view *const *values, uint32_t n_values,
                          const sy_value_view *y, uint32_t i);
/* The work, by elements of y. */
void kit_count_elements(const kit_node *node, double bytes_each, double ops_each,
                        kit_answer *answer);

#endif
