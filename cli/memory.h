/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of verbs, from the process heap. */
#ifndef SY_CLI_MEMORY_H
#define SY_CLI_MEMORY_H

#include <stddef.h>

/* n items of zeroes (room for one at least); NULL when memory is short. */
void *sy_cli_allocate(size_t n, size_t item_bytes);

/* Frees what allocate gave for the same numbers; NULL is fine. */
void sy_cli_free(void *items, size_t n, size_t item_bytes);

#endif
