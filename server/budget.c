/* One counter that never passes its limit, and amounts of memory as people write them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/budget.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

void ps_budget_init(struct ps_budget *budget, const char *task, uint64_t limit_bytes)
{
    *budget = (struct ps_budget){ .limit_bytes = limit_bytes };
    snprintf(budget->task, sizeof budget->task, "%s", task);
}

static enum ps_code refuse(const struct ps_budget *budget, uint64_t bytes, uint64_t promised,
                           const char *what, struct ps_error *err)
{
    char need[PS_BYTES_TEXT_BYTES], left[PS_BYTES_TEXT_BYTES], limit[PS_BYTES_TEXT_BYTES];
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "%s needs %s; %s has %s left of %s (--memory_limit)",
                   what, ps_bytes_format(bytes, need), budget->task,
                   ps_bytes_format(budget->limit_bytes - promised, left),
                   ps_bytes_format(budget->limit_bytes, limit));
}

enum ps_code ps_budget_take(struct ps_budget *budget, uint64_t bytes, const char *what,
                            struct ps_error *err)
{
    uint64_t limit = budget->limit_bytes == 0 ? UINT64_MAX : budget->limit_bytes;
    uint64_t promised = __atomic_load_n(&budget->promised_bytes, __ATOMIC_RELAXED);
    do {
        if (bytes > limit - promised) { return refuse(budget, bytes, promised, what, err); }
    } while (!__atomic_compare_exchange_n(&budget->promised_bytes, &promised, promised + bytes,
                                          true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return PS_OK;
}

void ps_budget_give_back(struct ps_budget *budget, uint64_t bytes)
{
    uint64_t before = __atomic_fetch_sub(&budget->promised_bytes, bytes, __ATOMIC_RELAXED);
    PS_ASSERT(before >= bytes);
}

uint64_t ps_budget_promised(const struct ps_budget *budget)
{
    return __atomic_load_n(&budget->promised_bytes, __ATOMIC_RELAXED);
}

const char *ps_bytes_format(uint64_t bytes, char text[PS_BYTES_TEXT_BYTES])
{
    static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
    if (bytes < 1000) {
        snprintf(text, PS_BYTES_TEXT_BYTES, "%" PRIu64 " B", bytes);
        return text;
    }
    double amount = (double)bytes / 1e3;
    size_t unit = 0;
    while (amount >= 999.5) { /* would be rounded to 1000 */
        amount /= 1e3;
        unit++;
    }
    uint64_t tenths = (uint64_t)(amount * 10.0 + 0.5);
    int decimals = tenths < 100 && tenths % 10 != 0 ? 1 : 0; /* "9.2 GB", "12 GB", "1 GB" */
    snprintf(text, PS_BYTES_TEXT_BYTES, "%.*f %s", decimals, amount, units[unit]);
    return text;
}
