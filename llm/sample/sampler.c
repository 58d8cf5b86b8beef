/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/sampler.h"

#include "base/memory.h"
#include "sample/greedy.h"

#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct candidate {
    float logit; /* divided by the temperature */
    int32_t token;
    double probability;
} candidate;

struct sy_sampler {
    const sy_allocator *allocator;
    sy_sampler_options options;
    uint32_t n_vocabulary;
    candidate *candidates; /* [n_vocabulary] */
    uint64_t random[4];
};

void sy_sampler_options_default(sy_sampler_options *out_options) {
    *out_options = (sy_sampler_options){.struct_bytes = sizeof(*out_options), .top_p = 1.0f};
}

/* splitmix64 spreads a small seed over the state of xoshiro256**. */
static uint64_t splitmix(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

/* xoshiro256**, to [0, 1) with 53 bits. */
static double next_uniform(uint64_t s[4]) {
    uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return (double)(result >> 11) * 0x1.0p-53;
}

static sy_status check_options(const sy_sampler_options *options, sy_error *error) {
    const char *wrong = NULL;
    if (!(options->temperature >= 0) || !isfinite(options->temperature)) {
        wrong = "temperature must be 0 or more";
    } else if (!(options->top_p > 0 && options->top_p <= 1)) {
        wrong = "top-p must be above 0 and at most 1";
    } else if (!(options->min_p >= 0 && options->min_p <= 1)) {
        wrong = "min-p must be between 0 and 1";
    }
    if (wrong == NULL) {
        return SY_OK;
    }
    return sy_error_set(error, SY_INVALID_ARGUMENT, "Sampling: %s.", wrong);
}

sy_status sy_sampler_create(const sy_allocator *allocator, uint32_t n_vocabulary,
                            const sy_sampler_options *options, sy_sampler **out_sampler,
                            sy_error *error) {
    sy_sampler_options defaults;
    sy_sampler_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    sy_status status = check_options(options, error);
    if (status != SY_OK) {
        return status;
    }
    allocator = sy__allocator_or_heap(allocator);
    sy_sampler *sampler = SY__NEW(allocator, sy_sampler);
    candidate *candidates = sy__alloc_array(allocator, n_vocabulary, sizeof(candidate));
    if (sampler == NULL || candidates == NULL) {
        if (sampler != NULL) {
            SY__DELETE(allocator, sampler);
        }
        sy__free_array(allocator, candidates, n_vocabulary, sizeof(candidate));
        return sy__no_memory(error, n_vocabulary * sizeof(candidate), "a sampler");
    }
    sampler->allocator = allocator;
    sampler->options = *options;
    sampler->n_vocabulary = n_vocabulary;
    sampler->candidates = candidates;
    uint64_t seed = options->seed;
    for (int i = 0; i < 4; i++) {
        sampler->random[i] = splitmix(&seed);
    }
    *out_sampler = sampler;
    return SY_OK;
}

void sy_sampler_destroy(sy_sampler *sampler) {
    if (sampler != NULL) {
        const sy_allocator *allocator = sampler->allocator;
        sy__free_array(allocator, sampler->candidates, sampler->n_vocabulary, sizeof(candidate));
        SY__DELETE(allocator, sampler);
    }
}

/* True when a comes before b: higher logit, then lower id. */
static bool before(const candidate *a, const candidate *b) {
    return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

static void sift_down(candidate *heap, uint32_t n, uint32_t i) {
    for (;;) {
        uint32_t worst = i, left = 2 * i + 1, right = left + 1;
        if (left < n && before(&heap[worst], &heap[left])) {
            worst = left;
        }
        if (right < n && before(&heap[worst], &heap[right])) {
            worst = right;
        }
        if (worst == i) {
            return;
        }
        candidate swap = heap[i];
        heap[i] = heap[worst];
        heap[worst] = swap;
        i = worst;
    }
}

/* Sorts a heap whose root is the worst of n, best first. */
static void sort_heap(candidate *list, uint32_t n) {
    while (n > 1) {
        n--;
        candidate swap = list[0];
        list[0] = list[n];
        list[n] = swap;
        sift_down(list, n, 0);
    }
}

/* Logits are compared 32 at once, in vectors of GNU C: loops over lanes come out in scalars. */
#define LANES 4u
#define N_VECTORS 8u
#define STRIDE (LANES * N_VECTORS)
typedef float logit_vector __attribute__((vector_size(4 * LANES)));
typedef int32_t mask_vector __attribute__((vector_size(4 * LANES)));

static inline logit_vector load_logits(const float *logits) {
    logit_vector x;
    memcpy(&x, logits, sizeof(x));
    return x;
}

static inline bool is_any(mask_vector mask) {
    int64_t halves[2];
    memcpy(halves, &mask, sizeof(mask));
    return (halves[0] | halves[1]) != 0;
}

/* First place from `at` on with a logit above the bar; n for none. NaN is above nothing. */
static uint32_t next_above(const float *logits, uint32_t at, uint32_t n, float bar) {
    for (; at + STRIDE <= n; at += STRIDE) {
        mask_vector above = {0};
        for (uint32_t v = 0; v < N_VECTORS; v++) {
            above |= load_logits(logits + at + v * LANES) > bar;
        }
        if (is_any(above)) {
            break;
        }
    }
    while (at < n && !(logits[at] > bar)) {
        at++;
    }
    return at;
}

/* The larger of each pair; `most` where x is NaN. */
static inline logit_vector larger(logit_vector x, logit_vector most) {
#if defined(__SSE2__) /* one instruction that compilers do not find by themselves */
    return (logit_vector)_mm_max_ps((__m128)x, (__m128)most);
#else
    mask_vector above = x > most;
    return (logit_vector)((above & (mask_vector)x) | (~above & (mask_vector)most));
#endif
}

static float highest(const float *logits, uint32_t n) {
    float best = -INFINITY;
    logit_vector most[N_VECTORS];
    for (uint32_t v = 0; v < N_VECTORS; v++) {
        most[v] = (logit_vector){0} - INFINITY;
    }
    uint32_t at = 0;
    for (; at + STRIDE <= n; at += STRIDE) {
#pragma GCC unroll 8
        for (uint32_t v = 0; v < N_VECTORS; v++) {
            most[v] = larger(load_logits(logits + at + v * LANES), most[v]);
        }
    }
    for (; at < n; at++) {
        best = logits[at] > best ? logits[at] : best;
    }
    for (uint32_t i = 0; i < STRIDE; i++) {
        float x = most[i / LANES][i % LANES];
        best = x > best ? x : best;
    }
    return best;
}

static uint32_t next_equal(const float *logits, uint32_t n, float value) {
    uint32_t at = 0;
    for (; at + STRIDE <= n; at += STRIDE) {
        mask_vector equal = {0};
        for (uint32_t v = 0; v < N_VECTORS; v++) {
            equal |= load_logits(logits + at + v * LANES) == value;
        }
        if (is_any(equal)) {
            break;
        }
    }
    while (at < n && logits[at] != value) {
        at++;
    }
    return at;
}

#define PIECE 4096u /* logits: from memory once, and once more from the first cache */

/* Only the piece that has the highest one is searched for its place. */
sy_status sy__greedy_token(const float *logits, uint32_t n, int32_t *out_token, sy_error *error) {
    float best = -INFINITY; /* also when there is nothing but NaN */
    uint32_t piece = 0;
    for (uint32_t at = 0; at < n; at += PIECE) {
        float most = highest(logits + at, n - at < PIECE ? n - at : PIECE);
        if (most > best) {
            best = most;
            piece = at;
        }
    }
    uint32_t i = piece + next_equal(logits + piece, n - piece, best);
    if (i == n) {
        return sy_error_set(error, SY_DATA_LOSS, "No logit is a number, so no token can be drawn.");
    }
    *out_token = (int32_t)i;
    return SY_OK;
}

/* Probabilities of the first n candidates, the best of which is list[i_best]. */
static double weigh(candidate *list, uint32_t n, float best) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        list[i].probability = exp((double)list[i].logit - (double)best);
        sum += list[i].probability;
    }
    return sum;
}

static uint32_t cut_top_p(const candidate *list, uint32_t n, double sum, double top_p) {
    double kept = 0;
    uint32_t i = 0;
    while (i < n && (i == 0 || kept < top_p * sum)) {
        kept += list[i++].probability;
    }
    return i;
}

static int32_t pick(const candidate *list, uint32_t n, double uniform) {
    double sum = 0, so_far = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += list[i].probability;
    }
    for (uint32_t i = 0; i < n; i++) {
        so_far += list[i].probability;
        if (uniform * sum < so_far) {
            return list[i].token;
        }
    }
    return list[n - 1].token;
}

static candidate candidate_of(const sy_sampler *sampler, const float *logits, uint32_t i) {
    candidate c = {.logit = logits[i] / sampler->options.temperature, .token = (int32_t)i};
    return c;
}

/* All tokens whose logit is above the bar, in the order of their ids. */
static uint32_t gather(sy_sampler *sampler, const float *logits, float bar) {
    uint32_t n = 0, n_all = sampler->n_vocabulary;
    for (uint32_t i = next_above(logits, 0, n_all, bar); i < n_all;) {
        sampler->candidates[n++] = candidate_of(sampler, logits, i++);
        if (i < n_all && !(logits[i] > bar)) { /* where most are wanted, neighbours are */
            i = next_above(logits, i, n_all, bar);
        }
    }
    return n;
}

/* The best n_wanted tokens, best first; all of them in the order of ids when there are no more and
 * `always` is not set. Only what is above the worst one kept is ever looked at: dividing by the
 * temperature keeps the order, and of equal ones the lower id, which came first, stays. */
static uint32_t gather_best(sy_sampler *sampler, const float *logits, uint32_t n_wanted,
                            bool always) {
    candidate *list = sampler->candidates;
    uint32_t n = 0, n_all = sampler->n_vocabulary, i = next_above(logits, 0, n_all, -INFINITY);
    for (; n < n_wanted && i < n_all; i = next_above(logits, i + 1, n_all, -INFINITY)) {
        list[n++] = candidate_of(sampler, logits, i);
    }
    if (i == n_all && !always) {
        return n;
    }
    for (uint32_t k = n / 2; k-- > 0;) {
        sift_down(list, n, k);
    }
    for (; i < n_all; i = next_above(logits, i, n_all, logits[list[0].token])) {
        candidate c = candidate_of(sampler, logits, i++);
        if (before(&c, &list[0])) {
            list[0] = c;
            sift_down(list, n, 0);
        }
    }
    sort_heap(list, n);
    return n;
}

#define TOP_P_FIRST 256u /* tokens that are sorted before more are */

/* Keeps the likeliest tokens that together have the probability top_p of all. They are few as a
 * rule: more are sorted only when those were not enough. */
static uint32_t gather_top_p(sy_sampler *sampler, const float *logits, float best) {
    candidate *list = sampler->candidates;
    uint32_t n_all = gather(sampler, logits, -INFINITY);
    double sum = weigh(list, n_all, best);
    for (uint64_t n_wanted = TOP_P_FIRST;; n_wanted *= 16) {
        uint32_t n = n_wanted < n_all ? (uint32_t)n_wanted : n_all;
        n = gather_best(sampler, logits, n, true);
        double found = weigh(list, n, best);
        if (n == n_all || found >= (double)sampler->options.top_p * sum) {
            return cut_top_p(list, n, sum, (double)sampler->options.top_p);
        }
    }
}

/* A bar that min-p drops everything below of, with room for rounding: the exact test follows. */
static float lowest_wanted(const sy_sampler_options *options, float best) {
    if (!(options->min_p > 0)) {
        return -INFINITY;
    }
    double lowest = (double)best + log((double)options->min_p);
    lowest -= 0.01 + 1e-6 * (fabs(lowest) + fabs((double)best));
    return (float)(lowest * (double)options->temperature);
}

/* Leaves the candidates that the settings keep, with their weights, at the front of the list. */
static uint32_t cut(sy_sampler *sampler, const float *logits, float best) {
    const sy_sampler_options *options = &sampler->options;
    candidate *list = sampler->candidates;
    uint32_t n = 0;
    if (options->top_k > 0 && options->top_k < sampler->n_vocabulary) {
        n = gather_best(sampler, logits, options->top_k, options->top_p < 1.0f);
        double sum = weigh(list, n, best);
        n = options->top_p < 1.0f ? cut_top_p(list, n, sum, (double)options->top_p) : n;
    } else if (options->top_p < 1.0f) {
        n = gather_top_p(sampler, logits, best);
    } else {
        n = gather(sampler, logits, lowest_wanted(options, best));
        weigh(list, n, best);
    }
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].probability >= (double)options->min_p) {
            list[n_kept++] = list[i];
        }
    }
    return n_kept;
}

bool sy__sampler_is_greedy(const sy_sampler *sampler) {
    return sampler == NULL || sampler->options.temperature == 0 || sampler->options.top_k == 1;
}

sy_status sy_sampler_draw(sy_sampler *sampler, const float *logits, int32_t *out_token,
                          sy_error *error) {
    int32_t best = 0;
    sy_status status = sy__greedy_token(logits, sampler->n_vocabulary, &best, error);
    if (status != SY_OK) {
        return status;
    }
    const sy_sampler_options *options = &sampler->options;
    if (sy__sampler_is_greedy(sampler) || isinf(logits[best])) {
        *out_token = best;
        return SY_OK;
    }
    uint32_t n = cut(sampler, logits, logits[best] / options->temperature);
    *out_token = pick(sampler->candidates, n, next_uniform(sampler->random));
    return SY_OK;
}

void sy_sampler_get_state(const sy_sampler *sampler, uint64_t out_state[4]) {
    memcpy(out_state, sampler->random, sizeof(sampler->random));
}

void sy_sampler_set_state(sy_sampler *sampler, const uint64_t state[4]) {
    memcpy(sampler->random, state, sizeof(sampler->random));
}
