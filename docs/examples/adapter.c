/* SPDX-License-Identifier: Apache-2.0 */
/* Two sessions of one model, one with an adapter: example_adapter MODEL [ADAPTER] */
#include <switchyard/adapter.h>

#include <stdio.h>

static sy_status first_token(sy_engine *engine, sy_adapter *adapter, sy_error *error) {
    static const int32_t prompt[3] = {1, 2, 3};
    sy_session *session = NULL;
    int32_t token = 0;
    sy_status status = sy_session_open(engine, 16, &session, error);
    if (status == SY_OK) { /* NULL: the model as it is */
        status = sy_session_set_adapter(session, adapter, 1.0f, error);
    }
    if (status == SY_OK) {
        status = sy_session_prefill(session, prompt, 3, error);
    }
    if (status == SY_OK) {
        status = sy_session_decode(session, NULL, &token, error);
    }
    if (status == SY_OK) {
        printf("%s: token %d\n", adapter != NULL ? "with the adapter" : "without", (int)token);
    }
    sy_session_close(session);
    return status;
}

static sy_status run(sy_runtime *runtime, const char *model, const char *path, sy_error *error) {
    sy_engine *engine = NULL;
    sy_adapter *adapter = NULL;
    sy_adapter_facts facts = {.rank = 16};
    sy_engine_options options;
    sy_engine_options_default(&options);
    sy_status status = SY_OK;
    if (path != NULL) {
        status = sy_adapter_read_facts(NULL, path, &facts, error);
    }
    options.n_adapters = 1;
    options.adapter_rank = facts.rank;
    if (status == SY_OK) {
        status = sy_engine_create(runtime, model, &options, &engine, error);
    }
    if (status == SY_OK) {
        status = first_token(engine, NULL, error);
    }
    if (status == SY_OK && path != NULL) {
        status = sy_adapter_load(engine, path, &adapter, error);
        status = status == SY_OK ? first_token(engine, adapter, error) : status;
    }
    sy_engine_destroy(engine); /* and its adapters */
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    if (argc < 2) {
        printf("usage: example_adapter MODEL [ADAPTER]\n");
        return 0;
    }
    sy_error_clear(&error);
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = run(runtime, argv[1], argc > 2 ? argv[2] : NULL, &error);
    }
    if (status != SY_OK) {
        printf("%s\n", error.message);
    }
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
