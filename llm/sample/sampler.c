/* SPDX-License-Identifier: Apache-2.0 */
#include "switchyard/sampler.h"

#include "base/memory.h"
#include "sample/greedy.h"

#include <math.h>
#include <string.h>

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

/* Sorts the best n_wanted of n to the front, in order: a heap whose root is the worst kept one. */
static void select_best(candidate *list, uint32_t n, uint32_t n_wanted) {
    for (uint32_t i = n_wanted / 2; i-- > 0;) {
        sift_down(list, n_wanted, i);
    }
    for (uint32_t i = n_wanted; i < n; i++) {
        if (before(&list[i], &list[0])) {
            candidate swap = list[0];
            list[0] = list[i];
            list[i] = swap;
            sift_down(list, n_wanted, 0);
        }
    }
    for (uint32_t n_left = n_wanted; n_left > 1;) {
        n_left--;
        candidate swap = list[0];
        list[0] = list[n_left];
        list[n_left] = swap;
        sift_down(list, n_left, 0);
    }
}

sy_status sy__greedy_token(const float *logits, uint32_t n, int32_t *out_token, sy_error *error) {
    int32_t best = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best])) {
            best = (int32_t)i;
        }
    }
    if (best < 0) {
        return sy_error_set(error, SY_DATA_LOSS, "No logit is a number, so no token can be drawn.");
    }
    *out_token = best;
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

static uint32_t gather(sy_sampler *sampler, const float *logits) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < sampler->n_vocabulary; i++) {
        if (!isnan(logits[i]) && logits[i] > -INFINITY) {
            sampler->candidates[n].logit = logits[i] / sampler->options.temperature;
            sampler->candidates[n].token = (int32_t)i;
            n++;
        }
    }
    return n;
}

sy_status sy_sampler_draw(sy_sampler *sampler, const float *logits, int32_t *out_token,
                          sy_error *error) {
    int32_t best = 0;
    sy_status status = sy__greedy_token(logits, sampler->n_vocabulary, &best, error);
    if (status != SY_OK) {
        return status;
    }
    const sy_sampler_options *options = &sampler->options;
    if (options->temperature == 0 || options->top_k == 1 || isinf(logits[best])) {
        *out_token = best;
        return SY_OK;
    }
    candidate *list = sampler->candidates;
    uint32_t n = gather(sampler, logits);
    float best_logit = logits[best] / options->temperature;
    if (options->top_k > 0 && options->top_k < n) {
        select_best(list, n, options->top_k);
        n = options->top_k;
    } else if (options->top_p < 1.0f) {
        select_best(list, n, n);
    }
    double sum = weigh(list, n, best_logit);
    if (options->top_p < 1.0f) {
        n = cut_top_p(list, n, sum, (double)options->top_p);
    }
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].probability >= (double)options->min_p) {
            list[n_kept++] = list[i];
        }
    }
    *out_token = pick(list, n_kept, next_uniform(sampler->random));
    return SY_OK;
}

void sy_sampler_get_state(const sy_sampler *sampler, uint64_t out_state[4]) {
    memcpy(out_state, sampler->random, sizeof(sampler->random));
}

void sy_sampler_set_state(sy_sampler *sampler, const uint64_t state[4]) {
    memcpy(sampler->random, state, sizeof(sampler->random));
}
