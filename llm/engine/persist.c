/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session files, docs/formats/session.md: a fixed header, the token ids, the state in canonical
 * layout, and a SHA-256 over all of it. Written beside the target and renamed, so that a file is
 * old or new, never torn.
 */
#include "base/checked.h"
#include "base/digest.h"
#include "base/file_atomic.h"
#include "base/file_map.h"
#include "engine/engine_internal.h"
#include "lora/adapter_internal.h"

#include <inttypes.h>
#include <string.h>

#define SESSION_MAGIC "SYSESS2"

typedef struct session_header {
    char magic[8];
    uint8_t identity[SY__DIGEST_BYTES];
    uint8_t tokenizer[SY__DIGEST_BYTES];
    uint32_t key_type, value_type;
    uint32_t n_tokens, n_adapters;
    uint64_t state_bytes;
} session_header;

/* One adapter that the session uses. */
typedef struct saved_adapter {
    uint8_t identity[SY__DIGEST_BYTES];
    float scale;
} saved_adapter;

/* Writes bytes and adds them to the checksum. */
static sy_status write_bytes(sy__file_atomic *file, sy__sha256 *sha, const void *bytes,
                             size_t n_bytes, sy_error *error) {
    sy__sha256_update(sha, bytes, n_bytes);
    return sy__file_atomic_write(file, bytes, n_bytes, error);
}

static sy_status write_adapters(sy__file_atomic *file, sy__sha256 *sha, const sy_session *session,
                                sy_error *error) {
    sy__adapter_use uses[SY_LIMIT_ADAPTERS_PER_SEQUENCE];
    uint32_t n_uses = sy__session_adapters(session, uses);
    sy_status status = SY_OK;
    for (uint32_t i = 0; status == SY_OK && i < n_uses; i++) {
        saved_adapter saved = {.scale = uses[i].scale};
        memcpy(saved.identity, uses[i].adapter->identity, SY__DIGEST_BYTES);
        status = write_bytes(file, sha, &saved, sizeof(saved), error);
    }
    return status;
}

static sy_status write_all(sy__file_atomic *file, const sy_session *session,
                           const session_header *header, const void *state, sy_error *error) {
    uint8_t digest[SY__DIGEST_BYTES];
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy_status status = write_bytes(file, &sha, header, sizeof(*header), error);
    if (status == SY_OK) {
        status = write_adapters(file, &sha, session, error);
    }
    if (status == SY_OK) {
        status =
            write_bytes(file, &sha, session->tokens, header->n_tokens * sizeof(int32_t), error);
    }
    if (status == SY_OK) {
        status = write_bytes(file, &sha, state, (size_t)header->state_bytes, error);
    }
    sy__sha256_final(&sha, digest);
    return status == SY_OK ? sy__file_atomic_write(file, digest, sizeof(digest), error) : status;
}

/* What was said to a model is for its owner alone. */
static sy_status write_file(const sy_session *session, const session_header *header,
                            const void *state, const char *path, sy_error *error) {
    sy__file_atomic file;
    sy_status status = sy__file_atomic_open(session->engine->allocator, path, &file, error);
    if (status != SY_OK) {
        return status;
    }
    file.is_private = true;
    status = write_all(&file, session, header, state, error);
    if (status == SY_OK) {
        return sy__file_atomic_commit(&file, error);
    }
    sy__file_atomic_abandon(&file);
    return status;
}

static sy_status fill_header(sy_engine *engine, session_header *header, sy_error *error) {
    memset(header, 0, sizeof(*header)); /* padding is part of the checksum */
    memcpy(header->magic, SESSION_MAGIC, sizeof(header->magic));
    memcpy(header->identity, sy__engine_identity(engine), SY__DIGEST_BYTES);
    header->key_type = engine->options.key_type;
    header->value_type = engine->options.value_type;
    return sy__engine_tokenizer_identity(engine, header->tokenizer, error);
}

sy_status sy_session_save(sy_session *session, const char *path, sy_error *error) {
    const sy_allocator *allocator = session->engine->allocator;
    session_header header;
    sy_status status = sy__session_catch_up(session, error);
    if (status != SY_OK) {
        return status;
    }
    status = fill_header(session->engine, &header, error);
    if (status != SY_OK) {
        return status;
    }
    sy__adapter_use uses[SY_LIMIT_ADAPTERS_PER_SEQUENCE];
    header.n_tokens = session->n_tokens;
    header.n_adapters = sy__session_adapters(session, uses);
    header.state_bytes = sy_state_set_bytes(session->states, session->n_tokens);
    void *state = sy__alloc_array(allocator, (size_t)header.state_bytes, 1);
    if (state == NULL) {
        return sy__no_memory(error, header.state_bytes, "saving a session");
    }
    do {
        status = sy__session_whole(session, error);
        if (status == SY_OK) {
            status = sy_state_set_save(session->states, session->n_tokens, state,
                                       header.state_bytes, error);
        }
    } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    if (status == SY_OK) {
        status = write_file(session, &header, state, path, error);
    }
    sy__free_array(allocator, state, (size_t)header.state_bytes, 1);
    return status;
}

static sy_status damaged(const char *path, const char *what, sy_error *error) {
    sy_error_set(error, SY_DATA_LOSS, "The session file is damaged: %s.", what);
    sy_error_at(error, path, UINT64_MAX);
    sy_error_hint(error, "Prefill the conversation again and save it anew.");
    return SY_DATA_LOSS;
}

/* Everything about the file that can be wrong, before any of it is used. */
static sy_status check_file(sy_engine *engine, const sy__file_map *map, const char *path,
                            session_header *out_header, sy_error *error) {
    session_header expected;
    uint8_t digest[SY__DIGEST_BYTES];
    uint64_t n_tokens_bytes = 0, n_wanted = sizeof(expected) + SY__DIGEST_BYTES;
    if (map->n_bytes < n_wanted) {
        return damaged(path, "it is too short", error);
    }
    memcpy(out_header, map->bytes, sizeof(*out_header));
    if (memcmp(out_header->magic, SESSION_MAGIC, sizeof(out_header->magic)) != 0) {
        return damaged(path, "it does not begin like a session of this version", error);
    }
    if (out_header->n_adapters > SY_LIMIT_ADAPTERS_PER_SEQUENCE ||
        !sy__add_u64(n_wanted, out_header->n_adapters * sizeof(saved_adapter), &n_wanted) ||
        !sy__mul_u64(out_header->n_tokens, sizeof(int32_t), &n_tokens_bytes) ||
        !sy__add_u64(n_wanted, n_tokens_bytes, &n_wanted) ||
        !sy__add_u64(n_wanted, out_header->state_bytes, &n_wanted) || n_wanted != map->n_bytes) {
        return damaged(path, "its length differs from what its header says", error);
    }
    sy__sha256 sha;
    sy__sha256_init(&sha);
    sy__sha256_update(&sha, map->bytes, (size_t)(map->n_bytes - SY__DIGEST_BYTES));
    sy__sha256_final(&sha, digest);
    if (memcmp(digest, map->bytes + map->n_bytes - SY__DIGEST_BYTES, SY__DIGEST_BYTES) != 0) {
        return damaged(path, "its checksum differs", error);
    }
    sy_status status = fill_header(engine, &expected, error);
    if (status != SY_OK) {
        return status;
    }
    const char *wrong = NULL;
    if (memcmp(expected.identity, out_header->identity, SY__DIGEST_BYTES) != 0) {
        wrong = "another model";
    } else if (memcmp(expected.tokenizer, out_header->tokenizer, SY__DIGEST_BYTES) != 0) {
        wrong = "another tokenizer";
    } else if (expected.key_type != out_header->key_type ||
               expected.value_type != out_header->value_type) {
        wrong = "another cache type";
    }
    if (wrong == NULL) {
        return SY_OK;
    }
    sy_error_set(error, SY_FAILED_PRECONDITION, "The session was saved with %s.", wrong);
    sy_error_at(error, path, UINT64_MAX);
    return SY_FAILED_PRECONDITION;
}

/* The adapters must be there before the rows that were made with them. */
static sy_status restore_adapters(sy_session *session, const uint8_t *bytes, uint32_t n,
                                  sy_error *error) {
    for (uint32_t i = 0; i < n; i++) {
        saved_adapter saved;
        memcpy(&saved, bytes + i * sizeof(saved), sizeof(saved));
        sy_adapter *adapter = sy__adapter_find(session->engine, saved.identity);
        if (adapter == NULL) {
            sy_error_set(error, SY_FAILED_PRECONDITION,
                         "The session was saved with an adapter that is not loaded.");
            sy_error_hint(error, "Load the same adapters into the engine first (--lora).");
            return SY_FAILED_PRECONDITION;
        }
        sy_status status = sy_session_add_adapter(session, adapter, saved.scale, error);
        if (status != SY_OK) {
            return status;
        }
    }
    return SY_OK;
}

static sy_status restore(sy_session *session, const sy__file_map *map, const session_header *header,
                         sy_error *error) {
    const uint8_t *adapters = map->bytes + sizeof(*header);
    const uint8_t *tokens = adapters + header->n_adapters * sizeof(saved_adapter);
    const uint8_t *state = tokens + (size_t)header->n_tokens * sizeof(int32_t);
    if (header->n_tokens > session->max_tokens) {
        return sy_error_set(error, SY_OUT_OF_RANGE,
                            "The saved session holds %" PRIu32 " tokens, more than the %" PRIu32
                            " it is opened with.",
                            header->n_tokens, session->max_tokens);
    }
    memcpy(session->tokens, tokens, header->n_tokens * sizeof(int32_t));
    for (uint32_t i = 0; i < header->n_tokens; i++) {
        if ((uint32_t)session->tokens[i] >= session->engine->info.n_vocabulary) {
            return sy_error_set(error, SY_DATA_LOSS,
                                "The saved session names a token outside the "
                                "vocabulary.");
        }
    }
    sy_status status = restore_adapters(session, adapters, header->n_adapters, error);
    if (status == SY_OK) {
        do {
            status = sy_state_set_load(session->states, header->n_tokens, state,
                                       header->state_bytes, error);
        } while (sy__engine_goes_on(session->engine, &status, NULL, 0, error));
    }
    if (status == SY_OK) {
        sy_memory_report report;
        sy_executor_memory(session->engine->executor, &report);
        session->n_tokens = header->n_tokens;
        session->is_behind = header->n_tokens > 0; /* its logits were not kept */
        if (header->state_bytes < report.state_bytes_per_token * header->n_tokens) {
            session->n_loaded_rows = header->n_tokens;
        }
    }
    return status;
}

sy_status sy_session_load(sy_engine *engine, const char *path, uint32_t max_tokens,
                          sy_session **out_session, sy_error *error) {
    sy__file_map map;
    session_header header;
    sy_session *session = NULL;
    sy_status status = sy__file_map_open(path, &map, error);
    if (status != SY_OK) {
        return status;
    }
    status = check_file(engine, &map, path, &header, error);
    if (status == SY_OK) {
        status = sy_session_open(engine, max_tokens, &session, error);
    }
    if (status == SY_OK) {
        status = restore(session, &map, &header, error);
        if (status != SY_OK) {
            sy_session_close(session);
        }
    }
    sy__file_map_close(&map);
    if (status == SY_OK) {
        *out_session = session;
    }
    return status;
}
