/* SPDX-License-Identifier: Apache-2.0 */
/* The reference delegate as a plugin of its own, so that the kit checks its own oracle. */
#include "reference/reference.h"

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *host) {
    return sy__reference_entry(host_abi, host);
}
