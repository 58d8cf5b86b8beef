/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sy_tokenizer_bench VOCABULARY.gguf TEXT [PASSES]: time and memory of making a tokenizer from a
 * file in the page cache and of encoding a whole text, best of the passes; one line of JSON.
 */
#include "bench_machine.h"
#include "text_file.h"

#include <stdio.h>
#include <stdlib.h>

#define PASSES 5

typedef struct figures {
    uint64_t open_ns, encode_ns;             /* best */
    uint64_t table_bytes, encode_peak_bytes; /* heap: kept, and on top of it while encoding */
    size_t n_tokens;
} figures;

static uint64_t smaller(uint64_t best, uint64_t ns) {
    return best == 0 || ns < best ? ns : best;
}

static sy_status pass(const char *path, const char *text, size_t n_bytes, figures *f,
                      sy_error *error) {
    sy_budget budget;
    sy_budget_init(&budget, NULL, 0);
    sy_tokenizer *tokenizer = NULL;
    uint64_t start_ns = sy_machine_now_ns();
    sy_status status = sy_tokenizer_open(&budget.allocator, path, &tokenizer, error);
    if (status != SY_OK) {
        return status;
    }
    uint64_t open_ns = sy_machine_now_ns();
    f->open_ns = smaller(f->open_ns, open_ns - start_ns);
    f->table_bytes = budget.used_bytes;
    budget.peak_bytes = budget.used_bytes;
    status = sy_tokenizer_encode(tokenizer, text, n_bytes, 0, NULL, 0, &f->n_tokens, error);
    f->encode_ns = smaller(f->encode_ns, sy_machine_now_ns() - open_ns);
    f->encode_peak_bytes = budget.peak_bytes - f->table_bytes;
    sy_tokenizer_destroy(tokenizer);
    return status;
}

static sy_status measure(int argc, char **argv, figures *f, size_t *out_n_bytes, sy_error *error) {
    unsigned long n_passes = argc > 3 ? strtoul(argv[3], NULL, 10) : PASSES;
    sy_cli_text text;
    sy_status status = sy_cli_read_text(argv[2], &text, error);
    for (unsigned long i = 0; status == SY_OK && (i == 0 || i < n_passes); i++) {
        status = pass(argv[1], text.bytes, text.n_bytes, f, error);
    }
    *out_n_bytes = text.n_bytes;
    sy_cli_free_text(&text);
    return status;
}

int main(int argc, char **argv) {
    size_t n_bytes = 0;
    figures f = {0};
    sy_error error;
    sy_error_clear(&error);
    if (argc < 3) {
        fprintf(stderr, "usage: sy_tokenizer_bench VOCABULARY.gguf TEXT [PASSES]\n");
        return 2;
    }
    if (measure(argc, argv, &f, &n_bytes, &error) != SY_OK) {
        char message[1024];
        sy_error_format(&error, message, sizeof message);
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    double encode_s = (double)f.encode_ns / 1e9;
    printf("{\"open_ms\": %.2f, \"table_bytes\": %llu, \"tokens\": %zu, \"encode_ms\": %.2f, "
           "\"mb_per_s\": %.2f, \"tokens_per_s\": %.0f, \"encode_peak_bytes\": %llu}\n",
           (double)f.open_ns / 1e6, (unsigned long long)f.table_bytes, f.n_tokens, 1e3 * encode_s,
           (double)n_bytes / 1e6 / encode_s, (double)f.n_tokens / encode_s,
           (unsigned long long)f.encode_peak_bytes);
    return 0;
}
