/* SPDX-License-Identifier: Apache-2.0 */
/* Which adapters a session uses. The state set keeps them, as its rows are made with them: so a
 * clone has them, and a step finds them whoever puts it together. */
#include "base/digest.h"
#include "lora/adapter_internal.h"

#include <inttypes.h>
#include <string.h>

static sy_status check(const sy_session *session, const sy_adapter *adapter, sy_error *error) {
    if (adapter != NULL && adapter->engine != session->engine) {
        return sy_error_set(error, SY_INVALID_ARGUMENT, "The adapter belongs to another engine.");
    }
    if (session->n_tokens > 0) {
        sy_error_set(error, SY_FAILED_PRECONDITION,
                     "The session holds %" PRIu32
                     " tokens that were computed with other weights, so its adapters cannot "
                     "change.",
                     session->n_tokens);
        sy_error_hint(error, "Rewind it to 0, or open another session.");
        return SY_FAILED_PRECONDITION;
    }
    return SY_OK;
}

static sy_adapter *adapter_of(const sy_engine *engine, const sy_adapter_set *set) {
    sy_adapter *adapter = engine->adapters;
    while (adapter != NULL && adapter->set != set) {
        adapter = adapter->next;
    }
    return adapter;
}

uint32_t sy__session_adapters(const sy_session *session, sy__adapter_use *out_uses) {
    uint32_t n = 0;
    const sy_adapter_choice *choices = sy_state_set_adapters(session->states, &n);
    for (uint32_t k = 0; k < n; k++) {
        out_uses[k] = (sy__adapter_use){.adapter = adapter_of(session->engine, choices[k].set),
                                        .scale = choices[k].scale};
    }
    return n;
}

/* The first bytes of a digest, by content. */
static uint64_t key_of(const sy_session *session) {
    sy__adapter_use uses[SY_LIMIT_ADAPTERS_PER_SEQUENCE];
    uint8_t digest[SY__DIGEST_BYTES];
    uint64_t key = 0;
    sy__sha256 sha;
    uint32_t n = sy__session_adapters(session, uses);
    sy__sha256_init(&sha);
    for (uint32_t k = 0; k < n; k++) {
        sy__sha256_update(&sha, uses[k].adapter->identity, SY__DIGEST_BYTES);
        sy__sha256_update(&sha, &uses[k].scale, sizeof(uses[k].scale));
    }
    sy__sha256_final(&sha, digest);
    memcpy(&key, digest, sizeof(key));
    return n > 0 ? key | 1 : 0;
}

static sy_status adapt(sy_session *session, sy_adapter *adapter, float scale, uint32_t n_kept,
                       sy_error *error) {
    sy_adapter_choice choices[SY_LIMIT_ADAPTERS_PER_SEQUENCE + 1];
    sy_status status = check(session, adapter, error);
    if (status != SY_OK) {
        return status;
    }
    uint32_t n_now = 0;
    const sy_adapter_choice *now = sy_state_set_adapters(session->states, &n_now);
    for (uint32_t k = 0; k < n_kept; k++) {
        choices[k] = now[k];
    }
    if (adapter != NULL) {
        choices[n_kept++] = (sy_adapter_choice){.set = adapter->set, .scale = scale};
    }
    status = sy_state_set_adapt(session->states, choices, n_kept, error);
    if (status == SY_OK) {
        session->adapter_key = key_of(session);
    }
    return status;
}

sy_status sy_session_set_adapter(sy_session *session, sy_adapter *adapter, float scale,
                                 sy_error *error) {
    return adapt(session, adapter, scale, 0, error);
}

sy_status sy_session_add_adapter(sy_session *session, sy_adapter *adapter, float scale,
                                 sy_error *error) {
    uint32_t n = 0;
    (void)sy_state_set_adapters(session->states, &n);
    return adapt(session, adapter, scale, n, error);
}
