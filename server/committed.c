/* Copies of the workers' pages, one task's and then all tasks' in one. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/committed.h"

#include <stdlib.h>
#include <string.h>

#include "server/workers.h"

/* What a walk over the rows fills. */
struct collection {
    struct ps_arena *arena;
    struct ps_committed_worker *rows;
    size_t count;
    size_t capacity;
    bool failed;
};

static enum ps_code fail_memory(struct ps_error *err)
{
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for the table of workers");
}

static void count_row(void *ctx, struct ps_worker_row *row)
{
    (void)row;
    ((struct collection *)ctx)->capacity++;
}

static void copy_row(void *ctx, struct ps_worker_row *row)
{
    struct collection *collection = ctx;
    const struct ps_page *page = &row->page;
    if (collection->count == collection->capacity || page->incarnation == 0) { return; }
    uint8_t *position = ps_arena_alloc(collection->arena, page->position.size + 1);
    if (position == NULL) {
        collection->failed = true;
        return;
    }
    if (page->position.size > 0) { memcpy(position, page->position.data, page->position.size); }
    collection->rows[collection->count++] = (struct ps_committed_worker){
        .worker = row->index,
        .committed = page->committed,
        .position = { position, page->position.size },
    };
}

enum ps_code ps_committed_collect(struct ps_workers *workers, struct ps_arena *arena,
                                  struct ps_committed_table *table_out, struct ps_error *err)
{
    struct collection collection = { .arena = arena };
    *table_out = (struct ps_committed_table){ 0 };
    ps_workers_visit(workers, count_row, &collection);
    collection.rows = ps_arena_alloc(arena, (collection.capacity + 1) * sizeof *collection.rows);
    if (collection.rows == NULL) { return fail_memory(err); }
    ps_workers_visit(workers, copy_row, &collection);
    if (collection.failed) { return fail_memory(err); }
    *table_out = (struct ps_committed_table){ collection.rows, collection.count };
    return PS_OK;
}

static int compare_workers(const void *a, const void *b)
{
    const struct ps_committed_worker *x = a, *y = b;
    return (x->worker > y->worker) - (x->worker < y->worker);
}

enum ps_code ps_committed_merge(const struct ps_committed_table *tables, size_t table_count,
                                struct ps_arena *arena, struct ps_committed_table *table_out,
                                struct ps_error *err)
{
    size_t total = 0, kept = 0;
    for (size_t i = 0; i < table_count; i++) { total += tables[i].count; }
    struct ps_committed_worker *rows = ps_arena_alloc(arena, (total + 1) * sizeof *rows);
    if (rows == NULL) { return fail_memory(err); }
    total = 0;
    for (size_t i = 0; i < table_count; i++) {
        if (tables[i].count == 0) { continue; }
        memcpy(rows + total, tables[i].rows, tables[i].count * sizeof *rows);
        total += tables[i].count;
    }
    qsort(rows, total, sizeof *rows, compare_workers);
    for (size_t i = 0; i < total; i++) {
        struct ps_committed_worker *last = kept > 0 ? &rows[kept - 1] : NULL;
        if (last == NULL || last->worker != rows[i].worker) {
            rows[kept++] = rows[i];
            continue;
        }
        if (rows[i].committed > last->committed) { last->committed = rows[i].committed; }
        if (rows[i].position.size > 0) { last->position = rows[i].position; }
    }
    *table_out = (struct ps_committed_table){ rows, kept };
    return PS_OK;
}
