/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard embed: texts in, one vector each out. */
#include "engine_flags.h"
#include "memory.h"
#include "switchyard/embed.h"
#include "text_lines.h"
#include <verbs.h>

#include <stdio.h>
#include <string.h>

const char sy_cli_embed_about[] = "turn texts into vectors with an encoder model";

#define BATCH_TOKENS 2048u
#define SEQUENCES 32u

typedef struct embed_flags {
    const char *path, *pooling;
    sy_cli_list texts;
    int as_json, keep_length;
} embed_flags;

/* What the verb works with. */
typedef struct embeddings {
    sy_cli_lines texts;
    sy_cli_tokens *tokens;
    sy_embed_text *list;
    float *vectors;
    uint32_t n_embedding;
} embeddings;

static void free_embeddings(embeddings *e) {
    const uint32_t n = e->texts.n;
    for (uint32_t i = 0; e->tokens != NULL && i < n; i++) {
        sy_cli_free_tokens(&e->tokens[i]);
    }
    sy_cli_free(e->tokens, n, sizeof(*e->tokens));
    sy_cli_free(e->list, n, sizeof(*e->list));
    sy_cli_free(e->vectors, (size_t)n * e->n_embedding, sizeof(float));
    sy_cli_free_lines(&e->texts);
}

static sy_status embed(sy_engine *engine, const embed_flags *flags, sy_pooling pooling,
                       embeddings *e, sy_error *error) {
    const sy_embed_options options = {.struct_bytes = sizeof(options),
                                      .pooling = pooling,
                                      .keep_length = (uint32_t)flags->keep_length};
    sy_status status = sy_cli_read_lines(&flags->texts, flags->path, &e->texts, error);
    const uint32_t n = e->texts.n;
    if (status != SY_OK) {
        return status;
    }
    e->n_embedding = sy_engine_info(engine)->n_embedding;
    e->tokens = sy_cli_allocate(n, sizeof(*e->tokens));
    e->list = sy_cli_allocate(n, sizeof(*e->list));
    e->vectors = sy_cli_allocate((size_t)n * e->n_embedding, sizeof(float));
    if (e->tokens == NULL || e->list == NULL || e->vectors == NULL) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for %u vectors.", n);
    }
    for (uint32_t i = 0; status == SY_OK && i < n; i++) {
        const char *text = e->texts.items[i];
        status = sy_cli_encode(sy_engine_tokenizer(engine), text, strlen(text),
                               SY_ENCODE_ADD_SPECIAL, &e->tokens[i], error);
        e->list[i] =
            (sy_embed_text){.tokens = e->tokens[i].ids, .n_tokens = (uint32_t)e->tokens[i].n};
    }
    return status == SY_OK ? sy_engine_embed(engine, e->list, n, &options, e->vectors, error)
                           : status;
}

static void print_vector(const float *vector, uint32_t n, const char *separator) {
    for (uint32_t i = 0; i < n; i++) {
        printf("%s%.9g", i > 0 ? separator : "", (double)vector[i]);
    }
}

static void print(const embeddings *e, int as_json) {
    if (as_json) {
        printf("{\"n_embedding\": %u, \"embeddings\": [", e->n_embedding);
    }
    for (uint32_t i = 0; i < e->texts.n; i++) {
        const float *vector = e->vectors + (size_t)i * e->n_embedding;
        if (as_json) {
            printf("%s\n  {\"n_tokens\": %u, \"vector\": [", i > 0 ? "," : "", e->list[i].n_tokens);
        }
        print_vector(vector, e->n_embedding, as_json ? ", " : " ");
        fputs(as_json ? "]}" : "\n", stdout);
    }
    if (as_json) {
        puts("\n]}");
    }
}

/* The pooling of a name; 0 when there is none of that name. */
static int find_pooling(const char *name, sy_pooling *out_pooling) {
    static const char *const names[] = {"model", "mean", "cls", "last"};
    for (uint32_t i = 0; i < SY_CLI_COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *out_pooling = (sy_pooling)i;
            return 1;
        }
    }
    return 0;
}

static int run(sy_cli_engine *engine_flags, const sy_cli_shared *shared, const embed_flags *flags,
               sy_pooling pooling) {
    sy_error error;
    embeddings e = {.list = NULL};
    sy_error_clear(&error);
    int exit_status = sy_cli_engine_open(engine_flags, shared);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    sy_status status = embed(engine_flags->engine, flags, pooling, &e, &error);
    exit_status = status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
    if (status == SY_OK) {
        print(&e, flags->as_json);
    }
    free_embeddings(&e);
    sy_cli_engine_close(engine_flags);
    return exit_status;
}

int sy_cli_embed(int argc, char **argv) {
    sy_cli_engine engine_flags;
    sy_cli_shared shared;
    embed_flags flags = {.pooling = "model"};
    sy_pooling pooling = SY_POOLING_MODEL;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 5];
    uint32_t n = sy_cli_engine_flags(&engine_flags, options);
    const sy_cli_option own[] = {
        {"text", 't', NULL, SY_CLI_LIST, &flags.texts, "TEXT", 0, 0, "a text", NULL},
        {"file", 'f', NULL, SY_CLI_TEXT, &flags.path, "FILE", 0, 0,
         "texts, one a line; - reads standard input", NULL},
        {"pooling", 0, NULL, SY_CLI_TEXT, &flags.pooling, "NAME", 0, 0,
         "model (as the file says), mean, cls or last", NULL},
        {"keep-length", 0, NULL, SY_CLI_SWITCH, &flags.keep_length, NULL, 0, 0,
         "do not scale vectors to length 1", NULL},
        {"json", 0, NULL, SY_CLI_SWITCH, &flags.as_json, NULL, 0, 0, "print JSON", NULL}};
    memcpy(options + n, own, sizeof(own));
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL --text TEXT... | -f FILE",
        .about = "Prints one vector a line: the pooled hidden states of each text, of length 1.",
        .options = options,
        .n_options = n + SY_CLI_COUNT_OF(own)};
    int exit_status = sy_cli_engine_parse(&engine_flags, &shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (flags.texts.n == 0 && flags.path == NULL) {
        return sy_cli_usage(argv[0], "Write: switchyard embed MODEL --text \"a text\".",
                            "no text was given.");
    }
    if (!find_pooling(flags.pooling, &pooling)) {
        return sy_cli_usage(argv[0], "Use model, mean, cls or last.", "\"%s\" is no pooling.",
                            flags.pooling);
    }
    engine_flags.n_batch = engine_flags.n_batch > 0 ? engine_flags.n_batch : BATCH_TOKENS;
    engine_flags.n_sequences = SEQUENCES;
    return run(&engine_flags, &shared, &flags, pooling);
}
