/* SPDX-License-Identifier: Apache-2.0 */
/* From logits to tokens: greedy, and with a temperature and a seed. */
#include <switchyard/sampler.h>

#include <stdio.h>

static const float logits[] = {1.0f, 3.0f, 2.5f, -1.0f};

static int draw(const sy_sampler_options *options, int32_t out_tokens[8]) {
    sy_error error;
    sy_sampler *sampler = NULL;
    sy_status status = sy_sampler_create(NULL, 4, options, &sampler, &error);
    for (int i = 0; status == SY_OK && i < 8; i++) {
        status = sy_sampler_draw(sampler, logits, &out_tokens[i], &error);
        printf(" %d", out_tokens[i]);
    }
    printf("\n");
    sy_sampler_destroy(sampler);
    return status == SY_OK;
}

int main(void) {
    int32_t greedy[8];
    int32_t first[8];
    int32_t again[8];
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    if (!draw(&options, greedy)) {
        return 1;
    }
    options.temperature = 1.0f;
    options.top_k = 3;
    options.seed = 42;
    if (!draw(&options, first) || !draw(&options, again)) {
        return 1;
    }
    for (int i = 0; i < 8; i++) { /* same seed, same tokens; top_k 3 never draws the worst */
        if (greedy[i] != 1 || first[i] != again[i] || first[i] == 3) {
            return 1;
        }
    }
    return 0;
}
