/* SPDX-License-Identifier: Apache-2.0 */
/* switchyard tokenize: the tokens of a text, as the model's own vocabulary cuts it. */
#include "options.h"
#include "text_file.h"
#include <verbs.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char sy_cli_tokenize_about[] = "show the tokens of a text";

typedef struct job {
    int ids_only, no_special, parse_special, count_only;
    const char *file;
    sy_cli_list arguments;
} job;

/* Readable in one line: control characters and bytes that are no text show as escapes. */
static void print_piece(const char *bytes, size_t n) {
    putchar('\'');
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '\n') {
            fputs("\\n", stdout);
        } else if (byte == '\\' || byte == '\'') {
            printf("\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            printf("\\x%02x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('\'');
}

/* A token that is a part of a character shows its bytes. */
static int is_text(const sy_tokenizer *tokenizer, int32_t id, size_t n_piece) {
    size_t n = 0;
    uint32_t flags = SY_DECODE_SPECIAL | SY_DECODE_KEEP_SPACE;
    return sy_tokenizer_decode(tokenizer, &id, 1, flags, NULL, 0, &n, NULL) == SY_OK &&
           n == n_piece;
}

static int print_tokens(const sy_tokenizer *tokenizer, const int32_t *ids, size_t n,
                        const job *work) {
    size_t capacity = sy_tokenizer_max_piece_bytes(tokenizer), n_piece = 0;
    const sy_allocator *heap = sy_allocator_heap();
    char *piece = heap->reallocate(heap->self, NULL, 0, capacity, 1);
    sy_error error;
    sy_status status = SY_OK;
    if (piece == NULL) {
        sy_error_set(&error, SY_RESOURCE_EXHAUSTED, "No memory for a token of %zu bytes.",
                     capacity);
        return sy_cli_fail(&error);
    }
    if (work->count_only) {
        printf("%zu\n", n);
    }
    for (size_t i = 0; !work->count_only && status == SY_OK && i < n; i++) {
        if (work->ids_only) {
            printf("%s%d", i == 0 ? "" : " ", (int)ids[i]);
            continue;
        }
        status = sy_tokenizer_piece(tokenizer, ids[i], SY_DECODE_SPECIAL, piece, capacity, &n_piece,
                                    &error);
        if (status == SY_OK) {
            printf("%6d  ", (int)ids[i]);
            if (is_text(tokenizer, ids[i], n_piece)) {
                print_piece(piece, n_piece);
            } else {
                for (size_t k = 0; k < n_piece; k++) {
                    printf("<%02x>", (unsigned)(unsigned char)piece[k]);
                }
            }
            putchar('\n');
        }
    }
    if (work->ids_only && !work->count_only) {
        putchar('\n');
    }
    heap->reallocate(heap->self, piece, capacity, 0, 1);
    return status == SY_OK ? SY_CLI_DONE : sy_cli_fail(&error);
}

static int tokenize(const sy_tokenizer *tokenizer, const char *text, size_t n_bytes,
                    const job *work) {
    uint32_t flags = (work->no_special ? 0u : SY_ENCODE_ADD_SPECIAL) |
                     (work->parse_special ? SY_ENCODE_PARSE_SPECIAL : 0u);
    sy_cli_tokens tokens = {0};
    sy_error error;
    sy_status status = sy_cli_encode(tokenizer, text, n_bytes, flags, &tokens, &error);
    int exit_status =
        status == SY_OK ? print_tokens(tokenizer, tokens.ids, tokens.n, work) : sy_cli_fail(&error);
    sy_cli_free_tokens(&tokens);
    return exit_status;
}

static int run(const job *work) {
    sy_tokenizer *tokenizer = NULL;
    sy_error error;
    sy_cli_text read = {0};
    const char *text = work->arguments.n > 1 ? work->arguments.items[1] : NULL;
    if ((text != NULL) == (work->file != NULL)) {
        return sy_cli_usage("tokenize", "TEXT, or --file FILE (- for standard input).",
                            "give one text.");
    }
    sy_status status = text != NULL ? SY_OK : sy_cli_read_text(work->file, &read, &error);
    size_t n_bytes = text != NULL ? strlen(text) : read.n_bytes;
    if (status == SY_OK) {
        status = sy_tokenizer_open(NULL, work->arguments.items[0], &tokenizer, &error);
    }
    int exit_status = status == SY_OK
                          ? tokenize(tokenizer, text != NULL ? text : read.bytes, n_bytes, work)
                          : sy_cli_fail(&error);
    sy_tokenizer_destroy(tokenizer);
    sy_cli_free_text(&read);
    return exit_status;
}

int sy_cli_tokenize(int argc, char **argv) {
    job work = {0};
    const sy_cli_option options[] = {
        {"ids", 0, NULL, SY_CLI_SWITCH, &work.ids_only, NULL, 0, 0,
         "print the ids alone, on one line", NULL},
        {"count", 0, "show-count", SY_CLI_SWITCH, &work.count_only, NULL, 0, 0,
         "print the number of tokens alone", NULL},
        {"no-bos", 0, "no-special", SY_CLI_SWITCH, &work.no_special, NULL, 0, 0,
         "without the begin and end tokens that the model asks for", NULL},
        {"parse-special", 0, NULL, SY_CLI_SWITCH, &work.parse_special, NULL, 0, 0,
         "names of control tokens in the text become those tokens", NULL},
        {"file", 'f', NULL, SY_CLI_TEXT, &work.file, "FILE", 0, 0,
         "read the text from a file, - for standard input", NULL}};
    const sy_cli_command command = {
        .verb = "tokenize",
        .usage = "MODEL [TEXT]",
        .about = "Prints the tokens of a text, one a line: id and what it stands for.",
        .options = options,
        .n_options = SY_CLI_COUNT_OF(options),
        .n_arguments_least = 1,
        .n_arguments_most = 2};
    int exit_status = sy_cli_parse(&command, argc, argv, &work.arguments);
    return exit_status == SY_CLI_GO_ON ? run(&work) : exit_status;
}
