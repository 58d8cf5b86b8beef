/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard rerank: which documents answer a query best. */
#include "engine_flags.h"
#include "json_text.h"
#include "memory.h"
#include "switchyard/embed.h"
#include "text_lines.h"
#include <verbs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char sy_cli_rerank_about[] = "order documents by how well they answer a query";

#define BATCH_TOKENS 2048u

typedef struct rerank_flags {
    const char *query, *path;
    sy_cli_list documents;
    int as_json;
} rerank_flags;

typedef struct place {
    float score;
    uint32_t i_document;
} place;

typedef struct ranking {
    sy_cli_lines documents;
    float *scores;
    place *places; /* best first */
    sy_rerank_method method;
} ranking;

/* The higher score first; equal ones keep their order. */
static int compare(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->i_document < y->i_document ? -1 : 1;
}

static sy_status rank(sy_engine *engine, const rerank_flags *flags, ranking *r, sy_error *error) {
    sy_status status = sy_cli_read_lines(&flags->documents, flags->path, &r->documents, error);
    const uint32_t n = r->documents.n;
    if (status != SY_OK) {
        return status;
    }
    r->method = sy_engine_rerank_method(engine);
    r->scores = sy_cli_allocate(n, sizeof(*r->scores));
    r->places = sy_cli_allocate(n, sizeof(*r->places));
    if (r->scores == NULL || r->places == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %u scores.", n);
    }
    status = sy_engine_rerank(engine, flags->query, r->documents.items, n, r->scores, error);
    if (status != SY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < n; i++) {
        r->places[i] = (place){r->scores[i], i};
    }
    qsort(r->places, n, sizeof(*r->places), compare);
    return SY_OK;
}

static void print(const ranking *r, int as_json) {
    const char *method = r->method == SY_RERANK_CLASSIFIER ? "classifier" : "cosine";
    if (as_json) {
        printf("{\"method\": \"%s\", \"results\": [", method);
    } else if (r->method == SY_RERANK_COSINE) {
        fputs("the model has no classifier: documents are ordered by the cosine of embeddings\n",
              stderr);
    }
    for (uint32_t k = 0; k < r->documents.n; k++) {
        uint32_t i = r->places[k].i_document;
        if (as_json) {
            printf("%s\n  {\"index\": %u, \"score\": %.9g, \"document\": ", k > 0 ? "," : "", i,
                   (double)r->places[k].score);
        } else {
            printf("%10.6f %4u  ", (double)r->places[k].score, i);
        }
        sy_cli_put_json_text(stdout, r->documents.items[i]);
        fputs(as_json ? "}" : "\n", stdout);
    }
    if (as_json) {
        puts("\n]}");
    }
}

static int run(sy_cli_engine *engine_flags, const sy_cli_shared *shared,
               const rerank_flags *flags) {
    sy_error error;
    ranking r = {.scores = NULL};
    sy_error_clear(&error);
    int exit_status = sy_cli_engine_open(engine_flags, shared);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = rank(engine_flags->engine, flags, &r, &error);
    exit_status = status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
    if (status == SY_OK) {
        print(&r, flags->as_json);
    }
    sy_cli_free(r.scores, r.documents.n, sizeof(*r.scores));
    sy_cli_free(r.places, r.documents.n, sizeof(*r.places));
    sy_cli_free_lines(&r.documents);
    sy_cli_engine_close(engine_flags);
    return exit_status;
}

int sy_cli_rerank(int argc, char **argv) {
    sy_cli_engine engine_flags;
    sy_cli_shared shared;
    rerank_flags flags = {.query = NULL};
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 4];
    uint32_t n = sy_cli_engine_flags(&engine_flags, options);
    const sy_cli_option own[] = {
        {"query", 'q', NULL, SY_CLI_TEXT, &flags.query, "TEXT", 0, 0, "what is asked", NULL},
        {"document", 'd', NULL, SY_CLI_LIST, &flags.documents, "TEXT", 0, 0, "a document", NULL},
        {"file", 'f', NULL, SY_CLI_TEXT, &flags.path, "FILE", 0, 0,
         "documents, one a line; - reads standard input", NULL},
        {"json", 0, NULL, SY_CLI_SWITCH, &flags.as_json, NULL, 0, 0, "print JSON", NULL}};
    memcpy(options + n, own, sizeof(own));
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL --query TEXT --document TEXT... | -f FILE",
        .about = "Prints score, number and text of each document, the best first. The scores are "
                 "the logits of the model's\nclassifier, or cosines of embeddings where it has "
                 "none.",
        .options = options,
        .n_options = n + SY_CLI_COUNT_OF(own)};
    int exit_status = sy_cli_engine_parse(&engine_flags, &shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (flags.query == NULL || (flags.documents.n == 0 && flags.path == NULL)) {
        return sy_cli_usage(argv[0],
                            "Write: switchyard rerank MODEL --query \"a question\" "
                            "--document \"an answer\".",
                            "a query and documents are needed.");
    }
    engine_flags.n_batch = engine_flags.n_batch > 0 ? engine_flags.n_batch : BATCH_TOKENS;
    return run(&engine_flags, &shared, &flags);
}
