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

static bool init_locks(sy_runtime *runtime) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return false;
    }
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&runtime->reached, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && pthread_mutex_init(&runtime->lock, NULL) != 0) {
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

void sy_runtime_destroy(sy_runtime *runtime) {
    if (runtime == NULL) {
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
    runtime->n_delegates = n + 1;
    return SY_OK;
}

void sy_runtime_remove(sy_runtime *runtime, const sy_device *device) {
    for (uint32_t i = 0; i + 1 < runtime->n_delegates; i++) {
        if (runtime->delegates[i].device == device) {
            memmove(&runtime->delegates[i], &runtime->delegates[i + 1],
                    (runtime->n_delegates - i - 1) * sizeof(sy_delegate));
            runtime->n_delegates--;
            return;
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
