/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard imatrix: how important the columns of a model's matrices are, measured over a text. */
#include "engine_flags.h"
#include "switchyard/importance.h"
#include "text_file.h"
#include <verbs.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char sy_cli_imatrix_about[] = "measure an importance matrix for quantize over a text";

#define CHUNK_TOKENS 512u
#define SAVE_EVERY 10u

typedef struct imatrix_flags {
    const char *text, *out;
    sy_cli_list in;
    uint32_t n_chunk_tokens, n_chunks, save_every;
    int go_on, quiet;
} imatrix_flags;

typedef struct work {
    const imatrix_flags *flags;
    sy_importance *importance;
    uint32_t n_read_before; /* chunks of this text */
    uint64_t start_ns;
    sy_error write_error;
    sy_status write_status;
} work;

/* A line for each chunk; the file is written now and then, so that a long run may be ended. */
static int progress(void *user, uint32_t n_read, uint32_t n_chunks) {
    work *w = user;
    double seconds = (double)(sy_cli_now_ns() - w->start_ns) * 1e-9;
    double left = seconds / (n_read - w->n_read_before) * (n_chunks - n_read);
    if (!w->flags->quiet) {
        fprintf(stderr, "%" PRIu32 " of %" PRIu32 " chunks in %.1f s, about %.0f s left\n", n_read,
                n_chunks, seconds, left);
    }
    if (w->flags->save_every != 0 && n_read % w->flags->save_every == 0 && n_read < n_chunks) {
        w->write_status = sy_importance_write(w->importance, w->flags->out, &w->write_error);
    }
    return w->write_status != SY_OK;
}

/* The file's name without its folder, which is nobody else's business. */
static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* What an earlier run over the same text left. */
static sy_status read_left(work *w, sy_error *error) {
    const char *out = w->flags->out;
    sy_importance_facts facts;
    if (!w->flags->go_on || access(out, F_OK) != 0) {
        return SY_OK;
    }
    sy_status status = sy_importance_read(w->importance, out, error);
    if (status != SY_OK) {
        return status;
    }
    sy_importance_get_facts(w->importance, &facts);
    if (facts.n_texts != 1 || strcmp(facts.text, name_of(w->flags->text)) != 0) {
        sy_error_set(error, SY_FAILED_PRECONDITION, "%.128s was not made from this text alone.",
                     out);
        sy_error_hint(error, "Give it with --in to add another text to it.");
        return SY_FAILED_PRECONDITION;
    }
    w->n_read_before = facts.n_chunks;
    return SY_OK;
}

static sy_status measure(work *w, sy_engine *engine, sy_error *error) {
    const imatrix_flags *flags = w->flags;
    sy_cli_text text = {NULL, 0, 0};
    sy_cli_tokens tokens = {NULL, 0, 0};
    sy_status status = sy_cli_read_text(flags->text, &text, error);
    if (status == SY_OK) {
        status = sy_cli_encode(sy_engine_tokenizer(engine), text.bytes, text.n_bytes,
                               SY_ENCODE_ADD_SPECIAL, &tokens, error);
    }
    if (status == SY_OK) {
        const sy_importance_text read = {.struct_bytes = sizeof(read),
                                         .n_chunk_tokens = flags->n_chunk_tokens,
                                         .name = name_of(flags->text),
                                         .tokens = tokens.ids,
                                         .n_tokens = tokens.n,
                                         .i_first_chunk = w->n_read_before,
                                         .n_chunks_most = flags->n_chunks,
                                         .progress = progress,
                                         .progress_user = w};
        w->start_ns = sy_cli_now_ns();
        status = sy_importance_measure(w->importance, engine, &read, error);
    }
    if (w->write_status != SY_OK) {
        *error = w->write_error;
        status = w->write_status;
    }
    sy_cli_free_tokens(&tokens);
    sy_cli_free_text(&text);
    return status;
}

/* Files first, then the text. */
static int run(work *w, sy_cli_engine *engine_flags, const sy_cli_shared *shared) {
    const imatrix_flags *flags = w->flags;
    sy_error error;
    sy_error_clear(&error);
    sy_status status = flags->text != NULL ? read_left(w, &error) : SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < flags->in.n; i++) {
        status = sy_importance_read(w->importance, flags->in.items[i], &error);
    }
    if (status == SY_OK && flags->text != NULL) {
        int exit_status = sy_cli_engine_open(engine_flags, shared);
        if (exit_status != SY_CLI_GO_ON) {
            return exit_status;
        }
        status = measure(w, engine_flags->engine, &error);
        sy_cli_engine_close(engine_flags);
    }
    if (status == SY_OK) {
        status = sy_importance_write(w->importance, flags->out, &error);
    }
    if (status != SY_OK) {
        return sy_cli_fail(&error);
    }
    sy_importance_facts facts;
    sy_importance_get_facts(w->importance, &facts);
    printf("%s: %" PRIu32 " matrices over %" PRIu32 " chunks of %" PRIu32 " tokens\n", flags->out,
           facts.n_tensors, facts.n_chunks, facts.n_chunk_tokens);
    return SY_CLI_DONE;
}

static uint32_t imatrix_options(imatrix_flags *flags, sy_cli_option *out_options) {
    *flags = (imatrix_flags){.save_every = SAVE_EVERY};
    const sy_cli_option options[] = {
        {"text", 'f', "file", SY_CLI_TEXT, &flags->text, "FILE", 0, 0,
         "text to measure over; - reads standard input", NULL},
        {"out", 'o', "output", SY_CLI_TEXT, &flags->out, "FILE", 0, 0, "the matrix as GGUF", NULL},
        {"in", 0, "in-file", SY_CLI_LIST, &flags->in, "FILE", 0, 0,
         "add what this file holds (GGUF or llama.cpp's older form)", NULL},
        {"continue", 0, NULL, SY_CLI_SWITCH, &flags->go_on, NULL, 0, 0,
         "go on where --out ended, if it is there", NULL},
        {"chunk-size", 0, NULL, SY_CLI_COUNT, &flags->n_chunk_tokens, "N", 0, 65536,
         "tokens that are read together; 0: 512, or the model's context", NULL},
        {"chunks", 0, NULL, SY_CLI_COUNT, &flags->n_chunks, "N", 0, 1u << 30,
         "read so many chunks at most; 0: all", NULL},
        {"save-every", 0, NULL, SY_CLI_COUNT, &flags->save_every, "N", 0, 1u << 30,
         "chunks between two writes of --out (10); 0: at the end alone", NULL},
        {"quiet", 'q', NULL, SY_CLI_SWITCH, &flags->quiet, NULL, 0, 0, "no line for each chunk",
         NULL}};
    memcpy(out_options, options, sizeof(options));
    return SY_CLI_COUNT_OF(options);
}

int sy_cli_imatrix(int argc, char **argv) {
    sy_cli_engine engine_flags;
    sy_cli_shared shared;
    imatrix_flags flags;
    sy_cli_option options[SY_CLI_ENGINE_FLAGS_MAX + 8];
    uint32_t n = sy_cli_engine_flags(&engine_flags, options);
    n += imatrix_options(&flags, options + n);
    sy_cli_shared_init(&shared);
    const sy_cli_command command = {
        .usage = "MODEL --text FILE --out FILE",
        .about =
            "Lets a model read a text and writes how much each column of its matrices is used, "
            "for quantize\n--imatrix. Without --text the files given with --in are added up.",
        .options = options,
        .n_options = n};
    int exit_status = sy_cli_engine_parse(&engine_flags, &shared, command, argc, argv);
    if (exit_status != SY_CLI_GO_ON) {
        return exit_status;
    }
    if (flags.out == NULL || (flags.text == NULL && flags.in.n == 0)) {
        return sy_cli_usage(argv[0],
                            "Write: switchyard imatrix MODEL --text calibration.txt --out "
                            "imatrix.gguf.",
                            "an output and a text (or files to add up) are needed.");
    }
    engine_flags.measure_importance = 1;
    if (engine_flags.n_batch == 0) {
        engine_flags.n_batch = flags.n_chunk_tokens != 0 ? flags.n_chunk_tokens : CHUNK_TOKENS;
    }
    sy_error error;
    work w = {.flags = &flags, .write_status = SY_OK};
    if (sy_importance_create(NULL, &w.importance, &error) != SY_OK) {
        return sy_cli_fail(&error);
    }
    exit_status = run(&w, &engine_flags, &shared);
    sy_importance_destroy(w.importance);
    return exit_status;
}
