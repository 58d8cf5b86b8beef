/* SPDX-License-Identifier: Apache-2.0 */
/* L5: blobs. What compile writes is loaded by a device that is opened anew, whole and in every way
 * altered: it computes what the reference does, or is refused as not whole or as made for something
 * else. */
#include "conform/conform_internal.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

#define CASES 2u
#define SITES_MAX 400u
#define CUTS 24u
#define FLIPS 64u

/* A case with its blob, what the reference makes of it, and the weights of another model. */
typedef struct kept {
    sy__case made;
    bool has_case, has_blob;
    sy_blob blob; /* its bytes are n_bytes here */
    uint8_t *bytes, *scratch;
    size_t n_bytes;
    sy__outcome expected;
} kept;

typedef struct blob_check {
    sy__conform *c;
    sy__session *s;
    kept *k;
} blob_check;

static sy_blob fresh_blob(const sy__case *made) {
    sy_blob blob = {.header = SY_HEADER_INIT(sy_blob)};
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, made->name, strlen(made->name));
    sy__sha256_final(&sha, blob.segment_digest);
    return blob;
}

static bool keep_bytes(kept *k, const sy_blob *blob) {
    k->blob = *blob;
    k->n_bytes = (size_t)blob->bytes.length_bytes;
    k->bytes = sy__alloc_array(NULL, k->n_bytes, 1);
    k->scratch = sy__alloc_array(NULL, k->n_bytes, 1);
    if (k->bytes == NULL || k->scratch == NULL) {
        return false;
    }
    if (k->n_bytes > 0) {
        memcpy(k->bytes, blob->bytes.pointer, k->n_bytes);
    }
    k->blob.bytes.pointer = k->bytes;
    k->has_blob = true;
    return true;
}

static void kept_deinit(kept *k) {
    if (k->has_case) {
        sy__case_deinit(&k->made);
        sy__outcome_deinit(&k->expected);
    }
    sy__free_array(NULL, k->bytes, k->n_bytes, 1);
    sy__free_array(NULL, k->scratch, k->n_bytes, 1);
}

/* NULL when the loaded unit computes what is expected, else what is wrong. */
static const char *run_differs(const blob_check *b, sy_op_unit *unit, char *text, size_t n_text) {
    sy__outcome outcome;
    sy_error error;
    const char *difference = NULL;
    sy_status status = sy__case_run(&b->k->made, unit, b->k->made.n_tokens, &outcome, &error);
    if (status != SY_OK) {
        snprintf(text, n_text, "the job fails: %.120s", error.message);
        difference = text;
    } else {
        difference = sy__outcome_differs(&b->k->made, &b->k->expected, &outcome, text, n_text);
    }
    sy__outcome_deinit(&outcome);
    return difference;
}

/* A whole blob of this device must load and be right. */
static void check_whole(blob_check *b, const sy_blob *blob, const char *check, const char *what) {
    sy_op_unit unit = {.runner = NULL};
    sy_error error;
    char text[200] = "";
    sy__conform_doing(b->c, "loading %s of %.120s", what, b->k->made.name);
    sy_status status = sy_op_load_blob(&b->s->runner, &b->k->made.graph, blob, &unit, &error);
    const char *wrong = status != SY_OK ? error.message : run_differs(b, &unit, text, sizeof(text));
    sy_op_unload(&unit);
    sy__conform_check(b->c, wrong == NULL, check, "%s, %s: %.200s.", b->k->made.name, what, wrong);
}

/* The grade, REJECT when probe itself refuses the bytes. */
static sy_grade probe(blob_check *b, const sy_blob *blob, const char *what) {
    sy_compatibility answer = {.header = SY_HEADER_INIT(sy_compatibility), .grade = UINT32_MAX};
    sy_status status = b->s->table.probe(b->s->runner.device, blob, &answer);
    uint32_t kind = SY_STATUS_CLASS(status);
    sy__conform_check(b->c,
                      status == SY_OK ? answer.grade <= SY_GRADE_REJECT
                                      : kind == SY_DATA_LOSS || kind == SY_FAILED_PRECONDITION,
                      "L5.probe", "%s, %s: probe answers %s and grade %u.", b->k->made.name, what,
                      sy_status_name(status), answer.grade);
    if (status != SY_OK) {
        return SY_GRADE_REJECT;
    }
    answer.why[sizeof(answer.why) - 1] = '\0';
    sy__conform_check(b->c, answer.grade == SY_GRADE_EXACT || answer.why[0] != '\0',
                      "L5.probe_reason", "%s, %s: grade %u without a reason.", b->k->made.name,
                      what, answer.grade);
    return answer.grade;
}

/* An altered blob: refused for what it is, or harmless. */
static void check_altered(blob_check *b, const sy_blob *blob, const char *what) {
    sy_op_unit unit = {.runner = NULL};
    sy_error error;
    char text[200] = "";
    size_t n_live = b->s->host.n_live;
    sy__conform_doing(b->c, "probing and loading %s of %.120s", what, b->k->made.name);
    if (b->s->table.probe != NULL) {
        (void)probe(b, blob, what);
    }
    sy_status status = sy_op_load_blob(&b->s->runner, &b->k->made.graph, blob, &unit, &error);
    if (status == SY_OK) {
        const char *wrong = run_differs(b, &unit, text, sizeof(text));
        sy__conform_check(b->c, wrong == NULL, "L5.altered", "%s, %s is loaded and: %s.",
                          b->k->made.name, what, wrong);
    } else {
        uint32_t kind = SY_STATUS_CLASS(status);
        sy__conform_check(b->c, kind == SY_DATA_LOSS || kind == SY_FAILED_PRECONDITION,
                          "L5.refusal", "%s, %s: load answers %s.", b->k->made.name, what,
                          sy_status_name(status));
        sy__conform_check(
            b->c, error.message[0] != '\0' && strstr(error.message, "no report") == NULL,
            "L5.refusal", "%s, %s: load refuses it without a word.", b->k->made.name, what);
    }
    sy_op_unload(&unit);
    sy__conform_check(b->c, b->s->host.n_live == n_live, "L5.leaks",
                      "%s, %s: %zu allocations stay.", b->k->made.name, what,
                      b->s->host.n_live - n_live);
}

static void check_bytes(blob_check *b) {
    const kept *k = b->k;
    char what[96];
    for (size_t i = 0; i < CUTS && k->n_bytes > 0; i++) {
        size_t n = i + 1 == CUTS ? k->n_bytes - 1 : i < 8 ? i : i * k->n_bytes / CUTS;
        sy_blob cut = k->blob;
        cut.bytes.length_bytes = n < k->n_bytes ? n : k->n_bytes - 1;
        snprintf(what, sizeof(what), "a blob cut to %zu of %zu bytes",
                 (size_t)cut.bytes.length_bytes, k->n_bytes);
        check_altered(b, &cut, what);
    }
    for (size_t i = 0; i < FLIPS && k->n_bytes > 0; i++) {
        size_t at = i < 32 ? i : (i - 32) * (k->n_bytes - 1) / (FLIPS - 33);
        at = at < k->n_bytes ? at : k->n_bytes - 1;
        sy_blob flipped = k->blob;
        memcpy(k->scratch, k->bytes, k->n_bytes);
        k->scratch[at] = (uint8_t)(k->scratch[at] ^ 1u << i % 8);
        flipped.bytes.pointer = k->scratch;
        snprintf(what, sizeof(what), "a blob with a bit of byte %zu flipped", at);
        check_altered(b, &flipped, what);
    }
}

/* What a blob says of itself: another stamp, format or segment. */
static void check_labels(blob_check *b) {
    sy_blob other[3] = {b->k->blob, b->k->blob, b->k->blob};
    const char *const what[] = {"a blob with another stamp", "a blob of another format",
                                "a blob of another segment"};
    snprintf(other[0].stamp, sizeof(other[0].stamp), "another device and driver");
    other[1].format ^= 0x40000000u;
    other[2].segment_digest[7] ^= 1;
    for (size_t i = 0; i < 3; i++) {
        if (b->s->table.probe != NULL && i < 2) {
            sy__conform_check(b->c, probe(b, &other[i], what[i]) != SY_GRADE_EXACT,
                              "L5.probe_stale", "%s: %s is exact to probe.", b->k->made.name,
                              what[i]);
        }
        check_altered(b, &other[i], what[i]);
    }
}

/* One allocation after the other is refused in load(blob). */
static void check_refused_load(blob_check *b) {
    bool is_hit = true;
    for (uint64_t i = 0; is_hit && i < SITES_MAX; i++) {
        sy_op_unit unit = {.runner = NULL};
        sy_error error;
        size_t n_live = b->s->host.n_live;
        uint64_t n_before = b->s->host.n_allocs;
        sy__conform_doing(b->c, "loading a blob of %.120s with allocation %llu refused",
                          b->k->made.name, (unsigned long long)i);
        sy_test_host_fail_alloc(&b->s->host, i, 1);
        sy_status status =
            sy_op_load_blob(&b->s->runner, &b->k->made.graph, &b->k->blob, &unit, &error);
        sy_test_host_never_fail(&b->s->host);
        is_hit = b->s->host.n_allocs - n_before > i;
        sy__conform_check(b->c, status == SY_OK || is_hit, "L5.recovers",
                          "%s: its blob does not load after allocations were refused: %s.",
                          b->k->made.name, status == SY_OK ? "" : error.message);
        sy_op_unload(&unit);
        sy__conform_check(b->c, b->s->host.n_live == n_live, "L5.leaks",
                          "%s: %zu allocations stay when allocation %llu of load is refused.",
                          b->k->made.name, b->s->host.n_live - n_live, (unsigned long long)i);
    }
}

/* The same in compile, and the write that is refused. */
static void check_refused_compile(blob_check *b) {
    bool is_hit = true;
    sy_test_host *host = &b->s->host;
    for (uint64_t i = 0; is_hit && i < SITES_MAX; i++) {
        sy_blob blob = fresh_blob(&b->k->made);
        size_t n_live = host->n_live;
        uint64_t n_before = host->n_allocs;
        sy__conform_doing(b->c, "compiling %.120s with allocation %llu refused", b->k->made.name,
                          (unsigned long long)i);
        sy_test_host_fail_alloc(host, i, 1);
        sy_status status = sy_op_compile(&b->s->runner, &b->k->made.graph, &blob);
        sy_test_host_never_fail(host);
        is_hit = host->n_allocs - n_before > i;
        sy__conform_check(b->c, status == SY_OK || is_hit, "L5.recovers",
                          "%s: compile answers %s after allocations were refused.", b->k->made.name,
                          sy_status_name(status));
        sy__conform_check(b->c, host->n_live == n_live, "L5.leaks",
                          "%s: %zu allocations stay when allocation %llu of compile is refused.",
                          b->k->made.name, host->n_live - n_live, (unsigned long long)i);
    }
    sy_blob blob = fresh_blob(&b->k->made);
    size_t limit = host->blob_limit;
    host->blob_limit = b->k->n_bytes / 2;
    sy_status status = sy_op_compile(&b->s->runner, &b->k->made.graph, &blob);
    host->blob_limit = limit;
    sy__conform_check(b->c, status != SY_OK, "L5.write_refused",
                      "%s: compile succeeds although the host refused its bytes.", b->k->made.name);
}

/* First device: compile, and compile again. */
static void compile_case(blob_check *b) {
    sy_blob blob = fresh_blob(&b->k->made);
    const sy_memory untouched = blob.bytes;
    sy__conform_doing(b->c, "compiling %.200s", b->k->made.name);
    sy_test_host *host = &b->s->host;
    host->blob_bytes = 0;
    sy_test_host_clear_report(host);
    const sy__case *made = &b->k->made;
    sy_status status =
        b->s->table.compile(b->s->runner.device, &made->graph.view, &made->graph.segment, &blob);
    sy_conform_level *level = &b->c->report->levels[b->c->level];
    if (SY_STATUS_CLASS(status) == SY_UNIMPLEMENTED) {
        level->n_declined++;
        return;
    }
    bool is_left = memcmp(&untouched, &blob.bytes, sizeof(untouched)) == 0;
    if (!sy__conform_check(b->c, status == SY_OK && host->blob_bytes > 0 && is_left, "L5.compile",
                           "%s: compile answers %s, writes %zu bytes through blob_write and %s "
                           "out_blob.bytes: %.100s",
                           made->name, sy_status_name(status), host->blob_bytes,
                           is_left ? "leaves" : "changes", host->report)) {
        return;
    }
    blob.bytes = (sy_memory){.kind = SY_MEMORY_HOST, .fd = -1, .pointer = host->blob};
    blob.bytes.length_bytes = host->blob_bytes;
    if (!keep_bytes(b->k, &blob)) {
        return;
    }
    level->n_run++;
    check_whole(b, &b->k->blob, "L5.values", "a blob");
    sy_blob second = fresh_blob(made);
    status = sy_op_compile(&b->s->runner, &made->graph, &second);
    if (sy__conform_check(b->c, status == SY_OK, "L5.again", "%s: compiled again, it answers %s.",
                          made->name, sy_status_name(status))) {
        check_whole(b, &second, "L5.again", "a second blob");
    }
    check_refused_compile(b);
}

/* Second device: what the first one left. */
static void load_case(blob_check *b) {
    if (!b->k->has_blob) {
        return;
    }
    if (b->s->table.probe != NULL) {
        sy_grade grade = probe(b, &b->k->blob, "a blob");
        sy__conform_check(b->c, grade == SY_GRADE_EXACT, "L5.probe",
                          "%s: its own blob gets grade %u.", b->k->made.name, grade);
    }
    check_whole(b, &b->k->blob, "L5.values", "a blob of a device that was closed");
    check_bytes(b);
    check_labels(b);
    check_refused_load(b);
    check_whole(b, &b->k->blob, "L5.values", "a blob after all others");
}

static bool has_f32_weight(const sy__case *made) {
    for (size_t v = 0; v < made->graph.n_values; v++) {
        if (made->graph.values[v].kind == SY_VALUE_WEIGHT &&
            made->graph.values[v].type == SY_TYPE_F32 && strcmp(made->op, "Linear") == 0) {
            return made->n_inputs > 0 && made->n_states == 0;
        }
    }
    return false;
}

/* A blob without weights serves a model of the same shape whose weights are others. */
static void check_weights(sy__conform *c, sy__session *s, sy__session *oracle) {
    sy__pick pick;
    kept k = {.has_case = false};
    blob_check b = {c, s, &k};
    if (s->runner.info.blobs != SY_BLOBS_WITHOUT_WEIGHTS ||
        !sy__pick_where(s, has_f32_weight, &pick)) {
        return;
    }
    k.has_case = sy__case_init(&k.made, pick.i_row, pick.i_type, pick.i_shape, pick.n_tokens);
    sy_blob blob = fresh_blob(&k.made);
    if (k.has_case && sy_op_compile(&s->runner, &k.made.graph, &blob) == SY_OK &&
        keep_bytes(&k, &blob)) {
        for (size_t v = 0; v < k.made.graph.n_values; v++) {
            const sy_value_view *value = &k.made.graph.values[v];
            float *numbers = value->data.pointer;
            bool is_changed = value->kind == SY_VALUE_WEIGHT && value->type == SY_TYPE_F32;
            for (uint64_t i = 0; is_changed && i < value->data.length_bytes / sizeof(float); i++) {
                numbers[i] = 0.5f - numbers[i];
            }
        }
        if (sy__case_expect(c, oracle, &k.made, &k.expected)) {
            check_whole(&b, &k.blob, "L5.weights", "a blob of a model with other weights");
        }
    }
    kept_deinit(&k);
}

/* Opens a device, shows it each case, closes it. */
static void with_device(sy__conform *c, kept *cases, void (*visit)(blob_check *)) {
    sy__session s;
    if (sy__session_open(c, 1, &s)) {
        for (uint32_t i = 0; i < CASES; i++) {
            blob_check b = {c, &s, &cases[i]};
            if (cases[i].has_case) {
                visit(&b);
            }
        }
        sy__session_close(c, &s);
    }
}

/* Cases that the delegate takes; false when it compiles nothing. */
static bool pick_cases(sy__conform *c, sy__session *oracle, kept *cases) {
    sy__session s;
    if (!sy__session_open(c, 1, &s)) {
        return false;
    }
    bool compiles = s.table.compile != NULL;
    for (uint32_t i = 0; compiles && i < CASES; i++) {
        sy__pick pick;
        sy__case *made = &cases[i].made;
        if (!sy__pick_case(&s, i == 1, &pick)) {
            continue;
        }
        if (sy__case_init(made, pick.i_row, pick.i_type, pick.i_shape, pick.n_tokens)) {
            cases[i].has_case = true;
            (void)sy__case_expect(c, oracle, made, &cases[i].expected);
        } else {
            sy__case_deinit(made);
        }
    }
    if (!compiles) {
        sy__conform_note(c, "left out: it offers no compile");
    } else if (s.runner.info.blobs == SY_BLOBS_NOT_KEPT) {
        sy__conform_note(c, "it does not let the host keep its blobs");
    }
    if (compiles) {
        check_weights(c, &s, oracle);
    }
    sy__session_close(c, &s);
    return compiles;
}

void sy__conform_blobs(sy__conform *c) {
    kept cases[CASES];
    sy__session oracle;
    memset(cases, 0, sizeof(cases));
    if (!sy__oracle_open(c, &oracle)) {
        return;
    }
    if (pick_cases(c, &oracle, cases)) {
        with_device(c, cases, compile_case);
        with_device(c, cases, load_case);
    }
    for (uint32_t i = 0; i < CASES; i++) {
        kept_deinit(&cases[i]);
    }
    sy__session_close(c, &oracle);
}
