/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference CPU delegate: every operator of docs/operators.md in every type, one device "cpu0",
 * host memory, synchronous submit. It is linked into the core and reached through the same table as
 * any vendor's, and it is the oracle that the other delegates are tested against.
 */
#ifndef SY_REFERENCE_REFERENCE_H
#define SY_REFERENCE_REFERENCE_H

#include "sy_plugin.h"

/* As sy_plugin_entry. NULL after a report for another ABI major, a minor before 9, or a host that
 * lacks a service. Any number of hosts may be live at once (at most 64 with open devices). */
const sy_plugin *sy__reference_entry(uint32_t host_abi, const sy_host *host);

#endif
