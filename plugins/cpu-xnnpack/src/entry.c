/* SPDX-License-Identifier: Apache-2.0 */
/* The exported symbol and the table behind it. */
#include "plugin.h"

static const sy_plugin table_of_functions = {
    .header = SY_HEADER_INIT(sy_plugin),
    .name = "cpu-xnnpack",
    .vendor = "Switchyard",
    .version = "0.1.0",
    .enumerate = cpu_enumerate,
    .open = cpu_open,
    .close = cpu_close,
    .health = cpu_health,
    .judge = cpu_judge,
    .price = cpu_price,
    .link = cpu_link,
    .load = cpu_load,
    .unload = cpu_unload,
    .buffer_create = cpu_buffer_create,
    .buffer_import = cpu_buffer_import,
    .buffer_export = cpu_buffer_export,
    .buffer_map = cpu_buffer_map,
    .buffer_unmap = cpu_buffer_unmap,
    .buffer_destroy = cpu_buffer_destroy,
    .submit = cpu_submit,
    .cancel = cpu_cancel,
    .state_create = cpu_state_create,
    .state_clone = cpu_state_clone,
    .state_truncate = cpu_state_truncate,
    .state_shift = cpu_state_shift,
    .state_save = cpu_state_save,
    .state_load = cpu_state_load,
    .state_destroy = cpu_state_destroy,
    .state_fork = cpu_state_fork,
    .state_need = cpu_state_need,
    .state_reserve = cpu_state_reserve,
    .adapter_create = cpu_adapter_create,
    .adapter_destroy = cpu_adapter_destroy,
};

SY_PLUGIN_EXPORT const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *host) {
    cpu_host_set(host);
    if (host_abi >> 16 != SY_ABI_MAJOR || host_abi < SY_ABI_VERSION) {
        cpu_report(SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION), SY_NO_VALUE,
                   "this plugin speaks ABI %u.%u, the host %u.%u: use a newer host or an older "
                   "plugin",
                   SY_ABI_MAJOR, SY_ABI_MINOR, host_abi >> 16, host_abi & 0xffffu);
        return NULL;
    }
    return &table_of_functions;
}
