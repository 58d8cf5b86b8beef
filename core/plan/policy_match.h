/* SPDX-License-Identifier: Apache-2.0 */
/* Matching of patterns, selectors and rules of a policy. */
#ifndef SY_PLAN_POLICY_MATCH_H
#define SY_PLAN_POLICY_MATCH_H

#include "switchyard/policy.h"

#include <stdbool.h>

/* Glob over the whole text: * any run, ? any one byte; case matters. */
bool sy__glob_matches(const char *pattern, const char *text);

/* True when the rule's pattern covers a node; an operator is written "Add" or
 * "switchyard.Linear". */
bool sy__rule_covers(const sy_policy_rule *rule, const char *domain, const char *op,
                     const char *node_name);

#endif
