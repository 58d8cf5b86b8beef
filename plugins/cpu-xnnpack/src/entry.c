/* SPDX-License-Identifier: Apache-2.0 */
/* The exported symbol and the table behind it. */
#include "entry.h"
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
    .state_clone = kit_state_clone,
    .state_truncate = kit_state_truncate,
    .state_shift = kit_state_shift,
    .state_save = kit_state_save,
    .state_load = kit_state_load,
    .state_destroy = kit_state_destroy,
    .state_fork = kit_state_fork,
    .state_need = cpu_state_need,
    .state_reserve = cpu_state_reserve,
    .adapter_create = cpu_adapter_create,
    .adapter_destroy = cpu_adapter_destroy,
};

SY_PLUGIN_EXPORT const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *host) {
    return kit_entry(host_abi, host) ? &table_of_functions : NULL;
}
