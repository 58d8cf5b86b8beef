/* SPDX-License-Identifier: Apache-2.0 */
/* Bad files: one spoiled field each, with the status and the words of the refusal; and a table of
 * bad values written over every field of the sample. */
#include "gguf_sample.h"

#include "switchyard/limits.h"

#include <fcntl.h>

typedef struct bad_file {
    const char *field; /* label of the sample's field */
    uint32_t delta;    /* bytes into the field */
    uint32_t n_bytes;  /* bytes of value to write */
    uint64_t value;
    uint32_t status_class;
    const char *words; /* in the message */
} bad_file;

#define MAX UINT64_MAX
#define HIGH (UINT64_C(1) << 63)

static const bad_file header_files[] = {
    {"header.magic", 0, 1, 'g', SY_INVALID_ARGUMENT, "no GGUF"},
    {"header.magic", 0, 4, 0x67676a74, SY_INVALID_ARGUMENT, "no GGUF"},
    {"header.magic", 3, 1, 0, SY_INVALID_ARGUMENT, "no GGUF"},
    {"header.version", 0, 4, 0, SY_UNIMPLEMENTED, "version 0"},
    {"header.version", 0, 4, 1, SY_UNIMPLEMENTED, "version 1"},
    {"header.version", 0, 4, 4, SY_UNIMPLEMENTED, "version 4"},
    {"header.version", 0, 4, 0x03000000, SY_UNIMPLEMENTED, "big-endian GGUF version 3"},
    {"header.version", 0, 4, 0x02000000, SY_UNIMPLEMENTED, "big-endian GGUF version 2"},
    {"header.version", 0, 4, MAX, SY_UNIMPLEMENTED, "version 4294967295"},
    {"header.n_tensors", 0, 8, MAX, SY_OUT_OF_RANGE, "tensors"},
    {"header.n_tensors", 0, 8, HIGH, SY_OUT_OF_RANGE, "tensors"},
    {"header.n_tensors", 0, 8, 65537, SY_OUT_OF_RANGE, "65537 tensors"},
    {"header.n_tensors", 0, 8, 65536, SY_DATA_LOSS, "65536 tensors"},
    {"header.n_keys", 0, 8, MAX, SY_OUT_OF_RANGE, "keys"},
    {"header.n_keys", 0, 8, UINT64_C(1) << 32, SY_OUT_OF_RANGE, "keys"},
    {"header.n_keys", 0, 8, 65537, SY_OUT_OF_RANGE, "65537 keys"},
    {"header.n_keys", 0, 8, 65536, SY_DATA_LOSS, "65536 keys"},
};

static const bad_file key_files[] = {
    {"k.u8.length", 0, 8, 0, SY_DATA_LOSS, "0 bytes long"},
    {"k.u8.length", 0, 8, 128, SY_OUT_OF_RANGE, "128 bytes long"},
    {"k.u8.length", 0, 8, MAX, SY_OUT_OF_RANGE, "bytes long"},
    {"k.u8.length", 0, 8, HIGH, SY_OUT_OF_RANGE, "bytes long"},
    {"k.u8.text", 0, 1, 0, SY_DATA_LOSS, "no printable ASCII"},
    {"k.u8.text", 1, 1, ' ', SY_DATA_LOSS, "no printable ASCII"},
    {"k.u8.text", 1, 1, '\n', SY_DATA_LOSS, "no printable ASCII"},
    {"k.u8.text", 1, 1, 0x7f, SY_DATA_LOSS, "no printable ASCII"},
    {"k.u8.text", 3, 1, 0x80, SY_DATA_LOSS, "no printable ASCII"},
    {"k.u8.text", 1, 2, 0xa9c3, SY_DATA_LOSS, "no printable ASCII"}, /* a good UTF-8 letter */
    {"s.dup2.text", 5, 1, '1', SY_DATA_LOSS, "'s.dup1' comes twice"},
    {"k.i8.text", 2, 1, 'u', SY_DATA_LOSS, "'k.u8' comes twice"},
    {"k.u8.type", 0, 4, 13, SY_DATA_LOSS, "'k.u8' has a type"},
    {"k.u8.type", 0, 4, 255, SY_DATA_LOSS, "'k.u8' has a type"},
    {"k.u8.type", 0, 4, MAX, SY_DATA_LOSS, "'k.u8' has a type"},
    {"k.bool.value", 0, 1, 2, SY_DATA_LOSS, "neither 0 nor 1"},
    {"k.bool.value", 0, 1, 255, SY_DATA_LOSS, "neither 0 nor 1"},
    {"s.dup1.value", 0, 8, MAX, SY_OUT_OF_RANGE, "16 MiB"},
    {"s.dup1.value", 0, 8, HIGH, SY_OUT_OF_RANGE, "16 MiB"},
    {"s.dup1.value", 0, 8, (16u << 20) + 1, SY_OUT_OF_RANGE, "16 MiB"},
    {"s.dup1.value", 0, 8, 16u << 20, SY_DATA_LOSS, "file ends"},
    {"general.alignment.type", 0, 4, SY_GGUF_I32, SY_DATA_LOSS, "no u32"},
    {"general.alignment.type", 0, 4, SY_GGUF_F32, SY_DATA_LOSS, "no u32"},
    {"general.alignment.value", 0, 4, 0, SY_DATA_LOSS, "alignment is 0"},
    {"general.alignment.value", 0, 4, 1, SY_DATA_LOSS, "alignment is 1"},
    {"general.alignment.value", 0, 4, 4, SY_DATA_LOSS, "alignment is 4"},
    {"general.alignment.value", 0, 4, 33, SY_DATA_LOSS, "alignment is 33"},
    {"general.alignment.value", 0, 4, 48, SY_DATA_LOSS, "alignment is 48"},
    {"general.alignment.value", 0, 4, 131072, SY_DATA_LOSS, "alignment is 131072"},
    {"general.alignment.value", 0, 4, 0x80000000, SY_DATA_LOSS, "alignment is 2147483648"},
};

static const bad_file array_files[] = {
    {"a.u8.element_type", 0, 4, SY_GGUF_ARRAY, SY_UNIMPLEMENTED, "array of arrays"},
    {"a.u8.element_type", 0, 4, 13, SY_DATA_LOSS, "'a.u8' has a type"},
    {"a.u8.element_type", 0, 4, MAX, SY_DATA_LOSS, "'a.u8' has a type"},
    {"a.u8.count", 0, 8, MAX, SY_DATA_LOSS, "file ends"},
    {"a.u8.count", 0, 8, 65536, SY_DATA_LOSS, "file ends"},
    {"a.u64.count", 0, 8, UINT64_C(1) << 61, SY_DATA_LOSS, "more elements"},
    {"a.u64.count", 0, 8, MAX, SY_DATA_LOSS, "more elements"},
    {"a.f64.count", 0, 8, (UINT64_C(1) << 61) + 1, SY_DATA_LOSS, "more elements"},
    {"a.f32.count", 0, 8, UINT64_C(1) << 40, SY_DATA_LOSS, "file ends"},
    {"a.bool.elements", 0, 1, 2, SY_DATA_LOSS, "'a.bool' has a bool"},
    {"a.bool.elements", 1, 1, 254, SY_DATA_LOSS, "'a.bool' has a bool"},
    {"a.string.count", 0, 8, UINT64_C(1) << 61, SY_DATA_LOSS, "more elements"},
    {"a.string.count", 0, 8, UINT64_C(1) << 32, SY_DATA_LOSS, "file ends"},
    {"a.string.count", 0, 8, MAX, SY_DATA_LOSS, "more elements"},
    {"a.string.0.length", 0, 8, MAX, SY_OUT_OF_RANGE, "16 MiB"},
    {"a.string.1.length", 0, 8, 1u << 20, SY_DATA_LOSS, "file ends"},
    {"a.string.2.length", 0, 8, HIGH, SY_OUT_OF_RANGE, "16 MiB"},
};

static const bad_file tensor_files[] = {
    {"t.f32.length", 0, 8, 0, SY_DATA_LOSS, "0 bytes long"},
    {"t.f32.length", 0, 8, 128, SY_OUT_OF_RANGE, "128 bytes long"},
    {"t.f32.length", 0, 8, MAX, SY_OUT_OF_RANGE, "bytes long"},
    {"t.f32.text", 0, 1, 0, SY_DATA_LOSS, "no printable UTF-8"},
    {"t.f32.text", 1, 1, 0xff, SY_DATA_LOSS, "no printable UTF-8"},
    {"t.f32.text", 1, 2, 0x80c0, SY_DATA_LOSS, "no printable UTF-8"},     /* overlong */
    {"t.f32.text", 1, 3, 0x80a0ed, SY_DATA_LOSS, "no printable UTF-8"},   /* surrogate */
    {"t.f32.text", 1, 4, 0x808090f4, SY_DATA_LOSS, "no printable UTF-8"}, /* past 10FFFF */
    {"t.f32.text", 1, 2, 0x85c2, SY_DATA_LOSS, "no printable UTF-8"},     /* control */
    {"t.f32.text", 4, 1, 0xc3, SY_DATA_LOSS, "no printable UTF-8"},       /* cut off */
    {"t.q80.text", 2, 3, 0x303471, SY_DATA_LOSS, "'t.q40' comes twice"},
    {"t.f32.rank", 0, 4, 0, SY_DATA_LOSS, "rank"},
    {"t.f32.rank", 0, 4, 5, SY_DATA_LOSS, "rank"},
    {"t.f32.rank", 0, 4, 8, SY_DATA_LOSS, "rank"},
    {"t.f32.rank", 0, 4, MAX, SY_DATA_LOSS, "rank"},
    {"t.f32.dims", 0, 8, 0, SY_DATA_LOSS, "dimension of 0"},
    {"t.f32.dims", 8, 8, 0, SY_DATA_LOSS, "dimension of 0"},
    {"t.f32.dims", 0, 8, MAX, SY_OUT_OF_RANGE, "2^40 elements"},
    {"t.f32.dims", 8, 8, HIGH, SY_OUT_OF_RANGE, "2^40 elements"},
    {"t.f32.dims", 8, 8, UINT64_C(1) << 61, SY_OUT_OF_RANGE, "2^40 elements"},
    {"t.f32.dims", 8, 8, (UINT64_C(1) << 37) + 1, SY_OUT_OF_RANGE, "2^40 elements"},
    {"t.f32.dims", 8, 8, UINT64_C(1) << 37, SY_DATA_LOSS, "past the end"},
    {"t.f16.dims", 24, 8, 1u << 20, SY_DATA_LOSS, "past the end"},
    {"t.q40.dims", 0, 8, 31, SY_DATA_LOSS, "whole number of blocks"},
    {"t.q40.dims", 0, 8, 48, SY_DATA_LOSS, "whole number of blocks"},
    {"t.f32.type", 0, 4, 4, SY_UNIMPLEMENTED, "type 4"},
    {"t.f32.type", 0, 4, 31, SY_UNIMPLEMENTED, "type 31"}, /* a layout that the format gave up */
    {"t.f32.type", 0, 4, 64, SY_UNIMPLEMENTED, "type 64"}, /* ours, not the format's */
    {"t.f32.type", 0, 4, 67, SY_UNIMPLEMENTED, "type 67"},
    {"t.f32.type", 0, 4, MAX, SY_UNIMPLEMENTED, "type 4294967295"},
    {"t.f32.type", 0, 4, SY_TYPE_Q4_K, SY_DATA_LOSS, "whole number of blocks"},
    {"t.f32.type", 0, 4, SY_TYPE_F64, SY_DATA_LOSS, "overlaps"},
    {"t.q40.offset", 0, 8, 65, SY_DATA_LOSS, "not aligned"},
    {"t.q40.offset", 0, 8, 80, SY_DATA_LOSS, "not aligned"},
    {"t.q40.offset", 0, 8, 0, SY_DATA_LOSS, "overlaps"},
    {"t.q40.offset", 0, 8, 32, SY_DATA_LOSS, "overlaps"},
    {"t.q40.offset", 0, 8, 128, SY_DATA_LOSS, "overlaps"},
    {"t.q40.offset", 0, 8, 1u << 20, SY_DATA_LOSS, "past the end"},
    {"t.q40.offset", 0, 8, MAX - 31, SY_DATA_LOSS, "past the end"},
    {"t.q40.offset", 0, 8, HIGH, SY_DATA_LOSS, "past the end"},
    {"t.f16.offset", 0, 8, 256, SY_DATA_LOSS, "past the end"},
};

static gguf_writer writer;

/* Opens an exact copy on the heap, so that a read past its end is seen by ASan. */
static sy_status open_copy(sy_error *error) {
    sy_gguf *gguf = NULL;
    uint8_t *copy = malloc(writer.n_bytes);
    CHECK(copy != NULL);
    memcpy(copy, writer.bytes, writer.n_bytes);
    memset(error, 0, sizeof(*error));
    sy_status status = sy_gguf_open_memory(NULL, copy, writer.n_bytes, "bad", &gguf, error);
    if (status == SY_OK) {
        sample_walk(gguf);
        sy_gguf_close(gguf);
    } else {
        CHECK(gguf == NULL);
    }
    free(copy);
    return status;
}

static void check_sentence(const sy_error *error, const char *field) {
    size_t n = strlen(error->message);
    CHECK_TEXT(n > 10 && error->message[n - 1] == '.', "%s: '%s'", field, error->message);
    CHECK_TEXT(error->hint[0] != '\0', "%s has no hint", field);
    CHECK_TEXT(strcmp(error->origin, "bad") == 0, "%s: origin '%s'", field, error->origin);
    CHECK_TEXT(error->file_offset <= writer.n_bytes, "%s: offset", field);
}

static void refuse(const bad_file *files, size_t n_files) {
    for (size_t i = 0; i < n_files; i++) {
        const bad_file *bad = &files[i];
        sy_error error;
        sample_build(&writer);
        memcpy(writer.bytes + writer_find(&writer, bad->field)->offset + bad->delta, &bad->value,
               bad->n_bytes);
        sy_status status = open_copy(&error);
        CHECK_TEXT(SY_STATUS_CLASS(status) == bad->status_class, "%s = %llx: status %u '%s'",
                   bad->field, (unsigned long long)bad->value, status, error.message);
        CHECK_TEXT(strstr(error.message, bad->words) != NULL, "%s = %llx: '%s' lacks '%s'",
                   bad->field, (unsigned long long)bad->value, error.message, bad->words);
        check_sentence(&error, bad->field);
    }
}

static void refuses_bad_headers(void) {
    refuse(header_files, sizeof(header_files) / sizeof(header_files[0]));
}
static void refuses_bad_keys(void) {
    refuse(key_files, sizeof(key_files) / sizeof(key_files[0]));
}
static void refuses_bad_arrays(void) {
    refuse(array_files, sizeof(array_files) / sizeof(array_files[0]));
}
static void refuses_bad_tensors(void) {
    refuse(tensor_files, sizeof(tensor_files) / sizeof(tensor_files[0]));
}

static const uint64_t bad_values[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      7,
                                      8,
                                      9,
                                      12,
                                      13,
                                      14,
                                      31,
                                      32,
                                      33,
                                      39,
                                      63,
                                      64,
                                      65,
                                      126,
                                      127,
                                      128,
                                      129,
                                      255,
                                      256,
                                      1023,
                                      4096,
                                      32767,
                                      32768,
                                      65535,
                                      65536,
                                      65537,
                                      0xffffff,
                                      0x1000000,
                                      0x1000001,
                                      0x10000000,
                                      0x7fffffff,
                                      0x80000000,
                                      0xfffffffe,
                                      0xffffffff,
                                      0x100000000,
                                      0x100000001,
                                      UINT64_C(1) << 40,
                                      (UINT64_C(1) << 40) + 1,
                                      UINT64_C(1) << 61,
                                      (UINT64_C(1) << 61) - 1,
                                      UINT64_C(1) << 62,
                                      UINT64_C(1) << 63,
                                      (UINT64_C(1) << 63) - 1,
                                      UINT64_MAX - 63,
                                      UINT64_MAX - 31,
                                      UINT64_MAX - 7,
                                      UINT64_MAX - 1,
                                      UINT64_MAX,
                                      0x46554747,
                                      0x4647475500000003,
                                      0x8080808080808080,
                                      0x2020202020202020,
                                      0x7ff0000000000000,
                                      0xfff8000000000001,
                                      0x0101010101010101};

/* No value in any field crashes; each refusal is a sentence; most of them are refused. */
static void survives_bad_values_everywhere(void) {
    uint32_t n_refused = 0, n_read = 0;
    sample_build(&writer);
    uint32_t n_marks = writer.n_marks;
    for (uint32_t i = 0; i < n_marks; i++) {
        for (size_t j = 0; j < sizeof(bad_values) / sizeof(bad_values[0]); j++) {
            sy_error error;
            sample_build(&writer);
            const gguf_mark *mark = &writer.marks[i];
            size_t n = mark->n_bytes < 8 ? mark->n_bytes : 8;
            memcpy(writer.bytes + mark->offset, &bad_values[j], n);
            if (open_copy(&error) == SY_OK) {
                n_read++;
            } else {
                n_refused++;
                check_sentence(&error, mark->label);
            }
        }
    }
    CHECK_TEXT(n_refused > 2000 && n_read > 500, "%u refused, %u read", n_refused, n_read);
}

static void names_other_files(void) {
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    sy_gguf *gguf = NULL;
    sy_error error;
    CHECK(sy_gguf_open_memory(NULL, pointer, sizeof(pointer), "lfs", &gguf, &error) ==
          SY_INVALID_ARGUMENT);
    CHECK(strstr(error.hint, "git lfs pull") != NULL);
    for (uint64_t n = 0; n < 24; n++) {
        CHECK(sy_gguf_open_memory(NULL, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", n, "short",
                                  &gguf, &error) != SY_OK);
        CHECK(error.message[0] != '\0' && error.hint[0] != '\0');
    }
}

/* A sparse file whose metadata claims more than the limit is refused without being read. */
static void refuses_metadata_past_the_limit(void) {
    char path[] = "/tmp/switchyard-gguf-XXXXXX";
    sy_gguf *gguf = NULL;
    sy_error error;
    writer_header(&writer, 0, 1);
    writer_key_array(&writer, "a.u8", SY_GGUF_U8, SY_LIMIT_METADATA_BYTES);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, writer.bytes, writer.n_bytes) == (ssize_t)writer.n_bytes);
    CHECK(ftruncate(fd, (off_t)SY_LIMIT_METADATA_BYTES + (1 << 20)) == 0);
    CHECK(sy_gguf_open(NULL, path, &gguf, &error) == SY_OUT_OF_RANGE);
    CHECK(strstr(error.message, "limit") != NULL);
    close(fd);
    unlink(path);
}

static const sy_test_case cases[] = {
    {"refuses_bad_headers", refuses_bad_headers},
    {"refuses_bad_keys", refuses_bad_keys},
    {"refuses_bad_arrays", refuses_bad_arrays},
    {"refuses_bad_tensors", refuses_bad_tensors},
    {"survives_bad_values_everywhere", survives_bad_values_everywhere},
    {"names_other_files", names_other_files},
    {"refuses_metadata_past_the_limit", refuses_metadata_past_the_limit},
};
SY_TEST_MAIN(cases)
