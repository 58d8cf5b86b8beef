/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the segments of delegates that compile: takes the blob that an earlier process left in the
 * store, or compiles anew and leaves one. Whatever the store lacks or answers, the segment loads.
 * docs/decisions/0033. */
#include "exec/blob_key.h"
#include "exec/executor_internal.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One segment on its way. */
typedef struct blob_task {
    sy_executor *executor;
    const sy_delegate *delegate;
    sy__loaded_segment *loaded;
    const sy_blob_store *store; /* NULL: nothing is kept */
    sy_load_request request;
    sy__blob_key key;
    sy_blob_report *report;
} blob_task;

static void say(blob_task *task, const char *format, ...) SY_PRINTF(2, 3);
static void say(blob_task *task, const char *format, ...) {
    size_t n = strlen(task->report->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(task->report->text + n, sizeof(task->report->text) - n, format, arguments);
    va_end(arguments);
}

static const char *plugin_words(const blob_task *task) {
    return sy_report_text(sy_runtime_host(task->executor->runtime, task->delegate->context));
}

static sy_status load_unit(blob_task *task, const sy_blob *blob) {
    uint64_t start_ns = sy__clock_now_ns();
    task->request.blob = blob;
    sy__delegate_listen(task->executor->runtime, task->delegate);
    sy_status status = sy__load_unit(task->delegate, &task->request, task->loaded);
    task->report->load_ns = sy__clock_now_ns() - start_ns;
    return status;
}

static sy_memory host_bytes(const void *bytes, uint64_t n_bytes) {
    union {
        const void *read;
        void *pointer; /* sy_memory has no const; plugins read a blob */
    } place = {bytes};
    return (sy_memory){
        .kind = SY_MEMORY_HOST, .fd = -1, .pointer = place.pointer, .length_bytes = n_bytes};
}

static void fill_blob(const blob_task *task, const sy_kept_blob *kept, sy_blob *blob) {
    *blob = (sy_blob){.header = SY_HEADER_INIT(sy_blob), .format = kept->format};
    blob->bytes = host_bytes(kept->bytes, kept->n_bytes);
    memcpy(blob->stamp, kept->stamp, sizeof(blob->stamp));
    memcpy(blob->segment_digest, task->key.segment, sizeof(blob->segment_digest));
}

/* Whether a kept blob may be tried. Says why not. */
static sy_grade grade(blob_task *task, const sy_kept_blob *kept, const sy_blob *blob) {
    static const char *const words[] = {"takes it as exact", "can use it", "wants it compiled anew",
                                        "rejects it"};
    char changes[SY_BLOB_TEXT_BYTES / 2];
    bool differs = sy__blob_differs(kept->record, task->key.record.bytes, changes, sizeof(changes));
    if (differs) {
        say(task, "It was kept, but %s", changes);
    }
    if (task->delegate->plugin->probe == NULL) {
        say(task, differs ? "; the plugin has no probe. " : "");
        return differs ? SY_GRADE_RECOMPILE : SY_GRADE_EXACT;
    }
    sy_compatibility answer = {.header = SY_HEADER_INIT(sy_compatibility)};
    sy__delegate_listen(task->executor->runtime, task->delegate);
    sy_status status = task->delegate->plugin->probe(task->delegate->device, blob, &answer);
    answer.why[sizeof(answer.why) - 1] = '\0';
    if (status != SY_OK || answer.grade > SY_GRADE_REJECT) {
        snprintf(answer.why, sizeof(answer.why), "%s", plugin_words(task));
        answer.grade = SY_GRADE_REJECT;
    }
    if (differs || answer.grade != SY_GRADE_EXACT) {
        say(task, "%s the plugin %s%s%s. ", differs ? ";" : "It was kept;", words[answer.grade],
            answer.why[0] != '\0' ? ": " : "", answer.why);
    }
    return answer.grade;
}

/* An error that says nothing about the blob. */
static bool is_of_device(sy_status status) {
    sy_status kind = SY_STATUS_CLASS(status);
    return kind == SY_RESOURCE_EXHAUSTED || kind == SY_UNAVAILABLE || kind == SY_CANCELLED ||
           kind == SY_DEADLINE_EXCEEDED;
}

/* Loads what find gave. OK, or an error of the device, or NOT_FOUND: compile. */
static sy_status load_kept(blob_task *task, sy_kept_blob *kept, sy_error *error) {
    sy_blob blob;
    fill_blob(task, kept, &blob);
    sy_grade graded = grade(task, kept, &blob);
    if (graded > SY_GRADE_USABLE) {
        return SY_NOT_FOUND;
    }
    task->store->begin_trial(task->store->self, task->key.name, kept);
    sy_status status = load_unit(task, &blob);
    task->store->end_trial(task->store->self, kept);
    if (status == SY_OK) {
        task->report->outcome = graded == SY_GRADE_EXACT ? SY_BLOB_EXACT : SY_BLOB_USABLE;
        task->report->n_bytes = kept->n_bytes;
        task->report->is_kept = 1;
        say(task, task->report->text[0] == '\0' ? "Loaded as it was kept." : "Loaded.");
        return SY_OK;
    }
    if (is_of_device(status)) {
        return sy__delegate_error(task->executor->runtime, task->delegate, status,
                                  "load a kept segment", error);
    }
    const char *words = plugin_words(task);
    say(task, "It was kept and does not load: %s (%s). ",
        words[0] != '\0' ? words : "the plugin gave no reason", sy_status_name(status));
    return SY_NOT_FOUND;
}

/* Why nothing of this name is kept: perhaps the segment is, under other options. */
static void explain_miss(blob_task *task) {
    const sy_blob_store *store = task->store;
    sy_kept_blob kin = {0};
    sy_error why;
    char changes[SY_BLOB_TEXT_BYTES / 2];
    if (store->find_kin == NULL ||
        store->find_kin(store->self, task->key.name, &kin, &why) != SY_OK) {
        say(task, "Nothing was kept of it. ");
        return;
    }
    if (sy__blob_differs(kin.record, task->key.record.bytes, changes, sizeof(changes))) {
        say(task, "Nothing was kept of it as it is now: %s. ", changes);
    }
    store->give_back(store->self, &kin);
}

/* As load_kept. What is there and of no use goes, so that no process tries it again. */
static sy_status use_kept(blob_task *task, sy_error *error) {
    sy_kept_blob kept = {0};
    sy_error why;
    sy_status status = task->store->find(task->store->self, task->key.name, &kept, &why);
    if (SY_STATUS_CLASS(status) == SY_NOT_FOUND) {
        explain_miss(task);
        return SY_NOT_FOUND;
    }
    if (status == SY_OK) {
        status = load_kept(task, &kept, error);
        task->store->give_back(task->store->self, &kept);
    } else {
        say(task, "%s ", why.message);
        status = SY_NOT_FOUND;
    }
    if (status == SY_NOT_FOUND) {
        task->store->forget(task->store->self, task->key.name);
    }
    return status;
}

static void keep(blob_task *task, const sy_blob *blob) {
    sy_error why;
    sy_kept_blob kept = {.record = task->key.record.bytes,
                         .format = blob->format,
                         .bytes = blob->bytes.pointer,
                         .n_bytes = blob->bytes.length_bytes};
    memcpy(kept.stamp, blob->stamp, sizeof(kept.stamp));
    if (task->store->keep(task->store->self, task->key.name, &kept, &why) == SY_OK) {
        task->report->is_kept = 1;
    } else {
        say(task, " It is not kept: %s", why.message);
    }
}

static sy_status compile_new(blob_task *task, sy_error *error) {
    const sy_delegate *delegate = task->delegate;
    const sy_runtime *runtime = task->executor->runtime;
    sy__blob_sink sink = {0};
    sy_blob blob = {.header = SY_HEADER_INIT(sy_blob)};
    memcpy(blob.segment_digest, task->key.segment, sizeof(blob.segment_digest));
    uint64_t start_ns = sy__clock_now_ns();
    delegate->context->sink = &sink;
    sy__delegate_listen(runtime, delegate);
    sy_status status = delegate->plugin->compile(delegate->device, task->request.view,
                                                 task->request.segment, &blob);
    delegate->context->sink = NULL;
    task->report->compile_ns = sy__clock_now_ns() - start_ns;
    bool has_blob = SY_STATUS_CLASS(status) != SY_UNIMPLEMENTED;
    if (status != SY_OK && has_blob) {
        sy__delegate_error(runtime, delegate, status, "compile a segment", error);
    } else {
        blob.bytes = host_bytes(sink.bytes, sink.n_bytes);
        status = load_unit(task, has_blob ? &blob : NULL);
        if (status != SY_OK) {
            sy__delegate_error(runtime, delegate, status, "load a segment", error);
        }
    }
    if (status == SY_OK && has_blob) {
        task->report->outcome = SY_BLOB_COMPILED;
        task->report->n_bytes = sink.n_bytes;
        say(task, "Compiled.");
        if (task->store != NULL) {
            keep(task, &blob);
        }
    } else if (status == SY_OK) {
        task->report->text[0] = '\0';
        say(task, "Its delegate does not compile it.");
    }
    sy__free_array(runtime->allocator, sink.bytes, sink.capacity_bytes, 1);
    return status;
}

/* The store for blobs of this delegate, NULL with the reason. */
static const sy_blob_store *choose_store(blob_task *task) {
    const sy_blob_store *store = sy_runtime_blobs(task->executor->runtime);
    if (task->executor->options.no_blobs != 0 || store == NULL) {
        say(task, "Blobs are not kept. ");
        return NULL;
    }
    if (task->delegate->info.blobs != SY_BLOBS_WITHOUT_WEIGHTS &&
        task->delegate->info.blobs != SY_BLOBS_WITH_WEIGHTS) {
        say(task, "Its delegate does not let blobs be kept. ");
        return NULL;
    }
    return store;
}

static sy_status load_task(blob_task *task, sy_error *error) {
    sy_status status =
        sy__segment_digest(task->request.view, task->request.segment, task->key.segment);
    task->store = choose_store(task);
    if (status == SY_OK && task->store != NULL) {
        status = sy__blob_key_make(task->executor->allocator, task->delegate, task->request.view,
                                   task->request.segment, &task->key);
    }
    if (status != SY_OK) {
        return sy_error_set(error, status, "A segment for '%s' cannot be put into a key: %s.",
                            task->delegate->name, sy_status_name(status));
    }
    status = task->store != NULL ? use_kept(task, error) : SY_NOT_FOUND;
    return status == SY_NOT_FOUND ? compile_new(task, error) : status;
}

sy_status sy__blob_load(sy_executor *executor, const sy_plan_phase *phase,
                        sy__loaded_segment *loaded, sy_error *error) {
    static const char *const outcomes[] = {"none", "compiled", "exact", "usable"};
    sy_graph_view view;
    sy_graph_view_init(executor->graph, phase->phase, phase->typical, &view);
    blob_task task = {.executor = executor,
                      .delegate =
                          sy_runtime_delegate(executor->runtime, loaded->planned->i_delegate),
                      .loaded = loaded,
                      .request = {.header = SY_HEADER_INIT(sy_load_request),
                                  .view = &view,
                                  .segment = &loaded->planned->segment},
                      .report = sy__arena_alloc(&executor->arena, 1, sizeof(sy_blob_report))};
    if (task.report == NULL) {
        return sy__no_memory(error, sizeof(sy_blob_report), "the report of a blob");
    }
    loaded->blob = task.report;
    sy_status status = load_task(&task, error);
    sy__blob_key_deinit(&task.key);
    if (status == SY_OK) {
        sy_log_write(sy_runtime_log(executor->runtime), SY_SEVERITY_INFO, "blob.loaded",
                     "delegate=%s nodes=%u outcome=%s bytes=%llu text=%s", task.delegate->name,
                     task.request.segment->n_nodes, outcomes[task.report->outcome],
                     (unsigned long long)task.report->n_bytes, task.report->text);
    }
    return status;
}

void sy_executor_blob(const sy_executor *executor, uint32_t i_phase, uint32_t i_segment,
                      sy_blob_report *out_report) {
    *out_report = (sy_blob_report){.outcome = SY_BLOB_NONE};
    if (i_phase < executor->n_phases && i_segment < executor->phases[i_phase].n_segments &&
        executor->phases[i_phase].segments[i_segment].blob != NULL) {
        *out_report = *executor->phases[i_phase].segments[i_segment].blob;
    }
}
