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

/* What the settings keep, by the plainest means: sort all, cut, count. */
static uint32_t plain_top(const float *row, uint32_t n, uint32_t top_k, int32_t *out_tokens) {
    uint32_t n_out = 0;
    for (uint32_t k = 0; k < top_k; k++) {
        int32_t best = -1;
        for (uint32_t i = 0; i < n; i++) {
            bool taken = !(row[i] > -INFINITY);
            for (uint32_t t = 0; t < n_out; t++) {
                taken = taken || out_tokens[t] == (int32_t)i;
            }
            best = !taken && (best < 0 || row[i] > row[best]) ? (int32_t)i : best;
        }
        if (best >= 0) {
            out_tokens[n_out++] = best;
        }
    }
    return n_out;
}

/* Rows of every length around the width of the vector loops, with ties, NaN and infinities. */
static void long_rows_are_cut_like_short_ones(void) {
    enum { LONGEST = 203, TOP = 5 };
    static float row[LONGEST];
    uint32_t state = 7;
    for (uint32_t n = 1; n <= LONGEST; n++) {
        for (uint32_t i = 0; i < n; i++) {
            state = state * 1664525u + 1013904223u;
            uint32_t r = state >> 16;
            row[i] = r % 31 == 0 ? NAN : r % 17 == 0 ? -INFINITY : (float)(r % 40) - 20.0f;
        }
        row[n - 1] = n % 3 == 0 ? 30.0f : 0.0f;
        int32_t wanted[TOP], token = -1;
        uint32_t n_wanted = plain_top(row, n, TOP, wanted), n_seen = 0;
        sy_sampler_options options;
        sy_sampler_options_default(&options);
        sy_sampler *greedy = NULL, *top = NULL;
        CHECK_OK(sy_sampler_create(NULL, n, &options, &greedy, NULL));
        options.temperature = 1000; /* so flat that each token comes */
        options.top_k = TOP;
        CHECK_OK(sy_sampler_create(NULL, n, &options, &top, NULL));
        CHECK(sy_sampler_draw(greedy, row, &token, NULL) == SY_OK && token == wanted[0]);
        bool seen[TOP] = {false};
        for (int d = 0; d < 200; d++) {
            CHECK_OK(sy_sampler_draw(top, row, &token, NULL));
            uint32_t k = 0;
            while (k < n_wanted && wanted[k] != token) {
                k++;
            }
            CHECK_TEXT(k < n_wanted, "%u tokens: %d is not among the best", n, (int)token);
            n_seen += k < n_wanted && !seen[k];
            seen[k < n_wanted ? k : 0] = true;
        }
        CHECK_TEXT(n <= TOP || n_seen == n_wanted, "%u tokens: %u of %u drawn", n, n_seen,
                   n_wanted);
        sy_sampler_destroy(greedy);
        sy_sampler_destroy(top);
    }
}

/* Rows that are searched in pieces: the highest at their borders, ties between pieces, pieces of
 * nothing but NaN. */
static void the_highest_of_a_long_row_is_found(void) {
    enum { MANY = 3 * 4096 + 77 };
    static const uint32_t places[] = {0, 1, 4095, 4096, 4127, 8191, 8192, 12287, 12288, MANY - 1};
    static float row[MANY];
    sy_sampler *greedy = NULL;
    CHECK_OK(sy_sampler_create(NULL, MANY, NULL, &greedy, NULL));
    for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
        int32_t token = -1, place = (int32_t)places[p];
        for (uint32_t i = 0; i < MANY; i++) {
            row[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : -2.0f;
        }
        row[place] = -1.0f;
        CHECK(sy_sampler_draw(greedy, row, &token, NULL) == SY_OK && token == place);
        row[MANY - 1] = -1.0f; /* the lower id comes first */
        CHECK(sy_sampler_draw(greedy, row, &token, NULL) == SY_OK && token == place);
        for (int32_t i = 0; i < MANY; i++) {
            row[i] = i == place ? -INFINITY : NAN;
        }
        CHECK(sy_sampler_draw(greedy, row, &token, NULL) == SY_OK && token == place);
    }
    row[MANY - 1] = NAN;
    int32_t token = 0;
    CHECK(sy_sampler_draw(greedy, row, &token, NULL) == SY_DATA_LOSS);
    sy_sampler_destroy(greedy);
}

/* A flat row: top-p needs more tokens than are sorted at first. */
static void top_p_of_a_flat_row_keeps_its_share(void) {
    enum { MANY = 6000 };
    static float row[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        row[i] = -(float)i * 1e-6f;
    }
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = 1;
    options.top_p = 0.5f;
    sy_sampler *sampler = NULL;
    CHECK_OK(sy_sampler_create(NULL, MANY, &options, &sampler, NULL));
    int32_t token = 0, largest = 0;
    for (int d = 0; d < 300; d++) {
        CHECK_OK(sy_sampler_draw(sampler, row, &token, NULL));
        largest = token > largest ? token : largest;
    }
    CHECK_TEXT(largest < MANY / 2 && largest > MANY / 2 - 200, "largest token %d", (int)largest);
    sy_sampler_destroy(sampler);
}

static const sy_test_case cases[] = {
    {"greedy_takes_the_highest_and_lowest_id_at_a_tie",
     greedy_takes_the_highest_and_lowest_id_at_a_tie},
    {"temperature_shapes_the_distribution", temperature_shapes_the_distribution},
    {"top_k_keeps_the_likeliest", top_k_keeps_the_likeliest},
    {"top_p_keeps_the_smallest_set", top_p_keeps_the_smallest_set},
    {"min_p_drops_the_unlikely", min_p_drops_the_unlikely},
    {"seeds_and_states_repeat", seeds_and_states_repeat},
    {"long_rows_are_cut_like_short_ones", long_rows_are_cut_like_short_ones},
    {"the_highest_of_a_long_row_is_found", the_highest_of_a_long_row_is_found},
    {"top_p_of_a_flat_row_keeps_its_share", top_p_of_a_flat_row_keeps_its_share},
    {"bad_logits_and_settings_get_a_sentence", bad_logits_and_settings_get_a_sentence},
};
SY_TEST_MAIN(cases)
