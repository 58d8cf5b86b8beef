/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that a careless reader would misunderstand: each is refused at its line, with a reason. */
#include "harness.h"
#include "switchyard/conf.h"
#include "switchyard/limits.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

typedef struct hostile {
    const char *text;
    uint32_t line;
    const char *message;
} hostile;

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X190 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const hostile texts[] = {
    /* lines that inih would cut, join or skip */
    {"#" X190 "\n[trust]\n", 1, "191 bytes"},
    {"[policy]\n# " X190 X10 "[trust]\nowner = root\n", 2, "bytes; at most 190"},
    {"# a comment of 200 bytes hides a key " X100 X10 X10 X10 X10 X10 X10 "x signatures = off\n", 1,
     "at most 190"},
    {"[runtime]\nthreads = 2\n 4\n", 3, "indented"},
    {"[runtime]\nthreads = 2\n\t4\n", 3, "indented"},
    {"[runtime]\n threads = 2\n", 2, "indented"},
    {" [runtime]\n", 1, "indented"},
    {" # comment\n", 1, "indented"},
    {"[runtime]\nthreads = 2 ; two\n", 2, "comment stands behind"},
    {"[runtime]\nthreads = 2 # two\n", 2, "comment stands behind"},
    {"[runtime]\nthreads = ; two\n", 2, "comment stands behind"},
    {"[runtime]\nthreads =#2\n", 2, "comment stands behind"},
    {"[runtime] ; comment\n", 1, "follows the closing bracket"},
    {"[runtime] threads = 2\n", 1, "follows the closing bracket"},
    {"[runtime]]\n", 1, "follows the closing bracket"},
    {"[runtime\n", 1, "no closing bracket"},
    {"[runtime # ]\n", 1, "not allowed"},
    {"[]\n", 1, "no name"},
    {"[ runtime]\n", 1, "not allowed"},
    {"[runtime ]\n", 1, "not allowed"},
    {"[delegate  two]\n", 1, "not allowed"},
    {"[delegate a;b]\n", 1, "not allowed"},
    {"[" X10 X10 X10 X10 X10 "]\n", 1, "longer than 48"},
    {"[runtime]\nthreads: 2\n", 2, "no comment and no"},
    {"[runtime]\nthreads: x = 2\n", 2, "not allowed"},
    {"[runtime]\nthreads\n", 2, "no comment and no"},
    {"[runtime]\n= 2\n", 2, "empty or longer"},
    {"[runtime]\nthreads =\n", 2, "no value"},
    {"[runtime]\nthreads = \t \n", 2, "no value"},
    {"[runtime]\nthreads = \"2\"\n", 2, "quotation mark"},
    {"[runtime]\nlog_level = 'info'\n", 2, "quotation mark"},
    {"[runtime]\nthr eads = 2\n", 2, "not allowed"},
    {"[runtime]\n[threads = 2\n", 2, "no closing bracket"},
    {"threads = 2\n", 1, "before any section"},
    /* characters */
    {"\xef\xbb\xbf[runtime]\n", 1, "byte order mark"},
    {"[runtime]\n\xef\xbb\xbfthreads = 2\n", 2, "hides or reorders"},
    {"[runtime]\n# \xff\n", 2, "not valid UTF-8"},
    {"[runtime]\n# \xc0\xaf\n", 2, "not valid UTF-8"},
    {"[runtime]\n# \xed\xa0\x80\n", 2, "not valid UTF-8"},
    {"[runtime]\n# \xf4\x90\x80\x80\n", 2, "not valid UTF-8"},
    {"[runtime]\n# \xe2\x82", 2, "not valid UTF-8"},
    {"[runtime]\n# \x1b[2J\n", 2, "control character"},
    {"[runtime]\n# \x7f\n", 2, "control character"},
    {"[runtime]\n# \xc2\x85 next line\n", 2, "control character"},
    {"[runtime]\r# half a line end\n", 1, "control character"},
    {"[runtime]\nthreads = 2\f\n", 2, "control character"},
    {"[runtime]\n# \xe2\x80\xae reordered\n", 2, "hides or reorders"},
    {"[runtime]\n# zero\xe2\x80\x8bwidth\n", 2, "hides or reorders"},
    {"[runtime]\n# \xe2\x80\xa8 line separator\n", 2, "hides or reorders"},
    /* twice, unknown */
    {"[runtime]\nthreads = 2\nthreads = 3\n", 3, "given before, at line 2"},
    {"[runtime]\n[policy]\n[runtime]\n", 3, "given before, at line 1"},
    {"[runtme]\n", 1, "Unknown section [runtme]"},
    {"[Runtime]\n", 1, "Unknown section [Runtime]"},
    {"[delegate]\n", 1, "Unknown section [delegate]"},
    {"[delegate a b]\n", 1, "Unknown section"},
    {"[runtime]\nthread = 2\n", 2, "Unknown key \"thread\""},
    {"[runtime]\nTHREADS = 2\n", 2, "Unknown key \"THREADS\""},
    {"[order]\nmode = strict\n", 2, "Unknown key \"mode\" in [order]"},
    {"[pin]\noperator. = cpu\n", 2, "Unknown key"},
    /* values */
    {"[runtime]\nthreads = 257\n", 2, "outside 0 to 256"},
    {"[runtime]\nthreads = -1\n", 2, "not a whole number"},
    {"[runtime]\nthreads = 0x10\n", 2, "not a whole number"},
    {"[runtime]\nthreads = 2.0\n", 2, "not a whole number"},
    {"[runtime]\nthreads = 99999999999999999999\n", 2, "not a whole number"},
    {"[runtime]\nthreads = 4 cores\n", 2, "not a whole number"},
    {"[policy]\nmargin_pct = nan\n", 2, "not a decimal number"},
    {"[policy]\nmargin_pct = inf\n", 2, "not a decimal number"},
    {"[policy]\nmargin_pct = 1e3\n", 2, "not a decimal number"},
    {"[policy]\nmargin_pct = 5,5\n", 2, "not a decimal number"},
    {"[policy]\nmargin_pct = -1\n", 2, "outside 0"},
    {"[policy]\nmode = preferr\n", 2, "none of strict|prefer|cost"},
    {"[policy]\nmode = Strict\n", 2, "none of"},
    {"[budget]\nnpu = 512\n", 2, "not a size"},
    {"[budget]\nnpu = 512 MB\n", 2, "not a size"},
    {"[budget]\nnpu = -1 MiB\n", 2, "not a size"},
    {"[budget]\nnpu = 99999999999 GiB\n", 2, "not a size"},
    {"[budget]\nnpu = 2000000 GiB\n", 2, "outside 0 to"},
    {"[require]\nnpu = 101\n", 2, "outside 0 to 100"},
    {"[order]\ndefault = npu,,cpu\n", 2, "cannot be understood"},
    {"[order]\ndefault = npu, npu\n", 2, "cannot be understood"},
    {"[order]\ndefault = NPU\n", 2, "cannot be understood"},
    {"[order]\ndefault = npu cpu\n", 2, "cannot be understood"},
    {"[order]\ndefault = npu:\n", 2, "cannot be understood"},
    {"[pin]\nnode.a = npu, cpu\n", 2, "cannot be understood"},
    {"[runtime]\nplugin_directories = plugins\n", 2, "cannot be understood"},
    {"[runtime]\nplugin_directories = /usr/../tmp\n", 2, "cannot be understood"},
    {"[runtime]\nplugin_directories = /a, /a\n", 2, "cannot be understood"},
    {"[isolate]\nmode = always\n", 2, "belongs to a later version"},
    {"[trust]\nsignatures = required\n", 2, "belongs to a later version"},
    {"[policy]\nbias.npu = 0\n", 2, "outside 0.01"},
    {"[order]\ndefault = cpu\n[policy]\nbias.npu = 2\n", 4, "does not name \"npu\""},
    {"[pin]\nnode.* = cpu\nnode.a = npu\n", 3, "never decides because of"},
    {"[forbid]\nnode.* = npu\n[pin]\nnode.a = npu\n", 4, "contradicts [forbid] node.* = npu"},
};

static sy_status read_text(const char *text, size_t n_bytes, sy_error *error) {
    sy_conf_layer layer = {
        .level = SY_CONF_ADMIN, .path = "hostile.ini", .text = text, .n_text_bytes = n_bytes};
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = &layer;
    options.n_layers = 1;
    sy_conf *conf = NULL;
    sy_error_clear(error);
    sy_status status = sy_conf_create(&options, &conf, error);
    CHECK((conf != NULL) == (status == SY_OK));
    sy_conf_destroy(conf);
    return status;
}

static void each_is_refused_at_its_line(void) {
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        sy_error error;
        sy_status status = read_text(texts[i].text, strlen(texts[i].text), &error);
        CHECK_TEXT(status != SY_OK, "accepted: %s", texts[i].text);
        CHECK_TEXT(strstr(error.message, texts[i].message) != NULL, "%s: %s", texts[i].text,
                   error.message);
        CHECK_TEXT(error.file_offset == texts[i].line, "%s: line %lu", texts[i].text,
                   (unsigned long)error.file_offset);
        CHECK(strcmp(error.origin, "hostile.ini") == 0);
    }
}

/* The same after a thousand good lines: line numbers do not drift. */
static void line_numbers_hold_far_down(void) {
    static char text[SY_LIMIT_INI_BYTES];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t n = 0;
        if ((unsigned char)texts[i].text[0] == 0xef) {
            continue; /* a mark counts at the start only */
        }
        for (int j = 0; j < 1000; j++) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, j % 3 == 0 ? "# %d\r\n" : "\n", j);
        }
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", texts[i].text);
        sy_error error;
        CHECK(read_text(text, n, &error) != SY_OK);
        CHECK_TEXT(error.file_offset == texts[i].line + 1000, "%s: line %lu", texts[i].text,
                   (unsigned long)error.file_offset);
    }
}

static void nul_bytes_are_refused(void) {
    static const char text[] = "[runtime]\nthreads = 2\0 [trust]\n";
    sy_error error;
    CHECK(read_text(text, sizeof(text) - 1, &error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "NUL byte") != NULL && error.file_offset == 2);
}

static void line_of_190_bytes_is_read(void) {
    static const char text[] = "#" X100 X10 X10 X10 X10 X10 X10 X10 X10 "xxxxxxxxx\n[runtime]\n";
    sy_error error;
    CHECK(strcspn(text, "\n") == 190);
    CHECK_OK_ERROR(read_text(text, sizeof(text) - 1, &error), error);
}

static void line_ends_and_missing_last_one(void) {
    sy_error error;
    static const char *const fine[] = {"",
                                       "\n",
                                       "[runtime]\r\nthreads = 2\r\n",
                                       "[runtime]\nthreads = 2",
                                       "[runtime]\n\t \nthreads\t=\t2\t",
                                       "; comment\n#\n[runtime]\nthreads=2\n"};
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        CHECK_OK_ERROR(read_text(fine[i], strlen(fine[i]), &error), error);
    }
}

static void sizes_are_limited(void) {
    static char text[SY_LIMIT_INI_BYTES + 2];
    sy_error error;
    memset(text, '\n', sizeof(text));
    CHECK_OK_ERROR(read_text(text, SY_LIMIT_INI_BYTES, &error), error);
    CHECK(SY_STATUS_CLASS(read_text(text, SY_LIMIT_INI_BYTES + 1, &error)) == SY_OUT_OF_RANGE);
    size_t n = (size_t)snprintf(text, sizeof(text), "[delegate x]\n");
    for (uint32_t i = 0; i <= SY_LIMIT_INI_KEYS; i++) {
        n += (size_t)snprintf(text + n, sizeof(text) - n, "k%u = 1\n", i);
    }
    CHECK(SY_STATUS_CLASS(read_text(text, n, &error)) == SY_OUT_OF_RANGE);
    CHECK(error.file_offset == SY_LIMIT_INI_KEYS + 2);
}

static void hints_name_what_was_meant(void) {
    static const struct {
        const char *text, *hint;
    } given[] = {{"[runtme]\n", "Did you mean [runtime]?"},
                 {"[runtime]\nthread = 2\n", "Did you mean \"threads\"?"},
                 {"[runtime]\nlog_leevl = info\n", "Did you mean \"log_level\"?"},
                 {"[policy]\nthreads = 2\n", "This key belongs in [runtime]."},
                 {"[policy]\nmode = perfer\n", "Did you mean prefer?"},
                 {"[delegate]\n", "[delegate NAME]"},
                 {"[budget]\nnpu = 1 GB\n", "units are B, KiB, MiB, GiB"},
                 {"[isolate]\nmode = always\n", "This version knows: never."}};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        sy_error error;
        CHECK(read_text(given[i].text, strlen(given[i].text), &error) != SY_OK);
        CHECK_TEXT(strstr(error.hint, given[i].hint) != NULL, "%s: %s", given[i].text, error.hint);
    }
}

static void count_problem(void *user, const sy_error *problem) {
    CHECK(problem->message[0] != '\0' && problem->file_offset != UINT64_MAX);
    ++*(uint32_t *)user;
}

static void one_run_shows_all_problems(void) {
    static const char text[] =
        "[runtme]\nx = 1\n[policy]\nmode = x\nmod = strict\nmargin_pct = 1\n";
    sy_conf_layer layer = {
        .level = SY_CONF_ADMIN, .path = "a.ini", .text = text, .n_text_bytes = sizeof(text) - 1};
    uint32_t n_problems = 0;
    sy_conf_options options;
    sy_conf_options_default(&options);
    options.layers = &layer;
    options.n_layers = 1;
    options.problem = count_problem;
    options.user = &n_problems;
    sy_conf *conf = NULL;
    sy_error error;
    CHECK(sy_conf_create(&options, &conf, &error) == SY_INVALID_ARGUMENT);
    CHECK_TEXT(n_problems == 3, "%u problems", n_problems);
    CHECK(error.file_offset == 1);
}

/* Everything that can be cut off a good file still gives an answer, never a wrong parse. */
static void every_cut_gives_an_answer(void) {
    static const char text[] = "[order]\ndefault = gpu-vulkan, cpu\n[budget]\ntotal = 2 GiB\n"
                               "[delegate gpu-vulkan]\nqueue = fast\n[forbid]\nnode.* = npu, dsp\n";
    for (size_t n = 0; n < sizeof(text); n++) {
        sy_error error;
        if (read_text(text, n, &error) != SY_OK) {
            CHECK(error.message[0] != '\0');
        }
    }
}

static void odd_files_are_refused_without_blocking(void) {
    char folder[] = "/tmp/sy-conf-XXXXXX", path[64];
    sy_ini *ini = NULL;
    sy_error error;
    CHECK(mkdtemp(folder) != NULL);
    CHECK(sy_ini_open(NULL, folder, 0, &ini, &error) == SY_INVALID_ARGUMENT);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    CHECK(mkfifo(path, 0600) == 0);
    CHECK(sy_ini_open(NULL, path, 0, &ini, &error) == SY_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "not a regular file") != NULL);
    unlink(path);
    CHECK(sy_ini_open(NULL, path, 0, &ini, &error) == SY_NOT_FOUND);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)10 << 30) == 0); /* 10 GiB, sparse */
    CHECK(SY_STATUS_CLASS(sy_ini_open(NULL, path, 0, &ini, &error)) == SY_OUT_OF_RANGE);
    CHECK(ftruncate(fd, 0) == 0 && fchmod(fd, 0666) == 0);
    CHECK_OK_ERROR(sy_ini_open(NULL, path, 0, &ini, &error), error);
    sy_ini_destroy(ini);
    CHECK(sy_ini_open(NULL, path, 1, &ini, &error) == SY_PERMISSION_DENIED);
    CHECK(strstr(error.hint, "chmod go-w") != NULL);
    CHECK(fchmod(fd, 0644) == 0);
    CHECK_OK_ERROR(sy_ini_open(NULL, path, 1, &ini, &error), error);
    sy_ini_destroy(ini);
    if (geteuid() == 0) {
        CHECK(fchown(fd, 65534, 65534) == 0);
        CHECK(sy_ini_open(NULL, path, 1, &ini, &error) == SY_PERMISSION_DENIED);
        CHECK(strstr(error.message, "neither to root nor") != NULL);
    }
    close(fd);
    unlink(path);
    rmdir(folder);
}

static const sy_test_case cases[] = {
    {"each_is_refused_at_its_line", each_is_refused_at_its_line},
    {"line_numbers_hold_far_down", line_numbers_hold_far_down},
    {"nul_bytes_are_refused", nul_bytes_are_refused},
    {"line_of_190_bytes_is_read", line_of_190_bytes_is_read},
    {"line_ends_and_missing_last_one", line_ends_and_missing_last_one},
    {"sizes_are_limited", sizes_are_limited},
    {"hints_name_what_was_meant", hints_name_what_was_meant},
    {"one_run_shows_all_problems", one_run_shows_all_problems},
    {"every_cut_gives_an_answer", every_cut_gives_an_answer},
    {"odd_files_are_refused_without_blocking", odd_files_are_refused_without_blocking},
};
SY_TEST_MAIN(cases)
