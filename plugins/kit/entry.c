/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

bool kit_entry(uint32_t host_abi, const sy_host *host) {
    kit_host_set(host);
    if (host_abi >> 16 != SY_ABI_MAJOR || host_abi < SY_ABI_VERSION) {
        kit_report(SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION), SY_NO_VALUE,
                   "this plugin speaks ABI %u.%u, the host %u.%u: use a newer host or an older "
                   "plugin",
                   SY_ABI_MAJOR, SY_ABI_MINOR, host_abi >> 16, host_abi & 0xffffu);
        return false;
    }
    return true;
}
