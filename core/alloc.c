/* Memory of our own, with a countdown to a fault that tests set. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "core/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_BYTES = 64 };

static atomic_long allocation_count;
static atomic_long fault_countdown; /* the fault is due when it falls from 1 to 0; <= 0: off */

long ps_alloc_fail_at(long countdown)
{
    atomic_store(&fault_countdown, countdown);
    return atomic_exchange(&allocation_count, 0);
}

static bool fault_is_due(void)
{
    atomic_fetch_add_explicit(&allocation_count, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fault_countdown, memory_order_relaxed) <= 0) { return false; }
    return atomic_fetch_sub(&fault_countdown, 1) == 1;
}

/* Nothing is still an object with an address: NULL always means failure. */
static size_t at_least_one(size_t size_bytes)
{
    return size_bytes == 0 ? 1 : size_bytes;
}

void *ps_alloc(size_t size_bytes)
{
    return fault_is_due() ? NULL : malloc(at_least_one(size_bytes));
}

void *ps_alloc_zero(size_t count, size_t size_bytes)
{
    if (fault_is_due()) { return NULL; }
    /* calloc checks too, but the address sanitizer's aborts instead of returning NULL. */
    if (size_bytes != 0 && count > SIZE_MAX / size_bytes) { return NULL; }
    return calloc(1, at_least_one(count * size_bytes));
}

void *ps_realloc(void *memory, size_t size_bytes)
{
    return fault_is_due() ? NULL : realloc(memory, at_least_one(size_bytes));
}

char *ps_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ps_alloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

void *ps_alloc_aligned(size_t size_bytes)
{
    void *memory = NULL;
    if (fault_is_due()) { return NULL; }
    return posix_memalign(&memory, ALIGNMENT_BYTES, at_least_one(size_bytes)) == 0 ? memory : NULL;
}

void ps_free(void *memory)
{
    free(memory);
}
