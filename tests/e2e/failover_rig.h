/* SPDX-License-Identifier: Apache-2.0 */
/* An engine over delegates that fail on request, set up by INI text: what tests of failures need.
 * They are the fake NPUs unless a test says otherwise. */
#ifndef SY_TESTS_FAILOVER_RIG_H
#define SY_TESTS_FAILOVER_RIG_H

#include "e2e/engine_model.h"
#include "switchyard/blob_files.h"

#define RIG_PROMPT 12u
#define RIG_TOKENS 64u

static const int32_t rig_prompt[RIG_PROMPT] = {1, 5, 9, 13, 2, 7, 19, 4, 4, 11, 0, 3};

#define RIG_NOBODY "[trust]\nplugins = none-of-them" /* all on the reference delegate */

typedef struct rig {
    sy_conf *conf;
    engine_kit kit;
    sy_engine_options options;
    sy_quarantine_options quarantine;
    const char *order;          /* of delegates */
    const char *directories[2]; /* with plugins; NULL: no second one */
    const char *blobs;          /* folder for what is compiled; NULL: none is kept */
    sy_blob_files *blob_files;
    sy_log log;
    uint32_t n_told_failovers, n_told_returns; /* in the log */
} rig;

/* A folder of the build; skips where it is absent. */
static inline const char *rig_folder(const char *name, char (*space)[512]) {
    const char *build = getenv("SY_BUILD_DIR");
    snprintf(*space, sizeof(*space), "%s/%s", build != NULL ? build : "", name);
    if (build == NULL || access(*space, R_OK) != 0) {
        SKIP("no %s were built", name);
    }
    return *space;
}

static inline void rig_listen(void *user, sy_severity severity, const char *event,
                              const char *text) {
    rig *r = user;
    (void)severity, (void)text;
    r->n_told_failovers += strcmp(event, "engine.failover") == 0;
    r->n_told_returns += strcmp(event, "engine.return") == 0;
}

/* Before rig_open: defaults with states in f32, whose rows all delegates keep alike, and no delay
 * before a return. */
static inline void rig_init(rig *r) {
    memset(r, 0, sizeof(*r));
    r->order = "npu, cpu";
    r->log = (sy_log){.function = rig_listen, .user = r, .least = SY_SEVERITY_INFO};
    sy_engine_options_default(&r->options);
    r->options.key_type = r->options.value_type = SY_TYPE_F32;
    r->options.n_context_tokens = 128;
    r->options.n_batch_tokens = 8;
    r->options.n_output_rows = 8;
    r->options.n_sequences = 4;
    sy_quarantine_options_default(&r->quarantine);
    r->quarantine.backoff_ms = 3600000; /* nobody comes back unless a test wants it */
    r->quarantine.backoff_most_ms = 3600000;
}

/* All but the engine. ini: what is to be said beside order and mode. */
static inline void rig_start(rig *r, const char *ini) {
    static char text[2048];
    int n = snprintf(text, sizeof(text), "[order]\ndefault = %s\n[policy]\nmode = strict\n%s\n",
                     r->order, ini);
    CHECK(n > 0 && (size_t)n < sizeof(text));
    static char fakes[512];
    if (r->directories[0] == NULL) {
        r->directories[0] = rig_folder("fake-plugins", &fakes);
    }
    sy_conf_layer layer = {
        .level = SY_CONF_OEM, .path = "test", .text = text, .n_text_bytes = strlen(text)};
    sy_conf_options conf;
    sy_conf_options_default(&conf);
    conf.layers = &layer;
    conf.n_layers = 1;
    engine_kit *kit = &r->kit;
    CHECK_OK_ERROR(sy_conf_create(&conf, &r->conf, &kit->error), kit->error);
    sy_runtime_options runtime;
    sy_runtime_options_default(&runtime);
    runtime.n_threads = 1;
    runtime.log = &r->log;
    if (r->blobs != NULL) {
        sy_blob_files_options files = {.struct_bytes = sizeof(files), .directory = r->blobs};
        CHECK_OK_ERROR(sy_blob_files_create(&files, &r->blob_files, &kit->error), kit->error);
        runtime.blobs = sy_blob_files_store(r->blob_files);
    }
    CHECK_OK_ERROR(sy_runtime_create(&runtime, &kit->runtime, &kit->error), kit->error);
    sy_runtime_set_quarantine(kit->runtime, &r->quarantine);
    sy_registry_options search;
    sy_registry_options_default(&search);
    search.directories = r->directories;
    search.n_directories = r->directories[1] != NULL ? 2 : 1;
    search.use_environment = 0;
    search.conf = r->conf;
    sy_status status = sy_registry_open(kit->runtime, &search, &kit->registry, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
    r->options.policy = sy_conf_policy(r->conf);
}

static inline void rig_open(rig *r, const char *ini) {
    engine_kit *kit = &r->kit;
    rig_start(r, ini);
    sy_status status =
        sy_engine_create(kit->runtime, engine_model(), &r->options, &kit->engine, &kit->error);
    CHECK_OK_ERROR(status, kit->error);
}

static inline void rig_close(rig *r) {
    sy_engine_destroy(r->kit.engine);
    CHECK(sy_registry_close(r->kit.registry) == 0);
    sy_runtime_destroy(r->kit.runtime);
    sy_conf_destroy(r->conf);
    sy_blob_files_destroy(r->blob_files);
}

static inline sy_session *rig_session(rig *r) {
    sy_session *session = NULL;
    sy_error *error = &r->kit.error;
    CHECK_OK_ERROR(sy_session_open(r->kit.engine, 0, &session, error), *error);
    CHECK_OK_ERROR(sy_session_prefill(session, rig_prompt, RIG_PROMPT, error), *error);
    return session;
}

/* A prompt and n greedy tokens. */
static inline void rig_generate(rig *r, sy_session *session, uint32_t n, int32_t *out_tokens) {
    for (uint32_t i = 0; i < n; i++) {
        sy_status status = sy_session_decode(session, NULL, &out_tokens[i], &r->kit.error);
        CHECK_OK_ERROR(status, r->kit.error);
    }
}

/* The tokens that an engine without any NPU gives. */
static inline void rig_reference(uint32_t n, int32_t *out_tokens) {
    rig r;
    rig_init(&r);
    rig_open(&r, RIG_NOBODY);
    sy_session *session = rig_session(&r);
    rig_generate(&r, session, n, out_tokens);
    sy_session_close(session);
    rig_close(&r);
}

static inline sy_failover_event rig_event(rig *r, uint64_t i_event) {
    sy_failover_event event;
    sy_error *error = &r->kit.error;
    CHECK_OK_ERROR(sy_engine_get_failover(r->kit.engine, i_event, &event, error), *error);
    return event;
}

static inline uint32_t rig_delegate(rig *r, const char *name) {
    uint32_t n = sy_runtime_n_delegates(r->kit.runtime), i = 0;
    while (i < n && strcmp(sy_runtime_delegate(r->kit.runtime, i)->name, name) != 0) {
        i++;
    }
    CHECK(i < n);
    return i;
}

static inline sy_delegate_record rig_record(rig *r, const char *name) {
    sy_delegate_record record;
    sy_runtime_get_record(r->kit.runtime, rig_delegate(r, name), &record);
    return record;
}

#endif
