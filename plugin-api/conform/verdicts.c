/* SPDX-License-Identifier: Apache-2.0 */
/* L2: every operator in every type and several shapes. A "no" has a reason, a "yes" is kept:
 * loaded, run at full and at smaller sizes, and compared with the reference. */
#include "conform/conform_internal.h"

#include "base/digest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOKENS 13
#define UNIT_BYTES (64u << 10) /* what one node may take beside weight_bytes, for its own records */
#define TOKENS_MAX 512u        /* static sizes past this are taken on trust */

typedef struct verdict_check {
    sy__conform *c;
    sy__session *plugin, *oracle;
    sy__case *made;
} verdict_check;

static bool judge(const verdict_check *v, sy_verdict *out_verdict) {
    sy_error error;
    size_t n_live = v->plugin->host.n_live;
    sy_status status = sy_op_judge(&v->plugin->runner, &v->made->graph, out_verdict, &error);
    sy__conform_check(v->c, n_live == v->plugin->host.n_live, "L2.judge_pure",
                      "%s: judge keeps memory.", v->made->name);
    return sy__conform_check(v->c, status == SY_OK, "L2.judge", "%s: judge answers %s: %.150s.",
                             v->made->name, sy_status_name(status), error.message);
}

static bool has_reason(const sy_verdict *verdict) {
    return verdict->reason != SY_REASON_NONE && verdict->reason <= SY_REASON_OTHER &&
           verdict->why[0] != '\0' && memchr(verdict->why, 0, sizeof(verdict->why)) != NULL;
}

static void check_figures(const verdict_check *v, const sy_verdict *verdict) {
    bool is_sound = verdict->support <= SY_SUPPORT_FUSED && verdict->score <= 100 &&
                    verdict->time_us >= 0 && isfinite(verdict->time_us) &&
                    verdict->confidence >= 0 && verdict->confidence <= 1 &&
                    verdict->n_only_tokens <= SY_STATIC_SIZES_MAX;
    sy__conform_check(v->c, is_sound, "L2.figures",
                      "%s: support %u, score %u, time %g us, confidence %g make no sense.",
                      v->made->name, verdict->support, verdict->score, (double)verdict->time_us,
                      (double)verdict->confidence);
}

/* What is not written in the specification is not what was claimed. */
static void check_strangers(const verdict_check *v) {
    sy_verdict verdict;
    sy_node_view *node = &v->made->graph.nodes[0];
    uint32_t version = node->version;
    node->version = version + 50;
    if (judge(v, &verdict)) {
        sy__conform_check(v->c, verdict.support == SY_SUPPORT_NO && has_reason(&verdict),
                          "L2.version", "%s: it takes version %u of the operator, unseen.",
                          v->made->op, version + 50);
    }
    node->version = version;
    sy_test_graph_int(&v->made->graph, 0, "conform_unknown", 7);
    if (judge(v, &verdict)) {
        sy__conform_check(v->c, verdict.support == SY_SUPPORT_NO && has_reason(&verdict),
                          "L2.attribute", "%s: it takes an attribute that nobody knows.",
                          v->made->op);
    }
    node->n_attributes--;
}

/* Runs both at one size and compares. */
static void check_size(const verdict_check *v, sy_op_unit *plugin, sy_op_unit *oracle,
                       int64_t n_tokens) {
    sy__outcome expected, got;
    sy_error error;
    char text[200];
    const char *name = v->made->name;
    sy__conform_doing(v->c, "running %.200s with %lld tokens", name, (long long)n_tokens);
    sy_status status = sy__case_run(v->made, oracle, n_tokens, &expected, &error);
    if (!sy__conform_check(v->c, status == SY_OK, "L2.oracle",
                           "%s: the reference itself fails: %.150s.", name, error.message)) {
        sy__outcome_deinit(&expected);
        return;
    }
    status = sy__case_run(v->made, plugin, n_tokens, &got, &error);
    if (sy__conform_check(v->c, status == SY_OK, "L2.accept_then_fail",
                          "%s with %lld tokens: accepted, but it fails (%s): %.120s.", name,
                          (long long)n_tokens, sy_status_name(status), error.message)) {
        const char *difference = sy__outcome_differs(v->made, &expected, &got, text, sizeof(text));
        sy__conform_check(v->c, difference == NULL, "L2.values", "%s with %lld tokens: %s.", name,
                          (long long)n_tokens, difference);
    }
    sy__outcome_deinit(&expected);
    sy__outcome_deinit(&got);
}

static uint64_t weights_hash(const sy__case *made) {
    uint64_t hash = SY__FNV_START;
    for (size_t i = 0; i < made->graph.n_values; i++) {
        const sy_value_view *value = &made->graph.values[i];
        if (value->kind == SY_VALUE_WEIGHT && value->data.pointer != NULL) {
            hash = sy__fnv1a(hash, value->data.pointer, (size_t)value->data.length_bytes);
        }
    }
    return hash;
}

/* Loads on the delegate; the memory it takes is what it says. */
static bool load_plugin(const verdict_check *v, sy_op_unit *out_unit) {
    sy_error error;
    uint64_t n_before = v->plugin->host.live_bytes;
    size_t n_boundary = 0; /* buffers of the runner count too */
    sy_status status = sy_op_load(&v->plugin->runner, &v->made->graph, out_unit, &error);
    if (!sy__conform_check(v->c, status == SY_OK, "L2.accept_then_fail",
                           "%s: accepted, but it does not load (%s): %.150s.", v->made->name,
                           sy_status_name(status), error.message)) {
        return false;
    }
    for (uint32_t i = 0; i < out_unit->n_buffers; i++) {
        n_boundary += (size_t)out_unit->capacity_bytes[i] + 4096;
    }
    uint64_t n_taken = v->plugin->host.live_bytes - n_before;
    sy__conform_check(v->c, n_taken <= out_unit->info.weight_bytes + n_boundary + UNIT_BYTES,
                      "L2.weight_bytes", "%s: load takes %llu bytes and says %llu.", v->made->name,
                      (unsigned long long)n_taken, (unsigned long long)out_unit->info.weight_bytes);
    return true;
}

static void check_yes(const verdict_check *v, const sy_verdict *verdict) {
    sy_op_unit plugin = {.runner = NULL}, oracle = {.runner = NULL};
    sy_error error;
    int64_t sizes[SY_STATIC_SIZES_MAX] = {v->made->n_tokens, 5, 1};
    uint32_t n_sizes = 3;
    if (verdict->n_only_tokens > 0) {
        n_sizes = 0;
        for (uint32_t i = 0; i < verdict->n_only_tokens; i++) {
            if ((int64_t)verdict->only_tokens[i] <= v->made->n_tokens) {
                sizes[n_sizes++] = verdict->only_tokens[i];
            }
        }
    }
    sy__conform_doing(v->c, "loading %.200s", v->made->name);
    sy_status status = sy_op_load(&v->oracle->runner, &v->made->graph, &oracle, &error);
    if (!sy__conform_check(v->c, status == SY_OK, "L2.oracle",
                           "%s: the reference does not load it: %.150s.", v->made->name,
                           error.message)) {
        return;
    }
    uint64_t weights = weights_hash(v->made);
    if (load_plugin(v, &plugin)) {
        plugin.is_guarded = true;
        for (uint32_t i = 0; i < n_sizes; i++) {
            check_size(v, &plugin, &oracle, sizes[i]);
        }
        v->c->report->levels[v->c->level].n_run++;
    }
    sy__conform_doing(v->c, "unloading %.200s", v->made->name);
    sy_op_unload(&plugin);
    sy_op_unload(&oracle);
    sy__conform_check(v->c, weights_hash(v->made) == weights, "L2.weights",
                      "%s: the bytes of a weight were changed.", v->made->name);
}

/* The largest static size that is worth running, or the usual number of tokens. */
static int64_t tokens_for(const sy_verdict *verdict) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < verdict->n_only_tokens && i < SY_STATIC_SIZES_MAX; i++) {
        uint32_t n = verdict->only_tokens[i];
        most = n <= TOKENS_MAX && n > most ? n : most;
    }
    return most > 0 ? (int64_t)most : TOKENS;
}

static void check_case(verdict_check *v, uint32_t i_row, uint32_t i_type, uint32_t i_shape) {
    sy_verdict verdict, again;
    sy__case made;
    v->made = &made;
    if (sy__case_init(&made, i_row, i_type, i_shape, TOKENS)) {
        sy__conform_doing(v->c, "judging %.200s", made.name);
        if (judge(v, &verdict) && judge(v, &again)) {
            sy__conform_check(
                v->c, verdict.support == again.support && verdict.reason == again.reason,
                "L2.judge_pure", "%s: judged twice, answered differently.", made.name);
            if (verdict.support == SY_SUPPORT_NO) {
                sy__conform_check(v->c, has_reason(&verdict), "L2.reason",
                                  "%s: a \"no\" without %s.", made.name,
                                  verdict.why[0] == '\0' ? "a text" : "a reason");
                v->c->report->levels[v->c->level].n_declined++;
            } else {
                int64_t n_tokens = tokens_for(&verdict);
                check_figures(v, &verdict);
                if (i_shape == 0) {
                    check_strangers(v);
                }
                if (n_tokens != TOKENS) {
                    sy__case_deinit(&made);
                    if (!sy__case_init(&made, i_row, i_type, i_shape, n_tokens)) {
                        sy__case_deinit(&made);
                        return;
                    }
                }
                check_yes(v, &verdict);
            }
        }
    }
    sy__case_deinit(&made);
}

void sy__conform_verdicts(sy__conform *c) {
    sy__session plugin, oracle;
    if (!sy__oracle_open(c, &oracle)) {
        return;
    }
    if (sy__session_open(c, 2, &plugin)) {
        verdict_check v = {.c = c, .plugin = &plugin, .oracle = &oracle};
        for (uint32_t i_row = 0; i_row < sy__case_n_rows(); i_row++) {
            for (uint32_t i_type = 0; i_type < sy__case_n_types(i_row); i_type++) {
                for (uint32_t i_shape = 0; i_shape < sy__case_n_shapes(i_row); i_shape++) {
                    check_case(&v, i_row, i_type, i_shape);
                }
            }
        }
        sy__conform_check(c, c->report->levels[c->level].n_run > 0, "L2.something",
                          "It runs no operator of docs/operators.md.");
        sy__session_close(c, &plugin);
    }
    sy__session_close(c, &oracle);
}

bool sy__pick_where(sy__session *session, bool (*fits)(const sy__case *), sy__pick *out_pick) {
    for (uint32_t i_row = 0; i_row < sy__case_n_rows(); i_row++) {
        for (uint32_t i_type = 0; i_type < sy__case_n_types(i_row); i_type++) {
            for (uint32_t i_shape = 0; i_shape < sy__case_n_shapes(i_row); i_shape++) {
                sy__case made;
                sy_verdict verdict = {.support = SY_SUPPORT_NO};
                sy_error error;
                bool is_taken =
                    sy__case_init(&made, i_row, i_type, i_shape, TOKENS) && fits(&made) &&
                    sy_op_judge(&session->runner, &made.graph, &verdict, &error) == SY_OK &&
                    verdict.support != SY_SUPPORT_NO;
                sy__case_deinit(&made);
                if (is_taken) {
                    *out_pick = (sy__pick){i_row, i_type, i_shape, tokens_for(&verdict)};
                    return true;
                }
            }
        }
    }
    return false;
}

static bool has_states(const sy__case *made) {
    return made->n_states > 0 && made->n_inputs > 0;
}

static bool has_none(const sy__case *made) {
    return made->n_states == 0 && made->n_inputs > 0;
}

bool sy__pick_case(sy__session *session, bool with_state, sy__pick *out_pick) {
    return sy__pick_where(session, with_state ? has_states : has_none, out_pick);
}
