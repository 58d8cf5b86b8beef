/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixes that sessions share: what is reused, and that reuse changes nothing. */
#include "e2e/engine_model.h"
#include "kv/prefix.h"

#define N_LONG 124u /* blocks have up to 64 tokens */
#define N_ASKED 100u

static int32_t text[N_LONG];

static void open_kit(engine_kit *kit, const char *plugins, uint64_t prefix_bytes) {
    sy_engine_options options;
    uint32_t random = 7;
    sy_engine_options_default(&options);
    options.prefix_bytes = prefix_bytes;
    options.n_batch_tokens = 24;
    CHECK_OK_ERROR(engine_kit_open(kit, NULL, 1, plugins, &options), kit->error);
    for (uint32_t i = 0; i < N_LONG; i++) {
        random = random * 1664525u + 1013904223u;
        text[i] = (int32_t)((random >> 16) % TINY_VOCAB);
    }
}

/* Opens, prefills, closes; answers the logits and how much was reused. */
static uint64_t ask(engine_kit *kit, const int32_t *tokens, uint32_t n, float *out_logits) {
    sy_session *session = NULL;
    sy_session_stats stats;
    const float *logits = NULL;
    CHECK_OK_ERROR(sy_session_open(kit->engine, 128, &session, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_prefill(session, tokens, n, &kit->error), kit->error);
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &kit->error), kit->error);
    if (out_logits != NULL) {
        memcpy(out_logits, logits, TINY_VOCAB * sizeof(float));
    }
    uint32_t n_held = 0;
    CHECK(memcmp(sy_session_tokens(session, &n_held), tokens, n * sizeof(int32_t)) == 0);
    CHECK(n_held == n);
    sy_session_get_stats(session, &stats);
    CHECK(stats.n_prefilled_tokens == n);
    sy_session_close(session);
    return stats.n_reused_tokens;
}

static void reuse_changes_no_bit(const char *family, const char *plugins) {
    engine_kit with, without;
    float found[TINY_VOCAB], wanted[TINY_VOCAB];
    int32_t other[N_LONG];
    engine_model_make(family, 2, TINY_HEADS);
    open_kit(&with, plugins, (uint64_t)1 << 20);
    open_kit(&without, plugins, 0);
    memcpy(other, text, sizeof(other));
    other[80] = (other[80] + 1) % (int32_t)TINY_VOCAB;
    struct {
        const int32_t *tokens;
        uint32_t n, at_least, at_most;
    } steps[] = {{text, N_ASKED, 0, 0},
                 {text, N_ASKED, 64, N_ASKED - 1},
                 {other, N_LONG, 64, 80}, /* they differ at 80 */
                 {text, N_LONG, 64, N_ASKED},
                 {text, N_LONG, 64, N_LONG - 1},
                 {other, N_LONG, 64, N_LONG - 1},
                 {other + 1, 90, 0, 0},
                 {text, 1, 0, 0}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint64_t n_reused = ask(&with, steps[i].tokens, steps[i].n, found);
        CHECK(ask(&without, steps[i].tokens, steps[i].n, wanted) == 0);
        CHECK_TEXT(n_reused >= steps[i].at_least && n_reused <= steps[i].at_most,
                   "%s, step %zu: %llu reused", family, i, (unsigned long long)n_reused);
        CHECK_TEXT(memcmp(found, wanted, sizeof(found)) == 0, "%s, step %zu", family, i);
    }
    engine_kit_close(&with);
    engine_kit_close(&without);
}

static void reuse_changes_nothing(void) {
    reuse_changes_no_bit("llama", NULL);
    if (built_plugins() != NULL) {
        reuse_changes_no_bit("llama", built_plugins());
    }
}

/* States with windows serve whole lengths only. */
static void reuse_changes_nothing_with_windows(void) {
    engine_kit kit;
    float first[TINY_VOCAB], again[TINY_VOCAB];
    engine_model_window = 16;
    engine_model_make("gemma3", 2, TINY_HEADS);
    open_kit(&kit, built_plugins(), (uint64_t)1 << 20);
    CHECK(ask(&kit, text, N_ASKED, first) == 0);
    uint64_t n_reused = ask(&kit, text, N_ASKED, again);
    CHECK_TEXT(n_reused >= 64, "%llu", (unsigned long long)n_reused);
    CHECK(memcmp(first, again, sizeof(first)) == 0);
    CHECK(ask(&kit, text, 40, NULL) == 0); /* shorter than what is stored */
    engine_kit_close(&kit);
}

static void a_session_that_goes_on_leaves_the_store_as_it_was(void) {
    engine_kit kit;
    sy_session *session = NULL;
    float before[TINY_VOCAB], after[TINY_VOCAB];
    int32_t token = 0;
    engine_model_make("llama", 2, TINY_HEADS);
    open_kit(&kit, built_plugins(), (uint64_t)1 << 20);
    ask(&kit, text, N_ASKED, before);
    CHECK_OK(sy_session_open(kit.engine, 128, &session, &kit.error));
    CHECK_OK(sy_session_prefill(session, text, N_ASKED, &kit.error));
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_OK_ERROR(sy_session_decode(session, NULL, &token, &kit.error), kit.error);
    }
    const sy_token_range range = {1, 50}; /* writes rows that others may share */
    CHECK_OK_ERROR(sy_session_drop(session, &range, 1, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_rewind(session, 2, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_prefill(session, text + 50, 40, &kit.error), kit.error);
    CHECK(ask(&kit, text, N_ASKED, after) >= 64);
    CHECK(memcmp(before, after, sizeof(before)) == 0);
    sy_session_close(session);
    engine_kit_close(&kit);
}

static void prefixes_stay_within_their_bytes_and_give_way(void) {
    engine_kit kit;
    sy_engine_memory memory;
    sy_engine_options options;
    sy_session *session = NULL;
    int32_t other[N_ASKED];
    engine_model_make("llama", 2, TINY_HEADS);
    open_kit(&kit, built_plugins(), (uint64_t)1 << 20);
    ask(&kit, text, N_ASKED, NULL);
    sy_engine_get_memory(kit.engine, N_ASKED, &memory);
    uint64_t one = memory.prefix_bytes, need = memory.load_bytes + memory.session_bytes;
    CHECK(one > 0);
    engine_kit_close(&kit);
    open_kit(&kit, built_plugins(), one + one / 2); /* room for one such prefix */
    for (uint32_t i = 0; i < N_ASKED; i++) {
        other[i] = (text[i] + 1) % (int32_t)TINY_VOCAB;
    }
    for (uint32_t round = 0; round < 2; round++) {
        CHECK(ask(&kit, text, N_ASKED, NULL) == 0);
        CHECK(ask(&kit, text, N_ASKED, NULL) > 0);
        CHECK(ask(&kit, other, N_ASKED, NULL) == 0); /* the other one goes */
        sy_engine_get_memory(kit.engine, N_ASKED, &memory);
        CHECK(memory.prefix_bytes <= one + one / 2);
    }
    engine_kit_close(&kit);
    sy_engine_options_default(&options);
    options.prefix_bytes = one;
    options.n_batch_tokens = 24;
    options.budget_bytes = need + 2 * memory.session_bytes;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, 1, built_plugins(), &options), kit.error);
    CHECK_OK_ERROR(sy_session_open(kit.engine, N_ASKED, &session, &kit.error), kit.error);
    CHECK_OK_ERROR(sy_session_prefill(session, text, N_ASKED, &kit.error), kit.error);
    sy_engine_get_memory(kit.engine, N_ASKED, &memory);
    CHECK(memory.prefix_bytes > 0);
    sy_session *others[8];
    uint32_t n = 0;
    while (n < 8 && sy_session_open(kit.engine, N_ASKED, &others[n], &kit.error) == SY_OK) {
        n++;
    }
    sy_engine_get_memory(kit.engine, N_ASKED, &memory);
    CHECK(n > 0 && n < 8);
    CHECK(memory.load_bytes + memory.reserved_bytes <= options.budget_bytes);
    while (n > 0) {
        sy_session_close(others[--n]);
    }
    sy_session_close(session);
    engine_kit_close(&kit);
}

/* The tree by itself, against a list: sets of an engine under random prefixes of few tokens. */
static void the_tree_finds_what_a_list_would(void) {
    enum { BLOCK = 4, MOST = 6, N_STORED = 60 };
    engine_kit kit;
    sy__prefix_store *store = NULL;
    const sy__prefix_options options = {.block_tokens = BLOCK, .limit_bytes = 1000};
    static struct {
        int32_t tokens[BLOCK * MOST];
        uint64_t key;
        uint32_t n;
    } stored[N_STORED];
    uint32_t random = 3, n_stored = 0;
    open_kit(&kit, NULL, 0);
    CHECK_OK(sy__prefix_create(NULL, &options, &store, NULL));
    for (uint32_t step = 0; step < 3000; step++) {
        int32_t tokens[BLOCK * MOST];
        random = random * 1664525u + 1013904223u;
        uint32_t n = (random >> 8) % (BLOCK * MOST + 1), bits = random >> 16;
        uint64_t key = bits & 1;
        for (uint32_t i = 0; i < BLOCK * MOST; i++) { /* blocks of two kinds */
            tokens[i] = (int32_t)(bits >> (1 + i / BLOCK) & 1) * 5 + (int32_t)(i % BLOCK);
        }
        uint32_t best = 0;
        for (uint32_t k = 0; k < n_stored; k++) {
            uint32_t same = 0;
            while (same < n && same < stored[k].n && stored[k].tokens[same] == tokens[same]) {
                same++;
            }
            same -= same % BLOCK;
            best = stored[k].key == key && same > best ? same : best;
        }
        sy__prefix_match match = sy__prefix_find(store, key, tokens, n);
        CHECK_TEXT(match.n_rows == best && (match.set != NULL) == (best > 0), "%u, not %u",
                   match.n_rows, best);
        uint32_t whole = sy__prefix_whole(store, n);
        CHECK(sy__prefix_wants(store, key, tokens, whole, 1) == (whole > best));
        if (whole > best && n_stored < N_STORED) {
            sy_state_set *set = NULL;
            sy_executor *executor = (sy_executor *)(uintptr_t)sy_engine_executor(kit.engine);
            CHECK_OK(sy_state_set_create(executor, whole, &set, NULL));
            CHECK_OK(sy__prefix_put(store, key, tokens, whole, set, 1, NULL));
            memcpy(stored[n_stored].tokens, tokens, sizeof(tokens));
            stored[n_stored].key = key;
            stored[n_stored++].n = whole;
        }
    }
    CHECK(n_stored > 20 && sy__prefix_bytes(store) <= n_stored);
    while (sy__prefix_bytes(store) > 0) {
        uint64_t before = sy__prefix_bytes(store);
        sy__prefix_shrink(store, before - 1);
        CHECK(sy__prefix_bytes(store) == before - 1);
    }
    CHECK(sy__prefix_find(store, 0, stored[0].tokens, stored[0].n).set == NULL);
    sy__prefix_destroy(store);
    engine_kit_close(&kit);
}

static const sy_test_case cases[] = {
    {"reuse_changes_nothing", reuse_changes_nothing},
    {"reuse_changes_nothing_with_windows", reuse_changes_nothing_with_windows},
    {"a_session_that_goes_on_leaves_the_store_as_it_was",
     a_session_that_goes_on_leaves_the_store_as_it_was},
    {"prefixes_stay_within_their_bytes_and_give_way",
     prefixes_stay_within_their_bytes_and_give_way},
    {"the_tree_finds_what_a_list_would", the_tree_finds_what_a_list_would},
};
SY_TEST_MAIN(cases)
