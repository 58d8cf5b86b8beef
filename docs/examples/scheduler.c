/* SPDX-License-Identifier: Apache-2.0 */
/* Three prompts answered in shared steps: example_scheduler MODEL.gguf */
#include <switchyard/scheduler.h>

#include <stdio.h>
#include <string.h>

#define N_PROMPTS 3u

/* One request: what it borrows stays here until its last event. */
typedef struct job {
    sy_session *session;
    int32_t tokens[32];
    char text[256];
} job;

static int collect(void *user, const sy_request_event *event) {
    job *j = user;
    size_t n = strlen(j->text), n_free = sizeof(j->text) - 1 - n;
    memcpy(j->text + n, event->text, event->n_bytes < n_free ? event->n_bytes : n_free);
    return 0; /* anything else would stop this request */
}

static sy_status submit(sy_engine *engine, sy_scheduler *scheduler, const char *prompt, job *j,
                        sy_error *error) {
    size_t n_tokens = 0;
    uint64_t id = 0;
    sy_status status = sy_tokenizer_encode(sy_engine_tokenizer(engine), prompt, strlen(prompt),
                                           SY_ENCODE_ADD_SPECIAL, j->tokens, 32, &n_tokens, error);
    if (status == SY_OK) {
        status = sy_session_open(engine, 64, &j->session, error);
    }
    const sy_request_options options = {.struct_bytes = sizeof(options),
                                        .session = j->session,
                                        .tokens = j->tokens,
                                        .n_tokens = (uint32_t)n_tokens,
                                        .n_tokens_max = 12,
                                        .callback = collect,
                                        .user = j};
    return status == SY_OK ? sy_scheduler_submit(scheduler, &options, &id, error) : status;
}

static sy_status work(sy_engine *engine, sy_scheduler *scheduler, job *jobs, sy_error *error) {
    static const char *const prompts[N_PROMPTS] = {"Turn on", "The weather", "Once upon a time"};
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < N_PROMPTS; i++) {
        status = submit(engine, scheduler, prompts[i], &jobs[i], error);
    }
    if (status == SY_OK) { /* every step reads the weights once for all three */
        status = sy_scheduler_run(scheduler, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < N_PROMPTS; i++) {
        printf("%s ...%s\n", prompts[i], jobs[i].text);
    }
    return status;
}

int main(int argc, char **argv) {
    sy_error error;
    sy_runtime *runtime = NULL;
    sy_engine *engine = NULL;
    sy_scheduler *scheduler = NULL;
    job jobs[N_PROMPTS] = {{.session = NULL}};
    sy_engine_options options;
    if (argc < 2) {
        puts("usage: example_scheduler MODEL.gguf");
        return 2;
    }
    sy_error_clear(&error);
    sy_engine_options_default(&options);
    options.n_sequences = N_PROMPTS; /* what one step can carry */
    sy_status status = sy_runtime_create(NULL, &runtime, &error);
    if (status == SY_OK) {
        status = sy_engine_create(runtime, argv[1], &options, &engine, &error);
    }
    if (status == SY_OK) {
        status = sy_scheduler_create(engine, NULL, &scheduler, &error);
    }
    if (status == SY_OK) {
        status = work(engine, scheduler, jobs, &error);
    }
    if (status != SY_OK) {
        puts(error.message);
    }
    sy_scheduler_destroy(scheduler); /* ends what is left, before its sessions go */
    for (uint32_t i = 0; i < N_PROMPTS; i++) {
        sy_session_close(jobs[i].session);
    }
    sy_engine_destroy(engine);
    sy_runtime_destroy(runtime);
    return status == SY_OK ? 0 : 1;
}
