/* SPDX-License-Identifier: Apache-2.0 */
/* Builds one graph that holds every operator in every type, and asks each device about it once. */
#include "coverage.h"

#include "base/checked.h"
#include "switchyard/graph.h"
#include "switchyard/types.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 256 /* one super-block of the K types */
#define TOKENS 4
#define ROWS 16
#define CHANNELS 8
#define QUESTIONS_MAX 512u

static const sy_element_type types[] = {
    SY_TYPE_F32,    SY_TYPE_F16,   SY_TYPE_BF16,    SY_TYPE_Q4_0,   SY_TYPE_Q4_1,  SY_TYPE_Q5_0,
    SY_TYPE_Q5_1,   SY_TYPE_Q8_0,  SY_TYPE_Q2_K,    SY_TYPE_Q3_K,   SY_TYPE_Q4_K,  SY_TYPE_Q5_K,
    SY_TYPE_Q6_K,   SY_TYPE_Q8_K,  SY_TYPE_IQ4_NL,  SY_TYPE_IQ4_XS, SY_TYPE_MXFP4, SY_TYPE_IQ2_XXS,
    SY_TYPE_IQ2_XS, SY_TYPE_IQ2_S, SY_TYPE_IQ3_XXS, SY_TYPE_IQ3_S,  SY_TYPE_IQ1_S, SY_TYPE_IQ1_M,
    SY_TYPE_TQ1_0,  SY_TYPE_TQ2_0, SY_TYPE_NVFP4,   SY_TYPE_Q1_0,   SY_TYPE_Q2_0,  SY_TYPE_I8,
    SY_TYPE_U8,     SY_TYPE_I32,   SY_TYPE_I64,     SY_TYPE_BOOL};

const sy_element_type *sy_registry_coverage_types(uint32_t *out_n) {
    *out_n = (uint32_t)(sizeof(types) / sizeof(types[0]));
    return types;
}

/* One question: row and type of a node. */
typedef struct question {
    uint32_t i_row, i_type;
} question;

typedef struct probe {
    const sy_allocator *allocator;
    sy_graph *graph;
    void *zeros; /* bytes of every weight */
    size_t n_zeros;
    uint32_t n_values; /* for names */
    question questions[QUESTIONS_MAX];
    uint32_t n_questions;
} probe;

/* What one letter of a row's inputs stands for. */
typedef struct letter {
    char letter;
    sy_value_kind kind;
    sy_element_type type; /* SY_TYPE_INVALID: the type of the question */
    uint32_t rank;
    int64_t dims[4]; /* -1: the tokens of a step */
    const int64_t *numbers;
} letter;

#define ASKED SY_TYPE_INVALID
static const int64_t axis[] = {1}, halves[] = {WIDTH / 2, WIDTH / 2}, zero[] = {0};
static const int64_t larger[] = {1, CHANNELS, 32, 32}, pads[] = {0, 1, 0, 3};
static const int64_t end[] = {WIDTH / 2}, shape[] = {0, 2, WIDTH / 2}, doubled[] = {2, 1, 1};

static const letter letters[] = {
    {'x', SY_VALUE_INPUT, ASKED, 2, {-1, WIDTH, 0}, NULL},
    {'f', SY_VALUE_INPUT, SY_TYPE_F32, 2, {-1, WIDTH, 0}, NULL},
    {'q', SY_VALUE_INPUT, ASKED, 3, {-1, 1, WIDTH}, NULL},
    {'b', SY_VALUE_INPUT, SY_TYPE_BOOL, 2, {-1, WIDTH, 0}, NULL},
    {'i', SY_VALUE_INPUT, SY_TYPE_I32, 1, {-1, 0, 0}, NULL},
    {'w', SY_VALUE_WEIGHT, ASKED, 2, {WIDTH, WIDTH, 0}, NULL},
    {'u', SY_VALUE_WEIGHT, ASKED, 1, {WIDTH, 0, 0}, NULL},
    {'v', SY_VALUE_WEIGHT, SY_TYPE_F32, 1, {WIDTH, 0, 0}, NULL},
    {'r', SY_VALUE_WEIGHT, SY_TYPE_F32, 1, {32, 0, 0}, NULL},
    {'s', SY_VALUE_STATE, ASKED, 2, {ROWS, WIDTH, 0}, NULL},
    {'a', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {1, 0, 0}, axis},
    {'z', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {1, 0, 0}, zero},
    {'e', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {1, 0, 0}, end},
    {'p', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {2, 0, 0}, halves},
    {'h', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {3, 0, 0}, shape},
    {'d', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {3, 0, 0}, doubled},
    {'m', SY_VALUE_INPUT, ASKED, 4, {1, CHANNELS, 16, 16}, NULL},
    {'k', SY_VALUE_WEIGHT, ASKED, 4, {CHANNELS, CHANNELS, 3, 3}, NULL},
    {'t', SY_VALUE_WEIGHT, ASKED, 1, {CHANNELS, 0, 0}, NULL},
    {'o', SY_VALUE_WEIGHT, SY_TYPE_F32, 0, {0, 0, 0}, NULL},
    {'y', SY_VALUE_WEIGHT, ASKED, 0, {0, 0, 0}, NULL},
    {'c', SY_VALUE_INPUT, SY_TYPE_I32, 2, {-1, 2, 0}, NULL},
    {'n', SY_VALUE_WEIGHT, SY_TYPE_F32, 2, {WIDTH, 3, 0}, NULL},
    {'g', SY_VALUE_INPUT, SY_TYPE_F32, 2, {-1, 2, 0}, NULL},
    {'j', SY_VALUE_WEIGHT, ASKED, 3, {2, WIDTH, WIDTH}, NULL},
    {'S', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {4, 0, 0}, larger},
    {'P', SY_VALUE_WEIGHT, SY_TYPE_I64, 1, {4, 0, 0}, pads},
    {'l', SY_VALUE_INPUT, ASKED, 3, {-1, 2, WIDTH}, NULL},
};

static const letter *find_letter(char wanted) {
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (letters[i].letter == wanted) {
            return &letters[i];
        }
    }
    return NULL;
}

static sy_status weight_data(const probe *self, const letter *made, sy_value_view *view,
                             sy_error *error) {
    uint64_t n_bytes = 0, n_rows = 1;
    for (uint32_t i = 0; i + 1 < view->rank; i++) {
        n_rows *= (uint64_t)view->dims[i].bound;
    }
    uint64_t width = view->rank > 0 ? (uint64_t)view->dims[view->rank - 1].bound : 1;
    sy_status status = sy_type_row_bytes(view->type, width, &n_bytes);
    if (status != SY_OK || !sy__mul_u64(n_bytes, n_rows, &n_bytes) || n_bytes > self->n_zeros) {
        return sy_error_set(error, SY_INTERNAL, "An example of the coverage table is too large.");
    }
    const void *data = made->numbers != NULL ? (const void *)made->numbers : self->zeros;
    view->data = (sy_memory){.kind = SY_MEMORY_HOST, .fd = -1, .length_bytes = n_bytes};
    memcpy(&view->data.pointer, &data,
           sizeof(data)); /* read-only; the field is shared with others */
    return SY_OK;
}

static sy_status add_value(probe *self, const letter *made, sy_element_type asked,
                           uint32_t *out_value, sy_error *error) {
    char name[24];
    snprintf(name, sizeof(name), "value.%u", self->n_values++);
    sy_value_view view;
    memset(&view, 0, sizeof(view));
    view.name = name;
    view.kind = made->kind;
    view.type = made->type == ASKED ? asked : made->type;
    view.rank = made->rank;
    for (uint32_t i = 0; i < made->rank; i++) {
        view.dims[i] = made->dims[i] >= 0 ? (sy_dimension){.bound = made->dims[i]}
                                          : (sy_dimension){TOKENS, SY_SYMBOL_TOKENS, 1, 0};
    }
    if (made->kind == SY_VALUE_WEIGHT) {
        sy_status status = weight_data(self, made, &view, error);
        if (status != SY_OK) {
            return status;
        }
    }
    return sy_graph_add_value(self->graph, &view, out_value, error);
}

static sy_status add_node(probe *self, uint32_t i_row, uint32_t i_type, sy_error *error) {
    const sy__coverage_row *row = &sy__coverage_rows[i_row];
    uint32_t inputs[SY__COVERAGE_INPUTS_MAX], outputs[SY__COVERAGE_OUTPUTS_MAX];
    uint32_t n_inputs = (uint32_t)strlen(row->inputs);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_inputs; i++) {
        inputs[i] = SY_NO_VALUE;
        if (row->inputs[i] != SY__COVERAGE_ABSENT) {
            status = add_value(self, find_letter(row->inputs[i]), types[i_type], &inputs[i], error);
        }
    }
    if (status != SY_OK || self->n_questions >= QUESTIONS_MAX) {
        return status;
    }
    char name[64];
    snprintf(name, sizeof(name), "%s.%s", row->op, sy_type_get(types[i_type])->name);
    sy_node_view node = {.domain = row->domain,
                         .op = row->op,
                         .version = row->version,
                         .n_inputs = n_inputs,
                         .n_outputs = row->n_outputs,
                         .n_attributes = row->n_attributes,
                         .inputs = inputs,
                         .outputs = outputs,
                         .attributes = row->attributes,
                         .name = name};
    status = sy_graph_add_node(self->graph, &node, outputs, error);
    for (uint32_t i = 0; status == SY_OK && i < row->n_outputs; i++) {
        status = sy_graph_mark_output(self->graph, outputs[i], error);
    }
    if (status == SY_OK) {
        self->questions[self->n_questions++] = (question){i_row, i_type};
    }
    return status;
}

static bool takes_type(const sy__coverage_row *row, sy_element_type type) {
    const char *name = sy_type_get(type)->name;
    size_t n = strlen(name);
    for (const char *word = row->types; *word != '\0';) {
        size_t n_word = strcspn(word, " ");
        if (n_word == n && memcmp(word, name, n) == 0) {
            return true;
        }
        word += n_word + (word[n_word] == ' ');
    }
    return false;
}

static sy_status build(probe *self, sy_error *error) {
    self->n_zeros = (size_t)WIDTH * WIDTH * 8;
    self->zeros = sy__alloc_array(self->allocator, self->n_zeros, 1);
    if (self->zeros == NULL) {
        return sy__no_memory(error, self->n_zeros, "a coverage question");
    }
    sy_status status = sy_graph_create(self->allocator, "coverage", &self->graph, error);
    if (status == SY_OK) {
        status = sy_graph_set_bound(self->graph, SY_SYMBOL_TOKENS, TOKENS, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < sy__coverage_n_rows; i++) {
        for (uint32_t j = 0; status == SY_OK && j < sizeof(types) / sizeof(types[0]); j++) {
            if (takes_type(&sy__coverage_rows[i], types[j])) {
                status = add_node(self, i, j, error);
            }
        }
    }
    return status;
}

static void tell(const sy_verdict *verdict, const question *asked, sy_operator_coverage *coverage) {
    sy_operator_coverage *row = &coverage[asked->i_row];
    uint64_t bit = UINT64_C(1) << asked->i_type;
    row->types_asked |= bit;
    if (verdict->support == SY_SUPPORT_EMULATED) {
        row->types_emulated |= bit;
    } else if (verdict->support == SY_SUPPORT_NATIVE || verdict->support == SY_SUPPORT_FUSED) {
        row->types_native |= bit;
    } else if (row->why_not[0] == '\0') {
        snprintf(row->why_not, sizeof(row->why_not), "%.*s", (int)SY_REASON_TEXT_BYTES - 1,
                 verdict->why[0] != '\0' ? verdict->why : "no reason given (SYP-8)");
    }
}

static sy_status ask(const probe *self, const sy_delegate *delegate,
                     sy_operator_coverage *out_coverage, sy_error *error) {
    uint32_t n = self->n_questions;
    sy_verdict *verdicts = sy__alloc_array(self->allocator, n, sizeof(*verdicts));
    if (verdicts == NULL) {
        return sy__no_memory(error, n * sizeof(*verdicts), "verdicts");
    }
    for (uint32_t i = 0; i < n; i++) {
        verdicts[i].header = (sy_header)SY_HEADER_INIT(sy_verdict);
    }
    sy_graph_view view;
    sy_graph_view_init(self->graph, SY_PHASE_ANY, NULL, &view);
    sy_status status =
        delegate->plugin->judge(delegate->device, &view, verdicts, sizeof(*verdicts));
    for (uint32_t i = 0; i < sy__coverage_n_rows; i++) {
        memset(&out_coverage[i], 0, sizeof(out_coverage[i]));
        out_coverage[i].domain = sy__coverage_rows[i].domain;
        out_coverage[i].op = sy__coverage_rows[i].op;
    }
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        verdicts[i].why[SY_REASON_TEXT_BYTES - 1] = '\0';
        tell(&verdicts[i], &self->questions[i], out_coverage);
    }
    sy__free_array(self->allocator, verdicts, n, sizeof(*verdicts));
    return status == SY_OK ? SY_OK : sy_error_set(error, status, "It cannot judge a graph.");
}

sy_status sy__coverage_ask(const sy_allocator *allocator, const sy_delegate *delegate,
                           sy_operator_coverage *out_coverage, sy_error *error) {
    probe *self = SY__NEW(allocator, probe);
    if (self == NULL) {
        return sy__no_memory(error, sizeof(*self), "a coverage question");
    }
    self->allocator = allocator;
    sy_status status = build(self, error);
    if (status == SY_OK) {
        status = ask(self, delegate, out_coverage, error);
    }
    sy_graph_destroy(self->graph);
    sy__free_array(allocator, self->zeros, self->n_zeros, 1);
    SY__DELETE(allocator, self);
    return status;
}

static const sy_delegate *delegate_of(const sy_registry *registry, const sy_device *device) {
    uint32_t n = sy_runtime_n_delegates(registry->runtime);
    for (uint32_t i = 0; i < n; i++) {
        const sy_delegate *delegate = sy_runtime_delegate(registry->runtime, i);
        if (delegate->device == device) {
            return delegate;
        }
    }
    return NULL;
}

static sy_status cover_device(sy_registry *registry, sy_candidate_device *device, sy_error *error) {
    sy_operator_coverage *coverage =
        sy__arena_alloc(&registry->arena, sy__coverage_n_rows, sizeof(*coverage));
    if (coverage == NULL) {
        return sy__no_memory(error, sy__coverage_n_rows * sizeof(*coverage), "coverage");
    }
    sy_error why;
    sy_status status = sy__coverage_ask(registry->allocator, delegate_of(registry, device->device),
                                        coverage, &why);
    if (status == SY_OK) {
        device->coverage = coverage;
        device->n_coverage = sy__coverage_n_rows;
        return SY_OK;
    }
    if (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED) {
        if (error != NULL) {
            *error = why;
        }
        return status;
    }
    sy_error_format(&why, device->reason, sizeof(device->reason));
    return SY_OK;
}

sy_status sy_registry_cover(sy_registry *registry, sy_error *error) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; i < registry->n_candidates; i++) {
        const sy_candidate *candidate = registry->candidates[i];
        for (uint32_t j = 0; status == SY_OK && j < candidate->n_devices; j++) {
            if (candidate->devices[j].device != NULL) {
                status = cover_device(registry, &candidate->devices[j], error);
            }
        }
    }
    return status;
}
