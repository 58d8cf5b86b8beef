/* SPDX-License-Identifier: Apache-2.0 */
/* Who may put a plugin there: owners, modes, links, odd files, hashes. What is not trusted is never
 * mapped: its constructor would leave a marker file. */
#include "sandbox.h"

#include "base/digest.h"
#include "switchyard/limits.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NOBODY 65534

static char marker[PATH_BYTES];

static void marked_open(sandbox *box) {
    sandbox_open(box);
    int n = snprintf(marker, sizeof(marker), "%s.marker", box->directory);
    CHECK(n > 0 && n < (int)sizeof(marker));
    setenv("SY_TEST_MARKER", marker, 1);
}

static bool has_run(void) {
    bool exists = access(marker, F_OK) == 0;
    unlink(marker);
    return exists;
}

static void in_box(const sandbox *box, const char *name, char out_path[PATH_BYTES]) {
    path_in(box->directory, name, out_path);
}

/* Scans and checks that the one plugin is refused for `text` and that no code of it ran. */
static void expect_untrusted(sandbox *box, const char *ini, const char *text) {
    sandbox_scan(box, ini);
    check_candidate(box, SY_CANDIDATE_UNTRUSTED, text);
    CHECK_TEXT(!has_run(), "code of an untrusted plugin ran: %s", text);
    CHECK(sandbox_close(box) == 0);
}

static void marker_shows_that_code_ran(void) {
    sandbox box;
    marked_open(&box);
    place(&box, "good");
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    CHECK(has_run());
    sandbox_close(&box);
}

static void writable_files_are_refused(void) {
    static const char *const names[] = {"cpu-test", "cpu-test/plugin.ini", "cpu-test/cpu-test.so"};
    static const mode_t modes[] = {0020, 0002};
    for (size_t i = 0; i < 6; i++) {
        sandbox box;
        char path[PATH_BYTES];
        struct stat facts;
        marked_open(&box);
        place(&box, "good");
        in_box(&box, names[i % 3], path);
        CHECK(stat(path, &facts) == 0);
        CHECK(chmod(path, (facts.st_mode & 07777) | modes[i / 3]) == 0);
        expect_untrusted(&box, NULL, "may be written");
    }
}

static void foreign_owners_are_refused(void) {
    static const char *const names[] = {"cpu-test", "cpu-test/plugin.ini", "cpu-test/cpu-test.so"};
    if (geteuid() != 0) {
        SKIP("only root can give files away");
    }
    for (size_t i = 0; i < 3; i++) {
        sandbox box;
        char path[PATH_BYTES];
        marked_open(&box);
        place(&box, "good");
        in_box(&box, names[i], path);
        CHECK(chown(path, NOBODY, NOBODY) == 0);
        expect_untrusted(&box, NULL, "neither to root nor to the effective user");
    }
}

/* As nobody: files of nobody are fine by default and refused with owner = root. */
static void own_files_count_unless_root_is_asked_for(void) {
    if (geteuid() != 0) {
        SKIP("only root can become nobody");
    }
    sandbox box;
    char path[PATH_BYTES], command[PATH_BYTES * 2];
    marked_open(&box);
    place(&box, "good");
    snprintf(command, sizeof(command), "chown -R %d:%d %s", NOBODY, NOBODY, box.directory);
    CHECK(system(command) == 0 && setegid(NOBODY) == 0 && seteuid(NOBODY) == 0);
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    CHECK(has_run() && sandbox_unload(&box) == 0);
    sandbox_scan(&box, "[trust]\nowner = root\n");
    uint32_t n = 0;
    sy_registry_candidates(box.registry, &n);
    CHECK(n == 0 && !has_run());
    const sy_registry_directory *directory = sy_registry_directories(box.registry, &n);
    CHECK(directory->is_searched == 0 && strstr(directory->reason, "root") != NULL);
    sandbox_unload(&box);
    CHECK(seteuid(0) == 0);
    in_box(&box, "cpu-test/cpu-test.so", path);
    sandbox_close(&box);
}

/* The directory itself and the folders above it. */
static void parents_are_checked(void) {
    static const struct {
        mode_t mode;
        bool is_fine;
    } parents[] = {{0755, true}, {0775, false}, {0757, false}, {01777, true}, {0700, true}};
    for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
        sandbox box;
        char inner[PATH_BYTES], outer[PATH_BYTES];
        marked_open(&box);
        copy_path(outer, box.directory);
        in_box(&box, "inner", inner);
        CHECK(mkdir(inner, 0755) == 0);
        copy_path(box.directory, inner);
        place(&box, "good");
        CHECK(chmod(outer, parents[i].mode) == 0);
        bool is_fine = parents[i].is_fine && (parents[i].mode != 01777 || geteuid() == 0);
        sandbox_scan(&box, NULL);
        uint32_t n = 0;
        sy_registry_candidates(box.registry, &n);
        const sy_registry_directory *directory = sy_registry_directories(box.registry, &n);
        CHECK_TEXT(directory->is_searched == is_fine, "mode %o", parents[i].mode);
        CHECK(has_run() == is_fine);
        sandbox_unload(&box);
        copy_path(box.directory, outer);
        sandbox_close(&box);
    }
}

static void plugin_directory_may_not_be_sticky(void) {
    sandbox box;
    uint32_t n = 0;
    marked_open(&box);
    place(&box, "good");
    CHECK(chmod(box.directory, 01777) == 0);
    sandbox_scan(&box, NULL);
    const sy_registry_directory *directory = sy_registry_directories(box.registry, &n);
    CHECK(n == 1 && !directory->is_searched && strstr(directory->reason, "written") != NULL);
    CHECK(!has_run());
    sandbox_close(&box);
}

static void links_are_refused(void) {
    sandbox box;
    char path[PATH_BYTES], from[PATH_BYTES];
    /* the shared object */
    marked_open(&box);
    place(&box, "good");
    in_box(&box, "cpu-test/cpu-test.so", path);
    variant_path("good", from);
    CHECK(unlink(path) == 0 && symlink(from, path) == 0);
    expect_untrusted(&box, NULL, "symbolic link");
    /* the manifest */
    marked_open(&box);
    place(&box, "good");
    in_box(&box, "cpu-test/plugin.ini", path);
    CHECK(unlink(path) == 0 && symlink("/etc/hostname", path) == 0);
    expect_untrusted(&box, NULL, "symbolic link");
    /* the folder */
    sandbox other;
    sandbox_open(&other);
    place(&other, "good");
    marked_open(&box);
    in_box(&box, "cpu-test", path);
    in_box(&other, "cpu-test", from);
    CHECK(symlink(from, path) == 0);
    expect_untrusted(&box, NULL, "symbolic link");
    /* a link above the plugin directory is resolved first, and what it leads to is checked */
    marked_open(&box);
    in_box(&box, "way", path);
    CHECK(symlink(other.directory, path) == 0);
    char outer[PATH_BYTES];
    copy_path(outer, box.directory);
    copy_path(box.directory, path);
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    sandbox_unload(&box);
    CHECK(has_run());
    copy_path(box.directory, outer);
    sandbox_close(&box);
    sandbox_close(&other);
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    CHECK(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
}

/* Opening any of these could block or act; the scan only lists them. */
static void odd_files_do_not_block(void) {
    static const char *const texts[] = {"FIFO", "socket", "folder", "symbolic link"};
    for (size_t i = 0; i < 4; i++) {
        sandbox box;
        char path[PATH_BYTES];
        marked_open(&box);
        in_box(&box, "cpu-test.so", path);
        if (i == 0) {
            CHECK(mkfifo(path, 0644) == 0);
        } else if (i == 1) {
            make_socket(path);
        } else if (i == 2) {
            CHECK(mkdir(path, 0755) == 0);
        } else {
            CHECK(symlink("/nowhere", path) == 0);
        }
        expect_untrusted(&box, NULL, texts[i]);
        marked_open(&box);
        place(&box, "good");
        in_box(&box, i % 2 == 0 ? "cpu-test/cpu-test.so" : "cpu-test/plugin.ini", path);
        CHECK(unlink(path) == 0 && mkfifo(path, 0644) == 0);
        expect_untrusted(&box, NULL, "FIFO");
    }
}

static void huge_files_are_refused(void) {
    sandbox box;
    char path[PATH_BYTES];
    marked_open(&box);
    place(&box, "good");
    in_box(&box, "cpu-test/cpu-test.so", path);
    CHECK(truncate(path, (off_t)10 << 30) == 0); /* 10 GiB, sparse */
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_BROKEN, "plugins have 1 to 268435456");
    CHECK(!has_run());
    sandbox_close(&box);
}

static void hash_of_file(const char *path, char out_hex[65]) {
    void *bytes = NULL;
    uint8_t digest[32];
    sy__sha256 sha;
    size_t n = read_file(path, &bytes);
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, bytes, n);
    sy__sha256_final(&sha, digest);
    sy__digest_hex(digest, out_hex);
    free(bytes);
}

static void hashes_decide(void) {
    char path[PATH_BYTES], hex[65], manifest[400];
    variant_path("good", path);
    hash_of_file(path, hex);
    for (int is_right = 0; is_right < 2; is_right++) {
        sandbox box;
        marked_open(&box);
        char last = hex[63];
        hex[63] = (char)(is_right ? last : last == '0' ? '1' : '0');
        snprintf(manifest, sizeof(manifest),
                 "[plugin]\nname = cpu-test\nabi_min = 0.9\nsha256 = %s\n", hex);
        hex[63] = last;
        place_as(&box, "cpu-test", "good", manifest);
        if (!is_right) {
            expect_untrusted(&box, NULL, "the manifest says otherwise");
            continue;
        }
        sandbox_scan(&box, "[trust]\nhashes = required\n");
        check_candidate(&box, SY_CANDIDATE_READY, "");
        CHECK(has_run() && strcmp(only_candidate(&box)->sha256, hex) == 0);
        sandbox_close(&box);
    }
}

static void extra_directories_can_be_denied(void) {
    sandbox box;
    sy_error error;
    marked_open(&box);
    place(&box, "good");
    static const char *const texts[] = {"", "[trust]\nextra_directories = deny\n"};
    for (int is_denied = 0; is_denied < 2; is_denied++) {
        sy_conf_layer layer = {.level = SY_CONF_ADMIN,
                               .path = "admin.ini",
                               .text = texts[is_denied],
                               .n_text_bytes = strlen(texts[is_denied])};
        sy_conf_options conf_options;
        sy_conf_options_default(&conf_options);
        conf_options.layers = &layer;
        conf_options.n_layers = 1;
        CHECK_OK_ERROR(sy_conf_create(&conf_options, &box.conf, &error), error);
        CHECK_OK_ERROR(sy_runtime_create(NULL, &box.runtime, &error), error);
        const char *const flags[] = {box.directory};
        sy_registry_options options;
        sy_registry_options_default(&options);
        options.conf = box.conf;
        options.default_directory = "/nowhere";
        options.directories = flags;
        options.n_directories = 1;
        setenv("SWITCHYARD_PLUGIN_PATH", "/also/nowhere", 1);
        CHECK_OK_ERROR(sy_registry_open(box.runtime, &options, &box.registry, &error), error);
        uint32_t n = 0;
        const sy_registry_directory *directories = sy_registry_directories(box.registry, &n);
        CHECK(n == 3 && directories[0].is_searched == !is_denied);
        CHECK(strcmp(directories[1].origin, "SWITCHYARD_PLUGIN_PATH") == 0);
        CHECK(strcmp(directories[2].origin, "default") == 0);
        CHECK(!is_denied || strstr(directories[0].reason, "deny at admin.ini:2") != NULL);
        CHECK(!is_denied || strstr(directories[1].reason, "deny at admin.ini:2") != NULL);
        CHECK(has_run() == !is_denied);
        sandbox_unload(&box);
    }
    sandbox_close(&box);
}

static void at_most_64_plugins_are_looked_at(void) {
    sandbox box;
    uint32_t n = 0;
    marked_open(&box);
    for (int i = 0; i < 1000; i++) {
        char name[32], path[PATH_BYTES];
        snprintf(name, sizeof(name), "p%03d.so", i);
        in_box(&box, name, path);
        write_file(path, "x", 1);
    }
    sandbox_scan(&box, NULL);
    const sy_candidate *const *candidates = sy_registry_candidates(box.registry, &n);
    CHECK(n == SY_LIMIT_PLUGINS && strcmp(candidates[63]->name, "p063") == 0);
    CHECK(sy_registry_directories(box.registry, &n)[0].n_left_out == 1000 - SY_LIMIT_PLUGINS);
    sandbox_close(&box);
}

/* A file that is swapped all the time is either the one that was checked or refused: never is code
 * mapped that the checks did not see. The bad one fails its hash, so its state must not appear. */
static void swapping_files_wins_nothing(void) {
    sandbox box;
    char path[PATH_BYTES], bad[PATH_BYTES], good[PATH_BYTES], hex[65], manifest[400];
    marked_open(&box);
    unsetenv("SY_TEST_MARKER"); /* the good one may run; only names matter here */
    variant_path("good", good);
    hash_of_file(good, hex);
    snprintf(manifest, sizeof(manifest), "[plugin]\nname = cpu-test\nabi_min = 0.9\nsha256 = %s\n",
             hex);
    place_as(&box, "cpu-test", "good", manifest);
    in_box(&box, "cpu-test/cpu-test.so", path);
    variant_path("zero_devices", bad);
    pid_t child = fork();
    if (child == 0) {
        char spare[PATH_BYTES];
        path_in(box.directory, "spare", spare);
        for (unsigned i = 0;; i++) {
            copy_file(i % 2 == 0 ? bad : good, spare);
            rename(spare, path);
        }
    }
    uint32_t n_ready = 0, n_refused = 0;
    for (int i = 0; i < 300; i++) {
        sandbox_scan(&box, NULL);
        const sy_candidate *candidate = only_candidate(&box);
        CHECK_TEXT(candidate->state != SY_CANDIDATE_NO_DEVICE, "unchecked code was loaded");
        n_ready += candidate->state == SY_CANDIDATE_READY;
        n_refused += candidate->state == SY_CANDIDATE_UNTRUSTED;
        sandbox_unload(&box);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(n_ready + n_refused > 200);
    sandbox_close(&box);
}

static const sy_test_case cases[] = {
    {"marker_shows_that_code_ran", marker_shows_that_code_ran},
    {"writable_files_are_refused", writable_files_are_refused},
    {"foreign_owners_are_refused", foreign_owners_are_refused},
    {"own_files_count_unless_root_is_asked_for", own_files_count_unless_root_is_asked_for},
    {"parents_are_checked", parents_are_checked},
    {"plugin_directory_may_not_be_sticky", plugin_directory_may_not_be_sticky},
    {"links_are_refused", links_are_refused},
    {"odd_files_do_not_block", odd_files_do_not_block},
    {"huge_files_are_refused", huge_files_are_refused},
    {"hashes_decide", hashes_decide},
    {"extra_directories_can_be_denied", extra_directories_can_be_denied},
    {"at_most_64_plugins_are_looked_at", at_most_64_plugins_are_looked_at},
    {"swapping_files_wins_nothing", swapping_files_wins_nothing},
};
SY_TEST_MAIN(cases)
