/* The workers that a ps task has heard of: each with its page of the ledger behind a lock. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/workers.h"

#include "core/alloc.h"

/* Rows by index modulo this: a lookup a message, and the largest jobs have a few thousand. */
enum { BUCKET_COUNT = 1024 };

struct ps_workers {
    struct ps_mutex lock; /* PS_RANK_TASK: the chains */
    uint64_t credit_bytes;
    struct ps_frame_table frame_table;
    struct ps_worker_row *buckets[BUCKET_COUNT];
};

struct ps_workers *ps_workers_create(uint64_t credit_bytes, struct ps_frame_table frame_table)
{
    struct ps_workers *workers = ps_alloc_zero(1, sizeof *workers);
    if (workers == NULL) { return NULL; }
    ps_mutex_init(&workers->lock, "workers", PS_RANK_TASK);
    workers->credit_bytes = credit_bytes;
    workers->frame_table = frame_table;
    return workers;
}

static void row_destroy(struct ps_worker_row *row)
{
    ps_page_clean(&row->page);
    ps_mutex_clean(&row->lock);
    ps_free(row);
}

void ps_workers_destroy(struct ps_workers *workers)
{
    if (workers == NULL) { return; }
    for (int i = 0; i < BUCKET_COUNT; i++) {
        while (workers->buckets[i] != NULL) {
            struct ps_worker_row *row = workers->buckets[i];
            workers->buckets[i] = row->next;
            row_destroy(row);
        }
    }
    ps_mutex_clean(&workers->lock);
    ps_free(workers);
}

static struct ps_worker_row *row_create(const struct ps_workers *workers, uint32_t index)
{
    struct ps_worker_row *row = ps_alloc_zero(1, sizeof *row);
    if (row == NULL) { return NULL; }
    row->index = index;
    ps_mutex_init(&row->lock, "worker row", PS_RANK_ROW);
    ps_page_init(&row->page, index, workers->credit_bytes, workers->frame_table);
    return row;
}

struct ps_worker_row *ps_workers_row(struct ps_workers *workers, uint32_t index, bool create)
{
    struct ps_worker_row **bucket = &workers->buckets[index % BUCKET_COUNT];
    ps_mutex_lock(&workers->lock);
    struct ps_worker_row *row = *bucket;
    while (row != NULL && row->index != index) { row = row->next; }
    if (row == NULL && create) {
        row = row_create(workers, index);
        if (row != NULL) {
            row->next = *bucket;
            *bucket = row;
        }
    }
    ps_mutex_unlock(&workers->lock);
    return row;
}

void ps_workers_visit(struct ps_workers *workers,
                      void (*visit)(void *ctx, struct ps_worker_row *row), void *ctx)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        ps_mutex_lock(&workers->lock);
        struct ps_worker_row *row = workers->buckets[i];
        ps_mutex_unlock(&workers->lock);
        /* Rows are only ever added at the head, so the rest of a chain never changes. */
        for (; row != NULL; row = row->next) {
            ps_mutex_lock(&row->lock);
            visit(ctx, row);
            ps_mutex_unlock(&row->lock);
        }
    }
}
