/* SPDX-License-Identifier: Apache-2.0 */
/* The whole way: configuration, plugins, model, question, answer: example_hello MODEL.gguf
 * [QUESTION [PLUGIN_FOLDER]] */
#include <switchyard/switchyard.h>

#include <stdio.h>

typedef struct app {
    sy_conf *conf;
    sy_runtime *runtime;
    sy_registry *registry;
    sy_engine *engine;
    sy_session *session;
    sy_conversation *conversation;
} app;

static int print(void *user, const char *text, size_t n_bytes, sy_finish finish) {
    (void)user;
    printf("%.*s%s", (int)n_bytes, text, finish != SY_FINISH_NONE ? "\n" : "");
    return 0;
}

static sy_status open_delegates(app *self, const char *folder, sy_error *error) {
    sy_registry_options options;
    sy_registry_options_default(&options);
    options.directories = &folder;
    options.n_directories = folder != NULL ? 1 : 0;
    sy_status status = sy_conf_create(NULL, &self->conf, error);
    if (status == SY_OK) {
        status = sy_runtime_create(NULL, &self->runtime, error);
    }
    options.conf = self->conf;
    if (status == SY_OK) { /* plugins that cannot be used are listed, not an error */
        status = sy_registry_open(self->runtime, &options, &self->registry, error);
    }
    return status;
}

static sy_status open_model(app *self, const char *path, sy_error *error) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.policy = sy_conf_policy(self->conf);
    sy_status status = sy_engine_create(self->runtime, path, &options, &self->engine, error);
    if (status == SY_OK) {
        status = sy_session_open(self->engine, 0, &self->session, error);
    }
    if (status == SY_OK) {
        status = sy_conversation_create(self->session, NULL, &self->conversation, error);
    }
    return status;
}

static sy_status ask(app *self, const char *question, sy_error *error) {
    sy_generate_result result;
    sy_generate_options options = {
        .struct_bytes = sizeof(options), .n_tokens_max = 64, .stream = print};
    sy_status status = sy_conversation_add_user(self->conversation, question, error);
    if (status == SY_OK) {
        status = sy_conversation_answer(self->conversation, NULL, &options, &result, error);
    }
    return status;
}

static void close_all(app *self) { /* in the reverse order; NULL is fine everywhere */
    sy_conversation_destroy(self->conversation);
    sy_session_close(self->session);
    sy_engine_destroy(self->engine);
    sy_registry_close(self->registry);
    sy_runtime_destroy(self->runtime);
    sy_conf_destroy(self->conf);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        puts("usage: example_hello MODEL.gguf [QUESTION [PLUGIN_FOLDER]]");
        return 2;
    }
    app self = {0};
    sy_error error;
    sy_error_clear(&error);
    sy_status status = open_delegates(&self, argc > 3 ? argv[3] : NULL, &error);
    if (status == SY_OK) {
        status = open_model(&self, argv[1], &error);
    }
    if (status == SY_OK) {
        status = ask(&self, argc > 2 ? argv[2] : "wake me at quarter to seven", &error);
    }
    if (status != SY_OK) {
        char line[640];
        sy_error_format(&error, line, sizeof(line));
        printf("%s\n", line);
    }
    close_all(&self);
    return status == SY_OK ? 0 : 1;
}
