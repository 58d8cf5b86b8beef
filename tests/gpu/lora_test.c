/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions with adapters over a GPU delegate, whose name is GPU_PLUGIN: what they give is what the
 * reference delegate gives, the same bits alone and beside others, while adapters come and go; and
 * where the device is lost, sessions and adapters go on on the CPU. The delegate is the test build,
 * which fails on request (plugins/gpu/src/faults.h).
 */
#include "lora/adapter_file.h"

#include <math.h>

#define N_PROMPT 9u
#define N_MORE 12u
#define N_SESSIONS 4u
#define BITS (TINY_VOCAB * sizeof(float))

static const int32_t prompt[N_PROMPT] = {1, 5, 9, 13, 2, 7, 19, 4, 11};

/* ---- an engine ---- */
typedef struct rig {
    sy_conf *conf;
    engine_kit kit;
    sy_adapter *adapters[2];
} rig;

static const char *adapter_path(uint32_t i_adapter) {
    static const char *paths[3];
    if (paths[0] == NULL) {
        paths[0] = adapter_good(1, 6, SY_TYPE_F32);
        paths[1] = adapter_good(2, 16, SY_TYPE_F16);
        paths[2] = adapter_good(3, 9, SY_TYPE_F32);
    }
    return paths[i_adapter];
}

static sy_conf *conf_make(const char *ini) {
    sy_conf *conf = NULL;
    sy_error error = {0};
    sy_conf_layer layer = {
        .level = SY_CONF_OEM, .path = "test", .text = ini, .n_text_bytes = strlen(ini)};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = &layer;
    options.n_layers = 1;
    CHECK_OK_ERROR(sy_conf_create(&options, &conf, &error), error);
    return conf;
}

/* fault: NULL: without the GPU; "": none. */
static void rig_open(rig *r, const char *fault, uint32_t copy_every_tokens) {
    char plugins[512], ini[512];
    const char *directory = plugins, *build = getenv("SY_BUILD_DIR");
    snprintf(plugins, sizeof(plugins), "%s/fault-plugins", build != NULL ? build : "");
    if (build == NULL || access(plugins, R_OK) != 0) {
        SKIP("no GPU delegate was built");
    }
    memset(r, 0, sizeof(*r));
    snprintf(ini, sizeof(ini),
             "[order]\ndefault = gpu, cpu\n[policy]\nmode = strict\n[trust]\nplugins = %s\n"
             "[delegate " GPU_PLUGIN "]\nsoftware = on\n%s%s\n",
             fault != NULL ? GPU_PLUGIN : "none-of-them",
             fault != NULL && fault[0] != '\0' ? "fault = " : "", fault != NULL ? fault : "");
    r->conf = conf_make(ini);
    engine_kit *kit = &r->kit;
    sy_runtime_options runtime;
    sy_runtime_options_default(&runtime);
    runtime.n_threads = 1;
    CHECK_OK_ERROR(sy_runtime_create(&runtime, &kit->runtime, &kit->error), kit->error);
    sy_registry_options search;
    sy_registry_options_default(&search);
    search.directories = &directory;
    search.n_directories = 1;
    search.use_environment = 0;
    search.conf = r->conf;
    sy_status status = sy_registry_open(kit->runtime, &search, &kit->registry, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    if (fault != NULL && sy_runtime_n_delegates(kit->runtime) < 2) {
        SKIP("%s has no device here", GPU_PLUGIN);
    }
    sy_engine_options options;
    sy_engine_options_default(&options);
    options.key_type = options.value_type = SY_TYPE_F32;
    options.n_adapters = 3;
    options.adapter_rank = 16;
    options.n_sequences = N_SESSIONS;
    options.policy = sy_conf_policy(r->conf);
    options.failover.copy_every_tokens = copy_every_tokens;
    status = sy_engine_create(kit->runtime, engine_model(), &options, &kit->engine, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    for (uint32_t i = 0; i < 2; i++) {
        status = sy_adapter_load(kit->engine, adapter_path(i), &r->adapters[i], &kit->error);
        CHECK_OK_ERROR(status, kit->error);
    }
}

static void rig_close(rig *r) {
    sy_engine_destroy(r->kit.engine);
    CHECK(sy_registry_close(r->kit.registry) == 0);
    sy_runtime_destroy(r->kit.runtime);
    sy_conf_destroy(r->conf);
}

/* ---- sessions: with the first adapter, with none, with both, with the second ---- */
static sy_session *session_open(rig *r, uint32_t kind) {
    sy_session *session = NULL;
    sy_error *error = &r->kit.error;
    sy_status status = sy_session_open(r->kit.engine, 64, &session, error);
    if (status == SY_OK && (kind == 0 || kind == 2)) {
        status = sy_session_add_adapter(session, r->adapters[0], 0.75f, error);
    }
    if (status == SY_OK && kind >= 2) {
        status = sy_session_add_adapter(session, r->adapters[1], 1.0f, error);
    }
    status = status == SY_OK ? sy_session_prefill(session, prompt, N_PROMPT, error) : status;
    CHECK_OK_ERROR(status, *error);
    return session;
}

typedef struct trace {
    float logits[N_MORE + 1][TINY_VOCAB];
    int32_t tokens[N_MORE];
} trace;

static void note_logits(rig *r, sy_session *session, trace *out, uint32_t i) {
    const float *logits = NULL;
    CHECK_OK_ERROR(sy_session_logits(session, &logits, &r->kit.error), r->kit.error);
    memcpy(out->logits[i], logits, BITS);
}

static void play_alone(rig *r, uint32_t kind, trace *out) {
    sy_session *session = session_open(r, kind);
    note_logits(r, session, out, 0);
    for (uint32_t i = 0; i < N_MORE; i++) {
        sy_status status = sy_session_decode(session, NULL, &out->tokens[i], &r->kit.error);
        CHECK_OK_ERROR(status, r->kit.error);
        note_logits(r, session, out, i + 1);
    }
    sy_session_close(session);
}

/* All of them in each step. Between steps a third adapter comes and goes; and one session is a
 * clone of its beginning. */
static void play_together(rig *r, trace *out) {
    sy_session *sessions[N_SESSIONS], *first = session_open(r, 0);
    sy_sampler *const samplers[N_SESSIONS] = {NULL};
    sy_adapter *third = NULL;
    sy_error *error = &r->kit.error;
    CHECK_OK_ERROR(sy_session_clone(first, &sessions[0], error), *error);
    sy_session_close(first);
    for (uint32_t s = 1; s < N_SESSIONS; s++) {
        sessions[s] = session_open(r, s);
    }
    for (uint32_t i = 0; i <= N_MORE; i++) {
        int32_t tokens[N_SESSIONS];
        for (uint32_t s = 0; s < N_SESSIONS; s++) {
            note_logits(r, sessions[s], &out[s], i);
        }
        sy_status status = i % 3 == 0
                               ? sy_adapter_load(r->kit.engine, adapter_path(2), &third, error)
                           : i % 3 == 2 ? sy_adapter_unload(third, error)
                                        : SY_OK;
        CHECK_OK_ERROR(status, *error);
        if (i == N_MORE) {
            break;
        }
        status = sy_session_decode_together(sessions, N_SESSIONS, samplers, tokens, error);
        CHECK_OK_ERROR(status, *error);
        for (uint32_t s = 0; s < N_SESSIONS; s++) {
            out[s].tokens[i] = tokens[s];
        }
    }
    for (uint32_t s = 0; s < N_SESSIONS; s++) {
        sy_session_close(sessions[s]);
    }
}

static trace wanted[N_SESSIONS], found[N_SESSIONS], alone;

static void wanted_make(void) {
    rig r;
    rig_open(&r, NULL, 0);
    play_together(&r, wanted);
    rig_close(&r);
}

/* The reference delegate's tokens, and its logits to the rounding of sums. */
static void check_wanted(const char *what) {
    for (uint32_t s = 0; s < N_SESSIONS; s++) {
        CHECK_TEXT(memcmp(found[s].tokens, wanted[s].tokens, sizeof(wanted[s].tokens)) == 0,
                   "%s: session %u writes other tokens", what, s);
        for (uint32_t i = 0; i <= N_MORE; i++) {
            double far = 0, largest = 1;
            for (uint32_t v = 0; v < TINY_VOCAB; v++) {
                double a = (double)found[s].logits[i][v], b = (double)wanted[s].logits[i][v];
                far = fabs(a - b) > far ? fabs(a - b) : far;
                largest = fabs(b) > largest ? fabs(b) : largest;
            }
            CHECK_TEXT(far <= 1e-4 * largest, "%s: session %u is %g off at token %u", what, s, far,
                       i);
        }
    }
}

/* ---- cases ---- */
static void sessions_equal_the_reference(void) {
    rig r;
    wanted_make();
    for (uint32_t s = 0; s < N_SESSIONS; s++) {
        for (uint32_t t = 0; t < s; t++) {
            CHECK(memcmp(wanted[s].logits, wanted[t].logits, sizeof(wanted[s].logits)) != 0);
        }
    }
    rig_open(&r, "", 0);
    play_together(&r, found);
    check_wanted("together");
    for (uint32_t s = 0; s < N_SESSIONS; s++) {
        play_alone(&r, s, &alone);
        CHECK_TEXT(memcmp(&alone, &found[s], sizeof(alone)) == 0,
                   "session %u gives other bits alone", s);
    }
    CHECK(sy_engine_n_failovers(r.kit.engine) == 0);
    rig_close(&r);
}

/* At prompts, in the middle and near the end; rows are copied as they are made, or computed again,
 * with the adapters on the CPU then. */
static void adapters_move_when_the_device_is_lost(void) {
    uint32_t n_lost = 0;
    wanted_make();
    for (uint32_t k = 1; k <= N_MORE + N_SESSIONS; k += 5) {
        for (uint32_t copy_every_tokens = 0; copy_every_tokens < 2; copy_every_tokens++) {
            char fault[32], what[64];
            rig r;
            snprintf(fault, sizeof(fault), "lose@%u", k);
            snprintf(what, sizeof(what), "%s, copies %u", fault, copy_every_tokens);
            rig_open(&r, fault, copy_every_tokens);
            play_together(&r, found);
            check_wanted(what);
            uint64_t n = sy_engine_n_failovers(r.kit.engine);
            CHECK_TEXT(n == 1, "%s: %u events", what, (unsigned)n);
            n_lost += (uint32_t)n;
            rig_close(&r);
        }
    }
    CHECK_TEXT(n_lost >= 6, "%u losses", n_lost);
}

static const sy_test_case cases[] = {
    {"sessions_equal_the_reference", sessions_equal_the_reference},
    {"adapters_move_when_the_device_is_lost", adapters_move_when_the_device_is_lost},
};
SY_TEST_MAIN(cases)
