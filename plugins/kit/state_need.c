/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of states: what calls would take, and taking it ahead of them. */
#include "state.h"

#include <string.h>

/* Requests added up. */
typedef struct request_sum {
    kit_states *states;
    kit_need need;
    sy_state_usage usage;
} request_sum;

sy_state_request kit_state_request_at(const sy_state_request *requests, size_t stride, uint32_t i) {
    sy_state_request request;
    uint32_t n_bytes = 0;
    const char *at = (const char *)requests + i * stride;
    memset(&request, 0, sizeof(request));
    memcpy(&n_bytes, at, sizeof(n_bytes)); /* the size opens the header */
    memcpy(&request, at, n_bytes < sizeof(request) ? n_bytes : sizeof(request));
    request.count = request.count > 0 ? request.count : 1;
    return request;
}

static bool add_heads(request_sum *sum, uint64_t head_bytes, uint64_t count) {
    return kit_need_add(&sum->need, &kit_host_storage, head_bytes, count);
}

/* The blocks of `count` states, n of each. */
static bool add_blocks(request_sum *sum, uint64_t block_bytes, uint64_t n, uint64_t count) {
    const kit_storage *storage = sum->states->storage;
    uint64_t n_blocks = 0;
    if (kit_is_one_slab(storage)) {
        return kit_need_add_together(&sum->need, sum->states->pools, storage, block_bytes, n,
                                     count);
    }
    return !__builtin_mul_overflow(n, count, &n_blocks) &&
           kit_need_add(&sum->need, storage, block_bytes, n_blocks);
}

static sy_status too_many(bool ok) {
    return ok ? SY_OK
              : kit_report(SY_RESOURCE_EXHAUSTED, SY_NO_VALUE,
                           "so many states, or sizes of them at once, cannot be counted");
}

static sy_status add_create(request_sum *sum, const sy_state_request *request) {
    sy_state_description description;
    kit_state_measures m;
    kit_state_read_description(request->description, &description);
    sy_status status = kit_state_measure(sum->states, &description, &m);
    if (status != SY_OK) {
        return status;
    }
    return too_many(add_heads(sum, m.head_bytes, request->count) &&
                    add_blocks(sum, m.sizes.block_bytes, m.n_blocks, request->count));
}

static sy_status add_fork(request_sum *sum, const sy_state_request *request) {
    const sy_state *state = request->state;
    kit_fork fork;
    sy_status status = kit_state_check_fork(state, request->n_rows, request->max_tokens, &fork);
    if (status != SY_OK) {
        return status;
    }
    uint64_t block_bytes = fork.measures.sizes.block_bytes, n_blocks = fork.measures.n_blocks;
    uint64_t n_own = n_blocks - fork.n_given, n_sharing = request->count;
    bool ok = add_heads(sum, fork.measures.head_bytes, request->count);
    if (!kit_is_one_slab(sum->states->storage)) {
        ok = ok && add_blocks(sum, block_bytes, n_own, n_sharing);
    } else {
        n_sharing = state->slab != NULL
                        ? kit_need_add_in(&sum->need, state->slab, n_own, request->count)
                        : 0;
        ok = ok && add_blocks(sum, block_bytes, n_blocks, request->count - n_sharing);
    }
    sum->usage.shared_bytes += fork.n_given * kit_block_cost(block_bytes) * n_sharing;
    return too_many(ok);
}

/* What is shared from a row on is what a call that writes from there takes; where there is no room
 * for it beside the rest, the state goes elsewhere as a whole, over a second head. */
static sy_status add_own(request_sum *sum, const sy_state_request *request) {
    const sy_state *state = request->state;
    uint64_t block_bytes = state->sizes.block_bytes;
    sy_status status = kit_state_check_range(state, request->n_rows, 0);
    if (status == SY_OK && request->call == SY_STATE_CALL_TRUNCATE) {
        status = kit_state_check_kept(state, request->n_rows);
    }
    uint64_t n = status == SY_OK ? kit_state_count_shared(state, request->n_rows) : 0;
    if (n == 0) {
        return status;
    }
    if (!kit_is_one_slab(sum->states->storage)) {
        return too_many(add_blocks(sum, block_bytes, n, 1));
    }
    return too_many(kit_need_add_in(&sum->need, state->slab, n, 1) == 1 ||
                    (add_heads(sum, state->head->slab->pool->block_bytes, 1) &&
                     add_blocks(sum, block_bytes, state->n_blocks, 1)));
}

static void add_held(request_sum *sum, const sy_state *state) {
    uint64_t n_shared = kit_state_count_shared(state, 0);
    uint64_t cost = kit_block_cost(state->sizes.block_bytes);
    sum->usage.shared_bytes += n_shared * cost;
    sum->usage.own_bytes +=
        (state->n_blocks - n_shared) * cost + kit_block_cost(state->head->slab->pool->block_bytes);
}

static sy_status add_request(request_sum *sum, const sy_state_request *request) {
    sy_status status = kit_extensions_check(&request->header);
    if (status != SY_OK) {
        return status;
    }
    switch (request->call) {
    case SY_STATE_CALL_HOLD:
        add_held(sum, request->state);
        return SY_OK;
    case SY_STATE_CALL_CREATE:
        return add_create(sum, request);
    case SY_STATE_CALL_FORK:
        return add_fork(sum, request);
    case SY_STATE_CALL_TRUNCATE:
    case SY_STATE_CALL_WRITE:
        return add_own(sum, request);
    default:
        return kit_report(SY_INVALID_ARGUMENT, SY_NO_VALUE, "there is no call %u of a state",
                          request->call);
    }
}

static sy_status add_requests(request_sum *sum, const sy_state_request *requests, size_t stride,
                              uint32_t n_requests) {
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_requests; i++) {
        sy_state_request request = kit_state_request_at(requests, stride, i);
        status = add_request(sum, &request);
    }
    return status;
}

sy_status kit_state_need(kit_states *states, const sy_state_request *requests, size_t stride,
                         uint32_t n_requests, sy_state_usage *out_usage) {
    request_sum sum = {.states = states};
    sum.usage = (sy_state_usage){.header = out_usage->header, .block_tokens = KIT_BLOCK_ROWS};
    kit_need_init(&sum.need, states->pools, false);
    sy_status status = add_requests(&sum, requests, stride, n_requests);
    if (status == SY_OK) {
        sy_state_usage *usage = &sum.usage;
        usage->own_bytes += sum.need.own_bytes;
        usage->new_bytes = kit_need_new_bytes(states->pools, &sum.need);
        size_t n_bytes = usage->header.size < sizeof(*usage) ? usage->header.size : sizeof(*usage);
        memcpy(out_usage, usage, n_bytes);
    }
    return status;
}

sy_status kit_state_reserve(kit_states *states, const sy_state_request *requests, size_t stride,
                            uint32_t n_requests, uint32_t keep) {
    request_sum sum = {.states = states};
    kit_need_init(&sum.need, states->pools, keep != 0);
    sy_status status = add_requests(&sum, requests, stride, n_requests);
    if (status == SY_OK && n_requests == 0) {
        kit_pools_trim(&states->pools, false);
    }
    if (status != SY_OK) {
        return status;
    }
    status = kit_pools_reserve(&states->pools, &sum.need);
    if (SY_STATUS_CLASS(status) != SY_RESOURCE_EXHAUSTED) {
        return status;
    }
    return kit_report(status, SY_NO_VALUE, "no memory for %llu bytes of states, %llu of them new",
                      (unsigned long long)sum.need.own_bytes,
                      (unsigned long long)kit_need_new_bytes(states->pools, &sum.need));
}
