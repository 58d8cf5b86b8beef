/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/file_map.h"

#include <sys/stat.h>

static char folder[64];

static void make_folder(void) {
    snprintf(folder, sizeof(folder), "/tmp/sy-file-map-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void path_of(char out_path[128], const char *name) {
    snprintf(out_path, 128, "%s/%s", folder, name);
}

static void write_file(const char *path, const char *content) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(content, file);
    fclose(file);
}

static void maps_what_the_file_holds(void) {
    char path[128];
    make_folder();
    path_of(path, "a");
    write_file(path, "content");
    sy__file_map map = {0};
    sy_error error;
    CHECK_OK_ERROR(sy__file_map_open(path, &map, &error), error);
    CHECK(map.n_bytes == 7 && memcmp(map.bytes, "content", 7) == 0);
    sy__file_map_close(&map);
    CHECK(map.bytes == NULL);
    sy__file_map_close(&map);
    unlink(path);
    rmdir(folder);
}

static void refuses(const char *path, sy_status expected) {
    sy__file_map map = {NULL, 77};
    sy_error error;
    sy_error_clear(&error);
    sy_status status = sy__file_map_open(path, &map, &error);
    CHECK_TEXT(status == expected, "%s: %u", path, status);
    CHECK(map.bytes == NULL && map.n_bytes == 77);
    CHECK(error.message[0] != '\0' && error.hint[0] != '\0');
    CHECK(strncmp(error.origin, path, strlen(error.origin)) == 0);
}

static void refuses_what_is_no_file_with_content(void) {
    char path[128];
    make_folder();
    path_of(path, "none");
    refuses(path, SY_NOT_FOUND);
    refuses(folder, SY_INVALID_ARGUMENT);
    path_of(path, "empty");
    write_file(path, "");
    refuses(path, SY_INVALID_ARGUMENT);
    unlink(path);
    path_of(path, "fifo");
    CHECK(mkfifo(path, 0600) == 0);
    alarm(5); /* a blocking open would never return */
    refuses(path, SY_INVALID_ARGUMENT);
    unlink(path);
    rmdir(folder);
}

static void refuses_what_it_may_not_read(void) {
    char path[128];
    make_folder();
    CHECK(chmod(folder, 0755) == 0);
    path_of(path, "secret");
    write_file(path, "x");
    CHECK(chmod(path, 0) == 0);
    if (geteuid() == 0 && seteuid(65534) != 0) {
        SKIP("cannot drop root");
    }
    refuses(path, SY_PERMISSION_DENIED);
    CHECK(getuid() != 0 || seteuid(0) == 0);
    unlink(path);
    rmdir(folder);
}

static void what_is_let_go_can_be_read_again(void) {
    char path[128];
    sy__file_map map = {NULL, 0};
    sy_error error;
    make_folder();
    path_of(path, "long");
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (int i = 0; i < 5000; i++) {
        CHECK(fprintf(file, "%04d", i) == 4);
    }
    fclose(file);
    CHECK_OK_ERROR(sy__file_map_open(path, &map, &error), error);
    sy__file_map_page_out(map.bytes + 1, map.n_bytes - 2);
    CHECK(memcmp(map.bytes + 4 * 2500, "2500", 4) == 0);
    sy__file_map_forget(map.bytes, map.n_bytes);
    sy__file_map_forget(map.bytes, 0);
    CHECK(memcmp(map.bytes + 4 * 4999, "4999", 4) == 0 && memcmp(map.bytes, "0000", 4) == 0);
    sy__file_map_close(&map);
    unlink(path);
    rmdir(folder);
}

static const sy_test_case cases[] = {
    {"what_is_let_go_can_be_read_again", what_is_let_go_can_be_read_again},
    {"maps_what_the_file_holds", maps_what_the_file_holds},
    {"refuses_what_is_no_file_with_content", refuses_what_is_no_file_with_content},
    {"refuses_what_it_may_not_read", refuses_what_it_may_not_read},
};
SY_TEST_MAIN(cases)
