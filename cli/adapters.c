/* SPDX-License-Identifier: Apache-2.0 */
#include "adapters.h"

#include "switchyard/limits.h"

#include <stdlib.h>
#include <string.h>

sy_cli_option sy_cli_adapters_flag(sy_cli_adapters *adapters) {
    return (sy_cli_option){"lora",
                           0,
                           NULL,
                           SY_CLI_LIST,
                           &adapters->given,
                           "FILE[=SCALE]",
                           0,
                           0,
                           "adapter to use beside the model (GGUF or peft's folder); may be given "
                           "several times",
                           NULL};
}

/* "a.gguf=0.5"; a name may hold '=' itself, so only a number behind the last one is a scale. */
static sy_status split(const char *text, char *out_path, size_t n_path, float *out_scale,
                       sy_error *error) {
    const char *equals = strrchr(text, '=');
    size_t n = strlen(text);
    char *end = NULL;
    *out_scale = 1.0f;
    if (equals != NULL && equals[1] != '\0') {
        float scale = strtof(equals + 1, &end);
        if (*end == '\0') {
            *out_scale = scale;
            n = (size_t)(equals - text);
        }
    }
    if (n == 0 || n >= n_path) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "\"%s\" names no adapter's file.", text);
    }
    memcpy(out_path, text, n);
    out_path[n] = '\0';
    return SY_OK;
}

sy_status sy_cli_adapters_plan(sy_cli_adapters *adapters, sy_cli_engine *engine_flags,
                               sy_error *error) {
    sy_status status = SY_OK;
    if (adapters->given.n > SY_LIMIT_ADAPTERS_PER_SEQUENCE) {
        return sy_error_set(error, SY_OUT_OF_RANGE, "At most %u adapters can be given.",
                            SY_LIMIT_ADAPTERS_PER_SEQUENCE);
    }
    for (uint32_t i = 0; status == SY_OK && i < adapters->given.n; i++) {
        sy_adapter_facts facts;
        status = split(adapters->given.items[i], adapters->paths[i], sizeof(adapters->paths[i]),
                       &adapters->scales[i], error);
        if (status == SY_OK) {
            status = sy_adapter_read_facts(NULL, adapters->paths[i], &facts, error);
        }
        if (status == SY_OK && facts.rank > engine_flags->adapter_rank) {
            engine_flags->adapter_rank = facts.rank;
        }
    }
    engine_flags->n_adapters = adapters->given.n;
    return status;
}

sy_status sy_cli_adapters_load(sy_cli_adapters *adapters, sy_engine *engine, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < adapters->given.n; i++) {
        status = sy_adapter_load(engine, adapters->paths[i], &adapters->loaded[i], error);
    }
    return status;
}

sy_status sy_cli_adapters_use(const sy_cli_adapters *adapters, sy_session *session,
                              sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < adapters->given.n; i++) {
        status = sy_session_add_adapter(session, adapters->loaded[i], adapters->scales[i], error);
    }
    return status;
}
