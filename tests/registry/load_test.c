/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins that are fine, that are wrong in one way, and what the registry says about each. */
#include "sandbox.h"

#include "coverage.h"
#include "switchyard/graph.h"

/* Scans a directory with one variant and looks at the result. */
static void expect(const char *variant, sy_candidate_state state, const char *text) {
    sandbox box;
    sandbox_open(&box);
    place(&box, variant);
    sandbox_scan(&box, NULL);
    check_candidate(&box, state, text);
    CHECK(sandbox_close(&box) == 0);
}

static void good_plugin_is_ready(void) {
    sandbox box;
    sandbox_open(&box);
    place(&box, "good");
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    const sy_candidate *candidate = only_candidate(&box);
    CHECK(candidate->n_devices == 1 && candidate->table_abi == SY_ABI_VERSION);
    CHECK(strcmp(candidate->devices[0].info.id, "dev0") == 0);
    const sy_delegate *delegate = sy_runtime_delegate(box.runtime, 0);
    CHECK(strcmp(delegate->name, "cpu-test") == 0);
    CHECK(delegate->device == candidate->devices[0].device);
    CHECK(sandbox_close(&box) == 0);
}

static void can_be_loaded_again(void) {
    sandbox box;
    sandbox_open(&box);
    place(&box, "good");
    for (int i = 0; i < 20; i++) {
        sandbox_scan(&box, NULL);
        check_candidate(&box, SY_CANDIDATE_READY, "");
        CHECK(sandbox_unload(&box) == 0);
    }
    sandbox_close(&box);
}

static void single_file_with_ini_beside(void) {
    sandbox box;
    char from[PATH_BYTES], path[PATH_BYTES];
    sandbox_open(&box);
    variant_path("good", from);
    path_in(box.directory, "cpu-test.so", path);
    copy_file(from, path);
    path_in(box.directory, "cpu-test.ini", path);
    write_file(path, MANIFEST, strlen(MANIFEST));
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    sandbox_close(&box);
}

static void null_table(void) {
    expect("null_table", SY_CANDIDATE_UNWILLING, "the licence of this driver has run out");
    expect("silent_null", SY_CANDIDATE_UNWILLING, "without giving a reason");
}

static void versions(void) {
    expect("future_major", SY_CANDIDATE_TOO_NEW, "ABI 1.0");
    expect("future_minor", SY_CANDIDATE_TOO_NEW, "speaks 0.9 to 0.11");
    expect("older_minor", SY_CANDIDATE_TOO_OLD, "ABI 0.8");
}

static void tables(void) {
    expect("short_header", SY_CANDIDATE_BROKEN, "bytes; ABI 0.9 has");
    expect("long_header", SY_CANDIDATE_READY, "");
    expect("no_submit", SY_CANDIDATE_BROKEN, "lacks submit");
    expect("half_states", SY_CANDIDATE_BROKEN, "state functions");
    expect("wrong_name", SY_CANDIDATE_BROKEN, "calls itself \"somebody-else\"");
    expect("must_extension", SY_CANDIDATE_TOO_NEW, "extension 0x80001234");
    expect("may_extension", SY_CANDIDATE_READY, "");
}

static void devices(void) {
    expect("enumerate_fails", SY_CANDIDATE_BROKEN, "the driver does not answer");
    expect("changing_count", SY_CANDIDATE_BROKEN, "differently each time");
    expect("zero_devices", SY_CANDIDATE_NO_DEVICE, "no accelerator on this board");
    expect("open_fails", SY_CANDIDATE_BROKEN, "locked by another process");
    expect("wrong_class", SY_CANDIDATE_BROKEN, "name begins with");
    expect("odd_alignment", SY_CANDIDATE_BROKEN, "no power of two");
}

static void twin_devices_keep_the_first(void) {
    sandbox box;
    sandbox_open(&box);
    place(&box, "twin_ids");
    sandbox_scan(&box, NULL);
    const sy_candidate *candidate = only_candidate(&box);
    CHECK(candidate->state == SY_CANDIDATE_READY && candidate->n_devices == 2);
    CHECK(candidate->devices[0].device != NULL && candidate->devices[1].device == NULL);
    CHECK(strstr(candidate->devices[1].reason, "same id") != NULL);
    CHECK(sandbox_close(&box) == 0);
}

static void static_checks(void) {
    expect("second_export", SY_CANDIDATE_BROKEN, "exports somebody_elses_business");
    expect("rpath", SY_CANDIDATE_BROKEN, "RPATH or RUNPATH");
    expect("extra_library", SY_CANDIDATE_UNTRUSTED, "needs the library lib");
    expect("interpose", SY_CANDIDATE_BROKEN, "replace symbols");
}

static void what_holds_handles_stays_mapped(void) {
    static const char *const variants[] = {"live_handles", "close_fails"};
    for (size_t i = 0; i < 2; i++) {
        sandbox box;
        sandbox_open(&box);
        place(&box, variants[i]);
        sandbox_scan(&box, NULL);
        check_candidate(&box, SY_CANDIDATE_READY, "");
        CHECK(sandbox_close(&box) == 1);
    }
}

static void expect_manifest(const char *manifest, sy_candidate_state state, const char *text) {
    sandbox box;
    sandbox_open(&box);
    place_as(&box, "cpu-test", "good", manifest);
    sandbox_scan(&box, NULL);
    check_candidate(&box, state, text);
    CHECK(sandbox_close(&box) == 0);
}

#define HEAD "[plugin]\nname = cpu-test\nabi_min = 0.9\n"

static void manifests(void) {
    expect_manifest(NULL, SY_CANDIDATE_BROKEN, "no manifest plugin.ini");
    expect_manifest("", SY_CANDIDATE_BROKEN, "lacks name");
    expect_manifest("[plugin]\nname = cpu-test\n", SY_CANDIDATE_BROKEN, "lacks abi_min");
    expect_manifest("[plugin]\nname = cpu-other\nabi_min = 0.9\n", SY_CANDIDATE_BROKEN,
                    "calls it \"cpu-other\"");
    expect_manifest(HEAD "color = blue\n", SY_CANDIDATE_BROKEN, "Unknown key \"color\"");
    expect_manifest(HEAD "vendr = me\n", SY_CANDIDATE_BROKEN, "Did you mean \"vendor\"");
    expect_manifest("[plugin]\nname = cpu-test\nabi_min = 0.12\n", SY_CANDIDATE_TOO_NEW,
                    "needs ABI 0.12");
    expect_manifest("[plugin]\nname = cpu-test\nabi_min = 1.0\n", SY_CANDIDATE_TOO_NEW,
                    "needs ABI 1.0");
    expect_manifest(HEAD "abi_max = 0.8\n", SY_CANDIDATE_BROKEN, "above its abi_max");
    expect_manifest(HEAD "abi_max = 1.0\n", SY_CANDIDATE_TOO_OLD, "made for ABI 1");
    expect_manifest(HEAD "abi_max = 0.12\n", SY_CANDIDATE_READY, "");
    expect_manifest(HEAD "arch = z80\n", SY_CANDIDATE_EXCLUDED, "made for z80");
    expect_manifest(HEAD "arch = x86-64, aarch64, armv7, riscv64\n", SY_CANDIDATE_READY, "");
    expect_manifest(HEAD "match = path:/dev/no-such-npu*\n", SY_CANDIDATE_NO_DEVICE,
                    "none of its hardware");
    expect_manifest(HEAD "match = path:/dev/no-such-npu*, path:/dev/nul?\n", SY_CANDIDATE_READY,
                    "");
    expect_manifest(HEAD "match = path:/etc/passwd\n", SY_CANDIDATE_NO_DEVICE, "hardware");
    expect_manifest(HEAD "match = pci:ffff:*\n", SY_CANDIDATE_NO_DEVICE, "hardware");
    expect_manifest(HEAD "match = option:speed=fast\n", SY_CANDIDATE_NO_DEVICE, "hardware");
    expect_manifest(HEAD "isolation = own-process\n", SY_CANDIDATE_BROKEN, "later version");
    expect_manifest(HEAD "file = missing.so\n", SY_CANDIDATE_BROKEN, "No such file");
    expect_manifest(HEAD "file = ../cpu-test.so\n", SY_CANDIDATE_BROKEN, "file name without");
}

static void needed_libraries_can_be_listed(void) {
    sandbox box;
    sandbox_open(&box);
    place_as(&box, "cpu-test", "extra_library",
             HEAD "needed = libother.so.1\nneeded.more = libresolv.so.*\n");
    sandbox_scan(&box, NULL);
    check_candidate(&box, SY_CANDIDATE_READY, "");
    CHECK(sandbox_close(&box) == 0);
}

static void expect_conf(const char *ini, sy_candidate_state state, const char *text) {
    sandbox box;
    sandbox_open(&box);
    place(&box, "good");
    sandbox_scan(&box, ini);
    check_candidate(&box, state, text);
    CHECK(sandbox_close(&box) == 0);
}

static void configuration_rules(void) {
    expect_conf("[trust]\nplugins = gpu-*, npu-qnn\n", SY_CANDIDATE_EXCLUDED, "test.ini:2");
    expect_conf("[trust]\nplugins = gpu-*, cpu-*\n", SY_CANDIDATE_READY, "");
    expect_conf("[trust]\nhashes = required\n", SY_CANDIDATE_UNTRUSTED, "gives no sha256");
    expect_conf("[delegate cpu-test]\nspeed = fast\n", SY_CANDIDATE_READY, "");
    expect_conf("[delegate cpu-test]\nspeed = slow\n", SY_CANDIDATE_BROKEN, "only speed=fast");
    expect_conf("[delegate cpu-test]\nsped = fast\n", SY_CANDIDATE_MISCONFIGURED, "sets sped");
}

static void first_directory_wins(void) {
    sandbox one, two;
    sandbox_open(&one);
    sandbox_open(&two);
    place(&one, "good");
    place(&two, "good");
    place_as(&two, "cpu-second", "second", "[plugin]\nname = cpu-second\nabi_min = 0.9\n");
    char ini[PATH_BYTES * 3];
    snprintf(ini, sizeof(ini), "[runtime]\nplugin_directories = %s, %s\n", one.directory,
             two.directory);
    sandbox_scan(&one, ini);
    uint32_t n = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(one.registry, &n);
    CHECK(n == 3);
    CHECK(candidates[0]->state == SY_CANDIDATE_READY);
    CHECK(strncmp(candidates[0]->path, one.directory, strlen(one.directory)) == 0);
    CHECK_TEXT(candidates[1]->state == SY_CANDIDATE_READY, "%s", candidates[1]->reason);
    CHECK(strcmp(candidates[1]->name, "cpu-second") == 0);
    CHECK(candidates[2]->state == SY_CANDIDATE_SHADOWED);
    CHECK(strstr(candidates[2]->reason, one.directory) != NULL);
    CHECK(sy_runtime_n_delegates(one.runtime) == 3);
    CHECK(sandbox_close(&one) == 0);
    sandbox_close(&two);
}

static void broken_one_does_not_shadow(void) {
    sandbox one, two;
    sandbox_open(&one);
    sandbox_open(&two);
    place_as(&one, "cpu-test", "good", NULL);
    place(&two, "good");
    char ini[PATH_BYTES * 3];
    snprintf(ini, sizeof(ini), "[runtime]\nplugin_directories = %s, %s\n", one.directory,
             two.directory);
    sandbox_scan(&one, ini);
    uint32_t n = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(one.registry, &n);
    CHECK(n == 2 && candidates[0]->state == SY_CANDIDATE_BROKEN);
    CHECK_TEXT(candidates[1]->state == SY_CANDIDATE_READY, "%s", candidates[1]->reason);
    sandbox_close(&one);
    sandbox_close(&two);
}

static void coverage_counts_what_a_device_runs(void) {
    sandbox box;
    sy_error error;
    sandbox_open(&box);
    place(&box, "good");
    sandbox_scan(&box, NULL);
    CHECK_OK_ERROR(sy_registry_cover(box.registry, &error), error);
    const sy_candidate_device *device = &only_candidate(&box)->devices[0];
    CHECK(device->n_coverage > 40);
    uint32_t n_types = 0;
    CHECK(sy_registry_coverage_types(&n_types)[0] == SY_TYPE_F32);
    for (uint32_t i = 0; i < device->n_coverage; i++) {
        const sy_operator_coverage *row = &device->coverage[i];
        bool is_linear = strcmp(row->op, "Linear") == 0;
        CHECK(row->types_asked != 0 && row->types_emulated == 0);
        CHECK_TEXT(row->types_native == (is_linear ? 1u : 0u), "%s", row->op);
        CHECK(strcmp(row->why_not, "only Linear in f32") == 0);
    }
    CHECK(sandbox_close(&box) == 0);
}

/* The reference delegate runs everything, so every example of the table must be a good node. */
static void reference_runs_every_example(void) {
    sandbox box;
    sy_error error;
    sandbox_open(&box);
    sandbox_scan(&box, NULL);
    sy_operator_coverage *coverage = calloc(sy__coverage_n_rows, sizeof(*coverage));
    const sy_delegate *reference = sy_runtime_delegate(box.runtime, 0);
    CHECK(coverage != NULL && strcmp(reference->name, "reference") == 0);
    CHECK_OK_ERROR(sy__coverage_ask(NULL, reference, coverage, &error), error);
    for (uint32_t i = 0; i < sy__coverage_n_rows; i++) {
        CHECK_TEXT(coverage[i].types_asked != 0 &&
                       (coverage[i].types_native | coverage[i].types_emulated) ==
                           coverage[i].types_asked,
                   "%s: %s", coverage[i].op, coverage[i].why_not);
    }
    free(coverage);
    sandbox_close(&box);
}

static void measured_within_the_budget(void) {
    sandbox box;
    sy_error error;
    sandbox_open(&box);
    place(&box, "good");
    place_as(&box, "cpu-second", "second", "[plugin]\nname = cpu-second\nabi_min = 0.9\n");
    sandbox_scan(&box, NULL);
    CHECK_OK_ERROR(sy_registry_measure(box.registry, 50000000, &error), error);
    uint32_t n = 0;
    const sy_candidate *const *candidates = sy_registry_candidates(box.registry, &n);
    CHECK(n == 2 && candidates[0]->devices[0].linear_us > 0);
    double us = candidates[0]->devices[0].linear_us,
           gflops = candidates[0]->devices[0].linear_gflops;
    CHECK(fabs(gflops * us * 1000 - 32.0 * 512 * 512) < 1);
    CHECK(sandbox_close(&box) == 0); /* nothing of the measurement is left on the devices */
}

static void a_device_that_cannot_judge_says_so(void) {
    sandbox box;
    sy_error error;
    sandbox_open(&box);
    place(&box, "judge_fails");
    sandbox_scan(&box, NULL);
    CHECK_OK_ERROR(sy_registry_cover(box.registry, &error), error);
    const sy_candidate_device *device = &only_candidate(&box)->devices[0];
    CHECK(device->n_coverage == 0 && strstr(device->reason, "cannot judge") != NULL);
    CHECK(sandbox_close(&box) == 0);
}

static void report_is_text_and_json(void) {
    sandbox box;
    sy_error error;
    char *text = NULL;
    sandbox_open(&box);
    place(&box, "good");
    sandbox_scan(&box, NULL);
    CHECK_OK_ERROR(sy_registry_cover(box.registry, &error), error);
    CHECK_OK_ERROR(sy_registry_report(box.registry, SY_REGISTRY_TEXT, &text, &error), error);
    CHECK(strstr(text, "cpu-test") != NULL && strstr(text, "ready") != NULL);
    CHECK(strstr(text, "runs 1 of ") != NULL && strstr(text, box.directory) != NULL);
    sy_string_destroy(NULL, text);
    CHECK_OK_ERROR(sy_registry_report(box.registry, SY_REGISTRY_JSON, &text, &error), error);
    CHECK(text[0] == '{' && strstr(text, "\"state\": \"ready\"") != NULL);
    CHECK(strstr(text, "\"why_not\": \"only Linear in f32\"") != NULL);
    sy_string_destroy(NULL, text);
    CHECK(sandbox_close(&box) == 0);
}

static void options_for_nobody_are_noted(void) {
    sandbox box;
    sy_error error;
    char *text = NULL;
    sandbox_open(&box);
    place(&box, "good");
    sandbox_scan(&box, "[delegate cpu-test]\nspeed = fast\n[delegate cpu-tset]\nspeed = fast\n");
    check_candidate(&box, SY_CANDIDATE_READY, "");
    CHECK_OK_ERROR(sy_registry_report(box.registry, SY_REGISTRY_TEXT, &text, &error), error);
    CHECK(strstr(text, "test.ini:4 sets options of cpu-tset, and no plugin") != NULL);
    CHECK(strstr(text, "sets options of cpu-test,") == NULL);
    sy_string_destroy(NULL, text);
    CHECK(sandbox_close(&box) == 0);
}

static void one_file_can_be_checked_alone(void) {
    static const struct {
        const char *variant, *manifest;
        sy_status status;
    } given[] = {{"good", MANIFEST, SY_OK},
                 {"good", NULL, SY_NOT_FOUND},
                 {"good", "[plugin]\nname = cpu-other\nabi_min = 0.9\n", SY_INVALID_ARGUMENT},
                 {"good", "[plugin]\nname = cpu-test\nabi_min = 0.12\n", SY_UNIMPLEMENTED},
                 {"rpath", MANIFEST, SY_INVALID_ARGUMENT},
                 {"extra_library", MANIFEST, SY_PERMISSION_DENIED}};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        sandbox box;
        sy_error error;
        char path[PATH_BYTES];
        sandbox_open(&box);
        place_as(&box, "cpu-test", given[i].variant, given[i].manifest);
        path_in(box.directory, "cpu-test/cpu-test.so", path);
        sy_status status = sy_registry_check_file(path, &error);
        CHECK_TEXT(SY_STATUS_CLASS(status) == given[i].status, "case %zu: %s", i, error.message);
        sandbox_close(&box);
    }
}

/* docs/plugin-manifest.md names every key of the schema, and every state of a plugin. */
static void manual_names_every_key(void) {
    char path[PATH_BYTES], word[SY_LIMIT_NAME_BYTES];
    void *bytes = NULL;
    CHECK(getenv("SY_SOURCE_DIR") != NULL);
    path_in(getenv("SY_SOURCE_DIR"), "docs/plugin-manifest.md", path);
    size_t n = read_file(path, &bytes);
    char *text = bytes;
    text[n] = '\0';
    const sy_ini_schema *schema = sy__manifest_schema();
    for (uint32_t i = 0; i < schema->n_rules; i++) {
        if (strcmp(schema->rules[i].section, "plugin") == 0) {
            snprintf(word, sizeof(word), "`%s`", schema->rules[i].key);
            CHECK_TEXT(strstr(text, word) != NULL, "%s", word);
        }
    }
    for (int i = 0; i < SY_CANDIDATE_STATE_COUNT; i++) {
        const char *state = sy_candidate_state_name((sy_candidate_state)i);
        CHECK_TEXT(strstr(text, state) != NULL, "%s", state);
    }
    free(text);
}

static const sy_test_case cases[] = {
    {"good_plugin_is_ready", good_plugin_is_ready},
    {"can_be_loaded_again", can_be_loaded_again},
    {"single_file_with_ini_beside", single_file_with_ini_beside},
    {"null_table", null_table},
    {"versions", versions},
    {"tables", tables},
    {"devices", devices},
    {"twin_devices_keep_the_first", twin_devices_keep_the_first},
    {"static_checks", static_checks},
    {"what_holds_handles_stays_mapped", what_holds_handles_stays_mapped},
    {"manifests", manifests},
    {"needed_libraries_can_be_listed", needed_libraries_can_be_listed},
    {"configuration_rules", configuration_rules},
    {"first_directory_wins", first_directory_wins},
    {"broken_one_does_not_shadow", broken_one_does_not_shadow},
    {"coverage_counts_what_a_device_runs", coverage_counts_what_a_device_runs},
    {"reference_runs_every_example", reference_runs_every_example},
    {"measured_within_the_budget", measured_within_the_budget},
    {"a_device_that_cannot_judge_says_so", a_device_that_cannot_judge_says_so},
    {"report_is_text_and_json", report_is_text_and_json},
    {"options_for_nobody_are_noted", options_for_nobody_are_noted},
    {"one_file_can_be_checked_alone", one_file_can_be_checked_alone},
    {"manual_names_every_key", manual_names_every_key},
};
SY_TEST_MAIN(cases)
