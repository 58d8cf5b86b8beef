/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "base/clock.h"
#include "switchyard/log.h"
#include "switchyard/status.h"
#include "switchyard/version.h"

static void set_tells_everything_and_answers_the_status(void) {
    sy_error error;
    CHECK(sy_error_set(&error, SY_DATA_LOSS, "tensor %d is short", 7) == SY_DATA_LOSS);
    sy_error_hint(&error, "Fetch %s again.", "it");
    sy_error_at(&error, "model.gguf", 640);
    char line[256];
    size_t length = sy_error_format(&error, line, sizeof(line));
    CHECK_TEXT(strcmp(line, "model.gguf:640: tensor 7 is short Hint: Fetch it again.") == 0, "%s",
               line);
    CHECK(length == strlen(line));
}

static void format_answers_the_full_length_when_cut(void) {
    sy_error error;
    sy_error_set(&error, SY_INTERNAL, "0123456789");
    char line[5];
    CHECK(sy_error_format(&error, line, sizeof(line)) == 10);
    CHECK(strcmp(line, "0123") == 0);
    CHECK(sy_error_format(&error, NULL, 0) == 10);
}

static void null_error_is_accepted(void) {
    CHECK(sy_error_set(NULL, SY_ABORTED, "x") == SY_ABORTED);
    sy_error_hint(NULL, "x");
    sy_error_at(NULL, "x", 1);
    sy_error_clear(NULL);
}

static void set_forgets_the_failure_before(void) {
    sy_error error;
    sy_error_set(&error, SY_DATA_LOSS, "first");
    sy_error_hint(&error, "old hint");
    sy_error_at(&error, "old.gguf", 3);
    sy_error_set(&error, SY_INTERNAL, "second");
    char line[64];
    sy_error_format(&error, line, sizeof(line));
    CHECK_TEXT(strcmp(line, "second") == 0, "%s", line);
    sy_error_clear(&error);
    sy_error_format(&error, line, sizeof(line));
    CHECK_TEXT(strcmp(line, "OK") == 0, "%s", line);
}

static void message_may_quote_itself(void) {
    sy_error error;
    sy_error_set(&error, SY_INTERNAL, "inner");
    sy_error_set(&error, SY_INTERNAL, "outer: %s", error.message);
    CHECK(strcmp(error.message, "outer: inner") == 0);
}

static void cut_keeps_characters_whole(void) {
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[1024];
            size_t n = shift;
            memset(text, 'a', shift);
            size_t n_bytes = strlen(characters[i]);
            for (; n + n_bytes < sizeof(text) - 1; n += n_bytes) {
                memcpy(text + n, characters[i], n_bytes);
            }
            text[n] = '\0';
            sy_error error;
            sy_error_set(&error, SY_INTERNAL, "%s", text);
            size_t length = strlen(error.message);
            CHECK(length > SY_ERROR_MESSAGE_BYTES - 6);
            CHECK_TEXT((length - shift) % n_bytes == 0, "%zu bytes, shift %zu", length, shift);
        }
    }
}

static void control_characters_do_not_reach_a_terminal(void) {
    sy_error error;
    sy_error_set(&error, SY_DATA_LOSS, "name \x1b[2J\n%s", "\x7f");
    for (const char *c = error.message; *c != '\0'; c++) {
        CHECK((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
}

static void every_class_has_its_grpc_name(void) {
    CHECK(strcmp(sy_status_name(SY_OK), "OK") == 0);
    CHECK(strcmp(sy_status_name(SY_INVALID_ARGUMENT), "INVALID_ARGUMENT") == 0);
    CHECK(strcmp(sy_status_name(SY_UNAUTHENTICATED), "UNAUTHENTICATED") == 0);
    CHECK(strcmp(sy_status_name(SY_STATUS(SY_UNAVAILABLE, SY_DETAIL_DEVICE_LOST)), "UNAVAILABLE") ==
          0);
    CHECK(strcmp(sy_status_name(17), "UNKNOWN") == 0);
    CHECK(strcmp(sy_status_name(255), "UNKNOWN") == 0);
}

typedef struct heard {
    int n_events;
    char event[64], text[2048];
} heard;

static void listen(void *user, sy_severity severity, const char *event, const char *text) {
    heard *ear = user;
    CHECK(severity >= SY_SEVERITY_INFO);
    ear->n_events++;
    snprintf(ear->event, sizeof(ear->event), "%s", event);
    snprintf(ear->text, sizeof(ear->text), "%s", text);
}

static void log_reaches_its_sink_only(void) {
    heard ear = {0};
    sy_log log = {listen, &ear, SY_SEVERITY_INFO};
    sy_log_write(&log, SY_SEVERITY_DEBUG, "a.b", "dropped");
    CHECK(ear.n_events == 0);
    sy_log_write(&log, SY_SEVERITY_WARNING, "a.b", "n=%d", 3);
    CHECK(ear.n_events == 1 && strcmp(ear.text, "n=3") == 0 && strcmp(ear.event, "a.b") == 0);
    char large[3000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    sy_log_write(&log, SY_SEVERITY_ERROR, "a.b", "%s", large);
    CHECK(strlen(ear.text) == 1023);
    sy_log_write(NULL, SY_SEVERITY_ERROR, "a.b", "silent");
    log.function = NULL;
    sy_log_write(&log, SY_SEVERITY_ERROR, "a.b", "silent");
}

static void version_and_clock(void) {
    char expected[32];
    snprintf(expected, sizeof(expected), "%d.%d.%d", SY_VERSION_MAJOR, SY_VERSION_MINOR,
             SY_VERSION_PATCH);
    CHECK(strcmp(sy_version(), expected) == 0);
    uint64_t before = sy__clock_now_ns();
    usleep(2000);
    uint64_t after = sy__clock_now_ns();
    CHECK(after - before >= 2000000u);
}

static const sy_test_case cases[] = {
    {"set_tells_everything_and_answers_the_status", set_tells_everything_and_answers_the_status},
    {"format_answers_the_full_length_when_cut", format_answers_the_full_length_when_cut},
    {"null_error_is_accepted", null_error_is_accepted},
    {"set_forgets_the_failure_before", set_forgets_the_failure_before},
    {"message_may_quote_itself", message_may_quote_itself},
    {"cut_keeps_characters_whole", cut_keeps_characters_whole},
    {"control_characters_do_not_reach_a_terminal", control_characters_do_not_reach_a_terminal},
    {"every_class_has_its_grpc_name", every_class_has_its_grpc_name},
    {"log_reaches_its_sink_only", log_reaches_its_sink_only},
    {"version_and_clock", version_and_clock},
};
SY_TEST_MAIN(cases)
