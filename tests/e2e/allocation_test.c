/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails in turn during load, plan, session and one step: a clean status each time,
 * nothing leaked, and success once memory is there again. */
#include "e2e/engine_model.h"

typedef struct failing {
    sy_allocator allocator;
    uint64_t n_calls, fail_at;
    int64_t live_bytes;
} failing;

static void *fail_nth(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                      size_t alignment_bytes) {
    failing *f = self;
    const sy_allocator *heap = sy_allocator_heap();
    if (new_bytes > 0 && __atomic_add_fetch(&f->n_calls, 1, __ATOMIC_RELAXED) == f->fail_at) {
        return NULL;
    }
    void *moved = heap->reallocate(heap->self, pointer, old_bytes, new_bytes, alignment_bytes);
    int64_t change = (int64_t)new_bytes - (pointer != NULL ? (int64_t)old_bytes : 0);
    if (moved != NULL || new_bytes == 0) {
        __atomic_add_fetch(&f->live_bytes, change, __ATOMIC_RELAXED);
    }
    return moved;
}

static bool needs_tokenizer;

/* Sessions that share a prefix, fork, drop tokens and go their ways. */
static sy_status sessions_way(sy_engine *engine, sy_sampler *sampler, sy_error *error) {
    static const int32_t prompt[40] = {1, 2, 3, 4, 5, 4, 3, 2, 1};
    static const sy_token_range range = {2, 5};
    sy_session *session = NULL, *second = NULL, *forks[2] = {NULL, NULL};
    int32_t token = 0;
    sy_status status = sy_session_open(engine, 60, &session, error);
    if (status == SY_OK) {
        status = sy_session_prefill(session, prompt, 40, error);
    }
    if (status == SY_OK) {
        status = sy_session_decode(session, sampler, &token, error);
    }
    if (status == SY_OK) {
        status = sy_session_fork(session, 0, 2, forks, error);
    }
    if (status == SY_OK) {
        status = sy_session_drop(forks[0], &range, 1, error);
    }
    if (status == SY_OK) {
        status = sy_session_rewind(forks[1], 3, error);
    }
    if (status == SY_OK) {
        status = sy_session_decode(forks[1], sampler, &token, error);
    }
    if (status == SY_OK) {
        status = sy_session_open(engine, 60, &second, error);
    }
    if (status == SY_OK) {
        status = sy_session_prefill(second, prompt, 40, error);
    }
    sy_session_close(second);
    sy_session_close(forks[0]);
    sy_session_close(forks[1]);
    sy_session_close(session);
    return status;
}

static sy_status whole_way(const sy_allocator *allocator, const char *plugins, sy_error *error) {
    engine_kit kit;
    sy_sampler *sampler = NULL;
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.prefix_bytes = (uint64_t)8 << 20;
    sy_status status = engine_kit_open(&kit, allocator, 1, plugins, &options);
    *error = kit.error;
    CHECK(status != SY_OK || !needs_tokenizer || sy_engine_tokenizer(kit.engine) != NULL);
    if (status == SY_OK) {
        status = sy_sampler_create(allocator, sy_engine_info(kit.engine)->n_vocabulary, NULL,
                                   &sampler, error);
    }
    if (status == SY_OK) {
        status = sessions_way(kit.engine, sampler, error);
    }
    sy_sampler_destroy(sampler);
    engine_kit_close(&kit);
    return status;
}

/* Plugins may be listed as broken when memory is short while they load: the way then still ends
 * well on the reference delegate. */
static uint64_t fail_each(const char *plugins) {
    uint64_t n_failed = 0;
    for (uint64_t n = 1;; n++) {
        failing f = {.fail_at = n};
        sy_error error;
        sy_error_clear(&error);
        f.allocator = (sy_allocator){.reallocate = fail_nth, .self = &f};
        sy_status status = whole_way(&f.allocator, plugins, &error);
        CHECK_TEXT(f.live_bytes == 0, "%lld bytes leaked when allocation %llu fails",
                   (long long)f.live_bytes, (unsigned long long)n);
        if (f.n_calls < n) {
            CHECK_OK_ERROR(status, error);
            break;
        }
        CHECK_TEXT(status == SY_OK || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED,
                   "allocation %llu: %s", (unsigned long long)n, error.message);
        CHECK(status == SY_OK || error.message[0] != '\0');
        n_failed += status != SY_OK;
    }
    sy_error error;
    CHECK_OK_ERROR(whole_way(NULL, plugins, &error), error);
    return n_failed;
}

static void every_allocation_fails_on_the_reference_delegate(void) {
    uint64_t n = fail_each(NULL);
    CHECK_TEXT(n > 100, "%llu", (unsigned long long)n);
    printf("%llu allocations refused in turn\n", (unsigned long long)n);
}

static void every_allocation_fails_with_plugins(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    uint64_t n = fail_each(built_plugins());
    printf("%llu allocations refused in turn\n", (unsigned long long)n);
}

/* With a vocabulary: a refused allocation must not look like a file without one. */
static void every_allocation_fails_with_a_vocabulary(void) {
    const char *source = getenv("SY_SOURCE_DIR");
    char path[512];
    snprintf(path, sizeof(path), "%s/models/actions/actions-q8_0.gguf",
             source != NULL ? source : "");
    if (access(path, R_OK) != 0) {
        SKIP("the shipped model is not here");
    }
    engine_model_instead = path;
    needs_tokenizer = true;
    uint64_t n = fail_each(NULL);
    printf("%llu allocations refused in turn\n", (unsigned long long)n);
}

static const sy_test_case cases[] = {
    {"every_allocation_fails_with_a_vocabulary", every_allocation_fails_with_a_vocabulary},
    {"every_allocation_fails_on_the_reference_delegate",
     every_allocation_fails_on_the_reference_delegate},
    {"every_allocation_fails_with_plugins", every_allocation_fails_with_plugins},
};
SY_TEST_MAIN(cases)
