/* SPDX-License-Identifier: Apache-2.0 */
/* L6: faults. What holds for every delegate - health counts what lives, saved rows come back on a
 * device that is opened anew - and what a test build does when its option `fault` makes the device
 * fail (RULES.md): each failure is a status, nothing is left, a device opened anew is sound. */
#include "conform/faults.h"

#include "base/clock.h"
#include "switchyard/registry.h"

#include <stdio.h>
#include <string.h>

#define CREATIONS_MOST 64u
#define AT_ONCE_NS (1000 * SY__MILLISECOND)

bool sy__fault_is_lost(sy_status status) {
    return SY_STATUS_CLASS(status) == SY_UNAVAILABLE;
}

bool sy__fault_open(sy__fault_check *f, const char *fault, sy__session *session) {
    char line[64];
    snprintf(line, sizeof(line), "%s%s%s", fault[0] != '\0' ? "fault=" : "", fault,
             fault[0] != '\0' ? "\n" : "");
    f->fault = fault;
    f->s = session;
    sy__conform_doing(f->c, "opening a device with fault=%s", fault);
    bool is_open = sy__session_open_with(f->c, 1, line, session);
    f->has_cancel = is_open && session->table.cancel != NULL;
    return is_open;
}

/* Loads, runs and compares. OK only with the values of the reference. */
sy_status sy__fault_run(sy__fault_check *f, sy__outcome *out_outcome, sy_error *error) {
    sy_op_unit unit = {.runner = NULL};
    sy__outcome outcome;
    char text[200];
    memset(&outcome, 0, sizeof(outcome));
    sy_status status = sy_op_load(&f->s->runner, &f->made->graph, &unit, error);
    if (status == SY_OK) {
        status = sy__case_run(f->made, &unit, f->made->n_tokens, &outcome, error);
    }
    const char *difference =
        status == SY_OK ? sy__outcome_differs(f->made, f->expected, &outcome, text, sizeof(text))
                        : NULL;
    if (difference != NULL) {
        status = sy_error_set(error, SY_INTERNAL, "%s", difference);
    }
    sy_op_unload(&unit);
    if (status == SY_OK && out_outcome != NULL) {
        *out_outcome = outcome;
    } else {
        sy__outcome_deinit(&outcome);
    }
    return status;
}

sy_health sy__fault_health(sy__fault_check *f) {
    sy_health health = {.header = SY_HEADER_INIT(sy_health), .state = UINT32_MAX};
    uint64_t start_ns = sy__clock_now_ns();
    sy_status status = f->s->table.health(f->s->runner.device, &health);
    sy__conform_check(f->c, status == SY_OK && sy__clock_now_ns() - start_ns < AT_ONCE_NS,
                      "L6.health", "%s, fault=%s: health answers %s after %llu ms.", f->made->name,
                      f->fault, sy_status_name(status),
                      (unsigned long long)((sy__clock_now_ns() - start_ns) / SY__MILLISECOND));
    return health;
}

/* health counts what lives, and forgets what is gone. */
static void check_handles(sy__fault_check *f) {
    sy_op_unit unit = {.runner = NULL};
    sy_error error;
    sy_state *state = NULL;
    sy_health before = sy__fault_health(f), during = before;
    sy_status status = sy_op_load(&f->s->runner, &f->made->graph, &unit, &error);
    if (status == SY_OK && f->made->n_states > 0) {
        status = f->s->table.state_create(f->s->runner.device, &f->made->states[0], &state);
    }
    during = sy__fault_health(f);
    if (state != NULL) {
        f->s->table.state_destroy(state);
    }
    sy_op_unload(&unit);
    sy_health after = sy__fault_health(f);
    sy__conform_check(f->c, status == SY_OK && before.state != SY_HEALTH_LOST, "L6.health",
                      "%s: a device that was just opened is in state %u.", f->made->name,
                      before.state);
    sy__conform_check(
        f->c,
        during.live_handles > before.live_handles && after.live_handles == before.live_handles,
        "L6.handles", "%s: health counts %llu handles, %llu with a unit loaded, %llu without.",
        f->made->name, (unsigned long long)before.live_handles,
        (unsigned long long)during.live_handles, (unsigned long long)after.live_handles);
}

/* Rows that one device saved are loaded by the next and saved again: the same bytes. */
static void check_rows(sy__fault_check *f, const sy__outcome *saved) {
    const sy_plugin *t = &f->s->table;
    for (uint32_t k = 0; k < f->made->n_states; k++) {
        sy_state *state = NULL;
        uint64_t n_rows = saved->n_rows[0], n_bytes = n_rows * saved->row_bytes[k];
        uint8_t *again = sy__alloc_array(NULL, (size_t)n_bytes, 1);
        sy_status status = again != NULL
                               ? t->state_create(f->s->runner.device, &f->made->states[k], &state)
                               : (sy_status)SY_RESOURCE_EXHAUSTED;
        if (status == SY_OK) {
            status = t->state_load(state, 0, n_rows, saved->rows[0][k], n_bytes);
        }
        if (status == SY_OK) {
            status = t->state_save(state, 0, n_rows, again, n_bytes);
        }
        sy__conform_check(
            f->c, status == SY_OK && memcmp(again, saved->rows[0][k], (size_t)n_bytes) == 0,
            "L6.state", "%s: %llu rows saved on a device that is gone come back as %s.",
            f->made->name, (unsigned long long)n_rows,
            status == SY_OK ? "others" : sy_status_name(status));
        if (state != NULL) {
            t->state_destroy(state);
        }
        sy__free_array(NULL, again, (size_t)n_bytes, 1);
    }
}

/* A device that is opened anew computes, and takes the rows that another left. */
void sy__fault_reopened(sy__fault_check *f, const sy__outcome *saved, const char *after) {
    sy__session s;
    sy_error error;
    if (!sy__fault_open(f, "", &s)) {
        return;
    }
    sy__conform_doing(f->c, "running %.120s on a device opened after %s", f->made->name, after);
    sy_status status = sy__fault_run(f, NULL, &error);
    sy__conform_check(f->c, status == SY_OK, "L6.reopen", "%s: opened anew after %s, %.200s.",
                      f->made->name, after, status == SY_OK ? "" : error.message);
    if (saved != NULL) {
        check_rows(f, saved);
    }
    sy__session_close(f->c, &s);
}

/* Allocations that stay after a load and a run on a device, made once and for all. */
static size_t count_kept(sy__fault_check *f) {
    sy__session s;
    sy_error error;
    if (!sy__fault_open(f, "", &s)) {
        return 0;
    }
    size_t n_live = s.host.n_live;
    sy_status status = sy__fault_run(f, NULL, &error);
    size_t n_kept = status == SY_OK ? s.host.n_live - n_live : 0;
    sy__session_close(f->c, &s);
    return n_kept;
}

/* The Nth creation is refused, once; false when there were fewer. */
static bool check_memory_at(sy__fault_check *f, uint32_t n, size_t n_kept) {
    sy__session s;
    sy_error error;
    char fault[32];
    snprintf(fault, sizeof(fault), "memory@%u", n);
    if (!sy__fault_open(f, fault, &s)) {
        return false;
    }
    sy__conform_doing(f->c, "%.120s: creation %u has no memory", f->made->name, n);
    size_t n_live = s.host.n_live;
    uint64_t n_handles = sy__fault_health(f).live_handles;
    sy_status status = sy__fault_run(f, NULL, &error);
    bool is_hit = status != SY_OK;
    sy__conform_check(f->c, !is_hit || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED,
                      "L6.memory", "%s, %s: it answers %s.", f->made->name, fault,
                      sy_status_name(status));
    status = is_hit ? sy__fault_run(f, NULL, &error) : (sy_status)SY_OK;
    sy__conform_check(f->c, status == SY_OK, "L6.memory_recovers",
                      "%s, %s: it does not work again: %.150s.", f->made->name, fault,
                      status == SY_OK ? "" : error.message);
    sy__conform_check(
        f->c, s.host.n_live <= n_live + n_kept && sy__fault_health(f).live_handles == n_handles,
        "L6.memory_leaks", "%s, %s: something stays.", f->made->name, fault);
    sy__session_close(f->c, &s);
    return is_hit;
}

static void check_memory(sy__fault_check *f) {
    uint32_t n = 1;
    size_t n_kept = count_kept(f);
    while (n < CREATIONS_MOST && check_memory_at(f, n, n_kept)) {
        n++;
    }
    sy__conform_check(f->c, n > 1, "L6.memory", "%s: fault=memory@1 refuses nothing.",
                      f->made->name);
}

/* The first job gives no numbers, the second is right. */
static void check_garbage(sy__fault_check *f) {
    sy__session s;
    sy_error error;
    sy__outcome outcome;
    sy_op_unit unit = {.runner = NULL};
    if (f->made->graph.values[f->made->outputs[0]].type != SY_TYPE_F32 ||
        !sy__fault_open(f, "garbage@1", &s)) {
        return;
    }
    memset(&outcome, 0, sizeof(outcome));
    sy_status status = sy_op_load(&s.runner, &f->made->graph, &unit, &error);
    if (status == SY_OK) {
        status = sy__case_run(f->made, &unit, f->made->n_tokens, &outcome, &error);
    }
    float first = 0;
    if (status == SY_OK) {
        memcpy(&first, outcome.outputs[0], sizeof(first));
    }
    sy__conform_check(f->c, status == SY_OK && first != first, "L6.garbage",
                      "%s, garbage@1: the job ends as %s with %g in its output.", f->made->name,
                      sy_status_name(status), (double)first);
    sy_op_unload(&unit);
    sy__outcome_deinit(&outcome);
    status = sy__fault_run(f, NULL, &error);
    sy__conform_check(f->c, status == SY_OK, "L6.garbage", "%s: the job after it: %.150s.",
                      f->made->name, status == SY_OK ? "" : error.message);
    sy__session_close(f->c, &s);
}

static void check_case(sy__fault_check *f, bool has_faults) {
    sy__session s;
    sy__outcome saved;
    sy_error error;
    if (!sy__fault_open(f, "", &s)) {
        return;
    }
    check_handles(f);
    sy_status status = sy__fault_run(f, &saved, &error);
    sy__conform_check(f->c, status == SY_OK, "L6.values", "%s: %.200s.", f->made->name,
                      status == SY_OK ? "" : error.message);
    sy__session_close(f->c, &s);
    if (status == SY_OK) {
        sy__fault_reopened(f, &saved, "another was closed");
        sy__outcome_deinit(&saved);
    }
    if (has_faults) {
        sy__faults_lost(f);
        sy__faults_hung(f);
        check_memory(f);
        check_garbage(f);
    }
    f->c->report->levels[f->c->level].n_run++;
}

static bool pick(sy__conform *c, bool with_state, sy__pick *out_pick) {
    sy__session s;
    bool is_there = sy__session_open(c, 1, &s);
    if (is_there) {
        is_there = sy__pick_case(&s, with_state, out_pick);
        sy__session_close(c, &s);
    }
    return is_there;
}

void sy__conform_faults(sy__conform *c) {
    bool has_faults = sy_registry_file_has_option(c->options->path, "fault") != 0;
    sy__session oracle;
    if (!has_faults) {
        sy__conform_note(c, "no faults were made: its manifest lists no option `fault`");
    }
    if (!sy__oracle_open(c, &oracle)) {
        return;
    }
    for (int with_state = 0; with_state < 2; with_state++) {
        sy__pick picked;
        sy__case made;
        sy__outcome expected;
        if (!pick(c, with_state != 0, &picked)) {
            continue;
        }
        if (sy__case_init(&made, picked.i_row, picked.i_type, picked.i_shape, picked.n_tokens)) {
            if (sy__case_expect(c, &oracle, &made, &expected)) {
                sy__fault_check f = {.c = c, .made = &made, .expected = &expected};
                check_case(&f, has_faults);
            }
            sy__outcome_deinit(&expected);
        }
        sy__case_deinit(&made);
    }
    sy__session_close(c, &oracle);
}
