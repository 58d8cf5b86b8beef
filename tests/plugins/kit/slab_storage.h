/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of states as a device keeps them: slabs that the host does not reach, a table of block
 * numbers that goes up only when the version says so, rows that are found through that table.
 * Memory of the device has a limit, and a call can be made to fail.
 */
#ifndef SY_TESTS_SLAB_STORAGE_H
#define SY_TESTS_SLAB_STORAGE_H

#include "plugins/kit/state.h"

enum { TABLE_MOST = 16 };

typedef struct slab_storage {
    kit_storage storage;
    uint64_t live_bytes, limit_bytes; /* of slabs */
    uint64_t calls_until_failure;     /* UINT64_MAX: none fails */
    uint32_t n_slabs, n_states;       /* alive */
    uint32_t n_uploads, n_moves;      /* tables; those that named another slab than before */
    uint32_t n_copies;                /* blocks */
} slab_storage;

/* What lies on the device of a state. */
typedef struct table {
    uint64_t version, base;
    kit_slab *slab;
    uint32_t blocks[TABLE_MOST];
} table;

/* asks_host: slabs come from the host's alloc. The others as in kit_storage. */
void slab_storage_init(slab_storage *s, bool asks_host, uint64_t one_slab_bytes_most,
                       uint64_t one_slab_bytes_least);
/* Checks a state beside its table, which goes up if it must. */
void slab_storage_upload(slab_storage *s, sy_state *state);
/* What a job does: writes canonical rows. Cannot fail. */
void slab_storage_step(slab_storage *s, sy_state *state, uint64_t first, uint64_t count,
                       const uint8_t *rows);

#endif
