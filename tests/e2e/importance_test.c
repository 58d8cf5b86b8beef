/* SPDX-License-Identifier: Apache-2.0 */
/* Importance matrices: what is summed up, against the weights' own file; files of both forms,
 * merged, damaged; the same numbers under every plan. */
#include "e2e/engine_model.h"
#include "quantize/importance.h"
#include "switchyard/quantize.h"

#define N_TOKENS 75u
#define CHUNK 32u

static int32_t tokens[N_TOKENS];

static void fill_tokens(void) {
    for (uint32_t i = 0; i < N_TOKENS; i++) {
        tokens[i] = (int32_t)((i * i * 3 + i + 5) % TINY_VOCAB);
    }
}

static sy_importance *create(void) {
    sy_importance *importance = NULL;
    sy_error error;
    CHECK_OK(sy_importance_create(NULL, &importance, &error));
    return importance;
}

typedef struct setting {
    uint32_t n_threads, n_batch;
    const char *plugins;
} setting;

static sy_importance_text whole_text(void) {
    return (sy_importance_text){.struct_bytes = sizeof(sy_importance_text),
                                .n_chunk_tokens = CHUNK,
                                .name = "text",
                                .tokens = tokens,
                                .n_tokens = N_TOKENS};
}

static sy_status measure_text(const setting *s, sy_importance *importance,
                              const sy_importance_text *text, sy_error *error) {
    engine_kit kit;
    sy_engine_options options;
    sy_policy policy;
    sy_policy_default(&policy);
    policy.mode = SY_POLICY_STRICT; /* by cost, the number of threads moves nodes this small */
    sy_engine_options_default(&options);
    options.policy = &policy;
    options.measure_importance = 1;
    options.n_batch_tokens = s->n_batch;
    options.n_output_rows = 1;
    CHECK_OK_ERROR(engine_kit_open(&kit, NULL, s->n_threads, s->plugins, &options), kit.error);
    sy_status status = sy_importance_measure(importance, kit.engine, text, error);
    engine_kit_close(&kit);
    return status;
}

static sy_importance *measure(const setting *s) {
    sy_importance *importance = create();
    sy_importance_text text = whole_text();
    sy_error error;
    fill_tokens();
    CHECK_OK_ERROR(measure_text(s, importance, &text, &error), error);
    return importance;
}

static const sy__importance_entry *entry_of(const sy_importance *importance, const char *name) {
    for (uint32_t i = 0; i < importance->n_entries; i++) {
        if (strcmp(importance->entries[i].name, name) == 0) {
            return &importance->entries[i];
        }
    }
    CHECK_TEXT(0, "nothing was measured of %s", name);
    return NULL;
}

static void check_near(double found, double wanted, double within, const char *what) {
    CHECK_TEXT(fabs(found - wanted) <= within * fabs(wanted) + 1e-12, "%s: %.9g, not %.9g", what,
               found, wanted);
}

static void same_numbers(const sy_importance *a, const sy_importance *b, double within) {
    CHECK(a->n_entries == b->n_entries && a->n_entries > 0);
    for (uint32_t i = 0; i < a->n_entries; i++) {
        const sy__importance_entry *x = &a->entries[i], *y = entry_of(b, x->name);
        CHECK(x->n_columns == y->n_columns && x->n_matrices == y->n_matrices);
        for (uint64_t k = 0; k < x->n_columns * x->n_matrices; k++) {
            check_near(y->sums[k], x->sums[k], within, x->name);
        }
        for (uint64_t k = 0; k < x->n_matrices; k++) {
            CHECK(x->counts[k] == y->counts[k]);
        }
    }
}

static void decode_row(const sy_gguf *gguf, const char *name, uint64_t i_row, float *out_row) {
    sy_gguf_tensor tensor;
    uint64_t row_bytes = 0;
    sy_error error;
    CHECK(sy_gguf_find_tensor(gguf, name, &tensor) && tensor.dims[0] == TINY_EMBD);
    CHECK_OK(sy_type_row_bytes(tensor.type, TINY_EMBD, &row_bytes));
    CHECK_OK(sy_dequantize_row(tensor.type, (const uint8_t *)tensor.data + i_row * row_bytes,
                               TINY_EMBD, out_row, &error));
}

/* What the first layer reads is the embedding, normalised: computed here from the file. */
static void sums_of_the_first_layer(void) {
    sy_importance *importance = measure(&(setting){2, 16, built_plugins()});
    sy_gguf *gguf = NULL;
    sy_error error;
    double sums[TINY_EMBD] = {0};
    float row[TINY_EMBD], norm[TINY_EMBD];
    CHECK_OK(sy_gguf_open(NULL, engine_model(), &gguf, &error));
    decode_row(gguf, "blk.0.attn_norm.weight", 0, norm);
    for (uint32_t t = 0; t < N_TOKENS; t++) {
        double squares = 0.0;
        decode_row(gguf, "token_embd.weight", (uint64_t)tokens[t], row);
        for (uint32_t k = 0; k < TINY_EMBD; k++) {
            squares += (double)row[k] * (double)row[k] / TINY_EMBD;
        }
        for (uint32_t k = 0; k < TINY_EMBD; k++) {
            double x = (double)row[k] * (double)norm[k];
            sums[k] += x * x / (squares + 1e-6);
        }
    }
    static const char *const readers[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight",
                                          "blk.0.attn_v.weight"};
    for (size_t i = 0; i < 3; i++) {
        const sy__importance_entry *entry = entry_of(importance, readers[i]);
        CHECK(entry->n_columns == TINY_EMBD && entry->n_matrices == 1);
        CHECK(entry->counts[0] == N_TOKENS);
        for (uint32_t k = 0; k < TINY_EMBD; k++) {
            check_near(entry->sums[k], sums[k], 1e-5, readers[i]);
        }
    }
    CHECK(entry_of(importance, "output.weight")->counts[0] ==
          N_TOKENS); /* all rows, not the last */
    CHECK(importance->n_chunks == 3 && importance->n_chunk_tokens == CHUNK);
    sy_gguf_close(gguf);
    sy_importance_destroy(importance);
}

/* Every product of every family is named, by the tensor's name in the file. */
static void every_matrix_of_a_layer_is_measured(void) {
    static const char *const families[] = {"llama",   "gemma3", "gemma3n", "qwen3moe",
                                           "gpt-oss", "lfm2",   "qwen2"};
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        engine_model_make(families[f], 0, 0);
        sy_importance *importance = measure(&(setting){1, 64, built_plugins()});
        sy_gguf *gguf = NULL;
        sy_gguf_tensor tensor;
        sy_error error;
        CHECK_OK(sy_gguf_open(NULL, engine_model(), &gguf, &error));
        for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
            float *weights = NULL;
            char name[128];
            snprintf(name, sizeof(name), "%.*s", (int)tensor.name.n_bytes, tensor.name.bytes);
            if (strncmp(name, "blk.", 4) != 0 || !sy_type_get(tensor.type)->is_block) {
                continue;
            }
            CHECK_OK_ERROR(
                sy__importance_of(sy_allocator_heap(), importance, &tensor, &weights, &error),
                error);
            CHECK_TEXT(weights != NULL, "%s: %s was not measured", families[f], name);
            uint64_t n = tensor.dims[0] * tensor.dims[2];
            sy__free_array(sy_allocator_heap(), weights, (size_t)n, sizeof(float));
        }
        sy_gguf_close(gguf);
        sy_importance_destroy(importance);
    }
}

/* The router reads the same rows as its experts, and every row goes to two of three. */
static void experts_share_what_the_router_reads(void) {
    engine_model_make("qwen3moe", 2, 0);
    sy_importance *importance = measure(&(setting){2, 16, built_plugins()});
    for (uint32_t i_layer = 0; i_layer < 2; i_layer++) {
        static const char *const names[] = {"gate", "up", "down"};
        char name[64];
        snprintf(name, sizeof(name), "blk.%u.ffn_gate_inp.weight", i_layer);
        const sy__importance_entry *router = entry_of(importance, name);
        for (size_t i = 0; i < 3; i++) {
            double n_rows = 0.0;
            snprintf(name, sizeof(name), "blk.%u.ffn_%s_exps.weight", i_layer, names[i]);
            const sy__importance_entry *experts = entry_of(importance, name);
            CHECK(experts->n_matrices == TINY_EXPERTS);
            for (uint32_t e = 0; e < TINY_EXPERTS; e++) {
                n_rows += experts->counts[e];
                CHECK(experts->counts[e] <= N_TOKENS);
            }
            CHECK(n_rows == 2.0 * N_TOKENS);
            for (uint64_t k = 0; i < 2 && k < experts->n_columns; k++) {
                double sum = 0.0;
                for (uint32_t e = 0; e < TINY_EXPERTS; e++) {
                    sum += experts->sums[e * experts->n_columns + k];
                }
                check_near(sum, 2.0 * router->sums[k], 1e-5, name);
            }
        }
    }
    sy_importance_destroy(importance);
}

/* Threads change no bit, steps of another size the last ones. */
static void the_same_under_every_plan(void) {
    static const char *const families[] = {"llama", "qwen3moe", "gemma3n"};
    for (size_t f = 0; f < 3; f++) {
        engine_model_make(families[f], 2, 0);
        sy_importance *one = measure(&(setting){1, 32, built_plugins()});
        sy_importance *three = measure(&(setting){3, 32, built_plugins()});
        sy_importance *small = measure(&(setting){2, 7, built_plugins()});
        sy_importance *reference = measure(&(setting){2, 32, NULL});
        same_numbers(one, three, 0.0);
        same_numbers(one, small, 1e-4);
        same_numbers(one, reference, 0.05); /* activations are rounded there, not here */
        sy_importance_destroy(reference);
        sy_importance_destroy(small);
        sy_importance_destroy(three);
        sy_importance_destroy(one);
    }
}

static char file_path[64];

static void remove_file(void) {
    unlink(file_path);
}

static const char *scratch_file(const void *bytes, size_t n_bytes) {
    if (file_path[0] == '\0') {
        snprintf(file_path, sizeof(file_path), "/tmp/switchyard-imatrix-XXXXXX");
        close(mkstemp(file_path));
        atexit(remove_file);
    }
    FILE *file = fopen(file_path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, n_bytes, file) == n_bytes && fclose(file) == 0);
    return file_path;
}

static void parts_in_files_add_up(void) {
    const setting s = {2, 32, built_plugins()};
    sy_importance *whole = measure(&s), *sum = create();
    sy_importance_text text = whole_text();
    sy_importance_facts facts;
    sy_error error;
    for (uint32_t i = 0; i < 3; i++) { /* chunk by chunk, through a file each */
        sy_importance *part = create();
        text.i_first_chunk = i;
        text.n_chunks_most = i + 1;
        CHECK_OK_ERROR(measure_text(&s, part, &text, &error), error);
        const char *path = scratch_file("", 0);
        CHECK_OK_ERROR(sy_importance_write(part, path, &error), error);
        CHECK_OK_ERROR(sy_importance_read(sum, path, &error), error);
        sy_importance_destroy(part);
    }
    same_numbers(whole, sum, 1e-6);
    sy_importance_get_facts(sum, &facts);
    CHECK(facts.n_chunks == 3 && facts.n_chunk_tokens == CHUNK && facts.n_texts == 1);
    CHECK(strcmp(facts.text, "text") == 0 && facts.n_tensors == whole->n_entries);
    sy_importance_destroy(sum);
    sy_importance_destroy(whole);
}

static int end_at_two(void *user, uint32_t n_read, uint32_t n_chunks) {
    (void)user;
    CHECK(n_chunks == 3);
    return n_read == 2;
}

static void an_ended_run_goes_on(void) {
    const setting s = {2, 32, built_plugins()};
    sy_importance *whole = measure(&s), *parts = create();
    sy_importance_text text = whole_text();
    sy_error error;
    text.progress = end_at_two;
    CHECK(SY_STATUS_CLASS(measure_text(&s, parts, &text, &error)) == SY_CANCELLED);
    CHECK(parts->n_chunks == 2);
    text.i_first_chunk = 2;
    CHECK_OK_ERROR(measure_text(&s, parts, &text, &error), error);
    same_numbers(whole, parts, 0.0);
    text.n_chunk_tokens = CHUNK + 1;
    CHECK(SY_STATUS_CLASS(measure_text(&s, parts, &text, &error)) == SY_INVALID_ARGUMENT);
    sy_importance_destroy(parts);
    sy_importance_destroy(whole);
}

static void wrong_uses_are_refused(void) {
    engine_kit kit;
    sy_engine_options options;
    sy_importance *importance = create();
    sy_importance_text text = whole_text();
    sy_error error;
    fill_tokens();
    CHECK(sy_importance_write(importance, "/nonexistent/x", &error) == SY_FAILED_PRECONDITION);
    sy_engine_options_default(&options);
    CHECK_OK(engine_kit_open(&kit, NULL, 1, NULL, &options));
    CHECK(sy_importance_measure(importance, kit.engine, &text, &error) == SY_FAILED_PRECONDITION);
    engine_kit_close(&kit);
    options.measure_importance = 1;
    options.prefix_bytes = 1 << 20;
    CHECK_OK(engine_kit_open(&kit, NULL, 1, NULL, &options));
    CHECK(sy_importance_measure(importance, kit.engine, &text, &error) == SY_FAILED_PRECONDITION);
    engine_kit_close(&kit);
    options.prefix_bytes = 0;
    CHECK_OK(engine_kit_open(&kit, NULL, 1, NULL, &options));
    text.n_tokens = 0;
    CHECK(sy_importance_measure(importance, kit.engine, &text, &error) == SY_INVALID_ARGUMENT);
    text.n_tokens = N_TOKENS;
    text.n_chunk_tokens = TINY_CONTEXT + 1;
    CHECK(sy_importance_measure(importance, kit.engine, &text, &error) == SY_INVALID_ARGUMENT);
    CHECK(importance->n_entries == 0 && importance->n_texts == 0);
    text.n_chunk_tokens = 0; /* as long as the context */
    CHECK_OK_ERROR(sy_importance_measure(importance, kit.engine, &text, &error), error);
    CHECK(importance->n_chunk_tokens == TINY_CONTEXT && importance->n_chunks == 1);
    engine_kit_close(&kit);
    sy_importance_destroy(importance);
}

/* ---- the older form ---- */

typedef struct old_file {
    uint8_t bytes[512];
    size_t n;
} old_file;

static void put(old_file *file, const void *bytes, size_t n) {
    CHECK(file->n + n <= sizeof(file->bytes));
    memcpy(file->bytes + file->n, bytes, n);
    file->n += n;
}

static void put_int(old_file *file, int32_t number) {
    put(file, &number, 4);
}

/* Two tensors of 4 columns over 3 chunks, means i + 1 and 2 (i + 1). */
static old_file make_old(void) {
    static const char *const names[] = {"blk.0.attn_q.weight", "blk.0.ffn_up.weight"};
    old_file file = {.n = 0};
    put_int(&file, 2);
    for (int i = 0; i < 2; i++) {
        put_int(&file, (int32_t)strlen(names[i]));
        put(&file, names[i], strlen(names[i]));
        put_int(&file, 3);
        put_int(&file, 4);
        for (int k = 0; k < 4; k++) {
            put(&file, &(float){(float)((i + 1) * (k + 1) * 3)}, 4);
        }
    }
    put_int(&file, 3);
    put_int(&file, 5);
    put(&file, "a.txt", 5);
    return file;
}

static void the_older_form_is_read(void) {
    old_file file = make_old();
    sy_importance *importance = create();
    sy_importance_facts facts;
    sy_error error;
    CHECK_OK_ERROR(sy_importance_read(importance, scratch_file(file.bytes, file.n), &error), error);
    sy_importance_get_facts(importance, &facts);
    CHECK(facts.n_tensors == 2 && facts.n_chunks == 3 && facts.n_chunk_tokens == 512);
    CHECK(strcmp(facts.text, "a.txt") == 0);
    /* A stack of two matrices of two columns reads the same four numbers. */
    for (uint64_t n_matrices = 1; n_matrices <= 2; n_matrices++) {
        float *weights = NULL;
        sy_gguf_tensor tensor = {.name = {"blk.0.ffn_up.weight", 19},
                                 .dims = {4 / n_matrices, 7, n_matrices, 1}};
        CHECK_OK(sy__importance_of(sy_allocator_heap(), importance, &tensor, &weights, &error));
        for (int k = 0; k < 4; k++) {
            CHECK(weights[k] == (float)(2 * (k + 1)));
        }
        sy__free_array(sy_allocator_heap(), weights, 4, sizeof(float));
    }
    CHECK_OK(sy_importance_read(importance, file_path, &error)); /* twice: the same means */
    CHECK(entry_of(importance, "blk.0.attn_q.weight")->counts[0] == 2.0 * 3 * 512);
    CHECK(importance->n_chunks == 6 && importance->n_texts == 2);
    sy_importance_destroy(importance);
}

static void damaged_files_add_nothing(void) {
    const old_file good = make_old();
    sy_importance *importance = create();
    sy_error error;
    uint32_t n_refused = 0;
    for (size_t n = 1; n < good.n - 13; n++) { /* what is behind the tensors may be missing */
        n_refused += sy_importance_read(importance, scratch_file(good.bytes, n), &error) != SY_OK;
        CHECK(importance->n_entries == 0 && importance->n_chunks == 0);
    }
    CHECK(n_refused == good.n - 14);
    static const float bad[] = {NAN, INFINITY, -1.0f};
    for (size_t i = 0; i < 3; i++) {
        old_file file = good;
        memcpy(file.bytes + 4 + 4 + 19 + 8, &bad[i], 4);
        CHECK(sy_importance_read(importance, scratch_file(file.bytes, file.n), &error) ==
              SY_DATA_LOSS);
    }
    for (size_t at = 0; at < good.n; at++) { /* any byte: refused or read, never worse */
        old_file file = good;
        file.bytes[at] ^= 0x81;
        sy_importance *other = create();
        sy_status status = sy_importance_read(other, scratch_file(file.bytes, file.n), &error);
        CHECK(status == SY_OK || other->n_entries == 0);
        sy_importance_destroy(other);
    }
    CHECK(sy_importance_read(importance, engine_model(), &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_importance_read(importance, "/nonexistent/x", &error) == SY_NOT_FOUND);
    CHECK(importance->n_entries == 0);
    sy_importance_destroy(importance);
}

/* A file of another model adds nothing, not even what would fit. */
static void another_model_adds_nothing(void) {
    old_file file = make_old();
    sy_importance *importance = measure(&(setting){1, 64, NULL});
    double sum = entry_of(importance, "blk.0.attn_q.weight")->sums[0];
    uint32_t n_entries = importance->n_entries;
    sy_error error;
    memcpy(file.bytes + 8, "blk.9", 5); /* the first would be new, the second has another shape */
    CHECK(sy_importance_read(importance, scratch_file(file.bytes, file.n), &error) ==
          SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "of another model") != NULL);
    CHECK(importance->n_entries == n_entries && importance->n_texts == 1);
    CHECK(entry_of(importance, "blk.0.attn_q.weight")->sums[0] == sum);
    sy_importance_destroy(importance);
}

/* A heap that refuses the call number n_left, and all after it. */
typedef struct short_heap {
    uint32_t n_left;
} short_heap;

static void *short_reallocate(void *self, void *pointer, size_t old_bytes, size_t new_bytes,
                              size_t alignment) {
    short_heap *heap = self;
    const sy_allocator *whole = sy_allocator_heap();
    if (new_bytes > 0 && heap->n_left == 0) {
        return NULL;
    }
    heap->n_left -= new_bytes > 0;
    return whole->reallocate(whole->self, pointer, old_bytes, new_bytes, alignment);
}

static sy_allocator short_allocator(short_heap *heap) {
    sy_allocator allocator = *sy_allocator_heap();
    allocator.self = heap;
    allocator.reallocate = short_reallocate;
    return allocator;
}

static void refused_memory_adds_nothing(void) {
    const old_file file = make_old();
    const char *path = scratch_file(file.bytes, file.n);
    sy_status status = SY_INTERNAL;
    for (uint32_t n = 0; status != SY_OK; n++) {
        short_heap heap = {n};
        sy_allocator allocator = short_allocator(&heap);
        sy_importance *importance = NULL;
        sy_error error;
        CHECK(n < 64);
        status = sy_importance_create(&allocator, &importance, &error);
        if (status == SY_OK) {
            status = sy_importance_read(importance, path, &error);
            CHECK(status == SY_OK || (SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED &&
                                      importance->n_entries == 0 && importance->n_texts == 0));
        }
        sy_importance_destroy(importance);
        CHECK(status != SY_OK || n > 6);
    }
}

/* Some of the many places where loading and measuring take memory. */
static void refused_memory_is_told(void) {
    sy_status status = SY_INTERNAL;
    engine_model_make("qwen3moe", 1, 0);
    fill_tokens();
    for (uint32_t n = 0; status != SY_OK; n += 1 + n / 32) {
        short_heap heap = {n};
        sy_allocator allocator = short_allocator(&heap);
        sy_importance *importance = create();
        sy_importance_text text = whole_text();
        sy_engine_options options;
        engine_kit kit;
        sy_error error;
        sy_engine_options_default(&options);
        options.measure_importance = 1;
        status = engine_kit_open(&kit, &allocator, 1, NULL, &options);
        if (status == SY_OK) {
            status = sy_importance_measure(importance, kit.engine, &text, &error);
        }
        CHECK(status == SY_OK || SY_STATUS_CLASS(status) == SY_RESOURCE_EXHAUSTED);
        CHECK(status == SY_OK ? importance->n_chunks == 3 : importance->n_entries == 0);
        sy_importance_destroy(importance);
        engine_kit_close(&kit);
    }
}

static const sy_test_case cases[] = {
    {"sums_of_the_first_layer", sums_of_the_first_layer},
    {"every_matrix_of_a_layer_is_measured", every_matrix_of_a_layer_is_measured},
    {"experts_share_what_the_router_reads", experts_share_what_the_router_reads},
    {"the_same_under_every_plan", the_same_under_every_plan},
    {"parts_in_files_add_up", parts_in_files_add_up},
    {"an_ended_run_goes_on", an_ended_run_goes_on},
    {"wrong_uses_are_refused", wrong_uses_are_refused},
    {"the_older_form_is_read", the_older_form_is_read},
    {"damaged_files_add_nothing", damaged_files_add_nothing},
    {"another_model_adds_nothing", another_model_adds_nothing},
    {"refused_memory_adds_nothing", refused_memory_adds_nothing},
    {"refused_memory_is_told", refused_memory_is_told},
};
SY_TEST_MAIN(cases)
