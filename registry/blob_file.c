/* SPDX-License-Identifier: Apache-2.0 */
#include "blob_file.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

/* "switchyard-blob 1 HEADER DIGEST\n": bytes of the header in hexadecimal, SHA-256 of the rest. */
#define MAGIC "switchyard-blob 1 "
#define MAGIC_BYTES (sizeof(MAGIC) - 1)
#define FIRST_LINE_BYTES (MAGIC_BYTES + 8 + 1 + 64 + 1)
#define HEADER_BYTES_MAX (1u << 20)
#define ALIGNMENT 64u

static void put_hex(sy__text *text, const char *field, const void *bytes, size_t n_bytes) {
    sy__text_printf(text, "%s=", field);
    for (size_t i = 0; i < n_bytes; i++) {
        sy__text_printf(text, "%02x", ((const uint8_t *)bytes)[i]);
    }
    sy__text_puts(text, "\n");
}

/* All of the header but the first line, whose room it counts. */
static void write_header(sy__text *text, const uint8_t name[SY_BLOB_NAME_BYTES],
                         const sy_kept_blob *blob) {
    sy__text_printf(text, "format=%08x\n", blob->format);
    put_hex(text, "stamp", blob->stamp, sizeof(blob->stamp));
    put_hex(text, "name", name, SY_BLOB_NAME_BYTES);
    sy__text_puts(text, blob->record);
    do { /* at least one, which the reader turns into the record's end */
        sy__text_puts(text, "\n");
    } while ((text->n_bytes + FIRST_LINE_BYTES) % ALIGNMENT != 0 && text->status == SY_OK);
}

static void digest_of(const void *header, size_t n_header, const void *bytes, size_t n_bytes,
                      char out_hex[65]) {
    uint8_t digest[32];
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, header, n_header);
    sy__sha256_update(&sha, bytes, n_bytes);
    sy__sha256_final(&sha, digest);
    sy__digest_hex(digest, out_hex);
}

sy_status sy__blob_file_write(sy__file_atomic *file, const sy_allocator *allocator,
                              const uint8_t name[SY_BLOB_NAME_BYTES], const sy_kept_blob *blob,
                              sy_error *error) {
    char hex[65], first[FIRST_LINE_BYTES + 1];
    sy__text header;
    sy__text_init(&header, allocator, HEADER_BYTES_MAX - FIRST_LINE_BYTES);
    write_header(&header, name, blob);
    sy_status status = header.status;
    if (status != SY_OK) {
        sy_error_set(error, status, "The record of a blob does not fit: %s.",
                     sy_status_name(status));
    } else {
        digest_of(header.bytes, header.n_bytes, blob->bytes, (size_t)blob->n_bytes, hex);
        snprintf(first, sizeof(first), MAGIC "%08x %s\n",
                 (unsigned)(header.n_bytes + FIRST_LINE_BYTES), hex);
        status = sy__file_atomic_write(file, first, FIRST_LINE_BYTES, error);
    }
    if (status == SY_OK) {
        status = sy__file_atomic_write(file, header.bytes, header.n_bytes, error);
    }
    if (status == SY_OK) {
        status = sy__file_atomic_write(file, blob->bytes, (size_t)blob->n_bytes, error);
    }
    sy__text_deinit(&header);
    return status;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bytes behind "field=" at *cursor, which moves past the line. */
static bool take_hex(const char **cursor, const char *field, void *out_bytes, size_t n_bytes) {
    size_t n_field = strlen(field);
    const char *text = *cursor;
    if (strncmp(text, field, n_field) != 0 || text[n_field] != '=') {
        return false;
    }
    text += n_field + 1;
    for (size_t i = 0; i < n_bytes; i++, text += 2) {
        int high = hex_digit(text[0]), low = high >= 0 ? hex_digit(text[1]) : -1;
        if (low < 0) {
            return false;
        }
        ((uint8_t *)out_bytes)[i] = (uint8_t)(high << 4 | low);
    }
    *cursor = text + 1;
    return *text == '\n';
}

static bool parse_header(const char *text, const uint8_t name[SY_BLOB_NAME_BYTES],
                         sy_kept_blob *blob) {
    uint8_t format[4], kept_name[SY_BLOB_NAME_BYTES];
    if (!take_hex(&text, "format", format, sizeof(format)) ||
        !take_hex(&text, "stamp", blob->stamp, sizeof(blob->stamp)) ||
        !take_hex(&text, "name", kept_name, sizeof(kept_name))) {
        return false;
    }
    blob->format = (uint32_t)format[0] << 24 | (uint32_t)format[1] << 16 |
                   (uint32_t)format[2] << 8 | format[3];
    blob->record = text;
    return memcmp(kept_name, name, sizeof(kept_name)) == 0;
}

sy_status sy__blob_file_parse(uint8_t *file, uint64_t n_file,
                              const uint8_t name[SY_BLOB_NAME_BYTES], sy_kept_blob *out_blob,
                              sy_error *error) {
    const char *text = (const char *)file;
    unsigned n_header = 0;
    char hex[65], first[FIRST_LINE_BYTES + 1] = "";
    sy_kept_blob blob = {0};
    bool is_whole = n_file >= FIRST_LINE_BYTES && memcmp(text, MAGIC, MAGIC_BYTES) == 0;
    if (is_whole) {
        memcpy(first, text, FIRST_LINE_BYTES);
        for (size_t i = 0; i < 8; i++) {
            n_header = n_header << 4 | ((unsigned)hex_digit(first[MAGIC_BYTES + i]) & 15u);
        }
        is_whole = n_header > FIRST_LINE_BYTES && n_header <= HEADER_BYTES_MAX &&
                   n_header <= n_file && n_header % ALIGNMENT == 0;
    }
    if (is_whole) {
        char again[FIRST_LINE_BYTES + 1];
        digest_of(file + FIRST_LINE_BYTES, (size_t)n_file - FIRST_LINE_BYTES, file, 0, hex);
        snprintf(again, sizeof(again), MAGIC "%08x %s\n", n_header, hex);
        is_whole = memcmp(again, first, FIRST_LINE_BYTES) == 0;
    }
    if (is_whole) {
        file[n_header - 1] = '\0';
        is_whole = parse_header(text + FIRST_LINE_BYTES, name, &blob);
    }
    if (!is_whole) {
        return sy_error_set(error, SY_STATUS(SY_DATA_LOSS, SY_DETAIL_BLOB_CORRUPT),
                            "The kept blob is corrupt (%llu bytes).", (unsigned long long)n_file);
    }
    blob.bytes = file + n_header;
    blob.n_bytes = n_file - n_header;
    *out_blob = blob;
    return SY_OK;
}
