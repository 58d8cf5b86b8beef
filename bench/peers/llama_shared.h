/* SPDX-License-Identifier: Apache-2.0 */
/* What the measuring programs of llama.cpp share: a model, one context at a time, tokens for it. */
#ifndef SY_BENCH_LLAMA_SHARED_H
#define SY_BENCH_LLAMA_SHARED_H

#include <llama.h>

#include <stdio.h>
#include <stdlib.h>

typedef struct peer {
    struct llama_model *model;
    struct llama_context *context;
    struct llama_batch batch;
    int n_threads;
} peer;

static inline void must(int is_right, const char *what) {
    if (!is_right) {
        fprintf(stderr, "llama.cpp: %s failed\n", what);
        exit(1);
    }
}

static inline int number(const char *text) {
    long value = strtol(text, NULL, 10);
    must(value >= 0 && value <= 1 << 20, "reading a number");
    return (int)value;
}

static inline double now_us(void) {
    return (double)llama_time_us();
}

/* Tokens of places first.. of a sequence, as engine_bench_tokens gives them; logits of the last. */
static inline double decode(peer *p, int first, int n, int sequence, unsigned seed) {
    double start = now_us();
    for (int done = 0; done < n;) {
        int n_now = n - done < 2048 ? n - done : 2048;
        p->batch.n_tokens = n_now;
        for (int i = 0; i < n_now; i++) {
            unsigned place = (unsigned)(first + done + i);
            p->batch.token[i] = (llama_token)((place * 37 + seed * 11) % 251 + 3);
            p->batch.pos[i] = (llama_pos)place;
            p->batch.n_seq_id[i] = 1;
            p->batch.seq_id[i][0] = sequence;
            p->batch.logits[i] = done + i == n - 1;
        }
        must(llama_decode(p->context, p->batch) == 0, "llama_decode");
        done += n_now;
    }
    must(llama_get_logits_ith(p->context, -1) != NULL, "llama_get_logits_ith");
    return now_us() - start;
}

#endif
