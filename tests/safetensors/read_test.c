/* SPDX-License-Identifier: Apache-2.0 */
/* Good files: one, several behind an index, a folder. */
#include "safetensors_sample.h"

#include <sys/stat.h>

static sample_file file;

static void reads_one_file(void) {
    sy_safetensors *s = NULL;
    sy_safetensor tensor;
    sy_error error;
    sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
    CHECK_OK_ERROR(sy_safetensors_open_memory(NULL, file.bytes, file.n_bytes, "sample", &s, &error),
                   error);
    const sy_safetensors_facts *facts = sy_safetensors_get_facts(s);
    CHECK(facts->n_files == 1 && facts->n_tensors == 3 && facts->tensor_bytes == 24);
    CHECK(facts->n_elements == 10 && facts->file_bytes == file.n_bytes);
    CHECK(strcmp(facts->origin, "sample") == 0);
    CHECK(sy_safetensors_find(s, "b.weight", &tensor));
    CHECK(tensor.type == SY_TYPE_F32 && strcmp(tensor.dtype, "F32") == 0 && tensor.rank == 2);
    CHECK(tensor.dims[0] == 2 && tensor.dims[1] == 2 && tensor.dims[2] == 1);
    CHECK(tensor.n_bytes == 16 && *(const uint8_t *)tensor.data == 0);
    CHECK(sy_safetensors_find(s, "qA", &tensor)); /* the escape is decoded */
    CHECK(tensor.type == SY_TYPE_I8 && *(const uint8_t *)tensor.data == 20);
    CHECK(!sy_safetensors_find(s, "absent", &tensor) && !sy_safetensors_at(s, 3, &tensor));
    CHECK(sy_safetensors_at(s, 0, &tensor) && strcmp(tensor.name, "a.bias") == 0);
    sy_safetensors_close(s);
}

static void reads_odd_but_good_headers(void) {
    static const struct {
        const char *header;
        size_t n_data;
        uint32_t n_tensors;
    } good[] = {
        {"{}", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}   ", 8, 1},
        {"{\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, 1},
        {"{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"e\":{\"dtype\":\"U64\",\"shape\":[0],\"data_offsets\":[3,3]}}",
         3, 2},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        sy_safetensors *s = NULL;
        sy_error error;
        sample_build(&file, good[i].header, good[i].n_data);
        CHECK_OK_ERROR(
            sy_safetensors_open_memory(NULL, file.bytes, file.n_bytes, "odd", &s, &error), error);
        CHECK(sy_safetensors_get_facts(s)->n_tensors == good[i].n_tensors);
        sample_walk(s);
        sy_safetensors_close(s);
    }
}

static void write_bytes(const char *folder, const char *name, const void *bytes, size_t n_bytes) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *out = fopen(path, "wb");
    CHECK(out != NULL && fwrite(bytes, 1, n_bytes, out) == n_bytes && fclose(out) == 0);
}

static void write_shards(const char *folder, const char *index) {
    sample_build(&file, SAMPLE_HEADER, SAMPLE_DATA_BYTES);
    write_bytes(folder, "model-00001-of-00002.safetensors", file.bytes, file.n_bytes);
    sample_build(&file, "{\"c\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]}}", 6);
    write_bytes(folder, "model-00002-of-00002.safetensors", file.bytes, file.n_bytes);
    write_bytes(folder, "model.safetensors.index.json", index, strlen(index));
}

#define INDEX(second)                                                       \
    "{\"metadata\":{\"total_size\":30},\"weight_map\":{"                    \
    "\"a.bias\":\"model-00001-of-00002.safetensors\",\"c\":\"" second "\"," \
    "\"b.weight\":\"model-00001-of-00002.safetensors\"}}"

static void make_folder(char folder[64]) {
    snprintf(folder, 64, "/tmp/sy-safetensors-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void remove_folder(const char *folder) {
    static const char *const names[] = {"model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors",
                                        "model.safetensors.index.json"};
    char path[512];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void reads_shards(void) {
    char folder[64];
    sy_safetensors *s = NULL;
    sy_safetensor tensor;
    sy_error error;
    make_folder(folder);
    write_shards(folder, INDEX("model-00002-of-00002.safetensors"));
    CHECK_OK_ERROR(sy_safetensors_open(NULL, folder, &s, &error), error);
    CHECK(sy_safetensors_get_facts(s)->n_files == 2 && sy_safetensors_get_facts(s)->n_tensors == 4);
    CHECK(sy_safetensors_find(s, "c", &tensor) && tensor.i_file == 1);
    CHECK(sy_safetensors_find(s, "a.bias", &tensor) && tensor.i_file == 0);
    CHECK(sample_walk(s) > 0);
    sy_safetensors_close(s);
    remove_folder(folder);
}

static void refuses_bad_indexes(void) {
    static const struct {
        const char *index;
        sy_status status;
        const char *words;
    } bad[] = {
        {INDEX("../etc/passwd"), SY_DATA_LOSS, "beside it"},
        {INDEX("/etc/passwd"), SY_DATA_LOSS, "beside it"},
        {INDEX(""), SY_DATA_LOSS, "beside it"},
        {INDEX(".."), SY_DATA_LOSS, "beside it"},
        {INDEX("absent.safetensors"), SY_NOT_FOUND, "open"},
        {"{\"weight_map\":[]}", SY_DATA_LOSS, "weight_map"},
        {"{\"weight_map\":{\"a\":7}}", SY_DATA_LOSS, "no string"},
        {"{", SY_DATA_LOSS, "JSON"},
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sy_safetensors *s = NULL;
        sy_error error;
        write_shards(folder, bad[i].index);
        sy_status status = sy_safetensors_open(NULL, folder, &s, &error);
        CHECK_TEXT(status == bad[i].status && strstr(error.message, bad[i].words) != NULL,
                   "%zu: %u %s", i, status, error.message);
    }
    /* the same tensor in two files */
    sample_build(&file, "{\"a.bias\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    write_shards(folder, INDEX("model-00002-of-00002.safetensors"));
    sample_build(&file, "{\"a.bias\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    write_bytes(folder, "model-00002-of-00002.safetensors", file.bytes, file.n_bytes);
    sy_safetensors *s = NULL;
    sy_error error;
    CHECK(sy_safetensors_open(NULL, folder, &s, &error) == SY_DATA_LOSS);
    CHECK(strstr(error.message, "'a.bias' comes twice") != NULL);
    remove_folder(folder);
    CHECK(sy_safetensors_open(NULL, "/nowhere", &s, &error) == SY_NOT_FOUND);
}

static const sy_test_case cases[] = {
    {"reads_one_file", reads_one_file},
    {"reads_odd_but_good_headers", reads_odd_but_good_headers},
    {"reads_shards", reads_shards},
    {"refuses_bad_indexes", refuses_bad_indexes},
};
SY_TEST_MAIN(cases)
