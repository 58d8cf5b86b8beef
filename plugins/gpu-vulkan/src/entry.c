/* SPDX-License-Identifier: Apache-2.0 */
/* The exported symbol. */
#include "plugin.h"

const char gpu_plugin_name[] = "gpu-vulkan";
const char gpu_plugin_version[] = "0.1.0";

SY_PLUGIN_EXPORT const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *host) {
    return gpu_plugin_entry(host_abi, host);
}
