/* SPDX-License-Identifier: Apache-2.0 */
/* Reading ahead changes nothing that a reader sees, and may be stopped at any time. */
#include "harness.h"

#include "base/file_map.h"
#include "base/read_ahead.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)24 << 20)

static sy__file_map map;
static int file;

static void open_file(void) {
    char path[] = "/tmp/sy-read-ahead-XXXXXX";
    static uint8_t block[1 << 20];
    file = mkstemp(path);
    CHECK(file >= 0);
    for (size_t i = 0; i < FILE_BYTES / sizeof(block); i++) {
        memset(block, (int)i + 1, sizeof(block));
        CHECK(write(file, block, sizeof(block)) == (ssize_t)sizeof(block));
    }
    CHECK(fsync(file) == 0); /* pages that wait to be written cannot be thrown out */
    sy_error error;
    CHECK_OK_ERROR(sy__file_map_open(path, &map, &error), error);
    unlink(path);
}

static void close_file(void) {
    sy__file_map_close(&map);
    close(file);
}

static void check_content(void) {
    for (size_t at = 0; at < FILE_BYTES; at += 4096) {
        CHECK(map.bytes[at] == (uint8_t)((at >> 20) + 1));
    }
}

/* Spans that begin and end inside of pages, the last one before the first. */
static sy__read_ahead *start(void) {
    const sy__span spans[2] = {{map.bytes + 4097, ((size_t)20 << 20) - 4097}, {map.bytes, 4096}};
    return sy__read_ahead_start(NULL, spans, 2);
}

static bool is_in_memory(size_t at) {
    unsigned char there = 0;
    CHECK(mincore((void *)(uintptr_t)(map.bytes + at), 4096, &there) == 0);
    return (there & 1) != 0;
}

/* Throws the file's pages out; false where the file system keeps them. */
static bool evict(void) {
    CHECK(madvise((void *)(uintptr_t)map.bytes, FILE_BYTES, MADV_DONTNEED) == 0);
    CHECK(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    return !is_in_memory(0) && !is_in_memory((size_t)10 << 20) && !is_in_memory((size_t)19 << 20);
}

static void stops_at_any_time(void) {
    open_file();
    for (int round = 0; round < 20; round++) {
        (void)evict();
        sy__read_ahead *ahead = start();
        CHECK(ahead != NULL);
        if (round % 4 < 2) {
            check_content();
        }
        sy__read_ahead_end(ahead);
    }
    check_content();
    close_file();
}

/* Emulators of a system may take the advice and do nothing. */
static bool advice_works(void) {
    const size_t at = (size_t)5 << 20;
    CHECK(madvise((void *)(uintptr_t)(map.bytes + at), 4096, MADV_WILLNEED) == 0);
    for (int i = 0; i < 1000 && !is_in_memory(at); i++) {
        usleep(1000);
    }
    return is_in_memory(at);
}

/* Nobody reads the file, and still its pages come in. */
static void reads_what_was_asked_for(void) {
    open_file();
    if (!evict()) {
        SKIP("this file system does not let go of its pages");
    }
    if (!advice_works()) {
        SKIP("this system does not act on MADV_WILLNEED");
    }
    sy__read_ahead *ahead = start();
    const size_t middle = (size_t)10 << 20; /* asked for first, but who is read first is not said */
    for (int i = 0; i < 5000 && !(is_in_memory(0) && is_in_memory(middle)); i++) {
        usleep(1000);
    }
    CHECK(is_in_memory(0) && is_in_memory(middle));
    sy__read_ahead_end(ahead);
    check_content();
    close_file();
}

static void little_data_starts_nothing(void) {
    static const uint8_t bytes[4096];
    const sy__span span = {bytes, sizeof(bytes)};
    CHECK(sy__read_ahead_start(NULL, &span, 1) == NULL);
    CHECK(sy__read_ahead_start(NULL, &span, 0) == NULL);
    sy__read_ahead_end(NULL);
}

static const sy_test_case cases[] = {
    {"stops_at_any_time", stops_at_any_time},
    {"reads_what_was_asked_for", reads_what_was_asked_for},
    {"little_data_starts_nothing", little_data_starts_nothing},
};
SY_TEST_MAIN(cases)
