/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double mib(uint64_t n_bytes) {
    return (double)n_bytes / 1048576.0;
}

/* What is resident of this process now beside the mapping of the model; 0 where the system does not
 * tell. */
static uint64_t resident_bytes(const char *model_path) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[4352], real_path[PATH_MAX];
    uint64_t n_bytes = 0;
    int is_model = 0;
    if (file == NULL || realpath(model_path, real_path) == NULL) {
        real_path[0] = '\0';
    }
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long n_kib = 0;
        if (sscanf(line, "Rss: %llu kB", &n_kib) == 1) {
            n_bytes += is_model ? 0 : n_kib << 10;
        } else if (strstr(line, " kB\n") == NULL && strchr(line, '-') != NULL) {
            is_model = real_path[0] != '\0' && strstr(line, real_path) != NULL;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return n_bytes;
}

static void print_row(const char *name, uint64_t n_bytes, const char *note) {
    printf("%-18s %14" PRIu64 " bytes %9.2f MiB  %s\n", name, n_bytes, mib(n_bytes), note);
}

/* Arenas, scratch and states are pages that nobody has written yet, the weights are mapped and not
 * read: so what is resident now is the rest of what a run will take. */
void sy_cli_print_memory(const sy_engine *engine, const char *model_path, uint32_t max_tokens,
                         uint32_t n_sessions) {
    sy_engine_memory memory;
    char note[96];
    max_tokens = max_tokens != 0 ? max_tokens : sy_engine_info(engine)->n_context_tokens;
    sy_engine_get_memory(engine, max_tokens, &memory);
    uint64_t tables = memory.load_bytes - memory.activation_bytes - memory.scratch_bytes -
                      memory.device_weight_bytes;
    uint64_t now = resident_bytes(model_path), sessions = memory.session_bytes * n_sessions;
    uint64_t own = memory.load_bytes + sessions;
    uint64_t program = (now > tables ? now - tables : 0) + memory.metadata_bytes;
    print_row("weights, mapped", memory.weight_bytes, "shared, read-only, from the file");
    snprintf(note, sizeof(note), "for steps of up to %" PRIu32 " tokens", memory.n_batch_tokens);
    print_row("activations", memory.activation_bytes, note);
    print_row("scratch", memory.scratch_bytes, "shared by the segments of a delegate");
    if (memory.device_weight_bytes > 0) {
        print_row("device weights", memory.device_weight_bytes, "copies in memory of devices");
    }
    print_row("tables", tables, "vocabulary, graph, plan, loaded segments");
    snprintf(note, sizeof(note), "%" PRIu32 " of %" PRIu32 " tokens, %" PRIu64 " bytes of states",
             n_sessions, max_tokens, memory.state_bytes * n_sessions);
    print_row(n_sessions == 1 ? "one session" : "sessions", sessions, note);
    print_row("own memory", own, "what a budget counts");
    print_row("program", program, "code, delegates, what the file says beside weights");
    print_row("peak", own + memory.weight_bytes + program, "resident when everything was used");
}
