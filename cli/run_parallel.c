/* SPDX-License-Identifier: Apache-2.0 */
#include "run_parallel.h"

#include "engine_flags.h"
#include "memory.h"
#include "text_lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STOPS_MAX (SY_CLI_ITEMS_MAX + SY_CHAT_STOPS)

/* An answer as it comes together. */
typedef struct answer {
    char *bytes;
    size_t n_bytes, capacity;
    int is_done;
} answer;

/* A session and the request that it works on. */
typedef struct lane {
    sy_session *session;
    sy_sampler *sampler;
    sy_cli_tokens prompt;
    struct work *work;
    answer *answer; /* NULL: free */
} lane;

typedef struct work {
    const sy_run_parallel *run;
    sy_scheduler *scheduler;
    sy_cli_lines lines;
    answer *answers; /* [lines.n] */
    lane *lanes;     /* [run->n_sessions] */
    uint32_t i_next, i_printed, n_generated;
    uint32_t n_stops;
    const char *stops[STOPS_MAX];
    sy_status status; /* of the first request that failed */
    sy_error *error;
} work;

static int append(answer *a, const char *text, size_t n_bytes) {
    const sy_allocator *heap = sy_allocator_heap();
    if (a->capacity - a->n_bytes < n_bytes) {
        size_t capacity = 2 * (a->n_bytes + n_bytes);
        char *grown = heap->reallocate(heap->self, a->bytes, a->capacity, capacity, 16);
        if (grown == NULL) {
            return 0;
        }
        a->bytes = grown;
        a->capacity = capacity;
    }
    memcpy(a->bytes + a->n_bytes, text, n_bytes);
    a->n_bytes += n_bytes;
    return 1;
}

static int on_event(void *user, const sy_request_event *event) {
    lane *l = user;
    work *w = l->work;
    int kept = event->n_bytes == 0 || append(l->answer, event->text, event->n_bytes);
    if (!kept && w->status == SY_OK) {
        w->status = sy_error_set(w->error, SY_RESOURCE_EXHAUSTED, "No memory for an answer.");
    }
    if (event->finish == SY_FINISH_FAILED && w->status == SY_OK) {
        w->status = event->status;
        *w->error = *event->error;
    }
    if (event->finish != SY_FINISH_NONE) {
        w->n_generated += event->result->n_tokens;
        l->answer->is_done = 1;
        l->answer = NULL;
    }
    return !kept;
}

/* What the model reads for a line: in its chat template, or as it is. */
static sy_status encode(const work *w, const char *line, sy_cli_tokens *out_tokens,
                        sy_error *error) {
    const sy_tokenizer *tokenizer = sy_engine_tokenizer(w->run->engine);
    const sy_chat_format *format = w->run->format;
    sy_chat_message messages[2] = {{.role = "system", .content = w->run->system},
                                   {.role = "user", .content = line}};
    size_t i_first = w->run->system != NULL ? 0 : 1, n = 0;
    if (format == NULL) {
        return sy_cli_encode(tokenizer, line, strlen(line), SY_ENCODE_ADD_SPECIAL, out_tokens,
                             error);
    }
    sy_status status = sy_chat_render(format, messages + i_first, 2 - i_first, SY_CHAT_GENERATE,
                                      NULL, 0, &n, error);
    char *text = status == SY_OK ? sy_cli_allocate(n, 1) : NULL;
    if (status == SY_OK && text == NULL) {
        status = sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for a prompt.");
    }
    if (status == SY_OK) {
        status = sy_chat_render(format, messages + i_first, 2 - i_first, SY_CHAT_GENERATE, text, n,
                                &n, error);
    }
    if (status == SY_OK) {
        uint32_t flags = SY_ENCODE_PARSE_SPECIAL | (format->adds_begin ? SY_ENCODE_ADD_SPECIAL : 0);
        status = sy_cli_encode(tokenizer, text, n, flags, out_tokens, error);
    }
    sy_cli_free(text, n, 1);
    return status;
}

static sy_status start(work *w, lane *l, uint32_t i_line, sy_error *error) {
    uint64_t id = 0;
    const sy_generate_options *generate = w->run->generate;
    sy_cli_free_tokens(&l->prompt);
    sy_sampler_destroy(l->sampler); /* each request begins with the seed */
    l->sampler = NULL;
    sy_status status = encode(w, w->lines.items[i_line], &l->prompt, error);
    if (status == SY_OK) {
        status = sy_sampler_create(NULL, sy_engine_info(w->run->engine)->n_vocabulary,
                                   w->run->sampling, &l->sampler, error);
    }
    if (status == SY_OK) {
        status = sy_session_rewind(l->session, 0, error);
    }
    if (status != SY_OK) {
        return status;
    }
    const sy_request_options request = {.struct_bytes = sizeof(request),
                                        .session = l->session,
                                        .tokens = l->prompt.ids,
                                        .n_tokens = (uint32_t)l->prompt.n,
                                        .sampler = l->sampler,
                                        .n_tokens_max = generate->n_tokens_max,
                                        .ignore_end = generate->ignore_end,
                                        .n_stops = w->n_stops,
                                        .stops = w->stops,
                                        .callback = on_event,
                                        .user = l};
    l->answer = &w->answers[i_line];
    return sy_scheduler_submit(w->scheduler, &request, &id, error);
}

static void print_ready(work *w) {
    for (; w->i_printed < w->i_next && w->answers[w->i_printed].is_done; w->i_printed++) {
        answer *a = &w->answers[w->i_printed];
        fwrite(a->bytes, 1, a->n_bytes, stdout);
        fputc('\n', stdout);
        fflush(stdout);
    }
}

static sy_status run_all(work *w, sy_error *error) {
    uint32_t n_left = 0;
    sy_status status = SY_OK;
    do {
        for (uint32_t i = 0; status == SY_OK && i < w->run->n_sessions; i++) {
            if (w->lanes[i].answer == NULL && w->i_next < w->lines.n) {
                status = start(w, &w->lanes[i], w->i_next++, error);
            }
        }
        if (status == SY_OK) {
            status = sy_scheduler_run_step(w->scheduler, &n_left, error);
        }
        status = status == SY_OK ? w->status : status;
        print_ready(w);
    } while (status == SY_OK && (n_left > 0 || w->i_next < w->lines.n));
    return status;
}

static sy_status open_work(work *w, sy_error *error) {
    const sy_run_parallel *run = w->run;
    sy_status status = sy_cli_read_lines(&(const sy_cli_list){.n = 0}, run->path, &w->lines, error);
    w->answers = sy_cli_allocate(w->lines.n, sizeof(*w->answers));
    w->lanes = sy_cli_allocate(run->n_sessions, sizeof(*w->lanes));
    if (status == SY_OK && (w->answers == NULL || w->lanes == NULL)) {
        status = sy_error_set(error, SY_RESOURCE_EXHAUSTED, "No memory for the requests.");
    }
    if (status == SY_OK) {
        status = sy_scheduler_create(run->engine, NULL, &w->scheduler, error);
    }
    for (uint32_t i = 0; status == SY_OK && i < run->n_sessions; i++) {
        w->lanes[i].work = w;
        status = sy_session_open(run->engine, 0, &w->lanes[i].session, error);
        if (status == SY_OK) {
            status = sy_cli_adapters_use(run->adapters, w->lanes[i].session, error);
        }
    }
    for (uint32_t i = 0; i < run->generate->n_stops; i++) {
        w->stops[w->n_stops++] = run->generate->stops[i];
    }
    for (uint32_t i = 0; run->format != NULL && i < run->format->n_stops; i++) {
        w->stops[w->n_stops++] = run->format->stops[i];
    }
    return status;
}

static void close_work(work *w) {
    const sy_allocator *heap = sy_allocator_heap();
    sy_scheduler_destroy(w->scheduler);
    for (uint32_t i = 0; w->lanes != NULL && i < w->run->n_sessions; i++) {
        sy_session_close(w->lanes[i].session);
        sy_sampler_destroy(w->lanes[i].sampler);
        sy_cli_free_tokens(&w->lanes[i].prompt);
    }
    for (uint32_t i = 0; w->answers != NULL && i < w->lines.n; i++) {
        heap->reallocate(heap->self, w->answers[i].bytes, w->answers[i].capacity, 0, 16);
    }
    sy_cli_free(w->answers, w->lines.n, sizeof(*w->answers));
    sy_cli_free(w->lanes, w->run->n_sessions, sizeof(*w->lanes));
    sy_cli_free_lines(&w->lines);
}

sy_status sy_run_in_parallel(const sy_run_parallel *run, sy_error *error) {
    work w = {.run = run, .error = error};
    sy_scheduler_stats stats;
    sy_status status = open_work(&w, error);
    uint64_t start_ns = sy_cli_now_ns();
    if (status == SY_OK) {
        status = run_all(&w, error);
    }
    double seconds = (double)(sy_cli_now_ns() - start_ns) / 1e9;
    if (status == SY_OK && !run->quiet) {
        sy_scheduler_get_stats(w.scheduler, &stats);
        fprintf(stderr,
                "\n%u requests in %.3f s: %" PRIu64 " prompt tokens, %u generated, %.1f tokens/s "
                "together; %" PRIu64 " steps of at most %u sessions\n",
                w.lines.n, seconds, stats.n_prompt_tokens, w.n_generated,
                seconds > 0 ? w.n_generated / seconds : 0, stats.n_steps, stats.n_sequences_most);
    }
    close_work(&w);
    return status;
}
