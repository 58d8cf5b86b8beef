/* SPDX-License-Identifier: Apache-2.0 */
/* operator_table PLUGIN.so [OPTIONS]: what a delegate answers to the cases of the conformance.
 * A line for each operator and type: name, type, cases that run, cases that do not, and the reason
 * of the first of those, with tabs between; status 77 without a device. operator_table.py makes a
 * page of it. */
#include "conform_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TOKENS 5

/* Answers to one operator in one type. */
typedef struct answers {
    char name[64]; /* "MatMul f32" */
    uint32_t n_yes, n_no;
    char why[sizeof(((sy_verdict *)NULL)->why)];
} answers;

static bool case_add(sy_op_runner *runner, const sy__case *made, answers *a) {
    sy_verdict verdict;
    sy_error error = {0};
    if (sy_op_judge(runner, &made->graph, &verdict, &error) != SY_OK) {
        fprintf(stderr, "%s: %s\n", made->name, error.message);
        return false;
    }
    snprintf(a->name, sizeof(a->name), "%.*s", (int)strcspn(made->name, ":"), made->name);
    if (verdict.support != SY_SUPPORT_NO) {
        a->n_yes++;
    } else if (a->n_no++ == 0) {
        snprintf(a->why, sizeof(a->why), "%s", verdict.why);
    }
    return true;
}

static bool type_print(sy_op_runner *runner, uint32_t i_row, uint32_t i_type) {
    answers a = {.n_yes = 0};
    bool goes_on = true;
    for (uint32_t i = 0; goes_on && i < sy__case_n_shapes(i_row); i++) {
        sy__case made;
        if (sy__case_init(&made, i_row, i_type, i, TOKENS)) {
            goes_on = case_add(runner, &made, &a);
        }
        sy__case_deinit(&made);
    }
    if (goes_on && a.n_yes + a.n_no > 0) {
        char *type = strrchr(a.name, ' ');
        *type = '\t';
        printf("%s\t%" PRIu32 "\t%" PRIu32 "\t%s\n", a.name, a.n_yes, a.n_no, a.why);
    }
    return goes_on;
}

static bool has_device(const sy_plugin *plugin, const sy_test_host *host) {
    uint32_t n = 0;
    return plugin != NULL && plugin->enumerate(host->services.context, NULL, 0, &n) == SY_OK &&
           n > 0;
}

int main(int argc, char **argv) {
    sy_test_host host;
    sy_op_runner runner;
    sy_plugin_entry_function entry = NULL;
    void *library = NULL;
    sy_error error = {0};
    if (argc < 2 || sy_op_entry_load(argv[1], &library, &entry, &error) != SY_OK ||
        sy_test_host_init(&host, 1, &error) != SY_OK) {
        fprintf(stderr, "operator_table: %s\n", argc < 2 ? "no plugin named" : error.message);
        return 1;
    }
    if (!has_device(entry(SY_ABI_VERSION, &host.services), &host)) {
        fprintf(stderr, "operator_table: no device: %s\n", host.report);
        return 77;
    }
    if (sy_op_runner_open(&runner, entry(SY_ABI_VERSION, &host.services), &host, 0,
                          argc > 2 ? argv[2] : NULL, &error) != SY_OK) {
        fprintf(stderr, "operator_table: %s\n", error.message);
        return 1;
    }
    bool goes_on = true;
    for (uint32_t i_row = 0; goes_on && i_row < sy__case_n_rows(); i_row++) {
        for (uint32_t i_type = 0; goes_on && i_type < sy__case_n_types(i_row); i_type++) {
            goes_on = type_print(&runner, i_row, i_type);
        }
    }
    goes_on = sy_op_runner_close(&runner) == SY_OK && goes_on;
    sy_test_host_deinit(&host);
    return goes_on ? 0 : 1;
}
