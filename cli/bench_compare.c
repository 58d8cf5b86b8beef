/* SPDX-License-Identifier: Apache-2.0 */
/* --compare llama.cpp: its own bench program on the same file, sample by sample between ours. */
#include "bench.h"
#include "bench_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEER "llama.cpp"
#define PROGRAM "llama-bench"

/* A folder, its bin folder, or the program itself. */
static int find_at(const char *place, char *out_path, size_t n_bytes) {
    static const char *const folders[] = {"", "/bin", "/build/bin"};
    struct stat facts;
    if (stat(place, &facts) == 0 && S_ISREG(facts.st_mode) && access(place, X_OK) == 0) {
        return snprintf(out_path, n_bytes, "%s", place) < (int)n_bytes;
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        int n = snprintf(out_path, n_bytes, "%s%s/" PROGRAM, place, folders[i]);
        if (n > 0 && (size_t)n < n_bytes && access(out_path, X_OK) == 0) {
            return 1;
        }
    }
    return 0;
}

int sy_bench_find_peer(sy_bench *bench) {
    const char *compare = bench->flags.compare, *place = NULL;
    sy_error error;
    size_t n = strlen(PEER);
    bench->peer_program[0] = '\0';
    if (compare == NULL) {
        return SY_CLI_GO_ON;
    }
    if (strncmp(compare, PEER, n) != 0 || (compare[n] != '\0' && compare[n] != '=')) {
        return sy_cli_usage("bench", "Write --compare " PEER " or --compare " PEER "=PATH.",
                            "there is no comparison with \"%s\".", compare);
    }
    place = compare[n] == '=' ? compare + n + 1 : NULL;
    if (place != NULL ? find_at(place, bench->peer_program, sizeof(bench->peer_program))
                      : sy_child_find(PROGRAM, bench->peer_program, sizeof(bench->peer_program))) {
        return SY_CLI_GO_ON;
    }
    bench->peer_program[0] = '\0';
    sy_error_clear(&error);
    sy_error_set(&error, SY_NOT_FOUND, PROGRAM " was not found in %s.",
                 place != NULL ? place : "PATH");
    sy_error_hint(&error,
                  "Install " PEER " or give the folder of its programs: --compare " PEER "=PATH.");
    return sy_cli_fail(&error);
}

/* The number after "avg_ts": of a result in JSON, 0 without one. */
static double tokens_per_s(const char *output) {
    const char *found = strstr(output, "\"avg_ts\"");
    found = found != NULL ? strchr(found, ':') : NULL;
    return found != NULL ? strtod(found + 1, NULL) : 0;
}

void sy_bench_sample_peer(sy_bench *bench, sy_bench_series *series) {
    static sy_child child;
    char prompt[16], generate[16], depth[16], threads[16], model[4096], program[4096];
    char keys[16], values[16];
    if (bench->peer_program[0] == '\0' || series->n_sequences > 1) {
        return; /* it has another program for those */
    }
    int is_prefill = series->kind == SY_BENCH_PREFILL;
    snprintf(prompt, sizeof(prompt), "%u", is_prefill ? series->n_tokens : 0);
    snprintf(generate, sizeof(generate), "%u", is_prefill ? 0 : series->n_tokens);
    snprintf(depth, sizeof(depth), "%u", series->depth);
    snprintf(threads, sizeof(threads), "%u", series->n_threads);
    snprintf(model, sizeof(model), "%s", bench->engine.model);
    snprintf(program, sizeof(program), "%s", bench->peer_program);
    snprintf(keys, sizeof(keys), "%s", bench->about.key_type);
    snprintf(values, sizeof(values), "%s", bench->about.value_type);
    for (char *c = keys; *c != '\0'; c++) { /* it spells types in lower case */
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    for (char *c = values; *c != '\0'; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    char flag_model[] = "-m", flag_prompt[] = "-p", flag_generate[] = "-n", flag_depth[] = "-d",
         flag_threads[] = "-t", flag_keys[] = "-ctk", flag_values[] = "-ctv", flag_repeat[] = "-r",
         once[] = "1", flag_output[] = "-o", json[] = "json";
    char *words[] = {program,       flag_model, model,       flag_prompt, prompt,
                     flag_generate, generate,   flag_depth,  depth,       flag_threads,
                     threads,       flag_keys,  keys,        flag_values, values,
                     flag_repeat,   once,       flag_output, json,        NULL};
    sy_child_run(words, 0, &child);
    double rate = child.exit_status == 0 ? tokens_per_s(child.output) : 0;
    if (rate > 0) {
        sy_bench_add_sample(&series->peer, rate);
    }
}
