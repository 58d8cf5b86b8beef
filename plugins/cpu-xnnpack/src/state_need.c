/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of states: what calls would take, and taking it ahead of them. */
#include "state.h"

#include <string.h>

/* One request as this build knows it. */
static sy_state_request read_request(const sy_state_request *requests, size_t stride, uint32_t i) {
    sy_state_request request;
    uint32_t n_bytes = 0;
    const char *at = (const char *)requests + i * stride;
    memset(&request, 0, sizeof(request));
    memcpy(&n_bytes, at, sizeof(n_bytes)); /* the size opens the header */
    memcpy(&request, at, n_bytes < sizeof(request) ? n_bytes : sizeof(request));
    request.count = request.count > 0 ? request.count : 1;
    return request;
}

static bool add_state(cpu_block_need *need, const cpu_state_layout *layout, uint64_t head_bytes,
                      uint64_t n_blocks, uint64_t count) {
    uint64_t n = 0;
    return !__builtin_mul_overflow(n_blocks, count, &n) && cpu_need_add(need, head_bytes, count) &&
           cpu_need_add(need, layout->block_bytes, n);
}

/* A new state, or with `from` one that begins with its rows. */
static sy_status need_new(const sy_state_description *description, const sy_state_request *request,
                          const sy_state *from, cpu_block_need *need, uint64_t *inout_shared) {
    cpu_state_layout layout;
    uint64_t head_bytes = 0, n_blocks = 0, n_given = 0;
    sy_status status = cpu_state_measure(description, &layout, &head_bytes, &n_blocks);
    if (status != SY_OK) {
        return status;
    }
    if (from != NULL && !cpu_state_is_windowed(from)) {
        n_given = request->n_rows / CPU_BLOCK;
        *inout_shared += n_given * cpu_block_cost(layout.block_bytes) * request->count;
    }
    if (!add_state(need, &layout, head_bytes, n_blocks - n_given, request->count)) {
        return cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "so many states cannot be counted");
    }
    return SY_OK;
}

static sy_status need_fork(const sy_state_request *request, cpu_block_need *need,
                           uint64_t *inout_shared) {
    const sy_state *state = request->state;
    sy_state_description description = state->description;
    sy_status status = cpu_state_check_range(state, 0, request->n_rows);
    status = status == SY_OK ? cpu_state_check_kept(state, request->n_rows) : status;
    if (status == SY_OK && request->max_tokens < request->n_rows) {
        status = cpu_report(
            SY_INVALID_ARGUMENT, SY_NO_VALUE, "a state of %llu rows cannot begin with %llu",
            (unsigned long long)request->max_tokens, (unsigned long long)request->n_rows);
    }
    description.max_tokens = request->max_tokens;
    return status == SY_OK ? need_new(&description, request, state, need, inout_shared) : status;
}

/* What is shared from a row on is what a call that writes from there takes. */
static sy_status need_own(const sy_state_request *request, cpu_block_need *need) {
    const sy_state *state = request->state;
    sy_status status = cpu_state_check_range(state, request->n_rows, 0);
    if (status == SY_OK && request->call == SY_STATE_CALL_TRUNCATE) {
        status = cpu_state_check_kept(state, request->n_rows);
    }
    if (status == SY_OK && !cpu_need_add(need, state->layout.block_bytes,
                                         cpu_state_count_shared(state, request->n_rows))) {
        status = cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE, "too many sizes of blocks at once");
    }
    return status;
}

static void add_held(const sy_state *state, sy_state_usage *usage) {
    uint64_t n_shared = cpu_state_count_shared(state, 0);
    uint64_t cost = cpu_block_cost(state->layout.block_bytes);
    usage->shared_bytes += n_shared * cost;
    usage->own_bytes +=
        (state->n_blocks - n_shared) * cost + cpu_block_cost(cpu_state_head_bytes(state->n_blocks));
}

static sy_status add_request(const sy_state_request *request, cpu_block_need *need,
                             sy_state_usage *usage) {
    sy_state_description description;
    sy_status status = cpu_extensions_check(&request->header);
    if (status != SY_OK) {
        return status;
    }
    switch (request->call) {
    case SY_STATE_CALL_HOLD:
        add_held(request->state, usage);
        return SY_OK;
    case SY_STATE_CALL_CREATE:
        cpu_state_read_description(request->description, &description);
        return need_new(&description, request, NULL, need, &usage->shared_bytes);
    case SY_STATE_CALL_FORK:
        return need_fork(request, need, &usage->shared_bytes);
    case SY_STATE_CALL_TRUNCATE:
    case SY_STATE_CALL_WRITE:
        return need_own(request, need);
    default:
        return cpu_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "there is no call %u of a state",
                          request->call);
    }
}

static sy_status sum_requests(const sy_state_request *requests, size_t stride, uint32_t n_requests,
                              cpu_block_need *need, sy_state_usage *usage) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_requests; i++) {
        sy_state_request request = read_request(requests, stride, i);
        status = add_request(&request, need, usage);
    }
    return status;
}

sy_status cpu_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage) {
    cpu_block_need need = {.n_sizes = 0};
    sy_state_usage usage = {.header = out_usage->header, .block_tokens = CPU_BLOCK};
    sy_status status = sum_requests(requests, stride, n_requests, &need, &usage);
    if (status == SY_OK) {
        usage.own_bytes += cpu_need_bytes(&need);
        usage.new_bytes = cpu_need_new_bytes(device->pools, &need);
        size_t n_bytes = usage.header.size < sizeof(usage) ? usage.header.size : sizeof(usage);
        memcpy(out_usage, &usage, n_bytes);
    }
    return status;
}

sy_status cpu_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep) {
    cpu_block_need need = {.n_sizes = 0};
    sy_state_usage usage = {.block_tokens = CPU_BLOCK};
    sy_status status = sum_requests(requests, stride, n_requests, &need, &usage);
    if (status == SY_OK && n_requests == 0) {
        cpu_pools_trim(&device->pools, false);
    }
    if (status == SY_OK && !cpu_pools_reserve(&device->pools, &need, keep != 0)) {
        status = cpu_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                            "no memory for %llu bytes of states, %llu of them new",
                            (unsigned long long)cpu_need_bytes(&need),
                            (unsigned long long)cpu_need_new_bytes(device->pools, &need));
    }
    return status;
}
