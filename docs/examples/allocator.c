/* SPDX-License-Identifier: Apache-2.0 */
/* A memory budget: everything that is created through it stays under the limit, for good. */
#include <switchyard/allocator.h>
#include <switchyard/limits.h>

#include <inttypes.h>
#include <stdio.h>

int main(void) {
    sy_budget budget;
    sy_budget_init(&budget, sy_allocator_heap(), 1u << 20);
    const sy_allocator *allocator = &budget.allocator; /* this is what create calls take first */

    void *block = allocator->reallocate(allocator->self, NULL, 0, 700000, 64);
    void *refused = allocator->reallocate(allocator->self, NULL, 0, 700000, 64);
    printf("used %" PRIu64 " of %" PRIu64 " bytes, refused %" PRIu64 " time(s)\n",
           budget.used_bytes, budget.limit_bytes, budget.n_refused);

    allocator->reallocate(allocator->self, block, 700000, 0, 64); /* the owner knows the size */
    printf("used %" PRIu64 ", peak %" PRIu64 "\n", budget.used_bytes, budget.peak_bytes);
    printf("a session may reserve at most %u tokens\n", SY_LIMIT_SESSION_TOKENS);
    return block != NULL && refused == NULL && budget.used_bytes == 0 ? 0 : 1;
}
