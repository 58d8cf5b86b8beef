/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/runtime_internal.h"
#include "reference/reference.h"

#include <string.h>
#include <time.h>

void sy_runtime_options_default(sy_runtime_options *out_options) {
    *out_options =
        (sy_runtime_options){.struct_bytes = sizeof(*out_options), .spin_us = SY__TEAM_SPIN_US};
}

/* The reference delegate goes through the same table and the same calls as any plugin. */
static sy_status add_reference(sy_runtime *runtime, sy_error *error) {
    const sy_host *host = NULL;
    sy_status status = sy_runtime_attach(runtime, "reference", &host, error);
    if (status != SY_OK) {
        return status;
    }
    sy_delegate *delegate = &runtime->delegates[0];
    const sy_plugin *plugin = sy__reference_entry(SY_ABI_VERSION, host);
    if (plugin == NULL) {
        return sy_error_set(error, SY_INTERNAL, "The reference delegate refused to start: %s",
                            sy_report_text(host));
    }
    uint32_t n_devices = 1;
    delegate->info.header = (sy_header)SY_HEADER_INIT(sy_device_info);
    status = plugin->enumerate(host->context, &delegate->info, sizeof(delegate->info), &n_devices);
    if (status == SY_OK) {
        status = plugin->open(host->context, 0, NULL, &delegate->device);
    }
    if (status != SY_OK) {
        return sy_error_set(error, status, "The reference delegate did not open: %s",
                            sy_report_text(host));
    }
    delegate->name = plugin->name;
    delegate->plugin = plugin;
    delegate->context = host->context;
    runtime->n_delegates = 1;
    return SY_OK;
}

/* All of them or none. */
static bool init_mutexes(pthread_mutex_t *const *locks, size_t n) {
    size_t n_made = 0;
    while (n_made < n && pthread_mutex_init(locks[n_made], NULL) == 0) {
        n_made++;
    }
    for (size_t i = 0; n_made < n && i < n_made; i++) {
        pthread_mutex_destroy(locks[i]);
    }
    return n_made == n;
}

static bool init_locks(sy_runtime *runtime) {
    pthread_mutex_t *const locks[] = {&runtime->lock, &runtime->record_lock, &runtime->replan_lock};
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&runtime->reached, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && !init_mutexes(locks, sizeof(locks) / sizeof(locks[0]))) {
        pthread_cond_destroy(&runtime->reached);
        made = false;
    }
    return made;
}

static sy_status create_team(sy_runtime *runtime, const sy_runtime_options *options,
                             sy_error *error) {
    sy__team_options team = {.n_workers = options->n_threads, .spin_us = options->spin_us};
    if (options->affinity != NULL && strcmp(options->affinity, "none") != 0) {
        sy_status status = sy__affinity_resolve(options->affinity, &runtime->cpus, error);
        if (status != SY_OK) {
            return status;
        }
        runtime->has_affinity = true;
        team.cpus = &runtime->cpus;
    }
    return sy__team_create_with(runtime->allocator, &team, &runtime->team, error);
}

sy_status sy_runtime_place_thread(const sy_runtime *runtime, sy_error *error) {
    if (runtime->has_affinity && !sy__cpus_apply(&runtime->cpus, pthread_self())) {
        return sy_error_set(error, SY_PERMISSION_DENIED,
                            "The system does not let this thread move to the CPUs of affinity.");
    }
    return SY_OK;
}

sy_status sy_runtime_create(const sy_runtime_options *options, sy_runtime **out_runtime,
                            sy_error *error) {
    sy_runtime_options defaults;
    sy_runtime_options_default(&defaults);
    options = options != NULL ? options : &defaults;
    const sy_allocator *allocator = sy__allocator_or_heap(options->allocator);
    sy_runtime *runtime = SY__NEW(allocator, sy_runtime);
    if (runtime == NULL) {
        return sy__no_memory(error, sizeof(*runtime), "the runtime");
    }
    sy_budget_init(&runtime->heap, allocator, 0);
    runtime->allocator = &runtime->heap.allocator;
    runtime->log = options->log;
    runtime->blobs = options->blobs;
    sy_quarantine_options_default(&runtime->quarantine);
    if (!init_locks(runtime)) {
        SY__DELETE(allocator, runtime);
        return sy_error_set(error, SY_UNAVAILABLE, "The system refused a lock for the runtime.");
    }
    sy_status status = create_team(runtime, options, error);
    if (status == SY_OK) {
        status = add_reference(runtime, error);
    }
    if (status != SY_OK) {
        sy_runtime_destroy(runtime);
        return status;
    }
    *out_runtime = runtime;
    return SY_OK;
}

/* Fences of executors that were left: their jobs will signal them. */
static bool has_fences(sy_runtime *runtime) {
    bool found = false;
    pthread_mutex_lock(&runtime->lock);
    for (size_t i = 0; i < runtime->n_fences; i++) {
        found = found || runtime->fences[i].used;
    }
    pthread_mutex_unlock(&runtime->lock);
    return found;
}

void sy_runtime_destroy(sy_runtime *runtime) {
    if (runtime == NULL) {
        return;
    }
    if (has_fences(runtime)) {
        sy_log_write(runtime->log, SY_SEVERITY_WARNING, "runtime.left",
                     "reason=a job still hangs, and will say when it ends");
        runtime->log = NULL; /* its owner may go now */
        return;
    }
    if (runtime->n_delegates > 0) { /* plugins' devices were closed by whoever opened them */
        const sy_delegate *reference = &runtime->delegates[runtime->n_delegates - 1];
        reference->plugin->close(reference->device);
    }
    while (runtime->contexts != NULL) {
        sy_runtime_detach(runtime, &runtime->contexts->host);
    }
    sy__team_destroy(runtime->team);
    pthread_cond_destroy(&runtime->reached);
    pthread_mutex_destroy(&runtime->lock);
    pthread_mutex_destroy(&runtime->record_lock);
    pthread_mutex_destroy(&runtime->replan_lock);
    const sy_allocator *allocator = runtime->heap.parent;
    sy__free_array(runtime->allocator, runtime->fences, runtime->fences_capacity,
                   sizeof(sy__fence));
    SY__DELETE(allocator, runtime);
}

sy_status sy_runtime_attach(sy_runtime *runtime, const char *name, const sy_host **out_host,
                            sy_error *error) {
    sy_context *context = NULL;
    sy_status status = sy__context_create(runtime, name, &context, error);
    if (status != SY_OK) {
        return status;
    }
    context->next = runtime->contexts;
    runtime->contexts = context;
    *out_host = &context->host;
    return SY_OK;
}

void sy_runtime_detach(sy_runtime *runtime, const sy_host *host) {
    for (sy_context **link = &runtime->contexts; *link != NULL; link = &(*link)->next) {
        sy_context *context = *link;
        if (&context->host == host) {
            *link = context->next;
            sy__context_destroy(context);
            return;
        }
    }
}

sy_status sy_runtime_add(sy_runtime *runtime, const sy_delegate *delegate, sy_error *error) {
    uint32_t n = runtime->n_delegates;
    if (delegate->name == NULL || delegate->plugin == NULL || delegate->device == NULL) {
        return sy_error_set(error, SY_INVALID_ARGUMENT,
                            "A delegate needs a name, a plugin table and an open device.");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(runtime->delegates[i].name, delegate->name) == 0 &&
            strcmp(runtime->delegates[i].info.id, delegate->info.id) == 0) {
            return sy_error_set(error, SY_ALREADY_EXISTS,
                                "Device '%s' of delegate '%s' is already in the runtime.",
                                delegate->info.id, delegate->name);
        }
    }
    if (n >= SY_LIMIT_DELEGATES) {
        return sy_error_set(error, SY_RESOURCE_EXHAUSTED,
                            "The runtime already has %u delegates; '%s' is one too many.",
                            SY_LIMIT_DELEGATES, delegate->name);
    }
    runtime->delegates[n] = runtime->delegates[n - 1]; /* the reference delegate stays last */
    runtime->delegates[n - 1] = *delegate;
    runtime->records[n] = runtime->records[n - 1];
    runtime->records[n - 1] = (sy__record){.n_probation_steps = 0};
    runtime->n_delegates = n + 1;
    return SY_OK;
}

static void remove_at(sy_runtime *runtime, uint32_t i_delegate) {
    size_t n_after = runtime->n_delegates - i_delegate - 1;
    if (runtime->records[i_delegate].public.condition != SY_CONDITION_READY) {
        __atomic_sub_fetch(&runtime->n_unsound, 1, __ATOMIC_RELAXED);
    }
    memmove(&runtime->delegates[i_delegate], &runtime->delegates[i_delegate + 1],
            n_after * sizeof(sy_delegate));
    memmove(&runtime->records[i_delegate], &runtime->records[i_delegate + 1],
            n_after * sizeof(sy__record));
    runtime->n_delegates--;
}

void sy_runtime_remove(sy_runtime *runtime, const sy_device *device) {
    for (uint32_t i = 0; i + 1 < runtime->n_delegates; i++) {
        if (runtime->delegates[i].device == device) {
            remove_at(runtime, i);
            return;
        }
    }
}

void sy_runtime_remove_closed(sy_runtime *runtime, const sy_plugin *plugin) {
    for (uint32_t i = runtime->n_delegates - 1; i-- > 0;) {
        if (runtime->delegates[i].plugin == plugin && runtime->delegates[i].device == NULL) {
            remove_at(runtime, i);
        }
    }
}

uint32_t sy_runtime_n_delegates(const sy_runtime *runtime) {
    return runtime->n_delegates;
}

const sy_delegate *sy_runtime_delegate(const sy_runtime *runtime, uint32_t i_delegate) {
    return i_delegate < runtime->n_delegates ? &runtime->delegates[i_delegate] : NULL;
}

const sy_host *sy_runtime_host(const sy_runtime *runtime, const sy_context *context) {
    for (const sy_context *each = runtime->contexts; each != NULL; each = each->next) {
        if (each == context) {
            return &each->host;
        }
    }
    return NULL;
}

const sy_blob_store *sy_runtime_blobs(const sy_runtime *runtime) {
    return runtime->blobs;
}

const sy_allocator *sy_runtime_allocator(const sy_runtime *runtime) {
    return runtime->allocator;
}

const sy_log *sy_runtime_log(const sy_runtime *runtime) {
    return runtime->log;
}

uint32_t sy_runtime_n_threads(const sy_runtime *runtime) {
    return sy__team_n_workers(runtime->team);
}

uint64_t sy_runtime_heap_bytes(const sy_runtime *runtime) {
    return __atomic_load_n(&runtime->heap.used_bytes, __ATOMIC_RELAXED);
}
