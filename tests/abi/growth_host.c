/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host for the growth test, compiled against one version of sy_plugin.h: loads one plugin and
 * prints what each side saw of the other, one fact a line. NEWER as in growth_plugin.c. Structs
 * that the plugin writes are followed by guards: "trampled" says that it wrote past them.
 */
#include "sy_plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void report(sy_context *context, sy_severity severity, sy_status status, uint32_t i_node,
                   const char *text) {
    (void)context;
    (void)severity;
    (void)i_node;
    printf("report %u: %s\n", (unsigned)SY_STATUS_CLASS(status), text);
}

static const sy_host services = {.header = SY_HEADER_INIT(sy_host), .report = report};

static int is_filled(const void *bytes, size_t n, int value) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < n; i++) {
        if (byte[i] != value) {
            return 0;
        }
    }
    return 1;
}

static void ask_devices(const sy_plugin *table) {
    enum { GUARD = 64, STRIDE = sizeof(sy_device_info) + GUARD };
    static union {
        sy_device_info first;
        unsigned char bytes[2 * STRIDE];
    } infos;
    uint32_t n = 2;
    memset(&infos, 0, sizeof(infos));
    for (int i = 0; i < 2; i++) {
        sy_device_info *info = (sy_device_info *)(void *)(infos.bytes + i * STRIDE);
        info->header = (sy_header)SY_HEADER_INIT(sy_device_info);
        memset(info + 1, 0xa5, GUARD);
    }
    table->enumerate(NULL, &infos.first, STRIDE, &n);
    for (int i = 0; i < 2; i++) {
        const sy_device_info *info = (const sy_device_info *)(void *)(infos.bytes + i * STRIDE);
        unsigned long long grown = 0;
#ifdef NEWER
        grown = info->grown;
#endif
        printf("device %s grown %llx%s\n", info->id, grown,
               is_filled(info + 1, GUARD, 0xa5) ? "" : " trampled");
    }
}

static void ask_health(const sy_plugin *table) {
    struct {
        sy_health health;
        unsigned char guard[64];
    } got;
    unsigned long long grown = 0;
    memset(&got, 0, sizeof(got));
    memset(got.guard, 0xa5, sizeof(got.guard));
    got.health.header = (sy_header)SY_HEADER_INIT(sy_health);
    table->health(NULL, &got.health);
#ifdef NEWER
    grown = got.health.grown;
#endif
    printf("health epoch %u grown %llx%s\n", (unsigned)got.health.epoch, grown,
           is_filled(got.guard, sizeof(got.guard), 0xa5) ? "" : " trampled");
}

static void send_job(const sy_plugin *table, const sy_extension *extensions, const char *what) {
    struct {
        sy_job job;
        unsigned char beyond[64]; /* what is behind a struct is nobody's business */
    } sent;
    memset(&sent, 0, sizeof(sent));
    memset(sent.beyond, 0xa5, sizeof(sent.beyond));
    sent.job.header = (sy_header)SY_HEADER_INIT(sy_job);
    sent.job.header.extensions = extensions;
    sent.job.run = 41;
#ifdef NEWER
    sent.job.grown = 0xbeef;
#endif
    printf("%s: status %u\n", what, (unsigned)SY_STATUS_CLASS(table->submit(NULL, &sent.job)));
}

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library != NULL ? dlsym(library, "sy_plugin_entry") : NULL;
    sy_plugin_entry_function entry = NULL;
    if (symbol == NULL) {
        printf("cannot load: %s\n", dlerror());
        return 1;
    }
    memcpy(&entry, &symbol, sizeof(entry));
    const sy_plugin *theirs = entry(SY_ABI_VERSION, &services);
    if (theirs == NULL) {
        printf("no table\n");
        return 0;
    }
    uint32_t abi = theirs->header.abi;
    if (abi >> 16 != SY_ABI_MAJOR || abi > SY_ABI_VERSION) {
        printf("refused: it speaks ABI %u.%u, this host %u.%u\n", abi >> 16, abi & 0xffffu,
               SY_ABI_MAJOR, SY_ABI_MINOR);
        return 0;
    }
    sy_plugin table; /* a shorter table reads as zero at its end, a longer one is cut */
    size_t n_bytes = theirs->header.size < sizeof(table) ? theirs->header.size : sizeof(table);
    memset(&table, 0, sizeof(table));
    memcpy(&table, theirs, n_bytes);
    printf("table %u.%u\n", abi >> 16, abi & 0xffffu);
#ifdef NEWER
    printf("grown function %s\n", table.grown != NULL ? "there" : "absent");
#endif
    ask_devices(&table);
    ask_health(&table);
    const sy_extension must = {NULL, 0x80001234u, sizeof(sy_extension), 1, 0};
    const sy_extension may = {NULL, 0x80001235u, sizeof(sy_extension), 0, 0};
    send_job(&table, NULL, "job");
    send_job(&table, &may, "job with an extension");
    send_job(&table, &must, "job with a must extension");
    return 0;
}
