/* Chunks, their pool with a bounded free list, and arrays of chunks for whole tensors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "server/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"

/* How often a waiter for memory looks by itself: others in the process give memory back too. */
enum { MEMORY_POLL_MS = 10 };

struct ps_chunk_pool {
    /* set by create, never changed */
    size_t free_limit; /* chunks */
    /* guarded by lock */
    struct ps_mutex lock;
    struct ps_cond freed;
    struct ps_chunk *free_list;
    size_t free_count;
    size_t used_count;
    uint64_t used_bytes;
    int waiter_count;
    bool destroyed; /* ends with its last chunk */
};

struct ps_chunk_pool *ps_chunk_pool_create(uint64_t free_limit_bytes)
{
    struct ps_chunk_pool *pool = ps_alloc_zero(1, sizeof *pool);
    if (pool == NULL) { return NULL; }
    ps_mutex_init(&pool->lock, "chunk pool", PS_RANK_POOL);
    ps_cond_init(&pool->freed);
    pool->free_limit = (size_t)(free_limit_bytes / PS_CHUNK_BYTES);
    return pool;
}

static void free_chunk(struct ps_chunk *chunk)
{
    ps_free(chunk->data);
    ps_free(chunk);
}

static void end_pool(struct ps_chunk_pool *pool)
{
    while (pool->free_list != NULL) {
        struct ps_chunk *chunk = pool->free_list;
        pool->free_list = chunk->next_free;
        free_chunk(chunk);
    }
    ps_cond_clean(&pool->freed);
    ps_mutex_clean(&pool->lock);
    ps_free(pool);
}

void ps_chunk_pool_destroy(struct ps_chunk_pool *pool)
{
    if (pool == NULL) { return; }
    ps_mutex_lock(&pool->lock);
    pool->destroyed = true;
    bool ends = pool->used_count == 0;
    ps_mutex_unlock(&pool->lock);
    if (ends) { end_pool(pool); }
}

struct ps_chunk_pool_stats ps_chunk_pool_stats(struct ps_chunk_pool *pool)
{
    ps_mutex_lock(&pool->lock);
    struct ps_chunk_pool_stats stats = {
        .used_bytes = pool->used_bytes,
        .free_bytes = (uint64_t)pool->free_count * PS_CHUNK_BYTES,
    };
    ps_mutex_unlock(&pool->lock);
    return stats;
}

/* A chunk from the free list, counted as used, or NULL. */
static struct ps_chunk *reuse_chunk(struct ps_chunk_pool *pool)
{
    ps_mutex_lock(&pool->lock);
    struct ps_chunk *chunk = pool->free_list;
    if (chunk != NULL) {
        pool->free_list = chunk->next_free;
        pool->free_count--;
        pool->used_count++;
        pool->used_bytes += PS_CHUNK_BYTES;
    }
    ps_mutex_unlock(&pool->lock);
    return chunk;
}

static struct ps_chunk *make_chunk(struct ps_chunk_pool *pool, size_t size)
{
    struct ps_chunk *chunk = ps_alloc(sizeof *chunk);
    if (chunk == NULL) { return NULL; }
    *chunk = (struct ps_chunk){ .data = ps_alloc_aligned(size), .size = size, .pool = pool };
    if (chunk->data == NULL) {
        ps_free(chunk);
        return NULL;
    }
    ps_mutex_lock(&pool->lock);
    pool->used_count++;
    pool->used_bytes += size;
    ps_mutex_unlock(&pool->lock);
    return chunk;
}

struct ps_chunk *ps_chunk_create(struct ps_chunk_pool *pool, size_t size)
{
    PS_ASSERT(size > 0 && size <= PS_CHUNK_BYTES);
    struct ps_chunk *chunk = size == PS_CHUNK_BYTES ? reuse_chunk(pool) : NULL;
    if (chunk == NULL) { chunk = make_chunk(pool, size); }
    if (chunk != NULL) { __atomic_store_n(&chunk->reference_count, 1, __ATOMIC_RELAXED); }
    return chunk;
}

struct ps_chunk *ps_chunk_acquire(struct ps_chunk *chunk)
{
    int before = __atomic_fetch_add(&chunk->reference_count, 1, __ATOMIC_RELAXED);
    PS_ASSERT(before > 0);
    return chunk;
}

/* Takes back a chunk that nobody refers to any more. */
static void recycle(struct ps_chunk_pool *pool, struct ps_chunk *chunk)
{
    ps_mutex_lock(&pool->lock);
    pool->used_count--;
    pool->used_bytes -= chunk->size;
    bool keep = chunk->size == PS_CHUNK_BYTES && pool->free_count < pool->free_limit &&
                !pool->destroyed;
    if (keep) {
        chunk->next_free = pool->free_list;
        pool->free_list = chunk;
        pool->free_count++;
    }
    bool ends = pool->destroyed && pool->used_count == 0;
    if (pool->waiter_count > 0) { ps_cond_broadcast(&pool->freed); }
    ps_mutex_unlock(&pool->lock);
    if (!keep) { free_chunk(chunk); }
    if (ends) { end_pool(pool); }
}

struct ps_chunk *ps_chunk_release(struct ps_chunk *chunk)
{
    if (chunk == NULL) { return NULL; }
    /* Release our reads of the bytes; acquire everybody's before they are written again. */
    int before = __atomic_fetch_sub(&chunk->reference_count, 1, __ATOMIC_ACQ_REL);
    PS_ASSERT(before > 0);
    if (before == 1) { recycle(chunk->pool, chunk); }
    return NULL;
}

bool ps_chunk_is_sole(const struct ps_chunk *chunk)
{
    return __atomic_load_n(&chunk->reference_count, __ATOMIC_ACQUIRE) == 1;
}

/* Waits until a chunk comes back or a moment has passed. */
static void wait_for_memory(struct ps_chunk_pool *pool, int64_t *deadline_ms)
{
    const struct ps_clock *clock = ps_clock_monotonic();
    int64_t now_ms = ps_clock_now_ms(clock);
    if (*deadline_ms == 0) {
        *deadline_ms = now_ms + PS_MEMORY_WAIT_MS;
        ps_log(PS_LOG_WARN, "store", "out of memory inside an update; waiting for some");
    }
    if (now_ms >= *deadline_ms) {
        ps_log(PS_LOG_ERROR, "store",
               "no memory for %d s inside an update; stopping, to be restored whole rather than "
               "go on torn: give this task more memory or more ps tasks",
               PS_MEMORY_WAIT_MS / 1000);
        abort();
    }
    ps_mutex_lock(&pool->lock);
    pool->waiter_count++;
    ps_cond_wait_until(&pool->freed, &pool->lock, (now_ms + MEMORY_POLL_MS) * 1000000);
    pool->waiter_count--;
    ps_mutex_unlock(&pool->lock);
}

struct ps_chunk *ps_chunk_create_wait(struct ps_chunk_pool *pool, size_t size)
{
    int64_t deadline_ms = 0;
    struct ps_chunk *chunk;
    while ((chunk = ps_chunk_create(pool, size)) == NULL) { wait_for_memory(pool, &deadline_ms); }
    return chunk;
}

void *ps_chunk_pool_alloc_wait(struct ps_chunk_pool *pool, size_t size_bytes)
{
    int64_t deadline_ms = 0;
    void *memory;
    while ((memory = ps_alloc(size_bytes)) == NULL) { wait_for_memory(pool, &deadline_ms); }
    return memory;
}

enum ps_code ps_chunks_create(struct ps_chunk_pool *pool, uint64_t tensor_bytes,
                              struct ps_chunk ***chunks_out, struct ps_error *err)
{
    *chunks_out = NULL;
    size_t count = ps_chunk_count(tensor_bytes);
    struct ps_chunk **chunks = ps_alloc_zero(count, sizeof *chunks);
    if (chunks == NULL) { goto fail; }
    for (size_t i = 0; i < count; i++) {
        chunks[i] = ps_chunk_create(pool, ps_chunk_size_at(tensor_bytes, i));
        if (chunks[i] == NULL) { goto fail; }
        memset(chunks[i]->data, 0, chunks[i]->size);
    }
    *chunks_out = chunks;
    return PS_OK;
fail:
    ps_chunks_destroy(chunks, count);
    return ps_fail(err, PS_RESOURCE_EXHAUSTED, "no memory for a tensor of %llu bytes",
                   (unsigned long long)tensor_bytes);
}

void ps_chunks_destroy(struct ps_chunk **chunks, size_t count)
{
    if (chunks == NULL) { return; }
    for (size_t i = 0; i < count; i++) { ps_chunk_release(chunks[i]); }
    ps_free(chunks);
}
