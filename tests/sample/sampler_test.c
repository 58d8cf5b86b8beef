/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling against the distributions that the settings define. */
#include "harness.h"
#include "switchyard/sampler.h"

#include <stdbool.h>

#define N 8u
#define N_DRAWS 40000

static const float logits[N] = {1.0f, 2.5f, -1.0f, 2.5f, 0.0f, 3.0f, -4.0f, 1.5f};

static sy_sampler *new_sampler(float temperature, uint32_t top_k, float top_p, float min_p,
                               uint64_t seed) {
    sy_sampler *sampler = NULL;
    sy_error error;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = temperature;
    options.top_k = top_k;
    options.top_p = top_p;
    options.min_p = min_p;
    options.seed = seed;
    CHECK_OK_ERROR(sy_sampler_create(NULL, N, &options, &sampler, &error), error);
    return sampler;
}

static int32_t draw(sy_sampler *sampler, const float *row) {
    int32_t token = -1;
    sy_error error;
    CHECK_OK_ERROR(sy_sampler_draw(sampler, row, &token, &error), error);
    return token;
}

/* Draws many and compares frequencies with probabilities (0 where a cut removes the token). */
static void expect(sy_sampler *sampler, const double *weights) {
    uint32_t counts[N] = {0};
    double sum = 0;
    for (uint32_t i = 0; i < N; i++) {
        sum += weights[i];
    }
    for (int i = 0; i < N_DRAWS; i++) {
        counts[draw(sampler, logits)]++;
    }
    for (uint32_t i = 0; i < N; i++) {
        double p = weights[i] / sum, deviation = sqrt(p * (1 - p) / N_DRAWS);
        double found = (double)counts[i] / N_DRAWS;
        CHECK_TEXT(fabs(found - p) <= 5 * deviation, "token %u: %g instead of %g", i, found, p);
    }
    sy_sampler_destroy(sampler);
}

static void softmax(double temperature, double *out_weights) {
    for (uint32_t i = 0; i < N; i++) {
        out_weights[i] = exp((double)logits[i] / temperature);
    }
}

static void greedy_takes_the_highest_and_lowest_id_at_a_tie(void) {
    static const float tie[N] = {0, 5, 1, 5, NAN, 2, 3, 4};
    sy_sampler *sampler = new_sampler(0, 0, 1, 0, 1);
    CHECK(draw(sampler, logits) == 5 && draw(sampler, tie) == 1);
    sy_sampler_destroy(sampler);
}

static void temperature_shapes_the_distribution(void) {
    static const float temperatures[] = {0.5f, 1.0f, 2.0f};
    for (size_t t = 0; t < 3; t++) {
        double weights[N];
        softmax((double)temperatures[t], weights);
        expect(new_sampler(temperatures[t], 0, 1, 0, 11 + t), weights);
    }
}

static void top_k_keeps_the_likeliest(void) {
    double weights[N];
    softmax(1, weights);
    for (uint32_t i = 0; i < N; i++) { /* the three best are 5, 1, 3 */
        weights[i] = i == 5 || i == 1 || i == 3 ? weights[i] : 0;
    }
    expect(new_sampler(1, 3, 1, 0, 21), weights);
    softmax(1, weights);
    for (uint32_t i = 0; i < N; i++) { /* of two equal ones the lower id stays */
        weights[i] = i == 5 || i == 1 ? weights[i] : 0;
    }
    expect(new_sampler(1, 2, 1, 0, 22), weights);
}

static void top_p_keeps_the_smallest_set(void) {
    double weights[N], sum = 0;
    softmax(1, weights);
    for (uint32_t i = 0; i < N; i++) {
        sum += weights[i];
    }
    double two = (weights[5] + weights[1]) / sum;
    for (uint32_t i = 0; i < N; i++) {
        weights[i] = i == 5 || i == 1 || i == 3 ? weights[i] : 0;
    }
    expect(new_sampler(1, 0, (float)two + 0.01f, 0, 31), weights);
    weights[3] = 0;
    expect(new_sampler(1, 0, (float)two - 0.01f, 0, 32), weights);
}

static void min_p_drops_the_unlikely(void) {
    double weights[N], best = exp(3.0);
    softmax(1, weights);
    for (uint32_t i = 0; i < N; i++) {
        weights[i] = weights[i] / best >= 0.2 ? weights[i] : 0;
    }
    CHECK(weights[7] > 0 && weights[0] == 0);
    expect(new_sampler(1, 0, 1, 0.2f, 41), weights);
}

static void seeds_and_states_repeat(void) {
    sy_sampler *a = new_sampler(1, 0, 1, 0, 5), *b = new_sampler(1, 0, 1, 0, 5);
    sy_sampler *c = new_sampler(1, 0, 1, 0, 6);
    bool differs = false;
    uint64_t state[4];
    for (int i = 0; i < 100; i++) {
        int32_t token = draw(a, logits);
        CHECK(token == draw(b, logits));
        differs = differs || token != draw(c, logits);
    }
    CHECK(differs);
    sy_sampler_get_state(a, state);
    sy_sampler_set_state(c, state);
    for (int i = 0; i < 100; i++) {
        CHECK(draw(a, logits) == draw(c, logits));
    }
    sy_sampler_destroy(a);
    sy_sampler_destroy(b);
    sy_sampler_destroy(c);
}

static void bad_logits_and_settings_get_a_sentence(void) {
    static const float none[N] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    static const float wild[N] = {NAN, -INFINITY, INFINITY, 1, NAN, -INFINITY, 2, 3};
    sy_sampler *sampler = new_sampler(1, 0, 0.9f, 0, 1), *refused = NULL;
    sy_error error;
    int32_t token = 0;
    CHECK(sy_sampler_draw(sampler, none, &token, &error) == SY_DATA_LOSS);
    CHECK(error.message[0] != '\0' && draw(sampler, wild) == 2);
    sy_sampler_destroy(sampler);
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = NAN;
    CHECK(sy_sampler_create(NULL, N, &options, &refused, &error) == SY_INVALID_ARGUMENT);
    sy_sampler_options_default(&options);
    options.top_p = 0;
    CHECK(sy_sampler_create(NULL, N, &options, &refused, &error) == SY_INVALID_ARGUMENT);
    sy_sampler_options_default(&options);
    options.min_p = 1.5f;
    CHECK(sy_sampler_create(NULL, N, &options, &refused, &error) == SY_INVALID_ARGUMENT);
}

static const sy_test_case cases[] = {
    {"greedy_takes_the_highest_and_lowest_id_at_a_tie",
     greedy_takes_the_highest_and_lowest_id_at_a_tie},
    {"temperature_shapes_the_distribution", temperature_shapes_the_distribution},
    {"top_k_keeps_the_likeliest", top_k_keeps_the_likeliest},
    {"top_p_keeps_the_smallest_set", top_p_keeps_the_smallest_set},
    {"min_p_drops_the_unlikely", min_p_drops_the_unlikely},
    {"seeds_and_states_repeat", seeds_and_states_repeat},
    {"bad_logits_and_settings_get_a_sentence", bad_logits_and_settings_get_a_sentence},
};
SY_TEST_MAIN(cases)
