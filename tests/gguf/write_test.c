/* SPDX-License-Identifier: Apache-2.0 */
/* What the writer makes is read back equal; a file is written whole or not at all. */
#include "gguf_sample.h"

#include "switchyard/gguf_writer.h"

static gguf_writer sample;

/* The sample file, collected again from what its reader tells. */
static sy_gguf_writer *collected(const sy_gguf *from) {
    sy_gguf_writer *writer = NULL;
    sy_gguf_value value;
    sy_gguf_tensor tensor;
    sy_error error;
    CHECK_OK_ERROR(sy_gguf_writer_create(NULL, &writer, &error), error);
    for (uint32_t i = 0; sy_gguf_key_at(from, i, &value); i++) {
        sy_gguf_writer_put_value(writer, &value);
    }
    for (uint32_t i = 0; sy_gguf_tensor_at(from, i, &tensor); i++) {
        sy_gguf_writer_add_tensor(writer, &tensor);
    }
    return writer;
}

static sy_gguf *open_sample(void) {
    sy_gguf *gguf = NULL;
    sy_error error;
    sample_build(&sample);
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, sample.bytes, sample.n_bytes, "sample", &gguf, &error),
                   error);
    return gguf;
}

static void check_same(const sy_gguf *a, const sy_gguf *b) {
    sy_gguf_tensor left, right;
    CHECK(sy_gguf_get_facts(a)->n_keys == sy_gguf_get_facts(b)->n_keys);
    CHECK(sy_gguf_get_facts(a)->n_tensors == sy_gguf_get_facts(b)->n_tensors);
    CHECK(sy_gguf_get_facts(a)->tensor_bytes == sy_gguf_get_facts(b)->tensor_bytes);
    CHECK(sample_walk(a) == sample_walk(b));
    for (uint32_t i = 0; sy_gguf_tensor_at(a, i, &left); i++) {
        CHECK(sy_gguf_tensor_at(b, i, &right) && left.n_bytes == right.n_bytes);
        CHECK(memcmp(left.data, right.data, (size_t)left.n_bytes) == 0);
        CHECK(memcmp(left.dims, right.dims, sizeof(left.dims)) == 0 && left.type == right.type);
    }
}

static void temporary_path(char path[64]) {
    snprintf(path, 64, "/tmp/sy-gguf-write-%d", (int)getpid());
}

static void writes_what_it_read(void) {
    char path[64];
    sy_gguf *from = open_sample(), *again = NULL;
    sy_gguf_writer *writer = collected(from);
    sy_error error;
    temporary_path(path);
    CHECK_OK_ERROR(sy_gguf_writer_save(writer, path, NULL, NULL, &error), error);
    CHECK_OK_ERROR(sy_gguf_open(NULL, path, &again, &error), error);
    check_same(from, again);
    sy_gguf_close(again);
    unlink(path);
    sy_gguf_writer_destroy(writer);
    sy_gguf_close(from);
}

static void count_call(void *self) {
    ++*(int *)self;
}

static void views_memory(void) {
    int n_calls = 0;
    sy_gguf *from = open_sample(), *view = NULL;
    sy_gguf_writer *writer = collected(from);
    sy_error error;
    CHECK_OK_ERROR(
        sy_gguf_writer_view(writer, "view", (sy_gguf_keep){count_call, &n_calls}, &view, &error),
        error);
    sy_gguf_writer_destroy(writer);
    check_same(from, view);
    sy_gguf_tensor mine, theirs;
    CHECK(sy_gguf_find_tensor(view, "t.q40", &mine) && sy_gguf_find_tensor(from, "t.q40", &theirs));
    CHECK(mine.data == theirs.data && n_calls == 0);
    sy_gguf_close(view);
    CHECK(n_calls == 1);
    sy_gguf_close(from);
}

static void puts_every_kind(void) {
    sy_gguf_writer *writer = NULL;
    sy_gguf *view = NULL;
    sy_gguf_value value;
    sy_gguf_string text;
    sy_error error;
    uint32_t number = 0;
    int flag = 0;
    float real = 0;
    CHECK_OK_ERROR(sy_gguf_writer_create(NULL, &writer, &error), error);
    sy_gguf_writer_put_u32(writer, "u", 7);
    sy_gguf_writer_put_f32(writer, "f", 1.5f);
    sy_gguf_writer_put_bool(writer, "b", 5);
    sy_gguf_writer_put_string(writer, "s", "text", 4);
    sy_gguf_writer_put(writer, "i", SY_GGUF_I64, &(int64_t){-9});
    sy_gguf_writer_put_array(writer, "a", SY_GGUF_I32, (const int32_t[]){1, -2, 3}, 3);
    sy_gguf_writer_begin_strings(writer, "ss", 2);
    sy_gguf_writer_add_string(writer, "one", 3);
    sy_gguf_writer_add_string(writer, "", 0);
    CHECK_OK_ERROR(sy_gguf_writer_view(writer, "kinds", (sy_gguf_keep){NULL, NULL}, &view, &error),
                   error);
    sy_gguf_writer_destroy(writer);
    CHECK(sy_gguf_get_u32(view, "u", &number, NULL) == SY_OK && number == 7);
    CHECK(sy_gguf_get_f32(view, "f", &real, NULL) == SY_OK && real == 1.5f);
    CHECK(sy_gguf_get_bool(view, "b", &flag, NULL) == SY_OK && flag == 1);
    CHECK(sy_gguf_get_string(view, "s", &text, NULL) == SY_OK && sy_gguf_string_is(text, "text"));
    CHECK(sy_gguf_find(view, "a", &value) && value.n_elements == 3 && value.is_array);
    CHECK(sy_gguf_find(view, "ss", &value) && value.n_elements == 2);
    sy_gguf_close(view);
}

typedef struct spoiled_fill {
    const sy_gguf *from;
    uint32_t i_bad;
    int delta; /* bytes too many or too few; 2: refuses */
} spoiled_fill;

static sy_status fill(void *user, uint32_t i_tensor, sy_gguf_sink *sink, sy_error *error) {
    const spoiled_fill *spoiled = user;
    sy_gguf_tensor tensor;
    static uint8_t bytes[256];
    CHECK(sy_gguf_tensor_at(spoiled->from, i_tensor, &tensor) && tensor.n_bytes < 200);
    memcpy(bytes, tensor.data, (size_t)tensor.n_bytes);
    int delta = i_tensor == spoiled->i_bad ? spoiled->delta : 0;
    if (delta == 2) {
        return sy_error_set(error, SY_CANCELLED, "No more.");
    }
    return sy_gguf_sink_write(sink, bytes, (size_t)((int)tensor.n_bytes + delta), error);
}

static void keeps_the_old_file_when_it_fails(void) {
    char path[64], text[8] = "";
    sy_gguf *from = open_sample(), *again = NULL;
    sy_gguf_writer *writer = collected(from);
    sy_error error;
    temporary_path(path);
    for (int delta = -1; delta <= 2; delta++) {
        FILE *old = fopen(path, "wb");
        CHECK(old != NULL && fputs("old", old) >= 0 && fclose(old) == 0);
        sy_status status =
            sy_gguf_writer_save(writer, path, fill, &(spoiled_fill){from, 2, delta}, &error);
        sy_status wanted = delta == 0 ? SY_OK : delta == 2 ? SY_CANCELLED : SY_INVALID_ARGUMENT;
        CHECK_TEXT(status == wanted, "%d: %u %s", delta, status, error.message);
        if (delta == 0) {
            CHECK_OK_ERROR(sy_gguf_open(NULL, path, &again, &error), error);
            check_same(from, again);
            sy_gguf_close(again);
            continue;
        }
        old = fopen(path, "rb");
        CHECK(old != NULL && fgets(text, sizeof(text), old) != NULL && strcmp(text, "old") == 0);
        fclose(old);
    }
    unlink(path);
    CHECK(sy_gguf_writer_save(writer, "/nowhere/at/all", NULL, NULL, &error) == SY_NOT_FOUND);
    sy_gguf_writer_destroy(writer);
    sy_gguf_close(from);
}

static void refuses_what_makes_no_file(void) {
    static const uint64_t dims[SY_GGUF_RANK] = {31, 1, 1, 1};
    for (int i = 0; i < 5; i++) {
        sy_gguf_writer *writer = NULL;
        sy_gguf *view = NULL;
        sy_error error;
        int n_calls = 0;
        CHECK_OK_ERROR(sy_gguf_writer_create(NULL, &writer, &error), error);
        sy_gguf_tensor tensor = {.name = {"t", 1}, .type = SY_TYPE_Q4_0, .rank = i == 1 ? 0 : 1};
        memcpy(tensor.dims, dims, sizeof(dims));
        if (i < 2) {
            sy_gguf_writer_add_tensor(writer, &tensor);
        }
        if (i == 2) {
            sy_gguf_writer_begin_strings(writer, "s", 1);
        }
        if (i == 3) {
            sy_gguf_writer_add_string(writer, "s", 1);
        }
        for (int k = 0; i == 4 && k < 2; k++) {
            sy_gguf_writer_put_u32(writer, "twice", 1);
        }
        sy_status status =
            sy_gguf_writer_view(writer, "bad", (sy_gguf_keep){count_call, &n_calls}, &view, &error);
        CHECK(status == (i == 4 ? SY_DATA_LOSS : SY_INVALID_ARGUMENT) && n_calls == 1);
        sy_gguf_writer_destroy(writer);
    }
}

/* Row i of three numbers is i, i + 100, i + 200. */
static void make_rows(const void *self, uint64_t first_row, uint64_t n_rows, void *out_rows) {
    for (uint64_t i = 0; i < 3 * n_rows; i++) {
        float number = (float)(first_row + i / 3) + 100.0f * (float)(i % 3);
        memcpy((uint8_t *)out_rows + i * sizeof(number), &number, sizeof(number));
    }
    ++*(int *)(uintptr_t)self;
}

static sy_gguf *view_in_pieces(int *n_made) {
    static const float plain[3] = {7, 8, 9};
    sy_gguf_writer *writer = NULL;
    sy_gguf *view = NULL;
    sy_error error;
    sy_gguf_tensor tensor = {
        .name = {"whole", 5}, .type = SY_TYPE_F32, .rank = 1, .dims = {3, 1, 1, 1}, .data = plain};
    CHECK_OK_ERROR(sy_gguf_writer_create(NULL, &writer, &error), error);
    sy_gguf_writer_add_tensor(writer, &tensor);
    tensor = (sy_gguf_tensor){
        .name = {"parts", 5}, .type = SY_TYPE_F32, .rank = 3, .dims = {3, 4, 5, 1}};
    sy_gguf_writer_add_rows(writer, &tensor, make_rows, n_made);
    CHECK_OK_ERROR(sy_gguf_writer_view(writer, "parts", (sy_gguf_keep){NULL, NULL}, &view, &error),
                   error);
    sy_gguf_writer_destroy(writer);
    return view;
}

static void makes_rows_when_they_are_asked_for(void) {
    int n_made = 0;
    float rows[6];
    sy_error error;
    sy_gguf_tensor tensor;
    sy_gguf *view = view_in_pieces(&n_made);
    CHECK(sy_gguf_find_tensor(view, "parts", &tensor) && tensor.data == NULL && n_made == 0);
    CHECK_OK_ERROR(sy_gguf_tensor_rows(view, tensor.i_tensor, 18, 2, rows, &error), error);
    CHECK(rows[0] == 18.0f && rows[2] == 218.0f && rows[5] == 219.0f && n_made == 1);
    CHECK(sy_gguf_tensor_rows(view, tensor.i_tensor, 19, 2, rows, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_tensor_rows(view, 2, 0, 1, rows, &error) == SY_OUT_OF_RANGE);
    CHECK_OK_ERROR(sy_gguf_tensor_rows(view, 0, 0, 1, rows, &error), error);
    CHECK(rows[0] == 7.0f && rows[2] == 9.0f);
    sy_gguf_close(view);
}

static void gathers_within_a_budget(void) {
    int n_made = 0;
    sy_error error;
    sy_gguf_tensor tensor;
    float last = 0;
    sy_gguf *view = view_in_pieces(&n_made);
    CHECK(SY_STATUS_CLASS(sy_gguf_gather(view, 239, &error)) == SY_RESOURCE_EXHAUSTED);
    CHECK(strstr(error.message, "240 bytes together, 1 more than") != NULL && n_made == 0);
    CHECK_OK_ERROR(sy_gguf_gather(view, 240, &error), error);
    CHECK_OK_ERROR(sy_gguf_gather(view, 1, &error), error); /* there is nothing left to do */
    CHECK(sy_gguf_find_tensor(view, "parts", &tensor) && tensor.data != NULL && n_made == 1);
    CHECK(sy_gguf_get_facts(view)->gathered_bytes == 240);
    memcpy(&last, (const uint8_t *)tensor.data + 59 * sizeof(last), sizeof(last));
    CHECK(last == 219.0f);
    CHECK_OK_ERROR(sy_gguf_tensor_rows(view, tensor.i_tensor, 19, 1, &(float[3]){0}, &error),
                   error);
    CHECK(n_made == 1);
    sy_gguf_close(view);
}

static void a_tensor_without_bytes_is_refused(void) {
    char path[64];
    sy_gguf_writer *writer = NULL;
    sy_error error;
    sy_gguf_tensor tensor = {
        .name = {"none", 4}, .type = SY_TYPE_F32, .rank = 1, .dims = {3, 1, 1, 1}};
    temporary_path(path);
    CHECK_OK_ERROR(sy_gguf_writer_create(NULL, &writer, &error), error);
    sy_gguf_writer_add_tensor(writer, &tensor);
    CHECK(sy_gguf_writer_save(writer, path, NULL, NULL, &error) == SY_INVALID_ARGUMENT);
    sy_gguf *view = NULL;
    float row[3];
    CHECK_OK_ERROR(sy_gguf_writer_view(writer, "none", (sy_gguf_keep){NULL, NULL}, &view, &error),
                   error);
    CHECK(sy_gguf_tensor_rows(view, 0, 0, 1, row, &error) == SY_FAILED_PRECONDITION);
    CHECK_OK_ERROR(sy_gguf_gather(view, 0, &error), error);
    sy_gguf_close(view);
    sy_gguf_writer_destroy(writer);
}

static const sy_test_case cases[] = {
    {"makes_rows_when_they_are_asked_for", makes_rows_when_they_are_asked_for},
    {"gathers_within_a_budget", gathers_within_a_budget},
    {"a_tensor_without_bytes_is_refused", a_tensor_without_bytes_is_refused},
    {"writes_what_it_read", writes_what_it_read},
    {"views_memory", views_memory},
    {"puts_every_kind", puts_every_kind},
    {"keeps_the_old_file_when_it_fails", keeps_the_old_file_when_it_fails},
    {"refuses_what_makes_no_file", refuses_what_makes_no_file},
};
SY_TEST_MAIN(cases)
