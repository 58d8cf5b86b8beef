/* SPDX-License-Identifier: Apache-2.0 */
/* Which delegates failed, how often, and when they may come back. */
#include "base/clock.h"
#include "exec/runtime_internal.h"

#include <inttypes.h>
#include <string.h>

#define NS_PER_MS 1000000u
#define DOUBLINGS_MAX 20u

const char *sy_failure_name(sy_failure failure) {
    static const char *const names[] = {
        [SY_FAILURE_NONE] = "none",   [SY_FAILURE_LOST] = "lost",
        [SY_FAILURE_HUNG] = "hung",   [SY_FAILURE_GARBAGE] = "garbage",
        [SY_FAILURE_ERROR] = "error", [SY_FAILURE_MEMORY] = "memory"};
    return (uint32_t)failure < sizeof(names) / sizeof(names[0]) ? names[failure] : "none";
}

void sy_failover_options_default(sy_failover_options *out_options) {
    *out_options = (sy_failover_options){.trial_tolerance = 0.05f,
                                         .watch = {.hang_multiple = 20.0f, .hang_floor_ms = 5000}};
}

void sy_quarantine_options_default(sy_quarantine_options *out_options) {
    *out_options = (sy_quarantine_options){.backoff_ms = 1000,
                                           .backoff_most_ms = 60000,
                                           .n_failures_most = 3,
                                           .window_s = 600,
                                           .n_probation_steps = 64};
}

void sy_runtime_set_quarantine(sy_runtime *runtime, const sy_quarantine_options *options) {
    pthread_mutex_lock(&runtime->record_lock);
    runtime->quarantine = *options;
    if (runtime->quarantine.n_failures_most > SY_QUARANTINE_FAILURES_MAX) {
        runtime->quarantine.n_failures_most = SY_QUARANTINE_FAILURES_MAX;
    }
    pthread_mutex_unlock(&runtime->record_lock);
}

/* Failures that still count at a time. */
static uint32_t count_recent(const sy_runtime *runtime, const sy__record *record, uint64_t now_ns) {
    uint64_t window_ns = (uint64_t)runtime->quarantine.window_s * 1000u * NS_PER_MS;
    uint32_t n = record->public.n_failures, n_recent = 0;
    n = n < SY_QUARANTINE_FAILURES_MAX ? n : SY_QUARANTINE_FAILURES_MAX;
    for (uint32_t i = 0; i < n; i++) {
        n_recent += now_ns - record->failed_at_ns[i] <= window_ns;
    }
    return n_recent;
}

void sy_runtime_get_record(sy_runtime *runtime, uint32_t i_delegate,
                           sy_delegate_record *out_record) {
    *out_record = (sy_delegate_record){.n_failures = 0};
    if (i_delegate >= runtime->n_delegates) {
        return;
    }
    const sy__record *record = &runtime->records[i_delegate];
    pthread_mutex_lock(&runtime->record_lock);
    uint64_t now = sy__clock_now_ns();
    *out_record = record->public;
    out_record->n_recent_failures = count_recent(runtime, record, now);
    if (record->public.condition == SY_CONDITION_QUARANTINED && record->retry_at_ns > now) {
        out_record->retry_ns = record->retry_at_ns - now;
    }
    pthread_mutex_unlock(&runtime->record_lock);
}

static void set_condition(sy_runtime *runtime, sy__record *record, sy_condition condition) {
    bool was_ready = record->public.condition == SY_CONDITION_READY;
    bool is_ready = condition == SY_CONDITION_READY;
    record->public.condition = condition;
    if (was_ready != is_ready) {
        __atomic_add_fetch(&runtime->n_unsound, is_ready ? UINT32_MAX : 1u, __ATOMIC_RELAXED);
    }
}

void sy_runtime_quarantine(sy_runtime *runtime, uint32_t i_delegate, sy_failure failure) {
    if (i_delegate + 1 >= runtime->n_delegates || failure == SY_FAILURE_NONE) {
        return;
    }
    sy__record *record = &runtime->records[i_delegate];
    pthread_mutex_lock(&runtime->record_lock);
    const sy_quarantine_options *options = &runtime->quarantine;
    uint64_t now = sy__clock_now_ns();
    record->failed_at_ns[record->public.n_failures++ % SY_QUARANTINE_FAILURES_MAX] = now;
    record->public.failure = failure;
    record->is_dead = record->is_dead || failure == SY_FAILURE_LOST || failure == SY_FAILURE_HUNG;
    uint32_t n_recent = count_recent(runtime, record, now);
    uint32_t doublings = n_recent > 0 && n_recent <= DOUBLINGS_MAX ? n_recent - 1 : DOUBLINGS_MAX;
    uint64_t wait_ms = (uint64_t)options->backoff_ms << doublings;
    wait_ms = wait_ms < options->backoff_most_ms ? wait_ms : options->backoff_most_ms;
    record->retry_at_ns = now + wait_ms * NS_PER_MS;
    bool is_out = record->public.condition == SY_CONDITION_OUT ||
                  (options->n_failures_most > 0 && n_recent >= options->n_failures_most);
    set_condition(runtime, record, is_out ? SY_CONDITION_OUT : SY_CONDITION_QUARANTINED);
    pthread_mutex_unlock(&runtime->record_lock);
    const sy_delegate *delegate = &runtime->delegates[i_delegate];
    sy_log_write(runtime->log, SY_SEVERITY_WARNING, is_out ? "delegate.out" : "delegate.quarantine",
                 "delegate=%s device=%s failure=%s recent=%" PRIu32 " retry_ms=%" PRIu64,
                 delegate->name, delegate->info.id, sy_failure_name(failure), n_recent,
                 is_out ? 0 : wait_ms);
}

void sy_runtime_begin_replan(sy_runtime *runtime) {
    pthread_mutex_lock(&runtime->replan_lock);
}

void sy_runtime_end_replan(sy_runtime *runtime) {
    pthread_mutex_unlock(&runtime->replan_lock);
}

int sy_runtime_is_usable(sy_runtime *runtime, uint32_t i_delegate) {
    if (i_delegate >= runtime->n_delegates || runtime->delegates[i_delegate].device == NULL) {
        return 0;
    }
    pthread_mutex_lock(&runtime->record_lock);
    sy_condition condition = runtime->records[i_delegate].public.condition;
    pthread_mutex_unlock(&runtime->record_lock);
    return condition == SY_CONDITION_READY || condition == SY_CONDITION_PROBATION;
}

void sy__record_count_users(sy_runtime *runtime, uint32_t i_delegate, int change) {
    pthread_mutex_lock(&runtime->record_lock);
    uint32_t *n_users = &runtime->records[i_delegate].public.n_users;
    *n_users = (uint32_t)((int64_t)*n_users + change);
    pthread_mutex_unlock(&runtime->record_lock);
}

void sy__record_confirm(sy_runtime *runtime, uint32_t i_delegate) {
    sy__record *record = &runtime->records[i_delegate];
    pthread_mutex_lock(&runtime->record_lock);
    if (record->public.condition == SY_CONDITION_PROBATION && record->n_probation_steps-- <= 1) {
        set_condition(runtime, record, SY_CONDITION_READY);
    }
    pthread_mutex_unlock(&runtime->record_lock);
}

/* Index of a device in its plugin's own count, by its id. */
static sy_status find_device(const sy_runtime *runtime, const sy_delegate *delegate,
                             uint32_t *out_index) {
    uint32_t n = 0;
    sy_status status = delegate->plugin->enumerate(delegate->context, NULL, 0, &n);
    if (status != SY_OK || n == 0) {
        return status != SY_OK ? status : SY_NOT_FOUND;
    }
    n = n < SY_LIMIT_DEVICES_PER_PLUGIN ? n : SY_LIMIT_DEVICES_PER_PLUGIN;
    sy_device_info *infos = sy__alloc_array(runtime->allocator, n, sizeof(*infos));
    if (infos == NULL) {
        return SY_RESOURCE_EXHAUSTED;
    }
    for (uint32_t i = 0; i < n; i++) {
        infos[i].header = (sy_header)SY_HEADER_INIT(sy_device_info);
    }
    uint32_t n_told = n;
    status = delegate->plugin->enumerate(delegate->context, infos, sizeof(*infos), &n_told);
    bool is_found = false;
    for (uint32_t i = 0; status == SY_OK && !is_found && i < n && i < n_told; i++) {
        is_found = strncmp(infos[i].id, delegate->info.id, sizeof(infos[i].id)) == 0;
        *out_index = i;
    }
    sy__free_array(runtime->allocator, infos, n, sizeof(*infos));
    return status == SY_OK && !is_found ? SY_NOT_FOUND : status;
}

static sy_status reopen(sy_runtime *runtime, sy_delegate *delegate, sy_error *error) {
    uint32_t i_device = 0;
    if (delegate->handle == NULL) {
        return sy_error_set(error, SY_UNAVAILABLE,
                            "Who opened device '%s' of '%s' does not let it be opened again.",
                            delegate->info.id, delegate->name);
    }
    if (delegate->device != NULL) {
        (void)delegate->plugin->close(delegate->device); /* it is dead whatever it answers */
        delegate->device = *delegate->handle = NULL;
    }
    sy_report_clear(sy_runtime_host(runtime, delegate->context));
    sy_status status = find_device(runtime, delegate, &i_device);
    if (status == SY_OK) {
        status = delegate->plugin->open(delegate->context, i_device, delegate->options,
                                        &delegate->device);
    }
    if (status != SY_OK) {
        delegate->device = NULL;
        return sy_error_set(
            error, SY_UNAVAILABLE, "Device '%s' of '%s' does not open again: %s (%s).",
            delegate->info.id, delegate->name,
            sy_report_text(sy_runtime_host(runtime, delegate->context)), sy_status_name(status));
    }
    *delegate->handle = delegate->device;
    return SY_OK;
}

static bool is_sound(const sy_delegate *delegate) {
    sy_health health = {.header = SY_HEADER_INIT(sy_health)};
    return delegate->device != NULL &&
           delegate->plugin->health(delegate->device, &health) == SY_OK &&
           health.state != SY_HEALTH_LOST;
}

sy_status sy_runtime_readmit(sy_runtime *runtime, uint32_t i_delegate, sy_error *error) {
    sy_delegate_record seen;
    sy_runtime_get_record(runtime, i_delegate, &seen);
    if (seen.condition != SY_CONDITION_QUARANTINED) {
        return sy_error_set(error, SY_FAILED_PRECONDITION,
                            "Delegate %" PRIu32 " is not in quarantine, or out for good.",
                            i_delegate);
    }
    sy_delegate *delegate = &runtime->delegates[i_delegate];
    sy__record *record = &runtime->records[i_delegate];
    pthread_mutex_lock(&runtime->record_lock);
    bool is_dead = record->is_dead;
    pthread_mutex_unlock(&runtime->record_lock);
    is_dead = is_dead || !is_sound(delegate);
    if (seen.retry_ns > 0 || (is_dead && seen.n_users > 0)) {
        return sy_error_set(error, SY_UNAVAILABLE,
                            "Delegate '%s' stays in quarantine: %" PRIu64
                            " ms are left, and %" PRIu32 " executors hold handles of it.",
                            delegate->name, seen.retry_ns / NS_PER_MS, seen.n_users);
    }
    sy_status status = is_dead ? reopen(runtime, delegate, error) : SY_OK;
    if (status != SY_OK) {
        sy_runtime_quarantine(runtime, i_delegate, SY_FAILURE_LOST);
        return status;
    }
    pthread_mutex_lock(&runtime->record_lock);
    record->is_dead = false;
    record->public.n_returns++;
    record->n_probation_steps = runtime->quarantine.n_probation_steps;
    set_condition(runtime, record, SY_CONDITION_PROBATION);
    pthread_mutex_unlock(&runtime->record_lock);
    sy_log_write(runtime->log, SY_SEVERITY_INFO, "delegate.probation",
                 "delegate=%s device=%s steps=%" PRIu32, delegate->name, delegate->info.id,
                 record->n_probation_steps);
    return SY_OK;
}
