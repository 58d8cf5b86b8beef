/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin for the growth test: compiled against sy_plugin.h as it is, as it was in an earlier
 * minor, or as it could become. NEWER says that the header has the fields of the next minor.
 * STUBBORN: it answers with its own ABI whatever the host speaks. NEEDS: it does not work with less
 * than its own minor.
 */
#include "sy_plugin.h"

#include <stdio.h>
#include <string.h>

static const sy_host *host;

static sy_status enumerate(sy_context *context, sy_device_info *out_infos, size_t stride,
                           uint32_t *inout_count) {
    (void)context;
    for (uint32_t i = 0; out_infos != NULL && i < 2 && i < *inout_count; i++) {
        sy_device_info *info = (sy_device_info *)(void *)((char *)out_infos + i * stride);
        snprintf(info->id, sizeof(info->id), "dev%u", (unsigned)i);
        info->memory_in = info->memory_own = SY_MEMORY_BIT(SY_MEMORY_HOST);
#ifdef NEWER
        if (SY_HAS_FIELD(info, sy_device_info, grown)) {
            info->grown = 0x600d;
        }
#endif
    }
    *inout_count = 2;
    return SY_OK;
}

static sy_status health(sy_device *device, sy_health *out_health) {
    (void)device;
    out_health->epoch = 7;
#ifdef NEWER
    if (SY_HAS_FIELD(out_health, sy_health, grown)) {
        out_health->grown = 0x600d;
    }
#endif
    return SY_OK;
}

/* What this side reads of a job: its own fields, a missing tail as zero. */
static sy_status submit(sy_unit *unit, const sy_job *job) {
    (void)unit;
    char text[96];
    unsigned long long grown = 0;
    for (const sy_extension *e = job->header.extensions; e != NULL; e = e->next) {
        if (e->must != 0) {
            return SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_REQUIRED_EXTENSION);
        }
    }
#ifdef NEWER
    grown = SY_HAS_FIELD(job, sy_job, grown) ? (unsigned long long)job->grown : 0;
#endif
    snprintf(text, sizeof(text), "run %llu grown %llx", (unsigned long long)job->run, grown);
    host->report(host->context, SY_SEVERITY_INFO, SY_OK, SY_NO_VALUE, text);
    return SY_OK;
}

static sy_plugin table = {.header = SY_HEADER_INIT(sy_plugin),
                          .name = "growth",
                          .vendor = "test",
                          .version = "1",
                          .enumerate = enumerate,
                          .health = health,
                          .submit = submit};

const sy_plugin *sy_plugin_entry(uint32_t host_abi, const sy_host *services) {
    host = services;
#ifdef NEWER
    table.grown = health;
#endif
#ifdef STUBBORN
    return &table;
#endif
    uint32_t least = SY_ABI_MAJOR << 16 | 9u; /* the oldest that this source can speak */
#ifdef NEEDS
    least = SY_ABI_VERSION;
#endif
    if (host_abi >> 16 != SY_ABI_MAJOR || host_abi < least) {
        host->report(host->context, SY_SEVERITY_ERROR,
                     SY_STATUS(SY_UNIMPLEMENTED, SY_DETAIL_VERSION), SY_NO_VALUE,
                     "this plugin needs a newer host");
        return NULL;
    }
    table.header.abi = host_abi < SY_ABI_VERSION ? host_abi : SY_ABI_VERSION;
    return &table;
}
