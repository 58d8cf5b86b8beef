/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine under random calls in any order: sessions are opened, filled, forked, cut back, slid,
 * pruned, saved, loaded, scored, scheduled and refused within a budget. At any time a session must
 * have the bits of one that is made again from nothing (soak_model.h), the heap must lie within the
 * budget, and with all sessions closed it must be where it was; the resident set must not grow.
 *
 * SY_SOAK_OPERATIONS and SY_SOAK_SEED choose how many calls and which (docs/sessions.md).
 */
#include "soak/soak_calls.h"

/* Without sessions and prefixes nothing is reserved, and the heap is where it was. */
static void close_all(soak *k) {
    sy_engine_memory memory;
    tell(k, "close all");
    for (uint32_t i = 0; i < PLACES; i++) {
        close_place(&k->places[i]);
    }
    sy__prefix_shrink(k->kit.engine->prefixes, 0);
    sy_engine_get_memory(k->kit.engine, 0, &memory);
    CHECK_TEXT(memory.reserved_bytes == 0, "%llu bytes stay reserved",
               (unsigned long long)memory.reserved_bytes);
    CHECK_TEXT(k->heap.used_bytes == k->heap_closed, "%lld bytes of heap are not given back",
               (long long)(k->heap.used_bytes - k->heap_closed));
}

static void operate(soak *k) {
    place *p = &k->places[below(k, PLACES)];
    k->trace[k->i_operation % TRACE][0] = '\0';
    tell(k, "place %u: ", (unsigned)(p - k->places));
    if (p->session == NULL) {
        open_session(k, p);
        return;
    }
    if (p->model.n_history + SOAK_HISTORY_A_CALL > SOAK_HISTORY) {
        tell(k, "close, with a long history");
        close_place(p);
        return;
    }
    static void (*const of_one[])(soak * soaked, place * where) = {
        prefill, prefill,        decode, generate, fork_session, save_and_load, rewind_session,
        drop,    rewind_session, score,  refuse,   check_bits,   check_bits};
    uint32_t n_of_one = sizeof(of_one) / sizeof(of_one[0]), which = below(k, n_of_one + 5);
    if (which < n_of_one) {
        of_one[which](k, p);
    } else if (which == n_of_one) {
        tell(k, "close");
        close_place(p);
    } else if (which == n_of_one + 1) {
        tell(k, "another limit");
        set_limit(k, p, (sy_at_limit)below(k, 3));
    } else if (which == n_of_one + 2) {
        decode_together(k);
    } else {
        schedule(k);
    }
}

static uint32_t number_from(const char *variable, uint32_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void open_engines(soak *k, const char *plugins, sy_element_type cache) {
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = options.value_type = cache;
    options.n_adapters = k->has_adapters ? SOAK_ADAPTERS : 0;
    options.adapter_rank = k->has_adapters ? 8 : 0;
    options.n_batch_tokens = SOAK_TOKENS;
    CHECK_OK_ERROR(engine_kit_open(&k->naive.kit, NULL, 1, plugins, &options), k->naive.kit.error);
    sy_budget_init(&k->heap, NULL, 0);
    options.n_batch_tokens = CHUNK;
    options.n_sequences = MOST_AT_ONCE;
    CHECK_OK_ERROR(engine_kit_open(&k->kit, &k->heap.allocator, 1, plugins, &options),
                   k->kit.error);
    sy_engine_get_memory(k->kit.engine, SOAK_TOKENS, &k->memory);
    engine_kit_close(&k->kit);
    CHECK_TEXT(k->heap.used_bytes == 0, "%llu bytes are left of an engine",
               (unsigned long long)k->heap.used_bytes);
    options.prefix_bytes = PREFIX_BYTES;
    options.budget_bytes =
        k->memory.load_bytes + BUDGET_SESSIONS * k->memory.session_bytes + PREFIX_BYTES / 2;
    CHECK_OK_ERROR(engine_kit_open(&k->kit, &k->heap.allocator, 1, plugins, &options),
                   k->kit.error);
    for (uint32_t i = 0; k->has_adapters && i < SOAK_ADAPTERS; i++) {
        const char *path = adapter_good(i + 1, 4 + 4 * i, SY_TYPE_F32);
        CHECK_OK(sy_adapter_load(k->kit.engine, path, &k->adapters[i], &k->kit.error));
        CHECK_OK(sy_adapter_load(k->naive.kit.engine, path, &k->naive.adapters[i], &k->kit.error));
    }
}

static void walk(soak *k) {
    uint32_t n_warm = k->n_operations > 2 * WARM_UP ? WARM_UP : 0;
    close_all(k);
    for (k->i_operation = 0; k->i_operation < k->n_operations; k->i_operation++) {
        operate(k);
        check_heap(k);
        bool is_warm = n_warm > 0 && k->i_operation == n_warm;
        if (is_warm || k->i_operation % CLOSED_EVERY == CLOSED_EVERY - 1) {
            close_all(k);
            k->resident_bytes = is_warm ? resident_bytes() : k->resident_bytes;
        }
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        if (k->places[i].session != NULL) {
            check_bits(k, &k->places[i]);
        }
    }
    close_all(k);
    uint64_t now = resident_bytes();
    CHECK_TEXT(n_warm == 0 || now <= k->resident_bytes + GROWTH_BYTES,
               "the resident set grew by %llu bytes",
               (unsigned long long)(now - k->resident_bytes));
    CHECK(k->n_checked > k->n_operations / 40);
    CHECK(n_warm == 0 ||
          (k->n_moved_checked > 0 && k->n_over_budget > 0)); /* short walks may miss */
    printf("%u operations, seed %u: %u sessions made again, %u of them with moved rows, %u "
           "requests over the budget, resident set %+lld KiB\n",
           k->n_operations, k->seed, k->n_checked, k->n_moved_checked, k->n_over_budget,
           n_warm == 0 ? 0LL : (long long)(now - k->resident_bytes) / 1024);
}

static void soak_engine(const char *plugins, sy_element_type cache, bool has_adapters) {
    static soak k;
    k.has_adapters = has_adapters;
    k.seed = number_from("SY_SOAK_SEED", 11);
    k.n_operations = number_from("SY_SOAK_OPERATIONS", 400);
    k.random = k.seed;
    snprintf(k.path, sizeof(k.path), "/tmp/switchyard-session-XXXXXX");
    int file = mkstemp(k.path);
    CHECK(file >= 0);
    close(file);
    open_engines(&k, plugins, cache);
    k.heap_closed = k.heap.used_bytes;
    running = &k;
    atexit(tell_trace);
    walk(&k);
    running = NULL;
    unlink(k.path);
    engine_kit_close(&k.kit);
    engine_kit_close(&k.naive.kit);
    CHECK_TEXT(k.heap.used_bytes == 0, "%llu bytes stay allocated",
               (unsigned long long)k.heap.used_bytes);
}

static void a_llama_with_adapters_on_the_reference(void) {
    engine_model_make("llama", 2, 0);
    soak_engine(NULL, SY_TYPE_F16, true);
}

static void windows_on_the_reference(void) {
    engine_model_window = 16;
    engine_model_make("gemma3", 2, TINY_HEADS);
    soak_engine(NULL, SY_TYPE_F32, false);
}

static const char *plugins_or_skip(void) {
    if (built_plugins() == NULL) {
        SKIP("this build has no plugins");
    }
    return built_plugins();
}

static void a_llama_with_adapters_on_plugins(void) {
    engine_model_make("llama", 2, 0);
    soak_engine(plugins_or_skip(), SY_TYPE_F16, true);
}

static void windows_on_plugins(void) {
    engine_model_window = 16;
    engine_model_make("gemma3", 2, TINY_HEADS);
    soak_engine(plugins_or_skip(), SY_TYPE_F16, false);
}

static void blocks_of_numbers_on_plugins(void) {
    engine_model_make("qwen2", 2, TINY_HEADS);
    soak_engine(plugins_or_skip(), SY_TYPE_Q8_0, false);
}

static void convolutions_on_plugins(void) {
    engine_model_make("lfm2", 2, TINY_HEADS);
    soak_engine(plugins_or_skip(), SY_TYPE_F16, false);
}

static const sy_test_case cases[] = {
    {"a_llama_with_adapters_on_the_reference", a_llama_with_adapters_on_the_reference},
    {"windows_on_the_reference", windows_on_the_reference},
    {"a_llama_with_adapters_on_plugins", a_llama_with_adapters_on_plugins},
    {"windows_on_plugins", windows_on_plugins},
    {"blocks_of_numbers_on_plugins", blocks_of_numbers_on_plugins},
    {"convolutions_on_plugins", convolutions_on_plugins},
};
SY_TEST_MAIN(cases)
