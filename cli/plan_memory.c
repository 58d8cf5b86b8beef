/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static double mib(uint64_t n_bytes) {
    return (double)n_bytes / 1048576.0;
}

/* What is resident of this process now; 0 where the system does not tell. */
static uint64_t resident_bytes(void) {
    unsigned long long n_pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    int found = file != NULL ? fscanf(file, "%*u %llu", &n_pages) : 0;
    if (file != NULL) {
        fclose(file);
    }
    return found == 1 ? n_pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void print_row(const char *name, uint64_t n_bytes, const char *note) {
    printf("%-18s %14" PRIu64 " bytes %9.2f MiB  %s\n", name, n_bytes, mib(n_bytes), note);
}

/* Arenas, scratch and states are pages that nobody has written yet, the weights are mapped and not
 * read: so what is resident now is the rest of what a run will take. */
void sy_cli_print_memory(const sy_engine *engine, uint32_t max_tokens, uint32_t n_sessions) {
    sy_engine_memory memory;
    char note[96];
    max_tokens = max_tokens != 0 ? max_tokens : sy_engine_info(engine)->n_context_tokens;
    sy_engine_get_memory(engine, max_tokens, &memory);
    uint64_t tables = memory.load_bytes - memory.activation_bytes - memory.scratch_bytes;
    uint64_t now = resident_bytes(), sessions = memory.session_bytes * n_sessions;
    uint64_t own = memory.load_bytes + sessions;
    uint64_t program = now > tables ? now - tables : 0;
    print_row("weights, mapped", memory.weight_bytes, "shared, read-only, from the file");
    snprintf(note, sizeof(note), "for steps of up to %" PRIu32 " tokens", memory.n_batch_tokens);
    print_row("activations", memory.activation_bytes, note);
    print_row("scratch", memory.scratch_bytes, "shared by the segments of a delegate");
    print_row("tables", tables, "vocabulary, graph, plan, loaded segments");
    snprintf(note, sizeof(note), "%" PRIu32 " of %" PRIu32 " tokens, %" PRIu64 " bytes of states",
             n_sessions, max_tokens, memory.state_bytes * n_sessions);
    print_row(n_sessions == 1 ? "one session" : "sessions", sessions, note);
    print_row("own memory", own, "what a budget counts");
    print_row("program", program, "code, delegates, what was read of the file beside weights");
    print_row("peak", own + memory.weight_bytes + program, "resident when everything was used");
}
