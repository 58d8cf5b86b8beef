/* SPDX-License-Identifier: Apache-2.0 */
/* The world of the soak: an engine under a budget, places for sessions, a trace of what was done,
 * and what must hold after every call. */
#ifndef SY_TESTS_SOAK_WORLD_H
#define SY_TESTS_SOAK_WORLD_H

#include "soak/soak_model.h"

#include <stdarg.h>

enum {
    PLACES = 8,
    TRACE = 32,
    TRACE_BYTES = 200,
    MOST_AT_ONCE = 3,
    MOST_NEW = 40,
    CHUNK = 16,
    CLOSED_EVERY = 500,
    WARM_UP = 1000,
    BUDGET_SESSIONS = 3
};

#define PREFIX_BYTES ((uint64_t)96 << 10)
/* Nodes of the tree of prefixes, their tokens, and the heads of blocks in pools of other sizes. */
#define UNCOUNTED_BYTES ((uint64_t)48 << 10)
/* What the C library and ASan, with a pool for each size, may keep more of: pages of sizes that
 * came late. It has an end: 40 000 calls grow no more than 10 000. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_BYTES ((uint64_t)1024 << 10)
#else
#define GROWTH_BYTES ((uint64_t)512 << 10)
#endif

typedef struct soak soak;

/* Where a session may be. */
typedef struct place {
    sy_session *session;
    soak_model model;
    uint64_t n_recomputed; /* that the session has told so far */
    sy_limit_options limit;
    const int32_t *coming; /* tokens of a prefill under way */
    uint32_t n_coming;
    soak *soak;
} place;

struct soak {
    engine_kit kit;
    soak_naive naive;
    sy_adapter *adapters[SOAK_ADAPTERS];
    bool has_adapters;
    place places[PLACES];
    uint32_t random, seed, n_operations, i_operation;
    char trace[TRACE][TRACE_BYTES];
    char path[40];
    sy_engine_memory memory; /* before the first session */
    sy_budget heap;
    uint64_t heap_closed; /* bytes, with no session open */
    uint64_t resident_bytes;
    uint32_t n_checked, n_moved_checked, n_over_budget;
};

static soak *running; /* for the trace of a failure */

static inline void tell_trace(void) {
    if (running == NULL) {
        return;
    }
    uint32_t n = running->i_operation;
    fprintf(stderr, "SY_SOAK_SEED=%u SY_SOAK_OPERATIONS=%u failed in operation %u:\n",
            running->seed, running->n_operations, n);
    for (uint32_t i = n >= TRACE ? n - TRACE + 1 : 0; i <= n; i++) {
        fprintf(stderr, "  %6u %s\n", i, running->trace[i % TRACE]);
    }
}

static inline void tell(soak *k, const char *format, ...) SY_PRINTF(2, 3);
static inline void tell(soak *k, const char *format, ...) {
    char *line = k->trace[k->i_operation % TRACE];
    size_t n = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + n, TRACE_BYTES - n, format, arguments);
    va_end(arguments);
}

static inline uint32_t below(soak *k, uint32_t n) {
    k->random = k->random * 1664525u + 1013904223u;
    return n > 0 ? (k->random >> 8) % n : 0;
}

static inline uint64_t resident_bytes(void) {
    unsigned long long n_pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%*s %llu", &n_pages) == 1);
    fclose(file);
    return n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline bool is_over_budget(sy_status status) {
    return status == SY_STATUS(SY_RESOURCE_EXHAUSTED, SY_DETAIL_BUDGET);
}

/* ---- what must hold ---- */
static inline void check_tokens(const place *p) {
    uint32_t n = 0;
    const int32_t *tokens = sy_session_tokens(p->session, &n);
    CHECK_TEXT(n == p->model.n_tokens, "%u tokens, not %u", n, p->model.n_tokens);
    CHECK(memcmp(tokens, p->model.tokens, n * sizeof(int32_t)) == 0);
}

/* After every call: what it computed again, and the tokens. */
static inline void settle(place *p) {
    sy_session_stats stats;
    sy_session_get_stats(p->session, &stats);
    soak_settle(&p->model, stats.n_recomputed_tokens - p->n_recomputed);
    p->n_recomputed = stats.n_recomputed_tokens;
    check_tokens(p);
}

static inline void check_heap(soak *k) {
    sy_engine_memory memory;
    sy_engine_get_memory(k->kit.engine, 0, &memory);
    uint64_t used = k->heap.used_bytes - k->heap_closed;
    CHECK_TEXT(memory.load_bytes + memory.reserved_bytes <= memory.budget_bytes,
               "%llu bytes reserved, %llu of them or shared with them by prefixes",
               (unsigned long long)memory.reserved_bytes, (unsigned long long)memory.prefix_bytes);
    CHECK_TEXT(used <= memory.budget_bytes - memory.load_bytes + UNCOUNTED_BYTES,
               "sessions and prefixes take %llu bytes of heap, %llu are left of the budget",
               (unsigned long long)used,
               (unsigned long long)(memory.budget_bytes - memory.load_bytes));
}

static inline void check_bits(soak *k, place *p) {
    const float *found = NULL, *wanted = NULL;
    sy_error *error = &k->kit.error;
    tell(k, "compare at %u%s, adapters %u", p->model.n_tokens, p->model.has_moved ? ", moved" : "",
         p->model.adapters);
    if (p->model.n_tokens == 0 || p->model.is_unsure) {
        return;
    }
    sy_session *fresh = soak_make_again(&k->naive, &p->model);
    CHECK_OK_ERROR(sy_session_logits(fresh, &wanted, error), *error);
    CHECK_OK_ERROR(sy_session_logits(p->session, &found, error), *error);
    for (uint32_t i = 0; i < TINY_VOCAB; i++) {
        CHECK_TEXT(memcmp(&found[i], &wanted[i], sizeof(float)) == 0, "logit %u: %.9g, not %.9g", i,
                   (double)found[i], (double)wanted[i]);
    }
    sy_session_close(fresh);
    settle(p);
    k->n_checked++;
    k->n_moved_checked += p->model.has_moved;
}

/* ---- limits ---- */
/* What sy_session_set_limit says of a full session that slides. */
static inline void slide(place *p) {
    soak_model *m = &p->model;
    uint32_t n_after = m->n_tokens - p->limit.n_sink_tokens;
    uint32_t n_drop = p->limit.n_drop_tokens != 0 ? p->limit.n_drop_tokens : n_after / 2;
    n_drop = n_drop < n_after ? n_drop : n_after - 1;
    soak_drop(m, &(sy_token_range){p->limit.n_sink_tokens, n_drop}, 1);
}

static inline uint32_t draw_ranges(soak *k, uint32_t n_tokens, sy_token_range *out) {
    uint32_t n = 0, at = 0, n_dropped = 0;
    while (n < SOAK_RANGES && at < n_tokens && (n == 0 || below(k, 2) == 0)) {
        uint32_t first = at + below(k, n_tokens - at), count = 1 + below(k, n_tokens - first);
        count = count > 24 ? 24 : count;
        if (n_dropped + count == n_tokens) {
            break; /* all of them */
        }
        out[n++] = (sy_token_range){first, count};
        n_dropped += count;
        at = first + count;
    }
    return n;
}

/* The session is full: what was prefilled till now is in it. */
static inline uint32_t prune(void *user, const int32_t *tokens, uint32_t n_tokens,
                             sy_token_range *out_ranges, uint32_t n_ranges_max) {
    place *p = user;
    uint32_t n_new = n_tokens - p->model.n_tokens;
    CHECK(n_tokens == p->model.max_tokens && n_new <= p->n_coming && n_ranges_max >= SOAK_RANGES);
    soak_append(&p->model, p->coming, n_new);
    p->coming += n_new;
    p->n_coming -= n_new;
    CHECK(memcmp(tokens, p->model.tokens, n_tokens * sizeof(int32_t)) == 0);
    uint32_t n = below(p->soak, 6) == 0 ? 0 : draw_ranges(p->soak, n_tokens, out_ranges);
    if (n > 0) {
        soak_drop(&p->model, out_ranges, n);
    }
    return n;
}

static inline void set_limit(soak *k, place *p, sy_at_limit at_limit) {
    p->limit = (sy_limit_options){.struct_bytes = sizeof(p->limit),
                                  .at_limit = at_limit,
                                  .n_sink_tokens = below(k, p->model.max_tokens / 2),
                                  .n_drop_tokens = below(k, 2) * (1 + below(k, 20)),
                                  .prune = prune,
                                  .user = p};
    CHECK_OK_ERROR(sy_session_set_limit(p->session, &p->limit, &k->kit.error), k->kit.error);
}

#endif
