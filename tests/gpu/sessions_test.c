/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that move in mid-generation: saved on one delegate, loaded on another, over every
 * ordered pair of the GPU delegates that this machine has devices for and of the CPU's. The text is
 * the one that the reference delegate writes alone, whatever the cache's type; and what a delegate
 * saves of a session that it just loaded are the rows of the file, byte by byte.
 */
#include "e2e/failover_rig.h"

#define SIDES_MOST 4u
#define HOP_TOKENS 4u

typedef struct side {
    const char *name;
    rig rig;
} side;

static side sides[SIDES_MOST];
static uint32_t n_sides;

/* The reference delegate is always there; of the others those that have a device. */
static void open_side(const char *name, sy_element_type type) {
    static char blobs[512], ini[256];
    side *s = &sides[n_sides];
    bool is_gpu = strncmp(name, "gpu-", 4) == 0;
    s->name = name;
    rig_init(&s->rig);
    s->rig.options.key_type = s->rig.options.value_type = type;
    s->rig.directories[0] = built_plugins();
    CHECK(s->rig.directories[0] != NULL);
    snprintf(blobs, sizeof(blobs), "%s/gpu-blobs", getenv("SY_BUILD_DIR"));
    s->rig.blobs = blobs;
    s->rig.order = "gpu, cpu";
    s->rig.options.failover.watch.hang_floor_ms = 0;
    snprintf(ini, sizeof(ini), "[trust]\nplugins = %s\n%s%s%s", name, is_gpu ? "[delegate " : "",
             is_gpu ? name : "", is_gpu ? "]\nsoftware = on" : "");
    rig_open(&s->rig, ini);
    bool is_there = sy_runtime_n_delegates(s->rig.kit.runtime) > (n_sides > 0 ? 1u : 0u);
    if (is_there) {
        n_sides++;
    } else {
        rig_close(&s->rig);
    }
}

/* with_cpu: cpu-xnnpack takes part, which rounds activations where weights are blocks. */
static void open_sides(sy_element_type type, bool with_cpu) {
    n_sides = 0;
    open_side("reference", type);
    open_side("gpu-vulkan", type);
    open_side("gpu-opencl", type);
    if (n_sides == 1) {
        SKIP("no GPU delegate has a device here");
    }
    if (with_cpu) {
        open_side("cpu-xnnpack", type);
    }
}

static void close_sides(void) {
    while (n_sides > 0) {
        rig_close(&sides[--n_sides].rig);
    }
}

/* ---- files ---- */
static char path[40], other_path[40];

static void make_file(char (*name)[40]) {
    snprintf(*name, sizeof(*name), "/tmp/switchyard-session-XXXXXX");
    int fd = mkstemp(*name);
    CHECK(fd >= 0);
    close(fd);
}

static void save(side *s, sy_session *session, const char *to) {
    CHECK_OK_ERROR(sy_session_save(session, to, &s->rig.kit.error), s->rig.kit.error);
}

static sy_session *load(side *s, const char *from) {
    sy_session *session = NULL;
    CHECK_OK_ERROR(sy_session_load(s->rig.kit.engine, from, 0, &session, &s->rig.kit.error),
                   s->rig.kit.error);
    return session;
}

#define FIRST_BYTES 96u /* docs/formats/session.md */
#define DIGEST_BYTES 32u

static size_t read_file(const char *name, uint8_t *out_bytes, size_t n_most) {
    FILE *file = fopen(name, "rb");
    CHECK(file != NULL);
    size_t n = fread(out_bytes, 1, n_most, file);
    CHECK(n < n_most);
    fclose(file);
    return n;
}

/* Head, tokens, and of every state all rows but the newest, which each side computes again: its
 * logits are not in the file. */
static void check_same_file(const side *to, uint32_t n_tokens, const char *from) {
    static uint8_t a[1 << 20], b[1 << 20];
    size_t n_bytes = read_file(path, a, sizeof(a));
    size_t n_slots = 2 * sy_engine_info(to->rig.kit.engine)->n_layers;
    size_t n_rows =
        engine_model_window > 0 && engine_model_window < n_tokens ? engine_model_window : n_tokens;
    size_t first = FIRST_BYTES + n_tokens * sizeof(int32_t);
    size_t slot_bytes = (n_bytes - first - DIGEST_BYTES) / n_slots;
    size_t same_bytes = slot_bytes / n_rows * (n_rows - 1);
    CHECK(read_file(other_path, b, sizeof(b)) == n_bytes && slot_bytes % n_rows == 0);
    CHECK(memcmp(a, b, first) == 0);
    for (size_t slot = 0; slot < n_slots; slot++) {
        size_t at = first + slot * slot_bytes;
        CHECK_TEXT(memcmp(&a[at], &b[at], same_bytes) == 0, "state %zu, from %s over %s", slot,
                   from, to->name);
    }
}

/* ---- moving ---- */
static int32_t wanted[RIG_TOKENS], found[RIG_TOKENS];
static uint32_t n_found;

static void go_on(side *s, sy_session *session, uint32_t n) {
    n = n < RIG_TOKENS - n_found ? n : RIG_TOKENS - n_found;
    rig_generate(&s->rig, session, n, &found[n_found]);
    for (uint32_t i = n_found; i < n_found + n; i++) {
        CHECK_TEXT(found[i] == wanted[i], "token %u, on %s", i, s->name);
    }
    n_found += n;
}

/* To another side, over a file; what is saved there at once are the same rows. */
static sy_session *move(side *from, sy_session *session, side *to) {
    save(from, session, path);
    sy_session_close(session);
    sy_session *moved = load(to, path);
    save(to, moved, other_path);
    uint32_t n_tokens = 0;
    sy_session_tokens(moved, &n_tokens);
    check_same_file(to, n_tokens, from->name);
    return moved;
}

/* From each side to each other one and back, some tokens on each. */
static void wander(void) {
    make_file(&path);
    make_file(&other_path);
    sy_session *session = rig_session(&sides[0].rig);
    rig_generate(&sides[0].rig, session, RIG_TOKENS, wanted);
    sy_session_close(session);
    for (uint32_t first = 0; first < n_sides; first++) {
        session = rig_session(&sides[first].rig);
        n_found = 0;
        for (uint32_t k = 1; k < n_sides; k++) {
            side *here = &sides[first], *there = &sides[(first + k) % n_sides];
            go_on(here, session, HOP_TOKENS + k);
            session = move(here, session, there);
            go_on(there, session, HOP_TOKENS);
            session = move(there, session, here);
        }
        go_on(&sides[first], session, RIG_TOKENS);
        CHECK(n_found == RIG_TOKENS);
        sy_session_close(session);
    }
    unlink(path);
    unlink(other_path);
}

static void stories(void) {
    static char model[512];
    const char *shared = sy_test_shared_dir();
    snprintf(model, sizeof(model), "%s/data/models/stories260k/stories260K-f32.gguf",
             shared != NULL ? shared : "");
    if (shared == NULL || access(model, R_OK) != 0) {
        SKIP("no shared data");
    }
    engine_model_instead = model;
}

static void wander_with(sy_element_type type) {
    stories();
    open_sides(type, true);
    wander();
    close_sides();
}

static void sessions_in_f32_move(void) {
    wander_with(SY_TYPE_F32);
}

static void sessions_in_f16_move(void) {
    wander_with(SY_TYPE_F16);
}

static void sessions_in_bf16_move(void) {
    wander_with(SY_TYPE_BF16);
}

static void sessions_in_q8_0_move(void) {
    wander_with(SY_TYPE_Q8_0);
}

static void sessions_in_q4_0_move(void) {
    wander_with(SY_TYPE_Q4_0);
}

/* Rows behind the window are not in the file. */
static void sessions_with_windows_move(void) {
    engine_model_window = 9;
    engine_model_make("gemma3", 2, TINY_HEADS);
    open_sides(SY_TYPE_F16, false);
    wander();
    close_sides();
}

/* A clone is saved while its source goes on, and the other way round; rows that both share stay. */
static void clones_move(void) {
    stories();
    open_sides(SY_TYPE_F16, true);
    make_file(&path);
    make_file(&other_path);
    sy_session *alone = rig_session(&sides[0].rig);
    rig_generate(&sides[0].rig, alone, RIG_TOKENS, wanted);
    sy_session_close(alone);
    for (uint32_t i = 1; i < n_sides; i++) {
        side *here = &sides[i], *there = &sides[(i + 1) % n_sides];
        sy_session *session = rig_session(&here->rig), *copy = NULL;
        n_found = 0;
        go_on(here, session, 10);
        CHECK_OK_ERROR(sy_session_clone(session, &copy, &here->rig.kit.error), here->rig.kit.error);
        go_on(here, session, 7);
        copy = move(here, copy, there);
        n_found = 10;
        go_on(there, copy, 30);
        n_found = 17;
        session = move(here, session, there);
        go_on(there, session, RIG_TOKENS);
        n_found = 40;
        copy = move(there, copy, here);
        go_on(here, copy, RIG_TOKENS);
        sy_session_close(session);
        sy_session_close(copy);
    }
    unlink(path);
    unlink(other_path);
    close_sides();
}

static const sy_test_case cases[] = {
    {"sessions_in_f32_move", sessions_in_f32_move},
    {"sessions_in_f16_move", sessions_in_f16_move},
    {"sessions_in_bf16_move", sessions_in_bf16_move},
    {"sessions_in_q8_0_move", sessions_in_q8_0_move},
    {"sessions_in_q4_0_move", sessions_in_q4_0_move},
    {"sessions_with_windows_move", sessions_with_windows_move},
    {"clones_move", clones_move},
};
SY_TEST_MAIN(cases)
