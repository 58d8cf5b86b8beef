/* SPDX-License-Identifier: Apache-2.0 */
/* Lives in the conformance kit; tests reach it by this name too. */
#ifndef SY_TESTS_TOOLS_TEST_GRAPH_FORWARD_H
#define SY_TESTS_TOOLS_TEST_GRAPH_FORWARD_H

#include "conform/test_graph.h"

#endif
