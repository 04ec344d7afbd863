/* Memory of our own: one door for every allocation, so that tests can make the n-th one fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_CORE_ALLOC_H
#define PARAMD_CORE_ALLOC_H

#include <stddef.h>

/* As malloc, calloc, realloc, free and strdup; NULL when out of memory or when a fault is due.
 * Sizes from a peer or a file are checked against a limit by the caller first. Threads: any. */
void *ps_alloc(size_t size_bytes);
void *ps_alloc_zero(size_t count, size_t size_bytes); /* NULL if the product overflows */
void *ps_realloc(void *memory, size_t size_bytes);
char *ps_strdup(const char *text);
void ps_free(void *memory);

/* Memory aligned to 64 bytes (cache line, AVX-512), for tensor chunks. Freed with ps_free. */
void *ps_alloc_aligned(size_t size_bytes);

/* Tests: the countdown-th allocation from now on (1 = the next) fails once, in any thread.
 * 0 turns faults off. Returns how many allocations were made since the last call. */
long ps_alloc_fail_at(long countdown);

#endif
