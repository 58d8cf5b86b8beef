/* SPDX-License-Identifier: Apache-2.0 */
/* What sy_plugin_entry does first: keeps the host's table, and agrees on an ABI number. */
#ifndef KIT_ENTRY_H
#define KIT_ENTRY_H

#include "host.h"

/* False after a report where the host is older than the header this was built with. */
bool kit_entry(uint32_t host_abi, const sy_host *host);

#endif
