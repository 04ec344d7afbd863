/* The workers that a ps task has heard of: each with its page of the ledger behind a lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_WORKERS_H
#define PARAMD_SERVER_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock.h"
#include "server/ledger.h"

struct ps_worker_row {
    uint32_t index;
    struct ps_worker_row *next;
    struct ps_mutex
        lock; /* PS_RANK_ROW: guards everything below, one worker's messages at a time */
    struct ps_page page;
    int64_t heard_ms;   /* monotonic */
    uint64_t staleness; /* of its last committed step */
};

struct ps_workers;

/* credit_bytes: what each may keep staged. NULL when out of memory. */
struct ps_workers *ps_workers_create(uint64_t credit_bytes, struct ps_frame_table frame_table);
void ps_workers_destroy(struct ps_workers *workers);

/* The row of a worker; made if create is set. NULL if there is none, or no memory.
 * Rows live as long as the table. Threads: any. */
struct ps_worker_row *ps_workers_row(struct ps_workers *workers, uint32_t index, bool create);

/* Calls visit for every row, its lock held. */
void ps_workers_visit(struct ps_workers *workers,
                      void (*visit)(void *ctx, struct ps_worker_row *row), void *ctx);

#endif
