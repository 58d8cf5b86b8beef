/* SPDX-License-Identifier: Apache-2.0 */
/* What a good file answers, and what the typed getters refuse. */
#include "gguf_sample.h"

#include <fcntl.h>

static gguf_writer writer;

static sy_gguf *open_sample(void) {
    sy_gguf *gguf = NULL;
    sy_error error;
    sample_build(&writer);
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "sample", &gguf, &error),
                   error);
    return gguf;
}

static void reads_facts(void) {
    sy_gguf *gguf = open_sample();
    const sy_gguf_facts *facts = sy_gguf_get_facts(gguf);
    CHECK(facts->version == 3 && facts->alignment_bytes == 32);
    CHECK(facts->n_keys == SAMPLE_KEYS && facts->n_tensors == SAMPLE_TENSORS);
    CHECK(facts->file_bytes == writer.n_bytes);
    CHECK(facts->data_offset_bytes == writer_find(&writer, "data.first")->offset);
    CHECK(facts->tensor_bytes == 64 + 36 + 68 + 16);
    CHECK(facts->n_elements == 16 + 64 + 64 + 8);
    CHECK(strcmp(facts->origin, "sample") == 0);
    CHECK(sample_walk(gguf) != 0);
    sy_gguf_close(gguf);
    sy_gguf_close(NULL);
}

static void reads_version_2(void) {
    sy_gguf *gguf = NULL;
    sy_error error;
    sample_build(&writer);
    writer.bytes[4] = 2;
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "v2", &gguf, &error),
                   error);
    CHECK(sy_gguf_get_facts(gguf)->version == 2);
    sy_gguf_close(gguf);
}

static void reads_numbers_by_type(void) {
    sy_gguf *gguf = open_sample();
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    int64_t i64 = 0;
    float f32 = 0.0f;
    double f64 = 0.0;
    int flag = 0;
    CHECK_OK(sy_gguf_get_u32(gguf, "k.u8", &u32, NULL));
    CHECK(u32 == 255);
    CHECK_OK(sy_gguf_get_i64(gguf, "k.i8", &i64, NULL));
    CHECK(i64 == -128);
    CHECK_OK(sy_gguf_get_i64(gguf, "k.i16", &i64, NULL));
    CHECK(i64 == -32768);
    CHECK_OK(sy_gguf_get_u32(gguf, "k.u32", &u32, NULL));
    CHECK(u32 == UINT32_MAX);
    CHECK_OK(sy_gguf_get_i64(gguf, "k.i32", &i64, NULL));
    CHECK(i64 == INT32_MIN);
    CHECK_OK(sy_gguf_get_i64(gguf, "k.u32", &i64, NULL));
    CHECK(i64 == UINT32_MAX);
    CHECK_OK(sy_gguf_get_u64(gguf, "k.u64", &u64, NULL));
    CHECK(u64 == UINT64_MAX);
    CHECK_OK(sy_gguf_get_i64(gguf, "k.i64", &i64, NULL));
    CHECK(i64 == INT64_MIN);
    CHECK_OK(sy_gguf_get_f32(gguf, "k.f32", &f32, NULL));
    CHECK(f32 == 1.5f);
    CHECK_OK(sy_gguf_get_f64(gguf, "k.f64", &f64, NULL));
    CHECK(f64 == ldexp(1.0, 1023));
    CHECK_OK(sy_gguf_get_bool(gguf, "k.bool", &flag, NULL));
    CHECK(flag == 1);
    sy_gguf_close(gguf);
}

/* A refused getter says why and leaves the output alone. */
static void refuses_wrong_types(void) {
    sy_gguf *gguf = open_sample();
    uint32_t u32 = 77;
    uint64_t u64 = 77;
    int64_t i64 = 77;
    float f32 = 77.0f;
    int flag = 77;
    sy_gguf_string string = {NULL, 77};
    sy_error error;
    CHECK(sy_gguf_get_u32(gguf, "k.i8", &u32, &error) == SY_OUT_OF_RANGE);
    CHECK(strstr(error.message, "'k.i8'") != NULL && error.hint[0] != '\0');
    CHECK(strcmp(error.origin, "sample") == 0 && error.file_offset < writer.n_bytes);
    CHECK(sy_gguf_get_u32(gguf, "k.u64", &u32, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_get_u64(gguf, "k.i64", &u64, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_get_i64(gguf, "k.u64", &i64, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_get_f32(gguf, "k.f64", &f32, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_get_u32(gguf, "k.f32", &u32, &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_gguf_get_u32(gguf, "k.bool", &u32, &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_gguf_get_f32(gguf, "k.u8", &f32, &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_gguf_get_bool(gguf, "k.u8", &flag, &error) == SY_INVALID_ARGUMENT);
    CHECK(sy_gguf_get_string(gguf, "k.u8", &string, &error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "u8") != NULL && strstr(error.message, "string") != NULL);
    CHECK(sy_gguf_get_u32(gguf, "a.u8", &u32, &error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "array of u8") != NULL);
    CHECK(sy_gguf_get_u32(gguf, "no.such.key", &u32, &error) == SY_NOT_FOUND);
    CHECK(strstr(error.message, "no.such.key") != NULL);
    CHECK(u32 == 77 && u64 == 77 && i64 == 77 && f32 == 77.0f && flag == 77);
    CHECK(string.n_bytes == 77);
    sy_gguf_close(gguf);
}

static void reads_arrays(void) {
    sy_gguf *gguf = open_sample();
    sy_gguf_value value;
    sy_gguf_string string;
    sy_error error;
    uint32_t u32 = 0;
    CHECK(sy_gguf_find(gguf, "a.string", &value) && value.is_array && value.n_elements == 3);
    CHECK(sy_gguf_string_is(value.key, "a.string"));
    static const char *const expected[] = {"", "b", "a longer one"};
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(sy_gguf_value_string(&value, i, &string, NULL));
        CHECK(sy_gguf_string_is(string, expected[i]));
    }
    CHECK(sy_gguf_value_string(&value, 3, &string, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_value_string(&value, UINT64_MAX, &string, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_find(gguf, "a.empty", &value) && value.n_elements == 0);
    CHECK(sy_gguf_value_string(&value, 0, &string, &error) == SY_OUT_OF_RANGE);
    CHECK(sy_gguf_find(gguf, "a.u16", &value) && value.n_elements == 2);
    CHECK_OK(sy_gguf_value_u32(&value, 0, &u32, NULL));
    CHECK(u32 == 0xffff);
    CHECK_OK(sy_gguf_value_u32(&value, 1, &u32, NULL));
    CHECK(u32 == 0);
    CHECK_OK(sy_gguf_get_string(gguf, "s.empty", &string, NULL));
    CHECK(string.n_bytes == 0);
    CHECK_OK(sy_gguf_get_string(gguf, "s.dup2", &string, NULL));
    CHECK(sy_gguf_string_is(string, "two") && !sy_gguf_string_is(string, "twos"));
    sy_gguf_close(gguf);
}

static void finds_every_name(void) {
    sy_gguf *gguf = open_sample();
    sy_gguf_value value, found;
    sy_gguf_tensor tensor, same;
    char name[SY_ERROR_MESSAGE_BYTES];
    for (uint32_t i = 0; sy_gguf_key_at(gguf, i, &value); i++) {
        snprintf(name, sizeof(name), "%.*s", (int)value.key.n_bytes, value.key.bytes);
        CHECK(sy_gguf_find(gguf, name, &found) && found.key.bytes == value.key.bytes);
    }
    for (uint32_t i = 0; sy_gguf_tensor_at(gguf, i, &tensor); i++) {
        snprintf(name, sizeof(name), "%.*s", (int)tensor.name.n_bytes, tensor.name.bytes);
        CHECK(sy_gguf_find_tensor(gguf, name, &same) && same.data == tensor.data);
    }
    memset(name, 'x', 200);
    name[200] = '\0';
    CHECK(!sy_gguf_find(gguf, name, &found) && !sy_gguf_find_tensor(gguf, name, &same));
    CHECK(!sy_gguf_find(gguf, "", &found) && !sy_gguf_find_tensor(gguf, "t.f3", &same));
    CHECK(!sy_gguf_key_at(gguf, SAMPLE_KEYS, &value));
    CHECK(!sy_gguf_tensor_at(gguf, SAMPLE_TENSORS, &tensor));
    sy_gguf_close(gguf);
}

static void reads_tensors(void) {
    sy_gguf *gguf = open_sample();
    sy_gguf_tensor tensor;
    CHECK(sy_gguf_find_tensor(gguf, "t.q40", &tensor));
    CHECK(tensor.type == SY_TYPE_Q4_0 && tensor.rank == 2);
    CHECK(tensor.dims[0] == 32 && tensor.dims[1] == 2 && tensor.dims[2] == 1);
    CHECK(tensor.n_bytes == 36 && tensor.n_elements == 64);
    CHECK(((const uint8_t *)tensor.data)[0] == 64 && ((const uint8_t *)tensor.data)[35] == 99);
    CHECK(tensor.data == writer.bytes + tensor.file_offset);
    CHECK(sy_gguf_find_tensor(gguf, "t.f16", &tensor));
    CHECK(tensor.rank == 4 && tensor.dims[3] == 2 && tensor.n_bytes == 16);
    sy_gguf_close(gguf);
}

/* Tensors may lie in any order in the data section, and there may be none at all. */
static void reads_tensors_in_any_order(void) {
    sy_gguf *gguf = NULL;
    sy_error error;
    sy_gguf_tensor tensor;
    writer_header(&writer, 3, 0);
    writer_tensor(&writer, "c", 1, (const uint64_t[]){8}, SY_TYPE_F32, 64);
    writer_tensor(&writer, "a", 1, (const uint64_t[]){8}, SY_TYPE_F32, 0);
    writer_tensor(&writer, "b", 1, (const uint64_t[]){8}, SY_TYPE_F32, 32);
    writer_align(&writer, 32);
    for (uint32_t i = 0; i < 96; i++) {
        writer_put(&writer, &(uint8_t){(uint8_t)i}, 1);
    }
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "abc", &gguf, &error),
                   error);
    CHECK(sy_gguf_find_tensor(gguf, "b", &tensor) && *(const uint8_t *)tensor.data == 32);
    sy_gguf_close(gguf);
    writer_header(&writer, 0, 0);
    CHECK_OK_ERROR(sy_gguf_open_memory(NULL, writer.bytes, writer.n_bytes, "none", &gguf, &error),
                   error);
    CHECK(!sy_gguf_tensor_at(gguf, 0, &tensor));
    sy_gguf_close(gguf);
}

static void opens_files(void) {
    char path[] = "/tmp/switchyard-gguf-XXXXXX";
    sy_gguf *gguf = NULL;
    sy_error error;
    sample_build(&writer);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, writer.bytes, writer.n_bytes) == (ssize_t)writer.n_bytes);
    CHECK_OK_ERROR(sy_gguf_open(NULL, path, &gguf, &error), error);
    CHECK(sample_walk(gguf) != 0 && strcmp(sy_gguf_get_facts(gguf)->origin, path) == 0);
    sy_gguf_close(gguf);
    CHECK(ftruncate(fd, (off_t)writer.n_bytes - 1) == 0);
    CHECK(sy_gguf_open(NULL, path, &gguf, &error) == SY_DATA_LOSS);
    CHECK(strcmp(error.origin, path) == 0);
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(sy_gguf_open(NULL, path, &gguf, &error) == SY_INVALID_ARGUMENT);
    close(fd);
    unlink(path);
    CHECK(sy_gguf_open(NULL, path, &gguf, &error) == SY_NOT_FOUND);
    CHECK(sy_gguf_open(NULL, "/tmp", &gguf, &error) == SY_INVALID_ARGUMENT);
}

static const sy_test_case cases[] = {
    {"reads_facts", reads_facts},
    {"reads_version_2", reads_version_2},
    {"reads_numbers_by_type", reads_numbers_by_type},
    {"refuses_wrong_types", refuses_wrong_types},
    {"reads_arrays", reads_arrays},
    {"finds_every_name", finds_every_name},
    {"reads_tensors", reads_tensors},
    {"reads_tensors_in_any_order", reads_tensors_in_any_order},
    {"opens_files", opens_files},
};
SY_TEST_MAIN(cases)
