/* SPDX-License-Identifier: Apache-2.0 */
/* Running a case on one delegate, and comparing what two delegates made of it. */
#include "conform/conform_internal.h"

#include "reference/blocks.h"
#include "switchyard/types.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW_ELEMENTS_MAX 512u

/* The tokens of a step over up to three sequences of different pasts. */
static void make_sequences(const sy__case *self, int64_t n_tokens, sy__outcome *out) {
    uint32_t n = (uint32_t)n_tokens, past = self->n_states > 0 ? self->past : 0;
    uint32_t lengths[3] = {n, 0, 0};
    out->n_sequences = 1;
    if (n >= 3) {
        lengths[0] = n - n / 3 - 1;
        lengths[1] = 1;
        lengths[2] = n / 3;
        out->n_sequences = 3;
    }
    for (uint32_t i = 0, row = 0; i < out->n_sequences; i++) {
        uint32_t before = past > 2 * i ? past - 2 * i : 0;
        if (self->only_reads_states) {
            before += 1; /* there is something to read */
        }
        out->sequences[i] = (sy_sequence){row, lengths[i], before, 0};
        row += lengths[i];
    }
}

static uint64_t row_bytes_of(const sy_state_description *d) {
    uint64_t n_bytes = 0;
    return sy_type_row_bytes(d->type, d->width, &n_bytes) == SY_OK ? n_bytes : 0;
}

/* Canonical rows with numbers that depend on the place only. */
static void fill_rows(const sy_state_description *d, uint64_t n_rows, uint32_t seed,
                      uint8_t *rows) {
    float values[ROW_ELEMENTS_MAX];
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint32_t i = 0; i < d->width && i < ROW_ELEMENTS_MAX; i++) {
            values[i] = sinf((float)(r * 7 + i * 3 + seed * 11)) * 1.5f;
        }
        sy_status status = sy__row_encode(d->type, values, d->width, rows + r * row_bytes_of(d));
        (void)status; /* types of states can all be encoded */
    }
}

bool sy__case_step(const sy__case *self, int64_t n_tokens, int64_t *symbols, sy__outcome *outcome,
                   sy_op_step *out_step) {
    make_sequences(self, n_tokens, outcome);
    memset(symbols, 0, SY_SYMBOL_COUNT_MAX * sizeof(symbols[0]));
    symbols[SY_SYMBOL_TOKENS] = n_tokens;
    symbols[SY_SYMBOL_OUTPUTS] = n_tokens;
    symbols[SY_SYMBOL_SEQUENCES] = outcome->n_sequences;
    symbols[SY_SYMBOL_FIRST_FREE] = n_tokens; /* pictures */
    for (uint32_t i = 0; i < self->n_outputs; i++) {
        const sy_value_view *value = &self->graph.values[self->outputs[i]];
        if (!sy_test_value_bytes(value, symbols, SY_SYMBOL_COUNT_MAX, &outcome->output_bytes[i])) {
            return false;
        }
        outcome->outputs[i] =
            sy__arena_alloc(&outcome->arena, (size_t)outcome->output_bytes[i] + 1, 1);
        if (outcome->outputs[i] == NULL) {
            return false;
        }
    }
    *out_step = (sy_op_step){.inputs = (const void *const *)self->inputs,
                             .outputs = outcome->outputs,
                             .symbols = symbols,
                             .n_symbols = SY_SYMBOL_COUNT_MAX,
                             .n_sequences = outcome->n_sequences,
                             .sequences = outcome->sequences};
    return true;
}

/* States of every sequence with their past rows. */
static sy_status make_states(const sy__case *self, sy_op_runner *runner, sy__outcome *out,
                             sy_state **states, sy_error *error) {
    for (uint32_t i = 0; i < out->n_sequences * self->n_states; i++) {
        uint32_t s = i / self->n_states, k = i % self->n_states;
        const sy_state_description *d = &self->states[k];
        const sy_sequence *q = &out->sequences[s];
        uint64_t n_past = q->n_past + (self->only_reads_states ? q->n_tokens : 0);
        out->row_bytes[k] = row_bytes_of(d);
        out->n_rows[s] = (uint64_t)q->n_past + q->n_tokens;
        uint8_t *rows = sy__arena_alloc(&out->arena, out->n_rows[s] * out->row_bytes[k] + 1, 1);
        out->rows[s][k] = rows;
        if (rows == NULL || runner->plugin->state_create == NULL) {
            return sy_error_set(error, SY_UNIMPLEMENTED, "it offers no states");
        }
        sy_status status = runner->plugin->state_create(runner->device, d, &states[i]);
        if (status == SY_OK) {
            fill_rows(d, n_past, s, rows);
            status =
                runner->plugin->state_load(states[i], 0, n_past, rows, n_past * out->row_bytes[k]);
        }
        if (status != SY_OK) {
            return sy_error_set(error, status, "state_create or state_load of %u rows: %s",
                                (unsigned)n_past, runner->host->report);
        }
    }
    return SY_OK;
}

static sy_status read_states(const sy__case *self, sy_op_runner *runner, sy__outcome *out,
                             sy_state **states, sy_error *error) {
    for (uint32_t i = 0; i < out->n_sequences * self->n_states; i++) {
        uint32_t s = i / self->n_states, k = i % self->n_states;
        sy_status status = runner->plugin->state_save(states[i], 0, out->n_rows[s], out->rows[s][k],
                                                      out->n_rows[s] * out->row_bytes[k]);
        if (status != SY_OK) {
            return sy_error_set(error, status, "state_save: %s", runner->host->report);
        }
    }
    return SY_OK;
}

sy_status sy__case_run(const sy__case *self, sy_op_unit *unit, int64_t n_tokens,
                       sy__outcome *out_outcome, sy_error *error) {
    int64_t symbols[SY_SYMBOL_COUNT_MAX];
    sy_state *states[SY__CASE_SEQUENCES * SY__CASE_STATES] = {NULL};
    sy_op_step step;
    sy_op_runner *runner = unit->runner;
    memset(out_outcome, 0, sizeof(*out_outcome));
    sy__arena_init(&out_outcome->arena, NULL, 1 << 16);
    if (!sy__case_step(self, n_tokens, symbols, out_outcome, &step)) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "the check ran out of memory");
    }
    step.states = states;
    sy_status status = make_states(self, runner, out_outcome, states, error);
    if (status == SY_OK) {
        status = sy_op_submit(unit, &step, error);
    }
    if (status == SY_OK) {
        status = read_states(self, runner, out_outcome, states, error);
    }
    for (uint32_t i = 0; i < SY__CASE_SEQUENCES * SY__CASE_STATES; i++) {
        if (states[i] != NULL) {
            runner->plugin->state_destroy(states[i]);
        }
    }
    return status;
}

bool sy__case_expect(sy__conform *c, sy__session *oracle, const sy__case *self,
                     sy__outcome *out_expected) {
    sy_error error;
    sy_op_unit unit = {.runner = NULL};
    memset(out_expected, 0, sizeof(*out_expected));
    sy_status status = sy_op_load(&oracle->runner, &self->graph, &unit, &error);
    if (status == SY_OK) {
        status = sy__case_run(self, &unit, self->n_tokens, out_expected, &error);
    }
    sy_op_unload(&unit);
    return sy__conform_check(c, status == SY_OK, "L2.oracle", "%s: the reference fails: %.150s.",
                             self->name, status == SY_OK ? "" : error.message);
}

void sy__outcome_deinit(sy__outcome *outcome) {
    sy__arena_deinit(&outcome->arena);
}

/* Where two arrays of one type differ by more than the tolerance; n when nowhere. */
static uint64_t first_difference(sy_element_type type, const void *a, const void *b, uint64_t n,
                                 double tolerance, float *out_pair) {
    const sy_type_facts *facts = sy_type_get(type);
    float x[256], y[256];
    double largest = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < n; i += 256) {
            size_t n_now = n - i < 256 ? (size_t)(n - i) : 256;
            uint64_t at = i / facts->n_block_elements * facts->n_block_bytes;
            if (sy__row_decode(type, (const uint8_t *)a + at, n_now, x) != SY_OK ||
                sy__row_decode(type, (const uint8_t *)b + at, n_now, y) != SY_OK) {
                out_pair[0] = out_pair[1] = NAN;
                return i;
            }
            for (size_t k = 0; k < n_now; k++) {
                if (pass == 0) {
                    double size = fabs((double)x[k]); /* fmax here breaks gcc 12 for Arm */
                    largest = size > largest ? size : largest;
                    continue;
                }
                bool same = x[k] == y[k] || (isnan(x[k]) && isnan(y[k]));
                double error = fabs((double)x[k] - (double)y[k]);
                if (!same && !(error <= tolerance * largest)) {
                    out_pair[0] = x[k];
                    out_pair[1] = y[k];
                    return i + k;
                }
            }
        }
    }
    return n;
}

static uint64_t elements_of(sy_element_type type, uint64_t n_bytes) {
    const sy_type_facts *facts = sy_type_get(type);
    return n_bytes / facts->n_block_bytes * facts->n_block_elements;
}

const char *sy__outcome_differs(const sy__case *self, const sy__outcome *expected,
                                const sy__outcome *got, char *text, size_t n_text) {
    float pair[2] = {0, 0};
    for (uint32_t i = 0; i < self->n_outputs; i++) {
        sy_element_type type = self->graph.values[self->outputs[i]].type;
        uint64_t n = elements_of(type, expected->output_bytes[i]);
        uint64_t at =
            first_difference(type, expected->outputs[i], got->outputs[i], n, self->tolerance, pair);
        if (at < n) {
            snprintf(text, n_text, "output %u [%llu] is %g, the reference says %g", i,
                     (unsigned long long)at, (double)pair[1], (double)pair[0]);
            return text;
        }
    }
    for (uint32_t i = 0; i < expected->n_sequences * self->n_states; i++) {
        uint32_t s = i / self->n_states, k = i % self->n_states;
        sy_element_type type = self->states[k].type;
        uint64_t n = elements_of(type, expected->n_rows[s] * expected->row_bytes[k]);
        double tolerance = type == SY_TYPE_Q4_0 ? 0.15 : type == SY_TYPE_F32 ? 1e-6 : 1e-2;
        uint64_t at =
            first_difference(type, expected->rows[s][k], got->rows[s][k], n, tolerance, pair);
        if (at < n) {
            snprintf(text, n_text,
                     "state %u of sequence %u: row %llu has %g, the reference says %g", k, s,
                     (unsigned long long)(at / self->states[k].width), (double)pair[1],
                     (double)pair[0]);
            return text;
        }
    }
    return NULL;
}
