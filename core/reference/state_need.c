/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of states before it is taken. */
#include "base/checked.h"
#include "reference/state.h"

#include <inttypes.h>

/* What calls take, and what they share or states hold. */
typedef struct sums {
    sy__block_need need;
    uint64_t own_bytes, shared_bytes;
} sums;

static sy_status too_much(sy_device *device) {
    return sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                          "so many states cannot be counted");
}

static sy_status add_new(sy_device *device, const sy_state_description *description,
                         const sy_state_request *request, sums *s) {
    sy__state_size size;
    uint64_t count = request->count > 0 ? request->count : 1, n_own = 0;
    uint64_t n_given = request->call == SY_STATE_CALL_FORK ? request->n_rows / SY__STATE_ROWS : 0;
    sy_status status = sy__ref_state_measure(device, description, &size);
    if (status != SY_OK) {
        return status;
    }
    s->shared_bytes += n_given * sy__block_cost(size.block_bytes) * count;
    return sy__mul_u64(size.n_blocks - n_given, count, &n_own) &&
                   sy__need_add(&s->need, size.head_bytes, count) &&
                   sy__need_add(&s->need, size.block_bytes, n_own)
               ? SY_OK
               : too_much(device);
}

static sy_status add_held(const sy_state *state, sums *s) {
    uint64_t cost = sy__block_cost(state->row_bytes * SY__STATE_ROWS);
    uint64_t n_shared = sy__ref_state_count_shared(state, 0);
    s->shared_bytes += n_shared * cost;
    s->own_bytes += (state->n_blocks - n_shared) * cost + sy__block_cost(state->head->n_bytes);
    return SY_OK;
}

static sy_status add_own(sy_device *device, const sy_state_request *request, sums *s) {
    const sy_state *state = request->state;
    if (request->n_rows > state->max_tokens) {
        return sy__ref_report(device, SY_OUT_OF_RANGE, SY_NO_VALUE,
                              "row %" PRIu64 " of a state of %" PRIu64 " rows", request->n_rows,
                              state->max_tokens);
    }
    return sy__need_add(&s->need, state->row_bytes * SY__STATE_ROWS,
                        sy__ref_state_count_shared(state, request->n_rows))
               ? SY_OK
               : too_much(device);
}

static sy_status add_request(sy_device *device, const sy_state_request *request, sums *s) {
    sy_state_description description;
    sy_status status = sy__ref_open_check(&request->header);
    if (status != SY_OK) {
        return status;
    }
    if ((request->call == SY_STATE_CALL_CREATE && request->description == NULL) ||
        (request->call != SY_STATE_CALL_CREATE && request->state == NULL)) {
        return SY_INVALID_ARGUMENT;
    }
    switch (request->call) {
    case SY_STATE_CALL_HOLD:
        return add_held(request->state, s);
    case SY_STATE_CALL_CREATE:
        sy__ref_open_read(&description, sizeof(description), request->description);
        return add_new(device, &description, request, s);
    case SY_STATE_CALL_FORK:
        status = sy__ref_state_check_fork(request->state, request->n_rows, request->max_tokens);
        description = sy__ref_state_describe(request->state, request->max_tokens);
        return status == SY_OK ? add_new(device, &description, request, s) : status;
    case SY_STATE_CALL_TRUNCATE:
    case SY_STATE_CALL_WRITE:
        return add_own(device, request, s);
    default:
        return sy__ref_report(device, SY_INVALID_ARGUMENT, SY_NO_VALUE,
                              "there is no call %" PRIu32 " of a state", request->call);
    }
}

static sy_status add_all(sy_device *device, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sums *s) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_requests; i++) {
        sy_state_request request;
        sy__ref_open_read(&request, sizeof(request), (const char *)requests + i * stride);
        status = add_request(device, &request, s);
    }
    return status;
}

sy_status sy__ref_state_need(sy_device *device, const sy_state_request *requests, size_t stride,
                             uint32_t n_requests, sy_state_usage *out_usage) {
    sums s = {.own_bytes = 0};
    if (device == NULL || (requests == NULL && n_requests > 0) || out_usage == NULL) {
        return SY_INVALID_ARGUMENT;
    }
    sy_status status = add_all(device, requests, stride, n_requests, &s);
    if (status == SY_OK) {
        sy_state_usage usage = {.header = SY_HEADER_INIT(sy_state_usage),
                                .shared_bytes = s.shared_bytes,
                                .block_tokens = SY__STATE_ROWS};
        sy__need_count(&s.need, &device->pool, &usage.own_bytes, &usage.new_bytes);
        usage.own_bytes += s.own_bytes;
        sy__ref_open_write(out_usage, &usage, sizeof(usage));
    }
    return status;
}

sy_status sy__ref_state_reserve(sy_device *device, const sy_state_request *requests, size_t stride,
                                uint32_t n_requests, uint32_t keep) {
    sums s = {.own_bytes = 0};
    if (device == NULL || (requests == NULL && n_requests > 0)) {
        return SY_INVALID_ARGUMENT;
    }
    sy_status status = add_all(device, requests, stride, n_requests, &s);
    if (status == SY_OK && n_requests == 0) {
        sy__pool_trim(&device->pool, false);
    }
    if (status == SY_OK && !sy__pool_reserve(&device->pool, &s.need, keep != 0)) {
        uint64_t n_bytes = 0, new_bytes = 0;
        sy__need_count(&s.need, &device->pool, &n_bytes, &new_bytes);
        status =
            sy__ref_report(device, SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                           "no memory for %" PRIu64 " bytes of states, %" PRIu64 " of them new",
                           n_bytes, new_bytes);
    }
    return status;
}
