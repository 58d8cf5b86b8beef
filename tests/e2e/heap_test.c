/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No heap call between two steps: this program brings its own malloc family, which the whole
 * process uses, plugins and XNNPACK included, and counts calls while a trap is armed.
 */
#include "lora/adapter_file.h"
#include "switchyard/scheduler.h"

#include <errno.h>

extern void *__libc_malloc(size_t n);
extern void __libc_free(void *pointer);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *pointer, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

static int armed;
static uint64_t n_trapped;

static void trap(void) {
    if (__atomic_load_n(&armed, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&n_trapped, 1, __ATOMIC_RELAXED);
    }
}

void *malloc(size_t n) {
    trap();
    return __libc_malloc(n);
}
void free(void *pointer) {
    if (pointer != NULL) {
        trap();
    }
    __libc_free(pointer);
}
void *calloc(size_t n, size_t size) {
    trap();
    return __libc_calloc(n, size);
}
void *realloc(void *pointer, size_t n) {
    trap();
    return __libc_realloc(pointer, n);
}
void *aligned_alloc(size_t alignment, size_t n) {
    trap();
    return __libc_memalign(alignment, n);
}
int posix_memalign(void **out_pointer, size_t alignment, size_t n) {
    trap();
    *out_pointer = __libc_memalign(alignment, n);
    return *out_pointer != NULL ? 0 : ENOMEM;
}

static void decode_without_heap(uint32_t n_threads, const char *plugins) {
    static const int32_t prompt[7] = {1, 2, 3, 4, 5, 6, 7};
    engine_kit kit;
    sy_session *session = NULL;
    sy_sampler *sampler = NULL;
    int32_t token = 0;
    sy_sampler_options options;
    sy_sampler_options_default(&options);
    options.temperature = 1;
    options.top_k = 10;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, n_threads, plugins, NULL), kit.error);
    CHECK_OK(sy_session_open(kit.engine, 100, &session, &kit.error));
    CHECK_OK(sy_sampler_create(NULL, TINY_VOCAB, &options, &sampler, &kit.error));
    n_trapped = 0;
    armed = 1;
    sy_status status = sy_session_prefill(session, prompt, 7, &kit.error);
    for (int i = 0; status == SY_OK && i < 50; i++) {
        status = sy_session_decode(session, sampler, &token, &kit.error);
    }
    armed = 0;
    CHECK_OK_ERROR(status, kit.error);
    CHECK_TEXT(n_trapped == 0, "%llu heap calls in 51 steps", (unsigned long long)n_trapped);
    armed = 1;
    CHECK_OK(sy_session_rewind(session, 3, &kit.error));
    armed = 0;
    CHECK(n_trapped == 0);
    sy_limit_options limit = {
        .struct_bytes = sizeof(limit), .at_limit = SY_AT_LIMIT_SLIDE, .n_sink_tokens = 4};
    CHECK_OK(sy_session_set_limit(session, &limit, &kit.error));
    armed = 1;
    for (int i = 0; status == SY_OK && i < 250; i++) { /* slides three times */
        status = sy_session_decode(session, sampler, &token, &kit.error);
    }
    armed = 0;
    CHECK_OK_ERROR(status, kit.error);
    CHECK_TEXT(n_trapped == 0, "%llu heap calls while sliding", (unsigned long long)n_trapped);
    sy_sampler_destroy(sampler);
    sy_session_close(session);
    engine_kit_close(&kit);
}

/* Requests from their submission to their last callback, prompts in chunks beside decoding. */
static void schedule_without_heap(const char *plugins) {
    static const int32_t prompt[30] = {1, 2, 3, 4, 5, 6, 7};
    engine_kit kit;
    sy_session *sessions[4];
    sy_scheduler *scheduler = NULL;
    sy_engine_options options;
    uint64_t id = 0;
    sy_engine_options_default(&options);
    options.n_batch_tokens = 16;
    options.n_sequences = 3;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, 2, plugins, &options), kit.error);
    CHECK_OK(sy_scheduler_create(kit.engine, NULL, &scheduler, &kit.error));
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_OK(sy_session_open(kit.engine, 100, &sessions[i], &kit.error));
    }
    n_trapped = 0;
    armed = 1;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < 4; i++) {
        const sy_request_options request = {.struct_bytes = sizeof(request),
                                            .session = sessions[i],
                                            .tokens = prompt,
                                            .n_tokens = 7 * i + 1,
                                            .n_tokens_max = 20};
        status = sy_scheduler_submit(scheduler, &request, &id, &kit.error);
    }
    status = status == SY_OK ? sy_scheduler_run(scheduler, &kit.error) : status;
    armed = 0;
    CHECK_OK_ERROR(status, kit.error);
    CHECK_TEXT(n_trapped == 0, "%llu heap calls", (unsigned long long)n_trapped);
    for (uint32_t i = 0; i < 4; i++) {
        sy_session_close(sessions[i]);
    }
    sy_scheduler_destroy(scheduler);
    engine_kit_close(&kit);
}

/* Sessions with and without an adapter in one step, and a change of adapters between two steps. */
static void adapt_without_heap(const char *plugins) {
    engine_kit kit;
    sy_session *sessions[3];
    sy_sampler *samplers[3] = {NULL};
    sy_adapter *adapter = NULL;
    int32_t tokens[3] = {1, 2, 3};
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.n_sequences = 3;
    options.n_adapters = 1;
    options.adapter_rank = 8;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, 2, plugins, &options), kit.error);
    const char *path = adapter_good(1, 8, SY_TYPE_F32);
    CHECK_OK_ERROR(sy_adapter_load(kit.engine, path, &adapter, &kit.error), kit.error);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(sy_session_open(kit.engine, 100, &sessions[i], &kit.error));
    }
    n_trapped = 0;
    armed = 1;
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < 6; i++) {
        sy_session *session = sessions[i % 3];
        status = sy_session_rewind(session, 0, &kit.error);
        if (status == SY_OK) {
            status = sy_session_set_adapter(session, i % 2 == 0 ? adapter : NULL, 1, &kit.error);
        }
        if (status == SY_OK) {
            status = sy_session_prefill(session, tokens, 3, &kit.error);
        }
        if (status == SY_OK && i >= 3) {
            status = sy_session_decode_together(sessions, 3, samplers, tokens, &kit.error);
        }
    }
    armed = 0;
    CHECK_OK_ERROR(status, kit.error);
    CHECK_TEXT(n_trapped == 0, "%llu heap calls", (unsigned long long)n_trapped);
    for (uint32_t i = 0; i < 3; i++) {
        sy_session_close(sessions[i]);
    }
    engine_kit_close(&kit);
}

static void the_trap_works(void) {
    armed = 1;
    void *volatile pointer = malloc(10);
    armed = 0;
    free(pointer);
    CHECK(n_trapped == 1);
}

static void steps_on_the_reference_delegate_use_no_heap(void) {
    decode_without_heap(1, NULL);
    decode_without_heap(3, NULL);
    schedule_without_heap(NULL);
    adapt_without_heap(NULL);
}

static void steps_on_plugins_use_no_heap(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    decode_without_heap(1, built_plugins());
    decode_without_heap(3, built_plugins());
    schedule_without_heap(built_plugins());
    adapt_without_heap(built_plugins());
}

static const sy_test_case cases[] = {
    {"the_trap_works", the_trap_works},
    {"steps_on_the_reference_delegate_use_no_heap", steps_on_the_reference_delegate_use_no_heap},
    {"steps_on_plugins_use_no_heap", steps_on_plugins_use_no_heap},
};
SY_TEST_MAIN(cases)
