/* SPDX-License-Identifier: Apache-2.0 */
/* Two INI layers: the device maker sets limits, the application may only narrow them. */
#include <switchyard/conf.h>
#include <switchyard/ini.h>
#include <switchyard/policy.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char board[] = "[order]\n"
                            "default = npu, cpu\n"
                            "[budget]\n"
                            "npu = 512 MiB\n"
                            "[policy]\n"
                            "fallback = allow\n";
static const char app[] = "[budget]\n"
                          "npu = 256 MiB\n";
static const char greedy_app[] = "[budget]\n"
                                 "npu = 2 GiB\n";

static sy_status read_layers(const char *app_text, sy_conf **out_conf, sy_error *error) {
    sy_conf_layer layers[2] = {
        {.level = SY_CONF_OEM, .path = "board.ini", .text = board, .n_text_bytes = strlen(board)},
        {.level = SY_CONF_APP, .path = "app.ini", .text = app_text},
    };
    layers[1].n_text_bytes = strlen(app_text);
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = layers;
    options.n_layers = 2;
    return sy_conf_create(&options, out_conf, error);
}

int main(void) {
    sy_error error;
    sy_conf *conf = NULL;
    if (read_layers(app, &conf, &error) != SY_OK) {
        printf("%s\n", error.message);
        return 1;
    }
    const sy_policy *policy = sy_conf_policy(conf);
    for (uint32_t i = 0; i < policy->n_budgets; i++) {
        const sy_policy_budget *budget = &policy->budgets[i];
        printf("%s may take %" PRIu64 " bytes (%s:%u)\n", budget->delegate, budget->limit_bytes,
               budget->source.file, budget->source.line);
    }
    sy_conf_destroy(conf);

    conf = NULL;
    sy_status status = read_layers(greedy_app, &conf, &error); /* widens what the board allows */
    char line[512];
    sy_error_format(&error, line, sizeof(line));
    printf("%s\n", status == SY_OK ? "accepted?" : line);
    sy_conf_destroy(conf);
    return status == SY_PERMISSION_DENIED ? 0 : 1;
}
