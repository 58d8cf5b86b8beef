/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind the exported symbol. */
#include "entry.h"
#include "plugin.h"
#include "state.h"

static const sy_plugin table_of_functions = {
    .header = SY_HEADER_INIT(sy_plugin),
    .name = gpu_plugin_name,
    .vendor = "Switchyard",
    .version = gpu_plugin_version,
    .enumerate = gpu_enumerate,
    .open = gpu_open,
    .close = gpu_close,
    .health = gpu_health,
    .judge = gpu_judge,
    .price = gpu_price,
    .link = gpu_link,
    .compile = gpu_compile,
    .probe = gpu_probe,
    .load = gpu_load,
    .unload = gpu_unload,
    .buffer_create = gpu_buffer_create,
    .buffer_import = gpu_buffer_import,
    .buffer_map = gpu_buffer_map,
    .buffer_unmap = gpu_buffer_unmap,
    .buffer_destroy = gpu_buffer_destroy,
    .submit = gpu_submit,
    .cancel = gpu_cancel,
    .state_create = gpu_state_create,
    .state_clone = gpu_state_clone,
    .state_truncate = gpu_state_truncate,
    .state_shift = gpu_state_shift,
    .state_save = gpu_state_save,
    .state_load = gpu_state_load,
    .state_destroy = kit_state_destroy,
    .state_fork = gpu_state_fork,
    .state_need = gpu_state_need,
    .state_reserve = gpu_state_reserve,
    .adapter_create = gpu_adapter_create,
    .adapter_destroy = gpu_adapter_destroy,
};

const sy_plugin *gpu_plugin_entry(uint32_t host_abi, const sy_host *host) {
    return kit_entry(host_abi, host) ? &table_of_functions : NULL;
}
