/* Chunks: counted pieces of tensors, shared by a variable and its readers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PARAMD_SERVER_CHUNK_H
#define PARAMD_SERVER_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/messages.h"

struct ps_chunk_pool;

/* At most PS_CHUNK_BYTES of one tensor. While more than one reference exists the bytes do not
 * change: whoever wants to change them copies first. */
struct ps_chunk {
    uint8_t *data; /* 64-byte aligned */
    size_t size;
    struct ps_chunk_pool *pool;
    struct ps_chunk *next_free; /* the pool's */
    int reference_count;        /* atomic */
};

struct ps_chunk_pool_stats {
    uint64_t used_bytes; /* in chunks that somebody refers to */
    uint64_t free_bytes; /* kept for reuse */
};

/* Full-size chunks that are let go are kept, up to free_limit_bytes, so that their pages stay
 * touched (a fresh page costs more than the copy into it). NULL when out of memory. */
struct ps_chunk_pool *ps_chunk_pool_create(uint64_t free_limit_bytes);
/* Chunks may outlive this call (a transport may still send them): the last one ends the pool. */
void ps_chunk_pool_destroy(struct ps_chunk_pool *pool);
struct ps_chunk_pool_stats ps_chunk_pool_stats(struct ps_chunk_pool *pool);

/* A chunk with one reference and undefined bytes; size is 1 to PS_CHUNK_BYTES. NULL when out of
 * memory. Threads: any, for all four. */
struct ps_chunk *ps_chunk_create(struct ps_chunk_pool *pool, size_t size);
struct ps_chunk *ps_chunk_acquire(struct ps_chunk *chunk);
/* Returns NULL; takes NULL. Blocks on nothing but the pool's short lock (PS_RANK_POOL). */
struct ps_chunk *ps_chunk_release(struct ps_chunk *chunk);
/* Whether the caller's reference is the only one. It stays so if the caller also holds the lock
 * under which others would find the chunk. */
bool ps_chunk_is_sole(const struct ps_chunk *chunk);

/* As ps_chunk_create and ps_alloc for a caller that must not fail half-way: waits for memory to
 * come free. After PS_MEMORY_WAIT_MS without any it ends the process: the cluster then restores
 * this task from a checkpoint, where going on would tear an update. */
enum { PS_MEMORY_WAIT_MS = 60000 };
struct ps_chunk *ps_chunk_create_wait(struct ps_chunk_pool *pool, size_t size);
void *ps_chunk_pool_alloc_wait(struct ps_chunk_pool *pool, size_t size_bytes);

/* The chunks of a tensor: all full but the last. */
static inline size_t ps_chunk_count(uint64_t tensor_bytes)
{
    return (size_t)(tensor_bytes / PS_CHUNK_BYTES + (tensor_bytes % PS_CHUNK_BYTES != 0));
}

static inline size_t ps_chunk_size_at(uint64_t tensor_bytes, size_t index)
{
    uint64_t left = tensor_bytes - (uint64_t)index * PS_CHUNK_BYTES;
    return left < PS_CHUNK_BYTES ? (size_t)left : (size_t)PS_CHUNK_BYTES;
}

/* Chunks for a tensor of tensor_bytes, filled with zeros (a reused chunk never shows what it held
 * before). Never NULL when PS_OK, even for 0 bytes. RESOURCE_EXHAUSTED: nothing is kept. */
PS_MUST_CHECK enum ps_code ps_chunks_create(struct ps_chunk_pool *pool, uint64_t tensor_bytes,
                                            struct ps_chunk ***chunks_out, struct ps_error *err);
void ps_chunks_destroy(struct ps_chunk **chunks, size_t count); /* takes NULL */

#endif
